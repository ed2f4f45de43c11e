"""Simulates one configuration over a market, by underlying and window, and records every wheel."""

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.jit.dispatch import compiled_for
from wheelvec.kernels.outcomes import CARRIED_WHEEL, Outcomes, doubled, new_outcomes, written
from wheelvec.kernels.record import Workspace, new_workspace, record_wheels, resume_wheels
from wheelvec.kernels.slices import Underlying
from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.grid import Grid
from wheelvec.run.context import Array, Context
from wheelvec.run.executor import Executor, InOrder
from wheelvec.run.plan import TASK
from wheelvec.run.signals.pairs import Signal, allowed
from wheelvec.run.slicing.histories import history_of
from wheelvec.run.slicing.slices import HeldSlice
from wheelvec.run.windows import Window, windows_of
from wheelvec.stages.arrays import days, underlying_arrays
from wheelvec.stages.events import History
from wheelvec.stages.happened import event_rows
from wheelvec.stages.outcomes import ENTRY_DAY, OneUnderlying, Recorded, joined
from wheelvec.stages.parameters import parameters_of
from wheelvec.stages.paths import by_era, closes_between, leg_rows

OnProgress = Callable[[int, int], None]  # months done, months in all


class Walked(NamedTuple):
    """The recorded wheels of one underlying.

    Attributes:
        outcomes: legs, attempts, wheels and entry sessions.
        paths: the bars and quotes of the contracts of the legs; None without a wheel.
        closes: the closes of the underlying from the schedule's first session to its last bar.
        events: what happened to the underlying over these sessions.
    """

    outcomes: OneUnderlying
    paths: pl.DataFrame | None
    closes: pl.DataFrame
    events: pl.DataFrame


Take = Callable[[int, Walked], None]  # position of the underlying, its wheels


class _Wheels:
    """The wheels of one underlying in the windows simulated so far.

    Attributes:
        launched: the number of wheels opened.
        busy: (1,) the session until which the last wheel occupies the underlying; -1: none.
        carried: (n,) of CARRIED_WHEEL, the wheels that continue in the next window.
        windows: the recorded wheels of each window.
        paths: the bars and quotes of the contracts of the legs, by window.
    """

    def __init__(self) -> None:
        self.launched = 0
        self.busy = np.full(1, -1, np.int64)
        self.carried = np.zeros(0, CARRIED_WHEEL)
        self.windows: list[OneUnderlying] = []
        self.paths: list[pl.DataFrame] = []


