"""Makes `wheelvec/pricing/coefficients.py`: run `python -m tests.pricing.fit_coefficients`.

Each polynomial is the interpolant of its function at the Chebyshev nodes, computed with 60 digits
and expanded in powers: within a small factor of the best that there is, in closed form, and to the
same digits on every machine.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpmath
from mpmath import mpf

COEFFICIENTS = Path(__file__).resolve().parents[2] / "wheelvec" / "pricing" / "coefficients.py"
DIGITS = 60

HEAD = '''"""Fitted coefficients, constant term first. Made by tests/pricing/fit_coefficients.py: do not edit.

Where a loop runs over them they are arrays: LLVM unrolls it and puts the numbers in, while a
tuple's items become branches.
"""

import numpy as np
'''


def nodes(low: Any, high: Any, size: int) -> list[Any]:
    """The Chebyshev nodes of [low, high]."""
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle + half * mpmath.cospi((k + mpf("0.5")) / size) for k in range(size)]


def interpolant(function: Callable[[Any], Any], low: Any, high: Any, size: int) -> list[Any]:
    """Coefficients of the polynomial that meets `function` at the nodes: Newton's divided
    differences, expanded.
    """
    at = nodes(low, high, size)
    divided = [function(node) for node in at]
    for order in range(1, size):
        for k in range(size - 1, order - 1, -1):
            divided[k] = (divided[k] - divided[k - 1]) / (at[k] - at[k - order])
    powers = [mpf(0)] * size
    for k in range(size - 1, -1, -1):
        powers = [(powers[i - 1] if i else divided[k]) - at[k] * powers[i] for i in range(size)]
    return powers


def exp_tail(r: Any) -> Any:
    """(exp(r) - 1 - r)/r^2"""
    return (mpmath.expm1(r) - r) / (r * r)


def log_tail(square: Any) -> Any:
    """(2*atanh(f) - 2*f)/f^3 with f^2 = square"""
    f = mpmath.sqrt(square)
    return 2 * (mpmath.atanh(f) - f) / f**3


def mills(z: Any) -> Any:
    """The Mills ratio R(z) = (1 - Phi(z))/phi(z)."""
    return mpmath.sqrt(mpmath.pi / 2) * mpmath.exp(z * z / 2) * mpmath.erfc(z / mpmath.sqrt(2))


def mills_polynomial(y: Any) -> Any:
    """P(y) = (z + 6)*R(z) with y = (z - 4)/(z + 6); it tends to 1 as y does.

    Of the maps (z - c)/(z + b) that take z = -1 to y = -1 this one needs the fewest coefficients,
    or one more than b = 7.
    """
    z = (4 + 6 * y) / (1 - y)
    return (z + 6) * mills(z)


def bachelier_log(a: Any) -> Any:
    """y = ln(1 + m/(sqrt(2*pi)*value)) of Bachelier's option m = a deviations out of the money."""
    return mpmath.log1p(a * mpmath.exp(a * a / 2) / (1 - a * mills(a)))


def bachelier() -> tuple[list[Any], list[Any]]:
    """Two cubics with constant term 1, left out, whose quotient by y is a/y: exact where a/(a + 8)
    is a node, for a up to 46.
    """
    depths = [8 * w / (1 - w) for w in nodes(0, mpf(46) / 54, 6)]
    rows, right = [], []
    for a in depths:
        y = bachelier_log(a)
        rows.append([y, y**2, y**3, -a, -a * y, -a * y**2])
        right.append(a / y - 1)
    solution = list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(right)))
    return solution[:3], solution[3:]


def block(name: str, comment: str, values: Sequence[Any], array: bool) -> str:
    numbers = "".join(f"        {float(value)!r},\n" for value in values)
    if array:
        return f"# {comment}\n{name} = np.array(\n    [\n{numbers}    ]\n)\n"
    return f"# {comment}\n{name} = ({', '.join(repr(float(value)) for value in values)})\n"


def text() -> str:
    """The whole module."""
    with mpmath.workdps(DIGITS):
        half = mpmath.log(2) / 2
        powers = interpolant(mills_polynomial, -1, 1, 26)
        top, bottom = bachelier()
        blocks = (
            block(
                "EXP",
                "(exp(r) - 1 - r)/r^2 for |r| <= ln(2)/2",
                interpolant(exp_tail, -half, half, 10),
                True,
            ),
            block(
                "LOG",
                "(2*atanh(f) - 2*f)/f^3 in f^2, for |f| <= 0.201",
                interpolant(log_tail, 0, mpf("0.0404"), 8),
                True,
            ),
            block(
                "MILLS_EVEN",
                "(z + 6)*R(z) in y = (z - 4)/(z + 6) for z >= -1: y^0, y^2, ...",
                powers[::2],
                True,
            ),
            block("MILLS_ODD", "y^1, y^3, ...", powers[1::2], True),
            block(
                "BACHELIER_TOP",
                "a/y for a < 46 is (1 + y*top(y))/(1 + y*bottom(y)), within 0.6%",
                top,
                False,
            ),
            block("BACHELIER_BOTTOM", "its denominator", bottom, False),
        )
    return HEAD + "\n" + "".join(blocks)


if __name__ == "__main__":
    COEFFICIENTS.write_text(text())
