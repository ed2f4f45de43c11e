"""The probability of backtest overfitting, by combinatorially symmetric cross-validation."""

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.months import clear_of, monthly_of, whole_months
from wheelvec.inference.needs import (
    CONFIGURATIONS,
    MONTHS,
    at_least,
    is_constant,
    matrix,
    one_of,
    whole,
)
from wheelvec.inference.units import Launched, launched
from wheelvec.model.errors import InputError, InsufficientDataError
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]

FEWEST, MOST = 8, 20  # blocks
BATCH = 2**21  # splits x configurations at a time: few large products of matrices
FIGURES = ("sharpe", "mean")


class Overfitting:
    """How what is best in one half of the time ranks in the other, over all halves.

    `pbo` makes one.

    Attributes:
        probability: the share of splits whose best configuration in sample is at or under the
            median out of sample.
        logits: (splits,) ln(w/(1 - w)) of each split, w the relative rank out of sample.
        slope: of the best configuration's figure out of sample on that in sample, by least
            squares over the splits.
        intercept: of the same line.
        r_squared: of the same line.
        loss: the share of splits whose best configuration has a figure under 0 out of sample.
        in_sample: (splits,) the figure of the best configuration.
        out_of_sample: (splits,) its figure in the other half.
        chosen: (splits,) its column.
        blocks: into which the periods were cut.
        periods: how many there are.
        configurations: those that were compared: all that ever traded.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> noise = np.random.default_rng(5).normal(size=(120, 20))
        >>> found = wv.pbo(noise, blocks=8)
        >>> found.logits.size, found.configurations  # 8 choose 4
        (70, 20)
    """

    def __init__(self, splits: "Splits", blocks: int, shape: tuple[int, int]) -> None:
        self.blocks, (self.periods, self.configurations) = blocks, shape
        self.logits, self.chosen = splits.logits, splits.chosen
        self.in_sample, self.out_of_sample = splits.in_sample, splits.out_of_sample
        self.probability = float(np.mean(self.logits <= 0.0))
        self.loss = float(np.mean(self.out_of_sample < 0.0))
        self.slope, self.intercept, self.r_squared = _line(self.in_sample, self.out_of_sample)

    def __repr__(self) -> str:
        return (
            f"<Overfitting: probability {self.probability:.3f} over {self.logits.size:,} splits of "
            f"{self.periods} periods in {self.blocks} blocks, {self.configurations:,} "
            f"configurations; slope {self.slope:.3f}, probability of loss {self.loss:.3f}>"
        )


class Splits(NamedTuple):
    """Each choice of half of the blocks.

    Attributes:
        logits: (splits,) of the relative rank out of sample.
        chosen: (splits,) the column that is best in sample.
        in_sample: (splits,) its figure there.
        out_of_sample: (splits,) its figure in the other half.
    """

    logits: Array
    chosen: Array
    in_sample: Array
    out_of_sample: Array


def pbo(returns: Any, blocks: int = 16, figure: str = "sharpe") -> Overfitting:
    """The probability of backtest overfitting: how often the best in sample is a poor one after.

    The periods are cut into consecutive blocks, as equal as they can be. For each choice of half of
    them, the configuration with the best figure in that half is looked up in the other: with w its
    rank there (1 is the worst, ties have the average) over N + 1, the logit is ln(w/(1 - w)). The
    probability is the share of logits at or under 0. Configurations that never trade, whose returns
    are all 0, are dropped first.

    Without any skill it is about a half; near 0 the choice carries over. It says nothing about the
    size of what carries over: `slope` and `loss` do.

    Source: Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest Overfitting",
    Journal of Computational Finance 20 (2017).

    Args:
        returns: (periods, configurations) fractions in order of time, or a Sweep: then of whole
            months, of wheels that cannot cross the border of two blocks, seeds averaged.
        blocks: an even number from 8 to 20.
        figure: by which the best is chosen: "sharpe" (mean/sd of the periods) or "mean".

    Returns:
        An `Overfitting`: `probability`, `logits`, `slope`, `loss`, and the figures of each split.

    Raises:
        InsufficientDataError: for fewer than 24 periods, two periods a block, or 10 configurations.
        InputError: for an invalid argument.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(5).normal(size=(120, 20))
        >>> returns[:, 3] += 1.0  # a configuration with an edge
        >>> wv.pbo(returns, blocks=8).probability
        0.0
    """
    blocks = whole("blocks", blocks, FEWEST, MOST)
    if blocks % 2:
        raise InputError(f"blocks = {blocks}: expected an even number")
    one_of("figure", figure, FIGURES)
    if isinstance(returns, Sweep):
        return of_sweep(returns, (blocks,), figure)
    values = matrix("returns", returns)
    block_of = np.arange(values.shape[0]) * blocks // max(values.shape[0], 1)
    return of_blocks(values, block_of, blocks, figure)


def of_sweep(sweep: Sweep, choices: Sequence[int], figure: str = "sharpe") -> Overfitting:
    """The probability of overfitting of a sweep, in as many blocks as its months allow.

    Args:
        sweep: the sweep.
        choices: numbers of blocks, of which the first one counts that does not leave too little.
        figure: "sharpe" or "mean".

    Raises:
        InsufficientDataError: as `pbo`, for the last of the choices.
    """
    months, of = whole_months(sweep, "pbo"), launched(sweep, "pbo")
    longest = sweep.longest_wheel
    for blocks in choices[:-1]:
        with contextlib.suppress(InsufficientDataError):
            return _of_months(months, of, longest, blocks, figure)
    return _of_months(months, of, longest, choices[-1], figure)


