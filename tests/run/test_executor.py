"""Tasks side by side: all are done, progress is told on the thread that asks, and errors and signals end them."""

import threading
import time
from collections.abc import Iterator

import pytest

from wheelvec.run import executor as crews
from wheelvec.run.executor import Crew


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_task_is_done_once_and_every_step_counted(threads: int) -> None:
    ran: list[tuple[int, int]] = []
    told: list[int] = []

    def steps(task: int) -> Iterator[None]:
        for step in range(task):
            ran.append((task, step))
            yield

    with Crew(threads) as crew:
        crew.each(steps, [3, 1, 2], told.append)
        crew.each(steps, [1], told.append)
    assert sorted(ran) == [(1, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert told[-1] == 7
    assert told == sorted(told)


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_is_told_while_others_work(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "HEARD", 0.01)
    where = set()

    def slow(_: int) -> Iterator[None]:
        for _ in range(5):
            time.sleep(0.02)
            yield

    with Crew(threads) as crew:
        crew.each(slow, [1, 2, 3], lambda steps: where.add((threading.current_thread(), steps)))
    assert {thread for thread, _ in where} == {threading.main_thread()}
    assert len({steps for _, steps in where}) > 3


def test_two_threads_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def meeting(_: int) -> Iterator[None]:
        both.wait()
        yield

    with Crew(2) as crew:
        crew.each(meeting, [1, 2])


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

    with pytest.raises(ValueError, match="this one"), Crew(2) as crew:
        crew.each(failing, [1, 2])
    assert time.monotonic() - began < 10
    assert threading.active_count() == threads
