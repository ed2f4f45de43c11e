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
from wheelvec.run.slices import HeldSlice
from wheelvec.run.windows import Window, windows_of
from wheelvec.stages.outcomes import ENTRY_DAY, OneUnderlying, joined
from wheelvec.stages.parameters import parameters_of
from wheelvec.stages.paths import closes_between, leg_rows

MEMORY = 2**29  # bytes: half of it for the slices that a backtest leaves with its market
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
    """One configuration over a market: the grid of one row.

    Args:
        market, config: over what, and under which rules.
        symbols: the underlyings, in the order in which wheels are numbered.
        signals: underlying -> the days (since 1970-01-01) on which the user's own signal lets
            wheels open; None: all.

    Attributes:
        day: (sessions,) the day of each session, since 1970-01-01.
    """

    def __init__(
        self, market: Market, config: Config, symbols: list[str], signals: dict[str, Array] | None
    ) -> None:
        self._market, self._config = market, config
        self._symbols, self._signals = symbols, signals
        self._context = Context(market, Grid.read(config, {}), 1, MEMORY)
        (self._chain_key,) = self._context.chain_keys
        row = np.zeros(1, np.int64)
        self._plan = parameters_of(self._context.grid, row, row, 1).plan
        (self._opens,) = self._context.opens[self._chain_key]
        self.day = (
            self._context.sessions[self._chain_key]["session"]
            .to_numpy()
            .astype("datetime64[D]")
            .astype(np.int64)
        )
        self._windows = windows_of(self._context, self._chain_key, config)

    @property
    def months(self) -> int:
        """Months of entries, over all underlyings."""
        return len(self._symbols) * sum(window.months for window in self._windows)

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
        signalled = self._signalled(symbol)
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

    def _signalled(self, symbol: str) -> Array:
        """(sessions,) whether the user's own signal lets wheels of this underlying open."""
        if self._signals is None:
            return np.ones(self.day.size, np.bool_)
        return np.isin(self.day, self._signals.get(symbol, np.zeros(0, np.int64)))

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
        days = np.zeros(number.size, ENTRY_DAY)
        days["number"], days["underlying"] = number, place
        days["quoted"], days["valid"], days["priced"] = (
            offered.quoted[number],
            slice_.valid[number],
            offered.priced[number],
        )
        solved = _within(slice_.put_dte, slice_.put_starts, put.dte_min, put.dte_max)[number]
        unsolved = _within(offered.unsolved_dte, offered.unsolved_starts, put.dte_min, put.dte_max)[
            number
        ]
        days["solved"], days["asked"], days["signalled"] = (
            solved,
            solved + unsolved,
            signalled[number],
        )
        for name in ("in_range", "liquid", "candidates", "launched"):
            days[name] = out.days[name][number]
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
            out.legs, out.attempts, out.wheels, days, held.symbols.gather(pl.Series(used))
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
