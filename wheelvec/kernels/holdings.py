"""The wheels that many accounts hold, side by side: a sweep under an account.

The clock is that of kernels.account, session by session for all accounts. A wheel is simulated only
where an account takes it, by the recorder of a backtest; marks depend on the contract and the
session alone, and are made once for all accounts and wheels.
"""

from typing import Any, NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Positions, Reals, Records, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.kernels.account import (
    OPTION_PHASE,
    TAKEN,
    Limits,
    begin_session,
    end_session,
    lay_marks,
    leave,
    refusal,
    share_value,
    take,
    times,
)
from wheelvec.kernels.draws import draw
from wheelvec.kernels.entries import Selection, select_puts
from wheelvec.kernels.evaluate import put_of
from wheelvec.kernels.events import (
    barrier_between,
    shares_between,
    shares_until,
)
from wheelvec.kernels.exits import (
    ASSIGNED,
    CALLED_AWAY,
    is_bought_back,
    is_resolved,
)
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.outcomes import Outcomes, full
from wheelvec.kernels.parameters import CommonRules, Plan, block_of, one_of
from wheelvec.kernels.record import Workspace, record_wheel
from wheelvec.kernels.slices import Slice

FAR = 2**40  # after any session
RECORD, PREMIUM, RANDOM = range(3)  # as model.account.ORDERS
OUTCOMES, MARKS, LEGS = 1, 2, 3  # a buffer that is full

# An account at the close of a session; all but cash and equity are added when a wheel is taken.
DAY = np.dtype(
    [
        ("flow", np.float64),  # cash of the day
        ("collateral", np.float64), ("owed", np.float64), ("shares", np.float64),
        ("traded", np.float64),  # absolute amounts of premiums, buy-backs, trades of shares
        ("cash", np.float64), ("equity", np.float64),
        # of the share equivalents of the session before: their gain since, and their value then
        ("gained", np.float64), ("valued", np.float64),
        ("ended", np.int64),  # one past the last wheel of HELD that ends on it; 0: none
    ],
    align=True,
)  # fmt: skip

# A wheel that an account took, dollars of all that it took.
HELD = np.dtype(
    [
        ("account", np.int64), ("offer", np.int64), ("times", np.int64),
        ("symbol", np.int64),
        ("entry", np.int64), ("place", np.int64),  # among those offered on the session, as recorded
        ("next", np.int64),  # one past the next that ends on the same session; 0: none
        ("end", np.int64),  # session; FAR: never
        ("delivered", np.int64),  # session on which shares were bought; the end without any
        ("capital", np.float64), ("cost", np.float64),  # of the put, and of the shares
        ("pnl", np.float64), ("premium", np.float64), ("stock", np.float64),
        ("days", np.int64),  # summed over the legs
    ],
    align=True,
)  # fmt: skip

# A leg that an account held, for its share equivalents.
EXPOSED = np.dtype(
    [
        ("account", np.int64), ("contract", np.int64),
        ("first", np.int64), ("last", np.int64),  # sessions
        ("units", np.float64),  # share equivalents of a delta of 1
    ],
    align=True,
)  # fmt: skip

# Limits of an account, as kernels.account.Limits, and the order of its entries.
LIMITS = np.dtype(
    [(name, np.float64) for name in Limits._fields]
    + [("order", np.int64), ("seed", np.uint64), ("rate", np.int64)]
)


class Offers(NamedTuple):
    """The puts that the blocks of a plan sell in a month, by underlying, block and session."""

    row: Integers  # of the slice's puts
    number: Integers  # session
    ivp: Reals
    tier: Integers
    price: Reals  # dollars per share
    capital: Reals  # dollars
    word: Words


class Accounts(NamedTuple):
    """Accounts side by side; sessions are counted from `zero`, that of the first."""

    account: Records  # (accounts,) of ACCOUNT
    group: Records  # (accounts, underlyings) of GROUP
    limits: Records  # (accounts,) of LIMITS
    days: Records  # (accounts, sessions) of DAY
    reasons: Integers  # (accounts, 6) wheels by TAKEN, or why not
    block: Integers  # (accounts,) of the plan
    config: Integers  # (accounts,) in its block
    busy: Integers  # (accounts, underlyings) until when the last wheel occupies it
    open: Flags  # (accounts, underlyings) whether it launched a wheel on the session
    zero: int
    first_position: Positions  # (1,) of 0


