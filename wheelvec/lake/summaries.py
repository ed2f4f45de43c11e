"""Summaries of some months of a table of one underlying: what `check` needs of their rows.

Of the tables only the columns that a finding needs are decoded, some months at a time.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from wheelvec.lake.lake import BaseLake
from wheelvec.lake.parquet import Footer
from wheelvec.tables import validation
from wheelvec.tables.runs import MINUTES, Runs
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import SCHEMAS, Survey
from wheelvec.tables.validation import TABLES

Month = tuple[str, str, dt.date]  # table, underlying, first day
Footers = Mapping[Month, Footer]
Summary = dict[str, pl.DataFrame]

_BATCH_ROWS = 500_000  # 50 MB of quotes

SEEN = pl.Schema({"symbol": pl.String, "session": pl.Date, "quoted": pl.Boolean})
RANGES = pl.Schema(
    {
        "session": pl.Date,
        "expiration": pl.Date,
        "option_type": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)
TRADED = pl.Schema({"session": pl.Date, "count": pl.Int64})
SOURCES = pl.Schema({"session": pl.Date, "underlying_source": pl.String})
MADE = pl.Schema({"session": pl.Date, "close_source": pl.String})
# The frames of a summary, each of which a table may lack.
FRAMES: dict[str, pl.Schema] = {
    "tally": validation.TALLY,
    **SCHEMAS,
    "sources": SOURCES,
    "ranges": RANGES,
    "minutes": MINUTES,
    "seen": SEEN,
    "traded": TRADED,
    "made": MADE,
}

# The columns that are decoded. Bars were validated when they were written; only their day may be
# no session of this calendar.
_DECODED = {
    "option_quotes": tuple(TABLES["option_quotes"].schema),
    "option_bars": ("symbol", "session"),
    "underlying_bars": ("session", "close", "close_source"),
    "dividends": ("ex_date",),
}


@dataclass(frozen=True)
class Batch:
    """Some months of one table of one underlying, read together."""

    table: str
    underlying: str
    months: tuple[dt.date, ...]


def batches(lake: BaseLake, underlying: str, footers: Footers) -> Iterator[Batch]:
    """The months of an underlying in batches, because reading many small files is slow."""
    for name in lake.tables:
        months, rows = [], 0
        for month in lake.months(name, underlying):
            months.append(month)
            rows += footers[name, underlying, month].rows
            if rows >= _BATCH_ROWS:
                yield Batch(name, underlying, tuple(months))
                months, rows = [], 0
        if months:
            yield Batch(name, underlying, tuple(months))


def summary(lake: BaseLake, batch: Batch, sessions: Sessions) -> Summary:
    """The summary of some months of a table."""
    name, underlying = batch.table, batch.underlying
    rows = lake.columns(name, underlying, batch.months, _DECODED[name]).with_columns(
        underlying=pl.lit(underlying)
    )
    if name == "option_quotes":
        runs = Runs.of(rows)
        tally = {"tally": validation.tally_quotes(runs, sessions)}
        return tally | Survey.of_quotes(runs, sessions)._asdict() | _quotes(runs)
    tally = {"tally": validation.tally(name, rows, sessions)}
    if name == "dividends":
        return tally
    tally |= Survey.of_bars(name, rows)._asdict()
    if name == "option_bars":
        tally["seen"] = rows.group_by("symbol").agg(pl.col("session").max(), quoted=pl.lit(False))
        tally["traded"] = rows.group_by("session").agg(count=pl.len().cast(pl.Int64))
    if name == "underlying_bars":
        tally["made"] = rows.filter(pl.col("close_source").is_not_null()).select(*MADE)
    return tally


def _quotes(runs: Runs) -> Summary:
    rows, named = runs.quotes, "underlying_source"
    of_day = rows[named].gather(runs.begins) if named in rows.columns else pl.lit(None, pl.String)
    sources = runs.table.select("session", of_day.alias(named))
    return {
        "sources": sources.group_by("session").agg(pl.col(named).drop_nulls().first()),
        "ranges": runs.ranges(),
        "minutes": runs.minutes(),
    }


def joined(summaries: Iterable[Summary]) -> Summary:
    """The summaries of several batches as one, with all of `FRAMES`."""
    found = list(summaries)
    return {
        name: pl.concat([schema.to_frame(), *(each[name] for each in found if name in each)])
        for name, schema in FRAMES.items()
    }
