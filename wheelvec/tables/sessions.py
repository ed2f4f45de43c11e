"""The sessions of an exchange calendar: days, opening and closing times, and entry minutes.

This is the only importer of exchange_calendars, and it imports it at first use: with pandas it
takes longer to import than everything else in wheelvec.
"""

import datetime as dt
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from wheelvec.model.errors import ConfigError, cut, unknown_name
from wheelvec.model.schemas import TIMESTAMP

Dates = npt.NDArray[np.datetime64]
Numbers = npt.NDArray[np.int32]

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_BEFORE_CLOSE = re.compile(r"close-([1-9]\d{0,3})min")
# The whole years that 64-bit nanoseconds since 1970 can represent.
_EARLIEST, _LATEST = dt.date(1678, 1, 1), dt.date(2261, 12, 31)


@dataclass(frozen=True, eq=False)
class Sessions:
    """The n sessions of a calendar from `first` to `last`, both included.

    Attributes:
        calendar: the canonical name, such as "XNYS".
        timezone: the calendar's time zone, such as "America/New_York".
        first, last: the requested dates, whether or not they are sessions.
        dates: (n,) datetime64[D], ascending; the number of a session is its index here.
        frame: n rows: session (Date), number (Int32, from 0), open and close (Datetime ns, UTC).
        regular_close: the minute of the day, in the calendar's time zone, at which most sessions
            close; None if they close on another date than the session's.
    """

    calendar: str
    timezone: str
    first: dt.date
    last: dt.date
    dates: Dates
    frame: pl.DataFrame
    regular_close: int | None

    @classmethod
    def load(cls, calendar: str, first: dt.date, last: dt.date) -> Self:
        """The sessions of a calendar, by any name that exchange_calendars knows: "NYSE" is XNYS.

        Raises:
            ConfigError: for an unknown calendar, dates that the calendar does not cover, or `first`
                after `last`.
        """
        _check_name(calendar)
        if first > last:
            raise ConfigError(
                f"sessions of {calendar!r} asked for from {first} to {last}: "
                "the first is after the last"
            )
        low, high = _bounds(calendar)
        if first < low or last > high:
            raise ConfigError(
                f"schedule.trading_calendar {calendar!r} has no sessions for all of {first} to "
                f"{last}: it is known from {low} to {high}"
            )
        years = _years(calendar, first.year, last.year)
        every = years.frame["session"].to_numpy().astype("datetime64[D]")
        begin, end = np.searchsorted(every, [np.datetime64(first), np.datetime64(last) + 1])
        found = years.frame[int(begin) : int(end)]
        number = pl.Series("number", np.arange(len(found), dtype=np.int32))
        # of columns: a query takes longer than all else
        frame = pl.DataFrame([found["session"], number, found["open"], found["close"]])
        dates = every[begin:end]
        return cls(years.name, years.timezone, first, last, dates, frame, years.regular_close)

    @classmethod
    def known(cls, calendar: str, first: dt.date, last: dt.date) -> Self:
        """The sessions of `first` to `last`, cut to the dates that the calendar covers.

        For dates that come from data and may be wrong.

        Raises:
            ConfigError: for an unknown calendar.
        """
        _check_name(calendar)
        low, high = _bounds(calendar)
        return cls.load(calendar, min(max(first, low), high), max(min(last, high), low))

    def number_of(self, dates: npt.ArrayLike) -> Numbers:
        """The numbers of k sessions, (k,) int32; -1 for a holiday, a date out of range and NaT."""
        days = np.asarray(dates, dtype="datetime64[D]")
        at = np.searchsorted(self.dates, days)
        found = at < len(self.dates)
        found[found] = self.dates[at[found]] == days[found]
        return np.where(found, at, -1).astype(np.int32)

    def number_on_or_before(self, dates: npt.ArrayLike) -> Numbers:
        """The number of the last session on or before each of k dates, (k,) int32.

        -1 for a date before the first session and for NaT. A contract that expires on a Saturday or
        holiday settles on the session that this gives.

        Raises:
            AssertionError: for a date after `last`, whose session is not loaded: an error of the
                caller, not of the data.
        """
        days = np.asarray(dates, dtype="datetime64[D]")
        if (days > np.datetime64(self.last)).any():
            late = days[~np.isnat(days)].max()
            raise AssertionError(
                f"sessions of {self.calendar} are loaded up to {self.last}, asked for {late}"
            )
        at = np.searchsorted(self.dates, days, side="right") - 1
        return np.where(np.isnat(days), -1, at).astype(np.int32)

    def entry_minutes(self, entry_time: str) -> pl.Series:
        """The start of each session's entry minute: (n,) Datetime ns UTC, aligned with `dates`.

        "15:45" is a time in the calendar's time zone. On a session that has closed by then (an
        early close), the entry minute is as long before that close as 15:45 is before the regular
        close. "close-15min" is 15 minutes before each session's close. Null where the session has
        no such minute.

        Raises:
            ConfigError: if `entry_time` has neither form, is at or after the calendar's regular
                close, or is before the open.
        """
        if form := _BEFORE_CLOSE.fullmatch(entry_time):
            self._refuse_before_open(entry_time, int(form[1]))
            minute = pl.col("close") - pl.duration(minutes=int(form[1]))
        elif form := _CLOCK.fullmatch(entry_time):
            self._refuse_after_close(entry_time, 60 * int(form[1]) + int(form[2]))
            minute = self._at_clock(int(form[1]), int(form[2]))
        else:
            raise ConfigError(
                f"schedule.entry_time is {entry_time!r}; allowed: a clock time from '00:00' to "
                "'23:59', or a time before the close such as 'close-15min'"
            )
        return self.frame.select(minute.cast(TIMESTAMP).alias("entry_minute")).to_series()

    def _refuse_after_close(self, entry_time: str, minute: int) -> None:
        """Refuse a `minute` of the day at or after the regular close.

        A calendar whose sessions close on another date has no such bound.
        """
        local = pl.col("close").dt.convert_time_zone(self.timezone)
        closes = (
            local.dt.replace_time_zone(None) - pl.col("session").cast(pl.Datetime("ns"))
        ).dt.total_minutes()
        regular = _most_frequent(self.frame, closes)
        if regular is not None and regular < 24 * 60 and minute >= regular:
            raise ConfigError(
                f"schedule.entry_time is {entry_time!r}; allowed: a time before "
                f"{regular // 60:02d}:{regular % 60:02d}, the regular close of {self.calendar} "
                f"({self.timezone}), or one such as 'close-15min'"
            )

    def _refuse_before_open(self, entry_time: str, minutes: int) -> None:
        regular = _most_frequent(self.frame, (pl.col("close") - pl.col("open")).dt.total_minutes())
        if regular is not None and minutes > regular:
            raise ConfigError(
                f"schedule.entry_time is {entry_time!r}; allowed: up to 'close-{regular}min', "
                f"for a regular session of {self.calendar} has {regular} minutes"
            )

    def _at_clock(self, hour: int, minute: int) -> pl.Expr:
        local = pl.col("session").cast(pl.Datetime("ns")) + pl.duration(hours=hour, minutes=minute)
        # a time that a change of clocks skips does not exist; one that it repeats means the first
        local = local.dt.replace_time_zone(self.timezone, ambiguous="earliest", non_existent="null")
        start = local.dt.convert_time_zone("UTC")
        if self.regular_close is None:
            return pl.when(start < pl.col("close")).then(start)
        before = pl.duration(minutes=self.regular_close - 60 * hour - minute)
        moved = pl.when(before > pl.duration(minutes=0)).then(pl.col("close") - before)
        return pl.when(start < pl.col("close")).then(start).otherwise(moved)


