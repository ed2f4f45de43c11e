"""Rows of CSV and Parquet files in batches, with the columns of a layout's fields.

A text is cut into blocks, and a Parquet file into row groups, on one thread; they are parsed on
others, several at a time, and come in the order of the file.
"""

import contextlib
import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from wheelvec.model.errors import DataError, cut
from wheelvec.vendors.files import blocks
from wheelvec.vendors.files.cells import Rows, Source, header_in
from wheelvec.vendors.files.layout import NUMBERS, Layout, normalised

PARSERS = 2  # batches parsed at a time
PARQUET_ROWS = 1 << 20  # of a Parquet file, that are read together
_LARGE_GROUP = 400_000_000  # bytes of a row group, uncompressed
_SEPARATORS = (",", "\t", ";", "|")

Parse = Callable[[], Rows]  # the parsing of one batch


def read(path: Path, layout: Layout) -> Iterator[Rows]:
    """The rows of one file, or of the files in a zip, in batches.

    The next batches are read and parsed while one is worked on.

    Args:
        path: of the file.
        layout: its layout.

    Raises:
        InputError: if there is no such file, or it cannot be read.
        DataError: for a file that is empty, cut off or damaged, of another layout, or has a line of
            another number of columns; naming what was found where, and what was expected.
    """
    parses = _parquet(path, layout) if blocks.is_parquet(path) else _texts(path, layout)
    yield from _in_order(parses)


def _texts(path: Path, layout: Layout) -> Iterator[Parse]:
    for text in blocks.texts(path):
        yield from _Csv(text, layout).parses()


def _in_order(parses: Iterator[Parse]) -> Iterator[Rows]:
    """The batches in their order, `PARSERS` of them parsed at a time, and the next one read."""
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(PARSERS) as parsers:

        def begin() -> Future[Rows] | None:
            parse = next(parses, None)
            return None if parse is None else parsers.submit(parse)

        waiting = deque(reader.submit(begin) for _ in range(PARSERS + 1))
        while (begun := waiting.popleft().result()) is not None:
            rows = begun.result()
            waiting.append(reader.submit(begin))
            yield rows


# ---- CSV


