"""The contracts of one session, each with the first test that it fails, as a run tested them.

The kernels decide, not this module: they are asked with one test after the other, and a contract
has failed the test with which it drops out.
"""

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.calls import make_sale, new_assigned_ends
from wheelvec.kernels.entries import new_selection, select_puts
from wheelvec.kernels.quotes import REJECTED, entry_price, penalty_of
from wheelvec.kernels.slices import Slice
from wheelvec.lake.lake import month_end
from wheelvec.market.market import Market
from wheelvec.model.codes import Tier, names
from wheelvec.model.config import Config
from wheelvec.model.grid import Grid
from wheelvec.run.context import Context
from wheelvec.run.explaining.retracing import plan_of
from wheelvec.run.signals.schedule import check_curve, entry_rule_of
from wheelvec.run.slicing.slices import HeldSlice
from wheelvec.stages.arrays import Array, days

MEMORY = 2**29  # bytes, as a backtest has
MOST = 2**31  # more than any number of days
# A contract of a session. `failed` is the first test that it fails, null of one that may be sold;
# `value` is what was tested, `limit` what was allowed, and `miss` how far the value is from that,
# as a share of the limit. iv, delta, ivp, tier and price are null where a contract has none.
CANDIDATES: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "dte": pl.Int64(),
    "delta": pl.Float64(),
    "iv": pl.Float64(),
    "otm": pl.Float64(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "spread_pct": pl.Float64(),
    "ivp": pl.Float64(),
    "tier": pl.String(),
    "price": pl.Float64(),
    "failed": pl.String(),
    "value": pl.Float64(),
    "limit": pl.String(),
    "miss": pl.Float64(),
}
# The tests in their order, and what each is about.
TESTS = {
    "no_iv": "no implied volatility",
    "dte": "days to expiration",
    "delta": "delta",
    "otm": "share out of the money",
    "below_basis": "strike against the basis",
    "spread": "spread of the mid",
    "bid": "bid, dollars",
    "worthless": "would sell for 0",
    "dte_target": "another expiration is nearer to dte_target",
    "select": "another contract is preferred by select",
}
PASSED = len(TESTS)


class _Graded(NamedTuple):
    """The grades that the kernels give the contracts of a session.

    Attributes:
        rows: (n,) rows of the slice that are within the ranges.
        ivp: (n,) rank of each.
        tier: (n,) code of each.
        chosen: (n,) whether each may be sold.
    """

    rows: Array
    ivp: Array
    tier: Array
    chosen: Array