class Worth(NamedTuple):
    """One share of an underlying by session; sessions are counted from `zero`."""

    close: Reals  # (1, sessions) dollars; NaN: none
    grown: Reals  # (sessions,) shares that one of the first session has become
    value: Reals  # (sessions,) of these at the last close
    gain: Reals  # (sessions,) of a share of the session before, with dividends
    before: Reals  # (sessions,) its value then


class Marks(NamedTuple):
    """Marks of the contracts of a slice, made when first needed."""

    begin: Integers  # (contracts,) the first mark of each; -1: not made
    first: Integers  # (contracts,) the session of it
    last: Integers  # (contracts,) the last session on which it may change
    is_call: Flags  # (contracts,)
    quote_starts: Integers  # (contracts + 1,) of the quotes
    number: Integers  # (quotes,)
    bid: Reals
    ask: Reals
    spot: Reals
    marks: Records  # of MARK
    leg: Records  # (1,) of kernels.account.LEG
    stretches: Records  # of STRETCH
    path: Records  # of STEP
    size: Integers  # (1,) marks used


@njit_lean
def offer_puts(
    slice_: Slice,
    opens: Flags,
    first: int,
    last: int,
    plan: Plan,
    chosen: Selection,
    at: int,
    out: Offers,
    starts: Integers,
) -> int:
    """Write the puts that each block sells on sessions first..last; one past the last written.

    Args:
        slice_: the underlying.
        opens: (schedules, sessions) whether wheels may open.
        first: session number.
        last: session number, included.
        plan: all blocks.
        chosen: a buffer.
        at: the first free row of `out`.
        out: written.
        starts: (blocks, sessions of the month + 1) of each block and session in `out`, written.
    """
    for p in range(plan.common.size):
        common = plan.common[p]
        n = select_puts(slice_, common, opens[common.schedule], first, last, chosen)
        w = 0
        for s in range(last + 1 - first):
            starts[p, s] = at
            while w < n and chosen.number[w] == first + s:
                quote = slice_.puts[chosen.row[w]]
                out.row[at], out.number[at] = chosen.row[w], first + s
                out.ivp[at], out.tier[at] = chosen.ivp[w], chosen.tier[w]
                out.price[at], out.capital[at] = chosen.price[w], quote.strike * 100.0
                out.word[at] = quote.word
                at += 1
                w += 1
        starts[p, last + 1 - first] = at
    return at


@njit_lean
def launch_alone(
    slice_: Slice,
    symbol: int,
    s: int,
    starts: Integers,
    offers: Offers,
    plan: Plan,
    accounts: Accounts,
    start: int,
    workspace: Workspace,
    out: Outcomes,
) -> int:
    """Launch a session's wheels of one underlying where one is open at a time.

    Such a wheel is launched, taken or not, if the one before has ended.

    Args:
        slice_: the underlying.
        symbol: its place.
        s: the session, counted from the first of the month.
        starts: (underlyings, blocks, sessions of the month + 1) of the offers.
        offers: of the month.
        plan: all blocks.
        accounts: `busy` and `open` are written.
        start: how many accounts are done already.
        workspace: buffers.
        out: a buffer.

    Returns:
        How many accounts are done; fewer than all if `out` is full.
    """
    for a in range(start, accounts.account.size):
        p = accounts.block[a]
        accounts.open[a, symbol] = False
        i = starts[symbol, p, s]
        common = plan.common[p]
        if not common.one_at_a_time or i == starts[symbol, p, s + 1]:
            continue
        if offers.number[i] <= accounts.busy[a, symbol]:
            continue
        ends = simulate_wheel(slice_, offers, i, plan, accounts, a, workspace, out)
        if full(out):
            return a
        accounts.busy[a, symbol] = ends
        accounts.open[a, symbol] = True
    return int(accounts.account.size)


@njit_inlined
def simulate_wheel(
    slice_: Slice,
    offers: Offers,
    i: int,
    plan: Plan,
    accounts: Accounts,
    a: int,
    workspace: Workspace,
    out: Outcomes,
) -> int:
    """Record the wheel of one offer under the configuration of an account, as a backtest does.

    Args:
        slice_: the underlying.
        offers: of the month.
        i: which of them.
        plan: all blocks.
        accounts: their configurations.
        a: which of them.
        workspace: buffers.
        out: its legs, attempts and wheel are written from the start.

    Returns:
        The last session on which it occupies its underlying.
    """
    p = accounts.block[a]
    common = plan.common[p]
    block = one_of(block_of(plan, p), accounts.config[a], accounts.first_position)
    out.size[:] = 0
    out.launched[0] = 0
    put = put_of(slice_, common, offers, i)  # type: ignore[arg-type]
    return record_wheel(slice_, put, offers.tier[i], FAR, common, block, workspace, out)


