"""Implied volatility and delta of European options, in vectorized loops without branches.

The method is that of Jaeckel, "Let's Be Rational" (Wilmott, January 2015), in the notation of
`wheelvec.pricing.black`: with x = |ln(F/K)|, s = volatility*sqrt(years), a = x/s, t = s/2, U the
smaller of spot*exp(-q*T) and strike*exp(-r*T), and R the Mills ratio, solve

    low:   ln(phi(a - t) * (R(a - t) - R(a + t))) = ln(value/U)          value <= U/2
    high:  ln(phi(a - t) * (R(t - a) + R(t + a))) = ln(1 - value/U)      value > U/2

for s, where value is that of the out-of-the-money option. On the logarithm Householder's method of
third order converges fast, and neither objective loses digits to subtraction. The steps, each a
function of one option:

    _reduce   price to value, by put-call parity; x, the target, and the status at the bounds
    _guess    s within 1% for ordinary options, within 15% up to s = 4
    _step     Householder's step, twice: an error e becomes less than 25*e^4
    _finish   s to volatility and delta; test of convergence

Options are processed in blocks of LANES, one step after the other. A step has no branches and no
calls, so that LLVM computes it for 8 options at once (AVX-512; 4 with AVX2). One loop over all four
steps takes 1.7 times as long, because its chain of dependent operations exceeds the processor's
reorder buffer. The last block is padded: every option passes the same instructions, and its result
depends on nothing else, to the bit. Options that have not converged after two steps, none of a
million ordinary quotes, are solved by `wheelvec.pricing.bracketed`.

The time value of an in-the-money option is its price less its intrinsic value; the digits that the
two share are lost, whatever the solver. A relative error e of the price is a relative error of
e*price/(vega*volatility) of the volatility.
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
# Status within this module: not converged, or within rounding of a bound.
HARD = 4
# Greatest last step relative to s; the remaining error is then below 25*LAST_STEP^4.
LAST_STEP = 1e-4
# Greatest carry in units of s. If ln(spot/strike) and the carry cancel, the error of x is
# eps*carry, and that of s is eps*carry/s.
MOST_CARRY = 8.0
# Relative distance to a bound below which the rounding of the functions may decide the status.
NEAR_BOUND = 1e-14
# Domain of the elementary functions: discount exponents and x; dollars and years.
LARGEST_EXPONENT = 300.0
SMALLEST, LARGEST = 1e-140, 1e140
SMALLEST_VALUE, SMALLEST_S = 1e-280, 1e-70

# Options in a block: the rows below then fill half of the L1 cache, and the loops have no
# remainder.
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
# Elements per compiled call of `solve_chain`: 1 to 2 ms, short enough for Ctrl-C, and long enough
# that starting a thread does not matter.
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

    Near the forward the intrinsic value is computed from x, because the difference of the
    discounted spot and strike has an error of eps*spot.

    Args:
        price: dollars per share, as spot and strike.
        spot: as for `implied_vol`, like all but the last.
        strike: as for `implied_vol`.
        years: as for `implied_vol`.
        rate: as for `implied_vol`.
        dividend_yield: as for `implied_vol`.
        sign: 1 for a call, -1 for a put.

    Returns:
        value: of the out-of-the-money option, dollars per share; mean: the geometric mean of
        discounted spot and strike; target: of the objective; high: 1 for the high objective, else
        0; spot_factor: exp(-q*T); status: SOLVED for prices within the bounds, UNDER_INTRINSIC,
        OVER_BOUND, BAD_INPUT or HARD.
    """
    discounted, yielded = rate * years, dividend_yield * years
    spot_factor = exp(-yielded)
    spot_pv, strike_pv = spot * spot_factor, strike * exp(-discounted)
    x = log_quotient(spot, strike) + (rate - dividend_yield) * years
    unit, larger = min(spot_pv, strike_pv), max(spot_pv, strike_pv)
    carried = (rate != 0.0) | (dividend_yield != 0.0)
    gain = -larger * expm1(-abs(x)) if carried else abs(spot - strike)
    in_money = sign * x > 0.0
    value = price - gain if in_money else price
    ceiling = spot_pv if sign > 0.0 else strike_pv
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
    near_lower = in_money & (abs(value) < NEAR_BOUND * larger)
    near_upper = abs(rest) < NEAR_BOUND * ceiling
    near_bound = carried & (near_lower | near_upper)
    status = SOLVED if (value > SMALLEST_VALUE) & (rest > SMALLEST_VALUE) else HARD
    status = OVER_BOUND if rest <= 0.0 else status
    status = UNDER_INTRINSIC if value <= 0.0 else status
    status = status if in_range & ~near_bound else HARD
    status = status if finite & positive else BAD_INPUT
    return x, value, sqrt(unit * larger), target, 1.0 if high else 0.0, spot_factor, float(status)


@njit_straight
def _guess_low(x: float, value: float, mean: float) -> float:
    """The first s for the low objective.

    For small s the model is Bachelier's: with m = x*mean dollars out of the money, a = m/deviation
    solves a*exp(a*a/2)/(1 - a*R(a)) = m/(sqrt(2*pi)*value), and the inverse is a rational function
    of y = ln(1 + that ratio), which tends to a for small a and to a*a/2 for large a. The next term
    of the expansion by t is (M1/2 - M3/6)*t*t with Mn the n-th positive moment of exp(-a*u -
    u*u/2); 1/(6 + 2*a*a) agrees with it for small and for large a.
    """
    scale = SQRT_TWO_PI * value
    out_of_money = x * mean + 1e-9 * value  # above 0, so that no quotient is 0/0 at x = 0
    y = log_quotient(scale + out_of_money, scale)
    top = 1.0 + y * (BACHELIER_TOP[0] + y * (BACHELIER_TOP[1] + y * BACHELIER_TOP[2]))
    bottom = 1.0 + y * (BACHELIER_BOTTOM[0] + y * (BACHELIER_BOTTOM[1] + y * BACHELIER_BOTTOM[2]))
    s = out_of_money * bottom / (mean * y * top)
    square = s * s
    return s + s * square * square / (24.0 * square + 8.0 * x * x)


