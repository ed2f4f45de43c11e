"""Whether contestants found the same: checked before anything is timed, and a disagreement ends the
run.
"""

from typing import Any

import numpy as np
import polars as pl

from benchmarks.inputs import Quotes, black_scholes

Array = np.ndarray[Any, Any]


class DisagreementError(AssertionError):
    """Two programs gave different answers to one question."""


def same_arrays(what: str, found: Array, expected: Array, tolerance: float = 0.0) -> None:
    """Every element within `tolerance` of what is expected; NaN agrees with NaN only."""
    if found.shape != expected.shape:
        raise DisagreementError(f"{what}: shape {found.shape}, expected {expected.shape}")
    apart = np.abs(found - expected)
    wrong = ~((apart <= tolerance) | (np.isnan(found) & np.isnan(expected)))
    if wrong.any():
        at = np.flatnonzero(wrong)[0]
        raise DisagreementError(
            f"{what}: {wrong.sum()} of {wrong.size} differ by more than {tolerance}, the first at {at}: "
            f"{found[at]!r}, expected {expected[at]!r}"
        )


def reprices(what: str, quotes: Quotes, volatility: Array, tolerance: float = 1e-4) -> None:
    """The volatilities give the prices back, to a hundredth of a cent: a deep option's price fixes
    its volatility no better.
    """
    same_arrays(
        f"{what}: price at the volatility found",
        black_scholes(quotes, volatility)[0],
        quotes.price,
        tolerance,
    )


def same_wheels(what: str, found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same wheels (underlying, entry_date, put_symbol), each with the same `pnl` to the cent,
    or with none in both.
    """
    key = ["underlying", "entry_date", "put_symbol"]
    if found.is_empty():
        raise DisagreementError(f"{what}: no wheels to compare")
    both = found.join(expected, on=key, how="full", coalesce=True, suffix="_expected").sort(key)
    known = found.select(*key, here=True), expected.select(*key, there=True)
    both = both.join(known[0], on=key, how="left").join(known[1], on=key, how="left")
    apart = (pl.col("pnl") - pl.col("pnl_expected")).abs()
    agreed = (
        pl.col("here")
        & pl.col("there")
        & (apart < 0.005).fill_null(pl.col("pnl").is_null() & pl.col("pnl_expected").is_null())
    )
    wrong = both.filter(~agreed.fill_null(False))
    if len(wrong):
        raise DisagreementError(
            f"{what}: {len(wrong)} of {len(both)} wheels differ, the first {wrong.row(0, named=True)}"
        )
