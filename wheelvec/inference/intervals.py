"""Standard errors and intervals of figures from their resamples."""

from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.blocks import Blocks, Drawn, observed, without_blocks
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
    """The standard error and intervals of each column; NaN where the figure does not vary.

    Attributes:
        estimate: (columns,) the figure of the observed sample.
        se: (columns,) the standard deviation over the resamples, widened.
        bca: (columns,) each end.
        percentile: (columns,) each end.
        undefined: (columns,) the resamples in which the figure is not defined.
    """

    estimate: Array
    se: Array
    bca: Interval
    percentile: Interval
    undefined: Array


def intervals(statistic: Statistic, resamples: Drawn, blocks: Blocks, level: float) -> Intervals:
    """The standard errors and intervals of every column.

    With z0 the normal quantile of the share of the resamples under the estimate, and a the
    acceleration, the BCa interval is between the resamples' percentiles at

        Phi(z0 + (z0 + z)/(1 - a*(z0 + z))),   z = -+ c*sqrt(K/(K - 1))*t((1 + level)/2, K - 1)

    and the percentile interval at Phi(z). K is the number of blocks, t Student's quantile: of few
    blocks the percentiles alone would be as much too narrow as a normal interval of K values is. c
    is the widening for wheels that overlap, by which the standard error is multiplied as well.

    The acceleration is that of a jackknife which leaves out blocks, each of the n overlapping ones
    of b units in turn: a = sqrt(b)*sum(d^3)/(6*sum(d^2)^1.5), d being the mean of the figures
    without a block less each of them. With b = 1 that is Efron's.

    Sources: Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987); Hesterberg, "What
    Teachers Should Know About the Bootstrap", The American Statistician 69 (2015), of the
    percentile interval that is expanded so.

    Args:
        statistic: the figure.
        resamples: of the units.
        blocks: how they were drawn.
        level: of the intervals.
    """
    length = round(blocks.length)
    all_units = observed(resamples.units)
    left = without_blocks(resamples.units, length)
    reach = blocks.widening * quantile(level, resamples.units / blocks.length)
    rows: list[tuple[float, ...]] = []
    for start in range(0, statistic.columns, BATCH):
        columns = slice(start, min(start + BATCH, statistic.columns))
        estimate = statistic.of(all_units, columns)[:, 0]
        acceleration = _acceleration(statistic.of(left, columns), length)
        found = statistic.of(resamples, columns)
        found.sort(axis=1)
        rows += [
            _of_column(*each, reach) for each in zip(estimate, acceleration, found, strict=True)
        ]
    estimates, se, *ends, undefined = np.array(rows).T
    return Intervals(
        estimates,
        blocks.widening * se,
        Interval(*ends[:2]),
        Interval(*ends[2:]),
        undefined.astype(np.int64),
    )


def quantile(level: float, blocks: float) -> float:
    """sqrt(K/(K - 1))*t((1 + level)/2, K - 1) of K blocks, at least 3: under 1e-3 off from 9 on.

    Student's quantile by its expansion in 1/(K - 1): Abramowitz and Stegun, 26.7.5.

    Example:
        >>> from wheelvec.inference.intervals import quantile
        >>> round(quantile(0.90, 30), 3), round(quantile(0.90, 1e9), 3)
        (1.728, 1.645)
    """
    z, v = NORMAL.inv_cdf((1.0 + level) / 2.0), max(blocks, 3.0) - 1.0
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return float(t * ((v + 1.0) / v) ** 0.5)


def _acceleration(left: Array, length: int) -> Array:
    """(columns,) from the figures without each block, (columns, units); 0 if one is not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = left.mean(axis=1, keepdims=True) - left
        spread = 6.0 * np.sum(apart**2, axis=1) ** 1.5
        found = length**0.5 * np.sum(apart**3, axis=1) / spread
    return np.where(np.isfinite(found), found, 0.0)


def _of_column(
    estimate: float, acceleration: float, found: Array, reach: float
) -> tuple[float, ...]:
    """Estimate, se, the ends of both intervals, and the number of undefined resamples.

    Args:
        estimate: of what was observed.
        acceleration: of the BCa interval.
        found: (resamples,) ascending, NaN last.
        reach: z of the upper end, as `quantile` returns it.
    """
    known = found[: found.size - int(np.isnan(found).sum())]
    nothing = (estimate, *[np.nan] * 5, found.size - known.size)
    if not known.size or np.isnan(estimate) or known[-1] - known[0] <= CONSTANT * abs(known[-1]):
        return nothing
    se = float(known.std(ddof=1)) if np.isfinite(known[-1]) else np.nan
    under = (np.searchsorted(known, estimate) + np.searchsorted(known, estimate, "right")) / 2.0
    share = float(np.clip(under / known.size, 0.5 / known.size, 1.0 - 0.5 / known.size))
    z0 = NORMAL.inv_cdf(share)
    plain = [NORMAL.cdf(z) for z in (-reach, reach)]
    moved = [
        NORMAL.cdf(z0 + z / max(1.0 - acceleration * z, 1e-3)) for z in (z0 - reach, z0 + reach)
    ]
    ends = [_percentile(known, at) for at in (*moved, *plain)]
    return (estimate, se, *ends, found.size - known.size)


def _percentile(ascending: Array, share: float) -> float:
    """Linear between the values, as numpy.quantile, also beside infinite ones."""
    at = share * (ascending.size - 1)
    low = int(at)
    first, second = float(ascending[low]), float(ascending[min(low + 1, ascending.size - 1)])
    return first if first == second or at == low else first + (at - low) * (second - first)
