"""How long a process takes to start: the import, the first run ever (everything is compiled), and
later runs.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.conftest import Measure

ROOT = Path(__file__).parents[1]
DEMO = (
    "from wheelvec.cli import main; raise SystemExit(main(['demo', '--quiet', '--out', {out!r}]))"
)
IMPORTS = {
    "an empty process": "pass",
    "import polars": "import polars",
    "import polars, numba": "import polars, numba",
    "import wheelvec": "import wheelvec",
    "import wheelvec, every public name": "from wheelvec import *",
}


def python(program: str, cache: Path | None = None) -> None:
    """Run a program in a separate process; `cache` is where Numba keeps compiled code."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = (
        os.environ | {"PYTHONPATH": paths} | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", IMPORTS)
def test_import(what: str, measure: Measure) -> None:
    measure(lambda: python(IMPORTS[what]), group="start", what=what, n=1, threads=1, seconds=5.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, short: bool) -> Path:
    """Where the runs write, and keep compiled code."""
    if short:
        pytest.skip("compiling everything takes too long for the short form")
    return tmp_path_factory.mktemp("start")


def demo(folder: Path, cache: str) -> None:
    """`wheelvec demo` with its compiled code in one of the folder's caches."""
    python(DEMO.format(out=str(folder / "out")), folder / cache)


def test_first_run(folder: Path, measure: Measure) -> None:
    caches = (f"cache{n}" for n in range(1000))
    measure(
        lambda: demo(folder, next(caches)),
        group="start",
        what="`wheelvec demo`, the first run ever",
        n=1,
        threads=2,
        rounds=2,
    )


def test_later_run(folder: Path, measure: Measure) -> None:
    demo(folder, "cache0")
    assert any((folder / "cache0").rglob("*.nbi")), "nothing was compiled into the cache"
    measure(
        lambda: demo(folder, "cache0"),
        group="start",
        what="`wheelvec demo`, a later run",
        n=1,
        threads=2,
        seconds=5.0,
    )
