"""Gamma, vega, theta and rho against 300-digit differences, textbooks, QuantLib and identities."""

import importlib
import math
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import wheelvec as wv
from tests.pricing.test_black import EPS, exact_price, random_option
from wheelvec.model.errors import InputError
from wheelvec.pricing.black import black_scholes, delta, log_moneyness
from wheelvec.pricing.greeks import gamma, rho, theta, vega

GREEKS = (gamma, vega, theta, rho)
# greek: position of what `exact_price` is differentiated by, how often, sign
DERIVATIVE = {gamma: (0, 2, 1), vega: (4, 1, 1), theta: (2, 1, -1), rho: (3, 1, 1)}


def differences(greek: Any, option: tuple[Any, ...]) -> float:
    """The derivative of the exact price; mpmath's step is far below its curvature at this
    precision.
    """
    position, order, sign = DERIVATIVE[greek]

    def priced(value: Any) -> Any:
        return exact_price(*option[:position], value, *option[position + 1 :])

    with mpmath.workdps(400):
        return float(sign * mpmath.diff(priced, mpf(option[position]), order, h=mpf(10) ** -100))


@pytest.mark.parametrize("greek", GREEKS)
@pytest.mark.parametrize("seed", range(40))
def test_a_greek_is_the_derivative_of_the_exact_price(greek: Any, seed: int) -> None:
    option = random_option(np.random.default_rng(5000 + seed))
    spot, strike, years, rate, vol, _, dividend = option
    s = vol * math.sqrt(years)
    depth = max(abs(log_moneyness(spot, strike, years, rate, dividend)) / s, s)
    exact = differences(greek, option)
    # theta is a sum that may cancel: the error that is unavoidable
    terms = abs(rate) * strike + abs(dividend) * spot if greek is theta else 0.0
    allowed = 16 * EPS * (1 + depth * depth)
    assert greek(*option) == pytest.approx(exact, rel=allowed, abs=allowed * terms + 1e-300)


@pytest.mark.parametrize(
    ("greek", "option", "expected", "digits"),
    [
        # Haug, The Complete Guide to Option Pricing Formulas, chapter 2
        (gamma, (55, 60, 0.75, 0.10, 0.30, True, 0.0), 0.0278, 4),
        (theta, (430, 405, 1 / 12, 0.07, 0.20, False, 0.05), -31.1924, 4),
        (rho, (72, 75, 1.0, 0.09, 0.19, True, 0.0), 38.7325, 4),
        # Hull, the running example of the chapter on Greek letters
        (gamma, (49, 50, 0.3846, 0.05, 0.20, True, 0.0), 0.066, 3),
        (vega, (49, 50, 0.3846, 0.05, 0.20, True, 0.0), 12.1, 1),
        (theta, (49, 50, 0.3846, 0.05, 0.20, True, 0.0), -4.31, 2),
        (rho, (49, 50, 0.3846, 0.05, 0.20, True, 0.0), 8.91, 2),
    ],
)
def test_a_greek_agrees_with_textbooks(
    greek: Any, option: tuple[Any, ...], expected: float, digits: int
) -> None:
    assert round(float(greek(*option)), digits) == expected


def test_agrees_with_quantlib() -> None:
    pytest.importorskip("QuantLib")
    ql: Any = importlib.import_module("QuantLib")
    rng = np.random.default_rng(12)
    for _ in range(300):
        spot, strike, years, vol = (
            rng.uniform(50, 200),
            rng.uniform(50, 200),
            rng.uniform(0.01, 2),
            rng.uniform(0.1, 1),
        )
        rate, dividend, is_call = (
            rng.uniform(-0.02, 0.1),
            rng.uniform(0, 0.05),
            bool(rng.random() < 0.5),
        )
        forward, discount = spot * math.exp((rate - dividend) * years), math.exp(-rate * years)
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike)
        theirs = ql.BlackCalculator(payoff, forward, vol * math.sqrt(years), discount)
        option = (spot, strike, years, rate, vol, is_call, dividend)
        expected = {
            gamma: theirs.gamma(spot), vega: theirs.vega(years), theta: theirs.theta(spot, years), rho: theirs.rho(years),
            black_scholes: theirs.value(), delta: theirs.delta(spot),
        }  # fmt: skip
        for function, value in expected.items():
            assert function(*option) == pytest.approx(value, rel=1e-10, abs=1e-10)


