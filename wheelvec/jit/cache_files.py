"""Numba's cache files, made safe: private to the user, written atomically, with a checksum.

Numba reads its files with pickle, so that anyone who may write one can run code as the user; and a
truncated file raised an EOFError at every start. These files are in a separate folder beside
Numba's, to which only the user has access, and begin with a digest of the content. A file that
others may write or whose digest differs is ignored, and the kernel is compiled again.
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
    """The index file and the data files of one kernel, with Numba's names.

    Args:
        original: Numba's cache file of the kernel, which has folder, name and source stamp.
        version: a key of all else that the compiled code depends on. It is compared before the
            index is read, which may name types that a later version no longer has.
    """

    def __init__(self, original: IndexDataCacheFile, version: str) -> None:
        folder = Path(original._cache_path) / (
            f"wheelvec-{os.geteuid()}" if hasattr(os, "geteuid") else "wheelvec"
        )
        name = original._index_name.removesuffix(".nbi")
        super().__init__(str(folder), name, original._source_stamp)
        self._version = (original._version, version)
        self._folder = folder

    def load(self, key: Any) -> Any:
        """The compiled code of one signature; None if it is not cached."""
        return super().load(key) if usable(self._folder) else None

    def save(self, key: Any, data: Any) -> None:
        """Write the compiled code of one signature, if the folder is usable."""
        if not usable(self._folder):
            return
        try:
            super().save(key, data)
        except OSError as error:  # such as a full disk; this process uses the code from memory
            _warn_once(f"{self._folder} cannot be written: {error.strerror or error}")

    def _load_index(self) -> dict[Any, str]:
        try:
            content = io.BytesIO(_read(Path(self._index_path)))
            if pickle.load(content) != self._version:
                return {}
            stamp, overloads = pickle.load(content)
        except Exception as error:  # missing, damaged, or with types that no longer exist
            log.debug("%s is not used: %s", self._index_path, error)
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        content = pickle.dumps(self._version, protocol=-1) + self._dump(
            (self._source_stamp, overloads)
        )
        _write(Path(self._index_path), content)

    def _load_data(self, name: str) -> Any:
        try:
            return pickle.loads(_read(self._folder / name))
        except Exception as error:
            log.debug("%s is not used: %s", self._folder / name, error)
            raise OSError(str(error)) from None  # as for a missing file

    def _save_data(self, name: str, data: Any) -> None:
        _write(self._folder / name, self._dump(data))


def folder_of(kernel: Any) -> Path | None:
    """The folder of a kernel's compiled code; None if it is not kept on disk."""
    held = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    return held._folder if isinstance(held, CacheFile) and usable(held._folder) else None


@cache
def usable(folder: Path) -> bool:
    """Whether the folder exists or can be created, belongs to the user, and is private.

    A folder is private if no other user may write or replace it.
    """
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        reason = _not_private(folder.lstat(), stat.S_ISDIR) or _replaceable(folder)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        _warn_once(f"{folder}: {reason}")
    return not reason


def _not_private(found: os.stat_result, is_expected_kind: Any) -> str:
    """The reason why another user may have written a file or folder, or ""."""
    if not is_expected_kind(found.st_mode):
        return "is of another kind"
    if not hasattr(os, "geteuid"):
        return ""
    if found.st_uid != os.geteuid():
        return "belongs to another user"
    return "others may write it" if found.st_mode & OTHERS_MAY_WRITE else ""


def _replaceable(folder: Path) -> str:
    """The reason why another user may replace the folder or its parent, or ""."""
    if not hasattr(os, "geteuid"):
        return ""
    modes = [above.stat().st_mode for above in (folder.parent, folder.parent.parent)]
    anybody = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes)
    return "everybody may write a folder that contains it" if anybody else ""


def _read(path: Path) -> bytes:
    """The content of a file without its digest.

    Raises:
        OSError: if the file is missing, not private to the user, or damaged.
    """
    with os.fdopen(
        os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb"
    ) as file:
        if reason := _not_private(os.fstat(file.fileno()), stat.S_ISREG):
            _warn_once(f"{path}: {reason}")
            raise PermissionError(reason)
        whole = file.read()
    digest, content = whole[:SIZE], whole[SIZE:]
    if hashlib.blake2b(content, digest_size=SIZE).digest() != digest:
        raise OSError("it is truncated or altered")
    return content


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically, readable by the user alone."""
    new = path.with_name(f"{path.name}.tmp.{uuid.uuid4().hex[:16]}")
    with _removed_on_failure(new):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(new, flags, PRIVATE_FILE), "wb") as file:
            file.write(hashlib.blake2b(content, digest_size=SIZE).digest() + content)
        new.replace(path)


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


_reasons: list[str] = []


def _warn_once(reason: str) -> None:
    """Log the first reason of this process for which compiled kernels are not cached."""
    if not _reasons:
        log.warning("compiled kernels are not cached, so every start compiles them: %s", reason)
    _reasons.append(reason)
