"""Tables in Parquet -> records: `wheelvec.backtest` from a lake, and the loop that a researcher writes, on the same files.

Warm: the process has imported everything and has run once. The real quarter is read from a folder beside the project, and
skipped where there is none.
"""

import datetime as dt
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
from wheelvec.market.synthetic import DEMO_END, DEMO_START

WHEELVEC, LOOP = "wheelvec", "pandas and py_vollib"
SHORT_END = dt.date(2024, 1, 31)


def library(lake: Path, first: dt.date | None, last: dt.date | None) -> wv.Result:
    """Open the lake and run."""
    dates: dict[str, Any] = {"schedule.start_date": first, "schedule.end_date": last}
    return wv.backtest(wv.Market.open(lake), researcher.CONFIG.replace(**dates))


def pnl_of(wheels: pl.DataFrame | pd.DataFrame) -> pl.DataFrame:
    """Keys and P&L of either's wheels."""
    frame = pl.from_pandas(wheels) if isinstance(wheels, pd.DataFrame) else wheels
    return frame.select("underlying", pl.col("entry_date").cast(pl.Date), "put_symbol", pl.col("pnl").cast(pl.Float64))


def contest(
    what: str, threads: int, lake: Path, dates: tuple[dt.date | None, dt.date | None], group: str, measure: Measure
) -> None:
    """Compare the two wheel by wheel, then time one of them."""
    if threads > machine.most_threads():
        pytest.skip("one core")
    records = library(lake, *dates)
    same_wheels(group, pnl_of(records.wheels), pnl_of(researcher.backtest(lake, None, *dates)))
    calls: dict[str, Any] = {WHEELVEC: lambda: library(lake, *dates), LOOP: lambda: researcher.backtest(lake, None, *dates)}
    quotes = pl.scan_parquet(lake / "option_quotes", hive_partitioning=False).select(pl.len()).collect().item()
    with machine.threads(threads):
        measure(calls[what], group=group, what=what, n=records.wheels.height, threads=threads, fewest=3, quotes=quotes)


@pytest.fixture(scope="module")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo market's tables."""
    lake = tmp_path_factory.mktemp("demo")
    wv.demo_market().write(lake)
    return lake


@pytest.fixture(scope="module")
def real_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real quarter of one underlying: closing quotes, no bars of options."""
    if not REAL_QUARTER.exists():
        pytest.skip("the real quarter is not here")
    lake = tmp_path_factory.mktemp("real")
    tables = {name: pl.scan_parquet(REAL_QUARTER / f"{name}.parquet") for name in ("option_quotes", "underlying_bars")}
    wv.Market(**tables).write(lake)
    return lake


CONTESTANTS = pytest.mark.parametrize(("what", "threads"), [(WHEELVEC, 1), (WHEELVEC, 2), (LOOP, 1)])


@CONTESTANTS
def test_demo_market(what: str, threads: int, demo_lake: Path, short: bool, measure: Measure) -> None:
    contest(what, threads, demo_lake, (DEMO_START, SHORT_END if short else DEMO_END), "demo_market", measure)


@CONTESTANTS
def test_real_quarter(what: str, threads: int, real_lake: Path, short: bool, measure: Measure) -> None:
    if short:
        pytest.skip("the demo market stands for it in the short form")
    contest(what, threads, real_lake, (None, None), "real_quarter", measure)
