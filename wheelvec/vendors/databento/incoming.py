"""Downloads that were paid for and are not yet in the tables of a lake.

    lake/.incoming/underlying=TSLA/option_quotes.20230705T194500.20230705T194600.dbn.zst

An answer is written here as soon as it has arrived, and removed once the tables have its rows.
After a crash, the next run first writes the remaining downloads into the tables, so that they are
not paid for again.
"""

import contextlib
import datetime as dt
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from wheelvec.lake import files
from wheelvec.model import atomic
from wheelvec.model.errors import LakeError
from wheelvec.vendors.databento.requests import Request

log = logging.getLogger(__name__)

FOLDER = ".incoming"
_TRIES = 100  # to lock a folder that others remove meanwhile
_STAMP = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(\w+)\.(\d{8}T\d{6})\.(\d{8}T\d{6})(\.again)?\.dbn\.zst")


@dataclass(frozen=True)
class Download:
    """The answer to one request, in a file.

    Attributes:
        path: the file.
        underlying: the underlying of its rows.
        table: the table that it fills.
        start, end: the requested time, UTC; the end is excluded.
        again: whether its rows replace those that the lake has of these sessions.
    """

    path: Path
    underlying: str
    table: str
    start: dt.datetime
    end: dt.datetime
    again: bool = False

    @classmethod
    def named(cls, path: Path, underlying: str) -> Self | None:
        """The download that a file's name states; None for any other name."""
        form = _NAME.fullmatch(path.name)
        if form is None:
            return None
        start, end = (
            dt.datetime.strptime(text, _STAMP).replace(tzinfo=dt.UTC) for text in form.group(2, 3)
        )
        return cls(path, underlying, form[1], start, end, form[4] is not None)

    def remove(self) -> None:
        """Remove the file, once the tables have its rows."""
        self.path.unlink(missing_ok=True)


def keep(root: Path, request: Request, data: bytes) -> Download:
    """Write an answer to disk, whole or not at all.

    Raises:
        LakeError: if it cannot be written.
    """
    again = ".again" if request.again else ""
    path = (
        _folder(root, request.underlying)
        / f"{request.table}.{request.start:{_STAMP}}.{request.end:{_STAMP}}{again}.dbn.zst"
    )
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(data)
    return Download(
        path, request.underlying, request.table, request.start, request.end, request.again
    )


def left(root: Path, underlying: str) -> list[Download]:
    """The downloads that an earlier run left, minutes first, because quotes need their price."""
    folder = _folder(root, underlying)
    files.remove_stale(folder)
    found = [
        download
        for path in sorted(folder.iterdir())
        if (download := Download.named(path, underlying))
    ]
    return sorted(found, key=lambda download: download.table != "underlying_minutes")


@contextlib.contextmanager
def reserved(root: Path, symbols: Sequence[str]) -> Iterator[None]:
    """Lock underlyings of a lake, so that two processes do not pay for the same data.

    Another process waits. The locks end with the process. A lake that was made here and stays empty
    is removed; its empty folder may stay where another process makes its own in it meanwhile.

    Raises:
        LakeError: if the lake cannot be written to, before anything is paid for.
    """
    made: list[Path] = []
    with contextlib.ExitStack() as locks:
        try:
            for symbol in sorted(symbols):  # in one order, so that no two wait for each other
                _reserve(_folder(root, symbol), symbol, locks, made)
            yield
        finally:  # before another process that waits goes on
            _remove_unused(root, symbols)
            for folder in sorted(set(made), reverse=True):  # the innermost first; only empty ones
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _reserve(folder: Path, symbol: str, locks: contextlib.ExitStack, made: list[Path]) -> None:
    """Lock the folder of an underlying; `made` gets the folders that had to be made."""
    for further in range(_TRIES - 1, -1, -1):  # another process may remove it with an unused lake
        try:
            with atomic.writing(folder):
                files.make(folder, made)
            lock = locks.enter_context(_lock(folder, symbol))
        except LakeError:
            if folder.exists() or not further:
                raise
            continue
        if (folder / files.LOCK).exists():
            break
        lock.close()
    else:
        raise LakeError(f"{folder}: cannot be locked: it is removed again and again")
    probe = folder / ".probe"  # a full disk is found only by writing
    with atomic.replacing(probe) as temporary:
        temporary.write_bytes(bytes(4096))
    probe.unlink()


@contextlib.contextmanager
def _lock(folder: Path, symbol: str) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(files.locked(folder, wait=False))
        except LakeError:
            log.warning(
                "another process is fetching %s into this lake: waiting for its end", symbol
            )
            lock.enter_context(files.locked(folder))
        yield lock


def _remove_unused(root: Path, symbols: Sequence[str]) -> None:
    """Remove the locks of a lake without files, so that a failed fetch leaves no empty lake."""
    with contextlib.suppress(OSError):
        if {path.name for path in root.iterdir()} != {FOLDER}:
            return
        for folder in (_folder(root, symbol) for symbol in symbols):
            if {path.name for path in folder.iterdir()} == {files.LOCK}:
                (folder / files.LOCK).unlink()
                folder.rmdir()
        (root / FOLDER).rmdir()


def _folder(root: Path, underlying: str) -> Path:
    return root / FOLDER / f"underlying={quote(underlying, safe=' ^~')}"
