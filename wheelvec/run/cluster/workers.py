"""The workers of an executor: a Dask cluster, or any executor of `concurrent.futures`' kind.

    jobs -> Workers.run: a few for each worker at a time -> (job, Done), in order of arrival

A worker that was killed, has other versions, or cannot read the lake costs no job: the job is given
to another one. Where there is no other, the run ends with an error that names the worker. A job
that ends its workers again and again is given up, if it can be done by single underlyings: the
caller then runs these alone, which shows the one that does it.
"""

import contextlib
import logging
import math
import multiprocessing
import queue
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, ProcessPoolExecutor
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from wheelvec.model.errors import InputError, WheelvecError, counted, cut, listed
from wheelvec.run.cluster.jobs import (
    Done,
    Job,
    RefusedWorkerError,
    difference,
    perform,
    unreadable,
    versions,
)

log = logging.getLogger(__name__)

AHEAD = 2  # jobs that wait at each worker
WORKERS = 8  # of an executor that does not say how many it has
TRIES = 3  # of a job that runs alone, or as a whole; Dask kills some workers in each
RESTART = 30.0  # seconds in which a worker that ended is started again
WAIT = 0.1  # seconds between two looks at Ctrl-C
FETCH = 10.0  # seconds that a result may take from a worker to here
LOOK = 1.0  # seconds between two looks at all jobs and at the workers


J = TypeVar("J", bound=Job)


class Asked(NamedTuple, Generic[J]):
    """A job under its name.

    Attributes:
        name: of the content of the job: equal jobs have equal names.
        job: the job.
    """

    name: str
    job: J


class _Running(NamedTuple, Generic[J]):
    """A job that is with the executor.

    Attributes:
        asked: the job under its name.
        tries: how often it was begun, this time included, when those before had ended their workers
            or were refused.
        sent: how often it was given to the executor.
        at: the workers of a cluster that may do it; empty: all of them.
        future: of what it returns.
    """

    asked: Asked[J]
    tries: int
    sent: int
    at: frozenset[str]
    future: Any


