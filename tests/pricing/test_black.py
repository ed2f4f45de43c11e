"""Price and delta against textbooks, 50-digit arithmetic and identities."""

import math
from typing import Any

import mpmath
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf

from wheelvec.model.errors import InputError
from wheelvec.pricing.black import black_scholes, delta, log_moneyness
from wheelvec.pricing.broadcast import BLOCK
from wheelvec.pricing.mills import mills, mills_difference

EPS = 2.0**-52


def exact_price(
    spot: Any, strike: Any, years: Any, rate: Any, vol: Any, is_call: bool, dividend: Any
) -> Any:
    """Merton's formula as the textbook has it, in the current mpmath precision."""
    spot, strike, years, rate, vol, dividend = map(mpf, (spot, strike, years, rate, vol, dividend))
    s = vol * mpmath.sqrt(years)
    d1 = (mpmath.log(spot / strike) + (rate - dividend) * years) / s + s / 2
    sign = 1 if is_call else -1
    spot_pv, strike_pv = spot * mpmath.exp(-dividend * years), strike * mpmath.exp(-rate * years)
    return sign * (spot_pv * mpmath.ncdf(sign * d1) - strike_pv * mpmath.ncdf(sign * (d1 - s)))


def random_option(
    rng: np.random.Generator,
) -> tuple[float, float, float, float, float, bool, float]:
    """An option anywhere: s = vol*sqrt(years) from 1e-4 to 5, up to 30 s away from the forward, a
    minute to two years.
    """
    years, s = 10 ** rng.uniform(math.log10(1.9e-6), 0.3), 10 ** rng.uniform(-4, 0.7)
    x = rng.choice([-1, 1]) * min(rng.choice([rng.uniform(0, 3), rng.uniform(0, 30)]) * s, 60.0)
    spot, rate, dividend = (
        10 ** rng.uniform(-1, 4),
        float(rng.choice([0, 0.04, -0.01])),
        float(rng.choice([0, 0.02])),
    )
    strike = spot * math.exp((rate - dividend) * years - x)
    return spot, strike, years, rate, s / math.sqrt(years), bool(rng.random() < 0.5), dividend


def elasticity(option: tuple[Any, ...], price: float) -> float:
    """d ln(price)/d ln(vol), the relative error of the price by that of the volatility."""
    spot, strike, years, rate, vol, _, dividend = option
    s = vol * math.sqrt(years)
    d1 = log_moneyness(spot, strike, years, rate, dividend) / s + s / 2
    return float(
        spot * math.exp(-dividend * years - d1 * d1 / 2) / math.sqrt(2 * math.pi) * s / price
    )


@pytest.mark.parametrize("seed", range(150))
def test_price_agrees_with_50_digits(seed: int) -> None:
    option = random_option(np.random.default_rng(seed))
    with mpmath.workdps(50 + 200):  # the textbook formula cancels in the wings
        exact = float(exact_price(*option))
    assert black_scholes(*option) == pytest.approx(
        exact, rel=12 * EPS * (1 + elasticity(option, exact)), abs=1e-300
    )


@pytest.mark.parametrize("seed", range(60))
def test_delta_is_the_derivative_of_the_exact_price(seed: int) -> None:
    option = random_option(np.random.default_rng(1000 + seed))
    with mpmath.workdps(300):
        # mpmath's step is far below the curvature of the price at this precision.
        exact = float(
            mpmath.diff(
                lambda spot: exact_price(spot, *option[1:]), mpf(option[0]), h=mpf(10) ** -100
            )
        )
    s = option[4] * math.sqrt(option[2])
    d1 = log_moneyness(option[0], *option[1:4], option[6]) / s + s / 2
    assert delta(*option) == pytest.approx(exact, rel=8 * EPS * (1 + d1 * d1), abs=1e-300)


@pytest.mark.parametrize("z", [*np.linspace(-12, 12, 97), 1e-9, 37.0, 40.0, 1e3, 1e8])
def test_mills_ratio_agrees_with_50_digits(z: float) -> None:
    with mpmath.workdps(50):
        exact = (
            mpmath.sqrt(mpmath.pi / 2)
            * mpmath.exp(mpf(z) ** 2 / 2)
            * mpmath.erfc(mpf(z) / mpmath.sqrt(2))
        )
    assert mills(float(z)) == pytest.approx(float(exact), rel=6e-16 * (1 + (z * z if z < 0 else 0)))


