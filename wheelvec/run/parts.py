"""What a backtest has computed so far, slice by slice, until its wheels are numbered.

With a folder nothing is held but the slice at hand: each part is a Parquet file, and `finish` reads them back a month, or an
underlying, at a time.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.spec.config import Config
from wheelvec.spec.frames import CALL_DIAGNOSTICS, DIAGNOSTICS, LEDGER, PATHS, RECORDS, UNDERLYING_CLOSES
from wheelvec.spec.version import VERSION
from wheelvec.stages.records import ledger, numbered, records

BY_UNDERLYING = {"paths": PATHS, "underlying": UNDERLYING_CLOSES}
KINDS = {
    "records": RECORDS,
    "ledger": LEDGER,
    "call_diagnostics": CALL_DIAGNOSTICS,
    "diagnostics": DIAGNOSTICS,
    **BY_UNDERLYING,
}
Slice = tuple[dt.date, int]  # month of entry, position of the underlying


class Parts:
    """Frames by kind and slice, in memory or below a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._frames: dict[tuple[str, Slice], pl.DataFrame | Path] = {}

    def add(self, kind: str, at: Slice, frame: pl.DataFrame) -> None:
        """Keep one frame of one slice."""
        if self._folder is None:
            self._frames[kind, at] = frame
            return
        path = self._folder / f"{kind}-{at[0]:%Y-%m}-{at[1]}.parquet"
        frame.write_parquet(path)
        self._frames[kind, at] = path

    def _read(self, kind: str, at: Slice) -> pl.DataFrame:
        """One frame; the wheels of a slice, numbered from 0 in it, get numbers of their own among all underlyings."""
        frame = self._frames[kind, at]
        frame = pl.read_parquet(frame) if isinstance(frame, Path) else frame
        return frame.with_columns(pl.col("wheel") + (at[1] << 32)) if "wheel" in frame.columns else frame

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
        """Records and ledger, a month of entries at a time over all underlyings: for a slice alone the hundred columns would
        cost as much as everything else."""
        version = f"wheelvec {VERSION} {config.rules}"
        for frames in zip(*(self._groups(kind, 0) for kind in ("puts", "calls", "wheels", "dividends")), strict=True):
            puts, calls, wheels, dividends = (pl.concat(frame) for frame in frames)
            write("records", numbered(records(puts, calls, wheels), first, RECORDS, version))
            write("ledger", numbered(ledger(puts, calls, wheels, dividends, config), first, LEDGER, version))

    def _first_numbers(self, order: pl.DataFrame) -> pl.DataFrame:
        """The number of the first wheel of each session and underlying: one running count, session by session."""
        days = [pl.concat(frames) for frames in self._groups("diagnostics", 0)]
        none = pl.DataFrame(schema={name: DIAGNOSTICS[name] for name in ("session", "underlying", "n_launched")})
        launched = pl.concat([none, *(d.select(none.columns) for d in days)])
        launched = launched.join(order, on="underlying").sort("session", "position")
        first = pl.col("n_launched").cum_sum() - pl.col("n_launched")
        return launched.select(wheel_session="session", underlying="underlying", first=first)
