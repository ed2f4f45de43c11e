"""The loops that wheelvec is measured against, written plainly: a compiled scalar loop with the C
library's functions, a compiled loop over days, and pandas row by row.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numba import njit
from vollib.black_scholes.greeks.analytical import delta as vollib_delta
from vollib.black_scholes.implied_volatility import implied_volatility as vollib_iv

from benchmarks.inputs import Array, Paths, Quotes

STOP_MULTIPLIER, EXIT_PCT = 2.0, 0.5
RAN_TO_THE_END, STOPPED, TARGET = 0, 1, 2

# ---- implied volatility


@njit(cache=True, error_model="numpy")
def _normalised_price(x: float, s: float) -> float:
    """Black's price of an out-of-the-money option over sqrt(forward*strike), for x = -|ln(F/K)| and
    total volatility s.
    """
    a, t = x / s, 0.5 * s
    root = math.sqrt(0.5)
    return 0.5 * (
        math.exp(0.5 * x) * math.erfc(-root * (a + t))
        - math.exp(-0.5 * x) * math.erfc(-root * (a - t))
    )


@njit(cache=True, error_model="numpy")
def _elasticity(x: float, s: float, price: float) -> float:
    """The derivative of ln(price) by ln(s)."""
    a, t = x / s, 0.5 * s
    return s * math.exp(-0.5 * (a * a + t * t)) / (math.sqrt(2.0 * math.pi) * price)


@njit(cache=True, error_model="numpy")
def _first_guess(x: float, price: float) -> float:
    """From the point of inflection: above it along the tangent, below it along ln(price) as linear
    in 1/s^2.
    """
    inflection = math.sqrt(-2.0 * x)
    if x == 0.0:
        return math.sqrt(2.0 * math.pi) * price
    there = _normalised_price(x, inflection)
    elasticity = _elasticity(x, inflection, there)
    if price >= there:
        return inflection * (1.0 + (price / there - 1.0) / elasticity)
    return inflection / math.sqrt(1.0 + 2.0 * math.log(there / price) / elasticity)


@njit(cache=True, error_model="numpy")
def _total_volatility(x: float, price: float) -> float:
    """Householder's third-order steps on the logarithm of the price, kept inside a bracket."""
    s, low, high = _first_guess(x, price), 0.0, 20.0
    for _ in range(100):
        a, t = x / s, 0.5 * s
        found = _normalised_price(x, s)
        if found > price:
            high = s
        else:
            low = s
        slope = _elasticity(x, s, found)
        newton = math.log(price / found) / slope
        bend = a * a - t * t
        second = bend - slope
        third = second * (bend - 2.0 * slope) - 3.0 * a * a - t * t
        step = (
            newton
            * (1.0 + 0.5 * second * newton)
            / (1.0 + newton * (second + third * newton / 6.0))
        )
        following = s + s * step
        if abs(newton) < 1e-5:
            return following
        s = following if low < following < high else 0.5 * (low + high)
    return s


@njit(cache=True, error_model="numpy")
def _solve_scalar(
    price: float, spot: float, strike: float, years: float, rate: float, is_call: bool
) -> Any:
    discounted = strike * math.exp(-rate * years)
    signed = math.log(spot / discounted)
    sign = 1.0 if is_call else -1.0
    value = price - max(
        sign * (spot - discounted), 0.0
    )  # put-call parity: the out-of-the-money side
    s = _total_volatility(-abs(signed), value / math.sqrt(spot * discounted))
    return s / math.sqrt(years), sign * 0.5 * math.erfc(
        -sign * (signed / s + 0.5 * s) * math.sqrt(0.5)
    )


@njit(cache=True, error_model="numpy")
def _solve_all(price, spot, strike, years, rate, is_call, out_iv, out_delta):  # type: ignore[no-untyped-def]
    for i in range(price.size):
        out_iv[i], out_delta[i] = _solve_scalar(
            price[i], spot[i], strike[i], years[i], rate[i], is_call[i]
        )


def numba_loop_iv(quotes: Quotes) -> tuple[Array, Array]:
    """Volatility and delta by a compiled scalar loop with exp, log and erfc of the C library."""
    iv, delta = np.empty(len(quotes)), np.empty(len(quotes))
    _solve_all(
        quotes.price,
        quotes.spot,
        quotes.strike,
        quotes.years,
        quotes.rate,
        quotes.is_call,
        iv,
        delta,
    )
    return iv, delta


