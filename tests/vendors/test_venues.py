"""The meaning of the vendor's rows: each point that decides right from wrong, with its reason."""

import datetime as dt
from typing import Any

import polars as pl
import pytest

from tests.market.build import DAY, at
from wheelvec.model.schemas import TIMESTAMP
from wheelvec.tables.sessions import Sessions
from wheelvec.vendors.databento import venues

MINUTE = at("2023-07-05T19:45")
BAR = {
    "symbol": "A",
    "ts_event": at("2023-07-05T00:00"),
    "publisher_id": 22,
    "open": 2.0,
    "high": 3.0,
    "low": 1.0,
    "close": 2.5,
    "volume": 10,
}


def bars(*changes: dict[str, Any]) -> pl.DataFrame:
    schema = {
        "symbol": pl.String(),
        "ts_event": TIMESTAMP,
        "publisher_id": pl.UInt16(),
        "volume": pl.UInt64(),
    }
    rows = pl.DataFrame(
        [BAR | change for change in changes], schema=dict.fromkeys(BAR, pl.Float64()) | schema
    )
    return rows.select(*venues.BAR_FIELDS)


def quotes(*rows: tuple[str, str, float | None, float | None]) -> pl.DataFrame:
    """(symbol, time on the 5th of July, bid, ask)"""
    found = [(name, at(f"2023-07-05T{clock}"), bid, ask) for name, clock, bid, ask in rows]
    return pl.DataFrame(
        found,
        schema={"symbol": pl.String, "ts": TIMESTAMP, "bid": pl.Float64, "ask": pl.Float64},
        orient="row",
    )


def stood(
    *rows: tuple[str, str, float | None, float | None], look_back: int = 0
) -> list[tuple[Any, ...]]:
    found = venues.entry_quotes(quotes(*rows), MINUTE, look_back)
    return found.select(
        "symbol", pl.col("ts").dt.strftime("%H:%M:%S"), "bid", "ask", "age_seconds"
    ).rows()


def test_high_is_the_highest_low_the_lowest_and_volume_the_sum_over_venues() -> None:
    held = venues.daily(
        bars(
            {"publisher_id": 20, "high": 9.0, "volume": 4},
            {},
            {"publisher_id": 23, "low": 0.5, "volume": 1},
        )
    )
    assert held.rows() == [("A", DAY("2023-07-05"), 2.0, 9.0, 0.5, 2.5, 15)]
    assert held.schema["volume"] == pl.Int64


def test_open_and_close_are_those_of_the_venue_with_most_volume_for_no_bar_says_who_traded_first() -> (
    None
):
    held = venues.daily(
        bars({"publisher_id": 20, "open": 1.5, "close": 1.5}, {"publisher_id": 36, "volume": 11})
    )
    assert held.row(0)[2::3] == (2.0, 2.5)


@pytest.mark.parametrize("order", [(20, 36), (36, 20)])
def test_of_venues_with_equal_volume_the_lowest_publisher_decides_in_any_order_of_rows(
    order: tuple[int, int],
) -> None:
    closes = {20: 1.25, 36: 2.75}
    held = venues.daily(
        bars(*({"publisher_id": publisher, "close": closes[publisher]} for publisher in order))
    )
    assert held["close"].item() == 1.25


def test_the_session_of_a_daily_bar_is_its_utc_date_though_new_york_is_still_in_the_day_before() -> (
    None
):
    stamp = at("2023-07-05T00:00")
    assert stamp.astimezone(dt.timezone(dt.timedelta(hours=-4))).date() == DAY("2023-07-04")
    assert venues.daily(bars({"ts_event": stamp}))["session"].item() == DAY("2023-07-05")


def minutes(*rows: tuple[str, float]) -> pl.DataFrame:
    found = [
        {"symbol": "TSLA", "ts_event": at(f"2023-07-{stamp}"), "volume": 1}
        | dict.fromkeys(("open", "high", "low", "close"), p)
        for stamp, p in rows
    ]
    sessions = Sessions.load("NYSE", DAY("2023-07-03"), DAY("2023-07-06"))
    return venues.minutes_of(bars(*found), sessions.frame)


def test_the_underlyings_close_is_the_last_minute_before_the_exchange_closes_and_no_print_after_hours() -> (
    None
):
    held = venues.regular_bars(
        minutes(
            ("05T13:29", 99),
            ("05T13:30", 10),
            ("05T15:00", 12),
            ("05T19:59", 11),
            ("05T20:00", 5),
            ("05T23:00", 1),
        )
    )
    assert held.rows() == [(DAY("2023-07-05"), 10.0, 12.0, 10.0, 11.0, 3)]


