"""Files are written whole or not at all."""

from pathlib import Path

import pytest

import wheelvec as wv
from wheelvec.model import atomic


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "a.json"
    place.write_text("old")
    with atomic.replacing(place) as temporary:
        temporary.write_text("new")
        assert place.read_text() == "old"
    assert place.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "a.json"
    place.write_text("old")

    def fail_half_way() -> None:
        with atomic.replacing(place) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert place.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json"]


def test_what_cannot_be_written_names_the_file_and_the_reason(tmp_path: Path) -> None:
    refused = pytest.raises(
        wv.WheelvecError, match=r"absent.a\.json: cannot be written: No such file or directory"
    )
    with refused, atomic.replacing(tmp_path / "absent" / "a.json") as temporary:
        temporary.write_text("x")
