"""Charts of sweeps: maps over two fields, one field alone, and bands side by side."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from wheelvec.inference.bands import Bands
from wheelvec.model.columns import of_sweep
from wheelvec.model.errors import InputError, cut, unknown_name
from wheelvec.report.plots.theme import (
    BLUE,
    DIVERGING,
    INK,
    SEQUENTIAL,
    WIDTH,
    drawn,
    either,
    finished,
    short,
    unchecked,
)
from wheelvec.report.plots.thinning import gathered, labels_of
from wheelvec.run.results.sweep_result import Sweep

WRITTEN = 12  # cells along an edge of a map up to which values are written in them
BAND = ("kind", "low", "high", "estimate")


@unchecked
def heat(sweep: Sweep, x: str, y: str, figure: str = "avg_wheel_roc") -> Any:
    """A figure over two fields of a sweep: its mean over all rows of a cell.

    Args:
        sweep: the sweep.
        x: a column of its grid, along the map.
        y: another one, up the map. More than 50 values of a field are drawn in 50 groups.
        figure: a figure of its frame.

    Returns:
        An Altair chart.

    Raises:
        InputError: for a field that is not swept, or an unknown figure.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> grid = {"put.exit_pct": [0.25, 0.5], "put.stop_loss_multiplier": [1.2, None]}
        >>> sweep = wv.sweep(market, config, grid)
        >>> chart = wv.plots.heat(sweep, "put.exit_pct", "put.stop_loss_multiplier", "total_pnl")
        >>> chart.to_dict()["title"]["subtitle"]
        ['dollars per contract; each cell is one configuration']
    """
    _refuse(sweep, figure, (x, y))
    if x == y:
        raise InputError(f"heat: x and y are both {x!r}: expected two fields")
    frame, orders = _placed(sweep, (x, y), figure)
    cells = frame.group_by("x", "y").agg(value=pl.col("value").mean(), rows=pl.len().cast(pl.Int64))
    cells = cells.sort("y", "x").with_columns(
        pl.col(axis).replace_strict(orders[axis], return_dtype=pl.String) for axis in ("x", "y")
    )
    return finished(
        _map(cells, {a: list(o.values()) for a, o in orders.items()}, (x, y), figure),
        f"{figure} over {x} and {y}",
        f"{of_sweep(figure).unit or 'no unit'}; {_rows_of(cells)}",
        height=max(160, min(26 * len(orders["y"]), 520)),
    )


def _rows_of(cells: pl.DataFrame) -> str:
    least, most = cells["rows"].min(), cells["rows"].max()
    if most == 1:
        return "each cell is one configuration"
    counts = f"{least!s}" if least == most else f"{least!s} to {most!s}"
    return f"each cell is the mean of {counts} configurations"


def _refuse(sweep: Sweep, figure: str, fields: Sequence[str]) -> None:
    """Refuse what is no Sweep, a field that it does not sweep, and an unknown figure."""
    if not isinstance(sweep, Sweep):
        raise InputError(f"{cut(sweep)}: expected a Sweep")
    for field in fields:
        if field not in sweep.names:
            raise InputError(unknown_name("swept field", field, sweep.names))
    if figure not in sweep.figures:
        raise InputError(unknown_name("figure", figure, sweep.figures))


def _placed(
    sweep: Sweep, fields: tuple[str, str], figure: str
) -> tuple[pl.DataFrame, dict[str, dict[int, str]]]:
    """Each row's place on both axes and its value; and the labels of the places."""
    columns: dict[str, Any] = {"value": sweep.frame[figure].cast(pl.Float64)}
    orders = {}
    for axis, field in zip("xy", fields, strict=True):
        columns[axis] = gathered(sweep.frame[field])
        orders[axis] = labels_of(sweep.frame[field], columns[axis])
    return pl.DataFrame(columns), orders


