"""How one field of the configuration is declared, read and refused.

A knob reads what a user may write (an int for a float, an ISO string for a date) into the one form that the library
holds, or raises a ConfigError that names the field, the value and what is allowed.
"""

import dataclasses
import datetime as dt
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, dataclass_transform

import polars as pl

from wheelvec.spec.errors import ConfigError, unknown_name

T = TypeVar("T")
Read = Callable[[str, Any], Any]


def _refuse(where: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"{where} = {value!r}: expected {allowed}")


def _declare(
    read: Read, default: Any, *, optional: bool = False, alias: str | None = None, span: tuple[float, float, bool] | None = None
) -> Any:
    """`span` is the least and greatest number allowed, and whether the least itself is: read one by one or, in a sweep, a
    million at once."""

    def read_optional(where: str, value: Any) -> Any:
        return None if value is None else read(where, value)

    metadata = {"read": read_optional if optional else read, "optional": optional, "alias": alias, "span": span}
    return dataclasses.field(default=default, metadata=metadata)


def _bounds(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def number(
    *,
    default: float | None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    optional: bool = False,
) -> Any:
    """A finite float within [low, high], or above `above`."""
    allowed = f"a number above {above}" if above is not None else "a number" + _bounds(low, high)

    def read(where: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise _refuse(where, value, allowed + (" or None" if optional else ""))
        outside = (low is not None and value < low) or (high is not None and value > high)
        if outside or (above is not None and value <= above):
            raise _refuse(where, value, allowed + (" or None" if optional else ""))
        return float(value)

    least = above if above is not None else -math.inf if low is None else low
    return _declare(read, default, optional=optional, span=(least, math.inf if high is None else high, above is None))


def integer(*, default: int | None, low: int, high: int = 1_000_000, optional: bool = False) -> Any:
    """A whole number within [low, high]; more days, sessions or cycles than `high` could not be counted."""
    allowed = "a whole number" + _bounds(low, high) + (" or None" if optional else "")

    def read(where: str, value: Any) -> int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not low <= value <= high:
            raise _refuse(where, value, allowed)
        return int(value)

    return _declare(read, default, optional=optional)


def flag(*, default: bool) -> Any:
    """True or False."""

    def read(where: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise _refuse(where, value, "True or False")
        return value

    return _declare(read, default)


def choice(*, default: str | None, names: Iterable[str], optional: bool = False, alias: str | None = None) -> Any:
    """One of a few names."""
    allowed = tuple(names)

    def read(where: str, value: Any) -> str:
        if value not in allowed:
            raise ConfigError(unknown_name(where, value, allowed))
        return str(value)

    return _declare(read, default, optional=optional, alias=alias)


def text(*, default: str, pattern: str, allowed: str) -> Any:
    """A string of a given form."""

    def read(where: str, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise _refuse(where, value, allowed)
        return value

    return _declare(read, default)


def day(*, default: None) -> Any:
    """A date: datetime.date, datetime, or an ISO string; None leaves it to the market."""
    return _declare(read_day, default, optional=True)


def read_day(where: str, value: Any) -> dt.date:
    """Read a date from a date, a datetime (its date) or an ISO string."""
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise _refuse(where, value, "a date such as 2023-06-06, or None") from None


def names(*, default: None) -> Any:
    """Distinct non-empty strings, in order; None for all."""

    def read(where: str, value: Any) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else []
        if not items or any(not isinstance(item, str) or not item for item in items):
            raise _refuse(where, value, "a list of at least one name, or None for all")
        if len(set(items)) != len(items):
            raise _refuse(where, value, "each name once")
        return tuple(items)

    return _declare(read, default, optional=True)


def weekday_set(*, default: None) -> Any:
    """ISO weekdays 1 (Monday) to 7, kept sorted; None for all."""

    def read(where: str, value: Any) -> tuple[int, ...]:
        items = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else []
        if not items or any(isinstance(i, bool) or not isinstance(i, int) or not 1 <= i <= 7 for i in items):
            raise _refuse(where, value, "ISO weekdays from 1 (Monday) to 7, or None for all")
        return tuple(sorted(set(items)))

    return _declare(read, default, optional=True)


def curve(*, default: float) -> Any:
    """A number, or one by session: a frame of (session, value) or pairs, held as pairs sorted by session."""
    allowed = "a finite number, or a frame (or pairs) of session and value, each session once"

    def read(where: str, value: Any) -> float | tuple[tuple[dt.date, float], ...]:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        return _read_pairs(where, value, allowed)

    return _declare(read, default)


def _read_pairs(where: str, value: Any, allowed: str) -> tuple[tuple[dt.date, float], ...]:
    rows = value.rows() if isinstance(value, pl.DataFrame) else value
    try:
        pairs = sorted((read_day(where, session), float(amount)) for session, amount in rows)
    except (TypeError, ValueError):
        raise _refuse(where, value, allowed) from None
    sessions = {session for session, _ in pairs}
    if not pairs or len(sessions) != len(pairs) or not all(math.isfinite(amount) for _, amount in pairs):
        raise _refuse(where, value, allowed)
    return tuple(pairs)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(number, integer, flag, choice, text, day, names, weekday_set, curve),
)
def part(section: str) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen, keyword-only part of the configuration, stored under `section`."""

    def decorate(cls: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        fields = {f.name: f for f in dataclasses.fields(made)}  # type: ignore[arg-type]
        aliases = {f.metadata["alias"]: f.name for f in fields.values() if f.metadata.get("alias")}
        initialise = made.__init__

        def checked_init(self: Any, /, **values: Any) -> None:
            values = _without_aliases(section, values, aliases)
            for name, value in values.items():
                if name not in fields:
                    raise ConfigError(unknown_name(f"field of {section}", name, fields))
                values[name] = fields[name].metadata["read"](f"{section}.{name}", value)
            initialise(self, **values)

        made.__init__ = checked_init  # type: ignore[method-assign, assignment]
        made.section = section  # type: ignore[attr-defined]
        return made

    return decorate


def _without_aliases(section: str, values: dict[str, Any], aliases: dict[str, str]) -> dict[str, Any]:
    renamed = dict(values)
    for alias, name in aliases.items():
        if alias in renamed:
            value = renamed.pop(alias)
            if renamed.setdefault(name, value) != value:
                raise ConfigError(f"{section}.{alias} = {value!r} contradicts {section}.{name} = {renamed[name]!r}")
    return renamed


def check_ranges(part: Any) -> None:
    """Refuse a part with a range that is empty; `part.ranges` names the lower and upper fields."""
    for low, high in part.ranges:
        first, last = getattr(part, low), getattr(part, high)
        if first is not None and last is not None and first > last:
            raise ConfigError(empty_range(part.section, low, high, first, last))


def empty_range(section: str, low: str, high: str, first: object, last: object) -> str:
    """Say that a range is empty."""
    return f"{section}.{low} = {first!s} lies above {section}.{high} = {last!s}: the range is empty; expected {low} <= {high}"
