"""Every wheel of one configuration with its legs, attempts and P&L: a backtest.

The kernels are those of a sweep (kernels.evaluate), leg by leg: what a sweep adds up is written
down here.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Records, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.accumulate import AFTER, WORDS
from wheelvec.kernels.calls import (
    UNRESOLVED,
    AssignedEnds,
    clear_assigned_ends,
    new_assigned_ends,
    sell_calls,
)
from wheelvec.kernels.draws import Drawn, new_drawn
from wheelvec.kernels.entries import Selection, new_selection, select_puts
from wheelvec.kernels.evaluate import put_of
from wheelvec.kernels.exits import (
    ASSIGNED,
    BAR,
    EXPIRED_WORTHLESS,
    NO_DATA,
    OPEN,
    Levels,
    Put,
    SettleRules,
    lay_bars,
    stop_level,
    target_level,
    walk,
)
from wheelvec.kernels.outcomes import Outcomes, Sold, full, write_leg
from wheelvec.kernels.parameters import Block, EntryRules, Plan, block_of
from wheelvec.kernels.quotes import REJECTED, fill_probability
from wheelvec.kernels.slices import Slice
from wheelvec.kernels.wheel import Value, wheel_value
from wheelvec.model.codes import EndReason

PUT_CLOSED, PUT_EXPIRED = int(EndReason.PUT_CLOSED), int(EndReason.PUT_EXPIRED)


class Workspace(NamedTuple):
    """Buffers of a recorder."""

    chosen: Selection
    bars: Records  # (bars,) of BAR: of the put at hand
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
    slice_: Slice, put: Put, entry: EntryRules, block: Block, chance: float, workspace: Workspace
) -> PutEnd:
    """How a put that was sold ends.

    Args:
        slice_: the underlying.
        put: that was sold.
        entry: at what prices it is bought back.
        block: of one configuration.
        chance: that a touch of the target fills.
        workspace: its bars and draws are written.
    """
    quote, count = slice_.puts[put.row], put.last - put.first
    lay_bars(slice_, quote, put.number, put.penalty, entry, put.censored, workspace.bars)
    stop = stop_level(put.price, block.stop[0], entry)
    target = target_level(put.price, block.target[0], entry)
    levels = Levels(stop, target, block.hold[0], put.penalty)
    walked = walk(
        workspace.bars,
        count,
        levels,
        entry,
        block.draw[0],
        chance,
        workspace.drawn,
        0,
        quote.word,
        0,
    )
    reason, number, bars = put.settled, put.settlement, count
    if walked.reason >= 0:
        reason, number, bars = walked.reason, workspace.bars[walked.bar].number, walked.bar + 1
    return PutEnd(
        reason, number, walked.price, walked.touches, walked.u, number - put.number - bars
    )


@njit_inlined
def ended_put(put: Put, ended: PutEnd, pnl: float) -> Value:
    """The P&L of a wheel whose put was not assigned; `pnl` is the put's, dollars."""
    resolved = ended.reason != OPEN and ended.reason != NO_DATA
    end_reason = PUT_CLOSED if ended.reason < EXPIRED_WORTHLESS else PUT_EXPIRED
    return Value(
        end_reason if resolved else UNRESOLVED,
        ended.number,
        ended.number,
        resolved,
        False,
        np.nan,
        0.0,
        pnl,
        pnl,
    )


@njit_lean
def record_wheel(
    slice_: Slice,
    put: Put,
    tier: int,
    entry: EntryRules,
    block: Block,
    workspace: Workspace,
    out: Outcomes,
) -> int:
    """Write one wheel; the last session on which it occupies its underlying.

    Args:
        slice_: the underlying.
        put: that was sold.
        tier: of its quote.
        entry: of liquidity and prices.
        block: of one configuration.
        workspace: buffers.
        out: legs, attempts and one wheel are written.
    """
    legs, attempts = out.size[0], out.size[1]
    chance = fill_probability(put.spread_pct, put.ivp, entry, block.draw[0])
    ended = put_end(slice_, put, entry, block, chance, workspace)
    write_leg(
        out,
        slice_,
        slice_.puts[put.row],
        0,
        put.number,
        Sold(put.price, put.ivp, tier, put.penalty),
        chance,
        ended,
    )
    fees = entry.fee if ended.reason >= EXPIRED_WORTHLESS else 2.0 * entry.fee
    if ended.reason == ASSIGNED:
        fees = entry.fee + entry.assignment_fee
    pnl = put.premium - ended.price * 100.0 - fees
    if ended.reason == OPEN or ended.reason == NO_DATA:
        pnl = np.nan
    cc_pnl = 0.0
    if ended.reason == ASSIGNED:
        clear_assigned_ends(workspace.assigned_ends, 1)
        call, rule = block.call[0], block.draw[block.call_draw[0]]
        memory = workspace.assigned_ends.memory
        calls = sell_calls(slice_, put, entry, 0, call, rule, memory, workspace.counts, out)
        value, cc_pnl = wheel_value(slice_, put, entry, calls), calls.closed
    else:
        value = ended_put(put, ended, pnl)
    if out.size[2] < out.wheels.size:
        wheel = out.wheels[out.size[2]]
        wheel.first_leg, wheel.legs = legs, out.size[0] - legs
        wheel.first_attempt, wheel.attempts = attempts, out.size[1] - attempts
        wheel.number, wheel.censored = put.number, put.censored
        wheel.end_reason, wheel.end, wheel.until = value.end_reason, value.end, value.until
        wheel.resolved, wheel.held, wheel.sale = value.resolved, value.held, value.sale
        wheel.csp_pnl, wheel.cc_pnl, wheel.stock_pnl = pnl, cc_pnl, value.stock
        wheel.pnl, wheel.marked = value.pnl, value.marked
    out.size[2] += 1
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
    start: int,
    busy: Integers,
    workspace: Workspace,
    out: Outcomes,
) -> tuple[int, int]:
    """Write the wheels entered on sessions first..last under a plan's one configuration.

    Args:
        slice_: the underlying.
        plan: of one block of one configuration.
        opens: (sessions,) whether wheels may open.
        signalled: (sessions,) whether the user's own signal allows it.
        first: session number.
        last: session number, included.
        start: how many of the puts sold were gone through before.
        busy: (1,) until when the last wheel occupies the underlying; read where one is open at a
            time.
        workspace: buffers.
        out: written.

    Returns:
        Of how many puts the wheels are written, and how many there are: fewer where the buffers of
        `out` are full. To go on, double them and start there.
    """
    entry, block = plan.entry[0], block_of(plan, 0)
    puts = select_puts(slice_, entry, opens, first, last, workspace.chosen)
    if start == 0:
        record_days(workspace.chosen, first, last, out)
    for w in range(start, puts):
        put = put_of(slice_, entry, workspace.chosen, w, SettleRules(False, entry.v5, entry.v5))
        if not signalled[put.number] or (entry.one_at_a_time and put.number <= busy[0]):
            continue
        legs, attempts, wheels = out.size[0], out.size[1], out.size[2]
        until = record_wheel(slice_, put, workspace.chosen.tier[w], entry, block, workspace, out)
        if full(out):
            out.size[0], out.size[1], out.size[2] = legs, attempts, wheels
            return w, puts
        out.days[put.number].launched += 1
        busy[0] = until
    return puts, puts
