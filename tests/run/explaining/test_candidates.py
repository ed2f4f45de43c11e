"""The contracts of a session and the first test that each fails: counts as the run counted them, and
single contracts as a plain reading of the rules finds them.
"""

import datetime as dt
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.random_markets import config_of, market_of, random_case
from wheelvec.run.explaining.candidates import TESTS, Offers
from wheelvec.run.explaining.searching import searches_of

ORDER = {test: place for place, test in enumerate(TESTS)}
LIQUIDITY = ORDER["worthless"]


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["BRVO", "CHRL"], end="2024-05-31")


def config(**changes: Any) -> wv.Config:
    return wv.Config(schedule=wv.Schedule(end_date="2024-02-29")).replace(**changes)


def reached(candidates: pl.DataFrame) -> pl.Series:
    """The place of the first test that each contract fails; beyond all for one that passes."""
    return candidates["failed"].replace_strict(
        list(TESTS), range(len(TESTS)), default=len(TESTS), return_dtype=pl.Int64
    )


def miscounted_days(market: wv.Market, config: wv.Config) -> list[Any]:
    """Entry sessions whose counts are not those of the diagnostics."""
    result, offers, wrong = wv.backtest(market, config), Offers(market, config), []
    for row in result.diagnostics.iter_rows(named=True):
        puts = offers.puts(row["underlying"], row["session"])
        place = reached(puts)
        mine = pl.col("entry_date") == row["session"], pl.col("underlying") == row["underlying"]
        launched = set(result.wheels.filter(*mine)["put_symbol"])
        found = int((place > ORDER["otm"]).sum()), int((place > LIQUIDITY).sum())
        passed = set(puts.filter(pl.col("failed").is_null())["symbol"])
        if found != (row["n_in_range"], row["n_liquid"]) or not launched <= passed:
            wrong.append((row, found))
    return wrong


def miscounted_searches(market: wv.Market, config: wv.Config) -> tuple[int, list[Any]]:
    """The number of searches for a call, and those whose counts are not the diagnostics'."""
    result, offers = wv.backtest(market, config), Offers(market, config)
    wrong, seen = [], 0
    for put in result.records.filter(pl.col("exit_reason") == "assigned").iter_rows(named=True):
        for search in searches_of(result, put, offers):
            if search.candidates is None:
                continue
            seen += 1
            place, record = reached(search.candidates), search.record
            bounds = ("otm", "below_basis", "worthless", "select")
            found = [int((place > ORDER[test]).sum()) for test in bounds]
            names = ("n_in_range", "n_above_basis", "n_liquid")
            expected = [*(record[name] for name in names), int(record["outcome"] == "sold")]
            if found != expected:
                wrong.append((record, found))
    return seen, wrong


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"put.otm_min": 0.04, "put.delta_min": 0.1, "put.dte_target": 35},
        {"put.select": "closest_delta", "liquidity.hard_max_spread_pct": 0.1},
        {"liquidity.ivp_over": "chain", "liquidity.min_bid_hard": 1.5},
        {"rules": "v5", "schedule.max_wheels_per_symbol_per_day": 1},
    ],
)
def test_counts_are_those_of_the_run(market: wv.Market, changes: dict[str, Any]) -> None:
    assert miscounted_days(market, config(**changes)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"put.stop_loss_multiplier": None},
        {
            "put.stop_loss_multiplier": None, "call.max_cycles": 3, "call.call_wait_sessions": 2,
            "call.otm_min": 0.02, "call.select": "closest_delta", "liquidity.min_bid_hard": 0.5,
        },
    ],
)  # fmt: skip
def test_searches_count_as_the_run_did(market: wv.Market, changes: dict[str, Any]) -> None:
    seen, wrong = miscounted_searches(market, config(**changes))
    assert seen > 20
    assert wrong == []


@pytest.mark.parametrize("seed", [3, 7])
def test_counts_of_random_markets(seed: int) -> None:
    tables, sections = random_case(seed)
    market = market_of(tables)
    rules = config_of(sections, market)
    assert miscounted_days(market, rules) == []
    assert miscounted_searches(market, rules)[1] == []


def plainly_failed(row: dict[str, Any]) -> str | None:
    """The first test of the default rules that a put fails."""
    if row["iv"] is None:
        return "no_iv"
    if not 30 <= row["dte"] <= 45:
        return "dte"
    if not 0.25 <= row["delta"] <= 0.35:
        return "delta"
    if row["spread_pct"] > 0.20 * (1 + 1e-9):
        return "spread"
    return "bid" if row["bid"] < 0.10 else None


def test_the_first_test_of_each_put_is_the_one_a_plain_reading_finds(market: wv.Market) -> None:
    offers, seen = Offers(market, config()), set()
    for month, day in ((1, 3), (1, 5), (1, 16), (2, 5), (2, 9)):
        for name in market.symbols:
            puts = offers.puts(name, dt.date(2024, month, day))
            failed = [plainly_failed(row) for row in puts.iter_rows(named=True)]
            assert puts["failed"].to_list() == failed
            seen |= set(failed)
    assert seen >= {None, "no_iv", "dte", "delta", "spread"}


def test_the_nearest_come_first_and_say_what_was_allowed(market: wv.Market) -> None:
    puts = Offers(market, config()).puts("CHRL", dt.date(2024, 2, 5))
    first = puts.row(0, named=True)
    assert (first["failed"], first["limit"]) == ("spread", "at most 20.0%")
    assert first["miss"] == pytest.approx(first["value"] / 0.20 - 1)
    assert reached(puts).is_sorted(descending=True)
    of_delta = puts.filter(failed="delta")
    assert of_delta["miss"].is_sorted()
    assert set(of_delta["limit"]) == {"0.25 to 0.35"}
    assert puts.filter(failed="dte")["limit"].unique().to_list() == ["30 to 45"]


def test_the_call_that_was_sold_is_the_one_that_passes(market: wv.Market) -> None:
    rules = config(**{"put.stop_loss_multiplier": None})
    result, offers = wv.backtest(market, rules), Offers(market, rules)
    calls = result.records.filter(phase="cc")
    for call in calls.head(10).iter_rows(named=True):
        mine = result.records.filter(wheel_id=call["wheel_id"])
        searches = searches_of(result, mine.row(0, named=True), offers)
        (sold,) = [each for each in searches if each.record["outcome"] == "sold"]
        assert sold.candidates is not None
        passed = sold.candidates.filter(pl.col("failed").is_null())
        assert passed["symbol"].to_list() == [call["symbol"]]
        assert passed["price"][0] * 100 == pytest.approx(call["premium"])
        basis = call["initial_capital"] / 100 - mine["premium"][0] / 100
        assert sold.basis == pytest.approx(basis)
    assert calls.height > 5
