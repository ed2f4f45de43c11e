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

Figure = float | int | None
Figures = dict[str, Figure]

YEAR = 252.0  # sessions
LEAST_SESSIONS = 126  # of a rate of growth: half a year
SLACK = 1e-9  # comparisons of portfolio.md
# Deviations of daily returns up to this are the rounding of doubles: those of cash over the
# riskless return are about 2e-16.
NO_DEVIATION = 1e-12
TAIL = 5.0  # percent
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
    """What an account was, for its figures.

    Attributes:
        daily: session, equity, cash and exposure, dollars; one row a session.
        wheels: of the result: taken (how often, or 0), reason (why it was skipped, or null),
            entry_date, exit_date, initial_capital and stock_pnl (dollars, of one), total_days, and
            account_pnl (dollars, of all that were taken; null if unresolved).
        flows: the cash of the taken wheels: row (in `wheels`), date, entry (the kinds of a ledger),
            amount (dollars, of all that were taken).
        benchmarks: session and the equity of each benchmark, dollars.
        start: the cash that the account began with, dollars.
        riskless: (sessions,) what a dollar of cash earned since the session before; 0 on the first.
    """

    daily: pl.DataFrame
    wheels: pl.DataFrame
    flows: pl.DataFrame
    benchmarks: pl.DataFrame
    start: float
    riskless: Array


