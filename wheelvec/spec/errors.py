"""One family of errors: whatever wheelvec refuses, it refuses with a `WheelvecError`.

Every message names what was given, where it stood and what was expected, so that it can be acted on without a traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST_NAME = 200  # characters of a name for which a likely one is sought


class WheelvecError(Exception):
    """The base of every error that wheelvec raises on purpose."""


class InputError(WheelvecError, ValueError):
    """An argument of a function is not what it must be."""


class ConfigError(InputError):
    """A field of the configuration is unknown, out of range, or contradicts another."""


class DataError(WheelvecError, ValueError):
    """A table lacks a column, has a type that cannot be converted, or (strict) holds broken rows."""


class LakeError(WheelvecError, OSError):
    """A file or folder of the lake, or of a saved result, cannot be read or written as what it should be."""


class FetchError(WheelvecError):
    """A vendor refused a request, could not be reached, or asks more than may be spent.

    Attributes:
        status: the HTTP status of a refusal, if there was one.
        case: the vendor's own name for it, or "".
    """

    def __init__(self, text: str, status: int | None = None, case: str = "") -> None:
        super().__init__(text)
        self.status, self.case = status, case


class StateError(WheelvecError):
    """An event met a wheel in a state that does not allow it."""


class RecordError(WheelvecError, AssertionError):
    """A result breaks one of its own invariants; raised by `Result.validate`."""


def listed(names: Iterable[Any], most: int = 12) -> str:
    """Join names for a message, in their order, cut after `most`."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def cut(value: object, most: int = 100) -> str:
    """A value as Python writes it, on one line and cut to `most` characters."""
    text = f"a {type(value).__name__}" if hasattr(type(value), "columns") else " ".join(repr(value).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Say that `name` is no `kind`, what is allowed, and which of these it probably meant, be it in other case."""
    names = list(allowed)
    folded = {known.casefold(): known for known in reversed(names)}
    close = get_close_matches(str(name)[:LONGEST_NAME].casefold(), folded, n=1)
    hint = f" (did you mean {folded[close[0]]!r}?)" if close else ""
    return f"unknown {kind} {cut(name)}{hint}; allowed: {listed(names, most=40) or 'none'}"
