"""The plan of a sweep: what it counts, what it does not read, and how it is shown."""

import json
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from wheelvec.run.cluster import distributed, surveying
from wheelvec.run.cluster.workers import Asked
from wheelvec.run.planned import Plan, in_bytes, in_time

GRID = {"put.exit_pct": [0.25, 0.5], "fills.execution_seed": [1, 2, 2]}
PLAN = Plan(100, 12, 3, 75_000, "exact", 4_200_000_000, 9, 2, 6.0, 60.0, 40.0, 10**9, 10**6)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    wv.demo_market(symbols=["ALFA", "BRVO", "CHRL"], end="2024-04-30").write(folder)
    return folder


def test_plan_counts_what_a_sweep_simulates(lake: Path) -> None:
    market = wv.Market.open(lake)
    plan = wv.plan(market, None, GRID)
    swept = wv.sweep(market, None, GRID)
    wheels = int(swept.frame.select(pl.sum_horizontal(pl.col("^csp_.*$")))[0].item())
    assert (plan.underlyings, plan.months, plan.slices) == (3, 4, 12)
    assert plan.configurations == 4  # two rows are equal to two others
    assert 4 * wheels / 3 < plan.cells < 3 * 4 * wheels
    assert plan.data == sum(market.sizes().values())
    assert plan.seconds > 0.0
    assert plan.survey > 0.0
    assert plan.memory > 400 * 2**20


def test_plan_states_the_order_statistics(lake: Path) -> None:
    market = wv.Market.open(lake)
    assert wv.plan(market, None, GRID, stats="moments").order_statistics == "none"
    assert wv.plan(market, None, GRID).order_statistics == "exact"


def test_many_cells_are_planned_in_bins(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = wv.Market.open(lake)
    cells = wv.plan(market, None, GRID).cells
    monkeypatch.setattr(distributed, "EXACT_CELLS", cells)
    assert wv.plan(market, None, GRID).order_statistics == "exact"
    monkeypatch.setattr(distributed, "EXACT_CELLS", cells - 1)
    assert wv.plan(market, None, GRID).order_statistics == "binned"


def test_plan_reads_only_the_underlying_that_it_times(lake: Path, tmp_path: Path) -> None:
    wv.Market.open(lake).write(tmp_path)
    market = wv.Market.open(tmp_path)
    sizes = market.sizes()
    timed = sorted(sizes, key=lambda name: (sizes[name], name))[1]
    for name in set(sizes) - {timed}:
        damaged = tmp_path / "option_quotes" / f"underlying={name}" / "2024-02.parquet"
        damaged.write_bytes(damaged.read_bytes()[:-20])
    assert wv.plan(market, None, GRID).underlyings == 3
    assert "digests" not in vars(market)


def test_many_small_underlyings_are_surveyed_by_several_jobs(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month takes some time however small its files are: 2,000 underlyings were two jobs."""
    market, asked = wv.Market.open(lake), list[Asked]()

    class Seen:
        def run(self, jobs: list[Asked]) -> list[Asked]:
            asked.extend(jobs)
            raise KeyboardInterrupt

    def cut(most: int) -> list[tuple[str, ...]]:
        asked.clear()
        monkeypatch.setattr(surveying, "SURVEYED", most)
        with pytest.raises(KeyboardInterrupt):
            surveying.survey(market, Seen(), market.sizes(), findings=True)  # type: ignore[arg-type]
        return [each.job.symbols for each in asked]

    assert cut(9 * surveying.MONTH) == [("ALFA", "BRVO"), ("CHRL",)]  # four months each
    assert cut(2**28) == [("ALFA", "BRVO", "CHRL")]


def test_plan_of_frames_says_to_write_them() -> None:
    market = wv.demo_market(symbols=["ALFA"], end="2024-02-29")
    with pytest.raises(wv.InputError, match=r"market\.write"):
        wv.plan(market, None, GRID)


def test_plan_refuses_what_a_sweep_refuses(lake: Path) -> None:
    market = wv.Market.open(lake)
    with pytest.raises(wv.ConfigError, match="exit_pct"):
        wv.plan(market, None, {"put.exit_pct": [-1.0]})
    with pytest.raises(wv.InputError, match="stats"):
        wv.plan(market, None, GRID, stats="all")
    with pytest.raises(wv.InputError, match="executor"):
        wv.plan(market, None, GRID, executor="tcp://localhost:8786")


def test_wall_time_is_that_of_the_longest_job_where_workers_wait_for_it() -> None:
    assert PLAN.wall == 3.0 + 40.0
    # one job and one underlying: one worker
    assert Plan(1, 1, 1, 1, "none", 1, 1, 8, 5.0, 60.0, 40.0, 1, 1).wall == 65.0


def test_plan_prints_itself() -> None:
    assert (
        str(PLAN)
        == """\
Plan of a sweep: 3 configurations, 100 underlyings
  data                     4.2 GB  files of these underlyings
  slices                    1,200  underlyings x 12 months
  cells                    75,000  wheels x configurations, estimated
  order statistics          exact  median and percentiles of ROC
  jobs                          9  2 at a time
  check of data             6.0 s  of processor time, estimated
  processor time          1.0 min  estimated from one job that was timed
  wall time                  43 s  estimated, while every worker is busy
  memory                   1.0 GB  of each worker, estimated
  returned                 1.0 MB  by all jobs, at most"""
    )
    assert max(map(len, str(PLAN).splitlines())) <= 80
    assert "<td" in PLAN._repr_html_()
    assert "9" in PLAN._repr_html_()
    assert json.loads(json.dumps(PLAN.to_dict()))["slices"] == 1200


def test_sizes_and_times_in_words() -> None:
    assert [in_bytes(size) for size in (0, 999, 1e3, 1e12)] == ["0 bytes", "999 bytes", "1.0 kB", "1.0 TB"]  # fmt: skip
    assert [in_time(t) for t in (9.96, 59.0, 3_599.0, 3_600.0, 172_799.0)] == ["10.0 s", "59 s", "60.0 min", "1.0 h", "48.0 h"]  # fmt: skip
