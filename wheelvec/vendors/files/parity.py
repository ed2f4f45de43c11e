"""The price of the underlying that puts and calls imply.

Put-call parity of European options: C - P = S - K*exp(-r*T), so that S = K*exp(-r*T) + C - P, the
forward K*exp(r*T) + ... discounted back (Stoll 1969). Dividends until the expiration are inside it.
"""

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
    """Session and parity by the nearest expiration that has enough strikes."""
    by = ("session", "expiration")
    put = pl.col("option_type") == "P"
    dte = (pl.col("expiration") - pl.col("session")).dt.total_days()
    usable = quotes.filter(dte >= PARITY_DTE, pl.col("bid") > 0, pl.col("ask") >= pl.col("bid"))
    usable = usable.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2)
    pairs = (
        usable.group_by(*by, "strike")
        .agg(gap=pl.col("mid").filter(~put).last() - pl.col("mid").filter(put).last())
        .drop_nulls()
        .filter(pl.len().over(by) >= PARITY_STRIKES)
    )
    pairs = pairs.filter(pl.col("expiration") == pl.col("expiration").min().over("session"))
    away = pl.col("gap").abs()
    pairs = pairs.filter(away.rank("min").over("session") <= PARITY_STRIKES)
    years = (pl.col("expiration") - pl.col("session")).dt.total_days() / _DAYS_A_YEAR
    price = pl.col("strike") * (-rate * years).exp() + pl.col("gap")
    return pairs.group_by("session").agg(parity=price.median())
