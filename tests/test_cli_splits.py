"""Splits on the command line: import, check and --accept-splits, run and sweep."""

import json
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from tests.market.build import DAY, quotes, symbol, table
from wheelvec import cli
from wheelvec.tables.suspected import SUSPECTED

Capture = pytest.CaptureFixture[str]
STRIKES = [380.0, 390.0, 400.0, 410.0, 500.0]
DAYS = [DAY("2020-08-27"), DAY("2020-08-28"), DAY("2020-08-31")]
PRICES = [500.04, 499.23, 129.04]


def tables(name: str) -> dict[str, pl.DataFrame]:
    """The 4 for 1 split of AAPL on 2020-08-31, under some name."""
    quoted = [
        {
            "underlying": name, "session": day, "ts": None, "underlying_price": price,
            "symbol": symbol(strike / (4 if price < 200 else 1), root=name, expiration="201016"),
            "bid": 1.0, "ask": 1.1,
        }
        for day, price in zip(DAYS, PRICES, strict=True)
        for strike in STRIKES
    ]  # fmt: skip
    bars = [
        {"underlying": name, "session": day} | dict.fromkeys(("open", "high", "low", "close"), p)
        for day, p in zip(DAYS, PRICES, strict=True)
    ]
    return {"option_quotes": quotes(*quoted), "underlying_bars": table("underlying_bars", *bars)}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A lake of a split that the table in the box has, and of one that it does not have."""
    for name in ("AAPL", "ZZZ"):
        wv.Market(**tables(name)).write(tmp_path / "lake")  # type: ignore[arg-type]
    return tmp_path / "lake"


def test_check_prints_the_row_that_explains_a_suspected_split(lake: Path, capsys: Capture) -> None:
    assert cli.main(["check", str(lake)]) == 0
    out = capsys.readouterr().out
    for name, known in (("AAPL", "yes"), ("ZZZ", "no")):
        line = next(text for text in out.splitlines() if f"{name},2020-08-31" in text)
        row = f"{name},2020-08-31,4,1,"
        assert line.split() == [name, "2020-08-31", "5", "of", "5", "4", "for", "1", known, row]
    assert max(map(len, out.splitlines())) <= 80
    assert not (lake / "splits.csv").exists()
    assert cli.main(["check", str(lake), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["explaining"]
    assert [(row["underlying"], row["numerator"], row["known"]) for row in found] == [
        ("AAPL", 4, True), ("ZZZ", 4, False),
    ]  # fmt: skip


def test_accept_splits_writes_the_rows_and_keeps_what_is_there(lake: Path, capsys: Capture) -> None:
    mine = "# mine\nunderlying,ex_date,numerator,denominator\nZZZ,2020-08-27,1,1\n"
    (lake / "splits.csv").write_text(mine)
    assert cli.main(["check", str(lake), "--accept-splits"]) == 0
    out = capsys.readouterr().out
    assert "splits.csv: 2 rows\n  AAPL,2020-08-31,4,1,\n  ZZZ,2020-08-31,4,1," in out
    held = (lake / "splits.csv").read_text()
    assert held == mine + "AAPL,2020-08-31,4,1\nZZZ,2020-08-31,4,1\n"
    assert wv.check(lake).splits.is_empty()
    assert wv.Market.open(lake).suspected_splits(["AAPL", "ZZZ"]).is_empty()
    assert cli.main(["check", str(lake), "--accept-splits"]) == 0
    assert "No split is suspected: nothing was written." in capsys.readouterr().out
    assert (lake / "splits.csv").read_text() == held


def test_an_event_without_a_ratio_is_left_to_the_user(tmp_path: Path, capsys: Capture) -> None:
    new = {"symbol": pl.col("symbol").str.replace("ZZZ ", "ZZY ")}
    made = tables("ZZZ")
    late = pl.col("session") == DAYS[2]
    made["option_quotes"] = pl.concat([
        made["option_quotes"].filter(~late),
        made["option_quotes"].filter(~late, pl.col("session") == DAYS[1])
        .with_columns(**new, session=DAYS[2]),
    ])  # fmt: skip
    made["underlying_bars"] = made["underlying_bars"].with_columns(
        pl.lit(500.0).alias(price) for price in ("open", "high", "low", "close")
    )
    wv.Market(**made).write(tmp_path / "lake")  # type: ignore[arg-type]
    assert cli.main(["check", str(tmp_path / "lake"), "--accept-splits"]) == 0
    out = capsys.readouterr().out
    assert "no ratio is named" in out
    assert "1 event without a ratio left out" in out
    assert not (tmp_path / "lake/splits.csv").exists()


def test_check_prints_what_the_prices_contradict(lake: Path, capsys: Capture) -> None:
    (lake / "splits.csv").write_text(
        "underlying,ex_date,numerator,denominator\nAAPL,2020-08-31,1,1\nZZZ,2020-08-28,2,1\n"
    )
    assert cli.main(["check", str(lake)]) == 0
    out = capsys.readouterr().out
    lines = [text.split() for text in out.splitlines()]
    assert ["AAPL", "2020-08-31", "1", "3.869", "499.23", "129.04"] in lines
    assert ["ZZZ", "2020-08-28", "2", "1.002", "500.04", "499.23"] in lines
    found = wv.check(lake)
    assert found.splits["underlying"].to_list() == ["ZZZ"]
    assert found.splits.schema == SUSPECTED
    assert wv.Market.open(lake).diagnostics.equals(found.broken)


@pytest.mark.parametrize("given", ["known", "mine.csv"])
def test_import_takes_splits(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, frame in tables("AAPL").items():
        frame.write_parquet(f"{name}.parquet")
    row = "AAPL,2020-08-31,4,1,"
    Path("mine.csv").write_text(f"underlying,ex_date,numerator,denominator,new_underlying\n{row}\n")
    line = ["import", "--option-quotes", "option_quotes.parquet", "--underlying-bars"]
    line += ["underlying_bars.parquet", "--lake", "lake", "--splits", given]
    assert cli.main(line) == 0
    assert Path("lake/splits.csv").read_text().splitlines()[1:] == [row]
    assert cli.main([*line, "--strict"]) == 0


def test_a_file_of_splits_that_is_none_is_one_clear_line(lake: Path, capsys: Capture) -> None:
    for given, text in (
        ("gone.csv", "splits gone.csv: no such file"),
        (str(lake), "it is a folder"),
    ):
        line = ["import", "--option-quotes", "q", "--underlying-bars", "u", "--lake", str(lake)]
        assert cli.main([*line, "--splits", given]) == 1
        assert text in capsys.readouterr().err


@pytest.mark.parametrize("given", ["known", "mine.csv"])
def test_an_import_of_vendors_files_takes_splits_too(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{day},AAPL,2020-10-16,{strike / (4 if price < 200 else 1)},Put,1.00,1.10"
        for day, price in zip(DAYS, PRICES, strict=True)
        for strike in STRIKES
    ]
    text = "\n".join(["date,act_symbol,expiration,strike,call_put,bid,ask", *rows])
    Path("chain.csv").write_text(text, encoding="utf-8")
    told = "underlying,ex_date,numerator,denominator\nAAPL,2020-08-31,4,1\nZZZ,2020-08-31,2,1\n"
    Path("mine.csv").write_text(told, encoding="utf-8")
    command = ["import", "eod", "chain.csv", "--layout", "dolt", "--lake", "lake"]
    assert cli.main([*command, "--splits", given]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "splits: 1 rows added, 0 replaced" in out
    assert ("unknown_underlying" in out) == (given == "mine.csv")
    market = wv.Market.open("lake")
    assert market.splits is not None
    assert market.splits.rows() == [("AAPL", DAYS[2], 4, 1, None)]
    assert cli.main([*command[:-1], "other", "--splits", "gone.csv"]) == 1
    assert "splits gone.csv: no such file" in capsys.readouterr().err
    assert not Path("other").exists()
