"""`bootstrap`: standard errors and intervals by resampling in blocks."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference import figures
from wheelvec.inference.blocks import ENTRIES, Blocks, Drawn, chosen, drawn
from wheelvec.inference.figures import Statistic
from wheelvec.inference.intervals import Interval, intervals
from wheelvec.inference.needs import CONSTANT, LEVELS, is_constant, matrix, number, one_of, whole
from wheelvec.inference.units import (
    OF_PORTFOLIOS,
    OF_WHEELS,
    daily,
    daily_statistic,
    launched,
    wheel_statistic,
)
from wheelvec.model.errors import InputError, InsufficientDataError
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]

LEAST = 100  # resamples
# of a series or a matrix
OF_ARRAYS: dict[str, Callable[[Array], Statistic]] = {
    "mean": figures.mean,
    "total": figures.total,
    "sharpe": figures.sharpe,
    "sortino": figures.sortino,
    "max_drawdown": figures.Drawdown,
}


class Resampled(NamedTuple):
    """A figure of some units, and how these are drawn.

    Attributes:
        figure: its name.
        statistic: the figure itself.
        units: the number of units.
        blocks: how they are drawn.
        rows: (columns,) the row of a sweep that each column is; None of a series or a matrix.
    """

    figure: str
    statistic: Statistic
    units: int
    blocks: Blocks
    rows: Array | None = None


class Bootstrap:
    """A figure and what its resamples say: numbers of a series, arrays of a matrix or of a sweep.

    `bootstrap` makes one.

    Args:
        of: the figure and its units.
        resamples: of the units.
        level: of the intervals.
        seed: of the draws.
        flat: whether there is one column, whose figures are numbers.

    Attributes:
        figure: its name.
        estimate: of what was observed.
        se: the standard error: the standard deviation over the resamples times `widening`.
        bca: low and high, corrected for bias and skew (Efron 1987): `low` and `high`.
        percentile: low and high, percentiles of the resampled figures.
        undefined: the number of resamples in which the figure is not defined; they are left out.
        method: "stationary" or "circular".
        block: the mean length of a block, in units.
        why: the reason of that length, in words.
        widening: of results and sweeps, how much standard error and intervals are widened, because
            blocks cut wheels apart that overlap; 1 for a given block and of everything else.
        units: the number of units: entry sessions, days, or observations.
        n: the number of resamples.
        level: of the intervals.
        seed: of the draws.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(1).normal(0.05, 1.0, size=500)
        >>> found = wv.bootstrap(returns, block=5, n=2_000)
        >>> round(found.estimate, 4), round(found.low, 4), round(found.high, 4), found.why
        (0.0143, -0.046, 0.0772, 'as given')
    """

    def __init__(
        self, of: Resampled, resamples: Drawn, level: float, seed: int, flat: bool
    ) -> None:
        self._of, self._drawn, self._flat = of, resamples, flat
        self.figure, self.units, self.level, self.seed = of.figure, of.units, level, seed
        self.method, self.block, self.why, self.widening = of.blocks
        self.n = int(resamples.indices.shape[0])
        found = intervals(of.statistic, resamples, of.blocks, level)
        if np.isnan(found.percentile.low).all():
            raise InsufficientDataError(
                f"bootstrap needs a figure that varies: {of.figure} is {found.estimate[0]:g} in "
                "every resample"
            )
        self.estimate, self.se = self._shown(found.estimate), self._shown(found.se)
        self.bca = Interval(*map(self._shown, found.bca))
        self.percentile = Interval(*map(self._shown, found.percentile))
        self.undefined = int(found.undefined[0]) if flat else found.undefined

    def _shown(self, values: Array) -> Any:
        return float(values[0]) if self._flat else values

    @property
    def low(self) -> Any:
        """The lower end of the BCa interval.

        Example:
            >>> import numpy as np
            >>> import wheelvec as wv
            >>> found = wv.bootstrap(np.arange(40.0), block=2, n=200)
            >>> found.low == found.bca.low
            True
        """
        return self.bca.low

    @property
    def high(self) -> Any:
        """The upper end of the BCa interval.

        Example:
            >>> import numpy as np
            >>> import wheelvec as wv
            >>> found = wv.bootstrap(np.arange(40.0), block=2, n=200)
            >>> found.high == found.bca.high
            True
        """
        return self.bca.high

    @property
    def frame(self) -> pl.DataFrame:
        """One row per column: row (of the sweep, or the column), estimate, se and the intervals.

        Example:
            >>> import numpy as np
            >>> import wheelvec as wv
            >>> found = wv.bootstrap(np.random.default_rng(1).normal(size=(60, 2)), n=200)
            >>> found.frame.columns
            ['row', 'estimate', 'se', 'low', 'high', 'percentile_low', 'percentile_high']
        """
        rows = self._of.rows
        columns = {
            "row": np.arange(self._of.statistic.columns) if rows is None else rows,
            "estimate": self.estimate,
            "se": self.se,
            "low": self.low,
            "high": self.high,
            "percentile_low": self.percentile.low,
            "percentile_high": self.percentile.high,
        }
        return pl.DataFrame(
            [
                pl.Series(name, np.atleast_1d(values), nan_to_null=True)
                for name, values in columns.items()
            ]
        )

    def against(self, row: int) -> Self:
        """The differences from one column, on the same resamples: paired.

        Args:
            row: of the sweep, as in `frame`; of a matrix the column.

        Returns:
            A Bootstrap of each column less that one; the column itself has no interval.

        Raises:
            InputError: if there is no such row.

        Example:
            >>> import numpy as np
            >>> import wheelvec as wv
            >>> luck = np.random.default_rng(1).normal(size=(60, 1))
            >>> both = wv.bootstrap(np.hstack([luck, luck + 0.1 * luck**2]), n=200)
            >>> bool(both.against(0).se[1] < both.se[1])
            True
        """
        rows = self.frame["row"].to_list()
        if row not in rows:
            raise InputError(f"row = {row!r}: expected one of {len(rows)} rows of `frame`")
        statistic = Differences(self._of.statistic, rows.index(row))
        of = self._of._replace(statistic=statistic)
        return type(self)(of, self._drawn, self.level, self.seed, self._flat)

    def __repr__(self) -> str:
        blocks = f"{self.units} units in blocks of {self.block:.1f} ({self.why})"
        if not self._flat:
            columns = self._of.statistic.columns
            return f"<Bootstrap of {self.figure} of {columns:,} columns; {blocks}>"
        return (
            f"<Bootstrap of {self.figure}: {self.estimate:.6g}, {self.level:.0%} from "
            f"{self.low:.6g} to {self.high:.6g}, se {self.se:.3g}; {blocks}>"
        )


class Differences:
    """A figure less that of one column.

    Args:
        statistic: the figure.
        column: the one that is subtracted.
    """

    def __init__(self, statistic: Statistic, column: int) -> None:
        self._statistic, self._column = statistic, column

    @property
    def columns(self) -> int:
        """How many there are."""
        return self._statistic.columns

    def influence(self) -> Array:
        """(units, columns) what each unit adds to the figure, up to a constant."""
        found = self._statistic.influence()
        return found - found[:, [self._column]]

    def of(self, drawn: Drawn, columns: slice) -> Array:
        """(columns, resamples) the figure; NaN where it is not defined."""
        subtracted = self._statistic.of(drawn, slice(self._column, self._column + 1))
        apart = self._statistic.of(drawn, columns) - subtracted
        # a product of matrices of another shape adds up in another order
        apart[np.abs(apart) <= CONSTANT * np.abs(subtracted)] = 0.0
        return apart


def bootstrap(
    x: Any,
    figure: str | None = None,
    *,
    method: str = "stationary",
    block: float | None = None,
    n: int = 10_000,
    level: float = 0.90,
    seed: int = 0,
) -> Bootstrap:
    """The standard error and intervals of a figure, by resampling in blocks.

    A single wheel is never drawn: wheels overlap, and wheels of a day share its market.
    A unit is an entry session of a result or a sweep with all its wheels, a day of a portfolio, an
    observation of a series, a row of a matrix. Blocks of units are drawn with replacement, of a
    geometric length (stationary: Politis and Romano 1994) or of the same (circular: 1992), and the
    first unit follows the last. The columns of a matrix, or the rows of a sweep, are resampled
    with the same blocks, so that their differences are paired. Sessions before the first and after
    the last one with a wheel in the summary are left out.

    Intervals are expanded for the number of blocks (Student's t), and of results and sweeps for the
    overlap of wheels that blocks cut apart (`widening`); docs/luck.md shows what that is worth.

    It assumes that the market goes on as it was: what did not happen in the sample is in no
    resample.

    Args:
        x: (n,) observations or (n, columns) of them, in order of time; or a Result, a Sweep, a
            Portfolio.
        figure: of arrays "mean" (the default), "total", "sharpe" and "sortino" (of one unit) or
            "max_drawdown" (of compounded returns); of results and sweeps "avg_wheel_roc" (the
            default), "total_pnl", "win_rate", "profit_factor" or "roc_p05", as in
            `Sweep.frame`; of portfolios "sharpe" (the default), "sortino", "cagr" or
            "max_drawdown", as in `Portfolio.metrics`.
        method: "stationary" or "circular".
        block: mean length of a block, in units; None: the longest holding period, or that of
            `block_length` if it is longer; of several columns the median of theirs.
        n: the number of resamples.
        level: of the intervals.
        seed: of the draws, 0 <= seed < 2**64.

    Returns:
        A `Bootstrap`: `estimate`, `se`, `low` and `high` (BCa), `percentile`, `block` and `why`.

    Raises:
        InsufficientDataError: for fewer than 30 units or 10 blocks, or a figure that is the same in
            every resample.
        InputError: for an invalid argument.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(1).normal(0.05, 1.0, size=500)
        >>> found = wv.bootstrap(returns, "sharpe", n=2_000)
        >>> round(found.estimate, 4), round(found.low, 4), round(found.high, 4)
        (0.0156, -0.0499, 0.0861)
    """
    n, level = whole("n", n, LEAST), number("level", level, *LEVELS)
    seed = whole("seed", seed, 0, 2**64 - 1)
    of, flat = _resampled(x, figure, method, block)
    resamples = drawn(of.blocks, of.units, n, seed)
    return Bootstrap(of, resamples, level, seed, flat)


def _resampled(
    x: Any, figure: str | None, method: str, block: float | None
) -> tuple[Resampled, bool]:
    """The sample to draw from, and whether its figures are single numbers."""
    if isinstance(x, Result | Sweep):
        return _of_wheels(x, figure or OF_WHEELS[0], method, block), isinstance(x, Result)
    if isinstance(x, Portfolio):
        return _of_days(x, figure or OF_PORTFOLIOS[0], method, block), True
    return _of_arrays(x, figure or "mean", method, block), np.ndim(x) == 1


def _of_wheels(x: Result | Sweep, figure: str, method: str, block: float | None) -> Resampled:
    one_of("figure", figure, OF_WHEELS)
    of = launched(x, "bootstrap")
    statistic = wheel_statistic(of, figure)
    influence = statistic.influence()
    blocks = chosen("bootstrap", influence, method, block, of.holding, ENTRIES)
    return Resampled(figure, statistic, of.day.size, blocks, of.rows)


def _of_days(portfolio: Portfolio, figure: str, method: str, block: float | None) -> Resampled:
    one_of("figure", figure, OF_PORTFOLIOS)
    of = daily(portfolio, "bootstrap")
    statistic = daily_statistic(of, figure)
    influence = statistic.influence()
    blocks = chosen("bootstrap", influence, method, block, of.holding, "sessions")
    return Resampled(figure, statistic, of.returns.size, blocks)


def _of_arrays(x: Any, figure: str, method: str, block: float | None) -> Resampled:
    values = matrix("x", x)
    one_of("figure", figure, tuple(OF_ARRAYS))
    if is_constant(values).all():
        raise InsufficientDataError(f"bootstrap needs values that differ: all are {values[0, 0]:g}")
    statistic = OF_ARRAYS[figure](values)
    blocks = chosen("bootstrap", statistic.influence(), method, block, None)
    return Resampled(figure, statistic, values.shape[0], blocks)
