"""The arithmetic of stages.metrics, for many accounts at once: rows are accounts, columns sessions.

stages.metrics has the formulas in words. A figure that is not defined is NaN here.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.stages.arrays import Array

Values = dict[str, Array]  # (accounts,) each

YEAR = 252.0  # sessions
LEAST_SESSIONS = 126  # of a rate of growth: half a year
SLACK = 1e-9  # comparisons of portfolio.md
# Deviations of daily returns up to this are the rounding of doubles: those of cash over the
# riskless return are about 2e-16.
NO_DEVIATION = 1e-12
TAIL = 5.0  # percent


def returns(equity: Array, start: Array) -> Array:
    """(accounts, n) E_t/E_(t-1) - 1, the first against the cash; NaN after one that is not above 0.

    Args:
        equity: (accounts, n) dollars, by session.
        start: (accounts,) the cash before the first of them, dollars.
    """
    before = np.concatenate([start[:, None], equity[:, :-1]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0.0, equity / before - 1.0, np.nan)


def drawdowns(equity: Array, start: Array) -> Array:
    """(accounts, n) equity/peak - 1, the peak never under the first cash.

    Args:
        equity: (accounts, n) dollars, by session.
        start: (accounts,) the cash before the first of them, dollars.
    """
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), start[:, None])
    return np.asarray(equity / peak - 1.0)


def _ratio(above: Array, below: Array) -> Array:
    """above/below; NaN where one is not finite, or the second 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = above / below
    known = np.isfinite(above) & np.isfinite(below) & (below != 0.0)
    return np.where(known, found, np.nan)


def _deviation(values: Array) -> Array:
    """The standard deviation of samples; 0 where it is rounding only, NaN of fewer than two."""
    if values.shape[1] < 2:
        return np.full(values.shape[0], np.nan)
    found = values.std(axis=1, ddof=1)
    return np.where(found <= NO_DEVIATION, 0.0, found)


def series_values(day: Array, equity: Array, start: Array, riskless: Array) -> Values:
    """The figures of daily series of equity.

    Args:
        day: (n,) days since 1970-01-01, ascending.
        equity: (accounts, n) dollars.
        start: (accounts,) the cash before the first session, dollars.
        riskless: (n,) the riskless return of each session.
    """
    r, drawdown = returns(equity, start), drawdowns(equity, start)
    total, n = equity[:, -1] / start - 1.0, day.size
    defined = (total >= -1.0) & (n >= LEAST_SESSIONS)
    cagr = np.where(defined, np.maximum(1.0 + total, 0.0) ** (YEAR / n) - 1.0, np.nan)
    lowest = drawdown.min(axis=1)
    return {
        "total_return": total,
        "cagr": cagr,
        **_excess_values(r - riskless),
        "max_drawdown": lowest,
        "max_drawdown_days": _days_below(day, drawdown),
        "calmar": _ratio(cagr, np.where(lowest < -NO_DEVIATION, -lowest, np.nan)),
        "ulcer_index": np.sqrt(np.mean(drawdown * drawdown, axis=1)),
        **_moments(r),
        **_tail(r),
        **_months(day, r),
    }


def _excess_values(excess: Array) -> Values:
    deviation, mean, year = _deviation(excess), excess.mean(axis=1), float(np.sqrt(YEAR))
    below = np.minimum(excess, 0.0)
    downside = np.sqrt(np.mean(below * below, axis=1))
    return {
        "volatility": deviation * year,
        "sharpe": _ratio(mean * year, deviation),
        "sortino": _ratio(mean * year, np.where(downside > NO_DEVIATION, downside, np.nan)),
    }


def _days_below(day: Array, drawdown: Array) -> Array:
    """The most calendar days from a peak to the last session below it."""
    below = drawdown < -SLACK
    at_peak = np.where(below, np.int64(0), np.arange(day.size))
    peak = day[np.maximum.accumulate(at_peak, axis=1)]  # of the first cash: the first session
    return np.asarray(np.where(below, day - peak, 0).max(axis=1))


def _moments(r: Array) -> Values:
    apart = r - r.mean(axis=1, keepdims=True)
    square = apart * apart  # products: a power of an array takes fifty times as long
    known = _deviation(r) > 0.0
    second = np.where(known, square.mean(axis=1), np.nan)
    return {
        "skew": np.mean(square * apart, axis=1) / second**1.5,
        "kurtosis": np.mean(square * square, axis=1) / second**2,
    }


def _tail(r: Array) -> Values:
    bound = np.percentile(r, TAIL, axis=1)
    tail = r <= bound[:, None] + SLACK
    count = tail.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(tail, r, 0.0).sum(axis=1) / count
    # 0.0 - x, because the negative of 0.0 is shown as -0.00%
    return {"var_95": 0.0 - bound, "cvar_95": 0.0 - mean}


