"""Rows as users have them: symbols in any spelling, roots of several underlyings, impossible bars,
wrong years.
"""

import datetime as dt
import time
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wheelvec as wv
from tests.market.build import DAY, SESSION, SYMBOL, at, counts, market, quotes, symbol, table
from wheelvec.demo.synthetic import demo_tables
from wheelvec.market.market import Market
from wheelvec.model import cash_settled, osi
from wheelvec.model.errors import DataError

NEXT = DAY("2023-06-07")

# ---- symbols


def normalised(*symbols: str | None) -> list[str | None]:
    column = pl.DataFrame({"symbol": symbols}, schema={"symbol": pl.String})
    return column.select(osi.normalised(pl.col("symbol"))).to_series().to_list()


@pytest.mark.parametrize(
    "written",
    [
        "BRKB  230707P00205000", "BRKB230707P00205000", "BRKB 230707P00205000", "O:BRKB230707P00205000", "o:brkb230707p00205000",
        "  BRKB  230707P00205000  ", "BRK.B230707P00205000", "BRK.B 230707P00205000", "BRK/B230707P00205000",
        "brk-b 230707P00205000", "BRK_B_230707_P_00205000", "BRK B 230707P00205000", "BRKB-230707-P-00205000",
        "BRKB\t230707P00205000", ".BRKB230707P205", ".brkb230707p205.0", ".BRKB230707P00205000",
    ],
)  # fmt: skip
def test_a_symbol_is_read_as_people_write_it(written: str) -> None:
    assert normalised(written) == ["BRKB  230707P00205000"]


def test_a_dot_goes_before_a_strike_in_dollars() -> None:
    assert normalised(".TSLA230707P202.5", ".TSLA1230707C7", ".F240119C12.345") == [
        "TSLA  230707P00202500", "TSLA1 230707C00007000", "F     240119C00012345",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        "", "TSLA", "TSLA230732P00205000", "TSLA230707X00205000", "TSLA230707P205", "TSLA230707P205.00", "TSLA070723P00000000",
        "ABCDEFG230707P00205000", "SPY20230707P00205000", "TSLA20230707P00205000", "230707P00205000", "TSLA230707P000205000",
        "ТSLA  230707P00205000",  # a Cyrillic letter
        ".TSLA20230707P205", ".TSLA230732P205", ".TSLA230707P0", ".TSLA230707P205.0001", "..TSLA230707P205", ".ABCDEFG230707P205",
        None,
    ],
)  # fmt: skip
def test_what_cannot_be_read_stays_as_it_is(written: str | None) -> None:
    assert normalised(written) == [written]
    assert market(option_quotes=quotes({}, {"symbol": written})).option_quotes[
        "symbol"
    ].to_list() == [SYMBOL]


def test_what_cannot_be_read_names_the_form_that_is_wanted() -> None:
    with pytest.raises(
        DataError,
        match=r"bad_symbol: 1, such as .*TSLA230707P205.*; expected root, yymmdd, C or P, and the strike",
    ):
        market(option_quotes=quotes({"symbol": "TSLA230707P205"}), strict=True)


def test_a_bar_whose_symbol_cannot_be_read_counts_with_the_underlying_that_it_begins_with() -> None:
    bars = table(
        "option_bars",
        *(
            {"symbol": written}
            for written in ("TSLA230707P205", "o:tsla 230707p205", "230707P205", None)
        ),
    )
    found = market(option_bars=bars).diagnostics.filter(pl.col("table") == "option_bars")
    assert found.select("underlying", "reason", "count").rows() == [
        ("", "bad_symbol", 1), ("", "missing_key", 1), ("TSLA", "bad_symbol", 2), ("TSLA", "no_option_bars", 1),
    ]  # fmt: skip


SPELLINGS: dict[str, Any] = {
    "root": st.from_regex(r"[A-Z]{1,5}[1-9]?", fullmatch=True),
    "day": st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)),
    "kind": st.sampled_from("CP"),
    "strike": st.integers(1, 99_999_999),
    "prefix": st.sampled_from(["", "O:", "o:"]),
    "pad": st.sampled_from(["", " ", "  ", "full"]),
    "around": st.tuples(st.sampled_from(["", " "]), st.sampled_from(["", "  "])),
    "lower": st.booleans(),
}


