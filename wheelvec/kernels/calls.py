"""Covered calls: which call is sold next, and how a wheel ends (rules.md, section 7).

It depends on the put's contract, its entry premium and the call rules, never on the put's exit
rules. A backtest and a sweep use the same functions: one gives them outcomes to write to, the other
None.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wheelvec.jit.arrays import Integers, Reals, Records, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.accumulate import (
    ABOVE,
    AFTER,
    CC,
    END,
    HELD,
    INSIDE,
    MARKED,
    OPEN_AFTER,
    PASSED,
    SUSPECTED_AFTER,
    WORDS,
    count_after,
    days_of,
    missing_of,
    packed_days,
    packed_reason,
)
from wheelvec.kernels.draws import Drawn, new_drawn
from wheelvec.kernels.entries import first_from, is_otm_within
from wheelvec.kernels.events import (
    SUSPECTED,
    barrier_between,
    contract_on,
    passes_any,
    shares_between,
)
from wheelvec.kernels.exercise import exercise_of, rows_until
from wheelvec.kernels.exits import (
    ASSIGNED,
    BAR,
    CALLED_AWAY,
    EXIT,
    OPEN,
    PROFIT_TARGET,
    ROUNDING,
    STOP_LOSS,
    SUSPECTED_SPLIT,
    Exit,
    Levels,
    Put,
    is_bought_back,
    is_resolved,
    lay_bars,
    lay_markets,
    self_end,
    stop_level,
    target_level,
    walk,
)
from wheelvec.kernels.exits import CORPORATE_ACTION as EXIT_CORPORATE_ACTION
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.outcomes import Outcomes, write_attempt, write_leg
from wheelvec.kernels.parameters import Block, CallRules, CommonRules, DrawRules
from wheelvec.kernels.quotes import (
    CLOSEST_OTM,
    REJECTED,
    Grades,
    Quotes,
    best_of,
    empty_quotes,
    entry_price,
    fill_probability,
    grade,
    penalty_of,
    pick,
    pick_otm,
    rows_of,
)
from wheelvec.kernels.slices import Slice
from wheelvec.kernels.wheel import AssignedPut, Course, last_close, lots_on, wheel_value
from wheelvec.model.codes import EndReason

NO_CALL_QUOTES, NO_CALL_IN_RANGE = int(EndReason.NO_CALL_QUOTES), int(EndReason.NO_CALL_IN_RANGE)
NO_CALL_ABOVE_BASIS = int(EndReason.NO_CALL_ABOVE_BASIS)
NO_CALL_LIQUID = int(EndReason.NO_CALL_LIQUID)
END_CALLED_AWAY, MAX_CYCLES = int(EndReason.CALLED_AWAY), int(EndReason.MAX_CYCLES)
UNRESOLVED = int(EndReason.UNRESOLVED)
CORPORATE_ACTION = int(EndReason.CORPORATE_ACTION)
SOLD = -1
FORGOTTEN = -2  # no session number: -1 is a day that is no session
# No end reason: the next call would be sought after the last session of the window.
NEXT_WINDOW = -2
FAR = 2**40  # after any session

# Sales of one wheel that are cached: nearly all call rules of a block search for a call on the same
# session, and for the next one on the few sessions on which that call may have ended.
REMEMBERED_BITS = 5
REMEMBERED = 2**REMEMBERED_BITS
# Fibonacci hashing: the upper bits of a product with it are well mixed.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_UPPER = np.uint64(64 - REMEMBERED_BITS)

# The result of one search on one session, and what of the call sold no exit rule changes.
SALE = np.dtype(
    [
        ("search", np.int64), ("number", np.int64),  # number of the search, and session
        ("row", np.int64), ("status", np.int64),
        ("in_range", np.int64), ("above_basis", np.int64), ("liquid", np.int64),
        ("ivp", np.float64), ("tier", np.int64), ("penalty", np.float64),
        ("price", np.float64), ("contracts", np.int64),
        ("bars", np.int64),
        ("settlement", np.int64),
        # exit reason where no rule ends it, on which session, and dollars per share paid then
        ("settled", np.int64), ("end", np.int64), ("paid", np.float64),
        ("sums", np.uint64),  # packed days and sessions without a bar, to that session
        ("priced", np.bool_),  # whether the market price of every bar is written, for a hold
        # where no call is sold: index of the assigned end, -1: not computed yet
        ("unsold", np.int64),
    ],
    align=True,
)  # fmt: skip

Sale: TypeAlias = Any  # a row of SALE


class SearchBuffers(NamedTuple):
    """Buffers for the calls of one session."""

    qualified: Integers  # rows that qualify
    group: Quotes  # copies of them
    grades: Grades


def new_search_buffers(n: int) -> SearchBuffers:
    """Buffers for n calls."""
    grades = Grades(np.empty(n), np.empty(n, np.int8), np.empty(n, np.bool_))
    return SearchBuffers(np.empty(n, np.int64), empty_quotes(n), grades)


class Memory(NamedTuple):
    """A cache of one wheel's sales, each at the hash of its search and session."""

    sales: Records  # (REMEMBERED,) of SALE
    bars: Records  # (REMEMBERED, bars) of BAR
    drawn: Drawn
    workspace: SearchBuffers
    spent: Integers  # (1,) estimated nanoseconds of searches and of what followed them


