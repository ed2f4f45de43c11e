"""The bootstrap and the probability of backtest overfitting of a thousand configurations, beside
arch and plain NumPy loops.

The resamples of the loop are the library's, so that their means must be the same; those of arch are
its own, so that its standard errors must agree within what the resamples leave open.
"""

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import wheelvec as wv
from benchmarks.agreement import Array, same_arrays
from benchmarks.conftest import Measure, absent
from wheelvec.inference import figures
from wheelvec.inference.blocks import Blocks, drawn

OURS, LOOP, ARCH = "wheelvec", "NumPy loop", "arch"
SESSIONS, MONTHS, CONFIGURATIONS = 250, 120, 1_000
BLOCK, BLOCKS = 10, 16
RESAMPLES = {OURS: 10_000, LOOP: 300, ARCH: 300}  # a resample of the others takes milliseconds
SPLITS = {OURS: 12_870, LOOP: 200}
CHECKED = 50  # configurations
NOTES = {
    OURS: "standard errors and BCa intervals as well",
    LOOP: "index, mean over sessions, all configurations at once",
    ARCH: "`StationaryBootstrap.apply`, all configurations at once",
}


@cache
def returns(periods: int, configurations: int) -> Array:
    """Returns that hang together, as those of a grid do."""
    rng = np.random.default_rng(periods)
    return rng.normal(size=(periods, configurations)) + rng.normal(size=(periods, 1))


def means_by_loop(values: Array, indices: Array) -> Array:
    """(resamples, configurations) means of resamples."""
    return np.array([values[at].mean(axis=0) for at in indices])


def indices(n: int) -> Array:
    """The library's resamples."""
    return drawn(Blocks("stationary", float(BLOCK), ""), SESSIONS, n, 0).indices


def with_arch() -> Any:
    """arch's module of bootstraps."""
    try:
        import arch.bootstrap
    except ImportError as error:
        absent(ARCH, repr(error))
    return arch.bootstrap


def checked_bootstrap(what: str) -> None:
    """Resampled means are those of the loop, and standard errors those of arch.

    Raises:
        DisagreementError: naming what differs.
    """
    values = returns(SESSIONS, CHECKED)
    mine = figures.mean(values).of(
        drawn(Blocks("stationary", float(BLOCK), ""), SESSIONS, 300, 0), slice(None)
    )
    same_arrays("means", mine.T.ravel(), means_by_loop(values, indices(300)).ravel(), 1e-12)
    if what == ARCH:
        made = with_arch().StationaryBootstrap(BLOCK, values, seed=1)
        theirs = made.apply(lambda x: x.mean(axis=0), 2_000).std(axis=0)
        found = wv.bootstrap(values, block=BLOCK, n=2_000)
        same_arrays("standard errors", found.se, theirs, 0.1 * float(theirs.mean()))


@pytest.mark.parametrize("what", [OURS, LOOP, ARCH])
def test_bootstrap(what: str, short: bool, one_thread: None, measure: Measure) -> None:
    checked_bootstrap(what)
    values = returns(SESSIONS, CHECKED if short else CONFIGURATIONS)
    n = 100 if short else RESAMPLES[what]
    at = indices(n)
    timed: dict[str, Callable[[], Any]] = {
        OURS: lambda: wv.bootstrap(values, block=BLOCK, n=n),
        LOOP: lambda: means_by_loop(values, at),
        ARCH: lambda: (
            with_arch()
            .StationaryBootstrap(BLOCK, values, seed=1)
            .apply(lambda x: x.mean(axis=0), n)
        ),
    }
    cells = n * values.shape[1]
    measure(timed[what], group="bootstrap", what=what, note=NOTES[what], n=cells, threads=1)


def logits_by_loop(values: Array, blocks: int, splits: int) -> Array:
    """The logits of the first splits, as a researcher writes them."""
    parts = np.array_split(np.arange(values.shape[0]), blocks)
    found = []
    choices = itertools.combinations(range(blocks), blocks // 2)
    for choice in itertools.islice(choices, splits):
        rows = np.concatenate([parts[b] for b in choice])
        rest = np.concatenate([parts[b] for b in range(blocks) if b not in choice])
        inside, outside = (
            values[each].mean(axis=0) / values[each].std(axis=0, ddof=1) for each in (rows, rest)
        )
        rank = 1 + np.count_nonzero(outside < outside[inside.argmax()])
        w = rank / (values.shape[1] + 1)
        found.append(np.log(w / (1 - w)))
    return np.array(found)


@pytest.mark.parametrize("what", [OURS, LOOP])
def test_overfitting(what: str, short: bool, one_thread: None, measure: Measure) -> None:
    checked = returns(128, CHECKED)  # blocks of the same length, cut as everyone cuts them
    expected = logits_by_loop(checked, BLOCKS, 100)
    same_arrays("logits", wv.pbo(checked).logits[:100], expected, 1e-9)
    values = returns(MONTHS, CHECKED if short else CONFIGURATIONS)
    splits = SPLITS[OURS] if what == OURS else 20 if short else SPLITS[LOOP]
    timed: dict[str, Callable[[], Any]] = {
        OURS: lambda: wv.pbo(values, BLOCKS),
        LOOP: lambda: logits_by_loop(values, BLOCKS, splits),
    }
    note = "all splits, with slope and probability of loss" if what == OURS else "split by split"
    measure(timed[what], group="pbo", what=what, note=note, n=splits, threads=1)
