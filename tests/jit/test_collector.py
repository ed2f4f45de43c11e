"""The pause of the garbage collector while kernels are compiled."""

import gc

import numpy as np
import pytest
from numba.core import event

from wheelvec.jit.collector import paused_collector
from wheelvec.jit.linking import Kernel


def test_it_is_paused_in_the_block_alone() -> None:
    with paused_collector():
        assert not gc.isenabled()
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the outer block has not ended"
    assert gc.isenabled()


def test_it_is_enabled_after_an_error() -> None:
    with pytest.raises(ValueError, match="in the block"), paused_collector():
        raise ValueError("in the block")
    assert gc.isenabled()


def test_it_remains_paused_if_the_caller_had_paused_it() -> None:
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


class Watcher(event.Listener):
    """Notes whether the collector is enabled at the start of each compilation."""

    def __init__(self) -> None:
        self.enabled: list[bool] = []

    def on_start(self, event: event.Event) -> None:
        self.enabled.append(gc.isenabled())

    def on_end(self, event: event.Event) -> None:
        pass


def test_it_is_paused_while_a_kernel_is_compiled() -> None:
    def total(values: np.ndarray) -> float:
        result = 0.0
        for value in values:
            result += value
        return result

    watcher = Watcher()
    with event.install_listener("numba:compile", watcher):
        assert Kernel(total, {"nopython": True})(np.ones(3)) == 3.0
    assert watcher.enabled == [False]
    assert gc.isenabled()
