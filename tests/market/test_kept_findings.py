"""Anomalies of an underlying are looked for once as long as its files stay the same."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from wheelvec.lake import files
from wheelvec.lake.lake import BaseLake
from wheelvec.tables.anomalies import Findings

BOTH = ["ALFA", "BRVO"]
SPLIT = pl.DataFrame(
    {"underlying": "ALFA", "ex_date": [dt.date(2023, 11, 1)], "numerator": 2, "denominator": 1}
)
START, END = "2023-10-02", "2024-01-31"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    wv.demo_market(symbols=["ALFA", "BRVO"], start=START, end=END).write(tmp_path / "lake")
    return tmp_path / "lake"


class Reads:
    """The tables and underlyings that are read in batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: list[str] = []
        real = BaseLake.batches

        def batches(lake: BaseLake, name: str, columns: Any = ()) -> Any:
            self.of += lake.underlyings(name)
            return real(lake, name, columns)

        monkeypatch.setattr(BaseLake, "batches", batches)

    def taken(self) -> set[str]:
        found, self.of = set(self.of), []
        return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def same(one: Findings, other: Findings) -> None:
    for name in one._fields:
        assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)


def test_what_is_kept_is_what_was_found(lake: Path, reads: Reads) -> None:
    found = wv.Market.open(lake).findings(["ALFA", "BRVO"])
    assert found.holes.height > 0
    assert reads.taken() == {"ALFA", "BRVO"}
    again = wv.Market.open(lake)
    same(again.findings(["ALFA", "BRVO"]), found)
    assert again.suspected_splits(["ALFA"]).height == 0
    assert reads.taken() == set()
    same(found, wv.demo_market(symbols=BOTH, start=START, end=END).findings(BOTH))


def test_a_backtest_reads_no_quote_twice_for_its_warnings(lake: Path, reads: Reads) -> None:
    first = wv.backtest(wv.Market.open(lake), out=lake.with_name("one"))
    assert reads.taken() == {"ALFA", "BRVO"}
    second = wv.backtest(wv.Market.open(lake), out=lake.with_name("two"))
    assert reads.taken() == set()
    assert first.warnings == second.warnings
    assert_frame_equal(first.records, second.records, check_exact=True)


def test_an_underlying_whose_file_is_another_is_looked_at_again(lake: Path, reads: Reads) -> None:
    wv.Market.open(lake).findings(BOTH)
    january = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end=END)
    rows = january.option_quotes.with_columns(pl.col("underlying_price") * 1.5)
    wv.Market(option_quotes=rows, underlying_bars=january.underlying_bars).write(lake)
    reads.taken()
    found = wv.Market.open(lake).findings(BOTH)
    assert reads.taken() == {"BRVO"}
    assert found.adjusted_prices["underlying"].unique().to_list() == ["BRVO"]


@pytest.mark.parametrize(
    "opened",
    [
        {"end": "2024-01-10"},
        {"trading_calendar": "24/5"},
        {"splits": SPLIT},
    ],
    ids=["days", "calendar", "splits"],
)
def test_other_days_sessions_or_events_are_other_findings(
    opened: dict[str, Any], lake: Path, reads: Reads
) -> None:
    wv.Market.open(lake).findings(["ALFA"])
    reads.taken()
    wv.Market.open(lake, **opened).findings(["ALFA"])
    assert reads.taken() == {"ALFA"}


def test_findings_are_not_kept_if_a_file_was_replaced_meanwhile(
    lake: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, real = wv.Market.open(lake), BaseLake.batches
    before = market.findings(["BRVO"])
    later = wv.demo_market(symbols=["ALFA"], start=START, end=END)

    def batches(of: BaseLake, name: str, columns: Any = ()) -> Any:
        yield from real(of, name, columns)
        if name == "option_quotes" and not later.is_verified:
            _ = later.digests
            rows = later.option_quotes.with_columns(pl.col("bid") / 2)
            wv.Market(option_quotes=rows, underlying_bars=later.underlying_bars).write(lake)

    monkeypatch.setattr(BaseLake, "batches", batches)
    market.findings(["ALFA"])
    assert not list((lake / ".summaries" / "findings" / "underlying=ALFA").glob("*.zip"))
    assert before.chain.height > 0


def test_what_is_kept_and_altered_is_looked_for_again(
    lake: Path, reads: Reads, caplog: pytest.LogCaptureFixture
) -> None:
    found = wv.Market.open(lake).findings(["ALFA"])
    (path,) = (lake / ".summaries" / "findings" / "underlying=ALFA").glob("*.zip")
    path.write_bytes(path.read_bytes()[:-1])
    reads.taken()
    same(wv.Market.open(lake).findings(["ALFA"]), found)
    assert reads.taken() == {"ALFA"}
    assert "was altered or cut" in caplog.text
    (path,) = path.parent.glob("*.zip")
    assert path.stem == files.digest_of(path.read_bytes())


def test_suspected_splits_are_kept_without_the_warnings(lake: Path, reads: Reads) -> None:
    first = wv.backtest(wv.Market.open(lake))
    assert reads.taken() == {"ALFA", "BRVO"}
    second = wv.backtest(wv.Market.open(lake))
    assert reads.taken() == set()
    assert_frame_equal(first.records, second.records, check_exact=True)
    # the rest of the findings is looked for when it is asked for, and then kept
    assert first.warnings == second.warnings
    reads.taken()
    same(wv.Market.open(lake).findings(BOTH), wv.Market.open(lake).findings(BOTH))
    assert reads.taken() == set()
