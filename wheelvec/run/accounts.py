"""The accounts of a sweep's rows: their metrics, and their equity."""

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.errors import ConfigError
from wheelvec.model.grid import Codes
from wheelvec.run.backtest import of_row
from wheelvec.run.context import Context
from wheelvec.run.portfolio import Portfolio
from wheelvec.run.simulate import simulate
from wheelvec.stages.metrics import METRICS

PREFIX = "account_"
ACCOUNT_FIGURES = {PREFIX + name: kind for name, kind in METRICS.items()}


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

        Args:
            rows: (n,) rows of the grid.
        """
        found = []
        for row in rows.tolist():
            try:
                found.append(self._portfolio(row).metrics())
            except ConfigError:
                found.append({})
        return pl.DataFrame(
            [[each.get(name) for name in METRICS] for each in found],
            schema=ACCOUNT_FIGURES,
            orient="row",
        )

    def equity(self, rows: Codes) -> pl.DataFrame:
        """The equity of the accounts of some rows by session.

        Args:
            rows: (n,) rows of the grid.

        Returns:
            session, and a column for each row; dollars.
        """
        out = pl.DataFrame(schema={"session": pl.Date})
        for row in rows.tolist():
            daily = self._portfolio(row).daily.select("session", pl.col("equity").alias(str(row)))
            out = out.join(daily, on="session", how="full", coalesce=True)
        return out.sort("session")

    def _portfolio(self, row: int) -> Portfolio:
        context = self._context
        config = context.grid.config(row)
        signal = context.entry_rules.each[context.entry_rules.of_row[row]].signal
        result = of_row(self._market, context, row, config, signal, threads=context.threads)
        return simulate(result, context.grid.account_of(row))
