"""The invalid rows of a grid and the reasons, with an error message that groups them."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model.errors import ConfigError, listed

SHOWN = 5  # kinds of reasons in an error message
FIRST = 3  # rows in an error message for each kind

# Substitutions that remove the values of a row from its reason. Reasons that are equal after them
# are of one kind.
VALUES_OF_A_ROW = {
    r"'[^']*'|\"[^\"]*\"": "_",
    r"(?s)^(unknown \S+) .*": "${1}",
    r"(?s) = .*?(: expected |: the range is empty| is above | is used only if | needs |$)": (
        " = _${1}"
    ),
    r" \([^()]*\)$": "",  # the hint
    r"\d[\d.,:-]*": "_",
}

Codes = NDArray[np.int64]


class Refusals:
    """The reasons for which rows of a grid are refused: for each row the first that was noted."""

    def __init__(self, size: int) -> None:
        self.reasons: list[str] = []
        self._size = size
        # (size,) position of each row's reason, -1 for none
        self._number: NDArray[np.int32] | None = None

    def __bool__(self) -> bool:
        return self._number is not None

    def note(self, reasons: Mapping[int, str], codes: Codes, count: int) -> None:
        """Note a reason for all rows with a code.

        Args:
            reasons: reason by code.
            codes: (size,) the code of each row, below `count`.
            count: the number of codes.
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
        """(size,) whether a row is refused."""
        none: NDArray[np.bool_] = np.zeros(self._size, np.bool_)
        return none if self._number is None else self._number >= 0

    def frame(self, given: Codes | None = None) -> pl.DataFrame:
        """The refused rows: columns row and reason.

        `given` (size,) has the numbers of the rows in the grid as given, if they differ.
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
    """A grid has invalid rows.

    Attributes:
        refusals: the rows and the reasons.
    """

    def __init__(self, refusals: Refusals) -> None:
        super().__init__(str(refusals))
        self.refusals = refusals


def described(refused: pl.DataFrame, size: int) -> str:
    """The error message for the refused rows of a grid of `size` rows.

    It has a numbered line for each kind of reason, in the order of their numbers of rows. The lines
    may be joined to one.
    """
    kinds = _kinds(refused)
    lines = [_line(*kind) for kind in kinds.head(SHOWN).iter_rows()]
    if kinds.height > SHOWN:
        rows, reasons = kinds["count"][SHOWN:].sum(), kinds.height - SHOWN
        lines.append(
            f"{rows:,} row{'s'[: rows != 1]} for {reasons:,} other reason{'s'[: reasons != 1]}"
        )
    text = (
        f" {lines[0]}"
        if len(lines) == 1
        else "".join(f"\n  ({i}) {line}" for i, line in enumerate(lines, 1))
    )
    return f"grid: {refused.height:,} of {size:,} rows cannot be run:{text}"


def _kinds(refused: pl.DataFrame) -> pl.DataFrame:
    """The kinds of reasons, those of most rows first.

    The columns are the first reason, the number of reasons, the number of rows and the first rows.
    """
    first_rows = pl.col("row").head(FIRST + 1)
    by_text = refused.group_by("reason", maintain_order=True).agg(
        first_rows, pl.len().alias("count")
    )
    kind = pl.col("reason")
    for pattern, replacement in VALUES_OF_A_ROW.items():
        kind = kind.str.replace_all(pattern, replacement)
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
    example = ", for example" if texts > 1 else ""
    return f"{count:,} rows ({listed(rows[:FIRST])}{more}){example}: {reason}"
