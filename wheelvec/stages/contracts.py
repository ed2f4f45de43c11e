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


def keys_of_symbols(symbols: pl.Series) -> tuple[Roots, Array]:
    """The roots of OSI symbols, in order, and the keys of the contracts, (n,) int64."""
    roots, root = places_of(symbols)
    text = np.frombuffer(symbols.str.join("").item().encode(), np.uint8).reshape(-1, 21)
    digits = text - np.uint8(ord("0"))
    years, months, of_month = (
        10 * digits[:, i].astype(np.int64) + digits[:, i + 1] for i in (6, 8, 10)
    )
    month = (30 * 12 + 12 * years + months - 1).astype("datetime64[M]")  # since 1970-01
    day = month.astype("datetime64[D]").astype(np.int64) + of_month - 1
    milli = digits[:, 13:].astype(np.int64) @ 10 ** np.arange(7, -1, -1)
    return roots, keys_of(root, day, text[:, 12] == ord("P"), milli)


def symbols_of(key: Array, roots: Roots) -> pl.Series:
    """(n,) the OSI symbols of contracts."""
    root = pl.Series([root.ljust(6) for root in roots], dtype=pl.String)
    terms = pl.DataFrame(
        {
            "root": root.gather(pl.Series(root_places(key))),
            "expiration": pl.Series(expiration_days(key).astype(np.int32)).cast(pl.Date),
            "put": is_put(key),
            "milli": strike_milli(key),
        }
    )
    kind = pl.when("put").then(pl.lit("P")).otherwise(pl.lit("C"))
    milli = pl.col("milli").cast(pl.String).str.zfill(8)
    day = pl.col("expiration").dt.strftime("%y%m%d")
    return terms.select(symbol=pl.concat_str("root", day, kind, milli)).to_series()


def places_of(symbols: pl.Series) -> tuple[Roots, Array]:
    """The roots of OSI symbols, in order, and the index of each symbol's root, (n,) int64.

    The array is (0,) if there is only one root, as nearly always: that test splits no symbol.

    Args:
        symbols: (n,) OSI symbols, or their first six characters.
    """
    none = closed(np.zeros(0, np.int64))
    if symbols.is_empty():
        return (), none
    first = symbols[0][:6]
    if symbols.str.starts_with(first).all():
        return (first.rstrip(),), none
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
