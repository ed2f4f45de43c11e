"""Figures of an account: of its daily equity, of its wheels, and beside benchmarks (portfolio.md).

A year has 252 sessions. Standard deviations are those of a sample (divisor n - 1), except in skew
and kurtosis, which are those of a population. The riskless return of a session is what cash earned
since the session before, so that cash alone has an excess return of 0. A figure that is not defined
is None, never 0 and never infinite.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.stages.arrays import Array, column, days
from wheelvec.stages.metric_arrays import (
    Resolved,
    Used,
    Values,
    relative_values,
    series_values,
    use_values,
    wheel_values,
)

Figure = float | int | None
Figures = dict[str, Figure]

TRADES = ("premium", "buy_back", "share_purchase", "share_sale")
# why a wheel is skipped, in the order of the tests
SKIPPED = (
    "too_small",
    "max_wheels",
    "max_wheels_per_underlying",
    "max_share_per_underlying",
    "no_cash",
)

# The benchmarks that every account has beside it.
BESIDE = ("buy_and_hold", "cash", "delta_matched")
_SERIES = (
    *("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown"),
    *("max_drawdown_days", "calmar", "ulcer_index", "skew", "kurtosis", "var_95", "cvar_95"),
    *("best_month", "worst_month", "months_up"),
)
_USE = ("mean_exposure", "mean_cash_share", "turnover")
_COUNTS = ("taken", "resolved", "skipped", *(f"skipped_{reason}" for reason in SKIPPED))
_WHEELS = (
    *("win_rate", "profit_factor", "expectancy", "mean_win", "mean_loss"),
    *("longest_losing_run", "mean_days_held", "premium_kept", "return_on_collateral"),
)
_WHOLE = ("max_drawdown_days", "longest_losing_run", *_COUNTS)
# The names of the metrics of an account without series of the user, and their types in frames.
METRICS = {
    name: pl.Int64 if name in _WHOLE else pl.Float64
    for name in (
        *_SERIES,
        *(f"{figure}_{name}" for name in BESIDE for figure in ("alpha", "beta")),
        *_USE,
        *_COUNTS,
        *_WHEELS,
    )
}


class Accounted(NamedTuple):
    """The history of an account, for its figures.

    Attributes:
        daily: session, equity, cash and exposure, dollars; one row a session.
        wheels: of the result: taken (how often, or 0), reason (why it was skipped, or null),
            entry_date, exit_date, initial_capital and stock_pnl (dollars, of one), total_days, and
            account_pnl (dollars, of all that were taken; null if unresolved).
        flows: the cash of the taken wheels: row (in `wheels`), date, entry (the kinds of a ledger),
            amount (dollars, of all that were taken).
        benchmarks: session and the equity of each benchmark, dollars.
        start: the cash that the account began with, dollars.
        riskless: (sessions,) the return of cash since the session before; 0 on the first.
    """

    daily: pl.DataFrame
    wheels: pl.DataFrame
    flows: pl.DataFrame
    benchmarks: pl.DataFrame
    start: float
    riskless: Array


def riskless(day: Array, rate: Array) -> Array:
    """The return of cash since the session before: exp(rate*days/365) - 1.

    Args:
        day: (sessions,) days since 1970-01-01, ascending.
        rate: (sessions,) per year, continuously compounded; the days between two sessions earn that
            of the earlier one.

    Returns:
        (sessions,) fractions; 0 on the first.

    Example:
        >>> import numpy as np
        >>> riskless(np.array([0, 1, 4]), np.array([0.0365, 0.073, 0.5])).round(8).tolist()
        [0.0, 0.00010001, 0.00060018]
    """
    earned = np.zeros(day.size)
    earned[1:] = np.expm1(rate[:-1] * np.diff(day) / 365.0)
    return earned


def metrics(of: Accounted, benchmark: str | None = None) -> Figures:
    """The figures of an account, or those that a benchmark has; the names are the same.

    Those of the daily series are described in `series_figures`, of what the cash was used for in
    `use_figures`, beside benchmarks in `relative_figures`, of the wheels in `wheel_figures`. A
    benchmark has the first and the third; the others are None.

    Args:
        of: the account.
        benchmark: the column of its benchmarks; None: the account itself.
    """
    equity = column(of.daily if benchmark is None else of.benchmarks, benchmark or "equity", float)
    day = days(of.daily, "session")
    found = series_figures(day, equity, of.start, of.riskless)
    own = use_figures(of.daily, of.flows) | wheel_figures(of.wheels, of.flows, day)
    relative = relative_figures(equity, of.benchmarks, of.start, of.riskless)
    return found | relative | (own if benchmark is None else dict.fromkeys(own))


# ---- of a daily series


def series_figures(day: Array, equity: Array, start: float, riskless: Array) -> Figures:
    """The figures of a daily series of equity.

    With r the daily return (the first against the cash), x = r - riskless, n sessions, and sd the
    standard deviation of a sample:

    | figure | formula | null |
    | --- | --- | --- |
    | total_return | last equity/first cash - 1 | |
    | cagr | (1 + total_return)^(252/n) - 1 | n < 126; less than nothing left |
    | volatility | sd(x)*sqrt(252) | n < 2 |
    | sharpe | mean(x)/sd(x)*sqrt(252) | sd is 0 |
    | sortino | mean(x)/sqrt(mean(min(x, 0)^2))*sqrt(252), over all days | no day under riskless |
    | max_drawdown | least of equity/peak - 1 | |
    | max_drawdown_days | most calendar days from a peak to the last session below it | |
    | calmar | cagr/abs(max_drawdown) | no cagr, no drawdown |
    | ulcer_index | sqrt(mean(drawdown^2)) | |
    | skew, kurtosis | m3/m2^1.5, m4/m2^2 of r, m being central moments; 3 is normal | m2 is 0 |
    | var_95 | - the 5th percentile of r, linear between returns | |
    | cvar_95 | - the mean of the returns at or under that percentile | |
    | best_month, worst_month | greatest and least return of a calendar month | |
    | months_up | months with a gain/months | |

    All are fractions, max_drawdown_days apart; those of returns are None after an equity that was
    not positive. The first and the last month are as long as the series has them. The days of a
    drawdown from the first cash count from the first session.

    Sources: Sharpe, "The Sharpe Ratio", Journal of Portfolio Management (1994); Sortino and Price,
    "Performance Measurement in a Downside Risk Framework", Journal of Investing (1994); for the
    ulcer index Martin, "The Investor's Guide to Fidelity Funds" (1989, with others); Rockafellar
    and Uryasev, "Optimization of Conditional Value-at-Risk", Journal of Risk (2000).

    Args:
        day: (n,) days since 1970-01-01, ascending.
        equity: (n,) dollars.
        start: the cash before the first session, dollars.
        riskless: (n,) the riskless return of each session.

    Example:
        >>> import numpy as np
        >>> equity = np.array([101.0, 99.99, 102.9897])  # +1%, -1%, +3%
        >>> found = series_figures(np.arange(3), equity, 100.0, np.zeros(3))
        >>> [round(found[name], 4) for name in ("total_return", "volatility", "max_drawdown")]
        [0.0299, 0.3175, -0.01]
    """
    return _of_one(series_values(day, equity[None], np.array([start]), riskless))


def _of_one(values: Values) -> Figures:
    """The values of the only account; None where one is not defined."""
    return {name: _figure(name, value[0]) for name, value in values.items()}


def _figure(name: str, value: float) -> Figure:
    if np.isnan(value):
        return None
    return int(value) if name in _WHOLE else float(value)


# ---- beside benchmarks


def relative_figures(
    equity: Array, benchmarks: pl.DataFrame, start: float, riskless: Array
) -> Figures:
    """Alpha and beta of a daily series on each benchmark: `alpha_` and `beta_` and its name.

    With x and b the daily returns less the riskless one of the series and of the benchmark, by
    ordinary least squares x = alpha/252 + beta*b + error:

        beta  = cov(x, b)/var(b)
        alpha = (mean(x) - beta*mean(b))*252    a year, not compounded

    Both are None for a benchmark without deviation from the riskless return, such as cash.

    Source: Jensen, "The Performance of Mutual Funds in the Period 1945-1964", Journal of Finance
    (1968).

    Args:
        equity: (n,) dollars.
        benchmarks: session, and (n,) dollars by name.
        start: the cash before the first session, dollars.
        riskless: (n,) the riskless return of each session.

    Example:
        >>> import numpy as np
        >>> import polars as pl
        >>> equity, flat = np.array([101.0, 99.99, 102.9897]), np.zeros(3)
        >>> stock = pl.DataFrame({"stock": [102.0, 99.96, 105.9576]})  # +2%, -2%, +6%
        >>> found = relative_figures(equity, stock, 100.0, flat)
        >>> round(found["beta_stock"], 6), round(found["alpha_stock"], 6) + 0.0
        (0.5, 0.0)
    """
    names = [name for name in benchmarks.columns if name != "session"]
    base = {name: column(benchmarks, name, float)[None] for name in names}
    return _of_one(relative_values(equity[None], base, np.array([start]), riskless))


# ---- of the use of cash


def use_figures(daily: pl.DataFrame, flows: pl.DataFrame) -> Figures:
    """The figures of the use of cash of an account.

    | figure | formula |
    | --- | --- |
    | mean_exposure | mean of (collateral + shares)/equity over the sessions |
    | mean_cash_share | mean of cash/equity, the cash that secures puts included |
    | turnover | premiums, buy-backs, purchases and sales of shares/mean equity * 252/n, a year |

    The amounts of turnover are absolute ones. None where an equity is not positive.

    Args:
        daily: n rows of session, equity, cash and exposure.
        flows: date, entry and amount (dollars) of the taken wheels.
    """
    equity, cash, exposure = (
        column(daily, name, float)[None] for name in ("equity", "cash", "exposure")
    )
    traded = flows.filter(pl.col("entry").is_in(TRADES), pl.col("date") <= daily["session"][-1])
    amount = np.abs(column(traded, "amount", float)).sum()
    return _of_one(use_values(Used(equity, cash, exposure * equity, np.array([amount]))))


# ---- of wheels


def wheel_figures(wheels: pl.DataFrame, flows: pl.DataFrame, day: Array) -> Figures:
    """The figures of an account's wheels; all but the counts are over the taken and resolved.

    A wheel counts once, however often it was taken; its P&L is that in the account.

    | figure | formula | null |
    | --- | --- | --- |
    | taken, resolved | wheels taken, and of these resolved | |
    | skipped, skipped_* | wheels skipped, and by reason | |
    | win_rate | percent of the wheels with P&L > 0 | no wheel |
    | profit_factor | sum of the gains/sum of the losses | no loss |
    | expectancy | mean P&L, dollars | no wheel |
    | mean_win, mean_loss | mean of the gains, and of the losses, dollars | none |
    | longest_losing_run | losses one after the other, by exit date, then as recorded | |
    | mean_days_held | mean calendar days, summed over the legs of a wheel | no wheel |
    | premium_kept | put and call P&L/premium received | no premium |
    | return_on_collateral | P&L/mean over the sessions of collateral and cost of held shares | 0 |

    A P&L within 1e-9 of 0 is neither a gain nor a loss, and ends a run of losses. The collateral is
    that of open puts after the close. The cost of held shares is what was paid for them.

    Args:
        wheels: as `Accounted.wheels`.
        flows: as `Accounted.flows`.
        day: (sessions,) days since 1970-01-01, ascending.
    """
    numbered = wheels.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    taken = numbered.filter(pl.col("taken") > 0)
    known = taken.filter(pl.col("account_pnl").is_not_null())
    known = known.sort("exit_date", maintain_order=True)
    skipped = numbered.filter(pl.col("taken") == 0)["reason"]
    flows = flows.with_columns(pl.col("row").cast(pl.Int64))
    premiums = (
        flows.filter(pl.col("entry") == "premium").group_by("row").agg(pl.col("amount").sum())
    )
    premium = known.select("row").join(premiums, on="row", how="left", maintain_order="left")
    resolved = Resolved(
        np.zeros(known.height, np.int64),
        column(known, "account_pnl", float),
        column(known, "stock_pnl", float) * column(known, "taken", float),
        column(premium, "amount", float),
        column(known, "total_days", float),
    )
    capital = _capital(known, flows.join(known, on="row", how="semi"), day).mean()
    return {
        "taken": taken.height,
        "resolved": known.height,
        "skipped": skipped.len(),
        **{f"skipped_{reason}": int((skipped == reason).sum()) for reason in SKIPPED},
        **_of_one(wheel_values(resolved, np.array([capital]))),
    }


def _capital(known: pl.DataFrame, flows: pl.DataFrame, day: Array) -> Array:
    """(sessions,) collateral and cost of held shares of resolved wheels after the close, dollars.

    A put's collateral stands from its sale; the purchase of the shares replaces it by their cost.
    """
    secured = column(known, "initial_capital", float) * column(known, "taken", float)
    bought = (
        flows.filter(pl.col("entry") == "share_purchase")
        .group_by("row")
        .agg(pl.col("amount").sum(), pl.col("date").first())
    )
    paid = known.select("row").join(bought, on="row", how="left", maintain_order="left")
    purchased, ended = paid["amount"].is_not_null().to_numpy(), days(known, "exit_date")
    cost = np.where(purchased, -column(paid, "amount", float), secured)
    delivered = np.where(purchased, days(paid, "date"), ended)
    changes = np.zeros(day.size + 1)
    for when, amount in (
        (days(known, "entry_date"), secured),
        (delivered, cost - secured),
        (ended, -cost),
    ):
        np.add.at(changes, np.searchsorted(day, when), amount)
    return np.asarray(changes[:-1].cumsum())
