"""The Parquet lake (data.md): which files there are, what each of them holds, and how new rows join those already there.

    lake/option_quotes/underlying=TSLA/2023-06.parquet        (option_bars, underlying_bars, dividends alike)

One file per table, underlying and month, sorted by day, symbol and time: plain files that any tool reads. How one of them is
written and checked, so that half a file is never taken for a whole one, is in `market.parquet`.
"""

import calendar
import datetime as dt
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import quote, unquote

import polars as pl

from wheelvec.market import parquet, solved, tables
from wheelvec.market.parquet import Aside, Footer, Span
from wheelvec.market.tables import TABLES, Table
from wheelvec.spec.errors import LakeError, listed

log = logging.getLogger(__name__)

_LONGEST_NAME = 255  # bytes, of the common file systems
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\.parquet")

Files = dict[str, dict[str, dict[dt.date, Path]]]
Refuse = Callable[[Path, LakeError], None]


class Source(Protocol):
    """Where a market's kept rows are: `market.Memory`, or a `Lake`. A month is named by its first day."""

    @property
    def tables(self) -> tuple[str, ...]: ...
    def symbols(self) -> tuple[str, ...]: ...
    def underlyings(self, name: str) -> tuple[str, ...]: ...
    def months(self, name: str, underlying: str) -> list[dt.date]: ...
    def rows(self, name: str, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame: ...
    def pieces(self, name: str) -> Iterator[pl.DataFrame]: ...
    def digest(self, name: str, underlying: str, month: dt.date) -> str | None: ...
    def span(self, name: str) -> Span | None: ...
    def aside(self) -> pl.DataFrame: ...
    def size(self, name: str) -> str: ...


def month_end(month: dt.date) -> dt.date:
    """The last day of the month that begins on `month`."""
    return month.replace(day=calendar.monthrange(month.year, month.month)[1])


# ---- reading


@dataclass(frozen=True)
class Lake:
    """The files of a lake as they were when it was opened, limited to `first` to `last` and to the chosen underlyings."""

    root: Path
    first: dt.date
    last: dt.date
    files: Files

    @classmethod
    def open(cls, path: str | Path, first: dt.date, last: dt.date, refuse: Refuse | None = None) -> Self:
        """List a lake's files; none is read.

        Args:
            path: the folder.
            first, last: the limits.
            refuse: called with path and error of each file out of place and each folder that cannot be read, instead of
                raising the error.

        Raises:
            LakeError: if `path` is no folder, may not be read, or is no lake; and what is not passed to `refuse`.
        """
        refuse = _raise if refuse is None else refuse
        root = Path(path)
        names = {entry.name for entry in _entries(root)}
        if not names & set(TABLES):
            found = f"holds {listed(sorted(names), most=5)}" if names else "is empty"
            raise LakeError(f"{root} is no lake: it {found}; expected folders such as option_quotes/underlying=TSLA")
        return cls(root, first, last, {name: _underlyings(root / name, refuse) for name in TABLES if name in names})

    def only(self, symbols: Iterable[str]) -> Self:
        """The same lake without the other underlyings."""
        wanted = set(symbols)
        kept = {name: {u: m for u, m in found.items() if u in wanted} for name, found in self.files.items()}
        return replace(self, files=kept)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of the lake; quotes and bars of underlyings always, if only empty."""
        return tuple(t for t in TABLES if t in self.files or t in ("option_quotes", "underlying_bars"))

    def symbols(self) -> tuple[str, ...]:
        """The underlyings that have quotes within the limits."""
        name = "option_quotes"
        return tuple(u for u in self.underlyings(name) if any(self._days(name, u, m) for m in self.months(name, u)))

    def underlyings(self, name: str) -> tuple[str, ...]:
        """The underlyings that a table has folders for, sorted."""
        return tuple(sorted(self.files.get(name, {})))

    def months(self, name: str, underlying: str) -> list[dt.date]:
        """The months within the limits that have a file."""
        held = self.files.get(name, {}).get(underlying, {})
        return sorted(month for month in held if month <= self.last and month_end(month) >= self.first)

    def rows(self, name: str, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame:
        """`Table.schema` rows of an underlying with `first` <= day <= `last`, reading only the months that have them."""
        first, last = max(first, self.first), min(last, self.last)
        months = [m for m in self.months(name, underlying) if m <= last and month_end(m) >= first]
        return parquet.read(TABLES[name], [self._file(name, underlying, month) for month in months], first, last)

    def pieces(self, name: str) -> Iterator[pl.DataFrame]:
        """The table, `Table.keyed`, sorted by underlying and day, in pieces: options by month, a piece of the rest is small
        enough to be a whole underlying."""
        for underlying in self.underlyings(name):
            months = self.months(name, underlying) if name.startswith("option_") else [None]
            for month in months:
                days = (month, month_end(month)) if month else (self.first, self.last)
                rows = self.rows(name, underlying, *days).with_columns(underlying=pl.lit(underlying))
                yield rows.select(*TABLES[name].keyed)

    def digest(self, name: str, underlying: str, month: dt.date) -> str | None:
        """The content digest of a month: the one that its footer states, unless the limits cut the month."""
        file = self._file(name, underlying, month)
        footer = file.footer()
        if footer.days is None or self._whole(footer):
            return footer.digest if footer.days else None
        rows = parquet.read(file.table, [file], self.first, self.last)
        return tables.content_digest(file.table, rows) if len(rows) else None

    def solved_folder(self, underlying: str, month: dt.date) -> Path | None:
        """Where `market.solved` keeps what was solved of an underlying; None where the limits cut the month."""
        whole = self.first <= month and month_end(month) <= self.last
        return self.root / solved.FOLDER / f"underlying={quote(underlying, safe=' ^~')}" if whole else None

    def span(self, name: str) -> Span | None:
        """The first and last day in a table, found from the files of the first and of the last month that have any."""
        months = sorted({month for u in self.underlyings(name) for month in self.months(name, u)})
        first = next((days for month in months if (days := self._days_of_all(name, month))), None)
        last = next((days for month in reversed(months) if (days := self._days_of_all(name, month))), None)
        return (first[0], last[1]) if first and last else None

    def aside(self) -> pl.DataFrame:
        """What was set aside when the files were written, `tables.SET_ASIDE`; examples are not kept."""
        found = [
            (name, underlying, session, reason, count, None)
            for name in self.tables
            for underlying in self.underlyings(name)
            for month in self.months(name, underlying)
            for day, reasons in self._file(name, underlying, month).footer().aside.items()
            if self.first <= (session := dt.date.fromisoformat(day)) <= self.last
            for reason, count in reasons.items()
        ]
        return pl.DataFrame(found, schema=tables.SET_ASIDE, orient="row")

    def verified(self, name: str, underlying: str, month: dt.date) -> Footer:
        """What a month's file says of itself, once all its bytes are known to be those that were written.

        Raises:
            LakeError: if the file is not what it should be.
        """
        return self._file(name, underlying, month).footer()

    def columns(self, name: str, underlying: str, months: Iterable[dt.date], columns: Iterable[str]) -> pl.DataFrame:
        """Some columns of all rows of some months, none of the others decoded."""
        files = [self._file(name, underlying, month) for month in months]
        return parquet.read(TABLES[name], files, dt.date.min, dt.date.max, tuple(columns))

    def size(self, name: str) -> str:
        """How much there is of a table, in words."""
        return f"{sum(len(self.months(name, u)) for u in self.underlyings(name)):,} files"

    def _file(self, name: str, underlying: str, month: dt.date) -> parquet.MonthFile:
        return parquet.MonthFile(TABLES[name], underlying, month, self.files[name][underlying][month])

    def _whole(self, footer: Footer) -> bool:
        return footer.days is None or (self.first <= footer.days[0] and footer.days[1] <= self.last)

    def _days(self, name: str, underlying: str, month: dt.date) -> Span | None:
        file = self._file(name, underlying, month)
        if self._whole(footer := file.footer()):
            return footer.days
        return parquet.span_of(parquet.read(file.table, [file], self.first, self.last)[file.table.day])

    def _days_of_all(self, name: str, month: dt.date) -> Span | None:
        held = [u for u in self.underlyings(name) if month in self.files[name][u]]
        days = [found for u in held if (found := self._days(name, u, month))]
        return (min(first for first, _ in days), max(last for _, last in days)) if days else None


def stored(
    root: Path, table: Table, underlying: str, columns: Sequence[str] = (), days: Span = (dt.date.min, dt.date.max)
) -> pl.DataFrame:
    """The rows of one table of one underlying on `days`, both included, or some columns of them; none where there is no
    folder. Only its own files are looked at, so that it costs nothing in a large lake.

    Raises:
        LakeError: if one of the files is not what it should be.
    """
    folder, (first, last) = _folder(root, table, underlying), days
    months = _months(folder, _raise) if folder.is_dir() else {}
    wanted = [month for month in sorted(months) if month <= last and month_end(month) >= first]
    files = [parquet.MonthFile(table, underlying, month, months[month]) for month in wanted]
    return parquet.read(table, files, first, last, tuple(columns) or None)


def _folder(root: Path, table: Table, underlying: str) -> Path:
    return root / table.name / _folder_name(underlying)


def _raise(path: Path, error: LakeError) -> None:
    raise error


def _entries(folder: Path, refuse: Refuse = _raise) -> list[os.DirEntry[str]]:
    """What a folder holds, hidden names (locks, unfinished files) left out."""
    try:
        with parquet.reported(folder, "cannot be read"), os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except LakeError as error:
        refuse(folder, error)
        return []


def _underlyings(folder: Path, refuse: Refuse) -> dict[str, dict[dt.date, Path]]:
    found = {}
    for entry in _entries(folder, refuse):
        key, _, underlying = entry.name.partition("=")
        if key == "underlying" and underlying and entry.is_dir():
            found[unquote(underlying)] = _months(folder / entry.name, refuse)
        elif entry.name.endswith(".parquet"):
            _misplaced(folder / entry.name, "underlying=<name>/<yyyy-mm>.parquet", refuse)
        elif entry.is_dir():
            for path in sorted((folder / entry.name).rglob("*.parquet")):
                _misplaced(path, "its folder to be named underlying=<name>", refuse)
    return found


def _months(folder: Path, refuse: Refuse) -> dict[dt.date, Path]:
    found = {}
    for entry in _entries(folder, refuse):
        if name := _MONTH.fullmatch(entry.name):
            found[dt.date(int(name[1]), int(name[2]), 1)] = folder / entry.name
        elif entry.name.endswith(".parquet"):
            _misplaced(folder / entry.name, "a name such as 2023-06.parquet", refuse)
    return found


def _misplaced(path: Path, expected: str, refuse: Refuse) -> None:
    refuse(path, LakeError(f"{path} is out of place; expected {expected}"))


# ---- writing


def write(root: Path, source: Source) -> None:
    """Write what a source holds into the lake at `root`, month by month.

    Raises:
        LakeError: if a folder or file cannot be written, or one to be merged with is not what it should be.
    """
    aside = source.aside().filter(pl.col("session").is_not_null() & (pl.col("underlying") != ""))
    aside = aside.with_columns(month=pl.col("session").dt.truncate("1mo"))
    for underlying in sorted({*aside["underlying"], *(u for name in source.tables for u in source.underlyings(name))}):
        if len(_folder_name(underlying)) > _LONGEST_NAME:  # said before anything is written
            raise LakeError(f"{root} cannot hold underlying {underlying[:40]!r}...: the name is too long for a folder")
    for name in source.tables:
        with parquet.reported(root / name, "cannot be made"):
            (root / name).mkdir(parents=True, exist_ok=True)
        mine = aside.filter(pl.col("table") == name)
        months = {(u, month) for u in source.underlyings(name) for month in source.months(name, u)}
        for underlying, month in sorted(months | set(mine.select("underlying", "month").iter_rows())):
            rows = source.rows(name, underlying, month, month_end(month))
            here = mine.filter((pl.col("underlying") == underlying) & (pl.col("month") == month))
            write_month(root, TABLES[name], underlying, month, rows, _by_day(here))


def _folder_name(underlying: str) -> str:
    """ASCII only, so that its characters are bytes."""
    return f"underlying={quote(underlying, safe=' ^~')}"


def merge(
    root: Path, table: Table, underlying: str, rows: pl.DataFrame, unit: Sequence[pl.Expr], aside: pl.DataFrame | None = None
) -> None:
    """Write some rows of one table of one underlying, month by month, each of them whole or not at all.

    Args:
        root: the lake, made if need be.
        table: one of `TABLES`, or another that is kept beside them.
        underlying: whose rows they are.
        rows: `Table.schema` columns, sorted by `Table.key`.
        unit: what of a row must be equal for a new row to replace an old one; the others stay.
        aside: `tables.SET_ASIDE` rows to count with them.

    Raises:
        LakeError: if a folder or file cannot be written, or one to be merged with is not what it should be.
    """
    aside = tables.SET_ASIDE.to_frame() if aside is None else aside.filter(pl.col("session").is_not_null())
    days = pl.concat([rows[table.day].rename("session"), aside["session"]])
    for month in days.dt.truncate("1mo").unique().sort().to_list():
        mine = rows.filter(pl.col(table.day).dt.truncate("1mo") == month)
        here = aside.filter(pl.col("session").dt.truncate("1mo") == month)
        write_month(root, table, underlying, month, mine, _by_day(here), unit)


def _by_day(aside: pl.DataFrame) -> Aside:
    found: Aside = {}
    for session, reason, count in aside.select("session", "reason", "count").iter_rows():
        found.setdefault(session.isoformat(), {})[reason] = count
    return found


def write_month(
    root: Path, table: Table, underlying: str, month: dt.date, rows: pl.DataFrame, aside: Aside, unit: Sequence[pl.Expr] = ()
) -> None:
    """Write one month of one table of one underlying, keeping the sessions of a file already there that `rows` has not;
    with a `unit`, keeping all rows but those that agree with a new one in it.

    `rows` are kept rows, `Table.schema`, sorted by `Table.key`; `aside` counts those set aside by day and reason.
    """
    folder = _folder(root, table, underlying)
    file = parquet.MonthFile(table, underlying, month, folder / f"{month.isoformat()[:7]}.parquet")
    with parquet.reported(file.path, "cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        with parquet.locked(folder):
            old = file.footer() if file.path.exists() else None
            if old is not None:
                rows, aside = _merged_units(file, old, rows, aside, unit) if unit else _merged(file, old, rows, aside)
            digest = tables.content_digest(table, rows)
            if old is None or (old.digest, old.aside) != (digest, aside):
                parquet.write(file, rows, digest, aside)
                log.debug("wrote %s, %d rows", file.path, len(rows))


def _merged(file: parquet.MonthFile, old: Footer, rows: pl.DataFrame, aside: Aside) -> tuple[pl.DataFrame, Aside]:
    """The new days, and the old ones that are not among them; a day of which nothing was kept replaces none."""
    day = file.table.day
    before = parquet.read(file.table, [file], dt.date.min, dt.date.max)
    kept = before.filter(~pl.col(day).is_in(rows[day].unique().implode()))
    old_days = {str(value) for value in kept[day].unique()}
    new_days = {str(value) for value in rows[day].unique()}
    earlier = {session: counts for session, counts in old.aside.items() if session not in new_days}
    added = {session: counts for session, counts in aside.items() if session not in old_days}
    return pl.concat([kept, rows]).sort(day, maintain_order=True), dict(sorted({**earlier, **added}.items()))


def _merged_units(
    file: parquet.MonthFile, old: Footer, rows: pl.DataFrame, aside: Aside, unit: Sequence[pl.Expr]
) -> tuple[pl.DataFrame, Aside]:
    """The new rows, and the old ones that agree with none of them in `unit`. Counts of a day add up, unless some of its
    rows were there already: then it is the same answer once more."""
    day, before = file.table.day, parquet.read(file.table, [file], dt.date.min, dt.date.max)
    named = [value.alias(f"_unit{i}") for i, value in enumerate(unit)]
    names = [f"_unit{i}" for i in range(len(unit))]
    again = before.with_columns(named).join(rows.select(named).unique(), on=names, how="semi", nulls_equal=True)
    kept = before.with_columns(named).join(rows.select(named).unique(), on=names, how="anti", nulls_equal=True).drop(names)
    added_to = {str(value) for value in kept[day].unique()} - {str(value) for value in again[day].unique()}
    counts = {session: dict(reasons) for session, reasons in old.aside.items()}
    for session, reasons in aside.items():
        earlier = counts.setdefault(session, {})
        for reason, count in reasons.items():
            before_it = earlier.get(reason, 0)
            earlier[reason] = before_it + count if session in added_to else max(before_it, count)
    return pl.concat([kept, rows]).sort(file.table.key, maintain_order=True), dict(sorted(counts.items()))
