"""The text of `wheelvec import eod`, of at most 80 columns."""

from typing import TYPE_CHECKING

import polars as pl

from wheelvec.model.errors import counted
from wheelvec.report.text import diagnostics_text, number, wrapped, written_text

if TYPE_CHECKING:
    from wheelvec.vendors.files.importing import Imported

_MOST_FILES = 20


def imported_text(imported: "Imported", lake: str) -> str:
    """The rows that an import read, set aside and wrote, and the sources of prices and closes."""
    aside = imported.set_aside
    sections = [
        _files(imported.files),
        diagnostics_text(aside) if len(aside) else "",
        _prices(imported.prices),
        "\n".join(wrapped(f"- {note}", "") for note in imported.notes),
        f"Written to {lake}\n{written_text(imported.written)}",
    ]
    return "\n\n".join(section for section in sections if section)


def _files(files: pl.DataFrame) -> str:
    rows = [("file", "rows", "quotes", "first", "last")]
    for path, count, quotes, first, last in files.head(_MOST_FILES).iter_rows():
        name = path if len(path) <= 26 else "..." + path[-23:]
        rows.append((name, number(count), number(quotes), str(first or "-"), str(last or "-")))
    lines = [f"  {a:<27}{b:>13}{c:>13}  {d:<11} {e:<10}".rstrip() for a, b, c, d, e in rows]
    if (more := len(files) - _MOST_FILES) > 0:
        rest = files.tail(more)
        lines.append(f"  and {counted(more, 'file')} more{number(int(rest['rows'].sum())):>17}")
    return "\n".join(["Files", *lines])


def _prices(prices: pl.DataFrame) -> str:
    """Sessions by the source of price and close, and the gap of one to the other by source."""
    if prices.is_empty():
        return ""
    lines = []
    source, gap = pl.col("underlying_source"), pl.col("gap").abs()
    by_source = prices.group_by(source).agg(
        pl.len(),
        typical=gap.filter(pl.col("close_source") == "file").median(),
        worst=gap.filter(pl.col("close_source") == "file").max(),
    )
    for name, count, typical, worst in by_source.sort(source, nulls_last=True).iter_rows():
        text = f"  price from {name or 'nowhere'}: {counted(count, 'session')}"
        if typical is not None:
            text += f"; off the close by {typical:.2%} in the median, {worst:.2%} at most"
        lines.append(text)
    closes = prices.group_by("close_source").len().sort("close_source", nulls_last=True)
    for name, count in closes.iter_rows():
        origin = {"file": "a daily bar", None: "nowhere"}.get(name, f"the quotes ({name})")
        lines.append(f"  close from {origin}: {counted(count, 'session')}")
    text = "\n".join(["The underlying", *lines])
    if (prices["close_source"] == "parity").any():
        text += "\n" + wrapped(
            "Settlement rests on closes that the quotes imply; --underlying FILE gives real ones"
        )
    if prices["close_source"].null_count():
        text += "\n" + wrapped(
            "Wheels that settle on sessions without a close stay unresolved: give the closes by "
            "--underlying FILE"
        )
    return text
