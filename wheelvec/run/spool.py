"""Outcomes put aside underlying by underlying and taken out again session by session: wheels are
numbered over all underlyings, so that no record can be written before all are known.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.lake import files
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import OneUnderlying

KINDS = {"legs": LEG, "attempts": ATTEMPT, "wheels": WHEEL}


class Batch(NamedTuple):
    """Wheels entered on sessions first..last-1, of which the first has this number."""

    first: int
    last: int
    number: int


class Spool:
    """The outcomes of underlyings in their order.

    Args:
        folder: where to put them; None for memory.

    Attributes:
        parts: what is in memory of each: days and symbols, without a folder everything.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.parts: list[OneUnderlying] = []
        self._entered: list[Array] = []  # (wheels,) the entry session of each, ascending

    def add(self, outcomes: OneUnderlying) -> None:
        """Put the next underlying aside.

        Raises:
            LakeError: if it cannot be written.
        """
        self._entered.append(outcomes.wheels["number"].astype(np.int32))
        if self._folder is not None:
            with files.writing(self._folder.parent):  # `tofile` does not say why it fails
                for name in KINDS:
                    table: Array = getattr(outcomes, name)
                    self._path(len(self.parts), name).write_bytes(table.tobytes())
            empty: dict[str, Any] = {name: np.zeros(0, KINDS[name]) for name in KINDS}
            outcomes = outcomes._replace(**empty)
        self.parts.append(outcomes)

    @property
    def count(self) -> int:
        """How many wheels there are."""
        return sum(entered.size for entered in self._entered)

    @property
    def sessions(self) -> list[OneUnderlying]:
        """What the sessions offered, underlying by underlying; without wheels."""
        return [part._replace(**self._none(part)) for part in self.parts]

    @staticmethod
    def _none(part: OneUnderlying) -> dict[str, Any]:
        return {name: getattr(part, name)[:0] for name in KINDS}

    def batches(self, size: int) -> list[Batch]:
        """All sessions on which wheels were entered, in parts of at most so many wheels, or of one
        session.
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
        """What became of the wheels of a batch, underlying by underlying; without `days`."""
        return [self._taken(place, batch) for place in range(len(self.parts))]

    def _taken(self, place: int, batch: Batch) -> OneUnderlying:
        first, last = np.searchsorted(self._entered[place], (batch.first, batch.last)).tolist()
        wheels, part = self._rows(place, "wheels", first, last), self.parts[place]
        tables = self._none(part)
        if first == last:
            return part._replace(days=part.days[:0], **tables)
        for name, begin in (("legs", "first_leg"), ("attempts", "first_attempt")):
            start, stop = int(wheels[begin][0]), int(wheels[begin][-1] + wheels[name][-1])
            tables[name] = self._rows(place, name, start, stop)
            tables[name]["wheel"] -= first
            wheels[begin] -= start
        tables["wheels"] = wheels
        return part._replace(days=part.days[:0], **tables)

    def _rows(self, place: int, name: str, first: int, last: int) -> Array:
        """A copy of some rows of a table."""
        if self._folder is None:
            rows: Array = getattr(self.parts[place], name)[first:last].copy()
            return rows
        kind: np.dtype[Any] = KINDS[name]
        with files.writing(self._folder.parent):
            return np.fromfile(
                self._path(place, name), kind, last - first, offset=first * kind.itemsize
            )

    def _path(self, place: int, name: str) -> Path:
        assert self._folder
        return self._folder / f"{place}.{name}"
