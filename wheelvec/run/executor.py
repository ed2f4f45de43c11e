"""Long tasks side by side, in which a signal is heard and progress told."""

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
PROGRESS_SECONDS = 0.1  # seconds: so often progress is told

Do = Callable[[Any], Iterator[None]]
OnProgress = Callable[[int], None]


def default_threads() -> int:
    """As many as there are processors, or NUMBA_NUM_THREADS."""
    return available()


def whole_number(name: str, value: int | None, default: int) -> int:
    """An argument that is a whole number of at least 1; `default` for None.

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
    """Does tasks on several threads, this one among them. A task yields after each of its steps;
    whoever leaves early waits for the steps at work alone.

    This thread works too, for a processor that it leaves idle is where the system would put two of
    the others at first: of a sweep that lasts twenty milliseconds that is half.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._others = threads - 1
        self._lock, self._steps, self._left = Lock(), 0, False

    def each(self, do: Do, tasks: list[Any], on_progress: OnProgress | None = None) -> None:
        """Do all tasks in any order. `on_progress` is called now and then, on this thread, with the
        steps done so far in all.
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
            except IndexError:  # another was faster
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
    """Takes what tasks made one by one in the order of the tasks, whichever is done first.

    Args:
        take: called with the place of a task and what it made, by one thread at a time.
    """

    def __init__(self, take: Callable[[int, T], None]) -> None:
        self._take, self._lock = take, Lock()
        self._next, self._waiting = 0, dict[int, T]()

    def add(self, place: int, made: T) -> None:
        """Take what the task at `place` (0, 1, ...) made, once it is its turn."""
        with self._lock:
            self._waiting[place] = made
            while self._next in self._waiting:
                self._take(self._next, self._waiting.pop(self._next))
                self._next += 1
