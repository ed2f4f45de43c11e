"""What a backtest has computed so far, slice by slice, until its wheels are numbered.

With a folder nothing is held but the slice at hand: each part is a Parquet file, and `finish` reads them back a month, or an
underlying, at a time.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.market import files
from wheelvec.spec.config import Config
from wheelvec.spec.frames import CALL_DIAGNOSTICS, DIAGNOSTICS, LEDGER, PATHS, RECORDS, UNDERLYING_CLOSES, WARNINGS
from wheelvec.spec.version import VERSION
from wheelvec.stages.records import ledger, numbered, records

BY_UNDERLYING = {"paths": PATHS, "underlying": UNDERLYING_CLOSES}
KINDS = {
    "records": RECORDS,
    "ledger": LEDGER,
    "call_diagnostics": CALL_DIAGNOSTICS,
    "diagnostics": DIAGNOSTICS,
    **BY_UNDERLYING,
    "warnings": WARNINGS,
}
Slice = tuple[dt.date, int]  # month of entry, position of the underlying
BATCH = 10_000  # puts whose records are built together: 20 MB


class Parts:
    """Frames by kind and slice, in memory or below a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._frames: dict[tuple[str, Slice], pl.DataFrame | Path] = {}
        self._heights: dict[Slice, int] = {}

    def add(self, kind: str, at: Slice, frame: pl.DataFrame) -> None:
        """Keep one frame of one slice."""
        if kind == "puts":
            self._heights[at] = frame.height
        if self._folder is None:
            self._frames[kind, at] = frame
            return
        path = self._folder / f"{kind}-{at[0]:%Y-%m}-{at[1]}.parquet"
        files.write_frame(path, frame)
        self._frames[kind, at] = path

    def _read(self, kind: str, at: Slice) -> pl.DataFrame:
        frame = self._frames[kind, at]
        return pl.read_parquet(frame) if isinstance(frame, Path) else frame

    def _wheels_of(self, kind: str, slices: list[Slice]) -> pl.DataFrame:
        """The frames of a kind together; wheels, numbered from 0 in each slice, get numbers that differ among all."""
        return pl.concat(
            [self._read(kind, at).with_columns(pl.col("wheel") + (place << 32)) for place, at in enumerate(slices)]
        )

    def _groups(self, kind: str, position: int) -> Iterator[list[pl.DataFrame]]:
        """The frames of a kind that share a month (0) or an underlying (1), group by group in order."""
        slices: dict[Any, list[Slice]] = {}
        for at in sorted(at for name, at in self._frames if name == kind):
            slices.setdefault(at[position], []).append(at)
        for value in sorted(slices):
            yield [self._read(kind, at) for at in slices[value]]

    def finish(self, symbols: list[str], config: Config, write: Callable[[str, pl.DataFrame], Any]) -> None:
        """Number the wheels over all slices and hand every kind's frames to `write`, in order."""
        order = pl.DataFrame({"underlying": symbols}, schema={"underlying": pl.String}).with_row_index("position")
        first = self._first_numbers(order)
        self._finish_wheels(first, config, write)
        version = f"wheelvec {VERSION} {config.rules}"
        for frames in self._groups("call_diagnostics", 0):
            write("call_diagnostics", numbered(pl.concat(frames), first, CALL_DIAGNOSTICS, version))
        for frames in self._groups("diagnostics", 0):
            placed = pl.concat(frames).join(order, on="underlying", maintain_order="left").sort("session", "position")
            write("diagnostics", placed.select(list(DIAGNOSTICS)))
        for kind, columns in BY_UNDERLYING.items():
            key = [name for name in ("underlying", "symbol", "session") if name in columns]
            for frames in self._groups(kind, 1):
                write(kind, pl.concat(frames).unique(key, keep="first").sort(key).select(list(columns)))

    def _finish_wheels(self, first: pl.DataFrame, config: Config, write: Callable[[str, pl.DataFrame], Any]) -> None:
        """Records and ledger over all underlyings, some months of entries at a time: for a slice alone the hundred columns
        would cost as much as everything else."""
        version = f"wheelvec {VERSION} {config.rules}"
        for months in self._batches():
            puts, calls, wheels, dividends = (
                self._wheels_of(kind, months) for kind in ("puts", "calls", "wheels", "dividends")
            )
            write("records", numbered(records(puts, calls, wheels), first, RECORDS, version))
            write("ledger", numbered(ledger(puts, calls, wheels, dividends, config), first, LEDGER, version))

    def _batches(self) -> Iterator[list[Slice]]:
        """The slices with wheels, whole months in order, as many together as hold BATCH puts."""
        batch: list[Slice] = []
        slices = sorted(at for kind, at in self._frames if kind == "puts")
        for _, month in groupby(slices, key=lambda at: at[0]):
            batch += month
            if sum(self._heights[at] for at in batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _first_numbers(self, order: pl.DataFrame) -> pl.DataFrame:
        """The number of the first wheel of each session and underlying: one running count, session by session."""
        days = [pl.concat(frames) for frames in self._groups("diagnostics", 0)]
        none = pl.DataFrame(schema={name: DIAGNOSTICS[name] for name in ("session", "underlying", "n_launched")})
        launched = pl.concat([none, *(d.select(none.columns) for d in days)])
        launched = launched.join(order, on="underlying").sort("session", "position")
        first = pl.col("n_launched").cum_sum() - pl.col("n_launched")
        return launched.select(wheel_session="session", underlying="underlying", first=first)