class AssignedEnds(NamedTuple):
    """How a wheel ends after its put's assignment, under each of a block's call rules."""

    of: Integers  # (call rules,) index of the assigned end of each, -1: not computed yet
    end: Records  # (assigned ends,) of EXIT
    after: Words  # (assigned ends, WORDS - AFTER) packed counts
    # (assigned ends, 2) the mark that the summary counts, and its excess over the worst case, or 0
    marked: Reals
    memory: Memory


class WheelState(NamedTuple):
    """State of a wheel that holds shares, before it seeks a call."""

    sought: int  # session
    cycle: int  # of that call
    waits: int  # further sessions on which it may be sought
    latest: int  # settlement among the put's and its calls'
    closed: float  # P&L of the calls that ended, dollars


class CallEnd(NamedTuple):
    """How a call ended."""

    reason: int
    number: int  # session
    price: float  # dollars per share paid to buy it back
    sums: np.uint64
    touches: int
    u: float  # the last draw, NaN if there was none
    missing: int  # sessions without a bar
    chance: float  # of a touch to be filled


def new_assigned_ends(rules: int, calls: int, bars: int) -> AssignedEnds:
    """Buffers for so many call rules.

    Args:
        rules: call rules of a block.
        calls: most calls offered on a session.
        bars: most bars of a call, and one.
    """
    memory = Memory(
        np.zeros(REMEMBERED, SALE),
        np.zeros((REMEMBERED, bars), BAR),
        new_drawn(REMEMBERED, bars),
        new_search_buffers(calls),
        np.zeros(1, np.int64),
    )
    after, marked = np.empty((rules, WORDS - AFTER), np.uint64), np.empty((rules, 2))
    return AssignedEnds(np.empty(rules, np.int64), np.zeros(rules, EXIT), after, marked, memory)


@njit_inlined
def clear_assigned_ends(assigned_ends: AssignedEnds, rules: int) -> None:
    """Clear the ends and sales of the previous put, for so many call rules."""
    assigned_ends.of[:rules] = -1
    for i in range(REMEMBERED):
        assigned_ends.memory.sales[i].number = FORGOTTEN


@njit_lean
def qualify(
    quotes: Quotes, first: int, last: int, basis: float, call: CallRules, qualified: Integers
) -> tuple[int, int]:
    """Write the calls in range and above the basis; how many are in range, and how many both.

    Args:
        quotes: calls.
        first: row.
        last: row, excluded.
        basis: cost of a share, dollars.
        call: the ranges.
        qualified: rows, written.
    """
    in_range, above, floor = 0, 0, basis * call.strike_factor
    for r in range(first, last):
        within = call.dte_min <= quotes.dte[r] <= call.dte_max
        if not (within and call.delta_min <= quotes.delta[r] <= call.delta_max):
            continue
        if call.by_otm and not is_otm_within(quotes.otm[r], call):
            continue
        in_range += 1
        if not call.above_basis or quotes.strike[r] >= floor:
            qualified[above] = r
            above += 1
    return in_range, above