def _map(
    cells: pl.DataFrame, orders: dict[str, list[str]], fields: tuple[str, str], figure: str
) -> Any:
    x, y = fields
    values = cells["value"].drop_nulls()
    signed = values.len() > 0 and float(values.min()) < 0.0 < float(values.max())  # type: ignore[arg-type]
    most = float(values.abs().max() or 1.0)  # type: ignore[arg-type]
    scale = (
        alt.Scale(domain=[-most, 0, most], range=DIVERGING[::2], interpolate="rgb")
        if signed
        else alt.Scale(range=SEQUENTIAL, interpolate="rgb", zero=False)
    )
    base = alt.Chart(drawn(cells)).encode(
        x=alt.X("x:N", sort=orders["x"], axis=alt.Axis(title=x, labelAngle=0)),
        y=alt.Y("y:N", sort=orders["y"][::-1], axis=alt.Axis(title=y)),
    )
    rects = base.mark_rect().encode(
        color=alt.Color(
            "value:Q", scale=scale, legend=alt.Legend(title=None, gradientLength=160, format="~g")
        ),
        tooltip=[
            alt.Tooltip("x:N", title=x),
            alt.Tooltip("y:N", title=y),
            alt.Tooltip("value:Q", title=figure, format=",.4~g"),
            alt.Tooltip("rows:Q"),
        ],
    )
    if max(len(orders["x"]), len(orders["y"])) > WRITTEN or len(orders["x"]) > 8:
        return rects
    least, greatest = (float(v) for v in (values.min() or 0.0, values.max() or 0.0))  # type: ignore[arg-type]
    far = f"datum.value > {(least + greatest) / 2}"  # dark cells
    if signed:
        far = f"abs(datum.value) > {0.72 * most}"
    return rects + base.mark_text().encode(
        text=alt.Text("value:Q", format=",.3~g"),
        color=either(far, "#ffffff", "#1f2328"),
    )


@unchecked
def sensitivity(
    sweep: Sweep, figure: str = "avg_wheel_roc", fields: Sequence[str] | None = None
) -> Any:
    """A figure against each swept field alone, with bands over all the other fields.

    Args:
        sweep: the sweep.
        figure: a figure of its frame.
        fields: columns of its grid; None: the first six that have several values.

    Returns:
        An Altair chart: median, 25th to 75th percentile, and least to greatest.

    Raises:
        InputError: for a field that is not swept, or an unknown figure.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> sweep = wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]})
        >>> wv.plots.sensitivity(sweep, "total_pnl").to_dict()["title"]["text"]
        'total_pnl by each field alone'
    """
    if fields is not None and (isinstance(fields, str) or not isinstance(fields, Sequence)):
        raise InputError(f"fields = {cut(fields)}: expected a list of swept fields")
    chosen = several(sweep)[:6] if fields is None else list(fields)
    _refuse(sweep, figure, chosen)
    if not chosen:
        raise InputError("sensitivity: no field of the sweep has two values")
    panels = [_panel(sweep, field, figure) for field in chosen]
    note = [
        "dot: median over the other fields; thick: 25% to 75%; thin: least to greatest",
        _unit(figure),
    ]
    return finished(alt.vconcat(*panels, spacing=16), f"{figure} by each field alone", note)


def _unit(figure: str) -> str:
    return of_sweep(figure).unit or "no unit"


def several(sweep: Sweep) -> list[str]:
    """The swept columns with at least two values; of columns that vary together the first.

    Raises:
        InputError: for what is no Sweep.
    """
    if not isinstance(sweep, Sweep):
        raise InputError(f"{cut(sweep)}: expected a Sweep")
    found: list[str] = []
    for name in sweep.names:
        values = sweep.frame[name].n_unique()
        paired = [
            other
            for other in found
            if sweep.frame.select(other, name).n_unique() == values
            and sweep.frame[other].n_unique() == values
        ]
        if values > 1 and not paired:
            found.append(name)
    return found


@unchecked
def one_field(sweep: Sweep, field: str, figure: str) -> Any:
    """The chart of `sensitivity` for one field, as a chart of one view.

    Args:
        sweep: the sweep.
        field: a column of its grid.
        figure: a figure of its frame.
    """
    _refuse(sweep, figure, [field])
    note = "dot: median over the other fields; thick: 25% to 75%; thin: all"
    return finished(_panel(sweep, field, figure), f"{figure} by {field}", note, height=160)


