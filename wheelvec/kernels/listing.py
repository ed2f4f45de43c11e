"""How many contracts of a session are listed again on the next one.

Most nights replace few contracts. That is seen from one pass over the quotes; only where a night
may have replaced most of them is every contract's first and last session needed.
"""

from wheelvec.jit.arrays import Flags, Integers
from wheelvec.jit.compiled import njit_lean


@njit_lean
def count_again(
    contract: Integers, counted: Flags, begins: Integers, table: Integers, out: Integers
) -> None:
    """Write how many contracts of each session but the last are listed on the next one.

    Args:
        contract: (n,) number of each row's contract, session by session; the rows of a contract
            are adjacent.
        counted: (n,) whether a row is counted: once a contract, if it is listed again.
        begins: (sessions + 1,) the first row of each session, and n.
        table: a power of two of -1, at least twice the rows of any session; it is used up.
        out: (sessions,) zeros, written.
    """
    mask = table.size - 1
    for s in range(begins.size - 2, 0, -1):
        # The rows of the session, by contract. Places of other sessions are free: no clearing.
        first, end = begins[s], begins[s + 1]
        for row in range(first, end):
            at = contract[row] & mask
            while first <= table[at] < end and contract[table[at]] != contract[row]:
                at = (at + 1) & mask
            table[at] = row
        for row in range(begins[s - 1], first):
            if counted[row]:
                at = contract[row] & mask
                while first <= table[at] < end and contract[table[at]] != contract[row]:
                    at = (at + 1) & mask
                out[s - 1] += first <= table[at] < end
