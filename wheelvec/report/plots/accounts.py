"""Charts over the sessions of an account: equity, drawdown, sources, use of capital, and fans."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from wheelvec.model.errors import InputError, cut, unknown_name
from wheelvec.report.months import counted_wheels
from wheelvec.report.plots.theme import (
    BLUE,
    GREY,
    PALETTE,
    by_day,
    drawn,
    finished,
    ruled,
    span,
    unchecked,
)
from wheelvec.report.plots.thinning import POINTS, thinned
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result

LONG = 19  # letters of a name of which two stand side by side in the legend on a phone
LETTER = 6.5  # pixels of one in the text of a legend
SYMBOL = 24  # pixels of the line before a name in a legend

SOURCES = ("puts", "calls", "stock", "dividends", "fees", "interest")
LABELS = {
    "equity": "account",
    "buy_and_hold": "buy and hold",
    "cash": "cash",
    "delta_matched": "delta-matched stock",
}
Shown = Result | Portfolio | Sequence[Any] | Mapping[str, Any]


@unchecked
def equity(x: Shown, *, points: int = POINTS) -> Any:
    """The equity of an account beside its benchmarks; of a result its cumulative P&L.

    A result is no account: its curves add up the P&L of the wheels in its summary, each alone, once
    on the day of entry and once on that of the exit, in dollars per contract.

    Args:
        x: a Portfolio, a Result, or several of one kind, as a list or by name.
        points: the most points of a line.

    Returns:
        An Altair chart.

    Raises:
        InputError: for anything else.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> portfolio = wv.simulate(result, wv.Account(cash=40_000))
        >>> wv.plots.equity(portfolio).to_dict()["title"]["text"]
        'Equity of the account and its benchmarks'
    """
    if isinstance(x, Portfolio):
        return _of_account(x, points)
    if isinstance(x, Result):
        return _of_result(x, points)
    each = named(x)
    if all(isinstance(one, Portfolio) for one in each.values()):
        curves = {name: one.daily.select("session", value="equity") for name, one in each.items()}
        title, unit, note = "Equity of the accounts", "Equity, dollars", ""
    elif all(isinstance(one, Result) for one in each.values()):
        curves = {name: cumulative(one, "exit_date") for name, one in each.items()}
        title, unit = "Cumulative P&L of the wheels by exit date", "Dollars per contract"
        note = "each wheel alone: no account"
    else:
        raise InputError(f"equity: {cut(x)}: expected results, or portfolios, not both")
    return finished(lines(curves, unit, points), title, note)


def named(x: Any) -> dict[str, Any]:
    """Several results or portfolios by name: a mapping as it is, a list as 1, 2, ...

    Raises:
        InputError: for anything else.
    """
    if isinstance(x, Mapping) and x:
        return {str(name): one for name, one in x.items()}
    if isinstance(x, Sequence) and not isinstance(x, str) and x:
        return {str(i): one for i, one in enumerate(x, 1)}
    raise InputError(f"{cut(x)}: expected a Result, a Portfolio, or several of them")


def cumulative(result: Result, of: str) -> pl.DataFrame:
    """The running sum of the P&L by session: session and value, dollars per contract.

    Args:
        result: the result.
        of: entry_date or exit_date.
    """
    rows = counted_wheels(result).group_by(session=of).agg(value=pl.col("pnl_marked").sum())
    return rows.sort("session").with_columns(pl.col("value").cum_sum())


def lines(curves: Mapping[str, pl.DataFrame], unit: str, points: int, first: int = 0) -> Any:
    """A chart of one line a curve, each a frame of session and value.

    Args:
        curves: by name, in the order of the legend.
        unit: title of the vertical axis.
        points: the most points of a line.
        first: the place of the first colour in the palette.
    """
    parts = [
        thinned(curve, ["value"], points).with_columns(series=pl.lit(name))
        for name, curve in curves.items()
    ]
    names = list(curves)
    colours = [PALETTE[(first + i) % len(PALETTE)] for i in range(len(names))]
    legend = _legend(names)
    return (
        alt.Chart(drawn(pl.concat(parts)))
        .mark_line(interpolate="linear", strokeJoin="round")
        .encode(
            x=by_day(),
            y=alt.Y(
                "value:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=unit, format=",~f")
            ),
            color=alt.Color(
                "series:N", scale=alt.Scale(domain=names, range=colours), legend=legend
            ),
            strokeDash=alt.StrokeDash(
                "series:N",
                scale=alt.Scale(domain=names, range=_dashes(len(names))),
                legend=legend,
            ),
        )
    )


def _legend(names: Sequence[str]) -> Any:
    """A legend whose names do not reach beyond the chart, or the usual one where none is long.

    Names of runs are often paths that differ at their ends, so that the middle is left out.
    """
    if max(map(len, names), default=0) <= LONG:
        return alt.Undefined
    room = f"(width - {SYMBOL})"
    half = f"floor({room} / {2 * LETTER})"
    return alt.Legend(
        columns=1,  # not by the width: Vega would cut the title where that changes their number
        labelLimit={"expr": room},  # for names in wide letters
        labelExpr=f"length(datum.label) * {LETTER} <= {room} ? datum.label : "
        f"slice(datum.label, 0, {half} - 1) + '…' + slice(datum.label, 1 - {half})",
    )


def _dashes(count: int) -> list[list[int]]:
    """A solid line, then others, so that lines differ without their colours too."""
    return [[[1, 0], [6, 2], [2, 2], [8, 2, 2, 2]][i % 4] for i in range(count)]


def _of_account(portfolio: Portfolio, points: int) -> Any:
    curves = {"account": portfolio.daily.select("session", value="equity")}
    for name in portfolio.benchmarks.columns[1:]:
        curves[LABELS.get(name, name)] = portfolio.benchmarks.select("session", value=name)
    note = ["at the close of each session,", span(portfolio.daily["session"])]
    chart = lines(curves, "Equity, dollars", points)
    return finished(chart, "Equity of the account and its benchmarks", note)


def _of_result(result: Result, points: int) -> Any:
    curves = {f"by {of} date": cumulative(result, f"{of}_date") for of in ("entry", "exit")}
    wheels = counted_wheels(result)
    days = span(pl.concat([wheels["entry_date"], wheels["exit_date"]]))
    count = [f"{wheels.height:,} wheels in the summary, each alone: no account", days]
    chart = ruled() + lines(curves, "Dollars per contract", points)
    return finished(chart, "Cumulative P&L of the wheels", count)


@unchecked
def drawdown(portfolio: Portfolio, *, points: int = POINTS) -> Any:
    """How far the equity is below its peak, of the account and of its benchmarks.

    Args:
        portfolio: the account.
        points: the most points of a line.

    Returns:
        An Altair chart.

    Raises:
        InputError: if it is no Portfolio.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> portfolio = wv.simulate(result, wv.Account(cash=40_000))
        >>> wv.plots.drawdown(portfolio).to_dict()["title"]["text"]
        'Drawdown'
    """
    refuse_other(portfolio, "drawdown")
    own = portfolio.daily.select("session", value=100.0 * pl.col("drawdown"))
    curves = {"account": own}
    for name in portfolio.benchmarks.columns[1:]:
        peak = pl.col(name).cum_max().clip(lower_bound=portfolio.account.cash)
        below = portfolio.benchmarks.select("session", value=100.0 * (pl.col(name) / peak - 1.0))
        curves[LABELS.get(name, name)] = below
    chart = lines(curves, "Percent below the peak", points)
    return finished(
        chart, "Drawdown", ["below the highest close so far,", span(portfolio.daily["session"])]
    )


def refuse_other(x: object, what: str) -> None:
    """Refuse what is no Portfolio.

    Raises:
        InputError: saying how to make one.
    """
    if not isinstance(x, Portfolio):
        raise InputError(
            f"{what}: {cut(x)}: expected a Portfolio; wv.simulate makes one of a result"
        )


@unchecked
def attribution(portfolio: Portfolio, *, points: int = POINTS) -> Any:
    """The cumulative P&L of puts, calls, stock, dividends, fees and interest.

    Args:
        portfolio: the account.
        points: the most points of a line.

    Returns:
        An Altair chart.

    Raises:
        InputError: if it is no Portfolio.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> portfolio = wv.simulate(result, wv.Account(cash=40_000))
        >>> wv.plots.attribution(portfolio).to_dict()["title"]["text"]
        'Where the equity came from'
    """
    refuse_other(portfolio, "attribution")
    curves = {
        name: portfolio.daily.select("session", value=pl.col(name).cum_sum()) for name in SOURCES
    }
    shown = {name: curve for name, curve in curves.items() if (curve["value"] != 0.0).any()}
    chart = ruled() + lines(shown or {"puts": curves["puts"]}, "Dollars so far", points)
    note = ["the sources add up to the change of equity,", span(portfolio.daily["session"])]
    return finished(chart, "Where the equity came from", note)


@unchecked
def capital(portfolio: Portfolio, *, points: int = POINTS) -> Any:
    """The use of an account's capital: collateral of puts, shares, and free cash, by session.

    Args:
        portfolio: the account.
        points: the most points of a line.

    Returns:
        An Altair chart.

    Raises:
        InputError: if it is no Portfolio.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> portfolio = wv.simulate(result, wv.Account(cash=40_000))
        >>> wv.plots.capital(portfolio).to_dict()["title"]["text"]
        'Use of capital'
    """
    refuse_other(portfolio, "capital")
    free = (pl.col("cash") - pl.col("collateral")).clip(lower_bound=0.0)
    used = portfolio.daily.select("session", "collateral", "shares", free)
    used = used.rename({"collateral": "collateral of puts", "cash": "free cash"})
    names = ["collateral of puts", "shares", "free cash"]
    long = thinned(used, names, points).unpivot(names, index="session", variable_name="use")
    long = long.with_columns(place=pl.col("use").replace_strict(names, [0, 1, 2]))
    chart = (
        alt.Chart(drawn(long))
        .mark_area(opacity=0.85)
        .encode(
            x=by_day(),
            y=alt.Y("value:Q", stack="zero", axis=alt.Axis(title="Dollars", format=",~f")),
            color=alt.Color("use:N", scale=alt.Scale(domain=names, range=[BLUE, PALETTE[1], GREY])),
            order=alt.Order("place:Q"),
        )
    )
    note = [
        "cash that secures no put is free; what is owed on",
        "open options is not taken off;",
        span(portfolio.daily["session"]),
    ]
    return finished(chart, "Use of capital", note)


@unchecked
def fan(frame: pl.DataFrame, *, unit: str = "Equity, dollars", points: int = POINTS) -> Any:
    """Quantiles of a quantity by session: bands around its median.

    Args:
        frame: session, and columns named p and a percentile, such as p05, p25, p50, p75, p95; each
            one below 50 with its opposite.
        unit: title of the vertical axis.
        points: the most points of a line.

    Returns:
        An Altair chart.

    Raises:
        InputError: for a frame without these columns.

    Example:
        >>> import datetime as dt
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> days = [dt.date(2024, 1, 2), dt.date(2024, 1, 3)]
        >>> frame = pl.DataFrame({"session": days, "p05": [9, 8], "p50": [9, 9], "p95": [9, 11]})
        >>> wv.plots.fan(frame).to_dict()["title"]["subtitle"]
        ['middle line: the median; bands: 5% to 95%']
    """
    pairs = _pairs(frame)
    kept = thinned(frame, [name for pair in pairs for name in pair], points)
    base = alt.Chart(drawn(kept))
    bands = [
        base.mark_area(color=BLUE, opacity=0.22).encode(
            x=by_day(),
            y=alt.Y(
                f"{low}:Q", axis=alt.Axis(title=unit, format=",~f"), scale=alt.Scale(zero=False)
            ),
            y2=alt.Y2(f"{high}:Q"),
        )
        for low, high in pairs
    ]
    middle = (
        [base.mark_line(color=BLUE).encode(x=by_day(), y=alt.Y("p50:Q"))] if "p50" in frame else []
    )
    shown = ", ".join(f"{int(low[1:])}% to {int(high[1:])}%" for low, high in pairs)
    note = ("middle line: the median; " if middle else "") + f"bands: {shown}"
    return finished(alt.layer(*bands, *middle), "Range of the paths", note)


def _pairs(frame: pl.DataFrame) -> list[tuple[str, str]]:
    """The columns of each band, the widest first."""
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"fan: {cut(frame)}: expected a frame of session, p05, p95 and the like")
    if "session" not in frame.columns:
        raise InputError(unknown_name("frame: column", "session", frame.columns))
    low = sorted(name for name in frame.columns if re.fullmatch(r"p[0-4]\d", name))
    pairs = [(name, f"p{100 - int(name[1:])}") for name in low]
    missing = [high for _, high in pairs if high not in frame.columns]
    if missing or not pairs:
        wanted = missing[0] if missing else "p05 and p95"
        raise InputError(f"frame: expected columns such as p05, p50, p95; {wanted} is missing")
    return pairs
