"""Charts of the wheels of a result: distribution of ROC, reasons of ends, and figures by field."""

import math
from typing import Any

import altair as alt
import polars as pl

from wheelvec.model.errors import InputError, cut, unknown_name
from wheelvec.report.months import counted_wheels
from wheelvec.report.plots.theme import (
    BLUE,
    GAIN,
    GREEN,
    GREY,
    INK,
    LOSS,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    YELLOW,
    drawn,
    either,
    finished,
    ruled,
    short,
    unchecked,
)
from wheelvec.run.results.result import Result

BINS = 50
# one colour a reason, wherever it is drawn
REASONS = {
    "profit_target": GREEN,
    "put_closed": GREEN,
    "expired_worthless": SKY,
    "put_expired": SKY,
    "assigned": BLUE,
    "called_away": PURPLE,
    "max_hold_dte": YELLOW,
    "max_cycles": YELLOW,
    "stop_loss": RED,
    "no_call_in_range": ORANGE,
    "no_call_above_basis": BLUE,
    "no_call_liquid": RED,
    "no_call_quotes": "#7a5195",
    "corporate_action": "#5b4636",
    "open": GREY,
    "no_data": GREY,
    "unresolved": GREY,
    "suspected_split": "#4d4d4d",
}
ENDS = {
    "wheel": ("end_reason", "How the wheels ended"),
    "put": ("csp_exit_reason", "How the puts ended"),
    "call": ("cc_exit_reason", "How the last call of each wheel ended"),
}
FIELDS = {
    "underlying": "Underlying",
    "dte": "Days to expiration of the put",
    "delta": "Delta of the put (absolute)",
    "ivp": "IV rank of the put in its minute",
    "weekday": "Weekday of entry",
}
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST = 24  # categories of `by`


def of_result(x: object, what: str) -> Result:
    """The argument, or an error if it is no Result.

    Raises:
        InputError: naming it.
    """
    if not isinstance(x, Result):
        raise InputError(f"{what}: {cut(x)}: expected a Result")
    return x


@unchecked
def roc_distribution(result: Result) -> Any:
    """A histogram of the ROC of the wheels in the summary, with mean, median and 5th percentile.

    Args:
        result: the result.

    Returns:
        An Altair chart.

    Raises:
        InputError: if it is no Result.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> wv.plots.roc_distribution(result).to_dict()["title"]["subtitle"]
        ['5 wheels in the summary']
    """
    roc = counted_wheels(of_result(result, "roc_distribution"))["roc"].drop_nulls()
    bars = (
        alt.Chart(histogram(roc))
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                axis=alt.Axis(title="ROC of the wheel, percent", labelOverlap="parity"),
            ),
            x2=alt.X2("high:Q"),
            y=alt.Y("wheels:Q", axis=alt.Axis(title="Wheels", format=",~f", tickMinStep=1)),
            color=either("datum.high <= 0", LOSS, GAIN),
            tooltip=[alt.Tooltip("low:Q"), alt.Tooltip("high:Q"), alt.Tooltip("wheels:Q")],
        )
    )
    names = ["mean", "median", "5th percentile"]
    values = [roc.mean(), roc.median(), roc.quantile(0.05, "linear")]
    marks = pl.DataFrame({"figure": names, "roc": values}, schema_overrides={"roc": pl.Float64})
    shown = [f"{name} {value:.2f}%" for name, value in marks.drop_nulls().iter_rows()]
    rules = (
        alt.Chart(marks.drop_nulls().with_columns(figure=pl.Series(shown, dtype=pl.String)))
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("roc:Q"),
            color=alt.Color(
                "figure:N",
                scale=alt.Scale(domain=shown, range=[ORANGE, GREEN, PURPLE][: len(shown)]),
            ),
            strokeDash=alt.StrokeDash(
                "figure:N",
                scale=alt.Scale(domain=shown, range=[[1, 0], [6, 3], [2, 2]][: len(shown)]),
            ),
        )
    )
    note = f"{roc.len():,} wheels in the summary"
    return finished(bars + rules, "Return on capital of the wheels", note)


