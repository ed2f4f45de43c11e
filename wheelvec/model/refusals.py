"""Which rows of a grid are refused, and why: noted per value, counted per reason."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model.errors import ConfigError, listed

SHOWN = 5  # reasons that an error spells out
FIRST = 3  # rows that it names of each

# What a reason says of its own row alone, and what stands for it: reasons of one kind differ in
# nothing else
OF_ONE_ROW = {
    r"'[^']*'|\"[^\"]*\"": "_",
    r"(?s)^(unknown \S+) .*": "${1}",
    r"(?s) = .*?(: expected |: the range is empty| lies above | is read where | needs |$)": " = _${1}",
    r" \([^()]*\)$": "",  # what was probably meant
    r"\d[\d.,:-]*": "_",
}

Codes = NDArray[np.int64]


class Refusals:
    """Reasons by row; of several reasons for a row the first counts."""

    def __init__(self, size: int) -> None:
        self.reasons: list[str] = []
        self._size = size
        self._number: NDArray[np.int32] | None = (
            None  # (rows,) position of the row's reason, -1 for none
        )

    def __bool__(self) -> bool:
        return self._number is not None

    def note(self, reasons: Mapping[int, str], codes: Codes, count: int) -> None:
        """Note reasons by code, and so for the rows that have it.

        `codes` (rows,) lie under `count`.
        """
        if not reasons:
            return
        numbers = {reason: i for i, reason in enumerate(self.reasons)}
        table = np.full(count, -1, np.int32)
        for code, reason in reasons.items():
            table[code] = numbers.setdefault(reason, len(numbers))
        self.reasons = list(numbers)
        found = table[codes]
        self._number = (
            found if self._number is None else np.where(self._number < 0, found, self._number)
        )
        if (self._number < 0).all():
            self._number = None

    @property
    def rows(self) -> NDArray[np.bool_]:
        """(rows,) whether a row is refused."""
        none: NDArray[np.bool_] = np.zeros(self._size, np.bool_)
        return none if self._number is None else self._number >= 0

    def frame(self, given: Codes | None = None) -> pl.DataFrame:
        """Every row that is refused, row and reason.

        `given` (rows,) has the numbers to call them by.
        """
        at = np.flatnonzero(self.rows)
        number = np.zeros(0, np.int32) if self._number is None else self._number[at]
        reasons = pl.Series("reason", self.reasons, pl.String).gather(number)
        return pl.DataFrame(
            [pl.Series("row", at if given is None else given[at], pl.Int64), reasons]
        )

    def __str__(self) -> str:
        return described(self.frame(), self._size)


class RefusedRowsError(ConfigError):
    """Rows of a grid that cannot be run.

    Attributes:
        refusals: which, and why.
    """

    def __init__(self, refusals: Refusals) -> None:
        super().__init__(str(refusals))
        self.refusals = refusals


def described(refused: pl.DataFrame, size: int) -> str:
    """How many of `size` rows are refused.

    A numbered line for each kind of reason, those of most rows first.

    It reads as well when its lines are joined to one.
    """
    kinds = _kinds(refused)
    lines = [_line(*kind) for kind in kinds.head(SHOWN).iter_rows()]
    if kinds.height > SHOWN:
        rows, reasons = kinds["count"][SHOWN:].sum(), kinds.height - SHOWN
        lines.append(
            f"{rows:,} row{'s'[: rows != 1]} for {reasons:,} other reason{'s'[: reasons != 1]}"
        )
    said = (
        f" {lines[0]}"
        if len(lines) == 1
        else "".join(f"\n  ({i}) {line}" for i, line in enumerate(lines, 1))
    )
    return f"grid: {refused.height:,} of {size:,} rows cannot be run:{said}"


def _kinds(refused: pl.DataFrame) -> pl.DataFrame:
    """Reasons that differ in their values alone.

    The first, how many there are, how many rows have one, the first of these.
    """
    first_rows = pl.col("row").head(FIRST + 1)
    by_text = refused.group_by("reason", maintain_order=True).agg(
        first_rows, pl.len().alias("count")
    )
    kind = pl.col("reason")
    for found, instead in OF_ONE_ROW.items():
        kind = kind.str.replace_all(found, instead)
    return (
        by_text.group_by(kind.alias("kind"), maintain_order=True)
        .agg(
            pl.col("reason").first(),
            pl.len().alias("texts"),
            pl.col("count").sum(),
            pl.col("row").explode().sort().head(FIRST + 1),
        )
        .drop("kind")
        .sort("count", descending=True, maintain_order=True)
    )


def _line(reason: str, texts: int, count: int, rows: list[int]) -> str:
    if count == 1:
        return f"row {rows[0]}: {reason}"
    more = ", ..." if count > FIRST else ""
    return f"{count:,} rows ({listed(rows[:FIRST])}{more}){', for example' if texts > 1 else ''}: {reason}"
