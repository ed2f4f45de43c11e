"""Implied volatility: round trips, 50-digit roots, another library, real quotes, and every status."""

import csv
import importlib
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from numba import config

from wheelvec.model.codes import IvStatus
from wheelvec.model.errors import InputError
from wheelvec.pricing import bracketed, implied
from wheelvec.pricing.black import black_scholes, delta
from wheelvec.pricing.broadcast import BLOCK
from wheelvec.pricing.implied import CHAIN_BLOCK, LANES, implied_vol, solve_chain

EPS = 2.0**-52
MINUTE = 1 / (365 * 24 * 60)
QUOTES = Path(__file__).resolve().parents[3] / "shared" / "golden" / "tsla_2023-06-06.csv"


def conditioning(
    price: Any, spot: Any, strike: Any, years: Any, rate: Any, vol: Any, dividend: Any
) -> Any:
    """How far one unit of rounding of the price moves the volatility, in relative terms:
    eps*price/(vega*vol).
    """
    s = vol * np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate - dividend) * years) / s + s / 2
    log_vega = (
        np.log(spot)
        - dividend * years
        - d1 * d1 / 2
        - math.log(math.sqrt(2 * math.pi))
        + np.log(years) / 2
    )
    with np.errstate(over="ignore"):  # where vega underflows, nothing is determined
        return EPS * np.exp(np.log(price) - log_vega - np.log(vol))


def ulps(value: float, steps: int) -> float:
    """The float that is `steps` floats above `value` (below, if negative)."""
    for _ in range(abs(steps)):
        value = math.nextafter(value, math.copysign(math.inf, steps))
    return value


# --- round trips --------------------------------------------------------------------------------------------


def test_round_trip_over_the_whole_domain() -> None:
    s = np.geomspace(1e-4, 12, 60)[:, None, None, None, None]
    steps = np.array([0, 0.01, 0.3, 1, 2, 3.5, 5, 8, 13, 20, 30, 36])
    x = np.clip(np.concatenate([-steps[::-1], steps])[:, None, None, None] * s, -400, 400)
    years = np.array([MINUTE, 1 / 365, 30 / 365, 1.0, 3.0])[:, None, None]
    rate, dividend = np.array([[0.0, 0.04, -0.01, 0.05], [0.0, 0.0, 0.03, 0.05]])[:, :, None]
    is_call = np.array([True, False])
    vol = s / np.sqrt(years)
    strike = 220 * np.exp((rate - dividend) * years - x)
    price = black_scholes(220.0, strike, years, rate, vol, is_call, dividend)
    price, strike, years, rate, vol, dividend = np.broadcast_arrays(
        price, strike, years, rate, vol, dividend
    )
    found = implied_vol(price, 220.0, strike, years, rate, is_call, dividend)
    with np.errstate(divide="ignore"):
        allowed = 16 * (EPS + conditioning(price, 220.0, strike, years, rate, vol, dividend))
    determined = (price > 1e-300) & (allowed < 1e-2)
    assert determined.sum() > 30_000
    error = np.abs(found / vol - 1)
    assert (error <= allowed)[determined].all()
    # With two digits of time value left the only solution is vol, in and out of the money.
    assert not np.isnan(found[determined]).any()


@settings(deadline=None, max_examples=400)
@given(
    log_s=st.floats(math.log(1e-4), math.log(8)),
    a=st.floats(-30, 30),
    log_years=st.floats(math.log(MINUTE), math.log(3)),
    log_spot=st.floats(math.log(1e-3), math.log(1e6)),
    rate=st.floats(-0.05, 0.15),
    dividend=st.floats(0, 0.1),
    is_call=st.booleans(),
)
def test_round_trip_anywhere(
    log_s: float,
    a: float,
    log_years: float,
    log_spot: float,
    rate: float,
    dividend: float,
    is_call: bool,
) -> None:
    s, years, spot = math.exp(log_s), math.exp(log_years), math.exp(log_spot)
    strike, vol = spot * math.exp((rate - dividend) * years - a * s), s / math.sqrt(years)
    price = float(black_scholes(spot, strike, years, rate, vol, is_call, dividend))
    found, status = implied_vol(
        price, spot, strike, years, rate, is_call, dividend, return_status=True
    )
    if price < 1e-300:
        return
    allowed = 16 * (EPS + conditioning(price, spot, strike, years, rate, vol, dividend))
    if allowed < 1e-3:
        assert found == pytest.approx(vol, rel=allowed)
    # The price is within a few units of rounding of its bound: the volatility must reproduce it.
    else:
        assert (status != IvStatus.SOLVED) == math.isnan(found)
        if status == IvStatus.SOLVED:
            back = black_scholes(spot, strike, years, rate, found, is_call, dividend)
            assert back == pytest.approx(price, rel=16 * EPS)


