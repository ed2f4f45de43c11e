"""The rows of an import by underlying and month, in memory up to a limit, and else on disk."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.lake import parquet
from wheelvec.model.errors import InputError

LIMIT = 400_000_000  # bytes of rows in memory
MOST_ROWS = 10_000_000  # of a month of one underlying, as a lake takes at most
_EPOCH = dt.date(1970, 1, 1)
_FEW = 10_000

Key = tuple[int, int]  # the number of the underlying, months since 1970


@dataclass(frozen=True)
class _Stored:
    """A part on disk: one batch of an Arrow file."""

    path: Path
    batch: int
    rows: int


@dataclass
class Gathering:
    """Rows of one kind, in parts by underlying and month, in the order in which they were added.

    Attributes:
        schema: the columns, some of which a part may lack.
        folder: makes the folder for what does not fit into memory.
        limit: bytes of rows in memory.
        days: session -> number of rows.
    """

    schema: Mapping[str, pl.DataType]
    folder: Callable[[], Path]
    limit: int = LIMIT
    days: dict[dt.date, int] = field(default_factory=dict)
    _parts: dict[Key, list[pl.DataFrame | _Stored]] = field(default_factory=dict)
    _rows: dict[Key, int] = field(default_factory=dict)
    _bytes: int = 0
    _files: int = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows with the columns underlying (Int32), session (Date) and others.

        Raises:
            InputError: for over ten million rows of a month of one underlying.
            LakeError: if the disk is full.
        """
        if rows.is_empty():
            return
        for part, key in self._parts_of(rows):
            self._add_part(key, part)
        if self._bytes > self.limit:
            self._spill()

    def keys(self) -> list[Key]:
        """The underlyings and months of which there are rows, sorted."""
        return sorted(self._parts)

    def rows(self, key: Key) -> pl.DataFrame:
        """All rows of an underlying and month, without columns that none of them has."""
        parts = [
            part if isinstance(part, pl.DataFrame) else _read(part)
            for part in self._parts.get(key, [])
        ]
        if not parts:
            return pl.DataFrame(schema=dict(self.schema))
        return pl.concat(parts, how="diagonal").rechunk()

    def forget(self, key: Key) -> None:
        """Release the rows of an underlying and month."""
        self._parts.pop(key, None)

    def _parts_of(self, rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, Key]]:
        """The rows of each key, in their order, and the key; their days are counted.

        Most files have one day after the other, so that runs of rows are looked at, not rows.
        """
        days, name = (rows[each].to_physical().to_numpy() for each in ("session", "underlying"))
        if len(days) > _FEW and _runs(days, name) * 4 > len(days):
            order = np.lexsort((days, name))
            rows, days, name = rows[order], days[order], name[order]
        changes = (days[1:] != days[:-1]) | (name[1:] != name[:-1])
        begin = np.flatnonzero(np.append(True, changes))
        ends = np.append(begin[1:], len(days))
        keys: dict[Key, list[pl.DataFrame]] = {}
        last: tuple[Key, int, int] | None = None
        for i, j in zip(begin.tolist(), ends.tolist(), strict=True):
            day = _EPOCH + dt.timedelta(days=int(days[i]))
            self.days[day] = self.days.get(day, 0) + j - i
            key = int(name[i]), (day.year - 1970) * 12 + day.month - 1
            if last is not None and last[0] == key:
                last = key, last[1], j
                continue
            if last is not None:
                keys.setdefault(last[0], []).append(rows[last[1] : last[2]])
            last = key, i, j
        if last is not None:
            keys.setdefault(last[0], []).append(rows[last[1] : last[2]])
        for key, parts in keys.items():
            yield pl.concat(parts) if len(parts) > 1 else parts[0], key

    def _add_part(self, key: Key, part: pl.DataFrame) -> None:
        self._parts.setdefault(key, []).append(part)
        self._rows[key] = self._rows.get(key, 0) + len(part)
        if self._rows[key] > MOST_ROWS:
            raise InputError(
                f"over {MOST_ROWS:,} rows of one underlying in {first_day(key[1]):%Y-%m}: "
                "more than a lake takes of a month"
            )
        self._bytes += int(part.estimated_size())

    def _spill(self) -> None:
        """Write the parts in memory to one file."""
        import pyarrow

        path = self.folder() / f"rows.{id(self)}.{self._files:06d}.arrow"
        self._files += 1
        batch = 0
        schema = pl.DataFrame(schema=dict(self.schema)).to_arrow().schema
        with (
            parquet.reported(path, "cannot be written"),
            pyarrow.ipc.new_file(str(path), schema) as file,
        ):
            for parts in self._parts.values():
                for i, part in enumerate(parts):
                    if isinstance(part, pl.DataFrame):
                        file.write_batch(self._as_batch(part, schema))
                        parts[i] = _Stored(path, batch, len(part))
                        batch += 1
        self._bytes = 0

    def _as_batch(self, part: pl.DataFrame, schema: Any) -> Any:
        absent = [
            pl.lit(None, dtype).alias(name)
            for name, dtype in self.schema.items()
            if name not in part.columns
        ]
        table = part.with_columns(absent).select(*self.schema).rechunk().to_arrow().cast(schema)
        return table.combine_chunks().to_batches()[0]


def _read(part: _Stored) -> pl.DataFrame:
    import pyarrow

    with parquet.reported(part.path, "cannot be read"), pyarrow.OSFile(str(part.path)) as opened:
        found = pl.from_arrow(pyarrow.ipc.open_file(opened).get_batch(part.batch))
    assert isinstance(found, pl.DataFrame)
    return found


def _runs(days: NDArray[np.int32], name: NDArray[np.int32]) -> int:
    """The number of runs of equal day and name."""
    return int(((days[1:] != days[:-1]) | (name[1:] != name[:-1])).sum()) + 1


def first_day(month: int) -> dt.date:
    """The first day of a month, given in months since 1970."""
    return dt.date(1970 + month // 12, month % 12 + 1, 1)
