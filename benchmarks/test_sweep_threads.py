"""The gain from a second thread: each family swept by turns, by one thread held to one core and by
two on two.

The time of a sweep varies from one minute to the next by more than its threads make it; a pair of
runs that follow each other shows their gain. The machine's idle share over all the runs is kept
beside the ratio: with other work on the second core the gain of a second thread is not known.
"""

import statistics
import time
from typing import Any

import pytest

from benchmarks import machine
from benchmarks.conftest import Measure
from benchmarks.test_sweep import FAMILIES, ROWS, cells, swept

PAIRS = 9
OF_YEARS = (
    "exit_pct x stop x pfill_scale",
    "random exit rules",
    "100 seeds x exit rules",
)  # few rows over many wheels too
CASES = [(family, False) for family in FAMILIES] + [(family, True) for family in OF_YEARS]


@pytest.mark.parametrize(
    ("family", "years"),
    CASES,
    ids=[f"{name}-{'50,000' if years else '400'} wheels" for name, years in CASES],
)
def test_two_threads(
    family: str, years: bool, short: bool, measure: Measure, benchmark: Any
) -> None:
    if machine.most_threads() < 2:
        pytest.skip("one core")
    if years and short:
        pytest.skip("a market of years")
    rows = ROWS["small" if years or short else "large"]
    alone: list[float] = []

    def one_thread() -> None:
        with machine.threads(1):
            began = time.perf_counter()
            swept(family, rows, years, 1)
            alone.append(time.perf_counter() - began)

    with machine.threads(2):
        n = cells(swept(family, rows, years, 2))
        one_thread()
        alone.clear()
        before = machine.idle()
        measure(
            lambda: swept(family, rows, years, 2),
            group="sweep threads",
            what=family,
            n=n,
            threads=2,
            rounds=PAIRS,
            before=one_thread,
            note=f"{rows:,} rows",
        )
        after = machine.idle()
    if benchmark.stats is not None:  # the runs were timed
        ratios = [one / two for one, two in zip(alone, benchmark.stats.stats.data, strict=True)]
        idle = machine.idle_share(before, after)
        benchmark.extra_info.update(
            ratio=statistics.median(ratios), alone=statistics.median(alone), idle=idle
        )
