"""Black-Scholes-Merton price and delta, and the pieces of the formula that the implied volatility shares.

With F the forward, x = ln(F/K) and s = volatility*sqrt(years), an option depends on a = |x|/s and t = s/2 alone. Let
U be the smaller of spot*exp(-q*T) and strike*exp(-r*T), and R(z) = (1 - Phi(z))/phi(z) the Mills ratio. The
out-of-the-money option is then

    value/U     = phi(a - t) * (R(a - t) - R(a + t))
    1 - value/U = phi(a - t) * (R(t - a) + R(t + a))

(Black 1976, written with Mills ratios as Jaeckel, "Let's Be Rational", 2015, writes it with erfcx), and put-call parity
gives the other side. Only the difference in the first line can cancel; `mills_difference` sees to it.

Compiled functions use no fast-math flags: every element is computed alone, in the same order of operations, wherever it
stands.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wheelvec.kernels.compiled import compiled
from wheelvec.spec.errors import InputError

Array = NDArray[Any]

SQRT_HALF = math.sqrt(0.5)
SQRT_TWO_PI = math.sqrt(2.0 * math.pi)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
# Elements per compiled call: under 5 ms, so that Ctrl-C is heard, and small enough for the second-level cache.
BLOCK = 8192

# (z + 1)*R(z) as a polynomial in y = (z - 5)/(z + 5): the Chebyshev interpolant on z in [0, inf), computed with 60
# digits, cut at degree 23 and expanded in powers of y; EVEN holds y^0, y^2, ..., ODD holds y^1, y^3, ... The relative
# error stays below 5e-16. The exact function is R(z) = sqrt(pi/2)*exp(z*z/2)*erfc(z/sqrt(2)), which libm's erfc cannot
# give beyond z = 37.
MILLS_EVEN = (
    1.1568486282918946,
    0.07778159886873769,
    -0.0661776007790963,
    -0.03802659218584139,
    -0.004201290329187307,
    0.00045704392357953655,
    -2.480583845192319e-05,
    -1.7633239265736738e-07,
    3.2054316652589563e-07,
    -6.588974491108946e-08,
    9.092476134019109e-09,
    -7.073898575561516e-10,
)
MILLS_ODD = (
    -0.22948753825211315,
    0.0250721793016388,
    0.0615050458401865,
    0.01634823128102938,
    1.9530638370790786e-05,
    -0.0001343742785571135,
    2.270961270923768e-05,
    -3.277287633208865e-06,
    4.919962331478338e-07,
    -7.758520236786325e-08,
    1.1032071151574265e-08,
    -9.56483293471242e-10,
)


@compiled
def normal_cdf(z: float) -> float:
    """Phi(z), the standard normal distribution function, without loss of digits in either tail."""
    return 0.5 * math.erfc(-SQRT_HALF * z)


@compiled
def _mills_right(z: float) -> float:
    """R(z) for z >= 0, from one polynomial; its even and odd halves are two chains that the processor runs side by side."""
    shared = 1.0 / ((z + 5.0) * (z + 1.0))
    y = (z - 5.0) * ((z + 1.0) * shared)
    square = y * y
    even = 0.0
    odd = 0.0
    for i in range(11, -1, -1):
        even = even * square + MILLS_EVEN[i]
        odd = odd * square + MILLS_ODD[i]
    return (even + y * odd) * ((z + 5.0) * shared)


@compiled
def mills(z: float) -> float:
    """The Mills ratio R(z) = (1 - Phi(z))/phi(z); inf under z = -37."""
    if z >= 0.0:
        return _mills_right(z)
    return SQRT_TWO_PI * math.exp(0.5 * z * z) - _mills_right(-z)


@compiled
def mills_difference(a: float, t: float) -> float:
    """R(a - t) - R(a + t) for a >= 0 and t > 0, also where the two nearly agree.

    R(z) is the integral of exp(-z*u - u*u/2) over u > 0, so the difference is twice the sum over odd n of t^n/n! * M_n
    with the positive moments M_n of u under exp(-a*u - u*u/2). By parts, M_1 = 1 - a*R(a) and M_{n+1} = n*M_{n-1} - a*M_n.
    Going up amplifies the rounding of M_1, but in the sum only by sinh(a*t)/(a*t); and a relative error e in the
    difference moves s by e*M_1 alone, because d ln(value)/d ln(s) = 2*t/difference ~ 1/M_1. The plain difference in turn
    costs about eps/(a*t) or eps/t in s, whichever is less. Hence the switch at 0.15: 12 units of rounding at worst.
    """
    if t >= 0.15 or a * t >= 0.15:
        return mills(a - t) - mills(a + t)
    even = mills(a)
    odd = 1.0 - a * even
    power = t
    total = t * odd
    n = 1.0
    while True:
        even = n * even - a * odd
        odd = (n + 1.0) * odd - a * even
        power *= t * t / ((n + 1.0) * (n + 2.0))
        term = power * odd
        total += term
        n += 2.0
        # `not >` also ends the sum where a is so large that the moments are noise, or NaN.
        if not term > 1e-17 * total:
            return 2.0 * total


@compiled
def log_moneyness(spot: float, strike: float, years: float, rate: float, dividend_yield: float) -> float:
    """x = ln(F/K) = ln(spot/strike) + (rate - dividend_yield)*years, precise also where it is small.

    The error is a few units of rounding of x; where the carry cancels all but a quarter of itself, of x or of carry^3/12.
    """
    ratio = spot / strike
    carry = (rate - dividend_yield) * years
    if 0.5 <= ratio <= 2.0:
        # The subtraction is exact here (Sterbenz), while the quotient would round away the digits of ratio - 1.
        x = math.log1p((spot - strike) / strike) + carry
        if abs(x) < 0.25 * abs(carry) and 1e-250 < spot < 1e250:
            return _cancelled_moneyness(spot, strike, years, rate, dividend_yield)
        return x
    if 1e-300 < ratio < 1e300:
        return math.log(ratio) + carry
    return math.log(spot) - math.log(strike) + carry


@compiled
def _cancelled_moneyness(spot: float, strike: float, years: float, rate: float, dividend_yield: float) -> float:
    """ln(F/K) where logarithm and carry nearly cancel, which a small volatility over a long time would show.

    ln(spot/strike) = 2*atanh(w) with w = (spot - strike)/(spot + strike). Only the leading term 2*w and the carry need digits
    beyond a float64, and they get them from error-free sums and products (Dekker 1971); the rest is of third order in w.
    """
    total = spot + strike
    w = (spot - strike) / total
    w_low = (((spot - strike) - w * total) - _product_error(w, total) - w * _sum_error(spot, strike)) / total
    net = rate - dividend_yield
    carry = net * years
    carry_low = _product_error(net, years) + _sum_error(rate, -dividend_yield) * years
    odd_powers = 0.0
    for i in range(37, 1, -2):  # |w| <= 1/3
        odd_powers = odd_powers * (w * w) + 1.0 / i
    return (2.0 * w + carry) + (_sum_error(2.0 * w, carry) + 2.0 * (w_low + w * w * w * odd_powers) + carry_low)


@compiled
def _sum_error(a: float, b: float) -> float:
    """What a + b loses to rounding, exactly (Knuth's two-sum)."""
    total = a + b
    b_seen = total - a
    return (a - (total - b_seen)) + (b - b_seen)


@compiled
def _product_error(a: float, b: float) -> float:
    """What a * b loses to rounding, exactly (Dekker's product with Veltkamp's halves); not for numbers beyond 1e290."""
    split_a = 134217729.0 * a
    high_a = split_a - (split_a - a)
    low_a = a - high_a
    split_b = 134217729.0 * b
    high_b = split_b - (split_b - b)
    low_b = b - high_b
    return low_a * low_b - (((a * b - high_a * high_b) - low_a * high_b) - high_a * low_b)


@compiled
def forward_gain(spot_now: float, strike_now: float, x: float, carried: bool) -> float:
    """spot_now - strike_now, to full precision also where the two nearly agree.

    spot_now = spot*exp(-q*T), strike_now = strike*exp(-r*T), x = ln(F/K). Without carry (`carried` False: rate and yield
    are 0) the difference itself is the best that there is.
    """
    if not carried:
        return spot_now - strike_now
    return -spot_now * math.expm1(-x) if x > 0.0 else strike_now * math.expm1(x)


@compiled
def _in_domain(spot: float, strike: float, years: float, rate: float, volatility: float, dividend_yield: float) -> bool:
    positive = 0.0 < spot < np.inf and 0.0 < strike < np.inf
    not_negative = 0.0 <= years < np.inf and 0.0 <= volatility < np.inf
    return positive and not_negative and math.isfinite(rate) and math.isfinite(dividend_yield)


@compiled
def time_value_share(a: float, t: float) -> float:
    """value/U of the out-of-the-money option, in [0, 1]; 0 where it underflows."""
    d = a - t
    if d > 39.0:
        return 0.0
    if t > a and t > 0.5:
        return 1.0 - math.exp(-0.5 * d * d) / SQRT_TWO_PI * (mills(-d) + mills(a + t))
    return math.exp(-0.5 * d * d) / SQRT_TWO_PI * mills_difference(a, t)


@compiled
def price(
    spot: float, strike: float, years: float, rate: float, volatility: float, is_call: bool, dividend_yield: float
) -> float:
    """Price per share; NaN outside the domain of `black_scholes` or where a discount factor overflows."""
    if not _in_domain(spot, strike, years, rate, volatility, dividend_yield):
        return np.nan
    spot_now = spot * math.exp(-dividend_yield * years)
    strike_now = strike * math.exp(-rate * years)
    if not (spot_now < np.inf and strike_now < np.inf):
        return np.nan
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    gain = forward_gain(spot_now, strike_now, x, rate != 0.0 or dividend_yield != 0.0)
    intrinsic = max(0.0, gain if is_call else -gain)
    s = volatility * math.sqrt(years)
    if not s > 0.0:
        return intrinsic
    return intrinsic + min(spot_now, strike_now) * time_value_share(abs(x) / s, 0.5 * s)


@compiled
def signed_delta(
    spot: float, strike: float, years: float, rate: float, volatility: float, is_call: bool, dividend_yield: float
) -> float:
    """Delta, negative for puts; NaN outside the domain of `delta` or where it overflows."""
    if not _in_domain(spot, strike, years, rate, volatility, dividend_yield):
        return np.nan
    x = log_moneyness(spot, strike, years, rate, dividend_yield)
    s = volatility * math.sqrt(years)
    if s > 0.0:
        d1 = x / s + 0.5 * s
    else:
        d1 = 0.0 if x == 0.0 else math.copysign(np.inf, x)
    value = delta_at(d1, years, is_call, dividend_yield)
    return value if value - value == 0.0 else np.nan


@compiled
def delta_at(d1: float, years: float, is_call: bool, dividend_yield: float) -> float:
    """exp(-q*T)*Phi(d1) for a call, -exp(-q*T)*Phi(-d1) for a put."""
    factor = math.exp(-dividend_yield * years)
    return factor * normal_cdf(d1) if is_call else -factor * normal_cdf(-d1)


@compiled
def _price_block(
    spot: Array, strike: Array, years: Array, rate: Array, volatility: Array, is_call: Array, dividend_yield: Array, out: Array
) -> None:
    for i in range(out.size):
        out[i] = price(spot[i], strike[i], years[i], rate[i], volatility[i], is_call[i], dividend_yield[i])


@compiled
def _delta_block(
    spot: Array, strike: Array, years: Array, rate: Array, volatility: Array, is_call: Array, dividend_yield: Array, out: Array
) -> None:
    for i in range(out.size):
        out[i] = signed_delta(spot[i], strike[i], years[i], rate[i], volatility[i], is_call[i], dividend_yield[i])


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

    call = S*exp(-q*T)*Phi(d1) - K*exp(-r*T)*Phi(d2) and put = K*exp(-r*T)*Phi(-d2) - S*exp(-q*T)*Phi(-d1), where
    d1 = (ln(S/K) + (r - q + v^2/2)*T)/(v*sqrt(T)) and d2 = d1 - v*sqrt(T). At years = 0 or volatility = 0 the limit: the
    discounted gain of exercise, max(0, S*exp(-q*T) - K*exp(-r*T)) for a call.

    Args:
        spot, strike: dollars per share, above 0.
        years: time to expiration, at least 0.
        rate, dividend_yield: continuously compounded, per year; 0.04 is 4%.
        volatility: per square root of a year, at least 0; 0.5 is 50%.
        is_call: True for calls, False for puts (or 1 and 0).
        All are numbers or array-likes of any shapes that broadcast.

    Returns:
        Dollars per share: a float64 array of the broadcast shape, a NumPy float64 scalar where all inputs are scalars. NaN
        where an input is not finite or out of its range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.
    """
    inputs = {"spot": spot, "strike": strike, "years": years, "rate": rate, "volatility": volatility}
    return run_blocks(_price_block, inputs | {"is_call": is_call, "dividend_yield": dividend_yield}, ("float64",))[0]


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

    exp(-q*T)*Phi(d1) for calls, -exp(-q*T)*Phi(-d1) for puts. At years = 0 or volatility = 0 the limit: a step at the strike
    (forward = strike), where it is half of exp(-q*T).

    Args:
        spot, strike, years, rate, volatility, is_call, dividend_yield: as for `black_scholes`.

    Returns:
        Shares per share: a float64 array of the broadcast shape, a NumPy float64 scalar where all inputs are scalars. NaN
        where an input is not finite or out of its range.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.
    """
    inputs = {"spot": spot, "strike": strike, "years": years, "rate": rate, "volatility": volatility}
    return run_blocks(_delta_block, inputs | {"is_call": is_call, "dividend_yield": dividend_yield}, ("float64",))[0]


def run_blocks(kernel: Callable[..., None], inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> tuple[Any, ...]:
    """Broadcast `inputs`, run `kernel(*inputs, *outputs)` over contiguous 1-D blocks of them, and return the outputs.

    Every input becomes float64, the one named `is_call` bool; `outputs` are dtypes. The outputs have the broadcast shape,
    or are NumPy scalars where that is ().

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.
    """
    arrays = {name: _as_array(name, value) for name, value in inputs.items()}
    shape = _broadcast_shape(arrays)
    results = tuple(np.empty(shape, dtype) for dtype in outputs)
    reading, writing = ["readonly", "contig", "aligned"], ["writeonly", "contig", "aligned"]
    settings: dict[str, Any] = {  # NumPy's type stubs do not know "contig"
        "flags": ["external_loop", "buffered", "zerosize_ok"],
        "op_flags": [reading] * len(arrays) + [writing] * len(results),
        "op_dtypes": ["bool" if name == "is_call" else "float64" for name in arrays] + list(outputs),
    }
    with np.nditer((*arrays.values(), *results), order="C", casting="same_kind", buffersize=BLOCK, **settings) as blocks:
        for block in blocks:
            kernel(*block)
    return tuple(result[()] for result in results)


def _as_array(name: str, value: Any) -> Array:
    """`value` as an array of numbers, or of bool where `name` is is_call."""
    flags = name == "is_call"
    flags_expected = "True for calls and False for puts (or 1 and 0), or an array of these"
    expected = flags_expected if flags else "a number or an array of numbers"
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} cannot be made an array: {error}; expected {expected}") from error
    if array.dtype.kind in ("b" if flags else "iuf"):
        return array
    if flags and (array.size == 0 or (array.dtype.kind in "iu" and bool(np.isin(array, (0, 1)).all()))):
        return array.astype(bool)
    first = f", the first of them {array.flat[0]!r}" if array.size else ""
    raise InputError(f"{name} must be {expected}, found {array.size} value(s) of dtype {array.dtype}{first}")


def _broadcast_shape(arrays: Mapping[str, Array]) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    for name, array in arrays.items():
        try:
            shape = np.broadcast_shapes(shape, array.shape)
        except ValueError:
            shapes = ", ".join(f"{other} {found.shape}" for other, found in arrays.items())
            raise InputError(
                f"{name} has shape {array.shape}, which does not broadcast with {shape}, the shape of the arguments before it; "
                f"expected shapes that broadcast, found {shapes}"
            ) from None
    return shape
