"""`wheelvec explain` and `why-not` answer questions about a saved run, and every command speaks JSON."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import wheelvec as wv
from wheelvec import cli

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake, the run `out`, and the portfolio `account` of it."""
    here = tmp_path_factory.mktemp("stories")
    wv.demo_market(symbols=["CHRL"], end="2024-03-28").write(here / "lake")
    config = wv.Config(schedule=wv.Schedule(symbols=["CHRL"], end_date="2024-02-09"))
    wv.backtest(wv.Market.open(here / "lake", symbols=["CHRL"]), config, out=here / "out")
    wv.simulate(wv.Result.load(here / "out")).save(here / "account")
    return here


def test_explain_tells_a_wheel(folders: Path, capsys: Capture) -> None:
    out, lake = str(folders / "out"), str(folders / "lake")
    wheel = wv.Result.load(out).wheels["wheel_id"][0]
    assert cli.main(["explain", out, wheel]) == 0
    alone, err = capsys.readouterr()
    assert err == ""
    assert alone.startswith(f"{wheel}: ")
    assert "market=market" in alone
    assert cli.main(["explain", out, wheel, "--lake", lake, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["wheel_id"], found["notes"]) == (wheel, [])
    assert {row["failed"] for row in found["candidates"]} >= {None, "delta"}


def test_why_not_tells_a_day(folders: Path, capsys: Capture) -> None:
    out, lake = str(folders / "out"), str(folders / "lake")
    assert cli.main(["why-not", out, "2024-02-05", "CHRL", "--lake", lake]) == 0
    text = capsys.readouterr().out
    assert text.startswith("CHRL on 2024-02-05: all_rejected_by_liquidity\n")
    assert "at most 20.0%" in text
    assert cli.main(["why-not", out, "2024-02-05", "CHRL", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["candidates"]) == ("all_rejected_by_liquidity", None)
    assert found["counts"]["n_in_range"] == 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "explain out CHRL_2024-01-02_999",
            "the result has no such wheel; it has 'CHRL_2024-01-02_0'",
        ),
        ("explain nowhere WHEEL", "nowhere"),
        ("why-not out yesterday CHRL", "session = 'yesterday': expected a date"),
        ("why-not out 2024-02-05 CHRLS", "did you mean 'CHRL'"),
    ],
)
def test_failures_are_one_line(
    folders: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: str, reason: str
) -> None:
    monkeypatch.chdir(folders)
    assert cli.main(words.split()) == cli.FAILED
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.count("\n") == 1
    assert reason in err


def test_show_opens_a_portfolio(folders: Path, capsys: Capture) -> None:
    folder = str(folders / "account")
    assert cli.main(["show", folder]) == 0
    text = capsys.readouterr().out
    assert "wheels taken" in text
    assert f"The result is in {folder}/\n" in text
    assert cli.main(["show", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["out"], found["account"]["cash"]) == (folder, 100_000.0)
    assert cli.main(["show", folder, "--table", "skipped"]) == 0
    assert capsys.readouterr().out.startswith("reason,")
    assert cli.main(["show", folder, "--table", "paths"]) == cli.FAILED
    assert "--table paths: a portfolio has daily, wheels" in capsys.readouterr().err
    assert cli.main(["show", str(folders / "out"), "--table", "daily"]) == cli.FAILED
    assert "--table daily: a run has records, wheels" in capsys.readouterr().err


def test_simulate_says_where_it_saved(folders: Path, capsys: Capture) -> None:
    again = folders / "again"
    assert cli.main(["simulate", str(folders / "out"), "--out", str(again)]) == 0
    assert (
        f"The result is in {again}/\n  benchmarks.parquet, daily.parquet" in capsys.readouterr().out
    )
    assert cli.main(["simulate", str(folders / "out")]) == 0
    assert "The result is in" not in capsys.readouterr().out


def test_init_prints_fields_for_other_programs(capsys: Capture) -> None:
    assert cli.main(["init", "--json"]) == 0
    rows = {row["field"]: row for row in json.loads(capsys.readouterr().out)["fields"]}
    assert rows["put.exit_pct"]["default"] == 0.5
    assert rows["account.order"]["allowed"] == "'record', 'premium', 'random'"


def test_report_says_where_its_page_is(folders: Path, capsys: Capture) -> None:
    pytest.importorskip("vl_convert")
    page = folders / "page.html"
    assert cli.main(["report", str(folders / "out"), "--out", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"page": str(page), "folders": [str(folders / "out")]}
    assert page.is_file()


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from commands(command)


def test_every_command_speaks_json() -> None:
    named = {command.prog: command.format_help() for command in commands(cli.parser())}
    assert len(named) > 12
    assert [name for name, text in named.items() if "--json" not in text] == ["wheelvec help"]
