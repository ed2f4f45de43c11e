"""The invented underlyings of the demo market.

Their characters, their paths, and an arithmetic that is portable.

The same seed must give the same bits on every machine. IEEE 754 fixes the result of + - * / and
sqrt, of comparisons and of rounding to an integer, and an integer operation has one result anyway.
It does not fix exp, log or the error function: those differ in the last bit between C libraries and
between the vector units that numpy picks at run time, and so does any sum whose order is not
stated. So only the former are used, one numpy operation at a time (a compiler may fuse `a * b + c`
within one loop, never across two), and the rest is built from polynomials. An error of 1e-7 is far
below the tick to which prices are rounded. Numpy's own generators are not used because only their
raw bits, not their distributions, are promised to stay.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_LN2_HIGH, _LN2_LOW = (
    0.693147180369123816490,
    1.90821492927058770002e-10,
)  # the high part has trailing zeros
_SQRT_HALF = 0.7071067811865476


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How a price moves.

    Volatilities are per year, sizes are logarithms, `dip_*` and rates count sessions.
    """

    price: float  # dollars, at which the path starts
    volatility: float  # to which the moving one returns
    volatility_shock: float = 0.05  # standard deviation of a session's change of log volatility
    memory: float = (
        0.95  # share of log volatility's distance from its mean that is left a session later
    )
    leverage: float = 0.05  # rise of log volatility for a move of one standard deviation down
    trend: float = 0.0  # of the price's anchor, per year; up one year and down the next
    dip: float = 0.0  # depth of the anchor's fall, once each `dip_period`
    dip_period: int = 60
    dip_sessions: int = 12  # in which it falls; the rest of the period it recovers
    pull: float = 0.02  # share of the distance to the anchor that a session closes
    jump_rate: float = 0.01  # per session
    jump_size: float = 0.05  # standard deviation of a jump

    def prices(self, root: Words, last: Ints, columns: int) -> tuple[Floats, Floats]:
        """Dollars in whole cents, (sessions, columns) at equal steps from the open, and volatility
        (sessions,).

        `last` is each session's last column: after an early close the price stands still. A
        session's row depends on `root` and on the sessions before it only.
        """
        chance = scatter(root, np.arange(len(last)))
        weight = np.full(columns, np.sqrt(0.8 / (columns - 1)))
        weight[0] = np.sqrt(0.2)  # a fifth of the variance comes overnight
        noise = normal(scatter(chance[:, None], np.arange(columns))) * weight
        noise = np.where(np.arange(columns) > last[:, None], 0.0, noise)
        jump = self._jumps(chance)
        volatility = self._volatilities(chance, np.cumsum(noise, axis=1)[:, -1], jump)
        before = np.concatenate([volatility[:1], volatility[:-1]])
        # Half of the jumps come overnight, the others in the first three hours, which every session
        # has.
        landing = np.maximum(np.floor(uniform(scatter(chance, 101)) * 24.0) - 11.0, 0.0)
        jumps = np.where(np.arange(columns) == landing[:, None], jump[:, None], 0.0)
        logs = self._pulled(root, before[:, None] * (1.0 / np.sqrt(252.0)) * noise + jumps)
        return np.rint(exp(logs) * (self.price * 100.0)) / 100.0, volatility

    def _jumps(self, chance: Words) -> Floats:
        """Each session's jump, mostly 0."""
        happens = uniform(scatter(chance, 102)) < self.jump_rate
        return np.where(happens, normal(scatter(chance, 103)) * self.jump_size, 0.0)

    def _volatilities(self, chance: Words, move: Floats, jump: Floats) -> Floats:
        """Volatility per session.

        Its logarithm returns to its mean, and rises with falls and with jumps.
        """
        shock = (
            normal(scatter(chance, 104)) * self.volatility_shock
            - self.leverage * move
            + 2.0 * np.abs(jump)
        )
        distance, level = np.empty(len(shock)), 0.0
        for i, step in enumerate(shock.tolist()):
            level = self.memory * level + step
            distance[i] = level
        return self.volatility * exp(np.minimum(np.maximum(distance, -1.0), 1.1))

    def _pulled(self, root: Words, change: Floats) -> Floats:
        """Log prices over the first price, from changes.

        Overnight the price also moves towards its anchor.
        """
        session = np.arange(len(change))
        position = (session + int(scatter(root, -2)[0]) % self.dip_period) % self.dip_period
        falling = position / self.dip_sessions
        rising = (self.dip_period - position) / (self.dip_period - self.dip_sessions)
        year = 252 - np.abs(
            session % 504 - 252
        )  # the trend turns each year, so that no price leaves its bounds
        anchor = year * (self.trend / 252.0) - self.dip * np.minimum(falling, rising)
        within = np.cumsum(change, axis=1)  # numpy adds a running sum one by one, in order
        start, level = np.empty(len(change)), float(anchor[0])
        for i, (target, total) in enumerate(
            zip(anchor.tolist(), within[:, -1].tolist(), strict=True)
        ):
            start[i] = level + self.pull * (target - level)
            level = start[i] + total
        return np.asarray((start - anchor[0])[:, None] + within)


