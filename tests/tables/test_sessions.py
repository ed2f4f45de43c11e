"""The calendar: each irregular day with its reason, beside a regular one."""

import datetime as dt
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from wheelvec.model.errors import ConfigError
from wheelvec.tables import sessions as module
from wheelvec.tables.sessions import Sessions

DAY = dt.date.fromisoformat


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def year() -> Sessions:
    return Sessions.load("NYSE", DAY("2023-01-01"), DAY("2023-12-31"))


def row(held: Sessions, day: str) -> dict[str, object]:
    return held.frame.row(by_predicate=pl.col("session") == DAY(day), named=True)


def minute(held: Sessions, day: str, entry_time: str) -> object:
    return held.entry_minutes(entry_time)[int(held.number_of([day])[0])]


def test_a_year_of_sessions_has_the_promised_columns(year: Sessions) -> None:
    assert (year.calendar, year.timezone) == ("XNYS", "America/New_York")
    assert year.frame.schema == {
        "session": pl.Date(),
        "number": pl.Int32(),
        "open": pl.Datetime("ns", "UTC"),
        "close": pl.Datetime("ns", "UTC"),
    }
    assert len(year.dates) == 250
    assert year.dates.dtype == np.dtype("datetime64[D]")
    assert year.frame["number"].to_list() == list(range(250))
    assert year.frame["session"].to_list() == year.dates.tolist()
    assert year.frame["session"].is_sorted()


@pytest.mark.parametrize(
    ("before", "holiday", "after"),
    [
        ("2023-01-13", "2023-01-16", "2023-01-17"),  # Martin Luther King Jr. Day
        ("2023-02-17", "2023-02-20", "2023-02-21"),  # Washington's Birthday
        ("2023-04-06", "2023-04-07", "2023-04-10"),  # Good Friday
        ("2023-05-26", "2023-05-29", "2023-05-30"),  # Memorial Day
        ("2023-06-16", "2023-06-19", "2023-06-20"),  # Juneteenth
        ("2023-07-03", "2023-07-04", "2023-07-05"),  # Independence Day
        ("2023-09-01", "2023-09-04", "2023-09-05"),  # Labor Day
        ("2023-11-22", "2023-11-23", "2023-11-24"),  # Thanksgiving
        ("2023-12-22", "2023-12-25", "2023-12-26"),  # Christmas
    ],
)
def test_a_holiday_is_no_session_and_its_neighbours_are(
    year: Sessions, before: str, holiday: str, after: str
) -> None:
    numbers = year.number_of([before, holiday, after])
    assert numbers[0] > 0
    assert numbers.tolist() == [numbers[0], -1, numbers[0] + 1]
    assert year.number_on_or_before([before, holiday, after]).tolist() == [
        numbers[0],
        numbers[0],
        numbers[0] + 1,
    ]


def test_the_year_begins_after_the_observed_new_year(year: Sessions) -> None:
    assert year.number_of(["2023-01-02", "2023-01-03"]).tolist() == [-1, 0]


def test_weekends_are_no_sessions(year: Sessions) -> None:
    assert year.number_of(["2023-06-09", "2023-06-10", "2023-06-11", "2023-06-12"]).tolist() == [
        109,
        -1,
        -1,
        110,
    ]


@pytest.mark.parametrize(
    ("day", "close"),
    [
        ("2023-06-30", "2023-06-30T20:00"),  # an ordinary Friday
        ("2023-07-03", "2023-07-03T17:00"),  # the eve of Independence Day: 13:00
        ("2023-11-22", "2023-11-22T21:00"),  # the eve of Thanksgiving is an ordinary one
        ("2023-11-24", "2023-11-24T18:00"),  # the day after it is not: 13:00, in winter time
    ],
)
def test_early_closes(year: Sessions, day: str, close: str) -> None:
    assert row(year, day)["close"] == utc(close)


@pytest.mark.parametrize(
    ("expiration", "settles"),
    [
        ("2023-06-16", "2023-06-16"),  # a monthly of today expires on its Friday
        (
            "2023-06-17",
            "2023-06-16",
        ),  # one that is dated on the Saturday settles on the Friday before
        ("2023-04-07", "2023-04-06"),  # Good Friday: the Thursday
        ("2023-04-08", "2023-04-06"),  # the Saturday after Good Friday: still the Thursday
        ("2023-01-01", None),  # nothing is loaded before
    ],
)
def test_an_expiration_settles_on_the_last_session_on_or_before(
    year: Sessions, expiration: str, settles: str | None
) -> None:
    number = year.number_on_or_before([expiration])[0]
    assert number == (-1 if settles is None else year.number_of([settles])[0])
    assert settles is None or number >= 0


