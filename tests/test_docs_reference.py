"""docs/reference.md and docs/architecture.md are complete, and are what this code writes."""

import re

import polars as pl
import pytest

import wheelvec as wv
from tests import docs_reference
from wheelvec.model import columns, schemas
from wheelvec.model.config import field_names
from wheelvec.model.schemas import WHEELS

AGAIN = "`make docs` writes it anew"


def test_the_reference_is_what_this_code_writes() -> None:
    assert docs_reference.page() == docs_reference.PAGE.read_text(encoding="utf-8"), AGAIN


def test_the_table_of_modules_is_what_this_code_writes() -> None:
    assert docs_reference.architecture() == docs_reference.ARCHITECTURE.read_text(
        encoding="utf-8"
    ), AGAIN


def test_every_module_says_what_it_holds() -> None:
    rows = docs_reference.modules().splitlines()
    assert len(rows) > 80
    assert [row for row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize("name", docs_reference.FRAMES)
def test_every_column_has_a_meaning_and_none_is_described_that_is_not_there(name: str) -> None:
    _, schema, meanings = docs_reference.FRAMES[name]
    assert list(schema) == list(meanings)
    assert all(column.meaning for column in meanings.values())


def test_every_figure_of_a_summary_has_a_meaning() -> None:
    market = wv.demo_market()
    result = wv.backtest(
        market, wv.Config(schedule=wv.Schedule(start_date="2024-01-02", end_date="2024-01-05"))
    )
    assert list(result.summary()) == list(columns.SUMMARY)
    assert set(result.records.columns) == set(columns.RECORDS)
    own = docs_reference.FRAMES["Result.wheels"][1]
    assert result.wheels.select(*own).schema == pl.Schema(own)
    assert set(result.wheels.columns) == {*WHEELS, *own}
    assert set(schemas.MARKET_DIAGNOSTICS) == set(market.diagnostics.columns)


def test_every_figure_of_a_sweep_has_a_meaning() -> None:
    for name in docs_reference.SWEEP_FIGURES:
        assert columns.of_sweep(name).meaning
    with pytest.raises(KeyError):
        columns.of_sweep("avg_wheel_rock")


def test_every_field_stands_in_the_reference() -> None:
    page = docs_reference.PAGE.read_text(encoding="utf-8")
    assert [name for name in field_names() if f"| `{name.partition('.')[2]}` |" not in page] == []


def test_every_page_and_section_that_the_package_cites_is_there() -> None:
    sections = {
        int(found)
        for found in re.findall(
            r"^## (\d+)\. ", (docs_reference.ROOT / "docs" / "rules.md").read_text("utf-8"), re.M
        )
    }
    for path in docs_reference.PACKAGE.rglob("*.py"):
        text = " ".join(path.read_text(encoding="utf-8").split())
        for name in re.findall(r"\b(?:docs/)?(\w+)\.md\b", text):
            assert (docs_reference.ROOT / "docs" / f"{name}.md").exists() or name in (
                "README",
                "CHANGELOG",
            ), (path, name)
        for cited in re.findall(r"rules\.md,? sections? ([\d, and to]+)", text):
            assert {int(number) for number in re.findall(r"\d+", cited)} <= sections, (path, cited)
