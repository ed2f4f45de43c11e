"""The grid of a sweep: which configurations are tried, one a row, checked as a whole before anything runs.

A row changes some fields of a base configuration. Values are held once each, and a row by their positions: what a sweep
does per row, it does with arrays of small integers.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.spec.config import PARTS, RULE_SETS, Config, digest_of, field_digest, field_names, read_toml, scattered
from wheelvec.spec.errors import ConfigError, InputError, unknown_name
from wheelvec.spec.knobs import empty_range

Codes = NDArray[np.int64]
GridLike = Mapping[str, Iterable[Any]] | pl.DataFrame
SHOWN = 5  # refused rows that an error spells out
TABLE = 16  # times as many places as keys, at most, in a table that numbers them

_FIELDS = {f"{section}.{f.name}": f for section, kind in PARTS.items() for f in dataclasses.fields(kind)}
_ALIASES = {
    f"{section}.{f.metadata['alias']}": f"{section}.{f.name}"
    for section, kind in PARTS.items()
    for f in dataclasses.fields(kind)
    if f.metadata["alias"]
}


@dataclasses.dataclass(frozen=True)
class Swept:
    """One field's values, each once and as the configuration holds them, and which of them each row takes."""

    values: list[Any]
    codes: Codes  # (rows,)

    @cached_property
    def floats(self) -> NDArray[np.float64] | None:
        """The values as an array, where all of them are floats."""
        return np.array(self.values) if self.values and set(map(type, self.values)) == {float} else None


@dataclasses.dataclass(frozen=True)
class Grid:
    """The configurations of a sweep.

    Attributes:
        base: what a row keeps where it changes nothing.
        frame: one row a configuration, as it was given: the grid's columns of `Sweep.frame`.
        columns: dotted field name -> `Swept`; fields that are not swept are absent.
    """

    base: Config
    frame: pl.DataFrame
    columns: dict[str, Swept]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return self.frame.height

    @classmethod
    def read(cls, base: Config, grid: GridLike) -> "Grid":
        """Read a mapping of names to values (their product, last key fastest), or a frame with one configuration a row.

        Raises:
            ConfigError: for an unknown field, or naming the rows that no configuration can be.
            InputError: for what is neither, or holds no row.
        """
        if isinstance(grid, pl.LazyFrame):
            grid = grid.collect()
        if not isinstance(grid, pl.DataFrame | Mapping):
            raise InputError(f"grid is a {type(grid).__name__}: expected a mapping of field names to values, or a Polars frame")
        names = _names(list(grid.columns if isinstance(grid, pl.DataFrame) else grid))
        columns, frame = _of_frame(names, grid) if isinstance(grid, pl.DataFrame) else _of_product(names, grid)
        if not frame.height:
            raise InputError("the grid has no row: expected at least one configuration")
        refused: dict[int, str] = {}
        read = {name: _read(name, column, refused) for name, column in columns.items()}
        whole = cls(base, frame, read)
        if not refused:
            whole._check_ranges(refused)
        if refused:
            raise ConfigError(refusal(refused, frame.height))
        return whole

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
        """The values of a field as numbers, in the order of `codes`; None becomes NaN unless `encode`, applied to each value,
        says otherwise."""
        column = self.columns.get(name)
        if column is not None and column.floats is not None and encode is None and dtype is np.float64:
            return column.floats
        return np.array([encode(value) if encode else np.nan if value is None else value for value in self.values(name)], dtype)

    def column(self, name: str, encode: Any = None, dtype: Any = np.float64, rows: Codes | None = None) -> NDArray[Any]:
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
        """Of rows that are equal in every field the first one, and for each row the position of its like among these."""
        rows = np.arange(self.size)
        if any(len(column.values) == self.size for column in self.columns.values()):
            return rows, rows
        key = combined([(column.codes, len(column.values)) for column in self.columns.values()], self.size)
        codes, count = dense(key)
        if count == self.size:
            return rows, rows
        first = first_of(codes, count)
        order = np.argsort(first)
        position = np.empty_like(order)
        position[order] = np.arange(order.size)
        return first[order], position[codes]

    def _check_ranges(self, refused: dict[int, str]) -> None:
        for section, kind in PARTS.items():
            for low, high in getattr(kind, "ranges", ()):
                names = (f"{section}.{low}", f"{section}.{high}")
                if not any(name in self.columns for name in names):
                    continue
                first, last = (self.column(name, _ordinal) for name in names)
                for row in np.flatnonzero(first > last).tolist():
                    values = (self.value(name, row) for name in names)
                    refused.setdefault(row, empty_range(section, low, high, *values))


