"""Many configurations over one market; a backtest is its one-row case in meaning."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, listed, unknown_name
from wheelvec.model.forks import refuse_forked
from wheelvec.model.grid import SIGNAL, Codes, Grid, GridLike
from wheelvec.model.refusals import RefusedRowsError, described
from wheelvec.run.engine import Engine
from wheelvec.run.executor import default_threads, whole_number
from wheelvec.run.folder import keep_apart
from wheelvec.run.signals import Signals
from wheelvec.run.store import SweepStore
from wheelvec.run.sweep_result import Sweep

log = logging.getLogger(__name__)
Progress = Callable[[int, int, int], None]
STATS = ("full", "moments")
_DIGITS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)


def sweep(
    market: Market,
    config: Config | None,
    grid: GridLike,
    *,
    when: Any = None,
    signals: Mapping[str, Any] | None = None,
    skip_invalid: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    stats: str = "full",
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """The figures of every configuration of a grid.

    Row i equals `backtest(market, sweep.row_config(i), when=sweep.row_when(i)).summary()` to the
    last bit.

    What depends on entry rules alone, on exits, on fills and on calls is computed once for each
    distinct value. Rows that are equal in every field are computed once. Nothing depends on
    threads, on the order of rows or on how the work is cut.

    Args:
        market: the tables.
        config: what a row keeps where it changes nothing; `Config()` if None.
        grid: a mapping of dotted field names to values (their product, last key fastest), or a
            frame of Polars (lazy or not) or pandas with one configuration a row, in which a null
            means None and a column left out keeps the base. A tuple of names takes its values
            together: {("put.delta_min", "put.delta_max"): [(0.15, 0.25), (0.25, 0.35)]}. The name
            `signal`, which is no field, takes names of `signals` as values. At most 10,000,000
            rows.
        when: your own signal, as `backtest` takes it: a frame of (session, underlying), of Polars
            (lazy or not), pandas or Arrow; in every row only these pairs may open.
        signals: further ones by name, such as {"sma200": frame}. A row whose `signal` is one of
            these names opens only its pairs, of `when` too if there is one; a row whose `signal` is
            None what `when` allows. Those that no row names are left aside.
        skip_invalid: leave out the rows that are no configuration, or none that this market can
            run: `Sweep.skipped` has each with its reason, and the log says how many and why.
            Without it they are an error.
        out: a folder, which the sweep has to itself while it runs. Finished chunks are written
            there as they come; the same sweep on the same data continues from them. Nothing else
            that is there is replaced.
        overwrite: whether another sweep in `out` may be replaced; a finished one is, once this one
            is finished.
        stats: "full", or "moments" to leave out the order statistics (median and percentiles),
            whose sorting takes longer than all else.
        threads: how many to use; as many as there are processors if None.
        memory: bytes that the sweep may take beside its frame; a quarter of the machine's if None.
        progress: called with (configurations done, configurations in all, wheels x configurations
            done).

    Returns:
        A `Sweep`.

    Raises:
        ConfigError: for an unknown field or too many rows; or naming the rows that are no
            configuration, name no signal, or cannot be run on this market.
        InputError: for an argument that is not what it must be: `signals` without a column `signal`
            in the grid too.
        LakeError: if a file of the lake, or `out`, cannot be used: it holds another sweep (the
            difference is named) or anything else, it lies in the lake, or the lake in it, another
            process is writing there.
        KeyboardInterrupt: after Ctrl-C, within a second, saying what is kept.

    Example:
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
        >>> swept.frame.select("put.stop_loss_multiplier", "total_wheels", "csp_stop_loss").rows()
        [(1.2, 14, 6), (None, 14, 0)]

        The same configuration on all sessions, and on the first alone:

        >>> import datetime as dt
        >>> first = pl.DataFrame({"session": [dt.date(2024, 1, 2)], "underlying": ["BRVO"]})
        >>> swept = wv.sweep(market, config, {"signal": [None, "first"]}, signals={"first": first})
        >>> swept.frame.select("signal", "total_wheels").rows()
        [(None, 14), ('first', 3)]
    """
    refuse_forked()
    config = Config() if config is None else config
    for argument, value, expected in (("market", market, Market), ("config", config, Config)):
        if not isinstance(value, expected):
            raise InputError(
                f"{argument} is a {type(value).__name__}: expected a wheelvec.{expected.__name__}"
            )
    if not isinstance(skip_invalid, bool):
        raise InputError(f"skip_invalid = {skip_invalid!r}: expected True or False")
    if stats not in STATS:
        raise InputError(unknown_name("stats", stats, STATS))
    threads, memory = (
        whole_number("threads", threads, default_threads()),
        whole_number("memory", memory, default_memory()),
    )
    given = Signals.read(when, signals)
    read = Grid.read(config, grid, skip_invalid=skip_invalid, signals=given.named)
    if given.named and SIGNAL not in read.frame.columns:
        names = listed(map(repr, given.named))
        raise InputError(f"signals has {names}, but the grid has no column {SIGNAL!r} to name them")
    if out is not None:
        keep_apart(out, market.folder)
    read, engine = _engine_of(market, read, given, skip_invalid, stats == "full", threads, memory)
    store = None if out is None else SweepStore.of(out, read, stats, market.fingerprint, given)
    if store:
        store.check(overwrite)
    with store.held() if store else nullcontext():
        frame = store.begin(overwrite) if store else None
        if frame is not None:
            return Sweep(read, frame, market, given, stats=stats, threads=threads, memory=memory)
        swept = Sweep(
            read,
            _frame(engine, store, progress),
            market,
            given,
            stats=stats,
            threads=threads,
            memory=memory,
        )
        if store:
            store.finish(swept.frame, swept.warnings)
    return swept


def _engine_of(
    market: Market,
    grid: Grid,
    signals: Signals,
    skip_invalid: bool,
    ordered: bool,
    threads: int,
    memory: int,
) -> tuple[Grid, Engine]:
    """The engine of the rows that the market can run; the others are skipped or an error."""
    while True:
        try:
            engine = Engine(
                market, grid, ordered=ordered, threads=threads, memory=memory, signals=signals
            )
            break
        except RefusedRowsError as error:
            grid = grid.without(error.refusals, skip_invalid=skip_invalid)
    if grid.skipped.height:
        log.warning("left out: %s", described(grid.skipped, grid.size + grid.skipped.height))
    return grid, engine


def default_memory() -> int:
    """A quarter of the machine's, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def _frame(engine: Engine, store: SweepStore | None, progress: Progress | None) -> pl.DataFrame:
    """Run what is not kept yet, and put everything in the order of the grid."""
    rows, inverse = engine.grid.distinct
    parts = {first: (last, frame) for first, last, frame in store.kept()} if store else {}
    done, cells = sum(last - first for first, (last, _) in parts.items()), 0
    try:
        for start, chunk in _missing(engine, rows, parts):
            part = engine.run(
                chunk, progress and _reporter(progress, done, chunk.size, rows.size, cells)
            )
            parts[start] = start + chunk.size, part
            if store:
                store.keep(start, part)
            done, cells = done + chunk.size, cells + (_launched(part) if progress else 0)
    except KeyboardInterrupt:
        # what the folder holds, which may be a chunk more than was counted when the signal came
        raise KeyboardInterrupt(_kept(store.count() if store else done, rows.size, store)) from None
    figures = pl.concat([parts[start][1] for start in sorted(parts)])
    if not (rows.size == inverse.size and (inverse == np.arange(inverse.size)).all()):
        figures = figures[inverse]
    return pl.concat(
        [engine.grid.frame, pl.DataFrame([_hexadecimal(engine.grid.ids())]), figures],
        how="horizontal",
    )


