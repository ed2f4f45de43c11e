"""The splits of a market: those given, those of its lake, and those of the table in the box."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import polars as pl

from wheelvec.lake import splits
from wheelvec.model import schemas
from wheelvec.model.addresses import refuse_address
from wheelvec.model.errors import InputError, unknown_name
from wheelvec.tables import validation
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import Checked

KNOWN = "known"
_FILE = Path(__file__).with_name("known_splits.csv")
_KEY = ["underlying", "ex_date"]

Given = schemas.Frame | str | None


@cache
def known() -> pl.DataFrame:
    """Splits and renames of widely optioned names since 2012, `schemas.SPLITS`.

    The table is not complete; its head says what it holds.
    """
    return splits.read_file(_FILE)


@dataclass(frozen=True)
class Splits:
    """The splits that a market is given, unchecked.

    Attributes:
        rows: `schemas.SPLITS`; None if there is no such table.
        with_known: whether those of `known` are added on days on which no row is given.
    """

    rows: pl.DataFrame | None = None
    with_known: bool = False

    @classmethod
    def of(cls, given: Given) -> Self:
        """The splits of a user's argument: a frame, "known", or None.

        Raises:
            InputError: for another word, or what is no frame.
            DataError: for a missing column, or one that cannot be converted.
        """
        if isinstance(given, str):
            if given != KNOWN:
                raise InputError(unknown_name("splits", given, [KNOWN]))
            return cls(with_known=True)
        return cls() if given is None else cls(validation.read("splits", given))

    def over(self, lake: pl.DataFrame | None) -> Self:
        """With the splits of a lake on days on which no row is given."""
        if lake is None or self.rows is None:
            return type(self)(lake if self.rows is None else self.rows, self.with_known)
        return type(self)(pl.concat([self.rows, _without(lake, self.rows)]), self.with_known)

    def only(self, underlyings: Iterable[str]) -> Self:
        """Without the rows of other underlyings; those of `known` are not looked at."""
        if self.rows is None:
            return self
        kept = self.rows.filter(pl.col("underlying").is_in(list(underlyings)))
        return type(self)(kept, self.with_known)

    def candidates(self) -> pl.DataFrame:
        """All rows that may concern a market, `schemas.SPLITS`."""
        found = [pl.DataFrame(schema=schemas.SPLITS)]
        found += [] if self.rows is None else [self.rows]
        return pl.concat([*found, *([known()] if self.with_known else [])])

    def checked(self, underlyings: Iterable[str], sessions: Sessions) -> Checked | None:
        """The valid splits of some underlyings, and counts of the others; None without any table.

        Those of `known` within `sessions` are added.
        """
        if self.rows is None and not self.with_known:
            return None
        names = list(underlyings)
        empty = pl.DataFrame(schema=schemas.SPLITS)
        found = validation.check_splits(empty if self.rows is None else self.rows, names, sessions)
        if not self.with_known:
            return found
        more = known().filter(
            pl.col("underlying").is_in(names),
            pl.col("ex_date").is_between(sessions.first, sessions.last),
        )
        rows = pl.concat([found.rows, _without(more, found.rows)]).sort(_KEY)
        return Checked(rows, found.aside)


def _without(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """The rows whose underlying and ex-date none of the others has."""
    return rows.join(others, on=_KEY, how="anti", maintain_order="left")


def explaining(suspected: pl.DataFrame) -> pl.DataFrame:
    """The row of splits that would explain each suspected split, in their order.

    Args:
        suspected: `tables.suspected.SUSPECTED`.

    Returns:
        `schemas.SPLITS` and `known`, whether the table in the box has the row, which is then that
        one. numerator and denominator are null where neither it nor the prices name a ratio.

    Example:
        >>> import datetime as dt
        >>> from wheelvec.tables.suspected import SUSPECTED
        >>> day = dt.date
        >>> found = [("AAPL", day(2020, 8, 31), day(2020, 8, 28), day(2020, 8, 31), 9, 9, 4, 1)]
        >>> explaining(pl.DataFrame(found, schema=SUSPECTED, orient="row")).row(0)
        ('AAPL', datetime.date(2020, 8, 31), 4, 1, None, True)
    """
    rows = known()
    columns = ["underlying", "last", "following", "session", "numerator", "denominator"]
    found = []
    for name, last, following, *ratio in suspected.select(columns).iter_rows():
        mine = rows.filter(
            pl.col("underlying") == name,
            pl.col("ex_date") > last,
            pl.col("ex_date") <= following,
        )
        found.append((*mine.row(0), True) if len(mine) else (name, *ratio, None, False))
    return pl.DataFrame(found, schema={**schemas.SPLITS, "known": pl.Boolean()}, orient="row")


def row_text(row: tuple[object, ...]) -> str:
    """A row of splits as a line of splits.csv.

    Example:
        >>> row_text(("FB", "2022-06-09", 1, 1, "META"))
        'FB,2022-06-09,1,1,META'
    """
    return splits.line(dict(zip(schemas.SPLITS, row, strict=True)))


def accept(root: str | Path, suspected: pl.DataFrame) -> pl.DataFrame:
    """Write the rows that explain suspected splits into a lake, in one atomic write.

    The lake's other rows and comments stay. An event without a ratio is left out.

    Args:
        root: the folder of the lake.
        suspected: `tables.suspected.SUSPECTED`, of that lake.

    Returns:
        The rows written, as by `explaining`.

    Raises:
        LakeError: if the lake's splits cannot be read or written, as those in an object store.
    """
    refuse_address(root, "the lake")
    rows = explaining(suspected).drop_nulls("numerator").unique(_KEY, maintain_order=True)
    if rows.height:
        splits.merge(Path(root), rows.drop("known"))
    return rows
