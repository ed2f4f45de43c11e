"""A cache of the summaries that `check` makes, in the lake of their files (docs/data.md).

    lake/.summaries/underlying=TSLA/<digest>.zip

There is one file per underlying, with the summaries of its option quotes and option bars. The key
of a summary is a digest of the digests of its months' files, and of the code that made it: `check`
verifies these files in any case, and need not decode their rows again.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import polars as pl

from wheelvec.lake import files, kept_frames, manifest, place, summaries
from wheelvec.lake.summaries import FRAMES, Batch, Footers, Summary
from wheelvec.model import osi, schemas
from wheelvec.tables import runs, survey, validation
from wheelvec.tables.sessions import Sessions

# hashes of contracts are not kept, for another Polars has others
_STORED = {
    name: pl.Schema({column: dtype for column, dtype in schema.items() if column != "contract"})
    for name, schema in FRAMES.items()
}
TABLES = ("option_quotes", "option_bars")  # the others are read in less time than is saved
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
    return {
        key: Kept(
            {name: _whole(name, frame) for name, frame in held.frames.items()},
            held.said["timezone"],
            held.said["odd"],
        )
        for key, held in kept_frames.read(_folder(root, underlying), _STORED).items()
    }


def write(root: Path, underlying: str, kept: Mapping[str, Kept]) -> None:
    """Keep the summaries of an underlying in place of those before; no error if that fails."""
    held = {
        key: kept_frames.Kept(
            {name: frame.drop("contract", strict=False) for name, frame in each.frames.items()},
            {"timezone": each.timezone, "odd": each.odd},
        )
        for key, each in kept.items()
    }
    kept_frames.write(_folder(root, underlying), held)


def _whole(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as it was made."""
    if name == "contracts":
        frame = frame.with_columns(contract=frame["symbol"].hash())
    return frame.select(*FRAMES[name])


def _folder(root: Path, underlying: str) -> Path:
    return root / place.SUMMARIES / manifest.folder_name(underlying)
