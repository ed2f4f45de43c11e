"""Runs one configuration over a market, underlying by underlying and year by year, and keeps what
became of every wheel.
"""

import itertools
from collections.abc import Callable, Iterator
from threading import Lock
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.jit.dispatch import compiled_for
from wheelvec.kernels.outcomes import Outcomes, doubled, new_outcomes, written
from wheelvec.kernels.record import new_workspace, record_wheels
from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.grid import Grid
from wheelvec.run.context import Array, Context
from wheelvec.run.executor import Executor, InOrder
from wheelvec.run.slices import HeldSlice
from wheelvec.stages.outcomes import ENTRY_DAY, SliceOutcomes
from wheelvec.stages.parameters import parameters_of
from wheelvec.stages.paths import closes_between, leg_rows

MEMORY = 2**29  # bytes: half of it for the slices that a backtest leaves with its market
OnProgress = Callable[[int, int], None]  # months done, months in all


class Walked(NamedTuple):
    """What was recorded of one underlying: its slices, the paths of their legs, and its closes from
    the first entry of a wheel to the last session that one reached.
    """

    slices: list[SliceOutcomes]
    paths: list[pl.DataFrame]
    closes: pl.DataFrame | None


Take = Callable[[int, Walked], None]


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
        by_year = itertools.groupby(
            self._context.months(self._chain_key), lambda month: month[0].year
        )
        self._years = [(year, list(months)) for year, months in by_year]

    @property
    def months(self) -> int:
        """Months of entries, over all underlyings."""
        return len(self._symbols) * sum(len(months) for _, months in self._years)

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
        symbol, busy, found = self._symbols[place], np.full(1, -1, np.int64), Walked([], [], None)
        signalled, begin, end = self._signalled(symbol), -1, -1
        for year, months in self._years:
            held, span = (
                self._context.slice_(self._chain_key, year, symbol),
                (months[0][1], months[-1][2]),
            )
            out = self._record(held, signalled, span, busy)
            if out.legs.size:
                found.paths.append(
                    leg_rows(out.legs, held.slice_, held.quotes, held.symbols, symbol)
                )
                begin = int(out.wheels["number"].min()) if begin < 0 else begin
                end, underlying = max(end, int(out.wheels["until"].max())), held.slice_.underlying
            found.slices.append(self._slice(place, held, out, signalled, span))
            yield len(months)
        if begin >= 0:
            found = found._replace(closes=closes_between(underlying, begin, end, symbol))
        in_order.add(place, found)

    def _signalled(self, symbol: str) -> Array:
        """(sessions,) whether the user's own signal lets wheels of this underlying open."""
        if self._signals is None:
            return np.ones(self.day.size, np.bool_)
        return np.isin(self.day, self._signals.get(symbol, np.zeros(0, np.int64)))

    def _record(
        self, held: HeldSlice, signalled: Array, span: tuple[int, int], busy: Array
    ) -> Outcomes:
        put, (first, last) = self._config.put, span
        within = held.puts_within((put.dte_min, put.dte_max, put.delta_min, put.delta_max))[
            first : last + 1
        ]
        puts = int(within[self._opens[first : last + 1]].sum())
        room = new_workspace(last + 1 - first, puts + 1, held.bars, held.calls)
        out, done = new_outcomes(puts + 1, self.day.size), 0
        while True:
            given = (
                held.slice_,
                self._plan,
                self._opens,
                signalled,
                first,
                last,
                done,
                busy,
                room,
                out,
            )
            done, sold = compiled_for(record_wheels, *given)(*given)
            if done == sold:
                return written(out)
            out = doubled(out)

    def _slice(
        self, place: int, held: HeldSlice, out: Outcomes, signalled: Array, span: tuple[int, int]
    ) -> SliceOutcomes:
        number = np.arange(span[0], span[1] + 1)
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
        return SliceOutcomes(
            out.legs, out.attempts, out.wheels, days, held.symbols.gather(pl.Series(used))
        )


def _within(dte: Array, starts: Array, least: int, most: int) -> Array:
    """(sessions,) how many of each session's contracts have so many days to their expiration."""
    inside = np.concatenate([[0], np.cumsum((dte >= least) & (dte <= most))])
    return np.diff(inside[starts])
