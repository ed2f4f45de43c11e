"""Splits and special dividends in a market and in a lake (data.md)."""

import dataclasses
import datetime as dt
import math
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.market.build import DAY, SCHEMAS, SESSION, counts, market, quotes, table
from wheelvec.lake import lake
from wheelvec.lake import splits as lake_splits
from wheelvec.lake.inspection import check
from wheelvec.market import splits as market_splits
from wheelvec.market.market import Market
from wheelvec.market.splits import known
from wheelvec.model.errors import DataError, InputError, LakeError
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import SPLITS, TABLES, check_splits, content_digest

DAYS = [DAY("2023-06-06"), DAY("2023-06-07"), DAY("2023-06-08")]
HEADER = "underlying,ex_date,numerator,denominator,new_underlying\n"


def held(name: str = "TSLA", **tables: Any) -> Market:
    """A market of three sessions of one underlying."""
    return market(
        option_quotes=quotes(*({"underlying": name, "session": day, "ts": None} for day in DAYS)),
        underlying_bars=table(
            "underlying_bars", *({"underlying": name, "session": day} for day in DAYS)
        ),
        **tables,
    )


def rows(found: pl.DataFrame | None) -> list[tuple[object, ...]]:
    assert found is not None
    return found.rows()


# ---- the table


def test_a_market_without_splits_has_none() -> None:
    assert held().splits is None


def test_splits_are_kept_by_underlying_and_day() -> None:
    stated = table("splits", {"ex_date": DAYS[2], "numerator": 1}, {"ex_date": DAYS[1]})
    assert rows(held(splits=stated).splits) == [
        ("TSLA", DAYS[1], 3, 1, None),
        ("TSLA", DAYS[2], 1, 1, None),
    ]


def test_a_spin_off_is_a_ratio_of_whole_numbers() -> None:
    stated = table("splits", {"numerator": 1324, "denominator": 1000})
    assert rows(held(splits=stated).splits) == [("TSLA", SESSION, 1324, 1000, None)]


@pytest.mark.parametrize("name", ["", "TSLA", None])
def test_a_name_that_stays_is_no_new_one(name: str | None) -> None:
    stated = table("splits", {"new_underlying": name}).drop("denominator")
    stated = stated.with_columns(denominator=pl.lit("1"))
    assert rows(held(splits=stated).splits) == [("TSLA", SESSION, 3, 1, None)]


def test_new_underlying_may_be_left_out() -> None:
    stated = table("splits", {}).drop("new_underlying").lazy()
    assert rows(held(splits=stated).splits) == [("TSLA", SESSION, 3, 1, None)]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("missing_key", {"underlying": None}),
        ("missing_key", {"underlying": ""}),
        ("missing_key", {"ex_date": None}),
        ("missing_ratio", {"numerator": None}),
        ("missing_ratio", {"denominator": None}),
        ("non_positive_ratio", {"numerator": 0}),
        ("non_positive_ratio", {"denominator": -1}),
        ("ratio_out_of_range", {"numerator": 10_001}),
        ("ratio_out_of_range", {"denominator": 30_001}),
        ("ratio_out_of_range", {"numerator": 10**9 + 1, "denominator": 10**9}),
        ("not_a_session", {"ex_date": DAY("2023-06-04")}),  # a Sunday before the data
        ("not_a_session", {"ex_date": DAY("2023-06-10")}),
        ("unknown_underlying", {"underlying": "TSLB"}),
    ],
)
def test_a_broken_row_is_set_aside_and_counted(reason: str, change: dict[str, Any]) -> None:
    good = {"ex_date": DAYS[1]}
    stated = table("splits", change, good)
    found = held(splits=stated)
    assert rows(found.splits) == [("TSLA", DAYS[1], 3, 1, None)]
    assert counts(found) == {("splits", reason): 1}
    with pytest.raises(DataError, match=f"splits {reason}: 1, such as"):
        held(splits=stated, strict=True)


def test_a_holiday_within_the_data_is_no_session() -> None:
    days = [DAY("2023-06-16"), DAY("2023-06-20")]  # the 19th, a Monday, is one
    bars = table("underlying_bars", *({"session": day} for day in days))
    stated = table("splits", {"ex_date": DAY("2023-06-19")})
    found = market(underlying_bars=bars, splits=stated)
    assert (rows(found.splits), counts(found)) == ([], {("splits", "not_a_session"): 1})


def test_of_two_rows_of_a_day_neither_is_believed_unless_they_agree() -> None:
    stated = table("splits", {}, {"numerator": 4}, {"ex_date": DAYS[1]}, {"ex_date": DAYS[1]})
    found = held(splits=stated)
    assert rows(found.splits) == [("TSLA", DAYS[1], 3, 1, None)]
    assert counts(found) == {
        ("splits", "conflicting_duplicate"): 2,
        ("splits", "equal_duplicate"): 1,
    }


