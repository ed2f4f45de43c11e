"""Vendors' end-of-day files: every layout read back, and every bad file an error that says why."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.vendors import vendor_files
from wheelvec.vendors.files import cells, contracts, underlying
from wheelvec.vendors.files.importing import Imported
from wheelvec.vendors.files.layout import Layout, likely, ready
from wheelvec.vendors.files.parity import parity

DAY = dt.date.fromisoformat
SESSIONS = [DAY("2024-02-01"), DAY("2024-02-02"), DAY("2024-03-01")]
EXPIRATIONS = [DAY("2024-02-09"), DAY("2024-03-15")]
STRIKES = [90.0, 95.0, 97.5, 100.0, 105.0]
TERMS = ["session", "symbol", "expiration", "strike", "option_type", "bid", "ask"]
LAYOUTS = sorted(vendor_files.WRITERS)
# the layouts whose quotes come with the vendor's price of the same moment
VENDORS = ("cboe", "historicaloptiondata", "optionsdx", "orats")


def chain(price: float = 100.0, root: str = "ACME", underlying: str = "ACME") -> pl.DataFrame:
    """A chain of European options without volatility: parity holds at a rate of 0."""
    rows = [
        {
            "underlying": underlying,
            "session": session,
            "symbol": f"{root:<6}{expiration:%y%m%d}{kind}{round(strike * 1000):08d}",
            "expiration": expiration,
            "strike": strike,
            "option_type": kind,
            "bid": round(worth + 1.0, 2),
            "ask": round(worth + 1.1, 2),
            "underlying_price": price,
        }
        for session in SESSIONS
        for expiration in EXPIRATIONS
        if expiration >= session
        for kind in "CP"
        for strike in STRIKES
        for worth in [max(0.0, price - strike if kind == "C" else strike - price)]
    ]
    return pl.DataFrame(rows)


def bars() -> pl.DataFrame:
    return pl.DataFrame({"date": SESSIONS, "close": [100.5, 101.0, 99.0]})


def imported(file: Path, layout: str, lake: Path, **more: Any) -> Imported:
    given: dict[str, Any] = {}
    if layout == "yahoo":
        given["date"] = SESSIONS[0]
    return wv.import_files(file, layout=layout, lake=lake, **(given | more))


def written(folder: Path, layout: str, frame: pl.DataFrame | None = None) -> Path:
    """A file of a layout; of Yahoo's the first day alone."""
    frame = chain() if frame is None else frame
    if layout == "yahoo":
        frame = frame.filter(pl.col("session") == SESSIONS[0])
    name = "acme_eod_202402.txt" if layout == "optionsdx" else f"{layout}.csv"
    return vendor_files.write(frame, layout, folder / name)


def quotes(lake: Path) -> pl.DataFrame:
    return wv.Market.open(lake).option_quotes


# ---- every layout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_back(layout: str, tmp_path: Path) -> None:
    frame = chain()
    if layout == "yahoo":
        frame = frame.filter(pl.col("session") == SESSIONS[0])
    done = imported(written(tmp_path, layout), layout, tmp_path / "lake")
    found = quotes(tmp_path / "lake")
    assert_frame_equal(found.select(TERMS), frame.sort("session", "symbol").select(TERMS))
    assert found["underlying"].unique().to_list() == ["ACME"]
    assert done.set_aside.filter(pl.col("reason") != "untraded").is_empty()
    assert done.files.select("quotes", "first").row(0) == (len(frame), SESSIONS[0])


def test_the_layouts_are_those_that_are_documented() -> None:
    assert list(ready()) == LAYOUTS
    for name in ready():
        assert Layout.named(name).title


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_header_is_like_its_own_layout_alone(layout: str, tmp_path: Path) -> None:
    header = written(tmp_path, layout).read_text().splitlines()[0].split(",")
    assert likely(header) == [layout]


def test_the_names_of_the_interface_of_orats_are_read(tmp_path: Path) -> None:
    file = tmp_path / "orats.csv"
    vendor_files.orats_api(chain()).write_csv(file)
    imported(file, "orats", tmp_path / "lake")
    assert_frame_equal(
        quotes(tmp_path / "lake").select(TERMS), chain().sort("session", "symbol").select(TERMS)
    )


# ---- prices and closes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_price_is_the_vendors_or_that_of_parity(layout: str, tmp_path: Path) -> None:
    imported(written(tmp_path, layout), layout, tmp_path / "lake", rate=0.0)
    found = quotes(tmp_path / "lake")
    source = "vendor" if layout in VENDORS else "parity"
    assert found["underlying_source"].unique().to_list() == [source]
    # a mid is 1.05 over the worth on both sides, so that parity is exact
    assert found["underlying_price"].round(9).unique().to_list() == [100.0]


def test_parity_discounts_the_strike_of_the_nearest_expiration_of_five_days(tmp_path: Path) -> None:
    frame = chain(103.0)
    imported(written(tmp_path, "dolt", frame), "dolt", tmp_path / "lake", rate=0.05)
    found = quotes(tmp_path / "lake").select("session", "underlying_price").unique().sort("session")
    # of 2024-02-01 the 9th, 8 days away, of the 2nd the 9th, 7 days; of March 1st the 15th, 14 days.
    # The strikes nearest the money: 105, 100 and 97.5, whose median is 100's.
    expected = [100.0 * 2.718281828459045 ** (-0.05 * days / 365) + 3.0 for days in (8, 7, 14)]
    assert found["underlying_price"].to_list() == pytest.approx(expected, abs=1e-12)


def test_without_three_strikes_of_bids_on_both_sides_the_close_is_the_price(tmp_path: Path) -> None:
    frame = chain().filter(pl.col("strike") <= 95)
    bars().write_csv(tmp_path / "acme_daily.csv")
    done = imported(
        written(tmp_path, "dolt", frame),
        "dolt",
        tmp_path / "lake",
        underlying=tmp_path / "acme_daily.csv",
        symbol="ACME",
    )
    assert done.prices["underlying_source"].to_list() == ["close"] * 3
    assert done.prices["underlying_price"].to_list() == [100.5, 101.0, 99.0]
    assert quotes(tmp_path / "lake")["underlying_price"].null_count() == 0


def test_a_bid_of_0_is_a_quote_and_no_pair_of_parity_and_an_ask_of_0_is_none(
    tmp_path: Path,
) -> None:
    zero = pl.col("strike").is_in([97.5, 100.0, 105.0])
    frame = chain().with_columns(
        bid=pl.when(zero & (pl.col("option_type") == "P")).then(0.0).otherwise("bid"),
        ask=pl.when(zero & (pl.col("option_type") == "C")).then(0.0).otherwise("ask"),
    )
    done = imported(written(tmp_path, "dolt", frame), "dolt", tmp_path / "lake")
    found = quotes(tmp_path / "lake").filter(pl.col("strike") == 100.0)
    assert found.filter(option_type="P")["bid"].unique().to_list() == [0.0]
    assert found.filter(option_type="C")["ask"].unique().to_list() == [None]
    assert done.prices["underlying_source"].to_list() == [None] * 3


