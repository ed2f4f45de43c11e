"""Implied volatility of one option, whatever it takes.

A bracket around Householder's steps, and libm's functions.

For the few that `wheelvec.pricing.implied` leaves unsettled: prices within rounding of a bound, a
guess too far off (of some s above 2), numbers that only libm's functions reach (under 1e-280, over
1e140), carry that all but hides x. The objectives are the same.
"""

import math

import numpy as np

from wheelvec.jit.compiled import njit
from wheelvec.pricing.black import HALF_LOG_TWO_PI, delta_at, forward_gain, log_moneyness
from wheelvec.pricing.mills import SQRT_TWO_PI, mills, mills_difference

# The values of wheelvec.model.codes.IvStatus; compiled code sees plain integers.
SOLVED = 0
UNDER_INTRINSIC = 1
OVER_BOUND = 2
BAD_INPUT = 3

# Where Newton's step is shorter than this (relative to s), Householder's leaves an error under the
# rounding: it is of fourth order, and its constant stays below 1e5.
LAST_STEP = 1e-6
FREE_STEPS = 8
MOST_STEPS = 200


@njit
def _guess(x: float, share: float, high: bool, target: float) -> float:
    """First s: d = a - t from ln(phi(d)) = target about, negative for the high objective, then s
    from d = x/s - s/2.
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
    """Householder's step of third order from Newton's, -f/f'.

    Both divided by s, so that nothing overflows.

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
    """Total volatility s = volatility*sqrt(years) for x = |ln(F/K)|, share = value/U in (0, 1) and
    rest = 1 - share.

    The sign of the objective, which is monotone in s, narrows a bracket: a step that leaves it
    gives way to a bisection, and so does every other step in the long run.
    """
    high = rest < share
    target = math.log(rest) if high else log_share
    s = _guess(x, share, high, target)
    lower = 0.0
    upper = np.inf
    for i in range(MOST_STEPS):
        excess, slope = _excess_and_slope(x, s, high, target)
        # Far under the root the low objective may be NaN, which must not count as above it.
        if excess < 0.0 if high else excess > 0.0:
            upper = s
        else:
            lower = s
        newton = -excess / slope
        following = s + s * _householder(x, s, newton, slope)
        if abs(newton) < LAST_STEP:
            return following
        trusted = lower < following < upper and (i < FREE_STEPS or i % 2 == 0)
        s = following if trusted else _between(lower, upper)
    return s


@njit
def _between(lower: float, upper: float) -> float:
    """A number inside the bracket, which may still lack an end; between two, the geometric mean."""
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
    """(s, x, status) with s = volatility*sqrt(years), NaN unless SOLVED, and the signed x =
    ln(F/K).

    The lower bound of an in-the-money option is taken to full precision, which matters next to the
    forward. A price that equals it as plain arithmetic rounds it is on the bound too: somebody
    computed it that way.
    """
    positive = 0.0 < spot < np.inf and 0.0 < strike < np.inf and 0.0 < years < np.inf
    if not (
        positive and math.isfinite(price) and math.isfinite(rate) and math.isfinite(dividend_yield)
    ):
        return np.nan, np.nan, BAD_INPUT
    spot_now = spot * math.exp(-dividend_yield * years)
    strike_now = strike * math.exp(-rate * years)
    if not (spot_now < np.inf and strike_now < np.inf):
        return np.nan, np.nan, BAD_INPUT
    sign = 1.0 if is_call else -1.0
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    value = price
    if sign * x > 0.0:
        value = price - sign * forward_gain(
            spot_now, strike_now, x, rate != 0.0 or dividend_yield != 0.0
        )
        if price == sign * (spot_now - strike_now):
            value = 0.0
    if value <= 0.0:
        return np.nan, x, UNDER_INTRINSIC
    ceiling = spot_now if is_call else strike_now
    if price >= ceiling:
        return np.nan, x, OVER_BOUND
    unit = min(spot_now, strike_now)
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
    """(volatility, absolute delta, status) of one option.

    See `wheelvec.pricing.implied.implied_vol`.
    """
    s, x, status = _solve_total(price, spot, strike, years, rate, is_call, dividend_yield)
    return (
        s / math.sqrt(years),
        abs(delta_at(x / s + 0.5 * s, years, is_call, dividend_yield)),
        status,
    )