class Offers:
    """The contracts that a market offers to the wheels of one configuration, session by session.

    Args:
        market: the tables.
        config: the configuration.

    Raises:
        InputError: if the configuration cannot be run on this market.
    """

    def __init__(self, market: Market, config: Config) -> None:
        check_curve(config, entry_rule_of(market, config).start)  # names no row of a grid
        self._context = Context(market, Grid.read(config, {}), 1, MEMORY)
        self._key = self._context.chain_keys[0]
        self._plan, self._config = plan_of(config), config
        self._day = days(self._context.sessions[self._key], "session")

    def _held(self, underlying: str, session: dt.date) -> tuple[HeldSlice, int]:
        """The slice with the month of a session, and the session's number in it."""
        first, last = session.replace(day=1), month_end(session)
        held = self._context.slice_between(self._key, underlying, first, last)
        number = int(np.searchsorted(self._day, np.datetime64(session, "D").astype(np.int64)))
        return held, number

    def puts(self, underlying: str, session: dt.date) -> pl.DataFrame:
        """The puts of a session, CANDIDATES, those that came furthest first.

        Args:
            underlying: when its puts are sold.
            session: one that the data cover.
        """
        held, number = self._held(underlying, session)
        common = self._plan.common

        def asked(**changes: Any) -> _Graded:
            return _puts_asked(held.slice_, _with(common, **changes), number)

        lost = _Lost(held.slice_.put_starts, number)
        open_ranges = _open_ranges()
        for test in ("dte", "delta", "otm"):
            open_ranges = {k: v for k, v in open_ranges.items() if k not in _FIELDS[test]}
            lost.keep(test, asked(**open_ranges).rows)
        anyone = {"select": 0, "dte_target": -1}
        graded = asked(**anyone)
        _lose_rejected(lost, graded, lambda **changes: asked(**anyone, **changes))
        for test, free in (("dte_target", {"select": 0}), ("select", {})):
            found = asked(**free)
            lost.keep(test, found.rows[found.chosen])
        return self._frame(held, number, "put", lost, graded, None)

    def calls(self, underlying: str, session: dt.date, basis: float) -> pl.DataFrame:
        """The calls of a session, CANDIDATES, those that came furthest first.

        Args:
            underlying: when its puts are sold.
            session: on which a call is sought.
            basis: cost of a share, dollars.
        """
        held, number = self._held(underlying, session)
        plan, slice_ = self._plan, held.slice_
        memory = new_assigned_ends(1, held.calls, held.bars + 1).memory
        lost = _Lost(slice_.call_starts, number)

        def asked(limits: dict[str, Any] | None = None, **changes: Any) -> tuple[_Graded, int]:
            common, call = _with(plan.common, **(limits or {})), _with(plan.call, **changes)
            make_sale(slice_, 0, number, basis, common[0], 0, call[0], memory)
            sale, found = memory.sales[0], memory.workspace
            n = int(sale["above_basis"])
            ivp, tier = found.grades.ivp[:n].copy(), found.grades.tier[:n].copy()
            return _Graded(found.qualified[:n].copy(), ivp, tier, tier != REJECTED), int(
                sale["row"]
            )

        open_ranges = _open_ranges() | {"above_basis": False}
        for test in ("dte", "delta", "otm", "below_basis"):
            open_ranges = {k: v for k, v in open_ranges.items() if k not in _FIELDS[test]}
            lost.keep(test, asked(**open_ranges)[0].rows)
        graded, best = asked()
        _lose_rejected(lost, graded, lambda **changes: asked(changes)[0])
        lost.keep("select", np.array([best]))
        floor = basis * float(plan.call["strike_factor"][0])
        return self._frame(held, number, "call", lost, graded, floor)

    def _frame(
        self,
        held: HeldSlice,
        number: int,
        kind: str,
        lost: "_Lost",
        graded: _Graded,
        floor: float | None,
    ) -> pl.DataFrame:
        slice_ = held.slice_
        quotes = getattr(slice_, f"{kind}s")[lost.first : lost.last]
        at = graded.rows - lost.first
        ivp, tier = np.full(quotes.size, np.nan), np.full(quotes.size, -1, np.int64)
        ivp[at], tier[at] = graded.ivp, graded.tier
        columns = {
            "symbol": held.symbols(quotes["contract"]),
            "expiration": _dates(slice_.contracts["expiration_day"][quotes["contract"]]),
            **{name: quotes[name] for name in ("strike", "dte", "delta", "iv", "otm")},
            **{name: quotes[name] for name in ("bid", "ask", "spread_pct")},
            "ivp": pl.Series(ivp, nan_to_null=True),
            "tier": pl.Series([_TIERS.get(code) for code in tier.tolist()], dtype=pl.String),
            "price": pl.Series(_prices(quotes, tier, self._plan.common[0]), nan_to_null=True),
            "failed": pl.Series([_NAMES.get(code) for code in lost.test.tolist()], dtype=pl.String),
        }
        solved = pl.DataFrame(columns | _missed(quotes, lost.test, self._limits(kind, floor)))
        unsolved = _unsolved(held, number, kind, quotes["contract"])
        every = pl.concat([solved.select(list(CANDIDATES)), unsolved])
        reached = pl.col("failed").replace_strict(
            list(TESTS), range(len(TESTS)), default=PASSED, return_dtype=pl.Int64
        )
        return every.sort(-reached, "miss", "expiration", "strike", maintain_order=True)

    def _limits(self, kind: str, floor: float | None) -> dict[str, tuple[float, float]]:
        """The range that each test with a number allows."""
        rules, liquidity = getattr(self._config, kind), self._config.liquidity
        return {
            "dte": (rules.dte_min, rules.dte_max),
            "delta": (rules.delta_min, rules.delta_max),
            "otm": (
                -np.inf if rules.otm_min is None else rules.otm_min,
                np.inf if rules.otm_max is None else rules.otm_max,
            ),
            "below_basis": (-np.inf if floor is None else floor, np.inf),
            "spread": (-np.inf, liquidity.hard_max_spread_pct),
            "bid": (liquidity.min_bid_hard, np.inf),
        }


_TIERS, _NAMES = names(Tier), dict(enumerate(TESTS))
_FIELDS = {
    "dte": ("dte_min", "dte_max"),
    "delta": ("delta_min", "delta_max"),
    "otm": ("by_otm",),
    "below_basis": ("above_basis",),
}
_COLUMNS = {
    "dte": "dte", "delta": "delta", "otm": "otm", "below_basis": "strike",
    "spread": "spread_pct", "bid": "bid",
}  # fmt: skip
_PERCENT = ("otm", "spread")


class _Lost:
    """The test with which each contract of a session dropped out; PASSED: with none."""

    def __init__(self, starts: Array, number: int) -> None:
        self.first, self.last = int(starts[number]), int(starts[number + 1])
        self.test = np.full(self.last - self.first, PASSED, np.int64)

    def keep(self, test: str, rows: Array) -> None:
        """Note the test of the contracts that are left and are none of `rows` of the slice."""
        out = np.ones(self.test.size, np.bool_)
        out[rows[rows >= 0] - self.first] = False
        self.lose(test, out)

    def lose(self, test: str, out: Array) -> None:
        """Note the test of some of the contracts that are left, (contracts,) bool."""
        self.test[out & (self.test == PASSED)] = list(TESTS).index(test)


