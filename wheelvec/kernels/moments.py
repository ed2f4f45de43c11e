"""Sums and central moments of runs of an array, each added in order: equal to the bit."""

import numpy as np

from wheelvec.jit.arrays import Integers, Reals
from wheelvec.jit.compiled import njit


@njit
def run_moments(values: Reals, starts: Integers, out: Reals) -> None:
    """Write count, sum, mean, sum of squared deviations, least and greatest of each run.

    Args:
        values: (n,) without NaN.
        starts: (runs + 1,); run r is values[starts[r]:starts[r + 1]].
        out: (runs, 6), written; an empty run has count 0 and NaN for mean, least and greatest.
    """
    for r in range(starts.size - 1):
        first, last = starts[r], starts[r + 1]
        total, low, high = 0.0, np.inf, -np.inf
        for i in range(first, last):
            total += values[i]
            low, high = min(low, values[i]), max(high, values[i])
        count = last - first
        mean = total / count if count else np.nan
        spread = 0.0
        for i in range(first, last):
            spread += (values[i] - mean) ** 2
        out[r, 0], out[r, 1], out[r, 2] = count, total, mean
        out[r, 3], out[r, 4], out[r, 5] = spread, low, high
