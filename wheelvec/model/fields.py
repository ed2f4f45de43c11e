"""Declaration, validation and description of the fields of a configuration.

A field converts the values that a user may give (an int for a float, a NumPy scalar, an ISO string
for a date) to one stored type, or raises a ConfigError that names the field, the value and the
allowed values. Its declaration states its unit and its description, from which help(),
docs/reference.md and `wheelvec init` are generated.
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

# Exchange-traded options began in 1973; a year outside of these is a typing error, such as 0202.
FIRST_DAY, LAST_DAY = dt.date(1970, 1, 1), dt.date(2199, 12, 31)
MOST = 1_000_000  # greatest number of days, sessions, wheels or cycles that is accepted
EXACT = 2**53  # up to here a float represents every whole number

# Dotted names by name of the field or its alias, filled by `config_section`.
_DOTTED_NAMES: dict[str, list[str]] = {}
# How messages write None: "None", or "none" for values from TOML.
_NONE: ContextVar[str] = ContextVar("none", default="None")


@dataclasses.dataclass(frozen=True)
class Field:
    """The description of one field of the configuration.

    Attributes:
        section: the section of the field, or "" for `rules`.
        name: the name within the section; sweeps and `Config.replace` use `dotted`.
        type: the annotation, such as "float | None".
        default: the default value.
        unit: the unit of a number, or "".
        allowed: the allowed values, in words.
        doc: the effect of the field, in one or more sentences.
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
        """The name with its section, such as "put.exit_pct"."""
        return f"{self.section}.{self.name}" if self.section else self.name

    def described(self, width: int = 100) -> str:
        """The text of help(): name, type and default; description, unit and allowed values."""
        alias = f" Also spelt `{self.alias}`." if self.alias else ""
        unit = f"Unit: {self.unit}. " if self.unit else ""
        text = f"{self.doc}{alias} {unit}Allowed: {self.allowed}."
        return f"{self.name}: {self.type} = {self.default!r}\n" + textwrap.fill(
            text, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )


@contextlib.contextmanager
def none_is(word: str) -> Iterator[None]:
    """Let messages write `word` for None, such as "none" for values of a TOML file."""
    token = _NONE.set(word)
    try:
        yield
    finally:
        _NONE.reset(token)


def plain(value: Any) -> Any:
    """A NumPy scalar or Decimal as an int, float, bool or date; any other value unchanged."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        if value.dtype.kind != "M":
            return value.item()
        # NaT stays as it is, because item() would return None
        return value if np.isnat(value) else value.astype("datetime64[D]").item()
    if isinstance(value, Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    return value


def refusal_of(where: str, value: object, allowed: str, hint: str = "") -> ConfigError:
    """The error that names the field, the value and the allowed values, with a hint."""
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
    bounds: tuple[float, float, bool] | None = None,
) -> Any:
    """A dataclass field with its description; `read` validates and converts a value.

    `bounds` are the least and the greatest allowed number, and whether the least is allowed itself.
    Sweeps use them to validate an array of numbers at once.
    """

    def read_one(where: str, value: Any) -> Any:
        value = plain(value)
        return None if optional and value is None else read(where, value)

    metadata = {
        "read": read_one,
        "optional": optional,
        "alias": alias,
        "bounds": bounds,
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
    """A finite number as a float; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an int beyond the range of a float
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
    """A field for a finite float in [low, high], or above `above`.

    The error for a number out of range has a hint if the value seems to be in percent.
    """
    allowed = "a number" + _bounds(low, high, above)
    least = above if above is not None else -math.inf if low is None else low
    most = math.inf if high is None else high

    def inside(value: float) -> bool:
        return (least < value if above is not None else least <= value) and value <= most

    def read(where: str, value: Any) -> float:
        found = real(plain(value))
        if found is None or not inside(found):
            hint = "" if found is None else _hint(found, inside, high)
            raise refusal_of(where, value, allowed + _or_none(optional), hint)
        return found

    bounds = (least, most, above is None)
    return _declare(read, default, doc, allowed, unit=unit, optional=optional, bounds=bounds)


def _hint(value: float, inside: Callable[[float], bool], high: float | None) -> str:
    """The hint for a number that would be in range without its sign or divided by 100, or ""."""
    if value < 0 and high is not None and inside(-value):
        return f"without the sign: {-value:g}"
    if high is not None and value > high and inside(value / 100):
        return f"{value:g}% is {value / 100:g}"
    return ""


def fraction_of_dollar(*, default: None, doc: str, unit: str) -> Any:
    """A field for 0, for a tick that divides a dollar evenly, or for None.

    It states no `bounds`, which alone would admit an array of ticks that divide no dollar.
    """
    allowed = f"0, or 1/n of a dollar with a whole n up to {MOST}, such as 0.01 or 0.25,"

    def read(where: str, value: Any) -> float:
        found = real(plain(value))
        if found is None or (found != 0.0 and not _divides_dollar(found)):
            raise refusal_of(where, value, f"{allowed} or {_NONE.get()}")
        return found

    return _declare(read, default, doc, f"{allowed} or None", unit=unit, optional=True)


