"""The configuration: validation and its messages, defaults, ids, and round trips."""

import copy
import dataclasses
import datetime as dt
import errno
import inspect
import math
import pickle
import pydoc
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tomli_w

import wheelvec as wv
from tests.model.test_markup import checked
from wheelvec.model.config import SECTIONS, field_names, fields, unknown_field
from wheelvec.model.errors import ConfigError
from wheelvec.model.grid import Grid, grid_from_file
from wheelvec.model.sections import CLOSES
from wheelvec.tables.sessions import Sessions

SAMPLE: dict[str, Any] = {
    "schedule": {
        "start_date": dt.date(2023, 6, 6),
        "symbols": ["TSLA", "SPY"],
        "weekdays": [5, 1],
        "entry_time": "close-15min",
    },
    "put": {
        "stop_loss_multiplier": None,
        "exit_pct": 0.25,
        "dte_target": 38,
        "select": "closest_delta",
        "delta_target": 0.3,
    },
    "call": {"max_cycles": None, "tie_break_method": "closest_delta"},
    "fills": {"execution_seed": 2**64 - 1, "exit_model": "close_range"},
    "pricing": {"rate": [(dt.date(2023, 1, 3), 0.04), (dt.date(2023, 6, 1), 0.05)]},
    "rules": "v5",
}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wv.PutRules(dte_mn=3), r"unknown field of put 'dte_mn' \(did you mean 'dte_min'\?\); allowed: option_type"),
        (lambda: wv.PutRules(dte_min=50), r"put.dte_min = 50 is above put.dte_max = 45: the range is empty"),
        (lambda: wv.PutRules(dte_min=30.5), r"put.dte_min = 30.5: expected a whole number from 0 to 1000000"),
        (lambda: wv.PutRules(delta_min=1.5), r"put.delta_min = 1.5: expected a number from 0.0 to 1.0"),
        (lambda: wv.PutRules(delta_min=0.5), r"put.delta_min = 0.5 is above put.delta_max = 0.35"),
        (lambda: wv.PutRules(exit_pct=float("nan")), r"put.exit_pct = nan: expected a number from"),
        (lambda: wv.PutRules(stop_loss_multiplier=0), r"put.stop_loss_multiplier = 0: expected a number above 1.0 and up to 50.0 or None"),
        (lambda: wv.PutRules(option_type="C"), r"unknown put.option_type 'C'; allowed: P"),
        (lambda: wv.CallRules(delta_min=0.4), r"call.delta_min = 0.4 is above call.delta_max"),
        (lambda: wv.CallRules(select="all"), r"unknown call.tie_break_method 'all'; allowed: closest_delta"),
        (lambda: wv.CallRules(select="highest_strike", tie_break_method="closest_delta"), r"call.select = .* contradicts"),
        (lambda: wv.CallRules(max_cycles=0), r"call.max_cycles = 0: expected a whole number from 1 to 1000000 or None"),
        (lambda: wv.Fills(fill_mode="mid"), r"fill_mode 'mid'; allowed: optimistic, realistic, pessimistic, natural"),
        (lambda: wv.Fills(execution_seed=-1), r"fills.execution_seed = -1: expected a whole number from 0 to 18446744073709551615"),
        (lambda: wv.Fills(pfill_min=0.9, pfill_max=0.1), r"fills.pfill_min = 0.9 is above fills.pfill_max"),
        (lambda: wv.Fills(use_probabilistic_exit_fills=1), r"use_probabilistic_exit_fills = 1: expected True or False"),
        (lambda: wv.Liquidity(min_bid_hard="0.1"), r"liquidity.min_bid_hard = '0.1': expected a number of at least 0.0"),
        (lambda: wv.Schedule(start_date="2023-06-31"), r"schedule.start_date = '2023-06-31': expected a date such as"),
        (lambda: wv.Schedule(start_date="2023-06-06", end_date="2023-06-05"), r"start_date = 2023-06-06 is above .*end_date"),
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
def test_errors_name_field_value_and_allowed_values(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


# Field, invalid value, and message: the same from TOML, from_dict, replace and a grid.
INVALID: list[tuple[str, Any, str]] = [
    ("pricing.rate", 4, r"pricing.rate = 4: expected a number from -1.0 to 1.0.*4% is 0.04"),
    ("pricing.rate", -1.5, r"pricing.rate = -1.5: expected a number from -1.0"),
    ("pricing.dividend_yield", 1.3, r"pricing.dividend_yield = 1.3: .*1.3% is 0.013"),
    ("pricing.rate", [[dt.date(2023, 1, 3), 0.04], [dt.date(2023, 1, 4), 5.0]], r"rate of 2023-01-04 = 5.0: .*5% is 0.05"),
    ("pricing.rate", [[dt.date(2023, 1, 3), "0.04"]], r"rate of 2023-01-03 = '0.04': expected a number"),
    ("pricing.rate", [[dt.date(2023, 1, 3), math.nan]], r"rate of 2023-01-03 = nan: expected a number"),
    ("pricing.rate", [[20230103, 0.04]], r"pricing.rate = 20230103: expected a date .*did you mean '2023-01-03'"),
    ("pricing.rate", math.inf, r"pricing.rate = inf"),
    ("put.stop_loss_multiplier", 1, r"put.stop_loss_multiplier = 1: expected a number above 1.0 and up to 50.0 or "),
    ("put.stop_loss_multiplier", 0.5, r"put.stop_loss_multiplier = 0.5: expected a number above 1.0"),
    ("put.stop_loss_multiplier", 200, r"put.stop_loss_multiplier = 200: .*200% is 2"),
    ("call.stop_loss_multiplier", 60.0, r"call.stop_loss_multiplier = 60.0: expected a number above 1.0 and up to 50.0"),
    ("put.exit_pct", 50, r"put.exit_pct = 50: expected a number from 0.0 to 1.0 \(50% is 0.5\)"),
    ("put.exit_pct", "0.5", r"put.exit_pct = '0.5': expected a number"),
    ("put.exit_pct", True, r"put.exit_pct = True: expected a number"),
    ("put.exit_pct", 10**400, r"put.exit_pct = 1000.*\.\.\.: expected a number"),
    ("call.exit_pct", math.nan, r"call.exit_pct = nan"),
    ("put.delta_min", 30, r"put.delta_min = 30: .*30% is 0.3"),
    ("put.delta_max", -0.3, r"put.delta_max = -0.3: .*without the sign: 0.3"),
    ("put.dte_min", -1, r"put.dte_min = -1: expected a whole number from 0"),
    ("put.dte_min", 30.5, r"put.dte_min = 30.5: expected a whole number"),
    ("put.dte_min", math.inf, r"put.dte_min = inf: expected a whole number"),
    ("put.dte_target", "38", r"put.dte_target = '38': expected a whole number"),
    ("put.delta_target", 0.3, r"put.delta_target = 0.3 is used only if put.select is 'closest_delta', but it is 'all'"),
    ("put.option_type", "p", r"unknown put.option_type 'p' \(did you mean 'P'\?\)"),
    ("put.select", "ALL", r"unknown put.select 'ALL' \(did you mean 'all'\?\)"),
    ("put.select", 3, r"unknown put.select 3; allowed: all"),
    ("call.strike_min_pct_above_basis", 5, r"call.strike_min_pct_above_basis = 5: .*5% is 0.05"),
    ("call.max_cycles", 0, r"call.max_cycles = 0: expected a whole number from 1 to 1000000 or "),
    ("liquidity.base_max_spread_pct", 8, r"liquidity.base_max_spread_pct = 8: .*8% is 0.08"),
    ("liquidity.hard_max_spread_pct", 20, r"liquidity.hard_max_spread_pct = 20: .*20% is 0.2"),
    ("liquidity.ivp_high_threshold", 70, r"liquidity.ivp_high_threshold = 70: .*70% is 0.7"),
    ("liquidity.min_bid_hard", -0.1, r"liquidity.min_bid_hard = -0.1: expected a number of at least 0.0"),
    ("fills.pfill_tight", 1.2, r"fills.pfill_tight = 1.2: expected a number from 0.0 to 1.0"),
    ("fills.pfill_max", 98, r"fills.pfill_max = 98: .*98% is 0.98"),
    ("fills.pfill_scale", 60, r"fills.pfill_scale = 60: .*60% is 0.6"),
    ("fills.tight_spread_pct", 5, r"fills.tight_spread_pct = 5: .*5% is 0.05"),
    ("fills.execution_seed", -1, r"fills.execution_seed = -1"),
    ("fills.execution_seed", 1.5, r"fills.execution_seed = 1.5: expected a whole number"),
    ("fills.execution_seed", 2.0**60, r"fills.execution_seed = 1.15.*e\+18: expected a whole number"),
    ("fills.use_probabilistic_exit_fills", 1, r"use_probabilistic_exit_fills = 1: expected [Tt]rue or [Ff]alse"),
    ("fills.use_probabilistic_exit_fills", "yes", r"use_probabilistic_exit_fills = 'yes': expected [Tt]rue or [Ff]alse"),
    ("costs.commission_per_contract", -0.65, r"costs.commission_per_contract = -0.65: expected a number of at least 0.0$"),
    ("costs.sec_fee_per_contract", math.inf, r"costs.sec_fee_per_contract = inf"),
    ("schedule.symbols", "ALFA,BRVO", r"schedule.symbols = 'ALFA,BRVO': expected a list .*did you mean \['ALFA', 'BRVO'\]"),
    ("schedule.symbols", "ALFA BRVO", r"did you mean \['ALFA', 'BRVO'\]"),
    ("schedule.symbols", ["ALFA,BRVO"], r"schedule.symbols = \['ALFA,BRVO'\]: .*'ALFA,BRVO' is no name"),
    ("schedule.symbols", [" ALFA"], r"' ALFA' is no name"),
    ("schedule.symbols", [1], r"schedule.symbols = \[1\]: expected a list of at least one name"),
    ("schedule.start_date", 20240102, r"schedule.start_date = 20240102: expected a date .*did you mean '2024-01-02'"),
    ("schedule.start_date", 20241302, r"schedule.start_date = 20241302: expected a date such as 2023-06-06, or [^(]*$"),
    ("schedule.end_date", "0202-01-02", r"schedule.end_date = '0202-01-02': .*the years 1970 to 2199 are known"),
    ("schedule.weekdays", [0], r"schedule.weekdays = \[0\]: expected ISO weekdays from 1"),
    ("schedule.weekdays", ["Mon"], r"schedule.weekdays = \['Mon'\]: expected ISO weekdays"),
    ("schedule.weekdays", "Mon", r"schedule.weekdays = 'Mon': expected ISO weekdays"),
    ("schedule.weekdays", 5, r"schedule.weekdays = 5: .*\[5\]"),
    ("schedule.entry_time", "16:00", r"schedule.entry_time = '16:00': expected a time before 16:00, the regular close of NYSE"),
    ("schedule.entry_time", "20:45", r"schedule.entry_time = '20:45': expected a time before 16:00"),
    ("schedule.entry_time", "9:45", r"schedule.entry_time = '9:45': expected a clock time"),
    ("schedule.entry_time", "close-2000min", r"schedule.entry_time = 'close-2000min'"),
    ("schedule.every", 0, r"schedule.every = 0: expected a whole number from 1"),
    ("rules", "V5", r"unknown rules 'V5' \(did you mean 'v5'\?\); allowed: ledger, v5"),
    ("rules", 5, r"unknown rules 5.*; allowed: ledger, v5"),
]  # fmt: skip


def in_section(name: str, value: Any) -> dict[str, Any]:
    section, dot, field = name.partition(".")
    return {section: {field: value}} if dot else {section: value}


@pytest.mark.parametrize(("name", "value", "message"), INVALID)
def test_an_invalid_value_is_refused_by_every_constructor(
    name: str, value: Any, message: str, tmp_path: Path
) -> None:
    constructors = {
        "from_dict": lambda: wv.Config.from_dict(in_section(name, value)),
        "replace": lambda: wv.Config().replace(**{name: value}),
        "grid": lambda: Grid.read(wv.Config(), {name: [value]}),
    }
    if not isinstance(value, int) or value < 2**63:
        path = tmp_path / "wheel.toml"
        path.write_text(tomli_w.dumps(in_section(name, value)))
        constructors["from_toml"] = lambda: wv.Config.from_toml(path)
    for constructor, make in constructors.items():
        with pytest.raises(ConfigError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value), constructor
        assert constructor != "from_toml" or not re.search(r"\bNone\b", str(caught.value))


@pytest.mark.parametrize(
    "given",
    [np.int64(30), np.uint8(30), np.float64(30), np.float32(30), 30.0, Decimal(30), np.array(30)],
)
def test_a_whole_number_of_any_kind_is_one(given: Any) -> None:
    for held in (
        wv.PutRules(dte_min=given).dte_min,
        Grid.read(wv.Config(), {"put.dte_min": [given]}).values("put.dte_min")[0],
    ):
        assert held == 30
        assert type(held) is int
    assert wv.Config(put=wv.PutRules(dte_min=given)).id == wv.Config().id


def test_numpy_scalars_become_python_types() -> None:
    assert type(wv.PutRules(exit_pct=np.float64(0.5)).exit_pct) is float
    assert type(wv.PutRules(exit_pct=Decimal("0.5")).exit_pct) is float
    assert (
        wv.Fills(use_probabilistic_exit_fills=np.bool_(False)).use_probabilistic_exit_fills is False
    )
    assert wv.Schedule(start_date=np.datetime64("2024-01-02T15:00", "ns")).start_date == dt.date(
        2024, 1, 2
    )
    assert wv.Schedule(weekdays=np.array([5, 1])).weekdays == (1, 5)
    assert wv.Schedule(symbols=np.array(["SPY", "TSLA"])).symbols == ("SPY", "TSLA")
    assert wv.Schedule(symbols=pl.Series(["SPY"])).symbols == ("SPY",)
    assert wv.Schedule(symbols="SPY").symbols == ("SPY",)
    assert wv.Schedule(entry_time=dt.time(15, 45)).entry_time == "15:45"
    assert wv.Pricing(rate=np.float32(0.5)).rate == 0.5
    assert wv.Fills(execution_seed=np.uint64(2**64 - 1)).execution_seed == 2**64 - 1
    with pytest.raises(ConfigError, match="the order of symbols counts"):
        wv.Schedule(symbols={"SPY", "TSLA"})
    with pytest.raises(ConfigError, match=r"put.dte_min = nan"):
        wv.PutRules(dte_min=np.float64("nan"))
    with pytest.raises(ConfigError, match=r"start_date = .*NaT"):
        wv.Schedule(start_date=np.datetime64("NaT"))


def test_a_rate_by_session_may_be_any_frame() -> None:
    day, held = dt.date(2024, 1, 2), ((dt.date(2024, 1, 2), 0.04),)
    frame = pl.DataFrame({"session": [day], "rate": [0.04]})
    for given in (
        frame,
        frame.lazy(),
        frame.to_pandas(),
        {day: 0.04},
        [("2024-01-02", 0.04)],
        frame.rows(),
    ):
        assert wv.Pricing(rate=given).rate == held
    with pytest.raises(ConfigError, match=r"pricing.rate = a DataFrame: expected a number"):
        wv.Pricing(rate=frame.select("rate"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wv.Config(exit_pct=0.3), r"unknown section 'exit_pct' \(did you mean 'put.exit_pct' or 'call.exit_pct'\?\)"),  # type: ignore[call-arg]
        (lambda: wv.Config.from_dict({"exit_pct": 0.3}), r"did you mean 'put.exit_pct' or 'call.exit_pct'"),
        (lambda: wv.Config.from_dict({"fill_mod": "natural"}), r"did you mean 'fills.fill_mode'"),
        (lambda: wv.Config.from_dict({"put": {"fill_mode": "natural"}}), r"field of put 'fill_mode' \(did you mean 'fills.fill_mode'"),
        (lambda: wv.Config().replace(exit_pct=0.3), r"unknown field 'exit_pct' \(did you mean 'put.exit_pct' or 'call.exit_pct'"),
        (lambda: wv.Config().replace(**{"fills.exit_pct": 0.3}), r"did you mean 'put.exit_pct' or 'call.exit_pct'"),
        (lambda: Grid.read(wv.Config(), {"exit_pct": [0.3]}), r"grid: unknown field 'exit_pct' \(did you mean 'put.exit_pct'"),
        (lambda: wv.CallRules(selct="highest_strike"), r"unknown field of call 'selct' \(did you mean 'select'\?\)"),
    ],
)  # fmt: skip
def test_the_error_for_a_field_in_a_wrong_section_names_the_right_one(
    make: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("exit_pct", " (did you mean 'put.exit_pct' or 'call.exit_pct'?)"),
        ("putt.exit_pct", " (did you mean 'put.exit_pct'?)"),
        ("put.fill_mode", " (did you mean 'fills.fill_mode'?)"),
        (
            "fills.qqqqqq",
            "; allowed: " + ", ".join(name for name in field_names() if name.startswith("fills.")),
        ),
    ],
)
def test_the_error_for_an_unknown_field_lists_those_of_its_section(name: str, hint: str) -> None:
    assert unknown_field(name) == f"unknown field {name!r}{hint}"
    assert unknown_field("zzz").startswith("unknown field 'zzz'; allowed: schedule.start_date, ")
    section = {known for known in field_names() if known.startswith("put.")}
    message, _, allowed = unknown_field("put.exit").partition("; allowed: ")
    assert (message, set(allowed.split(", "))) == (
        "unknown field 'put.exit' (did you mean 'put.exit_pct'?)",
        section,
    )