@njit_inlined
def sort_key(order: int, seed: np.uint64, offers: Offers, i: int) -> float:
    """The merit by which the wheels of a session are ordered, least first."""
    if order == RANDOM:
        return draw(seed, offers.word[i], OPTION_PHASE, 0)
    if order == PREMIUM:
        return -(offers.price[i] * 100.0 / offers.capital[i])
    return 0.0


@njit_lean
def admit(
    t: int,
    s: int,
    start: int,
    starts: Integers,
    offers: Offers,
    symbols: Integers,
    plan: Plan,
    earned: Reals,
    accounts: Accounts,
    place: Integers,
    key: Reals,
    held: Records,
    size: Integers,
) -> int:
    """Begin a session, and take wheels of it.

    Args:
        t: the session.
        s: the same, counted from the first of the month.
        start: how many accounts are done already.
        starts: (underlyings, blocks, sessions of the month + 1) of the offers.
        offers: of the month.
        symbols: (schedules, underlyings) the order of the underlyings; -1: no further.
        plan: all blocks.
        earned: (rates, sessions) by a dollar of cash since the session before.
        accounts: updated.
        place: a buffer for the offers of a session.
        key: as `place`.
        held: of HELD, appended to.
        size: (1,) rows of `held` used.

    Returns:
        How many accounts are done; fewer than all if `held` is full.
    """
    zero = accounts.zero
    for a in range(start, accounts.account.size):
        if size[0] + place.size > held.size:
            return a
        account, group, limits = accounts.account[a], accounts.group[a], accounts.limits[a]
        i = accounts.days[a, t - 1 - zero].ended if t > zero else 0
        while i > 0:
            gone = held[i - 1]
            leave(account, group[gone.symbol], gone.capital)
            i = gone.next
        begin_session(account, earned[limits.rate, t - zero])
        p = accounts.block[a]
        common = plan.common[p]
        count = 0
        for k in range(symbols.shape[1]):
            symbol = symbols[common.schedule, k]
            if symbol < 0:
                break
            if common.one_at_a_time and not accounts.open[a, symbol]:
                continue
            for i in range(starts[symbol, p, s], starts[symbol, p, s + 1]):
                value, at = sort_key(limits.order, limits.seed, offers, i), count
                while at > 0 and key[at - 1] > value:
                    key[at], place[at] = key[at - 1], place[at - 1]
                    at -= 1
                key[at], place[at] = value, i * symbols.shape[1] + k
                count += 1
        for k in range(count):
            i, rank = place[k] // symbols.shape[1], place[k] % symbols.shape[1]
            symbol = symbols[common.schedule, rank]
            capital, mine = offers.capital[i], group[symbol]
            n = times(limits, account.equity, capital)
            fee = order_fee(common, float(n))
            reason = refusal(account, mine, limits, n, capital, fee)
            accounts.reasons[a, reason] += 1
            if reason == TAKEN:
                take(account, mine, n, capital, offers.price[i] * 100.0, fee)
                row = held[size[0]]
                row.account, row.offer, row.times = a, i, n
                row.symbol, row.entry = symbol, t
                row.place, row.capital = i - starts[symbol, p, s], n * capital
                for earlier in range(rank):
                    other = symbols[common.schedule, earlier]
                    row.place += starts[other, p, s + 1] - starts[other, p, s]
                size[0] += 1
    return int(accounts.account.size)


@njit_lean
def close_session(t: int, accounts: Accounts) -> None:
    """End a session: cash of the day, and equity at the close."""
    for a in range(accounts.account.size):
        account, day = accounts.account[a], accounts.days[a, t - accounts.zero]
        end_session(account, day.flow, day.collateral, day.shares, day.owed)
        day.cash, day.equity = account.cash, account.equity


# ---- what is held


