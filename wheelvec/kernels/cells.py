"""Every wheel of a month under every configuration of a plan's pieces."""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.board import Plan, piece_of
from wheelvec.kernels.compiled import inlined, lean
from wheelvec.kernels.follow import FORGOTTEN, Memory, follow, new_memory
from wheelvec.kernels.path import settle
from wheelvec.kernels.shortlist import Shortlist, new_shortlist, shortlist
from wheelvec.kernels.tables import BAR, END, SETTLED, Ends, Put, Scratch, lay_bars, new_ends, rest_ends, stop_ends
from wheelvec.kernels.tally import (
    AFTER,
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
from wheelvec.spec.codes import ExitReason

ASSIGNED = int(ExitReason.ASSIGNED)


class SettleRules(NamedTuple):
    """What of ExitRules decides a settlement."""

    is_call: bool
    missing_close_is_worthless: bool
    called_away_at_strike: bool


@inlined
def put_of(board, entry, chosen, i, rules):  # type: ignore[no-untyped-def]
    """The i-th put of a shortlist."""
    row, number = chosen.row[i], chosen.number[i]
    contract = board.puts.contract[row]
    where = board.contracts[contract]
    settlement, numbers = where.settlement, board.rows.number
    first, last = where.first_row, where.last_row
    while first < last and numbers[first] <= number:
        first += 1
    while last > first and numbers[last - 1] > settlement:
        last -= 1
    strike = board.puts.strike[row]
    close, last_bar = board.underlying.close[settlement], board.underlying.last_bar
    return Put(
        row, number, settlement, contract, first, last, chosen.price[i], board.puts.spread_pct[row], chosen.penalty[i],
        chosen.ivp[i], chosen.price[i] * 100.0, strike * 100.0,
        settle(close, where.strike_cents, settlement, last_bar, rules),
        not entry.v5 and settlement > last_bar,
    )  # fmt: skip


@lean
def pair_ends(board, put, entry, piece, rest, memory, known, out, after):  # type: ignore[no-untyped-def]
    """Write how each pair of rest and call rules ends the wheel if no stop does: what follows an assignment stands in for
    the rest's own end. Returns whether any wheel was assigned."""
    assigned = put.settled == ASSIGNED
    if assigned:
        known[: piece.call.size] = False
        memory.number[:] = FORGOTTEN
    any_tail = False
    calls = piece.pair_rest.size  # ends of calls stand behind those of the pairs
    for i in range(piece.pair_rest.size):
        r = piece.pair_rest[i]
        out.time[i], out.tail[i] = rest.time[r], -1
        if assigned and rest.time[r] == SETTLED:
            a = piece.pair_call[i]
            if not known[a]:
                rule = piece.draw[piece.call[a].draw]
                follow(board, put, entry, piece.call[a], rule, memory, out, calls + a, after[a])
                known[a] = True
            k = calls + a
            out.pnl[i], out.reasons[i], out.sums[i] = out.pnl[k], out.reasons[k], out.sums[k]
            out.until[i], out.tail[i] = out.until[k], a
            any_tail = True
        else:
            out.pnl[i], out.reasons[i] = rest.pnl[r], rest.reasons[r]
            out.sums[i], out.until[i] = rest.sums[r], rest.until[r]
    return any_tail


@inlined
def meet_all(stop, stops, pair, pairs, month):  # type: ignore[no-untyped-def]
    """Every stop with every pair: whichever comes first ends the put."""
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
        for b in range(pairs):
            out_until[b] = until if time < pair.time[b] else pair.until[b]
        for b in range(pairs):
            out_tail[b] = -1 if time < pair.time[b] else pair.tail[b]


@lean
def meet(stop, pair, config_stop, config_pair, month):  # type: ignore[no-untyped-def]
    """Each configuration's stop with its pair."""
    for c in range(config_stop.size):
        s, b = config_stop[c], config_pair[c]
        if stop.time[s] < pair.time[b]:
            month.pnl[c], month.cell_reasons[c], month.cell_sums[c] = stop.pnl[s], stop.reasons[s], stop.sums[s]
            month.until[c], month.tail[c] = stop.until[s], -1
        else:
            month.pnl[c], month.cell_reasons[c], month.cell_sums[c] = pair.pnl[b], pair.reasons[b], pair.sums[b]
            month.until[c], month.tail[c] = pair.until[b], pair.tail[b]


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


class Room(NamedTuple):
    """Everything that `run_pieces` writes to on the way, large enough for the largest of its pieces."""

    month: Month
    scratch: Scratch
    memory: Memory
    stop: np.ndarray  # of END
    rest: np.ndarray  # of END
    pair: Ends  # of pairs, and behind them of call rules
    known: np.ndarray  # (call rules,)
    after: np.ndarray  # (call rules, AFTER)
    chosen: Shortlist
    roc: np.ndarray  # (wheels, configurations)


class Sizes(NamedTuple):
    """The greatest number of each that a room must hold; `quotes` and `calls_on_offer` in a month and on a session."""

    wheels: int
    bars: int
    quotes: int
    calls_on_offer: int
    sessions: int


def new_room(plan: Plan, p0: int, p1: int, sizes: Sizes) -> Room:
    """Room for pieces p0..p1-1 of a plan."""
    stops, draws, holds, rests, calls, pairs, configs = (
        int(np.diff(starts[p0 : p1 + 1]).max())
        for starts in (plan.stop_starts, plan.draw_starts, plan.hold_starts, plan.rest_starts, plan.call_starts,
                       plan.pair_starts, plan.config_starts)
    )  # fmt: skip
    bars = sizes.bars + 1
    scratch = Scratch(
        np.zeros(bars, BAR),
        np.empty(bars, np.int64),
        np.empty(bars, np.int64),
        np.empty(bars),
        np.empty(draws, np.int64),
        np.empty(holds, np.int64),
    )
    return Room(
        new_month(configs), scratch, new_memory(sizes.calls_on_offer), np.zeros(stops, END), np.zeros(rests, END),
        new_ends(pairs + calls), np.empty(calls, np.bool_), np.empty((calls, AFTER), np.int64),
        new_shortlist(sizes.sessions, sizes.quotes), np.empty((sizes.wheels, configs)),
    )  # fmt: skip


@inlined
def add_wheel(board, entry, piece, w, room, figures, at, busy, record):  # type: ignore[no-untyped-def]
    """Add the w-th put of the shortlist under every configuration of the piece."""
    month, n = room.month, piece.config_stop.size
    put = put_of(board, entry, room.chosen, w, SettleRules(False, entry.v5, entry.v5))
    lay_bars(board, put, entry, room.scratch.bars)
    stop_ends(put, entry, piece.stop, room.scratch.bars, room.stop)
    rest_ends(board, put, entry, piece, room.scratch, room.rest)
    tails = pair_ends(board, put, entry, piece, room.rest, room.memory, room.known, room.pair, room.after)
    if piece.product:
        meet_all(room.stop, piece.stop.size, room.pair, piece.pair_rest.size, month)
    else:
        meet(room.stop, room.pair, piece.config_stop, piece.config_pair, month)
    if entry.one_at_a_time:
        hold_back(month, n, put.number, busy[at : at + n])
    add_money(month, n, put.capital, put.premium, room.roc[w], figures, at)
    add_counts(month, n)
    if tails:
        add_tails(month, n, room.after, figures.counts, at)
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
        room: as `new_room` makes it for these pieces.
        busy: (configurations,) until when the last wheel of each occupies the underlying; read where one is open at a time.
        figures: (configurations,), added to.
        values: (configurations, room) every wheel's ROC, NaN where the summary has none; (0, 0) if nobody asks.
        filled: (pieces,) how many of `values` a piece's configurations hold.
        record: where each wheel's P&L is written by configuration.
    """
    month = room.month
    for p in range(p0, p1):
        entry, piece, at = plan.entry[p], piece_of(plan, p), plan.config_starts[p]
        n = piece.config_stop.size
        wheels = shortlist(board, entry, opens[entry.schedule], first, last, room.chosen)
        clear(month, n)
        for w in range(wheels):
            add_wheel(board, entry, piece, w, room, figures, at, busy, record)
            if w % WHEELS_PACKED == WHEELS_PACKED - 1:
                unpack(month, n, figures.counts, at)
        unpack(month, n, figures.counts, at)
        add_spread(month, room.roc, wheels, n, figures, at)
        fold(month, n, figures, at)
        if values.shape[0]:
            for c in range(n):
                for w in range(wheels):
                    values[at + c, filled[p] + w] = room.roc[w, c]
            filled[p] += wheels


@lean
def mark_chosen(board, opens, first, last, plan, chosen, rows):  # type: ignore[no-untyped-def]
    """Set `rows` (puts of the board,) where any piece sells the put on sessions first..last; `chosen` is room."""
    for p in range(plan.entry.size):
        wheels = shortlist(board, plan.entry[p], opens[plan.entry[p].schedule], first, last, chosen)
        for w in range(wheels):
            rows[chosen.row[w]] = True
