"""A cache of the summaries that `check` makes, in the lake of their files (docs/data.md).

    lake/.summaries/underlying=TSLA/<digest>.zip

There is one file per underlying, with the summaries of its option quotes and option bars. The key
of a summary is a digest of the digests of its months' files, and of the code that made it: `check`
verifies these files in any case, and need not decode their rows again. The name has a digest of the
cache's own bytes, so that one that was cut or altered is not used. The folder can be deleted at any
time; a read-only lake works without it.
"""

import io
import json
import logging
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from wheelvec.lake import files, manifest, place, summaries
from wheelvec.lake.summaries import FRAMES, Batch, Footers, Summary
from wheelvec.model import osi, schemas
from wheelvec.model.errors import LakeError
from wheelvec.tables import runs, survey, validation
from wheelvec.tables.sessions import Sessions

log = logging.getLogger(__name__)

TABLES = ("option_quotes", "option_bars")  # the others are read in less time than is saved
_INDEX = "index.json"
_DAYS = {"option_quotes": "chain", "option_bars": "days"}  # the frame with all days of the rows


class Kept(NamedTuple):
    """A summary, and what it depends on beside the rows.

    Attributes:
        frames: the summary.
        timezone: of the calendar, by which the times of quotes are of a session or not.
        odd: the days of the rows that are no sessions of the calendar.
    """

    frames: Summary
    timezone: str
    odd: list[str]

    @classmethod
    def of(cls, batch: Batch, frames: Summary, sessions: Sessions) -> "Kept":
        """A summary that was made with the sessions of a calendar."""
        days = frames[_DAYS[batch.table]]["session"]
        odd = days.filter(~days.is_in(sessions.frame["session"].implode()))
        return cls(frames, sessions.timezone, [day.isoformat() for day in odd])

    def holds_for(self, batch: Batch, sessions: Sessions) -> bool:
        """Whether the sessions would give the same summary."""
        again = Kept.of(batch, self.frames, sessions)
        return (again.timezone, again.odd) == (self.timezone, self.odd)


def key_of(batch: Batch, footers: Footers) -> str:
    """A digest of the bytes of the files of a batch, and of the code that makes a summary."""
    digests = [footers[batch.table, batch.underlying, m].file_digest for m in batch.months]
    said = [batch.table, batch.underlying, list(map(str, batch.months)), digests, _code()]
    return files.digest_of(json.dumps(said).encode())


@cache
def _code() -> str:
    """A digest of the modules that decide a summary."""
    modules = (summaries, runs, survey, validation, osi, schemas)
    return files.digest_of(b"".join(Path(str(module.__file__)).read_bytes() for module in modules))


def read(root: Path, underlying: str) -> dict[str, Kept]:
    """The summaries of an underlying that are kept in the lake at `root`, by key."""
    found: dict[str, Kept] = {}
    for path in sorted(_folder(root, underlying).glob("*.zip")):
        try:
            found |= _read(path)
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


def _read(path: Path) -> dict[str, Kept]:
    held = path.read_bytes()
    if path.stem != files.digest_of(held):
        raise ValueError("it was altered or cut")
    with zipfile.ZipFile(io.BytesIO(held)) as archive:
        index = json.loads(archive.read(_INDEX))
        frames = {
            name: _whole(name, pl.read_parquet(archive.read(name)))
            for name in FRAMES
            if name in archive.namelist()
        }
    found, at = {}, dict.fromkeys(frames, 0)
    for key, said in index.items():
        mine = {}
        for name, count in said["rows"].items():
            mine[name] = frames[name][at[name] : at[name] + count]
            at[name] += count
        found[key] = Kept(mine, said["timezone"], said["odd"])
    return found


def write(root: Path, underlying: str, kept: Mapping[str, Kept]) -> None:
    """Keep the summaries of an underlying in place of those before; no error if that fails."""
    folder, held = _folder(root, underlying), _zipped(kept)
    path = folder / f"{files.digest_of(held)}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.locked(folder):
            files.remove_stale(folder)
            with files.replacing(path, lasting=False) as temporary:
                temporary.write_bytes(held)
            for other in folder.glob("*.zip"):
                if other != path:
                    files.remove(other)
    except (OSError, LakeError) as error:
        log.debug("the summaries of %s are not kept: %s", underlying, error)


def _zipped(kept: Mapping[str, Kept]) -> bytes:
    """An archive of one Parquet file per frame, of all summaries, and how many rows are whose."""
    index = {
        key: {
            "timezone": each.timezone,
            "odd": each.odd,
            "rows": {name: len(frame) for name, frame in each.frames.items()},
        }
        for key, each in kept.items()
    }
    joined = summaries.joined(each.frames for each in kept.values())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_INDEX, json.dumps(index))
        for name, frame in joined.items():
            if any(name in each.frames for each in kept.values()):
                part = io.BytesIO()
                frame.drop("contract", strict=False).write_parquet(part, compression="zstd")
                archive.writestr(name, part.getvalue())
    return buffer.getvalue()


def _whole(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as it was made; hashes are made anew, for another Polars has others."""
    if name == "contracts":
        frame = frame.with_columns(contract=frame["symbol"].hash())
    return frame.select(*FRAMES[name])


def _folder(root: Path, underlying: str) -> Path:
    return root / place.SUMMARIES / manifest.folder_name(underlying)
