"""What the launched legs walked: a result carries it, so that later work needs no market."""

import numpy as np
import polars as pl

from wheelvec.kernels.board import Board, Underlying
from wheelvec.spec.frames import PATHS, UNDERLYING_CLOSES
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import dates, same, spans


def walked_rows(
    legs: Array, board: Board, quotes: tuple[Array, Array, Array, Array], symbols: pl.Series, underlying: str
) -> pl.DataFrame:
    """Per contract and session that a leg walked (after its sale, through its exit): OHLC, and the session's bid and ask.

    `source` tells whether the four prices are a bar's or the mid of a quote that stands for one.

    Args:
        legs: of kernels.outcomes.LEG; `contract` is the board's.
        board: what they were walked on.
        quotes: contract, number, bid and ask of the valid quotes, by contract and number.
        symbols: of the board's contracts.
        underlying: its name.
    """
    contract, row = _walked(legs, board)
    rows = board.rows[row]
    bid, ask = _quoted(contract, rows["number"], quotes)
    columns = {
        "underlying": same(underlying, rows.size),
        "symbol": symbols.gather(pl.Series(contract)),
        "session": dates(board.underlying.day[rows["number"]]),
        **{name: rows[name] for name in ("open", "high", "low", "close")},
        "bid": pl.Series(bid, nan_to_null=True),
        "ask": pl.Series(ask, nan_to_null=True),
        "source": pl.Series(["bar", "quote"]).gather(pl.Series(rows["is_quote"].astype(np.uint32))),
    }
    return pl.DataFrame(columns, schema=PATHS)


def _walked(legs: Array, board: Board) -> tuple[Array, Array]:
    """The contract and the row of what some leg walked, each once, by contract and session."""
    used = np.unique(legs["contract"])
    where = board.contracts[used]
    rows, of_row = spans(where["first_row"], where["last_row"] - where["first_row"])
    contract = used[of_row]
    span = 2**32
    order, begin = contract * span + board.rows["number"][rows], legs["contract"] * span
    depth = np.zeros(order.size + 1, np.int64)
    np.add.at(depth, np.searchsorted(order, begin + legs["number"], side="right"), 1)
    np.add.at(depth, np.searchsorted(order, begin + legs["exit_number"], side="right"), -1)
    walked = depth.cumsum()[:-1] > 0
    return contract[walked], rows[walked]


def _quoted(contract: Array, number: Array, quotes: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
    """The bid and ask of each contract and session, NaN where there is no valid quote."""
    span = 2**32
    known = quotes[0].astype(np.int64) * span + quotes[1]
    wanted = contract * span + number
    if not known.size:
        return np.full(wanted.size, np.nan), np.full(wanted.size, np.nan)
    at = np.searchsorted(known, wanted).clip(max=known.size - 1)
    found = known[at] == wanted
    return np.where(found, quotes[2][at], np.nan), np.where(found, quotes[3][at], np.nan)


def walked_closes(wheels: Array, underlying: Underlying, name: str) -> pl.DataFrame:
    """The underlying's closes from the entry of any launched wheel to its end, gaps left out."""
    size = underlying.close.size
    depth = np.zeros(size + 1, np.int64)
    np.add.at(depth, wheels["number"], 1)
    np.add.at(depth, np.minimum(wheels["until"] + 1, size), -1)
    kept = (depth.cumsum()[:-1] > 0) & ~np.isnan(underlying.close)
    columns = {
        "underlying": same(name, int(kept.sum())),
        "session": dates(underlying.day[kept]),
        "close": underlying.close[kept],
    }
    return pl.DataFrame(columns, schema=UNDERLYING_CLOSES)