def test_on_a_half_day_the_session_ends_when_the_calendar_says() -> None:
    held = venues.regular_bars(
        minutes(("03T13:30", 10), ("03T16:59", 11), ("03T17:00", 5), ("03T19:59", 1))
    )
    assert held.rows() == [(DAY("2023-07-03"), 10.0, 11.0, 10.0, 11.0, 2)]


def test_minutes_of_a_holiday_belong_to_no_session() -> None:
    assert minutes(("04T15:00", 10)).is_empty()


def test_a_row_of_cbbo_bears_the_end_of_its_minute_and_is_stored_a_nanosecond_earlier() -> None:
    rows = pl.DataFrame(
        {"symbol": ["A"] * 2, "ts_recv": [at("2023-07-05T19:45"), at("2023-07-05T19:46")], "bid_px_00": [1.0, 2.0], "ask_px_00": [3.0, 4.0]},
        schema_overrides={"ts_recv": TIMESTAMP},
    )  # fmt: skip
    held = venues.entry_quotes(venues.quotes_of(rows, "cbbo-1m"), MINUTE, 0)
    assert held["bid"].to_list() == [2.0]  # the row of 15:45:00 is of the minute before
    assert held["ts"].to_physical().item() % (60 * 10**9) == 60 * 10**9 - 1


def test_a_row_of_cmbp_stands_when_it_came() -> None:
    rows = pl.DataFrame(
        {"symbol": ["A"], "ts_recv": [MINUTE], "bid_px_00": [1.0], "ask_px_00": [3.0]},
        schema_overrides={"ts_recv": TIMESTAMP},
    )
    assert venues.entry_quotes(venues.quotes_of(rows, "cmbp-1"), MINUTE, 0)["ts"].to_list() == [
        MINUTE
    ]


def test_the_last_row_of_the_minute_stands_and_no_other_minutes() -> None:
    rows = [
        ("A", "19:44:59", 1, 2),
        ("A", "19:45:00", 3, 4),
        ("A", "19:45:59", 5, 6),
        ("A", "19:46:00", 7, 8),
        ("B", "19:45:30", 1, 2),
    ]
    assert stood(*rows) == [("A", "19:45:59", 5.0, 6.0, None), ("B", "19:45:30", 1.0, 2.0, None)]


def test_of_equal_times_the_later_row_stands() -> None:
    assert stood(("A", "19:45:30", 1, 2), ("A", "19:45:30", 3, 4)) == [
        ("A", "19:45:30", 3.0, 4.0, None)
    ]


@pytest.mark.parametrize("last", [(None, 6.0), (5.0, None), (0.0, 0.0), (7.0, 6.0)])
def test_an_invalid_last_quote_keeps_the_last_valid_one_beside_it_whole_for_the_rules_choose_that(
    last: tuple[float, float],
) -> None:
    rows = stood(("A", "19:45:10", 1, 2), ("A", "19:45:20", 3, 4), ("A", "19:45:50", *last))
    assert rows == [("A", "19:45:20", 3.0, 4.0, None), ("A", "19:45:50", *last, None)]


def test_a_quiet_contract_has_no_row_unless_a_look_back_is_asked_for_and_then_its_age() -> None:
    rows = [("A", "19:20:00", 1, 2), ("A", "19:43:30", 3, 4), ("B", "19:45:30", 1, 2)]
    assert stood(*rows) == [("B", "19:45:30", 1.0, 2.0, None)]
    assert stood(*rows, look_back=1) == [("B", "19:45:30", 1.0, 2.0, None)]
    assert stood(*rows, look_back=2) == [
        ("A", "19:45:00", 3.0, 4.0, 90.0),
        ("B", "19:45:30", 1.0, 2.0, None),
    ]


def test_a_look_back_takes_what_stood_when_the_minute_began_though_it_was_one_sided() -> None:
    assert stood(("A", "19:40:00", 1, 2), ("A", "19:44:00", None, 2), look_back=30) == [
        ("A", "19:45:00", None, 2.0, 60.0)
    ]


def test_a_look_back_gives_way_to_a_valid_quote_of_the_minute_and_stands_for_an_invalid_one() -> (
    None
):
    before = ("A", "19:44:00", 1.0, 2.0)
    assert stood(before, ("A", "19:45:10", 3, 4), look_back=5) == [
        ("A", "19:45:10", 3.0, 4.0, None)
    ]
    assert stood(before, ("A", "19:45:10", None, 4), look_back=5) == [
        ("A", "19:45:00", 1.0, 2.0, 60.0),
        ("A", "19:45:10", None, 4.0, None),
    ]


def test_no_rows_give_no_rows() -> None:
    assert stood() == []
    assert stood(look_back=5) == []
    assert venues.daily(bars()).is_empty()
    assert venues.regular_bars(minutes()).is_empty()