# --- against 50 digits --------------------------------------------------------------------------------------


def exact_root(
    price: float, spot: float, strike: float, years: float, rate: float, is_call: bool, near: float
) -> Any:
    """The volatility to 50 digits: Newton on the logarithm of the time value or, above half of it,
    of what is missing.

    Working with 100 digits, so that the textbook formula may cancel; yields are left out, the
    equations know only rate - yield.
    """
    with mpmath.workdps(100):
        spot_pv, strike_pv = mpf(spot), mpf(strike) * mpmath.exp(-mpf(rate) * mpf(years))
        x, unit = mpmath.log(spot_pv / strike_pv), min(spot_pv, strike_pv)
        share = (mpf(price) - max(0, (spot_pv - strike_pv) * (1 if is_call else -1))) / unit
        x, s = -abs(x), mpf(near) * mpmath.sqrt(mpf(years))
        for _ in range(40):
            d1 = x / s + s / 2
            model = mpmath.ncdf(d1) - mpmath.exp(-x) * mpmath.ncdf(d1 - s)
            goal, now, sign = (share, model, 1) if share < 0.5 else (1 - share, 1 - model, -1)
            step = sign * mpmath.log(goal / now) * now / mpmath.npdf(d1)
            s += step
            if abs(step) < mpf(10) ** -50 * s:
                return s / mpmath.sqrt(mpf(years))
    raise AssertionError(f"no root near {near}")


def hard_case(
    region: str, rng: np.random.Generator
) -> tuple[float, float, float, float, bool, float]:
    """(spot, strike, years, rate, is_call, vol), out of the money, in one corner of the domain."""
    years = float(rng.choice([1 / 365, 0.1, 0.5, 2.0]))
    s, a = {
        "minute": lambda: (rng.uniform(1e-4, 5e-3), rng.uniform(0, 6)),
        "tiny": lambda: (10 ** rng.uniform(-4, -2), rng.uniform(0, 8)),
        "ordinary": lambda: (rng.uniform(0.02, 0.8), rng.uniform(0, 3)),
        "wing": lambda: (10 ** rng.uniform(-3, 0), rng.uniform(15, 36.5)),
        "far": lambda: (rng.uniform(1, 6), rng.uniform(5, 30)),
        "large": lambda: (rng.uniform(1, 4), rng.uniform(0, 2)),
        "huge": lambda: (rng.uniform(4, 14), rng.uniform(0, 2)),
    }[region]()
    if region == "minute":
        years = MINUTE
    x, rate, spot = (
        rng.choice([-1, 1]) * a * s,
        float(rng.choice([0.0, 0.04])),
        10 ** rng.uniform(-1, 4),
    )
    return spot, spot * math.exp(rate * years - x), years, rate, bool(x < 0), s / math.sqrt(years)


@pytest.mark.parametrize("region", ["minute", "tiny", "ordinary", "wing", "far", "large", "huge"])
def test_out_of_the_money_agrees_with_a_50_digit_root(region: str) -> None:
    rng = np.random.default_rng(sum(map(ord, region)))
    for _ in range(45):
        spot, strike, years, rate, is_call, vol = hard_case(region, rng)
        price = float(black_scholes(spot, strike, years, rate, vol, is_call))
        found = implied_vol(price, spot, strike, years, rate, is_call)
        root = exact_root(price, spot, strike, years, rate, is_call, vol)
        allowed = 16 * (EPS + conditioning(price, spot, strike, years, rate, vol, 0.0))
        assert abs(float(mpf(float(found)) / root - 1)) < allowed
        if region not in ("large", "huge"):  # there the price is near its bound
            assert allowed < 1e-13


