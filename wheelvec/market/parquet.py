"""The lake's Parquet files, each written whole or not at all, and checked before a row of it is taken.

A file is written in small row groups with statistics under a temporary name, read back, then renamed. Its footer says what it
holds and has a digest over every byte of the file, the footer's included (a wrong statistic there would let a scan pass over
rows that it should read); both are checked at a file's first use, and again once the file has changed.
"""

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import secrets
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import polars as pl

from wheelvec.market import tables
from wheelvec.market.tables import Table
from wheelvec.spec.errors import LakeError

if sys.platform != "win32":
    import fcntl

# Entries of a footer: the version of this layout, what the file holds (JSON), and the digest of all bytes of the file, in
# which zeros stand for the digest itself.
_FORMAT, _STATED, _DIGEST = "wheelvec.format", "wheelvec.holds", "wheelvec.digest"
_VERSION = "2"
_NO_DIGEST = "0" * 32
# How an entry lies in the bytes of a footer (Thrift's compact protocol): key, field header, length, value.
_FORMAT_ENTRY = re.compile(_FORMAT.encode() + rb"\x18[\x01-\x09](\d+)")
_DIGEST_ENTRY = re.compile(_DIGEST.encode() + rb"\x18\x20([0-9a-f]{32})")
_ROW_GROUP = 32_768  # a few sessions of a chain: small enough to skip, large enough to compress
_MAGIC = b"PAR1"
_BLOCK_BYTES = 1 << 20

Span = tuple[dt.date, dt.date]
Aside = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Footer:
    """What a file says of itself: first and last day (None without rows), content digest, and rows set aside by day and
    reason."""

    rows: int
    days: Span | None
    digest: str
    aside: Aside


@dataclass(frozen=True)
class MonthFile:
    """One month of one table of one underlying."""

    table: Table
    underlying: str
    month: dt.date
    path: Path

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The columns of the file: those of the table, the underlying as a category as hive readers expect it."""
        categorical = {"underlying": pl.Categorical()} if "underlying" in self.table.schema else {}
        return {**self.table.schema, **categorical}

    def footer(self) -> Footer:
        """The verified footer.

        Raises:
            LakeError: if the file is missing, unreadable, truncated, foreign, altered or misplaced.
        """
        with reported(self.path, "cannot be read"):
            state = self.path.stat()
        return _verified(self, (state.st_ino, state.st_size, state.st_mtime_ns))

    def refuse(self, reason: str) -> LakeError:
        """The error that this file is not what it should be."""
        return LakeError(f"{self.path} {reason}")


@contextlib.contextmanager
def reported(path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong with a file into a LakeError that names it."""
    try:
        yield
    except LakeError:
        raise
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise LakeError(f"{path} {what}: {reason}") from error


def span_of(days: pl.Series) -> Span | None:
    """The first and last of some days; None of none."""
    first, last = days.min(), days.max()
    return (first, last) if isinstance(first, dt.date) and isinstance(last, dt.date) else None


# ---- reading


def read(
    table: Table, files: list[MonthFile], first: dt.date, last: dt.date, wanted: tuple[str, ...] | None = None
) -> pl.DataFrame:
    """Rows with `first` <= day <= `last` of files of one underlying, in their order, all verified; of `Table.schema` the
    `wanted` columns, or all.

    Raises:
        LakeError: if one of the files is not what it should be.
    """
    schema = {c: dtype for c, dtype in table.schema.items() if wanted is None or c in wanted}
    held = [(file, footer.rows, footer.days) for file in files if (footer := file.footer()).days is not None]
    held = [found for found in held if found[2][0] <= last and found[2][1] >= first]
    if not held:
        return pl.DataFrame(schema=schema)
    path = held[0][0].path if len(held) == 1 else held[0][0].path.parent
    cut = any(days[0] < first or days[1] > last for _, _, days in held)
    rows = pl.scan_parquet([file.path for file, _, _ in held], hive_partitioning=False, glob=False)
    # the path has named the underlying, and was verified: reading the column would only give it as a category
    columns = [pl.lit(held[0][0].underlying).alias(c) if c == "underlying" else pl.col(c) for c in schema]
    with reported(path, "cannot be read"):
        found = (rows.filter(pl.col(table.day).is_between(first, last)) if cut else rows).select(columns).collect()
    if not cut and len(found) != (expected := sum(n for _, n, _ in held)):
        raise LakeError(f"{path} holds {len(found)} rows, expected {expected}")
    return found


@lru_cache(maxsize=1 << 16)
def _verified(file: MonthFile, state: tuple[int, int, int]) -> Footer:
    """Check a file once for as long as it stays the same file (inode, size, time of change)."""
    with reported(file.path, "cannot be read"), file.path.open("rb") as opened:
        footer = _footer_bytes(file, opened, state[1])
        _check_bytes(file, opened, state[1] - len(footer), footer)
    with reported(file.path, "cannot be read"):
        stated = json.loads(pl.read_parquet_metadata(file.path)[_STATED])
        schema = dict(pl.read_parquet_schema(file.path))
    _check_place(file, stated, schema)
    days = (dt.date.fromisoformat(stated["first"]), dt.date.fromisoformat(stated["last"])) if stated["rows"] else None
    return Footer(stated["rows"], days, stated["content_digest"], stated["set_aside"])


