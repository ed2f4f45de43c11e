"""The Parquet lake (data.md): reading its tables, and writing rows into it.

    lake/option_quotes/underlying=TSLA/2023-06.parquet

There is one file per table (option_quotes, option_bars, underlying_bars, dividends), underlying and
month, sorted by day, symbol and time. Any tool can read it. `lake.parquet` writes and verifies one
file, `lake.manifest` records which files were written, and `lake.joining` merges new rows with
those of a file. Splits are one text, `lake.splits`.
"""

import calendar
import contextlib
import dataclasses
import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, Self

import polars as pl

from wheelvec.lake import files, joining, listing, manifest, parquet, place, solved, splits
from wheelvec.lake.joining import Counts
from wheelvec.lake.object_store import Address
from wheelvec.lake.parquet import Aside, Footer, Span
from wheelvec.model import atomic
from wheelvec.model.errors import InputError, LakeError, listed, unknown_name
from wheelvec.tables import validation
from wheelvec.tables.validation import TABLES, Table

log = logging.getLogger(__name__)

_LONGEST_NAME = 255  # bytes, of the common file systems
# rows of a month of an underlying, which is read into memory as a whole: 1.2 GB of quotes
_MOST_ROWS = 10_000_000
_TRIES = 3  # attempts to read files that are being replaced
BATCH_ROWS = 250_000  # 25 MB of quotes
EVER = (dt.date.min, dt.date.max)

# The numbers of rows of a table that a write added, replaced by rows of the same key, and removed.
WRITTEN = pl.Schema(
    {"table": pl.String(), "added": pl.Int64(), "replaced": pl.Int64(), "removed": pl.Int64()}
)


