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
from wheelvec.kernels.slices import CONTRACT, DIVIDEND, QUOTE, ROW, Slice, Underlying
from wheelvec.market.market import Market
from wheelvec.model.config import Curve
from wheelvec.run.chains import Asked, chain_between
from wheelvec.stages import chain as chains
from wheelvec.stages.arrays import (
    Array,
    Paths,
    build_paths,
    column,
    days,
    group_starts,
    quote_arrays,
    underlying_arrays,
    with_settlement,
)
from wheelvec.stages.wheel_words import wheel_words_of
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
    """A slice, the symbol of each of its contracts, and what of its quotes the kernels do not read."""

    slice_: Slice
    symbols: pl.Series
    offered: Offered
    _valid: Quoted  # as the quotes lie
    _counted: dict[Ranges, Array] = dataclasses.field(default_factory=dict)

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
        return _bytes((self.slice_, self._valid, self.offered))

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
    _lock: ClassVar[Lock] = Lock()

    def __init__(self, market: Market, limit: int) -> None:
        self._market, self._limit = market, limit
        with self._lock:
            self._held = self._kept.setdefault(market, OrderedDict())

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
        made = _made_slice(self._market, chain_key, sessions, symbol, start, end)
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
    start: dt.date,
    end: dt.date,
) -> HeldSlice:
    rate, dividend_yield = (
        _curve(curve, sessions) for curve in (chain_key.rate, chain_key.dividend_yield)
    )
    valid, counts = chain_between(
        market, symbol, start, end, Asked(sessions, rate, dividend_yield, chain_key.dte_max)
    )
    contracts = with_settlement(chains.contracts(valid), sessions)
    # one look-up of symbols for all that follows: numbers are joined and sorted in a fraction of
    # the time
    valid = valid.join(
        contracts.select("symbol", "contract", "order"),
        on="symbol",
        how="left",
        maintain_order="left",
    )
    solved = chains.ranked(chains.solved(valid), chain_key.min_ranked >= 0, chain_key.min_ranked)
    bars = (
        market.bars(symbol, start, end) if market.has_bars_of(symbol) else None
    )  # quotes stand for them then
    paths = build_paths(
        contracts.select("symbol", "contract"), bars, valid, sessions, chain_key.gap_path
    )
    underlying = underlying_arrays(
        market.underlying_bars.filter(pl.col("underlying") == symbol), sessions
    )
    slice_ = _assembled(
        solved, counts, contracts, paths, underlying, sessions, _dividends(market, symbol)
    )
    return HeldSlice(
        slice_, contracts["symbol"], _offered(valid, solved, counts, sessions), _quoted(valid)
    )


def _offered(
    valid: pl.DataFrame, solved: pl.DataFrame, counts: pl.DataFrame, sessions: pl.DataFrame
) -> Offered:
    quoted, priced = np.zeros(sessions.height, np.int64), np.zeros(sessions.height, np.bool_)
    number = column(counts, "number", np.int64)
    quoted[number], priced[number] = (
        column(counts, "n_quotes", np.int64),
        column(counts, "priced", np.bool_),
    )
    unsolved = valid.filter((pl.col("option_type") == "P") & pl.col("iv").is_nan())
    return Offered(quoted, priced, _starts(unsolved, sessions), column(unsolved, "dte", np.int64))


def _quoted(valid: pl.DataFrame) -> Quoted:
    known = valid.filter(pl.col("contract").is_not_null())
    contract, number = (column(known, name, np.int32) for name in ("contract", "number"))
    return Quoted(
        contract, number, column(known, "bid", np.float64), column(known, "ask", np.float64)
    )


def _curve(curve: Curve, sessions: pl.DataFrame) -> Array:
    """The rate of each session; before a curve's first value there is none, and no entry session
    lies there.
    """
    if isinstance(curve, float):
        return np.full(sessions.height, curve)
    return chains.rates(curve, sessions, max(curve[0][0], sessions["session"][0]), "rate")


def _dividends(market: Market, symbol: str) -> pl.DataFrame:
    if market.dividends is None:
        return pl.DataFrame(schema={"ex_date": pl.Date, "amount": pl.Float64})
    return market.dividends.filter(pl.col("underlying") == symbol).sort(
        "ex_date", maintain_order=True
    )


def _assembled(
    solved: pl.DataFrame,
    counts: pl.DataFrame,
    contracts: pl.DataFrame,
    paths: Paths,
    underlying: Underlying,
    sessions: pl.DataFrame,
    dividends: pl.DataFrame,
) -> Slice:
    puts, calls = (solved.filter(pl.col("option_type") == kind) for kind in ("P", "C"))
    valid = np.zeros(sessions.height, np.int64)
    valid[column(counts, "number", np.int64)] = column(counts, "n_valid", np.int64)
    after = contracts.select(session=pl.col("expiration") + pl.duration(days=1)).join(
        sessions.select("session", "number"), on="session", how="left", maintain_order="left"
    )
    where = np.zeros(contracts.height, CONTRACT)
    where["first_row"], where["last_row"] = paths.starts[:-1], paths.starts[1:]
    where["settlement"] = column(contracts, "settlement_number", np.int64)
    where["expiration_day"] = days(contracts, "expiration")
    where["day_after"] = column(after.select(pl.col("number").fill_null(-1)), "number", np.int64)
    where["strike_cents"] = np.rint(column(contracts, "strike", np.float64) * 100.0)
    paid = np.zeros(dividends.height, DIVIDEND)
    paid["ex_day"], paid["paid"] = (
        days(dividends, "ex_date"),
        column(dividends, "amount", np.float64) * 100.0,
    )
    return Slice(
        puts=_quotes(puts, paths, where, wheel_words_of(puts, contracts)),
        put_starts=_starts(puts, sessions),
        put_dte=column(puts, "dte", np.int64),
        put_delta=column(puts, "delta", np.float64),
        calls=_quotes(calls, paths, where, None),
        call_starts=_starts(calls, sessions),
        call_dte=column(calls, "dte", np.int64),
        call_delta=column(calls, "delta", np.float64),
        valid=valid,
        contracts=where,
        rows=_records(paths.rows, ROW),
        underlying=underlying,
        dividends=paid,
    )


def _quotes(rows: pl.DataFrame, paths: Paths, contracts: Array, words: Array | None) -> Array:
    out = _records(quote_arrays(rows), QUOTE)
    contract = out["contract"] = column(rows, "contract", np.int64)
    if words is not None:
        out["word"] = words
    # rows are sorted by contract and session: so is one number for both
    sessions = 1 + max(
        int(numbers.max(initial=0)) for numbers in (paths.rows.number, contracts["settlement"])
    )
    place = (
        np.repeat(np.arange(contracts.size), np.diff(paths.starts)) * sessions + paths.rows.number
    )
    begin = contract * sessions
    out["first"] = np.searchsorted(place, begin + column(rows, "number", np.int64), side="right")
    last = np.searchsorted(place, begin + contracts["settlement"][contract], side="right")
    out["last"] = np.maximum(out["first"], last)
    return out


def _records(columns: Any, kind: np.dtype[Any]) -> Array:
    """A tuple of arrays as one array of records."""
    out = np.zeros(columns[0].size, kind)
    for name, values in columns._asdict().items():
        out[name] = values
    return out


def _starts(rows: pl.DataFrame, sessions: pl.DataFrame) -> Array:
    return group_starts(column(rows, "number", np.int64), 0, sessions.height - 1)
