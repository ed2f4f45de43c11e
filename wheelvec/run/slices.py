"""The market of a sweep as arrays: chains solved and paths laid out once, and kept for the next
sweep of the same market.
"""

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
from wheelvec.kernels.slices import DIVIDEND, Slice
from wheelvec.market.market import Market
from wheelvec.model.config import Curve
from wheelvec.run.chains import Asked, ChainCache, HeldChains, chain_between
from wheelvec.stages import chain as chains
from wheelvec.stages.arrays import Array, days, underlying_arrays
from wheelvec.stages.contracts import Chain, Roots, expiration_days, is_put, symbols_of
from wheelvec.stages.slices import (
    Numbered,
    assembled,
    dividend_table,
    numbered,
    paths,
    starts_of,
    traded,
)
from wheelvec.tables.sessions import Sessions


@dataclasses.dataclass(frozen=True)
class ChainKey:
    """What decides the chains and the paths of some configurations; `first` and `last` bound the
    sessions that are numbered.
    """

    trading_calendar: str
    entry_time: str
    rate: Curve
    dividend_yield: Curve
    gap_path: str
    dte_max: int | None  # of the contracts that are held; None: any
    min_ranked: int  # of a rank over the whole chain; -1: the candidates are ranked
    first: dt.date
    last: dt.date

    @property
    def of_chains(self) -> tuple[Any, ...]:
        """What of this decides the chains."""
        rules = self.trading_calendar, self.entry_time, self.rate, self.dividend_yield
        return *rules, self.dte_max, self.first

    def sessions(self) -> pl.DataFrame:
        """session, number, minute: as run.backtest numbers them."""
        return _sessions(self.trading_calendar, self.entry_time, self.first, self.last)


@lru_cache(maxsize=64)
def last_known(calendar: str, first: dt.date, last: dt.date) -> dt.date:
    """`last`, or the last date that the calendar covers."""
    return Sessions.known(calendar, first, last).last


@lru_cache(maxsize=64)
def _sessions(calendar: str, entry_time: str, first: dt.date, last: dt.date) -> pl.DataFrame:
    loaded = Sessions.load(calendar, first, last)
    return loaded.frame.select("session", pl.col("number").cast(pl.Int64)).with_columns(
        minute=loaded.entry_minutes(entry_time)
    )


CHAINS = 8  # the share of the room for slices that solved chains may take is one in so many
_KINDS: dict[Any, int] = {}
_COUNTED = itertools.count()  # two threads never get one number
Ranges = tuple[float, float, float, float]  # least and greatest dte, least and greatest delta


class Offered(NamedTuple):
    """What a session offered apart from the chain that was solved, by session number: (sessions,)
    each but for the last.
    """

    quoted: Array  # contracts with a quote
    priced: Array  # whether any quote had a price of the underlying
    unsolved_starts: Array  # (sessions + 1,) of `unsolved_dte`
    unsolved_dte: Array  # of the valid puts without a volatility


class Quoted(NamedTuple):
    """The valid quotes of the contracts of a slice, by contract and session: (n,) each."""

    contract: Array
    number: Array
    bid: Array
    ask: Array


@dataclasses.dataclass(frozen=True, eq=False)
class HeldSlice:
    """A slice, and what of its quotes the kernels do not read."""

    slice_: Slice
    offered: Offered
    _keys: tuple[Array, Roots]  # of the contracts
    _valid: Quoted  # as the quotes lie
    _counted: dict[Ranges, Array] = dataclasses.field(default_factory=dict)

    @cached_property
    def symbols(self) -> pl.Series:
        """(contracts,) OSI symbols."""
        return symbols_of(*self._keys)

    @cached_property
    def quotes(self) -> Quoted:
        """By contract and session."""
        order = np.lexsort((self._valid.number, self._valid.contract))
        return Quoted(*[column[order] for column in self._valid])

    @cached_property
    def bars(self) -> int:
        """Of the contract that has most."""
        return int(
            (self.slice_.contracts["last_row"] - self.slice_.contracts["first_row"]).max(initial=0)
        )

    @cached_property
    def calls(self) -> int:
        """Of the session that offers most."""
        return int(np.diff(self.slice_.call_starts).max(initial=0))

    @cached_property
    def kind(self) -> int:
        """Equal for slices that one compiled kernel takes."""
        return _KINDS.setdefault(kind_of(self.slice_), next(_COUNTED))

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return _bytes((self.slice_, self._valid, self.offered, self._keys))

    def puts_within(self, ranges: Ranges) -> Array:
        """(sessions,) how many puts lie within these ranges; kept, for the next grid mostly has the
        same ones, and a market of years has millions of puts.
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
    """The slices of one market, made when first asked for; the oldest go when they take more than
    `limit` bytes.

    They are kept by market for as long as it lives, under everything that they depend on. Threads
    may ask side by side; a slice is made without the lock.
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
        """Whether this slice is made already."""
        return (chain_key, symbol, start, end) in self._held

    def slice_(
        self, chain_key: ChainKey, sessions: pl.DataFrame, symbol: str, start: dt.date, end: dt.date
    ) -> HeldSlice:
        """The slice of one underlying with its data from `start` to `end`, both included."""
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
    rate, dividend_yield = (
        _curve(curve, sessions) for curve in (chain_key.rate, chain_key.dividend_yield)
    )
    asked = Asked(sessions, rate, dividend_yield, chain_key.dte_max)
    chain = chain_between(market, symbol, span, asked, held)
    contracts = numbered(chain)
    bars = (
        market.bars(symbol, *span) if market.has_bars_of(symbol) else None
    )  # quotes stand for them then
    bars_of_contracts = None if bars is None else traded(bars, contracts, sessions)
    slice_ = assembled(
        chain,
        contracts,
        paths(contracts, bars_of_contracts, chain, chain_key.gap_path),
        sessions,
        chain_key.min_ranked,
        valid=chain.counts.valid,
        underlying=underlying_arrays(
            market.underlying_bars.filter(pl.col("underlying") == symbol), sessions
        ),
        dividends=_dividends(market, symbol),
    )
    keys = contracts.key, contracts.roots
    return HeldSlice(slice_, _offered(chain, sessions), keys, _quoted(chain, contracts))


def _offered(chain: Chain, sessions: pl.DataFrame) -> Offered:
    row = np.flatnonzero(is_put(chain.key) & np.isnan(chain.iv))
    number = chain.number[row]
    dte = expiration_days(chain.key[row]) - days(sessions, "session")[number]
    begin = starts_of(number, sessions.height)
    return Offered(chain.counts.quoted, chain.counts.priced > 0, begin, dte)


def _quoted(chain: Chain, contracts: Numbered) -> Quoted:
    known = np.flatnonzero(contracts.of_row >= 0)
    columns = contracts.of_row, chain.number, chain.bid, chain.ask
    return Quoted(*(values[known] for values in columns))


def _curve(curve: Curve, sessions: pl.DataFrame) -> Array:
    """The rate of each session; before a curve's first value there is none, and no entry session
    lies there.
    """
    if isinstance(curve, float):
        return np.full(sessions.height, curve)
    return chains.rates(curve, sessions, max(curve[0][0], sessions["session"][0]), "rate")


def _dividends(market: Market, symbol: str) -> Array:
    if market.dividends is None:
        return np.zeros(0, DIVIDEND)
    paid = market.dividends.filter(pl.col("underlying") == symbol)
    return dividend_table(paid.sort("ex_date", maintain_order=True))