def test_a_new_name_is_a_known_one() -> None:
    stated = table(
        "splits",
        {"numerator": 1, "new_underlying": "TSL"},
        {"underlying": "TSL", "ex_date": DAYS[1]},
    )
    assert rows(held(splits=stated).splits) == [
        ("TSL", DAYS[1], 3, 1, None),
        ("TSLA", SESSION, 1, 1, "TSL"),
    ]


def test_what_cannot_be_read_is_an_error() -> None:
    with pytest.raises(DataError, match="splits has no column 'ex_date'"):
        held(splits=table("splits", {}).drop("ex_date"))
    with pytest.raises(DataError, match=r"splits.numerator is Float64 and holds 1\.5"):
        held(splits=table("splits", {}).with_columns(numerator=pl.lit(1.5)))
    with pytest.raises(InputError, match=r"unknown splits 'know' \(did you mean 'known'\?\)"):
        held(splits="know")


def test_the_fingerprint_tells_splits_apart() -> None:
    stated = table("splits", {})
    assert held(splits=stated).fingerprint != held().fingerprint
    assert (
        held(splits=stated.with_columns(numerator=4)).fingerprint != held(splits=stated).fingerprint
    )
    assert held(splits=stated.clear()).fingerprint == held().fingerprint


# ---- the known ones


def test_the_known_splits_are_those_of_the_underlyings_and_days_held() -> None:
    days = [DAY("2020-08-28"), DAY("2020-08-31")]
    bars = [{"underlying": name, "session": day} for name in ("AAPL", "KO") for day in days]
    quoted = [{"underlying": "AAPL", "symbol": f"AAPL  210115P00{k}000", "ts": None,
               "session": days[0]} for k in (400, 410)]  # fmt: skip
    tables = {
        "option_quotes": quotes(*quoted),
        "underlying_bars": table("underlying_bars", *bars),
    }
    assert rows(Market(**tables, splits="known").splits) == [("AAPL", days[1], 4, 1, None)]  # type: ignore[arg-type]


def test_a_row_that_is_given_counts_for_its_day(tmp_path: Path) -> None:
    days = [DAY("2020-08-28"), DAY("2020-08-31")]
    bars = table("underlying_bars", *({"underlying": "AAPL", "session": day} for day in days))
    quoted = quotes({"underlying": "AAPL", "symbol": "AAPL  210115P00400000", "session": days[0], "ts": None})  # fmt: skip
    none = table("splits", {"underlying": "AAPL", "ex_date": days[1], "numerator": 1})
    Market(option_quotes=quoted, underlying_bars=bars, splits=none).write(tmp_path)
    assert rows(Market.open(tmp_path, splits="known").splits) == none.rows()
    other = none.with_columns(numerator=7)
    assert rows(Market.open(tmp_path, splits=other).splits) == other.rows()
    assert rows(Market.open(tmp_path).splits) == none.rows()


# ---- a lake


def test_a_round_trip(tmp_path: Path) -> None:
    stated = table("splits", {"new_underlying": "TSL"}, {"ex_date": DAYS[1], "numerator": 2})
    written = held(splits=stated).write(tmp_path)
    assert written.filter(pl.col("table") == "splits").rows() == [("splits", 2, 0, 0)]
    text = (tmp_path / "splits.csv").read_text()
    assert text == HEADER + "TSLA,2023-06-06,3,1,TSL\nTSLA,2023-06-07,2,1,\n"
    opened = Market.open(tmp_path)
    assert_frame_equal(opened.splits, stated)  # type: ignore[arg-type]
    assert opened.fingerprint == held(splits=stated).fingerprint
    again = opened.write(tmp_path)
    assert again.filter(pl.col("table") == "splits").rows() == [("splits", 0, 2, 0)]
    assert (tmp_path / "splits.csv").read_text() == text
    assert check(tmp_path).files.is_empty()


def test_a_write_without_splits_leaves_the_lakes(tmp_path: Path) -> None:
    held(splits=table("splits", {})).write(tmp_path)
    held().write(tmp_path, replace=True)
    assert rows(Market.open(tmp_path).splits) == [("TSLA", SESSION, 3, 1, None)]


