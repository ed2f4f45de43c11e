"""How the benchmarks run: `--short` for small inputs; what is measured also says on how many things
and threads.

python -m pytest benchmarks                               everything, at full size
python -m pytest benchmarks --short --benchmark-disable   each once, results checked, nothing timed
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks import machine

SECONDS = 2.0  # about so long a contestant is timed
FEWEST, MOST = 5, 100  # rounds
MOST_SHORT = 10_000  # options

Measure = Callable[..., Any]
ABSENT: dict[str, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--short",
        action="store_true",
        help="small inputs: whether all runs and agrees, within two minutes",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Leave large inputs out of the short form. Warnings of the packages compared are not ours to
    fix.
    """
    if config.getoption("--short"):
        items[:] = [
            i
            for i in items
            if not hasattr(i, "callspec") or i.callspec.params.get("n", 0) <= MOST_SHORT
        ]
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore"))


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Add the machine, and who was not there."""
    output_json["machine"] = machine.described()
    output_json["absent"] = ABSENT


@pytest.fixture(scope="session")
def short(request: pytest.FixtureRequest) -> bool:
    """Whether inputs are small."""
    return bool(request.config.getoption("--short"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One core for the whole process."""
    with machine.threads(1):
        yield


@pytest.fixture
def measure(benchmark: Any) -> Measure:
    """Time a function whose result was already seen to be right.

    measure(function, group=..., what=..., n=..., threads=..., seconds=..., rounds=..., before=...,
    **more): `n` is what one call works through; without `rounds` there are as many as the seconds
    hold, after one that is left out; `before` is called before each, off the clock; `more` is kept
    beside the times.
    """

    def timed(
        function: Callable[[], Any],
        *,
        group: str,
        what: str,
        n: int,
        threads: int,
        seconds: float = SECONDS,
        rounds: int = 0,
        before: Callable[[], None] | None = None,
        **more: Any,
    ) -> Any:
        benchmark.group = group
        benchmark.extra_info.update(what=what, n=n, threads=threads, **more)
        if not rounds:
            began = time.perf_counter()
            function()
            once = time.perf_counter() - began
            rounds = max(FEWEST, min(MOST, int(seconds / max(once, 1e-9))))
        return benchmark.pedantic(function, setup=before, rounds=rounds, iterations=1)

    return timed


def absent(name: str, reason: str) -> None:
    """Skip a rival that is not there, and keep its name for the page."""
    ABSENT[name] = reason
    pytest.skip(f"{name} is absent: {reason}")
