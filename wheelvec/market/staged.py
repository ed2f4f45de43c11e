"""A market of Parquet files of any size, sorted by day on disk if they do not fit into memory.

    files --batches--> rows in memory                                              --> Market
                       too many: files sorted by day --a few days--> a staged lake --> Market

In both cases the same rows are kept and set aside. Facts of a whole table (whether quotes have
times, which underlying a root belongs to) are found before the first day is checked; everything
else is decided within a day.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from wheelvec.lake import lake, parquet, place
from wheelvec.market import batches
from wheelvec.market.market import Known, Market, Memory
from wheelvec.market.splits import Splits
from wheelvec.model import osi, schemas
from wheelvec.model.errors import InputError
from wheelvec.tables import validation
from wheelvec.tables.validation import TABLES

SPILL_BYTES = 200_000_000  # of all tables in memory; checking them takes a few times as much
CHUNK_ROWS = 1_000_000  # of all tables, checked together
MOST_ROWS = 10_000_000  # of one day, all of which are checked together

Days = tuple[dt.date, dt.date] | None  # None: rows without a day


@contextlib.contextmanager
def imported(
    root: Path,
    files: Mapping[str, Sequence[Path]],
    strict: bool = False,
    splits: schemas.Frame | str | None = None,
    held: Mapping[str, pl.DataFrame] | None = None,
) -> Iterator[Market]:
    """The market of Parquet files, valid until the block ends.

    Args:
        root: the lake that it will be written to; rows that do not fit into memory are kept in a
            hidden folder there until the block ends.
        files: the files of each table, named as in `Market`; their rows follow one another.
        strict: raise for broken rows instead of setting them aside.
        splits: as in `Market`.
        held: rows of tables that no file is given of, such as the bars that the lake has already.

    Raises:
        InputError: for a file that is no Parquet, or more than ten million rows of one day.
        DataError: for a missing column, a type that cannot be converted, or broken rows under
            `strict`.
        LakeError: if the disk is full.
    """
    held = held or {}
    spools = {name: _Spool(name) for name in TABLES if name in files or name in held}
    for name, rows in held.items():
        spools[name].add(rows, root)
    with contextlib.ExitStack() as stack:
        folder: Path | None = None
        for name, spool in spools.items():
            for path in files.get(name, ()):
                for rows in batches.read(name, path):
                    spool.add(rows, path)
                    if sum(each.bytes for each in spools.values()) > SPILL_BYTES:
                        folder = folder or stack.enter_context(place.staging(root))
                        spool.spill(folder)
        if folder is None:
            whole = {name: spool.whole() for name, spool in spools.items()}
            yield Market(**whole, splits=splits, strict=strict)  # type: ignore[arg-type]
            return
        for spool in spools.values():
            spool.spill(folder)
        staged = _staged(folder / "lake", spools)
        yield Market._of_source(staged, strict, Splits.of(splits))


@dataclass
class _Spool:
    """The rows of one table in their order, in memory and in files sorted by day."""

    name: str
    pending: list[pl.DataFrame] = field(default_factory=list)
    bytes: int = 0
    files: list[Path] = field(default_factory=list)
    days: dict[dt.date | None, int] = field(default_factory=dict)
    timed: bool = False  # whether any quote has a time

    @property
    def day(self) -> str:
        return TABLES[self.name].day

    def add(self, rows: pl.DataFrame, path: Path) -> None:
        """Append rows of a file."""
        self.pending.append(rows)
        self.bytes += int(rows.estimated_size())
        if "ts" in rows.columns:
            self.timed |= rows["ts"].null_count() < len(rows)
        for day, count in rows[self.day].value_counts().iter_rows():
            self.days[day] = self.days.get(day, 0) + count
            if self.days[day] > MOST_ROWS:
                of = "without a day" if day is None else f"of {day}"
                raise InputError(
                    f"{self.name} {path}: over {MOST_ROWS:,} rows {of}: "
                    "more than can be checked together"
                )

    def whole(self) -> pl.DataFrame:
        """All rows; none may be in files."""
        return pl.concat([pl.DataFrame(schema=TABLES[self.name].schema), *self.pending])

    def spill(self, folder: Path) -> None:
        """Write the rows in memory to a file sorted by day."""
        if not self.pending:
            return
        path = folder / f"{self.name}.{len(self.files):06d}.parquet"
        rows = self.whole().sort(self.day, maintain_order=True)
        with parquet.reported(path, "cannot be written"):
            rows.write_parquet(path, compression="zstd", compression_level=1, row_group_size=65_536)
        self.files.append(path)
        self.pending, self.bytes = [], 0

    def rows(self, days: Days) -> pl.DataFrame:
        """The rows of some days from the files, in the order in which they were added."""
        day = pl.col(self.day)
        wanted = day.is_null() if days is None else day.is_between(*days)
        found = [pl.scan_parquet(path, glob=False).filter(wanted).collect() for path in self.files]
        return pl.concat([pl.DataFrame(schema=TABLES[self.name].schema), *found])


@dataclass(frozen=True)
class _Staged(lake.Lake):
    """A temporary lake, with all counts of rows set aside.

    They include rows without a day or underlying, and examples, which a lake does not keep.
    """

    set_aside: pl.DataFrame = field(default_factory=validation.SET_ASIDE.to_frame)

    def aside(self) -> pl.DataFrame:
        return self.set_aside


def _staged(root: Path, spools: Mapping[str, _Spool]) -> _Staged:
    """Check the rows, a few days at a time, and write them into a temporary lake."""
    chunks = list(_chunks(spools))
    known = _known(spools, chunks)
    aside = [validation.SET_ASIDE.to_frame()]
    for days in chunks or [None]:
        checked = Memory.of({name: spool.rows(days) for name, spool in spools.items()}, known)
        lake.write(root, checked)
        aside.append(checked.aside())
    opened = lake.Lake.open(root, dt.date.min, dt.date.max)
    return _Staged(opened.root, opened.first, opened.last, opened.files, set_aside=pl.concat(aside))


def _chunks(spools: Mapping[str, _Spool]) -> Iterator[Days]:
    """The first and last day of runs of days with about `CHUNK_ROWS` rows of all tables."""
    counts: dict[dt.date, int] = {}
    for spool in spools.values():
        for day, count in spool.days.items():
            if day is not None:
                counts[day] = counts.get(day, 0) + count
    if any(None in spool.days for spool in spools.values()):
        yield None
    first, rows, last = None, 0, dt.date.min
    for day in sorted(counts):
        if first is not None and rows + counts[day] > CHUNK_ROWS:
            yield first, last
            first, rows = None, 0
        first, last, rows = first or day, day, rows + counts[day]
    if first is not None:
        yield first, last


def _known(spools: Mapping[str, _Spool], chunks: Sequence[Days]) -> Known:
    """The facts of whole tables that checks of single days need."""
    snapshot = not spools["option_quotes"].timed
    quotes, names, kept = [], [], []
    for days in chunks:
        rows = validation.check_quotes(spools["option_quotes"].rows(days), snapshot).rows
        root = osi.root(pl.col("symbol"))
        quotes.append(
            rows.select(*Known.QUOTED).unique(["underlying", "session", root], maintain_order=True)
        )
        bars = validation.check_underlying_bars(spools["underlying_bars"].rows(days)).rows
        names.append(bars["underlying"].unique())
        kept += [rows["session"], bars["session"]]
        if "option_bars" in spools:
            kept.append(spools["option_bars"].rows(days)["session"].drop_nulls())
    strays = validation.strays_of(pl.concat(kept).value_counts())
    return Known(snapshot, pl.concat(quotes), pl.concat(names).unique(), strays)
