"""A user's own signals: on which days of which underlyings wheels may open."""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from wheelvec.model.errors import InputError, cut
from wheelvec.model.grid import SIGNAL, Grid
from wheelvec.model.schemas import NAMED_SIGNALS, SIGNALS, as_polars
from wheelvec.run.index import digest_of
from wheelvec.stages.arrays import Array, days


@dataclasses.dataclass(frozen=True, eq=False)
class Signal:
    """One frame of (session, underlying): only these pairs may open.

    Attributes:
        given: the two columns as the user gave them.
        pairs: `schemas.SIGNALS`, each pair once.
    """

    given: pl.DataFrame
    pairs: pl.DataFrame

    @classmethod
    def read(cls, name: str, frame: Any) -> Self:
        """The signal in a user's frame; `name` is what messages call it.

        Raises:
            InputError: naming the column that is missing or cannot be read.
            DataError: for what is no frame, or a query that fails.
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
        """A digest of the pairs, in whatever order they were given."""
        return digest_of(self.pairs.sort(list(SIGNALS)).write_csv().encode())

    @cached_property
    def _days(self) -> dict[str, Array]:
        by_name = self.pairs.partition_by("underlying", as_dict=True)
        return {str(name): days(frame, "session") for (name,), frame in by_name.items()}

    def on(self, symbol: str, day: Array) -> Array:
        """(sessions,) whether wheels of an underlying may open on each of these days since 1970."""
        return np.isin(day, self._days.get(symbol, np.zeros(0, np.int64)))

    def within(self, other: "Signal") -> Self:
        """The pairs that are in both."""
        both = self.pairs.join(other.pairs, on=list(SIGNALS), how="semi")
        return type(self)(both, both)


def allowed(signal: Signal | None, symbol: str, day: Array) -> Array:
    """(sessions,) whether a signal, or none, lets wheels of an underlying open on these days."""
    return np.ones(day.size, np.bool_) if signal is None else signal.on(symbol, day)


class Signals:
    """The signals of a sweep.

    Args:
        when: what bounds every row; None: nothing does.
        named: what the grid's column `signal` names.
    """

    def __init__(
        self, when: Signal | None = None, named: Mapping[str, Signal] | None = None
    ) -> None:
        self.when, self.named = when, dict(named or {})
        self._found: dict[str | None, Signal | None] = {None: when}

    @classmethod
    def read(cls, when: Any, signals: Any) -> Self:
        """The frames that `sweep` was given.

        Raises:
            InputError: if `signals` is no mapping of names to frames, or naming the frame that is
                no signal.
            DataError: for what is no frame, or a query that fails.
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

    def of(self, name: str | None) -> Signal | None:
        """The pairs on which the rows of one signal may open wheels; None: all.

        They are in `when` too, if there is one.
        """
        if name not in self._found:
            signal = self.named[str(name)]
            self._found[name] = signal if self.when is None else signal.within(self.when)
        return self._found[name]

    def used(self, grid: Grid) -> Iterator[tuple[str | None, Signal]]:
        """Those that bound any row of a grid: `when` under None, and those that a row names."""
        if self.when is not None:
            yield None, self.when
        for name in grid.values(SIGNAL):
            if name is not None:
                yield name, self.named[name]

    def stated(self, grid: Grid) -> list[list[str | None]]:
        """Name and digest of each that a grid uses, by name."""
        found = {name or "": [name, signal.digest] for name, signal in self.used(grid)}
        return [found[name] for name in sorted(found)]

    def frame(self, grid: Grid) -> pl.DataFrame:
        """`schemas.NAMED_SIGNALS`: the pairs of each that a grid uses, to be stored."""
        parts = [pl.DataFrame(schema=NAMED_SIGNALS)]
        for name, signal in self.used(grid):
            named = signal.pairs.with_columns(pl.lit(name, pl.String).alias(SIGNAL))
            parts.append(named.select(*NAMED_SIGNALS).sort(list(SIGNALS)))
        return pl.concat(parts)

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, stated: list[list[str | None]]) -> Self:
        """What `frame` stored of the signals that `stated` lists.

        Raises:
            ValueError: if they are not those.
        """
        found: dict[str | None, Signal] = {}
        for name, digest in stated:
            pairs = frame.filter(pl.col(SIGNAL).eq_missing(name)).select(*SIGNALS)
            found[name] = Signal(pairs, pairs)
            if found[name].digest != digest:
                raise ValueError(f"the signal {name!r} holds other pairs than it had")
        return cls(found.pop(None, None), {str(name): each for name, each in found.items()})