def _of_months(months: Array, of: Launched, longest: int, blocks: int, figure: str) -> Overfitting:
    """Of whole months, without the wheels that may last beyond a border between blocks."""
    block_of = np.arange(months.size) * blocks // months.size
    first = np.flatnonzero(np.diff(block_of, prepend=-1))
    borders = months[first[1:]].astype("datetime64[D]")
    counted, returns = monthly_of(of, months, clear_of(of.day, borders, longest))
    fewest = int(np.bincount(block_of[counted], minlength=blocks).min())
    if fewest < 2:
        raise InsufficientDataError(
            f"pbo needs at least 2 months in each of {blocks} blocks, beside the "
            f"{longest} days before a border whose wheels may last beyond it: "
            f"of {months.size} whole months one block has {fewest}"
        )
    return of_blocks(returns[counted], block_of[counted], blocks, figure)


def of_blocks(values: Array, block_of: Array, blocks: int, figure: str) -> Overfitting:
    """The probability of overfitting of returns whose blocks are known.

    Args:
        values: (periods, configurations) returns.
        block_of: (periods,) the block of each, from 0.
        blocks: how many there are.
        figure: "sharpe" or "mean".
    """
    at_least("pbo", MONTHS, values.shape[0], "periods")
    fewest = int(np.bincount(block_of, minlength=blocks).min())
    if fewest < 2:
        raise InsufficientDataError(
            f"pbo needs at least 2 periods in each of {blocks} blocks: one has {fewest}, of "
            f"{values.shape[0]} periods in all"
        )
    traded = values[:, (values != 0.0).any(axis=0)]
    at_least("pbo", CONFIGURATIONS, traded.shape[1], "configurations that trade")
    if is_constant(traded).all():
        raise InsufficientDataError("pbo needs returns that differ: those of each column are equal")
    return Overfitting(_splits(traded, block_of, blocks, figure), blocks, traded.shape)


def _splits(values: Array, block_of: Array, blocks: int, figure: str) -> Splits:
    """Every split; the complement of split i is the i-th from the end, so each is computed once."""
    choices = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    half = np.zeros((choices.shape[0], blocks))
    np.put_along_axis(half, choices, 1.0, axis=1)
    middle = values.mean(axis=0)
    apart = values - middle  # so that squares do not lose digits
    one = np.eye(blocks)[block_of]
    sums, squares, count = one.T @ values, one.T @ apart**2, one.sum(axis=0)
    n = half.shape[0]
    found = Splits(np.empty(n), np.empty(n, np.int64), np.empty(n), np.empty(n))
    batch = max(1, BATCH // values.shape[1])
    for start in range(0, n // 2, batch):
        stop = min(start + batch, n // 2)
        first, second = slice(start, stop), slice(n - stop, n - start)
        one_half, other = (
            _figures(half[at], sums, squares, count, middle, figure) for at in (first, second)
        )
        _rank(found, first, one_half, other[::-1])
        _rank(found, second, other, one_half[::-1])
    return found


def _figures(
    half: Array, sums: Array, squares: Array, count: Array, middle: Array, figure: str
) -> Array:
    """(splits, configurations) the figure over the blocks of each half.

    Args:
        half: (splits, blocks) 1 for those of the half.
        sums: (blocks, configurations) of returns.
        squares: (blocks, configurations) of returns less their mean over all periods, squared.
        count: (blocks,) periods.
        middle: (configurations,) the mean over all periods.
        figure: "sharpe" or "mean".
    """
    n = (half @ count)[:, None]
    average: Array = (half @ sums) / n
    if figure == "mean":
        return average
    square = (half @ squares) / n
    variance = square - (average - middle) ** 2
    known = variance > 1e-12 * square
    # returns that do not vary: 0 if they are 0, else beyond all that do
    fixed = np.where(average == 0.0, 0.0, np.copysign(np.inf, average))
    deviation = np.sqrt(np.where(known, variance, 1.0) * n / (n - 1.0))
    return np.where(known, average / deviation, fixed)


def _rank(found: Splits, at: slice, inside: Array, outside: Array) -> None:
    """Write the logits of splits: figures in sample and out of sample, (splits, configurations)."""
    best = inside.argmax(axis=1)
    row = np.arange(best.size)
    its = outside[row, best]
    below = (outside < its[:, None]).sum(axis=1)
    ties = (outside == its[:, None]).sum(axis=1)
    w = (below + (ties + 1) / 2.0) / (outside.shape[1] + 1)
    found.logits[at] = np.log(w / (1.0 - w))
    found.chosen[at], found.in_sample[at], found.out_of_sample[at] = best, inside[row, best], its


def _line(x: Array, y: Array) -> tuple[float, float, float]:
    """Slope, intercept and R^2 of least squares of y on x; NaN where x does not vary."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if x.size < 3 or is_constant(x[:, None])[0]:
        return (np.nan, np.nan, np.nan)
    apart, rest = x - x.mean(), y - y.mean()
    slope = float(apart @ rest / (apart @ apart))
    explained = float(slope**2 * (apart @ apart) / (rest @ rest)) if rest @ rest > 0 else np.nan
    return slope, float(y.mean() - slope * x.mean()), explained
