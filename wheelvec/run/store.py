"""A sweep's folder: an index that names everything it depends on, finished chunks while it runs, then the frame.

Every file is written to a temporary name and renamed, so that a reader or a crash sees the old file or the new one.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from wheelvec.run.folder import beside, digest, put_in_place, refuse_foreign
from wheelvec.spec.config import Config, field_names
from wheelvec.spec.errors import ConfigError, LakeError, listed
from wheelvec.spec.grid import Grid, Swept, read_values
from wheelvec.spec.version import VERSION

FORMAT = 1
INDEX, FRAME, CODES, CHUNKS = "sweep.json", "frame.parquet", "codes.parquet", "chunks"


@dataclasses.dataclass(frozen=True)
class SweepStore:
    """One sweep in one folder: which grid, with which statistics, over which data."""

    folder: Path
    grid: Grid
    stats: str
    fingerprint: str
    version: str

    @classmethod
    def of(cls, folder: str | Path, grid: Grid, stats: str, fingerprint: str) -> Self:
        """The store of a sweep that runs with this version of wheelvec."""
        return cls(Path(folder), grid, stats, fingerprint, VERSION)

    def write(self, frame: pl.DataFrame) -> None:
        """Write a finished sweep whole or not at all; an earlier one is replaced.

        Raises:
            LakeError: if the folder holds something else, or cannot be written.
        """
        refuse_foreign(self.folder, INDEX, "sweep")
        new = beside(self.folder)
        try:
            dataclasses.replace(self, folder=new).finish(frame)
            put_in_place(new, self.folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    # ------------------------------------------------------------------------------------------------ while it runs

    def begin(self) -> pl.DataFrame | None:
        """Take the folder for this sweep: the finished frame, if an earlier run of the same sweep left one there.

        Raises:
            LakeError: if the folder holds another sweep, naming the difference, or something else.
        """
        out = self.folder
        refuse_foreign(out, INDEX, "sweep")
        if (out / INDEX).is_file():
            index = _read_index(out)
            if differs := self._difference(index):
                raise LakeError(f"{out}: holds another sweep: {differs}; choose another folder, or remove this one")
            if index["files"]:
                return type(self).read(out)[1]
        try:
            (out / CHUNKS).mkdir(parents=True, exist_ok=True)
            self._write_index({})
        except OSError as error:
            raise LakeError(f"{out}: cannot be written: {error.strerror}") from None
        return None

    def keep(self, start: int, frame: pl.DataFrame) -> None:
        """Keep the figures of a finished chunk: distinct configurations from `start` on."""
        _write(self.folder / CHUNKS / f"{start:09d}-{start + frame.height:09d}.parquet", frame)

    def kept(self) -> list[tuple[int, int, pl.DataFrame]]:
        """The finished chunks in order: first and one past the last distinct configuration, and their figures."""
        found = []
        for path in sorted((self.folder / CHUNKS).glob("*-*.parquet")):
            first, last = (int(part) for part in path.stem.split("-"))
            try:
                frame = pl.read_parquet(path)
            except (OSError, pl.exceptions.PolarsError):
                continue  # written by nobody who finished it: computed again
            if frame.height == last - first:
                found.append((first, last, frame))
        return found

    def count(self) -> int:
        """How many distinct configurations are kept, by the names of the chunks: none stands there unfinished."""
        spans = (path.stem.split("-") for path in (self.folder / CHUNKS).glob("*-*.parquet"))
        return sum(int(last) - int(first) for first, last in spans)

    def finish(self, frame: pl.DataFrame) -> None:
        """Write the frame and what it stands on; the index, last, makes it a finished sweep. Chunks go."""
        codes = {name: pl.Series(column.codes, dtype=pl.Int64) for name, column in self.grid.columns.items()}
        _write(self.folder / FRAME, frame)
        _write(self.folder / CODES, pl.DataFrame(codes))
        self._write_index({name: digest(self.folder / name) for name in (FRAME, CODES)})
        shutil.rmtree(self.folder / CHUNKS, ignore_errors=True)

    def _difference(self, index: dict[str, Any]) -> str:
        """What an index says that is not so of this sweep."""
        mine = self._index({})
        if index["format"] != FORMAT:
            return f"format {index['format']}, this version writes {FORMAT}"
        for name, words in (
            ("version", "made by wheelvec {there}, this is {here}"),
            ("fingerprint", "swept over data {there}, the market given holds {here}"),
            ("stats", "with stats={there!r}, asked for {here!r}"),
        ):
            if index[name] != mine[name]:
                return words.format(there=index[name], here=mine[name])
        if index["config"] != mine["config"]:
            return "its base configuration has other " + listed(_changed(index["config"], mine["config"]))
        if index["grid"] != mine["grid"]:
            names = (list(index["values"]), list(mine["values"]))
            return f"its grid sweeps {names[0]}, this one {names[1]}" if names[0] != names[1] else "its grid has other rows"
        return ""

    def _index(self, files: dict[str, str]) -> dict[str, Any]:
        index = {
            "format": FORMAT,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "stats": self.stats,
            "config": self.grid.base.to_dict(),
            "grid": hashlib.blake2b(self.grid.ids().tobytes(), digest_size=16).hexdigest(),
            "size": self.grid.size,
            "columns": self.grid.frame.columns,
            "values": {name: column.values for name, column in self.grid.columns.items()},
            "files": files,
        }
        plain: dict[str, Any] = json.loads(json.dumps(index, default=str))
        return plain

    def _write_index(self, files: dict[str, str]) -> None:
        path = self.folder / INDEX
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(self._index(files), indent=1), encoding="utf-8")
        temporary.replace(path)

    # --------------------------------------------------------------------------------------------------- reading

    @classmethod
    def read(cls, folder: str | Path) -> tuple[Self, pl.DataFrame]:
        """A finished sweep and its frame.

        Raises:
            LakeError: naming path and reason.
        """
        root = Path(folder)
        index = _read_index(root)
        if not index["files"]:
            raise LakeError(f"{root}: the sweep is not finished; run it again with the same out= to continue")
        for name, stated in index["files"].items():
            if not (root / name).is_file():
                raise LakeError(f"{root / name}: missing")
            if digest(root / name) != stated:
                raise LakeError(f"{root / name}: altered since it was written (its digest differs from {INDEX})")
        frame, codes = pl.read_parquet(root / FRAME), pl.read_parquet(root / CODES)
        try:
            base = Config.from_dict(index["config"], source=str(root / INDEX))
            columns = {
                name: Swept(read_values(name, values), codes[name].to_numpy().astype(np.int64))
                for name, values in index["values"].items()
            }
        except ConfigError as error:
            raise LakeError(f"{root / INDEX}: {error}") from None
        grid = Grid(base, frame.select(index["columns"]), columns)
        return cls(root, grid, index["stats"], index["fingerprint"], index["version"]), frame


def _changed(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """The dotted names of the fields in which two configurations differ."""

    def field(config: dict[str, Any], name: str) -> Any:
        section, _, rest = name.partition(".")
        return config[section].get(rest) if rest else config[section]

    return [name for name in [*field_names(), "rules"] if field(there, name) != field(here, name)]


def _read_index(root: Path) -> dict[str, Any]:
    path = root / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LakeError(f"{path}: cannot be read ({error.strerror}); expected the folder of a saved sweep") from None
    except ValueError:
        raise LakeError(f"{path}: no valid JSON; expected the index of a saved sweep") from None
    needed = {"format", "version", "fingerprint", "stats", "config", "grid", "columns", "values", "files"}
    if not isinstance(index, dict) or not needed <= index.keys():
        raise LakeError(f"{path}: not the index of a saved sweep (needs {listed(sorted(needed))})")
    return index


def _write(path: Path, frame: pl.DataFrame) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.write_parquet(temporary)
        temporary.replace(path)
    except OSError as error:
        raise LakeError(f"{path}: cannot be written: {error.strerror or error}") from None
