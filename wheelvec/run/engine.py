"""Runs the configurations of a grid over a market, chunk by chunk, and gives the figures of each.

    grid -> worlds and openings -> chunks of rows -> plan -> months x underlyings -> figures

Memory follows the chunk and the boards, never the grid.
"""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.kernels.board import Board
from wheelvec.kernels.cells import Recorder, Sizes, mark_chosen, new_room, run_pieces
from wheelvec.kernels.entry import entry_for
from wheelvec.kernels.shortlist import new_shortlist
from wheelvec.kernels.tally import KNOWN, Figures
from wheelvec.market.market import Market
from wheelvec.run.backtest import LAST_SETTLEMENT
from wheelvec.run.boards import Boards, Held, World, last_known
from wheelvec.run.crew import Crew
from wheelvec.run.factors import factored
from wheelvec.run.openings import Openings
from wheelvec.spec.grid import Codes, Grid, combined, dense, first_of
from wheelvec.stages.figures import PERCENTILES, figures_frame, new_figures, order_statistics

Array = NDArray[Any]
Slice = tuple[dt.date, str]  # month of entry, underlying
Span = tuple[Slice, int, int]  # a slice, its first and its last session
Where = tuple[World, Slice]

CHUNK = 16_384  # rows at most: what an interrupted sweep with out= loses
TASK = 50_000_000  # nanoseconds of a compiled call, roughly: Ctrl-C is heard between two of them
SHORT = 5_000_000  # nanoseconds by the same reckoning: beginning a call of half of it is felt
BYTES_A_ROW = 2_000  # figures, counts, positions and the finished frame of one configuration
_WORLD = ("schedule.trading_calendar", "schedule.entry_time", "pricing.rate", "pricing.dividend_yield", "fills.gap_path")
_NOTHING = Recorder(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0), np.float32))


