"""The lake: rows are read back as written, only the needed files are read, all of them verified."""

import datetime as dt
import logging
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from tests.market.build import DAY, SCHEMAS, SHARED, at, counts, market, quotes, symbol, table
from wheelvec.lake import files, lake, manifest, parquet
from wheelvec.market.market import Market
from wheelvec.model import atomic
from wheelvec.model.errors import DataError, InputError, LakeError
from wheelvec.tables import validation

DAYS = [DAY(f"2023-06-{day:02d}") for day in (1, 2, 29, 30)] + [
    DAY("2023-07-03"),
    DAY("2023-07-05"),
]


def small_market(days: list[dt.date] = DAYS, bid: float = 5.0, **more: Any) -> Market:
    """Two underlyings (BRK.B trades under BRKB) with two contracts each, some quoted twice, over
    `days`.
    """
    rows, bars, underlying = [], [], []
    for name, root in (("BRK.B", "BRKB"), ("TSLA", "TSLA")):
        for day in days:
            underlying.append({"underlying": name, "session": day})
            for strike in (200, 210):
                key = {"session": day, "symbol": symbol(strike, root=root)}
                ts = dt.datetime.combine(day, dt.time(19, 45), dt.UTC)
                rows += [key | {"underlying": name, "ts": ts, "bid": side} for side in (bid, None)]
                bars.append(key)
    tables = {
        "option_quotes": quotes(*rows),
        "option_bars": table("option_bars", *bars),
        "underlying_bars": table("underlying_bars", *underlying),
        "dividends": table("dividends", {"ex_date": days[0]}),
    }
    return Market(**(tables | more))


def assert_same(one: Market, other: Market) -> None:
    for name in SCHEMAS:
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert_frame_equal(left, right)
    assert_frame_equal(one.diagnostics, other.diagnostics)
    assert (one.symbols, one.data_range, one.fingerprint) == (
        other.symbols,
        other.data_range,
        other.fingerprint,
    )


def june(folder: Path, name: str = "option_quotes", underlying: str = "TSLA") -> Path:
    return folder / name / f"underlying={underlying}" / "2023-06.parquet"


def touch(path: Path) -> None:
    """Make a changed file look changed, as any later edit does."""
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))


# ---- round trips


def test_what_is_written_is_read_back(folder: Path) -> None:
    assert_same(Market.open(folder), small_market())
    assert_same(Market.open(str(folder)), small_market())


def test_a_lake_can_be_copied_through_a_market(folder: Path, tmp_path: Path) -> None:
    Market.open(folder).write(tmp_path / "copy")
    assert_same(Market.open(tmp_path / "copy"), small_market())


def test_rows_set_aside_stay_counted_with_the_sessions_they_belong_to(tmp_path: Path) -> None:
    broken = quotes(
        {"session": DAYS[0], "symbol": symbol(root="TSLA1"), "ts": at("2023-06-01T19:45")},
        {"session": DAYS[0], "symbol": symbol(root="TSLA1"), "ts": at("2023-06-01T19:45")},
        {"session": DAYS[4], "ts": None},
        {"session": DAYS[4], "ts": at("2023-07-03T16:45"), "bid": 7.0},
        {"session": DAY("2023-08-01"), "symbol": symbol(4300, root="SPX"), "underlying": "SPX"},
    )
    bars = table(
        "option_bars",
        {"close": None},
        {"session": DAY("2023-06-19"), "close": None},
        {"close": 5.0},
        {"close": 5.1},
    )
    held = small_market(
        option_quotes=pl.concat([small_market().option_quotes, broken]), option_bars=bars
    )
    held.write(tmp_path)
    assert counts(held) == {
        ("option_quotes", "adjusted"): 2,
        ("option_quotes", "missing_ts"): 1,
        ("option_quotes", "crossed"): 1,
        ("option_quotes", "missing_side"): 24,
        ("option_quotes", "cash_settled"): 1,
        ("option_bars", "missing_price"): 1,
        ("option_bars", "not_a_session"): 1,
        ("option_bars", "conflicting_duplicate"): 2,
    }
    assert_same(Market.open(tmp_path), held)
    july = Market.open(tmp_path, start="2023-07-01", end="2023-07-31")
    assert counts(july) == {
        ("option_quotes", "missing_ts"): 1,
        ("option_quotes", "crossed"): 1,
        ("option_quotes", "missing_side"): 8,
    }
    with pytest.raises(
        DataError,
        match=r"strict=True, .*option_quotes crossed: 1, such as \{.*\"bid\":7.0.*missing_ts: 1",
    ):
        Market.open(tmp_path, strict=True)


def test_a_market_without_option_bars_and_dividends(tmp_path: Path) -> None:
    held = small_market(option_bars=None, dividends=None)
    held.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".manifests",
        "option_quotes",
        "underlying_bars",
    ]
    opened = Market.open(tmp_path)
    assert (opened.has_option_bars, opened.dividends) == (False, None)
    assert opened.window("TSLA", DAYS[0], DAYS[-1]).bars is None
    assert_same(opened, held)


