"""The lake's Parquet files: atomic writes, and verification before a row is read.

A file is written in small row groups with statistics under a temporary name, read back, then
renamed. Its footer states its content, and a digest of all bytes of the file, those of the footer
included: with a wrong statistic there, a scan would skip rows that it should read. Both are
verified when a file is first used, and again when it has changed.
"""

import contextlib
import datetime as dt
import hashlib
import io
import json
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import polars as pl

from wheelvec.lake import manifest
from wheelvec.model import atomic
from wheelvec.model.errors import LakeError
from wheelvec.tables.validation import Table

# Keys of a footer's metadata: the version of this layout, the content (JSON), and the digest of all
# bytes of the file, computed with zeros in place of the digest.
_FORMAT, _STATED, _DIGEST = "wheelvec.format", "wheelvec.holds", "wheelvec.digest"
_VERSION = "3"
_ARROW_SCHEMA = "ARROW:schema"  # under which Arrow and Polars write the types of columns
# The digest of each version that is read: processors compute SHA-256 three times as fast.
_ALGORITHMS: dict[str, Callable[[], Any]] = {
    "2": lambda: hashlib.blake2b(digest_size=16),
    "3": hashlib.sha256,
}
_NO_DIGEST = "0" * 32
# The bytes of a key-value pair in a footer (Thrift's compact protocol): key, field header, length,
# value.
_FORMAT_PAIR = re.compile(_FORMAT.encode() + rb"\x18[\x01-\x09](\d+)")
_DIGEST_PAIR = re.compile(_DIGEST.encode() + rb"\x18\x20([0-9a-f]{32})")
_STATED_PAIR = re.compile(re.escape(_STATED.encode()) + rb"\x18([\x80-\xff]*[\x00-\x7f])")
_TAIL_BYTES = 1 << 13  # of a file, in which the pairs of its footer usually are
_ROW_GROUP = 32_768  # a few sessions of a chain: small enough to skip, large enough to compress
_PRICES = ("bid", "ask", "open", "high", "low", "close")
_MAGIC = b"PAR1"
_BLOCK_BYTES = 1 << 20
_TRIES = 3  # attempts to read files that are being replaced

Span = tuple[dt.date, dt.date]
Aside = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Footer:
    """The content of a file as its footer states it.

    Attributes:
        rows: number of rows.
        days: first and last day; None without rows.
        digest: `validation.content_digest` of the rows.
        aside: numbers of rows set aside, by day and reason.
        file_digest: the digest of all bytes of the file.
    """

    rows: int
    days: Span | None
    digest: str
    aside: Aside
    file_digest: str