class Source(Protocol):
    """The kept rows of a market: `market.Memory`, or a `BaseLake`.

    A month is given by its first day.
    """

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables."""

    def symbols(self) -> tuple[str, ...]:
        """The underlyings that have quotes."""

    def underlyings(self, name: str) -> tuple[str, ...]:
        """The underlyings of a table, sorted."""

    def months(self, name: str, underlying: str) -> list[dt.date]:
        """The first days of the months of a table, in order."""

    def holds(self, name: str, underlying: str) -> bool:
        """Whether a table holds any row of an underlying."""

    def rows(self, name: str, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame:
        """`Table.schema` rows of an underlying with `first` <= day <= `last`."""

    def batches(self, name: str, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """The whole table, `Table.keyed` or some columns of it, in batches of rows."""

    def digest(self, name: str, underlying: str, month: dt.date) -> str | None:
        """The content digest of one month; None without rows."""

    def span(self, name: str) -> Span | None:
        """The first and last day in a table; None without rows."""

    def aside(self) -> pl.DataFrame:
        """The counts of rows set aside, `validation.SET_ASIDE`."""

    def size(self, name: str) -> str:
        """The size of a table in words."""

    def only(self, symbols: Iterable[str]) -> "Source":
        """The rows of some underlyings."""


def month_end(month: dt.date) -> dt.date:
    """The last day of the month that begins on `month`."""
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])


# ---- reading


@dataclass(frozen=True)
class BaseLake:
    """The files of a lake when it was opened, of some underlyings, on `first` <= day <= `last`.

    `Lake` has them in a folder, `remote.RemoteLake` in an object store.

    Attributes:
        root: the folder, or the address.
        first, last: the first and the last day.
        files: the month files by table and underlying.
        splits: the rows of the lake's splits, `schemas.SPLITS`, unchecked; None without any.
        asked: the underlyings that were asked for; None: all. `files` also has those that they were
            renamed to.
        caches: whether solved chains and findings that the lake keeps are read, and new ones kept.
    """

    root: Path | Address
    first: dt.date
    last: dt.date
    files: Mapping[str, Mapping[str, Mapping[dt.date, Path | Address]]]
    splits: pl.DataFrame | None = None
    asked: frozenset[str] | None = None
    caches: bool = True

    def _read(
        self,
        name: str,
        underlying: str,
        months: Sequence[dt.date],
        days: Span,
        columns: Sequence[str] = (),
    ) -> pl.DataFrame:
        """The rows of some months on some days, or some columns of them, verified."""
        raise NotImplementedError

    def _footer(self, name: str, underlying: str, month: dt.date) -> Footer:
        """The statement of the footer of a month's file."""
        raise NotImplementedError

    def verified(self, name: str, underlying: str, month: dt.date) -> Footer:
        """The footer of a month's file, once all of the file is verified.

        Raises:
            LakeError: if the file is missing, damaged or misplaced.
        """
        raise NotImplementedError

    def bytes_of(self, name: str, underlying: str, month: dt.date) -> int | None:
        """The size of a month's file; None where it is not known."""
        raise NotImplementedError

    def mostly_solved(self) -> bool:
        """Whether chains are stored of at least half of the underlyings; never in a store."""
        return False

    def only(self, symbols: Iterable[str]) -> Self:
        """The same lake without the other underlyings."""
        wanted = sorted(set(symbols))
        kept = {
            name: {u: found[u] for u in wanted if u in found} for name, found in self.files.items()
        }
        rows = self.splits
        if rows is not None:
            rows = rows.filter(pl.col("underlying").is_in(wanted))
        return dataclasses.replace(self, files=kept, splits=rows)

    def absolute(self) -> Self:
        """The same lake at a place that every process finds."""
        return self

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the lake; option_quotes and underlying_bars always, even if empty."""
        return tuple(
            t for t in TABLES if t in self.files or t in ("option_quotes", "underlying_bars")
        )

    def symbols(self) -> tuple[str, ...]:
        """The underlyings that have quotes on `first` <= day <= `last`."""
        name = "option_quotes"
        return tuple(
            u
            for u in self.underlyings(name)
            if (self.asked is None or u in self.asked)
            and any(self._stated_days(name, u, m) for m in self.months(name, u))
        )

    def underlyings(self, name: str) -> tuple[str, ...]:
        """The underlyings that a table has folders for, sorted."""
        return tuple(sorted(self.files.get(name, {})))

    def months(self, name: str, underlying: str) -> list[dt.date]:
        """The first days of the months from `first` to `last` that have a file, in order."""
        held = self.files.get(name, {}).get(underlying, {})
        return sorted(month for month in held if self._in_range(month))

    def has_month(self, name: str, underlying: str, month: dt.date) -> bool:
        """Whether there is a file of a month, by its first day, that is not out of range."""
        held = self.files.get(name, {}).get(underlying, {})
        return month in held and self._in_range(month)

    def _in_range(self, month: dt.date) -> bool:
        """Whether any day of a month is from `first` to `last`."""
        return month <= self.last and month_end(month) >= self.first

    def holds(self, name: str, underlying: str) -> bool:
        """Whether a table has any kept row of an underlying.

        A month whose rows were all set aside has no digest.
        """
        months = self.months(name, underlying)
        return any(self.digest(name, underlying, month) is not None for month in months)

    def rows(self, name: str, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame:
        """`Table.schema` rows of an underlying with `first` <= day <= `last`.

        Only the files of these months are read.
        """
        return self._rows(name, underlying, (first, last))

    def _rows(
        self, name: str, underlying: str, days: Span, columns: Sequence[str] = ()
    ) -> pl.DataFrame:
        first, last = max(days[0], self.first), min(days[1], self.last)
        months = [m for m in self.months(name, underlying) if m <= last and month_end(m) >= first]
        return self._read(name, underlying, months, (first, last), columns)

    def batches(self, name: str, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """The table, `Table.keyed` or some columns, by underlying and day, in batches of rows.

        A batch is some months of an underlying's options, or all days of the other tables.
        """
        wanted = list(columns) or list(TABLES[name].keyed)
        for underlying in self.underlyings(name):
            spans: Iterable[Span] = [(self.first, self.last)]
            if name.startswith("option_"):
                spans = self._spans(name, underlying)
            for days in spans:
                rows = self._rows(name, underlying, days, columns)
                yield rows.with_columns(underlying=pl.lit(underlying)).select(wanted)

    def _spans(self, name: str, underlying: str) -> Iterator[Span]:
        """The first and last day of successive months with some `BATCH_ROWS` rows together.

        Most chains have few rows a month, of which a batch takes no less time than of a year.
        """
        first, rows = None, 0
        for month in self.months(name, underlying):
            first = first or month
            rows += self._footer(name, underlying, month).rows
            if rows >= BATCH_ROWS:
                yield first, month_end(month)
                first, rows = None, 0
        if first:
            yield first, month_end(month)

    def digest(self, name: str, underlying: str, month: dt.date) -> str | None:
        """The content digest of a month; None without rows.

        It is read from the footer, unless `first` or `last` cuts the month.
        """
        footer = self._footer(name, underlying, month)
        if footer.days is None or self._whole(footer):
            return footer.digest if footer.days else None
        rows = self._read(name, underlying, [month], (self.first, self.last))
        return validation.content_digest(TABLES[name], rows) if len(rows) else None

    def span(self, name: str) -> Span | None:
        """The first and last day in a table; None without rows.

        Of the first and of the last month with rows, footers are read; and the files that state the
        first and the last day are verified, for all figures may depend on these.

        Raises:
            LakeError: if a footer is damaged, or a file that is verified.
        """
        months: dict[dt.date, list[str]] = {}
        for underlying in self.underlyings(name):
            for month in self.months(name, underlying):
                months.setdefault(month, []).append(underlying)
        order = sorted(months)
        first = next((day for m in order if (day := self._end(name, m, months[m], 0))), None)
        order.reverse()
        last = next((day for m in order if (day := self._end(name, m, months[m], 1))), None)
        return (first, last) if first and last else None

    def aside(self) -> pl.DataFrame:
        """The counts of rows set aside when the files were written, `validation.SET_ASIDE`.

        Examples are null: a lake does not keep them.
        """
        found = [
            (name, underlying, session, reason, count, None)
            for name in self.tables
            for underlying in self.underlyings(name)
            for month in self.months(name, underlying)
            for day, reasons in self._footer(name, underlying, month).aside.items()
            if self.first <= (session := dt.date.fromisoformat(day)) <= self.last
            for reason, count in reasons.items()
        ]
        return pl.DataFrame(found, schema=validation.SET_ASIDE, orient="row")

    def columns(
        self, name: str, underlying: str, months: Iterable[dt.date], columns: Iterable[str]
    ) -> pl.DataFrame:
        """Some columns of all rows of some months; only these are decoded."""
        return self._read(name, underlying, list(months), EVER, tuple(columns))

    def size(self, name: str) -> str:
        """The size of a table in words."""
        return f"{sum(len(self.months(name, u)) for u in self.underlyings(name)):,} files"

    def _whole(self, footer: Footer) -> bool:
        return footer.days is None or (self.first <= footer.days[0] and footer.days[1] <= self.last)

    def _days(self, name: str, underlying: str, month: dt.date) -> Span | None:
        if self._whole(footer := self._footer(name, underlying, month)):
            return footer.days
        rows = self._read(name, underlying, [month], (self.first, self.last))
        return parquet.span_of(rows[TABLES[name].day])

    def _stated_days(self, name: str, underlying: str, month: dt.date) -> Span | None:
        """As `_days`, by the footer alone unless `first` or `last` cuts the month."""
        return self._days(name, underlying, month)

    def _end(
        self, name: str, month: dt.date, underlyings: Sequence[str], side: int
    ) -> dt.date | None:
        """The first (`side` 0) or the last (1) day of a month of some underlyings.

        Returns:
            The day, of a file that is verified; None without rows.
        """
        for _ in range(_TRIES):
            stated = [
                (days[side], u) for u in underlyings if (days := self._stated_days(name, u, month))
            ]
            if not stated:
                return None
            day, underlying = (min, max)[side](stated)
            days = self._days(name, underlying, month)
            if days and days[side] == day:
                return day
        place = f"{self.root}: {name} of {underlying} in {month.isoformat()[:7]}"
        raise LakeError(f"{place} was replaced while it was read, again and again")


@dataclass(frozen=True)
class Lake(BaseLake):
    """The files of a lake in a folder.

    Attributes:
        root: the folder.
        files: the month files by table and underlying.
    """

    root: Path
    files: listing.Files

    @classmethod
    def open(
        cls,
        path: str | Path,
        first: dt.date,
        last: dt.date,
        refuse: listing.Refuse | None = None,
        symbols: Iterable[str] | None = None,
        renames: pl.DataFrame | None = None,
    ) -> Self:
        """List the files of a lake, and those missing by its manifests.

        Only manifests and the splits are read.

        Args:
            path: the folder.
            first: the first day, inclusive.
            last: the last day, inclusive.
            refuse: called with path and error for each misplaced file and each folder or manifest
                that cannot be read; None: the error is raised.
            symbols: the underlyings to list, with those that they were renamed to; None: all.
            renames: further rows of splits that may rename them; None: the lake's alone.

        Raises:
            InputError: for a symbol of which the lake has no quotes.
            LakeError: if `path` is no folder, may not be read, or is no lake; without `refuse`, the
                errors that it would be called with.
        """
        refuse = listing.raise_it if refuse is None else refuse
        root = Path(path)
        names = {item.name for item in listing.items_of(root)}
        remembered = manifest.underlyings(root)
        if not names & set(TABLES) and not remembered:
            found = f"holds {listed(sorted(names), most=5)}" if names else "is empty"
            raise LakeError(
                f"{root} is no lake: it {found}; expected folders such as "
                "option_quotes/underlying=TSLA"
            )
        stated = _splits(root, refuse)
        wanted = None if symbols is None else set(symbols)
        followed = wanted and wanted | successors_of(wanted, stated, renames)
        held = listing.files_of(root, TABLES, refuse, remembered, followed)
        for symbol in sorted((wanted or set()) - set(held.get("option_quotes", {}))):
            allowed = listing.files_of(root, ["option_quotes"], refuse, remembered).get(
                "option_quotes", {}
            )
            raise without_quotes(path, symbol, allowed)
        if stated is not None and followed is not None:
            stated = stated.filter(pl.col("underlying").is_in(list(followed)))
        kept = {name: held[name] for name in TABLES if name in held}
        asked = None if wanted is None else frozenset(wanted)
        return cls(root, first, last, kept, stated, asked)

    def absolute(self) -> Self:
        """The same lake with absolute paths, which processes with another folder can use."""
        if self.root.is_absolute():
            return self
        kept = {
            name: {
                u: {m: path.absolute() for m, path in found.items()} for u, found in held.items()
            }
            for name, held in self.files.items()
        }
        return dataclasses.replace(self, root=self.root.absolute(), files=kept)

    def solved_folder(self, underlying: str, month: dt.date) -> Path | None:
        """The folder of an underlying's solved chains.

        None if `first` or `last` cuts the month, or if they are not to be stored.
        """
        whole = self.first <= month and month_end(month) <= self.last
        if not whole or not self.caches:
            return None
        return self.root / solved.FOLDER / manifest.folder_name(underlying)

    def mostly_solved(self) -> bool:
        """Whether chains are stored of at least half of the underlyings with quotes."""
        folder = self.root / solved.FOLDER
        held = {item.name for item in listing.items_of(folder)} if folder.is_dir() else set()
        names = [manifest.folder_name(name) for name in self.files.get("option_quotes", {})]
        return 2 * sum(name in held for name in names) >= len(names)

    def verified(self, name: str, underlying: str, month: dt.date) -> Footer:
        """The footer of a month's file, once the digest of all its bytes is verified.

        Raises:
            LakeError: if the file is missing, damaged or misplaced.
        """
        return self._footer(name, underlying, month)

    def bytes_of(self, name: str, underlying: str, month: dt.date) -> int:
        """The size of a month's file; 0 of one that is missing."""
        try:
            return self.files[name][underlying][month].stat().st_size
        except OSError:  # it is reported where the file is read
            return 0

    def _read(
        self,
        name: str,
        underlying: str,
        months: Sequence[dt.date],
        days: Span,
        columns: Sequence[str] = (),
    ) -> pl.DataFrame:
        files = [self._file(name, underlying, month) for month in months]
        return parquet.read(TABLES[name], files, *days, tuple(columns) or None)

    def _footer(self, name: str, underlying: str, month: dt.date) -> Footer:
        return self._file(name, underlying, month).footer()

    def _stated_days(self, name: str, underlying: str, month: dt.date) -> Span | None:
        if self.first <= month and month_end(month) <= self.last:
            return self._file(name, underlying, month).stated_days()
        return self._days(name, underlying, month)

    def _file(self, name: str, underlying: str, month: dt.date) -> parquet.MonthFile:
        return parquet.MonthFile(
            TABLES[name], underlying, month, self.files[name][underlying][month]
        )


