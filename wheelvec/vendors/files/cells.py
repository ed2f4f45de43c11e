"""Conversion of the cells of vendors' files: numbers, dates, and puts or calls.

A cell that cannot be converted is a DataError that names the file, the line, the column, the value
and the form that was expected; a mark of a missing value is null.
"""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import polars as pl

from wheelvec.model.errors import DataError, cut, listed
from wheelvec.vendors.files.layout import Layout, likely

_CALLS, _PUTS = ("c", "call", "calls"), ("p", "put", "puts")
_THOUSANDS = r"^[+-]?\$?\d{1,3}(,\d{3})+(\.\d*)?$"
_WITH_TIME = r"^(\S+?)(?:[T ]+\d{1,2}:.*)?$"
_FIRST, _LAST = dt.date(1970, 1, 1), dt.date(2199, 12, 31)


@dataclass(frozen=True)
class Source:
    """The file that is read.

    Attributes:
        name: the path, with the member of a zip in brackets.
        layout: its layout.
        header: the names of its columns.
        at: field -> position of its column.
        comma: whether a comma may separate thousands; not where ";" separates the columns, for
            there it may be a decimal comma.
        dates: by field, the formats that its dates were found to have, each with a text that no
            other format of the layout reads.
    """

    name: str
    layout: Layout
    header: Sequence[str]
    at: Mapping[str, int]
    comma: bool = True
    dates: dict[str, dict[str, str]] = field(default_factory=dict)

    def column(self, field: str) -> str:
        """The name of a field's column in the file."""
        return self.header[self.at[field]].strip() if field in self.at else field


@dataclass(frozen=True)
class Rows:
    """Some rows of a file.

    Attributes:
        source: the file.
        frame: its columns by field: numbers, texts and dates as they were read.
        first: the number of the first row: its line in a CSV, its row in Parquet.
        unit: "line" or "row".
        lines: the numbers of the rows where they do not follow one another.
        headers: how many lines among them repeated the header, and were left out.
    """

    source: Source
    frame: pl.DataFrame
    first: int
    unit: str = "line"
    lines: pl.Series | None = None
    headers: int = 0

    def refuse(self, row: int, field: str, value: object, expected: str) -> DataError:
        """The error of one cell."""
        number = self.first + row if self.lines is None else self.lines[row]
        where = f"{self.source.name} {self.unit} {number}"
        return DataError(
            f"{where}: {self.source.column(field)} is {cut(value)}: expected {expected}"
        )


def numbers(rows: Rows, field: str) -> pl.Series:
    """A field's column as Float64; NaN and the marks of missing values are null.

    Blanks, a dollar sign and commas between thousands are taken.

    Raises:
        DataError: for any other text.
    """
    values = rows.frame[field]
    if values.dtype == pl.Float32:  # 2.55 is another number as a double, unless by its digits
        values = values.cast(pl.String).cast(pl.Float64)
    if values.dtype == pl.Float64 or values.dtype.is_numeric():
        found = values.cast(pl.Float64)
        return found.fill_nan(None) if found.is_nan().any() else found
    if values.dtype in (pl.Null, pl.Boolean) or not isinstance(values.dtype, pl.String):
        if values.null_count() == len(values):
            return pl.Series(field, [None], dtype=pl.Float64).new_from_index(0, len(values))
        raise rows.refuse(0, field, values.dtype, "numbers")
    return _read_numbers(rows, field, values)


def _read_numbers(rows: Rows, field: str, values: pl.Series) -> pl.Series:
    text = present(rows.source.layout, values)
    plain = pl.col("text")
    if rows.source.comma:
        grouped = pl.col("text").str.contains(_THOUSANDS)
        plain = pl.when(grouped).then(plain.str.replace_all(",", "")).otherwise(plain)
    found = text.to_frame("text").select(
        plain.str.strip_prefix("$").cast(pl.Float64, strict=False).fill_nan(None)
    )
    converted = found.to_series().rename(field)
    lost = text.is_not_null() & converted.is_null() & (text.str.to_lowercase() != "nan")
    if lost.any():
        row = int(lost.arg_max() or 0)
        comma = text[row].count(",") == 1 and not rows.source.comma
        more = "a number with a decimal point" if comma else "a number"
        raise rows.refuse(row, field, values[row], more)
    return converted


def present(layout: Layout, values: pl.Series) -> pl.Series:
    """Texts without blanks around them; null where they stand for a missing value."""
    text = values.str.strip_chars(" \t\"'")
    missing = text.is_in(["", *layout.missing])
    return text.set(missing, None) if missing.any() else text


def dates(rows: Rows, field: str) -> pl.Series:
    """A field's column as Date, by the formats of the layout; the time of a time stamp is cut off.

    Raises:
        DataError: for a text of no such format, and for texts that two formats read differently.
    """
    values = rows.frame[field]
    if values.dtype == pl.Date:
        return values
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.date()
    if values.dtype.is_integer():
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        if values.null_count() == len(values):
            return pl.Series(field, [None], dtype=pl.Date).new_from_index(0, len(values))
        raise rows.refuse(0, field, values.dtype, "dates")
    # equal cells follow one another in most files: each run of them is read once
    runs = values.rle().struct.unnest()
    if len(runs) * 4 > len(values):
        return _read_dates(rows, field, values, None)
    found = _read_dates(rows, field, runs["value"], runs["len"])
    return found[np.repeat(np.arange(len(runs)), runs["len"].to_numpy())]