def _check_place(file: MonthFile, stated: dict[str, Any], schema: dict[str, pl.DataType]) -> None:
    expected = {"table": file.table.name, "underlying": file.underlying, "month": file.month.isoformat()[:7]}
    for what, value in expected.items():
        if stated[what] != value:
            raise file.refuse(f"holds {what} {stated[what]}, expected {value}: it was moved or renamed")
    for column, dtype in file.schema.items():
        if schema.get(column) != dtype:
            raise file.refuse(f"has column {column!r} as {schema.get(column, 'nothing')}, expected {dtype}")


def _footer_bytes(file: MonthFile, opened: IO[bytes], size: int) -> bytes:
    """The footer with its length and the closing magic."""
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


def _check_bytes(file: MonthFile, opened: IO[bytes], before: int, footer: bytes) -> None:
    """Refuse a file whose bytes, `before` the footer and of it, are not those that were written. Nothing is parsed: what
    reads Parquet may fail in any way, or succeed, on a footer that was altered."""
    version = _FORMAT_ENTRY.search(footer)
    if version is None:
        raise file.refuse("was not written by wheelvec, or another program has written it anew")
    if (found := version[1].decode()) != _VERSION:
        raise file.refuse(f"has format {found!r}, expected {_VERSION!r}: another version of wheelvec wrote it")
    stated = _DIGEST_ENTRY.findall(footer)
    if stated != [_digest(opened, before, footer).encode()]:
        raise file.refuse("was altered since it was written: its bytes do not match the digest in its footer")


def _digest(opened: IO[bytes], before: int, footer: bytes) -> str:
    """The digest of a file of which so many bytes lie `before` the footer, read in blocks."""
    digest = hashlib.blake2b(digest_size=16)
    opened.seek(0)
    while before > 0 and (block := opened.read(min(before, _BLOCK_BYTES))):
        digest.update(block)
        before -= len(block)
    digest.update(_DIGEST_ENTRY.sub(lambda entry: entry[0][:-32] + _NO_DIGEST.encode(), footer))
    return digest.hexdigest()


# ---- writing


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one writer at a time read, merge and replace files of a folder. The lock ends with its process; on Windows
    there is none, and two writers must not share a folder there."""
    if sys.platform == "win32":
        yield
        return
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write(file: MonthFile, rows: pl.DataFrame, digest: str, aside: Aside) -> None:
    """Write beside the file, check what was written, then rename: a reader sees the old file or the new one.

    Args:
        file: where, and what it is said to hold; its folder exists and is `locked`.
        rows: `Table.schema` columns, sorted by `Table.key`.
        digest: `tables.content_digest` of the rows.
        aside: how many rows were set aside, by day and reason.

    Raises:
        LakeError: if other rows are read back than were written.
        OSError: if the file cannot be written.
    """
    unfinished = file.path.with_name(f".{file.path.stem}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        span = span_of(rows[file.table.day]) or (None, None)
        stated: dict[str, Any] = {
            "table": file.table.name,
            "underlying": file.underlying,
            "month": f"{file.month.isoformat()[:7]}",
        }
        stated |= {"rows": len(rows), "first": span[0], "last": span[1], "content_digest": digest, "set_aside": aside}
        _write_parquet(unfinished, file, rows, json.dumps(stated, default=str))
        written = read(file.table, [replace(file, path=unfinished)], dt.date.min, dt.date.max)
        if tables.content_digest(file.table, written) != digest:
            raise file.refuse("cannot be written: what was read back differs from what was written")
        unfinished.replace(file.path)
        sync_folder(file.path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_parquet(path: Path, file: MonthFile, rows: pl.DataFrame, stated: str) -> None:
    """Rows, then a footer with `stated` and the digest of all bytes."""
    import pyarrow
    import pyarrow.parquet

    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    if "underlying" in file.schema:  # the type that readers of hive folders infer from the path, so that the two agree
        names = table["underlying"].cast(pyarrow.string()).dictionary_encode()
        table = table.set_column(table.column_names.index("underlying"), "underlying", names)
    with path.open("x+b") as opened:
        writer = pyarrow.parquet.ParquetWriter(opened, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=_ROW_GROUP)
        writer.add_key_value_metadata({_FORMAT: _VERSION, _STATED: stated, _DIGEST: _NO_DIGEST})
        writer.close()
        _sign(replace(file, path=path), opened)
        opened.flush()
        os.fsync(opened.fileno())


def _sign(file: MonthFile, opened: IO[bytes]) -> None:
    """Put the digest in its place in the footer."""
    size = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    footer = _footer_bytes(file, opened, size)
    entry = _DIGEST_ENTRY.search(footer)
    assert entry, "the footer has the entry that was just written"
    digest = _digest(opened, size - len(footer), footer)
    opened.seek(size - len(footer) + entry.start(1))
    opened.write(digest.encode())


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder outlast a loss of power."""
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
