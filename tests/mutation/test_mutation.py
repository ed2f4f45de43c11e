"""The table of changes fits the code, and each change is noticed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutation.mutate import CHANGES, occurrences, run


def test_every_old_text_occurs_once() -> None:
    found = {change.name: occurrences(change) for change in CHANGES}
    assert {name: count for name, count in found.items() if count != 1} == {}


def test_the_table_is_long_enough_and_names_are_unique() -> None:
    assert len(CHANGES) >= 50
    assert [name for name, count in Counter(change.name for change in CHANGES).items() if count > 1] == []
    assert all(change.old != change.new for change in CHANGES)


@pytest.mark.slow
def test_no_unexpected_survivor() -> None:
    surprises = [str(outcome) for outcome in run() if not outcome.as_expected]
    assert surprises == []
