"""The effect of each bar on a leg that is known: the walk of kernels.exits, bar by bar.

A backtest keeps how a leg ended. Whoever asks how it came to that walks the leg again, here, by the
same functions: once with its first bar, once with its first two, and so on.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Records
from wheelvec.jit.compiled import njit_lean
from wheelvec.kernels.draws import Drawn
from wheelvec.kernels.exits import (
    Levels,
    lay_bars,
    lay_markets,
    stop_level,
    target_level,
    walk,
)
from wheelvec.kernels.parameters import Plan, block_of
from wheelvec.kernels.slices import Slice

# What is known after each bar: the reason of an exit on it (-1: none), the touches so far and the
# last draw of these (NaN: none), and dollars per share paid to buy the option back.
TRACE = np.dtype(
    [
        ("number", np.int64),
        ("reason", np.int64),
        ("touches", np.int64),
        ("u", np.float64),
        ("price", np.float64),
    ]
)


class Sale(NamedTuple):
    """A leg's sale, as its result has recorded it."""

    number: int  # session
    cycle: int  # 0 the put, n the n-th call
    word: np.uint64  # names the wheel to the draws
    price: float  # dollars per share
    penalty: float  # of its tier
    chance: float  # that a touch of the target fills


@njit_lean
def levels_of(plan: Plan, sale: Sale) -> Levels:
    """Stop, target and hold of a leg under the plan of one configuration."""
    common, block = plan.common[0], block_of(plan, 0)
    stop, exit_pct, hold = block.stop[0], block.target[0], block.hold[0]
    if sale.cycle > 0:
        call = block.call[0]
        stop, exit_pct, hold = call.stop_multiplier, call.exit_pct, call.max_hold_dte
    return Levels(
        stop_level(sale.price, stop, common),
        target_level(sale.price, exit_pct, common),
        hold,
        sale.penalty,
    )


@njit_lean
def trace_leg(
    slice_: Slice, plan: Plan, sale: Sale, bars: Records, cached: Drawn, out: Records
) -> int:
    """Write what is known after each bar of a leg, up to the one that ends it; their number.

    Args:
        slice_: of one contract: `puts` has the quote that was sold, be it a put's or a call's, and
            `rows` its bars after the sale.
        plan: of one configuration.
        sale: of the leg.
        bars: (bars,) of kernels.exits.BAR, written.
        cached: for the draws of one option.
        out: (bars,) of TRACE, written.
    """
    common, block = plan.common[0], block_of(plan, 0)
    rule = block.draw[0] if sale.cycle == 0 else block.draw[block.call_draw[0]]
    quote, levels = slice_.puts[0], levels_of(plan, sale)
    lay_bars(slice_, quote, sale.number, sale.penalty, common, False, bars)
    if levels.hold >= 0:
        lay_markets(slice_.rows, quote, sale.penalty, common, bars)
    for b in range(quote.last - quote.first):
        walked = walk(
            bars, b + 1, levels, common, rule, sale.chance, cached, 0, sale.word, sale.cycle
        )
        at = out[b]
        at.number, at.reason = bars[b].number, walked.reason
        at.touches, at.u, at.price = walked.touches, walked.u, walked.price
        if walked.reason >= 0:
            return b + 1
    return quote.last - quote.first