def test_numbers_keep_the_shape_and_pass_over_missing_dates(year: Sessions) -> None:
    dates = np.array(["2023-01-03", "NaT", "1969-12-31", "2023-12-29"], dtype="datetime64[D]")
    assert year.number_of(dates).tolist() == [0, -1, -1, 249]
    assert year.number_on_or_before(dates).tolist() == [0, -1, -1, 249]
    assert year.number_of(dates).dtype == year.number_on_or_before(dates).dtype == np.int32
    assert year.number_of(np.array([], dtype="datetime64[D]")).shape == (0,)
    assert year.number_of(["2024-01-02"]).tolist() == [-1]
    assert year.number_of(pl.Series([DAY("2023-01-03")])).tolist() == [0]


def test_a_date_after_the_last_one_loaded_is_the_callers_fault(year: Sessions) -> None:
    assert year.number_on_or_before(["2023-12-31"])[0] == 249  # a Sunday, but asked for
    with pytest.raises(
        AssertionError, match="XNYS are loaded up to 2023-12-31, asked for 2024-01-01"
    ):
        year.number_on_or_before(["2023-06-06", "2024-01-01", "NaT"])


@pytest.mark.parametrize(
    ("day", "start"),
    [
        ("2023-03-10", "2023-03-10T20:45"),  # the Friday before the clocks go forward: UTC-5
        ("2023-03-13", "2023-03-13T19:45"),  # the Monday after: UTC-4
        ("2023-11-03", "2023-11-03T19:45"),  # and back again
        ("2023-11-06", "2023-11-06T20:45"),
        ("2023-07-03", "2023-07-03T16:45"),  # closes at 13:00, three hours early
        ("2023-07-05", "2023-07-05T19:45"),
    ],
)
def test_the_minute_at_a_clock_time(year: Sessions, day: str, start: str | None) -> None:
    assert minute(year, day, "15:45") == (None if start is None else utc(start))


def test_a_clock_time_at_an_early_close_moves_with_it_and_one_before_it_does_not(
    year: Sessions,
) -> None:
    assert minute(year, "2023-07-03", "13:00") == utc(
        "2023-07-03T14:00"
    )  # three hours before the close
    assert minute(year, "2023-07-03", "12:59") == utc("2023-07-03T16:59")
    with pytest.raises(ConfigError, match=r"a time before 16:00, the regular close of XNYS"):
        minute(year, "2023-06-30", "16:00")
    assert minute(year, "2023-06-30", "15:59") == utc("2023-06-30T19:59")


@pytest.mark.parametrize(
    ("day", "start"),
    [
        ("2023-06-30", "2023-06-30T19:45"),
        ("2023-07-03", "2023-07-03T16:45"),
        ("2023-11-24", "2023-11-24T17:45"),
    ],
)
def test_a_time_before_the_close_follows_early_closes(year: Sessions, day: str, start: str) -> None:
    assert minute(year, day, "close-15min") == utc(start)


def test_entry_minutes_align_with_the_sessions(year: Sessions) -> None:
    for entry_time in ("15:45", "close-1min"):
        minutes = year.entry_minutes(entry_time)
        assert (len(minutes), minutes.dtype) == (250, pl.Datetime("ns", "UTC"))
        assert minutes.null_count() == 0


@pytest.mark.parametrize(
    "text",
    ["3:45", "25:00", "15:60", "15:45:00", "close", "close-0min", "close-15", "", "close-١min"],
)
def test_an_entry_time_of_another_form_is_refused(year: Sessions, text: str) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.entry_time is '.*'; allowed: .*15min"):
        year.entry_minutes(text)


def test_a_clock_time_that_the_change_skips_or_repeats() -> None:
    held = Sessions.load("24/7", DAY("2023-03-25"), DAY("2023-10-30"))
    assert held.timezone == "UTC"
    london = Sessions(**{**vars(held), "timezone": "Europe/London"})
    assert minute(london, "2023-03-26", "01:30") is None  # no such time on that night
    assert minute(london, "2023-03-27", "01:30") == utc("2023-03-27T00:30")
    assert minute(london, "2023-10-29", "01:30") == utc("2023-10-29T00:30")  # the first of the two