@pytest.mark.parametrize("source", ["vendor", "parity", "close"])
def test_one_source_of_the_price_can_be_named(source: str, tmp_path: Path) -> None:
    bars().write_csv(tmp_path / "daily.csv")
    done = imported(
        written(tmp_path, "orats", chain(102.0)),
        "orats",
        tmp_path / "lake",
        underlying=tmp_path / "daily.csv",
        symbol="ACME",
        underlying_price=source,
        rate=0.0,
    )
    expected = {"vendor": [102.0] * 3, "parity": [102.0] * 3, "close": [100.5, 101.0, 99.0]}[source]
    assert done.prices["underlying_price"].to_list() == pytest.approx(expected)
    assert done.prices["underlying_source"].to_list() == [source] * 3
    gaps = [price / close - 1 for price, close in zip(expected, [100.5, 101.0, 99.0], strict=True)]
    assert done.prices["gap"].to_list() == pytest.approx(gaps)


@pytest.mark.parametrize(
    ("layout", "closes"),
    [
        ("alphavantage", "parity"),
        ("thetadata", "parity"),
        ("optionsdx", "vendor"),
        ("ivolatility", "vendor"),
        ("dolt", None),
        ("orats", None),
        ("cboe", None),
    ],
)
def test_without_daily_bars_the_close_is_that_of_quotes_at_the_close(
    layout: str, closes: str | None, tmp_path: Path
) -> None:
    done = imported(written(tmp_path, layout), layout, tmp_path / "lake", rate=0.0)
    held = wv.Market.open(tmp_path / "lake").underlying_bars
    assert done.prices["close_source"].unique().to_list() == [closes]
    assert len(held) == (0 if closes is None else 3)
    if closes is not None:
        assert held["close_source"].unique().to_list() == [closes]
        assert held["close"].to_list() == pytest.approx([100.0] * 3)


def test_a_given_close_takes_the_place_of_one_that_was_made_and_never_the_reverse(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, "alphavantage")
    bars().write_csv(tmp_path / "daily.csv")
    for daily in (None, tmp_path / "daily.csv", None):
        imported(file, "alphavantage", tmp_path / "lake", underlying=daily, symbol="ACME")
    held = wv.Market.open(tmp_path / "lake").underlying_bars
    assert held["close"].to_list() == [100.5, 101.0, 99.0]
    assert held["close_source"].null_count() == 3


def test_check_says_that_settlement_rests_on_closes_of_quotes(tmp_path: Path) -> None:
    from wheelvec.report.inspected import inspection_text

    bars().head(1).write_csv(tmp_path / "daily.csv")
    imported(
        written(tmp_path, "alphavantage"),
        "alphavantage",
        tmp_path / "lake",
        underlying=tmp_path / "daily.csv",
        symbol="ACME",
    )
    found = wv.check(tmp_path / "lake")
    assert found.made_closes.rows() == [("ACME", "parity", 2, SESSIONS[1], SESSIONS[2])]
    assert found.gaps.select("underlying_source", "sessions").rows() == [("parity", 3)]
    text = inspection_text(found)
    assert "Closes made of option quotes, on which settlement rests\n" in text
    assert "  ACME          parity            2  2024-02-02 to 2024-03-01" in text


def test_daily_bars_and_dividends_of_alphavantage_are_read(tmp_path: Path) -> None:
    daily = pl.DataFrame(
        {
            "date": SESSIONS,
            "open": 100.0,
            "high": 103.0,
            "low": 99.0,
            "close": [100.5, 101.0, 99.0],
            "adjusted_close": 50.0,
            "volume": 1000,
            "dividend_amount": [0.0, 0.25, 0.0],
            "split_coefficient": [1.0, 1.0, 2.0],
        }
    )
    daily.write_parquet(tmp_path / "daily.parquet")
    done = imported(
        written(tmp_path, "alphavantage"),
        "alphavantage",
        tmp_path / "lake",
        underlying=tmp_path / "daily.parquet",
        symbol="acme",
    )
    market = wv.Market.open(tmp_path / "lake")
    assert market.underlying_bars["high"].to_list() == [103.0] * 3
    assert market.dividends is not None
    assert market.dividends.select("ex_date", "amount").rows() == [(SESSIONS[1], 0.25)]
    assert market.splits is not None
    assert market.splits.rows() == [("ACME", SESSIONS[2], 2, 1, None)]
    assert done.written.filter(table="splits")["added"].item() == 1
    assert done.notes == ()


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (2.0, (2, 1)), (1.5, (3, 2)), (0.125, (1, 8)), (1.3333, (4, 3)), (0.05, (1, 20)), (1.998, None),
    ],
)  # fmt: skip
def test_coefficients_of_splits_are_ratios_of_whole_shares(
    ratio: float, expected: tuple[int, int] | None
) -> None:
    """1.998, as of GOOGL in 2014, is none, and is said."""
    split = {"underlying": ["ACME"], "ex_date": [SESSIONS[0]], "ratio": [ratio]}
    none = pl.DataFrame()
    daily = underlying.Daily(none, none, none, pl.DataFrame(split))
    rows, others = underlying.splits_of(daily, ["ACME"])
    assert [row[2:4] for row in rows.rows()] == ([] if expected is None else [expected])
    assert others == ([SESSIONS[0]] if expected is None else [])
    assert underlying.splits_of(daily, ["OTHER"])[0].is_empty()


@pytest.mark.parametrize("first", ["P", "C"])
def test_puts_and_calls_of_two_files_have_the_price_of_one(first: str, tmp_path: Path) -> None:
    def half(kind: str) -> Path:
        folder = tmp_path / kind
        folder.mkdir(exist_ok=True)
        return written(folder, "alphavantage", chain().filter(pl.col("option_type") == kind))

    second = "C" if first == "P" else "P"
    imported(written(tmp_path, "alphavantage"), "alphavantage", tmp_path / "whole", rate=0.0)
    imported(half(first), "alphavantage", tmp_path / "lake", rate=0.0)
    assert quotes(tmp_path / "lake")["underlying_price"].null_count() == len(chain()) / 2
    for again in (0, 1):  # the second file, and the same once more
        done = imported(half(second), "alphavantage", tmp_path / "lake", rate=0.0)
        assert_frame_equal(quotes(tmp_path / "lake"), quotes(tmp_path / "whole"))
        assert done.prices["underlying_source"].to_list() == ["parity"] * 3
        assert done.written.row(0) == (
            ("option_quotes", 0, 25, 0) if again else ("option_quotes", 25, 25, 0)
        )
    bars_of = [wv.Market.open(tmp_path / name).underlying_bars for name in ("lake", "whole")]
    assert_frame_equal(*bars_of)


# ---- time, bars, roots


def test_quotes_of_cboe_stand_at_15_45_and_on_half_days_at_12_45(tmp_path: Path) -> None:
    half = DAY("2024-11-29")
    frame = chain().with_columns(
        session=pl.when(pl.col("session") == SESSIONS[2]).then(half).otherwise("session"),
        expiration=pl.lit(DAY("2024-12-20")),
    )
    imported(vendor_files.write(frame, "cboe", tmp_path / "f.csv"), "cboe", tmp_path / "lake")
    found = quotes(tmp_path / "lake").select("session", "ts").unique().sort("session")
    clock = found["ts"].dt.convert_time_zone("America/New_York").dt.strftime("%H:%M")
    assert clock.to_list() == ["15:45", "15:45", "12:45"]


