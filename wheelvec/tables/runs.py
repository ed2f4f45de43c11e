"""Runs of quotes: the rows of one underlying, session, expiration and type that follow one another.

Quotes are sorted by symbol within a session, so a chain of thousands of rows is some dozens of
runs. Counts, least and greatest values of a session or expiration are found from its runs.
"""

from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from wheelvec.model import schemas
from wheelvec.tables.sessions import Sessions

_KEY = ("underlying", "session", "expiration", "option_type")
_LAST = np.iinfo(np.int64).max  # for a time that is null
_NANOS_PER_MINUTE = 60_000_000_000
MINUTES = pl.Schema({"session": pl.Date, "minute": pl.Int64, "quotes": pl.Int64})


class Runs(NamedTuple):
    """The runs of some quotes.

    Attributes:
        quotes: the rows, `schemas.OPTION_QUOTES`, by (underlying, session, symbol, ts).
        valid: (rows,) whether each is a valid quote.
        begins: (runs,) the first row of each run.
        table: (runs,) underlying, session, expiration, option_type; `count` of rows and of `valid`
            ones; `low` and `high` strike; `spot_low` and `spot_high`, of underlying_price;
            `first_ts` and `last_ts` in nanoseconds since 1970, null without any.
    """

    quotes: pl.DataFrame
    valid: npt.NDArray[np.bool_]
    begins: npt.NDArray[np.int64]
    table: pl.DataFrame

    @classmethod
    def of(cls, quotes: pl.DataFrame) -> Self:
        """The runs of quotes."""
        is_put = pl.col("option_type") == "P"
        tests = quotes.select(valid=schemas.valid_quote(is_put).fill_null(False), put=is_put)
        valid = tests["valid"].to_numpy()
        begins = begins_of(quotes, ("session", "expiration"), tests["put"].to_numpy())
        if not begins.size:
            return cls(quotes, valid, begins, _empty(quotes))
        strike = quotes["strike"].to_numpy()
        spot = quotes["underlying_price"].fill_null(np.nan).to_numpy()
        time = quotes["ts"].to_physical()
        timed = time.null_count() < len(time)
        table = quotes.select(pl.col(name).gather(begins) for name in _KEY).with_columns(
            count=np.diff(begins, append=len(quotes)),
            valid=np.add.reduceat(valid.astype(np.int64), begins),
            low=np.minimum.reduceat(strike, begins),
            high=np.maximum.reduceat(strike, begins),
            spot_low=np.minimum.reduceat(spot, begins),
            spot_high=np.maximum.reduceat(spot, begins),
            first_ts=_least(time, begins) if timed else pl.lit(None, pl.Int64),
            last_ts=-_least(-time, begins) if timed else pl.lit(None, pl.Int64),
        )
        return cls(quotes, valid, begins, table)

    def rows(self, chosen: pl.Series, *columns: str) -> pl.DataFrame:
        """Some columns of the quotes of some runs, and `valid`; `chosen` is (runs,) of Booleans."""
        mask = np.repeat(chosen.to_numpy(), self.table["count"].to_numpy())
        at = np.flatnonzero(mask)
        return self.quotes.select(pl.col(columns).gather(at)).with_columns(valid=self.valid[at])

    def suspicious(self, sessions: Sessions) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows that `validation.tally` must look at closely, and the sessions of other days.

        Returns:
            Quotes that are invalid, on no session, or in a run some of whose times are of another
            day of the exchange than the session; and (session,) of such runs.
        """

        def local(name: str) -> pl.Expr:
            ts = pl.col(name).cast(schemas.TIMESTAMP)
            return ts.dt.convert_time_zone(sessions.timezone).dt.date()

        known = pl.col("session").is_in(sessions.frame["session"].implode())
        other = pl.any_horizontal(
            (local(name) != pl.col("session")).fill_null(False) for name in ("first_ts", "last_ts")
        )
        odd = self.table.select("session", other=other, odd=~known | other)
        mask = ~self.valid
        if odd["odd"].any():
            mask |= np.repeat(odd["odd"].to_numpy(), self.table["count"].to_numpy())
        return self.quotes.filter(mask), odd.filter("other").select("session").unique()

    def minutes(self) -> pl.DataFrame:
        """The numbers of quotes by session and minute since 1970 (null without a time)."""
        first, last = (pl.col(name) // _NANOS_PER_MINUTE for name in ("first_ts", "last_ts"))
        timed = self.quotes["ts"].null_count()
        one = self.table.select((first == last).fill_null(timed == len(self.quotes))).to_series()
        if 0 < timed < len(self.quotes):
            one = pl.repeat(False, len(self.table), dtype=pl.Boolean, eager=True)
        minute = pl.col("ts").to_physical() // _NANOS_PER_MINUTE
        counts = [self.table.filter(one).select("session", minute=first, quotes="count")]
        if not one.all():
            several = self.rows(~one, "session", "ts").group_by("session", minute=minute)
            counts.append(several.agg(quotes=pl.len().cast(pl.Int64)))
        found = pl.concat([MINUTES.to_frame(), *counts])
        return found.group_by("session", "minute").agg(pl.col("quotes").sum())

    def ranges(self) -> pl.DataFrame:
        """The lowest and highest strike by session, expiration and type."""
        return self.table.group_by("session", "expiration", "option_type").agg(
            pl.col("low").min(), pl.col("high").max()
        )


def begins_of(
    rows: pl.DataFrame, days: tuple[str, ...], *others: npt.NDArray[Any]
) -> npt.NDArray[np.int64]:
    """The numbers of the rows that differ from the one before in something.

    Args:
        rows: sorted by underlying, one of the things.
        days: columns of days without nulls, which are compared.
        others: (rows,) further values to compare.
    """
    if rows.is_empty():
        return np.zeros(0, np.int64)
    named, differs = rows["underlying"], np.zeros(len(rows), np.bool_)
    if named[0] != named[-1]:
        differs = (named != named.shift()).fill_null(True).to_numpy(writable=True)
    for values in (*(rows[day].cast(pl.Int32).to_numpy() for day in days), *others):
        differs[1:] |= values[1:] != values[:-1]
    differs[0] = True
    return np.flatnonzero(differs)


def _least(times: pl.Series, begins: npt.NDArray[np.int64]) -> pl.Series:
    """The least of each run's times; null for a run without any."""
    least = pl.Series(np.minimum.reduceat(times.fill_null(_LAST).to_numpy(), begins))
    return least.replace(_LAST, None)


def _empty(quotes: pl.DataFrame) -> pl.DataFrame:
    counts = dict.fromkeys(("count", "valid"), pl.Int64())
    prices = dict.fromkeys(("low", "high", "spot_low", "spot_high"), pl.Float64())
    times = dict.fromkeys(("first_ts", "last_ts"), pl.Int64())
    return pl.DataFrame(schema={**{n: quotes.schema[n] for n in _KEY}, **counts, **prices, **times})
