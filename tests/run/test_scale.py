"""Threads change no bit, memory follows the slice, and the default configuration works on the demo
market.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from wheelvec.demo.synthetic import demo_tables

RUN = """
import sys
from tests.memory import peak_kib
import wheelvec as wv
market = wv.Market.open(sys.argv[1])
result = wv.backtest(market, wv.Config(put=wv.PutRules(delta_min=0.2, delta_max=0.4)), out=sys.argv[2])
print(peak_kib())
"""


def run_in_a_process(lake: Path, out: Path, threads: int) -> int:
    """Run the default rules over a lake; the peak of resident memory in KiB."""
    limits = {"POLARS_MAX_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    command = [sys.executable, "-c", RUN, str(lake), str(out)]
    done = subprocess.run(
        command, env={**os.environ, **limits}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def write_years(lake: Path, symbols: tuple[str, ...]) -> None:
    for symbol in symbols:
        tables = demo_tables(symbols=[symbol], start="2023-01-03", end="2023-12-29")
        wv.Market(**tables).write(lake)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One underlying-year, and four."""
    folder = tmp_path_factory.mktemp("lakes")
    write_years(folder / "one", ("BRVO",))
    write_years(folder / "four", ("BRVO", "DLTA", "ALFA", "CHRL"))
    return folder / "one", folder / "four"


def test_one_thread_and_two_give_the_same_bits(lakes: tuple[Path, Path], tmp_path: Path) -> None:
    for threads in (1, 2):
        shutil.rmtree(lakes[1] / "solved_chains", ignore_errors=True)  # each solves for itself
        run_in_a_process(lakes[1], tmp_path / str(threads), threads)
    one, two = (json.loads((tmp_path / str(n) / "result.json").read_text()) for n in (1, 2))
    assert one["files"] == two["files"]
    assert wv.Result.load(tmp_path / "1").wheels.height > 1000


def test_memory_follows_the_slice_and_not_the_market(
    lakes: tuple[Path, Path], tmp_path: Path
) -> None:
    one, four = (run_in_a_process(lake, tmp_path / lake.name, 2) for lake in lakes)
    assert four < 1.2 * one, f"{four} KiB over four underlying-years, {one} KiB over one"


def test_a_lake_gives_the_records_of_memory(lakes: tuple[Path, Path], tmp_path: Path) -> None:
    tables = demo_tables(symbols=["BRVO"], start="2023-01-03", end="2023-12-29")
    memory = wv.backtest(wv.Market(**tables))  # type: ignore[arg-type]
    lake = wv.backtest(wv.Market.open(lakes[0]))
    for name in ("records", "ledger", "diagnostics", "call_diagnostics", "paths", "underlying"):
        assert getattr(memory, name).equals(getattr(lake, name)), name
    assert memory.fingerprint == lake.fingerprint


def test_ledger_and_records_hold_on_the_demo_market() -> None:
    result = wv.backtest(wv.demo_market())
    result.validate()
    resolved = result.wheels.filter(pl.col("pnl").is_not_null())
    sums = result.ledger.group_by("wheel_id").agg(pl.col("amount").sum())
    both = resolved.join(sums, on="wheel_id")
    assert both.height == resolved.height > 1500
    assert (both["pnl"] - both["amount"]).abs().max() < 1e-9