def vollib_loop(quotes: Quotes) -> tuple[Array, None]:
    """vollib, formerly py_vollib, one option after the other."""
    columns = (
        quotes.price,
        quotes.spot,
        quotes.strike,
        quotes.years,
        quotes.rate,
        np.where(quotes.is_call, "c", "p"),
    )
    return np.array(
        [vollib_iv(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    ), None


def as_frame(quotes: Quotes) -> pd.DataFrame:
    """The quotes as a researcher holds them."""
    columns = {
        name: values
        for name, values in vars(quotes).items()
        if name not in ("is_call", "true_volatility")
    }
    return pd.DataFrame({**columns, "flag": np.where(quotes.is_call, "c", "p")})


def pandas_apply_iv(frame: pd.DataFrame) -> tuple[Array, Array]:
    """Volatility and delta by `DataFrame.apply` with vollib, the way notebooks do it."""
    iv = frame.apply(
        lambda r: vollib_iv(r["price"], r["spot"], r["strike"], r["years"], r["rate"], r["flag"]),
        axis=1,
    )
    solved = frame.assign(iv=iv)
    delta = solved.apply(
        lambda r: vollib_delta(r["flag"], r["spot"], r["strike"], r["years"], r["rate"], r["iv"]),
        axis=1,
    )
    return iv.to_numpy(), delta.to_numpy()


# ---- paths


@njit(cache=True)
def _walk_all(sold_at, multiplier, exit_pct, opens, highs, lows, out_reason, out_day, out_price):  # type: ignore[no-untyped-def]
    days, wheels = opens.shape
    for i in range(wheels):
        stop, target = sold_at[i] * multiplier, sold_at[i] * exit_pct
        out_reason[i], out_day[i], out_price[i] = RAN_TO_THE_END, days - 1, 0.0
        for day in range(1, days):
            if highs[day, i] >= stop:
                out_reason[i], out_day[i], out_price[i] = STOPPED, day, max(opens[day, i], stop)
                break
            if lows[day, i] <= target:
                out_reason[i], out_day[i], out_price[i] = TARGET, day, min(opens[day, i], target)
                break


@njit(cache=True)
def _walk_rows(
    sold_at, multiplier, exit_pct, starts, opens, highs, lows, out_reason, out_day, out_price
):  # type: ignore[no-untyped-def]
    for i in range(sold_at.size):
        first, last = starts[i], starts[i + 1]
        stop, target = sold_at[i] * multiplier, sold_at[i] * exit_pct
        out_reason[i], out_day[i], out_price[i] = RAN_TO_THE_END, last - first - 1, 0.0
        for r in range(first + 1, last):
            if highs[r] >= stop:
                out_reason[i], out_day[i], out_price[i] = STOPPED, r - first, max(opens[r], stop)
                break
            if lows[r] <= target:
                out_reason[i], out_day[i], out_price[i] = TARGET, r - first, min(opens[r], target)
                break


Exits = tuple[Array, Array, Array]  # reason, day, price


def numba_loop_walk(given: Paths, rows: Any = None) -> Exits:
    """Exits by a compiled loop over days: over the matrix, or over `inputs.bars_of`'s, which lie
    contract by contract.
    """
    n = given.wheels
    out = np.empty(n, np.int8), np.empty(n, np.int64), np.empty(n)
    if rows is None:
        _walk_all(given.price, STOP_MULTIPLIER, EXIT_PCT, given.open, given.high, given.low, *out)
    else:
        starts = np.arange(n + 1, dtype=np.int64) * (given.bars + 1)
        _walk_rows(
            given.price, STOP_MULTIPLIER, EXIT_PCT, starts, rows.open, rows.high, rows.low, *out
        )
    return out


@njit(cache=True)
def _walk_grid(sold_at, multipliers, exit_pcts, starts, opens, highs, lows, out_reason, out_price):  # type: ignore[no-untyped-def]
    day = np.empty(sold_at.size, np.int64)
    for c in range(multipliers.size):
        _walk_rows(
            sold_at,
            multipliers[c],
            exit_pcts[c],
            starts,
            opens,
            highs,
            lows,
            out_reason[c],
            day,
            out_price[c],
        )


def numba_loop_sweep(
    price: Array, starts: Array, bars: Any, multipliers: Array, exit_pcts: Array
) -> tuple[Array, Array]:
    """Reason and price of each exit, (configurations, wheels), by the compiled loop once for each
    stop and target.

    `bars` has open, high and low, contract by contract from `starts` (wheels + 1,) on, the sale's
    own bar first.
    """
    shape = multipliers.size, price.size
    out = np.empty(shape, np.int8), np.empty(shape)
    _walk_grid(price, multipliers, exit_pcts, starts, bars.open, bars.high, bars.low, *out)
    return out


# ---- the last quote of each contract

MINUTE_COLUMNS = ["symbol", "ts", "bid", "ask", "underlying_price"]


def _valid_quotes(path: Path) -> pd.DataFrame:
    quotes = pd.read_parquet(path, columns=MINUTE_COLUMNS, partitioning=None)
    bid, ask = quotes["bid"], quotes["ask"]
    return quotes[(bid >= 0) & (bid <= ask) & (bid + ask > 0) & (quotes["underlying_price"] > 0)]


def pandas_last_quotes(path: Path) -> pd.DataFrame:
    """The last valid quote of each contract of one minute, read from Parquet, by `drop_duplicates`."""
    return _valid_quotes(path).drop_duplicates("symbol", keep="last")


def pandas_last_quotes_grouped(path: Path) -> pd.DataFrame:
    """The same by `groupby`; its `last` would fill a null from an earlier quote, so `tail`."""
    return _valid_quotes(path).groupby("symbol", sort=False).tail(1)
