"""Accounts: `simulate` beside a plain loop over days and wheels, and a sweep under an account beside
a loop over `simulate`.

The plain loop is given what a user would have at hand (records, ledger and paths as rows) and gives
the same equity, to the cent; rows of the sweep are compared with `simulate` in every metric.
"""

import datetime as dt
import math
from functools import cache
from typing import Any

import numpy as np
import pytest

import wheelvec as wv
from benchmarks import test_sweep
from benchmarks.conftest import Measure
from wheelvec.model.grid import GridLike

LOOP = "a plain loop over days and wheels"
ACCOUNT = wv.Account(cash=100_000.0)
ROWS, ROWS_SHORT, CHECKED, LOOPED = 10_000, 60, 10, 5
FAMILIES = {
    "exit_pct x stop x pfill_scale": test_sweep.exits_and_chance,
    "random dte, delta and liquidity": test_sweep.random_entries,
}
GOALS = {"exit_pct x stop x pfill_scale": 5.0, "random dte, delta and liquidity": 30.0}  # seconds


@cache
def result(short: bool) -> wv.Result:
    """The wheels of the demo market, or some ten thousand of ten years."""
    if short:
        return wv.backtest(wv.demo_market())
    market = wv.demo_market(symbols=["ALFA", "BRVO"], start="2015-01-02", end="2024-12-31")
    return wv.backtest(market, wv.Config(schedule=wv.Schedule(start_date="2015-01-02")))


def plain_loop(offered: wv.Result, cash: float) -> list[float]:
    """The equity by session of an account with one contract a wheel and no limit but its cash."""
    marks = {
        (row["symbol"], row["session"]): (row["bid"], row["ask"], row["close"], row["source"])
        for row in offered.paths.iter_rows(named=True)
    }
    closes = {
        (row["underlying"], row["session"]): row["close"]
        for row in offered.underlying.iter_rows(named=True)
    }
    wheels: list[dict[str, Any]] = []
    for row in offered.records.iter_rows(named=True):
        if row["phase"] == "csp":
            wheels.append({"put": row, "legs": [row], "cash": {}})
        elif row["phase"] == "cc":
            wheels[-1]["legs"].append(row)
        else:
            wheels[-1]["total"] = row
    by_id = {wheel["put"]["wheel_id"]: wheel for wheel in wheels}
    for row in offered.ledger.iter_rows(named=True):
        paid = by_id[row["wheel_id"]]["cash"]
        paid[row["date"]] = paid.get(row["date"], 0.0) + row["amount"]
    sessions = sorted({row["session"] for row in offered.underlying.iter_rows(named=True)})
    taken: list[dict[str, Any]] = []
    out, collateral, w = [], 0.0, 0
    known: dict[Any, float] = {}  # the last mark of a leg, the last close of an underlying
    for day in sessions:
        free = cash - collateral
        while w < len(wheels) and wheels[w]["put"]["entry_date"] <= day:
            put = wheels[w]["put"]
            fee = put["premium"] - wheels[w]["cash"][day]
            if put["initial_capital"] + fee <= free + 1e-9 * put["initial_capital"]:
                free += put["premium"] - put["initial_capital"] - fee
                taken.append(wheels[w])
            w += 1
        worth, collateral = 0.0, 0.0
        for wheel in taken:
            cash += wheel["cash"].get(day, 0.0)
            worth += value_of(wheel, day, marks, closes, known)
            put = wheel["put"]
            if put["exit_date"] is None or day < put["exit_date"]:
                collateral += put["initial_capital"]
        out.append(cash + worth)
        taken = [one for one in taken if one["total"]["exit_date"] != day]
    return out


def value_of(
    wheel: dict[str, Any], day: dt.date, marks: Any, closes: Any, known: dict[Any, float]
) -> float:
    """What a wheel's shares are worth less what is owed on its open legs, dollars."""
    put = wheel["put"]
    name, close = put["underlying"], closes.get((put["underlying"], day))
    if close is not None:
        known[name] = close
    worth = 0.0
    for leg in wheel["legs"]:
        if leg["entry_date"] <= day and (leg["exit_date"] is None or day < leg["exit_date"]):
            worth -= 100.0 * marked(leg, day, marks.get((leg["symbol"], day)), known)
    ended = wheel["total"]["exit_date"]
    if (
        put["exit_reason"] == "assigned"
        and put["exit_date"] <= day
        and (ended is None or day < ended)
    ):
        worth += 100.0 * known[name]
    return worth


