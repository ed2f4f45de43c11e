"""Long tasks side by side, in which a signal is heard and progress told."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Lock
from typing import Any, Self

HEARD = 0.1  # seconds: progress is told as often, and a signal waits no longer


class Crew:
    """Does tasks on several threads, or on this one. A task yields after each of its steps; whoever leaves early waits for the
    steps at work alone."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._lock, self._steps, self._left = Lock(), 0, False

    def each(self, do: Callable[[Any], Iterator[None]], tasks: list[Any], told: Callable[[int], None] | None = None) -> None:
        """Do all tasks in any order. `told` is called now and then, on this thread, with the steps done so far in all."""
        told = told or (lambda steps: None)
        if self._pool is None:
            self._alone(do, tasks, told)
            return
        waiting = {self._pool.submit(self._whole, do, task) for task in tasks}
        while waiting:
            done, waiting = wait(waiting, HEARD, FIRST_EXCEPTION)
            for future in done:
                future.result()  # raises what the task raised
            told(self._steps)

    def _alone(self, do: Callable[[Any], Iterator[None]], tasks: list[Any], told: Callable[[int], None]) -> None:
        last = time.monotonic()
        for task in tasks:
            for _ in do(task):
                self._steps += 1
                if time.monotonic() - last > HEARD:
                    told(self._steps)
                    last = time.monotonic()
        told(self._steps)

    def _whole(self, do: Callable[[Any], Iterator[None]], task: Any) -> None:
        for _ in do(task):
            with self._lock:
                self._steps += 1
            if self._left:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
