"""A thousand workers on paper: the task graph of a sweep on an executor, simulated event by event.

    python -m benchmarks.thousand_workers                      the table of docs/cluster.md
    python -m benchmarks.thousand_workers --dollars 0.03       another price of an hour of a core

    client --submit--> scheduler --> worker: read the store, compute --> scheduler --> client: keep
    when all are there: client folds them

Client, scheduler and store serve one request after the other, in the order of arrival; a worker has
one thread, and `AHEAD` tasks wait for it, as in `wheelvec.run.cluster.workers`. A sweep has two
stages, and the second begins when the first has ended: the survey, which reads every byte once, and
the jobs. The constants were measured on two shared, busy cores, or are assumed; docs/cluster.md
says which. None of the machines that are simulated was there.
"""

import argparse
import dataclasses
import heapq
from collections import deque
from collections.abc import Iterator

from wheelvec.run.cluster.distributed import TARGET
from wheelvec.run.cluster.surveying import MONTH, SURVEYED
from wheelvec.run.cluster.workers import AHEAD

WORKERS = (1, 10, 100, 300, 1_000)


@dataclasses.dataclass(frozen=True)
class Constants:
    """The measured constants; times in seconds.

    Attributes:
        slice_year: to read and solve a year of an underlying.
        cell: of one wheel under one configuration.
        wheels_year: wheels of an underlying a year.
        bytes_year: of the files of an underlying and year.
        survey_byte: to verify a byte and look for anomalies.
        warm: of a worker, before its first job: imports, and loading compiled code.
        submit: of the client a task: to make, name, pickle and send it.
        schedule: of the scheduler a task, there and back.
        keep: of the client a result: to receive and write it.
        fold: of the client, to fold an underlying into a range of rows, at the end.
        fold_row: of the client, to fold a row of an underlying.
        store: bytes a second that the store gives to all workers together.
        link: bytes a second that it gives to one worker.
    """

    slice_year: float = 0.21
    cell: float = 38e-9
    wheels_year: float = 594.0
    bytes_year: float = 1.73e6
    survey_byte: float = 5.4e-8
    warm: float = 4.0
    submit: float = 0.002
    schedule: float = 0.003
    keep: float = 0.004
    fold: float = 0.005
    fold_row: float = 1e-6
    store: float = 5e9
    link: float = 1e8


@dataclasses.dataclass(frozen=True)
class Task:
    """One task: bytes that it reads, and seconds that it computes."""

    read: float
    compute: float


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The cost of a simulated run.

    Attributes:
        seconds: from the first submission to the end.
        busy: seconds that workers computed.
        client, scheduler, store: seconds that each was busy; the client's fold included.
        fold: seconds of the client at the end.
        read: bytes.
        workers: their number.
    """

    seconds: float
    busy: float
    client: float
    scheduler: float
    store: float
    fold: float
    read: float
    workers: int

    @property
    def utilisation(self) -> float:
        """The share of the workers' time in which they compute."""
        return self.busy / (self.workers * self.seconds)

    @property
    def core_hours(self) -> float:
        """Hours for which cores are paid, idle or not."""
        return self.workers * self.seconds / 3600

    @property
    def narrowest(self) -> str:
        """The resource that is busy for the greatest share of the run."""
        shares = {
            "workers": self.utilisation,
            "client": self.client / self.seconds,
            "scheduler": self.scheduler / self.seconds,
            "store": self.store / self.seconds,
        }
        return max(shares, key=lambda name: shares[name])


