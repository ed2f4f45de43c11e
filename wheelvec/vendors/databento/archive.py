"""Import of a user's DBN files into a lake: batch downloads and saved answers, of any schemas.

Only what a file covers completely is imported: entry minutes of quotes, and dates of daily bars. A
daily bar of the underlying is made of minutes only if they reach from open to close.
"""

import datetime as dt
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from wheelvec.model import osi
from wheelvec.model.errors import DataError, InputError, listed
from wheelvec.model.forks import refuse_forked
from wheelvec.model.progress import Progress, reporting
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import TABLES
from wheelvec.vendors.databento import intake, requests, venues
from wheelvec.vendors.databento.fetch import local_folder, require_databento
from wheelvec.vendors.databento.requests import MINUTE, OPTIONS, SECOND, SUMMARY

if TYPE_CHECKING:
    from wheelvec.vendors.databento.opra import Header, Records

log = logging.getLogger(__name__)

QUOTES = ("cmbp-1", "cbbo-1m", "cbbo-1s")
TAKEN = pl.Schema(
    {
        "file": pl.String(),
        "dataset": pl.String(),
        "schema": pl.String(),
        "table": pl.String(),
        "sessions": pl.Int64(),
        "rows": pl.Int64(),
        "problem": pl.String(),
    }
)


class _Kind(NamedTuple):
    """The use of a file.

    Kinds sort in the order of import, because quotes need the underlying's minutes.

    Attributes:
        order: position in the order of import.
        table: the table that the records fill; "" for none.
        fields: the fields of the records to decode.
    """

    order: int
    table: str
    fields: tuple[str, ...]


_UNUSED = _Kind(3, "", ())


def import_dbn(
    files: Sequence[str | Path],
    *,
    lake: str | Path,
    entry_time: str = "15:45",
    look_back: int = 0,
    trading_calendar: str = "NYSE",
    progress: Progress = None,
) -> pl.DataFrame:
    """Import DBN files, compressed or not, into a lake, session by session.

    Imported are quotes of OPRA.PILLAR (cmbp-1, cbbo-1m, cbbo-1s), its ohlcv-1d, ohlcv-1m of any
    other dataset as the underlyings' minutes, and ohlcv-1d of EQUS.SUMMARY. Files of other schemas
    are skipped, and so are unusable ones: cut off, damaged, no DBN, or without an end in the
    header, so that it is not known which sessions they cover.

    Args:
        files: paths.
        lake: a local folder, made if need be.
        entry_time: the entry time of the quotes to keep, as in `fetch`.
        look_back: minutes before it in which a contract's quote may have changed last, as in
            `fetch`.
        trading_calendar: the calendar of the exchange.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with (files
            done, all files).

    Returns:
        One row per file: file, dataset, schema, table ("" for a skipped file), sessions, rows kept,
        and `problem`, the reason why a file is unusable, null for any other.

    Raises:
        InputError: for no files, or if the packages that Databento needs are not installed.
        DataError: if none of the files is usable; nothing is written then.
        LakeError: if the lake cannot be written.
    """
    refuse_forked()
    root = local_folder(lake)
    require_databento()
    paths = [Path(file) for file in files]
    if not paths:
        raise InputError("no DBN files are named")
    known = [_Known(path) for path in paths]
    _refuse_all(known)
    names = _names(
        root,
        {
            symbol
            for one in known
            if one.header
            for symbol in one.header.symbols
            if len(symbol) < 21
        },
    )
    taken = []
    with reporting(progress, "files") as report:
        for one in sorted(known, key=lambda one: (one.kind, one.path)):
            taken.append(one.taken(root, names, entry_time, look_back, trading_calendar))
            if report:
                report(len(taken), len(paths))
    _refuse_all(known)
    return pl.DataFrame(taken, schema=TAKEN, orient="row")


def _refuse_all(known: "Sequence[_Known]") -> None:
    if all(one.problem for one in known):
        raise DataError(listed([f"{one.path} {one.problem}" for one in known], most=5))


class _Known:
    """A file with its header; `problem` is the reason why it is unusable, or ""."""

    def __init__(self, path: Path) -> None:
        from wheelvec.vendors.databento import opra

        self.path, self.kind, self.problem = path, _UNUSED, ""
        self.header: Header | None = None
        try:
            self.header = opra.header(path)
        except DataError as error:
            self.problem = str(error)
            return
        self.kind = _kind(self.header.dataset, self.header.schema)
        if self.kind.table and (self.header.start is None or self.header.end is None):
            self.problem = (
                "names no end in its header, so that it is not known which sessions it covers"
            )

    def taken(
        self, root: Path, names: dict[str, str], entry_time: str, look_back: int, calendar: str
    ) -> tuple[object, ...]:
        """Import the records, and return the file's row of `TAKEN`."""
        table, sessions, rows = self.kind.table, 0, 0
        if table and not self.problem:
            try:
                one = _File(root, self.path, self.kind, calendar, names)
            except DataError as error:
                self.problem = str(error)
            else:
                sessions, rows = one.take(table, entry_time, look_back)
        if self.problem:
            log.warning("%s is left out: it %s", self.path, self.problem)
            table = ""
        dataset, schema = (self.header.dataset, self.header.schema) if self.header else ("", "")
        return str(self.path), dataset, schema, table, sessions, rows, self.problem or None


