"""What was asked of a vendor, and what came back.

Kept beside the tables, so that nothing is paid for twice.

    lake/answers/underlying=TSLA/2023-06.parquet
        one row per session, table and request: the source, empty or not
    lake/underlying_minutes/underlying=TSLA/2023-06.parquet
        the underlying's minutes of regular sessions
    lake/quote_ages/underlying=TSLA/2023-06.parquet
        how long before the entry minute a quote last changed

The same plain Parquet, written the same way as the tables. A market does not read them.
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
        "whole": pl.Boolean(),  # all of the underlying's contracts were asked for, not some by name
        "rows": pl.Int64(),  # kept of this session; 0: asked for and found empty
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
    """Note that `source`, (dataset, schema), was asked for some sessions of a table, and how many
    rows each had.

    What was asked for in part is not noted over what was asked for whole.
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
    """All that was noted of one underlying, `ANSWERS.schema`."""
    return lake.stored(root, ANSWERS, underlying)