def test_a_target_may_be_set_if_the_method_uses_it() -> None:
    put = wv.PutRules(select="closest_delta", delta_target=0.3)
    assert put.delta_target == 0.3
    with pytest.raises(ConfigError, match="set select to 'closest_delta', or delta_target to None"):
        wv.Config(put=put).replace(**{"put.select": "all"})


@pytest.mark.parametrize("tick", [0.03, 0.3, 0.4, 0.7, 0.02005, 1e-7, 5e-324, -0.01, 1.5, True])
def test_a_tick_that_divides_no_dollar_is_refused(tick: float) -> None:
    """Fills would be on another tick than was set: on 1/33 of a dollar for 0.03."""
    expected = r"fills.tick = .*: expected 0, or 1/n of a dollar"
    with pytest.raises(ConfigError, match=expected):
        wv.Fills(tick=tick)
    with pytest.raises(ConfigError, match=expected):  # an array is no way around
        Grid.read(wv.Config(), {"fills.tick": [tick, *(1 / n for n in range(2, 20))]})


@pytest.mark.parametrize(
    ("tick", "ticks"),
    [
        (0, 0.0), (1, 1.0), (0.5, 2.0), (1 / 3, 3.0), (0.25, 4.0), (0.1, 10.0), (0.05, 20.0),
        (np.float32(0.01), 100.0), (Decimal("0.001"), 1000.0), (1e-6, 1e6), (None, 100.0),
    ],
)  # fmt: skip
def test_a_tick_is_a_fraction_of_a_dollar(tick: Any, ticks: float) -> None:
    assert wv.Config(fills=wv.Fills(tick=tick)).ticks == ticks


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wv.Config.from_dict([1]), r"configuration: \[1\]: expected a mapping of sections"),
        (lambda: wv.Config.from_notebook(None), "None: expected a dictionary"),
        (lambda: wv.Config.from_notebook({}, "x"), "'x': expected a dictionary"),
        (lambda: wv.Config.from_toml(None), "None: expected a path"),
        (lambda: wv.Account.from_toml(3), "3: expected a path"),
        (lambda: wv.Config().to_toml(3), "3: expected a path"),
        (lambda: grid_from_file(None), "None: expected a path"),
        (lambda: wv.Market.open(3), "3: expected a path"),
        (lambda: wv.check(3), "3: expected a path"),
        (lambda: wv.Result.load(3), "3: expected a path"),
        (lambda: wv.Sweep.load(b"x"), "b'x': expected a path"),
        (lambda: wv.Portfolio.load(None), "None: expected a path"),
        (lambda: wv.Market.open("x", symbols=3), "symbols = 3: expected a list"),
        (lambda: wv.demo_market(symbols=3), "symbols = 3: expected a list"),
        (lambda: wv.demo_market(symbols=[1]), "symbols: 1 cannot be a demo underlying"),
        (lambda: wv.walk_forward(3), "sweep is 3: expected a wheelvec.Sweep"),
    ],
)
def test_an_argument_of_another_type_is_named(call: Any, message: str) -> None:
    with pytest.raises(wv.InputError, match=message):
        call()


