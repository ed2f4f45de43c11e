"""The units of resampling: the entry sessions of results and sweeps, the days of portfolios."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference import figures
from wheelvec.inference.figures import Percentile, Statistic, Wheels
from wheelvec.model import osi
from wheelvec.model.errors import InsufficientDataError
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]

BATCH = 256  # rows of a sweep whose wheels are in memory at a time
LOWEST = 5.0  # percent of the wheels
OF_WHEELS = ("avg_wheel_roc", "total_pnl", "win_rate", "profit_factor", "roc_p05")
OF_PORTFOLIOS = ("sharpe", "sortino", "cagr", "max_drawdown")
# The summand of a wheel in its entry session, from its P&L and its capital in dollars.
SUMS: dict[str, Callable[[Array, Array], Any]] = {
    "wheels": lambda pnl, capital: np.float64(1.0),
    "pnl": lambda pnl, capital: pnl,
    "capital": lambda pnl, capital: capital,
    "roc": lambda pnl, capital: 100.0 * pnl / capital,
    "wins": lambda pnl, capital: pnl > 0.0,
    "gains": lambda pnl, capital: np.maximum(pnl, 0.0),
    "losses": lambda pnl, capital: np.maximum(-pnl, 0.0),
}


class Launched(NamedTuple):
    """The wheels in the summaries of one or several configurations.

    Attributes:
        day: (units,) datetime64[D], the entry sessions from the first to the last with a wheel.
        unit: (wheels,) int32, ascending, the entry session of each wheel.
        capital: (wheels,) dollars.
        pnl: (wheels, rows) dollars, NaN where a row has no such wheel in its summary.
        group: (rows,) the column of each row: rows that differ in their seed alone share one.
        rows: (columns,) the first row of each column; None of a result.
        holding: the most entry sessions that a wheel is held over.
    """

    day: Array
    unit: Array
    capital: Array
    pnl: Array
    group: Array
    rows: Array | None
    holding: int

    @property
    def columns(self) -> int:
        """The number of configurations."""
        return int(self.group.max()) + 1


def launched(x: Result | Sweep, what: str) -> Launched:
    """The wheels of a result or a sweep.

    Args:
        x: the result or the sweep.
        what: the statistic, for the refusal.

    Raises:
        InsufficientDataError: if no wheel is in the summary.
    """
    return _of_result(x, what) if isinstance(x, Result) else _of_sweep(x, what)


def _of_result(result: Result, what: str) -> Launched:
    sessions = result.diagnostics["session"].unique().sort()
    wheels = result.wheels.filter("in_summary").sort("entry_date", maintain_order=True)
    day, unit = _units(sessions, wheels["entry_date"], what)
    last = sessions.max()
    ends = result.wheels.select("entry_date", end=pl.col("exit_date").fill_null(last))
    entry, end = (ends[name].to_numpy().astype("datetime64[D]") for name in ("entry_date", "end"))
    held = np.searchsorted(day, end) - np.searchsorted(day, entry)
    pnl = wheels["pnl_marked"].to_numpy()[:, None].astype(np.float64)
    capital = wheels["initial_capital"].to_numpy().astype(np.float64)
    group = np.zeros(1, np.int64)
    return Launched(day, unit, capital, pnl, group, None, max(int(held.max(initial=1)), 1))


def _of_sweep(sweep: Sweep, what: str) -> Launched:
    wheels, pnl = sweep.pnl()
    known = ~np.isnan(pnl).all(axis=1)
    wheels, pnl = wheels.filter(known), pnl[known]
    day, unit = _units(sweep.sessions, wheels["entry_date"], what)
    capital = wheels.select(osi.strike_milli(pl.col("put_symbol"))).to_series().to_numpy() / 10.0
    ahead = np.searchsorted(day, day + np.timedelta64(sweep.longest_wheel, "D"))
    rows, group = np.unique(sweep.configurations, return_inverse=True)
    holding = max(int((ahead - np.arange(day.size)).max()), 1)
    return Launched(day, unit, capital, pnl, group, rows, holding)


def _units(sessions: pl.Series, entries: pl.Series, what: str) -> tuple[Array, Array]:
    """The entry sessions from the first to the last with a wheel, and the place of each wheel's."""
    if entries.is_empty():
        raise InsufficientDataError(f"{what} needs wheels in the summary: there are none")
    day, entry = (each.to_numpy().astype("datetime64[D]") for each in (sessions, entries))
    day = day[(day >= entry.min()) & (day <= entry.max())]
    return day, np.searchsorted(day, entry).astype(np.int32)


