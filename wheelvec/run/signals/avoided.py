"""Sessions that are not near given dates."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.errors import InputError, cut
from wheelvec.model.fields import read_day
from wheelvec.model.schemas import as_polars
from wheelvec.run.signals.closes import Symbols, checked, chosen, framed, whole
from wheelvec.stages.arrays import Array
from wheelvec.tables.sessions import Sessions


def avoid(
    market: Market, dates: Any, before: int = 0, after: int = 0, symbols: Symbols = None
) -> pl.DataFrame:
    """The sessions that are not near given dates, such as earnings: a frame for `when=` as it is.

    Left out are the dates themselves, `before` sessions before and `after` sessions after each. A
    date that is no session stands between two: with 1 and 1 both are left out. A wheel that opened
    earlier may still be open on a date; to open none that can be, let `before` span its life (45
    calendar days are 31 sessions). Give the dates as they were known at the time.

    Args:
        market: the tables, whose sessions are meant.
        dates: dates for all underlyings; a mapping of underlyings to dates; or a frame with the
            columns `underlying` and `date`. Underlyings that the market does not have are left out.
        before: sessions before a date, from 0 on.
        after: sessions after a date, from 0 on.
        symbols: the underlyings; None: all that have quotes.

    Returns:
        session, underlying of the sessions on which wheels may open, by underlying and session.

    Raises:
        InputError: for an unknown underlying, text that is no date, a number of sessions that is no
            whole number from 0 on, or dates of other underlyings only.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> when = wv.signals.avoid(market, {"ALFA": ["2024-01-31"]}, before=2, after=1)
        >>> len(market.sessions.dates) - when.height
        4
    """
    before, after = whole("before", before, 0), whole("after", after, 0)
    names = chosen(symbols, checked(market).symbols)
    given = _dates_of(dates, names)
    frames = [pl.DataFrame(schema={"session": pl.Date, "underlying": pl.String})]
    if market.data_range is None:
        return frames[0]
    # dates after the data reach back into them
    reach = dt.timedelta(days=2 * max(before, after) + 14)
    first, last = market.data_range
    days = Sessions.known(market.trading_calendar, first - reach, last + reach).dates
    within = (days >= np.datetime64(first)) & (days <= np.datetime64(last))
    for name in names:
        free = within & ~_near(days, given[name], before, after)
        frames.append(framed(pl.Series(days[free]).cast(pl.Date), name, {}))
    return pl.concat(frames)


def _near(days: Array, dates: list[dt.date], before: int, after: int) -> Array:
    """(sessions,) whether each session is near one of some dates."""
    found = np.zeros(days.size + 1, np.int64)
    wanted = np.array(dates, "datetime64[D]")
    inside = wanted[(wanted >= days[0]) & (wanted <= days[-1])] if days.size else wanted[:0]
    first = np.searchsorted(days, inside, "left") - before
    end = np.searchsorted(days, inside, "right") + after  # one past the last
    np.add.at(found, first.clip(0, days.size), 1)
    np.add.at(found, end.clip(0, days.size), -1)
    return np.asarray(found.cumsum()[:-1] > 0)


def _dates_of(dates: Any, names: list[str]) -> dict[str, list[dt.date]]:
    """The dates of each underlying."""
    if hasattr(type(dates), "columns"):
        frame = as_polars("dates", dates)
        if lacking := [name for name in ("underlying", "date") if name not in frame.columns]:
            raise InputError(
                f"dates lacks the column {lacking[0]!r}: found {frame.columns}, expected "
                "underlying and date"
            )
        found: dict[str, list[Any]] = {}
        for underlying, date in frame.select("underlying", "date").drop_nulls().iter_rows():
            found.setdefault(underlying, []).append(date)
    elif isinstance(dates, Mapping):
        found = {name: _listed(each) for name, each in dates.items()}
    else:
        every = _listed(dates)
        found = dict.fromkeys(names, every)
    if found and names and not set(found) & set(names):
        raise InputError(f"dates are of {cut(sorted(found))}, none of which is among {cut(names)}")
    return {name: [read_day("dates", day) for day in found.get(name, [])] for name in names}


def _listed(dates: Any) -> list[Any]:
    if isinstance(dates, str) or not isinstance(dates, Iterable):
        raise InputError(f"dates = {cut(dates)}: expected a list of dates, a mapping or a frame")
    return list(dates)
