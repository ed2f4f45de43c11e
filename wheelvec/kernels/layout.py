"""Arrays of a slice from a chain and bars: contract numbers, paths, and quotes with their bars."""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Reals, Records, ShortIntegers
from wheelvec.jit.compiled import njit_lean

# 2**64 over the golden ratio: spreads keys over a hash table.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Traded(NamedTuple):
    """Bars of contracts, by session: (n,) each; prices in dollars per share."""

    number: ShortIntegers  # int32 session; -1: not a session
    contract: ShortIntegers  # int32; -1: not in the slice
    open: Reals
    high: Reals
    low: Reals
    close: Reals


class Offers(NamedTuple):
    """Valid quotes of contracts, by session and symbol: (n,) each."""

    number: ShortIntegers  # int32 session
    contract: ShortIntegers  # int32; -1: never has a volatility
    bid: Reals  # dollars per share, as `ask`
    ask: Reals


class Solved(NamedTuple):
    """Quotes that have a volatility, by session, in candidate order within one: (n,) each."""

    number: ShortIntegers  # int32 session
    contract: ShortIntegers  # int32
    spot: Reals  # dollars per share, as `bid` and `ask`
    bid: Reals
    ask: Reals
    iv: Reals
    delta: Reals
    chain_rank: Reals


class Terms(NamedTuple):
    """Terms of contracts: (contracts,) each."""

    expiration_day: Integers  # int64, since 1970-01-01
    strike: Reals  # dollars per share
    is_put: Flags


@njit_lean
def number_contracts(
    key: Integers,
    iv: Reals,
    table: ShortIntegers,
    out_place: ShortIntegers,
    out_key: Integers,
    out_known: Flags,
) -> int:
    """Number contracts by their first row; the number of contracts.

    Args:
        key: (n,) contract of each row, as collapse.contract_key numbers it.
        iv: (n,) NaN where there is none.
        table: int32 hash table, all -1; its length a power of two, over twice that of `out_key`.
        out_place: (n,) number of each row's contract, written.
        out_key: (contracts,) written.
        out_known: (contracts,) whether a contract has a volatility in any row, written.
    """
    found, mask = 0, table.size - 1
    for i in range(key.size):
        at = np.int64((np.uint64(key[i]) * _MULTIPLIER) >> np.uint64(33)) & mask
        while table[at] >= 0 and out_key[table[at]] != key[i]:
            at = (at + 1) & mask
        if table[at] < 0:
            table[at], out_key[found], out_known[found] = found, key[i], False
            found += 1
        out_place[i] = table[at]
        if iv[i] == iv[i]:
            out_known[table[at]] = True
    return found


@njit_lean
def lay_paths(
    traded: Traded, offers: Offers, latest: Integers, cursor: Integers, out: Records
) -> None:
    """Write the path of each contract: its bars, and a quote on sessions without one.

    Called twice: the first time with an empty `out`, which only counts the rows.

    Args:
        traded: bars, at most one a contract and session.
        offers: quotes that serve as bars on sessions without one.
        latest: (contracts,) session of the last row of each, -1 at first.
        cursor: (contracts,) next row of each; advanced.
        out: (rows,) of slices.ROW, written.
    """
    at, n = 0, offers.number.size
    for i in range(n + 1):
        while at < traded.number.size and (i == n or traded.number[at] <= offers.number[i]):
            contract, number = traded.contract[at], traded.number[at]
            if contract >= 0 and number >= 0:
                if out.size:
                    _write_bar(out, cursor[contract], traded, at)
                cursor[contract] += 1
                latest[contract] = number
            at += 1
        if i < n and offers.contract[i] >= 0 and latest[offers.contract[i]] < offers.number[i]:
            contract = offers.contract[i]
            if out.size:
                _write_offer(out, cursor[contract], offers, i)
            cursor[contract] += 1
            latest[contract] = offers.number[i]


@njit_lean
def _write_bar(out: Records, row: int, traded: Traded, i: int) -> None:
    out[row].number, out[row].is_quote = traded.number[i], False
    out[row].open, out[row].high = traded.open[i], traded.high[i]
    out[row].low, out[row].close = traded.low[i], traded.close[i]
    out[row].bid, out[row].ask = np.nan, np.nan


@njit_lean
def _write_offer(out: Records, row: int, offers: Offers, i: int) -> None:
    mid = (offers.bid[i] + offers.ask[i]) / 2
    out[row].number, out[row].is_quote = offers.number[i], True
    out[row].open, out[row].high, out[row].low, out[row].close = mid, mid, mid, mid
    out[row].bid, out[row].ask = offers.bid[i], offers.ask[i]


@njit_lean
def settled_rows(contracts: Records, rows: Records, out: Integers) -> None:
    """Write the end of the rows of each contract through its settlement.

    Args:
        contracts: (contracts,) of slices.CONTRACT.
        rows: (rows,) of slices.ROW.
        out: (contracts,) one past the last row, written.
    """
    for c in range(contracts.size):
        end = contracts[c].last_row
        while end > contracts[c].first_row and rows[end - 1].number > contracts[c].settlement:
            end -= 1
        out[c] = end


@njit_lean
def write_quotes(
    solved: Solved,
    terms: Terms,
    contracts: Records,
    day: Integers,
    rows: Records,
    cursor: Integers,
    settled: Integers,
    out: Records,
    dte: Integers,
    delta: Reals,
) -> None:
    """Write the quotes of a slice.

    Args:
        solved: quotes that have a volatility.
        terms: of each contract.
        contracts: (contracts,) of slices.CONTRACT.
        day: (sessions,) since 1970-01-01.
        rows: (rows,) of slices.ROW.
        cursor: (contracts,) first row of each contract; advanced past the sessions of its quotes.
        settled: (contracts,) as `settled_rows` writes it.
        out: (n,) of slices.QUOTE, written but for `word`.
        dte: (n,) days to the expiration, written.
        delta: (n,) written.
    """
    for i in range(out.size):
        c, number, quote = solved.contract[i], solved.number[i], out[i]
        bid, ask, spot, strike = solved.bid[i], solved.ask[i], solved.spot[i], terms.strike[c]
        mid = (bid + ask) / 2
        quote.strike, quote.bid, quote.ask, quote.mid = strike, bid, ask, mid
        quote.spread_pct = (ask - bid) / mid
        quote.otm = (spot - strike if terms.is_put[c] else -(spot - strike)) / spot
        quote.iv, quote.chain_rank = solved.iv[i], solved.chain_rank[i]
        quote.delta, delta[i] = solved.delta[i], solved.delta[i]
        dte[i] = terms.expiration_day[c] - day[number]
        quote.dte = dte[i]
        first = cursor[c]
        while first < contracts[c].last_row and rows[first].number <= number:
            first += 1
        cursor[c] = first
        quote.contract, quote.first, quote.last = c, first, max(first, settled[c])
