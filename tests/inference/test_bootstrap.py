"""Standard errors and intervals against NumPy, formulas and arch."""

from typing import Any

import numpy as np
import pytest
from arch.bootstrap import IIDBootstrap, StationaryBootstrap
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import wheelvec as wv
from wheelvec.inference import figures
from wheelvec.inference.blocks import Blocks, drawn
from wheelvec.inference.figures import Percentile, Statistic, Wheels

RNG = np.random.default_rng(11)
RETURNS = RNG.normal(0.05, 1.0, size=400) + 0.5 * RNG.exponential(size=400)


def test_error_of_a_mean_is_the_formula() -> None:
    found = wv.bootstrap(RETURNS, block=1)
    assert found.estimate == pytest.approx(RETURNS.mean())
    assert found.se == pytest.approx(RETURNS.std() / 20.0, rel=0.03)
    wide = stats.norm.ppf(0.95) * RETURNS.std() / 20.0
    assert found.percentile.low == pytest.approx(RETURNS.mean() - wide, abs=0.05 * wide)
    assert found.percentile.high == pytest.approx(RETURNS.mean() + wide, abs=0.05 * wide)


def archs(kind: type, function: Any, method: str, *, first: tuple[Any, ...] = ()) -> Any:
    made = kind(*first, RETURNS, seed=5)
    return made.conf_int(function, reps=10_000, method=method, size=0.90).ravel()


def sharpe(values: Any) -> float:
    return float(values.mean() / values.std(ddof=1))


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize(("figure", "function"), [("mean", np.mean), ("sharpe", sharpe)])
def test_intervals_of_single_units_are_archs(method: str, figure: str, function: Any) -> None:
    low, high = archs(IIDBootstrap, function, method)
    found = getattr(wv.bootstrap(RETURNS, figure, block=1), method)
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))


def test_intervals_in_blocks_are_archs() -> None:
    low, high = archs(StationaryBootstrap, np.mean, "percentile", first=(8,))
    found = wv.bootstrap(RETURNS, block=8).percentile
    assert found.low == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high == pytest.approx(high, abs=0.05 * (high - low))


def test_interval_is_corrected_for_skew() -> None:
    skewed = np.random.default_rng(2).exponential(size=60) ** 2
    found = wv.bootstrap(skewed, block=1)
    assert found.low > found.percentile.low
    assert found.high > found.percentile.high
    assert (found.low, found.high) == found.bca


def resampled_plainly(statistic: Statistic, of: Any, values: Any) -> None:
    """A statistic against a function of the values that each resample has."""
    made = drawn(Blocks("circular", 5.0, ""), values.shape[0], 50, seed=3)
    found = statistic.of(made, slice(1, 3))
    for r in range(50):
        assert found[:, r] == pytest.approx([of(values[made.indices[r], c]) for c in (1, 2)])


@pytest.mark.parametrize(
    ("make", "of"),
    [
        (figures.mean, np.mean),
        (figures.total, np.sum),
        (lambda x: figures.sharpe(x, 252.0), lambda x: sharpe(x) * 252**0.5),
        (figures.sortino, lambda x: x.mean() / np.sqrt(np.mean(np.minimum(x, 0) ** 2))),
        (lambda x: figures.cagr(x), lambda x: np.prod(1 + x) ** (252 / x.size) - 1),
        (
            figures.Drawdown,
            lambda x: np.min(
                np.cumprod(1 + x) / np.maximum(np.maximum.accumulate(np.cumprod(1 + x)), 1) - 1
            ),
        ),
    ],
)
def test_figures_of_resamples_are_those_of_their_values(make: Any, of: Any) -> None:
    values = 0.03 * np.random.default_rng(4).normal(0.1, 1.0, size=(60, 4))
    resampled_plainly(make(values), of, values)


def test_figures_of_wheels() -> None:
    rng = np.random.default_rng(4)
    roc, wheels = rng.normal(size=(60, 4)), rng.integers(1, 4, size=(60, 4)).astype(float)
    made = drawn(Blocks("stationary", 5.0, ""), 60, 20, seed=3)
    everything = slice(None)
    mean = figures.average_roc(roc, wheels).of(made, everything)
    rate = figures.win_rate(wheels - 1.0, wheels).of(made, everything)
    factor = figures.profit_factor(np.maximum(roc, 0), np.maximum(-roc, 0)).of(made, everything)
    for r, at in enumerate(made.indices):
        assert mean[:, r] == pytest.approx(roc[at].sum(0) / wheels[at].sum(0))
        assert rate[:, r] == pytest.approx(100 * (wheels[at] - 1).sum(0) / wheels[at].sum(0))
        gains = np.maximum(roc[at], 0).sum(0)
        assert factor[:, r] == pytest.approx(gains / np.maximum(-roc[at], 0).sum(0))


