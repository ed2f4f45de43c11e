"""The legs of wheels bar by bar: equal to what the result has recorded, and to a plain reading of
the rules.
"""

import datetime as dt
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.oracle import event_markets
from tests.oracle.pricer import fill_draw
from tests.random_markets import config_of, market_of
from wheelvec.run.explaining.retracing import RetracedLeg, records_of, retraced


def demo(**changes: Any) -> wv.Result:
    market = wv.demo_market(symbols=["BRVO", "CHRL"], end="2024-05-31")
    config = wv.Config(schedule=wv.Schedule(end_date="2024-02-29")).replace(**changes)
    return wv.backtest(market, config)


@pytest.fixture(scope="module")
def result() -> wv.Result:
    return demo()


def legs_of(result: wv.Result, most: int = 60) -> list[RetracedLeg]:
    ids = result.wheels["wheel_id"].to_list()
    wheels = ids[:: max(1, len(ids) // most)]
    return [leg for name in wheels for leg in retraced(result, records_of(result, name))]


def disagreements(legs: list[RetracedLeg]) -> list[str]:
    """The columns of the records of legs that their bars do not show."""
    found = []
    for leg in legs:
        record = leg.record
        draws, paid = leg.days["u"].drop_nulls(), leg.days["price"].drop_nulls()
        agreed = (
            leg.agrees,
            leg.price * 100.0 * record["contracts"] == pytest.approx(record["premium"], abs=1e-9),
            (draws[-1] if draws.len() else None) == record["u_fill_profit_target"],
            paid.is_empty()
            or paid[-1] * 100.0 * record["contracts"]
            == pytest.approx(record["exit_price"], abs=1e-9),
        )
        if not all(agreed):
            found.append(f"{record['wheel_id']} {record['phase']}: {agreed}")
    return found


def test_bars_show_what_the_records_say(result: wv.Result) -> None:
    legs = legs_of(result)
    assert {"profit_target", "stop_loss", "assigned"} <= {leg.record["exit_reason"] for leg in legs}
    assert {leg.record["phase"] for leg in legs} == {"csp", "cc"}
    assert all(leg.quote for leg in legs)
    assert disagreements(legs) == []


def test_touches_and_draws_are_those_of_a_plain_reading(result: wv.Result) -> None:
    seen = 0
    for leg in legs_of(result, 40):
        record, touches = leg.record, 0
        put, opened = record["put_symbol"], records_of(result, record["wheel_id"])["entry_date"][0]
        target = int(leg.price * 0.50 * 100 + 1e-6) / 100
        stop = 2.0 * leg.price if record["phase"] == "csp" else float("inf")
        assert leg.levels.target == pytest.approx(target)
        for row in leg.days.filter(pl.col("source").is_not_null()).iter_rows(named=True):
            expected = None
            if row["high"] < stop * (1 - 1e-9) and row["low"] <= target * (1 + 1e-9):
                expected = fill_draw(42, put, opened, record["cycle"], touches)
                assert row["touch"] == touches
                touches, seen = touches + 1, seen + 1
            assert row["u"] == expected
            filled = expected is not None and expected <= record["p_fill_profit_target"]
            assert (row["exit"] == "profit_target") == filled
            if row["exit"]:
                break
    assert seen > 30


def test_every_session_of_a_leg_is_shown(result: wv.Result) -> None:
    for leg in legs_of(result, 20):
        sessions, record = leg.days["session"], leg.record
        assert sessions.is_sorted()
        assert sessions.min() > record["entry_date"]
        if record["exit_date"] is not None:
            assert sessions.max() == record["exit_date"]
            missing = leg.days["source"].is_null().sum()
            assert missing == record["sessions_without_bar"]


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("seed", [0, 4])
def test_legs_through_corporate_events(seed: int, rules: str) -> None:
    market = market_of(event_markets.random_event_market(seed))
    config = config_of(event_markets.random_event_config(seed, rules), market)
    assert disagreements(legs_of(wv.backtest(market, config), 25)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30, 60))
def test_legs_of_many_markets_with_events(seed: int) -> None:
    market = market_of(event_markets.random_event_market(seed))
    for rules in ("ledger", "v5"):
        config = config_of(event_markets.random_event_config(seed, rules), market)
        assert disagreements(legs_of(wv.backtest(market, config))) == []


def test_a_split_is_shown_in_prices_as_sold() -> None:
    result = _split_in_two()
    (leg,) = retraced(result, records_of(result, result.wheels["wheel_id"][0]))
    assert leg.record["factor"] == 2
    # traded at 0.90 before and 0.40 after: of one contract as sold that is 0.90 and 0.80
    assert leg.days.filter(pl.col("source") == "bar")["close"].to_list() == [0.90, 0.80]


def _split_in_two() -> wv.Result:
    """A put at 100 that is sold for 1.00 and becomes two at 50."""
    days = [dt.date(2024, 1, day) for day in (2, 3, 4, 5)]
    before, after = "A     240105P00100000", "A     240105P00050000"
    quotes = pl.DataFrame(
        {
            "underlying": "A", "session": days[0], "symbol": [before],
            "bid": [1.0], "ask": [1.02], "underlying_price": 101.0,
        }
    )  # fmt: skip
    bars = pl.DataFrame({"symbol": [before, after], "session": days[1:3], "close": [0.90, 0.40]})
    bars = bars.with_columns(pl.col("close").alias(name) for name in ("open", "high", "low"))
    closes = pl.DataFrame({"underlying": "A", "session": days, "close": [101.0, 101.0, 51.0, 51.0]})
    closes = closes.with_columns(pl.col("close").alias(name) for name in ("open", "high", "low"))
    splits = {"underlying": ["A"], "ex_date": [days[2]], "numerator": [2], "denominator": [1]}
    market = wv.Market(
        option_quotes=quotes,
        option_bars=bars.with_columns(volume=1),
        underlying_bars=closes.with_columns(volume=1),
        splits=pl.DataFrame(splits),
    )
    put = wv.PutRules(dte_min=0, delta_min=0.0, delta_max=1.0, exit_pct=0.1)
    return wv.backtest(market, wv.Config(put=put))


def test_an_unknown_wheel_is_refused_with_its_neighbours(result: wv.Result) -> None:
    with pytest.raises(wv.InputError, match=r"no such wheel; it has 'BRVO_2024-01-02_0'"):
        records_of(result, "BRVO_2024-01-02_99")
    with pytest.raises(wv.InputError, match=r"and so on: \d+ in all"):
        records_of(result, "nothing")
    empty = wv.Result(result.config, "f", {}, result._frames | {"records": result.records.clear()})
    with pytest.raises(wv.InputError, match="the result has no wheels"):
        records_of(empty, "BRVO_2024-01-02_0")


def test_a_result_of_an_earlier_version_is_refused(result: wv.Result) -> None:
    frames = result._frames | {"paths": result.paths.drop("underlying_price")}
    with pytest.raises(wv.LakeError, match="run it again"):
        records_of(wv.Result(result.config, "f", {}, frames), result.wheels["wheel_id"][0])
