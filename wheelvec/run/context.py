"""A grid over one market before any wheel is simulated.

It finds the chain keys, entry sessions, months and slices of the rows, and the buffer sizes that
they need.
"""

import datetime as dt
import itertools
import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.kernels.evaluate import Sizes
from wheelvec.lake.lake import month_end
from wheelvec.market.market import Market
from wheelvec.model.grid import Codes, Grid, combined, dense, first_of
from wheelvec.run.signals.pairs import Signals
from wheelvec.run.signals.schedule import EntryRules
from wheelvec.run.slicing.histories import stated_history
from wheelvec.run.slicing.slices import ChainKey, HeldSlice, SliceCache, last_known

Array = NDArray[Any]
SliceKey = tuple[dt.date, str]  # first day of a month of entries, underlying
Span = tuple[SliceKey, int, int]  # that month and its first and last session
SpanKey = tuple[tuple[dt.date, dt.date], str]  # first and last day of a slice's data, underlying
HeldSpan = tuple[SliceKey, HeldSlice, int, int]  # a span with its slice

DTE_STEP = 15  # calendar days: the greatest days to expiration is rounded up to a multiple
LAST_SETTLEMENT = dt.date(2099, 12, 31)  # the years of OSI symbols have two digits
_CHAIN_KEY = (
    "schedule.trading_calendar",
    "schedule.entry_time",
    "pricing.rate",
    "pricing.dividend_yield",
    "fills.gap_path",
)
_EARLY = ("put.early_assignment", "call.early_assignment")


class Bounds(NamedTuple):
    """Upper bounds of the memory that any row needs.

    Attributes:
        wheels: underlying -> at least as many wheels as any row opens: the puts in the widest
            ranges of the grid.
        sizes: the most of each kind that a slice holds.
        bytes: the size of each slice.
    """

    wheels: dict[str, int]
    sizes: Sizes
    bytes: dict[SpanKey, int]


class Part(NamedTuple):
    """The wheels that a task simulates, where a grid over a market is split into several.

    Attributes:
        symbols: their underlyings.
        years: the first and the last year of their entries; None: all.
    """

    symbols: frozenset[str]
    years: tuple[int, int] | None = None