def test_cboe_at_the_close_is_a_snapshot(tmp_path: Path) -> None:
    done = imported(written(tmp_path, "cboe"), "cboe", tmp_path / "lake", time="eod")
    assert quotes(tmp_path / "lake")["ts"].null_count() == 50
    assert done.prices["close_source"].unique().to_list() == ["vendor"]


@pytest.mark.parametrize("layout", ["cboe", "thetadata"])
def test_bars_of_traded_contracts_are_bars_and_zeros_are_none(layout: str, tmp_path: Path) -> None:
    traded = pl.col("strike") == 100.0
    prices = {"open": 1.0, "high": 1.5, "low": 0.9, "close": 1.2, "volume": 7.0}
    frame = chain().with_columns(
        pl.when(traded).then(value).otherwise(0.0).alias(f"bar_{name}")
        for name, value in prices.items()
    )
    done = imported(written(tmp_path, layout, frame), layout, tmp_path / "lake")
    held = wv.Market.open(tmp_path / "lake").option_bars
    assert held is not None
    assert len(held) == 10
    assert held.select("open", "high", "low", "close", "volume").unique().row(0) == (
        *(1.0, 1.5, 0.9, 1.2),
        7,
    )
    assert done.set_aside.select("table", "reason", "count").rows() == [
        ("option_bars", "untraded", 40)
    ]


def test_contracts_that_no_run_can_use_are_counted_by_reason(tmp_path: Path) -> None:
    parts = [
        chain(),
        chain(root="ACME1"),
        chain(root="SPXW", underlying="^SPX"),
        chain(root="OTHER", underlying="OTHER"),
    ]
    frame = vendor_files.cboe(pl.concat(parts))
    # a non-standard deliverable, and a contract that is quoted after it has expired
    frame = frame.with_columns(
        delivery_code=pl.when(underlying_symbol="OTHER", strike=90.0)
        .then(pl.lit("A"))
        .otherwise(pl.lit("")),
        quote_date=pl.when(underlying_symbol="OTHER", strike=95.0)
        .then(pl.lit("2024-04-01"))
        .otherwise("quote_date"),
    )
    frame.write_csv(tmp_path / "f.csv")
    done = imported(tmp_path / "f.csv", "cboe", tmp_path / "lake")
    found = done.set_aside.filter(table="option_quotes").select("underlying", "reason", "count")
    assert found.rows() == [
        ("ACME", "adjusted", 50),
        ("OTHER", "adjusted", 10),
        ("OTHER", "after_expiration", 10),
        ("SPX", "cash_settled", 50),
    ]
    market = wv.Market.open(tmp_path / "lake")
    assert market.symbols == ("ACME", "OTHER")
    kept = market.diagnostics.filter(pl.col("reason").is_in(["adjusted", "after_expiration"]))
    assert kept["count"].sum() == 70  # the lake keeps the counts of days of underlyings that it has


def test_a_holidays_copy_is_kept_and_counted_as_no_session(tmp_path: Path) -> None:
    holiday = chain().filter(pl.col("session") == SESSIONS[1])
    holiday = holiday.with_columns(session=pl.lit(DAY("2024-02-19")))
    holiday = holiday.filter(pl.col("expiration") > DAY("2024-02-19"))
    frame = pl.concat([chain(), holiday])
    done = imported(written(tmp_path, "dolt", frame), "dolt", tmp_path / "lake")
    found = wv.Market.open(tmp_path / "lake").diagnostics.filter(reason="not_a_session")
    assert found["count"].to_list() == [10]
    (note,) = done.notes
    assert note == (
        "10 rows are of days that are no sessions, 2024-02-19 (Mon): they are in the lake, and "
        "every run leaves them out"
    )


def test_rows_of_a_wrong_year_are_counted(tmp_path: Path) -> None:
    later = chain().filter(pl.col("session") == SESSIONS[0])
    later = later.with_columns(session=pl.lit(DAY("2033-02-01")))
    frame = pl.concat([chain(), later.with_columns(expiration=pl.lit(DAY("2033-03-18")))])
    done = imported(written(tmp_path, "dolt", frame), "dolt", tmp_path / "lake")
    assert done.set_aside.select("table", "underlying", "reason", "count").rows() == [
        ("option_quotes", "ACME", "stray_session", 20)
    ]
    assert quotes(tmp_path / "lake")["session"].max() == SESSIONS[-1]


def test_a_date_that_is_no_session_is_noted(tmp_path: Path) -> None:
    file = written(tmp_path, "yahoo")
    (note,) = imported(file, "yahoo", tmp_path / "lake", date="2024-02-03").notes
    assert "20 rows are of days that are no sessions, 2024-02-03 (Sat): " in note
    assert note.endswith("; check --date, date=")


def test_an_import_without_a_row_to_use_says_why(tmp_path: Path) -> None:
    file = written(tmp_path, "yahoo")
    message = refused(file, "yahoo", tmp_path, date="2026-01-02")
    assert "can be used: 20 after_expiration; nothing was written" in message
    message = refused(file, "yahoo", tmp_path, symbols=["SPY", "QQQ"])
    assert "can be used: the underlyings are ACME, expected one of QQQ, SPY; nothing" in message
    weekend = chain().with_columns(session=pl.lit(DAY("2024-02-03")))
    file = written(tmp_path, "cboe", weekend.unique("symbol"))
    message = refused(file, "cboe", tmp_path)
    assert "no row can be used: 20 not_a_session, on 2024-02-03 (Sat); nothing" in message
    assert not (tmp_path / "lake").exists()


def test_no_close_is_made_of_a_holidays_copy(tmp_path: Path) -> None:
    frame = chain().with_columns(
        session=pl.when(pl.col("session") == SESSIONS[2])
        .then(DAY("2024-02-19"))
        .otherwise("session")
    )
    frame = frame.filter(pl.col("expiration") > pl.col("session"))
    imported(written(tmp_path, "alphavantage", frame), "alphavantage", tmp_path / "lake")
    held = wv.Market.open(tmp_path / "lake").underlying_bars
    assert held["session"].to_list() == SESSIONS[:2]


def test_the_saturday_of_a_symbol_before_2015_stands_for_the_friday_beside_it(
    tmp_path: Path,
) -> None:
    friday, saturday = DAY("2014-02-21"), DAY("2014-02-22")
    frame = chain().filter(pl.col("expiration") == EXPIRATIONS[0])
    frame = frame.with_columns(
        session=pl.lit(DAY("2014-02-03")),
        expiration=pl.lit(friday),
        symbol=pl.col("symbol").str.replace("240209", "140222"),
    ).unique("symbol")
    done = imported(written(tmp_path, "ivolatility", frame), "ivolatility", tmp_path / "lake")
    assert done.set_aside.is_empty()
    assert quotes(tmp_path / "lake")["expiration"].unique().to_list() == [saturday]


def test_a_symbol_that_contradicts_its_columns_is_set_aside(tmp_path: Path) -> None:
    frame = vendor_files.alphavantage(chain()).with_columns(
        strike=pl.when(pl.col("strike") == 100.0).then(101.0).otherwise("strike")
    )
    frame.write_csv(tmp_path / "f.csv")
    done = imported(tmp_path / "f.csv", "alphavantage", tmp_path / "lake")
    assert done.set_aside.select("reason", "count").rows() == [("symbol_mismatch", 10)]


