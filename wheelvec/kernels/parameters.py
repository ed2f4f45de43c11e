"""Configurations as structured rows, one a distinct value, and the plan of a run.

A plan is cut into blocks. The configurations of a block share everything that decides which puts
are sold and at what price; what else they differ in is held once for each distinct value, and a
configuration is a pair of small integers: its stop, and the pair of its other exit rules with its
call rules.

    configuration -> stop
                  -> pair -> rest -> target, draw, hold
                          -> call

All positions are local to their block.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Positions, Reals, Records
from wheelvec.jit.compiled import njit_inlined, njit_lean

_REAL, _WHOLE, _FLAG = np.float64, np.int64, np.bool_

# The rules that the configurations of a block have in common: which puts are sold, how liquid they
# must be, at what prices options trade, and what that costs. Spreads are fractions of the mid,
# wider by the slack within which a limit counts as met.
COMMON = np.dtype(
    [
        ("schedule", _WHOLE), ("dte_min", _WHOLE), ("dte_max", _WHOLE),
        ("delta_min", _REAL), ("delta_max", _REAL),
        ("otm_min", _REAL), ("otm_max", _REAL), ("by_otm", _FLAG),
        ("dte_target", _WHOLE),  # -1: none
        ("select", _WHOLE), ("target", _REAL),  # of `select`, in its unit
        ("per_day", _WHOLE),
        ("one_at_a_time", _FLAG), ("rank_over_chain", _FLAG),
        ("min_bid", _REAL), ("hard_max_spread", _REAL), ("base_spread", _REAL),
        ("high_threshold", _REAL), ("high_spread", _REAL),
        ("extreme_threshold", _REAL), ("extreme_spread", _REAL),
        ("short_dte", _WHOLE), ("short_dte_extra", _REAL), ("min_ranked", _WHOLE),
        ("mode", _WHOLE),  # FillMode: how far from the mid an order is filled
        ("ticks", _REAL),  # a dollar; 0: prices stay as computed
        ("slack", _REAL),  # relative: within it a limit counts as met
        ("trigger", _FLAG), ("v5", _FLAG),
        # of an order, dollars: kernels.fees
        ("commission_base", _REAL), ("commission_minimum", _REAL),
        ("commission_per_contract", _REAL), ("sec_fee_per_contract", _REAL),
        ("assignment_fee", _REAL),
        ("early", _WHOLE),  # EarlyAssignment, of the put
    ],
    align=True,
)  # fmt: skip

# The draws, and the odds that a touch of the target fills, by the spread at entry (a fraction of
# the mid): its limits are wider by the slack within which one counts as met.
DRAW = np.dtype(
    [
        ("seed", np.uint64), ("probabilistic", _FLAG),
        ("tight", _REAL), ("normal", _REAL), ("wide", _REAL), ("scale", _REAL),
        ("high_mult", _REAL), ("extreme_mult", _REAL), ("lowest", _REAL), ("highest", _REAL),
        ("tight_spread", _REAL), ("normal_spread", _REAL),
    ],
    align=True,
)  # fmt: skip

# Which calls are sold against assigned shares, how a call ends, how often one is sold and sought.
CALL = np.dtype(
    [
        ("dte_min", _WHOLE), ("dte_max", _WHOLE), ("delta_min", _REAL), ("delta_max", _REAL),
        ("above_basis", _FLAG),
        ("strike_factor", _REAL),  # (1 + strike_min_pct_above_basis; v5: 1) less a slack
        ("rank_over_chain", _FLAG),
        ("select", _WHOLE), ("target", _REAL),  # of `select`, in its unit
        ("flat_odds", _FLAG),  # v5: p_fill as if spread_pct were 0.05 and ivp 0.5
        ("otm_min", _REAL), ("otm_max", _REAL), ("by_otm", _FLAG),
        ("exit_pct", _REAL), ("stop_multiplier", _REAL), ("max_hold_dte", _WHOLE),
        ("max_cycles", _REAL), ("waits", _WHOLE),
        ("early", _WHOLE),  # EarlyAssignment
    ],
    align=True,
)  # fmt: skip

CommonRules: TypeAlias = Any  # a row of COMMON
DrawRules: TypeAlias = Any  # a row of DRAW
CallRules: TypeAlias = Any  # a row of CALL


class Plan(NamedTuple):
    """The blocks of a run; a list's part of block p is starts[p] .. starts[p + 1] - 1."""

    common: Records  # (blocks,) of COMMON
    stop_starts: Integers
    stop: Reals  # ascending, NaN (no stop) last
    target_starts: Integers
    target: Reals  # exit_pct, ascending
    hold_starts: Integers
    hold: Integers  # max_hold_dte, -1: none
    draw_starts: Integers
    draw: Records  # of DRAW, equal seeds side by side
    call_starts: Integers
    call: Records  # of CALL
    # which calls are sought, side by side, since every assignment reads it: equal where the rules
    # look for the same calls
    call_search: Integers
    call_draw: Positions
    rest_starts: Integers
    rest_target: Positions  # ascending
    rest_draw: Positions
    rest_hold: Positions
    pair_starts: Integers
    pair_rest: Positions
    pair_call: Positions
    config_starts: Integers
    config_stop: Positions
    config_pair: Positions
    # (blocks,) of those with one configuration: equal where the same put, sold alike, ends alike
    exits: Integers
    # (blocks,) whether every stop goes with every pair: configuration c is stop c // pairs and
    # pair c % pairs
    product: Flags
    cost: Integers  # (blocks,) estimated nanoseconds a wheel, but for the searches for its calls


