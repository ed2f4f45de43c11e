"""The corporate events of one underlying, and the names that it bears (rules.md, section 12)."""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.slices import EVENT
from wheelvec.model import osi
from wheelvec.model.codes import EventKind
from wheelvec.stages.arrays import Array

CENT_SLACK = 1e-9  # of a cent: a strike less a dividend lies on half a cent but for rounding
Suspicions = Callable[[str], Iterable[dt.date]]  # a name -> the days of its suspected splits


class CorporateEvent(NamedTuple):
    """A corporate event of an underlying on one session.

    Attributes:
        number: the session from which it applies, that of the ex-date.
        kind: how legs and shares pass it.
        shares: new shares for one old one; 1 where it is not carried through.
        amounts: special dividends, dollars per new share.
        root: the root of its options from then on; None: as before.
    """

    number: int
    kind: EventKind
    shares: int = 1
    amounts: tuple[float, ...] = ()
    root: str | None = None


class Named(NamedTuple):
    """A name of an underlying on the sessions `first` to `end` - 1."""

    name: str
    first: int
    end: int


class History(NamedTuple):
    """The corporate events of an underlying by session, and its names in order."""

    events: tuple[CorporateEvent, ...]
    names: tuple[Named, ...]

    @property
    def renamed(self) -> int:
        """The session from which it bears another name; past all sessions if it never does."""
        return self.names[0].end

    def eves(self, sessions: int) -> Array:
        """(sessions,) whether each is the eve of an event that is not carried through."""
        out = np.zeros(sessions, np.bool_)
        out[[e.number - 1 for e in self.events if e.kind is EventKind.NOT_CARRIED]] = True
        return out

    def table(self, day: Array) -> Array:
        """(events,) of kernels.slices.EVENT; `day` is (sessions,) days since 1970-01-01."""
        out = np.zeros(len(self.events), EVENT)
        for row, event in zip(out, self.events, strict=True):
            row["number"], row["ex_day"] = event.number, day[event.number]
            row["shares"], row["kind"] = event.shares, event.kind
        return out


def history(
    symbol: str,
    splits: pl.DataFrame | None,
    dividends: pl.DataFrame | None,
    sessions: Array,
    suspicions: Suspicions,
) -> History:
    """The history of an underlying.

    After a rename it is what its new name is, and its old name is nobody's: the events, chains and
    closes of a later bearer of the old name are not its own.

    Args:
        symbol: its name at first.
        splits: `schemas.SPLITS`.
        dividends: `schemas.DIVIDENDS`.
        sessions: (sessions,) their days since 1970-01-01.
        suspicions: the days of the suspected splits of a name.
    """
    found: dict[int, CorporateEvent] = {}
    names, name, first, since = [], symbol, 0, dt.date.min
    while True:
        changes = [row for row in _changes(name, splits) if row.ex_date > since]
        rename = next((row for row in changes if row.new is not None), None)
        until = dt.date.max if rename is None else rename.ex_date
        special = [(day, a) for day, a in _special(name, dividends) if since <= day < until]
        suspected = [day for day in suspicions(name) if since < day <= until]
        if rename is not None:  # shares receive what the new name pays on the day
            changes = [row for row in changes if row.ex_date <= until]
        for event in _events(changes, special, suspected, sessions):
            known = found.get(event.number)
            found[event.number] = event if known is None else _both(known, event)
        end = sessions.size if rename is None else _number(until, sessions)
        names.append(Named(name, first, end))
        if rename is None:
            inside = (found[n] for n in sorted(found) if 0 < n < sessions.size)
            return History(tuple(inside), tuple(names))
        name, first, since = str(rename.new), end, until


class Change(NamedTuple):
    """A row of `splits`; `new` is a new name."""

    ex_date: dt.date
    numerator: int
    denominator: int
    new: str | None

    @property
    def is_whole(self) -> bool:
        """Whether it gives whole shares for one."""
        return self.numerator % self.denominator == 0


def _both(first: CorporateEvent, second: CorporateEvent) -> CorporateEvent:
    """Two events of one session as one: a rename, and what the new name pays on that day."""
    if EventKind.NOT_CARRIED in (first.kind, second.kind):
        return CorporateEvent(first.number, EventKind.NOT_CARRIED)
    return first._replace(
        shares=first.shares * second.shares,
        amounts=first.amounts + second.amounts,
        root=second.root or first.root,
    )