def _with(rows: Array, **changes: Any) -> Array:
    """(1,) a copy of the first of some structured rows with other values of some fields."""
    out = rows[:1].copy()
    for name, value in changes.items():
        if name in (out.dtype.names or ()):
            out[name] = value
    return out


def _open_ranges() -> dict[str, Any]:
    ends = {"dte_min": 0, "dte_max": MOST, "delta_min": -np.inf, "delta_max": np.inf}
    return ends | {"by_otm": False}


def _puts_asked(slice_: Slice, entry: Array, number: int) -> _Graded:
    opens = np.zeros(slice_.put_starts.size - 1, np.bool_)
    opens[number] = True
    size = int(slice_.put_starts[number + 1] - slice_.put_starts[number])
    out = new_selection(1, size + 1)
    select_puts(slice_, entry[0], opens, number, number, out)
    n = int(out.starts[1])
    grades = out.grades
    return _Graded(out.rows[:n], grades.ivp[:n], grades.tier[:n], grades.chosen[:n])


def _lose_rejected(lost: _Lost, graded: _Graded, asked: Any) -> None:
    """Note which test of liquidity rejects a contract: that without which it is not rejected."""
    rejected = graded.tier == REJECTED
    free: dict[str, Any] = {}
    for test, field, none in (("spread", "hard_max_spread", np.inf), ("bid", "min_bid", 0.0)):
        free[field] = none
        still = asked(**free).tier == REJECTED
        _lose(lost, test, graded.rows[rejected & ~still])
        rejected = rejected & still
    _lose(lost, "worthless", graded.rows[rejected])


def _lose(lost: _Lost, test: str, rows: Array) -> None:
    out = np.zeros(lost.test.size, np.bool_)
    out[rows - lost.first] = True
    lost.lose(test, out)


def _prices(quotes: Array, tier: Array, entry: Any) -> Array:
    """(n,) dollars per share for which each contract would be sold; NaN where it would not."""
    out = np.full(quotes.size, np.nan)
    mode, ticks = int(entry["mode"]), float(entry["ticks"])
    for i in np.flatnonzero((tier >= 0) & (tier != REJECTED)).tolist():
        bid, ask, mid = (float(quotes[name][i]) for name in ("bid", "ask", "mid"))
        out[i] = entry_price(bid, ask, mid, float(penalty_of(int(tier[i]))), mode, ticks)
    return out


def _missed(
    quotes: Array, tests: Array, limits: dict[str, tuple[float, float]]
) -> dict[str, pl.Series]:
    """The columns value, limit and miss."""
    value, miss = np.full(tests.size, np.nan), np.full(tests.size, np.nan)
    limit: list[str | None] = [None] * tests.size
    for test, column in _COLUMNS.items():
        low, high = limits[test]
        for i in np.flatnonzero(tests == list(TESTS).index(test)).tolist():
            value[i] = quotes[column][i]
            end = low if value[i] < low else high
            miss[i] = abs(value[i] - end) / max(abs(end), 1e-9)
            limit[i] = _allowed(test, low, high)
    return {
        "value": pl.Series(value, nan_to_null=True),
        "limit": pl.Series(limit, dtype=pl.String),
        "miss": pl.Series(miss, nan_to_null=True),
    }


def _allowed(test: str, low: float, high: float) -> str:
    """The allowed values in words."""
    shown = [f"{end:.1%}" if test in _PERCENT else f"{end:g}" for end in (low, high)]
    if np.isinf(low):
        return f"at most {shown[1]}"
    return f"at least {shown[0]}" if np.isinf(high) else f"{shown[0]} to {shown[1]}"


def _dates(day: Array) -> pl.Series:
    return pl.Series(day.astype(np.int32)).cast(pl.Date)


def _unsolved(held: HeldSlice, number: int, kind: str, solved: Array) -> pl.DataFrame:
    """The contracts with a valid quote and no volatility on a session, as CANDIDATES."""
    quotes = held.quotes
    here = np.flatnonzero(quotes.number == number)
    contract = quotes.contract[here]
    symbols = held.symbols(contract)
    put = (symbols.str.slice(12, 1) == "P").to_numpy()
    some = ~np.isin(contract, solved) & (put if kind == "put" else ~put)
    where = held.slice_.contracts[contract[some]]
    bid, ask = quotes.bid[here][some], quotes.ask[here][some]
    expiration = where["expiration_day"]
    found = pl.DataFrame(
        {
            "symbol": symbols.filter(pl.Series(some)),
            "expiration": _dates(expiration),
            "strike": where["strike"],
            "dte": expiration - held.slice_.underlying.day[number],
            "bid": bid,
            "ask": ask,
            "spread_pct": (ask - bid) / ((bid + ask) / 2),
            "failed": pl.Series(["no_iv"] * int(some.sum()), dtype=pl.String),
        }
    )
    missing = [
        pl.lit(None, CANDIDATES[name]).alias(name)
        for name in CANDIDATES
        if name not in found.columns
    ]
    return found.with_columns(missing).select(pl.col(n).cast(k) for n, k in CANDIDATES.items())
