"""Signals of a user: the days and underlyings on which wheels may open."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from wheelvec.lake.files import digest_of
from wheelvec.model.errors import InputError, cut
from wheelvec.model.grid import SIGNAL, Grid
from wheelvec.model.schemas import NAMED_SIGNALS, SIGNALS, as_polars
from wheelvec.stages.arrays import Array, days


@dataclasses.dataclass(frozen=True, eq=False)
class Signal:
    """A signal: wheels open on its (session, underlying) pairs only.

    Attributes:
        given: the two columns as the user gave them.
        pairs: `schemas.SIGNALS`, each pair once.
    """

    given: pl.DataFrame
    pairs: pl.DataFrame

    @classmethod
    def read(cls, name: str, frame: Any) -> Self:
        """The signal in a user's frame.

        Args:
            name: of the signal in messages.
            frame: of session and underlying, from Polars (lazy or not), pandas or Arrow.

        Raises:
            InputError: naming a column that is missing or cannot be read.
            DataError: if `frame` is no frame, or a lazy one that cannot be collected.
        """
        found = as_polars(name, frame)
        for column in SIGNALS:
            if column not in found.columns:
                raise InputError(
                    f"{name} lacks the column {column!r}: found {found.columns}, "
                    f"expected {list(SIGNALS)}"
                )
        given = found.select(*SIGNALS)
        try:
            cast = given.select([pl.col(column).cast(kind) for column, kind in SIGNALS.items()])
        except pl.exceptions.PolarsError:
            types = {column: str(kind) for column, kind in given.schema.items()}
            raise InputError(
                f"{name} has columns {types}: expected session as Date and underlying as String"
            ) from None
        return cls(given, cast.drop_nulls().unique())

    @cached_property
    def digest(self) -> str:
        """A hexadecimal digest of the pairs; their order does not matter."""
        return digest_of(self.pairs.sort(list(SIGNALS)).write_csv().encode())

    @cached_property
    def _by_name(self) -> dict[str, pl.DataFrame]:
        """The pairs of each underlying: jobs and slices ask for those of one after another."""
        by_name = self.pairs.partition_by("underlying", as_dict=True)
        return {str(name): frame for (name,), frame in by_name.items()}

    @cached_property
    def _days(self) -> dict[str, Array]:
        """(n,) the days of the pairs of each underlying, since 1970-01-01."""
        return {name: days(frame, "session") for name, frame in self._by_name.items()}

    def on(self, symbol: str, day: Array) -> Array:
        """(sessions,) whether wheels may open on each session.

        Args:
            symbol: the underlying.
            day: (sessions,) days since 1970-01-01.
        """
        return np.isin(day, self._days.get(symbol, np.zeros(0, np.int64)))

    def only(self, underlyings: Collection[str]) -> Self:
        """The signal of some underlyings."""
        wanted = (name for name in sorted(set(underlyings)) if name in self._by_name)
        pairs = pl.concat([self.pairs.clear(), *(self._by_name[name] for name in wanted)])
        return type(self)(pairs, pairs)

    def within(self, other: "Signal") -> Self:
        """The signal of the pairs that are in both signals."""
        both = self.pairs.join(other.pairs, on=list(SIGNALS), how="semi")
        return type(self)(both, both)


def allowed(signal: Signal | None, symbol: str, day: Array) -> Array:
    """(sessions,) whether wheels may open on each session.

    Args:
        signal: the pairs on which they may; None: all.
        symbol: the underlying.
        day: (sessions,) days since 1970-01-01.
    """
    return np.ones(day.size, np.bool_) if signal is None else signal.on(symbol, day)


class Signals:
    """The signals of a sweep.

    Args:
        when: restricts the entries of every row; None: no restriction.
        named: further signals by name, for the grid's column `signal`.
    """

    def __init__(
        self, when: Signal | None = None, named: Mapping[str, Signal] | None = None
    ) -> None:
        self.when, self.named = when, dict(named or {})
        self._found: dict[str | None, Signal | None] = {None: when}

    @classmethod
    def read(cls, when: Any, signals: Any) -> Self:
        """The signals in the arguments of `sweep`.

        Args:
            when: a frame of session and underlying, or None.
            signals: a mapping of names to such frames, or None.

        Raises:
            InputError: if `signals` is no mapping of names to frames, or naming a frame that is no
                signal.
            DataError: for a value that is no frame, or a lazy frame that cannot be collected.
        """
        named = {} if signals is None else signals
        if not isinstance(named, Mapping) or not all(
            isinstance(name, str) and name for name in named
        ):
            raise InputError(
                f"signals = {cut(signals)}: expected a mapping of names to frames of session and "
                "underlying"
            )
        read = {name: Signal.read(f"signals[{name!r}]", frame) for name, frame in named.items()}
        return cls(None if when is None else Signal.read("when", when), read)

    def only(self, underlyings: Collection[str]) -> Self:
        """The signals of some underlyings."""
        when = None if self.when is None else self.when.only(underlyings)
        return type(self)(when, {name: each.only(underlyings) for name, each in self.named.items()})

    def of(self, name: str | None) -> Signal | None:
        """The pairs on which the rows with a signal of this name may open wheels; None: all.

        With `when` only the pairs that are in both signals.
        """
        if name not in self._found:
            signal = self.named[str(name)]
            self._found[name] = signal if self.when is None else signal.within(self.when)
        return self._found[name]

    def used(self, grid: Grid) -> Iterator[tuple[str | None, Signal]]:
        """Name and signal of each that restricts a row of the grid; the name of `when` is None."""
        if self.when is not None:
            yield None, self.when
        for name in grid.values(SIGNAL):
            if name is not None:
                yield name, self.named[name]

    def stated(self, grid: Grid) -> list[list[str | None]]:
        """[name, digest] of each signal that a grid uses, sorted by name."""
        found = {name or "": [name, signal.digest] for name, signal in self.used(grid)}
        return [found[name] for name in sorted(found)]

    def frame(self, grid: Grid) -> pl.DataFrame:
        """`schemas.NAMED_SIGNALS`: the pairs of each signal that a grid uses, for a saved sweep."""
        frames = [pl.DataFrame(schema=NAMED_SIGNALS)]
        for name, signal in self.used(grid):
            named = signal.pairs.with_columns(pl.lit(name, pl.String).alias(SIGNAL))
            frames.append(named.select(*NAMED_SIGNALS).sort(list(SIGNALS)))
        return pl.concat(frames)

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, stated: list[list[str | None]]) -> Self:
        """The signals of a saved sweep.

        Args:
            frame: as `frame` returned it.
            stated: as `stated` returned it.

        Raises:
            ValueError: naming a signal whose digest differs from the stated one.
        """
        found: dict[str | None, Signal] = {}
        for name, digest in stated:
            pairs = frame.filter(pl.col(SIGNAL).eq_missing(name)).select(*SIGNALS)
            found[name] = Signal(pairs, pairs)
            if found[name].digest != digest:
                raise ValueError(f"the signal {name!r} holds other pairs than it had")
        return cls(found.pop(None, None), {str(name): each for name, each in found.items()})
