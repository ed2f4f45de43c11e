"""The sessions and underlyings on which the wheels of a grid may open."""

import dataclasses
import datetime as dt
import math
from collections.abc import Collection
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
from wheelvec.model.sections import Schedule
from wheelvec.run.signals.pairs import Signal, Signals

_FIELDS = ("start_date", "end_date", "symbols", "every", "offset", "weekdays")


@dataclasses.dataclass(frozen=True)
class EntryRule:
    """The entry sessions and underlyings of some rows; the market fills in what a schedule omits.

    Attributes:
        start: the first date of entries.
        end: the last date of entries, included.
        symbols: the underlyings.
        every: a wheel may open on each n-th session.
        offset: sessions from `start` to the first entry session.
        weekdays: ISO weekdays (1 is Monday) of entry sessions; None: all.
        signal: the (session, underlying) pairs on which wheels may open; None: all.
    """

    start: dt.date
    end: dt.date
    symbols: frozenset[str]
    every: int
    offset: int
    weekdays: tuple[int, ...] | None
    signal: Signal | None = None

    def sessions(self, days: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """Whether each session is an entry session (rules.md, section 1).

        Args:
            days: (sessions,) the days of consecutive sessions.

        Returns:
            (sessions,) booleans; the signal is not applied.
        """
        inside = (days >= np.datetime64(self.start)) & (days <= np.datetime64(self.end))
        since_first = np.arange(days.size) - inside.argmax() - self.offset
        due: NDArray[np.bool_] = inside & (since_first >= 0) & (since_first % self.every == 0)
        if self.weekdays is not None:
            # 1970-01-01, day 0, was a Thursday: ISO weekday 4
            due &= np.isin((days.astype(np.int64) + 3) % 7 + 1, self.weekdays)
        return due


@dataclasses.dataclass(frozen=True)
class EntryRules:
    """The distinct entry rules of a grid.

    Attributes:
        each: the distinct entry rules.
        of_row: (rows,) the position of each row's entry rule in `each`.
    """

    each: list[EntryRule]
    of_row: Codes

    @classmethod
    def of(
        cls, market: Market, grid: Grid, signals: Signals, part: Collection[str] | None = None
    ) -> Self:
        """Resolve the schedule and the signal of every row.

        Args:
            market: the tables.
            grid: the configurations, one per row.
            signals: the signals that restrict entries.
            part: the underlyings to which the rules are limited, where the whole market has been
                checked for the names of the rows; None: all.

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
                schedule = _resolved(market, part, *[grid.value(name, row) for name in names])
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
        """The first date of entries of any rule."""
        return min(entry_rule.start for entry_rule in self.each)

    @property
    def end(self) -> dt.date:
        """The last date of entries of any rule."""
        return max(entry_rule.end for entry_rule in self.each)

    @property
    def symbols(self) -> list[str]:
        """The underlyings of all rules, sorted."""
        return sorted(set().union(*(entry_rule.symbols for entry_rule in self.each)))

    def sessions(self, days: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """(entry rules, sessions) whether each session is an entry session.

        Args:
            days: (sessions,) the days of consecutive sessions.
        """
        return np.array([entry_rule.sessions(days) for entry_rule in self.each])

    def trades(self, symbols: list[str]) -> NDArray[np.bool_]:
        """(entry rules, symbols) whether wheels may open on each underlying.

        Args:
            symbols: the underlyings.
        """
        return np.array(
            [[symbol in entry_rule.symbols for symbol in symbols] for entry_rule in self.each]
        )


def entry_rule_of(market: Market, config: Config) -> EntryRule:
    """The entry rule of one configuration.

    Raises:
        InputError: if this market does not allow its dates or symbols.
    """
    return _resolved(market, None, *[getattr(config.schedule, name) for name in _FIELDS])


def entry_rule_between(schedule: Schedule, start: Any, end: Any) -> EntryRule:
    """The entry rule of a schedule whose dates are known, where no market is.

    Args:
        schedule: of the configuration.
        start: the first date of entries.
        end: the last date of entries, included.
    """
    symbols, *rest = (getattr(schedule, name) for name in _FIELDS[2:])
    return EntryRule(start, end, frozenset(symbols or ()), *rest)


def check_curve(config: Config, start: dt.date) -> None:
    """Check that rates given by date begin on or before the first date of entries.

    Args:
        config: its rate and dividend yield are checked.
        start: the first date of entries.

    Raises:
        InputError: naming the rate that begins later.
    """
    for name in ("rate", "dividend_yield"):
        curve = getattr(config.pricing, name)
        if not isinstance(curve, float) and curve[0][0] > start:
            raise InputError(_unknown_rate(f"pricing.{name}", curve[0][0], start))


def _unknown_rate(field: str, begins: dt.date, start: dt.date) -> str:
    return f"{field} starts on {begins}: expected a value on or before {start}, the first session"


def _resolved(
    market: Market, part: Collection[str] | None, start: Any, end: Any, symbols: Any, *rest: Any
) -> EntryRule:
    """The entry rule of a schedule; its fields come in the order of `_FIELDS`."""
    known = frozenset(market.symbols)
    named = known if symbols is None else frozenset(symbols)
    if part is not None:
        named &= frozenset(part)
    elif unknown := [symbol for symbol in symbols or () if symbol not in known]:
        raise InputError(unknown_name("symbol", unknown[0], market.symbols))
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
    return EntryRule(start, end, named, *rest)


def _check_curves(grid: Grid, each: list[EntryRule], code: Codes, refusals: Refusals) -> None:
    """Note the rows whose rates begin after their first date of entries."""
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
