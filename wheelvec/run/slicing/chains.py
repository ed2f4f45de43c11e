"""The solved chains of one underlying, read from a lake or solved from the quotes and stored."""

import datetime as dt
import hashlib
import json
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.jit.compiled import arithmetic
from wheelvec.lake import lake, solved
from wheelvec.market.market import Market
from wheelvec.model import schemas
from wheelvec.stages import chain as chains
from wheelvec.stages import contracts
from wheelvec.stages.arrays import Array, times_of
from wheelvec.stages.contracts import Chain, size_of

AT_ONCE = 500_000  # quotes of a lake that are read and solved in one call: 50 MB


class Asked(NamedTuple):
    """The inputs of a chain besides its quotes.

    Attributes:
        sessions: session, number and entry minute of each session.
        rate: (sessions,) the interest rate per year, by session number.
        dividend_yield: (sessions,) the dividend yield per year, by session number.
        dte_max: contracts with more calendar days to expiration are counted and left out; None
            keeps all.
    """

    sessions: pl.DataFrame
    rate: Array
    dividend_yield: Array
    dte_max: int | None


class Month(NamedTuple):
    """The days of one calendar month for which a chain is needed.

    Attributes:
        first: the first day.
        last: the last day, included.
        place: the folder of the lake's stored chains, the digest and the number of the month's
            quotes; None where the chain is not stored.
    """

    first: dt.date
    last: dt.date
    place: tuple[Path, str, int] | None


class ChainCache:
    """The solved chains of one market in memory, by month.

    Months that two slices share are solved once. The oldest chains are dropped when all take more
    than `limit` bytes.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Chain] = OrderedDict()
        self._size, self._lock = 0, Lock()

    def get(self, key: Hashable) -> Chain | None:
        """The chain cached under a key, or None."""
        with self._lock:
            return self._held.get(key)

    def put(self, key: Hashable, chain: Chain, limit: int) -> None:
        """Cache a chain unless its key is cached already, and drop the oldest ones.

        Args:
            key: everything that the chain depends on.
            chain: the solved chain.
            limit: bytes that all cached chains may take.
        """
        with self._lock:
            if key in self._held:
                return
            self._held[key] = chain
            self._size += size_of(chain)
            while self._size > limit:
                self._size -= size_of(self._held.popitem(last=False)[1])


# the cache of a market, the chain rules that are part of each key, and the limit in bytes
HeldChains = tuple[ChainCache, Hashable, int]


def chain_between(
    market: Market,
    symbol: str,
    days: tuple[dt.date, dt.date],
    asked: Asked,
    held: HeldChains,
) -> Chain:
    """The solved chain of an underlying between two days.

    Args:
        market: the tables.
        symbol: the underlying.
        days: the first day, which begins a month, and the last one, included.
        asked: the sessions, rates and range of contracts.
        held: the cache of solved months.
    """
    cache, key, limit = held
    months = list(_months(market, symbol, *days))
    found = {month: cache.get((key, symbol, *month[:2])) for month in months}
    missing = [month for month, chain in found.items() if chain is None]
    keys = _keys(missing, asked)
    wholes = _kept(keys, asked)
    known = {month for run, _ in wholes for month in run}
    lacking = [month for month in missing if month not in known]
    for run in _runs(months, lacking):
        wholes.append((run, _made(market, symbol, run, asked, keys)))
    for run, whole in wholes:
        found |= zip(run, chains.parted(whole, _bounds(run, asked)), strict=True)
    for month in missing:
        if (chain := found[month]) is not None:
            cache.put((key, symbol, *month[:2]), chain, limit)
    if [run for run, _ in wholes] == [months]:  # new memory costs more than most computations
        return wholes[0][1]
    each = [chain for chain in found.values() if chain is not None]
    return chains.combined(each, asked.sessions.height)


def _months(market: Market, symbol: str, first: dt.date, last: dt.date) -> Iterator[Month]:
    """The months from the first day to the last, at least one."""
    begin = first
    while begin <= max(first, last):
        month_end = lake.month_end(begin)
        end = min(month_end, last)
        place = market.solved_chains(symbol, begin) if end == month_end and begin.day == 1 else None
        yield Month(begin, end, place)
        begin = month_end + dt.timedelta(days=1)


def _runs(months: list[Month], wanted: list[Month]) -> Iterator[list[Month]]:
    """The wanted months in runs of consecutive ones, with some `AT_ONCE` quotes of a lake each."""
    run: list[Month] = []
    for month in months:
        full = sum(each.place[2] for each in run if each.place is not None) >= AT_ONCE
        if run and (month not in wanted or full):
            yield run
            run = []
        if month in wanted:
            run.append(month)
    if run:
        yield run


def _bounds(run: list[Month], asked: Asked) -> list[int]:
    """The first session of each month, and one past the last session."""
    known = asked.sessions["session"].to_numpy()
    return [
        *(int(np.searchsorted(known, np.datetime64(month.first))) for month in run),
        known.size,
    ]


def _made(
    market: Market, symbol: str, run: list[Month], asked: Asked, keys: dict[Month, str]
) -> Chain:
    """The chain of consecutive months, solved from the quotes and stored in the lake."""
    quotes = market.quotes(symbol, run[0].first, run[-1].last)
    at_entry, roots, counts = chains.collapse(quotes, asked.sessions, asked.dte_max)
    whole = chains.solved(at_entry, roots, counts, asked.sessions, asked.rate, asked.dividend_yield)
    if kept := [place[0] for month in run if (place := month.place) is not None]:
        framed = zip(run, chains.to_keep(whole, _bounds(run, asked), asked.sessions), strict=True)
        solved.write(
            kept[0],  # the folder of the underlying
            [solved.Kept(m.first, keys[m], *frames) for m, frames in framed if m in keys],
        )
    return whole


def _kept(keys: dict[Month, str], asked: Asked) -> list[tuple[list[Month], Chain]]:
    """The months of which a chain is stored, and their chain; empty if there is none."""
    places = {month.place[0] for month in keys if month.place is not None}
    if not places:
        return []
    kept = solved.read(places.pop(), {month.first: key for month, key in keys.items()})
    if kept is None:
        return []
    run = sorted(month for month in keys if month.first in kept.months)
    return [(run, chains.recalled(kept.chain, kept.counts, asked.sessions))]


def _keys(months: list[Month], asked: Asked) -> dict[Month, str]:
    """A digest of everything that the chain of each month depends on, of those that are stored.

    The quotes, the sessions and their entry minutes, the rates, `dte_max`, and the code.
    """
    sessions, found = asked.sessions, dict[Month, str]()
    day, at = sessions["session"].to_numpy(), sessions["number"].to_numpy()
    minute = times_of(sessions["minute"], -1).astype("<i8")
    values = (day.astype("<i8"), minute, asked.rate[at], asked.dividend_yield[at])
    for month in months:
        if month.place is not None:
            begin = np.datetime64(month.first, "M")
            first, end = np.searchsorted(day, [begin, begin + 1])
            said = json.dumps([month.place[1], asked.dte_max, _code()]).encode()
            stated = [said, *(each[first:end].tobytes() for each in values)]
            found[month] = hashlib.blake2b(b"".join(stated), digest_size=16).hexdigest()
    return found


@cache
def _code() -> str:
    """A digest of the modules that decide a chain, and the version of the arithmetic."""
    files = b"".join(
        Path(str(module.__file__)).read_bytes() for module in (chains, contracts, schemas, solved)
    )
    return hashlib.blake2b(files, digest_size=16).hexdigest() + arithmetic()
