"""Contracts as numbers: they sort as symbols do and say what these say."""

import datetime as dt

import numpy as np
import polars as pl

from wheelvec.model import osi
from wheelvec.stages.arrays import Array
from wheelvec.stages.contracts import (
    Roots,
    expiration_days,
    is_put,
    keys_of_symbols,
    strikes,
    symbols_of,
    with_roots,
)

SYMBOLS = [
    "BRK   240216C00150000",
    "BRKB  240216C00000500",
    "BRKB  240216C99999999",
    "BRKB  240216P00000001",
    "BRKB  240217C00002500",
    "BRKB  991231P00002500",
    "TSLA  000101C00002500",
]


def keys_of(symbols: list[str]) -> tuple[Roots, Array]:
    """The roots and keys of symbols of one session."""
    return keys_of_symbols(pl.Series(symbols, dtype=pl.String), np.zeros(len(symbols), np.int32))


def test_keys_sort_as_symbols_and_say_what_these_say() -> None:
    roots, key = keys_of(SYMBOLS)
    assert roots == ("BRK", "BRKB", "TSLA")
    assert key.tolist() == sorted(key.tolist())
    assert symbols_of(key, roots).to_list() == SYMBOLS
    for i, symbol in enumerate(SYMBOLS):
        parts = osi.parse(symbol)
        day = (parts.expiration - dt.date(1970, 1, 1)).days
        read = (int(expiration_days(key)[i]), bool(is_put(key)[i]), float(strikes(key)[i]))
        assert read == (day, parts.option_type == "P", parts.strike_milli / 1000.0)


def test_keys_of_other_roots() -> None:
    roots, key = keys_of(SYMBOLS[1:3])
    assert roots == ("BRKB",)
    all_roots, all_keys = keys_of(SYMBOLS)
    assert with_roots(key, roots, all_roots).tolist() == all_keys[1:3].tolist()
    missing = with_roots(all_keys, all_roots, roots)
    assert np.isin(missing, key).tolist() == [s in SYMBOLS[1:3] for s in SYMBOLS]


def test_a_root_between_the_sessions_of_another_is_found() -> None:
    symbols = [SYMBOLS[0], SYMBOLS[0], SYMBOLS[1], SYMBOLS[0]]
    number = np.array([0, 1, 1, 2], np.int32)
    roots, key = keys_of_symbols(pl.Series(symbols), number)
    assert (roots, symbols_of(key, roots).to_list()) == (("BRK", "BRKB"), symbols)


def test_nothing() -> None:
    roots, key = keys_of([])
    assert (roots, key.size, len(symbols_of(key, roots))) == ((), 0, 0)
