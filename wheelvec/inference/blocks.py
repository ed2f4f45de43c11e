"""How long the blocks of a bootstrap are, and the resamples that are drawn in such blocks."""

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.inference.needs import (
    BLOCKS,
    UNITS,
    at_least,
    is_constant,
    matrix,
    number,
    one_of,
    whole,
)
from wheelvec.kernels.resample import count_units, resample
from wheelvec.model.errors import InsufficientDataError

Array = NDArray[Any]

METHODS = ("stationary", "circular")
ENTRIES = "entry sessions"
# of the spectral density at 0, squared, in the variance of the estimated variance
_VARIANCE = {"stationary": 2.0, "circular": 4.0 / 3.0}


class Blocks(NamedTuple):
    """How resamples are drawn.

    Attributes:
        method: "stationary" or "circular".
        length: the mean length of a block, in units.
        why: the reason of the length, in words.
        widening: how much too small the standard error is in such blocks (`widening`).
    """

    method: str
    length: float
    why: str
    widening: float = 1.0


class Drawn:
    """Units that are drawn.

    Args:
        indices: (resamples, places) units from 0, int32.
        units: how many there are to draw from.
    """

    def __init__(self, indices: Array, units: int) -> None:
        self.indices, self.units = indices, units

    @property
    def places(self) -> int:
        """The number of units in a resample."""
        return int(self.indices.shape[1])

    @cached_property
    def counts(self) -> Array:
        """(resamples, units) how often each unit is drawn."""
        out = np.zeros((self.indices.shape[0], self.units), np.int32)
        count_units(self.indices, out)
        return out


def drawn(blocks: Blocks, units: int, n: int, seed: int, places: int | None = None) -> Drawn:
    """N resamples of some units.

    Args:
        blocks: how they are drawn.
        units: the number to draw from.
        n: the number of resamples.
        seed: of the generator.
        places: units in a resample; None: as many as there are.
    """
    out = np.empty((n, places or units), np.int32)
    stationary = blocks.method == "stationary"
    resample(np.uint64(seed), units, float(blocks.length), stationary, out)
    return Drawn(out, units)


def observed(units: int) -> Drawn:
    """Every unit once, in order: the observed sample."""
    return Drawn(np.arange(units, dtype=np.int32)[None, :], units)


def without_blocks(units: int, length: int) -> Drawn:
    """The sample without each block of so many units in turn; the first unit follows the last."""
    kept = np.arange(length, units, dtype=np.int32)[None, :]
    return Drawn((kept + np.arange(units, dtype=np.int32)[:, None]) % np.int32(units), units)


def block_length(series: Any, method: str = "stationary") -> float:
    """The block length that minimises the error of a bootstrap's variance of a mean.

    With R(k) the autocovariance at lag k and a flat-top window w over |k| <= M,

        length = (2*G^2/D)^(1/3) * n^(1/3)
        G = sum w(k/M)*|k|*R(k),  g = sum w(k/M)*R(k),  w(x) = 1 to 1/2, then 2*(1 - |x|)
        D = 2*g^2 (stationary), 4/3*g^2 (circular)

    M is twice the first lag from which on the autocorrelations of max(5, log10 n) lags in a row
    are under 2*sqrt(log10(n)/n). The length is at least 1 and at most min(3*sqrt(n), n/3). It is
    that of a stationary series; overlapping wheels need blocks of at least their holding period,
    whatever it says.

    Source: Politis and White, "Automatic Block-Length Selection for the Dependent Bootstrap",
    Econometric Reviews 23 (2004), with the correction of Patton, Politis and White, 28 (2009).

    Args:
        series: (n,) observations in order of time.
        method: "stationary" or "circular".

    Returns:
        The length, in observations; of the stationary bootstrap the mean length.

    Raises:
        InsufficientDataError: for fewer than 30 observations, or constant ones.
        InputError: for values that are not finite, or an unknown method.

    Example:
        >>> import numpy as np
        >>> import wheelvec as wv
        >>> steps = np.random.default_rng(7).standard_normal(400)
        >>> walk = np.convolve(steps, 0.7 ** np.arange(30), mode="valid")
        >>> round(wv.block_length(walk), 2), round(wv.block_length(steps), 2)
        (11.71, 1.0)
    """
    values = matrix("series", series)
    one_of("method", method, METHODS)
    at_least("block_length", UNITS, values.shape[0], "observations")
    if is_constant(values).all():
        raise InsufficientDataError(
            f"block_length needs values that differ: all are {values[0, 0]:g}"
        )
    return float(np.median(block_lengths(values, method)))


def block_lengths(values: Array, method: str) -> Array:
    """(columns,) the length of `block_length` for each column; 1 of a constant one.

    Args:
        values: (n, columns).
        method: "stationary" or "circular".
    """
    n = values.shape[0]
    run = max(5, int(math.log10(n)))
    lags = min(math.ceil(math.sqrt(n)) + run, n - 1)
    centred = values - values.mean(axis=0)
    covariance = np.array(
        [np.einsum("tc,tc->c", centred[k:], centred[: n - k]) for k in range(lags + 1)]
    )
    covariance[:, is_constant(values)] = 0.0
    with np.errstate(invalid="ignore"):
        small = np.abs(covariance / covariance[0]) < 2.0 * math.sqrt(math.log10(n) / n)
    windows = np.lib.stride_tricks.sliding_window_view(small[1:], run, axis=0).all(axis=-1)
    first = np.where(windows.any(axis=0), windows.argmax(axis=0) + 1, lags)
    width = np.minimum(2 * first, lags)
    found = optimal_length(covariance / n, width, n, method)
    return np.clip(found, 1.0, math.ceil(min(3.0 * math.sqrt(n), n / 3.0)))


