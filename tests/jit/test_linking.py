"""Link-time optimization: functions that compiled code calls are compiled in its callers, once."""

import numpy as np
import pytest
from numba.core.compiler import Flags

from wheelvec.jit.compiled import njit, njit_inlined, njit_lean
from wheelvec.jit.linking import ComparedFlags, Kernel


@njit_lean
def raised(value: float, power: int) -> float:
    result = 1.0
    for _ in range(power):
        result *= value
    return result


@njit_inlined
def cube(value: float) -> float:
    return raised(value, 3)


@njit
def powers(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += raised(value, 2) + raised(value, 4) + cube(value)
    return total


@njit
def inverse(values: np.ndarray, at: int) -> float:
    if at >= len(values):
        raise IndexError("no such value")
    return 1.0 / values[at]


@njit
def first_inverse(values: np.ndarray) -> float:
    return inverse(values, 0)


def test_a_callee_is_compiled_in_its_caller_and_once() -> None:
    assert powers(np.array([2.0, 3.0])) == 4 + 16 + 8 + 9 + 81 + 27
    assert isinstance(raised, Kernel)
    assert isinstance(cube, Kernel)
    assert not raised.overloads, "nobody called it from Python"
    assert not cube.overloads
    # none if an earlier run of these tests has compiled `powers`, which is then loaded
    assert len(raised.callee.overloads) <= 1, "compiled again for each constant"


def test_python_calls_a_function_that_compiled_code_calls() -> None:
    assert raised(2.0, 10) == 1024.0
    assert isinstance(raised, Kernel)
    assert len(raised.overloads) == 1


def test_options_are_those_of_each_function() -> None:
    """The caller divides by zero as NumPy does, and so does what it calls."""
    assert first_inverse(np.zeros(1)) == np.inf
    assert isinstance(first_inverse, Kernel)
    assert first_inverse.callee.targetoptions["error_model"] == "numpy"


def test_an_error_in_a_callee_reaches_python() -> None:
    with pytest.raises(IndexError, match="no such value"):
        first_inverse(np.zeros(0))


def test_options_are_equal_where_numba_says_so() -> None:
    plain = Flags()
    plain.nrt = True
    given = ComparedFlags(plain)
    same, default, other = given.copy(), given.copy(), given.copy()
    default.forceinline = False  # set to what it is if it is not set
    other.forceinline = True
    assert type(same) is ComparedFlags
    assert given == same == default == plain == given
    assert given != other
    assert len({hash(each) for each in (plain, given, same, default)}) == 1