class Workers:
    """The workers of an executor that a user gave.

    Args:
        executor: a `dask.distributed.Client`, or an object with the `submit` of
            `concurrent.futures.Executor`.

    Raises:
        InputError: for anything else, a client without asynchronous results, or a pool whose
            processes are forked.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self.is_dask = type(executor).__module__.partition(".")[0] == "distributed"
        if not callable(getattr(executor, "submit", None)) or isinstance(executor, type):
            raise InputError(
                f"executor is {cut(executor)}: expected a dask.distributed.Client, or an executor "
                "with submit, such as concurrent.futures.ProcessPoolExecutor"
            )
        if self.is_dask and getattr(executor, "asynchronous", False):
            raise InputError("executor is an asynchronous client: expected Client(address)")
        if isinstance(executor, ProcessPoolExecutor) and _forks(executor):
            raise InputError(
                "executor forks its processes, in which Polars would deadlock: expected "
                'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))'
            )
        self._refused: dict[str, str] = {}
        self._had_usable, self._idle_since = False, time.monotonic()
        self._warned = False

    def count(self) -> int:
        """The number of jobs that can run at a time, as far as the executor says it."""
        if self.is_dask:
            workers = self._executor.scheduler_info(n_workers=-1)["workers"]
            usable = (name for name in workers if name not in self._refused)
            return max(1, sum(int(workers[name]["nthreads"]) for name in usable))
        found = getattr(self._executor, "_max_workers", None)
        return found if isinstance(found, int) else WORKERS

    def check(self, *folders: Path | None) -> None:
        """Compare the versions of all workers of a cluster, and whether they can read folders.

        Other executors do not let their workers be asked: each job compares.

        Args:
            folders: of the lake, or of results; None: an object store.

        Raises:
            WheelvecError: if no worker can be used; each is named with its reason.
        """
        if not self.is_dask:
            return
        expected = versions()
        for name, found in self._executor.run(_facts, folders, on_error="return").items():
            if isinstance(found, Exception):  # it ended meanwhile: another one takes its place
                self._had_usable = True
                continue
            if said := difference(expected, found[0]) or found[1]:
                self._refuse(name, said)
        if self._refused:
            self._awaited()

    def _usable(self) -> frozenset[str]:
        known = self._executor.scheduler_info(n_workers=-1)["workers"]
        found = frozenset(name for name in known if name not in self._refused)
        self._had_usable = self._had_usable or bool(found)
        if any(known[name].get("status") != "paused" for name in found):
            self._idle_since = time.monotonic()
        return found

    def _awaited(self) -> frozenset[str]:
        """The workers that can be used; if there were some, they are waited for.

        Raises:
            WheelvecError: if there is none.
        """
        until = time.monotonic() + (RESTART if self._had_usable else 0.0)
        while not (found := self._usable()):
            if time.monotonic() >= until:
                raise WheelvecError(self._no_worker())
            time.sleep(WAIT)
        return found

    def _refuse(self, name: str, reason: str) -> None:
        if name not in self._refused:
            log.warning("worker %s is not used: it %s", name, reason)
        self._refused[name] = reason

    def _no_worker(self) -> str:
        reasons = [f"{name} {reason}" for name, reason in self._refused.items()]
        return f"no worker can be used: {listed(reasons, most=5)}"

    def run(
        self, jobs: Iterable[Asked[J]], *, alone: bool = False
    ) -> Iterator[tuple[Asked[J], Done]]:
        """Run jobs, each as often as need be, and yield what they return, in order of arrival.

        A few jobs for each worker are with the executor at a time. If the caller stops, those that
        have not begun are cancelled.

        Args:
            jobs: made when they are needed.
            alone: whether one runs at a time, so that a worker that ends was ended by that job.

        Yields:
            Each job, and what it returned; `Done.lost` if it was given up.

        Raises:
            WheelvecError: if the executor broke, no worker can be used, or a job ended its workers
                that cannot be done by single underlyings.
            Exception: the error of a job, if it is not of a single underlying.
        """
        waiting, running = iter(jobs), dict[str, _Running[J]]()
        ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        most, looked = 1 if alone else AHEAD * self.count(), time.monotonic()
        try:
            while True:
                while len(running) < most and (asked := next(waiting, None)) is not None:
                    running[asked.name] = self._submit(asked, ended)
                if not running:
                    return
                look = time.monotonic() - looked > LOOK
                if look:
                    looked = time.monotonic()
                    most = 1 if alone else AHEAD * self.count()
                    self._move_stranded(running, ended)
                for name in _ended(ended, running, every=look):
                    done = self._result(running, name, ended, alone)
                    if done is not None:
                        yield running.pop(name).asked, done
        except BrokenExecutor as error:
            raise WheelvecError(_broken(error, running.values())) from error
        finally:
            for each in running.values():
                with contextlib.suppress(Exception):
                    each.future.cancel()

    def _submit(
        self,
        asked: Asked[J],
        ended: "queue.SimpleQueue[str]",
        before: _Running[J] | None = None,
        *,
        retried: bool = False,
    ) -> _Running[J]:
        """Give a job to the executor, for the first time or after it was there `before`."""
        tries, sent = (before.tries + retried, before.sent + 1) if before else (1, 1)
        at = self._awaited() if self._refused else frozenset[str]()
        try:
            if self.is_dask:
                # a name that failed is remembered by the scheduler with its error
                key = asked.name if sent == 1 else f"{asked.name}-{sent}"
                more = {"workers": sorted(at), "allow_other_workers": False} if at else {}
                future = self._executor.submit(perform, asked.job, key=key, pure=False, **more)
            else:
                future = self._executor.submit(perform, asked.job)
        except BrokenExecutor:  # a process ended: what it had to do is named by the caller
            raise
        except Exception as error:  # each executor has its own, where it was shut down
            raise WheelvecError(f"the executor takes no more jobs: {error}") from error
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(lambda _: ended.put(asked.name))
        return _Running(asked, tries, sent, at, future)

    def _move_stranded(
        self, running: dict[str, _Running[J]], ended: "queue.SimpleQueue[str]"
    ) -> None:
        """Give jobs to other workers if all those that may do them are gone, and say if all are.

        Dask keeps a job for the workers that it was given to: a worker that was started again has
        another address, and would never get it.
        """
        usable = self._usable() if self.is_dask else frozenset[str]()
        if self.is_dask and time.monotonic() - self._idle_since > RESTART:
            log.warning(
                "%s; jobs wait for one",
                "all workers of the cluster are paused, for lack of memory"
                if usable
                else "the cluster has no worker that can be used",
            )
            self._idle_since = math.inf  # said once
        for name, each in list(running.items()):
            if usable and each.at and each.at.isdisjoint(usable):
                each.future.cancel()
                running[name] = self._submit(each.asked, ended, each)

    def _result(
        self,
        running: dict[str, _Running[J]],
        name: str,
        ended: "queue.SimpleQueue[str]",
        alone: bool,
    ) -> Done | None:
        """The result of a job; None if it is run once more."""
        before = running[name]
        asked, tries, future = before.asked, before.tries, before.future
        try:
            done: Done = future.result(timeout=FETCH) if self.is_dask else future.result()
        except RefusedWorkerError as error:
            if not self.is_dask:
                raise WheelvecError(f"no worker can be used: {error}") from None
            self._refuse(error.worker, error.reason)
            running[name] = self._submit(asked, ended, before, retried=True)
            return None
        except CancelledError as error:
            raise WheelvecError("the executor cancelled its jobs: it was closed") from error
        except TimeoutError:
            if not self.is_dask or future.status == "error":
                raise
            return None  # its worker ended before the result was fetched: Dask runs it again
        except Exception as error:
            if type(error).__name__ != "KilledWorker":
                raise
            apart = asked.job.apart
            times = tries * (1 + int(getattr(error, "allowed_failures", 0)))
            said = (
                f"its worker ended {counted(times, 'time')} in succession, often for lack of memory"
            )
            if tries < TRIES and (alone or not apart):
                log.warning("%s: %s; it is tried again", name, said)
                running[name] = self._submit(asked, ended, before, retried=True)
                return None
            if not apart:
                raise WheelvecError(f"a job cannot be done: {said}") from error
            return Done.lost(apart, said)
        if done.threads > 1 and not self._warned and self.count() > 1:
            self._warned = True
            log.warning(
                "workers run Polars on %d threads each: POLARS_MAX_THREADS=1 in their environment "
                "keeps them from waiting for one another",
                done.threads,
            )
        return done


def _broken(error: BrokenExecutor, running: "Iterable[_Running[Any]]") -> str:
    """The message of a pool that broke, which does not say which of its jobs did it."""
    symbols = sorted({symbol for each in running for symbol in each.asked.job.apart})
    having = f"; it had jobs of {listed(symbols, most=5)}" if symbols else ""
    return (
        f"the executor broke: {error}; one of its processes ended, often for lack of memory"
        f"{having}; a Dask cluster goes on without an underlying that ends its workers"
    )


def _facts(folders: tuple[Path | None, ...]) -> tuple[dict[str, str], str]:
    """The versions of a worker, and why it cannot read one of the folders; "" if it can."""
    return versions(), next(filter(None, map(unreadable, folders)), "")


def _forks(pool: ProcessPoolExecutor) -> bool:
    context = getattr(pool, "_mp_context", None) or multiprocessing.get_context()
    return bool(context.get_start_method() == "fork")


def _ended(
    ended: "queue.SimpleQueue[str]", running: dict[str, _Running[Any]], *, every: bool
) -> list[str]:
    """The names of the jobs that have ended, after waiting a moment for one that says so.

    Args:
        ended: the names of jobs as they end.
        running: the jobs by name.
        every: whether to look at all of them. Futures of submitit do not say when they end; those
            of Dask say it once, although a result can be lost with its worker and made again.
    """
    found: list[str] = list(running) if every else []
    with contextlib.suppress(queue.Empty):
        found.append(ended.get(timeout=WAIT))
        while True:
            found.append(ended.get_nowait())
    # one that was moved ended at its first place too
    return [
        name for name in dict.fromkeys(found) if name in running and running[name].future.done()
    ]
