"""How often SPA finds a winner among overlapping wheels that have no edge.

Twelve configurations sell a put each session, at six strikes and to two ends, on one underlying
that moves at random, for what they are expected to lose: none of them has an edge.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from tests.inference.coverage import expected_loss
from wheelvec.inference.blocks import ENTRIES, chosen, drawn
from wheelvec.inference.superior import _tested

NOISE = 0.02  # of fills, beside what the underlying does


class Fair(NamedTuple):
    """The simulated case.

    Attributes:
        sessions: entry sessions of a market.
        strikes: the nearest and the farthest, deviations of the longest wheel under the underlying.
        markets: how many.
        longest: sessions that a wheel lasts at most.
        resamples: of each test.
    """

    sessions: int
    strikes: tuple[float, float]
    markets: int = 200
    longest: int = 25
    resamples: int = 500


def returns(design: Fair, seed: int) -> np.ndarray[Any, Any]:
    """(sessions, 12) what the wheels of each session earn."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=design.sessions + design.longest + 1) / math.sqrt(design.longest)
    path, entry = np.concatenate([[0.0], steps.cumsum()]), np.arange(design.sessions)
    columns = []
    for strike in np.linspace(*design.strikes, 6):
        for lasts in (3 * design.longest // 4, design.longest):
            deviation = math.sqrt(lasts / design.longest)
            loss = np.maximum(path[entry] - path[entry + lasts] - strike, 0.0)
            fair = deviation * expected_loss(float(strike) / deviation)
            columns.append(fair - loss + NOISE * rng.normal(size=design.sessions))
    return np.array(columns).T


def found(design: Fair, level: float = 0.10) -> float:
    """The share of markets with a p-value of at most the level."""
    small = []
    for seed in range(design.markets):
        over = np.ascontiguousarray(returns(design, seed))
        blocks = chosen("size", over, "stationary", None, design.longest, ENTRIES)
        resamples = drawn(blocks, design.sessions, design.resamples, seed)
        small.append(_tested(over, resamples, blocks.widening).p_values[0] <= level)
    return float(np.mean(small))
