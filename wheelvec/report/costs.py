"""What a fetch needs, and what it costs, as plain text of at most 80 columns."""

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from wheelvec.report.text import counted, number, wrapped

_NAMES = {
    "option_quotes": "quotes",
    "option_bars": "option bars",
    "underlying_minutes": "stock minutes",
}
_NAMES |= {"underlying_bars": "stock daily bars"}


class Priced(Protocol):
    """What of a `vendors.databento.fetch.Fetched` is read here."""

    @property
    def plan(self) -> pl.DataFrame: ...
    @property
    def cost(self) -> float: ...
    @property
    def paid(self) -> float: ...
    @property
    def notes(self) -> Sequence[str]: ...


def priced(fetched: Priced) -> str:
    """The plan as a table.

    It counts sessions that the lake has (or that have nothing), lacks (or that are asked for
    again), or that are not published yet.
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
    return "\n".join(["Sessions needed, and what those that lack cost at Databento", *lines])


def taken(fetched: Priced, lake: object) -> str:
    """What was done."""
    requests = counted(int(fetched.plan["requests"].sum()), "answer")
    return f"Written to {lake}: {requests}, {dollars(fetched.paid)} dollars asked for"


def remarks(fetched: Priced) -> str:
    """What could not be had, one paragraph each."""
    return "\n".join(wrapped(f"- {note}", "") for note in fetched.notes)


def imported(files: pl.DataFrame) -> str:
    """What became of each DBN file, and why one cannot be used."""
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
    """Dollars and cents; below a cent all digits that matter, for an entry minute may cost less."""
    return f"{amount:,.2f}" if amount == 0 or amount >= 0.01 else f"{amount:.6f}"
