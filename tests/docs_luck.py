"""What a run produced in docs/luck.md: the output of its program, and the table of coverage.

`python -m tests.docs_luck` writes the outputs anew; with `--coverage` the table as well, which
takes some minutes. tests/inference/test_docs_luck.py runs the same functions and compares.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

from tests.inference.coverage import METHODS, Design, coverage

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "luck.md"
DESIGNS = {"ended early": Design(early=True), "held to the end": Design(early=False)}
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(
    r"(?<=<!-- coverage: written by tests/docs_luck.py -->\n).*(?=<!-- end of coverage -->)",
    re.DOTALL,
)


def with_outputs(page: str) -> str:
    """The page with what each program prints after it; each goes on where the last one ended."""
    names: dict[str, Any] = {"__name__": "documentation"}

    def replaced(match: re.Match[str]) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(match[1], "docs/luck.md", "exec"), names)
        return f"```python\n{match[1]}```\n\n```text\n{output.getvalue()}```"

    return BLOCK.sub(replaced, page)


def coverage_table() -> str:
    """The share of intervals that hold the mean, by method and design."""
    found = {name: coverage(design) for name, design in DESIGNS.items()}
    head = [f"{name}, {kind}" for name in found for kind in ("BCa", "percentile")]
    lines = ["| " + " | ".join(["drawn", *head]) + " |"]
    lines.append("| " + " | ".join(["---", *["---:"] * len(head)]) + " |")
    for k, method in enumerate(METHODS):
        cells = [f"{100 * share:.1f}%" for each in found.values() for share in each[k]]
        lines.append("| " + " | ".join([method, *cells]) + " |")
    return "\n".join(lines)


def with_coverage(page: str, table: str) -> str:
    """The page with the table between its markers."""
    return TABLE.sub(lambda _: f"\n{table}\n\n", page)


if __name__ == "__main__":
    text = with_outputs(PAGE.read_text(encoding="utf-8"))
    if "--coverage" in sys.argv:
        text = with_coverage(text, coverage_table())
    PAGE.write_text(text, encoding="utf-8")
