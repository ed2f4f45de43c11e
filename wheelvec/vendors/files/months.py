"""The rows of one underlying and month as quotes and bars of a lake.

Contracts are numbered in the order of their symbols by counting, not by sorting: a month has some
ten thousand contracts and twenty sessions, so that every row has a place in a table of both.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model import schemas
from wheelvec.tables import validation
from wheelvec.tables.roots import Roots
from wheelvec.tables.sessions import Sessions
from wheelvec.vendors.files.parity import parity

Held = Callable[[dt.date, dt.date], pl.DataFrame]

SOURCES = ("vendor", "parity", "close")
# the source of a price that stands on parity, or on the vendor's price beside the quotes
CLOSES = pl.Schema({"session": pl.Date, "close": pl.Float64, "close_source": pl.String})
_FEW = 1 << 16  # cells of a table that are cheap however few rows there are


@dataclass(frozen=True)
class Pricing:
    """How the price of the underlying beside the quotes is found.

    Attributes:
        sources: which sources are tried, in this order.
        rate: a year, for parity.
        make_closes: whether sessions without a close get one from the quotes.
        vendor_closes: whether the vendor's price is of the close.
    """

    sources: tuple[str, ...] = SOURCES
    rate: float = 0.04
    make_closes: bool = False
    vendor_closes: bool = False


@dataclass(frozen=True)
class Month:
    """One month of one underlying.

    Attributes:
        quotes: `schemas.OPTION_QUOTES`, sorted by (session, symbol).
        aside: counts of the rows set aside, `validation.SET_ASIDE`.
        prices: session, underlying_price, underlying_source, parity, of each session; prices in
            dollars.
        closes: `CLOSES` made of the quotes, of sessions that have no other.
        priced: quotes of the lake, `schemas.OPTION_QUOTES` likewise, that had no price and have
            one now, by parity with the new quotes.
    """

    quotes: pl.DataFrame
    aside: pl.DataFrame
    prices: pl.DataFrame
    closes: pl.DataFrame
    priced: pl.DataFrame


def quotes_of(
    rows: pl.DataFrame,
    name: str,
    roots: list[str],
    closes: pl.DataFrame,
    pricing: Pricing,
    minutes: pl.DataFrame | None = None,
    held: Held | None = None,
) -> Month:
    """The quotes of one underlying and month.

    Args:
        rows: `intake.QUOTE` columns, `price` and `close` where known.
        name: the underlying.
        roots: the roots by number.
        closes: session and close of the underlying, where known.
        pricing: how its price is found.
        minutes: session and ts, the minute at which the quotes stand, UTC; None: they are the
            snapshot of their session.
        held: reads the lake's quotes of some days, from the first through the last; they imply the
            price of sessions for which the new ones alone have none, as puts and calls in two files
            do. None: the new rows replace them.
    """
    contract, terms = _numbered(rows, roots)
    order, again = _ordered(rows, contract, len(terms))
    rows = rows.drop("root", "expiration", "milli", "put")
    if order is not None:
        contract, rows = contract[order], rows[order]
    number = pl.Series(contract.astype(np.uint32))
    rows = rows.with_columns(
        *(terms[each].gather(number) for each in terms.columns),
        underlying=pl.lit(name),
        ts=pl.lit(None, schemas.TIMESTAMP),
    )
    if minutes is not None:
        rows = rows.drop("ts").join(minutes, on="session", how="left", maintain_order="left")
    rows, aside = _checked(rows, again, minutes is not None)
    return _priced(rows, aside, closes, pricing, held)


def _numbered(rows: pl.DataFrame, roots: list[str]) -> tuple[NDArray[np.int64], pl.DataFrame]:
    """The number of each row's contract in the order of symbols, and the terms by number."""
    root, known = _dense(rows["root"].to_numpy())
    by_name = sorted(range(len(known)), key=lambda i: roots[known[i]].ljust(6))
    rank = np.empty(len(known), np.int64)
    rank[by_name] = np.arange(len(known))
    expiration, days = _dense(rows["expiration"].to_physical().to_numpy())
    strike, millis = _dense(rows["milli"].to_numpy())
    cell = (rank.take(root) * len(days) + expiration) * 2 + rows["put"].to_numpy()
    cell = cell * len(millis) + strike
    contract, cells = _dense(cell)
    terms = _terms(cells, [roots[known[i]] for i in by_name], days, millis)
    return contract, terms