def histogram(values: pl.Series) -> pl.DataFrame:
    """low, high and wheels of at most 50 bins of round width, 0 being an edge."""
    if not values.len():
        return pl.DataFrame(schema={"low": pl.Float64, "high": pl.Float64, "wheels": pl.Int64})
    width = _step(float(values.max()) - float(values.min()))  # type: ignore[arg-type]
    frame = pl.DataFrame({"at": (values / width).floor().cast(pl.Int64)})
    counts = frame.group_by("at").agg(wheels=pl.len().cast(pl.Int64)).sort("at")
    return counts.select(low=pl.col("at") * width, high=(pl.col("at") + 1) * width, wheels="wheels")


def _step(span: float) -> float:
    """The width of bins: 1, 2 or 5 times a power of ten, so that there are at most 50."""
    if span <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / (BINS - 1)))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if span / (step * power) <= BINS - 1)


@unchecked
def ends(result: Result, of: str = "wheel") -> Any:
    """How wheels, puts or last calls ended, by the month in which the wheel was entered.

    Args:
        result: the result.
        of: wheel, put or call.

    Returns:
        An Altair chart: of all launched wheels, those outside the summary too.

    Raises:
        InputError: if it is no Result, or for another `of`.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> wv.plots.ends(result, of="put").to_dict()["title"]["text"]
        'How the puts ended'
    """
    if of not in ENDS:
        raise InputError(unknown_name("of", of, ENDS))
    column, title = ENDS[of]
    wheels = of_result(result, "ends").wheels.drop_nulls(column)
    counts = (
        wheels.group_by(month=pl.col("entry_date").dt.truncate("1mo"), reason=column)
        .agg(wheels=pl.len().cast(pl.Int64))
        .sort("month", "reason")
    )
    present = set(counts["reason"])
    reasons = [name for name in REASONS if name in present]
    chart = (
        alt.Chart(drawn(counts.with_columns(place=_place(counts["reason"], reasons))))
        .mark_bar(stroke=INK, strokeWidth=0.3)
        .encode(
            x=alt.X(
                "month:T",
                timeUnit="utcyearmonth",
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(
                    title="Month of entry",
                    format="%b %Y",
                    tickMinStep=28 * 86400000,
                    labelOverlap="parity",
                ),
            ),
            y=alt.Y("wheels:Q", axis=alt.Axis(title="Wheels", format=",~f")),
            color=alt.Color(
                "reason:N",
                scale=alt.Scale(domain=reasons, range=[REASONS[name] for name in reasons]),
            ),
            order=alt.Order("place:Q"),
            tooltip=[alt.Tooltip("month:N"), alt.Tooltip("reason:N"), alt.Tooltip("wheels:Q")],
        )
    )
    note = f"{wheels.height:,} of the {result.wheels.height:,} launched"
    return finished(chart, title, note if of != "wheel" else f"all {wheels.height:,} launched")


def _place(reasons: pl.Series, order: list[str]) -> pl.Series:
    place = {name: i for i, name in enumerate(order)}
    return reasons.replace_strict(place, return_dtype=pl.Int64)


