"""The kept summaries of `check`: with them it finds the same as without, whatever the lake holds."""

import dataclasses
import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wheelvec as wv
from tests.market.build import DAY
from wheelvec import cli
from wheelvec.demo.synthetic import demo_tables
from wheelvec.lake import files, inspection, kept_frames, summaries, summary_cache
from wheelvec.lake.inspection import Inspection
from wheelvec.model.errors import LakeError

Tables = dict[str, pl.DataFrame]
FIRST, LAST = DAY("2024-01-02"), DAY("2024-04-30")
ROWS = pl.int_range(pl.len())


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of about two months, so that a lake has several."""
    monkeypatch.setattr(summaries, "_BATCH_ROWS", 3_000)


@pytest.fixture(scope="module")
def whole() -> Tables:
    return demo_tables(symbols=["BRVO", "CHRL"], start=FIRST, end=LAST)


@pytest.fixture(scope="module")
def clean(whole: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of `whole`, not to be changed."""
    folder = tmp_path_factory.mktemp("clean") / "lake"
    wv.Market(**whole).write(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    """A copy that a test may change, checked once."""
    copy = shutil.copytree(clean, tmp_path / "lake")
    wv.check(copy)
    return copy


def same(found: Inspection, expected: Inspection) -> None:
    for field in dataclasses.fields(found):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert one.equals(other), (field.name, one, other)


def kept(lake: Path) -> dict[str, set[str]]:
    """The keys of the summaries of each underlying."""
    return {name: set(summary_cache.read(lake, name)) for name in ("BRVO", "CHRL")}


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[summaries.Batch]:
    """The batches of options that are decoded from here on."""
    found, working = [], summaries.summary

    def spy(lake: Any, batch: summaries.Batch, sessions: Any) -> summaries.Summary:
        found.extend([batch] if batch.table in summary_cache.TABLES else [])
        return working(lake, batch, sessions)

    monkeypatch.setattr(summaries, "summary", spy)
    return found


def joined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The underlyings whose summaries are joined from here on."""
    found, working = [], inspection._WholeFiles._underlying

    def spy(whole: Any, underlying: str, *more: Any) -> Any:
        found.append(underlying)
        return working(whole, underlying, *more)

    monkeypatch.setattr(inspection._WholeFiles, "_underlying", spy)
    return found


# ---- oddities, each of some rows of a table

QUOTES = {
    "crossed": {"bid": pl.col("ask") + 1.0},
    "no side": {"ask": pl.lit(None, pl.Float64)},
    "negative": {"bid": pl.lit(-1.0)},
    "no price": {"underlying_price": pl.lit(None, pl.Float64)},
    "twice the price": {"underlying_price": pl.col("underlying_price") * 2.0},
    "a holiday": {"session": pl.lit(DAY("2024-01-15"))},
    "another day": {"session": pl.col("session") + pl.duration(days=1)},
    "an hour later": {"ts": pl.col("ts") + pl.duration(hours=1)},
    "a source": {"underlying_source": pl.lit("parity")},
}
DAYS = st.integers(0, 80).map(lambda n: FIRST + dt.timedelta(days=n))


def of_brvo(rows: pl.DataFrame) -> pl.Expr:
    """The rows of one of the two underlyings; bars of options name it in the symbol alone."""
    name = "underlying" if "underlying" in rows.columns else "symbol"
    return pl.col(name).str.starts_with("BRVO")


def odd_tables(
    whole: Tables, odd: list[tuple[str, int]], gap: tuple[dt.date, int], dropped: int
) -> Tables:
    quotes, bars = whole["option_quotes"], whole["option_bars"]
    quotes = quotes.with_columns(underlying_source=pl.lit(None, pl.String))
    for name, every in odd:
        chosen = ROWS % every == every // 2
        quotes = quotes.with_columns(
            pl.when(chosen).then(value).otherwise(pl.col(column)).alias(column)
            for column, value in QUOTES[name].items()
        )
    lacking = pl.col("session").is_between(gap[0], gap[0] + dt.timedelta(days=gap[1]))
    strikes = pl.col("symbol").str.slice(13, 6).cast(pl.Int64) % 11 == dropped
    return whole | {
        "option_quotes": quotes.filter(~lacking, ~strikes | (pl.col("session") < gap[0])),
        "option_bars": bars.filter(~lacking | (pl.col("symbol").str.slice(12, 1) == "P")),
        "underlying_bars": whole["underlying_bars"].filter(pl.col("session") != gap[0]),
    }


@settings(max_examples=8, deadline=None)
@given(
    odd=st.lists(st.tuples(st.sampled_from(sorted(QUOTES)), st.integers(40, 900)), max_size=4),
    gap=st.tuples(DAYS, st.integers(0, 9)),
    dropped=st.integers(0, 14),
    calendar=st.sampled_from(["NYSE", "NYSE", "LSE"]),
)
def test_with_what_is_kept_check_finds_what_it_finds_without(
    odd: list[tuple[str, int]],
    gap: tuple[dt.date, int],
    dropped: int,
    calendar: str,
    whole: Tables,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lake = tmp_path_factory.mktemp("odd") / "lake"
    whole = {name: rows.filter(of_brvo(rows)) for name, rows in whole.items()}
    wv.Market(**odd_tables(whole, odd, gap, dropped)).write(lake)  # type: ignore[arg-type]
    expected = wv.check(lake, calendar, deep=True)
    same(wv.check(lake, calendar), expected)
    same(wv.check(lake, calendar), expected)


# ---- when it holds


def test_an_unchanged_lake_is_not_decoded_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = decoded(monkeypatch)
    expected = wv.check(folder, deep=True)
    assert {batch.table for batch in found} == set(summary_cache.TABLES)
    assert len(found) > 4
    found.clear()
    same(wv.check(folder), expected)
    assert cli.main(["check", str(folder)]) == 0
    assert found == []
    assert cli.main(["check", str(folder), "--deep"]) == 0
    assert found


def test_only_the_months_around_a_changed_one_are_decoded(
    folder: Path, whole: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept(folder)
    april = pl.col("session") >= DAY("2024-04-29")
    quotes = whole["option_quotes"].filter(april, pl.col("underlying") == "CHRL")
    quotes = quotes.with_columns(bid=pl.col("bid") / 2)
    tables: Any = whole | {"option_quotes": quotes}
    wv.Market(**tables).write(folder)
    found = decoded(monkeypatch)
    changed = wv.check(folder)
    assert {(batch.table, batch.underlying) for batch in found} == {("option_quotes", "CHRL")}
    assert all(DAY("2024-04-01") in batch.months for batch in found)
    after = kept(folder)
    assert after["BRVO"] == before["BRVO"]
    assert len(after["CHRL"] - before["CHRL"]) == len(before["CHRL"] - after["CHRL"]) == 1
    same(changed, wv.check(folder, deep=True))


def test_findings_are_made_anew_of_a_changed_underlying_alone(
    folder: Path, whole: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = joined(monkeypatch)
    wv.check(folder)
    assert again == []
    bars = whole["underlying_bars"].filter(
        pl.col("underlying") == "CHRL", pl.col("session") == DAY("2024-03-05")
    )
    prices = [pl.col(each) * 2.0 for each in ("open", "high", "low", "close")]
    tables: Any = {"option_quotes": whole["option_quotes"].clear()}
    wv.Market(**tables, underlying_bars=bars.with_columns(prices)).write(folder)
    found = wv.check(folder)
    assert again == ["CHRL"]
    assert found.coverage.filter(pl.col("gap") < -0.4)["session"].to_list() == [DAY("2024-03-05")]
    same(found, wv.check(folder, deep=True))


def test_a_stated_split_makes_the_findings_of_its_underlying_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = joined(monkeypatch)
    (folder / "splits.csv").write_text(
        "underlying,ex_date,numerator,denominator,new_underlying\nBRVO,2024-03-05,7,1,\n"
    )
    found = wv.check(folder)
    assert again == ["BRVO"]
    assert found.contradicted["underlying"].to_list() == ["BRVO"]
    same(found, wv.check(folder, deep=True))


def test_later_data_of_one_underlying_end_the_others(folder: Path) -> None:
    later = demo_tables(symbols=["BRVO"], start=LAST + dt.timedelta(1), end=DAY("2024-05-15"))
    wv.Market(**later).write(folder)  # type: ignore[arg-type]
    found = wv.check(folder)
    assert found.ended["underlying"].to_list() == ["CHRL"]
    same(found, wv.check(folder, deep=True))


def test_what_is_found_while_a_file_is_replaced_is_not_kept(
    folder: Path, whole: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are then not those of the digests under which it would be kept."""
    before = folder.parent / "before"
    shutil.copytree(folder / "underlying_bars", before)
    findings(folder).unlink()
    prices = [pl.col(each) * 2.0 for each in ("open", "high", "low", "close")]
    bars = whole["underlying_bars"].with_columns(prices)
    working = summaries.joined

    def replaced(found: Any) -> Any:
        wv.Market(option_quotes=whole["option_quotes"].clear(), underlying_bars=bars).write(folder)
        return working(found)

    with monkeypatch.context() as patched:
        patched.setattr(summaries, "joined", replaced)
        assert wv.check(folder).adjusted.height
    shutil.rmtree(folder / "underlying_bars")
    before.rename(folder / "underlying_bars")
    assert wv.check(folder).adjusted.is_empty()


def test_a_calendar_by_which_days_are_no_sessions_is_another_summary(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = decoded(monkeypatch)
    london = wv.check(folder, "LSE")
    assert found
    assert "not_a_session" in london.broken["reason"].to_list()
    same(wv.check(folder), wv.check(folder, deep=True))


def test_damage_is_seen_whatever_is_kept(folder: Path) -> None:
    file = folder / "option_quotes" / "underlying=BRVO" / "2024-02.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    found = wv.check(folder)
    assert found.refused["path"].to_list() == ["option_quotes/underlying=BRVO/2024-02.parquet"]
    same(found, wv.check(folder, deep=True))


# ---- when it does not


def place(lake: Path) -> Path:
    (found,) = (lake / ".summaries" / "underlying=BRVO").glob("*.zip")
    return found


def findings(lake: Path) -> Path:
    (found,) = (lake / ".summaries").glob("*.zip")
    return found


HARMS = ("cut", "altered", "foreign", "renamed")


def harmed(path: Path, harm: str) -> None:
    data = path.read_bytes()
    altered = bytearray(data)
    altered[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:-9], "altered": altered, "foreign": b"no"}.get(harm, data))
    if harm == "renamed":
        path.rename(path.with_name(f"{'0' * 32}.zip"))


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_cache_is_made_anew(folder: Path, harm: str) -> None:
    before = kept(folder)
    findings(folder).unlink()
    harmed(place(folder), harm)
    assert summary_cache.read(folder, "BRVO") == {}
    found = wv.check(folder)
    assert kept(folder) == before
    same(found, wv.check(folder, deep=True))


