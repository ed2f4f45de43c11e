"""Scalar pricing (section 2) and the probabilistic fill's draw (section 5), with the standard
library only.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from functools import cache

EPOCH = dt.date(1970, 1, 1)
MASK32 = 0xFFFFFFFF


# ---------------------------------------------------------------------------------------------------------------------
# Black-Scholes-Merton (section 2)
# ---------------------------------------------------------------------------------------------------------------------
def normal_cdf(x: float) -> float:
    """Standard normal distribution function; accurate in both tails."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _d1_d2(forward: float, discounted_strike: float, deviation: float) -> tuple[float, float]:
    """d1 and d2 from S*exp(-qT), K*exp(-rT) and vol*sqrt(T)."""
    centre = math.log(forward / discounted_strike) / deviation
    return centre + 0.5 * deviation, centre - 0.5 * deviation


def _call_value(forward: float, discounted_strike: float, deviation: float) -> float:
    """European call from S*exp(-qT), K*exp(-rT) and vol*sqrt(T)."""
    if deviation == 0.0:
        return max(forward - discounted_strike, 0.0)
    d1, d2 = _d1_d2(forward, discounted_strike, deviation)
    return forward * normal_cdf(d1) - discounted_strike * normal_cdf(d2)


def black_scholes(
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    is_call: bool,
    dividend_yield: float = 0.0,
) -> float:
    """Black-Scholes-Merton price of a European option."""
    s = spot * math.exp(-dividend_yield * years)
    k = strike * math.exp(-rate * years)
    deviation = volatility * math.sqrt(years)
    # A put is a call with the roles of the discounted strike and the discounted spot exchanged.
    return _call_value(s, k, deviation) if is_call else _call_value(k, s, deviation)


def absolute_delta(
    spot: float,
    strike: float,
    years: float,
    rate: float,
    volatility: float,
    is_call: bool,
    dividend_yield: float = 0.0,
) -> float:
    """The absolute delta, with the factor exp(-q*T) (section 2)."""
    s = spot * math.exp(-dividend_yield * years)
    k = strike * math.exp(-rate * years)
    d1, _ = _d1_d2(s, k, volatility * math.sqrt(years))
    return math.exp(-dividend_yield * years) * normal_cdf(d1 if is_call else -d1)


def price_bounds(
    spot: float,
    strike: float,
    years: float,
    rate: float,
    is_call: bool,
    dividend_yield: float = 0.0,
) -> tuple[float, float]:
    """The no-arbitrage bounds of a European option: (intrinsic value of the forward, value at
    infinite volatility).
    """
    s = spot * math.exp(-dividend_yield * years)
    k = strike * math.exp(-rate * years)
    return (max(s - k, 0.0), s) if is_call else (max(k - s, 0.0), k)


@cache
def implied_vol(
    price: float,
    spot: float,
    strike: float,
    years: float,
    rate: float,
    is_call: bool,
    dividend_yield: float = 0.0,
) -> float | None:
    """The volatility at which the Black-Scholes-Merton price is `price`; no cap (section 2).

    None unless `price` lies strictly between the no-arbitrage bounds and years > 0.
    """
    if not years > 0.0:
        return None
    lower, upper = price_bounds(spot, strike, years, rate, is_call, dividend_yield)
    if not lower < price < upper:
        return None
    s = spot * math.exp(-dividend_yield * years)
    k = strike * math.exp(-rate * years)
    # Put-call parity: the time value is the price of the out-of-the-money option of the same
    # strike.  With low = min(s, k) and high = max(s, k) that option is worth the "call" of (low,
    # high), whichever type it is.
    target = price - lower
    low, high = min(s, k), max(s, k)
    if target <= 0.0 or target >= low:
        return None
    return _solve(target, low, high) / math.sqrt(years)


def _solve(target: float, low: float, high: float) -> float:
    """vol*sqrt(T) at which the out-of-the-money option of (low, high), low <= high, is worth
    `target` in (0, low).
    """
    if target <= 0.5 * low:
        # rising in the deviation; the logarithm makes it nearly linear in the far wing
        log_target = math.log(target)

        def gap(deviation: float) -> float:
            value = _call_value(low, high, deviation)
            return math.log(value) - log_target if value > 0.0 else -math.inf
    else:
        # near the upper bound the distance to it is the well-conditioned figure: low - price
        log_target = math.log(low - target)

        def gap(deviation: float) -> float:
            d1, d2 = _d1_d2(low, high, deviation)
            rest = low * normal_cdf(-d1) + high * normal_cdf(d2)
            return log_target - math.log(rest) if rest > 0.0 else math.inf

    below, above = 0.0, 0.25
    while gap(above) < 0.0:
        below, above = above, 2.0 * above
    if below == 0.0:
        below = above
        while gap(below) > 0.0:
            above, below = below, 0.5 * below
            if below < 1e-300:
                return below
    return _brent(gap, below, above)