@pytest.mark.parametrize("t", [1e-9, 1e-4, 0.01, 0.1, 0.149, 0.151, 0.4, 2.0])
@pytest.mark.parametrize("a", [0.0, 1e-3, 0.5, 0.99, 1.01, 3.0, 14.0, 16.0, 37.0])
def test_mills_difference_keeps_the_digits_that_the_volatility_needs(a: float, t: float) -> None:
    def exact_mills(z: Any) -> Any:
        return mpmath.sqrt(mpmath.pi / 2) * mpmath.exp(z**2 / 2) * mpmath.erfc(z / mpmath.sqrt(2))

    with mpmath.workdps(60):
        exact = exact_mills(mpf(a) - mpf(t)) - exact_mills(mpf(a) + mpf(t))
        error_of_s = abs(mpf(mills_difference(a, t)) / exact - 1) * exact / (2 * mpf(t))
    assert error_of_s < 14 * EPS


@pytest.mark.parametrize(
    ("option", "expected", "digits"),
    [
        # Hull, Options, Futures, and Other Derivatives, example 15.6
        ((42, 40, 0.5, 0.10, 0.20, True, 0.0), 4.76, 2),
        ((42, 40, 0.5, 0.10, 0.20, False, 0.0), 0.81, 2),
        # Hull, the running example of the chapter on Greek letters: 100,000 calls are worth 240,000
        ((49, 50, 0.3846, 0.05, 0.20, True, 0.0), 2.40, 2),
        # Haug, The Complete Guide to Option Pricing Formulas, sections 1.1.1, 1.1.2 and 1.1.3
        ((60, 65, 0.25, 0.08, 0.30, True, 0.0), 2.1334, 4),
        ((100, 95, 0.5, 0.10, 0.20, False, 0.05), 2.4648, 4),
        ((19, 19, 0.75, 0.10, 0.28, True, 0.10), 1.7011, 4),
        ((19, 19, 0.75, 0.10, 0.28, False, 0.10), 1.7011, 4),
    ],
)
def test_price_agrees_with_textbooks(option: tuple[Any, ...], expected: float, digits: int) -> None:
    assert round(float(black_scholes(*option)), digits) == expected


@pytest.mark.parametrize(
    ("option", "expected", "digits"),
    [
        ((49, 50, 0.3846, 0.05, 0.20, True, 0.0), 0.522, 3),  # Hull, Greek letters
        ((105, 100, 0.5, 0.10, 0.36, True, 0.10), 0.5946, 4),  # Haug, section 2.1.1
        ((105, 100, 0.5, 0.10, 0.36, False, 0.10), -0.3566, 4),
    ],
)
def test_delta_agrees_with_textbooks(option: tuple[Any, ...], expected: float, digits: int) -> None:
    assert round(float(delta(*option)), digits) == expected


options = st.tuples(
    st.floats(0.5, 5000),  # spot
    st.floats(0.2, 5.0),  # strike/spot
    st.floats(1e-5, 5.0),  # years
    st.floats(-0.05, 0.15),  # rate
    st.floats(0.01, 4.0),  # volatility
    st.floats(0.0, 0.1),  # dividend yield
)


@settings(deadline=None, max_examples=200)
@given(options)
def test_put_call_parity(option: tuple[float, ...]) -> None:
    spot, ratio, years, rate, vol, dividend = option
    common = (spot, ratio * spot, years, rate, vol)
    spot_pv, strike_pv = (
        spot * math.exp(-dividend * years),
        ratio * spot * math.exp(-rate * years),
    )
    gap = black_scholes(*common, True, dividend) - black_scholes(*common, False, dividend)
    assert gap == pytest.approx(spot_pv - strike_pv, abs=8 * EPS * (spot_pv + strike_pv))
    deltas = delta(*common, True, dividend) - delta(*common, False, dividend)
    assert deltas == pytest.approx(math.exp(-dividend * years), rel=4 * EPS)


@settings(deadline=None, max_examples=100)
@given(options, st.booleans())
def test_price_is_between_its_bounds(option: tuple[float, ...], is_call: bool) -> None:
    spot, ratio, years, rate, vol, dividend = option
    price = black_scholes(spot, ratio * spot, years, rate, vol, is_call, dividend)
    floor = black_scholes(spot, ratio * spot, years, rate, 0.0, is_call, dividend)
    ceiling = (
        spot * math.exp(-dividend * years) if is_call else ratio * spot * math.exp(-rate * years)
    )
    assert floor <= price <= ceiling * (1 + EPS)


