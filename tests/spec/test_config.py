"""The configuration refuses what it does not know, and survives every round trip."""

import copy
import dataclasses
import datetime as dt
import pickle
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from wheelvec.spec.config import PARTS, field_names
from wheelvec.spec.errors import ConfigError

SAMPLE: dict[str, Any] = {
    "schedule": {
        "start_date": dt.date(2023, 6, 6),
        "symbols": ["TSLA", "SPY"],
        "weekdays": [5, 1],
        "entry_time": "close-15min",
    },
    "put": {"stop_loss_multiplier": None, "exit_pct": 0.25, "dte_target": 38},
    "call": {"max_cycles": None, "tie_break_method": "closest_delta"},
    "fills": {"execution_seed": 2**64 - 1, "exit_model": "close_range"},
    "pricing": {"rate": [(dt.date(2023, 1, 3), 0.04), (dt.date(2023, 6, 1), 0.05)]},
    "rules": "v5",
}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wv.PutRules(dte_mn=3), r"unknown field of put 'dte_mn' \(did you mean 'dte_min'\?\); allowed: option_type"),
        (lambda: wv.PutRules(dte_min=50), r"put.dte_min = 50 lies above put.dte_max = 45: the range is empty"),
        (lambda: wv.PutRules(dte_min=30.5), r"put.dte_min = 30.5: expected a whole number from 0 to 1000000"),
        (lambda: wv.PutRules(delta_min=1.5), r"put.delta_min = 1.5: expected a number from 0.0 to 1.0"),
        (lambda: wv.PutRules(delta_min=0.5), r"put.delta_min = 0.5 lies above put.delta_max = 0.35"),
        (lambda: wv.PutRules(exit_pct=float("nan")), r"put.exit_pct = nan: expected a number from"),
        (lambda: wv.PutRules(stop_loss_multiplier=0), r"put.stop_loss_multiplier = 0: expected a number above 1.0 and up to 50.0 or None"),
        (lambda: wv.PutRules(option_type="C"), r"unknown put.option_type 'C'; allowed: P"),
        (lambda: wv.CallRules(delta_min=0.4), r"call.delta_min = 0.4 lies above call.delta_max"),
        (lambda: wv.CallRules(select="all"), r"unknown call.tie_break_method 'all'; allowed: closest_delta"),
        (lambda: wv.CallRules(select="highest_strike", tie_break_method="closest_delta"), r"call.select = .* contradicts"),
        (lambda: wv.CallRules(max_cycles=0), r"call.max_cycles = 0: expected a whole number from 1 to 1000000 or None"),
        (lambda: wv.Fills(fill_mode="mid"), r"fill_mode 'mid'; allowed: optimistic, realistic, pessimistic, natural"),
        (lambda: wv.Fills(execution_seed=-1), r"fills.execution_seed = -1: expected a whole number from 0 to 18446744073709551615"),
        (lambda: wv.Fills(pfill_min=0.9, pfill_max=0.1), r"fills.pfill_min = 0.9 lies above fills.pfill_max"),
        (lambda: wv.Fills(use_probabilistic_exit_fills=1), r"use_probabilistic_exit_fills = 1: expected True or False"),
        (lambda: wv.Liquidity(min_bid_hard="0.1"), r"liquidity.min_bid_hard = '0.1': expected a number of at least 0.0"),
        (lambda: wv.Schedule(start_date="2023-06-31"), r"schedule.start_date = '2023-06-31': expected a date such as"),
        (lambda: wv.Schedule(start_date="2023-06-06", end_date="2023-06-05"), r"start_date = 2023-06-06 lies above .*end_date"),
        (lambda: wv.Schedule(symbols=[]), r"schedule.symbols = \[\]: expected a list of at least one name"),
        (lambda: wv.Schedule(symbols=["A", "A"]), r"expected each name once"),
        (lambda: wv.Schedule(weekdays=[0]), r"schedule.weekdays = \[0\]: expected ISO weekdays"),
        (lambda: wv.Schedule(entry_time="3pm"), r"schedule.entry_time = '3pm': expected a clock time such as '15:45'"),
        (lambda: wv.Schedule(every=0), r"schedule.every = 0: expected a whole number from 1 to 1000000"),
        (lambda: wv.Pricing(rate=pl.DataFrame({"session": [dt.date(2023, 1, 3)] * 2, "rate": [0.1, 0.2]})), r"each session once"),
        (lambda: wv.Costs(commission_per_contract=-1), r"costs.commission_per_contract = -1"),
        (lambda: wv.Config(rules="v6"), r"unknown rules 'v6'.*allowed: ledger, v5"),
        (lambda: wv.Config(puts=wv.PutRules()), r"unknown section 'puts' \(did you mean 'put'\?\); allowed: schedule"),  # type: ignore[call-arg]
        (lambda: wv.Config(put={"dte_min": 1}), r"put = .*: expected a wheelvec.PutRules"),
        (lambda: wv.Config().replace(**{"put.exit_pc": 1}), r"unknown field of put 'exit_pc' \(did you mean 'exit_pct'\?\)"),
        (lambda: wv.Config().replace(**{"putt.exit_pct": 1}), r"unknown field 'putt.exit_pct' \(did you mean 'put.exit_pct'\?\)"),
        (lambda: wv.Config.from_dict({"puts": {}}), r"unknown section 'puts' \(did you mean 'put'\?\)"),
        (lambda: wv.Config.from_dict({"put": 3}), r"\[put\] = 3: expected a table of fields"),
    ],
)  # fmt: skip
def test_refusals_name_field_value_and_what_is_allowed(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_defaults_are_the_rules() -> None:
    """rules.md, sections 1 to 7: the numbers in backticks."""
    config = wv.Config()
    assert (config.put.dte_min, config.put.dte_max, config.put.delta_min, config.put.delta_max) == (30, 45, 0.25, 0.35)
    assert (config.put.exit_pct, config.put.stop_loss_multiplier, config.put.max_hold_dte) == (0.5, 2.0, None)
    assert (config.call.dte_min, config.call.dte_max, config.call.max_cycles) == (14, 30, 1)
    assert (config.call.exit_pct, config.call.tie_break_method) == (None, "highest_premium")
    assert (config.fills.execution_seed, config.fills.fill_mode, config.fills.pfill_scale) == (42, "realistic", 0.6)
    assert (config.liquidity.base_max_spread_pct, config.liquidity.hard_max_spread_pct) == (0.08, 0.20)
    assert (config.pricing.rate, config.costs.commission_per_contract, config.rules) == (0.04, 0.65, "ledger")


def test_configurations_pickle_and_copy() -> None:
    config = wv.Config.from_dict(SAMPLE)
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config


def test_parts_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="exit_pct"):
        wv.Config().put.exit_pct = 0.1  # type: ignore[misc]


