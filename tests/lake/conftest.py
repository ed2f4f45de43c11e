"""A small lake, for the tests of what lakes hold."""

import shutil
from pathlib import Path

import pytest

from tests.lake.test_lake import small_market


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of `small_market`, not to be changed."""
    path = tmp_path_factory.mktemp("written") / "lake"
    small_market().write(path)
    return path


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A lake of `small_market` that a test may change."""
    return shutil.copytree(written, tmp_path / "lake")
