"""Manifests list the files of a lake; other folders are refused, and other files in a lake are kept."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.lake.test_lake import DAYS, assert_same, june, small_market
from tests.market.build import DAY, market
from wheelvec.lake import answers, lake, listing, manifest, place, solved
from wheelvec.market.market import Market
from wheelvec.model.errors import InputError, LakeError
from wheelvec.vendors.databento.archive import import_dbn

# ---- what is missing


def test_a_lake_remembers_the_months_of_every_table(folder: Path) -> None:
    june, july = DAY("2023-06-01"), DAY("2023-07-01")
    assert manifest.underlyings(folder) == ["BRK.B", "TSLA"]
    held = {name: {june, july} for name in ("option_bars", "option_quotes", "underlying_bars")}
    assert manifest.read(folder, "TSLA") == held | {"dividends": {june}}
    assert manifest.read(folder, "BRK.B") == held
    assert manifest.read(folder, "NONE") == {}


@pytest.mark.parametrize("name", ["option_quotes", "option_bars", "underlying_bars", "dividends"])
@pytest.mark.parametrize("gone", ["file", "underlying", "table"])
def test_what_was_deleted_is_damage_like_any_other(folder: Path, name: str, gone: str) -> None:
    path = june(folder, name)
    if gone == "file":
        path.unlink()
    else:
        shutil.rmtree(path.parent if gone == "underlying" else path.parents[1])
    opened = Market.open(folder, symbols="TSLA")
    read: dict[str, Callable[[], Any]] = {
        "option_quotes": lambda: opened.window("TSLA", DAYS[0], DAYS[0]),
        "option_bars": lambda: opened.window("TSLA", DAYS[0], DAYS[0]),
        "underlying_bars": lambda: opened.underlying_bars,
        "dividends": lambda: opened.dividends,
    }
    message = rf"{name}/underlying=(\S+)/2023-06\.parquet is missing: .* import its rows or fetch them again; .*delete .*underlying=\1/manifest"
    for attempt in (
        read[name],
        lambda: opened.fingerprint,
        lambda: opened.diagnostics,
        lambda: Market.open(folder).fingerprint,
    ):
        with pytest.raises(LakeError, match=message):
            attempt()
    found = wv.check(folder).refused
    expected = {("underlying=TSLA", "06")} | (
        {("underlying=TSLA", "07")} if gone != "file" and name != "dividends" else set()
    )
    if gone == "table" and name != "dividends":
        expected |= {("underlying=BRK.B", "06"), ("underlying=BRK.B", "07")}
    assert set(found["path"]) == {f"{name}/{u}/2023-{month}.parquet" for u, month in expected}
    assert set(found["finding"]) == {"damaged"}


def test_a_lake_whose_tables_are_all_gone_is_still_one(folder: Path) -> None:
    for name in ("option_quotes", "option_bars", "underlying_bars", "dividends"):
        shutil.rmtree(folder / name)
    with pytest.raises(LakeError, match=r"2023-06\.parquet is missing"):
        _ = Market.open(folder).fingerprint
    assert len(wv.check(folder).refused) == 13


def test_what_is_missing_is_mended_by_importing_it_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    june(folder).unlink()
    small_market().write(folder)
    assert (
        "TSLA/2023-06.parquet was missing, and is made of what is written now, 16 rows: it may lack what it held"
        in caplog.text
    )
    assert_same(Market.open(folder), small_market())


def test_what_was_removed_on_purpose_is_forgotten_with_the_manifest(folder: Path) -> None:
    june(folder).unlink()
    manifest.path_of(folder, "TSLA").unlink()
    assert (
        DAY("2023-06-01")
        not in Market.open(folder).option_quotes.filter(pl.col("underlying") == "TSLA")["session"]
    )
    assert len(wv.check(folder).refused) == 0
    small_market([DAYS[-1]], option_bars=None, dividends=None).write(
        folder
    )  # the next write makes another of what is there
    assert manifest.read(folder, "TSLA")["option_quotes"] == {DAY("2023-07-01")}
    assert manifest.read(folder, "TSLA")["option_bars"] == {DAY("2023-06-01"), DAY("2023-07-01")}


def test_what_is_kept_beside_the_tables_is_missed_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market().write(tmp_path)
    answers.record(
        tmp_path, "TSLA", "option_quotes", {DAY("2023-06-06"): 1}, ("OPRA.PILLAR", "cmbp-1")
    )
    path = tmp_path / "answers" / "underlying=TSLA" / "2023-06.parquet"
    assert len(wv.check(tmp_path).refused) == 0
    path.unlink()
    assert answers.recorded(
        tmp_path, "TSLA"
    ).is_empty()  # for whoever completes a lake it is lacking, which is said
    assert (
        "answers/underlying=TSLA/2023-06.parquet is missing: what it held is taken for lacking"
        in caplog.text
    )
    assert wv.check(tmp_path).refused["path"].to_list() == [
        "answers/underlying=TSLA/2023-06.parquet"
    ]


def test_a_crash_before_the_manifest_is_no_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = DAY("2023-05-01")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "add", crash)
        with pytest.raises(KeyboardInterrupt):
            small_market([*DAYS, may]).write(folder)
    assert may not in manifest.read(folder, "BRK.B")["option_quotes"]
    assert len(Market.open(folder, symbols="BRK.B").window("BRK.B", may, may).quotes) == 4
    assert len(wv.check(folder).refused) == 0
    small_market([*DAYS, may]).write(folder)
    assert may in manifest.read(folder, "BRK.B")["option_quotes"]
    assert_same(Market.open(folder), small_market([*DAYS, may]))


def test_a_lake_of_a_former_version_reads_and_gets_manifests_by_its_next_write(
    folder: Path,
) -> None:
    shutil.rmtree(folder / manifest.FOLDER)
    (june(folder).parent / ".2023-06.99.0123abcd.tmp").write_text(
        "left by a former version's killed writer"
    )
    assert_same(Market.open(folder), small_market())
    assert_same(Market.open(folder, symbols=["TSLA"]), Market.open(folder, symbols=["TSLA"]))
    small_market().write(folder)
    assert manifest.underlyings(folder) == ["BRK.B", "TSLA"]
    assert set(manifest.read(folder, "TSLA")) == {
        "option_quotes",
        "option_bars",
        "underlying_bars",
        "dividends",
    }
    assert not list(folder.rglob("*.tmp"))


def other_format(said: dict[str, Any]) -> dict[str, Any]:
    return said | {"format": 9}


def signed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[bytes], bytes]:
    """A manifest of other content whose digest is right: as another version might write it."""

    def changed(data: bytes) -> bytes:
        said = json.loads(data)
        said.pop("digest")
        return manifest._bytes(change(said))

    return changed


HARM: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "was cut or altered"),
    "cut": (lambda data: data[:-30], "was cut or altered"),
    "a bit": (lambda data: data.replace(b"2023-06", b"2023-05", 1), "was cut or altered"),
    "a blank": (lambda data: data + b" ", "was cut or altered"),
    "a list": (lambda data: b"[]", "was cut or altered"),
    "a number": (lambda data: b"7", "was cut or altered"),
    "not text": (lambda data: b"\xff\xfe", "was cut or altered"),
    "deep": (lambda data: b"[" * 100_000, "was cut or altered"),
    "without a digest": (lambda data: json.dumps({"format": 1}).encode(), "was cut or altered"),
    "another format": (
        signed(other_format),
        "has format 9, expected 1: another version of wheelvec wrote it",
    ),
    "another underlying": (
        signed(lambda said: said | {"underlying": "BRK.B"}),
        "is the manifest of 'BRK.B', expected 'TSLA'",
    ),
}


@pytest.mark.parametrize("case", HARM)
def test_a_manifest_that_is_not_what_it_should_be_is_refused(folder: Path, case: str) -> None:
    harm, reason = HARM[case]
    path = manifest.path_of(folder, "TSLA")
    path.write_bytes(harm(path.read_bytes()))
    for attempt in (
        lambda: Market.open(folder),
        lambda: Market.open(folder, symbols=["TSLA"]),
        lambda: small_market().write(folder),
        lambda: lake.stored(folder, lake.TABLES["option_quotes"], "TSLA"),
    ):
        with pytest.raises(LakeError, match=rf"underlying=TSLA/manifest\.json {reason}"):
            attempt()
    assert len(Market.open(folder, symbols=["BRK.B"]).option_quotes) == 24
    found = wv.check(folder).refused
    assert found.select("path", "finding").rows() == [
        (".manifests/underlying=TSLA/manifest.json", "damaged")
    ]


def test_a_limited_open_looks_at_its_own_underlyings_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, listed = [], []
    reading, listing_months = manifest.read, listing._months
    monkeypatch.setattr(
        manifest, "read", lambda root, name: read.append(name) or reading(root, name)
    )
    monkeypatch.setattr(
        listing,
        "_months",
        lambda path, refuse: listed.append(path.name) or listing_months(path, refuse),
    )
    assert Market.open(folder, symbols=["TSLA"]).symbols == ("TSLA",)
    assert (read, set(listed)) == (["TSLA"], {"underlying=TSLA"})


def test_two_folders_of_one_underlying_are_not_read_as_one(folder: Path) -> None:
    shutil.copytree(june(folder).parent, folder / "option_quotes" / "underlying=TSL%41")
    with pytest.raises(
        LakeError,
        match=r"underlying=TSL%41 is out of place; expected its name to be underlying=TSLA",
    ):
        Market.open(folder)


def test_all_that_a_lake_keeps_beside_its_tables_is_known_by_name() -> None:
    assert {table.name for table in answers.KEPT_BESIDE} | {solved.FOLDER} == set(place.BESIDE)


# ---- whose folder it is


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def result(folder: Path) -> None:
    held = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-03-01")
    config = wv.Config.from_dict(
        {"schedule": {"start_date": dt.date(2024, 1, 2), "end_date": dt.date(2024, 1, 10)}}
    )
    wv.backtest(held, config).save(folder)


def project(folder: Path) -> None:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "strategy.py").write_text("print()")
    (folder / "option_quotes").mkdir()


def vendors_files(folder: Path) -> None:
    (folder / "option_quotes").mkdir(parents=True)
    (folder / "option_quotes" / "2023.csv").write_text("a,b")


def home(folder: Path) -> None:
    folder.mkdir()
    (folder / ".profile").write_text("")


OTHERS = {
    "a result": (result, "result.json"),
    "a project": (project, "src"),
    "a vendor's tables": (vendors_files, "option_quotes/2023.csv"),
    "a home": (home, r"\.profile"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(
    tmp_path: Path, case: str
) -> None:
    make, found = OTHERS[case]
    folder = tmp_path / "folder"
    make(folder)
    before = content(folder), sorted(folder.rglob("*"))
    with pytest.raises(
        LakeError,
        match=rf"folder is no lake, and is left as it is: it holds .*{found}.*; choose a folder that",
    ):
        small_market().write(folder)
    with pytest.raises(LakeError, match="is no lake, and is left as it is"):
        wv.fetch(symbols="TSLA", start="2023-06-06", end="2023-06-07", lake=folder)
    with pytest.raises(LakeError, match="is no lake, and is left as it is"):
        import_dbn([], lake=folder)
    assert (content(folder), sorted(folder.rglob("*"))) == before


def test_a_lake_an_empty_folder_and_none_yet_are_taken(folder: Path, tmp_path: Path) -> None:
    (folder / "README").write_text(
        "bought in 2023"
    )  # somebody's own note in a lake that is there stays
    (folder / "solved_chains").mkdir()
    (tmp_path / "empty" / ".incoming").mkdir(parents=True)
    (tmp_path / "empty" / ".DS_Store").write_text("")
    for taken in (folder, tmp_path / "empty", tmp_path / "deep" / "down"):
        small_market().write(taken)
        assert_same(Market.open(taken), small_market())
    assert (folder / "README").read_text() == "bought in 2023"


def test_an_unknown_symbol_is_still_named(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"'TSLAA' \(did you mean 'TSLA'\?\); allowed: BRK\.B, TSLA"
    ):
        Market.open(folder, symbols=["TSLAA"])
