"""The order of the test files; and Databento's client against a stand-in on this machine."""

from pathlib import Path

import pytest

from tests.vendors.standin import KEY

TESTS = Path(__file__).parent
# Where nothing was compiled yet, the examples compile most of it; who runs beside them compiles
# the same once more, unless it has enough to do that needs none of it.
FIRST = (TESTS / "test_docstrings.py", TESTS / "lake", TESTS / "vendors", TESTS / "model")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Compile first, and leave the many small files for the end, so that none is waited for."""

    def place(item: pytest.Item) -> int:
        for number, first in enumerate(FIRST):
            if item.path.is_relative_to(first):
                return number
        return len(FIRST) + (item.path.parent != TESTS)

    items.sort(key=place)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's key in the environment; requests follow one another at once, and failed ones
    are repeated at once.
    """
    import tenacity

    from wheelvec.vendors.databento import client

    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(client, "METADATA_PER_SECOND", 1e5)
    monkeypatch.setattr(client, "DATA_PER_SECOND", 1e5)
    monkeypatch.setattr(client, "_BACKOFF", tenacity.wait_fixed(0.001))
