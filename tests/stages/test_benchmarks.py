"""Benchmarks of an account, worked by hand: stock, cash, delta, a user's series."""

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wheelvec as wv
from wheelvec.stages import benchmarks as b

# Tuesday to Friday, and the Monday after
DATES = [dt.date(2024, 1, day) for day in (2, 3, 4, 5, 8)]
SESSIONS = pl.Series("session", DATES)
EVENTS = {
    "underlying": pl.String, "session": pl.Date, "kind": pl.String, "ratio": pl.Float64, "amount": pl.Float64,
}  # fmt: skip
NONE = pl.DataFrame(schema=EVENTS)


def closes(**given: list[float | None]) -> pl.DataFrame:
    """The closes of underlyings on the first sessions; None: there is no row."""
    rows = [
        (name, session, close)
        for name, values in given.items()
        for session, close in zip(DATES, values, strict=False)
        if close is not None
    ]
    schema = {"underlying": pl.String, "session": pl.Date, "close": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row")


def events(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Rows of underlying, index of the session, kind, ratio, amount."""
    dated = [(name, DATES[at], *rest) for name, at, *rest in rows]
    return pl.DataFrame(dated, EVENTS, orient="row")


def money(n: int = 5, start: float = 1000.0, earned: float = 0.0) -> b.Money:
    return b.Money(start, np.array([0.0, *[earned] * (n - 1)]))


def held(prices: pl.DataFrame, *happened: tuple[Any, ...]) -> b.Lots:
    return b.lots(prices, events(*happened), SESSIONS)


# ---- bought and held


def test_two_underlyings_one_of_which_comes_later() -> None:
    """1,000 each: 20 shares at 50 on the first day, 99.01 at 10.1 on the third, with interest."""
    lots = held(closes(A=[50, 51, 52, 52, 53], B=[None, None, 10.1, 10.2, 10.0]))
    found = b.buy_and_hold(lots, money(start=2000.0, earned=0.005))
    part = 1000.0 * 1.005**2
    units = part / 10.1
    expected = [
        2000.0, 20 * 51 + 1000 * 1.005, 20 * 52 + part, 20 * 52 + units * 10.2, 20 * 53 + units * 10.0,
    ]  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-12)


def test_dividends_are_kept_as_cash_and_earn_interest() -> None:
    """20 shares; 1.50 each on Thursday, and none on shares bought on the ex-date itself."""
    lots = held(
        closes(A=[50, 50, 49, 49, 49]),
        ("A", 2, "dividend", None, 1.5),
        ("A", 0, "dividend", None, 9.0),
    )
    found = b.buy_and_hold(lots, money(earned=0.01))
    assert found == pytest.approx([1000, 1000, 980 + 30, 980 + 30.3, 980 + 30.603])


def test_a_dividend_before_the_first_close_is_not_received() -> None:
    lots = held(closes(A=[None, 50, 50, 50, 50]), ("A", 1, "dividend", None, 5.0))
    assert b.buy_and_hold(lots, money()).tolist() == [1000.0] * 5


def test_splits_multiply_the_shares_and_come_before_the_dividend_of_the_day() -> None:
    """20 shares become 80 on Wednesday, and 8 on Friday (1 for 10)."""
    lots = held(
        closes(A=[50, 12.6, 12.7, 128, 130]),
        ("A", 1, "carried", 4.0, None),
        ("A", 1, "dividend", None, 0.25),
        ("A", 3, "not_carried", 0.1, None),
    )
    found = b.buy_and_hold(lots, money())
    assert found == pytest.approx(
        [1000, 80 * 12.6 + 20, 80 * 12.7 + 20, 8 * 128 + 20, 8 * 130 + 20]
    )


def test_without_a_close_an_underlying_is_worth_what_it_was_also_across_a_split() -> None:
    lots = held(closes(A=[50, 51, None, None, 26]), ("A", 2, "carried", 2.0, None))
    assert b.buy_and_hold(lots, money()) == pytest.approx([1000, 1020, 1020, 1020, 1040])


@pytest.mark.parametrize("prices", [[50, 51, 5.1, 5.2, 5.3], [50, 51, None, 5.1, 5.3]])
def test_a_suspected_split_is_neither_a_gain_nor_a_loss(prices: list[float | None]) -> None:
    lots = held(closes(A=prices), ("A", 2, "suspected", None, None))
    found = b.buy_and_hold(lots, money())
    assert found[2] == pytest.approx(1020.0)
    assert found[4] == pytest.approx(1020.0 * 5.3 / 5.1)


def test_suspected_splits_that_follow_one_another_and_those_without_closes() -> None:
    twice = [("A", at, "suspected", None, None) for at in (2, 3)]
    found = b.buy_and_hold(held(closes(A=[50, 50, None, 5, 6]), *twice), money())
    assert found == pytest.approx([1000, 1000, 1000, 1000, 1200])
    ended = b.buy_and_hold(held(closes(A=[50, 50, None, None, None]), *twice), money())
    assert ended.tolist() == [1000.0] * 5


def test_underlyings_without_a_close_stay_cash() -> None:
    nowhere = closes(A=[50.0]).with_columns(session=dt.date(2023, 12, 29))
    assert b.buy_and_hold(b.lots(nowhere, NONE, SESSIONS), money()).tolist() == [1000.0] * 5
    assert b.buy_and_hold(b.lots(closes(), NONE, SESSIONS), money()).tolist() == [1000.0] * 5


# ---- delta matched


def deltas(*rows: tuple[int, str, float | None]) -> pl.DataFrame:
    schema = {"session": pl.Date, "underlying": pl.String, "shares": pl.Float64}
    return pl.DataFrame([(DATES[at], *rest) for at, *rest in rows], schema, orient="row")


def matched(lots: b.Lots, changes: pl.DataFrame, cash: b.Money) -> Any:
    return b.delta_matched(lots, changes, SESSIONS, cash)


def test_the_shares_of_yesterday_are_held_today() -> None:
    """30 of A over Wednesday, 10 and 40 of B over Thursday, none after."""
    lots = held(closes(A=[50, 51, 53, 60, 60], B=[10, 20, 19, 30, 30]))
    found = matched(lots, deltas((0, "A", 30.0), (1, "A", 10.0), (1, "B", 40.0)), money())
    assert found == pytest.approx([1000, 1030, 1030 + 20 - 40, 1010, 1010])


def test_the_rest_is_cash_that_earns_interest() -> None:
    """10 shares of 50: half the equity earns 1% over Wednesday, and all of it after."""
    lots = held(closes(A=[50, 51, 51, 51, 51]), ("A", 1, "dividend", None, 2.0))
    found = matched(lots, deltas((0, "A", 10.0)), money(earned=0.01))
    first = 510 + 20 + 500 * 1.01
    assert found == pytest.approx([1000, first, first * 1.01, first * 1.01**2, first * 1.01**3])


def test_delta_matched_follows_splits_and_holes() -> None:
    """10 shares become 20 over Wednesday; over a session without a close nothing is gained."""
    lots = held(closes(A=[50, 26, None, 27, 28]), ("A", 1, "carried", 2.0, None))
    changes = deltas((0, "A", 10.0), (1, "A", 20.0), (2, "A", 20.0), (3, "A", -5.0))
    assert matched(lots, changes, money()) == pytest.approx([1000, 1020, 1020, 1040, 1035])


def test_delta_matched_without_deltas_is_cash() -> None:
    lots = held(closes(A=[None, 51, 52, 53, 54]))
    cash = money(earned=0.001)
    for changes in (deltas(), deltas((0, "A", 10.0)), deltas((1, "A", None), (2, "C", 5.0))):
        assert matched(lots, changes, cash) == pytest.approx(b.cash(cash), rel=1e-14)


@given(
    st.lists(st.floats(10.0, 90.0), min_size=5, max_size=5),
    st.floats(0.0, 0.001),
    st.floats(0.0, 3.0),
)
def test_delta_matched_with_the_shares_of_bought_stock_is_bought_stock(
    prices: list[float], earned: float, dividend: float
) -> None:
    lots = held(closes(A=[*prices]), ("A", 3, "dividend", None, dividend))  # type: ignore[list-item]
    units = 1000.0 / prices[0]
    same = matched(lots, deltas(*[(at, "A", units) for at in range(5)]), money(earned=earned))
    assert same == pytest.approx(b.buy_and_hold(lots, money(earned=earned)), rel=1e-12)


# ---- cash, and a series of the user


def test_cash_earns_interest() -> None:
    assert b.cash(money(earned=0.01)).tolist() == pytest.approx([1000 * 1.01**t for t in range(5)])


PUT = pl.DataFrame({"session": DATES, "value": [200, 202, 204, 206, 210]})


def test_a_series_is_scaled_to_the_cash_on_the_first_session() -> None:
    shuffled = pl.concat([PUT.reverse(), PUT[:1].with_columns(session=dt.date(2020, 1, 2))])
    found = b.scaled("PUT", shuffled, SESSIONS, 1000.0)
    assert found.tolist() == pytest.approx([1000.0, 1010.0, 1020.0, 1030.0, 1050.0])


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (PUT[1:3], "'PUT' has no value on 3 of 5 sessions, 2024-01-02 to 2024-01-08: it has values"),
        (PUT[1:3], "from 2024-01-03 to 2024-01-04, expected one on each .* 2024-01-02 to 2024-01-08"),
        (PUT[:2], "no value on 3 of 5 sessions, 2024-01-04 to 2024-01-08"),
        (PUT.filter(pl.col("value") != 204), "no value on 1 of 5 sessions, 2024-01-04 to 2024-01-04"),
        (PUT.with_columns(value=pl.lit(None, pl.Float64)), "'PUT' has no value: expected one"),
        (PUT.clear(), "'PUT' has no value: expected one"),
        (PUT.with_columns(value=pl.col("value") - 204.0), "'PUT' has -4.0 on 2024-01-02: expected"),
        (PUT.with_columns(value=pl.lit(math.nan)), "'PUT' has nan on 2024-01-02"),
        (PUT.with_columns(value=pl.lit(math.inf)), "'PUT' has inf on 2024-01-02"),
        (pl.concat([PUT, PUT[2:3]]), "'PUT' has two values on 2024-01-04"),
        (PUT.rename({"value": "PUT"}), "'PUT' has no column value: .* found session, PUT"),
        (PUT.with_columns(pl.col("session").cast(pl.String)), "has session String and value Int64"),
        ([1.0, 2.0], r"'PUT' is \[1.0, 2.0\]: expected a frame"),
    ],
)  # fmt: skip
def test_a_series_that_cannot_be_used_is_named(series: Any, expected: str) -> None:
    with pytest.raises(wv.InputError, match=expected):
        b.scaled("PUT", series, SESSIONS, 1000.0)


def test_benchmarks_side_by_side() -> None:
    lots = held(closes(A=[50, 51, 52, 53, 54]))
    found = b.benchmarks(lots, deltas((0, "A", 10.0)), SESSIONS, money(), {"PUT": PUT})
    assert found.columns == ["session", "buy_and_hold", "cash", "delta_matched", "PUT"]
    assert found["buy_and_hold"].to_list() == pytest.approx([1000, 1020, 1040, 1060, 1080])
    assert found["delta_matched"].to_list() == [1000.0, *[1010.0] * 4]
    assert found["PUT"][4] == 1050.0


@pytest.mark.parametrize("name", ["session", "cash", "buy_and_hold", "", 5])
def test_a_name_that_is_taken_is_refused(name: Any) -> None:
    lots = held(closes(A=[50, 51, 52, 53, 54]))
    with pytest.raises(
        wv.InputError, match="expected a name that is none of session, buy_and_hold"
    ):
        b.benchmarks(lots, deltas(), SESSIONS, money(), {name: PUT})
