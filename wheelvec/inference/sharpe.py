"""The deflated Sharpe ratio, and standard errors of Sharpe ratios by formula."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.needs import number, one_of, whole
from wheelvec.model.errors import InputError

Array = NDArray[Any]

NORMAL = NormalDist()
EULER_GAMMA = 0.5772156649015329
MANY = 1e15  # trials; of more, 1 - 1/N is 1 in doubles
VARIANCES = ("observed", "null")


def expected_maximum(trials: float, trial_variance: float) -> float:
    """The Sharpe ratio that the best of some trials is expected to have without any skill.

    SR0 = sqrt(V)*((1 - g)*z(1 - 1/N) + g*z(1 - 1/(N*e))), z the normal quantile, g Euler's
    constant; 0 for a single trial, and never under 0.

    Source: Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management
    40 (2014).

    Args:
        trials: N, the number of independent trials; it need not be whole.
        trial_variance: V, the variance of their Sharpe ratios.

    Example:
        >>> from wheelvec.inference.sharpe import expected_maximum
        >>> round(expected_maximum(100, 1 / 500), 6)
        0.113172
    """
    if trials <= 1.0:
        return 0.0
    best = NORMAL.inv_cdf(1.0 - 1.0 / trials)
    beyond = NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return max(math.sqrt(trial_variance) * ((1.0 - EULER_GAMMA) * best + EULER_GAMMA * beyond), 0.0)


def deflated_sharpe(
    sharpe: float,
    *,
    n: int,
    skew: float,
    kurtosis: float,
    trials: float,
    trial_variance: float,
    variance: str = "observed",
) -> float:
    """The probability that a Sharpe ratio is above what the best of so many trials has by luck.

        Phi((SR - SR0)*sqrt(n - 1)/sqrt(1 - skew*SR + (kurtosis - 1)/4*SR^2))

    SR0 is the expected maximum of `trials` Sharpe ratios without skill. All Sharpe ratios are those
    of one period. It assumes independent periods and independent trials: neighbours on a grid are
    not (`effective_trials`).

    Source: Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management
    40 (2014); for variance="null" Lopez de Prado, Lipton and Zoonekynd, "How to Use the Sharpe
    Ratio" (2025).

    Args:
        sharpe: the Sharpe ratio chosen, a period, not a year.
        n: the number of periods.
        skew: of the periods' returns.
        kurtosis: of the periods' returns, raw: 3 is normal.
        trials: how many independent trials it was the best of.
        trial_variance: the variance of the Sharpe ratios, a period, of all trials.
        variance: "observed": of the estimate at the Sharpe ratio chosen; "null": at SR0.

    Returns:
        1 less the p-value against SR0, if periods and trials are independent; not the chance of
        an edge.

    Raises:
        InputError: for an argument out of its range, or a kurtosis under skew^2 + 1, which no
            returns have.

    Example:
        >>> import wheelvec as wv
        >>> found = wv.deflated_sharpe(
        ...     2.5 / 250**0.5, n=1250, skew=-3, kurtosis=10, trials=100, trial_variance=1 / 500
        ... )
        >>> round(found, 6)
        0.900397
    """
    sharpe = number("sharpe", sharpe, -1e6, 1e6)
    n = whole("n", n, 2)
    trials = number("trials", trials, 1.0, MANY)
    trial_variance = number("trial_variance", trial_variance, 0.0, 1e12)
    one_of("variance", variance, VARIANCES)
    luck = expected_maximum(trials, trial_variance)
    at = sharpe if variance == "observed" else luck
    spread = _spread(at, number("skew", skew, -1e6, 1e6), number("kurtosis", kurtosis, 1.0, 1e12))
    return NORMAL.cdf((sharpe - luck) * math.sqrt((n - 1) / spread))


def _spread(sharpe: float, skew: float, kurtosis: float) -> float:
    """The variance, times the number of periods, of an estimated Sharpe ratio (Mertens 2002)."""
    if kurtosis < skew**2 + 1.0 - 1e-9:
        raise InputError(
            f"kurtosis = {kurtosis:g}: no returns have less than skew^2 + 1 = {skew**2 + 1.0:g}; "
            "it is the raw one, 3 for normal returns"
        )
    # 0 of returns of two values alone, at one Sharpe ratio
    return max(1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2, 1e-12)


def mertens(sharpe: float, *, n: int, skew: float, kurtosis: float) -> float:
    """The standard error of a Sharpe ratio of independent returns that need not be normal.

    sqrt((1 - skew*SR + (kurtosis - 1)/4*SR^2)/n)

    Source: Mertens, "Comments on Variance of the IID Estimator in Lo (2002)" (2002).

    Args:
        sharpe: a period.
        n: the number of periods.
        skew: of the periods' returns.
        kurtosis: raw: 3 is normal.

    Example:
        >>> from wheelvec.inference.sharpe import mertens
        >>> round(mertens(0.1, n=100, skew=0.0, kurtosis=3.0), 6)
        0.10025
    """
    return math.sqrt(_spread(sharpe, skew, kurtosis) / n)


def lo(sharpe: float, *, n: int) -> float:
    """The standard error of a Sharpe ratio of independent normal returns: sqrt((1 + SR^2/2)/n).

    Source: Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal 58 (2002).

    Args:
        sharpe: a period.
        n: the number of periods.

    Example:
        >>> from wheelvec.inference.sharpe import lo
        >>> round(lo(0.1, n=100), 6)
        0.10025
    """
    return math.sqrt((1.0 + sharpe**2 / 2.0) / n)


def moments(returns: Array) -> tuple[float, float, float]:
    """Sharpe ratio a period (sd of a sample), skew and raw kurtosis (of a population).

    Args:
        returns: (n,) that are not all the same.
    """
    apart = returns - returns.mean()
    square = apart * apart
    second = float(square.mean())
    skew = float(np.mean(square * apart)) / second**1.5
    kurtosis = float(np.mean(square * square)) / second**2
    return float(returns.mean() / returns.std(ddof=1)), skew, kurtosis


def sharpe_ratios(returns: Array) -> Array:
    """(columns,) mean/sd a period, sd of a sample; NaN of constant columns.

    Args:
        returns: (n, columns).
    """
    deviation = returns.std(axis=0, ddof=1)
    known = deviation > 1e-12 * np.abs(returns).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(known, returns.mean(axis=0) / deviation, np.nan))