class _Csv:
    """One CSV text."""

    def __init__(self, text: blocks.Text, layout: Layout) -> None:
        self._text, self._layout = text, layout
        self._separator = ","
        self._source: Source | None = None
        self._names = b""  # a line of names, before each block once the header is known

    def parses(self) -> Iterator[Parse]:
        """The parsing of each block of the text."""
        line = 1
        for block in blocks.blocks(self._text, blocks.BLOCK, lambda: self._names):
            if self._source is None:
                skipped = len(block) - len(block.lstrip(b"\n"))
                line += skipped
                header, _, block = block[skipped:].partition(b"\n")
                if not header.strip():
                    continue
                line += 1
                self._source = self._begun(header)
                block = self._names + block
            if ends := _count(block, b"\n") - 1:
                yield partial(self._parsed, block, line, ends)
            line += ends
        if self._source is None:
            raise DataError(f"{self._text.name} is empty: expected a header and rows")

    def _begun(self, header: bytes) -> Source:
        line = header.decode("utf-8", "replace")
        self._separator = max(_SEPARATORS, key=line.count)
        reader = csv.reader([line], delimiter=self._separator, skipinitialspace=True)
        try:
            names = next(reader, [])
        except csv.Error as error:
            raise self._no_csv(header, 1, error) from None
        if self._layout.missing_from(names):
            raise DataError(f"{self._text.name} {self._layout.refusal(names)}")
        self._layout.refuse_doubled(self._text.name, names)
        # and one column more than the header has: it is null unless a line is too long
        numbered = self._separator.join(f"c{i}" for i in range(len(names) + 1))
        self._names = f"{numbered}\n".encode()
        at = self._layout.matched(names)
        return Source(self._text.name, self._layout, names, at, comma=self._separator != ";")

    def _parsed(self, block: bytes, line: int, ends: int) -> Rows:
        """The rows of a block: numbers read as numbers, or as texts if any is not plain.

        Args:
            block: a line of names, and whole lines.
            line: the number of its first line after the names.
            ends: how many lines it has after the names.
        """
        assert self._source is not None
        spaced = f"{self._separator} ".encode()
        if spaced in block[:4096]:  # ", " between the columns
            block = block.replace(spaced, self._separator.encode())
        at = self._source.at
        typed = {f: pl.Float64() if _field(f) in NUMBERS else pl.String() for f in at}
        try:
            frame = self._read(block, typed)
        except pl.exceptions.PolarsError:
            return self._read_as_texts(block, line)
        last = max(at, key=lambda each: at[each])
        # a short line may have all columns that are read, the last of them cut: 1 for 12.30
        if frame[last].null_count() or not self._even(block, ends):
            return self._without_odd_lines(block, frame, line)
        return Rows(self._source, frame, line)

    def _lines(self, block: bytes) -> bytes:
        """The lines of a block after those of names."""
        return block[len(self._names) :]

    def _even(self, block: bytes, ends: int) -> bool:
        """Whether all lines have as many columns as the header, or a blank one more at their end.

        The separators of the block are counted first, which takes a hundredth of the time of its
        parsing; only if they are not those of even lines, those of each line are.
        """
        assert self._source is not None
        separators, quoted = len(self._source.header) - 1, b'"' in block
        # the line of names has one more than the others
        even = (ends + 1) * separators + 1
        if not quoted and _count(block, self._separator.encode()) == even:
            return True
        text = np.frombuffer(block, np.uint8)
        at = np.flatnonzero(text == ord(self._separator))
        stops = np.flatnonzero(text == ord("\n"))
        if quoted:  # what lies between quotes separates nothing
            quotes = np.flatnonzero(text == ord('"'))
            at = at[np.searchsorted(quotes, at) % 2 == 0]
            stops = stops[np.searchsorted(quotes, stops) % 2 == 0]
        columns = np.diff(np.searchsorted(at, stops), prepend=0)
        return bool(((columns == separators) | (columns == separators + 1)).all())

    def _read(self, block: bytes, typed: dict[str, Any]) -> pl.DataFrame:
        assert self._source is not None
        at = self._source.at
        width = len(self._source.header)
        positions = [*sorted(set(at.values())), width]
        schema = {f"c{at[each]}": dtype for each, dtype in typed.items()}
        frame = pl.read_csv(
            block,
            separator=self._separator,
            columns=[f"c{i}" for i in positions],
            schema_overrides=schema,
            infer_schema=False,
            # to replace what is not UTF-8 takes a quarter of the time of parsing
            encoding="utf8" if block.isascii() else "utf8-lossy",
            glob=False,
        )
        beyond = frame[f"c{width}"]
        if beyond.null_count() < len(beyond) and (beyond.str.strip_chars() != "").any():
            raise pl.exceptions.ComputeError("a line has more columns than the header")
        return pl.DataFrame({each: frame[f"c{i}"] for each, i in at.items()})

    def _read_as_texts(self, block: bytes, line: int) -> Rows:
        assert self._source is not None
        try:
            frame = self._read(block, dict.fromkeys(self._source.at, pl.String()))
        except pl.exceptions.PolarsError as error:
            self._refuse_odd_line(self._lines(block), line)
            raise self._no_csv(self._lines(block), line, error) from error
        return self._without_odd_lines(block, frame, line)

    def _without_odd_lines(self, block: bytes, frame: pl.DataFrame, line: int) -> Rows:
        """The rows without blank lines and repeated headers; other lines must be whole."""
        assert self._source is not None
        self._refuse_odd_line(self._lines(block), line)
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        repeated = pl.repeat(False, len(frame), dtype=pl.Boolean, eager=True)
        texts = [each for each, dtype in frame.schema.items() if dtype == pl.String]
        if len(texts) == len(frame.columns):  # a header does not parse as numbers
            same = [
                pl.col(each).str.strip_chars(" \t\"'[]").str.to_lowercase()
                == normalised(self._source.column(each))
                for each in texts
            ]
            repeated = frame.select(pl.all_horizontal(same).fill_null(False)).to_series()
        kept = ~(blank | repeated)
        numbers = pl.Series("line", range(line, line + len(frame)), dtype=pl.Int64)
        headers = int(repeated.sum())
        return Rows(
            self._source, frame.filter(kept), line, lines=numbers.filter(kept), headers=headers
        )

    def _refuse_odd_line(self, block: bytes, line: int) -> None:
        """Raise for the first line of another number of columns, or another layout's header."""
        assert self._source is not None
        text = io.StringIO(block.decode("utf-8", "replace"), newline="")
        reader = csv.reader(text, delimiter=self._separator)
        width = len(self._source.header)
        mine = [normalised(name) for name in self._source.header]
        try:
            self._refuse_odd_cells(reader, line, width, mine)
        except csv.Error as error:
            raise self._no_csv(block, line, error) from None

    def _refuse_odd_cells(self, reader: Any, line: int, width: int, mine: Sequence[str]) -> None:
        """Raise for the first row of `reader` that `_refuse_odd_line` refuses."""
        for cells in reader:
            at = line + reader.line_num - 1
            # header names are texts, and lines of figures are many: look at the few others only
            if len(cells) == width and any(cell[:1].isdigit() for cell in cells):
                continue
            if not cells or cells == [""] or [normalised(cell) for cell in cells] == mine:
                continue
            if header := header_in(cells, self._layout):
                raise DataError(
                    f"{self._text.name} line {at} is {header}: a file must have one layout; "
                    "split it there"
                )
            if len(cells) != width and not (len(cells) == width + 1 and not cells[-1].strip()):
                if any("\n" in cell for cell in cells):
                    raise csv.Error("a cell of several lines")
                raise self._wrong_width(cells, width, at)

    def _no_csv(self, block: bytes, line: int, error: Exception) -> DataError:
        """The error of lines that cannot be split into cells, by the first odd double quote."""
        for number, text in enumerate(block.split(b"\n"), line):
            if text.count(b'"') % 2:
                return DataError(
                    f"{self._text.name} line {number} has a double quote that none closes: "
                    f"{cut(text.decode('utf-8', 'replace'))}; expected pairs of them around cells"
                )
        reason = " ".join(str(error).split())[:200]
        return DataError(f"{self._text.name} is no CSV from line {line} on: {reason}")

    def _wrong_width(self, cells: Sequence[str], width: int, line: int) -> DataError:
        short = len(cells) < width
        more = (
            "; it may be cut off there"
            if short
            else '; a comma between thousands must be in quotes, as in "1,234.50"'
        )
        return DataError(
            f"{self._text.name} line {line} has {len(cells)} columns, expected the header's "
            f"{width}{more}"
        )


