"""The chart of one wheel: the underlying with its strikes, and each leg's prices with its lines."""

import datetime as dt
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from wheelvec.kernels.trace import Sale, levels_of
from wheelvec.model.errors import InputError, cut
from wheelvec.report.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    WIDTH,
    by_day,
    drawn,
    either_fill,
    finished,
    unchecked,
)
from wheelvec.report.plots.wheels import of_result
from wheelvec.run.explaining.retracing import plan_of
from wheelvec.run.results.result import Result


@unchecked
def wheel(result: Result, wheel_id: str) -> Any:
    """One wheel: closes of the underlying with the strikes, and prices of the legs with lines.

    Args:
        result: the result.
        wheel_id: of the wheel.

    Returns:
        An Altair chart: above, closes and strikes; below, bars or quotes of the legs, their sale,
        their exit, and the prices of stop and target.

    Raises:
        InputError: for an unknown wheel.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> wv.plots.wheel(result, "ALFA_2024-01-02_0").to_dict()["title"]["text"]
        'ALFA_2024-01-02_0'
    """
    legs = legs_of(of_result(result, "wheel"), wheel_id)
    total = result.wheels.filter(pl.col("wheel_id") == wheel_id).row(0, named=True)
    panels = [_underlying(result, legs, total["underlying"]), _options(result, legs)]
    pnl = total["pnl_marked"]
    tested = "filled dots: prices that were tested for stop and target"
    note = f"{total['end_reason'].replace('_', ' ')}, P&L " + (
        "unknown" if pnl is None else f"{pnl:,.2f} dollars a contract"
    )
    chart = alt.vconcat(*panels, spacing=14).resolve_scale(x="shared", color="independent")
    return finished(chart, wheel_id, [note, tested])


def legs_of(result: Result, wheel_id: str) -> pl.DataFrame:
    """The legs of a wheel, with the prices of their stops and targets in dollars per share.

    `until` is the exit, or the last session of the leg's path if it has none; `stop` and `target`
    are null without a rule.

    Raises:
        InputError: for an unknown wheel.
    """
    if not isinstance(wheel_id, str):
        raise InputError(f"wheel_id = {cut(wheel_id)}: expected a text")
    rows = result.records.filter((pl.col("wheel_id") == wheel_id) & (pl.col("phase") != "total"))
    if not rows.height:
        raise InputError(f"wheel_id = {cut(wheel_id)}: the result has no such wheel")
    last = result.underlying["session"].max()
    sold = pl.col("premium") / (100.0 * pl.col("contracts"))
    priced = rows.with_columns(sold=sold)
    return priced.with_columns(
        *_levels(result, priced),
        bought=pl.col("exit_price") / (100.0 * pl.col("contracts")),
        until=pl.coalesce("exit_date", pl.min_horizontal("expiration", pl.lit(last, pl.Date))),
        leg=pl.when(pl.col("phase") == "csp").then(pl.lit("put")).otherwise(pl.lit("call")),
    )


def _levels(result: Result, legs: pl.DataFrame) -> list[pl.Series]:
    """The prices of the stops and targets of legs, as the kernels compute them; null for none."""
    plan = plan_of(result.config)
    named = legs.select("cycle", "sold", "liquidity_penalty", "p_fill_profit_target")
    found = [levels_of(plan, Sale(0, cycle, np.uint64(0), *rest)) for cycle, *rest in named.rows()]
    prices = {"stop": [each.stop for each in found], "target": [each.target for each in found]}
    return [pl.Series(name, values, pl.Float64).fill_nan(None) for name, values in prices.items()]


def path_of(result: Result, leg: dict[str, Any]) -> pl.DataFrame:
    """The path of one leg, from its sale through its end: session, low, high, price and source.

    The price is the bar's close, else the mid of the quote.
    """
    symbols = [leg["symbol"], leg["exit_symbol"] or leg["symbol"]]
    rows = (
        result.paths.filter(
            pl.col("symbol").is_in(symbols)
            & pl.col("session").is_between(leg["entry_date"], leg["until"])
        )
        .unique("session", keep="first", maintain_order=True)
        .sort("session")
    )
    mid = (pl.col("bid") + pl.col("ask")) / 2.0
    return rows.with_columns(price=pl.coalesce("close", mid))


def last_day(result: Result, legs: pl.DataFrame) -> dt.date:
    """The last session of a wheel: its exit, which may be after that of its last leg."""
    ended = result.wheels.filter(pl.col("wheel_id") == legs["wheel_id"][0])["exit_date"][0]
    until: dt.date = legs["until"].max()  # type: ignore[assignment]
    return until if ended is None else max(ended, until)


