"""Quotes -> chain: the valid quotes of the entry minute, with IV and delta (rules.md, 2)."""

import datetime as dt
import itertools

import numpy as np
import polars as pl

from wheelvec.kernels.collapse import (
    NEVER,
    SNAPSHOT,
    Counts,
    EntryClock,
    Quoted,
    Standing,
    collapse_quotes,
)
from wheelvec.model.config import Curve
from wheelvec.model.errors import InputError
from wheelvec.model.schemas import SOLVED_CHAIN, SOLVED_COUNTS
from wheelvec.pricing.implied import solve_chain
from wheelvec.stages.arrays import Array, closed, days, lent, numbers_of, taken, times_of
from wheelvec.stages.contracts import (
    Chain,
    Roots,
    expiration_days,
    is_put,
    keys_of,
    places_of,
    root_places,
    strikes,
    with_roots,
)

FAR = np.iinfo(np.int64).max  # more days to an expiration than any contract has


def collapse(
    quotes: pl.DataFrame, sessions: pl.DataFrame, dte_max: int | None
) -> tuple[Standing, Roots, Counts]:
    """The last valid quote of each contract in each session's entry minute, and counts of quotes.

    Args:
        quotes: rows of one underlying (model.schemas.OPTION_QUOTES), sorted by (session, symbol,
            ts), of equal ts the later row of the input last. A null ts is its session's snapshot.
        sessions: session, number, and `minute`, the start of the entry minute (null: only
            snapshots are taken).
        dte_max: contracts with more days to their expiration are counted, and left out of the
            chain; None: no limit.

    Returns:
        The valid quotes, one row per contract and session; the roots in order; and by session
        number how many contracts were quoted, how many had a valid quote, and how many rows had a
        price of the underlying.
    """
    roots, quoted = _quoted(quotes)
    counts = Counts(*[np.zeros(sessions.height, np.int64) for _ in Counts._fields])
    n = quotes.height
    prices = np.empty((3, n))
    out = Standing(np.empty(n, np.int32), np.empty(n, np.int64), *prices)
    most = FAR if dte_max is None else dte_max
    kept = collapse_quotes(quoted, entry_clock(sessions), most, out, counts)
    number, key, bid, ask, spot = out
    return Standing(number[:kept], key[:kept], bid[:kept], ask[:kept], spot[:kept]), roots, counts


def _quoted(quotes: pl.DataFrame) -> tuple[Roots, Quoted]:
    """The roots of quotes, in order, and the columns of the quotes as arrays for the kernel."""
    day, expiration = (
        lent(quotes[name].cast(pl.Int32), np.int32) for name in ("session", "expiration")
    )
    roots, root = places_of(quotes["symbol"], day)
    return roots, Quoted(
        day,
        times_of(quotes["ts"], SNAPSHOT),
        root,
        expiration,
        lent(quotes["option_type"] == "P", np.bool_),
        *(lent(quotes[name], np.float64) for name in ("strike", "bid", "ask", "underlying_price")),
    )


def entry_clock(sessions: pl.DataFrame) -> EntryClock:
    """The entry minutes of sessions (session, number, minute) as arrays for the kernel."""
    day = days(sessions, "session")
    first = int(day[0]) if day.size else 0
    number = np.full(int(day[-1]) - first + 1 if day.size else 0, -1, np.int64)
    number[day - first] = sessions["number"].to_numpy()
    return EntryClock(first, number, np.array(times_of(sessions["minute"], NEVER)))


def rates(curve: Curve, sessions: pl.DataFrame, start: dt.date, name: str) -> Array:
    """The rate of each session, (n,) per year: the last value on or before it, else NaN.

    Args:
        curve: a rate, or values from sessions on.
        sessions: n of them.
        start: the first session that needs a rate.
        name: the field's, for the message.

    Raises:
        InputError: if a session from `start` on has no rate.
    """
    if isinstance(curve, float):
        return np.full(sessions.height, curve)
    known = np.array([session for session, _ in curve], "datetime64[D]")
    if known[0] > np.datetime64(start):
        raise InputError(
            f"pricing.{name} starts on {known[0]}: expected a value on or before {start}, "
            "the first session"
        )
    values = np.array([np.nan, *(value for _, value in curve)])
    return values[np.searchsorted(known, sessions["session"].to_numpy(), side="right")]


def solved(
    standing: Standing,
    roots: Roots,
    counts: Counts,
    sessions: pl.DataFrame,
    rate: Array,
    dividend_yield: Array,
) -> Chain:
    """The chain of valid quotes, with implied volatility and absolute delta, NaN where undefined.

    Args:
        standing: valid quotes, as `collapse` returns them, as the next two.
        roots: in order.
        counts: by session number.
        sessions: session and number.
        rate: (sessions,) per year; a quote's years are dte/365.
        dividend_yield: (sessions,) per year.
    """
    number, key = standing.number, standing.key
    iv, delta = np.empty(number.size), np.empty(number.size)
    solve_chain(
        (standing.bid + standing.ask) / 2,
        standing.spot,
        strikes(key),
        (expiration_days(key) - days(sessions, "session")[number]) / 365.0,
        rate[number],
        ~is_put(key),
        dividend_yield[number],
        iv,
        delta,
    )
    return Chain(
        closed(number),
        closed(key),
        closed(standing.bid),
        closed(standing.ask),
        closed(standing.spot),
        closed(iv),
        closed(delta),
        roots,
        counts,
        0,
    )


