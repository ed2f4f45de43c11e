"""The page of a result: its figures, what they rest on, months, wheels and their stories."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from wheelvec.report.months import counted_wheels, pnl_by_month, yearly
from wheelvec.report.pages import caveats
from wheelvec.report.pages.elements import (
    Cell,
    Chart,
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
from wheelvec.report.pages.stories import BRIEF, brief, place_of, story
from wheelvec.report.plots.accounts import equity
from wheelvec.report.plots.calendar import NAMES
from wheelvec.report.plots.theme import span
from wheelvec.report.plots.wheels import FIELDS, by, by_field, ends, roc_distribution
from wheelvec.run.results.result import Result, extreme_wheels

POINTS = 400  # of a line on a page
EXTREMES = 10  # best and worst wheels with a story
STORIES = 44  # at most, with the worst wheels of losing months
LISTED = 800  # wheels in the table; of more, the worst and the best of each month
WORST_OF_MONTH, BEST_OF_MONTH = 6, 2


def result_page(result: Result) -> Page:
    """The page of a result.

    Raises:
        LakeError: if an earlier version saved the result, and it lacks what a page shows.
    """
    _ = result.events  # refuses a result of an earlier version, saying what it lacks
    figures, wheels = result.summary(), counted_wheels(result)
    chosen = chosen_stories(wheels)
    order = {wheel_id: i for i, wheel_id in enumerate(chosen, 1)}
    sections = [
        Section("pnl", "P&L over time", _over_time(result, wheels, order)),
        Section("wheels-section", "Wheels", [*wheel_tables(wheels, order)]),
        Section("distribution", "Distribution and ends", _distribution(result)),
        Section("by", "By property of the entry", by_fields(result)),
        Section("why-section", "Why days did not trade", [caveats.why_not(result)]),
        Section("configuration", "Configuration", [configuration(result)]),
        Section("stories", "Stories of single wheels", stories(result, order)),
    ]
    return Page(
        f"Wheels on {symbols_of(result)}",
        sentence(result),
        top_figures(result, figures),
        caveats.of_result(result),
        [each for each in sections if each.elements],
        footer(result),
    )


def symbols_of(result: Result, most: int = 4) -> str:
    """The underlyings of a result in a few words."""
    names = result.diagnostics["underlying"].unique(maintain_order=True).to_list()
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more or "no underlying"


def sentence(result: Result) -> str:
    """The configuration and data of a run, in one sentence."""
    put, call = result.config.put, result.config.call
    schedule = result.config.schedule
    days = result.diagnostics["session"]
    target = f"bought back at {100 * put.exit_pct:g}% of the premium" if put.exit_pct else "held"
    stop = (
        "" if put.stop_loss_multiplier is None else f" or at {put.stop_loss_multiplier:g} times it"
    )
    return (
        f"Puts of {put.dte_min} to {put.dte_max} days and delta {put.delta_min:g} to "
        f"{put.delta_max:g} on {symbols_of(result)}, sold at {schedule.entry_time} on "
        f"{days.n_unique():,} sessions from {shown(days.min())} to {shown(days.max())}, {target}"
        f"{stop}; if assigned, calls of {call.dte_min} to {call.dte_max} days."
    )


def top_figures(result: Result, figures: Mapping[str, Any]) -> list[Figure]:
    """The figures that matter, with what must be known of each."""
    counted, launched = figures["total_wheels"], result.wheels.height
    return [
        Figure("Wheels", shown(counted), f"in the summary, of {launched:,} launched"),
        Figure("Total P&L", amount(figures["total_pnl"], 0), "dollars a contract, all wheels"),
        Figure("At worst", amount(figures["total_pnl_worst"], 0), "if all left out were lost"),
        Figure("Mean ROC", percent(figures["avg_wheel_roc"]), "of a wheel, on its strike"),
        Figure("Median ROC", percent(figures["median_wheel_roc"]), "of a wheel"),
        Figure("Win rate", percent(figures["win_rate"], 1), "of the wheels in the summary"),
        Figure("Worst wheel", amount(figures["max_drawdown_proxy"], 0), "dollars a contract"),
        Figure("Days held", amount(figures["avg_days_held"], 1), "mean, summed over legs"),
    ]


def footer(result: Result) -> str:
    """The configuration, data and versions behind a result."""
    made = ", ".join(f"{name} {number}" for name, number in result.versions.items())
    return (
        f"Configuration {result.config.id}, rules {result.config.rules}; data "
        f"{result.fingerprint}; made with {made}. Dates are sessions of the exchange."
    )


def _over_time(result: Result, wheels: pl.DataFrame, order: Mapping[str, int]) -> list[Element]:
    if not wheels.height:
        return []
    last = wheels["pnl_marked"].sum()
    words = (
        f"Two lines of cumulative P&L, by entry and by exit date, {span(wheels['entry_date'])}; "
        f"both end at {amount(last, 0)} dollars per contract"
    )
    return [
        (
            "A wheel counts once, with its whole P&L: on the day its put was sold in one line, on "
            "the day it ended in the other. Neither is an account's equity."
        ),
        chart("pnl-chart", equity(result, points=POINTS), words),
        month_table(pnl_by_month(result)),
    ]


def month_table(months: pl.DataFrame) -> Table:
    """Months by year, each leading to the wheels that ended in it."""
    by_month = dict(months.iter_rows())
    widest = max((abs(value) for value in by_month.values()), default=1.0) or 1.0
    rows: list[list[Cell]] = []
    for year, total in yearly(months, compounded=False).sort("year", descending=True).iter_rows():
        row: list[Cell] = [str(year)]
        for number in range(1, 13):
            value = next(
                (v for m, v in by_month.items() if (m.year, m.month) == (year, number)), None
            )
            key = f"{year}-{number:02d}"
            row.append(
                ""
                if value is None
                else Link(amount(value, 0), f"m{key}", "exited", "wheels", key, value / widest)
            )
        rows.append([*row, amount(total, 0)])
    note = "dollars per contract, by month of exit; a month leads to its wheels"
    return Table("months", "P&L by month", ["", *NAMES], rows, note=note, plain=True)


def chosen_stories(wheels: pl.DataFrame) -> list[str]:
    """The wheels with a story: the worst, the best, and the worst of each losing month."""
    known = wheels.filter(pl.col("pnl_marked").is_not_null()).sort("pnl_marked", "wheel_id")
    worst, best = (
        extreme_wheels(wheels, EXTREMES, best=best)["wheel_id"].to_list() for best in (False, True)
    )
    dated = known.with_columns(month=pl.col("exit_date").dt.truncate("1mo"))
    losing = dated.filter(pl.col("pnl_marked").sum().over("month") < 0.0)
    totals = losing.group_by("month").agg(total=pl.col("pnl_marked").sum()).sort("total", "month")
    first = losing.group_by("month", maintain_order=True).head(3)
    ranked = first.join(totals, on="month").with_columns(
        place=pl.col("pnl_marked").rank("ordinal").over("month")
    )
    others = ranked.sort("place", "total")["wheel_id"].to_list()
    return list(dict.fromkeys([*worst, *best, *others]))[:STORIES]


def wheel_tables(wheels: pl.DataFrame, order: Mapping[str, int]) -> list[Element]:
    """The ten worst and best wheels, and all of them, or the extremes of each month."""
    if not wheels.height:
        return []
    tables: list[Element] = []
    for name in ("worst", "best"):
        rows = extreme_wheels(wheels, EXTREMES, best=name == "best")
        if rows.height:
            title = f"The {rows.height} {name} wheels"
            tables.append(Table(name, title, BRIEF, _rows(rows, order), plain=True))
    listed, note = _listed(wheels)
    months = listed["exit_date"].dt.strftime("%Y-%m").to_list()
    ids = {
        i: f"m{month}"
        for i, month in enumerate(months)
        if month is not None and month not in months[:i]
    }
    title = "Wheels by exit date"
    tables.append(Table("wheels", title, BRIEF, _rows(listed, order), ids=ids, note=note))
    return tables


def _listed(wheels: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The wheels of the large table by exit date, and which they are."""
    by_exit = wheels.sort("exit_date", "pnl_marked", "wheel_id", nulls_last=True)
    note = "wheels with a link have a story below"
    if wheels.height <= LISTED:
        return by_exit, f"all {wheels.height:,} in the summary; {note}"
    place = pl.col("pnl_marked").rank("ordinal").over(pl.col("exit_date").dt.truncate("1mo"))
    back = pl.len().over(pl.col("exit_date").dt.truncate("1mo")) - place
    months = wheels["exit_date"].dt.truncate("1mo").n_unique()
    worst = max(WORST_OF_MONTH, LISTED // (2 * months))
    best = max(BEST_OF_MONTH, worst // 3)
    kept = by_exit.filter((place <= worst) | (back < best))
    return kept, (
        f"{kept.height:,} of the {wheels.height:,} in the summary: the {worst} worst and the "
        f"{best} best of each month of exit (wheelvec show FOLDER --table wheels has all); {note}"
    )


def _rows(wheels: pl.DataFrame, order: Mapping[str, int]) -> list[list[Cell]]:
    return [
        [
            Link(wheel["wheel_id"], place_of(wheel["wheel_id"], order))
            if wheel["wheel_id"] in order
            else wheel["wheel_id"],
            *brief(wheel),
        ]
        for wheel in wheels.iter_rows(named=True)
    ]


def stories(result: Result, order: Mapping[str, int]) -> list[Element]:
    """The stories of the chosen wheels."""
    if not order:
        return []
    note = (
        "Above: closes of the underlying and the strikes. Below: the price of each leg (close of "
        "its bar, else the mid), with bars from low to high; a filled dot is a price that was "
        "tested for stop and target, rings are sale and exit."
    )
    few = _only(result, list(order))
    return [note, *(story(few, wheel_id, place_of(wheel_id, order)) for wheel_id in order)]


def _only(result: Result, wheel_ids: list[str]) -> Result:
    """The result with some of its wheels only, whose stories are then found in short frames."""
    records = result.records.filter(pl.col("wheel_id").is_in(wheel_ids))
    symbols = pl.concat([records["symbol"], records["exit_symbol"]]).drop_nulls().unique()
    paths = result.paths.filter(pl.col("symbol").is_in(symbols.implode()))
    frames = {"records": records, "paths": paths, "underlying": result.underlying}
    frames["events"] = result.events
    return Result(result.config, result.fingerprint, result.versions, frames)


def _distribution(result: Result) -> list[Element]:
    wheels = counted_wheels(result)
    if not wheels.height:
        return []
    roc = wheels["roc"]
    words = (
        f"Histogram of the ROC of {wheels.height:,} wheels: median {percent(roc.median())}, "
        f"5th percentile {percent(roc.quantile(0.05, 'linear'))}"
    )
    elements: list[Element] = [chart("roc-chart", roc_distribution(result), words)]
    for of in ("put", "wheel", "call"):
        column = {"put": "csp_exit_reason", "wheel": "end_reason", "call": "cc_exit_reason"}[of]
        counts = result.wheels[column].drop_nulls().value_counts(sort=True)
        if counts.height:
            words = f"How each {of} ended, by month of entry: " + ", ".join(
                f"{reason} {count:,}" for reason, count in counts.iter_rows()
            )
            elements.append(chart(f"ends-{of}", ends(result, of), words))
    return elements


def by_fields(result: Result) -> list[Element]:
    """The charts of P&L and ROC by property, and the figures behind them."""
    charts: list[Chart] = []
    tables: list[pl.DataFrame] = []
    for field, title in FIELDS.items():
        grouped = by_field(result, field)
        if grouped.height < 2:
            continue
        words = f"P&L and mean ROC by {title.lower()}: " + "; ".join(
            f"{group}: {amount(pnl, 0)}"
            for group, pnl in grouped.select("group", "pnl").iter_rows()
        )
        charts.append(chart(f"by-{field}", by(result, field), words))
        tables.append(
            grouped.select(
                pl.lit(field).alias("property"), "group", "wheels", "pnl", "win_rate", "roc", "se"
            )
        )
    if not tables:
        return []
    note = "pnl in dollars per contract; win_rate, roc and its standard error se in percent"
    return [*charts, table_of("by-table", "The figures", pl.concat(tables), note)]


def configuration(result: Result) -> Table:
    """Every field of the configuration and its value; those that are not the default first."""
    from wheelvec.model.config import Config

    defaults = flat(Config().to_dict())
    mine = flat(result.config.to_dict())
    ordered = sorted(mine, key=lambda name: mine[name] == defaults.get(name))
    rows = [[name, _value(mine[name]), _value(defaults.get(name))] for name in ordered]
    return Table(
        "configuration-table",
        "Fields, those that were changed first",
        ["field", "value", "default"],
        rows,
    )


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """A nested configuration by dotted names."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": each for inner, each in flat(value).items()}
        else:
            found[name] = value
    return found


def _value(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
