"""The page of a portfolio: equity and benchmarks, months, sources, use of capital, metrics."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from wheelvec.model.columns import of_metric
from wheelvec.report.account import PERCENT, portfolio_figures
from wheelvec.report.months import returns_by_month, yearly
from wheelvec.report.pages.elements import (
    Cell,
    Element,
    Figure,
    Link,
    Page,
    Section,
    Table,
    amount,
    percent,
    shown,
    table_of,
)
from wheelvec.report.pages.rendering import chart
from wheelvec.report.plots.accounts import LABELS, SOURCES, attribution, capital, drawdown, equity
from wheelvec.report.plots.calendar import NAMES
from wheelvec.run.results.portfolio import Portfolio

POINTS = 350  # of a line on a page
LISTED = 800  # wheels in the table: of more, those with the least and the greatest P&L
FIGURES = (
    *("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown"),
    *("max_drawdown_days", "calmar", "ulcer_index", "skew", "kurtosis", "var_95", "cvar_95"),
    *("best_month", "worst_month", "months_up"),
)
REASONS = {
    "no_cash": "the free cash was less than its strike and fee",
    "max_wheels": "max_wheels were open",
    "max_wheels_per_underlying": "max_wheels_per_underlying of its underlying were open",
    "max_share_per_underlying": "its underlying would have passed max_share_per_underlying",
    "too_small": "the fraction of the equity pays no contract of it",
}


def portfolio_page(portfolio: Portfolio) -> Page:
    """The page of a portfolio."""
    figures = portfolio_figures(portfolio)
    sections = [
        Section("equity", "Equity and drawdown", _over_time(portfolio)),
        Section("months-section", "Months", [month_table(portfolio)]),
        Section("sources", "What earned it", _sources(portfolio)),
        Section("metrics", "Metrics", [metric_table(figures), wheel_metrics(figures)]),
        Section("skipped-section", "Wheels that were skipped", _skipped(portfolio)),
        Section("wheels-section", "Wheels that were taken", [taken(portfolio)]),
    ]
    return Page(
        "What one account would have had",
        _sentence(portfolio, figures),
        _top(figures),
        _caveats(portfolio, figures),
        sections,
        _footer(portfolio),
    )


def _sentence(portfolio: Portfolio, figures: Mapping[str, Any]) -> str:
    account = portfolio.account
    names = portfolio.underlying["underlying"].unique(maintain_order=True).sort().to_list()
    size = (
        f"{account.contracts} of each wheel"
        if account.fraction is None
        else f"{100 * account.fraction:g}% of the equity in each wheel"
    )
    shown_names = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return (
        f"{amount(account.cash, 0)} dollars from {figures['first']} to {figures['last']} in wheels "
        f"on {shown_names}: {size}, in the order {account.order}, cash at "
        f"{100 * _rate(account.rate):g}% a year."
    )


def _rate(rate: Any) -> float:
    """The rate of an account, the last one if it changes."""
    return float(rate) if isinstance(rate, int | float) else float(rate[-1][1])


def _top(figures: Mapping[str, Any]) -> list[Figure]:
    own = figures["metrics"]
    held = figures["benchmarks"].get("buy_and_hold", {})
    matched = figures["benchmarks"].get("delta_matched", {})
    return [
        Figure("Equity at the end", amount(figures["equity"], 0), "dollars"),
        Figure("Total return", metric_text("total_return", own["total_return"]), "of the cash"),
        Figure(
            "Buy and hold", metric_text("total_return", held.get("total_return")), "total return"
        ),
        Figure(
            "Delta-matched",
            metric_text("total_return", matched.get("total_return")),
            "the same deltas in stock",
        ),
        Figure(
            "Max drawdown",
            metric_text("max_drawdown", own["max_drawdown"]),
            f"{shown(own['max_drawdown_days'])} days",
        ),
        Figure("Sharpe", metric_text("sharpe", own["sharpe"]), "a year, over the cash rate"),
        Figure("Wheels taken", shown(own["taken"]), f"{shown(own['skipped'])} skipped"),
        Figure(
            "Exposure", metric_text("mean_exposure", own["mean_exposure"]), "mean, of the equity"
        ),
    ]


def metric_text(name: str, value: Any) -> str:
    """A metric of an account as the text of a cell; fractions are shown in percent."""
    if value is None:
        return "-"
    if name in PERCENT:
        return percent(100.0 * value)
    return shown(value) if isinstance(value, int) else amount(value, 3)


def _caveats(portfolio: Portfolio, figures: Mapping[str, Any]) -> list[str]:
    daily, wheels = portfolio.daily, portfolio.wheels
    held = wheels.filter(pl.col("taken") > 0)
    unresolved = held.filter(pl.col("account_pnl").is_null()).height
    stale = daily.filter(pl.col("mark_age") > 0)
    days = daily.height
    found = [
        (
            f"The account took {held.height:,} of {wheels.height:,} wheels. Which ones is partly "
            f"luck: order={portfolio.account.order!r} is one of many. Run order='random' over "
            "seeds and read the band."
        ),
    ]
    if days < 252:
        found.append(f"{days:,} sessions are less than a year: figures a year are extrapolated.")
    if unresolved:
        found.append(
            f"{unresolved:,} taken wheels never resolve for lack of data: they keep their "
            "collateral or shares, and their last mark, to the end."
        )
    if stale.height:
        found.append(
            f"On {stale.height:,} of {days:,} sessions a mark of an open leg was older than the "
            f"session, the oldest {shown(daily['mark_age'].max())} sessions: equity and daily risk "
            "figures rest on stale marks there."
        )
    if figures["sessions_with_shortfall"]:
        found.append(
            f"On {figures['sessions_with_shortfall']:,} sessions the cash was less than the "
            "collateral of open puts: a broker would have asked for cash."
        )
    for column, text in (
        ("censored", "settle after the data end"),
        ("carried", "were carried through splits, renames or special dividends"),
    ):
        if count := held.filter(column).height:
            found.append(f"{count:,} of the taken wheels {text}.")
    if suspected := portfolio.events.filter(pl.col("kind") == "suspected").height:
        found.append(f"{suspected:,} splits are suspected in the data and explained by no row.")
    ended = _ended(portfolio)
    if ended:
        found.append(f"The closes of {ended} end before the others': delisted, renamed or missing.")
    found.append(
        "Options are marked at the mid and at the minute of their quotes, shares at the close: "
        "closing would cost half a spread more, and daily volatility comes out somewhat too high. "
        "Which vendor the quotes are of a portfolio does not say."
    )
    return [*found, *(warning.text for warning in portfolio.warnings)]


def _ended(portfolio: Portfolio) -> str:
    last = (
        portfolio.underlying.drop_nulls("close").group_by("underlying").agg(pl.col("session").max())
    )
    early = last.filter(pl.col("session") < pl.col("session").max())["underlying"].sort().to_list()
    return ", ".join(early[:6]) + (f" and {len(early) - 6} more" if len(early) > 6 else "")


def _over_time(portfolio: Portfolio) -> list[Element]:
    last = portfolio.benchmarks.row(-1, named=True)
    ends = {"account": portfolio.daily["equity"][-1]}
    ends |= {LABELS.get(n, n): value for n, value in last.items() if n != "session"}
    words = "Lines of equity by session; at the end " + ", ".join(
        f"{name} {amount(value, 0)}" for name, value in ends.items()
    )
    deepest = percent(100.0 * portfolio.daily["drawdown"].to_numpy().min())
    return [
        chart("equity-chart", equity(portfolio, points=POINTS), words),
        chart(
            "drawdown-chart",
            drawdown(portfolio, points=POINTS),
            f"Lines of drawdown by session; of the account {deepest} at the deepest",
        ),
    ]


def month_table(portfolio: Portfolio) -> Table:
    """The returns of months by year in percent, of the account and each benchmark but cash."""
    names = [name for name in portfolio.benchmarks.columns[1:] if name != "cash"]
    months = {name: returns_by_month(portfolio, name) for name in (None, *names)}
    values = {
        (name, month.year, month.month): value
        for name, found in months.items()
        for month, value in found.iter_rows()
    }
    totals = {
        (name, year): total
        for name, found in months.items()
        for year, total in yearly(found, compounded=True).iter_rows()
    }
    widest = max((abs(value) for value in values.values()), default=1.0) or 1.0
    rows: list[list[Cell]] = []
    for year in sorted({year for _, year in totals}, reverse=True):
        for name in months:
            cells: list[Cell] = [
                Link(amount(100.0 * value, 1), share=value / widest)
                if (value := values.get((name, year, number))) is not None
                else ""
                for number in range(1, 13)
            ]
            label = LABELS.get(name or "equity", name or "")
            rows.append([str(year), label, *cells, amount(100.0 * totals[name, year], 1)])
    note = "percent; the first and the last month as long as the account has them"
    return Table("months", "Returns by month", ["", "of", *NAMES], rows, note=note, plain=True)


def _sources(portfolio: Portfolio) -> list[Element]:
    sums = portfolio.daily.select(pl.col(SOURCES).sum()).row(0, named=True)
    words = "Lines of what each source has earned: " + ", ".join(
        f"{name} {amount(value, 0)}" for name, value in sums.items()
    )
    rows = [[name, amount(value)] for name, value in sums.items()]
    total = sum(sums.values())
    table = Table(
        "attribution",
        "Change of equity by source",
        ["source", "dollars"],
        [*rows, ["together", amount(total)]],
        plain=True,
    )
    mean = percent(100.0 * portfolio.daily["exposure"].to_numpy().mean())
    return [
        chart("attribution-chart", attribution(portfolio, points=POINTS), words),
        chart(
            "capital-chart",
            capital(portfolio, points=POINTS),
            f"Areas of collateral, shares and free cash; mean exposure {mean} of the equity",
        ),
        table,
    ]


def metric_table(figures: Mapping[str, Any]) -> Table:
    """The metrics of the account beside those of its benchmarks."""
    columns = {"account": figures["metrics"], **figures["benchmarks"]}
    rows = [
        [
            name,
            *(metric_text(name, each.get(name)) for each in columns.values()),
            of_metric(name).meaning,
        ]
        for name in FIGURES
    ]
    heads = ["figure", *(LABELS.get(name, name) for name in columns), "meaning"]
    return Table("metrics-table", "The account and its benchmarks", heads, rows)


def wheel_metrics(figures: Mapping[str, Any]) -> Table:
    """All other metrics of the account."""
    rows = [
        [name, metric_text(name, value), of_metric(name).unit, of_metric(name).meaning]
        for name, value in figures["metrics"].items()
        if name not in FIGURES
    ]
    return Table(
        "wheel-metrics",
        "Use of capital, wheels and benchmarks",
        ["figure", "value", "unit", "meaning"],
        rows,
    )


def _skipped(portfolio: Portfolio) -> list[Element]:
    skipped = portfolio.skipped
    if not skipped.height:
        return ["None: the account took every wheel."]
    rows = [
        [reason, f"{count:,}", REASONS.get(reason, "")] for reason, count in skipped.iter_rows()
    ]
    return [Table("skipped", "", ["reason", "wheels", "meaning"], rows, plain=True)]


def taken(portfolio: Portfolio) -> Table:
    """The wheels that were taken, by P&L in the account."""
    wheels = portfolio.wheels.filter(pl.col("taken") > 0).sort(
        "account_pnl", "wheel_id", nulls_last=True
    )
    note = f"all {wheels.height:,}, the worst first; P&L in the account, dollars"
    if wheels.height > LISTED:
        half = LISTED // 2
        note = f"the {half} worst and best of {wheels.height:,}; P&L in the account, dollars"
        wheels = pl.concat([wheels.head(half), wheels.tail(half)])
    columns = {
        "wheel": "wheel_id",
        "P&L": "account_pnl",
        "taken": "taken",
        "entered": "entry_date",
        "exited": "exit_date",
        "put ended": "csp_exit_reason",
        "wheel ended": "end_reason",
        "strike": "strike",
        "underlying": "underlying",
    }
    return table_of(
        "wheels", "", wheels.select(**{name: pl.col(c) for name, c in columns.items()}), note
    )


def _footer(portfolio: Portfolio) -> str:
    made = "; ".join(f"configuration {ran[0]}, data {ran[1]}" for ran in portfolio.results[:4])
    account = ", ".join(f"{name} {value}" for name, value in portfolio.account.to_dict().items())
    return f"Account: {account}. Results: {made}. Dates are sessions of the exchange."
