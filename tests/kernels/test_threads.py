"""Work cut into blocks over several threads: every element once, and the same bits for any number of threads."""

import threading

import numpy as np
import pytest

import wheelvec as wv
from wheelvec.kernels import cover, path, threads
from wheelvec.market.synthetic import demo_tables


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 101])
def test_every_element_is_visited_once(monkeypatch: pytest.MonkeyPatch, workers: int, size: int) -> None:
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", workers)
    visits = np.zeros(size, np.int64)

    def visit(block: slice) -> None:
        visits[block] += 1

    threads.over_blocks(size, visit, block=10)
    assert (visits == 1).all()


def test_what_a_block_raises_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", 2)

    def fail(block: slice) -> None:
        raise ValueError(f"block from {block.start}")

    with pytest.raises(ValueError, match="block from 0"):
        threads.over_blocks(30, fail, block=10)


def test_a_backtest_is_the_same_to_the_bit_for_any_threads_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = demo_tables(symbols=["BRVO"], start="2024-01-02", end="2024-06-28")
    config = wv.Config(put=wv.PutRules(delta_min=0.2, delta_max=0.6, stop_loss_multiplier=None, exit_pct=0.05))
    whole = wv.backtest(wv.Market(**tables), config)
    assert (whole.records["phase"] == "cc").sum() > 50
    used: set[int] = set()

    def small(size: int, run: object, block: int) -> None:
        def noted(part: slice) -> None:
            used.add(threading.get_ident())
            run(part)  # type: ignore[operator]

        threads.over_blocks(size, noted, block=block)

    for workers, block in ((1, 3), (2, 1), (3, 7)):
        monkeypatch.setattr(threads.config, "NUMBA_NUM_THREADS", workers)
        for room in (path, cover):
            monkeypatch.setattr(room, "over_blocks", lambda size, run, _=0, block=block: small(size, run, block))
        found = wv.backtest(wv.Market(**tables), config)
        assert found.records.equals(whole.records)
        assert found.call_diagnostics.equals(whole.call_diagnostics)
    assert len(used) > 1