def test_a_configuration_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "nope" / "x.toml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(
            wv.LakeError, match=rf"{re.escape(str(path))}: cannot be written: .*{reason}"
        ):
            wv.Config().to_toml(path)


def test_a_full_disk_leaves_the_earlier_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "wheel.toml"
    wv.Config().to_toml(place)

    def full(path: Path, *_: Any, **__: Any) -> None:
        path.write_bytes(b"rules =")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(wv.LakeError, match=r"wheel\.toml: cannot be written: No space left"):
        wv.Config(put=wv.PutRules(exit_pct=0.3)).to_toml(place)
    assert wv.Config.from_toml(place) == wv.Config()
    assert [path.name for path in tmp_path.iterdir()] == ["wheel.toml"]


def test_a_configuration_is_written_through_a_link(tmp_path: Path) -> None:
    place, link = tmp_path / "wheel.toml", tmp_path / "link.toml"
    place.write_text("")
    link.symlink_to(place)
    wv.Config(put=wv.PutRules(exit_pct=0.3)).to_toml(link)
    assert link.is_symlink()
    assert wv.Config.from_toml(place).put.exit_pct == 0.3


def test_new_yorks_closes_are_those_of_its_calendars() -> None:
    for name, close in CLOSES.items():
        sessions = Sessions.load(name, dt.date(2024, 1, 2), dt.date(2024, 3, 28))
        with pytest.raises(ConfigError, match=f"a time before {close}, the regular close of XNYS"):
            sessions.entry_minutes(close)


