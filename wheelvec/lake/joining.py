"""How new rows of a month join those that a lake holds already, and what is told of it (data.md)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import polars as pl

from wheelvec.lake.parquet import Aside
from wheelvec.tables.validation import Table


class Counts(NamedTuple):
    """How many rows were added, replaced and removed.

    Attributes:
        added: rows of keys that were not there.
        replaced: rows that took the place of others of their key.
        removed: rows that went without one of their key in their place (only where whole sessions
            are replaced).
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sums."""
        return Counts(*(one + two for one, two in zip(self, other, strict=True)))


class Joined(NamedTuple):
    """A month's rows sorted by the table's key, how many were set aside by day and reason, and what
    has changed.
    """

    rows: pl.DataFrame
    aside: Aside
    counts: Counts


def key_of(table: Table, *frames: pl.DataFrame) -> list[pl.Expr]:
    """What two rows of one identity have in common.

    A snapshot's quote has no time: it stands for all of its contract's session, and so does a quote
    with a time for the snapshot's.
    """
    timeless = "ts" in table.key and any(frame["ts"].null_count() for frame in frames)
    return [pl.col(name) for name in table.key if not (timeless and name == "ts")]


def join(
    table: Table,
    before: pl.DataFrame,
    rows: pl.DataFrame,
    aside: tuple[Aside, Aside],
    unit: Sequence[pl.Expr] = (),
    whole_sessions: bool = False,
) -> Joined:
    """Put new rows in the place of the old ones that agree with one of them in `unit`.

    All others stay.

    Args:
        table: whose rows they are.
        before: the old ones, `Table.schema`, sorted by `Table.key`.
        rows: the new ones, likewise.
        aside: how many were set aside with the old ones and with the new ones.
        unit: none: the table's key (`key_of`).
        whole_sessions: new rows replace all of their sessions, and the counts of what was set aside
            with them.
    """
    key = key_of(table, before, rows)
    by = [pl.col(table.day)] if whole_sessions else list(unit) or key
    again = _agrees(before, rows, by)
    kept, gone = before.filter(~again), before.filter(again)
    replaced = int(_agrees(rows, gone, key).sum())
    removed = int((~_agrees(gone, rows, key)).sum())
    days = {str(day) for day in rows[table.day].unique()}
    if whole_sessions:
        counts = {day: found for day, found in aside[0].items() if day not in days}
        added_to: set[str] = set()
    else:
        counts = aside[0]
        added_to = days & (
            {str(day) for day in kept[table.day].unique()}
            - {str(day) for day in gone[table.day].unique()}
        )
    joined = pl.concat([kept, rows]).sort(table.key, maintain_order=True)
    return Joined(
        joined, counted(counts, aside[1], added_to), Counts(len(rows) - replaced, replaced, removed)
    )


def _agrees(left: pl.DataFrame, right: pl.DataFrame, by: Sequence[pl.Expr]) -> pl.Series:
    """Of each row on the left whether one on the right has the same values.

    Nulls are equal to each other.
    """
    names = [f"_{i}" for i in range(len(by))]
    named = [value.alias(name) for name, value in zip(names, by, strict=True)]
    if left.is_empty() or right.is_empty():
        return pl.repeat(False, len(left), dtype=pl.Boolean, eager=True)
    known = right.select(named).unique().with_columns(_agrees=pl.lit(True))
    found = left.select(named).join(
        known, on=names, how="left", nulls_equal=True, maintain_order="left"
    )
    return found["_agrees"].fill_null(False)


def counted(before: Aside, more: Aside, added_to: Collection[str] = ()) -> Aside:
    """Counts by day and reason.

    Those of a day to which only new contracts have come add up; else it is the same import once
    more, or one that overlaps, and the greater count stands: so an import that is repeated changes
    nothing.
    """
    counts = {day: dict(reasons) for day, reasons in before.items()}
    for day, reasons in more.items():
        earlier = counts.setdefault(day, {})
        for reason, count in reasons.items():
            known = earlier.get(reason, 0)
            earlier[reason] = known + count if day in added_to else max(known, count)
    return {day: dict(sorted(reasons.items())) for day, reasons in sorted(counts.items())}
