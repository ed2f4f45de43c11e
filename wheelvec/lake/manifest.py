"""The manifest of an underlying: the months that were written, so that a lost file is noticed.

    lake/.manifests/underlying=TSLA/manifest.json

There is one manifest per underlying, over all tables, hidden so that no tool reads it as data. It
is written after the files that it lists: after a crash between the two, the file is read as usual,
and the next write lists it. A lake of an earlier version has no manifest; the next write makes one
that lists the files of then. A writer of an underlying locks the folder of its manifest (data.md).
"""

import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from wheelvec.lake import files
from wheelvec.model import atomic
from wheelvec.model.errors import LakeError

FOLDER = ".manifests"
_FORMAT = 1

MonthsByTable = dict[str, set[dt.date]]  # table -> first days of months


def folder_name(underlying: str) -> str:
    """The name of an underlying's folder, in ASCII, which every file system accepts."""
    return f"underlying={quote(underlying, safe=' ^~')}"


def path_of(root: Path, underlying: str) -> Path:
    """The path of an underlying's manifest."""
    return root / FOLDER / folder_name(underlying) / "manifest.json"


@contextlib.contextmanager
def locked(root: Path, underlying: str) -> Iterator[None]:
    """Lock an underlying of a lake for one writer; others wait.

    Raises:
        LakeError: if the lake cannot be written to.
    """
    folder = path_of(root, underlying).parent
    with atomic.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder):
        yield


def underlyings(root: Path) -> list[str]:
    """The underlyings that have a manifest.

    Raises:
        LakeError: if the manifests' folder cannot be read.
    """
    place = root / FOLDER
    try:
        with os.scandir(place) as items:
            return sorted(
                unquote(item.name.partition("=")[2])
                for item in items
                if item.name.startswith("underlying=")
            )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LakeError(f"{place} cannot be read: {error.strerror}") from error


def read(root: Path, underlying: str) -> MonthsByTable:
    """The first days of the months written of an underlying, by table; empty without a manifest.

    Raises:
        LakeError: if the manifest was cut or altered, or is not this underlying's.
    """
    path = path_of(root, underlying)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LakeError(f"{path} cannot be read: {error.strerror}") from error
    return months_of(path, data, underlying)


def months_of(path: object, data: bytes, underlying: str) -> MonthsByTable:
    """The first days of the months that the bytes of a manifest list, by table.

    Args:
        path: the path or the address of the manifest, for messages.
        data: its bytes.
        underlying: the underlying whose manifest it is.

    Raises:
        LakeError: as `read`.
    """
    found = _parsed(path, data)
    if found["format"] != _FORMAT:
        raise LakeError(
            f"{path} has format {found['format']!r}, expected {_FORMAT}: "
            "another version of wheelvec wrote it"
        )
    if found["underlying"] != underlying:
        raise LakeError(
            f"{path} is the manifest of {found['underlying']!r}, expected {underlying!r}: "
            "it was moved or renamed"
        )
    return {
        table: {dt.date.fromisoformat(f"{month}-01") for month in months}
        for table, months in found["held"].items()
    }


def _parsed(path: object, data: bytes) -> dict[str, Any]:
    """The content of a manifest, once its digest and its bytes are verified."""
    try:
        found = json.loads(data)
        stated = found.pop("digest")
        whole = (
            isinstance(found, dict)
            and _bytes(found) == data
            and stated == _digest(found)
            and {"format"} <= set(found)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise LakeError(
            f"{path} was cut or altered since it was written: its bytes do not match its digest; "
            "delete it once the lake's files are known to be there, and the next write makes it "
            "anew of them"
        )
    return found  # type: ignore[no-any-return]


def add(root: Path, underlying: str, held: Mapping[str, Iterable[dt.date]]) -> None:
    """Add months to the manifest of an underlying; the caller has locked it.

    Raises:
        LakeError: if the manifest cannot be written, or the existing one was cut or altered.
    """
    path, before = path_of(root, underlying), read(root, underlying)
    after = {
        name: before.get(name, set()) | set(held.get(name, ())) for name in sorted({*before, *held})
    }
    after = {name: days for name, days in after.items() if days}
    if after == before:
        return
    months = {name: sorted(month.isoformat()[:7] for month in days) for name, days in after.items()}
    files.remove_stale(path.parent)
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(_bytes({"format": _FORMAT, "underlying": underlying, "held": months}))


def _bytes(said: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest, the same for the same content, so that they can be compared."""
    return (json.dumps({**said, "digest": _digest(said)}, indent=1) + "\n").encode()


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()
