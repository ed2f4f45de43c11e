"""The windows of a backtest: sessions of entry, and the data that their legs can need.

A leg lies within one window: the data reach as far after the last session of entry as a contract
lasts. A wheel that holds shares when a window ends goes on in the next one, with the calls sold
there. So every quote is read once, but for those in which two windows overlap, and ten years take
ten times as long as one, however many calls a wheel may sell.
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
from wheelvec.run.slices import ChainKey

MONTHS = 12  # of entries: longer windows overlap less, and take more memory


class Window(NamedTuple):
    """Some sessions of entry, and the data for them."""

    start: dt.date  # of the data
    end: dt.date  # included
    months: int  # of entry
    first: int  # session of entry
    last: int  # included; before the first where there are none
    until: int  # the last session on which a call is sought


def windows_of(context: Context, chain_key: ChainKey, config: Config, opens: Array) -> list[Window]:
    """Windows one after the other, from the first month of entry to the last.

    They go on to the end of the data where wheels may last as long.

    Args:
        context: the grid over the market.
        chain_key: of the row.
        config: the row's configuration.
        opens: (sessions,) whether each is an entry session of the row.
    """
    found: list[Window] = []
    months = context.months(chain_key, opens)
    entries = {
        part: list(some) for part, some in itertools.groupby(months, lambda month: _part(month[0]))
    }
    day = context.sessions[chain_key]["session"].to_numpy()
    for part in itertools.count(min(entries, default=0)):
        complete = bool(found) and found[-1].until == FAR
        if not entries or (complete and part > max(entries)):
            return found
        if complete and part not in entries:
            continue
        found.append(_window(part, entries.get(part, []), day, context, config))
    return found


def _window(
    part: int,
    months: list[tuple[dt.date, int, int]],
    day: Array,
    context: Context,
    config: Config,
) -> Window:
    begin, end = _month(part * MONTHS), month_end(_month((part + 1) * MONTHS - 1))
    until = int(np.searchsorted(day, np.datetime64(end), side="right")) - 1
    if not config.schedule.allow_multiple_wheels_per_symbol:
        # a wheel that goes on later must be sure to occupy its underlying until the window ends,
        # so that those whose last leg settles within it are followed to their end
        until += config.call.call_wait_sessions + SALE_WAITS + 2
    until = min(until, day.size - 1)
    reached = max(end, day[until].astype("datetime64[D]").item()).toordinal() + context.dte_max
    last = context.last or end
    if reached >= last.replace(day=1).toordinal():
        reached, until = last.toordinal(), FAR
    first, stop = (months[0][1], months[-1][2]) if months else (0, -1)
    return Window(begin, month_end(dt.date.fromordinal(reached)), len(months), first, stop, until)


def _part(month: dt.date) -> int:
    return (12 * month.year + month.month - 1) // MONTHS


def _month(number: int) -> dt.date:
    """The first day of a month, counted from the year 0."""
    number = min(max(number, 12), 12 * dt.MAXYEAR + 11)
    return dt.date(number // 12, number % 12 + 1, 1)
