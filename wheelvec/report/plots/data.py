"""Charts of market data: the smile of a session with the candidates, and what data there are."""

import datetime as dt
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, cut, unknown_name
from wheelvec.report.plots.theme import GREY, ORANGE, PALETTE, drawn, finished, unchecked
from wheelvec.report.plots.thinning import CELLS, POINTS
from wheelvec.stages.chain import collapse, rates, solved, to_keep
from wheelvec.tables.sessions import Sessions

EXPIRATIONS = 6  # lines of a smile
NEAR = (0.02, 0.98)  # absolute delta: beyond, a tick of the price is many points of volatility
TABLES = {"option_quotes": "quotes", "underlying_bars": "closes", "option_bars": "option bars"}


@unchecked
def chain(
    market: Market, underlying: str, session: str | dt.date, config: Config | None = None
) -> Any:
    """The implied volatilities of one session's entry minute, and which puts were candidates.

    Args:
        market: the tables.
        underlying: its symbol.
        session: a date, or text such as "2024-01-02".
        config: the rules; candidates are the puts within its put.dte_* and put.delta_*.

    Returns:
        An Altair chart: a line an expiration, at most six of them, evenly chosen.

    Raises:
        InputError: for an unknown underlying, or a session without a quote in the entry minute.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> wv.plots.chain(market, "ALFA", "2024-01-02").to_dict()["title"]["text"]
        'ALFA on 2024-01-02: IV of the puts'
    """
    if config is not None and not isinstance(config, Config):
        raise InputError(f"config is {cut(config)}: expected a wheelvec.Config")
    rules = Config() if config is None else config
    puts = solved_puts(market, underlying, session, rules)
    day, spot = puts["session"][0], puts["underlying_price"].median()
    shown, count = _expirations(puts)
    names = [str(each) for each in shown]
    near = pl.col("delta").is_between(*NEAR) & pl.col("expiration").is_in(shown)
    base = alt.Chart(drawn(puts.filter(near).head(POINTS)))
    x = alt.X("strike:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title="Strike, dollars"))
    y = alt.Y(
        "iv:Q",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(title="Implied volatility, percent a year"),
    )
    colour = alt.Color("expiration:N", scale=alt.Scale(domain=names, range=PALETTE[: len(names)]))
    tips = [
        alt.Tooltip("expiration:N"),
        alt.Tooltip("strike:Q"),
        alt.Tooltip("dte:Q"),
        *(alt.Tooltip(f"{name}:Q", format=".3~f") for name in ("bid", "ask", "iv", "delta")),
    ]
    candidates = puts.filter("candidate")
    at = (
        alt.Chart(pl.DataFrame({"spot": [spot]}))
        .mark_rule(color=GREY, strokeDash=[4, 3])
        .encode(x=alt.X("spot:Q"))
    )
    parts = [
        at,
        base.mark_line(opacity=0.8).encode(x=x, y=y, color=colour),
        base.mark_point(size=18, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, tooltip=tips
        ),
        alt.Chart(drawn(candidates.head(POINTS)))
        .mark_point(size=110, color=ORANGE, strokeWidth=2, filled=False)
        .encode(x=x, y=y, tooltip=tips),
    ]
    note = [
        f"rings: {candidates.height} puts within put.dte_* and put.delta_*; dashed: the underlying",
        f"{len(names)} of {count} expirations; delta from {NEAR[0]:g} to {NEAR[1]:g}",
    ]
    return finished(alt.layer(*parts), f"{underlying} on {day}: IV of the puts", note)


def _expirations(puts: pl.DataFrame) -> tuple[list[dt.date], int]:
    """At most six expirations, those of candidates among them, and how many there are."""
    days = puts["expiration"].unique().sort().to_list()
    wanted = puts.filter("candidate")["expiration"].unique().sort().to_list()[:EXPIRATIONS]
    others = [day for day in days if day not in wanted]
    left = min(EXPIRATIONS - len(wanted), len(others))
    even = np.linspace(0, max(len(others) - 1, 0), left).round().astype(int)
    return sorted([*wanted, *(others[i] for i in even)]), len(days)


def solved_puts(
    market: Market, underlying: str, session: str | dt.date, rules: Config
) -> pl.DataFrame:
    """The solved puts of an entry minute: `schemas.SOLVED_CHAIN`, dte and whether candidate.

    `iv` is in percent per year here.

    Args:
        market: the tables.
        underlying: its symbol.
        session: a date or its text.
        rules: the configuration.

    Raises:
        InputError: for an unknown underlying, or a session without a solved put.
    """
    if not isinstance(market, Market):
        raise InputError(f"market: {cut(market)}: expected a Market")
    if underlying not in market.symbols:
        raise InputError(unknown_name("symbol", underlying, market.symbols))
    day = _day(session)
    known = Sessions.known(rules.schedule.trading_calendar, day, day)
    quotes = market.quotes(underlying, day, day)
    if not known.frame.height or not quotes.height:
        raise InputError(f"session = {day}: {underlying} has no quote on it")
    sessions = known.frame.select("session", pl.col("number").cast(pl.Int64)).with_columns(
        minute=known.entry_minutes(rules.schedule.entry_time)
    )
    sessions = sessions.with_columns(number=pl.int_range(pl.len(), dtype=pl.Int64))
    curves = [
        rates(getattr(rules.pricing, name), sessions, day, name)
        for name in ("rate", "dividend_yield")
    ]
    chain = solved(*collapse(quotes, sessions, None), sessions, *curves)
    ((found, _),) = to_keep(chain, [0, sessions.height], sessions)
    puts = found.filter(pl.col("is_put") & pl.col("iv").is_not_nan()).with_columns(
        iv=100.0 * pl.col("iv"),
        dte=(pl.col("expiration") - pl.col("session")).dt.total_days(),
    )
    if not puts.height:
        raise InputError(
            f"session = {day}: no put of {underlying} has an implied volatility at "
            f"{rules.schedule.entry_time}"
        )
    put = rules.put
    inside = pl.col("dte").is_between(put.dte_min, put.dte_max) & pl.col("delta").is_between(
        put.delta_min, put.delta_max
    )
    return puts.with_columns(candidate=inside).sort("expiration", "strike")


def _day(session: str | dt.date) -> dt.date:
    try:
        return session if isinstance(session, dt.date) else dt.date.fromisoformat(session)
    except (TypeError, ValueError):
        raise InputError(
            f"session = {cut(session)}: expected a date or text such as '2024-01-02'"
        ) from None


@unchecked
def coverage(market: Market) -> Any:
    """The coverage of the data by day: sessions with valid quotes and closes, by underlying.

    Args:
        market: the tables; of a lake all its files are read.

    Returns:
        An Altair chart. More than 50 sessions are drawn as weeks, months, quarters or years, more
        than 25 underlyings as the 24 with the most gaps, and all others together.

    Raises:
        InputError: if it is no Market.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> wv.plots.coverage(market).to_dict()["title"]["text"]
        'Sessions with data'
    """
    cells, length = coverage_cells(market)
    rows = cells["row"].unique(maintain_order=True).to_list()
    periods = cells["period"].unique().sort().to_list()
    last = cells["end"].unique().sort().to_list()
    chart = (
        alt.Chart(drawn(cells))
        .mark_rect()
        .encode(
            x=alt.X(
                "period:N",
                sort=periods,
                axis=alt.Axis(
                    title=f"{length.capitalize()} from",
                    labelAngle=0,
                    labelOverlap="greedy",
                    labelSeparation=10,
                ),
            ),
            y=alt.Y("row:N", sort=rows, axis=alt.Axis(title=None)),
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(
                    domain=[0, 0.5, 0.99, 1],
                    range=["#d55e00", "#f0b27a", "#cfe3f1", "#2b83ba"],
                    interpolate="rgb",
                ),
                legend=alt.Legend(title=None, format=".0%", gradientLength=160),
            ),
            tooltip=[
                alt.Tooltip("row:N"),
                alt.Tooltip("period:N"),
                alt.Tooltip("sessions:Q"),
                alt.Tooltip("held:Q"),
            ],
        )
    )
    note = [
        f"share of the sessions of each {length} with valid quotes, and with a close",
        f"{periods[0]} to {last[-1]}" if periods else "no session",
    ]
    return finished(chart, "Sessions with data", note, height=max(20 * len(rows), 60))


