"""Where and with what something was measured, and how many cores it may use."""

import contextlib
import datetime as dt
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numba import config

PACKAGES = (
    "numpy",
    "numba",
    "polars",
    "pandas",
    "pyarrow",
    "polars-vol",
    "pyfeng",
    "fast-vollib",
    "lbriv",
    "py_vollib_vectorized",
    "QuantLib",
    "vollib",
    "vectorbt",
    "vectorbt-rust",
    "arch",
)


def described() -> dict[str, Any]:
    """The machine, the interpreter, and the versions of what is compared."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "vector_unit": _vector_unit(),
        "memory_gib": _memory_gib(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    found = (
        re.search(rf"^{field}\s*: (.*)$", path.read_text(), re.MULTILINE) if path.exists() else None
    )
    return found[1] if found else ""


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _vector_unit() -> str:
    flags = _cpuinfo("flags").split()
    return next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags),
        "unknown",
    )


def _memory_gib() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError, AttributeError):
        return None


def most_threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def idle() -> tuple[int, int] | None:
    """Ticks since the machine began that its cores were idle, and all of them; None where it keeps
    no count.
    """
    path = Path("/proc/stat")
    if not path.exists():
        return None
    ticks = [int(word) for word in path.read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)  # idle, and idle for waiting on a disk


def idle_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """The part of its time that the machine was idle between two readings."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Hold the whole process, pools that already run included, to so many cores (only Linux can;
    elsewhere wheelvec's threads alone are limited).
    """
    before = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    config.NUMBA_NUM_THREADS = min(count, before)  # type: ignore[attr-defined]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    try:
        _pin(cores[-count:])
        yield
    finally:
        config.NUMBA_NUM_THREADS = before  # type: ignore[attr-defined]
        _pin(cores)


def _pin(cores: list[int]) -> None:
    """Every thread of this process; those to come inherit it."""
    if not cores:
        return
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)
