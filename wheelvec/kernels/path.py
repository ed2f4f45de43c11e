"""Walk each short option from the session after its sale to its exit or settlement (rules.md, sections 4 to 6)."""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.compiled import lean
from wheelvec.kernels.draws import draw
from wheelvec.kernels.quote import NATURAL, OPTIMISTIC, concession
from wheelvec.kernels.threads import over_blocks
from wheelvec.spec.codes import ExitReason

STOP_LOSS, PROFIT_TARGET = int(ExitReason.STOP_LOSS), int(ExitReason.PROFIT_TARGET)
MAX_HOLD_DTE, EXPIRED_WORTHLESS = int(ExitReason.MAX_HOLD_DTE), int(ExitReason.EXPIRED_WORTHLESS)
ASSIGNED, CALLED_AWAY = int(ExitReason.ASSIGNED), int(ExitReason.CALLED_AWAY)
OPEN, NO_DATA = int(ExitReason.OPEN), int(ExitReason.NO_DATA)


class Rows(NamedTuple):
    """What contracts traded at: (n,) each, sorted by contract and session. Where a quote stands for a bar
    (`is_quote`), its four prices are the mid; bid and ask are read only there."""

    number: np.ndarray  # session number
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    is_quote: np.ndarray


class Legs(NamedTuple):
    """Short options, (n,) each: where they stand in `Rows`, and how they were sold."""

    first_row: np.ndarray
    last_row: np.ndarray  # one past the contract's last
    entry_number: np.ndarray
    settlement_number: np.ndarray
    expiration_day: np.ndarray  # days since 1970-01-01
    strike_cents: np.ndarray
    price: np.ndarray  # dollars per share
    spread_pct: np.ndarray
    penalty: np.ndarray
    p_fill: np.ndarray
    word: np.ndarray  # uint64, names the wheel to the draws
    phase: np.ndarray


class Underlying(NamedTuple):
    """Closes by session number (NaN where there is none), the day of each session, the number of the last bar."""

    close: np.ndarray
    day: np.ndarray
    last_bar: int


class ExitRules(NamedTuple):
    """How a leg may end. NaN and -1 switch a stop and `max_hold_dte` off."""

    is_call: bool
    exit_pct: float
    stop_multiplier: float
    max_hold_dte: int
    mode: int
    trigger: bool
    probabilistic: bool
    missing_close_is_worthless: bool  # v5: data that were missing were booked as full profit
    called_away_at_strike: bool  # v5


class Outcomes(NamedTuple):
    """What a walk writes, (n,) each; prices in dollars per share, NaN where there is none."""

    reason: np.ndarray
    exit_number: np.ndarray
    exit_price: np.ndarray
    touches: np.ndarray
    u: np.ndarray
    without_bar: np.ndarray
    settlement_close: np.ndarray
    mark: np.ndarray  # last close on or before the underlying's last bar


@lean
def market_price(rows, r, penalty, spread_pct, mode):  # type: ignore[no-untyped-def]
    """What buying back at the market costs on row r."""
    f = concession(mode)
    if rows.is_quote[r]:
        bid, ask = rows.bid[r], rows.ask[r]
        if mode == NATURAL:
            return ask
        return rows.close[r] if mode == OPTIMISTIC else min(ask, rows.close[r] + f * (ask - bid) * penalty)
    spread = (rows.high[r] - rows.low[r]) * penalty
    if mode == NATURAL:
        return rows.close[r] * (1.0 + spread_pct / 2.0)
    if mode == OPTIMISTIC:
        return max(rows.low[r], rows.close[r] - 0.25 * spread)
    return min(rows.high[r], rows.close[r] + f * spread)


@lean
def stop_fill(first, high, low, stop, penalty, mode):  # type: ignore[no-untyped-def]
    """What a stop costs on a bar that opened at `first`."""
    return min(high, max(first, stop) + concession(mode) * ((high - low) * penalty))


@lean
def target_fill(first, target, touches):  # type: ignore[no-untyped-def]
    """What a filled target costs on a bar that opened at `first`."""
    return min(first, target) if touches == 1 else target


