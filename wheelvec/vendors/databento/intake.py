"""Import of Databento's records into a lake: checked rows by session, and records of the source."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import polars as pl

from wheelvec.lake import answers, lake
from wheelvec.model import osi, schemas
from wheelvec.tables import validation
from wheelvec.tables.roots import Roots
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import TABLES
from wheelvec.vendors.databento import venues
from wheelvec.vendors.databento.incoming import Download
from wheelvec.vendors.databento.requests import entry_of

Source = tuple[str, str]  # dataset, schema
# the fields of the records that fill a table; `venues.BAR_FIELDS` for the others
FIELDS = {"option_quotes": venues.QUOTE_FIELDS}
_UNITS = [pl.col("session"), pl.col("symbol")]


class Records(Protocol):
    """The attributes of `opra.Records` that are used here."""

    @property
    def dataset(self) -> str: ...
    @property
    def schema(self) -> str: ...
    @property
    def rows(self) -> pl.DataFrame: ...


def take(
    root: Path,
    download: Download,
    records: Records,
    calendar: str,
    official: Callable[[dt.date], bool],
) -> None:
    """Write the answer to one request into its table.

    Rows of a session that was requested again replace the lake's; an empty answer leaves them.

    Args:
        root: the lake.
        download: the answer on disk.
        records: its records.
        calendar: the trading calendar.
        official: whether the underlying's daily bar of a session is an official one, and so is not
            made of minutes.
    """
    source, last = (
        (records.dataset, records.schema),
        (download.end - dt.timedelta(microseconds=1)).date(),
    )
    sessions = Sessions.known(calendar, download.start.date(), last)
    again = download.again and not records.rows.is_empty()
    local = download.start.astimezone(ZoneInfo(sessions.timezone)).date()
    if download.table == "option_quotes":
        minute, look_back = entry_of(records.schema, download.start, download.end)
        quotes = venues.quotes_of(records.rows, records.schema)
        take_quotes(
            root, download.underlying, quotes, local, minute, look_back, source, again=again
        )
    elif download.table == "underlying_minutes":
        hours = sessions.frame.filter(pl.col("session") == local)
        take_minutes(
            root,
            download.underlying,
            records.rows,
            hours,
            source,
            daily=not official(local),
            again=again,
        )
    elif download.table == "option_bars":
        take_option_bars(
            root,
            download.underlying,
            records.rows,
            sessions.frame["session"].to_list(),
            source,
            again=again,
        )
    else:
        take_summary(
            root, download.underlying, records.rows, sessions.frame["session"].to_list(), source
        )


def take_quotes(
    root: Path,
    underlying: str,
    quotes: pl.DataFrame,
    session: dt.date,
    minute: dt.datetime,
    look_back: int,
    source: Source,
    whole: bool = True,
    again: bool = False,
) -> int:
    """Write the chain of one entry minute, and return the number of kept rows.

    Its underlying_price is the close of the underlying's bar of the same minute. Quotes of other
    minutes stay.

    Args:
        root: the lake.
        underlying: the underlying of the chain.
        quotes: symbol, ts, bid, ask in order of arrival, from `look_back` minutes before the minute
            on; prices in dollars per share.
        session: the session of the minute.
        minute: its start, UTC.
        look_back: minutes before it in which a quote may have changed last.
        source: dataset and schema.
        whole: whether all contracts of the underlying were requested.
        again: whether they replace all quotes that the lake has of that minute, not only those of
            the same contracts.
    """
    price = _price_at(root, underlying, session, minute)
    chosen = venues.entry_quotes(quotes, minute, look_back, price)
    absent = [
        pl.lit(None, schemas.OPTION_QUOTES[name]).alias(name)
        for name in ("expiration", "strike", "option_type", "underlying_source")
    ]
    constant = {"underlying": pl.lit(underlying), "session": pl.lit(session, pl.Date)}
    rows = chosen.with_columns(
        *absent, **constant, underlying_price=pl.lit(price, pl.Float64)
    ).select(*schemas.OPTION_QUOTES)
    held = validation.check_quotes(rows)
    ts = pl.col("ts").dt.truncate("1m")
    unit = (
        [pl.col("session"), ts.fill_null(pl.lit(minute, schemas.TIMESTAMP))]
        if again
        else [*_UNITS, ts]
    )
    lake.merge(root, TABLES["option_quotes"], underlying, held.rows, unit, held.aside)
    ages = chosen.with_columns(session=pl.lit(session, pl.Date)).filter(
        pl.col("age_seconds").is_not_null()
    )
    if not ages.is_empty():
        lake.merge(root, answers.AGES, underlying, ages.select(*answers.AGES.schema), unit)
    answers.record(
        root,
        underlying,
        "option_quotes",
        {session: len(held.rows)},
        source,
        minute=minute,
        look_back=look_back,
        whole=whole,
    )
    return len(held.rows)


def _price_at(root: Path, underlying: str, session: dt.date, minute: dt.datetime) -> float | None:
    """The close of the underlying's entry minute, in dollars; None if it did not trade then."""
    minutes = lake.stored(
        root, answers.MINUTES, underlying, ("session", "ts", "close"), (session, session)
    )
    found = minutes.filter(pl.col("ts") == minute)["close"]
    return None if found.is_empty() else float(found[0])


