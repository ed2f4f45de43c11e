"""One underlying, and rules for it, as the kernels read them: small enough to be worked by hand.

Sessions are numbered from 0, a calendar day apart; session s is day 1000 + s. Prices are dollars
per share. Unless a test says otherwise prices are realistic (f = 0.30) and on cents, and an order
costs 0.66.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np

from wheelvec.kernels.draws import root_hash, wheel_word
from wheelvec.kernels.parameters import CALL, COMMON, DRAW, Plan
from wheelvec.kernels.slices import CONTRACT, DIVIDEND, EVENT, QUOTE, ROW, Slice, Underlying
from wheelvec.model.codes import EventKind

FIRST_DAY = 1000
# TSLA  230707P00205000 sold on 2023-06-06: under seed 42 its first touches draw 0.755 and 0.069.
WORD = np.uint64(wheel_word(19545, 205_000, 0, 19514, np.uint64(root_hash("TSLA"))))
NONE = np.nan  # no stop
Test = TypeVar("Test", bound=Callable[..., None])

# Open, high, low and close of the four days that the put of these tests lives.
FOUR_BARS = (
    (1.90, 2.10, 1.80, 2.00),
    (1.50, 1.60, 0.95, 1.20),
    (1.40, 4.10, 1.30, 3.90),
    (3.00, 3.20, 2.80, 3.00),
)


def plain(test: Test) -> Test:
    """Run a test's kernels as plain Python (conftest.py): those that follow a wheel to its end take
    some ten seconds to compile for a test alone.
    """
    test.as_plain_python = True  # type: ignore[attr-defined]
    return test


def named(value: Any) -> Any:
    """Compiled code reads `records.column`; plain Python reads that of NumPy's recarray alone."""
    if not numba.config.DISABLE_JIT:
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(named(field) for field in value))
    return value.view(np.recarray) if getattr(value, "dtype", np.dtype(int)).names else value


def row(kind: np.dtype[Any], **fields: Any) -> Any:
    """One row of a structured array."""
    return rows(kind, fields)[0]


def rows(kind: np.dtype[Any], *given: dict[str, Any]) -> Any:
    """A structured array; fields that are not given are 0."""
    out = np.zeros(len(given), kind)
    for i, fields in enumerate(given):
        for name, value in fields.items():
            out[name][i] = value
    return named(out)


def common_fields(**more: Any) -> dict[str, Any]:
    """Any put may be sold; the default rules of liquidity."""
    return {
        "dte_max": 10_000, "delta_max": 1.0, "otm_min": -np.inf, "otm_max": np.inf,
        "dte_target": -1, "per_day": 10_000,
        "min_bid": 0.10, "hard_max_spread": 0.20, "base_spread": 0.08,
        "high_threshold": 0.70, "high_spread": 0.12,
        "extreme_threshold": 0.90, "extreme_spread": 0.15,
        "short_dte": 7, "short_dte_extra": 0.02, "min_ranked": 1,
        "mode": 1, "ticks": 100.0, "slack": 1e-9, "trigger": True, "commission_per_contract": 0.66,
    } | more  # fmt: skip


def draw_fields(**more: Any) -> dict[str, Any]:
    """The first touch of a target fills; the default odds where that is drawn."""
    return {
        "seed": 42, "tight": 0.90, "normal": 0.70, "wide": 0.40, "scale": 0.6,
        "high_mult": 0.85, "extreme_mult": 0.70, "lowest": 0.05, "highest": 0.98,
        "tight_spread": 0.05, "normal_spread": 0.10,
    } | more  # fmt: skip


def even_chance(**more: Any) -> dict[str, Any]:
    """A touch of the target fills with a probability of 0.5."""
    return draw_fields(probabilistic=True, lowest=0.5, highest=0.5, **more)


