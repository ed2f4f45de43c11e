"""Market: conversion of tables, and every row that is set aside counted once with its reason."""

import datetime as dt
import hashlib
import io
import pickle
import re
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.market.build import (
    BAR,
    DAY,
    DIVIDEND,
    SCHEMAS,
    SESSION,
    SHARED,
    SYMBOL,
    UNDERLYING,
    at,
    chain,
    counts,
    market,
    quotes,
    symbol,
    table,
)
from wheelvec.market.market import Market
from wheelvec.model import schemas
from wheelvec.model.errors import ConfigError, DataError, InputError
from wheelvec.tables import validation
from wheelvec.tables.validation import TABLES, content_digest, content_digests

HOLIDAY = DAY("2023-06-19")  # Juneteenth
ALL = {name: table(name, {}) for name in SCHEMAS}


def with_column(name: str, column: str, values: Any, dtype: Any = None) -> dict[str, pl.DataFrame]:
    """The plain tables, one column of one replaced by `values` of `dtype`."""
    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=dtype)
    return ALL | {name: ALL[name].with_columns(series.alias(column))}


# ---- reading


@pytest.mark.parametrize("name", SCHEMAS)
def test_tables_are_held_with_exactly_the_promised_columns(name: str) -> None:
    mixed = {
        n: frame.select(reversed(frame.columns)).with_columns(more=pl.lit(1))
        for n, frame in ALL.items()
    }
    held = getattr(Market(**mixed), name)
    assert held.schema == SCHEMAS[name]
    assert_frame_equal(held, ALL[name])


NEW_YORK = dt.timezone(dt.timedelta(hours=-4))
MIDNIGHT = dt.datetime(2023, 6, 6)
STAMP = dt.datetime(2023, 6, 6, 19, 45, 10)

READABLE = {
    "session of milliseconds": ("option_quotes", "session", pl.Series([MIDNIGHT], dtype=pl.Datetime("ms"))),
    "session at midnight UTC": ("option_quotes", "session", pl.Series([MIDNIGHT], dtype=pl.Datetime("ns", "UTC"))),
    "session at midnight elsewhere": (
        "option_quotes", "session", pl.Series([MIDNIGHT]).dt.replace_time_zone("Asia/Tokyo")
    ),
    "session as text": ("option_quotes", "session", ["2023-06-06"]),
    "session as text with a time": ("underlying_bars", "session", ["2023-06-06 00:00:00"]),
    "session as a category": ("option_bars", "session", pl.Series(["2023-06-06"], dtype=pl.Categorical)),
    "ex_date as text": ("dividends", "ex_date", ["2023-06-06T00:00:00Z"]),
    "expiration as a stamp": ("option_quotes", "expiration", [dt.datetime(2023, 7, 7)]),
    "expiration as text": ("option_quotes", "expiration", ["2023-07-07"]),
    "ts of milliseconds": ("option_quotes", "ts", pl.Series([STAMP], dtype=pl.Datetime("ms", "UTC"))),
    "ts without zone is UTC": ("option_quotes", "ts", pl.Series([STAMP], dtype=pl.Datetime("us"))),
    "ts of another zone": (
        "option_quotes", "ts", pl.Series([STAMP]).dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    ),
    "ts as text with an offset": ("option_quotes", "ts", ["2023-06-06T15:45:10-04:00"]),
    "ts as text with Z": ("option_quotes", "ts", ["2023-06-06T19:45:10.000000000Z"]),
    "ts as text without zone": ("option_quotes", "ts", ["2023-06-06 19:45:10"]),
    "bid as Float32": ("option_quotes", "bid", pl.Series([5.0], dtype=pl.Float32)),
    "bid as an integer": ("option_quotes", "bid", pl.Series([5], dtype=pl.UInt8)),
    "bid as Decimal": ("option_quotes", "bid", pl.Series([Decimal("5.00")], dtype=pl.Decimal(10, 2))),
    "bid as text": ("option_quotes", "bid", [" 5.00 "]),
    "strike as an integer": ("option_quotes", "strike", pl.Series([205], dtype=pl.Int16)),
    "strike as text": ("option_quotes", "strike", ["205.000"]),
    "strike absent in a row": ("option_quotes", "strike", pl.Series([None], dtype=pl.Float64)),
    "strike absent everywhere": ("option_quotes", "strike", pl.Series([None], dtype=pl.Null)),
    "option_type spelt out": ("option_quotes", "option_type", pl.Series(["put"], dtype=pl.Categorical)),
    "option_type in lower case": ("option_quotes", "option_type", ["p"]),
    "symbol as a category": ("option_quotes", "symbol", pl.Series([SYMBOL], dtype=pl.Categorical)),
    "symbol of an Enum": ("option_bars", "symbol", pl.Series([SYMBOL], dtype=pl.Enum([SYMBOL]))),
    "underlying as a category": ("underlying_bars", "underlying", pl.Series(["TSLA"], dtype=pl.Categorical)),
    "close as Int64": ("underlying_bars", "high", pl.Series([224])),
    "volume as UInt64": ("underlying_bars", "volume", pl.Series([1000], dtype=pl.UInt64)),
    "volume as Float64": ("underlying_bars", "volume", [1000.0]),
    "volume as text": ("option_bars", "volume", ["10"]),
    "volume as Decimal": ("option_bars", "volume", pl.Series([Decimal("10.0")])),
    "amount as text": ("dividends", "amount", ["0.25"]),
    "special as a number": ("dividends", "special", pl.Series([0])),
    "special as text": ("dividends", "special", [" False "]),
    "special absent in a row": ("dividends", "special", pl.Series([None], dtype=pl.Boolean)),
    "ratio as text": ("splits", "numerator", ["3"]),
    "ratio as Float64": ("splits", "denominator", [1.0]),
}  # fmt: skip


@pytest.mark.parametrize("case", READABLE)
def test_other_types_are_read_as_the_same_table(case: str) -> None:
    name, column, values = READABLE[case]
    changed = with_column(name, column, values)
    assert (
        changed[name].schema != SCHEMAS[name]
        or changed[name][column].null_count()
        or case.startswith("option_type")
    )
    held = Market(**changed)
    for other in SCHEMAS:
        assert_frame_equal(getattr(held, other), ALL[other])
    assert counts(held) == {}


def test_a_volume_that_is_absent_or_nan_is_null() -> None:
    without = market(option_bars=ALL["option_bars"].drop("volume"))
    assert without.option_bars["volume"].to_list() == [None]  # type: ignore[index]
    nan = Market(**with_column("option_bars", "volume", [float("nan")]))
    assert nan.option_bars["volume"].to_list() == [None]  # type: ignore[index]
    assert counts(nan) == {}


def test_the_terms_of_a_contract_come_from_its_symbol() -> None:
    frame = quotes({"symbol": symbol(12.5, "C", "240119")}).drop(
        "expiration", "strike", "option_type"
    )
    held = market(option_quotes=frame).option_quotes
    assert held.select("expiration", "strike", "option_type").row(0) == (
        DAY("2024-01-19"),
        12.5,
        "C",
    )


