"""The monthly returns of a sweep's configurations, and which wheels can cross a border of time."""

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.needs import MONTHS, at_least
from wheelvec.inference.units import Launched, summed
from wheelvec.model.errors import InsufficientDataError
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]

EDGE = 3  # the first and the last session of a month are within so many days of its ends


class Monthly(NamedTuple):
    """The returns of configurations by month of entry.

    Attributes:
        month: (months,) datetime64[M].
        returns: (months, columns) P&L over the capital of the wheels entered; 0 without a wheel.
        rows: (columns,) the first row of the sweep of each column.
    """

    month: Array
    returns: Array
    rows: Array


def whole_months(sweep: Sweep, what: str) -> Array:
    """(months,) datetime64[M], every month whose entries are all in and whose puts all settle.

    A month in which the schedule begins or ends is left out, and so are those at the end whose puts
    may settle after the last session of the data (rules.md, section 10: censored).

    Args:
        sweep: the sweep.
        what: the statistic, for the refusal.

    Raises:
        InsufficientDataError: for fewer than 24 months.
    """
    sessions, data = sweep.sessions, sweep.data_range
    if sessions.is_empty() or data is None:
        raise InsufficientDataError(f"{what} needs at least {MONTHS} months: there are 0")
    starts = _values(sweep, "schedule.start_date") or [sessions[0]]
    ends = _values(sweep, "schedule.end_date") or [sessions[-1]]
    settled = data[1] - dt.timedelta(days=int(max(_values(sweep, "put.dte_max"))))
    near = dt.timedelta(days=EDGE + 1)
    days = [max(min(starts), data[0]) - near, min(max(ends), data[1], settled) + near]
    # a month counts if the first day is in an earlier one, and the second in a later one
    before, after = np.array(days, "datetime64[D]").astype("datetime64[M]")
    found = np.arange(before + 1, after)
    at_least(what, MONTHS, found.size, "whole months whose puts all settle")
    return found


def _values(sweep: Sweep, name: str) -> list[Any]:
    """The values of a field in the rows, without None."""
    section, _, field = name.partition(".")
    if name in sweep.names:
        return sweep.frame[name].drop_nulls().unique().to_list()
    value = getattr(getattr(sweep.config, section), field)
    return [] if value is None else [value]


def monthly(sweep: Sweep, what: str) -> Monthly:
    """The returns of whole months, from `Sweep.periods`; of seeds the mean.

    Args:
        sweep: the sweep.
        what: the statistic, for the refusal.
    """
    months = whole_months(sweep, what)
    periods = sweep.periods("1mo")
    month = periods["period"].to_numpy().astype("datetime64[M]")
    inside = (month >= months[0]) & (month <= months[-1])
    row, at = periods["row"].to_numpy(), (month - months[0]).astype(np.int64)
    rows, group = np.unique(sweep.configurations, return_inverse=True)
    sums = np.zeros((months.size, rows.size))
    pnl, capital = (periods[name].to_numpy() for name in ("pnl", "capital"))
    inside &= capital > 0.0
    np.add.at(sums, (at[inside], group[row[inside]]), pnl[inside] / capital[inside])
    return Monthly(months, sums / np.bincount(group), rows)


def returned(pnl: Array, capital: Array) -> Array:
    """P&L over capital; 0 where there is none."""
    out = np.zeros_like(pnl)
    return np.divide(pnl, capital, out=out, where=capital > 0.0)


def clear_of(day: Array, borders: Array, longest: int) -> NDArray[np.bool_]:
    """(days,) whether a wheel entered on a day must have ended before the next border.

    The actual end of a wheel is not used: wheels that end early are the winners, and to drop only
    wheels that were in fact open across a border would keep them.

    Args:
        day: (days,) datetime64[D], entry sessions.
        borders: (borders,) datetime64[D], ascending.
        longest: the most calendar days that a wheel lasts.
    """
    following = np.searchsorted(borders, day, side="right")
    far = np.append(borders, np.datetime64("9999-12-31"))
    clear: NDArray[np.bool_] = day + np.timedelta64(longest, "D") < far[following]
    return clear


def monthly_of(of: Launched, months: Array, keep: Array) -> tuple[Array, Array]:
    """The months in which a wheel may count, and the returns of the wheels that do.

    Args:
        of: the wheels.
        months: (months,) datetime64[M], consecutive.
        keep: (units,) whether the wheels of an entry session count.

    Returns:
        (months,) whether an entry session counts, and (months, columns) returns.
    """
    at = (of.day.astype("datetime64[M]") - months[0]).astype(np.int64)
    inside = (at >= 0) & (at < months.size) & keep
    one = np.zeros((months.size, of.day.size))
    one[at[inside], np.flatnonzero(inside)] = 1.0
    pnl, capital = (one @ each for each in summed(of, "pnl", "capital"))
    return np.asarray(one.any(axis=1)), returned(pnl, capital)
