"""What has been paid for and is not in the tables yet.

    lake/.incoming/underlying=TSLA/option_quotes.20230705T194500.20230705T194600.dbn.zst

An answer is put here whole as soon as it has come, and taken away once the tables hold it. What a
crash leaves is taken in by the next run before anything is asked for, so that it is not paid for
again.
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
from wheelvec.model.errors import LakeError
from wheelvec.vendors.databento.requests import Request

log = logging.getLogger(__name__)

FOLDER = ".incoming"
_STAMP = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(\w+)\.(\d{8}T\d{6})\.(\d{8}T\d{6})(\.again)?\.dbn\.zst")


@dataclass(frozen=True)
class Download:
    """One answer on disk: of which underlying, for which table, from `start` to before `end`.

    With `again` its rows take the place of those that the lake has of these sessions.
    """

    path: Path
    underlying: str
    table: str
    start: dt.datetime
    end: dt.datetime
    again: bool = False

    @classmethod
    def named(cls, path: Path, underlying: str) -> Self | None:
        """By its name; None for a file of another."""
        form = _NAME.fullmatch(path.name)
        if form is None:
            return None
        start, end = (
            dt.datetime.strptime(text, _STAMP).replace(tzinfo=dt.UTC) for text in form.group(2, 3)
        )
        return cls(path, underlying, form[1], start, end, form[4] is not None)

    def remove(self) -> None:
        """The tables hold it now."""
        self.path.unlink(missing_ok=True)


def keep(root: Path, request: Request, data: bytes) -> Download:
    """Put an answer on disk, whole or not at all.

    Raises:
        LakeError: if it cannot be written.
    """
    again = ".again" if request.again else ""
    path = (
        _folder(root, request.underlying)
        / f"{request.table}.{request.start:{_STAMP}}.{request.end:{_STAMP}}{again}.dbn.zst"
    )
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
    return Download(
        path, request.underlying, request.table, request.start, request.end, request.again
    )


def left(root: Path, underlying: str) -> list[Download]:
    """What an earlier run paid for and did not take in.

    Minutes first, for quotes need the price that they give.
    """
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
    """Let one process at a time fetch an underlying into a lake, for two would pay for the same.

    Another waits.

    The locks end with their process. A lake that was made for it and got nothing is removed.

    Raises:
        LakeError: if the lake cannot be written to: before anything is paid for.
    """
    made: set[Path] = set()
    try:
        with contextlib.ExitStack() as locks:
            for symbol in sorted(symbols):  # in one order, so that no two wait for each other
                made |= _reserve(_folder(root, symbol), symbol, locks)
            try:
                yield
            finally:
                _remove_unused(root, symbols)
    finally:
        for folder in sorted(
            made, reverse=True
        ):  # the innermost first, and only while they are empty
            with contextlib.suppress(OSError):
                folder.rmdir()


def _reserve(folder: Path, symbol: str, locks: contextlib.ExitStack) -> set[Path]:
    """The folders that had to be made."""
    made: set[Path] = set()
    while True:  # its last owner may remove it with an unused lake
        made |= {above for above in folder.absolute().parents if not above.exists()}
        with files.writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = locks.enter_context(_lock(folder, symbol))
        except LakeError:
            if folder.exists():
                raise
            continue
        if (folder / files.LOCK).exists():
            break
        lock.close()
    probe = folder / ".probe"  # a lock opens on a full disk too
    with files.replacing(probe) as temporary:
        temporary.write_bytes(bytes(4096))
    probe.unlink()
    return made


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
    """Of a folder in which nothing is but locks of ours.

    So that a fetch that failed at once leaves no empty lake.
    """
    with contextlib.suppress(OSError):
        if {entry.name for entry in root.iterdir()} != {FOLDER}:
            return
        for folder in (_folder(root, symbol) for symbol in symbols):
            if {entry.name for entry in folder.iterdir()} == {files.LOCK}:
                (folder / files.LOCK).unlink()
                folder.rmdir()
        (root / FOLDER).rmdir()


def _folder(root: Path, underlying: str) -> Path:
    return root / FOLDER / f"underlying={quote(underlying, safe=' ^~')}"
