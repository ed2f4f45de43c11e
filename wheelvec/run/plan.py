"""How the work of a sweep is shared among threads: each task is some blocks over some slices, gone
through by one thread.

Where there are many configurations a task has blocks of its own and goes through all slices, so
that each configuration's are folded in their order whoever is first. What a block does once a wheel
would then be done on every thread, and for few configurations that is most of the work: there a
task has underlyings of its own and all blocks. Each slice is added to figures of its own, which are
merged in the order of the slices.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.kernels.accumulate import Figures, merge
from wheelvec.stages.figures import NO_WHEEL, SUMS, new_counts

Array = NDArray[Any]

TASK = 50_000_000  # nanoseconds of a compiled call, roughly: Ctrl-C is heard between two of them
SHORT = 5_000_000  # nanoseconds by the same reckoning: beginning a call of half of it is felt
FEW = 2048  # configurations: more fill a core's second cache, and blocks with them
MERGING = 10  # nanoseconds a slice and configuration, roughly
KEPT = 2**24  # bytes of figures kept apart at a time


class Task(NamedTuple):
    """Pieces first..last-1 over some slices of a window."""

    blocks: tuple[int, int]
    slices: Iterable[tuple[Any, Figures]]  # what to go through, and what it is added to


def kept_apart(threads: int, configurations: int, symbols: int, memory: int) -> int:
    """Of how many slices the figures are kept apart at a time; 0 where blocks are shared among the
    threads instead.
    """
    if threads == 1 or configurations > FEW or symbols < 2 * threads:
        return 0
    slices = min(KEPT, memory // 16) // (8 * len(SUMS) * configurations)
    return slices if slices >= symbols else 0


def places(most: dict[str, int], blocks: int, apart: bool) -> dict[str, Array]:
    """(blocks,) where each underlying's values begin among those of a configuration: in room of its
    own for `most` where underlyings are gone through side by side, else behind what is there
    already.
    """
    if not apart:
        return dict.fromkeys(most, np.zeros(blocks, np.int64))
    ends = itertools.accumulate(most.values())
    return {
        symbol: np.full(blocks, end - room)
        for (symbol, room), end in zip(most.items(), ends, strict=True)
    }


class Apart:
    """Figures of some slices, each slice's of its own until they are merged; a task is all blocks
    over one underlying.
    """

    def __init__(
        self, window: list[Any], symbols: list[str], blocks: int, configurations: int
    ) -> None:
        """`symbols` has the underlying of each slice of the window."""
        places: dict[str, list[int]] = {}
        for i, symbol in enumerate(symbols):
            places.setdefault(symbol, []).append(i)
        # an underlying's slices lie side by side; where each slice of the window lies among them
        self._lie = np.argsort(np.concatenate(list(places.values())))
        self._sums = np.empty((len(SUMS), len(window), configurations))
        self.counts = [new_counts(configurations) for _ in places]
        self.tasks, start = [], 0
        for counts, mine in zip(self.counts, places.values(), strict=True):
            sums = self._sums[:, start : start + len(mine)]
            self.tasks.append(
                Task((0, blocks), self._each([window[i] for i in mine], sums, counts))
            )
            start += len(mine)

    def _each(self, slices: list[Any], sums: Array, counts: Array) -> Iterator[tuple[Any, Figures]]:
        sums[:] = NO_WHEEL[
            :, None, None
        ]  # by whoever does the task: the first touch of fresh memory takes time
        for one, *figures in zip(slices, *sums, strict=True):
            yield one, Figures(*[*figures, counts])

    def ranges(self, threads: int) -> list[tuple[int, int]]:
        """Configurations to merge side by side."""
        _, slices, configurations = self._sums.shape
        return cut(np.full(configurations, MERGING * slices), threads)

    def merge(self, some: tuple[int, int], figures: Figures) -> Iterator[None]:
        """Merge what a range of configurations has, slice by slice."""
        first, last = some
        merge(figures, Figures(*[*self._sums, figures.counts]), self._lie, first, last)
        for counts in self.counts:
            figures.counts[:, first:last] += counts[:, first:last]
        return iter(())


def cut(weight: Array, threads: int, least: int = 1) -> list[tuple[int, int]]:
    """Ranges of blocks of about equal weight, each a compiled call; `weight` is nanoseconds in the
    fullest month. `least`: how many there are at least, if there are as many blocks.
    """
    total = int(weight.sum())
    parts = _parts(weight.size, total, threads, least)
    at = ((np.cumsum(weight) - weight / 2) * parts // total).astype(np.int64)
    starts = np.flatnonzero(np.diff(at, prepend=-1) > 0)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), weight.size], strict=True))


def _parts(blocks: int, total: int, threads: int, least: int) -> int:
    """Equally many ranges for each thread, none much longer than `TASK`: four for each of several,
    so that whoever is held up leaves some to the others, but for calls so short that beginning them
    would show. Few blocks must come out even.
    """
    spare = min(4, total // (threads * SHORT)) if threads > 1 else 1
    each = max(-(-total // (threads * TASK)), -(-least // threads), spare, 1)
    if blocks >= 4 * threads * each:
        return threads * each
    return next((n for n in range(threads * each, blocks, threads) if blocks % n == 0), blocks)