def _digests(name: str, column: Swept) -> NDArray[np.uint64]:
    """`digest_of` each value, floats all at once."""
    if column.floats is not None:
        digests: NDArray[np.uint64] = scattered((column.floats + 0.0).view(np.uint64) ^ np.uint64(field_digest(name)))
        return digests
    return np.array([digest_of(name, value) for value in column.values], np.uint64)


def dense(key: Codes, room: int | None = None) -> tuple[Codes, int]:
    """(size,) codes from 0 in the order of the keys, equal where these are, and how many there are; keys lie from 0 to room-1.

    Keys that lie close together are numbered by a table, in a tenth of the time that sorting them takes.
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
    first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)  # of the rows with one code the last assignment stays
    return first


def combined(keys: list[tuple[Codes, int]], size: int) -> Codes:
    """(size,) one integer per row, equal where all codes are equal; `keys` are codes and how many there can be.

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


def refusal(refused: Mapping[int, str], size: int) -> str:
    """Name the rows of a grid that are refused, and why."""
    shown = "; ".join(f"row {row}: {refused[row]}" for row in sorted(refused)[:SHOWN])
    more = f"; and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
    return f"grid: {len(refused)} of {size} rows cannot be run: {shown}{more}"


def _ordinal(value: Any) -> float:
    return math.nan if value is None else float(value.toordinal() if hasattr(value, "toordinal") else value)


def _names(given: list[str]) -> dict[str, str]:
    """Name as given -> dotted name of the field."""
    names: dict[str, str] = {}
    for name in given:
        field = _ALIASES.get(name, name)
        if field not in _FIELDS and field != "rules":
            raise ConfigError("grid: " + unknown_name("field", name, [*field_names(), "rules"]))
        if field in names.values():
            raise ConfigError(f"grid: {name!r} names the field {field!r} a second time")
        names[name] = field
    return names


def _of_product(names: dict[str, str], grid: Mapping[str, Iterable[Any]]) -> tuple[dict[str, Swept], pl.DataFrame]:
    values: dict[str, list[Any]] = {}
    for name, given in grid.items():
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise InputError(f"grid[{name!r}] = {given!r}: expected a list of values")
        values[name] = given.tolist() if isinstance(given, np.ndarray) else list(given)
        if not values[name]:
            raise InputError(f"grid[{name!r}] is empty: expected at least one value")
    size = math.prod(len(v) for v in values.values())
    columns, frame, inner = {}, {}, size
    for name, given in values.items():
        inner //= len(given)
        codes = np.tile(np.repeat(np.arange(len(given)), inner), size // (inner * len(given)))
        columns[names[name]] = Swept(given, codes)
        frame[name] = _repeated(name, given, codes)
    return columns, pl.DataFrame(frame) if frame else pl.DataFrame({"": [0]}).drop("")


def _repeated(name: str, values: list[Any], codes: Codes) -> pl.Series:
    if set(map(type, values)) == {float}:
        return pl.Series(name, np.array(values)[codes])
    return _series(name, values).gather(codes)


def _series(name: str, values: list[Any]) -> pl.Series:
    """Values as a column of the frame; what Polars has no type for stands as text."""
    try:
        plain = [list(v) if isinstance(v, tuple | range) else v for v in values]
        if any(isinstance(v, int) and v > 2**63 - 1 for v in values):
            return pl.Series(name, plain, pl.UInt64)
        return pl.Series(name, plain)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if v is None else str(v) for v in values])


