"""The timed inputs: made from seeds, the same in every run and for every library."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtr

from wheelvec.kernels.slices import CONTRACT, DIVIDEND, EVENT, QUOTE, ROW, Slice, Underlying
from wheelvec.market.market import Market

Array = np.ndarray[Any, Any]

SPOT, RATE = 220.0, 0.04
LEAST_VALUE = 0.005  # half a cent: nobody quotes less
LEAST_VEGA = (
    0.01  # dollars per 1.00 of volatility: under it a price does not determine a volatility
)
REAL_QUARTER = Path(__file__).parents[2] / "shared" / "real" / "tsla_2026"


def black_scholes(quotes: "Quotes", volatility: Array) -> tuple[Array, Array, Array]:
    """Price, delta and vega by the textbook's formula, apart from the library's: what results are
    checked against.
    """
    spread = volatility * np.sqrt(quotes.years)
    d1 = (np.log(quotes.spot / quotes.strike) + quotes.rate * quotes.years) / spread + 0.5 * spread
    sign = np.where(quotes.is_call, 1.0, -1.0)
    discounted = quotes.strike * np.exp(-quotes.rate * quotes.years)
    delta = sign * ndtr(sign * d1)
    price = quotes.spot * delta - sign * discounted * ndtr(sign * (d1 - spread))
    vega = quotes.spot * np.sqrt(quotes.years) * np.exp(-0.5 * d1 * d1) / np.sqrt(2.0 * np.pi)
    return price, delta, vega


@dataclass(frozen=True)
class Quotes:
    """Options without dividends, (n,) contiguous arrays each."""

    price: Array
    spot: Array
    strike: Array
    years: Array
    rate: Array
    is_call: Array
    true_volatility: Array

    def __len__(self) -> int:
        return len(self.price)

    def first(self, n: int) -> "Quotes":
        """The first n of them."""
        return self.at(slice(n))

    def at(self, rows: Any) -> "Quotes":
        """The chosen rows."""
        return Quotes(
            **{name: np.ascontiguousarray(values[rows]) for name, values in vars(self).items()}
        )


def quotes(n: int, rounded: bool = True, seed: int = 1) -> Quotes:
    """n quotes of one stock at 220: strikes of 60 to 410, one to ninety days, volatilities of 0.15
    to 1.5, calls and puts.

    Args:
        n: how many.
        rounded: mids in whole cents, strictly between the no-arbitrage bounds, so that each has a
            volatility; otherwise exact prices of options whose vega is at least `LEAST_VEGA`, so
            that the true volatility is the answer.
        seed: of the chance.
    """
    chance = np.random.default_rng(seed)
    drawn = 3 * n + 1000
    drawn_quotes = Quotes(
        price=np.zeros(drawn),
        spot=np.full(drawn, SPOT),
        strike=chance.integers(24, 165, drawn) * 2.5,
        years=chance.integers(1, 91, drawn) / 365.0,
        rate=np.full(drawn, RATE),
        is_call=chance.random(drawn) < 0.5,
        true_volatility=chance.uniform(0.15, 1.5, drawn),
    )
    exact, _, vega = black_scholes(drawn_quotes, drawn_quotes.true_volatility)
    price = np.rint(exact * 100.0) / 100.0 if rounded else exact
    drawn_quotes.price[:] = price
    discounted = drawn_quotes.strike * np.exp(-RATE * drawn_quotes.years)
    sign = np.where(drawn_quotes.is_call, 1.0, -1.0)
    inside = (price > np.maximum(sign * (SPOT - discounted), 0.0)) & (
        price < np.where(drawn_quotes.is_call, SPOT, discounted)
    )
    kept = (exact >= LEAST_VALUE) & inside & (rounded | (vega >= LEAST_VEGA))
    found = np.flatnonzero(kept)[:n]
    assert len(found) == n, f"only {len(found)} of {n} quotes"
    return drawn_quotes.at(found)


# ---- paths


@dataclass(frozen=True)
class Paths:
    """Daily bars of `wheels` short options, (bars, wheels) each; bar 0 is the day of the sale, at
    `price`.
    """

    price: Array  # (wheels,)
    open: Array
    high: Array
    low: Array
    close: Array

    @property
    def bars(self) -> int:
        """Days after the sale."""
        return len(self.open) - 1

    @property
    def wheels(self) -> int:
        """Short options."""
        return len(self.price)


def paths(wheels: int, bars: int, seed: int = 2) -> Paths:
    """Random walks of option prices in whole cents, with gaps, that lose value as options do."""
    chance = np.random.default_rng(seed)
    price = np.rint(chance.uniform(1.0, 9.0, wheels) * 100.0) / 100.0
    gap = chance.normal(-0.01, 0.05, (bars + 1, wheels))
    move = chance.normal(-0.03, 0.12, (bars + 1, wheels))
    gap[0], move[0] = 0.0, 0.0
    closes = np.log(price) + np.cumsum(gap + move, axis=0)
    opens = closes - move
    reach = np.abs(chance.normal(0.0, 0.05, (2, bars + 1, wheels)))
    reach[:, 0] = 0.0
    high, low = np.maximum(opens, closes) + reach[0], np.minimum(opens, closes) - reach[1]
    cents = [
        np.maximum(np.rint(np.exp(logs) * 100.0), 1.0) / 100.0
        for logs in (opens, high, low, closes)
    ]
    return Paths(price, *cents)


def as_slice(given: Paths) -> Slice:
    """The same paths as kernels take them: rows by contract, one put of each. A put that
    reaches the end expires.
    """
    n, days = given.wheels, given.bars + 1
    starts = np.arange(n + 1, dtype=np.int64) * days
    rows, puts, contracts = np.zeros(n * days, ROW), np.zeros(n, QUOTE), np.zeros(n, CONTRACT)
    for name in ("open", "high", "low", "close"):
        rows[name] = getattr(given, name).T.ravel()
    rows["number"] = np.tile(np.arange(days), n)
    contracts["settlement"] = contracts["expiration_day"] = days - 1
    contracts["first_row"], contracts["last_row"] = starts[:-1], starts[1:]
    puts["first"], puts["last"], puts["contract"] = starts[:-1] + 1, starts[1:], np.arange(n)
    puts["spread_pct"], puts["word"] = 0.05, np.arange(n)
    contracts["last_session"], contracts["successor"], contracts["eve_row"] = days, -1, -1
    last_bar = np.full(days, days - 1)
    underlying = Underlying(np.full(days, 2.0), np.arange(days, dtype=np.int64), last_bar)
    none, real = np.zeros(0, np.int64), np.zeros(0)
    calls, dividends = np.zeros(0, QUOTE), np.zeros(0, DIVIDEND)
    return Slice(
        puts,
        none,
        none,
        real,
        calls,
        none,
        none,
        real,
        none,
        contracts,
        rows,
        underlying,
        dividends,
        np.zeros(0, EVENT),
    )


def bars_of(slice_: Slice) -> SimpleNamespace:
    """The rows of `as_board` as contiguous columns."""
    return SimpleNamespace(**{name: slice_.rows[name].copy() for name in ("open", "high", "low")})


# ---- one minute of quotes

MINUTE_DAY = dt.date(2024, 3, 4)


def minute_lake(folder: Path, rows: int, contracts: int, seed: int = 3) -> Path:
    """A lake with one minute of quotes of one underlying, a fortieth of them no valid quote; the
    path of its one file.
    """
    chance = np.random.default_rng(seed)
    which = chance.integers(0, contracts, rows)
    symbols = [
        f"MINU  240419{'CP'[i % 2]}{(20_000 + 500 * (i // 2)):08d}" for i in range(contracts)
    ]
    mid = chance.integers(50, 2000, rows) / 100.0
    half = chance.integers(1, 10, rows) / 100.0
    flaw = chance.random(rows)
    start = dt.datetime(2024, 3, 4, 20, 45)
    frame = pl.DataFrame(
        {
            "underlying": pl.repeat("MINU", rows, eager=True),
            "session": pl.repeat(MINUTE_DAY, rows, eager=True),
            "ts": pl.Series(chance.integers(0, 60_000_000, rows)).cast(pl.Duration("us")) + start,
            "symbol": pl.Series(symbols).gather(which),
            "bid": pl.Series(np.where(flaw < 0.01, np.nan, mid - half), nan_to_null=True),
            "ask": np.where((flaw > 0.01) & (flaw < 0.025), 0.01, mid + half),
            "underlying_price": np.where(flaw > 0.999, 0.0, 100.0),
        }
    )
    bars = pl.DataFrame(
        {
            "underlying": "MINU",
            "session": [MINUTE_DAY],
            "open": 100.0,
            "high": 101.0,
            "low": 99.0,
            "close": 100.0,
            "volume": 1,
        }
    )
    Market(option_quotes=frame, underlying_bars=bars).write(folder)
    return folder / "option_quotes" / "underlying=MINU" / f"{MINUTE_DAY:%Y-%m}.parquet"
