"""Tasks side by side: all are done, progress is reported on the calling thread, and errors and
signals end them.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from wheelvec.run import executor as executors
from wheelvec.run.executor import Executor


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_task_is_done_once_and_every_step_counted(threads: int) -> None:
    ran: list[tuple[int, int]] = []
    on_progress: list[int] = []

    def steps(task: int) -> Iterator[None]:
        for step in range(task):
            ran.append((task, step))
            yield

    with Executor(threads) as executor:
        executor.each(steps, [3, 1, 2], on_progress.append)
        executor.each(steps, [1], on_progress.append)
    assert sorted(ran) == [(1, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert on_progress[-1] == 7
    assert on_progress == sorted(on_progress)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_is_reported_while_others_work(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "PROGRESS_SECONDS", 0.01)
    where = set()

    def slow(_: int) -> Iterator[None]:
        for _ in range(5):
            time.sleep(0.02)
            yield

    with Executor(threads) as executor:
        executor.each(slow, [1, 2, 3], lambda steps: where.add((threading.current_thread(), steps)))
    assert {thread for thread, _ in where} == {threading.main_thread()}
    assert len({steps for _, steps in where}) > 3


def test_two_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def meeting(_: int) -> Iterator[None]:
        both.wait()
        yield

    with Executor(2) as executor:
        executor.each(meeting, [1, 2])


@pytest.mark.parametrize("on_main", [True, False])
def test_an_error_of_any_thread_ends_the_others(on_main: bool) -> None:
    """The other thread would go on for a minute."""
    both = threading.Barrier(2, timeout=10)
    began, threads = time.monotonic(), threading.active_count()

    def failing(_: int) -> Iterator[None]:
        both.wait()
        yield
        if (threading.current_thread() is threading.main_thread()) == on_main:
            raise ValueError("this one")
        for _ in range(6000):
            time.sleep(0.01)
            yield

    with pytest.raises(ValueError, match="this one"), Executor(2) as executor:
        executor.each(failing, [1, 2])
    assert time.monotonic() - began < 10
    assert threading.active_count() == threads
