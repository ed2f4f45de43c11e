"""Every wheel of a month under every configuration of a plan's pieces."""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.aligned import aligned
from wheelvec.jit.compiled import inlined, lean
from wheelvec.kernels.accumulate import (
    CALLS_PACKED,
    WHEELS_PACKED,
    Month,
    add_counts,
    add_money,
    add_spread,
    add_tails,
    clear,
    fold,
    new_month,
    unpack,
)
from wheelvec.kernels.calls import Tails, forget, new_tails, tail_of
from wheelvec.kernels.entries import Shortlist, new_shortlist, shortlist
from wheelvec.kernels.exits import (
    ASSIGNED,
    BAR,
    SETTLED,
    WAY,
    Ends,
    Put,
    Scratch,
    SettleRules,
    lay_bars,
    new_ends,
    rest_ends,
    settle,
    stop_ends,
)
from wheelvec.kernels.quotes import fill_probability, penalty_of
from wheelvec.kernels.slices import Plan, piece_of


@inlined
def put_of(board, entry, chosen, i, rules):  # type: ignore[no-untyped-def]
    """The i-th put of a shortlist."""
    row, number = chosen.row[i], chosen.number[i]
    quote = board.puts[row]
    where = board.contracts[quote.contract]
    settlement = where.settlement
    close, last_bar = board.underlying.close[settlement], board.underlying.last_bar
    return Put(
        row, number, settlement, quote.contract, quote.first, quote.last, chosen.price[i], quote.spread_pct,
        penalty_of(chosen.tier[i]), chosen.ivp[i], chosen.price[i] * 100.0, quote.strike * 100.0,
        settle(close, where.strike_cents, settlement, last_bar, rules),
        not entry.v5 and settlement > last_bar,
    )  # fmt: skip


@inlined
def pair_ends(board, put, entry, piece, rest, tails, out):  # type: ignore[no-untyped-def]
    """Write how each pair of rest and call rules ends the wheel if no stop does: what follows an assignment stands in for
    the rest's own end.
    """
    assigned = put.settled == ASSIGNED
    for i in range(piece.pair_rest.size):
        end, tail = rest[piece.pair_rest[i]], -1
        out.time[i] = end.time
        if assigned and end.time == SETTLED:
            tail = tail_of(board, put, entry, piece, piece.pair_call[i], tails)
            end = tails.end[tail]
        out.pnl[i], out.reasons[i], out.sums[i], out.until[i], out.tail[i] = end.pnl, end.reasons, end.sums, end.until, tail


@lean
def lay_ends(board, put, entry, piece, room):  # type: ignore[no-untyped-def]
    """Write how each stop and each rest of the piece ends the put."""
    lay_bars(board, board.puts[put.row], put.number, put.penalty, entry, put.censored, room.scratch.bars)
    stop_ends(put, entry, piece.stop, room.scratch.bars, room.stop)
    rest_ends(board, put, entry, piece, room.scratch, room.rest)


@inlined
def meet_alone(board, put, entry, piece, at, room):  # type: ignore[no-untyped-def]
    """The one configuration of a piece. Pieces that only sell other puts end one sold on the same terms alike: its end is
    kept, and so is not worked out again for each of thousands of entry rules.
    """
    chance, tail = fill_probability(put.spread_pct, put.ivp, entry, piece.draw[0]), -1
    known = room.alone[at, np.int64(put.ivp >= entry.high_threshold) + (put.ivp >= entry.extreme_threshold)]
    word = board.puts[put.row].word
    if known.word != word or known.exits != piece.exits or known.chance != chance:
        lay_ends(board, put, entry, piece, room)
        end = room.stop[0] if room.stop[0].time < room.rest[0].time else room.rest[0]
        known.word, known.exits, known.chance = word, piece.exits, chance
        known.time, known.pnl, known.reasons, known.sums, known.until = end.time, end.pnl, end.reasons, end.sums, end.until
    month = room.month
    month.pnl[0], month.cell_reasons[0], month.cell_sums[0] = known.pnl, known.reasons, known.sums
    month.until[0], month.tail[0] = known.until, tail
    if put.settled == ASSIGNED and known.time == SETTLED:
        tail = tail_of(board, put, entry, piece, 0, room.tails)
        end = room.tails.end[tail]
        month.pnl[0], month.cell_reasons[0], month.cell_sums[0] = end.pnl, end.reasons, end.sums
        month.until[0], month.tail[0] = end.until, tail