def _of_frame(names: dict[str, str], grid: pl.DataFrame) -> tuple[dict[str, Swept], pl.DataFrame]:
    columns = {}
    for name, field in names.items():
        distinct = grid[name].unique(maintain_order=True)
        if distinct.len() == grid.height:
            codes = np.arange(grid.height)
        elif grid.schema[name].is_nested():
            seen: dict[str, int] = {}
            codes = np.array([seen.setdefault(str(value), len(seen)) for value in grid[name].to_list()], np.int64)
        else:
            numbered = distinct.to_frame().with_row_index("code")
            codes = (
                grid.select(name)
                .join(numbered, on=name, how="left", nulls_equal=True, maintain_order="left")["code"]
                .to_numpy()
            )
        columns[field] = Swept(distinct.to_list(), codes.astype(np.int64))
    return columns, grid


def _read(name: str, given: Swept, refused: dict[int, str]) -> Swept:
    """Values as the configuration holds them, equal ones as one; rows with one that it refuses go into `refused`."""
    if _all_floats(name, given):
        return given
    read: list[Any] = []
    codes = np.zeros(len(given.values), np.int64)
    position: dict[Any, int] = {}
    for i, value in enumerate(given.values):
        try:
            held = _read_one(name, value)
        except ConfigError as error:
            for row in np.flatnonzero(given.codes == i).tolist():
                refused.setdefault(row, str(error))
            continue
        if held not in position:
            position[held] = len(read)
            read.append(held)
        codes[i] = position[held]
    return Swept(read, codes[given.codes])


def grid_from_toml(path: str | Path) -> dict[str, list[Any]]:
    """The grid of a TOML file: the sections of a configuration, with a list of values for each field that is swept, and `rules`
    at the top; "none" where a field may be None.

    A table stands for many numbers: {first = 0.2, last = 0.8, count = 13} for evenly spaced ones, {first = 1, last = 32} for
    the whole numbers between.

    Raises:
        ConfigError: if the file cannot be read, is no TOML (with the line), or a field has neither.
    """
    flat: dict[str, Any] = {}
    for section, fields in read_toml(path).items():
        whole = section == "rules" or not isinstance(fields, dict)
        flat |= {section: fields} if whole else {f"{section}.{name}": value for name, value in fields.items()}
    return {name: _values_of(f"{path}: {name}", name, value) for name, value in flat.items()}


def _values_of(where: str, name: str, value: Any) -> list[Any]:
    if isinstance(value, dict) and value.keys() == {"first", "last", "count"}:
        return [float(v) for v in np.linspace(value["first"], value["last"], value["count"])]
    if isinstance(value, dict) and value.keys() == {"first", "last"}:
        return list(range(value["first"], value["last"] + 1))
    if not isinstance(value, list):
        raise ConfigError(
            f"{where} = {value!r}: expected a list of values, or a table of first and last, and count for numbers"
        )
    field = _FIELDS.get(_ALIASES.get(name, name))
    optional = field is not None and field.metadata["optional"]
    return [None if optional and item == "none" else item for item in value]


def read_values(name: str, values: list[Any]) -> list[Any]:
    """Values of one field as the configuration holds them.

    Raises:
        ConfigError: for a value that the field refuses.
    """
    return [_read_one(name, value) for value in values]


def _read_one(name: str, value: Any) -> Any:
    if name == "rules":
        if value not in RULE_SETS:
            raise ConfigError(unknown_name("rules", value, RULE_SETS))
        return value
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):  # a frame's list of structs: a curve's pairs
        plain = [tuple(pair.values()) for pair in plain]
    return _FIELDS[name].metadata["read"](name, plain)


def _all_floats(name: str, given: Swept) -> bool:
    """Whether the values are distinct floats that the field takes as they are: thousands of them are read at once."""
    span = None if name == "rules" else _FIELDS[name].metadata["span"]
    if span is None or len(given.values) < 16 or given.floats is None:
        return False
    low, high, closed = span
    array = given.floats
    inside = ((array >= low) if closed else (array > low)) & (array <= high) & np.isfinite(array)
    return bool(inside.all()) and np.unique(array).size == array.size
