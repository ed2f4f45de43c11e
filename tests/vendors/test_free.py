"""The public set, tried with an invented one of the same form: from a folder, and from a server."""

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.vendors.made_up import PAID, made_up_set
from tests.vendors.mirror import Mirror, serving
from wheelvec import cli
from wheelvec.vendors import download, free


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of an invented set, and its digests."""
    folder = tmp_path_factory.mktemp("set")
    return folder, list(made_up_set(folder).values())


def served(folder: Path) -> "contextlib.AbstractContextManager[Mirror]":
    return serving({path.name: path.read_bytes() for path in folder.iterdir()})


def names(folder: Path) -> list[str]:
    """The items of a folder but the lake's own tables."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_digests_and_sizes_are_those_that_are_known() -> None:
    assert {name: [file.name for file in found] for name, found in free.SETS.items()} == {
        name: [f"{name}_options.parquet", f"{name}_underlying.parquet"]
        for name in ("SPY", "QQQ", "IWM")
    }
    assert [found[0].size for found in free.SETS.values()] == [631738559, 387476183, 308766441]
    for file in (file for found in free.SETS.values() for file in found):
        assert len(file.digest) in (0, 64)
    assert free.SETS["QQQ"][0].digest.startswith("1f831556cd87ec9d")
    assert free.RELEASE.startswith("https://github.com/lambdaclass/options_portfolio_backtester/")


def test_a_set_comes_into_the_lake(tmp_path: Path, made: tuple[Path, list[str]]) -> None:
    folder, digests = made
    got = wv.get("spy", lake=tmp_path / "lake", source=folder, accept=digests)
    assert got.files["state"].to_list() == ["accepted", "accepted"]
    assert got.files["digest"].to_list() == digests
    assert sorted(path.name for path in folder.iterdir()) == sorted(got.files["file"])
    market = wv.Market.open(tmp_path / "lake")
    assert market.symbols == ("SPY",)
    source = pl.read_parquet(folder / "SPY_options.parquet")
    assert market.option_quotes.height == source.height
    rows = market.option_quotes.select(pl.col("session").cast(pl.String), "strike", "bid", "ask")
    assert rows.sort(pl.all()).equals(
        source.select("date", "strike", "bid", "ask").rename({"date": "session"}).sort(pl.all())
    )
    daily = pl.read_parquet(folder / "SPY_underlying.parquet")
    assert market.underlying_bars["close"].to_list() == daily["close"].to_list()
    assert market.dividends is not None
    assert dict(market.dividends.select("ex_date", "amount").iter_rows()) == PAID
    assert ".incoming" not in names(tmp_path / "lake")


def test_the_lake_can_be_run(tmp_path: Path, made: tuple[Path, list[str]]) -> None:
    wv.get("SPY", lake=tmp_path, source=made[0], accept=made[1])
    market = wv.Market.open(tmp_path)
    index = wv.signals.iv_index(market)["iv_index"]
    assert index.count() > 50
    assert index.is_between(0.05, 1.0).sum() == index.count()


def test_a_mirror_is_fetched_and_what_was_fetched_is_removed(
    tmp_path: Path, made: tuple[Path, list[str]]
) -> None:
    seen: list[Any] = []
    with served(made[0]) as mirror:
        mirror.cuts = [1000]
        source = f"{mirror.url}/"
        wv.get("SPY", lake=tmp_path, source=source, accept=made[1], progress=lambda *n: seen.append(n))  # fmt: skip
        assert [path for path, _, _ in mirror.asked] == [
            "/SPY_options.parquet", "/SPY_options.parquet", "/SPY_underlying.parquet",
        ]  # fmt: skip
    assert seen[0][2] == "MB of SPY_options.parquet"
    assert ".incoming" not in names(tmp_path)
    assert wv.Market.open(tmp_path).symbols == ("SPY",)