@njit_straight
def _guess_high(x: float, target: float) -> float:
    """The first s for the high objective.

    1 - value/U is between Phi(-d) for large x and 2*Phi(-d) for small x, with d = t - a. Phi is
    inverted by Hastings' rational function (Abramowitz and Stegun 26.2.23); s follows from d = s/2
    - x/s.
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
    and -s/(R(t - a) + R(t + a)) for the high one, so that Newton's step -f/f'/s has no small
    divisor. Vega is proportional to exp(-(a*a + t*t)/2), whose logarithmic derivative times s is
    a*a - t*t; hence, with h Newton's step, f''/f'*s*h = (a*a - t*t)*h + f, and f'''/f'*s*s*h*h =
    ((a*a - t*t)*h + f)*((a*a - t*t)*h + 2*f) - (3*a*a + t*t)*h*h.
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
    """(volatility, absolute delta, status); volatility and delta are NaN unless SOLVED.

    The delta is exp(-q*T)*Phi(d1) for a call, exp(-q*T)*Phi(-d1) for a put.
    """
    d1 = x / s + 0.5 * s
    depth = abs(d1)
    # 1 - Phi(|d1|)
    beyond = exp(-0.5 * min(depth * depth, 1400.0)) * mills_from_least(depth) * (1.0 / SQRT_TWO_PI)
    delta = spot_factor * (1.0 - beyond if sign * d1 > 0.0 else beyond)
    converged = (abs(newton) < LAST_STEP) & (abs(carry) < MOST_CARRY * s) & (s > SMALLEST_S)
    status = HARD if (status == SOLVED) & ~converged else status
    solved = status == SOLVED
    return s / sqrt(years) if solved else np.nan, delta if solved else np.nan, status


@njit_straight
def _solve_lanes(lanes: Array) -> None:
    """Compute the rows S (the volatility), DELTA and STATUS of `lanes` (ROWS, LANES).

    A column is an option; its inputs are the rows from PRICE to SIGN. All rows are in one array, so
    that LLVM knows that they do not overlap.
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
    """Write volatility, absolute delta and status (int8) of each option; all arrays are (n,)."""
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
    """Write implied volatility and absolute delta of a chain into `out_iv` and `out_delta`.

    They are NaN where no implied volatility exists.

    Args:
        mid: dollars per share. This and the next six are contiguous arrays (n,) of float64
            (is_call: bool), and are not validated.
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

    def run(block: slice) -> None:
        _solve_block(
            *(_read_only(array[block]) for array in inputs), *(array[block] for array in outputs)
        )

    over_blocks(out_iv.size, run, CHAIN_BLOCK)


def _read_only(view: Array) -> Array:
    """The view, made read-only.

    To Numba read-only arrays have another type. `implied_vol` passes such arrays, so that one
    compilation serves both.
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
    """Black-Scholes-Merton volatility at which `black_scholes` gives `price`, unbounded.

    It exists if and only if all inputs are finite, spot, strike and years are above 0, and the
    price is strictly between the no-arbitrage bounds: max(0, S*exp(-q*T) - K*exp(-r*T)) and
    S*exp(-q*T) for a call, max(0, K*exp(-r*T) - S*exp(-q*T)) and K*exp(-r*T) for a put. The method
    is Jaeckel's ("Let's Be Rational", 2015). The relative error is a few units of rounding, times
    price/(vega*volatility) if that exceeds 1: deep in the money the digits that price and intrinsic
    value share are lost.

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
        Volatility per square root of a year (0.5 is 50%): a float64 array of the broadcast shape, a
        NumPy float64 scalar if all inputs are scalars; NaN where none exists. With `return_status`
        a pair of it and int8 codes of the same shape, the values of `IvStatus`: 0 SOLVED, 1
        UNDER_INTRINSIC (at or below the lower bound), 2 OVER_BOUND (at or above the upper bound), 3
        BAD_INPUT.

    Raises:
        InputError: naming the argument that is not numeric or does not broadcast.

    Example:
        The volatility of a price, and of a price of 0, for which none exists:

        >>> from wheelvec import black_scholes, implied_vol
        >>> option = {"years": 30 / 365, "rate": 0.04, "is_call": False}
        >>> put = black_scholes(100, 95, volatility=0.4, **option)
        >>> f"{implied_vol(put, 100, 95, **option):.12f}"
        '0.400000000000'
        >>> iv, status = implied_vol([put, 0.0], 100, 95, **option, return_status=True)
        >>> iv.round(3), status
        (array([0.4, nan]), array([0, 1], dtype=int8))
    """
    inputs = {"price": price, "spot": spot, "strike": strike, "years": years, "rate": rate}
    inputs |= {"is_call": is_call, "dividend_yield": dividend_yield}
    volatility, _, status = run_blocks(_solve_block, inputs, ("float64", "float64", "int8"))
    return (volatility, status) if return_status else volatility
