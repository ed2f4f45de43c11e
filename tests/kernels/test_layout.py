"""The paths of contracts, worked by hand: bars, and quotes in their place (rules.md, 6)."""

import numpy as np
import pytest

from tests.kernels.build import named
from wheelvec.kernels.layout import Offers, Traded, lay_paths
from wheelvec.kernels.slices import ROW

Bar = tuple[int, int, float]  # session, contract, close
Quote = tuple[int, int, float, float]  # session, contract, bid, ask


def traded(*bars: Bar) -> Traded:
    """Bars of a close, 0.30 over their low and 0.20 under their high; they open at the low."""
    number, contract = (np.array([bar[i] for bar in bars], np.int32) for i in (0, 1))
    close = np.array([bar[2] for bar in bars])
    return Traded(number, contract, close - 0.30, close + 0.20, close - 0.30, close)


def offers(*quotes: Quote) -> Offers:
    number, contract = (np.array([quote[i] for quote in quotes], np.int32) for i in (0, 1))
    bid, ask = (np.array([quote[i] for quote in quotes], float) for i in (2, 3))
    return Offers(number, contract, bid, ask)


def laid(bars: Traded, quotes: Offers, contracts: int = 2) -> list[list[tuple[int, bool, float]]]:
    """The path of each contract: session, whether a quote stands for the bar, and close."""
    rows, starts = np.empty(0, ROW), np.zeros(contracts + 1, np.int64)
    for _ in range(2):
        cursor = starts[:-1].copy()
        lay_paths(bars, quotes, np.full(contracts, -1), cursor, named(rows))
        if not rows.size:
            starts[1:] = cursor.cumsum()
            rows = np.zeros(starts[-1], ROW)
    assert cursor.tolist() == starts[1:].tolist()  # as many rows were written as were counted
    path = rows[["number", "is_quote", "close"]].tolist()
    return [path[starts[c] : starts[c + 1]] for c in range(contracts)]


def test_a_quote_stands_for_the_bar_of_a_session_without_one() -> None:
    bars = traded((1, 0, 2.00), (3, 0, 3.90))
    quotes = offers((1, 0, 1.00, 1.20), (2, 0, 1.00, 1.20), (4, 0, 2.90, 3.10))
    # on session 1 there is a bar; the mids of the others are 1.10 and 3.00
    assert laid(bars, quotes) == [
        [(1, False, 2.00), (2, True, 1.10), (3, False, 3.90), (4, True, 3.00)],
        [],
    ]


def test_each_contract_has_a_path_of_its_own_by_session() -> None:
    bars = traded((1, 1, 0.80), (2, 0, 1.20), (2, 1, 0.70))
    quotes = offers((1, 0, 1.00, 1.20), (1, 1, 0.70, 0.90), (3, 0, 1.00, 1.40))
    assert laid(bars, quotes) == [
        [(1, True, 1.10), (2, False, 1.20), (3, True, 1.20)],
        [(1, False, 0.80), (2, False, 0.70)],
    ]


def test_what_is_of_no_session_or_of_no_contract_is_passed_over() -> None:
    bars = traded((-1, 0, 9.00), (1, -1, 9.00), (2, 0, 1.20))
    quotes = offers((1, -1, 1.00, 1.20), (3, -1, 1.00, 1.20))
    assert laid(bars, quotes) == [[(2, False, 1.20)], []]


def test_bars_after_the_last_quote_are_written() -> None:
    assert laid(traded((5, 1, 0.80)), offers())[1] == [(5, False, 0.80)]
    assert laid(traded((5, 1, 0.80)), offers((2, 1, 1.00, 1.20)))[1] == [
        (2, True, 1.10), (5, False, 0.80),
    ]  # fmt: skip


def test_a_bar_keeps_its_prices_and_a_quote_is_its_mid_with_bid_and_ask() -> None:
    rows = named(np.zeros(2, ROW))
    cursor = np.array([0])
    lay_paths(traded((1, 0, 2.00)), offers((2, 0, 1.00, 1.20)), np.full(1, -1), cursor, rows)
    names = ("open", "high", "low", "close")
    assert [rows[name][0] for name in names] == pytest.approx([1.70, 2.20, 1.70, 2.00])
    assert np.isnan([rows["bid"][0], rows["ask"][0]]).all()
    assert [rows[name][1] for name in names] == [1.10] * 4
    assert (rows["bid"][1], rows["ask"][1]) == (1.00, 1.20)