class Recorder:
    """Simulates one row of a grid over a market, on slices that all rows of the grid share.

    Args:
        market: the tables.
        context: the grid over this market.
        row: the row of the grid, from 0.
        config: the configuration of that row.
        symbols: the underlyings, in the order in which wheels are numbered.
        signal: the (session, underlying) pairs on which wheels may open; None: all.

    Attributes:
        sessions: session, number, minute of each session.
        day: (sessions,) the day of each session, since 1970-01-01.
    """

    def __init__(
        self,
        market: Market,
        context: Context,
        row: int,
        config: Config,
        symbols: list[str],
        signal: Signal | None,
    ) -> None:
        self._market, self._config, self._symbols, self._signal = market, config, symbols, signal
        self._context = context
        self._chain_key = context.chain_keys[context.chain_key_of[row]]
        first = np.zeros(1, np.int64)
        self._plan = parameters_of(Grid.read(config, {}), first, first, 1).plan
        self._opens = context.opens[self._chain_key][context.entry_rules.of_row[row]]
        self.sessions = context.sessions[self._chain_key]
        self.day = days(self.sessions, "session")
        start = context.entry_rules.each[context.entry_rules.of_row[row]].start
        self._first = int(np.searchsorted(self.day, np.datetime64(start, "D").astype(np.int64)))
        self._last = context.last or start
        self._windows = windows_of(context, self._chain_key, config, self._opens)

    @property
    def start(self) -> dt.date:
        """The schedule's first session, entries or not."""
        first: dt.date = self.sessions["session"][min(self._first, self.day.size - 1)]
        return first

    @property
    def months(self) -> int:
        """The number of months with an entry session, summed over the underlyings."""
        return len(self._symbols) * sum(window.months for window in self._windows)

    def recorded(self, outcomes: list[OneUnderlying], number: int) -> Recorded:
        """The outcomes of all underlyings together.

        Args:
            outcomes: of each underlying.
            number: of the first wheel.
        """
        return Recorded.of(outcomes, self._symbols, self.day, self._config, number)

    def run(
        self, executor: Executor, take: Take, on_progress: OnProgress, *, survey: bool = False
    ) -> None:
        """Simulate the underlyings, one task each.

        Args:
            executor: runs the tasks.
            take: called with the position of each underlying and its wheels, in order.
            on_progress: called with (months done, months in total).
            survey: whether to look for anomalies in the data of each before, which also shows the
                suspected splits that its slices need.
        """
        self._begin_reading()
        in_order, months, lock = InOrder(take), 0, Lock()

        def record(position: int) -> Iterator[None]:
            nonlocal months
            if survey:
                self._market.findings([self._symbols[position]])
            for done in self._run_one(position, partial(in_order.add, position)):
                with lock:
                    months += done
                yield

        executor.each(
            record, list(range(len(self._symbols))), lambda _: on_progress(months, self.months)
        )

    def one(self, position: int) -> Walked:
        """Simulate one underlying on the calling thread.

        Args:
            position: of the underlying among `symbols`.
        """
        found: list[Walked] = []
        for _ in self._run_one(position, found.append):
            pass
        return found[0]

    def _begin_reading(self) -> None:
        """Read the tables that all underlyings need, before several threads do."""
        market = self._market
        _ = market.dividends, market.splits, market.sessions

    def _run_one(self, position: int, add: Callable[[Walked], None]) -> Iterator[int]:
        """Simulate an underlying, and yield the number of months of each window.

        Args:
            position: of the underlying among `symbols`.
            add: called with its wheels at the end.
        """
        symbol, wheels, underlying = self._symbols[position], _Wheels(), None
        signalled = allowed(self._signal, symbol, self.day)
        for window in self._windows:
            if window.months or wheels.carried.size:
                underlying = self._run_window(window, position, signalled, wheels)
            yield window.months
        past = history_of(self._market, symbol, self.sessions)
        if underlying is None:
            underlying = underlying_arrays(self._market.closes, self.sessions, past.names)
        add(self._walked(wheels, underlying, symbol, past))

    def _walked(
        self, wheels: _Wheels, underlying: Underlying, symbol: str, past: History
    ) -> Walked:
        """The wheels of all windows together, with paths, closes and events."""
        outcomes, paths = joined(wheels.windows), wheels.paths
        rows = paths[0] if paths else None
        if len(paths) > 1:  # windows overlap
            key = ["symbol", "session"]
            rows = pl.concat(paths).unique(key, keep="first").sort(key)
        closes = closes_between(underlying, self._first, self.day.size - 1, symbol)
        market = self._market
        events = event_rows(symbol, past, market.splits, market.dividends, self.sessions)
        inside = pl.col("session").is_between(self.start, max(self.start, self._last))
        return Walked(outcomes, rows, closes, events.filter(inside) if len(events) else events)

    def _run_window(
        self, window: Window, position: int, signalled: Array, wheels: _Wheels
    ) -> Underlying:
        """Simulate one window of an underlying, and return the underlying's closes.

        Args:
            window: the window.
            position: of the underlying among `symbols`.
            signalled: (sessions,) whether the signal allows entries on each.
            wheels: the wheels so far; those of the window are added.
        """
        symbol = self._symbols[position]
        held = self._context.slice_between(self._chain_key, symbol, window.start, window.end)
        eves = self._context.eves(self._chain_key, symbol)
        opens = signalled if eves is None else signalled & ~eves
        out = self._record(held, opens, window, wheels)
        wheels.launched, wheels.carried = int(out.launched[0]), out.carried
        if out.legs.size:
            walked = by_era(out.legs, held.contracts.eras, held.contracts.succession)
            rows = leg_rows(walked, held.slice_, held.valid, held.symbols, symbol)
            several = held.contracts.eras is not None  # their contracts are in order by era
            wheels.paths.append(rows.sort("symbol", "session") if several else rows)
        wheels.windows.append(self._outcomes(position, held, out, signalled, window))
        return held.slice_.underlying

    def _record(
        self, held: HeldSlice, signalled: Array, window: Window, wheels: _Wheels
    ) -> Outcomes:
        """Continue the wheels carried from the window before, and simulate those of this one."""
        put, sessions = self._config.put, slice(window.first, window.last + 1)
        within = held.puts_within((put.dte_min, put.dte_max, put.delta_min, put.delta_max))
        puts = int(within[sessions][self._opens[sessions]].sum())
        workspace = new_workspace(window.last + 1 - window.first, puts + 1, held.bars, held.calls)
        out = new_outcomes(puts + 1 + wheels.carried.size, self.day.size, wheels.launched)
        if wheels.carried.size:
            out = self._resume(held, window, wheels, workspace, out)
        return written(self._launch(held, signalled, window, wheels, workspace, out))

    def _resume(
        self,
        held: HeldSlice,
        window: Window,
        wheels: _Wheels,
        workspace: Workspace,
        out: Outcomes,
    ) -> Outcomes:
        """Continue the carried wheels; `out` is doubled whenever it is full."""
        done = 0
        while done < wheels.carried.size:
            rest = (window.until, done, TASK, wheels.busy, workspace, out)
            given = (held.slice_, self._plan, wheels.carried, *rest)
            done, is_full = compiled_for(resume_wheels, *given)(*given)
            if is_full:
                out = doubled(out)
        return out

    def _launch(
        self,
        held: HeldSlice,
        signalled: Array,
        window: Window,
        wheels: _Wheels,
        workspace: Workspace,
        out: Outcomes,
    ) -> Outcomes:
        """Open and simulate the wheels of a window; `out` is doubled whenever it is full."""
        done, sold = 0, int(window.months > 0)
        entries = self._opens, signalled, window.first, window.last, window.until
        while done < sold:
            rest = (done, sold, TASK, wheels.busy, workspace, out)
            given = (held.slice_, self._plan, *entries, *rest)
            done, sold, is_full = compiled_for(record_wheels, *given)(*given)
            if is_full:
                out = doubled(out)
        return out

    def _outcomes(
        self, position: int, held: HeldSlice, out: Outcomes, signalled: Array, window: Window
    ) -> OneUnderlying:
        """The recorded outcomes, with the number of contracts that each session offered."""
        number = np.arange(window.first, window.last + 1)
        number = number[self._opens[number]]
        put, call, slice_, offered = self._config.put, self._config.call, held.slice_, held.offered
        entries = np.zeros(number.size, ENTRY_DAY)
        entries["number"], entries["underlying"] = number, position
        entries["quoted"] = offered.quoted[number]
        entries["valid"] = slice_.valid[number]
        entries["priced"] = offered.priced[number]
        solved = _within(slice_.put_dte, slice_.put_starts, put.dte_min, put.dte_max)[number]
        unsolved = _within(offered.unsolved_dte, offered.unsolved_starts, put.dte_min, put.dte_max)[
            number
        ]
        entries["solved"] = solved
        entries["asked"] = solved + unsolved
        eves = self._context.eves(self._chain_key, self._symbols[position])
        entries["eve"] = False if eves is None else eves[number]
        entries["signalled"] = signalled[number]
        for name in ("quoted", "valid", "priced"):  # of the new name
            entries[name][number >= held.renamed] = 0
        for name in ("in_range", "liquid", "candidates", "launched"):
            entries[name] = out.days[name][number]
        at = np.where(out.attempts["number"] < 0, 0, out.attempts["number"])
        calls = _within(slice_.call_dte, slice_.call_starts, call.dte_min, call.dte_max)
        for name, counts in (
            ("quoted", offered.quoted),
            ("valid", slice_.valid),
            ("solved", calls),
        ):
            out.attempts[name] = np.where(out.attempts["number"] < 0, 0, counts[at])
        symbols = _with_symbols(out.legs, held)
        out.wheels["underlying"] = position
        return OneUnderlying(out.legs, out.attempts, out.wheels, entries, symbols)


def _with_symbols(legs: Array, held: HeldSlice) -> pl.Series:
    """The symbols of the contracts of legs at their sales and exits.

    `contract` and `exit_contract` of the legs become positions among them.
    """
    sold, left = legs["contract"], legs["exit_contract"]
    used, place = np.unique(np.concatenate([sold, left]), return_inverse=True)
    legs["contract"], legs["exit_contract"] = place[: sold.size], place[sold.size :]
    return held.symbols(used)


def _within(dte: Array, starts: Array, least: int, most: int) -> Array:
    """The number of contracts of each session with days to expiration in a range.

    Args:
        dte: (contracts,) calendar days to expiration, session by session.
        starts: (sessions + 1,) the first contract of each session.
        least: days to expiration.
        most: days to expiration, included.

    Returns:
        (sessions,) counts.
    """
    inside = np.concatenate([[0], np.cumsum((dte >= least) & (dte <= most))])
    return np.diff(inside[starts])