@pytest.mark.parametrize("root", ["QAAAX", "ACME"])
def test_old_roots_are_made_into_symbols_of_the_terms(root: str, tmp_path: Path) -> None:
    frame = vendor_files.historicaloptiondata(chain(), "OptionRoot").with_columns(
        OptionRoot=pl.lit(root)
    )
    frame.write_csv(tmp_path / "f.csv")
    imported(tmp_path / "f.csv", "historicaloptiondata", tmp_path / "lake")
    expected = chain().sort("session", "symbol").select(TERMS)
    assert_frame_equal(quotes(tmp_path / "lake").select(TERMS), expected)


def test_names_of_share_classes_are_written_with_a_dot(tmp_path: Path) -> None:
    frame = chain(root="BRKB", underlying="BRK.B")
    imported(written(tmp_path, "orats", frame), "orats", tmp_path / "lake")
    assert quotes(tmp_path / "lake")["underlying"].unique().to_list() == ["BRK.B"]
    assert quotes(tmp_path / "lake")["symbol"][0].startswith("BRKB  2402")


SYMBOLS = {
    "ACME240216C00100000": ("ACME", "2024-02-16", 100_000, False, ""),
    "ACME  240216P00097500": ("ACME", "2024-02-16", 97_500, True, ""),
    " o:acme240216c00100000 ": ("ACME", "2024-02-16", 100_000, False, ""),
    "BRK.B 240216C00100000": ("BRKB", "2024-02-16", 100_000, False, ""),
    "ACME1240216C00100000": ("ACME1", "2024-02-16", 100_000, False, "adjusted"),
    "SPXW  240216C04000000": ("SPXW", "2024-02-16", 4_000_000, False, "cash_settled"),
    "ACME240231C00100000": (None, None, None, None, "bad_symbol"),
    "ACME240216C00000000": (None, None, None, None, "bad_symbol"),
    "ACME20240216C00100000": (None, None, None, None, "bad_symbol"),
    "QAAAX": (None, None, None, None, "bad_symbol"),
    "ACME1": (None, None, None, None, "adjusted"),
    "": (None, None, None, None, "bad_symbol"),
}


@pytest.mark.parametrize("symbols", [None, ["META"]])
def test_an_underlying_is_named_as_on_the_day(symbols: list[str] | None, tmp_path: Path) -> None:
    """A file that says META throughout, of contracts of FB before 2022-06-09."""
    before, after = DAY("2022-06-08"), DAY("2022-06-09")
    days = {before: "FB", after: "META"}
    frame = pl.concat(
        chain(root=root, underlying="META")
        .filter(pl.col("session") == SESSIONS[0])
        .with_columns(
            session=pl.lit(day),
            expiration=pl.lit(DAY("2022-07-15")),
            symbol=pl.col("symbol").str.replace(r"\d{6}", "220715"),
        )
        .unique("symbol")
        for day, root in days.items()
    )
    daily = tmp_path / "meta.csv"
    pl.DataFrame({"date": list(days), "close": [99.0, 101.0]}).write_csv(daily)
    file = written(tmp_path, "alphavantage", frame)
    lake = tmp_path / "lake"
    done = imported(
        file, "alphavantage", lake, underlying=daily, symbol="META", symbols=symbols, rate=0.0
    )
    (note,) = done.notes
    assert "10 rows of META before 2022-06-09 are of contracts of FB" in note
    market = wv.Market.open(lake, splits="known")
    found = market.option_quotes.select("session", "underlying", pl.col("symbol").str.head(4))
    assert sorted(set(found.rows())) == [(before, "FB", "FB  "), (after, "META", "META")]
    assert market.underlying_bars.select("underlying", "session", "close").rows() == [
        ("FB", before, 99.0), ("META", after, 101.0),
    ]  # fmt: skip
    assert market.splits is not None
    assert market.splits.row(0) == ("FB", after, 1, 1, "META")


def test_symbols_are_parsed_once_in_any_spelling() -> None:
    numbering = contracts.Numbering()
    written = [*SYMBOLS, None]
    for symbols in (written[:3], written[::-1], [None, None], written * 2):
        terms, unread = numbering.by_symbol(pl.Series(symbols, dtype=pl.String))
        for i, symbol in enumerate(symbols):
            flaw = contracts.REASONS[terms.flaw[i]]
            if symbol is None:
                assert (flaw, bool(unread[i])) == ("missing_key", True)
                continue
            root, expiration, milli, put, reason = SYMBOLS[symbol]
            assert (flaw, bool(unread[i])) == (reason, root is None), symbol
            if root is not None and expiration is not None:
                assert numbering.roots[terms.root[i]] == root
                days = (DAY(expiration) - DAY("1970-01-01")).days
                assert (terms.expiration[i], terms.milli[i], terms.put[i]) == (days, milli, put)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["put", "call", "put"], [True, False, True]),
        (["C", "P", "P"], [False, True, True]),
        (["Call", " c "], [False, False]),
        (["P", "puts", None], [True, True, None]),
        (["C", "P", "call"], [False, True, False]),
    ],
)
def test_types_are_read_in_any_spelling(texts: list[str], expected: list[bool]) -> None:
    source = cells.Source("chain.csv", Layout.named("dolt"), ["call_put"], {"type": 0})
    rows = cells.Rows(source, pl.DataFrame({"type": texts}), 2)
    assert cells.puts(rows, "type").to_list() == expected


def test_parity_takes_the_last_quote_and_all_strikes_as_near_as_the_third() -> None:
    prices = {95.0: [(9.0, 1.0), (6.0, 1.0)], 100.0: [(3.0, 3.0)], 102.0: [(3.0, 2.0)]}
    prices |= {106.0: [(1.0, 6.0)], 120.0: [(1.0, 21.0)]}
    rows = [
        {"strike": strike, "option_type": kind, "bid": price, "ask": price}
        for strike, given in prices.items()
        for both in given
        for kind, price in zip("CP", both, strict=True)
    ]
    quotes = pl.DataFrame(rows).with_columns(session=DAY("2024-01-02"))
    quotes = quotes.with_columns(expiration=DAY("2024-01-12"))
    # 100, 101, 100 and 103: two strikes are as near as the third
    assert parity(quotes, rate=0.0).rows() == [(DAY("2024-01-02"), 100.5)]
    assert parity(quotes.filter(pl.col("strike") > 101), rate=0.0)["parity"].to_list() == [101.0]
    assert parity(quotes.filter(pl.col("strike") > 103), rate=0.0).is_empty()


def test_rows_without_a_name_are_set_aside(tmp_path: Path) -> None:
    frame = vendor_files.dolt(chain()).with_columns(
        act_symbol=pl.when(pl.col("strike") == 100.0).then(None).otherwise("act_symbol")
    )
    frame.write_csv(tmp_path / "f.csv")
    done = imported(tmp_path / "f.csv", "dolt", tmp_path / "lake")
    assert done.set_aside.select("underlying", "reason", "count").rows() == [
        ("", "missing_key", 10)
    ]
    assert wv.Market.open(tmp_path / "lake").symbols == ("ACME",)


