"""Blocks on several threads: every element is visited once, for any number of threads."""

import numpy as np
import pytest

from wheelvec.jit import threads


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 101])
def test_every_element_is_visited_once(
    monkeypatch: pytest.MonkeyPatch, workers: int, size: int
) -> None:
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", workers)
    visits = np.zeros(size, np.int64)

    def visit(block: slice) -> None:
        visits[block] += 1

    threads.over_blocks(size, visit, block=10)
    assert (visits == 1).all()


def test_an_exception_of_a_block_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 2)

    def fail(block: slice) -> None:
        raise ValueError(f"block from {block.start}")

    with pytest.raises(ValueError, match="block from 0"):
        threads.over_blocks(30, fail, block=10)
