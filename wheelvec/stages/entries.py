"""Chain and rules -> the puts that may be sold: range, rank, liquidity, selection, entry price (rules.md, sections 3 to 5)."""

import numpy as np
import polars as pl

from wheelvec.kernels.draws import root_hash, wheel_words
from wheelvec.kernels.quote import REJECTED, choose_puts, price_rows
from wheelvec.spec import osi
from wheelvec.spec.codes import Select
from wheelvec.spec.config import Config, PutRules
from wheelvec.stages.arrays import (
    Array,
    column,
    days,
    empty_grades,
    fill_odds,
    group_starts,
    liquidity_limits,
    quote_arrays,
)


def candidates(chain: pl.DataFrame, entry_numbers: Array, config: Config) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The puts that may be sold on the entry sessions, in candidate order, and how many rows each test left.

    Args:
        chain: solved chain of one underlying, sorted by session and candidate order.
        entry_numbers: session numbers on which wheels may open.

    Returns:
        Candidates with ivp, tier, penalty, price (dollars per share), p_fill and word (what names the wheel to the draws);
        and per session number n_solved, n_in_range, n_liquid.
    """
    put, limits = config.put, liquidity_limits(config.liquidity)
    solved = chain.filter(
        (pl.col("option_type") == put.option_type)
        & pl.col("dte").is_between(put.dte_min, put.dte_max)
        & pl.col("number").is_in(entry_numbers.tolist())
    )
    ranged = solved.filter(pl.col("delta").is_between(put.delta_min, put.delta_max))
    quotes, grades = quote_arrays(ranged), empty_grades(ranged.height)
    choose_puts(
        quotes,
        _session_starts(ranged),
        config.liquidity.ivp_over == "chain",
        limits,
        -1 if put.dte_target is None else put.dte_target,
        int(Select[put.select.upper()]),
        delta_target(put),
        grades,
    )
    graded = ranged.with_columns(ivp=grades.ivp, tier=grades.tier, chosen=grades.chosen)
    counts = _counts(solved, "n_solved").join(_counts(ranged, "n_in_range"), on="number", how="left")
    counts = counts.join(_counts(graded.filter(pl.col("tier") < REJECTED), "n_liquid"), on="number", how="left")
    return _priced(graded.filter("chosen").drop("chosen"), config), counts.fill_null(0)


def delta_target(put: PutRules) -> float:
    """The absolute delta that `closest_delta` aims at: the one set, or the middle of the range."""
    return (put.delta_min + put.delta_max) / 2 if put.delta_target is None else put.delta_target


def _session_starts(rows: pl.DataFrame) -> Array:
    numbers = column(rows, "number", np.int64)
    return group_starts(numbers, int(numbers[0]), int(numbers[-1])) if numbers.size else np.zeros(1, np.int64)


def _counts(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.group_by("number").agg(pl.len().cast(pl.Int64).alias(name))


def _priced(chosen: pl.DataFrame, config: Config) -> pl.DataFrame:
    n = chosen.height
    penalty, price, p_fill = np.empty(n), np.empty(n), np.empty(n)
    ivp, tier = column(chosen, "ivp", np.float64), column(chosen, "tier", np.int8)
    limits, odds = liquidity_limits(config.liquidity), fill_odds(config.fills)
    price_rows(quote_arrays(chosen), ivp, tier, limits, odds, penalty, price, p_fill)
    return chosen.with_columns(penalty=penalty, price=price, p_fill=p_fill, word=wheel_word_of(chosen))


def wheel_word_of(puts: pl.DataFrame) -> pl.Series:
    """What names each put's wheel to the draws: of its symbol, expiration and session."""
    symbol = pl.col("symbol")
    parts = puts.select(osi.root(symbol).alias("root"), osi.strike_milli(symbol).alias("strike_milli"))
    hashes = {root: root_hash(root) for root in parts["root"].unique()}
    root_hashes = np.array([hashes[root] for root in parts["root"]], np.uint64)
    out = np.empty(puts.height, np.uint64)
    wheel_words(days(puts, "expiration"), column(parts, "strike_milli", np.int64), days(puts, "session"), root_hashes, out)
    return pl.Series("word", out, pl.UInt64)
