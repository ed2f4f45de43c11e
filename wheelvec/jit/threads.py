"""Execution of compiled loops in blocks, on several threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba import config

# Elements per compiled call. For wheels a call takes 1 to 10 ms: short enough for Ctrl-C, long
# enough that starting a thread (0.1 ms) does not matter.
BLOCK = 16_384


def available() -> int:
    """The number of threads to use: that of the processors, or NUMBA_NUM_THREADS."""
    return int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def over_blocks(size: int, run: Callable[[slice], None], block: int = BLOCK) -> None:
    """Call `run` with slices that cover 0..size-1, on several threads if there are several blocks.

    `run` calls a compiled function without the interpreter lock on these slices of its arrays. The
    result of an element must depend on that element alone; then it is the same for any number of
    threads. Python's threads are used instead of Numba's `prange`, which needs a threading layer
    that a forked process may lack, and which takes five times as long to compile.

    Args:
        size: the number of elements.
        run: called with each block.
        block: elements in a block.
    """
    blocks = [slice(start, min(start + block, size)) for start in range(0, max(size, 1), block)]
    threads = min(len(blocks), available())
    if threads < 2:
        for one in blocks:
            run(one)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(run, blocks):  # raises an exception of `run`
            pass