@lean
def stop_price(rows, r, stop, penalty, spread_pct, rules):  # type: ignore[no-untyped-def]
    """What a stop that row r triggers costs: a gap through it is paid in full."""
    if rows.is_quote[r] or not rules.trigger:
        return market_price(rows, r, penalty, spread_pct, rules.mode)
    return stop_fill(rows.open[r], rows.high[r], rows.low[r], stop, penalty, rules.mode)


@lean
def target_price(rows, r, target, touches, penalty, spread_pct, rules):  # type: ignore[no-untyped-def]
    """What a filled target costs: better than its limit only on its first touch; a missed order is not rewarded."""
    if rows.is_quote[r] or not rules.trigger:
        return market_price(rows, r, penalty, spread_pct, rules.mode)
    return target_fill(rows.open[r], target, touches)


@lean
def settle(close, strike_cents, settlement_number, last_bar, rules):  # type: ignore[no-untyped-def]
    """How a leg that was not bought back ends at its settlement session's close."""
    if np.isnan(close):
        if rules.missing_close_is_worthless:
            return EXPIRED_WORTHLESS
        return OPEN if settlement_number > last_bar else NO_DATA
    cents = np.int64(np.rint(close * 100.0))
    if not rules.is_call:
        return ASSIGNED if cents < strike_cents else EXPIRED_WORTHLESS
    away = cents > strike_cents or (rules.called_away_at_strike and cents == strike_cents)
    return CALLED_AWAY if away else EXPIRED_WORTHLESS


@lean
def walk_leg(legs, i, rows, underlying, rules, seed, out):  # type: ignore[no-untyped-def]
    """Walk leg i and write its outcome."""
    price, penalty, spread_pct = legs.price[i], legs.penalty[i], legs.spread_pct[i]
    entry, settlement = legs.entry_number[i], legs.settlement_number[i]
    stop, target = price * rules.stop_multiplier, price * rules.exit_pct
    reason, exit_number, exit_price = -1, settlement, 0.0
    touches, seen, u, mark = 0, 0, np.nan, np.nan
    for r in range(legs.first_row[i], legs.last_row[i]):
        number = rows.number[r]
        if number > settlement:
            break
        if number <= underlying.last_bar:
            mark = rows.close[r]
        if number <= entry:
            continue
        seen += 1
        if rows.high[r] >= stop:  # never true of a NaN stop
            reason, exit_price = STOP_LOSS, stop_price(rows, r, stop, penalty, spread_pct, rules)
        elif rows.low[r] <= target:
            touches += 1
            if rules.probabilistic:
                u = draw(seed, legs.word[i], legs.phase[i], touches - 1)
            if not rules.probabilistic or u <= legs.p_fill[i]:
                reason = PROFIT_TARGET
                exit_price = target_price(rows, r, target, touches, penalty, spread_pct, rules)
        if reason < 0 and legs.expiration_day[i] - underlying.day[number] <= rules.max_hold_dte:
            reason, exit_price = MAX_HOLD_DTE, market_price(rows, r, penalty, spread_pct, rules.mode)
        if reason >= 0:
            exit_number = number
            break
    out.settlement_close[i] = np.nan
    if reason < 0:
        out.settlement_close[i] = underlying.close[settlement]
        reason = settle(underlying.close[settlement], legs.strike_cents[i], settlement, underlying.last_bar, rules)
    out.reason[i], out.exit_number[i], out.exit_price[i] = reason, exit_number, exit_price
    out.touches[i], out.u[i], out.mark[i] = touches, u, mark
    out.without_bar[i] = exit_number - entry - seen


@lean
def walk_block(legs, rows, underlying, rules, seed, out):  # type: ignore[no-untyped-def]
    """Walk every leg: (n,) `Legs` in, (n,) `Outcomes` written; `seed` is uint64."""
    for i in range(legs.price.size):
        walk_leg(legs, i, rows, underlying, rules, seed, out)


def walk_legs(legs: Legs, rows: Rows, underlying: Underlying, rules: ExitRules, seed: np.uint64, out: Outcomes) -> None:
    """`walk_block` over blocks of legs, on several threads."""

    def walk(block: slice) -> None:
        walk_block(Legs(*[a[block] for a in legs]), rows, underlying, rules, seed, Outcomes(*[a[block] for a in out]))

    over_blocks(legs.price.size, walk)
