"""Contracts as numbers that sort as their symbols do, what such a number says, and the chain of
contracts that stages hand on.
"""

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

Roots = tuple[str, ...]  # in order; the place of its own is part of a contract's key


class Chain(NamedTuple):
    """The chain of one underlying over some sessions: (n,) each but for the last two, by session
    and symbol.

    `number`, `key`, `bid`, `ask` and `spot` are those of kernels.collapse.Standing; `iv` (per year)
    and `delta` (absolute) NaN where there is none.
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
    """Bytes."""
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
    """(n,) the place of each contract's root among the roots."""
    return np.asarray(key >> ROOT_SHIFT)


def keys_of(root: Array, expiration: Array, put: Array, milli: Array) -> Array:
    """(n,) int64 keys; `root` may be empty where there is but one."""
    key = expiration.astype(np.int64) << DAY_SHIFT | milli | put * np.int64(PUT_BIT)
    return np.asarray(key | root << ROOT_SHIFT) if root.size else key


def keys_of_symbols(symbols: pl.Series) -> tuple[Roots, Array]:
    """The roots of OSI symbols, in order, and (n,) int64 keys."""
    roots, root = places_of(symbols)
    text = np.frombuffer(symbols.str.join("").item().encode(), np.uint8).reshape(-1, 21)
    number = text.astype(np.int64) - ord("0")
    years, months, of_month = (10 * number[:, i] + number[:, i + 1] for i in (6, 8, 10))
    month = (30 * 12 + 12 * years + months - 1).astype("datetime64[M]")  # since 1970-01
    day = month.astype("datetime64[D]").astype(np.int64) + of_month - 1
    milli = number[:, 13:] @ 10 ** np.arange(7, -1, -1)
    return roots, keys_of(root, day, text[:, 12] == ord("P"), milli)


def symbols_of(key: Array, roots: Roots) -> pl.Series:
    """The OSI symbols of contracts."""
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
    """The roots of OSI symbols, or of their first six characters, in order, and (n,) int64 the
    place of each one's.

    (0,) where there is but one, as nearly always, which is seen without cutting up any symbol.
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
    """(n,) the keys of contracts of `roots` with the places that their roots have among `others`;
    one past all of these for a root that is not there.
    """
    if roots == others[: len(roots)]:
        return key
    place = {root: at for at, root in enumerate(others)}
    moved = np.array([place.get(root, len(others)) - at for at, root in enumerate(roots)], np.int64)
    return np.asarray(key + (moved[root_places(key)] << ROOT_SHIFT))