@inlined
def meet_all(stop, stops, pair, pairs, assigned, alone, month):  # type: ignore[no-untyped-def]
    """Every stop with every pair: whichever comes first ends the put. The tail is read where the put may be assigned, and until
    when a wheel lasts where one is open at a time.
    """
    for s in range(stops):
        cells = slice(s * pairs, (s + 1) * pairs)
        time, pnl, reasons, sums, until = stop.time[s], stop.pnl[s], stop.reasons[s], stop.sums[s], stop.until[s]
        out, out_reasons, out_sums = month.pnl[cells], month.cell_reasons[cells], month.cell_sums[cells]
        out_until, out_tail = month.until[cells], month.tail[cells]
        for b in range(pairs):
            out[b] = pnl if time < pair.time[b] else pair.pnl[b]
        for b in range(pairs):
            out_reasons[b] = reasons if time < pair.time[b] else pair.reasons[b]
        for b in range(pairs):
            out_sums[b] = sums if time < pair.time[b] else pair.sums[b]
        if assigned:
            for b in range(pairs):
                out_tail[b] = -1 if time < pair.time[b] else pair.tail[b]
        if alone:
            for b in range(pairs):
                out_until[b] = until if time < pair.time[b] else pair.until[b]


@inlined
def meet(board, put, entry, piece, room):  # type: ignore[no-untyped-def]
    """Each configuration's stop with its pair; an assignment is followed only where a configuration comes to it."""
    assigned, month = put.settled == ASSIGNED, room.month
    for c in range(piece.config_stop.size):
        b, tail = piece.config_pair[c], -1
        end, stop = room.rest[piece.pair_rest[b]], room.stop[piece.config_stop[c]]
        if stop.time < end.time:
            end = stop
        elif assigned and end.time == SETTLED:
            tail = tail_of(board, put, entry, piece, piece.pair_call[b], room.tails)
            end = room.tails.end[tail]
        month.pnl[c], month.cell_reasons[c], month.cell_sums[c] = end.pnl, end.reasons, end.sums
        month.until[c], month.tail[c] = end.until, tail


@inlined
def hold_back(month, n, number, busy):  # type: ignore[no-untyped-def]
    """Where one wheel is open at a time: leave out the configurations whose last one has not ended before this session."""
    for c in range(n):
        if number > busy[c]:
            busy[c] = month.until[c]
        else:
            month.pnl[c], month.cell_reasons[c], month.cell_sums[c], month.tail[c] = np.nan, 0, 0, -1


class Recorder(NamedTuple):
    """Where the P&L of single cells goes; empty where nobody asks."""

    row: np.ndarray  # (puts of the board,) row of `pnl`
    column: np.ndarray  # (configurations,)
    pnl: np.ndarray  # (wheels, configurations) float32


# How a put ended that was sold on certain terms; no wheel's word is 0.
KEPT_END = np.dtype(
    [("word", np.uint64), ("exits", np.int64), ("chance", np.float64)] + [(name, WAY[name]) for name in WAY.names or ()]
)


class Room(NamedTuple):
    """Everything that `run_pieces` writes to on the way, large enough for the largest of its pieces."""

    month: Month
    scratch: Scratch
    tails: Tails
    alone: np.ndarray  # (puts of a month and tiers, levels of rank) of KEPT_END
    stop: np.ndarray  # of WAY
    rest: np.ndarray  # of WAY
    pair: Ends
    chosen: Shortlist
    roc: np.ndarray  # (wheels, configurations)


class Sizes(NamedTuple):
    """The greatest number of each that a room must hold; `quotes` and `calls_on_offer` in a month and on a session."""

    wheels: int
    bars: int
    quotes: int
    calls_on_offer: int
    sessions: int


