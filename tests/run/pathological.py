"""The tables of `test_pathological`, each of about n rows."""

import datetime as dt
import itertools
import string
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

import wheelvec as wv
from tests.market.build import DAY, SESSION, SYMBOL, at, quotes, symbol, table

Tables = dict[str, pl.DataFrame]
PRICES = ("open", "high", "low", "close")
NAN, INF = float("nan"), float("inf")
CONFIG = wv.Config(
    put=wv.PutRules(dte_min=10, dte_max=60, delta_min=0.0, delta_max=1.0),
    call=wv.CallRules(dte_min=1, dte_max=60),
)


def repeated(frame: pl.DataFrame, n: int) -> pl.DataFrame:
    return frame[np.arange(n) % len(frame)]


def every_price(price: float) -> dict[str, float]:
    return dict.fromkeys(PRICES, price)


def malformed(n: int) -> Tables:
    """Every kind of broken row of every table, over and over, and one whole row of each."""
    symbols = [
        "garbage",
        "TSLA  230732P00205000",
        "TSLA  230707P00000000",
        symbol(4205, root="SPX"),
        symbol(root="TSLA1"),
    ]
    rows: dict[str, list[dict[str, Any]]] = {
        "option_quotes": [
            *({"symbol": text} for text in (None, *symbols)),
            *({"underlying": name} for name in (None, "")),
            *({"session": day} for day in (None, DAY("0023-06-06"), DAY("9999-12-31"), DAY("2023-06-10"), DAY("2023-06-07"))),
            {"strike": 206.0}, {"expiration": DAY("2023-07-14")}, {"option_type": "C"}, {"ts": None},
            *({side: value} for side in ("bid", "ask") for value in (None, NAN, INF, -INF)),
            {"bid": -1.0}, {"bid": 6.0}, {"bid": 0.0, "ask": 0.0}, {"bid": 1e308, "ask": 1e308},
            *({"underlying_price": value} for value in (None, NAN, INF, 0.0, -5.0)),
        ],
        "option_bars": [
            *({"symbol": text} for text in (None, *symbols)), {"session": None}, {"session": DAY("2023-06-10"), "close": None},
            *({price: value} for price in PRICES for value in (None, NAN, INF, -INF, -1.0, 1e308)),
            {"high": 4.0}, {"open": 9.0}, {"close": 1.0}, {"session": DAY("2023-06-07")},
            {"session": DAY("2023-06-07"), "close": 5.0},
        ],
        "underlying_bars": [
            {"underlying": None}, {"underlying": ""}, {"session": None}, {"session": DAY("0001-01-01")},
            *({price: value} for price in PRICES for value in (None, NAN, INF, -1.0)),
            {"high": 1.0}, {"close": 500.0}, {"low": 0.0}, {"session": DAY("2023-06-07")},
            {"session": DAY("2023-06-07"), "close": 222.0},
        ],
        "dividends": [
            {"underlying": None}, {"underlying": ""}, {"ex_date": None},
            *({"amount": amount} for amount in (None, NAN, INF, -1.0, 1e300)),
        ],
    }  # fmt: skip
    frames = {
        name: quotes(*found) if name == "option_quotes" else table(name, *found)
        for name, found in rows.items()
    }
    return {
        name: pl.concat([repeated(frame, n - 2), table(name, {}, {})])
        for name, frame in frames.items()
    }


def all_nan(n: int) -> Tables:
    rows = {"option_quotes": quotes({"bid": NAN, "ask": NAN, "underlying_price": NAN})}
    rows |= {name: table(name, every_price(NAN)) for name in ("option_bars", "underlying_bars")}
    return {name: repeated(frame, n) for name, frame in rows.items()}


def one_minute(n: int) -> Tables:
    """Quotes of one contract, in no order."""
    nanos = np.random.default_rng(1).integers(0, 60 * 10**9, n)
    start = int(at("2023-06-06T19:45").timestamp()) * 10**9
    stood = pl.Series("ts", start + nanos).cast(pl.Datetime("ns", "UTC"))
    bars = {name: table(name, {}) for name in ("option_bars", "underlying_bars")}
    return {"option_quotes": repeated(quotes({}), n).with_columns(stood), **bars}


def priced(n: int, price: float, kind: str) -> Tables:
    """A month of a chain in which everything costs about `price` dollars."""
    days = pl.date_range(DAY("2023-06-01"), DAY("2023-07-07"), eager=True)
    days = pl.DataFrame({"session": days.filter(days.dt.weekday() < 6)})
    strikes = pl.DataFrame({"number": np.arange(1, n // len(days) + 1)})
    side = price * (1 + pl.col("number") * 1e-6)
    chain = days.join(strikes, how="cross").with_columns(
        underlying=pl.lit("TSLA"),
        symbol=pl.lit(SYMBOL[:12] + kind) + pl.col("number").cast(pl.String).str.zfill(8),
        bid=side,
        ask=side * 1.05,
        underlying_price=pl.lit(price * 10),
    )
    return {
        "option_quotes": chain.drop("number"),
        "option_bars": chain.select(
            "symbol", "session", open="bid", high="ask", low="bid", close="ask"
        ),
        "underlying_bars": days.with_columns(
            underlying=pl.lit("TSLA"), **{p: pl.lit(price * 10) for p in PRICES}
        ),
    }


def many_underlyings(n: int) -> Tables:
    """One quote, one bar, one close each."""
    names = [
        "".join(letters)
        for letters in itertools.islice(itertools.product(string.ascii_uppercase, repeat=4), n)
    ]
    contracts = pl.DataFrame({"underlying": names}).with_columns(
        symbol=pl.col("underlying") + SYMBOL[4:]
    )
    day = {"session": pl.lit(SESSION)}
    spot = {price: pl.lit(221.5) for price in PRICES}
    stood = pl.lit(dt.datetime(2023, 6, 6, 19, 45, 10, tzinfo=dt.UTC))
    return {
        "option_quotes": contracts.with_columns(
            **day, ts=stood, bid=5.0, ask=5.25, underlying_price=221.5
        ),
        "option_bars": contracts.select("symbol", **day, open=5.0, high=5.5, low=4.5, close=5.25),
        "underlying_bars": contracts.select("underlying", **day, **spot),
    }


CASES: dict[str, Callable[[int], Tables]] = {
    "malformed": malformed,
    "all_nan": all_nan,
    "one_minute": one_minute,
    "tiny_prices": lambda n: priced(n, 1e-9, "P"),
    "huge_prices": lambda n: priced(n, 1e12, "C"),
    "many_underlyings": many_underlyings,
}
