"""The page that compares several results, or several portfolios."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from wheelvec.model.errors import InputError
from wheelvec.report.account import portfolio_figures
from wheelvec.report.months import pnl_by_month, returns_by_month
from wheelvec.report.pages import caveats
from wheelvec.report.pages.elements import Element, Figure, Page, Section, Table, amount, shown
from wheelvec.report.pages.portfolio import FIGURES, metric_text
from wheelvec.report.pages.rendering import chart
from wheelvec.report.pages.results import flat, symbols_of
from wheelvec.report.plots.accounts import equity, named
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result

POINTS = 300  # of a line on a page
MOST = 8  # things that one page compares: as many as there are colours
CAVEATS = 4  # of the figures of each; its warnings are all shown


def comparison_page(several: Any) -> Page:
    """The page that compares results, or portfolios.

    Raises:
        InputError: for a mixture, fewer than two or more than eight.
    """
    each = named(several)
    kinds = {type(one) for one in each.values()}
    if len(kinds) != 1 or not kinds <= {Result, Portfolio}:
        raise InputError("page: expected results, or portfolios, not both and nothing else")
    if not 2 <= len(each) <= MOST:
        raise InputError(f"page: {len(each)} of them: expected 2 to {MOST} to compare")
    results = kinds == {Result}
    if results:
        for one in each.values():
            _ = one.events  # refuses a result of an earlier version, saying what it lacks
    what = "results" if results else "accounts"
    sections = [
        Section("curves", "Curves together", [_curves(each, what)]),
        Section("figures-section", "Figures side by side", [_figures(each, results)]),
        Section("correlation", "Correlation of months", _correlation(each, results)),
        Section("differences", "What differs in the configurations", [_differences(each, results)]),
    ]
    return Page(
        f"{len(each)} {what} compared",
        "; ".join(f"{name}: {_described(one)}" for name, one in each.items()) + ".",
        [_top(name, one) for name, one in each.items()],
        _caveats(each, results),
        [section for section in sections if section.elements],
        "Dates are sessions of the exchange.",
    )


def _described(one: Any) -> str:
    if isinstance(one, Result):
        days = one.diagnostics["session"]
        return (
            f"{symbols_of(one)}, {shown(days.min())} to {shown(days.max())}, "
            f"configuration {one.config.id[:8]}"
        )
    days = one.daily["session"]
    return (
        f"{amount(one.account.cash, 0)} dollars, {days[0]} to {days[-1]}, order {one.account.order}"
    )


def _top(name: str, one: Any) -> Figure:
    if isinstance(one, Result):
        figures = one.summary()
        return Figure(
            name,
            amount(figures["total_pnl"], 0),
            f"P&L, dollars a contract; {shown(figures['total_wheels'])} wheels",
        )
    return Figure(name, metric_text("total_return", one.metrics()["total_return"]), "total return")


def _caveats(each: Mapping[str, Any], results: bool) -> list[str]:
    found = [
        (
            "A difference between two of them can be luck: of the fills, of the wheels that an "
            "account took, of these months. Read it beside the spread over seeds."
        ),
    ]
    if results:
        prints = {one.fingerprint for one in each.values()}
        if len(prints) > 1:
            found.append(f"They ran over {len(prints)} different sets of data.")
        for name, one in each.items():
            lines = caveats.of_figures(one)[1:]
            found += [f"{name}: {line}" for line in lines[:CAVEATS]]
    else:
        for name, one in each.items():
            stale = one.daily.filter(pl.col("mark_age") > 0).height
            counted = int((one.wheels["taken"] > 0).sum())
            found.append(
                f"{name}: took {counted:,} of {one.wheels.height:,} wheels; a stale mark on "
                f"{stale:,} of {one.daily.height:,} sessions."
            )
    return [*found, *_warned(each)]


def _warned(each: Mapping[str, Any]) -> list[str]:
    """The warnings of all, each once: over the same data they are mostly alike."""
    names: dict[str, list[str]] = {}
    for name, one in each.items():
        for text in dict.fromkeys(warning.text for warning in one.warnings):
            names.setdefault(text, []).append(name)
    return [
        f"{'all' if len(of) == len(each) else ', '.join(of)}: {text}" for text, of in names.items()
    ]


def _curves(each: Mapping[str, Any], what: str) -> Element:
    words = f"Lines of the {what} by session: " + ", ".join(each)
    return chart("curves-chart", equity(each, points=POINTS), words)


def _figures(each: Mapping[str, Any], results: bool) -> Table:
    if results:
        columns = {name: one.summary() for name, one in each.items()}
        names = list(next(iter(columns.values())))
        rows = [[name, *(shown(found[name]) for found in columns.values())] for name in names]
    else:
        metrics = {name: portfolio_figures(one)["metrics"] for name, one in each.items()}
        others = [n for n in next(iter(metrics.values())) if n not in FIGURES]
        rows = [
            [name, *(metric_text(name, found.get(name)) for found in metrics.values())]
            for name in [*FIGURES, *others]
        ]
    return Table(
        "figures",
        "",
        ["figure", *each],
        rows,
        note="docs/reference.md says what each means, and its unit",
    )


def _correlation(each: Mapping[str, Any], results: bool) -> list[Element]:
    """The correlation of monthly returns, or of monthly P&L, over the months of all."""
    joined: pl.DataFrame | None = None
    for i, one in enumerate(each.values()):
        months = pnl_by_month(one) if results else returns_by_month(one)
        column = months.rename({"value": str(i)})
        joined = column if joined is None else joined.join(column, on="month", how="inner")
    if joined is None or joined.height < 3:
        return ["Fewer than three months in common: no correlation is given."]
    rows = [
        [name, *(amount(joined.select(pl.corr(str(i), str(j))).item()) for j in range(len(each)))]
        for i, name in enumerate(each)
    ]
    what = "P&L by month of exit" if results else "monthly returns"
    note = f"of {what}, over the {joined.height} months that all have"
    return [Table("correlations", "", ["", *each], rows, note=note, plain=True)]


def _differences(each: Mapping[str, Any], results: bool) -> Table:
    fields = {
        name: flat((one.config if results else one.account).to_dict()) for name, one in each.items()
    }
    names = list(dict.fromkeys(field for found in fields.values() for field in found))
    rows = [
        [field, *(str(found.get(field)) for found in fields.values())]
        for field in names
        if len({str(found.get(field)) for found in fields.values()}) > 1
    ]
    note = "" if rows else "nothing: the same fields throughout"
    return Table("differences-table", "", ["field", *each], rows, note=note)