def test_other_calendars() -> None:
    london = Sessions.load("LSE", DAY("2023-05-01"), DAY("2023-12-31"))
    assert (london.calendar, london.timezone) == ("XLON", "Europe/London")
    assert london.number_of(["2023-05-01", "2023-05-02", "2023-05-08", "2023-07-04"]).tolist() == [
        -1,
        0,
        -1,
        43,
    ]
    assert minute(london, "2023-12-22", "close-15min") == utc(
        "2023-12-22T12:15"
    )  # closes at 12:30 before Christmas
    assert minute(london, "2023-12-21", "close-15min") == utc("2023-12-21T16:15")
    assert Sessions.load("XNYS", DAY("2023-06-06"), DAY("2023-06-06")).dates.tolist() == [
        DAY("2023-06-06")
    ]


@pytest.mark.parametrize("first", ["2023-07-04", "2023-12-30"])
def test_a_range_without_a_session_is_empty(first: str) -> None:
    held = Sessions.load(
        "NYSE", DAY(first), DAY(first) + dt.timedelta(0 if first < "2023-08" else 1)
    )
    assert len(held.dates) == len(held.frame) == len(held.entry_minutes("15:45")) == 0
    assert held.number_of([first]).tolist() == held.number_on_or_before([first]).tolist() == [-1]


def test_an_unknown_calendar_is_named_with_what_was_meant() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown schedule\.trading_calendar 'NYSEX'.*did you mean 'NYSE'"
    ):
        Sessions.load("NYSEX", DAY("2023-01-01"), DAY("2023-12-31"))
    with pytest.raises(
        ConfigError, match=r"unknown schedule\.trading_calendar 'nyse'.*in capitals: 'NYSE'"
    ):
        Sessions.load("nyse", DAY("2023-01-01"), DAY("2023-12-31"))


@pytest.mark.parametrize(
    ("calendar", "first", "last", "known"),
    [
        ("XSHG", "1990-12-02", "1991-06-01", "from 1990-12-03"),
        ("XSHG", "2020-01-01", "2200-01-01", "from 1990-12-03 to 20"),
        ("XHKG", "1950-01-01", "1950-12-31", "from 1960-01-01 to 2049-12-31"),
        ("NYSE", "0001-01-01", "2023-01-01", "from 1678-01-01 to 2261-12-31"),
        ("NYSE", "2023-01-01", "9999-12-31", "from 1678-01-01 to 2261-12-31"),
    ],
)
def test_dates_that_a_calendar_does_not_cover(
    calendar: str, first: str, last: str, known: str
) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"'{calendar}' has no sessions for all of {first} to {last}: it is known {known}",
    ):
        Sessions.load(calendar, DAY(first), DAY(last))


def test_dates_at_the_bounds_are_covered() -> None:
    assert Sessions.load("XSHG", DAY("1990-12-03"), DAY("1990-12-03")).dates.tolist() == [
        DAY("1990-12-03")
    ]
    assert len(Sessions.load("NYSE", DAY("2260-12-01"), DAY("2261-12-31")).dates) > 260


def test_the_first_date_after_the_last_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="from 2023-06-07 to 2023-06-06: the first is after the last"
    ):
        Sessions.load("NYSE", DAY("2023-06-07"), DAY("2023-06-06"))


def test_known_cuts_a_range_to_what_the_calendar_covers() -> None:
    held = Sessions.known("XSHG", DAY("0023-06-06"), DAY("1990-12-05"))
    assert held.dates.tolist() == [DAY("1990-12-03"), DAY("1990-12-04"), DAY("1990-12-05")]
    apart = Sessions.known("XHKG", DAY("1950-01-01"), DAY("1950-12-31"))
    assert (apart.first, apart.last) == (
        DAY("1960-01-01"),
        DAY("1960-01-01"),
    )  # the nearest day that it covers


def test_many_ranges_build_a_calendar_once(monkeypatch: pytest.MonkeyPatch) -> None:
    Sessions.load("NYSE", DAY("2021-02-01"), DAY("2022-03-01"))
    monkeypatch.setattr(module, "_calendar", lambda *_, **__: pytest.fail("built again"))
    assert Sessions.load("NYSE", DAY("2021-12-31"), DAY("2022-01-03")).dates.tolist() == [
        DAY("2021-12-31"),
        DAY("2022-01-03"),
    ]


def test_importing_the_module_does_not_load_the_calendars() -> None:
    code = "import sys, wheelvec.tables.sessions; print('exchange_calendars' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
