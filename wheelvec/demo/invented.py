"""The underlyings of the demo market: profiles, price processes, and portable functions for them.

The same seed must give the same bits on every machine. IEEE 754 defines the results of + - * / and
sqrt, of comparisons and of rounding to an integer. It does not define exp, log or the error
function, whose last bit differs between C libraries and between the vector units that NumPy selects
at run time, nor sums in an unspecified order. Therefore only the former operations are used, one
NumPy operation at a time (a compiler may fuse `a * b + c` within one loop, never across two), and
the other functions are polynomials. Their error of 1e-7 is far below the tick to which prices are
rounded. NumPy's generators are not used, because it guarantees their raw bits only, not their
distributions.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_LN2_HIGH, _LN2_LOW = (
    0.693147180369123816490,
    1.90821492927058770002e-10,
)  # the high part has trailing zeros
_SQRT_HALF = 0.7071067811865476


@dataclass(frozen=True, kw_only=True)
class PriceProcess:
    """A price process with stochastic volatility, jumps and reversion to a moving mean.

    Volatilities are per year, sizes are changes of the log price, `dip_*` and rates are per
    session.
    """

    price: float  # dollars per share at the start
    volatility: float  # mean level of the stochastic volatility
    volatility_shock: float = 0.05  # standard deviation of a session's change of log volatility
    persistence: float = 0.95  # autocorrelation of log volatility from session to session
    leverage: float = 0.05  # rise of log volatility for a fall of one standard deviation
    trend: float = 0.0  # of the mean log price, per year; up in one year and down in the next
    dip: float = 0.0  # depth of the periodic fall of the mean log price
    dip_period: int = 60  # sessions
    dip_sessions: int = 12  # sessions of a period in which the mean falls; then it recovers
    reversion: float = 0.02  # fraction of the distance to the mean that a session removes
    jump_rate: float = 0.01  # probability of a jump in a session
    jump_size: float = 0.05  # standard deviation of a jump

    def prices(self, key: Hashes, last: Ints, columns: int) -> tuple[Floats, Floats]:
        """Prices in dollars (sessions, columns), and volatilities per year (sessions,).

        Prices are in whole cents, at equal steps from the open. A session's row depends only on
        `key` and on the sessions before it.

        Args:
            key: (1,) the key of the random numbers.
            last: (sessions,) the last column of each session; after an early close the price is
                constant.
            columns: the number of columns.
        """
        keys = splitmix(key, np.arange(len(last)))
        weight = np.full(columns, np.sqrt(0.8 / (columns - 1)))
        weight[0] = np.sqrt(0.2)  # a fifth of the variance is overnight
        noise = normal(splitmix(keys[:, None], np.arange(columns))) * weight
        noise = np.where(np.arange(columns) > last[:, None], 0.0, noise)
        jump = self._jumps(keys)
        volatility = self._volatilities(keys, np.cumsum(noise, axis=1)[:, -1], jump)
        before = np.concatenate([volatility[:1], volatility[:-1]])
        # Half of the jumps are overnight, the others in the first three hours, which every session
        # has.
        column = np.maximum(np.floor(uniform(splitmix(keys, 101)) * 24.0) - 11.0, 0.0)
        jumps = np.where(np.arange(columns) == column[:, None], jump[:, None], 0.0)
        logs = self._mean_reverting(key, before[:, None] * (1.0 / np.sqrt(252.0)) * noise + jumps)
        return np.rint(exp(logs) * (self.price * 100.0)) / 100.0, volatility

    def _jumps(self, keys: Hashes) -> Floats:
        """(sessions,) the jump of the log price in each session, mostly 0."""
        jumps = uniform(splitmix(keys, 102)) < self.jump_rate
        return np.where(jumps, normal(splitmix(keys, 103)) * self.jump_size, 0.0)

    def _volatilities(self, keys: Hashes, move: Floats, jump: Floats) -> Floats:
        """(sessions,) volatilities per year.

        Their logarithm reverts to its mean, and rises with falls of the price and with jumps.
        """
        shock = (
            normal(splitmix(keys, 104)) * self.volatility_shock
            - self.leverage * move
            + 2.0 * np.abs(jump)
        )
        distance, level = np.empty(len(shock)), 0.0
        for i, step in enumerate(shock.tolist()):
            level = self.persistence * level + step
            distance[i] = level
        return self.volatility * exp(np.minimum(np.maximum(distance, -1.0), 1.1))

    def _mean_reverting(self, key: Hashes, change: Floats) -> Floats:
        """(sessions, columns) log prices relative to the first price, from their changes.

        Overnight the log price also moves towards its mean.
        """
        session = np.arange(len(change))
        position = (session + int(splitmix(key, -2)[0]) % self.dip_period) % self.dip_period
        falling = position / self.dip_sessions
        rising = (self.dip_period - position) / (self.dip_period - self.dip_sessions)
        # the trend changes its sign each year, so that prices stay bounded
        year = 252 - np.abs(session % 504 - 252)
        mean = year * (self.trend / 252.0) - self.dip * np.minimum(falling, rising)
        within = np.cumsum(change, axis=1)  # NumPy's cumsum adds in order
        start, level = np.empty(len(change)), float(mean[0])
        for i, (target, total) in enumerate(
            zip(mean.tolist(), within[:, -1].tolist(), strict=True)
        ):
            start[i] = level + self.reversion * (target - level)
            level = start[i] + total
        return np.asarray((start - mean[0])[:, None] + within)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The parameters of an underlying and of the quotes and trades of its options."""

    process: PriceProcess
    strike_step_cents: int = 250
    low_tick_cents: int = 1  # below $3
    high_tick_cents: int = 5
    spread: float = 0.02  # fraction of the time value, at the money, on an ordinary day
    spread_floor: float = 0.005  # dollars per share
    activity: float = 0.5  # probability of a trade of an at-the-money contract at one of five times
    outage: float = 0.0  # probability that the session after a monthly expiration has no quotes
    wide_quotes: float = 0.0  # probability of a session with spreads three times as wide
    missing_bar: float = 0.0  # probability that a session has no bar of the underlying

    def usual_volatility(self) -> float:
        """The implied volatility at the mean volatility of the price process."""
        return float(self.implied(np.array([self.process.volatility]))[0])

    def implied(self, volatility: Floats) -> Floats:
        """Implied volatilities at the money for volatilities of the process between jumps.

        They include the variance of the jumps and a risk premium.
        """
        jumps = 252.0 * self.process.jump_rate * self.process.jump_size * self.process.jump_size
        return 1.04 * np.sqrt(volatility * volatility + jumps)


