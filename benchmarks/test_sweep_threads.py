"""What a second thread gives: each family swept by turns, by one thread held to one core and by two on two.

The time of a sweep varies from one minute to the next by more than its threads make it; a pair of runs that follow each other
tells. The machine's idle share over all the runs is kept beside the ratio: with other work on the second core there is no
telling what a second thread would have given.
"""

import statistics
import time
from typing import Any

import pytest

from benchmarks import machine
from benchmarks.conftest import Measure
from benchmarks.test_sweep import FAMILIES, ROWS, cells, swept

PAIRS = 9


@pytest.mark.parametrize("family", FAMILIES)
def test_two_threads(family: str, short: bool, measure: Measure, benchmark: Any) -> None:
    if machine.most_threads() < 2:
        pytest.skip("one core")
    rows = ROWS["small" if short else "large"]
    alone: list[float] = []

    def one_thread() -> None:
        with machine.threads(1):
            began = time.perf_counter()
            swept(family, rows, False, 1)
            alone.append(time.perf_counter() - began)

    with machine.threads(2):
        n = cells(swept(family, rows, False, 2))
        one_thread()
        alone.clear()
        before = machine.idle()
        measure(
            lambda: swept(family, rows, False, 2), group="sweep threads", what=family, n=n, threads=2, rounds=PAIRS,
            before=one_thread,
        )  # fmt: skip
        after = machine.idle()
    if benchmark.stats is not None:  # the runs were timed
        ratios = [one / two for one, two in zip(alone, benchmark.stats.stats.data, strict=True)]
        idle = machine.idle_share(before, after)
        benchmark.extra_info.update(ratio=statistics.median(ratios), alone=statistics.median(alone), idle=idle)
