"""The price of the underlying that puts and calls imply.

Put-call parity of European options: C - P = S - K*exp(-r*T), so that S = K*exp(-r*T) + C - P, the
forward K*exp(r*T) + ... discounted back (Stoll 1969). Dividends until the expiration are inside it.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.tables.survey import PARITY_DTE, PARITY_STRIKES

RATE = 0.04
_DAYS_A_YEAR = 365.0


def parity(quotes: pl.DataFrame, rate: float = RATE) -> pl.DataFrame:
    """The price that puts and calls near the money imply, of each session.

    Of the nearest expiration at least five days away that has three strikes at which put and call
    have a bid above 0 and an ask that is not below it, the median over the three strikes nearest
    the money (those where put and call differ least, and any that are as near as the third).

    Args:
        quotes: of one underlying, sorted by session: session, expiration, strike (dollars),
            option_type, bid and ask (dollars a share).
        rate: a year, continuously compounded.

    Returns:
        session and parity (dollars), of the sessions that have such strikes, sorted.

    Example:
        >>> import datetime as dt
        >>> rows = [
        ...     {"strike": strike, "option_type": kind, "bid": price, "ask": price}
        ...     for strike, call, put in ((95.0, 6.0, 1.0), (100.0, 3.0, 3.0), (105.0, 1.0, 6.0))
        ...     for kind, price in (("C", call), ("P", put))
        ... ]
        >>> dated = pl.DataFrame(rows).with_columns(
        ...     session=dt.date(2024, 1, 2), expiration=dt.date(2024, 1, 12)
        ... )
        >>> parity(dated, rate=0.0)["parity"].to_list()
        [100.0]
    """
    held = _arrays(quotes)
    begin = np.flatnonzero(np.append(True, held.session[1:] != held.session[:-1])[: len(quotes)])
    session, price = _implied(held, _nearest(held, begin), rate)
    if len(session) < len(begin):  # the nearest expiration has too few strikes
        rest = np.flatnonzero(~np.isin(held.session, session))
        others, prices = _implied(held, rest, rate)
        session, price = np.append(session, others), np.append(price, prices)
        order = np.argsort(session)
        session, price = session[order], price[order]
    days = pl.Series("session", session, dtype=pl.Int32).cast(pl.Date)
    return pl.DataFrame([days, pl.Series("parity", price, dtype=pl.Float64)])


class _Arrays(NamedTuple):
    """Quotes, sorted by session: (n,) each. Of some thousand, a query takes longer than all else.

    Attributes:
        session: int32, days since 1970.
        expiration: int32, likewise.
        strike: dollars, as `bid` and `ask` a share.
        put: else a call.
    """

    session: NDArray[Any]
    expiration: NDArray[Any]
    strike: NDArray[Any]
    put: NDArray[Any]
    bid: NDArray[Any]
    ask: NDArray[Any]


def _arrays(quotes: pl.DataFrame) -> _Arrays:
    session, expiration = (quotes[c].cast(pl.Int32).to_numpy() for c in ("session", "expiration"))
    strike, bid, ask = (quotes[c].to_numpy() for c in ("strike", "bid", "ask"))
    return _Arrays(session, expiration, strike, (quotes["option_type"] == "P").to_numpy(), bid, ask)


def _nearest(quotes: _Arrays, begin: NDArray[np.int64]) -> NDArray[np.int64]:
    """The quotes of the nearest expiration of each session that is far enough away.

    Args:
        quotes: of several sessions.
        begin: the first quote of each session.
    """
    if not len(begin):
        return begin
    days, expiration = quotes.session, quotes.expiration
    late = np.where(expiration >= days + PARITY_DTE, expiration, np.iinfo(np.int32).max)
    nearest = np.minimum.reduceat(late, begin)
    return np.flatnonzero(expiration == np.repeat(nearest, np.diff(begin, append=len(days))))


def _implied(
    quotes: _Arrays, some: NDArray[np.int64], rate: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Session and price of some quotes, by the nearest expiration that has enough strikes."""
    pairs = _pairs(_Arrays(*(values[some] for values in quotes)))
    at = _near_the_money(pairs)
    near = _Pairs(*(values[at] for values in pairs))
    years = (near.expiration - near.session) * (1 / _DAYS_A_YEAR)
    # as the C library does: NumPy's differs in the last bit from one processor to another
    discount = np.array([math.exp(-rate * t) for t in years.tolist()])
    price = near.strike * discount + near.gap
    session, begin = np.unique(near.session, return_index=True)
    parts = np.split(price, begin[1:])
    return session, np.array([_median(part) for part in parts if len(part)])


def _median(values: NDArray[np.float64]) -> float:
    """The median, of an even number the middle between two, as Polars computes it."""
    ranked = np.sort(values).tolist()
    low, high = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    return float(low + (high - low) * 0.5)


class _Pairs(NamedTuple):
    """Calls and puts of one session, expiration and strike, sorted by these.

    Attributes:
        session: (n,) int32, days since 1970.
        expiration: (n,) int32, likewise.
        strike: (n,) dollars.
        gap: (n,) the middle of the call's bid and ask less that of the put's, dollars.
    """

    session: NDArray[Any]
    expiration: NDArray[Any]
    strike: NDArray[Any]
    gap: NDArray[Any]


def _pairs(quotes: _Arrays) -> _Pairs:
    """The pairs of quotes that count; of several quotes of one contract the last does."""
    day, expiration, strike, put, bid, ask = quotes
    usable = np.flatnonzero((expiration - day >= PARITY_DTE) & (bid > 0) & (ask >= bid))
    if not len(usable):
        return _Pairs(day[:0], expiration[:0], strike[:0], bid[:0])
    key = [each[usable] for each in (put, strike, expiration, day)]
    at = usable[np.lexsort(key)]  # which keeps the order of equal ones
    put, day, expiration, strike = (each[at] for each in (put, day, expiration, strike))
    mid = (bid[at] + ask[at]) / 2
    other = (
        (day[1:] != day[:-1]) | (expiration[1:] != expiration[:-1]) | (strike[1:] != strike[:-1])
    )
    last = np.flatnonzero(np.append(other | (put[1:] != put[:-1]), True))
    # the last call, where a put of the same strike follows
    followed = ~put[last[:-1]] & ~other[last[:-1]]
    call, with_put = last[:-1][followed], last[1:][followed]
    return _Pairs(day[call], expiration[call], strike[call], mid[call] - mid[with_put])


def _near_the_money(pairs: _Pairs) -> NDArray[np.int64]:
    """The pairs of each session's nearest expiration of enough strikes, near the money."""
    day, expiration = pairs.session, pairs.expiration
    change = (day[1:] != day[:-1]) | (expiration[1:] != expiration[:-1])
    begin = np.flatnonzero(np.append(True, change)[: len(day)])
    end = np.append(begin[1:], len(day))[: len(begin)]
    begin, end = (each[end - begin >= PARITY_STRIKES] for each in (begin, end))
    _, first = np.unique(day[begin], return_index=True)
    found = [np.empty(0, np.int64)]
    for i, j in zip(begin[first], end[first], strict=True):
        away = np.abs(pairs.gap[i:j])
        most = np.partition(away, PARITY_STRIKES - 1)[PARITY_STRIKES - 1]
        found.append(i + np.flatnonzero(away <= most))
    return np.concatenate(found)
