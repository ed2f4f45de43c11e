"""Files and folders of lakes, results and sweeps: atomic writes, one writer at a time.

A file is written under a temporary name in the same folder, synchronized, then renamed. After a
crash or a loss of power, and for a reader at any time, there is the old file or the new one. The
temporary file of a killed writer is removed by the next writer, and is never read as data.
"""

import contextlib
import hashlib
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
# an earlier version named the temporary file of a month .2023-06.<process>.<number>.tmp
_TEMPORARY = re.compile(r"\.(wheelvec|\d{4}-\d{2})\.\d+\.[0-9a-f]{8}\.tmp")


class BusyError(LakeError):
    """Another writer has locked the folder."""


@contextlib.contextmanager
def replacing(path: Path, lasting: bool = True, folder_too: bool = True) -> Iterator[Path]:
    """Replace the file `path` by a temporary one once the block ends without an error.

    The folder of `path` must exist. After a failure `path` is unchanged, and there is no temporary
    file.

    Yields:
        The temporary path to write to.

    Args:
        path: of the file.
        lasting: whether it must outlast a loss of power, for which the disk is waited for; not for
            what is checked when it is read, and made anew.
        folder_too: whether the new name must too; a writer of several files waits once for their
            folder, and until then power may leave the old file.

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
            if lasting:
                sync_file(temporary)
            temporary.replace(path)
            if lasting and folder_too:
                sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of writing into a LakeError that names `path` and the reason."""
    try:
        yield
    except LakeError:
        raise
    except OSError as error:
        # not `error.strerror`, to which some libraries add more
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise LakeError(f"{path}: cannot be written: {reason}") from error


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
    with writing(path):
        path.write_bytes(buffer.getbuffer())


def sync_file(path: Path) -> None:
    """Flush a file's bytes to disk, so that they survive a loss of power."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's items to disk, so that renames in it survive a loss of power.

    Windows has no such call and needs none.
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