@njit_lean
def hold_wheels(
    rows: Integers,
    done: int,
    slice_: Slice,
    offers: Offers,
    plan: Plan,
    accounts: Accounts,
    worth: Worth,
    marks: Marks,
    workspace: Workspace,
    out: Outcomes,
    held: Records,
    exposed: Records,
    used: Integers,
) -> tuple[int, int]:
    """Simulate wheels of one underlying that were taken, and add what they are to the accounts.

    Args:
        rows: (n,) of `held`.
        done: how many of them are done already.
        slice_: the underlying.
        offers: of the month.
        plan: all blocks.
        accounts: their days are added to.
        worth: of the underlying.
        marks: of its contracts.
        workspace: buffers.
        out: a buffer for the outcomes of one wheel.
        held: of HELD, completed.
        exposed: of EXPOSED, appended to.
        used: (1,) rows of `exposed` used.

    Returns:
        How many are done, and which buffer is full if these are fewer than all.
    """
    for k in range(done, rows.size):
        row = held[rows[k]]
        a = row.account
        simulate_wheel(slice_, offers, row.offer, plan, accounts, a, workspace, out)
        if full(out):
            return k, OUTCOMES
        if used[0] + out.size[0] > exposed.size:
            return k, LEGS
        for i in range(out.size[0]):
            if not mark_contract(slice_, out.legs[i].contract, worth, marks, accounts.zero):
                return k, MARKS
        common = plan.common[accounts.block[a]]
        hold_wheel(rows[k], slice_, common, accounts, worth, marks, out, held, exposed, used)
    return int(rows.size), 0


@njit_inlined
def pay(day: Records, amount: float, traded: bool) -> float:
    """Add an amount to the cash of a day, and return it."""
    day.flow += amount
    if traded:
        day.traded += abs(amount)
    return amount


@njit_lean
def hold_wheel(
    at: int,
    slice_: Slice,
    common: CommonRules,
    accounts: Accounts,
    worth: Worth,
    marks: Marks,
    out: Outcomes,
    held: Records,
    exposed: Records,
    used: Integers,
) -> None:
    """Add one wheel to the days of its account: cash, collateral, marks and shares.

    Args:
        at: row of `held`.
        slice_: the underlying.
        common: has the fees.
        accounts: the days are added to.
        worth: of the underlying.
        marks: of its contracts, which are made.
        out: its outcomes.
        held: of HELD, completed.
        exposed: of EXPOSED, appended to.
        used: (1,) rows of `exposed` used.
    """
    row, wheel, zero = held[at], out.wheels[0], accounts.zero
    days, n = accounts.days[row.account], row.times
    stop, day = zero + days.size, slice_.underlying.day
    row.end = wheel.end if wheel.resolved else FAR
    row.delivered, row.cost = row.end, row.capital
    row.premium, row.days, pnl = 0.0, 0, 0.0
    row.stock = n * wheel.stock_pnl
    for i in range(out.size[0]):
        leg = out.legs[i]
        resolved = is_resolved(leg.reason, leg.exit_price)
        premium = n * (leg.price * 100.0 * leg.contracts)
        row.premium += premium
        row.days += day[leg.exit_number] - day[leg.number]
        fee = order_fee(common, float(n * leg.contracts))
        pnl += pay(days[leg.number - zero], premium, True)
        pnl += pay(days[leg.number - zero], -fee, False)
        if resolved and is_bought_back(leg.reason):
            paid = n * (leg.exit_price * 100.0 * leg.contracts)
            fee = order_fee(common, float(n * leg.contracts * leg.factor))
            pnl += pay(days[leg.exit_number - zero], -paid, True)
            pnl += pay(days[leg.exit_number - zero], -fee, False)
        if leg.reason == ASSIGNED or leg.reason == CALLED_AWAY:
            pnl += pay(days[leg.exit_number - zero], -common.assignment_fee, False)
        last = (leg.exit_number if resolved else stop) - 1
        owe_leg(leg, n, last, worth, marks, days, zero, exposed, used, row.account)
        if leg.cycle == 0:
            for t in range(leg.number, last + 1):
                days[t - zero].collateral += row.capital
    if out.legs[0].reason == ASSIGNED:
        pnl += hold_shares(row, slice_, common, out, worth, days, zero)
    row.pnl = pnl if wheel.resolved else np.nan
    row.next = 0
    if wheel.resolved and row.end < stop:
        row.next = days[row.end - zero].ended
        days[row.end - zero].ended = at + 1


