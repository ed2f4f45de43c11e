"""Standard errors and intervals of figures from their resamples."""

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.blocks import Drawn, observed, without_blocks
from wheelvec.inference.figures import Statistic
from wheelvec.inference.needs import CONSTANT

Array = NDArray[Any]

NORMAL = NormalDist()
BATCH = 256  # columns whose resampled figures are in memory at a time


class Interval(NamedTuple):
    """The two ends of an interval, of one figure or of each column.

    Attributes:
        low: the lower end.
        high: the upper end.
    """

    low: Any
    high: Any


class Intervals(NamedTuple):
    """What the resamples say of each column; NaN where the figure does not vary.

    Attributes:
        estimate: (columns,) the figure of what was observed.
        se: (columns,) the standard deviation over the resamples.
        bca: (columns,) each end.
        percentile: (columns,) each end.
        undefined: (columns,) the resamples in which the figure is not defined.
    """

    estimate: Array
    se: Array
    bca: Interval
    percentile: Interval
    undefined: Array


def intervals(statistic: Statistic, resamples: Drawn, block: float, level: float) -> Intervals:
    """The standard errors and intervals of every column.

    With z0 the normal quantile of the share of the resamples under the estimate, and a the
    acceleration, the BCa interval is between the resamples' percentiles at

        Phi(z0 + (z0 + z)/(1 - a*(z0 + z))),   z = Phi^-1((1 - level)/2) and Phi^-1((1 + level)/2)

    The acceleration is that of a jackknife which leaves out blocks, each of the n overlapping ones
    of b units in turn: a = sqrt(b)*sum(d^3)/(6*sum(d^2)^1.5), d being the mean of the figures
    without a block less each of them. With b = 1 that is Efron's.

    Source: Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987).

    Args:
        statistic: the figure.
        resamples: of the units.
        block: the mean length of a block, in units.
        level: of the intervals.
    """
    length = round(block)
    all_units = observed(resamples.units)
    left = without_blocks(resamples.units, length)
    rows: list[tuple[float, ...]] = []
    for start in range(0, statistic.columns, BATCH):
        columns = slice(start, min(start + BATCH, statistic.columns))
        estimate = statistic.of(all_units, columns)[:, 0]
        acceleration = _acceleration(statistic.of(left, columns), length)
        found = statistic.of(resamples, columns)
        found.sort(axis=1)
        rows += [
            _of_column(*each, level) for each in zip(estimate, acceleration, found, strict=True)
        ]
    estimates, se, *ends, undefined = np.array(rows).T
    return Intervals(
        estimates, se, Interval(*ends[:2]), Interval(*ends[2:]), undefined.astype(np.int64)
    )


def _acceleration(left: Array, length: int) -> Array:
    """(columns,) from the figures without each block, (columns, units); 0 if one is not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = left.mean(axis=1, keepdims=True) - left
        spread = 6.0 * np.sum(apart**2, axis=1) ** 1.5
        found = length**0.5 * np.sum(apart**3, axis=1) / spread
    return np.where(np.isfinite(found), found, 0.0)


def _of_column(
    estimate: float, acceleration: float, found: Array, level: float
) -> tuple[float, ...]:
    """Estimate, se, the ends of both intervals, and the number of undefined resamples.

    Args:
        estimate: of what was observed.
        acceleration: of the BCa interval.
        found: (resamples,) ascending, NaN last.
        level: of the intervals.
    """
    known = found[: found.size - int(np.isnan(found).sum())]
    nothing = (estimate, *[np.nan] * 5, found.size - known.size)
    if not known.size or np.isnan(estimate) or known[-1] - known[0] <= CONSTANT * abs(known[-1]):
        return nothing
    se = float(known.std(ddof=1)) if np.isfinite(known[-1]) else np.nan
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    under = (np.searchsorted(known, estimate) + np.searchsorted(known, estimate, "right")) / 2.0
    share = float(np.clip(under / known.size, 0.5 / known.size, 1.0 - 0.5 / known.size))
    z0 = NORMAL.inv_cdf(share)
    moved = []
    for tail in tails.tolist():
        z = z0 + NORMAL.inv_cdf(tail)
        moved.append(NORMAL.cdf(z0 + z / max(1.0 - acceleration * z, 1e-3)))
    ends = [_percentile(known, at) for at in (*moved, *tails.tolist())]
    return (estimate, se, *ends, found.size - known.size)


def _percentile(ascending: Array, share: float) -> float:
    """Linear between the values, as numpy.quantile, also beside infinite ones."""
    at = share * (ascending.size - 1)
    low = int(at)
    first, second = float(ascending[low]), float(ascending[min(low + 1, ascending.size - 1)])
    return first if first == second or at == low else first + (at - low) * (second - first)