def test_black_scholes_equation() -> None:
    # theta + v^2*S^2*gamma/2 + (r - q)*S*delta - r*price = 0 (Black and Scholes 1973, Merton 1973)
    rng = np.random.default_rng(2)
    n = 2000
    spot, strike, years, vol = (
        rng.uniform(50, 200, n),
        rng.uniform(50, 200, n),
        rng.uniform(0.01, 2, n),
        rng.uniform(0.05, 1, n),
    )
    rate, dividend, is_call = (
        rng.uniform(-0.02, 0.1, n),
        rng.uniform(0, 0.05, n),
        rng.random(n) < 0.5,
    )
    option = (spot, strike, years, rate, vol, is_call, dividend)
    held = (rate - dividend) * spot * delta(*option) - rate * black_scholes(*option)
    assert np.abs(theta(*option) + 0.5 * (vol * spot) ** 2 * gamma(*option) + held).max() < 1e-12


@pytest.mark.parametrize("is_call", [True, False])
def test_limits_without_time(is_call: bool) -> None:
    spot = np.array([90.0, 100.0, 110.0])
    exercised = np.array([0.0, 0.5, 1.0]) if is_call else np.array([1.0, 0.5, 0.0])
    option = (spot, 100.0, 0.0, 0.04, 0.3, is_call, 0.02)
    assert list(gamma(*option)) == [0.0, math.inf, 0.0]
    assert list(vega(*option)) == [0.0, 0.0, 0.0]
    assert list(np.abs(rho(*option))) == [0.0, 0.0, 0.0]
    carry = (1 if is_call else -1) * exercised * (0.02 * spot - 0.04 * 100)
    assert theta(*option)[::2] == pytest.approx(carry[::2], rel=4 * EPS, abs=0)
    assert theta(*option)[1] == -math.inf


@pytest.mark.parametrize("is_call", [True, False])
def test_limits_without_volatility(is_call: bool) -> None:
    years, spot = 0.5, np.array([90.0, 100.0, 110.0])
    exercised = np.array([0.0, 0.5, 1.0]) if is_call else np.array([1.0, 0.5, 0.0])
    option = (spot, 100.0, years, 0.04, 0.0, is_call, 0.04)  # the forward is the spot
    discount, sign = math.exp(-0.02), 1 if is_call else -1
    assert list(gamma(*option)) == [0.0, math.inf, 0.0]
    assert vega(*option) == pytest.approx(
        np.array([0, 100 * discount * math.sqrt(years / (2 * math.pi)), 0]), rel=4 * EPS, abs=0
    )
    assert rho(*option) == pytest.approx(
        sign * exercised * years * 100 * discount, rel=4 * EPS, abs=0
    )
    assert theta(*option) == pytest.approx(
        sign * exercised * 0.04 * (spot - 100) * discount, rel=8 * EPS, abs=0
    )
    for greek in (vega, theta, rho):  # and they are limits
        near = greek(spot, 100.0, years, 0.04, 1e-9, is_call, 0.04)
        assert near == pytest.approx(greek(*option), rel=1e-6, abs=1e-6)


def test_without_either_nothing_decays() -> None:
    assert list(theta([90, 100, 110], 100, 0.0, 0.04, 0.0, True)) == [0.0, -2.0, -4.0]


GOOD = {
    "spot": 100.0,
    "strike": 95.0,
    "years": 0.5,
    "rate": 0.04,
    "volatility": 0.3,
    "is_call": True,
    "dividend_yield": 0.01,
}


@pytest.mark.parametrize("greek", GREEKS)
def test_a_bad_input_gives_nan_for_its_element_only(greek: Any) -> None:
    bad = [
        (name, value)
        for name in GOOD
        if name != "is_call"
        for value in (math.nan, math.inf, -math.inf)
    ]
    bad += [
        ("spot", 0.0),
        ("strike", -1.0),
        ("years", -1e-9),
        ("volatility", -0.1),
        ("rate", -2000.0),
        ("dividend_yield", -2000.0),
    ]
    for name, value in bad:
        values = greek(**GOOD | {name: [GOOD[name], value, GOOD[name]]})
        assert math.isnan(values[1])
        assert values[0] == values[2] == greek(**GOOD)
        assert math.isfinite(values[0])


@pytest.mark.parametrize("greek", GREEKS)
def test_shapes_broadcast_and_are_public(greek: Any) -> None:
    assert getattr(wv, greek.__name__) is greek
    grid = greek(
        np.array([90.0, 100.0, 110.0]),
        np.array([[95.0], [105.0]]),
        0.5,
        0.04,
        0.3,
        [True, False, True],
        0.01,
    )
    assert (grid.shape, grid.dtype) == ((2, 3), np.float64)
    assert grid[1, 1] == greek(100.0, 105.0, 0.5, 0.04, 0.3, False, 0.01)
    assert isinstance(grid[1, 1], np.float64)
    with pytest.raises(InputError, match=r"strike must be a number .* dtype <U1"):
        greek(100, "K", 0.5, 0.04, 0.3, True)
