"""The probability of backtest overfitting: known answers, and a plain loop over splits."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wheelvec as wv
from wheelvec.inference.overfitting import of_blocks


def noise(seed: int, periods: int = 1000, columns: int = 200) -> Any:
    return np.random.default_rng(seed).normal(size=(periods, columns))


def plainly(returns: Any, blocks: int, figure: str) -> list[tuple[float, int, float, float]]:
    """Each split: logit, column, figure in sample and out of sample; by scipy's ranks."""
    parts = [
        np.flatnonzero(b == np.arange(len(returns)) * blocks // len(returns)) for b in range(blocks)
    ]
    found = []
    for choice in itertools.combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[b] for b in choice])
        outside = np.concatenate([parts[b] for b in range(blocks) if b not in choice])
        both = []
        for rows in (inside, outside):
            with np.errstate(invalid="ignore"):
                mean = returns[rows].mean(axis=0)
                both.append(
                    mean / returns[rows].std(axis=0, ddof=1) if figure == "sharpe" else mean
                )
        best = int(both[0].argmax())
        w = stats.rankdata(both[1])[best] / (returns.shape[1] + 1)
        found.append((math.log(w / (1 - w)), best, both[0][best], both[1][best]))
    return found


@pytest.mark.parametrize("figure", ["sharpe", "mean"])
@pytest.mark.parametrize("periods", [64, 67])
def test_splits_are_those_of_a_plain_loop(figure: str, periods: int) -> None:
    returns = noise(1, periods, 12)
    expected = plainly(returns, 8, figure)
    found = wv.pbo(returns, blocks=8, figure=figure)
    assert found.logits == pytest.approx([each[0] for each in expected])
    assert found.chosen.tolist() == [each[1] for each in expected]
    assert found.in_sample == pytest.approx([each[2] for each in expected])
    assert found.out_of_sample == pytest.approx([each[3] for each in expected])
    assert found.probability == np.mean([each[0] <= 0 for each in expected])
    assert found.loss == np.mean([each[3] < 0 for each in expected])
    line = stats.linregress([e[2] for e in expected], [e[3] for e in expected])
    assert found.slope == pytest.approx(line.slope)
    assert found.intercept == pytest.approx(line.intercept)
    assert found.r_squared == pytest.approx(line.rvalue**2)


def test_ties_have_the_average_rank() -> None:
    returns = np.round(noise(2, 48, 15))  # few values: many ties
    expected = plainly(returns, 8, "mean")
    assert wv.pbo(returns, 8, "mean").logits == pytest.approx([each[0] for each in expected])


@pytest.mark.parametrize("figure", ["sharpe", "mean"])
def test_demeaned_columns_are_always_overfitted(figure: str) -> None:
    returns = noise(3)
    assert wv.pbo(returns - returns.mean(axis=0), figure=figure).probability == 1.0


@pytest.mark.parametrize("figure", ["sharpe", "mean"])
def test_a_column_above_all_others_never_is(figure: str) -> None:
    returns = noise(4)
    returns[:, 5] = np.abs(returns).max() + returns[:, 5]
    found = wv.pbo(returns, figure=figure)
    assert found.probability == 0.0
    assert set(found.chosen.tolist()) == {5}
    assert found.loss == 0.0


@pytest.mark.slow
def test_noise_is_overfitted_half_of_the_time() -> None:
    found = [wv.pbo(noise(seed)).probability for seed in range(60)]
    assert np.mean(found) == pytest.approx(0.476, abs=3 * 0.137 / 60**0.5)
    assert np.std(found) == pytest.approx(0.137, abs=0.04)


def test_noise_is_overfitted_about_half_of_the_time() -> None:
    found = [wv.pbo(noise(seed, 400, 50), blocks=8).probability for seed in range(30)]
    assert 0.38 < np.mean(found) < 0.6


def test_an_edge_is_found() -> None:
    returns = noise(6)
    returns[:, :20] += 0.15
    found = wv.pbo(returns)
    assert found.probability < 0.02
    assert (found.chosen < 20).mean() > 0.98


def test_what_never_trades_is_dropped_and_what_stands_still_is_not() -> None:
    returns = noise(7, 48, 12)
    idle = np.hstack([np.zeros((48, 5)), returns])
    assert wv.pbo(idle, 8).logits.tolist() == wv.pbo(returns, 8).logits.tolist()
    assert wv.pbo(idle, 8).configurations == 12
    returns[:24, 0] = 0.0  # traded in the second half only
    assert np.isfinite(wv.pbo(returns, 8).logits).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100.0))
def test_order_and_unit_of_the_columns_change_nothing(seed: int, unit: float) -> None:
    returns, rng = noise(seed, 40, 11), np.random.default_rng(seed)
    found = wv.pbo(returns, 8)
    other = wv.pbo(unit * returns[:, rng.permutation(11)], 8)
    assert other.logits == pytest.approx(found.logits)
    assert 0.0 <= found.probability <= 1.0


def test_refusals() -> None:
    with pytest.raises(wv.InsufficientDataError, match="at least 24 periods: there are 20"):
        wv.pbo(noise(1, 20, 12), 8)
    with pytest.raises(wv.InsufficientDataError, match="10 configurations that trade: there are 9"):
        wv.pbo(np.hstack([noise(1, 48, 9), np.zeros((48, 3))]), 8)
    with pytest.raises(wv.InsufficientDataError, match="2 periods in each of 16 blocks: one has 1"):
        wv.pbo(noise(1, 30, 12))
    with pytest.raises(wv.InsufficientDataError, match="returns that differ"):
        wv.pbo(np.ones((48, 12)), 8)
    for blocks, text in [(7, "from 8 to 20"), (9, "expected an even number"), (22, "from 8 to 20")]:
        with pytest.raises(wv.InputError, match=text):
            wv.pbo(noise(1, 48, 12), blocks)
    with pytest.raises(wv.InputError, match="unknown figure 'median'"):
        wv.pbo(noise(1, 48, 12), 8, "median")
    block_of = np.repeat(np.arange(8), 6)
    assert of_blocks(noise(1, 48, 12), block_of, 8, "mean").blocks == 8
