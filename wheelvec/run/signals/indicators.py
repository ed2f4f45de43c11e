"""Figures by session and underlying, to choose the sessions on which wheels may open.

Each function takes a market and returns a frame: session, underlying and the figure. Filtered, it
is the `when=` of a backtest, or one of the `signals=` of a sweep.

No figure looks ahead. Volatilities are those of the quotes that stand at entry time on the session;
everything made of daily bars uses the bars up to the session before. A figure is null where its
history is too short or has holes, never a guess, and a filter leaves nulls out.

Closes are compared across the splits of the market; across one that is not in `splits` they are
not, so look at `market.diagnostics` for suspected ones first. A renamed underlying begins anew.

Example:
    >>> import polars as pl
    >>> import wheelvec as wv
    >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-04-30")
    >>> rank = wv.signals.iv_rank(market, sessions=21)
    >>> above = wv.signals.sma(market, sessions=10).filter(pl.col("close") > pl.col("sma"))
    >>> when = rank.filter(pl.col("iv_rank") > 0.5).join(above, on=["session", "underlying"])
    >>> result = wv.backtest(market, wv.Config(), when=when)
    >>> bool(result.wheels["entry_date"].is_in(when["session"].implode()).all())
    True
"""

import math

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.errors import InputError, cut
from wheelvec.run.signals.avoided import avoid
from wheelvec.run.signals.closes import Closes, Symbols, delayed, deviations, means, smoothed, whole
from wheelvec.run.signals.iv_index import iv_index, iv_percentile, iv_rank
from wheelvec.stages.arrays import Array

__all__ = [
    "avoid",
    "bollinger_percent_b",
    "iv_index",
    "iv_percentile",
    "iv_rank",
    "realized_vol",
    "rsi",
    "sma",
]

SESSIONS_A_YEAR = 252


def realized_vol(market: Market, sessions: int = 21, symbols: Symbols = None) -> pl.DataFrame:
    """The annualised standard deviation of daily log returns, by session and underlying.

    Of the last `sessions` returns from close to close, up to the session before: their sample
    standard deviation times the square root of 252 (Hull, "Options, Futures, and Other
    Derivatives", chapter on the Black-Scholes-Merton model). Null where one of these closes is
    missing.

    Args:
        market: the tables.
        sessions: the number of returns.
        symbols: the underlyings; None: all that have bars.

    Returns:
        session, underlying, realized_vol (fraction per square root of a year), by underlying and
        session, from the first bar on.

    Raises:
        InputError: for an unknown underlying, or `sessions` that is no whole number from 2 on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> vol = wv.signals.realized_vol(market, sessions=10)["realized_vol"]
        >>> vol.null_count(), round(vol[11], 3)
        (11, 0.133)
    """
    count = whole("sessions", sessions, 2)
    closes = Closes.of(market, symbols)
    returns = _changes(np.log(closes.close))
    found = deviations(returns, count, freedom=1) * math.sqrt(SESSIONS_A_YEAR)
    return closes.frame({"realized_vol": delayed(found)})


def sma(market: Market, sessions: int = 200, symbols: Symbols = None) -> pl.DataFrame:
    """The simple moving average of closes, and the last close, by session and underlying.

    The mean of the last `sessions` closes, up to the session before, in the terms of the session's
    share where there was a split. Null where one of them is missing.

    Args:
        market: the tables.
        sessions: the number of closes.
        symbols: the underlyings; None: all that have bars.

    Returns:
        session, underlying, sma, close (of the session before, to compare; both in dollars per
        share), by underlying and session, from the first bar on.

    Raises:
        InputError: for an unknown underlying, or `sessions` that is no whole number from 1 on.

    Example:
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> found = wv.signals.sma(market, sessions=20)
        >>> found.filter(pl.col("close") > pl.col("sma")).height, found["sma"].null_count()
        (11, 20)
    """
    count = whole("sessions", sessions, 1)
    closes = Closes.of(market, symbols)
    mean, last = delayed(means(closes.close, count)), delayed(closes.close)
    return closes.frame({"sma": mean / closes.factor, "close": last / closes.factor})


def bollinger_percent_b(
    market: Market, sessions: int = 20, width: float = 2.0, symbols: Symbols = None
) -> pl.DataFrame:
    """Where the last close stands between its Bollinger bands, by session and underlying.

    The bands are the mean of the last `sessions` closes, up to the session before, less and plus
    `width` times their standard deviation (of all of them, not of a sample). %b = (close -
    lower)/(upper - lower): 0 at the lower band, 1 at the upper one, outside of 0 to 1 beyond them
    (Bollinger, "Bollinger on Bollinger Bands", 2001). Null where one of the closes is missing, and
    where all are equal.

    Args:
        market: the tables.
        sessions: the number of closes.
        width: of each band, in standard deviations, above 0.
        symbols: the underlyings; None: all that have bars.

    Returns:
        session, underlying, bollinger_percent_b, by underlying and session, from the first bar on.

    Raises:
        InputError: for an unknown underlying, `sessions` that is no whole number from 2 on, or
            `width` that is not above 0.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> found = wv.signals.bollinger_percent_b(market)["bollinger_percent_b"].drop_nulls()
        >>> bool((found < 1.5).all())
        True
    """
    count = whole("sessions", sessions, 2)
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < math.inf:
        raise InputError(f"width = {cut(width)}: expected a number above 0")
    closes = Closes.of(market, symbols)
    mean, half = means(closes.close, count), width * deviations(closes.close, count, freedom=0)
    # equal closes may leave a width of rounding
    flat = half <= 1e-12 * np.abs(mean)
    found = (closes.close - mean + half) / np.where(flat, np.nan, 2.0 * half)
    return closes.frame({"bollinger_percent_b": delayed(found)})


def rsi(market: Market, sessions: int = 14, symbols: Symbols = None) -> pl.DataFrame:
    """Wilder's relative strength index of closes, by session and underlying.

    100*up/(up + down), of the averages of daily gains and losses up to the session before. Each
    average is the mean of the first `sessions` changes, then (the last average*(`sessions` - 1) +
    the change)/`sessions` (Wilder, "New Concepts in Technical Trading Systems", 1978); so it hangs
    on where the data begin, less and less after a few times `sessions`. Null until there are so
    many changes, again after a missing close, and where there was no change at all.

    Args:
        market: the tables.
        sessions: the number of changes.
        symbols: the underlyings; None: all that have bars.

    Returns:
        session, underlying, rsi (0 to 100), by underlying and session, from the first bar on.

    Raises:
        InputError: for an unknown underlying, or `sessions` that is no whole number from 1 on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> found = wv.signals.rsi(market)["rsi"]
        >>> found.null_count(), bool(found.drop_nulls().is_between(0, 100).all())
        (15, True)
    """
    count = whole("sessions", sessions, 1)
    closes = Closes.of(market, symbols)
    change = _changes(closes.close)
    up = smoothed(np.maximum(change, 0.0), count)
    down = smoothed(np.maximum(-change, 0.0), count)
    both = np.where(up + down > 0.0, up + down, np.nan)
    return closes.frame({"rsi": delayed(100.0 * up / both)})


def _changes(values: Array) -> Array:
    """(n, ...) each value less the one before; NaN on the first."""
    return np.asarray(values - delayed(values))
