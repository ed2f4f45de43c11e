"""The account of docs/portfolio.md: which wheels it takes, and marks of legs by session.

Sessions are numbered from 0, the schedule's first; -1 is none.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Integers, Reals, Records
from wheelvec.jit.compiled import njit

SLACK = 1e-9  # comparisons of the account

# Why a wheel is not taken, in the order of the tests; TAKEN otherwise.
TAKEN, TOO_SMALL, MAX_WHEELS, MAX_PER_UNDERLYING, MAX_SHARE, NO_CASH = range(6)

# A stretch of a leg between two corporate events, in which one contract stands for it.
STRETCH = np.dtype(
    [
        ("first", np.int64),  # session
        ("last", np.int64),  # session, included
        ("row", np.int64), ("rows", np.int64),  # of the contract's path
        ("factor", np.float64),  # contracts for one that was sold
        ("strike", np.float64),  # of the contract, dollars per share
    ],
    align=True,
)  # fmt: skip

# A row of the path of a contract, in dollars per share; NaN: none.
STEP = np.dtype(
    [("session", np.int64)] + [(name, np.float64) for name in ("bid", "ask", "close", "spot")]
)
LEG = np.dtype(
    [
        ("wheel", np.int64),
        ("instrument", np.int64),  # its underlying among those of all results
        ("is_call", np.bool_),
        ("contracts", np.float64),  # sold
        ("expiration_day", np.int64),
        ("iv", np.float64),  # at the sale
        ("sold", np.int64),  # session of the sale
        ("last", np.int64),  # the last session at whose close it is open
        ("frozen", np.int64),  # the last session on which its mark may change
        ("stretch", np.int64), ("stretches", np.int64),
        ("day", np.int64),  # its first row among the marks
    ],
    align=True,
)  # fmt: skip

# The mark of a leg at the close of a session, in dollars per share as sold.
MARK = np.dtype(
    [
        ("price", np.float64),
        ("spot", np.float64),  # of the quote that it is the mid of; NaN: of none of the session
        ("since", np.int64),  # the session that the mark is of
        ("factor", np.float64), ("strike", np.float64),  # of the contract on the session
    ],
    align=True,
)  # fmt: skip

# Shares, from the session on which they are bought up to the one before they leave.
SHARES = np.dtype(
    [
        ("wheel", np.int64), ("instrument", np.int64),
        ("bought", np.int64), ("last", np.int64),
        ("frozen", np.int64),  # the last session on which their value may change
        ("number", np.float64),  # bought
    ],
    align=True,
)  # fmt: skip

# Cash of a wheel: dollars of one; `kind` is what it is attributed to, `entry` its place in ENTRIES.
FLOW = np.dtype(
    [(name, np.int64) for name in ("wheel", "session", "kind", "entry")] + [("amount", np.float64)]
)
# An order, whose fee depends on its contracts; or an assignment, of a fixed fee.
ORDER = np.dtype(
    [("wheel", np.int64), ("session", np.int64), ("contracts", np.float64), ("fixed", np.float64)]
)
WHEEL = np.dtype(
    [
        ("entry", np.int64), ("end", np.int64),  # sessions; the end past all: never
        ("instrument", np.int64),
        ("group", np.int64),  # the underlying by its name at the sale of the put, of all results
        ("capital", np.float64), ("premium", np.float64),  # dollars of one
        ("base", np.float64), ("each", np.float64),  # commission of an order, of a contract
        ("minimum", np.float64), ("regulatory", np.float64),
        ("leg", np.int64), ("legs", np.int64),
        ("flow", np.int64), ("flows", np.int64),
        ("order", np.int64), ("orders", np.int64),
        ("shares", np.int64),  # row of its shares; -1: none
    ],
    align=True,
)  # fmt: skip

PUTS, CALLS, STOCK, DIVIDENDS, FEES = range(5)  # what cash and changes of value are attributed to


# Kinds of the entries of a ledger.
ENTRIES = (
    *("premium", "buy_back", "share_purchase", "share_sale", "notebook_adjustment"),
    *("dividend", "fees"),
)


class Book(NamedTuple):
    """What the wheels on offer are, for one contract each."""

    wheels: Records  # of WHEEL, by session of entry and order
    legs: Records  # of LEG, by wheel
    marks: Records  # of MARK, by leg and session
    flows: Records  # of FLOW, by wheel
    orders: Records  # of ORDER, by wheel
    shares: Records  # of SHARES
    ends: Integers  # (wheels,) the wheels by their ends
    worth: Reals  # (instruments, sessions) of what one share of the first session is by then
    grown: Reals  # (instruments, sessions) the number of these


class Limits(NamedTuple):
    """What an account can carry; no limit is infinite."""

    cash: float
    contracts: float  # 0: by `fraction`
    fraction: float
    wheels: float
    per_underlying: float
    share: float


class Kept(NamedTuple):
    """What an account was at the close of each session, (sessions,) each but for the last two."""

    cash: Reals
    collateral: Reals
    equity: Reals
    interest: Reals
    flows: Reals  # (5, sessions) cash by what it is attributed to
    owed: Reals  # (2, sessions) on puts and on calls
    shares: Reals  # value
    open_wheels: Integers
    open_legs: Integers  # (2, sessions) puts and calls, times how often they were taken
    mark_age: Integers
    taken: Integers  # (wheels,) how often
    reason: Integers  # (wheels,) TAKEN, or why not


def new_kept(sessions: int, wheels: int) -> Kept:
    """Zeros for so many sessions and wheels."""
    n, whole = sessions, np.int64
    return Kept(
        cash=np.zeros(n),
        collateral=np.zeros(n),
        equity=np.zeros(n),
        interest=np.zeros(n),
        flows=np.zeros((5, n)),
        owed=np.zeros((2, n)),
        shares=np.zeros(n),
        open_wheels=np.zeros(n, whole),
        open_legs=np.zeros((2, n), whole),
        mark_age=np.zeros(n, whole),
        taken=np.zeros(wheels, whole),
        reason=np.zeros(wheels, whole),
    )


@njit
def lay_marks(
    legs: Records,
    stretches: Records,
    path: Records,
    close: Reals,
    marks: Records,
) -> None:
    """Write the mark of each leg at the close of each session on which it is open.

    Args:
        legs: (legs,) of LEG.
        stretches: of STRETCH, by leg.
        path: of STEP, by contract and session.
        close: (instruments, sessions) of the underlying, dollars per share; NaN: none.
        marks: of MARK, filled.
    """
    for i in range(legs.size):
        leg = legs[i]
        sign = 1.0 if leg.is_call else -1.0
        at, price, since, inner, shown = leg.stretch, np.nan, leg.sold, 0.0, np.nan
        row = stretches[at].row
        for t in range(leg.sold, leg.last + 1):
            spot = np.nan
            if t <= leg.frozen:
                while t > stretches[at].last and at + 1 < leg.stretch + leg.stretches:
                    at += 1
                    row = stretches[at].row
                now = stretches[at]
                end = now.row + now.rows
                while row < end and path[row].session < t:
                    row += 1
                fresh = False
                if row < end and path[row].session == t:
                    mid = (path[row].bid + path[row].ask) / 2.0
                    if mid == mid:
                        price, spot, fresh = mid * now.factor, path[row].spot, True
                    elif t > leg.sold and path[row].close == path[row].close:
                        price, fresh = path[row].close * now.factor, True
                known = close[leg.instrument, t]
                if known == known:
                    inner = now.factor * max(0.0, sign * (known - now.strike))
                if fresh:
                    since, shown = t, price
                else:
                    shown = max(price, inner)
            mark = marks[leg.day + t - leg.sold]
            mark.price, mark.spot, mark.since = shown, spot, since
            mark.factor, mark.strike = stretches[at].factor, stretches[at].strike


@njit
def share_value(shares: Records, worth: Reals, grown: Reals, t: int) -> float:
    """The value of a wheel's shares at the close of a session, dollars."""
    at = min(t, shares.frozen)
    held = shares.number / grown[shares.instrument, shares.bought]
    return float(held * worth[shares.instrument, at])


