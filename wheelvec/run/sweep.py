"""`sweep`: the figures of many configurations over one market; `plan`: what it will take."""

import contextlib
import functools
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.account import Account
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, WheelvecError, cut, listed, unknown_name
from wheelvec.model.forks import refuse_forked
from wheelvec.model.grid import SIGNAL, Codes, Grid, GridLike
from wheelvec.model.progress import Progress, Report, reporting
from wheelvec.model.refusals import RefusedRowsError, described
from wheelvec.run.cluster.distributed import Distributed
from wheelvec.run.cluster.job_results import JobResults, kept_text
from wheelvec.run.cluster.workers import Workers
from wheelvec.run.engine import Engine
from wheelvec.run.executor import default_memory, default_threads, whole_number
from wheelvec.run.planned import Plan
from wheelvec.run.results.folder import keep_apart
from wheelvec.run.results.store import SweepStore
from wheelvec.run.results.sweep_result import Sweep
from wheelvec.run.signals.pairs import Signals

log = logging.getLogger(__name__)
STATS = ("full", "moments")
_DIGITS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)


def sweep(
    market: Market,
    config: Config | None,
    grid: GridLike,
    *,
    when: Any = None,
    signals: Mapping[str, Any] | None = None,
    account: Account | None = None,
    skip_invalid: bool = False,
    out: str | Path | None = None,
    overwrite: bool = False,
    stats: str = "full",
    threads: int | None = None,
    memory: int | None = None,
    executor: Any = None,
    progress: Progress = None,
) -> Sweep:
    """Compute the figures of every configuration of a grid over a market.

    Row i equals `backtest(market, sweep.row_config(i), when=sweep.row_when(i)).summary()` to the
    last bit. Under an account its `account_*` are `simulate(sweep.result(i), account).metrics()`
    within 1e-9.

    Work that depends on entry rules, exits, fills or calls alone is done once per distinct value.
    Rows that are equal in every field are computed once. The figures do not depend on the number
    of threads, the order of rows, or the size of chunks.

    Args:
        market: the tables.
        config: the base configuration, of which rows change some fields; `Config()` if None.
        grid: a mapping of dotted field names to values (their product, last key fastest), or a
            frame of Polars (lazy or not) or pandas with one configuration per row. In a frame a
            null means None, and a field without a column keeps the value of the base. A tuple of
            names changes several fields together:
            {("put.delta_min", "put.delta_max"): [(0.15, 0.25), (0.25, 0.35)]}. The name `signal`,
            which is no field, takes names of `signals` as values. At most 10,000,000 rows.
        when: a signal, as in `backtest`: a frame of (session, underlying) from Polars (lazy or
            not), pandas or Arrow. In every row wheels open on these pairs only; None: on all.
        signals: further signals by name, such as {"sma200": frame}. A row whose `signal` is one of
            these names opens wheels on its pairs only, and on those of `when` only if there is one.
            A row whose `signal` is None opens them on the pairs of `when`. Signals that no row
            names are ignored.
        account: an account in which each row's wheels are held: the frame then has its metrics
            too (docs/portfolio.md). The grid may name its fields, such as "account.fraction" or
            "account.seed"; without `account` they change those of `Account()`. A row whose
            fraction is too small for any wheel has counts, and null in place of other figures.
        skip_invalid: leave out rows that are no valid configuration, or that this market cannot
            run. `Sweep.skipped` has each of them with its reason, and the log has counts. If false
            such rows are an error.
        out: a folder that no other process may write to meanwhile. Finished chunks are written to
            it during the run; the same sweep on the same data continues from them. Nothing else in
            the folder is replaced.
        overwrite: whether a different sweep in `out` may be replaced. A finished one is replaced
            when this sweep finishes.
        stats: "full", or "moments" to leave out the order statistics (median and percentiles),
            whose sorting takes longer than everything else.
        threads: the number of threads; the number of processors if None.
        memory: bytes that the sweep may take besides its frame; a quarter of the machine's if None.
            With an executor: bytes that each job may take.
        executor: where to compute: a `dask.distributed.Client`, or any executor of the kind of
            `concurrent.futures` (a spawned process pool, submitit). Its workers read the lake
            themselves. The frame is that of a local run to the bit, but for the percentiles of more
            than 134 million cells (estimated as in `plan`): these are exact to `percentile_error`,
            a column of the frame. Underlyings whose data cannot be read are left out and listed in
            `Sweep.failures`. See docs/cluster.md. None: this process.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with
            (configurations done, configurations in total, wheels x configurations done).

    Returns:
        A `Sweep`.

    Raises:
        ConfigError: for an unknown field or too many rows; or naming the rows that are no valid
            configuration, name an unknown signal, or cannot be run on this market.
        InputError: for an invalid argument, such as `signals` without a column `signal` in the
            grid, an account whose rates begin too late, or an executor for a market of frames.
        WheelvecError: if no worker of the executor can be used; the message names each with its
            reason.
        LakeError: if a file of the lake cannot be read, or `out` cannot be used: it holds another
            sweep (the error names the difference) or anything else, it is inside the lake or
            contains it, or another process is writing to it.
        KeyboardInterrupt: within a second after Ctrl-C; its message says how much is kept.

    Example:
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
        >>> swept.frame.select("put.stop_loss_multiplier", "total_wheels", "csp_stop_loss").rows()
        [(1.2, 14, 6), (None, 14, 0)]

        The same configuration on all entry sessions, and on the first one only:

        >>> import datetime as dt
        >>> first = pl.DataFrame({"session": [dt.date(2024, 1, 2)], "underlying": ["BRVO"]})
        >>> swept = wv.sweep(market, config, {"signal": [None, "first"]}, signals={"first": first})
        >>> swept.frame.select("signal", "total_wheels").rows()
        [(None, 14), ('first', 3)]
    """
    refuse_forked()
    workers = None if executor is None else Workers(executor)
    asked = None if memory is None else whole_number("memory", memory, 1)
    threads = whole_number("threads", threads, default_threads())
    memory = asked or default_memory()
    read, given = _read(market, config, grid, when, signals, account, skip_invalid, stats)
    if out is not None:
        keep_apart(out, market.folder)
    read, engine = _engine_of(market, read, given, skip_invalid, stats == "full", threads, memory)
    away, finished = None, False
    if workers is not None:
        away = Distributed(market, read, engine.context, given, workers, stats, asked)
        if out is not None:  # refused before the data are verified, which may take long
            there = SweepStore.of(out, read, stats, None, given)
            finished = there.is_finished(there.check(overwrite))
        # a finished sweep is read with its warnings
        away.survey(findings=out is not None and not finished)
    store = None if out is None else SweepStore.of(out, read, stats, market.fingerprint, given)
    if store:
        store.check(overwrite)
    swept_of = functools.partial(
        Sweep, read, market=market, signals=given, stats=stats, threads=threads, memory=memory
    )
    held = store.held() if store else nullcontext()
    with held, reporting(progress, "configurations") as report:
        frame = store.begin(overwrite) if store else None
        if frame is not None:
            return swept_of(frame, warnings=store.warnings if store else None)
        if away is not None and away.has_entries:
            if finished:  # but over other data
                away.survey(findings=True)
            frame = _gathered(away, read, store, report)
        else:
            frame = _frame(engine, store, report)
        swept = swept_of(frame, failures=away.failures if away else None)
        if store:
            store.finish(swept.frame, swept.warnings, swept.failures)
    return swept


