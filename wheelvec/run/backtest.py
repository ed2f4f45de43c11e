"""`backtest`: every wheel of one configuration over one market.

market -> slices -> outcomes of every wheel (run.recorder) -> records, ledger, diagnostics, paths
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, WheelvecError
from wheelvec.model.forks import refuse_forked
from wheelvec.model.grid import Grid
from wheelvec.model.progress import Progress, Report, reporting
from wheelvec.model.schemas import FAILURES
from wheelvec.run.cluster.job_results import JobResults, kept_text
from wheelvec.run.cluster.recording import Recording
from wheelvec.run.cluster.workers import Workers
from wheelvec.run.context import Context
from wheelvec.run.executor import Executor, InOrder, default_threads, whole_number
from wheelvec.run.recorder import Recorder, Take, Walked
from wheelvec.run.results.folder import keep_apart
from wheelvec.run.results.result import Result, ResultWriter, check_out
from wheelvec.run.results.spool import Spool
from wheelvec.run.results.warnings import as_frame, of_backtest, of_failures
from wheelvec.run.signals.pairs import Signal
from wheelvec.run.signals.schedule import check_curve, entry_rule_of
from wheelvec.run.slicing.histories import stated_history
from wheelvec.stages.arrays import days
from wheelvec.stages.diagnostics import call_diagnostics, diagnostics
from wheelvec.stages.events import multiples, paid_under
from wheelvec.stages.ledger import Payments, ledger
from wheelvec.stages.outcomes import OneUnderlying, Recorded, in_order
from wheelvec.stages.records import records

MEMORY = 2**29  # bytes: half of it for the slices that stay cached with the market
BATCH = 10_000  # wheels whose records are built in one call: 30 MB
FEW = 5_000  # wheels: splitting the records of fewer among threads takes longer than it saves


def backtest(
    market: Market,
    config: Config | None = None,
    *,
    when: Any = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    executor: Any = None,
    progress: Progress = None,
) -> Result:
    """Simulate every wheel of one configuration over a market, right to the cent.

    docs/fills.md lists the fill assumptions.

    A run handles one window at a time: one underlying and one year of entry sessions. A wheel that
    holds shares at the end of a window continues in the next one. Memory depends on the size of a
    window, not of the market. Time is proportional to the number of years, however many calls a
    wheel may sell.

    Args:
        market: the tables; see `Market`.
        config: the rules; `Config()` if None.
        when: a signal: a frame of (session, underlying) from Polars (lazy or not), pandas or
            Arrow. Wheels open on these pairs only; None: on all. `Result.warnings` lists the pairs
            that match no entry session.
        out: a folder for the result. It is written during the run, whole or not at all; None keeps
            the result in memory. An earlier result of the same configuration, data and signal is
            replaced. Nothing else in the folder is.
        overwrite: whether a different result in `out` may be replaced too.
        threads: the number of underlyings simulated in parallel; the number of processors if None.
            No figure depends on it.
        executor: where to simulate: a `dask.distributed.Client`, or any executor of the kind of
            `concurrent.futures` (a spawned process pool, submitit). Its workers read the lake
            themselves, and this process reads no quotes. The result is that of a local run to the
            bit. Underlyings whose data cannot be read are left out and listed in
            `Result.failures`. See docs/cluster.md. None: this process.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with (months
            done, months in total), both summed over the underlyings.

    Returns:
        A `Result`: records, wheels, ledger, summary, diagnostics.

    Raises:
        InputError, ConfigError: for a symbol that the market does not hold, an unknown calendar, an
            empty date range, an invalid signal, or an executor for a market of frames.
        WheelvecError: if no worker of the executor can be used, or no underlying be simulated.
        LakeError: if a file of the lake cannot be read, or `out` cannot be used: it holds anything
            else (the error names it before the run begins), it is inside the lake or contains it,
            or another process is writing to it.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> result.wheels.height, result.summary()["total_pnl"]
        (5, 951.7)
        >>> wv.backtest(market, result.config, threads=1).records.equals(result.records)
        True
    """
    refuse_forked()
    config = Config() if config is None else config
    for argument, value, expected in (("market", market, Market), ("config", config, Config)):
        if not isinstance(value, expected):
            raise InputError(
                f"{argument} is a {type(value).__name__}: expected a wheelvec.{expected.__name__}"
            )
    threads = whole_number("threads", threads, default_threads())
    if out is not None:
        keep_apart(out, market.folder)
    signal = None if when is None else Signal.read("when", when)
    check_curve(config, entry_rule_of(market, config).start)
    workers = None if executor is None else Workers(executor)
    context, away = Context(market, Grid.read(config, {}), 1, MEMORY), None
    if workers is not None:
        if out is not None:  # before any work, and before the fingerprint is known
            check_out(out, config, overwrite=overwrite)
        away = Recording(market, config, _symbols(market, config), signal, workers)
        away.survey()
    with reporting(progress, "months x underlyings") as report:
        return of_row(
            market,
            context,
            0,
            config,
            signal,
            threads=threads,
            out=out,
            overwrite=overwrite,
            progress=report,
            away=away,
        )


def _symbols(market: Market, config: Config) -> list[str]:
    """The underlyings of a configuration, in the order in which wheels are numbered."""
    return list(market.symbols if config.schedule.symbols is None else config.schedule.symbols)


def of_row(
    market: Market,
    context: Context,
    row: int,
    config: Config,
    signal: Signal | None,
    *,
    threads: int,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Report | None = None,
    away: Recording | None = None,
) -> Result:
    """The result of one row of a grid, from slices that its `context` caches or makes.

    Args:
        market: the tables.
        context: the grid over this market.
        row: the row of the grid, from 0.
        config: the configuration of that row.
        signal: the (session, underlying) pairs on which wheels may open; None: all.
        threads: the number of underlyings simulated in parallel.
        out: a folder for the result; None keeps it in memory.
        overwrite: whether a different result in `out` may be replaced.
        progress: called with (months done, months in total), both summed over the underlyings.
        away: simulates the underlyings on an executor; None: this process.

    Raises:
        LakeError, WheelvecError: as `backtest`.
    """
    symbols, report = _symbols(market, config), progress or (lambda done, total: None)
    recorder, read = Recorder(market, context, row, config, symbols, signal), market
    writer = ResultWriter(
        out,
        config,
        lambda: market.fingerprint,
        signals=None if signal is None else signal.digest,
        overwrite=overwrite,
    )
    # Files may change after the run, and a saved result names its data: the fingerprint is computed
    # in parallel with the run, for hashing releases Python's lock. Tables in memory do not change.
    stated = out is not None or market.address is not None
    with writer, ThreadPoolExecutor(1) as hashing, Executor(threads) as executor:
        fingerprint = hashing.submit(lambda: market.fingerprint) if stated else None
        spool = Spool(writer.spool_folder())

        def take(_: int, walked: Walked) -> None:
            if walked.paths is not None:
                writer.write("paths", walked.paths)
            writer.write("underlying", walked.closes)
            writer.write("events", walked.events)
            spool.add(walked.outcomes)

        writer.start = recorder.start
        if away is not None:
            _record_away(away, recorder, take, report, writer)
            read, symbols = away.market, away.usable
            recorder = Recorder(read, context, row, config, symbols, signal)
        else:
            # the warnings of a saved result list the anomalies
            survey = out is not None and market.address is not None
            recorder.run(executor, take, report, survey=survey)
        size = BATCH if out is not None else _batch(spool.count, threads)
        payments = _payments(read, symbols, recorder.sessions)
        _write(spool, recorder.recorded, payments, writer, executor, size)
        if fingerprint is not None:
            writer.fingerprint = fingerprint.result()
        given, failures = None if signal is None else signal.given, pl.DataFrame(schema=FAILURES)
        if away is not None:
            failures = away.failures
            writer.write("failures", failures)
        return writer.close(
            warnings=lambda made: as_frame(
                (*of_failures(failures), *of_backtest(read, config, given, made.diagnostics))
            )
        )


def _record_away(
    away: Recording, recorder: Recorder, take: Take, report: Report, writer: ResultWriter
) -> None:
    """Simulate the underlyings on an executor; what its workers return is kept until all is done.

    Args:
        away: simulates them.
        recorder: of all underlyings.
        take: called with the position and the wheels of each that did not fail, in order.
        report: called with (months done, months in total).
        writer: of the result.

    Raises:
        WheelvecError, KeyboardInterrupt: which say what is kept.
    """

    def in_months(done: int, total: int) -> None:
        report(recorder.months * done // max(total, 1), recorder.months)

    with contextlib.ExitStack() as stack:
        folder = writer.parts_folder()
        kept_in = None if folder is None else folder.parent
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wheelvec-")))
        parts = JobResults(folder)
        try:
            away.record(take, parts, in_months)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(kept_text(parts, "backtest", kept_in)) from None
        except WheelvecError as error:
            kept = kept_text(parts, "backtest", kept_in)
            raise type(error)(f"{error}; {kept}") from error


def _payments(market: Market, symbols: list[str], sessions: pl.DataFrame) -> dict[int, Payments]:
    """The dividends and splits of each underlying that pays any, by its position in `symbols`."""
    found: dict[int, Payments] = {}
    if market.dividends is None:
        return found
    day = days(sessions, "session")
    for position, symbol in enumerate(symbols):
        past = stated_history(market, symbol, sessions)
        paid = paid_under(market.dividends, past.names, sessions["session"])
        if paid.height:
            amount = paid["amount"].to_numpy() * 100.0
            splits = multiples(past.table(day))
            found[position] = Payments(days(paid, "ex_date"), amount, *splits)
    return found


def _batch(wheels: int, threads: int) -> int:
    """The number of wheels whose records are built in one call: a thread's share, if many."""
    return min(BATCH, max(FEW, -(-wheels // threads)))


def _write(
    spool: Spool,
    recorded: Callable[[list[OneUnderlying], int], Recorded],
    payments: dict[int, Payments],
    writer: ResultWriter,
    executor: Executor,
    size: int,
) -> None:
    """Build the frames of `size` wheels at a time, in parallel, and write them in order."""
    batches = spool.batches(size)

    def write(_: int, frames: dict[str, pl.DataFrame]) -> None:
        for kind, frame in frames.items():
            writer.write(kind, frame)

    frames_in_order = InOrder(write)

    def make(position: int) -> Iterator[None]:
        batch = recorded(spool.taken(batches[position]), batches[position].number)
        ordered = in_order(batch)
        frames = {
            "records": records(ordered, batch),
            "ledger": ledger(ordered, batch, payments),
            "call_diagnostics": call_diagnostics(ordered, batch),
        }
        frames_in_order.add(position, frames)
        yield

    executor.each(make, list(range(len(batches))))
    every = recorded(spool.sessions, 0)
    if every.days.size:
        writer.write("diagnostics", diagnostics(every))
