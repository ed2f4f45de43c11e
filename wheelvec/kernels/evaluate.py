"""Every wheel of a month under every configuration of a plan's blocks: a sweep."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.jit.aligned import aligned
from wheelvec.jit.arrays import Flags, Integers, Reals, Records
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.accumulate import (
    CALLS_PACKED,
    FIELDS,
    WHEELS_PACKED,
    WITHOUT_EVENTS,
    Figures,
    Month,
    add_assigned_ends,
    add_counts,
    add_money,
    add_one_assigned_end,
    add_spread,
    clear,
    count_marks,
    fold,
    new_month,
    unpack,
)
from wheelvec.kernels.calls import (
    AssignedEnds,
    assigned_end_of,
    clear_assigned_ends,
    new_assigned_ends,
)
from wheelvec.kernels.entries import Selection, new_selection, select_puts
from wheelvec.kernels.events import barrier_between, passes_any
from wheelvec.kernels.exercise import exercise_of, rows_until
from wheelvec.kernels.exits import (
    ASSIGNED,
    BAR,
    EXIT,
    SETTLED,
    Ends,
    Put,
    Scratch,
    SelfEnd,
    lay_bars,
    lay_fees,
    lay_markets,
    mark_ends,
    new_ends,
    rest_ends,
    self_end,
    stop_ends,
)
from wheelvec.kernels.parameters import Block, CommonRules, Plan, block_of
from wheelvec.kernels.quotes import fill_probability, penalty_of
from wheelvec.kernels.slices import Slice


class CellPnl(NamedTuple):
    """Where each wheel's P&L is written by configuration; `row` is empty if it is not wanted."""

    row: Integers  # (puts of the slice,) row of `pnl`
    column: Integers  # (configurations,)
    pnl: NDArray[np.float32]  # (wheels, configurations) dollars per contract


# How a put ended that was sold on certain terms; no wheel's word is 0.
KEPT_END = np.dtype(
    [("word", np.uint64), ("exits", np.int64), ("chance", np.float64)]
    + [(name, EXIT[name]) for name in EXIT.names or ()]
)


class Workspace(NamedTuple):
    """Buffers of `evaluate_blocks`, large enough for the largest of its blocks."""

    month: Month
    scratch: Scratch
    assigned_ends: AssignedEnds
    single: Records  # (puts of a month and tiers, levels of rank) of KEPT_END
    stop: Records  # (stops,) of EXIT
    rest: Records  # (rests,) of EXIT
    pair: Ends
    chosen: Selection
    roc: Reals  # (wheels, configurations)


class Sizes(NamedTuple):
    """The greatest number of each that buffers must hold."""

    wheels: int  # of a month
    bars: int  # of a contract
    quotes: int  # puts in range in a month
    calls_on_offer: int  # on a session
    sessions: int  # of a month


@njit_inlined
def put_of(slice_: Slice, common: CommonRules, chosen: Selection, i: int) -> Put:
    """The i-th put of a selection, and how it ends if no exit rule ends it."""
    row, number = chosen.row[i], chosen.number[i]
    quote = slice_.puts[row]
    settlement = slice_.contracts[quote.contract].settlement
    end, last, penalty = settlement, quote.last, penalty_of(chosen.tier[i])
    exercise = exercise_of(quote, common.early)
    if exercise > 0:
        end, last = exercise, rows_until(slice_.rows, quote, exercise)
        ended = SelfEnd(ASSIGNED, exercise, 0.0)
    else:
        ended = self_end(slice_, quote, number, penalty, common, False)
    return Put(
        row,
        number,
        end,
        quote.contract,
        quote.first,
        last,
        chosen.price[i],
        quote.spread_pct,
        penalty,
        chosen.ivp[i],
        chosen.price[i] * 100.0,
        quote.strike * 100.0,
        ended.settled,
        not common.v5 and settlement > slice_.underlying.last_bar[settlement],
        ended.end,
        ended.paid,
        has_events(slice_, number, end),
    )


@njit_inlined
def has_events(slice_: Slice, number: int, settlement: int) -> bool:
    """Whether a corporate event comes after a session and up to a settlement."""
    events = slice_.events
    return barrier_between(events, number, settlement) >= 0 or passes_any(
        events, number, settlement
    )