class Block(NamedTuple):
    """Views of one block's part of a plan; the fields are those of `Plan`."""

    stop: Reals
    target: Reals
    hold: Integers
    draw: Records
    call: Records
    call_search: Integers
    call_draw: Positions
    rest_target: Positions
    rest_draw: Positions
    rest_hold: Positions
    pair_rest: Positions
    pair_call: Positions
    config_stop: Positions
    config_pair: Positions
    exits: int
    product: bool


@njit_lean
def block_of(plan: Plan, p: int) -> Block:
    """Views of block p of a plan."""
    rest = slice(plan.rest_starts[p], plan.rest_starts[p + 1])
    call = slice(plan.call_starts[p], plan.call_starts[p + 1])
    pair = slice(plan.pair_starts[p], plan.pair_starts[p + 1])
    config = slice(plan.config_starts[p], plan.config_starts[p + 1])
    return Block(
        plan.stop[plan.stop_starts[p] : plan.stop_starts[p + 1]],
        plan.target[plan.target_starts[p] : plan.target_starts[p + 1]],
        plan.hold[plan.hold_starts[p] : plan.hold_starts[p + 1]],
        plan.draw[plan.draw_starts[p] : plan.draw_starts[p + 1]],
        plan.call[call],
        plan.call_search[call],
        plan.call_draw[call],
        plan.rest_target[rest],
        plan.rest_draw[rest],
        plan.rest_hold[rest],
        plan.pair_rest[pair],
        plan.pair_call[pair],
        plan.config_stop[config],
        plan.config_pair[config],
        plan.exits[p],
        plan.product[p],
    )


@njit_inlined
def one_of(block: Block, c: int, zero: Positions) -> Block:
    """Views of the rules of one configuration of a block, as a block of it alone.

    Args:
        block: of several.
        c: which of them.
        zero: (1,) of 0, the position of everything in such a block.
    """
    stop, pair = block.config_stop[c], block.config_pair[c]
    rest, call = block.pair_rest[pair], block.pair_call[pair]
    target, hold = block.rest_target[rest], block.rest_hold[rest]
    draw = block.rest_draw[rest]
    return Block(
        block.stop[stop : stop + 1],
        block.target[target : target + 1],
        block.hold[hold : hold + 1],
        block.draw[draw : draw + 1],
        block.call[call : call + 1],
        block.call_search[call : call + 1],
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        zero,
        block.exits,
        False,
    )