@pytest.mark.parametrize("region", ["minute", "tiny", "ordinary", "large"])
def test_in_the_money_agrees_with_a_50_digit_root_within_the_rounding_of_the_price(
    region: str,
) -> None:
    rng = np.random.default_rng(99 + sum(map(ord, region)))
    determined = 0
    for _ in range(45):
        spot, strike, years, rate, is_call, vol = hard_case(region, rng)
        price = float(black_scholes(spot, strike, years, rate, vol, not is_call))
        allowed = 16 * (EPS + conditioning(price, spot, strike, years, rate, vol, 0.0))
        if allowed < 1e-3:
            determined += 1
            root = exact_root(price, spot, strike, years, rate, not is_call, vol)
            assert (
                abs(
                    float(
                        mpf(float(implied_vol(price, spot, strike, years, rate, not is_call)))
                        / root
                        - 1
                    )
                )
                < allowed
            )
    assert determined > 15


@pytest.mark.parametrize(
    ("price", "spot", "strike"),
    [
        (1e-300, 100, 200),
        (1e-200, 100, 101),
        (3e-308, 1, 1.5),
        (1e-12, 100, 1e40),
        (1e-305, 1e5, 2e5),
    ],
)
def test_prices_next_to_nothing(price: float, spot: float, strike: float) -> None:
    found = float(implied_vol(price, spot, strike, 0.5, 0.0, True))
    assert (
        abs(float(mpf(found) / exact_root(price, spot, strike, 0.5, 0.0, True, found) - 1))
        < 8 * EPS
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_prices_next_to_the_upper_bound(steps: int) -> None:
    for spot, strike, is_call in (
        (100.0, 100.0, True),
        (100.0, 130.0, True),
        (130.0, 100.0, False),
    ):
        price = ulps(100.0, -steps)
        found = float(implied_vol(price, spot, strike, 0.5, 0.0, is_call))
        root = exact_root(price, spot, strike, 0.5, 0.0, is_call, found)
        assert abs(float(mpf(found) / root - 1)) < 4 * EPS


def test_a_carry_that_nearly_cancels_the_logarithm() -> None:
    # x = ln(F/K) is 1e-4, the sum of -0.08 and +0.08: added up in plain float64 it costs three
    # digits of the volatility.
    spot, strike, vol = 220.0, 220.0 * math.exp(0.08 - 1e-4), 1e-4 / math.sqrt(2)
    for is_call in (True, False):
        price = float(black_scholes(spot, strike, 2.0, 0.04, vol, is_call))
        root = exact_root(price, spot, strike, 2.0, 0.04, is_call, vol)
        assert (
            abs(float(mpf(float(implied_vol(price, spot, strike, 2.0, 0.04, is_call))) / root - 1))
            < 2e-14
        )


def test_at_the_forward_the_root_has_a_closed_form() -> None:
    # Phi(s/2) - Phi(-s/2) = 1/2 at s = 2*Phi^-1(3/4)
    assert implied_vol(50.0, 100.0, 100.0, 1.0, 0.0, True) == pytest.approx(
        2 * 0.6744897501960817, rel=4 * EPS
    )
    assert implied_vol(1e-200, 100, 100, 1, 0, False) == pytest.approx(
        math.sqrt(2 * math.pi) * 1e-202, rel=4 * EPS
    )


# --- against others -----------------------------------------------------------------------------------------


def test_hull_example_backwards() -> None:
    # Hull, example 15.6 and the section on implied volatilities: S = 21, K = 20, r = 10%, T = 0.25,
    # c = 1.875 gives 23.5%.
    assert round(float(implied_vol(1.875, 21, 20, 0.25, 0.1, True)), 3) == 0.235
    assert (
        round(float(implied_vol([4.76, 0.81], 42, 40, 0.5, 0.1, [True, False]).mean()), 2) == 0.20
    )


def reference_solver() -> Callable[..., float]:
    module = importlib.import_module("vollib.black_scholes_merton.implied_volatility")
    return module.implied_volatility  # type: ignore[no-any-return]


def test_agrees_with_vollib_on_an_ordinary_chain() -> None:
    reference = reference_solver()
    strike = np.arange(150.0, 301.0, 10.0)[:, None, None]
    years = np.array([7, 31, 45, 90])[:, None] / 365
    is_call = np.array([True, False])
    smile = 0.5 + 0.3 * np.log(strike / 220) ** 2
    mid = np.round(black_scholes(220.0, strike, years, 0.04, smile, is_call, 0.01), 2)
    found = implied_vol(mid, 220.0, strike, years, 0.04, is_call, 0.01)
    compared = 0
    for i, j, k in np.ndindex(found.shape):
        if mid[i, j, k] < 0.01 or math.isnan(found[i, j, k]):
            continue
        theirs = reference(
            mid[i, j, k],
            220.0,
            strike[i, 0, 0],
            years[j, 0],
            0.04,
            0.01,
            "c" if is_call[k] else "p",
        )
        error = 1e-13 + 64 * conditioning(
            mid[i, j, k], 220.0, strike[i, 0, 0], years[j, 0], 0.04, theirs, 0.01
        )
        assert found[i, j, k] == pytest.approx(theirs, rel=error)
        compared += 1
    assert compared > 100


@pytest.mark.skipif(not QUOTES.exists(), reason="the shared golden quotes are not here")
def test_real_quotes_of_tesla() -> None:
    with QUOTES.open() as file:
        rows = [row for row in csv.DictReader(file) if row["iv"]]
    assert len(rows) == 10
    column = {
        name: np.array([float(row[name]) for row in rows])
        for name in ("bid", "ask", "underlying_price", "dte", "iv", "delta")
    }
    is_call = np.array([row["symbol"][12] == "C" for row in rows])
    strike = np.array([int(row["symbol"][13:]) / 1000 for row in rows])
    day = date(2023, 6, 6)
    expirations = [
        date.fromisoformat(f"20{row['symbol'][6:8]}-{row['symbol'][8:10]}-{row['symbol'][10:12]}")
        for row in rows
    ]
    assert [(expiration - day).days for expiration in expirations] == list(column["dte"])
    n = len(rows)
    iv, absolute_delta = np.empty(n), np.empty(n)
    mid = (column["bid"] + column["ask"]) / 2
    spot, years = column["underlying_price"], column["dte"] / 365
    solve_chain(
        mid, spot, strike, years, np.full(n, 0.04), is_call, np.zeros(n), iv, absolute_delta
    )
    assert (np.abs(iv - column["iv"]) <= 0.5e-6 + 1e-12).all()
    assert (np.abs(absolute_delta - column["delta"]) <= 0.5e-6 + 1e-12).all()


# --- status -------------------------------------------------------------------------------------------------


def test_codes_are_those_of_iv_status() -> None:
    assert {name: getattr(bracketed, name) for name in IvStatus.__members__} == {
        code.name: code.value for code in IvStatus
    }


@pytest.mark.parametrize(
    ("price", "spot", "strike", "rate", "dividend", "is_call", "expected"),
    [
        # Without rates the bounds are exact: the gain of immediate exercise, and spot or strike.
        (5.0, 105, 100, 0, 0, True, IvStatus.UNDER_INTRINSIC),
        (ulps(5.0, -1), 105, 100, 0, 0, True, IvStatus.UNDER_INTRINSIC),
        (ulps(5.0, 1), 105, 100, 0, 0, True, IvStatus.SOLVED),
        (5.0, 95, 100, 0, 0, False, IvStatus.UNDER_INTRINSIC),
        (ulps(5.0, 1), 95, 100, 0, 0, False, IvStatus.SOLVED),
        (105.0, 105, 100, 0, 0, True, IvStatus.OVER_BOUND),
        (ulps(105.0, -1), 105, 100, 0, 0, True, IvStatus.SOLVED),
        (ulps(105.0, 1), 105, 100, 0, 0, True, IvStatus.OVER_BOUND),
        (100.0, 105, 100, 0, 0, False, IvStatus.OVER_BOUND),
        (ulps(100.0, -1), 105, 100, 0, 0, False, IvStatus.SOLVED),
        (0.0, 95, 100, 0, 0, True, IvStatus.UNDER_INTRINSIC),
        (-0.01, 95, 100, 0, 0, True, IvStatus.UNDER_INTRINSIC),
        (-0.0, 95, 100, 0, 0, True, IvStatus.UNDER_INTRINSIC),
        (5e-320, 95, 100, 0, 0, True, IvStatus.SOLVED),
        # With rates they are discounted, over half a year: the put's strike counts less, the call's
        # spot too if it yields.
        (100 * math.exp(-0.02), 105, 100, 0.04, 0, False, IvStatus.OVER_BOUND),
        (ulps(100 * math.exp(-0.02), -1), 105, 100, 0.04, 0, False, IvStatus.SOLVED),
        (100 * math.exp(-0.02) - 90, 90, 100, 0.04, 0, False, IvStatus.UNDER_INTRINSIC),
        (100 * math.exp(-0.02) - 90 + 1e-9, 90, 100, 0.04, 0, False, IvStatus.SOLVED),
        (105 - 100 * math.exp(-0.02), 105, 100, 0.04, 0, True, IvStatus.UNDER_INTRINSIC),
        (105 - 100 * math.exp(-0.02) + 1e-9, 105, 100, 0.04, 0, True, IvStatus.SOLVED),
        (105 * math.exp(-0.015), 105, 100, 0.04, 0.03, True, IvStatus.OVER_BOUND),
        (ulps(105 * math.exp(-0.015), -1), 105, 100, 0.04, 0.03, True, IvStatus.SOLVED),
        # An American's immediate exercise is no bound of a European put.
        (9.9, 90, 100, 0.04, 0, False, IvStatus.SOLVED),
    ],
)
def test_status_at_the_bounds(
    price: float,
    spot: float,
    strike: float,
    rate: float,
    dividend: float,
    is_call: bool,
    expected: IvStatus,
) -> None:
    volatility, status = implied_vol(
        price, spot, strike, 0.5, rate, is_call, dividend, return_status=True
    )
    assert status == expected
    assert math.isnan(volatility) == (expected != IvStatus.SOLVED)
    if expected == IvStatus.SOLVED:
        assert 0 < volatility < 100
        assert black_scholes(
            spot, strike, 0.5, rate, volatility, is_call, dividend
        ) == pytest.approx(price, rel=4 * EPS, abs=1e-321)


@settings(deadline=None, max_examples=200)
@given(
    st.floats(1, 1000),
    st.floats(0.3, 3),
    st.floats(0, 2),
    st.floats(-0.05, 0.2),
    st.floats(0, 0.1),
    st.booleans(),
)
def test_either_rounding_of_the_lower_bound_is_under_intrinsic(
    spot: float, ratio: float, years: float, rate: float, dividend: float, is_call: bool
) -> None:
    strike, years = ratio * spot, years + 0.01
    gap = spot * math.exp(-dividend * years) - strike * math.exp(-rate * years)
    without_volatility = float(black_scholes(spot, strike, years, rate, 0.0, is_call, dividend))
    bounds = [max(0.0, gap if is_call else -gap), without_volatility]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-15, abs=4 * EPS * (spot + strike))
    if (bounds[0] > 0) == (
        bounds[1] > 0
    ):  # unless rounding puts the forward on the other side of the strike
        volatility, status = implied_vol(
            bounds, spot, strike, years, rate, is_call, dividend, return_status=True
        )
        assert list(status) == [IvStatus.UNDER_INTRINSIC] * 2
        assert np.isnan(volatility).all()


