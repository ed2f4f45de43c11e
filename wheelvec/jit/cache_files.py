"""The files in which Numba keeps what it compiled.

Read only if nobody else can have written them, and if they are whole.

Numba reads its files with pickle, so whoever may write one runs code as the user; and a file that
was cut off raised an EOFError at every start. Ours lie in a folder of their own that only the user
may enter, beside Numba's, and begin with a digest of the rest. What is not as it should be is as if
it were not there: the kernel is compiled anew.
"""

import contextlib
import hashlib
import io
import logging
import os
import pickle
import stat
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile

log = logging.getLogger(__name__)

SIZE = 32  # bytes of the digest
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class CacheFile(IndexDataCacheFile):
    """One kernel's index and data files, under Numba's names.

    Args:
        numbas: what Numba made for the kernel; it says where, under what name, and of what source.
        version: what else the compiled code depends on. It is compared before the rest is read: an
            index may name types that a later version no longer has.
    """

    def __init__(self, numbas: IndexDataCacheFile, version: str) -> None:
        folder = Path(numbas._cache_path) / (
            f"wheelvec-{os.geteuid()}" if hasattr(os, "geteuid") else "wheelvec"
        )
        super().__init__(str(folder), numbas._index_name.removesuffix(".nbi"), numbas._source_stamp)
        self._version = (numbas._version, version)
        self._folder = folder

    def load(self, key: Any) -> Any:
        """The compiled code of one signature, or None."""
        return super().load(key) if usable(self._folder) else None

    def save(self, key: Any, data: Any) -> None:
        """Keep the compiled code of one signature, if there is a place for it."""
        if not usable(self._folder):
            return
        try:
            super().save(key, data)
        except (
            OSError
        ) as error:  # a full disk, above all: what was compiled serves this process all the same
            _say(f"{self._folder} cannot be written: {error.strerror or error}")

    def _load_index(self) -> dict[Any, str]:
        try:
            rest = io.BytesIO(_read(Path(self._index_path)))
            if pickle.load(rest) != self._version:
                return {}
            stamp, overloads = pickle.load(rest)
        except Exception as error:  # not there, damaged, or of types that are no more
            log.debug("%s is not used: %s", self._index_path, error)
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        rest = pickle.dumps(self._version, protocol=-1) + self._dump(
            (self._source_stamp, overloads)
        )
        _write(Path(self._index_path), rest)

    def _load_data(self, name: str) -> Any:
        try:
            return pickle.loads(_read(self._folder / name))
        except Exception as error:
            log.debug("%s is not used: %s", self._folder / name, error)
            raise OSError(str(error)) from None  # to Numba a file that is not there

    def _save_data(self, name: str, data: Any) -> None:
        _write(self._folder / name, self._dump(data))


@cache
def usable(folder: Path) -> bool:
    """Whether compiled code is kept in this folder.

    Made if need be, the user's own, and nobody else may write there.
    """
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        reason = _not_private(folder.lstat(), stat.S_ISDIR) or _replaceable(folder)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        _say(f"{folder}: {reason}")
    return not reason


def _not_private(found: os.stat_result, right_kind: Any) -> str:
    """Why a file or folder may hold what somebody else wrote, or nothing."""
    if not right_kind(found.st_mode):
        return "is of another kind"
    if not hasattr(os, "geteuid"):
        return ""
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "others may write it" if found.st_mode & OTHERS_MAY_WRITE else ""


def _replaceable(folder: Path) -> str:
    """Why anybody may put another folder in the place of this one, or of the folder that Numba made
    for it, or nothing.
    """
    if not hasattr(os, "geteuid"):
        return ""
    modes = [above.stat().st_mode for above in (folder.parent, folder.parent.parent)]
    anybody = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes)
    return "everybody may write the folder that it lies in" if anybody else ""


def _read(path: Path) -> bytes:
    """The bytes after the digest.

    Raises:
        OSError: if the file is not there, not the user's alone, or not whole.
    """
    with os.fdopen(
        os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb"
    ) as file:
        if reason := _not_private(os.fstat(file.fileno()), stat.S_ISREG):
            _say(f"{path}: {reason}")
            raise PermissionError(reason)
        content = file.read()
    digest, rest = content[:SIZE], content[SIZE:]
    if hashlib.blake2b(rest, digest_size=SIZE).digest() != digest:
        raise OSError("it is cut off or altered")
    return rest


def _write(path: Path, rest: bytes) -> None:
    """Write a file whole or not at all, readable by the user alone."""
    new = path.with_name(f"{path.name}.tmp.{uuid.uuid4().hex[:16]}")
    with _removed_on_failure(new):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(new, flags, PRIVATE_FILE), "wb") as file:
            file.write(hashlib.blake2b(rest, digest_size=SIZE).digest() + rest)
        new.replace(path)


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


_said: list[str] = []


def _say(reason: str) -> None:
    """Say once a process that kernels are compiled anew, and why."""
    if not _said:
        log.warning("compiled kernels are not kept, and every start compiles them anew: %s", reason)
    _said.append(reason)