def test_an_empty_table_of_bars_is_remembered(tmp_path: Path) -> None:
    held = small_market(option_bars=table("option_bars"))
    held.write(tmp_path)
    opened = Market.open(tmp_path)
    assert opened.has_option_bars
    assert_same(opened, held)


def test_a_market_of_nothing_is_a_lake_of_nothing(tmp_path: Path) -> None:
    held = Market(option_quotes=table("option_quotes"), underlying_bars=table("underlying_bars"))
    held.write(tmp_path)
    assert_same(Market.open(tmp_path), held)


def test_a_snapshot_without_ts(tmp_path: Path) -> None:
    held = market(option_quotes=quotes({}).drop("ts"))
    held.write(tmp_path)
    assert_same(Market.open(tmp_path), held)


@pytest.mark.parametrize(
    "name", ["BF/B", "../../up", "A=B", "a b", "50%", ".HID", "Ünder", "con:1", "*?[x]"]
)
def test_any_name_of_an_underlying_is_a_folder_inside_the_lake(tmp_path: Path, name: str) -> None:
    held = market(
        option_quotes=quotes({"underlying": name}),
        underlying_bars=table("underlying_bars", {"underlying": name}),
    )
    held.write(tmp_path / "lake")
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
    assert len(list((tmp_path / "lake").glob("*/*/2023-06.parquet"))) == 2
    opened = Market.open(tmp_path / "lake")
    assert opened.symbols == (name,)
    assert_same(opened, held)


def test_a_name_too_long_for_a_folder_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    held = market(underlying_bars=table("underlying_bars", {}, {"underlying": "Z" * 300}))
    with pytest.raises(
        LakeError,
        match=r"lake cannot hold underlying 'Z{40}'\.\.\.: the name is too long for a folder",
    ):
        held.write(tmp_path / "lake")
    assert not (tmp_path / "lake").exists()
    market(underlying_bars=table("underlying_bars", {}, {"underlying": "Z" * 244})).write(
        tmp_path / "lake"
    )


@pytest.mark.parametrize("day", ["0023-06-06", "9999-12-31", "0001-01-01"])
def test_a_row_of_an_impossible_day_stays_counted(tmp_path: Path, day: str) -> None:
    held = small_market(
        option_quotes=pl.concat([small_market().option_quotes, quotes({"session": DAY(day)})])
    )
    held.write(tmp_path)
    assert_same(Market.open(tmp_path), held)
    assert held.data_range == (DAYS[0], DAYS[-1])
    assert counts(held)["option_quotes", "not_a_session"] == 1


# ---- the files


def test_the_layout_is_one_file_per_table_underlying_and_month(folder: Path) -> None:
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))
    months = ("2023-06.parquet", "2023-07.parquet")
    expected = [
        f"{name}/underlying={underlying}/{month}"
        for name in ("option_bars", "option_quotes", "underlying_bars")
        for underlying in ("BRK.B", "TSLA")
        for month in months
    ]
    assert found == sorted([*expected, "dividends/underlying=TSLA/2023-06.parquet"])


def test_files_are_plain_parquet_to_others(folder: Path) -> None:
    held = small_market()
    path = june(folder)
    mine = held.option_quotes.filter(
        (pl.col("underlying") == "TSLA") & (pl.col("session") < DAY("2023-07-01"))
    )
    assert_frame_equal(pl.read_parquet(path).cast({"underlying": pl.String}), mine)
    assert len(pl.scan_parquet(folder / "option_quotes").collect()) == len(held.option_quotes)
    whole = (
        pl.scan_parquet(folder / "option_bars", hive_partitioning=True)
        .group_by("underlying")
        .len()
        .sort("underlying")
    )
    assert whole.collect().rows() == [("BRK.B", 12), ("TSLA", 12)]
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(folder / "option_quotes")
    assert len(frame) == len(held.option_quotes)
    assert sorted(frame["underlying"].unique()) == ["BRK.B", "TSLA"]


def test_files_are_compressed_sorted_in_small_row_groups_and_have_statistics(
    tmp_path: Path,
) -> None:
    days = [DAY("2023-06-01"), DAY("2023-06-02"), DAY("2023-06-05")]
    rows = (
        quotes({})
        .drop("ts")
        .join(pl.DataFrame({"day": days}), how="cross")
        .drop("session")
        .rename({"day": "session"})
    )
    strikes = pl.DataFrame({"n": range(1, 20_001)}).select(
        symbol=pl.lit("TSLA  230707P") + (pl.col("n") * 10).cast(pl.String).str.zfill(8)
    )
    many = rows.drop("symbol", "strike", "expiration").join(strikes, how="cross")
    market(option_quotes=many).write(tmp_path)
    footer = pq.ParquetFile(june(tmp_path)).metadata
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    assert [group.num_rows for group in groups] == [32_768, 27_232]
    assert {group.column(i).compression for group in groups for i in range(10)} == {"ZSTD"}
    session = [groups[i].column(1).statistics for i in range(2)]
    assert [(s.min, s.max) for s in session] == [(days[0], days[1]), (days[1], days[2])]
    assert_frame_equal(
        Market.open(tmp_path).option_quotes, market(option_quotes=many).option_quotes
    )


# ---- reading only what is needed


