"""Which months were written of an underlying.

So that a file which is gone is damage, and not less data (data.md).

    lake/.manifests/underlying=TSLA/manifest.json

One manifest per underlying, over all tables, hidden so that no tool takes it for data. It is
written after the file that it names: a crash between the two leaves a file which verifies itself
and is simply held, and which the next write takes in. A lake of an earlier version has none; then
nothing is known to be missing, and its next write makes one of the files there. The folder's lock
is the underlying's: whoever writes anything of it holds it.
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
from wheelvec.model.errors import LakeError

FOLDER = ".manifests"
_FORMAT = 1

MonthsByTable = dict[str, set[dt.date]]  # table -> first days of months


def folder_name(underlying: str) -> str:
    """The name of an underlying's folder.

    ASCII only, so that its characters are bytes, and a name in any file system.
    """
    return f"underlying={quote(underlying, safe=' ^~')}"


def path_of(root: Path, underlying: str) -> Path:
    """Where the manifest of an underlying lies."""
    return root / FOLDER / folder_name(underlying) / "manifest.json"


@contextlib.contextmanager
def locked(root: Path, underlying: str) -> Iterator[None]:
    """Let one writer at a time change what a lake holds of an underlying; others wait.

    Raises:
        LakeError: if the lake cannot be written to.
    """
    folder = path_of(root, underlying).parent
    with files.writing(folder):
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
        with os.scandir(place) as entries:
            return sorted(
                unquote(entry.name.partition("=")[2])
                for entry in entries
                if entry.name.startswith("underlying=")
            )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LakeError(f"{place} cannot be read: {error.strerror}") from error


def read(root: Path, underlying: str) -> MonthsByTable:
    """The months of each table that were written of an underlying; nothing, without a manifest.

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
    found = _parsed(path, data)
    if found["format"] != _FORMAT:
        raise LakeError(
            f"{path} has format {found['format']!r}, expected {_FORMAT}: another version of wheelvec wrote it"
        )
    if found["underlying"] != underlying:
        raise LakeError(
            f"{path} is the manifest of {found['underlying']!r}, expected {underlying!r}: it was moved or renamed"
        )
    return {
        table: {dt.date.fromisoformat(f"{month}-01") for month in months}
        for table, months in found["held"].items()
    }


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    """What a manifest says, once its bytes are known to be exactly those that were written."""
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
            f"{path} was cut or altered since it was written: its bytes do not match its digest; delete it once the lake's "
            "files are known to be there, and the next write makes it anew of them"
        )
    return found  # type: ignore[no-any-return]


def add(root: Path, underlying: str, held: Mapping[str, Iterable[dt.date]]) -> None:
    """Remember months that a lake holds now beside those that it held.

    The caller holds the underlying's lock.

    Raises:
        LakeError: if the manifest cannot be written, or the one there is not what it should be.
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
    with files.replacing(path) as temporary:
        temporary.write_bytes(_bytes({"format": _FORMAT, "underlying": underlying, "held": months}))


def _bytes(said: Mapping[str, Any]) -> bytes:
    """The one way in which a manifest is written, so that its bytes can be compared."""
    return (json.dumps({**said, "digest": _digest(said)}, indent=1) + "\n").encode()


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()
