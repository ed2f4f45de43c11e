"""docs/luck.md shows what its programs print, and what the simulations found."""

import re

import pytest

from tests.docs_luck import PAGE, TABLES, between, with_outputs, with_table


def test_page_prints_what_it_shows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_outputs(page) == page, "`python -m tests.docs_luck` writes it anew"


@pytest.mark.parametrize("name", TABLES)
def test_tables_stand_between_their_markers(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    (stated,) = between(name).findall(page)
    assert with_table(with_table(page, name, "another"), name, stated.strip()) == page


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_simulations_find_what_the_page_says(name: str) -> None:
    (stated,) = between(name).findall(PAGE.read_text(encoding="utf-8"))
    said, found = (
        [float(each) for each in re.findall(r"([\d.]+)%", shown)]
        for shown in (stated.partition("---:")[2], TABLES[name]().partition("---:")[2])
    )
    # a market at the edge may fall to the other side on another processor
    assert found == pytest.approx(said, abs=1.0)
    assert len(found) >= 6