@njit_inlined
def pair_ends(
    slice_: Slice,
    put: Put,
    common: CommonRules,
    block: Block,
    rest: Records,
    assigned_ends: AssignedEnds,
    out: Ends,
) -> None:
    """Write how each pair of rest and call rules ends the wheel if no stop does.

    What follows an assignment takes the place of the rest's settlement.

    Args:
        slice_: the underlying.
        put: that was sold.
        common: of liquidity and prices.
        block: the pairs.
        rest: (rests,) of EXIT.
        assigned_ends: of this put.
        out: (pairs,) written.
    """
    assigned = put.settled == ASSIGNED
    for i in range(block.pair_rest.size):
        end, assigned_end = rest[block.pair_rest[i]], -1
        out.time[i] = end.time
        if assigned and end.time == SETTLED:
            assigned_end = assigned_end_of(
                slice_, put, common, block, block.pair_call[i], assigned_ends
            )
            end = assigned_ends.end[assigned_end]
        out.pnl[i], out.reasons[i], out.sums[i] = end.pnl, end.reasons, end.sums
        out.until[i], out.assigned_end[i] = end.until, assigned_end


@njit_inlined
def any_hold(holds: Integers) -> bool:
    """Whether any of these rules has a hold."""
    found = False
    for hold in holds:
        found |= hold >= 0
    return found


@njit_inlined
def lay_ends(
    slice_: Slice, put: Put, common: CommonRules, block: Block, workspace: Workspace
) -> None:
    """Write how each stop and each rest of the block ends the put.

    Args:
        slice_: the underlying.
        put: that was sold.
        common: of prices and fees.
        block: its stops and rests.
        workspace: `stop` and `rest` are written.
    """
    quote, bars = slice_.puts[put.row], workspace.scratch.bars
    lay_bars(slice_, quote, put.number, put.penalty, common, put.censored, bars)
    if any_hold(block.hold):
        lay_markets(slice_.rows, quote, put.penalty, common, bars)
    if put.by_events:
        lay_fees(slice_.events, put.number, put.last - put.first, common, bars)
    stop_ends(put, common, block.stop, bars, workspace.stop)
    rest_ends(slice_, put, common, block, workspace.scratch, workspace.rest)
    if put.by_events:
        mark_ends(slice_, put, block.stop.size, workspace.stop)
        mark_ends(slice_, put, block.rest_target.size, workspace.rest)


@njit_lean
def lay_ends_apart(
    slice_: Slice, put: Put, common: CommonRules, block: Block, workspace: Workspace
) -> None:
    """`lay_ends` as a call, for kernels that need it in several places."""
    lay_ends(slice_, put, common, block, workspace)


@njit_inlined
def combine_single(
    slice_: Slice, put: Put, common: CommonRules, block: Block, at: int, workspace: Workspace
) -> None:
    """Write the end of the put under the one configuration of a block.

    Blocks that differ only in which puts they sell end one sold on the same terms alike: its end is
    kept, and not computed again for each of thousands of entry rules.

    Args:
        slice_: the underlying.
        put: that was sold.
        common: of liquidity and prices.
        block: of one configuration.
        at: row of `workspace.single`.
        workspace: the wheel at hand of `month` is written.
    """
    chance, assigned_end = fill_probability(put.spread_pct, put.ivp, common, block.draw[0]), -1
    known = workspace.single[
        at, np.int64(put.ivp >= common.high_threshold) + (put.ivp >= common.extreme_threshold)
    ]
    word = slice_.puts[put.row].word
    if known.word != word or known.exits != block.exits or known.chance != chance:
        lay_ends_apart(slice_, put, common, block, workspace)
        end = (
            workspace.stop[0]
            if workspace.stop[0].time < workspace.rest[0].time
            else workspace.rest[0]
        )
        known.word, known.exits, known.chance = word, block.exits, chance
        known.time, known.pnl, known.until = end.time, end.pnl, end.until
        known.reasons, known.sums = end.reasons, end.sums
    month = workspace.month
    month.pnl[0], month.cell_reasons[0], month.cell_sums[0] = known.pnl, known.reasons, known.sums
    month.until[0], month.assigned_end[0] = known.until, assigned_end
    if put.settled == ASSIGNED and known.time == SETTLED:
        assigned_end = assigned_end_of(slice_, put, common, block, 0, workspace.assigned_ends)
        end = workspace.assigned_ends.end[assigned_end]
        month.pnl[0], month.cell_reasons[0], month.cell_sums[0] = end.pnl, end.reasons, end.sums
        month.until[0], month.assigned_end[0] = end.until, assigned_end