def coverage_cells(market: Market) -> tuple[pl.DataFrame, str]:
    """The share of sessions with quotes and closes, by underlying and period, and its length.

    Args:
        market: the tables.

    Returns:
        row (underlying and table), period (its first session), end (its last), sessions, held and
        share; and day, week, month, quarter or year.

    Raises:
        InputError: if it is no Market.
    """
    if not isinstance(market, Market):
        raise InputError(f"coverage: {cut(market)}: expected a Market")
    days = sessions_held(market)
    every, length = _period(days["session"].unique().sort())
    names = _fewest(days)
    shown = (
        pl.when(pl.col("underlying").is_in(names)).then("underlying").otherwise(pl.lit("others"))
    )
    long = days.with_columns(name=shown, start=pl.col("session").dt.truncate(every)).unpivot(
        ["option_quotes", "underlying_bars"],
        index=["name", "start", "session"],
        variable_name="table",
        value_name="held",
    )
    cells = long.group_by("name", "table", "start").agg(
        period=pl.col("session").min(),
        end=pl.col("session").max(),
        sessions=pl.len().cast(pl.Int64),
        held=pl.col("held").sum().cast(pl.Int64),
    )
    return cells.with_columns(
        row=pl.col("name") + " " + pl.col("table").replace_strict(TABLES),
        period=pl.col("start").rank("dense").over(pl.lit(1)).cast(pl.Int64),
        first=pl.col("period").min().over("start"),
        share=pl.col("held") / pl.col("sessions"),
    ).with_columns(period=pl.col("first")).drop("start", "first").sort(
        (pl.col("name") == "others"), "name", "table", "period"
    ), length


