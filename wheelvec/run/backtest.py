"""One configuration over one market:

market -> slices -> outcomes of every wheel (run.recorder) -> records, ledger, diagnostics, paths
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError
from wheelvec.model.forks import refuse_forked
from wheelvec.model.grid import Grid
from wheelvec.run.context import Context
from wheelvec.run.executor import Executor, InOrder, default_threads, whole_number
from wheelvec.run.folder import keep_apart
from wheelvec.run.recorder import Recorder, Walked
from wheelvec.run.result import Result, ResultWriter
from wheelvec.run.schedule import check_curve, entry_rule_of
from wheelvec.run.signals import Signal
from wheelvec.run.spool import Spool
from wheelvec.run.warnings import as_frame, of_backtest
from wheelvec.stages.arrays import Array, days
from wheelvec.stages.diagnostics import call_diagnostics, diagnostics
from wheelvec.stages.ledger import ledger
from wheelvec.stages.outcomes import OneUnderlying, Recorded, in_order
from wheelvec.stages.records import records

Progress = Callable[[int, int], None]
MEMORY = 2**29  # bytes: half of it for the slices that a backtest leaves with its market
BATCH = 10_000  # wheels whose records are built together: 30 MB
FEW = 1_000  # wheels: to share the records of fewer among threads takes longer than it saves


def backtest(
    market: Market,
    config: Config | None = None,
    *,
    when: Any = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """Every wheel of the configuration's date range, right to the cent (docs/fills.md says under
    which assumptions).

    Work goes window by window, one underlying and one year of entries at a time, and wheels that
    hold shares at its end go on in the next: memory follows the window and not the market, and time
    grows with the years, however many calls a wheel may sell.

    Args:
        market: the tables; see `Market`.
        config: the rules; `Config()` if None.
        when: your own signal: a frame of (session, underlying), of Polars (lazy or not), pandas or
            Arrow; only these pairs may open. `Result.warnings` names those that match no entry
            session.
        out: a folder to write the result to as it is made, whole or not at all; None keeps it in
            memory. An earlier result of the same configuration, data and signal is replaced, and
            nothing else that is there.
        overwrite: whether another result in `out` may be replaced too.
        threads: how many underlyings are worked on side by side; as many as there are processors
            if None. No figure depends on it.
        progress: called with (months done, months in all), each counted for every underlying.

    Returns:
        A `Result`: records, wheels, ledger, summary, diagnostics.

    Raises:
        InputError, ConfigError: for a symbol the market does not hold, a calendar or range that
            does not exist, a bad signal.
        LakeError: if a file of the lake, or `out`, cannot be used: it holds anything else, which is
            named before any work is done; it lies in the lake, or the lake in it; another process
            is writing there.

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
    context = Context(market, Grid.read(config, {}), 1, MEMORY)
    return of_row(
        market,
        context,
        0,
        config,
        signal,
        threads=threads,
        out=out,
        overwrite=overwrite,
        progress=progress,
    )


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
    progress: Progress | None = None,
) -> Result:
    """The result of one row of a grid, from the slices that its `context` holds or makes.

    Args:
        market, context, row, config: the market, a grid over it, which of its rows, and the
            configuration of that row.
        signal: on which pairs wheels may open; None: on all.
        threads, out, overwrite, progress: as `backtest`.
    """
    symbols = list(market.symbols if config.schedule.symbols is None else config.schedule.symbols)
    recorder = Recorder(market, context, row, config, symbols, signal)
    writer = ResultWriter(
        out,
        config,
        lambda: market.fingerprint,
        signals=None if signal is None else signal.digest,
        overwrite=overwrite,
    )
    # the digest of the data is hashed meanwhile: hashing needs none of Python's lock, and is a
    # quarter of a short run
    with writer, ThreadPoolExecutor(1) as aside, Executor(threads) as executor:
        fingerprint = aside.submit(lambda: market.fingerprint)
        spool = Spool(writer.spool_folder())

        def take(_: int, walked: Walked) -> None:
            if walked.paths is not None and walked.closes is not None:
                writer.write("paths", walked.paths)
                writer.write("underlying", walked.closes)
            spool.add(walked.outcomes)

        recorder.run(executor, take, progress or (lambda done, total: None))
        if out is not None and market.folder is not None:
            _survey(market, symbols, executor)
        size = BATCH if out is not None else _batch(spool.count, threads)
        _write(spool, recorder.recorded, _dividends(market, symbols), writer, executor, size)
        fingerprint.result()
        given = None if signal is None else signal.given
        return writer.close(
            warnings=lambda made: as_frame(of_backtest(market, config, given, made.diagnostics))
        )


def _dividends(market: Market, symbols: list[str]) -> dict[int, tuple[Array, Array]]:
    """Of each underlying's place the ex-days, in order, and dollars per contract."""
    if market.dividends is None:
        return {}
    paid = market.dividends.sort("ex_date", maintain_order=True).partition_by(
        "underlying", as_dict=True
    )
    held = {place: paid[name,] for place, name in enumerate(symbols) if (name,) in paid}
    return {
        place: (days(frame, "ex_date"), frame["amount"].to_numpy() * 100.0)
        for place, frame in held.items()
    }


def _survey(market: Market, symbols: list[str], executor: Executor) -> None:
    """Find what is odd about the data of each underlying, side by side: the warnings say it, and
    it takes a quarter of a run over a lake.
    """
    _ = market.sessions  # found once, before others ask for it

    def survey(symbol: str) -> Iterator[None]:
        market.findings([symbol])
        yield

    executor.each(survey, symbols)


def _batch(wheels: int, threads: int) -> int:
    """How many wheels to make records of at a time: of many, each thread's share."""
    return min(BATCH, max(FEW, -(-wheels // threads)))


def _write(
    spool: Spool,
    recorded: Callable[[list[OneUnderlying], int], Recorded],
    dividends: dict[int, tuple[Array, Array]],
    writer: ResultWriter,
    executor: Executor,
    size: int,
) -> None:
    """Make the frames of `size` wheels at a time, side by side, and write them in their order."""
    batches = spool.batches(size)

    def write(_: int, frames: dict[str, pl.DataFrame]) -> None:
        for kind, frame in frames.items():
            writer.write(kind, frame)

    frames_in_order = InOrder(write)

    def make(place: int) -> Iterator[None]:
        part = recorded(spool.taken(batches[place]), batches[place].number)
        some = in_order(part)
        frames = {
            "records": records(some, part),
            "ledger": ledger(some, part, dividends),
            "call_diagnostics": call_diagnostics(some, part),
        }
        frames_in_order.add(place, frames)
        yield

    executor.each(make, list(range(len(batches))))
    every = recorded(spool.sessions, 0)
    if every.days.size:
        writer.write("diagnostics", diagnostics(every))
