"""The content of a lake: counts by table, underlying and session, as `check` reports them."""

import polars as pl

from wheelvec.lake.lake import BaseLake
from wheelvec.lake.summaries import Footers, Summary
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import Survey

HELD = pl.Schema(
    {
        "table": pl.String,
        "underlyings": pl.Int64,
        "files": pl.Int64,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "first": pl.Date,
        "last": pl.Date,
    }
)
UNDERLYINGS = pl.Schema(
    {
        "underlying": pl.String,
        "first": pl.Date,
        "last": pl.Date,
        "sessions": pl.Int64,
        "quoted": pl.Int64,
        "quotes": pl.Int64,
        "contracts": pl.Int64,
        "bars": pl.Int64,
        "closes": pl.Int64,
    }
)
COVERAGE = pl.Schema(
    {
        "underlying": pl.String,
        "session": pl.Date,
        "quotes": pl.Int64,
        "valid": pl.Int64,
        "contracts": pl.Int64,
        "bars": pl.Int64,
        "close": pl.Float64,
        "underlying_price": pl.Float64,
        "underlying_source": pl.String,
        "gap": pl.Float64,
    }
)
GAPS = pl.Schema(
    {
        "underlying": pl.String,
        "underlying_source": pl.String,
        "sessions": pl.Int64,
        "median": pl.Float64,
        "worst": pl.Float64,
        "worst_session": pl.Date,
    }
)
MADE_CLOSES = pl.Schema(
    {
        "underlying": pl.String,
        "close_source": pl.String,
        "sessions": pl.Int64,
        "first": pl.Date,
        "last": pl.Date,
    }
)
ENTRY_TIMES = pl.Schema({"entry_time": pl.String, "sessions": pl.Int64, "quotes": pl.Int64})


def held(lake: BaseLake, footers: Footers) -> pl.DataFrame:
    """The `HELD` frame, from the footers alone."""
    rows = []
    for name in lake.tables:
        mine = {month: footer for month, footer in footers.items() if month[0] == name}
        days = [day for footer in mine.values() if footer.days for day in footer.days]
        sizes = [lake.bytes_of(*month) for month in mine]
        size = None if None in sizes else sum(known for known in sizes if known is not None)
        held = len({u for (_, u, _), footer in mine.items() if footer.rows})
        count = sum(footer.rows for footer in mine.values())
        rows.append(
            (
                name,
                held,
                len(mine),
                count,
                size,
                min(days, default=None),
                max(days, default=None),
            )
        )
    return pl.DataFrame(rows, schema=HELD, orient="row")


def counts(
    underlying: str, survey: Survey, contracts: int, bars: int, sessions: Sessions
) -> pl.DataFrame:
    """The `UNDERLYINGS` row of an underlying; no row if all its files are empty."""
    days = survey.days["session"]
    if not len(days):
        return UNDERLYINGS.to_frame()
    inside = sessions.frame.filter(pl.col("session").is_between(days.min(), days.max()))["session"]
    held = survey.days.filter(pl.col("session").is_in(inside.implode()))["table"]
    quoted, closes = ((held == name).sum() for name in ("option_quotes", "underlying_bars"))
    row = (
        underlying,
        days.min(),
        days.max(),
        len(inside),
        quoted,
        survey.chain["count"].sum(),
        contracts,
        bars,
        closes,
    )
    return pl.DataFrame([row], schema=UNDERLYINGS, orient="row")


def coverage(underlying: str, survey: Survey, summary: Summary, sessions: Sessions) -> pl.DataFrame:
    """The `COVERAGE` rows of an underlying."""
    days = survey.days["session"]
    inside = pl.col("session").is_between(days.min(), days.max())
    listed = survey.listed.group_by("session").agg(pl.col("contracts").sum())
    found = sessions.frame.filter(inside).select("session")
    for other in (
        survey.chain.select("session", "valid", quotes="count", underlying_price="spot"),
        listed,
        summary["traded"].rename({"count": "bars"}),
        survey.closes.select("session", "close"),
        summary["sources"],
    ):
        found = found.join(other, on="session", how="left", maintain_order="left")
    found = found.with_columns(
        pl.col("quotes", "valid", "contracts", "bars").fill_null(0),
        underlying=pl.lit(underlying),
        gap=pl.col("underlying_price") / pl.col("close") - 1,
    )
    return found.select(*COVERAGE)


def made_closes(underlying: str, made: pl.DataFrame) -> pl.DataFrame:
    """The `MADE_CLOSES` rows of an underlying, from sessions and sources of its made closes."""
    found = made.group_by("close_source").agg(
        sessions=pl.len().cast(pl.Int64),
        first=pl.col("session").min(),
        last=pl.col("session").max(),
    )
    return (
        found.with_columns(underlying=pl.lit(underlying)).select(*MADE_CLOSES).sort("close_source")
    )


def gaps(covered: pl.DataFrame) -> pl.DataFrame:
    """The `GAPS` frame of a `COVERAGE` frame, without days that lack one of the two prices."""
    known = covered.filter(pl.col("gap").is_finite())
    size = pl.col("gap").abs()
    found = known.group_by("underlying", "underlying_source", maintain_order=True).agg(
        sessions=pl.len().cast(pl.Int64),
        median=size.median(),
        worst=pl.col("gap").get(size.arg_max()),
        worst_session=pl.col("session").get(size.arg_max()),
    )
    return found.select(*GAPS)


def entry_times(minutes: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """The `ENTRY_TIMES` frame, the most frequent time first.

    `minutes` has one row per underlying, session and minute since 1970, UTC.
    """
    start = (
        pl.from_epoch(pl.col("minute") * 60, time_unit="s")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(timezone)
    )
    times = minutes.group_by(entry_time=start.dt.strftime("%H:%M")).agg(
        sessions=pl.len().cast(pl.Int64), quotes=pl.col("quotes").sum()
    )
    return times.select(*ENTRY_TIMES).sort(
        ["sessions", "quotes", "entry_time"], descending=[True, True, False]
    )
