"""Implied volatility with delta: wheelvec against every solver that installs, and against a scalar
loop.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import wheelvec as wv
from benchmarks import machine
from benchmarks.agreement import reprices, same_arrays
from benchmarks.conftest import MOST_SHORT, Measure, absent
from benchmarks.inputs import Array, Quotes, black_scholes, quotes
from benchmarks.references import as_frame, pandas_apply_iv
from benchmarks.rivals import RIVALS, AbsentError, Rival
from wheelvec.pricing.implied import solve_chain

MILLION, CHAIN = 1_000_000, 4_000
SIZES = (10, 100, 1_000, 10_000, 100_000, MILLION)
ERROR_SAMPLE = 100_000
DELTA_TOLERANCE = 1e-6  # the coarsest rival's


@cache
def population(n: int, rounded: bool = True) -> Quotes:
    """The quotes that are solved, or (not `rounded`) those whose true volatility is known."""
    return quotes(n, rounded, seed=1 if rounded else 4)


def public(q: Quotes) -> tuple[Array, None]:
    """`wheelvec.implied_vol`."""
    return wv.implied_vol(q.price, q.spot, q.strike, q.years, q.rate, q.is_call), None


def chain(q: Quotes) -> tuple[Array, Array]:
    """The kernel that a backtest calls: volatility and absolute delta."""
    iv, delta = np.empty(len(q)), np.empty(len(q))
    solve_chain(q.price, q.spot, q.strike, q.years, q.rate, q.is_call, np.zeros(len(q)), iv, delta)
    return iv, delta


OURS = (
    Rival("wheelvec.implied_vol", "IV alone, the public function", "", lambda _: public),
    Rival("wheelvec", "IV and delta, the kernel that a backtest calls", "", lambda _: chain),
)
CASES = [(rival, n) for rival in (*OURS, *RIVALS) for n in SIZES if n <= rival.most]


def checked(name: str, solver: Callable[[Quotes], tuple[Array, Array | None]], q: Quotes) -> None:
    """Its volatilities give the prices back, its deltas are those of its volatilities."""
    iv, delta = solver(q)
    reprices(name, q, np.asarray(iv))
    if delta is not None:
        same_arrays(
            f"{name}: delta",
            np.abs(delta),
            np.abs(black_scholes(q, np.asarray(iv))[1]),
            DELTA_TOLERANCE,
        )


def largest_error(solver: Callable[[Quotes], tuple[Array, Array | None]], n: int) -> float:
    """The largest error of the volatility on exact prices."""
    exact = population(n, rounded=False)
    return float(np.abs(solver(exact)[0] - exact.true_volatility).max())


def contest(
    rival: Rival, n: int, short: bool, measure: Measure, threads: int, group: str, **more: Any
) -> None:
    """Load, check, then time one contestant on the first n quotes of the population."""
    try:
        solver = rival.solver()
    except AbsentError as reason:
        absent(rival.name, str(reason))
    q = population(MOST_SHORT if short else MILLION).first(n)
    checked(rival.name, solver, q)
    measure(
        lambda: solver(q),
        group=group,
        what=rival.name,
        note=rival.note,
        n=n,
        threads=threads,
        **more,
    )


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("rival", "n"), CASES, ids=lambda value: str(getattr(value, "name", value)).replace(" ", "_")
)
def test_implied_vol(rival: Rival, n: int, short: bool, measure: Measure) -> None:
    try:
        error = largest_error(rival.solver(), min(rival.most, 1_000 if short else ERROR_SAMPLE))
    except AbsentError as reason:
        absent(rival.name, str(reason))
    contest(rival, n, short, measure, threads=1, group="implied_vol", error=error, seconds=1.0)


@pytest.mark.skipif(machine.most_threads() < 2, reason="one core")
@pytest.mark.parametrize("rival", OURS, ids=lambda rival: rival.name)
def test_two_threads(rival: Rival, short: bool, measure: Measure) -> None:
    with machine.threads(2):
        contest(
            rival, MOST_SHORT if short else MILLION, short, measure, threads=2, group="implied_vol"
        )


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("what", ["wheelvec", "pandas apply with vollib"])
def test_chain_of_4000(what: str, measure: Measure) -> None:
    q = quotes(CHAIN, seed=6)
    checked("wheelvec", chain, q)
    if what == "wheelvec":
        measure(lambda: chain(q), group="chain_4000", what=what, n=CHAIN, threads=1)
        return
    frame = as_frame(q)
    checked(what, lambda _: pandas_apply_iv(frame), q)
    measure(lambda: pandas_apply_iv(frame), group="chain_4000", what=what, n=CHAIN, threads=1)
