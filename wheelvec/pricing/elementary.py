"""exp, expm1 and the logarithm of a quotient without branches and calls, for vectorized loops.

Calls of libm keep a loop scalar: with `math.exp` and `math.log` the loop of
`wheelvec.pricing.implied` took five times as long. Here the exponent is separated by operations on
the bits of the number (IEEE 754: the bits of a float64, read as an integer, are 2^52 times its
exponent plus its mantissa), and the remainder is a polynomial of `wheelvec.pricing.coefficients`.

Domain: the arguments of exp and expm1 within +-700; those of log_quotient and their quotient
between 1e-290 and 1e290. Outside of it the result is an arbitrary number or NaN.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from wheelvec.jit.compiled import njit_straight
from wheelvec.pricing.coefficients import EXP, LOG

_intrinsic: Any = intrinsic  # Numba's type hints describe the undecorated function

LOG2_E = 1.4426950408889634
# ln(2) as a sum: LN2_HIGH has 21 trailing zero bits, so that its product with an exponent is exact.
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
# Adding it rounds to an integer, which is then in the low bits.
ROUNDER = 1.5 * 2.0**52
ONE_BITS = np.uint64(0x3FF0000000000000)
# 2^52 + n has the bits TWO_52_BITS | n, for 0 <= n < 2^52.
TWO_52_BITS = np.uint64(0x4330000000000000)
EXPONENT_SHIFT = np.uint64(52)
# 1024, added so that an exponent is positive; and 1024.5, so that the shift rounds.
OFFSET = np.uint64(1024 << 52)
OFFSET_AND_HALF = np.uint64((1024 << 52) + (1 << 51))
TWO_52_AND_OFFSET = 2.0**52 + 1024.0


@_intrinsic
def bits(typing_context: Any, value: Any) -> Any:
    """The bits of a float64 as a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.uint64))

    return types.uint64(types.float64), generate


@_intrinsic
def from_bits(typing_context: Any, value: Any) -> Any:
    """The float64 with the bits of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.uint64), generate


@_intrinsic
def sqrt(typing_context: Any, value: Any) -> Any:
    """The square root as one instruction; `math.sqrt` calls libm for negative numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = context.get_value_type(types.float64)
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [kind]), arguments)

    return types.float64(types.float64), generate


@njit_straight
def _split(x: float) -> tuple[float, float]:
    """(2^k, exp(r) - 1) for x = k*ln(2) + r with |r| <= ln(2)/2."""
    shifted = x * LOG2_E + ROUNDER
    k = shifted - ROUNDER
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    polynomial = EXP[9]
    for i in range(8, -1, -1):
        polynomial = polynomial * r + EXP[i]
    return from_bits((bits(shifted) << EXPONENT_SHIFT) + ONE_BITS), r + r * r * polynomial


@njit_straight
def exp(x: float) -> float:
    """The exponential of x, within 1.1 units of rounding."""
    power, rest = _split(x)
    return power + power * rest


@njit_straight
def expm1(x: float) -> float:
    """exp(x) - 1 within 2 units of rounding, also for small x, where the power is exactly 1."""
    power, rest = _split(x)
    return (power - 1.0) + power * rest


@njit_straight
def log_quotient(above: float, below: float) -> float:
    """ln(above/below) within 2.5 units of rounding, also for nearly equal arguments.

    The difference of the bits is log2 of the quotient within 0.09; rounded it is the exponent k.
    With above scaled by 2^-k, so that it differs from below by a factor of at most 1.51, f = (above
    - below)/(above + below) has an exact numerator (Sterbenz), and ln(above/below) = k*ln(2) +
    2*atanh(f). The quotient itself would lose the last digits of its distance from 1.
    """
    offset_k = (bits(above) - bits(below) + OFFSET_AND_HALF) >> EXPONENT_SHIFT
    k = from_bits(offset_k | TWO_52_BITS) - TWO_52_AND_OFFSET
    scaled = from_bits(bits(above) + OFFSET - (offset_k << EXPONENT_SHIFT))
    f = (scaled - below) / (scaled + below)
    square = f * f
    polynomial = LOG[7]
    for i in range(6, -1, -1):
        polynomial = polynomial * square + LOG[i]
    logarithm: float = k * LN2_HIGH + (f * (2.0 + square * polynomial) + k * LN2_LOW)
    return logarithm
