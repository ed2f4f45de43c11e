"""How long a process takes to start: the import, the first run ever (everything is compiled), and later runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.conftest import Measure

ROOT = Path(__file__).parents[1]
DEMO = "from wheelvec.cli import main; raise SystemExit(main(['demo', '--quiet', '--out', {out!r}]))"
IMPORTS = {
    "an empty process": "pass",
    "import polars": "import polars",
    "import polars, numba": "import polars, numba",
    "import wheelvec": "import wheelvec",
}


def python(program: str, cache: Path | None = None) -> None:
    """Run a program in a process of its own; `cache` is where Numba keeps compiled code."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths} | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("what", IMPORTS)
def test_import(what: str, measure: Measure) -> None:
    measure(lambda: python(IMPORTS[what]), group="start", what=what, n=1, threads=1, seconds=5.0)


def test_first_run(short: bool, tmp_path: Path, measure: Measure) -> None:
    if short:
        pytest.skip("compiling everything takes too long for the short form")
    runs = iter(range(1000))

    def first() -> None:
        n = next(runs)
        python(DEMO.format(out=str(tmp_path / f"out{n}")), tmp_path / f"cache{n}")

    measure(first, group="start", what="`wheelvec demo`, the first run ever", n=1, threads=2, seconds=1.0, fewest=2)


def test_later_run(short: bool, tmp_path: Path, measure: Measure) -> None:
    if short:
        pytest.skip("compiling everything takes too long for the short form")
    program, cache = DEMO.format(out=str(tmp_path / "out")), tmp_path / "cache"
    python(program, cache)
    assert any(cache.rglob("*.nbi")), "nothing was compiled into the cache"
    measure(lambda: python(program, cache), group="start", what="`wheelvec demo`, a later run", n=1, threads=2, seconds=5.0)
