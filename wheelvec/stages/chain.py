"""Quotes -> chain: the valid quote of each contract at entry time, with implied volatility and delta (rules.md, section 2)."""

import datetime as dt

import numpy as np
import polars as pl

from wheelvec.kernels.implied import solve_chain
from wheelvec.spec.config import CallRules, Curve, PutRules
from wheelvec.spec.errors import InputError
from wheelvec.spec.frames import quote_flaws
from wheelvec.stages.arrays import Array, column, days


def collapse(quotes: pl.DataFrame, sessions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The last valid quote of each contract in each session's entry minute, and what was found there.

    Args:
        quotes: rows of one underlying (spec.frames.OPTION_QUOTES), sorted by (session, symbol, ts), of equal ts the later row
            of the input last. A null ts is its session's snapshot.
        sessions: session, number, and `minute`, the start of the entry minute (null: no quotes are found by the clock).

    Returns:
        The chain: one row per contract and session, by (number, symbol), with number, mid, spread_pct, dte; and per session
        number n_quotes and n_valid (contracts) and `priced` (whether any quote had a price of the underlying).
    """
    found = _in_entry_minute(quotes, sessions)
    valid = found.filter(~pl.any_horizontal(list(quote_flaws().values())))
    chain = _with_spread(valid.filter(_LAST_OF_CONTRACT))
    counts = _per_session(found.filter(_LAST_OF_CONTRACT), "n_quotes")
    for rows, name in ((chain, "n_valid"), (found.filter(pl.col("underlying_price") > 0), "priced")):
        counts = counts.join(_per_session(rows, name), on="number", how="left")
    return chain, counts.with_columns(pl.col("n_valid").fill_null(0), pl.col("priced").is_not_null())


# of rows by (number, symbol)
_LAST_OF_CONTRACT = pl.any_horizontal(
    [(pl.col(name) != pl.col(name).shift(-1)).fill_null(True) for name in ("number", "symbol")]
)


def _per_session(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.group_by("number").agg(pl.len().cast(pl.Int64).alias(name))


def _in_entry_minute(quotes: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """The quotes of the sessions' entry minutes, with the session's number.

    A look-up and one filter: to join the sessions would copy every column of the chain, and takes three times as long.
    """
    quoted, known = days(quotes, "session"), days(sessions, "session")
    at = np.searchsorted(known, quoted).clip(max=known.size - 1)
    located = quotes.with_columns(number=sessions["number"].gather(at))
    wanted = pl.lit(pl.Series(known[at] == quoted))
    if quotes["ts"].null_count() < quotes.height:
        ts, minute = pl.col("ts"), pl.lit(sessions["minute"].gather(at))
        in_minute = (ts >= minute) & (ts < minute + pl.duration(minutes=1))
        wanted = wanted & (ts.is_null() | in_minute.fill_null(False))
    return located.filter(wanted).drop("ts")


def _with_spread(quotes: pl.DataFrame) -> pl.DataFrame:
    bid, ask = pl.col("bid"), pl.col("ask")
    dte = (pl.col("expiration").to_physical() - pl.col("session").to_physical()).cast(pl.Int64)
    return quotes.with_columns(mid=(bid + ask) / 2, dte=dte).with_columns(spread_pct=(ask - bid) / pl.col("mid"))


def rates(curve: Curve, sessions: pl.DataFrame, start: dt.date, name: str) -> Array:
    """The rate of each session, (n,) float64: the last value on or before it; NaN before the first.

    Raises:
        InputError: if a session from `start` on has none.
    """
    if isinstance(curve, float):
        return np.full(sessions.height, curve)
    known = np.array([session for session, _ in curve], "datetime64[D]")
    if known[0] > np.datetime64(start):
        raise InputError(f"pricing.{name} starts on {known[0]}: expected a value on or before {start}, the first session")
    values = np.array([np.nan, *(value for _, value in curve)])
    return values[np.searchsorted(known, sessions["session"].to_numpy(), side="right")]


def needs_iv(put: PutRules, call: CallRules, over_chain: bool) -> pl.Expr:
    """The quotes whose implied volatility decides anything: those that can become candidates, or be ranked with them."""
    kind, dte = pl.col("option_type"), pl.col("dte")
    if over_chain:
        return kind.is_in([put.option_type, "C"])
    puts = (kind == put.option_type) & dte.is_between(put.dte_min, put.dte_max)
    return puts | ((kind == "C") & dte.is_between(call.dte_min, call.dte_max))


def solve(chain: pl.DataFrame, wanted: pl.Expr, rate: Array, dividend_yield: Array, min_ranked: int) -> pl.DataFrame:
    """Keep the wanted quotes that have an implied volatility, in candidate order, with iv, delta (absolute) and chain_rank.

    Args:
        chain: as `collapse` returns it.
        wanted: which of its rows to solve.
        rate, dividend_yield: by session number, per year; the years of a quote are dte/365.
        min_ranked: chain_rank, the ivp over all solved contracts of the row's type and session, is 0.5 where fewer are ranked.
    """
    asked = chain.filter(wanted).sort("number", "option_type", "expiration", "strike", "symbol")
    number = column(asked, "number", np.int64)
    iv, delta = np.empty(asked.height), np.empty(asked.height)
    solve_chain(
        column(asked, "mid", np.float64),
        column(asked, "underlying_price", np.float64),
        column(asked, "strike", np.float64),
        column(asked, "dte", np.float64) / 365.0,
        rate[number],
        column(asked.select(is_call=pl.col("option_type") == "C"), "is_call", np.bool_),
        dividend_yield[number],
        iv,
        delta,
    )
    population = ("number", "option_type")
    rank = pl.col("iv").rank("average").over(population) / pl.len().over(population)
    return (
        asked.with_columns(iv=iv, delta=delta)
        .filter(pl.col("iv").is_not_nan())
        .with_columns(chain_rank=pl.when(pl.len().over(population) < min_ranked).then(0.5).otherwise(rank))
    )


def with_asked(counts: pl.DataFrame, valid: pl.DataFrame, solved: pl.DataFrame, put: PutRules, call: CallRules) -> pl.DataFrame:
    """Add per session puts_asked, the valid puts in their range of dte, and calls_solved, the calls in theirs that have an
    implied volatility."""
    dte, kind = pl.col("dte"), pl.col("option_type")
    puts = valid.filter((kind == put.option_type) & dte.is_between(put.dte_min, put.dte_max))
    calls = solved.filter((kind == "C") & dte.is_between(call.dte_min, call.dte_max))
    for rows, name in ((puts, "puts_asked"), (calls, "calls_solved")):
        counts = counts.join(rows.group_by("number").agg(pl.len().cast(pl.Int64).alias(name)), on="number", how="left")
    return counts.with_columns(pl.col("puts_asked", "calls_solved").fill_null(0))