def test_percentile_of_wheels() -> None:
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(60), 2).astype(np.int32)
    values = rng.normal(size=120)
    order = values.argsort()
    statistic = Percentile([Wheels(values[order], unit[order])], 60, 5.0)
    made = drawn(Blocks("stationary", 5.0, ""), 60, 20, seed=3)
    found = statistic.of(made, slice(None))[0]
    for r, at in enumerate(made.indices):
        assert found[r] == pytest.approx(np.percentile(values.reshape(60, 2)[at], 5.0))


def test_columns_share_their_blocks_so_that_differences_are_paired() -> None:
    pair = np.column_stack([RETURNS, RETURNS + 0.01 * np.arange(400) / 400])
    both = wv.bootstrap(pair, block=5, n=500)
    apart = both.against(0)
    assert apart.estimate[1] == pytest.approx(both.estimate[1] - both.estimate[0])
    assert apart.se[1] < 0.05 * both.se[1]
    assert np.isnan(apart.se[0])
    assert apart.frame["low"].to_list()[0] is None
    alone = wv.bootstrap(RETURNS, block=5, n=500)
    assert (alone.low, alone.high) == pytest.approx((both.low[0], both.high[0]))
    with pytest.raises(wv.InputError, match="row = 2: expected one of 2 rows"):
        both.against(2)


def test_many_columns_are_each_as_alone() -> None:
    many = np.random.default_rng(6).normal(size=(40, 300))
    found = wv.bootstrap(many, block=2, n=200)
    for column in (0, 255, 256, 299):
        alone = wv.bootstrap(many[:, column], block=2, n=200)
        assert alone.low == pytest.approx(found.low[column])
        assert alone.se == pytest.approx(found.se[column])


def test_the_seed_decides() -> None:
    first, again = (wv.bootstrap(RETURNS, block=4, n=300, seed=1) for _ in range(2))
    other = wv.bootstrap(RETURNS, block=4, n=300, seed=2)
    assert (first.low, first.se) == (again.low, again.se)
    assert first.se != other.se


@settings(max_examples=20, deadline=None)
@given(st.floats(-5.0, 5.0), st.floats(0.1, 10.0), st.sampled_from(["stationary", "circular"]))
def test_interval_of_a_mean_moves_and_stretches_with_it(
    shift: float, scale: float, method: str
) -> None:
    plain = wv.bootstrap(RETURNS, method=method, block=4, n=200)
    moved = wv.bootstrap(shift + scale * RETURNS, method=method, block=4, n=200)
    for name in ("estimate", "low", "high"):
        expected = shift + scale * getattr(plain, name)
        assert getattr(moved, name) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert moved.se == pytest.approx(scale * plain.se, rel=1e-6)


def test_undefined_and_infinite_figures_are_counted_not_dropped_silently() -> None:
    gains, losses = np.ones((40, 1)), np.zeros((40, 1))
    losses[0] = 1.0
    made = drawn(Blocks("stationary", 1.0, ""), 40, 400, seed=3)
    found = figures.profit_factor(gains, losses).of(made, slice(None))
    assert np.isinf(found).any()
    rare = np.zeros(40)
    rare[:2] = [-1.0, 1.0]
    drawn_rarely = wv.bootstrap(rare, "sharpe", block=1, n=400)
    assert 0 < drawn_rarely.undefined < 200
    assert np.isfinite(drawn_rarely.se)


def test_refusals() -> None:
    with pytest.raises(wv.InsufficientDataError, match="at least 30 observations: there are 20"):
        wv.bootstrap(np.arange(20.0))
    with pytest.raises(wv.InsufficientDataError, match="values that differ: all are 0"):
        wv.bootstrap(np.zeros(100))
    with pytest.raises(
        wv.InsufficientDataError, match=r"at least 10 blocks: 100 observations are 5\.0"
    ):
        wv.bootstrap(np.arange(100.0), block=20)
    with pytest.raises(wv.InsufficientDataError, match="max_drawdown is 0 in every resample"):
        wv.bootstrap(np.arange(1.0, 101.0), "max_drawdown", block=1)
    for arguments, text in [
        ({"n": 99}, "n = 99: expected a whole number from 100"),
        ({"level": 90}, "level = 90: expected a number from 0.5 to 0.999"),
        ({"seed": -1}, "seed = -1"),
        ({"block": 0.5}, "block = 0.5"),
        ({"figure": "median"}, "unknown figure 'median'"),
        ({"method": "iid"}, "unknown method 'iid'"),
    ]:
        with pytest.raises(wv.InputError, match=text):
            wv.bootstrap(np.random.default_rng(1).normal(size=50), **arguments)  # type: ignore[arg-type]
    with pytest.raises(wv.InputError, match="expected numbers"):
        wv.bootstrap(["a"])
    with pytest.raises(wv.InputError, match=r"has shape \(2, 2, 2\)"):
        wv.bootstrap(np.ones((2, 2, 2)))


def test_it_says_what_it_found() -> None:
    text = repr(wv.bootstrap(RETURNS, block=4, n=200))
    assert text.startswith("<Bootstrap of mean: 0.5")
    assert text.endswith("400 units in blocks of 4.0 (as given)>")
    assert "2 columns" in repr(wv.bootstrap(np.column_stack([RETURNS] * 2), block=4, n=200))
