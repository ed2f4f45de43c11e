"""docs/luck.md shows what its programs print, and what the simulation found."""

import pytest

from tests.docs_luck import PAGE, coverage_table, with_coverage, with_outputs


def test_page_prints_what_it_shows() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_outputs(page) == page, "`python -m tests.docs_luck` writes it anew"


@pytest.mark.slow
def test_coverage_is_what_the_page_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    again = "`python -m tests.docs_luck --coverage` writes it anew"
    assert with_coverage(page, coverage_table()) == page, again