def _divides_dollar(tick: float) -> bool:
    """Whether a dollar is a whole number of ticks, but for the digits that a float32 lacks."""
    if not 1.0 / MOST <= tick <= 1.0:
        return False
    ticks = 1.0 / tick
    return abs(ticks - round(ticks)) <= 1e-7 * ticks


def integer(
    *, default: int | None, doc: str, unit: str, low: int, high: int = MOST, optional: bool = False
) -> Any:
    """A field for a whole number in [low, high]; a float such as 30.0 is accepted."""
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
    """A field for True or False."""

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
    """A field for one of several names."""
    allowed = tuple(names)

    def read(where: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ConfigError(unknown_name(where, value, allowed) + _or_none(optional))
        return str(value)

    return _declare(
        read, default, doc, ", ".join(map(repr, allowed)), optional=optional, alias=alias
    )


def text(*, default: str, doc: str, pattern: str, allowed: str) -> Any:
    """A field for a string that matches a pattern."""

    def read(where: str, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refusal_of(where, value, allowed)
        return str(value)

    return _declare(read, default, doc, allowed)


def minute(*, default: str, doc: str) -> Any:
    """A field for a minute of the session: a clock time, or a time before the close.

    A datetime.time is accepted as a clock time.
    """
    allowed = "a clock time such as '15:45', or 'close-15min'"
    # less than a day before the close
    pattern = r"(?:[01]\d|2[0-3]):[0-5]\d|close-(?:[1-9]\d{0,2}|1[0-3]\d\d)min"

    def read(where: str, value: Any) -> str:
        if isinstance(value, dt.time) and value == value.replace(
            second=0, microsecond=0, tzinfo=None
        ):
            value = f"{value:%H:%M}"  # an unquoted time in TOML
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise refusal_of(where, value, allowed)
        return str(value)

    return _declare(read, default, doc, allowed)


def day(*, default: None, doc: str) -> Any:
    """A field for a date (datetime.date, datetime or ISO string) or None."""
    return _declare(read_day, default, doc, "a date such as 2023-06-06, or None", optional=True)


def read_day(where: str, value: Any) -> dt.date:
    """The date of a date, datetime, datetime64 or ISO string; a ConfigError for other values."""
    given, value = value, plain(value)
    try:
        if isinstance(value, dt.datetime):
            value = value.date()
        found = value if isinstance(value, dt.date) else dt.date.fromisoformat(value)
        if FIRST_DAY <= found <= LAST_DAY:
            return found
        hint = f"the years {FIRST_DAY.year} to {LAST_DAY.year} are known"
    except (TypeError, ValueError):  # pandas.NaT is a datetime too, and raises ValueError
        hint = _hint_for_number(value)
    raise refusal_of(where, given, f"a date such as 2023-06-06, or {_NONE.get()}", hint) from None


def _hint_for_number(value: Any) -> str:
    """The hint for a date written as a number, such as 20240116, or ""."""
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and re.fullmatch(r"\d{8}", str(value))
    ):
        with contextlib.suppress(ValueError):
            return f"did you mean '{dt.date.fromisoformat(str(value))}'?"
    return ""


def names(*, default: None, doc: str) -> Any:
    """A field for a list of distinct names, whose order matters, or None; a string is one name."""
    allowed = "a list of names such as ['SPY', 'TSLA'], or None for all"

    def refuse(where: str, value: Any, hint: str = "") -> ConfigError:
        return refusal_of(
            where, value, f"a list of at least one name, or {_NONE.get()} for all", hint
        )

    def read(where: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            listed = [name for name in re.split(r"[\s,;]+", value) if name]
            if listed != [value]:
                raise refuse(where, value, f"did you mean {listed}?" if listed else "")
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
        if invalid := [item for item in items if item != item.strip() or "," in item]:
            raise refuse(where, value, f"{invalid[0]!r} is no name")
        if len(set(items)) != len(items):
            raise refusal_of(where, value, "each name once")
        return tuple(map(str, items))

    return _declare(read, default, doc, allowed, optional=True)


def weekday_set(*, default: None, doc: str) -> Any:
    """A field for ISO weekdays 1 (Monday) to 7, stored in order, or None."""
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
    """A field for a number, or for a number by session.

    Numbers by session are given as a frame of session and value, pairs or a mapping, and stored as
    pairs sorted by session.
    """
    within = f"from {low} to {high}"
    allowed = f"a number {within}, or a frame (or pairs) of session and value, each session once"

    def amount(where: str, value: Any) -> float:
        found = real(plain(value))
        if found is None or not low <= found <= high:
            hint = "" if found is None else _hint(found, lambda v: low <= v <= high, high)
            raise refusal_of(where, value, f"a number {within}", hint)
        return found

    def read(where: str, value: Any) -> Curve:
        if isinstance(value, int | float | str) or value is None:
            found = real(value)
            if found is None or not low <= found <= high:
                hint = "" if found is None else _hint(found, lambda v: low <= v <= high, high)
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
    """The rows of a frame, the items of a mapping, or the pairs themselves."""
    if hasattr(type(value), "columns"):
        return as_polars("a curve", value).rows()
    return value.items() if isinstance(value, Mapping) else value


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(
        number,
        fraction_of_dollar,
        integer,
        flag,
        choice,
        text,
        minute,
        day,
        names,
        weekday_set,
        curve,
    ),
)
def config_section(section: str) -> Callable[[type[T]], type[T]]:
    """A decorator that makes a class a section of the configuration: frozen and keyword-only.

    The signature and the docstring of the class are generated from its fields.
    """

    def decorate(cls: type[T]) -> type[T]:
        made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        fields = {f.name: f for f in dataclasses.fields(made)}  # type: ignore[arg-type]
        aliases = {f.metadata["alias"]: f.name for f in fields.values() if f.metadata.get("alias")}
        for name in (*fields, *aliases):
            _DOTTED_NAMES.setdefault(name, []).append(f"{section}.{name}")
        initialise = made.__init__

        @functools.wraps(initialise)  # so that help() shows the fields of the constructor
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
    """The error message for an unknown name, with the sections that have a field of that name."""
    names = list(allowed)
    dotted = _DOTTED_NAMES.get(name) or _similar(name, names)
    if not dotted:
        return unknown_name(kind, name, names)
    return f"unknown {kind} {cut(name)} (did you mean {' or '.join(map(repr, dotted))}?)"


def _similar(name: str, allowed: list[str]) -> list[str]:
    """The dotted names of the most similar field; none if an allowed name is more similar."""
    name = name[:LONGEST_NAME].casefold()
    if close := get_close_matches(name, [*allowed, *_DOTTED_NAMES], n=1):
        return [] if close[0] in allowed else _DOTTED_NAMES[close[0]]
    close = get_close_matches(name.rpartition(".")[2], _DOTTED_NAMES, n=1)
    return _DOTTED_NAMES[close[0]] if close else []


def fields_of(kind: Any) -> list[Field]:
    """The fields of a section's class, in order."""
    return [
        Field(
            section=kind.section,
            name=f.name,
            type=inspect.formatannotation(f.type).replace("datetime.", ""),
            default=f.default,
            **{key: f.metadata[key] for key in ("unit", "allowed", "doc", "optional", "alias")},
        )
        for f in dataclasses.fields(kind)
    ]


def signature_of(kind: Any) -> inspect.Signature:
    """The signature of a section's class: every field by keyword, with its type and default."""
    return inspect.Signature(
        [
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type
            )
            for f in dataclasses.fields(kind)
        ]
    )


