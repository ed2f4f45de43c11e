"""The grid of a sweep.

Which configurations are tried, one a row, checked as a whole before anything runs.

A row changes some fields of a base configuration. Values are held once each, and a row by their
positions: what a sweep does per row, it does with arrays of small integers.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model.axes import (
    Codes,
    GridLike,
    Swept,
    columns_of,
    grid_from_file,
    grid_from_toml,
    read,
    read_values,
)
from wheelvec.model.config import SECTIONS, Config, digest_of, field_digest, scattered
from wheelvec.model.errors import ConfigError, InputError
from wheelvec.model.fields import empty_range, missing_target, unread_target
from wheelvec.model.refusals import Refusals, RefusedRowsError, described
from wheelvec.model.sections import after_close

__all__ = [
    "Codes",
    "Grid",
    "GridLike",
    "Refusals",
    "RefusedRowsError",
    "Swept",
    "combined",
    "dense",
    "field_of",
    "first_of",
    "grid_from_file",
    "grid_from_toml",
    "read_values",
]

TABLE = 16  # times as many places as keys, at most, in a table that numbers them
NO_ROWS = pl.DataFrame(schema={"row": pl.Int64, "reason": pl.String})


@dataclasses.dataclass(frozen=True)
class Grid:
    """The configurations of a sweep.

    Attributes:
        base: what a row keeps where it changes nothing.
        frame: one row a configuration, as it was given: the grid's columns of `Sweep.frame`.
        columns: dotted field name -> `Swept`; fields that are not swept are absent.
        skipped: row (its number in the grid as given) and reason, of every row that was left out.
    """

    base: Config
    frame: pl.DataFrame
    columns: dict[str, Swept]
    skipped: pl.DataFrame = dataclasses.field(default_factory=NO_ROWS.clone)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self.frame.height

    @classmethod
    def read(cls, base: Config, grid: GridLike, *, skip_invalid: bool = False) -> "Grid":
        """Read a mapping of names to values (their product, last key fastest), or a frame with one
        configuration a row.

        Raises:
            ConfigError: for an unknown field or too many rows, or naming the rows that no
                configuration can be.
            InputError: for what is neither, or holds no row.
        """
        columns, frame = columns_of(grid)
        if not frame.height:
            raise InputError("the grid has no row: expected at least one configuration")
        refusals = Refusals(frame.height)
        held = {name: read(name, column, refusals) for name, column in columns.items()}
        whole = cls(base, frame, held).without(refusals, skip_invalid=skip_invalid)
        return whole.without(whole._contradictions(), skip_invalid=skip_invalid)

    def without(self, refusals: Refusals, *, skip_invalid: bool = True) -> "Grid":
        """The rows that are not refused; those that are go into `skipped`.

        Raises:
            ConfigError: if rows are refused and none may be skipped, or none is left.
        """
        if not refusals:
            return self
        if not skip_invalid:
            raise RefusedRowsError(refusals)
        size = self.size + self.skipped.height
        given = np.setdiff1d(np.arange(size), self.skipped["row"].to_numpy(), assume_unique=True)
        skipped = pl.concat([self.skipped, refusals.frame(given)]).sort("row")
        if skipped.height == size:
            raise (
                RefusedRowsError(refusals)
                if not self.skipped.height
                else ConfigError(described(skipped, size))
            )
        kept = ~refusals.rows
        columns = {name: _used(column, kept) for name, column in self.columns.items()}
        return dataclasses.replace(
            self, frame=self.frame.filter(kept), columns=columns, skipped=skipped
        )

    def value(self, name: str, row: int) -> Any:
        """The value of any field in a row."""
        column = self.columns.get(name)
        return field_of(self.base, name) if column is None else column.values[column.codes[row]]

    def config(self, row: int) -> Config:
        """The whole configuration of a row."""
        return self.base.replace(**{name: self.value(name, row) for name in self.columns})

    def codes(self, name: str) -> Codes | None:
        """Which value each row takes, or None if all take the base's."""
        return self.columns[name].codes if name in self.columns else None

    def values(self, name: str) -> list[Any]:
        """The values of a field, in the order of `codes`."""
        return self.columns[name].values if name in self.columns else [field_of(self.base, name)]

    def table(self, name: str, encode: Any = None, dtype: Any = np.float64) -> NDArray[Any]:
        """The values of a field as numbers, in the order of `codes`.

        None becomes NaN unless `encode`, applied to each value, says otherwise.
        """
        column = self.columns.get(name)
        if (
            column is not None
            and column.floats is not None
            and encode is None
            and dtype is np.float64
        ):
            return column.floats
        return np.array(
            [
                encode(value) if encode else np.nan if value is None else value
                for value in self.values(name)
            ],
            dtype,
        )

    def column(
        self, name: str, encode: Any = None, dtype: Any = np.float64, rows: Codes | None = None
    ) -> NDArray[Any]:
        """(rows,) values of a field as numbers, of some rows or of all."""
        table, codes = self.table(name, encode, dtype), self.codes(name)
        if codes is None:
            return np.full(self.size if rows is None else rows.size, table[0])
        return table[codes if rows is None else codes[rows]]

    def least(self, name: str) -> float:
        """The least value of a field in any row."""
        return float(self.table(name).min())

    def most(self, name: str) -> float:
        """The greatest value of a field in any row; None, which limits nothing, is beyond all."""
        table = self.table(name)
        return math.inf if np.isnan(table).any() else float(table.max())

    def ids(self) -> NDArray[np.uint64]:
        """(rows,) the ids of the configurations, as `Config.id` gives them in hexadecimal."""
        total = np.full(self.size, int(self.base.id, 16), np.uint64)
        for name, column in self.columns.items():
            digests = _digests(name, column) - np.uint64(digest_of(name, field_of(self.base, name)))
            total += digests[column.codes]
        return total

    @cached_property
    def distinct(self) -> tuple[Codes, Codes]:
        """Of rows that are equal in every field the first one, and for each row the position of its
        like among these.
        """
        rows = np.arange(self.size)
        if any(len(column.values) == self.size for column in self.columns.values()):
            return rows, rows
        key = combined(
            [(column.codes, len(column.values)) for column in self.columns.values()], self.size
        )
        codes, count = dense(key)
        if count == self.size:
            return rows, rows
        first = first_of(codes, count)
        order = np.argsort(first)
        position = np.empty_like(order)
        position[order] = np.arange(order.size)
        return first[order], position[codes]

    def _contradictions(self) -> Refusals:
        """The rows with an empty range, with a target that nothing reads, or without one that is
        read.
        """
        refusals = Refusals(self.size)
        for section, kind in SECTIONS.items():
            for low, high in kind.ranges:
                names = (f"{section}.{low}", f"{section}.{high}")
                if self._swept(*names):
                    first, last = (self.column(name, _ordinal) for name in names)
                    self._note(
                        refusals,
                        names,
                        first > last,
                        lambda *v, at=(section, low, high): empty_range(*at, *v),
                    )
            for target, method, reader in kind.targets:
                names = (f"{section}.{target}", f"{section}.{method}")
                if self._swept(*names):
                    there = self.column(names[0], lambda value: value is not None, np.bool_)
                    reads = self.column(names[1], lambda chosen, by=reader: chosen == by, np.bool_)
                    at = (section, target, method, reader)
                    self._note(
                        refusals, names, there & ~reads, lambda *v, at=at: unread_target(*at, *v)
                    )
            for target, method, reader in getattr(kind, "needed", ()):
                names = (f"{section}.{target}", f"{section}.{method}")
                if self._swept(*names):
                    absent = self.column(names[0], lambda value: value is None, np.bool_)
                    reads = self.column(names[1], lambda chosen, by=reader: chosen == by, np.bool_)
                    self._note(
                        refusals,
                        names,
                        absent & reads,
                        lambda *_, at=(section, target, method, reader): missing_target(*at),
                    )
        self._note_late_entries(refusals)
        return refusals

    def _note_late_entries(self, refusals: Refusals) -> None:
        """Few calendars and times make many rows: each pair is looked at once."""
        names = ("schedule.trading_calendar", "schedule.entry_time")
        if not self._swept(*names):
            return
        calendars, times = (self.values(name) for name in names)
        late = np.array(
            [[bool(after_close(calendar, time)) for time in times] for calendar in calendars]
        )
        none = np.zeros(self.size, np.int64)
        calendar, time = (none if (codes := self.codes(name)) is None else codes for name in names)
        self._note(refusals, names, late[calendar, time], after_close)

    def _swept(self, *names: str) -> bool:
        return any(name in self.columns for name in names)

    def _note(
        self,
        refusals: Refusals,
        names: tuple[str, str],
        wrong: NDArray[np.bool_],
        say: Callable[..., str],
    ) -> None:
        keys = [
            (self.columns[name].codes, len(self.values(name)))
            for name in names
            if name in self.columns
        ]
        note_rows(
            refusals, wrong, keys, lambda row: say(*(self.value(name, row) for name in names))
        )