GOOD = {
    "price": 8.0,
    "spot": 100.0,
    "strike": 95.0,
    "years": 0.5,
    "rate": 0.04,
    "is_call": True,
    "dividend_yield": 0.01,
}
BAD = [(name, bad) for name in GOOD if name != "is_call" for bad in (math.nan, math.inf, -math.inf)]
BAD += [
    ("spot", 0.0),
    ("spot", -1.0),
    ("strike", 0.0),
    ("strike", -1.0),
    ("years", 0.0),
    ("years", -0.1),
    ("rate", -2000.0),
]


@pytest.mark.parametrize(("name", "bad"), BAD)
def test_bad_input_has_its_status_and_changes_no_other_element(name: str, bad: float) -> None:
    volatility, status = implied_vol(
        **GOOD | {name: [GOOD[name], bad, GOOD[name]]}, return_status=True
    )
    assert list(status) == [IvStatus.SOLVED, IvStatus.BAD_INPUT, IvStatus.SOLVED]
    assert math.isnan(volatility[1])
    assert volatility[0] == volatility[2] == implied_vol(**GOOD)


def test_extremes_converge_and_reproduce_the_price() -> None:
    prices = [5e-324, 1e-310, 6e307, 50.0, 50.0, ulps(100.0, -1), 1e-320, 5.0]
    spots = [100, 1e-308, 1.5e308, 100, 100, 100, 1e-319, 100]
    strikes = [1e5, 1e308, 1e308, 100, 100, 1e-6, 1e-319, 100]
    years = [1, 1, 1, 1e-300, 1e300, 1, 1e-9, 1e-320]
    found, status = implied_vol(prices, spots, strikes, years, 0.0, True, return_status=True)
    assert (status == IvStatus.SOLVED).all()
    assert black_scholes(spots, strikes, years, 0.0, found, True) == pytest.approx(
        np.array(prices), rel=16 * EPS, abs=1e-323
    )


