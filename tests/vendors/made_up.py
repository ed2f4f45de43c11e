"""A small invented set in the form of the public one: chains and daily bars as Parquet files."""

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.demo.synthetic import demo_tables

PAID = {dt.date(2024, 1, 19): 0.5, dt.date(2024, 2, 16): 0.25}


def made_up_set(
    folder: Path, name: str = "SPY", splits: dict[dt.date, float] | None = None, **changes: Any
) -> dict[str, str]:
    """Write {name}_options.parquet and {name}_underlying.parquet, and return their digests.

    The chains are those of the demo market's ALFA under another name.

    Args:
        folder: where to.
        name: of the fund.
        splits: coefficients by day.
        changes: arguments of the demo market, such as its first and last day.
    """
    span = {"start": "2024-01-02", "end": "2024-03-28"} | changes
    tables = demo_tables(symbols=["ALFA"], **span)
    folder.mkdir(parents=True, exist_ok=True)
    chain = _chains(tables["option_quotes"], name)
    bars = _daily(tables["underlying_bars"], splits or {})
    paths = [folder / f"{name}_options.parquet", folder / f"{name}_underlying.parquet"]
    for path, frame in zip(paths, (chain, bars), strict=True):
        frame.write_parquet(path)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _chains(quotes: pl.DataFrame, name: str) -> pl.DataFrame:
    """A row a contract and day; days are text, contracts are written as vendors do."""
    letter = pl.col("option_type")
    text = pl.col("symbol").str.tail(15)
    held = quotes.sort("session", "symbol", "ts").unique(
        ["session", "symbol"], keep="last", maintain_order=True
    )
    return held.select(
        contractID=pl.lit(name) + text,
        symbol=pl.lit(name),
        expiration=pl.col("expiration").cast(pl.String),
        strike="strike",
        type=pl.when(letter == "P").then(pl.lit("put")).otherwise(pl.lit("call")),
        last=pl.lit(0.0),
        mark=(pl.col("bid") + pl.col("ask")) / 2,
        bid="bid",
        bid_size=pl.lit(10),
        ask="ask",
        ask_size=pl.lit(10),
        volume=pl.lit(0),
        open_interest=pl.lit(0),
        date=pl.col("session").cast(pl.String),
        implied_volatility=pl.lit(0.00984),
        delta=pl.lit(0.0),
    )


def _daily(bars: pl.DataFrame, splits: dict[dt.date, float]) -> pl.DataFrame:
    day = pl.col("session")
    return bars.sort("session").select(
        date=day.cast(pl.String),
        open="open",
        high="high",
        low="low",
        close="close",
        adjusted_close=pl.col("close") * 0.9,
        volume="volume",
        dividend_amount=day.replace_strict(PAID, default=0.0, return_dtype=pl.Float64),
        split_coefficient=day.replace_strict(splits, default=1.0, return_dtype=pl.Float64)
        if splits
        else pl.lit(1.0),
    )