def test_another_digest_is_said_and_must_be_accepted(
    tmp_path: Path, made: tuple[Path, list[str]]
) -> None:
    with served(made[0]) as mirror:
        with pytest.raises(
            wv.FetchError, match="another file than the one that was looked"
        ) as caught:
            wv.get("SPY", lake=tmp_path, source=mirror.url)
        assert made[1][0] in str(caught.value)
        assert "known is a7152991b45b81f0" in str(caught.value)
        assert "of 631,738,559 bytes" in str(caught.value)
        asked = len(mirror.asked)
        with pytest.raises(wv.FetchError, match=made[1][1]):
            wv.get("SPY", lake=tmp_path, source=mirror.url, accept=made[1][:1])
        assert names(tmp_path) == [".incoming"]
        wv.get("SPY", lake=tmp_path, source=mirror.url, accept=[d.upper() for d in made[1]])
        assert len(mirror.asked) == asked  # the files that were kept are used
    assert ".incoming" not in names(tmp_path)


def test_a_file_that_is_known_is_taken_as_it_is(
    tmp_path: Path, made: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    chains, daily = made[1]
    known = (
        free.PublicFile("SPY_options.parquet", chains, 1),
        free.PublicFile("SPY_underlying.parquet"),
    )
    monkeypatch.setitem(free.SETS, "SPY", known)
    got = wv.get("SPY", lake=tmp_path, source=made[0])
    assert got.files["state"].to_list() == ["as published", "not known"]
    assert got.files["digest"].to_list() == [chains, daily]


def test_only_the_days_asked_for(tmp_path: Path, made: tuple[Path, list[str]]) -> None:
    days = {"start": "2024-02-01", "end": dt.date(2024, 2, 29)}
    wv.get("SPY", lake=tmp_path, source=made[0], accept=made[1], **days)  # type: ignore[arg-type]
    market = wv.Market.open(tmp_path)
    assert market.data_range == (dt.date(2024, 2, 1), dt.date(2024, 2, 29))
    assert market.dividends is not None
    assert market.dividends["ex_date"].to_list() == [dt.date(2024, 2, 16)]
    assert ".staging" not in names(tmp_path)


@pytest.mark.parametrize(
    ("bounds", "asked"),
    [
        ({"start": "2031-01-01"}, "start 2031-01-01"),
        ({"end": "2001-02-03"}, "end 2001-02-03"),
        ({"start": "2031-01-01", "end": "2031-02-03"}, "start 2031-01-01 and end 2031-02-03"),
    ],
)
def test_days_that_the_files_do_not_have_are_named_with_those_that_they_have(
    bounds: dict[str, Any], asked: str, tmp_path: Path, made: tuple[Path, list[str]]
) -> None:
    folder, digests = made
    days = pl.read_parquet(folder / "SPY_options.parquet")["date"].cast(pl.String)
    with pytest.raises(wv.WheelvecError) as caught:
        wv.get("spy", lake=tmp_path / "lake", source=folder, accept=digests, **bounds)
    assert str(caught.value) == (
        f"{asked}: SPY_options.parquet has no row of these days, it has {days.min()} to {days.max()}"
    )


def test_dates_that_are_no_text_are_read_too(tmp_path: Path) -> None:
    made_up_set(tmp_path)
    for path in tmp_path.glob("*.parquet"):
        frame = pl.read_parquet(path).with_columns(pl.col("date").str.to_date().cast(pl.Datetime))
        frame.write_parquet(path)
    digests = [free.digest_of(path) for path in tmp_path.glob("*.parquet")]
    lake = tmp_path / "lake"
    wv.get("SPY", lake=lake, source=tmp_path, accept=digests, start="2024-03-01")
    assert wv.Market.open(lake).data_range == (dt.date(2024, 3, 1), dt.date(2024, 3, 28))


def test_a_split_of_the_daily_bars_becomes_one_of_the_lake(tmp_path: Path) -> None:
    digests = made_up_set(tmp_path, "IWM", splits={dt.date(2024, 2, 12): 2.0})
    lake = tmp_path / "lake"
    got = wv.get("IWM", lake=lake, source=tmp_path, accept=digests.values())
    assert got.imported.written.filter(table="splits")["added"].to_list() == [1]
    assert got.imported.notes == ()
    split = wv.Market.open(lake).splits
    assert split is not None
    assert split.rows() == [("IWM", dt.date(2024, 2, 12), 2, 1, None)]


def test_nothing_is_left_of_a_mirror_that_has_nothing(tmp_path: Path) -> None:
    lake = tmp_path / "new" / "lake"
    with serving({}) as mirror, pytest.raises(wv.FetchError, match="refuses it with status 404"):
        wv.get("SPY", lake=lake, source=mirror.url)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_changes_nothing(tmp_path: Path, made: tuple[Path, list[str]]) -> None:
    lake = tmp_path / "lake"
    for name in ("SPY_options.parquet", "SPY_underlying.parquet"):
        folder = tmp_path / name
        folder.mkdir()
        for path in made[0].iterdir():
            whole = path.read_bytes()
            kept = whole[: len(whole) // 2] if path.name == name else whole
            (folder / path.name).write_bytes(kept)
        digests = [free.digest_of(path) for path in folder.iterdir()]
        for days in ({}, {"start": "2024-02-01"}):
            with pytest.raises(wv.WheelvecError, match=name):
                wv.get("SPY", lake=lake, source=folder, accept=digests, **days)
    assert not lake.exists() or names(lake) == []


def test_the_lock_of_another_process_is_respected(tmp_path: Path) -> None:
    with (
        free._incoming(tmp_path),
        pytest.raises(wv.LakeError, match="another process is writing"),
    ):
        wv.get("SPY", lake=tmp_path, source="http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"symbol": "TSLA"}, "unknown symbol 'TSLA'; allowed: SPY, QQQ, IWM"),
        ({"source": "nowhere"}, "nowhere: no such folder, and no http address"),
        ({"source": "."}, "SPY_options.parquet: no such file"),
        ({"accept": ["abc"]}, "accept = 'abc': expected a SHA-256 digest"),
        ({"start": "soon"}, "start = 'soon': expected a date"),
        ({"start": "2024-02-01", "end": "2024-01-01"}, "start 2024-02-01 is after end 2024-01-01"),
    ],
)
def test_arguments_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(wv.InputError, match=expected):
        wv.get(**({"symbol": "SPY", "lake": tmp_path / "lake"} | arguments))
    assert list(tmp_path.iterdir()) == []


def command(*words: str | Path) -> int:
    return cli.main(["get", *map(str, words)])


def test_the_command_says_what_it_took_and_what_is_known_of_the_rights(
    tmp_path: Path, made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    accepted = [word for digest in made[1] for word in ("--accept-digest", digest)]
    lake = tmp_path / "lake"
    assert command("spy", "--lake", lake, "--from", made[0], *accepted) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    said = " ".join(shown.out.split())
    for text in ("the rights to the data themselves are unclear", "rows added", "Next:"):
        assert text in said
    assert f"SPY_options.parquet: accepted, SHA-256 {made[1][0]}" in said
    assert command("SPY", "--lake", lake, "--from", made[0], *accepted, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["files"][0]["digest"] == made[1][0]
    assert "MIT" in found["notice"]


def test_the_command_fails_in_one_line(
    tmp_path: Path, made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("spy", "--lake", tmp_path / "lake", "--from", made[0], "--quiet") == 1
    shown = capsys.readouterr()
    assert f"--accept-digest {made[1][0]}" in shown.err
    assert shown.err.count("\n") == 1
    assert command("tsla", "--lake", tmp_path / "lake") == 1
    assert "unknown symbol 'tsla'" in capsys.readouterr().err
