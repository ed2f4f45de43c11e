"""The plan of a sweep: what its configurations share, and the little in which they differ.

Rows that sell the same puts at the same prices form a group; groups are cut into pieces small enough for a core's cache.
Everything here is done for all rows at once, for a sweep of ten thousand rows lasts a few hundredths of a second.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wheelvec.kernels.board import CALL, DRAW, ENTRY, Plan
from wheelvec.spec.codes import FillMode, Select
from wheelvec.spec.config import PARTS
from wheelvec.spec.grid import Codes, Grid, combined

# Configurations of a piece: what is added up for them fits a core's second cache.
PIECE = 2048

_DRAWS = (
    "fills.execution_seed", "fills.use_probabilistic_exit_fills", "fills.pfill_tight", "fills.pfill_normal",
    "fills.pfill_wide", "fills.pfill_scale", "fills.pfill_ivp_high_mult", "fills.pfill_ivp_extreme_mult",
    "fills.pfill_min", "fills.pfill_max", "fills.tight_spread_pct", "fills.normal_spread_pct",
)  # fmt: skip
_CALLS = tuple(f"call.{f.name}" for f in dataclasses.fields(PARTS["call"]))
_SEARCH = tuple(
    name for name in _CALLS if name.partition(".")[2] in (
        "dte_min", "dte_max", "delta_min", "delta_max", "strike_min_pct_above_basis",
        "sell_call_only_if_price_above_basis", "tie_break_method",
    )
)  # fmt: skip
_EXITS = ("put.exit_pct", "put.stop_loss_multiplier", "put.max_hold_dte")
_LIMITS = {
    "min_bid": "min_bid_hard", "hard_max_spread": "hard_max_spread_pct", "base_spread": "base_max_spread_pct",
    "high_threshold": "ivp_high_threshold", "high_spread": "ivp_high_max_spread_pct",
    "extreme_threshold": "ivp_extreme_threshold", "extreme_spread": "ivp_extreme_max_spread_pct",
    "short_dte": "short_dte_threshold", "short_dte_extra": "short_dte_extra_spread_pct", "min_ranked": "ivp_min_candidates",
}  # fmt: skip
_ODDS = {
    "tight": "pfill_tight", "normal": "pfill_normal", "wide": "pfill_wide", "scale": "pfill_scale",
    "high_mult": "pfill_ivp_high_mult", "extreme_mult": "pfill_ivp_extreme_mult", "lowest": "pfill_min",
    "highest": "pfill_max", "tight_spread": "tight_spread_pct", "normal_spread": "normal_spread_pct",
}  # fmt: skip
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Factored:
    """A plan, and which row of those that were factored each of its configurations is."""

    plan: Plan
    rows: Codes  # (configurations,)
    weight: Array  # (pieces,) nanoseconds a wheel, roughly


def factored(grid: Grid, rows: Codes, schedules: Codes) -> Factored:
    """The plan of some rows of a grid; `schedules` numbers each row's entry sessions in what the kernels are given."""
    rules = _Rows(grid, rows)
    group = rules.groups(schedules)
    stop, _ = rules.ranked("put.stop_loss_multiplier")
    target, targets = rules.ranked("put.exit_pct")
    hold, holds = rules.ranked("put.max_hold_dte")
    draw = rules.key(*_DRAWS)
    rest = combined([(target, targets), *_dense(draw), (hold, holds)], rows.size)
    effective = rules.key("call.exit_pct", "put.exit_pct") if rules.follows_put_exit() else rules.key("call.exit_pct")
    call = combined([*_dense(rules.key(*_CALLS)), *_dense(effective), *_dense(draw)], rows.size)
    keys = {"stop": stop, "target": target, "hold": hold, "draw": draw, "call": call, "rest": rest}
    keys["pair"] = combined([*_dense(rest), *_dense(call)], rows.size)
    piece, order = _cut(group, keys["pair"], stop)
    rules = _Rows(grid, rows[order])
    keys = {name: key[order] for name, key in keys.items()}
    return _plan(rules, schedules[order], piece, keys, rows[order])


