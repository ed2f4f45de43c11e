"""The rows of one underlying and month as quotes and bars of a lake.

Contracts are numbered in the order of their symbols by counting, not by sorting: a month has some
ten thousand contracts and twenty sessions, so that every row has a place in a table of both.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

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
DAY_PRICES = pl.Schema(
    {
        "session": pl.Date,
        "underlying_price": pl.Float64,
        "underlying_source": pl.String,
        "parity": pl.Float64,
    }
)
_TERMS = frozenset(("root", "expiration", "milli", "put"))  # columns of the terms of contracts
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
        prices: `DAY_PRICES` of each session, dollars.
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
    closes: Mapping[dt.date, float],
    pricing: Pricing,
    minutes: pl.DataFrame | None = None,
    held: Held | None = None,
) -> Month:
    """The quotes of one underlying and month.

    With few queries: months are made on several threads, and each query waits there until Polars'
    own threads get a processor, half a millisecond for a frame of twenty sessions.

    Args:
        rows: `intake.QUOTE` columns, `price` and `close` where known.
        name: the underlying.
        roots: the roots by number.
        closes: the close of the underlying by session, where known.
        pricing: how its price is found.
        minutes: session and ts, the minute at which the quotes stand, UTC; None: they are the
            snapshot of their session.
        held: reads the lake's quotes of some days, from the first through the last; they imply the
            price of sessions for which the new ones alone have none, as puts and calls in two files
            do. None: the new rows replace them.
    """
    contract, terms = _numbered(rows, roots)
    order, again = _ordered(rows, contract, len(terms))
    if order is not None:
        contract, rows = contract[order], rows[order]
    columns = {column: rows[column] for column in rows.columns if column not in _TERMS}
    columns |= {column: terms[column][contract] for column in terms.columns}
    stated = {"underlying": pl.Series([name]), "ts": pl.Series([None], dtype=schemas.TIMESTAMP)}
    columns |= {column: value.new_from_index(0, len(rows)) for column, value in stated.items()}
    rows = pl.DataFrame(columns)
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
    expiration, days = _dense(rows["expiration"].cast(pl.Int32).to_numpy())
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
    expirations = pl.Series("expiration", days, dtype=pl.Int32).cast(pl.Date)
    types = pl.Series("option_type", ["C", "P"])
    # each part of a symbol is written once, however many contracts have it
    parts = (
        ([f"{root:<6}" for root in roots], root),
        ([f"{each:%y%m%d}" for each in expirations.to_list()], day),
        (types, put),
        ([f"{milli:08d}" for milli in millis.tolist()], strike),
    )
    texts = [pl.Series("symbol", values, dtype=pl.String)[at] for values, at in parts]
    strikes = pl.Series("strike", millis[strike] / 1000.0)
    return pl.DataFrame(
        [expirations[day], strikes, types[put], texts[0] + texts[1] + texts[2] + texts[3]]
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
    days = rows["session"].cast(pl.Int32).to_numpy()
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
    if again is None and not timed and not (rows["session"] > rows["expiration"]).any():
        return rows, validation.SET_ASIDE.to_frame()
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
    closes: Mapping[dt.date, float],
    pricing: Pricing,
    held: Held | None,
) -> Month:
    """The rows with the underlying's price by the first source that has one."""
    day = rows["session"].cast(pl.Int32).to_numpy()
    begin = np.flatnonzero(np.append(True, day[1:] != day[:-1])[: len(rows)])
    days = _stated(rows, rows["session"][begin].to_list(), closes)
    vendor = "price" in rows.columns and "vendor" in pricing.sources
    lacking = not vendor or bool(rows["price"].null_count())
    if ("parity" in pricing.sources and lacking) or (
        pricing.make_closes and any(each.close is None for each in days)
    ):
        implied = dict(parity(rows, pricing.rate).iter_rows())
        days = [each._replace(parity=implied.get(each.session)) for each in days]
    sizes = np.diff(begin, append=len(rows))
    quotes, priced_days = _with_price(rows, days, sizes, vendor, pricing.sources)
    priced = quotes[:0]
    bare = [each.session for each in priced_days if each.price is None]
    if held is not None and "parity" in pricing.sources and bare:
        here = quotes.filter(pl.col("session").is_in(bare))
        found, priced = _with_held(here, held(bare[0], bare[-1]), pricing.rate)
        quotes = _with_parity(quotes, found)
        implied = dict(found.iter_rows())
        priced_days = [each.priced(implied.get(each.session)) for each in priced_days]
    prices = [(each.session, each.price, each.source, each.parity) for each in priced_days]
    return Month(
        quotes,
        aside,
        pl.DataFrame(prices, schema=DAY_PRICES, orient="row"),
        _made_closes(priced_days, pricing),
        priced,
    )


