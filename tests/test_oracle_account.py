"""The account against a plain program of its clock, on results of random markets."""

import datetime as dt
import random
from functools import cache
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.oracle import account as oracle
from tests.oracle import event_markets
from tests.random_markets import config_of, market_of, random_case

COUNT, LONG = 24, 150
FRAMES = ("records", "ledger", "paths", "underlying", "events", "diagnostics")
CENT = 0.005
RELATIVE = {"drawdown": 1e-9, "exposure": 1e-9}
DELTAS = 1e-6  # of what the shares are worth


def random_account(seed: int) -> wv.Account:
    """An account that is too small for all wheels, as a rule."""
    rng = random.Random(seed)
    size: dict[str, Any] = rng.choice([{}, {"contracts": 3}, {"fraction": 0.05}, {"fraction": 0.9}])
    rate: Any = rng.choice([0.0, 0.05, [("2000-01-03", 0.02), ("2023-12-20", 0.06)]])
    return wv.Account(
        cash=rng.choice([30_000.0, 60_000.0, 1e6]),
        max_wheels=rng.choice([None, 1, 3]),
        max_wheels_per_underlying=rng.choice([None, 2]),
        max_share_per_underlying=rng.choice([None, 0.6]),
        rate=rate,
        order=rng.choice(["record", "premium", "random"]),
        seed=rng.randrange(2**64),
        **size,
    )


def random_result(seed: int) -> wv.Result:
    """Of a market with holes, or with corporate events as well; of either rule set."""
    rules = "v5" if seed % 4 > 1 else "ledger"
    if seed % 2:
        tables = event_markets.random_event_market(seed)
        sections = event_markets.random_event_config(seed, rules)
    else:
        tables, sections = random_case(seed, rules=rules)
    market = market_of(tables)
    return wv.backtest(market, config_of(sections, market), threads=1)


@cache
def expected(seed: int) -> tuple[wv.Result, oracle.Oracle, list[oracle.Row]]:
    """The result of a seed, and what its account must be: the program and its days."""
    result, account = random_result(seed), random_account(seed)
    config = result.config.to_dict()
    given = {
        "calendar": result.config.schedule.trading_calendar,
        "rules": result.config.rules,
        "costs": config["costs"],
        "rate": result.config.pricing.rate,
        "dividend_yield": result.config.pricing.dividend_yield,
    }
    frames = {name: getattr(result, name).to_dicts() for name in FRAMES}
    assert isinstance(result.start, dt.date)
    found = oracle.Oracle(frames, result.start, given, account.to_dict())
    return result, found, found.run()


def differences(seed: int) -> list[str]:
    """The differences in the account of a seed."""
    (result, plain, days), account = expected(seed), random_account(seed)
    wheels = {w.total["wheel_id"]: (w.taken, w.reason) for w in plain.wheels}
    try:
        portfolio = wv.simulate(result, account)
    except wv.ConfigError:
        return [] if {reason for _, reason in wheels.values()} == {"too_small"} else ["refused"]
    portfolio.validate()
    rows = portfolio.wheels.select("wheel_id", "taken", "reason").rows()
    found = {name: (taken, reason) for name, taken, reason in rows}
    wrong = [
        f"{name}: {found[name]} != {wheels[name]}" for name in wheels if wheels[name] != found[name]
    ]
    right = pl.DataFrame(days, infer_schema_length=None)
    if portfolio.daily["session"].to_list() != right["session"].to_list():
        return [*wrong, "other sessions"]
    for name in oracle.COLUMNS:
        most = RELATIVE.get(name, CENT)
        if name == "delta_dollars":
            most += DELTAS * max(account.cash, float(right["shares"].max() or 0.0))
        apart = (portfolio.daily[name].cast(pl.Float64) - right[name].cast(pl.Float64)).abs()
        if (apart.max() or 0.0) > most or portfolio.daily[name].null_count() != right[
            name
        ].null_count():
            wrong.append(f"{name}: {apart.max()} apart on {right['session'][apart.arg_max() or 0]}")
    return wrong


@pytest.mark.parametrize("seed", range(COUNT))
def test_the_account_agrees_with_the_plain_clock(seed: int) -> None:
    assert not (wrong := differences(seed)), wrong[:10]


@pytest.mark.slow
def test_many_accounts_agree_with_the_plain_clock() -> None:
    wrong = {seed: found for seed in range(COUNT, LONG) if (found := differences(seed))}
    assert not wrong, "\n".join(f"seed {seed}: {found}"[:600] for seed, found in wrong.items())


def test_the_seeds_meet_what_an_account_may_refuse() -> None:
    """Most reasons, both rule sets, assignments and events are among the ordinary seeds."""
    reasons: set[str | None] = set()
    assigned = 0
    for seed in range(COUNT):
        _, plain, _ = expected(seed)
        reasons |= {w.reason for w in plain.wheels}
        assigned += sum(w.bought is not None and w.taken > 0 for w in plain.wheels)
    assert {None, "no_cash", "max_wheels", "max_share_per_underlying", "too_small"} <= reasons
    assert "max_wheels_per_underlying" in reasons
    assert assigned > 3
