"""Files and folders of lakes, results and sweeps: one writer at a time, and what a killed one left.

The temporary file of a killed writer is removed by the next writer, and is never read as data.
"""

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from wheelvec.model import atomic
from wheelvec.model.errors import LakeError

LOCK = ".lock"
# an earlier version named the temporary file of a month .2023-06.<process>.<number>.tmp
_TEMPORARY = re.compile(r"\.(wheelvec|\d{4}-\d{2})\.\d+\.[0-9a-f]{8}\.tmp")


class BusyError(LakeError):
    """Another writer has locked the folder."""


def make(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and add the absolute paths of those made to `made`.

    A folder that another process makes meanwhile is not among them.

    Raises:
        OSError: if one cannot be made, or another process removes it meanwhile.
    """
    folder = folder.absolute()
    for each in (*reversed(folder.parents), folder):
        if not each.exists():
            with contextlib.suppress(FileExistsError):
                each.mkdir()
                made.append(each)


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame as a Parquet file, not synchronized.

    The bytes are made in memory first: on a full disk Polars' own write to a path may fail with
    "Invalid thrift: transport error".

    Raises:
        LakeError: naming `path`, if it cannot be written.
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    with atomic.writing(path):
        path.write_bytes(buffer.getbuffer())


@contextlib.contextmanager
def locked(folder: Path, wait: bool | float = True) -> Iterator[None]:
    """Lock a folder, which must exist, for one writer; the lock ends with the process.

    Args:
        folder: gets a file named .lock, which stays.
        wait: whether to wait for another writer or to fail at once; or how many seconds to wait.

    Raises:
        BusyError: if another writer still has the lock after `wait`.
        LakeError: if the folder cannot be locked.
    """
    import filelock

    lock = filelock.FileLock(folder / LOCK)
    with atomic.writing(folder):
        try:
            lock.acquire(timeout=-1 if wait is True else float(wait))
        except filelock.Timeout:  # an OSError too
            raise BusyError(
                f"{folder}: another process is writing there; wait for it, or choose another folder"
            ) from None
    try:
        yield
    finally:
        lock.release()


def digest_of(held: bytes) -> str:
    """The hexadecimal BLAKE2b digest of some bytes, by which a cut or altered file is known."""
    return hashlib.blake2b(held, digest_size=16).hexdigest()


def remove(path: Path) -> None:
    """Remove a cached file; no error if that fails."""
    with contextlib.suppress(OSError):  # removed by another process, or not permitted
        path.unlink()


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary file."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_stale(folder: Path) -> None:
    """Remove the temporary files of killed writers; the caller has locked the folder."""
    with os.scandir(folder) as items:
        stale = [item.name for item in items if is_temporary(item.name)]
    for name in stale:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
