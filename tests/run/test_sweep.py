"""A sweep's frame is a loop over `backtest`, to the last bit, for whatever is swept."""

import datetime as dt
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.oracle import event_markets, markets
from tests.random_markets import config_of, market_of, random_case
from wheelvec.model.config import field_names
from wheelvec.model.errors import ConfigError
from wheelvec.model.grid import Grid
from wheelvec.run.engine import Engine
from wheelvec.run.plan import SYMBOL, WITHIN, YEAR, cut, endings, kept_apart
from wheelvec.run.results.store import SweepStore

NAMES = [*field_names(), "rules"]
CHEAP = {
    "put.exit_pct": [0.25, 0.5],
    "put.stop_loss_multiplier": [1.5, None],
    "fills.execution_seed": [1, 2, 3],
}


def row_of(config: wv.Config, **changes: Any) -> dict[str, Any]:
    """A configuration as a row of a grid's frame, every field spelt out."""
    row = {}
    for name in NAMES:
        section, _, field = name.partition(".")
        value = getattr(getattr(config, section), field) if field else config.rules
        row[name] = list(value) if isinstance(value, tuple) else value
    return row | changes


def random_rows(seed: int, count: int, market: wv.Market) -> list[dict[str, Any]]:
    """Configurations that agree on nothing, for the market of a seed."""
    rows = []
    for k in range(count):
        config = config_of(markets.random_config(1000 * seed + k, seed), market)
        rows.append(
            row_of(
                config, **{"pricing.rate": 0.01 * (k % 3), "pricing.dividend_yield": 0.01 * (k % 2)}
            )
        )
    return rows


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, infer_schema_length=None, schema_overrides={"fills.execution_seed": pl.UInt64}
    )


def differences(sweep: wv.Sweep, market: wv.Market, rows: Any = None) -> list[str]:
    """Where rows of the frame are not what a backtest of their configuration says."""
    found = []
    for i in range(sweep.frame.height) if rows is None else rows:
        row = sweep.frame.row(i, named=True)
        result = wv.backtest(market, sweep.row_config(i))
        expected = result.summary() | further_figures(result) | {"config_id": result.config.id}
        del expected["marked_pnl"]  # not among a sweep's figures
        found += [
            f"row {i} {name}: {row[name]!r} != {value!r}"
            for name, value in expected.items()
            if row[name] != value
        ]
    return found


def further_figures(result: wv.Result) -> dict[str, Any]:
    """The figures that a sweep adds to the summary, from the records and NumPy."""
    wheels = result.wheels
    inside = wheels.filter(pl.col("pnl_marked").is_not_null() & ~pl.col("censored"))
    roc = (100.0 * inside["pnl_marked"] / inside["initial_capital"]).to_numpy()
    figures: dict[str, Any] = {
        f"roc_p{p:02d}": float(np.percentile(roc, p)) if roc.size else None
        for p in (5, 25, 50, 75, 95)
    }
    for phase in ("csp", "cc"):
        reasons = Counter(result.records.filter(pl.col("phase") == phase)["exit_reason"])
        figures |= {
            f"{phase}_{name}": reasons[name]
            for name in ("stop_loss", "profit_target", "max_hold_dte", "open", "no_data")
        }
        figures |= {
            f"{phase}_{name}": reasons[name]
            for name in ("expired_worthless", "corporate_action", "suspected_split")
        }
    ends = Counter(wheels["end_reason"])
    return (
        figures
        | {
            f"end_{name}": ends[name]
            for name in ("put_closed", "put_expired", "called_away", "max_cycles", "unresolved")
        }
        | {"end_corporate_action": ends["corporate_action"]}
    )


@pytest.mark.parametrize("seed", range(12))
def test_random_grids_equal_backtests(seed: int) -> None:
    tables, _ = random_case(seed)
    market = market_of(tables)
    sweep = wv.sweep(market, None, frame_of(random_rows(seed, 6, market)), threads=1)
    assert differences(sweep, market) == []


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    seed=st.integers(100, 2**20),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
)
def test_products_over_any_fields_equal_backtests(seed: int, names: list[str]) -> None:
    """The values of a field are those of two configurations; rows whose ranges are empty are left
    out.
    """
    tables, sections = random_case(seed)
    market = market_of(tables)
    first = row_of(config_of(sections, market))
    second = row_of(config_of(markets.random_config(seed + 1, seed), market))
    base = config_of(sections, market)
    grid: dict[str, list[Any]] = {}
    for name in names:
        values = [first[name], second[name]]
        grid[name] = values[:1] if values[0] == values[1] else values
    try:
        sweep = wv.sweep(market, base, grid, threads=2)
    except wv.WheelvecError as error:
        assert "cannot be run" in str(error)  # noqa: PT017
        return
    assert differences(sweep, market) == []


