"""Summaries of a market's tables, by underlying and session, from which anomalies are found.

A `Survey` is made month by month and joined, so that memory grows with one month's quotes and the
number of contracts, not with all quotes.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

import polars as pl

from wheelvec.model import schemas
from wheelvec.tables.sessions import Sessions

# Put-call parity is read from the nearest expiration at least so many calendar days away, at so
# many strikes nearest the money.
PARITY_DTE, PARITY_STRIKES = 5, 3

CHAIN = pl.Schema(
    {
        "underlying": pl.String(),
        "session": pl.Date(),
        "spot": pl.Float64(),
        "parity": pl.Float64(),
        "count": pl.Int64(),
        "valid": pl.Int64(),
        "first_ts": schemas.TIMESTAMP,
        "last_ts": schemas.TIMESTAMP,
    }
)
LISTED = pl.Schema(
    {"underlying": pl.String, "session": pl.Date, "expiration": pl.Date, "contracts": pl.Int64}
)
CONTRACTS = pl.Schema(
    {
        "underlying": pl.String,
        "symbol": pl.String,
        "expiration": pl.Date,
        "first": pl.Date,
        "last": pl.Date,
    }
)
DAYS = pl.Schema({"table": pl.String, "underlying": pl.String, "session": pl.Date})
CLOSES = pl.Schema({"underlying": pl.String, "session": pl.Date, "close": pl.Float64})
SCHEMAS = {"chain": CHAIN, "listed": LISTED, "contracts": CONTRACTS, "days": DAYS, "closes": CLOSES}


class Survey(NamedTuple):
    """Summaries of the tables of some underlyings, sorted by underlying and session.

    Attributes:
        chain: `CHAIN`, one row per underlying and session with quotes: `spot`, the median
            underlying_price; `parity`, the price that puts and calls near the money imply (strike +
            call - put, dollars per share; null without such pairs); the number of quotes and of
            valid quotes; first and last ts (null for snapshots).
        listed: `LISTED`, the number of contracts of each expiration on each exchange session.
        contracts: `CONTRACTS`, the first and last exchange session with a quote of each contract.
        days: `DAYS`, the days on which a table has a bar of an underlying or of its options, or a
            valid quote.
        closes: `CLOSES`, the underlyings' closes in dollars.
    """

    chain: pl.DataFrame
    listed: pl.DataFrame
    contracts: pl.DataFrame
    days: pl.DataFrame
    closes: pl.DataFrame

    @classmethod
    def of_quotes(cls, quotes: pl.DataFrame, sessions: Sessions) -> Self:
        """The survey of `schemas.OPTION_QUOTES` rows sorted by (underlying, session, symbol)."""
        chain = _chain(quotes)
        listed, contracts = _listed(quotes, sessions)
        quoted = chain.filter(pl.col("valid") > 0).select(
            pl.lit("option_quotes").alias("table"), "underlying", "session"
        )
        return cls(chain, listed, contracts, quoted, CLOSES.to_frame())

    @classmethod
    def of_bars(cls, name: str, bars: pl.DataFrame) -> Self:
        """The survey of bars of table `name`.

        Rows have the columns underlying and session; bars of underlyings also close.
        """
        days = bars.select(pl.lit(name).alias("table"), "underlying", "session").unique(
            maintain_order=True
        )
        closes = bars.select(*CLOSES) if name == "underlying_bars" else CLOSES.to_frame()
        return cls(CHAIN.to_frame(), LISTED.to_frame(), CONTRACTS.to_frame(), days, closes)

    @classmethod
    def joined(cls, surveys: Iterable[Self]) -> Self:
        """One survey from several of different months or underlyings."""
        empty = cls(*(schema.to_frame() for schema in SCHEMAS.values()))
        chain, listed, contracts, days, closes = (
            pl.concat(frames) for frames in zip(empty, *surveys, strict=True)
        )
        contracts = contracts.group_by("underlying", "symbol", "expiration").agg(
            pl.col("first").min(), pl.col("last").max()
        )
        by = ("underlying", "session")
        return cls(
            chain.sort(by),
            listed.sort(*by, "expiration"),
            contracts,
            days.sort("table", *by),
            closes.sort(by),
        )


def _chain(quotes: pl.DataFrame) -> pl.DataFrame:
    """The `CHAIN` frame of some quotes."""
    valid, by = ~pl.any_horizontal(list(schemas.quote_flaws().values())), ("underlying", "session")
    marked = quotes.select(
        *by,
        "expiration",
        "strike",
        "option_type",
        "bid",
        "ask",
        "underlying_price",
        "ts",
        valid=valid,
    )
    chain = marked.group_by(by).agg(
        spot=pl.col("underlying_price").median(),
        count=pl.len().cast(pl.Int64),
        valid=pl.col("valid").sum().cast(pl.Int64),
        first_ts=pl.col("ts").min(),
        last_ts=pl.col("ts").max(),
    )
    return chain.join(_parity(marked), on=by, how="left").sort(by).select(*CHAIN)


def _parity(quotes: pl.DataFrame) -> pl.DataFrame:
    """(underlying, session, parity), with parity in dollars per share.

    Parity is the median of strike + call - put over the strikes where call and put differ least. It
    leaves out interest and dividends until the expiration, a few percent at most; a larger
    difference means that prices were adjusted.
    """
    by, mid = ("underlying", "session"), (pl.col("bid") + pl.col("ask")) / 2
    alive = quotes.lazy().filter(
        "valid", pl.col("expiration") - pl.col("session") >= pl.duration(days=PARITY_DTE)
    )
    nearest = alive.group_by(by).agg(pl.col("expiration").min())
    pairs = (
        alive.join(nearest, on=(*by, "expiration"))
        .group_by(*by, "strike")
        .agg(
            gap=mid.filter(pl.col("option_type") == "C").mean()
            - mid.filter(pl.col("option_type") == "P").mean()
        )
        .filter(pl.col("gap").is_not_null())
    )
    near = (pl.col("strike") + pl.col("gap")).sort_by(pl.col("gap").abs()).head(PARITY_STRIKES)
    return pairs.group_by(by).agg(parity=near.median()).collect()


def _listed(quotes: pl.DataFrame, sessions: Sessions) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The `LISTED` and `CONTRACTS` frames of some quotes.

    Days that are no sessions do not count: a copy of the last session on a holiday is no quote.
    """
    key = ("underlying", "session", "symbol")
    other = pl.any_horizontal(
        [(pl.col(name) != pl.col(name).shift()).fill_null(True) for name in key[1:]]
    )
    rows = quotes.filter(
        other, pl.col("session").is_in(sessions.frame["session"].implode())
    ).select(*key, "expiration")
    listed = rows.group_by("underlying", "session", "expiration").agg(
        contracts=pl.len().cast(pl.Int64)
    )
    contracts = rows.group_by("underlying", "symbol", "expiration").agg(
        first=pl.col("session").min(), last=pl.col("session").max()
    )
    return listed, contracts