def note_rows(
    refusals: Refusals,
    wrong: NDArray[np.bool_],
    keys: list[tuple[Codes, int]],
    say: Callable[[int], str],
) -> None:
    """Note the rows that are wrong.

    `say` gives the reason of a row, once for those that are equal in `keys`.
    """
    rows = np.flatnonzero(wrong)
    if not rows.size:
        return
    key = combined([(codes[rows], count) for codes, count in keys], rows.size)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    codes = np.full(wrong.size, first.size)
    codes[rows] = inverse
    refusals.note(
        {i: say(row) for i, row in enumerate(rows[first].tolist())}, codes, first.size + 1
    )


def _used(column: Swept, kept: NDArray[np.bool_]) -> Swept:
    """A column of some rows, without the values that none of them takes."""
    codes = column.codes[kept]
    there = np.bincount(codes, minlength=len(column.values)) > 0
    return Swept([column.values[i] for i in np.flatnonzero(there)], (np.cumsum(there) - 1)[codes])


def _digests(name: str, column: Swept) -> NDArray[np.uint64]:
    """`digest_of` each value, floats all at once."""
    if column.floats is not None:
        digests: NDArray[np.uint64] = scattered(
            (column.floats + 0.0).view(np.uint64) ^ np.uint64(field_digest(name))
        )
        return digests
    return np.array([digest_of(name, value) for value in column.values], np.uint64)


