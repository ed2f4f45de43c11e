"""Runs the configurations of a grid over a market, chunk by chunk, and gives the figures of each.

    grid -> worlds and openings -> chunks of rows -> plan -> months x underlyings -> figures

Memory follows the chunk and the boards, never the grid.
"""

import datetime as dt
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.kernels.board import Board
from wheelvec.kernels.cells import Recorder, Room, Sizes, mark_chosen, new_room, run_pieces
from wheelvec.kernels.entry import entry_for
from wheelvec.kernels.shortlist import new_shortlist
from wheelvec.kernels.tally import KNOWN, Figures
from wheelvec.market.market import Market
from wheelvec.run.backtest import LAST_SETTLEMENT
from wheelvec.run.boards import Boards, Held, World, last_known
from wheelvec.run.crew import Crew
from wheelvec.run.factors import factored
from wheelvec.run.openings import Openings
from wheelvec.run.tasks import Apart, Task, cut, kept_apart, places
from wheelvec.spec.grid import Codes, Grid, combined, dense, first_of
from wheelvec.stages.figures import PERCENTILES, figures_frame, new_figures, order_statistics

Array = NDArray[Any]
Slice = tuple[dt.date, str]  # month of entry, underlying
Span = tuple[Slice, int, int]  # a slice, its first and its last session
Where = tuple[World, Slice]

