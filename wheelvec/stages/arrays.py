"""Conversion of columns of frames to contiguous arrays, and arithmetic shared by the stages."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import polars as pl

from wheelvec.kernels.slices import Underlying

Array = np.ndarray[Any, Any]
_NO_TIME = np.iinfo(np.int64).min  # by which NumPy represents a missing time


def column(frame: pl.DataFrame, name: str, dtype: Any) -> Array:
    """A copy of a column as a contiguous array, (n,); nulls of a float become NaN.

    Always a copy: Polars returns some columns as read-only views and others as copies, and Numba
    compiles a kernel once more for each combination of the two.

    Args:
        frame: has the column, of n rows.
        name: of the column.
        dtype: of the array.
    """
    return np.array(frame[name].to_numpy(), dtype=dtype, order="C")


def lent(values: pl.Series, dtype: Any) -> Array:
    """A series as a contiguous read-only array, (n,), a view where possible; null floats are NaN.

    Always read-only, so that Numba compiles a kernel for one type of array, and not once more for
    each combination of views and copies that Polars returns.

    Args:
        values: (n,) a column.
        dtype: of the array.
    """
    return closed(np.ascontiguousarray(values.to_numpy(), dtype=dtype))


def taken(values: pl.Series, index: Array) -> pl.Series:
    """(n,) the values of a series at some places.

    Not by Series.gather, which is a query: queries run on Polars' own threads. A thread that
    simulates an underlying beside others waits long until one of these gets a processor.

    Args:
        values: a series.
        index: (n,) whole numbers.
    """
    return values[index]


def closed(array: Array) -> Array:
    """A read-only view of an array."""
    view = array.view()
    view.flags.writeable = False
    return view


def quotient(frame: pl.DataFrame, above: str, below: str, factor: float = 1.0) -> pl.Series:
    """factor*above/below of two columns, (n,); null where one is null and where 0 is over 0.

    Divided by NumPy: Polars takes a column that is constant, as after a join with one row, for a
    scalar, and multiplies by the reciprocal of a scalar. The last bit would depend on the other
    rows of the frame.

    Args:
        frame: has both columns, of n rows.
        above: name of the numerator.
        below: name of the denominator.
        factor: of the quotient.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        divided = factor * column(frame, above, np.float64) / column(frame, below, np.float64)
    return pl.Series(divided).fill_nan(None)


def days(frame: pl.DataFrame, name: str) -> Array:
    """A Date column as days since 1970-01-01, (n,) int64."""
    return frame[name].to_numpy().astype("datetime64[D]").astype(np.int64)


def times_of(values: pl.Series, missing: int) -> Array:
    """Times as nanoseconds since 1970-01-01, (n,) int64, read-only.

    Args:
        values: (n,) a Datetime of nanoseconds.
        missing: stands for a null.
    """
    found = values.to_numpy().view(np.int64)
    if missing != _NO_TIME and values.null_count():
        found = np.where(found == _NO_TIME, missing, found)
    return closed(np.ascontiguousarray(found))


def numbers_of(day: Array, sessions: pl.DataFrame) -> Array:
    """The session number of each day, (n,) int64; -1 for a day that is not a session.

    Args:
        day: (n,) days since 1970-01-01.
        sessions: session and number.
    """
    known, number = days(sessions, "session"), column(sessions, "number", np.int64)
    at = np.searchsorted(known, day).clip(max=known.size - 1)
    return np.where(known[at] == day, number[at], -1)


def underlying_arrays(
    closes: Callable[[str], pl.DataFrame],
    sessions: pl.DataFrame,
    names: Iterable[tuple[str, int, int]],
) -> Underlying:
    """Closes of one underlying by session number.

    Args:
        closes: session and close (dollars) of each bar of a name.
        sessions: session and number.
        names: that it bears, each with its first session and one past its last.

    Returns:
        Closes, NaN on sessions without a bar, and by session the number of the last one with a bar
        of the name that it bears then; -1 if there is none.
    """
    close, last_bar = np.full(sessions.height, np.nan), np.full(sessions.height, -1, np.int64)
    for name, first, end in names:
        bars = closes(name)
        numbers = numbers_of(days(bars, "session"), sessions)
        last_bar[first:end] = numbers.max(initial=-1)
        inside = (numbers >= max(first, 0)) & (numbers < end)
        close[numbers[inside]] = column(bars, "close", np.float64)[inside]
    return Underlying(close, days(sessions, "session"), last_bar)
