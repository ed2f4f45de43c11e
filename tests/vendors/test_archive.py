"""DBN files that a user has already: any mix of schemas, whole things only, nothing lost."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.market.build import SHARED
from tests.vendors.feeds import (
    DAYS,
    REACHED,
    STOCKS,
    at,
    close_of,
    contracts,
    entry_of,
    get,
    small_feed,
)
from tests.vendors.standin import MINUTE, Bar, Standin, compressed, dbn_file, nanos
from wheelvec.lake import lake
from wheelvec.lake.answers import ANSWERS, MINUTES
from wheelvec.market.market import Market
from wheelvec.model.errors import DataError, InputError, LakeError
from wheelvec.vendors.databento.archive import import_dbn

DAY = DAYS[1]
WEEK = nanos(DAYS[0]), nanos(DAYS[3]) + 24 * 60 * MINUTE
REAL = SHARED / "real" / "opra_dbn"


def put(folder: Path, name: str, *asked: Any, feed: Any = None) -> Path:
    path = folder / name
    data = dbn_file(feed or small_feed(), *asked)
    path.write_bytes(compressed(data) if name.endswith(".zst") else data)
    return path


def quotes(
    folder: Path,
    schema: str = "cmbp-1",
    start: int = WEEK[0],
    end: int = WEEK[1],
    names: Any = ("TSLA.OPT", "BRKB.OPT"),
    stype: str = "parent",
) -> Path:
    return put(
        folder,
        f"{schema}-{start}-{len(names)}.dbn.zst",
        "OPRA.PILLAR",
        schema,
        list(names),
        stype,
        start,
        end,
    )


def minutes(folder: Path, start: int = WEEK[0], end: int = WEEK[1]) -> Path:
    return put(
        folder,
        f"minutes-{start}.dbn",
        "EQUS.MINI",
        "ohlcv-1m",
        list(STOCKS),
        "raw_symbol",
        start,
        end,
    )


def bars(
    folder: Path,
    start: int = WEEK[0],
    end: int = WEEK[1],
    names: Any = ("TSLA.OPT", "BRKB.OPT"),
    stype: str = "parent",
) -> Path:
    return put(
        folder,
        f"bars-{start}-{len(names)}.dbn",
        "OPRA.PILLAR",
        "ohlcv-1d",
        list(names),
        stype,
        start,
        end,
    )


def test_files_of_weeks_and_of_several_underlyings_give_what_a_fetch_gives(
    tmp_path: Path, quick: None
) -> None:
    taken = import_dbn(
        [quotes(tmp_path), bars(tmp_path), minutes(tmp_path)],
        lake=tmp_path / "lake",
        entry_time="close-15min",
    )
    assert taken.select("schema", "table", "sessions", "rows").rows() == [
        ("ohlcv-1m", "underlying_minutes", 8, 40),
        ("ohlcv-1d", "option_bars", 8, 32),
        ("cmbp-1", "option_quotes", 8, 32),
    ]
    with Standin(small_feed()) as server:
        get(tmp_path / "fetched", server.url, symbols=["TSLA", "BRK.B"])
        assert get(tmp_path / "lake", server.url, symbols=["TSLA", "BRK.B"]).cost == 0
    one, other = Market.open(tmp_path / "lake"), Market.open(tmp_path / "fetched")
    assert one.fingerprint == other.fingerprint
    assert one.symbols == (
        "BRK.B",
        "TSLA",
    )  # by the stock's own name, though its contracts say BRKB


def test_without_the_stock_an_underlying_bears_the_root_and_has_no_price(tmp_path: Path) -> None:
    import_dbn([quotes(tmp_path)], lake=tmp_path / "lake", entry_time="close-15min")
    market = Market.open(tmp_path / "lake")
    assert market.symbols == ("BRKB", "TSLA")
    assert market.option_quotes["underlying_price"].null_count() == 32


def test_a_later_file_finds_the_names_that_the_lake_knows(tmp_path: Path) -> None:
    import_dbn([minutes(tmp_path)], lake=tmp_path / "lake")
    import_dbn([quotes(tmp_path)], lake=tmp_path / "lake", entry_time="close-15min")
    market = Market.open(tmp_path / "lake")
    assert market.symbols == ("BRK.B", "TSLA")
    assert market.option_quotes["underlying_price"].null_count() == 0


@pytest.mark.parametrize(
    ("schema", "start", "end", "sessions"),
    [
        ("cmbp-1", 0, MINUTE, 1),
        ("cmbp-1", 1000, MINUTE, 0),
        ("cmbp-1", 0, MINUTE - 1000, 0),
        ("cbbo-1m", MINUTE, MINUTE + 1000, 1),
        ("cbbo-1m", MINUTE, MINUTE, 0),
        ("cbbo-1m", MINUTE + 1000, 2 * MINUTE, 0),
    ],
)
def test_an_entry_minute_that_a_file_covers_in_part_is_not_taken(
    tmp_path: Path, schema: str, start: int, end: int, sessions: int
) -> None:
    entry = entry_of(DAY)
    path = quotes(tmp_path, schema, entry + start, entry + end, ("TSLA.OPT",))
    taken = import_dbn([path], lake=tmp_path / "lake", entry_time="close-15min")
    assert taken.select("sessions", "rows").rows() == [(sessions, 4 * sessions)]


def test_a_day_that_a_file_covers_in_part_makes_no_bar(tmp_path: Path) -> None:
    opens, closes = at(DAY, "09:30"), at(DAY, close_of(DAY))
    import_dbn([minutes(tmp_path, opens + MINUTE, closes)], lake=tmp_path / "lake")
    assert not (tmp_path / "lake" / "underlying_bars").exists()
    part = lake.stored(tmp_path / "lake", ANSWERS, "TSLA")
    assert part.select("table", "whole").rows() == [("underlying_minutes", False)]
    import_dbn([minutes(tmp_path, opens, closes)], lake=tmp_path / "lake")
    assert len(lake.stored(tmp_path / "lake", MINUTES, "TSLA")) == 5
    assert Market.open(tmp_path / "lake").underlying_bars["open"].to_list() == [340.0, 270.0]
    assert (
        import_dbn([bars(tmp_path, nanos(DAY) + MINUTE)], lake=tmp_path / "other")[
            "sessions"
        ].item()
        == 4
    )  # two days whole


def test_an_import_that_dies_between_a_bar_and_the_note_of_its_source_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_dbn([minutes(tmp_path)], lake=tmp_path / "whole")
    working = lake.merge
    for number in range(1, 9):
        writes: list[str] = []

        def dying(*arguments: Any, writes: list[str] = writes, number: int = number) -> None:
            writes.append("")
            if len(writes) == number:
                raise RuntimeError("killed")
            working(*arguments)

        monkeypatch.setattr(lake, "merge", dying)
        with pytest.raises(RuntimeError, match="killed"):
            import_dbn([minutes(tmp_path)], lake=tmp_path / str(number))
        monkeypatch.undo()
        import_dbn([minutes(tmp_path)], lake=tmp_path / str(number))
        for table in (ANSWERS, MINUTES, lake.TABLES["underlying_bars"]):
            found, expected = (
                lake.stored(tmp_path / name, table, "BRK.B") for name in (str(number), "whole")
            )
            assert found.equals(expected), (number, table.name)


def test_some_contracts_by_name_neither_replace_a_chain_nor_pass_for_one(
    tmp_path: Path, quick: None
) -> None:
    one = contracts("TSLA", 270.0)[:1]
    few = [
        quotes(tmp_path, names=one, stype="raw_symbol"),
        bars(tmp_path, names=one, stype="raw_symbol"),
    ]
    import_dbn(few, lake=tmp_path / "few", entry_time="close-15min")
    with Standin(small_feed()) as server:
        lacking = get(tmp_path / "few", server.url).plan.select("table", "lacking").rows()
        assert dict(lacking) == {"option_quotes": 4, "underlying_minutes": 4, "option_bars": 4}
        full = Market.open(tmp_path / "few").fingerprint
        import_dbn(few, lake=tmp_path / "few", entry_time="close-15min")
        assert Market.open(tmp_path / "few").fingerprint == full
        assert get(tmp_path / "few", server.url).cost == 0


def test_the_official_daily_bars_are_taken_and_other_daily_bars_of_stocks_are_not(
    tmp_path: Path,
) -> None:
    day = dt.date(2024, 7, 8)
    feed = small_feed([day])
    feed.summary = [Bar("TSLA", nanos(day), 90, 260.0, 280.0, 250.0, 271.5, 9000)]
    span = nanos(day), nanos(day) + 24 * 60 * MINUTE
    official = put(
        tmp_path, "a", "EQUS.SUMMARY", "ohlcv-1d", ["TSLA"], "raw_symbol", *span, feed=feed
    )
    other = put(tmp_path, "b", "XNAS.ITCH", "ohlcv-1d", ["TSLA"], "raw_symbol", *span, feed=feed)
    taken = import_dbn([other, official], lake=tmp_path / "lake")
    assert taken.select("dataset", "table", "rows").rows() == [
        ("EQUS.SUMMARY", "underlying_bars", 1),
        ("XNAS.ITCH", "", 0),
    ]
    assert lake.stored(tmp_path / "lake", lake.TABLES["underlying_bars"], "TSLA")[
        "close"
    ].to_list() == [271.5]


def without_end(path: Path) -> Path:
    """The header of a file of the vendor's own may name no end."""
    data = path.read_bytes()
    path.write_bytes(data[:34] + b"\xff" * 8 + data[42:])
    return path


