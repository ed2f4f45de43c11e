"""Simulates some rows of a grid with one chain key over months and underlyings, for their figures.

The plan's blocks of configurations and the slices are split into tasks (run.plan), and the figures
of each slice are folded in the order of underlyings and months.
"""

import datetime as dt
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.jit.dispatch import compiled_for
from wheelvec.kernels.accumulate import KNOWN, Figures
from wheelvec.kernels.entries import new_selection
from wheelvec.kernels.evaluate import (
    CellPnl,
    Workspace,
    evaluator_of,
    mark_chosen,
    new_workspace,
)
from wheelvec.kernels.slices import Slice
from wheelvec.model.grid import Codes, dense, first_of
from wheelvec.run.context import Array, Context, HeldSpan, SliceKey, Span
from wheelvec.run.executor import Executor
from wheelvec.run.plan import TASK, WITHIN, Apart, Levels, Task, cut, endings, kept_apart, places
from wheelvec.run.signals.pairs import allowed
from wheelvec.run.slicing.slices import ChainKey
from wheelvec.stages.arrays import days
from wheelvec.stages.figures import (
    PERCENTILES,
    figures_frame,
    launches,
    new_figures,
    order_statistics,
)
from wheelvec.stages.parameters import parameters_of

Where = tuple[ChainKey, SliceKey]  # one month of entries of one underlying