def documented(doc: str | None, fields: Iterable[Field]) -> str:
    """A docstring with a description of every field (`Field.described`) at its end."""
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
                    f"{section}.{alias} = {value!r} contradicts "
                    f"{section}.{name} = {renamed[name]!r}"
                )
    return renamed


def check_section(section: Any) -> None:
    """Raise a ConfigError for an empty range, an unused target or a missing target.

    `section.ranges` lists the names of lower and upper bound; `section.targets` and
    `section.needed` list the names of target and method, and the only value of the method that uses
    the target.
    """
    name = section.section
    for low, high in section.ranges:
        first, last = getattr(section, low), getattr(section, high)
        if first is not None and last is not None and first > last:
            raise ConfigError(empty_range(name, low, high, first, last))
    for target, method, user in section.targets:
        value, chosen = getattr(section, target), getattr(section, method)
        if value is not None and chosen != user:
            raise ConfigError(unused_target(name, target, method, user, value, chosen))
    for target, method, user in getattr(section, "needed", ()):
        if getattr(section, method) == user and getattr(section, target) is None:
            raise ConfigError(missing_target(name, target, method, user))


def empty_range(section: str, low: str, high: str, first: object, last: object) -> str:
    """The error message for a range whose lower bound is above its upper bound."""
    return (
        f"{section}.{low} = {first!s} is above {section}.{high} = {last!s}: the range is empty; "
        f"expected {low} <= {high}"
    )


def unused_target(
    section: str, target: str, method: str, user: str, value: object, chosen: object
) -> str:
    """The error message for a target that the chosen method does not use."""
    return (
        f"{section}.{target} = {value!s} is used only if {section}.{method} is {user!r}, but it is "
        f"{chosen!r}: set {method} to {user!r}, or {target} to {_NONE.get()}"
    )


def missing_target(section: str, target: str, method: str, user: str) -> str:
    """The error message for a method without the target that it needs."""
    return f"{section}.{method} = {user!r} needs {section}.{target}, and it is not set"
