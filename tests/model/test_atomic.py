"""Files are written whole or not at all."""

import os
import sys
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


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(wv.LakeError, match="a device or a pipe"), atomic.replacing(pipe) as new:
        new.write_text("x")
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
