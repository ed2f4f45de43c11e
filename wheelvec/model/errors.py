"""The exceptions that wheelvec raises on purpose, all derived from `WheelvecError`.

Every message names the argument, field or file, the value that was found and the values that are
allowed, so that no traceback is needed.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

LONGEST_NAME = 200  # characters of an unknown name that are compared with the known names
MOST_NAMES = 40  # allowed names in a message; a suggestion replaces a longer list


class WheelvecError(Exception):
    """The base of every error that wheelvec raises on purpose.

    Example:
        >>> import wheelvec as wv
        >>> try:
        ...     wv.demo_market(symbols=["alfa"])
        ... except wv.WheelvecError as error:
        ...     print(type(error).__name__)
        InputError
    """


class InputError(WheelvecError, ValueError):
    """An argument of a function has the wrong type or an invalid value.

    Example:
        >>> import wheelvec as wv
        >>> wv.fill_draw(-1, "TSLA  230721P00250000", "2023-06-06", phase=0, touch=0)
        Traceback (most recent call last):
        wheelvec.model.errors.InputError: seed = -1: expected a whole number from 0 to
            18446744073709551615
    """


class ConfigError(InputError):
    """A field of the configuration is unknown, out of range, or contradicts another.

    Example:
        >>> import wheelvec as wv
        >>> wv.PutRules(delta_min=30)
        Traceback (most recent call last):
        wheelvec.model.errors.ConfigError: put.delta_min = 30: expected a number from 0.0 to 1.0
            (30% is 0.3)
    """


class InsufficientDataError(InputError):
    """A statistic needs more than there is: months, configurations, entry sessions, or variation.

    Example:
        >>> import wheelvec as wv
        >>> wv.block_length([0.1, 0.2, 0.3])
        Traceback (most recent call last):
        wheelvec.model.errors.InsufficientDataError: block_length needs at least 30 observations:
            there are 3
    """


class DataError(WheelvecError, ValueError):
    """A table lacks a column, has a type that cannot be converted, or (strict) has invalid rows.

    Example:
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> quotes = pl.DataFrame({"symbol": ["TSLA"]})
        >>> try:
        ...     wv.Market(option_quotes=quotes, underlying_bars=pl.DataFrame())
        ... except wv.DataError as error:
        ...     print(str(error).partition(" (")[0])
        option_quotes has no column 'underlying', which must be String
    """


class LakeError(WheelvecError, OSError):
    """A file or folder of a lake, a saved result or a saved sweep cannot be read or written.

    Example:
        >>> import wheelvec as wv
        >>> try:
        ...     wv.Market.open("no such lake")
        ... except wv.LakeError as error:
        ...     print(error)
        no such lake cannot be read: No such file or directory
    """


class FetchError(WheelvecError):
    """A vendor refused a request, could not be reached, or charges more than may be spent.

    Attributes:
        status: the HTTP status of the refusal, or None.
        case: the vendor's name of the error, or "".

    Args:
        text: the message.
        status: as the attribute.
        case: as the attribute.

    Example:
        >>> import wheelvec as wv
        >>> wv.FetchError("Databento refused the request", status=402).status
        402
    """

    def __init__(self, text: str, status: int | None = None, case: str = "") -> None:
        super().__init__(text)
        self.status, self.case = status, case


class StateError(WheelvecError):
    """An event is not valid in the state of the wheel.

    Example:
        >>> from wheelvec.model.codes import Event, State, next_state
        >>> next_state(State.CC_ASSIGNED, Event.SELL_CALL)
        Traceback (most recent call last):
        wheelvec.model.errors.StateError: event 'sell_call' is not valid in state CC_ASSIGNED;
            valid events: complete
    """


class RecordError(WheelvecError, AssertionError):
    """A result violates an invariant, such as a ledger that does not sum to the P&L.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> one_wheel = wv.Schedule(end_date="2024-01-02", max_wheels_per_symbol_per_day=1)
        >>> result = wv.backtest(market, wv.Config(schedule=one_wheel))
        >>> frames = {"records": result.records, "ledger": result.ledger.filter(entry="premium")}
        >>> without_fees = wv.Result(result.config, result.fingerprint, result.versions, frames)
        >>> without_fees.validate()
        Traceback (most recent call last):
        wheelvec.model.errors.RecordError: the ledger of a resolved wheel does not sum to its pnl:
            ALFA_2024-01-02_0
    """


def listed(names: Iterable[Any], most: int = 12) -> str:
    """The names joined by commas, in the given order, cut after `most` of them."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def counted(count: int, noun: str) -> str:
    """A count and its noun, in the plural unless the count is 1."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str) -> str:
    """The text on one line: characters that cannot be printed are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def no_file(path: Path) -> str:
    """Why a path is no file, as a message ends: it is a folder, or there is none."""
    return "it is a folder: expected a file" if path.is_dir() else "no such file"


def cut(value: object, most: int = 100) -> str:
    """The `repr` of a value on one line, cut to `most` characters; the type alone for a frame."""
    text = (
        f"a {type(value).__name__}"
        if hasattr(type(value), "columns")
        else " ".join(repr(value).split())
    )
    return text if len(text) <= most else text[: most - 3] + "..."


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> str:
    """The error message for an unknown name: the allowed names and the most similar of them."""
    names = list(allowed)
    folded = {known.casefold(): known for known in reversed(names)}
    close = get_close_matches(str(name)[:LONGEST_NAME].casefold(), folded, n=1)
    hint = f" (did you mean {folded[close[0]]!r}?)" if close else ""
    shown = (
        ""
        if hint and len(names) > MOST_NAMES
        else f"; allowed: {listed(names, MOST_NAMES) or 'none'}"
    )
    return f"unknown {kind} {cut(name)}{hint}{shown}"