def test_price_rises_with_volatility_and_falls_with_the_strike_of_a_call() -> None:
    vol = np.geomspace(0.01, 5, 400)
    assert (np.diff(black_scholes(100, 120, 0.5, 0.04, vol, True, 0.02)) > 0).all()
    # At 1% the time value of the put is below one unit of rounding of its price.
    assert (np.diff(black_scholes(100, 120, 0.5, 0.04, vol, False, 0.02)) >= 0).all()
    assert (np.diff(black_scholes(100, 120, 0.5, 0.04, vol[vol > 0.1], False, 0.02)) > 0).all()
    strikes = np.linspace(40, 250, 400)
    assert (np.diff(black_scholes(100, strikes, 0.5, 0.04, 0.4, True)) < 0).all()
    assert (np.diff(black_scholes(100, strikes, 0.5, 0.04, 0.4, False)) > 0).all()
    assert (np.diff(delta(strikes, 100, 0.5, 0.04, 0.4, [[True], [False]])) > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_moneyness_keeps_its_digits_where_carry_cancels_the_logarithm(seed: int) -> None:
    # Two years at 4%: ln(S/K) is about -0.08. Plain float64 arithmetic would be off by 1e-17, which
    # shows at s = 1e-4.
    rng = np.random.default_rng(seed)
    spot, years, rate, dividend = (
        rng.uniform(50, 400),
        rng.uniform(1.5, 2.5),
        rng.uniform(0.04, 0.05),
        rng.uniform(0, 0.01),
    )
    strike = spot * math.exp((rate - dividend) * years - 1e-7)
    with mpmath.workdps(50):
        exact = mpmath.log(mpf(spot) / mpf(strike)) + (mpf(rate) - mpf(dividend)) * mpf(years)
        assert abs(log_moneyness(spot, strike, years, rate, dividend) - exact) < 1e-19


@pytest.mark.parametrize(("years", "vol"), [(0.0, 0.3), (0.5, 0.0), (0.0, 0.0)])
def test_without_time_or_volatility_it_is_the_discounted_intrinsic_value(
    years: float, vol: float
) -> None:
    gain = 110 * math.exp(-0.02 * years) - 100 * math.exp(-0.04 * years)
    prices = black_scholes([110, 110, 90], 100, years, 0.04, vol, [True, False, True], 0.02)
    assert prices == pytest.approx([gain, 0.0, 0.0], rel=16 * EPS, abs=0)
    deltas = delta([110, 110, 90, 90], 100, years, 0.04, vol, [True, False, True, False], 0.02)
    assert deltas == pytest.approx(
        np.array([1, 0, 0, -1]) * math.exp(-0.02 * years), rel=4 * EPS, abs=0
    )


@pytest.mark.parametrize("vol", [20.0, 90.0, 1e4, 1e300])
def test_an_infinite_volatility_gives_the_upper_bound(vol: float) -> None:
    assert list(black_scholes([90, 110], 100.0, 1.0, 0.0, vol, [[True], [False]]).flat) == [
        90,
        110,
        100,
        100,
    ]


def test_at_the_strike_the_limit_of_delta_is_a_half() -> None:
    assert list(delta(100, 100, 0.0, 0.04, 0.3, [True, False])) == [0.5, -0.5]


def test_without_rates_the_intrinsic_value_is_exact() -> None:
    assert list(
        black_scholes([105, 95, 100.1], [100, 100, 60.3], 1, 0, 0, [True, False, True])
    ) == [5.0, 5.0, 100.1 - 60.3]


GOOD = {
    "spot": 100.0,
    "strike": 95.0,
    "years": 0.5,
    "rate": 0.04,
    "volatility": 0.3,
    "is_call": True,
    "dividend_yield": 0.01,
}


@pytest.mark.parametrize("function", [black_scholes, delta])
@pytest.mark.parametrize("name", [name for name in GOOD if name != "is_call"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_input_that_is_not_finite_gives_nan(function: Any, name: str, bad: float) -> None:
    assert math.isnan(function(**GOOD | {name: bad}))
    assert math.isfinite(function(**GOOD))


@pytest.mark.parametrize("function", [black_scholes, delta])
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("spot", 0.0),
        ("spot", -1.0),
        ("strike", 0.0),
        ("strike", -1.0),
        ("years", -1e-9),
        ("volatility", -0.1),
    ],
)
def test_an_input_out_of_range_gives_nan_for_its_element_only(
    function: Any, name: str, bad: float
) -> None:
    values = function(**GOOD | {name: [GOOD[name], bad, GOOD[name]]})
    assert math.isnan(values[1])
    assert values[0] == values[2] == function(**GOOD)


@pytest.mark.parametrize("function", [black_scholes, delta])
def test_a_discount_factor_that_overflows_gives_nan(function: Any) -> None:
    assert math.isnan(function(100, 100, 10, 0.0, 0.3, True, -800.0))


@pytest.mark.parametrize("function", [black_scholes, delta])
def test_shapes_broadcast(function: Any) -> None:
    spot, strike = np.array([90.0, 100.0, 110.0]), np.array([[95.0], [105.0]])
    grid = function(spot, strike, 0.5, 0.04, 0.3, [True, False, True], 0.01)
    assert grid.shape == (2, 3)
    assert grid.dtype == np.float64
    assert grid[1, 2] == function(110.0, 105.0, 0.5, 0.04, 0.3, True, 0.01)
    assert grid[0, 1] == function(100.0, 95.0, 0.5, 0.04, 0.3, False, 0.01)
    assert function([], 100, 0.5, 0.04, 0.3, True).shape == (0,)
    assert function(np.ones((0, 3)), 100, 0.5, 0.04, 0.3, [True] * 3).shape == (0, 3)


def test_scalars_give_a_scalar() -> None:
    value = black_scholes(42, 40, 0.5, 0.1, 0.2, True)
    assert isinstance(value, np.float64)


def test_lists_series_integers_and_other_floats_are_accepted() -> None:
    expected = black_scholes(np.array([42.0, 43.0]), 40.0, 0.5, 0.1, 0.25, np.array([True, False]))
    for spot in (
        [42, 43],
        pl.Series([42, 43]),
        np.array([42, 43], np.float32),
        np.array([42, 0, 43, 0])[::2],
        np.array([42, 43], ">f8"),
    ):
        assert (black_scholes(spot, 40, 0.5, 0.1, 0.25, pl.Series([True, False])) == expected).all()
    assert (black_scholes([42, 43], 40, 0.5, 0.1, 0.25, [1, 0]) == expected).all()
    assert math.isnan(black_scholes(pl.Series([42.0, None]), 40, 0.5, 0.1, 0.25, True)[1])


def test_an_element_depends_on_neither_neighbours_nor_position() -> None:
    rng = np.random.default_rng(5)
    n = 2 * BLOCK + 17
    columns = [
        rng.uniform(50, 200, n),
        rng.uniform(50, 200, n),
        rng.uniform(0, 1, n),
        rng.uniform(0, 0.1, n),
    ]
    columns += [rng.uniform(0, 2, n), rng.random(n) < 0.5, rng.uniform(0, 0.1, n)]
    order = rng.permutation(n)
    for function in (black_scholes, delta):
        whole = function(*columns)
        assert (function(*(column[order] for column in columns)) == whole[order]).all()
        assert (function(*(column[3::7] for column in columns)) == whole[3::7]).all()
        for i in (0, 1, BLOCK - 1, BLOCK, n - 1):
            assert function(*(column[i] for column in columns)) == whole[i]


@pytest.mark.parametrize("function", [black_scholes, delta])
@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        (
            "spot",
            "abc",
            r"spot must be a number or an array of numbers, found 1 value\(s\) of dtype <U3, the first of them .*abc",
        ),
        (
            "strike",
            None,
            r"strike must be a number or an array of numbers, found 1 value\(s\) of dtype object",
        ),
        ("rate", 1 + 2j, r"rate must be a number .* dtype complex128"),
        ("volatility", True, r"volatility must be a number .* dtype bool"),
        (
            "years",
            [[1.0], [1.0, 2.0]],
            r"years cannot be made an array: .*; expected a number or an array of numbers",
        ),
        (
            "is_call",
            "C",
            r"is_call must be True for calls and False for puts \(or 1 and 0\), or an array of these, found .*'C'",
        ),
        ("is_call", [0, 2], r"is_call must be True .* dtype int64"),
        ("is_call", [1.0, 0.0], r"is_call must be True .* dtype float64"),
        (
            "dividend_yield",
            [0.0, 0.1, 0.2, 0.3],
            r"dividend_yield has shape \(4,\), which does not broadcast with \(3,\)",
        ),
    ],
)
def test_a_wrong_argument_is_named(function: Any, name: str, bad: Any, message: str) -> None:
    arguments = GOOD | {"spot": [100.0, 101.0, 102.0]} | {name: bad}
    with pytest.raises(InputError, match=message):
        function(**arguments)


def test_a_series_of_flags_with_nulls_is_refused() -> None:
    with pytest.raises(InputError, match=r"is_call must be True .* dtype object"):
        black_scholes(100, 100, 1, 0.04, 0.3, pl.Series([True, None]))
