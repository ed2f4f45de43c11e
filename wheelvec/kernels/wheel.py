"""What a wheel earned once its shares were bought (rules.md, section 8)."""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.compiled import inlined
from wheelvec.spec.codes import EndReason

CALLED_AWAY, MAX_CYCLES, UNRESOLVED = int(EndReason.CALLED_AWAY), int(EndReason.MAX_CYCLES), int(EndReason.UNRESOLVED)


class Value(NamedTuple):
    """The end of an assigned wheel. P&L is dollars per contract, NaN where it is not known."""

    end_reason: int
    end: int  # session
    until: int  # the last session on which the wheel occupies its underlying
    resolved: bool
    held: bool  # shares were left, and sold
    sale: float  # dollars per share at which they left the wheel, NaN if they did not
    stock: float
    pnl: float
    marked: float  # the P&L, or what the wheel is worth at the last close of the data


@inlined
def dividends_between(board, first_day, last_day):  # type: ignore[no-untyped-def]
    """Dollars per contract paid on ex-dates after the first day, up to the last."""
    received = 0.0
    for i in range(board.dividends.size):
        if first_day < board.dividends.ex_day[i] <= last_day:
            received += board.dividends.paid[i]
    return received


@inlined
def wheel_value(board, put, entry, calls):  # type: ignore[no-untyped-def]
    """What an assigned put's wheel came to; `calls` is what kernels.calls.sell_calls left it at."""
    days, underlying = board.underlying.day, board.underlying
    strike, csp = board.puts[put.row].strike, put.premium - 0.0 - entry.fee
    end, away = calls.end_number, calls.end_reason == CALLED_AWAY
    resolved = calls.end_reason != UNRESOLVED
    held = resolved and not away
    stock, sale = 0.0, np.nan
    if entry.v5:
        if held and calls.end_reason != MAX_CYCLES:
            end = put.settlement  # the notebook's wheel ends with its last leg
        if away:
            sale, stock = calls.last_strike, calls.last_strike * 100.0 - (strike * 100.0 - put.premium)
    else:
        close = underlying.close[end] if end < underlying.close.size else np.nan
        resolved = resolved and not (held and np.isnan(close))
        if resolved:
            sale = calls.last_strike if away else close
            stock = (sale - strike) * 100.0 + dividends_between(board, days[put.settlement], days[end])
    if resolved:
        pnl = csp + calls.closed + stock
        return Value(calls.end_reason, end, end, resolved, held, sale, stock, pnl, pnl)
    last_close = underlying.close[underlying.last_bar] if underlying.last_bar >= 0 else np.nan
    marked = csp + calls.closed + (last_close - strike) * 100.0 + calls.still_open
    return Value(UNRESOLVED, end, calls.settlement, resolved, False, np.nan, np.nan, np.nan, marked)
