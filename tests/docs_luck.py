"""The computed text of docs/luck.md: the output of its program, and its tables of simulations.

`python -m tests.docs_luck` writes the outputs anew; with `--tables` the tables as well, which takes
some minutes. tests/inference/test_docs_luck.py runs the same functions and compares.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.inference.coverage import METHODS, Design, coverage
from tests.inference.size import Fair, found

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "luck.md"
DESIGNS = {"ended early": Design(early=True), "held to the end": Design(early=False)}
STRIKES = {
    "around the underlying (-0.5 to 0.5)": (-0.5, 0.5),
    "under it (0 to 1)": (0.0, 1.0),
    "far under it (0.5 to 2)": (0.5, 2.0),
}
SESSIONS = (750, 1_500)
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def with_outputs(page: str) -> str:
    """The page with what each program prints after it; each goes on where the last one ended."""
    names: dict[str, Any] = {"__name__": "documentation"}

    def replaced(match: re.Match[str]) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(match[1], "docs/luck.md", "exec"), names)
        return f"```python\n{match[1]}```\n\n```text\n{output.getvalue()}```"

    return BLOCK.sub(replaced, page)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table: first column text, the others right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def coverage_table() -> str:
    """The share of intervals that hold the mean, by method and design."""
    shares = {name: coverage(design) for name, design in DESIGNS.items()}
    head = [f"{name}, {kind}" for name in shares for kind in ("BCa", "percentile")]
    rows = [
        [method, *(f"{100 * share:.1f}%" for each in shares.values() for share in each[k])]
        for k, method in enumerate(METHODS)
    ]
    return table(["drawn", *head], rows)


def size_table() -> str:
    """The share of markets without an edge in which SPA finds one, by strikes and length."""
    rows = [
        [name, *(f"{100 * found(Fair(sessions, strikes)):.1f}%" for sessions in SESSIONS)]
        for name, strikes in STRIKES.items()
    ]
    return table(["strikes", *(f"{sessions:,} entry sessions" for sessions in SESSIONS)], rows)


TABLES: dict[str, Callable[[], str]] = {"coverage": coverage_table, "size": size_table}


def between(name: str) -> re.Pattern[str]:
    """The text between the markers of a table."""
    start = f"<!-- {name}: written by tests/docs_luck.py -->\n"
    return re.compile(f"(?<={re.escape(start)}).*(?=<!-- end of {name} -->)", re.DOTALL)


def with_table(page: str, name: str, content: str) -> str:
    """The page with a table between its markers."""
    return between(name).sub(lambda _: f"\n{content}\n\n", page)


if __name__ == "__main__":
    text = with_outputs(PAGE.read_text(encoding="utf-8"))
    if "--tables" in sys.argv:
        for name, made in TABLES.items():
            text = with_table(text, name, made())
    PAGE.write_text(text, encoding="utf-8")
