"""A lake that is opened without reading a row: from the ends of files, few of them verified."""

import datetime as dt
from pathlib import Path

import pytest

from tests.lake.test_lake import DAYS, flip, june, small_market
from wheelvec.lake import lake, parquet
from wheelvec.lake.lake import EVER, Lake
from wheelvec.market.market import Market
from wheelvec.model.errors import LakeError


def a_file(path: Path, underlying: str = "TSLA") -> parquet.MonthFile:
    return parquet.MonthFile(
        lake.TABLES["option_quotes"], underlying, dt.date(2023, 6, 1), june(path)
    )


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files of which every byte is read, as they are."""
    real, seen = parquet.MonthFile.footer, list[Path]()

    def footer(self: parquet.MonthFile) -> parquet.Footer:
        seen.append(self.path)
        return real(self)

    monkeypatch.setattr(parquet.MonthFile, "footer", footer)
    return seen


def test_a_market_says_what_it_has_from_the_ends_of_its_files(
    folder: Path, verified: list[Path]
) -> None:
    opened = Market.open(folder)
    assert opened.symbols == small_market().symbols
    assert verified == []
    assert opened.data_range == small_market().data_range
    # the first and the last day of each table, and nothing else
    tables = [name for name in opened._source.tables if name != "dividends"]
    assert len(verified) == 2 * len(tables)


@pytest.mark.parametrize("tail", [64, 1 << 13, 1 << 20])
def test_the_days_that_a_footer_states(
    folder: Path, tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what is read of the end does not reach to them."""
    monkeypatch.setattr(parquet, "_TAIL_BYTES", tail)
    file = a_file(folder)
    assert file.stated_days() == file.footer().days == (DAYS[0], DAYS[3])


def test_the_days_of_a_file_with_a_long_footer(folder: Path) -> None:
    """The length of what it states then takes two or three bytes."""
    file = a_file(folder)
    rows = small_market().quotes("TSLA", *EVER)
    for days in (1, 5, 200):
        aside = {f"2023-06-{1 + i % 28:02}": {"x" * i: i} for i in range(days)}
        file.path.unlink()
        parquet.write(file, rows, "0" * 32, aside)
        assert file.stated_days() == (DAYS[0], DAYS[-1])


def test_a_damaged_month_is_refused_when_it_is_read_and_not_before(folder: Path) -> None:
    flip(100)(june(folder))  # among the rows, and not in the footer
    opened = Market.open(folder)
    assert opened.symbols == small_market().symbols
    for read in (
        lambda: opened.window("TSLA", DAYS[0], DAYS[0]),
        lambda: opened.fingerprint,
        lambda: opened.option_quotes,
    ):
        with pytest.raises(LakeError, match=r"2023-06.parquet was altered since it was written"):
            read()


def test_a_footer_that_states_another_day_than_before(folder: Path) -> None:
    """One digit of the first day is altered: the range of the data must not follow it."""
    path = june(folder)
    data = path.read_bytes()
    stated = f'"first": "{DAYS[0]}"'.encode()
    assert data.count(stated) == 1
    path.write_bytes(data.replace(stated, stated.replace(b"2023-06-0", b"2023-05-0")))
    with pytest.raises(LakeError, match=r"2023-06.parquet was altered since it was written"):
        _ = Market.open(folder).data_range


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is truncated: its footer is missing"),
        (b"no Parquet at all", "is not a Parquet file"),
        (b"PAR1" + bytes(100), "is truncated: its footer is missing"),
        (b"PAR1 wheelvec.holds\x18\x04{]}!\x04\0\0\0PAR1", "is malformed|was not written by"),
    ],
)
def test_files_that_are_not_of_a_lake(folder: Path, content: bytes, reason: str) -> None:
    june(folder).write_bytes(content)
    with pytest.raises(LakeError, match=rf"2023-06\.parquet ({reason})"):
        _ = Market.open(folder).symbols


def test_a_file_of_another_underlying_and_one_that_is_gone(folder: Path) -> None:
    opened = Market.open(folder)
    june(folder).write_bytes(june(folder, underlying="BRK.B").read_bytes())
    with pytest.raises(LakeError, match=r"holds underlying BRK\.B, expected TSLA: it was moved"):
        _ = opened.symbols
    june(folder).unlink()
    with pytest.raises(LakeError, match="is missing: it was in this lake"):
        _ = opened.symbols


def test_a_month_that_is_replaced_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stated and verified values differ: the files are read again, three times at most."""
    opened = Lake.open(folder, *EVER)
    real, looks = parquet.MonthFile.stated_days, list[int]()

    def stated(self: parquet.MonthFile) -> parquet.Span | None:
        looks.append(1)
        days = real(self)
        early = len(looks) <= still and self.underlying == "TSLA" and days
        return (days[0] - dt.timedelta(1), days[1]) if early else days

    monkeypatch.setattr(parquet.MonthFile, "stated_days", stated)
    still = 1
    assert opened.span("option_quotes") == small_market().data_range
    still = 10**9
    with pytest.raises(LakeError, match="option_quotes of TSLA in 2023-06 was replaced"):
        opened.span("option_quotes")


def test_a_month_that_is_cut_is_read(folder: Path, verified: list[Path]) -> None:
    opened = Market.open(folder, start=DAYS[1], end=DAYS[2])
    assert opened.symbols
    assert verified
    assert opened.data_range == (DAYS[1], DAYS[2])
