"""The volatility index of underlyings, and its rank and percentile over a look-back."""

import datetime as dt
import math
from collections.abc import Iterator
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl

from wheelvec.lake.lake import month_end
from wheelvec.market.market import Market
from wheelvec.model.config import Config, Curve
from wheelvec.run.signals.closes import Symbols, checked, chosen, framed, padded, whole, windows
from wheelvec.stages.arrays import Array
from wheelvec.stages.chain import collapse, rates
from wheelvec.stages.volatility import Horizon, index
from wheelvec.tables.sessions import Sessions

LEAST_SHARE = 0.9  # of the sessions of a look-back that must have a volatility
MONTHS_AT_ONCE = 4  # of quotes in memory
_MOST_KEPT = 16  # indices of a market in memory, or one for each of its underlyings


def iv_index(
    market: Market, days: int = 30, symbols: Symbols = None, config: Config | None = None
) -> pl.DataFrame:
    """The at-the-money implied volatility of a fixed number of days, by session and underlying.

    Of the quotes that stand in the entry minute: of each expiration the mean of the implied
    volatilities (rules.md, section 2) of the put and of the call whose strikes are nearest the
    forward, spot*exp((rate - dividend yield)*T); of two as near the lower. From the last expiration
    on or before `days` and the first on or after them, it is interpolated in total variance,
    iv^2*T, linear in T. As in the method of Cboe's VIX (white paper, 2019) two expirations enclose
    the maturity; unlike there, one strike of each is used, so that it exists for stocks with few.

    Null where there is no expiration on one of the sides (up to 2*`days` + 5 days away), or none
    with both options within 10% of the forward: it is never extrapolated.

    Args:
        market: the tables.
        days: calendar days of the maturity.
        symbols: the underlyings; None: all that have quotes.
        config: for its entry time, calendar, rate and dividend yield; None: the defaults.

    Returns:
        session, underlying, iv_index (fraction per square root of a year: 0.2 is 20%), by
        underlying and session, from the first session with a quote on.

    Raises:
        InputError: for an unknown underlying, or `days` that is no whole number from 1 on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> wv.signals.iv_index(market)["iv_index"].round(3).to_list()[:3]
        [0.166, 0.17, 0.158]
    """
    horizon = Horizon.of(whole("days", days, 1))
    names = chosen(symbols, checked(market).symbols)
    rules = Config() if config is None else config
    frames = [pl.DataFrame(schema={"session": pl.Date, "underlying": pl.String, "iv_index": float})]
    if names and market.data_range:
        frames += [_KEPT.index_of(market, symbol, horizon, rules) for symbol in names]
    return pl.concat(frames)


def iv_rank(
    market: Market,
    sessions: int = 252,
    days: int = 30,
    symbols: Symbols = None,
    config: Config | None = None,
) -> pl.DataFrame:
    """Where the volatility index stands between its least and its greatest of a look-back.

    (iv - least)/(greatest - least) over the last `sessions` sessions, the session's own included: 0
    at the least, 1 at the greatest. (The "IV rank" of brokers' platforms, there in percent, over a
    year.)

    Null where the index is, where the look-back begins before the underlying's quotes or has an
    index on fewer than 90% of its sessions, and where all of them are equal.

    Args:
        market: the tables.
        sessions: the length of the look-back, the session included.
        days: as for `iv_index`, like the next two.
        symbols: as for `iv_index`.
        config: as for `iv_index`.

    Returns:
        session, underlying, iv_index, iv_rank (0 to 1), by underlying and session.

    Raises:
        InputError: as `iv_index`, or for `sessions` that is no whole number from 2 on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-03-28")
        >>> rank = wv.signals.iv_rank(market, sessions=20)
        >>> rank["iv_rank"].null_count(), rank["iv_rank"].max()
        (20, 1.0)
    """
    return _over_look_back(iv_index(market, days, symbols, config), "iv_rank", sessions)


def iv_percentile(
    market: Market,
    sessions: int = 252,
    days: int = 30,
    symbols: Symbols = None,
    config: Config | None = None,
) -> pl.DataFrame:
    """The share of the other sessions of a look-back on which the volatility index was lower.

    Over the last `sessions` sessions, the session's own included: 0 if it is the least of them, 1
    if it is above all others. Unlike `iv_rank` it does not hang on one extreme day.

    Null where the index is, and where the look-back begins before the underlying's quotes or has an
    index on fewer than 90% of its sessions.

    Args:
        market: the tables.
        sessions: the length of the look-back, the session included.
        days: as for `iv_index`, like the next two.
        symbols: as for `iv_index`.
        config: as for `iv_index`.

    Returns:
        session, underlying, iv_index, iv_percentile (0 to 1), by underlying and session.

    Raises:
        InputError: as `iv_index`, or for `sessions` that is no whole number from 2 on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-03-28")
        >>> found = wv.signals.iv_percentile(market, sessions=20)["iv_percentile"].drop_nulls()
        >>> bool(found.is_between(0, 1).all())
        True
    """
    return _over_look_back(iv_index(market, days, symbols, config), "iv_percentile", sessions)


