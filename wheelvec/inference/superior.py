"""Whether any of many configurations beats a benchmark: SPA, StepM, Benjamini-Yekutieli."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference import figures
from wheelvec.inference.blocks import ENTRIES, Drawn, chosen, drawn
from wheelvec.inference.bootstrap import LEAST
from wheelvec.inference.intervals import BATCH
from wheelvec.inference.months import returned
from wheelvec.inference.needs import CONFIGURATIONS, at_least, is_constant, matrix, whole
from wheelvec.inference.units import Launched, launched, summed
from wheelvec.model.errors import InputError, cut
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]


class Superior(NamedTuple):
    """The tests of many configurations against one benchmark.

    Attributes:
        p_value: of Hansen's test that none is better, the consistent one.
        lower: his lower bound of it.
        upper: his upper bound.
        frame: a row per configuration that differs from the benchmark, the best first: row (of the
            sweep, or column), mean (return over the benchmark a unit), t (mean/se), p_value (of it
            alone), by (Benjamini-Yekutieli), stepm (Romano-Wolf): under 0.05 there, those are
            called better with a rate of false discoveries, or a chance of any, of nominally 5% at
            most; it is more with few blocks and rare losses (docs/luck.md).
        block: the mean length of a block, in units.
        why: the reason of that length, in words.
        units: how many there are.
        n: the number of resamples.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(2).normal(size=(250, 20))
        >>> returns[:, 7] += 0.5
        >>> found = wv.spa(returns, n=1_000)
        >>> found.p_value < 0.01, found.frame.filter(stepm=found.frame["stepm"].min())["row"][0]
        (True, 7)
    """

    p_value: float
    lower: float
    upper: float
    frame: pl.DataFrame
    block: float
    why: str
    units: int
    n: int

    def __repr__(self) -> str:
        return (
            f"<Superior: p {self.p_value:.4f} ({self.lower:.4f} to {self.upper:.4f}), "
            f"{self.frame.height:,} configurations, {self.units} units in blocks of "
            f"{self.block:.1f} ({self.why})>"
        )


def spa(
    x: Any,
    benchmark: Any = None,
    *,
    method: str = "stationary",
    block: float | None = None,
    n: int = 10_000,
    seed: int = 0,
) -> Superior:
    """Whether the best of many configurations is better than a benchmark, luck of choice included.

    With d the mean of a configuration's returns over the benchmark's and s its bootstrap standard
    error (of a sweep widened as in `bootstrap`), the statistic is max(d/s, 0) over all
    configurations. Its distribution without any that is better is that of max((d* - g)/s, 0) over
    the resamples, d* being the resampled means. Of a configuration with d >= -s*sqrt(2*ln ln n) g
    is d, of a worse one 0 (the consistent test of Hansen); with g = max(d, 0) it is the lower
    bound, with g = d the upper one (White's reality check, studentised). The p-values of StepM are
    those of Romano and Wolf's stepdown with the same resamples, so that configurations that are
    correlated cost less than independent ones would.

    Sources: Hansen, "A Test for Superior Predictive Ability", J. Bus. Econ. Stat. 23 (2005);
    Romano and Wolf, "Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73
    (2005); Benjamini and Yekutieli, Annals of Statistics 29 (2001).

    Args:
        x: (n, configurations) returns in order of time, or a Sweep: then by entry session, P&L over
            the capital of its wheels (0 without one), the mean over seeds.
        benchmark: None: no trade; a column of x or a row of the sweep; or (n,) returns; of a sweep
            also a frame of `session` and one column of returns.
        method: as in `bootstrap`.
        block: as in `bootstrap`.
        n: the number of resamples.
        seed: of the draws.

    Returns:
        A `Superior`: p_value with its bounds, and a frame with the p-values of each configuration.

    Raises:
        InsufficientDataError: for fewer than 10 configurations that differ from the benchmark, 30
            units or 10 blocks.
        InputError: for an invalid argument.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> noise = np.random.default_rng(3).normal(size=(250, 20))
        >>> round(wv.spa(noise, block=1, n=1_000).p_value, 2)
        0.47
    """
    n, seed = whole("n", n, LEAST), whole("seed", seed, 0, 2**64 - 1)
    holding, unit = None, "observations"
    if isinstance(x, Sweep):
        of = launched(x, "spa")
        returns, rows = returned(*summed(of, "pnl", "capital")), of.rows
        holding, unit = of.holding, ENTRIES
        base = _base_of_sweep(x, of, returns, benchmark)
    else:
        returns = matrix("x", x)
        rows, base = np.arange(returns.shape[1]), _base(returns, benchmark)
    over = returns - base[:, None]
    differs = ~is_constant(over)
    over, rows = np.ascontiguousarray(over[:, differs]), np.asarray(rows)[differs]
    at_least("spa", CONFIGURATIONS, rows.size, "configurations that differ from the benchmark")
    blocks = chosen("spa", over, method, block, holding, unit)
    found = _tested(over, drawn(blocks, over.shape[0], n, seed), blocks.widening)
    frame = pl.DataFrame({"row": rows} | found.columns).sort("t", descending=True)
    return Superior(*found.p_values, frame, blocks.length, blocks.why, over.shape[0], n)


def _base(returns: Array, benchmark: Any) -> Array:
    """(n,) the returns of the benchmark of a matrix."""
    if benchmark is None:
        return np.zeros(returns.shape[0])
    if isinstance(benchmark, int | np.integer) and not isinstance(benchmark, bool):
        return np.array(returns[:, whole("benchmark", benchmark, 0, returns.shape[1] - 1)])
    base = matrix("benchmark", benchmark)
    if base.shape != (returns.shape[0], 1):
        raise InputError(
            f"benchmark has shape {base.shape}: expected ({returns.shape[0]},), a return a unit"
        )
    return base[:, 0]


def _base_of_sweep(sweep: Sweep, of: Launched, returns: Array, benchmark: Any) -> Array:
    """(units,) the returns of the benchmark of a sweep."""
    if isinstance(benchmark, pl.DataFrame):
        names = [name for name in benchmark.columns if name != "session"]
        if "session" not in benchmark.columns or len(names) != 1:
            raise InputError(
                f"benchmark has columns {benchmark.columns}: expected session and one of returns"
            )
        wanted = pl.DataFrame({"session": pl.Series(of.day).cast(pl.Date)})
        joined = wanted.join(benchmark, on="session", how="left", maintain_order="left")
        if joined[names[0]].null_count():
            missing = joined.filter(pl.col(names[0]).is_null())["session"]
            raise InputError(
                f"benchmark lacks {missing.len()} entry sessions, the first of them {missing[0]}"
            )
        benchmark = joined[names[0]].to_numpy()
    elif isinstance(benchmark, int | np.integer) and not isinstance(benchmark, bool):
        row = whole("benchmark", benchmark, 0, sweep.frame.height - 1)
        assert of.rows is not None
        return np.array(returns[:, np.searchsorted(of.rows, sweep.configurations[row])])
    elif benchmark is not None and np.ndim(benchmark) != 1:
        raise InputError(f"benchmark = {cut(benchmark)}: expected a row, returns, or a frame")
    return _base(returns, benchmark)


class Tested(NamedTuple):
    """The p-values of returns over a benchmark.

    Attributes:
        p_values: of the test for superior predictive ability: consistent, lower, upper.
        columns: name -> (configurations,) of `Superior.frame`.
    """

    p_values: tuple[float, float, float]
    columns: dict[str, Array]


def _tested(over: Array, resamples: Drawn, widening: float) -> Tested:
    """All tests of returns over a benchmark.

    Args:
        over: (units, configurations), none of them constant.
        resamples: of the units.
        widening: of the standard errors; the resamples are divided by theirs, without it.
    """
    mean = over.mean(axis=0)
    error = np.concatenate([each.std(axis=1, ddof=1) for each in _means(over, resamples)])
    t = mean / (widening * error)
    worse = t < -np.sqrt(2.0 * np.log(np.log(over.shape[0])))
    centres = (np.where(worse, 0.0, mean), np.maximum(mean, 0.0), mean)
    n = resamples.indices.shape[0]
    greatest = np.zeros((3, n))
    order, highest = t.argsort(kind="stable"), np.full(n, -np.inf)
    alone, stepdown = np.empty(t.size), np.empty(t.size)
    at = 0
    for part in _means(over[:, order], resamples):
        for resampled in part:
            k = order[at]
            for maximum, centre in zip(greatest, centres, strict=True):
                np.maximum(maximum, (resampled - centre[k]) / error[k], out=maximum)
            apart = (resampled - mean[k]) / error[k]
            np.maximum(highest, apart, out=highest)
            alone[k], stepdown[k] = _share(apart, t[k]), _share(highest, t[k])
            at += 1
    consistent, lower, upper = (_share(maximum, max(t.max(), 0.0)) for maximum in greatest)
    down = order[::-1]  # a p-value is no less than that of any greater statistic
    stepdown[down] = np.maximum.accumulate(stepdown[down])
    columns = {"mean": mean, "t": t, "p_value": alone}
    return Tested(
        (consistent, lower, upper),
        columns | {"by": benjamini_yekutieli(alone), "stepm": stepdown},
    )


def _share(resampled: Array, observed: float) -> float:
    """The p-value of what was observed, which counts as one of the resamples."""
    return float((1 + np.count_nonzero(resampled >= observed)) / (1 + resampled.size))


def _means(over: Array, resamples: Drawn) -> Iterator[Array]:
    """(columns, resamples) the resampled means, some columns at a time."""
    statistic = figures.mean(over)
    for start in range(0, over.shape[1], BATCH):
        yield statistic.of(resamples, slice(start, start + BATCH))


def benjamini_yekutieli(p_values: Array) -> Array:
    """(n,) p-values adjusted so that those under a level have at most that rate of false ones.

    The i-th smallest of m becomes p*m*(1 + 1/2 + ... + 1/m)/i, no less than those before it and at
    most 1: the rate holds whatever their dependence.

    Source: Benjamini and Yekutieli, "The Control of the False Discovery Rate in Multiple Testing
    under Dependency", Annals of Statistics 29 (2001).

    Args:
        p_values: (n,) 0 to 1.

    Example:
        >>> from wheelvec.inference.superior import benjamini_yekutieli
        >>> import numpy as np
        >>> benjamini_yekutieli(np.array([0.01, 0.5, 0.02])).round(4).tolist()
        [0.055, 0.9167, 0.055]
    """
    m = p_values.size
    rank = np.arange(1, m + 1)
    order = p_values.argsort()
    raised = p_values[order] * m * (1.0 / rank).sum() / rank
    out = np.empty(m)
    out[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return out
