"""The figures that are resampled: of sums, of the values of wheels, and of the path of equity."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.blocks import Drawn
from wheelvec.kernels.resample import equity_paths, weighted_percentiles

Array = NDArray[Any]

BATCH = 2**20  # counts that are multiplied at a time: few large products, each in 8 MiB
YEAR = 252.0  # sessions


class Statistic(Protocol):
    """A figure of each column, of whatever units are drawn."""

    @property
    def columns(self) -> int:
        """How many there are."""

    def influence(self) -> Array:
        """(units, columns) what each unit adds to the figure, up to a constant."""

    def of(self, drawn: Drawn, columns: slice) -> Array:
        """(columns, resamples) the figure; NaN where it is not defined."""


class Sums:
    """A figure of sums over the units: of one column after the other by a product of matrices.

    Args:
        values: (units, columns) each, to be summed.
        combined: takes the sums, (columns, resamples) each, and the number of units drawn; returns
            the figure.
    """

    def __init__(self, values: tuple[Array, ...], combined: Callable[..., Array]) -> None:
        self._values, self._combined = values, combined

    @property
    def columns(self) -> int:
        """How many there are."""
        return int(self._values[0].shape[1])

    def influence(self) -> Array:
        """(units, columns) the figure less that without the unit."""
        units = self._values[0].shape[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = self._combined(*(each.sum(axis=0) for each in self._values), units)
            left = self._combined(*(each.sum(axis=0) - each for each in self._values), units - 1)
            return np.asarray(np.nan_to_num(whole - left, posinf=0.0, neginf=0.0))

    def over(self, units: Array) -> Array:
        """(columns,) the figure over some units, (units,) flags; NaN where it is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = (each[units].sum(axis=0) for each in self._values)
            return self._combined(*sums, np.count_nonzero(units))

    def over_choices(self, choices: list[tuple[Array, int]]) -> float:
        """The figure of some units of one column after the other.

        Args:
            choices: (units,) flags and a column each; of column -1 nothing counts.
        """
        sums = [
            sum(float(each[units, column].sum()) for units, column in choices if column >= 0)
            for each in self._values
        ]
        units = sum(np.count_nonzero(units) for units, _ in choices)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self._combined(*(np.float64(each) for each in sums), units))

    def of(self, drawn: Drawn, columns: slice) -> Array:
        """(columns, resamples) the figure; NaN where it is not defined."""
        taken = [np.ascontiguousarray(each[:, columns].T) for each in self._values]
        resamples, units = drawn.counts.shape
        batch = max(1, BATCH // units)
        out = np.empty((taken[0].shape[0], resamples))
        with np.errstate(divide="ignore", invalid="ignore"):
            for start in range(0, resamples, batch):
                counts = drawn.counts[start : start + batch].astype(np.float64).T
                sums = (each @ counts for each in taken)
                out[:, start : start + batch] = self._combined(*sums, drawn.places)
        return out


class Wheels(NamedTuple):
    """The wheels of one column.

    Attributes:
        values: (n,) of each wheel, ascending.
        unit: (n,) int32, the unit of each.
    """

    values: Array
    unit: Array


class Percentile:
    """A percentile of the values of wheels, linear between them.

    Args:
        wheels: of each column.
        units: how many there are.
        percent: 0 to 100.
    """

    def __init__(self, wheels: list[Wheels], units: int, percent: float) -> None:
        self._wheels, self._units, self._percent = wheels, units, percent

    @property
    def columns(self) -> int:
        """How many there are."""
        return len(self._wheels)

    def influence(self) -> Array:
        """(units, columns) wheels at or under the percentile, less their expected number."""
        out = np.zeros((self._units, self.columns))
        for column, (values, unit) in enumerate(self._wheels):
            if values.size:
                under = values <= np.percentile(values, self._percent)
                weights = under - self._percent / 100.0
                out[:, column] = np.bincount(unit, weights, minlength=self._units)
        return out

    def of(self, drawn: Drawn, columns: slice) -> Array:
        """(columns, resamples) the figure; NaN where it is not defined."""
        out = np.empty((len(self._wheels[columns]), drawn.counts.shape[0]))
        for row, (values, unit) in zip(out, self._wheels[columns], strict=True):
            totals = drawn.counts @ np.bincount(unit, minlength=self._units)
            weighted_percentiles(values, unit, drawn.counts, totals, self._percent, row)
        return out


class Drawdown:
    """The greatest drawdown of compounded returns, least equity/peak - 1.

    Args:
        returns: (units, columns) fractions.
    """

    def __init__(self, returns: Array) -> None:
        self._returns = returns

    @property
    def columns(self) -> int:
        """How many there are."""
        return int(self._returns.shape[1])

    def influence(self) -> Array:
        """(units, columns) the returns."""
        return self._returns

    def of(self, drawn: Drawn, columns: slice) -> Array:
        """(columns, resamples) the figure; NaN where it is not defined."""
        taken = np.ascontiguousarray(self._returns[:, columns].T)
        out, nothing = np.empty((taken.shape[0], drawn.indices.shape[0])), np.empty(0, np.int64)
        equity = np.empty((drawn.indices.shape[0], 0))
        for returns, row in zip(taken, out, strict=True):
            equity_paths(returns, drawn.indices, nothing, equity, row)
        return out


# ---- of returns


def mean(values: Array) -> Sums:
    """The mean of the units."""
    return Sums((values,), lambda total, units: total / units)


def total(values: Array) -> Sums:
    """The sum of the units."""
    return Sums((values,), lambda added, units: added)


def sharpe(values: Array, periods: float = 1.0) -> Sums:
    """mean/sd*sqrt(periods), sd of a sample.

    Args:
        values: (units, columns) excess returns.
        periods: units a year; 1: the figure is that of one unit.
    """

    def combined(added: Array, squared: Array, units: int) -> Array:
        average = added / units
        variance = np.maximum(squared - units * average**2, 0.0) / (units - 1)
        return np.asarray(
            np.where(variance > 0.0, average / np.sqrt(variance), np.nan) * periods**0.5
        )

    return Sums((values, values**2), combined)


def sortino(values: Array, periods: float = 1.0) -> Sums:
    """mean/sqrt(mean(min(x, 0)^2))*sqrt(periods)."""

    def combined(added: Array, below: Array, units: int) -> Array:
        return np.asarray(added / units / np.sqrt(below / units) * periods**0.5)

    return Sums((values, np.minimum(values, 0.0) ** 2), combined)


def cagr(returns: Array) -> Sums:
    """The return a year of compounded returns a session."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log1p(returns)
    return Sums((logarithm,), lambda added, units: np.expm1(added / units * YEAR))


# ---- of wheels


def average_roc(roc: Array, wheels: Array) -> Sums:
    """The mean ROC of the wheels, in percent: (units, columns) summed ROC and numbers of wheels."""
    return Sums((roc, wheels), lambda added, count, _: added / count)


def win_rate(wins: Array, wheels: Array) -> Sums:
    """The percent of wheels that win: (units, columns) numbers of both."""
    return Sums((wins, wheels), lambda won, count, _: 100.0 * won / count)


def profit_factor(gains: Array, losses: Array) -> Sums:
    """Gains/losses, both positive dollars; infinite without a loss."""
    return Sums((gains, losses), lambda gained, lost, _: gained / lost)