def test_there_is_no_upper_limit() -> None:
    assert implied_vol(99.0, 100, 100, 1e-6, 0.0, True) == pytest.approx(
        2 * 2.5758293035489 / 1e-3, rel=1e-13
    )


def test_volatility_rises_with_the_price() -> None:
    prices = np.concatenate([np.geomspace(1e-250, 1, 500), np.linspace(1, 99.999, 2000)[1:]])
    for strike in (100.0, 130.0, 1e4):
        assert (np.diff(implied_vol(prices, 100.0, strike, 0.3, 0.0, True)) > 0).all()


def test_the_two_objectives_agree_where_they_change() -> None:
    # The value is half of the smaller discounted side there.
    prices = 50.0 + np.arange(-50, 51) * 1e-12
    for strike in (100.0, 130.0, 1e6):
        found = implied_vol(prices, 100.0, strike, 1.0, 0.0, True)
        slope = np.polynomial.Polynomial.fit(prices - 50, found, 1)
        assert np.abs(found - slope(prices - 50)).max() < 16 * EPS * found[0]


@pytest.mark.parametrize(
    ("x", "s", "high"),
    [
        (0.01, 0.1, False),
        (0.5, 0.2, False),
        (2.0, 1.5, False),
        (8.0, 1.0, False),
        (0.1, 3.0, True),
        (5.0, 7.0, True),
    ],
)
def test_a_step_is_of_fourth_order(x: float, s: float, high: bool) -> None:
    goal = bracketed._excess_and_slope(x, s, high, 0.0)[0]
    errors = []
    for start in (1.04 * s, 1.02 * s):
        excess, slope = bracketed._excess_and_slope(x, start, high, goal)
        errors.append(
            start * (1 + bracketed._householder(x, start, -excess / slope, slope)) / s - 1
        )
    assert 1e-12 < abs(errors[1]) < 1e-6
    assert 12 < errors[0] / errors[1] < 22


