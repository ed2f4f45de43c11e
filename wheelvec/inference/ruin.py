"""`ruin`: how an account might have gone, by resampling its days in blocks."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference.blocks import chosen, drawn
from wheelvec.inference.bootstrap import LEAST
from wheelvec.inference.needs import is_constant, number, series, whole
from wheelvec.inference.units import daily
from wheelvec.kernels.resample import equity_paths
from wheelvec.model.errors import InputError, InsufficientDataError
from wheelvec.run.results.portfolio import Portfolio

Array = NDArray[Any]

PERCENTILES = (5, 25, 50, 75, 95)
POINTS = 250  # of the fan, at most


class Ruin(NamedTuple):
    """The drawdowns and ends of resampled paths of equity.

    Attributes:
        fan: session (0 is the start) and p05, p25, p50, p75, p95 of equity over its start.
        drawdown: the one asked for, a fraction.
        drawdown_probability: the share of paths that fall by it from a peak, or more.
        loss_probability: the share of paths that end under the start.
        sessions: the length of a path.
        block: the mean length of a block, in sessions.
        why: the reason of that length, in words.
        n: the number of paths.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> found = wv.ruin(np.random.default_rng(1).normal(0.001, 0.01, size=500), n=1_000)
        >>> found.fan.row(0)
        (0, 1.0, 1.0, 1.0, 1.0, 1.0)
    """

    fan: pl.DataFrame
    drawdown: float
    drawdown_probability: float
    loss_probability: float
    sessions: int
    block: float
    why: str
    n: int


def ruin(
    x: Any,
    drawdown: float = 0.2,
    *,
    sessions: int | None = None,
    block: float | None = None,
    n: int = 10_000,
    seed: int = 0,
) -> Ruin:
    """The chances of a drawdown and of a loss, over paths made of blocks of an account's days.

    Paths compound daily returns, drawn in blocks of a geometric length (Politis and Romano 1994) of
    at least the longest holding period on average. They assume that days come again as they were:
    a crash that the sample does not have is in no path.

    Args:
        x: a Portfolio, or (n,) daily returns, fractions.
        drawdown: the fall from a peak to look for, 0.2 for 20%.
        sessions: the length of a path; None: that of the account.
        block: mean length of a block, in sessions; None: chosen as in `bootstrap`.
        n: the number of paths.
        seed: of the draws.

    Returns:
        A `Ruin`: the two probabilities, and percentiles of equity by session for a fan chart.

    Raises:
        InsufficientDataError: for fewer than 30 sessions or 10 blocks, or an equity that was not
            always positive.
        InputError: for an invalid argument.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(1).normal(0.0, 0.01, size=500)
        >>> found = wv.ruin(returns, 0.5, block=1, n=1_000)
        >>> round(found.drawdown_probability, 2), round(found.loss_probability, 2)
        (0.02, 0.83)
    """
    drawdown, n = number("drawdown", drawdown, 0.001, 0.999), whole("n", n, LEAST)
    seed, holding = whole("seed", seed, 0, 2**64 - 1), None
    if isinstance(x, Portfolio):
        returns, _, holding = daily(x, "ruin")
    else:
        returns = _returns(x)
    length = returns.size if sessions is None else whole("sessions", sessions, 1, 100_000)
    blocks = chosen("ruin", returns[:, None], "stationary", block, holding, "sessions")
    paths = drawn(blocks, returns.size, n, seed, length)
    at = np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype(np.int64))
    equity, deepest = np.empty((n, at.size)), np.empty(n)
    equity_paths(np.ascontiguousarray(returns), paths.indices, at, equity, deepest)
    return Ruin(
        _fan(equity, at),
        drawdown,
        float(np.mean(deepest <= -drawdown)),
        float(np.mean(equity[:, -1] < 1.0)),
        length,
        blocks.length,
        blocks.why,
        n,
    )


def _returns(x: Any) -> Array:
    returns = series("x", x, "daily returns")
    if (returns <= -1.0).any():
        raise InputError("x holds returns of -1 or less: expected fractions of the equity")
    if is_constant(returns[:, None]).all():
        raise InsufficientDataError(f"ruin needs returns that differ: all are {returns[0]:g}")
    return returns


def _fan(equity: Array, at: Array) -> pl.DataFrame:
    """The percentiles of equity by session, from 1 on."""
    percentiles = np.percentile(equity, PERCENTILES, axis=0)
    return pl.DataFrame(
        {"session": np.append(0, at + 1)}
        | {
            f"p{percent:02d}": np.append(1.0, values)
            for percent, values in zip(PERCENTILES, percentiles, strict=True)
        }
    )
