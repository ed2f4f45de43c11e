"""Corporate events between two sessions (rules.md, section 12).

A barrier is an event that no leg and no share is carried through: one that changes what a contract
delivers, or one that is only suspected.
"""

from typing import Any

from wheelvec.jit.arrays import Records
from wheelvec.jit.compiled import njit_inlined
from wheelvec.model.codes import EventKind

CARRIED, SUSPECTED = int(EventKind.CARRIED), int(EventKind.SUSPECTED)


@njit_inlined
def shares_between(events: Records, first: int, last: int) -> int:
    """The shares that one share of session `first` has become on session `last`.

    Args:
        events: of slices.EVENT.
        first: session; an event on it has passed.
        last: session, included.
    """
    shares = 1
    for i in range(events.size):
        if first < events.number[i] <= last:
            shares *= events.shares[i]
    return shares


@njit_inlined
def shares_until(events: Records, first: int, last_day: int) -> int:
    """As `shares_between`, up to a day since 1970-01-01."""
    shares = 1
    for i in range(events.size):
        if events.number[i] > first and events.ex_day[i] <= last_day:
            shares *= events.shares[i]
    return shares


@njit_inlined
def barrier_between(events: Records, first: int, last: int) -> int:
    """The first barrier after session `first`, up to `last`; -1: none."""
    for i in range(events.size):
        if events.kind[i] != CARRIED and first < events.number[i] <= last:
            return i
    return -1


@njit_inlined
def passes_any(events: Records, first: int, last: int) -> bool:
    """Whether any event is carried through after session `first`, up to `last`."""
    found = False
    for i in range(events.size):
        found |= events.kind[i] == CARRIED and first < events.number[i] <= last
    return found


@njit_inlined
def contract_on(contracts: Records, contract: Any, session: int) -> Any:
    """The contract that stands for one on a later session.

    Args:
        contracts: of slices.CONTRACT.
        contract: index.
        session: number.
    """
    while contracts.last_session[contract] < session and contracts.successor[contract] >= 0:
        contract = contracts.successor[contract]
    return contract