@settings(max_examples=60, deadline=None)
@given(**SPELLINGS)
def test_any_spelling_is_one_key(
    root: str,
    day: dt.date,
    kind: str,
    strike: int,
    prefix: str,
    pad: str,
    around: tuple[str, str],
    lower: bool,
) -> None:
    rest = f"{day:%y%m%d}{kind}{strike:08d}"
    padded = root.ljust(6) if pad == "full" else root + pad
    written = around[0] + prefix + padded + rest + around[1]
    assert normalised(written.lower() if lower else written) == [root.ljust(6) + rest]


def test_two_spellings_of_one_contract_are_one() -> None:
    spellings = ["TSLA230707P00205000", SYMBOL, "o:tsla230707p00205000 "]
    rows = [
        {"symbol": spelt, "ts": at(f"2023-06-06T19:45:1{i}"), "bid": 5.0 - i / 10}
        for i, spelt in enumerate(spellings)
    ]
    bars = [{"symbol": spelt} for spelt in spellings]
    held = market(option_quotes=quotes(*rows), option_bars=table("option_bars", *bars))
    assert held.option_quotes["symbol"].to_list() == [SYMBOL] * 3
    assert held.option_quotes["bid"].to_list() == [5.0, 4.9, 4.8]
    assert held.option_bars["symbol"].to_list() == [SYMBOL]  # type: ignore[index]
    assert counts(held) == {("option_bars", "equal_duplicate"): 2}
    plain = market(
        option_quotes=quotes(*(row | {"symbol": SYMBOL} for row in rows)),
        option_bars=table("option_bars", {}),
    )
    assert held.fingerprint == plain.fingerprint


@pytest.mark.parametrize("root", ["XND", "NQX", "MNX", "CBTX", "MBTX", "RUI", "RLG", "RLV", "XAU", "SOX", "HGX", "BKX", "OSX",
                                  "UTY", "NANOS", "SPXW", "VIXW", "MRUT", "SIXM"])  # fmt: skip
def test_index_roots_are_set_aside(root: str) -> None:
    held = market(option_quotes=quotes({}, {"symbol": symbol(root=root)}))
    assert counts(held) == {("option_quotes", "cash_settled"): 1}


def test_the_table_of_index_roots() -> None:
    assert len(set(cash_settled.ROOTS)) == len(cash_settled.ROOTS)
    assert all(
        osi.is_osi(pl.lit(symbol(root=root))) is not None and len(root) <= 6
        for root in cash_settled.ROOTS
    )
    funds = {
        "SPY",
        "QQQ",
        "IWM",
        "DIA",
        "SMH",
        "XLF",
        "XLE",
        "GDX",
        "SOXX",
        "SOXL",
        "UVXY",
        "VXX",
        "GLD",
        "IBIT",
        "KBE",
        "XHB",
    }
    assert not funds & set(cash_settled.ROOTS)


# ---- roots


def test_a_root_that_changed_hands_goes_by_the_session() -> None:
    meta = {"root": "META", "expiration": "230120"}
    rows = [
        {"underlying": "METV", "session": DAY("2022-01-03"), "symbol": symbol(15, **meta)},
        {"underlying": "METV", "session": DAY("2022-01-28"), "symbol": symbol(15, **meta)},
        {"underlying": "META", "session": DAY("2022-06-09"), "symbol": symbol(180, **meta)},
    ]
    days = [
        "2021-12-01",
        "2022-01-03",
        "2022-01-10",
        "2022-04-04",
        "2022-04-05",
        "2022-06-09",
        "2022-12-01",
    ]
    bars = [
        {"session": DAY(day), "symbol": symbol(strike, **meta)}
        for day in days
        for strike in (15, 180)
    ]
    given = {"option_quotes": quotes(*rows).drop("ts"), "option_bars": table("option_bars", *bars)}
    given["underlying_bars"] = table(
        "underlying_bars", {"underlying": "META"}, {"underlying": "METV"}
    )
    for order in (1, -1):
        held = Market(**{name: frame[::order] for name, frame in given.items()})
        for underlying, mine in (("METV", days[:4]), ("META", days[4:])):
            found = held.window(underlying, DAY("2021-01-01"), DAY("2023-01-01")).bars
            assert found is not None
            assert sorted(set(map(str, found["session"]))) == mine, (
                underlying
            )  # halfway between two it is still the fund's