@njit_inlined
def owe_leg(
    leg: Records,
    n: int,
    last: int,
    worth: Worth,
    marks: Marks,
    days: Records,
    zero: int,
    exposed: Records,
    used: Integers,
    account: int,
) -> None:
    """Add what is owed on a leg to the days on which it is open.

    Args:
        leg: a row of kernels.outcomes.LEG.
        n: how often its wheel was taken.
        last: the last session at whose close it is open.
        worth: of the underlying.
        marks: of its contracts.
        days: (sessions,) of DAY.
        zero: the first session.
        exposed: of EXPOSED, appended to.
        used: (1,) rows of `exposed` used.
        account: whose it is.
    """
    units = n * 100.0 * leg.contracts
    begin = marks.begin[leg.contract] - marks.first[leg.contract]
    frozen = marks.last[leg.contract]
    for t in range(leg.number, last + 1):
        days[t - zero].owed += units * marks.marks[begin + min(t, frozen)].price
    row = exposed[used[0]]
    row.account, row.contract = account, leg.contract
    row.first, row.last = leg.number, min(last, frozen)
    row.units = -units if leg.cycle > 0 else units
    used[0] += 1


@njit_inlined
def hold_shares(
    row: Records,
    slice_: Slice,
    common: CommonRules,
    out: Outcomes,
    worth: Worth,
    days: Records,
    zero: int,
) -> float:
    """Add the shares of a wheel to the days on which they are held; their cash, dollars.

    Args:
        row: of HELD, completed.
        slice_: the underlying.
        common: says whether the rules are v5's.
        out: outcomes of the wheel.
        worth: of the underlying.
        days: (sessions,) of DAY.
        zero: the first session.
    """
    put, wheel, n, stop = out.legs[0], out.wheels[0], row.times, zero + days.size
    bought, number = put.exit_number, 100.0 * put.factor
    row.delivered, row.cost = bought, n * (100.0 * (put.delivered * put.factor))
    paid = pay(days[bought - zero], -row.cost, True)
    last, frozen = min(row.end, stop) - 1, stop
    if not wheel.resolved:
        barrier = barrier_between(slice_.events, bought, FAR)
        frozen = slice_.events[barrier].number - 1 if barrier >= 0 else stop
    first, grown = bought - zero, worth.grown
    for t in range(first, last + 1 - zero):
        kept = share_value(number, first, frozen - zero, worth.value, grown, t)
        days[t].shares += n * kept
        if t <= frozen - zero and t + 1 < days.size:
            shares = n * (number * (grown[t] / grown[first]))
            days[t + 1].gained += shares * worth.gain[t + 1]
            days[t + 1].valued += shares * worth.before[t + 1]
    if wheel.sale == wheel.sale:
        paid += pay(days[wheel.end - zero], n * (100.0 * (wheel.sale * wheel.lots)), True)
    if not common.v5:
        return paid + receive(slice_, put, wheel, n, frozen, worth, days, zero)
    if wheel.resolved:
        sold = wheel.sale == wheel.sale
        booked = put.price * 100.0 if sold else 100.0 * put.delivered * put.factor
        paid += pay(days[wheel.end - zero], n * booked, False)
    return paid


@njit_inlined
def receive(
    slice_: Slice,
    put: Records,
    wheel: Records,
    n: int,
    frozen: int,
    worth: Worth,
    days: Records,
    zero: int,
) -> float:
    """Add the dividends on the shares of a wheel; dollars.

    Args:
        slice_: the underlying.
        put: a row of kernels.outcomes.LEG.
        wheel: a row of kernels.outcomes.WHEEL.
        n: how often it was taken.
        frozen: the last session on which the number of its shares is known.
        worth: of the underlying.
        days: (sessions,) of DAY.
        zero: the first session.
    """
    received, bought, day = 0.0, put.exit_number, slice_.underlying.day
    for i in range(slice_.dividends.size):
        dividend = slice_.dividends[i]
        if dividend.ex_day <= day[bought]:
            continue
        if wheel.resolved and dividend.ex_day > day[wheel.end]:
            break
        t = bought
        while t < day.size and day[t] < dividend.ex_day:
            t += 1
        if t - zero >= days.size or (not wheel.resolved and t > frozen):
            break
        lots = put.factor * shares_until(slice_.events, bought, dividend.ex_day)
        if not wheel.resolved:
            lots = put.factor * shares_between(slice_.events, bought, t)
        received += pay(days[t - zero], n * (dividend.paid * lots), False)
    return received


# ---- marks