def test_strikes_are_the_nearest_double_to_their_digits() -> None:
    strikes = [n / 1000 for n in range(1, 1200)] + [n / 10 for n in range(1, 9000, 7)]
    held = market(
        option_quotes=quotes(
            *(
                {"symbol": symbol(strike), "strike": strike, "bid": 0.0, "ask": 0.001}
                for strike in strikes
            )
        )
    )
    assert held.option_quotes["strike"].to_list() == sorted(strikes)
    assert counts(held) == {}


def test_lazy_frames_are_taken() -> None:
    held = Market(**{name: frame.lazy() for name, frame in ALL.items()})
    for name in SCHEMAS:
        assert_frame_equal(getattr(held, name), ALL[name])


@pytest.mark.parametrize("convert", ["pandas", "pandas with an index", "arrow"])
def test_frames_of_pandas_and_arrow_are_taken(convert: str) -> None:
    given: dict[str, Any] = {name: frame.to_arrow() for name, frame in ALL.items()}
    if convert != "arrow":
        given = {name: frame.to_pandas() for name, frame in ALL.items()}
    if convert == "pandas with an index":
        given["underlying_bars"] = given["underlying_bars"].set_index(["underlying", "session"])
    held = Market(**given)
    for name in SCHEMAS:
        assert_frame_equal(getattr(held, name), ALL[name])


def test_a_rename_column_of_pandas_without_a_name_is_taken() -> None:
    text = "underlying,ex_date,numerator,denominator,new_underlying\nTSLA,2022-08-25,3,1,\n"
    held = Market(**{**ALL, "splits": pd.read_csv(io.StringIO(text))})
    assert held.splits is not None
    assert held.splits.row(0)[2:] == (3, 1, None)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_no_frame_is_refused(name: str) -> None:
    pattern = rf"{name} must be a Polars frame, a pandas DataFrame or an Arrow table, got dict; pl.DataFrame\({name}\)"
    with pytest.raises(InputError, match=pattern):
        Market(**(ALL | {name: {}}))


def test_the_two_tables_that_must_be_there() -> None:
    with pytest.raises(InputError, match=r"underlying_bars must be a Polars .*, got NoneType"):
        Market(option_quotes=ALL["option_quotes"], underlying_bars=None)  # type: ignore[arg-type]


REQUIRED = [
    (name, column)
    for name, schema in SCHEMAS.items()
    for column in schema
    if column
    not in (
        *("ts", "expiration", "strike", "option_type", "underlying_source"),
        *("volume", "close_source", "special", "new_underlying"),
    )
]


@pytest.mark.parametrize(("name", "column"), REQUIRED)
def test_a_missing_column_is_named_with_the_nearest_one(name: str, column: str) -> None:
    frame = ALL[name].rename({column: column.title()})
    pattern = rf"{name} has no column '{column}', which must be .*; found .*{column.title()}.*did you mean '{column.title()}'"
    with pytest.raises(DataError, match=pattern):
        Market(**(ALL | {name: frame}))


def test_all_missing_columns_are_named_even_of_an_empty_frame() -> None:
    with pytest.raises(
        DataError,
        match=r"option_quotes has no column 'underlying'.*nor session, symbol, bid, ask.*no columns",
    ):
        market(option_quotes=pl.DataFrame())
    with pytest.raises(DataError, match="dividends has no column 'amount', which must be Float64"):
        market(dividends=pl.LazyFrame(schema={"underlying": pl.String, "ex_date": pl.Date}))


MISTYPED = [
    ("option_quotes", "bid", [True]),
    ("option_quotes", "ask", [[5.0]]),
    ("option_quotes", "bid", [SESSION]),
    ("option_quotes", "session", [20230606]),
    ("option_quotes", "session", [dt.time(15, 45)]),
    ("option_quotes", "ts", [1686080710]),
    ("option_quotes", "ts", [SESSION]),
    ("option_quotes", "symbol", [1]),
    ("option_quotes", "underlying", [b"TSLA"]),
    ("option_quotes", "option_type", [True]),
    ("option_bars", "volume", [True]),
    ("underlying_bars", "close", [dt.timedelta(1)]),
    ("dividends", "ex_date", [1.5]),
]


@pytest.mark.parametrize(("name", "column", "values"), MISTYPED)
def test_a_type_that_cannot_be_converted_is_named(
    name: str, column: str, values: list[Any]
) -> None:
    found = pl.Series(values).dtype
    pattern = (
        rf"{name}\.{column} is {str(found).partition('(')[0]}.*cannot be converted; it must be "
    )
    with pytest.raises(DataError, match=pattern):
        Market(**with_column(name, column, values))


LOST = [
    ("option_quotes", "bid", ["n/a"], "'n/a'"),
    ("option_quotes", "bid", [""], "''"),
    ("option_quotes", "session", ["06/07/2023"], "'06/07/2023'"),
    ("option_quotes", "session", ["2023-02-30"], "'2023-02-30'"),
    ("option_quotes", "session", ["2023-06-06x"], "'2023-06-06x'"),
    ("option_quotes", "ts", ["06/06/2023 19:45"], "'06/06/2023 19:45'"),
    ("option_quotes", "ts", ["2023-06-06"], "'2023-06-06'"),
    ("option_quotes", "ts", [dt.datetime(2400, 1, 1)], r"datetime\.datetime\(2400, 1, 1, 0, 0\)"),
    ("option_quotes", "expiration", ["next week"], "'next week'"),
    ("option_bars", "volume", [1.5], "1.5"),
    ("option_bars", "volume", [float("inf")], "inf"),
    ("option_bars", "volume", pl.Series([2**64 - 1], dtype=pl.UInt64), "18446744073709551615"),
    ("option_bars", "volume", ["ten"], "'ten'"),
]


@pytest.mark.parametrize(("name", "column", "values", "example"), LOST)
def test_a_value_that_cannot_be_converted_is_shown(
    name: str, column: str, values: Any, example: str
) -> None:
    with pytest.raises(
        DataError,
        match=rf"{name}\.{column} is .* and holds {example}, which cannot be converted; it must be",
    ):
        Market(**with_column(name, column, values))


def test_text_times_of_two_forms_are_refused_rather_than_lost() -> None:
    frame = quotes({}, {}).with_columns(
        ts=pl.Series(["2023-06-06T19:45:10Z", "2023-06-06T19:45:11"])
    )
    with pytest.raises(
        DataError, match=r"option_quotes\.ts is String and holds '2023-06-06T19:45:11'"
    ):
        market(option_quotes=frame)


# ---- holding: quotes

NAN, INF = float("nan"), float("inf")