def to_keep(
    chain: Chain, bounds: list[int], sessions: pl.DataFrame
) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """A chain and its counts as frames to be stored: schemas.SOLVED_CHAIN and SOLVED_COUNTS.

    Args:
        chain: with counts of all sessions.
        bounds: (ranges + 1,) the first session of each range, and one past the last range.
        sessions: session and number.

    Returns:
        The frames of each range.
    """
    key, counts, session = chain.key, chain.counts, sessions["session"]
    padded = [root.ljust(6) for root in chain.roots]
    root = taken(pl.Series(padded, dtype=pl.String), root_places(key))
    columns = {
        "session": taken(session, chain.number),
        "root": root,
        "expiration": pl.Series(expiration_days(key).astype(np.int32)).cast(pl.Date),
        "strike": strikes(key),
        "is_put": is_put(key),
        "bid": chain.bid,
        "ask": chain.ask,
        "underlying_price": chain.spot,
        "iv": chain.iv,
        "delta": chain.delta,
    }
    at = np.flatnonzero(counts.quoted)
    counted = {
        "session": taken(session, at),
        "n_quotes": counts.quoted[at],
        "n_valid": counts.valid[at],
        "priced": counts.priced[at] > 0,
    }
    frames = pl.DataFrame(columns, schema=SOLVED_CHAIN), pl.DataFrame(counted, schema=SOLVED_COUNTS)
    rows = [itertools.pairwise(np.searchsorted(number, bounds)) for number in (chain.number, at)]
    return [
        (frames[0][first:end], frames[1][begin:until])
        for (first, end), (begin, until) in zip(*rows, strict=True)
    ]


def recalled(chain: pl.DataFrame, counts: pl.DataFrame, sessions: pl.DataFrame) -> Chain:
    """The chain of ranges of which `to_keep` made these frames, joined in their order.

    Args:
        chain: model.schemas.SOLVED_CHAIN.
        counts: model.schemas.SOLVED_COUNTS.
        sessions: session and number.
    """
    at = numbers_of(days(counts, "session"), sessions)
    found = Counts(*[np.zeros(sessions.height, np.int64) for _ in Counts._fields])
    for into, name in zip(found, ("n_quotes", "n_valid", "priced"), strict=True):
        into[at] = counts[name].to_numpy()
    number = numbers_of(days(chain, "session"), sessions).astype(np.int32)
    roots, root = places_of(chain["root"], number)
    milli = np.rint(chain["strike"].to_numpy() * 1000.0).astype(np.int64)
    key = keys_of(root, days(chain, "expiration"), chain["is_put"].to_numpy(), milli)
    names = ("bid", "ask", "underlying_price", "iv", "delta")
    bid, ask, spot, iv, delta = (lent(chain[name], np.float64) for name in names)
    return Chain(closed(number), closed(key), bid, ask, spot, iv, delta, roots, found, 0)


def parted(chain: Chain, bounds: list[int]) -> list[Chain]:
    """Views of a chain, one for each range of sessions.

    Args:
        chain: with counts of all sessions.
        bounds: (ranges + 1,) the first session of each range, and one past the last range.
    """
    rows = np.searchsorted(chain.number, bounds)
    found = []
    for i, (first, end) in enumerate(itertools.pairwise(bounds)):
        some = slice(rows[i], rows[i + 1])
        number, key, bid, ask, spot, iv, delta = (values[some] for values in chain[:7])
        counts = Counts(*(values[first:end] for values in chain.counts))
        found.append(Chain(number, key, bid, ask, spot, iv, delta, chain.roots, counts, first))
    return found


def combined(chains: list[Chain], sessions: int) -> Chain:
    """One chain of several, which follow one another, with counts over `sessions` sessions."""
    roots = tuple(sorted({root for chain in chains for root in chain.roots}))
    keys = [with_roots(chain.key, chain.roots, roots) for chain in chains]
    values = zip(*(chain[2:7] for chain in chains), strict=True)
    columns = [[chain.number for chain in chains], keys, *values]
    number, key, bid, ask, spot, iv, delta = (closed(np.concatenate(each)) for each in columns)
    counts = Counts(*[np.zeros(sessions, np.int64) for _ in Counts._fields])
    for chain in chains:
        for into, found in zip(counts, chain.counts, strict=True):
            into[chain.first : chain.first + found.size] += found
    return Chain(number, key, bid, ask, spot, iv, delta, roots, counts, 0)
