"""`wheelvec bands` and `wheelvec verdict` ask how much of a figure is luck."""

import json
from pathlib import Path

import pytest

import wheelvec as wv
from wheelvec import cli
from wheelvec.inference.verdict import NO_ACCOUNT, NO_MARKET

WHEEL = '[schedule]\nend_date = "2024-01-09"\n'
GRID = "[put]\nexit_pct = [0.25, 0.5]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake, a configuration, a run and a sweep over it."""
    folder = tmp_path_factory.mktemp("verdicts")
    market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
    market.write(folder / "lake")
    (folder / "wheel.toml").write_text(WHEEL)
    (folder / "account.toml").write_text("[account]\ncash = 60000\n")
    (folder / "grid.toml").write_text(GRID)
    wheel, lake = str(folder / "wheel.toml"), str(folder / "lake")
    given = ["--lake", lake, "--quiet", "--out"]
    assert cli.main(["run", wheel, *given, str(folder / "out")]) == 0
    assert cli.main(["sweep", wheel, str(folder / "grid.toml"), *given, str(folder / "sweep")]) == 0
    return folder


def printed(capsys: pytest.CaptureFixture[str], *given: object) -> str:
    capsys.readouterr()
    assert cli.main([str(each) for each in given]) == 0
    return capsys.readouterr().out


def test_bands_of_a_file_and_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--lake", folder / "lake", "--seeds", "3")
    text = printed(capsys, "bands", folder / "wheel.toml", *options)
    assert text.startswith("avg_wheel_roc of the configuration as it is: ")
    assert "market: not known: bootstrap needs at least 30 entry sessions" in text
    of_file = json.loads(printed(capsys, "bands", folder / "wheel.toml", *options, "--json"))
    of_run = json.loads(printed(capsys, "bands", folder / "out", *options, "--json"))
    assert of_run == of_file
    assert [band["kind"] for band in of_run["bands"]] == ["fills", "seeds", "start", "market"]
    changed = printed(capsys, "bands", folder / "out", *options, "--set", "put.exit_pct=0.3")
    assert changed.splitlines()[0] != text.splitlines()[0]


def test_bands_of_an_account(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--account", folder / "account.toml", "--figure", "account_sharpe", "--json")
    options = ("--lake", folder / "lake", "--seeds", "3", *given)
    found = json.loads(printed(capsys, "bands", folder / "wheel.toml", *options))
    assert found["figure"] == "account_sharpe"
    assert found["bands"][3]["kind"] == "choice"


def test_verdict_of_a_sweep(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = json.loads(printed(capsys, "verdict", folder / "sweep", "--json"))
    assert {line["says"] for line in alone["lines"][:10]} == {NO_MARKET}
    assert "--lake" in NO_MARKET  # what a reader of the terminal can do
    assert "--account" in NO_ACCOUNT
    options = ("--lake", folder / "lake", "--prior-trials", "7")
    found = json.loads(printed(capsys, "verdict", folder / "sweep", *options, "--json"))
    assert found["tried"]["prior_trials"] == 7
    assert found["lines"][9]["says"] == NO_ACCOUNT
    assert found["survives"] is None
    text = printed(capsys, "verdict", folder / "sweep", *options)
    assert f"Row {found['row']} (put.exit_pct" in text
    assert "cannot be said  selection: SPA" in text
    other = printed(capsys, "verdict", folder / "sweep", "--row", 1 - found["row"], "--markdown")
    assert other.startswith(f"## Verdict\n\nRow {1 - found['row']} (put.exit_pct")
    account = ("--account", folder / "account.toml")
    text = printed(capsys, "verdict", folder / "sweep", *options, *account)
    assert "delta-matched stock needs at least 30 sessions" in " ".join(text.split())


def test_warnings_are_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = wv.Market.open(folder / "lake")
    bare = wv.Market(option_quotes=held.option_quotes, underlying_bars=held.underlying_bars)
    bare.write(tmp_path / "lake")
    lake = ("--lake", tmp_path / "lake")
    sweep = (folder / "wheel.toml", folder / "grid.toml", *lake, "--out", tmp_path / "sweep")
    printed(capsys, "sweep", *sweep, "--quiet")
    (warning,) = wv.Sweep.load(tmp_path / "sweep").warnings
    for command in (
        ("verdict", tmp_path / "sweep"),
        ("verdict", tmp_path / "sweep", *lake),
        ("bands", folder / "wheel.toml", *lake, "--seeds", "2"),
    ):
        found = json.loads(printed(capsys, *command, "--json"))["warnings"]
        assert [each["text"] for each in found] == [warning.text]
        assert f"intended - {warning}" in " ".join(printed(capsys, *command).split())
    page = printed(capsys, "verdict", tmp_path / "sweep", "--markdown")
    assert page.endswith(f"### Warnings\n\n- {warning}\n")


def test_page_of_a_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "verdict.html"
    plain = printed(capsys, "verdict", folder / "sweep")
    assert printed(capsys, "verdict", folder / "sweep", "--page", target) == plain
    assert "<h1>A verdict</h1>" in target.read_text(encoding="utf-8")
    mine = folder / "mine.toml"
    mine.write_text(WHEEL)
    assert cli.main(["verdict", str(folder / "sweep"), "--page", str(mine)]) == 1
    told = capsys.readouterr()
    assert "mine.toml is there, and no page of wheelvec" in told.err
    assert (mine.read_text(), told.out) == (WHEEL, "")


def test_errors_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verdict", str(folder / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert cli.main(["verdict", str(folder / "sweep"), "--by", "luck"]) == 1
    assert "unknown figure 'luck'" in capsys.readouterr().err
    given = ["bands", str(folder / "wheel.toml"), "--lake", str(folder / "lake")]
    assert cli.main([*given, "--seeds", "1"]) == 1
    assert "seeds = 1: expected a whole number from 2" in capsys.readouterr().err


def test_run_with_a_signal_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = wv.Market.open(folder / "lake")
    when = market.underlying_bars.select("session", "underlying").head(2)
    config = wv.Config.from_toml(folder / "wheel.toml")
    wv.backtest(market, config, when=when, out=tmp_path / "out")
    assert cli.main(["bands", str(tmp_path / "out"), "--lake", str(folder / "lake")]) == 1
    assert "ran with a signal, which is not saved with it" in capsys.readouterr().err
