"""Choose the covered call of each assigned wheel on one session (rules.md, section 7)."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.kernels.compiled import lean
from wheelvec.kernels.quote import (
    REJECTED,
    FillOdds,
    Grades,
    LiquidityLimits,
    Quotes,
    best_of,
    entry_price,
    fill_probability,
    grade,
    penalty_of,
    pick,
    room_for_quotes,
    rows_of,
)
from wheelvec.kernels.threads import over_blocks
from wheelvec.spec.codes import EndReason

Array = NDArray[Any]
NO_CALL_QUOTES, NO_CALL_IN_RANGE = int(EndReason.NO_CALL_QUOTES), int(EndReason.NO_CALL_IN_RANGE)
NO_CALL_ABOVE_BASIS, NO_CALL_LIQUID = int(EndReason.NO_CALL_ABOVE_BASIS), int(EndReason.NO_CALL_LIQUID)
SOLD = -1
# Wheels per compiled call: each looks through a session's calls, some microseconds.
SEEKERS = 1024


class CallSearch(NamedTuple):
    """Which calls qualify."""

    dte_min: int
    dte_max: int
    delta_min: float
    delta_max: float
    above_basis: bool
    strike_factor: float  # 1 + strike_min_pct_above_basis
    rank_over_chain: bool
    select: int
    delta_target: float
    flat_odds: bool  # v5: p_fill as if spread_pct were 0.05 and ivp 0.5


class Sales(NamedTuple):
    """What the search writes for each wheel, (n,) each: the row sold (-1: none) and how, or what emptied the field."""

    row: np.ndarray
    status: np.ndarray  # SOLD or an EndReason
    in_range: np.ndarray
    above_basis: np.ndarray
    liquid: np.ndarray
    ivp: np.ndarray
    tier: np.ndarray
    penalty: np.ndarray
    price: np.ndarray
    p_fill: np.ndarray


class SearchRoom(NamedTuple):
    """Room for the calls of one session."""

    field: np.ndarray  # rows that qualify
    group: Quotes  # copies of them
    grades: Grades


def new_search_room(n: int) -> SearchRoom:
    """Room for n calls."""
    grades = Grades(np.empty(n), np.empty(n, np.int8), np.empty(n, np.bool_))
    return SearchRoom(np.empty(n, np.int64), room_for_quotes(n), grades)


@lean
def qualify(quotes, first, last, basis, search, field):  # type: ignore[no-untyped-def]
    """Write the rows in range and above the basis into `field`; how many are in range, and how many of them above."""
    in_range, above = 0, 0
    for r in range(first, last):
        within = search.dte_min <= quotes.dte[r] <= search.dte_max
        if not (within and search.delta_min <= quotes.delta[r] <= search.delta_max):
            continue
        in_range += 1
        if not search.above_basis or quotes.strike[r] >= basis * search.strike_factor:
            field[above] = r
            above += 1
    return in_range, above


@lean
def sell_one(w, quotes, first, last, basis, search, limits, odds, room, out):  # type: ignore[no-untyped-def]
    """Choose among the calls of rows first..last-1 for wheel w, and write the sale or why there is none."""
    field = room.field
    out.in_range[w], above = qualify(quotes, first, last, basis, search, field)
    out.above_basis[w] = above
    pick(quotes, field, above, room.group)
    group = rows_of(room.group, 0, above)
    grades = Grades(room.grades.ivp[:above], room.grades.tier[:above], room.grades.chosen[:above])
    grade(group, search.rank_over_chain, limits, grades)
    for i in range(above):
        grades.chosen[i] = grades.tier[i] != REJECTED
    out.liquid[w] = grades.chosen.sum()
    best = best_of(group, grades.chosen, search.select, search.delta_target)
    if best < 0:
        out.status[w] = NO_CALL_IN_RANGE if out.in_range[w] == 0 else NO_CALL_ABOVE_BASIS if above == 0 else NO_CALL_LIQUID
        return
    penalty = penalty_of(grades.tier[best])
    spread_pct, ivp = (0.05, 0.5) if search.flat_odds else (group.spread_pct[best], grades.ivp[best])
    out.row[w], out.status[w] = field[best], SOLD
    out.ivp[w], out.tier[w], out.penalty[w] = grades.ivp[best], grades.tier[best], penalty
    out.price[w] = entry_price(group.bid[best], group.ask[best], group.mid[best], penalty, odds.mode)
    out.p_fill[w] = fill_probability(spread_pct, ivp, limits, odds)


@lean
def sell_block(number, basis, quotes, starts, n_valid, search, limits, odds, room, out):  # type: ignore[no-untyped-def]
    """For each of (n,) wheels try to sell one call on session `number[w]` (-1: on no session).

    The calls of session s are the rows starts[s] .. starts[s + 1] - 1 of `quotes`; n_valid[s] counts the underlying's valid
    quotes, puts included. `basis` is dollars per share. Writes (n,) `Sales`.
    """
    for w in range(number.size):
        s = number[w]
        out.row[w], out.in_range[w], out.above_basis[w], out.liquid[w] = -1, 0, 0, 0
        if s < 0 or s >= n_valid.size or n_valid[s] == 0:
            out.status[w] = NO_CALL_QUOTES
        else:
            sell_one(w, quotes, starts[s], starts[s + 1], basis[w], search, limits, odds, room, out)


def sell_calls(
    number: Array, basis: Array, quotes: Quotes, starts: Array, n_valid: Array, search: CallSearch, limits: LiquidityLimits,
    odds: FillOdds, out: Sales,
) -> None:  # fmt: skip
    """`sell_block` over blocks of wheels, on several threads."""
    most = int(np.diff(starts).max(initial=0))

    def sell(block: slice) -> None:
        some = Sales(*[a[block] for a in out])
        sell_block(number[block], basis[block], quotes, starts, n_valid, search, limits, odds, new_search_room(most), some)

    over_blocks(number.size, sell, SEEKERS)
