"""Stores outcomes by underlying, and returns them by session.

Wheels are numbered over all underlyings, so no record can be written before every underlying is
simulated.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.model import atomic
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import OneUnderlying

KINDS = {"legs": LEG, "attempts": ATTEMPT, "wheels": WHEEL}


class Batch(NamedTuple):
    """The wheels entered on some consecutive sessions.

    Attributes:
        first: the first session.
        last: the session after the last one.
        number: of the first wheel.
    """

    first: int
    last: int
    number: int


class Spool:
    """The outcomes of underlyings, in the order in which wheels are numbered.

    Args:
        folder: where they are stored; None: in memory.

    Attributes:
        outcomes: the outcomes of each underlying in memory. With a folder their legs, attempts and
            wheels are empty.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.outcomes: list[OneUnderlying] = []
        self._entered: list[Array] = []  # (wheels,) the entry session of each, ascending

    def add(self, outcomes: OneUnderlying) -> None:
        """Store the outcomes of the next underlying.

        Args:
            outcomes: of the underlying.

        Raises:
            LakeError: if it cannot be written.
        """
        self._entered.append(outcomes.wheels["number"].astype(np.int32))
        if self._folder is not None:
            with atomic.writing(self._folder.parent):  # `tofile` does not say why it fails
                for name in KINDS:
                    table: Array = getattr(outcomes, name)
                    self._path(len(self.outcomes), name).write_bytes(table.tobytes())
            outcomes = outcomes._replace(**_no_wheels())
        self.outcomes.append(outcomes)

    @property
    def count(self) -> int:
        """The number of wheels."""
        return sum(entered.size for entered in self._entered)

    @property
    def sessions(self) -> list[OneUnderlying]:
        """The entry sessions of each underlying; legs, attempts and wheels are empty."""
        return [one._replace(**_no_wheels()) for one in self.outcomes]

    def batches(self, size: int) -> list[Batch]:
        """Split the sessions with wheels into batches.

        Args:
            size: wheels of a batch at most, unless one session has more.
        """
        if not any(entered.size for entered in self._entered):
            return []
        count = np.bincount(np.concatenate(self._entered))
        before = np.concatenate([[0], np.cumsum(count)])  # (sessions + 1,) wheels
        found, first = [], int(np.flatnonzero(count)[0])
        while first < count.size:
            last = int(np.searchsorted(before, before[first] + size, side="right")) - 1
            last = max(last, first + 1)
            found.append(Batch(first, last, int(before[first])))
            first = last
        return found

    def taken(self, batch: Batch) -> list[OneUnderlying]:
        """The outcomes of the wheels of a batch, by underlying; `days` is empty.

        Args:
            batch: one of `batches`.
        """
        return [self._taken(position, batch) for position in range(len(self.outcomes))]

    def _taken(self, position: int, batch: Batch) -> OneUnderlying:
        """The outcomes of one underlying's wheels of a batch, their rows numbered from 0."""
        first, last = np.searchsorted(self._entered[position], (batch.first, batch.last)).tolist()
        wheels, one = self._rows(position, "wheels", first, last), self.outcomes[position]
        tables = _no_wheels()
        if first == last:
            return one._replace(days=one.days[:0], **tables)
        for name, begin in (("legs", "first_leg"), ("attempts", "first_attempt")):
            start, stop = int(wheels[begin][0]), int(wheels[begin][-1] + wheels[name][-1])
            tables[name] = self._rows(position, name, start, stop)
            tables[name]["wheel"] -= first
            wheels[begin] -= start
        tables["wheels"] = wheels
        return one._replace(days=one.days[:0], **tables)

    def _rows(self, position: int, name: str, first: int, last: int) -> Array:
        """A copy of rows first..last-1 of a table."""
        if self._folder is None:
            rows: Array = getattr(self.outcomes[position], name)[first:last].copy()
            return rows
        kind: np.dtype[Any] = KINDS[name]
        with atomic.writing(self._folder.parent):
            return np.fromfile(
                self._path(position, name), kind, last - first, offset=first * kind.itemsize
            )

    def _path(self, position: int, name: str) -> Path:
        """The file of a table of one underlying."""
        assert self._folder
        return self._folder / f"{position}.{name}"


def _no_wheels() -> dict[str, Any]:
    """Empty legs, attempts and wheels; new arrays, since a view would keep its table in memory."""
    return {name: np.zeros(0, kind) for name, kind in KINDS.items()}
