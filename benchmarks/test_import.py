"""A vendor's file into a lake, beside Polars' own reading and writing of the same file; and a check
of that lake, beside reading and hashing its bytes.

Polars checks nothing there, finds no price of the underlying, sorts nothing and writes one file;
wheelvec writes a lake that is verified, month by month.
"""

import datetime as dt
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from benchmarks import machine
from benchmarks.conftest import Measure
from wheelvec.lake import parquet
from wheelvec.tables.sessions import Sessions

ROWS, SHORT = 1_000_000, 8_000
STRIKES, EXPIRATIONS = 100, 20
NEEDED = ["contractID", "symbol", "expiration", "strike", "type", "bid", "ask", "date"]
FORMS = ("csv", "parquet")


def chains(rows: int) -> pl.DataFrame:
    """Chains of weekly expirations in the layout of Alpha Vantage, session by session."""
    chance = np.random.default_rng(11)
    count = max(2, rows // (STRIKES * EXPIRATIONS * 2))
    first = dt.date(2022, 1, 3)
    sessions = Sessions.load("NYSE", first, first + dt.timedelta(days=2 * count + 10)).dates[:count]
    spot = np.round(400.0 * np.exp(np.cumsum(chance.normal(0.0, 0.01, count))), 2)
    weeks = np.arange(1, EXPIRATIONS + 1) * 7
    friday = sessions + (4 - (sessions.astype(np.int64) + 3) % 7)
    day, week, kind, strike = (
        each.ravel()
        for each in np.meshgrid(
            np.arange(count), weeks, [1.0, -1.0], 150.0 + 5.0 * np.arange(STRIKES), indexing="ij"
        )
    )
    years = week / 365.0
    width = spot[day] * 0.2 * np.sqrt(years)
    value = 0.4 * width * np.exp(-0.5 * ((strike - spot[day]) / width) ** 2)
    value += np.maximum(kind * (spot[day] - strike), 0.0)
    frame = pl.DataFrame(
        {
            "date": sessions[day],
            "expiration": friday[day] + week,
            "strike": strike,
            "type": pl.Series(["put", "call"]).gather((kind > 0).astype(np.uint32)),
            "bid": np.round(value * 0.99, 2),
            "ask": np.round(value * 1.01 + 0.01, 2),
            "implied_volatility": np.round(chance.uniform(0.1, 0.5, len(day)), 5),
            "delta": np.round(chance.uniform(-1.0, 1.0, len(day)), 5),
            "volume": chance.integers(0, 5000, len(day)),
            "open_interest": chance.integers(0, 50_000, len(day)),
        }
    )
    digits = (pl.col("strike") * 1000).cast(pl.Int64).cast(pl.String).str.zfill(8)
    letter = pl.col("type").str.head(1).str.to_uppercase()
    symbol = pl.lit("SPY") + pl.col("expiration").dt.strftime("%y%m%d") + letter + digits
    return frame.select(
        contractID=symbol,
        symbol=pl.lit("SPY"),
        expiration="expiration",
        strike="strike",
        type="type",
        last="bid",
        mark=((pl.col("bid") + pl.col("ask")) / 2).round(3),
        bid="bid",
        bid_size="volume",
        ask="ask",
        ask_size="volume",
        volume="volume",
        open_interest="open_interest",
        date="date",
        implied_volatility="implied_volatility",
        delta="delta",
    )


def ours(file: Path, lake: Path) -> None:
    """The file in a new lake."""
    wv.import_files(file, layout="alphavantage", lake=lake)


def by_polars(file: Path, out: Path, columns: list[str] | None) -> None:
    """The file, or some columns of it, in another Parquet file."""
    read = pl.read_csv if file.suffix == ".csv" else pl.read_parquet
    read(file, columns=columns).write_parquet(out, compression="zstd")


def agreed(lake: Path, chains: pl.DataFrame) -> None:
    """Every quote is in the lake as it was in the file."""
    found = wv.Market.open(lake).option_quotes
    expected = chains.select(
        session="date",
        symbol=pl.col("contractID").str.replace("SPY", "SPY   ", literal=True),
        bid="bid",
        ask="ask",
    )
    assert found.select(expected.columns).equals(expected.sort("session", "symbol"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, short: bool) -> Path:
    """The folder of the same chains as CSV, as Parquet, and as lakes that hold what they should."""
    folder, frame = tmp_path_factory.mktemp("vendor"), chains(SHORT if short else ROWS)
    frame.write_csv(folder / "chains.csv")
    frame.write_parquet(folder / "chains.parquet")
    for form in FORMS:
        ours(folder / f"chains.{form}", folder / form)
        agreed(folder / form, frame)
    first, again = (checked(folder / "parquet", deep) for deep in (True, False))
    assert all(found.equals(vars(again)[name]) for name, found in vars(first).items())
    return folder


def measured(
    measure: Measure, benchmark: Any, function: Callable[[], Any], threads: int, **about: Any
) -> None:
    """Time a function, and keep the least of its processor time beside the times."""
    used = []

    def run() -> None:
        began = time.process_time()
        function()
        used.append(time.process_time() - began)

    with machine.threads(threads):
        measure(run, threads=threads, rounds=3, **about)
    benchmark.extra_info["processor"] = min(used)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("what", ["wheelvec", "Polars, all columns", "Polars, the columns needed"])
@pytest.mark.parametrize("form", FORMS)
def test_file_into_lake(
    form: str,
    what: str,
    threads: int,
    files: Path,
    tmp_path: Path,
    measure: Measure,
    benchmark: Any,
) -> None:
    if threads > machine.most_threads():
        pytest.skip("one core")
    file, lake = files / f"chains.{form}", tmp_path / "lake"
    calls: dict[str, Callable[[], Any]] = {
        "wheelvec": lambda: ours(file, lake),
        "Polars, all columns": lambda: by_polars(file, tmp_path / "out.parquet", None),
        "Polars, the columns needed": lambda: by_polars(file, tmp_path / "out.parquet", NEEDED),
    }
    rows = pl.scan_parquet(files / "chains.parquet").select(pl.len()).collect().item()
    measured(
        measure,
        benchmark,
        calls[what],
        threads,
        group=f"import {form}",
        what=what,
        n=rows,
        before=lambda: shutil.rmtree(lake, ignore_errors=True),
    )


def checked(lake: Path, deep: bool) -> Any:
    """A check of a lake as of another process, which has verified no file yet."""
    parquet._verified.cache_clear()
    return wv.check(lake, deep=deep)


def hashed(files: list[Path]) -> list[str]:
    """The digests of files."""
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("what", ["wheelvec", "wheelvec, all rows decoded", "SHA-256 alone"])
def test_check_of_a_lake(
    what: str,
    threads: int,
    files: Path,
    measure: Measure,
    benchmark: Any,
) -> None:
    if threads > machine.most_threads():
        pytest.skip("one core")
    lake = files / "parquet"
    held = sorted(lake.glob("*/*/*.parquet"))
    calls: dict[str, Callable[[], Any]] = {
        "wheelvec": lambda: checked(lake, False),
        "wheelvec, all rows decoded": lambda: checked(lake, True),
        "SHA-256 alone": lambda: hashed(held),
    }
    size = sum(file.stat().st_size for file in held)
    measured(measure, benchmark, calls[what], threads, group="check", what=what, n=size)