def take_option_bars(
    root: Path,
    underlying: str,
    bars: pl.DataFrame,
    sessions: Sequence[dt.date],
    source: Source,
    whole: bool = True,
    again: bool = False,
) -> int:
    """Write the contracts' daily bars of some sessions, and return the number of kept rows.

    Args:
        root: the lake.
        underlying: the underlying of the contracts.
        bars: `venues.BAR_FIELDS` of ohlcv-1d.
        sessions: the sessions that were requested.
        source: dataset and schema.
        whole: whether all contracts of the underlying were requested.
        again: whether the bars of a session replace all that the lake has of it, not only those of
            the same contracts.
    """
    rows = venues.daily(bars).filter(pl.col("session").is_in(list(sessions)))
    roots = Roots(
        dict.fromkeys(rows.select(osi.root(pl.col("symbol")).unique()).to_series(), underlying)
    )
    held = validation.check_option_bars(rows, roots, _highs(root, underlying, sessions))
    kept = held.rows.select(*TABLES["option_bars"].schema).sort("session", "symbol")
    lake.merge(
        root, TABLES["option_bars"], underlying, kept, _UNITS[:1] if again else _UNITS, held.aside
    )
    answers.record(root, underlying, "option_bars", _counts(kept, sessions), source, whole=whole)
    return len(kept)


def _highs(root: Path, underlying: str, sessions: Sequence[dt.date]) -> pl.DataFrame:
    """(underlying, session, high in dollars) of the daily bars that the lake has."""
    days = (min(sessions), max(sessions)) if sessions else (dt.date.max, dt.date.min)
    bars = lake.stored(root, TABLES["underlying_bars"], underlying, ("session", "high"), days)
    return bars.select(pl.lit(underlying).alias("underlying"), "session", "high")


def take_minutes(
    root: Path,
    underlying: str,
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    source: Source,
    daily: bool,
    whole: bool = True,
    again: bool = False,
) -> int:
    """Write the underlying's minutes of regular sessions, and return the number of minutes.

    Args:
        root: the lake.
        underlying: its symbol.
        bars: `venues.BAR_FIELDS` of ohlcv-1m.
        sessions: session, open and close (Datetime ns, UTC) of the requested sessions.
        source: dataset and schema.
        daily: whether the daily bars of the underlying are made of the minutes.
        whole: whether the minutes reach from open to close.
        again: whether the minutes of a session replace all that the lake has of it.
    """
    named = bars.filter(pl.col("symbol").cast(pl.String) == underlying)
    minutes = venues.minutes_of(named, sessions).select(*answers.MINUTES.schema)
    lake.merge(root, answers.MINUTES, underlying, minutes, [pl.col("session" if again else "ts")])
    days = sessions["session"].to_list()
    if daily:
        _take_bars(root, underlying, venues.regular_bars(minutes), days, source)
    answers.record(
        root, underlying, "underlying_minutes", _counts(minutes, days), source, whole=whole
    )
    return len(minutes)


def take_summary(
    root: Path, underlying: str, bars: pl.DataFrame, sessions: Sequence[dt.date], source: Source
) -> int:
    """Write the underlying's official daily bars of some sessions, and return their number."""
    named = bars.filter(pl.col("symbol").cast(pl.String) == underlying)
    return _take_bars(
        root,
        underlying,
        venues.daily(named).filter(pl.col("session").is_in(list(sessions))),
        sessions,
        source,
    )


def make_missing_bars(root: Path, underlying: str, without: Sequence[dt.date]) -> None:
    """Make the daily bars of sessions that have only minutes, but for those in `without`."""
    wanted = TABLES["underlying_bars"]
    held = lake.stored(root, wanted, underlying, ("session",))["session"].unique().implode()
    minutes = lake.stored(root, answers.MINUTES, underlying)
    lone = minutes.filter(~pl.col("session").is_in(held) & ~pl.col("session").is_in(list(without)))
    said = answers.recorded(root, underlying).filter(
        (pl.col("table") == "underlying_minutes") & pl.col("whole")
    )
    for dataset, schema, session in said.select("dataset", "schema", "session").iter_rows():
        rows = lone.filter(pl.col("session") == session)
        if not rows.is_empty():
            _take_bars(root, underlying, venues.regular_bars(rows), [session], (dataset, schema))


def _take_bars(
    root: Path, underlying: str, bars: pl.DataFrame, sessions: Sequence[dt.date], source: Source
) -> int:
    rows = bars.with_columns(
        underlying=pl.lit(underlying), close_source=pl.lit(None, pl.String)
    ).select(*schemas.UNDERLYING_BARS)
    held = validation.check_underlying_bars(rows)
    kept = held.rows.select(*schemas.UNDERLYING_BARS)
    # the source first: after a crash between the two, a bar without a recorded source would look
    # like one of another vendor for ever
    answers.record(root, underlying, "underlying_bars", _counts(kept, sessions), source)
    lake.merge(root, TABLES["underlying_bars"], underlying, kept, [pl.col("session")], held.aside)
    return len(kept)


def _counts(rows: pl.DataFrame, sessions: Sequence[dt.date]) -> dict[dt.date, int]:
    """The number of rows of each session, 0 for sessions without rows."""
    found = dict(rows["session"].value_counts().iter_rows())
    return {session: found.get(session, 0) for session in sessions}
