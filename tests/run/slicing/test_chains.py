"""Solved chains that a lake keeps: used for what they were made of, and for nothing else."""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from wheelvec.demo.synthetic import demo_tables
from wheelvec.lake import solved
from wheelvec.run.slicing import chains as runs
from wheelvec.stages import chain as stage

BASE: dict[str, Any] = {
    "schedule": {
        "start_date": dt.date(2024, 1, 2),
        "end_date": dt.date(2024, 2, 29),
        "symbols": ["BRVO"],
    }
}


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return dict(demo_tables(symbols=["BRVO"], start="2024-01-02", end="2024-05-31"))


@pytest.fixture
def lake(tables: dict[str, Any], tmp_path: Path) -> Path:
    wv.Market(**tables).write(tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def solving(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many contracts each call of the solver was given."""
    calls: list[int] = []

    def counted(mid: Any, *others: Any) -> None:
        calls.append(mid.size)
        solve(mid, *others)

    solve = stage.solve_chain
    monkeypatch.setattr(stage, "solve_chain", counted)
    return calls


def run(lake: Path, **changes: Any) -> wv.Result:
    return wv.backtest(wv.Market.open(lake), wv.Config.from_dict(BASE).replace(**changes))


def kept(lake: Path) -> list[Path]:
    return sorted((lake / solved.FOLDER).glob("*/*.parquet"))


def assert_same(found: wv.Result, expected: wv.Result) -> None:
    for kind in ("records", "ledger", "diagnostics", "call_diagnostics", "paths", "underlying"):
        assert getattr(found, kind).equals(getattr(expected, kind)), kind


def test_a_second_run_solves_nothing_and_gives_the_same_bits(
    lake: Path, tables: dict[str, Any], solving: list[int]
) -> None:
    first = run(lake)
    assert sum(solving) > 1000
    assert len(kept(lake)) == 5
    solving.clear()
    second = run(lake)
    assert not solving
    assert first.wheels.height > 100
    assert_same(second, first)
    assert_same(second, wv.backtest(wv.Market(**tables), wv.Config.from_dict(BASE)))


@pytest.mark.parametrize(
    "changes",
    [
        {"pricing.rate": 0.05},
        {"pricing.dividend_yield": 0.01},
        {"put.dte_max": 50},
        {"schedule.entry_time": "15:44"},
        {"liquidity.ivp_over": "chain"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_chain_made_under_other_rules_is_not_used(
    lake: Path, solving: list[int], changes: dict[str, Any]
) -> None:
    run(lake)
    before, asked, _ = len(kept(lake)), len(solving), solving.clear()
    run(lake, **changes)
    assert len(solving) == asked
    assert len(kept(lake)) == 2 * before


@pytest.mark.parametrize(
    "changes",
    [
        {"put.exit_pct": 0.25},
        {"call.dte_min": 13},
        {"put.dte_max": 44},
        {"put.delta_max": 0.4},
        {"fills.execution_seed": 7},
    ],
    ids=str,
)
def test_rules_that_no_chain_depends_on_share_it(
    lake: Path, solving: list[int], changes: dict[str, Any]
) -> None:
    run(lake)
    solving.clear()
    run(lake, **changes)
    assert not solving


def test_quotes_written_later_are_seen(
    lake: Path, tables: dict[str, Any], solving: list[int]
) -> None:
    run(lake)
    session = dt.date(2024, 1, 10)
    dearer = (
        tables["option_quotes"]
        .filter(pl.col("session") == session)
        .with_columns(pl.col("bid", "ask") * 1.1)
    )
    wv.Market(option_quotes=dearer, underlying_bars=tables["underlying_bars"]).write(lake)
    solving.clear()
    found = run(lake)
    assert len(solving) == 1, "only the month that changed is solved anew"
    rest = tables["option_quotes"].filter(pl.col("session") != session)
    changed = {**tables, "option_quotes": pl.concat([rest, dearer])}
    assert_same(found, wv.backtest(wv.Market(**changed), wv.Config.from_dict(BASE)))


def test_other_code_makes_its_own_chains(
    lake: Path, solving: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lake)
    before, _ = list(solving), solving.clear()
    monkeypatch.setattr(runs, "_code", lambda: "another version")
    run(lake)
    assert solving == before


@pytest.mark.parametrize("harm", ["cut", "altered", "replaced"])
def test_a_damaged_chain_is_made_anew(
    lake: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    first = run(lake)
    for path in kept(lake):
        held = path.read_bytes()
        middle = len(held) // 2
        flipped = held[:middle] + bytes([held[middle] ^ 1]) + held[middle + 1 :]
        path.write_bytes({"cut": held[:-9], "altered": flipped, "replaced": b"PAR1"}[harm])
    assert_same(run(lake), first)
    assert "was altered or cut" in caplog.text
    assert_same(run(lake), first)


def test_a_lake_that_cannot_be_written_keeps_nothing_and_fails_nothing(lake: Path) -> None:
    (lake / solved.FOLDER).write_text("no folder")  # for root, too, whom modes do not stop
    first = run(lake)
    assert first.wheels.height > 100
    assert (lake / solved.FOLDER).is_file()


def test_a_month_that_the_limits_cut_is_never_kept(lake: Path) -> None:
    wv.backtest(
        wv.Market.open(lake, start="2024-01-09"),
        wv.Config.from_dict(BASE).replace(**{"schedule.start_date": None}),
    )
    assert not [path for path in kept(lake) if path.name.startswith("2024-01")]


def test_the_oldest_of_many_give_way(lake: Path) -> None:
    for basis_points in range(12):
        run(lake, **{"pricing.rate": 0.03 + basis_points / 1e4})
    assert len(kept(lake)) == 5 * 8


def test_deleting_them_loses_nothing(lake: Path) -> None:
    first = run(lake)
    shutil.rmtree(lake / solved.FOLDER)
    assert_same(run(lake), first)
    assert "solved" not in repr(wv.Market.open(lake).diagnostics["table"].to_list())


@pytest.mark.parametrize("missing", [[0], [2], [4], [1, 3], [0, 1, 2, 3]])
def test_the_months_that_are_kept_and_those_that_are_not_join(
    lake: Path, solving: list[int], missing: list[int]
) -> None:
    first, solved_at_first = run(lake), sum(solving)
    paths = kept(lake)
    assert len(paths) == 5
    for month in missing:
        paths[month].unlink()
    solving.clear()
    assert_same(run(lake), first)
    assert 0 < sum(solving) < solved_at_first
    assert kept(lake) == paths