@pytest.mark.parametrize("harm", HARMS)
def test_harmed_findings_are_made_anew(
    folder: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    harmed(findings(folder), harm)
    again = joined(monkeypatch)
    found = wv.check(folder)
    assert again == ["BRVO", "CHRL"]
    same(found, wv.check(folder))
    assert again == ["BRVO", "CHRL"]
    same(found, wv.check(folder, deep=True))


def test_a_cache_of_another_form_is_left_aside(folder: Path) -> None:
    """As one is whose frames an earlier version wrote, whatever their digest."""
    for cache in (folder / ".summaries", place(folder).parent):
        frame = {"tally": pl.DataFrame({"count": [1]}), "gone": pl.DataFrame({"a": [1]})}
        kept_frames.write(cache, {"of another": kept_frames.Kept(frame, {})})
    same(wv.check(folder), wv.check(folder, deep=True))


def test_a_lake_that_cannot_be_written_to_is_checked_all_the_same(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = shutil.copytree(clean, tmp_path / "lake")

    def refused(*_: Any, **__: Any) -> Any:
        raise LakeError("read-only file system")

    monkeypatch.setattr(files, "locked", refused)
    same(wv.check(lake), wv.check(lake, deep=True))
    assert kept(lake) == {"BRVO": set(), "CHRL": set()}


def test_the_cache_is_part_of_a_lake_and_no_data(folder: Path, whole: Tables) -> None:
    assert kept(folder)["BRVO"]
    assert len(wv.check(folder).files) == 0
    wv.Market(**whole).write(folder)  # type: ignore[arg-type]
    shutil.rmtree(folder / ".summaries")
    same(wv.check(folder), wv.check(folder, deep=True))
