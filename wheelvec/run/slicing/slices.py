"""The slices of a market, cached for the next run: arrays of solved chains and price paths."""

import dataclasses
import datetime as dt
import itertools
from collections import OrderedDict
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl

from wheelvec.jit.dispatch import kind_of
from wheelvec.kernels.slices import Slice
from wheelvec.lake.lake import month_end
from wheelvec.market.market import Market
from wheelvec.model.config import Curve
from wheelvec.model.schemas import DIVIDENDS
from wheelvec.run.slicing.chains import Asked, ChainCache, HeldChains, chain_between
from wheelvec.run.slicing.histories import history_of
from wheelvec.stages import chain as chains
from wheelvec.stages.arrays import Array, days, taken, underlying_arrays
from wheelvec.stages.chain import combined, parted
from wheelvec.stages.contracts import Chain, Roots, expiration_days, is_put, symbols_of
from wheelvec.stages.events import History, Named, paid_under, span_of
from wheelvec.stages.exercise import write_early
from wheelvec.stages.slices import (
    Numbered,
    assembled,
    dividend_table,
    numbered,
    numbered_by_era,
    paths,
    starts_of,
    traded,
)
from wheelvec.stages.succession import eras_of
from wheelvec.tables.sessions import Sessions


@dataclasses.dataclass(frozen=True)
class ChainKey:
    """The rules that decide the chains and price paths of some configurations.

    Attributes:
        trading_calendar: the exchange calendar of the sessions.
        entry_time: of each session.
        rate: the interest rate per year, constant or by date.
        dividend_yield: the dividend yield per year, constant or by date.
        gap_path: the test for exits on a session without a bar of the option.
        early: whether any configuration has options assigned early.
        dte_max: contracts with more calendar days to expiration are left out; None keeps all.
        min_ranked: a contract's rank over the whole chain is 0.5 where fewer are ranked; -1 where
            it is the rank among the candidates.
        first: the day of the first numbered session, or before it.
        last: the day of the last numbered session, or after it.
    """

    trading_calendar: str
    entry_time: str
    rate: Curve
    dividend_yield: Curve
    gap_path: str
    early: bool
    dte_max: int | None
    min_ranked: int
    first: dt.date
    last: dt.date

    @property
    def of_chains(self) -> tuple[Any, ...]:
        """The fields that decide the chains."""
        rules = self.trading_calendar, self.entry_time, self.rate, self.dividend_yield
        return *rules, self.dte_max, self.first

    def sessions(self) -> pl.DataFrame:
        """session, number and entry minute of each session."""
        return _sessions(self.trading_calendar, self.entry_time, self.first, self.last)


@lru_cache(maxsize=64)
def last_known(calendar: str, first: dt.date, last: dt.date) -> dt.date:
    """`last`, or the last date that the calendar covers if that is earlier."""
    return Sessions.known(calendar, first, last).last


@lru_cache(maxsize=64)
def _sessions(calendar: str, entry_time: str, first: dt.date, last: dt.date) -> pl.DataFrame:
    loaded = Sessions.load(calendar, first, last)
    return loaded.frame.select("session", pl.col("number").cast(pl.Int64)).with_columns(
        minute=loaded.entry_minutes(entry_time)
    )


CHAINS = 8  # solved chains may take one eighth of the memory for slices
_KINDS: dict[Any, int] = {}
_COUNTED = itertools.count()  # next() is atomic: two threads never get the same number
Ranges = tuple[float, float, float, float]  # least and greatest dte, least and greatest delta


class Offered(NamedTuple):
    """The quotes of each session outside its solved chain.

    Attributes:
        quoted: (sessions,) the number of contracts with a quote.
        priced: (sessions,) whether any quote had a price of the underlying.
        unsolved_starts: (sessions + 1,) each session's first row of `unsolved_dte`.
        unsolved_dte: (n,) calendar days to expiration of the valid puts without an implied
            volatility.
    """

    quoted: Array
    priced: Array
    unsolved_starts: Array
    unsolved_dte: Array


class Quoted(NamedTuple):
    """The valid quotes of the contracts of a slice.

    Attributes:
        contract: (n,) the number of the contract.
        number: (n,) the number of the session.
        bid: (n,) dollars per share.
        ask: (n,) dollars per share.
        spot: (n,) the underlying's price of the quote, dollars per share.
    """

    contract: Array
    number: Array
    bid: Array
    ask: Array
    spot: Array