@njit_inlined
def combine_product(
    stop: Records, stops: int, pair: Ends, pairs: int, assigned: bool, single: bool, month: Month
) -> None:
    """Write the end under every stop with every pair: whichever comes first.

    The assigned end is read where the put may be assigned, and the last session of a wheel where
    one is open at a time.

    Args:
        stop: (stops,) of EXIT.
        stops: how many.
        pair: (pairs,).
        pairs: how many.
        assigned: whether the put may be assigned.
        single: whether one wheel is open at a time.
        month: the wheel at hand is written, configuration s * pairs + b.
    """
    for s in range(stops):
        cells = slice(s * pairs, (s + 1) * pairs)
        time, pnl, until = stop.time[s], stop.pnl[s], stop.until[s]
        reasons, sums = stop.reasons[s], stop.sums[s]
        out, out_until = month.pnl[cells], month.until[cells]
        out_reasons, out_sums = month.cell_reasons[cells], month.cell_sums[cells]
        out_assigned_end = month.assigned_end[cells]
        for b in range(pairs):
            out[b] = pnl if time < pair.time[b] else pair.pnl[b]
        for b in range(pairs):
            out_reasons[b] = reasons if time < pair.time[b] else pair.reasons[b]
        for b in range(pairs):
            out_sums[b] = sums if time < pair.time[b] else pair.sums[b]
        if assigned:
            for b in range(pairs):
                out_assigned_end[b] = -1 if time < pair.time[b] else pair.assigned_end[b]
        if single:
            for b in range(pairs):
                out_until[b] = until if time < pair.time[b] else pair.until[b]


@njit_inlined
def combine(
    slice_: Slice, put: Put, common: CommonRules, block: Block, workspace: Workspace
) -> None:
    """Write the end under each configuration's stop and pair.

    An assignment is followed only where a configuration comes to it.

    Args:
        slice_: the underlying.
        put: that was sold.
        common: of liquidity and prices.
        block: its configurations.
        workspace: the wheel at hand of `month` is written.
    """
    assigned, month = put.settled == ASSIGNED, workspace.month
    for c in range(block.config_stop.size):
        b, assigned_end = block.config_pair[c], -1
        end, stop = workspace.rest[block.pair_rest[b]], workspace.stop[block.config_stop[c]]
        if stop.time < end.time:
            end = stop
        elif assigned and end.time == SETTLED:
            assigned_end = assigned_end_of(
                slice_, put, common, block, block.pair_call[b], workspace.assigned_ends
            )
            end = workspace.assigned_ends.end[assigned_end]
        month.pnl[c], month.cell_reasons[c], month.cell_sums[c] = end.pnl, end.reasons, end.sums
        month.until[c], month.assigned_end[c] = end.until, assigned_end


@njit_inlined
def skip_busy(month: Month, n: int, number: int, busy: Integers) -> None:
    """Leave out the configurations whose last wheel is still open on this session.

    Args:
        month: the wheel at hand is updated.
        n: configurations.
        number: entry session.
        busy: (n,) the last session on which the last wheel occupies the underlying, updated.
    """
    for c in range(n):
        if number > busy[c]:
            busy[c] = month.until[c]
        else:
            month.pnl[c], month.assigned_end[c] = np.nan, -1
            month.cell_reasons[c], month.cell_sums[c] = 0, 0


def _most(starts: Integers) -> int:
    """The length of the longest part of a list."""
    return int(np.diff(starts).max())


def new_workspace(plan: Plan, sizes: Sizes) -> Workspace:
    """Buffers for any blocks of a plan."""
    targets, draws, holds = (
        _most(starts) for starts in (plan.target_starts, plan.draw_starts, plan.hold_starts)
    )
    configs, bars = _most(plan.config_starts), sizes.bars + 1
    scratch = Scratch(
        np.zeros(bars, BAR),
        np.empty(bars, np.int64),
        np.empty(bars, np.int64),
        np.empty(bars),
        np.empty(bars, np.int64),
        np.empty(draws, np.int64),
        np.empty(holds, np.int64),
        np.empty(targets),
        np.empty(bars),
    )
    return Workspace(
        new_month(configs),
        scratch,
        new_assigned_ends(_most(plan.call_starts), sizes.calls_on_offer, bars),
        np.zeros((3 * sizes.quotes, 3), KEPT_END),
        np.zeros(_most(plan.stop_starts), EXIT),
        np.zeros(_most(plan.rest_starts), EXIT),
        new_ends(_most(plan.pair_starts)),
        new_selection(sizes.sessions, sizes.quotes),
        aligned((sizes.wheels, configs)),
    )