# reason -> (what a row is like, whether the row is kept), in the order in which rows are tested
QUOTE_REASONS: dict[str, tuple[dict[str, Any], bool]] = {
    "missing_key": ({"underlying": None}, False),
    "bad_symbol": ({"symbol": "TSLA230707P205"}, False),
    "cash_settled": ({"symbol": symbol(4300, root="SPXW")}, False),
    "adjusted": ({"symbol": symbol(root="TSLA1")}, False),
    "symbol_mismatch": ({"strike": 206.0}, False),
    "missing_ts": ({"ts": None}, False),
    "after_expiration": ({"session": DAY("2023-07-10"), "ts": at("2023-07-10T19:45")}, False),
    "not_a_session": ({"session": HOLIDAY, "ts": at("2023-06-19T19:45")}, True),
    "wrong_session": ({"ts": at("2023-06-07T19:45")}, True),
    "missing_side": ({"bid": None}, True),
    "infinite_price": ({"ask": INF}, True),
    "negative_bid": ({"bid": -0.05}, True),
    "crossed": ({"bid": 5.3}, True),
    "no_price": ({"bid": 0.0, "ask": 0.0}, True),
    "no_underlying_price": ({"underlying_price": 0.0}, True),
    "ask_over_worth": ({"ask": 205.01}, True),
}
MORE_QUOTE_REASONS = [
    ("missing_key", {"underlying": ""}, False),
    ("missing_key", {"session": None}, False),
    ("missing_key", {"symbol": None}, False),
    ("bad_symbol", {"symbol": ""}, False),
    ("bad_symbol", {"symbol": "TSLA20230707P00205000"}, False),  # not TSLA20, and not adjusted
    ("bad_symbol", {"symbol": symbol(expiration="230230")}, False),
    ("bad_symbol", {"symbol": symbol(0)}, False),
    ("cash_settled", {"symbol": symbol(20, root="VIX")}, False),
    ("symbol_mismatch", {"expiration": DAY("2023-07-08")}, False),
    ("symbol_mismatch", {"option_type": "C"}, False),
    ("symbol_mismatch", {"strike": NAN}, False),
    (
        "not_a_session",
        {"session": DAY("2023-06-10"), "ts": at("2023-06-10T19:45")},
        True,
    ),  # a Saturday
    ("wrong_session", {"ts": at("2023-06-06T03:59")}, True),  # still the 5th in New York
    ("wrong_session", {"ts": at("2023-06-07T04:00")}, True),  # already the 7th
    ("missing_side", {"ask": NAN}, True),
    ("infinite_price", {"underlying_price": INF}, True),
    ("no_underlying_price", {"underlying_price": None}, True),
    ("no_underlying_price", {"underlying_price": NAN}, True),
    ("ask_over_worth", {"symbol": symbol(kind="C"), "ask": 221.51}, True),
]


@pytest.mark.parametrize(
    ("reason", "change", "kept"),
    [(r, c, k) for r, (c, k) in QUOTE_REASONS.items()] + MORE_QUOTE_REASONS,
)
def test_a_quote_is_counted_by_its_reason(reason: str, change: dict[str, Any], kept: bool) -> None:
    held = market(option_quotes=quotes({}, change, {}, change))
    assert counts(held) == {("option_quotes", reason): 2}
    assert len(held.option_quotes) == (4 if kept else 2)


@pytest.mark.parametrize(
    "change",
    [
        {
            "ts": at("2023-06-06T04:00")
        },  # midnight in New York: the first moment of the session's day
        {"ts": at("2023-06-07T03:59:59.999999")},  # and the last
        {"bid": 0.0, "ask": 0.05},
        {"bid": 5.25},  # locked, not crossed
        {"symbol": symbol(205, root="SPY"), "underlying": "SPY"},
        {"symbol": symbol(12.345)},
    ],
)
def test_a_quote_at_the_edge_of_a_reason_is_whole(change: dict[str, Any]) -> None:
    held = market(option_quotes=quotes(change))
    assert counts(held) == {}
    assert len(held.option_quotes) == 1


def test_the_first_reason_that_applies_is_the_one_counted() -> None:
    reasons = list(QUOTE_REASONS)
    for i, reason in enumerate(reasons):
        worst: dict[str, Any] = {}
        for later in reversed(reasons[i:]):
            worst |= QUOTE_REASONS[later][0]
        held = market(option_quotes=quotes({}, {"symbol": symbol(205)} | worst))
        assert counts(held) == {("option_quotes", reason): 1}, reason


def test_kept_quotes_keep_what_makes_them_invalid() -> None:
    rows = [
        {"bid": None},
        {"bid": NAN},
        {"bid": 0.0, "ask": 0.0},
        {"underlying_price": None},
        {"ask": INF},
    ]
    rows = [row | {"ts": at(f"2023-06-06T19:45:1{i}")} for i, row in enumerate(rows)]
    assert_frame_equal(
        market(option_quotes=quotes(*rows)).option_quotes, table("option_quotes", *rows)
    )


def test_a_table_without_ts_is_a_snapshot() -> None:
    for frame in (
        quotes({}).drop("ts"),
        quotes({"ts": None}),
        quotes({}).with_columns(ts=pl.Series([None])),
    ):
        held = market(option_quotes=frame)
        assert held.option_quotes["ts"].to_list() == [None]
        assert counts(held) == {}
        again = market(option_quotes=held.option_quotes)  # what was held can be taken in again
        assert_frame_equal(again.option_quotes, held.option_quotes)


def test_what_is_a_session_is_up_to_the_calendar() -> None:
    days = [
        DAY("2023-05-01"),
        DAY("2023-07-04"),
    ]  # the one is a holiday in London, the other in New York
    frame = quotes(
        *({"session": day, "ts": dt.datetime.combine(day, dt.time(14), dt.UTC)} for day in days)
    )
    for calendar, off in (("NYSE", days[1]), ("XLON", days[0])):
        held = market(option_quotes=frame, trading_calendar=calendar, strict=False)
        assert counts(held) == {("option_quotes", "not_a_session"): 1}
        assert held.trading_calendar == calendar
        with pytest.raises(DataError, match=f"not_a_session: 1, such as .*{off}"):
            market(option_quotes=frame, trading_calendar=calendar, strict=True)


def test_the_day_of_a_quote_is_that_of_the_calendars_zone() -> None:
    frame = quotes(
        {"ts": at("2023-06-06T23:30")}
    )  # half past seven in New York, half past midnight in London
    assert counts(market(option_quotes=frame)) == {}
    assert counts(market(option_quotes=frame, trading_calendar="XLON")) == {
        ("option_quotes", "wrong_session"): 1
    }


def test_an_unknown_calendar_is_refused_when_it_is_needed() -> None:
    held = market(trading_calendar="NYES")
    with pytest.raises(ConfigError, match=r"unknown schedule\.trading_calendar 'NYES'"):
        _ = held.diagnostics


def test_days_that_no_calendar_reaches_are_no_sessions() -> None:
    frame = quotes({}, {"session": DAY("0023-06-06")}, {"session": DAY("9023-06-06")})
    assert counts(market(option_quotes=frame)) == {("option_quotes", "not_a_session"): 2}