def test_files_that_cannot_be_used_are_left_out_and_named_and_the_others_are_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, cut = bars(tmp_path), quotes(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-9])
    endless = without_end(minutes(tmp_path))
    (tmp_path / "text").write_text("no")
    (tmp_path / "zeros").write_bytes(b"DBN\x03\x64\0\0\0" + bytes(100))
    damaged = quotes(tmp_path, "cbbo-1m", names=("TSLA.OPT",))
    raw = bytearray(dbn_file(small_feed(), "OPRA.PILLAR", "cbbo-1m", ["TSLA.OPT"], "parent", *WEEK))
    raw[8 + int.from_bytes(raw[4:8], "little")] = 0
    damaged.write_bytes(raw)
    unused = put(tmp_path, "stock", "XNAS.ITCH", "ohlcv-1d", ["TSLA"], "raw_symbol", *WEEK)
    files = [
        cut,
        tmp_path / "text",
        endless,
        good,
        tmp_path / "gone",
        tmp_path / "zeros",
        damaged,
        unused,
    ]
    taken = import_dbn(files, lake=tmp_path / "lake", entry_time="close-15min")
    assert dict(taken.select("file", "problem").rows()) == {
        str(good): None,
        str(unused): None,
        str(cut): "was cut off: its last zstd frame has no end",
        str(
            endless
        ): "names no end in its header, so that it is not known which sessions it covers",
        str(
            tmp_path / "text"
        ): "is neither DBN nor zstd: zstd decompress error: Unknown frame descriptor",
        str(tmp_path / "zeros"): "is no DBN: its header says that it has 100 bytes",
        str(tmp_path / "gone"): "cannot be read: No such file or directory",
        str(damaged): "holds records of another schema than cbbo-1m",
    }
    assert set(taken.filter(pl.col("problem").is_not_null())["table"]) == {""}
    assert set(taken.filter(pl.col("problem").is_not_null())["rows"]) == {0}
    assert len(caplog.messages) == 6
    import_dbn([good], lake=tmp_path / "alone")
    assert lake.stored(tmp_path / "lake", lake.TABLES["option_bars"], "TSLA").equals(
        lake.stored(tmp_path / "alone", lake.TABLES["option_bars"], "TSLA")
    )
    assert not (tmp_path / "lake" / "option_quotes").exists()


