"""Implied volatility of one option by Householder's steps within a bracket, with libm's functions.

It solves the few options for which `wheelvec.pricing.implied` does not converge: prices within
rounding of a bound, poor first guesses (some with s above 2), numbers outside the domain of
`wheelvec.pricing.elementary` (below 1e-280, above 1e140), and a carry that nearly cancels the
logarithm. The objectives are the same.
"""

import math

import numpy as np

from wheelvec.jit.compiled import njit
from wheelvec.pricing.black import HALF_LOG_TWO_PI, delta_at, forward_value, log_moneyness
from wheelvec.pricing.mills import SQRT_TWO_PI, mills, mills_difference

# The values of wheelvec.model.codes.IvStatus as integers, for compiled code.
SOLVED = 0
UNDER_INTRINSIC = 1
OVER_BOUND = 2
BAD_INPUT = 3

# If Newton's step is shorter than this (relative to s), the error after Householder's step is below
# the rounding error: it is of fourth order, and its constant is below 1e5.
LAST_STEP = 1e-6
FREE_STEPS = 8
MOST_STEPS = 200


@njit
def _guess(x: float, share: float, high: bool, target: float) -> float:
    """The first s, from d = a - t with ln(phi(d)) ~ target and d = x/s - s/2.

    d is negative for the high objective.
    """
    w = math.sqrt(-2.0 * target)
    root = math.sqrt(w * w + 2.0 * x)
    return w + root if high else 2.0 * x / (w + root) + SQRT_TWO_PI * share


@njit
def _excess_and_slope(x: float, s: float, high: bool, target: float) -> tuple[float, float]:
    """The objective less its target, and its derivative by ln(s)."""
    t = 0.5 * s
    a = x / s
    d = a - t
    if high:
        width = mills(-d) + mills(a + t)
        slope = -s / width
    else:
        width = mills_difference(a, t)
        slope = s / width
    return math.log(width) - 0.5 * d * d - HALF_LOG_TWO_PI - target, slope


@njit
def _householder(x: float, s: float, newton: float, slope: float) -> float:
    """Householder's step of third order, from Newton's step -f/f', both divided by s.

    With f the objective, f'*s = slope. Vega is proportional to exp(-(a*a + t*t)/2), whose
    logarithmic derivative times s is bend = a*a - t*t; hence f''/f'*s = bend - slope and
    f'''/f'*s^2 = (bend - slope)*(bend - 2*slope) - 3*a*a - t*t.
    """
    a = x / s
    t = 0.5 * s
    bend = a * a - t * t
    second = bend - slope
    third = second * (bend - 2.0 * slope) - 3.0 * a * a - t * t
    return newton * (1.0 + 0.5 * second * newton) / (1.0 + newton * (second + third * newton / 6.0))


@njit
def _total_volatility(x: float, share: float, rest: float, log_share: float) -> float:
    """Total volatility s = volatility*sqrt(years) for x = |ln(F/K)| and share = value/U.

    `rest` is 1 - share. The objective is monotone in s, so that its sign narrows a bracket. A
    step that leaves the bracket is replaced by a bisection; after FREE_STEPS steps every second
    step is.
    """
    high = rest < share
    target = math.log(rest) if high else log_share
    s = _guess(x, share, high, target)
    lower = 0.0
    upper = np.inf
    for i in range(MOST_STEPS):
        excess, slope = _excess_and_slope(x, s, high, target)
        # Far below the root the low objective may be NaN, which must not count as above it.
        if excess < 0.0 if high else excess > 0.0:
            upper = s
        else:
            lower = s
        newton = -excess / slope
        next_s = s + s * _householder(x, s, newton, slope)
        if abs(newton) < LAST_STEP:
            return next_s
        accepted = lower < next_s < upper and (i < FREE_STEPS or i % 2 == 0)
        s = next_s if accepted else _bisected(lower, upper)
    return s


@njit
def _bisected(lower: float, upper: float) -> float:
    """The geometric mean of the bracket's bounds; one bound times 2 or 1/2 if the other is open."""
    if upper == np.inf:
        return 2.0 * lower
    if lower == 0.0:
        return 0.5 * upper
    return math.sqrt(lower) * math.sqrt(upper)


@njit
def _solve_total(
    price: float,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    is_call: bool,
    dividend_yield: float,
) -> tuple[float, float, int]:
    """(s, x, status) with s = volatility*sqrt(years), NaN unless SOLVED, and x = ln(F/K).

    The lower bound of an in-the-money option is computed to full precision, which matters near the
    forward. A price that equals the bound as rounded by plain arithmetic counts as on the bound,
    because users compute it in this way.
    """
    positive = 0.0 < spot < np.inf and 0.0 < strike < np.inf and 0.0 < years < np.inf
    if not (
        positive and math.isfinite(price) and math.isfinite(rate) and math.isfinite(dividend_yield)
    ):
        return np.nan, np.nan, BAD_INPUT
    spot_pv = spot * math.exp(-dividend_yield * years)
    strike_pv = strike * math.exp(-rate * years)
    if not (spot_pv < np.inf and strike_pv < np.inf):
        return np.nan, np.nan, BAD_INPUT
    sign = 1.0 if is_call else -1.0
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    value = price
    if sign * x > 0.0:
        value = price - sign * forward_value(
            spot_pv, strike_pv, x, rate != 0.0 or dividend_yield != 0.0
        )
        if price == sign * (spot_pv - strike_pv):
            value = 0.0
    if value <= 0.0:
        return np.nan, x, UNDER_INTRINSIC
    ceiling = spot_pv if is_call else strike_pv
    if price >= ceiling:
        return np.nan, x, OVER_BOUND
    unit = min(spot_pv, strike_pv)
    share = value / unit
    log_share = math.log(share) if share > 1e-300 else math.log(value) - math.log(unit)
    return _total_volatility(abs(x), share, (ceiling - price) / unit, log_share), x, SOLVED


@njit
def solve(
    price: float,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    is_call: bool,
    dividend_yield: float,
) -> tuple[float, float, int]:
    """(volatility, absolute delta, status) of one option, as by `pricing.implied.implied_vol`."""
    s, x, status = _solve_total(price, spot, strike, years, rate, is_call, dividend_yield)
    return (
        s / math.sqrt(years),
        abs(delta_at(x / s + 0.5 * s, years, is_call, dividend_yield)),
        status,
    )
