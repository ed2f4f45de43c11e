"""The accounts of a sweep's rows: their metrics, and their equity.

rows -> one chain key and one first session -> chunks -> sessions x underlyings -> metrics
"""

from collections.abc import Iterator

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.columns import ACCOUNT_PREFIX
from wheelvec.model.grid import Codes, dense
from wheelvec.run.accounts.holdings import BYTES_A_SESSION, Holdings
from wheelvec.run.context import Context
from wheelvec.stages.arrays import days
from wheelvec.stages.metrics import METRICS

ACCOUNT_FIGURES = {ACCOUNT_PREFIX + name: kind for name, kind in METRICS.items()}
CHUNK = 16_384  # accounts at most


class Accounts:
    """The accounts of the rows of a grid over one market.

    Args:
        market: the tables.
        context: the grid, which has an account, over this market.
    """

    def __init__(self, market: Market, context: Context) -> None:
        self._market, self._context = market, context

    def figures(self, rows: Codes) -> pl.DataFrame:
        """The metrics of the accounts of some rows, in their order (ACCOUNT_FIGURES).

        A row whose fraction lets no wheel in has its counts alone.

        Args:
            rows: (n,) rows of the grid.
        """
        out = {name: np.full(rows.size, np.nan) for name in METRICS}
        for holdings, mine in self._held(rows):
            for name, values in holdings.metrics().items():
                out[name][mine] = values
        return pl.DataFrame(
            [
                pl.Series(ACCOUNT_PREFIX + name, out[name], nan_to_null=True).cast(kind)
                for name, kind in METRICS.items()
            ]
        )

    def equity(self, rows: Codes) -> pl.DataFrame:
        """The equity of the accounts of some rows by session.

        Args:
            rows: (n,) rows of the grid.

        Returns:
            session, and a column for each row; dollars, null where its account has no session.
        """
        out = pl.DataFrame(schema={"session": pl.Date})
        names = pl.Series([f"{i}" for i in range(rows.size)], dtype=pl.String)
        for holdings, mine in self._held(rows):
            session, equity = holdings.equity()
            frame = pl.DataFrame(
                {"session": session}
                | {names[int(i)]: equity[k] for k, i in enumerate(mine.tolist())},
                nan_to_null=True,
            )
            out = out.join(frame, on="session", how="full", coalesce=True)
        known = pl.any_horizontal(pl.exclude("session").is_not_null())
        return out.filter(known).sort("session").select("session", *names)

    def _held(self, rows: Codes) -> Iterator[tuple[Holdings, Codes]]:
        """The accounts of some rows in chunks, and the positions of these among the rows."""
        context = self._context
        first = np.zeros(rows.size, np.int64)
        code = context.chain_key_of[rows]
        for i, chain_key in enumerate(context.chain_keys):
            some = np.flatnonzero(code == i)
            rule = context.entry_rules.of_row[rows[some]]
            start = np.array([each.start for each in context.entry_rules.each], "datetime64[D]")
            day = days(context.sessions[chain_key], "session")
            at = np.searchsorted(day, start.astype(np.int64))
            first[some] = np.minimum(at, day.size - 1)[rule]
        group, count = dense(code * (int(first.max()) + 1) + first)
        for one in range(count):
            mine = np.flatnonzero(group == one)
            chain_key, zero = context.chain_keys[code[mine[0]]], int(first[mine[0]])
            size = self._chunk(context.sessions[chain_key].height - zero)
            for begin in range(0, mine.size, size):
                chunk = mine[begin : begin + size]
                yield Holdings(self._market, context, chain_key, rows[chunk], zero), chunk

    def _chunk(self, sessions: int) -> int:
        """The number of accounts that fit into the memory, over so many sessions."""
        return int(min(CHUNK, max(1, self._context.memory // 4 // (BYTES_A_SESSION * sessions))))