def test_a_write_keeps_notes_and_replaces_rows_of_the_same_day(tmp_path: Path) -> None:
    held().write(tmp_path)
    mine = (
        "\ufeff# my own\r\nex_date , Underlying,numerator,denominator\r\n"
        '"2023-06-06",TSLA, 3 ,1\r\n\r\n# wrong?\r\n2023-06-07,TSLA,5,1\r\n2023-06-07,TSLA,6,1'
    )
    (tmp_path / "splits.csv").write_bytes(mine.encode())
    stated = table(
        "splits", {}, {"ex_date": DAYS[1]}, {"ex_date": DAYS[2], "new_underlying": "TSL"}
    )
    counted = lake_splits.merge(tmp_path, stated)
    assert tuple(counted) == (1, 2, 0)
    assert (tmp_path / "splits.csv").read_bytes().decode() == (
        "\ufeff# my own\r\nex_date , Underlying,numerator,denominator,new_underlying\r\n"
        '"2023-06-06",TSLA, 3 ,1\r\n\r\n# wrong?\r\n2023-06-07,TSLA,3,1,\r\n'
        "2023-06-08,TSLA,3,1,TSL\r\n"
    )
    assert_frame_equal(Market.open(tmp_path).splits, stated)  # type: ignore[arg-type]


def test_broken_rows_of_a_lakes_file_are_counted(tmp_path: Path) -> None:
    held().write(tmp_path)
    text = HEADER + "TSLA,2023-06-06,0,1,\nNONE,2023-06-06,2,1\nTSLA,2023-06-07,2,1\n"
    (tmp_path / "splits.csv").write_text(text)
    opened = Market.open(tmp_path)
    assert rows(opened.splits) == [("TSLA", DAYS[1], 2, 1, None)]
    assert counts(opened) == {
        ("splits", "non_positive_ratio"): 1,
        ("splits", "unknown_underlying"): 1,
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", r"splits.csv has no line that names the columns; expected underlying,ex_date,"),
        (b"a,b\n1,2\n", r"splits.csv: splits has no column 'underlying'"),
        (HEADER.encode() + b"TSLA,6/9/2023,1,1,\n", r"splits.csv: .*ex_date.* holds '6/9/2023'"),
        (HEADER.encode() + b"\nTSLA,2023-06-06,1,1,,\n", r"splits.csv, line 3, has 6 values for 5"),
        (b"\xe9\n", r"splits.csv cannot be read: it is not text in UTF-8"),
    ],
)
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, text: bytes, reason: str) -> None:
    held().write(tmp_path)
    (tmp_path / "splits.csv").write_bytes(text)
    for used in (
        lambda: Market.open(tmp_path),
        lambda: held(splits=table("splits", {})).write(tmp_path),
    ):
        with pytest.raises(LakeError, match=reason):
            used()
    assert (tmp_path / "splits.csv").read_bytes() == text
    assert check(tmp_path).refused["path"].to_list() == ["splits.csv"]


def test_a_lake_of_some_underlyings_follows_their_renames(tmp_path: Path) -> None:
    stated = table("splits", {"underlying": "FB", "numerator": 1, "new_underlying": "META"})
    meta = {"underlying": "META", "symbol": "META  230707P00205000", "ts": None}
    later = market(
        option_quotes=quotes(*(meta | {"session": day} for day in DAYS[1:])),
        underlying_bars=table("underlying_bars", {"underlying": "META", "session": DAYS[1]}),
    )
    held("FB").write(tmp_path)
    later.write(tmp_path)
    held("KO").write(tmp_path)
    lake_splits.merge(tmp_path, stated)
    opened = Market.open(tmp_path, symbols=["FB"])
    assert opened.symbols == ("FB",)
    assert opened.quotes("META", *DAYS[::2]).height == 2
    assert opened.quotes("KO", *DAYS[::2]).height == 0
    assert Market.open(tmp_path, symbols=["KO"]).quotes("META", *DAYS[::2]).height == 0
    assert Market.open(tmp_path, symbols=["KO"]).diagnostics.rows() == (
        Market.open(tmp_path, symbols=["KO"]).diagnostics.rows()
    )
    assert rows(Market.open(tmp_path, symbols=["KO"]).splits) == []


def test_names_that_go_round_end() -> None:
    stated = pl.concat([
        table("splits", {"underlying": a, "new_underlying": b}) for a, b in ("AB", "BC", "CA")
    ])  # fmt: skip
    assert lake_splits.successors(stated, ["A"]) == {"B", "C"}


# ---- files


def test_a_file_of_splits_is_csv_or_parquet(tmp_path: Path) -> None:
    stated = table("splits", {"new_underlying": "TSL"})
    stated.write_csv(tmp_path / "mine.csv")
    stated.write_parquet(tmp_path / "mine.parquet")
    for name in ("mine.csv", "mine.parquet"):
        assert_frame_equal(lake_splits.read_file(tmp_path / name), stated)
    with pytest.raises(InputError, match="gone: no such file"):
        lake_splits.read_file(tmp_path / "gone")
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"other\.parquet: splits cannot be read"):
        lake_splits.read_file(tmp_path / "other.parquet")
    table("dividends", {}).write_csv(tmp_path / "other.csv")
    with pytest.raises(DataError, match=r"other\.csv: splits has no column 'numerator'"):
        lake_splits.read_file(tmp_path / "other.csv")


# ---- special dividends


