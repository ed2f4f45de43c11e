"""Databento's client against a stand-in on this machine: the key, no proxy, and no waiting."""

import pytest

from tests.vendors.standin import KEY


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
