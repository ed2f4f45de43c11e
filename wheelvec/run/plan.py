"""Splits the work of a sweep into tasks for its threads: some blocks over some slices.

With many configurations a task has some of the blocks and all slices. Figures are then added up
slice by slice in a fixed order, whichever thread is faster.

With few configurations most of the work of a block is done once per wheel, and every thread would
repeat it. A task then has all blocks and the slices of one underlying. The figures of each slice
are stored separately, and merged in the order of the slices.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wheelvec.kernels.accumulate import Figures, merge
from wheelvec.stages.figures import NO_WHEEL, SUMS, new_counts

Array = NDArray[Any]

TASK = 50_000_000  # nanoseconds of a compiled call, estimated: Ctrl-C takes effect between calls
SHORT = 5_000_000  # nanoseconds, estimated: calls of half that time have a noticeable overhead
FEW = 2048  # configurations: the figures of more fill the L2 cache of a core
MERGING = 10  # nanoseconds per slice and configuration, estimated
KEPT = 2**24  # bytes of separate figures at a time


class Task(NamedTuple):
    """Some blocks of a plan over some slices.

    Attributes:
        blocks: the first block, and the one after the last.
        slices: each slice (with its span), and the figures that it is added to.
    """

    blocks: tuple[int, int]
    slices: Iterable[tuple[Any, Figures]]


def kept_apart(threads: int, configurations: int, symbols: int, memory: int) -> int:
    """The number of slices whose figures are stored separately at a time.

    Args:
        threads: the number of threads.
        configurations: the number of configurations.
        symbols: the number of underlyings.
        memory: bytes that the sweep may take.

    Returns:
        That number; 0 where a task has some of the blocks and all slices instead.
    """
    if threads == 1 or configurations > FEW or symbols < 2 * threads:
        return 0
    slices = min(KEPT, memory // 16) // (8 * len(SUMS) * configurations)
    return slices if slices >= symbols else 0


def places(most: dict[str, int], blocks: int, apart: bool) -> dict[str, Array]:
    """The position of the first ROC of each underlying in the row of a configuration.

    Args:
        most: underlying -> the greatest number of its wheels.
        blocks: the number of blocks.
        apart: whether underlyings are simulated in parallel. Each then has a range of `most`
            positions; otherwise one array of next free positions is common to all.

    Returns:
        underlying -> (blocks,) positions, which the sweep advances.
    """
    if not apart:
        return dict.fromkeys(most, np.zeros(blocks, np.int64))
    ends = itertools.accumulate(most.values())
    return {
        symbol: np.full(blocks, end - wheels)
        for (symbol, wheels), end in zip(most.items(), ends, strict=True)
    }


class Apart:
    """The separate figures of some slices until they are merged; one task per underlying.

    Args:
        slices: in the order in which figures are merged.
        symbols: the underlying of each slice.
        blocks: the number of blocks of the plan.
        configurations: the number of configurations.

    Attributes:
        counts: of each task the counts of its configurations.
        tasks: all blocks over the slices of an underlying.
    """

    def __init__(
        self, slices: list[Any], symbols: list[str], blocks: int, configurations: int
    ) -> None:
        positions: dict[str, list[int]] = {}
        for i, symbol in enumerate(symbols):
            positions.setdefault(symbol, []).append(i)
        # sums are ordered by underlying; this is the row of each slice among them
        self._row = np.argsort(np.concatenate(list(positions.values())))
        self._sums = np.empty((len(SUMS), len(slices), configurations))
        self.counts = [new_counts(configurations) for _ in positions]
        self.tasks, start = [], 0
        for counts, mine in zip(self.counts, positions.values(), strict=True):
            sums = self._sums[:, start : start + len(mine)]
            self.tasks.append(
                Task((0, blocks), self._each([slices[i] for i in mine], sums, counts))
            )
            start += len(mine)

    def _each(self, slices: list[Any], sums: Array, counts: Array) -> Iterator[tuple[Any, Figures]]:
        # on the thread of the task: the first write to newly allocated memory takes time
        sums[:] = NO_WHEEL[:, None, None]
        for one, *figures in zip(slices, *sums, strict=True):
            yield one, Figures(*[*figures, counts])

    def ranges(self, threads: int) -> list[tuple[int, int]]:
        """Ranges of configurations to merge in parallel."""
        _, slices, configurations = self._sums.shape
        return cut(np.full(configurations, MERGING * slices), threads)

    def merge(self, some: tuple[int, int], figures: Figures) -> Iterator[None]:
        """Merge the figures of a range of configurations into `figures`, slice by slice.

        Args:
            some: the first configuration, and the one after the last.
            figures: of all configurations.
        """
        first, last = some
        merge(figures, Figures(*[*self._sums, figures.counts]), self._row, first, last)
        for counts in self.counts:
            figures.counts[:, first:last] += counts[:, first:last]
        return iter(())


def cut(weight: Array, threads: int, least: int = 1) -> list[tuple[int, int]]:
    """Ranges of blocks of about equal weight: the first block, and the one after the last.

    Args:
        weight: (blocks,) estimated nanoseconds of each block in the month with most wheels.
        threads: the number of threads.
        least: the least number of ranges, if there are as many blocks.
    """
    total = int(weight.sum())
    count = _range_count(weight.size, total, threads, least)
    range_of_block = ((np.cumsum(weight) - weight / 2) * count // total).astype(np.int64)
    starts = np.flatnonzero(np.diff(range_of_block, prepend=-1) > 0)
    return list(zip(starts.tolist(), [*starts[1:].tolist(), weight.size], strict=True))


def _range_count(blocks: int, total: int, threads: int, least: int) -> int:
    """The number of ranges: a multiple of `threads`, none much longer than `TASK`.

    There are four for each of several threads, so that faster threads take over ranges of a
    delayed one, unless calls would be so short that their overhead shows. Few blocks are split
    into ranges of equal size.
    """
    spare = min(4, total // (threads * SHORT)) if threads > 1 else 1
    each = max(-(-total // (threads * TASK)), -(-least // threads), spare, 1)
    if blocks >= 4 * threads * each:
        return threads * each
    return next((n for n in range(threads * each, blocks, threads) if blocks % n == 0), blocks)
