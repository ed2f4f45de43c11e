"""Black-Scholes-Merton price and delta, and the functions that the implied volatility shares.

With F the forward, x = ln(F/K) and s = volatility*sqrt(years), an option depends on a = |x|/s and t
= s/2 alone. Let U be the smaller of spot*exp(-q*T) and strike*exp(-r*T), and R(z) = (1 -
Phi(z))/phi(z) the Mills ratio. The out-of-the-money option is then

    value/U     = phi(a - t) * (R(a - t) - R(a + t))
    1 - value/U = phi(a - t) * (R(t - a) + R(t + a))

(Black 1976, written with Mills ratios as Jaeckel, "Let's Be Rational", 2015, writes it with erfcx),
and put-call parity gives the in-the-money option. Only the difference in the first line can cancel;
`wheelvec.pricing.mills` computes it without loss of digits.

The loops here call libm and branch, so they stay scalar: every element is computed by itself, with
the same operations at every position.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wheelvec.jit.compiled import njit
from wheelvec.pricing.broadcast import Array, run_blocks
from wheelvec.pricing.mills import SQRT_TWO_PI, mills, mills_difference

SQRT_HALF = math.sqrt(0.5)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@njit
def normal_cdf(z: float) -> float:
    """Phi(z), the standard normal distribution function, without loss of digits in either tail."""
    return 0.5 * math.erfc(-SQRT_HALF * z)


@njit
def log_moneyness(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float
) -> float:
    """Log-moneyness ln(F/K) = ln(spot/strike) + (rate - dividend_yield)*years, precise near 0.

    The error is a few units of rounding of x = ln(F/K). Where |x| is less than a quarter of the
    carry, it is a few units of rounding of x or of carry^3/12.
    """
    ratio = spot / strike
    carry = (rate - dividend_yield) * years
    if 0.5 <= ratio <= 2.0:
        # The subtraction is exact here (Sterbenz), whereas the quotient loses the last digits of
        # ratio - 1.
        x = math.log1p((spot - strike) / strike) + carry
        if abs(x) < 0.25 * abs(carry) and 1e-250 < spot < 1e250:
            return _cancelled_moneyness(spot, strike, years, rate, dividend_yield)
        return x
    if 1e-300 < ratio < 1e300:
        return math.log(ratio) + carry
    return math.log(spot) - math.log(strike) + carry


@njit
def _cancelled_moneyness(
    spot: float, strike: float, years: float, rate: float, dividend_yield: float
) -> float:
    """ln(F/K) where logarithm and carry nearly cancel.

    The error of a plain sum would be visible for a small volatility over a long time. ln(spot/
    strike) = 2*atanh(w) with w = (spot - strike)/(spot + strike). Only the leading term 2*w and the
    carry need more digits than a float64 has; error-free sums and products give them (Dekker 1971).
    The remainder is of third order in w.
    """
    total = spot + strike
    w = (spot - strike) / total
    w_low = (
        ((spot - strike) - w * total) - _product_error(w, total) - w * _sum_error(spot, strike)
    ) / total
    net = rate - dividend_yield
    carry = net * years
    carry_low = _product_error(net, years) + _sum_error(rate, -dividend_yield) * years
    odd_powers = 0.0
    for i in range(37, 1, -2):  # |w| <= 1/3
        odd_powers = odd_powers * (w * w) + 1.0 / i
    return (2.0 * w + carry) + (
        _sum_error(2.0 * w, carry) + 2.0 * (w_low + w * w * w * odd_powers) + carry_low
    )


@njit
def _sum_error(a: float, b: float) -> float:
    """The rounding error of a + b, exactly (Knuth's two-sum)."""
    total = a + b
    b_rounded = total - a
    return (a - (total - b_rounded)) + (b - b_rounded)


@njit
def _product_error(a: float, b: float) -> float:
    """The rounding error of a * b, exactly, for numbers up to 1e290 (Dekker, Veltkamp)."""
    split_a = 134217729.0 * a
    high_a = split_a - (split_a - a)
    low_a = a - high_a
    split_b = 134217729.0 * b
    high_b = split_b - (split_b - b)
    low_b = b - high_b
    return low_a * low_b - (((a * b - high_a * high_b) - low_a * high_b) - high_a * low_b)


@njit
def forward_value(spot_pv: float, strike_pv: float, x: float, carried: bool) -> float:
    """spot_pv - strike_pv in dollars per share, to full precision also for nearly equal numbers.

    spot_pv = spot*exp(-q*T), strike_pv = strike*exp(-r*T), x = ln(F/K). Without carry (`carried`
    False: rate and yield are 0) the difference itself is most precise.
    """
    if not carried:
        return spot_pv - strike_pv
    return -spot_pv * math.expm1(-x) if x > 0.0 else strike_pv * math.expm1(x)


@njit
def in_domain(
    spot: float, strike: float, years: float, rate: float, volatility: float, dividend_yield: float
) -> bool:
    """Whether spot and strike are above 0, years and volatility at least 0, and all are finite."""
    positive = 0.0 < spot < np.inf and 0.0 < strike < np.inf
    not_negative = 0.0 <= years < np.inf and 0.0 <= volatility < np.inf
    return positive and not_negative and math.isfinite(rate) and math.isfinite(dividend_yield)


@njit
def time_value_share(a: float, t: float) -> float:
    """value/U of the out-of-the-money option, in [0, 1]; 0 if it underflows."""
    d = a - t
    if d > 39.0:
        return 0.0
    if t > a and t > 0.5:
        return 1.0 - math.exp(-0.5 * d * d) / SQRT_TWO_PI * (mills(-d) + mills(a + t))
    return math.exp(-0.5 * d * d) / SQRT_TWO_PI * mills_difference(a, t)


@njit
def price(
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    is_call: bool,
    dividend_yield: float,
) -> float:
    """The price of one option in dollars per share.

    It is NaN outside the domain of `black_scholes`, or if a discount factor overflows.
    """
    if not in_domain(spot, strike, years, rate, volatility, dividend_yield):
        return np.nan
    spot_pv = spot * math.exp(-dividend_yield * years)
    strike_pv = strike * math.exp(-rate * years)
    if not (spot_pv < np.inf and strike_pv < np.inf):
        return np.nan
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    forward = forward_value(spot_pv, strike_pv, x, rate != 0.0 or dividend_yield != 0.0)
    intrinsic = max(0.0, forward if is_call else -forward)
    s = volatility * math.sqrt(years)
    if not s > 0.0:
        return intrinsic
    return intrinsic + min(spot_pv, strike_pv) * time_value_share(abs(x) / s, 0.5 * s)


@njit
def signed_delta(
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    is_call: bool,
    dividend_yield: float,
) -> float:
    """The delta of one option, negative for puts; NaN outside the domain, or if it overflows."""
    if not in_domain(spot, strike, years, rate, volatility, dividend_yield):
        return np.nan
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    s = volatility * math.sqrt(years)
    if s > 0.0:
        d1 = x / s + 0.5 * s
    else:
        d1 = 0.0 if x == 0.0 else math.copysign(np.inf, x)
    value = delta_at(d1, years, is_call, dividend_yield)
    return value if value - value == 0.0 else np.nan


@njit
def delta_at(d1: float, years: float, is_call: bool, dividend_yield: float) -> float:
    """exp(-q*T)*Phi(d1) for a call, -exp(-q*T)*Phi(-d1) for a put."""
    factor = math.exp(-dividend_yield * years)
    return factor * normal_cdf(d1) if is_call else -factor * normal_cdf(-d1)


@njit
def _price_block(
    spot: Array,
    strike: Array,
    years: Array,
    rate: Array,
    volatility: Array,
    is_call: Array,
    dividend_yield: Array,
    out: Array,
) -> None:
    """Write prices in dollars per share into `out`; all arrays are (n,)."""
    for i in range(out.size):
        out[i] = price(
            spot[i], strike[i], years[i], rate[i], volatility[i], is_call[i], dividend_yield[i]
        )


@njit
def _delta_block(
    spot: Array,
    strike: Array,
    years: Array,
    rate: Array,
    volatility: Array,
    is_call: Array,
    dividend_yield: Array,
    out: Array,
) -> None:
    """Write deltas into `out`; all arrays are (n,)."""
    for i in range(out.size):
        out[i] = signed_delta(
            spot[i], strike[i], years[i], rate[i], volatility[i], is_call[i], dividend_yield[i]
        )


def black_scholes(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Any:
    """Price of European options per share (Black and Scholes 1973, Merton 1973).

    call = S*exp(-q*T)*Phi(d1) - K*exp(-r*T)*Phi(d2) and put = K*exp(-r*T)*Phi(-d2) -
    S*exp(-q*T)*Phi(-d1), where d1 = (ln(S/K) + (r - q + v^2/2)*T)/(v*sqrt(T)) and d2 = d1 -
    v*sqrt(T). At years = 0 or volatility = 0 it is the limit, the discounted intrinsic value: for a
    call max(0, S*exp(-q*T) - K*exp(-r*T)).

    The arguments are numbers or array-likes of any shapes that broadcast.

    Args:
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.

    Returns:
        Dollars per share: a float64 array of the broadcast shape, a NumPy float64 scalar if all
        inputs are scalars. NaN where an input is not finite or out of its range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        >>> from wheelvec import black_scholes
        >>> call = black_scholes(100, 100, years=1, rate=0.05, volatility=0.2, is_call=True)
        >>> f"{call:.4f}"
        '10.4506'
        >>> option = {"years": 0.25, "rate": 0.04, "volatility": 0.3, "is_call": False}
        >>> black_scholes(100, [90, 100, 110], **option).round(2)
        array([ 1.79,  5.46, 11.68])
    """
    inputs = {
        "spot": spot,
        "strike": strike,
        "years": years,
        "rate": rate,
        "volatility": volatility,
    }
    return run_blocks(
        _price_block, inputs | {"is_call": is_call, "dividend_yield": dividend_yield}, ("float64",)
    )[0]


def delta(
    spot: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    rate: ArrayLike,
    volatility: ArrayLike,
    is_call: ArrayLike,
    dividend_yield: ArrayLike = 0.0,
) -> Any:
    """Signed delta of European options, the derivative of `black_scholes` by spot (Merton 1973).

    exp(-q*T)*Phi(d1) for calls, -exp(-q*T)*Phi(-d1) for puts. At years = 0 or volatility = 0 it is
    the limit: a step at forward = strike, where it is half of exp(-q*T).

    The arguments are numbers or array-likes of any shapes that broadcast.

    Args:
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.

    Returns:
        Dollars per dollar of the underlying: a float64 array of the broadcast shape, a NumPy
        float64 scalar if all inputs are scalars. NaN where an input is not finite or out of its
        range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        >>> from wheelvec import delta
        >>> option = {"years": 30 / 365, "rate": 0.04, "volatility": 0.4}
        >>> delta(100, 95, **option, is_call=[True, False]).round(3)
        array([ 0.703, -0.297])
    """
    inputs = {
        "spot": spot,
        "strike": strike,
        "years": years,
        "rate": rate,
        "volatility": volatility,
    }
    return run_blocks(
        _delta_block, inputs | {"is_call": is_call, "dividend_yield": dividend_yield}, ("float64",)
    )[0]
