"""Runs the configurations of a grid over a market, chunk by chunk, and gives the figures of each.

    grid -> worlds and openings -> chunks of rows -> plan -> months x underlyings -> figures

Memory follows the chunk and the boards, never the grid.
"""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.kernels.cells import Recorder, Sizes, mark_chosen, new_room, run_pieces
from wheelvec.kernels.shortlist import new_shortlist
from wheelvec.kernels.tally import KNOWN, Figures
from wheelvec.market.market import Market
from wheelvec.market.sessions import Sessions
from wheelvec.run.backtest import LAST_SETTLEMENT
from wheelvec.run.boards import Boards, Named, World
from wheelvec.run.factors import factored
from wheelvec.run.openings import Openings
from wheelvec.spec.grid import Codes, Grid, combined
from wheelvec.stages.figures import figures_frame, new_figures

Array = NDArray[Any]
Slice = tuple[dt.date, str]  # month of entry, underlying
Where = tuple[World, Slice]
# per slice its puts' rows on the board and in the matrix; the matrix; each configuration's column
Recording = tuple[dict[Where, tuple[Array, Array]], Array, Codes]

CHUNK = 16_384  # rows at most: what an interrupted sweep with out= loses
TASK = 50_000_000  # nanoseconds of a compiled call, roughly: Ctrl-C is heard between two of them
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
        self.openings = Openings.of(market, grid)
        self._worlds, self._world_of = self._find_worlds()
        self.sessions = {world: world.sessions() for world in self._worlds}

    # ------------------------------------------------------------------------------------------ what rows ask for

    def _find_worlds(self) -> tuple[list[World], Codes]:
        """The distinct worlds, and each row's."""
        over_chain = self.grid.column("liquidity.ivp_over", lambda over: over == "chain", np.bool_)
        ranked = np.where(over_chain, self.grid.column("liquidity.ivp_min_candidates", None, np.int64), -1)
        keys = [(codes, len(self.grid.values(name))) for name in _WORLD if (codes := self.grid.codes(name)) is not None]
        least = int(ranked.min())
        key = combined([(ranked - least, int(ranked.max()) - least + 1), *keys], self.grid.size)
        _, first, code = np.unique(key, return_index=True, return_inverse=True)
        begin = self.openings.start.replace(day=1)
        worlds = []
        for row in first.tolist():
            calendar, minute, rate, dividends, gaps = (self.grid.value(name, row) for name in _WORLD)
            end = Sessions.known(calendar, begin, self._furthest).last
            worlds.append(World(calendar, minute, rate, dividends, gaps, int(ranked[row]), begin, end))
        return worlds, code

    def _most(self, name: str) -> float:
        return float(self.grid.column(name, lambda value: math.inf if value is None else value).max())

    @cached_property
    def _furthest(self) -> dt.date:
        """A date that no settlement session can pass, at the end of a year, so that the next grid has the same boards."""
        data = self._market.data_range
        last = max(self.openings.end, data[1]) if data else self.openings.end
        days = self._most("put.dte_max") + self._most("call.dte_max") + 2 * self._slack
        furthest = min(last.toordinal() + int(days), max(last, LAST_SETTLEMENT).toordinal())
        return dt.date(dt.date.fromordinal(furthest).year, 12, 31)

    @property
    def _slack(self) -> int:
        return 14 + 3 * (int(self._most("call.call_wait_sessions")) + 1)

    def _span(self, month: dt.date) -> tuple[dt.date, dt.date]:
        """The data of the board that a month of entries is run on: its year, and what the year's wheels can reach."""
        last = self._market.data_range[1] if self._market.data_range else month
        cycles = self._most("call.max_cycles")
        if not math.isfinite(cycles):
            return dt.date(month.year, 1, 1), last
        reach = self._most("put.dte_max") + self._slack + cycles * (self._most("call.dte_max") + self._slack)
        quarters = math.ceil(reach / 92)  # in quarters, so that the next grid has the same boards
        end = min(last.toordinal(), dt.date(month.year, 12, 31).toordinal() + 92 * quarters)
        return dt.date(month.year, 1, 1), dt.date.fromordinal(end)

    # ------------------------------------------------------------------------------------------ months and underlyings

    def _months(self, world: World) -> dict[dt.date, tuple[int, int]]:
        """The months in which any wheel may open: first and last session number."""
        sessions = self.sessions[world]
        opens = self.openings.sessions(sessions).any(axis=0)
        months = sessions.filter(pl.Series(opens)).select(month=pl.col("session").dt.truncate("1mo")).unique()
        found = sessions.with_columns(month=pl.col("session").dt.truncate("1mo")).join(months, on="month", how="semi")
        spans = found.group_by("month").agg(pl.col("number").min().alias("first"), pl.col("number").max().alias("last"))
        return {month: (first, last) for month, first, last in spans.sort("month").iter_rows()}

    def board(self, world: World, at: Slice) -> Named:
        """The board of a slice, and the symbols of its contracts."""
        start, end = self._span(at[0])
        return self._boards.board(world, self.sessions[world], at[1], max(start, world.first), end)

    def slices(self, world: World) -> Iterator[tuple[Slice, int, int]]:
        """Months in order, and in each the underlyings in order: the order in which figures are folded."""
        for month, (first, last) in self._months(world).items():
            for symbol in self.openings.symbols:
                yield (month, symbol), first, last

    def most_wheels(self, world: World) -> tuple[int, Sizes]:
        """More wheels than any row launches in all, the puts in its widest ranges; and what a slice holds at most."""
        if world not in self._bounds:
            self._bounds[world] = self._count_wheels(world)
        return self._bounds[world]

    def _count_wheels(self, world: World) -> tuple[int, Sizes]:
        total, sizes = 0, [1, 1, 1, 1, 1]
        lows = [float(self.grid.column(f"put.{name}_min").min()) for name in ("dte", "delta")]
        highs = [self._most(f"put.{name}_max") for name in ("dte", "delta")]
        for at, first, last in self.slices(world):
            board, _ = self.board(world, at)
            rows = slice(board.put_starts[first], board.put_starts[last + 1])
            dte, delta = board.puts["dte"][rows], board.puts["delta"][rows]
            inside = (dte >= lows[0]) & (dte <= highs[0]) & (delta >= lows[1]) & (delta <= highs[1])
            wheels = int(np.count_nonzero(inside))
            calls, bars = np.diff(board.call_starts), board.contracts["last_row"] - board.contracts["first_row"]
            here = [wheels, int(bars.max(initial=0)), dte.size, int(calls.max(initial=0)), last + 1 - first]
            total, sizes = total + wheels, [max(pair) for pair in zip(sizes, here, strict=True)]
        return total, Sizes(*sizes)

    # ------------------------------------------------------------------------------------------------- the work

    def chunks(self, rows: Codes) -> Iterator[Codes]:
        """`rows` cut to the memory that is allowed."""
        wheels = max(self.most_wheels(world)[0] for world in self._worlds) if self.ordered else 0
        size = int(min(CHUNK, max(1, self._memory // 4 // (BYTES_A_ROW + 16 * wheels))))
        for start in range(0, rows.size, size):
            yield rows[start : start + size]

    def run(self, rows: Codes, progress: Callable[[float, int], None] | None = None) -> pl.DataFrame:
        """The figures of some rows, in their order. `progress` is called with the part that is done, and the cells so far."""
        return self._gathered(rows, lambda work: work.figures(progress))

    def periods(self, rows: Codes, period_of: Callable[[dt.date], dt.date]) -> pl.DataFrame:
        """Per row and period of entry: position among `rows`, period, wheels, pnl, capital."""
        frames = []
        for work, places in self._works(rows):
            for period, figures in work.periods(period_of):
                sums = {"wheels": figures.counts[:, KNOWN], "pnl": figures.total, "capital": figures.capital}
                frames.append(pl.DataFrame({"position": places} | sums).with_columns(period=pl.lit(period)))
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
        board, symbols = self.board(world, at)
        number = np.searchsorted(board.put_starts, puts, side="right") - 1
        day = pl.Series(board.underlying.day[number].astype(np.int32)).cast(pl.Date)
        names = symbols.gather(board.puts["contract"][puts])
        underlying = pl.Series([at[1]] * puts.size, dtype=pl.String)
        return pl.DataFrame({"underlying": underlying, "entry_date": day, "put_symbol": names})

    def _works(self, rows: Codes) -> Iterator[tuple["_Work", Codes]]:
        """The work of each world, and the places among `rows` of its configurations."""
        for code, world in enumerate(self._worlds):
            mine = np.flatnonzero(self._world_of[rows] == code)
            if mine.size:
                work = _Work(self, world, rows[mine])
                yield work, mine[work.order]

    def _gathered(self, rows: Codes, frame_of: Callable[["_Work"], pl.DataFrame]) -> pl.DataFrame:
        found = [(frame_of(work), places) for work, places in self._works(rows)]
        back = np.argsort(np.concatenate([places for _, places in found]))
        return pl.concat([frame for frame, _ in found])[back]


class _Work:
    """Some rows of one world on their way through months and underlyings. `order` are their positions among the rows given."""

    def __init__(self, engine: Engine, world: World, rows: Codes) -> None:
        self._engine, self._world = engine, world
        openings, used = engine.openings, np.unique(engine.openings.of_row[rows])
        factors = factored(engine.grid, rows, np.searchsorted(used, openings.of_row[rows]))
        self._plan = factors.plan
        self.order = np.searchsorted(rows, factors.rows)
        self._opens = openings.sessions(engine.sessions[world])[used]
        self._trades = {s: np.array([s in openings.each[i].symbols for i in used]) for s in openings.symbols}
        self._wheels, self._sizes = engine.most_wheels(world)
        self._tasks = _cut(factors.weight * self._sizes.wheels, engine.threads)

    def figures(self, progress: Callable[[float, int], None] | None) -> pl.DataFrame:
        """The figures over all months, configuration by configuration."""
        n, ordered = self.order.size, self._engine.ordered
        figures = new_figures(n)
        values = np.full((n, self._wheels), np.nan) if ordered else np.zeros((0, 0))
        slices = self._slices()
        with self._crew() as crew:
            for done, _ in enumerate(self._through(slices, crew, figures, values)):
                if progress:
                    progress((done + 1) / len(slices), int(figures.counts[:, :8].sum()))
            if ordered:
                crew.each(lambda task: values[self._configurations(task)].sort(axis=1), self._tasks)  # NaN last
        return figures_frame(figures, values if ordered else None)

    def periods(self, period_of: Callable[[dt.date], dt.date]) -> Iterator[tuple[dt.date, Figures]]:
        """The figures of each period of entry alone."""
        by_period = itertools.groupby(self._slices(), lambda at: period_of(at[0][0]))
        busy = self._idle()
        with self._crew() as crew:
            for period, slices in by_period:
                figures = new_figures(self.order.size)
                for _ in self._through(list(slices), crew, figures, np.zeros((0, 0)), busy):
                    pass
                yield period, figures

    def mark(self, chosen: dict[Where, Array]) -> None:
        """Add, slice by slice, the rows of the board that any configuration sells."""
        for at, first, last in self._slices():
            board, _ = self._engine.board(self._world, at)
            marks, room = np.zeros(board.puts.size, np.bool_), new_shortlist(self._sizes.sessions, self._sizes.quotes)
            mark_chosen(board, self._opens & self._trades[at[1]][:, None], first, last, self._plan, room, marks)
            known = chosen.get((self._world, at), np.zeros(0, np.int64))
            chosen[self._world, at] = np.union1d(known, np.flatnonzero(marks))

    def record(self, places: dict[Where, tuple[Array, Array]], out: Array, columns: Codes) -> None:
        """Write every wheel's P&L by configuration into `out`; `places` are a slice's puts and their rows there."""
        with self._crew() as crew:
            for _ in self._through(
                self._slices(), crew, new_figures(self.order.size), np.zeros((0, 0)), None, (places, out, columns)
            ):
                pass

    def _slices(self) -> list[tuple[Slice, int, int]]:
        return [
            (at, first, last)
            for at, first, last in self._engine.slices(self._world)
            if (self._opens[:, first : last + 1] & self._trades[at[1]][:, None]).any()
        ]

    def _idle(self) -> dict[str, Array]:
        return {symbol: np.full(self.order.size, -1, np.int64) for symbol in self._trades}

    def _crew(self) -> "_Crew":
        return _Crew(min(self._engine.threads, len(self._tasks)))

    def _configurations(self, task: tuple[int, int]) -> slice:
        return slice(self._plan.config_starts[task[0]], self._plan.config_starts[task[1]])

    def _through(
        self, slices: list[tuple[Slice, int, int]], crew: "_Crew", figures: Figures, values: Array,
        busy: dict[str, Array] | None = None, recording: Any = None,
    ) -> Iterator[Slice]:  # fmt: skip
        """Add slice after slice to the figures; yields each when it is done."""
        busy, filled = busy or self._idle(), np.zeros(self._plan.entry.size, np.int64)
        rooms = {task: new_room(self._plan, *task, self._sizes) for task in self._tasks}
        for at, first, last in slices:
            board, _ = self._engine.board(self._world, at)
            opens, recorder = self._opens & self._trades[at[1]][:, None], _NOTHING
            if recording is not None:
                places, out, columns = recording
                puts, wheels = places[self._world, at]
                row = np.full(board.puts.size, -1, np.int64)
                row[puts] = wheels
                recorder = Recorder(row, columns, out)
            until = busy[at[1]]

            def add(task: tuple[int, int]) -> None:
                run_pieces(board, opens, first, last, self._plan, *task, rooms[task], until, figures, values, filled, recorder)  # noqa: B023

            crew.each(add, self._tasks)
            yield at


class _Crew:
    """Does tasks on several threads, or on this one; whoever leaves early waits for the tasks at work alone."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def each(self, do: Callable[[Any], Any], tasks: list[Any]) -> None:
        """Do all tasks, in any order."""
        for _ in map(do, tasks) if self._pool is None else self._pool.map(do, tasks):  # raises what a task raised
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _cut(weight: Array, threads: int) -> list[tuple[int, int]]:
    """Ranges of pieces, each a compiled call of at most about `TASK` nanoseconds, and some for each thread; `weight` is
    nanoseconds in the fullest month."""
    share = TASK if threads == 1 else max(1, min(TASK, int(weight.sum()) // (2 * threads)))
    at = ((np.cumsum(weight) - 1) // share).astype(np.int64)
    starts = np.flatnonzero(np.diff(at, prepend=-1) > 0)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), weight.size], strict=True))