# ---- holding: order


def test_quotes_are_sorted_by_underlying_session_symbol_and_time() -> None:
    rows = [
        {
            "underlying": u,
            "session": DAY(day),
            "symbol": symbol(strike, kind, root=u),
            "ts": at(f"{day}T19:45:{second}"),
        }
        for u in ("AAPL", "TSLA")
        for day in ("2023-06-05", "2023-06-06")
        for kind in "CP"
        for strike in (9.5, 200)
        for second in ("10", "11")
    ]
    held = market(option_quotes=quotes(*reversed(rows))).option_quotes
    assert_frame_equal(held, market(option_quotes=quotes(*rows)).option_quotes)
    assert held.select("underlying", "session", "symbol", "ts").rows() == [
        tuple(row.values()) for row in rows
    ]


def test_of_equal_times_the_later_row_stays_the_later_one() -> None:
    later = {"ts": at("2023-06-06T19:45:59")}
    rows = [
        {"symbol": symbol(strike)} | ({"bid": bid} if bid else later)
        for bid in (1.0, 0, 3.0, 2.0)
        for strike in (210, 205)
    ]
    held = market(option_quotes=quotes(*rows)).option_quotes
    assert held["symbol"].to_list() == [symbol(205)] * 4 + [symbol(210)] * 4
    assert (
        held["bid"].to_list() == [1.0, 3.0, 2.0, 5.0] * 2
    )  # the later time last, whatever its place was


def test_a_long_tie_keeps_its_order() -> None:
    frame = quotes(*({"underlying": name} for name in ("TSLA", "AAPL"))).join(
        pl.DataFrame({"n": range(20_000)}), how="cross"
    )
    held = market(option_quotes=frame.with_columns(bid=pl.col("n"))).option_quotes
    assert held["underlying"].is_sorted()
    assert held["bid"].to_list() == list(range(20_000)) * 2


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(first: list[int], second: list[int]) -> None:
    rows = [
        {
            "symbol": symbol(200 + i % 3),
            "ts": at(f"2023-06-06T19:45:{10 + i}"),
            "bid": i / 4 if i % 5 else None,
        }
        for i in range(12)
    ]
    bars = [
        {"session": SESSION + dt.timedelta(i % 4), "symbol": symbol(200 + i // 4)}
        for i in range(12)
    ]
    one, other = (
        market(option_quotes=quotes(*rows)[order], option_bars=table("option_bars", *bars)[order])
        for order in (first, second)
    )
    assert_frame_equal(one.option_quotes, other.option_quotes)
    assert_frame_equal(one.option_bars, other.option_bars)  # type: ignore[arg-type]
    assert one.fingerprint == other.fingerprint


# ---- holding: bars and dividends

BAR_REASONS: dict[str, dict[str, Any]] = {
    "missing_key": {"symbol": None},
    "bad_symbol": {"symbol": "TSLA"},
    "cash_settled": {"symbol": symbol(4300, root="SPX")},
    "adjusted": {"symbol": symbol(root="TSLA2")},
    "after_expiration": {"session": DAY("2023-07-10")},
    "untraded": {"volume": 0},
    "missing_price": {"close": None},
    "infinite_price": {"high": INF},
    "non_positive_price": {"low": 0.0},
    "high_below_low": {"low": 206.0},
    "outside_range": {"close": 300.0},
    "price_over_worth": {"high": 205.01},
}


@pytest.mark.parametrize("reason", BAR_REASONS)
def test_a_broken_bar_of_a_contract_is_set_aside(reason: str) -> None:
    others = [{"symbol": symbol(210)}, {"symbol": symbol(215)}]
    held = market(option_bars=table("option_bars", others[0], BAR_REASONS[reason], others[1]))
    assert counts(held) == {("option_bars", reason): 1}
    assert_frame_equal(held.option_bars, table("option_bars", *others))  # type: ignore[arg-type]


def test_the_first_reason_of_a_bar_is_the_one_counted() -> None:
    reasons = list(BAR_REASONS)
    for i, reason in enumerate(reasons):
        worst: dict[str, Any] = {}
        for later in reversed(reasons[i:]):
            worst |= BAR_REASONS[later]
        assert counts(market(option_bars=table("option_bars", worst))) == {
            ("option_bars", reason): 1
        }, reason


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("missing_key", {"underlying": ""}),
        ("missing_key", {"session": None}),
        ("missing_price", {"open": NAN}),
        ("high_below_low", {"high": 218.0}),
        ("outside_range", {"open": 225.0}),
        ("non_positive_price", {"low": -1.0}),
        ("non_positive_price", {"low": 0.0}),
    ],
)
def test_a_broken_bar_of_an_underlying_is_set_aside(reason: str, change: dict[str, Any]) -> None:
    good = {"session": DAY("2023-06-07")}
    held = market(underlying_bars=table("underlying_bars", change, good))
    assert counts(held) == {("underlying_bars", reason): 1}
    assert_frame_equal(held.underlying_bars, table("underlying_bars", good))


@pytest.mark.parametrize("name", ["option_bars", "underlying_bars"])
def test_bars_of_days_that_are_no_sessions_stay_and_are_counted(name: str) -> None:
    held = market(**{name: table(name, {}, {"session": HOLIDAY}, {"session": DAY("2023-06-20")})})
    assert counts(held) == {(name, "not_a_session"): 1}
    assert getattr(held, name)["session"].to_list() == [SESSION, HOLIDAY, DAY("2023-06-20")]


@pytest.mark.parametrize("name", ["option_bars", "underlying_bars"])
def test_a_broken_bar_of_such_a_day_counts_as_that_and_is_set_aside(name: str) -> None:
    torn = [{"session": HOLIDAY, "high": high} for high in (230.0, 231.0)]
    torn = (
        torn
        if name == "underlying_bars"
        else [{"session": HOLIDAY, "high": high} for high in (6.0, 6.5)]
    )
    held = market(
        **{
            name: table(
                name,
                {},
                {"session": DAY("2023-06-18"), "low": NAN},
                *torn,
                {"session": DAY("2023-06-20")},
            )
        }
    )
    assert counts(held) == {(name, "not_a_session"): 3}
    assert getattr(held, name)["session"].to_list() == [SESSION, DAY("2023-06-20")]


def test_a_bar_whose_key_is_broken_counts_by_that_on_any_day() -> None:
    keys = {reason: BAR_REASONS[reason] for reason in ("bad_symbol", "cash_settled", "adjusted")}
    held = market(
        option_bars=table(
            "option_bars", *(change | {"session": HOLIDAY} for change in keys.values())
        )
    )
    assert counts(held) == {("option_bars", reason): 1 for reason in keys}


KEYED = {"option_bars": BAR, "underlying_bars": UNDERLYING, "dividends": DIVIDEND}


