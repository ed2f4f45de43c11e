"""The command line: what it prints and writes, and that what fails is one line and leaves nothing
behind.
"""

import importlib.metadata
import io
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from wheelvec import cli
from wheelvec.cli import results
from wheelvec.demo import synthetic
from wheelvec.run.results.store import SweepStore

ESCAPE = "\x1b"
WHEEL = """
[schedule]
start_date = 2024-01-02
end_date = 2024-01-31
symbols = ["BRVO"]
"""
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small market's tables as Parquet files."""
    folder = tmp_path_factory.mktemp("tables")
    made = synthetic.demo_tables(symbols=("BRVO", "CHRL"), start="2024-01-02", end="2024-03-28")
    for name in ("option_quotes", "option_bars", "underlying_bars"):
        made[name].write_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def lake(tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same market as a lake."""
    folder = tmp_path_factory.mktemp("lakes") / "lake"
    frames: dict[str, Any] = {path.stem: pl.read_parquet(path) for path in tables.glob("*.parquet")}
    wv.Market(**frames).write(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages have separate tests (test_cli_report), and take longer than small runs do."""
    monkeypatch.setattr(results, "write_beside", lambda *_: None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a configuration in it."""
    (tmp_path / "wheel.toml").write_text(WHEEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: object, cwd: Path, **more: object) -> "subprocess.CompletedProcess[str]":
    """The command line in a separate process, its output piped."""
    line = [sys.executable, "-m", "wheelvec.cli", *map(str, arguments)]
    return subprocess.run(
        line, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **more
    )  # type: ignore[call-overload,no-any-return]


def shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.2f}"


def rows(text: str) -> dict[str, str]:
    """Label -> value of every row of the summary."""
    found = re.findall(r"^  +(\S.*?) {2,}(-?[\d,.]+%?|-)(?:  .*)?$", text, re.MULTILINE)
    return dict(found)


# ---------------------------------------------------------------------------------------------- what succeeds


def test_demo_writes_a_result_and_prints_its_figures(here: Path) -> None:
    done = command("demo", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    result = wv.Result.load(here / "demo-result")
    result.validate()
    figures, text = result.summary(), rows(done.stdout)
    assert result.config.schedule.start_date == synthetic.DEMO_START
    assert result.config.schedule.end_date == synthetic.DEMO_END
    assert int(text["launched"].replace(",", "")) == result.wheels.height > 0
    assert int(text["in the summary"].replace(",", "")) == figures["total_wheels"]
    assert text["total P&L"] == shown(figures["total_pnl"])
    assert text["total P&L at worst"] == shown(figures["total_pnl_worst"])
    assert text["win rate"] == shown(figures["win_rate"]) + "%"
    assert text["ROC average"] == shown(figures["avg_wheel_roc"]) + "%"
    assert text["ROC median"] == shown(figures["median_wheel_roc"]) + "%"
    assert text["ROC least"] == shown(figures["min_wheel_roc"]) + "%"
    assert text["ROC greatest"] == shown(figures["max_wheel_roc"]) + "%"
    assert text["average days held"] == shown(figures["avg_days_held"])
    for label, name in {
        "censored": "censored_wheels",
        "open": "open_wheels",
        "of these marked": "marked_wheels",
    }.items():
        assert int(text[label].replace(",", "")) == figures[name]
    outcomes = dict(result.diagnostics["outcome"].value_counts().rows())
    assert {name: int(text[name].replace(",", "")) for name in outcomes} == outcomes
    assert (
        json.loads((here / "demo-result" / "summary.json").read_text(encoding="utf-8")) == figures
    )
    assert "The result is in demo-result/" in done.stdout
    assert ESCAPE not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert not re.search(r"nan|none|null", done.stdout, re.IGNORECASE)
    assert {path.name for path in here.iterdir()} == {
        *("wheel.toml", "demo-result", "demo-result.html"),
    }
    launched = result.wheels.height
    assert (
        f"Figures of {figures['total_wheels']:,} wheels in the summary of {launched:,} launched"
        in done.stdout
    )
    assert f"Ends of all {launched:,} wheels launched" in done.stdout
    assert text["marked"] == shown(figures["marked_pnl"])
    assert text["realised"] == shown(figures["total_pnl"] - figures["marked_pnl"])
    assert "Warnings" not in done.stdout
    assert result.warnings == ()


def test_run_gives_what_backtest_gives(here: Path, lake: Path, capsys: Capture) -> None:
    assert cli.main(["run", "wheel.toml", "--lake", str(lake), "--out", "deep/out"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    config = wv.Config.from_toml("wheel.toml")
    expected = wv.backtest(wv.Market.open(lake, symbols=["BRVO"], start="2024-01-02"), config)
    saved = wv.Result.load("deep/out")
    assert saved.config == config
    assert saved.fingerprint == expected.fingerprint
    assert saved.records.height > 0
    assert saved.records.equals(expected.records)
    assert rows(out)["total P&L"] == shown(expected.summary()["total_pnl"])
    assert "2024-01-02 to 2024-01-31: BRVO" in out


def test_run_takes_the_rule_set_and_replaces_an_earlier_result(
    here: Path, lake: Path, capsys: Capture
) -> None:
    line = ["run", "wheel.toml", "--lake", str(lake), "--out", "out"]
    assert cli.main(line) == 0
    assert cli.main([*line, "--quiet"]) == 0  # the same once more
    assert cli.main([*line, "--rules", "v5", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert "out: holds another result: its configuration has other rules;" in one_line(err)
    assert ".lock" not in out
    assert wv.Result.load("out").config.rules == "ledger"
    assert cli.main([*line, "--rules", "v5", "--quiet", "--overwrite"]) == 0
    assert wv.Result.load("out").config.rules == "v5"
    assert out.count("\n  launched ") == 1  # --quiet leaves only where the result lies


def test_warnings_are_a_section_of_what_is_printed(
    here: Path, tables: Path, capsys: Capture
) -> None:
    """The same section by run and sweep, within eighty columns, the first three of a kind."""
    held: dict[str, Any] = {path.stem: pl.read_parquet(path) for path in tables.glob("*.parquet")}
    held["underlying_bars"] = held["underlying_bars"].with_columns(
        pl.col("open", "high", "low", "close") * 0.5
    )
    wv.Market(**held).write("mine")
    (here / "grid.toml").write_text("[put]\nexit_pct = [0.25, 0.5]\n", encoding="utf-8")
    sections = []
    for line in (["run", "wheel.toml"], ["sweep", "wheel.toml", "grid.toml"]):
        assert cli.main([*line, "--lake", "mine", "--out", line[0]]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80
        sections.append(
            " ".join(out.partition("\nWarnings: ")[2].partition("The result is in")[0].split())
        )
    assert re.match(r".*- BRVO: on \d+ sessions, 2024-01-02 to ", sections[0])
    assert "the closes are 0." in sections[0]
    assert sections[0] == sections[1]


def test_without_wheels_the_output_says_why(here: Path, lake: Path, capsys: Capture) -> None:
    strict = WHEEL + "[put]\ndelta_min = 0.001\ndelta_max = 0.002\n"
    (here / "wheel.toml").write_text(strict, encoding="utf-8")
    assert cli.main(["run", "wheel.toml", "--lake", str(lake), "--out", "out"]) == 0
    out = capsys.readouterr().out
    assert "No wheel was launched" in out
    assert int(rows(out)["no_candidate_in_range"]) > 0
    assert not re.search(r"nan|none\b|null", out, re.IGNORECASE)
    assert wv.Result.load("out").wheels.height == 0


def test_without_quotes_the_output_does_not_blame_the_schedule(
    here: Path, lake: Path, capsys: Capture
) -> None:
    market = wv.Market.open(lake)
    bare = wv.Market(
        option_quotes=market.option_quotes.clear(), underlying_bars=market.underlying_bars
    )
    bare.write("bare")
    dates = '[schedule]\nstart_date = "2024-01-02"\nend_date = "2024-01-31"\n'
    (here / "wheel.toml").write_text(dates, encoding="utf-8")
    assert cli.main(["run", "wheel.toml", "--lake", "bare", "--out", "out"]) == 0
    out, _ = capsys.readouterr()
    assert "No wheel was launched: no underlying with quotes has an entry session." in out
    assert "leaves no entry session" not in out
    assert "the market holds no valid quote" in out


def test_without_entry_sessions_the_output_says_so(here: Path, lake: Path, capsys: Capture) -> None:
    (here / "wheel.toml").write_text(
        WHEEL.replace("2024-01-31", "2024-01-03") + "weekdays = [5]\n", encoding="utf-8"
    )
    assert cli.main(["run", "wheel.toml", "--lake", str(lake), "--out", "out"]) == 0
    out, err = capsys.readouterr()
    assert "No wheel was launched: no underlying with quotes has an entry session." in out
    assert "the schedule leaves no entry session; the market holds 2024-01-02 to" in " ".join(
        out.split()
    )
    assert err == ""


@pytest.mark.parametrize("year", ["2019", "2030"])
def test_a_run_outside_the_data_names_the_span_of_the_lake(
    year: str, here: Path, lake: Path, capsys: Capture
) -> None:
    text = f'[schedule]\nstart_date = "{year}-03-01"\nend_date = "{year}-03-29"\n'
    (here / "wheel.toml").write_text(text, encoding="utf-8")
    assert cli.main(["run", "wheel.toml", "--lake", str(lake), "--out", "out"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "are outside the quotes, which are of 2024-01-02 to 2024-" in shown


def test_imported_tables_run_like_the_market_they_came_from(
    here: Path, tables: Path, lake: Path
) -> None:
    files = [
        item for name in ("option_quotes", "option_bars", "underlying_bars")
        for item in (f"--{name.replace('_', '-')}", tables / f"{name}.parquet")
    ]  # fmt: skip
    done = command("import", *files, "--lake", "mine", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "Written to mine/: 2 underlyings, 2024-01-02 to 2024-03-28\n  BRVO, CHRL\n" in done.stdout
    )
    assert re.search(r"  option_quotes: [\d,]+ rows added, 0 replaced\n", done.stdout)
    again = command("import", *files, "--lake", "mine", "--replace", cwd=here)
    assert re.search(r"  option_quotes: 0 rows added, [\d,]+ replaced\n", again.stdout)
    counts = {
        reason: count for *_, reason, count in wv.Market.open(here / "mine").diagnostics.rows()
    }
    assert set(counts) == set() or all(count >= 0 for count in counts.values())
    mine, theirs = (
        wv.backtest(wv.Market.open(folder), wv.Config.from_toml("wheel.toml"))
        for folder in (here / "mine", lake)
    )
    assert mine.records.equals(theirs.records)


def test_import_counts_what_it_sets_aside(here: Path, tables: Path, capsys: Capture) -> None:
    quotes = pl.read_parquet(tables / "option_quotes.parquet")
    number = pl.int_range(pl.len())
    quotes = quotes.with_columns(bid=pl.when(number < 7).then(pl.col("ask") + 1.0).otherwise("bid"))
    quotes.write_parquet("crossed.parquet")
    bars = ["--underlying-bars", str(tables / "underlying_bars.parquet"), "--lake", "mine"]
    assert cli.main(["import", "--option-quotes", "crossed.parquet", *bars]) == 0
    assert re.search(r"option_quotes +BRVO +crossed +7\n", capsys.readouterr().out)
    assert cli.main(["import", "--option-quotes", "crossed.parquet", *bars, "--strict"]) == 1
    assert "crossed" in one_line(capsys.readouterr().err)


def test_import_takes_the_bars_that_the_lake_has(here: Path, tables: Path, capsys: Capture) -> None:
    quotes = str(tables / "option_quotes.parquet")
    bars = ["--underlying-bars", str(tables / "underlying_bars.parquet")]
    assert cli.main(["import", "--option-quotes", quotes, "--lake", "mine"]) == cli.USAGE
    assert "required: --underlying-bars" in one_line(capsys.readouterr().err)
    assert cli.main(["import", "--option-quotes", quotes, *bars, "--lake", "mine"]) == 0
    before = wv.Market.open("mine")
    assert cli.main(["import", "--option-quotes", quotes, "--lake", "mine"]) == 0
    assert wv.Market.open("mine").fingerprint == before.fingerprint
    Path("full").mkdir()
    Path("full", "notes.txt").write_text("mine")
    assert cli.main(["import", "--option-quotes", quotes, "--lake", "full"]) == cli.FAILED
    assert "full" in capsys.readouterr().err


def test_check_says_what_a_lake_holds_and_lacks(here: Path, lake: Path) -> None:
    done = command("check", lake, cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    quotes = wv.Market.open(lake).option_quotes
    assert re.search(
        rf"  option_quotes +2 +6 +{quotes.height:,} +[\d.]+ [kM]B +2024-01-02 2024-03-28\n",
        done.stdout,
    )
    sessions = quotes.select("underlying", "session").unique()
    assert re.search(rf"\n  15:45 +{sessions.height} ", done.stdout)
    closes = wv.Market.open(lake).underlying_bars.select("underlying", "session")
    dark = closes.join(sessions, on=["underlying", "session"], how="anti").filter(
        pl.col("underlying") == "BRVO"
    )["session"]
    assert re.search(
        rf"\n  option_quotes +BRVO +{len(dark)} +{len(dark)} +{dark[0]}\n", done.stdout
    )
    missing = quotes.filter((pl.col("underlying") == "BRVO") & pl.col("bid").is_null()).height
    assert re.search(rf"\n  option_quotes +BRVO +missing_side +{missing:,}\n", done.stdout)
    for title in (
        "Contracts that vanish",
        "Suspected splits",
        "Closes that",
        "Underlyings that ended",
        "Files refused",
    ):
        assert re.search(rf"\n{title}[^\n]*: none\n", done.stdout), title
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert ESCAPE not in done.stdout


def test_check_names_every_file_that_is_refused_and_fails(
    here: Path, lake: Path, capsys: Capture
) -> None:
    shutil.copytree(lake, "mine")
    files = sorted(Path("mine/option_quotes").rglob("*.parquet"))[:2]
    for path in files:
        path.write_bytes(path.read_bytes()[:-1])
    assert cli.main(["check", "mine"]) == 1
    out, err = capsys.readouterr()
    assert "mine has 2 files that every reader refuses, listed above" in one_line(err)
    assert "\nFiles: 2 damaged\n" in out
    for path in files:
        said = f"{path.relative_to('mine')}: refused: is truncated: its footer is missing"
        assert said in " ".join(out.split()), out
    assert max(map(len, out.splitlines())) <= 80
    assert "option_bars" in out.split("Holes")[0]  # the others are examined


def test_check_shows_findings_of_every_kind_within_eighty_columns(
    here: Path, tables: Path, capsys: Capture
) -> None:
    frames: dict[str, Any] = {path.stem: pl.read_parquet(path) for path in tables.glob("*.parquet")}
    late = (pl.col("underlying") == "CHRL") & (pl.col("session") > pl.date(2024, 2, 15))
    lost = pl.col("symbol").str.starts_with("BRVO  240315P00") & (
        pl.col("session") > pl.date(2024, 3, 1)
    )
    bars = frames["underlying_bars"].filter(~late)
    frames["underlying_bars"] = pl.concat(
        [
            bars.with_columns(pl.col("open", "high", "low", "close") * 0.5),
            bars.filter(pl.col("underlying") == "BRVO").with_columns(
                underlying=pl.lit("A\nNAME MUCH TOO LONG FOR ITS COLUMN")
            ),
        ]
    )
    frames["option_quotes"] = frames["option_quotes"].filter(~lost)
    frames["option_bars"] = frames["option_bars"].filter(~lost)
    wv.Market(**frames).write("mine")
    (Path("mine") / "notes.txt").write_text("ours", encoding="utf-8")
    assert cli.main(["check", "mine"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"\n  BRVO +\d+ +\d+ +\d+\n  contract ", out)
    assert re.search(r"\n  BRVO +2024-01-02 +2024-03-28 +\d+ +0\.\d+\n", out)
    assert re.search(r"\n  CHRL +2024-02-1\d +\d+\n", out)
    assert re.search(r"\n  A\\nNAME MUC\.\. ", out)
    assert "Files: 1 passed over\n  notes.txt: passed over: no part of a lake" in out


COMMANDS = (
    "demo",
    "init",
    "run",
    "sweep",
    "simulate",
    "bands",
    "verdict",
    "show",
    "report",
    "explain",
    "why-not",
    "check",
    "import",
    "fetch",
    "get",
    "help",
)


def test_help_and_version_end_well(capsys: Capture) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"wheelvec {wv.__version__}\n"
    assert cli.main(["--help"]) == 0
    offered = capsys.readouterr().out
    assert re.findall(r"^    ([\w-]+) ", offered, re.MULTILINE) == list(COMMANDS)
    assert cli.main(["help"]) == 0
    assert capsys.readouterr().out == offered
    entry = importlib.metadata.entry_points(group="console_scripts", name="wheelvec")
    assert [point.value for point in entry] == ["wheelvec.cli:main"]


def test_without_a_command_help_goes_to_standard_error(capsys: Capture) -> None:
    assert cli.main(["--help"]) == 0
    offered = capsys.readouterr().out
    assert cli.main([]) == cli.USAGE
    assert capsys.readouterr() == ("", offered)


@pytest.mark.parametrize("name", [*COMMANDS, "import dbn"])
def test_every_command_has_a_help_that_fits_and_examples_that_parse(
    name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = name.split()
    assert cli.main(["help", *words]) == 0
    text = capsys.readouterr().out
    assert cli.main([*words, "--help"]) == 0
    assert capsys.readouterr().out == text
    assert text.startswith(f"usage: wheelvec {name} ")
    assert max(map(len, text.splitlines())) <= 80
    _, _, examples = text.replace(" \\\n", " ").partition("\nexamples:\n")
    assert examples
    for line in examples.splitlines():
        given = shlex.split(line.partition(" > ")[0].removesuffix(" > wheel.toml"))
        assert given[0] == "wheelvec"
        if name != "help":
            assert callable(cli.parser().parse_args(given[1:]).command)


@pytest.mark.parametrize("module", ["wheelvec", "wheelvec.cli"])
def test_python_m_is_the_same_command_and_says_how_it_was_called(module: str, here: Path) -> None:
    def called(*words: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", module, *words]
        return subprocess.run(
            line, cwd=here, capture_output=True, text=True, timeout=60, check=False
        )

    assert called("--version").stdout == f"wheelvec {wv.__version__}\n"
    assert called("run", "--help").stdout.startswith("usage: python -m wheelvec run ")
    done = called("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert one_line(done.stderr).endswith("; see python -m wheelvec run --help\n")


def test_init_prints_the_default_configuration_and_run_accepts_it(
    here: Path, lake: Path, capsys: Capture
) -> None:
    assert cli.main(["init"]) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    Path("mine.toml").write_text(printed, encoding="utf-8")
    assert wv.Config.from_toml("mine.toml") == wv.Config()
    assert (
        cli.main(
            [
                "run",
                "mine.toml",
                "--lake",
                str(lake),
                "--out",
                "out",
                "--set",
                "schedule.end_date=2024-01-10",
            ]
        )
        == 0
    )
    assert wv.Result.load("out").config == wv.Config().replace(
        **{"schedule.end_date": "2024-01-10"}
    )


def test_run_sets_fields_of_the_configuration(here: Path, lake: Path, capsys: Capture) -> None:
    line = ["run", "wheel.toml", "--lake", str(lake), "--out", "out", "--quiet"]
    given = [
        "put.exit_pct=0.3",
        "put.stop_loss_multiplier=none",
        "schedule.end_date=2024-01-10",
        "schedule.symbols=BRVO,CHRL",
    ]
    assert cli.main([*line, *(word for setting in given for word in ("--set", setting))]) == 0
    expected = wv.Config.from_toml("wheel.toml").replace(
        **{"put.exit_pct": 0.3, "put.stop_loss_multiplier": None, "schedule.end_date": "2024-01-10",
           "schedule.symbols": ["BRVO", "CHRL"]}
    )  # fmt: skip
    assert wv.Result.load("out").config == expected


# ------------------------------------------------------------------------------------ results shown again, JSON, CSV


@pytest.fixture(scope="module")
def finished(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with wheel.toml and a run's result in out, and what run printed of it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "wheel.toml").write_text(WHEEL, encoding="utf-8")
    given = ("run", "wheel.toml", "--lake", lake, "--out", "out", "--no-page")
    done = command(*given, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_show_prints_what_run_printed_from_the_folder_alone(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    folder, printed = finished
    shutil.copytree(folder / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["show", "out/"]) == 0
    assert capsys.readouterr() == (printed, "")


def test_json_is_the_figures_and_nothing_else(
    finished: tuple[Path, str], lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    folder, _ = finished
    monkeypatch.chdir(folder)
    assert cli.main(["show", "out", "--json"]) == 0
    shown, err = capsys.readouterr()
    assert err == ""
    read, result = json.loads(shown, parse_constant=pytest.fail), wv.Result.load("out")
    assert read["out"] == "out"
    assert read["figures"] == result.summary()
    assert read["launched"] == result.wheels.height > 0
    assert cli.main(["run", "wheel.toml", "--lake", str(lake), "--out", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read | {"out": "again"}


def test_without_wheels_json_has_nulls(here: Path, lake: Path, capsys: Capture) -> None:
    words = [
        "--lake",
        str(lake),
        "--out",
        "out",
        "--set",
        "put.delta_min=0.001",
        "--set",
        "put.delta_max=0.002",
    ]
    assert cli.main(["run", "wheel.toml", *words, "--json"]) == 0
    read = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert read["launched"] == 0
    assert read["figures"]["avg_wheel_roc"] is None
    assert read["wheel_ends"] == {}


def test_csv_is_the_figures_or_a_table(
    finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(finished[0])
    result = wv.Result.load("out")
    assert cli.main(["show", "out", "--csv"]) == 0
    read = dict(line.split(",") for line in capsys.readouterr().out.splitlines())
    assert read.pop("figure") == "value"
    assert read == {
        name: "" if value is None else str(value) for name, value in result.summary().items()
    }
    for name in results.TABLES:
        table = getattr(result, name)
        assert cli.main(["show", "out", "--table", name]) == 0
        printed = capsys.readouterr().out
        assert cli.main(["show", "out", "--table", name, "--csv"]) == 0
        assert capsys.readouterr().out == printed
        assert pl.read_csv(io.StringIO(printed), infer_schema=False).shape == table.shape
        assert cli.main(["show", "out", "--table", name, "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)) == table.height


def test_show_refuses_a_damaged_result(
    finished: tuple[Path, str], tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    path = tmp_path / "out" / "records.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    assert cli.main(["show", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "records.parquet" in one_line(err)


def test_demo_writes_its_market_as_a_lake_and_says_what_comes_next(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    small = synthetic.demo_market(symbols=["BRVO"], end="2024-03-28")
    monkeypatch.setattr(synthetic, "demo_market", lambda: small)
    assert cli.main(["demo", "--lake", "lake/"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(
        "Written to lake/: 1 underlying, 2024-01-02 to 2024-03-28\n  BRVO\n  option_quotes: "
    )
    assert "\n\nNext:\n  wheelvec init" in out
    assert {path.name for path in here.iterdir()} == {"wheel.toml", "lake"}
    assert wv.Market.open("lake").fingerprint == small.fingerprint
    _, then_run, then_show = out.partition("Next:\n")[2].splitlines()
    assert cli.main(shlex.split(then_run)[1:]) == 0
    printed = capsys.readouterr().out
    assert cli.main(shlex.split(then_show)[1:]) == 0
    assert capsys.readouterr().out == printed
    assert cli.main(["demo", "--lake", "other", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["underlyings"] == ["BRVO"]


def test_warnings_are_said_in_every_form(here: Path, lake: Path, capsys: Capture) -> None:
    words = ["wheel.toml", "--lake", str(lake), "--set", "schedule.entry_time=10:20"]
    (here / "grid.toml").write_text("[put]\nexit_pct = [0.3]\n", encoding="utf-8")
    assert cli.main(["run", *words, "--out", "out", "--json"]) == 0
    out, err = capsys.readouterr()
    warnings = wv.Result.load("out").warnings
    assert [each["text"] for each in json.loads(out)["warnings"]] == [
        str(each) for each in warnings
    ]
    assert "no_quotes_in_entry_minute" in {each.code for each in warnings}
    assert err == ""
    for command in (
        ["run", *words, "--out", "out", "--csv"],
        ["run", *words, "--out", "out", "--quiet"],
        ["show", "out", "--csv"],
        ["sweep", *words[:1], "grid.toml", *words[1:], "--out", "sweep", "--quiet"],
        ["show", "sweep", "--csv"],
        ["show", "sweep", "--json"],
    ):
        assert cli.main(command) == 0
        out, err = capsys.readouterr()
        assert "no quote is in the minute of" in err, command
        assert "no quote is in" not in out


def test_import_eod_writes_a_lake_and_says_what_it_found(here: Path, capsys: Capture) -> None:
    header = "date,act_symbol,expiration,strike,call_put,bid,ask"
    rows = [
        f"2024-01-{day:02d},BRVO,2024-02-16,{strike},{kind},{bid},{ask}"
        for day in (2, 3)
        for strike, call, put in ((95, 6.0, 1.0), (100, 3.0, 3.0), (105, 1.0, 6.0))
        for kind, bid in (("Call", call), ("Put", put))
        for ask in (bid + 0.1,)
    ]
    (here / "chain.csv").write_text("\n".join([header, *rows]) + "\n")
    (here / "daily.csv").write_text("date,close\n2024-01-02,100.5\n")
    line = "import eod chain.csv --layout dolt --lake eod/ --underlying daily.csv --symbol BRVO"
    assert cli.main(line.split()) == 0
    out = capsys.readouterr().out
    assert re.search(r"chain\.csv +12 +12  2024-01-02  2024-01-03", out)
    assert "price from parity: 2 sessions; off the close by" in out
    assert "close from a daily bar: 1 session\n" in out
    assert "Wheels that settle on sessions without a close stay unresolved" in out
    assert "option_quotes: 12 rows added, 0 replaced" in out
    assert cli.main([*line.split(), "--json", "--replace"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["written"][0] == {
        "table": "option_quotes",
        "added": 0,
        "replaced": 12,
        "removed": 0,
    }
    assert [row["underlying_source"] for row in printed["prices"]] == ["parity", "parity"]


def test_import_eod_of_another_layout_is_one_line_and_writes_nothing(
    here: Path, capsys: Capture
) -> None:
    (here / "chain.csv").write_text("date,act_symbol,expiration,strike,call_put,bid,ask\n")
    assert cli.main(["import", "eod", "chain.csv", "--layout", "orats", "--lake", "eod/"]) == 1
    error = one_line(capsys.readouterr().err)
    assert "chain.csv is not of the layout orats: it lacks the columns ticker" in error
    assert error.rstrip().endswith("it looks like the layout dolt")
    assert not (here / "eod").exists()


def test_check_and_import_speak_json(here: Path, tables: Path, lake: Path, capsys: Capture) -> None:
    assert cli.main(["check", str(lake), "--json"]) == 0
    read, found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail), wv.check(lake)
    assert read.pop("explaining") == []  # the rows that would explain a suspected split
    assert [row["rows"] for row in read["held"]] == found.held["rows"].to_list()
    assert {name: len(rows) for name, rows in read.items()} == {
        name: len(getattr(found, name)) for name in read
    }
    assert {"files", "holes", "broken", "splits"} <= read.keys()
    files = [
        "--option-quotes",
        str(tables / "option_quotes.parquet"),
        "--underlying-bars",
        str(tables / "underlying_bars.parquet"),
    ]
    assert cli.main(["import", *files, "--lake", "mine", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert (read["lake"], read["underlyings"], read["first"]) == (
        "mine",
        ["BRVO", "CHRL"],
        "2024-01-02",
    )
    shutil.copytree(lake, "damaged")
    path = next(Path("damaged").rglob("option_quotes/**/*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])
    assert cli.main(["check", "damaged", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [row["finding"] for row in json.loads(out)["files"]] == ["damaged"]
    assert "1 file" in one_line(err)


def test_verbose_logs_to_standard_error_and_leaves_logging_as_it_was(
    here: Path, lake: Path, capsys: Capture
) -> None:
    log = logging.getLogger("wheelvec")
    before = (log.level, list(log.handlers))
    assert (
        cli.main(["-v", "run", "wheel.toml", "--lake", str(lake), "--out", "out", "--quiet"]) == 0
    )
    assert "wheelvec: INFO: " in capsys.readouterr().err
    assert (log.level, list(log.handlers)) == before


def test_a_terminal_gets_a_progress_bar_on_standard_error_only(
    here: Path, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert cli.main(["run", "wheel.toml", "--lake", str(lake), "--out", "out"]) == 0
    assert "months x underlyings" in terminal.getvalue()
    assert "months x underlyings" not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.skipif(os.name != "posix", reason="pipes behave otherwise elsewhere")
def test_a_reader_that_goes_away_is_no_failure_to_speak_of(here: Path) -> None:
    code = "import sys; from wheelvec.cli import main, starting; starting._demo = lambda _: starting.write('x'); sys.exit(main(['demo']))"
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=here,
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("words", ["help run", "show OUT", "show OUT --table records"])
def test_output_that_cannot_be_written_is_a_failure_in_one_line(
    words: str, finished: tuple[Path, str]
) -> None:
    line = [sys.executable, "-m", "wheelvec", *words.replace("OUT", "out").split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            line,
            cwd=finished[0],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1, "wheelvec: error: standard output: cannot be written: No space left on device\n",
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="a shell's redirections")
@pytest.mark.parametrize(("closed", "code", "out"), [("2>&-", 0, True), (">&- 2>&- <&-", 0, False)])
def test_a_stream_that_is_closed_does_not_matter(
    closed: str, code: int, out: bool, finished: tuple[Path, str]
) -> None:
    line = f"{shlex.quote(sys.executable)} -m wheelvec show out {closed}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=finished[0], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == (finished[1] if out else "")
    failing = subprocess.run(
        ["sh", "-c", line.replace("show out", "show nowhere")], cwd=finished[0], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert failing.returncode == 1
    assert failing.stdout == ""  # an error never stands among results


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_is_one_line_and_leaves_nothing(here: Path, lake: Path) -> None:
    """Sent as soon as the command says that it has begun: wherever it is then, it ends alike."""
    line = [
        sys.executable,
        "-m",
        "wheelvec",
        "-v",
        "run",
        "wheel.toml",
        "--lake",
        str(lake),
        "--out",
        "out",
    ]
    process = subprocess.Popen(
        line, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "INFO" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "wheelvec: error: interrupted"
    assert "Traceback" not in err
    assert {path.name for path in here.iterdir()} == {"wheel.toml"}


# ------------------------------------------------------------------------------------------------- what fails


def one_line(text: str) -> str:
    """The message, if standard error holds one line of the promised form."""
    assert re.fullmatch(r"wheelvec: error: [^\n]+\n", text), text
    return text


def prepared(here: Path) -> dict[str, str]:
    (here / "typo.toml").write_text("[put]\nexit_pc = 0.3\n", encoding="utf-8")
    (here / "broken.toml").write_text("[put\n", encoding="utf-8")
    (here / "range.toml").write_text("[put]\ndte_min = 50\n", encoding="utf-8")
    (here / "symbol.toml").write_text(WHEEL.replace("BRVO", "BRAVO"), encoding="utf-8")
    (here / "plain.txt").write_text("no lake", encoding="utf-8")
    (here / "grid.toml").write_text("[put]\nexit_pct = [0.5]\n", encoding="utf-8")
    (here / "full").mkdir()
    (here / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    return {"quotes": "plain.txt", "bars": "plain.txt"}


FAILURES = {
    "a typo": (
        "run typo.toml --lake LAKE --out out",
        1,
        r"typo.toml: .*exit_pc.*did you mean 'exit_pct'",
    ),
    "no TOML": ("run broken.toml --lake LAKE --out out", 1, r"broken.toml: no valid TOML"),
    "an empty range": ("run range.toml --lake LAKE --out out", 1, r"dte_min"),
    "no such file": (
        "run none.toml --lake LAKE --out out",
        1,
        r"none.toml: cannot be read: No such file",
    ),
    "nothing to check": ("check nowhere", 1, r"nowhere cannot be read: No such file"),
    "no lake to check": ("check full", 1, r"full is no lake: it holds letter.txt"),
    "an unknown calendar": (
        "check LAKE --calendar NYZE",
        1,
        r"unknown schedule.trading_calendar 'NYZE'",
    ),
    "no such lake": ("run wheel.toml --lake nowhere --out out", 1, r"nowhere"),
    "a file for a lake": ("run wheel.toml --lake plain.txt --out out", 1, r"plain.txt"),
    "a folder that is no lake": ("run wheel.toml --lake full --out out", 1, r"full"),
    "an unknown symbol": ("run symbol.toml --lake LAKE --out out", 1, r"BRAVO"),
    "an out that is no result": (
        "run wheel.toml --lake LAKE --out full",
        1,
        r"full: holds letter\.txt, which is not of a saved result",
    ),
    "an out that is a file": (
        "run wheel.toml --lake LAKE --out plain.txt",
        1,
        r"plain.txt: a file; expected a folder for a result",
    ),
    "an out below a file": ("run wheel.toml --lake LAKE --out plain.txt/out", 1, r"plain.txt"),
    "no quotes": (
        "import --option-quotes q.parquet --underlying-bars u.parquet --lake out",
        1,
        r"q.parquet: no such file",
    ),
    "a folder for quotes": (
        "import --option-quotes full --underlying-bars u.parquet --lake out",
        1,
        r"option_quotes full: it is a folder: expected a file",
    ),
    "no Parquet": (
        "import --option-quotes plain.txt --underlying-bars plain.txt --lake out",
        1,
        r"option_quotes plain.txt: not readable as Parquet",
    ),
    "no command": ("gallop wheel.toml", 2, r"invalid choice: 'gallop'"),
    "no lake": ("run wheel.toml --out out", 2, r"--lake.*see wheelvec run --help"),
    "no rule set": ("run wheel.toml --lake LAKE --out out --rules v6", 2, r"invalid choice: 'v6'"),
    "an unknown option": (
        "demo --colour",
        2,
        r"unrecognized arguments: --colour; see wheelvec demo --help",
    ),
    "an option with a typo": (
        "demo --outt x",
        2,
        r"unrecognized arguments: --outt x \(did you mean '--out'\?\)",
    ),
    "a command with a typo": (
        "swepe",
        2,
        r"invalid choice: 'swepe' \(did you mean 'sweep'\?\); choose from demo, init, run",
    ),
    "help of what is no command": ("help gallop", 2, r"invalid choice: 'gallop'"),
    "two forms": (
        "run wheel.toml --lake LAKE --out out --json --csv",
        2,
        r"--csv: not allowed with argument --json",
    ),
    "a lake and a result": (
        "demo --lake out --out new",
        2,
        r"--out: not allowed with argument --lake",
    ),
    "a lake as CSV": ("demo --lake out --csv", 2, r"--csv: not allowed with argument --lake"),
    "a setting with a typo": (
        "run wheel.toml --lake LAKE --out out --set put.exit_pc=0.3",
        1,
        r"--set put.exit_pc=0.3: .*did you mean 'exit_pct'",
    ),
    "a setting that is swept": (
        "sweep wheel.toml grid.toml --lake LAKE --out out --set put.exit_pct=0.3",
        1,
        r"--set put.exit_pct: grid.toml sweeps it",
    ),
    "nothing to show": (
        "show nowhere",
        1,
        r"nowhere: no such folder; expected the folder given as --out",
    ),
    "a file to show": (
        "show plain.txt",
        1,
        r"plain.txt: is a file; expected the folder given as --out",
    ),
    "no result to show": (
        "show full",
        1,
        r"full: no saved run, sweep or portfolio; it has neither result.json nor sweep.json",
    ),
    "a lake to show": ("show LAKE", 1, r"no saved run, sweep or portfolio"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_one_line_and_leaves_nothing(
    case: str, here: Path, lake: Path, capsys: Capture
) -> None:
    line, code, message = FAILURES[case]
    prepared(here)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert cli.main(line.replace("LAKE", str(lake)).split()) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(message, one_line(err)), err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
    assert not (here / "out").exists()


def test_tables_of_other_columns_are_refused(here: Path, tables: Path, capsys: Capture) -> None:
    pl.DataFrame({"a": [1]}).write_parquet("other.parquet")
    bars = str(tables / "underlying_bars.parquet")
    assert (
        cli.main(
            [
                "import",
                "--option-quotes",
                "other.parquet",
                "--underlying-bars",
                bars,
                "--lake",
                "mine",
            ]
        )
        == 1
    )
    assert "option_quotes" in one_line(capsys.readouterr().err)
    assert not (here / "mine").exists()


def test_a_failure_in_a_process_of_its_own_has_no_traceback_unless_asked(
    here: Path, lake: Path
) -> None:
    prepared(here)
    line = ("run", "typo.toml", "--lake", lake, "--out", "out")
    plain, asked = command(*line, cwd=here), command(*line, "--debug", cwd=here)
    assert (plain.returncode, asked.returncode) == (1, 1)
    assert "exit_pc" in one_line(plain.stderr)
    assert asked.stderr.startswith("Traceback (most recent call last):")
    assert asked.stderr.endswith(plain.stderr)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (KeyboardInterrupt(), 130, r"interrupted"),
        (ZeroDivisionError("one\nline"), 1, r"ZeroDivisionError: one line"),
        (MemoryError(), 1, r"MemoryError"),
        (pl.exceptions.PanicException("polars"), 1, r"PanicException: polars"),
        (ValueError("x" * 5000), 1, r"ValueError: x+\.\.\."),
    ],
)
def test_what_nobody_expected_is_one_line_too(
    raised: BaseException,
    code: int,
    message: str,
    here: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(synthetic, "demo_market", failing)
    assert cli.main(["demo"]) == code
    err = one_line(capsys.readouterr().err)
    assert re.search(message, err)
    assert len(err) < 500
    assert not (here / "demo-result").exists()


def test_what_compiled_code_writes_of_a_panic_stays_off_the_terminal(
    here: Path, tables: Path
) -> None:
    """A damaged file can make Polars panic, which writes lines to the descriptor before
    anything is raised.
    """
    code = """
import logging, os, sys
import polars as pl
from wheelvec import cli
from wheelvec.cli import results
from wheelvec.tables import validation as tables

def panicking(name, frame):
    os.write(2, b"thread 'main' panicked at src/lib.rs:1:1\\n")
    logging.getLogger("wheelvec").warning("still heard")
    raise pl.exceptions.PanicException("called Result::unwrap()")

tables.read = panicking
sys.exit(cli.main(sys.argv[1:]))
"""
    files = [
        a
        for name in ("option_quotes", "underlying_bars")
        for a in (f"--{name.replace('_', '-')}", tables / f"{name}.parquet")
    ]
    line = [sys.executable, "-c", code, "import", *map(str, files), "--lake", "mine"]
    done = subprocess.run(line, cwd=here, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    heard, failed = done.stderr.splitlines()
    assert heard == "wheelvec: WARNING: still heard"
    assert failed.startswith("wheelvec: error: option_quotes ")
    assert failed.endswith(
        "option_quotes.parquet: not readable as Parquet: called Result::unwrap()"
    )
    assert (
        "panicked"
        in subprocess.run(
            [*line, "--debug"], cwd=here, capture_output=True, text=True, timeout=60
        ).stderr
    )


def test_a_run_that_fails_half_way_leaves_the_earlier_result(
    here: Path, lake: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["run", "wheel.toml", "--lake", str(lake), "--out", "out"]
    assert cli.main(line) == 0
    before = wv.Result.load("out").records

    def failing(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wheelvec.run.results.result.ResultWriter._write_summary", failing)
    assert cli.main([*line, "--rules", "v5", "--overwrite"]) == 1
    assert "No space left" in one_line(capsys.readouterr().err)
    assert wv.Result.load("out").records.equals(before)
    assert {path.name for path in here.iterdir()} == {"wheel.toml", "out"}


# ------------------------------------------------------------------------------------------------------- sweeps

GRID = """
rules = ["ledger", "v5"]
[put]
exit_pct = {first = 0.25, last = 0.75, count = 3}
stop_loss_multiplier = [2.0, "none"]
[fills]
execution_seed = {first = 1, last = 2}
"""


def test_sweep_gives_what_the_library_gives_and_prints_the_best(
    here: Path, lake: Path, capsys: Capture
) -> None:
    (here / "grid.toml").write_text(GRID, encoding="utf-8")
    assert (
        cli.main(
            [
                "sweep",
                "wheel.toml",
                "grid.toml",
                "--lake",
                str(lake),
                "--out",
                "out",
                "--threads",
                "1",
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "24 configurations" in printed
    assert (
        "The greatest avg_wheel_roc of 6 configurations, each the mean over its seeds"
        in " ".join(printed.split())
    )
    assert "rule set ledger alone, not against v5" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    line = ["sweep", "wheel.toml", "grid.toml", "--lake", str(lake), "--out", "out", "--by"]
    assert cli.main([*line, "win_rate"]) == 0  # the same sweep, finished: only shown
    assert "The greatest win_rate of 6 configurations" in capsys.readouterr().out
    assert cli.main([*line, "winrate"]) == 1
    assert "unknown figure of --by 'winrate' (did you mean 'win_rate'?)" in capsys.readouterr().err
    assert "frame.parquet" in printed
    grid = {
        "rules": ["ledger", "v5"], "put.exit_pct": [0.25, 0.5, 0.75], "put.stop_loss_multiplier": [2.0, None],
        "fills.execution_seed": [1, 2],
    }  # fmt: skip
    expected = wv.sweep(wv.Market.open(lake), wv.Config.from_toml("wheel.toml"), grid)
    assert wv.Sweep.load("out").frame.equals(expected.frame)
    assert cli.main(["show", "out"]) == 0
    assert capsys.readouterr().out == printed
    assert cli.main(["show", "out", "--csv"]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split(",") == expected.frame.columns
    assert len(table.splitlines()) == 25
    assert cli.main(["show", "out", "--json"]) == 0
    assert [row["total_pnl"] for row in json.loads(capsys.readouterr().out)] == expected.frame[
        "total_pnl"
    ].to_list()
    assert cli.main(["show", "out", "--table", "wheels"]) == 1
    assert "out holds a sweep" in one_line(capsys.readouterr().err)


def test_sweep_sets_fields_of_its_base_and_prints_rows(
    here: Path, lake: Path, capsys: Capture
) -> None:
    (here / "grid.toml").write_text("[put]\nexit_pct = [0.25, 0.5]\n", encoding="utf-8")
    line = [
        "sweep",
        "wheel.toml",
        "grid.toml",
        "--lake",
        str(lake),
        "--out",
        "out",
        "--threads",
        "1",
    ]
    assert cli.main([*line, "--set", "put.stop_loss_multiplier=none", "--json"]) == 0
    printed = capsys.readouterr().out
    swept = wv.Sweep.load("out")
    assert swept.config.put.stop_loss_multiplier is None
    assert [row["put.exit_pct"] for row in json.loads(printed)] == [0.25, 0.5]
    assert cli.main(["show", "out", "--json"]) == 0
    assert capsys.readouterr().out == printed


def test_sweep_shows_cells_per_second_on_a_terminal(
    here: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "grid.toml").write_text(GRID, encoding="utf-8")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["sweep", "wheel.toml", "grid.toml", "--lake", str(lake), "--out", "out"]) == 0
    assert re.search(r"configurations, [\d,]+ cells/s, \d+ s left", terminal.getvalue())


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("[put]\nexit_pct = 0.5", r"grid.toml: put.exit_pct = 0.5: expected a list of values"),
        ("[put]\nexit = [0.5]", r"unknown field 'put.exit'"),
        (
            "[put]\nexit_pct = [7.0]",
            r"row 0: put.exit_pct = 7.0: expected a number from 0.0 to 1.0",
        ),
        ("[put", r"grid.toml: no valid TOML"),
        (None, r"grid.toml: cannot be read"),
    ],
)
def test_a_grid_that_cannot_be_run_is_one_line(
    grid: str | None, message: str, here: Path, lake: Path, capsys: Capture
) -> None:
    if grid is not None:
        (here / "grid.toml").write_text(grid, encoding="utf-8")
    assert cli.main(["sweep", "wheel.toml", "grid.toml", "--lake", str(lake), "--out", "out"]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error)
    assert not (here / "out").exists()


def test_a_grid_may_be_parquet_or_csv_and_skip_what_is_no_configuration(
    here: Path, lake: Path, capsys: Capture
) -> None:
    rows = pl.DataFrame(
        {
            "put.delta_min": [0.15, 0.5, 0.25],
            "put.delta_max": [0.25, 0.35, 0.35],
            "put.max_hold_dte": [None, 5, 5],
        }
    )
    rows.write_parquet(here / "grid.parquet")
    rows.write_csv(here / "grid.csv")
    (here / "grid.toml").write_text(
        '[put]\n"delta_min, delta_max, max_hold_dte" = [[0.15, 0.25, "none"], [0.5, 0.35, 5], [0.25, 0.35, 5]]\n'
    )
    expected = wv.sweep(wv.Market.open(lake), wv.Config.from_toml("wheel.toml"), rows[[0, 2]]).frame
    for name in ("grid.parquet", "grid.csv", "grid.toml"):
        line = ["sweep", "wheel.toml", name, "--lake", str(lake), "--out", f"out-{name}", "--quiet"]
        assert cli.main(line) == 1
        refused = one_line(capsys.readouterr().err)
        assert (
            "1 of 3 rows cannot be run: row 1: put.delta_min = 0.5 is above put.delta_max = 0.35"
            in refused
        )
        assert cli.main([*line, "--skip-invalid"]) == 0
        assert (
            "left out: grid: 1 of 3 rows cannot be run: row 1: put.delta_min = 0.5"
            in capsys.readouterr().err
        )
        assert wv.Sweep.load(f"out-{name}").frame.equals(expected), name


def test_messages_on_files_say_none_as_toml_does(here: Path, lake: Path, capsys: Capture) -> None:
    (here / "grid.toml").write_text("[put]\nstop_loss_multiplier = [200]\n", encoding="utf-8")
    assert cli.main(["sweep", "wheel.toml", "grid.toml", "--lake", str(lake), "--out", "out"]) == 1
    error = one_line(capsys.readouterr().err)
    assert 'above 1.0 and up to 50.0 or "none"' in error
    assert "None" not in error


def test_an_interrupted_sweep_says_what_is_kept(
    here: Path, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (here / "grid.toml").write_text(GRID, encoding="utf-8")
    monkeypatch.setattr("wheelvec.run.engine.CHUNK", 10)
    keep = SweepStore.keep

    def interrupt(store: SweepStore, start: int, frame: pl.DataFrame) -> None:
        if start:
            raise KeyboardInterrupt
        keep(store, start, frame)

    monkeypatch.setattr("wheelvec.run.results.store.SweepStore.keep", interrupt)
    assert (
        cli.main(["sweep", "wheel.toml", "grid.toml", "--lake", str(lake), "--out", "out"]) == 130
    )
    assert (
        "10 of 24 configurations are kept in out; run the same sweep again to continue"
        in capsys.readouterr().err
    )
