"""Outcomes of many underlyings combined, and the order of their wheels, for a result's frames."""

import dataclasses
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from wheelvec.kernels.fees import order_cost
from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.model.codes import BOUGHT_BACK, UNRESOLVED_LEGS, ExitReason
from wheelvec.model.config import Config
from wheelvec.stages.arrays import Array, taken

# Counts of one entry session of one underlying: quotes, candidates, launched wheels.
ENTRY_DAY = np.dtype(
    [(name, np.int64) for name in ("number", "underlying", "quoted", "valid", "asked", "solved")]
    + [(name, np.int64) for name in ("in_range", "liquid", "candidates", "launched")]
    + [("priced", np.bool_), ("eve", np.bool_), ("signalled", np.bool_)]
)


class OneUnderlying(NamedTuple):
    """Outcomes of one underlying over some sessions (kernels.outcomes, ENTRY_DAY)."""

    legs: Array
    attempts: Array
    wheels: Array
    days: Array
    symbols: pl.Series  # (contracts,) of the contracts of the legs

    def to_frame(self, table: str = "legs") -> pl.DataFrame:
        """One of the tables as a frame, to look at: a column per field, codes as they are.

        Args:
            table: legs, attempts, wheels or days.
        """
        rows = getattr(self, table)
        frame = pl.DataFrame({name: rows[name] for name in rows.dtype.names})
        if table == "legs":
            frame = frame.with_columns(symbol=self.symbols.gather(frame["contract"]))
        return frame


_NOTHING = OneUnderlying(
    np.zeros(0, LEG),
    np.zeros(0, ATTEMPT),
    np.zeros(0, WHEEL),
    np.zeros(0, ENTRY_DAY),
    pl.Series(dtype=pl.String),
)


def joined(windows: list[OneUnderlying]) -> OneUnderlying:
    """The outcomes of one underlying of those of its windows, of which there may be none.

    Wheels are sorted by their number. A wheel's legs and attempts may come from several windows.
    """
    windows, contracts = windows or [_NOTHING], 0
    for window in windows:
        window.legs["contract"] += contracts
        window.legs["exit_contract"] += contracts
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
        legs: as of one underlying, but with indices of wheels, contracts and underlyings over all
            of them; so are attempts, wheels and days.
        attempts: to sell calls.
        wheels: launched.
        days: entry sessions.
        symbols: (contracts,) OSI symbols.
        underlyings: names, by index.
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
        outcomes: list[OneUnderlying],
        underlyings: list[str],
        day: Array,
        config: Config,
        number: int = 0,
    ) -> Self:
        """The outcomes of all of those of each underlying, of which there may be none."""
        outcomes = outcomes or [_NOTHING]
        starts = np.zeros((4, len(outcomes)), np.int64)
        for i, one in enumerate(outcomes[:-1]):
            sizes = one.legs.size, one.attempts.size, one.wheels.size, len(one.symbols)
            starts[:, i + 1] = starts[:, i] + sizes
        legs, attempts, wheels, days = (
            np.concatenate(tables) for tables in zip(*[one[:4] for one in outcomes], strict=True)
        )
        of_legs, of_attempts, of_wheels = (
            np.repeat(np.arange(len(outcomes)), [table.size for table in tables])
            for tables in zip(*[one[:3] for one in outcomes], strict=True)
        )
        legs["wheel"] += starts[2][of_legs]
        legs["contract"] += starts[3][of_legs]
        legs["exit_contract"] += starts[3][of_legs]
        attempts["wheel"] += starts[2][of_attempts]
        wheels["first_leg"] += starts[0][of_wheels]
        wheels["first_attempt"] += starts[1][of_wheels]
        symbols = pl.concat([one.symbols for one in outcomes])
        return cls(legs, attempts, wheels, days, symbols, underlyings, day, config, number)

    @cached_property
    def order(self) -> Array:
        """(wheels,) indices of the wheels in the order in which they are numbered."""
        return np.lexsort((self.wheels["underlying"], self.wheels["number"]))

    def fee(self, contracts: Array) -> Array:
        """(n,) the fees of orders of so many contracts, dollars."""
        return np.asarray(order_cost(self.config.costs, contracts))


class Wheels(NamedTuple):
    """Wheels in the order in which they are numbered, and their legs wheel by wheel."""

    wheels: Array  # (wheels,) of kernels.outcomes.WHEEL
    legs: Array  # (legs,) of kernels.outcomes.LEG
    of_leg: Array  # (legs,) index of each leg's wheel
    ids: pl.Series  # (wheels,) wheel_id


