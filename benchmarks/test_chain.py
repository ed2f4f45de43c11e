"""The last valid quote of each contract in one minute, from a Parquet file: a lake's window and its
collapse, pandas, Polars.

All read the same file, which is sorted by contract and time; pandas and Polars read only the five
columns that they need, the library the whole row, and numbers the contracts.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from benchmarks import machine
from benchmarks.agreement import DisagreementError
from benchmarks.conftest import Measure
from benchmarks.inputs import MINUTE_DAY, minute_lake
from benchmarks.references import MINUTE_COLUMNS, pandas_last_quotes, pandas_last_quotes_grouped
from wheelvec.market.market import Market
from wheelvec.stages.chain import collapse
from wheelvec.stages.contracts import symbols_of
from wheelvec.tables.sessions import Sessions

ROWS, CONTRACTS = 400_000, 4_000


def library(lake: Path, sessions: pl.DataFrame) -> pl.DataFrame:
    """Open, read, collapse."""
    window = Market.open(lake).window("MINU", MINUTE_DAY, MINUTE_DAY)
    standing, roots, _ = collapse(window.quotes, sessions, None)
    symbols = symbols_of(standing.key, roots)
    return pl.DataFrame({"symbol": symbols, "bid": standing.bid, "ask": standing.ask})


def plain_polars(file: Path) -> pl.DataFrame:
    """One lazy query."""
    bid, ask = pl.col("bid"), pl.col("ask")
    valid = (bid >= 0) & (bid <= ask) & (bid + ask > 0) & (pl.col("underlying_price") > 0)
    quotes = pl.scan_parquet(file, hive_partitioning=False).select(MINUTE_COLUMNS)
    return quotes.filter(valid).unique("symbol", keep="last").collect()


def entry_sessions() -> pl.DataFrame:
    """The sessions as a backtest hands them to the stage."""
    loaded = Sessions.load("NYSE", MINUTE_DAY, MINUTE_DAY)
    return loaded.frame.select("session", pl.col("number").cast(pl.Int64)).with_columns(
        minute=loaded.entry_minutes("15:45")
    )


def same_quotes(what: str, found: pl.DataFrame | pd.DataFrame, expected: pl.DataFrame) -> None:
    """The same contracts with the same bid and ask, to the bit."""
    frame = (
        pl.from_pandas(found[["symbol", "bid", "ask"]])
        if isinstance(found, pd.DataFrame)
        else found
    )
    if (
        not frame.select("symbol", "bid", "ask")
        .sort("symbol")
        .equals(expected.select("symbol", "bid", "ask").sort("symbol"))
    ):
        raise DisagreementError(f"{what}: {len(frame)} quotes are not the {len(expected)} expected")


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory, short: bool) -> tuple[Path, Path]:
    """The lake and its file."""
    lake = tmp_path_factory.mktemp("minute")
    return lake, minute_lake(
        lake, ROWS // 10 if short else ROWS, CONTRACTS // 10 if short else CONTRACTS
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("what", ["wheelvec", "pandas drop_duplicates", "pandas groupby", "Polars"])
def test_last_quotes(
    what: str, threads: int, minute: tuple[Path, Path], short: bool, measure: Measure
) -> None:
    if threads > machine.most_threads():
        pytest.skip("one core")
    lake, file = minute
    sessions = entry_sessions()
    calls: dict[str, Any] = {
        "wheelvec": lambda: library(lake, sessions),
        "pandas drop_duplicates": lambda: pandas_last_quotes(file),
        "pandas groupby": lambda: pandas_last_quotes_grouped(file),
        "Polars": lambda: plain_polars(file),
    }
    same_quotes(
        what, calls[what](), pl.from_pandas(pandas_last_quotes(file)[["symbol", "bid", "ask"]])
    )
    with machine.threads(threads):
        measure(
            calls[what],
            group="last_quotes",
            what=what,
            n=ROWS // 10 if short else ROWS,
            threads=threads,
        )
