"""Block lengths: the formula's known answers, AR(1) series, and arch."""

import math

import numpy as np
import pytest
from arch.bootstrap import optimal_block_length
from numpy.typing import NDArray

import wheelvec as wv
from wheelvec.inference.blocks import (
    Blocks,
    block_lengths,
    chosen,
    drawn,
    optimal_length,
    widening,
    without_blocks,
)


def autoregressive(rho: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    steps = rng.standard_normal(n + 100)
    for t in range(1, steps.size):
        steps[t] += rho * steps[t - 1]
    return steps[100:]


# (2|rho|/(1 - rho^2))^(2/3)*n^(1/3)
KNOWN = [(0.7, 200, 11.47), (0.7, 800, 18.2), (0.1, 200, 2.01), (-0.4, 200, 5.66)]


@pytest.mark.parametrize(("rho", "n", "expected"), KNOWN)
def test_length_from_the_autocovariances_of_an_autoregression(
    rho: float, n: int, expected: float
) -> None:
    covariance = rho ** np.arange(400.0)[:, None]
    width = np.array([398])
    found = optimal_length(covariance, width, n, "stationary")[0]
    assert found == pytest.approx((2 * abs(rho) / (1 - rho**2)) ** (2 / 3) * n ** (1 / 3), rel=1e-9)
    assert found == pytest.approx(expected, abs=0.05)
    circular = optimal_length(covariance, width, n, "circular")[0]
    assert circular / found == pytest.approx(1.5 ** (1 / 3))


def test_circular_length_of_the_strong_autoregression() -> None:
    covariance = 0.7 ** np.arange(400.0)[:, None]
    found = optimal_length(covariance, np.array([398]), 200, "circular")
    assert found[0] == pytest.approx(13.13, abs=0.01)


@pytest.mark.parametrize(("rho", "n", "expected"), KNOWN)
def test_length_of_simulated_autoregressions_is_near_on_average(
    rho: float, n: int, expected: float
) -> None:
    rng = np.random.default_rng(3)
    series = np.column_stack([autoregressive(rho, n, rng) for _ in range(300)])
    assert block_lengths(series, "stationary").mean() == pytest.approx(expected, rel=0.2)


def test_length_is_that_of_arch() -> None:
    rng = np.random.default_rng(5)
    for rho, n in [(0.7, 200), (0.3, 90), (-0.4, 1000), (0.95, 300)]:
        series = autoregressive(rho, n, rng)
        expected = optimal_block_length(series).to_numpy()[0]
        for method, length in zip(("stationary", "circular"), expected, strict=True):
            assert wv.block_length(series, method) == pytest.approx(max(length, 1.0), rel=0.02)


def test_length_of_archs_own_regression() -> None:
    steps = np.random.RandomState(0).standard_normal(10_100)
    for t in range(1, steps.size):
        steps[t] += 0.3 * steps[t - 1]
    assert wv.block_length(steps[100:]) == pytest.approx(13.635665, abs=1e-5)
    assert wv.block_length(steps[100:], "circular") == pytest.approx(15.60894, abs=1e-5)


def test_ratio_of_the_methods_is_constant() -> None:
    series = autoregressive(0.5, 300, np.random.default_rng(1))
    ratio = wv.block_length(series, "circular") / wv.block_length(series)
    assert ratio == pytest.approx(1.144714, abs=1e-6)


def test_what_a_length_cannot_be_made_of() -> None:
    with pytest.raises(wv.InsufficientDataError, match="at least 30 observations: there are 29"):
        wv.block_length(np.arange(29.0))
    with pytest.raises(wv.InsufficientDataError, match="values that differ: all are 0"):
        wv.block_length(np.zeros(50))
    with pytest.raises(wv.InputError, match="2 values that are not finite"):
        wv.block_length([1.0, math.nan, math.inf] * 1)
    with pytest.raises(wv.InputError, match="unknown method 'moving'; allowed: stationary, circ"):
        wv.block_length(np.arange(50.0), "moving")


def test_the_longer_length_is_chosen_and_why_is_said() -> None:
    noise = np.random.default_rng(1).normal(size=(400, 3))
    found = chosen("x", noise, "stationary", None, 21)
    assert found.length == 21.0
    assert found.why.startswith("the longest holding period: 21; Politis & White: 1.")
    walk = np.column_stack([autoregressive(0.8, 2000, np.random.default_rng(i)) for i in range(3)])
    longer = chosen("x", walk, "circular", None, 2)
    assert longer.length == math.ceil(np.median(block_lengths(walk, "circular")))
    assert longer.why.endswith("the longest holding period: 2")
    with pytest.raises(
        wv.InsufficientDataError, match=r"10 blocks: 400 observations are 9\.8 blocks of 41"
    ):
        chosen("x", noise, "stationary", None, 41)


def test_each_block_is_left_out_once() -> None:
    left = without_blocks(5, 2)
    assert left.indices.tolist() == [[2, 3, 4], [3, 4, 0], [4, 0, 1], [0, 1, 2], [1, 2, 3]]
    assert left.counts.sum(axis=0).tolist() == [3] * 5


def test_resamples_have_as_many_units_as_asked_for() -> None:
    blocks = chosen("x", np.random.default_rng(1).normal(size=(40, 1)), "circular", 4, None)
    found = drawn(blocks, 40, 7, seed=1, places=55)
    assert (found.indices.shape, found.counts.shape) == ((7, 55), (7, 40))
    assert (found.counts.sum(axis=1) == 55).all()


@pytest.mark.parametrize("method", ["stationary", "circular"])
@pytest.mark.parametrize(("holding", "length"), [(10, 10.0), (10, 25.0), (20, 20.0)])
def test_widening_is_what_resamples_of_moving_sums_lack(
    method: str, holding: int, length: float
) -> None:
    n = 400
    steps = np.random.default_rng(1).normal(size=(n + holding - 1, 500))
    path = np.vstack([np.zeros(500), steps.cumsum(axis=0)])
    sums = path[holding:] - path[:-holding]
    made = drawn(Blocks(method, length, ""), n, 2_000, seed=1)
    resampled = (made.counts @ sums / n).var(axis=0).mean()
    # the variance of a mean of n sums of `holding` independent steps
    weights = np.convolve(np.ones(n), np.ones(holding))
    true = (weights**2).sum() / n**2
    expected = (true / resampled) ** 0.5
    assert widening(n, length, method, holding) == pytest.approx(expected, rel=0.03)


def test_only_overlapping_wheels_in_blocks_of_ours_are_widened() -> None:
    noise = np.random.default_rng(1).normal(size=(400, 3))
    assert chosen("x", noise, "stationary", None, 21, "entry sessions").widening > 1.1
    assert chosen("x", noise, "stationary", None, 1, "entry sessions").widening < 1.01
    for block, holding, unit in [(21, 21, "entry sessions"), (None, 21, "sessions")]:
        assert chosen("x", noise, "stationary", block, holding, unit).widening == 1.0
