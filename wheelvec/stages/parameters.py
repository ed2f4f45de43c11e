"""The plan of a sweep: the distinct rules of its configurations, and the indices of each one's.

Rows that sell the same puts at the same prices form a group; groups are divided into blocks small
enough for a core's cache. Every step here is done for all rows at once: a sweep of ten thousand
rows takes a few hundredths of a second in all.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.kernels.parameters import CALL, COMMON, DRAW, Plan
from wheelvec.model.codes import EarlyAssignment, FillMode, Select
from wheelvec.model.config import SECTIONS
from wheelvec.model.grid import ACCOUNT, Codes, Grid, combined, dense, first_of

# Configurations of a block: their sums fit into a core's L2 cache.
BLOCK = 2048
SLACK = 1e-9  # relative tolerance of limits
LEAST = 32  # configurations of a block, unless a grid has fewer

_DRAWS = (
    "fills.execution_seed",
    "fills.use_probabilistic_exit_fills",
    "fills.pfill_tight",
    "fills.pfill_normal",
    "fills.pfill_wide",
    "fills.pfill_scale",
    "fills.pfill_ivp_high_mult",
    "fills.pfill_ivp_extreme_mult",
    "fills.pfill_min",
    "fills.pfill_max",
    "fills.tight_spread_pct",
    "fills.normal_spread_pct",
)
_CALLS = tuple(f"call.{f.name}" for f in dataclasses.fields(SECTIONS["call"]))
_SEARCH = tuple(
    name
    for name in _CALLS
    if name.partition(".")[2]
    in (
        "dte_min",
        "dte_max",
        "delta_min",
        "delta_max",
        "strike_min_pct_above_basis",
        "sell_call_only_if_price_above_basis",
        "tie_break_method",
        "call_wait_sessions",
        "otm_min",
        "otm_max",
        "otm_target",
        "premium_target",
        "early_assignment",  # decides how a call that is found ends
    )
)
_EXITS = ("put.stop_loss_multiplier", "put.exit_pct", "put.max_hold_dte")
_COSTS = tuple(f.name for f in dataclasses.fields(SECTIONS["costs"]))
_PRICES = (
    "rules",
    "fills.fill_mode",
    "fills.exit_model",
    "fills.tick",
    *(f"costs.{name}" for name in _COSTS),
)
_LIMITS = {
    "min_bid": "min_bid_hard",
    "hard_max_spread": "hard_max_spread_pct",
    "base_spread": "base_max_spread_pct",
    "high_threshold": "ivp_high_threshold",
    "high_spread": "ivp_high_max_spread_pct",
    "extreme_threshold": "ivp_extreme_threshold",
    "extreme_spread": "ivp_extreme_max_spread_pct",
    "short_dte": "short_dte_threshold",
    "short_dte_extra": "short_dte_extra_spread_pct",
    "min_ranked": "ivp_min_candidates",
}
_ODDS = {
    "tight": "pfill_tight",
    "normal": "pfill_normal",
    "wide": "pfill_wide",
    "scale": "pfill_scale",
    "high_mult": "pfill_ivp_high_mult",
    "extreme_mult": "pfill_ivp_extreme_mult",
    "lowest": "pfill_min",
    "highest": "pfill_max",
    "tight_spread": "tight_spread_pct",
    "normal_spread": "normal_spread_pct",
}
_SPREADS = (
    "hard_max_spread",
    "base_spread",
    "high_spread",
    "extreme_spread",
    "short_dte_extra",
    "tight_spread",
    "normal_spread",
)
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """A plan, and the row of each of its configurations."""

    plan: Plan
    order: Codes  # (configurations,) index among the rows of the plan


class _Key(NamedTuple):
    """Rows by the values of some fields: rows of equal values have equal codes."""

    codes: Codes  # (rows,) from 0, in the order of the values
    distinct: int  # more than the greatest code

    def at(self, rows: Codes) -> "_Key":
        """The key of some of the rows."""
        return _Key(self.codes[rows], self.distinct)


def parameters_of(grid: Grid, rows: Codes, schedules: Codes, threads: int) -> Parameters:
    """The plan of some rows of a grid.

    Args:
        grid: the grid.
        rows: (rows,) which of its rows.
        schedules: (rows,) index of each row's entry sessions, as the kernels have them.
        threads: that the blocks are for.
    """
    rules = _Rows(grid, rows)
    stop, target, hold = (rules.ranked(name) for name in _EXITS)
    draw = rules.key(*_DRAWS)
    rest = rules.together(target, draw, hold)
    effective = (
        rules.key("call.exit_pct", "put.exit_pct")
        if rules.follows_put_exit()
        else rules.key("call.exit_pct")
    )
    call = rules.together(rules.key(*_CALLS), effective, draw)
    pair = rules.together(rest, call)
    group = rules.together(_Key(schedules, int(schedules.max()) + 1), rules.entry())
    block, order = _blocks(group, pair, stop, threads)
    keys = {"rest": rest, "call": call, "target": target, "draw": draw, "hold": hold}
    return _plan(rules, schedules, block, order, stop.at(order), pair.at(order), keys)


class _Rows:
    """Some rows of a grid, column by column."""

    def __init__(self, grid: Grid, rows: Codes) -> None:
        self._grid, self._rows = grid, rows

    def at(self, indices: Codes) -> "_Rows":
        """Some of these rows: a value that many of them share is read for one."""
        return _Rows(self._grid, self._rows[indices])

    def _codes(self, name: str) -> _Key | None:
        codes = self._grid.codes(name)
        return None if codes is None else _Key(codes[self._rows], len(self._grid.values(name)))

    def key(self, *names: str) -> _Key:
        """A key that is equal where all these fields are."""
        return self.together(*[key for name in names if (key := self._codes(name)) is not None])

    def together(self, *keys: _Key) -> _Key:
        """A key that is equal where all keys are, in the order of the first, then the second ..."""
        keys = tuple(key for key in keys if key.distinct > 1)
        if len(keys) == 1:
            return keys[0]
        if not keys:
            return _Key(np.zeros(self._rows.size, np.int64), 1)
        size, product = self._rows.size, math.prod(key.distinct for key in keys)
        codes = combined(list(keys), size)
        return _Key(codes, product) if product <= size else _Key(*dense(codes))

    def entry(self) -> _Key:
        """A key that is equal where the same puts are sold at the same prices and sessions."""
        inner = {*_DRAWS, *_CALLS, *_EXITS}
        return self.key(
            *[
                name
                for name in self._grid.columns
                if name not in inner and not _of_schedule(name) and not name.startswith(ACCOUNT)
            ]
        )

    def ranked(self, name: str) -> _Key:
        """The key of a field, in the order of its values, None last."""
        codes = self._codes(name)
        if codes is None:
            return self.key()
        position = np.empty(codes.distinct, np.int64)
        position[np.argsort(self._grid.table(name), kind="stable")] = np.arange(codes.distinct)
        return _Key(position[codes.codes], codes.distinct)

    def follows_put_exit(self) -> bool:
        return None in self._grid.values("call.exit_pct")

    def column(self, name: str, encode: Any = None, dtype: Any = np.float64) -> Array:
        """(rows,) values of a field as numbers."""
        return self._grid.column(name, encode, dtype, self._rows)


def _of_schedule(name: str) -> bool:
    limits = ("schedule.allow_multiple_wheels_per_symbol", "schedule.max_wheels_per_symbol_per_day")
    return name.startswith("schedule.") and name not in limits


def _blocks(group: _Key, pair: _Key, stop: _Key, threads: int) -> tuple[Codes, Codes]:
    """The block of each row in the order returned, and that order; no pair is divided.

    Rows of a block are sorted by stop if it has each of its stops with each of its pairs, else by
    pair.
    """
    size = group.codes.size
    order = _sorted(group, pair, stop)
    new_group, new_pair = (_changes(codes[order]) for codes in (group.codes, pair.codes))
    new_pair |= new_group
    place = np.arange(size)
    in_group = place - np.maximum.accumulate(np.where(new_group, place, 0))
    first_of_pair = np.maximum.accumulate(np.where(new_pair, place, 0))
    new_block = new_group | _changes(in_group[first_of_pair] // _most(size, threads))
    block = new_block.cumsum() - 1
    pairs, sizes = np.bincount(block, weights=new_pair), np.bincount(block)
    stops = np.diff(_local(block, _Key(stop.codes[order], stop.distinct))[0])
    product = (pairs * stops == sizes)[block]
    if stop.distinct == 1 or not product.any():
        return block, order
    by_stop = np.where(product, stop.codes[order], 0)
    again = _sorted(
        _Key(block, int(block[-1]) + 1), _Key(by_stop, stop.distinct), _Key(place, size)
    )
    return block, order[again]


def _most(size: int, threads: int) -> int:
    """The most configurations of a block.

    Every thread gets equally many blocks. None is so small that selecting the puts and finding
    their ends, which is done once a block, takes longer than the configurations.
    """
    blocks = threads * -(-size // (threads * BLOCK))
    return max(-(-size // blocks), min(BLOCK, LEAST))


def _sorted(*keys: _Key) -> Codes:
    """(n,) indices that sort rows by the first key, then the second and so on."""
    size = keys[0].codes.size
    return np.argsort(combined([*keys], size))


def _changes(codes: Codes) -> NDArray[np.bool_]:
    """(n,) whether each value differs from the one before; the first does."""
    return np.concatenate([[True], codes[1:] != codes[:-1]])


def _local(block: Codes, key: _Key) -> tuple[Array, Array, Array]:
    """The distinct keys of each block.

    Returns:
        (blocks + 1,) where those of each block begin; (keys,) the first row of each; and (rows,)
        the index within its block of each row's key.
    """
    blocks = int(block[-1]) + 1
    if key.distinct == 1:
        return (
            np.arange(blocks + 1),
            np.flatnonzero(_changes(block)),
            np.zeros(block.size, np.int64),
        )
    codes, count = dense(block * key.distinct + key.codes, blocks * key.distinct)
    first = first_of(codes, count)
    starts = np.searchsorted(block[first], np.arange(blocks + 1))
    return starts, first, codes - starts[block]


def _plan(
    rules: _Rows,
    schedules: Codes,
    block: Codes,
    order: Codes,
    stop: _Key,
    pair: _Key,
    keys: dict[str, _Key],
) -> Parameters:
    """The plan of blocks.

    The rules of a pair are read once a pair: a product of fields has many times as many
    configurations.

    Args:
        rules: the rows.
        schedules: (rows,) index of each row's entry sessions.
        block: (configurations,) the block of each.
        order: (configurations,) the row of each.
        stop: of each configuration.
        pair: of each configuration.
        keys: of each row: rest, call, target, draw and hold.
    """
    stop_starts, first_stop, config_stop = _local(block, stop)
    pair_starts, first_pair, config_pair = _local(block, pair)
    pair_rows = order[first_pair]
    local = {name: _local(block[first_pair], key.at(pair_rows)) for name, key in keys.items()}
    starts = {"stop_starts": stop_starts, "pair_starts": pair_starts}
    starts |= {f"{name}_starts": found[0] for name, found in local.items()}
    first, at = ({name: found[i] for name, found in local.items()} for i in (1, 2))
    rows = {name: pair_rows[indices] for name, indices in first.items()}
    config_starts = np.searchsorted(block, np.arange(block[-1] + 2))
    leading = order[config_starts[:-1]]
    stops, pairs, sizes = np.diff(stop_starts), np.diff(pair_starts), np.diff(config_starts)
    lists = sum(np.diff(starts[f"{name}_starts"]) for name in ("rest", "pair", "call"))
    cost = np.where(sizes == 1, 200, 800 + 8 * lists + 2 * sizes)
    plan = Plan(
        common=_common_rules(rules.at(leading), schedules[leading]),
        stop=rules.at(order[first_stop]).column("put.stop_loss_multiplier"),
        target=rules.at(rows["target"]).column("put.exit_pct"),
        hold=rules.at(rows["hold"]).column("put.max_hold_dte", _or(-1), np.int64),
        draw=_draws(rules.at(rows["draw"])),
        call=_calls(rules.at(rows["call"])),
        call_search=rules.key(*_SEARCH).codes[rows["call"]],
        call_draw=_indices(at["draw"][first["call"]]),
        rest_target=_indices(at["target"][first["rest"]]),
        rest_draw=_indices(at["draw"][first["rest"]]),
        rest_hold=_indices(at["hold"][first["rest"]]),
        pair_rest=_indices(at["rest"]),
        pair_call=_indices(at["call"]),
        config_starts=config_starts,
        config_stop=_indices(config_stop),
        config_pair=_indices(config_pair),
        exits=rules.key(*_EXITS, *_DRAWS, *_PRICES, "put.early_assignment").codes[leading],
        product=stops * pairs == sizes,
        cost=cost,
        **starts,
    )
    return Parameters(plan, order)


def _indices(codes: Codes) -> Array:
    """Indices as unsigned integers, which compiled loops need not test for negative ones."""
    return codes.astype(np.uint32)


def _or(none: float) -> Any:
    return lambda value: none if value is None else value


def _early(name: str) -> int:
    return int(EarlyAssignment[name.upper()])


def _common_rules(rules: _Rows, schedules: Codes) -> Array:
    """(rows,) of COMMON: which puts each row sells, and at what prices."""
    out = np.zeros(schedules.size, COMMON)
    out["schedule"] = schedules
    for name in ("dte_min", "dte_max", "delta_min", "delta_max"):
        out[name] = rules.column(f"put.{name}")
    out["dte_target"] = rules.column("put.dte_target", _or(-1), np.int64)
    out["select"] = rules.column("put.select", lambda name: int(Select[name.upper()]), np.int64)
    delta = rules.column("put.delta_target")
    delta = np.where(np.isnan(delta), (out["delta_min"] + out["delta_max"]) / 2, delta)
    _set_moneyness(rules, "put", out, delta)
    out["per_day"] = rules.column("schedule.max_wheels_per_symbol_per_day", _or(2**31), np.int64)
    out["one_at_a_time"] = ~rules.column(
        "schedule.allow_multiple_wheels_per_symbol", None, np.bool_
    )
    out["rank_over_chain"] = rules.column(
        "liquidity.ivp_over", lambda over: over == "chain", np.bool_
    )
    slack = _slack(rules)
    for name, field in _LIMITS.items():
        out[name] = rules.column(f"liquidity.{field}")
        if name in _SPREADS:
            out[name] *= 1.0 + slack
    out["mode"] = rules.column(
        "fills.fill_mode", lambda name: int(FillMode[name.upper()]), np.int64
    )
    out["v5"] = rules.column("rules", lambda name: name == "v5", np.bool_)
    unset, trigger = (
        rules.column("fills.exit_model", lambda m, t=t: m == t, np.bool_) for t in (None, "trigger")
    )
    out["trigger"] = trigger | (unset & ~out["v5"])
    out["early"] = rules.column("put.early_assignment", _early, np.int64)
    for name in _COSTS:
        out[name] = rules.column(f"costs.{name}")
    out["slack"] = slack
    out["ticks"] = ticks_of(rules.column("fills.tick"), out["v5"])
    return out


def _slack(rules: _Rows) -> Array:
    """(rows,) relative tolerance of limits; under v5 there is none."""
    return np.where(rules.column("rules", lambda name: name == "v5", np.bool_), 0.0, SLACK)


def ticks_of(tick: Array, v5: Array) -> Array:
    """(n,) ticks to the dollar, 0 where prices are not rounded.

    Args:
        tick: (n,) dollars; NaN: the default of the rule set.
        v5: (n,) whether that is v5.
    """
    given = np.where(np.isnan(tick), np.where(v5, 0.0, 0.01), tick)
    return np.where(given > 0.0, np.rint(1.0 / np.where(given > 0.0, given, 1.0)), 0.0)


def _set_moneyness(rules: _Rows, section: str, out: Array, delta_target: Array) -> None:
    """Write the limits of moneyness, and the target of `select`."""
    least, most, slack = (
        rules.column(f"{section}.otm_min"),
        rules.column(f"{section}.otm_max"),
        _slack(rules),
    )
    out["otm_min"] = np.where(np.isnan(least), -np.inf, least - slack)
    out["otm_max"] = np.where(np.isnan(most), np.inf, most + slack)
    out["by_otm"] = ~(np.isnan(least) & np.isnan(most))
    otm, premium = rules.column(f"{section}.otm_target"), rules.column(f"{section}.premium_target")
    wanted = {
        Select.CLOSEST_DELTA: delta_target,
        Select.CLOSEST_OTM: otm,
        Select.CLOSEST_PREMIUM: premium,
    }
    out["target"] = np.select(
        [out["select"] == method for method in wanted], list(wanted.values()), 0.0
    )


def _draws(rules: _Rows) -> Array:
    """(rows,) of DRAW: seed and probabilities of fills under each row."""
    seed = rules.column("fills.execution_seed", None, np.uint64)
    out = np.zeros(seed.size, DRAW)
    out["seed"] = seed
    out["probabilistic"] = rules.column("fills.use_probabilistic_exit_fills", None, np.bool_)
    for name, field in _ODDS.items():
        out[name] = rules.column(f"fills.{field}")
        if name in _SPREADS:
            out[name] *= 1.0 + _slack(rules)
    return out


def _calls(rules: _Rows) -> Array:
    """(rows,) of CALL: which calls each row sells against assigned shares, and how they end."""
    v5 = rules.column("rules", lambda name: name == "v5", np.bool_)
    out = np.zeros(v5.size, CALL)
    for name in ("dte_min", "dte_max", "delta_min", "delta_max"):
        out[name] = rules.column(f"call.{name}")
    out["above_basis"] = rules.column("call.sell_call_only_if_price_above_basis", None, np.bool_)
    out["strike_factor"] = np.where(
        v5, 1.0, 1.0 + rules.column("call.strike_min_pct_above_basis")
    ) * (1.0 - _slack(rules))
    out["rank_over_chain"] = rules.column(
        "liquidity.ivp_over", lambda over: over == "chain", np.bool_
    )
    out["select"] = rules.column(
        "call.tie_break_method", lambda name: int(Select[name.upper()]), np.int64
    )
    _set_moneyness(rules, "call", out, (out["delta_min"] + out["delta_max"]) / 2)
    out["flat_odds"] = v5
    out["early"] = rules.column("call.early_assignment", _early, np.int64)
    own = rules.column("call.exit_pct")
    out["exit_pct"] = np.where(np.isnan(own), rules.column("put.exit_pct"), own)
    out["stop_multiplier"] = rules.column("call.stop_loss_multiplier")
    out["max_hold_dte"] = rules.column("call.max_hold_dte", _or(-1), np.int64)
    out["max_cycles"] = np.where(v5, 1.0, rules.column("call.max_cycles", _or(np.inf)))
    out["waits"] = np.where(v5, 0, rules.column("call.call_wait_sessions", None, np.int64))
    return out
