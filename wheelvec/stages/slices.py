"""A chain and bars -> the slice of one underlying, which kernels read (kernels.slices.Slice)."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.draws import root_hash, wheel_words
from wheelvec.kernels.layout import (
    Offers,
    Solved,
    Terms,
    Traded,
    lay_paths,
    number_contracts,
    settled_rows,
    write_quotes,
)
from wheelvec.kernels.slices import CONTRACT, DIVIDEND, QUOTE, ROW, Slice
from wheelvec.stages.arrays import Array, closed, column, days, lent, numbers_of
from wheelvec.stages.contracts import (
    Chain,
    Roots,
    expiration_days,
    is_put,
    keys_of_symbols,
    root_places,
    strike_milli,
    strikes,
    with_roots,
)
from wheelvec.stages.succession import (
    ERA_SHIFT,
    Course,
    Eras,
    Succession,
    bare,
    settlements,
    succeed,
    through,
)

FAR = 2**40  # after any session


class Numbered(NamedTuple):
    """The contracts that have a volatility in any quote, by symbol.

    Where corporate events divide the sessions into eras, they are by era and symbol, and those that
    stand for them in later eras are among them.
    """

    key: Array  # (contracts,)
    roots: Roots
    of_row: Array  # (n,) int32 contract of each valid quote; -1: without a volatility
    eras: Eras | None = None
    succession: Succession | None = None  # with `eras`

    def among(self, key: Array, roots: Roots, number: Array) -> Array:
        """(n,) int32 the number of each contract; -1 for one that is not among these.

        Args:
            key: (n,) keys by `roots`.
            roots: in order.
            number: (n,) session of each.
        """
        if not self.key.size:
            return np.full(key.size, -1, np.int32)
        known, key = self.key, with_roots(key, roots, self.roots)
        if self.eras is not None and self.succession is not None:
            known = known | self.succession.era << ERA_SHIFT
            key = self.eras.keys(key, number)
        at = np.searchsorted(known, key).clip(max=known.size - 1)
        return np.where(known[at] == key, at, -1).astype(np.int32)


def numbered(chain: Chain) -> Numbered:
    """Number the contracts of a chain."""
    key, known, place = _listed(chain.key, chain.iv)
    kept = np.flatnonzero(known)
    kept = kept[np.argsort(key[kept])]
    number = np.full(key.size, -1, np.int32)
    number[kept] = np.arange(kept.size, dtype=np.int32)
    return Numbered(key[kept], chain.roots, number[place])


def numbered_by_era(chain: Chain, eras: Eras, sessions: pl.DataFrame) -> Numbered:
    """Number the contracts of a chain, and those that stand for them in later eras.

    Args:
        chain: the quotes.
        eras: of the slice.
        sessions: session and number.
    """
    whole = eras.keys(with_roots(chain.key, chain.roots, eras.roots), chain.number)
    key, known, place = _listed(whole, chain.iv)
    day = days(sessions, "session")
    sold = key[known]
    stands, *_ = succeed(sold, eras, settlements(bare(sold), day))
    every = np.unique(np.concatenate([sold, stands[stands >= 0]]))
    at = np.searchsorted(every, key).clip(max=max(every.size - 1, 0))
    among = every[at] == key if every.size else np.zeros(key.size, np.bool_)
    number = np.where(among, at, -1).astype(np.int32)
    keys, shares, milli, barrier = succeed(every, eras, settlements(bare(every), day))
    place_of = np.searchsorted(every, keys)
    there = (keys >= 0) & (place_of < every.size)
    place_of = np.where(there, place_of, 0)
    there &= every[place_of] == keys if every.size else False
    succession = Succession(
        every >> ERA_SHIFT, np.where(there, place_of, -1), shares, milli, barrier
    )
    return Numbered(bare(every), eras.roots, number[place], eras, succession)


def _listed(key: Array, iv: Array) -> tuple[Array, Array, Array]:
    """The different keys by their first row, whether each has an iv, and the place of each row's.

    Args:
        key: (n,) contract of each row.
        iv: (n,) NaN where there is none.
    """
    n = key.size
    table = np.full(2 << int(n).bit_length(), -1, np.int32)
    place, out, known = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.bool_)
    found = number_contracts(closed(key), iv, table, place, out, known)
    return out[:found], known[:found], place


def traded(bars: pl.DataFrame, contracts: Numbered, sessions: pl.DataFrame) -> Traded:
    """Bars of contracts as arrays for the kernel.

    Args:
        bars: symbol, session and OHLC, by session and symbol.
        contracts: of the slice.
        sessions: session and number.
    """
    number = numbers_of(days(bars, "session"), sessions).astype(np.int32)
    roots, key = keys_of_symbols(bars["symbol"], number)
    prices = (lent(bars[name], np.float64) for name in ("open", "high", "low", "close"))
    return Traded(number, contracts.among(key, roots, number), *prices)


def paths(contracts: Numbered, bars: Traded | None, chain: Chain, quoted: Array | bool) -> Course:
    """The paths of contracts: their bars, or quotes in place of these (rules.md, section 6).

    Args:
        contracts: of the chain.
        bars: of contracts; None for an underlying without any.
        chain: the valid quotes.
        quoted: whether a quote serves as the bar of a session without one; for all sessions, or
            (sessions,).
    """
    some = slice(None if quoted else 0) if isinstance(quoted, bool) else quoted[chain.number]
    quotes = chain.number, contracts.of_row, chain.bid, chain.ask
    number, of_row, bid, ask = (values[some] for values in quotes)
    offers = Offers(closed(number), of_row, closed(bid), closed(ask))
    bars = no_bars() if bars is None else bars
    size, rows = contracts.key.size, np.empty(0, ROW)
    starts = np.zeros(size + 1, np.int64)
    for _ in range(2):  # to count them, and to write them
        cursor = starts[:-1].copy()
        lay_paths(bars, offers, np.full(size, -1, np.int64), cursor, rows)
        if not rows.size:
            starts[1:] = cursor.cumsum()
            rows = np.empty(starts[-1], ROW)
    if contracts.eras is None or contracts.succession is None:
        return Course(starts[:-1], starts[1:], np.full(size, -1, np.int64), rows)
    return through(starts, rows, contracts.succession, contracts.eras, quotes)


def no_bars() -> Traded:
    """The bars of an underlying without any."""
    whole, prices = np.zeros(0, np.int32), closed(np.zeros(0))
    return Traded(whole, whole, prices, prices, prices, prices)


def contract_table(contracts: Numbered, paths_: Course, sessions: pl.DataFrame) -> Array:
    """The table of contracts, (contracts,) of kernels.slices.CONTRACT.

    An option that expires on a day without a session, such as a Saturday, settles on the last
    session before it.

    Args:
        contracts: of the slice.
        paths_: of the contracts.
        sessions: session and number.
    """
    known, expiration = days(sessions, "session"), expiration_days(contracts.key)
    out = np.zeros(contracts.key.size, CONTRACT)
    out["first_row"], out["last_row"], out["eve_row"] = paths_.first, paths_.last, paths_.eve
    out["settlement"] = settlements(contracts.key, known)
    out["expiration_day"] = expiration
    out["day_after"] = numbers_of(expiration + 1, sessions)
    out["strike"] = strikes(contracts.key)
    out["last_session"], out["successor"] = FAR, -1
    settled, eras = out["strike"], contracts.eras
    if contracts.succession is not None and eras is not None:
        settled = contracts.succession.milli / 1000.0
        out["last_session"] = np.array([*(eras.begin - 1), FAR])[contracts.succession.era]
        out["successor"] = contracts.succession.successor
    out["strike_cents"] = np.rint(settled * 100.0)
    return out


def assembled(
    chain: Chain,
    contracts: Numbered,
    paths_: Course,
    sessions: pl.DataFrame,
    min_ranked: int,
    renamed: int,
    **rest: Any,
) -> Slice:
    """The slice of a chain.

    Args:
        chain: the quotes.
        contracts: of the chain.
        paths_: as `paths` returns them.
        sessions: session and number.
        min_ranked: the rank over the chain is 0.5 if fewer contracts than these are ranked; -1: no
            row of the grid reads it, and it is NaN.
        renamed: the first session on which the underlying has another name: no put is sold under
            the new one.
        rest: `valid` (quotes by session), `underlying`, `dividends` and `events` of the slice.
    """
    rows = paths_.rows
    table, day = contract_table(contracts, paths_, sessions), days(sessions, "session")
    settled, cursor = np.empty(table.size, np.int64), paths_.first.copy()
    settled_rows(table, rows, settled)
    terms = Terms(table["expiration_day"].copy(), strikes(contracts.key), is_put(contracts.key))
    found: dict[str, Any] = {}
    every = sessions.height
    for name, some, end in (("put", terms.is_put, renamed), ("call", ~terms.is_put, every)):
        solved = _solved(chain, contracts, some, end, min_ranked)
        n = solved.number.size
        quotes, dte, delta = np.zeros(n, QUOTE), np.empty(n, np.int64), np.empty(n)
        write_quotes(solved, terms, table, day, rows, cursor, settled, quotes, dte, delta)
        begin = starts_of(solved.number, sessions.height)
        found |= {f"{name}s": quotes, f"{name}_starts": begin}
        found |= {f"{name}_dte": dte, f"{name}_delta": delta}
    puts = found["puts"]
    puts["word"] = _words(
        contracts,
        puts["contract"],
        day[np.repeat(np.arange(day.size), np.diff(found["put_starts"]))],
    )
    return Slice(**found, contracts=table, rows=rows, **rest)


def _solved(chain: Chain, contracts: Numbered, some: Array, end: int, min_ranked: int) -> Solved:
    """Quotes with a volatility, by session and in candidate order: expiration, strike, symbol.

    Args:
        chain: the quotes.
        contracts: of the chain.
        some: (contracts,) bool, whose quotes.
        end: one past the last session.
        min_ranked: as in `assembled`.
    """
    known = np.append(some, False)[contracts.of_row] & ~np.isnan(chain.iv)
    row = np.flatnonzero(known)
    row = row[: np.searchsorted(chain.number[row], end)]
    if len(contracts.roots) > 1:  # the symbols of one root have that order
        key = contracts.key
        order = np.empty(key.size, np.int64)
        order[np.lexsort((np.arange(key.size), strike_milli(key), expiration_days(key)))] = (
            np.arange(key.size)
        )
        row = row[np.lexsort((order[contracts.of_row[row]], chain.number[row]))]
    number, iv = chain.number[row], chain.iv[row]
    rank = np.full(row.size, np.nan) if min_ranked < 0 else chain_ranks(number, iv, min_ranked)
    return Solved(
        number,
        contracts.of_row[row],
        chain.spot[row],
        chain.bid[row],
        chain.ask[row],
        iv,
        chain.delta[row],
        rank,
    )


def chain_ranks(number: Array, iv: Array, min_ranked: int) -> Array:
    """(n,) the rank in (0, 1] of each contract of one type over its session (rules.md, section 3).

    Args:
        number: (n,) session of each.
        iv: (n,) per year.
        min_ranked: the rank is 0.5 where a session has fewer contracts.
    """
    solved = pl.DataFrame({"number": number, "iv": iv})
    ranked = pl.len().over("number")
    rank = pl.col("iv").rank("average").over("number") / ranked
    few = ranked < min_ranked
    return column(solved.select(rank=pl.when(few).then(0.5).otherwise(rank)), "rank", np.float64)


def _words(contracts: Numbered, contract: Array, day: Array) -> Array:
    """(puts,) uint64 words of the draws of each put's wheel, by contract and day (rules.md, 5)."""
    key = contracts.key
    hashes = np.array([root_hash(root) for root in contracts.roots], np.uint64)
    expiration, milli = expiration_days(key)[contract], strike_milli(key)[contract]
    out = np.empty(contract.size, np.uint64)
    wheel_words(expiration, milli, day, hashes[root_places(key)][contract], out)
    return out


def starts_of(number: Array, sessions: int) -> Array:
    """(sessions + 1,) where each session's rows begin among rows sorted by session number."""
    counts = np.bincount(number, minlength=sessions)
    return np.concatenate([np.zeros(1, np.int64), counts.cumsum()])


def dividend_table(dividends: pl.DataFrame) -> Array:
    """(n,) of kernels.slices.DIVIDEND.

    Args:
        dividends: ex_date and amount, dollars per share.
    """
    out = np.zeros(dividends.height, DIVIDEND)
    out["ex_day"] = days(dividends, "ex_date")
    out["paid"] = column(dividends, "amount", np.float64) * 100.0
    return out
