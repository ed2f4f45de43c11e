"""Reading of grids: mappings of field names to values, frames, and TOML, Parquet or CSV files.

A grid with too many rows is refused before memory for its rows is allocated.
"""

import dataclasses
import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sized
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model.account import Account
from wheelvec.model.addresses import check_path
from wheelvec.model.config import RULE_SETS, SECTIONS, read_toml, unknown_field
from wheelvec.model.errors import ConfigError, InputError, cut, no_file, unknown_name
from wheelvec.model.fields import plain, real
from wheelvec.model.refusals import Refusals
from wheelvec.model.schemas import as_lazy, readable

Codes = NDArray[np.int64]
# Names of fields that change together, and the values of each.
Axis = tuple[list[str], list[list[Any]]]
GridLike = Mapping[Any, Any] | pl.DataFrame | pl.LazyFrame

MOST_ROWS = 10_000_000  # the frame of such a grid takes several gigabytes
SIGNAL = "signal"  # the one column that is no field: it names a signal that `sweep` was given
ACCOUNT = "account."  # begins the names of the fields of an account
GRID_FILES = {".toml": "TOML", ".parquet": "Parquet", ".pq": "Parquet", ".csv": "CSV"}

SWEPT_SECTIONS = SECTIONS | {"account": Account}
FIELDS = {
    f"{section}.{f.name}": f
    for section, kind in SWEPT_SECTIONS.items()
    for f in dataclasses.fields(kind)
}
ALIASES = {
    f"{name.partition('.')[0]}.{f.metadata['alias']}": name
    for name, f in FIELDS.items()
    if f.metadata["alias"]
}


@dataclasses.dataclass(frozen=True)
class Swept:
    """The values of one field of a grid.

    Attributes:
        values: the distinct values, of the type that a configuration stores.
        codes: (rows,) the position of each row's value in `values`.
    """

    values: list[Any]
    codes: Codes

    @cached_property
    def floats(self) -> NDArray[np.float64] | None:
        """(values,) the values as an array if all of them are floats, else None."""
        return (
            np.array(self.values)
            if self.values and set(map(type, self.values)) == {float}
            else None
        )


def columns_of(grid: Any) -> tuple[dict[str, Swept], pl.DataFrame]:
    """The values of each field, not yet validated, and the rows of the grid as a frame.

    Raises:
        ConfigError: for an unknown field, a field named twice, or more than MOST_ROWS rows.
        InputError: if `grid` is neither a mapping nor a frame.
    """
    if isinstance(grid, Mapping):
        axes = [_axis(name, values) for name, values in grid.items()]
        return _of_product(axes, _dotted([name for names, _ in axes for name in names]))
    if not hasattr(type(grid), "columns"):
        raise InputError(
            f"grid is a {type(grid).__name__}: expected a mapping of field names to values, "
            "or a frame"
        )
    with readable("grid"):
        frame = as_lazy("grid", grid).head(MOST_ROWS + 1).collect()
    if frame.height > MOST_ROWS:
        raise ConfigError(f"grid: more than {MOST_ROWS:,} rows: expected at most so many")
    return _of_frame(_dotted(frame.columns), frame), frame


def _dotted(given: list[str], where: object = "grid") -> dict[str, str]:
    """The dotted field names by the names as given."""
    names: dict[str, str] = {}
    for name in given:
        field = ALIASES.get(name, name)
        if field not in FIELDS and field not in ("rules", SIGNAL):
            meant = name.casefold() in (SIGNAL, f"{SIGNAL}s")
            unknown = unknown_name("field", name, [SIGNAL]) if meant else _unknown(name)
            raise ConfigError(f"{where}: {unknown}")
        if field in names.values():
            raise ConfigError(f"{where}: {name!r} names the field {field!r} a second time")
        names[name] = field
    return names


def _unknown(name: str) -> str:
    """The error message for an unknown name of a field."""
    known = [field for field in FIELDS if field.startswith(ACCOUNT)]
    return unknown_name("field", name, known) if name.startswith(ACCOUNT) else unknown_field(name)


