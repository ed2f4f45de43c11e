"""How one field of the configuration is declared, described, read and refused.

A field reads what a user may write (an int for a float, a NumPy scalar, an ISO string for a date)
into the one form that the library holds, or raises a ConfigError that names the field, the value
and what is allowed. Its unit and its description stand in the declaration, and every text about
fields is made from there.
"""

import contextlib
import dataclasses
import datetime as dt
import functools
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, TypeVar, dataclass_transform

import numpy as np

from wheelvec.model.errors import LONGEST_NAME, ConfigError, cut, unknown_name
from wheelvec.model.schemas import as_polars

T = TypeVar("T")
Read = Callable[[str, Any], Any]
Curve = float | tuple[tuple[dt.date, float], ...]

# Exchange-traded options began in 1973; a year outside of these is a slip of the pen, as 0202 is.
FIRST_DAY, LAST_DAY = dt.date(1970, 1, 1), dt.date(2199, 12, 31)
MOST = 1_000_000  # days, sessions, wheels or cycles: more could not be counted
EXACT = 2**53  # the largest whole number up to which a float holds every one

_HOMES: dict[
    str, list[str]
] = {}  # name of a field (or its alias) -> its dotted names, filled by `part`
_NONE: ContextVar[str] = ContextVar("none", default="None")


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of the configuration, as documents, `wheelvec init` and help() show it.

    Attributes:
        section: the section of a TOML file, or "" at its top.
        name: of the field; `dotted` is the name that sweeps and `Config.replace` use.
        type: as annotated, such as "float | None".
        default: the value that is held if none is given.
        unit: what a number counts, or "" where the type says all.
        allowed: which values are taken, in words.
        doc: what it decides, in one or more sentences.
        optional: whether None ("none" in TOML) is allowed.
        alias: another name for the same field, or None.
    """

    section: str
    name: str
    type: str
    default: Any
    unit: str
    allowed: str
    doc: str
    optional: bool = False
    alias: str | None = None

    @property
    def dotted(self) -> str:
        """The name with its section: "put.exit_pct"."""
        return f"{self.section}.{self.name}" if self.section else self.name

    def described(self, width: int = 100) -> str:
        """Name, type and default in a line; under it unit, what is allowed, and the description."""
        alias = f" Also spelt `{self.alias}`." if self.alias else ""
        unit = f"Unit: {self.unit}. " if self.unit else ""
        text = f"{self.doc}{alias} {unit}Allowed: {self.allowed}."
        return f"{self.name}: {self.type} = {self.default!r}\n" + textwrap.fill(
            text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )


@contextlib.contextmanager
def none_is(word: str) -> Iterator[None]:
    """Messages say `word` for None meanwhile: TOML has no null, and "none" in its place."""
    token = _NONE.set(word)
    try:
        yield
    finally:
        _NONE.reset(token)


def plain(value: Any) -> Any:
    """A scalar of NumPy, or a Decimal, as Python's own."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        if value.dtype.kind != "M":
            return value.item()
        return (
            value if np.isnat(value) else value.astype("datetime64[D]").item()
        )  # no date is no None
    if isinstance(value, Decimal):
        return (
            int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
        )
    return value


def refusal_of(where: str, value: object, allowed: str, hint: str = "") -> ConfigError:
    """The error that names the field, the value, what is allowed, and what was probably meant."""
    return ConfigError(f"{where} = {cut(value)}: expected {allowed}{f' ({hint})' if hint else ''}")


def _or_none(optional: bool) -> str:
    return f" or {_NONE.get()}" if optional else ""


def _declare(
    read: Read,
    default: Any,
    doc: str,
    allowed: str,
    *,
    unit: str = "",
    optional: bool = False,
    alias: str | None = None,
    span: tuple[float, float, bool] | None = None,
) -> Any:
    """A dataclass field with what is written about it, read by `read`.

    `span` is the least and greatest number allowed, and whether the least itself is: read one by
    one or, in a sweep, a million at once.
    """

    def read_one(where: str, value: Any) -> Any:
        value = plain(value)
        return None if optional and value is None else read(where, value)

    metadata = {
        "read": read_one,
        "optional": optional,
        "alias": alias,
        "span": span,
        "doc": doc,
        "unit": unit,
        "allowed": allowed + (" or None" if optional and "None" not in allowed else ""),
    }
    return dataclasses.field(default=default, metadata=metadata)


