"""One writer at a time has a folder, and what a killed one left is removed."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from wheelvec.lake import files


def test_a_second_writer_is_refused_or_waits_for_the_first(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from wheelvec.lake.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(wv.WheelvecError, match="another process is writing there"),
            files.locked(tmp_path, wait=False),
        ):
            pass
        other.kill()
    with files.locked(tmp_path):  # the lock ended with its process
        pass


def test_the_lock_serves_one_thread_after_the_other_and_is_not_data(tmp_path: Path) -> None:
    with (
        files.locked(tmp_path),
        pytest.raises(wv.WheelvecError),
        files.locked(tmp_path, wait=False),
    ):
        pass


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    stale = tmp_path / f".wheelvec.{os.getpid()}.0123abcd.tmp"
    kept = [tmp_path / name for name in ("mine.tmp", ".wheelvec.notes.tmp", ".hidden", "a.parquet")]
    for path in (stale, *kept):
        path.write_text("x")
    assert files.is_temporary(stale.name)
    files.remove_stale(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_frame_is_written_as_parquet_or_the_file_is_named(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    files.write_frame(tmp_path / "a.parquet", frame)
    assert pl.read_parquet(tmp_path / "a.parquet").equals(frame)
    with pytest.raises(
        wv.WheelvecError, match=r"absent.a\.parquet: cannot be written: No such file or directory"
    ):
        files.write_frame(tmp_path / "absent" / "a.parquet", frame)
