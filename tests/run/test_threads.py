"""A backtest on any number of threads: the same frames and the same bytes."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import wheelvec as wv
from wheelvec.model.errors import InputError
from wheelvec.run.executor import Executor, InOrder

FRAMES = (
    "records",
    "wheels",
    "ledger",
    "diagnostics",
    "call_diagnostics",
    "paths",
    "underlying",
    "warnings",
)


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(end="2024-05-31")


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_no_frame(market: wv.Market, threads: int) -> None:
    one, several = (_unseen(market, threads=number) for number in (1, threads))
    assert one.wheels.height > 1000
    for name in FRAMES:
        found, expected = getattr(several, name), getattr(one, name)
        same = found == expected if name == "warnings" else found.equals(expected)
        assert same, name
    assert several.summary() == one.summary()


def _unseen(market: wv.Market, **arguments: Any) -> wv.Result:
    """A backtest of a market of which no slice is kept yet."""
    again = wv.Market(
        option_quotes=market.option_quotes,
        option_bars=market.option_bars,
        underlying_bars=market.underlying_bars,
    )
    return wv.backtest(again, **arguments)


def test_threads_change_no_byte(market: wv.Market, tmp_path: Path) -> None:
    for threads in (1, 2):
        wv.backtest(market, out=tmp_path / str(threads), threads=threads)
    one, two = (json.loads((tmp_path / str(n) / "result.json").read_text()) for n in (1, 2))
    assert one["files"] == two["files"]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_what_is_no_number_of_threads(market: wv.Market, threads: Any) -> None:
    with pytest.raises(InputError, match=r"threads = .*: expected a whole number of at least 1"):
        wv.backtest(market, threads=threads)


def test_progress_counts_every_month_on_this_thread(market: wv.Market) -> None:
    heard = []
    wv.backtest(
        market,
        threads=2,
        progress=lambda done, total: heard.append((done, total, threading.current_thread())),
    )
    assert heard[-1][:2] == (20, 20)
    assert {thread for *_, thread in heard} == {threading.main_thread()}


@pytest.mark.parametrize("threads", [1, 2])
def test_what_tasks_made_is_taken_in_their_order(threads: int) -> None:
    taken: list[tuple[int, str]] = []
    in_order: InOrder[str] = InOrder(lambda place, made: taken.append((place, made)))
    first = threading.Event()

    def make(place: int) -> Any:
        if threads > 1 and place == 0:
            first.wait(10)  # the others are through before
        in_order.add(place, f"made {place}")
        if place == 3:
            first.set()
        yield

    with Executor(threads) as executor:
        executor.each(make, [0, 1, 2, 3])
    assert taken == [(place, f"made {place}") for place in range(4)]
