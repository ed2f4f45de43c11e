"""Small random markets and configurations, and comparisons of the library with the oracle."""

import math
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.oracle import markets, wheel

Tables = dict[str, pl.DataFrame]


def seeds(quick: int, count: int) -> list[Any]:
    """The seeds of a test: so many `quick` ones in every run, the others of `count` in a slow one."""
    slow = (pytest.param(seed, marks=pytest.mark.slow) for seed in range(quick, count))
    return [*range(quick), *slow]


def market_of(tables: Tables) -> wv.Market:
    """A Market of the oracle's tables."""
    return wv.Market(
        option_quotes=tables["option_quotes"],
        underlying_bars=tables["underlying_bars"],
        option_bars=tables.get("option_bars"),
        splits=tables.get("splits"),
        dividends=tables.get("dividends"),
    )


def config_of(sections: dict[str, Any], market: wv.Market) -> wv.Config:
    """The oracle's configuration as a Config.

    Symbols that the market does not have are left out, because the library refuses them.
    """
    schedule = dict(sections["schedule"])
    if schedule.get("symbols"):
        schedule["symbols"] = [s for s in schedule["symbols"] if s in market.symbols] or None
    return wv.Config.from_dict({**sections, "schedule": schedule})


def random_case(seed: int, **changes: Any) -> tuple[Tables, dict[str, Any]]:
    """A random market and configuration.

    `changes` are fields by dotted name, with two underscores for the dot.
    """
    sections = markets.random_config(seed)
    for section, fields in markets.drawn_apart(seed).items():
        sections[section] |= fields
    for name, value in changes.items():
        section, _, field = name.partition("__")
        if field:
            sections.setdefault(section, {})[field] = value
        else:
            sections[section] = value
    return markets.random_market(seed), sections


def run(tables: Tables, sections: dict[str, Any]) -> wv.Result:
    """The library's result."""
    market = market_of(tables)
    return wv.backtest(market, config_of(sections, market))


def same(found: Any, expected: Any) -> bool:
    """Whether two values are equal, floats to 1e-9 relative."""
    if isinstance(expected, float) and isinstance(found, int | float):
        return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)
    return bool(found == expected)


def with_expected(
    tables: Tables, sections: dict[str, Any]
) -> tuple[wv.Market, wv.Config, dict[str, Any]]:
    """Market, configuration, and the records and summary of the oracle."""
    market = market_of(tables)
    config = config_of(sections, market)
    symbols = None if config.schedule.symbols is None else list(config.schedule.symbols)
    given = {**sections, "schedule": {**sections["schedule"], "symbols": symbols}}
    return market, config, wheel.run(tables, given)


def differences(tables: Tables, sections: dict[str, Any]) -> list[str]:
    """The differences between records and summary of the library and of the oracle."""
    market, config, expected = with_expected(tables, sections)
    return result_differences(wv.backtest(market, config), expected)


def sweep_differences(tables: Tables, sections: dict[str, Any]) -> list[str]:
    """The differences between the figures of a sweep of one row and of the oracle."""
    market, config, expected = with_expected(tables, sections)
    figures = wv.sweep(
        market, config, {"put.exit_pct": [config.put.exit_pct]}, threads=1
    ).frame.row(0, named=True)
    return summary_differences(figures, expected)


def all_differences(tables: Tables, sections: dict[str, Any]) -> list[str]:
    """The differences between the library and the oracle: records, summary, cash, what became of
    each entry session, and the figures of a sweep.
    """
    market, config, expected = with_expected(tables, sections)
    result = wv.backtest(market, config)
    found = result_differences(result, expected)
    found += entry_differences(result, expected)
    if config.rules == "ledger":
        found += cash_differences(result, expected)
    sweep = wv.sweep(market, config, {"put.exit_pct": [config.put.exit_pct]}, threads=1)
    swept = summary_differences(sweep.frame.row(0, named=True), expected)
    return found + [f"sweep: {one}" for one in swept]


def result_differences(result: wv.Result, expected: dict[str, Any]) -> list[str]:
    """The differences in records and summary."""
    result.validate()
    found = []
    rows = result.records.to_dicts()
    if len(rows) != len(expected["records"]):
        found.append(f"{len(rows)} records, the oracle has {len(expected['records'])}")
    for i, (row, right) in enumerate(zip(rows, expected["records"], strict=False)):
        for name, value in right.items():
            if name != "execution_version" and not same(row[name], value):
                found.append(
                    f"row {i} {right['wheel_id']} {right['phase']} {name}: {row[name]!r} != {value!r}"
                )
    return found + summary_differences(result.summary(), expected)


def summary_differences(figures: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The differences in the figures of the summary."""
    return [
        f"summary {name}: {figures[name]!r} != {value!r}"
        for name, value in expected["summary"].items()
        if not same(figures[name], value)
    ]


def entry_differences(result: wv.Result, expected: dict[str, Any]) -> list[str]:
    """The differences in what became of each entry session of an underlying."""
    found = []
    rows = {(row["session"], row["underlying"]): row for row in result.diagnostics.to_dicts()}
    for right in expected["diagnostics"]:
        row = rows.pop((right["session"], right["underlying"]), {})
        for name in ("outcome", "n_launched"):
            pair = row.get(name), right[name]
            # The library says of the contracts within the dte range alone whether one is solved.
            if pair[0] != pair[1] and set(pair) != {"not_solved", "no_candidate_in_range"}:
                place = f"{right['session']} {right['underlying']}"
                found.append(f"diagnostics {place} {name}: {pair[0]!r} != {pair[1]!r}")
    return found + [f"diagnostics {place}: not in the oracle's" for place in rows]


def cash_differences(result: wv.Result, expected: dict[str, Any]) -> list[str]:
    """The differences in each wheel's cash, by kind of entry (ledger rules)."""
    sums: list[dict[tuple[str, str], float]] = [{}, {}]
    for side, entries in zip(sums, (result.ledger.to_dicts(), expected["ledger"]), strict=True):
        for entry in entries:
            place = (entry["wheel_id"], entry["entry"])
            side[place] = side.get(place, 0.0) + entry["amount"]
    got, right = sums
    return [
        f"ledger {place}: {got.get(place)!r} != {right.get(place)!r}"
        for place in sorted(got.keys() | right.keys())
        if not same(got.get(place, 0.0), right.get(place, 0.0))
    ]