class Engine:
    """One grid over one market. What becomes of a row depends on that row alone.

    Args:
        market, grid: over what, and which configurations.
        ordered: whether the order statistics (median, percentiles) are wanted.
        threads: how many configurations are worked on side by side.
        memory: bytes that boards and chunks may take.

    Raises:
        ConfigError: naming the rows that cannot be run on this market.
    """

    def __init__(self, market: Market, grid: Grid, *, ordered: bool, threads: int, memory: int) -> None:
        self.grid, self._market, self.ordered, self.threads, self._memory = grid, market, ordered, threads, memory
        self._boards = Boards(market, memory // 2)
        self._bounds: dict[World, tuple[int, Sizes]] = {}
        self._spans: dict[int, tuple[dt.date, dt.date]] = {}
        self.openings = Openings.of(market, grid)
        self.symbols = self.openings.symbols  # in the order in which a month's figures are folded
        self.trades = self.openings.trades(self.symbols)
        self._worlds, self._world_of = self._find_worlds()
        self.sessions = {world: world.sessions() for world in self._worlds}
        self.opens = {world: self.openings.sessions(days["session"].to_numpy()) for world, days in self.sessions.items()}

    # ------------------------------------------------------------------------------------------ what rows ask for

    def _find_worlds(self) -> tuple[list[World], Codes]:
        """The distinct worlds, and each row's."""
        least = int(self.grid.least("liquidity.ivp_min_candidates"))
        most = int(self.grid.most("liquidity.ivp_min_candidates"))
        over_chain = self.grid.column("liquidity.ivp_over", lambda over: over == "chain", np.bool_)
        ranked = np.where(over_chain, self.grid.column("liquidity.ivp_min_candidates", None, np.int64), least - 1)
        keys = [(codes, len(self.grid.values(name))) for name in _WORLD if (codes := self.grid.codes(name)) is not None]
        code, count = dense(combined([(ranked - least + 1, most - least + 2), *keys], self.grid.size))
        begin = self.openings.start.replace(day=1)
        worlds = []
        for row in first_of(code, count).tolist():
            calendar, minute, rate, dividends, gaps = (self.grid.value(name, row) for name in _WORLD)
            end = last_known(calendar, begin, self._furthest)
            ranks = int(ranked[row]) if over_chain[row] else -1
            worlds.append(World(calendar, minute, rate, dividends, gaps, ranks, begin, end))
        return worlds, code

    @cached_property
    def _furthest(self) -> dt.date:
        """A date that no settlement session can pass, at the end of a year, so that the next grid has the same boards."""
        data = self._market.data_range
        last = max(self.openings.end, data[1]) if data else self.openings.end
        days = self.grid.most("put.dte_max") + self.grid.most("call.dte_max") + 2 * self._slack
        furthest = min(last.toordinal() + int(days), max(last, LAST_SETTLEMENT).toordinal())
        return dt.date(dt.date.fromordinal(furthest).year, 12, 31)

    @property
    def _slack(self) -> int:
        return 14 + 3 * (int(self.grid.most("call.call_wait_sessions")) + 1)

    def _span(self, year: int) -> tuple[dt.date, dt.date]:
        """The data of the board that a year's entries are run on: the year, and what its wheels can reach."""
        last = self._market.data_range[1] if self._market.data_range else dt.date(year, 12, 31)
        cycles = self.grid.most("call.max_cycles")
        if not math.isfinite(cycles):
            return dt.date(year, 1, 1), last
        reach = self.grid.most("put.dte_max") + self._slack + cycles * (self.grid.most("call.dte_max") + self._slack)
        quarters = math.ceil(reach / 92)  # in quarters, so that the next grid has the same boards
        end = min(last.toordinal(), dt.date(year, 12, 31).toordinal() + 92 * quarters)
        return dt.date(year, 1, 1), dt.date.fromordinal(end)

    # ------------------------------------------------------------------------------------------ months and underlyings

    def months(self, world: World) -> list[tuple[dt.date, int, int]]:
        """The months in which any wheel may open, in order: first and last session."""
        month = self.sessions[world]["session"].to_numpy().astype("datetime64[M]")
        found = np.unique(month[self.opens[world].any(axis=0)])
        first, last = np.searchsorted(month, found, "left"), np.searchsorted(month, found, "right") - 1
        return list(zip(found.astype("datetime64[D]").tolist(), first.tolist(), last.tolist(), strict=True))

    def board(self, world: World, year: int, symbol: str) -> Held:
        """The board of a year of entries."""
        if year not in self._spans:
            self._spans[year] = self._span(year)
        start, end = self._spans[year]
        return self._boards.board(world, self.sessions[world], symbol, max(start, world.first), end)

    def windows(self, world: World, spans: list[Span]) -> Iterator[list[tuple[Slice, Held, int, int]]]:
        """Slices in their order, each with its board; as many at a time as boards may be held."""
        boards: dict[tuple[int, str], Held] = {}
        found: list[tuple[Slice, Held, int, int]] = []
        size = 0
        for at, first, last in spans:
            key = at[0].year, at[1]
            if key not in boards:
                held = self.board(world, *key)
                if found and size + held.size > self._memory // 2:
                    yield found
                    size = 0
                    boards.clear()
                    found.clear()
                boards[key], size = held, size + held.size
            found.append((at, boards[key], first, last))
        if found:
            yield found

    def most_wheels(self, world: World) -> tuple[int, Sizes]:
        """More wheels than any row launches in all, the puts in its widest ranges; and what a slice holds at most."""
        if world not in self._bounds:
            self._bounds[world] = self._count_wheels(world)
        return self._bounds[world]

    def _count_wheels(self, world: World) -> tuple[int, Sizes]:
        dte, delta = ((self.grid.least(f"put.{name}_min"), self.grid.most(f"put.{name}_max")) for name in ("dte", "delta"))
        a_day = np.where(self.opens[world].any(axis=0), self.grid.most("schedule.max_wheels_per_symbol_per_day"), 0.0)
        total, sizes = 0, np.ones(5, np.int64)
        for year, months in itertools.groupby(self.months(world), lambda month: month[0].year):
            first, end = np.array([(first, last + 1) for _, first, last in months]).T
            for symbol in self.symbols:
                held = self.board(world, year, symbol)
                sold = np.minimum(held.puts_within((*dte, *delta)), a_day)[: end[-1]]
                wheels = np.add.reduceat(sold, first).astype(np.int64)
                puts = held.board.put_starts[end] - held.board.put_starts[first]
                sizes = np.maximum(sizes, (wheels.max(), held.bars, puts.max(), held.calls, (end - first).max()))
                total += int(wheels.sum())
        return total, Sizes(*sizes.tolist())

    # ------------------------------------------------------------------------------------------------- the work

    def chunks(self, rows: Codes) -> Iterator[Codes]:
        """`rows` cut to the memory that is allowed."""
        wheels = max(self.most_wheels(world)[0] for world in self._worlds) if self.ordered else 0
        size = int(min(CHUNK, max(1, self._memory // 4 // (BYTES_A_ROW + 16 * wheels))))
        for start in range(0, rows.size, size):
            yield rows[start : start + size]

    def run(self, rows: Codes, progress: Callable[[float, int], None] | None = None) -> pl.DataFrame:
        """The figures of some rows, in their order. `progress` is called with the part that is done, and the cells so far."""
        found = [(work.figures(progress), places) for work, places in self._works(rows)]
        if len(found) == 1:
            return found[0][0]
        return pl.concat([frame for frame, _ in found])[np.argsort(np.concatenate([places for _, places in found]))]

    def periods(self, rows: Codes, period_of: Callable[[dt.date], dt.date]) -> pl.DataFrame:
        """Per row and period of entry: position among `rows`, period, wheels, pnl, capital."""
        frames = []
        for work, places in self._works(rows):
            for period, figures in work.periods(period_of):
                sums = {"wheels": figures.counts[KNOWN], "pnl": figures.total, "capital": figures.capital}
                frames.append(pl.DataFrame({"position": places[work.order]} | sums).with_columns(period=pl.lit(period)))
        return pl.concat(frames).select("position", "period", "wheels", "pnl", "capital").sort("position", "period")

    def pnl(self, rows: Codes, allocate: Callable[[int, int], Array]) -> tuple[pl.DataFrame, Array]:
        """The wheels that any of the rows may launch (underlying, entry_date, put_symbol), and (wheels, rows) float32: each
        one's marked P&L, NaN where it was not launched or the summary has none."""
        chunks = list(self.chunks(rows))
        chosen: dict[tuple[World, Slice], Array] = {}
        for chunk in chunks:
            for work, _ in self._works(chunk):
                work.mark(chosen)
        keys = {where: self._keys(*where, puts) for where, puts in chosen.items()}
        wheels = pl.concat(keys.values()).unique().sort("entry_date", "underlying", "put_symbol")
        out = allocate(wheels.height, rows.size)
        numbered = wheels.with_row_index("wheel")
        places = {
            where: (chosen[where], key.join(numbered, on=wheels.columns, maintain_order="left")["wheel"].to_numpy())
            for where, key in keys.items()
        }
        start = 0
        for chunk in chunks:
            for work, columns in self._works(chunk):
                work.record(places, out, start + columns)
            start += chunk.size
        return wheels, out

    def _keys(self, world: World, at: Slice, puts: Array) -> pl.DataFrame:
        held = self.board(world, at[0].year, at[1])
        number = np.searchsorted(held.board.put_starts, puts, side="right") - 1
        day = pl.Series(held.board.underlying.day[number].astype(np.int32)).cast(pl.Date)
        names = held.symbols.gather(held.board.puts["contract"][puts])
        underlying = pl.Series([at[1]] * puts.size, dtype=pl.String)
        return pl.DataFrame({"underlying": underlying, "entry_date": day, "put_symbol": names})

    def _works(self, rows: Codes) -> Iterator[tuple["_Work", Codes]]:
        """The work of each world, and the places among `rows` of its rows."""
        if len(self._worlds) == 1:
            yield _Work(self, self._worlds[0], rows), np.arange(rows.size)
            return
        for code, world in enumerate(self._worlds):
            mine = np.flatnonzero(self._world_of[rows] == code)
            if mine.size:
                yield _Work(self, world, rows[mine]), mine


class _Sums(NamedTuple):
    """What slice after slice is added to."""

    figures: Figures
    values: Array  # (configurations, wheels) ROC; (0, 0) if nobody asks
    filled: Array  # (pieces,) how many of them a piece's configurations hold
    busy: dict[str, Array]  # underlying -> (configurations,) until when the last wheel occupies it


class _Work:
    """Some rows of one world on their way through months and underlyings. `order` are the positions, among the rows given, of
    the plan's configurations."""

    def __init__(self, engine: Engine, world: World, rows: Codes) -> None:
        self._engine, self._world = engine, world
        openings = engine.openings.of_row[rows]
        schedule, count = dense(openings)
        used = openings[first_of(schedule, count)]
        factors = factored(engine.grid, rows, schedule, engine.threads)
        self._plan, self.order = factors.plan, factors.order
        self._opens, trades = engine.opens[world][used], engine.trades[used]
        self._trades = dict(zip(engine.symbols, trades.T, strict=True))
        self._slices = self._find_slices(trades)
        self._wheels, self._sizes = engine.most_wheels(world)
        self._tasks = _cut(factors.weight * self._sizes.wheels, engine.threads)

    def _find_slices(self, trades: Array) -> list[Span]:
        """Months in order, and in each the underlyings in order: the order in which figures are folded."""
        found = []
        for month, first, last in self._engine.months(self._world):
            some = self._opens[:, first : last + 1].any(axis=1) @ trades
            found += [((month, symbol), first, last) for symbol, any_opens in zip(self._trades, some, strict=True) if any_opens]
        return found

    def figures(self, progress: Callable[[float, int], None] | None) -> pl.DataFrame:
        """The figures over all months, row by row."""
        n = self.order.size
        sums = self._begin(np.empty((n, self._wheels) if self._engine.ordered else (0, 0)))
        statistics = np.empty((1 + len(PERCENTILES), n)) if self._engine.ordered else None
        with self._crew() as crew:
            self._through(self._slices, crew, sums, progress=progress)
            if statistics is not None:
                crew.each(lambda task: self._order(task, sums, statistics), self._tasks)
        rows = np.empty_like(self.order)
        rows[self.order] = np.arange(n)
        return figures_frame(sums.figures, statistics, rows)

    def periods(self, period_of: Callable[[dt.date], dt.date]) -> Iterator[tuple[dt.date, Figures]]:
        """The figures of each period of entry alone."""
        sums = self._begin(np.zeros((0, 0)))
        with self._crew() as crew:
            for period, spans in itertools.groupby(self._slices, lambda span: period_of(span[0][0])):
                sums = sums._replace(figures=new_figures(self.order.size))
                self._through(list(spans), crew, sums)
                yield period, sums.figures

    def mark(self, chosen: dict[Where, Array]) -> None:
        """Add, slice by slice, the rows of the board that any configuration sells."""
        room = new_shortlist(self._sizes.sessions, self._sizes.quotes)
        for window in self._engine.windows(self._world, self._slices):
            for at, held, first, last in window:
                board = held.board
                marks = np.zeros(board.puts.size, np.bool_)
                mark_chosen(board, self._opens_on(at[1]), first, last, self._plan, room, marks)
                known = chosen.get((self._world, at), np.zeros(0, np.int64))
                chosen[self._world, at] = np.union1d(known, np.flatnonzero(marks))

    def record(self, places: dict[Where, tuple[Array, Array]], out: Array, columns: Codes) -> None:
        """Write every wheel's P&L by configuration into `out`; `places` are a slice's puts and their rows there."""
        columns = columns[self.order]

        def recorder(at: Slice, board: Board) -> Recorder:
            puts, wheels = places[self._world, at]
            row = np.full(board.puts.size, -1, np.int64)
            row[puts] = wheels
            return Recorder(row, columns, out)

        with self._crew() as crew:
            self._through(self._slices, crew, self._begin(np.zeros((0, 0))), recorder)

    def _begin(self, values: Array) -> _Sums:
        return _Sums(new_figures(self.order.size), values, np.zeros(self._plan.entry.size, np.int64), self._idle())

    def _idle(self) -> dict[str, Array]:
        """No wheel is open anywhere; one array will do where nobody looks at it."""
        if self._plan.entry["one_at_a_time"].any():
            return {symbol: np.full(self.order.size, -1, np.int64) for symbol in self._trades}
        return dict.fromkeys(self._trades, np.full(self.order.size, -1, np.int64))

    def _crew(self) -> Crew:
        return Crew(min(self._engine.threads, len(self._tasks)))

    def _opens_on(self, symbol: str) -> Array:
        """(schedules, sessions) whether wheels of this underlying may open."""
        trades = self._trades[symbol]
        return self._opens if trades.all() else self._opens & trades[:, None]

    def _through(
        self, spans: list[Span], crew: Crew, sums: _Sums, recorder: Callable[[Slice, Board], Recorder] | None = None,
        progress: Callable[[float, int], None] | None = None,
    ) -> None:  # fmt: skip
        """Add slice after slice to the sums. Each task goes through a window of slices by itself; a configuration belongs to
        one task, so that its slices are folded in their order whoever is first."""

        def told(steps: int) -> None:
            if progress:
                progress(steps / (len(spans) * len(self._tasks)), int(sums.figures.counts[:8].sum()))

        for window in self._engine.windows(self._world, spans):
            crew.each(lambda task: self._add(task, window, sums, recorder), self._tasks, told)  # noqa: B023

    def _add(
        self, task: tuple[int, int], window: list[tuple[Slice, Held, int, int]], sums: _Sums,
        recorder: Callable[[Slice, Board], Recorder] | None,
    ) -> Iterator[None]:  # fmt: skip
        figures, values, filled, busy = sums
        room, kind, run = new_room(self._plan, *task, self._sizes), None, run_pieces
        for at, held, first, last in window:
            record = recorder(at, held.board) if recorder else _NOTHING
            given = (
                held.board, self._opens_on(at[1]), first, last, self._plan, *task, room, busy[at[1]], figures, values,
                filled, record,
            )  # fmt: skip
            if held.kind != kind:  # all else is of one kind throughout
                kind, run = held.kind, entry_for(run_pieces, *given)
            run(*given)
            yield

    def _order(self, task: tuple[int, int], sums: _Sums, out: Array) -> Iterator[None]:
        """Write the order statistics of a task's configurations."""
        starts = self._plan.config_starts[task[0] : task[1] + 1]
        rows, held = slice(starts[0], starts[-1]), np.repeat(sums.filled[slice(*task)], np.diff(starts))
        values = sums.values[rows, : held.max()]
        if held.min() < held.max():
            values[np.arange(held.max()) >= held[:, None]] = np.nan
        values.sort(axis=1)  # NaN last
        out[:, rows] = order_statistics(values, sums.figures.counts[KNOWN, rows])
        yield


def _cut(weight: Array, threads: int) -> list[tuple[int, int]]:
    """Ranges of pieces of about equal weight, each a compiled call; `weight` is nanoseconds in the fullest month."""
    total = int(weight.sum())
    parts = _parts(weight.size, total, threads)
    at = ((np.cumsum(weight) - weight / 2) * parts // total).astype(np.int64)
    starts = np.flatnonzero(np.diff(at, prepend=-1) > 0)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), weight.size], strict=True))


def _parts(pieces: int, total: int, threads: int) -> int:
    """Equally many ranges for each thread, none much longer than `TASK`: four for each of several, so that whoever is held up
    leaves some to the others, but for calls so short that beginning them would show. Few pieces must come out even."""
    spare = min(4, total // (threads * SHORT)) if threads > 1 else 1
    each = max(-(-total // (threads * TASK)), spare, 1)
    if pieces >= 4 * threads * each:
        return threads * each
    return next((n for n in range(threads * each, pieces, threads) if pieces % n == 0), pieces)
