"""Ten years of a hundred underlyings: time per wheel and memory, from one month to all.

    python -m benchmarks.scale                     makes the lake (2 GB) in a temporary folder
    python -m benchmarks.scale --lake FOLDER       keeps the lake, and takes what is already in it
    python -m benchmarks.scale --underlyings 10    a tenth

The lake is in the demo market's style, made month by month. Each size runs in a separate process,
from the lake, with the result written as it is made; a small run before the clock starts leaves out
imports and compilation. `make bench` keeps the figures of the last scale run.
"""

import argparse
import datetime as dt
import json
import logging
import multiprocessing
import resource
import shutil
import statistics
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

import wheelvec as wv
from benchmarks import figures, machine
from wheelvec.demo.synthetic import demo_months

log = logging.getLogger("benchmarks.scale")

FIRST, YEARS, UNDERLYINGS = 2010, 10, 100
MAKERS = 2  # processes that write the lake
SMALL_ROUNDS = 9  # of runs that take less than a second
SECOND = 1.0


def names(count: int) -> list[str]:
    """Invented names: SAA, SAB, ...; each takes one of the demo market's characters."""
    letters = string.ascii_uppercase
    return [f"S{letters[i // 26]}{letters[i % 26]}" for i in range(count)]


def last_day(years: int) -> dt.date:
    """The last day of so many years of data."""
    return dt.date(FIRST + years - 1, 12, 31)


def sizes(underlyings: int, years: int) -> list[tuple[int, dt.date, dt.date]]:
    """Underlyings, first and last entry: a month of one, a year of one, ten years of one, ten years
    of ten, all.
    """
    start = dt.date(FIRST, 1, 1)
    spans = [
        (1, dt.date(FIRST, 1, 31)),
        (1, dt.date(FIRST, 12, 31)),
        (1, last_day(years)),
        (10, last_day(years)),
    ]
    spans.append((underlyings, last_day(years)))
    return sorted({(count, start, end) for count, end in spans if count <= underlyings})


# ---- the lake


def make(lake: Path, underlyings: int, years: int) -> None:
    """Write what the lake does not hold yet."""
    orders = [(lake, name, last_day(years)) for name in names(underlyings)]
    wanted = [order for order in orders if not _marker(*order).exists()]
    # a fork would inherit Polars' threads without the threads
    with multiprocessing.get_context("spawn").Pool(MAKERS) as pool:
        for done, name in enumerate(pool.imap_unordered(_make_one, wanted), 1):
            log.info("made %s, %d of %d", name, done, len(wanted))


def _make_one(order: tuple[Path, str, dt.date]) -> str:
    lake, name, end = order
    for tables in demo_months(name, start=dt.date(FIRST, 1, 1), end=end):
        wv.Market(
            option_quotes=tables["option_quotes"],
            option_bars=tables["option_bars"],
            underlying_bars=tables["underlying_bars"],
        ).write(lake)
    _marker(*order).touch()
    return name


def _marker(lake: Path, name: str, end: dt.date) -> Path:
    """Says that an underlying was made whole; hidden, as a lake's readers pass over such files."""
    return lake / f".made-{name}-{end}"


# ---- one size


def run(lake: Path, count: int, start: dt.date, end: dt.date) -> dict[str, Any]:
    """Run one size here, and say what it took: with nothing kept in the lake, so that chains are
    solved from the quotes, then with the chains and findings that it kept.
    """
    symbols = names(count)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        _timed(lake, symbols[:1], start, min(end, dt.date(FIRST, 1, 31)), out)
        stood, seconds, kept = _peak_mib(), [], []
        while not seconds or (max(seconds) < SECOND and len(seconds) < SMALL_ROUNDS):
            for kept_there in ("solved_chains", ".summaries"):
                shutil.rmtree(lake / kept_there, ignore_errors=True)
            seconds.append(_timed(lake, symbols, start, end, out))
        peak = _peak_mib()
        while len(kept) < len(seconds):
            kept.append(_timed(lake, symbols, start, end, out))
        total = pl.scan_parquet(out / "records.parquet").filter(pl.col("phase") == "total")
        wheels = int(total.select(pl.len()).collect().item())
    months = count * ((end.year - start.year) * 12 + end.month - start.month + 1)
    return {
        "underlyings": count,
        "first": start.isoformat(),
        "last": end.isoformat(),
        "underlying_months": months,
        "wheels": wheels,
        "seconds": statistics.median(seconds),
        "kept_seconds": statistics.median(kept),
        "rounds": len(seconds),
        "peak_mib": peak,
        "start_mib": stood,
    }


def _timed(lake: Path, symbols: list[str], start: dt.date, end: dt.date, out: Path) -> float:
    """Seconds from the lake's folder to the result's."""
    shutil.rmtree(out, ignore_errors=True)
    config = wv.Config(schedule=wv.Schedule(start_date=start, end_date=end, symbols=symbols))
    began = time.perf_counter()
    wv.backtest(wv.Market.open(lake, symbols=symbols), config, out=out)
    return time.perf_counter() - began


def _peak_mib() -> float:
    """The most memory that this process ever had resident, in MiB (kilobytes on Linux, bytes on
    macOS).
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measured(lake: Path, underlyings: int, years: int) -> list[dict[str, Any]]:
    """Every size, each in a separate process."""
    rows = []
    for count, start, end in sizes(underlyings, years):
        command = [
            sys.executable,
            "-m",
            "benchmarks.scale",
            "--lake",
            str(lake),
            "--size",
            str(count),
            str(start),
            str(end),
        ]
        rows.append(
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        )
        log.info("%s", rows[-1])
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--lake", type=Path, help="keep the lake here; default: a temporary folder")
    parser.add_argument("--underlyings", type=int, default=UNDERLYINGS, help="default: %(default)s")
    parser.add_argument("--years", type=int, default=YEARS, help="default: %(default)s")
    parser.add_argument("--size", nargs=3, metavar=("N", "START", "END"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.size:
        count, start, end = options.size
        print(
            json.dumps(
                run(
                    options.lake,
                    int(count),
                    dt.date.fromisoformat(start),
                    dt.date.fromisoformat(end),
                )
            )
        )
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with tempfile.TemporaryDirectory() as folder:
        lake = options.lake or Path(folder)
        lake.mkdir(parents=True, exist_ok=True)
        make(lake, options.underlyings, options.years)
        size = sum(path.stat().st_size for path in lake.rglob("*.parquet")) / 2**20
        rows = measured(lake, options.underlyings, options.years)
    figures.update("scale", {"machine": machine.described(), "lake_mib": size, "rows": rows})


if __name__ == "__main__":
    main()
