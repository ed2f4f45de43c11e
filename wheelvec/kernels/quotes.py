"""Rank, tier, penalty, entry price and fill probability of a quote (rules.md, 3 to 5).

Puts and calls go through the same compiled functions.
"""

from typing import Any, NamedTuple

import numpy as np

from wheelvec.jit.arrays import Codes, Flags, Integers, Reals
from wheelvec.jit.compiled import njit_lean
from wheelvec.kernels.parameters import CommonRules, DrawRules
from wheelvec.model.codes import FillMode, Select, Tier

TIGHT, MODERATE = int(Tier.TIGHT), int(Tier.MODERATE)
WIDE, REJECTED = int(Tier.WIDE), int(Tier.REJECTED)
OPTIMISTIC, PESSIMISTIC = int(FillMode.OPTIMISTIC), int(FillMode.PESSIMISTIC)
NATURAL = int(FillMode.NATURAL)
CLOSEST_DELTA, HIGHEST_PREMIUM = int(Select.CLOSEST_DELTA), int(Select.HIGHEST_PREMIUM)
CLOSEST_OTM, CLOSEST_PREMIUM = int(Select.CLOSEST_OTM), int(Select.CLOSEST_PREMIUM)
TICK_SLACK = 1e-6  # of a tick: a price that is computed lies on its tick but for rounding


class Quotes(NamedTuple):
    """Rows of a chain, (n,) each, in candidate order within a session; dollars per share."""

    strike: Reals
    bid: Reals
    ask: Reals
    mid: Reals
    spread_pct: Reals
    dte: Integers
    iv: Reals
    delta: Reals
    otm: Reals  # out of the money by this share of the underlying's price
    chain_rank: Reals  # ivp over the whole chain; read only where the rules rank over it


class Grades(NamedTuple):
    """Rank, tier code and choice of each row: (n,) each."""

    ivp: Reals
    tier: Codes
    chosen: Flags


@njit_lean
def rank_percentiles(values: Reals, out: Reals) -> None:
    """Write the average-rank percentile in (0, 1] of each of (n,) values.

    Equal doubles share their mean rank. Counting all pairs needs no memory and is vectorized: up to
    a thousand values it is faster than sorting.
    """
    n = values.size
    for i in range(n):
        value, below, equal = values[i], 0, 0
        for k in range(n):
            below += values[k] < value
            equal += values[k] == value
        out[i] = ((below + below + equal - 1) / 2.0 + 1.0) / n


def empty_quotes(n: int) -> Quotes:
    """A buffer for n rows, not initialised."""
    kinds: dict[str, Any] = {"dte": np.int64}
    return Quotes(**{name: np.empty(n, kinds.get(name, np.float64)) for name in Quotes._fields})


@njit_lean
def allowed_spread(ivp: float, dte: int, limits: CommonRules) -> float:
    """The spread, as a fraction of the mid, that counts as normal at this rank and dte."""
    allowed = limits.base_spread
    if ivp >= limits.extreme_threshold:
        allowed = limits.extreme_spread
    elif ivp >= limits.high_threshold:
        allowed = limits.high_spread
    if dte <= limits.short_dte:
        allowed += limits.short_dte_extra
    return allowed


@njit_lean
def tier_of(spread_pct: float, bid: float, ivp: float, dte: int, limits: CommonRules) -> int:
    """Liquidity tier; REJECTED if the spread is over the hard maximum or the bid too low.

    Args:
        spread_pct: a fraction of the mid.
        bid: dollars per share.
        ivp: rank in (0, 1].
        dte: calendar days.
        limits: of liquidity.
    """
    if spread_pct > limits.hard_max_spread or bid < limits.min_bid or bid <= 0.0:
        return REJECTED
    allowed = allowed_spread(ivp, dte, limits)
    if spread_pct <= 0.6 * allowed:
        return TIGHT
    return MODERATE if spread_pct <= allowed else WIDE


@njit_lean
def penalty_of(tier: int) -> float:
    """The factor by which a tier's spread is taken to be wider than it was quoted."""
    if tier == TIGHT:
        return 1.0
    return 1.15 if tier == MODERATE else 1.35


