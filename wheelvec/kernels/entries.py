"""The puts sold in one month: range, rank, liquidity, selection, price (rules.md, 3 and 4)."""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Reals
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.parameters import CallRules, CommonRules
from wheelvec.kernels.quotes import (
    CLOSEST_OTM,
    Grades,
    Quotes,
    choose_puts,
    empty_quotes,
    entry_price,
    penalty_of,
    pick,
    pick_otm,
)
from wheelvec.kernels.slices import Slice


class Selection(NamedTuple):
    """A buffer for the puts of a month.

    `select_puts` returns how many rows of the last five are filled.
    """

    starts: Integers  # (sessions of the month + 1,) in what follows, until `chosen` is applied
    rows: Integers  # puts in range
    quotes: Quotes
    grades: Grades
    row: Integers  # puts sold, in wheel order: row of Slice.puts
    number: Integers  # session
    ivp: Reals
    tier: Integers
    price: Reals  # dollars per share


def new_selection(sessions: int, size: int) -> Selection:
    """A buffer for `size` puts in range over `sessions` sessions."""
    return Selection(
        starts=np.empty(sessions + 1, np.int64),
        rows=np.empty(size, np.int64),
        quotes=empty_quotes(size),
        grades=Grades(np.empty(size), np.empty(size, np.int8), np.empty(size, np.bool_)),
        row=np.empty(size, np.int64),
        number=np.empty(size, np.int64),
        ivp=np.empty(size),
        tier=np.empty(size, np.int64),
        price=np.empty(size),
    )


@njit_lean
def first_from(dtes: Integers, first: int, last: int, dte: int) -> int:
    """The first of the rows first..last-1, sorted by dte, with at least so many days.

    `last` if there is none.
    """
    while first < last:
        middle = (first + last) // 2
        if dtes[middle] < dte:
            first = middle + 1
        else:
            last = middle
    return first


@njit_inlined
def is_otm_within(otm: float, rules: CommonRules | CallRules) -> bool:
    """Whether an option is out of the money by a share within the rules' range."""
    return rules.otm_min <= otm <= rules.otm_max


@njit_lean
def within_otm(slice_: Slice, common: CommonRules, first: int, last: int, out: Selection) -> int:
    """Keep those of `out.rows` first..last-1 whose moneyness is in range; one past the last.

    Args:
        slice_: the underlying.
        common: the range.
        first: row of `out`.
        last: row, excluded.
        out: its `rows` are moved to the front.
    """
    n = first
    for i in range(first, last):
        out.rows[n] = out.rows[i]
        n += is_otm_within(slice_.puts[out.rows[i]].otm, common)
    return n


@njit_inlined
def in_range(
    slice_: Slice, common: CommonRules, opens: Flags, first: int, last: int, out: Selection
) -> int:
    """Write the puts within dte, delta and moneyness of sessions first..last; their number.

    Args:
        slice_: the underlying.
        common: the ranges.
        opens: (sessions,) whether wheels open.
        first: session number.
        last: session number, included.
        out: `rows` and `starts` are written.
    """
    n, dte, delta = 0, slice_.put_dte, slice_.put_delta
    for s in range(first, last + 1):
        out.starts[s - first] = n
        if not opens[s]:
            continue
        end = slice_.put_starts[s + 1]
        r = first_from(dte, slice_.put_starts[s], end, common.dte_min)
        while r < end and dte[r] <= common.dte_max:  # candidate order begins with the expiration
            out.rows[n] = r  # kept if it is in range: written without a branch
            n += common.delta_min <= delta[r] <= common.delta_max
            r += 1
        if common.by_otm:
            n = within_otm(slice_, common, out.starts[s - first], n, out)
    out.starts[last + 1 - first] = n
    return n


@njit_inlined
def select_puts(
    slice_: Slice, common: CommonRules, opens: Flags, first: int, last: int, out: Selection
) -> int:
    """Write the puts sold on sessions first..last in wheel order; their number.

    Of a session only the first `per_day` are written; where one wheel is open at a time, only the
    first: another could never open.

    Args:
        slice_: the underlying.
        common: which puts are sold.
        opens: (sessions,) whether wheels open.
        first: session number.
        last: session number, included.
        out: written.
    """
    n = in_range(slice_, common, opens, first, last, out)
    pick(slice_.puts, out.rows, n, out.quotes)
    if common.select == CLOSEST_OTM:
        pick_otm(slice_.puts, out.rows, n, out.quotes)
    starts = out.starts[: last + 2 - first]
    choose_puts(
        out.quotes,
        starts,
        common.rank_over_chain,
        common,
        common.dte_target,
        common.select,
        common.target,
        out.grades,
    )
    sold = 0
    most = 1 if common.one_at_a_time else common.per_day
    for s in range(starts.size - 1):
        today = 0
        for i in range(starts[s], starts[s + 1]):
            if today == most:
                break
            if out.grades.chosen[i]:
                quotes, tier = out.quotes, out.grades.tier[i]
                out.row[sold], out.number[sold] = out.rows[i], first + s
                out.ivp[sold], out.tier[sold] = out.grades.ivp[i], tier
                out.price[sold] = entry_price(
                    quotes.bid[i],
                    quotes.ask[i],
                    quotes.mid[i],
                    penalty_of(tier),
                    common.mode,
                    common.ticks,
                )
                sold += 1
                today += 1
    return sold