def _events(
    changes: list[Change],
    special: list[tuple[dt.date, float]],
    suspected: list[dt.date],
    sessions: Array,
) -> Iterator[CorporateEvent]:
    """The events of a name, one for each session that has any."""
    rows = [(_number(row.ex_date, sessions), row) for row in changes]
    paid = [(_number(day, sessions), amount) for day, amount in special]
    odd = [_number(day, sessions) for day in suspected]
    for number in sorted({n for n, _ in rows} | {n for n, _ in paid} | set(odd)):
        here = [row for n, row in rows if n == number]
        amounts = tuple(amount for n, amount in paid if n == number)
        if not here and not amounts:
            yield CorporateEvent(number, EventKind.SUSPECTED)
        elif not all(row.is_whole for row in here):
            yield CorporateEvent(number, EventKind.NOT_CARRIED)
        else:
            shares = math.prod(row.numerator // row.denominator for row in here)
            roots = [osi.root_of(row.new) for row in here if row.new is not None]
            if shares > 1 or amounts or roots:
                root = roots[-1] if roots else None
                yield CorporateEvent(number, EventKind.CARRIED, shares, amounts, root)


def _changes(name: str, splits: pl.DataFrame | None) -> list[Change]:
    """The splits and renames of a name, by ex-date."""
    if splits is None:
        return []
    rows = splits.filter(pl.col("underlying") == name).sort("ex_date", maintain_order=True)
    renamed = (pl.col("new_underlying") != pl.col("underlying")).fill_null(False)
    new = pl.when(renamed).then("new_underlying")
    return [
        Change(*row)
        for row in rows.select("ex_date", "numerator", "denominator", new=new).iter_rows()
    ]


def _special(name: str, dividends: pl.DataFrame | None) -> list[tuple[dt.date, float]]:
    """Ex-date and amount of the special dividends of a name, by ex-date."""
    if dividends is None:
        return []
    rows = dividends.filter(pl.col("underlying") == name, "special")
    return rows.sort("ex_date", maintain_order=True).select("ex_date", "amount").rows()


def _number(day: dt.date, sessions: Array) -> int:
    """The number of the first session on or after a day."""
    return int(np.searchsorted(sessions, np.datetime64(day, "D").astype(np.int64)))


def successor_milli(milli: Array, event: CorporateEvent) -> Array:
    """(n,) strikes after a carried event, in thousandths of a dollar and whole cents, half up.

    Args:
        milli: (n,) strikes before it, thousandths of a dollar.
        event: of a split into whole shares, a rename or special dividends.
    """
    if event.shares > 1:
        milli = (2 * milli + 10 * event.shares) // (20 * event.shares) * 10
    for amount in event.amounts:
        cents = np.floor((milli - 1000.0 * amount) / 10.0 + 0.5 + CENT_SLACK)
        milli = 10 * np.maximum(cents, 0.0).astype(np.int64)
    return milli


def span_of(names: tuple[Named, ...], first: int, end: int) -> list[Named]:
    """The names on sessions `first` to `end` - 1, each with its sessions among these."""
    clipped = (Named(n.name, max(n.first, first), min(n.end, end)) for n in names)
    return [named for named in clipped if named.first < named.end]


def paid_under(
    dividends: pl.DataFrame, names: tuple[Named, ...], sessions: pl.Series
) -> pl.DataFrame:
    """The dividends of an underlying, by ex-date: those of each name while it is borne.

    Args:
        dividends: `schemas.DIVIDENDS`.
        names: of the underlying.
        sessions: (sessions,) days.
    """
    found = []
    for name, first, end in names:
        rows = dividends.filter(pl.col("underlying") == name)
        if first > 0:
            rows = rows.filter(pl.col("ex_date") >= sessions[first])
        if end < sessions.len():
            rows = rows.filter(pl.col("ex_date") < sessions[end])
        found.append(rows)
    return pl.concat(found).sort("ex_date", maintain_order=True)


def multiples(events: Array) -> tuple[Array, Array]:
    """Ex-days of splits, ascending, and the shares that one has become from each of them on.

    Args:
        events: (events,) of kernels.slices.EVENT.

    Returns:
        (splits,) days since 1970-01-01, and (splits + 1,) shares for one before the first split,
        then from the first, the second and so on.
    """
    splits = events[events["shares"] > 1]
    shares = list(itertools.accumulate(splits["shares"].tolist(), lambda a, b: a * b, initial=1))
    return splits["ex_day"].copy(), np.array(shares, np.int64)
