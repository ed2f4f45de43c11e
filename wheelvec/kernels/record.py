"""Every wheel of one configuration with its legs, attempts and P&L: a backtest.

The same functions of the rules serve a sweep (kernels.evaluate), which adds up figures; here every
leg, attempt and wheel is written.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Records, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.accumulate import AFTER, WORDS
from wheelvec.kernels.calls import (
    FAR,
    NEXT_WINDOW,
    UNRESOLVED,
    AssignedEnds,
    WheelState,
    assigned_put,
    clear_assigned_ends,
    first_state,
    new_assigned_ends,
    sell_calls,
)
from wheelvec.kernels.draws import Drawn, new_drawn
from wheelvec.kernels.entries import Selection, new_selection, select_puts
from wheelvec.kernels.evaluate import put_of
from wheelvec.kernels.events import passes_any, shares_between
from wheelvec.kernels.exits import (
    ASSIGNED,
    BAR,
    NO_DATA,
    OPEN,
    Levels,
    Put,
    is_bought_back,
    is_resolved,
    lay_bars,
    lay_markets,
    stop_level,
    target_level,
    walk,
)
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.outcomes import (
    Outcomes,
    Sold,
    full,
    sizes_of,
    take_back,
    write_carried,
    write_leg,
    write_wheel,
)
from wheelvec.kernels.parameters import Block, CommonRules, Plan, block_of
from wheelvec.kernels.quotes import REJECTED, fill_probability
from wheelvec.kernels.slices import Slice
from wheelvec.kernels.wheel import AssignedPut, Value, assigned_pnl, wheel_value
from wheelvec.model.codes import EndReason

PUT_CLOSED, PUT_EXPIRED = int(EndReason.PUT_CLOSED), int(EndReason.PUT_EXPIRED)
WHEEL = 2_000  # nanoseconds of a wheel, estimated, but for the searches for its calls


class Workspace(NamedTuple):
    """Buffers of a recorder."""

    chosen: Selection
    bars: Records  # (bars,) of BAR, of the put being recorded
    drawn: Drawn  # its draws
    assigned_ends: AssignedEnds  # its calls
    counts: Words  # (WORDS - AFTER,) as a sweep counts; not read


def new_workspace(sessions: int, quotes: int, bars: int, calls: int) -> Workspace:
    """Buffers for `quotes` puts in range over so many sessions.

    Args:
        sessions: at most.
        quotes: puts in range, at most.
        bars: of a contract, at most.
        calls: offered on a session, at most.
    """
    counts = np.zeros(WORDS - AFTER, np.uint64)
    chosen, assigned_ends = new_selection(sessions, quotes), new_assigned_ends(1, calls, bars + 1)
    return Workspace(chosen, np.zeros(bars + 1, BAR), new_drawn(1, bars + 1), assigned_ends, counts)


class PutEnd(NamedTuple):
    """How a put ended; the names are those of kernels.calls.CallEnd."""

    reason: int
    number: int  # session
    price: float  # dollars per share paid to buy it back
    touches: int
    u: float
    missing: int


@njit_inlined
def put_end(
    slice_: Slice, put: Put, common: CommonRules, block: Block, chance: float, workspace: Workspace
) -> PutEnd:
    """How a put that was sold ends.

    Args:
        slice_: the underlying.
        put: that was sold.
        common: at what prices it is bought back.
        block: of one configuration.
        chance: that a touch of the target fills.
        workspace: its bars and draws are written.
    """
    quote, count = slice_.puts[put.row], put.last - put.first
    lay_bars(slice_, quote, put.number, put.penalty, common, put.censored, workspace.bars)
    if block.hold[0] >= 0:
        lay_markets(slice_.rows, quote, put.penalty, common, workspace.bars)
    stop = stop_level(put.price, block.stop[0], common)
    target = target_level(put.price, block.target[0], common)
    levels = Levels(stop, target, block.hold[0], put.penalty)
    walked = walk(
        workspace.bars,
        count,
        levels,
        common,
        block.draw[0],
        chance,
        workspace.drawn,
        0,
        quote.word,
        0,
    )
    reason, number, price, bars = put.settled, put.end, put.paid, count
    if walked.reason >= 0:
        reason, price = walked.reason, walked.price
        number, bars = workspace.bars[walked.bar].number, walked.bar + 1
    return PutEnd(reason, number, price, walked.touches, walked.u, number - put.number - bars)


@njit_inlined
def ended_put(put: Put, ended: PutEnd, pnl: float) -> Value:
    """The P&L of a wheel whose put was not assigned; `pnl` is the put's, dollars."""
    resolved = is_resolved(ended.reason, ended.price)
    end_reason = PUT_CLOSED if is_bought_back(ended.reason) else PUT_EXPIRED
    return Value(
        end_reason if resolved else UNRESOLVED,
        ended.number,
        ended.number if resolved else put.settlement,
        resolved,
        False,
        np.nan,
        0.0,
        pnl,
        pnl,
        0,
    )