CHUNK = 16_384  # rows at most: what an interrupted sweep with out= loses
SORTING = 10  # nanoseconds a wheel and configuration, roughly
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
        self.grid, self._market, self.ordered, self.threads, self.memory = grid, market, ordered, threads, memory
        self._boards = Boards(market, memory // 2)
        self._bounds: dict[World, tuple[dict[str, int], Sizes]] = {}
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
                if found and size + held.size > self.memory // 2:
                    yield found
                    size = 0
                    boards.clear()
                    found.clear()
                boards[key], size = held, size + held.size
            found.append((at, boards[key], first, last))
        if found:
            yield found

    def most_wheels(self, world: World) -> tuple[dict[str, int], Sizes]:
        """More wheels than any row launches on each underlying, the puts in its widest ranges; and what a slice holds at
        most."""
        if world not in self._bounds:
            self._bounds[world] = self._count_wheels(world)
        return self._bounds[world]

    def _count_wheels(self, world: World) -> tuple[dict[str, int], Sizes]:
        dte, delta = ((self.grid.least(f"put.{name}_min"), self.grid.most(f"put.{name}_max")) for name in ("dte", "delta"))
        a_day = np.where(self.opens[world].any(axis=0), self.grid.most("schedule.max_wheels_per_symbol_per_day"), 0.0)
        total, sizes = dict.fromkeys(self.symbols, 0), np.ones(5, np.int64)
        for year, months in itertools.groupby(self.months(world), lambda month: month[0].year):
            first, end = np.array([(first, last + 1) for _, first, last in months]).T
            for symbol in self.symbols:
                held = self.board(world, year, symbol)
                sold = np.minimum(held.puts_within((*dte, *delta)), a_day)[: end[-1]]
                wheels = np.add.reduceat(sold, first).astype(np.int64)
                puts = held.board.put_starts[end] - held.board.put_starts[first]
                sizes = np.maximum(sizes, (wheels.max(), held.bars, puts.max(), held.calls, (end - first).max()))
                total[symbol] += int(wheels.sum())
        return total, Sizes(*sizes.tolist())

    # ------------------------------------------------------------------------------------------------- the work

    def chunks(self, rows: Codes) -> Iterator[Codes]:
        """`rows` cut to the memory that is allowed."""
        wheels = max(sum(self.most_wheels(world)[0].values()) for world in self._worlds) if self.ordered else 0
        size = int(min(CHUNK, max(1, self.memory // 4 // (BYTES_A_ROW + 16 * wheels))))
        for start in range(0, rows.size, size):
            yield rows[start : start + size]

    def run(self, rows: Codes, progress: Callable[[float, int], None] | None = None) -> pl.DataFrame:
        """The figures of some rows, in their order. `progress` is called with the part that is done, and the cells so far."""
        found = [(work.figures(progress), mine) for work, mine in self._works(rows)]
        if len(found) == 1:
            return found[0][0]
        return pl.concat([frame for frame, _ in found])[np.argsort(np.concatenate([mine for _, mine in found]))]

    def periods(self, rows: Codes, period_of: Callable[[dt.date], dt.date]) -> pl.DataFrame:
        """Per row and period of entry: position among `rows`, period, wheels, pnl, capital."""
        frames = []
        for work, mine in self._works(rows):
            for period, figures in work.periods(period_of):
                sums = {"wheels": figures.counts[KNOWN], "pnl": figures.total, "capital": figures.capital}
                frames.append(pl.DataFrame({"position": mine[work.order]} | sums).with_columns(period=pl.lit(period)))
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
        numbers = {
            where: (chosen[where], key.join(numbered, on=wheels.columns, maintain_order="left")["wheel"].to_numpy())
            for where, key in keys.items()
        }
        start = 0
        for chunk in chunks:
            for work, columns in self._works(chunk):
                work.record(numbers, out, start + columns)
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
    filled: dict[str, Array]  # underlying -> (pieces,) where a piece's configurations have room for the next of them
    busy: dict[str, Array]  # underlying -> (configurations,) until when the last wheel occupies it


class _Work:
    """Some rows of one world on their way through months and underlyings. `order` are the positions, among the rows given, of
    the plan's configurations."""

    def __init__(self, engine: Engine, world: World, rows: Codes) -> None:
        self._engine, self._world = engine, world
        openings = engine.openings.of_row[rows]
        schedule, count = dense(openings)
        used = openings[first_of(schedule, count)]
        self._opens, trades = engine.opens[world][used], engine.trades[used]
        self._trades = {symbol: None if every.all() else every for symbol, every in zip(engine.symbols, trades.T, strict=True)}
        self._slices = self._find_slices(trades)
        self._apart = kept_apart(engine.threads, rows.size, len({symbol for (_, symbol), *_ in self._slices}), engine.memory)
        factors = factored(engine.grid, rows, schedule, 1 if self._apart else engine.threads)
        self._plan, self.order = factors.plan, factors.order
        self._wheels, self._sizes = engine.most_wheels(world)
        self._pieces = cut(factors.weight * self._sizes.wheels, engine.threads)
        self._rooms: deque[Room] = deque()  # those that no thread is using
        self._entries: dict[int, Callable[..., None]] = {}  # compiled code by the kind of board

    def _find_slices(self, trades: Array) -> list[Span]:
        """Months in order, and in each the underlyings in order: the order in which figures are folded."""
        found = []
        for month, first, last in self._engine.months(self._world):
            some = self._opens[:, first : last + 1].any(axis=1) @ trades
            found += [((month, symbol), first, last) for symbol, any_opens in zip(self._trades, some, strict=True) if any_opens]
        return found

    def figures(self, progress: Callable[[float, int], None] | None) -> pl.DataFrame:
        """The figures over all months, row by row."""
        n, ordered = self.order.size, self._engine.ordered
        sums = self._begin(np.empty((n, sum(self._wheels.values())) if ordered else (0, 0)))
        statistics = np.empty((1 + len(PERCENTILES), n)) if ordered else None
        with self._crew() as crew:
            self._through(self._slices, crew, sums, progress=progress)
            if statistics is not None:
                sorting = cut(np.full(n, SORTING * (1 + sums.values.shape[1])), self._engine.threads)
                crew.each(lambda some: self._order(some, sums, statistics), sorting)
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

    def record(self, wheels: dict[Where, tuple[Array, Array]], out: Array, columns: Codes) -> None:
        """Write every wheel's P&L by configuration into `out`; `wheels` are a slice's puts and their rows there."""
        columns = columns[self.order]

        def recorder(at: Slice, board: Board) -> Recorder:
            puts, numbers = wheels[self._world, at]
            row = np.full(board.puts.size, -1, np.int64)
            row[puts] = numbers
            return Recorder(row, columns, out)

        with self._crew() as crew:
            self._through(self._slices, crew, self._begin(np.zeros((0, 0))), recorder)

    def _begin(self, values: Array) -> _Sums:
        filled = places(self._wheels, self._plan.entry.size, self._apart > 0)
        return _Sums(new_figures(self.order.size), values, filled, self._idle())

    def _idle(self) -> dict[str, Array]:
        """No wheel is open anywhere; one array will do where nobody looks at it."""
        if self._plan.entry["one_at_a_time"].any():
            return {symbol: np.full(self.order.size, -1, np.int64) for symbol in self._trades}
        return dict.fromkeys(self._trades, np.full(self.order.size, -1, np.int64))

    def _crew(self) -> Crew:
        return Crew(self._engine.threads if self._apart else min(self._engine.threads, len(self._pieces)))

    def _opens_on(self, symbol: str) -> Array:
        """(schedules, sessions) whether wheels of this underlying may open."""
        trades = self._trades[symbol]
        return self._opens if trades is None else self._opens & trades[:, None]

    def _through(
        self, spans: list[Span], crew: Crew, sums: _Sums, recorder: Callable[[Slice, Board], Recorder] | None = None,
        progress: Callable[[float, int], None] | None = None,
    ) -> None:  # fmt: skip
        """Add slice after slice to the sums."""
        figures, steps = sums.figures, len(spans) * (1 if self._apart else len(self._pieces))

        def do(tasks: list[Task], *more: Array) -> None:
            def told(done: int) -> None:
                if progress:
                    progress(done / steps, sum(int(counts[:8].sum()) for counts in (figures.counts, *more)))

            crew.each(lambda task: self._add(task, sums, recorder), tasks, told)

        for window in self._engine.windows(self._world, spans):
            if not self._apart:
                do([Task(pieces, zip(window, itertools.repeat(figures), strict=False)) for pieces in self._pieces])
                continue
            for start in range(0, len(window), self._apart):
                part = window[start : start + self._apart]
                apart = Apart(part, [symbol for (_, symbol), *_ in part], self._plan.entry.size, self.order.size)
                do(apart.tasks, *apart.counts)
                crew.each(lambda some: apart.merge(some, figures), apart.ranges(self._engine.threads))  # noqa: B023

    def _add(self, task: Task, sums: _Sums, recorder: Callable[[Slice, Board], Recorder] | None) -> Iterator[None]:
        room = self._room()
        for (at, held, first, last), figures in task.slices:
            record = recorder(at, held.board) if recorder else _NOTHING
            given = (
                held.board, self._opens_on(at[1]), first, last, self._plan, *task.pieces, room, sums.busy[at[1]], figures,
                sums.values, sums.filled[at[1]], record,
            )  # fmt: skip
            if held.kind not in self._entries:  # all else is of one kind throughout
                self._entries[held.kind] = entry_for(run_pieces, *given)
            self._entries[held.kind](*given)
            yield
        self._rooms.append(room)

    def _room(self) -> Room:
        try:
            return self._rooms.pop()
        except IndexError:
            return new_room(self._plan, self._sizes)

    def _order(self, some: tuple[int, int], sums: _Sums, out: Array) -> Iterator[None]:
        """Write the order statistics of a range of configurations."""
        (first, last), sizes, start = some, np.diff(self._plan.config_starts), 0
        values = sums.values[first:last, : max(int(filled.max()) for filled in sums.filled.values())]
        for symbol, most in self._wheels.items():
            held = np.repeat(sums.filled[symbol], sizes)[first:last]
            spare = np.arange(max(start, held.min()), min(start + most, values.shape[1]))
            if spare.size:
                values[:, spare[0] : spare[-1] + 1][spare >= held[:, None]] = np.nan
            start += most
        values.sort(axis=1)  # NaN last
        out[:, first:last] = order_statistics(values, sums.figures.counts[KNOWN, first:last])
        return iter(())
