"""A text of titled sections with lines and tables, once for the terminal and once as HTML."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wheelvec.model import markup
from wheelvec.report.text import cell
from wheelvec.run.results.shown import WIDTH


class Table(NamedTuple):
    """A table of texts.

    Attributes:
        heads: of the columns.
        rows: the cells of each.
        sides: a letter a column, l or r: the side on which its cells are aligned.
    """

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    sides: str


class Section(NamedTuple):
    """A part of a text.

    Attributes:
        title: of it.
        lines: paragraphs.
        tables: tables below the paragraphs.
        notes: paragraphs below the tables.
    """

    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


def as_text(sections: Iterable[Section]) -> str:
    """Sections as text of at most WIDTH columns, but for the last column of a table."""
    return "\n\n".join(_section_text(section) for section in sections)


def _section_text(section: Section) -> str:
    tables = ["\n" + _table_text(table) for table in section.tables]
    notes = [_wrapped(note) for note in section.notes]
    return "\n".join([section.title, *map(_wrapped, section.lines), *tables, *notes])


def _wrapped(line: str) -> str:
    """A paragraph; a symbol keeps the blanks inside it."""
    kept = cell(line).replace("  ", "\0\0")
    return textwrap.fill(
        kept, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    ).replace("\0", " ")


def _table_text(table: Table) -> str:
    rows = [table.heads, *[tuple(cell(text) for text in row) for row in table.rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.heads))]
    return "\n".join(_line(row, widths, table.sides) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int], sides: str) -> str:
    cells = [
        text.rjust(width) if side == "r" else text.ljust(width)
        for text, width, side in zip(row, widths, sides, strict=True)
    ]
    return ("  " + "  ".join(cells)).rstrip()


def as_html(sections: Iterable[Section]) -> str:
    """Sections as one block of HTML."""
    return markup.block(*[_section_html(section) for section in sections])


def _section_html(section: Section) -> str:
    tables = [markup.table(table.heads, table.rows, table.sides) for table in section.tables]
    lines, notes = (
        [markup.paragraph(line) for line in part] for part in (section.lines, section.notes)
    )
    return "".join([markup.heading(section.title), *lines, *tables, *notes])
