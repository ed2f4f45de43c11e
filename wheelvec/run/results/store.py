"""A sweep saved in a folder: its index, finished chunks while it runs, and then its frame.

    sweep.json  {frame,codes,warnings,skipped,signals}.parquet      a finished sweep
    chunks/sweep.json  chunks/000000000-000016384.<digest>.parquet  an unfinished sweep

An unfinished sweep may be beside the finished one that it will replace. The index states everything
that the figures depend on. A chunk's digest covers its bytes, its range of configurations and the
digest of the unfinished sweep's index: a chunk that was altered, renamed or is of another sweep is
computed again.
"""

import hashlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from wheelvec.lake import files
from wheelvec.model import atomic
from wheelvec.model.account import Account
from wheelvec.model.config import Config
from wheelvec.model.errors import ConfigError, LakeError, listed
from wheelvec.model.grid import NO_ROWS, Grid, Swept, read_values
from wheelvec.model.schemas import FAILURES, NAMED_SIGNALS
from wheelvec.model.version import VERSION
from wheelvec.run.results.folder import WRITER_WAIT, Folder, changed_fields, refuse_other
from wheelvec.run.results.index import Index, Kind, Stored, parsed_frame, read_index
from wheelvec.run.results.warnings import Warnings, as_frame, of_frame
from wheelvec.run.signals.pairs import Signals

log = logging.getLogger(__name__)

FRAME, CODES, WARNINGS = "frame.parquet", "codes.parquet", "warnings.parquet"
SKIPPED, SIGNALS, FAILED = "skipped.parquet", "signals.parquet", "failures.parquet"
SWEEP = Kind(
    name="sweep",
    index="sweep.json",
    files=frozenset({FRAME, CODES, WARNINGS, SKIPPED, SIGNALS, FAILED}),
    fields={
        "version": str,
        "fingerprint": str,
        "stats": str,
        "config": dict,
        "config_id": str,
        "grid": str,
        "size": int,
        "columns": list,
        "values": dict,
        "signals": list,
        "account": dict,
        "failures": int,
    },
    former=frozenset(
        {"version", "fingerprint", "stats", "config", "grid", "columns", "values", "files"}
    ),
    added=frozenset({SKIPPED, SIGNALS, FAILED, "signals", "account", "failures"}),
    chunks="chunks",
)


