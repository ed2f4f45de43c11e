"""How many contracts of a session are listed again on the next one.

Most nights replace few contracts. That is seen from one pass over the quotes; only where a night
may have replaced most of them is every contract's first and last session needed.
"""

from typing import NamedTuple

from wheelvec.jit.arrays import Integers, ShortIntegers
from wheelvec.jit.compiled import njit_lean


class Listed(NamedTuple):
    """Quotes of some sessions, session by session; the rows of a contract are adjacent.

    Attributes:
        contract: (n,) int64 hash of each row's symbol.
        session: (n,) int32 days since 1970-01-01.
        expiration: (n,) int32 days since 1970-01-01.
    """

    contract: Integers
    session: ShortIntegers
    expiration: ShortIntegers


@njit_lean
def count_again(
    quotes: Listed, begins: Integers, least: int, table: Integers, listed: Integers, again: Integers
) -> None:
    """Write how many contracts each session lists, and how many of them the next one lists again.

    Contracts with fewer than `least` days to their expiration are not counted.

    Args:
        quotes: n rows.
        begins: (sessions + 1,) the first row of each session, and n.
        least: calendar days from a session to the expiration.
        table: a power of two of -1, at least twice the rows of any session; it is used up.
        listed: (sessions,) zeros, written.
        again: (sessions,) zeros, written; of the last session it stays 0.
    """
    contract, mask = quotes.contract, table.size - 1
    for s in range(begins.size - 2, -1, -1):
        # `table` holds the rows of the session after s, from `end` to `until`. Places of other
        # sessions count as free, so that nothing is cleared.
        first, end = begins[s], begins[s + 1]
        until = begins[min(s + 2, begins.size - 1)]
        for row in range(first, end):
            if row > first and contract[row] == contract[row - 1]:
                continue
            if quotes.expiration[row] - quotes.session[row] < least:
                continue
            listed[s] += 1
            at = contract[row] & mask
            while end <= table[at] < until and contract[table[at]] != contract[row]:
                at = (at + 1) & mask
            again[s] += end <= table[at] < until
        for row in range(first, end):
            at = contract[row] & mask
            while first <= table[at] < end and contract[table[at]] != contract[row]:
                at = (at + 1) & mask
            table[at] = row
