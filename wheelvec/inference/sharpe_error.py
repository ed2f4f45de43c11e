"""`sharpe_error`: how uncertain a Sharpe ratio is, resampled and by formula."""

from typing import Any, NamedTuple

from wheelvec.inference.bootstrap import bootstrap
from wheelvec.inference.figures import YEAR
from wheelvec.inference.needs import series
from wheelvec.inference.sharpe import lo, mertens, moments
from wheelvec.inference.units import daily
from wheelvec.run.results.portfolio import Portfolio


class SharpeError(NamedTuple):
    """A Sharpe ratio and its standard errors: of a portfolio a year, of a series a period.

    Attributes:
        sharpe: the ratio.
        se: its standard error by the bootstrap, which is the one to use.
        low: the lower end of the bootstrap's interval.
        high: the upper end.
        mertens: the standard error of independent returns of any distribution.
        lo: the standard error of independent normal returns.
        block: the mean length of a block, in periods.
        why: the reason of that length, in words.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(1).normal(0.1, 1.0, size=400)
        >>> found = wv.sharpe_error(returns, block=1, n=1_000)
        >>> abs(found.se / found.lo - 1.0) < 0.1
        True
    """

    sharpe: float
    se: float
    low: float
    high: float
    mertens: float
    lo: float
    block: float
    why: str


def sharpe_error(
    x: Any, *, block: float | None = None, n: int = 10_000, level: float = 0.90, seed: int = 0
) -> SharpeError:
    """The standard error of a Sharpe ratio by the bootstrap, with two formulas beside it.

    The formulas are of independent returns. Those of an account of wheels are not: they lose seldom
    and much, together, and a mark lags. Where a formula and the bootstrap differ, that is why.

    Sources: Mertens, "Comments on Variance of the IID Estimator in Lo (2002)" (2002); Lo, "The
    Statistics of Sharpe Ratios", Financial Analysts Journal 58 (2002).

    Args:
        x: a Portfolio, or (n,) excess returns.
        block: as in `bootstrap`.
        n: the number of resamples.
        level: of the interval.
        seed: of the draws.

    Returns:
        A `SharpeError`, of a portfolio in Sharpe ratios a year of 252 sessions.

    Raises:
        InsufficientDataError: for fewer than 30 returns or 10 blocks, or constant returns.
        InputError: for an invalid argument.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> returns = np.random.default_rng(1).normal(0.1, 1.0, size=400)
        >>> round(wv.sharpe_error(returns, n=1_000).mertens, 4)
        0.05
    """
    found = bootstrap(x, "sharpe", block=block, n=n, level=level, seed=seed)
    is_account = isinstance(x, Portfolio)
    returns = daily(x, "sharpe_error").excess if is_account else series("x", x, "excess returns")
    sharpe, skew, kurtosis = moments(returns)
    year = YEAR**0.5 if is_account else 1.0
    return SharpeError(
        found.estimate,
        found.se,
        found.low,
        found.high,
        year * mertens(sharpe, n=returns.size, skew=skew, kurtosis=kurtosis),
        year * lo(sharpe, n=returns.size),
        found.block,
        found.why,
    )