def _splits(root: Path, refuse: listing.Refuse) -> pl.DataFrame | None:
    try:
        return splits.read(root)
    except LakeError as error:
        refuse(root / splits.NAME, error)
        return None


def without_quotes(place: object, symbol: str, allowed: Iterable[str]) -> InputError:
    """The error for a symbol of which a lake has no quotes; `allowed` are those that it has."""
    return InputError(unknown_name(f"symbol of the lake {place}:", symbol, sorted(allowed)))


def successors_of(names: set[str], *rows: pl.DataFrame | None) -> set[str]:
    """The names that some underlyings took later, by some rows of splits."""
    known = [found for found in rows if found is not None]
    return splits.successors(pl.concat(known), names) if known else set()


def stored(
    root: Path,
    table: Table,
    underlying: str,
    columns: Sequence[str] = (),
    days: Span = (dt.date.min, dt.date.max),
) -> pl.DataFrame:
    """The rows of one table of one underlying on some days, or some columns of them.

    Only the files of the underlying are listed, so that this is fast in a large lake. A missing
    file is logged and counts as empty, so that a fetch completes it.

    Args:
        root: the lake.
        table: one of `TABLES`, or another that is kept beside them.
        underlying: the underlying.
        columns: names of columns; () for all.
        days: the first and the last day, both included.

    Raises:
        LakeError: if one of the files is damaged or misplaced.
    """
    first, last = days
    for path in listing.missing(root, table.name, underlying):
        _warn_of(path)
    months = listing.present(root, table.name, underlying)
    wanted = [month for month in sorted(months) if month <= last and month_end(month) >= first]
    files = [parquet.MonthFile(table, underlying, month, months[month]) for month in wanted]
    return parquet.read(table, files, first, last, tuple(columns) or None)