def test_defaults_are_the_rules() -> None:
    """rules.md, sections 1 to 7: the numbers in backticks."""
    config = wv.Config()
    assert (config.put.dte_min, config.put.dte_max, config.put.delta_min, config.put.delta_max) == (
        30,
        45,
        0.25,
        0.35,
    )
    assert (config.put.exit_pct, config.put.stop_loss_multiplier, config.put.max_hold_dte) == (
        0.5,
        2.0,
        None,
    )
    assert (config.call.dte_min, config.call.dte_max, config.call.max_cycles) == (14, 30, 1)
    assert (config.call.exit_pct, config.call.tie_break_method) == (None, "highest_premium")
    assert (config.fills.execution_seed, config.fills.fill_mode, config.fills.pfill_scale) == (
        42,
        "realistic",
        0.6,
    )
    assert (config.liquidity.base_max_spread_pct, config.liquidity.hard_max_spread_pct) == (
        0.08,
        0.20,
    )
    assert (config.pricing.rate, config.costs.commission_per_contract, config.rules) == (
        0.04,
        0.65,
        "ledger",
    )


def test_configurations_pickle_and_copy() -> None:
    config = wv.Config.from_dict(SAMPLE)
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config


def test_sections_are_frozen() -> None:
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
    """Another allowed value of the field."""
    if value is None or isinstance(value, str):
        return 2 if field == "stop_loss_multiplier" else 1
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
        "fills.gap_path": "quote", "fills.use_probabilistic_exit_fills": False, "call.stop_loss_multiplier": 3,
        "put.early_assignment": "at_parity", "call.early_assignment": "ex_div",
    }  # fmt: skip
    if name == "put.option_type":
        return  # has only one value
    section, field = name.split(".")
    base, value = wv.Config(), getattr(getattr(wv.Config(), section), field)
    changed = other.get(name, _changed(field, value))
    if (
        field.endswith("_target") and field != "dte_target"
    ):  # used, and partly required, by one method only
        method = "select" if section == "put" else "tie_break_method"
        value = None if field == "delta_target" else 0.25
        base = base.replace(
            **{f"{section}.{method}": f"closest_{field.removesuffix('_target')}", name: value}
        )
    assert base.replace(**{name: changed}).id != base.id
    assert base.replace(**{name: value}).id == base.id