def _brent(function, a: float, b: float) -> float:
    """Brent's root of an increasing function with function(a) <= 0 <= function(b), to the last
    bits.
    """
    fa, fb = function(a), function(b)
    if fa == 0.0:
        return a
    if fb == 0.0:
        return b
    if math.isinf(fa) or math.isinf(fb):  # interpolation needs finite ends: bisect until they are
        while math.isinf(fa) or math.isinf(fb):
            middle = 0.5 * (a + b)
            if middle in (a, b):
                return middle
            fm = function(middle)
            if fm < 0.0:
                a, fa = middle, fm
            else:
                b, fb = middle, fm
    c, fc = a, fa
    step = previous = b - a
    for _ in range(300):
        if (fb > 0.0) == (fc > 0.0):
            c, fc = a, fa
            step = previous = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        tolerance = 2.0e-16 * abs(b)
        half = 0.5 * (c - b)
        if abs(half) <= tolerance or fb == 0.0:
            return b
        if abs(previous) >= tolerance and abs(fa) > abs(fb):
            s = fb / fa
            if a == c:
                p, q = 2.0 * half * s, 1.0 - s
            else:
                q, r = fa / fc, fb / fc
                p = s * (2.0 * half * q * (q - r) - (b - a) * (r - 1.0))
                q = (q - 1.0) * (r - 1.0) * (s - 1.0)
            if p > 0.0:
                q = -q
            p = abs(p)
            if 2.0 * p < min(3.0 * half * q - abs(tolerance * q), abs(previous * q)):
                previous, step = step, p / q
            else:
                step = previous = half
        else:
            step = previous = half
        a, fa = b, fb
        b += step if abs(step) > tolerance else math.copysign(tolerance, half)
        fb = function(b)
    return b


# ---------------------------------------------------------------------------------------------------------------------
# The draw (section 5)
# ---------------------------------------------------------------------------------------------------------------------
def philox4x32(
    counter: tuple[int, int, int, int], key: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Philox4x32-10: ten rounds, the key raised by the Weyl constants before every round but the
    first.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for round_number in range(10):
        if round_number:
            k0 = (k0 + 0x9E3779B9) & MASK32
            k1 = (k1 + 0xBB67AE85) & MASK32
        product0 = 0xD2511F53 * c0
        product1 = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 & MASK32,
            (product0 >> 32) ^ c3 ^ k1,
            product0 & MASK32,
        )
    return c0, c1, c2, c3


def parse_symbol(symbol: str) -> tuple[str, dt.date, str, int]:
    """(root, expiration, option type, strike in thousandths) of a 21-character OSI symbol;
    ValueError if it is none.
    """
    if len(symbol) != 21 or not symbol.isascii():
        raise ValueError(f"not an OSI symbol: {symbol!r}")
    root, day, kind, strike = symbol[:6].rstrip(" "), symbol[6:12], symbol[12], symbol[13:]
    if (
        not root
        or not root.isalnum()
        or kind not in "CP"
        or not day.isdigit()
        or not strike.isdigit()
    ):
        raise ValueError(f"not an OSI symbol: {symbol!r}")
    return root, dt.date(2000 + int(day[:2]), int(day[2:4]), int(day[4:])), kind, int(strike)


def _days(day: dt.date) -> int:
    return (day - EPOCH).days & MASK32


def fill_draw(seed: int, put_symbol: str, entry_session: dt.date, phase: int, touch: int) -> float:
    """The uniform of one touch of the profit target (section 5, "The draw")."""
    root, expiration, kind, strike_thousandths = parse_symbol(put_symbol)
    h = int.from_bytes(hashlib.blake2b(root.encode("ascii"), digest_size=8).digest(), "little")
    w = philox4x32(
        (_days(expiration), strike_thousandths, 1 if kind == "C" else 0, _days(entry_session)),
        (h & MASK32, h >> 32),
    )
    x = philox4x32((touch, phase, w[0], w[1]), (seed & MASK32, seed >> 32))
    return ((x[0] >> 5) * 2**26 + (x[1] >> 6)) / 2**53