@dataclass(frozen=True, kw_only=True)
class Character:
    """How an underlying and the market in its options behave."""

    walk: Walk
    strike_step_cents: int = 250
    low_tick_cents: int = 1  # below $3
    high_tick_cents: int = 5
    spread: float = 0.02  # of the time value, at the money, on a usual day
    spread_floor: float = 0.005  # dollars
    activity: float = 0.5  # chance that an at-the-money contract trades at one moment of five
    outage: float = 0.0  # chance that the session after a monthly expiration has no quotes
    retreat: float = (
        0.0  # chance that market makers step back for a session and quote three times as wide
    )
    missing: float = 0.0  # chance that a session's bar of the underlying is missing

    def usual_volatility(self) -> float:
        """What the options expect of an average day, jumps included, and a little over it."""
        return float(self.implied(np.array([self.walk.volatility]))[0])

    def implied(self, volatility: Floats) -> Floats:
        """Implied volatility of a near option at the money, when the price moves with this
        volatility between jumps.
        """
        jumps = 252.0 * self.walk.jump_rate * self.walk.jump_size * self.walk.jump_size
        return 1.04 * np.sqrt(volatility * volatility + jumps)


CHARACTERS: dict[str, Character] = {
    # Calm, and its strikes stand far apart for so little movement: after an assignment often no
    # call fits.
    "ALFA": Character(
        walk=Walk(
            price=160.0,
            volatility=0.14,
            volatility_shock=0.04,
            jump_size=0.03,
            dip=0.11,
            dip_period=48,
            dip_sessions=34,
            pull=0.15,
        ),
        strike_step_cents=500,
        activity=0.04,
        outage=0.3,
    ),
    # Liquid and rising, with sharp setbacks: its options trade on most days, so stops and targets
    # are seen.
    "BRVO": Character(
        walk=Walk(
            price=105.0,
            volatility=0.32,
            trend=0.25,
            dip=0.15,
            dip_period=45,
            dip_sessions=20,
            pull=0.12,
        ),
        spread=0.03,
        activity=0.3,
        outage=0.4,
        retreat=0.1,
    ),
    # Sliding and jumpy; quotes on coarse ticks, few trades, market makers that step back, feeds
    # that fail.
    "CHRL": Character(
        walk=Walk(
            price=44.0,
            volatility=0.34,
            volatility_shock=0.09,
            trend=-0.5,
            pull=0.08,
            jump_rate=0.02,
            jump_size=0.07,
        ),
        strike_step_cents=100,
        low_tick_cents=5,
        high_tick_cents=10,
        spread=0.04,
        spread_floor=0.01,
        activity=0.06,
        outage=0.8,
        retreat=0.3,
        missing=0.08,
    ),
    # Cyclical: falls by a fifth within six weeks and recovers in four, so shares are put and called
    # away again.
    "DLTA": Character(
        walk=Walk(price=115.0, volatility=0.36, dip=0.2, dip_period=50, dip_sessions=30, pull=0.12),
        spread=0.04,
        spread_floor=0.015,
        activity=0.08,
        outage=0.5,
        retreat=0.25,
        missing=0.09,
    ),
}


def source(*words: object) -> Words:
    """One 64-bit word, shape (1,), that depends on the text of all `words`.

    The root of a stream of chance.
    """
    text = "/".join(str(word) for word in words).encode()
    return np.array(
        [int.from_bytes(blake2b(text, digest_size=8).digest(), "little")], dtype=np.uint64
    )