def exact_target(x: float, s: float) -> tuple[bool, float, float]:
    """(high, target, value/U) of the option with that total volatility."""
    with mpmath.workdps(60):
        a, t = mpf(x) / mpf(s), mpf(s) / 2
        assigned_end = mpmath.exp(x) * mpmath.ncdf(-a - t)
        share, rest = mpmath.ncdf(t - a) - assigned_end, mpmath.ncdf(a - t) + assigned_end
        high = bool(rest < share)
        return high, float(mpmath.log(rest if high else share)), float(share)


def test_the_guess_and_the_error_after_two_steps() -> None:
    # The figures of the docstrings: 1% for ordinary options, 15% up to s = 4, and a step makes less than
    # 25*e^4 of an error e.
    for s in np.geomspace(1e-4, 4, 40):
        for a in [0.0, *np.geomspace(0.01, 30, 30)]:
            x = float(a * s)
            high, target, share = exact_target(x, float(s))
            if share < 1e-250:
                continue
            # in units of U: the mean of the two sides is then exp(x/2)
            first = (
                implied._guess_high(x, target)
                if high
                else implied._guess_low(x, share, math.exp(x / 2))
            )
            error = abs(first / s - 1)
            assert error < (0.01 if s < 1 else 0.15)
            second, _ = implied._step(x, first, high, target)
            assert abs(second / s - 1) < 25 * error**4 + 16 * EPS
            third, newton = implied._step(x, second, high, target)
            assert abs(newton) < implied.LAST_STEP or s > 2
            assert abs(third / s - 1) < 16 * EPS or abs(newton) > implied.LAST_STEP