def test_opening_reads_no_file(folder: Path) -> None:
    for path in folder.rglob("*.parquet"):
        path.write_bytes(b"")
    opened = Market.open(folder, symbols=["TSLA"])
    with pytest.raises(LakeError, match=r"2023-06\.parquet is truncated"):
        _ = opened.underlying_bars


def test_a_window_reads_only_the_months_it_needs(folder: Path) -> None:
    for name in ("option_quotes", "option_bars"):
        june(folder, name).write_bytes(b"")
        june(folder, name, "BRK.B").write_bytes(b"")
    opened, held = Market.open(folder), small_market()
    window, expected = (
        each.window("TSLA", DAY("2023-07-01"), DAY("2023-07-31")) for each in (opened, held)
    )
    assert len(window.quotes) == 8
    assert_frame_equal(window.quotes, expected.quotes)
    assert_frame_equal(window.bars, expected.bars)  # type: ignore[arg-type]
    with pytest.raises(LakeError, match=r"underlying=TSLA/2023-06\.parquet is truncated"):
        opened.window("TSLA", DAY("2023-06-30"), DAY("2023-07-31"))


@pytest.mark.parametrize(
    ("first", "last"),
    [("2023-06-02", "2023-06-29"), ("2023-06-30", "2023-07-03"), ("2023-07-04", "2023-07-04")],
)
def test_a_window_cuts_months(folder: Path, first: str, last: str) -> None:
    window, expected = (
        each.window("BRK.B", DAY(first), DAY(last))
        for each in (Market.open(folder), small_market())
    )
    assert_frame_equal(window.quotes, expected.quotes)
    assert_frame_equal(window.bars, expected.bars)  # type: ignore[arg-type]


def test_an_unknown_underlying_has_an_empty_window(folder: Path) -> None:
    assert len(Market.open(folder).window("MSFT", DAYS[0], DAYS[-1]).quotes) == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [("2023-06-02", "2023-07-03"), (None, DAY("2023-06-30")), (DAY("2023-07-01"), None)],
)
def test_start_and_end_limit_every_table(folder: Path, start: Any, end: Any) -> None:
    kept = [day for day in DAYS if str(start or "") <= str(day) <= str(end or "9")]
    opened = Market.open(folder, start=start, end=end)
    paid = table("dividends", {"ex_date": DAYS[0]}) if DAYS[0] in kept else table("dividends")
    assert_same(opened, small_market(kept, dividends=paid))


def test_limits_without_a_session_leave_nothing(folder: Path) -> None:
    opened = Market.open(folder, start="2023-06-03", end="2023-06-28")
    assert (opened.symbols, opened.data_range, len(opened.diagnostics)) == ((), None, 0)
    empty = {name: table(name) for name in ("option_quotes", "option_bars", "underlying_bars")}
    assert opened.fingerprint == Market(**empty).fingerprint


@pytest.mark.parametrize("symbols", [["BRK.B"], "BRK.B", ("BRK.B",)])
def test_symbols_limit_every_table(folder: Path, symbols: Any) -> None:
    opened = Market.open(folder, symbols=symbols)
    assert opened.symbols == ("BRK.B",)
    assert opened.underlying_bars["underlying"].unique().to_list() == ["BRK.B"]
    assert opened.option_bars["symbol"].str.slice(0, 4).unique().to_list() == ["BRKB"]  # type: ignore[index]
    assert opened.fingerprint != Market.open(folder).fingerprint


def test_an_unknown_symbol_is_named_with_what_the_lake_holds(folder: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"unknown symbol of the lake .* 'TSLAA' \(did you mean 'TSLA'\?\); allowed: BRK\.B, TSLA",
    ):
        Market.open(folder, symbols=["TSLA", "TSLAA"])


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"start": "yesterday"},
            "start is 'yesterday'; expected a date or text such as '2023-06-06'",
        ),
        ({"end": 20230606}, "end is 20230606; expected a date"),
        ({"start": dt.datetime(2023, 6, 6)}, r"start is datetime\.datetime"),
        (
            {"start": "2023-07-01", "end": "2023-06-01"},
            "start 2023-07-01 is after end 2023-06-01",
        ),
    ],
)
def test_limits_that_are_no_dates_are_refused(
    folder: Path, limits: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Market.open(folder, **limits)


def test_a_lake_says_what_it_holds_without_reading_it_all(folder: Path) -> None:
    opened = Market.open(folder)
    assert repr(opened) == (
        "Market(BRK.B, TSLA; 2023-06-01 to 2023-07-05; option_quotes 4 files, option_bars 4 files, underlying_bars 4 files, "
        "dividends 1 files)"
    )
    assert "missing_side" not in opened._repr_html_()
    _ = opened.diagnostics
    assert "missing_side" in opened._repr_html_()


def test_an_opened_lake_survives_pickling(folder: Path) -> None:
    assert_same(
        pickle.loads(pickle.dumps(Market.open(folder, symbols=["TSLA"]))),
        Market.open(folder, symbols=["TSLA"]),
    )


def test_the_fingerprint_comes_from_the_footers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "read", lambda *_: pytest.fail("rows were read"))
    assert Market.open(folder).fingerprint == small_market().fingerprint
    assert Market.open(folder).data_range == (DAYS[0], DAYS[-1])


