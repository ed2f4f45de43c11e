"""Simulates the configurations of a grid over a market in chunks, and returns each one's figures.

    grid -> chain keys and entry rules -> chunks of rows -> plan -> months x underlyings -> figures

Memory depends on the size of a chunk and of the slices, not on that of the grid.
"""

import datetime as dt
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.kernels.accumulate import KNOWN
from wheelvec.market.market import Market
from wheelvec.model.grid import Codes, Grid
from wheelvec.model.schemas import SIGNALS
from wheelvec.run.accounts.evaluation import Accounts
from wheelvec.run.context import Array, Context, Part, SliceKey
from wheelvec.run.signals.pairs import Signals
from wheelvec.run.slicing.slices import ChainKey
from wheelvec.run.work import Partial, Work

CHUNK = 16_384  # rows at most: an interrupted sweep with out= loses so many
BYTES_A_ROW = 2_000  # figures, counts, positions and frame of one configuration
_PERIODS = {
    "position": pl.Int64,
    "period": pl.Date,
    "wheels": pl.Int64,
    "pnl": pl.Float64,
    "capital": pl.Float64,
}
_WHEELS = {"underlying": pl.String, "entry_date": pl.Date, "put_symbol": pl.String}


class Engine:
    """One grid over one market. The figures of a row do not depend on the other rows.

    Args:
        market: the tables.
        grid: the configurations, one per row.
        ordered: whether to compute the order statistics (median, percentiles).
        threads: the number of threads that simulate wheels.
        memory: bytes that slices and chunks may take.
        signals: the signals that restrict entries: of all rows, and by name of single rows.
        part: the wheels to simulate; None: all.

    Raises:
        ConfigError: naming the rows that cannot be run on this market.
    """

    def __init__(
        self,
        market: Market,
        grid: Grid,
        *,
        ordered: bool,
        threads: int,
        memory: int,
        signals: Signals | None = None,
        part: Part | None = None,
    ) -> None:
        self.grid, self._ordered, self._memory = grid, ordered, memory
        self.context = Context(market, grid, threads, memory, signals, part)
        self._accounts = Accounts(market, self.context)

    def chunks(self, rows: Codes) -> Iterator[Codes]:
        """Split `rows` into chunks that fit into the allowed memory."""
        wheels = (
            max(
                sum(self.context.bounds(chain_key).wheels.values())
                for chain_key in self.context.chain_keys
            )
            if self._ordered
            else 0
        )
        size = int(min(CHUNK, max(1, self._memory // 4 // (BYTES_A_ROW + 16 * wheels))))
        for start in range(0, rows.size, size):
            yield rows[start : start + size]

    def run(
        self, rows: Codes, progress: Callable[[float, int], None] | None = None
    ) -> pl.DataFrame:
        """The figures of some rows, in their order.

        Args:
            rows: (n,) rows of the grid.
            progress: called with the fraction done, and the number of wheels x configurations
                simulated so far.
        """
        if self.grid.account is None:
            return self._figures(rows, progress)
        first, place = self.grid.configurations(rows)
        figures = self._figures(rows[first], progress)[place]
        return pl.concat([figures, self._accounts.figures(rows)], how="horizontal")

    def _figures(self, rows: Codes, progress: Callable[[float, int], None] | None) -> pl.DataFrame:
        found = [(work.figures(progress), mine) for work, mine in self._works(rows)]
        if len(found) == 1:
            return found[0][0]
        return pl.concat([frame for frame, _ in found])[
            np.argsort(np.concatenate([mine for _, mine in found]))
        ]

    def partial(self, by_year: bool) -> Iterator[tuple[Codes, Partial]]:
        """The sums of all rows over the wheels of a part, in chunks of rows.

        Args:
            by_year: whether the sums of each year of entries are separate.
        """
        for chunk in self.chunks(np.arange(self.grid.size)):
            for work, mine in self._works(chunk):
                yield chunk[mine], work.partial(by_year)

    def accounts(self, rows: Codes) -> pl.DataFrame:
        """The metrics of the accounts of some rows, in their order."""
        return self._accounts.figures(rows)

    def equity(self, rows: Codes) -> pl.DataFrame:
        """The equity of the accounts of some rows by session; null after the last of a row.

        Args:
            rows: (n,) rows of the grid, which has an account.

        Returns:
            session, and a column for each row, named by its number; dollars.
        """
        return self._accounts.equity(rows)

    def entries(self, rows: NDArray[np.bool_]) -> pl.DataFrame:
        """The entry sessions of some rows before signals apply: (session, underlying).

        Args:
            rows: (rows of the grid,) whether to include each.
        """
        found, context = [pl.DataFrame(schema=SIGNALS)], self.context
        for code, chain_key in enumerate(context.chain_keys):
            rules = np.unique(context.entry_rules.of_row[rows & (context.chain_key_of == code)])
            session = context.sessions[chain_key]["session"]
            opens = context.opens[chain_key][rules]
            for symbol, trades in zip(context.symbols, context.trades[rules].T, strict=True):
                days = session.filter(opens[trades].any(axis=0))
                found.append(pl.DataFrame({"session": days, "underlying": [symbol] * days.len()}))
        return pl.concat(found, how="vertical_relaxed").unique()

    def periods(self, rows: Codes, period_of: Callable[[dt.date], dt.date]) -> pl.DataFrame:
        """The sums of each row and period of entry.

        Args:
            rows: (n,) rows of the grid.
            period_of: the first day of a month -> the first day of its period.

        Returns:
            position (of the row among `rows`), period, wheels, pnl and capital, both in dollars
            per contract.
        """
        frames = [pl.DataFrame(schema=_PERIODS)]  # a calendar may leave no month
        for work, mine in self._works(rows):
            for period, figures in work.periods(period_of):
                sums = {
                    "wheels": figures.counts[KNOWN],
                    "pnl": figures.total,
                    "capital": figures.capital,
                }
                frame = pl.DataFrame({"position": mine[work.order]} | sums).with_columns(
                    period=pl.lit(period)
                )
                frames.append(frame.select(_PERIODS.keys()))
        return pl.concat(frames).sort("position", "period")

    def pnl(self, rows: Codes, allocate: Callable[[int, int], Array]) -> tuple[pl.DataFrame, Array]:
        """The P&L of each wheel under each of the rows.

        Args:
            rows: (n,) rows of the grid.
            allocate: (wheels, rows) -> an array of that shape, float32 and NaN throughout.

        Returns:
            The wheels that any of the rows may open (underlying, entry_date, put_symbol), and
            (wheels, rows) their marked P&L in dollars per contract; NaN where a row does not open
            the wheel or its summary leaves it out.
        """
        chunks = list(self.chunks(rows))
        chosen: dict[tuple[ChainKey, SliceKey], Array] = {}
        for chunk in chunks:
            for work, _ in self._works(chunk):
                work.mark(chosen)
        keys = {where: self._keys(*where, puts) for where, puts in chosen.items()}
        wheels = (
            pl.concat([pl.DataFrame(schema=_WHEELS), *keys.values()])
            .unique()
            .sort("entry_date", "underlying", "put_symbol")
        )
        out = allocate(wheels.height, rows.size)
        numbered = wheels.with_row_index("wheel")
        numbers = {
            where: (
                chosen[where],
                key.join(numbered, on=wheels.columns, maintain_order="left")["wheel"].to_numpy(),
            )
            for where, key in keys.items()
        }
        start = 0
        for chunk in chunks:
            for work, columns in self._works(chunk):
                work.record(numbers, out, start + columns)
            start += chunk.size
        return wheels, out

    def _keys(self, chain_key: ChainKey, at: SliceKey, puts: Array) -> pl.DataFrame:
        """underlying, entry_date and put_symbol of some rows of a slice's puts."""
        held = self.context.slice_(chain_key, at[0].year, at[1])
        number = np.searchsorted(held.slice_.put_starts, puts, side="right") - 1
        day = pl.Series(held.slice_.underlying.day[number].astype(np.int32)).cast(pl.Date)
        names = held.symbols(held.slice_.puts["contract"][puts])
        underlying = pl.Series([at[1]] * puts.size, dtype=pl.String)
        return pl.DataFrame({"underlying": underlying, "entry_date": day, "put_symbol": names})

    def _works(self, rows: Codes) -> Iterator[tuple["Work", Codes]]:
        """The work of each chain key, and the positions of its rows among `rows`."""
        if len(self.context.chain_keys) == 1:
            yield (
                Work(self.context, self.context.chain_keys[0], rows, self._ordered),
                np.arange(rows.size),
            )
            return
        for code, chain_key in enumerate(self.context.chain_keys):
            mine = np.flatnonzero(self.context.chain_key_of[rows] == code)
            if mine.size:
                yield Work(self.context, chain_key, rows[mine], self._ordered), mine
