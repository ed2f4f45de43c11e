"""The contracts of a slice through corporate events: which one stands for which (rules.md, 12).

An era lies between two events. After a split of 4 for 1 the contract that was quoted at a strike of
100 before, and the one that the strike of 400 became, bear one symbol and are two contracts. A
contract is therefore numbered by symbol and era, and its path is made of the rows of its era and
those of the contracts that stand for it in later eras.
"""

from typing import NamedTuple

import numpy as np

from wheelvec.kernels.collapse import DAY_MASK, DAY_SHIFT, ROOT_SHIFT, STRIKE_MASK
from wheelvec.kernels.slices import ROW
from wheelvec.model.codes import EventKind
from wheelvec.model.errors import DataError
from wheelvec.stages.arrays import Array
from wheelvec.stages.contracts import Roots, strike_milli
from wheelvec.stages.events import CorporateEvent, successor_milli
from wheelvec.stages.outcomes import spans

# Above the roots of a key: the era, so that keys of one era stay in the order of their symbols.
ERA_SHIFT = ROOT_SHIFT + 10
MOST_ROOTS, MOST_ERAS = 1 << 10, 1 << 8
PRICES = ("open", "high", "low", "close", "bid", "ask")


class Eras(NamedTuple):
    """The eras of a slice.

    Attributes:
        events: that begin the second era, the third and so on.
        begin: (events,) the session of each.
        roots: of the contracts of all eras, in order.
    """

    events: tuple[CorporateEvent, ...]
    begin: Array
    roots: Roots

    def of(self, number: Array) -> Array:
        """(n,) the era of each session."""
        return np.searchsorted(self.begin, number, side="right").astype(np.int64)

    def keys(self, key: Array, number: Array) -> Array:
        """(n,) the keys of contracts on sessions, with their eras."""
        return np.asarray(key | self.of(number) << ERA_SHIFT)


class Succession(NamedTuple):
    """The successors of each contract of a slice.

    Attributes:
        era: (contracts,) in which it is quoted.
        stands: (eras, contracts) the contract that stands for it in each era from its own on; -1:
            none, before its era, after its settlement, or after an event that it does not survive.
        shares: (eras, contracts) what one share of its era has become in each later one.
        milli: (contracts,) its strike at its settlement, thousandths of a dollar.
        barrier: (contracts,) the index of the first event that it does not survive; -1: none.
    """

    era: Array
    stands: Array
    shares: Array
    milli: Array
    barrier: Array

    @property
    def successor(self) -> Array:
        """(contracts,) the contract that stands for each in the era after its own; -1: none."""
        later = np.vstack([self.stands[1:], np.full((1, self.era.size), -1)])
        return np.asarray(later[self.era, np.arange(self.era.size)])


def eras_of(events: tuple[CorporateEvent, ...], first: int, roots: Roots) -> Eras | None:
    """The eras of a slice whose rows begin on session `first`; None if there is one only.

    Args:
        events: of the underlying.
        first: session.
        roots: of its chain.

    Raises:
        DataError: if there are too many events.
    """
    later = tuple(event for event in events if event.number > first)
    if not later:
        return None
    if len(later) >= MOST_ERAS:
        text = f"{len(later):,} corporate events (splits and special dividends) of one underlying"
        raise DataError(f"{text}: expected fewer than {MOST_ERAS}")
    new = {event.root for event in later if event.root is not None}
    begin = np.array([event.number for event in later])
    return Eras(later, begin, tuple(sorted({*roots, *new})))


def bare(key: Array) -> Array:
    """(n,) keys without their eras."""
    return np.asarray(key & ((1 << ERA_SHIFT) - 1))


def succeed(known: Array, eras: Eras, settlement: Array) -> tuple[Array, Array, Array, Array]:
    """The keys that contracts have in each era.

    Args:
        known: (n,) keys with eras.
        eras: of the slice.
        settlement: (n,) settlement session of each.

    Returns:
        (eras, n) keys with eras, -1 where there is none; (eras, n) shares; (n,) strike at the
        settlement in thousandths of a dollar; (n,) first event that is not survived, -1: none.
    """
    n, count = known.size, len(eras.events) + 1
    keys, shares = np.full((count, n), -1, np.int64), np.ones((count, n), np.int64)
    current, alive, multiple = bare(known), np.zeros(n, np.bool_), np.ones(n, np.int64)
    era, barrier = known >> ERA_SHIFT, np.full(n, -1, np.int64)
    for at in range(count):
        if at:
            event = eras.events[at - 1]
            reached = alive & (settlement >= event.number)
            if event.kind is not EventKind.CARRIED:
                barrier[reached] = at - 1
                reached = np.zeros(n, np.bool_)
            current = np.where(reached, _succeeded(current, event, eras.roots), current)
            multiple, alive = np.where(reached, multiple * event.shares, multiple), reached
        alive = alive | (era == at)
        keys[at] = np.where(alive, current | at << ERA_SHIFT, -1)
        shares[at] = multiple
    return keys, shares, strike_milli(current), barrier