def _underlying(result: Result, legs: pl.DataFrame, name: str) -> Any:
    first, last = legs["entry_date"].min(), last_day(result, legs)
    closes = result.underlying.filter(
        (pl.col("underlying") == name) & pl.col("session").is_between(first, last)
    )
    y = alt.Y("close:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=f"{name}, dollars"))
    line = (
        alt.Chart(drawn(closes))
        .mark_line(color=INK, opacity=0.8)
        .encode(x=by_day(labels=False, ticks=False), y=y)
    )
    spans = legs.select("entry_date", "until", "strike", "leg")
    strikes = (
        alt.Chart(drawn(spans))
        .mark_rule(strokeWidth=2.5)
        .encode(
            x=alt.X("entry_date:T", scale=alt.Scale(type="utc"), axis=alt.Axis(title=None)),
            x2=alt.X2("until:T"),
            y=alt.Y("strike:Q"),
            color=alt.Color(
                "leg:N",
                scale=alt.Scale(domain=["put", "call"], range=[BLUE, ORANGE]),
                legend=alt.Legend(title=None, columns=2, labelExpr="datum.label + ' strike'"),
            ),
            tooltip=[
                alt.Tooltip("leg:N"),
                alt.Tooltip("strike:Q"),
                alt.Tooltip("entry_date:N"),
                alt.Tooltip("until:N"),
            ],
        )
    )
    return alt.layer(line, strikes).properties(width=WIDTH - 100, height=130)


def _options(result: Result, legs: pl.DataFrame) -> Any:
    paths = [
        path_of(result, leg).with_columns(leg=pl.lit(leg["leg"]), symbol=pl.lit(leg["symbol"]))
        for leg in legs.iter_rows(named=True)
    ]
    prices = drawn(pl.concat(paths))
    y = alt.Y("low:Q", axis=alt.Axis(title="Option, dollars a share"))
    base = alt.Chart(prices).encode(x=by_day())
    lines = (
        legs.select("entry_date", "until", "stop", "target")
        .unpivot(["stop", "target"], index=["entry_date", "until"], variable_name="line")
        .drop_nulls()
    )
    sales = legs.select(session="entry_date", price="sold", what=pl.lit("sale"))
    exits = pl.DataFrame(
        [
            (leg["exit_date"], _exit_price(leg, path), "exit")
            for leg, path in zip(legs.iter_rows(named=True), paths, strict=True)
            if leg["exit_date"] is not None
        ],
        schema=sales.schema,
        orient="row",
    )
    names, colours = ["stop", "target"], [RED, GREEN]
    parts = [
        base.mark_rule(strokeWidth=3, opacity=0.35).encode(y=y, y2=alt.Y2("high:Q")),
        base.mark_line(color=INK, strokeWidth=1.4).encode(
            y=alt.Y("price:Q"), detail=alt.Detail("symbol:N")
        ),
        base.mark_point(size=22, color=INK, opacity=1, strokeWidth=1).encode(
            y=alt.Y("price:Q"),
            fill=either_fill("datum.source != null", INK, "transparent"),
            tooltip=[
                alt.Tooltip("session:N"),
                alt.Tooltip("symbol:N"),
                alt.Tooltip("source:N"),
                alt.Tooltip("low:Q"),
                alt.Tooltip("high:Q"),
                alt.Tooltip("close:Q"),
                alt.Tooltip("bid:Q"),
                alt.Tooltip("ask:Q"),
            ],
        ),
        alt.Chart(drawn(lines))
        .mark_rule(strokeDash=[5, 3], strokeWidth=1.8)
        .encode(
            x=alt.X("entry_date:T", scale=alt.Scale(type="utc")),
            x2=alt.X2("until:T"),
            y=alt.Y("value:Q"),
            color=alt.Color(
                "line:N",
                scale=alt.Scale(domain=names, range=colours),
                legend=alt.Legend(title=None, columns=2),
            ),
        ),
        alt.Chart(drawn(pl.concat([sales, exits])))
        .mark_point(size=90, strokeWidth=2, filled=False)
        .encode(
            x=by_day(),
            y=alt.Y("price:Q"),
            shape=alt.Shape(
                "what:N",
                scale=alt.Scale(domain=["sale", "exit"], range=["circle", "cross"]),
                legend=alt.Legend(title=None, columns=2, symbolStrokeColor=GREY),
            ),
        ),
    ]
    return alt.layer(*parts).properties(width=WIDTH - 100, height=180)


def _exit_price(leg: dict[str, Any], path: pl.DataFrame) -> float | None:
    """The price of an exit: what was paid; of a delivery the last price before it."""
    if leg["exit_reason"] in ("assigned", "called_away") and path.height:
        known = path["price"].drop_nulls().to_list()
        return known[-1] if known else None
    bought: float | None = leg["bought"]
    return bought
