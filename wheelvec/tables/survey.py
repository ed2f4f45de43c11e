"""Summaries of a market's tables, by underlying and session, from which anomalies are found.

A `Survey` is made month by month and joined, so that memory grows with one month's quotes and the
number of contracts, not with all quotes.
"""

import datetime as dt
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
        "contract": pl.UInt64,
        "expiration": pl.Date,
        "strike": pl.Float64,
        "first": pl.Date,
        "last": pl.Date,
    }
)
LISTING = ("underlying", "session", "symbol", "expiration", "strike")  # columns of quotes
DAYS = pl.Schema({"table": pl.String, "underlying": pl.String, "session": pl.Date})
CLOSES = pl.Schema({"underlying": pl.String, "session": pl.Date, "close": pl.Float64})
SCHEMAS = {"chain": CHAIN, "listed": LISTED, "contracts": CONTRACTS, "days": DAYS, "closes": CLOSES}


class Listing(NamedTuple):
    """The listed contracts of some underlyings.

    Attributes:
        listed: `LISTED`, the number of contracts of each expiration on each exchange session.
        contracts: `CONTRACTS`, the first and last exchange session with a quote of each contract.
    """

    listed: pl.DataFrame
    contracts: pl.DataFrame

    @classmethod
    def of(cls, quotes: pl.DataFrame, sessions: Sessions) -> Self:
        """The listing of quotes with the columns of `LISTING`, by (underlying, session, symbol).

        Days that are no sessions do not count: a copy of the last session on a holiday is no quote.
        """
        names = quotes["underlying"].rle().struct.field("value")
        contract = pl.col("symbol").hash()
        rows = quotes.select(
            "session", "expiration", "strike", contract, n=pl.col("underlying").rle_id()
        ).rename({"symbol": "contract"})
        # symbols are compared as numbers; one symbol of two underlyings is two contracts
        other = pl.col("n").cast(pl.UInt64) * 2**40
        rows = rows.with_columns(pl.col("contract") ^ other)
        again = pl.all_horizontal(
            [pl.col(name) == pl.col(name).shift() for name in ("contract", "session")]
        )
        closed = ~pl.col("session").is_in(sessions.frame["session"].implode())
        keep = rows.select(~(again.fill_null(False) | closed)).to_series()
        rows = rows if keep.all() else rows.filter(keep)
        named = pl.Series("underlying", names, dtype=pl.String)
        listed = rows.group_by("n", "session", "expiration").agg(contracts=pl.len().cast(pl.Int64))
        contracts = rows.group_by("contract").agg(
            pl.col("n", "expiration", "strike").first(),
            first=pl.col("session").min(),
            last=pl.col("session").max(),
        )
        contracts = contracts.with_columns(pl.col("contract") ^ other)
        return cls(
            *(
                found.with_columns(underlying=named.gather(found["n"])).select(*schema)
                for found, schema in ((listed, LISTED), (contracts, CONTRACTS))
            )
        )

    @classmethod
    def joined(cls, listings: Iterable[Self]) -> Self:
        """One listing from several of different months or underlyings."""
        empty = cls(LISTED.to_frame(), CONTRACTS.to_frame())
        listed, contracts = (pl.concat(frames) for frames in zip(empty, *listings, strict=True))
        contracts = contracts.group_by("underlying", "contract").agg(
            pl.col("expiration", "strike").first(), pl.col("first").min(), pl.col("last").max()
        )
        by = ("underlying", "session", "expiration")
        return cls(listed.sort(by), contracts.select(*CONTRACTS))

    def strikes_around(
        self, underlying: str, last: dt.date, following: dt.date
    ) -> tuple[frozenset[int], frozenset[int]]:
        """The strikes of contracts last quoted on `last`, and first on `following`, in 0.001 $."""
        mine = self.contracts.filter(pl.col("underlying") == underlying)
        gone, new = (
            mine.filter(pl.col(column) == day)["strike"] * 1000
            for column, day in (("last", last), ("first", following))
        )
        return frozenset(map(round, gone)), frozenset(map(round, new))


class Survey(NamedTuple):
    """Summaries of the tables of some underlyings, sorted by underlying and session.

    Attributes:
        chain: `CHAIN`, one row per underlying and session with quotes: `spot`, the median
            underlying_price; `parity`, the price that puts and calls near the money imply (strike +
            call - put, dollars per share; null without such pairs); the number of quotes and of
            valid quotes; first and last ts (null for snapshots).
        listed, contracts: of a `Listing`.
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
    def of_quotes(cls, quotes: pl.DataFrame, sessions: Sessions, listing: bool = True) -> Self:
        """The survey of `schemas.OPTION_QUOTES` rows sorted by (underlying, session, symbol).

        Without `listing` the frames of one are empty.
        """
        chain = _chain(quotes)
        listed, contracts = Listing.of(quotes if listing else quotes.clear(), sessions)
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
        listing = Listing.joined([Listing(listed, contracts)])
        by = ("underlying", "session")
        return cls(
            chain.sort(by),
            *listing,
            days.sort("table", *by),
            closes.sort(by),
        )

    @property
    def listing(self) -> Listing:
        """The listed contracts."""
        return Listing(self.listed, self.contracts)

    def prices(self, days: pl.DataFrame) -> pl.DataFrame:
        """The prices (underlying, session, spot, close) of some (underlying, session)."""
        by = ["underlying", "session"]
        spots = days.join(self.chain.select(*by, "spot"), on=by, how="left")
        return spots.join(self.closes, on=by, how="left")


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