def optimal_length(covariance: Array, width: Array, n: int, method: str) -> Array:
    """(columns,) the length of `block_length` from autocovariances; 0 without dependence.

    Args:
        covariance: (lags + 1, columns) from lag 0 on.
        width: (columns,) M, at most `lags`.
        n: the number of observations.
        method: "stationary" or "circular".
    """
    lag = np.arange(1, covariance.shape[0])[:, None]
    window = np.clip(2.0 * (1.0 - lag / width), 0.0, 1.0)
    slope = 2.0 * np.sum(window * lag * covariance[1:], axis=0)
    density = covariance[0] + 2.0 * np.sum(window * covariance[1:], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.cbrt(2.0 * slope**2 / (_VARIANCE[method] * density**2) * n)
    return np.where(slope == 0.0, 0.0, found)


def chosen(
    what: str,
    influence: Array,
    method: str,
    block: float | None,
    holding: int | None,
    unit: str = "observations",
) -> Blocks:
    """The blocks of a bootstrap: as given, or of the longest holding period, or by Politis & White.

    Args:
        what: the statistic, for refusals.
        influence: (units, columns) what each unit adds to the figures.
        method: "stationary" or "circular".
        block: as given by the user; None: chosen.
        holding: the longest holding period, in units; None: not known.
        unit: the drawn units, in the plural; of entry sessions the wheels overlap.

    Raises:
        InsufficientDataError: for fewer than 30 units or 10 blocks.
    """
    units = influence.shape[0]
    one_of("method", method, METHODS)
    at_least(what, UNITS, units, unit)
    if block is not None:
        length = number("block", block, 1.0, units)
        why = "as given"
    else:
        length, why = _longer(float(np.median(block_lengths(influence, method))), holding)
    if method == "circular":
        length = float(whole("block", math.ceil(length), 1))
    if units / length < BLOCKS:
        raise InsufficientDataError(
            f"{what} needs at least {BLOCKS} blocks: {units} {unit} are {units / length:.1f} "
            f"blocks of {length:.1f} ({why})"
        )
    overlaps = unit == ENTRIES and holding is not None and block is None
    wider = widening(units, length, method, holding) if overlaps and holding else 1.0
    return Blocks(method, length, why, wider)


def widening(units: int, length: float, method: str, holding: int) -> float:
    """The standard error of a mean of overlapping wheels over that of its resamples in blocks.

    Blocks cut wheels apart that overlap, and resamples vary around the mean of the sample instead
    of the true one: both make the resamples too much alike. Of units that share `holding` sessions
    of a random walk the correlation at lag k is r(k) = max(0, 1 - k/holding), and with w(k) the
    weight of lag k in the variance of a resampled mean, of n units,

        widening^2 = V/(1 + 2*sum(w(k)*r(k)) - V*W/n),
        V = 1 + 2*sum((1 - k/n)*r(k)),  W = the sum of all w
        w(k) = (1 - k/n)*(1 - p)^k + k/n*(1 - p)^(n - k), p = 1/length   stationary
        w(k) = (1 - k/n)*max(0, 1 - k/length)                            circular

    Sources: Politis and Romano, "The Stationary Bootstrap", JASA 89 (1994), for the weights;
    Kuensch, "The Jackknife and the Bootstrap for General Stationary Observations", Annals of
    Statistics 17 (1989), for the bias.

    Args:
        units: n.
        length: of the blocks.
        method: "stationary" or "circular".
        holding: units over which wheels overlap.

    Example:
        >>> from wheelvec.inference.blocks import widening
        >>> round(widening(750, 25.0, "stationary", 25), 3)
        1.222
    """
    lag, n = np.arange(1, units), float(units)
    shared = np.maximum(0.0, 1.0 - lag / holding)
    true = 1.0 + 2.0 * np.sum((1.0 - lag / n) * shared)
    if method == "stationary":
        kept = 1.0 - 1.0 / length
        weight = (1.0 - lag / n) * kept**lag + lag / n * kept ** (n - lag)
        every = 1.0 + 2.0 * np.sum((1.0 - lag / n) * kept**lag)
    else:
        weight, every = (1.0 - lag / n) * np.maximum(0.0, 1.0 - lag / length), length
    resampled = 1.0 + 2.0 * np.sum(weight * shared) - true * every / n
    return max(float(np.sqrt(true / max(resampled, 0.1 * true))), 1.0)


def _longer(optimal: float, holding: int | None) -> tuple[float, str]:
    """The longer of the two lengths, and why."""
    named = f"Politis & White: {optimal:.1f}"
    if holding is None:
        return optimal, named
    if holding >= optimal:
        return float(holding), f"the longest holding period: {holding}; {named}"
    return optimal, f"{named}; the longest holding period: {holding}"