def _kind(dataset: str, schema: str) -> _Kind:
    if dataset == OPTIONS and schema in QUOTES:
        return _Kind(2, "option_quotes", venues.QUOTE_FIELDS)
    if dataset == OPTIONS and schema == "ohlcv-1d":
        return _Kind(1, "option_bars", venues.BAR_FIELDS)
    if dataset == SUMMARY and schema == "ohlcv-1d":
        return _Kind(0, "underlying_bars", venues.BAR_FIELDS)
    if dataset != OPTIONS and schema == "ohlcv-1m":
        return _Kind(0, "underlying_minutes", venues.BAR_FIELDS)
    return _UNUSED


def _names(root: Path, stocks: Iterable[str]) -> dict[str, str]:
    """Option root -> underlying, of the underlyings in the files and the lake (BRKB is BRK.B)."""
    folders = (
        path.name.partition("=")[2]
        for table in TABLES
        for path in (root / table).glob("underlying=*")
    )
    return {osi.root_of(name): name for name in (*folders, *stocks)}


def _read(path: Path, kind: _Kind) -> "tuple[Records, dt.datetime, dt.datetime]":
    """The records, and the start and end of the time that they cover."""
    from wheelvec.vendors.databento import opra

    try:
        records = opra.decoded(path.read_bytes(), kind.fields)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError("does not fit into memory: ask for it split by day") from None
    start, end = records.header.start, records.header.end
    if start is None or end is None or start > end:
        raise DataError(f"names no span of time in its header: {start} to {end}")
    return records, start, end


class _File:
    """The records of one file to import.

    Raises:
        DataError: for a file that is cut off, or does not match its header.
    """

    def __init__(
        self, root: Path, path: Path, kind: _Kind, calendar: str, names: dict[str, str]
    ) -> None:
        self._root, self._names = root, names
        self._records, self._start, self._end = _read(path, kind)
        self._calendar = Sessions.known(calendar, self._start.date(), (self._end - SECOND).date())
        self._source = (self._records.dataset, self._records.schema)

    def take(self, table: str, entry_time: str, look_back: int) -> tuple[int, int]:
        """Import the records; return the number of sessions, over all underlyings, and of rows."""
        if table == "option_quotes":
            done = list(self._quotes(entry_time, look_back))
        elif table == "option_bars":
            done = list(self._option_bars())
        else:
            done = list(self._stocks(table))
        return sum(sessions for sessions, _ in done), sum(rows for _, rows in done)

    def _chains(self) -> Iterator[tuple[str, bool, pl.DataFrame]]:
        """Underlying, whether all of its contracts were requested, and its records."""
        rows, asked = (
            self._records.rows,
            {name.removesuffix(".OPT") for name in self._records.header.parents},
        )
        roots = rows.select(root=osi.root(pl.col("symbol").cast(pl.String))).to_series()
        for root in sorted(set(roots.drop_nulls()) | asked):
            yield self._names.get(root, root), root in asked, rows.filter(roots == root)

    def _quotes(self, entry_time: str, look_back: int) -> Iterator[tuple[int, int]]:
        frame = self._calendar.frame.select(
            "session", minute=self._calendar.entry_minutes(entry_time).dt.cast_time_unit("us")
        )
        covered = [
            (day, minute)
            for day, minute in frame.drop_nulls().iter_rows()
            if self._covers(minute, look_back)
        ]
        for underlying, whole, rows in self._chains():
            quotes = venues.quotes_of(rows, self._records.schema)
            for day, minute in covered:
                kept = intake.take_quotes(
                    self._root, underlying, quotes, day, minute, look_back, self._source, whole
                )
                yield 1, kept

    def _covers(self, minute: dt.datetime, look_back: int) -> bool:
        """Whether the request of the file covers an entry minute and its look-back.

        Rows of cbbo are stamped with the end of their interval.
        """
        first = {"cbbo-1m": MINUTE, "cbbo-1s": SECOND}.get(self._records.schema, dt.timedelta(0))
        last = minute + MINUTE
        ends = self._end >= last if self._records.schema == "cmbp-1" else self._end > last
        return ends and self._start <= minute + first - look_back * MINUTE

    def _option_bars(self) -> Iterator[tuple[int, int]]:
        days = self._dates()
        for underlying, whole, rows in self._chains() if days else ():
            yield (
                len(days),
                intake.take_option_bars(self._root, underlying, rows, days, self._source, whole),
            )

    def _dates(self) -> list[dt.date]:
        """The sessions whose UTC date the file covers."""
        start, end = self._start, self._end
        days: list[dt.date] = self._calendar.frame["session"].to_list()
        return [
            day
            for day in days
            if start <= requests.midnight(day) and requests.midnight(day) + requests.DAY <= end
        ]

    def _stocks(self, table: str) -> Iterator[tuple[int, int]]:
        rows = self._records.rows
        for name in rows["symbol"].cast(pl.String).drop_nulls().unique().sort():
            if table == "underlying_bars":
                days = self._dates()
                yield len(days), intake.take_summary(self._root, name, rows, days, self._source)
            else:
                yield self._minutes(name)

    def _minutes(self, name: str) -> tuple[int, int]:
        start, end = (
            pl.lit(moment, pl.Datetime("ns", "UTC")) for moment in (self._start, self._end)
        )
        within = (pl.col("open") < end) & (pl.col("close") > start)
        touched = self._calendar.frame.filter(within).with_columns(
            whole=(pl.col("open") >= start) & (pl.col("close") <= end)
        )
        kept = 0
        for whole in (True, False):
            hours = touched.filter(pl.col("whole") == whole)
            if not hours.is_empty():
                kept += intake.take_minutes(
                    self._root,
                    name,
                    self._records.rows,
                    hours,
                    self._source,
                    daily=False,
                    whole=whole,
                )
        intake.make_missing_bars(self._root, name, [])
        return len(touched), kept