@njit_inlined
def sell_on(
    slice_: Slice,
    put: AssignedPut,
    state: WheelState,
    number: int,
    censored: bool,
    until: int,
    common: CommonRules,
    block: Block,
    workspace: Workspace,
    out: Outcomes,
) -> int:
    """Sell the calls of a wheel that holds shares; the last session on which it is open.

    Args:
        slice_: the underlying.
        put: that was assigned.
        state: state of the wheel.
        number: entry session.
        censored: whether the data end before its put can have ended.
        until: the last session on which a call is sought in this window.
        common: of liquidity and prices.
        block: of one configuration.
        workspace: buffers.
        out: legs, attempts, and the wheel or its state after `until` are written.
    """
    clear_assigned_ends(workspace.assigned_ends, 1)
    call, rule = block.call[0], block.draw[block.call_draw[0]]
    memory, counts = workspace.assigned_ends.memory, workspace.counts
    csp_pnl = assigned_pnl(put, common)
    calls, left = sell_calls(slice_, put, state, until, common, 0, call, rule, memory, counts, out)
    if calls.end_reason == NEXT_WINDOW:
        write_carried(out, number, censored, csp_pnl, put, left)
        return FAR
    value = wheel_value(slice_, put, common, calls)
    passed = passes_any(slice_.events, number, value.end)
    write_wheel(out, put.wheel, number, censored, csp_pnl, calls.closed, passed, value)
    return value.until


@njit_lean
def record_wheel(
    slice_: Slice,
    put: Put,
    tier: int,
    until: int,
    common: CommonRules,
    block: Block,
    workspace: Workspace,
    out: Outcomes,
) -> int:
    """Write one wheel; the last session on which it occupies its underlying.

    Args:
        slice_: the underlying.
        put: that was sold.
        tier: of its quote.
        until: the last session on which a call is sought in this window.
        common: of liquidity and prices.
        block: of one configuration.
        workspace: buffers.
        out: legs, attempts and one wheel are written.
    """
    quote, wheel = slice_.puts[put.row], out.launched[0]
    out.launched[0] = wheel + 1
    chance = fill_probability(put.spread_pct, put.ivp, common, block.draw[0])
    ended = put_end(slice_, put, common, block, chance, workspace)
    sold = Sold(put.price, put.ivp, tier, put.penalty, 1)
    write_leg(out, slice_, wheel, quote, 0, put.number, sold, chance, ended)
    if ended.reason == ASSIGNED:
        assigned = assigned_put(slice_, put, wheel)
        state = first_state(slice_, put, common, block.call[0])
        return sell_on(
            slice_, assigned, state, put.number, put.censored, until, common, block, workspace, out
        )
    fees = order_fee(common, 1)
    if is_bought_back(ended.reason):
        fees += order_fee(common, shares_between(slice_.events, put.number, ended.number))
    pnl = put.premium - ended.price * 100.0 - fees
    if ended.reason == OPEN or ended.reason == NO_DATA:
        pnl = np.nan
    value, passed = ended_put(put, ended, pnl), passes_any(slice_.events, put.number, ended.number)
    write_wheel(out, wheel, put.number, put.censored, pnl, 0.0, passed, value)
    return value.until