@njit_inlined
def add_wheel(
    slice_: Slice,
    common: CommonRules,
    block: Block,
    w: int,
    month_first: int,
    workspace: Workspace,
    figures: Figures,
    at: int,
    busy: Integers,
    cells: CellPnl,
    products: bool,
    others: bool,
) -> None:
    """Add the w-th put of the selection under every configuration of the block.

    Args:
        slice_: the underlying.
        common: the block's.
        block: its configurations.
        w: position in the selection.
        month_first: first row of the month's puts.
        workspace: buffers.
        figures: added to.
        at: first configuration of the block in `figures`.
        busy: as in `evaluate_blocks`.
        cells: as in `evaluate_blocks`.
        products: whether the block may be a product of stops and pairs.
        others: whether it may be none, or have one configuration.
    """
    month, n = workspace.month, block.config_stop.size
    put = put_of(slice_, common, workspace.chosen, w)
    if put.settled == ASSIGNED:
        clear_assigned_ends(workspace.assigned_ends, block.call.size)
    if others and n == 1:
        combine_single(
            slice_,
            put,
            common,
            block,
            3 * (put.row - month_first) + workspace.chosen.tier[w],
            workspace,
        )
    elif products and (block.product or not others):
        lay_ends(slice_, put, common, block, workspace)
        pair_ends(
            slice_, put, common, block, workspace.rest, workspace.assigned_ends, workspace.pair
        )
        assigned, single = put.settled == ASSIGNED, common.one_at_a_time
        combine_product(
            workspace.stop,
            block.stop.size,
            workspace.pair,
            block.pair_rest.size,
            assigned,
            single,
            month,
        )
    else:
        lay_ends_apart(slice_, put, common, block, workspace)
        combine(slice_, put, common, block, workspace)
    if common.one_at_a_time:
        skip_busy(month, n, put.number, busy[at : at + n])
    add_money(month, n, put.capital, put.premium, put.censored, workspace.roc[w], figures, at)
    if put.by_events:
        count_marks(month, n, figures.counts, at)
    add_counts(month, n)
    if put.settled == ASSIGNED:
        ends = workspace.assigned_ends
        if block.call.size == 1:
            add_one_assigned_end(month, n, ends.after[0], ends.marked[0])
        else:
            add_assigned_ends(month, n, ends.after, ends.marked)
    if cells.row.size:
        for c in range(n):
            cells.pnl[cells.row[put.row], cells.column[at + c]] = month.pnl[c]


@njit_inlined
def close_month(
    plan: Plan,
    p: int,
    wheels: int,
    fields: int,
    row: int,
    workspace: Workspace,
    figures: Figures,
    values: Reals,
    filled: Integers,
) -> None:
    """Fold the wheels of a month into the figures of a block.

    Args:
        plan: all blocks.
        p: block.
        wheels: of the month.
        fields: how many of FIELDS may be anything but 0.
        row: of `values`, of the block's first configuration.
        workspace: has the sums of the month, and the ROC of its wheels.
        figures: added to.
        values: as in `evaluate_blocks`.
        filled: as in `evaluate_blocks`.
    """
    month, at = workspace.month, plan.config_starts[p]
    n = plan.config_starts[p + 1] - at
    unpack(month, n, fields, figures.counts, at)
    add_spread(month, workspace.roc, wheels, n, figures, at)
    fold(month, n, figures, at)
    if values.shape[0]:
        for c in range(n):
            for w in range(wheels):
                values[row + c, filled[p] + w] = workspace.roc[w, c]
        filled[p] += wheels