def test_a_name_that_the_file_states_is_not_replaced(tmp_path: Path) -> None:
    frame = pl.concat([chain(), chain(root="OTHER", underlying="OTHER")])
    daily = pl.DataFrame({"ticker": ["OTHER"], "date": [SESSIONS[0]], "close": [101.0]})
    daily.write_csv(tmp_path / "daily.csv")
    done = imported(
        written(tmp_path, "dolt", frame),
        "dolt",
        tmp_path / "lake",
        symbol="ACME",
        underlying=tmp_path / "daily.csv",
    )
    market = wv.Market.open(tmp_path / "lake")
    assert market.symbols == ("ACME", "OTHER")
    assert market.underlying_bars.select("underlying", "close").rows() == [("OTHER", 101.0)]
    assert done.notes == ("the files of daily bars have none of ACME",)


def test_narrow_numbers_are_read_by_their_digits(tmp_path: Path) -> None:
    frame = vendor_files.alphavantage(chain(1234.56)).with_columns(
        pl.col("bid", "ask", "strike").cast(pl.Float32)
    )
    frame.write_parquet(tmp_path / "f.parquet")
    imported(tmp_path / "f.parquet", "alphavantage", tmp_path / "lake")
    expected = chain(1234.56).sort("session", "symbol").select(TERMS)
    assert_frame_equal(quotes(tmp_path / "lake").select(TERMS), expected, check_exact=True)


# ---- the same rows in every kind of file


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zip", "parquet", "folder"])
def test_compressed_and_columnar_files_hold_the_same(kind: str, tmp_path: Path) -> None:
    import gzip
    import zipfile

    import pyarrow

    file = written(tmp_path, "alphavantage")
    packed = tmp_path / "in" / f"f.{kind}"
    packed.parent.mkdir()
    if kind == "gzip":
        packed.write_bytes(gzip.compress(file.read_bytes()))
    elif kind == "zstd":
        with pyarrow.output_stream(str(packed), compression="zstd") as stream:
            stream.write(file.read_bytes())
    elif kind == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(file, "folder/one.csv")
            archive.writestr("readme.html", "<p>not data</p>")
    elif kind == "parquet":
        frame = vendor_files.alphavantage(chain())
        frame.with_columns(pl.col("date", "expiration").str.to_date()).write_parquet(packed)
    else:
        vendor_files.write(chain().head(20), "alphavantage", packed.with_suffix(".1.csv"))
        packed = packed.parent
        vendor_files.write(chain().tail(-20), "alphavantage", packed / "b.csv")
    imported(packed, "alphavantage", tmp_path / "lake")
    expected = chain().sort("session", "symbol").select(TERMS)
    assert_frame_equal(quotes(tmp_path / "lake").select(TERMS), expected)


@pytest.mark.parametrize(
    "mark", ["bom", "latin-1", "no end", "blank lines", "semicolons", "old ends"]
)
def test_texts_as_programs_write_them(mark: str, tmp_path: Path) -> None:
    file = written(tmp_path, "ivolatility")
    text = file.read_text()
    if mark == "bom":
        file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    elif mark == "latin-1":
        file.write_bytes(text.replace("Sons", "Söhne").encode("latin-1"))
    elif mark == "no end":
        file.write_text(text.rstrip("\n"))
    elif mark == "blank lines":
        lines = text.splitlines()
        file.write_text("\n\n" + "\n".join([*lines[:3], "", *lines[3:], "", ""]))
    elif mark == "semicolons":
        file.write_text(text.replace('"Acme ""and"" Sons, Inc."', "Acme").replace(",", ";"))
    else:
        file.write_bytes(text.replace("\n", "\r").encode())
    imported(file, "ivolatility", tmp_path / "lake")
    expected = chain().sort("session", "symbol").select(TERMS)
    assert_frame_equal(quotes(tmp_path / "lake").select(TERMS), expected)


def test_missing_values_and_thousands_are_read(tmp_path: Path) -> None:
    frame = vendor_files.dolt(chain(1500.0)).with_columns(
        strike=pl.lit('"1,500.00"'),
        bid=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("N/A")).otherwise(pl.lit(" 2.5 ")),
        ask=pl.lit("$1,502.50").map_elements(lambda text: f'"{text}"', return_dtype=pl.String),
    )
    rows = [",".join(map(str, row)) for row in frame.iter_rows()]
    (tmp_path / "f.csv").write_text("\n".join([",".join(frame.columns), *rows]) + "\n")
    imported(tmp_path / "f.csv", "dolt", tmp_path / "lake")
    found = quotes(tmp_path / "lake")
    assert found["strike"].unique().to_list() == [1500.0]
    assert found["ask"].unique().to_list() == [1502.5]
    assert set(found["bid"]) == {None, 2.5}


def test_a_header_repeated_in_the_middle_is_left_out_and_counted(tmp_path: Path) -> None:
    file = written(tmp_path, "dolt")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:20], lines[0], *lines[20:]]) + "\n")
    done = imported(file, "dolt", tmp_path / "lake")
    assert done.notes == ("1 rows were left out: repeated header",)
    assert len(quotes(tmp_path / "lake")) == 50


def test_rows_given_twice_are_one(tmp_path: Path) -> None:
    one, other = written(tmp_path, "dolt"), tmp_path / "again.csv"
    other.write_bytes(one.read_bytes())
    done = wv.import_files([one, other], layout="dolt", lake=tmp_path / "lake")
    assert len(quotes(tmp_path / "lake")) == 50
    assert done.set_aside.select("reason", "count").rows() == [("equal_duplicate", 50)]


# ---- files that are refused: nothing is written


def refused(file: Path, layout: str, folder: Path, **more: Any) -> str:
    """The message of the error, after which there is no lake."""
    with pytest.raises(wv.WheelvecError) as error:
        imported(file, layout, folder / "lake", **more)
    assert not (folder / "lake").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("layout", "other"), [(a, b) for a in LAYOUTS for b in LAYOUTS if a != b][::4]
)
def test_a_file_of_another_layout_says_which(layout: str, other: str, tmp_path: Path) -> None:
    file = written(tmp_path, other)
    message = refused(file, layout, tmp_path)
    header = [name.strip() for name in file.read_text().splitlines()[0].split(",")]
    assert f"{file} is not of the layout {layout}: it lacks the columns" in message
    assert f"it looks like the layout {other}" in message
    assert header[0] in message
    assert Layout.named(layout).needed[0] in message


def test_a_column_under_another_name_is_suggested(tmp_path: Path) -> None:
    frame = vendor_files.dolt(chain()).rename({"expiration": "expirations"})
    frame.write_csv(tmp_path / "f.csv")
    message = refused(tmp_path / "f.csv", "dolt", tmp_path)
    assert "it lacks the columns expiration; found date" in message
    assert "did you mean expirations?" in message


def broken(tmp_path: Path, layout: str, change: Any) -> str:
    file = written(tmp_path, layout)
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    return refused(file, layout, tmp_path)


