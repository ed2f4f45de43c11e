"""Sweeps on the workers of an executor: what a second worker gives, and what a task costs besides.

The frames of both kinds of executors are compared with those of this process before anything is
timed. Jobs of about five seconds are made of some underlyings of `benchmarks.universe`, whose
chains are solved anew in each run, as they are in a lake that was never read.
"""

import contextlib
import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import wheelvec as wv
from benchmarks import machine, universe
from benchmarks.agreement import DisagreementError
from benchmarks.conftest import Measure, absent
from wheelvec.run.cluster import distributed, jobs
from wheelvec.run.cluster.workers import Asked, Workers

KINDS = ("Dask", "spawned pool")
JOBS, OF_A_JOB, ROUNDS = 8, 40, 2  # a worker keeps two parts: fewer jobs would find theirs
SHORT_JOBS, SHORT_OF_A_JOB = 4, 2
TASKS, SHORT_TASKS = 400, 20
CONFIG = wv.Config(
    schedule=wv.Schedule(start_date=universe.FIRST, end_date=universe.LAST_ENTRY)  # type: ignore[arg-type]
)
GRID = {
    "put.exit_pct": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "put.stop_loss_multiplier": [1.5, 2.0, 2.5, 3.0, None],
    "fills.execution_seed": [1, 2, 3, 4],
}


@contextlib.contextmanager
def executor_of(kind: str, count: int, folder: Path) -> Iterator[Any]:
    """So many workers of one thread each, in separate processes."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in universe.ENVIRONMENT.items():
            environment.setenv(name, value)
        if kind == "Dask":
            try:
                from distributed import Client, LocalCluster
            except ImportError as error:
                absent("Dask", str(error))
            options = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None}
            options |= {"silence_logs": "CRITICAL", "local_directory": str(folder)}
            with LocalCluster(**options) as cluster, Client(cluster) as client:
                client.wait_for_workers(count)
                client.run(_warmed, 0.0)
                yield client
        else:
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(count, mp_context=spawn) as pool:
                list(pool.map(_warmed, [0.5] * count))
                yield pool


def _warmed(seconds: float) -> None:
    """Load what jobs call, and leave the next one to another process."""
    jobs._warm(jobs.SweepJob.warm)
    time.sleep(seconds)


def lake(folder: Path, underlyings: int) -> Path:
    """The lake, without any solved chain."""
    universe.make(folder, underlyings)
    shutil.rmtree(folder / "solved_chains", ignore_errors=True)
    return folder


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def two(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two workers: to start them takes longer than all else in the short form."""
    with executor_of(kind, 2, tmp_path_factory.mktemp("workers")) as executor:
        yield executor


def test_a_second_worker(
    kind: str,
    two: Any,
    short: bool,
    measure: Measure,
    benchmark: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    jobs, size = (SHORT_JOBS, SHORT_OF_A_JOB) if short else (JOBS, OF_A_JOB)
    names = universe.names(jobs * size)
    groups = [names[i * size : (i + 1) * size] for i in range(jobs)]
    cut = distributed.Cut(groups, [None], 10_000)
    monkeypatch.setattr(distributed.Distributed, "cut_of", lambda *_: cut)
    folder = tmp_path / "lake"
    local = wv.sweep(wv.Market.open(lake(folder, len(names))), CONFIG, GRID).frame

    def swept(executor: Any) -> float:
        lake(folder, len(names))
        market = wv.Market.open(folder)
        market.hold(market.digests, {})  # what is timed are the jobs
        began = time.perf_counter()
        far = wv.sweep(market, CONFIG, GRID, executor=executor)
        seconds = time.perf_counter() - began
        if not far.frame.equals(local):
            raise DisagreementError(f"{kind}: the frame is not that of this process")
        return seconds

    alone: list[float] = []
    with contextlib.ExitStack() as stack:
        one = two if short else stack.enter_context(executor_of(kind, 1, tmp_path))
        if not short:  # what a worker loads once is not what a second one gives
            swept(two)
            swept(one)
        before = machine.idle()
        measure(
            lambda: swept(two),
            group="cluster",
            what=kind,
            n=jobs,
            threads=2,
            rounds=1 if short else ROUNDS,
            before=lambda: alone.append(swept(one)),
        )
        after = machine.idle()
    if benchmark.stats is not None:  # the runs were timed
        ratios = [one / two for one, two in zip(alone, benchmark.stats.stats.data, strict=True)]
        benchmark.extra_info.update(
            ratio=statistics.median(ratios),
            ratios=ratios,
            alone=statistics.median(alone),
            idle=machine.idle_share(before, after),
        )


def test_what_a_task_costs_besides(
    kind: str, two: Any, short: bool, measure: Measure, tmp_path: Path
) -> None:
    """Jobs of no underlying: made, named, pickled, sent, begun, packed and received."""
    count = SHORT_TASKS if short else TASKS
    market = wv.Market.open(lake(tmp_path / "lake", 2))
    given = jobs.versions(), market.part(["AAAA"]), "", (), None
    job = jobs.SurveyJob(*given, findings=False)

    runs = 0

    def ran() -> None:
        nonlocal runs
        runs += 1
        asked = (Asked(f"wheelvec-{runs}-{i}", job) for i in range(count))
        done = list(Workers(two).run(asked))
        if len(done) != count:
            raise DisagreementError(f"{kind}: {len(done)} of {count} jobs were done")

    measure(ran, group="cluster tasks", what=kind, n=count, threads=2, rounds=1 if short else 5)
