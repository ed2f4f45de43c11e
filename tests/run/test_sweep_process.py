"""Sweeps in separate processes: a real Ctrl-C, and the most memory that a large grid takes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from wheelvec.model.grid import grid_from_toml

ROOT = Path(__file__).resolve().parents[2]
# A background job's children ignore Ctrl-C from their start on; a terminal's do not.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from wheelvec.cli import main
raise SystemExit(main(sys.argv[1:]))
"""
WHEEL = "[schedule]\nstart_date = 2024-01-02\nend_date = 2024-03-28\n"
TARGETS, STOPS, CHANCES = 45, 45, 25
GRID = f"""
[put]
exit_pct = {[round(0.1 + 0.018 * i, 3) for i in range(TARGETS)]}
stop_loss_multiplier = {[round(1.1 + 0.06 * i, 2) for i in range(STOPS)]}
[fills]
pfill_scale = {[round(0.2 + 0.04 * i, 2) for i in range(CHANCES)]}
"""
LATER = 0.2  # seconds: in the midst of the next chunk, not while the last one is being renamed
SOON = 5.0  # seconds; it takes well under one where nothing else is at work


def interrupted(arguments: list[str], moment: Callable[[], bool]) -> tuple[int, str, float]:
    """Run the command line in a child and send it SIGINT at `moment()`: exit code, standard error,
    seconds from signal to end.
    """
    line = [sys.executable, "-c", COMMAND, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        while child.poll() is None and not moment():
            time.sleep(0.001)
        time.sleep(LATER)
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, errors = child.communicate(timeout=60)
        return child.returncode, errors, time.monotonic() - sent


@pytest.mark.slow
def test_ctrl_c_ends_soon_and_a_rerun_continues(tmp_path: Path) -> None:
    lake, out, wheel, grid = (
        tmp_path / "lake",
        tmp_path / "out",
        tmp_path / "wheel.toml",
        tmp_path / "grid.toml",
    )
    wv.demo_market().write(lake)
    wheel.write_text(WHEEL)
    grid.write_text(GRID)
    arguments = [
        "sweep",
        str(wheel),
        str(grid),
        "--lake",
        str(lake),
        "--out",
        str(out),
        "--threads",
        "1",
        "--quiet",
    ]
    code, errors, seconds = interrupted(arguments, lambda: any((out / "chunks").glob("*.parquet")))
    assert code == 130, errors
    said = re.fullmatch(
        r"wheelvec: error: interrupted: ([\d,]+) of ([\d,]+) configurations are kept in .*; run the same sweep again to continue\n",
        errors,
    )
    assert said, errors
    kept, total = (int(number.replace(",", "")) for number in said.groups())
    assert 0 < kept < total == TARGETS * STOPS * CHANCES
    assert seconds < SOON
    market, config, done = wv.Market.open(lake), wv.Config.from_toml(wheel), list[int]()
    again = wv.sweep(
        market, config, grid_from_toml(grid), out=out, progress=lambda d, *_: done.append(d)
    )
    assert kept < done[0]
    whole = wv.sweep(market, config, grid_from_toml(grid))
    assert_frame_equal(again.frame, whole.frame, check_exact=True)


MEMORY = """
from tests.memory import peak_kib
import numpy as np
import wheelvec as wv

def peak():
    return peak_kib()

market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-04-30")
config = wv.Config(schedule=wv.Schedule(end_date="2024-03-28"))

def swept(side):
    grid = {"put.exit_pct": np.linspace(0.1, 0.9, side), "put.stop_loss_multiplier": np.linspace(1.1, 4.0, side)}
    return wv.sweep(market, config, grid, threads=1, memory=2**24)

swept(2)
before = peak()
frame = swept(450).frame
print(frame.height, frame.estimated_size() // 1024, peak() - before)
"""


def test_a_large_grid_takes_twice_its_frame_and_what_memory_allows() -> None:
    """In one chunk it would hold the P&L of every cell besides: measured, another 140 MiB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", MEMORY]
    done = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    rows, frame, grown = map(int, done.stdout.split())  # KiB, as Linux counts
    assert rows > 200_000
    assert grown < 2 * frame + 2**14
