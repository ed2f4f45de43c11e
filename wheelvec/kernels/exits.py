"""How a leg ends (rules.md, 4 to 6): the price of an exit, and two algorithms to find it.

`walk` goes bar by bar for one rule. The tables are for every exit rule of a block at once: of a
put that was sold three things are step functions with few steps: the first bar that stops, of the
stop; the bars that touch, of the target; which touch fills, of the chance of a fill. The draws are
the same in every configuration, so a put's end follows from two of its tables: of the stops, and of
the rest (target, draw and hold). Whichever comes first ends it, and on one bar the stop goes before
the target and that before the hold. tests/kernels/test_exits.py holds both equal.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from wheelvec.jit.aligned import aligned
from wheelvec.jit.arrays import Integers, Reals, Records, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.accumulate import (
    BOUGHT_MARK,
    NONE,
    PASSED_MARK,
    STOP_INSIDE,
    STRANDED_MARK,
    SUSPECTED_MARK,
    TARGET_ABOVE,
    packed_days,
    packed_pnl,
    packed_reason,
)
from wheelvec.kernels.draws import Drawn, draw, drawn
from wheelvec.kernels.events import SUSPECTED, barrier_between, passes_any, shares_between
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.parameters import Block, CommonRules, DrawRules
from wheelvec.kernels.quotes import (
    NATURAL,
    OPTIMISTIC,
    concession,
    fill_probability,
    tick_down,
    tick_up,
)
from wheelvec.kernels.slices import Quote, Slice
from wheelvec.model.codes import ExitReason

STOP_LOSS, PROFIT_TARGET = int(ExitReason.STOP_LOSS), int(ExitReason.PROFIT_TARGET)
MAX_HOLD_DTE, EXPIRED_WORTHLESS = int(ExitReason.MAX_HOLD_DTE), int(ExitReason.EXPIRED_WORTHLESS)
ASSIGNED, CALLED_AWAY = int(ExitReason.ASSIGNED), int(ExitReason.CALLED_AWAY)
OPEN, NO_DATA = int(ExitReason.OPEN), int(ExitReason.NO_DATA)
CORPORATE_ACTION = int(ExitReason.CORPORATE_ACTION)
SUSPECTED_SPLIT = int(ExitReason.SUSPECTED_SPLIT)

# An exit's time is 2 * bar for a stop, 2 * bar + 1 for a target or hold, which a stop precedes;
# these are later than any.
SETTLED = 2**40
NEVER = SETTLED + 1
FEW_TARGETS = 8  # from here on it pays to sort a put's lows
ROUNDING = 1e-9  # an exit at its limit is a product taken in another order: equal but for rounding


class Put(NamedTuple):
    """A put that was sold; prices in dollars per share, the others in dollars per contract."""

    row: int
    number: int  # entry session
    settlement: int  # session on which it settles, or is exercised before that
    contract: int
    first: int  # bars after the entry, through the session on which it ends by itself
    last: int  # one past
    price: float
    spread_pct: float
    penalty: float
    ivp: float
    premium: float
    capital: float
    settled: int  # exit reason where nothing ends it before
    censored: bool
    end: int  # session on which it then ends: the settlement, or an eve (rules.md, 12)
    paid: float  # then to buy it back, dollars per share; 0: expired or delivered, NaN: not known
    by_events: bool  # whether a corporate event comes before its settlement


EXIT = np.dtype(
    [
        ("time", np.int64),
        ("pnl", np.float64),
        ("reasons", np.uint64),
        ("sums", np.uint64),
        ("until", np.int64),
    ]
)  # the columns of Ends, but for `assigned_end`, which only pairs have


Exit: TypeAlias = Any  # a row of EXIT


class Ends(NamedTuple):
    """Ends of a put and of its wheel: (n,) each."""

    time: Integers
    pnl: Reals  # dollars per contract, marked; NaN where there is none
    reasons: Words  # kernels.accumulate's packed counts
    sums: Words
    until: Integers  # the last session on which the wheel occupies its underlying
    assigned_end: Integers  # index of the assigned end whose counts are added; -1: none


def new_ends(n: int) -> Ends:
    """A buffer for n ends."""
    kinds = {"pnl": np.float64, "reasons": np.uint64, "sums": np.uint64}
    return Ends(**{name: aligned(n, kinds.get(name, np.int64)) for name in Ends._fields})


BAR = np.dtype(
    [
        ("open", np.float64), ("high", np.float64), ("low", np.float64),
        # price of buying back at the market; `lay_markets` writes it where only a hold pays it
        ("market", np.float64),
        ("at_market", np.bool_),  # whether stops and targets pay it too
        ("sums", np.uint64),  # packed days held and sessions without a bar of an exit here
        # of both orders, dollars per contract; NaN where there is no exit
        ("fees", np.float64),
        ("number", np.int64),
        ("left", np.int64),  # days to the expiration
    ],
    align=True,
)  # fmt: skip

Bar: TypeAlias = Any  # a row of BAR


class Scratch(NamedTuple):
    """Buffers for the tables of one put."""

    bars: Records  # (bars,) of BAR
    order: Integers  # (bars,)
    touches: Integers  # (bars,)
    record_draw: Reals  # (bars,)
    record_touch: Integers  # (bars,)
    filling: Integers  # (draws,)
    held: Integers  # (holds,)
    level: Reals  # (targets,) limit price of each
    first: Reals  # (bars,) the opens of bars that touch, on their ticks or the next above


class SettleRules(NamedTuple):
    """How a leg that was not bought back settles; the last two are true under v5.

    v5 books missing data as full profit, and a call at its strike as called away.
    """

    is_call: bool
    missing_close_is_worthless: bool
    called_away_at_strike: bool


@njit_lean
def market_price(rows: Records, r: int, penalty: float, spread_pct: float, mode: int) -> float:
    """Dollars per share for buying back at the market on row r, before its tick.

    Args:
        rows: of ROW.
        r: a bar, or a quote that serves as one.
        penalty: of the entry's tier.
        spread_pct: at entry, a fraction of the mid.
        mode: FillMode.
    """
    f = concession(mode)
    if rows.is_quote[r]:
        bid, ask = rows.bid[r], rows.ask[r]
        if mode == NATURAL:
            return ask
        return (
            rows.close[r]
            if mode == OPTIMISTIC
            else min(ask, rows.close[r] + f * (ask - bid) * penalty)
        )
    spread = (rows.high[r] - rows.low[r]) * penalty
    if mode == NATURAL:
        return rows.close[r] * (1.0 + spread_pct / 2.0)
    if mode == OPTIMISTIC:
        return max(rows.low[r], rows.close[r] - 0.25 * spread)
    return min(rows.high[r], rows.close[r] + f * spread)


@njit_lean
def stop_fill(
    opened: float, high: float, low: float, stop: float, penalty: float, mode: int
) -> float:
    """Dollars per share for a stop that triggers on a bar, before its tick.

    A gap over the stop is paid in full: the bar's open, if that is above the stop.

    Args:
        opened: the bar's open.
        high: of the bar.
        low: of the bar.
        stop: level.
        penalty: of the entry's tier.
        mode: FillMode.
    """
    return min(high, max(opened, stop) + concession(mode) * ((high - low) * penalty))


@njit_lean
def target_fill(opened: float, target: float, touches: int) -> float:
    """Dollars per share for a target that fills on a bar.

    Better than its limit only on the first touch: an order that was missed is not rewarded.

    Args:
        opened: the bar's open, on its tick.
        target: limit, on its tick.
        touches: so far, this one included.
    """
    return min(opened, target) if touches == 1 else target


@njit_lean
def settle(
    close: float, strike_cents: int, settlement_number: int, last_bar: int, rules: SettleRules
) -> int:
    """The exit reason of a leg that was not bought back, by its settlement session's close.

    Args:
        close: of the underlying, dollars; NaN: none.
        strike_cents: strike.
        settlement_number: session.
        last_bar: the underlying's last session with a bar.
        rules: of puts or calls.
    """
    if np.isnan(close):
        if rules.missing_close_is_worthless:
            return EXPIRED_WORTHLESS
        return OPEN if settlement_number > last_bar else NO_DATA
    cents = np.int64(np.rint(close * 100.0))
    if not rules.is_call:
        return ASSIGNED if cents < strike_cents else EXPIRED_WORTHLESS
    away = cents > strike_cents or (rules.called_away_at_strike and cents == strike_cents)
    return CALLED_AWAY if away else EXPIRED_WORTHLESS


class SelfEnd(NamedTuple):
    """How an option ends if no exit rule ends it; the names are those of Put."""

    settled: int
    end: int
    paid: float


@njit_inlined
def self_end(
    slice_: Slice, quote: Quote, number: int, penalty: float, common: CommonRules, is_call: bool
) -> SelfEnd:
    """How an option that was sold ends if no exit rule ends it: settled, or on the eve of an event.

    Args:
        slice_: the underlying.
        quote: at which it was sold.
        number: session of the sale.
        penalty: of its tier.
        common: at what prices it is bought back.
        is_call: else a put.
    """
    where, underlying = slice_.contracts[quote.contract], slice_.underlying
    settlement = where.settlement
    barrier = barrier_between(slice_.events, number, settlement)
    if barrier < 0:
        close, last_bar = underlying.close[settlement], underlying.last_bar[settlement]
        rules = SettleRules(is_call, common.v5, common.v5)
        reason = settle(close, where.strike_cents, settlement, last_bar, rules)
        return SelfEnd(reason, settlement, 0.0)
    eve = slice_.events[barrier].number - 1
    if slice_.events[barrier].kind == SUSPECTED:
        return SelfEnd(SUSPECTED_SPLIT, eve, np.nan)
    if where.eve_row < 0:
        return SelfEnd(CORPORATE_ACTION, eve, np.nan)
    price = market_price(slice_.rows, where.eve_row, penalty, quote.spread_pct, common.mode)
    return SelfEnd(CORPORATE_ACTION, eve, tick_up(price, common.ticks))


@njit_inlined
def is_resolved(reason: int, price: float) -> bool:
    """Whether a leg that ended so, at this price, has an exit."""
    return reason != OPEN and reason != NO_DATA and price == price


@njit_inlined
def is_bought_back(reason: int) -> bool:
    """Whether an exit that has a price buys the option back."""
    return reason < EXPIRED_WORTHLESS or reason == CORPORATE_ACTION


@njit_inlined
def lay_bars(
    slice_: Slice,
    quote: Quote,
    number: int,
    penalty: float,
    common: CommonRules,
    censored: bool,
    out: Records,
) -> None:
    """Write the bars of an option that was sold, from the next session to its settlement.

    Args:
        slice_: the underlying.
        quote: at which it was sold.
        number: session of the sale.
        penalty: of its tier.
        common: at what prices it is bought back.
        censored: whether the wheel is left out of the summary.
        out: (bars,) of BAR, written.
    """
    rows, day = slice_.rows, slice_.underlying.day
    expiration = slice_.contracts[quote.contract].expiration_day
    fees = 2.0 * order_fee(common, 1)
    for bar in range(quote.last - quote.first):
        r, at = quote.first + bar, out[bar]
        here = rows[r].number
        at.open, at.high, at.low = rows[r].open, rows[r].high, rows[r].low
        at.number = here
        at.at_market = rows[r].is_quote or not common.trigger
        if at.at_market:
            price = market_price(rows, r, penalty, quote.spread_pct, common.mode)
            at.market = tick_up(price, common.ticks)
        at.fees = fees
        at.left = expiration - day[here]
        days = 0 if censored else day[here] - day[number]
        at.sums = packed_days(days, here - number - (bar + 1), censored)


@njit_lean
def lay_fees(events: Records, number: int, count: int, common: CommonRules, out: Records) -> None:
    """Write the fees of both orders of a put on its bars, where a split multiplies the contracts.

    Args:
        events: of slices.EVENT.
        number: session of the sale.
        count: how many of `out` are its bars.
        common: has the costs of an order.
        out: (bars,) of BAR.
    """
    for bar in range(count):
        contracts = shares_between(events, number, out[bar].number)
        out[bar].fees = order_fee(common, 1) + order_fee(common, contracts)


@njit_lean
def lay_markets(
    rows: Records, quote: Quote, penalty: float, common: CommonRules, out: Records
) -> None:
    """Write the market price of buying back on every bar, which only a hold needs.

    Args:
        rows: of the path.
        quote: of the option sold.
        penalty: of its tier.
        common: of prices.
        out: of BAR, whose `market` is written, dollars per share.
    """
    for bar in range(quote.last - quote.first):
        price = market_price(rows, quote.first + bar, penalty, quote.spread_pct, common.mode)
        out[bar].market = tick_up(price, common.ticks)


@njit_inlined
def stop_cost(bar: Bar, stop: float, penalty: float, common: CommonRules) -> float:
    """Dollars per share for a stop that triggers on a bar, on its tick."""
    cost = tick_up(stop_fill(bar.open, bar.high, bar.low, stop, penalty, common.mode), common.ticks)
    return bar.market if bar.at_market else cost


@njit_inlined
def target_cost(bar: Bar, target: float, touches: int, common: CommonRules) -> float:
    """Dollars per share for a target that fills on a bar, on its tick."""
    cost = target_fill(tick_up(bar.open, common.ticks), target, touches)
    return bar.market if bar.at_market else cost


@njit_inlined
def stop_level(price: float, multiplier: float, common: CommonRules) -> float:
    """The level of the stop of an option sold at `price`, rounded up; NaN: no stop."""
    return tick_up(price * multiplier, common.ticks)


@njit_inlined
def target_level(price: float, exit_pct: float, common: CommonRules) -> float:
    """The limit of the target of an option sold at `price`, rounded down."""
    return tick_down(price * exit_pct, common.ticks)


class Walked(NamedTuple):
    """The bar that ended a leg; reason -1 and bar `count` if none did."""

    reason: int
    bar: int
    price: float  # dollars per share paid to buy it back
    touches: int
    u: float  # the last draw, NaN if there was none


class Levels(NamedTuple):
    """Stop, target and hold of a leg; dollars per share. A NaN stop and a hold of -1 are none."""

    stop: float
    target: float
    hold: int
    penalty: float


@njit_inlined
def walk(
    bars: Records,
    count: int,
    levels: Levels,
    common: CommonRules,
    rule: DrawRules,
    chance: float,
    cached: Drawn,
    at: int,
    word: np.uint64,
    phase: int,
) -> Walked:
    """Find the exit of one leg bar by bar: on a bar the stop goes first, then target, then hold.

    Args:
        bars: of BAR.
        count: how many of `bars` are the leg's.
        levels: of its stop, target and hold.
        common: at what prices it is bought back.
        rule: `probabilistic` and `seed` of the draws.
        chance: that a touch of the target fills.
        cached: draws made before.
        at: the leg's index in `cached`.
        word: names the wheel to the draws.
        phase: 0 the put, n the n-th call.
    """
    touches, u = 0, np.nan
    stop, target = levels.stop * (1.0 - common.slack), levels.target * (1.0 + common.slack)
    for b in range(count):
        bar = bars[b]
        if bar.high >= stop:  # never true of a NaN stop
            return Walked(
                STOP_LOSS, b, stop_cost(bar, levels.stop, levels.penalty, common), touches, u
            )
        if bar.low <= target:
            touches += 1
            if rule.probabilistic:
                u = drawn(cached, at, rule.seed, word, phase, touches - 1)
            if not rule.probabilistic or u <= chance:
                price = target_cost(bar, levels.target, touches, common)
                return Walked(PROFIT_TARGET, b, price, touches, u)
        if bar.left <= levels.hold:
            return Walked(MAX_HOLD_DTE, b, bar.market, touches, u)
    return Walked(-1, count, 0.0, touches, u)


@njit_inlined
def write_end(
    out: Records,
    i: int,
    time: int,
    pnl: float,
    reason: int,
    sums: np.uint64,
    until: int,
    censored: bool,
) -> None:
    """Write end i of a table.

    Args:
        out: of EXIT.
        i: which.
        time: 2 * bar for a stop, 2 * bar + 1 for a target or hold, else SETTLED.
        pnl: dollars per contract.
        reason: ExitReason.
        sums: packed days and sessions without a bar.
        until: the last session on which the wheel occupies its underlying.
        censored: left out of the summary.
    """
    end = out[i]
    end.time, end.pnl = time, pnl
    end.sums, end.until = sums, until
    end.reasons = packed_reason(reason, np.nan if censored else pnl)


@njit_lean
def mark_ends(slice_: Slice, put: Put, n: int, out: Records) -> None:
    """Mark the ends of a put that passed a corporate event, or ended because of one.

    Args:
        slice_: the underlying.
        put: that was sold.
        n: ends.
        out: (n,) of EXIT, of which `reasons` are updated.
    """
    for i in range(n):
        end = out[i]
        if end.time == NEVER:
            continue
        known = packed_pnl(np.nan if put.censored else end.pnl)
        stopped = end.time == SETTLED and put.settled >= CORPORATE_ACTION
        if stopped and put.settled == SUSPECTED_SPLIT:
            end.reasons = SUSPECTED_MARK
        elif stopped:
            end.reasons = known + (BOUGHT_MARK if put.paid == put.paid else STRANDED_MARK)
        last = put.end if end.time == SETTLED else end.until
        if known != NONE and passes_any(slice_.events, put.number, last):
            end.reasons += PASSED_MARK


@njit_inlined
def stop_ends(put: Put, common: CommonRules, stops: Reals, bars: Records, out: Records) -> None:
    """Write how each stop ends the put; `time` NEVER if none of its bars stops.

    Stops ascend, so that the first bar to reach one is not before the last one's.

    Args:
        put: that was sold.
        common: at what prices it is bought back.
        stops: (stops,) multipliers of the premium, ascending, NaN last.
        bars: of BAR.
        out: (stops,) of EXIT, written.
    """
    count, bar = put.last - put.first, 0
    for i in range(stops.size):
        if bar == count:  # none reached the last one
            out[i].time = NEVER
            continue
        level = stop_level(put.price, stops[i], common)
        reached = level * (1.0 - common.slack)
        while bar < count and not bars[bar].high >= reached:  # never reached by a NaN
            bar += 1
        if bar == count:
            out[i].time = NEVER
            continue
        at = bars[bar]
        price = stop_cost(at, level, put.penalty, common)
        under = price < level * (1.0 - ROUNDING)
        pnl = put.premium - price * 100.0 - at.fees
        write_end(
            out,
            i,
            2 * bar,
            pnl,
            STOP_LOSS,
            at.sums + (STOP_INSIDE if under else NONE),
            at.number,
            put.censored,
        )


@njit_inlined
def touches_at(bars: Records, count: int, level: float, out: Integers) -> int:
    """Write the bars whose low is at or below a level, in order; their number."""
    touches = 0
    for bar in range(count):
        out[touches] = bar
        touches += bars[bar].low <= level
    return touches


@njit_lean
def by_low(bars: Records, touching: Integers, count: int, out: Integers) -> None:
    """Write the first `count` of `touching`, lowest low first.

    From the last bar on: an option that was sold loses value, so that they are nearly in order.
    """
    for i in range(count):
        bar, k = touching[count - 1 - i], i
        low = bars[bar].low
        while k > 0 and bars[out[k - 1]].low > low:
            out[k] = out[k - 1]
            k -= 1
        out[k] = bar


@njit_lean
def add_touch(bar: int, touches: int, out: Integers) -> None:
    """Insert a bar in order among the first `touches` of `out`, the latest first."""
    k = touches
    while k > 0 and out[k - 1] < bar:
        out[k] = out[k - 1]
        k -= 1
    out[k] = bar


@njit_inlined
def filling_touches(
    word: np.uint64, put: Put, common: CommonRules, draws: Records, most: int, workspace: Scratch
) -> None:
    """Write which touch of the put's target fills under each draw rule.

    Counted from 0; `most` if none of that many does. The first draw not above a chance is always
    lower than all before it, and such record lows are few: counting those above the chance takes no
    branch that depends on it.

    Args:
        word: names the wheel to the draws.
        put: that was sold.
        common: has the thresholds of rank.
        draws: (draws,) of DRAW, equal seeds side by side.
        most: touches of the highest target.
        workspace: `filling` is written.
    """
    records, seen = 0, 0
    lowest, seed = np.inf, np.uint64(0)
    for q in range(draws.size):
        rule = draws[q]
        if not rule.probabilistic:
            workspace.filling[q] = 0
            continue
        if q == 0 or rule.seed != seed:
            records, seen = 0, 0
            lowest, seed = np.inf, rule.seed
        chance = fill_probability(put.spread_pct, put.ivp, common, rule)
        while lowest > chance and seen < most:
            u = draw(seed, word, 0, seen)
            if u < lowest:
                workspace.record_draw[records], workspace.record_touch[records] = u, seen
                records, lowest = records + 1, u
            seen += 1
        above = 0
        for k in range(records):
            above += workspace.record_draw[k] > chance
        workspace.filling[q] = workspace.record_touch[above] if above < records else most


@njit_inlined
def first_bar_held(bars: Records, count: int, max_hold_dte: int) -> int:
    """The first bar with at most so many days to the expiration; NEVER if there is none."""
    for bar in range(count):
        if bars[bar].left <= max_hold_dte:
            return bar
    return NEVER


@njit_inlined
def lay_settlement(slice_: Slice, put: Put, common: CommonRules, out: Records) -> None:
    """Write the end of a put that no exit rule ends as one more bar.

    It is settled there at no cost, or bought back; what follows an assignment is added later.

    Args:
        slice_: the underlying.
        put: that was sold.
        common: has the costs of an order.
        out: (bars + 1,) of BAR.
    """
    known = is_resolved(put.settled, put.paid)
    at = out[put.last - put.first]
    at.number, at.market, at.at_market = put.end if known else put.settlement, put.paid, True
    at.fees = order_fee(common, 1) if known else np.nan
    if put.settled == CORPORATE_ACTION:
        at.fees += order_fee(common, shares_between(slice_.events, put.number, put.end))
    counted, day = known and not put.censored, slice_.underlying.day
    days = day[put.end] - day[put.number] if counted else 0
    missing = put.end - put.number - (put.last - put.first) if known else 0
    at.sums = packed_days(days, missing, put.censored)


@njit_inlined
def lay_levels(price: float, targets: Reals, ticks: float, out: Reals) -> None:
    """Write the limit price of each target, as `target_level` returns it.

    A loop that does only this, because LLVM then vectorizes its divisions.
    """
    for i in range(targets.size):
        out[i] = tick_down(price * targets[i], ticks)


@njit_inlined
def lay_firsts(
    bars: Records, touching: Integers, count: int, level: float, ticks: float, out: Reals
) -> None:
    """Write the opens of the bars that touch targets up to `level`, on their ticks.

    A target is on a tick, and an open at `level` or above costs no less than the target, on its
    tick or not: it needs no division.

    Args:
        bars: of BAR.
        touching: (count,) bars that touch the lowest target or a higher one.
        count: how many.
        level: the highest target, dollars per share.
        ticks: to the dollar; 0: prices stay as they are.
        out: (bars,) dollars per share, written where a bar touches.
    """
    for i in range(count):
        first = bars[touching[i]].open
        out[touching[i]] = tick_up(first, ticks) if first < level else first


@njit_inlined
def rest_ends(
    slice_: Slice, put: Put, common: CommonRules, block: Block, workspace: Scratch, out: Records
) -> None:
    """Write how each rest (target, draw and hold) ends the put if no stop does before.

    Args:
        slice_: the underlying.
        put: that was sold; its bars are in `workspace`.
        common: at what prices it is bought back.
        block: the rests.
        workspace: buffers.
        out: (rests,) of EXIT, written.
    """
    bars, count = workspace.bars, put.last - put.first
    for h in range(block.hold.size):
        workspace.held[h] = (
            first_bar_held(bars, count, block.hold[h]) if block.hold[h] >= 0 else NEVER
        )
    few, wider = block.target.size <= FEW_TARGETS, 1.0 + common.slack
    lay_levels(put.price, block.target, common.ticks, workspace.level)
    highest = workspace.level[block.target.size - 1]
    most = touches_at(bars, count, highest * wider, workspace.touches)
    lay_firsts(bars, workspace.touches, most, highest, common.ticks, workspace.first)
    if not few:
        by_low(bars, workspace.touches, most, workspace.order)
    filling_touches(slice_.puts[put.row].word, put, common, block.draw, most, workspace)
    lay_settlement(slice_, put, common, bars)
    settled = min(put.settled, NO_DATA)
    target, touches, added = -1, 0, 0
    level, reached = np.nan, np.nan
    for i in range(block.rest_target.size):
        if block.rest_target[i] != target:
            target = block.rest_target[i]
            level = workspace.level[target]
            reached = level * wider
            if few:
                touches = touches_at(bars, count, reached, workspace.touches)
            while not few and added < most and bars[workspace.order[added]].low <= reached:
                add_touch(workspace.order[added], added, workspace.touches)
                added += 1
                touches = added
        filling, held = workspace.filling[block.rest_draw[i]], workspace.held[block.rest_hold[i]]
        place = filling if few else touches - 1 - filling
        filled = workspace.touches[place] if filling < touches else NEVER
        end = min(filled, held, count)
        at = bars[end]
        at_target = filled == end
        market, fill = at.market, target_fill(workspace.first[end], level, filling + 1)
        price = fill if at_target and not at.at_market else market
        above = at_target and price > level * (1.0 + ROUNDING)
        # no field is for the codes of events: `mark_ends` writes theirs
        reason = settled if end == count else PROFIT_TARGET if at_target else MAX_HOLD_DTE
        time = SETTLED if end == count else 2 * end + 1
        pnl = put.premium - price * 100.0 - at.fees
        write_end(
            out,
            i,
            time,
            pnl,
            reason,
            at.sums + (TARGET_ABOVE if above else NONE),
            at.number,
            put.censored,
        )
