"""The only place where frames become contiguous arrays and back."""

from typing import Any

import numpy as np
import polars as pl

from wheelvec.kernels.slices import Underlying

Array = np.ndarray[Any, Any]


def column(frame: pl.DataFrame, name: str, dtype: Any) -> Array:
    """One column as a contiguous array of its own; nulls of a float become NaN.

    Always a copy: Polars lends some columns read-only and not others, and Numba compiles a kernel
    anew for each mixture.
    """
    return np.array(frame[name].to_numpy(), dtype=dtype, order="C")


def lent(values: pl.Series, dtype: Any) -> Array:
    """A series as a contiguous array that cannot be written to, without a copy where that is
    possible; nulls of a float become NaN.

    Never to be written to, so that Numba compiles a kernel for one kind of array, and not for each
    mixture of what Polars lends and what it copies.
    """
    return closed(np.ascontiguousarray(values.to_numpy(), dtype=dtype))


def closed(array: Array) -> Array:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


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
    return frame[name].to_numpy().astype("datetime64[D]").astype(np.int64)


def numbers_of(day: Array, sessions: pl.DataFrame) -> Array:
    """The session number of each day since 1970-01-01, -1 for one that is no session."""
    known, number = days(sessions, "session"), column(sessions, "number", np.int64)
    at = np.searchsorted(known, day).clip(max=known.size - 1)
    return np.where(known[at] == day, number[at], -1)


def underlying_arrays(bars: pl.DataFrame, sessions: pl.DataFrame) -> Underlying:
    """Closes of one underlying by session number; last_bar is -1 if it has no bar on any session."""
    close = np.full(sessions.height, np.nan)
    on_sessions = bars.join(sessions.select("session", "number"), on="session")
    numbers = column(on_sessions, "number", np.int64)
    close[numbers] = column(on_sessions, "close", np.float64)
    return Underlying(close, days(sessions, "session"), int(numbers.max()) if numbers.size else -1)
