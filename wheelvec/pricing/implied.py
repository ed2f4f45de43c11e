"""Implied volatility and delta of European options.

One straight line of arithmetic, many options abreast.

The method is that of Jaeckel, "Let's Be Rational" (Wilmott, January 2015), in the notation of
`wheelvec.pricing.black`: with x = |ln(F/K)|, s = volatility*sqrt(years), a = x/s, t = s/2, U the
smaller discounted side and R the Mills ratio, solve

    low:   ln(phi(a - t) * (R(a - t) - R(a + t))) = ln(value/U)          up to half of U
    high:  ln(phi(a - t) * (R(t - a) + R(t + a))) = ln(1 - value/U)      over it

for s, where value is that of the out-of-the-money side. On the logarithm Householder's step of
third order is at home, and neither side loses digits to subtraction. The steps, each a function of
one option:

    _reduce   price to value, by put-call parity; x, the target, and what the bounds say
    _guess    s within 1% for ordinary options, within 15% up to s = 4
    _step     Householder's, twice: an error e becomes less than 25*e^4
    _finish   s to volatility and delta; is it settled?

Options go through them in blocks of LANES, one step at a time. A step is branch-free and calls
nothing, so LLVM computes it for 8 options at once (AVX-512; 4 with AVX2). All four in one loop is
one chain of operations longer than the processor looks ahead, and takes 1.7 times as long. The last
block is filled up: so every option goes through the same instructions, and its result depends on
nothing else, to the bit. What two steps leave unsettled goes to `wheelvec.pricing.bracketed`: none
of a million ordinary quotes.

What no solver can restore: the time value of an in-the-money option is its price less the forward's
    gain, and so loses
the digits that the two share. A relative error e of the price is one of e*price/(vega*volatility)
in the volatility.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from wheelvec.jit.compiled import njit, njit_straight
from wheelvec.jit.threads import over_blocks
from wheelvec.pricing.bracketed import BAD_INPUT, OVER_BOUND, SOLVED, UNDER_INTRINSIC, solve
from wheelvec.pricing.broadcast import Array, run_blocks
from wheelvec.pricing.coefficients import BACHELIER_BOTTOM, BACHELIER_TOP
from wheelvec.pricing.elementary import exp, expm1, log_quotient, sqrt
from wheelvec.pricing.mills import SQRT_TWO_PI, mills_from_least, mills_pair

LN_TWO = math.log(2.0)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
# Not settled, or at a bound to within rounding: a status of this module alone.
HARD = 4
# The last step's length relative to s; the error left is then under 25*LAST_STEP^4.
LAST_STEP = 1e-4
# In units of s. Where ln(spot/strike) and the carry cancel, x is good to eps*carry, and s to that
# over s.
MOST_CARRY = 8.0
# Distance to a bound, relative to what it is the difference of, under which libm's rounding may
# decide.
TOUCH = 1e-14
# What the elementary functions take: discount exponents and x up to 300, dollars and years of
# ordinary size.
LARGEST_EXPONENT = 300.0
SMALLEST, LARGEST = 1e-140, 1e140
SMALLEST_VALUE, SMALLEST_S = 1e-280, 1e-70

# Options abreast: the rows below then fill half of the first-level cache, and the compiler needs no
# remainder loop.
LANES = 128
(
    PRICE,
    SPOT,
    STRIKE,
    YEARS,
    RATE,
    YIELD,
    SIGN,
    X,
    VALUE,
    MEAN,
    TARGET,
    HIGH,
    SPOT_FACTOR,
    S,
    NEWTON,
    DELTA,
    STATUS,
) = range(17)
ROWS = 17
# Elements per compiled call of `solve_chain`: 1 to 2 ms, so that Ctrl-C is heard, and starting a
# thread does not show.
CHAIN_BLOCK = 1 << 16


@njit_straight
def _reduce(
    price: float,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    dividend_yield: float,
    sign: float,
) -> tuple[float, float, float, float, float, float, float]:
    """(ln(F/K), value, mean, target, high, spot_factor, status) of one option.

    Sign is 1 for a call, -1 for a put.

    value: of the out-of-the-money side, dollars; mean: geometric, of the two discounted sides;
        target: of the objective; high:
    1 or 0, which objective. Next to the forward the gain of an in-the-money option is taken from x,
    for the difference of the discounted sides is good to eps*spot only. Status: SOLVED (not yet),
    what the bounds say, or HARD.
    """
    discounted, yielded = rate * years, dividend_yield * years
    spot_factor = exp(-yielded)
    spot_now, strike_now = spot * spot_factor, strike * exp(-discounted)
    x = log_quotient(spot, strike) + (rate - dividend_yield) * years
    unit, larger = min(spot_now, strike_now), max(spot_now, strike_now)
    carried = (rate != 0.0) | (dividend_yield != 0.0)
    gain = -larger * expm1(-abs(x)) if carried else abs(spot - strike)
    in_money = sign * x > 0.0
    value = price - gain if in_money else price
    ceiling = spot_now if sign > 0.0 else strike_now
    rest = ceiling - price
    high = rest < value
    target = log_quotient(rest if high else value, unit)
    finite = (price - price) + (rate - rate) + (dividend_yield - dividend_yield) == 0.0
    positive = (
        (spot > 0.0)
        & (strike > 0.0)
        & (years > 0.0)
        & (spot < np.inf)
        & (strike < np.inf)
        & (years < np.inf)
    )
    least, most = min(min(spot, strike), years), max(max(spot, strike), years)
    exponent = max(max(abs(discounted), abs(yielded)), abs(x))
    in_range = (least > SMALLEST) & (most < LARGEST) & (exponent < LARGEST_EXPONENT)
    touches = carried & ((in_money & (abs(value) < TOUCH * larger)) | (abs(rest) < TOUCH * ceiling))
    status = SOLVED if (value > SMALLEST_VALUE) & (rest > SMALLEST_VALUE) else HARD
    status = OVER_BOUND if rest <= 0.0 else status
    status = UNDER_INTRINSIC if value <= 0.0 else status
    status = status if in_range & ~touches else HARD
    status = status if finite & positive else BAD_INPUT
    return x, value, sqrt(unit * larger), target, 1.0 if high else 0.0, spot_factor, float(status)


@njit_straight
def _guess_low(x: float, value: float, mean: float) -> float:
    """First s up to half of U.

    For small s the model is Bachelier's: with m = x*mean dollars out of the money, a = m/deviation
    solves a*exp(a*a/2)/(1 - a*R(a)) = m/(sqrt(2*pi)*value), and the inverse is a rational function
    of y = ln(1 + that ratio), which tends to a for small a and to a*a/2 for large a. The next term
    of the expansion by t is (M1/2 - M3/6)*t*t with Mn the n-th positive moment of exp(-a*u -
    u*u/2); 1/(6 + 2*a*a) agrees with it at both ends.
    """
    scale = SQRT_TWO_PI * value
    out_of_money = x * mean + 1e-9 * value  # so that the quotients have a limit at the forward
    y = log_quotient(scale + out_of_money, scale)
    top = 1.0 + y * (BACHELIER_TOP[0] + y * (BACHELIER_TOP[1] + y * BACHELIER_TOP[2]))
    bottom = 1.0 + y * (BACHELIER_BOTTOM[0] + y * (BACHELIER_BOTTOM[1] + y * BACHELIER_BOTTOM[2]))
    s = out_of_money * bottom / (mean * y * top)
    square = s * s
    return s + s * square * square / (24.0 * square + 8.0 * x * x)


@njit_straight
def _guess_high(x: float, target: float) -> float:
    """First s over half of U.

    1 - value/U lies between Phi(-d) and 2*Phi(-d), d = t - a: the former for large x, the latter
    for small. Invert Phi by Hastings' rational function (Abramowitz and Stegun 26.2.23), then s
    from d = s/2 - x/s.
    """
    w: float = sqrt(2.0 * (LN_TWO / (1.0 + x + x * x) - target))
    top = 2.515517 + w * (0.802853 + w * 0.010328)
    bottom = 1.0 + w * (1.432788 + w * (0.189269 + w * 0.001308))
    d = w - top / bottom
    s: float = d + sqrt(d * d + 2.0 * x)
    return s


@njit_straight
def _step(x: float, s: float, high: bool, target: float) -> tuple[float, float]:
    """(s after Householder's step of third order, Newton's step relative to s).

    With f the objective less its target, f'*s is 1/D for the low one, D = (R(a - t) - R(a + t))/s,
    and -s/(R(t - a) + R(t + a)) for the high one; so Newton's -f/f'/s divides by nothing small.
    Vega is proportional to exp(-(a*a + t*t)/2), whose logarithmic derivative times s is a*a - t*t;
    hence, h being Newton's step, f''/f'*s*h = (a*a - t*t)*h + f, and f'''/f'*s*s*h*h = ((a*a -
    t*t)*h + f)*((a*a - t*t)*h + 2*f) - (3*a*a + t*t)*h*h.
    """
    inverse = 1.0 / s
    a, t = x * inverse, 0.5 * s
    d = a - t
    near, far, slope = mills_pair(-d if high else d, a + t)
    width = near + far if high else s * slope
    excess = log_quotient(width, 1.0) - 0.5 * d * d - HALF_LOG_TWO_PI - target
    newton = excess * width * inverse if high else -excess * slope
    second = d * (a + t) * newton + excess
    third = second * (second + excess) - (3.0 * a * a + t * t) * newton * newton
    return s + s * newton * (1.0 + 0.5 * second) / (1.0 + second + third * (1.0 / 6.0)), newton


@njit_straight
def _finish(
    x: float,
    s: float,
    newton: float,
    years: float,
    carry: float,
    sign: float,
    spot_factor: float,
    status: float,
) -> tuple[float, float, float]:
    """(volatility, absolute delta, status), NaN unless SOLVED.

    Delta is exp(-q*T)*Phi(d1) for a call, with -d1 for a put.
    """
    d1 = x / s + 0.5 * s
    depth = abs(d1)
    tail = exp(-0.5 * min(depth * depth, 1400.0)) * mills_from_least(depth) * (1.0 / SQRT_TWO_PI)
    delta = spot_factor * (1.0 - tail if sign * d1 > 0.0 else tail)
    settled = (abs(newton) < LAST_STEP) & (abs(carry) < MOST_CARRY * s) & (s > SMALLEST_S)
    status = HARD if (status == SOLVED) & ~settled else status
    solved = status == SOLVED
    return s / sqrt(years) if solved else np.nan, delta if solved else np.nan, status


@njit_straight
def _solve_lanes(lanes: Array) -> None:
    """From the input rows of `lanes` (ROWS, LANES) to S (the volatility), DELTA and STATUS.

    One array for all rows, so that LLVM knows which do not overlap; the position in each is the
    option's.
    """
    price, spot, strike, years = lanes[PRICE], lanes[SPOT], lanes[STRIKE], lanes[YEARS]
    rate, dividend_yield, sign, spot_factor = (
        lanes[RATE],
        lanes[YIELD],
        lanes[SIGN],
        lanes[SPOT_FACTOR],
    )
    x, value, mean, target, high = lanes[X], lanes[VALUE], lanes[MEAN], lanes[TARGET], lanes[HIGH]
    s, newton, delta, status = lanes[S], lanes[NEWTON], lanes[DELTA], lanes[STATUS]
    for j in range(LANES):
        x[j], value[j], mean[j], target[j], high[j], spot_factor[j], status[j] = _reduce(
            price[j], spot[j], strike[j], years[j], rate[j], dividend_yield[j], sign[j]
        )
    for j in range(LANES):
        from_low, from_high = (
            _guess_low(abs(x[j]), value[j], mean[j]),
            _guess_high(abs(x[j]), target[j]),
        )
        s[j] = from_high if high[j] > 0.0 else from_low
    for _ in range(2):
        for j in range(LANES):
            s[j], newton[j] = _step(abs(x[j]), s[j], high[j] > 0.0, target[j])
    for j in range(LANES):
        carry = (rate[j] - dividend_yield[j]) * years[j]
        s[j], delta[j], status[j] = _finish(
            x[j], s[j], newton[j], years[j], carry, sign[j], spot_factor[j], status[j]
        )


@njit_straight
def _copy(source: Array, target: Array, count: int) -> None:
    for j in range(count):
        target[j] = source[j]


@njit
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
    """Volatility, absolute delta and status of each element.

    All arrays 1-D and of one length, status int8.
    """
    lanes = np.empty((ROWS, LANES))
    for start in range(0, out_iv.size, LANES):
        count = min(LANES, out_iv.size - start)
        if count < LANES:
            lanes[:] = 1.0
        _copy(price[start:], lanes[PRICE], count)
        _copy(spot[start:], lanes[SPOT], count)
        _copy(strike[start:], lanes[STRIKE], count)
        _copy(years[start:], lanes[YEARS], count)
        _copy(rate[start:], lanes[RATE], count)
        _copy(dividend_yield[start:], lanes[YIELD], count)
        for j in range(count):
            lanes[SIGN, j] = 1.0 if is_call[start + j] else -1.0
        _solve_lanes(lanes)
        _copy(lanes[S], out_iv[start:], count)
        _copy(lanes[DELTA], out_delta[start:], count)
        for j in range(count):
            out_status[start + j] = np.int8(lanes[STATUS, j])
        for i in range(start, start + count):
            if out_status[i] == HARD:
                out_iv[i], out_delta[i], out_status[i] = solve(
                    price[i], spot[i], strike[i], years[i], rate[i], is_call[i], dividend_yield[i]
                )


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
    """Implied volatility and absolute delta of a chain, written into `out_iv` and `out_delta`, NaN
    where there is none.

    Args:
        mid: dollars per share. This and the next six are contiguous 1-D arrays of one length n,
            float64 (is_call: bool), and are not checked.
        spot: as for `implied_vol`.
        strike: as for `implied_vol`.
        years: as for `implied_vol`.
        rate: as for `implied_vol`.
        is_call: as for `implied_vol`.
        dividend_yield: as for `implied_vol`.
        out_iv: float64 (n,), overwritten.
        out_delta: float64 (n,), overwritten.
    """
    inputs = (mid, spot, strike, years, rate, is_call, dividend_yield)
    outputs = (out_iv, out_delta, np.empty(out_iv.size, np.int8))

    def run(part: slice) -> None:
        _solve_block(
            *(_read_only(array[part]) for array in inputs), *(array[part] for array in outputs)
        )

    over_blocks(out_iv.size, run, CHAIN_BLOCK)


def _read_only(view: Array) -> Array:
    """The view, closed.

    Read-only is a type of its own to Numba, and `implied_vol` has none but these. One compilation
    less.
    """
    view.flags.writeable = False
    return view


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

    There is one if and only if all inputs are finite, spot, strike and years are above 0, and the
    price lies strictly between the no-arbitrage bounds: max(0, S*exp(-q*T) - K*exp(-r*T)) and
    S*exp(-q*T) for a call, max(0, K*exp(-r*T) - S*exp(-q*T)) and K*exp(-r*T) for a put. The method
    is Jaeckel's ("Let's Be Rational", 2015). The relative error is a few units of rounding, times
    price/(vega*volatility) where that exceeds 1: deep in the money the digits go that price and
    intrinsic value share.

    All arguments but the last are numbers or array-likes of any shapes that broadcast.

    Args:
        price: dollars per share.
        spot: dollars per share of the underlying, above 0.
        strike: dollars per share, above 0.
        years: time to expiration, above 0.
        rate: continuously compounded, per year; 0.04 is 4%.
        is_call: True for calls, False for puts (or 1 and 0).
        dividend_yield: continuously compounded, per year.
        return_status: also return why an element is NaN.

    Returns:
        Per square root of a year (0.5 is 50%): a float64 array of the broadcast shape, a NumPy
        float64 scalar where all inputs are scalars; NaN where none exists. With `return_status` a
        pair of it and int8 codes of the same shape, the values of `IvStatus`: 0 SOLVED, 1
        UNDER_INTRINSIC (on or under the lower bound), 2 OVER_BOUND (on or over the upper), 3
        BAD_INPUT.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        >>> from wheelvec import black_scholes, implied_vol
        >>> put = black_scholes(100, 95, years=30 / 365, rate=0.04, volatility=0.4, is_call=False)
        >>> f"{implied_vol(put, 100, 95, years=30 / 365, rate=0.04, is_call=False):.12f}"
        '0.400000000000'
        >>> volatility, status = implied_vol([put, 0.0], 100, 95, 30 / 365, 0.04, False, return_status=True)
        >>> volatility.round(3), status  # no volatility makes an option worth nothing
        (array([0.4, nan]), array([0, 1], dtype=int8))
    """
    inputs = {"price": price, "spot": spot, "strike": strike, "years": years, "rate": rate}
    inputs |= {"is_call": is_call, "dividend_yield": dividend_yield}
    volatility, _, status = run_blocks(_solve_block, inputs, ("float64", "float64", "int8"))
    return (volatility, status) if return_status else volatility
