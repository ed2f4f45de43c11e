"""Tables in Parquet -> records: `wheelvec.backtest` from a lake, and a researcher's loop.

Both read the same files. Warm: the process has imported everything and has run once. A lake keeps
the chains that were solved; `wheelvec` solves them from the quotes in every round, as the loop
must, and `wheelvec, chains kept` finds them. The real quarter is read from a folder beside the
project, and skipped where there is none.
"""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

import wheelvec as wv
from benchmarks import machine, researcher
from benchmarks.agreement import same_wheels
from benchmarks.conftest import Measure
from benchmarks.inputs import REAL_QUARTER
from wheelvec.demo.synthetic import DEMO_END, DEMO_START

WHEELVEC, KEPT, LOOP = "wheelvec", "wheelvec, chains kept", "pandas and vollib"
SHORT_END = dt.date(2024, 1, 31)


def library(lake: Path, first: dt.date | None, last: dt.date | None) -> wv.Result:
    """Open the lake and run."""
    dates: dict[str, Any] = {"schedule.start_date": first, "schedule.end_date": last}
    return wv.backtest(wv.Market.open(lake), researcher.CONFIG.replace(**dates))


def forget_chains(lake: Path) -> None:
    """Remove what the lake keeps beside its tables."""
    for kept in ("solved_chains", ".summaries"):
        shutil.rmtree(lake / kept, ignore_errors=True)


def pnl_of(wheels: pl.DataFrame | pd.DataFrame) -> pl.DataFrame:
    """Keys and P&L of either's wheels."""
    frame = pl.from_pandas(wheels) if isinstance(wheels, pd.DataFrame) else wheels
    return frame.select(
        "underlying",
        pl.col("entry_date").cast(pl.Date),
        "put_symbol",
        pl.col("pnl").cast(pl.Float64),
    )


@dataclass(frozen=True)
class Work:
    """A lake, the first and last entry, and what is found in it: by both contestants, wheel by
    wheel.
    """

    group: str
    lake: Path
    dates: tuple[dt.date | None, dt.date | None]
    quotes: int
    wheels: int

    @classmethod
    def checked(cls, group: str, lake: Path, *dates: dt.date | None) -> "Work":
        """Run both, and compare."""
        first, last = dates
        wheels = library(lake, first, last).wheels
        same_wheels(group, pnl_of(wheels), pnl_of(researcher.backtest(lake, None, first, last)))
        quotes = (
            pl.scan_parquet(lake / "option_quotes", hive_partitioning=False)
            .select(pl.len())
            .collect()
            .item()
        )
        return cls(group, lake, (first, last), quotes, wheels.height)

    def time(self, what: str, threads: int, measure: Measure) -> None:
        """Time one contestant."""
        if threads > machine.most_threads():
            pytest.skip("one core")
        calls: dict[str, Any] = {
            WHEELVEC: {
                "function": lambda: library(self.lake, *self.dates),
                "before": lambda: forget_chains(self.lake),
            },
            KEPT: {"function": lambda: library(self.lake, *self.dates)},
            LOOP: {
                "function": lambda: researcher.backtest(self.lake, None, *self.dates),
                "rounds": 3,
            },
        }
        with machine.threads(threads):
            measure(
                **calls[what],
                group=self.group,
                what=what,
                n=self.wheels,
                threads=threads,
                quotes=self.quotes,
            )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, short: bool) -> Work:
    """The demo market."""
    lake = tmp_path_factory.mktemp("demo")
    wv.demo_market().write(lake)
    return Work.checked("demo_market", lake, DEMO_START, SHORT_END if short else DEMO_END)


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory, short: bool) -> Work:
    """A real quarter of one underlying: closing quotes, no bars of options."""
    if not REAL_QUARTER.exists():
        pytest.skip("the real quarter is not here")
    if short:
        pytest.skip("the demo market stands for it in the short form")
    lake = tmp_path_factory.mktemp("real")
    tables = {
        name: pl.scan_parquet(REAL_QUARTER / f"{name}.parquet")
        for name in ("option_quotes", "underlying_bars")
    }
    wv.Market(**tables).write(lake)
    return Work.checked("real_quarter", lake, None, None)


CONTESTANTS = pytest.mark.parametrize(
    ("what", "threads"), [(WHEELVEC, 1), (WHEELVEC, 2), (KEPT, 1), (KEPT, 2), (LOOP, 1)]
)


@CONTESTANTS
def test_demo_market(what: str, threads: int, demo: Work, measure: Measure) -> None:
    demo.time(what, threads, measure)


@CONTESTANTS
def test_real_quarter(what: str, threads: int, quarter: Work, measure: Measure) -> None:
    quarter.time(what, threads, measure)