def in_order(recorded: Recorded) -> Wheels:
    """All wheels, in the order in which they are numbered."""
    wheels = recorded.wheels[recorded.order]
    rows, of_leg = spans(wheels["first_leg"], wheels["legs"])
    ids = wheel_ids(wheels, recorded.number + np.arange(wheels.size), recorded)
    return Wheels(wheels, recorded.legs[rows], of_leg, ids)


def spans(first: Array, count: Array) -> tuple[Array, Array]:
    """The rows first[i] .. first[i] + count[i] - 1 for each i in turn, and the i of each row."""
    of_row = np.repeat(np.arange(first.size), count)
    begin = np.cumsum(count) - count
    return np.arange(of_row.size) - (begin - first)[of_row], of_row


def added_up(values: Array, some: Wheels) -> Array:
    """(wheels,) the sum of a value over each wheel's calls, added in their order.

    Args:
        values: (legs,) of each leg.
        some: the wheels.
    """
    out, legs = np.zeros(some.wheels.size, values.dtype), some.wheels["legs"]
    begin = np.cumsum(legs) - legs
    for cycle in range(1, int(legs.max(initial=0))):
        having = np.flatnonzero(legs > cycle)
        out[having] += values[begin[having] + cycle]
    return out


def leg_fees(legs: Array, recorded: Recorded) -> Array:
    """(legs,) fees in dollars.

    An option that was bought back pays two orders, any other one; a delivery of shares pays its
    fee too.
    """
    sale, purchase = recorded.fee(legs["contracts"]), recorded.fee(bought_contracts(legs))
    return (
        sale
        + np.where(is_bought_back(legs), purchase, 0.0)
        + np.where(is_delivered(legs), recorded.config.costs.assignment_fee, 0.0)
    )


def bought_contracts(legs: Array) -> Array:
    """(legs,) the contracts of each at its exit: a split multiplies those that were sold."""
    return np.asarray(legs["contracts"] * legs["factor"])


def premiums(legs: Array) -> Array:
    """(legs,) proceeds of the sale of each, dollars."""
    return np.asarray(legs["price"] * 100.0 * legs["contracts"])


def is_bought_back(legs: Array) -> Array:
    """(legs,) whether each ended in a second order."""
    return np.asarray(np.isin(legs["reason"], BOUGHT_BACK) & ~np.isnan(legs["exit_price"]))


def is_delivered(legs: Array) -> Array:
    """(legs,) whether each ended in a delivery of shares."""
    return np.isin(legs["reason"], (ExitReason.ASSIGNED, ExitReason.CALLED_AWAY))


def is_resolved(legs: Array) -> Array:
    """(legs,) whether each has an exit."""
    known = np.isin(legs["reason"], UNRESOLVED_LEGS, invert=True)
    return np.asarray(known & ~np.isnan(legs["exit_price"]))


def dates(days: Array, known: Array | None = None) -> pl.Series:
    """(n,) dates of days since 1970-01-01, null where not `known`."""
    series = pl.Series(days.astype(np.int32))
    return (series if known is None else nulled(series, known)).cast(pl.Date)


def nulled(values: Any, known: Array) -> pl.Series:
    """(n,) integers, null where not `known`."""
    series = values if isinstance(values, pl.Series) else pl.Series(values)
    return series if known.all() else series.set(pl.Series(~known), None)


def named(codes: Array, names: dict[int, str]) -> pl.Series:
    """(n,) the names of codes, null for a code without a name."""
    size = max(names) + 1
    table = pl.Series([*(names.get(code) for code in range(size)), None], dtype=pl.String)
    return taken(table, np.where((codes >= 0) & (codes < size), codes, size))


def same(value: str, n: int) -> pl.Series:
    """(n,) one text repeated."""
    return pl.Series([value]).new_from_index(0, n)


def underlying_of(wheels: Array, recorded: Recorded) -> pl.Series:
    """(n,) the name of the underlying of each wheel or day."""
    return taken(pl.Series(recorded.underlyings, dtype=pl.String), wheels["underlying"])


def wheel_ids(wheels: Array, number: Array, recorded: Recorded) -> pl.Series:
    """(wheels,) `{underlying}_{entry date}_{number}`."""
    # formatting a date takes longer than looking it up
    days, at = np.unique(wheels["number"], return_inverse=True)
    day = taken(dates(recorded.day[days]).cast(pl.String), at)
    fields = pl.DataFrame(
        [underlying_of(wheels, recorded).alias("u"), day.alias("d"), pl.Series("n", number)]
    )
    return fields.select(
        pl.concat_str("u", "d", pl.col("n").cast(pl.String), separator="_")
    ).to_series()
