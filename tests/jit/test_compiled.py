"""The cache of compiled kernels: used if nothing changed, never stale, and optional."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import wheelvec

PRICE = """
import numpy as np
from wheelvec.kernels.slices import Rows
from wheelvec.kernels.exits import market_price
one, no = np.ones(1), np.zeros(1, np.bool_)
rows = Rows(np.zeros(1, np.int64), one, 3.0 * one, one, 2.0 * one, one, one, no)
print(market_price(rows, 0, 1.0, 0.05, 2), sum(market_price.stats.cache_hits.values()))
"""


def price_in(folder: Path, program: str = PRICE, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def copied(folder: Path) -> Path:
    source = Path(wheelvec.__file__).parent
    shutil.copytree(source, folder / "wheelvec", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_change_in_another_file_compiles_again(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    assert price_in(folder) == ["3.0", "0"]  # pessimistic: min(high, close + 0.75 * range)
    assert price_in(folder) == ["3.0", "1"]
    quote = folder / "wheelvec" / "kernels" / "quotes.py"
    quote.write_text(
        quote.read_text().replace(
            "return 0.75 if mode == PESSIMISTIC", "return 0.25 if mode == PESSIMISTIC"
        )
    )
    assert price_in(folder) == ["2.5", "0"]


def test_a_cache_with_types_of_another_version_is_ignored(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    assert price_in(folder) == ["3.0", "0"]
    for source in (folder / "wheelvec").rglob("*.py"):
        source.write_text(re.sub(r"\bRows\b", "Prices", source.read_text()))
    assert price_in(folder, PRICE.replace("Rows", "Prices")) == ["3.0", "0"]


def test_it_works_without_a_writable_folder(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / "wheelvec" / "kernels" / "__pycache__").write_text(
        "no folder"
    )  # root, too, cannot write below a file
    nowhere = {
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": "/dev/null",
        "NUMBA_CACHE_DIR": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for _ in range(2):
        assert price_in(folder, **nowhere) == ["3.0", "0"]


def test_a_read_only_installation_is_cached_in_the_users_folder(
    tmp_path: Path,
) -> None:
    folder = copied(tmp_path)
    (folder / "wheelvec" / "kernels" / "__pycache__").write_text("no folder")
    elsewhere = {
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home"),
        "NUMBA_CACHE_DIR": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    assert price_in(folder, **elsewhere) == ["3.0", "0"]
    assert price_in(folder, **elsewhere) == ["3.0", "1"]
    assert list((tmp_path / "home").rglob("*.nbi"))
