"""The solved chains of one underlying: as the lake kept them, else made from the quotes, and then
kept.
"""

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
from wheelvec.stages.arrays import Array
from wheelvec.stages.contracts import Chain, size_of

AT_ONCE = 4  # months of a lake that are read and solved in one piece: of a large chain 50 MB


class Asked(NamedTuple):
    """What chains depend on beside the quotes.

    `sessions` has session, number and minute; rates are by session number, per year; contracts with
    more than `dte_max` days to their expiration are counted and left out (None: none are).
    """

    sessions: pl.DataFrame
    rate: Array
    dividend_yield: Array
    dte_max: int | None


class Month(NamedTuple):
    """The days of one month that are asked for, both included, and where its chain is kept: folder
    and digest of its quotes, None where it is not.
    """

    first: dt.date
    last: dt.date
    place: tuple[Path, str] | None


class ChainCache:
    """The solved chains of one market, month by month, so that what two slices share is solved
    once; the oldest go when they take more than `limit` bytes.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Chain] = OrderedDict()
        self._size, self._lock = 0, Lock()

    def get(self, key: Hashable) -> Chain | None:
        """The chain held under a key."""
        with self._lock:
            return self._held.get(key)

    def put(self, key: Hashable, chain: Chain, limit: int) -> None:
        """Hold a chain, if there is none yet, and let the oldest go."""
        with self._lock:
            if key in self._held:
                return
            self._held[key] = chain
            self._size += size_of(chain)
            while self._size > limit:
                self._size -= size_of(self._held.popitem(last=False)[1])


# the chains of a market, what else decides about them, and how many bytes they may take
HeldChains = tuple[ChainCache, Hashable, int]


def chain_between(
    market: Market,
    symbol: str,
    days: tuple[dt.date, dt.date],
    asked: Asked,
    held: HeldChains,
) -> Chain:
    """The chain of an underlying on some days, first and last, from the first day of a month on.

    Args:
        market, symbol: whose quotes.
        days: both included.
        asked: what is asked of them.
        held: where the chains of months are kept.
    """
    cache, key, limit = held
    months = list(_months(market, symbol, *days))
    found = {month: cache.get((key, symbol, *month[:2])) for month in months}
    missing = [month for month, chain in found.items() if chain is None]
    for month in missing:
        if month.place is not None:
            found[month] = _kept(month, asked)
    for run in _runs(months, [month for month in missing if found[month] is None]):
        found |= zip(run, _made(market, symbol, run, asked), strict=True)
    for month in missing:
        if (chain := found[month]) is not None:
            cache.put((key, symbol, *month[:2]), chain, limit)
    parts = [chain for chain in found.values() if chain is not None]
    return chains.combined(parts, asked.sessions.height)


def _months(market: Market, symbol: str, first: dt.date, last: dt.date) -> Iterator[Month]:
    """The months of some days; there is always one."""
    begin = first
    while begin <= max(first, last):
        whole = lake.month_end(begin)
        end = min(whole, last)
        place = market.solved_chains(symbol, begin) if end == whole and begin.day == 1 else None
        yield Month(begin, end, place)
        begin = whole + dt.timedelta(days=1)


def _runs(months: list[Month], wanted: list[Month]) -> Iterator[list[Month]]:
    """The wanted ones of some months, those side by side together, as many as are made at once."""
    run: list[Month] = []
    for month in months:
        full = len(run) >= AT_ONCE and month.place is not None
        if run and (month not in wanted or full):
            yield run
            run = []
        if month in wanted:
            run.append(month)
    if run:
        yield run


def _made(market: Market, symbol: str, run: list[Month], asked: Asked) -> list[Chain]:
    """The chains of months side by side, made from the quotes, and kept."""
    quotes = market.quotes(symbol, run[0].first, run[-1].last)
    standing, roots, counts = chains.collapse(quotes, asked.sessions, asked.dte_max)
    whole = chains.solved(standing, roots, counts, asked.sessions, asked.rate, asked.dividend_yield)
    known = asked.sessions["session"].to_numpy()
    begin = [int(np.searchsorted(known, np.datetime64(month.first))) for month in run]
    found = chains.parted(whole, [*begin, known.size])
    for month, chain in zip(run, found, strict=True):
        if month.place is not None:
            folder, digest = month.place
            key = _key(digest, month.first, asked)
            solved.write(folder, month.first, key, *chains.to_keep(chain, asked.sessions))
    return found


def _kept(month: Month, asked: Asked) -> Chain | None:
    """The chain of a month as it was kept, if it was."""
    assert month.place is not None
    folder, digest = month.place
    kept = solved.read(folder, month.first, _key(digest, month.first, asked))
    return None if kept is None else chains.recalled(*kept, asked.sessions)


def _key(quotes: str, month: dt.date, asked: Asked) -> str:
    """A digest of all that a chain depends on: the quotes, the sessions and their entry minutes,
    the rates, what was asked for, and the code.
    """
    here = asked.sessions.filter(pl.col("session").dt.truncate("1mo") == month)
    at = here["number"].to_numpy()
    rates = asked.rate[at].tolist(), asked.dividend_yield[at].tolist()
    parts = [quotes, here.select("session", "minute").rows(), *rates, asked.dte_max, _code()]
    return hashlib.blake2b(json.dumps(parts, default=str).encode(), digest_size=16).hexdigest()


@cache
def _code() -> str:
    files = b"".join(
        Path(str(module.__file__)).read_bytes() for module in (chains, contracts, schemas, solved)
    )
    return hashlib.blake2b(files, digest_size=16).hexdigest() + arithmetic()
