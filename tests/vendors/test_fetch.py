"""`fetch`: priced before it is paid for, nothing paid for twice, a lake always whole."""

import contextlib
import datetime as dt
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.vendors.feeds import (
    CONFIG,
    DAYS,
    END,
    REACHED,
    START,
    contracts,
    entry_of,
    get,
    small_feed,
)
from tests.vendors.standin import KEY, MINUTE, SECOND, Bar, Feed, Standin, day_of, feed_of, nanos
from wheelvec.demo.synthetic import demo_tables
from wheelvec.lake import files, lake
from wheelvec.lake.answers import AGES, ANSWERS, MINUTES
from wheelvec.market.market import Market
from wheelvec.model.config import CallRules, PutRules
from wheelvec.model.errors import FetchError, InputError, LakeError
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import TABLES
from wheelvec.vendors.databento import fetch as fetching
from wheelvec.vendors.databento import incoming
from wheelvec.vendors.databento.fetch import Fetched
from wheelvec.vendors.databento.plan import Wanted, reach

pytestmark = pytest.mark.usefixtures("quick")
LACKING = {"option_quotes": 4, "underlying_minutes": 4, "option_bars": 4}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small market's lake, not to be changed."""
    with pytest.MonkeyPatch.context() as patch, Standin(small_feed()) as server:
        patch.setenv("DATABENTO_API_KEY", KEY)
        patch.setenv("NO_PROXY", "127.0.0.1")
        path = tmp_path_factory.mktemp("fetched") / "lake"
        get(path, server.url)
    return path


