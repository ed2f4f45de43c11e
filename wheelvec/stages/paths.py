"""What the launched legs walked: a result carries it, so that later work needs no market."""

import numpy as np
import polars as pl

from wheelvec.kernels.path import Underlying
from wheelvec.spec.frames import PATHS, UNDERLYING_CLOSES
from wheelvec.stages.arrays import Paths, column


def walked_rows(
    puts: pl.DataFrame, calls: pl.DataFrame, paths: Paths, quotes: pl.DataFrame, sessions: pl.DataFrame, underlying: str
) -> pl.DataFrame:
    """Per contract and session that a leg walked (after its sale, through its exit): OHLC, and the session's bid and ask.

    `source` tells whether the four prices are a bar's or the mid of a quote that stands for one.
    """
    needed = ("symbol", "number", "exit_number")
    legs = pl.concat([frame.select(needed) for frame in (puts, calls)])
    rows = (
        pl.DataFrame(paths.rows._asdict())
        .drop("bid", "ask")
        .with_columns(contract=np.repeat(np.arange(paths.contracts.height), np.diff(paths.starts)).astype(np.uint32))
    )
    walked = rows.filter(pl.Series(_walked_mask(legs, paths)))
    named = (
        walked.join(paths.contracts, on="contract", maintain_order="left")
        .join(sessions.select("number", "session"), on="number", maintain_order="left")
        .join(quotes.select("symbol", "number", "bid", "ask"), on=["symbol", "number"], how="left", maintain_order="left")
    )
    source = pl.when("is_quote").then(pl.lit("quote")).otherwise(pl.lit("bar"))
    return named.with_columns(underlying=pl.lit(underlying), source=source).select(list(PATHS))


def _walked_mask(legs: pl.DataFrame, paths: Paths) -> np.ndarray:
    """True for the rows of `paths` that some leg walked."""
    contract, span = paths.positions(legs["symbol"]), 2**31
    of_row = np.repeat(np.arange(paths.contracts.height), np.diff(paths.starts))
    order = of_row * span + paths.rows.number
    first = np.searchsorted(order, contract * span + column(legs, "number", np.int64), side="right")
    last = np.searchsorted(order, contract * span + column(legs, "exit_number", np.int64), side="right")
    depth = np.zeros(order.size + 1, np.int64)
    np.add.at(depth, first, 1)
    np.add.at(depth, last, -1)
    return np.asarray(depth.cumsum()[:-1] > 0)


def walked_closes(wheels: pl.DataFrame, underlying: Underlying, name: str) -> pl.DataFrame:
    """The underlying's closes from the entry of any launched wheel to its end, gaps left out."""
    size = underlying.close.size
    depth = np.zeros(size + 1, np.int64)
    np.add.at(depth, column(wheels, "number", np.int64), 1)
    np.add.at(depth, np.minimum(column(wheels, "last_number", np.int64) + 1, size), -1)
    kept = (depth.cumsum()[:-1] > 0) & ~np.isnan(underlying.close)
    frame = pl.DataFrame({"session": underlying.day[kept].astype(np.int32), "close": underlying.close[kept]})
    return frame.with_columns(pl.col("session").cast(pl.Date), underlying=pl.lit(name)).select(list(UNDERLYING_CLOSES))