def _succeeded(key: Array, event: CorporateEvent, roots: Roots) -> Array:
    """(n,) the keys of the contracts that stand for others after a carried event."""
    moved = (key & ~np.int64(STRIKE_MASK)) | successor_milli(strike_milli(key), event)
    if event.root is None:
        return np.asarray(moved)
    return np.asarray((moved & ((1 << ROOT_SHIFT) - 1)) | roots.index(event.root) << ROOT_SHIFT)


def settlements(key: Array, known: Array) -> Array:
    """(n,) the settlement session of each contract; `known` has the days of the sessions."""
    expiration = key >> DAY_SHIFT & DAY_MASK
    return np.asarray(np.searchsorted(known, expiration, side="right") - 1)


class Course(NamedTuple):
    """The paths of the contracts of a slice.

    Attributes:
        first: (contracts,) first row of the path of each.
        last: (contracts,) one past its last.
        eve: (contracts,) row of the market on the eve of an event that is not survived; -1: none.
        rows: (rows,) of kernels.slices.ROW.
    """

    first: Array
    last: Array
    eve: Array
    rows: Array


def through(
    starts: Array, rows: Array, of: Succession, eras: Eras, offers: tuple[Array, ...]
) -> Course:
    """The paths of contracts through their eras.

    Args:
        starts: (contracts + 1,) where the rows of each contract in its own era begin.
        rows: (rows,) of kernels.slices.ROW.
        of: the successors of the contracts.
        eras: of the slice.
        offers: (n,) session, contract, bid and ask of the valid quotes.
    """
    contracts = starts.size - 1
    offered, of_offer, shares_of_offer = _eve_offers(starts, rows, of, eras, offers)
    held = np.concatenate([rows, offered])
    contract, source, count, shares = [], [], [], []
    for at in range(of.stands.shape[0]):
        some = np.flatnonzero(of.stands[at] >= 0)
        stands = of.stands[at, some]
        contract.append(some)
        source.append(starts[stands])
        count.append(starts[stands + 1] - starts[stands])
        shares.append(of.shares[at, some])
    path = np.bincount(np.concatenate(contract), np.concatenate(count), contracts).astype(np.int64)
    contract.append(of_offer)
    source.append(rows.size + np.arange(of_offer.size))
    count.append(np.ones(of_offer.size, np.int64))
    shares.append(shares_of_offer)
    order = np.argsort(np.concatenate(contract), kind="stable")
    taken, of_row = spans(np.concatenate(source)[order], np.concatenate(count)[order])
    out = held[taken]
    factor = np.concatenate(shares)[order][of_row]
    for name in PRICES:
        out[name] *= factor
    size = path.copy()
    size[of_offer] += 1
    first = np.cumsum(size) - size
    last = first + path
    return Course(first, last, _eve_rows(first, last, size, out, of, eras), out)


def _eve_offers(
    starts: Array, rows: Array, of: Succession, eras: Eras, offers: tuple[Array, ...]
) -> tuple[Array, Array, Array]:
    """Quotes at which contracts without a row on their last eve can be bought back.

    Returns:
        (n,) of kernels.slices.ROW, (n,) contract, and (n,) shares that one has become.
    """
    number, of_offer, bid, ask = offers
    found, contract, shares = [np.zeros(0, ROW)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for at, event in enumerate(eras.events):
        if event.kind is not EventKind.NOT_CARRIED:
            continue
        some = np.flatnonzero(of.barrier == at)
        stands = of.stands[at, some]
        here = np.flatnonzero((number == event.number - 1) & (of_offer >= 0))
        quote = np.full(starts.size - 1, -1, np.int64)
        quote[of_offer[here]] = here
        barred = np.zeros(starts.size, np.bool_)
        latest = starts[1:][stands] - 1
        has = latest >= starts[:-1][stands]
        barred[some[has]] = rows["number"][latest[has]] == event.number - 1
        kept = (quote[stands] >= 0) & ~barred[some]
        some, quote = some[kept], quote[stands][kept]
        row = np.zeros(some.size, ROW)
        row["number"], row["is_quote"] = event.number - 1, True
        row["bid"], row["ask"] = bid[quote], ask[quote]
        for name in PRICES[:4]:
            row[name] = (bid[quote] + ask[quote]) / 2
        found.append(row)
        contract.append(some)
        shares.append(of.shares[at, some])
    return np.concatenate(found), np.concatenate(contract), np.concatenate(shares)


def _eve_rows(
    first: Array, last: Array, size: Array, rows: Array, of: Succession, eras: Eras
) -> Array:
    """(contracts,) the row of the market of each on its last eve; -1: none."""
    stopped = [event.kind is EventKind.NOT_CARRIED for event in eras.events]
    begins = np.array([*eras.begin, -1])[of.barrier]
    end = first + size - 1
    known = np.array([*stopped, False])[of.barrier] & (size > 0)
    there = np.zeros(first.size, np.bool_)
    there[known] = rows["number"][end[known]] == begins[known] - 1
    return np.where(there, end, -1)
