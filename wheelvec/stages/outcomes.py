"""Outcomes of many underlyings put together, and the order of their wheels: what every frame of a result
is made of.
"""

import dataclasses
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.model.codes import BOUGHT_BACK, ExitReason
from wheelvec.model.config import Config
from wheelvec.stages.arrays import Array

# What one entry session of one underlying offered, and what was launched.
ENTRY_DAY = np.dtype(
    [(name, np.int64) for name in ("number", "underlying", "quoted", "valid", "asked", "solved")]
    + [(name, np.int64) for name in ("in_range", "liquid", "candidates", "launched")]
    + [("priced", np.bool_), ("signalled", np.bool_)]
)


class OneUnderlying(NamedTuple):
    """What was recorded of one underlying over some sessions (kernels.outcomes, ENTRY_DAY)."""

    legs: Array
    attempts: Array
    wheels: Array
    days: Array
    symbols: pl.Series  # of the contracts that legs name


_NOTHING = OneUnderlying(
    np.zeros(0, LEG),
    np.zeros(0, ATTEMPT),
    np.zeros(0, WHEEL),
    np.zeros(0, ENTRY_DAY),
    pl.Series(dtype=pl.String),
)


def joined(windows: list[OneUnderlying]) -> OneUnderlying:
    """Windows of one underlying put together: wheels by their number, each with the legs and the
    attempts that several windows may have written; there may be no window.
    """
    windows, contracts = windows or [_NOTHING], 0
    for window in windows:
        window.legs["contract"] += contracts
        contracts += len(window.symbols)
    tables = (
        np.concatenate(same_table) for same_table in zip(*[w[:4] for w in windows], strict=True)
    )
    legs, attempts, wheels, days = tables
    wheels, legs, attempts = (
        table[np.argsort(table["wheel"], kind="stable")] for table in (wheels, legs, attempts)
    )
    for table, name, first in (
        (legs, "legs", "first_leg"),
        (attempts, "attempts", "first_attempt"),
    ):
        count = np.bincount(table["wheel"], minlength=wheels.size)
        wheels[name], wheels[first] = count, np.cumsum(count) - count
    return OneUnderlying(legs, attempts, wheels, days, pl.concat([w.symbols for w in windows]))


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """Outcomes of all underlyings.

    Attributes:
        legs, attempts, wheels, days: as of an underlying, with wheels, contracts and places that hold
            over all of them.
        symbols: of contracts.
        underlyings: of places.
        day: (sessions,) days since 1970-01-01.
        config: the rules.
        number: of the first wheel.
    """

    legs: Array
    attempts: Array
    wheels: Array
    days: Array
    symbols: pl.Series
    underlyings: list[str]
    day: Array
    config: Config
    number: int = 0

    @classmethod
    def of(
        cls,
        parts: list[OneUnderlying],
        underlyings: list[str],
        day: Array,
        config: Config,
        number: int = 0,
    ) -> Self:
        """Put underlyings together; there may be none."""
        parts = parts or [_NOTHING]
        starts = np.zeros((4, len(parts)), np.int64)
        for i, one in enumerate(parts[:-1]):
            sizes = one.legs.size, one.attempts.size, one.wheels.size, len(one.symbols)
            starts[:, i + 1] = starts[:, i] + sizes
        legs, attempts, wheels, days = (
            np.concatenate(tables) for tables in zip(*[one[:4] for one in parts], strict=True)
        )
        of_legs, of_attempts, of_wheels = (np.repeat(np.arange(len(parts)), [t.size for t in tables])
                                           for tables in list(zip(*[one[:3] for one in parts], strict=True)))  # fmt: skip
        legs["wheel"] += starts[2][of_legs]
        legs["contract"] += starts[3][of_legs]
        attempts["wheel"] += starts[2][of_attempts]
        wheels["first_leg"] += starts[0][of_wheels]
        wheels["first_attempt"] += starts[1][of_wheels]
        symbols = pl.concat([one.symbols for one in parts])
        return cls(legs, attempts, wheels, days, symbols, underlyings, day, config, number)

    @cached_property
    def order(self) -> Array:
        """(wheels,) the wheels in the order in which they are numbered."""
        return np.lexsort((self.wheels["underlying"], self.wheels["number"]))

    @property
    def fee(self) -> float:
        """Of one order, dollars per contract."""
        costs = self.config.costs
        commission = max(
            costs.commission_minimum, costs.commission_base + costs.commission_per_contract
        )
        return commission + costs.sec_fee_per_contract


