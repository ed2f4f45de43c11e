"""Direct calls of compiled code: the code for the types of the arguments is called."""

from typing import NamedTuple

import numpy as np
import pytest
from numba import typeof

from wheelvec.jit.compiled import njit
from wheelvec.jit.dispatch import compiled_for, kind_of


class Pair(NamedTuple):
    first: np.ndarray
    second: np.ndarray


@njit
def total(pair, factor):  # type: ignore[no-untyped-def]
    return pair.first.sum() * factor + pair.second[0]


REAL, WHOLE = np.arange(6.0), np.arange(6)
READ_ONLY = np.arange(6.0)
READ_ONLY.flags.writeable = False
RECORDS = np.zeros(3, [("a", np.int64), ("b", np.float64)])
VALUES = [
    REAL, WHOLE, READ_ONLY, REAL[::2], REAL.reshape(2, 3), REAL.reshape(2, 3).T, REAL.astype(np.float32), RECORDS,
    np.zeros(3, [("a", np.int64), ("c", np.float64)]), RECORDS["b"], 1, 1.0, True, Pair(REAL, WHOLE), Pair(WHOLE, REAL),
    (REAL, WHOLE),
]  # fmt: skip


@pytest.mark.parametrize("one", range(len(VALUES)))
def test_values_of_one_kind_are_of_one_numba_type(one: int) -> None:
    for other in VALUES:
        if kind_of(other) == kind_of(VALUES[one]):
            assert typeof(other) == typeof(VALUES[one])
        else:
            assert typeof(other) != typeof(VALUES[one])


@pytest.mark.parametrize("pair", [Pair(REAL, WHOLE), Pair(WHOLE, REAL), Pair(REAL[::2], READ_ONLY)])
def test_a_direct_call_returns_the_same_as_the_function(pair: Pair) -> None:
    for factor in (2, 0.5):
        direct = compiled_for(total, pair, factor)
        assert direct is not total
        assert direct(pair, factor) == total(pair, factor)
        assert (
            compiled_for(
                total,
                Pair(
                    *[a.copy() if a.flags.writeable and a.flags.c_contiguous else a for a in pair]
                ),
                factor,
            )
            is direct
        )


def test_without_compilation_the_function_itself_is_called() -> None:
    def plain(a: int) -> int:
        return a

    assert compiled_for(plain, 1) is plain