def _most_frequent(sessions: pl.DataFrame, minutes: pl.Expr) -> int | None:
    """The most frequent value of `minutes` over the sessions; None without sessions."""
    counted = sessions.select(minutes.value_counts(sort=True).struct[0]).to_series()
    return int(counted[0]) if counted.len() else None


@dataclass(frozen=True, eq=False)
class _Years:
    """The sessions of whole years of a calendar, cut to the dates that it covers."""

    name: str
    timezone: str
    frame: pl.DataFrame
    regular_close: int | None


def _check_name(calendar: str) -> None:
    """Refuse a calendar that is no text, which no cache could look up."""
    if not isinstance(calendar, str):
        raise ConfigError(f"schedule.trading_calendar = {cut(calendar)}: expected a name")


@lru_cache(maxsize=64)
def _years(calendar: str, first_year: int, last_year: int) -> _Years:
    """The sessions from `first_year` to `last_year`.

    Cached, because building a calendar takes 0.1 s; in whole years, so that many ranges share one.
    """
    low, high = _bounds(calendar)
    start, end = max(dt.date(first_year, 1, 1), low), min(dt.date(last_year, 12, 31), high)
    built = _calendar(calendar, start=str(start), end=str(end))
    schedule = built.schedule
    frame = pl.DataFrame(
        {
            "session": schedule.index.to_numpy().astype("datetime64[D]"),
            "open": schedule["open"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]"),
            "close": schedule["close"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]"),
        }
    )
    frame = frame.with_columns(pl.col("open", "close").dt.replace_time_zone("UTC"))
    return _Years(built.name, str(built.tz), frame, _regular_close(frame, str(built.tz)))


def _regular_close(frame: pl.DataFrame, timezone: str) -> int | None:
    """The minute of the day at which most sessions close; None if that is on another date."""
    local = pl.col("close").dt.convert_time_zone(timezone).dt.replace_time_zone(None)
    minutes = (local - pl.col("session").cast(pl.Datetime("ns"))).dt.total_minutes()
    counted = frame.select(minutes.value_counts(sort=True).struct[0]).to_series()
    return int(counted[0]) if counted.len() and 0 <= counted[0] < 24 * 60 else None


@lru_cache(maxsize=64)
def _bounds(calendar: str) -> tuple[dt.date, dt.date]:
    """The first and last date that a calendar covers."""
    built = _calendar(calendar)
    low, high = built.bound_min(), built.bound_max()
    return (low.date() if low is not None else _EARLIEST), (
        high.date() if high is not None else _LATEST
    )


def _calendar(name: str, **span: str) -> Any:
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    try:
        with warnings.catch_warnings():
            # deprecations between exchange_calendars and pandas are not the user's to mend
            warnings.simplefilter("ignore", DeprecationWarning)
            return exchange_calendars.get_calendar(name, **span)
    except (InvalidCalendarName, TypeError):
        names = sorted(exchange_calendars.get_calendar_names(include_aliases=True))
        hint = f"; names are in capitals: {name.upper()!r}" if str(name).upper() in names else ""
        raise ConfigError(unknown_name("schedule.trading_calendar", name, names) + hint) from None
    except ValueError as error:  # a calendar whose tables contradict one another
        reason = " ".join(str(error).split())[:100]
        raise ConfigError(
            f"schedule.trading_calendar {name!r} cannot be built by exchange_calendars: {reason}"
        ) from None
