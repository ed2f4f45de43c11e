"""exp, expm1 and log_quotient against mpmath, over their whole domains."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

from wheelvec.pricing.elementary import exp, expm1, log_quotient

EPS = 2.0**-52


def units(found: float, exact: Any) -> float:
    """The error in units of rounding of the exact value."""
    return float(abs(mpf(found) / exact - 1)) / EPS


@pytest.fixture(autouse=True)
def _fifty_digits() -> Any:
    with mpmath.workdps(50):
        yield


def test_exp_is_within_a_unit_of_rounding() -> None:
    for x in [*np.linspace(-700, 700, 1501), *np.linspace(-0.4, 0.4, 1001), 1e-17, -1e-300, 0.0]:
        assert units(exp(float(x)), mpmath.exp(mpf(float(x)))) < 1.1
    assert exp(0.0) == 1.0


def test_expm1_keeps_its_digits_near_zero() -> None:
    some = [
        *np.linspace(-40, 700, 1501),
        *np.linspace(-0.8, 0.8, 2001),
        *np.geomspace(1e-300, 1, 500),
        *-np.geomspace(1e-300, 1, 500),
    ]
    for x in map(float, some):
        if x:
            assert units(expm1(x), mpmath.expm1(mpf(x))) < 2.0
    assert expm1(0.0) == 0.0


def test_log_quotient_is_precise_over_all_scales() -> None:
    rng = np.random.default_rng(4)
    above, below = 10 ** rng.uniform(-140, 140, 1500), 10 ** rng.uniform(-140, 140, 1500)
    for a, b in zip(above.tolist(), below.tolist(), strict=True):
        assert units(log_quotient(a, b), mpmath.log(mpf(a) / mpf(b))) < 1.5


def test_log_quotient_keeps_its_digits_where_the_two_are_close() -> None:
    rng = np.random.default_rng(5)
    for _ in range(3000):
        # also where they straddle a power of two, or the middle between two
        below = float(rng.choice([1.0, 181.0, 2.0**0.5, 256.0, rng.uniform(1, 4)]))
        above = below * (1 + float(rng.choice([-1, 1])) * 10 ** rng.uniform(-15, 0) * 0.9)
        if above != below:
            assert units(log_quotient(above, below), mpmath.log(mpf(above) / mpf(below))) < 2.5
    assert log_quotient(220.0, 220.0) == 0.0


def test_the_logarithm_is_precise_where_its_exponent_changes() -> None:
    # The exponent changes where the quotient is about sqrt(2) times a power of two, as the
    # mantissas decide.
    for below in (1.0, 1.2, 1.5, 1.99):
        for quotient in np.linspace(1.3, 1.55, 501):
            a = float(quotient) * below
            assert units(log_quotient(a, below), mpmath.log(mpf(a) / mpf(below))) < 2.0


def test_nan_stays_nan() -> None:
    assert math.isnan(exp(math.nan))
    assert math.isnan(expm1(math.nan))