class Context:
    """One grid over one market: its chain keys, entry rules and slices.

    Args:
        market: the tables.
        grid: the configurations, one per row.
        threads: the number of threads that simulate wheels.
        memory: bytes that slices and chunks may take.
        signals: the signals that restrict entries: of all rows, and by name of single rows.
        part: the wheels to simulate; None: all.

    Attributes:
        symbols: the underlyings of all rows, sorted; figures are combined in this order.
        trades: (entry rules, symbols) whether wheels may open on each underlying.
        chain_keys: the distinct chain keys of the rows.
        chain_key_of: (rows,) the position of each row's chain key in `chain_keys`.
        sessions: chain key -> session, number, minute of each session.
        opens: chain key -> (entry rules, sessions) whether each is an entry session.

    Raises:
        ConfigError: naming the rows that cannot be run on this market.
    """

    def __init__(
        self,
        market: Market,
        grid: Grid,
        threads: int,
        memory: int,
        signals: Signals | None = None,
        part: Part | None = None,
    ) -> None:
        self.grid, self._market, self.threads, self.memory = grid, market, threads, memory
        self._cache = SliceCache(market, memory // 2)
        self._bounds: dict[ChainKey, Bounds] = {}
        self._spans: dict[int, tuple[dt.date, dt.date]] = {}
        self._eves: dict[tuple[ChainKey, str], Array | None] = {}
        limits = None if part is None else part.symbols
        self.entry_rules = EntryRules.of(market, grid, signals or Signals(), limits)
        self.symbols = self.entry_rules.symbols
        self.trades = self.entry_rules.trades(self.symbols)
        self.chain_keys, self.chain_key_of = self._find_chain_keys()
        self.sessions = {chain_key: chain_key.sessions() for chain_key in self.chain_keys}
        self.opens = {
            chain_key: self.entry_rules.sessions(days["session"].to_numpy())
            for chain_key, days in self.sessions.items()
        }
        if part is not None and part.years is not None:
            for chain_key, days in self.sessions.items():
                inside = days["session"].dt.year().is_between(*part.years).to_numpy()
                self.opens[chain_key] &= inside

    # --- the chain keys of the rows and the data that they need

    def _find_chain_keys(self) -> tuple[list[ChainKey], Codes]:
        """The distinct chain keys, and (rows,) the position of each row's."""
        least = int(self.grid.least("liquidity.ivp_min_candidates"))
        most = int(self.grid.most("liquidity.ivp_min_candidates"))
        over_chain = self.grid.column("liquidity.ivp_over", lambda over: over == "chain", np.bool_)
        ranked = np.where(
            over_chain, self.grid.column("liquidity.ivp_min_candidates", None, np.int64), least - 1
        )
        keys = [
            (codes, len(self.grid.values(name)))
            for name in _CHAIN_KEY
            if (codes := self.grid.codes(name)) is not None
        ]
        code, count = dense(
            combined([(ranked - least + 1, most - least + 2), *keys], self.grid.size)
        )
        begin = self.entry_rules.start.replace(day=1)
        early = any(set(self.grid.values(name)) != {"none"} for name in _EARLY)
        chain_keys = []
        for row in first_of(code, count).tolist():
            calendar, minute, rate, dividends, gaps = (
                self.grid.value(name, row) for name in _CHAIN_KEY
            )
            end = last_known(calendar, begin, self._furthest)
            ranks = int(ranked[row]) if over_chain[row] else -1
            dte_max = None if over_chain[row] else self.dte_max
            chain_keys.append(
                ChainKey(
                    *(calendar, minute, rate, dividends, gaps, early, dte_max, ranks, begin, end)
                )
            )
        return chain_keys, code

    @cached_property
    def dte_max(self) -> int:
        """The greatest dte_max of any row, in calendar days.

        It is rounded up to a multiple of `DTE_STEP`, so that similar grids share their slices.
        """
        most = int(max(self.grid.most("put.dte_max"), self.grid.most("call.dte_max")))
        return -(-most // DTE_STEP) * DTE_STEP

    @cached_property
    def _furthest(self) -> dt.date:
        """A date on or after every possible settlement session.

        It ends a year, so that similar grids share their slices.
        """
        data = self._market.data_range
        last = max(self.entry_rules.end, data[1]) if data else self.entry_rules.end
        days = self.grid.most("put.dte_max") + self.grid.most("call.dte_max") + 2 * self._slack
        furthest = min(last.toordinal() + int(days), max(last, LAST_SETTLEMENT).toordinal())
        return dt.date(dt.date.fromordinal(furthest).year, 12, 31)

    @property
    def last(self) -> dt.date | None:
        """The last session of the data; None if there are none."""
        return self._market.data_range[1] if self._market.data_range else None

    @property
    def _slack(self) -> int:
        """Calendar days that a leg may take beyond its days to expiration."""
        return 14 + 3 * (int(self.grid.most("call.call_wait_sessions")) + 1)

    def _span(self, year: int) -> tuple[dt.date, dt.date]:
        """The first and last day of the slice that the entries of a year are simulated on.

        It has as many years of entries as a wheel can last, so that no quote is in more than two
        slices, and the data that their wheels can need.
        """
        if year not in self._spans:
            self._spans[year] = self._find_span(year)
        return self._spans[year]

    def _find_span(self, year: int) -> tuple[dt.date, dt.date]:
        first, final = self.entry_rules.start.year, self.entry_rules.end.year
        last = self.last or dt.date(year, 12, 31)
        cycles = self.grid.most("call.max_cycles")
        reach = (
            self.grid.most("put.dte_max")
            + self._slack
            + cycles * (self.grid.most("call.dte_max") + self._slack)
        )
        years = math.ceil(min(reach, 366 * (final - first + 1)) / 366)
        start = year - (year - first) % years
        if not math.isfinite(cycles):
            return dt.date(start, 1, 1), month_end(last)
        quarters = math.ceil(reach / 92)  # whole ones, so that similar grids share their slices
        end = dt.date(min(start + years - 1, final), 12, 31).toordinal() + 92 * quarters
        return dt.date(start, 1, 1), month_end(dt.date.fromordinal(min(last.toordinal(), end)))

    # --- months and underlyings

    def eves(self, chain_key: ChainKey, symbol: str) -> Array | None:
        """(sessions,) whether each is the eve of an event that is not carried through.

        No wheel opens on one (rules.md, section 12). None if there is none.
        """
        key = chain_key, symbol
        if key not in self._eves:
            sessions = self.sessions[chain_key]
            found = stated_history(self._market, symbol, sessions).eves(sessions.height)
            self._eves[key] = found if found.any() else None
        return self._eves[key]

    def months(
        self, chain_key: ChainKey, opens: Array | None = None
    ) -> list[tuple[dt.date, int, int]]:
        """The months with an entry session, ascending: first day, first and last session.

        A market without quotes has no underlying that wheels could open on, and no such month.

        Args:
            chain_key: the chain key whose sessions are numbered.
            opens: (sessions,) whether each is an entry session; None: of any row.
        """
        if not self.symbols:
            return []
        any_row = self.opens[chain_key].any(axis=0)
        month = self.sessions[chain_key]["session"].to_numpy().astype("datetime64[M]")
        found = np.unique(month[any_row if opens is None else opens])
        first, last = (
            np.searchsorted(month, found, "left"),
            np.searchsorted(month, found, "right") - 1,
        )
        return list(
            zip(found.astype("datetime64[D]").tolist(), first.tolist(), last.tolist(), strict=True)
        )

    def slice_(self, chain_key: ChainKey, year: int, symbol: str) -> HeldSlice:
        """The slice that holds the entries of a year, and the data that their wheels can need."""
        start, end = self._span(year)
        return self._cache.slice_(
            chain_key, self.sessions[chain_key], symbol, max(start, chain_key.first), end
        )

    def slice_between(
        self, chain_key: ChainKey, symbol: str, start: dt.date, end: dt.date
    ) -> HeldSlice:
        """A slice with the data from `start` to `end`, both included.

        It is the longer slice of a year of entries if that one is in memory.
        """
        start, (begin, last) = max(start, chain_key.first), self._span(start.year)
        begin = max(begin, chain_key.first)
        if begin <= start and end <= last and self._cache.holds(chain_key, symbol, begin, last):
            start, end = begin, last
        return self._cache.slice_(chain_key, self.sessions[chain_key], symbol, start, end)

    def windows(self, chain_key: ChainKey, spans: list[Span]) -> list[list[Span]]:
        """Group consecutive spans so that the slices of each group fit into memory together."""
        found: list[list[Span]] = [[]]
        held: dict[SpanKey, int] = {}
        sizes = self.bounds(chain_key).bytes
        for key, mine in itertools.groupby(spans, self._span_key):
            if held and key not in held and sum(held.values()) + sizes[key] > self.memory // 2:
                found.append([])
                held.clear()
            held[key] = sizes[key]
            found[-1].extend(mine)
        return found

    def with_slices(self, chain_key: ChainKey, group: list[Span]) -> list[HeldSpan]:
        """The spans of a group, each with its slice."""
        slices: dict[SpanKey, HeldSlice] = {}
        found: list[HeldSpan] = []
        for key, mine in itertools.groupby(group, self._span_key):
            for at, first, last in mine:
                if key not in slices:
                    slices[key] = self.slice_(chain_key, at[0].year, at[1])
                found.append((at, slices[key], first, last))
        return found

    def _span_key(self, span: Span) -> SpanKey:
        """The key of the slice that a span is simulated on."""
        (month, symbol), *_ = span
        return self._span(month.year), symbol

    def bounds(self, chain_key: ChainKey) -> Bounds:
        """Upper bounds of the memory that any row of a chain key needs."""
        if chain_key not in self._bounds:
            self._bounds[chain_key] = self._find_bounds(chain_key)
        return self._bounds[chain_key]

    def _find_bounds(self, chain_key: ChainKey) -> Bounds:
        dte, delta = (
            (self.grid.least(f"put.{name}_min"), self.grid.most(f"put.{name}_max"))
            for name in ("dte", "delta")
        )
        daily = np.where(
            self.opens[chain_key].any(axis=0),
            self.grid.most("schedule.max_wheels_per_symbol_per_day"),
            0.0,
        )
        total, sizes, held = dict.fromkeys(self.symbols, 0), np.ones(5, np.int64), {}
        for span, months in itertools.groupby(
            self.months(chain_key), lambda month: self._span(month[0].year)
        ):
            first, end = np.array([(first, last + 1) for _, first, last in months]).T
            within, puts = [], []
            for symbol in self.symbols:
                slice_ = self.slice_(chain_key, span[0].year, symbol)
                within.append(slice_.puts_within((*dte, *delta))[: end[-1]])
                puts.append(slice_.slice_.put_starts[end] - slice_.slice_.put_starts[first])
                sizes = np.maximum(sizes, (1, slice_.bars, 1, slice_.calls, 1))
                held[span, symbol] = slice_.size
            wheels = np.add.reduceat(np.minimum(within, daily[: end[-1]]), first, axis=1).astype(
                np.int64
            )
            sizes = np.maximum(sizes, (wheels.max(), 1, np.max(puts), 1, (end - first).max()))
            total = {
                symbol: more + total[symbol]
                for symbol, more in zip(total, wheels.sum(axis=1).tolist(), strict=True)
            }
        return Bounds(total, Sizes(*sizes.tolist()), held)
