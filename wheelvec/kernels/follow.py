"""What follows an assignment: calls sold one after the other until the wheel ends (rules.md, sections 7 and 8).

It depends on the put's contract, its entry premium and the call rules, never on how the put might have been bought back.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.compiled import inlined, lean
from wheelvec.kernels.cover import NO_CALL_QUOTES, SOLD, SearchRoom, new_search_room, sell_one
from wheelvec.kernels.draws import Drawn, drawn, new_drawn
from wheelvec.kernels.path import CALLED_AWAY, MAX_HOLD_DTE, NO_DATA, OPEN, PROFIT_TARGET, STOP_LOSS, settle
from wheelvec.kernels.quote import FillOdds, Quotes, fill_probability
from wheelvec.kernels.shortlist import first_from
from wheelvec.kernels.tables import BAR, ROUNDING, WAY, SettleRules, lay_bars, stop_cost, target_cost
from wheelvec.kernels.tally import (
    ABOVE,
    AFTER,
    CC,
    END,
    HELD,
    INSIDE,
    MARKED,
    OPEN_AFTER,
    WORDS,
    count_after,
    days_of,
    missing_of,
    packed_days,
    packed_reason,
)
from wheelvec.spec.codes import EndReason, ExitReason

ASSIGNED = int(ExitReason.ASSIGNED)
END_CALLED_AWAY, MAX_CYCLES = int(EndReason.CALLED_AWAY), int(EndReason.MAX_CYCLES)
UNRESOLVED = int(EndReason.UNRESOLVED)
FORGOTTEN = -2  # no session number: -1 is a day that is no session

# Sales of one wheel that are remembered: nearly all call rules of a piece look for one call on one session, and after it on
# the few sessions on which it may have ended.
REMEMBERED_BITS = 5
REMEMBERED = 2**REMEMBERED_BITS
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing: the upper bits of a product with it are well mixed
_UPPER = np.uint64(64 - REMEMBERED_BITS)

# What one search on one session comes to, and the call that it sells as far as no exit rule matters.
SALE = np.dtype(
    [
        ("search", np.int64), ("number", np.int64),  # what was sought, and on which session
        ("row", np.int64), ("status", np.int64), ("in_range", np.int64), ("above_basis", np.int64), ("liquid", np.int64),
        ("ivp", np.float64), ("tier", np.int64), ("penalty", np.float64), ("price", np.float64), ("p_fill", np.float64),
        ("bars", np.int64),
        ("settlement", np.int64),
        ("settled", np.int64),  # how it ends if nothing ends it before
        ("sums", np.uint64),  # packed days and sessions without a bar, to the settlement
        ("unsold", np.int64),  # where nothing is sold: the tail of that, -1: not followed yet
    ],
    align=True,
)  # fmt: skip


class Memory(NamedTuple):
    """The sales of one wheel, each in the place that its search and session hash to."""

    sales: np.ndarray  # (REMEMBERED,) of SALE
    bars: np.ndarray  # (REMEMBERED, bars) of BAR
    drawn: Drawn
    room: SearchRoom


class Tails(NamedTuple):
    """What follows the assignment of one put under each of a piece's call rules."""

    of: np.ndarray  # (call rules,) the tail of each, -1: not followed yet
    end: np.ndarray  # (tails,) of WAY
    after: np.ndarray  # (tails, WORDS - AFTER) packed counts
    memory: Memory


class Course(NamedTuple):
    """Where a wheel stands after its calls; sums are dollars per contract."""

    end_reason: int
    end_number: int  # session
    last_reason: int  # of the last call, -1: none was sold
    last_strike: float
    settlement: int  # the latest among the put's and its calls'
    closed: float  # P&L of the calls that ended
    still_open: float  # value of the call that the data leave open
    sums: np.uint64  # packed days and sessions without a bar of the calls that ended


class CallEnd(NamedTuple):
    """How a call ended."""

    reason: int
    number: int  # session
    price: float  # dollars per share paid to buy it back
    sums: np.uint64


def new_tails(rules: int, calls: int, bars: int) -> Tails:
    """Room for the tails of so many call rules, of at most so many calls on offer on a session and bars of a call."""
    memory = Memory(
        np.zeros(REMEMBERED, SALE),
        np.zeros((REMEMBERED, bars), BAR),
        new_drawn(REMEMBERED, bars),
        new_search_room(calls),
    )
    return Tails(np.empty(rules, np.int64), np.zeros(rules, WAY), np.empty((rules, WORDS - AFTER), np.uint64), memory)


@inlined
def forget(tails, rules):  # type: ignore[no-untyped-def]
    """Begin another put, under so many call rules."""
    tails.of[:rules] = -1
    for i in range(REMEMBERED):
        tails.memory.sales[i].number = FORGOTTEN


