"""Suspected splits, by tables of a few contracts whose answer is known (data.md)."""

import datetime as dt
import random

import polars as pl
import pytest

from tests.market.build import DAY, SHARED, chain, quotes, symbol, table
from wheelvec.market.market import Market
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