def test_toml_round_trip_keeps_every_field(tmp_path: Path) -> None:
    config = wv.Config.from_dict(SAMPLE)
    config.to_toml(tmp_path / "wheel.toml")
    assert wv.Config.from_toml(tmp_path / "wheel.toml") == config
    assert wv.Config.from_toml(tmp_path / "wheel.toml").id == config.id


def test_dict_round_trip_keeps_every_field() -> None:
    config = wv.Config.from_dict(SAMPLE)
    assert wv.Config.from_dict(config.to_dict()) == config


def _changed(field: str, value: Any) -> Any:
    """Another value that the field takes."""
    if value is None or isinstance(value, str):
        return 1
    if field in ("dte_min", "delta_min", "pfill_min"):
        return 3 if isinstance(value, int) else value / 2
    return value + 1 if isinstance(value, int) else value * 1.01 + (value == 0.0)


@pytest.mark.parametrize("name", field_names())
def test_the_id_changes_with_every_field_but_not_with_its_spelling(name: str) -> None:
    other: dict[str, Any] = {
        "schedule.start_date": "2023-01-03", "schedule.end_date": "2023-01-03", "schedule.symbols": ["A"],
        "schedule.trading_calendar": "XLON", "schedule.entry_time": "10:00", "schedule.weekdays": [1],
        "schedule.allow_multiple_wheels_per_symbol": False, "put.select": "highest_strike",
        "call.tie_break_method": "highest_strike", "call.sell_call_only_if_price_above_basis": False,
        "liquidity.ivp_over": "chain", "fills.fill_mode": "natural", "fills.exit_model": "close_range",
        "fills.gap_path": "quote", "fills.use_probabilistic_exit_fills": False,
    }  # fmt: skip
    if name == "put.option_type":
        return  # has but one value
    section, field = name.split(".")
    value = getattr(getattr(wv.Config(), section), field)
    changed = other.get(name, _changed(field, value))
    assert wv.Config().replace(**{name: changed}).id != wv.Config().id
    assert wv.Config().replace(**{name: value}).id == wv.Config().id