@dataclass(frozen=True)
class MonthKey:
    """One month of one table of one underlying."""

    table: Table
    underlying: str
    month: dt.date

    @property
    def place(self) -> str:
        """The path or the address of its file."""
        raise NotImplementedError

    def refuse(self, reason: str) -> LakeError:
        """The LakeError of its file, for a reason that completes "<place> ..."."""
        return LakeError(f"{self.place} {reason}")

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The columns of the file: those of the table, with underlying as a category.

        Readers of Hive folders infer that type from the path.
        """
        categorical = {"underlying": pl.Categorical()} if "underlying" in self.table.schema else {}
        return {**self.table.schema, **categorical}


@dataclass(frozen=True)
class MonthFile(MonthKey):
    """The file of a month in a folder."""

    path: Path

    @property
    def place(self) -> str:
        """The path."""
        return str(self.path)

    def footer(self) -> Footer:
        """The verified footer.

        Raises:
            LakeError: if the file is missing, unreadable, truncated, foreign, altered or misplaced.
        """
        with reported(self.path, "cannot be read"):
            try:
                state = self.path.stat()
            except FileNotFoundError:
                raise self._missing() from None
        return _verified(self, (state.st_ino, state.st_size, state.st_mtime_ns))

    def stated_days(self) -> Span | None:
        """The first and last day as the footer states them; that the bytes fit is not verified.

        Only the end of the file is read, so that thousands of files are looked through in a
        second. Whoever reads a row verifies all of its file.

        Raises:
            LakeError: as `footer`, as far as the footer alone shows it.
        """
        with reported(self.path, "cannot be read"):
            try:
                with self.path.open("rb", buffering=0) as opened:
                    opened.seek(max(0, os.fstat(opened.fileno()).st_size - _TAIL_BYTES))
                    end = opened.read(_TAIL_BYTES)
            except FileNotFoundError:
                raise self._missing() from None
        pairs = list(_STATED_PAIR.finditer(end))
        if len(pairs) != 1 or end[-4:] != _MAGIC:
            return self.footer().days  # a long footer, or no file of a lake: that says which
        start = pairs[0].end()
        stated = end[start : start + _varint(pairs[0][1])].decode(errors="replace")
        said, footer = _parsed(self, stated, "")
        _check_place(self, said)
        return footer.days

    def _missing(self) -> LakeError:
        remembers = manifest.path_of(self.path.parents[2], self.underlying)
        return self.refuse(
            "is missing: it was in this lake, and is gone; import its rows or fetch them again; "
            "or, if it was removed on "
            f"purpose, delete {remembers}, which remembers it"
        )


@contextlib.contextmanager
def reported(path: Path, what: str) -> Iterator[None]:
    """Turn errors of the system and of Polars into a LakeError "<path> <what>: <reason>"."""
    try:
        yield
    except LakeError:
        raise
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = getattr(error, "strerror", None) or next(
            iter(str(error).splitlines()), type(error).__name__
        )
        raise LakeError(f"{path} {what}: {reason}") from error


def span_of(days: pl.Series) -> Span | None:
    """The first and last of some days; None for no days."""
    first, last = days.min(), days.max()
    return (first, last) if isinstance(first, dt.date) and isinstance(last, dt.date) else None


# ---- reading


def read(
    table: Table,
    places: list[MonthFile],
    first: dt.date,
    last: dt.date,
    wanted: tuple[str, ...] | None = None,
) -> pl.DataFrame:
    """Rows with `first` <= day <= `last` of files of one underlying, in their order, all verified.

    Args:
        table: the table of the files.
        places: the files.
        first: the first day, inclusive.
        last: the last day, inclusive.
        wanted: columns of `Table.schema`; None: all.

    Raises:
        LakeError: if one of the files is missing, damaged or misplaced.
    """
    for _ in range(_TRIES):
        footers = [file.footer() for file in places]
        found = _read(table, list(zip(places, footers, strict=True)), (first, last), wanted)
        if isinstance(found, pl.DataFrame):
            return found
        if [file.footer() for file in places] == footers:
            raise found
    raise places[0].refuse("was replaced while it was read, again and again")


def _read(
    table: Table, places: list[tuple[MonthFile, Footer]], days: Span, wanted: tuple[str, ...] | None
) -> pl.DataFrame | LakeError:
    """The rows on some days, or an error if whole files have other numbers of rows than stated."""
    first, last = days
    schema = {c: dtype for c, dtype in table.schema.items() if wanted is None or c in wanted}
    held = [(file, footer.rows, footer.days) for file, footer in places if footer.days is not None]
    held = [found for found in held if found[2][0] <= last and found[2][1] >= first]
    if not held:
        return pl.DataFrame(schema=schema)
    path = held[0][0].path if len(held) == 1 else held[0][0].path.parent
    cut = any(days[0] < first or days[1] > last for _, _, days in held)
    rows = scanned(table, [file.path for file, _, _ in held], held[0][0].schema)
    columns = selected(schema, held[0][0].underlying)
    with reported(path, "cannot be read"):
        found = (
            (rows.filter(pl.col(table.day).is_between(first, last)) if cut else rows)
            .select(columns)
            .collect()
        )
    if not cut and len(found) != (expected := sum(n for _, n, _ in held)):
        return LakeError(f"{path} holds {len(found)} rows, expected {expected}")
    return found


def selected(columns: Iterable[str], underlying: str) -> list[pl.Expr]:
    """Columns of the rows of an underlying's verified files.

    The path names the underlying: the column would only give it as a category.
    """
    return [pl.lit(underlying).alias(c) if c == "underlying" else pl.col(c) for c in columns]


def scanned(
    table: Table,
    places: list[Path] | list[str],
    schema: dict[str, pl.DataType],
    storage_options: dict[str, Any] | None = None,
) -> pl.LazyFrame:
    """The rows of some files, with `Table.later` columns in those that lack them.

    Args:
        table: the table of the files.
        places: their paths, or their addresses in an object store.
        schema: `MonthKey.schema`.
        storage_options: those of Polars, for addresses; None for paths.
    """
    if not table.later and storage_options is None:  # in a store, a schema saves a request
        return pl.scan_parquet(places, hive_partitioning=False, glob=False)
    rows = pl.scan_parquet(
        places,
        schema=schema,
        hive_partitioning=False,
        glob=False,
        missing_columns="insert",
        extra_columns="ignore",
        storage_options=storage_options,
    )
    known = [pl.col(c).fill_null(value) for c, value in table.later.items() if value is not None]
    return rows.with_columns(known)


@lru_cache(maxsize=1 << 16)
def _verified(file: MonthFile, state: tuple[int, int, int]) -> Footer:
    """Verify a file, once as long as its inode, size and time of modification stay the same."""
    with reported(file.path, "cannot be read"), file.path.open("rb") as opened:
        footer = _footer_bytes(file, opened, state[1])
        digest = _checked_digest(file, opened, state[1] - len(footer), footer)
        # parsed of the bytes that were verified: to open the file again takes as long as all else
        metadata = pl.read_parquet_metadata(io.BytesIO(_MAGIC + footer))
    said, footer_said = _parsed(file, metadata.get(_STATED, ""), digest)
    _check_place(file, said, _schema(_Typed(metadata.get(_ARROW_SCHEMA, footer.hex()), footer)))
    return footer_said


@dataclass(frozen=True)
class _Typed:
    """A footer, and what it says of its columns, by which alone it is compared."""

    said: str
    footer: bytes = field(compare=False)


@lru_cache(maxsize=64)
def _schema(typed: _Typed) -> dict[str, pl.DataType]:
    """The columns of a file; to parse them takes a third of what it takes to verify a small one."""
    return dict(pl.read_parquet_schema(io.BytesIO(_MAGIC + typed.footer)))


def stated_footer(file: MonthKey, metadata: Mapping[str, str]) -> Footer:
    """The footer that the metadata of a file state; that its bytes match is not verified.

    Raises:
        LakeError: if the metadata are not those of a lake's file, or of another month.
    """
    _check_version(file, metadata.get(_FORMAT))
    digest = metadata.get(_DIGEST, "")
    said, footer = _parsed(file, metadata.get(_STATED, ""), digest)
    _check_place(file, said)
    return footer


def _parsed(file: MonthKey, stated: str, digest: str) -> tuple[dict[str, Any], Footer]:
    """The place (table, underlying, month) and the content that a footer states.

    `digest` is that of all bytes of the file.
    """
    try:
        said = json.loads(stated)
        place = {name: str(said[name]) for name in ("table", "underlying", "month")}
        days = (
            (dt.date.fromisoformat(said["first"]), dt.date.fromisoformat(said["last"]))
            if said["rows"]
            else None
        )
        aside = {
            dt.date.fromisoformat(day).isoformat(): {
                str(reason): int(count) for reason, count in counts.items()
            }
            for day, counts in said["set_aside"].items()
        }
        return place, Footer(int(said["rows"]), days, str(said["content_digest"]), aside, digest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise file.refuse("is malformed: its footer does not say what it holds") from None


def _check_place(
    file: MonthKey, stated: dict[str, Any], schema: Mapping[str, pl.DataType] | None = None
) -> None:
    """Refuse a file that states another month, or whose columns are of other types."""
    expected = {
        "table": file.table.name,
        "underlying": file.underlying,
        "month": file.month.isoformat()[:7],
    }
    for what, value in expected.items():
        if stated[what] != value:
            raise file.refuse(
                f"holds {what} {stated[what]}, expected {value}: it was moved or renamed"
            )
    if schema is None:
        return
    for column, dtype in file.schema.items():
        earlier = column in file.table.later and column not in schema
        if schema.get(column) != dtype and not earlier:
            raise file.refuse(
                f"has column {column!r} as {schema.get(column, 'nothing')}, expected {dtype}"
            )


def _footer_bytes(file: MonthFile, opened: IO[bytes], size: int) -> bytes:
    """The footer with its length and the closing magic number."""
    start = opened.read(4)
    opened.seek(max(size - 8, 0))
    end = opened.read(8)
    if size < 12 or start != _MAGIC or end[4:] != _MAGIC:
        cut = start == _MAGIC or size == 0
        raise file.refuse("is truncated: its footer is missing" if cut else "is not a Parquet file")
    length = 8 + struct.unpack("<I", end[:4])[0]
    if size - length < 4:
        raise file.refuse("is damaged: its footer is longer than the file")
    opened.seek(size - length)
    return opened.read(length)


def _varint(data: bytes) -> int:
    """A number of Thrift's compact protocol: seven bits a byte, the lowest first."""
    return sum((byte & 0x7F) << 7 * i for i, byte in enumerate(data))


