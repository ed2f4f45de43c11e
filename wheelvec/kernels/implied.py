"""Implied volatility of European options, one compiled scalar solver over arrays.

The method is that of Jaeckel, "Let's Be Rational" (Wilmott, January 2015), in the notation of `wheelvec.kernels.black`:
reduce by put-call parity to the out-of-the-money side, and solve for s = volatility*sqrt(years) on the logarithm of the
value, where Householder's step of third order (fourth-order convergence) is at home. Two objectives meet at half of U:

    low:   ln(phi(a - t) * (R(a - t) - R(a + t))) = ln(value/U)
    high:  ln(phi(a - t) * (R(t - a) + R(t + a))) = ln(1 - value/U)

Neither side loses digits to subtraction, so s is as good as value/U, respectively 1 - value/U. Two steps do for nearly
every quote.

What no solver can restore: the time value of an in-the-money option is its price less the forward's gain, and so loses
the digits that the two share. A relative error e of the price is one of e*price/(vega*volatility) in the volatility.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wheelvec.kernels.black import (
    HALF_LOG_TWO_PI,
    SQRT_TWO_PI,
    Array,
    delta_at,
    forward_gain,
    log_moneyness,
    mills,
    mills_difference,
    run_blocks,
)
from wheelvec.kernels.compiled import compiled

# The values of wheelvec.spec.codes.IvStatus; compiled code sees plain integers.
SOLVED = 0
UNDER_INTRINSIC = 1
OVER_BOUND = 2
BAD_INPUT = 3

# Where Newton's step is shorter than this (relative to s), Householder's leaves an error under the rounding: it is of
# fourth order, and its constant stays below 1e5.
LAST_STEP = 1e-6
FREE_STEPS = 8
MOST_STEPS = 200
# Elements per compiled call of `solve_chain`: under 0.05 s, so that Ctrl-C is heard.
CHAIN_BLOCK = 1 << 16


@compiled
def _guess_low(x: float, share: float, log_share: float) -> float:
    """First s for share = value/U <= 1/2, within 0.2% where s is small and 30% at worst.

    For small s the model is Bachelier's, share*exp(x/2)/x = phi(a)*(1/a - R(a)), a function of a alone. Its inverse is this
    rational function (minimax, 0.2% for 0 < a < 45) of ln(1 + ratio) with ratio = x/(sqrt(2 pi)*share*exp(x/2)), which tends
    to a for small a and to a*a/2 for large a.
    """
    if x <= 1e-10 * share:
        return SQRT_TWO_PI * share
    log_ratio = math.log(x) + 0.5 * x - HALF_LOG_TWO_PI - log_share
    y = log_ratio if log_ratio > 40.0 else math.log1p(math.exp(log_ratio))
    top = 0.998007 + y * (0.511718 + y * (0.00615898 + y * 2.79023e-06))
    bottom = 1.0 + y * (1.2403 + y * (0.0581873 + y * 0.000153058))
    return x * bottom / (y * top)


@compiled
def _guess_high(x: float, rest: float) -> float:
    """First s for rest = 1 - value/U <= 1/2, within 30%.

    rest lies between Phi(-d) and 2*Phi(-d), d = t - a: the former for large x, the latter for small. Invert Phi by Hastings'
    rational function (Abramowitz and Stegun 26.2.23), then d = s/2 - x/s.
    """
    tail = rest if x > 1.0 else 0.5 * rest
    w = math.sqrt(-2.0 * math.log(tail))
    top = 2.515517 + w * (0.802853 + w * 0.010328)
    bottom = 1.0 + w * (1.432788 + w * (0.189269 + w * 0.001308))
    d = w - top / bottom
    return d + math.sqrt(d * d + 2.0 * x)


@compiled
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


@compiled
def _householder(x: float, s: float, newton: float, slope: float) -> float:
    """Householder's step of third order from Newton's, -f/f'; both divided by s, so that nothing overflows.

    With f the objective, f'*s = slope. Vega is proportional to exp(-(a*a + t*t)/2), whose logarithmic derivative times s
    is bend = a*a - t*t; hence f''/f'*s = bend - slope and f'''/f'*s^2 = (bend - slope)*(bend - 2*slope) - 3*a*a - t*t.
    """
    a = x / s
    t = 0.5 * s
    bend = a * a - t * t
    second = bend - slope
    third = second * (bend - 2.0 * slope) - 3.0 * a * a - t * t
    return newton * (1.0 + 0.5 * second * newton) / (1.0 + newton * (second + third * newton / 6.0))


@compiled
def _total_volatility(x: float, share: float, rest: float, log_share: float) -> float:
    """s = volatility*sqrt(years) for x = |ln(F/K)|, share = value/U in (0, 1) and rest = 1 - share.

    From these guesses at most five steps are needed. Should one be far off, the sign of the objective, which is monotone
    in s, narrows a bracket: a step that leaves it gives way to a bisection, and so does every other step in the long run.
    """
    high = rest < share
    target = math.log(rest) if high else log_share
    s = _guess_high(x, rest) if high else _guess_low(x, share, log_share)
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


@compiled
def _between(lower: float, upper: float) -> float:
    """A number inside the bracket, which may still lack an end; between two, the geometric mean."""
    if upper == np.inf:
        return 2.0 * lower
    if lower == 0.0:
        return 0.5 * upper
    return math.sqrt(lower) * math.sqrt(upper)


@compiled
def _solve_total(
    price: float, spot: float, strike: float, years: float, rate: float, is_call: bool, dividend_yield: float
) -> tuple[float, float, int]:
    """(s, x, status) with s = volatility*sqrt(years), NaN unless SOLVED, and the signed x = ln(F/K).

    The lower bound of an in-the-money option is taken to full precision, which matters next to the forward. A price that
    equals it as plain arithmetic rounds it is on the bound too: somebody computed it that way.
    """
    positive = 0.0 < spot < np.inf and 0.0 < strike < np.inf and 0.0 < years < np.inf
    if not (positive and math.isfinite(price) and math.isfinite(rate) and math.isfinite(dividend_yield)):
        return np.nan, np.nan, BAD_INPUT
    spot_now = spot * math.exp(-dividend_yield * years)
    strike_now = strike * math.exp(-rate * years)
    if not (spot_now < np.inf and strike_now < np.inf):
        return np.nan, np.nan, BAD_INPUT
    sign = 1.0 if is_call else -1.0
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    value = price
    if sign * x > 0.0:
        value = price - sign * forward_gain(spot_now, strike_now, x, rate != 0.0 or dividend_yield != 0.0)
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


@compiled
def solve(
    price: float, spot: float, strike: float, years: float, rate: float, is_call: bool, dividend_yield: float
) -> tuple[float, int]:
    """(volatility, status) of one option; see `implied_vol`."""
    s, _, status = _solve_total(price, spot, strike, years, rate, is_call, dividend_yield)
    return s / math.sqrt(years), status


@compiled
def _solve_block(
    price: Array,
    spot: Array,
    strike: Array,
    years: Array,
    rate: Array,
    is_call: Array,
    dividend_yield: Array,
    out_iv: Array,
    out_delta: Array,
    out_status: Array,
) -> None:
    """Volatility, absolute delta and status of each element; all arrays 1-D and of one length, status int8."""
    for i in range(out_iv.size):
        s, x, status = _solve_total(price[i], spot[i], strike[i], years[i], rate[i], is_call[i], dividend_yield[i])
        out_iv[i] = s / math.sqrt(years[i])
        out_delta[i] = abs(delta_at(x / s + 0.5 * s, years[i], is_call[i], dividend_yield[i]))
        out_status[i] = status


def solve_chain(
    mid: Array,
    spot: Array,
    strike: Array,
    years: Array,
    rate: Array,
    is_call: Array,
    dividend_yield: Array,
    out_iv: Array,
    out_delta: Array,
) -> None:
    """Implied volatility and absolute delta of a chain, written into `out_iv` and `out_delta`, NaN where there is none.

    Args:
        mid: dollars per share; spot, strike, years, rate, is_call, dividend_yield as for `implied_vol`. All are contiguous 1-D
            arrays of one length n, float64 (is_call: bool), and are not checked.
        out_iv, out_delta: float64 (n,), overwritten.
    """
    status = np.empty(out_iv.size, np.int8)
    arrays = (mid, spot, strike, years, rate, is_call, dividend_yield, out_iv, out_delta, status)
    for start in range(0, out_iv.size, CHAIN_BLOCK):
        _solve_block(*[array[start : start + CHAIN_BLOCK] for array in arrays])


def implied_vol(
    price: ArrayLike,
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
    return_status: bool = False,
) -> Any:
    """Black-Scholes-Merton volatility at which `black_scholes` gives `price`, without a cap.

    There is one if and only if all inputs are finite, spot, strike and years are above 0, and the price lies strictly
    between the no-arbitrage bounds: max(0, S*exp(-q*T) - K*exp(-r*T)) and S*exp(-q*T) for a call,
    max(0, K*exp(-r*T) - S*exp(-q*T)) and K*exp(-r*T) for a put. The method is Jaeckel's ("Let's Be Rational", 2015). The
    relative error is a few units of rounding, times price/(vega*volatility) where that exceeds 1: deep in the money the
    digits go that price and intrinsic value share.

    Args:
        price: dollars per share.
        spot, strike: dollars per share, above 0.
        years: time to expiration, above 0.
        rate, dividend_yield: continuously compounded, per year; 0.04 is 4%.
        is_call: True for calls, False for puts (or 1 and 0).
        return_status: also return why an element is NaN.
        All but the last are numbers or array-likes of any shapes that broadcast.

    Returns:
        Per square root of a year (0.5 is 50%): a float64 array of the broadcast shape, a NumPy float64 scalar where all
        inputs are scalars; NaN where none exists. With `return_status` a pair of it and int8 codes of the same shape, the
        values of `IvStatus`: 0 SOLVED, 1 UNDER_INTRINSIC (on or under the lower bound), 2 OVER_BOUND (on or over the
        upper), 3 BAD_INPUT.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.
    """
    inputs = {"price": price, "spot": spot, "strike": strike, "years": years, "rate": rate}
    inputs |= {"is_call": is_call, "dividend_yield": dividend_yield}
    volatility, _, status = run_blocks(_solve_block, inputs, ("float64", "float64", "int8"))
    return (volatility, status) if return_status else volatility
