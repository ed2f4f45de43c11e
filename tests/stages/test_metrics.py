"""Figures of an account: by hand, against worked cases, and beside empyrical-reloaded."""

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import empyrical
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wheelvec.model.columns import of_metric
from wheelvec.stages import metrics as m
from wheelvec.stages.arrays import Array, column, days
from wheelvec.stages.metric_arrays import drawdowns

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
CASES = sorted(path.parent for path in GOLDEN.glob("account_*/metrics.json"))
# Tuesday, Wednesday, Thursday, Friday, Monday, Tuesday
DATES = [dt.date(2024, 1, day) for day in (30, 31)] + [dt.date(2024, 2, d) for d in (1, 2, 5, 6)]


def day_numbers(dates: list[dt.date]) -> Array:
    return days(pl.DataFrame({"session": dates}), "session")


def by_hand(equity: list[float], start: float = 1000.0, rate: float = 0.0) -> m.Figures:
    day = day_numbers(DATES[: len(equity)])
    return m.series_figures(day, np.array(equity), start, m.riskless(day, np.full(day.size, rate)))


def test_six_sessions_by_hand() -> None:
    # +10%, -10%, 0, +20%, -25%, +10%
    found = by_hand([1100.0, 990.0, 990.0, 1188.0, 891.0, 980.1])
    assert found["total_return"] == pytest.approx(-0.0199)
    assert found["cagr"] is None
    assert found["calmar"] is None
    mean = 0.05 / 6
    spread = math.sqrt((0.01 + 0.01 + 0.0 + 0.04 + 0.0625 + 0.01 - 6 * mean**2) / 5)
    assert found["volatility"] == pytest.approx(spread * math.sqrt(252))
    assert found["sharpe"] == pytest.approx(mean / spread * math.sqrt(252))
    assert found["sortino"] == pytest.approx(mean / math.sqrt(0.0725 / 6) * math.sqrt(252))
    # peaks: 1100 on Tuesday, 1188 on Friday
    drawdown = [0.0, -0.1, -0.1, 0.0, -0.25, -0.175]
    assert found["max_drawdown"] == pytest.approx(-0.25)
    assert found["max_drawdown_days"] == 4  # Friday to Tuesday; the first lasted two
    assert found["ulcer_index"] == pytest.approx(math.sqrt(sum(d * d for d in drawdown) / 6))
    # sorted returns -0.25, -0.1, 0, ...: a quarter of the way from the first to the second
    assert found["var_95"] == pytest.approx(0.25 - 0.25 * 0.15)
    assert found["cvar_95"] == pytest.approx(0.25)
    assert found["best_month"] == pytest.approx(-0.01)
    assert found["worst_month"] == pytest.approx(-0.01)
    assert found["months_up"] == 0.0


def test_an_account_that_never_moves_loses_nothing() -> None:
    found = by_hand([1000.0] * 6)
    for name in ("var_95", "cvar_95"):
        assert str(found[name]) == "0.0"  # and not -0.0, which is shown as a loss


def test_moments_of_a_population_by_hand() -> None:
    # +10% twice, -20% once: the mean is 0
    found = by_hand([1100.0, 1210.0, 968.0])
    second, third, fourth = 0.06 / 3, -0.006 / 3, 0.0018 / 3
    assert found["skew"] == pytest.approx(third / second**1.5)
    assert found["kurtosis"] == pytest.approx(fourth / second**2)


def test_months_are_those_of_the_calendar() -> None:
    found = by_hand([1010.0, 1020.0, 1000.0, 1100.0])
    assert found["best_month"] == pytest.approx(1100 / 1020 - 1)
    assert found["worst_month"] == pytest.approx(0.02)
    assert found["months_up"] == 1.0


def test_a_drawdown_from_the_first_cash_counts_from_the_first_session() -> None:
    found = by_hand([990.0, 995.0, 999.0])
    assert found["max_drawdown"] == pytest.approx(-0.01)
    assert found["max_drawdown_days"] == 2


def test_the_days_of_a_drawdown_end_with_the_last_session_below_the_peak() -> None:
    assert by_hand([1100.0, 1000.0, 1100.0])["max_drawdown_days"] == 1
    # a peak that is reached again is the peak from then on
    assert by_hand([1100.0, 1000.0, 1100.0, 1050.0])["max_drawdown_days"] == 1


