"""Merging new rows of a month with those that a lake has, and counting what changed (data.md)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import polars as pl

from wheelvec.lake.parquet import Aside
from wheelvec.tables.validation import Table


class Counts(NamedTuple):
    """Numbers of rows added, replaced and removed.

    Attributes:
        added: rows of new keys.
        replaced: rows that replaced one of the same key.
        removed: rows that were removed without a new row of their key; only where whole sessions
            are replaced.
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """The sums of two counts."""
        return Counts(*(one + two for one, two in zip(self, other, strict=True)))


class Joined(NamedTuple):
    """A merged month.

    Attributes:
        rows: sorted by the table's key.
        aside: number of rows set aside by day and reason.
        counts: number of rows added, replaced and removed.
    """

    rows: pl.DataFrame
    aside: Aside
    counts: Counts


def key_of(table: Table, *frames: pl.DataFrame) -> list[pl.Expr]:
    """The key columns by which rows of some frames of a table are compared.

    They leave out `ts` if any quote has none: the quote of a snapshot and one with a time are then
    the same quote of a contract and session.
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
    """Replace the old rows that equal a new one in `unit`, and keep the other old rows.

    Args:
        table: the table of the rows.
        before: the old rows, `Table.schema`, sorted by `Table.key`.
        rows: the new rows, likewise.
        aside: the counts of rows set aside with the old rows, and with the new ones.
        unit: expressions of a row to compare; () for the table's key (`key_of`).
        whole_sessions: new rows replace all old rows of their sessions, and the counts of rows set
            aside on them.
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
    """Whether each row on the left has the same values as some row on the right.

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
    """Merge the counts of rows set aside, by day and reason.

    On the days of `added_to`, which have only got new contracts, counts add up. Any other day was
    imported before, at least in part, and the greater count is kept, so that a repeated import
    changes nothing.
    """
    counts = {day: dict(reasons) for day, reasons in before.items()}
    for day, reasons in more.items():
        earlier = counts.setdefault(day, {})
        for reason, count in reasons.items():
            known = earlier.get(reason, 0)
            earlier[reason] = known + count if day in added_to else max(known, count)
    return {day: dict(sorted(reasons.items())) for day, reasons in sorted(counts.items())}