@njit_lean
def sell_one(
    w: int,
    quotes: Quotes,
    first: int,
    last: int,
    basis: float,
    call: CallRules,
    limits: CommonRules,
    workspace: SearchBuffers,
    out: Records,
) -> None:
    """Choose among the calls of rows first..last-1; write the sale, or why there is none.

    Args:
        w: row of `out`.
        quotes: calls.
        first: row.
        last: row, excluded.
        basis: cost of a share, dollars.
        call: which calls qualify, and which of them is sold.
        limits: of liquidity.
        workspace: buffers.
        out: of SALE.
    """
    qualified = workspace.qualified
    out.in_range[w], above = qualify(quotes, first, last, basis, call, qualified)
    out.above_basis[w] = above
    pick(quotes, qualified, above, workspace.group)
    if call.select == CLOSEST_OTM:
        pick_otm(quotes, qualified, above, workspace.group)
    group = rows_of(workspace.group, 0, above)
    grades = Grades(
        workspace.grades.ivp[:above], workspace.grades.tier[:above], workspace.grades.chosen[:above]
    )
    grade(group, call.rank_over_chain, limits, grades)
    out.liquid[w] = 0
    for i in range(above):
        grades.chosen[i] = grades.tier[i] != REJECTED
        out.liquid[w] += grades.chosen[i]
    best = best_of(group, grades.chosen, call.select, call.target)
    if best < 0:
        out.status[w] = (
            NO_CALL_IN_RANGE
            if out.in_range[w] == 0
            else NO_CALL_ABOVE_BASIS
            if above == 0
            else NO_CALL_LIQUID
        )
        return
    penalty = penalty_of(grades.tier[best])
    out.row[w], out.status[w] = qualified[best], SOLD
    out.ivp[w], out.tier[w], out.penalty[w] = grades.ivp[best], grades.tier[best], penalty
    out.price[w] = entry_price(
        group.bid[best], group.ask[best], group.mid[best], penalty, limits.mode, limits.ticks
    )


@njit_lean
def make_sale(
    slice_: Slice,
    at: int,
    number: int,
    basis: float,
    common: CommonRules,
    search: int,
    call: CallRules,
    memory: Memory,
) -> None:
    """Search a session's calls, and write the sale and the bars of the call sold.

    Args:
        slice_: the underlying.
        at: index in `memory`.
        number: session; no call is sold on one without quotes, nor on -1.
        basis: cost of a share, dollars.
        common: of liquidity and prices.
        search: number of the search.
        call: its rules.
        memory: written.
    """
    sale = memory.sales[at]
    sale.search, sale.number = search, number
    sale.row, sale.unsold, sale.priced = -1, -1, False
    sale.in_range, sale.above_basis, sale.liquid = 0, 0, 0
    if number < 0 or number >= slice_.valid.size or slice_.valid[number] == 0:
        sale.status = NO_CALL_QUOTES
        return
    calls, last = slice_.calls, slice_.call_starts[number + 1]  # by expiration first
    first = first_from(slice_.call_dte, slice_.call_starts[number], last, call.dte_min)
    last = first_from(slice_.call_dte, first, last, call.dte_max + 1)
    quotes = Quotes(
        calls.strike,
        calls.bid,
        calls.ask,
        calls.mid,
        calls.spread_pct,
        slice_.call_dte,
        calls.iv,
        slice_.call_delta,
        calls.otm,
        calls.chain_rank,
    )
    sell_one(at, quotes, first, last, basis, call, common, memory.workspace, memory.sales)
    # those that qualify are ranked by counting pairs
    memory.spent[0] += 500 + 5 * (last - first) + sale.above_basis * sale.above_basis // 2
    if sale.status != SOLD:
        return
    quote = slice_.calls[sale.row]
    day, where = slice_.underlying.day, slice_.contracts[quote.contract]
    sale.bars, sale.settlement = quote.last - quote.first, where.settlement
    exercise = exercise_of(quote, call.early)
    if exercise > 0:
        sale.bars = rows_until(slice_.rows, quote, exercise) - quote.first
        sale.settled, sale.end, sale.paid = CALLED_AWAY, exercise, 0.0
    else:
        ended = self_end(slice_, quote, number, sale.penalty, common, True)
        sale.settled, sale.end, sale.paid = ended.settled, ended.end, ended.paid
    sale.sums = packed_days(day[sale.end] - day[number], sale.end - number - sale.bars, False)
    lay_bars(slice_, quote, number, sale.penalty, common, False, memory.bars[at])


