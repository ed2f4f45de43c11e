"""The elements of a page: figures, texts, tables, charts and stories, before they are HTML."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

MARK = "wheelvec-page"  # in the head of every page, so that pages are known to be ours


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of the top of a page: its name, its text, and what must be known of it."""

    label: str
    value: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Link:
    """A cell that leads to a place on the page.

    Attributes:
        text: of the cell.
        place: the id of the place.
        column: if not empty, the column of the table `table` that is filtered by `value`.
        table: the id of that table.
        value: the beginning of the cells that stay.
        share: from -1 to 1, the colour of the cell behind the text.
    """

    text: str
    place: str = ""
    column: str = ""
    table: str = ""
    value: str = ""
    share: float | None = None


Cell = str | Link


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that can be sorted, filtered and downloaded.

    Attributes:
        name: its id, and the name of the file when it is downloaded.
        title: its caption.
        columns: the heads.
        rows: the cells.
        ids: of rows that links lead to, by number.
        note: a note on it.
        plain: whether it has neither filter nor download: a few rows to be read at a glance.
        wrapped: whether its cells are sentences, of several lines.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    ids: Mapping[int, str] = dataclasses.field(default_factory=dict)
    note: str = ""
    plain: bool = False
    wrapped: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers, which stand to the right."""
        return [
            all(_is_number(row[i]) for row in self.rows) and bool(self.rows)
            for i in range(len(self.columns))
        ]


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart: its specification, a static image of it, and what it shows in words.

    Attributes:
        name: its id.
        spec: Vega-Lite, with the theme.
        svg: the static image.
        alt: a description, for those who do not see it.
    """

    name: str
    spec: Mapping[str, Any]
    svg: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Story:
    """One wheel: its legs, a small chart, and the bars around each exit.

    Attributes:
        name: the wheel's id.
        place: its id on the page.
        title: P&L and end in words.
        legs: a plain table.
        bars: a plain table.
        drawing: the dict that `stories.drawing` computes.
    """

    name: str
    place: str
    title: str
    legs: Table
    bars: Table
    drawing: Mapping[str, Any]


Element = str | Table | Chart | Story


@dataclasses.dataclass(frozen=True)
class Section:
    """The elements of a page under one heading.

    Attributes:
        name: its id.
        title: its heading.
        elements: texts, tables, charts and stories in order; charts that follow one another stand
            side by side where the page is wide enough.
    """

    name: str
    title: str
    elements: Sequence[Element]


@dataclasses.dataclass(frozen=True)
class Page:
    """A page before it is HTML.

    Attributes:
        title: of the window.
        sentence: the run in one sentence.
        figures: the figures that matter.
        caveats: limits of the figures, in sentences.
        sections: all else.
        footer: versions and digests.
    """

    title: str
    sentence: str
    figures: Sequence[Figure]
    caveats: Sequence[str]
    sections: Sequence[Section]
    footer: str


def _is_number(cell: Cell) -> bool:
    text = cell if isinstance(cell, str) else cell.text
    bare = text.strip("%+-").replace(",", "").replace(".", "", 1)
    return bare == "" or bare.isdigit()


def amount(value: Any, digits: int = 2) -> str:
    """A number with commas; "-" where there is none."""
    if value is None or value != value:
        return "-"
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0.0 else text


def percent(value: Any, digits: int = 2) -> str:
    """A number that is in percent already."""
    text = amount(value, digits)
    return text if text == "-" else f"{text}%"


def shown(value: Any) -> str:
    """Any value as the text of a cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return amount(value, 2 if abs(value) < 1e6 else 0)
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


def table_of(name: str, title: str, frame: pl.DataFrame, note: str = "") -> Table:
    """A frame as a table."""
    rows = [[shown(value) for value in row] for row in frame.iter_rows()]
    return Table(name, title, frame.columns, rows, note=note)
