"""Suspected splits, by tables of a few contracts whose answer is known (data.md)."""

import datetime as dt
import math
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from tests.market.build import DAY, SHARED, chain, quotes, symbol, table
from wheelvec.market.market import Market
from wheelvec.tables.anomalies import adjusted_closes
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.suspected import SUSPECTED, named_ratio

WIDE = [100.0 + 10 * i for i in range(21)]  # 100 to 300 around 200
MONDAY, TUESDAY = DAY("2023-06-05"), DAY("2023-06-06")
Days = list[tuple[dt.date, float, list[float]]]  # session, price, strikes


def suspected(
    days: Days, roots: tuple[str, ...] = (), **changes: object
) -> list[tuple[object, ...]]:
    """(session, contracts, gone, ratio) of each suspected split of a market with one put per strike;
    `roots` of the days, if not TSLA.
    """
    rows = []
    for number, (day, spot, strikes) in enumerate(days):
        for row in chain(day, spot, strikes, **changes):
            if roots:
                row["symbol"] = symbol(row_strike(row), root=roots[number], expiration="240119")
            rows.append(row)
    bars = [
        {"session": day} | dict.fromkeys(("open", "high", "low", "close"), spot)
        for day, spot, _ in days
    ]
    held = Market(
        option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars", *bars)
    )
    found = held.findings(["TSLA"]).splits
    counted = held.diagnostics.filter(pl.col("reason") == "suspected_split")["count"].sum()
    assert counted == found.height
    return found.select("session", "contracts", "gone", "numerator", "denominator").rows()


def row_strike(row: dict[str, object]) -> float:
    return int(str(row["symbol"])[-8:]) / 1000


@pytest.mark.parametrize(("new", "old"), [(2, 1), (3, 1), (4, 1), (1, 8), (1, 10), (3, 2)])
@pytest.mark.parametrize("moved", [1.0, 0.96, 1.05])
def test_a_split_is_seen_and_named(new: int, old: int, moved: float) -> None:
    strikes = [round(strike * old / new, 2) for strike in WIDE]
    ((day, contracts, gone, *ratio),) = suspected(
        [(MONDAY, 200.0, WIDE), (TUESDAY, 200 * old / new * moved, strikes)]
    )
    assert (day, contracts, ratio) == (TUESDAY, 21, [new, old])
    assert gone == len(set(WIDE) - set(strikes))


def test_a_reverse_split_with_a_new_root_is_seen_though_strikes_overlap() -> None:
    days: Days = [(MONDAY, 25.0, WIDE), (TUESDAY, 200.0, WIDE)]
    assert suspected(days, ("TSLA", "TSLB")) == [(TUESDAY, 21, 21, 1, 8)]


def test_a_new_root_alone_is_seen_and_has_no_ratio() -> None:
    assert suspected([(MONDAY, 200.0, WIDE), (TUESDAY, 199.0, WIDE)], ("TSLA", "TSLB")) == [
        (TUESDAY, 21, 21, None, None)
    ]


def test_a_crash_is_none() -> None:
    lower = [strike / 4 for strike in WIDE]
    assert suspected([(MONDAY, 200.0, WIDE), (TUESDAY, 50.0, WIDE)]) == []
    assert (
        suspected([(MONDAY, 200.0, WIDE), (TUESDAY, 50.0, sorted({*WIDE, *lower}))]) == []
    )  # new strikes beside the old


def test_a_hole_in_the_data_is_none() -> None:
    week = [DAY(f"2023-06-{day:02d}") for day in (5, 6, 7, 8, 9)]
    some = WIDE[:7]
    for strikes in (
        [],
        some,
        [95.0, 97.5],
    ):  # nothing, a third, or others, for some days: the old ones come back
        days: Days = [
            (week[0], 200.0, WIDE),
            *((day, 200.0, strikes) for day in week[1:4]),
            (week[4], 200.0, WIDE),
        ]
        assert suspected([day for day in days if day[2]]) == []


def test_two_weeks_are_a_night_where_nothing_lies_between() -> None:
    """The event's day is the session after the last with quotes, though the next quotes come later."""
    days: Days = [
        (MONDAY, 200.0, WIDE),
        (DAY("2023-06-20"), 100.0, [strike / 2 - 0.5 for strike in WIDE]),
    ]
    assert suspected(days) == [(TUESDAY, 21, 21, 2, 1)]


