"""Accounts: `simulate` beside a plain loop over days and wheels and beside vectorbt's `from_orders`,
and a sweep under an account beside a loop over `simulate`.

The plain loop is given what a user would have at hand (records, ledger and paths as rows) and gives
the same equity, to the cent. vectorbt is given what it cannot know: the orders of the wheels that the
account takes, and the marks. Rows of the sweep are compared with `simulate` in every metric.
"""

import datetime as dt
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

import wheelvec as wv
from benchmarks import test_sweep
from benchmarks.agreement import same_arrays
from benchmarks.conftest import Measure
from benchmarks.test_path import ENGINES, vectorbt_with
from wheelvec.model.grid import GridLike

Array = np.ndarray[Any, np.dtype[np.float64]]

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
    """The value of a wheel's shares less that of its open legs, dollars."""
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


WORTHLESS = 1e-9  # dollars: vectorbt takes no price of 0


class Orders(NamedTuple):
    """Orders and closes by session and column: one for each leg, and for the shares of each wheel."""

    size: Array  # of options or shares; NaN: no order
    price: Array
    fees: Array
    close: Array


def orders_of(offered: wv.Result, portfolio: wv.Portfolio) -> Orders:
    """The orders of the wheels that an account takes, one contract each, and what is held at closes."""
    sessions = portfolio.daily["session"].to_list()
    marks = {
        (row["symbol"], row["session"]): (row["bid"], row["ask"], row["close"], row["source"])
        for row in offered.paths.iter_rows(named=True)
    }
    closes = {
        str(name): filled(dict(rows.select("session", "close").iter_rows()), sessions)
        for (name,), rows in offered.underlying.group_by("underlying")
    }
    paid = {
        (row["wheel_id"], row["entry"], sessions.index(row["date"])): row["amount"]
        for row in portfolio.ledger.iter_rows(named=True)
    }
    taken = portfolio.wheels.filter(portfolio.wheels["taken"] > 0)["wheel_id"]
    columns = []
    for row in offered.records.filter(offered.records["wheel_id"].is_in(taken.to_list())).iter_rows(
        named=True
    ):
        is_leg = row["phase"] in ("csp", "cc")
        orders = leg_orders(row, sessions, paid) if is_leg else share_orders(row, sessions, paid)
        if not orders:
            continue
        size, price, fees, close = np.full((4, len(sessions)), np.nan)
        fees[:] = 0.0
        for at, (number, dollars) in orders.items():
            size[at], price[at] = number, max(dollars, WORTHLESS)
            fees[at] = -paid.pop((row["wheel_id"], "fees", at), 0.0)
        close[:] = leg_marks(row, sessions, marks, closes) if is_leg else closes[row["underlying"]]
        columns.append((size, price, fees, np.fmax(close, WORTHLESS)))
    return Orders(*(np.column_stack(each) for each in zip(*columns, strict=True)))


Placed = dict[int, tuple[float, float]]  # session -> options or shares, and dollars for each
Paid = dict[tuple[str, str, int], float]  # wheel, entry of the ledger, session -> dollars


def leg_orders(row: dict[str, Any], sessions: list[dt.date], paid: Paid) -> Placed:
    """The sale of an option, and what it is bought back for: nothing at its settlement."""
    orders = {sessions.index(row["entry_date"]): (-100.0, row["premium"] / 100.0)}
    if row["exit_date"] is not None:
        left = sessions.index(row["exit_date"])
        orders[left] = 100.0, -paid.get((row["wheel_id"], "buy_back", left), 0.0) / 100.0
    return orders


def share_orders(row: dict[str, Any], sessions: list[dt.date], paid: Paid) -> Placed:
    """The purchase and the sale of a wheel's shares."""
    orders = {}
    for entry, number in (("share_purchase", 100.0), ("share_sale", -100.0)):
        for at in range(len(sessions)):
            if (row["wheel_id"], entry, at) in paid:
                orders[at] = number, abs(paid[row["wheel_id"], entry, at]) / 100.0
    return orders


def leg_marks(
    row: dict[str, Any], sessions: list[dt.date], marks: Any, closes: dict[str, Array]
) -> Array:
    """(sessions,) the marks of a leg while it is open, dollars per share; NaN before and after."""
    out, known = np.full(len(sessions), np.nan), dict[Any, float]()
    for at, day in enumerate(sessions):
        if row["entry_date"] <= day and (row["exit_date"] is None or day < row["exit_date"]):
            known[row["underlying"]] = closes[row["underlying"]][at]
            out[at] = marked(row, day, marks.get((row["symbol"], day)), known)
    return out


def filled(known: dict[dt.date, float], sessions: list[dt.date]) -> Array:
    """(sessions,) the last known value of each; NaN before the first."""
    out, last = np.full(len(sessions), np.nan), math.nan
    for i, day in enumerate(sessions):
        last = known.get(day, last)
        out[i] = last
    return out


@pytest.mark.parametrize("what", ENGINES)
def test_vectorbt(what: str, short: bool, measure: Measure, one_thread: None) -> None:
    vectorbt = vectorbt_with(what)
    offered = result(short)
    portfolio = wv.simulate(offered, ACCOUNT)
    orders = orders_of(offered, portfolio)

    def value() -> Any:
        made = vectorbt.Portfolio.from_orders(
            orders.close,
            size=orders.size,
            price=orders.price,
            fixed_fees=orders.fees,
            init_cash=ACCOUNT.cash,
            group_by=np.zeros(orders.close.shape[1], np.int64),
            cash_sharing=True,
        )
        return made.value()

    same_arrays(
        f"{what}: equity", np.asarray(value()).ravel(), portfolio.daily["equity"].to_numpy(), 0.005
    )
    n = offered.wheels.height
    measure(value, group="account", what=f"{what}, orders and marks given", n=n, threads=1)


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
    """A loop of backtests and simulations, instead of a sweep under an account."""
    sweep = swept(next(iter(FAMILIES)), ROWS_SHORT)
    configs = [sweep.row_config(i) for i in range(LOOPED)]
    market = test_sweep.market(False)

    def loop() -> list[Any]:
        return [wv.simulate(wv.backtest(market, one), ACCOUNT).metrics() for one in configs]

    taken = sweep.frame["account_taken"].to_list()[:LOOPED]
    assert [figures["taken"] for figures in loop()] == taken
    measure(loop, group="account sweep", what="a loop over simulate", n=LOOPED, threads=1)