@njit_lean
def concession(mode: int) -> float:
    """The share f of a spread or range by which a fill is worse than the mid or close."""
    if mode == OPTIMISTIC:
        return 0.0
    return 0.75 if mode == PESSIMISTIC else 0.30


@njit_lean
def tick_down(price: float, ticks: float) -> float:
    """The price rounded down to its tick: of what is sold, and of a target's limit.

    Args:
        price: dollars per share.
        ticks: a dollar; 0: the price stays as computed.
    """
    return np.floor(price * ticks + TICK_SLACK) / ticks if ticks > 0.0 else price


@njit_lean
def tick_up(price: float, ticks: float) -> float:
    """The price rounded up to its tick: of what is bought, and of a stop's level.

    Args:
        price: dollars per share.
        ticks: a dollar; 0: the price stays as computed.
    """
    return np.ceil(price * ticks - TICK_SLACK) / ticks if ticks > 0.0 else price


@njit_lean
def entry_price(
    bid: float, ask: float, mid: float, penalty: float, mode: int, ticks: float
) -> float:
    """Dollars per share received for selling at this quote, on its tick.

    Args:
        bid: dollars per share.
        ask: dollars per share.
        mid: dollars per share.
        penalty: of the tier.
        mode: FillMode.
        ticks: to the dollar; 0: prices stay as they are.
    """
    if mode == NATURAL:
        return tick_down(bid, ticks)
    return tick_down(max(bid, min(ask, mid - concession(mode) * (ask - bid) * penalty)), ticks)


@njit_lean
def fill_probability(spread_pct: float, ivp: float, limits: CommonRules, odds: DrawRules) -> float:
    """The chance that a touch of the profit target fills.

    Args:
        spread_pct: at entry, a fraction of the mid.
        ivp: rank at entry, in (0, 1].
        limits: has the thresholds of rank.
        odds: of each width of spread, and how a high rank lowers them.
    """
    p = odds.wide
    if spread_pct <= odds.tight_spread:
        p = odds.tight
    elif spread_pct <= odds.normal_spread:
        p = odds.normal
    p *= odds.scale
    if ivp >= limits.extreme_threshold:
        p *= odds.extreme_mult
    elif ivp >= limits.high_threshold:
        p *= odds.high_mult
    return max(odds.lowest, min(odds.highest, p))


@njit_lean
def grade(quotes: Quotes, rank_over_chain: bool, limits: CommonRules, out: Grades) -> None:
    """Rank one population of quotes, and write its ranks and tiers.

    Args:
        quotes: (n,) the population; rows that are rejected were ranked with the others.
        rank_over_chain: take the ranks over the whole chain instead.
        limits: of liquidity, and how an order is filled.
        out: (n,) `ivp` and `tier` are written.
    """
    n = quotes.iv.size
    if rank_over_chain:
        for i in range(n):
            out.ivp[i] = quotes.chain_rank[i]
    elif n < limits.min_ranked:
        out.ivp[:] = 0.5
    else:
        rank_percentiles(quotes.iv, out.ivp)
    for i in range(n):
        out.tier[i] = tier_of(
            quotes.spread_pct[i], quotes.bid[i], out.ivp[i], quotes.dte[i], limits
        )
        if quotes.bid[i] * limits.ticks < 1.0 and sells_for_nothing(quotes, i, out.tier[i], limits):
            out.tier[i] = REJECTED


@njit_lean
def sells_for_nothing(quotes: Quotes, i: int, tier: int, limits: CommonRules) -> bool:
    """Whether the price of row i, rounded down to its tick, is 0."""
    return (
        entry_price(
            quotes.bid[i], quotes.ask[i], quotes.mid[i], penalty_of(tier), limits.mode, limits.ticks
        )
        <= 0.0
    )


@njit_lean
def merit(quotes: Quotes, i: int, select: int, target: float) -> float:
    """The number that `select` maximises, of row i."""
    if select == CLOSEST_DELTA:
        return -abs(quotes.delta[i] - target)
    if select == CLOSEST_OTM:
        return -abs(quotes.otm[i] - target)
    if select == CLOSEST_PREMIUM:
        return -abs(quotes.mid[i] - target)
    return quotes.mid[i] if select == HIGHEST_PREMIUM else quotes.strike[i]