def test_what_is_not_defined_is_none() -> None:
    flat = by_hand([1000.0] * 4)
    assert flat["volatility"] == 0.0
    assert [flat[name] for name in ("sharpe", "sortino", "skew", "kurtosis", "calmar")] == [
        None
    ] * 5
    assert (flat["max_drawdown"], flat["max_drawdown_days"], flat["months_up"]) == (0.0, 0, 0.0)
    once = by_hand([990.0])
    assert once["volatility"] is None
    assert once["sharpe"] is None
    assert once["var_95"] == pytest.approx(0.01)
    up = by_hand([1010.0, 1030.0])
    assert up["sortino"] is None
    assert up["sharpe"] is not None


def test_after_an_equity_of_nothing_returns_are_not_defined() -> None:
    found = by_hand([500.0, -100.0, 50.0])
    assert found["total_return"] == pytest.approx(-0.95)
    assert found["max_drawdown"] == pytest.approx(-1.1)
    undefined = ("volatility", "sharpe", "sortino", "skew", "var_95", "cvar_95", "best_month")
    assert [found[name] for name in undefined] == [None] * len(undefined)


def test_cash_alone_has_no_volatility_over_what_it_earns() -> None:
    n = 300
    day = np.arange(19724, 19724 + n) + 2 * (np.arange(n) // 5)  # weekends
    rate = np.linspace(0.0, 0.06, n)
    earned = m.riskless(day, rate)
    equity = 123_456.78 * np.cumprod(1.0 + earned)
    found = m.series_figures(day, equity, 123_456.78, earned)
    assert found["volatility"] == 0.0
    assert found["sharpe"] is None
    assert found["sortino"] is None
    assert found["cagr"] == pytest.approx((equity[-1] / 123_456.78) ** (252 / n) - 1)


def test_riskless_is_that_of_the_session_before_over_its_days() -> None:
    found = m.riskless(day_numbers(DATES), np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    assert found[0] == 0.0
    assert found[4] == pytest.approx(math.exp(0.04 * 3 / 365) - 1, rel=1e-12)
    assert found[5] == pytest.approx(math.exp(0.05 / 365) - 1, rel=1e-12)


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_worked_accounts(folder: Path) -> None:
    account = json.loads((folder / "account.json").read_text())["account"]
    daily = pl.read_parquet(folder / "daily.parquet")
    start, day = account.get("cash", 100_000.0), days(daily, "session")
    earned = m.riskless(day, np.full(day.size, account.get("rate", 0.0)))
    equity = column(daily, "equity", float)
    no_flows = pl.DataFrame(schema={"date": pl.Date, "entry": pl.String, "amount": pl.Float64})
    found = m.series_figures(day, equity, start, earned) | m.use_figures(daily, no_flows)
    expected = json.loads((folder / "metrics.json").read_text())
    assert len(expected) == 14
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-9)), name
    drawdown = drawdowns(equity[None], np.array([start]))[0]
    assert drawdown == pytest.approx(daily["drawdown"].to_numpy(), abs=1e-12)


# ---- beside empyrical-reloaded

DAILY = st.lists(st.floats(-0.3, 0.3).map(lambda r: round(r, 6)), min_size=20, max_size=300)


def beside(values: list[float]) -> tuple[pd.Series, m.Figures, Array, Array]:
    r, index = np.array(values), pd.bdate_range("2020-01-02", periods=len(values))
    day = index.to_numpy().astype("datetime64[D]").astype(np.int64)
    earned = m.riskless(day, np.full(day.size, 0.05))
    equity = 1000.0 * np.cumprod(1.0 + r)
    return pd.Series(r, index), m.series_figures(day, equity, 1000.0, earned), earned, equity


