"""What a backtest gives back: its frames, the configuration and the fingerprint of the data; saved and loaded whole."""

import json
import platform
import shutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from wheelvec.run.folder import beside, digest, put_in_place, refuse_foreign
from wheelvec.run.invariants import broken_invariants
from wheelvec.run.parts import KINDS
from wheelvec.spec.config import Config
from wheelvec.spec.errors import ConfigError, LakeError, RecordError, listed
from wheelvec.spec.frames import WHEELS
from wheelvec.spec.version import VERSION
from wheelvec.stages.summary import READ, Figure, summary

FORMAT = 1
INDEX = "result.json"
SUMMARY = "summary.json"


class Result:
    """The result of one backtest. Frames of a saved result are read when first asked for.

    Attributes:
        config: the configuration that was run.
        fingerprint: hexadecimal digest of the market's tables.
        versions: of wheelvec, Python, Polars, NumPy and Numba when it was run.
    """

    def __init__(
        self, config: Config, fingerprint: str, versions: Mapping[str, str], frames: Mapping[str, pl.DataFrame | Path]
    ) -> None:
        self.config = config
        self.fingerprint = fingerprint
        self.versions = dict(versions)
        self._frames: dict[str, pl.DataFrame | Path] = dict(frames)

    def _frame(self, kind: str) -> pl.DataFrame:
        frame = self._frames[kind]
        if isinstance(frame, Path):
            frame = self._frames[kind] = pl.read_parquet(frame)
        return frame

    @property
    def records(self) -> pl.DataFrame:
        """One row per phase (csp, cc, total), wheel by wheel: the schema is `spec.frames.RECORDS`, rules.md section 10."""
        return self._frame("records")

    @property
    def wheels(self) -> pl.DataFrame:
        """The totals, one row per wheel, without the columns that only legs have."""
        return self.records.filter(pl.col("phase") == "total").select(WHEELS)

    @property
    def ledger(self) -> pl.DataFrame:
        """wheel_id, date, entry, amount (dollars per contract): the cash of every wheel; sums to a resolved one's pnl."""
        return self._frame("ledger")

    @property
    def diagnostics(self) -> pl.DataFrame:
        """One row per entry session and underlying: outcome, and how many contracts passed each test."""
        return self._frame("diagnostics")

    @property
    def call_diagnostics(self) -> pl.DataFrame:
        """One row per attempt of a launched wheel to sell a call."""
        return self._frame("call_diagnostics")

    @property
    def paths(self) -> pl.DataFrame:
        """Per contract and session that a leg walked: OHLC, the session's bid and ask, and whether bar or quote decided."""
        return self._frame("paths")

    @property
    def underlying(self) -> pl.DataFrame:
        """The underlyings' daily closes from entry to end of the wheels."""
        return self._frame("underlying")

    def summary(self) -> dict[str, Figure]:
        """The figures of rules.md section 10; None where there is nothing to sum."""
        held = self._frames["records"]
        return summary(pl.read_parquet(held, columns=list(READ)) if isinstance(held, Path) else held, self.config)

    def validate(self) -> None:
        """Check the invariants of records and ledger.

        Raises:
            RecordError: naming each invariant that fails, and the wheels.
        """
        broken = broken_invariants(self.records, self.ledger)
        if broken:
            raise RecordError("; ".join(f"{rule}: {listed(wheels)}" for rule, wheels in broken.items()))

    def save(self, folder: str | Path) -> None:
        """Write the result to a folder, whole or not at all; an earlier result there is replaced.

        Raises:
            LakeError: if the folder holds something else, or cannot be written.
        """
        with ResultWriter(folder) as writer:
            for kind in KINDS:
                writer.write(kind, self._frame(kind))
            writer.close(self.config, self.fingerprint, self.versions)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved result.

        Raises:
            LakeError: naming path and reason, if the folder is no saved result, or a file of it is missing or altered.
        """
        root = Path(folder)
        index = _read_index(root)
        frames: dict[str, Path] = {}
        for kind in KINDS:
            path = root / f"{kind}.parquet"
            expected = index["files"].get(kind)
            if not path.is_file():
                raise LakeError(f"{path}: missing; a saved result holds {listed(f'{k}.parquet' for k in KINDS)}")
            if digest(path) != expected:
                raise LakeError(f"{path}: altered since it was written (its digest differs from {INDEX})")
            frames[kind] = path
        try:
            config = Config.from_dict(index["config"], source=str(root / INDEX))
        except ConfigError as error:
            raise LakeError(f"{root / INDEX}: {error}") from None
        return cls(config, index["fingerprint"], index["versions"], frames)

    def __repr__(self) -> str:
        figures = self.summary()
        shown = {name: figures[name] for name in ("total_wheels", "total_pnl", "avg_wheel_roc", "censored_wheels")}
        return f"<Result {self.config.id}: " + ", ".join(f"{name}={value}" for name, value in shown.items()) + ">"

    def _repr_html_(self) -> str:
        figures = self.summary()
        rows = pl.DataFrame({"figure": list(figures), "value": [None if v is None else float(v) for v in figures.values()]})
        with pl.Config(tbl_rows=len(figures)):
            return rows._repr_html_()


def _read_index(root: Path) -> dict[str, Any]:
    path = root / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LakeError(f"{path}: cannot be read ({error.strerror}); expected the folder of a saved result") from None
    except ValueError:
        raise LakeError(f"{path}: no valid JSON; expected the index of a saved result") from None
    needed = {"format", "config", "fingerprint", "versions", "files"}
    if not isinstance(index, dict) or not needed <= index.keys() or not isinstance(index["files"], dict):
        raise LakeError(f"{path}: not the index of a saved result (needs {listed(sorted(needed))})")
    if index["format"] != FORMAT:
        raise LakeError(f"{path}: format {index['format']!r}; this version of wheelvec reads format {FORMAT}")
    return index


@cache
def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("polars", "numpy", "numba")}
    return {"wheelvec": VERSION, "python": platform.python_version(), **packages}


class ResultWriter:
    """Collects the frames of a result in memory, or below a temporary folder that takes the place of `out` when closed."""

    def __init__(self, out: str | Path | None) -> None:
        self._out = None if out is None else Path(out)
        self._frames: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
        self._writers: dict[str, Any] = {}
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        if self._out is not None:
            refuse_foreign(self._out, INDEX, "result")
            self._folder = beside(self._out, "parts")
        return self

    @property
    def parts_folder(self) -> Path | None:
        """Where slices may be kept until the result is finished; None in memory."""
        return None if self._folder is None else self._folder / "parts"

    def write(self, kind: str, frame: pl.DataFrame) -> None:
        """Append rows of one kind."""
        if self._folder is None:
            self._frames[kind].append(frame)
            return
        import pyarrow.parquet as pq

        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if kind not in self._writers:
            self._writers[kind] = pq.ParquetWriter(self._folder / f"{kind}.parquet", table.schema, compression="zstd")
        self._writers[kind].write_table(table)

    def close(self, config: Config, fingerprint: str, versions: Mapping[str, str] | None = None) -> Result:
        """Finish: the result, in memory or read back from its folder."""
        for kind, columns in KINDS.items():
            if self._folder is None and not self._frames[kind]:
                self._frames[kind].append(pl.DataFrame(schema=columns))
            elif self._folder is not None and kind not in self._writers:
                self.write(kind, pl.DataFrame(schema=columns))
        versions = versions or _versions()
        if self._folder is None or self._out is None:
            return Result(config, fingerprint, versions, {k: pl.concat(f) for k, f in self._frames.items()})
        for writer in self._writers.values():
            writer.close()
        self._write_summary(config)
        self._write_index(config, fingerprint, versions)
        shutil.rmtree(self._folder / "parts")
        put_in_place(self._folder, self._out)
        self._folder = None
        return Result.load(self._out)

    def _write_summary(self, config: Config) -> None:
        """The figures for other programs; `Result.summary` computes them anew from the records."""
        assert self._folder is not None
        figures = summary(pl.read_parquet(self._folder / "records.parquet", columns=list(READ)), config)
        (self._folder / SUMMARY).write_text(json.dumps(figures, indent=1), encoding="utf-8")

    def _write_index(self, config: Config, fingerprint: str, versions: Mapping[str, str]) -> None:
        assert self._folder is not None
        index = {
            "format": FORMAT,
            "config": config.to_dict(),
            "config_id": config.id,
            "fingerprint": fingerprint,
            "versions": dict(versions),
            "files": {kind: digest(self._folder / f"{kind}.parquet") for kind in KINDS},
        }
        (self._folder / INDEX).write_text(json.dumps(index, indent=1, default=str), encoding="utf-8")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for writer in self._writers.values():
            writer.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