@njit_lean
def best_of(quotes: Quotes, eligible: Flags, select: int, target: float) -> int:
    """The eligible row that `select` prefers, of equals the first; -1 if none is eligible."""
    best = -1
    for i in range(eligible.size):
        if eligible[i] and (
            best < 0 or merit(quotes, i, select, target) > merit(quotes, best, select, target)
        ):
            best = i
    return best


@njit_lean
def keep_nearest_expiration(dte: Integers, dte_target: int, chosen: Flags) -> None:
    """Unmark the chosen rows of other expirations than the one closest to `dte_target`.

    Of two at the same distance the nearer expiration stays.

    Args:
        dte: (n,) days to expiration.
        dte_target: days.
        chosen: (n,), updated.
    """
    nearest = -1
    for i in range(dte.size):
        if chosen[i] and (
            nearest < 0
            or abs(dte[i] - dte_target) < abs(nearest - dte_target)
            or (abs(dte[i] - dte_target) == abs(nearest - dte_target) and dte[i] < nearest)
        ):
            nearest = dte[i]
    for i in range(dte.size):
        chosen[i] = chosen[i] and dte[i] == nearest


@njit_lean
def rows_of(quotes: Quotes, first: int, last: int) -> Quotes:
    """Views of the rows first..last-1."""
    return Quotes(
        quotes.strike[first:last],
        quotes.bid[first:last],
        quotes.ask[first:last],
        quotes.mid[first:last],
        quotes.spread_pct[first:last],
        quotes.dte[first:last],
        quotes.iv[first:last],
        quotes.delta[first:last],
        quotes.otm[first:last],
        quotes.chain_rank[first:last],
    )


@njit_lean
def pick(quotes: Quotes, rows: Integers, n: int, out: Quotes) -> None:
    """Copy the first n of the rows given by index, all but their moneyness."""
    for i in range(n):
        r = rows[i]
        out.strike[i] = quotes.strike[r]
        out.bid[i] = quotes.bid[r]
        out.ask[i] = quotes.ask[r]
        out.mid[i] = quotes.mid[r]
        out.spread_pct[i] = quotes.spread_pct[r]
        out.dte[i] = quotes.dte[r]
        out.iv[i] = quotes.iv[r]
        out.delta[i] = quotes.delta[r]
        out.chain_rank[i] = quotes.chain_rank[r]


@njit_lean
def pick_otm(quotes: Quotes, rows: Integers, n: int, out: Quotes) -> None:
    """Copy the moneyness of the first n of the rows; only `closest_otm` reads it."""
    for i in range(n):
        out.otm[i] = quotes.otm[rows[i]]


@njit_lean
def choose_puts(
    quotes: Quotes,
    starts: Integers,
    rank_over_chain: bool,
    limits: CommonRules,
    dte_target: int,
    select: int,
    target: float,
    out: Grades,
) -> None:
    """Grade the puts in range session by session, and mark those that may be sold.

    Args:
        quotes: puts in range; session s holds the rows starts[s] .. starts[s + 1] - 1.
        starts: (sessions + 1,).
        rank_over_chain: whether `ivp` ranks the whole chain.
        limits: of liquidity.
        dte_target: days; -1: none.
        select: how one is chosen of a session; 0: all are.
        target: of `select`, in its unit.
        out: written, row by row.
    """
    for s in range(starts.size - 1):
        first, last = starts[s], starts[s + 1]
        group = rows_of(quotes, first, last)
        grades = Grades(out.ivp[first:last], out.tier[first:last], out.chosen[first:last])
        grade(group, rank_over_chain, limits, grades)
        for i in range(last - first):
            grades.chosen[i] = grades.tier[i] != REJECTED
        if dte_target >= 0:
            keep_nearest_expiration(group.dte, dte_target, grades.chosen)
        if select > 0:
            best = best_of(group, grades.chosen, select, target)
            for i in range(last - first):
                grades.chosen[i] = i == best
