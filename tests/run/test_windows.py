"""A backtest goes window by window: nothing of its result depends on how long they are, and wheels
that hold shares at the end of one go on in the next.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

import wheelvec as wv
from tests.oracle import event_markets
from tests.random_markets import config_of, market_of, random_case, seeds
from wheelvec.model.grid import Grid
from wheelvec.run import windows
from wheelvec.run.context import Context
from wheelvec.run.recorder import Recorder

FRAMES = ("records", "ledger", "diagnostics", "call_diagnostics", "paths", "underlying")
LENGTHS = (1, 3, 12)  # months
ALL = 12 * 10_000
Resumed = list[int]


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> Resumed:
    """How many wheels went on, window by window."""
    counts: Resumed = []
    resume = Recorder._resume

    def counted(self: Recorder, held: Any, window: Any, wheels: Any, *rest: Any) -> Any:
        counts.append(wheels.carried.size)
        return resume(self, held, window, wheels, *rest)

    monkeypatch.setattr(Recorder, "_resume", counted)
    return counts


@pytest.fixture
def run_in_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[wv.Market, wv.Config, int], wv.Result]:
    def run(market: wv.Market, config: wv.Config, months: int) -> wv.Result:
        monkeypatch.setattr(windows, "MONTHS", months)
        return wv.backtest(market, config, threads=1)

    return run


Run = Callable[[wv.Market, wv.Config, int], wv.Result]


def compare(run: Run, market: wv.Market, config: wv.Config) -> None:
    """Every length gives the frames and the figures of one window, to the bit."""
    whole = run(market, config, ALL)
    whole.validate()
    for months in LENGTHS:
        cut = run(market, config, months)
        for name in FRAMES:
            assert getattr(cut, name).equals(getattr(whole, name)), (months, name)
        assert cut.summary() == whole.summary(), months


# Assignments are many, and legs shorter than a month, so that wheels outlast their window.
SHORT = {
    "put.dte_min": 3,
    "put.dte_max": 14,
    "put.delta_min": 0.4,
    "put.delta_max": 0.6,
    "put.exit_pct": 0.05,
    "put.stop_loss_multiplier": None,
    "call.dte_min": 3,
    "call.dte_max": 14,
    "call.delta_max": 0.5,
}


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("alone", [False, True], ids=["many", "one_at_a_time"])
@pytest.mark.parametrize("cycles", [None, 1, 3])
def test_windows_change_nothing(
    run_in_windows: Run, resumed: Resumed, rules: str, alone: bool, cycles: int | None
) -> None:
    changes: dict[str, Any] = {
        **SHORT,
        "rules": rules,
        "call.max_cycles": cycles,
        "call.call_wait_sessions": 4,
        "schedule.allow_multiple_wheels_per_symbol": not alone,
    }
    market = wv.demo_market(symbols=["BRVO", "ALFA"], end="2024-06-28")
    config = wv.Config(schedule=wv.Schedule(end_date="2024-05-10")).replace(**changes)
    compare(run_in_windows, market, config)
    if cycles is None and rules == "ledger":
        assert sum(resumed) > (0 if alone else 30)


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("seed", seeds(12, 30))
def test_windows_change_nothing_of_random_cases(run_in_windows: Run, seed: int, rules: str) -> None:
    tables, sections = random_case(
        seed,
        rules=rules,
        call__max_cycles=[None, 1, 2, 5][seed % 4],
        call__call_wait_sessions=[0, 3, 30][seed % 3],
        schedule__allow_multiple_wheels_per_symbol=seed % 5 != 0,
    )
    market = market_of(tables)
    compare(run_in_windows, market, config_of(sections, market))


def test_a_wheel_that_waits_for_a_call_keeps_its_underlying_busy(
    run_in_windows: Run, resumed: Resumed
) -> None:
    """Where one is open at a time, a wheel that goes on later must not let another one open."""
    changes = {
        **SHORT,
        "call.max_cycles": None,
        "call.call_wait_sessions": 60,
        "call.strike_min_pct_above_basis": 0.2,
        "schedule.allow_multiple_wheels_per_symbol": False,
    }
    market = wv.demo_market(symbols=["CHRL", "DLTA"], end="2024-09-30")
    compare(run_in_windows, market, wv.Config().replace(**changes))


def test_windows_tile_the_sessions_and_reach_to_the_end(
    run_in_windows: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of no session twice, quotes of a session in two windows at most."""
    monkeypatch.setattr(windows, "MONTHS", 3)
    market = wv.demo_market(symbols=["BRVO"], end="2024-12-31")
    config = wv.Config(schedule=wv.Schedule(end_date="2024-08-30")).replace(**SHORT)
    context = Context(market, Grid.read(config, {}), 1, 2**28)
    found = Recorder(market, context, 0, config, ["BRVO"], None)._windows
    assert [(window.start, window.end) for window in found] == [
        (dt.date(2024, 1, 1), dt.date(2024, 4, 30)),
        (dt.date(2024, 4, 1), dt.date(2024, 7, 31)),
        (dt.date(2024, 7, 1), dt.date(2024, 10, 31)),
        (dt.date(2024, 10, 1), dt.date(2024, 12, 31)),
    ]
    assert [window.months for window in found] == [3, 3, 2, 0]
    assert found[-1].until == windows.FAR


@pytest.mark.parametrize("cycles", [[None], [12, 30]], ids=["unlimited", "many"])
def test_a_sweep_over_years_is_its_backtests(cycles: list[int | None]) -> None:
    """Years whose wheels last as long share a slice: no session is in more than two."""
    market = wv.demo_market(symbols=["BRVO"], start="2022-11-01", end="2025-01-31")
    config = wv.Config(schedule=wv.Schedule(end_date="2024-12-31", every=5)).replace(**SHORT)
    grid = {"call.max_cycles": cycles, "put.exit_pct": [0.05, 0.3]}
    swept = wv.sweep(market, config, grid, threads=1)
    for i in range(swept.frame.height):
        expected = wv.backtest(market, swept.row_config(i)).summary()
        found = swept.frame.row(i, named=True)
        assert {name: found[name] for name in expected if name in found} == {
            name: value for name, value in expected.items() if name in found
        }
    context = Context(market, Grid.read(config, grid), 1, 2**28)
    spans = {context._span(year) for year in (2022, 2023, 2024)}
    for year in (2022, 2023, 2024):
        day = dt.date(year, 12, 31)
        assert 1 <= sum(start <= day <= end for start, end in spans) <= 2
    if cycles == [None]:
        assert spans == {(dt.date(2022, 1, 1), dt.date(2025, 1, 31))}


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("seed", seeds(6, 12))
def test_windows_change_nothing_where_events_happen(
    run_in_windows: Run, seed: int, rules: str
) -> None:
    tables = event_markets.random_event_market(seed)
    market = market_of(tables)
    config = config_of(event_markets.random_event_config(seed, rules), market)
    changes = {"call.max_cycles": [None, 2][seed % 2], "call.call_wait_sessions": [3, 30][seed % 2]}
    compare(run_in_windows, market, config.replace(**changes))