def call_fields(**more: Any) -> dict[str, Any]:
    """Of the calls above the basis the dearest is sold, once; half of its premium is its target."""
    return {
        "dte_max": 10_000, "delta_max": 1.0, "above_basis": True, "strike_factor": 1.0,
        "select": 2, "otm_min": -np.inf, "otm_max": np.inf,
        "exit_pct": 0.50, "stop_multiplier": NONE, "max_hold_dte": -1, "max_cycles": 1.0,
    } | more  # fmt: skip


class Offer(NamedTuple):
    """An option's quote at entry time."""

    bid: float
    ask: float
    iv: float = 0.40
    delta: float = 0.30


class Option(NamedTuple):
    """A contract, its quotes by session, and its bars (open, high, low, close) by session.

    It is exercised early on session `exercise` under either setting; 0: it is not.
    """

    strike: float
    settlement: int
    quotes: dict[int, Offer]
    bars: dict[int, tuple[float, float, float, float]] = {}  # noqa: RUF012 - never written
    exercise: int = 0
    becomes: float = 0.0  # strike after the first event, where it is another one
    eve_row: int = -1


def slice_of(
    closes: list[float],
    puts: tuple[Option, ...] = (),
    calls: tuple[Option, ...] = (),
    dividends: dict[int, float] | None = None,
    events: tuple[tuple[int, int, EventKind], ...] = (),
) -> Slice:
    """The arrays of one underlying.

    Args:
        closes: of the underlying, session by session; NaN: none.
        puts: in candidate order.
        calls: in candidate order.
        dividends: dollars per share by the session of their ex-date.
        events: session of the ex-date, new shares for one, and kind of each.
    """
    close, day = np.array(closes), FIRST_DAY + np.arange(len(closes))
    contracts, starts = [*puts, *calls], [0]
    carried = [i for i, option in enumerate(contracts) if option.becomes]
    path = np.zeros(sum(len(option.bars) for option in contracts), ROW)
    where = np.zeros(len(contracts) + len(carried), CONTRACT)
    for i, option in enumerate(contracts):
        for at, (session, bar) in enumerate(sorted(option.bars.items()), starts[-1]):
            path["number"][at] = session
            path["open"][at], path["high"][at], path["low"][at], path["close"][at] = bar
        starts.append(starts[-1] + len(option.bars))
        after = option.settlement + 1 if option.settlement + 1 < len(closes) else -1
        where[i] = (
            starts[-2], starts[-1], option.settlement, FIRST_DAY + option.settlement, after,
            option.strike, round((option.becomes or option.strike) * 100), 10_000, -1,
            option.eve_row,
        )  # fmt: skip
    for at, i in enumerate(carried, len(contracts)):
        where[at] = where[i]
        where["strike"][at] = contracts[i].becomes
        where["last_session"][i], where["successor"][i] = events[0][0] - 1, at
    sold, put_starts = _quotes(puts, 0, close, path, starts)
    offered, call_starts = _quotes(calls, len(puts), close, path, starts)
    paid = np.zeros(len(dividends or {}), DIVIDEND)
    for i, (session, amount) in enumerate(sorted((dividends or {}).items())):
        paid[i] = (FIRST_DAY + session, amount * 100.0)
    valid = np.diff(put_starts) + np.diff(call_starts)
    last_bar = np.full(close.size, np.flatnonzero(~np.isnan(close)).max(initial=-1))
    happened = np.zeros(len(events), EVENT)
    for i, (session, shares, kind) in enumerate(events):
        happened[i] = (session, FIRST_DAY + session, shares, kind)
    return Slice(
        puts=named(sold), put_starts=put_starts,
        put_dte=sold["dte"].copy(), put_delta=sold["delta"].copy(),
        calls=named(offered), call_starts=call_starts,
        call_dte=offered["dte"].copy(), call_delta=offered["delta"].copy(),
        valid=valid, contracts=named(where), rows=named(path),
        underlying=Underlying(close, day, last_bar), dividends=named(paid),
        events=named(happened),
    )  # fmt: skip