@settings(deadline=None, max_examples=60)
@given(DAILY)
def test_figures_of_empyrical(values: list[float]) -> None:
    r, found, earned, _ = beside(values)
    theirs = {
        "total_return": empyrical.cum_returns_final(r),
        "max_drawdown": empyrical.max_drawdown(r),
        "var_95": -empyrical.value_at_risk(r),
        "volatility": empyrical.annual_volatility(r - earned),
        "sharpe": empyrical.sharpe_ratio(r, risk_free=pd.Series(earned, r.index)),
        "sortino": empyrical.sortino_ratio(r, required_return=pd.Series(earned, r.index)),
        "cagr": empyrical.cagr(r),
        "calmar": empyrical.calmar_ratio(r),
        "best_month": empyrical.aggregate_returns(r, "monthly").max(),
        "worst_month": empyrical.aggregate_returns(r, "monthly").min(),
    }
    for name, value in theirs.items():
        if found[name] is not None:
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert (found["cagr"] is None) == (len(values) < 126)


@settings(deadline=None, max_examples=40)
@given(DAILY.map(lambda values: values[: len(values) // 2 * 2]))
def test_alpha_and_beta_of_empyrical(values: list[float]) -> None:
    half = len(values) // 2
    ours, _, earned, equity = beside(values[:half])
    base = pd.Series(values[half:], ours.index)
    stock = pl.DataFrame({"stock": 1000.0 * np.cumprod(1.0 + base.to_numpy())})
    found = m.relative_figures(equity, stock, 1000.0, earned)
    # its beta leaves a riskless rate out that changes from day to day
    alpha, beta = empyrical.alpha_beta_aligned(ours - earned, base - earned, annualization=1)
    if found["beta_stock"] is not None:
        assert found["beta_stock"] == pytest.approx(beta, rel=1e-6, abs=1e-9)
        assert found["alpha_stock"] == pytest.approx(alpha * 252, rel=1e-6, abs=1e-9)


def test_alpha_and_beta_by_hand() -> None:
    """Twice the benchmark and 0.1% a day: beta 2, alpha 0.252."""
    base = np.array([0.01, -0.02, 0.03, 0.0])
    equity = 1000.0 * np.cumprod(1.0 + 2.0 * base + 0.001)
    frame = pl.DataFrame({"session": DATES[:4], "stock": 500.0 * np.cumprod(1.0 + base)})
    frame = frame.with_columns(pl.col("stock") * 2.0, cash=pl.lit(1000.0))
    found = m.relative_figures(equity, frame, 1000.0, np.zeros(4))
    assert found["beta_stock"] == pytest.approx(2.0)
    assert found["alpha_stock"] == pytest.approx(0.252)
    assert found["alpha_cash"] is None
    assert found["beta_cash"] is None
    cash = m.relative_figures(1000.0 * np.ones(4), frame, 1000.0, np.zeros(4))
    assert (cash["alpha_stock"], cash["beta_stock"]) == (0.0, 0.0)


# ---- of wheels


def account(**changes: Any) -> m.Accounted:
    """Four sessions, three wheels: a put that gains, an assigned one that loses, one not taken.

    The second is taken twice: collateral of 2,000 until its shares are bought on the second session
    for 1,990, which are sold on the fourth.
    """
    wheels = pl.DataFrame(
        {
            "taken": [1, 2, 0, 1],
            "reason": [None, None, "no_cash", None],
            "entry_date": DATES[:1] * 4,
            "exit_date": [DATES[1], DATES[3], DATES[1], None],
            "initial_capital": [500.0, 1000.0, 500.0, 400.0],
            "stock_pnl": [0.0, -60.0, 0.0, None],
            "total_days": [1, 3, 1, None],
            "account_pnl": [20.0, -50.0, None, None],
        }
    )
    flows = pl.DataFrame(
        [
            (0, DATES[0], "premium", 30.0),
            (0, DATES[1], "buy_back", -10.0),
            (1, DATES[0], "premium", 80.0),
            (1, DATES[0], "fees", -10.0),
            (1, DATES[1], "share_purchase", -1990.0),
            (1, DATES[3], "share_sale", 1870.0),
            (3, DATES[0], "premium", 15.0),
            (3, DATES[5], "share_purchase", -400.0),  # after the last session
        ],
        schema={"row": pl.Int64, "date": pl.Date, "entry": pl.String, "amount": pl.Float64},
        orient="row",
    )
    daily = pl.DataFrame(
        {
            "session": DATES[:4],
            "equity": [4000.0, 4000.0, 4000.0, 2000.0],
            "cash": [4000.0, 2000.0, 2000.0, 2000.0],
            "exposure": [0.725, 0.6, 0.6, 0.0],
        }
    )
    benchmarks = pl.DataFrame({"session": DATES[:4], "stock": [4000.0, 4400.0, 4400.0, 4840.0]})
    made = m.Accounted(daily, wheels, flows, benchmarks, 4000.0, np.zeros(4))
    return made._replace(**changes)


def test_wheels_by_hand() -> None:
    found = m.metrics(account())
    assert [found[name] for name in ("taken", "resolved", "skipped", "skipped_no_cash")] == [
        3,
        2,
        1,
        1,
    ]
    assert found["skipped_max_wheels"] == 0
    assert found["win_rate"] == 50.0
    assert found["profit_factor"] == pytest.approx(0.4)
    assert found["expectancy"] == -15.0
    assert (found["mean_win"], found["mean_loss"]) == (20.0, -50.0)
    assert found["longest_losing_run"] == 1
    assert found["mean_days_held"] == 2.0
    # P&L of the options 20 and -50 + 2*60, of premiums of 30 and 80
    assert found["premium_kept"] == pytest.approx(90 / 110)
    # in use after the close: 500 + 2000, then 1990, 1990, 0
    assert found["return_on_collateral"] == pytest.approx(-30 / ((2500 + 1990 + 1990 + 0) / 4))
    assert found["mean_exposure"] == pytest.approx(1.925 / 4)
    assert found["mean_cash_share"] == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)
    traded = 30 + 10 + 80 + 1990 + 1870 + 15
    assert found["turnover"] == pytest.approx(traded / 3500 * 252 / 4)


def test_a_benchmark_has_the_figures_of_its_series_alone() -> None:
    own, found = m.metrics(account()), m.metrics(account(), "stock")
    assert list(own) == list(found)
    assert found["total_return"] == pytest.approx(0.21)
    assert found["beta_stock"] == pytest.approx(1.0)
    assert [found[name] for name in ("turnover", "taken", "win_rate")] == [None] * 3


def test_an_account_in_which_nothing_was_taken() -> None:
    empty = account()
    nothing = empty.wheels.with_columns(
        taken=pl.lit(0), reason=pl.lit("too_small"), account_pnl=pl.lit(None, pl.Float64)
    )
    found = m.metrics(empty._replace(wheels=nothing, flows=empty.flows.clear()))
    assert (found["taken"], found["skipped"], found["skipped_too_small"]) == (0, 4, 4)
    undefined = (
        "win_rate", "profit_factor", "expectancy", "mean_win", "mean_loss", "mean_days_held",
        "premium_kept", "return_on_collateral",
    )  # fmt: skip
    assert [found[name] for name in undefined] == [None] * len(undefined)
    assert (found["turnover"], found["longest_losing_run"]) == (0.0, 0)


@pytest.mark.parametrize(
    ("pnl", "longest"),
    [([], 0), ([1.0], 0), ([-1.0], 1), ([-1.0, -2.0, 3.0, -1.0], 2), ([5.0, -1.0, 0.0, -1.0], 1)],
)
def test_a_run_of_losses_is_by_exit_date(pnl: list[float], longest: int) -> None:
    n = len(pnl)
    wheels = pl.DataFrame(
        {
            "taken": [1] * n,
            "reason": [None] * n,
            "entry_date": DATES[:1] * n,
            "exit_date": DATES[1 : n + 1][::-1],
            "initial_capital": [500.0] * n,
            "stock_pnl": [0.0] * n,
            "total_days": [1] * n,
            "account_pnl": pnl[::-1],
        },
        schema_overrides={"reason": pl.String, "entry_date": pl.Date, "exit_date": pl.Date}
        | dict.fromkeys(("initial_capital", "stock_pnl", "account_pnl"), pl.Float64)
        | dict.fromkeys(("taken", "total_days"), pl.Int64),
    )
    found = m.wheel_figures(wheels, account().flows.clear(), day_numbers(DATES))
    assert found["longest_losing_run"] == longest


def test_every_figure_has_a_meaning_and_a_unit() -> None:
    for name in m.metrics(account()):
        assert of_metric(name).meaning, name
    with pytest.raises(KeyError):
        of_metric("sharp")