def marked(leg: dict[str, Any], day: dt.date, row: Any, known: dict[Any, float]) -> float:
    """The mark of an open leg, dollars per share."""
    key = leg["wheel_id"], leg["symbol"]
    settled = leg["exit_date"] is None and day > leg["expiration"]
    if settled:
        return known[(*key, "shown")]
    if row is not None and row[0] is not None and row[1] is not None:
        known[key] = known[(*key, "shown")] = (row[0] + row[1]) / 2.0
    elif row is not None and row[3] == "bar" and day > leg["entry_date"]:
        known[key] = known[(*key, "shown")] = row[2]
    else:
        sign = 1.0 if leg["phase"] == "cc" else -1.0
        inner = max(0.0, sign * (known[leg["underlying"]] - leg["strike"]))
        known[(*key, "shown")] = max(known[key], inner)
    return known[(*key, "shown")]


def same_equity(offered: wv.Result) -> wv.Portfolio:
    """The portfolio of the library, its equity compared with that of the plain loop.

    Raises:
        AssertionError: naming the session.
    """
    found = wv.simulate(offered, ACCOUNT)
    for row, value in zip(
        found.daily.iter_rows(named=True), plain_loop(offered, ACCOUNT.cash), strict=False
    ):
        assert math.isclose(row["equity"], value, abs_tol=0.005), f"{row['session']}: {value}"
    return found


def test_simulate(short: bool, measure: Measure, one_thread: None) -> None:
    offered = result(short)
    same_equity(offered)
    n = offered.wheels.height
    measure(
        lambda: wv.simulate(offered, ACCOUNT),
        group="account",
        what="wheelvec",
        n=n,
        threads=1,
        note=f"{n:,} wheels",
    )


def test_plain_loop(short: bool, measure: Measure, one_thread: None) -> None:
    offered = result(short)
    n = offered.wheels.height
    measure(lambda: plain_loop(offered, ACCOUNT.cash), group="account", what=LOOP, n=n, threads=1)


def swept(family: str, rows: int) -> wv.Sweep:
    """A sweep under the account, over values that no earlier one had."""
    grid: GridLike = FAMILIES[family](np.random.default_rng(next(test_sweep.FRESH)), rows)
    return wv.sweep(
        test_sweep.market(False), wv.Config(), grid, account=ACCOUNT, stats="moments", threads=1
    )


def same_as_simulate(sweep: wv.Sweep, count: int) -> None:
    """Compare random rows in every metric.

    Raises:
        AssertionError: naming row and metric.
    """
    rng = np.random.default_rng(0)
    for row in rng.choice(
        sweep.frame.height, min(count, sweep.frame.height), replace=False
    ).tolist():
        found = sweep.frame.row(row, named=True)
        portfolio = wv.simulate(sweep.result(row), sweep.row_account(row))
        for name, value in portfolio.metrics().items():
            one = found[f"account_{name}"]
            same = one is value or math.isclose(one, value, rel_tol=1e-9, abs_tol=1e-9)
            assert same, f"row {row} {name}: {one!r}, simulate says {value!r}"


@pytest.mark.parametrize("family", FAMILIES)
def test_account_sweep(family: str, short: bool, measure: Measure, one_thread: None) -> None:
    rows = ROWS_SHORT if short else ROWS
    found = swept(family, rows)
    same_as_simulate(found, 2 if short else CHECKED)
    measure(
        lambda: swept(family, rows),
        group="account sweep",
        what=family,
        n=found.frame.height,
        threads=1,
        goal=GOALS[family],
    )


def test_loop_over_simulate(measure: Measure, one_thread: None) -> None:
    """What a sweep under an account takes the place of."""
    sweep = swept(next(iter(FAMILIES)), ROWS_SHORT)
    configs = [sweep.row_config(i) for i in range(LOOPED)]
    market = test_sweep.market(False)

    def loop() -> list[Any]:
        return [wv.simulate(wv.backtest(market, one), ACCOUNT).metrics() for one in configs]

    taken = sweep.frame["account_taken"].to_list()[:LOOPED]
    assert [figures["taken"] for figures in loop()] == taken
    measure(loop, group="account sweep", what="a loop over simulate", n=LOOPED, threads=1)