@unchecked
def by(result: Result, field: str) -> Any:
    """P&L and mean ROC of the wheels in the summary by one property of their entry.

    Args:
        result: the result.
        field: underlying, dte, delta, ivp (the rank of the put's IV among the contracts of its
            minute; no percentile of history) or weekday.

    Returns:
        An Altair chart: total P&L above, mean ROC with two standard errors below.

    Raises:
        InputError: if it is no Result, or for another field.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> wv.plots.by(result, "weekday").to_dict()["title"]["text"]
        'Weekday of entry'
    """
    grouped = by_field(result, field)
    order = grouped["group"].to_list()
    x = alt.X("group:N", sort=order, axis=alt.Axis(title=None, labelAngle=0, labelOverlap="greedy"))
    unlabelled = alt.X("group:N", sort=order, axis=None)
    tips = [
        alt.Tooltip("group:N"),
        alt.Tooltip("wheels:Q"),
        alt.Tooltip("pnl:Q", format=",.2f"),
        alt.Tooltip("roc:Q", format=".2f"),
        alt.Tooltip("se:Q", format=".2f"),
    ]
    base = alt.Chart(drawn(grouped))
    zero = ruled()
    pnl = base.mark_bar().encode(
        x=unlabelled,
        y=alt.Y("pnl:Q", axis=short("P&L, dollars")),
        color=either("datum.pnl < 0", LOSS, GAIN),
        tooltip=tips,
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", axis=alt.Axis(title="ROC, percent")), y2=alt.Y2("high:Q")
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x,
        y=alt.Y("roc:Q"),
        color=either("datum.roc < 0", LOSS, GAIN),
        tooltip=tips,
    )
    panels = [
        (pnl + zero).properties(width=WIDTH - 100, height=110),
        (zero + bars + dots).properties(width=WIDTH - 100, height=130),
    ]
    note = [
        "above: P&L, dollars per contract; below: mean ROC with",
        "two standard errors (wheels overlap: too narrow)",
    ]
    return finished(alt.vconcat(*panels, spacing=10), FIELDS[field], note)


def by_field(result: Result, field: str) -> pl.DataFrame:
    """The wheels in the summary by a property of their entry, in its order.

    Args:
        result: the result.
        field: one of `FIELDS`.

    Returns:
        group, wheels, pnl (dollars per contract), win_rate and roc (percent), se (standard error of
        the mean roc), low and high (two of them below and above).

    Raises:
        InputError: if it is no Result, or for another field.
    """
    if not isinstance(field, str) or field not in FIELDS:
        raise InputError(unknown_name("field", field, FIELDS))
    wheels = counted_wheels(of_result(result, "by"))
    if field == "ivp":
        puts = result.records.filter(pl.col("phase") == "csp").select("wheel_id", "ivp_entry")
        wheels = wheels.join(puts, on="wheel_id", how="left", maintain_order="left")
    keyed = wheels.with_columns(_group(wheels, field))
    found = (
        keyed.group_by("place", "group")
        .agg(
            wheels=pl.len().cast(pl.Int64),
            pnl=pl.col("pnl_marked").sum(),
            win_rate=100.0 * (pl.col("pnl_marked") > 0.0).mean(),
            roc=pl.col("roc").mean(),
            se=pl.col("roc").std() / pl.col("roc").count().sqrt(),
        )
        .sort("place", "group")
    )
    two = 2.0 * pl.col("se").fill_null(0.0)
    return found.drop("place").with_columns(low=pl.col("roc") - two, high=pl.col("roc") + two)


def _group(wheels: pl.DataFrame, field: str) -> list[pl.Expr]:
    """The columns place and group of each wheel: order and label of its category."""
    if field == "weekday":
        day = pl.col("entry_date").dt.weekday().cast(pl.Int64)
        return [
            day.alias("place"),
            day.replace_strict(dict(enumerate(WEEKDAYS, 1)), return_dtype=pl.String).alias("group"),
        ]
    if field == "underlying":
        counts = wheels["underlying"].value_counts(sort=True)["underlying"].to_list()
        kept = sorted(counts) if len(counts) <= MOST else sorted(counts[: MOST - 1])
        known = pl.col("underlying").is_in(kept)
        return [
            (~known).cast(pl.Int64).alias("place"),
            pl.when(known).then("underlying").otherwise(pl.lit("others")).alias("group"),
        ]
    column, step, digits = {
        "dte": ("dte_entry", 7.0, 0),
        "delta": ("delta_entry", 0.05, 2),
        "ivp": ("ivp_entry", 0.1, 1),
    }[field]
    place = (pl.col(column) / step + 1e-9).floor().clip(0, MOST - 1).cast(pl.Int64)
    last = 9 if field == "ivp" else MOST - 1
    places = range(last + 1)
    names = {
        i: f"{i * step:.{digits}f}–{(i + 1) * step - (1 if field == 'dte' else 0):.{digits}f}"
        for i in places
    }
    bound = place.clip(0, last)
    return [
        bound.fill_null(-1).alias("place"),
        bound.replace_strict(names, default="none", return_dtype=pl.String).alias("group"),
    ]