class SweepStore:
    """One sweep in one folder.

    Args:
        place: the folder.
        grid: the grid.
        stats: the statistics.
        fingerprint: the digest of the market; None: not known yet, and not compared.
        version: the version of wheelvec that made it.
        signals: the signals on whose sessions rows enter.
        warnings: the warnings of a finished sweep.
        failures: `schemas.FAILURES` of a finished sweep.
    """

    def __init__(
        self,
        place: Folder,
        grid: Grid,
        stats: str,
        fingerprint: str | None,
        version: str,
        signals: Signals,
        warnings: Warnings | None = None,
        failures: pl.DataFrame | None = None,
    ) -> None:
        self.place, self.grid, self.stats, self.signals = place, grid, stats, signals
        self.fingerprint, self.version = fingerprint, version
        self.warnings, self.failures = warnings, failures

    @classmethod
    def of(
        cls,
        folder: str | Path,
        grid: Grid,
        stats: str,
        fingerprint: str | None,
        signals: Signals | None = None,
    ) -> Self:
        """The store of a sweep that runs with this version of wheelvec.

        Raises:
            LakeError: if `folder` is a file, or a link to nothing.
        """
        place = Folder(folder, SWEEP)
        return cls(place, grid, stats, fingerprint, VERSION, signals or Signals())

    def into(self, folder: str | Path) -> Self:
        """The same sweep in another folder."""
        place = Folder(folder, SWEEP)
        return type(self)(
            place, self.grid, self.stats, self.fingerprint, self.version, self.signals
        )

    def check(self, overwrite: bool) -> Index | None:
        """Check that this sweep may be written to the folder.

        Returns:
            The index of the finished sweep in the folder; None if there is none.

        Raises:
            LakeError: naming the difference, if the folder holds another sweep and `overwrite` is
                False; or if it holds anything else.
        """
        index = self.place.examine()
        if not overwrite:
            for other in (index, self.place.unfinished()):
                if other:
                    refuse_other(self.place.path, other, self._difference)
        return index

    def is_finished(self, index: Index | None) -> bool:
        """Whether an index is of this sweep, and nothing of it is to be tried again.

        Args:
            index: as `check` returns it.
        """
        return (
            index is not None
            and index.format == self._index.format
            and not self._difference(index.content)
            and not index.content.get("failures")
        )

    def write(
        self,
        frame: pl.DataFrame,
        warnings: Warnings,
        overwrite: bool,
        failures: pl.DataFrame | None = None,
    ) -> None:
        """Write a finished sweep whole or not at all.

        Raises:
            LakeError: as `check`; or if the folder cannot be written.
        """
        self.check(overwrite)
        with self.place.held(WRITER_WAIT):
            self.check(overwrite)
            self.finish(frame, warnings, failures)

    # ---- while it runs

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder, without waiting for another process, which may take hours.

        Raises:
            LakeError: if another process has locked it.
        """
        with self.place.held():
            yield

    def begin(self, overwrite: bool = False) -> pl.DataFrame | None:
        """Prepare the folder, which the caller has locked (`held`), for chunks.

        Returns:
            The frame of the same sweep, if it is finished in the folder; `warnings` are then those
            that were saved with it. Else None.

        Raises:
            LakeError: as `check`.
        """
        index = self.check(overwrite)
        if index and self.is_finished(index):
            self.warnings = of_frame(_stored(self.place, index, WARNINGS))
            return _stored(self.place, index, FRAME)
        unfinished = self.place.unfinished()
        with atomic.writing(self.place.path):
            if unfinished and unfinished.digest != self._index.digest:
                self.place.clear_chunks()
        self.place.begin_chunks(self._index)
        return None

    def keep(self, start: int, frame: pl.DataFrame) -> None:
        """Write the figures of a finished chunk: distinct configurations from `start` on."""
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        data, stop = buffer.getvalue(), start + frame.height
        name = f"{start:09d}-{stop:09d}.{self._digest_of_chunk(start, stop, data)}.parquet"
        with atomic.replacing(self.place.unfinished_path.with_name(name)) as path:
            path.write_bytes(data)

    def kept(self) -> list[tuple[int, int, pl.DataFrame]]:
        """(first, last + 1, figures) of each finished chunk of distinct configurations, in order.

        Damaged chunks are removed with a log message, to be computed again.
        """
        found: list[tuple[int, int, pl.DataFrame]] = []
        size, reached = self.grid.distinct[0].size, 0
        for first, last, digest, path in self.place.chunk_files():
            try:
                if not reached <= first < last <= size:
                    raise LakeError(
                        f"{path}: overlaps another chunk, or ends after the last of {size:,} "
                        "configurations"
                    )
                found.append((first, last, self._read_chunk(first, last, digest, path)))
                reached = last
            except LakeError as error:
                log.warning("%s; these configurations are computed again", error)
                with atomic.writing(path):
                    path.unlink(missing_ok=True)
        return found

    def _read_chunk(self, first: int, last: int, digest: str, path: Path) -> pl.DataFrame:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise LakeError(f"{path}: cannot be read: {error.strerror or error}") from None
        if self._digest_of_chunk(first, last, data) != digest:
            raise LakeError(f"{path}: altered since it was written, renamed, or of another sweep")
        frame = parsed_frame(path, data)
        if frame.height != last - first:
            raise LakeError(
                f"{path}: holds {frame.height:,} configurations, expected {last - first:,}"
            )
        return frame

    def count(self) -> int:
        """The number of distinct configurations in finished chunks, by the names of the files."""
        return sum(last - first for first, last, *_ in self.place.chunk_files())

    def finish(
        self, frame: pl.DataFrame, warnings: Warnings, failures: pl.DataFrame | None = None
    ) -> None:
        """Write the frame, the grid's codes, the warnings and the index, and remove the chunks.

        Args:
            frame: of the sweep.
            warnings: of the sweep.
            failures: `schemas.FAILURES`; job results are kept for another run if there are any.
                None: there are none.
        """
        failures = pl.DataFrame(schema=FAILURES) if failures is None else failures
        codes = {
            name: pl.Series(column.codes, dtype=pl.Int64)
            for name, column in self.grid.columns.items()
        }
        staged = self.place.stage()
        for name, table in (
            (FRAME, frame),
            (CODES, pl.DataFrame(codes)),
            (WARNINGS, as_frame(warnings)),
            (SKIPPED, self.grid.skipped),
            (SIGNALS, self.signals.frame(self.grid)),
            (FAILED, failures),
        ):
            files.write_frame(staged / name, table)
        self.place.commit(self._index.content | {"failures": failures.height})

    def _digest_of_chunk(self, first: int, last: int, data: bytes) -> str:
        return files.digest_of(f"{self._index.digest} {first} {last} ".encode() + data)

    @cached_property
    def _index(self) -> Index:
        """The index of this sweep before it is finished, of all that the figures depend on."""
        content = {
            "version": self.version,
            "fingerprint": self.fingerprint,
            "stats": self.stats,
            "config": self.grid.base.to_dict(),
            "config_id": self.grid.base.id,
            "grid": _digest_of_grid(self.grid),
            "size": self.grid.size,
            "columns": self.grid.frame.columns,
            "values": {name: column.values for name, column in self.grid.columns.items()},
            "signals": self.signals.stated(self.grid),
            "account": self.grid.account.to_dict() if self.grid.account else {},
            "failures": 0,
        }
        return Index.of(SWEEP, content, {})

    def _difference(self, there: dict[str, Any]) -> str:
        """The first difference between the index content of a sweep and this one, in words."""
        mine = self._index.content
        for name, words in (
            ("version", "made by wheelvec {there}, this is {here}"),
            ("fingerprint", "swept over data {there}, the market given holds {here}"),
            ("stats", "with stats={there!r}, asked for {here!r}"),
        ):
            if mine[name] is not None and there[name] != mine[name]:
                return words.format(there=there[name], here=mine[name])
        if there["config"] != mine["config"]:
            return "its base configuration has other " + listed(
                changed_fields(there["config"], mine["config"])
            )
        if there.get("signals", []) != mine["signals"]:
            return "it ran with other signals (when=, signals=)"
        if there.get("account", {}) != mine["account"]:
            return "it ran under another account"
        if there["grid"] != mine["grid"]:
            names = (list(there["values"]), list(mine["values"]))
            return (
                f"its grid sweeps {names[0]}, this one {names[1]}"
                if names[0] != names[1]
                else "its grid has other rows"
            )
        return ""

    # ---- reading

    @classmethod
    def read(cls, folder: str | Path) -> tuple[Self, pl.DataFrame]:
        """A finished sweep and its frame.

        Raises:
            LakeError: naming path and reason.
        """
        place = Folder(folder, SWEEP)
        return place.read_consistently(lambda: cls._read(place))

    @classmethod
    def _read(cls, place: Folder) -> tuple[Self, pl.DataFrame]:
        path, unfinished = place.index_path, place.unfinished_path.exists()
        if unfinished and not path.exists():
            raise LakeError(
                f"{place.path}: the sweep is not finished; run it again with the same out= to "
                "continue"
            )
        index = read_index(path, SWEEP)
        content = index.content
        frame, codes, warnings, skipped, pairs, failures = (
            _stored(place, index, name)
            for name in (FRAME, CODES, WARNINGS, SKIPPED, SIGNALS, FAILED)
        )
        try:
            grid = _grid_of(content, frame, codes, skipped)
            signals = Signals.of_frame(pairs, content.get("signals", []))
        except (
            ConfigError,
            LookupError,
            TypeError,
            ValueError,
            OverflowError,
            pl.exceptions.PolarsError,
        ) as error:
            raise LakeError(f"{path}: states no grid that can be read: {error}") from None
        return cls(
            place,
            grid,
            content["stats"],
            content["fingerprint"],
            content["version"],
            signals,
            of_frame(warnings),
            failures,
        ), frame


def _stored(place: Folder, index: Index, name: str) -> pl.DataFrame:
    """A frame of a finished sweep; empty if the sweep was saved before there was this file."""
    if name in SWEEP.added - index.files.keys():
        empty = {SKIPPED: NO_ROWS.schema, SIGNALS: NAMED_SIGNALS, FAILED: FAILURES}
        return pl.DataFrame(schema=empty[name])
    return Stored(place.path / name, index.files[name]).read()


def _grid_of(
    content: dict[str, Any], frame: pl.DataFrame, codes: pl.DataFrame, skipped: pl.DataFrame
) -> Grid:
    """The grid of an index, a frame and codes; ValueError if they do not agree."""
    base = Config.from_dict(content["config"])
    if base.id != content["config_id"]:
        raise ValueError(f"the base configuration is {base.id}, stated as {content['config_id']}")
    columns = {
        name: Swept(read_values(name, values), codes[name].to_numpy().astype(np.int64))
        for name, values in content["values"].items()
    }
    for name, column in columns.items():
        if not ((column.codes >= 0) & (column.codes < len(column.values))).all():
            raise ValueError(f"{name} has values that are not listed")
    if any(
        found != content["size"]
        for found in (frame.height, *(column.codes.size for column in columns.values()))
    ):
        raise ValueError(f"frame and codes do not have {content['size']} rows")
    account = Account(**content["account"]) if content.get("account") else None
    rows, left_out = frame.select(content["columns"]), skipped.select(NO_ROWS.columns)
    grid = Grid(base, rows, columns, left_out, account)
    if _digest_of_grid(grid) != content["grid"]:
        raise ValueError("its rows are other configurations than those that were swept")
    return grid


def _digest_of_grid(grid: Grid) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for numbers in grid.identities():
        digest.update(numbers.tobytes())
    return digest.hexdigest()