def _read_dates(rows: Rows, field: str, values: pl.Series, lengths: pl.Series | None) -> pl.Series:
    forms, seen = rows.source.layout.dates, rows.source.dates.setdefault(field, {})
    if len(forms) == 1:  # most columns have nothing but dates of one format
        found = _by_format(values, forms[0])
        if not found.null_count():
            return found
    text = present(rows.source.layout, values)
    if text.str.contains(":", literal=True).any():
        text = text.str.extract(_WITH_TIME)
    if len(seen) == 1:
        found = _by_format(text, next(iter(seen)))
        if found.null_count() == text.null_count():
            return found
    read = {form: _by_format(text, form) for form in forms}
    lost = text.is_not_null()
    for found in read.values():
        lost &= found.is_null()
    if lost.any():
        run = int(lost.arg_max() or 0)
        row = run if lengths is None else int(lengths[:run].sum())
        raise rows.refuse(row, field, values[run], _expected(rows.source.layout))
    seen |= {form: example for form, example in _alone(text, read).items() if form not in seen}
    for one, other in itertools.combinations(seen, 2):
        if _contradicting(one, other):
            raise DataError(
                f"{rows.source.name}: {rows.source.column(field)} mixes two formats of dates: "
                f"{seen[one]!r} is {one}, and {seen[other]!r} is {other}: expected one"
            )
    likely = {f: r for f, r in read.items() if not any(_contradicting(f, one) for one in seen)}
    _refuse_ambiguous(rows, field, text, likely)
    return pl.select(pl.coalesce(likely.values())).to_series()


def _alone(text: pl.Series, read: Mapping[str, pl.Series]) -> dict[str, str]:
    """The formats that alone can read some of the texts, each with the first of these."""
    count = sum((found.is_not_null().cast(pl.UInt8) for found in read.values()), pl.lit(0))
    once = pl.select(count == 1).to_series()
    decided = {form: once & found.is_not_null() for form, found in read.items()}
    return {form: text[int(rows.arg_max() or 0)] for form, rows in decided.items() if rows.any()}


def _expected(layout: Layout) -> str:
    shown = [dt.date(2023, 1, 31).strftime(form) for form in layout.dates]
    return f"a date such as {' or '.join(shown)}; another format is named by a layout of your own"


def _by_format(text: pl.Series, form: str) -> pl.Series:
    found = text.str.to_date(form, strict=False)
    first, last = found.min(), found.max()
    if not isinstance(first, dt.date) or (first >= _FIRST and last <= _LAST):  # type: ignore[operator]
        return found
    return found.set(~found.is_between(_FIRST, _LAST).fill_null(True), None)


@cache
def _contradicting(one: str, other: str) -> bool:
    """Whether two formats read one text as two dates."""
    day = dt.date(2023, 2, 1)  # also 2001-02-23 and 2023-01-02
    pairs = (one, other), (other, one)
    read = [_by_format(pl.Series([day.strftime(mine)]), others)[0] for mine, others in pairs]
    return any(found not in (None, day) for found in read)


def _refuse_ambiguous(
    rows: Rows, field: str, text: pl.Series, read: Mapping[str, pl.Series]
) -> None:
    """Raise for the first text that two formats read differently."""
    for one, other in itertools.combinations(read, 2):
        differs = (read[one] != read[other]).fill_null(False)
        if differs.any():
            row = int(differs.arg_max() or 0)
            raise DataError(
                f"{rows.source.name}: {rows.source.column(field)} is {text[row]!r}, which could be "
                f"{read[one][row]} or {read[other][row]}, and no value decides: name one format in "
                f"the layout's dates, not {listed(list(read))}"
            )


def puts(rows: Rows, field: str) -> pl.Series:
    """Whether each row is a put, from texts such as C, call, Put; null where missing.

    Raises:
        DataError: for any other text.
    """
    values = rows.frame[field]
    if values.dtype != pl.String:
        values = values.cast(pl.String)
    if (found := _puts_of_two(values)) is not None:
        return found
    text = present(rows.source.layout, values).str.to_lowercase()
    put, call = text.is_in(_PUTS), text.is_in(_CALLS)
    lost = ~(put | call).fill_null(True)
    if lost.any():
        row = int(lost.arg_max() or 0)
        raise rows.refuse(row, field, values[row], "C or P, call or put")
    return put


def _puts_of_two(values: pl.Series) -> pl.Series | None:
    """`puts` of a column that has two texts only, as most have; None for any other.

    To compare with two texts takes a seventh of the time of looking each up in a list.
    """
    if not len(values) or values.null_count():
        return None
    same: pl.Series = values == values[0]
    texts = [values[0], values[int((~same).arg_max() or 0)]]
    if not (same | (values == texts[1])).all():
        return None
    kinds = [text.strip(" \t\"'").lower() for text in texts]
    if not all(kind in (*_PUTS, *_CALLS) for kind in kinds):
        return None
    first, second = (kind in _PUTS for kind in kinds)
    if first == second:
        return pl.Series(values.name, [first]).new_from_index(0, len(values))
    return same if first else ~same


def header_in(cells: Sequence[str], layout: Layout) -> str:
    """The layout whose header a line is, in words; "" if it is none."""
    if not layout.missing_from(cells):
        return f"a header of {layout.name} with its columns in another order"
    names = likely(cells)
    return f"the header of the layout {' or '.join(names)}" if names else ""
