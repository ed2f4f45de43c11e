"""The outcome of a session: each of them, the counts of the run, and the nearest misses."""

import datetime as dt
import json
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.model.test_markup import checked
from wheelvec.report.figures import as_json


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["BRVO", "CHRL"], end="2024-05-31")


def run(market: wv.Market, **changes: Any) -> wv.Result:
    schedule = wv.Schedule(start_date="2024-01-03", end_date="2024-02-29")
    return wv.backtest(market, wv.Config(schedule=schedule).replace(**changes))


@pytest.fixture(scope="module")
def result(market: wv.Market) -> wv.Result:
    return run(market)


def test_every_row_of_the_diagnostics_is_answered(market: wv.Market, result: wv.Result) -> None:
    rows = result.diagnostics.unique("outcome", maintain_order=True)
    assert rows.height >= 3
    for row in rows.iter_rows(named=True):
        found = wv.why_not(result, row["session"], row["underlying"], market=market)
        assert found.outcome == row["outcome"]
        assert found.counts == {name: row[name] for name in found.counts}
        assert len(found.launched) == row["n_launched"]
        assert str(found).startswith(f"{row['underlying']} on {row['session']}: {row['outcome']}")
        checked(found._repr_html_())
        json.loads(as_json(found.to_dict()))


def test_the_nearest_misses_say_what_they_missed(market: wv.Market, result: wv.Result) -> None:
    found = wv.why_not(result, "2024-02-05", "CHRL", market=market)
    assert found.outcome == "all_rejected_by_liquidity"
    assert found.candidates is not None
    assert found.candidates["failed"].to_list()[:4] == ["spread"] * 4
    text = str(found)
    assert "spread of the mid 20.7%: at most 20.0%" in text
    assert "missing_side" in text  # of quotes that are not valid
    alone = str(wv.why_not(result, "2024-02-05", "CHRL"))
    assert "market=market" in alone


def test_days_without_an_entry_say_why(market: wv.Market) -> None:
    result = run(market, **{"schedule.weekdays": [1, 3], "schedule.every": 2})
    cases = {
        "2024-01-06": "no session of the calendar NYSE",
        "2024-01-15": "no session of the calendar NYSE",  # a holiday
        "2024-01-02": "before the schedule begins, on 2024-01-03",
        "2024-04-01": "after the last entry session of the run",
        "2024-01-09": "ISO weekday 2; schedule.weekdays has 1, 3",
        "2024-01-08": "left out by schedule.every = 2 and schedule.offset = 0",
    }
    for day, reason in cases.items():
        found = wv.why_not(result, day, "BRVO")
        assert found.outcome == "no_entry_session"
        assert reason in found.reason
        assert found.counts == {}
        assert "Notes" not in str(found)


def test_an_open_wheel_is_named(market: wv.Market) -> None:
    result = run(market, **{"schedule.allow_multiple_wheels_per_symbol": False})
    row = result.diagnostics.filter(outcome="wheel_already_open").row(0, named=True)
    found = wv.why_not(result, row["session"], row["underlying"])
    holder = result.wheels.filter(
        pl.col("underlying") == row["underlying"], pl.col("entry_date") < row["session"]
    ).row(-1, named=True)
    assert f"{holder['wheel_id']} was open until {holder['exit_date']}" in found.reason


def test_a_limit_and_a_signal_are_named(market: wv.Market) -> None:
    limited = run(market, **{"schedule.max_wheels_per_symbol_per_day": 1})
    row = limited.diagnostics.filter("limit_reached").row(0, named=True)
    found = wv.why_not(limited, row["session"], row["underlying"])
    assert "max_wheels_per_symbol_per_day = 1 left out others" in found.reason
    when = pl.DataFrame({"session": [dt.date(2024, 1, 4)], "underlying": ["BRVO"]})
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-31"))
    signalled = wv.backtest(market, config, when=when)
    assert wv.why_not(signalled, "2024-01-05", "BRVO").outcome == "not_signalled"


def test_the_eve_of_an_event_names_it() -> None:
    held = wv.demo_market(symbols=["BRVO"], end="2024-03-28")
    rows = {"underlying": ["BRVO"], "ex_date": [dt.date(2024, 1, 17)]}
    market = wv.Market(
        option_quotes=held.option_quotes,
        option_bars=held.option_bars,
        underlying_bars=held.underlying_bars,
        splits=pl.DataFrame(rows | {"numerator": [3], "denominator": [2]}),
    )
    result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-31")))
    found = wv.why_not(result, "2024-01-16", "BRVO")
    assert found.outcome == "corporate_action"
    assert "On 2024-01-17 there are 1.5 new shares for an old one." in found.reason


def test_days_and_names_that_are_none_are_refused(result: wv.Result) -> None:
    with pytest.raises(wv.InputError, match=r"unknown underlying 'BRVA'.*did you mean 'BRVO'"):
        wv.why_not(result, "2024-01-05", "BRVA")
    with pytest.raises(wv.InputError, match="session = 'soon': expected a date"):
        wv.why_not(result, "soon", "BRVO")


def test_a_market_of_other_dates_is_named_not_a_grid(market: wv.Market) -> None:
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12"))
    result = wv.backtest(market, config)
    row = result.diagnostics.row(0, named=True)
    later = wv.demo_market(symbols=[row["underlying"]], start="2024-03-01", end="2024-03-28")
    wheel = result.wheels["wheel_id"][0]
    for ask in (
        lambda: wv.why_not(result, row["session"], row["underlying"], market=later),
        lambda: wv.explain(result, wheel, market=later),
    ):
        with pytest.raises(wv.InputError, match="The market given holds data") as raised:
            ask()
        assert "the range is empty; the market holds 2024-03-01 to" in str(raised.value)
        assert "grid" not in str(raised.value)
