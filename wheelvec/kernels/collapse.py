"""The standing quote of each contract in its session's entry minute (rules.md, 2)."""

from typing import NamedTuple

from wheelvec.jit.arrays import Flags, Integers
from wheelvec.jit.compiled import njit


class Rows(NamedTuple):
    """Quotes of one underlying sorted by (session, contract, time): (n,) each."""

    number: Integers  # session number; any where `found` is False
    starts: Flags  # True where the row before is another contract's or another session's
    found: Flags  # True in the session's entry minute
    valid: Flags
    priced: Flags  # True where the underlying has a price
    wanted: Flags  # True where the quote of this row, should it stand, is asked for


class Counts(NamedTuple):
    """Counts by session number, (sessions,) each, added to."""

    quoted: Integers
    valid: Integers
    priced: Integers


@njit
def collapse_quotes(rows: Rows, out_rows: Integers, counts: Counts) -> int:
    """Write the positions of the standing quotes that are wanted, in order; their number.

    The quote of a contract and session that stands is the last valid one of the entry minute. One
    pass that decides on flags and copies nothing: filters over whole frames took three times as
    long.

    Args:
        rows: quotes of one underlying.
        out_rows: (n,) positions, written.
        counts: added to.
    """
    kept, n = 0, rows.number.size
    last, quoted = -1, False
    for i in range(n):
        if rows.found[i]:
            quoted = True
            counts.priced[rows.number[i]] += rows.priced[i]
            if rows.valid[i]:
                last = i
        if i + 1 < n and not rows.starts[i + 1]:
            continue
        if quoted:
            counts.quoted[rows.number[i]] += 1
        if last >= 0:
            counts.valid[rows.number[i]] += 1
            if rows.wanted[last]:
                out_rows[kept] = last
                kept += 1
        last, quoted = -1, False
    return kept
