"""Runs long tasks on several threads; they can be interrupted, and they report progress."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any, Generic, Self, TypeVar

from wheelvec.jit.threads import available
from wheelvec.model.errors import InputError
from wheelvec.model.fields import plain

T = TypeVar("T")
PROGRESS_SECONDS = 0.1  # seconds between two reports of progress

Do = Callable[[Any], Iterator[None]]
OnProgress = Callable[[int], None]


def default_threads() -> int:
    """The number of processors, or NUMBA_NUM_THREADS."""
    return available()


def default_memory() -> int:
    """A quarter of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


def whole_number(name: str, value: int | None, default: int) -> int:
    """The value of an argument that must be a whole number of at least 1.

    Args:
        name: of the argument.
        value: as the user gave it.
        default: returned for None.

    Raises:
        InputError: naming the argument and its value.
    """
    value = plain(value)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} = {value!r}: expected a whole number of at least 1, or None")
    return value


class Executor:
    """Runs tasks on several threads, of which the calling thread is one.

    A task yields after each of its steps. After an exception or Ctrl-C every thread stops at the
    end of its current step.

    The calling thread runs tasks too. If it only waited, the operating system would at first put
    two threads on one processor and leave another idle: of a sweep of 20 ms that is half.

    Args:
        threads: their number, the calling one included.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._others = threads - 1
        self._lock, self._steps, self._left = Lock(), 0, False

    def each(self, do: Do, tasks: list[Any], on_progress: OnProgress | None = None) -> None:
        """Run all tasks, in any order.

        Args:
            do: runs one task, and yields after each of its steps.
            tasks: the arguments of `do`.
            on_progress: called every `PROGRESS_SECONDS` on the calling thread with the number of
                steps done since the executor was made.
        """
        on_progress, waiting = on_progress or (lambda steps: None), deque(tasks)
        others = (
            [self._pool.submit(self._work, do, waiting) for _ in range(self._others)]
            if self._pool
            else []
        )
        last = time.monotonic()
        for _ in self._steps_of(do, waiting):
            if time.monotonic() - last > PROGRESS_SECONDS:
                on_progress(self._steps)
                last = time.monotonic()
        self._wait_for(others, on_progress)
        on_progress(self._steps)

    def _wait_for(self, others: "list[Future[None]]", on_progress: OnProgress) -> None:
        while wait(others, PROGRESS_SECONDS).not_done:
            on_progress(self._steps)
        for other in others:
            other.result()  # raises what its task raised

    def _work(self, do: Do, waiting: deque[Any]) -> None:
        try:
            for _ in self._steps_of(do, waiting):
                pass
        except BaseException:
            self._left = True
            raise

    def _steps_of(self, do: Do, waiting: deque[Any]) -> Iterator[None]:
        while waiting:
            try:
                task = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            for _ in do(task):
                with self._lock:
                    self._steps += 1
                if self._left:
                    return
                yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


class InOrder(Generic[T]):
    """Passes on the results of tasks in the order of the tasks, whatever order they end in.

    Args:
        take: called with the position of a task and its result, by one thread at a time.
    """

    def __init__(self, take: Callable[[int, T], None]) -> None:
        self._take, self._lock = take, Lock()
        self._next, self._waiting = 0, dict[int, T]()

    def add(self, position: int, result: T) -> None:
        """Pass on the result of a task as soon as those of all tasks before it were.

        Args:
            position: of the task (0, 1, ...).
            result: of the task.
        """
        with self._lock:
            self._waiting[position] = result
            while self._next in self._waiting:
                self._take(self._next, self._waiting.pop(self._next))
                self._next += 1
