"""Backtests and accounts on executors: equal to local ones to the bit, and what fails is left out
or kept.
"""

import datetime as dt
import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.oracle import event_markets
from tests.random_markets import config_of, market_of
from tests.run.cluster.executors import AtOnce
from tests.run.cluster.test_distributed import Deadly, Reversing, damaged
from wheelvec.lake import parquet
from wheelvec.report.text import result_text
from wheelvec.run.cluster import record_job, recording

SYMBOLS = ("AA", "BB", "CC", "DD")
FRAMES = (
    *("records", "wheels", "ledger", "call_diagnostics", "diagnostics"),
    *("paths", "underlying", "events"),
)
CONFIG = wv.Config(schedule=wv.Schedule(end_date="2024-02-02"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    wv.demo_market(symbols=SYMBOLS, start="2023-12-01", end="2024-03-28").write(folder)
    return folder


@pytest.fixture(scope="module")
def local(folder: Path) -> wv.Result:
    result = wv.backtest(wv.Market.open(folder), CONFIG)
    assert result.warnings is not None  # which are computed when they are first asked for
    return result


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def lake(folder: Path, tmp_path: Path) -> Path:
    """A lake of the test's own, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "lake"))


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Of a cluster of two processes."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        distributed.LocalCluster(**options, silence_logs="CRITICAL") as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Counting(AtOnce):
    """Runs jobs at once, and counts those that record wheels."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.recorded: list[tuple[str, ...]] = []
        self._stop_after, self._max_workers = stop_after, 1

    def submit(self, run: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        (job,) = arguments
        if isinstance(job, record_job.RecordJob):
            if len(self.recorded) == self._stop_after:
                raise KeyboardInterrupt
            self.recorded.append(job.symbols)
        return super().submit(run, job, **named)


def assert_same(far: wv.Result, local: wv.Result) -> None:
    for name in FRAMES:
        assert_frame_equal(getattr(far, name), getattr(local, name), check_exact=True)
    assert far.summary() == local.summary()
    assert far.warnings == local.warnings
    assert (far.fingerprint, far.start) == (local.fingerprint, local.start)
    assert far.failures.height == 0


def without(folder: Path, symbol: str, config: wv.Config = CONFIG) -> wv.Result:
    """The local result of the other underlyings."""
    rest = [name for name in SYMBOLS if name != symbol]
    return wv.backtest(wv.Market.open(folder, symbols=rest), config)


# ---- the frames of executors


def test_a_spawned_pool_gives_the_result_of_this_process_which_reads_no_quotes(
    folder: Path,
    local: wv.Result,
    pool: Executor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, read = wv.backtest(wv.Market.open(folder), CONFIG, out=tmp_path / "here"), parquet.read

    def no_options(table: Any, *more: Any) -> pl.DataFrame:
        assert not table.name.startswith("option_"), "this process reads options"
        return read(table, *more)

    monkeypatch.setattr(parquet, "read", no_options)
    market = wv.Market.open(folder)
    assert_same(wv.backtest(market, CONFIG, executor=pool, out=tmp_path / "far"), local)
    in_memory = wv.backtest(market, CONFIG, executor=pool)
    assert_same(in_memory, local)
    assert_same(wv.Result.load(tmp_path / "far"), here)
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "far" / path.name).read_bytes() == path.read_bytes(), path.name
    in_memory.save(tmp_path / "saved")
    assert_same(wv.Result.load(tmp_path / "saved"), local)


def test_a_dask_cluster_gives_the_result_of_this_process(
    client: Any, folder: Path, local: wv.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "TARGET", 1e-9)  # a job of each underlying
    assert_same(wv.backtest(wv.Market.open(folder), CONFIG, executor=client), local)


@pytest.mark.parametrize("seed", [4, 5])
def test_events_signals_and_any_order_of_underlyings(
    seed: int, tmp_path: Path, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splits, renames and dividends, which other underlyings' files state."""
    monkeypatch.setattr(recording, "TARGET", 0.2)
    market_of(event_markets.random_event_market(seed)).write(tmp_path / "lake")
    market = wv.Market.open(tmp_path / "lake")
    rules = "v5" if seed == 5 else "ledger"
    config = config_of(event_markets.random_event_config(seed, rules), market)
    config = config.replace(**{"schedule.symbols": market.symbols[::-1]})
    entries = market.option_quotes.select("session", "underlying").unique().sort(pl.all())
    when = entries.gather_every(2)
    local = wv.backtest(market, config, when=when)
    assert local.events.height
    assert local.records.height
    far = wv.backtest(wv.Market.open(tmp_path / "lake"), config, when=when, executor=threads)
    assert_same(far, local)


def test_jobs_that_end_in_another_order_give_the_same_result(
    folder: Path, local: wv.Result
) -> None:
    assert_same(wv.backtest(wv.Market.open(folder), CONFIG, executor=Reversing()), local)


def test_underlyings_without_quotes_are_in_the_fingerprint(lake: Path, threads: Executor) -> None:
    market = wv.Market.open(lake)
    more = market.underlying_bars.filter(underlying="AA").with_columns(underlying=pl.lit("XX"))
    wv.Market(
        option_quotes=market.option_quotes,
        underlying_bars=pl.concat([more, market.underlying_bars]),
    ).write(lake)
    local = wv.backtest(wv.Market.open(lake), CONFIG)
    assert_same(wv.backtest(wv.Market.open(lake), CONFIG, executor=threads), local)


def test_an_underlying_without_a_wheel_has_its_closes(folder: Path, threads: Executor) -> None:
    never = pl.DataFrame({"session": [dt.date(2024, 1, 3)], "underlying": ["BB"]})
    local = wv.backtest(wv.Market.open(folder), CONFIG, when=never)
    far = wv.backtest(wv.Market.open(folder), CONFIG, when=never, executor=threads)
    assert far.underlying["underlying"].n_unique() == len(SYMBOLS)
    assert_same(far, local)


def test_jobs_take_as_many_underlyings_as_those_before_allow(
    folder: Path, local: wv.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, executor = wv.Market.open(folder), Counting()
    reports: list[tuple[int, ...]] = []
    wv.backtest(market, CONFIG, executor=executor, progress=lambda *now: reports.append(now))
    # two jobs wait at the one worker before anything is known
    assert executor.recorded == [("AA",), ("BB",), ("CC", "DD")]
    assert [done for done, *_ in reports] == [3, 6, 12]
    assert {total for _, total, *_ in reports} == {12}
    monkeypatch.setattr(recording, "TARGET", 1e-9)
    again = Counting()
    wv.backtest(market, CONFIG, executor=again)
    assert again.recorded == [(symbol,) for symbol in SYMBOLS]


# ---- what fails


def test_an_underlying_that_fails_is_left_out_and_reported(
    lake: Path, folder: Path, threads: Executor, tmp_path: Path
) -> None:
    path, out = damaged(lake, "BB"), tmp_path / "out"
    far = wv.backtest(wv.Market.open(lake), CONFIG, executor=threads, out=out)
    local = without(folder, "BB")
    for name in FRAMES:
        assert_frame_equal(getattr(far, name), getattr(local, name), check_exact=True)
    ((symbol, error),) = far.failures.rows()
    assert symbol == "BB"
    assert str(path) in error
    loaded = wv.Result.load(out)
    assert_frame_equal(loaded.failures, far.failures)
    first, *rest = loaded.warnings
    assert (first.code, first.underlying) == ("failed", "BB")
    assert tuple(rest) == local.warnings
    assert "BB: left out of all figures, because of an error: " in " ".join(
        result_text(loaded).split()
    )
    assert "BB: left out" in loaded._repr_html_()


def test_what_failed_is_tried_again_by_the_next_run(
    folder: Path, local: wv.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a disk could not be read for a while: the data are the same afterwards."""
    real, out, failures = record_job.Recorder.one, tmp_path / "out", 1

    def failing(recorder: Any, position: int) -> Any:
        nonlocal failures
        if recorder._symbols[position] == "CC" and failures:
            failures -= 1
            raise OSError("the disk does not answer")
        return real(recorder, position)

    monkeypatch.setattr(record_job.Recorder, "one", failing)
    market, executor = wv.Market.open(folder), Counting()
    assert_same(wv.backtest(market, CONFIG, executor=executor), local)
    assert executor.recorded.count(("CC",)) == 1  # alone, after it had failed beside DD
    failures = 2
    far = wv.backtest(market, CONFIG, executor=Counting(), out=out)
    assert far.failures.rows() == [("CC", "OSError: the disk does not answer")]
    assert_frame_equal(far.records, without(folder, "CC").records, check_exact=True)
    again = Counting()
    assert_same(wv.backtest(market, CONFIG, executor=again, out=out), local)
    assert again.recorded == [("CC",)]
    assert not (out / "parts").exists()


def test_an_underlying_that_ends_its_workers_is_found_and_left_out(
    folder: Path, local: wv.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "grouped", lambda rest, *_: [list(rest)])  # one job
    executor = Deadly(record_job.RecordJob)
    far = wv.backtest(wv.Market.open(folder), CONFIG, executor=executor)
    assert far.failures["underlying"].to_list() == ["BB"]
    assert far.failures["error"][0].startswith("its worker ended 12 times in succession")
    assert_frame_equal(far.records, without(folder, "BB").records, check_exact=True)


def test_a_run_of_which_every_underlying_fails_is_an_error(lake: Path, threads: Executor) -> None:
    for symbol in SYMBOLS:
        damaged(lake, symbol)
    with pytest.raises(wv.WheelvecError, match=r"none of the underlyings .* AA: .*option_quotes"):
        wv.backtest(wv.Market.open(lake), CONFIG, executor=threads)


def test_a_market_of_frames_is_refused(threads: Executor) -> None:
    market = wv.demo_market(symbols=["AA"], start="2024-01-02", end="2024-02-29")
    with pytest.raises(wv.InputError, match=r"market is of frames.* write it with market.write"):
        wv.backtest(market, executor=threads)


# ---- resuming


def test_an_interrupted_backtest_is_continued(
    folder: Path, local: wv.Result, tmp_path: Path
) -> None:
    market, out = wv.Market.open(folder), tmp_path / "out"
    with pytest.raises(
        KeyboardInterrupt, match=r"^2 job results of the backtest kept in .*out; run"
    ):
        wv.backtest(market, CONFIG, executor=Counting(stop_after=2), out=out)
    with pytest.raises(KeyboardInterrupt, match="nothing is kept without out="):
        wv.backtest(market, CONFIG, executor=Counting(stop_after=2))
    other = CONFIG.replace(**{"put.exit_pct": 0.3})
    with pytest.raises(wv.LakeError, match=r"holds another result: .*other put.exit_pct"):
        wv.backtest(market, other, executor=Counting(), out=out)
    first, second = sorted((out / "parts").glob("wheelvec-*.part"))
    first.write_bytes(first.read_bytes()[:-1])  # cut by a full disk
    again = Counting()
    assert_same(wv.backtest(market, CONFIG, executor=again, out=out), local)
    assert sorted(sum(again.recorded, ())) in (["AA", "CC", "DD"], ["BB", "CC", "DD"])
    assert not (out / "parts").exists()
    assert not second.exists()


def test_parts_of_another_backtest_are_replaced_with_it(
    folder: Path, local: wv.Result, tmp_path: Path
) -> None:
    market, out = wv.Market.open(folder), tmp_path / "out"
    other = CONFIG.replace(**{"put.exit_pct": 0.3})
    with pytest.raises(KeyboardInterrupt):
        wv.backtest(market, other, executor=Counting(stop_after=2), out=out)
    (kept, _) = (out / "parts").glob("wheelvec-*.part")
    with pytest.raises(KeyboardInterrupt, match=r"^2 job results of"):
        wv.backtest(market, CONFIG, executor=Counting(stop_after=2), out=out, overwrite=True)
    assert not kept.exists()
    # a run without an executor needs no job results, and leaves none
    assert_same(wv.backtest(market, CONFIG, out=out), local)
    assert not (out / "parts").exists()


# ---- accounts

ACCOUNT = wv.Account(cash=80_000.0, fraction=0.5, order="random", seed=3, rate=0.04)


@pytest.fixture(scope="module")
def saved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[wv.Result]:
    """Two results: one was written during its run, one was saved afterwards."""
    out, market = tmp_path_factory.mktemp("saved"), wv.Market.open(folder)
    other = wv.backtest(market, CONFIG.replace(**{"put.exit_pct": 0.3}))
    other.save(out / "other")
    return [wv.backtest(market, CONFIG, out=out / "one"), other]


@pytest.mark.parametrize("executor", ["pool", "client"])
def test_an_account_on_an_executor_is_that_of_this_process(
    executor: str, saved: list[wv.Result], request: pytest.FixtureRequest
) -> None:
    local = wv.simulate(saved, ACCOUNT)
    assert local.wheels["taken"].n_unique() > 1
    far = wv.simulate(saved, ACCOUNT, executor=request.getfixturevalue(executor))
    for name in ("daily", "wheels", "skipped", "deltas", "ledger", "benchmarks", "events"):
        assert_frame_equal(getattr(far, name), getattr(local, name), check_exact=True)
    assert far.metrics() == local.metrics()
    assert (far.account, far.results) == (local.account, local.results)
    far.validate()


def test_an_error_of_an_account_is_that_of_this_process(
    saved: list[wv.Result], pool: Executor
) -> None:
    small = ACCOUNT.replace(fraction=0.001)
    with pytest.raises(wv.ConfigError) as local:
        wv.simulate(saved, small)
    with pytest.raises(wv.ConfigError) as far:
        wv.simulate(saved, small, executor=pool)
    assert str(far.value) == str(local.value)


def test_a_result_that_is_not_saved_is_refused(local: wv.Result, threads: Executor) -> None:
    with pytest.raises(wv.InputError, match=r"no worker .* save it with result.save\(folder\)"):
        wv.simulate(local, ACCOUNT, executor=threads)


def test_a_folder_with_another_result_than_the_one_that_was_read(
    saved: list[wv.Result], threads: Executor, tmp_path: Path
) -> None:
    one, other = saved
    one.save(tmp_path / "out")
    read = wv.Result.load(tmp_path / "out")
    other.save(tmp_path / "out", overwrite=True)
    with pytest.raises(wv.LakeError, match=r"out holds another result at worker .* than where"):
        wv.simulate(read, ACCOUNT, executor=threads)
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(wv.WheelvecError, match=r"no worker can be used: .* cannot read .*out: No"):
        wv.simulate(read, ACCOUNT, executor=threads)
