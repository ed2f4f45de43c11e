"""Rows of one chain key on their way through months and underlyings, to the figures of each."""

import datetime as dt
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.jit.dispatch import compiled_for
from wheelvec.kernels.accumulate import KNOWN, Figures
from wheelvec.kernels.entries import new_selection
from wheelvec.kernels.evaluate import (
    CellPnl,
    Workspace,
    evaluate_blocks,
    mark_chosen,
    new_workspace,
)
from wheelvec.kernels.slices import Slice
from wheelvec.model.grid import Codes, dense, first_of
from wheelvec.run.context import Array, Context, SliceKey, Span
from wheelvec.run.executor import Executor
from wheelvec.run.plan import Apart, Task, cut, kept_apart, places
from wheelvec.run.signals import allowed
from wheelvec.run.slices import ChainKey
from wheelvec.stages.arrays import days
from wheelvec.stages.figures import PERCENTILES, figures_frame, new_figures, order_statistics
from wheelvec.stages.parameters import parameters_of

Where = tuple[ChainKey, SliceKey]

SORTING = 10  # nanoseconds a wheel and configuration, roughly
SORTED = 2**23  # bytes of ROC that a task sorts: more would leave the caches before they are sorted
_NOTHING = CellPnl(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
_NO_VALUES = np.zeros((0, 0))


class _Sums(NamedTuple):
    """What slice after slice is added to."""

    figures: Figures
    statistics: Array  # (1 + PERCENTILES, configurations), or (0, 0) if nobody asks
    values: (
        Array  # (configurations, wheels) ROC; (0, 0) where each task has room of its own for them
    )
    filled: dict[
        str, Array
    ]  # underlying -> (blocks,) where a block's configurations have room for the next of them
    busy: dict[str, Array]  # underlying -> (configurations,) until when the last wheel occupies it

    @property
    def sorted_by_task(self) -> bool:
        """Whether a task orders its own configurations' ROC when it is through."""
        return self.statistics.size > 0 and not self.values.size


class Work:
    """Some rows of one chain key.

    Args:
        ground, chain key, rows: which rows of the grid, all of that chain key.
        ordered: whether the order statistics (median, percentiles) are wanted.

    Attributes:
        order: the position, among the rows given, of each of the plan's configurations.
    """

    def __init__(self, context: Context, chain_key: ChainKey, rows: Codes, ordered: bool) -> None:
        self._context, self._chain_key, self._ordered = context, chain_key, ordered
        entry_rules = context.entry_rules.of_row[rows]
        schedule, count = dense(entry_rules)
        used = entry_rules[first_of(schedule, count)]
        self._opens, trades = context.opens[chain_key][used], context.trades[used]
        self._trades = {
            symbol: None if every.all() else every
            for symbol, every in zip(context.symbols, trades.T, strict=True)
        }
        self._signals = self._find_signals(used)
        self._slices = self._find_slices(trades)
        self._apart = kept_apart(
            context.threads,
            rows.size,
            len({symbol for (_, symbol), *_ in self._slices}),
            context.memory,
        )
        parameters = parameters_of(
            context.grid, rows, schedule, 1 if self._apart else context.threads
        )
        self._plan, self.order = parameters.plan, parameters.order
        self._wheels, self._sizes, _ = context.bounds(chain_key)
        self._most_wheels = (
            sum(self._wheels.values()) if ordered else 0
        )  # wheels of a configuration
        parts = -(-8 * self._most_wheels * rows.size // SORTED)
        self._ranges = cut(parameters.weight * self._sizes.wheels, context.threads, parts)
        self._workspaces: deque[tuple[Workspace, Array]] = deque()  # those that no thread is using
        self._entries: dict[int, Callable[..., None]] = {}  # compiled code by the kind of slice

    def _find_signals(self, used: Codes) -> tuple[dict[str, Array], Array] | None:
        """Where signals let wheels open, underlying -> (signals, sessions), and each schedule's.

        None where no row has one.
        """
        of_schedule = [self._context.entry_rules.each[rule].signal for rule in used.tolist()]
        signals = list(dict.fromkeys(of_schedule))
        if signals == [None]:
            return None
        day = days(self._context.sessions[self._chain_key], "session")
        lets = {
            symbol: np.array([allowed(signal, symbol, day) for signal in signals])
            for symbol in self._trades
        }
        return lets, np.array([signals.index(signal) for signal in of_schedule])

    def _find_slices(self, trades: Array) -> list[Span]:
        """Months in order, and in each the underlyings in order: the order in which figures are
        folded.
        """
        months = self._context.months(self._chain_key)
        starts = np.array([first for _, first, _ in months])
        if not months:
            return []
        end = months[-1][2] + 1
        if self._signals is None:
            some = np.logical_or.reduceat(self._opens[:, :end], starts, axis=1).T @ trades
        else:
            opens = np.array([self._opens_on(symbol).any(axis=0) for symbol in self._trades])
            some = np.logical_or.reduceat(opens[:, :end], starts, axis=1).T
        return [
            ((month, symbol), first, last)
            for (month, first, last), opens in zip(months, some, strict=True)
            for symbol, any_opens in zip(self._trades, opens, strict=True)
            if any_opens
        ]

    def figures(self, progress: Callable[[float, int], None] | None) -> pl.DataFrame:
        """The figures over all months, row by row."""
        n, ordered = self.order.size, self._ordered
        windows = self._context.windows(self._chain_key, self._slices)
        sums = self._begin(
            np.empty((1 + len(PERCENTILES), n)) if ordered else _NO_VALUES,
            self._apart > 0 or len(windows) > 1,
        )
        with self._executor() as executor:
            self._through(windows, executor, sums, progress=progress)
            if sums.values.size:
                sorting = cut(
                    np.full(n, SORTING * (1 + sums.values.shape[1])), self._context.threads
                )
                executor.each(
                    lambda some: self._order(some, sums.values[slice(*some)], sums), sorting
                )
        rows = np.empty_like(self.order)
        rows[self.order] = np.arange(n)
        return figures_frame(sums.figures, sums.statistics if ordered else None, rows)

    def periods(self, period_of: Callable[[dt.date], dt.date]) -> Iterator[tuple[dt.date, Figures]]:
        """The figures of each period of entry alone."""
        sums = self._begin(_NO_VALUES, False)
        with self._executor() as executor:
            for period, spans in itertools.groupby(
                self._slices, lambda span: period_of(span[0][0])
            ):
                sums = sums._replace(figures=new_figures(self.order.size))
                self._through(self._context.windows(self._chain_key, list(spans)), executor, sums)
                yield period, sums.figures

    def mark(self, chosen: dict[Where, Array]) -> None:
        """Add, slice by slice, the rows of the slice that any configuration sells."""
        workspace = new_selection(self._sizes.sessions, self._sizes.quotes)
        for window in self._context.windows(self._chain_key, self._slices):
            for at, held, first, last in self._context.with_slices(self._chain_key, window):
                slice_ = held.slice_
                marks = np.zeros(slice_.puts.size, np.bool_)
                mark_chosen(
                    slice_, self._opens_on(at[1]), first, last, self._plan, workspace, marks
                )
                known = chosen.get((self._chain_key, at), np.zeros(0, np.int64))
                chosen[self._chain_key, at] = np.union1d(known, np.flatnonzero(marks))

    def record(self, wheels: dict[Where, tuple[Array, Array]], out: Array, columns: Codes) -> None:
        """Write every wheel's P&L by configuration into `out`; `wheels` are a slice's puts and
        their rows there.
        """
        columns = columns[self.order]

        def cells_of(at: SliceKey, slice_: Slice) -> CellPnl:
            puts, numbers = wheels[self._chain_key, at]
            row = np.full(slice_.puts.size, -1, np.int64)
            row[puts] = numbers
            return CellPnl(row, columns, out)

        with self._executor() as executor:
            windows = self._context.windows(self._chain_key, self._slices)
            self._through(windows, executor, self._begin(_NO_VALUES, False), cells_of)

    def _begin(self, statistics: Array, together: bool) -> _Sums:
        """Nothing added yet. `together`: the ROC of all configurations is kept until everything is
        gone through.
        """
        filled = places(self._wheels, self._plan.entry.size, self._apart > 0)
        values = (
            np.empty((self.order.size, self._most_wheels))
            if statistics.size and together
            else _NO_VALUES
        )
        return _Sums(new_figures(self.order.size), statistics, values, filled, self._idle())

    def _idle(self) -> dict[str, Array]:
        """No wheel is open anywhere; one array will do where nobody looks at it."""
        if self._plan.entry["one_at_a_time"].any():
            return {symbol: np.full(self.order.size, -1, np.int64) for symbol in self._trades}
        return dict.fromkeys(self._trades, np.full(self.order.size, -1, np.int64))

    def _executor(self) -> Executor:
        return Executor(
            self._context.threads if self._apart else min(self._context.threads, len(self._ranges))
        )

    def _opens_on(self, symbol: str) -> Array:
        """(schedules, sessions) whether wheels of this underlying may open."""
        trades = self._trades[symbol]
        opens = self._opens if trades is None else self._opens & trades[:, None]
        if self._signals is None:
            return opens
        lets, of_schedule = self._signals
        return opens & lets[symbol][of_schedule]

    def _through(
        self,
        windows: list[list[Span]],
        executor: Executor,
        sums: _Sums,
        cells_of: Callable[[SliceKey, Slice], CellPnl] | None = None,
        progress: Callable[[float, int], None] | None = None,
    ) -> None:
        """Add slice after slice to the sums."""
        figures, tasks_of_slice = sums.figures, 1 if self._apart else len(self._ranges)
        steps = max(
            1, (sum(map(len, windows)) + sums.sorted_by_task) * tasks_of_slice
        )  # a calendar may leave no slice

        def do(tasks: list[Task], *more: Array) -> None:
            def on_progress(done: int) -> None:
                if progress:
                    progress(
                        done / steps,
                        sum(int(counts[:8].sum()) for counts in (figures.counts, *more)),
                    )

            executor.each(lambda task: self._add(task, sums, cells_of), tasks, on_progress)

        for spans in windows:
            window = self._context.with_slices(self._chain_key, spans)
            if not self._apart:
                do(
                    [
                        Task(blocks, zip(window, itertools.repeat(figures), strict=False))
                        for blocks in self._ranges
                    ]
                )
                continue
            for start in range(0, len(window), self._apart):
                part = window[start : start + self._apart]
                apart = Apart(
                    part,
                    [symbol for (_, symbol), *_ in part],
                    self._plan.entry.size,
                    self.order.size,
                )
                do(apart.tasks, *apart.counts)
                merge = partial(apart.merge, figures=figures)
                executor.each(merge, apart.ranges(self._context.threads))

    def _add(
        self, task: Task, sums: _Sums, cells_of: Callable[[SliceKey, Slice], CellPnl] | None
    ) -> Iterator[None]:
        begin, end = self._plan.config_starts[list(task.blocks)].tolist()
        workspace, own = self._workspace(sums)
        values = own[: end - begin] if sums.sorted_by_task else sums.values[begin:end]
        for (at, held, first, last), figures in task.slices:
            record = cells_of(at, held.slice_) if cells_of else _NOTHING
            given = (
                held.slice_,
                self._opens_on(at[1]),
                first,
                last,
                self._plan,
                *task.blocks,
                workspace,
                sums.busy[at[1]],
                figures,
                values,
                sums.filled[at[1]],
                record,
            )
            if held.kind not in self._entries:  # all else is of one kind throughout
                self._entries[held.kind] = compiled_for(evaluate_blocks, *given)
            self._entries[held.kind](*given)
            yield
        if sums.sorted_by_task:
            yield from self._order((begin, end), values, sums)
        self._workspaces.append((workspace, own))

    def _workspace(self, sums: _Sums) -> tuple[Workspace, Array]:
        """Room for the tables of a task, and for the ROC of its wheels unless there is room for
        that of all.
        """
        try:
            return self._workspaces.pop()
        except IndexError:
            most = (
                int(np.diff(self._plan.config_starts[self._ranges]).max())
                if sums.sorted_by_task
                else 0
            )
            return new_workspace(self._plan, self._sizes), np.empty(
                (most, self._most_wheels if most else 0)
            )

    def _order(self, some: tuple[int, int], values: Array, sums: _Sums) -> Iterator[None]:
        """Write the order statistics of a range of configurations, whose ROC `values` holds."""
        first, last = some
        blocks = np.searchsorted(self._plan.config_starts, np.arange(first, last), side="right") - 1
        values, start = (
            values[:, : max(int(filled[blocks].max()) for filled in sums.filled.values())],
            0,
        )
        for symbol, most in self._wheels.items():
            held = sums.filled[symbol][blocks]
            spare = np.arange(max(start, held.min()), min(start + most, values.shape[1]))
            if spare.size:
                values[:, spare[0] : spare[-1] + 1][spare >= held[:, None]] = np.nan
            start += most
        values.sort(axis=1)  # NaN last
        sums.statistics[:, first:last] = order_statistics(
            values, sums.figures.counts[KNOWN, first:last]
        )
        yield
