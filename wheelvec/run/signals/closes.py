"""Closes of underlyings by session, comparable across splits, and figures over windows of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from wheelvec.market.market import Market
from wheelvec.model.errors import InputError, cut, unknown_name
from wheelvec.stages.arrays import Array, column

Symbols = str | Iterable[str] | None  # one, several, or all


def chosen(symbols: Symbols, known: Iterable[str]) -> list[str]:
    """The underlyings that a user names, sorted.

    Args:
        symbols: one, or several; None: all.
        known: those that there are.

    Raises:
        InputError: naming one that is not known.
    """
    names = sorted(known)
    wanted = names if symbols is None else [symbols] if isinstance(symbols, str) else list(symbols)
    for symbol in wanted:
        if symbol not in names:
            raise InputError(unknown_name("symbol", symbol, names))
    return sorted(set(wanted))


def checked(market: Market) -> Market:
    """The market that a user gives.

    Raises:
        InputError: if it is none.
    """
    if not isinstance(market, Market):
        raise InputError(f"market is a {type(market).__name__}: expected a wheelvec.Market")
    return market


def whole(name: str, value: object, least: int) -> int:
    """An argument that must be a whole number of at least `least`.

    Raises:
        InputError: naming the argument and its value.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} = {cut(value)}: expected a whole number from {least} on")
    return int(value)


@dataclass(frozen=True)
class Closes:
    """The closes of some underlyings on the sessions of a market.

    Attributes:
        symbols: the underlyings.
        sessions: (sessions,) the sessions of the market's calendar over its data.
        close: (sessions, underlyings) dollars per share of the first session: the closes times
            `factor`; NaN where there is no bar.
        factor: (sessions, underlyings) shares that one share of the first session has become, by
            the splits up to and including the session.
    """

    symbols: list[str]
    sessions: pl.Series
    close: Array
    factor: Array

    @classmethod
    def of(cls, market: Market, symbols: Symbols) -> Self:
        """The closes of some or all underlyings that have bars.

        Raises:
            InputError: naming an underlying without bars.
        """
        bars = checked(market).underlying_bars
        names = chosen(symbols, bars["underlying"].unique())
        dates = market.sessions.dates
        close = np.full((dates.size, len(names)), np.nan)
        at, place = _places(bars.select("session", "underlying", "close"), dates, names)
        close[at.numbers, place] = column(at.rows, "close", np.float64)
        factor = _factors(market, dates, names)
        return cls(names, market.sessions.frame["session"], close * factor, factor)

    def frame(self, figures: dict[str, Array]) -> pl.DataFrame:
        """session, underlying and figures, by underlying and session.

        Each underlying has the sessions from its first bar on.

        Args:
            figures: (sessions, underlyings) each, by name; NaN becomes null.
        """
        frames = [pl.DataFrame(schema=_schema(figures))]
        for place, symbol in enumerate(self.symbols):
            present = np.flatnonzero(~np.isnan(self.close[:, place]))
            first = int(present[0]) if present.size else len(self.sessions)
            found = {name: values[first:, place] for name, values in figures.items()}
            frames.append(framed(self.sessions.slice(first), symbol, found))
        return pl.concat(frames)


@dataclass(frozen=True)
class _Found:
    rows: pl.DataFrame
    numbers: Array


def _places(rows: pl.DataFrame, dates: Array, names: list[str]) -> tuple[_Found, Array]:
    """The rows on known sessions of known underlyings, their sessions, and their underlyings."""
    kept = rows.filter(
        pl.col("underlying").is_in(names)
        & pl.col("session").is_in(pl.Series(dates).cast(pl.Date).implode())
    )
    numbers = np.searchsorted(dates, kept["session"].to_numpy().astype("datetime64[D]"))
    place = kept["underlying"].replace_strict(
        names, range(len(names)), default=None, return_dtype=pl.Int64
    )
    return _Found(kept, numbers), place.to_numpy()


def _factors(market: Market, dates: Array, names: list[str]) -> Array:
    """(sessions, underlyings) the product of the ratios of splits on or before each session."""
    factor = np.ones((dates.size, len(names)))
    if market.splits is None:
        return factor
    for row in market.splits.iter_rows(named=True):
        if row["underlying"] in names:
            first = int(np.searchsorted(dates, np.datetime64(row["ex_date"])))
            factor[first:, names.index(row["underlying"])] *= row["numerator"] / row["denominator"]
    return factor


def framed(sessions: pl.Series, symbol: str, figures: dict[str, Array]) -> pl.DataFrame:
    """session, underlying and figures of one underlying; NaN becomes null.

    Args:
        sessions: n of them.
        symbol: the underlying.
        figures: (n,) each, by name.
    """
    columns = {name: pl.Series(values).fill_nan(None) for name, values in figures.items()}
    frame = pl.DataFrame({"session": sessions, **columns})
    return frame.select("session", pl.lit(symbol).alias("underlying"), *figures)


def _schema(figures: Iterable[str]) -> dict[str, pl.DataType]:
    return {"session": pl.Date(), "underlying": pl.String()} | dict.fromkeys(figures, pl.Float64())


# ---- windows of sessions: along the first axis, NaN where they do not fit or a value is missing


def windows(values: Array, count: int) -> Array:
    """(n - count + 1, ..., count) the windows of `count` values along the first axis, a view."""
    return sliding_window_view(values, count, axis=0)


def padded(values: Array, count: int) -> Array:
    """(n, ...) figures of windows of `count` values, each at the last one of its window.

    Args:
        values: (n - count + 1, ...), of `windows`.
        count: the length of the windows.
    """
    return np.concatenate([np.full((count - 1, *values.shape[1:]), np.nan), values])


def means(values: Array, count: int) -> Array:
    """(n, ...) the mean of the last `count` values."""
    if values.shape[0] < count:
        return np.full(values.shape, np.nan)
    return padded(windows(values, count).mean(axis=-1), count)


def deviations(values: Array, count: int, freedom: int) -> Array:
    """(n, ...) the standard deviation of the last `count` values.

    Args:
        values: (n, ...).
        count: the length of the windows.
        freedom: subtracted from `count` in the divisor: 1 for a sample, 0 for all there is.
    """
    if values.shape[0] < count:
        return np.full(values.shape, np.nan)
    return padded(windows(values, count).std(axis=-1, ddof=freedom), count)


def smoothed(values: Array, count: int) -> Array:
    """(n, ...) Wilder's average: a mean of `count` values, then 1/count of each new one.

    A missing value ends it; it begins anew with the next mean.
    """
    seed = means(values, count)
    found = seed.copy()
    for i in range(1, values.shape[0]):
        followed = (found[i - 1] * (count - 1) + values[i]) / count
        found[i] = np.where(np.isnan(followed), seed[i], followed)
    return found


def delayed(values: Array) -> Array:
    """(n, ...) the values of the session before; NaN on the first."""
    return np.concatenate([np.full((1, *values.shape[1:]), np.nan), values])[: values.shape[0]]
