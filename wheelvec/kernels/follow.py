"""What follows an assignment: calls sold one after the other until the wheel ends (rules.md, sections 7 and 8).

It depends on the put's contract, its entry premium and the call rules, never on how the put might have been bought back.
"""

from typing import Any, NamedTuple

import numpy as np

from wheelvec.kernels.compiled import lean
from wheelvec.kernels.cover import NO_CALL_QUOTES, SOLD, Sales, SearchRoom, new_search_room, sell_one
from wheelvec.kernels.path import (
    CALLED_AWAY,
    MAX_HOLD_DTE,
    NO_DATA,
    OPEN,
    PROFIT_TARGET,
    STOP_LOSS,
    ExitRules,
    Legs,
    Outcomes,
    walk_leg,
)
from wheelvec.kernels.quote import FillOdds, fill_probability
from wheelvec.kernels.tables import ROUNDING
from wheelvec.kernels.tally import (
    AFTER,
    AFTER_ABOVE,
    AFTER_CALL,
    AFTER_END,
    AFTER_HELD,
    AFTER_INSIDE,
    AFTER_MARKED,
    AFTER_OPEN,
    packed_days,
    packed_reason,
)
from wheelvec.spec.codes import EndReason, ExitReason

ASSIGNED = int(ExitReason.ASSIGNED)
END_CALLED_AWAY, MAX_CYCLES = int(EndReason.CALLED_AWAY), int(EndReason.MAX_CYCLES)
UNRESOLVED = int(EndReason.UNRESOLVED)
FORGOTTEN = -2  # no session number: -1 is a day that is no session
REMEMBERED = 16  # sales of one wheel: most call rules of a piece look for the same call on the same session


class Memory(NamedTuple):
    """The last sales of one wheel by what was sought, and room for walking one call."""

    search: np.ndarray
    number: np.ndarray
    sales: np.ndarray  # records of Sales
    leg: np.ndarray  # one record of Legs
    outcome: np.ndarray  # one record of Outcomes
    room: SearchRoom


class Course(NamedTuple):
    """Where a wheel stands after its calls; sums are dollars per contract."""

    end_reason: int
    end_number: int  # session
    last_reason: Any  # of the last call, -1: none was sold
    last_strike: float
    settlement: int  # the latest among the put's and its calls'
    closed: float  # P&L of the calls that ended
    still_open: float  # value of the call that the data leave open
    days: int
    missing: int  # sessions without a bar


def new_memory(calls: int) -> Memory:
    """Room for the sales of one wheel, of at most so many calls a session."""
    real = {"ivp", "penalty", "price", "p_fill", "spread_pct", "exit_price", "u", "settlement_close", "mark"}

    def records(n: int, fields: tuple[str, ...]) -> np.ndarray:
        kinds = [(name, np.float64 if name in real else np.uint64 if name == "word" else np.int64) for name in fields]
        return np.zeros(n, kinds)

    keys = np.full(REMEMBERED, FORGOTTEN), np.full(REMEMBERED, FORGOTTEN)
    tables = records(REMEMBERED, Sales._fields), records(1, Legs._fields), records(1, Outcomes._fields)
    return Memory(*keys, *tables, new_search_room(calls))


@lean
def sale_on(board, number, basis, entry, call, rule, memory):  # type: ignore[no-untyped-def]
    """Where in the memory the sale stands that this search makes on a session; it is made if it was not yet."""
    free = 0
    for i in range(REMEMBERED):
        if memory.number[i] == FORGOTTEN:
            free = i
            break
        if memory.number[i] == number and memory.search[i] == call.search:
            return i
    memory.search[free], memory.number[free] = call.search, number
    sales = memory.sales
    if number < 0 or number >= board.valid.size or board.valid[number] == 0:
        sales.row[free], sales.status[free] = -1, NO_CALL_QUOTES
        return free
    odds = FillOdds(
        entry.mode, rule.tight, rule.normal, rule.wide, rule.scale, rule.high_mult, rule.extreme_mult, rule.lowest,
        rule.highest, rule.tight_spread, rule.normal_spread,
    )  # fmt: skip
    sales.row[free] = -1
    first, last = board.call_starts[number], board.call_starts[number + 1]
    sell_one(free, board.calls, first, last, basis, call, entry, odds, memory.room, sales)
    return free


@lean
def walk_call(board, sale, number, cycle, word, entry, call, rule, memory):  # type: ignore[no-untyped-def]
    """Walk the call of a remembered sale into `memory.outcome`."""
    sales, leg = memory.sales, memory.leg
    row = sales.row[sale]
    contract = board.calls.contract[row]
    spread_pct, ivp = board.calls.spread_pct[row], sales.ivp[sale]
    leg.first_row[0], leg.last_row[0] = board.contracts.first_row[contract], board.contracts.last_row[contract]
    leg.entry_number[0], leg.settlement_number[0] = number, board.contracts.settlement[contract]
    leg.expiration_day[0], leg.strike_cents[0] = (
        board.contracts.expiration_day[contract],
        board.contracts.strike_cents[contract],
    )
    leg.price[0], leg.spread_pct[0], leg.penalty[0] = sales.price[sale], spread_pct, sales.penalty[sale]
    if call.flat_odds:
        spread_pct, ivp = 0.05, 0.5
    leg.p_fill[0] = fill_probability(spread_pct, ivp, entry, rule)
    leg.word[0], leg.phase[0] = word, cycle
    rules = ExitRules(
        True, call.exit_pct, call.stop_multiplier, call.max_hold_dte, entry.mode, entry.trigger, rule.probabilistic,
        entry.v5, entry.v5,
    )  # fmt: skip
    walk_leg(leg, 0, board.rows, board.underlying, rules, rule.seed, memory.outcome)