@lean
def make_sale(board, at, number, basis, entry, search, call, rule, memory):  # type: ignore[no-untyped-def]
    """Search a session's calls, and lay out what becomes of the one sold."""
    sale = memory.sales[at]
    sale.search, sale.number, sale.row, sale.unsold = search, number, -1, -1
    if number < 0 or number >= board.valid.size or board.valid[number] == 0:
        sale.status = NO_CALL_QUOTES
        return
    odds = FillOdds(
        entry.mode, rule.tight, rule.normal, rule.wide, rule.scale, rule.high_mult, rule.extreme_mult, rule.lowest,
        rule.highest, rule.tight_spread, rule.normal_spread,
    )  # fmt: skip
    calls, last = board.calls, board.call_starts[number + 1]  # by expiration first
    first = first_from(board.call_dte, board.call_starts[number], last, call.dte_min)
    last = first_from(board.call_dte, first, last, call.dte_max + 1)
    quotes = Quotes(
        calls.strike, calls.bid, calls.ask, calls.mid, calls.spread_pct, board.call_dte, calls.iv, board.call_delta,
        calls.chain_rank,
    )  # fmt: skip
    sell_one(at, quotes, first, last, basis, call, entry, odds, memory.room, memory.sales)
    if sale.status != SOLD:
        return
    quote = board.calls[sale.row]
    where, underlying = board.contracts[quote.contract], board.underlying
    sale.bars, sale.settlement = quote.last - quote.first, where.settlement
    close = underlying.close[where.settlement]
    rules = SettleRules(True, entry.v5, entry.v5)
    sale.settled = settle(close, where.strike_cents, where.settlement, underlying.last_bar, rules)
    days = underlying.day[where.settlement] - underlying.day[number]
    sale.sums = packed_days(days, where.settlement - number - sale.bars, False)
    lay_bars(board, quote, number, sale.penalty, entry, False, memory.bars[at])


@inlined
def basis_of(board, put):  # type: ignore[no-untyped-def]
    """What an assigned share cost, dollars."""
    return (board.puts[put.row].strike * 100.0 - put.price * 100.0) / 100.0


@inlined
def sale_on(board, number, basis, entry, search, call, rule, memory):  # type: ignore[no-untyped-def]
    """Where in the memory the sale stands that this search makes on a session; it is made if it was not yet."""
    key = np.uint64(search) * _SPREAD + np.uint64(number)
    at = np.int64((key * _SPREAD) >> _UPPER)
    sale = memory.sales[at]
    if sale.number != number or sale.search != search:
        make_sale(board, at, number, basis, entry, search, call, rule, memory)
    return at


@inlined
def call_end(board, memory, at, cycle, word, entry, call, rule, counts):  # type: ignore[no-untyped-def]
    """How a remembered call ends under these rules, and counts of it: the stop goes before the target and that
    before the hold."""
    sale, bars = memory.sales[at], memory.bars[at]
    stop, target, premium = sale.price * call.stop_multiplier, sale.price * call.exit_pct, sale.price * 100.0
    spread_pct, ivp = (0.05, 0.5) if call.flat_odds else (board.calls[sale.row].spread_pct, sale.ivp)
    chance = fill_probability(spread_pct, ivp, entry, rule)
    touches, reason, price, sums, number = 0, sale.settled, 0.0, sale.sums, sale.settlement
    for b in range(sale.bars):
        bar = bars[b]
        if bar.high >= stop:  # never true of a NaN stop
            reason, price = STOP_LOSS, stop_cost(bar, stop, sale.penalty, entry.mode)
            if price * 100.0 < premium * call.stop_multiplier * (1.0 - ROUNDING):
                count_after(counts, INSIDE)
        elif bar.low <= target:
            touches += 1
            if not rule.probabilistic or drawn(memory.drawn, at, rule.seed, word, cycle, touches - 1) <= chance:
                reason, price = PROFIT_TARGET, target_cost(bar, target, touches)
                if price * 100.0 > premium * call.exit_pct * (1.0 + ROUNDING):
                    count_after(counts, ABOVE)
        if reason not in (STOP_LOSS, PROFIT_TARGET) and bar.left <= call.max_hold_dte:
            reason, price = MAX_HOLD_DTE, bar.market
        if reason in (STOP_LOSS, PROFIT_TARGET, MAX_HOLD_DTE):
            number, sums = bar.number, bar.sums
            break
    count_after(counts, CC + reason)
    return CallEnd(reason, number, price, sums)


@inlined
def last_mark(board, sale):  # type: ignore[no-untyped-def]
    """What the call was last worth, dollars per share: its last close known, or what it was sold for."""
    rows, quote = board.rows, board.calls[sale.row]
    r, first = quote.last - 1, board.contracts[quote.contract].first_row
    while r >= first and rows[r].number > board.underlying.last_bar:
        r -= 1
    return sale.price if r < first or np.isnan(rows[r].close) else rows[r].close


@inlined
def first_search(board, put, entry):  # type: ignore[no-untyped-def]
    """The session on which the first call is sought."""
    return board.contracts[put.contract].day_after if entry.v5 else put.settlement + 1