def _over_look_back(frame: pl.DataFrame, name: str, sessions: int) -> pl.DataFrame:
    """The frame of an index with its rank or percentile over a look-back."""
    count = whole("sessions", sessions, 2)
    of = {"iv_rank": _rank, "iv_percentile": _percentile}[name]
    found = [np.zeros(0)]
    for part in frame.partition_by("underlying", maintain_order=True):
        iv = part["iv_index"].to_numpy()
        few = iv.size < count
        found.append(np.full(iv.size, np.nan) if few else padded(of(windows(iv, count)), count))
    return frame.with_columns(pl.Series(name, np.concatenate(found)).fill_nan(None))


def _rank(seen: Array) -> Array:
    """(n,) the rank of the last value of each window, (n, count)."""
    known, last = ~np.isnan(seen), seen[:, -1]
    least = np.where(known, seen, np.inf).min(axis=1)
    greatest = np.where(known, seen, -np.inf).max(axis=1)
    usable = _is_known(known) & (greatest > least)
    return np.where(usable, (last - least) / np.where(usable, greatest - least, 1.0), np.nan)


def _percentile(seen: Array) -> Array:
    """(n,) the share of the other values of each window, (n, count), that are below its last."""
    known = ~np.isnan(seen)
    others = known.sum(axis=1) - 1
    below = (seen < seen[:, -1:]).sum(axis=1)
    return np.where(_is_known(known) & (others > 0), below / np.maximum(others, 1), np.nan)


def _is_known(known: Array) -> Array:
    """(n,) whether enough of a window, (n, count) booleans, is known, its last value included."""
    enough = math.ceil(LEAST_SHARE * known.shape[1])
    return np.asarray(known[:, -1] & (known.sum(axis=1) >= enough))


class _KeptIndices:
    """The newest volatility indices of each market, which ranks and percentiles share."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Market, dict[Any, pl.DataFrame]] = WeakKeyDictionary()
        self._lock = Lock()

    def index_of(
        self, market: Market, symbol: str, horizon: Horizon, config: Config
    ) -> pl.DataFrame:
        """session, underlying and iv_index of one underlying."""
        schedule, pricing = config.schedule, config.pricing
        key = symbol, horizon, schedule.trading_calendar, schedule.entry_time, pricing
        with self._lock:
            found = self._kept.setdefault(market, {}).get(key)
        if found is None:
            found = _index_of(market, symbol, horizon, config)
            with self._lock:
                kept = self._kept[market]
                kept[key] = found
                while len(kept) > max(_MOST_KEPT, len(market.symbols)):
                    del kept[next(iter(kept))]
        return found


_KEPT = _KeptIndices()


def _index_of(market: Market, symbol: str, horizon: Horizon, config: Config) -> pl.DataFrame:
    """session, underlying and iv_index of one underlying; some months of quotes in memory."""
    first, last = market.data_range or (dt.date.min, dt.date.min)
    schedule, pricing = config.schedule, config.pricing
    loaded = Sessions.known(schedule.trading_calendar, first, last)
    minutes = loaded.entry_minutes(schedule.entry_time)
    sessions = loaded.frame.select("session", pl.col("number").cast(pl.Int64), minute=minutes)
    rate, paid = (_curve(curve, sessions) for curve in (pricing.rate, pricing.dividend_yield))
    values, begin = np.full(sessions.height, np.nan), sessions.height
    for span in _spans(first, last):
        quotes = market.quotes(symbol, *span)
        if sessions.is_empty() or quotes.is_empty():
            continue
        standing, _, _ = collapse(quotes, sessions, horizon.most)
        found = index(standing, sessions, rate, paid, horizon)
        values = np.where(np.isnan(found), values, found)
        quoted = np.searchsorted(loaded.dates, np.datetime64(quotes["session"][0]))
        begin = min(begin, int(quoted))
    return framed(sessions["session"].slice(begin), symbol, {"iv_index": values[begin:]})


def _spans(first: dt.date, last: dt.date) -> Iterator[tuple[dt.date, dt.date]]:
    """The first and last day of runs of whole months."""
    begin = first
    while begin <= last:
        end = month_end(begin)
        for _ in range(MONTHS_AT_ONCE - 1):
            end = month_end(end + dt.timedelta(days=1))
        yield begin, min(end, last)
        begin = end + dt.timedelta(days=1)


def _curve(curve: Curve, sessions: pl.DataFrame) -> Array:
    """(sessions,) the rate of each session, NaN before the first value of a curve."""
    if sessions.is_empty():
        return np.zeros(0)
    start = sessions["session"][0] if isinstance(curve, float) else curve[0][0]
    return rates(curve, sessions, start, "rate")