def _evaluator(products: bool, others: bool) -> Callable[..., None]:
    """The kernel for plans some of whose blocks are products of several configurations, or others.

    Without the ways that it does not take, that of a sweep of products took 9% less time over a
    market of years, and that of random exit rules 12%.
    """

    @njit_lean
    def evaluate(
        slice_: Slice,
        opens: Flags,
        months: Integers,
        plan: Plan,
        p0: int,
        p1: int,
        done: Integers,
        budget: int,
        workspace: Workspace,
        busy: Integers,
        figures: Figures,
        values: Reals,
        filled: Integers,
        cells: CellPnl,
    ) -> None:
        """Add the wheels of some months to the figures of blocks p0..p1-1, month by month.

        A call that has spent its budget returns early, so that Ctrl-C takes effect; the next one,
        with the same workspace, goes on where `done` says.

        Args:
            slice_: the underlying.
            opens: (schedules, sessions) whether wheels may open.
            months: (months, 2) the first and the last session of each.
            plan: all blocks.
            p0: block.
            p1: block, excluded.
            done: (4,) how many months are done, and of the next one the block at hand (p0 at
                first), how many of its wheels are done, and how many there are; updated.
            budget: estimated nanoseconds.
            workspace: buffers.
            busy: (configurations,) until when the last wheel of each occupies the underlying; read
                where one is open at a time.
            figures: (configurations,), added to.
            values: (configurations of these blocks, wheels) every wheel's ROC in percent, NaN
                where the summary has none; (0, 0) if they are not wanted.
            filled: (blocks,) how many of `values` a block's configurations hold.
            cells: where each wheel's P&L is written by configuration.
        """
        month, packed = (
            workspace.month,
            min(WHEELS_PACKED, CALLS_PACKED // max(1, slice_.valid.size)),
        )
        fields = FIELDS.shape[0] if slice_.events.size else WITHOUT_EVENTS
        searched, puts = workspace.assigned_ends.memory.spent, slice_.put_starts
        while done[0] < months.shape[0]:
            first, last = months[done[0], 0], months[done[0], 1]
            for p in range(done[1], p1):
                common, block, at = plan.common[p], block_of(plan, p), plan.config_starts[p]
                n, start, wheels = block.config_stop.size, done[2], done[3]
                if start == 0:
                    wheels = select_puts(
                        slice_, common, opens[common.schedule], first, last, workspace.chosen
                    )
                    budget -= 500 + puts[last + 1] - puts[first]
                    clear(month, n)
                for w in range(start, wheels):
                    add_wheel(
                        slice_,
                        common,
                        block,
                        w,
                        puts[first],
                        workspace,
                        figures,
                        at,
                        busy,
                        cells,
                        products,
                        others,
                    )
                    if w % packed == packed - 1:
                        unpack(month, n, fields, figures.counts, at)
                    budget -= plan.cost[p] + searched[0]
                    searched[0] = 0
                    if budget <= 0 and w + 1 < wheels:
                        done[1], done[2], done[3] = p, w + 1, wheels
                        return
                row = at - plan.config_starts[p0]
                close_month(plan, p, wheels, fields, row, workspace, figures, values, filled)
                done[1], done[2] = p + 1, 0
                if budget <= 0:
                    return
            done[0], done[1] = done[0] + 1, p0

    return evaluate


evaluate_blocks = _evaluator(products=True, others=True)
evaluate_products = _evaluator(products=True, others=False)
evaluate_others = _evaluator(products=False, others=True)


def evaluator_of(plan: Plan) -> Callable[..., None]:
    """The kernel for the blocks of a plan."""
    products = plan.product & (np.diff(plan.config_starts) > 1)
    if products.all():
        return evaluate_products
    return evaluate_blocks if products.any() else evaluate_others


@njit_lean
def mark_chosen(
    slice_: Slice,
    opens: Flags,
    first: int,
    last: int,
    plan: Plan,
    p0: int,
    p1: int,
    chosen: Selection,
    rows: Flags,
) -> None:
    """Mark the puts that any of blocks p0..p1-1 sells on sessions first..last.

    Args:
        slice_: the underlying.
        opens: (schedules, sessions) whether wheels may open.
        first: session number.
        last: session number, included.
        plan: all blocks.
        p0: block.
        p1: block, excluded.
        chosen: a buffer.
        rows: (puts of the slice,) set to True.
    """
    for p in range(p0, p1):
        wheels = select_puts(
            slice_, plan.common[p], opens[plan.common[p].schedule], first, last, chosen
        )
        for w in range(wheels):
            rows[chosen.row[w]] = True
