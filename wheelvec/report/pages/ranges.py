"""The sensitivity of the best row of a sweep, as far as the sweep alone shows it."""

from collections.abc import Iterator

import polars as pl

from wheelvec.inference.lines import data_lines
from wheelvec.inference.tried import figures_of, launches
from wheelvec.report.pages.elements import Element, Table, amount
from wheelvec.report.pages.rendering import chart
from wheelvec.report.pages.verdicts import lines_table
from wheelvec.report.plots.sweeps import bands
from wheelvec.run.results.sweep_result import Sweep

# the kind of a range, the field that is varied, and the ends of the range in percent
KINDS = (
    ("fills", "fills.fill_mode", (0.0, 100.0)),
    ("seeds", "fills.execution_seed", (5.0, 95.0)),
    ("start", "schedule.offset", (0.0, 100.0)),
    ("choice", "account.seed", (5.0, 95.0)),
)
NOT_THERE = "market"  # the kind that no sweep has
OF_ACCOUNT = "account_cagr"


def rests_on(sweep: Sweep, row: int, figure: str) -> Iterator[Element]:
    """The lines of a verdict and the ranges of a figure that need no market, and what needs one.

    Args:
        sweep: the sweep.
        row: the first row of its best configuration.
        figure: of its frame.
    """
    figures = figures_of(sweep, row)
    yield (
        "Of the questions of a verdict the figures of a sweep answer those of the data. Costs, "
        "fills, time, selection and the stock need its market, and minutes on a large one: "
        "wv.page(wv.verdict(sweep, account), 'verdict.html'), or wheelvec verdict FOLDER --lake "
        "LAKE --account wheel.toml --page verdict.html."
    )
    yield lines_table("verdict-lines", data_lines(figures, launches(figures)))
    found = ranges(sweep, row, figure)
    if found.height:
        yield (
            f"Row {row} as the sweep varies it, all its other fields unchanged. The widest range "
            "says what its figure rests on; each varies one thing alone, and none of them is "
            "corrected for the choice of the row."
        )
        rows = [
            (kind, name, *(amount(value, 4) for value in values), str(n))
            for kind, name, *values, n in found.rows()
        ]
        yield Table("ranges", f"Ranges around row {row}", found.columns, rows, plain=True)
        own = found.filter(figure=figure)
        if own.height:
            words = f"Ranges of {figure} of row {row}: " + "; ".join(
                f"{kind}: {amount(low)} to {amount(high)}"
                for kind, low, high in own.select("kind", "low", "high").rows()
            )
            yield chart("ranges-chart", bands(own), words)
    missing = [name for name, *_ in KINDS if name not in found["kind"].to_list()]
    yield (
        f"Not varied by this sweep: {', '.join([*missing, NOT_THERE])}. "
        f"wv.bands(market, sweep.row_config({row})) computes them, and wv.plots.bands draws them; "
        "any of them may be the widest."
    )


def ranges(sweep: Sweep, row: int, figure: str) -> pl.DataFrame:
    """The ranges of `bands` that the rows of a sweep hold.

    Args:
        sweep: the sweep.
        row: of its frame; rows that differ from it in the varied field alone are compared.
        figure: of its frame; for the choice of wheels that of the account is used.

    Returns:
        kind, figure, low, estimate, high and n, the number of values of the field.
    """
    frame = sweep.frame
    rows = []
    for kind, field, (least, most) in KINDS:
        used = OF_ACCOUNT if field.startswith("account.") else figure
        if field not in sweep.names or used not in sweep.figures:
            continue
        others = [name for name in sweep.names if name != field]
        same = [pl.col(name).eq_missing(pl.lit(frame[name][row])) for name in others]
        known = frame.filter(same).drop_nulls(used)[used].cast(pl.Float64)
        if known.len() < 2:
            continue
        low, high = (known.quantile(q / 100.0, "linear") for q in (least, most))
        rows.append((kind, used, low, frame[used][row], high, known.len()))
    names = ("kind", "figure", "low", "estimate", "high", "n")
    types = (pl.String, pl.String, pl.Float64, pl.Float64, pl.Float64, pl.Int64)
    return pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
