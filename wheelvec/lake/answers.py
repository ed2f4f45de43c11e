"""Records of a vendor's answers, kept in a lake so that nothing is paid for twice.

    lake/answers/underlying=TSLA/2023-06.parquet
        one row per session, table and request: its source and number of rows, which may be 0
    lake/underlying_minutes/underlying=TSLA/2023-06.parquet
        the underlying's minute bars of regular sessions
    lake/quote_ages/underlying=TSLA/2023-06.parquet
        how long before the entry minute a quote last changed

They are Parquet files written like those of the tables. A market does not read them.
"""

import datetime as dt
from pathlib import Path

import polars as pl

from wheelvec.lake import lake
from wheelvec.model.schemas import TIMESTAMP
from wheelvec.tables.validation import Table

ANSWERS = Table(
    "answers",
    {
        "session": pl.Date(),
        "table": pl.String(),
        "minute": TIMESTAMP,  # the entry minute of quotes; null for the other tables
        "dataset": pl.String(),
        "schema": pl.String(),
        "look_back": pl.Int64(),  # minutes
        "whole": pl.Boolean(),  # all of the underlying's contracts were requested, not some by name
        "rows": pl.Int64(),  # kept rows of this session; 0: requested and found empty
    },
    (),
    "session",
    ("session", "table", "minute", "schema"),
)
MINUTES = Table(
    "underlying_minutes",
    {
        "session": pl.Date(),
        "ts": TIMESTAMP,  # the start of the minute
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Int64(),
    },
    (),
    "session",
    ("session", "ts"),
)
AGES = Table(
    "quote_ages",
    {"session": pl.Date(), "symbol": pl.String(), "ts": TIMESTAMP, "age_seconds": pl.Float64()},
    (),
    "session",
    ("session", "symbol", "ts"),
)
KEPT_BESIDE = (ANSWERS, MINUTES, AGES)


def record(
    root: Path,
    underlying: str,
    table: str,
    rows: dict[dt.date, int],
    source: tuple[str, str],
    minute: dt.datetime | None = None,
    look_back: int = 0,
    whole: bool = True,
) -> None:
    """Record that sessions of a table were requested, and how many rows each had.

    A request for some contracts does not replace the record of one for all of them.

    Args:
        root: the lake.
        underlying: the underlying that was requested.
        table: such as option_quotes.
        rows: session -> number of kept rows.
        source: (dataset, schema).
        minute: the entry minute of quotes, UTC; None for other tables.
        look_back: minutes before the entry minute in which a quote may have changed.
        whole: whether all contracts of the underlying were requested.
    """
    if not whole:
        before = recorded(root, underlying).filter((pl.col("table") == table) & pl.col("whole"))
        asked = set(
            before.filter(pl.col("minute").eq_missing(pl.lit(minute, TIMESTAMP)))["session"]
        )
        rows = {session: count for session, count in rows.items() if session not in asked}
    said = {
        "table": table,
        "minute": minute,
        "dataset": source[0],
        "schema": source[1],
        "look_back": look_back,
    }
    found = [
        {"session": session, **said, "whole": whole, "rows": count}
        for session, count in sorted(rows.items())
    ]
    unit = [pl.col(name) for name in ANSWERS.key]
    lake.merge(root, ANSWERS, underlying, pl.DataFrame(found, schema=ANSWERS.schema), unit)


def recorded(root: Path, underlying: str) -> pl.DataFrame:
    """All records of one underlying, `ANSWERS.schema`."""
    return lake.stored(root, ANSWERS, underlying)
