"""Early assignment: when the holder of an option would exercise it (rules.md, section 13).

It depends on the contract, the session of its sale and the setting alone, never on exit rules: it
is found once, when a slice is made, and written beside each quote.
"""

from typing import Any, NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Reals, Records
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.layout import Offers, Traded
from wheelvec.kernels.slices import Quote
from wheelvec.model.codes import EarlyAssignment

AT_PARITY, EX_DIV = int(EarlyAssignment.AT_PARITY), int(EarlyAssignment.EX_DIV)
NOT_DUE = -1  # no dividend on the next session


class Exercisable(NamedTuple):
    """The contracts of a slice, (contracts,) each."""

    strike: Integers  # tenths of a cent
    strike_cents: Integers
    settlement: Integers  # session; an exercise is before it
    is_put: Flags
    era: Integers  # between corporate events (rules.md, 12) in which it is quoted
    successor: Integers  # the contract that stands for it in the next one; -1: none


class Market(NamedTuple):
    """The underlying by session, (sessions,) each."""

    close: Reals  # dollars per share, NaN: none
    due: Integers  # ordinary dividends of the next session, tenths of a cent; NOT_DUE: none


class Exercises(NamedTuple):
    """The next session on which each contract is exercised, (contracts,) each; 0: none."""

    at_parity: Integers
    ex_div: Integers
    priced: Integers  # the last session, of those visited, on which the contract had a price


def new_exercises(contracts: int) -> Exercises:
    """No exercise of so many contracts."""
    none = np.full(contracts, -1, np.int64)
    return Exercises(np.zeros(contracts, np.int64), np.zeros(contracts, np.int64), none)


@njit_inlined
def exercise_of(quote: Quote, early: int) -> Any:
    """The session on which an option sold at a quote is exercised early; 0: it is not.

    No session is numbered 0: an exercise comes after a sale.

    Args:
        quote: at which it was sold.
        early: EarlyAssignment.
    """
    if early == AT_PARITY:
        return np.int64(quote.at_parity)
    return np.int64(quote.ex_div) if early == EX_DIV else np.int64(0)


@njit_inlined
def rows_until(rows: Records, quote: Quote, session: int) -> int:
    """One past the last row of an option's path up to a session.

    Args:
        rows: of slices.ROW.
        quote: at which it was sold.
        session: number.
    """
    last = quote.last
    while last > quote.first and rows[last - 1].number > session:
        last -= 1
    return last


@njit_lean
def tenths(dollars: float) -> Any:
    """Dollars in whole tenths of a cent."""
    return np.int64(np.rint(dollars * 1000.0))


@njit_lean
def decide(
    c: int, s: int, price: float, contracts: Exercisable, market: Market, out: Exercises
) -> None:
    """Write session s as the next exercise of contract c if its holder would exercise it then.

    Args:
        c: contract.
        s: session.
        price: of the option, dollars per share; NaN: none.
        contracts: of the slice.
        market: the underlying.
        out: written.
    """
    close, is_put = market.close[s], contracts.is_put[c]
    if s >= contracts.settlement[c] or np.isnan(close):
        return
    sign = 1 if is_put else -1
    if sign * (contracts.strike_cents[c] - np.int64(np.rint(close * 100.0))) <= 0:
        return  # not in the money
    known = not np.isnan(price)
    time_value = tenths(price) - sign * (contracts.strike[c] - tenths(close)) if known else 0
    if known and time_value <= 0:
        out.at_parity[c] = s
    if not is_put and market.due[s] != NOT_DUE and time_value < market.due[s]:
        out.ex_div[c] = s


@njit_lean
def hand_over(era: int, contracts: Exercisable, found: Exercises) -> None:
    """Write the next exercise of the contracts of an era: that of those that stand for them later.

    Args:
        era: number.
        contracts: of the slice.
        found: written.
    """
    for c in range(contracts.era.size):
        if contracts.era[c] == era:
            later = contracts.successor[c]
            found.at_parity[c] = found.at_parity[later] if later >= 0 else 0
            found.ex_div[c] = found.ex_div[later] if later >= 0 else 0


@njit_lean
def write_next(quotes: Records, first: int, last: int, found: Exercises) -> None:
    """Write the next exercise beside the quotes of rows first..last-1."""
    for r in range(first, last):
        quote = quotes[r]
        quote.at_parity = found.at_parity[quote.contract]
        quote.ex_div = found.ex_div[quote.contract]


@njit_lean
def write_exercises(
    offers: Offers,
    traded: Traded,
    contracts: Exercisable,
    begin: Integers,
    market: Market,
    puts: Records,
    put_starts: Integers,
    calls: Records,
    call_starts: Integers,
    found: Exercises,
) -> None:
    """Write the session on which each quote's option would be exercised after its sale.

    From the last session to the first: the next exercise of a contract is the one found last.

    Args:
        offers: all valid quotes of the contracts.
        traded: their bars, whose close is the price of a session without a valid quote.
        contracts: of the slice.
        begin: (events,) session of each corporate event, which begins the next era.
        market: the underlying.
        puts: of slices.QUOTE, written.
        put_starts: (sessions + 1,) first row of each session.
        calls: of slices.QUOTE, written.
        call_starts: (sessions + 1,) first row of each session.
        found: as `new_exercises` returns it.
    """
    i, k, era = offers.number.size - 1, traded.number.size - 1, begin.size
    for s in range(market.close.size - 1, -1, -1):
        while era > 0 and s < begin[era - 1]:
            era -= 1
            hand_over(era, contracts, found)
        write_next(puts, put_starts[s], put_starts[s + 1], found)
        write_next(calls, call_starts[s], call_starts[s + 1], found)
        while i >= 0 and offers.number[i] == s:
            c = offers.contract[i]
            if c >= 0:
                found.priced[c] = s
                decide(c, s, (offers.bid[i] + offers.ask[i]) / 2, contracts, market, found)
            i -= 1
        while k >= 0 and (traded.number[k] == s or traded.number[k] < 0):  # -1: no session
            c = traded.contract[k]
            if c >= 0 and traded.number[k] == s and found.priced[c] != s:
                found.priced[c] = s
                decide(c, s, traded.close[k], contracts, market, found)
            k -= 1
        if market.due[s] != NOT_DUE:
            for c in range(contracts.strike.size):
                if contracts.era[c] == era and found.priced[c] != s:
                    decide(c, s, np.nan, contracts, market, found)
