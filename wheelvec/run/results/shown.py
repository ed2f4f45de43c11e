"""Results, sweeps and portfolios as notebooks show them: what was run, its figures, what to know.

Small on purpose: the pages of wheelvec[report] have the rest. Warnings are here for a terminal too.
"""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import polars as pl

from wheelvec.model import markup
from wheelvec.run.results.warnings import brief, of_failures

if TYPE_CHECKING:
    from wheelvec.run.results.portfolio import Portfolio
    from wheelvec.run.results.result import Result
    from wheelvec.run.results.sweep_result import Sweep
    from wheelvec.run.results.warnings import RunWarning

WIDTH = 80  # columns of a terminal
WARNINGS = 5  # that are shown; the others are counted
ROWS = 5  # of a sweep's ranking
# Counts that a reader must know before he believes a figure.
CAVEATS = {
    "censored_wheels": "wheels settle after the data end: left out of the summary",
    "marked_wheels": "wheels are unresolved and in the summary at the last known prices",
    "open_wheels": "wheels are unresolved because the data end",
    "no_data_wheels": "wheels are unresolved because data are missing",
    "suspected_wheels": "wheels are open across a suspected split: no value",
    "carried_wheels": "wheels were carried through splits, renames or special dividends",
    "targets_above_limit": "targets were booked above their limit",
    "stops_inside_stop": "stops were booked under their stop price",
}
METRICS = {
    "total_return": "total return",
    "cagr": "a year",
    "volatility": "volatility",
    "sharpe": "Sharpe ratio",
    "max_drawdown": "greatest drawdown",
    "mean_exposure": "mean exposure",
}


def result_html(result: "Result") -> str:
    """A result: its figures, the counts to know before believing them, and its warnings."""
    figures, launched = result.summary(), result.wheels.height
    names = ", ".join(result.diagnostics["underlying"].unique(maintain_order=True).to_list())
    session = pl.col("session")
    first, last = result.diagnostics.select(first=session.min(), last=session.max()).row(0)
    rows = [
        ("wheels launched", launched),
        ("in the summary", figures["total_wheels"]),
        ("total P&L, dollars a contract", figures["total_pnl"]),
        ("at worst, if all wheels left out were lost", figures["total_pnl_worst"]),
        ("average ROC, %", figures["avg_wheel_roc"]),
        ("median ROC, %", figures["median_wheel_roc"]),
        ("win rate, %", figures["win_rate"]),
        ("worst wheel, dollars", figures["max_drawdown_proxy"]),
    ]
    known = [f"{figures[name]:,} {text}" for name, text in CAVEATS.items() if figures.get(name)]
    return markup.block(
        markup.heading(f"Result of {result.config.id}, rules {result.config.rules}"),
        markup.paragraph(f"Entries {first} to {last}: {names}" if names else "No entry"),
        markup.table(["", ""], rows, "lr"),
        _titled("Before believing them", known),
        warnings_html(result.warnings),
    )


def sweep_html(sweep: "Sweep") -> str:
    """A sweep: the values that were swept, and its first rows by the average ROC."""
    fields = [
        (name, _values(sweep.frame[name].unique(maintain_order=True))) for name in sweep.names
    ]
    best = sweep.best(n=ROWS)
    shown = best.select(best.shown)
    rows = [[_short(value) for value in row] for row in shown.rows()]
    return markup.block(
        markup.heading(f"Sweep of {sweep.frame.height:,} configurations"),
        markup.table(["field", "values"], fields, "ll"),
        markup.paragraph(best.note),
        markup.table(shown.columns, rows, "r" * shown.width),
        warnings_html([*of_failures(sweep.failures), *sweep.warnings]),
    )


def portfolio_html(portfolio: "Portfolio") -> str:
    """A portfolio: its metrics beside its benchmarks', what it did not take, and its warnings."""
    daily, wheels = portfolio.daily, portfolio.wheels
    taken = int((wheels["taken"] > 0).sum())
    names = portfolio.benchmarks.columns[1:]
    columns = [portfolio.metrics(), *(portfolio.metrics(of=name) for name in names)]
    rows = [
        [text, *(_metric(name, each[name]) for each in columns)] for name, text in METRICS.items()
    ]
    skipped = [f"{count:,}: {reason}" for reason, count in portfolio.skipped.rows()]
    short = int((daily["shortfall"] > 0.0).sum())
    if short:
        skipped.append(f"{short:,} sessions with less cash than collateral")
    return markup.block(
        markup.heading(f"Portfolio from {daily['session'][0]} to {daily['session'][-1]}"),
        markup.paragraph(
            f"{portfolio.account.cash:,.2f} dollars became {daily['equity'][-1]:,.2f}; "
            f"{taken:,} of {wheels.height:,} wheels taken."
        ),
        markup.table(["", "account", *names], rows, "l" + "r" * len(columns)),
        _titled("Wheels skipped, by reason", skipped),
        warnings_html(portfolio.warnings),
    )


def _titled(title: str, items: list[str]) -> str:
    return markup.heading(title) + markup.listing(items) if items else ""


def warnings_text(warnings: "Iterable[RunWarning]") -> list[str]:
    """The first warnings of each kind as a terminal shows them, in lines; none without warnings."""
    lines = [
        textwrap.fill(
            text, WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False
        )
        for text in brief(warnings)
    ]
    return ["Warnings: check whether these are intended", *lines] if lines else []


def warnings_html(warnings: "Iterable[RunWarning]") -> str:
    """The first warnings as a list, and how many more there are; empty without warnings."""
    texts = [warning.text for warning in warnings]
    return markup.heading("Warnings") + markup.listing(texts, WARNINGS) if texts else ""


def _values(values: Any, most: int = 8) -> str:
    """Some values on one line, None as none, the middle ones left out of many."""
    every = [_short(value) for value in values]
    if len(every) > most:
        every = [*every[: most - 2], f"... {len(every):,} in all ...", every[-1]]
    return ", ".join(every)


def _short(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _metric(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if name == "sharpe" else f"{100 * value:,.2f}%"
