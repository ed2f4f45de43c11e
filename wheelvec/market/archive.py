"""DBN files that a user has already, into the lake: batch downloads and saved answers, in any mix of schemas.

Only whole things are taken: of quotes the entry minutes that a file covers, of daily bars whole dates, and a daily bar of the
underlying is made of minutes only if they reach from open to close.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from wheelvec.market import asks, intake, venues
from wheelvec.market.asks import MINUTE, OPTIONS, SECOND, SUMMARY
from wheelvec.market.fetch import Progress, databento, local_folder
from wheelvec.market.sessions import Sessions
from wheelvec.market.tables import TABLES
from wheelvec.spec import osi
from wheelvec.spec.errors import DataError, InputError

if TYPE_CHECKING:
    from wheelvec.market.opra import Records

QUOTES = ("cmbp-1", "cbbo-1m", "cbbo-1s")
TAKEN = pl.Schema({"file": pl.String(), "dataset": pl.String(), "schema": pl.String(), "table": pl.String(),
                   "sessions": pl.Int64(), "rows": pl.Int64()})  # fmt: skip


class _Kind(NamedTuple):
    """What becomes of a file; kinds sort in the order in which they must be taken: quotes need the underlying's minutes."""

    order: int
    table: str
    fields: tuple[str, ...]