@lean
def call_counts(price, call, outcome, counts):  # type: ignore[no-untyped-def]
    """Count how the walked call ended, and whether its exit was booked worse than its limit or better than its stop."""
    reason, paid, premium = outcome.reason[0], outcome.exit_price[0] * 100.0, price * 100.0
    counts[AFTER_CALL + reason] += 1
    if reason == PROFIT_TARGET and paid > premium * call.exit_pct * (1.0 + ROUNDING):
        counts[AFTER_ABOVE] += 1
    if reason == STOP_LOSS and paid < premium * call.stop_multiplier * (1.0 - ROUNDING):
        counts[AFTER_INSIDE] += 1


@lean
def course(board, put, entry, call, rule, memory, counts):  # type: ignore[no-untyped-def]
    """Sell calls until the wheel ends."""
    basis = (board.puts.strike[put.row] * 100.0 - put.price * 100.0) / 100.0
    number = board.contracts.day_after[put.contract] if entry.v5 else put.settlement + 1
    cycle, waits, settlement = 1, call.waits, put.settlement
    last_reason, strike, earned, still_open, days, missing = np.int64(-1), 0.0, 0.0, 0.0, 0, 0
    while True:
        sale = sale_on(board, number, basis, entry, call, rule, memory)
        if memory.sales.status[sale] != SOLD:
            end_reason, end = memory.sales.status[sale], number
            if waits == 0 or number >= board.valid.size:
                break
            waits, number = waits - 1, number + 1
            continue
        walk_call(board, sale, number, cycle, board.puts.word[put.row], entry, call, rule, memory)
        price, outcome = memory.sales.price[sale], memory.outcome
        call_counts(price, call, outcome, counts)
        last_reason, end = np.int64(outcome.reason[0]), outcome.exit_number[0]
        strike = board.calls.strike[memory.sales.row[sale]]
        settlement = max(settlement, memory.leg.settlement_number[0])
        if last_reason in (OPEN, NO_DATA):
            mark = price * 100.0 if np.isnan(outcome.mark[0]) else outcome.mark[0] * 100.0
            still_open += price * 100.0 - entry.fee - mark
            end_reason = UNRESOLVED
            break
        bought_back = last_reason in (STOP_LOSS, PROFIT_TARGET, MAX_HOLD_DTE)
        earned += price * 100.0 - outcome.exit_price[0] * 100.0 - (2.0 * entry.fee if bought_back else entry.fee)
        days += board.underlying.day[end] - board.underlying.day[number]
        missing += outcome.without_bar[0]
        end_reason = END_CALLED_AWAY if last_reason == CALLED_AWAY else MAX_CYCLES
        if last_reason == CALLED_AWAY or cycle >= call.max_cycles:
            break
        cycle, number, waits = cycle + 1, end + 1, call.waits
    return Course(end_reason, end, last_reason, strike, settlement, earned, still_open, days, missing)


@lean
def dividends_between(board, first_day, last_day):  # type: ignore[no-untyped-def]
    """Dollars per contract paid on ex-dates after the first day, up to the last."""
    received = 0.0
    for i in range(board.dividends.size):
        if first_day < board.dividends.ex_day[i] <= last_day:
            received += board.dividends.paid[i]
    return received


@lean
def follow(board, put, entry, call, rule, memory, out, i, counts):  # type: ignore[no-untyped-def]
    """Write end i of an assigned put: the whole wheel's P&L under these call rules; and (AFTER,) its further counts."""
    counts[:AFTER] = 0
    calls = course(board, put, entry, call, rule, memory, counts)
    days, underlying = board.underlying.day, board.underlying
    strike, csp = board.puts.strike[put.row], put.premium - 0.0 - entry.fee
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
    total_days = days[put.settlement] - days[put.number] + calls.days
    out.pnl[i] = pnl if counted else np.nan
    out.reasons[i] = packed_reason(ASSIGNED, out.pnl[i])
    missing = put.settlement - put.number - (put.last - put.first) + calls.missing
    out.sums[i] = packed_days(total_days if counted and resolved else 0, missing, put.censored)
    out.until[i] = end if resolved else calls.settlement
    out.tail[i] = i
    counts[AFTER_END + (calls.end_reason if resolved else UNRESOLVED)] += 1
    counts[AFTER_OPEN] += not resolved and calls.last_reason == OPEN
    counts[AFTER_MARKED] += counted and not resolved
    counts[AFTER_HELD] += counted and resolved and held
