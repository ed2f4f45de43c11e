"""The page of a sweep: its best rows beside their neighbours, maps, and each field alone."""

import itertools
from collections.abc import Iterator

import polars as pl

from wheelvec.model.columns import of_sweep
from wheelvec.model.errors import counted
from wheelvec.report.pages.elements import (
    Element,
    Figure,
    Page,
    Section,
    Table,
    amount,
    shown,
    table_of,
)
from wheelvec.report.pages.ranges import rests_on
from wheelvec.report.pages.rendering import chart
from wheelvec.report.plots.sweeps import bands, heat, one_field, several
from wheelvec.run.results.sweep_result import SEEDS, Sweep
from wheelvec.run.results.warnings import of_failures

FIGURE = "avg_wheel_roc"
MAPS, FIELDS, TOP, LISTED = 4, 6, 10, 400
SHOWN = (
    *("total_wheels", "avg_wheel_roc", "median_wheel_roc", "win_rate", "total_pnl"),
    *("total_pnl_worst", "max_drawdown_proxy", "roc_p05"),
)


def sweep_page(sweep: Sweep) -> Page:
    """The page of a sweep."""
    sections = [
        Section("best", "The best rows and their neighbours", [*_best(sweep)]),
        Section("rests", "What the best row rests on", [*_rests(sweep)]),
        Section("maps", "Two fields together", [*_maps(sweep)]),
        Section("fields", "Each field alone", [*_fields(sweep)]),
        Section("rows-section", "Rows", [_listed(sweep)]),
        Section("seeds", "Fill seeds", [*_seeds(sweep)]),
    ]
    return Page(
        f"A sweep of {sweep.frame.height:,} configurations",
        _sentence(sweep),
        _top(sweep),
        _caveats(sweep),
        [each for each in sections if each.elements],
        f"Base configuration {sweep.config.id}, rules {sweep.config.rules}.",
    )


def _sentence(sweep: Sweep) -> str:
    counts = [f"{name} ({sweep.frame[name].n_unique()})" for name in sweep.names]
    schedule = sweep.config.schedule
    first = shown(schedule.start_date or "the first session of the data")
    days = f"from {first} to {shown(schedule.end_date or 'their last')}"
    of = f" of {', '.join(counts)}" if counts else ""
    return f"{counted(sweep.frame.height, 'configuration')}{of}, {days}."


def _top(sweep: Sweep) -> list[Figure]:
    roc = sweep.frame[FIGURE].drop_nulls()
    best = sweep.best(FIGURE, 1)
    gains = int((roc > 0).sum()) / max(roc.len(), 1)
    top = best[FIGURE][0] if best.height else None
    seeds = " (mean over seeds)" if "seeds" in best.columns else ""
    return [
        Figure("Configurations", shown(sweep.frame.height), f"{len(sweep.names)} fields"),
        Figure(
            "Best mean ROC",
            f"{amount(top)}%",
            f"row {best['row'][0]}{seeds}" if best.height else "",
        ),
        Figure("Median of all", f"{amount(roc.median())}%", "mean ROC of the middle row"),
        Figure("With a gain", f"{amount(100.0 * gains, 1)}%", "of the configurations"),
        Figure("Least", f"{amount(roc.min())}%", "mean ROC"),
    ]


def _caveats(sweep: Sweep) -> list[str]:
    frame = sweep.frame
    found = [
        (
            f"The best of {frame.height:,} is partly the luckiest: compare it with the median "
            "row and with its neighbours. Nothing on this page corrects for the choice; wv.verdict "
            "does."
        ),
        "Every wheel is evaluated as if it were alone: figures are per contract, and no account's.",
    ]
    for name, text in (
        ("censored_wheels", "censored: their puts settle after the data end"),
        ("no_data_wheels", "unresolved for lack of data"),
        ("marked_wheels", "at a mark instead of a sale"),
        ("suspected_wheels", "without a value because of a suspected split"),
    ):
        most = frame[name].max()
        if most:
            found.append(
                f"Up to {shown(most)} wheels of a row are {text} (in the middle row "
                f"{amount(frame[name].median(), 0)})."
            )
    gap = (frame["total_pnl"] - frame["total_pnl_worst"]).max()
    if gap:
        found.append(
            f"If all that a row leaves out had been lost, its total P&L would be up to "
            f"{amount(gap, 0)} dollars less (total_pnl_worst)."
        )
    if sweep.skipped.height:
        found.append(f"{sweep.skipped.height:,} rows of the grid were left out as invalid.")
    every = [*of_failures(sweep.failures), *sweep.warnings]
    return [*found, *(warning.text for warning in every)]


def _best(sweep: Sweep) -> Iterator[Element]:
    ranking = sweep.best(FIGURE, TOP)
    if not ranking.height:
        return
    figures = [name for name in SHOWN if name in ranking.columns]
    fields = [name for name in sweep.names if name in ranking.columns]
    shown_columns = ["row", FIGURE, *fields, *(name for name in figures if name != FIGURE)]
    frame = pl.DataFrame(ranking.to_dict(as_series=True)).select(shown_columns)
    yield table_of("top", f"The {frame.height} best by {FIGURE}", frame, _units(figures))
    row = ranking["row"][0]
    around = neighbours(sweep, row)
    if around.height > 1:
        note = "rows that differ from the best one in one field, by one step of it"
        kept = around.select(
            [
                "row",
                FIGURE,
                "differs",
                *sweep.names,
                *(n for n in SHOWN if n in around.columns and n != FIGURE),
            ]
        )
        yield table_of("neighbours", "The best one and its neighbours", kept, note)


