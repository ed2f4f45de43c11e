"""Sweeps on executors: equal to local ones to the bit, whatever is killed, damaged, late or new."""

import contextlib
import itertools
import multiprocessing
import os
import shutil
import signal
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.lake.store_server import Store
from tests.oracle import event_markets
from tests.random_markets import config_of, market_of
from tests.run.cluster.executors import AtOnce
from wheelvec.jit.cache_files import folder_of
from wheelvec.kernels.evaluate import evaluate_blocks
from wheelvec.lake import files
from wheelvec.run.cluster import distributed, jobs, workers
from wheelvec.stages.figures import PERCENTILES

SYMBOLS = ("AA", "BB", "CC", "DD")
GRID = {
    "put.exit_pct": [0.3, 0.5],
    "put.stop_loss_multiplier": [1.7, None],
    "put.delta_max": [0.3, 0.4],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    wv.demo_market(symbols=SYMBOLS, start="2023-10-02", end="2024-03-28").write(folder)
    return folder


@pytest.fixture(scope="module")
def local(folder: Path) -> wv.Sweep:
    return wv.sweep(wv.Market.open(folder), None, GRID)


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def lake(folder: Path, tmp_path: Path) -> Path:
    """A lake of the test's own, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "lake"))


class Counting(AtOnce):
    """Runs jobs at once, and counts them; the last first, if they can wait."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.jobs: list[Any] = []
        self._stop_after = stop_after
        self._max_workers = 3

    def submit(self, run: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        self.jobs.append(arguments[0])
        if self._stop_after is not None and len(self.swept) > self._stop_after:
            raise KeyboardInterrupt
        return super().submit(run, *arguments, **named)

    @property
    def swept(self) -> list[Any]:
        """The jobs of the sweep itself; the first is timed."""
        return [job for job in self.jobs if isinstance(job, jobs.SweepJob)][1:]

    @property
    def surveys(self) -> list[Any]:
        """The jobs that verify the data."""
        return [job for job in self.jobs if isinstance(job, jobs.SurveyJob)]


class Reversing(Counting):
    """Runs the jobs that wait in the reverse order of their arrival."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, run: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        self.jobs.append(arguments[0])
        future: Future[Any] = Future()
        self._waiting.append((future, run, arguments))
        threading.Timer(0.3, self._run_one).start()
        return future

    def _run_one(self) -> None:
        future, run, arguments = self._waiting.pop()
        future.set_result(run(*arguments))


@pytest.fixture
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many jobs: each of one underlying, one year and some rows."""
    monkeypatch.setattr(distributed.Distributed, "cut", lambda *_: SMALL)


SMALL = distributed.Cut([[symbol] for symbol in SYMBOLS], [(2023, 2023), (2024, 2024)], 3, "exact")


# ---- the frames of executors


def test_a_spawned_pool_gives_the_frame_of_this_process(
    folder: Path, local: wv.Sweep, small_jobs: None, tmp_path: Path
) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        far = wv.sweep(wv.Market.open(folder), None, GRID, executor=pool, out=tmp_path / "out")
    assert_frame_equal(far.frame, local.frame, check_exact=True)
    assert far.warnings == local.warnings
    assert far.failures.rows() == []
    loaded = wv.Sweep.load(tmp_path / "out")
    assert_frame_equal(loaded.frame, local.frame, check_exact=True)
    # no part is left
    assert not (tmp_path / "out" / "chunks").exists()


def test_workers_read_a_lake_in_an_object_store(
    folder: Path, local: wv.Sweep, small_jobs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moto")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Store(tmp_path) as store:
        market = wv.Market.open(store.upload(folder, "lake"), storage_options=store.options)
        far = wv.sweep(market, None, GRID, executor=Counting(), out=tmp_path / "out")
        assert {method for method, _ in store.asked()} <= {"GET", "HEAD"}
    assert_frame_equal(far.frame, local.frame, check_exact=True)
    assert far.warnings == local.warnings


def test_jobs_that_end_in_another_order_give_the_same_frame(
    folder: Path, local: wv.Sweep, small_jobs: None
) -> None:
    far = wv.sweep(wv.Market.open(folder), None, GRID, executor=Reversing())
    assert_frame_equal(far.frame, local.frame, check_exact=True)


@pytest.mark.parametrize(
    ("seed", "stats"),
    [
        (3, "full"),
        (4, "moments"),
        pytest.param(4, "full", marks=pytest.mark.slow),
    ],
)
def test_grids_of_every_kind_on_a_lake_with_events(
    seed: int, stats: str, tmp_path: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wheels one at a time, chain keys, signals, equal rows, refused rows and accounts."""
    monkeypatch.setattr(distributed, "TARGET", 0.02)
    market_of(event_markets.random_event_market(seed)).write(tmp_path / "lake")
    market = wv.Market.open(tmp_path / "lake")
    config = config_of(event_markets.random_event_config(seed, "ledger"), market)
    entries = market.option_quotes.select("session", "underlying").unique().sort(pl.all())
    grid = pl.DataFrame(
        {
            "put.exit_pct": [0.3, 0.5, 0.5, 0.3, 0.6],
            "pricing.rate": [0.01, 0.05, 0.05, 0.03, 0.01],
            "schedule.allow_multiple_wheels_per_symbol": [True, True, True, False, True],
            "signal": [None, "odd", "odd", None, "odd"],
            "account.fraction": [0.2, 0.5, 0.5, 0.2, 0.9],
            "put.delta_max": [0.9, 0.9, 0.9, 0.9, -1.0],
        }
    )
    given: dict[str, Any] = {"signals": {"odd": entries.gather_every(2)}, "stats": stats}
    given |= {"skip_invalid": True, "account": wv.Account(cash=1_000_000.0)}
    local = wv.sweep(market, config, grid, **given)
    far = wv.sweep(wv.Market.open(tmp_path / "lake"), config, grid, **given, executor=threads)
    assert local.frame["total_wheels"].sum() > 0
    assert far.skipped.rows() == local.skipped.rows()
    assert_frame_equal(far.frame, local.frame, check_exact=True)


@pytest.mark.parametrize("quoted", [True, False])
def test_without_an_entry_session_there_is_no_job(
    folder: Path, tmp_path: Path, threads: Executor, quoted: bool
) -> None:
    market, late = wv.Market.open(folder), wv.Schedule(start_date="2023-10-02", offset=5000)
    if not quoted:
        bare = wv.Market(
            option_quotes=market.option_quotes.clear(), underlying_bars=market.underlying_bars
        )
        bare.write(tmp_path / "bare")
        market, late = wv.Market.open(tmp_path / "bare"), wv.Schedule(end_date="2024-03-01")
    config = wv.Config(schedule=late)
    far = wv.sweep(market, config, GRID, executor=threads)
    assert_frame_equal(far.frame, wv.sweep(market, config, GRID).frame, check_exact=True)
    assert far.frame["total_wheels"].sum() == 0
    with pytest.raises(wv.WheelvecError, match="no row of the grid has an entry session"):
        wv.plan(market, config, GRID)


def test_schedules_that_name_underlyings(folder: Path, small_jobs: None, threads: Executor) -> None:
    """A job holds few of the names that its configurations give."""
    grid: dict[str, Any] = GRID | {"schedule.symbols": [["CC", "AA"], ["BB"], None]}
    grid["put.delta_max"] = [0.3]
    account = wv.Account(cash=100_000.0)
    given: dict[str, Any] = {"account": account, "threads": 1}
    local = wv.sweep(wv.Market.open(folder), None, grid, **given)
    far = wv.sweep(wv.Market.open(folder), None, grid, **given, executor=threads)
    assert_frame_equal(far.frame, local.frame, check_exact=True)
    wrong = wv.Config(schedule=wv.Schedule(symbols=("AA", "AB")))
    with pytest.raises(wv.WheelvecError, match=r"unknown symbol 'AB'"):
        wv.sweep(wv.Market.open(folder), wrong, GRID, executor=threads)


@pytest.mark.parametrize("merged", [2**20, 10])
def test_percentiles_of_very_many_wheels_are_of_bins(
    merged: int,
    folder: Path,
    local: wv.Sweep,
    threads: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "EXACT_CELLS", 0)
    monkeypatch.setattr(distributed, "MERGED", merged)
    far = wv.sweep(wv.Market.open(folder), None, GRID, executor=threads)
    names = ["median_wheel_roc", *(name for name in local.frame.columns if "roc_p" in name)]
    error = far.frame["percentile_error"].unique().to_list()
    assert error == [0.005]
    for name in names:
        off = (far.frame[name] - local.frame[name]).abs().max()
        assert isinstance(off, float)
        assert 0.0 < off <= error[0] + 1e-12, name
    others = far.frame.drop(*names, "percentile_error")
    assert_frame_equal(others, local.frame.drop(names), check_exact=True)


def test_exact_percentiles_hold_one_part_and_the_values() -> None:
    """Job results arrive in turn: of 134 million wheels the values alone are a gigabyte."""
    random, count = np.random.default_rng(7), np.array([3_000, 0, 5_000, 1], np.int64)
    row = random.permutation(np.repeat(np.arange(4), count))
    frame = pl.DataFrame({"row": row, "roc": random.normal(size=row.size)})
    ends, alive, most = [0, 100, 100, 4_000, row.size], list[weakref.ref[pl.DataFrame]](), 0

    def results() -> Iterator[pl.DataFrame]:
        nonlocal most
        for first, end in itertools.pairwise(ends):
            part = frame[first:end]
            alive.append(weakref.ref(part))
            yield part
            del part
            most = max(most, sum(each() is not None for each in alive))

    found = distributed._exact(results(), count)
    assert most <= 1
    for i, size in enumerate(count):
        values = frame.filter(pl.col("row") == i)["roc"].to_numpy()
        wanted = np.percentile(values, [50, *PERCENTILES]) if size else np.nan
        np.testing.assert_allclose(found[:, i], wanted, rtol=1e-12)


class _Lost(Future[Any]):
    """Says that it has ended, is then found to have lost its result, and has it again in silence."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def done(self) -> bool:
        self._asked += 1
        return self._asked > 2 and super().done()


class Losing(Counting):
    """Its results are lost once, each after its job said that it had ended."""

    def submit(self, run: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        future = _Lost()
        future.set_result(super().submit(run, *arguments, **named).result())
        return future


def test_a_result_that_is_lost_and_made_again_is_found(
    folder: Path, local: wv.Sweep, small_jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a Dask worker ends before its result was fetched."""
    monkeypatch.setattr(workers, "LOOK", 0.05)
    far = wv.sweep(wv.Market.open(folder), None, GRID, executor=Losing())
    assert_frame_equal(far.frame, local.frame, check_exact=True)


class Slow(Future[Any]):
    """Has ended, but its worker does so before its result was fetched, which Dask makes again."""

    status = "lost"

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def result(self, timeout: float | None = None) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise TimeoutError
        return super().result(timeout)


class Deserted:
    """A client whose cluster has no worker for half a second, or a paused one."""

    __module__ = "distributed.client"

    def __init__(self, paused: bool) -> None:
        self._there, self._paused = time.monotonic() + 0.5, paused

    def scheduler_info(self, **_: Any) -> dict[str, Any]:
        there = time.monotonic() > self._there
        worker = {"nthreads": 1, "status": "running" if there else "paused"}
        return {"workers": {"tcp://127.0.0.1:1": worker} if there or self._paused else {}}

    def submit(self, run: Any, job: Any, **_: Any) -> Future[Any]:
        future = Slow()
        wait = max(0.0, self._there - time.monotonic())
        threading.Timer(wait, lambda: future.set_result(run(job))).start()
        self.given = future
        return future


@pytest.mark.parametrize(
    ("paused", "message"),
    [(False, "the cluster has no worker"), (True, "all workers of the cluster are paused")],
)
def test_a_cluster_without_workers_is_named(
    paused: bool,
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(workers, "LOOK", 0.05)
    monkeypatch.setattr(workers, "RESTART", 0.1)
    part = wv.Market.open(folder).part(["AA"])
    job = jobs.SurveyJob(jobs.versions(), part, "", (), None, findings=False)
    client = Deserted(paused)
    ((_, done),) = workers.Workers(client).run([workers.Asked("one", job)])
    assert not done.failures
    assert client.given.asked == 2
    said = [each for each in caplog.messages if "jobs wait for one" in each]
    assert [message in each for each in said] == [True]


def test_progress_counts_configurations_and_wheels(folder: Path, small_jobs: None) -> None:
    reports: list[tuple[int, int, int]] = []
    far = wv.sweep(
        wv.Market.open(folder),
        None,
        GRID,
        executor=Counting(),
        progress=lambda *now: reports.append(now),
    )
    wheels = far.frame.select(pl.sum_horizontal(pl.col("^csp_.*$")).sum()).item()
    assert reports[-1] == (8, 8, wheels)
    assert [done for done, *_ in reports] == sorted(done for done, *_ in reports)


def test_a_sweep_is_cut_into_jobs_of_some_seconds(
    folder: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = wv.Market.open(folder)
    base = wv.Config()
    read = distributed.Grid.read(base, {"fills.execution_seed": range(1000)})

    def away_of(read: distributed.Grid) -> distributed.Distributed:
        context = distributed.Context(market, read, 1, 2**20)
        given = distributed.Signals(), workers.Workers(threads), "full", None
        return distributed.Distributed(market, read, context, *given)

    away = away_of(read)
    size = 1000
    monkeypatch.setattr(away, "_sizes", dict.fromkeys(SYMBOLS, size))

    def timing(slices: float, row: float) -> distributed.Timing:
        return distributed.Timing(slices / size, row / size, 1.0, 1.0)

    # an underlying takes 2 s for its slices and up to 1 s for 1,000 rows: two in a job
    cut = away.cut(timing(2.0, 1e-3))
    assert cut.rows == 1000
    assert cut.groups == [["AA", "BB"], ["CC", "DD"]]
    # a row in 0.1 s: some rows of one underlying, and slices that do not dominate
    cut = away.cut(timing(1.0, 0.1))
    assert 50 <= cut.rows <= 100
    assert cut.groups == [[symbol] for symbol in SYMBOLS]
    # slices of an underlying in 40 s: its years apart, unless its wheels follow one another
    assert away.cut(timing(40.0, 1e-9)).years == [(2023, 2023), (2024, 2024)]
    alone = {"schedule.allow_multiple_wheels_per_symbol": [False]}
    away = away_of(distributed.Grid.read(base, alone))
    monkeypatch.setattr(away, "_sizes", dict.fromkeys(SYMBOLS, size))
    assert away.cut(timing(40.0, 1e-9)).years == [None]


def test_submitit_gives_the_frame_of_this_process(
    folder: Path, local: wv.Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip("submitit")
    whole = distributed.Cut([list(SYMBOLS)], [None], 8, "exact")
    monkeypatch.setattr(distributed.Distributed, "cut_of", lambda *_: whole)
    executor = submitit.LocalExecutor(folder=tmp_path / "jobs")
    far = wv.sweep(wv.Market.open(folder), None, GRID, executor=executor)
    assert_frame_equal(far.frame, local.frame, check_exact=True)


# ---- a Dask cluster


@pytest.fixture(scope="module")
def clusters() -> Iterator[list[Any]]:
    """The last one is in use."""
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}):
        started: list[Any] = []
        yield started
        for each in started:
            each.close()


@pytest.fixture
def cluster(clusters: list[Any]) -> Any:
    """Two workers; another cluster where one was not started again in a minute.

    A nanny gives up if its worker ends while it starts.
    """
    distributed_ = pytest.importorskip("distributed")
    if clusters:
        with contextlib.suppress(TimeoutError):
            clusters[-1].wait_for_workers(2, timeout=60)
            return clusters[-1]
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    clusters.append(distributed_.LocalCluster(**options, silence_logs="CRITICAL"))
    return clusters[-1]


@contextlib.contextmanager
def killing(
    cluster: Any, kills: int, seconds: float, went_on: threading.Event | None = None
) -> Iterator[set[int]]:
    """Kill a worker every few seconds, up to so many; the processes that were killed so far.

    Args:
        cluster: whose workers are killed.
        kills: their number.
        seconds: between two.
        went_on: is waited for before each, for a quarter of a minute.
    """
    done, ended = threading.Event(), set[int]()

    def kill() -> None:
        while len(ended) < kills and not done.wait(seconds):
            if went_on is not None:
                went_on.wait(15.0)
                went_on.clear()
            # a nanny gives up if its worker ends while it starts
            known = cluster.scheduler.workers
            nannies = tuple(cluster.workers.values())
            alive = [each.pid for each in nannies if each.pid and each.worker_address in known]
            if pids := [pid for pid in alive if pid not in ended]:
                pid = pids[len(ended) % len(pids)]
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)
                    ended.add(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield ended
    finally:
        done.set()
        killer.join()


def test_killed_workers_lose_nothing_and_count_nothing_twice(
    cluster: Any, folder: Path, local: wv.Sweep, small_jobs: None
) -> None:
    from distributed import Client

    with Client(cluster) as client, killing(cluster, 2, seconds=0.5) as killed:
        far = wv.sweep(wv.Market.open(folder), None, GRID, executor=client)
    assert killed
    assert_frame_equal(far.frame, local.frame, check_exact=True)
    assert far.failures.height == 0


@pytest.mark.slow
def test_a_hundred_killed_workers(
    cluster: Any, folder: Path, local: wv.Sweep, small_jobs: None
) -> None:
    """Sweep after sweep, while a worker is killed as soon as something was done after the last one.

    Without that, jobs that need more time than workers have would be given up, and rightly so.
    """
    from distributed import Client

    went_on = threading.Event()
    with Client(cluster) as client, killing(cluster, 100, 2.0, went_on) as killed:
        given: dict[str, Any] = {"executor": client, "progress": lambda *_: went_on.set()}
        while len(killed) < 100:
            far = wv.sweep(wv.Market.open(folder), None, GRID, **given)
            assert_frame_equal(far.frame, local.frame, check_exact=True)
            assert far.failures.height == 0


def test_a_client_that_goes_away_and_comes_back(
    cluster: Any, folder: Path, local: wv.Sweep, small_jobs: None, tmp_path: Path
) -> None:
    from distributed import Client

    out, seen = tmp_path / "out", list[int]()
    with Client(cluster) as client:

        def progress(done: int, *_: int) -> None:
            seen.append(done)
            if len(seen) == 5:
                client.close()

        with pytest.raises(wv.WheelvecError, match=r"job results? of the sweep kept in .*out; run"):
            wv.sweep(
                wv.Market.open(folder), None, GRID, executor=client, out=out, progress=progress
            )
    kept = len(list((out / "chunks").glob("wheelvec-*.part")))
    assert kept >= 5
    with Client(cluster) as client:
        far = wv.sweep(wv.Market.open(folder), None, GRID, executor=client, out=out)
    assert_frame_equal(far.frame, local.frame, check_exact=True)


def test_a_job_takes_half_of_its_workers_memory(cluster: Any) -> None:
    from distributed import Client

    with Client(cluster) as client:
        limit = next(iter(client.scheduler_info()["workers"].values()))["memory_limit"]
        assert client.submit(jobs.share_of_memory, pure=False).result() == limit // 2
    assert 0 < jobs.share_of_memory() < 2**50  # outside of a cluster


class _Monitor:
    """Of a worker whose process is smaller by a quarter of a gigabyte with each market closed."""

    def get_process_memory(self) -> int:
        return 750_000_000 + 250_000_000 * len(jobs._Opened._held)


class _Worker:
    """A worker that may take two gigabytes."""

    class memory_manager:  # noqa: N801 - as Dask names it
        memory_limit = 2_000_000_000

    class state:  # noqa: N801
        nthreads = 1

    monitor = _Monitor()


def test_a_worker_that_holds_much_closes_markets_and_gives_jobs_less(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask pauses a worker at four fifths of its memory, and what it holds is never freed then."""
    monkeypatch.setattr(jobs, "_dask_worker", _Worker)
    held = OrderedDict((name, wv.Market.open(folder).part([name])) for name in SYMBOLS)
    monkeypatch.setattr(jobs._Opened, "_held", held)
    assert jobs.share_of_memory() == 2_000_000_000 // 16
    jobs._Opened.close_some()
    assert list(held) == ["DD"]
    assert jobs.share_of_memory() == 1_400_000_000 - 1_000_000_000


def test_workers_of_a_cluster_that_differ_are_named(
    cluster: Any, folder: Path, local: wv.Sweep, caplog: pytest.LogCaptureFixture
) -> None:
    """One of two workers has other versions: the other one does the work, or none does."""
    from distributed import Client

    market = wv.Market.open(folder)
    with Client(cluster) as client:
        one, other = list(client.scheduler_info()["workers"])
        client.run(_pretend, "1.2.3", workers=[one])
        try:
            far = wv.sweep(market, None, GRID, executor=client)
            assert_frame_equal(far.frame, local.frame, check_exact=True)
            assert f"worker {one} is not used: it has polars 1.2.3 (expected" in caplog.text
            client.run(_pretend, "1.2.3", workers=[other])
            with pytest.raises(wv.WheelvecError, match=r"no worker can be used: .*has polars 1.2"):
                wv.sweep(market, None, GRID, executor=client)
        finally:
            client.run(_pretend, pl.__version__)


def test_jobs_follow_the_only_worker_that_can_be_used_to_its_new_address(
    cluster: Any, folder: Path, local: wv.Sweep, small_jobs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is started again has another address, to which no job was given before."""
    from distributed import Client

    monkeypatch.setattr(workers, "FETCH", 1.0)

    with Client(cluster) as client:
        one, other = list(client.scheduler_info()["workers"])
        client.run(_pretend, "1.2.3", workers=[one])
        pid = client.run(os.getpid, workers=[other])[other]
        timer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        timer.start()
        try:
            far = wv.sweep(wv.Market.open(folder), None, GRID, executor=client)
        finally:
            timer.join()
            client.run(_pretend, pl.__version__)
        assert other not in client.scheduler_info()["workers"]
    assert_frame_equal(far.frame, local.frame, check_exact=True)


def _pretend(version: str) -> None:
    import polars

    polars.__version__ = version


# ---- what fails


def damaged(lake: Path, symbol: str) -> Path:
    """A quotes file of an underlying, after a byte of it has changed."""
    path = sorted((lake / "option_quotes" / f"underlying={symbol}").rglob("*.parquet"))[2]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def test_an_underlying_that_fails_is_left_out_and_reported(
    lake: Path, folder: Path, local: wv.Sweep, small_jobs: None, tmp_path: Path
) -> None:
    path = damaged(lake, "BB")
    out = tmp_path / "out"
    far = wv.sweep(wv.Market.open(lake), None, GRID, executor=Counting(), out=out)
    ((symbol, error),) = far.failures.rows()
    assert symbol == "BB"
    assert str(path) in error
    rest = wv.Config(schedule=wv.Schedule(symbols=("AA", "CC", "DD")))
    without = wv.sweep(wv.Market.open(folder), rest, GRID)
    assert_frame_equal(
        far.frame.drop("config_id"), without.frame.drop("config_id"), check_exact=True
    )
    assert_frame_equal(wv.Sweep.load(out).failures, far.failures)


def test_an_underlying_that_could_not_be_read_is_verified_again_by_the_next_sweep(
    lake: Path, folder: Path, local: wv.Sweep, small_jobs: None
) -> None:
    path, market = damaged(lake, "BB"), wv.Market.open(lake)
    for _ in range(2):
        executor = Counting()
        far = wv.sweep(market, None, GRID, executor=executor)
        assert far.failures["underlying"].to_list() == ["BB"]
    assert [job.symbols for job in executor.surveys] == [("BB",)]  # and no other one again
    before = market.fingerprint
    shutil.copy(folder / path.relative_to(lake), path)
    for surveys in ([("BB",)], []):
        executor = Counting()
        far = wv.sweep(market, None, GRID, executor=executor)
        assert far.failures.height == 0
        assert_frame_equal(far.frame, local.frame, check_exact=True)
        assert [job.symbols for job in executor.surveys] == surveys
    assert market.fingerprint == wv.Market.open(folder).fingerprint != before


def test_accounts_without_an_underlying_that_fails(
    lake: Path, folder: Path, small_jobs: None
) -> None:
    """It is named by a schedule, and is one of all."""
    damaged(lake, "BB")
    given: dict[str, Any] = {"account": wv.Account(cash=1_000_000.0)}
    grid = {"schedule.symbols": [["BB", "AA"], None]}
    far = wv.sweep(wv.Market.open(lake), None, grid, **given, executor=Counting())
    assert far.failures["underlying"].to_list() == ["BB"]
    grid = {"schedule.symbols": [["AA"], ["AA", "CC", "DD"]]}
    without = wv.sweep(wv.Market.open(folder), None, grid, **given)
    others = ("schedule.symbols", "config_id")
    assert_frame_equal(far.frame.drop(others), without.frame.drop(others), check_exact=True)


def test_what_failed_is_tried_again_by_the_next_run(
    lake: Path, small_jobs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a disk could not be read for a while: the data are the same afterwards."""
    real, out = jobs.SweepJob._of_symbol, tmp_path / "out"

    def failing(job: Any, market: Any, symbol: str, *more: Any) -> Any:
        if symbol == "CC" and job.years == (2024, 2024):
            raise OSError("the disk does not answer")
        return real(job, market, symbol, *more)

    with monkeypatch.context() as patch:
        patch.setattr(jobs.SweepJob, "_of_symbol", failing)
        far = wv.sweep(wv.Market.open(lake), None, GRID, executor=Counting(), out=out)
    assert far.failures.rows() == [("CC", "OSError: the disk does not answer")]
    again = Counting()
    whole = wv.sweep(wv.Market.open(lake), None, GRID, executor=again, out=out)
    assert {job.symbols for job in again.swept} == {("CC",)}
    assert_frame_equal(whole.frame, wv.sweep(wv.Market.open(lake), None, GRID).frame)
    assert whole.failures.height == 0
    assert not list(out.glob("chunks"))


class KilledWorker(Exception):  # noqa: N818 - the name by which it is known
    """As Dask raises it for a job whose workers ended."""

    allowed_failures = 3


class Deadly(Counting):
    """Whose workers end in jobs of some kind that have the underlying BB."""

    def __init__(self, kind: type[jobs.Job]) -> None:
        super().__init__()
        self._kind, self._max_workers = kind, 1

    def submit(self, run: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        (job,) = arguments
        if not isinstance(job, self._kind) or "BB" not in job.symbols:
            return super().submit(run, *arguments, **named)
        self.jobs.append(job)
        future: Future[Any] = Future()
        future.set_exception(KilledWorker())
        return future


@pytest.mark.parametrize("kind", [jobs.SurveyJob, jobs.SweepJob])
def test_an_underlying_that_ends_its_workers_is_found_and_left_out(
    kind: type[jobs.Job], folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is run alone, and once it is known to fail it is not tried again."""
    cut = distributed.Cut([["AA", "BB"], ["CC", "DD"]], [(2023, 2023), (2024, 2024)], 8)
    monkeypatch.setattr(distributed.Distributed, "cut", lambda *_: cut)
    executor, out = Deadly(kind), tmp_path / "out"
    far = wv.sweep(wv.Market.open(folder), None, GRID, executor=executor, out=out)
    ((symbol, error),) = far.failures.rows()
    assert symbol == "BB"
    assert error == "its worker ended 12 times in succession, often for lack of memory"
    alone = [job for job in executor.jobs if isinstance(job, kind) and job.symbols == ("BB",)]
    assert len(alone) == workers.TRIES
    rest = wv.Config(schedule=wv.Schedule(symbols=("AA", "CC", "DD")))
    without = wv.sweep(wv.Market.open(folder), rest, GRID)
    assert_frame_equal(
        far.frame.drop("config_id"), without.frame.drop("config_id"), check_exact=True
    )
    again = Counting()
    whole = wv.sweep(
        wv.Market.open(folder),
        None,
        GRID,
        executor=again,
        out=out,
        overwrite=kind is jobs.SurveyJob,
    )
    assert whole.failures.height == 0


def test_accounts_that_end_their_workers_are_an_error(folder: Path) -> None:
    given: dict[str, Any] = {"account": wv.Account(), "executor": Deadly(jobs.AccountJob)}
    with pytest.raises(wv.WheelvecError, match=r"a job cannot be done: its worker ended 12 times"):
        wv.sweep(wv.Market.open(folder), None, GRID, **given)


def test_an_underlying_that_ends_the_workers_of_a_cluster(
    cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, WorkerPlugin

    class Ending(WorkerPlugin):  # type: ignore[misc]
        """Of every worker, also one that is started for another that ended."""

        def setup(self, worker: Any) -> None:
            jobs.SweepJob._of_symbol = _end_at_bb  # type: ignore[method-assign]

        def teardown(self, worker: Any) -> None:
            jobs.SweepJob._of_symbol = _OF_SYMBOL  # type: ignore[method-assign]

    whole = distributed.Cut([list(SYMBOLS)], [None], 8)
    monkeypatch.setattr(distributed.Distributed, "cut_of", lambda *_: whole)
    monkeypatch.setattr(workers, "TRIES", 1)
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with Client(cluster) as client:
        client.register_plugin(Ending(), name="ending")
        try:
            far = wv.sweep(wv.Market.open(folder), None, GRID, executor=client)
        finally:
            client.unregister_worker_plugin("ending")
    assert far.failures.rows() == [
        ("BB", "its worker ended 1 time in succession, often for lack of memory")
    ]
    rest = wv.Config(schedule=wv.Schedule(symbols=("AA", "CC", "DD")))
    without = wv.sweep(wv.Market.open(folder), rest, GRID)
    assert_frame_equal(
        far.frame.drop("config_id"), without.frame.drop("config_id"), check_exact=True
    )


def _end_at_bb(job: Any, market: Any, symbol: str, *more: Any) -> Any:
    if symbol == "BB":
        time.sleep(2.0)  # a nanny gives up if its worker ends while it starts
        os.kill(os.getpid(), signal.SIGKILL)
    return _OF_SYMBOL(job, market, symbol, *more)


_OF_SYMBOL = jobs.SweepJob._of_symbol


def test_a_run_of_which_every_underlying_fails_is_an_error(lake: Path) -> None:
    for symbol in SYMBOLS:
        damaged(lake, symbol)
    with pytest.raises(wv.WheelvecError, match=r"none of the underlyings .* AA: .*option_quotes"):
        wv.sweep(wv.Market.open(lake), None, GRID, executor=Counting())


def test_a_worker_that_cannot_read_the_lake(lake: Path, threads: Executor) -> None:
    market = wv.Market.open(lake)
    assert market.symbols == SYMBOLS
    assert market.data_range
    job = jobs.SurveyJob(jobs.versions(), market.part(["AA"]), "", ("AA",), None, False)
    lake.rename(lake.with_name("elsewhere"))
    with pytest.raises(jobs.RefusedWorkerError, match=r"cannot read .*lake: No such"):
        jobs.perform(job)


def test_a_lake_that_holds_other_rows_at_the_worker(lake: Path, folder: Path) -> None:
    part = wv.Market.open(lake).part(["AA"])
    job = jobs.SurveyJob(jobs.versions(), part, "0" * 32, ("AA",), None, False)
    with pytest.raises(wv.LakeError, match=r"holds other rows of AA at worker .* than where"):
        jobs.perform(job)


def test_a_worker_verifies_the_lake_of_the_job_and_no_earlier_one(lake: Path, folder: Path) -> None:
    def digests(at: Path) -> pl.DataFrame:
        part = wv.Market.open(at).part(["AA"])
        job = jobs.SurveyJob(jobs.versions(), part, "", ("AA",), None, False)
        return jobs.unpacked(jobs.perform(job).frames)["digests"]

    before = digests(folder)
    market = wv.Market.open(lake)
    rows = market.option_quotes.filter(underlying="AA").head(1)
    wv.Market(
        option_quotes=rows.with_columns(pl.col("bid") / 2), underlying_bars=market.underlying_bars
    ).write(lake)
    assert not digests(lake).equals(before)
    assert digests(folder).equals(before)


def test_a_part_is_of_the_days_of_its_whole_market(lake: Path, folder: Path) -> None:
    """The files of one underlying are the same, but another one has later data."""

    def opened(at: Path) -> wv.Market:
        part = wv.Market.open(at).part(["AA"])
        given = jobs.versions(), part, part.fingerprint, ("AA",), None
        return jobs._Opened.market(jobs.SurveyJob(*given, False))

    later = wv.demo_market(symbols=["BB"], start="2024-04-01", end="2024-04-30")
    before = opened(lake)
    assert opened(lake) is before
    later.write(lake)
    after = opened(lake)
    assert after.fingerprint == before.fingerprint
    assert after.data_range != before.data_range


def test_a_worker_of_another_version_is_refused_by_name(
    folder: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = jobs.versions()
    monkeypatch.setattr(distributed, "versions", lambda: here | {"polars": "1.2.3"})
    wanted = rf"no worker can be used: worker \S+ has polars {pl.__version__} \(expected 1.2.3\)"
    with pytest.raises(wv.WheelvecError, match=wanted):
        wv.sweep(wv.Market.open(folder), None, GRID, executor=threads)


def test_arguments_that_are_no_executor(folder: Path) -> None:
    market = wv.Market.open(folder)
    with pytest.raises(wv.InputError, match=r"executor is 'tcp://h:1': expected a dask"):
        wv.sweep(market, None, GRID, executor="tcp://h:1")
    forking = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with pytest.raises(wv.InputError, match=r"executor forks its processes.*spawn"):
        wv.sweep(market, None, GRID, executor=forking)
    frames = wv.demo_market(symbols=["AA"], start="2024-01-02", end="2024-02-29")
    with pytest.raises(wv.InputError, match=r"market is of frames.* write it with market.write"):
        wv.sweep(frames, None, GRID, executor=ThreadPoolExecutor(1))


def test_a_pool_that_breaks_keeps_what_is_done(
    folder: Path, local: wv.Sweep, small_jobs: None, tmp_path: Path
) -> None:
    market = wv.Market.open(folder)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        kill = pool.submit(os.getpid).result()
        seen: list[int] = []

        def progress(done: int, *_: int) -> None:
            seen.append(done)
            if len(seen) == 3:
                os.kill(kill, signal.SIGKILL)

        with pytest.raises(wv.WheelvecError, match=r"broke.*; it had jobs of .*kept in .*out; run"):
            wv.sweep(market, None, GRID, executor=pool, out=tmp_path / "out", progress=progress)
    again = Counting()
    far = wv.sweep(market, None, GRID, executor=again, out=tmp_path / "out")
    assert 0 < len(again.swept) <= 24 - 3
    assert_frame_equal(far.frame, local.frame, check_exact=True)


def test_one_process_of_a_host_compiles_at_a_time() -> None:
    folder = folder_of(evaluate_blocks)
    assert folder is not None
    entered = threading.Event()

    def compile_() -> None:
        with jobs._alone_on_host():
            entered.set()

    thread = threading.Thread(target=compile_)
    with files.locked(folder):
        thread.start()
        assert not entered.wait(0.3)
    thread.join(10)
    assert entered.is_set()


# ---- resuming


def test_an_interrupted_sweep_is_continued(
    folder: Path, local: wv.Sweep, small_jobs: None, tmp_path: Path
) -> None:
    market, out = wv.Market.open(folder), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt, match=r"job results? of the sweep kept in .*out; run"):
        wv.sweep(market, None, GRID, executor=Counting(stop_after=10), out=out)
    kept = sorted((out / "chunks").glob("wheelvec-*.part"))
    assert len(kept) >= 6
    kept[0].write_bytes(kept[0].read_bytes()[:-1])  # cut by a full disk
    (out / "chunks" / "notes.txt").write_text("mine")
    with pytest.raises(wv.LakeError, match=r"holds chunks/notes.txt, which is not of a saved"):
        wv.sweep(market, None, GRID, executor=Counting(), out=out)
    (out / "chunks" / "notes.txt").unlink()
    again = Counting()
    far = wv.sweep(market, None, GRID, executor=again, out=out)
    assert len(again.swept) == 24 - len(kept)  # and the one that was cut is the timed job's equal
    assert_frame_equal(far.frame, local.frame, check_exact=True)
    assert not (out / "chunks").exists()


def test_a_finished_sweep_is_read_and_not_computed(folder: Path, tmp_path: Path) -> None:
    market = wv.Market.open(folder)
    first = wv.sweep(market, None, GRID, executor=Counting(), out=tmp_path / "out")
    again = Counting()
    second = wv.sweep(market, None, GRID, executor=again, out=tmp_path / "out")
    assert again.jobs == []
    assert_frame_equal(first.frame, second.frame, check_exact=True)
    # in another process the data are verified, but not searched for anomalies again
    third = wv.sweep(wv.Market.open(folder), None, GRID, executor=again, out=tmp_path / "out")
    assert [job.findings for job in again.jobs] == [False]
    assert third.warnings == first.warnings


def test_a_folder_that_cannot_be_used_is_refused_before_the_data_are_verified(
    folder: Path, tmp_path: Path
) -> None:
    market, executor, out = wv.Market.open(folder), Counting(), tmp_path / "out"
    wv.sweep(market, None, {"put.exit_pct": [0.3, 0.4]}, out=out)
    with pytest.raises(wv.LakeError, match="its grid sweeps"):
        wv.sweep(market, None, GRID, executor=executor, out=out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(wv.LakeError, match=r"holds notes.txt, which is not of a saved sweep"):
        wv.sweep(market, None, GRID, executor=executor, out=out, overwrite=True)
    assert executor.jobs == []


def test_the_grid_is_resolved_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes long for a large one, and its jobs resolve their own parts."""
    market, real, resolved = wv.Market.open(folder), distributed.Context.__init__, 0

    def counting(context: Any, of: wv.Market, *more: Any) -> None:
        nonlocal resolved
        resolved += of is market
        real(context, of, *more)

    monkeypatch.setattr(distributed.Context, "__init__", counting)
    wv.sweep(market, None, GRID, executor=Counting())
    assert resolved == 1
