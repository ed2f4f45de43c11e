"""The price of the underlying that puts and calls imply.

Put-call parity of European options: C - P = S - K*exp(-r*T), so that S = K*exp(-r*T) + C - P, the
forward K*exp(r*T) + ... discounted back (Stoll 1969). Dividends until the expiration are inside it.
"""

from typing import NamedTuple

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
    quotes = quotes.select("session", "expiration", "strike", "option_type", "bid", "ask")
    begin = _begins(quotes)
    found = _of(quotes.filter(_nearest(quotes, begin)), rate)
    if len(found) < len(begin):  # the nearest expiration has too few strikes
        rest = quotes.select(pl.col("session").gather(begin)).join(found, on="session", how="anti")
        found = pl.concat([found, _of(quotes.join(rest, on="session", how="semi"), rate)])
    return found.sort("session")


def _begins(quotes: pl.DataFrame) -> NDArray[np.int64]:
    """The first row of each session."""
    days = quotes["session"].to_physical().to_numpy()
    return np.flatnonzero(np.append(True, days[1:] != days[:-1])[: len(days)])


def _nearest(quotes: pl.DataFrame, begin: NDArray[np.int64]) -> pl.Series:
    """Whether a quote is of the nearest expiration of its session that is far enough away."""
    days = quotes["session"].to_physical().to_numpy()
    expiration = quotes["expiration"].to_physical().to_numpy()
    if not len(begin):
        return pl.Series([], dtype=pl.Boolean)
    late = np.where(expiration >= days + PARITY_DTE, expiration, np.iinfo(np.int32).max)
    nearest = np.minimum.reduceat(late, begin)
    return pl.Series(expiration == np.repeat(nearest, np.diff(np.append(begin, len(days)))))


def _of(quotes: pl.DataFrame, rate: float) -> pl.DataFrame:
    """Session and parity by the nearest expiration that has enough strikes.

    By NumPy but for the price: a month has a few thousand of such quotes, for which each call of
    Polars takes longer than its arithmetic.
    """
    pairs = _pairs(quotes)
    at = _near_the_money(pairs)
    near = pl.DataFrame({c: values[at] for c, values in pairs._asdict().items()})
    years = (pl.col("expiration") - pl.col("session")) / _DAYS_A_YEAR
    price = pl.col("strike") * (-rate * years).exp() + pl.col("gap")
    found = near.group_by("session").agg(parity=price.median())
    return found.with_columns(pl.col("session").cast(pl.Date))


class _Pairs(NamedTuple):
    """Calls and puts of one session, expiration and strike, sorted by these.

    Attributes:
        session: (n,) int32, days since 1970.
        expiration: (n,) int32, likewise.
        strike: (n,) dollars.
        gap: (n,) the middle of the call's bid and ask less that of the put's, dollars.
    """

    session: NDArray[np.int32]
    expiration: NDArray[np.int32]
    strike: NDArray[np.float64]
    gap: NDArray[np.float64]


def _pairs(quotes: pl.DataFrame) -> _Pairs:
    """The pairs of quotes that count; of several quotes of one contract the last does."""
    day, expiration = (quotes[c].to_physical().to_numpy() for c in ("session", "expiration"))
    strike, bid, ask = (quotes[c].to_numpy() for c in ("strike", "bid", "ask"))
    put = (quotes["option_type"] == "P").to_numpy()
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
