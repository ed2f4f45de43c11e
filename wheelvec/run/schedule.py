"""When and on what the wheels of a sweep may open."""

import dataclasses
import datetime as dt
import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, unknown_name
from wheelvec.model.grid import (
    SIGNAL,
    Codes,
    Grid,
    Refusals,
    RefusedRowsError,
    combined,
    dense,
    first_of,
    note_rows,
)
from wheelvec.run.signals import Signal, Signals

_FIELDS = ("start_date", "end_date", "symbols", "every", "offset", "weekdays")


@dataclasses.dataclass(frozen=True)
class EntryRule:
    """Entry sessions and underlyings of some rows, with the dates and symbols that the schedule
    leaves to the market, and the signal that lets wheels open there (None: any may).
    """

    start: dt.date
    end: dt.date
    symbols: frozenset[str]
    every: int
    offset: int
    weekdays: tuple[int, ...] | None
    signal: Signal | None = None

    def sessions(self, days: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """(sessions,) whether each of these consecutive sessions is an entry session (rules.md,
        section 1).
        """
        inside = (days >= np.datetime64(self.start)) & (days <= np.datetime64(self.end))
        since_first = np.arange(days.size) - inside.argmax() - self.offset
        due: NDArray[np.bool_] = inside & (since_first >= 0) & (since_first % self.every == 0)
        if self.weekdays is not None:
            due &= np.isin(
                (days.astype(np.int64) + 3) % 7 + 1, self.weekdays
            )  # day 0 was a Thursday, the fourth
        return due


@dataclasses.dataclass(frozen=True)
class EntryRules:
    """The distinct entry rules of a grid, and which of them each row has."""

    each: list[EntryRule]
    of_row: Codes

    @classmethod
    def of(cls, market: Market, grid: Grid, signals: Signals) -> Self:
        """Resolve every row's schedule and signal.

        Raises:
            ConfigError: naming the rows whose dates, symbols or rates this market does not allow.
        """
        names = [f"schedule.{name}" for name in _FIELDS]
        keys = [
            (codes, len(grid.values(name)))
            for name in (*names, SIGNAL)
            if (codes := grid.codes(name)) is not None
        ]
        code, count = dense(combined(keys, grid.size))
        refused: dict[int, str] = {}  # by entry rule
        each = []
        for i, row in enumerate(first_of(code, count).tolist()):
            try:
                schedule = _resolved(market, *[grid.value(name, row) for name in names])
                signal = signals.of(grid.value(SIGNAL, row))
                each.append(dataclasses.replace(schedule, signal=signal))
            except InputError as error:
                refused[i] = str(error)
        refusals = Refusals(grid.size)
        refusals.note(refused, code, count)
        if not refusals:
            _check_curves(grid, each, code, refusals)
        if refusals:
            raise RefusedRowsError(refusals)
        return cls(each, code)

    @property
    def start(self) -> dt.date:
        """The first date of any."""
        return min(entry_rule.start for entry_rule in self.each)

    @property
    def end(self) -> dt.date:
        """The last date of any."""
        return max(entry_rule.end for entry_rule in self.each)

    @property
    def symbols(self) -> list[str]:
        """The underlyings of any, sorted."""
        return sorted(set().union(*(entry_rule.symbols for entry_rule in self.each)))

    def sessions(self, days: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """(entry rules, sessions) whether each of these consecutive sessions is an entry session."""
        return np.array([entry_rule.sessions(days) for entry_rule in self.each])

    def trades(self, symbols: list[str]) -> NDArray[np.bool_]:
        """(entry rules, symbols) whether wheels open on each underlying."""
        return np.array(
            [[symbol in entry_rule.symbols for symbol in symbols] for entry_rule in self.each]
        )


def entry_rule_of(market: Market, config: Config) -> EntryRule:
    """The entry rule of one configuration.

    Raises:
        InputError: if this market does not allow its dates or symbols.
    """
    return _resolved(market, *[getattr(config.schedule, name) for name in _FIELDS])


def check_curve(config: Config, start: dt.date) -> None:
    """See that rates by session are known from the first entry date on.

    Raises:
        InputError: naming the rate that is not.
    """
    for name in ("rate", "dividend_yield"):
        curve = getattr(config.pricing, name)
        if not isinstance(curve, float) and curve[0][0] > start:
            raise InputError(_unknown_rate(f"pricing.{name}", curve[0][0], start))


def _unknown_rate(field: str, begins: dt.date, start: dt.date) -> str:
    return f"{field} starts on {begins}: expected a value on or before {start}, the first session"


def _resolved(market: Market, start: Any, end: Any, symbols: Any, *rest: Any) -> EntryRule:
    for symbol in symbols or ():
        if symbol not in market.symbols:
            raise InputError(unknown_name("symbol", symbol, market.symbols))
    first, last = market.data_range or (None, None)
    start, end = start or first, end or last
    if start is None or end is None:
        raise InputError(
            "the market holds no data and the schedule no dates: expected schedule.start_date and "
            "end_date"
        )
    if start > end:
        raise InputError(
            f"entries from {start} to {end}: the range is empty; the market holds {first} to {last}"
        )
    return EntryRule(start, end, frozenset(market.symbols if symbols is None else symbols), *rest)


def _check_curves(grid: Grid, each: list[EntryRule], code: Codes, refusals: Refusals) -> None:
    """A rate by session must be known from the first entry date on."""
    starts = np.array([entry_rule.start.toordinal() for entry_rule in each])[code]
    for field in ("pricing.rate", "pricing.dividend_yield"):
        if all(isinstance(curve, float) for curve in grid.values(field)):
            continue
        known = grid.column(
            field, lambda c: -math.inf if isinstance(c, float) else float(c[0][0].toordinal())
        )
        keys = [(code, len(each))]
        if (curves := grid.codes(field)) is not None:
            keys.append((curves, len(grid.values(field))))

        def reason(row: int, field: str = field) -> str:
            begins, start = grid.value(field, row)[0][0], each[code[row]].start
            return _unknown_rate(field, begins, start)

        note_rows(refusals, known > starts, keys, reason)