def test_mixed_layouts_are_refused_with_the_line(tmp_path: Path) -> None:
    other = written(tmp_path, "orats").read_text().splitlines()
    message = broken(tmp_path, "dolt", lambda lines: [*lines, *other])
    assert "line 52 is the header of the layout orats: a file must have one layout" in message


def test_mixed_layouts_of_one_width_are_refused(tmp_path: Path) -> None:
    swapped = "date,act_symbol,expiration,strike,call_put,ask,bid,vol,delta,gamma,vega,theta,rho"
    message = broken(tmp_path, "dolt", lambda lines: [*lines[:9], swapped, *lines[9:]])
    assert "line 10 is a header of dolt with its columns in another order" in message


CELLS = [
    ("dolt", 5, "bid", "abc", "line 5: bid is 'abc': expected a number"),
    ("dolt", 5, "bid", "1.2.3", "line 5: bid is '1.2.3': expected a number"),
    ("dolt", 7, "expiration", "02/09/2024", "line 7: expiration is '02/09/2024': expected a date"),
    ("dolt", 7, "date", "2024-02-30", "line 7: date is '2024-02-30': expected a date such as 2023"),
    ("dolt", 3, "call_put", "Straddle", "line 3: call_put is 'Straddle': expected C or P, call"),
    ("orats", 4, "trade_date", "13/2/2024", "line 4: trade_date is '13/2/2024': expected a date"),
    ("dolt", 6, "bid", "1,234.50", "line 6 has 14 columns, expected the header's 13; a comma betw"),
]


@pytest.mark.parametrize(("layout", "line", "column", "value", "expected"), CELLS)
def test_a_cell_that_cannot_be_read_is_named(
    layout: str, line: int, column: str, value: str, expected: str, tmp_path: Path
) -> None:
    def change(lines: list[str]) -> list[str]:
        cells = lines[line - 1].split(",")
        cells[lines[0].split(",").index(column)] = value
        return [*lines[: line - 1], ",".join(cells), *lines[line:]]

    assert expected in broken(tmp_path, layout, change)


def test_a_line_that_is_cut_off_is_named(tmp_path: Path) -> None:
    message = broken(tmp_path, "dolt", lambda lines: [*lines[:-1], lines[-1][:25]])
    assert "line 51 has 3 columns, expected the header's 13; it may be cut off there" in message


@pytest.mark.parametrize("other", ["bid", "Bid", " [BID]"])
def test_a_column_that_is_there_twice_is_named(other: str, tmp_path: Path) -> None:
    def change(lines: list[str]) -> list[str]:
        return [f"{lines[0]},{other}", *(f"{line},9.99" for line in lines[1:])]

    message = broken(tmp_path, "dolt", change)
    assert "dolt.csv: the header has bid as columns 6 and 14: expected it once" in message


def test_a_column_that_is_not_read_may_be_there_twice(tmp_path: Path) -> None:
    file = written(tmp_path, "dolt")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([f"{lines[0]},delta", *(f"{line},9" for line in lines[1:])]))
    imported(file, "dolt", tmp_path / "lake")


def test_a_symbol_that_contradicts_the_files_name_is_noted(tmp_path: Path) -> None:
    file = written(tmp_path, "optionsdx")
    (note,) = imported(file, "optionsdx", tmp_path / "lake", symbol="QQQ").notes
    assert note.endswith("acme_eod_202402.txt: its name says ACME, it was imported as QQQ")
    assert imported(file, "optionsdx", tmp_path / "other", symbol="acme").notes == ()


@pytest.mark.parametrize("at", [2, 20, -1])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_line_that_is_cut_off_in_its_last_price_is_named(
    quoted: bool, at: int, tmp_path: Path
) -> None:
    def change(lines: list[str]) -> list[str]:
        cells = lines[at].split(",")
        ask = lines[0].split(",").index("ask")
        lines[at] = ",".join([*cells[:ask], cells[ask][:1]])
        if quoted:  # a comma that separates nothing makes up for one that lacks
            lines[1] = lines[1].replace("ACME", '"ACME,,,,,,"')
        return lines

    message = broken(tmp_path, "dolt", change)
    assert f"line {at + 1 if at > 0 else 51} has 7 columns, expected the header's 13" in message


def test_lines_that_end_with_a_separator_are_whole(tmp_path: Path) -> None:
    file = written(tmp_path, "dolt")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:-1]), lines[-1]]))
    imported(file, "dolt", tmp_path / "lake")
    assert len(quotes(tmp_path / "lake")) == len(chain())


@pytest.mark.parametrize("at", [1, 5, 9990])
@pytest.mark.parametrize(("old", "new"), [("2024", '"2024'), ("ACME", '"ACME'), ("ACME", 'ACME"')])
def test_a_stray_quote_is_named(old: str, new: str, at: int, tmp_path: Path) -> None:
    """The rest of the file would be one cell, longer than Python's reader takes."""

    def change(lines: list[str]) -> list[str]:
        rows = lines[1:] * 200
        rows[at - 1] = rows[at - 1].replace(old, new, 1)
        return [lines[0], *rows]

    message = broken(tmp_path, "dolt", change)
    assert f"dolt.csv line {at + 1} has a double quote that none closes: " in message


OWN = """
form = "long"
dates = ["%d/%m/%Y", "%m/%d/%Y"]
[columns]
session = "day"
underlying = "name"
expiration = "expiry"
strike = "strike"
type = "type"
bid = "bid"
ask = "ask"
"""


def own(frame: pl.DataFrame, form: str) -> pl.DataFrame:
    return frame.select(
        day=pl.col("session").dt.strftime(form),
        name="underlying",
        expiry=pl.col("expiration").dt.strftime("%d/%m/%Y"),
        strike="strike",
        type="option_type",
        bid="bid",
        ask="ask",
    )


def test_a_date_that_could_be_two_is_refused_and_a_later_one_decides(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    frame = chain().filter(pl.col("expiration") == EXPIRATIONS[1])
    own(frame, "%d/%m/%Y").write_csv(tmp_path / "f.csv")
    message = refused(tmp_path / "f.csv", str(tmp_path / "mine.toml"), tmp_path)
    assert "day is '01/02/2024', which could be 2024-02-01 or 2024-01-02" in message
    later = frame.filter(pl.col("session") == SESSIONS[1]).with_columns(
        session=pl.lit(DAY("2024-02-15"))
    )
    own(pl.concat([frame, later]), "%d/%m/%Y").write_csv(tmp_path / "f.csv")
    imported(tmp_path / "f.csv", str(tmp_path / "mine.toml"), tmp_path / "lake")
    assert quotes(tmp_path / "lake")["session"].unique().sort().to_list() == sorted(
        [*SESSIONS, DAY("2024-02-15")]
    )


def test_two_formats_of_dates_in_one_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    frame = own(chain().filter(pl.col("expiration") == EXPIRATIONS[1]), "%d/%m/%Y")
    days = ["13/02/2024", "02/14/2024", "01/02/2024"]
    frame = pl.concat(frame.head(4).with_columns(day=pl.lit(day)) for day in days)
    frame.write_csv(tmp_path / "f.csv")
    message = refused(tmp_path / "f.csv", str(tmp_path / "mine.toml"), tmp_path)
    assert (
        "day mixes two formats of dates: '13/02/2024' is %d/%m/%Y, and '02/14/2024' is" in message
    )


def test_another_day_than_the_file_states_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "alphavantage")
    message = refused(file, "alphavantage", tmp_path, date="2024-02-01")
    assert message.endswith(
        "alphavantage.csv states the day of its quotes, in date: expected no other (--date, date=); "
        "it was 2024-02-01"
    )


