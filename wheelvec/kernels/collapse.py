"""Which quote of each contract stands in its session's entry minute (rules.md, section 2)."""

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
    """Per session number, (sessions,) int64 each, counted up: contracts quoted, contracts with a
    valid quote, priced rows.
    """

    quoted: Integers
    valid: Integers
    priced: Integers


@njit
def collapse_quotes(rows: Rows, out_rows: Integers, counts: Counts) -> int:
    """Write the positions of the standing quotes that are wanted into (n,) `out_rows`, in order;
    how many there are.

    One pass that decides on flags and copies nothing: filters over whole frames took three times as
    long.
    """
    kept, last, quoted, n = 0, -1, False, rows.number.size
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
