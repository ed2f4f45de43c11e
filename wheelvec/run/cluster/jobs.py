"""The jobs of an executor: each reads its part of the market itself, and returns frames.

    SweepJob   figures of some rows over some underlyings      -> Done: frames of sums and ROC
    AccountJob accounts of some rows                           -> Done: a frame of metrics
    SurveyJob  anomalies in the data of some underlyings       -> Done: frames of findings
    RecordJob  wheels of some underlyings (cluster.record_job) -> Done: frames of outcomes
    BookJob    an account over saved results (run.simulate)    -> Done: frames of a portfolio

A job is pickled and may run anywhere, more than once. It changes nothing but the caches of its
process.
"""

import contextlib
import dataclasses
import io
import os
import platform
import socket
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import polars as pl

from wheelvec.demo.synthetic import demo_market
from wheelvec.jit.cache_files import folder_of
from wheelvec.jit.compiled import sources
from wheelvec.kernels.accumulate import COUNTS, Figures
from wheelvec.kernels.evaluate import evaluate_blocks
from wheelvec.lake import files
from wheelvec.market.market import DIGESTS, Market
from wheelvec.model.config import Config
from wheelvec.model.errors import LakeError, WheelvecError, listed
from wheelvec.model.forks import refuse_forked
from wheelvec.model.grid import Grid
from wheelvec.model.version import VERSION
from wheelvec.run.context import Part
from wheelvec.run.engine import Engine
from wheelvec.run.executor import default_memory
from wheelvec.run.signals.pairs import Signals
from wheelvec.stages.figures import SUMS
from wheelvec.tables.anomalies import Findings

BIN = 0.01  # percentage points of ROC: the width of the bins in which many wheels are counted
EXACT, BINS = "exact", "bins"  # how the ROC of single wheels is returned; None: not at all
Frames = dict[str, pl.DataFrame]
MARKETS = 2  # parts of markets that a process keeps open, with their slices
# of a Dask worker's limit: what it may hold between jobs, and with what a job takes; Dask stops
# giving jobs to a worker that holds 0.8
KEEPS, FULL = 0.5, 0.7


class RefusedWorkerError(WheelvecError):
    """A worker that cannot be used: other versions, or no access to the lake.

    Args:
        worker: its name.
        reason: in words.
    """

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(worker, reason)
        self.worker, self.reason = worker, reason

    def __str__(self) -> str:
        return f"worker {self.worker} {self.reason}"


class Found(NamedTuple):
    """The result of a job, before it is packed.

    Attributes:
        frames: by name.
        failures: the errors by underlying.
        seconds: of each step, by its name.
        held: bytes of the slices of the underlying that has most.
    """

    frames: Frames
    failures: dict[str, str]
    seconds: dict[str, float]
    held: int = 0


@dataclasses.dataclass(frozen=True)
class Done:
    """The packed result of a job.

    Attributes:
        frames: Arrow frames by name, packed.
        failures: underlying and error of each that could not be simulated.
        seconds: of each step, by its name.
        held: bytes of the slices of the underlying that has most.
        threads: of Polars in that process.
    """

    frames: bytes
    failures: tuple[tuple[str, str], ...]
    seconds: dict[str, float]
    held: int
    threads: int

    @classmethod
    def lost(cls, symbols: Iterable[str], reason: str) -> Self:
        """The result of a job whose worker ended each time: no frames, every underlying failed.

        Args:
            symbols: the underlyings of the job.
            reason: in words.
        """
        return cls(b"", tuple((symbol, reason) for symbol in symbols), {}, 0, 1)

    @property
    def is_lost(self) -> bool:
        """Whether the worker ended each time, so that any of the underlyings may have done it."""
        return not self.frames


def packed(frames: Frames) -> bytes:
    """Frames in one archive, each as Arrow."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, frame in frames.items():
            held = io.BytesIO()
            frame.write_ipc(held, compression="zstd")
            # a fixed time: the same frames are the same bytes
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), held.getvalue())
    return out.getvalue()


def unpacked(data: bytes) -> Frames:
    """The frames of an archive of `packed`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: pl.read_ipc(archive.read(name)) for name in archive.namelist()}


