"""Charts of what luck explains: the deflated Sharpe ratio by the number of trials."""

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from wheelvec.inference.lines import DECIDES, SURE
from wheelvec.inference.trials import Trials
from wheelvec.report.plots.theme import BLUE, INK, drawn, finished, ruled, unchecked

FURTHEST = 10.0  # times the greatest number of trials that the curve goes on
POINTS = 60


@unchecked
def deflated(trials: Trials) -> Any:
    """The deflated Sharpe ratio by number of trials, with the numbers that were counted.

    Args:
        trials: of a verdict.

    Returns:
        An Altair chart.
    """
    counted = trials.frame.drop_nulls("deflated_sharpe").with_columns(
        name=pl.format("{}, {}", pl.col("method").str.replace_all("_", " "), _rounded("trials"))
    )
    most = float(counted["trials"].max()) * FURTHEST  # type: ignore[arg-type]
    numbers = np.geomspace(1.0, most, POINTS)
    curve = pl.DataFrame({"trials": numbers, "dsr": [trials.deflated(n) for n in numbers]})
    x = alt.X(
        "trials:Q",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(title="Independent trials", format="~s", tickCount=4),
    )
    y = alt.Y(
        "dsr:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(title="Probability that it is not luck", tickCount=5),
    )
    points = alt.Chart(drawn(counted)).encode(
        x=x,
        y=alt.Y("deflated_sharpe:Q"),
        shape=alt.Shape(
            "name:N",
            sort=counted["name"].to_list(),
            scale=alt.Scale(range=["circle", "square", "triangle-up"]),
            legend=alt.Legend(symbolFillColor=BLUE, symbolStrokeColor=INK),
        ),
        tooltip=[
            alt.Tooltip("method:N"),
            alt.Tooltip("trials:Q", format=",.1f"),
            alt.Tooltip("deflated_sharpe:Q", format=".3f"),
        ],
    )
    layers = (
        ruled(SURE),
        alt.Chart(drawn(curve)).mark_line(color=BLUE).encode(x=x, y=y),
        points.mark_point(filled=True, size=90, color=BLUE, stroke=INK, strokeWidth=0.6, opacity=1),
    )
    decides = DECIDES.replace("_", " ")
    note = f"thin line: {SURE}, what it is held to at the {decides}"
    return finished(alt.layer(*layers), "Deflated Sharpe ratio by number of trials", note)


def _rounded(name: str) -> pl.Expr:
    return pl.col(name).round(1).cast(pl.String).str.strip_suffix(".0")