@pytest.mark.parametrize("factor", [1e-8, 1e-2, 0.3, 4.0, 1e2, 1e8])
@pytest.mark.parametrize(
    ("x", "s"),
    [(0.0, 0.1), (0.01, 0.1), (0.5, 0.3), (8.0, 0.5), (2.0, 2.5), (0.1, 6.0), (300.0, 30.0)],
)
def test_the_bracket_corrects_a_poor_guess(
    x: float, s: float, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, t = x / s, s / 2
    share = float(mpmath.ncdf(t - a) - mpmath.exp(x) * mpmath.ncdf(-t - a))
    rest = float(mpmath.ncdf(a - t) + mpmath.exp(x) * mpmath.ncdf(-t - a))
    monkeypatch.setattr(bracketed, "_guess", lambda *_: factor * s)
    compiled_excess = bracketed._excess_and_slope
    # NumPy's floats divide by zero as the compiled ones do.
    monkeypatch.setattr(
        bracketed, "_excess_and_slope", lambda *at: tuple(map(np.float64, compiled_excess(*at)))
    )
    in_python = bracketed._total_volatility.py_func  # type: ignore[attr-defined]
    with np.errstate(all="ignore"):
        assert in_python(x, share, rest, math.log(share)) == pytest.approx(s, rel=1e-13)


# --- arrays -------------------------------------------------------------------------------------------------


def random_chain(n: int) -> list[Any]:
    """price, spot, strike, years, rate, is_call, dividend_yield: solvable, under, over and bad ones
    mixed.
    """
    rng = np.random.default_rng(11)
    spot, strike, years = rng.uniform(50, 200, n), rng.uniform(50, 200, n), rng.uniform(0.001, 1, n)
    rate, dividend, is_call = (
        rng.uniform(-0.01, 0.1, n),
        rng.uniform(0, 0.05, n),
        rng.random(n) < 0.5,
    )
    price = black_scholes(spot, strike, years, rate, rng.uniform(0.1, 3, n), is_call, dividend)
    price[::11] = -1.0
    price[5::13] = 1000.0
    price[7::17] = np.nan
    return [price, spot, strike, years, rate, is_call, dividend]


def same(left: Any, right: Any) -> bool:
    """Equal to the bit, NaN like NaN."""
    return bool(np.array_equal(left, right, equal_nan=True))


def test_an_element_depends_on_neither_neighbours_nor_position() -> None:
    # some of random_chain's prices are within rounding of a bound and solved by the second pass
    n = 2 * BLOCK + 17
    columns = random_chain(n)
    whole, status = implied_vol(*columns, return_status=True)
    assert set(status) == set(IvStatus)
    rng = np.random.default_rng(3)
    order = rng.permutation(n)
    assert same(implied_vol(*(column[order] for column in columns)), whole[order])
    assert same(implied_vol(*(column[3::7] for column in columns)), whole[3::7])
    assert same(implied_vol(*(column[::-1] for column in columns)), whole[::-1])
    for length in [*range(1, 20), LANES - 1, LANES, LANES + 1, *rng.integers(1, 3 * LANES, 40)]:
        some = rng.integers(0, n, length)
        volatility, code = implied_vol(*(column[some] for column in columns), return_status=True)
        assert same(volatility, whole[some])
        assert same(code, status[some])
    for i in [*range(40), BLOCK - 1, BLOCK, n - 1]:
        assert same(implied_vol(*(column[i] for column in columns)), whole[i])


def test_the_second_pass_solves_few_and_agrees_with_the_first() -> None:
    rng = np.random.default_rng(8)
    n = 20_000
    spot, strike, years = np.full(n, 220.0), rng.uniform(60, 410, n), rng.integers(1, 91, n) / 365
    is_call, vol = rng.random(n) < 0.5, rng.uniform(0.15, 1.5, n)
    price = black_scholes(spot, strike, years, 0.04, vol, is_call)
    lanes = np.ones((implied.ROWS, LANES))
    checked = 0
    for start in range(0, n - LANES, LANES):
        block = slice(start, start + LANES)
        for row, values in (
            (implied.PRICE, price),
            (implied.SPOT, spot),
            (implied.STRIKE, strike),
            (implied.YEARS, years),
        ):
            lanes[row] = values[block]
        lanes[implied.RATE], lanes[implied.YIELD], lanes[implied.SIGN] = (
            0.04,
            0.0,
            np.where(is_call[block], 1.0, -1.0),
        )
        implied._solve_lanes(lanes)
        intrinsic = black_scholes(220.0, strike[block], years[block], 0.04, 0.0, is_call[block])
        determined = price[block] - intrinsic > 0.005
        assert (lanes[implied.STATUS][determined] == IvStatus.SOLVED).all()
        for i in np.flatnonzero(determined)[::16]:
            at = start + i
            one = (price[at], spot[at], strike[at], years[at], 0.04, bool(is_call[at]), 0.0)
            volatility, absolute_delta, code = bracketed.solve(*one)
            allowed = 16 * (
                EPS + conditioning(price[at], 220.0, strike[at], years[at], 0.04, vol[at], 0.0)
            )
            assert code == IvStatus.SOLVED
            assert lanes[implied.S, i] == pytest.approx(volatility, rel=allowed)
            # both deltas are Phi at d1, which changes with the volatility
            assert lanes[implied.DELTA, i] == pytest.approx(absolute_delta, rel=40 * allowed)
            checked += 1
    assert checked > 800


@pytest.mark.parametrize("region", ["minute", "tiny", "ordinary", "wing", "far", "large", "huge"])
def test_the_second_pass_by_itself_agrees_with_a_50_digit_root(region: str) -> None:
    rng = np.random.default_rng(7 + sum(map(ord, region)))
    for _ in range(12):
        spot, strike, years, rate, is_call, vol = hard_case(region, rng)
        price = float(black_scholes(spot, strike, years, rate, vol, is_call))
        found = bracketed.solve(price, spot, strike, years, rate, is_call, 0.0)[0]
        root = exact_root(price, spot, strike, years, rate, is_call, vol)
        assert abs(float(mpf(float(found)) / root - 1)) < 16 * (
            EPS + conditioning(price, spot, strike, years, rate, vol, 0.0)
        )


def test_a_chain_is_the_same_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [np.ascontiguousarray(column) for column in random_chain(3 * CHAIN_BLOCK + 5)]
    n, found = columns[0].size, []
    for threads in (1, 3):
        monkeypatch.setattr(config, "NUMBA_NUM_THREADS", threads)
        iv, absolute_delta = np.empty(n), np.empty(n)
        solve_chain(*columns, iv, absolute_delta)
        volatility, status = implied_vol(*columns, return_status=True)
        assert same(volatility, iv)
        found.append((iv, absolute_delta, status))
    assert all(same(one, three) for one, three in zip(*found, strict=True))


def test_chain_is_implied_vol_with_absolute_delta() -> None:
    n = CHAIN_BLOCK + 1000
    columns = [np.ascontiguousarray(column) for column in random_chain(n)]
    iv, absolute_delta = np.full(n, 7.0), np.full(n, 7.0)
    solve_chain(*columns, iv, absolute_delta)
    assert same(iv, implied_vol(*columns))
    solved = ~np.isnan(iv)
    assert same(np.isnan(absolute_delta), ~solved)
    expected = np.abs(
        delta(
            *(column[solved] for column in columns[1:5]),
            iv[solved],
            columns[5][solved],
            columns[6][solved],
        )
    )
    # The same formula; d1 is taken from s itself here, and from s/sqrt(T)*sqrt(T) there.
    assert absolute_delta[solved] == pytest.approx(expected, rel=1e-13)
    assert (expected > 0.5).any()
    assert (expected < 0.5).any()


def test_an_empty_chain_is_left_alone() -> None:
    none = np.empty(0)
    solve_chain(none, none, none, none, none, np.empty(0, bool), none, none, none)
    assert implied_vol([], 100, 100, 1, 0.04, True).shape == (0,)


def test_shapes_and_types() -> None:
    price, strike = np.array([8.0, 9.0, 10.0]), np.array([[95.0], [100.0]])
    grid, status = implied_vol(
        price, 100.0, strike, 0.5, 0.04, [True, False, True], return_status=True
    )
    assert grid.shape == status.shape == (2, 3)
    assert (grid.dtype, status.dtype) == (np.float64, np.int8)
    assert grid[1, 1] == implied_vol(9.0, 100, 100, 0.5, 0.04, False)
    assert isinstance(implied_vol(9.0, 100, 100, 0.5, 0.04, False), np.float64)
    series = implied_vol(
        pl.Series([9.0, None]), 100, pl.Series([100, 100]), 0.5, 0.04, pl.Series([False, False])
    )
    assert series[0] == grid[1, 1]
    assert math.isnan(series[1])


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        (
            "price",
            "ten",
            r"price must be a number or an array of numbers, found 1 value\(s\) of dtype <U3",
        ),
        ("spot", [None, "1.0"], "spot must be a number .* dtype object"),
        ("is_call", "put", "is_call must be True for calls and False for puts"),
        ("is_call", 0.3, "is_call must be True .* dtype float64"),
        (
            "strike",
            [1.0, 2.0],
            r"strike has shape \(2,\), which does not broadcast with \(3,\), .* found price \(3,\), spot \(\), strike \(2,\)",
        ),
    ],
)
def test_a_wrong_argument_is_named(name: str, bad: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        implied_vol(**GOOD | {"price": [8.0, 9.0, 10.0]} | {name: bad})
