"""CSV files of numbers by day: a first column of days, and a column for each series."""

import csv
import datetime as dt
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wheelvec.model.errors import InputError, cut, listed, unknown_name

MISSING = {"", ".", "N/A", "NA"}


class Allowed(NamedTuple):
    """The numbers that a column may have, and what they are, for messages."""

    least: float
    most: float
    meaning: str


def day_of_us(text: str) -> dt.date:
    """The day of M/D/YYYY, or of an ISO date."""
    month, slash, rest = text.partition("/")
    if not slash:
        return dt.date.fromisoformat(text)
    day, _, year = rest.partition("/")
    if len(year) != 4:  # 01/02/24 could be of any century
        raise ValueError(text)
    return dt.date(int(year), int(month), int(day))


_ISO = "2024-01-31"
_DAYS: dict[Callable[[str], dt.date], str] = {day_of_us: f"01/31/2024 or {_ISO}"}
_KINDS = {
    b"PAR1": "is Parquet: expected CSV",
    b"PK\x03\x04": "is a zip or a workbook: unpack it, or save its sheet as CSV",
    b"\xff\xfe": "is in UTF-16: save it as CSV in UTF-8",
    b"\xfe\xff": "is in UTF-16: save it as CSV in UTF-8",
}


class DatedTable:
    """A CSV file with a column of days and columns of numbers.

    Args:
        path: the file.
        form: its expected form, for messages.
        expected: the headings that it should have, for messages.
        hint: returns the likely form of a file with other headings, or nothing.
    """

    def __init__(
        self, path: Path, form: str, expected: str, hint: Callable[[list[str]], str]
    ) -> None:
        self.path, self.form, self.expected, self.hint = path, form, expected, hint
        self._refuse_other_kind()
        _, names = next(self._lines(), (0, []))
        self.names = [name.strip() for name in names]
        if not any(self.names):
            raise InputError(f"{path} has no headings: expected {form}, such as {expected}")

    def place_of(self, wanted: str, argument: str, *day: str) -> int:
        """The place of a column.

        Args:
            wanted: its heading; case and blanks do not matter.
            argument: the name of `wanted`, for messages.
            day: the allowed first headings, in lower case.

        Raises:
            InputError: if the file has another form, or lacks the column.
        """
        if not self.names or self.names[0].lower() not in day or len(self.names) < 2:
            shown = cut(listed(self.names, most=8))
            raise InputError(
                f"{self.path} is not {self.form}: its columns are {shown}, expected such as "
                f"{self.expected}{self.hint(self.names)}"
            )
        known = {_folded(name): place for place, name in enumerate(self.names) if place}
        if (place := known.get(_folded(str(wanted)))) is not None:
            return place
        problem = unknown_name(argument, wanted, self.names[1:])
        raise InputError(f"{self.path}: {problem}{self.hint(self.names)}")

    def values(
        self, place: int, day_of: Callable[[str], dt.date], allowed: Allowed
    ) -> dict[dt.date, float]:
        """The numbers of one column by day, in the order of the days.

        Args:
            place: the place of the column.
            day_of: reads a day; a ValueError for text that is none.
            allowed: the numbers that it may have.

        Raises:
            InputError: naming the first line that cannot be read, or a file without any value.
        """
        found: dict[dt.date, float] = {}
        lines = self._lines()
        next(lines)
        for number, cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(self.names):
                self._refuse(number, f"{len(cells)} cells", f"{len(self.names)}, as the headings")
            day = self._day(number, cells[0], day_of)
            value = self._value(number, cells[place], allowed)
            if value is not None and found.setdefault(day, value) != value:
                self._refuse(number, f"{value} for {day}", f"{found[day]}, as in a line before")
        if not found:
            raise InputError(f"{self.path} has no value of {self.names[place]!r}")
        return dict(sorted(found.items()))

    def _day(self, number: int, text: str, day_of: Callable[[str], dt.date]) -> dt.date:
        try:
            return day_of(text.strip())
        except ValueError:
            self._refuse(number, cut(text), f"a date such as {_DAYS.get(day_of, _ISO)}")
            raise AssertionError from None

    def _value(self, number: int, text: str, allowed: Allowed) -> float | None:
        """A number; None where it is missing."""
        if text.strip().upper() in MISSING:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not allowed.least <= value <= allowed.most:
            self._refuse(number, cut(text), allowed.meaning)
        return value

    def _refuse(self, number: int, found: str, expected: str) -> None:
        raise InputError(f"{self.path}, line {number}: found {found}, expected {expected}")

    def _refuse_other_kind(self) -> None:
        """Refuse files that are no text, whose bytes would be shown as headings."""
        try:
            with self.path.open("rb") as file:
                begins = file.read(4096)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        if not begins.strip():
            raise InputError(
                f"{self.path} is empty: expected {self.form}, with headings such as {self.expected}"
            )
        for start, kind in _KINDS.items():
            if begins.startswith(start):
                raise InputError(f"{self.path} {kind}")
        if b"\0" in begins:
            raise InputError(f"{self.path} is no text: expected CSV in UTF-8")

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line.

        Raises:
            InputError: if the file cannot be read as CSV.
        """
        try:
            with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                reader = csv.reader(file)
                yield from ((reader.line_num, cells) for cells in reader)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        except csv.Error as error:
            raise InputError(f"{self.path}: is no CSV: {error}") from None


def _folded(name: str) -> str:
    return "".join(name.split()).lower().replace("month", "mo")