def _checked_digest(file: MonthFile, opened: IO[bytes], before: int, footer: bytes) -> str:
    """The digest of a file; one whose bytes do not match the digest in its footer is refused.

    `before` is the number of bytes before the footer. Nothing is parsed: on an altered footer a
    Parquet reader may fail in any way, or succeed.
    """
    version = _FORMAT_PAIR.search(footer)
    found = _check_version(file, None if version is None else version[1].decode())
    stated, digest = _DIGEST_PAIR.findall(footer), _digest(opened, before, footer, found)
    if stated != [digest.encode()]:
        raise file.refuse(
            "was altered since it was written: its bytes do not match the digest in its footer"
        )
    return digest


def _check_version(file: MonthKey, found: str | None) -> str:
    """The version of a file's layout, refused if it is not one that is read."""
    if found is None:
        raise file.refuse("was not written by wheelvec, or another program has written it anew")
    if found not in _ALGORITHMS:
        raise file.refuse(
            f"has format {found!r}, expected {_VERSION!r}: another version of wheelvec wrote it"
        )
    return found


def _digest(opened: IO[bytes], before: int, footer: bytes, version: str) -> str:
    """The digest of a file with so many bytes `before` the footer, read in blocks."""
    digest = _ALGORITHMS[version]()
    opened.seek(0)
    while before > 0 and (block := opened.read(min(before, _BLOCK_BYTES))):
        digest.update(block)
        before -= len(block)
    digest.update(_DIGEST_PAIR.sub(lambda pair: pair[0][:-32] + _NO_DIGEST.encode(), footer))
    return str(digest.hexdigest()[: len(_NO_DIGEST)])