@pytest.fixture
def whole(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(fetched, tmp_path_factory.mktemp("whole") / "lake")


@pytest.fixture
def server() -> Any:
    with Standin(small_feed()) as server:
        yield server


def sums(fetched: Fetched, *columns: str) -> dict[str, Any]:
    """table -> the sum of columns over underlyings and sources."""
    rows = fetched.plan.group_by("table").agg(pl.col(columns).sum())
    return {
        name: values[0] if len(values) == 1 else tuple(values) for name, *values in rows.iter_rows()
    }


def content(root: Path) -> dict[str, pl.DataFrame]:
    """All rows of all tables in a lake, by table and underlying."""
    tables = [*TABLES.values(), ANSWERS, MINUTES, AGES]
    found = {}
    for table in tables:
        for folder in sorted((root / table.name).glob("underlying=*")):
            name = folder.name.partition("=")[2]
            found[f"{table.name} {name}"] = lake.stored(root, table, name)
    return found


def assert_same(one: Path, other: Path) -> None:
    left, right = content(one), content(other)
    assert left.keys() == right.keys()
    for name in left:
        assert_frame_equal(left[name], right[name])


# ---- what is fetched


def test_what_a_lake_lacks_is_priced_fetched_and_never_again(
    server: Standin, tmp_path: Path
) -> None:
    plan = get(tmp_path, server.url, dry_run=True)
    assert server.asked() == []
    assert sums(plan, "lacking") == LACKING
    assert sums(plan, "requests") == {"option_quotes": 4, "underlying_minutes": 4, "option_bars": 1}
    done = get(tmp_path, server.url)
    assert len(server.asked()) == 9
    assert (
        done.cost
        == pytest.approx(plan.cost)
        == pytest.approx(done.paid)
        == pytest.approx(server.spent)
    )
    before = len(server.log)
    again = get(tmp_path, server.url)
    assert (again.cost, again.paid, sums(again, "held", "lacking")) == (
        0,
        0,
        {name: (n, 0) for name, n in LACKING.items()},
    )
    assert [method for method, _ in server.log[before:]] == ["metadata.get_dataset_range"] * 4
    assert not list((tmp_path / ".incoming").rglob("*.zst"))


def test_the_rows_are_those_of_the_entry_minute_and_of_whole_sessions(
    server: Standin, tmp_path: Path
) -> None:
    get(tmp_path, server.url, symbols=["TSLA", "brk.b"])
    market = Market.open(tmp_path)
    assert market.symbols == ("BRK.B", "TSLA")
    quotes = market.option_quotes.filter(pl.col("underlying") == "TSLA")
    assert quotes["session"].unique().sort().to_list() == REACHED
    half_day = quotes.filter(pl.col("session") == DAYS[0])
    assert half_day["symbol"].to_list() == sorted(contracts("TSLA", 270.0))
    assert half_day["underlying_price"].unique().to_list() == [271.0]
    assert half_day["bid"].to_list() == [3.1, 5.1, 4.1, 6.1]
    assert set(half_day["ts"].to_physical()) == {
        entry_of(DAYS[0]) + 50 * SECOND + i for i in range(4)
    }
    bars = market.underlying_bars.filter(pl.col("underlying") == "TSLA")
    assert bars.select("session", "open", "high", "low", "close").rows() == [
        (day, 270.0, 279.0, 261.0, 270.0 + i) for i, day in enumerate(REACHED)
    ]
    option = market.option_bars.filter(pl.col("symbol") == contracts("TSLA", 270.0)[0])
    assert option.row(0) == (contracts("TSLA", 270.0)[0], DAYS[0], 3.0, 4.0, 2.0, 3.25, 10)
    assert market.diagnostics.is_empty()


def test_a_dotted_stock_is_asked_for_by_its_root_without_the_dot_and_as_itself(
    server: Standin, tmp_path: Path
) -> None:
    get(tmp_path, server.url, symbols="BRK.B")
    assert {(dataset, names) for dataset, _, names, _ in server.asked()} == {
        ("OPRA.PILLAR", "BRKB.OPT"),
        ("EQUS.MINI", "BRK.B"),
    }
    assert Market.open(tmp_path).option_bars["symbol"].str.slice(0, 4).unique().to_list() == [
        "BRKB"
    ]


def with_adjusted_roots(feed: Feed) -> Feed:
    feed.listed = lambda dataset, names, parents: Feed.listed(  # type: ignore[method-assign]
        feed, dataset, [*names, "TSLA1.OPT"] if parents else names, parents
    )
    return feed


def test_adjusted_roots_are_set_aside_and_counted(tmp_path: Path) -> None:
    feed = small_feed()
    feed.option_bars += [
        Bar("TSLA1 230714C00270000", nanos(day), 20, 3, 4, 2, 3, 9) for day in DAYS
    ]
    with_adjusted_roots(feed)
    with Standin(feed) as server:
        get(tmp_path, server.url)
    found = Market.open(tmp_path).diagnostics.select("table", "reason", "count").rows()
    assert found == [("option_bars", "adjusted", 4)]


def test_the_source_of_every_session_is_recorded(server: Standin, tmp_path: Path) -> None:
    get(tmp_path, server.url)
    said = pl.read_parquet(tmp_path / "answers" / "**" / "*.parquet")
    sources = (
        said.group_by("table")
        .agg(pl.struct("dataset", "schema").unique(), pl.len())
        .sort("table")
        .rows()
    )
    mini = {"dataset": "EQUS.MINI", "schema": "ohlcv-1m"}
    assert sources == [
        ("option_bars", [{"dataset": "OPRA.PILLAR", "schema": "ohlcv-1d"}], 4),
        ("option_quotes", [{"dataset": "OPRA.PILLAR", "schema": "cmbp-1"}], 4),
        ("underlying_bars", [mini], 4),
        ("underlying_minutes", [mini], 4),
    ]


def test_the_daily_bar_is_the_official_one_where_that_exists_and_minutes_only_price_the_quotes(
    tmp_path: Path,
) -> None:
    days = [dt.date(2024, 7, day) for day in (8, 9, 10, 11)]
    feed = small_feed(days, expiration="240719")
    feed.summary = [Bar("TSLA", nanos(day), 90, 260.0, 280.0, 250.0, 271.5, 9000) for day in days]
    with Standin(feed) as server:
        done = get(tmp_path, server.url, start=days[0], end=days[1])
    assert sums(done, "lacking") == LACKING | {"underlying_bars": 4}
    market = Market.open(tmp_path)
    assert market.underlying_bars["close"].to_list() == [271.5] * 4
    assert market.option_quotes["underlying_price"].unique().to_list() == [271.0]
    said = lake.stored(tmp_path, ANSWERS, "TSLA").filter(pl.col("table") == "underlying_bars")
    assert said["dataset"].unique().to_list() == ["EQUS.SUMMARY"]


def test_before_cmbp_begins_the_quotes_are_cbbo_with_its_own_stamps(tmp_path: Path) -> None:
    days = [dt.date(2023, 3, day) for day in (27, 28, 29, 30)]
    feed = small_feed(days, begins={("XNAS.ITCH", "ohlcv-1m"): "2018-05-01"})
    with Standin(feed) as server:
        done = get(tmp_path, server.url, start=days[0], end=days[1])
        asked = sorted(
            (schema, start[11:16])
            for dataset, schema, _, start in server.asked()
            if schema.startswith("c")
        )
        stocks = {
            (dataset, start[:10])
            for dataset, schema, _, start in server.asked()
            if schema == "ohlcv-1m"
        }
    assert asked == [("cbbo-1m", "19:46")] + [("cmbp-1", "19:45")] * 3
    assert ("XNAS.ITCH", "2023-03-27") in stocks
    assert ("EQUS.MINI", "2023-03-28") in stocks
    assert "1 sessions are before cmbp-1 begins: cbbo-1m is taken for them" in done.notes
    quotes = Market.open(tmp_path).option_quotes
    old = quotes.filter(pl.col("session") == days[0])
    assert set(old["ts"].to_physical() % MINUTE) == {MINUTE - 1}
    assert len(old) == 4
    assert old["underlying_price"].to_list() == [271.0] * 4


def test_both_schemas_say_the_same_of_a_minute(server: Standin, tmp_path: Path) -> None:
    for schema in ("cmbp-1", "cbbo-1m"):
        get(tmp_path / schema, server.url, schema=schema)
    one, other = (
        Market.open(tmp_path / schema).option_quotes.drop("ts") for schema in ("cmbp-1", "cbbo-1m")
    )
    assert_frame_equal(one, other)


def test_several_entry_times_live_in_one_lake(server: Standin, tmp_path: Path) -> None:
    get(tmp_path, server.url)
    before = lake.stored(tmp_path, TABLES["option_quotes"], "TSLA")
    done = get(tmp_path, server.url, entry_time="close-16min")
    assert sums(done, "lacking") == LACKING | {"underlying_minutes": 0, "option_bars": 0}
    both = lake.stored(tmp_path, TABLES["option_quotes"], "TSLA")
    assert len(both) == 2 * len(before)
    assert_frame_equal(
        both.join(before.select("symbol", "ts"), on=["symbol", "ts"], maintain_order="left"), before
    )
    assert get(tmp_path, server.url, entry_time="close-15min").cost == 0


def test_a_clock_time_after_an_early_close_means_as_long_before_that_close(
    server: Standin, tmp_path: Path
) -> None:
    done = get(tmp_path, server.url, entry_time="15:45")
    assert sums(done, "closed", "lacking")["option_quotes"] == (0, 4)
    half_day = Market.open(tmp_path).option_quotes.filter(pl.col("session") == dt.date(2023, 7, 3))
    assert half_day["ts"].dt.convert_time_zone("America/New_York").dt.strftime(
        "%H:%M"
    ).unique().to_list() == ["12:45"]
    assert get(tmp_path, server.url, entry_time="15:45").cost == 0


def test_a_quote_that_stands_is_taken_only_with_a_look_back_and_its_age_is_recorded(
    tmp_path: Path,
) -> None:
    feed, (quiet, *_) = small_feed(), contracts("TSLA", 270.0)
    feed.quotes = [
        quote
        for quote in feed.quotes
        if quote.symbol != quiet or quote.ts == entry_of(day_of(quote.ts)) - MINUTE
    ]
    with Standin(feed) as server:
        get(tmp_path, server.url)
        assert quiet not in set(Market.open(tmp_path).option_quotes["symbol"])
        wider = get(tmp_path, server.url, look_back=5)
        assert sums(wider, "lacking")["option_quotes"] == 4
        assert get(tmp_path, server.url, look_back=3).cost == 0
        assert get(tmp_path, server.url).cost == 0
    rows = Market.open(tmp_path).option_quotes.filter(pl.col("symbol") == quiet)
    assert rows.select("session", pl.col("ts").to_physical()).rows() == [
        (day, entry_of(day)) for day in REACHED
    ]
    ages = lake.stored(tmp_path, AGES, "TSLA")
    assert ages.select("session", "symbol", "age_seconds").rows() == [
        (day, quiet, 60.0) for day in REACHED
    ]


def test_empty_answers_are_remembered(tmp_path: Path) -> None:
    feed = small_feed()
    silent = nanos(DAYS[1]), nanos(DAYS[2])
    for name in ("quotes", "option_bars", "minutes"):
        setattr(
            feed, name, [row for row in getattr(feed, name) if not silent[0] <= row.ts < silent[1]]
        )
    with Standin(feed) as server:
        get(tmp_path, server.url)
        before = len(server.log)
        again = get(tmp_path, server.url)
        assert len(server.log) == before + 4
    assert sums(again, "held", "empty", "lacking") == {
        "option_quotes": (3, 1, 0), "underlying_minutes": (3, 1, 0), "option_bars": (3, 1, 0)
    }  # fmt: skip
    assert DAYS[1] not in set(Market.open(tmp_path).underlying_bars["session"])


def test_days_before_a_symbol_was_listed_are_remembered_as_empty(tmp_path: Path) -> None:
    with Standin(small_feed(unlisted={"TSLA": {DAYS[0], DAYS[1]}})) as server:
        get(tmp_path, server.url)
        again = get(tmp_path, server.url)
        assert again.cost == 0
    assert sums(again, "held", "empty") == {
        "option_quotes": (2, 2),
        "underlying_minutes": (2, 2),
        "option_bars": (2, 2),
    }


def without(feed: Feed, table: str, days: list[dt.date]) -> Feed:
    setattr(feed, table, [row for row in getattr(feed, table) if day_of(row.ts) not in days])
    return feed


NOBODY = [dt.date(2023, 7, 5)]
EMPTIED = {
    "quotes": ("option_quotes", "quotes"), "option_bars": ("option_bars", "bars"), "minutes": ("underlying_minutes", "minutes")
}  # fmt: skip


@pytest.mark.parametrize("kind", EMPTIED)
def test_an_empty_answer_that_other_tables_belie_is_said_and_asked_for_again(
    tmp_path: Path, kind: str
) -> None:
    table, _ = EMPTIED[kind]
    with Standin(without(small_feed(), kind, NOBODY)) as server:
        done = get(tmp_path, server.url)
        note = f"TSLA: Databento gave no {table} of 1 session of which the lake has other rows (2023-07-05); the next fetch asks"
        assert [text for text in done.notes if note in text]
        assert sums(done, "lacking", "again") == dict.fromkeys(LACKING, (4, 0))
        plan = get(tmp_path, server.url, dry_run=True)
        assert sums(plan, "again")[table] == 1
        assert sums(plan, "lacking") == dict.fromkeys(LACKING, 0)
        assert [text for text in plan.notes if note in text]
        before = len(server.asked())
        again = get(tmp_path, server.url)
        assert len(server.asked()) == before + 1
        assert [text for text in again.notes if note in text]
    with Standin(small_feed()) as server:  # the vendor has mended it
        mended = get(tmp_path, server.url)
        assert (mended.notes, len(server.asked())) == ((), 1)
        assert get(tmp_path, server.url).cost == 0
        get(tmp_path / "whole", server.url)
    found, expected = content(tmp_path), content(tmp_path / "whole")
    if kind == "minutes":  # the quotes had no price when they came, and are not asked for again
        assert found["option_quotes TSLA"]["underlying_price"].null_count() == 4
        found.pop("option_quotes TSLA")
    assert all(rows.equals(expected[name]) for name, rows in found.items())


def test_an_answer_whose_rows_were_all_set_aside_is_final(tmp_path: Path) -> None:
    feed = with_adjusted_roots(small_feed())
    feed.option_bars = [
        bar._replace(symbol=bar.symbol.replace("TSLA ", "TSLA1"))
        if day_of(bar.ts) in NOBODY
        else bar
        for bar in feed.option_bars
    ]
    with Standin(feed) as server:
        assert get(tmp_path, server.url).notes == ()
        again = get(tmp_path, server.url)
        assert (again.cost, again.notes, sums(again, "empty")["option_bars"]) == (0, (), 1)


def test_what_was_emptied_in_another_schema_or_minute_is_still_asked_for(tmp_path: Path) -> None:
    feed = without(small_feed(), "option_bars", DAYS)
    feed.quotes, feed.minutes = [], []
    with Standin(feed) as server:
        feed.quotes = [quote for quote in small_feed().quotes if quote.ts < nanos(DAYS[0])]
        feed.option_bars = [Bar(contracts("TSLA", 270.0)[0], nanos(DAYS[-1]), 20, 1, 1, 1, 1, 1)]
        feed.minutes = [Bar("TSLA", nanos(DAYS[-1]), 20, 1, 1, 1, 1, 1)]
        get(tmp_path, server.url)
        assert sums(get(tmp_path, server.url, dry_run=True), "empty")["option_quotes"] == 4
        assert (
            sums(get(tmp_path, server.url, dry_run=True, schema="cbbo-1m"), "lacking")[
                "option_quotes"
            ]
            == 4
        )
        assert (
            sums(get(tmp_path, server.url, dry_run=True, entry_time="close-16min"), "lacking")[
                "option_quotes"
            ]
            == 4
        )


# ---- sessions that the lake has, asked for again


def changed(by: float) -> Feed:
    """The small market, all prices moved."""
    feed = small_feed()
    feed.quotes = [quote._replace(bid=quote.bid + by, ask=quote.ask + by) for quote in feed.quotes]
    for name in ("option_bars", "minutes"):
        bars = getattr(feed, name)
        setattr(
            feed,
            name,
            [
                bar._replace(**{p: getattr(bar, p) + by for p in ("open", "high", "low", "close")})
                for bar in bars
            ],
        )
    return feed


def test_sessions_that_the_lake_has_are_priced_and_replaced_when_they_are_asked_for_again(
    whole: Path, tmp_path: Path
) -> None:
    asked = ("2023-07-05", "2023-07-06")
    before = content(whole)
    feed = changed(1.0)
    gone = contracts("TSLA", 270.0)[0]
    feed.quotes = [quote for quote in feed.quotes if quote.symbol != gone]
    feed.option_bars = [bar for bar in feed.option_bars if bar.symbol != gone]
    with Standin(feed) as server:
        plan = get(whole, server.url, refetch=asked, dry_run=True)
        assert sums(plan, "held", "again", "lacking") == dict.fromkeys(LACKING, (2, 2, 0))
        assert plan.cost > 0
        assert server.spent == 0
        with pytest.raises(FetchError, match="more than the"):
            get(whole, server.url, refetch=asked, max_cost=0.00001)
        done = get(whole, server.url, refetch=(dt.date(2023, 7, 5), dt.date(2023, 7, 6)))
        assert done.paid == pytest.approx(done.cost) == pytest.approx(plan.cost)
        assert done.notes == ()
        get(tmp_path / "new", server.url)
        assert get(whole, server.url).cost == 0
    new = content(tmp_path / "new")
    for name, rows in content(whole).items():
        inside = pl.col("session").is_between(dt.date(2023, 7, 5), dt.date(2023, 7, 6))
        expected = pl.concat([before[name].filter(~inside), new[name].filter(inside)]).sort(
            "session", maintain_order=True
        )
        assert_frame_equal(rows, expected)


def test_other_minutes_and_snapshots_of_a_session_that_is_asked_for_again(
    server: Standin, whole: Path
) -> None:
    get(whole, server.url, entry_time="close-16min")
    both = lake.stored(whole, TABLES["option_quotes"], "TSLA")
    get(whole, server.url, refetch=(DAYS[0], DAYS[3]))
    assert_frame_equal(lake.stored(whole, TABLES["option_quotes"], "TSLA"), both)
    snapshot = both.filter(pl.col("ts").dt.second() == 50).with_columns(
        ts=pl.lit(None, both.schema["ts"]), bid=0.01
    )
    shutil.rmtree(whole)
    lake.merge(
        whole,
        TABLES["option_quotes"],
        "TSLA",
        snapshot.sort("session", "symbol"),
        [pl.col("session")],
    )
    get(whole, server.url, refetch=(DAYS[0], DAYS[3]))
    rows = lake.stored(whole, TABLES["option_quotes"], "TSLA")
    assert rows["ts"].null_count() == 0
    assert rows["bid"].min() > 1


def test_where_nothing_comes_again_what_is_there_stays(whole: Path) -> None:
    before = content(whole)
    feed = without(small_feed(), "quotes", NOBODY)
    without(feed, "option_bars", NOBODY)
    with Standin(feed) as server:
        get(whole, server.url, refetch=(DAYS[1], DAYS[1]))
    after = content(whole)
    for name in ("option_quotes TSLA", "option_bars TSLA"):
        assert_frame_equal(after[name], before[name])


def test_a_crash_between_payment_and_replacement_still_replaces(
    server: Standin, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = lake.stored(whole, TABLES["option_bars"], "TSLA").with_columns(
        symbol=pl.lit("TSLA  230714C00999000")
    )
    lake.merge(
        whole,
        TABLES["option_bars"],
        "TSLA",
        extra.unique("session", maintain_order=True),
        [pl.col("session"), pl.col("symbol")],
    )

    def fail(*_: Any) -> None:
        raise RuntimeError("pulled the plug")

    monkeypatch.setattr(fetching.intake, "take", fail)
    with pytest.raises(RuntimeError, match="pulled"):
        get(whole, server.url, refetch=(DAYS[0], DAYS[3]))
    monkeypatch.undo()
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    assert list((whole / ".incoming").rglob("*.again.dbn.zst"))
    get(whole, server.url, refetch=(DAYS[0], DAYS[3]))
    assert "TSLA  230714C00999000" not in set(
        lake.stored(whole, TABLES["option_bars"], "TSLA")["symbol"]
    )


@pytest.mark.parametrize(
    ("refetch", "said"),
    [
        ("2024-01-02", "refetch is '2024-01-02': expected the first and the last session"),
        (("2024-01-02",), "refetch is"),
        (("2024-01-02", None), "refetch is"),
        (7, "refetch is 7"),
        (("soon", "2024-01-02"), "refetch = 'soon'"),
        (("2024-01-03", "2024-01-02"), "refetch: 2024-01-03 is after 2024-01-02"),
        (
            ("2022-01-03", "2022-01-04"),
            "refetch: of 2022-01-03 to 2022-01-04 the lake has nothing that entries from 2023-07-03",
        ),
    ],
)
def test_a_refetch_of_nothing_is_refused(
    server: Standin, whole: Path, refetch: Any, said: str
) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        get(whole, server.url, refetch=refetch)
    assert server.spent == 0


# ---- what is there already


def test_what_the_lake_holds_from_elsewhere_is_not_bought(server: Standin, tmp_path: Path) -> None:
    get(tmp_path / "first", server.url)
    Market.open(tmp_path / "first").write(tmp_path / "copy")
    done = get(tmp_path / "copy", server.url)
    assert done.cost == 0
    assert sums(done, "held") == LACKING


def test_a_file_taken_away_is_fetched_again(server: Standin, tmp_path: Path) -> None:
    get(tmp_path, server.url)
    shutil.rmtree(tmp_path / "option_bars")
    (tmp_path / "underlying_bars" / "underlying=TSLA" / "2023-07.parquet").unlink()
    done = get(tmp_path, server.url)
    assert sums(done, "lacking") == LACKING | {"option_quotes": 0, "underlying_minutes": 0}
    assert len(Market.open(tmp_path).underlying_bars) == 4  # made of the minutes that are there
    assert done.paid > 0


def test_sessions_that_are_not_published_yet_are_left_for_later(tmp_path: Path) -> None:
    feed = small_feed(end=DAYS[2])
    with Standin(feed) as server:
        done = get(tmp_path, server.url)
        assert sums(done, "lacking", "later") == {
            "option_quotes": (2, 2),
            "underlying_minutes": (2, 2),
            "option_bars": (2, 2),
        }
        assert any(
            "2 sessions, 2023-07-06 to 2023-07-07, are not published yet" in note
            for note in done.notes
        )
        feed.end = None
        assert sums(get(tmp_path, server.url), "held", "lacking")["option_bars"] == (2, 2)
    assert Market.open(tmp_path).data_range == (REACHED[0], REACHED[-1])


# ---- how far data must reach


@pytest.mark.parametrize(
    ("put", "call", "sold", "settled"),
    [
        ({"dte_max": 45}, {"dte_max": 30}, "2023-10-30", "2023-11-29"),
        ({"dte_max": 45}, {"dte_max": 30, "max_cycles": 2}, "2023-11-30", "2023-12-29"),
        ({"dte_max": 45}, {"dte_max": 30, "call_wait_sessions": 3}, "2023-11-02", "2023-12-01"),
        ({"dte_max": 0, "dte_min": 0}, {"dte_max": 0, "dte_min": 0}, "2023-09-14", "2023-09-14"),
        ({"dte_max": 45}, {"dte_max": 30, "max_cycles": None}, "2024-02-02", "2024-03-01"),
    ],
)
def test_data_reach_to_the_last_settlement_covered_calls_included(
    put: Any, call: Any, sold: str, settled: str
) -> None:
    rules = {"put": PutRules(**put), "call": CallRules(**call)}
    wanted = Wanted(symbols=("TSLA",), start=dt.date(2023, 6, 6), end=dt.date(2023, 9, 13), **rules)
    sessions = Sessions.load("NYSE", wanted.start, dt.date(2024, 6, 28))
    assert reach(sessions, wanted, dt.date(2024, 1, 31)) == (
        dt.date.fromisoformat(sold),
        dt.date.fromisoformat(settled),
    )


# ---- money


def test_nothing_is_spent_over_the_budget(server: Standin, tmp_path: Path) -> None:
    cost = get(tmp_path, server.url, dry_run=True).cost
    with pytest.raises(
        FetchError,
        match=r"would cost \$\d+\.\d\d, more than the \$0\.01 of max_cost: nothing was spent",
    ):
        get(tmp_path, server.url, max_cost=0.01)
    with pytest.raises(FetchError, match="nothing says that it may: pass max_cost"):
        get(tmp_path, server.url, max_cost=None)
    shown: list[float] = []
    refused = get(tmp_path, server.url, confirm=lambda plan: bool(shown.append(plan.cost)))
    assert (shown, refused.paid, server.spent) == ([refused.cost], 0, 0)
    assert get(tmp_path, server.url, max_cost=cost).paid == pytest.approx(cost)


def test_downloads_that_must_be_repeated_stop_at_the_budget_and_what_came_stays(
    server: Standin, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = get(tmp_path, server.url, dry_run=True).cost
    monkeypatch.setattr("wheelvec.vendors.databento.client.ATTEMPTS", 99)
    server.fail("cut", times=50)
    with pytest.raises(
        FetchError,
        match=r"were spent, downloads that failed included: max_cost is reached; \d+ of 9 answers are",
    ):
        get(tmp_path, server.url, max_cost=cost)
    assert server.spent <= cost
    server.faults.clear()
    get(tmp_path, server.url)
    assert_same(tmp_path, whole)


def test_prices_are_the_servers_own_and_the_plan_adds_up(server: Standin, tmp_path: Path) -> None:
    plan = get(tmp_path, server.url, dry_run=True, symbols=["TSLA", "BRK.B"])
    assert plan.plan["dollars"].sum() == pytest.approx(plan.cost)
    assert (plan.plan["dollars"] > 0).all()
    assert plan.plan["symbol"].to_list() == ["TSLA"] * 3 + ["BRK.B"] * 3


def test_progress_is_reported_for_every_request(server: Standin, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    get(tmp_path, server.url, progress=lambda done, total: reports.append((done, total)))
    assert reports == [(i, 9) for i in range(1, 10)] * 2


# ---- what goes wrong


FAULTS = ["429", "500", "503", "504", "reset", "cut", "empty", "html", "list"]


def test_a_server_full_of_faults_gives_the_same_lake(
    server: Standin, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wheelvec.vendors.databento.client.ATTEMPTS", 30)
    for kind in FAULTS:
        server.fail(kind, times=2)
        if kind not in ("cut", "reset", "empty", "html"):
            server.fail(kind, method="get_cost")
    get(tmp_path, server.url)
    assert server.faults == []
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("401", "Databento refuses the key: check DATABENTO_API_KEY"),
        ("402", "the account has no credit left: add some"),
        ("403", "the account has no licence for this"),
        ("404", "the gateway does not know this"),
        ("422", r"422 the key db-\.\.\. is not welcome"),
    ],
)
def test_a_refusal_says_what_to_do_and_what_came_before_stays(
    server: Standin,
    whole: Path,
    tmp_path: Path,
    kind: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "PARALLEL", 1)
    server.fail(kind, after=6)
    with pytest.raises(
        FetchError,
        match=f"({said}).*; 6 of 9 answers are in the lake and stay there: run the same command again",
    ):
        get(tmp_path, server.url)
    assert len(Market.open(tmp_path).underlying_bars) == 4
    rest = get(tmp_path, server.url)
    assert 0 < rest.paid < server.spent
    assert len(server.twice()) == 1  # the refused one, which cost nothing
    assert_same(tmp_path, whole)


def test_an_account_without_funds_is_reported_though_prices_are_still_given(tmp_path: Path) -> None:
    with (
        Standin(small_feed(), credit=0.01) as server,
        pytest.raises(FetchError, match=r"no credit left.*402.*\d+ of 9 answers"),
    ):
        get(tmp_path, server.url)


def test_the_newest_day_needs_a_live_licence_and_the_rest_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Now(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return dt.datetime(2023, 7, 8, 2, tzinfo=tz)

    monkeypatch.setattr(fetching.dt, "datetime", Now)
    with Standin(small_feed(), live_from=nanos(REACHED[-1])) as server:
        done = get(tmp_path, server.url)
        (note,) = done.notes
        assert (
            "up to 2023-07-07, to holders of a live licence only (403): 2 requests were left out"
            in note
        )
        assert len(Market.open(tmp_path).underlying_bars) == 3
        server.live_from = None
        assert sums(get(tmp_path, server.url), "lacking") == {
            "option_quotes": 1,
            "underlying_minutes": 1,
            "option_bars": 1,
        }


def test_an_unknown_symbol_is_said_before_anything_is_spent(
    server: Standin, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError,
        match=r"unknown symbol 'TLSA': .* knows nothing by the name TLSA.* nothing was spent",
    ):
        get(tmp_path, server.url, symbols=["TSLA", "TLSA"])
    assert server.spent == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbols": []}, "symbols is empty"),
        ({"symbols": "SPX"}, "'SPX' is an index, whose options settle in cash"),
        ({"symbols": "TSLA1"}, "'TSLA1' ends in a digit"),
        ({"symbols": "TS LA"}, "'TS LA' is none of a stock"),
        ({"start": "2023-07-10"}, "start 2023-07-10 is after end 2023-07-05"),
        ({"start": "soon"}, "start = 'soon'"),
        ({"symbols": None}, "fetch needs symbols, start and end"),
        ({"schema": "trades"}, "unknown schema of quotes 'trades'.*allowed: cmbp-1, cbbo-1m"),
        ({"look_back": -1}, "look_back is -1: expected whole minutes from 0 to 390"),
        ({"entry_time": "noon"}, "entry_time is 'noon'"),
        ({"start": "2017-01-03", "end": "2017-01-04"}, r"no minutes of TSLA itself on 2017-01-03: EQUS.MINI begins on 2023-03-28, XNAS"),
        ({"start": "2012-01-03", "end": "2012-01-04"}, r"no quotes on 2012-01-03: cbbo-1m of OPRA.PILLAR begins on 2013-04-01"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    server: Standin, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        get(tmp_path, server.url, **changes)
    assert server.spent == 0


def test_a_configuration_says_what_is_not_given(server: Standin, tmp_path: Path) -> None:
    schedule = wv.Schedule(
        start_date=START, end_date=END, symbols=["TSLA"], entry_time="close-15min"
    )
    done = wv.fetch(
        lake=tmp_path, config=CONFIG.replace(schedule=schedule), max_cost=99.0, gateway=server.url
    )
    assert sums(done, "lacking") == LACKING


def test_without_its_client_one_line_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for missing in ("databento_dbn", "requests", "tenacity", "zstandard"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            for module in ("client", "gateway", "inflate", "opra", "secret"):
                patch.delitem(sys.modules, f"wheelvec.vendors.databento.{module}", raising=False)
                patch.delattr(f"wheelvec.vendors.databento.{module}", raising=False)
            with pytest.raises(
                InputError,
                match=rf"\({missing} is missing\): run pip install '\.\[databento\]' in a clone",
            ):
                get(tmp_path, "http://127.0.0.1:9")


def test_without_a_key_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABENTO_API_KEY")
    with pytest.raises(InputError, match="DATABENTO_API_KEY is not set"):
        get(tmp_path, "http://127.0.0.1:9")


# ---- the lake under stress


def test_an_object_store_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="s3://bucket/lake: the lake must be a local folder"):
        get("s3://bucket/lake", "http://127.0.0.1:9")  # type: ignore[arg-type]


def test_a_folder_of_other_things_is_refused_and_left_as_it_is(
    server: Standin, tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(LakeError, match=r"is no lake, and is left as it is: it holds result.json"):
        get(tmp_path, server.url)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert server.log == []


@pytest.mark.parametrize("place", [".incoming", "option_bars", "underlying_minutes", "answers"])
def test_a_full_disk_is_reported_and_nothing_is_paid_twice(
    server: Standin, whole: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if place in path.parts and "r" not in mode and path.suffix == ".tmp":
            raise OSError(28, "No space left on device", str(path))
        return working(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(
        LakeError,
        match=rf"{place}.* cannot be written: No space left on device|cannot be written: No space left",
    ):
        get(tmp_path, server.url)
    monkeypatch.undo()
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    get(tmp_path, server.url)
    if place != ".incoming":  # else what had come could be put nowhere
        assert server.twice() == []
    assert_same(tmp_path, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX limit")
def test_a_disk_that_is_really_full_is_reported_before_anything_is_paid(
    server: Standin, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        (folder / "ballast").write_bytes(b"x" * 16384)
        with pytest.raises(LakeError, match="cannot be written: No space left on device"):
            get(folder / "lake", server.url)
        assert server.spent == 0
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_place_that_may_not_be_written_is_reported_before_anything_is_paid(
    server: Standin, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LakeError, match=r"file/lake is no folder: a lake is one"):
        get(tmp_path / "file" / "lake", server.url)
    with pytest.raises(
        LakeError, match=r"/proc/lake/.*: cannot be written"
    ):  # root may write anywhere but here
        get(Path("/proc/lake"), server.url)
    assert server.log == [] or server.spent == 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garbage(path: Path) -> None:
    path.write_bytes(b"no table " * 99)


def without_a_column(path: Path) -> None:
    rows = pl.read_parquet(path)
    rows.drop(rows.columns[-1]).write_parquet(path)


@pytest.mark.parametrize("change", [cut, garbage, without_a_column])
@pytest.mark.parametrize(
    "table", ["option_quotes", "option_bars", "underlying_bars", "underlying_minutes", "answers"]
)
def test_a_damaged_file_is_reported_by_path_before_anything_is_paid(
    server: Standin, whole: Path, table: str, change: Any
) -> None:
    change(whole / table / "underlying=TSLA" / "2023-07.parquet")
    with pytest.raises(LakeError, match=rf"{table}/underlying=TSLA/2023-07\.parquet (is|was) "):
        get(whole, server.url, end=DAYS[2])
    assert server.spent == 0


def test_an_answer_left_on_disk_that_was_damaged_there_is_fetched_again(
    server: Standin, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = (
        whole
        / ".incoming"
        / "underlying=TSLA"
        / "option_bars.20230703T000000.20230704T000000.dbn.zst"
    )
    left.write_bytes(b"half of some")
    get(whole, server.url)
    assert not left.exists()
    assert "it will be fetched again" in caplog.text


def test_what_was_paid_for_and_not_taken_in_is_taken_in_by_a_later_run_of_another_range(
    server: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def fail(*_: Any) -> None:
        taken.append("")
        raise RuntimeError("pulled the plug")

    monkeypatch.setattr(fetching.intake, "take", fail)
    with pytest.raises(RuntimeError, match="pulled"):
        get(tmp_path, server.url)
    monkeypatch.undo()
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    left = len(list((tmp_path / ".incoming").rglob("*.zst")))
    assert left > 0
    before = len(server.asked())
    get(tmp_path, server.url, start=DAYS[1], end=DAYS[1])
    assert not list((tmp_path / ".incoming").rglob("*.zst"))
    assert server.twice() == []
    assert len(lake.stored(tmp_path, MINUTES, "TSLA")["session"].unique()) >= left
    assert len(server.asked()) > before


def test_an_interruption_waits_for_what_is_under_way_and_the_next_run_pays_for_nothing_again(
    server: Standin, whole: Path, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == total + 2:  # all prices, and the second answer
            raise KeyboardInterrupt

    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, server.url, progress=interrupt)
    get(tmp_path, server.url)
    assert server.twice() == []
    assert_same(tmp_path, whole)


def _fetch_in_a_process(
    root: str, url: str, start: dt.date, end: dt.date, symbols: list[str], barrier: Any
) -> None:
    os.environ |= {"DATABENTO_API_KEY": KEY, "NO_PROXY": "127.0.0.1"}
    barrier.wait()
    get(Path(root), url, start=start, end=end, symbols=symbols)


def test_two_processes_that_fetch_into_one_month_pay_once_and_lose_nothing(
    server: Standin, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    wanted = [(DAYS[0], DAYS[1], ["TSLA", "BRK.B"]), (DAYS[1], DAYS[2], ["BRK.B", "TSLA"])]
    arguments = [(str(tmp_path), server.url, *each, barrier) for each in wanted]
    children = [context.Process(target=_fetch_in_a_process, args=given) for given in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert server.twice() == []
    assert get(tmp_path, server.url, symbols=["TSLA", "BRK.B"]).cost == 0


def test_another_process_that_fetches_the_same_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, tries = incoming.files.locked, []

    @contextlib.contextmanager
    def locked(folder: Path, wait: bool = True) -> Any:
        tries.append(wait)
        if not wait:
            raise LakeError("another process is writing there")
        with working(folder):
            yield

    monkeypatch.setattr(incoming.files, "locked", locked)
    with incoming.reserved(tmp_path, ["TSLA"]):
        assert tries == [False, True]
    assert "another process is fetching TSLA into this lake: waiting for its end" in caplog.text


def test_a_fetch_that_fails_at_once_leaves_no_empty_lake(server: Standin, tmp_path: Path) -> None:
    root = tmp_path / "some" / "where" / "lake"
    failures: list[dict[str, Any]] = [
        {"symbols": "TLSA"},
        {"max_cost": 0.0001},
        {"refetch": (DAYS[0], DAYS[1])},
    ]
    for changes in failures:
        with pytest.raises((FetchError, InputError)):
            get(root, server.url, **changes)
        assert list(tmp_path.iterdir()) == []
    server.fail("401", times=9)
    with pytest.raises(FetchError, match="refuses the key"):
        get(root, server.url)
    assert list(tmp_path.iterdir()) == []
    get(root, server.url, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    root.mkdir(parents=True)
    get(root, server.url, dry_run=True)
    assert list(root.iterdir()) == []  # what the user made stays
    server.faults.clear()
    get(root, server.url)
    assert (root / "option_quotes").is_dir()


def test_two_processes_of_which_one_removes_the_unused_lake(tmp_path: Path) -> None:
    """While one waits for the lock, its folder goes: it makes and locks another."""
    entered, leave = threading.Event(), threading.Event()
    root = tmp_path / "lake"

    def first() -> None:
        with incoming.reserved(root, ["TSLA"]):
            entered.set()
            leave.wait(10)

    def second() -> None:
        with incoming.reserved(root, ["TSLA"]):
            there.append((root / ".incoming" / "underlying=TSLA" / ".lock").exists())

    there: list[bool] = []
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    entered.wait(10)
    threads[1].start()
    time.sleep(0.2)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert there == [True]
    assert not root.exists() or not any(root.iterdir())


def test_an_unused_lake_is_gone_when_its_lock_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the one that waits does not know that it makes the folder, and leaves it empty."""
    real, root, there = files.locked, tmp_path / "lake", list[bool]()

    @contextlib.contextmanager
    def locked(folder: Path, wait: bool | float = True) -> Iterator[None]:
        with real(folder, wait):
            yield
        there.append(root.exists())

    monkeypatch.setattr(files, "locked", locked)
    with incoming.reserved(root, ["TSLA"]):
        assert root.exists()
    assert there == [False]


def test_unfinished_files_of_a_killed_fetch_go_with_the_next(server: Standin, whole: Path) -> None:
    stale = whole / ".incoming" / "underlying=TSLA" / ".wheelvec.1.0123abcd.tmp"
    stale.write_bytes(b"half of some")
    mine = stale.with_name("mine.txt")
    mine.write_text("no temporary file")
    get(whole, server.url)
    assert not stale.exists()
    assert mine.exists()


# ---- the key


def test_the_key_is_in_no_message_log_file_or_repr(
    server: Standin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")
    texts = []
    for kind in ("401", "402", "403", "404", "422", "list"):
        for method in ("timeseries", "get_cost", "get_dataset_range"):
            server.faults.clear()
            server.fail(kind, times=9, method=method)
            try:
                texts.append(repr(get(tmp_path / method / kind, server.url)))
            except FetchError as error:
                texts += [str(error), repr(error), repr(vars(error))]
    server.faults.clear()
    texts.append(repr(get(tmp_path / "good", server.url)))
    texts += [record.getMessage() for record in caplog.records] + [
        caplog.text,
        *capsys.readouterr(),
    ]
    texts += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) > 60
    assert not [text for text in texts if KEY in text or KEY[3:] in text]


def test_the_key_is_in_no_traceback_of_the_command_line(server: Standin, tmp_path: Path) -> None:
    server.fail("401", times=9, method="get_dataset_range")
    line = [
        "fetch",
        "--symbols=TSLA",
        "--start=2023-07-03",
        "--end=2023-07-05",
        f"--lake={tmp_path}",
        f"--gateway={server.url}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "wheelvec.cli", *line, "--debug", "-v"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Databento refuses the key: check DATABENTO_API_KEY" in done.stderr
    assert "Traceback" in done.stderr
    assert KEY not in done.stdout + done.stderr


# ---- the same market, fetched or in memory


def test_a_fetched_lake_and_the_market_in_memory_give_identical_records(tmp_path: Path) -> None:
    made = demo_tables(symbols=("BRVO",), start="2024-01-02", end="2024-05-17")
    tables = {
        name: rows.filter(pl.col("session") >= dt.date(2024, 4, 25)) for name, rows in made.items()
    }
    sessions = Sessions.load("NYSE", dt.date(2024, 4, 25), dt.date(2024, 5, 17))
    config = wv.Config(
        schedule=wv.Schedule(start_date="2024-04-25", end_date="2024-04-26", symbols=["BRVO"]),
        put=PutRules(dte_min=2, dte_max=9, delta_min=0.3, delta_max=0.7, stop_loss_multiplier=None),
        call=CallRules(
            dte_min=2,
            dte_max=9,
            delta_min=0.1,
            delta_max=0.7,
            sell_call_only_if_price_above_basis=False,
        ),
    )
    with Standin(feed_of(tables, sessions.frame)) as server:
        wv.fetch(lake=tmp_path, config=config, max_cost=999.0, gateway=server.url)
    memory = wv.backtest(wv.Market(**tables), config)
    fetched = wv.backtest(Market.open(tmp_path), config)
    assert memory.records.filter(pl.col("phase") == "cc").height > 3
    assert_frame_equal(fetched.records, memory.records)
    assert_frame_equal(fetched.ledger, memory.ledger)
    fetched.validate()


def test_a_check_of_the_lake_finds_nothing_foreign_in_what_a_fetch_keeps_beside_the_tables(
    whole: Path,
) -> None:
    found = wv.check(whole)
    assert found.files.is_empty()
