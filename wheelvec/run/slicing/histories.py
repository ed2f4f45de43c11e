"""The corporate events of the underlyings of a market, found once."""

import datetime as dt
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import polars as pl

from wheelvec.market.market import Market
from wheelvec.stages.arrays import days
from wheelvec.stages.events import History, history

_SUSPECTED: "WeakKeyDictionary[Market, dict[str, tuple[dt.date, ...]]]" = WeakKeyDictionary()


def history_of(market: Market, symbol: str, sessions: pl.DataFrame) -> History:
    """The corporate events of an underlying, and the names that it bears.

    Args:
        market: the tables.
        symbol: the underlying, by its name at first.
        sessions: session and number.
    """

    def suspicions(name: str) -> Iterable[dt.date]:
        return suspected(market, name)

    day = days(sessions, "session")
    return history(symbol, market.splits, market.dividends, day, suspicions)


def stated_history(market: Market, symbol: str, sessions: pl.DataFrame) -> History:
    """As `history_of`, without the suspected splits: no quote is read."""
    return history(symbol, market.splits, market.dividends, days(sessions, "session"), _none)


def _none(_: str) -> Iterable[dt.date]:
    return ()


def suspected(market: Market, name: str) -> tuple[dt.date, ...]:
    """The days of the suspected splits of an underlying, cached with the market."""
    known = _SUSPECTED.setdefault(market, {})
    if name not in known:
        known[name] = tuple(market.suspected_splits([name])["session"])
    return known[name]
