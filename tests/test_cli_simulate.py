"""`wheelvec simulate` asks what an account would have had of a saved run."""

import json
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from tests.run.results.by_hand import leg, put, result_of
from wheelvec import cli
from wheelvec.model.schemas import RESULT_TABLES
from wheelvec.run.results.warnings import RunWarning, as_frame

STRIKES = (99.0, 98.0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A run with two puts of one session, both expired."""
    ended = (8, "expired_worthless", 0.0)
    wheels = [([leg(put(strike), 0, 2.0, ended)], (8, 0.0)) for strike in STRIKES]
    mids = {put(strike): {0: 2.0} for strike in STRIKES}
    result = result_of(wheels, {"A": [100.0] * 10}, mids)
    odd = RunWarning("adjusted_closes", "A", 3, "A: on 3 sessions the closes are adjusted")
    result._frames["call_diagnostics"] = pl.DataFrame(schema=RESULT_TABLES["call_diagnostics"])
    result._frames["warnings"] = as_frame([odd])
    result.save(tmp_path / "out")
    return tmp_path / "out"


def test_options_go_before_the_file(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = saved.parent / "wheel.toml"
    config.write_text("[account]\ncash = 5000\nrate = 0.02\n")
    kept = saved.parent / "portfolio"
    given = ["simulate", str(saved), "--config", str(config), "--cash", "10000"]
    assert cli.main([*given, "--json", "--out", str(kept)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["account"]["cash"], found["account"]["rate"]) == (10_000.0, 0.02)
    assert (found["taken"], found["skipped"]) == (1, {"no_cash": 1})
    assert wv.Portfolio.load(kept).account.cash == 10_000.0
    assert cli.main([*given]) == 0
    out = capsys.readouterr().out
    assert "1 of 2 wheels taken" in out
    assert "skipped, no_cash" in out
    assert cli.main([*given, "--table", "daily"]) == 0
    assert capsys.readouterr().out.startswith("session,cash,collateral,shortfall,")


def test_warnings_of_the_runs_are_said_in_every_form(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, kept = "A: on 3 sessions the closes are adjusted", str(saved.parent / "portfolio")
    assert cli.main(["simulate", str(saved), "--json", "--out", kept]) == 0
    out, err = capsys.readouterr()
    assert [each["text"] for each in json.loads(out)["warnings"]] == [said]
    assert err == ""
    assert [str(each) for each in wv.Portfolio.load(kept).warnings] == [said]
    for command in (["simulate", str(saved)], ["show", kept]):
        assert cli.main(command) == 0
        out, err = capsys.readouterr()
        assert f"Warnings: check whether these are intended\n  - {said}\n" in out, command
        assert said not in err
        for form in (["--csv"], ["--table", "daily"], ["--table", "daily", "--json"]):
            assert cli.main([*command, *form]) == 0
            out, err = capsys.readouterr()
            assert said not in out
            assert err == f"wheelvec: WARNING: {said}\n", (command, form)
    for form in (["--csv"], ["--table", "wheels"]):
        assert cli.main(["show", str(saved), *form]) == 0
        assert capsys.readouterr().err == f"wheelvec: WARNING: {said}\n", form


def test_errors_are_one_line(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", str(saved), "--cash", "-5"]) == 1
    error = capsys.readouterr().err
    assert "account.cash = -5: expected a number above 0" in error
    assert error.count("\n") == 1
