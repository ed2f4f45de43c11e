"""The windows of a backtest: entry sessions, and the data that their legs can need.

Every leg is within one window: after the last entry session its data extend by the longest
contract. A wheel that holds shares when a window ends continues in the next one, where its next
calls are sold. So every quote is read once, except where two windows overlap. Ten years take ten
times as long as one, however many calls a wheel may sell.
"""

import datetime as dt
import itertools
from typing import NamedTuple

import numpy as np

from wheelvec.kernels.calls import FAR
from wheelvec.kernels.wheel import SALE_WAITS
from wheelvec.lake.lake import month_end
from wheelvec.model.config import Config
from wheelvec.run.context import Array, Context
from wheelvec.run.slicing.slices import ChainKey

MONTHS = 12  # with entries: longer windows overlap less, but take more memory


class Window(NamedTuple):
    """Consecutive entry sessions, and the data that their legs can need.

    Attributes:
        start: the first day of the data.
        end: the last day of the data, included.
        months: the number of months with an entry session.
        first: the first entry session.
        last: the last entry session, included; before `first` where there is none.
        until: the last session on which a call may be sold.
    """

    start: dt.date
    end: dt.date
    months: int
    first: int
    last: int
    until: int


def windows_of(context: Context, chain_key: ChainKey, config: Config, opens: Array) -> list[Window]:
    """The windows of a row, ascending.

    They cover all entry sessions, and the rest of the data where a wheel may still be open.

    Args:
        context: the grid over the market.
        chain_key: of the row.
        config: the row's configuration.
        opens: (sessions,) whether each is an entry session of the row.
    """
    found: list[Window] = []
    months = context.months(chain_key, opens)
    entries = {
        number: list(group)
        for number, group in itertools.groupby(months, lambda month: _window_number(month[0]))
    }
    day = context.sessions[chain_key]["session"].to_numpy()
    for number in itertools.count(min(entries, default=0)):
        complete = bool(found) and found[-1].until == FAR
        if not entries or (complete and number > max(entries)):
            return found
        if complete and number not in entries:
            continue
        found.append(_window(number, entries.get(number, []), day, context, config))
    return found


def _window(
    number: int,
    months: list[tuple[dt.date, int, int]],
    day: Array,
    context: Context,
    config: Config,
) -> Window:
    """One window.

    Args:
        number: of the window since the year 0.
        months: its months with an entry session: first day, first and last session.
        day: (sessions,) the day of each session.
        context: the grid over the market.
        config: the row's configuration.
    """
    begin, end = _month(number * MONTHS), month_end(_month((number + 1) * MONTHS - 1))
    until = int(np.searchsorted(day, np.datetime64(end), side="right")) - 1
    if not config.schedule.allow_multiple_wheels_per_symbol:
        # A carried wheel must occupy its underlying until the window ends. Wheels whose last leg
        # settles in the window are therefore simulated to their end.
        until += config.call.call_wait_sessions + SALE_WAITS + 2
    until = min(until, day.size - 1)
    reached = max(end, day[until].astype("datetime64[D]").item()).toordinal() + context.dte_max
    last = context.last or end
    if reached >= last.replace(day=1).toordinal():
        reached, until = last.toordinal(), FAR
    first, stop = (months[0][1], months[-1][2]) if months else (0, -1)
    return Window(begin, month_end(dt.date.fromordinal(reached)), len(months), first, stop, until)


def _window_number(month: dt.date) -> int:
    """The number of the window of a month, counted from the year 0."""
    return (12 * month.year + month.month - 1) // MONTHS


def _month(number: int) -> dt.date:
    """The first day of a month by its number, counted from the year 0."""
    number = min(max(number, 12), 12 * dt.MAXYEAR + 11)
    return dt.date(number // 12, number % 12 + 1, 1)