def _count(block: bytes, sign: bytes) -> int:
    """How often a byte is there; NumPy counts in a tenth of the time of `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord(sign)))


def _field(name: str) -> str:
    """The field without the side of a wide layout: C.bid is bid."""
    return name.rpartition(".")[2]


# ---- Parquet


def _parquet(path: Path, layout: Layout) -> Iterator[Parse]:
    """The parsing of each batch: whole row groups by Polars, the faster, large ones by page."""
    import pyarrow.parquet

    with (
        _as_parquet(path),
        pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file,
    ):
        names = list(file.schema_arrow.names)
        if layout.missing_from(names):
            raise DataError(f"{path} {layout.refusal(names)}")
        layout.refuse_doubled(str(path), names)
        source = Source(str(path), layout, names, layout.matched(names))
        wanted = sorted({names[i] for i in source.at.values()})
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if any(group.total_byte_size > _LARGE_GROUP for group in groups):
            yield from _pages(file, source, wanted)
            return
        rows = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(wanted)
        for first, count in _batches(groups):
            yield partial(_collected, source, rows.slice(first, count), first, count)


def _pages(file: Any, source: Source, wanted: list[str]) -> Iterator[Parse]:
    """The rows of large row groups."""
    seen = 0
    for batch in file.iter_batches(PARQUET_ROWS, columns=wanted):
        found = pl.from_arrow(batch)
        assert isinstance(found, pl.DataFrame)
        yield partial(_rows_of, source, found, seen)
        seen += len(found)
    if seen != (expected := file.metadata.num_rows):
        raise DataError(f"{source.name} is damaged: {seen} rows, expected {expected}")


def _batches(groups: list[Any]) -> Iterator[tuple[int, int]]:
    """The first row and the number of rows of successive row groups that are read together."""
    first = count = size = 0
    for group in groups:
        if count and (count + group.num_rows > PARQUET_ROWS or size > _LARGE_GROUP):
            yield first, count
            first, count, size = first + count, 0, 0
        count, size = count + group.num_rows, size + group.total_byte_size
    if count:
        yield first, count


def _collected(source: Source, rows: pl.LazyFrame, first: int, count: int) -> Rows:
    with _as_parquet(Path(source.name)):
        found = rows.collect()
    if len(found) != count:
        raise DataError(f"{source.name} is damaged: {len(found)} rows, expected {count}")
    return _rows_of(source, found, first)


def _rows_of(source: Source, found: pl.DataFrame, before: int) -> Rows:
    """The rows of a batch that has so many rows before it."""
    return Rows(source, _fields(source, found), before + 1, "row")


@contextlib.contextmanager
def _as_parquet(path: Path) -> Iterator[None]:
    """Turn the errors of reading Parquet into a DataError that names the file."""
    import pyarrow

    try:
        yield
    except (
        pyarrow.ArrowException,
        OSError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is not readable as Parquet: {reason}") from error


def _fields(source: Source, found: pl.DataFrame) -> pl.DataFrame:
    texts = [
        pl.col(c).cast(pl.String)
        for c, dtype in found.schema.items()
        if isinstance(dtype, pl.Categorical | pl.Enum)
    ]
    found = found.with_columns(texts)
    return found.select(**{each: pl.col(source.header[i]) for each, i in source.at.items()})
