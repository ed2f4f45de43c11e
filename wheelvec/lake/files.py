"""Files and folders written whole or not at all, one writer at a time.

For lakes, results and sweeps alike.

A file is written under a temporary name in its own folder, synchronized, then renamed: a reader, a
crash or a loss of power sees the old file or the new one. What a killed writer left is removed by
the next one, and is never taken for data.
"""

import contextlib
import io
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from wheelvec.model.errors import LakeError

LOCK = ".lock"
# of a month's file an earlier version wrote .2023-06.<process>.<number>.tmp
_TEMPORARY = re.compile(r"\.(wheelvec|\d{4}-\d{2})\.\d+\.[0-9a-f]{8}\.tmp")


class BusyError(LakeError):
    """Another writer has the folder."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write a file to, which takes the place of `path` once the block ends
    without an error.

    The folder of `path` exists. A failure leaves what stood at `path`, and no temporary file.

    Raises:
        LakeError: naming `path`, if the file cannot be written: a full disk, no permission.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(place) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> place.read_text()
        'whole'
    """
    temporary = path.with_name(f".wheelvec.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with writing(path):
            yield temporary
            sync_file(temporary)
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into a LakeError that names `path` and the
    reason.
    """
    try:
        yield
    except LakeError:
        raise
    except OSError as error:
        reason = (
            os.strerror(error.errno) if error.errno else str(error)
        )  # some libraries put more into `strerror`
        raise LakeError(f"{path}: cannot be written: {reason}") from error


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame as a Parquet file, not synchronized.

    Raises:
        LakeError: naming `path`, if it cannot be written. Its bytes are made in memory first: where
            a disk is full, what Polars writes to a path itself may end as "Invalid thrift:
            transport error".
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    with writing(path):
        path.write_bytes(buffer.getbuffer())


def sync_file(path: Path) -> None:
    """Make a file's bytes outlast a loss of power."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder outlast a loss of power.

    Windows has no such call, and needs none.
    """
    if sys.platform == "win32":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextlib.contextmanager
def locked(folder: Path, wait: bool | float = True) -> Iterator[None]:
    """Let one writer at a time work in a folder, which exists; the lock ends with its process.

    Args:
        folder: gets a file named .lock, which stays.
        wait: whether to wait for another writer or to refuse at once; or for how many seconds to
            wait.

    Raises:
        BusyError: if another writer has the folder, and still has it after `wait`.
        LakeError: if no lock can be had there.
    """
    import filelock

    lock = filelock.FileLock(folder / LOCK)
    with writing(folder):
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


def is_temporary(name: str) -> bool:
    """Whether a file's name is that of a file which a writer has not finished."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_stale(folder: Path) -> None:
    """Remove what killed writers left unfinished; the caller holds the folder's lock."""
    with os.scandir(folder) as entries:
        stale = [entry.name for entry in entries if is_temporary(entry.name)]
    for name in stale:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
