"""From the vendor to a result on the command line: the cost is shown first, a terminal is asked, a
pipe is not.
"""

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wheelvec as wv
from tests.vendors.feeds import small_feed
from tests.vendors.standin import MINUTE, Standin, dbn_file, nanos
from wheelvec import cli

pytestmark = pytest.mark.usefixtures("quick")
WHEEL = """
[schedule]
start_date = 2023-07-03
end_date = 2023-07-05
symbols = ["TSLA"]
entry_time = "close-15min"
[put]
dte_min = 0
dte_max = 1
[call]
dte_min = 0
dte_max = 1
"""


@pytest.fixture
def server() -> Any:
    with Standin(small_feed()) as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "wheel.toml").write_text(WHEEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fetch(server: Standin, *more: str) -> int:
    return cli.main(
        ["fetch", "--config", "wheel.toml", "--lake", "lake", "--gateway", server.url, *more]
    )


def test_from_the_vendor_to_a_result(
    server: Standin, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """fetch, then run, each in a separate process, output piped."""
    given = [
        [
            *["fetch", "--config", "wheel.toml", "--lake", "lake", "--max-cost", "25", "--gateway"],
            server.url,
        ],
        ["run", "wheel.toml", "--lake", "lake", "--out", "out"],
    ]
    for words in given:
        done = subprocess.run(
            [sys.executable, "-m", "wheelvec.cli", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
    result = wv.Result.load("out")
    result.validate()
    assert result.diagnostics.height == 2
    assert fetch(server) == 0
    text = capsys.readouterr().out
    assert re.search(r"TSLA +quotes +cmbp-1 +4 +0 +0 +0 +0\.00", text)
    assert text.endswith("lake lacks nothing that is available.\n")


def test_the_table_is_shown_and_over_the_budget_nothing_is_spent(
    server: Standin, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, "--max-cost", "0.001") == cli.FAILED
    shown = capsys.readouterr()
    assert re.search(r"TSLA +quotes +cmbp-1 +0 +4 +0 +4 +0\.00\d+\n", shown.out)
    assert re.search(r"in all +9 +0\.\d+\n", shown.out)
    assert "more than the $0.00 of max_cost: nothing was spent" in shown.err
    assert server.spent == 0


def test_a_dry_run_spends_nothing(
    server: Standin, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, "--dry-run") == 0
    assert capsys.readouterr().out.endswith("Nothing was spent.\n")
    assert server.spent == 0


def test_json_has_the_plan_and_what_was_paid(
    server: Standin, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["spent"], plan["paid"]) == (False, 0.0)
    assert sum(row["requests"] for row in plan["plan"]) == 9
    assert fetch(server, "--yes", "--json") == 0
    paid = json.loads(capsys.readouterr().out)
    assert paid["spent"]
    assert paid["paid"] == pytest.approx(plan["cost"])
    assert fetch(server, "--json") == 0
    assert not json.loads(capsys.readouterr().out)["spent"]


def test_without_a_terminal_something_must_say_that_money_may_be_spent(
    server: Standin, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server) == cli.FAILED
    assert "there is no terminal to ask on: add --yes or --max-cost" in capsys.readouterr().err
    assert server.spent == 0
    assert fetch(server, "--yes") == 0
    assert server.spent > 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "spends"),
    [("y\n", True), ("yes\n", True), ("\n", False), ("n\n", False), ("", False)],
)
def test_on_a_terminal_a_person_is_asked(
    server: Standin,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    spends: bool,
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert fetch(server, "--quiet", "--max-cost", "9") == 0
    assert re.search(r"Spend \d+\.\d+ dollars\? \[y/N\] ", sys.stderr.getvalue())  # type: ignore[attr-defined]
    assert (server.spent > 0) == spends
    assert ("Nothing was spent." in capsys.readouterr().out) != spends


def test_dbn_files_are_a_form_of_import(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = small_feed().days[1]
    path = here / ("a-very-long-name-of-a-file-from-a-batch-download.dbn")
    path.write_bytes(
        dbn_file(
            small_feed(),
            "OPRA.PILLAR",
            "ohlcv-1d",
            ["TSLA.OPT"],
            "parent",
            nanos(day),
            nanos(day) + 24 * 60 * MINUTE,
        )
    )
    assert cli.main(["import", "dbn", str(path), "--lake", "lake"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"\.\.\.\S+\.dbn +ohlcv-1d +option bars +1 +4\n", shown)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "left out" not in shown
    (here / "broken.dbn").write_bytes(b"DBN\x03\x64\0\0\0" + bytes(100))
    assert cli.main(["import", "dbn", str(path), "broken.dbn", "--lake", "lake"]) == cli.FAILED
    out, err = capsys.readouterr()
    assert (
        "Left out, for they cannot be used:\n- broken.dbn is no DBN: its header says that it has 100 bytes\n"
        in out
    )
    assert out.endswith("Written to lake\n")
    assert err.endswith(
        "wheelvec: error: 1 file of 2 could not be used and were left out, listed above\n"
    )
    assert cli.main(["import", "dbn", "gone", "--lake", "lake"]) == cli.FAILED
    assert "gone cannot be read: No such file" in capsys.readouterr().err
    assert cli.main(["import", "dbn", "--lake", "lake"]) == cli.USAGE
    assert cli.main(["import", "--option-quotes", "a"]) == cli.USAGE
    assert "required: --underlying-bars, --lake" in capsys.readouterr().err


def test_sessions_are_asked_for_again(
    server: Standin, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(server, "--yes") == 0
    spent = server.spent
    capsys.readouterr()
    assert fetch(server, "--yes", "--refetch", "2023-07-03:2023-07-05") == 0
    assert re.search(r"TSLA +quotes +cmbp-1 +2 +2 +0 +2 +0\.00\d+\n", capsys.readouterr().out)
    assert server.spent > spent
    assert fetch(server, "--refetch", "2023-07-03") == cli.USAGE
    assert (
        "--refetch 2023-07-03: expected the first and the last session" in capsys.readouterr().err
    )
    assert fetch(server, "--refetch", "2023-07-03:soon") == cli.FAILED
    assert "refetch = 'soon'" in capsys.readouterr().err


def test_an_empty_answer_that_other_tables_belie_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = small_feed()
    feed.option_bars = [bar for bar in feed.option_bars if bar.ts != nanos(feed.days[1])]
    with Standin(feed) as server:
        assert fetch(server, "--yes") == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert (
            "- TSLA: Databento gave no option_bars of 1 session of which the lake has other rows (2023-07-05)"
            in shown
        )
        assert fetch(server, "--dry-run") == 0
    out = capsys.readouterr().out
    assert re.search(r"TSLA +option bars +ohlcv-1d +3 +1 +0 +1 +0\.00\n", out)
    assert "the next fetch asks for it again" in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines())