def test_a_narrow_band_of_strikes_after_a_gap_looks_like_one_and_has_no_ratio() -> None:
    """Contracts near the money alone are kept, and the price moved in the gap: the two cases
    look alike (data.md).
    """
    days: Days = [
        (MONDAY, 200.0, [190.0, 200.0, 210.0]),
        (DAY("2023-07-10"), 280.0, [270.0, 280.0, 290.0]),
    ]
    assert suspected(days) == [(TUESDAY, 3, 3, None, None)]
    daily: Days = [(MONDAY, 200.0, [190.0, 200.0, 210.0]), (TUESDAY, 208.0, [200.0, 210.0, 220.0])]
    assert suspected(daily) == []  # without a gap a band moves strike by strike


def test_contracts_about_to_expire_say_nothing() -> None:
    rows = [
        {
            "underlying": "TSLA",
            "session": day,
            "ts": None,
            "symbol": symbol(strike, expiration=expiration),
        }
        for day, strikes, expiration in (
            (MONDAY, WIDE, "230609"),
            (TUESDAY, [s / 2 for s in WIDE], "230609"),
        )
        for strike in strikes
    ]
    held = Market(
        option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars", {})
    )
    assert held.findings(["TSLA"]).splits.rows() == []
    rows = [
        row | {"symbol": str(row["symbol"]).replace("230609", "230610")} for row in rows
    ]  # five days to live, a Saturday
    held = Market(
        option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars", {})
    )
    assert held.findings(["TSLA"]).splits.height == 1


def test_a_holidays_copy_keeps_no_contract_alive() -> None:
    rows = [
        *chain(DAY("2023-06-16"), 200.0, WIDE),
        *chain(DAY("2023-06-19"), 200.0, WIDE),
    ]  # a Monday, closed
    rows += chain(DAY("2023-06-20"), 100.0, [strike / 2 for strike in WIDE])
    bars = table("underlying_bars", {"session": DAY("2023-06-16")}, {"session": DAY("2023-06-20")})
    held = Market(option_quotes=quotes(*rows).drop("ts"), underlying_bars=bars)
    assert held.findings(["TSLA"]).splits["session"].to_list() == [DAY("2023-06-20")]


@pytest.mark.parametrize("seed", range(20))
def test_the_shares_are_those_of_the_definition(seed: int) -> None:
    """Any contracts vanishing for good and any new ones: an event where both shares are at least
    60%, else none.
    """
    draw = random.Random(seed)
    before = [5.0 * i for i in range(1, draw.randint(4, 30))]
    kept = draw.sample(before, draw.randint(0, len(before)))
    fresh = [1000.0 + i for i in range(draw.randint(0, 30))]
    after = sorted(kept + fresh)
    if not after:
        return
    gone = len(before) - len(kept)
    event = 10 * gone >= 6 * len(before) and 10 * len(fresh) >= 6 * len(after)
    found = suspected([(MONDAY, 200.0, before), (TUESDAY, 200.0, after)])
    assert found == ([(TUESDAY, len(before), gone, None, None)] if event else [])


@pytest.mark.parametrize(
    ("before", "after", "ratio"),
    [
        (100.0, 50.0, (2, 1)), (100.0, 45.0, (2, 1)), (100.0, 34.0, (3, 1)), (10.0, 82.0, (1, 8)), (90.0, 61.0, (3, 2)),
        (100.0, 99.0, None), (100.0, 89.0, None), (100.0, 42.0, None), (100.0, 0.0, None), (None, 50.0, None),
    ],
)  # fmt: skip
def test_the_ratio_that_two_prices_name(
    before: float | None, after: float, ratio: tuple[int, int] | None
) -> None:
    assert named_ratio(before, after) == ratio