def batches_of_dates(layout: str, *batches: list[str]) -> list[list[str]]:
    """The dates of a file's column, which come in several batches."""
    own_layout = Layout.named(layout)
    source = cells.Source("f.csv", own_layout, ["day"], {"session": 0})
    frames = [pl.DataFrame({"session": texts}) for texts in batches]
    read = [cells.dates(cells.Rows(source, frame, 2), "session") for frame in frames]
    return [dates.cast(pl.String).to_list() for dates in read]


def test_a_format_that_contradicts_that_of_earlier_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    mine = str(tmp_path / "mine.toml")
    with pytest.raises(wv.DataError) as error:
        batches_of_dates(mine, ["01/02/2024", "13/02/2024"], ["02/14/2024", "02/14/2024"])
    assert str(error.value) == (
        "f.csv: day mixes two formats of dates: '13/02/2024' is %d/%m/%Y, and '02/14/2024' is "
        "%m/%d/%Y: expected one"
    )


def test_rows_that_decide_no_format_decide_none_for_later_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN)
    mine, same = str(tmp_path / "mine.toml"), ["02/02/2024"]
    with pytest.raises(wv.DataError, match="'01/02/2024', which could be"):
        batches_of_dates(mine, same, ["01/02/2024"])
    assert batches_of_dates(mine, same, ["01/15/2024"], ["01/02/2024"]) == [
        ["2024-02-02"],
        ["2024-01-15"],
        ["2024-01-02"],
    ]


def test_formats_that_read_no_text_differently_may_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        OWN.replace('"%d/%m/%Y", "%m/%d/%Y"', '"%m/%d/%Y", "%Y%m%d", "%d.%m.%Y"')
    )
    mine = str(tmp_path / "mine.toml")
    assert batches_of_dates(mine, ["01/02/2024", "20240103"], ["05.01.2024", "01/04/2024"]) == [
        ["2024-01-02", "2024-01-03"],
        ["2024-01-05", "2024-01-04"],
    ]


def test_days_and_months_exchanged_are_seen_by_days_that_are_no_sessions(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN.replace('"%d/%m/%Y", ', ""))
    days = [DAY("2024-02-05"), DAY("2024-02-06"), DAY("2024-02-07"), DAY("2024-03-04")]
    frame = chain().filter(pl.col("session") == SESSIONS[0]).drop("session")
    frame = frame.join(pl.DataFrame({"session": days}), how="cross")
    frame = own(frame, "%d/%m/%Y").with_columns(expiry=pl.lit("12/12/2024"))
    frame.write_csv(tmp_path / "f.csv")
    message = refused(tmp_path / "f.csv", str(tmp_path / "mine.toml"), tmp_path)
    assert "with day and month exchanged all of them are" in message


def test_days_and_months_of_daily_bars_exchanged_are_seen_too(tmp_path: Path) -> None:
    days = [DAY(f"2024-01-{day:02d}") for day in (2, 3, 4, 5, 8, 9, 10, 11, 12)]
    daily = pl.DataFrame({"session": days, "close": 100.0})
    file = tmp_path / "daily.csv"
    for form in ("%m/%d/%Y", "%Y-%m-%d"):
        daily.select(Date=pl.col("session").dt.strftime(form), Close="close").write_csv(file)
        assert underlying.read_daily([file], "ACME").bars["session"].to_list() == days
    daily.select(Date=pl.col("session").dt.strftime("%d/%m/%Y"), Close="close").write_csv(file)
    with pytest.raises(wv.WheelvecError, match="with day and month exchanged all of them are"):
        underlying.read_daily([file], "ACME")


def test_daily_bars_of_a_header_alone_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "daily.csv"
    file.write_text("date,close\n")
    with pytest.raises(wv.WheelvecError, match=r"daily\.csv: no daily bars: expected rows below"):
        underlying.read_daily([file], "ACME")
    none = pl.DataFrame(schema={"date": pl.Date, "close": pl.Float64})
    none.write_parquet(tmp_path / "daily.parquet")
    with pytest.raises(wv.WheelvecError, match="no daily bars: expected rows"):
        underlying.read_daily([tmp_path / "daily.parquet"], "ACME")


def cut_gzip(data: bytes) -> bytes:
    import gzip

    return gzip.compress(data)[:-20]


def cut_zip(data: bytes) -> bytes:
    import io
    import zipfile

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("f.csv", data)
    return held.getvalue()[:-40]


def altered_zip(data: bytes) -> bytes:
    import io
    import zipfile

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("f.csv", data)
    return held.getvalue().replace(b"ACME", b"ACNE", 1)


def workbook(data: bytes) -> bytes:
    """As .xlsx begins: a zip of XML."""
    import io
    import zipfile

    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in ("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"):
            archive.writestr(name, "<xml/>")
    return held.getvalue()


def cut_zstd(data: bytes) -> bytes:
    import pyarrow

    held = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(held, "zstd") as stream:
        stream.write(data)
    return held.getvalue().to_pybytes()[:-10]


def cut_parquet(data: bytes) -> bytes:
    import io

    held = io.BytesIO()
    vendor_files.alphavantage(chain()).write_parquet(held)
    return held.getvalue()[:-100]


DAMAGED = [
    (cut_gzip, "cut off or damaged"),
    (cut_zip, "cut off or damaged"),
    (altered_zip, "cut off or damaged"),
    (cut_zstd, "cut off or damaged"),
    (cut_parquet, "not readable as Parquet"),
    (lambda data: b"", "is empty: expected a header and rows"),
    (lambda data: b"\n\n", "is empty: expected a header and rows"),
    (lambda data: data.split(b"\n")[0] + b"\n", "can be used: there is none below the header"),
    (lambda data: data.decode().encode("utf-16"), "is in UTF-16"),
    (lambda data: b"%PDF-1.4 " + data, "is neither CSV nor Parquet, but a PDF"),
    (lambda data: b"a\0b" + data, "is no text"),
    (workbook, "is neither CSV nor Parquet, but an Excel workbook: save its sheet as CSV"),
]


@pytest.mark.parametrize(("harm", "expected"), DAMAGED)
def test_damaged_and_empty_files_are_refused(harm: Any, expected: str, tmp_path: Path) -> None:
    whole, file = written(tmp_path, "alphavantage"), tmp_path / "harmed"
    file.write_bytes(harm(whole.read_bytes()))
    assert expected in refused(file, "alphavantage", tmp_path)
    if "below the header" not in expected:  # a whole file before it changes nothing
        with pytest.raises(wv.WheelvecError, match=r"harmed"):
            wv.import_files([whole, file], layout="alphavantage", lake=tmp_path / "lake")
        assert not (tmp_path / "lake").exists()


