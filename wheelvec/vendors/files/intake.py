"""Rows of a file as numbers: contracts, quotes and bars; unusable ones are counted by reason."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.market import splits
from wheelvec.model import osi
from wheelvec.model.errors import InputError
from wheelvec.tables import validation
from wheelvec.vendors.files import cells, contracts
from wheelvec.vendors.files.cells import Rows
from wheelvec.vendors.files.contracts import Numbering, Terms
from wheelvec.vendors.files.layout import BAR

# The columns of rows as they are gathered: numbers, until a month is complete. `price` is the
# vendor's of the same moment, `close` the stock's close, each only where the layout has one.
KEY = ("underlying", "session", "root", "expiration", "milli", "put")
QUOTE = (*KEY, "bid", "ask", "price", "close")
# An underlying's bid and ask further apart than this share of their middle are no price.
_WIDEST = 0.01


class Rename(NamedTuple):
    """The first session of an underlying's new name."""

    old: str
    new: str
    day: dt.date


@cache
def renames() -> tuple[Rename, ...]:
    """The renames of the known splits."""
    same = pl.col("numerator") == pl.col("denominator")
    rows = splits.known().filter(same).drop_nulls("new_underlying")
    return tuple(
        Rename(*row) for row in rows.select("underlying", "new_underlying", "ex_date").rows()
    )


@dataclass(frozen=True)
class Given:
    """The values that the caller gives for files that do not state them.

    Attributes:
        session: the day of the quotes; None: the files state it.
        underlying: the underlying; None: the files state it.
        symbols: the underlyings to keep; empty: all.
    """

    session: dt.date | None = None
    underlying: str | None = None
    symbols: frozenset[str] = frozenset()


