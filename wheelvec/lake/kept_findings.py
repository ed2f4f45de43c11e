"""A cache of the anomalies of single underlyings, in the lake of their files (docs/data.md).

    lake/.summaries/findings/underlying=TSLA/<digest>.zip

A backtest looks for splits that no row explains before it simulates, and its result has warnings of
oddities in its data: both read every quote, which takes as long as all else once chains are kept.
Whoever never reads the warnings has the suspected splits kept alone.
The key is a digest of all that the findings depend on: the digests of the underlying's files, the
first and last day that count, the stated events, the sessions, and the code.
"""

import json
from functools import cached_property

import polars as pl

from wheelvec.lake import files, finding_cache, kept_frames, manifest, place
from wheelvec.lake.kept_frames import Frames, Kept
from wheelvec.lake.lake import Lake
from wheelvec.tables.anomalies import SCHEMAS, Findings
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.suspected import Events

_PACKAGES = ("model", "kernels", "tables", "lake", "market")  # their code decides a finding
FOLDER = "findings"


class KeptFindings:
    """Where the findings of an underlying are kept, under the digest of its data as they are now.

    Args:
        lake: whose files of the underlying are verified.
        underlying: its symbol.
        sessions: the sessions of the calendar over the market.
        stated: the corporate events that the market's tables state.

    Raises:
        LakeError: if a file is missing, damaged or misplaced.
    """

    def __init__(self, lake: Lake, underlying: str, sessions: Sessions, stated: Events) -> None:
        self._lake, self._underlying, self._sessions = lake, underlying, sessions
        self._stated = stated
        self._folder = lake.root / place.SUMMARIES / FOLDER / manifest.folder_name(underlying)
        self._key = self._key_now()

    def _key_now(self) -> str:
        lake, underlying = self._lake, self._underlying
        held = [
            [table, str(month), lake.verified(table, underlying, month).file_digest]
            for table in lake.tables
            for month in lake.months(table, underlying)
        ]
        events = [list(map(str, row)) for frame in self._stated for row in frame.rows()]
        said = [underlying, str(lake.first), str(lake.last), held, events]
        basis = finding_cache.basis(self._sessions, _PACKAGES)
        return files.digest_of(json.dumps([basis, said]).encode())

    def read(self) -> Findings | None:
        """The findings that are kept, or None."""
        held = self._held
        return Findings(**held) if len(held) == len(SCHEMAS) else None

    def splits(self) -> pl.DataFrame | None:
        """The suspected splits that are kept, alone or with other findings, or None."""
        return self._held.get("splits")

    def write(self, found: Findings) -> None:
        """Keep findings in place of those of other files; no error if that fails.

        They are not kept if a writer has replaced a file since this object was made.
        """
        self._write(found._asdict())

    def write_splits(self, splits: pl.DataFrame) -> None:
        """Keep the suspected splits alone: as `write`, which replaces them."""
        self._write({"splits": splits})

    @cached_property
    def _held(self) -> Frames:
        """The findings that were kept when they were first asked for."""
        held = kept_frames.read(self._folder, SCHEMAS).get(self._key)
        return {} if held is None else held.frames

    def _write(self, frames: Frames) -> None:
        if self._key_now() == self._key:
            kept_frames.write(self._folder, {self._key: Kept(frames, {})})
