"""The account of docs/portfolio.md: which wheels it takes, and marks of legs by session.

The clock is `begin_session`, `times`, `refusal`, `take`, `end_session` and `leave`: of one account
here, and of many side by side in kernels.holdings. Sessions are numbered from 0, the schedule's
first; -1 is none.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Integers, Reals, Records
from wheelvec.jit.compiled import njit, njit_inlined, njit_lean
from wheelvec.kernels.fees import order_fee

SLACK = 1e-9  # comparisons of the account
OPTION_PHASE = 2**32 - 1  # of the draws that order wheels at random, which no touch has

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
        ("commission_base", np.float64), ("commission_minimum", np.float64),
        ("commission_per_contract", np.float64), ("sec_fee_per_contract", np.float64),
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


# What an account is between two sessions, dollars but for the last.
ACCOUNT = np.dtype(
    [
        ("cash", np.float64), ("equity", np.float64), ("collateral", np.float64),
        ("free", np.float64),  # for the entries of the session
        ("wheels", np.int64),  # open
    ],
    align=True,
)  # fmt: skip

# Its open wheels of one underlying, by its name at the sale of the put.
GROUP = np.dtype([("wheels", np.int64), ("capital", np.float64)])


class Book(NamedTuple):
    """The wheels on offer, for one contract each."""

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
    """The limits of an account; where there is none it is infinite."""

    cash: float
    contracts: float  # 0: by `fraction`
    fraction: float
    wheels: float
    per_underlying: float
    share: float


class Kept(NamedTuple):
    """An account at the close of each session, (sessions,) each but for the last four."""

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
    account: Records  # (1,) of ACCOUNT, after the last session
    group: Records  # (groups,) of GROUP, likewise


def new_kept(sessions: int, wheels: int, groups: int) -> Kept:
    """Zeros for so many sessions and wheels, and underlyings by their names at the sale."""
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
        account=np.zeros(1, ACCOUNT).view(np.recarray),
        group=np.zeros(groups, GROUP).view(np.recarray),
    )


# ---- the clock


@njit_inlined
def begin_session(account: Records, earned: float) -> float:
    """Add the interest of a session, and return it.

    Args:
        account: a row of ACCOUNT.
        earned: by a dollar of cash since the session before.
    """
    interest = account.cash * earned
    account.cash += interest
    account.free = account.cash - account.collateral
    return float(interest)


@njit_inlined
def times(limits: "Limits", equity: float, capital: float) -> int:
    """How often a wheel would be taken: by the last session's equity and its initial capital."""
    size = limits.contracts
    if size == 0.0:
        size = np.floor(limits.fraction * equity / capital * (1.0 + SLACK))
    return int(max(size, 0.0))


@njit_inlined
def refusal(
    account: Records, group: Records, limits: "Limits", n: int, capital: float, fee: float
) -> int:
    """Why a wheel is not taken n times; TAKEN if it is.

    Args:
        account: a row of ACCOUNT.
        group: a row of GROUP, of the wheel's underlying.
        limits: of the account.
        n: how often.
        capital: the initial capital of one, dollars.
        fee: of the order, dollars.
    """
    needed = capital * n
    if n < 1:
        return TOO_SMALL
    if account.wheels >= limits.wheels:
        return MAX_WHEELS
    if group.wheels >= limits.per_underlying:
        return MAX_PER_UNDERLYING
    most = limits.share * account.equity * (1.0 + SLACK)
    if limits.share < np.inf and group.capital + needed > most:
        return MAX_SHARE
    if needed + fee > account.free + SLACK * max(1.0, needed):
        return NO_CASH
    return TAKEN


@njit_inlined
def take(
    account: Records, group: Records, n: int, capital: float, premium: float, fee: float
) -> None:
    """Take a wheel n times; `premium` and `capital` are of one, dollars.

    Args:
        account: a row of the account, updated.
        group: a row of the underlying of the wheel, updated.
        n: contracts.
        capital: of one, dollars.
        premium: of one, dollars.
        fee: of the order, dollars.
    """
    account.free += premium * n - capital * n - fee
    account.wheels += 1
    group.wheels += 1
    group.capital += capital * n


@njit_inlined
def leave(account: Records, group: Records, capital: float) -> None:
    """Let go of a wheel that ended before the session; `capital` is of all that were taken."""
    account.wheels -= 1
    group.wheels -= 1
    group.capital -= capital
    if group.wheels == 0:
        group.capital = 0.0


@njit_inlined
def end_session(
    account: Records, paid: float, collateral: float, shares: float, owed: float
) -> None:
    """Add the cash of the day, and find the equity at the close.

    Args:
        account: a row of ACCOUNT.
        paid: cash of the day, dollars.
        collateral: of open puts.
        shares: their value.
        owed: on open legs.
    """
    account.cash += paid
    account.collateral = collateral
    account.equity = account.cash + shares - owed


# ---- marks


@njit_lean
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
        before = leg.sold - 1
        while before >= 0 and np.isnan(close[leg.instrument, before]):
            before -= 1
        if before >= 0:  # the last close stands for one that is lacking
            known = close[leg.instrument, before]
            inner = max(0.0, sign * (known - stretches[at].strike))
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


@njit_inlined
def share_value(
    number: float, bought: int, frozen: int, worth: Reals, grown: Reals, t: int
) -> float:
    """The value of shares at the close of a session, dollars.

    Args:
        number: bought.
        bought: session.
        frozen: the last session on which their value may change.
        worth: (sessions,) of what one share of the first session has become.
        grown: (sessions,) the number of these.
        t: session.
    """
    return float(number / grown[bought] * worth[min(t, frozen)])


# ---- one account


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
        bought, frozen, at = shares.bought, shares.frozen, shares.instrument
        worth, grown = book.worth[at], book.grown[at]
        for t in range(bought, shares.last + 1):
            kept.shares[t] += n * share_value(shares.number, bought, frozen, worth, grown, t)


@njit
def run_account(book: Book, limits: Limits, earned: Reals, kept: Kept) -> None:
    """Take wheels session by session, and write what the account was at each close.

    Args:
        book: the wheels.
        limits: of the account.
        earned: (sessions,) what a dollar of cash earned since the session before; 0 on the first.
        kept: zeros, filled.
    """
    wheels, sessions = book.wheels, kept.cash.size
    account, group = kept.account[0], kept.group
    account.cash, account.equity = limits.cash, limits.cash
    ends, ended, w = book.ends, 0, 0
    for t in range(sessions):
        while ended < ends.size and wheels[ends[ended]].end < t:
            gone = ends[ended]
            if kept.taken[gone] > 0:
                capital = kept.taken[gone] * wheels[gone].capital
                leave(account, group[wheels[gone].group], capital)
            ended += 1
        kept.interest[t] = begin_session(account, earned[t])
        while w < wheels.size and wheels[w].entry <= t:
            wheel, mine = wheels[w], group[wheels[w].group]
            n = times(limits, account.equity, wheel.capital)
            fee = order_fee(wheel, float(n))
            kept.reason[w] = refusal(account, mine, limits, n, wheel.capital, fee)
            if kept.reason[w] == TAKEN:
                take(account, mine, n, wheel.capital, wheel.premium, fee)
                kept.taken[w] = n
                held_from(book, w, n, kept)
            w += 1
        paid = 0.0
        for kind in range(5):
            paid += kept.flows[kind, t]
        owed = kept.owed[0, t] + kept.owed[1, t]
        end_session(account, paid, kept.collateral[t], kept.shares[t], owed)
        kept.cash[t], kept.equity[t] = account.cash, account.equity