def _months(day: Array, r: Array) -> Values:
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    first = np.flatnonzero(np.diff(month, prepend=month[0] - 1))
    gain = np.multiply.reduceat(1.0 + r, first, axis=1) - 1.0
    up = np.where(np.isnan(gain).any(axis=1), np.nan, np.mean(gain > SLACK, axis=1))
    return {"best_month": gain.max(axis=1), "worst_month": gain.min(axis=1), "months_up": up}


def relative_values(
    equity: Array, benchmarks: dict[str, Array], start: Array, riskless: Array
) -> Values:
    """Alpha and beta of daily series on each benchmark.

    Args:
        equity: (accounts, n) dollars.
        benchmarks: (accounts, n) or (1, n) dollars by name, from the same cash.
        start: (accounts,) the cash before the first session, dollars.
        riskless: (n,) the riskless return of each session.
    """
    found: Values = {}
    excess = returns(equity, start) - riskless
    moved = _deviation(excess) != 0.0  # that of cash is rounding
    for name, series in benchmarks.items():
        base = returns(series, start[: series.shape[0]]) - riskless
        apart = base - base.mean(axis=1, keepdims=True)
        slope = np.mean(apart * excess, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = slope / np.mean(apart * apart, axis=1)
        known = (_deviation(base) > 0.0) & ~np.isnan(excess).any(axis=1)
        beta = np.where(known, np.where(moved, slope, 0.0), np.nan)
        alpha = (excess.mean(axis=1) - beta * base.mean(axis=1)) * YEAR
        found |= {f"alpha_{name}": alpha, f"beta_{name}": beta}
    return found


class Used(NamedTuple):
    """The use of cash of accounts: (accounts, n) each, but for the last.

    Attributes:
        equity: dollars.
        cash: dollars.
        invested: collateral and the value of shares, dollars.
        traded: (accounts,) absolute amounts of premiums, buy-backs and trades of shares, dollars.
    """

    equity: Array
    cash: Array
    invested: Array
    traded: Array


def use_values(of: Used) -> Values:
    """The figures of the use of cash of accounts."""
    known = np.asarray((of.equity > 0.0).all(axis=1))
    equity = np.where(known[:, None], of.equity, np.nan)
    return {
        "mean_exposure": (of.invested / equity).mean(axis=1),
        "mean_cash_share": np.mean(of.cash / equity, axis=1),
        "turnover": of.traded / equity.mean(axis=1) * YEAR / equity.shape[1],
    }


class Resolved(NamedTuple):
    """Wheels that accounts took and that are resolved: (wheels,) each.

    They are by account, exit session and then as recorded; dollars are of all that were taken.

    Attributes:
        account: whose each is, ascending.
        pnl: dollars.
        stock: the P&L of its shares, dollars.
        premium: received, dollars.
        days: calendar days, summed over the legs.
    """

    account: Array
    pnl: Array
    stock: Array
    premium: Array
    days: Array


def wheel_values(of: Resolved, capital: Array) -> Values:
    """The figures of accounts' resolved wheels.

    Args:
        of: the wheels.
        capital: (accounts,) mean over the sessions of collateral and cost of held shares, dollars.
    """
    n = capital.size

    def added(values: Array) -> Array:
        return np.bincount(of.account, values, n)

    won, lost = np.asarray(of.pnl > SLACK), np.asarray(of.pnl < -SLACK)
    every = np.ones(won.shape, np.bool_)
    count, wins, losses = (
        np.bincount(of.account[some], minlength=n) for some in (every, won, lost)
    )
    gains, lossed = added(np.where(won, of.pnl, 0.0)), added(np.where(lost, of.pnl, 0.0))
    total = added(of.pnl)
    none = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "win_rate": np.where(count, 100.0 * wins / count, none),
            "profit_factor": np.where(losses, gains / -lossed, none),
            "expectancy": np.where(count, total / count, none),
            "mean_win": np.where(wins, gains / wins, none),
            "mean_loss": np.where(losses, lossed / losses, none),
            "longest_losing_run": _losing_runs(of.account, lost, n),
            "mean_days_held": np.where(count, added(of.days) / count, none),
            "premium_kept": _ratio(added(of.pnl - of.stock), added(of.premium)),
            "return_on_collateral": _ratio(total, capital),
        }


def _losing_runs(account: Array, lost: Array, n: int) -> Array:
    """(n,) the most losses of each account one after the other."""
    number = np.arange(1, lost.size + 1)
    ended = ~lost | (np.diff(account, prepend=-1) != 0)
    # a loss that is the first of its account follows the wheel before it, of another account
    before = np.where(lost, number - 1, number)
    last_other = np.maximum.accumulate(np.where(ended, before, 0)) if lost.size else number
    out = np.zeros(n, np.int64)
    np.maximum.at(out, account, number - last_other)
    return out
