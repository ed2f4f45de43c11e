"""The grid of a sweep: one configuration a row, all rows validated before the sweep runs.

A row changes some fields of a base configuration. Each distinct value of a field is stored once,
and a row stores codes, the positions of its values. Operations over all rows therefore work on
arrays of integers.
"""

import dataclasses
import math
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model.account import Account, two_sizes
from wheelvec.model.axes import (
    ACCOUNT,
    SIGNAL,
    Codes,
    GridLike,
    Swept,
    columns_of,
    grid_from_file,
    grid_from_toml,
    read,
    read_values,
)
from wheelvec.model.config import SECTIONS, Config, digest_of, field_digest, splitmix64
from wheelvec.model.errors import ConfigError, InputError
from wheelvec.model.fields import empty_range, missing_target, unused_target
from wheelvec.model.refusals import Refusals, RefusedRowsError, described
from wheelvec.model.sections import after_close

__all__ = [
    "ACCOUNT",
    "SIGNAL",
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

MAX_TABLE = 16  # largest size of a look-up table of keys, relative to their number
NO_ROWS = pl.DataFrame(schema={"row": pl.Int64, "reason": pl.String})


@dataclasses.dataclass(frozen=True)
class Grid:
    """The configurations of a sweep.

    Attributes:
        base: the configuration whose fields the rows change.
        frame: (size,) the values as given, one configuration a row; columns of `Sweep.frame`.
        columns: the values by dotted field name, for the fields that are swept. `signal` is no
            field: it names the signal, of those given to a sweep, on whose sessions a row enters.
        skipped: row (its number in the grid as given) and reason of every row that was left out.
        account: the account whose fields the rows change; None: there is none.
    """

    base: Config
    frame: pl.DataFrame
    columns: dict[str, Swept]
    skipped: pl.DataFrame = dataclasses.field(default_factory=NO_ROWS.clone)
    account: Account | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return self.frame.height

    @classmethod
    def read(
        cls,
        base: Config,
        grid: GridLike,
        *,
        skip_invalid: bool = False,
        signals: Collection[str] = (),
        account: Account | None = None,
    ) -> "Grid":
        """The grid of a mapping or a frame.

        Args:
            base: the configuration whose fields the rows change.
            grid: field names to values, of which the rows are the product (last key fastest); or
                a frame with one configuration a row.
            skip_invalid: leave out invalid rows instead of raising an error.
            signals: the names that a column `signal` may have.
            account: the account whose fields the rows change; None is `Account()` where a field of
                it is swept, and otherwise none.

        Raises:
            ConfigError: for an unknown field, too many rows, or invalid rows, which are named.
            InputError: if `grid` is neither a mapping nor a frame, or has no row.
        """
        columns, frame = columns_of(grid)
        if not frame.height:
            raise InputError("the grid has no row: expected at least one configuration")
        refusals = Refusals(frame.height)
        values = {name: read(name, column, refusals, signals) for name, column in columns.items()}
        if account is None and any(name.startswith(ACCOUNT) for name in values):
            account = Account()
        checked = cls(base, frame, values, account=account).without(
            refusals, skip_invalid=skip_invalid
        )
        return checked.without(checked._contradictions(), skip_invalid=skip_invalid)

    def without(self, refusals: Refusals, *, skip_invalid: bool = True) -> "Grid":
        """The grid without the refused rows, which are added to `skipped`.

        Raises:
            ConfigError: if rows are refused and `skip_invalid` is false, or no row is left.
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

    def taken(self, rows: Codes) -> "Grid":
        """The grid of some rows, in their order, of which none is skipped."""
        columns = {name: _used(column, rows) for name, column in self.columns.items()}
        return Grid(self.base, self.frame[rows], columns, account=self.account)

    def without_account(self) -> "Grid":
        """The same rows without their accounts."""
        columns = {n: c for n, c in self.columns.items() if not n.startswith(ACCOUNT)}
        return Grid(self.base, self.frame, columns)

    def value(self, name: str, row: int) -> Any:
        """The value of a field in a row, swept or not."""
        column = self.columns.get(name)
        return self.values(name)[0] if column is None else column.values[column.codes[row]]

    def config(self, row: int) -> Config:
        """The configuration of a row."""
        return self.base.replace(**{name: self.value(name, row) for name in self._fields})

    @property
    def _fields(self) -> list[str]:
        """The columns that are fields of the configuration."""
        return [name for name in self.columns if name != SIGNAL and not name.startswith(ACCOUNT)]

    @property
    def account_fields(self) -> list[str]:
        """The columns that are fields of the account."""
        return [name for name in self.columns if name.startswith(ACCOUNT)]

    def account_of(self, row: int) -> Account:
        """The account of a row of a grid that has one.

        A size that a row states replaces the other size of the base, as `Account.replace` does.
        """
        changes = {
            name.removeprefix(ACCOUNT): self.value(name, row) for name in self.account_fields
        }
        return (self.account or Account()).replace(**changes)

    def codes(self, name: str) -> Codes | None:
        """(size,) the position of each row's value in `values`; None if the field is not swept."""
        return self.columns[name].codes if name in self.columns else None

    def values(self, name: str) -> list[Any]:
        """The distinct values of a field, which `codes` index; None for a signal not swept."""
        if name in self.columns:
            return self.columns[name].values
        if name.startswith(ACCOUNT):
            return [getattr(self.account, name.removeprefix(ACCOUNT))]
        return [None if name == SIGNAL else field_of(self.base, name)]

    def table(self, name: str, encode: Any = None, dtype: Any = np.float64) -> NDArray[Any]:
        """(values,) the distinct values of a field as numbers, which `codes` index.

        `encode` is applied to each value; without it None becomes NaN.
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
        """(rows,) the values of a field as numbers, for the given rows or for all."""
        table, codes = self.table(name, encode, dtype), self.codes(name)
        if codes is None:
            return np.full(self.size if rows is None else rows.size, table[0])
        return table[codes if rows is None else codes[rows]]

    def least(self, name: str) -> float:
        """The least value of a field in any row."""
        return float(self.table(name).min())

    def most(self, name: str) -> float:
        """The greatest value of a field in any row; infinity if it is None (no limit) in one."""
        table = self.table(name)
        return math.inf if np.isnan(table).any() else float(table.max())

    def ids(self) -> NDArray[np.uint64]:
        """(size,) the ids of the configurations as numbers; `Config.id` has them in hexadecimal."""
        total = np.full(self.size, int(self.base.id, 16), np.uint64)
        for name in self._fields:
            column = self.columns[name]
            digests = _digests(name, column) - np.uint64(digest_of(name, field_of(self.base, name)))
            total += digests[column.codes]
        return total

    def identities(self) -> list[NDArray[np.uint64]]:
        """(size,) each: the ids, and the digests of signals and of the account's swept fields.

        Rows that are equal in all of these arrays are equal.
        """
        others = [name for name in (SIGNAL, *self.account_fields) if name in self.columns]
        columns = [(name, self.columns[name]) for name in others]
        return [self.ids(), *(_digests(name, column)[column.codes] for name, column in columns)]

    @cached_property
    def distinct(self) -> tuple[Codes, Codes]:
        """(distinct,) the first row of each distinct configuration, and (size,) positions in it."""
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

    def configurations(self, rows: Codes) -> tuple[Codes, Codes]:
        """The positions among some rows of distinct configurations and signals, accounts aside.

        Args:
            rows: (n,) rows of the grid.

        Returns:
            (distinct,) the first position of each, and (n,) which of them each row has.
        """
        columns = [column for name, column in self.columns.items() if not name.startswith(ACCOUNT)]
        if not self.account_fields or not columns:
            every = np.arange(rows.size)
            return (every, every) if columns else (every[:1], np.zeros_like(every))
        keys = [(column.codes[rows], len(column.values)) for column in columns]
        codes, count = dense(combined(keys, rows.size))
        return first_of(codes, count), codes

    def _contradictions(self) -> Refusals:
        """The rows with an empty range, an unused target, or a missing target."""
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
            for target, method, user in kind.targets:
                names = (f"{section}.{target}", f"{section}.{method}")
                if self._swept(*names):
                    present = self.column(names[0], lambda value: value is not None, np.bool_)
                    used = self.column(names[1], lambda chosen, by=user: chosen == by, np.bool_)
                    at = (section, target, method, user)
                    self._note(
                        refusals, names, present & ~used, lambda *v, at=at: unused_target(*at, *v)
                    )
            for target, method, user in getattr(kind, "needed", ()):
                names = (f"{section}.{target}", f"{section}.{method}")
                if self._swept(*names):
                    absent = self.column(names[0], lambda value: value is None, np.bool_)
                    used = self.column(names[1], lambda chosen, by=user: chosen == by, np.bool_)
                    self._note(
                        refusals,
                        names,
                        absent & used,
                        lambda *_, at=(section, target, method, user): missing_target(*at),
                    )
        self._note_late_entry_times(refusals)
        self._note_two_sizes(refusals)
        return refusals

    def _note_two_sizes(self, refusals: Refusals) -> None:
        """Refuse rows with both sizes of a wheel in the account."""
        names = (f"{ACCOUNT}contracts", f"{ACCOUNT}fraction")
        if all(name in self.columns for name in names):
            contracts, fraction = (
                self.column(name, lambda value: value is not None, np.bool_) for name in names
            )
            self._note(refusals, names, contracts & fraction, two_sizes)

    def _note_late_entry_times(self, refusals: Refusals) -> None:
        """Refuse rows whose entry time is at or after the close.

        Every pair of calendar and time is tested once, whatever the number of its rows.
        """
        names = ("schedule.trading_calendar", "schedule.entry_time")
        if not self._swept(*names):
            return
        calendars, times = (self.values(name) for name in names)
        late = np.array(
            [[bool(after_close(calendar, time)) for time in times] for calendar in calendars]
        )
        zeros = np.zeros(self.size, np.int64)
        calendar, time = (zeros if (codes := self.codes(name)) is None else codes for name in names)
        self._note(refusals, names, late[calendar, time], after_close)

    def _swept(self, *names: str) -> bool:
        return any(name in self.columns for name in names)

    def _note(
        self,
        refusals: Refusals,
        names: tuple[str, str],
        invalid: NDArray[np.bool_],
        reason: Callable[..., str],
    ) -> None:
        keys = [
            (self.columns[name].codes, len(self.values(name)))
            for name in names
            if name in self.columns
        ]
        note_rows(
            refusals, invalid, keys, lambda row: reason(*(self.value(name, row) for name in names))
        )


def note_rows(
    refusals: Refusals,
    invalid: NDArray[np.bool_],
    keys: list[tuple[Codes, int]],
    reason: Callable[[int], str],
) -> None:
    """Refuse rows of a grid.

    Args:
        refusals: receives the rows and reasons.
        invalid: (rows,) whether a row is refused.
        keys: codes (rows,) and their number, of the fields that the reason depends on.
        reason: the reason for a row; called once for rows with equal keys.
    """
    rows = np.flatnonzero(invalid)
    if not rows.size:
        return
    key = combined([(codes[rows], count) for codes, count in keys], rows.size)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    codes = np.full(invalid.size, first.size)
    codes[rows] = inverse
    refusals.note(
        {i: reason(row) for i, row in enumerate(rows[first].tolist())}, codes, first.size + 1
    )


def _used(column: Swept, kept: NDArray[Any]) -> Swept:
    """The column of some rows, by mask or number, without the values that none of them has."""
    codes = column.codes[kept]
    used = np.bincount(codes, minlength=len(column.values)) > 0
    return Swept([column.values[i] for i in np.flatnonzero(used)], (np.cumsum(used) - 1)[codes])


def _digests(name: str, column: Swept) -> NDArray[np.uint64]:
    """(values,) `digest_of` the values; floats are hashed as one array."""
    if column.floats is not None:
        digests: NDArray[np.uint64] = splitmix64(
            (column.floats + 0.0).view(np.uint64) ^ np.uint64(field_digest(name))
        )
        return digests
    return np.array([digest_of(name, value) for value in column.values], np.uint64)


def dense(key: Codes, bound: int | None = None) -> tuple[Codes, int]:
    """(size,) the rank of each key among the distinct keys, and the number of distinct keys.

    Keys are at least 0 and below `bound`. If `bound` is small, a look-up table takes a tenth of the
    time of sorting.
    """
    bound = int(key.max()) + 1 if bound is None else bound
    if bound > MAX_TABLE * key.size:
        distinct, codes = np.unique(key, return_inverse=True)
        return codes, distinct.size
    present = np.zeros(bound, np.bool_)
    present[key] = True
    ranks = np.cumsum(present)
    return (ranks - 1)[key], int(ranks[-1])


def first_of(codes: Codes, count: int) -> Codes:
    """(count,) the first row of each code."""
    first = np.empty(count, np.int64)
    # of several assignments to one element NumPy keeps the last
    first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
    return first


def combined(keys: list[tuple[Codes, int]], size: int) -> Codes:
    """(size,) one integer a row, equal for rows with equal codes in all keys.

    `keys` are pairs of codes (size,) and their number. The integers sort rows by the first key,
    then by the second and so on; they are not dense.
    """
    total, bound = np.zeros(size, np.int64), 1
    for codes, count in keys:
        if count == 1:
            continue
        if bound * count >= 2**62:
            total, bound = dense(total, bound)
        total = total * count + codes
        bound *= count
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
