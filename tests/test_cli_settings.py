"""--set FIELD=VALUE: what a person writes, and how it is read."""

import contextlib
import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import strategies as st

import wheelvec as wv
from tests.fuzz.build import fuzzed
from wheelvec.cli import settings
from wheelvec.model.errors import ConfigError, InputError, WheelvecError

VALUES: dict[str, Any] = {
    "0.3": 0.3,
    ".3": 0.3,
    "3.": 3.0,
    "-2": -2,
    "1_000": 1000,
    "1e-3": 0.001,
    "true": True,
    "True": True,
    "False": False,
    "none": "none",
    "None": "none",
    "natural": "natural",
    "close-15min": "close-15min",
    "15:45": "15:45",
    "15:45:00": "15:45:00",
    "2024-01-02": dt.date(2024, 1, 2),
    '"15:45"': "15:45",
    "'a, b'": "a, b",
    "ALFA,BRVO": ["ALFA", "BRVO"],
    "ALFA, BRVO": ["ALFA", "BRVO"],
    "[ALFA, BRVO]": ["ALFA", "BRVO"],
    '["ALFA", "BRVO"]': ["ALFA", "BRVO"],
    "[ALFA]": ["ALFA"],
    "BRK.B,BF.B": ["BRK.B", "BF.B"],
    "[TRUE, NAN, INF]": ["TRUE", "NAN", "INF"],  # names of shares, in capitals
    "[1, 3]": [1, 3],
    "1,3": [1, 3],
    "[[2024-01-02, 0.04], [2024-02-01, 0.05]]": [
        [dt.date(2024, 1, 2), 0.04],
        [dt.date(2024, 2, 1), 0.05],
    ],
    "[]": [],
    "two words": "two words",
    "C:\\data": "C:\\data",
}


@pytest.mark.parametrize("written", VALUES)
def test_values_are_toml_or_bare_words(written: str) -> None:
    read = settings.value_of(written, "--set x")
    assert read == VALUES[written]
    assert type(read) is type(VALUES[written])


@pytest.mark.parametrize(
    "written", ["[1, 2", '"open', "{a=", "a]", "1\n[put]\nx = 2", "[" * 5000, "=", ",", "a=b"]
)
def test_what_is_neither_is_refused(written: str) -> None:
    with pytest.raises(InputError, match=r"^--set x: cannot be read; expected a number, a date"):
        settings.value_of(written, "--set x")


@fuzzed(60, 20_000, text=st.text(max_size=20) | st.text("[]{},=\"'.:- 1aT\\\n", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for setting in (text, f"schedule.symbols={text}", f"pricing.rate={text}"):
        with contextlib.suppress(WheelvecError):
            settings.changed(wv.Config(), [setting])


def test_a_field_of_the_account_is_told_its_place() -> None:
    """An account is none of the configuration's: the name itself was suggested for it."""
    told = r"'account.cash' is no field of a configuration.*section \[account\].*simulate.*--cash"
    with pytest.raises(ConfigError, match=told):
        settings.changed(wv.Config(), ["account.cash=3"])
    with pytest.raises(ConfigError, match=told):
        wv.Config().replace(**{"account.cash": 3})


def test_fields_are_changed_together() -> None:
    config = settings.changed(
        wv.Config(),
        [
            "put.dte_min=60", "put.dte_max = 90", "put.stop_loss_multiplier=none", "call.select=highest_strike",
            "schedule.start_date=2024-01-02", "schedule.symbols=ALFA,BRVO", "rules=v5", "pricing.rate=[[2024-01-02, 0.05]]",
        ],
    )  # fmt: skip
    assert (config.put.dte_min, config.put.dte_max, config.put.stop_loss_multiplier) == (
        60,
        90,
        None,
    )
    assert config.call.tie_break_method == "highest_strike"
    assert config.schedule == wv.Schedule(start_date="2024-01-02", symbols=["ALFA", "BRVO"])
    assert config.rules == "v5"
    assert config.pricing.rate == ((dt.date(2024, 1, 2), 0.05),)


def test_the_later_of_two_counts_and_one_name_is_a_list() -> None:
    config = settings.changed(
        wv.Config(), ["put.exit_pct=0.2", "put.exit_pct=0.3", "schedule.symbols=ALFA"]
    )
    assert config.put.exit_pct == 0.3
    assert config.schedule.symbols == ("ALFA",)
    assert settings.changed(wv.Config(), []) == wv.Config()


@pytest.mark.parametrize(
    "grid",
    [
        {"put.exit_pct": [0.3], "call.select": ["highest_strike"]},
        {("put.exit_pct", "put.dte_min"): [(0.3, 20)], "call.tie_break_method": ["highest_strike"]},
        pl.DataFrame({"put.exit_pct": [0.3], "call.tie_break_method": ["highest_strike"]}),
    ],
)
def test_a_field_that_a_grid_sweeps_too_is_found(grid: Any) -> None:
    given = ["put.exit_pct=0.5", "put.dte_max=50", "call.select=highest_premium"]
    assert settings.also_swept(given, grid) == ["put.exit_pct", "call.select"]
    assert settings.also_swept(given[1:2], grid) == []


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "put.exit_pc=0.3",
            r"--set put.exit_pc=0.3: unknown field of put 'exit_pc' \(did you mean '\w*\.?exit_pct'\?\)",
        ),
        ("exit_pct=0.3", r"--set exit_pct=0.3: unknown field 'exit_pct' .*put\.exit_pct"),
        ("putt.exit_pct=0.3", r"unknown field 'putt.exit_pct' \(did you mean 'put.exit_pct'\?\)"),
        (
            "put.exit_pct=30%",
            r"--set put.exit_pct=30%: put.exit_pct = '30%': expected a number from 0.0 to 1.0",
        ),
        ("put.exit_pct=0,3", r"put.exit_pct = \[0, 3\]: expected a number"),
        ("put.exit_pct=none", r"put.exit_pct = 'none': expected a number"),
        ("put.dte_min=50", r"--set put.dte_min=50: .*the range is empty"),
        (
            "put.stop_loss_multiplier=off",
            r"put.stop_loss_multiplier = 'off': expected a number .* or none$",
        ),
        (
            "put.exit_pct=" + "9" * 1000,
            r"^--set put.exit_pct=9{80,100}\.\.\.: put.exit_pct = 9{80,100}\.\.\.: expected",
        ),
        ("put=1", r"--set put=1: put is a section; expected one of its fields, such as put\.\w+"),
        ("put.exit_pct", r"--set put.exit_pct: expected FIELD=VALUE, such as put.exit_pct=0.3"),
        ("put.exit_pct=", r"expected FIELD=VALUE"),
        ("=0.3", r"expected FIELD=VALUE"),
        ("rules=v6", r"--set rules=v6: unknown rules 'v6'.*; allowed: ledger, v5"),
        ("schedule.start_date=soon", r"schedule.start_date = 'soon': expected a date"),
        (
            "schedule.entry_time=15:45:00",
            r"schedule.entry_time = '15:45:00': expected a clock time",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_named(written: str, message: str) -> None:
    with pytest.raises((ConfigError, InputError), match=message):
        settings.changed(wv.Config(), [written])


def test_of_several_settings_the_one_that_is_refused_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^--set put.exit_pc=0.3: unknown field"):
        settings.changed(wv.Config(), ["put.dte_max=50", "put.exit_pc=0.3", "call.dte_max=40"])
    with pytest.raises(
        ConfigError, match=r"^--set put.dte_min=50 --set put.dte_max=48: .* range is empty"
    ):
        settings.changed(wv.Config(), ["put.dte_min=50", "put.dte_max=48"])