def test_a_dividend_is_special_if_it_says_so() -> None:
    stated = table("dividends", {}, {"ex_date": DAYS[1], "special": True})
    assert held(dividends=stated).dividends["special"].to_list() == [False, True]  # type: ignore[index]
    assert held(dividends=stated.drop("special")).dividends["special"].to_list() == [False] * 2  # type: ignore[index]


def test_an_equal_amount_of_either_kind_on_one_day_is_two_dividends() -> None:
    stated = table("dividends", {"special": True}, {})
    found = held(dividends=stated)
    assert found.dividends["special"].to_list() == [False, True]  # type: ignore[index]
    assert counts(found) == {}


def test_a_special_dividend_stays_so_in_a_lake(tmp_path: Path) -> None:
    stated = table("dividends", {}, {"ex_date": DAYS[1], "special": True})
    held(dividends=stated).write(tmp_path)
    opened = Market.open(tmp_path)
    assert_frame_equal(opened.dividends, stated)  # type: ignore[arg-type]
    assert opened.fingerprint == held(dividends=stated).fingerprint
    assert opened.fingerprint != held(dividends=stated.with_columns(special=False)).fingerprint


def test_a_lake_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Its files of dividends lack the column, and its fingerprint stays what it was."""
    june, july = ({"ex_date": DAY(f"2023-0{month}-06")} for month in (6, 7))
    before = held(dividends=table("dividends", june, july))
    held().write(tmp_path)
    then = {name: dtype for name, dtype in SCHEMAS["dividends"].items() if name != "special"}
    earlier = dataclasses.replace(TABLES["dividends"], schema=then, later={})
    paid = table("dividends", june, july).drop("special")
    lake.merge(tmp_path, earlier, "TSLA", paid, [pl.col("ex_date")])
    path = tmp_path / "dividends/underlying=TSLA/2023-06.parquet"
    assert "special" not in pl.read_parquet_schema(path)
    opened = Market.open(tmp_path)
    assert_frame_equal(opened.dividends, before.dividends)  # type: ignore[arg-type]
    assert opened.fingerprint == before.fingerprint
    assert check(tmp_path).files.is_empty()
    held(dividends=table("dividends", june | {"special": True})).write(tmp_path)
    assert Market.open(tmp_path).dividends["special"].to_list() == [True, False]  # type: ignore[index]


def test_the_digest_of_splits_covers_every_column() -> None:
    plain = content_digest(SPLITS, table("splits", {}))
    for change in (
        {"underlying": "TSLB"},
        {"ex_date": DAYS[1]},
        {"numerator": 4},
        {"denominator": 2},
        {"new_underlying": "T"},
    ):
        assert content_digest(SPLITS, table("splits", change)) != plain


def test_the_known_table_has_its_form() -> None:
    """In order, of sessions alone, one row a day, in lowest terms, and each a split that is valid."""
    found = known()
    assert found.height > 60
    assert found["underlying"].n_unique() > 40
    assert found["ex_date"].min() >= dt.date(2012, 1, 1)  # type: ignore[operator]
    key = ["underlying", "ex_date"]
    assert found.sort(key).equals(found)
    assert not found.select(key).is_duplicated().any()
    sessions = Sessions.known("NYSE", dt.date(2012, 1, 1), dt.date(2026, 12, 31))
    checked = check_splits(found, found["underlying"].unique(), sessions)
    assert checked.rows.equals(found)
    for name, _, new, old, later in found.iter_rows():
        spun_off = old == 1000
        assert spun_off or math.gcd(new, old) == 1, name
        assert spun_off or (old == 1) or (new == 1), name
        assert (later is not None) == ((new, old) == (1, 1)), name


@pytest.mark.parametrize(
    "row",
    [
        ("ISRG", "2021-10-05", 3, 1, None),
        ("AAPL", "2020-08-31", 4, 1, None),
        ("TSLA", "2020-08-31", 5, 1, None),
        ("TSLA", "2022-08-25", 3, 1, None),
        ("AMZN", "2022-06-06", 20, 1, None),
        ("NVDA", "2024-06-10", 10, 1, None),
        ("WMT", "2024-02-26", 3, 1, None),
        ("GE", "2021-08-02", 1, 8, None),
        ("SOS", "2022-07-06", 1, 50, None),
        ("T", "2022-04-11", 1324, 1000, None),
        ("FB", "2022-06-09", 1, 1, "META"),
    ],
)
def test_the_known_table_holds(row: tuple[object, ...]) -> None:
    assert (row[0], DAY(str(row[1])), *row[2:]) in known().rows()


def test_the_known_table_says_that_it_is_not_complete_and_ships() -> None:
    path = Path(market_splits.__file__).with_name("known_splits.csv")
    assert "NOT COMPLETE" in path.read_text()
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "market/known_splits.csv" in project["tool"]["setuptools"]["package-data"]["wheelvec"]
