"""A backtest on the workers of an executor, with the frames of a local one to the bit.

    market --SurveyJob-> digests, findings
    RecordJobs of some underlyings each -> results in files, one an underlying -> taken in order

The numbers, records, ledger, files and warnings of the recorded wheels are made where the run was
started, by the code of a local run. That process reads no quotes.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.progress import Report
from wheelvec.run.cluster.job_results import JobResults, grouped, name_of
from wheelvec.run.cluster.jobs import Done, unpacked, versions
from wheelvec.run.cluster.record_job import PACKED, RecordJob, walked_of
from wheelvec.run.cluster.surveying import Failed, survey
from wheelvec.run.cluster.workers import Asked, Workers
from wheelvec.run.recorder import Take
from wheelvec.run.signals.pairs import Signal

log = logging.getLogger(__name__)

TARGET = 8.0  # seconds of a job, estimated from the jobs before it; between 2 and 20 is meant


class _Rate(NamedTuple):
    """The seconds of the jobs so far, and the bytes of their files."""

    seconds: float
    size: int


class Recording:
    """One backtest on the workers of an executor.

    Args:
        market: of a lake.
        config: the rules.
        symbols: the underlyings, in the order in which wheels are numbered.
        signal: the (session, underlying) pairs on which wheels may open; None: all.
        workers: of the executor.

    Raises:
        InputError: for a market of frames.
        WheelvecError: if no worker can be used.
    """

    def __init__(
        self,
        market: Market,
        config: Config,
        symbols: list[str],
        signal: Signal | None,
        workers: Workers,
    ) -> None:
        self._market, self._config, self._signal = market, config, signal
        self._symbols, self._workers, self._versions = symbols, workers, versions()
        workers.check(market.part([]).folder)  # raises for a market of frames
        self._sizes = market.sizes()
        self._failed = Failed()
        self._rate, self._names = _Rate(0.0, 0), dict[str, str]()

    @property
    def failures(self) -> pl.DataFrame:
        """Underlying and error of each that could not be simulated, sorted."""
        return self._failed.frame()

    @property
    def usable(self) -> list[str]:
        """The underlyings that did not fail, in their order.

        Raises:
            WheelvecError: if all did.
        """
        return self._failed.others(self._symbols)

    @property
    def market(self) -> Market:
        """The market without the underlyings that failed."""
        if not self._failed:
            return self._market
        read = [name for name in self._sizes if name not in self._failed]
        part = self._market.part(read)
        part.hold(part.digests, {name: self._market.findings([name]) for name in read})
        return part

    def survey(self) -> None:
        """Let the workers verify the data, and give the market what they found.

        Raises:
            WheelvecError: if no underlying can be used.
        """
        self._failed |= survey(self._market, self._workers, self._sizes, findings=True)
        _ = self.usable

    def record(self, take: Take, results: JobResults, progress: Report) -> None:
        """Simulate the underlyings without a kept result.

        Args:
            take: called with the position among `usable` and the wheels of each, in order.
            results: where the job results are kept.
            progress: called with (underlyings done, underlyings in total).

        Raises:
            WheelvecError: if no underlying could be simulated, or no worker can be used.
        """
        waiting, again, lost = self.usable, list[str](), list[str]()
        missing = [symbol for symbol in waiting if not results.holds(self._name(symbol))]
        arrived, total, taken = set(waiting) - set(missing), len(waiting), 0

        def advance() -> None:
            """Take the underlyings that are next in order."""
            nonlocal taken
            while waiting and (waiting[0] in arrived or waiting[0] in self._failed):
                symbol = waiting.pop(0)
                if symbol in arrived:
                    take(taken, walked_of(results.content(self._name(symbol)), taken))
                    taken += 1

        def keep(done: Done) -> None:
            frames = {} if done.is_lost else unpacked(done.frames)
            for symbol, frame in frames.items():
                results.keep(self._name(symbol), frame[PACKED][0])
                arrived.add(symbol)
            advance()
            progress(len(arrived) + len(self._failed), total)

        advance()
        for asked, done in self._workers.run(self._jobs(missing)):
            if not done.is_lost:
                size = sum(self._sizes[symbol] for symbol in asked.job.symbols)
                seconds = self._rate.seconds + done.seconds["wheels"]
                self._rate = _Rate(seconds, self._rate.size + size)
            (lost if done.is_lost else again).extend(symbol for symbol, _ in done.failures)
            keep(done)
        for asked, done in self._workers.run(self._asked([symbol], "again") for symbol in again):
            if done.is_lost:
                lost += asked.job.symbols
            else:
                self._failed |= dict(done.failures)
                keep(done)
        singles = (self._asked([symbol], "alone") for symbol in lost)
        for _, done in self._workers.run(singles, alone=True):
            self._failed |= dict(done.failures)
            keep(done)
        _ = self.usable

    def _jobs(self, symbols: list[str]) -> Iterator[Asked[RecordJob]]:
        """Jobs of consecutive underlyings, so many as take about `TARGET` seconds."""
        rest = list(symbols)
        while rest:
            seconds, size = self._rate
            most = int(TARGET * size / seconds) if seconds else 0
            group = next(iter(grouped(rest, self._sizes, most)))
            del rest[: len(group)]
            yield self._asked(group)

    def _asked(self, symbols: list[str], *more: str) -> Asked[RecordJob]:
        part = self._market.part(symbols)
        signal = None if self._signal is None else self._signal.only(symbols)
        given = self._versions, part, part.fingerprint, tuple(symbols), None
        name = name_of(*more, *(self._name(symbol) for symbol in symbols))
        return Asked(name, RecordJob(*given, self._config, signal))

    def _name(self, symbol: str) -> str:
        """The name of all that the wheels of an underlying depend on."""
        if symbol not in self._names:
            part = self._market.part([symbol])
            data = part.fingerprint, part.data_range, part.trading_calendar, symbol
            signal = None if self._signal is None else self._signal.only([symbol]).digest
            stated = self._versions, self._config.id, data, signal
            self._names[symbol] = name_of(repr(stated))
        return self._names[symbol]
