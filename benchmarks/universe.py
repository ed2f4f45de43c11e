"""A sweep over thousands of underlyings by one command, on two workers of 2 GB each.

    python -m benchmarks.universe                          2,000 underlyings, in a temporary folder
    python -m benchmarks.universe --underlyings 20000 --steps    what the client does before a run
    python -m benchmarks.universe --lake FOLDER            keeps the lake, and takes what is in it

The files of every underlying are those of one, made for the demo market, under another name: only
their footers differ, which name the underlying. (A link to a file of another underlying is refused:
it counts as moved.) What is measured is how time and memory of client and workers grow with the
number of underlyings, so each has few months and few wheels.
"""

import argparse
import datetime as dt
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wheelvec as wv
from wheelvec.lake import lake as lakes
from wheelvec.lake import manifest, parquet
from wheelvec.tables.validation import TABLES

log = logging.getLogger("benchmarks.universe")

UNDERLYINGS, WORKERS, LIMIT = 2_000, 2, 2_000_000_000
FIRST, END, LAST_ENTRY = "2023-12-01", "2024-03-29", "2024-02-29"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WHEEL = f"""
[schedule]
start_date = {FIRST}
end_date = {LAST_ENTRY}
max_wheels_per_symbol_per_day = 1
"""
GRID = """
[put]
exit_pct = {first = 0.2, last = 0.8, count = 10}
stop_loss_multiplier = [1.5, 2.0, 2.5, 3.0, "none"]
[fills]
execution_seed = {first = 1, last = 4}
"""
ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def names(count: int) -> list[str]:
    """Names of four letters, as long as that of the underlying that all are copies of."""
    return ["".join(LETTERS[i // 26**k % 26] for k in (3, 2, 1, 0)) for i in range(count)]


# ---- the lake


def make(folder: Path, count: int) -> None:
    """Write the lake: one underlying of the demo market, under `count` names.

    Args:
        folder: of the lake; underlyings that it has are left as they are.
        count: the number of underlyings.
    """
    with tempfile.TemporaryDirectory() as one:
        wv.demo_market(symbols=["ALFA"], start=FIRST, end=END).write(one)
        held = lakes.Lake.open(one, dt.date.min, dt.date.max).files
        content = {
            name: {month: path.read_bytes() for month, path in found["ALFA"].items()}
            for name, found in held.items()
        }
    for name in names(count):
        if manifest.path_of(folder, name).exists():
            continue
        for table, months in content.items():
            place = folder / table / manifest.folder_name(name)
            place.mkdir(parents=True, exist_ok=True)
            for month, data in months.items():
                path = place / f"{month.isoformat()[:7]}.parquet"
                _copy(parquet.MonthFile(TABLES[table], name, month, path), data)
        manifest.path_of(folder, name).parent.mkdir(parents=True, exist_ok=True)
        manifest.add(folder, name, {table: list(months) for table, months in content.items()})


def _copy(file: parquet.MonthFile, data: bytes) -> None:
    """Write a file of ALFA as that of another underlying: its name in the footer, and its digest.

    Readers take the name from the verified path, and not from the column.
    """
    stated = b'"underlying": "ALFA"'
    at = data.rindex(stated)
    said = stated.replace(b"ALFA", file.underlying.encode())
    with file.path.open("w+b") as opened:
        opened.write(data[:at] + said + data[at + len(said) :])
        parquet._sign(file, opened)


# ---- what is measured


def steps(folder: Path) -> Iterator[tuple[str, float]]:
    """Name and seconds of each thing that a client does before the first job of a run."""

    def timed(name: str, do: Callable[[], Any]) -> tuple[str, float]:
        began = time.perf_counter()
        do()
        return name, time.perf_counter() - began

    market = wv.Market.open(folder)
    yield timed("open", lambda: wv.Market.open(folder))
    yield timed("symbols", lambda: market.symbols)
    yield timed("data_range", lambda: market.data_range)
    yield timed("sizes", market.sizes)
    pairs = [market.symbols[i : i + 2] for i in range(0, len(market.symbols), 2)]
    parts: list[wv.Market] = []
    yield timed(f"{len(pairs):,} parts", lambda: parts.extend(market.part(pair) for pair in pairs))
    sizes: list[int] = []
    yield timed("pickled", lambda: sizes.extend(len(pickle.dumps(part)) for part in parts))
    log.info("the market of a job is %d to %d bytes", min(sizes), max(sizes))
    yield timed("plan", lambda: wv.plan(market, None, {"put.exit_pct": [0.25, 0.5]}))


class Peaks(threading.Thread):
    """Samples the memory of the children of this process: the most of each, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most: dict[str, int] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        """Sample twice a second until `ended` is set."""
        import psutil

        while not self.ended.wait(0.5):
            for process in psutil.Process().children(recursive=True):
                try:
                    line, size = " ".join(process.cmdline()), process.memory_info().rss
                except psutil.Error:
                    continue
                kind = "client" if " sweep " in line else "worker" if "spawn_main" in line else ""
                if kind:
                    name = f"{kind} {process.pid}"
                    self.most[name] = max(size, self.most.get(name, 0))


class Tasks:
    """A plugin of the scheduler: start and end of every task that was done, by its name."""

    def __init__(self) -> None:
        self.times: dict[str, tuple[float, float]] = {}

    def transition(
        self, key: str, start: str, finish: str, *_: Any, startstops: Any = None, **__: Any
    ) -> None:
        """Called by the scheduler."""
        if finish == "memory":
            for each in startstops or ():
                if each["action"] == "compute":
                    self.times[str(key)] = each["start"], each["stop"]


def run(folder: Path, work: Path) -> dict[str, Any]:
    """Run the command on a cluster of two processes."""
    import distributed
    from distributed.diagnostics.plugin import SchedulerPlugin

    (work / "wheel.toml").write_text(WHEEL, encoding="utf-8")
    (work / "grid.toml").write_text(GRID, encoding="utf-8")
    os.environ.update(ENVIRONMENT)
    with distributed.LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=1,
        memory_limit=LIMIT,
        dashboard_address=None,
        local_directory=str(work),
    ) as cluster:
        line = [sys.executable, "-m", "wheelvec", "sweep", "wheel.toml", "grid.toml"]
        line += ["--lake", str(folder), "--executor", cluster.scheduler_address]
        planning = time.perf_counter()
        planned = subprocess.run(
            [*line, "--dry-run", "--json"], cwd=work, check=True, capture_output=True, text=True
        )
        planning = time.perf_counter() - planning
        log.info("planned in %.1f s", planning)
        tasks = type("Plugin", (Tasks, SchedulerPlugin), {})()
        cluster.scheduler.add_plugin(tasks, name="tasks")
        peaks = Peaks()
        peaks.start()
        began, clock = time.perf_counter(), time.time()
        ended = subprocess.run(
            [*line, "--out", "out", "--quiet", "--no-page"],
            cwd=work,
            check=False,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - began
        peaks.ended.set()
        peaks.join()
    frame = wv.Sweep.load(work / "out").frame
    return {
        "exit": ended.returncode,
        "planning_seconds": planning,
        "planned": json.loads(planned.stdout),
        "seconds": seconds,
        "tasks": len(tasks.times),
        "task_seconds": sum(end - start for start, end in tasks.times.values()),
        "longest_task": max(end - start for start, end in tasks.times.values()),
        "first_task_after": min(start for start, _ in tasks.times.values()) - clock,
        "last_task_after": max(end for _, end in tasks.times.values()) - clock,
        "timeline": sorted(
            (round(start - clock, 2), round(end - start, 2), key)
            for key, (start, end) in tasks.times.items()
        ),
        "peak_mib": {name: round(size / 2**20) for name, size in peaks.most.items()},
        "rows": frame.height,
        "wheels": int(frame["total_wheels"][0]),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.universe", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--lake", type=Path, help="keep the lake here; default: a temporary folder")
    parser.add_argument("--underlyings", type=int, default=UNDERLYINGS, help="default: %(default)s")
    parser.add_argument("--steps", action="store_true", help="only what the client does before")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with tempfile.TemporaryDirectory() as work:
        folder = (options.lake or Path(work) / "lake").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        make(folder, options.underlyings)
        log.info("made %d underlyings", options.underlyings)
        if options.steps:
            for name, seconds in steps(folder):
                print(f"{name:16}{seconds:8.2f} s", flush=True)
            return
        shutil.rmtree(folder / "solved_chains", ignore_errors=True)
        print(json.dumps(run(folder, Path(work)), indent=1))


if __name__ == "__main__":
    main()
