"""check: each finding on a lake that has exactly that fault, and on one that has not."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.market.build import DAY, SHARED
from wheelvec.demo.synthetic import demo_tables
from wheelvec.lake.inspection import Inspection
from wheelvec.model import osi
from wheelvec.model.errors import ConfigError, LakeError

Tables = dict[str, pl.DataFrame]
FIRST, LAST = DAY("2024-01-02"), DAY("2024-05-31")
SESSIONS = 105
DARK = [
    DAY("2024-01-22"),
    DAY("2024-03-18"),
]  # two sessions without a quote, as the feed of the demo market fails
PUT, TRADED = (
    "BRVO  240216P00105000",
    "BRVO  240216P00100000",
)  # last traded on February 8th, and on the 15th


@pytest.fixture(scope="module")
def whole() -> Tables:
    """Five months of one underlying."""
    return demo_tables(symbols=["BRVO"], start=FIRST, end=LAST)


@pytest.fixture(scope="module")
def clean(whole: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its lake, not to be changed."""
    folder = tmp_path_factory.mktemp("clean") / "lake"
    wv.Market(**whole).write(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(clean, tmp_path / "lake")


def checked(tables: Tables, folder: Path, **more: Any) -> Inspection:
    wv.Market(**tables).write(folder)  # type: ignore[arg-type]
    return wv.check(folder, **more)


def changed(tables: Tables, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Tables:
    return tables | {name: change(tables[name])}


def without(tables: Tables, name: str, rows: pl.Expr) -> Tables:
    return changed(tables, name, lambda frame: frame.filter(~rows))


def between(first: str, last: str) -> pl.Expr:
    return pl.col("session").is_between(DAY(first), DAY(last))


# ---- what is there


def test_a_clean_lake_has_the_demo_markets_own_faults_and_no_others(
    clean: Path, whole: Tables
) -> None:
    found = wv.check(clean)
    assert found.holes.rows() == [("option_quotes", "BRVO", day, day, 1) for day in DARK]
    for name in ("vanished", "splits", "adjusted", "adjusted_prices", "ended", "files", "refused"):
        assert len(getattr(found, name)) == 0, name
    missing = whole["option_quotes"]["bid"].null_count()
    assert found.broken.rows() == [("option_quotes", "BRVO", "missing_side", missing)]


def test_what_a_lake_holds(clean: Path, whole: Tables) -> None:
    found = wv.check(clean)
    sizes = {
        name: sum(p.stat().st_size for p in (clean / name).rglob("*.parquet")) for name in whole
    }
    assert found.held.rows() == [
        (name, 1, 5, whole[name].height, sizes[name], FIRST, LAST)
        for name in ("option_quotes", "option_bars", "underlying_bars")
    ]
    contracts = pl.concat(
        [whole[name]["symbol"] for name in ("option_quotes", "option_bars")]
    ).n_unique()
    quotes, bars = whole["option_quotes"].height, whole["option_bars"].height
    assert found.underlyings.rows() == [
        ("BRVO", FIRST, LAST, SESSIONS, SESSIONS - 2, quotes, contracts, bars, SESSIONS)
    ]  # fmt: skip
    times = dict(found.entry_times.select("entry_time", "sessions").rows())
    assert times == dict.fromkeys(("15:44", "15:45", "15:46"), SESSIONS - 2)
    assert found.entry_times["entry_time"][0] == "15:45"
    assert found.entry_times["quotes"].sum() == quotes


def test_a_snapshot_has_no_entry_time(whole: Tables, tmp_path: Path) -> None:
    snapshot = changed(whole, "option_quotes", lambda q: q.drop("ts").unique(["session", "symbol"]))
    found = checked(snapshot, tmp_path)
    assert found.entry_times.select("entry_time", "sessions").rows() == [(None, SESSIONS - 2)]


def test_counts_are_those_of_the_market(tmp_path: Path) -> None:
    """Over several underlyings, with every kind of fault, and rows that were set aside when the
    lake was written.
    """
    tables = demo_tables(symbols=["BRVO", "CHRL", "DLTA"], start=FIRST, end=DAY("2024-03-15"))
    number = pl.int_range(pl.len()) % 1000
    tables = changed(tables, "option_quotes", lambda q: q.with_columns(
        bid=pl.when(number == 1).then(pl.col("ask") + 1).when(number == 2).then(-1.0).otherwise("bid"),
        underlying_price=pl.when(number == 3).then(None).otherwise("underlying_price"),
        session=pl.when(number == 4).then(DAY("2024-01-06")).when(number == 5).then(DAY("2024-01-05")).otherwise("session"),
        symbol=pl.when(number == 6).then(pl.lit("nothing")).otherwise("symbol"),
    ))  # fmt: skip
    tables = changed(
        tables,
        "option_bars",
        lambda b: b.with_columns(high=pl.when(number == 7).then(0.0).otherwise("high")),
    )
    tables = without(
        tables,
        "underlying_bars",
        (pl.col("underlying") == "DLTA") & (pl.col("session") > DAY("2024-02-20")),
    )
    market = wv.Market(**tables)  # type: ignore[arg-type]
    market.write(tmp_path)
    found = wv.check(tmp_path)
    assert found.broken.equals(market.diagnostics)
    assert {"crossed", "not_a_session", "wrong_session", "bad_symbol", "underlying_ended"} <= set(
        found.broken["reason"]
    )


def test_progress_counts_every_file_twice(clean: Path) -> None:
    reports: list[tuple[int, int]] = []
    wv.check(clean, progress=lambda done, total: reports.append((done, total)))
    assert reports[-1] == (30, 30)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)


def test_an_unknown_calendar_and_a_folder_that_is_no_lake(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown schedule\.trading_calendar 'NYZE'"):
        wv.check(clean, trading_calendar="NYZE")
    with pytest.raises(ConfigError, match=r"trading_calendar = \[1\]: expected a name"):
        wv.check(clean, trading_calendar=[1])  # type: ignore[arg-type]
    with pytest.raises(LakeError, match="is no lake: it is empty"):
        wv.check(tmp_path)
    with pytest.raises(LakeError, match="cannot be read: No such file or directory"):
        wv.check(tmp_path / "nowhere")


# ---- holes


@pytest.mark.parametrize("name", ["option_quotes", "option_bars", "underlying_bars"])
def test_sessions_that_a_table_lacks_are_a_hole(whole: Tables, tmp_path: Path, name: str) -> None:
    found = checked(without(whole, name, between("2024-02-15", "2024-02-20")), tmp_path)
    hole = (name, "BRVO", DAY("2024-02-15"), DAY("2024-02-20"), 3)  # the 19th is a holiday
    dark = [("option_quotes", "BRVO", day, day, 1) for day in DARK]
    assert sorted(found.holes.rows()) == sorted([hole, *dark])


def test_a_session_of_invalid_quotes_lacks_quotes(whole: Tables, tmp_path: Path) -> None:
    day = pl.col("session") == DAY("2024-02-15")
    found = checked(
        changed(whole, "option_quotes", lambda q: q.with_columns(ask=pl.when(~day).then("ask"))),
        tmp_path,
    )
    assert ("option_quotes", "BRVO", DAY("2024-02-15"), DAY("2024-02-15"), 1) in found.holes.rows()


def test_a_lake_without_option_bars_lacks_none(whole: Tables, tmp_path: Path) -> None:
    found = checked(
        {name: frame for name, frame in whole.items() if name != "option_bars"}, tmp_path
    )
    assert set(found.holes["table"]) == {"option_quotes"}
    assert found.broken.filter(pl.col("reason") == "no_option_bars").height == 1


def test_an_underlying_with_bars_only_lacks_no_quotes(whole: Tables, tmp_path: Path) -> None:
    more = whole["underlying_bars"].with_columns(underlying=pl.lit("INDEX"))
    found = checked(
        changed(whole, "underlying_bars", lambda bars: pl.concat([bars, more])), tmp_path
    )
    assert set(found.holes["underlying"]) == {"BRVO"}
    assert found.underlyings.filter(pl.col("underlying") == "INDEX").rows() == [
        ("INDEX", FIRST, LAST, SESSIONS, 0, 0, 0, 0, SESSIONS)
    ]


def test_another_calendar_has_other_sessions(clean: Path) -> None:
    holes = wv.check(clean, trading_calendar="24/7").holes
    weekend = ("underlying_bars", "BRVO", DAY("2024-01-06"), DAY("2024-01-07"), 2)
    assert weekend in holes.rows()


# ---- contracts that vanish


def gone(tables: Tables, contracts: pl.Expr, after: str) -> Tables:
    """Without quotes and bars of some contracts after a day."""
    lost = contracts & (pl.col("session") > DAY(after))
    return without(without(tables, "option_quotes", lost), "option_bars", lost)


def test_a_contract_that_vanishes_inside_the_chain(whole: Tables, tmp_path: Path) -> None:
    found = checked(gone(whole, pl.col("symbol") == PUT, "2024-01-31"), tmp_path)
    assert found.vanished.rows() == [
        ("BRVO", PUT, DAY("2024-01-31"), DAY("2024-02-16"), 11, "inside")
    ]


def test_a_contract_that_still_trades_has_not_vanished(whole: Tables, tmp_path: Path) -> None:
    lost = pl.col("symbol").is_in([PUT, TRADED]) & (pl.col("session") > DAY("2024-01-31"))
    found = checked(without(whole, "option_quotes", lost), tmp_path)
    assert found.vanished.rows() == [
        ("BRVO", PUT, DAY("2024-02-08"), DAY("2024-02-16"), 5, "inside")
    ]


def test_a_contract_that_comes_back_has_not_vanished(whole: Tables, tmp_path: Path) -> None:
    lost = (pl.col("symbol") == PUT) & between("2024-02-01", "2024-02-14")
    assert (
        len(
            checked(
                without(without(whole, "option_quotes", lost), "option_bars", lost), tmp_path
            ).vanished
        )
        == 0
    )


def test_a_contract_missing_on_its_last_session_only_has_not_vanished(
    whole: Tables, tmp_path: Path
) -> None:
    assert len(checked(gone(whole, pl.col("symbol") == PUT, "2024-02-15"), tmp_path).vanished) == 0


def test_the_outermost_strikes_vanish_at_the_edge(whole: Tables, tmp_path: Path) -> None:
    mine = whole["option_quotes"].filter(
        (pl.col("expiration") == DAY("2024-02-16")) & (pl.col("option_type") == "P")
    )
    lowest = (
        mine.filter(pl.col("session") <= DAY("2024-01-31"))
        .sort("strike")["symbol"]
        .unique(maintain_order=True)[:2]
    )
    found = checked(gone(whole, pl.col("symbol").is_in(lowest.implode()), "2024-01-31"), tmp_path)
    assert found.vanished.select("symbol", "place").rows() == [
        (symbol, "edge") for symbol in lowest
    ]


def test_a_whole_expiration_that_vanishes(whole: Tables, tmp_path: Path) -> None:
    found = checked(
        gone(whole, osi.expiration(pl.col("symbol")) == DAY("2024-02-16"), "2024-02-12"), tmp_path
    )
    assert set(found.vanished["place"]) == {"expiration"}
    assert set(found.vanished["missed"]) == {3}
    assert set(found.vanished["last_seen"]) == {DAY("2024-02-12")}
    quoted = whole["option_quotes"].filter(pl.col("expiration") == DAY("2024-02-16"))
    assert len(found.vanished) == quoted["symbol"].n_unique()


def test_what_the_end_of_the_data_hides_has_not_vanished(whole: Tables, tmp_path: Path) -> None:
    late = pl.col("session") > DAY("2024-01-31")
    tables = {name: frame.filter(~late) for name, frame in whole.items()}
    assert len(checked(tables, tmp_path).vanished) == 0


def test_a_contract_that_settles_after_the_data_can_vanish(whole: Tables, tmp_path: Path) -> None:
    quotes = whole["option_quotes"].filter(
        (pl.col("expiration") == DAY("2024-06-21")) & (pl.col("option_type") == "C")
    )
    symbol = (
        quotes.filter(pl.col("session") == DAY("2024-05-17"))
        .sort("strike")["symbol"]
        .unique(maintain_order=True)[5]
    )
    found = checked(gone(whole, pl.col("symbol") == symbol, "2024-05-17"), tmp_path)
    row = (
        found.vanished["symbol"][0],
        found.vanished["settlement"][0],
        found.vanished["missed"][0],
    )
    assert row == (symbol, DAY("2024-06-21"), 10 - 1)  # Memorial Day lies between


# ---- splits, adjusted closes, an end


def split(tables: Tables, day: str, ratio: float) -> Tables:
    """Prices and strikes divided from `day` on; the contracts get the symbols of their new strikes."""
    late, prices = pl.col("session") >= DAY(day), ["open", "high", "low", "close"]
    strike = (pl.col("strike") / ratio).round(2)
    symbol = pl.col("symbol").str.slice(0, 13) + (strike * 1000).round().cast(pl.Int64).cast(
        pl.String
    ).str.zfill(8)
    quotes = tables["option_quotes"].with_columns(
        pl.when(late)
        .then(pl.col("bid", "ask", "underlying_price") / ratio)
        .otherwise(pl.col("bid", "ask", "underlying_price")),
        strike=pl.when(late).then(strike).otherwise("strike"),
        symbol=pl.when(late).then(symbol).otherwise("symbol"),
    )
    bars = tables["underlying_bars"].with_columns(
        pl.when(late).then(pl.col(p) / ratio).otherwise(p).alias(p) for p in prices
    )
    return {"option_quotes": quotes, "underlying_bars": bars}


@pytest.mark.parametrize(("new", "old"), [(4, 1), (1, 10)])
def test_a_split_is_suspected_with_day_and_ratio(
    whole: Tables, tmp_path: Path, new: int, old: int
) -> None:
    found = checked(split(whole, "2024-03-04", new / old), tmp_path)
    ((name, day, before, _, contracts, gone, *ratio),) = found.splits.rows()
    assert (name, day, before) == ("BRVO", DAY("2024-03-04"), DAY("2024-03-01"))
    assert 0.6 * contracts <= gone <= contracts
    assert ratio == [new, old]
    assert len(found.adjusted) == len(found.adjusted_prices) == 0
    assert found.broken.filter(pl.col("reason") == "suspected_split")["count"].to_list() == [1]


def scaled(tables: Tables, factor: pl.Expr | float) -> Tables:
    prices = pl.col("open", "high", "low", "close")
    return changed(tables, "underlying_bars", lambda bars: bars.with_columns(prices * factor))


def test_closes_adjusted_for_a_later_split_are_seen(whole: Tables, tmp_path: Path) -> None:
    found = checked(scaled(whole, 0.25), tmp_path)
    ((name, first, last, sessions, factor),) = found.adjusted.rows()
    assert (name, first, last, sessions) == ("BRVO", FIRST, LAST, SESSIONS - 2)
    assert factor == pytest.approx(0.25, rel=0.01)
    assert found.broken.filter(pl.col("reason") == "adjusted_closes")["count"].to_list() == [
        SESSIONS - 2
    ]
    assert wv.Market.open(tmp_path).diagnostics.equals(found.broken)
    assert len(found.splits) == 0


def test_closes_adjusted_up_to_a_day_only(whole: Tables, tmp_path: Path) -> None:
    """The price fell to half in a night, and the vendor has halved all closes before it."""
    before = pl.col("session") < DAY("2024-03-15")
    found = checked(scaled(whole, pl.when(before).then(0.5).otherwise(1.0)), tmp_path)
    ((_, first, last, _, factor),) = found.adjusted.rows()
    assert first == FIRST
    assert last == DAY("2024-03-14")
    assert factor == pytest.approx(0.5, rel=0.01)


def test_two_factors_are_two_runs(whole: Tables, tmp_path: Path) -> None:
    factor = pl.when(pl.col("session") < DAY("2024-03-15")).then(0.25).otherwise(0.5)
    factors = checked(scaled(whole, factor), tmp_path).adjusted["factor"].to_list()
    assert factors == pytest.approx([0.25, 0.5], rel=0.02)


def test_a_dividend_of_two_percent_taken_out_is_seen_and_the_days_own_moves_are_not(
    whole: Tables, tmp_path: Path
) -> None:
    assert len(checked(scaled(whole, 0.98), tmp_path / "adjusted").adjusted) == 1
    sign = 1 - 2 * (
        pl.int_range(pl.len()) % 2
    )  # prices hours before the close: off by 3%, to either side
    assert len(checked(scaled(whole, 1 + 0.03 * sign), tmp_path / "early").adjusted) == 0


def test_prices_beside_the_quotes_that_were_adjusted_too_are_seen_by_parity(
    whole: Tables, tmp_path: Path
) -> None:
    """Closes and underlying_price agree, so that only the options show it."""
    before = pl.col("session") < DAY("2024-03-15")
    halved = pl.when(before).then(0.5).otherwise(1.0)
    prices = scaled(whole, halved)
    prices |= {
        "option_quotes": whole["option_quotes"].with_columns(pl.col("underlying_price") * halved)
    }
    found = checked(prices, tmp_path)
    assert len(found.adjusted) == 0
    ((name, first, last, sessions, factor),) = found.adjusted_prices.rows()
    assert (name, first, last, sessions) == ("BRVO", FIRST, DAY("2024-03-14"), 51 - 1)
    assert factor == pytest.approx(0.5, rel=0.01)
    assert found.broken.filter(pl.col("reason") == "adjusted_underlying_price")[
        "count"
    ].to_list() == [50]


def test_an_underlying_that_ended(whole: Tables, tmp_path: Path) -> None:
    other = (
        whole["underlying_bars"]
        .with_columns(underlying=pl.lit("GONE"))
        .filter(pl.col("session") <= DAY("2024-05-10"))
    )
    found = checked(
        changed(whole, "underlying_bars", lambda bars: pl.concat([bars, other])), tmp_path
    )
    assert found.ended.rows() == [("GONE", DAY("2024-05-10"), 14)]
    assert "GONE" not in found.holes["underlying"].to_list()


# ---- files


def place(folder: Path, name: str = "option_quotes", month: str = "2024-03") -> Path:
    return folder / name / "underlying=BRVO" / f"{month}.parquet"


def test_every_damaged_file_is_reported_and_nothing_is_said_of_its_month(folder: Path) -> None:
    place(folder).write_bytes(place(folder).read_bytes()[:-1])
    data = bytearray(place(folder, "underlying_bars", "2024-02").read_bytes())
    data[50] ^= 1
    place(folder, "underlying_bars", "2024-02").write_bytes(data)
    place(folder, "option_bars", "2024-05").unlink()
    place(folder, "option_bars", "2024-05").mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(place(folder, "option_bars", "2024-04"))
    shutil.copy(place(folder, month="2024-01"), place(folder, month="2023-12"))
    found = wv.check(folder)
    reasons = {path: (finding, reason) for path, finding, reason in found.files.rows()}
    expected = {
        "option_quotes/underlying=BRVO/2023-12.parquet": "holds month 2024-01, expected 2023-12: it was moved or renamed",
        "option_quotes/underlying=BRVO/2024-03.parquet": "is truncated: its footer is missing",
        "option_bars/underlying=BRVO/2024-04.parquet": "was not written by wheelvec, or another program has written it anew",
        "option_bars/underlying=BRVO/2024-05.parquet": "cannot be read: Is a directory",
        "underlying_bars/underlying=BRVO/2024-02.parquet":
            "was altered since it was written: its bytes do not match the digest in its footer",
    }  # fmt: skip
    assert reasons == {path: ("damaged", reason) for path, reason in expected.items()}
    assert len(found.refused) == 5
    assert [row[2] for row in found.holes.rows()] == DARK[
        :1
    ]  # the other one lies in the quotes' March
    assert found.held["files"].to_list() == [4, 3, 4]
    assert len(found.vanished) == 0


def test_files_out_of_place_are_refused_and_all_are_named(folder: Path) -> None:
    source = place(folder)
    for name in (
        "option_quotes/more.parquet",
        "option_quotes/BRVO/2024-03.parquet",
        "option_bars/underlying=BRVO/2024-3.parquet",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(source, folder / name)
    found = wv.check(folder)
    assert found.refused.rows() == [
        (
            "option_bars/underlying=BRVO/2024-3.parquet",
            "misplaced",
            "is out of place; expected a name such as 2023-06.parquet",
        ),
        (
            "option_quotes/BRVO/2024-03.parquet",
            "misplaced",
            "is out of place; expected its folder to be named underlying=<name>",
        ),
        (
            "option_quotes/more.parquet",
            "misplaced",
            "is out of place; expected underlying=<name>/<yyyy-mm>.parquet",
        ),
    ]
    assert found.held["files"].to_list() == [5, 5, 5]
    with pytest.raises(
        LakeError,
        match=r"BRVO/2024-03\.parquet is out of place; expected its folder to be named underlying=",
    ):
        wv.Market.open(
            shutil.copytree(
                folder, folder.parent / "one", ignore=shutil.ignore_patterns("more*", "2024-3.*")
            )
        )


def test_unfinished_files_and_what_is_no_part_of_a_lake_are_named_but_not_refused(
    folder: Path,
) -> None:
    shutil.copy(place(folder), place(folder).with_name(".2024-03.123.00ff00ff.tmp"))
    (folder / "README").write_text("ours")
    (folder / "option_quote").mkdir()
    (folder / "option_quote" / "2024-01.csv").write_text("a typo in the folder's name")
    (folder / ".DS_Store").write_text("")
    wv.backtest(wv.Market.open(folder))
    assert list((folder / "solved_chains").rglob("*.parquet"))  # these are part of a lake
    found = wv.check(folder)
    assert found.files.select("path", "finding").rows() == [
        ("README", "passed_over"),
        ("option_quote/2024-01.csv", "passed_over"),
        ("option_quotes/underlying=BRVO/.2024-03.123.00ff00ff.tmp", "unfinished"),
    ]
    assert len(found.refused) == 0


def test_a_folder_that_may_not_be_read_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = os.scandir

    def denied(path: Any) -> Any:
        if str(path).endswith("option_bars/underlying=BRVO"):
            raise PermissionError(13, "Permission denied", str(path))
        return working(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = wv.check(folder)
    assert found.refused.rows() == [
        ("option_bars/underlying=BRVO", "misplaced", "cannot be read: Permission denied")
    ]


def test_a_lake_of_nothing(tmp_path: Path) -> None:
    empty = {
        name: frame.clear()
        for name, frame in demo_tables(symbols=["BRVO"], start=FIRST, end=FIRST).items()
    }
    found = checked(empty, tmp_path)
    assert found.held["rows"].to_list() == [0, 0, 0]
    assert found.held["first"].to_list() == [None] * 3
    for name in (
        "underlyings",
        "entry_times",
        "holes",
        "vanished",
        "broken",
        "splits",
        "adjusted",
        "ended",
        "files",
    ):
        assert len(getattr(found, name)) == 0, name


def test_a_month_of_which_everything_was_set_aside(whole: Tables, tmp_path: Path) -> None:
    broken = changed(whole, "option_quotes", lambda q: q.with_columns(symbol=pl.lit("?")))
    found = checked(broken, tmp_path)
    assert found.underlyings["quotes"].to_list() == [0]
    assert (
        found.broken.filter(pl.col("reason") == "bad_symbol")["count"].sum()
        == whole["option_quotes"].height
    )


@pytest.mark.skipif(
    not (SHARED / "real" / "tsla_2026").is_dir(), reason="the real tables are not here"
)
def test_a_real_quarter_raises_no_false_alarm(tmp_path: Path) -> None:
    source = SHARED / "real" / "tsla_2026"
    held = wv.Market(
        **{
            name: pl.scan_parquet(source / f"{name}.parquet")
            for name in ("option_quotes", "underlying_bars")
        }
    )
    held.write(tmp_path)
    found = wv.check(tmp_path)
    assert found.broken.equals(held.diagnostics)
    for name in ("splits", "adjusted", "adjusted_prices", "ended", "files"):
        assert len(getattr(found, name)) == 0, name
