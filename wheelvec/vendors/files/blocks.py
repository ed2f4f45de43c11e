"""The text of CSV files in blocks of whole lines: plain, gzip, zstd, or members of a zip.

Memory holds a block or two, however large a file is or inflates to.
"""

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wheelvec.model.errors import DataError, InputError, listed, no_file

BLOCK = 1 << 23  # bytes of text that are parsed together: more are slower to allocate
_LONGEST_LINE = 1 << 20
_GZIP, _ZSTD, _ZIP, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"
_EMPTY_ZIP = b"PK\x05\x06"
_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OTHERS = {
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save its sheet as CSV",
    b"SQLite": "a database of SQLite",
    b"ARROW1": "a file of Arrow",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"\xfd7zXZ": "compressed with xz: unpack it",
    b"BZh": "compressed with bzip2: unpack it",
    b"Rar!": "a RAR archive: unpack it",
}
# a file in a zip that is no archive of texts
_BOOKS = {
    "xl/workbook.xml": "an Excel workbook",
    "xl/workbook.bin": "an Excel workbook",
    "content.xml": "an OpenDocument spreadsheet",
}


@dataclass(frozen=True)
class Text:
    """One CSV text: a file, or a member of a zip.

    Attributes:
        name: the path, with the member in brackets.
        file: the path whose name may state the underlying.
        opened: opens the text, inflated.
    """

    name: str
    file: Path
    opened: Callable[[], contextlib.AbstractContextManager[IO[bytes]]]


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet files do.

    Raises:
        InputError: if there is no such file, or it cannot be read or is empty.
    """
    return _begins(path).startswith(_PARQUET)


def texts(path: Path) -> list[Text]:
    """The CSV texts in a file: itself, or the members of a zip.

    Raises:
        InputError: if there is no such file, or it cannot be read.
        DataError: if it is empty, a zip that is cut off or holds no text, or of another kind.
    """
    begins = _begins(path)
    if begins.startswith((_ZIP, _EMPTY_ZIP)):
        return _members(path)
    for start, kind in _OTHERS.items():
        if begins.startswith(start):
            raise DataError(f"{path} is neither CSV nor Parquet, but {kind}")
    return [Text(str(path), path, lambda: _inflated(path, begins))]


def _begins(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: {no_file(path)}")
    with _reported(str(path)), path.open("rb") as opened:
        begins = opened.read(8)
    if not begins:
        raise DataError(f"{path} is empty: expected a header and rows")
    return begins


def _members(path: Path) -> list[Text]:
    with _reported(str(path)), zipfile.ZipFile(path) as archive:
        items = [item for item in archive.infolist() if not item.is_dir()]
    for inside, kind in _BOOKS.items():
        if inside in {item.filename for item in items}:
            raise DataError(f"{path} is neither CSV nor Parquet, but {kind}: save its sheet as CSV")
    items = [item for item in items if "__MACOSX" not in item.filename and item.file_size]
    kept = [i for i in items if i.filename.lower().endswith((".csv", ".txt", ".tsv"))] or items
    if not kept:
        raise DataError(f"{path} is a zip without a file in it")
    if locked := [item.filename for item in kept if item.flag_bits & 1]:
        raise DataError(f"{path} holds {listed(locked, 3)} with a password: unpack it first")
    return [
        Text(f"{path}[{item.filename}]", Path(item.filename), _opener(path, item.filename))
        for item in sorted(kept, key=lambda item: item.filename)
    ]


def _opener(path: Path, member: str) -> Callable[[], contextlib.AbstractContextManager[IO[bytes]]]:
    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as text:
            yield text

    return opened


def _inflated(path: Path, begins: bytes) -> contextlib.AbstractContextManager[IO[bytes]]:
    if begins.startswith(_GZIP):
        return _gzip(path)
    if begins.startswith(_ZSTD):
        return _zstd(path)
    return path.open("rb")


@contextlib.contextmanager
def _gzip(path: Path) -> Iterator[IO[bytes]]:
    with gzip.open(path, "rb") as stream:
        yield stream  # type: ignore[misc]


@contextlib.contextmanager
def _zstd(path: Path) -> Iterator[IO[bytes]]:
    import pyarrow

    with pyarrow.input_stream(str(path), compression="zstd") as stream:
        yield stream


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Turn errors of reading and inflating into a DataError that names the file."""
    try:
        yield
    except (EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"{name} is cut off or damaged: {error}") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        if error.errno is None:  # gzip and Arrow name damage so
            raise DataError(f"{name} is cut off or damaged: {reason}") from error
        raise InputError(f"{name}: cannot be read: {reason}") from error


def blocks(text: Text, size: int = BLOCK, before: Callable[[], bytes] = bytes) -> Iterator[bytes]:
    r"""Whole lines of a text, about `size` bytes at a time, without a byte-order mark.

    Ends of lines become \n. The last line ends with one even if the file's does not.

    Args:
        text: that is read.
        size: bytes.
        before: returns what to put before the lines of the next block, which then need not be
            copied once more for it.

    Raises:
        DataError: if the text is cut off, damaged, in UTF-16, or has a line without end.
    """
    with _reported(text.name), text.opened() as opened:
        rest, first = b"", True
        while block := opened.read(size):
            if first:
                _check_start(text.name, block)
                block, first = block.removeprefix(_MARK), False
            end = block.rfind(b"\n") + 1
            if not end:
                rest += block
                if len(rest) > max(size, _LONGEST_LINE) + _LONGEST_LINE:
                    raise DataError(f"{text.name} has a line of over {len(rest):,} bytes: no CSV")
                continue
            whole, rest = b"".join((before(), rest, memoryview(block)[:end])), block[end:]
            yield _with_plain_ends(whole)
        if rest:
            yield _with_plain_ends(before() + rest + b"\n")


def _check_start(name: str, block: bytes) -> None:
    if block.startswith(_UTF_16):
        raise DataError(f"{name} is in UTF-16: save it as CSV in UTF-8")
    if b"\0" in block[:4096]:
        raise DataError(f"{name} is no text, and so no CSV")


def _with_plain_ends(lines: bytes) -> bytes:
    return lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in lines else lines