def test_numbers_and_dates_have_one_form() -> None:
    assert wv.PutRules(stop_loss_multiplier=2) == wv.PutRules(stop_loss_multiplier=2.0)
    assert wv.Schedule(start_date="2023-06-06") == wv.Schedule(
        start_date=dt.datetime(2023, 6, 6, 9)
    )
    assert wv.Schedule(weekdays=[5, 1, 1]).weekdays == (1, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[put]\nexit_pct = 0.5\nexit_pct = 0.6\n", r"wheel.toml: no valid TOML: .*line 3"),
        (
            "[put]\nexit_pctt = 0.5\n",
            r"wheel.toml: unknown field of put 'exit_pctt' \(did you mean 'exit_pct'\?\)",
        ),
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
    assert set(SECTIONS) | {"rules"} == {f.name for f in dataclasses.fields(wv.Config)}


CONFIG = {
    "symbol": "TSLA", "timezone": "America/New_York", "entry_date": "2023-06-06", "entry_time": "15:45",
    "lookback_days": 504, "option_type": "P", "dte_min": 30, "dte_max": 45, "delta_min": 0.25, "delta_max": 0.35,
    "min_bid_hard": 0.10, "hard_max_spread_pct": 0.20, "exit_pct": 0.25, "stop_loss_multiplier": 3.0, "max_hold_dte": None,
    "commission_per_contract": 0.65, "fill_mode": "mid", "use_realistic_fills": False, "cache_dir": "../cache/",
    "execution_seed": 7,
}  # fmt: skip
CC_CONFIG = {
    "option_type": "C",
    "dte_min": 7,
    "cc_dte_max": 21,
    "tie_break_method": "highest_strike",
}
SCHEDULER_CONFIG = {
    "start_date": "2022-01-01", "end_date": "2023-12-31", "trading_calendar": "NYSE", "symbols": ["TSLA", "AAPL"],
    "allow_multiple_wheels_per_symbol": True, "max_wheels_per_symbol_per_day": None, "scheduler_seed": 123, "log_level": "INFO",
}  # fmt: skip


def test_the_notebooks_dictionaries_load_as_they_are() -> None:
    with pytest.warns(UserWarning, match="fill_mode 'mid' was run as 'realistic'"):
        config = wv.Config.from_notebook(CONFIG, CC_CONFIG, SCHEDULER_CONFIG)
    assert config.schedule.symbols == ("TSLA", "AAPL")
    assert config.schedule.start_date == dt.date(2022, 1, 1)
    assert (config.put.exit_pct, config.put.stop_loss_multiplier, config.fills.execution_seed) == (
        0.25,
        3.0,
        7,
    )
    assert (config.call.dte_min, config.call.dte_max, config.call.tie_break_method) == (
        7,
        21,
        "highest_strike",
    )
    assert (config.fills.fill_mode, config.rules) == ("realistic", "ledger")


def test_without_a_scheduler_the_notebook_ran_one_symbol_on_one_day() -> None:
    config = wv.Config.from_notebook({**CONFIG, "fill_mode": "pessimistic"}, CC_CONFIG, rules="v5")
    assert config.schedule.start_date == config.schedule.end_date == dt.date(2023, 6, 6)
    assert (config.schedule.symbols, config.fills.fill_mode, config.rules) == (
        ("TSLA",),
        "pessimistic",
        "v5",
    )


def test_use_realistic_fills_meant_natural() -> None:
    assert (
        wv.Config.from_notebook(
            {"use_realistic_fills": True, "fill_mode": "optimistic"}
        ).fills.fill_mode
        == "natural"
    )


def test_keys_without_meaning_are_named() -> None:
    named = r"CC_CONFIG\['dte_mx'\], CONFIG\['exit_pctt'\], SCHEDULER_CONFIG\['symbol'\]"
    with pytest.warns(UserWarning, match=named):
        wv.Config.from_notebook({"exit_pctt": 0.2}, {"dte_mx": 3}, {"symbol": "TSLA"})


ALL_SECTIONS = [*SECTIONS.values()]


@pytest.mark.parametrize("kind", ALL_SECTIONS)
def test_help_and_signatures_show_every_field(kind: Any) -> None:
    shown, signature = pydoc.render_doc(kind, renderer=pydoc.plaintext), inspect.signature(kind)
    listed = [field for field in fields() if field.section == kind.section]
    assert (
        [field.name for field in listed]
        == list(signature.parameters)
        == [f.name for f in dataclasses.fields(kind)]
    )
    words = " ".join(inspect.getdoc(kind).split())
    for field in listed:
        assert f"{field.name}: {field.type} = {field.default!r}" in words
        assert " ".join(field.doc.split()) in words
        assert not field.unit or f"Unit: {field.unit}." in words
        assert f"Allowed: {field.allowed}." in words
        assert f"{field.name}: {field.type} = {field.default!r}" in " ".join(
            line.strip(" |") for line in shown.splitlines()
        )
        parameter = signature.parameters[field.name]
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default == field.default == getattr(kind(), field.name)
        assert parameter.annotation is not parameter.empty


def test_every_number_has_a_unit_and_every_field_a_text() -> None:
    for field in fields():
        assert field.doc.endswith("."), field
        assert field.allowed, field
        assert field.unit or not re.search(r"\b(int|float)\b", field.type), field
        assert field.optional == ("None" in field.type), field
    assert [field.dotted for field in fields()] == ["rules", *field_names()]
    docs = {field.dotted: field.doc for field in fields()}
    assert "25% of the premium, so it keeps 75%" in docs["put.exit_pct"]
    assert "twice the premium, so it loses one premium" in docs["put.stop_loss_multiplier"]
    assert "cross-sectional rank" in " ".join(str(wv.Liquidity.__doc__).split())


def test_the_configuration_shows_its_sections() -> None:
    signature, doc = inspect.signature(wv.Config), str(wv.Config.__doc__)
    assert list(signature.parameters) == [*SECTIONS, "rules"]
    assert "put: wheelvec.model.sections.PutRules = PutRules()" in str(signature)
    assert "put: PutRules = PutRules()" in doc
    assert "rules: str = 'ledger'" in doc


def test_the_errors_are_public() -> None:
    for name in (
        "ConfigError",
        "DataError",
        "FetchError",
        "InputError",
        "LakeError",
        "RecordError",
        "StateError",
    ):
        assert name in wv.__all__
        assert issubclass(getattr(wv, name), wv.WheelvecError)


def test_the_differences_of_two_configurations() -> None:
    changed = wv.Config().replace(**{"put.exit_pct": 0.3, "rules": "v5"})
    assert changed.diff() == {"rules": ("v5", "ledger"), "put.exit_pct": (0.3, 0.5)}
    assert wv.Config().diff(changed) == {"rules": ("ledger", "v5"), "put.exit_pct": (0.5, 0.3)}
    assert changed.diff(changed) == {}
    with pytest.raises(ConfigError, match=r"other is 'x': expected a wheelvec\.Config"):
        changed.diff("x")  # type: ignore[arg-type]


def test_a_notebook_shows_the_differences_first() -> None:
    curve = {f"2024-01-{day:02d}": 0.04 for day in range(1, 31)}
    changed = wv.Config().replace(**{"schedule.symbols": ["<B>"], "pricing.rate": curve})
    text = checked(changed._repr_html_())
    assert text.index("schedule.symbols") < text.index("All ") < text.index("put.exit_pct")
    assert "('<B>',)" in text
    assert "..." in text  # a curve is cut
    assert "Every field has its default." in checked(wv.Config()._repr_html_())