def versions() -> dict[str, str]:
    """The versions on which the last bit of a figure may depend."""
    return {
        "wheelvec": f"{VERSION} ({sources()[:8]})",
        "polars": pl.__version__,
        "numpy": np.__version__,
        "numba": version("numba"),  # its metadata: only compiled code imports it
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def worker_name() -> str:
    """The name of this process: its address in a Dask cluster, else host and number."""
    worker = _dask_worker()
    return str(worker.address) if worker else f"{socket.gethostname()}:{os.getpid()}"


def _dask_worker() -> Any:
    """The worker of a Dask cluster that runs this; None elsewhere."""
    if "distributed" in sys.modules:
        from distributed import get_worker

        with contextlib.suppress(ValueError):
            return get_worker()
    return None


def difference(expected: dict[str, str], found: dict[str, str]) -> str:
    """In what a worker's versions differ, in words; "" if in nothing."""
    differing = [
        f"{name} {found.get(name)} (expected {version})"
        for name, version in expected.items()
        if found.get(name) != version
    ]
    return f"has {', '.join(differing)}" if differing else ""


def unreadable(root: Path | None) -> str:
    """Why this process cannot read the folder of a lake or result, in words; "" if it can.

    Args:
        root: the folder; None: the lake is in an object store.
    """
    if root is None:
        return ""
    try:
        with os.scandir(root):
            return ""
    except OSError as error:
        return f"cannot read {root}: {error.strerror or error}"


@dataclasses.dataclass(frozen=True)
class Job:
    """Work that a worker does; it needs nothing but what the job holds, and files.

    Attributes:
        versions: of the process that asks.
    """

    versions: dict[str, str]

    @property
    def apart(self) -> tuple[str, ...]:
        """The underlyings of the job, if one can fail without the others; else none."""
        return ()

    @property
    def folders(self) -> tuple[Path | None, ...]:
        """The folders that the worker reads; None: an object store."""
        raise NotImplementedError

    def found(self) -> Found:
        """Do the work.

        Raises:
            LakeError: if a folder holds other content here than where the job was made.
        """
        raise NotImplementedError

    @classmethod
    def warm(cls) -> None:
        """Compile what `found` calls, or load it."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LakeJob(Job):
    """Work on some underlyings of a lake, or on some rows.

    Attributes:
        market: the part of the market with these underlyings.
        fingerprint: of that part, where it is asked for.
        symbols: the underlyings.
        memory: bytes that slices and chunks may take; None: a share of the worker's.
    """

    market: Market
    fingerprint: str
    symbols: tuple[str, ...]
    memory: int | None

    @property
    def folders(self) -> tuple[Path | None, ...]:
        """As `Job.folders`."""
        return (self.market.folder,)

    def found(self) -> Found:
        """As `Job.found`."""
        return self.run(_Opened.market(self))

    def run(self, market: Market) -> Found:
        """Do the work, on the market of the worker."""
        raise NotImplementedError

    @classmethod
    def warm(cls) -> None:
        """As `Job.warm`."""
        market = demo_market(symbols=("ALFA",), start="2024-01-02", end="2024-02-29")
        grid = Grid.read(Config(), {"fills.execution_seed": [1, 2]})
        engine = Engine(market, grid, ordered=True, threads=1, memory=2**26)
        engine.run(np.arange(2))


@dataclasses.dataclass(frozen=True)
class SymbolsJob(LakeJob):
    """Work on underlyings one by one, of which some may fail."""

    @property
    def apart(self) -> tuple[str, ...]:
        """As `Job.apart`."""
        return self.symbols


@dataclasses.dataclass(frozen=True)
class SweepJob(SymbolsJob):
    """The sums of rows of a grid.

    Attributes:
        grid: the rows; none has an account.
        signals: of these underlyings.
        years: the first and the last year of entries; None: all.
        by_year: whether the sums of each year are separate.
        roc: EXACT, BINS or None.
    """

    grid: Grid
    signals: Signals
    years: tuple[int, int] | None
    by_year: bool
    roc: str | None

    def run(self, market: Market) -> Found:
        """As `LakeJob.run`: frames `figures` and, unless it is not asked for, `roc`."""
        found: dict[str, list[pl.DataFrame]] = {"figures": [], "roc": []}
        failures, seconds, held = dict[str, str](), {"slices": 0.0, "figures": 0.0}, 0
        memory = self.memory or share_of_memory()
        for symbol in self.symbols:
            try:
                made, size = self._of_symbol(market, symbol, memory, seconds)
            except Exception as error:  # one underlying's data must not end the run
                failures[symbol] = reason_of(error)
                continue
            held = max(held, size)
            for name, frames in made.items():
                found[name] += frames
        joined = {name: pl.concat(each) for name, each in found.items() if each}
        return Found(joined, failures, seconds, held)

    def _of_symbol(
        self, market: Market, symbol: str, memory: int, seconds: dict[str, float]
    ) -> tuple[dict[str, list[pl.DataFrame]], int]:
        """The frames of an underlying, and the bytes of its slices.

        Args:
            market: of the worker.
            symbol: the underlying.
            memory: bytes that slices and chunks may take.
            seconds: of each step; changed in place.
        """
        started, part = time.perf_counter(), Part(frozenset([symbol]), self.years)
        engine = Engine(
            market,
            self.grid,
            ordered=self.roc is not None,
            threads=1,
            memory=memory,
            signals=self.signals,
            part=part,
        )
        context, held = engine.context, 0
        for chain_key in context.chain_keys:
            held += sum(context.bounds(chain_key).bytes.values())  # makes the slices
        between = time.perf_counter()
        made: dict[str, list[pl.DataFrame]] = {"figures": [], "roc": []}
        for rows, partial in engine.partial(self.by_year):
            for year, figures in zip(partial.years, partial.figures, strict=True):
                made["figures"].append(_figures_frame(symbol, year, rows, figures))
            if partial.roc is not None:
                made["roc"].append(_roc_frame(symbol, rows, partial.roc, self.roc == BINS))
        seconds["slices"] += between - started
        seconds["figures"] += time.perf_counter() - between
        return made, held


@dataclasses.dataclass(frozen=True)
class AccountJob(LakeJob):
    """The accounts of rows of a grid over all underlyings.

    Attributes:
        grid: the rows, with accounts.
        signals: of all underlyings.
    """

    grid: Grid
    signals: Signals

    def run(self, market: Market) -> Found:
        """As `LakeJob.run`: the frame `accounts`."""
        engine = Engine(
            market,
            self.grid,
            ordered=False,
            threads=1,
            memory=self.memory or share_of_memory(),
            signals=self.signals,
            part=Part(frozenset(self.symbols)),
        )
        return Found({"accounts": engine.accounts(np.arange(self.grid.size))}, {}, {})


@dataclasses.dataclass(frozen=True)
class SurveyJob(SymbolsJob):
    """The digests of the data of the underlyings, and the anomalies in them.

    Attributes:
        findings: whether anomalies are looked for.
    """

    findings: bool

    @classmethod
    def warm(cls) -> None:
        """As `Job.warm`: what it calls is compiled in no time."""

    def run(self, market: Market) -> Found:
        """As `LakeJob.run`: the frame `digests`, and those of `Findings`."""
        digests, found, failures = [pl.DataFrame(schema=DIGESTS)], list[Findings](), {}
        started = time.perf_counter()
        for symbol in self.symbols:
            try:
                digests.append(market.part([symbol]).digests)
                if self.findings:
                    found.append(market.findings([symbol]))
            except Exception as error:
                failures[symbol] = reason_of(error)
        frames = {"digests": pl.concat(digests).unique(maintain_order=True)}
        seconds = {"survey": time.perf_counter() - started}
        return Found(frames | Findings.joined(found)._asdict(), failures, seconds)


def perform(job: Job) -> Done:
    """Run a job on this worker.

    Raises:
        RefusedWorkerError: if this worker has other versions, or cannot read a folder.
        LakeError: as `Job.found`.
    """
    refuse_forked()
    if differs := difference(job.versions, versions()):
        raise RefusedWorkerError(worker_name(), differs)
    for folder in job.folders:
        if reason := unreadable(folder):
            raise RefusedWorkerError(worker_name(), reason)
    _warm(job.warm)
    frames, failures, seconds, held = job.found()
    _Opened.close_some()
    return Done(packed(frames), tuple(failures.items()), seconds, held, pl.thread_pool_size())


def reason_of(error: Exception) -> str:
    """An error in words, with its type unless it is one of wheelvec's own."""
    return str(error) if isinstance(error, WheelvecError) else f"{type(error).__name__}: {error}"


class _Opened:
    """The parts of markets that this process holds open, so that later jobs find their slices."""

    _held: ClassVar["OrderedDict[tuple[Any, ...], Market]"] = OrderedDict()
    _lock: ClassVar[Lock] = Lock()

    @classmethod
    def market(cls, job: LakeJob) -> Market:
        """The market of a job, whose files are those of the process that asked."""
        market = job.market
        if not job.fingerprint:  # nothing says that an earlier one held the same rows
            return market
        whole = market.symbols, market.data_range, market.trading_calendar
        key = market.address, job.fingerprint, job.symbols, whole
        with cls._lock:
            if key in cls._held:
                cls._held.move_to_end(key)
                return cls._held[key]
        if market.fingerprint != job.fingerprint:
            raise LakeError(
                f"{market.address} holds other rows of {listed(job.symbols, most=5)} at worker "
                f"{worker_name()} than where the run was started"
            )
        with cls._lock:
            cls._held[key] = market
            while len(cls._held) > MARKETS:
                cls._held.popitem(last=False)
        return market

    @classmethod
    def close_some(cls) -> None:
        """Close markets, the oldest first, while a Dask worker holds much of what it may."""
        worker = _dask_worker()
        limit = worker.memory_manager.memory_limit if worker else None
        with cls._lock:
            while limit and cls._held and _process_bytes(worker) > KEEPS * limit:
                cls._held.popitem(last=False)


def share_of_memory() -> int:
    """The bytes that a job may take.

    Half of a Dask worker's limit, or what its process leaves of `FULL`; else a share of the
    machine's.
    """
    worker = _dask_worker()
    if worker and (limit := worker.memory_manager.memory_limit):
        left = FULL * limit - _process_bytes(worker)
        return int(max(limit / 16, min(limit / 2, left))) // int(worker.state.nthreads)
    return default_memory() // (os.cpu_count() or 1)


def _process_bytes(worker: Any) -> int:
    """The resident memory of a Dask worker's process."""
    return int(worker.monitor.get_process_memory())


@cache
def _warm(warm: Callable[[], None]) -> None:
    """Compile what a kind of job calls, or load it, before the first of them in this process.

    One process of a host at a time does so: the first compiles, the others find its files.
    """
    with _alone_on_host():
        warm()


@contextlib.contextmanager
def _alone_on_host() -> Iterator[None]:
    """Hold a lock in the folder of compiled code, if there is one that can be written."""
    folder = folder_of(evaluate_blocks)
    with contextlib.ExitStack() as stack:
        if folder is not None:
            with contextlib.suppress(LakeError):
                stack.enter_context(files.locked(folder))
        yield


def _figures_frame(
    symbol: str, year: int | None, rows: "np.ndarray[Any, Any]", figures: Figures
) -> pl.DataFrame:
    """`underlying`, `year`, `row`, the sums, and (COUNTS,) `counts` of each row."""
    sums = {name: np.ascontiguousarray(getattr(figures, name)) for name in SUMS}
    counts = np.ascontiguousarray(figures.counts.T)
    return pl.DataFrame(
        [
            pl.Series("underlying", [symbol], pl.String).new_from_index(0, rows.size),
            pl.Series("year", [year], pl.Int32).new_from_index(0, rows.size),
            pl.Series("row", rows, pl.Int64),
            *(pl.Series(name, column) for name, column in sums.items()),
            pl.Series("counts", counts, pl.Array(pl.Int64, COUNTS)),
        ]
    )


def _roc_frame(
    symbol: str, rows: "np.ndarray[Any, Any]", roc: "list[np.ndarray[Any, Any]]", in_bins: bool
) -> pl.DataFrame:
    """`underlying`, `row` and `roc` of each wheel, or the number of wheels in each `bin`."""
    lengths = [values.size for values in roc]
    frame = pl.DataFrame(
        {
            "underlying": pl.Series([symbol], dtype=pl.String).new_from_index(0, sum(lengths)),
            "row": np.repeat(rows, lengths),
            "roc": np.concatenate([*roc, np.zeros(0)]),
        }
    )
    if not in_bins:
        return frame
    numbered = frame.with_columns(bin=(pl.col("roc") / BIN).floor().cast(pl.Int64))
    return (
        numbered.group_by("underlying", "row", "bin")
        .len("wheels")
        .with_columns(pl.col("wheels").cast(pl.Int64))
        .sort("row", "bin")
    )