def summed(of: Launched, *names: str, keep: Array | None = None) -> tuple[Array, ...]:
    """(units, columns) each: what the wheels of each entry session add up to, the mean over seeds.

    Args:
        of: the wheels.
        names: of SUMS.
        keep: (units,) whether the wheels of an entry session count; None: of all.
    """
    starts = np.flatnonzero(np.diff(of.unit, prepend=-1))
    rows, columns = of.pnl.shape[1], of.columns
    out = tuple(np.zeros((of.day.size, columns)) for _ in names)
    seeds = np.bincount(of.group, minlength=columns)
    for first in range(0, rows, BATCH):
        batch = of.pnl[:, first : first + BATCH].astype(np.float64)
        known = ~np.isnan(batch)
        for name, total in zip(names, out, strict=True):
            values = np.where(known, SUMS[name](batch, of.capital[:, None]), 0.0)
            added = np.add.reduceat(values, starts, axis=0)
            into = of.group[first : first + BATCH]
            np.add.at(total, (of.unit[starts][:, None], into[None, :]), added)
    for total in out:
        total /= seeds
        if keep is not None:
            total[~keep] = 0.0
    return out


def wheel_statistic(of: Launched, figure: str) -> Statistic:
    """A figure of the wheels of each configuration.

    Args:
        of: the wheels.
        figure: one of OF_WHEELS.
    """
    if figure == "avg_wheel_roc":
        return figures.average_roc(*summed(of, "roc", "wheels"))
    if figure == "win_rate":
        return figures.win_rate(*summed(of, "wins", "wheels"))
    if figure == "profit_factor":
        return figures.profit_factor(*summed(of, "gains", "losses"))
    if figure == "total_pnl":
        return figures.total(*summed(of, "pnl"))
    wheels = [_ascending(of, np.flatnonzero(of.group == column)) for column in range(of.columns)]
    return Percentile(wheels, of.day.size, LOWEST)


def _ascending(of: Launched, rows: Array) -> Wheels:
    """The ROC of the wheels of some rows, in percent."""
    roc = 100.0 * of.pnl[:, rows].astype(np.float64) / of.capital[:, None]
    known = ~np.isnan(roc)
    unit = np.broadcast_to(of.unit[:, None], roc.shape)[known]
    order = roc[known].argsort(kind="stable")
    return Wheels(roc[known][order], unit[order].astype(np.int32))


class Daily(NamedTuple):
    """The days of a portfolio.

    Attributes:
        returns: (days,) fractions.
        excess: (days,) over what cash earned.
        holding: the most sessions that a wheel is held.
    """

    returns: Array
    excess: Array
    holding: int


def daily(portfolio: Portfolio, what: str) -> Daily:
    """The days of a portfolio.

    Args:
        portfolio: the account.
        what: the statistic, for the refusal.

    Raises:
        InsufficientDataError: if its equity was not always positive.
    """
    frame = portfolio.returns
    returns, excess = (frame[name].to_numpy() for name in ("return", "excess"))
    if np.isnan(returns).any() or (returns <= -1.0).any():
        raise InsufficientDataError(f"{what} needs an equity that is always positive: it was not")
    day = frame["session"].to_numpy().astype("datetime64[D]")
    taken = portfolio.wheels.filter(pl.col("taken") > 0)
    entry = taken["entry_date"].to_numpy().astype("datetime64[D]")
    end = taken["exit_date"].fill_null(frame["session"][-1]).to_numpy().astype("datetime64[D]")
    held = np.searchsorted(day, end) - np.searchsorted(day, entry)
    return Daily(returns, excess, max(int(held.max(initial=1)), 1))


def daily_statistic(of: Daily, figure: str) -> Statistic:
    """A figure of the days of a portfolio, as in `Portfolio.metrics`.

    Args:
        of: the days.
        figure: one of OF_PORTFOLIOS.
    """
    returns, excess = of.returns[:, None], of.excess[:, None]
    if figure == "sharpe":
        return figures.sharpe(excess, figures.YEAR)
    if figure == "sortino":
        return figures.sortino(excess, figures.YEAR)
    return figures.cagr(returns) if figure == "cagr" else figures.Drawdown(returns)