@pytest.mark.parametrize("name", KEYED)
def test_equal_duplicates_collapse_and_are_counted_but_no_error(name: str) -> None:
    day = "ex_date" if name == "dividends" else "session"
    held = market(**{name: table(name, {}, {day: DAY("2023-06-07")}, {}, {})})
    assert getattr(held, name)[day].to_list() == [SESSION, DAY("2023-06-07")]
    assert counts(held) == {(name, "equal_duplicate"): 2}
    market(**{name: table(name, {}, {})}, strict=True)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("option_bars", {"close": 5.0}),
        ("option_bars", {"low": 4.25, "volume": None}),
        ("underlying_bars", {"open": 220.01}),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_duplicates_that_disagree_none_is_kept(
    name: str, change: dict[str, Any], place: int
) -> None:
    day = "ex_date" if name == "dividends" else "session"
    rows: list[dict[str, Any]] = [{}, {}]
    rows.insert(place, change)
    held = market(**{name: table(name, *rows, {day: DAY("2023-06-07")}, {day: DAY("2023-06-05")})})
    assert counts(held) == {(name, "conflicting_duplicate"): 3}
    assert getattr(held, name)[day].to_list() == [DAY("2023-06-05"), DAY("2023-06-07")]


def test_a_regular_and_a_special_dividend_on_one_day_are_both_kept() -> None:
    held = market(dividends=table("dividends", {"amount": 1.0}, {"amount": 0.25}, {"amount": 1.0}))
    assert held.dividends is not None
    assert held.dividends["amount"].to_list() == [0.25, 1.0]
    assert counts(held) == {("dividends", "equal_duplicate"): 1}


def test_a_broken_bar_disagrees_with_nobody() -> None:
    held = market(option_bars=table("option_bars", {}, {"close": None}))
    assert counts(held) == {("option_bars", "missing_price"): 1}
    assert_frame_equal(held.option_bars, ALL["option_bars"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("missing_key", {"ex_date": None}),
        ("missing_key", {"underlying": None}),
        ("missing_amount", {"amount": None}),
        ("missing_amount", {"amount": NAN}),
        ("missing_amount", {"amount": INF}),
        ("negative_amount", {"amount": -0.01}),
    ],
)
def test_a_broken_dividend_is_set_aside(reason: str, change: dict[str, Any]) -> None:
    good = {"ex_date": DAY("2023-09-06"), "amount": 0.0}
    held = market(dividends=table("dividends", change, good))
    assert counts(held) == {("dividends", reason): 1}
    assert_frame_equal(held.dividends, table("dividends", good))  # type: ignore[arg-type]


def test_bars_are_given_to_the_underlying_of_their_root() -> None:
    rows = [
        {"symbol": symbol(root=root), "session": SESSION} for root in ("BRKB", "BFB", "AAPL", "SPY")
    ]
    held = Market(
        option_quotes=quotes({"underlying": "BRK.B", "symbol": symbol(root="BRKB")}),
        option_bars=table("option_bars", *rows, {"symbol": symbol(root="BRKB"), "low": NAN}),
        underlying_bars=table("underlying_bars", {"underlying": "BF/B"}, {"underlying": "AAPL"}),
    )
    for underlying, root in (("BRK.B", "BRKB"), ("BF/B", "BFB"), ("AAPL", "AAPL"), ("SPY", "SPY")):
        bars = held.window(underlying, SESSION, SESSION).bars
        assert bars is not None
        assert bars["symbol"].to_list() == [symbol(root=root)], underlying
    broken = held.diagnostics.filter(pl.col("reason") == "missing_price")
    assert broken["underlying"].to_list() == ["BRK.B"]


# ---- strict


def test_strict_names_each_reason_with_its_count_and_a_row() -> None:
    frame = quotes({}, {"bid": 6.0}, {"bid": 7.0}, {"underlying": None}, {"bid": None})
    bars = table("option_bars", {"close": 9.75})
    with pytest.raises(DataError, match="strict=True") as raised:
        market(option_quotes=frame, option_bars=bars, strict=True)
    text = str(raised.value)
    assert 'option_quotes crossed: 2, such as {"underlying":"TSLA"' in text
    assert '"bid":6.0' in text
    assert "option_quotes missing_key: 1, such as " in text
    assert 'option_bars outside_range: 1, such as {"underlying":"TSLA"' in text
    assert '"close":9.75' in text
    assert "missing_side" not in text


def test_strict_lets_everyday_facts_pass() -> None:
    frame = quotes(
        {"bid": None}, {"bid": 0.0, "ask": 0.0}, {"ask": 300.0}, {"symbol": symbol(root="SPX")}, {"symbol": symbol(root="TSLA1")}
    )  # fmt: skip
    bars = table("option_bars", {}, {}, {"volume": 0})
    held = market(
        option_quotes=frame,
        option_bars=bars,
        underlying_bars=table("underlying_bars", {"session": DAY("2023-06-05")}),
        strict=True,
    )
    assert {reason: n for (_, reason), n in counts(held).items()} == dict.fromkeys(
        schemas.ORDINARY_REASONS, 1
    )
    assert "underlying_ended" in set(held.diagnostics["reason"])


# ---- what is said of the whole


def test_diagnostics_are_a_sorted_table_of_their_own_schema() -> None:
    frame = quotes(
        {"bid": 6.0}, {"underlying": None}, {"bid": 6.0, "underlying": "AAPL"}, {"bid": None}
    )
    held = market(option_quotes=frame)
    assert held.diagnostics.schema == schemas.MARKET_DIAGNOSTICS
    assert held.diagnostics.rows() == [
        ("option_bars", "AAPL", "no_option_bars", 1),
        ("option_bars", "TSLA", "no_option_bars", 2),
        ("option_quotes", "", "missing_key", 1),
        ("option_quotes", "AAPL", "crossed", 1),
        ("option_quotes", "TSLA", "crossed", 1),
        ("option_quotes", "TSLA", "missing_side", 1),
        ("underlying_bars", "AAPL", "no_underlying_bars", 1),
    ]


def test_an_empty_table_of_option_bars_is_there_and_none_is_not() -> None:
    without, empty = market(), market(option_bars=table("option_bars"))
    assert (without.has_option_bars, empty.has_option_bars) == (False, True)
    assert without.option_bars is None
    assert_frame_equal(empty.option_bars, table("option_bars"))  # type: ignore[arg-type]
    assert without.window("TSLA", SESSION, SESSION).bars is None
    assert_frame_equal(empty.window("TSLA", SESSION, SESSION).bars, table("option_bars"))  # type: ignore[arg-type]
    assert "no_option_bars" in without.diagnostics["reason"].to_list()
    assert empty.diagnostics.rows() == [("option_bars", "TSLA", "no_option_bars", 1)]


