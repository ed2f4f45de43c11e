"""Resampling in blocks: which units are drawn, how often, and figures that are no sums.

The draws are those of Philox4x32-10 (kernels/draws.py), so that a resample is the same on every
machine, in any order and in any number of chunks.
"""

import numpy as np

from wheelvec.jit.arrays import Integers, Reals, ShortIntegers
from wheelvec.jit.compiled import njit_lean
from wheelvec.kernels.draws import philox

STREAM = 0xB007  # third word of the counter: names the use of the generator
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


@njit_lean
def _fraction(high: np.uint64, low: np.uint64) -> float:
    """A number in [0, 1) of 53 random bits, from two words of 32."""
    above = np.float64(high >> np.uint64(5))
    return (above * 67108864.0 + np.float64(low >> np.uint64(6))) / 9007199254740992.0


@njit_lean
def resample(
    seed: np.uint64, units: int, block: float, stationary: bool, out: ShortIntegers
) -> None:
    """Write the units of resamples, drawn in blocks of consecutive ones.

    The first unit follows the last.

    Place t of resample r takes four words x = Philox((t, r, STREAM, 0); (low32 seed, high32 seed)).
    A block starts at unit floor(u*units), u made of x0 and x1 as in rules.md (5): in the stationary
    bootstrap of Politis and Romano (1994) on place 0 and where v*block < 1, v made of x2 and x3; in
    the circular one (Politis and Romano 1992) on every block-th place.

    Args:
        seed: of the generator.
        units: the number to draw from, at least 1.
        block: the mean length of a block, at least 1; circular: its length, a whole number.
        stationary: whether lengths are geometric; else all are the same.
        out: (resamples, places) units from 0, written.
    """
    key_0, key_1 = seed & _LOW, seed >> _SHIFT
    for r in range(out.shape[0]):
        at = 0
        for t in range(out.shape[1]):
            at = at + 1 if at + 1 < units else 0
            if not stationary and t % int(block) != 0:
                out[r, t] = at
                continue
            x0, x1, x2, x3 = philox(
                np.uint64(t), np.uint64(r), np.uint64(STREAM), np.uint64(0), key_0, key_1
            )
            if t == 0 or not stationary or _fraction(x2, x3) * block < 1.0:
                at = int(_fraction(x0, x1) * units)
            out[r, t] = at


@njit_lean
def count_units(drawn: ShortIntegers, out: ShortIntegers) -> None:
    """Write how often each unit is drawn.

    Args:
        drawn: (resamples, places) units.
        out: (resamples, units), zero before, written.
    """
    for r in range(drawn.shape[0]):
        for t in range(drawn.shape[1]):
            out[r, drawn[r, t]] += 1


@njit_lean
def weighted_percentiles(
    values: Reals,
    unit: ShortIntegers,
    counts: ShortIntegers,
    totals: Integers,
    percent: float,
    out: Reals,
) -> None:
    """Write a percentile of the values of each resample, linear between them as numpy.percentile.

    Args:
        values: (n,) ascending, without NaN.
        unit: (n,) the unit of each value, drawn with it.
        counts: (resamples, units) how often each unit is drawn.
        totals: (resamples,) the number of values in each.
        percent: 0 to 100.
        out: (resamples,), written; NaN for a resample without a value.
    """
    for r in range(counts.shape[0]):
        total = totals[r]
        out[r] = np.nan
        if total == 0:
            continue
        at = (total - 1) * (percent / 100.0)
        low = int(np.floor(at))
        seen, i = 0, 0
        while seen + counts[r, unit[i]] <= low:
            seen += counts[r, unit[i]]
            i += 1
        first = values[i]
        seen += counts[r, unit[i]]
        while seen <= min(low + 1, total - 1):
            i += 1
            seen += counts[r, unit[i]]
        out[r] = first + (values[i] - first) * (at - low)


@njit_lean
def equity_paths(
    returns: Reals, drawn: ShortIntegers, at: Integers, equity: Reals, drawdown: Reals
) -> None:
    """Write the equity and the drawdown of resampled returns; the equity starts at 1.

    Args:
        returns: (units,) fractions.
        drawn: (resamples, places) units.
        at: (kept,) the places after which the equity is written, ascending.
        equity: (resamples, kept), written.
        drawdown: (resamples,) least equity/peak - 1, written.
    """
    for r in range(drawn.shape[0]):
        now, peak, least, k = 1.0, 1.0, 0.0, 0
        for t in range(drawn.shape[1]):
            now *= 1.0 + returns[drawn[r, t]]
            peak = max(peak, now)
            least = min(least, now / peak - 1.0)
            if k < at.size and at[k] == t:
                equity[r, k] = now
                k += 1
        drawdown[r] = least
