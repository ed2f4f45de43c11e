"""The job of a backtest on an executor: it records the wheels of some underlyings.

    RecordJob -> Walked of each underlying -> frames -> Walked, in the process that asked

The frames hold every bit of the arrays, so that the result made of them is that of a local run.
"""

import dataclasses
import time
from typing import Any

import numpy as np
import polars as pl

from wheelvec.demo.synthetic import demo_market
from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.market.market import Market
from wheelvec.model.config import CallRules, Config
from wheelvec.model.grid import Grid
from wheelvec.run.cluster.jobs import (
    Found,
    Frames,
    SymbolsJob,
    packed,
    reason_of,
    share_of_memory,
    unpacked,
)
from wheelvec.run.context import Context, Part
from wheelvec.run.recorder import Recorder, Walked
from wheelvec.run.signals.pairs import Signal
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import ENTRY_DAY, OneUnderlying

MEMORY = 2**29  # bytes at most: half of it for slices, of which a backtest uses each once
PACKED = "packed"  # the column of an underlying's frames in those of a job
_TABLES: dict[str, "np.dtype[Any]"] = {
    "legs": LEG,
    "attempts": ATTEMPT,
    "wheels": WHEEL,
    "days": ENTRY_DAY,
}


@dataclasses.dataclass(frozen=True)
class RecordJob(SymbolsJob):
    """The wheels of one configuration.

    Attributes:
        config: the rules.
        signal: the (session, underlying) pairs on which wheels may open; None: all.
    """

    config: Config
    signal: Signal | None

    def run(self, market: Market) -> Found:
        """As `LakeJob.run`: of each underlying one frame, with its frames of `framed` packed."""
        started = time.perf_counter()
        memory = self.memory or min(MEMORY, share_of_memory())
        recorder = _recorder(market, self.config, self.symbols, self.signal, memory)
        frames, failures = Frames(), dict[str, str]()
        for position, symbol in enumerate(self.symbols):
            try:
                content = packed(framed(recorder.one(position)))
            except Exception as error:  # one underlying's data must not end the run
                failures[symbol] = reason_of(error)
            else:
                frames[symbol] = pl.DataFrame({PACKED: [content]}, schema={PACKED: pl.Binary})
        return Found(frames, failures, {"wheels": time.perf_counter() - started})

    @classmethod
    def warm(cls) -> None:
        """As `Job.warm`."""
        market = demo_market(symbols=("ALFA",), start="2024-01-02", end="2024-03-28")
        config = Config(call=CallRules(max_cycles=None))
        _recorder(market, config, ("ALFA",), None, 2**26).one(0)


def _recorder(
    market: Market, config: Config, symbols: tuple[str, ...], signal: Signal | None, memory: int
) -> Recorder:
    context = Context(market, Grid.read(config, {}), 1, memory, part=Part(frozenset(symbols)))
    return Recorder(market, context, 0, config, list(symbols), signal)


def framed(walked: Walked) -> Frames:
    """The recorded wheels of one underlying as frames."""
    outcomes = walked.outcomes
    frames = {name: _columns(getattr(outcomes, name)) for name in _TABLES}
    frames |= {
        "symbols": outcomes.symbols.to_frame(),
        "closes": walked.closes,
        "events": walked.events,
    }
    return frames if walked.paths is None else frames | {"paths": walked.paths}


def walked_of(content: bytes, position: int) -> Walked:
    """The recorded wheels of one underlying.

    Args:
        content: its frames of `framed`, packed.
        position: of the underlying among those of the run.
    """
    frames = unpacked(content)
    tables = {name: _table(frames[name], kind) for name, kind in _TABLES.items()}
    for name in ("wheels", "days"):
        tables[name]["underlying"] = position
    outcomes = OneUnderlying(symbols=frames["symbols"].to_series(), **tables)
    return Walked(outcomes, frames.get("paths"), frames["closes"], frames["events"])


def _columns(table: Array) -> pl.DataFrame:
    """The fields of a structured array as columns."""
    names = table.dtype.names or ()
    return pl.DataFrame([pl.Series(name, np.ascontiguousarray(table[name])) for name in names])


def _table(columns: pl.DataFrame, kind: "np.dtype[Any]") -> Array:
    """The structured array of `_columns`."""
    table = np.zeros(columns.height, kind)
    for name in columns.columns:
        table[name] = columns[name].to_numpy()
    return table
