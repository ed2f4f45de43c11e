"""A sweep on the workers of an executor, with the figures of a local one to the bit.

    market --SurveyJob-> digests, findings
    one SweepJob -> seconds -> Cut: underlyings x years x rows -> SweepJobs -> results in files
    results -> fold in the order of years and underlyings -> figures

A result of a job holds the sums of some rows over some underlyings and years. It is kept in a file,
in the folder of the sweep if it has one, under the name of its content: a run that is begun
again finds it. The results are folded when all are there, so that neither data nor grid need fit
into one process.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.accumulate import COUNTS, KNOWN, Figures, merge
from wheelvec.market.market import Market
from wheelvec.model.grid import Codes, Grid
from wheelvec.model.progress import Report
from wheelvec.run.cluster.job_results import JobResults, grouped, name_of
from wheelvec.run.cluster.jobs import (
    BIN,
    BINS,
    EXACT,
    MARKETS,
    AccountJob,
    Done,
    SurveyJob,
    SweepJob,
    packed,
    unpacked,
    versions,
)
from wheelvec.run.cluster.surveying import Failed, survey
from wheelvec.run.cluster.workers import Asked, Workers
from wheelvec.run.context import Array, Context
from wheelvec.run.planned import Plan
from wheelvec.run.signals.pairs import Signals
from wheelvec.stages.figures import (
    SUMS,
    figures_frame,
    launches,
    new_figures,
    quantiles,
)

EXACT_CELLS = 2**27  # wheels x configurations at most whose ROC is returned one by one: 1 GB
TARGET = 8.0  # seconds of a job, estimated; between 2 and 20 is meant
SAMPLED_ROWS = 64  # of the job that is timed
REPEATS = 4  # runs of the jobs that a plan times, of which the least counts
SAMPLES = 3  # underlyings that are tried for it, if the data of one cannot be read
BYTES_A_QUOTE = 4  # of the files of a lake, at least
PROCESS = 400 * 2**20  # bytes of a worker's process before its first job
HELD = 3  # bytes of a job for each byte of its slices: frames as they are read, and tables of exits
MERGED = 2**20  # rows of bins, at least, that are added up together
PERCENTILE_ERROR = "percentile_error"


class Cut(NamedTuple):
    """How a sweep is split into jobs.

    Attributes:
        groups: the underlyings of each job.
        years: the first and the last year of entries of each job; [None]: all years together.
        rows: rows of a job.
        exact: whether order statistics are exact, rather than of bins.
    """

    groups: list[list[str]]
    years: list[tuple[int, int] | None]
    rows: int
    exact: bool = True


class Timing(NamedTuple):
    """The time and memory of one job, per byte of the files that it read.

    Attributes:
        slices: seconds that it takes to read and solve a byte.
        row: seconds of a configuration a byte.
        held: bytes of slices a byte.
        wheels: launched by the configuration with most, a byte; 0: none was.
        survey: seconds that it takes to verify a byte and to look for anomalies; 0: not timed.
    """

    slices: float
    row: float
    held: float
    wheels: float
    survey: float = 0.0


USUAL = Timing(1e-6, 1e-8, 20.0, 0.0)  # where no underlying that is tried can be read


class Distributed:
    """One sweep on the workers of an executor.

    Args:
        market: of a lake.
        grid: the configurations.
        context: of that grid over the market.
        signals: the signals that restrict entries.
        workers: of the executor.
        stats: "full" or "moments".
        memory: bytes that a job may take; None: a share of its worker's.

    Attributes:
        failures: underlying and error of each that could not be simulated, and is left out.

    Raises:
        InputError: for a market of frames.
        WheelvecError: if no worker can be used.
    """

    def __init__(
        self,
        market: Market,
        grid: Grid,
        context: Context,
        signals: Signals,
        workers: Workers,
        stats: str,
        memory: int | None,
    ) -> None:
        self._market, self._grid, self._signals = market, grid, signals
        self._workers, self._memory, self._versions = workers, memory, versions()
        workers.check(market.part([]).folder)  # raises for a market of frames
        self._base = grid.without_account()
        self._rows = self._base.distinct[0]
        self._symbols = list(context.symbols)
        opens = [rows.any(axis=0) for rows in context.opens.values()]
        months = [context.months(chain_key) for chain_key in context.chain_keys]
        self._years = sorted({first.year for each in months for first, *_ in each})
        self._months = max(map(len, months))
        daily = grid.most("schedule.max_wheels_per_symbol_per_day")
        entries = max(int(rows.sum()) for rows in opens) * len(self._symbols)
        self._sizes = market.sizes()
        quotes = sum(self._sizes.values()) / BYTES_A_QUOTE
        # without an entry session none: `daily` may be infinite
        self._most_wheels = int(min(daily * entries, quotes)) if entries else 0
        self._stats = stats
        self._failed = Failed()

    @property
    def failures(self) -> pl.DataFrame:
        """Underlying and error of each that could not be simulated, sorted."""
        return self._failed.frame()

    @property
    def has_entries(self) -> bool:
        """Whether any row has an entry session of an underlying; without one there is no job."""
        return bool(self._years)

    # ---- before

    def survey(self, findings: bool) -> None:
        """Let the workers verify the data, and give the market what they found.

        Args:
            findings: whether anomalies are looked for too, for `Sweep.warnings`.
        """
        self._failed |= survey(self._market, self._workers, self._sizes, findings, self._memory)
        self._usable()

    def _usable(self) -> list[str]:
        """The underlyings that did not fail.

        Raises:
            WheelvecError: if all did.
        """
        return self._failed.others(self._symbols)

    def timed(self, survey: bool = False) -> Timing:
        """Time one job: a year of the underlying of median size, for some rows.

        Args:
            survey: whether a survey of this underlying is timed too.
        """
        symbols = sorted(self._usable(), key=lambda name: (self._sizes[name], name))
        middle = len(symbols) // 2
        rows, year = self._rows[:SAMPLED_ROWS], self._years[len(self._years) // 2]
        for symbol in symbols[middle : middle + SAMPLES]:
            job = self._job([symbol], (year, year), rows, False, self._roc(True))
            done = self._least(job, symbol, REPEATS if survey else 1)
            if done is None:
                continue
            weight = max(1, self._sizes[symbol] // len(self._years))
            slices, figures = done.seconds["slices"], done.seconds["figures"] / rows.size
            wheels = int(_launched(done.frames).max())
            timing = Timing(slices / weight, figures / weight, done.held / weight, wheels / weight)
            if survey and (checked := self._least(self._survey_job(symbol), symbol, REPEATS)):
                seconds = checked.seconds["survey"] / max(1, self._sizes[symbol])
                timing = timing._replace(survey=seconds)
            return timing
        return USUAL

    def _survey_job(self, symbol: str) -> SurveyJob:
        return SurveyJob(*self._given([symbol]), findings=True)

    def _least(self, job: SweepJob | SurveyJob, symbol: str, times: int) -> Done | None:
        """The result of a job on an underlying, with the least seconds of several runs.

        None if it failed. In a process that has done nothing yet, the first takes twice as long.
        """
        found: list[Done] = []
        for i in range(times):
            fresh = self._market.part([symbol], as_most=True)  # without the slices of a run before
            each = dataclasses.replace(job, market=fresh, fingerprint="" if i else job.fingerprint)
            name = f"sample-{type(job).__name__}-{self._name(job)}-{i}"
            ((_, done),) = self._workers.run([Asked(name, each)])
            if done.failures:
                return None
            found.append(done)
        least = {key: min(done.seconds[key] for done in found) for key in found[0].seconds}
        return dataclasses.replace(found[0], seconds=least)

    def _cells(self, timing: Timing) -> int:
        """Wheels x configurations, estimated from those of one job."""
        total = sum(self._sizes[symbol] for symbol in self._usable())
        wheels = int(timing.wheels * total) or self._most_wheels
        return min(wheels, self._most_wheels) * self._rows.size

    def cut(self, timing: Timing) -> Cut:
        """Split the sweep into jobs of about `TARGET` seconds.

        Args:
            timing: as `timed` returned it.
        """
        sizes, symbols = self._sizes, self._usable()
        slices, row, *_ = timing
        rows, typical = self._rows.size, float(np.median([sizes[name] for name in symbols]))
        once, all_rows = slices * typical, row * typical * rows
        if all_rows > TARGET:  # slices are made for each range of rows: that should not dominate
            rows = int(max(1, rows * max(TARGET - once, once, TARGET / 4) // all_rows))
        weights = {name: int(1e6 * sizes[name] * (slices + row * rows)) for name in symbols}
        groups = grouped(symbols, weights, int(1e6 * TARGET))
        years: list[tuple[int, int] | None] = [None]
        longest = max(weights.values()) / 1e6
        if longest > 2 * TARGET and len(self._years) > 1 and not self._in_sequence:
            each = max(1, int(len(self._years) * TARGET // longest))
            some = [self._years[i : i + each] for i in range(0, len(self._years), each)]
            years = [(first[0], first[-1]) for first in some]
        return Cut(groups, years, rows, self._cells(timing) <= EXACT_CELLS)

    def cut_of(self, results: JobResults) -> Cut:
        """The cut of an earlier run whose job results are kept, or a new one, which is kept."""
        if results.holds("cut"):
            groups, years, rows, exact = json.loads(results.content("cut"))
            return Cut(groups, [tuple(span) if span else None for span in years], rows, exact)
        found = self.cut(self.timed())
        results.keep("cut", json.dumps(found).encode())
        return found

    def _roc(self, exact: bool) -> str | None:
        """How jobs return the ROC of single wheels: EXACT, BINS or None."""
        if self._stats == "moments":
            return None
        return EXACT if exact else BINS

    @property
    def _in_sequence(self) -> bool:
        """Whether the wheels of a year depend on those of the year before."""
        several = self._grid.values("schedule.allow_multiple_wheels_per_symbol")
        return not all(several)

    def plan(self, cut: Cut, timing: Timing, workers: int) -> Plan:
        """The estimated cost of the sweep, split in this way.

        Args:
            cut: how the sweep is split.
            timing: as `timed` returned it.
            workers: the number of jobs that run at a time.
        """
        sizes, symbols = self._sizes, self._usable()
        largest = max(sizes[symbol] for symbol in symbols)
        ranges, years = -(-self._rows.size // cut.rows), len(cut.years)
        roc = self._roc(cut.exact)

        def seconds(size: int, ranges: int, rows: int) -> float:
            return size * (timing.slices * ranges + timing.row * rows)

        # the slices of a job of some years overlap those of the years after
        heaviest = max([largest, *(sum(sizes[name] for name in group) for group in cut.groups)])
        limit = self._memory or math.inf
        # a process keeps the slices of its last jobs, up to half of what a job may take
        kept = MARKETS * min(timing.held * heaviest, limit / 2)
        sums = 8 * (len(SUMS) + COUNTS) * self._rows.size * len(symbols) * years
        cells = self._cells(timing)
        values = {EXACT: 8, BINS: 4, None: 0}[roc] * cells
        return Plan(
            underlyings=len(self._symbols),
            months=self._months,
            configurations=self._rows.size,
            cells=cells,
            order_statistics={EXACT: "exact", BINS: "binned", None: "none"}[roc],
            data=sum(sizes[symbol] for symbol in symbols),
            jobs=len(cut.groups) * years * ranges,
            workers=workers,
            survey=timing.survey * sum(sizes[symbol] for symbol in symbols),
            seconds=seconds(sum(sizes[symbol] for symbol in symbols), ranges, self._rows.size),
            longest=seconds(heaviest, 1, cut.rows) / years,
            memory=PROCESS + int(min(HELD * timing.held * largest, limit) + kept),
            results=sums + values,
        )

    # ---- the run

    def figures(self, cut: Cut, results: JobResults, progress: Report | None) -> pl.DataFrame:
        """The figures of each row of the grid, those of accounts included.

        Args:
            cut: how the sweep is split.
            results: where the job results are kept.
            progress: as in `sweep`.
        """
        count = len(cut.groups) * len(cut.years) * len(self._starts(cut))
        names = self._gather(self._jobs(cut), count, results, progress)
        figures = pl.concat(
            [self._folded(cut, first, names, results) for first in self._starts(cut)]
        )
        figures = figures[self._base.distinct[1]]
        if self._roc(cut.exact) == BINS:
            figures = figures.with_columns(pl.lit(BIN / 2).alias(PERCENTILE_ERROR))
        if self._grid.account is None:
            return figures
        return pl.concat([figures, self._accounts(cut, results)], how="horizontal")

    def _starts(self, cut: Cut) -> range:
        return range(0, self._rows.size, cut.rows)

    def _jobs(self, cut: Cut) -> Iterator[tuple[tuple[int, int, int], Asked[SweepJob]]]:
        """(first row, group, years) and job, in this order."""
        for first in self._starts(cut):
            rows = self._rows[first : first + cut.rows]
            for group, years in itertools.product(enumerate(cut.groups), enumerate(cut.years)):
                usable = [symbol for symbol in group[1] if symbol not in self._failed]
                if usable:
                    job = self._job(
                        usable, years[1], rows, cut.years != [None], self._roc(cut.exact)
                    )
                    yield (first, group[0], years[0]), Asked(self._name(job), job)

    def _job(
        self,
        symbols: list[str],
        years: tuple[int, int] | None,
        rows: Codes,
        by_year: bool,
        roc: str | None,
    ) -> SweepJob:
        grid, signals = self._base.taken(rows), self._signals.only(symbols)
        return SweepJob(*self._given(symbols), grid, signals, years, by_year, roc)

    def _given(self, symbols: list[str]) -> tuple[dict[str, str], Market, str, Any, int | None]:
        """The arguments of every job: versions, part of the market, fingerprint, symbols, bytes."""
        part = self._market.part(symbols)
        fingerprint = part.fingerprint if part.is_verified else ""
        return self._versions, part, fingerprint, tuple(symbols), self._memory

    def _name(self, job: SweepJob | AccountJob | SurveyJob) -> str:
        """The name of the content of a job."""
        kind: list[Any] = [type(job).__name__, job.versions, job.fingerprint, job.symbols]
        if isinstance(job, SurveyJob):
            return name_of(json.dumps(kind))
        if isinstance(job, SweepJob):
            kind += [job.years, job.by_year, job.roc]
        signals = job.signals.stated(job.grid)
        numbers = b"".join(each.tobytes() for each in job.grid.identities())
        account = job.grid.account.to_dict() if job.grid.account else {}
        stated = json.dumps([*kind, signals, account], default=str)
        return name_of(stated, numbers)

    def _gather(
        self,
        jobs: Iterator[tuple[tuple[int, int, int], Asked[SweepJob]]],
        count: int,
        results: JobResults,
        progress: Report | None,
    ) -> dict[tuple[int, int, int], str]:
        """Run the jobs whose results are not kept; the name of each result by its place."""
        names: dict[tuple[int, int, int], str] = {}
        again, lost = list[Asked[SweepJob]](), list[Asked[SweepJob]]()
        arrived = _Progress(progress, self._rows.size, count)

        def missing() -> Iterator[Asked[SweepJob]]:
            for place, asked in jobs:
                names[place] = asked.name
                if results.holds(asked.name):
                    arrived.add(None)
                else:
                    yield asked

        for asked, done in self._workers.run(missing()):
            if done.failures:
                (lost if done.is_lost else again).append(asked)
                continue
            results.keep(asked.name, done.frames)
            arrived.add(done.frames)
        for asked, done in self._workers.run(
            asked._replace(name=f"{asked.name}-again") for asked in again
        ):
            first = asked._replace(name=asked.name.removesuffix("-again"))
            if done.is_lost:
                lost.append(first)
                continue
            results.keep(first.name, done.frames, lasting=not done.failures)
            self._failed |= dict(done.failures)
            arrived.add(done.frames)
        for asked in lost:
            data, whole = self._apart(asked.job)
            results.keep(asked.name, data, lasting=whole)
            arrived.add(data)
        self._usable()
        return names

    def _apart(self, job: SweepJob) -> tuple[bytes, bool]:
        """The result of a job that ended its workers, and whether no underlying failed.

        Its underlyings are run one at a time, which shows the one that does it. One that is known
        to have failed is not tried again.
        """
        found: dict[str, list[pl.DataFrame]] = {}
        symbols = [symbol for symbol in job.symbols if symbol not in self._failed]
        for symbol in symbols:
            rest = job.grid, self._signals.only([symbol]), job.years, job.by_year, job.roc
            single = SweepJob(*self._given([symbol]), *rest)
            asked = Asked(f"{self._name(single)}-alone", single)
            ((_, done),) = self._workers.run([asked], alone=True)
            self._failed |= dict(done.failures)
            if not done.failures:
                for name, frame in unpacked(done.frames).items():
                    found.setdefault(name, []).append(frame)
        whole = not self._failed.keys() & set(job.symbols)
        return packed({name: pl.concat(frames) for name, frames in found.items()}), whole

    def _folded(
        self, cut: Cut, first: int, names: dict[tuple[int, int, int], str], results: JobResults
    ) -> pl.DataFrame:
        """The figures of a range of rows: results are merged by year, then by underlying."""
        rows = min(cut.rows, self._rows.size - first)
        total = new_figures(rows)

        def frames(name: str, group: int) -> Iterator[pl.DataFrame]:
            for k in range(len(cut.years)):
                if (first, group, k) in names:
                    found = results.read(names[first, group, k])
                    if name in found:
                        yield found[name]

        for i, group in enumerate(cut.groups):
            sums = list(frames("figures", i))
            by_symbol = pl.concat(sums).partition_by("underlying", as_dict=True) if sums else {}
            for symbol in group:
                if symbol not in self._failed and (symbol,) in by_symbol:
                    _merge_years(total, by_symbol[symbol,], rows)
        ordered = None
        form = self._roc(cut.exact)
        if form is not None:
            failed = list(self._failed)
            kept = (
                frame.filter(~pl.col("underlying").is_in(failed)) if failed else frame
                for i in range(len(cut.groups))
                for frame in frames("roc", i)
            )
            ordered = (_binned if form == BINS else _exact)(kept, total.counts[KNOWN])
        return figures_frame(total, ordered, np.arange(rows))

    def _accounts(self, cut: Cut, results: JobResults) -> pl.DataFrame:
        """The metrics of the accounts of all rows."""
        given, asked = self._given(self._usable()), list[Asked[AccountJob]]()
        for first in range(0, self._grid.size, cut.rows):
            grid = self._grid.taken(np.arange(first, min(first + cut.rows, self._grid.size)))
            job = AccountJob(*given, grid, self._signals)
            asked.append(Asked(self._name(job), job))
        for one, done in self._workers.run(one for one in asked if not results.holds(one.name)):
            results.keep(one.name, done.frames)
        return pl.concat([results.read(name)["accounts"] for name, _ in asked])


class _Progress:
    """Reports the progress of a sweep by the job results that have arrived.

    Args:
        progress: the function to call; None: none.
        rows: distinct configurations.
        jobs: the number of jobs.
    """

    def __init__(self, progress: Report | None, rows: int, jobs: int) -> None:
        self._progress, self._rows, self._jobs = progress, rows, max(1, jobs)
        self._done, self._cells = 0, 0

    def add(self, data: bytes | None) -> None:
        """Count a result that arrived, or that an earlier run had kept."""
        self._done += 1
        if self._progress is None:
            return
        if data is not None:
            self._cells += int(_launched(data).sum())
        self._progress(self._rows * self._done // self._jobs, self._rows, self._cells)


def _launched(data: bytes) -> Array:
    """The wheels launched by each row and underlying of a result."""
    frames = unpacked(data)
    counts = (
        frames["figures"]["counts"].to_numpy()
        if "figures" in frames
        else np.zeros((1, COUNTS), np.int64)
    )
    return launches(counts.T)


def _merge_years(total: Figures, frame: pl.DataFrame, rows: int) -> None:
    """Merge the sums of an underlying, year by year, into those of all.

    Args:
        total: merged into.
        frame: the sums of one underlying, as a job returns them.
        rows: the number of rows.
    """
    symbol = new_figures(rows)
    for _, sums in frame.sort("year", "row").group_by("year", maintain_order=True):
        year, row = new_figures(rows), sums["row"].to_numpy()
        for name in SUMS:
            getattr(year, name)[row] = sums[name].to_numpy()
        total.counts[:, row] += sums["counts"].to_numpy().T
        merge(symbol, year, 0, rows)
    merge(total, symbol, 0, rows)


def _exact(roc: Iterable[pl.DataFrame], count: Array) -> Array:
    """Median and percentiles of the ROC of each row.

    One job result is read at a time: in memory are the values, and little else.

    Args:
        roc: `row` and `roc` of each wheel.
        count: (rows,) wheels of each row.
    """
    before = np.cumsum(count) - count
    values, offset = np.empty(int(count.sum())), before.copy()
    for frame in roc:
        row, here = frame["row"].to_numpy(), np.bincount(frame["row"].to_numpy(), None, count.size)
        place = np.repeat(offset - (np.cumsum(here) - here), here) + np.arange(row.size)
        values[place] = frame["roc"].to_numpy()[np.argsort(row, kind="stable")]
        offset += here
    for first, number in zip(before.tolist(), count.tolist(), strict=True):
        values[first : first + number].sort()
    return quantiles(lambda row, at: values[before[row] + at], count)


def _binned(roc: Iterable[pl.DataFrame], count: Array) -> Array:
    """As `_exact`, to half the width of a bin.

    Args:
        roc: `row`, `bin` and the number of `wheels` there.
        count: (rows,) wheels of each row.
    """
    before, key = np.cumsum(count) - count, ["row", "bin"]
    bins = pl.DataFrame(schema={"row": pl.Int64, "bin": pl.Int64, "wheels": pl.Int64})
    held, size = [bins], 0
    for frame in roc:
        held.append(frame.select(bins.columns))
        size += frame.height
        if size > max(MERGED, held[0].height):  # as seldom as it doubles what is held
            held, size = [_added(held)], 0
    bins = _added(held).sort(key)
    ends, middle = bins["wheels"].cum_sum().to_numpy(), (bins["bin"].to_numpy() + 0.5) * BIN

    def of_bin(row: Array, at: Array) -> Array:
        found: Array = middle[np.searchsorted(ends, before[row] + at, side="right")]
        return found

    return quantiles(of_bin, count)


def _added(bins: list[pl.DataFrame]) -> pl.DataFrame:
    """The wheels in each bin of each row, of several frames."""
    return pl.concat(bins).group_by("row", "bin").agg(pl.col("wheels").sum())
