"""The chart of months: one row a year, one column a month, and the year's total."""

from typing import Any

import altair as alt
import polars as pl

from wheelvec.model.errors import InputError, cut, unknown_name
from wheelvec.report.months import pnl_by_month, returns_by_month, yearly
from wheelvec.report.plots.accounts import LABELS
from wheelvec.report.plots.theme import DIVERGING, WIDTH, either, finished, unchecked
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result

NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Year")
ROW = 26  # pixels of a year


@unchecked
def monthly(x: Result | Portfolio, benchmark: str | None = "buy_and_hold") -> Any:
    """Months by year with the year's total: returns of an account, or P&L of a result's wheels.

    Args:
        x: a Portfolio, whose months are drawn above those of a benchmark; or a Result, whose wheels
            in the summary count in the month of their exit.
        benchmark: a column of `Portfolio.benchmarks`; None: the account alone.

    Returns:
        An Altair chart.

    Raises:
        InputError: for anything else, or an unknown benchmark.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> wv.plots.monthly(result).to_dict()["title"]["text"]
        'P&L by month of exit'
    """
    if isinstance(x, Result):
        panel = _panel(_cells(pnl_by_month(x), compounded=False), ".2~s", "dollars per contract")
        note = "wheels in the summary, dollars per contract (1k is 1,000)"
        return finished(alt.vconcat(panel), "P&L by month of exit", note)
    if not isinstance(x, Portfolio):
        raise InputError(f"monthly: {cut(x)}: expected a Result or a Portfolio")
    known = x.benchmarks.columns[1:]
    if benchmark is not None and benchmark not in known:
        raise InputError(unknown_name("benchmark", benchmark, known))
    panels = []
    for name in (None, *([] if benchmark is None else [benchmark])):
        cells = _cells(returns_by_month(x, name), compounded=True)
        shown = cells.with_columns(value=100.0 * pl.col("value"))
        panels.append(_panel(shown, ".1f", LABELS.get(name or "equity", name or "")))
    note = "percent; the first and the last month as long as the account has them"
    return finished(alt.vconcat(*panels, spacing=14), "Return by month", note)


def _cells(months: pl.DataFrame, compounded: bool) -> pl.DataFrame:
    """year, column (Jan to Dec, Year) and value."""
    each = months.select(
        year=pl.col("month").dt.year(),
        place=pl.col("month").dt.month().cast(pl.Int64) - 1,
        value="value",
    )
    total = yearly(months, compounded).select("year", place=pl.lit(12, pl.Int64), value="value")
    cells = pl.concat([each, total])
    widest = cells.filter(pl.col("place") < 12)["value"].abs().max() or 1.0
    return cells.with_columns(
        column=pl.col("place").replace_strict(dict(enumerate(NAMES)), return_dtype=pl.String),
        share=(pl.col("value") / widest).clip(-1.0, 1.0),
    )


def _panel(cells: pl.DataFrame, form: str, title: str) -> Any:
    """One map of months, each cell with its value."""
    years = cells["year"].n_unique()
    base = alt.Chart(cells).encode(
        x=alt.X(
            "column:N",
            sort=list(NAMES),
            scale=alt.Scale(domain=list(NAMES)),
            axis=alt.Axis(title=None, orient="top", labelAngle=0, ticks=False, domain=False),
        ),
        y=alt.Y("year:O", sort="descending", axis=alt.Axis(title=None)),
    )
    rects = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color(
            "share:Q",
            scale=alt.Scale(domain=[-1, 0, 1], range=DIVERGING[::2], interpolate="rgb"),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("year:O"),
            alt.Tooltip("column:N"),
            alt.Tooltip("value:Q", format=",.2f"),
        ],
    )
    dark = "abs(datum.share) > 0.72"
    texts = base.mark_text(fontSize=10).encode(
        text=alt.Text("value:Q", format=form),
        color=either(dark, "#ffffff", "#1f2328"),
    )
    return (rects + texts).properties(
        width=WIDTH - 100,
        height=ROW * max(years, 1),
        title=alt.TitleParams(title, fontSize=11, fontWeight="normal"),
    )