def test_what_a_lake_shows_month_by_month_is_what_memory_shows(tmp_path: object) -> None:
    late = [strike / 2 for strike in WIDE]
    days = [
        (DAY("2023-06-29"), 200.0, WIDE),
        (DAY("2023-06-30"), 200.0, WIDE),
        (DAY("2023-07-03"), 100.0, late),
    ]
    rows = [row for day, spot, strikes in days for row in chain(day, spot, strikes)]
    bars = [{"session": day} for day, _, _ in days]
    held = Market(
        option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars", *bars)
    )
    held.write(str(tmp_path))
    opened = Market.open(str(tmp_path))
    assert opened.findings(["TSLA"]).splits.equals(held.findings(["TSLA"]).splits)
    assert opened.findings(["TSLA"]).splits["session"].to_list() == [DAY("2023-07-03")]
    assert opened.diagnostics.equals(held.diagnostics)


def test_an_underlying_without_option_bars_beside_others_is_counted() -> None:
    rows = [*chain(MONDAY, 200.0, WIDE), *chain(MONDAY, 12.0, [10.0, 12.0], root="F")]
    held = Market(
        option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars", {}),
        option_bars=table("option_bars", {"symbol": symbol(200, expiration="240119")}),
    )  # fmt: skip
    found = held.diagnostics.filter(pl.col("reason") == "no_option_bars")
    assert found.rows() == [("option_bars", "F", "no_option_bars", 2)]


def test_the_golden_case_has_one() -> None:
    folder = SHARED / "golden" / "split_that_no_table_explains"
    if not folder.is_dir():
        pytest.skip("the worked cases are not here")
    names = ("option_quotes", "option_bars", "underlying_bars")
    held = Market(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in names})  # type: ignore[arg-type]
    found = held.findings(["TSLA"])
    assert found.splits.select("session", "last", "numerator", "denominator").rows() == [
        (DAY("2023-07-18"), DAY("2023-07-17"), 4, 1)
    ]
    assert found.splits.schema == SUSPECTED


# ---- real cases: facts of public record, on small chains


def night(
    day: str,
    before: list[float],
    after: list[float],
    prices: tuple[float, float],
    roots: tuple[str, str] = ("ABC", "ABC"),
    name: str = "ABC",
    **tables: Any,
) -> Market:
    """A market of the session `day` and the one before it, with puts of some strikes on each."""
    second = DAY(day)
    sessions = Sessions.known("NYSE", second - dt.timedelta(days=7), second).frame["session"]
    expiration = second + dt.timedelta(days=45)
    quoted, bars = [], []
    both = zip(sessions[-2:], (before, after), prices, roots, strict=True)
    for session, strikes, price, root in both:
        key = {"underlying": name, "session": session}
        bars.append(key | dict.fromkeys(("open", "high", "low", "close"), price))
        for strike in strikes:
            contract = symbol(strike, root=root, expiration=f"{expiration:%y%m%d}")
            quoted.append(
                key | {"ts": None, "symbol": contract, "underlying_price": price, "bid": 0.05}
            )
    held = quotes(*quoted).with_columns(ask="strike").with_columns(ask=pl.lit(0.1))
    return Market(option_quotes=held, underlying_bars=table("underlying_bars", *bars), **tables)


def divided(strikes: list[float], n: int) -> list[float]:
    """The strikes of successors: whole cents, half up."""
    return [math.floor(strike * 100 / n + 0.5) / 100 for strike in strikes]


def stated(day: str, numerator: int, denominator: int = 1, name: str = "ABC") -> pl.DataFrame:
    row = {"underlying": name, "ex_date": DAY(day)}
    return table("splits", row | {"numerator": numerator, "denominator": denominator})