def test_values_that_the_caller_must_give_are_asked_for(tmp_path: Path) -> None:
    assert "--date 2024-01-31" in refused(written(tmp_path, "yahoo"), "yahoo", tmp_path, date=None)
    file = written(tmp_path, "optionsdx").rename(tmp_path / "chain.txt")
    assert "does not state its underlying" in refused(file, "optionsdx", tmp_path)
    assert "no such file" in refused(tmp_path / "absent.csv", "dolt", tmp_path)
    assert "unknown layout 'orat' (did you mean 'orats'?)" in refused(file, "orat", tmp_path)
    assert "unknown time '1600'" in refused(file, "cboe", tmp_path, time="1600")
    assert "one time only" in refused(file, "dolt", tmp_path, time="eod")
    for name, value in (("rate", 4.0), ("underlying_price", "last"), ("date", "today")):
        assert name in refused(written(tmp_path, "dolt"), "dolt", tmp_path, **{name: value})


BAD_LAYOUTS = [
    ("bid = ", "bid = 3\nx = ", "columns.bid = 3: expected the name of a column"),
    ('form = "long"', 'form = "tall"', "form = 'tall': expected 'long'"),
    ("[columns]", 'colour = "red"\n[columns]', "unknown key 'colour'"),
    ("bid = ", "bids = ", "unknown field 'bids' (did you mean 'bid'?)"),
    ('ask = "ask"', "", "names no column for ask"),
    ('"%d/%m/%Y", ', '"%H:%M", ', "'%H:%M' is no format of a date"),
    ("[columns]", 'time = "4pm"\n[columns]', "time = '4pm': expected such as '16:15'"),
    ("[columns]", 'file_symbol = "("\n[columns]', "file_symbol: "),
    ("[columns]", "strike_unit = 0\n[columns]", "strike_unit = 0: expected a number above 0"),
]


@pytest.mark.parametrize(("old", "new", "expected"), BAD_LAYOUTS)
def test_a_layout_that_is_none_is_refused(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN.replace(old, new, 1))
    with pytest.raises(wv.ConfigError) as error:
        Layout.named(path)
    assert expected in str(error.value)


def test_prices_in_cents_and_strikes_in_thousandths_are_exact(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        OWN.replace('"%d/%m/%Y", ', "").replace(
            "[col", "price_unit = 0.01\nstrike_unit = 0.001\n[col"
        )
    )
    frame = own(chain(), "%m/%d/%Y").with_columns(
        (pl.col("bid", "ask") * 100).round().cast(pl.Int64),
        (pl.col("strike") * 1000).cast(pl.Int64),
        expiry=chain()["expiration"].dt.strftime("%m/%d/%Y"),
    )
    frame.write_csv(tmp_path / "f.csv")
    imported(tmp_path / "f.csv", str(tmp_path / "mine.toml"), tmp_path / "lake")
    expected = chain().sort("session", "symbol").select(TERMS)
    assert_frame_equal(quotes(tmp_path / "lake").select(TERMS), expected, check_exact=True)


# ---- lakes


def test_rows_are_added_contract_by_contract_and_sessions_replaced(tmp_path: Path) -> None:
    puts, calls = (chain().filter(pl.col("option_type") == kind) for kind in "PC")
    for frame in (puts, calls):
        imported(written(tmp_path, "dolt", frame), "dolt", tmp_path / "lake")
    assert len(quotes(tmp_path / "lake")) == 50
    done = imported(written(tmp_path, "dolt", puts), "dolt", tmp_path / "lake", replace=True)
    assert done.written.row(0) == ("option_quotes", 0, 25, 25)
    assert len(quotes(tmp_path / "lake")) == 25


def test_only_the_named_underlyings_are_imported(tmp_path: Path) -> None:
    frame = pl.concat([chain(), chain(root="OTHER", underlying="OTHER")])
    imported(written(tmp_path, "dolt", frame), "dolt", tmp_path / "lake", symbols=["other"])
    assert wv.Market.open(tmp_path / "lake").symbols == ("OTHER",)


def test_rows_that_do_not_fit_into_memory_make_the_same_lake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wheelvec.vendors.files import blocks, gathering, importing

    frame = pl.concat([chain(), chain(root="OTHER", underlying="OTHER")]).sample(
        fraction=1.0, shuffle=True, seed=1
    )
    file = written(tmp_path, "cboe", frame)
    imported(file, "cboe", tmp_path / "one")
    made: list[int] = []
    spilled = gathering.Gathering._spill

    def spill(self: gathering.Gathering) -> None:
        made.append(1)
        spilled(self)

    monkeypatch.setattr(gathering.Gathering, "_spill", spill)
    monkeypatch.setattr(importing, "LIMIT", 500)
    monkeypatch.setattr(blocks, "BLOCK", 700)
    imported(file, "cboe", tmp_path / "two")
    assert len(made) > 5
    one, two = (wv.Market.open(tmp_path / name) for name in ("one", "two"))
    assert_frame_equal(one.option_quotes, two.option_quotes)
    assert one.fingerprint == two.fingerprint
    assert not (tmp_path / "two" / ".staging").exists()


def test_progress_is_reported(tmp_path: Path) -> None:
    reported: list[tuple[int, int, str]] = []
    imported(
        written(tmp_path, "dolt"), "dolt", tmp_path / "lake", progress=lambda *a: reported.append(a)
    )
    assert reported[-1] == (2, 2, "months")


# ---- real chains, where they are

REAL = Path(__file__).resolve().parents[3] / "shared" / "real" / "tsla_2026"
HOLIDAYS = [DAY("2026-01-19"), DAY("2026-02-16"), DAY("2026-04-03")]


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    """TSLA of 2026 with its faults: three holidays' copies, crossed quotes, zero bids and asks."""
    if not REAL.is_dir():
        pytest.skip("the real chains are not here")
    found = pl.read_parquet(REAL / "option_quotes.parquet").sort("session", "symbol")
    return found.with_columns(ask=pl.when(pl.col("ask") > 0).then("ask"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_real_chains_are_read_back(layout: str, real: pl.DataFrame, tmp_path: Path) -> None:
    frame = real.filter(pl.col("session") == DAY("2026-03-02")) if layout == "yahoo" else real
    file = "tsla_eod_2026.txt" if layout == "optionsdx" else "f.csv"
    vendor_files.write(frame, layout, tmp_path / file)
    done = imported(
        tmp_path / file,
        layout,
        tmp_path / "lake",
        underlying=REAL / "underlying_bars.parquet",
        **({"date": "2026-03-02"} if layout == "yahoo" else {}),
    )
    if layout == "cboe":  # 15:45 of a day that has none is no time
        frame = frame.filter(~pl.col("session").is_in(HOLIDAYS))
    if layout in ("optionsdx", "orats"):
        frame = frame.filter(pl.col("bid").is_not_null() | pl.col("ask").is_not_null())
    if layout == "thetadata":  # a side that is absent is 0 there
        frame = frame.with_columns(pl.col("bid").fill_null(0.0))
    assert_frame_equal(quotes(tmp_path / "lake").select(TERMS), frame.select(TERMS))
    gaps = done.prices.filter(underlying_source="parity", close_source="file")["gap"].abs()
    if layout in ("alphavantage", "dolt", "ivolatility", "thetadata"):
        assert len(gaps) == 74
        assert gaps.median() == pytest.approx(0.00018, abs=0.00002)
        assert gaps.max() < 0.0021
