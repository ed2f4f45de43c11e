"""Properties of every backtest, whatever the market: checked on random cases."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.oracle import wheel
from tests.random_markets import (
    Tables,
    config_of,
    differences,
    market_of,
    random_case,
    run,
    seeds,
)

KEY = ["underlying", "put_entry", "put_symbol"]
ENTRY = [
    "premium",
    "spread_pct_entry",
    "ivp_entry",
    "iv_entry",
    "delta_entry",
    "dte_entry",
    "liquidity_tier",
]
SEEDS = seeds(12, 24)


def keyed(records: pl.DataFrame) -> pl.DataFrame:
    """Records under the wheel's own key in place of its number."""
    put_entry = pl.col("entry_date").filter(pl.col("phase") == "csp").first().over("wheel_id")
    rows = records.with_columns(put_entry=put_entry).drop("wheel_id")
    return rows.sort(*KEY, "phase", "cycle", nulls_last=True)


def distinct(tables: Tables) -> Tables:
    """Without quotes that share contract, session and time: which of those stands depends on their
    order, by rule.
    """
    quotes = tables["option_quotes"]
    key = [name for name in ("symbol", "session", "ts") if name in quotes.columns]
    return {**tables, "option_quotes": quotes.unique(key, keep="last", maintain_order=True)}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_input_rows_changes_nothing(seed: int) -> None:
    tables, sections = random_case(seed)
    tables = distinct(tables)
    shuffled = {
        name: table.sample(fraction=1.0, shuffle=True, seed=seed)
        for name, table in tables.items()
        if table is not None
    }
    assert_frame_equal(
        run(tables, sections).records, run(shuffled, sections).records, check_exact=True
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_splitting_the_range_changes_no_wheel(seed: int) -> None:
    plain = {"every": 1, "offset": 0, "allow_multiple_wheels_per_symbol": True}
    tables, sections = random_case(
        seed, **{f"schedule__{name}": value for name, value in plain.items()}
    )
    market = market_of(tables)
    config = config_of(sections, market)
    whole = wv.backtest(market, config).records
    days = sorted(tables["option_quotes"]["session"].unique().drop_nulls())
    first, last = (
        config.schedule.start_date or days[0],
        config.schedule.end_date or market.data_range[1],
    )
    middle = first + (last - first) / 2
    halves = [{"schedule.start_date": first, "schedule.end_date": middle},
              {"schedule.start_date": middle + dt.timedelta(days=1), "schedule.end_date": last}]  # fmt: skip
    parts = pl.concat([wv.backtest(market, config.replace(**half)).records for half in halves])
    assert_frame_equal(
        keyed(whole), keyed(parts.with_columns(wheel_id=_own_ids(parts))), check_exact=True
    )


def _own_ids(records: pl.DataFrame) -> pl.Series:
    """Two runs number their wheels alike: they are distinguished by the row on which a wheel begins."""
    return (records["phase"] == "csp").cum_sum().cast(pl.String)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_unrelated_underlying_changes_nothing(seed: int) -> None:
    tables, sections = random_case(seed)
    market = market_of(tables)
    alone = market.symbols[0]
    own = {**sections, "schedule": {**sections["schedule"], "symbols": [alone]}}
    fewer = {**tables, "option_quotes": tables["option_quotes"].filter(pl.col("underlying") == alone),
             "underlying_bars": tables["underlying_bars"].filter(pl.col("underlying") == alone)}  # fmt: skip
    for name in (
        "start_date",
        "end_date",
    ):  # what the schedule leaves to the market must not move with it
        if own["schedule"].get(name) is None:
            own["schedule"][name] = market.data_range[name == "end_date"]
    assert_frame_equal(run(tables, own).records, run(fewer, own).records, check_exact=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_change_no_exit_and_no_draw(seed: int) -> None:
    tables, sections = random_case(seed)
    free = {**sections, "costs": {"commission_per_contract": 0.0, "sec_fee_per_contract": 0.0}}
    money = [
        "fees",
        "pnl",
        "roc",
        "csp_pnl",
        "cc_pnl",
        "stock_pnl",
        "pnl_marked",
        "wheel_roc",
        "roc_annualized",
    ]
    assert_frame_equal(
        run(tables, sections).records.drop(money),
        run(tables, free).records.drop(money),
        check_exact=True,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_fills_change_no_candidate_and_calls_no_put(seed: int) -> None:
    tables, sections = random_case(seed, schedule__allow_multiple_wheels_per_symbol=True)
    base = run(tables, sections).records.filter(pl.col("phase") == "csp")
    other_fills = {
        **sections,
        "fills": {"fill_mode": "pessimistic", "execution_seed": 9, "pfill_scale": 0.2},
    }
    entries = ["wheel_id", "symbol", "entry_date", *ENTRY[1:]]
    moved = run(tables, other_fills).records.filter(pl.col("phase") == "csp")
    assert_frame_equal(base.select(entries), moved.select(entries), check_exact=True)
    other_calls = {
        **sections,
        "call": {"dte_min": 1, "dte_max": 60, "delta_min": 0.0, "delta_max": 1.0, "max_cycles": 3},
    }
    puts = run(tables, other_calls).records.filter(pl.col("phase") == "csp")
    assert_frame_equal(base, puts, check_exact=True)


def until(tables: Tables, last: dt.date) -> Tables:
    """The tables as they stood after a session."""
    return {
        name: table.filter(pl.col("ex_date" if name == "dividends" else "session") <= last)
        for name, table in tables.items()
        if table is not None
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_no_figure_changes_when_later_data_do(seed: int) -> None:
    tables, sections = random_case(seed, schedule__allow_multiple_wheels_per_symbol=True)
    days = tables["underlying_bars"]["session"].drop_nulls().unique().sort()
    cut = days[len(days) // 2]
    sections["schedule"].update(start_date=days[0], end_date=cut)
    legs = [
        run(t, sections).records.filter(pl.col("phase") != "total")
        for t in (tables, until(tables, cut))
    ]
    done = (pl.col("exit_date") <= cut).fill_null(False)
    # a target or stop may come later: only what was over by the cut is compared whole; what was
    # sold by then, as sold
    full, short = (keyed(frame.filter(done)) for frame in legs)
    assert_frame_equal(full, short, check_exact=True)
    sold = [
        keyed(frame.filter(pl.col("entry_date") <= cut)).select(*KEY, "cycle", "symbol", *ENTRY)
        for frame in legs
    ]
    assert_frame_equal(*sold, check_exact=True)


@pytest.mark.parametrize("seed", seeds(5, 12))
def test_removing_rows_never_turns_nothing_into_a_gain(seed: int) -> None:
    tables, sections = random_case(seed, rules="ledger")
    before = run(tables, sections)
    for name in ("option_quotes", "option_bars", "underlying_bars"):
        table = tables.get(name)
        if table is None or not table.height:
            continue
        for row in range(seed % 7, table.height, max(1, table.height // 4)):
            fewer = {
                **tables,
                name: table.with_row_index().filter(pl.col("index") != row).drop("index"),
            }
            assert not differences(fewer, sections), f"{name} row {row}"
    _settlement_closes_never_help(tables, sections, before)


def _settlement_closes_never_help(
    tables: Tables, sections: dict[str, Any], before: wv.Result
) -> None:
    settled = before.records.filter(pl.col("underlying_at_expiration").is_not_null())
    for underlying, day in (
        settled.select("underlying", "exit_date").unique().sort("exit_date").head(6).iter_rows()
    ):
        bars = tables["underlying_bars"]
        gone = (pl.col("underlying") == underlying) & (pl.col("session") == day)
        after = run({**tables, "underlying_bars": bars.filter(~gone)}, sections)
        worst, less = before.summary()["total_pnl_worst"], after.summary()["total_pnl_worst"]
        assert less <= worst + 1e-6
        both = before.wheels.join(
            after.wheels, on=["underlying", "entry_date", "put_symbol"], suffix="_after"
        )
        assert both.filter(pl.col("pnl").is_null() & (pl.col("pnl_after") > 0)).is_empty()


def test_the_cases_reach_every_rule() -> None:
    """A property that holds of nothing holds of anything: the random cases must contain every exit
    and end reason.
    """
    wanted = {
        "stop_loss", "profit_target", "max_hold_dte", "expired_worthless", "assigned", "called_away", "open", "no_data",
        "put_closed", "put_expired", "max_cycles", "no_call_quotes", "no_call_in_range", "no_call_above_basis",
        "no_call_liquid", "unresolved",
    }  # fmt: skip
    reached: set[str] = set()
    for seed in range(120):
        if wanted <= reached:
            return
        tables, sections = random_case(seed)
        for row in wheel.run(tables, sections)["records"]:
            reached |= {row["exit_reason"], row["end_reason"]}
    assert wanted <= reached