def riskless(day: Array, rate: Array) -> Array:
    """What a dollar of cash earned since the session before: exp(rate*days/365) - 1.

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


def returns(equity: Array, start: float) -> Array:
    """(n,) E_t/E_(t-1) - 1, the first against the cash; NaN after an equity that is not positive.

    Args:
        equity: (n,) dollars, by session.
        start: the cash before the first of them, dollars.
    """
    before = np.concatenate([[start], equity[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0.0, equity / before - 1.0, np.nan)


def drawdowns(equity: Array, start: float) -> Array:
    """(n,) equity/peak - 1; the peak is the highest equity so far, and never under the first cash.

    Args:
        equity: (n,) dollars, by session.
        start: the cash before the first of them, dollars.
    """
    return np.asarray(equity / np.maximum(np.maximum.accumulate(equity), start) - 1.0)


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
    r, drawdown = returns(equity, start), drawdowns(equity, start)
    total, n = float(equity[-1] / start - 1.0), equity.size
    cagr = (1.0 + total) ** (YEAR / n) - 1.0 if n >= LEAST_SESSIONS and total >= -1.0 else None
    lowest = float(drawdown.min())
    return {
        "total_return": total,
        "cagr": cagr,
        **_excess_figures(r - riskless),
        "max_drawdown": lowest,
        "max_drawdown_days": _days_below(day, drawdown),
        "calmar": _ratio(cagr, -lowest if lowest < -NO_DEVIATION else None),
        "ulcer_index": float(np.sqrt(np.mean(drawdown**2))),
        **_moments(r),
        **_tail(r),
        **_months(day, r),
    }


def _ratio(above: float | None, below: float | None) -> float | None:
    """above/below; None where one is None, not finite, or the second 0."""
    if above is None or not below:
        return None
    return float(above / below) if np.isfinite(above) and np.isfinite(below) else None


def _deviation(values: Array) -> float | None:
    """The standard deviation of a sample; 0 where it is rounding only, None of fewer than two."""
    if values.size < 2 or np.isnan(values).any():
        return None
    found = float(values.std(ddof=1))
    return found if found > NO_DEVIATION else 0.0


def _excess_figures(excess: Array) -> Figures:
    deviation, mean, year = _deviation(excess), float(excess.mean()), float(np.sqrt(YEAR))
    downside = float(np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2)))
    return {
        "volatility": None if deviation is None else deviation * year,
        "sharpe": _ratio(mean * year, deviation),
        "sortino": _ratio(mean * year, downside if downside > NO_DEVIATION else None),
    }


def _days_below(day: Array, drawdown: Array) -> int:
    """The most calendar days from a peak to the last session below it."""
    below = drawdown < -SLACK
    at_peak = np.where(below, np.int64(0), np.arange(day.size))
    peak = day[np.maximum.accumulate(at_peak)]  # of the first cash: the first session
    return int(np.where(below, day - peak, 0).max())


def _moments(r: Array) -> Figures:
    if not _deviation(r):
        return {"skew": None, "kurtosis": None}
    apart = r - r.mean()
    square = apart * apart  # products: a power of an array takes fifty times as long
    second = square.mean()
    return {
        "skew": float(np.mean(square * apart) / second**1.5),
        "kurtosis": float(np.mean(square * square) / second**2),
    }


def _tail(r: Array) -> Figures:
    if np.isnan(r).any():
        return {"var_95": None, "cvar_95": None}
    bound = float(np.percentile(r, TAIL))
    # 0.0 - x, because the negative of 0.0 is shown as -0.00%
    return {"var_95": 0.0 - bound, "cvar_95": 0.0 - float(r[r <= bound + SLACK].mean())}


def _months(day: Array, r: Array) -> Figures:
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    first = np.flatnonzero(np.diff(month, prepend=month[0] - 1))
    gain = np.multiply.reduceat(1.0 + r, first) - 1.0
    if np.isnan(gain).any():
        return dict.fromkeys(("best_month", "worst_month", "months_up"))
    return {
        "best_month": float(gain.max()),
        "worst_month": float(gain.min()),
        "months_up": float(np.mean(gain > SLACK)),
    }


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
    found: Figures = {}
    excess = returns(equity, start) - riskless
    for name in benchmarks.columns:
        if name == "session":
            continue
        base = returns(column(benchmarks, name, float), start) - riskless
        alpha = beta = None
        if _deviation(base) and not np.isnan(excess).any():
            apart = base - base.mean()
            moves = _deviation(excess) != 0.0  # that of cash is rounding
            beta = float(np.mean(apart * excess) / np.mean(apart**2)) if moves else 0.0
            alpha = float((excess.mean() - beta * base.mean()) * YEAR)
        found |= {f"alpha_{name}": alpha, f"beta_{name}": beta}
    return found


# ---- of what the cash was used for


def use_figures(daily: pl.DataFrame, flows: pl.DataFrame) -> Figures:
    """What the cash of an account was used for.

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
    equity, cash = column(daily, "equity", float), column(daily, "cash", float)
    if not (equity > 0.0).all():
        return dict.fromkeys(("mean_exposure", "mean_cash_share", "turnover"))
    traded = flows.filter(pl.col("entry").is_in(TRADES), pl.col("date") <= daily["session"][-1])
    amount = float(np.abs(column(traded, "amount", float)).sum())
    return {
        "mean_exposure": float(column(daily, "exposure", float).mean()),
        "mean_cash_share": float(np.mean(cash / equity)),
        "turnover": amount / float(equity.mean()) * YEAR / equity.size,
    }


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
    skipped = numbered.filter(pl.col("taken") == 0)["reason"]
    of_known = flows.with_columns(pl.col("row").cast(pl.Int64)).join(known, on="row", how="semi")
    pnl = column(known, "account_pnl", float)
    stock = column(known, "stock_pnl", float) * column(known, "taken", float)
    premium = float(of_known.filter(pl.col("entry") == "premium")["amount"].sum())
    capital = float(_capital(known, of_known, day).mean())
    return {
        "taken": taken.height,
        "resolved": known.height,
        "skipped": skipped.len(),
        **{f"skipped_{reason}": int((skipped == reason).sum()) for reason in SKIPPED},
        **_pnl_figures(pnl),
        "longest_losing_run": _losing_run(known.sort("exit_date", maintain_order=True)),
        "mean_days_held": float(column(known, "total_days", float).mean()) if pnl.size else None,
        "premium_kept": _ratio(float((pnl - stock).sum()), premium),
        "return_on_collateral": _ratio(float(pnl.sum()), capital),
    }


def _pnl_figures(pnl: Array) -> Figures:
    gains, losses = pnl[pnl > SLACK], pnl[pnl < -SLACK]
    return {
        "win_rate": 100.0 * gains.size / pnl.size if pnl.size else None,
        "profit_factor": float(gains.sum() / -losses.sum()) if losses.size else None,
        "expectancy": float(pnl.mean()) if pnl.size else None,
        "mean_win": float(gains.mean()) if gains.size else None,
        "mean_loss": float(losses.mean()) if losses.size else None,
    }


def _losing_run(ordered: pl.DataFrame) -> int:
    """The most losses one after the other."""
    lost = column(ordered, "account_pnl", float) < -SLACK
    number = np.arange(1, lost.size + 1)
    last_other = np.maximum.accumulate(np.where(lost, 0, number)) if lost.size else number
    return int((number - last_other).max(initial=0))


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