def sessions_held(market: Market) -> pl.DataFrame:
    """underlying, session, and whether it has valid quotes and a close.

    Each underlying's span is that of its data.
    """
    found = market.findings(market.symbols)
    quoted = found.chain.filter(pl.col("valid") > 0).select(
        "underlying", "session", option_quotes=pl.lit(True)
    )
    closes = market.underlying_bars.filter(
        pl.col("close").is_not_null() & pl.col("underlying").is_in(market.symbols)
    ).select("underlying", "session", underlying_bars=pl.lit(True))
    both = pl.concat(
        [quoted.select("underlying", "session"), closes.select("underlying", "session")]
    )
    spans = both.group_by("underlying").agg(
        first=pl.col("session").min(), last=pl.col("session").max()
    )
    days = market.sessions.frame.select("session").join(spans, how="cross")
    days = days.filter(pl.col("session").is_between("first", "last")).select(
        "underlying", "session"
    )
    for table in (quoted, closes):
        days = days.join(table, on=("underlying", "session"), how="left")
    return days.with_columns(pl.col("option_quotes", "underlying_bars").fill_null(False)).sort(
        "underlying", "session"
    )


def _period(sessions: pl.Series) -> tuple[str, str]:
    """The shortest period of which there are at most 50."""
    choices = (("1d", "day"), ("1w", "week"), ("1mo", "month"), ("1q", "quarter"), ("1y", "year"))
    for every, length in choices:
        if sessions.dt.truncate(every).n_unique() <= CELLS:
            return every, length
    return choices[-1]


def _fewest(days: pl.DataFrame) -> list[str]:
    """The underlyings that are drawn: all of at most 25, else the 24 with the most gaps."""
    gaps = (~pl.col("option_quotes") | ~pl.col("underlying_bars")).sum()
    counts = (
        days.group_by("underlying")
        .agg(gaps=gaps)
        .sort("gaps", "underlying", descending=[True, False])
    )
    names: list[str] = counts["underlying"].to_list()
    return names if len(names) <= CELLS // 2 else names[: CELLS // 2 - 1]
