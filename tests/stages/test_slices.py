"""From a chain and bars to the arrays of a slice, by hand."""

import datetime as dt

import numpy as np
import polars as pl

from wheelvec.kernels.collapse import Counts
from wheelvec.stages.contracts import Chain, keys_of_symbols, symbols_of
from wheelvec.stages.slices import assembled, chain_ranks, numbered, paths, traded

SESSIONS = pl.DataFrame(
    {"session": [dt.date(2024, 2, day) for day in (12, 13, 14)], "number": [0, 1, 2]}
)
NAN = float("nan")


def chain_of(*rows: tuple[int, str, float]) -> Chain:
    """A chain of (session number, symbol, volatility), each quoted at 1.00 to 1.20."""
    number, symbols, iv = zip(*rows, strict=True)
    roots, key = keys_of_symbols(pl.Series(symbols), np.array(number))
    n, counts = len(rows), Counts(*[np.zeros(3, np.int64) for _ in Counts._fields])
    bid, ask, spot = (np.full(n, price) for price in (1.0, 1.2, 100.0))
    volatility = np.array(iv)
    return Chain(
        np.array(number, np.int32), key, bid, ask, spot, volatility, volatility, roots, counts, 0
    )


def test_two_roots_are_offered_by_expiration_and_strike() -> None:
    rows = [
        (1, "AB    240216P00090000", 0.3),
        (1, "AB    240223P00080000", 0.3),
        (1, "ABC   240216P00085000", 0.3),
        (1, "ABC   240216P00090000", 0.3),
        (2, "AB    240216P00090000", 0.3),
    ]
    chain = chain_of(*rows)
    contracts = numbered(chain)
    laid = paths(contracts, None, chain, True)
    slice_ = assembled(
        chain,
        contracts,
        laid,
        SESSIONS,
        -1,
        3,
        valid=None,
        underlying=None,
        dividends=None,
        events=None,
    )
    symbols = symbols_of(contracts.key, contracts.roots)
    found = symbols.gather(pl.Series(slice_.puts["contract"])).to_list()
    assert found == [rows[i][1] for i in (2, 0, 3, 1, 4)]
    assert slice_.put_starts.tolist() == [0, 0, 4, 5]
    # of AB 90 the second session's quote comes after the first one's, and the last after none
    assert (slice_.puts["last"] - slice_.puts["first"]).tolist() == [0, 1, 0, 0, 0]


def test_a_contract_is_known_once_it_had_a_volatility() -> None:
    chain = chain_of(
        (0, "AB    240216C00090000", NAN),
        (0, "AB    240216P00090000", NAN),
        (1, "AB    240216P00090000", 0.2),
    )
    contracts = numbered(chain)
    assert contracts.of_row.tolist() == [-1, 0, 0]
    assert symbols_of(contracts.key, contracts.roots).to_list() == ["AB    240216P00090000"]


def test_quotes_stand_for_the_bars_that_lack() -> None:
    put, other = "AB    240216P00090000", "AB    240216P00095000"
    chain = chain_of((0, put, 0.2), (1, put, 0.2), (1, other, 0.2), (2, put, NAN))
    contracts = numbered(chain)
    bars = pl.DataFrame(
        {
            "symbol": [put, "ABC   240216P00090000", put, put],
            "session": [dt.date(2024, 2, day) for day in (11, 12, 13, 14)],
            **dict.fromkeys(("open", "high", "low", "close"), 3.0),
        }
    )
    laid = {}
    some = np.array([True, False, False])
    for name, quoted in (("none", False), ("all", True), ("first", some)):
        found = paths(contracts, traded(bars, contracts, SESSIONS), chain, quoted)
        laid[name] = [
            [(int(row["number"]), float(row["close"]), bool(row["is_quote"])) for row in part]
            for part in np.split(found.rows, found.first[1:])
        ]
    assert laid["none"] == [[(1, 3.0, False), (2, 3.0, False)], []]
    first = [(0, 1.1, True), (1, 3.0, False), (2, 3.0, False)]
    assert laid["all"] == [first, [(1, 1.1, True)]]
    assert laid["first"] == [first, []]  # of a name without bars on the first session


def test_ranks_over_the_chain_are_those_of_a_session() -> None:
    number = np.array([0, 0, 0, 0, 1, 1], np.int32)
    iv = np.array([0.2, 0.1, 0.2, 0.4, 0.3, 0.2])
    assert chain_ranks(number, iv, 3).tolist() == [0.625, 0.25, 0.625, 1.0, 0.5, 0.5]