def scattered(seed: int, rows: int) -> tuple[wv.Market, wv.Config, pl.DataFrame]:
    """Rows that each take some fields of one configuration and the others of another: some sell the
    same puts under other exits and calls, some other puts under the same.
    """
    tables, sections = random_case(seed)
    market, rng = market_of(tables), np.random.default_rng(seed)
    base, other = (
        config_of(sections, market),
        config_of(markets.random_config(seed + 1, seed), market),
    )
    changes = base.replace(**{"put.exit_pct": 0.5, "fills.use_probabilistic_exit_fills": True})
    pair = [row_of(changes), row_of(other)]
    plain = [
        name for name in NAMES if not name.startswith("pricing")
    ]  # a rate may be a number or a curve
    names = rng.choice(plain, 12, replace=False).tolist()
    found = []
    for take in rng.integers(0, 2, (rows, len(names))).tolist():
        row = {name: pair[which][name] for name, which in zip(names, take, strict=True)}
        try:
            changes.replace(
                **{name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
            )
        except wv.WheelvecError:  # an empty range
            continue
        found.append(row)
    return market, changes, frame_of(found).select(names)


@pytest.mark.parametrize("seed", range(200, 206))
def test_scattered_rows_equal_backtests(seed: int) -> None:
    market, base, grid = scattered(seed, 60)
    sweep = wv.sweep(market, base, grid, threads=1)
    assert differences(sweep, market, range(0, grid.height, 11)) == []


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("one_at_a_time", [True, False])
def test_exit_products_equal_backtests(rules: str, one_at_a_time: bool) -> None:
    """More targets than are scanned one by one, stops, holds, draws, and calls that take the put's
    target.
    """
    grid = {
        "put.exit_pct": np.linspace(0.02, 0.98, 11),
        "put.stop_loss_multiplier": [1.2, None, 2.0, 1.5],
        "fills.pfill_scale": [0.2, 1.4],
        "put.max_hold_dte": [None, 3],
    }
    for seed in (3, 4):
        tables, sections = random_case(
            seed, rules=rules, schedule__allow_multiple_wheels_per_symbol=not one_at_a_time, call__exit_pct=None,
            call__max_cycles=3, call__call_wait_sessions=2,
        )  # fmt: skip
        market = market_of(tables)
        sweep = wv.sweep(market, config_of(sections, market), grid)
        assert differences(sweep, market, range(0, sweep.frame.height, 7)) == []


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("seed", range(8))
def test_exit_products_equal_backtests_where_events_happen(seed: int, rules: str) -> None:
    """Splits, renames, special dividends, reverse and suspected splits while wheels are open."""
    market = market_of(event_markets.random_event_market(seed))
    base = config_of(event_markets.random_event_config(seed, rules), market)
    changes = {"schedule.allow_multiple_wheels_per_symbol": seed % 3 != 0, "call.max_cycles": 2}
    grid = {
        "put.exit_pct": [0.05, 0.3, 0.6] if seed % 2 else np.linspace(0.05, 0.9, 10),
        "put.stop_loss_multiplier": [1.5, None],
        "put.max_hold_dte": [None, 3],
        "call.exit_pct": [None, 0.2],
    }
    sweep = wv.sweep(market, base.replace(**changes), grid)
    assert differences(sweep, market, range(seed % 5, sweep.frame.height, 9)) == []


@pytest.fixture(scope="module")
def small() -> tuple[wv.Market, wv.Config]:
    tables, sections = random_case(5)
    market = market_of(tables)
    return market, config_of(sections, market).replace(
        **{"fills.use_probabilistic_exit_fills": True, "put.exit_pct": 0.5}
    )


def test_threads_order_and_chunks_change_no_bit(
    small: tuple[wv.Market, wv.Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    market, base = small
    grid = {
        "put.exit_pct": np.linspace(0.1, 0.9, 9),
        "put.stop_loss_multiplier": np.linspace(1.1, 3.0, 9),
        "fills.execution_seed": [7, 8],
    }
    frame = wv.sweep(market, base, grid, threads=1).frame
    monkeypatch.setattr("wheelvec.run.plan.TASK", 20_000)
    monkeypatch.setattr("wheelvec.stages.parameters.BLOCK", 16)
    assert_frame_equal(wv.sweep(market, base, grid, threads=2).frame, frame, check_exact=True)
    monkeypatch.setattr("wheelvec.run.engine.CHUNK", 13)
    assert_frame_equal(wv.sweep(market, base, grid, threads=2).frame, frame, check_exact=True)
    names = list(grid)
    shuffled = frame.select(names).sample(fraction=1.0, shuffle=True, seed=1)
    again = wv.sweep(market, base, shuffled, threads=1).frame
    assert_frame_equal(again.sort(names), frame.sort(names), check_exact=True)


@pytest.fixture(scope="module")
def several() -> wv.Market:
    """Enough underlyings that each of three threads has some to itself."""
    return wv.demo_market(
        symbols=("AA", "BB", "CC", "DD", "EE", "FF"), start="2024-01-03", end="2024-05-31"
    )


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("kept", [2**24, 10_000])
@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_few_rows_over_several_underlyings_are_the_same_to_the_bit(
    several: wv.Market,
    one_at_a_time: bool,
    kept: int,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each underlying is gone through by itself, and underlyings are merged in order; of
    entry rules that differ each has separate memory for its values.
    """
    monkeypatch.setattr("wheelvec.run.plan.KEPT", kept)
    base = wv.Config(
        schedule=wv.Schedule(
            start_date="2024-01-03",
            end_date="2024-04-30",
            allow_multiple_wheels_per_symbol=not one_at_a_time,
        )
    )
    grid = {
        "put.exit_pct": [0.02, 0.5],
        "put.stop_loss_multiplier": [1.5, None],
        "put.delta_max": [0.3, 0.6],
        "costs.commission_per_contract": [0.65, 5000.0],  # at which no wheel gains
    }
    assert kept_apart(threads, 16, 6)
    alone, shared = (wv.sweep(several, base, grid, threads=count) for count in (1, threads))
    assert shared.frame["total_wheels"].min() > 0
    assert_frame_equal(shared.frame, alone.frame, check_exact=True)
    assert_frame_equal(shared.periods(), alone.periods(), check_exact=True)
    np.testing.assert_array_equal(shared.pnl().values, alone.pnl().values)


@pytest.mark.parametrize("stats", ["moments", "full"])
def test_a_calendar_without_an_entry_gives_no_wheel(
    small: tuple[wv.Market, wv.Config], stats: str
) -> None:
    market, base = small
    none = base.replace(**{"schedule.offset": 5000})
    on_progress: list[tuple[int, int, int]] = []
    sweep = wv.sweep(
        market,
        none,
        {"put.exit_pct": [0.3, 0.5]},
        stats=stats,
        progress=lambda *now: on_progress.append(now),
    )
    assert sweep.frame["total_wheels"].to_list() == [0, 0]
    assert stats == "moments" or not differences(
        sweep, market, range(2)
    )  # a backtest has the median too
    assert all(done <= 2 and cells == 0 for done, _, cells in on_progress)
    assert sweep.periods().columns == ["row", "period", "wheels", "pnl", "capital"]
    assert sweep.periods().height == 0
    assert sweep.pnl().values.shape == (0, 2)
    assert sweep.pnl().wheels.columns == ["underlying", "entry_date", "put_symbol"]


@pytest.mark.parametrize("stats", ["moments", "full"])
def test_a_market_without_quotes_gives_no_wheel(
    small: tuple[wv.Market, wv.Config], stats: str
) -> None:
    whole = small[0]
    market = wv.Market(
        option_quotes=whole.option_quotes.clear(), underlying_bars=whole.underlying_bars
    )
    first, last = whole.data_range or (None, None)
    schedule = wv.Schedule(start_date=first, end_date=last)
    when = pl.DataFrame({"session": [first], "underlying": ["ALFA"]})
    config, grid = wv.Config(schedule=schedule), {"put.exit_pct": [0.3, 0.5]}
    for more in ({}, {"when": when}):
        swept = wv.sweep(market, config, grid, stats=stats, **more)
        assert swept.frame["total_wheels"].to_list() == [0, 0]
        assert stats == "moments" or not differences(swept, market, range(2))
        assert swept.warnings[0].code == "no_wheels"
    assert wv.bounds(market, config)["total_wheels"].to_list() == [0] * 8


def test_each_task_sorts_what_its_own_configurations_have(
    several: wv.Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entry rules launch different numbers of wheels, and so leave different amounts of memory unused; where
    slices are not held together, all is sorted at the end.
    """
    base = wv.Config(schedule=wv.Schedule(start_date="2024-01-03", end_date="2024-03-28"))
    grid = {
        "put.delta_max": [0.25, 0.3, 0.6],
        "put.exit_pct": [0.02, 0.3, 0.5, 0.7],
        "fills.execution_seed": range(6),
    }
    frame = wv.sweep(several, base, grid, threads=1).frame
    assert frame["total_wheels"].n_unique() > 2
    assert frame["roc_p25"].n_unique() > 12
    monkeypatch.setattr("wheelvec.stages.parameters.BLOCK", 8)
    monkeypatch.setattr("wheelvec.run.plan.FEW", 1)
    monkeypatch.setattr("wheelvec.run.work.SORTED", 1)
    for threads, memory in ((1, 2**30), (2, 2**30), (2, 2**20)):
        again = wv.sweep(several, base, grid, threads=threads, memory=memory).frame
        assert_frame_equal(again, frame, check_exact=True)


def test_figures_are_kept_apart_where_they_are_few() -> None:
    assert 8 <= kept_apart(4, 2000, 100) < 100  # a batch of all would take too much memory
    assert kept_apart(1, 100, 4) == 0
    assert kept_apart(3, 100, 4) == 0  # too few underlyings to share
    assert kept_apart(2, 10_000, 4) == 0


def test_figures_are_folded_by_year_then_by_underlying() -> None:
    """The results of the jobs of a sweep can be merged to the bit."""
    market = wv.demo_market(symbols=("ALFA", "BRVO", "CHRL"), start="2023-10-02", end="2024-03-28")
    grid = {"put.exit_pct": [0.3, 0.5], "put.stop_loss_multiplier": [1.7, None]}
    whole = wv.sweep(market, None, grid)
    total, marked = np.zeros(4), np.zeros(4)
    for symbol in market.symbols:
        config = wv.Config(schedule=wv.Schedule(symbols=(symbol,)))
        alone = wv.sweep(market, config, grid)
        years = alone.periods("1y").sort("row", "period")["pnl"].to_numpy().reshape(4, 2)
        np.testing.assert_array_equal(years[:, 0] + years[:, 1], alone.frame["total_pnl"])
        total += years[:, 0] + years[:, 1]
        marked += alone.frame["marked_pnl"].to_numpy()
    np.testing.assert_array_equal(whole.frame["total_pnl"], total)
    np.testing.assert_array_equal(whole.frame["marked_pnl"], marked)
    for row in range(4):
        assert whole.result(row).summary()["total_pnl"] == total[row]


def test_what_ends_with_each_slice() -> None:
    months = [(dt.date(2023, 12, 1), "A"), (dt.date(2024, 1, 1), "A"), (dt.date(2024, 2, 1), "A")]
    months += [(dt.date(2024, 3, 1), "B")]
    ends = endings([(month, 0, 1) for month in months])
    assert [ends[month] for month in months] == [YEAR, WITHIN, SYMBOL, SYMBOL]
    assert endings([]) == {}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_small_sweep_too_is_shared_evenly(
    small: tuple[wv.Market, wv.Config], threads: int
) -> None:
    market, base = small
    grid = Grid.read(
        base, {"put.exit_pct": np.linspace(0.1, 0.9, 30), "fills.execution_seed": range(20)}
    )
    engine = Engine(market, grid, ordered=False, threads=threads, memory=2**30)
    ((work, _),) = engine._works(np.arange(grid.size))
    sizes = [int(np.ptp(work.plan.config_starts[list(task)])) for task in work._ranges]
    assert len(sizes) == threads
    assert sum(sizes) == grid.size
    assert max(sizes) - min(sizes) <= 0.02 * grid.size


@pytest.mark.parametrize(
    ("blocks", "threads", "milliseconds", "parts"),
    [
        (6, 1, 1, 1),
        (6, 2, 1, 2),
        (6, 2, 24, 6),  # two for each do not come out even
        (10_000, 2, 1000, 20),  # none much longer than fifty
        (10_000, 2, 60, 8),
        (1, 2, 60, 1),
        (7, 2, 60, 7),
    ],
)
def test_how_many_ranges_there_are(
    blocks: int, threads: int, milliseconds: int, parts: int
) -> None:
    ranges = cut(np.full(blocks, milliseconds * 1_000_000 // blocks), threads)
    assert len(ranges) == parts
    assert [first for first, _ in ranges] == [0, *(last for _, last in ranges[:-1])]
    assert ranges[-1][1] == blocks


@pytest.mark.parametrize("seed", range(8))
def test_there_is_room_for_every_wheel(seed: int) -> None:
    """A kernel that wrote more would write past its arrays."""
    market = market_of(random_case(seed)[0])
    rows = frame_of(random_rows(seed, 8, market))
    launched = wv.sweep(market, None, rows, threads=1).frame.select(
        pl.sum_horizontal(pl.col("^csp_.*$"))
    )
    for i, count in enumerate(launched.to_series()):
        engine = Engine(
            market, Grid.read(wv.Config(), rows[i]), ordered=True, threads=1, memory=2**30
        )
        (most,) = (engine.context.bounds(case).wheels for case in engine.context.chain_keys)
        assert sum(most.values()) >= count


def test_little_memory_gives_the_same_frame(small: tuple[wv.Market, wv.Config]) -> None:
    market, base = small
    assert_frame_equal(
        wv.sweep(market, base, CHEAP, memory=1).frame,
        wv.sweep(market, base, CHEAP).frame,
        check_exact=True,
    )


def test_rates_by_session_are_swept(small: tuple[wv.Market, wv.Config]) -> None:
    market, base = small
    curve = [(dt.date(2020, 1, 1), 0.05), (dt.date(2023, 11, 1), 0.01)]
    sweep = wv.sweep(
        market,
        base,
        {"pricing.rate": [0.0, curve, 0.04], "liquidity.ivp_over": ["chain", "candidates"]},
    )
    assert differences(sweep, market) == []


def test_changing_the_target_changes_no_draw() -> None:
    market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-06-28")
    sweep = wv.sweep(
        market, wv.Config(schedule=wv.Schedule(end_date="2024-03-28")), {"put.exit_pct": [0.4, 0.6]}
    )
    legs = [sweep.result(i).records.filter(pl.col("phase") == "csp") for i in (0, 1)]
    both = (
        legs[0]
        .join(legs[1], on="wheel_id", suffix="_other")
        .filter(pl.col("touch_count") == pl.col("touch_count_other"))
    )
    drawn = both.drop_nulls("u_fill_profit_target")
    assert drawn.height > 20
    assert (drawn["u_fill_profit_target"] == drawn["u_fill_profit_target_other"]).all()


def test_equal_rows_are_computed_once(small: tuple[wv.Market, wv.Config]) -> None:
    market, base = small
    grid = pl.DataFrame({"put.exit_pct": [0.5, 0.3, 0.5], "call.max_cycles": [None, 1, None]})
    sweep = wv.sweep(market, base, grid)
    assert "2 distinct" in repr(sweep)
    assert sweep.frame.row(0) == sweep.frame.row(2)
    assert sweep.row_config(0).call.max_cycles is None


def test_moments_leave_the_order_statistics_out(small: tuple[wv.Market, wv.Config]) -> None:
    market, base = small
    full, moments = (
        wv.sweep(market, base, CHEAP, stats=stats).frame for stats in ("full", "moments")
    )
    left_out = [name for name in full.columns if name not in moments.columns]
    assert left_out == ["median_wheel_roc", "roc_p05", "roc_p25", "roc_p50", "roc_p75", "roc_p95"]
    assert_frame_equal(full.drop(left_out), moments, check_exact=True)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"put.exit": [1]}, "unknown field 'put.exit'.*did you mean 'put.exit_pct'"),
        ({"put.exit_pct": 0.5}, r"grid\['put.exit_pct'\] = 0.5: expected a list"),
        ({"put.exit_pct": []}, "is empty: expected at least one value"),
        (
            {"put.exit_pct": [0.5, 7.0]},
            "1 of 2 rows cannot be run: row 1: put.exit_pct = 7.0: expected a number from 0.0 to 1.0",
        ),
        (
            {"put.dte_min": [3, 90], "put.dte_max": [5, 95]},
            "row 2: put.dte_min = 90 is above put.dte_max = 5",
        ),
        ({"schedule.symbols": [["NONE"]]}, "row 0: unknown symbol 'NONE'"),
        (
            {"schedule.start_date": ["2199-01-01"], "schedule.end_date": [None]},
            "row 0: entries from 2199-01-01 to",
        ),
        (
            {"pricing.rate": [[("2199-01-01", 0.04)]]},
            "row 0: pricing.rate starts on 2199-01-01: expected a value on or before",
        ),
        (
            {"call.select": ["closest_delta"], "call.tie_break_method": ["highest_strike"]},
            "names the field .* a second time",
        ),
        ([0.5], "grid is a list: expected a mapping"),
        (
            pl.DataFrame({"put.exit_pct": []}, schema={"put.exit_pct": pl.Float64}),
            "the grid has no row",
        ),
    ],
)
def test_what_cannot_be_run_is_named(
    small: tuple[wv.Market, wv.Config], grid: Any, message: str
) -> None:
    with pytest.raises(wv.WheelvecError, match=message):
        wv.sweep(*small, grid)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"stats": "all"}, "unknown stats 'all'.*allowed: full, moments"),
        ({"threads": 0}, "threads = 0: expected a whole number of at least 1"),
        ({"memory": 0.5}, "memory = 0.5: expected a whole number"),
    ],
)
def test_arguments_are_checked(
    small: tuple[wv.Market, wv.Config], argument: dict[str, Any], message: str
) -> None:
    with pytest.raises(wv.WheelvecError, match=message):
        wv.sweep(*small, CHEAP, **argument)