@njit_lean
def mark_contract(slice_: Slice, c: int, worth: Worth, marks: Marks, zero: int) -> bool:
    """Make the marks of a contract, if they are not; False if the buffer is full.

    They run from its first quote to its settlement, or to the eve of an event that it does not
    survive.

    Args:
        slice_: the underlying.
        c: contract.
        worth: of the underlying.
        marks: written.
        zero: the first session.
    """
    if marks.begin[c] >= 0:
        return True
    first = max(marks.number[marks.quote_starts[c]], zero)
    last = slice_.contracts[c].settlement
    barrier = barrier_between(slice_.events, first, last)
    if barrier >= 0:
        last = slice_.events[barrier].number - 1
    count = last - first + 1
    if marks.size[0] + count > marks.marks.size:
        return False
    leg = marks.leg[0]
    leg.instrument, leg.is_call = 0, marks.is_call[c]
    leg.sold, leg.last, leg.frozen = first - zero, last - zero, last - zero
    leg.stretch, leg.day = 0, marks.size[0]
    leg.stretches = lay_stretches(slice_, c, first, last, marks, zero)
    lay_marks(marks.leg, marks.stretches, marks.path, worth.close, marks.marks)
    marks.begin[c], marks.first[c], marks.last[c] = marks.size[0], first, last
    marks.size[0] += count
    return True


@njit_lean
def lay_stretches(slice_: Slice, c: int, first: int, last: int, marks: Marks, zero: int) -> int:
    """Write the contracts that stand for one from a session on, and their paths; their number.

    Args:
        slice_: the underlying.
        c: contract.
        first: session.
        last: session.
        marks: its stretches and path are written.
        zero: the first session.
    """
    n, at, begin = 0, 0, first
    while c >= 0:
        where, stretch = slice_.contracts[c], marks.stretches[n]
        end = min(where.last_session, last)
        stretch.first, stretch.row, stretch.strike = begin - zero, at, where.strike
        stretch.factor = shares_between(slice_.events, first, begin)
        at = lay_path(slice_, c, begin, end, marks, at, zero)
        stretch.rows, stretch.last = at - stretch.row, end - zero
        n += 1
        if end >= last:
            break
        begin, c = end + 1, where.successor
    marks.stretches[n - 1].last = FAR
    return n


@njit_lean
def lay_path(slice_: Slice, c: int, first: int, last: int, marks: Marks, at: int, zero: int) -> int:
    """Write the quotes and the bars of a contract by session; one past the last row.

    Args:
        slice_: the underlying.
        c: contract.
        first: session number.
        last: session number, included.
        marks: has the quotes; its `path` is written.
        at: first row of `path`.
        zero: session number of the account's first session.
    """
    q, end = marks.quote_starts[c], marks.quote_starts[c + 1]
    r, stop = slice_.contracts[c].first_row, slice_.contracts[c].last_row
    while True:
        while q < end and marks.number[q] < first:
            q += 1
        while r < stop and (slice_.rows[r].number < first or slice_.rows[r].is_quote):
            r += 1
        quoted = marks.number[q] if q < end else FAR
        barred = slice_.rows[r].number if r < stop else FAR
        t = min(quoted, barred)
        if t > last:
            return at
        row = marks.path[at]
        row.session, row.bid, row.ask = t - zero, np.nan, np.nan
        row.close, row.spot = np.nan, np.nan
        if quoted == t:
            row.bid, row.ask, row.spot = marks.bid[q], marks.ask[q], marks.spot[q]
            q += 1
        if barred == t:
            row.close = slice_.rows[r].close
            r += 1
        at += 1


@njit_lean
def add_deltas(
    exposed: Records,
    begin: Integers,
    first: Integers,
    delta: Reals,
    worth: Worth,
    days: Any,
    zero: int,
) -> None:
    """Add the share equivalents of legs to what these gain until the next session.

    Args:
        exposed: (legs,) of EXPOSED.
        begin: (contracts,) as in Marks.
        first: (contracts,) as in Marks.
        delta: (marks,) share equivalents of a leg of one share, at each mark.
        worth: of the underlying.
        days: (accounts, sessions) of DAY, added to.
        zero: the first session.
    """
    for i in range(exposed.size):
        leg = exposed[i]
        at = begin[leg.contract] - first[leg.contract]
        for t in range(leg.first, min(leg.last, zero + days.shape[1] - 2) + 1):
            shares = leg.units * delta[at + t]
            day = days[leg.account, t + 1 - zero]
            day.gained += shares * worth.gain[t + 1 - zero]
            day.valued += shares * worth.before[t + 1 - zero]