def _quotes(
    options: tuple[Option, ...], first: int, close: Any, path: Any, starts: list[int]
) -> tuple[Any, Any]:
    """Quotes by session, and where those of each session begin."""
    found = []
    for session in range(close.size):
        for contract, option in enumerate(options, first):
            if session not in option.quotes:
                continue
            offer = option.quotes[session]
            mid = (offer.bid + offer.ask) / 2.0
            spread_pct = (offer.ask - offer.bid) / mid
            otm = (close[session] - option.strike) / close[session] * (1 if first == 0 else -1)
            number = path["number"][starts[contract] : starts[contract + 1]]
            begin = starts[contract] + int((number <= session).sum())
            end = starts[contract] + int((number <= option.settlement).sum())
            found.append((
                session,
                (
                    option.strike, offer.bid, offer.ask, mid, spread_pct,
                    option.settlement - session, offer.iv, offer.delta, otm, 0.5,
                    contract, WORD, begin, max(begin, end), option.exercise, option.exercise,
                ),
            ))  # fmt: skip
    quotes = np.array([quote for _, quote in found], QUOTE)
    sessions = np.array([session for session, _ in found], np.int64)
    return quotes, np.searchsorted(sessions, np.arange(close.size + 1))


def plan_of(
    common: dict[str, Any] | None = None,
    stops: tuple[float, ...] = (NONE,),
    targets: tuple[float, ...] = (0.10,),
    hold: int = -1,
    draw: dict[str, Any] | None = None,
    call: dict[str, Any] | None = None,
) -> Plan:
    """A plan of one block: every stop with every target, stops first.

    Args:
        common: as of `entry_fields`.
        stops: multipliers of the premium, ascending.
        targets: `exit_pct`, ascending.
        hold: `max_hold_dte`; -1: none.
        draw: as of `draw_fields`.
        call: as of `call_fields`.
    """
    n, configs = len(targets), len(stops) * len(targets)
    none, every = np.zeros(n, np.uint32), np.arange(n, dtype=np.uint32)
    return named(
        Plan(
            common=rows(COMMON, common or common_fields()),
            stop_starts=np.array([0, len(stops)]), stop=np.array(stops),
            target_starts=np.array([0, n]), target=np.array(targets),
            hold_starts=np.array([0, 1]), hold=np.array([hold]),
            draw_starts=np.array([0, 1]), draw=rows(DRAW, draw or draw_fields()),
            call_starts=np.array([0, 1]), call=rows(CALL, call or call_fields()),
            call_search=np.zeros(1, np.int64), call_draw=np.zeros(1, np.uint32),
            rest_starts=np.array([0, n]), rest_target=every, rest_draw=none, rest_hold=none,
            pair_starts=np.array([0, n]), pair_rest=every, pair_call=none,
            config_starts=np.array([0, configs]),
            config_stop=np.repeat(np.arange(len(stops), dtype=np.uint32), n),
            config_pair=np.tile(every, len(stops)),
            exits=np.zeros(1, np.int64), product=np.array([configs > 1]), cost=np.array([1000]),
        )
    )  # fmt: skip


def the_put(bars: tuple[tuple[float, float, float, float], ...] = FOUR_BARS) -> Option:
    """A put at 50 that settles on session 4, sold on session 0 for 2.00.

    Quoted 1.98 to 2.08: the mid is 2.03, its spread 0.10 or 4.9% of it. Alone in its session it
    has rank 1, so 15% + 2% are allowed (4 days left); up to 0.6 of that is tight, penalty 1.00:
    2.03 - 0.30 * 0.10 * 1.00 = 2.00.
    """
    return Option(50.0, 4, {0: Offer(1.98, 2.08)}, dict(enumerate(bars, 1)))


def the_call(
    strike: float = 49.0,
    session: int = 5,
    settlement: int = 8,
    bars: tuple[tuple[float, float, float, float], ...] = (),
) -> Option:
    """A call sold for 1.00: quoted 0.98 to 1.08, 1.03 - 0.30 * 0.10 * 1.00."""
    return Option(
        strike, settlement, {session: Offer(0.98, 1.08)}, dict(enumerate(bars, session + 1))
    )