def _terms(
    cells: NDArray[np.int64], roots: list[str], days: NDArray[Any], millis: NDArray[Any]
) -> pl.DataFrame:
    """The terms of contracts, by their cells in the table of roots, days, types and strikes."""
    rest, strike = np.divmod(cells, len(millis))
    rest, put = np.divmod(rest, 2)
    root, day = np.divmod(rest, len(days))
    expirations = pl.Series(days.astype(np.int32)).cast(pl.Date)
    strikes = pl.Series(millis.astype(np.int64))
    types = pl.Series(["C", "P"])
    # each part of a symbol is written once, however many contracts have it
    parts = (
        (pl.Series(roots, dtype=pl.String).str.pad_end(6, " "), root),
        (expirations.dt.strftime("%y%m%d"), day),
        (types, put),
        (strikes.cast(pl.String).str.zfill(8), strike),
    )
    return pl.select(
        expiration=expirations.gather(day),
        strike=pl.Series(millis[strike] / 1000.0),
        option_type=types.gather(put),
        symbol=pl.concat_str([texts.gather(at) for texts, at in parts]),
    )


def _dense(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The rank of each value among the distinct ones, from 0, and the distinct ones, sorted.

    By counting where the values are close together, as days and strikes are.
    """
    if not len(values):
        return np.empty(0, np.int64), values
    low, high = int(values.min()), int(values.max())
    if low == high:
        return np.zeros(len(values), np.int64), values[:1]
    size = high - low + 1
    if size > 64 * len(values) + _FEW:
        distinct, ranks = np.unique(values, return_inverse=True)
        return ranks, distinct
    at = np.subtract(values, low, dtype=np.intp)
    seen = np.zeros(size, np.bool_)
    seen[at] = True
    found = np.flatnonzero(seen)
    ranks = np.empty(size, np.int64)  # of which only the pages that are used are allocated
    ranks[found] = np.arange(len(found))
    return ranks.take(at), (found + low).astype(values.dtype)


def _ordered(
    rows: pl.DataFrame, contract: NDArray[np.int64], contracts: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
    """The order by session and contract, and where a row repeats the one before.

    None: the rows are ordered; no row does.
    """
    days = rows["session"].to_physical().to_numpy()
    day = days - (int(days.min()) if len(days) else 0)
    cell = day * np.int64(contracts) + contract
    if (cell[1:] > cell[:-1]).all():
        return None, None
    size = (int(day.max()) + 1) * contracts
    if size <= 64 * len(rows) + _FEW:
        place = np.full(size, -1, np.int64)
        place[cell] = np.arange(len(rows))
        order = place[place >= 0]
        if len(order) == len(rows):
            return order, None
    order = np.argsort(cell, kind="stable")
    again = np.append(False, cell[order][1:] == cell[order][:-1])
    return order, again if again.any() else None


def _checked(
    rows: pl.DataFrame, again: NDArray[np.bool_] | None, timed: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows without a flaw, and the counts of the others."""
    flaws: dict[str, pl.Expr] = {}
    if timed:
        flaws["not_a_session"] = pl.col("ts").is_null()
    flaws["after_expiration"] = schemas.after_expiration()
    if again is not None:
        same = [
            pl.col(each).eq_missing(pl.col(each).shift())
            for each in ("bid", "ask", "price", "close")
            if each in rows.columns
        ]
        flaws["equal_duplicate"] = pl.lit(pl.Series(again)) & pl.all_horizontal(same)
    checked = validation.set_aside("option_quotes", rows, flaws)
    return checked.rows, checked.aside


def _priced(
    rows: pl.DataFrame,
    aside: pl.DataFrame,
    closes: pl.DataFrame,
    pricing: Pricing,
    held: Held | None,
) -> Month:
    """The rows with the underlying's price by the first source that has one."""
    stated = [each for each in ("price", "close") if each in rows.columns]
    days = rows["session"].rle().struct.unnest().select(session="value", n="len")
    if stated:
        median = [pl.col(each).median().alias(f"{each}_stated") for each in stated]
        days = days.join(rows.group_by("session").agg(median), on="session", maintain_order="left")
    days = _with_closes(days, closes, "close" in stated)
    vendor = "price" in stated and "vendor" in pricing.sources
    lacking = not vendor or bool(rows["price"].null_count())
    if ("parity" in pricing.sources and lacking) or (
        pricing.make_closes and bool(days["close"].null_count())
    ):
        found = parity(rows, pricing.rate)
        days = days.join(found, on="session", how="left", maintain_order="left")
    else:
        days = days.with_columns(parity=pl.lit(None, pl.Float64))
    rows, days = _with_price(rows, days, vendor, pricing.sources)
    quotes = rows.select(*schemas.OPTION_QUOTES)
    priced = quotes.clear()
    bare = days.filter(pl.col("underlying_price").is_null())["session"]
    if held is not None and "parity" in pricing.sources and len(bare):
        here = quotes.filter(pl.col("session").is_in(bare.implode()))
        found, priced = _with_held(here, held(bare.min(), bare.max()), pricing.rate)  # type: ignore[arg-type]
        quotes, days = _with_parity(quotes, found), _with_parity(days, found)
    prices = days.select("session", "underlying_price", "underlying_source", "parity")
    return Month(quotes, aside, prices, _made_closes(days, pricing, "price" in stated), priced)


def _with_held(
    rows: pl.DataFrame, held: pl.DataFrame, rate: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The price that new quotes and those of the lake imply together, where neither alone does.

    Args:
        rows: the new quotes of sessions without a price.
        held: the lake's quotes of these days and others.
        rate: a year.

    Returns:
        session and parity; and the lake's quotes that had no price, with it.
    """
    minutes = rows.select("session", "ts").unique()
    held = held.join(minutes, on=("session", "ts"), nulls_equal=True, how="semi")
    held = held.join(rows, on=("session", "symbol"), how="anti")
    if held.is_empty():
        return pl.DataFrame(schema={"session": pl.Date, "parity": pl.Float64}), held
    both = pl.concat([held, rows]).sort("session", "symbol")
    found = parity(both.filter(pl.col("session").is_in(held["session"].implode())), rate)
    bare = held.filter(pl.col("underlying_price").is_null())
    bare = _with_parity(bare.sort("session", "symbol"), found)
    return found, bare.drop_nulls("underlying_price")


def _with_parity(frame: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The price of sessions that have none, by `found`, session and parity."""
    known = found.rename({"parity": "found"})
    frame = frame.join(known, on="session", how="left", maintain_order="left")
    bare = pl.col("underlying_price").is_null() & pl.col("found").is_not_null()
    frame = frame.with_columns(
        underlying_source=pl.when(bare).then(pl.lit("parity")).otherwise("underlying_source"),
        underlying_price=pl.coalesce("underlying_price", "found"),
    )
    if "parity" in frame.columns:
        frame = frame.with_columns(pl.coalesce("parity", "found").alias("parity"))
    return frame.drop("found")


def _with_closes(days: pl.DataFrame, closes: pl.DataFrame, stated: bool) -> pl.DataFrame:
    """Add `close`: the given one, or that beside the quotes, and whether it was given."""
    days = days.join(
        closes.select("session", "close"), on="session", how="left", maintain_order="left"
    )
    days = days.with_columns(given=pl.col("close").is_not_null())
    return days.with_columns(pl.coalesce("close", "close_stated")) if stated else days


def _with_price(
    rows: pl.DataFrame, days: pl.DataFrame, vendor: bool, sources: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add underlying_price and underlying_source to rows and, as of their median, to days."""
    tried = [each for each in sources if each != "vendor"]
    price = pl.coalesce(tried) if tried else pl.lit(None, pl.Float64)
    source = _source({each: pl.col(each) for each in tried})
    days = days.with_columns(underlying_price=price, underlying_source=source)
    number = pl.Series(np.repeat(np.arange(len(days), dtype=np.uint32), days["n"].to_numpy()))
    rows = rows.with_columns(
        days[each].gather(number) for each in ("underlying_price", "underlying_source")
    )
    if not vendor:
        return rows, days
    stated = pl.col("price").is_not_null()
    rows = rows.with_columns(
        underlying_source=pl.when(stated).then(pl.lit("vendor")).otherwise("underlying_source"),
        underlying_price=pl.coalesce("price", "underlying_price"),
    )
    stated = pl.col("price_stated").is_not_null()
    days = days.with_columns(
        underlying_source=pl.when(stated).then(pl.lit("vendor")).otherwise("underlying_source"),
        underlying_price=pl.coalesce("price_stated", "underlying_price"),
    )
    return rows, days


def _source(by_name: dict[str, pl.Expr]) -> pl.Expr:
    named = [pl.when(value.is_not_null()).then(pl.lit(name)) for name, value in by_name.items()]
    return pl.coalesce(named) if named else pl.lit(None, pl.String)


def _made_closes(days: pl.DataFrame, pricing: Pricing, priced: bool) -> pl.DataFrame:
    """`CLOSES` of the sessions without a given close: stated beside the quotes, or made of them."""
    lacking = days.filter(~pl.col("given"))
    by_name = {"vendor": pl.col("close")}
    if pricing.make_closes:
        if priced and pricing.vendor_closes:
            by_name["vendor"] = pl.coalesce("close", "price_stated")
        by_name["parity"] = pl.col("parity")
    found = lacking.select(
        "session", close=pl.coalesce(list(by_name.values())), close_source=_source(by_name)
    )
    return found.drop_nulls("close").select(*CLOSES)


def bars_of(
    rows: pl.DataFrame, name: str, roots: list[str], highs: pl.DataFrame
) -> validation.Checked:
    """The option bars of one underlying and month, checked as `Market` checks them.

    Args:
        rows: the columns of the key, open, high, low, last (dollars) and volume.
        name: the underlying.
        roots: the roots by number.
        highs: underlying, session and high of the underlying, where known.
    """
    contract, terms = _numbered(rows, roots)
    bars = rows.select(
        "session",
        "open",
        "high",
        "low",
        pl.col("volume").round().cast(pl.Int64, strict=False),
        close="last",
        symbol=terms["symbol"].gather(pl.Series(contract.astype(np.uint32))),
    )
    mine = {roots[number]: name for number in rows["root"].unique()}
    return validation.check_option_bars(bars.select(*schemas.OPTION_BARS), Roots(mine), highs)


def minutes_of(sessions: Sessions, time: str) -> pl.DataFrame:
    """Session and ts, the minute of a clock time; on half days as long before the close."""
    return pl.DataFrame(
        {"session": sessions.frame["session"], "ts": sessions.entry_minutes(time)}
    ).drop_nulls()


def underlying_rows(closes: pl.DataFrame, name: str) -> pl.DataFrame:
    """Bars of the underlying (`schemas.UNDERLYING_BARS`) of closes alone."""
    prices = {each: pl.col("close") for each in ("open", "high", "low")}
    return closes.select(
        pl.lit(name).alias("underlying"),
        "session",
        *(value.alias(each) for each, value in prices.items()),
        "close",
        pl.lit(None, pl.Int64).alias("volume"),
        "close_source",
    ).select(*schemas.UNDERLYING_BARS)
