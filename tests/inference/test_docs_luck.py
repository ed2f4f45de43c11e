"""docs/luck.md shows what its programs print, and what the simulation found."""

import re

import pytest

from tests.docs_luck import PAGE, TABLE, coverage_table, with_coverage, with_outputs


def test_page_prints_what_it_shows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_outputs(page) == page, "`python -m tests.docs_luck` writes it anew"


@pytest.mark.slow
def test_coverage_is_what_the_page_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = coverage_table()
    stated, found = (re.findall(r"([\d.]+)%", shown) for shown in (TABLE.findall(page)[0], table))
    assert len(found) == 16
    # a market at the edge of its interval may fall to the other side on another processor
    assert [float(each) for each in found] == pytest.approx([float(s) for s in stated], abs=0.3)
    assert with_coverage(with_coverage(page, "another"), TABLE.findall(page)[0].strip()) == page