def new_room(plan: Plan, sizes: Sizes) -> Room:
    """Room for any pieces of a plan."""
    stops, draws, holds, rests, calls, pairs, configs = (
        int(np.diff(starts).max())
        for starts in (plan.stop_starts, plan.draw_starts, plan.hold_starts, plan.rest_starts, plan.call_starts,
                       plan.pair_starts, plan.config_starts)
    )  # fmt: skip
    bars = sizes.bars + 1
    scratch = Scratch(
        np.zeros(bars, BAR),
        np.empty(bars, np.int64),
        np.empty(bars, np.int64),
        np.empty(bars),
        np.empty(bars, np.int64),
        np.empty(draws, np.int64),
        np.empty(holds, np.int64),
    )
    return Room(
        new_month(configs), scratch, new_tails(calls, sizes.calls_on_offer, bars),
        np.zeros((3 * sizes.quotes, 3), KEPT_END),
        np.zeros(stops, WAY), np.zeros(rests, WAY), new_ends(pairs),
        new_shortlist(sizes.sessions, sizes.quotes), aligned((sizes.wheels, configs)),
    )  # fmt: skip


@inlined
def add_wheel(board, entry, piece, w, month_first, room, figures, at, busy, record):  # type: ignore[no-untyped-def]
    """Add the w-th put of the shortlist under every configuration of the piece; the month's puts begin at `month_first`."""
    month, n = room.month, piece.config_stop.size
    put = put_of(board, entry, room.chosen, w, SettleRules(False, entry.v5, entry.v5))
    if put.settled == ASSIGNED:
        forget(room.tails, piece.call.size)
    if n == 1:
        meet_alone(board, put, entry, piece, 3 * (put.row - month_first) + room.chosen.tier[w], room)
    else:
        lay_ends(board, put, entry, piece, room)
        if piece.product:
            pair_ends(board, put, entry, piece, room.rest, room.tails, room.pair)
            assigned, alone = put.settled == ASSIGNED, entry.one_at_a_time
            meet_all(room.stop, piece.stop.size, room.pair, piece.pair_rest.size, assigned, alone, month)
        else:
            meet(board, put, entry, piece, room)
    if entry.one_at_a_time:
        hold_back(month, n, put.number, busy[at : at + n])
    add_money(month, n, put.capital, put.premium, put.censored, room.roc[w], figures, at)
    add_counts(month, n)
    if put.settled == ASSIGNED:
        add_tails(month, n, room.tails.after, room.tails.marked)
    if record.row.size:
        for c in range(n):
            record.pnl[record.row[put.row], record.column[at + c]] = month.pnl[c]


@lean
def run_pieces(board, opens, first, last, plan, p0, p1, room, busy, figures, values, filled, record):  # type: ignore[no-untyped-def]
    """Add the wheels entered on sessions first..last to the figures of pieces p0..p1-1.

    Args:
        board: the underlying.
        opens: (schedules, sessions) whether wheels may open.
        plan: all pieces.
        room: as `new_room` makes it.
        busy: (configurations,) until when the last wheel of each occupies the underlying; read where one is open at a time.
        figures: (configurations,), added to.
        values: (configurations of these pieces, room) every wheel's ROC, NaN where the summary has none; (0, 0) if nobody
            asks.
        filled: (pieces,) how many of `values` a piece's configurations hold.
        record: where each wheel's P&L is written by configuration.
    """
    month, packed = room.month, min(WHEELS_PACKED, CALLS_PACKED // max(1, board.valid.size))
    for p in range(p0, p1):
        entry, piece, at = plan.entry[p], piece_of(plan, p), plan.config_starts[p]
        n = piece.config_stop.size
        wheels = shortlist(board, entry, opens[entry.schedule], first, last, room.chosen)
        clear(month, n)
        for w in range(wheels):
            add_wheel(board, entry, piece, w, board.put_starts[first], room, figures, at, busy, record)
            if w % packed == packed - 1:
                unpack(month, n, figures.counts, at)
        unpack(month, n, figures.counts, at)
        add_spread(month, room.roc, wheels, n, figures, at)
        fold(month, n, figures, at)
        if values.shape[0]:
            row = at - plan.config_starts[p0]
            for c in range(n):
                for w in range(wheels):
                    values[row + c, filled[p] + w] = room.roc[w, c]
            filled[p] += wheels


@lean
def mark_chosen(board, opens, first, last, plan, chosen, rows):  # type: ignore[no-untyped-def]
    """Set `rows` (puts of the board,) where any piece sells the put on sessions first..last; `chosen` is room."""
    for p in range(plan.entry.size):
        wheels = shortlist(board, plan.entry[p], opens[plan.entry[p].schedule], first, last, chosen)
        for w in range(wheels):
            rows[chosen.row[w]] = True
