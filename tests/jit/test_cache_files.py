"""Cache files of compiled kernels: used if private and undamaged, otherwise compiled again."""

import importlib.util
import logging
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wheelvec.jit import cache_files
from wheelvec.jit.compiled import njit

SOURCE = "def twice(x):\n    return 2.0 * x\n"
Compile = Callable[[], Any]


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Compile]:
    """A function that compiles a small kernel as a new process would: from the files alone."""
    cache_files.usable.cache_clear()
    cache_files._reasons.clear()
    path = tmp_path / "small.py"
    path.write_text(SOURCE)
    (tmp_path / "__pycache__").mkdir(mode=0o755)
    spec = importlib.util.spec_from_file_location("small", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["small"] = module
    spec.loader.exec_module(module)

    def compile_it() -> Any:
        cache_files.usable.cache_clear()
        dispatcher = njit(module.twice)
        assert dispatcher(21.0) == 42.0
        return dispatcher

    yield compile_it
    del sys.modules["small"]
    cache_files.usable.cache_clear()
    cache_files._reasons.clear()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.nb[ic]"))


def hits(dispatcher: Any) -> int:
    return int(sum(dispatcher.stats.cache_hits.values()))


def test_a_kernel_is_compiled_once(kernel: Compile, tmp_path: Path) -> None:
    assert hits(kernel()) == 0
    assert hits(kernel()) == 1
    assert [path.suffix for path in files(tmp_path)] == [".nbc", ".nbi"]
    for path in files(tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:1],
        lambda content: content[:32],
        lambda content: content[:40],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: b"garbage" * 100,
        lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
        lambda content: content + b"\0",
    ],
)
def test_a_damaged_file_is_compiled_again_and_replaced(
    kernel: Compile, tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]
) -> None:
    kernel()
    (path,) = (path for path in files(tmp_path) if path.suffix == suffix)
    path.write_bytes(damage(path.read_bytes()))
    assert hits(kernel()) == 0
    assert hits(kernel()) == 1


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["TRAP"],)


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_numbas_own_files_are_not_unpickled(
    kernel: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    kernel()
    (path,) = (path for path in files(tmp_path) if path.suffix == suffix)
    path.write_bytes(pickle.dumps(Trap()))
    assert hits(kernel()) == 0
    assert not (tmp_path / "sprung").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a system with users")
@pytest.mark.parametrize(
    ("open_to_others", "reason"),
    [
        (lambda file: file.chmod(0o620), "others may write it"),
        (lambda file: file.chmod(0o602), "others may write it"),
        (lambda file: file.parent.chmod(0o770), "others may write it"),
        (lambda file: file.parent.chmod(0o707), "others may write it"),
        (
            lambda file: file.parent.parent.chmod(0o777),
            "everybody may write a folder that contains it",
        ),
        (
            lambda file: file.parent.parent.parent.chmod(0o777),
            "everybody may write a folder that contains it",
        ),
    ],
)
def test_files_that_others_may_write_are_not_read(
    kernel: Compile,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    open_to_others: Callable[[Path], None],
    reason: str,
) -> None:
    kernel()
    for file in files(tmp_path):
        open_to_others(file)
    with caplog.at_level(logging.WARNING, "wheelvec"):
        assert hits(kernel()) == 0
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert reason in said[0]
    assert str(tmp_path) in said[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a system with users")
@pytest.mark.parametrize("whose", ["folder", "files"])
def test_files_of_another_user_are_not_read(
    kernel: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    kernel()
    if os.geteuid() == 0:
        for file in files(tmp_path):
            os.chown(file.parent if whose == "folder" else file, 12345, -1)
    else:  # without the right to change owners, change our own id
        monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert hits(kernel()) == 0


def test_a_link_in_the_place_of_a_file_or_folder_is_not_followed(
    kernel: Compile, tmp_path: Path
) -> None:
    kernel()
    for file in files(tmp_path):
        file.rename(tmp_path / file.name)
        file.symlink_to(tmp_path / file.name)
    assert hits(kernel()) == 0
    folder = files(tmp_path / "__pycache__")[0].parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert hits(kernel()) == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a system with users")
def test_a_full_disk_is_logged_and_stops_nothing(
    kernel: Compile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_files, "_write", full)
    with caplog.at_level(logging.WARNING, "wheelvec"):
        assert hits(kernel()) == hits(kernel()) == 0
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("compiled kernels are not cached, so every start compiles them: ")
    assert said.endswith(f"wheelvec-{os.geteuid()} cannot be written: No space left on device")
