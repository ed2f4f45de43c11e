"""Contracts as integers that sort as their symbols do, and the chain of one underlying."""

from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.collapse import (
    DAY_MASK,
    DAY_SHIFT,
    PUT_BIT,
    ROOT_SHIFT,
    STRIKE_MASK,
    Counts,
)
from wheelvec.stages.arrays import Array, closed, lent

_TENS = 10 ** np.arange(7, -1, -1)  # of the digits of a strike in thousandths of a dollar

Roots = tuple[str, ...]  # in order; a contract's key holds the index of its root


class Chain(NamedTuple):
    """The chain of one underlying over some sessions, by session and symbol.

    Arrays are (n,) each but for `counts`. `number`, `key`, `bid`, `ask` and `spot` are those of
    kernels.collapse.Standing; `iv` is per year and `delta` absolute, NaN where undefined.
    """

    number: Array
    key: Array
    bid: Array
    ask: Array
    spot: Array
    iv: Array
    delta: Array
    roots: Roots
    counts: Counts  # by session, from number `first` on
    first: int


def size_of(chain: Chain) -> int:
    """The size of a chain in bytes."""
    return sum(array.nbytes for array in (*chain[:7], *chain.counts))


def is_put(key: Array) -> Array:
    """(n,) whether each contract is a put."""
    return np.asarray(key & PUT_BIT != 0)


def strike_milli(key: Array) -> Array:
    """(n,) strikes in thousandths of a dollar."""
    return np.asarray(key & STRIKE_MASK)


def strikes(key: Array) -> Array:
    """(n,) strikes in dollars per share."""
    return strike_milli(key) / 1000.0


def expiration_days(key: Array) -> Array:
    """(n,) expirations in days since 1970-01-01."""
    return np.asarray(key >> DAY_SHIFT & DAY_MASK)


def root_places(key: Array) -> Array:
    """(n,) the index of each contract's root among the roots."""
    return np.asarray(key >> ROOT_SHIFT)


def keys_of(root: Array, expiration: Array, put: Array, milli: Array) -> Array:
    """(n,) int64 keys of contracts.

    Args:
        root: (n,) int64 index of the root; (0,) if there is only one root.
        expiration: (n,) days since 1970-01-01.
        put: (n,) bool.
        milli: (n,) int64 strikes in thousandths of a dollar.
    """
    key = expiration.astype(np.int64) << DAY_SHIFT | milli | put * np.int64(PUT_BIT)
    return np.asarray(key | root << ROOT_SHIFT) if root.size else key


def keys_of_symbols(symbols: pl.Series, number: Array) -> tuple[Roots, Array]:
    """The roots of OSI symbols, in order, and the keys of the contracts, (n,) int64.

    Args:
        symbols: (n,) ascending within each session.
        number: (n,) session of each.
    """
    roots, root = places_of(symbols, number)
    text = np.frombuffer("".join(symbols.to_list()).encode(), np.uint8).reshape(-1, 21)
    digits = text - np.uint8(ord("0"))
    years, months, of_month = (
        10 * digits[:, i].astype(np.int64) + digits[:, i + 1] for i in (6, 8, 10)
    )
    month = (30 * 12 + 12 * years + months - 1).astype("datetime64[M]")  # since 1970-01
    day = month.astype("datetime64[D]").astype(np.int64) + of_month - 1
    milli = digits[:, 13:].astype(np.int64) @ _TENS
    return roots, keys_of(root, day, text[:, 12] == ord("P"), milli)


def symbols_of(key: Array, roots: Roots) -> pl.Series:
    """(n,) the OSI symbols of contracts."""
    n, text = key.size, np.empty((key.size, 21), np.uint8)
    day, at = np.unique(expiration_days(key), return_inverse=True)
    dates = ["".join(str(each).split("-"))[2:] for each in day.astype("datetime64[D]")]
    text[:, :6] = _characters([root.ljust(6) for root in roots], 6)[root_places(key)]
    text[:, 6:12] = _characters(dates, 6)[at]
    text[:, 12] = np.where(is_put(key), ord("P"), ord("C"))
    text[:, 13:] = strike_milli(key)[:, None] // _TENS % 10 + ord("0")
    whole = text.tobytes().decode()
    return pl.Series([whole[i : i + 21] for i in range(0, 21 * n, 21)], dtype=pl.String)


def _characters(words: list[str], width: int) -> Array:
    """(words, width) uint8 characters of words of one width."""
    return np.frombuffer("".join(words).encode(), np.uint8).reshape(-1, width)


def places_of(symbols: pl.Series, number: Array) -> tuple[Roots, Array]:
    """The roots of OSI symbols, in order, and the index of each symbol's root, (n,) int64.

    The array is (0,) if there is only one root, as nearly always: what lies between two symbols of
    a root has it too, so that two of each session are looked at.

    Args:
        symbols: (n,) OSI symbols, or their first six characters, ascending within each session.
        number: (n,) session of each.
    """
    none = closed(np.zeros(0, np.int64))
    if symbols.is_empty():
        return (), none
    last = np.append(np.flatnonzero(number[1:] != number[:-1]), number.size - 1)
    ends = symbols[np.concatenate([[0], last[:-1] + 1, last])]
    if len(found := {symbol[:6] for symbol in ends}) == 1:
        return (found.pop().rstrip(),), none
    root = symbols.str.head(6).str.strip_chars_end(" ")
    roots = root.unique().sort()
    places = root.replace_strict(roots, pl.Series(range(len(roots))), return_dtype=pl.Int64)
    return tuple(roots), lent(places, np.int64)


def with_roots(key: Array, roots: Roots, others: Roots) -> Array:
    """(n,) the keys of contracts with the indices of their roots among other roots.

    Args:
        key: (n,) keys by `roots`.
        roots: in order.
        others: in order; a root that is not among them gets the index one past the last.
    """
    if roots == others[: len(roots)]:
        return key
    place = {root: at for at, root in enumerate(others)}
    moved = np.array([place.get(root, len(others)) - at for at, root in enumerate(roots)], np.int64)
    return np.asarray(key + (moved[root_places(key)] << ROOT_SHIFT))