def dense(key: Codes, room: int | None = None) -> tuple[Codes, int]:
    """(size,) codes from 0 in the order of the keys, equal where these are, and how many there are.

    Keys lie from 0 to room-1.

    Keys that lie close together are numbered by a table, in a tenth of the time that sorting them
    takes.
    """
    room = int(key.max()) + 1 if room is None else room
    if room > TABLE * key.size:
        distinct, codes = np.unique(key, return_inverse=True)
        return codes, distinct.size
    there = np.zeros(room, np.bool_)
    there[key] = True
    numbers = np.cumsum(there)
    return (numbers - 1)[key], int(numbers[-1])


def first_of(codes: Codes, count: int) -> Codes:
    """(count,) the first row of each code."""
    first = np.empty(count, np.int64)
    first[codes[::-1]] = np.arange(
        codes.size - 1, -1, -1
    )  # of the rows with one code the last assignment stays
    return first


def combined(keys: list[tuple[Codes, int]], size: int) -> Codes:
    """(size,) one integer per row, equal where all codes are equal.

    `keys` are codes and how many there can be.

    Integers are in the order of the keys, the first the slowest; they are not dense.
    """
    total, room = np.zeros(size, np.int64), 1
    for codes, count in keys:
        if count == 1:
            continue
        if room * count >= 2**62:
            total, room = dense(total, room)
        total = total * count + codes
        room *= count
    return total


def field_of(config: Config, name: str) -> Any:
    """A configuration's field by dotted name."""
    section, _, field = name.partition(".")
    return getattr(getattr(config, section), field) if field else getattr(config, section)


def _ordinal(value: Any) -> float:
    return (
        math.nan
        if value is None
        else float(value.toordinal() if hasattr(value, "toordinal") else value)
    )