class _Day(NamedTuple):
    """The prices of the underlying on one session, dollars; None where not known.

    Attributes:
        session: the session.
        given: whether the close was given, and not stated beside the quotes.
        close: the close.
        stated: the median of the vendor's prices beside the quotes.
        parity: as puts and calls imply it.
        price: by the first source that has one.
        source: this source.
    """

    session: dt.date
    given: bool
    close: float | None
    stated: float | None
    parity: float | None = None
    price: float | None = None
    source: str | None = None

    def priced(self, parity: float | None) -> Self:
        """The same with a price that parity implies, where it has none."""
        if self.price is not None or parity is None:
            return self
        implied = self.parity if self.parity is not None else parity
        return self._replace(parity=implied, price=parity, source="parity")


def _stated(
    rows: pl.DataFrame, sessions: list[dt.date], closes: Mapping[dt.date, float]
) -> list[_Day]:
    """The sessions, each with its close, given or stated beside the quotes, and stated price."""
    stated = [each for each in ("price", "close") if each in rows.columns]
    medians = dict[str, dict[dt.date, float | None]]()
    if stated:
        found = rows.group_by("session").agg(pl.col(stated).median())
        medians = {c: dict(found.select("session", c).iter_rows()) for c in stated}
    price, close = (medians.get(each, {}) for each in ("price", "close"))
    return [
        _Day(day, day in closes, closes.get(day, close.get(day)), price.get(day))
        for day in sessions
    ]


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


def _with_parity(quotes: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The price of sessions that have none, by `found`, session and parity."""
    quotes = quotes.join(found, on="session", how="left", maintain_order="left")
    bare = pl.col("underlying_price").is_null() & pl.col("parity").is_not_null()
    return quotes.with_columns(
        underlying_source=pl.when(bare).then(pl.lit("parity")).otherwise("underlying_source"),
        underlying_price=pl.coalesce("underlying_price", "parity"),
    ).drop("parity")


def _with_price(
    rows: pl.DataFrame,
    days: list[_Day],
    sizes: NDArray[np.int64],
    vendor: bool,
    sources: tuple[str, ...],
) -> tuple[pl.DataFrame, list[_Day]]:
    """The rows as `schemas.OPTION_QUOTES`, and the sessions, with the underlying's price.

    Args:
        rows: session by session.
        days: the sessions.
        sizes: (sessions,) rows of each.
        vendor: whether the vendor's price beside a quote goes first.
        sources: the others, in their order.
    """
    tried = [each for each in sources if each != "vendor"]
    priced = [_first(day, tried) for day in days]
    at = np.repeat(np.arange(len(days)), sizes)
    price = pl.Series([day.price for day in priced], dtype=pl.Float64)[at]
    source = pl.Series([day.source for day in priced], dtype=pl.String)[at]
    columns = {c: rows[c] for c in rows.columns}
    columns |= {"underlying_price": price, "underlying_source": source}
    if vendor:
        stated = rows["price"].is_not_null()
        columns["underlying_price"] = rows["price"].zip_with(stated, price)
        named = pl.Series(["vendor"]).new_from_index(0, len(rows))
        columns["underlying_source"] = named.zip_with(stated, source)
        priced = [
            day if day.stated is None else day._replace(price=day.stated, source="vendor")
            for day in priced
        ]
    return pl.DataFrame({c: columns[c] for c in schemas.OPTION_QUOTES}), priced


def _first(day: _Day, sources: Sequence[str]) -> _Day:
    """The session with the price of the first of some sources that has one."""
    for source in sources:
        price = day.parity if source == "parity" else day.close
        if price is not None:
            return day._replace(price=price, source=source)
    return day


def _made_closes(days: Iterable[_Day], pricing: Pricing) -> pl.DataFrame:
    """`CLOSES` of the sessions without a given close: stated beside the quotes, or made of them."""
    made: list[tuple[dt.date, float, str]] = []
    for day in days:
        if day.given:
            continue
        vendor = day.close
        if vendor is None and pricing.make_closes and pricing.vendor_closes:
            vendor = day.stated
        if vendor is not None:
            made.append((day.session, vendor, "vendor"))
        elif pricing.make_closes and day.parity is not None:
            made.append((day.session, day.parity, "parity"))
    return pl.DataFrame(made, schema=CLOSES, orient="row")


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
        symbol=terms["symbol"][contract],
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
