"""TOML files in several encodings, and the errors for files that are not TOML."""

import json
from pathlib import Path

import polars as pl
import pytest

from wheelvec.model.errors import ConfigError
from wheelvec.model.toml import read_toml

TEXT = '[schedule]\nsymbols = ["ALFA"]  # né\n'


@pytest.mark.parametrize(
    "written",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),  # Notepad
        TEXT.encode("utf-16"),  # a file of PowerShell 5
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
    ],
)
def test_a_file_is_read_in_any_encoding(written: bytes, tmp_path: Path) -> None:
    (tmp_path / "wheel.toml").write_bytes(written)
    assert read_toml(tmp_path / "wheel.toml") == {"schedule": {"symbols": ["ALFA"]}}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            TEXT.encode("latin-1"),
            r"no valid TOML: line 2 is not text in UTF-8 \(byte 0xe9\); save the file as UTF-8",
        ),
        (b"\xff\xfea", r"no valid TOML: line 1 is not text in UTF-8"),
        (json.dumps({"put": {"exit_pct": 0.3}}).encode(), r"no valid TOML: it is JSON"),
        (json.dumps([1, 2], indent=1).encode(), r"no valid TOML: it is JSON"),
        (b"[put\nexit_pct = 0.3", r"no valid TOML: .*\(at line 1, column 5\)"),
        (b"[put]\nexit_pct = ", r"no valid TOML: .*\(at end of document\)"),
        (b"[put]\nexit_pct = 0.3\nexit_pct = 0.3\n", r"no valid TOML: .*\(at line 3, column 15\)"),
        (b"\x00" * 100, r"no valid TOML: .*\(at line 1, column 1\)"),
        (b"\x89PNG\r\n\x1a\n", r"no valid TOML: line 1 is not text in UTF-8 \(byte 0x89\)"),
    ],
)
def test_the_error_for_invalid_toml_names_the_line(
    written: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "wheel.toml").write_bytes(written)
    with pytest.raises(ConfigError, match=f"^{tmp_path}/wheel.toml: {message}"):
        read_toml(tmp_path / "wheel.toml")


def test_a_parquet_file_is_recognized(tmp_path: Path) -> None:
    pl.DataFrame({"number": [1.5] * 100}).write_parquet(tmp_path / "grid.parquet")
    with pytest.raises(ConfigError, match=r"grid\.parquet: no valid TOML: it is a Parquet file$"):
        read_toml(tmp_path / "grid.parquet")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "gone.toml", "No such file")):
        with pytest.raises(ConfigError, match=f"{path.name}: cannot be read: {reason}"):
            read_toml(path)
