"""The page of a market: what data there are, day by day, and what is odd about them."""

import polars as pl

from wheelvec.market.market import Market
from wheelvec.report.pages.elements import Element, Figure, Page, Section, shown, table_of
from wheelvec.report.pages.rendering import chart
from wheelvec.report.plots.data import coverage, sessions_held
from wheelvec.tables.anomalies import Findings
from wheelvec.tables.sessions import Sessions

LISTED = 400  # rows of a table


def market_page(market: Market) -> Page:
    """The page of a market. Of a lake all its files are read."""
    days, found = sessions_held(market), market.findings(market.symbols)
    by_name = _by_underlying(days)
    words = "Map of the share of sessions with valid quotes and closes: " + "; ".join(
        f"{name} {quoted} of {sessions} with quotes, {closes} with a close"
        for name, sessions, quoted, closes in by_name.select(
            "underlying", "sessions", "quotes", "closes"
        )
        .head(12)
        .iter_rows()
    )
    elements: list[Element] = (
        [chart("coverage-chart", coverage(market), words)] if days.height else []
    )
    sections = [
        Section(
            "coverage",
            "Coverage",
            [*elements, table_of("underlyings", "Sessions by underlying", by_name)],
        ),
        Section(
            "holes",
            "Holes",
            _listed("holes-table", "Runs of sessions that a table lacks", found.holes),
        ),
        Section("odd", "What is odd", _odd(market, found)),
        Section(
            "rows",
            "Rows set aside, and anomalies",
            _listed("diagnostics", "By table, underlying and reason", market.diagnostics),
        ),
    ]
    return Page(
        "Market data",
        _sentence(market),
        _top(market, days),
        _caveats(market, days, found),
        [each for each in sections if each.elements],
        f"Data {market.fingerprint}. Dates are sessions of {market.trading_calendar}; times are "
        "UTC unless they name a clock.",
    )


def _sentence(market: Market) -> str:
    names = ", ".join(market.symbols[:6])
    more = f" and {len(market.symbols) - 6} more" if len(market.symbols) > 6 else ""
    first, last = market.data_range or ("-", "-")
    return f"Quotes and bars of {names or 'no underlying'}{more}, from {first} to {last}."


def _top(market: Market, days: pl.DataFrame) -> list[Figure]:
    missing = days.filter(~pl.col("option_quotes")).height
    closes = days.filter(~pl.col("underlying_bars")).height
    return [
        Figure("Underlyings", shown(len(market.symbols))),
        Figure(
            "Sessions", shown(days["session"].n_unique()), "of the calendar, in the data's span"
        ),
        Figure("Without quotes", shown(missing), "sessions, by underlying"),
        Figure("Without a close", shown(closes), "sessions, by underlying"),
        Figure(
            "Option bars",
            "yes" if market.has_option_bars else "no",
            "stops and targets rest on them",
        ),
    ]


def _caveats(market: Market, days: pl.DataFrame, found: Findings) -> list[str]:
    gaps = days.filter(~pl.col("option_quotes")).height
    text = [_times(market)]
    text.append(_sources(market))
    if not market.has_option_bars:
        text.append(
            "There are no option bars: the daily quotes decide stops and targets, seen at the "
            "minute of the quotes only."
        )
    if gaps:
        text.append(
            f"{gaps:,} sessions (by underlying) have no valid quote: nothing opens on them."
        )
    if market.splits is None:
        text.append(
            "No table of splits was given: legs that are open across one are unresolved where it "
            "is suspected. splits='known' has those of 51 names."
        )
    if market.dividends is None:
        text.append("No table of dividends was given: shares are held without them.")
    for frame, what in (
        (found.splits, "suspected splits"),
        (found.contradicted, "stated events that the prices contradict"),
        (found.adjusted, "runs of closes that look adjusted"),
        (found.adjusted_prices, "runs of underlying prices that look adjusted"),
        (found.ended, "underlyings whose bars end early"),
    ):
        if frame.height:
            text.append(f"{frame.height:,} {what}: see below.")
    return text


def _times(market: Market) -> str:
    """When the quotes are of, by the clock of the exchange."""
    chain = market.findings(market.symbols).chain.drop_nulls("first_ts")
    if not chain.height:
        return "The quotes have no time: whenever the vendor took them, once a session."
    zone = Sessions.known(market.trading_calendar, *market.data_range).timezone  # type: ignore[misc]
    clock = chain.select(
        pl.col("first_ts", "last_ts").dt.convert_time_zone(zone).dt.strftime("%H:%M")
    )
    usual = " to ".join(clock.group_by(clock.columns).len().sort("len", *clock.columns).row(-1)[:2])
    first, last = clock["first_ts"].min(), clock["last_ts"].max()
    return (
        f"On most sessions the quotes are of {usual}, on all of {first!s} to {last!s}, by the "
        f"clock of {zone}."
    )


def _sources(market: Market) -> str:
    """Where the price of the underlying beside the quotes, and the closes, are from."""
    found = []
    for what, frame, column in (
        ("price of the underlying beside a quote", market.option_quotes, "underlying_source"),
        ("closes", market.underlying_bars, "close_source"),
    ):
        counts = frame[column].fill_null("not recorded").value_counts(sort=True)
        found.append(
            f"{what}: " + ", ".join(f"{name} {count:,}" for name, count in counts.iter_rows())
        )
    return f"Sources, by rows; {'; '.join(found)}. The vendor's name is not part of the data."


def _by_underlying(days: pl.DataFrame) -> pl.DataFrame:
    return (
        days.group_by("underlying")
        .agg(
            first=pl.col("session").min(),
            last=pl.col("session").max(),
            sessions=pl.len().cast(pl.Int64),
            quotes=pl.col("option_quotes").sum().cast(pl.Int64),
            closes=pl.col("underlying_bars").sum().cast(pl.Int64),
        )
        .sort("underlying")
    )


def _listed(name: str, title: str, frame: pl.DataFrame) -> list[Element]:
    if not frame.height:
        return []
    note = "" if frame.height <= LISTED else f"the first {LISTED} of {frame.height:,}"
    return [table_of(name, title, frame.head(LISTED), note)]


def _odd(market: Market, found: Findings) -> list[Element]:
    elements: list[Element] = []
    for name, title in (
        ("splits", "Suspected splits that no table explains"),
        ("contradicted", "Stated events that the prices contradict"),
        ("adjusted", "Closes that differ from the quotes' underlying price by a factor"),
        ("adjusted_prices", "Underlying prices that differ from put-call parity by a factor"),
        ("ended", "Underlyings whose bars end before the market's last session"),
    ):
        elements += _listed(f"odd-{name}", title, getattr(found, name))
    return elements