@dataclass
class Intake:
    """Turns rows of files into numbers.

    Attributes:
        numbering: the underlyings and roots by number.
        given: the values that the caller gives.
        aside: counts of rows set aside, `validation.SET_ASIDE`.
        dropped: numbers of rows left out by reason, that are no rows of a table.
        renamed: numbers of rows that a file names by a later name of their underlying, by rename.
    """

    numbering: Numbering
    given: Given
    aside: list[pl.DataFrame] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    renamed: dict[Rename, int] = field(default_factory=dict)

    def quotes(self, rows: Rows, underlying: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The quotes (`QUOTE`) and the traded bars of some rows of a file.

        Args:
            rows: the rows.
            underlying: the underlying that the file's name states; None if it states none.

        Raises:
            DataError: for a cell that cannot be converted.
            InputError: if neither the file states day or underlying nor the caller gives it.
        """
        layout = rows.source.layout
        if rows.headers:
            counted = self.dropped.get("repeated_header", 0)
            self.dropped["repeated_header"] = counted + rows.headers
        shared = _Shared.of(rows, self.given, underlying, self.numbering)
        sides = ("C.", "P.") if layout.wide else ("",)
        found = [self._side(rows, shared, side) for side in sides]
        quotes = pl.concat([quote for quote, _ in found])
        return quotes, pl.concat([bar for _, bar in found])

    def _side(self, rows: Rows, shared: "_Shared", side: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        numbering, frame = self.numbering, rows.frame
        terms = _terms(rows, shared, side, numbering)
        flaw = _flaws(rows, shared, terms)
        bid, ask = _dollars(rows, f"{side}bid"), _dollars(rows, f"{side}ask")
        none = (ask == 0.0).fill_null(False)
        ask = ask.set(none, None) if none.any() else ask
        name = shared.underlying
        if shared.by_root:  # the underlying of a chain without a column for it
            name = self._named_by_root(terms)
        columns = {
            "underlying": name,
            "session": shared.session,
            "root": terms.root,
            "expiration": terms.expiration,
            "milli": terms.milli,
            "put": terms.put,
            "bid": bid,
            "ask": ask,
        }
        columns |= shared.prices
        if bars := [each for each in BAR if f"{side}{each}" in frame.columns]:
            columns |= {each: _dollars(rows, f"{side}{each}") for each in bars}
        held = pl.DataFrame(columns).with_columns(pl.col("expiration").cast(pl.Date))
        held = self._without_flaws(held, flaw, rows)
        if rows.source.layout.wide:  # the other side of a contract that is not listed
            held = held.filter(pl.col("bid").is_not_null() | pl.col("ask").is_not_null())
        return _quotes_of(held), self._bars_of(held, len(bars) >= 4)

    def _named_by_root(self, terms: Terms) -> NDArray[np.int32]:
        of_root = [self.numbering.underlying(root) for root in self.numbering.roots]
        return np.array(of_root or [0], np.int32)[terms.root]

    def _without_flaws(
        self, held: pl.DataFrame, flaw: NDArray[np.uint8], rows: Rows
    ) -> pl.DataFrame:
        """Rows of the wanted underlyings without a flaw; the others of theirs are counted."""
        if self.given.symbols:
            known = self.numbering.underlyings
            kept = [number for number, name in enumerate(known) if name in self.given.symbols]
            mine = held["underlying"].is_in(kept)
            if not mine.all():
                held, flaw = held.filter(mine), flaw[mine.to_numpy()]
        for rename in renames():
            held = self._named_as_then(held, rename)
        if not flaw.any():
            return held
        self.aside.append(self._counted(held, flaw, rows))
        return held.filter(pl.Series(flaw == 0))

    def _named_as_then(self, held: pl.DataFrame, rename: Rename) -> pl.DataFrame:
        """The rows, those of the old name's contracts before a rename under that name."""
        known, roots = self.numbering.underlyings, self.numbering.roots
        if rename.new not in known or rename.old not in roots:
            return held
        late = held.select(
            (pl.col("underlying") == known.index(rename.new))
            & (pl.col("root") == roots.index(rename.old))
            & (pl.col("session") < rename.day)
        ).to_series()
        if not (count := int(late.sum())):
            return held
        self.renamed[rename] = self.renamed.get(rename, 0) + count
        old = pl.lit(self.numbering.underlying(rename.old), held.schema["underlying"])
        return held.with_columns(
            underlying=pl.when(late.fill_null(False)).then(old).otherwise("underlying")
        )

    def _counted(self, held: pl.DataFrame, flaw: NDArray[np.uint8], rows: Rows) -> pl.DataFrame:
        broken = held.with_columns(code=pl.Series(flaw)).filter(pl.col("code") > 0)
        names = pl.Series(self.numbering.underlyings or [""], dtype=pl.String)
        roots = pl.Series(self.numbering.roots or [""], dtype=pl.String)
        counted = broken.group_by("underlying", "session", "code", maintain_order=True).agg(
            count=pl.len().cast(pl.Int64), example=pl.struct(pl.all()).first()
        )
        example = pl.struct(
            file=pl.lit(rows.source.name),
            root=pl.col("example").struct.field("root").replace_strict(dict(enumerate(roots))),
            expiration=pl.col("example").struct.field("expiration"),
            strike=pl.col("example").struct.field("milli") / 1000.0,
            put=pl.col("example").struct.field("put"),
        ).struct.json_encode()
        return counted.select(
            table=pl.lit("option_quotes"),
            underlying=names.gather(counted["underlying"]),
            session="session",
            reason=pl.Series(contracts.REASONS).gather(counted["code"]),
            count="count",
            example=example,
        ).select(*validation.SET_ASIDE)

    def _bars_of(self, held: pl.DataFrame, has_bars: bool) -> pl.DataFrame:
        """The bars of contracts that were traded; the others are counted as `untraded`."""
        empty = pl.DataFrame(schema=bar_schema())
        if not has_bars:
            return empty
        if "volume" not in held.columns:
            held = held.with_columns(volume=pl.lit(None, pl.Float64))
        # 0 for open, high and low of an untraded day: the close may repeat an earlier trade
        zero = pl.all_horizontal([(pl.col(each) == 0) for each in BAR[:3]])
        untraded = held.select(((pl.col("volume") == 0) | zero).fill_null(False)).to_series()
        missing = held.select(pl.all_horizontal(pl.col(BAR[:4]).is_null())).to_series()
        if untraded.any():
            self.aside.append(self._untraded(held.filter(untraded & ~missing)))
        return held.filter(~untraded & ~missing).select(*empty.columns)

    def _untraded(self, held: pl.DataFrame) -> pl.DataFrame:
        counted = held.group_by("underlying", "session").agg(count=pl.len().cast(pl.Int64))
        names = pl.Series(self.numbering.underlyings, dtype=pl.String)
        return counted.select(
            table=pl.lit("option_bars"),
            underlying=names.gather(counted["underlying"]),
            session="session",
            reason=pl.lit("untraded"),
            count="count",
            example=pl.lit(None, pl.String),
        )


@dataclass(frozen=True)
class _Shared:
    """The fields that call and put of a row share.

    Attributes:
        session: the day of the quotes.
        underlying: (n,) the number of the underlying.
        by_root: whether the underlying is not stated, and is the root's name.
        nameless: the number that stands for a missing name; None if none is missing.
        prices: columns `price` and `close`, where the layout has them.
    """

    session: pl.Series
    underlying: NDArray[np.int32]
    by_root: bool
    nameless: int | None
    prices: dict[str, pl.Series]

    @classmethod
    def of(cls, rows: Rows, given: Given, by_file: str | None, numbering: Numbering) -> "_Shared":
        """The fields that call and put of some rows share."""
        session = _session(rows, given)
        stated = "underlying" in rows.frame.columns
        name = None if stated else given.underlying or by_file
        by_root = name is None and not stated
        if by_root and not any(each.endswith("symbol") for each in rows.frame.columns):
            raise InputError(
                f"{rows.source.name} does not state its underlying: name it "
                "(--symbol TSLA, symbol='TSLA')"
            )
        if name is not None or by_root:
            number = 0 if name is None else numbering.underlying(name)
            underlying = np.full(len(rows.frame), number, np.int32)
        else:
            underlying = _underlyings(rows, numbering)
        prices = {}
        if (price := _price(rows)) is not None:
            prices["price"] = price
        if "close" in rows.frame.columns:
            prices["close"] = _positive(_dollars(rows, "close"))
        nameless = numbering.underlying("") if "" in numbering.underlyings else None
        return cls(session, underlying, by_root, nameless, prices)


def _session(rows: Rows, given: Given) -> pl.Series:
    if "session" in rows.frame.columns:
        if given.session is not None:
            raise InputError(
                f"{rows.source.name} states the day of its quotes, in "
                f"{rows.source.column('session')}: expected no other (--date, date=); it was "
                f"{given.session}"
            )
        return cells.dates(rows, "session").rename("session")
    if given.session is None:
        raise InputError(
            f"{rows.source.name} does not state the day of its quotes, as no file of the layout "
            f"{rows.source.layout.name} does: name it (--date 2024-01-31, date='2024-01-31')"
        )
    day = pl.Series("session", [given.session], dtype=pl.Date)
    return day.new_from_index(0, len(rows.frame))


def _underlyings(rows: Rows, numbering: Numbering) -> NDArray[np.int32]:
    """The numbers of the underlyings; that of "" where the name is missing."""
    names = rows.frame["underlying"]
    names = names if names.dtype == pl.String else names.cast(pl.String)
    names = names.fill_null("") if names.null_count() else names
    if len(names) and (names == names[0]).all():
        return np.full(len(names), numbering.underlying(names[0]), np.int32)
    distinct = names.unique()
    numbers = pl.Series([numbering.underlying(name) for name in distinct], dtype=pl.Int32)
    return names.replace_strict(distinct, numbers, return_dtype=pl.Int32).to_numpy()


def _price(rows: Rows) -> pl.Series | None:
    """The vendor's price of the underlying, or the middle of its bid and ask; None for neither."""
    columns = rows.frame.columns
    price = _positive(_dollars(rows, "price")) if "price" in columns else None
    if "price_bid" not in columns or "price_ask" not in columns:
        return price
    bid, ask = _positive(_dollars(rows, "price_bid")), _positive(_dollars(rows, "price_ask"))
    middle = (bid + ask) / 2
    middle = middle.set(~((ask - bid) <= _WIDEST * middle).fill_null(False), None)
    middle = middle.set((ask < bid).fill_null(False), None)
    return middle if price is None else price.zip_with(price.is_not_null(), middle)


def _positive(values: pl.Series) -> pl.Series:
    odd = (values <= 0).fill_null(False)
    return values.set(odd, None) if odd.any() else values


def _dollars(rows: Rows, field: str) -> pl.Series:
    values, unit = cells.numbers(rows, field), rows.source.layout.price_unit
    if unit == 1.0 or field.endswith("volume"):
        return values
    parts = round(1.0 / unit) if unit < 1.0 else 0
    if not (parts and 1.0 / parts == unit):
        return values * unit
    # 255 cents are 255/100 dollars, 2.55 to the last bit; 255 * 0.01 is not, and Polars divides by
    # a scalar by multiplying with its inverse
    divided = pl.Series(field, values.to_numpy() / float(parts))
    return divided.fill_nan(None)


def _terms(rows: Rows, shared: _Shared, side: str, numbering: Numbering) -> Terms:
    """The contracts of one side of the rows."""
    layout, columns = rows.source.layout, rows.frame.columns
    if f"{side}symbol" not in columns:
        return _by_terms(rows, shared, side, numbering)
    read, unread = numbering.by_symbol(rows.frame[f"{side}symbol"].cast(pl.String))
    if "expiration" not in columns:
        return read if "strike" not in columns else _with_checked_strike(rows, read)
    if not read.flaw.any() and _all_agree(rows, read, side):
        return read
    stated = _by_terms(rows, shared, side, numbering)
    flaw = np.where(contracts.mismatch(read, stated), contracts.code("symbol_mismatch"), 0)
    flaw = np.where(read.flaw > 0, read.flaw, flaw).astype(np.uint8)
    read = read._replace(flaw=flaw)
    if not (layout.by_terms and unread.any()):
        return read
    adjusted = read.flaw == contracts.code("adjusted")
    made = unread & ~adjusted
    pairs: Iterable[tuple[Any, Any]] = zip(read, stated, strict=True)
    fields: list[Any] = [np.where(made, there, here) for here, there in pairs]
    return Terms(*fields)


def _all_agree(rows: Rows, read: Terms, side: str) -> bool:
    """Whether expirations, strikes and types all say what the symbols do, as they usually do."""
    frame = rows.frame
    days = cells.dates(rows, "expiration").to_physical()
    strike = cells.numbers(rows, "strike")
    put = cells.puts(rows, "type") if "type" in frame.columns else None
    if days.null_count() or strike.null_count() or (put is not None and put.null_count()):
        return False
    off = strike.to_numpy() * (1000.0 * rows.source.layout.strike_unit)
    np.abs(np.subtract(off, read.milli, out=off), out=off)
    types = (side == "P.") if put is None else put.to_numpy()
    return (
        bool((days.to_numpy() == read.expiration).all())
        and bool((off < 0.25).all())
        and bool(np.all(types == read.put))
    )


def _by_terms(rows: Rows, shared: _Shared, side: str, numbering: Numbering) -> Terms:
    """The contracts by the columns of expiration, strike and type."""
    frame, layout = rows.frame, rows.source.layout
    if side:
        put = pl.Series([side == "P."]).new_from_index(0, len(frame))
    else:
        put = cells.puts(rows, "type")
    strike = cells.numbers(rows, "strike")
    strike = strike if layout.strike_unit == 1.0 else strike * layout.strike_unit
    root = _roots(rows, shared, numbering)
    return numbering.by_terms(root, cells.dates(rows, "expiration"), strike, put)


def _with_checked_strike(rows: Rows, read: Terms) -> Terms:
    exact = cells.numbers(rows, "strike").to_numpy() * rows.source.layout.strike_unit * 1000.0
    differs = np.abs(exact - read.milli) > 0.5  # NaN differs from nothing
    flaw = np.where((read.flaw == 0) & differs, contracts.code("symbol_mismatch"), read.flaw)
    return read._replace(flaw=flaw.astype(np.uint8))


def _roots(rows: Rows, shared: _Shared, numbering: Numbering) -> NDArray[np.int32]:
    if "root" in rows.frame.columns:
        roots = rows.frame["root"].cast(pl.String).fill_null("")
        if len(roots) and (roots == roots[0]).all():
            number = numbering.root(osi.root_of(roots[0].lstrip("^")))
            return np.full(len(roots), number, np.int32)
        distinct = roots.unique()
        numbers = [numbering.root(osi.root_of(name)) for name in distinct]
        replaced = roots.replace_strict(
            distinct, pl.Series(numbers, dtype=pl.Int32), return_dtype=pl.Int32
        )
        return replaced.to_numpy()
    if shared.by_root:
        return np.full(len(rows.frame), numbering.root(""), np.int32)
    of_name = [numbering.root(osi.root_of(name)) for name in numbering.underlyings]
    return np.array(of_name, np.int32)[shared.underlying]


def _flaws(rows: Rows, shared: _Shared, terms: Terms) -> NDArray[np.uint8]:
    """The first reason that applies to each row, by number; 0 for none."""
    flaw = terms.flaw
    if "deliverable" in rows.frame.columns:
        flaw = _with_deliverables(rows, flaw)
    if (nameless := _nameless(rows, shared)) is not None:
        flaw = np.where(nameless, contracts.code("missing_key"), flaw)
    session = shared.session
    first, last = dt.date(1900, 1, 1), dt.date(2199, 12, 31)
    inside = session.is_between(first, last)
    if not inside.all():
        odd = ~inside.fill_null(True).to_numpy()
        flaw = np.where(odd & (flaw == 0), contracts.code("not_a_session"), flaw)
    if session.null_count():
        flaw = np.where(session.is_null().to_numpy(), contracts.code("missing_key"), flaw)
    return flaw.astype(np.uint8)


def _nameless(rows: Rows, shared: _Shared) -> NDArray[np.bool_] | None:
    """Where the underlying's name is missing; None if nowhere."""
    if "underlying" not in rows.frame.columns or shared.nameless is None:
        return None
    found: NDArray[np.bool_] = shared.underlying == shared.nameless
    return found if found.any() else None


def _with_deliverables(rows: Rows, flaw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    deliverable = rows.frame["deliverable"]
    if deliverable.null_count() == len(deliverable):
        return flaw
    text = deliverable.cast(pl.String).fill_null("").str.strip_chars()
    standard = [each.upper() for each in ("", *rows.source.layout.standard)]
    odd = ~text.str.to_uppercase().is_in(standard).to_numpy()
    return np.where(odd & (flaw == 0), contracts.code("adjusted"), flaw).astype(np.uint8)


def quote_schema() -> dict[str, pl.DataType]:
    """The columns of gathered quotes; `price` and `close` may be absent."""
    return {**_key_schema(), **dict.fromkeys(("bid", "ask", "price", "close"), pl.Float64())}


def bar_schema() -> dict[str, pl.DataType]:
    """The columns of gathered bars."""
    return {**_key_schema(), **dict.fromkeys(BAR, pl.Float64())}


def _key_schema() -> dict[str, pl.DataType]:
    return {
        "underlying": pl.Int32(),
        "session": pl.Date(),
        "root": pl.Int32(),
        "expiration": pl.Date(),
        "milli": pl.Int32(),
        "put": pl.Boolean(),
    }


def _quotes_of(held: pl.DataFrame) -> pl.DataFrame:
    return held.select(each for each in QUOTE if each in held.columns)