def _panel(sweep: Sweep, field: str, figure: str) -> Any:
    place = gathered(sweep.frame[field])
    order = labels_of(sweep.frame[field], place)
    value = pl.col("value")
    spread = (
        pl.DataFrame({"place": place, "value": sweep.frame[figure].cast(pl.Float64)})
        .group_by("place")
        .agg(
            least=value.min(),
            low=value.quantile(0.25, "linear"),
            middle=value.median(),
            high=value.quantile(0.75, "linear"),
            most=value.max(),
        )
        .sort("place")
        .with_columns(group=pl.col("place").replace_strict(order, return_dtype=pl.String))
    )
    base = alt.Chart(drawn(spread)).encode(
        x=alt.X("group:N", sort=list(order.values()), axis=alt.Axis(title=field, labelAngle=0))
    )
    y = alt.Y("least:Q", scale=alt.Scale(zero=False), axis=short(figure))
    parts = [
        base.mark_rule(strokeWidth=1, opacity=0.6).encode(y=y, y2=alt.Y2("most:Q")),
        base.mark_rule(strokeWidth=5, color=BLUE, opacity=0.55).encode(
            y=alt.Y("low:Q"), y2=alt.Y2("high:Q")
        ),
        base.mark_point(
            filled=True, size=55, color=BLUE, opacity=1, stroke=INK, strokeWidth=0.5
        ).encode(
            y=alt.Y("middle:Q"),
            tooltip=[
                alt.Tooltip("group:N"),
                alt.Tooltip("least:Q"),
                alt.Tooltip("low:Q"),
                alt.Tooltip("middle:Q"),
                alt.Tooltip("high:Q"),
                alt.Tooltip("most:Q"),
            ],
        ),
    ]
    return alt.layer(*parts).properties(width=WIDTH - 100, height=120)


@unchecked
def bands(frame: pl.DataFrame | Bands, *, unit: str = "Mean ROC, percent") -> Any:
    """Ranges of one figure side by side: the widest says what a result rests on.

    Args:
        frame: the result of `wv.bands`; or a frame of kind (a name), low, high and estimate, one
            row a band, in the order to be drawn. A band without ends is not drawn.
        unit: title of the horizontal axis.

    Returns:
        An Altair chart.

    Raises:
        InputError: for a frame without these columns.

    Example:
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> frame = pl.DataFrame({
        ...     "kind": ["fill seeds", "market"], "low": [0.1, -0.9], "high": [0.3, 1.4],
        ...     "estimate": [0.2, 0.2],
        ... })
        >>> wv.plots.bands(frame).to_dict()["title"]["text"]
        'What the figure rests on'
    """
    frame = frame.frame if isinstance(frame, Bands) else frame
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"bands: {cut(frame)}: expected the result of wv.bands, or a frame")
    for name in BAND:
        if name not in frame.columns:
            raise InputError(unknown_name("frame: column", name, frame.columns))
    frame = frame.select(BAND).drop_nulls()
    kinds = frame["kind"].to_list()
    base = alt.Chart(drawn(frame)).encode(
        y=alt.Y("kind:N", sort=kinds, axis=alt.Axis(title=None, minExtent=0))
    )
    at = alt.X("low:Q", axis=alt.Axis(title=unit, grid=True))
    tips = [alt.Tooltip("kind:N"), *(alt.Tooltip(f"{name}:Q", format=",.4~g") for name in BAND[1:])]
    zero = alt.Chart(pl.DataFrame({"at": [0.0]})).mark_rule(opacity=0.5).encode(x=alt.X("at:Q"))
    chart = alt.layer(
        zero,
        base.mark_bar(height=12, color=BLUE, opacity=0.5).encode(
            x=at, x2=alt.X2("high:Q"), tooltip=tips
        ),
        base.mark_tick(thickness=3, size=20, color=INK).encode(x=alt.X("estimate:Q"), tooltip=tips),
    )
    note = "bar: the range; line: the estimate"
    return finished(chart, "What the figure rests on", note, height=max(34 * len(kinds), 60))