# ---- writing


def write(file: MonthFile, rows: pl.DataFrame, digest: str, aside: Aside) -> None:
    """Write a temporary file, read it back and compare, then rename it.

    A reader sees the old file or the new one. The caller synchronizes the folder.

    Args:
        file: the path, and the table, underlying and month to state; its folder exists, and the
            underlying is `manifest.locked`.
        rows: `Table.schema` columns, sorted by `Table.key`.
        digest: `validation.content_digest` of the rows, to state.
        aside: numbers of rows set aside, by day and reason.

    Raises:
        LakeError: if the file cannot be written, or other rows are read back than were written.
    """
    span = span_of(rows[file.table.day]) or (None, None)
    stated: dict[str, Any] = {
        "table": file.table.name,
        "underlying": file.underlying,
        "month": f"{file.month.isoformat()[:7]}",
    }
    stated |= {
        "rows": len(rows),
        "first": span[0],
        "last": span[1],
        "content_digest": digest,
        "set_aside": aside,
    }
    with atomic.replacing(file.path, folder_too=False) as temporary:
        _write_parquet(temporary, file, rows, json.dumps(stated, default=str))
        written = read(file.table, [replace(file, path=temporary)], dt.date.min, dt.date.max)
        if not written.equals(pl.DataFrame([rows[column] for column in written.columns])):
            raise file.refuse("cannot be written: what was read back differs from what was written")


def _write_parquet(path: Path, file: MonthFile, rows: pl.DataFrame, stated: str) -> None:
    """Write rows, and a footer with `stated` and the digest of all bytes."""
    import pyarrow
    import pyarrow.parquet

    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    if "underlying" in file.schema:  # of the type that readers of Hive folders infer from the path
        names = pyarrow.DictionaryArray.from_arrays(
            pyarrow.repeat(pyarrow.scalar(0, pyarrow.int32()), len(rows)), [file.underlying]
        )
        table = table.set_column(table.column_names.index("underlying"), "underlying", names)
    # prices differ from row to row: a dictionary of them takes longer, and compresses less
    repeated = [column for column in table.column_names if column not in _PRICES]
    with path.open("x+b") as opened:
        writer = pyarrow.parquet.ParquetWriter(
            opened,
            table.schema,
            compression="zstd",
            use_dictionary=repeated,
            write_batch_size=_ROW_GROUP,
        )
        writer.write_table(table, row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({_FORMAT: _VERSION, _STATED: stated, _DIGEST: _NO_DIGEST})
        writer.close()
        _sign(replace(file, path=path), opened)


def _sign(file: MonthFile, opened: IO[bytes]) -> None:
    """Write the digest into the footer."""
    size = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    footer = _footer_bytes(file, opened, size)
    pair = _DIGEST_PAIR.search(footer)
    assert pair, "the footer has the pair that was just written"
    digest = _digest(opened, size - len(footer), footer, _VERSION)
    opened.seek(size - len(footer) + pair.start(1))
    opened.write(digest.encode())
