"""Corporate events, plainly (section 12 of the rules; data.md, "Suspected"): what becomes of a
name, of a contract and of a number of shares from one day to another.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from . import pricer

Row = dict[str, Any]

# Events.  Of one day they come in this order: a suspicion is of the name as it was the
# night before, splits come before dividends.
SUSPECTED, NOT_CARRIED, SPLIT, SPECIAL = "suspected", "not_carried", "split", "special_dividend"
ORDER = {SUSPECTED: 0, NOT_CARRIED: 1, SPLIT: 1, SPECIAL: 2}
LAST_OF_DAY = 9


@dataclass(frozen=True)
class Event:
    """A corporate event overnight into `ex_date`."""

    ex_date: dt.date
    kind: str
    n: int = 1  # new shares for one old, where it is carried through
    amount: float = 0.0  # of a special dividend, per share
    new_underlying: str | None = None

    @property
    def place(self) -> tuple[dt.date, int]:
        """Its place among the events of a name."""
        return self.ex_date, ORDER[self.kind]

    @property
    def stops(self) -> bool:
        """Whether nothing is carried through it."""
        return self.kind in (SUSPECTED, NOT_CARRIED)


def event_of_split(row: Row) -> Event | None:
    """The event of a row of `splits`; None where the row says that nothing happened."""
    numerator, denominator, name = row["numerator"], row["denominator"], row["new_underlying"]
    if numerator % denominator:
        return Event(row["ex_date"], NOT_CARRIED, new_underlying=name)
    n = numerator // denominator
    if n == 1 and name in (None, row["underlying"]):
        return None
    return Event(row["ex_date"], SPLIT, n=n, new_underlying=name)


def half_up(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    return math.floor(value + Fraction(1, 2))


def successor(symbol: str, event: Event) -> str:
    """Section 12: the symbol that the contract bears from the ex-date on."""
    root, expiration, kind, thousandths = pricer.parse_symbol(symbol)
    in_cents = Fraction(thousandths, 10)
    if event.kind == SPECIAL:
        strike = half_up(in_cents - 100 * Fraction(repr(event.amount)))
    else:
        strike = half_up(in_cents / event.n)
    if event.new_underlying is not None:
        root = event.new_underlying.replace(".", "")
    return f"{root:<6}{expiration:%y%m%d}{kind}{10 * strike:08d}"


class Events:
    """The events of all names."""

    def __init__(self, is_session: Callable[[dt.date], bool]) -> None:
        self._is_session = is_session
        self._of: dict[str, list[Event]] = defaultdict(list)
        self._explained: dict[str, list[dt.date]] = defaultdict(list)  # ex-dates of rows

    def add_split(self, row: Row) -> None:
        """A row of `splits`; one whose ex-date is no session is set aside."""
        if not self._is_session(row["ex_date"]):
            return
        self._explained[row["underlying"]].append(row["ex_date"])
        event = event_of_split(row)
        if event is not None:
            self._add(row["underlying"], event)

    def add_special(self, underlying: str, ex_date: dt.date, amount: float) -> None:
        """A special dividend."""
        self._explained[underlying].append(ex_date)
        self._add(underlying, Event(ex_date, SPECIAL, amount=amount))

    def add_suspected(
        self,
        underlying: str,
        contracts: dict[dt.date, set[str]],
        after: Callable[[dt.date], dt.date],
    ) -> None:
        """The suspected events of a name whose standard contracts with a row are given by session."""
        for first, second in replaced(contracts):
            if not any(first < day <= second for day in self._explained[underlying]):
                self._add(underlying, Event(after(first), SUSPECTED))

    def _add(self, underlying: str, event: Event) -> None:
        self._of[underlying].append(event)
        self._of[underlying].sort(key=lambda one: one.place)

    def own(self, underlying: str, ex_date: dt.date) -> list[Event]:
        """The events of a name on one day."""
        return [event for event in self._of.get(underlying, ()) if event.ex_date == ex_date]

    def history(self, underlying: str, after: dt.date, through: dt.date) -> list[Event]:
        """The events of what a name stands for on the evening of one day, overnight into the days
        after it and through another; renames are followed.
        """
        found: list[Event] = []
        name, place = underlying, (after, LAST_OF_DAY)
        while True:
            coming = [event for event in self._of.get(name, ()) if event.place > place]
            if not coming or coming[0].ex_date > through:
                return found
            event = coming[0]
            found.append(event)
            place = event.place
            # Two special dividends may share a day: both are events.
            same = [one for one in coming[1:] if one.place == place]
            found += same
            if event.new_underlying is not None:
                name = event.new_underlying

    def name(self, underlying: str, after: dt.date, day: dt.date) -> str:
        """How what belonged to a name on one day is called on a later one."""
        names = [event.new_underlying for event in self.history(underlying, after, day)]
        return next((name for name in reversed(names) if name is not None), underlying)

    def stop(self, underlying: str, after: dt.date, through: dt.date) -> Event | None:
        """The first event through which nothing is carried."""
        events = self.history(underlying, after, through)
        return next((event for event in events if event.stops), None)

    def carried(self, underlying: str, after: dt.date, day: dt.date) -> list[Event]:
        """The events through which a position is carried between two days, before one that stops it."""
        found = []
        for event in self.history(underlying, after, day):
            if event.stops:
                break
            found.append(event)
        return found


def product(events: list[Event]) -> int:
    """The shares that one share has become."""
    return math.prod(event.n for event in events)


def symbol_after(symbol: str, events: list[Event]) -> str:
    """The symbol of a contract after the events."""
    for event in events:
        symbol = successor(symbol, event)
    return symbol


def replaced(contracts: dict[dt.date, set[str]]) -> list[tuple[dt.date, dt.date]]:
    """data.md: pairs of sessions with quotes, one after the other, between which the contracts were
    replaced: at least 60% of those before with at least 5 days to live never have a row again, and
    of those after, in the same expirations, at least 60% never had one before.
    """
    sessions = sorted(contracts)
    first_row: dict[str, dt.date] = {}
    last_row: dict[str, dt.date] = {}
    for session in sessions:
        for symbol in contracts[session]:
            first_row.setdefault(symbol, session)
            last_row[symbol] = session
    expires = {symbol: pricer.parse_symbol(symbol)[1] for symbol in last_row}
    found = []
    for first, second in pairwise(sessions):
        living = [s for s in contracts[first] if (expires[s] - first).days >= 5]
        expirations = {expires[symbol] for symbol in living}
        listed = [symbol for symbol in contracts[second] if expires[symbol] in expirations]
        gone = sum(last_row[symbol] == first for symbol in living)
        new = sum(first_row[symbol] == second for symbol in listed)
        # 60% in whole numbers
        if listed and 5 * gone >= 3 * len(living) and 5 * new >= 3 * len(listed):
            found.append((first, second))
    return found