def test_numbers_and_dates_have_one_form() -> None:
    assert wv.PutRules(stop_loss_multiplier=2) == wv.PutRules(stop_loss_multiplier=2.0)
    assert wv.Schedule(start_date="2023-06-06") == wv.Schedule(start_date=dt.datetime(2023, 6, 6, 9))
    assert wv.Schedule(weekdays=[5, 1, 1]).weekdays == (1, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[put]\nexit_pct = 0.5\nexit_pct = 0.6\n", r"wheel.toml: no valid TOML: .*line 3"),
        ("[put]\nexit_pctt = 0.5\n", r"wheel.toml: unknown field of put 'exit_pctt' \(did you mean 'exit_pct'\?\)"),
        ("[putt]\nexit_pct = 0.5\n", r"wheel.toml: unknown section 'putt'"),
        ("[put]\nselect = 'none'\n", r"unknown put.select 'none'"),
        ("rules = 5\n", r"unknown rules 5"),
    ],
)
def test_toml_errors_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wheel.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        wv.Config.from_toml(path)


def test_a_missing_toml_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: cannot be read: No such file"):
        wv.Config.from_toml(tmp_path / "none.toml")


def test_sections_of_toml_are_those_of_the_class() -> None:
    assert set(PARTS) | {"rules"} == {f.name for f in dataclasses.fields(wv.Config)}


CONFIG = {
    "symbol": "TSLA", "timezone": "America/New_York", "entry_date": "2023-06-06", "entry_time": "15:45",
    "lookback_days": 504, "option_type": "P", "dte_min": 30, "dte_max": 45, "delta_min": 0.25, "delta_max": 0.35,
    "min_bid_hard": 0.10, "hard_max_spread_pct": 0.20, "exit_pct": 0.25, "stop_loss_multiplier": 3.0, "max_hold_dte": None,
    "commission_per_contract": 0.65, "fill_mode": "mid", "use_realistic_fills": False, "cache_dir": "../cache/",
    "execution_seed": 7,
}  # fmt: skip
CC_CONFIG = {"option_type": "C", "dte_min": 7, "cc_dte_max": 21, "tie_break_method": "highest_strike"}
SCHEDULER_CONFIG = {
    "start_date": "2022-01-01", "end_date": "2023-12-31", "trading_calendar": "NYSE", "symbols": ["TSLA", "AAPL"],
    "allow_multiple_wheels_per_symbol": True, "max_wheels_per_symbol_per_day": None, "scheduler_seed": 123, "log_level": "INFO",
}  # fmt: skip


def test_the_notebooks_dictionaries_load_as_they_are() -> None:
    with pytest.warns(UserWarning, match="fill_mode 'mid' was run as 'realistic'"):
        config = wv.Config.from_notebook(CONFIG, CC_CONFIG, SCHEDULER_CONFIG)
    assert config.schedule.symbols == ("TSLA", "AAPL")
    assert config.schedule.start_date == dt.date(2022, 1, 1)
    assert (config.put.exit_pct, config.put.stop_loss_multiplier, config.fills.execution_seed) == (0.25, 3.0, 7)
    assert (config.call.dte_min, config.call.dte_max, config.call.tie_break_method) == (7, 21, "highest_strike")
    assert (config.fills.fill_mode, config.rules) == ("realistic", "ledger")


def test_without_a_scheduler_the_notebook_ran_one_symbol_on_one_day() -> None:
    config = wv.Config.from_notebook({**CONFIG, "fill_mode": "pessimistic"}, CC_CONFIG, rules="v5")
    assert config.schedule.start_date == config.schedule.end_date == dt.date(2023, 6, 6)
    assert (config.schedule.symbols, config.fills.fill_mode, config.rules) == (("TSLA",), "pessimistic", "v5")


def test_use_realistic_fills_meant_natural() -> None:
    assert wv.Config.from_notebook({"use_realistic_fills": True, "fill_mode": "optimistic"}).fills.fill_mode == "natural"


def test_keys_without_meaning_are_named() -> None:
    named = r"CC_CONFIG\['dte_mx'\], CONFIG\['exit_pctt'\], SCHEDULER_CONFIG\['symbol'\]"
    with pytest.warns(UserWarning, match=named):
        wv.Config.from_notebook({"exit_pctt": 0.2}, {"dte_mx": 3}, {"symbol": "TSLA"})