@dataclasses.dataclass(frozen=True, eq=False)
class HeldSlice:
    """A slice in memory, with the data of its quotes that kernels do not read.

    Attributes:
        slice_: the arrays that kernels read.
        offered: the quotes of each session outside its solved chain.
        valid: the valid quotes, by session and symbol.
        renamed: the first session on which the underlying has another name.
        contracts: the numbers of the contracts, and what becomes of each.
    """

    slice_: Slice
    offered: Offered
    _keys: tuple[Array, Roots]  # (contracts,) keys, and the roots that they name
    valid: Quoted
    renamed: int
    contracts: Numbered
    _counted: dict[Ranges, Array] = dataclasses.field(default_factory=dict)

    def symbols(self, contract: Array) -> pl.Series:
        """(n,) OSI symbols of some contracts.

        Few of a slice's contracts are ever sold, so that its symbols are not all made, and each is
        made once.

        Args:
            contract: (n,) numbers.
        """
        key, roots = self._keys
        is_asked = np.zeros(key.size, np.bool_)
        is_asked[contract] = True
        place = np.cumsum(is_asked) - 1
        return taken(symbols_of(key[is_asked], roots), place[contract])

    @cached_property
    def quotes(self) -> Quoted:
        """The valid quotes, sorted by contract and session."""
        order = np.argsort(self.valid.contract, kind="stable")  # they are by session already
        return Quoted(*[column[order] for column in self.valid])

    @cached_property
    def bars(self) -> int:
        """The number of bars of the contract with most."""
        return int(
            (self.slice_.contracts["last_row"] - self.slice_.contracts["first_row"]).max(initial=0)
        )

    @cached_property
    def calls(self) -> int:
        """The number of calls of the session with most."""
        return int(np.diff(self.slice_.call_starts).max(initial=0))

    @cached_property
    def kind(self) -> int:
        """A number that is equal for slices of the same Numba types."""
        return _KINDS.setdefault(kind_of(self.slice_), next(_COUNTED))

    @cached_property
    def size(self) -> int:
        """The size of the arrays in bytes."""
        return _bytes((self.slice_, self.valid, self.offered, self._keys))

    def puts_within(self, ranges: Ranges) -> Array:
        """(sessions,) the number of puts within the ranges.

        It is cached: the next grid mostly has the same ranges, and several years have millions of
        puts.

        Args:
            ranges: of calendar days to expiration and of delta, both ends included.
        """
        counted = self._counted.get(ranges)
        if counted is None:
            dte, delta = self.slice_.put_dte, self.slice_.put_delta
            inside = (
                (dte >= ranges[0])
                & (dte <= ranges[1])
                & (delta >= ranges[2])
                & (delta <= ranges[3])
            )
            counted = np.diff(np.concatenate([[0], np.cumsum(inside)])[self.slice_.put_starts])
            self._counted.clear()
            self._counted[ranges] = counted
        return counted


class SliceCache:
    """The slices of one market, made when first needed.

    They are cached with the market, under everything that they depend on. The least recently used
    are dropped when all take more than `limit` bytes. Several threads may use a cache; a slice is
    made without holding the lock.

    Args:
        market: the tables.
        limit: bytes.
    """

    _kept: ClassVar["WeakKeyDictionary[Market, OrderedDict[Any, HeldSlice]]"] = WeakKeyDictionary()
    _chains: ClassVar["WeakKeyDictionary[Market, ChainCache]"] = WeakKeyDictionary()
    _lock: ClassVar[Lock] = Lock()

    def __init__(self, market: Market, limit: int) -> None:
        self._market, self._limit = market, limit
        with self._lock:
            self._held = self._kept.setdefault(market, OrderedDict())
            self._months = self._chains.setdefault(market, ChainCache())

    def holds(self, chain_key: ChainKey, symbol: str, start: dt.date, end: dt.date) -> bool:
        """Whether a slice is cached."""
        return (chain_key, symbol, start, end) in self._held

    def slice_(
        self, chain_key: ChainKey, sessions: pl.DataFrame, symbol: str, start: dt.date, end: dt.date
    ) -> HeldSlice:
        """The slice of one underlying with its data from `start` to `end`, both included.

        Args:
            chain_key: the rules of its chains and paths.
            sessions: those of `chain_key`.
            symbol: the underlying.
            start: the first day.
            end: the last day.
        """
        key = (chain_key, symbol, start, end)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        held = self._months, chain_key.of_chains, self._limit // CHAINS
        made = _made_slice(self._market, chain_key, sessions, symbol, (start, end), held)
        with self._lock:
            self._held[key] = made
            self._held.move_to_end(key)
            while (
                len(self._held) > 1 and sum(held.size for held in self._held.values()) > self._limit
            ):
                self._held.popitem(last=False)
        return made


def _bytes(value: Any) -> int:
    """The size of arrays in nested tuples, in bytes."""
    if isinstance(value, tuple):
        return sum(_bytes(item) for item in value)
    return value.nbytes if isinstance(value, np.ndarray) else 8


