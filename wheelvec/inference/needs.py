"""Refusals: what a statistic needs at least, and what there is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wheelvec.model.errors import InputError, InsufficientDataError, cut, unknown_name

Array = NDArray[Any]

MONTHS = 24
CONFIGURATIONS = 10
BLOCKS = 10
UNITS = 30  # entry sessions, daily returns or other observations that are resampled
LEVELS = (0.5, 0.999)
CONSTANT = 1e-12  # relative to the greatest value: differences up to this are rounding


def at_least(what: str, needed: int, there: float, unit: str) -> None:
    """Refuse fewer than needed.

    Args:
        what: the statistic.
        needed: how many it needs.
        there: how many there are.
        unit: of what, in the plural.

    Raises:
        InsufficientDataError: naming what is needed and what there is.

    Example:
        >>> from wheelvec.inference.needs import at_least
        >>> at_least("pbo", 24, 12, "months")
        Traceback (most recent call last):
        wheelvec.model.errors.InsufficientDataError: pbo needs at least 24 months: there are 12
    """
    if there < needed:
        raise InsufficientDataError(
            f"{what} needs at least {needed} {unit}: there are {round(float(there), 1):g}"
        )


def is_constant(values: Array) -> NDArray[np.bool_]:
    """(columns,) whether all values of a column are the same but for rounding.

    Args:
        values: (n, columns).
    """
    low, high = values.min(axis=0), values.max(axis=0)
    same: NDArray[np.bool_] = high - low <= CONSTANT * np.maximum(np.abs(low), np.abs(high))
    return same


def matrix(name: str, values: Any) -> Array:
    """(n, columns) doubles of a matrix, or of a series as one column.

    Args:
        name: of the argument.
        values: an array, a list, or a Series or DataFrame of Polars.

    Raises:
        InputError: if it is neither, or holds anything but finite numbers.
    """
    try:
        found = np.array(
            values.to_numpy() if hasattr(values, "to_numpy") else values, dtype=np.float64
        )
    except (TypeError, ValueError):
        raise InputError(f"{name} = {cut(values)}: expected numbers") from None
    if found.ndim not in (1, 2) or found.size == 0:
        raise InputError(f"{name} has shape {found.shape}: expected (n,) or (n, columns)")
    if not np.isfinite(found).all():
        count = int((~np.isfinite(found)).sum())
        raise InputError(f"{name} holds {count} values that are not finite")
    return found.reshape(found.shape[0], -1)


def series(name: str, values: Any, what: str) -> Array:
    """(n,) doubles of a series.

    Args:
        name: of the argument.
        values: as in `matrix`.
        what: its values are, for the error.

    Raises:
        InputError: as `matrix`, or for several columns.
    """
    found = matrix(name, values)
    if found.shape[1] != 1:
        raise InputError(f"{name} has shape {found.shape}: expected (n,) {what}")
    return found[:, 0]


def one_of(kind: str, value: object, allowed: tuple[str, ...]) -> str:
    """The value, or an error that names those allowed."""
    if value not in allowed:
        raise InputError(unknown_name(kind, value, allowed))
    return str(value)


def whole(name: str, value: object, least: int, most: int = 2**31 - 1) -> int:
    """The value as an int, or an error that says what is expected."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or not least <= int(value) <= most:  # type: ignore[call-overload]
        raise InputError(f"{name} = {cut(value)}: expected a whole number from {least} to {most}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def number(name: str, value: object, least: float, most: float) -> float:
    """The value as a float, or an error that says what is expected."""
    known = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not known or not least <= float(value) <= most:  # type: ignore[arg-type]
        raise InputError(f"{name} = {cut(value)}: expected a number from {least:g} to {most:g}")
    return float(value)  # type: ignore[arg-type]
