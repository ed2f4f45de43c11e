"""Effective trials: matrices whose answer is known, jsharpe and scipy."""

import jsharpe
import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

import wheelvec as wv
from wheelvec.inference.trials import _merges, _silhouette, clusters, effective_rank

RNG = np.random.default_rng(5)
GROUPS = np.repeat(RNG.normal(size=(120, 4)), 10, axis=1) + 0.3 * RNG.normal(size=(120, 40))


def test_effective_rank_is_jsharpes() -> None:
    for returns in (GROUPS, RNG.normal(size=(120, 30)), RNG.normal(size=(30, 50))):
        expected = jsharpe.effective_rank(np.corrcoef(returns.T))
        assert effective_rank(returns) == pytest.approx(expected, rel=1e-6)


def test_clusters_are_those_that_were_made() -> None:
    assert clusters(GROUPS) == 4
    assert clusters(GROUPS[:, RNG.permutation(40)]) == 4


def test_merges_are_scipys() -> None:
    points = RNG.normal(size=(25, 3))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    expected = hierarchy.linkage(squareform(distance, checks=False), "average")
    label = np.arange(25)
    for count, (joined, kept) in zip(range(24, 1, -1), _merges(distance), strict=False):
        label[label == label[joined]] = label[kept]
        theirs = hierarchy.fcluster(expected, count, "maxclust")
        pairs = {(int(a), int(b)) for a, b in zip(label, theirs, strict=True)}
        assert len(pairs) == count == len(set(label.tolist()))


def test_silhouette_by_hand() -> None:
    # two points at distance 1, and one that is alone, at 4 and 5
    distance = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 5.0], [4.0, 5.0, 0.0]])
    found = _silhouette(distance, np.array([0, 0, 1]), 2)
    assert found == pytest.approx((3 / 4 + 4 / 5 + 0) / 3)


def test_the_best_is_deflated_at_each_number() -> None:
    found = wv.effective_trials(GROUPS, prior_trials=7)
    frame = found.frame
    assert frame["trials"].to_list() == pytest.approx([47.0, effective_rank(GROUPS) + 7, 11.0])
    sharpes = GROUPS.mean(axis=0) / GROUPS.std(axis=0, ddof=1)
    assert found.row == sharpes.argmax()
    assert found.sharpe == pytest.approx(sharpes.max())
    chosen = GROUPS[:, found.row]
    z = (chosen - chosen.mean()) / chosen.std()
    for trials, deflated in frame.select("trials", "deflated_sharpe").rows():
        assert deflated == pytest.approx(
            wv.deflated_sharpe(
                found.sharpe,
                n=120,
                skew=float((z**3).mean()),
                kurtosis=float((z**4).mean()),
                trials=trials,
                trial_variance=float(sharpes.var(ddof=1)),
            )
        )
    deflated = frame["deflated_sharpe"].to_list()
    assert deflated[0] < deflated[1] < deflated[2]


def test_another_configuration_can_be_deflated() -> None:
    assert wv.effective_trials(GROUPS, row=3).row == 3
    idle = np.hstack([np.zeros((120, 2)), GROUPS])
    found = wv.effective_trials(idle)
    assert (found.count, found.row) == (40, wv.effective_trials(GROUPS).row + 2)
    with pytest.raises(wv.InputError, match="row = 1: expected a configuration that trades"):
        wv.effective_trials(idle, row=1)


def test_too_many_are_not_clustered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wheelvec.inference.trials.MOST_CLUSTERED", 39)
    found = wv.effective_trials(GROUPS)
    assert found.clusters is None
    assert found.frame["deflated_sharpe"].null_count() == 1


def test_refusals() -> None:
    with pytest.raises(wv.InsufficientDataError, match="at least 24 periods: there are 23"):
        wv.effective_trials(GROUPS[:23])
    with pytest.raises(wv.InsufficientDataError, match="10 configurations that trade: there are 9"):
        wv.effective_trials(np.hstack([GROUPS[:, :9], np.ones((120, 4))]))
