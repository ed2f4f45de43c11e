"""How many independent trials a sweep is worth, and what its best Sharpe ratio is worth then."""

import dataclasses
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference.months import monthly
from wheelvec.inference.needs import (
    CONFIGURATIONS,
    MONTHS,
    at_least,
    is_constant,
    matrix,
    whole,
)
from wheelvec.inference.sharpe import deflated_sharpe, expected_maximum, moments, sharpe_ratios
from wheelvec.model.errors import InputError
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]

MOST_CLUSTERS = 100
MOST_CLUSTERED = 2_000  # configurations: their distances fit in memory


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials that a choice was made among.

    Attributes:
        count: the configurations that traded; seeds are none.
        effective_rank: of the correlation of their returns.
        clusters: groups of configurations with similar returns; None of more than 2,000.
        row: the configuration whose Sharpe ratio is deflated: its row of the sweep, or column.
        sharpe: its Sharpe ratio a period, of a month of a sweep.
        periods: how many there are.
        frame: method ("count", "effective_rank", "clusters"), trials (with the prior ones),
            expected_sharpe (of the best of them without skill) and deflated_sharpe.
        skew: of its returns.
        kurtosis: of its returns, raw: 3 is normal.
        variance: of the Sharpe ratios of all configurations.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> pair = np.random.default_rng(3).normal(size=(60, 2))
        >>> found = wv.effective_trials(np.repeat(pair, 6, axis=1))  # two strategies, six times
        >>> found.count, round(found.effective_rank, 1), found.clusters
        (12, 2.0, 2)
    """

    count: int
    effective_rank: float
    clusters: int | None
    row: int
    sharpe: float
    periods: int
    frame: pl.DataFrame
    skew: float
    kurtosis: float
    variance: float

    def deflated(self, trials: float) -> float:
        """The deflated Sharpe ratio if so many independent trials had been made.

        Args:
            trials: at least 1.

        Raises:
            InputError: for fewer.

        Example:
            >>> import numpy as np
            >>> import wheelvec as wv
            >>> returns = np.random.default_rng(3).normal(0.1, 1.0, size=(60, 20))
            >>> found = wv.effective_trials(returns)
            >>> found.deflated(20.0) == found.frame["deflated_sharpe"][0]
            True
            >>> found.deflated(1_000.0) < found.deflated(20.0)
            True
        """
        return deflated_sharpe(
            self.sharpe,
            n=self.periods,
            skew=self.skew,
            kurtosis=self.kurtosis,
            trials=trials,
            trial_variance=self.variance,
        )


def effective_trials(x: Any, *, prior_trials: int = 0, row: int | None = None) -> Trials:
    """The number of independent trials among configurations, and the deflated Sharpe ratio at each.

    Neighbours on a grid trade nearly the same wheels, and are no independent trials; how many there
    are has no single answer, so three are given: all that traded; the effective rank, exp of the
    entropy of the eigenvalues of the correlation over their sum; and the number of clusters by
    average linkage over sqrt((1 - correlation)/2) with the greatest mean silhouette, at most 100.
    The variance of the trials is that of all Sharpe ratios.

    Sources: Roy and Vetterli, "The Effective Rank", EUSIPCO (2007); Lopez de Prado and Lewis,
    "Detection of False Investment Strategies Using Unsupervised Learning Methods", Quantitative
    Finance 19 (2019); Rousseeuw, "Silhouettes", Journal of Computational and
    Applied Mathematics 20 (1987).

    Args:
        x: (periods, configurations) returns in order of time, or a Sweep: then of whole months by
            entry, P&L over the capital of the wheels, the mean over seeds.
        prior_trials: configurations tried before, added to each number.
        row: the configuration to deflate, a row of the sweep or a column; None: the one with the
            greatest Sharpe ratio.

    Returns:
        `Trials`: count, effective_rank, clusters, and a frame with the deflated ratios.

    Raises:
        InsufficientDataError: for fewer than 24 periods, or 10 configurations that trade.
        InputError: for a `row` that does not trade.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(3).normal(0.1, 1.0, size=(60, 20))
        >>> found = wv.effective_trials(returns, prior_trials=100)
        >>> found.frame["method"].to_list(), found.frame["trials"][0]
        (['count', 'effective_rank', 'clusters'], 120.0)
    """
    prior = whole("prior_trials", prior_trials, 0)
    if isinstance(x, Sweep):
        _, returns, rows = monthly(x, "effective_trials")
        if row is not None:
            row = int(x.configurations[whole("row", row, 0, x.frame.height - 1)])
    else:
        returns = matrix("x", x)
        rows = np.arange(returns.shape[1])
    at_least("effective_trials", MONTHS, returns.shape[0], "periods")
    varied = ~is_constant(returns)
    returns, rows = np.ascontiguousarray(returns[:, varied]), rows[varied]
    at_least("effective_trials", CONFIGURATIONS, rows.size, "configurations that trade")
    sharpes = sharpe_ratios(returns)
    best = int(sharpes.argmax()) if row is None else _place(row, rows)
    numbers = {
        "count": float(rows.size),
        "effective_rank": effective_rank(returns),
        "clusters": clusters(returns) if rows.size <= MOST_CLUSTERED else None,
    }
    sharpe, skew, kurtosis = moments(returns[:, best])
    trials = Trials(
        rows.size,
        numbers["effective_rank"] or 1.0,
        None if numbers["clusters"] is None else int(numbers["clusters"]),
        int(rows[best]),
        sharpe,
        returns.shape[0],
        pl.DataFrame(),
        skew,
        kurtosis,
        float(sharpes.var(ddof=1)),
    )
    return dataclasses.replace(trials, frame=_frame(trials, numbers, prior))


def _place(row: int, rows: Array) -> int:
    at = np.flatnonzero(rows == row)
    if not at.size:
        raise InputError(f"row = {row!r}: expected a configuration that trades, by its first row")
    return int(at[0])


def _frame(of: Trials, numbers: dict[str, float | None], prior: int) -> pl.DataFrame:
    """The frame of `Trials`.

    Args:
        of: the trials.
        numbers: of them, by method.
        prior: trials before.
    """
    rows: list[tuple[Any, ...]] = []
    for method, number in numbers.items():
        if number is None:
            rows.append((method, None, None, None))
            continue
        trials = max(number, 1.0) + prior
        luck = expected_maximum(trials, of.variance)
        rows.append((method, trials, luck, of.deflated(trials)))
    names = ["method", "trials", "expected_sharpe", "deflated_sharpe"]
    types = [pl.String, pl.Float64, pl.Float64, pl.Float64]
    return pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")


def _standardised(returns: Array) -> Array:
    apart = returns - returns.mean(axis=0)
    return np.asarray(apart / np.sqrt((apart**2).sum(axis=0)))


def effective_rank(returns: Array) -> float:
    """The effective rank of the correlation of columns: exp of the entropy of its eigenvalues.

    Args:
        returns: (n, columns), none of them constant.

    Example:
        >>> import numpy as np
        >>> from wheelvec.inference.trials import effective_rank
        >>> pair = np.array([[1.0, 2.0, 1.0], [-1.0, -2.0, 1.0], [0.0, 0.0, -2.0]])
        >>> round(effective_rank(pair), 3)  # the first two columns are one: shares 2/3 and 1/3
        1.89
    """
    unit = _standardised(returns)
    # the eigenvalues of the correlation that are not 0 are those of the smaller product
    product = unit @ unit.T if unit.shape[0] < unit.shape[1] else unit.T @ unit
    value = np.linalg.eigvalsh(product)
    share = value[value > 1e-12 * value.max()] / unit.shape[1]
    return float(np.exp(-np.sum(share * np.log(share))))


def clusters(returns: Array) -> float:
    """The number of clusters of columns with the greatest mean silhouette, by average linkage.

    Args:
        returns: (n, columns), none of them constant.
    """
    unit = _standardised(returns)
    distance = np.sqrt(np.clip(1.0 - unit.T @ unit, 0.0, 2.0) / 2.0)
    np.fill_diagonal(distance, 0.0)
    label = np.arange(distance.shape[0])
    best, found = -np.inf, label.size
    for joined, kept in _merges(distance):
        label[label == label[joined]] = label[kept]
        of, place = np.unique(label, return_inverse=True)
        if of.size < 2:
            break
        if of.size <= min(MOST_CLUSTERS, label.size - 1):
            width = _silhouette(distance, place, of.size)
            if width >= best - 1e-12:  # of equal ones the fewest
                best, found = max(width, best), of.size
    return float(found)


def _merges(distance: Array) -> list[tuple[int, int]]:
    """(joined, kept) of each merge by average linkage, the closest first: nearest-neighbour chains.

    Clusters are named by one of their members. Source: Murtagh, "A Survey of Recent Advances in
    Hierarchical Clustering Algorithms", Computer Journal 26 (1983).
    """
    d, size = distance.copy(), np.ones(distance.shape[0])
    np.fill_diagonal(d, np.inf)
    found: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(found) < size.size - 1:
        chain = chain or [int(np.flatnonzero(size)[0])]
        near = int(d[chain[-1]].argmin())
        if len(chain) < 2 or d[chain[-1], near] < d[chain[-1], chain[-2]]:
            chain.append(near)
            continue
        joined, kept = chain.pop(), chain.pop()
        found.append((float(d[joined, kept]), joined, kept))
        row = (size[joined] * d[joined] + size[kept] * d[kept]) / (size[joined] + size[kept])
        row[[joined, kept]] = np.inf
        d[kept], d[:, kept] = row, row
        d[joined], d[:, joined] = np.inf, np.inf
        size[kept] += size[joined]
        size[joined] = 0.0
    return [(joined, kept) for _, joined, kept in sorted(found, key=lambda each: each[0])]


def _silhouette(distance: Array, label: Array, count: int) -> float:
    """The mean over columns of (b - a)/max(a, b); 0 of one that is alone.

    a is the mean distance to the others of its cluster, b that to the nearest other cluster.
    """
    one = np.eye(count)[label]
    size = one.sum(axis=0)
    total = distance @ one
    row = np.arange(label.size)
    own = total[row, label] / np.maximum(size[label] - 1.0, 1.0)
    other = total / size
    other[row, label] = np.inf
    nearest = other.min(axis=1)
    greater = np.maximum(own, nearest)
    width = np.where(greater > 0.0, (nearest - own) / np.where(greater > 0.0, greater, 1.0), 0.0)
    return float(np.where(size[label] > 1.0, width, 0.0).mean())