def test_a_market_of_nothing() -> None:
    held = Market(
        option_quotes=table("option_quotes"), underlying_bars=table("underlying_bars"), strict=True
    )
    assert (held.symbols, held.data_range, held.dividends) == ((), None, None)
    assert len(held.diagnostics) == 0
    assert held.diagnostics.schema == schemas.MARKET_DIAGNOSTICS
    assert held.window("TSLA", SESSION, SESSION).quotes.schema == schemas.OPTION_QUOTES
    assert len(held.fingerprint) == 32
    assert "no symbols; no sessions" in repr(held)


def bars_until(last: dict[str, str]) -> pl.DataFrame:
    days = pl.date_range(DAY("2023-06-05"), DAY("2023-06-30"), "1d", eager=True)
    days = days.filter((days.dt.weekday() < 6) & (days != HOLIDAY))
    rows = [
        {"underlying": u, "session": day}
        for u, end in last.items()
        for day in days
        if day <= DAY(end)
    ]
    return table("underlying_bars", *rows)


def test_an_underlying_whose_bars_end_early_is_reported_with_the_sessions_it_lacks() -> None:
    held = market(
        underlying_bars=bars_until(
            {"TSLA": "2023-06-30", "AAPL": "2023-06-30", "TWTR": "2023-06-16"}
        )
    )
    ended = held.diagnostics.filter(pl.col("reason") == "underlying_ended")
    assert ended.rows() == [
        ("underlying_bars", "TWTR", "underlying_ended", 9)
    ]  # the 19th is a holiday


def test_the_last_session_is_that_of_any_table() -> None:
    bars = bars_until({"TSLA": "2023-06-30"})
    later = market(
        underlying_bars=bars, option_bars=table("option_bars", {"session": DAY("2023-07-05")})
    )
    ended = later.diagnostics.filter(pl.col("reason") == "underlying_ended")
    assert ended["count"].to_list() == [2]  # the 3rd and the 5th of July
    paid = market(
        underlying_bars=bars, dividends=table("dividends", {"ex_date": DAY("2023-12-01")})
    )
    assert "underlying_ended" not in paid.diagnostics["reason"].to_list()


