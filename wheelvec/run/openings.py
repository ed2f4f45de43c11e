"""When and on what the wheels of a sweep may open."""

import dataclasses
import datetime as dt
import math
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.market.market import Market
from wheelvec.spec.errors import ConfigError, InputError, unknown_name
from wheelvec.spec.grid import Codes, Grid, combined, refusal

_FIELDS = ("start_date", "end_date", "symbols", "every", "offset", "weekdays")


@dataclasses.dataclass(frozen=True)
class Opening:
    """Entry sessions and underlyings of some rows, with the dates and symbols that the schedule leaves to the market."""

    start: dt.date
    end: dt.date
    symbols: frozenset[str]
    every: int
    offset: int
    weekdays: tuple[int, ...] | None

    def sessions(self, sessions: pl.DataFrame) -> NDArray[np.bool_]:
        """(sessions,) whether each is an entry session (rules.md, section 1)."""
        inside = pl.col("session").is_between(self.start, self.end)
        i = pl.col("number") - pl.col("number").filter(inside).min() - self.offset
        due = inside & (i >= 0) & (i % self.every == 0)
        if self.weekdays is not None:
            due = due & pl.col("session").dt.weekday().is_in(list(self.weekdays))
        return np.array(sessions.select(due=due.fill_null(False))["due"].to_numpy(), np.bool_)


@dataclasses.dataclass(frozen=True)
class Openings:
    """The distinct openings of a grid, and which of them each row has."""

    each: list[Opening]
    of_row: Codes

    @classmethod
    def of(cls, market: Market, grid: Grid) -> Self:
        """Resolve every row's schedule.

        Raises:
            ConfigError: naming the rows whose dates, symbols or rates this market does not allow.
        """
        names = [f"schedule.{name}" for name in _FIELDS]
        keys = [(codes, len(grid.values(name))) for name in names if (codes := grid.codes(name)) is not None]
        _, first, code = np.unique(combined(keys, grid.size), return_index=True, return_inverse=True)
        refused: dict[int, str] = {}
        each = []
        for i, row in enumerate(first.tolist()):
            try:
                each.append(_resolved(market, *[grid.value(name, row) for name in names]))
            except InputError as error:
                refused |= dict.fromkeys(np.flatnonzero(code == i).tolist(), str(error))
        if not refused:
            _check_curves(grid, each, code, refused)
        if refused:
            raise ConfigError(refusal(refused, grid.size))
        return cls(each, code)

    @property
    def start(self) -> dt.date:
        """The first date of any."""
        return min(opening.start for opening in self.each)

    @property
    def end(self) -> dt.date:
        """The last date of any."""
        return max(opening.end for opening in self.each)

    @property
    def symbols(self) -> list[str]:
        """The underlyings of any, sorted."""
        return sorted(set().union(*(opening.symbols for opening in self.each)))

    def sessions(self, sessions: pl.DataFrame) -> NDArray[np.bool_]:
        """(openings, sessions) whether each is an entry session."""
        return np.array([opening.sessions(sessions) for opening in self.each])


def _resolved(market: Market, start: Any, end: Any, symbols: Any, *rest: Any) -> Opening:
    first, last = market.data_range or (None, None)
    start, end = start or first, end or last
    if start is None or end is None:
        raise InputError("the market holds no data and the schedule no dates: expected schedule.start_date and end_date")
    if start > end:
        raise InputError(f"entries from {start} to {end}: the range is empty; the market holds {first} to {last}")
    for symbol in symbols or ():
        if symbol not in market.symbols:
            raise InputError(unknown_name("symbol", symbol, market.symbols))
    return Opening(start, end, frozenset(market.symbols if symbols is None else symbols), *rest)


def _check_curves(grid: Grid, each: list[Opening], code: Codes, refused: dict[int, str]) -> None:
    """A rate by session must be known from the first entry date on."""
    starts = np.array([opening.start.toordinal() for opening in each])[code]
    for field in ("pricing.rate", "pricing.dividend_yield"):
        known = grid.column(field, lambda c: -math.inf if isinstance(c, float) else float(c[0][0].toordinal()))
        for row in np.flatnonzero(known > starts).tolist():
            begins, start = grid.value(field, row)[0][0], each[code[row]].start
            refused.setdefault(row, f"{field} starts on {begins}: expected a value on or before {start}, the first session")
