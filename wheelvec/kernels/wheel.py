"""The P&L of a wheel whose put was assigned (rules.md, 8)."""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.compiled import njit_inlined
from wheelvec.kernels.events import SUSPECTED, barrier_between, shares_between, shares_until
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.parameters import CommonRules
from wheelvec.kernels.slices import Slice, Underlying
from wheelvec.model.codes import EndReason

SALE_WAITS = 5  # sessions on which an order to sell the shares waits for a close
CALLED_AWAY = int(EndReason.CALLED_AWAY)
UNRESOLVED = int(EndReason.UNRESOLVED)


class Course(NamedTuple):
    """An assigned put's wheel after its last call; sums are dollars per contract."""

    end_reason: int
    end_number: int  # session
    last_reason: int  # of the last call, -1: none was sold
    last_strike: float
    settlement: int  # the latest among the put's and its calls'
    lacking: int  # session whose close is lacking where a call is open
    closed: float  # P&L of the calls that ended
    # value of the call that the data leave open; NaN where a suspected split leaves the wheel so
    still_open: float
    sums: np.uint64  # packed days and sessions without a bar of the calls that ended


class AssignedPut(NamedTuple):
    """The terms of an assigned put on which its calls and the wheel's P&L depend."""

    wheel: int  # the number of the wheel among those recorded, -1 in a sweep
    strike: float  # at which the shares were delivered
    price: float  # dollars per share
    premium: float  # dollars per contract
    settlement: int  # session of its assignment
    word: np.uint64  # identifies the wheel's draws
    contracts: int  # that one had become: the hundreds of shares delivered


class Value(NamedTuple):
    """The P&L of an assigned put's wheel, dollars per contract; NaN where it is not known."""

    end_reason: int
    end: int  # session
    until: int  # the last session on which the wheel occupies its underlying
    resolved: bool
    held: bool  # shares were left, and sold
    sale: float  # dollars per share at which they left the wheel, NaN if they did not
    stock: float
    pnl: float
    # the P&L, or what the wheel is worth at the last close before the one that is lacking
    marked: float
    lots: int  # hundreds of shares that were left or called away; 0 where neither is known


@njit_inlined
def lots_on(slice_: Slice, put: AssignedPut, session: int) -> int:
    """The hundreds of shares that a wheel holds on a session."""
    return put.contracts * shares_between(slice_.events, put.settlement, session)


@njit_inlined
def dividends_between(slice_: Slice, put: AssignedPut, last_day: int) -> float:
    """Dollars received on ex-dates after the day of the assignment, up to the last.

    Each is the amount per share on its day, on the shares held then: of one day, splits come first.
    """
    received, first_day = 0.0, slice_.underlying.day[put.settlement]
    for i in range(slice_.dividends.size):
        ex_day = slice_.dividends.ex_day[i]
        if first_day < ex_day <= last_day:
            shares = shares_until(slice_.events, put.settlement, ex_day)
            received += slice_.dividends.paid[i] * (put.contracts * shares)
    return received


@njit_inlined
def last_close(underlying: Underlying, session: int) -> int:
    """The last session up to this one on which the underlying has a close; -1: none."""
    s = min(session, underlying.close.size - 1)
    while s >= 0 and np.isnan(underlying.close[s]):
        s -= 1
    return s


@njit_inlined
def sale_session(underlying: Underlying, session: int, last: int) -> int:
    """The session on which an order to sell the shares fills; -1: none.

    The one meant, or the first of the next SALE_WAITS with a close, up to `last`.
    """
    for s in range(session, min(session + SALE_WAITS, last, underlying.close.size - 1) + 1):
        if not np.isnan(underlying.close[s]):
            return s
    return -1


@njit_inlined
def assigned_pnl(put: AssignedPut, common: CommonRules) -> float:
    """P&L of a put that was assigned, dollars per contract."""
    return put.premium - 0.0 - (order_fee(common, 1) + common.assignment_fee)


@njit_inlined
def wheel_value(slice_: Slice, put: AssignedPut, common: CommonRules, calls: Course) -> Value:
    """The P&L of an assigned put's wheel.

    Args:
        slice_: the underlying.
        put: that was assigned.
        common: has the fees, and whether the rules are v5's.
        calls: as kernels.calls.sell_calls returns it.
    """
    days, underlying = slice_.underlying.day, slice_.underlying
    strike, csp, still_open = put.strike, assigned_pnl(put, common), calls.still_open
    end, away = calls.end_number, calls.end_reason == CALLED_AWAY
    resolved = calls.end_reason != UNRESOLVED
    held, lacking = resolved and not away, end if resolved else calls.lacking
    stock, sale = 0.0, np.nan
    if common.v5:
        if held and calls.last_reason < 0:
            end = put.settlement  # the notebook's wheel ends with its last leg
        lots = lots_on(slice_, put, end)
        if away:
            sale, bought = calls.last_strike, strike * 100.0 * put.contracts
            stock = sale * 100.0 * lots - (bought - put.premium)
    else:
        barrier = barrier_between(slice_.events, end, end + SALE_WAITS) if held else -1
        eve = slice_.events[barrier].number - 1 if barrier >= 0 else end + SALE_WAITS
        sold = sale_session(underlying, end, eve) if held else end
        if resolved and sold < 0 and barrier >= 0 and slice_.events[barrier].kind == SUSPECTED:
            still_open = np.nan  # the order waited into a suspected split
        resolved = resolved and sold >= 0
        lots = lots_on(slice_, put, sold if resolved else end)
        if resolved:
            end, sale = sold, calls.last_strike if away else underlying.close[sold]
            grown = lots // put.contracts  # shares for each that was bought
            stock = (sale * grown - strike) * 100.0 * put.contracts
            stock += dividends_between(slice_, put, days[end])
    if resolved:
        pnl = csp + calls.closed + stock
        return Value(calls.end_reason, end, end, resolved, held, sale, stock, pnl, pnl, lots)
    known = last_close(underlying, lacking)
    grown = lots_on(slice_, put, known) // put.contracts
    shares = (underlying.close[known] * grown - strike) * 100.0 * put.contracts
    marked = csp + calls.closed + (shares if known >= 0 else np.nan) + still_open
    return Value(
        UNRESOLVED, end, calls.settlement, resolved, False, np.nan, np.nan, np.nan, marked, 0
    )
