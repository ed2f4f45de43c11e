"""What names the wheels of puts to the fill draws (rules.md, section 5)."""

import numpy as np
import polars as pl

from wheelvec.kernels.draws import root_hash, wheel_words
from wheelvec.model import osi
from wheelvec.stages.arrays import Array, column, days


def wheel_words_of(puts: pl.DataFrame, contracts: pl.DataFrame) -> Array:
    """(puts,) uint64 what names each put's wheel to the draws: its contract and session.

    Args:
        puts: session, and the number of their `contract`.
        contracts: symbol and expiration, in the order of their numbers.
    """
    symbol, contract = pl.col("symbol"), column(puts, "contract", np.int64)
    parts = contracts.select(
        osi.root(symbol).alias("root"), osi.strike_milli(symbol).alias("strike_milli")
    )
    hashes = {root: root_hash(root) for root in parts["root"].unique()}
    root_hashes = np.array([hashes[root] for root in parts["root"]], np.uint64)
    strikes, expirations = column(parts, "strike_milli", np.int64), days(contracts, "expiration")
    out = np.empty(puts.height, np.uint64)
    wheel_words(
        expirations[contract], strikes[contract], days(puts, "session"), root_hashes[contract], out
    )
    return out