@inlined
def course(board, put, entry, search, call, rule, memory, counts):  # type: ignore[no-untyped-def]
    """Sell calls until the wheel ends."""
    basis, number = basis_of(board, put), first_search(board, put, entry)
    cycle, waits, settlement = 1, call.waits, put.settlement
    last_reason, strike, earned, still_open, sums = -1, 0.0, 0.0, 0.0, np.uint64(0)
    while True:
        at = sale_on(board, number, basis, entry, search, call, rule, memory)
        sale = memory.sales[at]
        if sale.status != SOLD:
            end_reason, end = sale.status, number
            if waits == 0 or number >= board.valid.size:
                break
            waits, number = waits - 1, number + 1
            continue
        ended = call_end(board, memory, at, cycle, board.puts[put.row].word, entry, call, rule, counts)
        last_reason, end, strike = ended.reason, ended.number, board.calls[sale.row].strike
        settlement = max(settlement, sale.settlement)
        premium = sale.price * 100.0
        if last_reason in (OPEN, NO_DATA):
            still_open += premium - entry.fee - last_mark(board, sale) * 100.0
            end_reason = UNRESOLVED
            break
        bought_back = last_reason in (STOP_LOSS, PROFIT_TARGET, MAX_HOLD_DTE)
        earned += premium - ended.price * 100.0 - (2.0 * entry.fee if bought_back else entry.fee)
        sums += ended.sums
        end_reason = END_CALLED_AWAY if last_reason == CALLED_AWAY else MAX_CYCLES
        if last_reason == CALLED_AWAY or cycle >= call.max_cycles:
            break
        cycle, number, waits = cycle + 1, end + 1, call.waits
    return Course(end_reason, end, last_reason, strike, settlement, earned, still_open, sums)


@inlined
def dividends_between(board, first_day, last_day):  # type: ignore[no-untyped-def]
    """Dollars per contract paid on ex-dates after the first day, up to the last."""
    received = 0.0
    for i in range(board.dividends.size):
        if first_day < board.dividends.ex_day[i] <= last_day:
            received += board.dividends.paid[i]
    return received


@lean
def follow(board, put, entry, search, call, rule, memory, out, counts):  # type: ignore[no-untyped-def]
    """Write how an assigned put's wheel ends under these call rules, and its counts; tell whether a call was sold."""
    counts[:] = 0
    calls = course(board, put, entry, search, call, rule, memory, counts)
    days, underlying = board.underlying.day, board.underlying
    strike, csp = board.puts[put.row].strike, put.premium - 0.0 - entry.fee
    end = calls.end_number
    away, resolved = calls.end_reason == END_CALLED_AWAY, calls.end_reason != UNRESOLVED
    held = resolved and not away
    if entry.v5:
        if held and calls.end_reason != MAX_CYCLES:
            end = put.settlement  # the notebook's wheel ends with its last leg
        stock = calls.last_strike * 100.0 - (strike * 100.0 - put.premium) if away else 0.0
    else:
        close = underlying.close[end] if end < underlying.close.size else np.nan
        resolved = resolved and not (held and np.isnan(close))
        sale = calls.last_strike if away else close
        stock = (sale - strike) * 100.0
    if resolved:
        if not entry.v5:
            stock += dividends_between(board, days[put.settlement], days[end])
        pnl = csp + calls.closed + stock
    else:
        last_close = underlying.close[underlying.last_bar] if underlying.last_bar >= 0 else np.nan
        pnl = csp + calls.closed + (last_close - strike) * 100.0 + calls.still_open
    counted = not put.censored and not np.isnan(pnl)
    total_days = days[put.settlement] - days[put.number] + days_of(calls.sums)
    out.pnl = pnl if counted else np.nan
    out.reasons = packed_reason(ASSIGNED, out.pnl)
    missing = put.settlement - put.number - (put.last - put.first) + missing_of(calls.sums)
    out.sums = packed_days(total_days if counted and resolved else 0, missing, put.censored)
    out.until = end if resolved else calls.settlement
    count_after(counts, END + (calls.end_reason if resolved else UNRESOLVED))
    if not resolved and calls.last_reason == OPEN:
        count_after(counts, OPEN_AFTER)
    if counted and not resolved:
        count_after(counts, MARKED)
    if counted and resolved and held:
        count_after(counts, HELD)
    return calls.last_reason >= 0


@lean
def tail_of(board, put, entry, piece, a, tails):  # type: ignore[no-untyped-def]
    """The tail to which call rules a lead; it is followed if it was not yet.

    Rules that look for the same calls on the same sessions and find none to sell share a tail.
    """
    if tails.of[a] >= 0:
        return tails.of[a]
    search, call, rule, memory = piece.call_search[a], piece.call[a], piece.draw[piece.call_draw[a]], tails.memory
    number = first_search(board, put, entry)
    sale = memory.sales[sale_on(board, number, basis_of(board, put), entry, search, call, rule, memory)]
    if sale.unsold < 0:
        tails.of[a] = a
        sold = follow(board, put, entry, search, call, rule, memory, tails.end[a], tails.after[a])
        if not sold and sale.number == number:  # a later search may have taken its place
            sale.unsold = a
    else:
        tails.of[a] = sale.unsold
    return tails.of[a]