def test_one_underlying_beside_another_is_no_split() -> None:
    strikes = [100.0 + 10 * i for i in range(21)]
    rows = chain(DAY("2023-06-05"), 200.0, strikes) + chain(
        DAY("2023-06-06"), 20.0, [s / 10 for s in strikes], root="F"
    )
    held = market(option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars"))
    assert "suspected_split" not in held.diagnostics["reason"].to_list()


# ---- windows, ranges, names


def many() -> Market:
    days = [DAY(f"2023-06-{d:02d}") for d in (1, 2, 5, 30)] + [DAY("2023-07-03")]
    rows = [
        {"underlying": u, "session": day, "ts": None, "symbol": symbol(strike, root=u)}
        for u in ("AAPL", "TSLA")
        for day in days
        for strike in (200, 210)
    ]
    bars = [{"symbol": row["symbol"], "session": row["session"]} for row in rows]
    return market(option_quotes=quotes(*rows), option_bars=table("option_bars", *bars))


@pytest.mark.parametrize(
    ("underlying", "first", "last", "days"),
    [
        ("TSLA", "2023-06-01", "2023-06-30", 4),
        ("AAPL", "2023-06-02", "2023-06-29", 2),
        ("AAPL", "2023-07-01", "2023-07-31", 1),
        ("TSLA", "2023-06-03", "2023-06-04", 0),
        ("TSLA", "2023-06-05", "2023-06-02", 0),
        ("TSLA", "1999-01-01", "2099-01-01", 5),
        ("MSFT", "2023-06-01", "2023-06-30", 0),
    ],
)
def test_a_window_is_a_slice_of_the_held_tables(
    underlying: str, first: str, last: str, days: int
) -> None:
    held = many()
    window = held.window(underlying, DAY(first), DAY(last))
    inside = pl.col("session").is_between(DAY(first), DAY(last))
    assert_frame_equal(
        window.quotes, held.option_quotes.filter((pl.col("underlying") == underlying) & inside)
    )
    bars = held.option_bars.filter(pl.col("symbol").str.starts_with(underlying) & inside)  # type: ignore[union-attr]
    assert_frame_equal(window.bars, bars)  # type: ignore[arg-type]
    assert len(window.quotes) == len(bars) == 2 * days


def test_symbols_and_the_range_of_the_data() -> None:
    held = market(
        option_quotes=quotes(
            {"underlying": "B", "session": DAY("2023-06-07")}, {"underlying": "A"}
        ),
        underlying_bars=table("underlying_bars", {"underlying": "Z", "session": DAY("2023-01-03")}),
        option_bars=table("option_bars", {"session": DAY("2023-06-08")}),
        dividends=table("dividends", {"ex_date": DAY("2024-01-03")}),
    )
    assert held.symbols == ("A", "B")
    assert held.data_range == (DAY("2023-01-03"), DAY("2023-06-08"))


def test_a_market_says_what_it_holds() -> None:
    assert repr(many()) == (
        "Market(AAPL, TSLA; 2023-06-01 to 2023-07-03; option_quotes 20 rows, option_bars 20 rows, underlying_bars 1 rows)"
    )
    page = market(option_quotes=quotes({"underlying": "<b>", "bid": 9.0}))._repr_html_()
    assert "Market(&lt;b&gt;; 2023-06-06" in page
    assert "crossed" in page


def test_a_market_survives_pickling() -> None:
    held = many()
    again = pickle.loads(pickle.dumps(held))
    assert_frame_equal(again.option_quotes, held.option_quotes)
    assert again.fingerprint == held.fingerprint


# ---- fingerprint


def test_the_fingerprint_is_the_same_in_every_process_and_version() -> None:
    earlier = {name: frame for name, frame in ALL.items() if name != "splits"}
    assert Market(**earlier).fingerprint == "eaa5faff649c96ae2c39ff67a7b8ec9a"
    assert Market(**ALL).fingerprint == "86594e968d6cfffe682dedca93b30537"


def test_the_digest_of_a_month_is_what_it_says() -> None:
    rows = table("dividends", {"ex_date": DAY("1970-01-03")}, {"ex_date": None, "amount": NAN})
    columns = [
        b"ex_date Date 2\n"
        + (1).to_bytes(8, "little")
        + b"\x40"
        + (8).to_bytes(8, "little")
        + struct.pack("<ii", 2, 0),
        b"amount Float64 2\n" + (16).to_bytes(8, "little") + struct.pack("<dd", 0.25, NAN),
    ]
    assert (
        content_digest(TABLES["dividends"], rows)
        == hashlib.blake2b(b"".join(columns), digest_size=16).hexdigest()
    )
    names = pl.DataFrame({"symbol": ["ab", None, "é"]})
    bars = names.select(
        pl.col("symbol") if c == "symbol" else pl.lit(None, t).alias(c)
        for c, t in schemas.OPTION_BARS.items()
    )
    text = b"symbol String 3\n" + (1).to_bytes(8, "little") + b"\x40"
    text += (
        (12).to_bytes(8, "little")
        + struct.pack("<III", 2, 0, 2)
        + (4).to_bytes(8, "little")
        + "abé".encode()
    )
    nothing = [
        f"{c} {t} 3\n".encode() + (1).to_bytes(8, "little") + b"\xe0"
        for c, t in schemas.OPTION_BARS.items()
    ][1:]
    expected = hashlib.blake2b(text + b"".join(nothing), digest_size=16)
    assert content_digest(TABLES["option_bars"], bars) == expected.hexdigest()


def test_digests_of_runs_of_rows_are_those_of_their_frames() -> None:
    rows = pl.DataFrame(
        {
            "symbol": ["ab", "cd", None, "é", "", "f", "gh"],
            "session": [DAY("2024-01-02")] * 7,
            "open": [1.0, NAN, None, -0.0, 2.0, None, 3.0],
            "high": [None] * 7,
            "low": [1.0] * 7,
            "close": [1.0] * 7,
            "volume": [2**60 + 1, None, 3, 4, None, None, 7],
        },
        schema=schemas.OPTION_BARS,
    )
    table, spans = TABLES["option_bars"], [(0, 2), (2, 2), (2, 5), (5, 7)]
    expected = [content_digest(table, rows[first:end]) for first, end in spans]
    assert content_digests(table, rows, spans) == expected
    assert len(set(expected)) == 4


def test_the_fingerprint_sees_through_types_chunks_and_duplicates() -> None:
    plain = Market(**ALL)
    wide = quotes({}, {"symbol": symbol(210), "bid": NAN})
    chunked = pl.concat([wide[:1], wide[1:]], rechunk=False)
    assert (
        market(option_quotes=chunked).fingerprint
        == market(option_quotes=wide.rechunk()).fingerprint
    )
    text = Market(
        **(
            ALL
            | {
                "option_quotes": ALL["option_quotes"].cast(
                    {"session": pl.String, "bid": pl.Float32}
                )
            }
        )
    )
    assert text.fingerprint == plain.fingerprint
    twice = Market(**(ALL | {"option_bars": table("option_bars", {}, {})}))
    assert twice.fingerprint == plain.fingerprint
    other_nan = pl.Series([float("-nan")])
    assert market(option_quotes=quotes({}).with_columns(bid=other_nan)).fingerprint == (
        market(option_quotes=quotes({"bid": NAN})).fingerprint
    )


@pytest.mark.parametrize(
    "tables",
    [
        {"option_quotes": quotes({"bid": 5.000000000000001})},
        {"option_quotes": quotes({"bid": None})},
        {"option_quotes": quotes({"bid": 0.0})},
        {"option_quotes": quotes({"bid": NAN})},
        {"option_quotes": quotes({"ts": at("2023-06-06T19:45:10.000001")})},
        {"option_quotes": quotes({"ts": None})},
        {"option_quotes": quotes({"underlying": "TSLX"})},
        {"option_quotes": quotes({"symbol": symbol(205, "C")})},
        {"option_quotes": quotes({}, {})},
        {"option_quotes": quotes()},
        {"option_bars": table("option_bars", {"close": 5.0})},
        {"option_bars": table("option_bars", {"volume": None})},
        {"option_bars": table("option_bars")},
        {"option_bars": None},
        {"underlying_bars": table("underlying_bars", {"session": DAY("2023-06-07")})},
        {"dividends": table("dividends", {"amount": 0.5})},
        {"dividends": None},
    ],
)
def test_the_fingerprint_changes_with_the_content(tables: dict[str, Any]) -> None:
    assert Market(**(ALL | tables)).fingerprint != Market(**ALL).fingerprint


def test_null_zero_and_nan_are_three_contents() -> None:
    prints = [
        market(option_quotes=quotes({"bid": bid}, {"bid": 1.0})).fingerprint
        for bid in (None, 0.0, NAN)
    ]
    assert len(set(prints)) == 3
    names = [market(option_quotes=quotes({"underlying": name})).fingerprint for name in ("A", "AA")]
    assert len(set(names)) == 2


def test_the_order_of_quotes_of_one_moment_is_content() -> None:
    rows = [{"bid": 1.0}, {"bid": 2.0}]
    one, other = (market(option_quotes=quotes(*order)).fingerprint for order in (rows, rows[::-1]))
    assert one != other


# ---- real and worked tables


@pytest.mark.skipif(
    not (SHARED / "real" / "tsla_2026").is_dir(), reason="the real tables are not here"
)
def test_a_real_quarter() -> None:
    folder = SHARED / "real" / "tsla_2026"
    given = {
        name: pl.scan_parquet(folder / f"{name}.parquet")
        for name in ("option_quotes", "underlying_bars")
    }
    held = Market(**given)
    assert len(held.option_quotes) == 393_649
    assert held.data_range == (DAY("2025-07-24"), DAY("2026-05-05"))
    found = counts(held)
    assert found["option_quotes", "crossed"] == 2
    assert set(found) == {
        ("option_quotes", reason)
        for reason in ("crossed", "missing_side", "no_price", "not_a_session", "ask_over_worth")
    }
    days = held.option_quotes["session"].unique()
    holidays = [
        DAY("2026-01-19"),
        DAY("2026-02-16"),
        DAY("2026-04-03"),
    ]  # King, Washington, Good Friday: stale copies
    assert (
        found["option_quotes", "not_a_session"]
        == held.option_quotes["session"].is_in(holidays).sum()
    )
    assert set(holidays) <= set(days)
    with pytest.raises(
        DataError, match=r"option_quotes crossed: 2, such as .*; option_quotes not_a_session: 14516"
    ):
        Market(**given, strict=True)


GOLDEN = sorted((SHARED / "golden").glob("*/option_quotes.parquet"))


@pytest.mark.skipif(not GOLDEN, reason="the worked cases are not here")
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_worked_tables_are_held_whole_but_for_what_is_unusable(path: Any) -> None:
    names = ("option_quotes", "option_bars", "underlying_bars")
    given = {name: pl.read_parquet(path.with_name(f"{name}.parquet")) for name in names}
    held = Market(**given)
    unusable = pl.col("symbol").str.contains(r"^[A-Z]+\d+ ")
    assert len(held.option_quotes) == len(given["option_quotes"].filter(~unusable))
    assert counts(held).get(("option_quotes", "adjusted"), 0) == len(
        given["option_quotes"].filter(unusable)
    )
    assert held.data_range is not None


# ---- what the fuzzers found


def test_a_time_as_text_beyond_the_nanoseconds_is_refused_and_not_read_as_another_century() -> None:
    texts = [
        "2023-06-06T19:45:10.123456789",
        "2608-06-01T19:45:10",
    ]  # the latter once became a day of 2023
    assert (
        market(option_quotes=quotes({}).with_columns(ts=pl.lit(texts[0])))
        .option_quotes["ts"]
        .dt.nanosecond()[0]
        == 123456789
    )
    with pytest.raises(
        DataError,
        match=r"option_quotes\.ts is String and holds '2608-06-01T19:45:10', which cannot be converted",
    ):
        market(option_quotes=quotes({}).with_columns(ts=pl.lit(texts[1])))


def test_days_that_python_has_none_for_are_set_aside() -> None:
    strange = pl.Series("session", [2**31 - 1, -(2**31)], dtype=pl.Int32).cast(pl.Date)
    held = market(option_quotes=pl.concat([quotes({}), quotes({}, {}).with_columns(strange)]))
    assert counts(held) == {("option_quotes", "not_a_session"): 2}
    assert held.data_range == (SESSION, SESSION)
    clipped = market(option_quotes=quotes({}, {}).with_columns(strange.alias("expiration")))
    assert counts(clipped) == {("option_quotes", "symbol_mismatch"): 2}


def test_a_price_that_no_longer_holds_cents_is_infinite() -> None:
    asked = market(option_quotes=quotes({"ask": 9.1e13}, {"ask": 9.0e13}))
    assert counts(asked) == {
        ("option_quotes", "infinite_price"): 1,
        ("option_quotes", "ask_over_worth"): 1,
    }
    bars = table("underlying_bars", {"high": 1e308}, {"high": 9.0e13, "session": DAY("2023-06-07")})
    assert counts(market(underlying_bars=bars)) == {("underlying_bars", "infinite_price"): 1}
    paid = table("dividends", {"amount": 1e300}, {"amount": 1e12})
    assert counts(market(dividends=paid)) == {("dividends", "missing_amount"): 1}


def test_a_lazy_frame_that_fails_names_its_table(tmp_path: Path) -> None:
    path = tmp_path / "quotes.parquet"
    quotes(*[{}] * 1000).write_parquet(path)
    scanned = pl.scan_parquet(path)
    scanned.collect_schema()
    path.unlink()
    with pytest.raises(DataError, match=r"option_quotes cannot be read: .*No such file"):
        market(option_quotes=scanned)


def test_a_frame_in_many_pieces_is_made_one_first() -> None:
    """Each step over a frame of 20,000 chunks once did its work chunk by chunk: fifteen times as
    long, and twice the memory.
    """
    chunks = pl.concat([quotes({}, {"bid": 4.0})] * 100)
    assert chunks.n_chunks() == 100
    assert validation.read("option_quotes", chunks).n_chunks() == 1
    assert len(market(option_quotes=chunks).option_quotes) == 200


# ---- parts, which other processes read


def test_a_part_of_a_lake_has_some_underlyings_and_the_days_of_all(tmp_path: Path) -> None:
    late = wv.demo_market(symbols=["ALFA"], start="2024-02-01", end="2024-03-28")
    late.write(tmp_path)
    wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29").write(tmp_path)
    whole = wv.Market.open(tmp_path)
    part = pickle.loads(pickle.dumps(whole.part(["BRVO"])))
    assert (part.symbols, part.data_range) == (("BRVO",), whole.data_range)
    assert part.underlying_bars["underlying"].unique().to_list() == ["BRVO"]
    days = whole.data_range
    assert days is not None
    assert part.window("BRVO", *days).quotes.equals(whole.window("BRVO", *days).quotes)
    assert part.window("ALFA", *days).quotes.height == 0


def test_a_part_has_what_its_underlyings_were_renamed_to(tmp_path: Path) -> None:
    wv.demo_market(symbols=["OLD", "NEW"], start="2024-01-02", end="2024-02-29").write(tmp_path)
    renames = pl.DataFrame(
        {
            "underlying": ["OLD"],
            "ex_date": [dt.date(2024, 2, 1)],
            "numerator": [1],
            "denominator": [1],
            "new_underlying": ["NEW"],
        }
    )
    part = wv.Market.open(tmp_path, splits=renames).part(["OLD"])
    assert sorted(part.underlying_bars["underlying"].unique()) == ["NEW", "OLD"]
    assert pickle.loads(pickle.dumps(part)).splits.rows() == part.splits.rows()  # type: ignore[union-attr]


def test_a_part_holds_nothing_of_other_underlyings(tmp_path: Path) -> None:
    """All jobs of a run together must not grow with the square of the number of underlyings."""
    names = ["ALFA", "BRVO", "CHRL", "DLTA"]
    splits = pl.DataFrame(
        {"underlying": names, "ex_date": [dt.date(2024, 2, 1)] * 4, "numerator": [2] * 4}
    ).with_columns(denominator=1)
    sizes = []
    for count in (2, 4):
        folder = tmp_path / f"{count}"
        held = wv.demo_market(symbols=names[:count], start="2024-01-02", end="2024-02-29")
        held.write(folder)
        whole = wv.Market.open(folder, splits=splits.head(count))
        whole.hold(whole.digests, {})
        part = whole.part(["BRVO"])
        assert part.digests["underlying"].unique().to_list() == ["BRVO"]
        assert part.splits is not None
        assert part.splits["underlying"].to_list() == ["BRVO"]
        sizes.append(len(pickle.dumps(part)))
    assert sizes[0] == sizes[1]


def test_the_fingerprint_of_a_part_is_that_of_its_digests(tmp_path: Path) -> None:
    wv.demo_market(symbols=["ALFA", "BRVO"], end="2024-02-29").write(tmp_path)
    whole, again = wv.Market.open(tmp_path), wv.Market.open(tmp_path)
    whole.hold(again.digests, {})
    part = whole.part(["ALFA"])
    assert part.digests.equals(again.digests.filter(pl.col("underlying") == "ALFA"))
    assert part.fingerprint == pickle.loads(pickle.dumps(again.part(["ALFA"]))).fingerprint
    assert whole.fingerprint == again.fingerprint


def test_markets_of_frames_have_no_parts_for_other_processes() -> None:
    market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
    for use in (lambda: market.part(["ALFA"]), market.sizes):
        with pytest.raises(wv.InputError, match=r"no other process can read: write it with"):
            use()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda held: held.part(3), "underlyings = 3: expected a list of symbols"),
        (lambda held: held.findings([1]), "underlyings: 1 is no symbol"),
        (lambda held: held.suspected_splits(3), "underlyings = 3: expected a list of symbols"),
        (
            lambda held: held.quotes("ALFA", "2024-01-02", dt.date(2024, 1, 31)),
            "first = '2024-01-02': expected",
        ),
        (
            lambda held: held.bars("ALFA", dt.date(2024, 1, 2), 4),
            "last = 4: expected a datetime.date",
        ),
        (lambda held: held.window("ALFA", None, dt.date(2024, 1, 31)), "first = None: expected"),
    ],
)
def test_an_argument_of_another_type_is_named(call: Any, message: str) -> None:
    held = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-01-31")
    with pytest.raises(wv.InputError, match=re.escape(message)):
        call(held)


def test_one_symbol_is_a_list_of_it() -> None:
    held = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
    assert held.findings("ALFA").holes.equals(held.findings(["ALFA"]).holes)
    assert held.findings("ALFA").holes.height > 0
