"""The fitted coefficients: made by their script, and as good as they are said to be."""

from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from tests.pricing import fit_coefficients as fit
from wheelvec.pricing import coefficients


@pytest.fixture(autouse=True)
def _fifty_digits() -> Any:
    with mpmath.workdps(50):
        yield


def polynomial(powers: Any, at: Any) -> Any:
    """By Horner's rule, without rounding."""
    total = mpf(0)
    for power in reversed(powers):
        total = total * at + mpf(float(power))
    return total


def test_the_file_is_what_the_script_makes() -> None:
    assert fit.COEFFICIENTS.read_text() == fit.text()


def test_the_tail_of_exp() -> None:
    # what exp and expm1 lose to it: r^2*error against r
    for r in map(mpf, np.linspace(-0.3466, 0.3466, 1000)):
        assert abs(r * (polynomial(coefficients.EXP, r) - fit.exp_tail(r))) < 5e-17


def test_the_tail_of_the_logarithm() -> None:
    for f in map(mpf, np.linspace(1e-3, 0.201, 1000)):
        assert f * f * abs(polynomial(coefficients.LOG, f * f) - fit.log_tail(f * f)) < 2e-17


def far_mills(z: Any) -> Any:
    """R(z) for z >= 1000 from its asymptotic series, good to 1e-40."""
    total, term = mpf(0), 1 / z
    for n in range(1, 14, 2):
        total, term = total + term, -term * n / (z * z)
    return total


def test_the_mills_ratio() -> None:
    for z in map(mpf, [*np.linspace(-1, 15, 1601), *np.geomspace(15, 1e8, 300)]):
        y = (z - 4) / (z + 6)
        found = polynomial(coefficients.MILLS_EVEN, y * y) + y * polynomial(
            coefficients.MILLS_ODD, y * y
        )
        exact = far_mills(z) if z > 1000 else fit.mills(z)
        assert abs(found / ((z + 6) * exact) - 1) < 3e-16


def test_bacheliers_inverse() -> None:
    for a in map(mpf, np.geomspace(1e-6, 46, 800)):
        y = fit.bachelier_log(a)
        top = 1 + y * polynomial(coefficients.BACHELIER_TOP, y)
        assert abs(y * top / (1 + y * polynomial(coefficients.BACHELIER_BOTTOM, y)) / a - 1) < 0.006