def plan(
    market: Market,
    config: Config | None,
    grid: GridLike,
    *,
    when: Any = None,
    signals: Mapping[str, Any] | None = None,
    account: Account | None = None,
    skip_invalid: bool = False,
    stats: str = "full",
    memory: int | None = None,
    executor: Any = None,
) -> Plan:
    """The jobs, time and memory that a sweep with the same arguments will take.

    One job is run and timed, a year of one underlying for at most 64 configurations, and the rest
    is estimated from it by the size of the files; so is the check of the data before a sweep, which
    reads each byte once. They are not read, so that this takes seconds over a lake of any size.
    Accounts are not in the estimate.

    Args:
        market: of a lake.
        config: as in `sweep`.
        grid: as in `sweep`.
        when: as in `sweep`.
        signals: as in `sweep`.
        account: as in `sweep`.
        skip_invalid: as in `sweep`.
        stats: as in `sweep`.
        memory: as in `sweep`.
        executor: as in `sweep`; the job is timed on one of its workers. None: it is timed in this
            process, and the plan is for a pool with a process for each processor.

    Returns:
        A `Plan`.

    Raises:
        ConfigError: as in `sweep`.
        InputError: as in `sweep`; for a market of frames; or if no row has an entry session.
        WheelvecError: if no worker of the executor can be used.
        LakeError: if a file that is read is damaged.

    Example:
        >>> import tempfile
        >>> import wheelvec as wv
        >>> folder = tempfile.mkdtemp()
        >>> written = wv.demo_market(symbols=["ALFA", "BRVO"], end="2024-02-29").write(folder)
        >>> grid = {"put.exit_pct": [0.25, 0.5], "fills.execution_seed": range(32)}
        >>> plan = wv.plan(wv.Market.open(folder), None, grid)
        >>> plan.underlyings, plan.months, plan.configurations, plan.jobs
        (2, 2, 64, 1)
    """
    refuse_forked()
    asked = None if memory is None else whole_number("memory", memory, 1)
    read, given = _read(market, config, grid, when, signals, account, skip_invalid, stats)
    ordered, limit = stats == "full", asked or default_memory()
    read, engine = _engine_of(market, read, given, skip_invalid, ordered, default_threads(), limit)
    with contextlib.ExitStack() as stack:
        pool = executor or stack.enter_context(ThreadPoolExecutor(1))
        workers = Workers(pool)
        away = Distributed(market, read, engine.context, given, workers, stats, asked)
        if not away.has_entries:
            raise InputError("plan: no row of the grid has an entry session on this market")
        timing = away.timed(survey=True)
        count = default_threads() if executor is None else workers.count()
        return away.plan(away.cut(timing), timing, count)


