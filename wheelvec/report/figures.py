"""Figures and tables as JSON and CSV, for other programs.

None, NaN and infinite numbers are null in JSON and empty in CSV; dates are ISO strings.
"""

import csv
import dataclasses
import datetime as dt
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from wheelvec.run.results.result import Result

ROWS = 20_000  # rows that are converted at once


def result_figures(result: "Result") -> dict[str, Any]:
    """The figures, counts and warnings that `text.result_text` shows, by name."""
    exits = {
        phase: result.records.filter(pl.col("phase") == phase)["exit_reason"]
        for phase in ("csp", "cc")
    }
    return {
        "config_id": result.config.id,
        "rules": result.config.rules,
        "fingerprint": result.fingerprint,
        "launched": result.wheels.height,
        "figures": result.summary(),
        "outcomes": _counts(result.diagnostics["outcome"]),
        "put_exits": _counts(exits["csp"]),
        "call_exits": _counts(exits["cc"]),
        "wheel_ends": _counts(result.wheels["end_reason"]),
        "warnings": [dataclasses.asdict(each) for each in result.warnings],
    }


def as_json(value: Any) -> str:
    """Figures, mappings, lists and frames as JSON; a frame is a list of its rows."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def rows_as_json(frame: pl.DataFrame) -> Iterator[str]:
    """The chunks of a table as a JSON list of rows, one row a line."""
    yield "["
    for start in range(0, frame.height, ROWS):
        last = start + ROWS >= frame.height
        rows = [
            json.dumps(_plain(row), allow_nan=False)
            for row in frame[start : start + ROWS].iter_rows(named=True)
        ]
        yield ",\n".join(rows) + ("" if last else ",")
    yield "]"


def as_csv(frame: pl.DataFrame) -> Iterator[str]:
    """The chunks of a table as CSV with a header; lists and structs in cells are JSON."""
    yield _csv([frame.columns])
    for start in range(0, frame.height, ROWS):
        yield _csv(
            [_cell(value) for value in row] for row in frame[start : start + ROWS].iter_rows()
        )


def figures_as_csv(figures: Mapping[str, Any]) -> str:
    """Figures as CSV with columns figure and value."""
    return _csv([("figure", "value"), *((name, _cell(value)) for name, value in figures.items())])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().removesuffix("\n")


def _cell(value: Any) -> Any:
    plain = _plain(value)
    return json.dumps(plain) if isinstance(plain, list | dict) else plain


def _plain(value: Any) -> Any:
    """The value converted to types of JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, pl.DataFrame):
        return [_plain(row) for row in value.iter_rows(named=True)]
    if isinstance(value, list | tuple | pl.Series):
        return [_plain(item) for item in value]
    if isinstance(value, dt.date | dt.time):  # a datetime is a date
        return value.isoformat()
    return value


def _counts(names: pl.Series) -> dict[str, int]:
    return dict(
        names.drop_nulls()
        .value_counts(sort=True)
        .sort("count", names.name, descending=[True, False])
        .rows()
    )