@njit_inlined
def assigned_put(slice_: Slice, put: Put, wheel: int) -> AssignedPut:
    """A put of the slice that was assigned; `wheel` is its number, -1 in a sweep."""
    delivered = contract_on(slice_.contracts, put.contract, put.settlement)
    strike, word = slice_.contracts.strike[delivered], slice_.puts[put.row].word
    contracts = shares_between(slice_.events, put.number, put.settlement)
    return AssignedPut(wheel, strike, put.price, put.premium, put.settlement, word, contracts)


@njit_inlined
def basis_of(put: AssignedPut, lots: int) -> float:
    """Cost of a share, of which so many hundreds are held: strike less premium, dollars."""
    return (put.strike * 100.0 * put.contracts - put.price * 100.0) / (100.0 * lots)


@njit_inlined
def barrier_before(slice_: Slice, put: AssignedPut, number: int, common: CommonRules) -> int:
    """The event before which a wheel that would seek a call must end; -1: none.

    No call is sought on the eve of an event that is not carried through, nor on or after a
    suspected split.

    Args:
        slice_: the underlying.
        put: that was assigned.
        number: session on which the call would be sought; -1: a day that is no session.
        common: says whether the rules are v5's.
    """
    # v5 seeks on a calendar day: on a day that is no session an eve before it has passed
    last = number if number >= 0 else put.settlement
    held = put.settlement if common.v5 else number - 1
    barrier = barrier_between(slice_.events, held, last + 1)
    if barrier < 0:
        return -1
    event = slice_.events[barrier]
    return -1 if event.kind == SUSPECTED and event.number - 1 == number else barrier


@njit_inlined
def sale_on(
    slice_: Slice,
    number: int,
    basis: float,
    common: CommonRules,
    search: int,
    call: CallRules,
    memory: Memory,
) -> int:
    """The index in `memory` of a search's sale on a session, which is made if it is not cached.

    Args:
        slice_: the underlying.
        number: session; -1: a day that is no session.
        basis: cost of a share, dollars.
        common: of liquidity and prices.
        search: number of the search.
        call: its rules.
        memory: of this wheel's sales, updated.
    """
    key = np.uint64(search) * _SPREAD + np.uint64(np.int64(number))  # -1 too, as plain Python
    at: Any = np.int64((key * _SPREAD) >> _UPPER)
    sale = memory.sales[at]
    if sale.number != number or sale.search != search:
        make_sale(slice_, at, number, basis, common, search, call, memory)
    return at


@njit_inlined
def call_end(
    slice_: Slice,
    memory: Memory,
    at: int,
    cycle: int,
    word: np.uint64,
    common: CommonRules,
    call: CallRules,
    rule: DrawRules,
    counts: Words,
) -> CallEnd:
    """How a cached call ends under these rules; it is counted.

    Args:
        slice_: the underlying.
        memory: has the sale.
        at: its index.
        cycle: which call of the wheel, from 1.
        word: names the wheel to the draws.
        common: of prices.
        call: stop, target and hold.
        rule: of the draws.
        counts: (WORDS - AFTER,) added to.
    """
    sale = memory.sales[at]
    spread_pct, ivp = (
        (0.05, 0.5) if call.flat_odds else (slice_.calls[sale.row].spread_pct, sale.ivp)
    )
    chance = fill_probability(spread_pct, ivp, common, rule)
    stop = stop_level(sale.price, call.stop_multiplier, common)
    target = target_level(sale.price, call.exit_pct, common)
    levels = Levels(stop, target, call.max_hold_dte, sale.penalty)
    if call.max_hold_dte >= 0 and not sale.priced:
        lay_markets(slice_.rows, slice_.calls[sale.row], sale.penalty, common, memory.bars[at])
        sale.priced = True
    walked = walk(
        memory.bars[at], sale.bars, levels, common, rule, chance, memory.drawn, at, word, cycle
    )
    reason, price = sale.settled, sale.paid
    sums, number = sale.sums, sale.end
    if walked.reason >= 0:
        reason, price = walked.reason, walked.price
        sums, number = memory.bars[at, walked.bar].sums, memory.bars[at, walked.bar].number
    if reason == STOP_LOSS and price < stop * (1.0 - ROUNDING):
        count_after(counts, INSIDE)
    if reason == PROFIT_TARGET and price > target * (1.0 + ROUNDING):
        count_after(counts, ABOVE)
    count_after(counts, CC + reason)
    return CallEnd(reason, number, price, sums, walked.touches, walked.u, missing_of(sums), chance)


