"""The table of changes fits the code, and each change is noticed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation import changes_of_sweeps
from tests.mutation.mutate import CHANGES, ROOT, occurrences, run


def test_every_old_text_occurs_once() -> None:
    found = {change.name: occurrences(change) for change in (*CHANGES, *changes_of_sweeps.CHANGES)}
    assert {name: count for name, count in found.items() if count != 1} == {}


def test_the_table_is_long_enough_and_names_are_unique() -> None:
    assert len(CHANGES) >= 50
    assert [
        name for name, count in Counter(change.name for change in CHANGES).items() if count > 1
    ] == []
    assert all(change.old != change.new for change in CHANGES)


@pytest.mark.slow
def test_no_unexpected_survivor() -> None:
    surprises = [str(outcome) for outcome in run() if not outcome.as_expected]
    assert surprises == []


def sweeps_differ(*arguments: str) -> bool:
    """Whether a sweep's kernels, changed or not, are seen to differ from backtests."""
    line = [sys.executable, "-m", "tests.mutation.sweeps", *arguments]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == done.stdout.startswith("DIFFERENCE"), done.stderr
    return done.returncode == 1


def test_a_change_of_a_sweep_is_noticed() -> None:
    """One of them, in every run: else all of them could go unmade, and all survive."""
    assert sweeps_differ("--change", changes_of_sweeps.CHANGES[0].name)


@pytest.mark.slow
def test_changes_of_a_sweep_are_noticed(tmp_path: Path) -> None:
    store = str(tmp_path / "answers.pickle")
    assert not sweeps_differ("--answers", store)
    survived = [
        change.name
        for change in changes_of_sweeps.CHANGES
        if not sweeps_differ("--change", change.name, "--answers", store) and not change.equivalent
    ]
    assert survived == []