def import_dbn(
    files: Sequence[str | Path],
    *,
    lake: str | Path,
    entry_time: str = "15:45",
    look_back: int = 0,
    trading_calendar: str = "NYSE",
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Take DBN files, compressed or not, into a lake, session by session.

    Taken are quotes of OPRA.PILLAR (cmbp-1, cbbo-1m, cbbo-1s), its ohlcv-1d, ohlcv-1m of any other dataset as the underlyings'
    minutes, and ohlcv-1d of EQUS.SUMMARY. Other files are read and left out: `table` is "" for them.

    Args:
        files: paths.
        lake: a local folder, made if need be.
        entry_time, look_back: which quotes are wanted, as in `fetch`.
        trading_calendar: the exchange's.
        progress: called with (files done, files).

    Returns:
        One row per file: file, dataset, schema, table, sessions, rows kept.

    Raises:
        InputError: for no files, or when databento is not installed.
        DataError: for a file that is no DBN, or not whole; sessions taken before stay.
        LakeError: if the lake cannot be written.
    """
    root, opra = local_folder(lake), databento()
    paths = [Path(file) for file in files]
    if not paths:
        raise InputError("no DBN files are named")
    found = [(_kind(*opra.header(path)[:2]), path) for path in paths]
    names = _names(root, {symbol for path in paths for symbol in opra.header(path)[2] if len(symbol) < 21})
    taken = []
    for kind, path in sorted(found):
        try:
            records = opra.decoded(path.read_bytes(), kind.fields)
        except DataError as error:
            raise DataError(f"{path} {error}") from None
        calendar = Sessions.known(trading_calendar, records.start.date(), (records.end - SECOND).date())
        one = _File(root, records, calendar, names)
        sessions, rows = one.take(kind.table, entry_time, look_back) if kind.table else (0, 0)
        taken.append((str(path), records.dataset, records.schema, kind.table, sessions, rows))
        if progress:
            progress(len(taken), len(paths))
    return pl.DataFrame(taken, schema=TAKEN, orient="row")


def _kind(dataset: str, schema: str) -> _Kind:
    if dataset == OPTIONS and schema in QUOTES:
        return _Kind(2, "option_quotes", venues.QUOTE_FIELDS)
    if dataset == OPTIONS and schema == "ohlcv-1d":
        return _Kind(1, "option_bars", venues.BAR_FIELDS)
    if dataset == SUMMARY and schema == "ohlcv-1d":
        return _Kind(0, "underlying_bars", venues.BAR_FIELDS)
    if dataset != OPTIONS and schema == "ohlcv-1m":
        return _Kind(0, "underlying_minutes", venues.BAR_FIELDS)
    return _Kind(3, "", ("symbol",))


def _names(root: Path, stocks: Iterable[str]) -> dict[str, str]:
    """Option root -> underlying, where they differ: BRKB is BRK.B, if the files or the lake name that."""
    folders = (path.name.partition("=")[2] for table in TABLES for path in (root / table).glob("underlying=*"))
    return {asks.root(name): name for name in (*folders, *stocks)}


class _File:
    """One file's records, on their way into the lake."""

    def __init__(self, root: Path, records: "Records", calendar: Sessions, names: dict[str, str]) -> None:
        self._root, self._records, self._calendar, self._names = root, records, calendar, names
        self._source = (records.dataset, records.schema)

    def take(self, table: str, entry_time: str, look_back: int) -> tuple[int, int]:
        """The number of sessions taken, over all underlyings, and of rows."""
        if table == "option_quotes":
            done = list(self._quotes(entry_time, look_back))
        elif table == "option_bars":
            done = list(self._option_bars())
        else:
            done = list(self._stocks(table))
        return sum(sessions for sessions, _ in done), sum(rows for _, rows in done)

    def _chains(self) -> Iterator[tuple[str, bool, pl.DataFrame]]:
        """Underlying, whether all of its contracts were asked for, and its records."""
        rows, asked = self._records.rows, {name.removesuffix(".OPT") for name in self._records.parents}
        roots = rows.select(root=osi.root(pl.col("symbol").cast(pl.String))).to_series()
        for root in sorted(set(roots.drop_nulls()) | asked):
            yield self._names.get(root, root), root in asked, rows.filter(roots == root)

    def _quotes(self, entry_time: str, look_back: int) -> Iterator[tuple[int, int]]:
        frame = self._calendar.frame.select("session", minute=self._calendar.entry_minutes(entry_time).dt.cast_time_unit("us"))
        covered = [(day, minute) for day, minute in frame.drop_nulls().iter_rows() if self._covers(minute, look_back)]
        for underlying, whole, rows in self._chains():
            quotes = venues.quotes_of(rows, self._records.schema)
            for day, minute in covered:
                kept = intake.take_quotes(self._root, underlying, quotes, day, minute, look_back, self._source, whole)
                yield 1, kept

    def _covers(self, minute: dt.datetime, look_back: int) -> bool:
        """Whether the file was asked for all of an entry minute; rows of cbbo bear the end of their interval."""
        first = {"cbbo-1m": MINUTE, "cbbo-1s": SECOND}.get(self._records.schema, dt.timedelta(0))
        last = minute + MINUTE
        ends = self._records.end >= last if self._records.schema == "cmbp-1" else self._records.end > last
        return ends and self._records.start <= minute + first - look_back * MINUTE

    def _option_bars(self) -> Iterator[tuple[int, int]]:
        days = self._dates()
        for underlying, whole, rows in self._chains() if days else ():
            yield len(days), intake.take_option_bars(self._root, underlying, rows, days, self._source, whole)

    def _dates(self) -> list[dt.date]:
        """Sessions whose UTC date the file covers."""
        start, end = self._records.start, self._records.end
        days: list[dt.date] = self._calendar.frame["session"].to_list()
        return [day for day in days if start <= asks.midnight(day) and asks.midnight(day) + asks.DAY <= end]

    def _stocks(self, table: str) -> Iterator[tuple[int, int]]:
        rows = self._records.rows
        for name in rows["symbol"].cast(pl.String).drop_nulls().unique().sort():
            if table == "underlying_bars":
                days = self._dates()
                yield len(days), intake.take_summary(self._root, name, rows, days, self._source)
            else:
                yield self._minutes(name)

    def _minutes(self, name: str) -> tuple[int, int]:
        start, end = (pl.lit(moment, pl.Datetime("ns", "UTC")) for moment in (self._records.start, self._records.end))
        within = (pl.col("open") < end) & (pl.col("close") > start)
        touched = self._calendar.frame.filter(within).with_columns(
            whole=(pl.col("open") >= start) & (pl.col("close") <= end)
        )  # fmt: skip
        kept = 0
        for whole in (True, False):
            hours = touched.filter(pl.col("whole") == whole)
            if not hours.is_empty():
                kept += intake.take_minutes(
                    self._root, name, self._records.rows, hours, self._source, daily=False, whole=whole
                )  # fmt: skip
        intake.mend_bars(self._root, name, [])
        return len(touched), kept