def _rests(sweep: Sweep) -> Iterator[Element]:
    best = sweep.best(FIGURE, 1)
    if best.height:
        yield from rests_on(sweep, int(best["row"][0]), FIGURE)


def neighbours(sweep: Sweep, row: int) -> pl.DataFrame:
    """A row of a sweep, and those that differ from it in one field by one step.

    Args:
        sweep: the sweep.
        row: of its frame.

    Returns:
        The rows of the frame with `row` and `differs`, the field; the row itself first.
    """
    frame = sweep.frame.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    if not sweep.names:  # of a grid without fields, which has one row
        return frame.with_columns(differs=pl.lit("the best itself"))
    ranks = {name: frame[name].rank("dense").fill_null(0).cast(pl.Int64) for name in sweep.names}
    ranks = {
        name: pl.Series(name, rank.replace({0: rank.to_numpy().max(initial=0) + 1}))
        for name, rank in ranks.items()
    }
    away = pl.DataFrame(ranks).select((pl.col(n) - ranks[n][row]).abs() for n in sweep.names)
    near = (away.max_horizontal() <= 1) & ((away > 0).sum_horizontal() <= 1)
    names = [pl.when(pl.Series(away[n] > 0)).then(pl.lit(n)) for n in sweep.names]
    differs = pl.coalesce(*names, pl.lit("the best itself"))
    found = frame.with_columns(differs=differs).filter(near)
    return found.sort(pl.col("row") != row, "differs", "row")


def _units(figures: list[str]) -> str:
    units = [f"{name} in {of_sweep(name).unit}" for name in figures if of_sweep(name).unit]
    return "units: " + "; ".join(units) if units else ""


def _maps(sweep: Sweep) -> Iterator[Element]:
    fields = [name for name in several(sweep) if name not in SEEDS]
    for number, (x, y) in enumerate(itertools.islice(itertools.combinations(fields, 2), MAPS)):
        words = f"Map of {FIGURE} over {x} and {y}, mean of all rows of a cell"
        yield chart(f"map-{number}", heat(sweep, x, y, FIGURE), words)


def _fields(sweep: Sweep) -> Iterator[Element]:
    for number, field in enumerate(several(sweep)[:FIELDS]):
        middle = sweep.frame.group_by(field).agg(pl.col(FIGURE).median()).sort(field)
        words = f"{FIGURE} by {field}, median: " + "; ".join(
            f"{shown(value)}: {amount(median)}" for value, median in middle.head(12).iter_rows()
        )
        yield chart(f"field-{number}", one_field(sweep, field, FIGURE), words)


def _listed(sweep: Sweep) -> Table:
    frame = sweep.frame.with_row_index("row")
    figures = [name for name in SHOWN if name in frame.columns]
    others = [name for name in figures if name != FIGURE]
    kept = frame.select("row", FIGURE, *sweep.names, *others).sort(
        FIGURE, descending=True, nulls_last=True
    )
    note = f"all {frame.height:,}, by {FIGURE}; {_units(figures)}"
    if frame.height > LISTED:
        half = LISTED // 2
        kept = pl.concat([kept.head(half), kept.tail(half)])
        note = f"the {half} best and worst of {frame.height:,} by {FIGURE}; {_units(figures)}"
    return table_of("rows", "", kept, note)


def _seeds(sweep: Sweep) -> Iterator[Element]:
    """The spread over fill seeds of the best configurations, if the seed is swept."""
    swept = [name for name in SEEDS if name in sweep.names]
    if not swept or sweep.frame.select(swept).n_unique() < 2:
        return
    over = sweep.over_seeds().with_row_index("place").sort(FIGURE, descending=True, nulls_last=True)
    names = [name for name in sweep.names if name not in SEEDS]
    rows = over.head(TOP)
    kinds = [
        ", ".join(f"{name.partition('.')[2] or name} {shown(row[name])}" for name in names) or "all"
        for row in rows.iter_rows(named=True)
    ]
    frame = rows.select(
        kind=pl.Series(kinds), low=f"{FIGURE}_p05", high=f"{FIGURE}_p95", estimate=FIGURE
    )
    yield (
        "How much of the figure is due to random fills: 5% to 95% over the seeds, and their mean. "
        "Every seed trades the same prices, so this says nothing of another year."
    )
    yield table_of("seed-table", "The best configurations over their seeds", frame)
    words = "Ranges over fill seeds: " + "; ".join(
        f"{k}: {amount(low)} to {amount(high)}" for k, low, high, _ in frame.iter_rows()
    )
    short = frame.with_columns(kind=pl.Series([f"{i}." for i in range(1, frame.height + 1)]))
    yield chart("seed-chart", bands(short), words)