# ---- merging


def test_new_sessions_replace_theirs_and_leave_the_others(folder: Path) -> None:
    small_market([DAYS[1], DAYS[3], DAY("2023-06-05")], bid=4.0).write(folder)
    opened = Market.open(folder).option_quotes.filter(pl.col("bid").is_not_null())
    first = opened.group_by("session").agg(pl.col("bid").unique()).sort("session")
    by_day = {str(day)[5:]: bids for day, bids in first.iter_rows()}
    assert by_day == {
        "06-01": [5.0], "06-02": [4.0], "06-05": [4.0], "06-29": [5.0], "06-30": [4.0], "07-03": [5.0], "07-05": [5.0]
    }  # fmt: skip
    assert len(opened) == 2 * 2 * 7
    keys = opened.select("underlying", "session", "symbol").rows()
    assert keys == sorted(keys)


def test_a_session_is_replaced_whole_where_that_is_asked_for(folder: Path) -> None:
    one = quotes(
        {"session": DAYS[0], "symbol": symbol(200), "ts": at("2023-06-01T19:45"), "bid": 1.0}
    )
    counted = market(option_quotes=one, underlying_bars=table("underlying_bars")).write(
        folder, replace=True
    )
    held = Market.open(folder).window("TSLA", DAYS[0], DAYS[0]).quotes
    assert held.select("symbol", "bid").rows() == [(symbol(200), 1.0)]
    assert len(Market.open(folder).window("TSLA", DAYS[1], DAYS[1]).quotes) == 4
    assert counted.rows() == [("option_quotes", 0, 1, 2), ("underlying_bars", 0, 0, 0)]


def puts_and_calls() -> tuple[Market, Market]:
    """A vendor's file of puts, and then its file of calls, of the same sessions, each with rows
    that cannot be used.
    """

    def of(kind: str, broken: int) -> Market:
        rows = [
            {"session": day, "symbol": symbol(strike, kind), "ts": None}
            for day in DAYS[:2]
            for strike in (200, 210)
        ]
        rows += [
            {"session": DAYS[0], "symbol": symbol(root="TSLA1", kind=kind), "ts": None}
        ] * broken
        bars = table(
            "option_bars",
            *({"session": row["session"], "symbol": row["symbol"]} for row in rows[:4]),
        )
        return market(option_quotes=quotes(*rows), option_bars=bars)

    return of("P", 2), of("C", 3)


def test_calls_are_added_to_the_puts_of_their_sessions(tmp_path: Path) -> None:
    puts, calls = puts_and_calls()
    assert puts.write(tmp_path).rows() == [
        ("option_quotes", 4, 0, 0),
        ("option_bars", 4, 0, 0),
        ("underlying_bars", 1, 0, 0),
    ]
    assert calls.write(tmp_path).rows() == [
        ("option_quotes", 4, 0, 0),
        ("option_bars", 4, 0, 0),
        ("underlying_bars", 0, 1, 0),
    ]
    both = market(
        option_quotes=pl.concat([puts.option_quotes, calls.option_quotes]),
        option_bars=pl.concat([puts.option_bars, calls.option_bars]),  # type: ignore[list-item]
    )
    assert Market.open(tmp_path).fingerprint == both.fingerprint
    assert counts(Market.open(tmp_path))["option_quotes", "adjusted"] == 5


def test_an_import_that_is_repeated_changes_nothing_and_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    for each in (*puts_and_calls(), *puts_and_calls(), *reversed(puts_and_calls())):
        counted = each.write(tmp_path)
    assert counted.rows() == [
        ("option_quotes", 0, 4, 0),
        ("option_bars", 0, 4, 0),
        ("underlying_bars", 0, 1, 0),
    ]
    assert counts(Market.open(tmp_path))["option_quotes", "adjusted"] == 5
    assert len(Market.open(tmp_path).option_quotes) == 8


def test_a_row_of_the_same_key_is_replaced_and_one_of_another_time_is_not(tmp_path: Path) -> None:
    def at_time(clock: str | None, bid: float) -> Market:
        return market(
            option_quotes=quotes({"ts": at(f"2023-06-06T{clock}") if clock else None, "bid": bid})
        )

    def held() -> list[float]:
        return Market.open(tmp_path).option_quotes["bid"].to_list()

    for clock, bid, expected in (
        ("19:45:10", 5.0, [5.0]), ("19:45:10", 4.0, [4.0]), ("19:45:30", 3.0, [4.0, 3.0]),
        (None, 2.0, [2.0]),  # a snapshot has no time: it stands for the contract's whole session
        ("19:45:10", 1.0, [1.0]),
    ):  # fmt: skip
        at_time(clock, bid).write(tmp_path)
        assert held() == expected


def test_what_is_broken_on_a_session_that_is_there_is_counted_and_replaces_nothing(
    folder: Path,
) -> None:
    before = Market.open(folder).option_quotes
    broken = quotes(
        {"session": DAYS[0], "symbol": "?"}, {"session": DAY("2023-06-05"), "symbol": "?"}
    )
    for _ in range(2):
        market(option_quotes=broken, underlying_bars=table("underlying_bars")).write(folder)
        opened = Market.open(folder)
        assert_frame_equal(opened.option_quotes, before)
        assert counts(opened)["option_quotes", "bad_symbol"] == 2


