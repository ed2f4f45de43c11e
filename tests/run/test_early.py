"""Early assignment in whole runs: sweeps against backtests, and what must not change (rules.md, 13)."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.random_markets import config_of, market_of, random_case
from tests.run.test_sweep import differences

SETTINGS = {
    "put.early_assignment": ["none", "at_parity"],
    "call.early_assignment": ["none", "ex_div", "at_parity"],
}
DIVIDENDS = pl.DataFrame(
    {
        "underlying": "BRVO",
        "ex_date": [dt.date(2024, 1, 24), dt.date(2024, 2, 8), dt.date(2024, 2, 22), dt.date(2024, 3, 7)],
        "amount": [0.25, 0.60, 0.60, 1.10],
    }
)  # fmt: skip
FEES = {
    "costs.commission_base": 0.20, "costs.commission_minimum": 1.00,
    "costs.commission_per_contract": 0.65, "costs.sec_fee_per_contract": 0.02,
    "costs.assignment_fee": 5.00,
}  # fmt: skip


@pytest.fixture(scope="module")
def without_time_value() -> wv.Market:
    """A demo market in which options in the money are quoted around what exercise brings."""
    demo = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-04-30")
    span = (dt.date(2024, 1, 1), dt.date(2024, 4, 30))
    quotes, bars = demo.quotes("BRVO", *span), demo.bars("BRVO", *span)
    inside = pl.when(pl.col("option_type") == "P").then(1.0).otherwise(-1.0) * (
        pl.col("strike") - pl.col("underlying_price")
    )
    quotes = quotes.with_columns(
        bid=pl.when(inside > 0.05).then(inside * 0.99).otherwise("bid"),
        ask=pl.when(inside > 0.05).then(inside * 1.01).otherwise("ask"),
    )
    return wv.Market(
        option_quotes=quotes,
        option_bars=bars,
        underlying_bars=demo.underlying_bars,
        dividends=DIVIDENDS,
    )


def config_for(**changes: Any) -> wv.Config:
    base = wv.Config(
        schedule=wv.Schedule(start_date="2024-01-02", end_date="2024-02-09"),
        put=wv.PutRules(
            dte_min=10, delta_min=0.2, delta_max=0.6, exit_pct=0.05, stop_loss_multiplier=None
        ),
        call=wv.CallRules(
            delta_max=0.6, max_cycles=3, sell_call_only_if_price_above_basis=False, exit_pct=0.05
        ),
    )
    return base.replace(**FEES, **changes)


def early_legs(result: wv.Result) -> dict[str, int]:
    """The number of legs that were exercised before their settlement, by exit reason."""
    delivered = pl.col("exit_reason").is_in(["assigned", "called_away"])
    legs = result.records.filter(delivered & pl.col("underlying_at_expiration").is_null())
    assert (legs["exit_date"] < legs["expiration"]).all()
    assert (legs["exit_price"] == 0.0).all()
    return dict(legs["exit_reason"].value_counts().iter_rows())


@pytest.mark.parametrize("rules", ["ledger", "v5"])
def test_a_sweep_over_the_settings_equals_its_backtests(
    without_time_value: wv.Market, rules: str
) -> None:
    base = config_for(rules=rules)
    grid = SETTINGS | {
        "put.exit_pct": [0.05, 0.5], "put.stop_loss_multiplier": [2.0, None],
        "call.exit_pct": [0.05, 0.4], "call.call_wait_sessions": [0, 2],
    }  # fmt: skip
    swept = wv.sweep(without_time_value, base, grid, threads=2)
    # every third row: each setting with some of all the others
    assert differences(swept, without_time_value, range(0, swept.frame.height, 5)) == []
    assert swept.frame.select("put.early_assignment", "total_pnl").unique().height > 6


def test_one_open_at_a_time_and_single_rows_too(without_time_value: wv.Market) -> None:
    base = config_for(**{"schedule.allow_multiple_wheels_per_symbol": False})
    grid = SETTINGS | {"put.delta_max": [0.4, 0.5, 0.6]}  # each row is a separate block
    assert differences(wv.sweep(without_time_value, base, grid), without_time_value) == []


@pytest.mark.parametrize("rules", ["ledger", "v5"])
def test_exercises_are_in_reach_and_the_ledger_sums(
    without_time_value: wv.Market, rules: str
) -> None:
    for put, call in (("at_parity", "at_parity"), ("at_parity", "ex_div")):
        changes = {"put.early_assignment": put, "call.early_assignment": call, "rules": rules}
        result = wv.backtest(without_time_value, config_for(**changes))
        result.validate()
        found = early_legs(result)
        assert found["assigned"] > 20
        assert found["called_away"] > (5 if rules == "ledger" else 0)
        # a delivery costs its fee once, on the day of the exit
        fees = result.ledger.filter((pl.col("entry") == "fees") & (pl.col("amount") == -5.0))
        delivered = result.records.filter(
            pl.col("exit_reason").is_in(["assigned", "called_away"])
        ).select("wheel_id", date="exit_date")
        assert sorted(fees.select("wheel_id", "date").rows()) == sorted(delivered.rows())


def test_the_dividend_for_which_a_call_is_exercised_is_lost(without_time_value: wv.Market) -> None:
    result = wv.backtest(
        without_time_value,
        config_for(**{"put.early_assignment": "at_parity", "call.early_assignment": "ex_div"}),
    )
    away = result.records.filter(
        (pl.col("exit_reason") == "called_away") & pl.col("underlying_at_expiration").is_null()
    )
    eves = {dt.date(2024, 1, 23), dt.date(2024, 2, 7), dt.date(2024, 2, 21), dt.date(2024, 3, 6)}
    assert set(away["exit_date"]) <= eves
    paid = result.ledger.filter(pl.col("entry") == "dividend")
    late = paid.join(away.select("wheel_id", "exit_date"), on="wheel_id")
    assert late.height > 0
    assert (late["date"] <= late["exit_date"]).all()


@pytest.mark.parametrize("seed", range(4))
def test_asking_for_exercises_changes_nothing_else(seed: int) -> None:
    """The rows of "none" in a grid with other settings are those of a grid without them."""
    tables, sections = random_case(seed)
    market = market_of(tables)
    base = config_of(sections, market)
    try:
        alone = wv.sweep(market, base, {"put.exit_pct": [0.3, 0.6]})
    except wv.ConfigError:
        pytest.skip("this configuration cannot be run on its market")
    swept = wv.sweep(market, base, SETTINGS | {"put.exit_pct": [0.3, 0.6]})
    none = swept.frame.filter(
        (pl.col("put.early_assignment") == "none") & (pl.col("call.early_assignment") == "none")
    )
    assert_frame_equal(none.drop(list(SETTINGS)), alone.frame, check_exact=True)
    assert differences(swept, market) == []


def test_bounds_show_every_scenario_and_the_interval(without_time_value: wv.Market) -> None:
    base = config_for(**{"put.early_assignment": "at_parity"})  # which is not read
    frame = wv.bounds(without_time_value, base, threads=1)
    assert frame["scenario"].to_list() == [
        "none / none", "none / ex_div", "none / at_parity",
        "at_parity / none", "at_parity / ex_div", "at_parity / at_parity", "lowest", "highest",
    ]  # fmt: skip
    scenarios, (low, high) = frame.head(6), frame.tail(2).to_dicts()
    for row in scenarios.to_dicts():
        result = wv.backtest(
            without_time_value, base.replace(**{name: row[name] for name in SETTINGS})
        )
        summary = result.summary()
        del summary["marked_pnl"]  # not among a sweep's figures
        assert {name: row[name] for name in summary} == summary
    for name in set(scenarios.columns) - {"scenario", *SETTINGS}:
        assert (low[name], high[name]) == (scenarios[name].min(), scenarios[name].max())
    assert low["total_pnl"] < high["total_pnl"]
    assert [low[name] for name in SETTINGS] == [None, None]
    assert frame.schema["total_wheels"] == pl.Int64
    # not ordered: exercise costs under some scenarios and brings something under others
    pnl = scenarios["total_pnl"].to_list()
    assert min(pnl) < pnl[0] or max(pnl) > pnl[0]


def test_bounds_of_no_wheel_are_null(without_time_value: wv.Market) -> None:
    none = pl.DataFrame(schema={"session": pl.Date, "underlying": pl.String})
    frame = wv.bounds(without_time_value, config_for(), when=none)
    assert frame["total_wheels"].to_list() == [0] * 8
    assert frame["avg_wheel_roc"].null_count() == 8