@njit
def order_fee(wheel: Records, contracts: float) -> float:
    """The fee of one order, dollars (rules.md, section 4)."""
    commission = max(wheel.minimum, wheel.base + contracts * wheel.each)
    return float(commission + contracts * wheel.regulatory)


@njit
def held_from(book: Book, w: int, n: int, kept: Kept) -> None:
    """Add a wheel that is taken n times to what the account is on each session."""
    wheel, sessions = book.wheels[w], kept.cash.size
    for t in range(wheel.entry, min(wheel.end, sessions)):
        kept.open_wheels[t] += 1
    for i in range(wheel.flow, wheel.flow + wheel.flows):
        flow = book.flows[i]
        kept.flows[flow.kind, flow.session] += n * flow.amount
    for i in range(wheel.order, wheel.order + wheel.orders):
        order = book.orders[i]
        fee = order.fixed if order.contracts == 0.0 else order_fee(wheel, n * order.contracts)
        kept.flows[FEES, order.session] -= fee
    for i in range(wheel.leg, wheel.leg + wheel.legs):
        leg = book.legs[i]
        kind = 1 if leg.is_call else 0
        units = n * 100.0 * leg.contracts
        for t in range(leg.sold, leg.last + 1):
            mark = book.marks[leg.day + t - leg.sold]
            kept.owed[kind, t] += units * mark.price
            kept.open_legs[kind, t] += n
            kept.mark_age[t] = max(kept.mark_age[t], t - mark.since)
            if kind == 0:
                kept.collateral[t] += n * wheel.capital
    if wheel.shares >= 0:
        shares = book.shares[wheel.shares]
        for t in range(shares.bought, shares.last + 1):
            kept.shares[t] += n * share_value(shares, book.worth, book.grown, t)


