"""What a market's tables show of each underlying, session by session.

From it `tables.anomalies` tells what is odd.

A `Survey` is made month by month and joined, so that memory follows one month's quotes and the
contracts, not the quotes.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

import polars as pl

from wheelvec.model import schemas
from wheelvec.tables.sessions import Sessions

PARITY_DTE, PARITY_STRIKES = (
    5,
    3,
)  # of the nearest expiration that has so long to live, and so many strikes nearest the money

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
    """What is known of some underlyings, sorted by underlying and session.

    Attributes:
        chain: per underlying and session of its quotes, `CHAIN`: `spot`, the median
            underlying_price; `parity`, the price that puts and calls near the money imply (strike +
            call - put, dollars per share; null without such pairs); quotes and valid quotes; first
            and last ts (null for snapshots).
        listed: how many contracts each expiration has on each exchange session (`LISTED`).
        contracts: the first and last exchange session with a quote of each contract (`CONTRACTS`).
        days: the days on which a table holds a bar of an underlying or of its options (`DAYS`), or
            a valid quote.
        closes: the underlyings' closes (`CLOSES`).
    """

    chain: pl.DataFrame
    listed: pl.DataFrame
    contracts: pl.DataFrame
    days: pl.DataFrame
    closes: pl.DataFrame

    @classmethod
    def of_quotes(cls, quotes: pl.DataFrame, sessions: Sessions) -> Self:
        """What some rows of `frames.OPTION_QUOTES` show, sorted by (underlying, session, symbol)."""
        chain = _chain(quotes)
        listed, contracts = _listed(quotes, sessions)
        quoted = chain.filter(pl.col("valid") > 0).select(
            pl.lit("option_quotes").alias("table"), "underlying", "session"
        )
        return cls(chain, listed, contracts, quoted, CLOSES.to_frame())

    @classmethod
    def of_bars(cls, name: str, bars: pl.DataFrame) -> Self:
        """What some bars of a table show.

        Rows have underlying and session, those of underlyings a close.
        """
        days = bars.select(pl.lit(name).alias("table"), "underlying", "session").unique(
            maintain_order=True
        )
        closes = bars.select(*CLOSES) if name == "underlying_bars" else CLOSES.to_frame()
        return cls(CHAIN.to_frame(), LISTED.to_frame(), CONTRACTS.to_frame(), days, closes)

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Several surveys, of other months or underlyings, as one."""
        empty = cls(*(schema.to_frame() for schema in SCHEMAS.values()))
        chain, listed, contracts, days, closes = (
            pl.concat(frames) for frames in zip(empty, *parts, strict=True)
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
    """`CHAIN` of some quotes."""
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
    """(underlying, session, parity).

    The median of strike + call - put over the strikes where these two differ least.

    It leaves out interest and dividends to the expiration, some percent at most; a price off by
    more was adjusted.
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
    """`LISTED` and `CONTRACTS`.

    Days that are no sessions do not count: a holiday's copy keeps no contract alive.
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
