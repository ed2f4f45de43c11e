"""Chances of drawdowns and losses, and standard errors of Sharpe ratios."""

import numpy as np
import pytest
from scipy import stats

import wheelvec as wv
from wheelvec.inference.blocks import Blocks, drawn

RETURNS = np.random.default_rng(1).normal(0.0, 0.01, size=400)


def test_paths_are_the_products_of_the_days_drawn() -> None:
    found = wv.ruin(RETURNS, 0.1, sessions=60, block=5, n=300, seed=4)
    indices = drawn(Blocks("stationary", 5.0, ""), 400, 300, 4, 60).indices
    equity = np.cumprod(1 + RETURNS[indices], axis=1)
    deepest = (equity / np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)).min(axis=1) - 1
    assert found.drawdown_probability == np.mean(deepest <= -0.1)
    assert found.loss_probability == np.mean(equity[:, -1] < 1)
    assert found.fan["session"].to_list() == list(range(61))
    for percent in (5, 25, 50, 75, 95):
        expected = np.append(1.0, np.percentile(equity, percent, axis=0))
        assert found.fan[f"p{percent:02d}"].to_numpy() == pytest.approx(expected)


def test_probability_of_a_loss_is_that_of_a_walk() -> None:
    # independent days: the logarithm of the end is nearly normal
    logarithm = np.log1p(RETURNS)
    z = -logarithm.mean() * 250**0.5 / logarithm.std()
    found = wv.ruin(RETURNS, sessions=250, block=1)
    assert found.loss_probability == pytest.approx(stats.norm.cdf(z), abs=0.02)


def test_a_long_path_has_a_short_fan() -> None:
    found = wv.ruin(RETURNS, sessions=5_000, block=1, n=100)
    assert found.fan.height == 251
    assert found.fan["session"][-1] == found.sessions == 5_000


def test_sharpe_error_beside_the_formulas() -> None:
    returns = np.random.default_rng(2).exponential(size=800) - 0.8
    found = wv.sharpe_error(returns, block=1)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.se == pytest.approx(found.mertens, rel=0.05)
    assert found.lo > 1.03 * found.mertens  # skewed to the right
    trended = np.repeat(returns[:80], 10)
    in_blocks, single = (wv.sharpe_error(trended, block=length, n=500) for length in (20, 1))
    assert in_blocks.se > 2.0 * single.se


@pytest.mark.parametrize(
    ("x", "changes", "text"),
    [
        (RETURNS[:20], {}, "ruin needs at least 30 sessions: there are 20"),
        (RETURNS, {"drawdown": 20}, "drawdown = 20: expected a number from 0.001"),
        (RETURNS, {"sessions": 0}, "sessions = 0: expected a whole number from 1"),
        (RETURNS, {"n": 10}, "n = 10"),
        (np.zeros(50), {}, "ruin needs returns that differ: all are 0"),
        (RETURNS - 1.0, {}, "returns of -1 or less"),
        (RETURNS.reshape(200, 2), {}, r"x has shape \(200, 2\)"),
    ],
)
def test_refusals(x: np.ndarray, changes: dict[str, int], text: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(wv.InputError, match=text):
        wv.ruin(x, **changes)  # type: ignore[arg-type]


def test_sharpe_error_takes_one_series() -> None:
    with pytest.raises(wv.InputError, match=r"expected \(n,\) excess returns"):
        wv.sharpe_error(RETURNS.reshape(200, 2), n=100)