def test_a_root_that_changed_hands_is_placed_so_in_a_lake(tmp_path: Any) -> None:
    rows = [
        {
            "underlying": "FB",
            "session": DAY("2022-06-08"),
            "symbol": symbol(180, root="META", expiration="230120"),
        },
        {
            "underlying": "META",
            "session": DAY("2022-06-09"),
            "symbol": symbol(180, root="META", expiration="230120"),
        },
    ]
    bars = [{"session": row["session"], "symbol": row["symbol"]} for row in rows]
    held = market(option_quotes=quotes(*rows).drop("ts"), option_bars=table("option_bars", *bars))
    held.write(tmp_path)
    opened = Market.open(tmp_path)
    for row in rows:
        found = opened.window(row["underlying"], DAY("2022-01-01"), DAY("2022-12-31")).bars
        assert found is not None
        assert found["session"].to_list() == [row["session"]]
    assert opened.fingerprint == held.fingerprint


# ---- bars


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"volume": 0}, "untraded"),
        ({"volume": 0, "open": None, "high": None, "low": None, "close": None}, "untraded"),
        ({"volume": 0, "high": 999.0}, "untraded"),
        (dict.fromkeys(("open", "high", "low", "close"), 0.0), "untraded"),
        (dict.fromkeys(("open", "high", "low", "close"), 0.0) | {"volume": None}, "untraded"),
        ({"low": 0.0}, "non_positive_price"),
        ({"volume": None}, None),
        ({"high": 205.0}, None),  # a put is worth its strike at most
        ({"high": 205.01}, "price_over_worth"),
        ({"session": DAY("2023-07-07")}, None),
        ({"session": DAY("2023-07-10")}, "after_expiration"),
        (
            {"symbol": symbol(expiration="230708"), "session": DAY("2023-07-07")},
            None,
        ),  # dated Saturday
        ({"symbol": symbol(expiration="230708"), "session": DAY("2023-07-10")}, "after_expiration"),
    ],
)
def test_a_bar_in_which_nobody_traded_or_that_cannot_be(
    change: dict[str, Any], reason: str | None
) -> None:
    held = market(option_bars=table("option_bars", change))
    assert counts(held) == ({("option_bars", reason): 1} if reason else {})
    assert len(held.option_bars) == (0 if reason else 1)  # type: ignore[arg-type]


def test_a_call_costs_no_more_than_the_underlying_at_its_highest_where_that_is_known() -> None:
    call = symbol(5, "C")
    bars = [
        {"symbol": call, "session": day, "high": high}
        for day, high in ((SESSION, 224.01), (NEXT, 999.0))
    ]
    held = market(
        option_bars=table("option_bars", *bars, {"symbol": symbol(6, "C"), "high": 224.0})
    )
    assert counts(held) == {("option_bars", "price_over_worth"): 1}
    assert held.option_bars["session"].to_list() == [SESSION, NEXT]  # type: ignore[index]


def test_a_broken_bar_of_the_underlying_says_nothing_of_its_calls() -> None:
    bars = table("option_bars", {"symbol": symbol(5, "C"), "high": 300.0})
    held = market(
        option_bars=bars, underlying_bars=table("underlying_bars", {"high": 224.0, "close": 225.0})
    )
    assert counts(held) == {("underlying_bars", "outside_range"): 1}


