"""The only place where frames become contiguous arrays and back."""

import dataclasses
from typing import Any

import numpy as np
import polars as pl

from wheelvec.kernels.quotes import Quotes
from wheelvec.kernels.slices import Rows, Underlying

Array = np.ndarray[Any, Any]


def column(frame: pl.DataFrame, name: str, dtype: Any) -> Array:
    """One column as a contiguous array of its own; nulls of a float become NaN.

    Always a copy: Polars lends some columns read-only and not others, and Numba compiles a kernel
    anew for each mixture.
    """
    return np.array(frame[name].to_numpy(), dtype=dtype, order="C")


def quotient(frame: pl.DataFrame, above: str, below: str, factor: float = 1.0) -> pl.Series:
    """factor*above/below of two columns, null where one of them is or where nothing is divided by
    zero.

    In NumPy: a column that is one number throughout, as after a join with one row, is a number to
    Polars too, and by a number it divides as it multiplies by the inverse. The last bit would
    depend on what other rows there are.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        divided = factor * column(frame, above, np.float64) / column(frame, below, np.float64)
    return pl.Series(divided).fill_nan(None)


def days(frame: pl.DataFrame, name: str) -> Array:
    """A Date column as days since 1970-01-01, int64."""
    return column(frame.select(pl.col(name).to_physical()), name, np.int64)


def quote_arrays(chain: pl.DataFrame) -> Quotes:
    """The columns of a chain that kernels read."""
    wanted = {name: np.int64 if name == "dte" else np.float64 for name in Quotes._fields}
    return Quotes(**{name: column(chain, name, dtype) for name, dtype in wanted.items()})


def group_starts(numbers: Array, first: int, last: int) -> Array:
    """Where each session number first..last starts in sorted `numbers`, and where the last one
    ends: (last-first+2,).
    """
    return np.searchsorted(numbers, np.arange(first, last + 2)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Paths:
    """What contracts traded at: rows sorted by (contract, session), reached by offsets."""

    starts: Array  # (contracts + 1,)
    rows: Rows


def build_paths(contracts: pl.DataFrame, bars: pl.DataFrame | None, quotes: pl.DataFrame, sessions: pl.DataFrame,
                gap_path: str) -> Paths:  # fmt: skip
    """The paths of contracts: their bars, and quotes where there are none (rules.md, section 6).

    `contracts` are symbol and number; `bars` (symbol, session, OHLC) or None for an underlying
    without any; `quotes` the valid quotes (contract, number, bid, ask, mid); `sessions` maps
    session to number, and rows off the calendar are passed over.
    """
    parts = [] if bars is None else [_bar_rows(bars, contracts, sessions)]
    if bars is None or gap_path == "quote":
        stand_ins = _quote_rows(quotes)
        parts.append(
            stand_ins
            if bars is None
            else stand_ins.join(parts[0], on=["contract", "number"], how="anti")
        )
    rows = pl.concat(parts).sort("contract", "number")
    kinds = {"number": np.int64, "is_quote": np.bool_}
    arrays = Rows(
        **{name: column(rows, name, kinds.get(name, np.float64)) for name in Rows._fields}
    )
    starts = np.searchsorted(
        column(rows, "contract", np.int64), np.arange(contracts.height + 1)
    ).astype(np.int64)
    return Paths(starts, arrays)


_PATH_COLUMNS = ("contract", "number", "open", "high", "low", "close", "bid", "ask", "is_quote")


def _bar_rows(bars: pl.DataFrame, contracts: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    null = pl.lit(None, pl.Float64)
    rows = bars.join(contracts, on="symbol").join(
        sessions.select("session", "number"), on="session"
    )
    return rows.with_columns(bid=null, ask=null, is_quote=False).select(_PATH_COLUMNS)


def _quote_rows(quotes: pl.DataFrame) -> pl.DataFrame:
    mid = {name: pl.col("mid") for name in ("open", "high", "low", "close")}
    return (
        quotes.filter(pl.col("contract").is_not_null())
        .with_columns(**mid, is_quote=True)
        .select(_PATH_COLUMNS)
    )


def with_settlement(contracts: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Add settlement_number: the last session on or before the expiration (Saturday-dated
    monthlies, holidays).
    """
    dates = sessions["session"].to_numpy()
    last = np.searchsorted(dates, contracts["expiration"].to_numpy(), side="right") - 1
    return contracts.with_columns(settlement_number=pl.Series(last, dtype=pl.Int64))


def underlying_arrays(bars: pl.DataFrame, sessions: pl.DataFrame) -> Underlying:
    """Closes of one underlying by session number; last_bar is -1 if it has no bar on any session."""
    close = np.full(sessions.height, np.nan)
    on_sessions = bars.join(sessions.select("session", "number"), on="session")
    numbers = column(on_sessions, "number", np.int64)
    close[numbers] = column(on_sessions, "close", np.float64)
    return Underlying(close, days(sessions, "session"), int(numbers.max()) if numbers.size else -1)
