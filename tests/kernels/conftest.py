"""As plain Python (NUMBA_DISABLE_JIT=1) kernels wrap integers and divide by zero as compiled ones.

Tests that are marked by `build.plain` run as plain Python in any case: those of a file together, in
one process, and each passes or fails under its own name.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
OUTCOMES = pytest.StashKey[dict[Path, tuple[set[str], str]]]()


@pytest.fixture(autouse=True)
def quiet_arithmetic() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """The outcome of a test that ran as plain Python; None: pytest calls it."""
    if numba.config.DISABLE_JIT or not is_plain(pyfuncitem):
        return None
    known = pyfuncitem.config.stash.setdefault(OUTCOMES, {})
    if pyfuncitem.path not in known:
        known[pyfuncitem.path] = run_as_plain_python(pyfuncitem)
    passed, output = known[pyfuncitem.path]
    if pyfuncitem.nodeid not in passed:
        pytest.fail(output, pytrace=False)
    return True


def is_plain(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and getattr(item.obj, "as_plain_python", False)


def run_as_plain_python(one: pytest.Function) -> tuple[set[str], str]:
    """The plain tests of a file that pass, and what was printed."""
    of_file = [item for item in one.session.items if item.path == one.path and is_plain(item)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    options = ("-q", "-rA", "--tb=short", "--no-header", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *(item.nodeid for item in of_file)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    passed = {line.removeprefix("PASSED ") for line in lines if line.startswith("PASSED ")}
    return passed, done.stdout + done.stderr