class Wheels(NamedTuple):
    """Some wheels in their order, and their legs wheel by wheel.

    `of_leg` is the position among `wheels` of each leg's; `ids` are their wheel_id.
    """

    wheels: Array
    legs: Array
    of_leg: Array
    ids: pl.Series


def in_order(recorded: Recorded) -> Wheels:
    """All wheels, in the order in which they are numbered."""
    wheels = recorded.wheels[recorded.order]
    rows, of_leg = spans(wheels["first_leg"], wheels["legs"])
    ids = wheel_ids(wheels, recorded.number + np.arange(wheels.size), recorded)
    return Wheels(wheels, recorded.legs[rows], of_leg, ids)


def spans(first: Array, count: Array) -> tuple[Array, Array]:
    """The rows first[i] .. first[i] + count[i] - 1 one span after the other, and the span of each."""
    of_row = np.repeat(np.arange(first.size), count)
    begin = np.cumsum(count) - count
    return np.arange(of_row.size) - (begin - first)[of_row], of_row


def added_up(values: Array, some: Wheels) -> Array:
    """(wheels,) the sum of a leg's value over each wheel's calls, added in their order."""
    out, legs = np.zeros(some.wheels.size, values.dtype), some.wheels["legs"]
    begin = np.cumsum(legs) - legs
    for cycle in range(1, int(legs.max(initial=0))):
        there = np.flatnonzero(legs > cycle)
        out[there] += values[begin[there] + cycle]
    return out


def leg_fees(legs: Array, recorded: Recorded) -> Array:
    """Dollars per contract: an option that was bought back costs two orders, any other one;
    delivering shares costs a fee.
    """
    order, bought = recorded.fee, np.isin(legs["reason"], BOUGHT_BACK)
    return np.where(bought, 2.0 * order, order) + np.where(
        is_delivered(legs), recorded.config.costs.assignment_fee, 0.0
    )


def is_delivered(legs: Array) -> Array:
    """Whether each leg ended in a delivery of shares."""
    return np.isin(legs["reason"], (ExitReason.ASSIGNED, ExitReason.CALLED_AWAY))


def is_resolved(legs: Array) -> Array:
    """Whether each leg has an exit."""
    return np.isin(legs["reason"], (ExitReason.OPEN, ExitReason.NO_DATA), invert=True)


def dates(days: Array, known: Array | None = None) -> pl.Series:
    """Days since 1970-01-01 as dates, null where not `known`."""
    series = pl.Series(days.astype(np.int32))
    return (series if known is None else nulled(series, known)).cast(pl.Date)


def nulled(values: Any, known: Array) -> pl.Series:
    """Whole numbers, null where not `known`."""
    series = values if isinstance(values, pl.Series) else pl.Series(values)
    return series if known.all() else series.set(pl.Series(~known), None)


def named(codes: Array, names: dict[int, str]) -> pl.Series:
    """The names of codes, null for a code that has none."""
    size = max(names) + 1
    table = pl.Series([*(names.get(code) for code in range(size)), None], dtype=pl.String)
    return table.gather(pl.Series(np.where((codes >= 0) & (codes < size), codes, size)))


def same(value: str, n: int) -> pl.Series:
    """A text n times."""
    return pl.Series([value]).new_from_index(0, n)


def underlying_of(wheels: Array, recorded: Recorded) -> pl.Series:
    """The underlyings' names of wheels or days."""
    return pl.Series(recorded.underlyings, dtype=pl.String).gather(pl.Series(wheels["underlying"]))


def wheel_ids(wheels: Array, number: Array, recorded: Recorded) -> pl.Series:
    """`{underlying}_{entry date}_{number}`."""
    days, at = np.unique(
        wheels["number"], return_inverse=True
    )  # a date takes longer to write than to look up
    day = dates(recorded.day[days]).cast(pl.String).gather(pl.Series(at))
    parts = pl.DataFrame(
        [underlying_of(wheels, recorded).alias("u"), day.alias("d"), pl.Series("n", number)]
    )
    return parts.select(
        pl.concat_str("u", "d", pl.col("n").cast(pl.String), separator="_")
    ).to_series()
