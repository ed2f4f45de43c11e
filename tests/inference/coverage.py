"""How often intervals hold a mean that is known: simulated markets of overlapping wheels.

A session opens wheels at several strikes on one underlying, which moves at random. Each wheel lasts
from one session to `longest`, and earns a premium less what the underlying fell beyond its strike:
seldom, and much. All wheels that are open on a session share its return. The premium is the
expected loss of a wheel that lasts so long, and an edge, so that the mean of every wheel is that
edge. Markets are columns, which share their resamples.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from wheelvec.inference import figures
from wheelvec.inference.blocks import ENTRIES, block_lengths, chosen, drawn
from wheelvec.inference.intervals import NORMAL, Intervals, intervals

EDGE = 0.02
STRIKES = (0.25, 0.75, 1.25)  # deviations of the longest wheel under the underlying
METHODS = (
    "single wheels, drawn one by one",
    "entry sessions, drawn one by one",
    "entry sessions in blocks by Politis & White alone",
    "entry sessions in blocks of the longest holding period (`bootstrap`)",
)


class Design(NamedTuple):
    """The simulated case.

    Attributes:
        markets: how many.
        sessions: entry sessions of a market.
        longest: sessions that a wheel lasts at most.
        early: whether wheels end early, after a number of sessions that is uniform from 1 on; else
            all last the longest.
        resamples: of each interval.
    """

    markets: int = 1_000
    sessions: int = 750
    longest: int = 25
    early: bool = True
    resamples: int = 10_000


def expected_loss(strike: float) -> float:
    """The mean of max(0, -S - strike) of a standard normal S."""
    density = math.exp(-(strike**2) / 2.0) / math.sqrt(2.0 * math.pi)
    return density - strike * NORMAL.cdf(-strike)


def wheels(design: Design, seed: int) -> np.ndarray[Any, Any]:
    """(sessions, strikes, markets) what each wheel earns."""
    rng = np.random.default_rng(seed)
    shape = (design.sessions + design.longest + 1, design.markets)
    path = np.cumsum(rng.normal(size=shape) / math.sqrt(design.longest), axis=0)
    entry = np.arange(design.sessions)[:, None]
    found = np.empty((design.sessions, len(STRIKES), design.markets))
    deviation = np.sqrt(np.arange(design.longest + 1) / design.longest)
    for k, strike in enumerate(STRIKES):
        lasts = rng.integers(1 if design.early else design.longest, design.longest + 1,
                             (design.sessions, design.markets))  # fmt: skip
        ends = np.take_along_axis(path, entry + lasts, axis=0)
        fair = [s * expected_loss(strike / s) if s else 0.0 for s in deviation]
        moves = ends - path[: design.sessions]
        found[:, k] = np.array(fair)[lasts] + EDGE - np.maximum(-moves - strike, 0.0)
    return found


def by_method(design: Design, seed: int) -> list[Intervals]:
    """The intervals of every market, by each of METHODS."""
    returns = wheels(design, seed)
    flat = np.ascontiguousarray(returns.reshape(-1, design.markets))
    session = figures.average_roc(
        returns.sum(axis=1), np.full((design.sessions, design.markets), float(len(STRIKES)))
    )
    influence = session.influence()
    alone = float(np.median(block_lengths(influence, "stationary")))
    found = []
    for statistic, units, block, holding in (
        (figures.mean(flat), flat.shape[0], 1.0, None),
        (session, design.sessions, 1.0, None),
        (session, design.sessions, alone, None),
        (session, design.sessions, None, design.longest),
    ):
        influence = statistic.influence()
        blocks = chosen("coverage", influence, "stationary", block, holding, ENTRIES)
        resamples = drawn(blocks, units, design.resamples, seed)
        found.append(intervals(statistic, resamples, blocks, 0.90))
    return found


def coverage(design: Design, seed: int = 0) -> np.ndarray[Any, Any]:
    """(methods, 2) the share of markets whose 90% interval (BCa, percentile) holds the mean."""
    return np.array(
        [
            [np.mean((each.low <= EDGE) & (each.high >= EDGE)) for each in (of.bca, of.percentile)]
            for of in by_method(design, seed)
        ]
    )
