"""The P&L of a wheel whose put was assigned (rules.md, 8)."""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.compiled import njit_inlined
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.parameters import EntryRules
from wheelvec.kernels.slices import Slice, Underlying
from wheelvec.model.codes import EndReason

SALE_WAITS = 5  # sessions on which an order to sell the shares waits for a close
CALLED_AWAY, MAX_CYCLES = int(EndReason.CALLED_AWAY), int(EndReason.MAX_CYCLES)
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
    still_open: float  # value of the call that the data leave open
    sums: np.uint64  # packed days and sessions without a bar of the calls that ended


class AssignedPut(NamedTuple):
    """The terms of an assigned put on which its calls and the wheel's P&L depend."""

    wheel: int  # the number of the wheel among those recorded, -1 in a sweep
    strike: float
    price: float  # dollars per share
    premium: float  # dollars per contract
    settlement: int  # session of its assignment
    word: np.uint64  # identifies the wheel's draws


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


@njit_inlined
def dividends_between(slice_: Slice, first_day: int, last_day: int) -> float:
    """Dollars per contract paid on ex-dates after the first day, up to the last."""
    received = 0.0
    for i in range(slice_.dividends.size):
        if first_day < slice_.dividends.ex_day[i] <= last_day:
            received += slice_.dividends.paid[i]
    return received


@njit_inlined
def last_close(underlying: Underlying, session: int) -> int:
    """The last session up to this one on which the underlying has a close; -1: none."""
    s = min(session, underlying.close.size - 1)
    while s >= 0 and np.isnan(underlying.close[s]):
        s -= 1
    return s


@njit_inlined
def sale_session(underlying: Underlying, session: int) -> int:
    """The session on which an order to sell the shares fills; -1: none.

    The one meant, or the first of the next SALE_WAITS with a close.
    """
    for s in range(session, min(session + SALE_WAITS + 1, underlying.close.size)):
        if not np.isnan(underlying.close[s]):
            return s
    return -1


@njit_inlined
def assigned_pnl(put: AssignedPut, entry: EntryRules) -> float:
    """P&L of a put that was assigned, dollars per contract."""
    return put.premium - 0.0 - (order_fee(entry, 1) + entry.assignment_fee)


@njit_inlined
def wheel_value(slice_: Slice, put: AssignedPut, entry: EntryRules, calls: Course) -> Value:
    """The P&L of an assigned put's wheel.

    Args:
        slice_: the underlying.
        put: that was assigned.
        entry: has the fees, and whether the rules are v5's.
        calls: as kernels.calls.sell_calls returns it.
    """
    days, underlying = slice_.underlying.day, slice_.underlying
    strike, csp = put.strike, assigned_pnl(put, entry)
    end, away = calls.end_number, calls.end_reason == CALLED_AWAY
    resolved = calls.end_reason != UNRESOLVED
    held, lacking = resolved and not away, end if resolved else calls.lacking
    stock, sale = 0.0, np.nan
    if entry.v5:
        if held and calls.end_reason != MAX_CYCLES:
            end = put.settlement  # the notebook's wheel ends with its last leg
        if away:
            sale = calls.last_strike
            stock = calls.last_strike * 100.0 - (strike * 100.0 - put.premium)
    else:
        sold = sale_session(underlying, end) if held else end
        resolved = resolved and sold >= 0
        if resolved:
            end, sale = sold, calls.last_strike if away else underlying.close[sold]
            stock = (sale - strike) * 100.0 + dividends_between(
                slice_, days[put.settlement], days[end]
            )
    if resolved:
        pnl = csp + calls.closed + stock
        return Value(calls.end_reason, end, end, resolved, held, sale, stock, pnl, pnl)
    known = last_close(underlying, lacking)
    shares = (underlying.close[known] - strike) * 100.0 if known >= 0 else np.nan
    marked = csp + calls.closed + shares + calls.still_open
    return Value(UNRESOLVED, end, calls.settlement, resolved, False, np.nan, np.nan, np.nan, marked)