PROFILES: dict[str, Profile] = {
    # Low volatility and a wide strike step: after an assignment often no call qualifies.
    "ALFA": Profile(
        process=PriceProcess(
            price=160.0,
            volatility=0.14,
            volatility_shock=0.04,
            jump_size=0.03,
            dip=0.11,
            dip_period=48,
            dip_sessions=34,
            reversion=0.15,
        ),
        strike_step_cents=500,
        activity=0.04,
        outage=0.3,
    ),
    # Liquid and rising, with sharp falls: its options trade on most days, so that bars show stops
    # and targets.
    "BRVO": Profile(
        process=PriceProcess(
            price=105.0,
            volatility=0.32,
            trend=0.25,
            dip=0.15,
            dip_period=45,
            dip_sessions=20,
            reversion=0.12,
        ),
        spread=0.03,
        activity=0.3,
        outage=0.4,
        wide_quotes=0.1,
    ),
    # Falling, with many jumps, coarse ticks, few trades, days of wide spreads, and outages.
    "CHRL": Profile(
        process=PriceProcess(
            price=44.0,
            volatility=0.34,
            volatility_shock=0.09,
            trend=-0.5,
            reversion=0.08,
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
        wide_quotes=0.3,
        missing_bar=0.08,
    ),
    # Cyclical: falls by a fifth within six weeks and recovers in four, so that shares are assigned
    # and called away.
    "DLTA": Profile(
        process=PriceProcess(
            price=115.0, volatility=0.36, dip=0.2, dip_period=50, dip_sessions=30, reversion=0.12
        ),
        spread=0.04,
        spread_floor=0.015,
        activity=0.08,
        outage=0.5,
        wide_quotes=0.25,
        missing_bar=0.09,
    ),
}


def hash_of(*values: object) -> Hashes:
    """(1,) a 64-bit hash of the texts of all values: the key of a stream of random numbers."""
    text = "/".join(str(value) for value in values).encode()
    return np.array(
        [int.from_bytes(blake2b(text, digest_size=8).digest(), "little")], dtype=np.uint64
    )


def splitmix(state: Hashes, counter: Ints | int) -> Hashes:
    """SplitMix64 of each pair of state and counter, which are broadcast (Steele et al., 2014).

    A hash depends on its own state and counter only, so that the random numbers of a contract do
    not depend on the other contracts and their order.
    """
    turn = np.atleast_1d(np.asarray(counter, dtype=np.int64)).astype(np.uint64) + np.uint64(1)
    bits = state + turn * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX[1]
    return np.asarray(bits ^ (bits >> np.uint64(31)), dtype=np.uint64)


def uniform(hashes: Hashes) -> Floats:
    """Uniform numbers strictly between 0 and 1, from the upper 52 bits of each hash."""
    return ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(hashes: Hashes) -> Floats:
    """Standard normal numbers of the hashes, by Acklam's rational inverse (error 1.2e-9)."""
    u = uniform(hashes)
    r = np.sqrt(-2.0 * log(np.minimum(u, 1.0 - u)))
    outer = _horner(r, _OUTER) / (_horner(r, _OUTER_BELOW) * r + 1.0)
    q = np.minimum(np.maximum(u, _TAIL), 1.0 - _TAIL) - 0.5
    inner = _horner(q * q, _INNER) * q / (_horner(q * q, _INNER_BELOW) * (q * q) + 1.0)
    outer = np.where(u < 0.5, outer, -outer)
    return np.where((u < _TAIL) | (u > 1.0 - _TAIL), outer, inner)


def exp(x: Floats) -> Floats:
    """The exponential of x for |x| < 700; relative error 1e-13."""
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
    """Black-Scholes price of a call in dollars per share; `deviation` = volatility*sqrt(years)."""
    d1 = log(spot / discounted_strike) / deviation + 0.5 * deviation
    return spot * normal_cdf(d1) - discounted_strike * normal_cdf(d1 - deviation)


def _horner(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    """The polynomial in x with the given coefficients, highest power first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


# Coefficients of Taylor series: 1/k!, and 2/(2k+1) of 2*atanh(s).
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
