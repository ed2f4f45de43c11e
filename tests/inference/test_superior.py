"""SPA and StepM: a plain loop over the same resamples, arch, and how often luck is taken for skill."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from arch.bootstrap import SPA, StepM
from scipy import stats

import wheelvec as wv
from wheelvec.inference.blocks import Blocks, drawn
from wheelvec.inference.superior import benjamini_yekutieli


def noise(seed: int, units: int = 200, columns: int = 15) -> Any:
    return np.random.default_rng(seed).normal(size=(units, columns))


def plainly(over: Any, indices: Any) -> tuple[list[float], list[float]]:
    """Hansen's three p-values, and the stepdown's by repeated tests of what is left."""
    mean = over.mean(axis=0)
    means = np.array([over[at].mean(axis=0) for at in indices])
    error = means.std(axis=0, ddof=1)
    t = mean / error
    worse = t < -((2 * np.log(np.log(len(over)))) ** 0.5)
    found = []
    for centre in (np.where(worse, 0, mean), np.maximum(mean, 0), mean):
        greatest = np.maximum(((means - centre) / error).max(axis=1), 0)
        found.append((1 + np.sum(greatest >= max(t.max(), 0))) / (1 + len(means)))
    left, stepdown, last = list(range(t.size)), np.empty(t.size), 0.0
    while left:
        best = max(left, key=lambda k: t[k])
        highest = ((means - mean) / error)[:, left].max(axis=1)
        last = max(last, (1 + np.sum(highest >= t[best])) / (1 + len(means)))
        stepdown[best] = last
        left.remove(best)
    return found, stepdown.tolist()


@pytest.mark.parametrize("edge", [0.0, 0.3])
def test_p_values_are_those_of_a_plain_loop(edge: float) -> None:
    returns = noise(1)
    returns[:, 2] += edge
    returns[:, 5:9] -= 0.6
    found = wv.spa(returns, block=4, n=400, seed=8)
    indices = drawn(Blocks("stationary", 4.0, ""), 200, 400, 8).indices
    expected, stepdown = plainly(returns, indices)
    assert [found.p_value, found.lower, found.upper] == pytest.approx(expected)
    assert found.lower <= found.p_value <= found.upper
    frame = found.frame.sort("row")
    assert frame["stepm"].to_list() == pytest.approx(stepdown)
    assert frame["mean"].to_list() == pytest.approx(returns.mean(axis=0))
    assert found.frame["t"].is_sorted(descending=True)


@pytest.mark.parametrize(("seed", "edge"), [(0, 0.0), (2, 0.35), (3, 0.35)])
def test_p_values_are_near_those_of_arch(seed: int, edge: float) -> None:
    """Its statistic is not divided by the standard error: alike where all deviate alike."""
    returns = noise(seed, 300, 12)
    returns[:, 3] += edge
    theirs = SPA(np.zeros(300), -returns, block_size=5, reps=2000, seed=1)
    theirs.compute()
    found = wv.spa(returns, block=5, n=2000)
    names = ("lower", "consistent", "upper")
    for name, mine in zip(names, (found.lower, found.p_value, found.upper), strict=True):
        assert mine == pytest.approx(theirs.pvalues[name], abs=0.06)
    steps = StepM(np.zeros(300), -returns, block_size=5, reps=2000, size=0.05, seed=1)
    steps.compute()
    better = found.frame.filter(pl.col("stepm") <= 0.05)["row"].to_list()
    assert better == steps.superior_models == ([3] if edge else [])


def test_luck_is_taken_for_skill_at_the_rate_that_is_said() -> None:
    p_values = [wv.spa(noise(seed, 100, 12), block=1, n=200).p_value for seed in range(200)]
    # consistent: between 0 and the level, for configurations that are just as good
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_configurations_equal_to_the_benchmark_are_left_out() -> None:
    returns = noise(2)
    found = wv.spa(returns, 4, n=200)
    assert found.frame.height == 14
    assert 4 not in found.frame["row"].to_list()
    given = wv.spa(returns, returns[:, 4], n=200)
    assert given.p_value == found.p_value
    shifted = wv.spa(returns + 5.0, np.full(200, 5.0), n=200)
    assert shifted.p_value == pytest.approx(wv.spa(returns, n=200).p_value)


def test_nothing_better_than_the_benchmark_has_a_p_value_of_one() -> None:
    assert wv.spa(noise(3) - 1.0, n=200).p_value == 1.0


def test_adjusted_p_values_are_scipys() -> None:
    p_values = np.random.default_rng(1).uniform(size=30) ** 3
    expected = stats.false_discovery_control(p_values, method="by")
    assert benjamini_yekutieli(p_values) == pytest.approx(expected)


def test_refusals() -> None:
    with pytest.raises(wv.InsufficientDataError, match="10 configurations that differ"):
        wv.spa(np.hstack([noise(1, columns=9), np.zeros((200, 4))]))
    with pytest.raises(wv.InsufficientDataError, match="30 observations: there are 20"):
        wv.spa(noise(1, 20))
    with pytest.raises(wv.InputError, match=r"benchmark has shape \(3, 1\): expected \(200,\)"):
        wv.spa(noise(1), [1.0, 2.0, 3.0])
    with pytest.raises(wv.InputError, match="benchmark = 15: expected a whole number from 0 to 14"):
        wv.spa(noise(1), 15)


def test_it_says_what_it_found() -> None:
    assert repr(wv.spa(noise(1), block=4, n=200)).startswith("<Superior: p 0.")