@pytest.mark.parametrize("name", ["option_bars", "underlying_bars"])
@pytest.mark.parametrize(
    "volumes", [[10, 30, 20], [30, 10, None], [None, 30, 30], [None, None, None]]
)
def test_rows_that_differ_in_volume_alone_collapse_to_the_greatest(
    name: str, volumes: list[int | None]
) -> None:
    held = market(
        **{name: table(name, *({"volume": volume} for volume in volumes), {"session": NEXT})}
    )
    rows = getattr(held, name).sort("session")
    assert rows["session"].to_list() == [SESSION, NEXT]
    assert rows["volume"][0] == max((v for v in volumes if v is not None), default=None)
    assert counts(held) == {(name, "equal_duplicate"): 2}


def test_untraded_and_broken_rows_go_before_duplicates_are_judged() -> None:
    zero = dict.fromkeys(("open", "high", "low", "close"), 0.0)
    held = market(
        option_bars=table("option_bars", {}, {"close": 5.0, "volume": 0}, zero, {"high": 999.0})
    )
    assert held.option_bars["close"].to_list() == [5.25]  # type: ignore[index]
    assert counts(held) == {("option_bars", "untraded"): 2, ("option_bars", "price_over_worth"): 1}


CHANGES = st.sampled_from(
    [
        {}, {"volume": 11}, {"volume": None}, {"close": 5.0}, {"volume": 0}, {"low": 0.0}, {"high": 999.0}, {"session": NEXT},
        {"symbol": None}, {"symbol": "TSLA230707P00205000"}, {"symbol": "junk"}, {"symbol": symbol(210)}, {"close": None},
        {"session": DAY("2023-07-10")}, {"session": DAY("2099-07-10"), "symbol": symbol(expiration="991218")},
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGES, max_size=12), st.randoms(use_true_random=False))
def test_rows_kept_and_set_aside_are_the_rows_given_in_any_order(
    changes: list[dict[str, Any]], chance: Any
) -> None:
    rows = table("option_bars", *changes)
    held = market(option_bars=rows)
    reasons = [reason for (name, reason) in counts(held) if name == "option_bars"]
    aside = sum(
        counts(held)[("option_bars", reason)] for reason in reasons if reason != "not_a_session"
    )
    assert len(held.option_bars) + aside == len(rows)  # type: ignore[arg-type]
    mixed = list(range(len(rows)))
    chance.shuffle(mixed)
    other = market(option_bars=rows[mixed])
    assert (counts(other), other.fingerprint) == (counts(held), held.fingerprint)


# ---- years that are wrong


@pytest.fixture(scope="module")
def two_months() -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Demo tables, and what a run makes of them."""
    tables = demo_tables(symbols=["ALFA"], end="2024-02-29")
    return tables, wv.backtest(Market(**tables)).records


@pytest.mark.parametrize("year", [1970, 2099])
@pytest.mark.parametrize("name", ["underlying_bars", "option_bars", "option_quotes"])
def test_a_row_of_a_wrong_year_stretches_nothing(name: str, year: int, two_months: Any) -> None:
    tables, expected = two_months
    wrong = tables[name].head(1).with_columns(session=pl.date(year, 7, 10))
    if name != "underlying_bars" and year == 2099:
        wrong = wrong.with_columns(symbol=pl.lit("ALFA  991218P00150000"))
    if name == "option_quotes":
        terms = {column: wrong[column].dtype for column in ("expiration", "strike", "option_type")}
        wrong = wrong.with_columns(
            **{column: pl.lit(None, dtype) for column, dtype in terms.items()}
        )
    held = Market(**(tables | {name: pl.concat([tables[name], wrong])}))
    assert counts(held)[name, "stray_session"] == 1
    assert held.data_range == (DAY("2024-01-02"), DAY("2024-02-29"))
    began = time.perf_counter()
    records = wv.backtest(held).records
    assert time.perf_counter() - began < 30.0  # 0.4 s; with the row it took 73
    assert records.equals(expected)


def test_two_studies_years_apart_are_no_strays() -> None:
    days = [
        DAY(f"{year}-06-{day:02}") for year in (2008, 2020) for day in (1, 2, 3, 4, 5, 8, 9, 10)
    ]
    bars = table("underlying_bars", *({"session": day} for day in days))
    assert market(underlying_bars=bars, option_quotes=quotes()).underlying_bars[
        "session"
    ].n_unique() == len(days)