def test_pnl_and_periods_are_those_of_the_backtests(
    small: tuple[wv.Market, wv.Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    market, base = small
    monkeypatch.setattr("wheelvec.run.engine.CHUNK", 5)
    grid = {
        **CHEAP,
        "put.delta_max": [0.3, 0.9],
        "schedule.allow_multiple_wheels_per_symbol": [True, False],
        "put.delta_min": [0.1],
    }
    sweep = wv.sweep(market, base, grid)
    pnl, periods = sweep.pnl(), sweep.periods()
    assert pnl.values.dtype == np.float32
    key = ["underlying", "entry_date", "put_symbol"]
    for i in range(0, sweep.frame.height, 5):
        wheels = sweep.result(i).wheels.filter(
            pl.col("pnl_marked").is_not_null() & ~pl.col("censored")
        )
        mine = pnl.wheels.with_columns(pnl=pl.Series(pnl.values[:, i])).filter(
            pl.col("pnl").is_not_nan()
        )
        expected = wheels.select(*key, pnl=pl.col("pnl_marked").cast(pl.Float32))
        assert_frame_equal(mine.sort(key), expected.sort(key), check_exact=True)
        by_month = wheels.group_by(period=pl.col("entry_date").dt.truncate("1mo")).agg(
            wheels=pl.len().cast(pl.Int64),
            pnl=pl.col("pnl_marked").sum(),
            capital=pl.col("initial_capital").sum(),
        )
        some = periods.filter((pl.col("row") == i) & (pl.col("wheels") > 0)).drop("row")
        assert_frame_equal(some, by_month.sort("period"))
    quarters = sweep.periods("1q")
    assert (
        quarters["wheels"].sum() == periods["wheels"].sum() == sweep.frame["total_wheels"].sum() > 0
    )


def test_large_pnl_is_mapped_from_a_file(small: tuple[wv.Market, wv.Config]) -> None:
    in_memory, mapped = (wv.sweep(*small, CHEAP, memory=memory).pnl() for memory in (2**30, 64))
    assert isinstance(mapped.values, np.memmap)
    assert not isinstance(in_memory.values, np.memmap)
    np.testing.assert_array_equal(mapped.values, in_memory.values)


def test_over_seeds_sums_up_what_the_seeds_gave(small: tuple[wv.Market, wv.Config]) -> None:
    sweep = wv.sweep(*small, CHEAP)
    bands = sweep.over_seeds()
    assert bands.height == 4
    assert bands["seeds"].to_list() == [3] * 4
    some = sweep.frame.filter(
        (pl.col("put.exit_pct") == 0.5) & pl.col("put.stop_loss_multiplier").is_null()
    )["avg_wheel_roc"]
    row = bands.filter(
        (pl.col("put.exit_pct") == 0.5) & pl.col("put.stop_loss_multiplier").is_null()
    )
    assert row["avg_wheel_roc"].item() == pytest.approx(some.mean())
    assert row["avg_wheel_roc_fill_se"].item() == pytest.approx(some.std() / np.sqrt(3))
    assert row["avg_wheel_roc_p95"].item() == pytest.approx(np.percentile(some, 95))


def test_differences_are_taken_on_common_draws(small: tuple[wv.Market, wv.Config]) -> None:
    sweep = wv.sweep(*small, CHEAP)
    against = sweep.over_seeds(against=0)
    reference = against.filter(
        (pl.col("put.exit_pct") == 0.25) & (pl.col("put.stop_loss_multiplier") == 1.5)
    )
    assert reference["total_pnl"].item() == 0.0
    assert reference["total_pnl_fill_se"].item() == 0.0
    pnl = sweep.frame["total_pnl"].to_numpy().reshape(4, 3)
    gaps = pnl[3] - pnl[0]
    last = against.row(3, named=True)
    assert last["total_pnl"] == pytest.approx(gaps.mean())
    assert last["total_pnl_fill_se"] == pytest.approx(np.std(gaps, ddof=1) / np.sqrt(3))


def test_over_seeds_needs_seeds(small: tuple[wv.Market, wv.Config]) -> None:
    with pytest.raises(wv.WheelvecError, match=r"does not sweep 'fills.execution_seed'"):
        wv.sweep(*small, {"put.exit_pct": [0.5]}).over_seeds()


def test_best_is_sorted_and_checked(small: tuple[wv.Market, wv.Config]) -> None:
    sweep = wv.sweep(
        *small, {name: CHEAP[name] for name in ("put.exit_pct", "put.stop_loss_multiplier")}
    )
    best = sweep.best("total_pnl", 3)
    assert best["total_pnl"].to_list() == sorted(sweep.frame["total_pnl"], reverse=True)[:3]
    assert sweep.row_config(best["row"][0]).id == best["config_id"][0]
    assert best.columns[:4] == ["row", "put.exit_pct", "put.stop_loss_multiplier", "total_pnl"]
    assert set(best.columns) == {"row", *sweep.frame.columns}
    with pytest.raises(wv.WheelvecError, match="unknown figure 'pnl'"):
        sweep.best("pnl")
    with pytest.raises(wv.WheelvecError, match="i = 4: expected a row from 0 to 3"):
        sweep.result(4)


def test_best_ranks_means_over_the_seeds_and_one_rule_set(
    small: tuple[wv.Market, wv.Config],
) -> None:
    sweep = wv.sweep(*small, {"rules": ["v5", "ledger"], **CHEAP})
    means = sweep.over_seeds().filter(pl.col("rules") == "ledger")
    best = sweep.best("total_pnl", 10)
    assert best["total_pnl"].to_list() == sorted(means["total_pnl"], reverse=True)
    assert best["seeds"].to_list() == [3] * 4
    assert set(best["rules"]) == {"ledger"}
    for row, target in best.select("row", "put.exit_pct").iter_rows():
        config = sweep.row_config(row)
        assert (config.rules, config.put.exit_pct, config.fills.execution_seed) == (
            "ledger",
            target,
            1,
        )
    assert set(sweep.best(rules="v5")["rules"]) == {"v5"}
    with pytest.raises(wv.WheelvecError, match="unknown rule set of the sweep 'v4'"):
        sweep.best(rules="v4")


@pytest.mark.parametrize("width", [80, 120])
def test_best_prints_what_is_swept_and_six_figures(
    small: tuple[wv.Market, wv.Config], width: int
) -> None:
    best = wv.sweep(*small, {"rules": ["v5", "ledger"], **CHEAP}).best(n=2)
    text = best.text(width)
    assert max(map(len, text.splitlines())) <= width
    assert "rule set ledger alone, not against v5" in " ".join(text.split())
    assert "each the mean over its seeds" in " ".join(text.split())
    for word in (
        "exit pct",
        "multiplier",
        "avg wheel roc",
        "total wheels",
        "total pnl",
        "win rate",
        "drawdown",
        "worst",
    ):
        assert word in text, word
    assert str(best).splitlines()[0].startswith("The greatest avg_wheel_roc of 4 configurations")
    assert "<p>The greatest avg_wheel_roc" in best._repr_html_()
    assert isinstance(best.select("row"), pl.DataFrame)
    assert "of 1 configuration (" in wv.sweep(*small, {"put.exit_pct": [0.5]}).best().note


def test_saved_and_loaded(small: tuple[wv.Market, wv.Config], tmp_path: Path) -> None:
    market, base = small
    grid = {
        "schedule.weekdays": [[1, 2], None],
        "fills.execution_seed": [2**64 - 1, 0],
        "pricing.rate": [0.01, [("2020-01-01", 0.02)]],
    }
    sweep = wv.sweep(market, base, grid)
    sweep.save(tmp_path / "s")
    loaded = wv.Sweep.load(tmp_path / "s")
    assert_frame_equal(loaded.frame, sweep.frame, check_exact=True)
    assert [loaded.row_config(i).id for i in range(8)] == sweep.frame["config_id"].to_list()
    with pytest.raises(wv.WheelvecError, match=r"Sweep\.load\(folder, market="):
        loaded.result(0)
    again = wv.Sweep.load(tmp_path / "s", market)
    assert again.result(3).records.equals(sweep.result(3).records)
    with pytest.raises(wv.WheelvecError, match="the market given holds"):
        wv.Sweep.load(tmp_path / "s", market_of(random_case(6)[0]))
    (tmp_path / "s" / "frame.parquet").write_bytes(b"")
    with pytest.raises(wv.WheelvecError, match=r"frame\.parquet: altered"):
        wv.Sweep.load(tmp_path / "s")


def test_what_was_finished_is_continued(
    small: tuple[wv.Market, wv.Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, base = small
    monkeypatch.setattr("wheelvec.run.engine.CHUNK", 5)
    expected = wv.sweep(market, base, CHEAP).frame
    ran: list[int] = []

    def stop(done: int, total: int, cells: int) -> None:
        ran.append(done)
        if done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(
        KeyboardInterrupt, match=r"5 of 12 configurations are kept in .*run the same sweep again"
    ):
        wv.sweep(
            market, base, CHEAP, out=tmp_path / "s", progress=lambda d, t, c: stop(d - 1, t, c)
        )
    with pytest.raises(wv.WheelvecError, match="the sweep is not finished"):
        wv.Sweep.load(tmp_path / "s")
    again: list[int] = []
    sweep = wv.sweep(
        market, base, CHEAP, out=tmp_path / "s", progress=lambda d, t, c: again.append(d)
    )
    assert again[0] > 5
    assert_frame_equal(sweep.frame, expected, check_exact=True)
    assert_frame_equal(wv.Sweep.load(tmp_path / "s").frame, expected, check_exact=True)
    assert not (tmp_path / "s" / "chunks").exists()
    third: list[int] = []
    wv.sweep(market, base, CHEAP, out=tmp_path / "s", progress=lambda d, t, c: third.append(d))
    assert third == []


def test_a_signal_that_comes_as_a_chunk_is_kept_counts_it(
    small: tuple[wv.Market, wv.Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, base = small
    keep = SweepStore.keep

    def interrupted(store: SweepStore, start: int, frame: pl.DataFrame) -> None:
        keep(store, start, frame)
        raise KeyboardInterrupt

    monkeypatch.setattr(SweepStore, "keep", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"[1-9]\d* of 12 configurations are kept in "):
        wv.sweep(market, base, CHEAP, out=tmp_path / "s")


def test_another_sweep_in_the_folder_is_refused(
    small: tuple[wv.Market, wv.Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, base = small
    out = tmp_path / "s"
    wv.sweep(market, base, CHEAP, out=out)
    with pytest.raises(wv.WheelvecError, match="its grid has other rows"):
        wv.sweep(market, base, {**CHEAP, "put.exit_pct": [0.1]}, out=out)
    with pytest.raises(
        wv.WheelvecError, match=r"base configuration has other costs.commission_per_contract"
    ):
        wv.sweep(market, base.replace(**{"costs.commission_per_contract": 9.0}), CHEAP, out=out)
    with pytest.raises(wv.WheelvecError, match="with stats='full', asked for 'moments'"):
        wv.sweep(market, base, CHEAP, out=out, stats="moments")
    with pytest.raises(wv.WheelvecError, match="swept over data"):
        wv.sweep(
            market_of(random_case(6)[0]), base.replace(**{"schedule.symbols": None}), CHEAP, out=out
        )
    monkeypatch.setattr("wheelvec.run.results.store.VERSION", "9.9")
    with pytest.raises(wv.WheelvecError, match=r"made by wheelvec .*, this is 9"):
        wv.sweep(market, base, CHEAP, out=out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(wv.WheelvecError, match=r"holds thesis\.txt, which is not of a saved sweep"):
        wv.sweep(market, base, CHEAP, out=tmp_path / "other")


def test_no_thread_is_left(small: tuple[wv.Market, wv.Config]) -> None:
    before = threading.active_count()
    wv.sweep(*small, CHEAP, threads=2)
    assert threading.active_count() == before


def test_a_row_that_chooses_by_a_target_it_lacks_is_named() -> None:
    market = market_of(random_case(3)[0])
    with pytest.raises(
        ConfigError,
        match=r"row 1: put.select = 'closest_otm' needs put.otm_target, and it is not set",
    ):
        wv.sweep(market, None, {"put.select": ["all", "closest_otm"]})
    with pytest.raises(
        ConfigError, match=r"put.select = 'closest_premium' needs put.premium_target"
    ):
        wv.PutRules(select="closest_premium")
