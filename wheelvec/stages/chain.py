"""Quotes -> chain: the valid quote of each contract at entry time, with implied volatility and
delta (rules.md, section 2).
"""

import datetime as dt

import numpy as np
import polars as pl

from wheelvec.kernels.collapse import Counts, Rows, collapse_quotes
from wheelvec.model.config import Curve
from wheelvec.model.errors import InputError
from wheelvec.model.schemas import SOLVED_CHAIN, quote_flaws
from wheelvec.pricing.implied import solve_chain
from wheelvec.stages.arrays import Array, column, days, quotient


def collapse(
    quotes: pl.DataFrame, sessions: pl.DataFrame, dte_max: int | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The last valid quote of each contract in each session's entry minute, and what was found
    there.

    Args:
        quotes: rows of one underlying (model.schemas.OPTION_QUOTES), sorted by (session, symbol,
            ts), of equal ts the later row of the input last. A null ts is its session's snapshot.
        sessions: session, number, and `minute`, the start of the entry minute (null: no quotes are
            found by the clock).
        dte_max: contracts further from their expiration are counted and left out; None for none.

    Returns:
        The chain: one row per contract and session, by (number, symbol), with number, mid,
            spread_pct, dte; and per session
        and number n_quotes and n_valid (contracts) and `priced` (whether any quote had a price of
        the underlying).
    """
    number = _session_numbers(quotes, sessions)
    rows = Rows(
        number=number, found=_in_entry_minute(quotes, number, sessions), **_marks(quotes, dte_max)
    )
    counts = Counts(*[np.zeros(sessions.height, np.int64) for _ in Counts._fields])
    standing = np.empty(quotes.height, np.int64)
    standing = standing[: collapse_quotes(rows, standing, counts)]
    chain = quotes[standing].drop("ts").with_columns(number=number[standing])
    per_session = sessions.select(
        "session",
        pl.col("number").cast(pl.Int64),
        n_quotes=counts.quoted,
        n_valid=counts.valid,
        priced=counts.priced > 0,
    )
    return _with_spread(chain), per_session.filter(pl.col("n_quotes") > 0)


def recalled(
    chain: pl.DataFrame, counts: pl.DataFrame, sessions: pl.DataFrame, underlying: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A kept chain and its counts (model.schemas.SOLVED_CHAIN, SOLVED_COUNTS) as `collapse` and
    `solve` would give them.
    """
    number = _session_numbers(chain, sessions)
    chain = chain.select(pl.lit(underlying).alias("underlying"), *SOLVED_CHAIN)
    chain = _with_spread(chain.with_columns(number=number)).select(
        pl.exclude("iv", "delta"), "iv", "delta"
    )
    located = sessions.select("session", pl.col("number").cast(pl.Int64))
    counts = counts.join(located, on="session", maintain_order="left")
    return chain, counts.select("session", "number", "n_quotes", "n_valid", "priced")


def _session_numbers(quotes: pl.DataFrame, sessions: pl.DataFrame) -> Array:
    """The session number of each row, -1 off the calendar; looked up once for each day that the
    sorted rows name.
    """
    day, known = days(quotes, "session"), days(sessions, "session")
    first = np.flatnonzero(np.diff(day, prepend=day[:1] - 1))
    at = np.searchsorted(known, day[first]).clip(max=known.size - 1)
    number = np.where(known[at] == day[first], column(sessions, "number", np.int64)[at], -1)
    return np.repeat(number, np.diff(first, append=day.size))


def _in_entry_minute(quotes: pl.DataFrame, number: Array, sessions: pl.DataFrame) -> Array:
    """True for the rows that stand in the entry minute of their session, and for snapshots, which
    have no time.
    """
    ts, on_calendar = quotes["ts"], number >= 0
    if ts.null_count() == quotes.height:
        return np.asarray(on_calendar)
    start = column(
        sessions.select(pl.col("minute").to_physical().fill_null(_NEVER)), "minute", np.int64
    )[number]
    at = column(quotes.select(pl.col("ts").to_physical().fill_null(0)), "ts", np.int64)
    in_minute = (at >= start) & (at < start + _MINUTE)
    return np.asarray(on_calendar & (in_minute | ts.is_null().to_numpy()))


_MINUTE = 60 * 10**9  # nanoseconds, as all times here
_NEVER = np.iinfo(np.int64).max - _MINUTE


def _marks(quotes: pl.DataFrame, dte_max: int | None) -> dict[str, Array]:
    """What decides about each row, as the kernel reads it."""
    flaws = quote_flaws()
    other = [
        (pl.col(name) != pl.col(name).shift()).fill_null(True) for name in ("session", "symbol")
    ]
    marks = quotes.select(
        starts=pl.any_horizontal(other),
        valid=~pl.any_horizontal(list(flaws.values())),
        priced=~flaws["no_underlying_price"],
        wanted=pl.lit(True) if dte_max is None else _dte() <= dte_max,
    )
    return {name: column(marks, name, np.bool_) for name in marks.columns}


def _dte() -> pl.Expr:
    return (pl.col("expiration").to_physical() - pl.col("session").to_physical()).cast(pl.Int64)


def _with_spread(quotes: pl.DataFrame) -> pl.DataFrame:
    bid, ask = pl.col("bid"), pl.col("ask")
    quotes = quotes.with_columns(mid=(bid + ask) / 2, dte=_dte(), spread_pct=ask - bid)
    return quotes.with_columns(spread_pct=quotient(quotes, "spread_pct", "mid"))


def rates(curve: Curve, sessions: pl.DataFrame, start: dt.date, name: str) -> Array:
    """The rate of each session, (n,) float64: the last value on or before it; NaN before the first.

    Raises:
        InputError: if a session from `start` on has none.
    """
    if isinstance(curve, float):
        return np.full(sessions.height, curve)
    known = np.array([session for session, _ in curve], "datetime64[D]")
    if known[0] > np.datetime64(start):
        raise InputError(
            f"pricing.{name} starts on {known[0]}: expected a value on or before {start}, the first session"
        )
    values = np.array([np.nan, *(value for _, value in curve)])
    return values[np.searchsorted(known, sessions["session"].to_numpy(), side="right")]


def solve(chain: pl.DataFrame, rate: Array, dividend_yield: Array) -> pl.DataFrame:
    """Add iv and delta (absolute) to a chain, NaN where there is none.

    Args:
        chain: as `collapse` returns it.
        rate, dividend_yield: by session number, per year; the years of a quote are dte/365.
    """
    number = column(chain, "number", np.int64)
    iv, delta = np.empty(chain.height), np.empty(chain.height)
    solve_chain(
        column(chain, "mid", np.float64),
        column(chain, "underlying_price", np.float64),
        column(chain, "strike", np.float64),
        column(chain, "dte", np.float64) / 365.0,
        rate[number],
        column(chain.select(is_call=pl.col("option_type") == "C"), "is_call", np.bool_),
        dividend_yield[number],
        iv,
        delta,
    )
    return chain.with_columns(iv=iv, delta=delta)


def contracts(chain: pl.DataFrame) -> pl.DataFrame:
    """The contracts that have an implied volatility on any session, by symbol: symbol, expiration,
    strike, option_type, their number `contract`, and `order`, their place in candidate order.
    """
    known = chain.filter(pl.col("iv").is_not_nan()).unique("symbol").sort("symbol")
    named = known.select("symbol", "expiration", "strike", "option_type").with_row_index("contract")
    order = named.sort("expiration", "strike", "symbol").select("contract").with_row_index("order")
    return named.join(order, on="contract", maintain_order="left")


def solved(chain: pl.DataFrame) -> pl.DataFrame:
    """The rows of a chain, with the `order` of their contracts, that have an implied volatility,
    and `otm`: out of the money by that share of the underlying's price.
    """
    known = chain.filter(pl.col("iv").is_not_nan())  # null is not true either
    is_put, size = (pl.col("option_type") == "P").cast(pl.Int64), chain.height + 1
    place = known.select(
        place=(2 * pl.col("number") + is_put) * size + pl.col("order").cast(pl.Int64)
    )
    known = known[
        np.argsort(column(place, "place", np.int64))
    ]  # by one number: by three columns takes four times as long
    out = pl.col("underlying_price") - pl.col("strike")
    known = known.with_columns(otm=pl.when(pl.col("option_type") == "P").then(out).otherwise(-out))
    return known.with_columns(otm=quotient(known, "otm", "underlying_price"))


def ranked(solved: pl.DataFrame, over_chain: bool, min_ranked: int) -> pl.DataFrame:
    """Add chain_rank: the ivp over all solved contracts of the row's type and session, 0.5 where
    fewer than `min_ranked` are; null where the rules do not rank over the chain.
    """
    if not over_chain:
        return solved.with_columns(chain_rank=pl.lit(None, pl.Float64))
    population = ("number", "option_type")
    rank = pl.col("iv").rank("average").over(population) / pl.len().over(population)
    return solved.with_columns(
        chain_rank=pl.when(pl.len().over(population) < min_ranked).then(0.5).otherwise(rank)
    )