def _read(
    market: Market,
    config: Config | None,
    grid: GridLike,
    when: Any,
    signals: Mapping[str, Any] | None,
    account: Account | None,
    skip_invalid: bool,
    stats: str,
) -> tuple[Grid, Signals]:
    """The grid and the signals that a user gave; the other arguments are checked."""
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
    if account is not None and not isinstance(account, Account):
        raise InputError(f"account is {cut(account)}: expected a wheelvec.Account")
    given = Signals.read(when, signals)
    read = Grid.read(config, grid, skip_invalid=skip_invalid, signals=given.named, account=account)
    if given.named and SIGNAL not in read.frame.columns:
        names = listed(map(repr, given.named))
        raise InputError(f"signals has {names}, but the grid has no column {SIGNAL!r} to name them")
    return read, given


def _gathered(
    away: Distributed, grid: Grid, store: SweepStore | None, progress: Report | None
) -> pl.DataFrame:
    """The frame of a sweep on an executor, whose parts are kept in the folder of its store."""
    with contextlib.ExitStack() as stack:
        folder = (
            store.place.parts_path
            if store
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wheelvec-")))
        )
        parts, out = JobResults(folder), store.place.path if store else None
        try:
            figures = away.figures(away.cut_of(parts), parts, progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(kept_text(parts, "sweep", out)) from None
        except WheelvecError as error:
            raise type(error)(f"{error}; {kept_text(parts, 'sweep', out)}") from error
    ids = pl.DataFrame([_hexadecimal(grid.ids())])
    return pl.concat([grid.frame, ids, figures], how="horizontal")


def _engine_of(
    market: Market,
    grid: Grid,
    signals: Signals,
    skip_invalid: bool,
    ordered: bool,
    threads: int,
    memory: int,
) -> tuple[Grid, Engine]:
    """The grid without its skipped rows, and the engine of it.

    Rows that the market cannot run are skipped or an error.
    """
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


def _frame(engine: Engine, store: SweepStore | None, progress: Report | None) -> pl.DataFrame:
    """The frame of a sweep: chunks that the store has are read, the others are computed."""
    rows, inverse = engine.grid.distinct
    chunks = {first: (last, frame) for first, last, frame in store.kept()} if store else {}
    done, cells = sum(last - first for first, (last, _) in chunks.items()), 0
    try:
        for start, chunk in _missing(engine, rows, chunks):
            frame = engine.run(
                chunk, progress and _reporter(progress, done, chunk.size, rows.size, cells)
            )
            chunks[start] = start + chunk.size, frame
            if store:
                store.keep(start, frame)
            done, cells = done + chunk.size, cells + (_launched(frame) if progress else 0)
    except KeyboardInterrupt:
        # the folder may hold a chunk more than `done` counts
        raise KeyboardInterrupt(_kept(store.count() if store else done, rows.size, store)) from None
    figures = pl.concat([chunks[start][1] for start in sorted(chunks)])
    if not (rows.size == inverse.size and (inverse == np.arange(inverse.size)).all()):
        figures = figures[inverse]
    return pl.concat(
        [engine.grid.frame, pl.DataFrame([_hexadecimal(engine.grid.ids())]), figures],
        how="horizontal",
    )


def _launched(figures: pl.DataFrame) -> int:
    """The number of wheels x configurations: every wheel has one exit reason of its put."""
    return int(figures.select(pl.sum_horizontal(pl.col("^csp_.*$")).sum()).item())


def _missing(
    engine: Engine, rows: Codes, chunks: dict[int, tuple[int, pl.DataFrame]]
) -> Iterator[tuple[int, Codes]]:
    """The chunks still to compute: position of the first row among `rows`, and the rows.

    Args:
        engine: of the grid.
        rows: (n,) the first of each distinct configuration.
        chunks: position of the first row -> position after the last, and figures.
    """
    position = 0
    for start, stop in [
        *((first, chunks[first][0]) for first in sorted(chunks)),
        (rows.size, rows.size),
    ]:
        for chunk in engine.chunks(rows[position:start]):
            yield position, chunk
            position += chunk.size
        position = stop


def _reporter(
    progress: Report, done: int, chunk: int, total: int, cells: int
) -> Callable[[float, int], None]:
    """A function that reports the progress of a chunk as that of the sweep."""
    return lambda fraction, more: progress(done + int(fraction * chunk), total, cells + more)


def _kept(done: int, total: int, store: SweepStore | None) -> str:
    """The message of an interrupted sweep."""
    if store is None:
        return (
            f"interrupted after {done:,} of {total:,} configurations; nothing is kept without out="
        )
    out = store.place.path
    return (
        f"interrupted: {done:,} of {total:,} configurations are kept in {out}; run the same sweep "
        "again to continue"
    )


def _hexadecimal(ids: "np.ndarray[tuple[int], np.dtype[np.uint64]]") -> pl.Series:
    """(n,) the ids as sixteen hexadecimal digits, two of each byte from a table of them."""
    digits = _DIGITS[ids.astype(">u8").view(np.uint8)].view(np.uint8).reshape(-1, 16)
    return pl.Series("config_id", digits).cast(pl.List(pl.UInt8)).cast(pl.Binary).cast(pl.String)
