"""Resamples against plain Python, and figures of them against NumPy's."""

import numpy as np
import pytest

from tests.oracle.pricer import philox4x32
from wheelvec.kernels.resample import (
    STREAM,
    count_units,
    equity_paths,
    resample,
    weighted_percentiles,
)

SEED = 2**63 + 7


def uniform(high: int, low: int) -> float:
    return ((high >> 5) * 2**26 + (low >> 6)) / 2**53


def plainly(seed: int, units: int, block: float, stationary: bool, r: int, n: int) -> list[int]:
    """One resample, as the docstring of `resample` says."""
    found: list[int] = []
    for t in range(n):
        x = philox4x32((t, r, STREAM, 0), (seed & 0xFFFFFFFF, seed >> 32))
        new = uniform(x[2], x[3]) * block < 1 if stationary else t % int(block) == 0
        if t == 0 or new:
            found.append(int(uniform(x[0], x[1]) * units))
        else:
            found.append((found[-1] + 1) % units)
    return found


@pytest.mark.parametrize("stationary", [True, False])
@pytest.mark.parametrize("block", [1.0, 4.0])
def test_resamples_are_those_of_plain_python(stationary: bool, block: float) -> None:
    out = np.empty((3, 25), np.int32)
    resample(np.uint64(SEED), 11, block, stationary, out)
    for r in range(3):
        assert out[r].tolist() == plainly(SEED, 11, block, stationary, r, 25)


def test_a_known_resample() -> None:
    out = np.empty((1, 8), np.int32)
    resample(np.uint64(42), 100, 3.0, True, out)
    assert out[0].tolist() == [91, 76, 21, 22, 68, 69, 70, 71]


def test_a_mean_block_is_as_long_as_it_says_and_starts_anywhere() -> None:
    out = np.empty((200, 500), np.int32)
    resample(np.uint64(1), 50, 8.0, True, out)
    starts = (np.diff(out, axis=1) % 50 != 1).mean()
    assert starts == pytest.approx((1 / 8) * (1 - 1 / 50), abs=0.003)  # one in 50 goes on by chance
    assert np.bincount(out.ravel(), minlength=50) / out.size == pytest.approx(1 / 50, abs=0.004)


def test_units_are_counted() -> None:
    out = np.zeros((2, 4), np.int32)
    count_units(np.array([[0, 0, 3], [1, 2, 1]], np.int32), out)
    assert out.tolist() == [[2, 0, 0, 1], [0, 2, 1, 0]]


@pytest.mark.parametrize("percent", [0.0, 5.0, 37.5, 50.0, 100.0])
def test_percentiles_of_repeated_values_are_numpys(percent: float) -> None:
    rng = np.random.default_rng(3)
    unit = rng.integers(0, 6, 30).astype(np.int32)
    values = np.sort(rng.normal(size=30).round(1))
    counts = rng.integers(0, 3, (20, 6)).astype(np.int32)
    counts[0] = 0
    totals, out = counts @ np.bincount(unit, minlength=6), np.empty(20)
    weighted_percentiles(values, unit, counts, totals, percent, out)
    assert np.isnan(out[0])
    for r in range(1, 20):
        assert out[r] == pytest.approx(np.percentile(values.repeat(counts[r, unit]), percent))


def test_equity_by_hand() -> None:
    returns, drawn = np.array([0.5, -0.5, 0.0]), np.array([[0, 1, 1, 0]], np.int32)
    equity, drawdown = np.empty((1, 2)), np.empty(1)
    equity_paths(returns, drawn, np.array([1, 3]), equity, drawdown)
    assert equity.tolist() == [[0.75, 0.5625]]  # 1.5, 0.75, 0.375, 0.5625
    assert drawdown.tolist() == [-0.75]
