"""The days as `check` reports them: coverage, and the gap of the underlying's price to its close."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from tests.market.build import DAY, quotes, symbol, table
from wheelvec.lake.holdings import COVERAGE, gaps

DAYS = [DAY(f"2023-06-{day:02d}") for day in (6, 7, 8, 9)]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Four sessions of one underlying, the third without quotes and the fourth without a close."""
    quoted = [
        {"session": day, "symbol": symbol(strike), "underlying_price": price, "bid": bid}
        | {"ts": dt.datetime.combine(day, dt.time(19, 45, second), dt.UTC)}
        for day, price in ((DAYS[0], 221.5), (DAYS[1], 220.0), (DAYS[3], 230.0))
        for strike, bid in ((200, 4.0), (205, 4.0), (210, None))
        for second in ((1, 2) if strike == 200 else (1,))
    ]
    closes = [(DAYS[0], 221.5), (DAYS[1], 222.222), (DAYS[2], 220.0)]
    bars = [{"session": day, "high": 240.0, "low": 200.0, "close": close} for day, close in closes]
    traded = [{"session": DAYS[0], "symbol": symbol(strike)} for strike in (200, 205)]
    wv.Market(
        option_quotes=quotes(*quoted),
        underlying_bars=table("underlying_bars", *bars),
        option_bars=table("option_bars", *traded),
    ).write(tmp_path / "lake")
    return tmp_path / "lake"


def test_coverage_has_a_row_per_session(lake: Path) -> None:
    found = wv.check(lake).coverage
    assert found.schema == COVERAGE
    assert found.drop("gap").rows() == [
        ("TSLA", DAYS[0], 4, 3, 3, 2, 221.5, 221.5, None),
        ("TSLA", DAYS[1], 4, 3, 3, 0, 222.222, 220.0, None),
        ("TSLA", DAYS[2], 0, 0, 0, 0, 220.0, None, None),
        ("TSLA", DAYS[3], 4, 3, 3, 0, None, 230.0, None),
    ]
    assert found["gap"].to_list() == [0.0, pytest.approx(220 / 222.222 - 1), None, None]


def test_gaps_are_medians_and_the_worst_by_source(lake: Path) -> None:
    ((name, source, sessions, median, worst, day),) = wv.check(lake).gaps.rows()
    assert (name, source, sessions, day) == ("TSLA", None, 2, DAYS[1])
    assert median == pytest.approx(0.005, abs=1e-5)
    assert worst == pytest.approx(-0.01, abs=1e-5)


def test_gaps_of_several_sources() -> None:
    rows = [
        ("A", DAYS[0], 1, 1, 1, 1, 100.0, 101.0, "parity", 0.01),
        ("A", DAYS[1], 1, 1, 1, 1, 100.0, 98.0, "parity", -0.02),
        ("A", DAYS[2], 1, 1, 1, 1, 100.0, 100.0, "close", 0.0),
        ("B", DAYS[0], 1, 1, 1, 1, None, 100.0, "parity", None),
    ]
    found = gaps(pl.DataFrame(rows, schema=COVERAGE, orient="row"))
    assert found.rows() == [
        ("A", "parity", 2, pytest.approx(0.015), -0.02, DAYS[1]),
        ("A", "close", 1, 0.0, 0.0, DAYS[2]),
    ]


def test_the_source_of_the_underlyings_price_is_read_from_the_lake(tmp_path: Path) -> None:
    row = {"ts": None, "underlying_price": 220.0, "underlying_source": "parity"}
    held = quotes(row | {"session": DAYS[0]}, {"session": DAYS[1], "ts": None})
    bars = [{"session": day} for day in DAYS[:2]]
    wv.Market(option_quotes=held, underlying_bars=table("underlying_bars", *bars)).write(
        tmp_path / "lake"
    )
    found = wv.check(tmp_path / "lake")
    assert found.coverage["underlying_source"].to_list() == ["parity", None]
    assert found.gaps.select("underlying_source", "sessions").rows() == [("parity", 1), (None, 1)]
