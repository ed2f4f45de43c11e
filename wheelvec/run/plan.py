"""Splits the work of a sweep into tasks for its threads: some blocks over some slices.

With many configurations a task has some of the blocks and all slices.

With few configurations most of the work of a block is done once per wheel, and every thread would
repeat it. A task then has all blocks and the slices of one underlying.

In both cases the months of an underlying are folded into its years, the years into the underlying,
and the underlyings into the figures, each in order, whichever thread is faster.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from wheelvec.jit.dispatch import compiled_for
from wheelvec.kernels.accumulate import COUNTS, Figures, merge
from wheelvec.stages.figures import SUMS, new_counts, new_sums

Array = NDArray[Any]

TASK = 50_000_000  # nanoseconds of a compiled call, estimated: Ctrl-C takes effect between calls
SHORT = 5_000_000  # nanoseconds, estimated: calls of half that time have a noticeable overhead
FEW = 2048  # configurations: the figures of more fill the L2 cache of a core
KEPT = 2**26  # bytes of figures of single underlyings at a time
WITHIN, YEAR, SYMBOL = range(3)  # what ends with a slice


class Levels(NamedTuple):
    """The figures of the year at hand, and of its underlying's years before.

    Attributes:
        year: of the year; its counts are those of the underlying, or of all underlyings.
        symbol: of the underlying.
        merge: `kernels.accumulate.merge`, compiled for these figures. To find it by the types of
            its arguments at each call took 3% of a sweep of 100 rows over 40 underlyings.
    """

    year: Figures
    symbol: Figures
    merge: Callable[[Figures, Figures, int, int], None]

    @classmethod
    def of(cls, configurations: int, counts: Array) -> Self:
        """Figures without a wheel that share their counts.

        Args:
            configurations: their number.
            counts: (COUNTS, configurations) of both.
        """
        year, symbol = (Figures(*[*new_sums(configurations), counts]) for _ in range(2))
        return cls(year, symbol, compiled_for(merge, symbol, year, 0, 0))

    def close(self, ends: int, total: Figures | None, first: int, last: int) -> None:
        """Fold what ends into the next level, for a range of configurations.

        Args:
            ends: WITHIN, YEAR or SYMBOL.
            total: into which the underlying is folded; None leaves it as it is.
            first: configuration.
            last: configuration, excluded.
        """
        if ends >= YEAR:
            self.merge(self.symbol, self.year, first, last)
        if ends == SYMBOL and total is not None:
            self.merge(total, self.symbol, first, last)


class Task(NamedTuple):
    """Some blocks of a plan over some slices.

    Attributes:
        blocks: the first block, and the one after the last.
        slices: each slice (with its span), and what ends with it.
        levels: the figures that slices are added to.
        total: the figures that underlyings are folded into; None where that is left to the caller.
    """

    blocks: tuple[int, int]
    slices: list[tuple[Any, int]]
    levels: Levels
    total: Figures | None


def endings(spans: list[Any]) -> dict[Any, int]:
    """The period that ends with each slice: none, the year of its underlying, or the underlying.

    Args:
        spans: ((first day of a month, underlying), ...) in the order of underlyings, then months.
    """
    keys = [key for key, *_ in spans]
    found = {}
    for key, following in itertools.zip_longest(keys, keys[1:]):
        if following is None or following[1] != key[1]:
            found[key] = SYMBOL
        else:
            found[key] = WITHIN if following[0].year == key[0].year else YEAR
    return found


def kept_apart(threads: int, configurations: int, symbols: int) -> int:
    """The number of underlyings whose figures are held separately at a time.

    Args:
        threads: the number of threads.
        configurations: the number of configurations.
        symbols: the number of underlyings.

    Returns:
        That number; 0 where a task has some of the blocks and all slices instead.
    """
    if threads == 1 or configurations > FEW or symbols < 2 * threads:
        return 0
    return max(2 * threads, KEPT // (8 * (2 * len(SUMS) + COUNTS) * configurations))


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
    """The separate figures of the underlyings of which slices are still to come.

    Args:
        configurations: the number of configurations.
    """

    def __init__(self, configurations: int) -> None:
        self._configurations = configurations
        self._held: dict[str, Levels] = {}

    @property
    def counts(self) -> list[Array]:
        """The counts of each underlying that is held."""
        return [levels.year.counts for levels in self._held.values()]

    def tasks(self, slices: list[tuple[Any, int]], blocks: int) -> list[Task]:
        """One task for each underlying.

        Args:
            slices: each slice (with its span), and what ends with it.
            blocks: the number of blocks of the plan.
        """
        n = self._configurations
        found: list[Task] = []
        for symbol, mine in itertools.groupby(slices, lambda one: one[0][0][1]):
            if symbol not in self._held:
                self._held[symbol] = Levels.of(n, new_counts(n))
            found.append(Task((0, blocks), list(mine), self._held[symbol], None))
        return found

    def merge(self, slices: list[tuple[Any, int]], figures: Figures) -> None:
        """Fold the underlyings that end with these slices into `figures`, in order.

        Args:
            slices: as given to `tasks`.
            figures: of all underlyings.
        """
        for ((_, symbol), *_), ends in slices:
            if ends == SYMBOL:
                levels = self._held.pop(symbol)
                merge(figures, levels.symbol, 0, self._configurations)
                figures.counts[:] += levels.symbol.counts


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
