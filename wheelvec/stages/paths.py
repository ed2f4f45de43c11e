"""Paths: bars and quotes of each leg's contract during the leg, and closes of the underlying."""

from collections.abc import Callable

import numpy as np
import polars as pl

from wheelvec.kernels.slices import Slice, Underlying
from wheelvec.model.schemas import PATHS, UNDERLYING_CLOSES
from wheelvec.stages.arrays import Array, taken
from wheelvec.stages.outcomes import dates, same, spans
from wheelvec.stages.succession import Eras, Succession

SPAN = 2**32  # a contract's number and a session's in one
WALKED = ("contract", "number", "exit_number")
SOURCES = pl.Series(["bar", "quote", None], dtype=pl.String)


def leg_rows(
    legs: Array,
    slice_: Slice,
    quotes: tuple[Array, Array, Array, Array, Array],
    symbols: Callable[[Array], pl.Series],
    underlying: str,
) -> pl.DataFrame:
    """OHLC, bid and ask per contract and session, from a leg's sale through its end.

    After a split or a rename the rows are those of the contract that stands for the leg's, with the
    prices at which it traded.

    `source` is "bar", or "quote" where the mid of a quote serves as the bar. Where there is only a
    quote that does not, OHLC and `source` are null.

    Args:
        legs: (n,) contract of the slice, and the first and last session on which a leg was open in
            it, as `by_era` returns them.
        slice_: that the legs were recorded on.
        quotes: (n,) contract, number, bid, ask and the underlying's price of the valid quotes, by
            number.
        symbols: the OSI symbols of some contracts.
        underlying: its name.

    Returns:
        model.schemas.PATHS, by contract and session.
    """
    used = np.unique(legs["contract"])
    row, barred = _bars_of(used, slice_)
    some, quoted = _quotes_of(legs, slice_, quotes[0], quotes[1])
    keys = np.union1d(barred[_covered(barred, legs)], quoted[_covered(quoted, legs)])
    at, there = _looked_up(keys, barred)
    rows = slice_.rows[row[at]] if row.size else np.zeros(keys.size, slice_.rows.dtype)
    place, known = _looked_up(keys, quoted)
    columns = {
        "underlying": same(underlying, keys.size),
        "symbol": symbols(keys // SPAN),
        "session": dates(slice_.underlying.day[keys % SPAN]),
        **{name: _only(rows[name], there) for name in ("open", "high", "low", "close")},
        **{
            name: _only(values[some[place]] if some.size else np.zeros(keys.size), known)
            for name, values in zip(("bid", "ask", "underlying_price"), quotes[2:], strict=True)
        },
        "source": taken(SOURCES, np.where(there, rows["is_quote"], 2)),
    }
    return pl.DataFrame(columns, schema=PATHS)


def by_era(legs: Array, eras: Eras | None, succession: Succession | None) -> Array:
    """(n,) of WALKED: the contracts in which each leg was open, and on which sessions.

    Args:
        legs: (legs,) of kernels.outcomes.LEG; `contract` is the slice's.
        eras: of the slice.
        succession: of its contracts.
    """
    walked = legs[list(WALKED)]
    if eras is None or succession is None:
        return walked
    begin = np.array([0, *eras.begin])
    end = np.array([*(eras.begin - 1), SPAN])
    found = []
    for at in range(begin.size):
        stands = succession.stands[at][legs["contract"]]
        first = np.maximum(legs["number"], begin[at])
        last = np.minimum(legs["exit_number"], end[at])
        some = np.flatnonzero((stands >= 0) & (first <= last))
        part = np.zeros(some.size, walked.dtype)
        for name, values in zip(WALKED, (stands, first, last), strict=True):
            part[name] = values[some]
        found.append(part)
    return np.concatenate(found)


def _bars_of(used: Array, slice_: Slice) -> tuple[Array, Array]:
    """(n,) the rows of the paths of some contracts, and their keys, in order.

    Args:
        used: numbers of contracts, in order.
        slice_: has their paths.
    """
    where = slice_.contracts[used]
    row, of_row = spans(where["first_row"], where["last_row"] - where["first_row"])
    return row, used[of_row] * SPAN + slice_.rows["number"][row]


def _quotes_of(legs: Array, slice_: Slice, contract: Array, number: Array) -> tuple[Array, Array]:
    """(n,) the quotes between the first and the last session of a contract's legs, and their keys.

    They are few, so that only these are sorted by contract.

    Args:
        legs: as in `leg_rows`.
        slice_: that the legs were recorded on.
        contract: (quotes,) of each valid quote.
        number: (quotes,) session of each, in order.
    """
    first = np.full(slice_.contracts.size, SPAN)
    last = np.full(slice_.contracts.size, -1)
    np.minimum.at(first, legs["contract"], legs["number"])
    np.maximum.at(last, legs["contract"], legs["exit_number"])
    some = np.flatnonzero((number >= first[contract]) & (number <= last[contract]))
    key = contract[some].astype(np.int64) * SPAN + number[some]
    order = np.argsort(key)
    return some[order], key[order]


def _covered(keys: Array, legs: Array) -> Array:
    """(n,) whether each sorted key is from a leg's sale through its end, both included."""
    begin, depth = legs["contract"] * SPAN, np.zeros(keys.size + 1, np.int64)
    np.add.at(depth, np.searchsorted(keys, begin + legs["number"], side="left"), 1)
    np.add.at(depth, np.searchsorted(keys, begin + legs["exit_number"], side="right"), -1)
    return np.asarray(depth.cumsum()[:-1] > 0)


def _looked_up(wanted: Array, keys: Array) -> tuple[Array, Array]:
    """(n,) the index of each key among sorted ones, and whether it is among them."""
    if not keys.size:
        return np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.bool_)
    at = np.searchsorted(keys, wanted).clip(max=keys.size - 1)
    return at, keys[at] == wanted


def _only(values: Array, known: Array) -> pl.Series:
    return pl.Series(np.where(known, values, np.nan), nan_to_null=True)


def closes_between(underlying: Underlying, first: int, last: int, name: str) -> pl.DataFrame:
    """The underlying's closes on sessions first..last that have one.

    Args:
        underlying: closes by session number.
        first: session number.
        last: session number, included.
        name: of the underlying.

    Returns:
        model.schemas.UNDERLYING_CLOSES.
    """
    kept = first + np.flatnonzero(~np.isnan(underlying.close[first : last + 1]))
    columns = {
        "underlying": same(name, kept.size),
        "session": dates(underlying.day[kept]),
        "close": underlying.close[kept],
    }
    return pl.DataFrame(columns, schema=UNDERLYING_CLOSES)
