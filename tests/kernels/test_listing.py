"""How many contracts are listed again, worked by hand."""

import numpy as np

from wheelvec.kernels.listing import count_again


def test_contracts_that_are_listed_again() -> None:
    # three sessions: 1 (twice), 2, 3 | 2, 9 (where 1 would be in the table) | 17, 2
    contract = np.array([1, 1, 2, 3, 2, 9, 17, 2])
    counted = np.array([True, False, True, True, True, True, True, True])
    begins, out = np.array([0, 4, 6, 8]), np.zeros(3, np.int64)
    count_again(contract, counted, begins, np.full(8, -1), out)
    # of the first session 2 alone, of the second 2 alone; nothing follows the third
    assert out.tolist() == [1, 1, 0]


def test_a_row_that_is_not_counted_is_not_written() -> None:
    out = np.zeros(2, np.int64)
    rows, counted = np.array([5, 6, 5, 6]), np.array([False, True, True, True])
    count_again(rows, counted, np.array([0, 2, 4]), np.full(4, -1), out)
    assert out.tolist() == [1, 0]


def test_no_session() -> None:
    none = np.zeros(0, np.int64)
    table = np.full(2, -1)
    count_again(none, none.astype(np.bool_), np.zeros(1, np.int64), table, none)
    assert table.tolist() == [-1, -1]