SELECTING = 20  # nanoseconds per put and block, estimated
SORTING = 10  # nanoseconds per wheel and configuration, estimated
SORTED = 2**23  # bytes of ROC that a task sorts: more would leave the caches before the sort
_NOTHING = CellPnl(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
_NO_VALUES = np.zeros((0, 0))


class _Sums(NamedTuple):
    """The sums to which each slice is added.

    Attributes:
        figures: of each configuration.
        statistics: (1 + PERCENTILES, configurations) the median and the percentiles of ROC; (0, 0)
            if they are not computed.
        values: (configurations, wheels) the ROC of each wheel; (0, 0) where each task has a buffer
            for them.
        filled: underlying -> (blocks,) the next free column of `values` for the configurations of
            each block.
        busy: underlying -> (configurations,) the session until which the last wheel occupies it;
            -1: none.
    """

    figures: Figures
    statistics: Array
    values: Array
    filled: dict[str, Array]
    busy: dict[str, Array]

    @property
    def sorted_by_task(self) -> bool:
        """Whether each task sorts the ROC of its configurations after its last slice."""
        return self.statistics.size > 0 and not self.values.size


class Partial(NamedTuple):
    """The sums of some rows over the wheels of one underlying.

    Attributes:
        years: the year of entries of each of `figures`; None in place of all years together.
        figures: sums and counts, (rows,) each, without those of the other years.
        roc: the ROC of the wheels of each row, in percent; None if it is not asked for.
    """

    years: list[int | None]
    figures: list[Figures]
    roc: list[Array] | None


class Work:
    """Some rows of a grid that have the same chain key.

    Args:
        context: the grid over its market.
        chain_key: of the rows.
        rows: (n,) rows of the grid.
        ordered: whether to compute the order statistics (median, percentiles).

    Attributes:
        order: (n,) the position among `rows` of each configuration of the plan.
        plan: the configurations.
        spans: the months of entries of each underlying, month by month.
        sizes: the most that a slice holds.
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
        self.spans = self._find_slices(trades)
        self._apart = kept_apart(
            context.threads, rows.size, len({symbol for (_, symbol), *_ in self.spans})
        )
        parameters = parameters_of(
            context.grid, rows, schedule, 1 if self._apart else context.threads
        )
        self.plan, self.order = parameters.plan, parameters.order
        self._wheels, self.sizes, _ = context.bounds(chain_key)
        # wheels of a configuration, at most
        self._most_wheels = sum(self._wheels.values()) if ordered else 0
        sorts = -(-8 * self._most_wheels * rows.size // SORTED)
        self._ranges = cut(self.plan.cost * self.sizes.wheels, context.threads, sorts)
        self._workspaces: deque[tuple[Workspace, Array]] = deque()  # not in use by any thread
        self._compiled: dict[int, Callable[..., None]] = {}  # by the kind of slice

    def _find_signals(self, used: Codes) -> tuple[dict[str, Array], Array] | None:
        """The sessions that signals allow, or None where no row has a signal.

        Args:
            used: (schedules,) the entry rule of each schedule.

        Returns:
            underlying -> (signals, sessions) whether wheels may open, and (schedules,) the position
            of each schedule's signal.
        """
        of_schedule = [self._context.entry_rules.each[rule].signal for rule in used.tolist()]
        signals = list(dict.fromkeys(of_schedule))
        if signals == [None]:
            return None
        day = days(self._context.sessions[self._chain_key], "session")
        allows = {
            symbol: np.array([allowed(signal, symbol, day) for signal in signals])
            for symbol in self._trades
        }
        return allows, np.array([signals.index(signal) for signal in of_schedule])

    def _find_slices(self, trades: Array) -> list[Span]:
        """The spans with an entry session, by month and underlying.

        Args:
            trades: (schedules, symbols) whether wheels may open on each underlying.
        """
        months = self._context.months(self._chain_key)
        starts = np.array([first for _, first, _ in months])
        if not months:
            return []
        end = months[-1][2] + 1
        if self._signals is None:
            by_month = np.logical_or.reduceat(self._opens[:, :end], starts, axis=1).T @ trades
        else:
            opens = np.array([self.opens_on(symbol).any(axis=0) for symbol in self._trades])
            by_month = np.logical_or.reduceat(opens[:, :end], starts, axis=1).T
        return [
            ((month, symbol), first, last)
            for (month, first, last), opens in zip(months, by_month, strict=True)
            for symbol, any_opens in zip(self._trades, opens, strict=True)
            if any_opens
        ]

    def figures(self, progress: Callable[[float, int], None] | None) -> pl.DataFrame:
        """The figures of each row over all months.

        Args:
            progress: called with the fraction done, and the number of wheels x configurations
                simulated so far.
        """
        n, ordered = self.order.size, self._ordered
        spans = _by_symbol(self.spans)
        together = ordered and (
            self._apart > 0 or len(self._context.windows(self._chain_key, spans)) > 1
        )
        statistics = np.empty((1 + len(PERCENTILES), n)) if ordered else _NO_VALUES
        sums = self._begin(statistics, together)
        with self._executor() as executor:
            self._add_all(spans, executor, sums, progress=progress)
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

    def partial(self, by_year: bool) -> Partial:
        """The sums of each row over all months of one underlying.

        Args:
            by_year: whether the sums of each year of entries are separate.
        """
        statistics = np.empty((1, self.order.size)) if self._ordered else _NO_VALUES
        sums = self._begin(statistics, True)
        found = Partial([], [], [] if self._ordered else None)
        rows = np.empty_like(self.order)
        rows[self.order] = np.arange(self.order.size)
        with self._executor() as executor:
            for year, spans in itertools.groupby(
                self.spans, lambda span: span[0][0].year if by_year else None
            ):
                sums = sums._replace(figures=new_figures(self.order.size))
                self._add_all(_by_symbol(spans), executor, sums)
                found.years.append(year)
                taken: list[Any] = [column.take(rows, axis=-1) for column in sums.figures]
                found.figures.append(Figures(*taken))
        if found.roc is not None:
            ((_, filled),) = sums.filled.items()
            starts = self.plan.config_starts
            of_config = np.repeat(filled, np.diff(starts))
            for config in rows.tolist():
                values = sums.values[config, : of_config[config]]
                found.roc.append(values[~np.isnan(values)])
        return found

    def periods(self, period_of: Callable[[dt.date], dt.date]) -> Iterator[tuple[dt.date, Figures]]:
        """The figures of the wheels of each period of entry.

        Args:
            period_of: the first day of a month -> the first day of its period.
        """
        sums = self._begin(_NO_VALUES, False)
        with self._executor() as executor:
            for period, spans in itertools.groupby(self.spans, lambda span: period_of(span[0][0])):
                sums = sums._replace(figures=new_figures(self.order.size))
                self._add_all(_by_symbol(spans), executor, sums)
                yield period, sums.figures

    def mark(self, chosen: dict[Where, Array]) -> None:
        """Add the puts that any configuration sells to those of each slice.

        Args:
            chosen: the rows of each slice's puts; changed in place.
        """
        workspace, blocks = (
            new_selection(self.sizes.sessions, self.sizes.quotes),
            self.plan.common.size,
        )
        for group in self._context.windows(self._chain_key, self.spans):
            for at, held, first, last in self._context.with_slices(self._chain_key, group):
                slice_ = held.slice_
                marks, opens = np.zeros(slice_.puts.size, np.bool_), self.opens_on(at[1])
                puts = int(slice_.put_starts[last + 1] - slice_.put_starts[first])
                at_once = max(1, TASK // (SELECTING * (1 + puts)))
                for p in range(0, blocks, at_once):
                    some = p, min(p + at_once, blocks)
                    mark_chosen(slice_, opens, first, last, self.plan, *some, workspace, marks)
                known = chosen.get((self._chain_key, at), np.zeros(0, np.int64))
                chosen[self._chain_key, at] = np.union1d(known, np.flatnonzero(marks))

    def record(self, wheels: dict[Where, tuple[Array, Array]], out: Array, columns: Codes) -> None:
        """Write the P&L of every wheel under every configuration into `out`.

        Args:
            wheels: the rows of each slice's puts, and the row of `out` of each.
            out: (wheels, configurations) float32 dollars per contract.
            columns: (n,) the column of `out` of each row.
        """
        columns = columns[self.order]

        def cells_of(months: list[SliceKey], slice_: Slice) -> CellPnl:
            row = np.full(slice_.puts.size, -1, np.int64)
            for at in months:
                puts, numbers = wheels[self._chain_key, at]
                row[puts] = numbers
            return CellPnl(row, columns, out)

        with self._executor() as executor:
            sums = self._begin(_NO_VALUES, False)
            self._add_all(_by_symbol(self.spans), executor, sums, cells_of)

    def _begin(self, statistics: Array, together: bool) -> _Sums:
        """The sums before the first slice.

        Args:
            statistics: as in `_Sums`.
            together: whether the ROC of all configurations is sorted after the last slice, rather
                than by each task.
        """
        filled = places(self._wheels, self.plan.common.size, self._apart > 0)
        values = (
            np.empty((self.order.size, self._most_wheels))
            if statistics.size and together
            else _NO_VALUES
        )
        return _Sums(new_figures(self.order.size), statistics, values, filled, self._idle())

    def _idle(self) -> dict[str, Array]:
        """`_Sums.busy` with no open wheel; one array for all underlyings where it is not read."""
        if self.plan.common["one_at_a_time"].any():
            return {symbol: np.full(self.order.size, -1, np.int64) for symbol in self._trades}
        return dict.fromkeys(self._trades, np.full(self.order.size, -1, np.int64))

    def _executor(self) -> Executor:
        """An executor with as many threads as there are tasks to run in parallel."""
        return Executor(
            self._context.threads if self._apart else min(self._context.threads, len(self._ranges))
        )

    def opens_on(self, symbol: str) -> Array:
        """(schedules, sessions) whether wheels may open on an underlying.

        Args:
            symbol: the underlying.
        """
        trades, eves = self._trades[symbol], self._context.eves(self._chain_key, symbol)
        opens = self._opens if trades is None else self._opens & trades[:, None]
        if eves is not None:
            opens = opens & ~eves
        if self._signals is None:
            return opens
        allows, of_schedule = self._signals
        return opens & allows[symbol][of_schedule]

    def _add_all(
        self,
        spans: list[Span],
        executor: Executor,
        sums: _Sums,
        cells_of: Callable[[list[SliceKey], Slice], CellPnl] | None = None,
        progress: Callable[[float, int], None] | None = None,
    ) -> None:
        """Add all slices to the sums.

        Args:
            spans: by underlying, then month.
            executor: runs the tasks.
            sums: changed in place.
            cells_of: where each wheel's P&L of some months of a slice is written; None: nowhere.
            progress: as in `figures`.
        """
        figures, apart, ends = sums.figures, Apart(self.order.size), endings(spans)
        groups = self._context.windows(self._chain_key, spans)
        levels = Levels.of(self.order.size, figures.counts)
        tasks_of_slice = 1 if self._apart else len(self._ranges)
        # at least 1, because a calendar may leave no slice
        steps = max(1, (len(spans) + sums.sorted_by_task) * tasks_of_slice)

        def on_progress(done: int) -> None:
            if progress:
                counts = figures.counts, *apart.counts
                progress(done / steps, sum(int(launches(each).sum()) for each in counts))

        def do(tasks: list[Task]) -> None:
            executor.each(lambda task: self._add(task, sums, cells_of), tasks, on_progress)

        for group in groups:
            held = self._context.with_slices(self._chain_key, group)
            slices = [(span, ends[span[0]]) for span in held]
            if not self._apart:
                do([Task(blocks, slices, levels, figures) for blocks in self._ranges])
                continue
            for some in _some_symbols(slices, self._apart):
                do(apart.tasks(some, self.plan.common.size))
                apart.merge(some, figures)

    def _add(
        self, task: Task, sums: _Sums, cells_of: Callable[[list[SliceKey], Slice], CellPnl] | None
    ) -> Iterator[None]:
        """Add the slices of a task to the sums, one month per step."""
        begin, end = self.plan.config_starts[list(task.blocks)].tolist()
        workspace, buffer = self._workspace(sums)
        values = buffer[: end - begin] if sums.sorted_by_task else sums.values[begin:end]
        for spans, ends in _without_end(task.slices):
            (_, symbol), held, *_ = spans[0]
            done, added = np.array([0, task.blocks[0], 0, 0]), 0
            given = (
                held.slice_,
                self.opens_on(symbol),
                np.array([span[2:] for span in spans]),
                self.plan,
                *task.blocks,
                done,
                TASK,
                workspace,
                sums.busy[symbol],
                task.levels.year,
                values,
                sums.filled[symbol],
                cells_of([at for at, *_ in spans], held.slice_) if cells_of else _NOTHING,
            )
            if held.kind not in self._compiled:  # the other arguments have the same types always
                self._compiled[held.kind] = compiled_for(evaluator_of(self.plan), *given)
            while added < len(spans):
                self._compiled[held.kind](*given)
                if done[0] == len(spans):
                    task.levels.close(ends, task.total, begin, end)
                yield from itertools.repeat(None, int(done[0]) - added)
                added = int(done[0])
        if sums.sorted_by_task:
            yield from self._order((begin, end), values, sums)
        self._workspaces.append((workspace, buffer))

    def _workspace(self, sums: _Sums) -> tuple[Workspace, Array]:
        """The workspace of a task, and a buffer for the ROC of its wheels.

        The buffer is empty where `sums.values` holds the ROC of all configurations, or none is
        needed.
        """
        try:
            return self._workspaces.pop()
        except IndexError:
            most = (
                int(np.diff(self.plan.config_starts[self._ranges]).max())
                if sums.sorted_by_task
                else 0
            )
            return new_workspace(self.plan, self.sizes), np.empty(
                (most, self._most_wheels if most else 0)
            )

    def _order(self, some: tuple[int, int], values: Array, sums: _Sums) -> Iterator[None]:
        """Write the order statistics of a range of configurations.

        Args:
            some: the first configuration, and the one after the last.
            values: (configurations, wheels) their ROC; sorted in place.
            sums: its statistics are changed in place.
        """
        first, last = some
        blocks = np.searchsorted(self.plan.config_starts, np.arange(first, last), side="right") - 1
        used = max((int(filled[blocks].max()) for filled in sums.filled.values()), default=0)
        values, start = values[:, :used], 0
        for symbol, most in self._wheels.items():
            filled = sums.filled[symbol][blocks]
            unused = np.arange(max(start, filled.min()), min(start + most, values.shape[1]))
            if unused.size:
                values[:, unused[0] : unused[-1] + 1][unused >= filled[:, None]] = np.nan
            start += most
        values.sort(axis=1)  # NaN last
        sums.statistics[:, first:last] = order_statistics(
            values, sums.figures.counts[KNOWN, first:last]
        )
        yield


def _by_symbol(spans: Iterable[Span]) -> list[Span]:
    """Spans by underlying, then month: the order in which figures are folded."""
    return sorted(spans, key=lambda span: (span[0][1], span[0][0]))


def _without_end(
    slices: list[tuple[HeldSpan, int]],
) -> Iterator[tuple[list[HeldSpan], int]]:
    """Consecutive spans of one slice in which no period ends before the last, and what ends there.

    A compiled call adds all of them: with 100 configurations a call for each month took a seventh
    of the time of a sweep over 40 underlyings.
    """
    spans: list[HeldSpan] = []
    for span, ends in slices:
        if spans and span[1] is not spans[0][1]:
            yield spans, WITHIN
            spans = []
        spans.append(span)
        if ends != WITHIN:
            yield spans, ends
            spans = []
    if spans:
        yield spans, WITHIN


def _some_symbols(slices: list[tuple[HeldSpan, int]], most: int) -> Iterator[list[Any]]:
    """The slices of up to `most` underlyings at a time."""
    by_symbol = [list(mine) for _, mine in itertools.groupby(slices, lambda one: one[0][0][1])]
    for start in range(0, len(by_symbol), most):
        yield list(itertools.chain.from_iterable(by_symbol[start : start + most]))
