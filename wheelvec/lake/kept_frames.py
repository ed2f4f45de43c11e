"""Frames kept under keys in one file of a lake, which is not used if its bytes were altered.

    <folder>/<digest>.zip

`check` keeps so what it made of files whose bytes it verifies in any case (`lake.summary_cache`,
`lake.finding_cache`). The name of the file has a digest of its bytes, so that one that was cut or
altered is left aside. It can be deleted at any time; a read-only lake works without it.
"""

import io
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from wheelvec.lake import files
from wheelvec.model import atomic
from wheelvec.model.errors import LakeError

log = logging.getLogger(__name__)

_INDEX = "index.json"

Frames = dict[str, pl.DataFrame]


class Kept(NamedTuple):
    """The frames and values kept under one key.

    Attributes:
        frames: by name; each key may lack some.
        said: the values kept beside them, as JSON has them.
    """

    frames: Frames
    said: dict[str, Any]


def read(folder: Path, schemas: Mapping[str, pl.Schema]) -> dict[str, Kept]:
    """The entries kept in a folder, by key; altered files and those of another form give none.

    Args:
        folder: the folder.
        schemas: the columns and types of each frame by name.
    """
    found: dict[str, Kept] = {}
    for path in sorted(folder.glob("*.zip")):
        try:
            found |= _read(path, schemas)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            zipfile.BadZipFile,
            pl.exceptions.PolarsError,
        ) as error:
            log.warning("%s is left aside, and made anew of the tables: %s", path, error)
    return found


def _read(path: Path, schemas: Mapping[str, pl.Schema]) -> dict[str, Kept]:
    held = path.read_bytes()
    if path.stem != files.digest_of(held):
        raise ValueError("it was altered or cut")
    with zipfile.ZipFile(io.BytesIO(held)) as archive:
        index = json.loads(archive.read(_INDEX))
        names = [name for name in archive.namelist() if name != _INDEX]
        frames = {name: pl.read_parquet(archive.read(name)) for name in names}
    if odd := [name for name, frame in frames.items() if frame.schema != schemas[name]]:
        raise ValueError(f"its frame {odd[0]} is of another form")
    found, at = {}, dict.fromkeys(frames, 0)
    for key, entry in index.items():
        mine = {}
        for name, count in entry["rows"].items():
            mine[name] = frames[name][at[name] : at[name] + count]
            at[name] += count
        found[key] = Kept(mine, entry["said"])
    return found


def write(folder: Path, kept: Mapping[str, Kept]) -> None:
    """Keep this in place of what a folder has; no error if that fails."""
    held = _zipped(kept)
    path = folder / f"{files.digest_of(held)}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder):
            files.remove_stale(folder)
            with atomic.replacing(path, lasting=False) as temporary:
                temporary.write_bytes(held)
            for other in folder.glob("*.zip"):
                if other != path:
                    files.remove(other)
    except (OSError, LakeError) as error:
        log.debug("%s is not kept: %s", path, error)


def _zipped(kept: Mapping[str, Kept]) -> bytes:
    """An archive of one Parquet file per frame, of all keys, and how many rows are whose."""
    index = {
        key: {"said": each.said, "rows": {name: len(frame) for name, frame in each.frames.items()}}
        for key, each in kept.items()
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_INDEX, json.dumps(index))
        for name in dict.fromkeys(name for each in kept.values() for name in each.frames):
            joined = pl.concat(each.frames[name] for each in kept.values() if name in each.frames)
            part = io.BytesIO()
            joined.write_parquet(part, compression="zstd")
            archive.writestr(name, part.getvalue())
    return buffer.getvalue()