def test_what_was_set_aside_goes_with_a_session_that_is_replaced(tmp_path: Path) -> None:
    def written(day: dt.date, broken: int, whole: int = 1) -> None:
        rows = [{"session": day, "ts": None, "symbol": symbol(200 + i)} for i in range(whole)]
        rows += [{"session": day, "ts": None, "symbol": symbol(root="TSLA1")}] * broken
        held = market(
            option_quotes=quotes(*rows).drop("ts"), underlying_bars=table("underlying_bars")
        )
        held.write(tmp_path, replace=True)

    adjusted = ("option_quotes", "adjusted")
    written(DAYS[0], 2)
    written(DAYS[1], 3)
    assert counts(Market.open(tmp_path)) == {adjusted: 5}
    written(DAYS[0], 1)  # replaces the session, and what was left out of it
    assert counts(Market.open(tmp_path)) == {adjusted: 4}
    written(DAYS[2], 7, whole=0)  # another session, of which nothing was usable
    assert counts(Market.open(tmp_path)) == {adjusted: 11}
    assert counts(Market.open(tmp_path, start=DAYS[1], end=DAYS[1])) == {adjusted: 3}
    assert Market.open(tmp_path).data_range == (DAYS[0], DAYS[1])


def test_writing_the_same_again_touches_no_file(folder: Path) -> None:
    def times() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for path in folder.rglob("*.*")
            if path.suffix in (".parquet", ".json")
        }

    before = times()
    small_market([DAYS[0], DAYS[1]]).write(folder)
    Market.open(folder).write(folder)
    assert times() == before


def test_a_lake_without_bars_keeps_its_bars_when_quotes_are_added(folder: Path) -> None:
    small_market([DAY("2023-06-05")], option_bars=None, dividends=None).write(folder)
    opened = Market.open(folder)
    assert len(opened.option_quotes) == 2 * 4 * 7
    assert_frame_equal(opened.option_bars, small_market().option_bars)  # type: ignore[arg-type]


def test_a_damaged_file_is_not_merged_with(folder: Path) -> None:
    june(folder).write_bytes(b"PAR1")
    with pytest.raises(LakeError, match=r"TSLA/2023-06\.parquet is truncated"):
        small_market().write(folder)
    assert june(folder).read_bytes() == b"PAR1"


# ---- whole or not at all