@njit_inlined
def last_mark(slice_: Slice, sale: Sale, session: int) -> float:
    """The last close of a call after its sale and up to a session, or else its premium.

    Dollars per share; a quote that serves as a bar counts as one.
    """
    rows, quote = slice_.rows, slice_.calls[sale.row]
    r = quote.last - 1
    while r >= quote.first and rows[r].number > session:
        r -= 1
    return sale.price if r < quote.first else rows[r].close


@njit_inlined
def first_search(slice_: Slice, put: Put, common: CommonRules) -> int:
    """The session on which the first call is sought; -1: a day that is none."""
    if not common.v5:
        return put.settlement + 1
    where, day, after = slice_.contracts[put.contract], slice_.underlying.day, put.settlement + 1
    if put.settlement == where.settlement:
        return where.day_after
    return after if day[after] == day[after - 1] + 1 else -1


@njit_inlined
def first_state(slice_: Slice, put: Put, common: CommonRules, call: CallRules) -> WheelState:
    """State of the wheel of a put on its assignment."""
    settlement = slice_.contracts[put.contract].settlement
    return WheelState(first_search(slice_, put, common), 1, call.waits, settlement, 0.0)


@njit_inlined
def sell_calls(
    slice_: Slice,
    put: AssignedPut,
    state: WheelState,
    until: int,
    common: CommonRules,
    search: int,
    call: CallRules,
    rule: DrawRules,
    memory: Memory,
    counts: Words,
    out: Outcomes | None,
) -> tuple[Course, WheelState]:
    """Sell calls until the wheel ends, or its next call would be sought after session `until`.

    Args:
        slice_: with the calls of all sessions up to `until`, and their paths.
        put: that was assigned.
        state: state of the wheel.
        until: the last session on which a call is sought.
        common: of liquidity and prices.
        search: number of the search.
        call: which calls are sold, how they end, and on how many sessions one is sought.
        rule: of the draws.
        memory: of this wheel's sales.
        counts: (WORDS - AFTER,) added to.
        out: outcomes to write legs and attempts to, or None.

    Returns:
        The course of the wheel, and its state afterwards.
    """
    number, cycle, waits = state.sought, state.cycle, state.waits
    settlement, earned, lacking = state.latest, state.closed, -1
    last_reason, strike = -1, 0.0
    still_open, sums = 0.0, np.uint64(0)
    while True:
        barrier = barrier_before(slice_, put, number, common)
        if barrier >= 0:
            end_reason, end = CORPORATE_ACTION, slice_.events[barrier].number - 1
            if slice_.events[barrier].kind == SUSPECTED and not common.v5:
                end_reason, lacking, still_open = UNRESOLVED, end, np.nan
            break
        if number > until:
            end_reason, end = NEXT_WINDOW, number
            break
        lots = lots_on(slice_, put, number)
        basis = basis_of(put, lots)
        at = sale_on(slice_, number, basis, common, search, call, memory)
        sale = memory.sales[at]
        sale.contracts = lots
        if out is not None:
            write_attempt(out, put.wheel, cycle, number, sale)
        if sale.status != SOLD:
            end_reason, end = sale.status, number
            if waits == 0 or number >= slice_.valid.size:
                break
            waits, number = waits - 1, number + 1
            continue
        ended = call_end(slice_, memory, at, cycle, put.word, common, call, rule, counts)
        if out is not None:
            quote = slice_.calls[sale.row]
            write_leg(out, slice_, put.wheel, quote, cycle, number, sale, ended.chance, ended)
        last_reason, end = ended.reason, ended.number
        delivered = contract_on(slice_.contracts, slice_.calls.contract[sale.row], end)
        strike = slice_.contracts.strike[delivered]
        settlement = max(settlement, sale.settlement)
        premium, fees = sale.price * 100.0 * lots, order_fee(common, lots)
        if not is_resolved(last_reason, ended.price):
            end_reason, lacking = UNRESOLVED, end
            mark = last_mark(slice_, sale, last_close(slice_.underlying, lacking))
            still_open += premium - fees - mark * 100.0 * lots
            if last_reason == SUSPECTED_SPLIT:
                still_open = np.nan
            break
        if is_bought_back(last_reason):
            fees += order_fee(common, lots * shares_between(slice_.events, number, end))
        if last_reason == CALLED_AWAY:
            fees += common.assignment_fee
        earned += premium - ended.price * 100.0 * lots - fees
        sums += ended.sums
        end_reason = END_CALLED_AWAY if last_reason == CALLED_AWAY else MAX_CYCLES
        if last_reason == EXIT_CORPORATE_ACTION:
            end_reason = CORPORATE_ACTION
        if end_reason != MAX_CYCLES or cycle >= call.max_cycles:
            break
        cycle, number, waits = cycle + 1, end + 1, call.waits
    course = Course(
        end_reason, end, last_reason, strike, settlement, lacking, earned, still_open, sums
    )
    return course, WheelState(number, cycle, waits, settlement, earned)