def scatter(state: Words, counter: Ints | int) -> Words:
    """A word for each pair of `state` and `counter` (broadcast).

    The SplitMix64 finaliser (Steele et al., 2014).

    A word depends on its own counters and nothing else, so one contract's chance is the same
    whether it is made alone or with thousands of others, in any order.
    """
    turn = np.atleast_1d(np.asarray(counter, dtype=np.int64)).astype(np.uint64) + np.uint64(1)
    word = state + turn * _GOLDEN
    word = (word ^ (word >> np.uint64(30))) * _MIX[0]
    word = (word ^ (word >> np.uint64(27))) * _MIX[1]
    return np.asarray(word ^ (word >> np.uint64(31)), dtype=np.uint64)


def uniform(word: Words) -> Floats:
    """A number strictly between 0 and 1 from the upper 52 bits of each word."""
    return ((word >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(word: Words) -> Floats:
    """A standard normal number from each word, by Acklam's rational inverse of the distribution
    (error 1.2e-9).
    """
    u = uniform(word)
    tail = np.sqrt(-2.0 * log(np.minimum(u, 1.0 - u)))
    outer = _horner(tail, _OUTER) / (_horner(tail, _OUTER_BELOW) * tail + 1.0)
    q = np.minimum(np.maximum(u, _TAIL), 1.0 - _TAIL) - 0.5
    inner = _horner(q * q, _INNER) * q / (_horner(q * q, _INNER_BELOW) * (q * q) + 1.0)
    outer = np.where(u < 0.5, outer, -outer)
    return np.where((u < _TAIL) | (u > 1.0 - _TAIL), outer, inner)


def exp(x: Floats) -> Floats:
    """e**x for |x| < 700; relative error 1e-13."""
    n = np.rint(x * 1.4426950408889634)
    rest = (x - n * _LN2_HIGH) - n * _LN2_LOW
    power = ((n.astype(np.int64) + 1023) << 52).view(np.float64)  # 2**n, written as its bits
    return _horner(rest, _EXP) * power


def log(x: Floats) -> Floats:
    """The natural logarithm of positive x; relative error 1e-13."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < _SQRT_HALF
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    n = (exponent - low).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return n * _LN2_HIGH + (n * _LN2_LOW + s * _horner(s * s, _ATANH))


def normal_cdf(x: Floats) -> Floats:
    """The standard normal distribution function; error 7.5e-8 (Abramowitz and Stegun, 26.2.17)."""
    size = np.minimum(np.abs(x), 30.0)
    t = 1.0 / (1.0 + 0.2316419 * size)
    upper = exp(-0.5 * (size * size)) * 0.3989422804014327 * (t * _horner(t, _HASTINGS))
    return np.where(x < 0.0, upper, 1.0 - upper)


def call_price(spot: Floats, discounted_strike: Floats, deviation: Floats) -> Floats:
    """Black and Scholes' call, dollars per share, without dividends.

    `deviation` = volatility * sqrt(years) > 0.
    """
    d1 = log(spot / discounted_strike) / deviation + 0.5 * deviation
    return spot * normal_cdf(d1) - discounted_strike * normal_cdf(d1 - deviation)


def _horner(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """The polynomial in x with these coefficients, highest power first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


# Taylor: 1/k!, and 2/(2k+1) of 2*atanh(s); both intervals are short enough for a plain series.
_EXP = tuple(
    1.0 / k
    for k in (
        6227020800,
        479001600,
        39916800,
        3628800,
        362880,
        40320,
        5040,
        720,
        120,
        24,
        6,
        2,
        1,
        1,
    )
)
_ATANH = tuple(2.0 / k for k in (15, 13, 11, 9, 7, 5, 3, 1))
_HASTINGS = (1.330274429, -1.821255978, 1.781477937, -0.356563782, 0.319381530)
_TAIL = 0.02425
_INNER = (
    -3.969683028665376e01,
    2.209460984245205e02,
    -2.759285104469687e02,
    1.383577518672690e02,
    -3.066479806614716e01,
    2.506628277459239e00,
)
_INNER_BELOW = (
    -5.447609879822406e01,
    1.615858368580409e02,
    -1.556989798598866e02,
    6.680131188771972e01,
    -1.328068155288572e01,
)
_OUTER = (
    -7.784894002430293e-03,
    -3.223964580411365e-01,
    -2.400758277161838e00,
    -2.549732539343734e00,
    4.374664141464968e00,
    2.938163982698783e00,
)
_OUTER_BELOW = (
    7.784695709041462e-03,
    3.224671290700398e-01,
    2.445134137142996e00,
    3.754408661907416e00,
)