def _launched(figures: pl.DataFrame) -> int:
    return int(figures.select(pl.sum_horizontal(pl.col("^csp_.*$")).sum()).item())


def _missing(
    engine: Engine, rows: Codes, parts: dict[int, tuple[int, pl.DataFrame]]
) -> Iterator[tuple[int, Codes]]:
    """The chunks that are not there yet.

    Position of the first distinct configuration, and the rows.
    """
    at = 0
    for start, stop in [
        *((first, parts[first][0]) for first in sorted(parts)),
        (rows.size, rows.size),
    ]:
        for chunk in engine.chunks(rows[at:start]):
            yield at, chunk
            at += chunk.size
        at = stop


def _reporter(
    progress: Progress, done: int, chunk: int, total: int, cells: int
) -> Callable[[float, int], None]:
    return lambda part, more: progress(done + int(part * chunk), total, cells + more)


def _kept(done: int, total: int, store: SweepStore | None) -> str:
    if store is None:
        return (
            f"interrupted after {done:,} of {total:,} configurations; nothing is kept without out="
        )
    out = store.place.path
    return f"interrupted: {done:,} of {total:,} configurations are kept in {out}; run the same sweep again to continue"


def _hexadecimal(ids: "np.ndarray[tuple[int], np.dtype[np.uint64]]") -> pl.Series:
    """All at once: each byte's two digits by a table, and sixteen digits a row as text."""
    digits = _DIGITS[ids.astype(">u8").view(np.uint8)].view(np.uint8).reshape(-1, 16)
    return pl.Series("config_id", digits).cast(pl.List(pl.UInt8)).cast(pl.Binary).cast(pl.String)