@pytest.mark.parametrize(
    ("day", "n", "prices", "strikes", "one"),
    [
        ("2021-10-05", 3, (960.0, 320.0), [195, 200, 220, 230, 260], {200: 66.67, 230: 76.67}),
        ("2020-08-31", 4, (499.23, 129.04), [380, 390, 400, 410, 500], {400: 100}),
        ("2020-08-31", 5, (2213.40, 498.32), [1500, 1600, 2000, 2200], {1500: 300}),
        ("2022-08-25", 3, (891.29, 296.07), [870, 880, 890, 900], {890: 296.67}),
        ("2022-06-06", 20, (2447.00, 124.79), [2300, 2400, 2450, 2500], {2450: 122.5}),
        ("2024-06-10", 10, (1208.88, 121.79), [1100, 1150, 1200, 1210], {1210: 121}),
        ("2024-02-26", 3, (175.56, 59.60), [165, 170, 175, 180], {170: 56.67}),
    ],
)
def test_a_real_split_is_seen_named_and_explained(
    day: str, n: int, prices: tuple[float, float], strikes: list[float], one: dict[float, float]
) -> None:
    later = divided(strikes, n)
    assert one.items() <= dict(zip(strikes, later, strict=True)).items()
    (found,) = night(day, strikes, later, prices).suspected_splits(["ABC"]).rows()
    assert (found[1], found[-2:]) == (DAY(day), (n, 1))
    for row in (stated(day, n), stated(day, 1)):
        explained = night(day, strikes, later, prices, splits=row)
        assert explained.suspected_splits(["ABC"]).is_empty()
        assert explained.findings(["ABC"]).splits.is_empty()
        odd = explained.findings(["ABC"]).contradicted
        assert odd.height == (row["numerator"][0] != n)
    eve = DAY(day) - dt.timedelta(days=3 if day == "2020-08-31" else 1)
    while eve.weekday() > 4:
        eve -= dt.timedelta(days=1)
    early = night(day, strikes, later, prices, splits=stated(str(eve), n))
    assert early.suspected_splits(["ABC"]).height == 1


@pytest.mark.parametrize(
    ("day", "ratio", "prices"),
    [("2021-08-02", (1, 8), (12.95, 104.0)), ("2022-07-06", (1, 50), (0.15, 7.2))],
)
def test_a_reverse_split_leaves_adjusted_contracts_under_another_root(
    day: str, ratio: tuple[int, int], prices: tuple[float, float]
) -> None:
    """Strikes unchanged under GE1, which is set aside; new contracts under the old root."""
    old, new = [0.5, 1, 10, 12, 13, 14], [5, 95, 100, 104, 110]
    adjusted = night(day, old, old, prices, ("GE", "GE1"), "GE").option_quotes
    market = night(day, old, [*new], prices, ("GE", "GE"), "GE")
    assert adjusted["session"].n_unique() == 1
    (found,) = market.suspected_splits(["GE"]).rows()
    assert (found[1], found[-2:]) == (DAY(day), ratio)


def test_a_spin_off_is_explained_by_its_ratio_of_closes() -> None:
    """T and WBD: the deliverable changes, and T lists new contracts at half dollars."""
    prices, old, new = (24.14, 18.23), [22, 23, 24, 25, 26], [16.5, 17.5, 18.5, 19.5]
    assert night("2022-04-11", old, new, prices).suspected_splits(["ABC"]).height == 1
    row = stated("2022-04-11", 1324, 1000)
    market = night("2022-04-11", old, new, prices, splits=row)
    found = market.findings(["ABC"])
    assert (found.splits.height, found.contradicted.height) == (0, 0)


def test_a_rename_is_seen_where_the_new_name_was_given_to_the_past_too() -> None:
    strikes = [170.0, 180.0, 190.0, 200.0]
    prices, roots = (196.64, 184.0), ("FB", "META")
    market = night("2022-06-09", strikes, strikes, prices, roots, "META")
    assert market.suspected_splits(["META"])["session"].to_list() == [DAY("2022-06-09")]
    row = stated("2022-06-09", 1, name="META")
    market = night("2022-06-09", strikes, strikes, prices, roots, "META", splits=row)
    found = market.findings(["META"])
    assert (found.splits.height, found.contradicted.height) == (0, 0)


@pytest.mark.parametrize(("special", "events"), [(True, 0), (False, 1)])
def test_a_special_dividend_explains_new_strikes_and_an_ordinary_one_does_not(
    special: bool, events: int
) -> None:
    """COST 2023-12-27, 15 dollars a share: every strike falls by as much."""
    day, old = "2023-12-27", [600.0, 610.0, 620.0, 640.0]
    paid = table("dividends", {"underlying": "ABC", "ex_date": DAY(day), "amount": 15.0})
    paid = paid.with_columns(special=pl.lit(special))
    new = [strike - 15 for strike in old]
    market = night(day, old, new, (680.0, 664.0), dividends=paid)
    assert market.suspected_splits(["ABC"]).height == events
    assert market.findings(["ABC"]).contradicted.is_empty()


