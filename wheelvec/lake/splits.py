"""The splits and renames of a lake: one CSV file, which people write too (data.md).

    lake/splits.csv
        underlying,ex_date,numerator,denominator,new_underlying
        TSLA,2022-08-25,3,1,

Blank lines, and lines that begin with #, are comments. A write keeps all lines whose rows it does
not replace as they are, so that a user's notes and spelling survive it.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from wheelvec.lake import files
from wheelvec.lake.joining import Counts
from wheelvec.model import atomic
from wheelvec.model.errors import DataError, InputError, LakeError, no_file
from wheelvec.tables import validation
from wheelvec.tables.validation import SPLITS

NAME = "splits.csv"
_COLUMNS = list(SPLITS.schema)
_HEADER = ",".join(_COLUMNS)


def read(root: Path) -> pl.DataFrame | None:
    """The rows of a lake's splits, `schemas.SPLITS` in the order of the file; None without one.

    Raises:
        LakeError: if the file cannot be read.
    """
    text = _Text.of(root / NAME)
    return None if text is None else text.rows


def rows_of(path: object, text: str) -> pl.DataFrame:
    """The rows of a lake's splits from the text of the file; `path` is for messages.

    Raises:
        LakeError: if a line is at fault.
    """
    return _Text.parsed(path, text).rows


def read_file(path: Path) -> pl.DataFrame:
    """The rows of a user's file of splits, CSV or Parquet, as by `validation.read`.

    Raises:
        InputError: if there is no such file.
        DataError: if it cannot be read, lacks a column, or holds a value that cannot be converted.
    """
    if not path.is_file():
        raise InputError(f"splits {path}: {no_file(path)}")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return validation.read(SPLITS.name, pl.scan_parquet(path, glob=False))
        text = _Text.of(path)
    except LakeError as error:
        raise DataError(str(error)) from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    assert text is not None
    return text.rows


def merge(root: Path, rows: pl.DataFrame) -> Counts:
    """Add splits to a lake's, in one atomic write; a row replaces those of the same key.

    Args:
        root: the lake's folder, which exists.
        rows: `schemas.SPLITS`, at most one per underlying and ex-date.

    Returns:
        The numbers of rows added and replaced (by an equal row or not).

    Raises:
        LakeError: if the file cannot be read or written.
    """
    path = root / NAME
    with files.locked(root):
        text = _Text.of(path)
        made, replaced = (text or _Text.new()).merged(rows)
        if text is None or made != text.whole:
            with atomic.replacing(path) as temporary:
                temporary.write_bytes(made.encode())
    return Counts(len(rows) - replaced, replaced)


def successors(rows: pl.DataFrame, underlyings: Iterable[str]) -> set[str]:
    """The names that some underlyings, or their successors, took later."""
    renames = rows.drop_nulls(["underlying", "new_underlying"])
    found, new = set(underlyings), set(underlyings)
    while new:
        later = renames.filter(pl.col("underlying").is_in(list(new)))["new_underlying"]
        new = set(later) - found
        found |= new
    return found - set(underlyings)


@dataclass(frozen=True)
class _Text:
    """The lines of a file of splits.

    Attributes:
        lines: all lines with their ends.
        header: the number of the line that names the columns.
        names: these columns.
        places: (n,) the number of the line of each row.
        rows: (n,) the rows, `schemas.SPLITS`.
    """

    lines: list[str]
    header: int
    names: list[str]
    places: list[int]
    rows: pl.DataFrame

    @classmethod
    def new(cls) -> Self:
        """A file without rows."""
        return cls([f"{_HEADER}\n"], 0, _COLUMNS, [], pl.DataFrame(schema=SPLITS.schema))

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """The lines of a file; None if there is none.

        Raises:
            LakeError: naming the file, and the line where one is at fault.
        """
        try:
            whole = path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LakeError(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise LakeError(f"{path} cannot be read: it is not text in UTF-8") from None
        return cls.parsed(path, whole)

    @classmethod
    def parsed(cls, path: object, whole: str) -> Self:
        """The lines of the text of a file; `path` is for messages.

        Raises:
            LakeError: naming the file, and the line where one is at fault.
        """
        lines = io.StringIO(whole, newline="").readlines()
        cells = {
            at: [cell.strip() for cell in next(csv.reader([line.lstrip("\ufeff")]))]
            for at, line in enumerate(lines)
            if line.strip("\ufeff \t\r\n,") and not line.lstrip("\ufeff \t").startswith("#")
        }
        if not cells:
            raise LakeError(f"{path} has no line that names the columns; expected {_HEADER}")
        header, *places = cells
        names = [name.lower() for name in cells[header]]
        return cls(lines, header, names, places, _converted(path, names, cells, places))

    @property
    def whole(self) -> str:
        """The text of the file."""
        return "".join(self.lines)

    def merged(self, rows: pl.DataFrame) -> tuple[str, int]:
        """The text with more rows, and how many of them replace one of the same key."""
        renamed = rows["new_underlying"].null_count() < len(rows)
        names = [*self.names, *(c for c in _COLUMNS if c not in self.names and renamed)]
        end = "\r\n" if self.lines[self.header].endswith("\r\n") else "\n"
        lines: list[str | None] = [*self.lines]
        if names != self.names:
            lines[self.header] = self.lines[self.header].rstrip("\r\n") + f",{names[-1]}{end}"
        held: dict[tuple[object, ...], list[int]] = {}
        for at, row in zip(self.places, self.rows.rows(), strict=True):
            held.setdefault(row[:2], []).append(at)
        kept = dict(zip(self.places, self.rows.rows(), strict=True))
        added, replaced = [], 0
        for row in rows.select(_COLUMNS).iter_rows():
            made = line(dict(zip(_COLUMNS, row, strict=True)), names) + end
            if (places := held.get(row[:2])) is None:
                added.append(made)
                continue
            replaced += 1
            for at in places[1:]:
                lines[at] = None
            if kept[places[0]] != row:
                lines[places[0]] = made
        text = "".join(kept_line for kept_line in lines if kept_line is not None)
        return (text if text.endswith("\n") or not added else text + end) + "".join(added), replaced


def line(row: Mapping[str, object], names: Sequence[str] = tuple(SPLITS.schema)) -> str:
    """A row as a line of the file, without its end."""
    made = io.StringIO()
    values = [row.get(name) for name in names]
    csv.writer(made, lineterminator="").writerow(["" if v is None else v for v in values])
    return made.getvalue()


def _converted(
    path: object, names: list[str], cells: dict[int, list[str]], places: list[int]
) -> pl.DataFrame:
    """The cells of some lines as `schemas.SPLITS`; an empty one is null."""
    for at in places:
        if len(cells[at]) > len(names):
            raise LakeError(
                f"{path}, line {at + 1}, has {len(cells[at])} values for {len(names)} columns"
            )
    rows = [[*cells[at], *[""] * (len(names) - len(cells[at]))] for at in places]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    given = {
        name: pl.Series(name, [value or None for value in values], dtype=pl.String)
        for name, values in zip(names, columns, strict=True)
    }
    try:
        return validation.read(SPLITS.name, pl.DataFrame(given))
    except DataError as error:
        raise LakeError(f"{path}: {error}") from error