def test_if_no_file_can_be_used_that_is_an_error_and_there_is_no_lake(tmp_path: Path) -> None:
    cut = quotes(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{cut.name} was cut off: its last zstd frame has no end"):
        import_dbn([cut], lake=tmp_path / "lake")
    with pytest.raises(DataError, match="gone cannot be read: No such file"):
        import_dbn([tmp_path / "gone"], lake=tmp_path / "lake")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory.*was cut off"):
        import_dbn([tmp_path, cut], lake=tmp_path / "lake")
    assert not (tmp_path / "lake").exists()
    with pytest.raises(InputError, match="no DBN files are named"):
        import_dbn([], lake=tmp_path / "lake")
    with pytest.raises(LakeError, match="must be a local folder"):
        import_dbn([cut], lake="s3://bucket/lake")


def test_spans_of_time_that_are_absurd(tmp_path: Path) -> None:
    data = dbn_file(small_feed(), "OPRA.PILLAR", "ohlcv-1d", ["TSLA.OPT"], "parent", *WEEK)
    for number, (start, end) in enumerate(
        [(WEEK[1], WEEK[0]), (0, 1), (2**64 - 3, 2**64 - 2), (2**64 - 1, 5)]
    ):
        path = tmp_path / str(number)
        path.write_bytes(
            data[:26] + start.to_bytes(8, "little") + end.to_bytes(8, "little") + data[42:]
        )
        with pytest.raises(DataError, match=rf"{path} (names no|has records from outside|covers)"):
            import_dbn([path], lake=tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


@pytest.mark.skipif(not REAL.is_dir(), reason="the vendor's files are not here")
def test_the_vendors_own_files_of_every_schema_pass_and_those_of_use_are_taken(
    tmp_path: Path,
) -> None:
    taken = import_dbn(sorted(REAL.glob("*.zst")), lake=tmp_path, entry_time="09:31")
    used = (
        taken.filter(pl.col("table") != "")
        .select("schema", "sessions", "rows")
        .sort("schema")
        .rows()
    )
    assert len(taken) == 11
    assert used == [("cbbo-1m", 1, 1), ("cbbo-1s", 1, 0), ("ohlcv-1d", 1, 1)]
    market = Market.open(tmp_path)
    assert market.option_bars is not None
    assert market.option_bars.row(0) == (
        "AAPL  250221C00250000",
        dt.date(2025, 2, 20),
        0.19,
        0.49,
        0.1,
        0.11,
        15861,
    )
    assert market.option_quotes.select("bid", "ask").rows() == [(0.43, 0.45)]


def test_the_small_market_reaches_as_far_as_its_wheels() -> None:
    assert DAYS[:4] == REACHED
