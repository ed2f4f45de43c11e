"""Months of accounts and results: returns and P&L by calendar month, and each year's total."""

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from wheelvec.run.results.portfolio import Portfolio
    from wheelvec.run.results.result import Result

MONTHS = {"month": pl.Date(), "value": pl.Float64()}


def returns_by_month(portfolio: "Portfolio", of: str | None = None) -> pl.DataFrame:
    """The return of each calendar month: month (its first day) and value, a fraction.

    Args:
        portfolio: the account.
        of: one of its benchmarks; None: the account itself.
    """
    source = portfolio.daily if of is None else portfolio.benchmarks
    last = (
        source.select("session", equity="equity" if of is None else of)
        .group_by(month=pl.col("session").dt.truncate("1mo"), maintain_order=True)
        .agg(pl.col("equity").last())
    )
    before = pl.col("equity").shift(1, fill_value=portfolio.account.cash)
    return last.select("month", value=pl.col("equity") / before - 1.0)


def pnl_by_month(result: "Result", of: str = "exit_date") -> pl.DataFrame:
    """The P&L of the wheels in the summary by calendar month: month and value, dollars a contract.

    Args:
        result: the result.
        of: exit_date or entry_date. A marked wheel, without an exit, counts in the last
            month with a close.
    """
    rows = counted_wheels(result).group_by(month=pl.col(of).dt.truncate("1mo"))
    return rows.agg(value=pl.col("pnl_marked").sum()).sort("month")


def counted_wheels(result: "Result") -> pl.DataFrame:
    """The wheels in the summary, those without an exit dated to the last close of the result."""
    last = last_close(result)
    return result.wheels.filter("in_summary").with_columns(
        pl.col("exit_date").fill_null(pl.lit(last, pl.Date)),
        roc=100.0 * pl.col("pnl_marked") / pl.col("initial_capital"),
    )


def last_close(result: "Result") -> dt.date | None:
    """The last session with a close of any underlying; None without one."""
    found = result.underlying["session"].max()
    return found if isinstance(found, dt.date) else None


def yearly(months: pl.DataFrame, compounded: bool) -> pl.DataFrame:
    """The total of each year: year and value.

    Args:
        months: month and value.
        compounded: whether values are returns, which multiply, or amounts, which add.
    """
    total = (pl.col("value") + 1.0).product() - 1.0 if compounded else pl.col("value").sum()
    return months.group_by(year=pl.col("month").dt.year()).agg(value=total).sort("year")