class _Rows:
    """Some rows of a grid, column by column."""

    def __init__(self, grid: Grid, rows: Codes) -> None:
        self._grid, self._rows = grid, rows

    def codes(self, name: str) -> tuple[Codes, int] | None:
        codes = self._grid.codes(name)
        return None if codes is None else (codes[self._rows], len(self._grid.values(name)))

    def key(self, *names: str) -> Codes:
        """One integer per row, equal where all these fields are."""
        return combined([pair for name in names if (pair := self.codes(name)) is not None], self._rows.size)

    def groups(self, schedules: Codes) -> Codes:
        """One integer per row, equal where the same puts are sold at the same prices."""
        inner = {*_DRAWS, *_CALLS, *_EXITS}
        names = [name for name in self._grid.columns if name not in inner and not _of_schedule(name)]
        return combined([(schedules, int(schedules.max()) + 1), *_dense(self.key(*names))], self._rows.size)

    def ranked(self, name: str) -> tuple[Codes, int]:
        """Codes in the order of the values, None last; and how many there can be."""
        values = self._grid.values(name)
        order = np.argsort(np.array([np.nan if v is None else v for v in values], np.float64), kind="stable")
        position = np.empty_like(order)
        position[order] = np.arange(order.size)
        codes = self.codes(name)
        return (np.zeros(self._rows.size, np.int64) if codes is None else position[codes[0]]), len(values)

    def follows_put_exit(self) -> bool:
        return None in self._grid.values("call.exit_pct")

    def column(self, name: str, encode: Any = None, dtype: Any = np.float64) -> Array:
        """(rows,) values as numbers."""
        values: Array = self._grid.column(name, encode, dtype)[self._rows]
        return values


def _of_schedule(name: str) -> bool:
    limits = ("schedule.allow_multiple_wheels_per_symbol", "schedule.max_wheels_per_symbol_per_day")
    return name.startswith("schedule.") and name not in limits


def _dense(key: Codes) -> list[tuple[Codes, int]]:
    """A key as codes from 0, in its order, and how many there are."""
    if not key.size or key.min() == key.max():
        return []
    distinct, codes = np.unique(key, return_inverse=True)
    return [(codes.astype(np.int64), distinct.size)]


def _cut(group: Codes, pair: Codes, stop: Codes) -> tuple[Codes, Codes]:
    """Cut the groups into pieces that keep a pair together: the piece of each row in the order returned, and that order.

    Where all stops meet all pairs, rows go stop by stop; else pair by pair.
    """
    order = np.lexsort((stop, pair, group))
    group, pair, stop = group[order], pair[order], stop[order]
    new_group = np.concatenate([[True], group[1:] != group[:-1]])
    new_pair = new_group | np.concatenate([[True], pair[1:] != pair[:-1]])
    place = np.arange(group.size)
    in_group = place - np.maximum.accumulate(np.where(new_group, place, 0))
    first_of_pair = np.maximum.accumulate(np.where(new_pair, place, 0))
    part = in_group[first_of_pair] // PIECE
    new_piece = new_group | np.concatenate([[True], part[1:] != part[:-1]])
    piece = new_piece.cumsum() - 1
    pairs = np.bincount(piece, weights=new_pair)
    sizes = np.bincount(piece)
    stops = np.diff(_local(piece, stop)[0])
    product = (pairs * stops == sizes)[piece]
    by_stop = np.where(product, stop, 0)
    again = np.lexsort((stop, pair, by_stop, piece))
    return piece[again], order[again]