@cache
def _warn_of(path: Path) -> None:
    """Log a missing file once."""
    log.warning("%s is missing: what it held is taken for lacking", path)


# ---- writing


def write(
    root: Path, source: Source, replace: bool = False, stated: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Write the rows of a source into the lake at `root`, one atomic write per month.

    Rows replace those of the same key, and all others stay. With `replace`, they replace all rows
    of the sessions that the source has of a table and underlying. Splits are written first: a
    reader of a half-written lake then takes none for one that no row explains.

    Args:
        root: the folder of the lake.
        source: the rows to write.
        replace: whether whole sessions are replaced.
        stated: splits to write, `schemas.SPLITS`, valid; None: no table of them.

    Returns:
        `WRITTEN`, one row per table.

    Raises:
        LakeError: if the folder holds anything else than a lake, if a folder or file cannot be
            written, or if a file to be merged with is damaged or misplaced.
    """
    place.check_writable(root)
    place.remove_staged(root)
    aside = source.aside().filter(pl.col("session").is_not_null() & (pl.col("underlying") != ""))
    aside = aside.with_columns(month=pl.col("session").dt.truncate("1mo"))
    underlyings = sorted(
        {*aside["underlying"], *(u for name in source.tables for u in source.underlyings(name))}
    )
    _check_underlyings(root, underlyings, source.tables)
    for name in source.tables:
        with parquet.reported(root / name, "cannot be made"):
            (root / name).mkdir(parents=True, exist_ok=True)
    counts = dict.fromkeys(source.tables, Counts())
    split = None if stated is None else splits.merge(root, stated)
    for underlying in underlyings:
        mine = aside.filter(pl.col("underlying") == underlying)
        for name, more in _write_underlying(root, source, underlying, mine, replace).items():
            counts[name] = counts[name].plus(more)
    if split is not None:
        counts[validation.SPLITS.name] = split
    return pl.DataFrame(
        [(name, *count) for name, count in counts.items()], schema=WRITTEN, orient="row"
    )


def _check_underlyings(root: Path, underlyings: Iterable[str], names: Iterable[str]) -> None:
    """Refuse what would fail half-way: names that no folder can have, and misplaced files."""
    for underlying in underlyings:
        if len(manifest.folder_name(underlying)) > _LONGEST_NAME:
            raise LakeError(
                f"{root} cannot hold underlying {underlying[:40]!r}...: "
                "the name is too long for a folder"
            )
        for name in names:
            listing.present(root, name, underlying)


def _write_underlying(
    root: Path, source: Source, underlying: str, aside: pl.DataFrame, replace: bool
) -> dict[str, Counts]:
    """Write the rows of one underlying, and its manifest last."""
    counts: dict[str, Counts] = {}
    with manifest.locked(root, underlying):
        held = manifest.read(root, underlying)
        for name in source.tables:
            here = aside.filter(pl.col("table") == name)
            known = source.underlyings(name)
            months = set(source.months(name, underlying)) if underlying in known else set()
            for month in sorted(months | set(here["month"])):
                rows = source.rows(name, underlying, month, month_end(month))
                put = _Month(root, TABLES[name], underlying, month, month in held.get(name, ()))
                more = put.write(rows, _by_day(here.filter(pl.col("month") == month)), (), replace)
                counts[name] = counts.get(name, Counts()).plus(more)
        _remember(root, underlying)
    return counts


def merge(
    root: Path,
    table: Table,
    underlying: str,
    rows: pl.DataFrame,
    unit: Sequence[pl.Expr],
    aside: pl.DataFrame | None = None,
) -> Counts:
    """Merge rows of one table of one underlying into a lake, one atomic write per month.

    Args:
        root: the lake, made if need be.
        table: one of `TABLES`, or another that is kept beside them.
        underlying: the underlying of the rows.
        rows: `Table.schema` columns, sorted by `Table.key`.
        unit: expressions of a row; a new row replaces the old ones with equal values of them.
        aside: counts of rows set aside, `validation.SET_ASIDE`, to add to the lake's.

    Returns:
        The numbers of rows added, replaced and removed.

    Raises:
        LakeError: if a folder or file cannot be written, or one to be merged with is damaged or
            misplaced.
    """
    aside = (
        validation.SET_ASIDE.to_frame()
        if aside is None
        else aside.filter(pl.col("session").is_not_null())
    )
    days = pl.concat([rows[table.day].rename("session"), aside["session"]])
    counts = Counts()
    if days.is_empty():
        return counts
    with manifest.locked(root, underlying):
        held = manifest.read(root, underlying)
        for month in days.dt.truncate("1mo").unique().sort().to_list():
            mine = rows.filter(pl.col(table.day).dt.truncate("1mo") == month)
            here = aside.filter(pl.col("session").dt.truncate("1mo") == month)
            put = _Month(root, table, underlying, month, month in held.get(table.name, ()))
            counts = counts.plus(put.write(mine, _by_day(here), unit))
        _remember(root, underlying)
    return counts


@contextlib.contextmanager
def writing(root: Path, underlying: str, replace: bool = False) -> Iterator["Writer"]:
    """Lock an underlying of a lake, to write months of its tables, on several threads if need be.

    The manifest is written when the block ends without an error.

    Args:
        root: the lake, made if need be.
        underlying: the underlying of the rows.
        replace: whether rows replace all rows of their sessions, not those of the same key only.

    Raises:
        LakeError: if a folder or file cannot be written, or one to be merged with is damaged or
            misplaced.
    """
    _check_underlyings(root, [underlying], TABLES)
    with manifest.locked(root, underlying):
        for name in TABLES:
            folder = root / name / manifest.folder_name(underlying)
            if folder.is_dir():
                files.remove_stale(folder)
        yield Writer(root, underlying, manifest.read(root, underlying), replace)
        _remember(root, underlying)


@dataclass(frozen=True)
class Writer:
    """Writes months of one underlying, which `writing` has locked."""

    root: Path
    underlying: str
    remembered: manifest.MonthsByTable
    replace: bool

    def write(self, name: str, month: dt.date, rows: pl.DataFrame, aside: pl.DataFrame) -> Counts:
        """Write the rows of a month of a table, merged with those that the lake has.

        Args:
            name: of the table.
            month: the first day of the month.
            rows: `Table.schema`, sorted by `Table.key`.
            aside: counts of the rows set aside on days of the month, `validation.SET_ASIDE`.
        """
        known = month in self.remembered.get(name, ())
        put = _Month(self.root, TABLES[name], self.underlying, month, known, swept=True)
        return put.write(rows, _by_day(aside), (), self.replace)


def _by_day(aside: pl.DataFrame) -> Aside:
    found: Aside = {}
    if aside.is_empty():
        return found
    for session, reason, count in (
        aside.select("session", "reason", "count").sort("session", "reason").iter_rows()
    ):
        found.setdefault(session.isoformat(), {})[reason] = count
    return found


def _remember(root: Path, underlying: str) -> None:
    """Add every month that has a file to the manifest.

    These are the months just written, whose names are on the disk before, and any that a crash or
    an earlier version left out.
    """
    names = [*TABLES, *(name for name in place.BESIDE if name != solved.FOLDER)]
    for name in names:
        folder = root / name / manifest.folder_name(underlying)
        if folder.is_dir():
            with atomic.writing(folder):
                atomic.sync_folder(folder)
    manifest.add(
        root, underlying, {name: listing.present(root, name, underlying) for name in names}
    )


@dataclass(frozen=True)
class _Month:
    """One month of one table of one underlying to write; the caller has locked the underlying."""

    root: Path
    table: Table
    underlying: str
    month: dt.date
    remembered: bool  # whether the manifest lists it
    swept: bool = False  # whether the temporary files of killed writers are removed already

    def write(
        self,
        rows: pl.DataFrame,
        aside: Aside,
        unit: Sequence[pl.Expr] = (),
        whole_sessions: bool = False,
    ) -> Counts:
        """Write kept rows, merged with those of an existing file (`joining.join`).

        Args:
            rows: `Table.schema`, sorted by `Table.key`.
            aside: numbers of rows set aside, by day and reason.
            unit: see `joining.join`.
            whole_sessions: see `joining.join`.
        """
        folder = self.root / self.table.name / manifest.folder_name(self.underlying)
        file = parquet.MonthFile(
            self.table,
            self.underlying,
            self.month,
            folder / f"{self.month.isoformat()[:7]}.parquet",
        )
        with parquet.reported(file.path, "cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
            if not self.swept:
                files.remove_stale(folder)
            old = file.footer() if file.path.exists() else None
        if old is None and self.remembered:
            log.warning(
                "%s was missing, and is made of what is written now, %d rows: it may lack what it "
                "held",
                file.path,
                len(rows),
            )
        digest, counts = validation.content_digest(self.table, rows), Counts(added=len(rows))
        if old is not None and old.digest == digest and not whole_sessions:  # the same once more
            aside, counts = joining.counted(old.aside, aside), Counts(replaced=len(rows))
        elif old is not None:
            before = parquet.read(self.table, [file], dt.date.min, dt.date.max)
            rows, aside, counts = joining.join(
                self.table, before, rows, (old.aside, aside), unit, whole_sessions
            )
            digest = validation.content_digest(self.table, rows)
        if old is None or (old.digest, old.aside) != (digest, aside):
            self._check_size(file, len(rows))
            parquet.write(file, rows, digest, aside)
            log.debug("wrote %s, %d rows", file.path, len(rows))
        return counts

    def _check_size(self, file: parquet.MonthFile, rows: int) -> None:
        if rows > _MOST_ROWS:
            raise file.refuse(
                f"would hold {rows:,} rows, and a month of one underlying is read into memory as a "
                f"whole: at most {_MOST_ROWS:,} are taken"
            )