def _made_slice(
    market: Market,
    chain_key: ChainKey,
    sessions: pl.DataFrame,
    symbol: str,
    span: tuple[dt.date, dt.date],
    held: HeldChains,
) -> HeldSlice:
    """A new slice of one underlying with its data of a span of days."""
    rate, dividend_yield = (
        _curve(curve, sessions) for curve in (chain_key.rate, chain_key.dividend_yield)
    )
    asked = Asked(sessions, rate, dividend_yield, chain_key.dte_max)
    past = history_of(market, symbol, sessions)
    known = sessions["session"].to_numpy()
    first = int(np.searchsorted(known, np.datetime64(span[0])))
    names = span_of(past.names, first, known.size) or [past.names[-1]]
    chain, paid = _chain(market, names, span, asked, held), dividends_of(market, past, sessions)
    eras = eras_of(past.events, first, chain.roots)
    contracts = numbered(chain) if eras is None else numbered_by_era(chain, eras, sessions)
    bars, quoted = _bars(market, names, span, sessions, chain_key.gap_path)
    barred = None if bars is None else traded(bars, contracts, sessions)
    slice_ = assembled(
        chain,
        contracts,
        paths(contracts, barred, chain, quoted),
        sessions,
        chain_key.min_ranked,
        past.renamed,
        valid=chain.counts.valid,
        underlying=underlying_arrays(market.closes, sessions, past.names),
        dividends=dividend_table(paid),
        events=past.table(days(sessions, "session")),
    )
    if chain_key.early:
        write_early(slice_, chain, contracts, barred, paid)
    keys, valid = (contracts.key, contracts.roots), _quoted(chain, contracts)
    return HeldSlice(slice_, _offered(chain, sessions), keys, valid, past.renamed, contracts)


def _chain(
    market: Market,
    names: list[Named],
    span: tuple[dt.date, dt.date],
    asked: Asked,
    held: HeldChains,
) -> Chain:
    """The chain of an underlying in a span of days, on each session under the name of that day."""
    if len(names) == 1:
        return chain_between(market, names[0].name, span, asked, held)
    session = asked.sessions["session"]
    found = []
    for named in names:
        begin = max(span[0], session[named.first].replace(day=1))
        end = min(span[1], month_end(session[named.end - 1]))
        whole = chain_between(market, named.name, (begin, max(begin, end)), asked, held)
        whole = combined([whole], session.len())
        bounds = [0, named.first, named.end, session.len()]
        found.append(parted(whole, bounds)[1])
    return combined(found, session.len())


def _bars(
    market: Market,
    names: list[Named],
    span: tuple[dt.date, dt.date],
    sessions: pl.DataFrame,
    gap_path: str,
) -> tuple[pl.DataFrame | None, Array | bool]:
    """The bars of the options of an underlying, by session, under the name of each day.

    Returns:
        The bars, None without any; and whether quotes serve as bars on sessions without one, as
        those of a name that has no bar at all do: for all sessions, or (sessions,).
    """
    quoted = np.full(sessions.height, gap_path == "quote")
    bars = []
    for name, first, end in names:
        begin, last = sessions["session"][first], sessions["session"][end - 1]
        rows = None
        if market.has_bars_of(name):
            rows = market.bars(name, max(span[0], begin), min(span[1], last))
        if rows is None:
            quoted[first:end] = True
        else:
            bars.append(rows)
    if not bars:
        return None, True
    return pl.concat(bars), quoted if quoted.any() and not quoted.all() else bool(quoted.all())


def _offered(chain: Chain, sessions: pl.DataFrame) -> Offered:
    """The quotes of each session outside its solved chain."""
    row = np.flatnonzero(is_put(chain.key) & np.isnan(chain.iv))
    number = chain.number[row]
    dte = expiration_days(chain.key[row]) - days(sessions, "session")[number]
    begin = starts_of(number, sessions.height)
    return Offered(chain.counts.quoted, chain.counts.priced > 0, begin, dte)


def _quoted(chain: Chain, contracts: Numbered) -> Quoted:
    """The valid quotes of numbered contracts, in the order of the chain."""
    known = np.flatnonzero(contracts.of_row >= 0)
    columns = contracts.of_row, chain.number, chain.bid, chain.ask, chain.spot
    return Quoted(*(values[known] for values in columns))


def _curve(curve: Curve, sessions: pl.DataFrame) -> Array:
    """(sessions,) the rate of each session, per year.

    A curve has no rate before its first value; every entry session is on or after it.
    """
    if isinstance(curve, float):
        return np.full(sessions.height, curve)
    return chains.rates(curve, sessions, max(curve[0][0], sessions["session"][0]), "rate")


def dividends_of(market: Market, past: History, sessions: pl.DataFrame) -> pl.DataFrame:
    """The dividends of an underlying, by ex-date: those of each name while it bears it."""
    if market.dividends is None:
        return pl.DataFrame(schema=DIVIDENDS)
    return paid_under(market.dividends, past.names, sessions["session"])