class _Server:
    """Serves one request after the other."""

    def __init__(self) -> None:
        self.free, self.busy = 0.0, 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When a request that arrives now is done."""
        self.free, self.busy = max(now, self.free) + seconds, self.busy + seconds
        return self.free


@dataclasses.dataclass
class _Worker:
    waiting: deque[Task] = dataclasses.field(default_factory=deque)
    running: bool = False
    warm: bool = False


class Cluster:
    """Client, scheduler, store and workers; its clock goes on from one stage to the next."""

    def __init__(self, workers: int, constants: Constants) -> None:
        self.constants, self.now, self.busy, self.read = constants, 0.0, 0.0, 0.0
        self.client, self.scheduler, self.store = _Server(), _Server(), _Server()
        self._workers = [_Worker() for _ in range(workers)]

    def run(self, tasks: Iterator[Task]) -> None:
        """Run a stage: every task is submitted, done and kept."""
        self._events: list[tuple[float, int, str, int, Task | None]] = []
        self._number = 0
        for _ in range(AHEAD):
            for i in range(len(self._workers)):
                self._submit(self.now, i, tasks)
        while self._events:
            self.now, _, kind, i, task = heapq.heappop(self._events)
            if kind == "submitted":
                arrived = self.scheduler.serve(self.now, self.constants.schedule / 2)
                self._later(arrived, "arrived", i, task)
            elif kind == "arrived":
                assert task
                self._workers[i].waiting.append(task)
                self._start(i)
            elif kind == "read":
                assert task
                self.busy += task.compute
                self._later(self.now + task.compute, "computed", i, None)
            elif kind == "computed":
                self._workers[i].running = False
                reported = self.scheduler.serve(self.now, self.constants.schedule / 2)
                self._later(reported, "reported", i, None)
                self._start(i)
            elif kind == "reported":
                kept = self.client.serve(self.now, self.constants.keep)
                self._later(kept, "kept", i, None)
            else:
                self._submit(self.now, i, tasks)

    def _later(self, when: float, kind: str, worker: int, task: Task | None) -> None:
        self._number += 1  # of two events at a time, the one that was added first
        heapq.heappush(self._events, (when, self._number, kind, worker, task))

    def _submit(self, now: float, worker: int, tasks: Iterator[Task]) -> None:
        task = next(tasks, None)
        if task is not None:
            sent = self.client.serve(now, self.constants.submit)
            self._later(sent, "submitted", worker, task)

    def _start(self, i: int) -> None:
        worker = self._workers[i]
        if worker.running or not worker.waiting:
            return
        task, worker.running = worker.waiting.popleft(), True
        begins = self.now + (0.0 if worker.warm else self.constants.warm)
        worker.warm = True
        self.read += task.read
        # the store's share of it, and the worker's own link, which is slower
        given = self.store.serve(begins, task.read / self.constants.store)
        self._later(max(given, begins + task.read / self.constants.link), "read", i, task)


def jobs(
    underlyings: int, years: int, configurations: int, constants: Constants
) -> tuple[int, list[Task]]:
    """Rows of a job, and the jobs, as `Distributed.cut` makes them where an underlying fills one."""
    once = constants.slice_year * years
    row = constants.cell * constants.wheels_year * years
    rows = configurations
    if row * rows > TARGET:
        rows = int(max(1, min(rows, max(TARGET - once, once, TARGET / 4) / row)))
    together = max(1, int(TARGET / (once + row * rows)))
    found = []
    for first in range(0, configurations, rows):
        some = min(rows, configurations - first)
        for name in range(0, underlyings, together):
            count = min(together, underlyings - name)
            read = constants.bytes_year * years * count
            found.append(Task(read, count * (once + row * some)))
    return rows, found


def simulate(
    underlyings: int, years: int, configurations: int, workers: int, constants: Constants
) -> Outcome:
    """A sweep on so many workers: survey, jobs, fold."""
    cluster = Cluster(workers, constants)
    total = constants.bytes_year * years * underlyings
    weight = total + MONTH * 12 * years * underlyings
    surveys = max(1, round(weight / SURVEYED))
    size = total / surveys
    cluster.run(iter([Task(size, size * constants.survey_byte)] * surveys))
    rows, tasks = jobs(underlyings, years, configurations, constants)
    cluster.run(iter(tasks))
    ranges = -(-configurations // rows)
    fold = underlyings * (ranges * constants.fold + configurations * constants.fold_row)
    end = cluster.client.serve(cluster.now, fold)
    return Outcome(
        end,
        cluster.busy,
        cluster.client.busy,
        cluster.scheduler.busy,
        cluster.store.busy,
        fold,
        cluster.read,
        workers,
    )


def main() -> None:
    """The command line: a table in Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.thousand_workers",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--underlyings", type=int, default=5_000, help="default: %(default)s")
    parser.add_argument("--years", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--configurations", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument(
        "--dollars", type=float, default=0.04, help="of an hour of a core; default: %(default)s"
    )
    options = parser.parse_args()
    asked = options.underlyings, options.years, options.configurations
    constants = Constants()
    rows, tasks = jobs(*asked, constants)
    print(f"{len(tasks):,} jobs of up to {rows:,} rows and {max(t.compute for t in tasks):.1f} s\n")
    print("| workers | hours | of it fold | utilisation | narrowest | core-hours | dollars |")
    print("|---|---|---|---|---|---|---|")
    for workers in WORKERS:
        found = simulate(*asked, workers, constants)
        print(
            f"| {workers:,} | {found.seconds / 3600:,.2f} | {found.fold / found.seconds:.0%} | "
            f"{found.utilisation:.0%} | {found.narrowest} | {found.core_hours:,.0f} | "
            f"{found.core_hours * options.dollars:,.2f} |"
        )
    print(f"\n{found.read / 1e9:,.0f} GB are read, of a lake of {_lake(asked, constants):,.0f} GB")


def _lake(asked: tuple[int, int, int], constants: Constants) -> float:
    return asked[0] * asked[1] * constants.bytes_year / 1e9


if __name__ == "__main__":
    main()