@njit_inlined
def follow(
    slice_: Slice,
    put: Put,
    common: CommonRules,
    search: int,
    call: CallRules,
    rule: DrawRules,
    memory: Memory,
    out: Exit,
    counts: Words,
    marked: Reals,
) -> bool:
    """Write how an assigned put's wheel ends under these call rules, and count it.

    Args:
        slice_: the underlying.
        put: that was assigned.
        common: of liquidity and prices.
        search: number of the search.
        call: call rules.
        rule: of the draws.
        memory: of this wheel's sales.
        out: a row of EXIT, written.
        counts: (WORDS - AFTER,) written.
        marked: (2,) written, as in AssignedEnds.

    Returns:
        Whether a call was sold.
    """
    counts[:] = 0
    assigned, state = assigned_put(slice_, put, -1), first_state(slice_, put, common, call)
    calls, _ = sell_calls(
        slice_, assigned, state, FAR, common, search, call, rule, memory, counts, None
    )
    value, days = wheel_value(slice_, assigned, common, calls), slice_.underlying.day
    counted = not put.censored and not np.isnan(value.marked)
    total_days = days[put.settlement] - days[put.number] + days_of(calls.sums)
    # a wheel left out is taken as it is in the worst case: a put exercised early may be censored
    out.pnl = value.marked if counted else value.pnl
    marked[0], marked[1] = 0.0, 0.0
    if counted and not value.resolved:
        marked[0], marked[1] = value.marked, value.marked - (put.premium - put.capital)
    out.reasons = packed_reason(ASSIGNED, value.marked if counted else np.nan)
    missing = put.settlement - put.number - (put.last - put.first) + missing_of(calls.sums)
    out.sums = packed_days(total_days if counted and value.resolved else 0, missing, put.censored)
    out.until = value.until
    count_after(counts, END + value.end_reason)
    if not value.resolved and calls.last_reason == OPEN:
        count_after(counts, OPEN_AFTER)
    if counted and not value.resolved:
        count_after(counts, MARKED)
    if counted and value.held:
        count_after(counts, HELD)
    if not value.resolved and np.isnan(value.marked):
        count_after(counts, SUSPECTED_AFTER)
    if counted and passes_any(slice_.events, put.number, value.end):
        count_after(counts, PASSED)
    return calls.last_reason >= 0


@njit_lean
def assigned_end_of(
    slice_: Slice, put: Put, common: CommonRules, block: Block, a: int, assigned_ends: AssignedEnds
) -> int:
    """The index of the assigned end of call rules a, which is computed if it is not yet.

    Rules that search for the same calls on the same sessions and sell none share one.

    Args:
        slice_: the underlying.
        put: that was assigned.
        common: of liquidity and prices.
        block: its call rules.
        a: which of these.
        assigned_ends: of this put.
    """
    if assigned_ends.of[a] >= 0:
        return assigned_ends.of[a]
    search, call = block.call_search[a], block.call[a]
    rule, memory = block.draw[block.call_draw[a]], assigned_ends.memory
    number, assigned = first_search(slice_, put, common), assigned_put(slice_, put, -1)
    basis = basis_of(assigned, lots_on(slice_, assigned, number))
    sale = memory.sales[sale_on(slice_, number, basis, common, search, call, memory)]
    if sale.unsold < 0:
        assigned_ends.of[a] = a
        sold = follow(
            slice_,
            put,
            common,
            search,
            call,
            rule,
            memory,
            assigned_ends.end[a],
            assigned_ends.after[a],
            assigned_ends.marked[a],
        )
        if not sold and sale.number == number:  # a later search may have taken its place
            sale.unsold = a
    else:
        assigned_ends.of[a] = sale.unsold
    return assigned_ends.of[a]
