"""HTML of small tables and texts for notebooks: escaped, and legible in light and dark.

Text takes the colour of its surroundings, and lines are a translucent grey, so that neither needs
to know whether the page is light or dark.
"""

import html
import math
from collections.abc import Iterable, Sequence

# More specific than the rules of Jupyter. Blanks count: symbols have some inside.
_STYLE = (
    "div.wheelvec{overflow-x:auto}"
    "div.wheelvec table{border-collapse:collapse;margin:.3em 0;font-variant-numeric:tabular-nums}"
    "div.wheelvec th,div.wheelvec td{border:0;border-bottom:1px solid rgba(128,128,128,.4);"
    "padding:.15em .7em .15em 0;text-align:left;vertical-align:top;white-space:pre}"
    "div.wheelvec th.r,div.wheelvec td.r{text-align:right}"
    "div.wheelvec p{margin:.3em 0;white-space:pre-wrap}"
    "div.wheelvec p.t{font-weight:bold;margin:.7em 0 .2em}"
)


def escaped(value: object) -> str:
    """A value as text without markup; an empty one for None.

    Example:
        >>> escaped("<b> & None"), escaped(None)
        ('&lt;b&gt; &amp; None', '')
    """
    return "" if value is None else html.escape(str(value))


def shown(value: object) -> str:
    """A value as people read it: whole numbers with commas, others with two decimals, "-" for None.

    Example:
        >>> [shown(value) for value in (1234, 0.5, None, float("nan"), "all")]
        ['1,234', '0.50', '-', '-', 'all']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}" if math.isfinite(value) else "-"
    return "-" if value is None else str(value)


def heading(text: object) -> str:
    """A line in bold."""
    return f'<p class="t">{escaped(text)}</p>'


def paragraph(text: object) -> str:
    """A paragraph."""
    return f"<p>{escaped(text)}</p>"


def listing(items: Iterable[object], most: int | None = None) -> str:
    """A list; after `most` items it says how many more there are."""
    every = list(items)
    kept = every if most is None else every[:most]
    more = len(every) - len(kept)
    rows = [*kept, *([f"and {more:,} more"] if more else [])]
    return "<ul>" + "".join(f"<li>{escaped(row)}</li>" for row in rows) + "</ul>" if rows else ""


def table(heads: Sequence[object], rows: Iterable[Sequence[object]], right: str = "") -> str:
    """A table.

    Args:
        heads: of the columns; none without any text.
        rows: the cells of each, as text or numbers.
        right: a letter a column, "r" for one that is aligned to the right.

    Example:
        >>> print(table(["a"], [["<x>"]]).partition("<tbody>")[2].count("&lt;x&gt;"))
        1
    """
    sides = right.ljust(len(heads), "l")
    head = "" if not any(heads) else f"<thead>{_row('th', heads, sides)}</thead>"
    body = "".join(_row("td", [shown(cell) for cell in row], sides) for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _row(tag: str, cells: Sequence[object], sides: str) -> str:
    inside = "".join(
        f'<{tag} class="r">{escaped(cell)}</{tag}>'
        if side == "r"
        else f"<{tag}>{escaped(cell)}</{tag}>"
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{inside}</tr>"


def folded(summary: object, inside: str) -> str:
    """HTML that is shown when its summary is clicked."""
    return f"<details><summary>{escaped(summary)}</summary>{inside}</details>"


def block(*parts: str) -> str:
    """HTML as one element with its style; it scrolls where it is wider than its page."""
    return f'<div class="wheelvec"><style>{_STYLE}</style>{"".join(parts)}</div>'