@pytest.mark.parametrize("step", ["_write_parquet", "read", "sync_file", "sync_folder"])
def test_a_failure_while_writing_leaves_the_old_file(
    folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, home = june(folder).read_bytes(), atomic if step.startswith("sync") else parquet
    working = getattr(home, step)
    where = r"underlying=[^/]+" if step == "sync_folder" else r"2023-06\.parquet"

    def fail(*arguments: Any) -> Any:
        if step == "read" and not arguments[1][0].path.name.endswith(".tmp"):
            return working(*arguments)
        if step == "_write_parquet":
            working(*arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home, step, fail)
    with pytest.raises(LakeError, match=rf"{where}: cannot be written: No space left on device"):
        small_market(bid=4.0).write(folder)
    monkeypatch.undo()
    assert not list(folder.rglob("*.tmp"))
    if step != "sync_folder":  # by then the new file is in its place, and whole
        assert june(folder).read_bytes() == before
        assert_same(Market.open(folder), small_market())


def test_what_is_read_back_must_be_what_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = june(folder).read_bytes()
    working = parquet._write_parquet
    monkeypatch.setattr(
        parquet,
        "_write_parquet",
        lambda path, file, rows, stated: working(path, file, rows.reverse(), stated),
    )
    with pytest.raises(
        LakeError, match="cannot be written: what was read back differs from what was written"
    ):
        small_market(bid=4.0).write(folder)
    assert june(folder).read_bytes() == before


def test_what_a_crash_leaves_behind_is_not_read(folder: Path) -> None:
    shutil.copy(june(folder), june(folder).with_name(".2023-08.123.abcd.tmp"))
    june(folder).with_name("notes.txt").write_text("ours")
    (folder / "README").write_text("ours")
    assert_same(Market.open(folder), small_market())


def test_a_reader_sees_the_new_file_once_it_is_there(folder: Path) -> None:
    opened = Market.open(folder)
    assert opened.window("TSLA", DAYS[0], DAYS[0]).quotes["bid"].to_list() == [5.0, None] * 2
    small_market(bid=4.0).write(folder)
    assert opened.window("TSLA", DAYS[0], DAYS[0]).quotes["bid"].to_list() == [4.0, None] * 2


def _write_days(root: str, days: list[dt.date], barrier: Any) -> None:
    held = [small_market([day]) for day in days]
    barrier.wait()
    for each in held:
        each.write(root)


def test_two_writers_of_one_month_keep_each_others_sessions(tmp_path: Path) -> None:
    days = [DAY(f"2023-06-{day:02d}") for day in (1, 2, 5, 6, 7, 8, 9, 12)]
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    writers = [
        context.Process(target=_write_days, args=(str(tmp_path), days[i::2], barrier))
        for i in range(2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    opened = Market.open(tmp_path)
    for name in ("option_quotes", "option_bars", "underlying_bars"):
        assert_frame_equal(getattr(opened, name), getattr(small_market(days), name))


def test_a_writer_holds_the_underlyings_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working, seen = parquet.write, []

    def watched(file: Any, *more: Any) -> None:
        with (
            pytest.raises(LakeError),
            files.locked(manifest.path_of(folder, file.underlying).parent, wait=False),
        ):
            pass
        seen.append(file.underlying)
        working(file, *more)

    monkeypatch.setattr(parquet, "write", watched)
    small_market([DAYS[0]], bid=4.0, option_bars=None, dividends=None).write(folder)
    assert seen == ["BRK.B", "TSLA"]


# ---- rows that replace no more than their own


def at_minute(clock: str, **changes: Any) -> pl.DataFrame:
    return validation.check_quotes(quotes({"ts": at(f"2023-06-06T{clock}")} | changes)).rows


UNIT = [pl.col("session"), pl.col("symbol"), pl.col("ts").dt.truncate("1m")]


def test_rows_of_another_unit_stay_and_those_of_the_same_are_replaced(tmp_path: Path) -> None:
    held = lake.TABLES["option_quotes"]
    for rows in (
        at_minute("19:45:10"),
        at_minute("15:30:00", bid=1.0),
        at_minute("19:45:50", bid=4.0),
        at_minute("15:30:00", bid=2.0),
    ):
        lake.merge(tmp_path, held, "TSLA", rows, UNIT)
    found = lake.stored(tmp_path, held, "TSLA", ("ts", "bid"))
    assert found.select(pl.col("ts").dt.strftime("%H:%M:%S"), "bid").rows() == [
        ("15:30:00", 2.0),
        ("19:45:50", 4.0),
    ]
    assert lake.stored(tmp_path, held, "NONE").is_empty()
    assert lake.stored(
        tmp_path, held, "TSLA", ("bid",), (DAY("2023-06-07"), DAY("2023-06-30"))
    ).schema == {"bid": pl.Float64}
    assert len(Market.open(tmp_path).option_quotes) == 2


def test_counts_of_another_unit_are_added_and_those_of_the_same_answer_once_more_are_not(
    tmp_path: Path,
) -> None:
    held, day = lake.TABLES["option_quotes"], DAY("2023-06-06")
    aside = pl.DataFrame(
        [("option_quotes", "TSLA", day, "adjusted", 3, None)],
        schema=validation.SET_ASIDE,
        orient="row",
    )
    for rows, expected in (
        (at_minute("19:45:10"), 3),
        (at_minute("19:45:10"), 3),
        (at_minute("15:30:00"), 6),
        (at_minute("15:30:00"), 6),
    ):
        lake.merge(tmp_path, held, "TSLA", rows, UNIT, aside)
        assert counts(Market.open(tmp_path)) == {("option_quotes", "adjusted"): expected}


# ---- files that are not what they should be


def cut(share: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return change


def flip(place: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    return change


def by_pyarrow(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Rewritten with its metadata kept, as a careful tool would."""

    def rewrite(path: Path) -> None:
        held = pq.ParquetFile(path)
        kept = {
            key: value
            for key, value in held.metadata.metadata.items()
            if key.startswith(b"wheelvec")
        }
        changed = change(held.read())
        pq.write_table(
            changed.replace_schema_metadata({**(changed.schema.metadata or {}), **kept}),
            path,
            compression="zstd",
        )

    return rewrite


def edit_stated(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b'"rows": 16') == 1
    path.write_bytes(data.replace(b'"rows": 16', b'"rows": 15'))


def other_format(path: Path) -> None:
    data = path.read_bytes()
    key = data.index(b"wheelvec.format")
    value = data.index(b"3", key + len(b"wheelvec.format"))
    path.write_bytes(data[:value] + b"9" + data[value + 1 :])


def in_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def long_footer(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (cut(0), "is truncated: its footer is missing"),
    "cut after the magic": (cut(0.001), "is not a Parquet file|is truncated"),
    "cut in the middle": (cut(0.5), "is truncated: its footer is missing"),
    "cut by one byte": (lambda p: p.write_bytes(p.read_bytes()[:-1]) and None, "is truncated: its footer is missing"),
    "garbage": (lambda p: p.write_bytes(b"not a table at all\n" * 50) and None, "is not a Parquet file"),
    "a bit of the data": (flip(100), "was altered since it was written"),
    "a bit of the footer": (flip(-40), "was altered since it was written"),
    "a footer longer than the file": (long_footer, "is damaged: its footer is longer than the file"),
    "what it states": (edit_stated, "was altered since it was written"),
    "another format": (other_format, "has format '9', expected '3': another version of wheelvec wrote it"),
    "edited with Polars": (
        lambda p: pl.read_parquet(p).with_columns(bid=pl.lit(9.0)).write_parquet(p), "was not written by wheelvec, or another"
    ),
    "a row less, by pyarrow": (by_pyarrow(lambda t: t.slice(1)), "was altered since it was written"),
    "a column less, by pyarrow": (by_pyarrow(lambda t: t.drop_columns(["ask"])), "was altered since it was written"),
    "gone": (lambda p: p.unlink(), "is missing: it was in this lake, and is gone; import its rows or fetch them again; or, if"),
    "a folder": (in_a_folder, "cannot be read: Is a directory"),
}  # fmt: skip


def test_files_of_the_version_before_are_read_verified_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(parquet, "_VERSION", "2")  # whose digest is BLAKE2b
        small_market().write(tmp_path)
    path = june(tmp_path)
    assert b"wheelvec.format\x18\x012" in path.read_bytes()
    assert Market.open(tmp_path).option_quotes.equals(small_market().option_quotes)
    flip(100)(path)
    with pytest.raises(LakeError, match="was altered since it was written"):
        _ = Market.open(tmp_path).option_quotes
    path.unlink()
    small_market().write(tmp_path)
    assert b"wheelvec.format\x18\x013" in path.read_bytes()
    assert Market.open(tmp_path).option_quotes.equals(small_market().option_quotes)


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_reported_by_path_and_reason(folder: Path, case: str) -> None:
    change, reason = DAMAGE[case]
    opened = Market.open(folder)
    opened.window(
        "TSLA", DAYS[0], DAYS[0]
    )  # whole once: what was checked then does not count for what comes after
    change(june(folder))
    if june(folder).is_file():
        touch(june(folder))
    for attempt in (
        lambda: opened.window("TSLA", DAYS[1], DAYS[1]),
        lambda: opened.window("TSLA", DAYS[0], DAYS[-1]),
        lambda: opened.option_quotes,
        lambda: opened.fingerprint,
        lambda: opened.diagnostics,
    ):
        with pytest.raises(
            LakeError, match=rf"option_quotes/underlying=TSLA/2023-06\.parquet ({reason})"
        ):
            attempt()
    assert len(opened.window("TSLA", DAYS[4], DAYS[4]).quotes) == 4


def test_every_byte_of_a_footer_is_held_by_the_digest(folder: Path) -> None:
    """Statistics decide which row groups a scan of some sessions reads: one flipped bit there once
    gave less data.
    """
    whole = june(folder).read_bytes()
    length = int.from_bytes(whole[-8:-4], "little") + 8
    opened = Market.open(folder)
    for place in range(-length, 0, 7):
        flip(place)(june(folder))
        touch(june(folder))
        with pytest.raises(
            LakeError, match=r"was altered|was not written by|has format|is damaged|is truncated"
        ):
            opened.window("TSLA", DAYS[1], DAYS[1])
        june(folder).write_bytes(whole)


MOVES = {
    "another underlying": (
        "option_quotes",
        "underlying=BRK.B/2023-06.parquet",
        "holds underlying TSLA, expected BRK.B",
    ),
    "another month": (
        "option_quotes",
        "underlying=TSLA/2023-08.parquet",
        "holds month 2023-06, expected 2023-08",
    ),
    "another table": (
        "option_bars",
        "underlying=TSLA/2023-06.parquet",
        "holds table option_quotes, expected option_bars",
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_a_file_in_the_place_of_another_is_reported(folder: Path, case: str) -> None:
    name, place, reason = MOVES[case]
    shutil.copy(june(folder), folder / name / place)
    with pytest.raises(LakeError, match=rf"{place} {reason}: it was moved or renamed"):
        _ = getattr(Market.open(folder), name)


def test_columns_and_types_must_be_those_of_the_table(folder: Path) -> None:
    """A file of ours with other columns: only another version of the library would write it."""
    file = parquet.MonthFile(
        lake.TABLES["option_bars"], "TSLA", DAY("2023-06-01"), june(folder, "option_bars")
    )
    stated = {"table": "option_bars", "underlying": "TSLA", "month": "2023-06"}
    parquet._check_place(file, stated, dict(file.schema))
    with pytest.raises(LakeError, match="has column 'low' as nothing, expected Float64"):
        parquet._check_place(file, stated, {k: v for k, v in file.schema.items() if k != "low"})
    with pytest.raises(LakeError, match="has column 'volume' as Float64, expected Int64"):
        parquet._check_place(file, stated, {**file.schema, "volume": pl.Float64()})


WITHOUT_A_DAY = (
    '{"table": "option_bars", "underlying": "TSLA", "month": "2023-06", "rows": 1, "first": null, "last": "x", '
    '"content_digest": "", "set_aside": {}}'
)


@pytest.mark.parametrize(
    "stated",
    ["", "[]", "7", "{", "{}", '{"table": 1}', "[" * 100_000, WITHOUT_A_DAY],
    ids=lambda text: text[:16],
)
def test_a_footer_that_is_malformed_is_refused_though_its_digest_is_right(
    folder: Path, stated: str
) -> None:
    file = parquet.MonthFile(
        lake.TABLES["option_bars"], "TSLA", DAY("2023-06-01"), june(folder, "option_bars")
    )
    rows = parquet.read(file.table, [file], dt.date.min, dt.date.max)
    file.path.unlink()
    parquet._write_parquet(file.path, file, rows, stated)
    with pytest.raises(
        LakeError, match=r"2023-06\.parquet is malformed: its footer does not say what it holds"
    ):
        _ = Market.open(folder).option_bars


def test_a_reader_reads_again_what_is_replaced_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, scan, seen = Market.open(folder), pl.scan_parquet, []

    def scanned(*arguments: Any, **named: Any) -> Any:
        if not seen:
            seen.append(1)
            more = small_market(
                [DAYS[0], DAY("2023-06-05")], bid=4.0, option_bars=None, dividends=None
            )
            monkeypatch.setattr(pl, "scan_parquet", scan)
            more.write(folder)
        return scan(*arguments, **named)

    monkeypatch.setattr(pl, "scan_parquet", scanned)
    assert len(opened.window("TSLA", DAYS[0], DAYS[3]).quotes) == 20
    assert seen


def test_fewer_rows_than_stated_are_never_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = parquet._verified
    stated = lambda file, state: replace(working(file, state), rows=17)  # noqa: E731
    monkeypatch.setattr(parquet, "_verified", stated)
    with pytest.raises(LakeError, match=r"2023-06\.parquet holds \d+ rows, expected 17"):
        Market.open(folder).window("TSLA", DAYS[0], DAYS[3])


@pytest.mark.parametrize(
    "name",
    ["2023-6.parquet", "2023-13.parquet", "2023-06 (copy).parquet", "2023-06.PARQUET.parquet"],
)
def test_a_parquet_file_of_another_name_is_not_passed_over(folder: Path, name: str) -> None:
    shutil.copy(june(folder), june(folder).with_name(name))
    with pytest.raises(
        LakeError,
        match=r"TSLA/2023-.*parquet is out of place; expected a name such as 2023-06\.parquet",
    ):
        Market.open(folder)


def test_a_parquet_file_beside_the_underlyings_is_not_passed_over(folder: Path) -> None:
    shutil.copy(june(folder), folder / "option_quotes" / "more.parquet")
    with pytest.raises(
        LakeError, match=r"option_quotes/more\.parquet is out of place; expected underlying=<name>/"
    ):
        Market.open(folder)


def test_a_folder_that_is_no_lake(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="nowhere cannot be read: No such file or directory"):
        Market.open(tmp_path / "nowhere")
    with pytest.raises(
        LakeError,
        match=r"is no lake: it is empty; expected folders such as option_quotes/underlying=TSLA",
    ):
        Market.open(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(LakeError, match="is no lake: it holds photos; expected"):
        Market.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="file cannot be read: Not a directory"):
        Market.open(tmp_path / "file")
    with pytest.raises(LakeError, match="file is no folder: a lake is one; choose another"):
        small_market().write(tmp_path / "file")


def refuse(
    monkeypatch: pytest.MonkeyPatch, target: Any, name: str, refused: Callable[[str], bool]
) -> None:
    """Deny what root would be allowed."""
    working = getattr(target, name)

    def denied(path: Any, *arguments: Any, **named: Any) -> Any:
        if refused(str(path)):
            raise PermissionError(13, "Permission denied", str(path))
        return working(path, *arguments, **named)

    monkeypatch.setattr(target, name, denied)


def test_what_may_not_be_read_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, Path, "open", lambda path: path.endswith("2023-06.parquet"))
    parquet._verified.cache_clear()
    opened = Market.open(folder)
    with pytest.raises(LakeError, match=r"2023-06\.parquet cannot be read: Permission denied"):
        opened.window("TSLA", DAYS[0], DAYS[-1])
    refuse(monkeypatch, os, "scandir", lambda path: path.endswith("underlying=TSLA"))
    with pytest.raises(LakeError, match="underlying=TSLA cannot be read: Permission denied"):
        Market.open(folder)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="root may read and write everything"
)
def test_permissions_of_the_file_system_are_reported(folder: Path) -> None:
    opened = Market.open(folder)
    june(folder).chmod(0)
    with pytest.raises(LakeError, match=r"2023-06\.parquet cannot be read: Permission denied"):
        opened.window("TSLA", DAYS[0], DAYS[-1])
    june(folder).parent.chmod(0o500)
    with pytest.raises(
        LakeError, match=r"2023-06\.parquet cannot be (read|written): Permission denied"
    ):
        small_market().write(folder)
    june(folder).parent.chmod(0o700)


def test_writing_is_logged_and_not_printed(tmp_path: Path, caplog: Any, capsys: Any) -> None:
    with caplog.at_level(logging.DEBUG, logger="wheelvec.lake.lake"):
        market().write(tmp_path)
    assert [record.args[1] for record in caplog.records] == [1, 1]
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(
    not (SHARED / "real" / "tsla_2026").is_dir(), reason="the real tables are not here"
)
def test_a_real_quarter_passes_through_a_lake(tmp_path: Path) -> None:
    folder = SHARED / "real" / "tsla_2026"
    held = Market(
        **{
            name: pl.scan_parquet(folder / f"{name}.parquet")
            for name in ("option_quotes", "underlying_bars")
        }
    )
    held.write(tmp_path)
    assert_same(Market.open(tmp_path), held)