def test_a_row_anywhere_in_a_gap_explains_it() -> None:
    days: Days = [(MONDAY, 200.0, WIDE), (DAY("2023-06-20"), 100.0, [s / 2 - 0.5 for s in WIDE])]
    rows = [row for day, spot, strikes in days for row in chain(day, spot, strikes)]
    bars = table("underlying_bars", *({"session": day} for day, _, _ in days))
    for day, events in [
        ("2023-06-05", 1), ("2023-06-06", 0), ("2023-06-13", 0), ("2023-06-20", 0), ("2023-06-21", 1),
    ]:  # fmt: skip
        market = Market(
            option_quotes=quotes(*rows), underlying_bars=bars, splits=stated(day, 1, name="TSLA")
        )
        assert market.suspected_splits(["TSLA"]).height == events, day


def test_the_strikes_decide_between_ratios_that_prices_allow() -> None:
    old, prices = [95.0, 100.0, 105.0, 110.0], (100.0, 9.6)
    (found,) = night("2023-06-06", old, divided(old, 11), prices).suspected_splits(["ABC"]).rows()
    assert found[-2:] == (11, 1)
    (found,) = night("2023-06-06", old, [9, 9.5, 10.5], prices).suspected_splits(["ABC"]).rows()
    assert found[-2:] == (10, 1)


def test_events_stated_and_not_seen_are_counted_with_both_figures() -> None:
    day, strikes = "2023-06-06", [95.0, 100.0, 105.0]
    market = night(day, strikes, strikes, (100.0, 98.0), splits=stated(day, 4))
    ((name, on, new, old, amount, before, after, factor, seen),) = market.findings(
        ["ABC"]
    ).contradicted.rows()
    assert (name, on, new, old, amount, before, after) == (
        "ABC", DAY(day), 4, 1, None, 100.0, 98.0,
    )  # fmt: skip
    assert (factor, seen) == (4.0, pytest.approx(100 / 98))
    counted = market.diagnostics.filter(pl.col("reason") == "contradicted_by_prices")
    assert counted.rows() == [("splits", "ABC", "contradicted_by_prices", 1)]


def test_a_split_and_a_special_dividend_of_one_day_are_stated_together() -> None:
    day, strikes = "2023-06-06", [95.0, 100.0, 105.0]
    paid = table("dividends", {"underlying": "ABC", "amount": 10.0, "special": True})
    tables = {"splits": stated(day, 2), "dividends": paid}
    held = night(day, strikes, strikes, (100.0, 40.0), **tables)
    assert held.findings(["ABC"]).contradicted.is_empty()
    held = night(day, strikes, strikes, (100.0, 50.0), **tables)
    assert held.findings(["ABC"]).contradicted.select("amount", "stated", "seen").rows() == [
        (10.0, 2.5, 2.0)
    ]


def test_the_cheap_look_and_the_whole_one_agree(tmp_path: Path) -> None:
    old = [95.0, 100.0, 105.0, 110.0]
    market = night("2023-06-01", old, divided(old, 2), (100.0, 50.0))
    market.write(tmp_path)
    for held in (market, Market.open(tmp_path)):
        first = held.suspected_splits(["ABC"])
        assert first.height == 1
        assert held.findings(["ABC"]).splits.equals(first)
    for held in (market, Market.open(tmp_path)):
        whole = held.findings(["ABC"]).splits
        assert held.suspected_splits(["ABC"]).equals(whole)
        assert held.suspected_splits(["NONE"]).is_empty()


@pytest.mark.parametrize("first", [0, 40])
@pytest.mark.parametrize("sessions", [19, 21, 23, 28, 35, 60])
def test_every_session_of_adjusted_closes_counts(sessions: int, first: int) -> None:
    """Closes of a third of the price for some sessions, at the data's begin or within it."""
    days = pl.date_range(dt.date(2021, 1, 1), dt.date(2021, 6, 30), eager=True)
    off = [first <= i < first + sessions for i in range(len(days))]
    chain = pl.DataFrame({"underlying": "ACME", "session": days, "spot": 300.0})
    closes = chain.select(
        "underlying", "session", close=pl.Series(off).replace_strict({True: 100.0, False: 300.0})
    )
    survey: Any = SimpleNamespace(chain=chain, closes=closes)
    (found,) = adjusted_closes(survey).rows()
    expected = ("ACME", days[first], days[first + sessions - 1], sessions, pytest.approx(1 / 3))
    assert found == expected