@njit
def run_account(book: Book, limits: Limits, earned: Reals, groups: int, kept: Kept) -> None:
    """Take wheels session by session, and write what the account was at each close.

    Args:
        book: the wheels.
        limits: of the account.
        earned: (sessions,) what a dollar of cash earned since the session before; 0 on the first.
        groups: the number of underlyings by their names at the sale of the put.
        kept: zeros, filled.
    """
    wheels, sessions = book.wheels, kept.cash.size
    count = np.zeros(groups, np.int64)
    capital = np.zeros(groups)
    ends, ended, w = book.ends, 0, 0
    cash, equity, collateral, number = limits.cash, limits.cash, 0.0, 0
    for t in range(sessions):
        while ended < ends.size and wheels[ends[ended]].end < t:
            gone = ends[ended]
            if kept.taken[gone] > 0:
                number -= 1
                count[wheels[gone].group] -= 1
                capital[wheels[gone].group] -= kept.taken[gone] * wheels[gone].capital
                if count[wheels[gone].group] == 0:
                    capital[wheels[gone].group] = 0.0
            ended += 1
        kept.interest[t] = cash * earned[t]
        cash += kept.interest[t]
        free = cash - collateral
        while w < wheels.size and wheels[w].entry <= t:
            wheel = wheels[w]
            size = limits.contracts
            if size == 0.0:
                size = np.floor(limits.fraction * equity / wheel.capital * (1.0 + SLACK))
            n = int(max(size, 0.0))
            needed = wheel.capital * n
            reason = TAKEN
            if n < 1:
                reason = TOO_SMALL
            elif number >= limits.wheels:
                reason = MAX_WHEELS
            elif count[wheel.group] >= limits.per_underlying:
                reason = MAX_PER_UNDERLYING
            elif limits.share < np.inf and capital[wheel.group] + needed > (
                limits.share * equity * (1.0 + SLACK)
            ):
                reason = MAX_SHARE
            else:
                fee = order_fee(wheel, float(n))
                if needed + fee > free + SLACK * max(1.0, needed):
                    reason = NO_CASH
                else:
                    free += wheel.premium * n - needed - fee
            kept.reason[w] = reason
            if reason == TAKEN:
                kept.taken[w] = n
                number += 1
                count[wheel.group] += 1
                capital[wheel.group] += needed
                held_from(book, w, n, kept)
            w += 1
        for kind in range(5):
            cash += kept.flows[kind, t]
        collateral = kept.collateral[t]
        equity = cash + kept.shares[t] - kept.owed[0, t] - kept.owed[1, t]
        kept.cash[t], kept.equity[t] = cash, equity
