"""What names the wheels of puts to the fill draws (rules.md, section 5)."""

import numpy as np
import polars as pl

from wheelvec.kernels.draws import root_hash, wheel_words
from wheelvec.spec import osi
from wheelvec.stages.arrays import column, days


def wheel_word_of(puts: pl.DataFrame) -> pl.Series:
    """What names each put's wheel to the draws: of its symbol, expiration and session."""
    symbol = pl.col("symbol")
    parts = puts.select(osi.root(symbol).alias("root"), osi.strike_milli(symbol).alias("strike_milli"))
    hashes = {root: root_hash(root) for root in parts["root"].unique()}
    root_hashes = np.array([hashes[root] for root in parts["root"]], np.uint64)
    out = np.empty(puts.height, np.uint64)
    wheel_words(days(puts, "expiration"), column(parts, "strike_milli", np.int64), days(puts, "session"), root_hashes, out)
    return pl.Series("word", out, pl.UInt64)
