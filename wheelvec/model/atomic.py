"""Writes of files that are whole or not there.

A file is written under a temporary name in the same folder, synchronized, then renamed. After a
crash or a loss of power, and for a reader at any time, there is the old file or the new one.
"""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from wheelvec.model.errors import LakeError


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
            # a rename would put a file in the place of a pipe, or of /dev/null
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise LakeError(f"{path}: cannot be written: it is a device or a pipe, no file")
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
