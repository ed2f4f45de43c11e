"""The standing quote of each contract, worked by hand (rules.md, 2)."""

import numpy as np

from wheelvec.kernels.collapse import Counts, Rows, collapse_quotes


def test_the_last_valid_quote_of_the_minute_stands() -> None:
    # contract, session: A on 0: valid, valid, not valid   the second stands
    #                    B on 0: not valid                 quoted, and none stands
    #                    C on 0: not in the minute         not even quoted
    #                    A on 1: valid, not asked for      counted, not kept
    yes, no = True, False
    rows = Rows(
        number=np.array([0, 0, 0, 0, 0, 1]),
        starts=np.array([yes, no, no, yes, yes, yes]),
        found=np.array([yes, yes, yes, yes, no, yes]),
        valid=np.array([yes, yes, no, no, yes, yes]),
        priced=np.array([yes, yes, no, yes, yes, yes]),
        wanted=np.array([yes, yes, yes, yes, yes, no]),
    )
    counts = Counts(np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64))
    out = np.full(6, -1)
    assert collapse_quotes(rows, out, counts) == 1
    assert out[0] == 1
    assert counts.quoted.tolist() == [2, 1]  # A and B; A
    assert counts.valid.tolist() == [1, 1]
    assert counts.priced.tolist() == [3, 1]  # rows of the minute with a price of the underlying
