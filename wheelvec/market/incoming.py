"""What has been paid for and is not in the tables yet.

    lake/.incoming/underlying=TSLA/option_quotes.20230705T194500.20230705T194600.dbn.zst

An answer is put here whole as soon as it has come, and taken away once the tables hold it. What a crash leaves is taken in
by the next run before anything is asked for, so that it is not paid for again.
"""

import contextlib
import datetime as dt
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from wheelvec.market import parquet
from wheelvec.market.asks import Ask

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

_STAMP = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"(\w+)\.(\d{8}T\d{6})\.(\d{8}T\d{6})\.dbn\.zst")


@dataclass(frozen=True)
class Parcel:
    """One answer on disk: of which underlying, for which table, from `start` to before `end`."""

    path: Path
    underlying: str
    table: str
    start: dt.datetime
    end: dt.datetime

    @classmethod
    def named(cls, path: Path, underlying: str) -> Self | None:
        """By its name; None for a file of another."""
        form = _NAME.fullmatch(path.name)
        if form is None:
            return None
        start, end = (dt.datetime.strptime(text, _STAMP).replace(tzinfo=dt.UTC) for text in form.groups()[1:])
        return cls(path, underlying, form[1], start, end)

    def remove(self) -> None:
        """The tables hold it now."""
        self.path.unlink(missing_ok=True)


def keep(root: Path, ask: Ask, data: bytes) -> Parcel:
    """Put an answer on disk, whole or not at all.

    Raises:
        LakeError: if it cannot be written.
    """
    name = f"{ask.table}.{ask.start:{_STAMP}}.{ask.end:{_STAMP}}.dbn.zst"
    parcel = Parcel(_folder(root, ask.underlying) / name, ask.underlying, ask.table, ask.start, ask.end)
    unfinished = parcel.path.with_suffix(".tmp")  # the lock of the underlying is ours, and so is this name
    with parquet.reported(parcel.path, "cannot be written"):
        try:
            with unfinished.open("wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            unfinished.replace(parcel.path)
            parquet.sync_folder(parcel.path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    return parcel


def left(root: Path, underlying: str) -> list[Parcel]:
    """What an earlier run paid for and did not take in: minutes first, for quotes need the price that they give."""
    folder = _folder(root, underlying)
    for stale in folder.glob("*.tmp"):
        stale.unlink(missing_ok=True)
    found = [parcel for path in sorted(folder.iterdir()) if (parcel := Parcel.named(path, underlying))]
    return sorted(found, key=lambda parcel: parcel.table != "underlying_minutes")


@contextlib.contextmanager
def reserved(root: Path, symbols: Sequence[str]) -> Iterator[None]:
    """Let one process at a time fetch an underlying into a lake, for two would pay for the same; another waits. The locks
    end with their process; on Windows there are none.

    Raises:
        LakeError: if the lake cannot be written to: before anything is paid for.
    """
    with contextlib.ExitStack() as locks:
        for symbol in sorted(symbols):  # in one order, so that no two wait for each other
            folder = _folder(root, symbol)
            with parquet.reported(root, "cannot be written"):
                folder.mkdir(parents=True, exist_ok=True)
                lock = locks.enter_context((folder / ".lock").open("a"))
                probe = folder / "probe.tmp"  # a lock opens on a full disk too
                probe.write_bytes(b"probe")
            if sys.platform != "win32":
                _lock(lock.fileno(), symbol)
            probe.unlink(missing_ok=True)
        yield


def _lock(file: int, symbol: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another process is fetching %s into this lake: waiting for its end", symbol)
        fcntl.flock(file, fcntl.LOCK_EX)


def _folder(root: Path, underlying: str) -> Path:
    return root / ".incoming" / f"underlying={quote(underlying, safe=' ^~')}"
