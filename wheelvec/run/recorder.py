"""Runs one configuration over a market, underlying by underlying and window by window, and keeps
what became of every wheel.
"""

from collections.abc import Callable, Iterator
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
from wheelvec.run.signals import Signal, allowed
from wheelvec.run.slices import HeldSlice
from wheelvec.run.windows import Window, windows_of
from wheelvec.stages.arrays import days
from wheelvec.stages.outcomes import ENTRY_DAY, OneUnderlying, Recorded, joined
from wheelvec.stages.parameters import parameters_of
from wheelvec.stages.paths import closes_between, leg_rows

OnProgress = Callable[[int, int], None]  # months done, months in all


class Walked(NamedTuple):
    """What was recorded of one underlying, the paths of its legs, and its closes from the first
    entry of a wheel to the last session that one reached: None where there is no wheel.
    """

    outcomes: OneUnderlying
    paths: pl.DataFrame | None
    closes: pl.DataFrame | None


Take = Callable[[int, Walked], None]


class _Wheels:
    """The wheels of one underlying while windows are gone through."""

    def __init__(self) -> None:
        self.launched = 0
        self.busy = np.full(1, -1, np.int64)  # until when the last one occupies the underlying
        self.carried = np.zeros(0, CARRIED_WHEEL)  # those that go on in the next window
        self.windows: list[OneUnderlying] = []
        self.paths: list[pl.DataFrame] = []


class Recorder:
    """One row of a grid over a market, on the slices that all of its rows share.

    Args:
        market: the market.
        context, row: a grid over it, and which of its rows.
        config: the row's configuration.
        symbols: the underlyings, in the order in which wheels are numbered.
        signal: on which days of which underlyings the user's own lets wheels open; None: all.

    Attributes:
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
        self.day = days(context.sessions[self._chain_key], "session")
        self._windows = windows_of(context, self._chain_key, config, self._opens)

    @property
    def months(self) -> int:
        """Months of entries, over all underlyings."""
        return len(self._symbols) * sum(window.months for window in self._windows)

    def recorded(self, parts: list[OneUnderlying], number: int) -> Recorded:
        """Some wheels of all underlyings, the first of this number."""
        return Recorded.of(parts, self._symbols, self.day, self._config, number)

    def run(self, executor: Executor, take: Take, on_progress: OnProgress) -> None:
        """Go through the underlyings, a task each; `take` gets each one's place and what was
        recorded, in their order, and `on_progress` hears of the months that were gone through.
        """
        self._begin_reading()
        in_order, months, lock = InOrder(take), 0, Lock()

        def record(place: int) -> Iterator[None]:
            nonlocal months
            for done in self._run_one(place, in_order):
                with lock:
                    months += done
                yield

        executor.each(
            record, list(range(len(self._symbols))), lambda _: on_progress(months, self.months)
        )

    def _begin_reading(self) -> None:
        """Read once what all underlyings read."""
        _ = self._market.underlying_bars, self._market.dividends, self._market.data_range

    def _run_one(self, place: int, in_order: InOrder[Walked]) -> Iterator[int]:
        symbol, wheels, underlying = self._symbols[place], _Wheels(), None
        signalled = allowed(self._signal, symbol, self.day)
        for window in self._windows:
            if window.months or wheels.carried.size:
                underlying = self._run_window(window, place, signalled, wheels)
            yield window.months
        in_order.add(place, _walked(wheels, underlying, symbol))

    def _run_window(
        self, window: Window, place: int, signalled: Array, wheels: _Wheels
    ) -> Underlying:
        """Record one window of an underlying; the underlying's closes."""
        symbol = self._symbols[place]
        held = self._context.slice_between(self._chain_key, symbol, window.start, window.end)
        out = self._record(held, signalled, window, wheels)
        wheels.launched, wheels.carried = int(out.launched[0]), out.carried
        if out.legs.size:
            wheels.paths.append(leg_rows(out.legs, held.slice_, held.quotes, held.symbols, symbol))
        wheels.windows.append(self._outcomes(place, held, out, signalled, window))
        return held.slice_.underlying

    def _record(
        self, held: HeldSlice, signalled: Array, window: Window, wheels: _Wheels
    ) -> Outcomes:
        """Go on with the wheels that are carried on, and record those of the window."""
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
        done = 0
        while True:
            rest = (window.until, done, wheels.busy, workspace, out)
            given = (held.slice_, self._plan, wheels.carried, *rest)
            done = compiled_for(resume_wheels, *given)(*given)
            if done == wheels.carried.size:
                return out
            out = doubled(out)

    def _launch(
        self,
        held: HeldSlice,
        signalled: Array,
        window: Window,
        wheels: _Wheels,
        workspace: Workspace,
        out: Outcomes,
    ) -> Outcomes:
        done, sold = 0, int(window.months > 0)
        entries = self._opens, signalled, window.first, window.last, window.until
        while done < sold:
            rest = (done, wheels.busy, workspace, out)
            given = (held.slice_, self._plan, *entries, *rest)
            done, sold = compiled_for(record_wheels, *given)(*given)
            if done < sold:
                out = doubled(out)
        return out

    def _outcomes(
        self, place: int, held: HeldSlice, out: Outcomes, signalled: Array, window: Window
    ) -> OneUnderlying:
        """What was written, and what each session offered."""
        number = np.arange(window.first, window.last + 1)
        number = number[self._opens[number]]
        put, call, slice_, offered = self._config.put, self._config.call, held.slice_, held.offered
        entries = np.zeros(number.size, ENTRY_DAY)
        entries["number"], entries["underlying"] = number, place
        entries["quoted"], entries["valid"], entries["priced"] = (
            offered.quoted[number],
            slice_.valid[number],
            offered.priced[number],
        )
        solved = _within(slice_.put_dte, slice_.put_starts, put.dte_min, put.dte_max)[number]
        unsolved = _within(offered.unsolved_dte, offered.unsolved_starts, put.dte_min, put.dte_max)[
            number
        ]
        entries["solved"], entries["asked"], entries["signalled"] = (
            solved,
            solved + unsolved,
            signalled[number],
        )
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
        used, out.legs["contract"] = np.unique(out.legs["contract"], return_inverse=True)
        out.wheels["underlying"] = place
        return OneUnderlying(
            out.legs, out.attempts, out.wheels, entries, held.symbols.gather(pl.Series(used))
        )


def _walked(wheels: _Wheels, underlying: Underlying | None, symbol: str) -> Walked:
    outcomes, paths = joined(wheels.windows), wheels.paths
    if underlying is None or not outcomes.wheels.size:
        return Walked(outcomes, None, None)
    rows = paths[0]
    if len(paths) > 1:  # windows overlap
        key = ["symbol", "session"]
        rows = pl.concat(paths).unique(key, keep="first").sort(key)
    begin, end = int(outcomes.wheels["number"].min()), int(outcomes.wheels["until"].max())
    return Walked(outcomes, rows, closes_between(underlying, begin, end, symbol))


def _within(dte: Array, starts: Array, least: int, most: int) -> Array:
    """(sessions,) how many of each session's contracts have so many days to their expiration."""
    inside = np.concatenate([[0], np.cumsum((dte >= least) & (dte <= most))])
    return np.diff(inside[starts])