def _local(piece: Codes, key: Codes) -> tuple[Array, Array, Array]:
    """Of each piece's distinct keys, in order: where each piece's start, the first row of each, and each row's position."""
    dense = _dense(key)
    whole = combined([(piece, int(piece[-1]) + 1), *dense], piece.size)
    distinct, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    starts = np.searchsorted(distinct // (dense[0][1] if dense else 1), np.arange(piece[-1] + 2)).astype(np.int64)
    return starts, first, inverse - starts[piece]


def _plan(rules: _Rows, schedules: Codes, piece: Codes, keys: dict[str, Codes], rows: Codes) -> Factored:
    local = {name: _local(piece, key) for name, key in keys.items()}
    starts = {f"{name}_starts": found[0] for name, found in local.items()}
    first = {name: found[1] for name, found in local.items()}
    at = {name: found[2] for name, found in local.items()}
    config_starts = np.searchsorted(piece, np.arange(piece[-1] + 2)).astype(np.int64)
    leading = config_starts[:-1]
    stops, pairs, sizes = np.diff(starts["stop_starts"]), np.diff(starts["pair_starts"]), np.diff(config_starts)
    plan = Plan(
        entry=_entries(rules, schedules)[leading],
        stop=rules.column("put.stop_loss_multiplier")[first["stop"]],
        target=rules.column("put.exit_pct")[first["target"]],
        hold=rules.column("put.max_hold_dte", _or(-1), np.int64)[first["hold"]],
        draw=_draws(rules)[first["draw"]],
        call=_calls(rules, at["draw"])[first["call"]],
        rest_target=at["target"][first["rest"]], rest_draw=at["draw"][first["rest"]], rest_hold=at["hold"][first["rest"]],
        pair_rest=at["rest"][first["pair"]], pair_call=at["call"][first["pair"]],
        config_starts=config_starts, config_stop=at["stop"], config_pair=at["pair"],
        product=stops * pairs == sizes,
        **starts,
    )  # fmt: skip
    weight = 500 + 60 * sum(np.diff(starts[f"{name}_starts"]) for name in ("rest", "pair", "call")) + 10 * sizes
    return Factored(plan, rows, weight)


def _or(none: float) -> Any:
    return lambda value: none if value is None else value


def _entries(rules: _Rows, schedules: Codes) -> Array:
    """What decides which puts each row sells, and at what prices."""
    out = np.zeros(schedules.size, ENTRY)
    out["schedule"] = schedules
    for name in ("dte_min", "dte_max", "delta_min", "delta_max"):
        out[name] = rules.column(f"put.{name}")
    out["dte_target"] = rules.column("put.dte_target", _or(-1), np.int64)
    out["select"] = rules.column("put.select", lambda name: int(Select[name.upper()]), np.int64)
    target = rules.column("put.delta_target")
    out["delta_target"] = np.where(np.isnan(target), (out["delta_min"] + out["delta_max"]) / 2, target)
    out["per_day"] = rules.column("schedule.max_wheels_per_symbol_per_day", _or(2**31), np.int64)
    out["one_at_a_time"] = ~rules.column("schedule.allow_multiple_wheels_per_symbol", None, np.bool_)
    out["rank_over_chain"] = rules.column("liquidity.ivp_over", lambda over: over == "chain", np.bool_)
    for name, field in _LIMITS.items():
        out[name] = rules.column(f"liquidity.{field}")
    out["mode"] = rules.column("fills.fill_mode", lambda name: int(FillMode[name.upper()]), np.int64)
    out["v5"] = rules.column("rules", lambda name: name == "v5", np.bool_)
    unset, trigger = (rules.column("fills.exit_model", lambda m, t=t: m == t, np.bool_) for t in (None, "trigger"))
    out["trigger"] = trigger | (unset & ~out["v5"])
    out["fee"] = rules.column("costs.commission_per_contract") + rules.column("costs.sec_fee_per_contract")
    return out


def _draws(rules: _Rows) -> Array:
    """The chance of fills under each row."""
    seed = rules.column("fills.execution_seed", None, np.uint64)
    out = np.zeros(seed.size, DRAW)
    out["seed"] = seed
    out["probabilistic"] = rules.column("fills.use_probabilistic_exit_fills", None, np.bool_)
    for name, field in _ODDS.items():
        out[name] = rules.column(f"fills.{field}")
    return out


def _calls(rules: _Rows, draw: Codes) -> Array:
    """What each row sells against assigned shares; `draw` is the row's place among its piece's draws."""
    out = np.zeros(draw.size, CALL)
    v5 = rules.column("rules", lambda name: name == "v5", np.bool_)
    out["search"], out["draw"] = rules.key(*_SEARCH), draw
    for name in ("dte_min", "dte_max", "delta_min", "delta_max"):
        out[name] = rules.column(f"call.{name}")
    out["above_basis"] = rules.column("call.sell_call_only_if_price_above_basis", None, np.bool_)
    out["strike_factor"] = np.where(v5, 1.0, 1.0 + rules.column("call.strike_min_pct_above_basis"))
    out["rank_over_chain"] = rules.column("liquidity.ivp_over", lambda over: over == "chain", np.bool_)
    out["select"] = rules.column("call.tie_break_method", lambda name: int(Select[name.upper()]), np.int64)
    out["delta_target"] = (out["delta_min"] + out["delta_max"]) / 2
    out["flat_odds"] = v5
    own = rules.column("call.exit_pct")
    out["exit_pct"] = np.where(np.isnan(own), rules.column("put.exit_pct"), own)
    out["stop_multiplier"] = rules.column("call.stop_loss_multiplier")
    out["max_hold_dte"] = rules.column("call.max_hold_dte", _or(-1), np.int64)
    out["max_cycles"] = np.where(v5, 1.0, rules.column("call.max_cycles", _or(np.inf)))
    out["waits"] = np.where(v5, 0, rules.column("call.call_wait_sessions", None, np.int64))
    return out
