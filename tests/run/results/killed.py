"""Processes to be killed while they write: `python -m tests.run.results.killed`, which forks one
for each line that it reads.

A line is JSON: {"do": name of a function below, "args": [...], "die": at which step, or null}. The
answer is the child's exit code, or minus the signal that killed it, and how many steps it took. A
step is a call that changes a folder, or asks that a change outlast a loss of power. The parent uses
no Polars, whose threads would not be in its children.
"""

import functools
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import filelock  # noqa: F401  here and below: imported once, for all children
import polars as pl
import pyarrow.parquet  # noqa: F401

import wheelvec as wv
from wheelvec.model.grid import Grid
from wheelvec.run.results import result  # noqa: F401
from wheelvec.run.results.store import SweepStore

EVENTS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.listdir",
    "os.scandir",
    "shutil.rmtree",
    "fsync",
}
WRITE = os.O_WRONLY | os.O_RDWR
VALUES = {"a": [0.1 + 0.05 * i for i in range(12)], "b": [0.2 + 0.05 * i for i in range(9)]}
CHUNK = 4
BUSY = 3  # the exit code of one that found another writer


class Steps:
    """Counts the steps of this process, and kills it before the one at which it is to die."""

    def __init__(self, die: int | None) -> None:
        self.taken, self._die = 0, die
        sys.addaudithook(self._heard)
        fsync = os.fsync

        @functools.wraps(fsync)
        def counted(descriptor: int) -> None:
            self._heard("fsync", ())
            fsync(descriptor)

        os.fsync = counted

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or (
            event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITE)
        ):
            return
        self.taken += 1
        if self.taken == self._die:
            os.kill(os.getpid(), signal.SIGKILL)


# ------------------------------------------------------------------------------------------------ what children do


def save(source: str, out: str) -> None:
    """Put a saved result in the place of another."""
    wv.Result.load(source).save(out, overwrite=True)


def refused(out: str, below: str) -> None:
    """Print the errors that a user who may only read has with a folder of which a writer was
    killed, and with one to write to.
    """
    os.setuid(65534)
    said = []
    for use in (
        lambda: wv.Result.load(out),
        lambda: sweep("a", f"{below}/new"),
        lambda: sweep("a", below),
    ):
        try:
            use()
        except wv.WheelvecError as error:
            said.append(str(error))
    assert len(said) == 3
    assert "its writer was interrupted while it moved the files" in said[0], said
    assert "new: cannot be written: Permission denied" in said[1], said
    assert "holds out, which is not of a saved sweep" in said[2], said


def load(out: str) -> None:
    """Open a folder, which finishes what was committed."""
    wv.Result.load(out)


def grid_of(name: str) -> Grid:
    """The grid of a made-up sweep."""
    return Grid.read(wv.Config(), {"put.exit_pct": VALUES[name]})


def figures_of(name: str, first: int, last: int) -> pl.DataFrame:
    """The made-up figures of some configurations."""
    rows = pl.DataFrame({"total_pnl": [ord(name) + i / 3 for i in range(first, last)]})
    return rows.with_columns(total_wheels=pl.lit(7, pl.Int64))


def frame_of(name: str) -> pl.DataFrame:
    """The frame of a made-up sweep."""
    grid = grid_of(name)
    return pl.concat([grid.frame, figures_of(name, 0, grid.size)], how="horizontal")


def store_of(name: str, out: str | Path) -> SweepStore:
    """Where it is stored."""
    return SweepStore.of(out, grid_of(name), "full", "fingerprint")


def sweep(name: str, out: str, pause: float = 0.0) -> pl.DataFrame:
    """Store a sweep as `run.sweep` does, with made-up figures; those that are kept are taken as
    they are.
    """
    mine = store_of(name, out)
    mine.check(overwrite=True)
    with mine.held():
        frame = mine.begin(overwrite=True)
        if frame is not None:
            return frame
        parts = {first: part for first, _, part in mine.kept()}
        at, size = 0, mine.grid.size
        while at < size:
            if at not in parts:
                stop = min([size, at + CHUNK, *(first for first in parts if first > at)])
                parts[at] = figures_of(name, at, stop)
                mine.keep(at, parts[at])
                time.sleep(pause)
            at += parts[at].height
        frame = pl.concat(
            [mine.grid.frame, pl.concat([parts[first] for first in sorted(parts)])],
            how="horizontal",
        )
        mine.finish(frame, ())
    return frame


# ---------------------------------------------------------------------------------------------------- the parent


def child(job: dict[str, Any], answer: int) -> int:
    """Run the task of one child process, and return its exit code."""
    steps = Steps(job["die"])
    try:
        globals()[job["do"]](*job["args"])
        return 0
    except wv.WheelvecError as error:
        print(error, file=sys.stderr)
        return BUSY if "another process is writing there" in str(error) else 1
    finally:
        os.write(answer, steps.taken.to_bytes(4, "little"))


def started(job: dict[str, Any]) -> tuple[int, int]:
    """Fork a child: its process and where it says how many steps it took."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        code = 1
        try:
            code = child(job, writing)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    return process, reading


def finished(process: int, reading: int, after: float | None) -> tuple[int, int]:
    """Wait for a child, or kill it after some seconds: exit code and steps."""
    if after is not None:
        time.sleep(after)
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    taken = int.from_bytes(os.read(reading, 4), "little")
    os.close(reading)
    return code, taken


if __name__ == "__main__":
    for line in sys.stdin:
        jobs = json.loads(line)
        running = [started(job) for job in jobs]
        print(
            json.dumps(
                [finished(*one, job.get("after")) for one, job in zip(running, jobs, strict=True)]
            ),
            flush=True,
        )
