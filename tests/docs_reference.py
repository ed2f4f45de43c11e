"""docs/reference.md: every field, column and figure, from the schemas; and the table of modules in
docs/architecture.md.

`python -m tests.docs_reference` writes the page anew; tests/test_docs_reference.py compares, and
holds it complete.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl

import wheelvec as wv
from wheelvec.model import columns, errors, schemas
from wheelvec.model.columns import Column
from wheelvec.model.config import SECTIONS, fields
from wheelvec.stages.figures import figures_frame, new_figures

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "wheelvec"
PAGE, ARCHITECTURE = ROOT / "docs" / "reference.md", ROOT / "docs" / "architecture.md"
MARKERS = ("<!-- modules: written by tests/docs_reference.py -->", "<!-- end of modules -->")
PACKAGES = (
    "model", "jit", "pricing", "kernels", "tables", "lake", "market", "vendors", "databento", "files", "demo", "stages", "run",
    "slicing", "signals", "accounts", "cluster", "results", "explaining", "inference", "report", "plots", "pages", "cli",
)  # fmt: skip
HEAD = """# Reference

Every field of a configuration, every column and every figure. Written by `make docs` from the schemas of the package; what the terms mean is defined in [rules.md](rules.md).
"""

# the columns that a sweep adds to those of its grid
SWEEP_FIGURES = figures_frame(new_figures(1), np.zeros((6, 1)), np.zeros(1, np.int64)).columns
OF_PUT = ("dte_entry", "delta_entry", "iv_entry")
Schema = Mapping[str, pl.DataType]
FRAMES: dict[str, tuple[str, Schema, Mapping[str, Column]]] = {
    "Result.records": ("One row per phase, wheel by wheel.", schemas.RECORDS, columns.RECORDS),
    "Result.wheels": (
        "One row per wheel: the columns of `records` that a total has, and these.",
        {"in_summary": pl.Boolean(), **{name: schemas.RECORDS[name] for name in OF_PUT}, "n_calls": pl.Int64()},
        columns.WHEELS,
    ),
    "Result.ledger": ("Dated cash of every wheel.", schemas.LEDGER, columns.LEDGER),
    "Result.diagnostics": ("One row per entry session and underlying.", schemas.DIAGNOSTICS, columns.DIAGNOSTICS),
    "Result.call_diagnostics": (
        "One row per attempt of a launched wheel to sell a call.", schemas.CALL_DIAGNOSTICS, columns.CALL_DIAGNOSTICS
    ),
    "Result.paths": ("The paths of the legs: one row per contract and session.", schemas.PATHS, columns.PATHS),
    "Result.underlying": ("Closes over the span of the wheels.", schemas.UNDERLYING_CLOSES, columns.UNDERLYING_CLOSES),
    "Result.events": ("The corporate events of the underlyings.", schemas.EVENTS, columns.EVENTS),
    "Portfolio.daily": ("An account at the close of each session.", schemas.ACCOUNT_DAILY, columns.ACCOUNT_DAILY),
    "Portfolio.deltas": ("Share equivalents of an account.", schemas.ACCOUNT_DELTAS, columns.ACCOUNT_DELTAS),
    "Market.diagnostics": (
        "Rows set aside, and anomalies.", schemas.MARKET_DIAGNOSTICS, columns.MARKET_DIAGNOSTICS
    ),
}  # fmt: skip


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(list(head)), *map(list, rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def configuration() -> str:
    """A table of fields for each section of a configuration."""
    parts = []
    for section, found in groupby(fields(), lambda field: field.section):
        rows = [
            (
                f"`{f.name}`",
                f"`{f.type}`",
                f"`{f.default!r}`",
                f.unit,
                f.allowed,
                f.doc + (f" Also spelt `{f.alias}`." if f.alias else ""),
            )
            for f in found
        ]
        title = f"`[{section}]`: `{SECTIONS[section].__name__}`" if section else "At the top"
        parts.append(
            f"### {title}\n\n{table(('field', 'type', 'default', 'unit', 'allowed', 'what it decides'), rows)}\n"
        )
    return "## Configuration\n\n" + "\n".join(parts)


def frame(name: str) -> str:
    """The columns of one frame."""
    about, schema, meanings = FRAMES[name]
    rows = [
        (f"`{c}`", str(kind), meanings[c].unit, meanings[c].meaning) for c, kind in schema.items()
    ]
    return f"### `{name}`\n\n{about}\n\n{table(('column', 'type', 'unit', 'meaning'), rows)}\n"


def figures() -> str:
    """The figures of a summary and those that a sweep adds."""
    summary = [
        (f"`{name}`", column.unit, column.meaning) for name, column in columns.SUMMARY.items()
    ]
    more = [
        (f"`{name}`", columns.of_sweep(name).unit, columns.of_sweep(name).meaning)
        for name in SWEEP_FIGURES
        if name not in columns.SUMMARY
    ]
    account = [
        (f"`{name}`", column.unit, column.meaning) for name, column in columns.METRICS.items()
    ]
    head = ("figure", "unit", "meaning")
    return (
        f"## Figures\n\n### `Result.summary()`\n\nNone where there is nothing to sum.\n\n{table(head, summary)}\n\n"
        f"### `Sweep.frame`\n\nThe grid's columns, `config_id`, the figures above, and these.\n\n{table(head, more)}\n\n"
        f"### `Portfolio.metrics()`\n\nAnd `alpha_` and `beta_` of each benchmark, `skipped_` of each reason. "
        f"None where a figure is not defined.\n\n{table(head, account)}\n"
    )


def refusals() -> str:
    """The errors that wheelvec raises on purpose, each with its first sentence."""
    found = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.WheelvecError)
    ]
    public = [kind for kind in found if kind.__name__ in wv.__all__]
    rows = [
        (
            f"`{kind.__name__}`",
            ", ".join(f"`{base.__name__}`" for base in kind.__bases__),
            (kind.__doc__ or "").split("\n\n")[0].rstrip("."),
        )
        for kind in public
    ]
    return f"## Errors\n\n{table(('error', 'is also a', 'raised when'), rows)}\n"


def page() -> str:
    """The whole page."""
    return "\n".join(
        [HEAD, configuration(), "## Tables\n", *map(frame, FRAMES), figures(), refusals()]
    )


def modules() -> str:
    """A table of every module, by package: its first sentence."""
    parts = []
    packages = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    for package in sorted(packages, key=lambda package: PACKAGES.index(package.name)):
        rows = [
            (f"`{path.stem}`", first_sentence(path))
            for path in sorted(package.glob("*.py"))
            if path.stem not in ("__init__", "__main__")
        ]
        parts.append(
            f"### {'.'.join(package.relative_to(PACKAGE).parts)}\n\n{table(('module', 'what it holds'), rows)}\n"
        )
    return "\n".join(parts)


def first_sentence(path: Path) -> str:
    """The first sentence of the docstring of a module."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    text = " ".join(said.partition("\n\n")[0].split())
    return re.split(r"(?<=[a-z0-9)`])[.?] (?=[A-Z])|[.:]$", text, maxsplit=1)[0]


def architecture() -> str:
    """docs/architecture.md with its table of modules."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    before, after = (text.index(marker) for marker in MARKERS)
    return f"{text[:before]}{MARKERS[0]}\n\n{modules()}\n{text[after:]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    ARCHITECTURE.write_text(architecture(), encoding="utf-8")