@njit_lean
def record_days(chosen: Selection, first: int, last: int, out: Outcomes) -> None:
    """Write how many puts each of the sessions first..last offered."""
    for s in range(last + 1 - first):
        day, begin, end = out.days[first + s], chosen.starts[s], chosen.starts[s + 1]
        day.in_range, day.liquid, day.candidates = end - begin, 0, 0
        for i in range(begin, end):
            day.liquid += chosen.grades.tier[i] != REJECTED
            day.candidates += chosen.grades.chosen[i]


@njit_lean
def record_wheels(
    slice_: Slice,
    plan: Plan,
    opens: Flags,
    signalled: Flags,
    first: int,
    last: int,
    until: int,
    start: int,
    puts: int,
    budget: int,
    busy: Integers,
    workspace: Workspace,
    out: Outcomes,
) -> tuple[int, int, bool]:
    """Write the wheels entered on sessions first..last under a plan's one configuration.

    Args:
        slice_: the underlying.
        plan: of one block of one configuration.
        opens: (sessions,) whether wheels may open.
        signalled: (sessions,) whether the user's own signal allows it.
        first: session number.
        last: session number, included.
        until: the last session on which a call is sought; a wheel that would seek one later is
            written as carried on.
        start: how many of the puts sold are done already.
        puts: how many there are; read if any is done.
        budget: estimated nanoseconds, after which a call returns so that Ctrl-C takes effect.
        busy: (1,) the last session on which the latest wheel occupies the underlying; read if one
            wheel is open at a time.
        workspace: buffers.
        out: written.

    Returns:
        How many puts are done, how many there are, and whether the buffers of `out` are full. Where
        fewer are done call again with these and the same workspace, if they are full with twice the
        buffers.
    """
    common, block = plan.common[0], block_of(plan, 0)
    searched = workspace.assigned_ends.memory.spent
    if start == 0:
        puts = select_puts(slice_, common, opens, first, last, workspace.chosen)
        record_days(workspace.chosen, first, last, out)
    for w in range(start, puts):
        put = put_of(slice_, common, workspace.chosen, w)
        if not signalled[put.number] or (common.one_at_a_time and put.number <= busy[0]):
            continue
        before, tier = sizes_of(out), workspace.chosen.tier[w]
        ends = record_wheel(slice_, put, tier, until, common, block, workspace, out)
        if full(out):
            take_back(out, before)
            return w, puts, True
        out.days[put.number].launched += 1
        busy[0] = ends
        budget -= WHEEL + searched[0]
        searched[0] = 0
        if budget <= 0:
            return w + 1, puts, False
    return puts, puts, False


@njit_lean
def resume_wheels(
    slice_: Slice,
    plan: Plan,
    carried: Records,
    until: int,
    start: int,
    budget: int,
    busy: Integers,
    workspace: Workspace,
    out: Outcomes,
) -> tuple[int, bool]:
    """Continue wheels that hold shares, as `record_wheels` does.

    Args:
        slice_: the underlying.
        plan: of one block of one configuration.
        carried: (n,) of CARRIED_WHEEL, in the order in which they were launched.
        until: the last session on which a call is sought in this window.
        start: how many of them are done already.
        budget: as of `record_wheels`.
        busy: (1,) written as by `record_wheels`.
        workspace: buffers.
        out: written.

    Returns:
        How many of them are done, and whether the buffers of `out` are full.
    """
    common, block = plan.common[0], block_of(plan, 0)
    searched = workspace.assigned_ends.memory.spent
    for i in range(start, carried.size):
        at, before = carried[i], sizes_of(out)
        put = AssignedPut(
            at.wheel, at.strike, at.price, at.premium, at.settlement, at.word, at.contracts
        )
        state = WheelState(at.sought, at.cycle, at.waits, at.latest, at.closed)
        ends = sell_on(
            slice_, put, state, at.number, at.censored, until, common, block, workspace, out
        )
        if full(out):
            take_back(out, before)
            return i, True
        busy[0] = ends
        budget -= WHEEL + searched[0]
        searched[0] = 0
        if budget <= 0:
            return i + 1, False
    return carried.size, False
