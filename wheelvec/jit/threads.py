"""Compiled loops over many elements, block by block and on several threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba import config

# Wheels per compiled call: 1 to 10 ms, so that Ctrl-C is heard, and starting a thread (0.1 ms) does
# not show.
BLOCK = 16_384


def available() -> int:
    """How many threads there are to use: the processors, or NUMBA_NUM_THREADS."""
    return int(config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def over_blocks(size: int, run: Callable[[slice], None], block: int = BLOCK) -> None:
    """Call `run` for 0..size-1 block by block, side by side where there are several blocks and
    processors.

    `run` calls a compiled function, which lets other threads run meanwhile, on a slice of its
    arrays. An element's result must depend on that element alone: then it is the same for any
    number of threads. NUMBA_NUM_THREADS limits them. Threads of Python's and not of Numba's
    `prange`: that needs a threading layer, which a forked process may lack, and compiles for five
    times as long.
    """
    blocks = [slice(start, min(start + block, size)) for start in range(0, max(size, 1), block)]
    threads = min(len(blocks), available())
    if threads < 2:
        for one in blocks:
            run(one)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(run, blocks):  # raises what a block raised
            pass