def _axis(key: Any, given: Any) -> Axis:
    """The names of a key and the values of each; the keys "a, b" and ("a", "b") have pairs."""
    names = (
        [name.strip() for name in key.split(",")]
        if isinstance(key, str)
        else list(key)
        if isinstance(key, tuple)
        else []
    )
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"grid: {cut(key)} is no field: expected a name such as 'put.exit_pct', "
            "or a tuple of names"
        )
    where = f"grid[{key!r}]"
    values = number_range(where, given) if isinstance(given, Mapping) else _listed(where, given)
    if not values:
        raise InputError(f"{where} is empty: expected at least one value")
    return names, [values] if len(names) == 1 else _unpaired(where, names, values)


def _listed(where: str, given: Any) -> list[Any]:
    """The values as a list.

    The number of values is checked first, so that range(10**12) allocates no memory.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InputError(f"{where} = {cut(given)}: expected a list of values")
    try:
        too_many = isinstance(given, Sized) and len(given) > MOST_ROWS
    except OverflowError:  # a range longer than 2**63
        too_many = True
    if not too_many and isinstance(given, np.ndarray) and given.ndim and given.dtype.kind != "M":
        return given.tolist()  # type: ignore[no-any-return]
    values = [] if too_many else list(itertools.islice(given, MOST_ROWS + 1))
    if too_many or len(values) > MOST_ROWS:
        raise ConfigError(
            f"{where} has more than {MOST_ROWS:,} values: expected at most so many rows"
        )
    return [plain(value) for value in values]


def _unpaired(where: str, names: list[str], values: list[Any]) -> list[list[Any]]:
    """The values of each name, from values that are tuples with one item for each name."""
    for i, value in enumerate(values):
        if (
            isinstance(value, str | bytes | Mapping)
            or not isinstance(value, Sized)
            or len(value) != len(names)
        ):
            raise ConfigError(
                f"{where}: value {i} is {cut(value)}: expected {len(names)} values, "
                f"of {', '.join(names)}"
            )
    return [[plain(item) for item in column] for column in zip(*values, strict=True)]


def number_range(where: str, table: Mapping[str, Any]) -> list[Any]:
    """The numbers of a table: {first, last, count} evenly spaced, {first, last} all whole numbers.

    Raises:
        ConfigError: if the table has other keys, first, last or count is not such a number, or
            there are more than MOST_ROWS numbers.
    """
    keys = set(table)
    if keys not in ({"first", "last", "count"}, {"first", "last"}):
        raise ConfigError(
            f"{where} = {cut(dict(table))}: expected a list, or a table of first and last, "
            "and count for numbers"
        )
    first, last = (
        _bound(f"{where}: {key}", table[key], whole="count" not in keys)
        for key in ("first", "last")
    )
    if "count" not in keys:
        if last < first:
            raise ConfigError(
                f"{where}: first = {first} is above last = {last}: expected first <= last"
            )
        _check_count(where, int(last) - int(first) + 1)
        return list(range(int(first), int(last) + 1))
    count = plain(table["count"])
    if (
        isinstance(count, bool)
        or not isinstance(count, int)
        or count < 1
        or (count == 1 and first != last)
    ):
        raise ConfigError(f"{where}: count = {cut(count)}: expected a whole number of at least 2")
    _check_count(where, count)
    return [float(value) for value in np.linspace(first, last, count)]


def _bound(where: str, value: Any, *, whole: bool) -> float:
    value = plain(value)
    if whole and isinstance(value, int) and not isinstance(value, bool):
        return value
    if real(value) is None or whole:
        expected = (
            "a whole number, or a count of numbers beside first and last" if whole else "a number"
        )
        raise ConfigError(f"{where} = {cut(value)}: expected {expected}")
    return float(value)


def _check_count(where: str, count: int) -> None:
    if count > MOST_ROWS:
        raise ConfigError(f"{where} has {count:,} values: expected at most {MOST_ROWS:,} rows")


def _of_product(axes: list[Axis], dotted: dict[str, str]) -> tuple[dict[str, Swept], pl.DataFrame]:
    counts = [len(columns[0]) for _, columns in axes]
    size = math.prod(counts)
    if size > MOST_ROWS:
        product = " x ".join(
            f"{count:,} of {', '.join(names)}"
            for (names, _), count in zip(axes, counts, strict=True)
        )
        raise ConfigError(f"grid: {product} are {size:,} rows: expected at most {MOST_ROWS:,}")
    columns, frame, inner = {}, {}, size
    for (names, values), count in zip(axes, counts, strict=True):
        inner //= count
        codes = np.tile(np.repeat(np.arange(count), inner), size // (inner * count))
        for name, given in zip(names, values, strict=True):
            columns[dotted[name]] = Swept(given, codes)
            frame[name] = _repeated(name, given, codes)
    return columns, pl.DataFrame(frame) if frame else pl.DataFrame({"": [0]}).drop("")


def _repeated(name: str, values: list[Any], codes: Codes) -> pl.Series:
    if set(map(type, values)) == {float}:
        return pl.Series(name, np.array(values)[codes])
    return _series(name, values).gather(codes)


def _series(name: str, values: list[Any]) -> pl.Series:
    """The values as a column of a frame; as text if Polars has no type for them."""
    try:
        plain = [list(v) if isinstance(v, tuple | range) else v for v in values]
        if any(isinstance(v, int) and v > 2**63 - 1 for v in values):
            return pl.Series(name, plain, pl.UInt64)
        return pl.Series(name, plain)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if v is None else str(v) for v in values])


def _of_frame(names: dict[str, str], grid: pl.DataFrame) -> dict[str, Swept]:
    columns = {}
    for name, field in names.items():
        distinct = grid[name].unique(maintain_order=True)
        if distinct.len() == grid.height:
            codes = np.arange(grid.height)
        elif grid.schema[name].is_nested():
            seen: dict[str, int] = {}
            codes = np.array(
                [seen.setdefault(str(value), len(seen)) for value in grid[name].to_list()], np.int64
            )
        else:
            numbered = distinct.to_frame().with_row_index("code")
            codes = (
                grid.select(name)
                .join(numbered, on=name, how="left", nulls_equal=True, maintain_order="left")[
                    "code"
                ]
                .to_numpy()
            )
        columns[field] = Swept(distinct.to_list(), codes.astype(np.int64))
    return columns


# ---- validation of the values


def read(
    name: str, given: Swept, refusals: Refusals, signals: Collection[str] | None = None
) -> Swept:
    """The values of a field, converted to the stored type and made distinct.

    Rows whose value is not allowed, or names none of the `signals`, are noted in `refusals`.
    """
    if _all_floats(name, given):
        return given
    distinct: list[Any] = []
    codes = np.zeros(len(given.values), np.int64)
    reasons: dict[int, str] = {}
    position: dict[Any, int] = {}
    for i, value in enumerate(given.values):
        try:
            one = _read_one(name, value, signals)
        except ConfigError as error:
            reasons[i] = str(error)
            continue
        if one not in position:
            position[one] = len(distinct)
            distinct.append(one)
        codes[i] = position[one]
    refusals.note(reasons, given.codes, len(given.values))
    return Swept(distinct, codes[given.codes])


def read_values(name: str, values: list[Any]) -> list[Any]:
    """The values of one field, converted to the stored type.

    Raises:
        ConfigError: for a value that the field does not allow.
    """
    return [_read_one(name, value) for value in values]


def _read_one(name: str, value: Any, signals: Collection[str] | None = None) -> Any:
    if name == SIGNAL:
        return _read_signal(value, signals)
    if name == "rules":
        if not isinstance(value, str) or value not in RULE_SETS:
            raise ConfigError(unknown_name("rules", value, RULE_SETS))
        return value
    if isinstance(value, list) and value and isinstance(value[0], dict):
        # a list of structs in a frame: pairs of session and value
        value = [tuple(pair.values()) for pair in value]
    return FIELDS[name].metadata["read"](name, value)


def _read_signal(value: Any, signals: Collection[str] | None) -> str | None:
    """The name of a signal; any name is allowed if `signals` is None."""
    if value is None or (isinstance(value, str) and (signals is None or value in signals)):
        return value
    if not signals:
        raise ConfigError(f"unknown {SIGNAL} {cut(value)}: signals= holds none; expected None")
    raise ConfigError(unknown_name(SIGNAL, value, signals))


def _all_floats(name: str, given: Swept) -> bool:
    """Whether the values are distinct floats that the field allows and stores unchanged.

    This validates thousands of them as one array.
    """
    bounds = None if name in ("rules", SIGNAL) else FIELDS[name].metadata["bounds"]
    if bounds is None or len(given.values) < 16 or given.floats is None:
        return False
    low, high, closed = bounds
    array = given.floats
    inside = ((array >= low) if closed else (array > low)) & (array <= high) & np.isfinite(array)
    return bool(inside.all()) and np.unique(array).size == array.size


# ---- files


def grid_from_file(path: str | Path) -> GridLike:
    """The grid of a file: TOML (`grid_from_toml`), or Parquet or CSV with one configuration a row.

    The columns of Parquet and CSV files have dotted field names. A null, and "none" in CSV, means
    None.

    Raises:
        ConfigError: if the file is not of the format that its suffix states, has more than
            MOST_ROWS rows, or an unknown field.
    """
    check_path(path)
    kind = GRID_FILES.get(Path(path).suffix.lower())
    if kind is None:
        suffixes = ", ".join(f"*{suffix}" for suffix in GRID_FILES)
        raise ConfigError(f"{path}: expected a grid in a file named {suffixes}")
    if kind == "TOML":
        return grid_from_toml(path)
    if not Path(path).is_file():
        raise ConfigError(f"{path}: cannot be read: {no_file(Path(path))}")
    try:
        scanned = pl.scan_parquet(path) if kind == "Parquet" else _scanned_csv(path)
        if (rows := scanned.select(pl.len()).collect().item()) > MOST_ROWS:
            raise ConfigError(f"{path} has {rows:,} rows: expected at most {MOST_ROWS:,}")
        frame = scanned.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{path}: cannot be read as {kind}: {reason or type(error).__name__}"
        ) from None
    _dotted(frame.columns, path)
    return frame


def _scanned_csv(path: str | Path) -> pl.LazyFrame:
    frame = pl.scan_csv(
        path, null_values=["", "none"], try_parse_dates=True, infer_schema_length=None
    )
    flags = [name for name, field in FIELDS.items() if field.type is bool]
    written = [
        name for name, kind in frame.collect_schema().items() if name in flags and kind == pl.String
    ]
    as_flag = [
        pl.col(name).str.to_lowercase().replace_strict({"true": True, "false": False})
        for name in written
    ]
    return frame.with_columns(as_flag)


def grid_from_toml(path: str | Path) -> dict[str, list[Any]]:
    """The grid of a TOML file: sections as in a configuration, with a list of values for a field.

    `rules` and `signal` have no section; "none" means None where a field may be None. Instead of a
    list a field may have a table: {first = 0.2, last = 0.8, count = 13} for evenly spaced numbers,
    {first = 1, last = 32} for all whole numbers. Fields that change together have one key, within
    their section or with dotted names: "delta_min, delta_max" = [[0.15, 0.25], [0.25, 0.35]].

    Raises:
        ConfigError: if the file cannot be read or is not TOML (with the line), or a field has
            neither a list nor a table.
    """
    flat: dict[str, Any] = {}
    for section, fields in read_toml(path).items():
        within = isinstance(fields, dict) and section in SWEPT_SECTIONS
        flat |= (
            {_prefixed(section, name): value for name, value in fields.items()}
            if within
            else {section: fields}
        )
    _dotted([name for names in flat for name in names.split(", ")], path)
    return {name: _values_of(f"{path}: {name}", name, value) for name, value in flat.items()}


def _prefixed(section: str, names: str) -> str:
    return ", ".join(
        name if "." in name else f"{section}.{name}" for name in map(str.strip, names.split(","))
    )


def _values_of(where: str, names: str, value: Any) -> list[Any]:
    if isinstance(value, dict):
        return number_range(where, value)
    if not isinstance(value, list):
        raise ConfigError(
            f"{where} = {cut(value)}: expected a list of values, or a table of first and last, "
            "and count for numbers"
        )
    optional = [_is_optional(ALIASES.get(name, name)) for name in names.split(", ")]
    if len(optional) == 1:
        return [_null(item, optional[0]) for item in value]
    return [
        list(map(_null, item, optional))
        if isinstance(item, list) and len(item) == len(optional)
        else item
        for item in value
    ]


def _is_optional(name: str) -> bool:
    return name == SIGNAL or (name in FIELDS and FIELDS[name].metadata["optional"])


def _null(item: Any, optional: bool) -> Any:
    return None if optional and item == "none" else item
