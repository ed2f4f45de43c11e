"""Deflated Sharpe ratios: the papers' numbers, jsharpe, and the formulas of standard errors."""

import jsharpe
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wheelvec as wv
from wheelvec.inference.sharpe import expected_maximum, lo, mertens, moments, sharpe_ratios

DAILY = 2.5 / 250**0.5


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "luck", "expected"),
    [
        (100, -3.0, 10.0, 0.113172, 0.900397),
        (46, -3.0, 10.0, 0.100362, 0.950502),
        (88, 0.0, 3.0, None, 0.950491),
        (100, 3.0, 10.0, 0.113172, 0.98131),  # the wrong sign of the skew
    ],
)
def test_the_papers_example(
    trials: int, skew: float, kurtosis: float, luck: float | None, expected: float
) -> None:
    found = wv.deflated_sharpe(
        DAILY, n=1250, skew=skew, kurtosis=kurtosis, trials=trials, trial_variance=1 / 500
    )
    assert found == pytest.approx(expected, abs=5e-5 if skew > 0 else 1e-6)
    if luck is not None:
        assert expected_maximum(trials, 1 / 500) == pytest.approx(luck, abs=1e-6)


def test_months_with_fat_tails() -> None:
    found = wv.deflated_sharpe(0.3, n=120, skew=-1, kurtosis=30, trials=100, trial_variance=0.01)
    assert found == pytest.approx(0.642986, abs=1e-6)


def test_excess_kurtosis_would_say_more() -> None:
    """The excess kurtosis in place of the raw one would give 0.901779."""
    raw, excess = (
        1.0 + 3.0 * DAILY + (kurtosis - 1.0) / 4.0 * DAILY**2 for kurtosis in (10.0, 7.0)
    )
    from statistics import NormalDist

    z = NormalDist().inv_cdf(
        wv.deflated_sharpe(DAILY, n=1250, skew=-3, kurtosis=10, trials=100, trial_variance=1 / 500)
    )
    assert NormalDist().cdf(z * (raw / excess) ** 0.5) == pytest.approx(0.901779, abs=1e-6)


@given(st.floats(1.5, 1e5), st.floats(1e-4, 1.0))
def test_expected_maximum_is_jsharpes(trials: float, variance: float) -> None:
    expected = jsharpe.expected_maximum_sharpe_ratio(trials, variance)
    assert expected_maximum(trials, variance) == pytest.approx(
        max(expected, 0.0), rel=1e-9, abs=1e-12
    )


@given(st.floats(-0.5, 0.5), st.integers(24, 500), st.floats(-1.0, 1.0), st.floats(2.5, 20.0))
def test_probability_under_the_null_is_jsharpes(
    sharpe: float, n: int, skew: float, kurtosis: float
) -> None:
    luck = expected_maximum(50, 0.01)
    expected = jsharpe.probabilistic_sharpe_ratio(
        sharpe, luck, T=n - 1, gamma3=skew, gamma4=kurtosis
    )
    found = wv.deflated_sharpe(
        sharpe, n=n, skew=skew, kurtosis=kurtosis, trials=50, trial_variance=0.01, variance="null"
    )
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.floats(1.0, 1e4), st.floats(1.01, 10.0), st.floats(0.0, 0.4))
def test_more_trials_deflate_more(trials: float, more: float, sharpe: float) -> None:
    few, many = (
        wv.deflated_sharpe(
            sharpe, n=60, skew=-1.0, kurtosis=6.0, trials=number, trial_variance=0.01
        )
        for number in (trials, trials * more)
    )
    assert many <= few + 1e-12


def test_a_single_trial_is_not_deflated() -> None:
    found = wv.deflated_sharpe(0.0, n=100, skew=0, kurtosis=3, trials=1, trial_variance=1.0)
    assert found == 0.5


def test_errors_by_formula_are_jsharpes() -> None:
    variance = jsharpe.sharpe_ratio_variance(0.3, 60, gamma3=-1.0, gamma4=9.0)
    assert mertens(0.3, n=60, skew=-1.0, kurtosis=9.0) == pytest.approx(variance**0.5)
    assert lo(0.3, n=60) == pytest.approx(mertens(0.3, n=60, skew=0.0, kurtosis=3.0))


def test_moments_by_hand() -> None:
    # mean 1, deviations -1, -1, 2: m2 = 2, m3 = 2, m4 = 6
    sharpe, skew, kurtosis = moments(np.array([0.0, 0.0, 3.0]))
    assert (sharpe, skew, kurtosis) == pytest.approx((1 / 3**0.5, 2 / 2**1.5, 1.5))
    found = sharpe_ratios(np.array([[0.0, 1.0], [0.0, 1.0], [3.0, 1.0]]))
    assert found[0] == pytest.approx(sharpe)
    assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kurtosis": 2.0, "skew": 3.0}, r"no returns have less than skew\^2 \+ 1 = 10"),
        ({"n": 1}, "n = 1: expected a whole number from 2"),
        ({"trials": 0.5}, "trials = 0.5: expected a number from 1"),
        ({"trial_variance": -1.0}, "trial_variance = -1.0"),
        ({"variance": "both"}, "unknown variance 'both'; allowed: observed, null"),
        ({"sharpe": float("nan")}, "sharpe = nan"),
    ],
)
def test_refusals(changes: dict[str, float], text: str) -> None:
    given = {"sharpe": 0.1, "n": 100, "skew": 0.0, "kurtosis": 3.0, "trials": 9} | changes
    with pytest.raises(wv.InputError, match=text):
        wv.deflated_sharpe(**({"trial_variance": 0.1} | given))  # type: ignore[arg-type]