def _bounds(low: float | None, high: float | None, above: float | None = None) -> str:
    if above is not None:
        return f" above {above}" + (f" and up to {high}" if high is not None else "")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def real(value: Any) -> float | None:
    """A finite number as a float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int that no float holds
        return None


def number(
    *,
    default: float | None,
    doc: str,
    unit: str,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    optional: bool = False,
) -> Any:
    """A finite float within [low, high], or above `above`.

    What is out of range by being written in percent is named.
    """
    allowed = "a number" + _bounds(low, high, above)
    least = above if above is not None else -math.inf if low is None else low
    most = math.inf if high is None else high

    def inside(value: float) -> bool:
        return (least < value if above is not None else least <= value) and value <= most

    def read(where: str, value: Any) -> float:
        found = real(plain(value))
        if found is None or not inside(found):
            hint = "" if found is None else _meant(found, inside, high)
            raise refusal_of(where, value, allowed + _or_none(optional), hint)
        return found

    return _declare(
        read, default, doc, allowed, unit=unit, optional=optional, span=(least, most, above is None)
    )


def _meant(value: float, inside: Callable[[float], bool], high: float | None) -> str:
    """A number out of range that would be in it without its sign, or if it is meant in percent."""
    if value < 0 and high is not None and inside(-value):
        return f"without the sign: {-value:g}"
    if high is not None and value > high and inside(value / 100):
        return f"{value:g}% is {value / 100:g}"
    return ""


def integer(
    *, default: int | None, doc: str, unit: str, low: int, high: int = MOST, optional: bool = False
) -> Any:
    """A whole number within [low, high]; 30.0 is one."""
    allowed = "a whole number" + _bounds(low, high)

    def read(where: str, value: Any) -> int:
        whole = isinstance(value, int) or (
            isinstance(value, float) and value.is_integer() and abs(value) <= EXACT
        )
        if isinstance(value, bool) or not whole or not low <= value <= high:
            raise refusal_of(where, value, allowed + _or_none(optional))
        return int(value)

    return _declare(read, default, doc, allowed, unit=unit, optional=optional)


def flag(*, default: bool, doc: str) -> Any:
    """True or False."""

    def read(where: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise refusal_of(
                where, value, "True or False" if _NONE.get() == "None" else "true or false"
            )
        return value

    return _declare(read, default, doc, "True or False")


def choice(
    *,
    default: str | None,
    doc: str,
    names: Iterable[str],
    optional: bool = False,
    alias: str | None = None,
) -> Any:
    """One of a few names."""
    allowed = tuple(names)

    def read(where: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ConfigError(unknown_name(where, value, allowed) + _or_none(optional))
        return str(value)

    return _declare(
        read, default, doc, ", ".join(map(repr, allowed)), optional=optional, alias=alias
    )


def text(*, default: str, doc: str, pattern: str, allowed: str) -> Any:
    """A string of a given form."""

    def read(where: str, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refusal_of(where, value, allowed)
        return str(value)

    return _declare(read, default, doc, allowed)


def minute(*, default: str, doc: str) -> Any:
    """A minute of the session: a clock time, or a time before the close.

    A datetime.time is taken for the first.
    """
    allowed = "a clock time such as '15:45', or 'close-15min'"
    # less than a day before the close
    pattern = r"(?:[01]\d|2[0-3]):[0-5]\d|close-(?:[1-9]\d{0,2}|1[0-3]\d\d)min"

    def read(where: str, value: Any) -> str:
        if isinstance(value, dt.time) and value == value.replace(
            second=0, microsecond=0, tzinfo=None
        ):
            value = f"{value:%H:%M}"  # TOML's own times
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refusal_of(where, value, allowed)
        return str(value)

    return _declare(read, default, doc, allowed)


def day(*, default: None, doc: str) -> Any:
    """A date: datetime.date, datetime, or an ISO string; None leaves it to the market."""
    return _declare(read_day, default, doc, "a date such as 2023-06-06, or None", optional=True)


def read_day(where: str, value: Any) -> dt.date:
    """Read a date from a date, a datetime (its date), NumPy's datetime64 or an ISO string."""
    given, value = value, plain(value)
    try:
        if isinstance(value, dt.datetime):
            value = value.date()
        found = value if isinstance(value, dt.date) else dt.date.fromisoformat(value)
        if FIRST_DAY <= found <= LAST_DAY:
            return found
        hint = f"the years {FIRST_DAY.year} to {LAST_DAY.year} are known"
    except (TypeError, ValueError):  # no date of pandas' is a datetime too, and raises ValueError
        hint = _written_as_number(value)
    raise refusal_of(where, given, f"a date such as 2023-06-06, or {_NONE.get()}", hint) from None


