"""The architecture holds: who may import whom, what `import wheelvec` costs, and how packages and
files are named.
"""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "wheelvec"
PACKAGES = (
    "model", "jit", "pricing", "kernels", "tables", "lake", "market", "vendors", "demo", "stages", "run", "inference", "report",
)  # fmt: skip
HEAVY = (
    *("numba", "exchange_calendars", "pandas", "databento", "pyarrow", "rich", "dask"),
    *("altair", "vl_convert", "jinja2"),
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def parsed(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lint(root: Path) -> "subprocess.CompletedProcess[str]":
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    command = [sys.executable, "-c", code, "--no-cache", "--no-logo"]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_import_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


FORBIDDEN = {
    "a stray package": ("helping.py", "", "the packages"),
    "a kernel that knows the stages": (
        "kernels/stray.py",
        "from wheelvec.stages import arrays",
        "the packages",
    ),
    "the market and the stages": (
        "market/stray.py",
        "from wheelvec.stages import arrays",
        "the packages",
    ),
    "a stage that is not listed": ("stages/stray.py", "", "the stages"),
    "a stage that knows the market": (
        "stages/chain.py",
        "from wheelvec.market import market",
        "the stages know",
    ),
    "prices that know the rules": (
        "pricing/stray.py",
        "from wheelvec.kernels import exits",
        "the packages",
    ),
    "slices that know results": (
        "run/slicing/stray.py",
        "from wheelvec.run.results import index",
        "the packages of run",
    ),
    "numba outside the kernels": ("run/stray.py", "import numba", "numba"),
    "a second importer of the calendars": (
        "market/stray.py",
        "import exchange_calendars",
        "exchange_calendars",
    ),
    "a second importer of rich": ("run/stray.py", "import rich", "rich"),
    "a second importer of rich in cli": ("cli/stray.py", "import rich", "rich"),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_the_import_contracts_can_fail(case: str, tmp_path: Path) -> None:
    name, line, contract = FORBIDDEN[case]
    for path in [*modules(), ROOT / "pyproject.toml"]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    stray = tmp_path / "wheelvec" / name
    before = stray.read_text(encoding="utf-8") if stray.exists() else ""
    stray.write_text(before + line + "\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [row for row in done.stdout.splitlines() if " BROKEN" in row]
    assert len(broken) == 1, done.stdout
    assert broken[0].startswith(contract)


def test_packages_are_two_levels_deep_and_their_init_files_are_empty() -> None:
    for path in modules():
        deeper = any(path.is_relative_to(PACKAGE / name) for name in ("vendors", "run", "report"))
        depth = 3 if deeper else 2
        assert len(path.relative_to(PACKAGE).parts) <= depth, path
    for name in PACKAGES:
        assert (PACKAGE / name / "__init__.py").read_text(encoding="utf-8") == "", name
    for path in (PACKAGE / "run").rglob("__init__.py"):
        assert path.read_text(encoding="utf-8") == "", path


def test_no_folder_of_runs_holds_more_than_a_dozen_modules() -> None:
    counts = Counter(
        path.parent.relative_to(PACKAGE).as_posix()
        for path in (PACKAGE / "run").rglob("*.py")
        if path.stem != "__init__"
    )
    assert "run/results" in counts
    assert {folder: count for folder, count in counts.items() if count > 12} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not {path.stem for path in modules()} & {
        "utils",
        "util",
        "core",
        "common",
        "helpers",
        "misc",
    }


def test_imports_are_absolute() -> None:
    for path in modules():
        relative = [
            node.lineno for node in parsed(path) if isinstance(node, ast.ImportFrom) and node.level
        ]
        assert not relative, f"{path.name}: relative imports in lines {relative}"


def test_only_the_command_line_prints() -> None:
    for path in modules():
        calls = [
            node
            for node in parsed(path)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        prints = [
            node.lineno
            for node in calls
            if isinstance(node.func, ast.Name) and node.func.id == "print"
        ]
        assert not prints or path.parent == PACKAGE / "cli", f"{path.name}: print in lines {prints}"


@pytest.mark.parametrize("module", ["wheelvec", "wheelvec.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert not set(HEAVY) & set(loaded)


def test_every_public_name_resolves() -> None:
    python(
        "import wheelvec; [getattr(wheelvec, name) for name in wheelvec.__all__]; assert wheelvec.__doc__"
    )


def test_the_constraints_name_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    for pin in pins:
        name, equals, version = pin.partition("==")
        assert equals, pin
        assert name.replace("-", "").replace("_", "").replace(".", "").isalnum(), pin
        assert version.replace(".", "").replace("post", "").isalnum(), pin
