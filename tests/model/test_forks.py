"""A process that was forked after Polars was used gets an error instead of a deadlock."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from wheelvec.model import forks

PROGRAM = """
import multiprocessing, os, signal, sys
import polars as pl
import wheelvec as wv

def work(how):
    signal.alarm(60)  # instead of a deadlock
    try:
        if how == "demo":
            wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-01-05")
        elif how == "market":
            wv.Market(option_quotes=pl.DataFrame(), underlying_bars=pl.DataFrame())
        elif how == "open":
            wv.Market.open("nowhere")
        elif how == "backtest":
            wv.backtest(None, None)
        elif how == "sweep":
            wv.sweep(None, None, {})
        elif how == "check":
            wv.check("nowhere")
        elif how == "result":
            wv.Result.load("nowhere")
        elif how == "loaded":
            wv.Sweep.load("nowhere")
        return "done"
    except wv.WheelvecError as error:
        return f"{type(error).__name__}: {error}"

if __name__ == "__main__":
    method, used, *calls = sys.argv[1:]
    if used == "used":
        pl.DataFrame({"a": [1, 2]}).lazy().group_by("a").len().collect()
    with multiprocessing.get_context(method).Pool(1) as pool:
        for call in calls:
            print(pool.apply(work, (call,)))
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run(folder: Path, *arguments: str) -> list[str]:
    """The output of each call in a child of a process that did or did not use Polars before."""
    program = folder / "program.py"  # a file, for a spawned process imports it
    program.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore", str(program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_function_suggests_spawn_after_a_fork(tmp_path: Path) -> None:
    calls = ["demo", "market", "open", "backtest", "sweep", "check", "result", "loaded"]
    lines = run(tmp_path, "fork", "used", *calls)
    assert len(lines) == len(calls)
    for call, line in zip(calls, lines, strict=True):
        assert line.startswith("WheelvecError: this process was forked after Polars was used"), call
        assert "spawn" in line


@pytest.mark.parametrize(("method", "used"), [("fork", "unused"), ("spawn", "used")])
def test_a_process_in_which_polars_works_is_accepted(
    tmp_path: Path, method: str, used: str
) -> None:
    assert run(tmp_path, method, used, "demo") == ["done"]


def test_another_program_is_accepted(tmp_path: Path) -> None:
    """A subprocess is a fork too; preexec_fn even runs Python before the other program."""
    code = "import wheelvec as wv; print(len(wv.demo_market(symbols=['ALFA'], start='2024-01-02', end='2024-01-05').symbols))"
    pl.DataFrame({"a": [1, 2]}).lazy().group_by("a").len().collect()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: None,
    )
    assert done.stdout.strip() == "1", done.stderr
    assert not forks._forked


INHERITED = """
import os, signal, sys
import wheelvec as wv

market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
result = wv.backtest(market, config)
sweep = wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}, threads=1)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for inherited in (market, result, sweep):
    # cached values from before the fork do not need Polars
    public = [name for name in vars(type(inherited)) if not name.startswith("_") and name not in vars(inherited)]
    for name in [*public, "__repr__", "_repr_html_"]:
        if not callable(member := vars(type(inherited)).get(name)) and not hasattr(member, "__get__"):
            continue
        signal.alarm(20)  # instead of a deadlock
        try:
            found = getattr(inherited, name)
            if callable(found):
                found()
            print(type(inherited).__name__, name, "was not refused")
        except wv.WheelvecError as error:
            assert "forked after Polars" in str(error), error
            print(type(inherited).__name__, name)
sys.stdout.flush()
os._exit(0)
"""


def test_no_inherited_object_deadlocks_in_a_forked_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INHERITED],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {
        "Result summary",
        "Result wheels",
        "Result save",
        "Sweep best",
        "Sweep over_seeds",
        "Market write",
    } <= set(lines)
    assert [line for line in lines if line.endswith("not refused")] == []