def _written_as_number(value: Any) -> str:
    """20240116 looks like a date, and is a number."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and re.fullmatch(r"\d{8}", str(value))
    ):
        with contextlib.suppress(ValueError):
            return f"did you mean '{dt.date.fromisoformat(str(value))}'?"
    return ""


def names(*, default: None, doc: str) -> Any:
    """Distinct non-empty strings, in order; one string is one name; None for all."""
    allowed = "a list of names such as ['SPY', 'TSLA'], or None for all"

    def refuse(where: str, value: Any, hint: str = "") -> ConfigError:
        return refusal_of(
            where, value, f"a list of at least one name, or {_NONE.get()} for all", hint
        )

    def read(where: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            if (
                len(parts := [part for part in re.split(r"[\s,;]+", value) if part]) != 1
                or parts[0] != value
            ):
                raise refuse(where, value, f"did you mean {parts}?" if parts else "")
            return (str(value),)
        if isinstance(value, set | frozenset | Mapping | bytes) or not isinstance(value, Iterable):
            raise refuse(
                where,
                value,
                "the order of symbols counts, and a set has none" if isinstance(value, set) else "",
            )
        items = list(value)
        if not items or any(not isinstance(item, str) or not item.strip() for item in items):
            raise refuse(where, value)
        if odd := [item for item in items if item != item.strip() or "," in item]:
            raise refuse(where, value, f"{odd[0]!r} is no name")
        if len(set(items)) != len(items):
            raise refusal_of(where, value, "each name once")
        return tuple(map(str, items))

    return _declare(read, default, doc, allowed, optional=True)


def weekday_set(*, default: None, doc: str) -> Any:
    """ISO weekdays 1 (Monday) to 7, kept sorted; None for all."""
    allowed = "ISO weekdays from 1 (Monday) to 7, such as [1, 3]"

    def read(where: str, value: Any) -> tuple[int, ...]:
        items = (
            list(map(plain, value))
            if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
            else []
        )
        whole = [
            int(i)
            for i in items
            if not isinstance(i, bool) and isinstance(i, int | float) and i == i // 1
        ]
        if not items or len(whole) != len(items) or not all(1 <= i <= 7 for i in whole):
            one = (
                f"a list: [{value}]"
                if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 7
                else ""
            )
            raise refusal_of(
                where, value, f"ISO weekdays from 1 (Monday) to 7, or {_NONE.get()} for all", one
            )
        return tuple(sorted(set(whole)))

    return _declare(read, default, doc, allowed, unit="ISO weekday", optional=True)


def curve(*, default: float, doc: str, unit: str, low: float, high: float) -> Any:
    """A number, or one by session.

    A frame of (session, value), pairs or a mapping, held as pairs sorted by session.
    """
    within = f"from {low} to {high}"
    allowed = f"a number {within}, or a frame (or pairs) of session and value, each session once"

    def amount(where: str, value: Any) -> float:
        found = real(plain(value))
        if found is None or not low <= found <= high:
            hint = "" if found is None else _meant(found, lambda v: low <= v <= high, high)
            raise refusal_of(where, value, f"a number {within}", hint)
        return found

    def read(where: str, value: Any) -> Curve:
        if isinstance(value, int | float | str) or value is None:
            found = real(value)
            if found is None or not low <= found <= high:
                hint = "" if found is None else _meant(found, lambda v: low <= v <= high, high)
                raise refusal_of(where, value, allowed, hint)
            return found
        try:
            pairs = [(session, one) for session, one in _rows(value)]
        except (TypeError, ValueError):
            raise refusal_of(where, value, allowed) from None
        read = [
            (session := read_day(where, day), amount(f"{where} of {session}", one))
            for day, one in pairs
        ]
        if not read or len({session for session, _ in read}) != len(read):
            raise refusal_of(where, value, allowed)
        return tuple(sorted(read))

    return _declare(read, default, doc, allowed, unit=unit)


def _rows(value: Any) -> Iterable[Any]:
    """The rows of a frame, or the pairs of what holds them already."""
    if hasattr(type(value), "columns"):
        return as_polars("a curve", value).rows()
    return value.items() if isinstance(value, Mapping) else value


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(number, integer, flag, choice, text, minute, day, names, weekday_set, curve),
)
def part(section: str) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen, keyword-only part of the configuration, stored under `section`.

    Its signature and its docstring are made from the fields, so that they cannot say anything else.
    """

    def decorate(cls: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        fields = {f.name: f for f in dataclasses.fields(made)}  # type: ignore[arg-type]
        aliases = {f.metadata["alias"]: f.name for f in fields.values() if f.metadata.get("alias")}
        for name in (*fields, *aliases):
            _HOMES.setdefault(name, []).append(f"{section}.{name}")
        initialise = made.__init__

        @functools.wraps(initialise)  # help() shows the fields of the constructor too
        def checked_init(self: Any, /, **values: Any) -> None:
            values = _without_aliases(section, values, aliases)
            for name, value in values.items():
                if name not in fields:
                    raise ConfigError(misplaced(f"field of {section}", name, [*fields, *aliases]))
                values[name] = fields[name].metadata["read"](f"{section}.{name}", value)
            initialise(self, **values)

        made.__init__ = checked_init  # type: ignore[method-assign, assignment]
        made.section = section  # type: ignore[attr-defined]
        made.__signature__ = signature_of(made)  # type: ignore[attr-defined]
        made.__doc__ = documented(made.__doc__, fields_of(made))
        return made

    return decorate


def misplaced(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Say that `name` is no `kind`, and in which section it belongs if it is a field of another."""
    names = list(allowed)
    homes = _HOMES.get(name) or _likely(name, names)
    if not homes:
        return unknown_name(kind, name, names)
    return f"unknown {kind} {cut(name)} (did you mean {' or '.join(map(repr, homes))}?)"


def _likely(name: str, allowed: list[str]) -> list[str]:
    """The dotted names of the field that is spelt most like `name` or its last part, unless an
    allowed name is more so.
    """
    name = name[:LONGEST_NAME].casefold()
    if close := get_close_matches(name, [*allowed, *_HOMES], n=1):
        return [] if close[0] in allowed else _HOMES[close[0]]
    close = get_close_matches(name.rpartition(".")[2], _HOMES, n=1)
    return _HOMES[close[0]] if close else []


def fields_of(made: Any) -> list[Field]:
    """The fields of a part, in order."""
    return [
        Field(
            section=made.section,
            name=f.name,
            type=inspect.formatannotation(f.type).replace("datetime.", ""),
            default=f.default,
            **{key: f.metadata[key] for key in ("unit", "allowed", "doc", "optional", "alias")},
        )
        for f in dataclasses.fields(made)
    ]


def signature_of(made: Any) -> inspect.Signature:
    """Every field by keyword, with its type and default."""
    return inspect.Signature(
        [
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type
            )
            for f in dataclasses.fields(made)
        ]
    )


def documented(doc: str | None, fields: Iterable[Field]) -> str:
    """A docstring followed by all fields.

    Name, type, default, unit, what is allowed, and what each decides.
    """
    listed = "\n".join(field.described() for field in fields)
    return f"{inspect.cleandoc(doc or '')}\n\nFields:\n{textwrap.indent(listed, '    ')}\n"


def _without_aliases(
    section: str, values: dict[str, Any], aliases: dict[str, str]
) -> dict[str, Any]:
    renamed = dict(values)
    for alias, name in aliases.items():
        if alias in renamed:
            value = renamed.pop(alias)
            if renamed.setdefault(name, value) != value:
                raise ConfigError(
                    f"{section}.{alias} = {value!r} contradicts {section}.{name} = {renamed[name]!r}"
                )
    return renamed


def check_part(part: Any) -> None:
    """Refuse a part with a range that is empty, or with a target that its method of choice does not
    read.

    `part.ranges` names the lower and upper fields; `part.targets` names target, method and the one
    value that reads it.
    """
    for low, high in part.ranges:
        first, last = getattr(part, low), getattr(part, high)
        if first is not None and last is not None and first > last:
            raise ConfigError(empty_range(part.section, low, high, first, last))
    for target, method, reader in part.targets:
        value, chosen = getattr(part, target), getattr(part, method)
        if value is not None and chosen != reader:
            raise ConfigError(unread_target(part.section, target, method, reader, value, chosen))
    for target, method, reader in getattr(part, "needed", ()):
        if getattr(part, method) == reader and getattr(part, target) is None:
            raise ConfigError(missing_target(part.section, target, method, reader))


def empty_range(section: str, low: str, high: str, first: object, last: object) -> str:
    """Say that a range is empty."""
    return f"{section}.{low} = {first!s} lies above {section}.{high} = {last!s}: the range is empty; expected {low} <= {high}"


def unread_target(
    section: str, target: str, method: str, reader: str, value: object, chosen: object
) -> str:
    """Say that a target is set which nothing reads."""
    return (
        f"{section}.{target} = {value!s} is read where {section}.{method} is {reader!r} alone, and it is {chosen!r}: "
        f"set {method} to {reader!r}, or {target} to {_NONE.get()}"
    )


def missing_target(section: str, target: str, method: str, reader: str) -> str:
    """Say that a choice by a target lacks it."""
    return f"{section}.{method} = {reader!r} needs {section}.{target}, and it is not set"
