"""Intervals hold a known mean as often as they say, and those of single wheels do not."""

import numpy as np
import pytest
from scipy import stats

from tests.inference.coverage import EDGE, METHODS, Design, coverage, wheels
from wheelvec.inference.intervals import _percentile, quantile


@pytest.mark.parametrize("blocks", [10, 15, 30, 100])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_quantile_is_students(blocks: int, level: float) -> None:
    expected = (blocks / (blocks - 1)) ** 0.5 * stats.t.ppf((1 + level) / 2, blocks - 1)
    assert quantile(level, blocks) == pytest.approx(expected, abs=2e-3)


def test_percentiles_beside_infinite_values() -> None:
    values = np.array([1.0, 2.0, 4.0, np.inf])
    assert _percentile(values, 0.5) == 3.0
    assert _percentile(values, 1.0) == np.inf
    assert _percentile(values, 2 / 3) == 4.0


def test_the_mean_of_simulated_wheels_is_known() -> None:
    for early in (True, False):
        found = wheels(Design(400, 100, 10, early), seed=1)
        per_market = found.mean(axis=(0, 1))
        assert per_market.mean() == pytest.approx(EDGE, abs=4 * per_market.std() / 20)


def in_blocks_and_not(design: Design, least: float = 0.85) -> None:
    """The claims of docs/luck.md."""
    found = dict(zip(METHODS, coverage(design), strict=True))
    single, sessions, _, ours = (found[name] for name in METHODS)
    assert (single < 0.5).all()
    assert (sessions < 0.6).all()
    assert (ours >= least).all()
    assert (ours <= 0.93).all()


def test_intervals_hold_the_mean_and_those_of_single_wheels_do_not() -> None:
    in_blocks_and_not(Design(markets=400, sessions=500, longest=15, resamples=300), 0.83)


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False])
def test_intervals_hold_the_mean_in_a_thousand_markets(early: bool) -> None:
    in_blocks_and_not(Design(early=early))
