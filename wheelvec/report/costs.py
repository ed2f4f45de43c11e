"""Texts about a fetch and its cost, and about imported files, of at most 80 columns."""

from typing import TYPE_CHECKING

import polars as pl

from wheelvec.model.errors import counted
from wheelvec.report.text import number, wrapped

if TYPE_CHECKING:
    from wheelvec.vendors.databento.fetch import Fetched

_NAMES = {
    "option_quotes": "quotes",
    "option_bars": "option bars",
    "underlying_minutes": "stock minutes",
    "underlying_bars": "stock daily bars",
}


def plan_text(fetched: "Fetched") -> str:
    """The plan of a fetch as a table, with its cost in dollars.

    It has the numbers of sessions that the lake has (or that have no data), that it lacks (or that
    are requested again), and that are not published yet.
    """
    rows = [("symbol", "what", "schema", "have", "lack", "later", "requests", "dollars")]
    for row in fetched.plan.iter_rows(named=True):
        have = row["held"] + row["empty"] + row["closed"]
        counts = [
            number(value)
            for value in (have, row["lacking"] + row["again"], row["later"], row["requests"])
        ]
        rows.append(
            (row["symbol"], _NAMES[row["table"]], row["schema"], *counts, dollars(row["dollars"]))
        )
    rows.append(
        (
            "",
            "in all",
            "",
            "",
            "",
            "",
            number(int(fetched.plan["requests"].sum())),
            dollars(fetched.cost),
        )
    )
    lines = [
        f"  {a:<8}{b:<18}{c:<10}{d:>7}{e:>7}{f:>7}{g:>10}{h:>11}" for a, b, c, d, e, f, g, h in rows
    ]
    return "\n".join(["Sessions needed, and the cost of those that lack at Databento", *lines])


def paid_text(fetched: "Fetched", lake: object) -> str:
    """The number of answers that were written, and their cost in dollars."""
    requests = counted(int(fetched.plan["requests"].sum()), "answer")
    return f"Written to {lake}: {requests}, {dollars(fetched.paid)} dollars asked for"


def notes_text(fetched: "Fetched") -> str:
    """The notes about data that are not available, one paragraph each."""
    return "\n".join(wrapped(f"- {note}", "") for note in fetched.notes)


def files_text(files: pl.DataFrame) -> str:
    """The imported DBN files as a table, and the reasons why files were left out."""
    rows, problems = [("file", "schema", "what", "sessions", "rows")], []
    for path, _, schema, table, sessions, count, problem in files.iter_rows():
        name = path if len(path) <= 32 else "..." + path[-29:]
        rows.append((name, schema, _NAMES.get(table, "left out"), number(sessions), number(count)))
        problems += [wrapped(f"- {path} {problem}", "")] if problem else []
    lines = [f"  {a:<33}{b:<11}{c:<17}{d:>8}{e:>9}" for a, b, c, d, e in rows]
    return "\n".join(
        [
            "DBN files",
            *lines,
            *(["", "Left out, for they cannot be used:", *problems] if problems else []),
        ]
    )


def dollars(amount: float) -> str:
    """An amount with cents; below one cent, as of a single minute's quotes, with six decimals."""
    return f"{amount:,.2f}" if amount == 0 or amount >= 0.01 else f"{amount:.6f}"
