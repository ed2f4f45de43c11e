"""The wheel as a researcher writes it: pandas and vollib, one contract and one day at a time.

It follows the rules of docs/fills.md under the default configuration without probabilistic fills
(`CONFIG`), well enough that every wheel's P&L is the library's to the cent, on the tables of a
lake, with option bars or without. It is not slow on purpose: tables are grouped once, a chain is
filtered by expiration before anything is solved, a path ends at its exit.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import exchange_calendars
import numpy as np
import pandas as pd
from vollib.black_scholes.greeks.analytical import delta as vollib_delta
from vollib.black_scholes.implied_volatility import implied_volatility

import wheelvec as wv

CONFIG = wv.Config(fills=wv.Fills(use_probabilistic_exit_fills=False))
RATE, FEES, CONCESSION = 0.04, 0.66, 0.30
EXIT_PCT, STOP_MULTIPLIER = 0.50, 2.0
MET = 1 + 1e-9  # a limit counts as met within so much
WAIT = 5  # sessions that held shares wait for a close
Row = dict[str, Any]


def down(price: float) -> float:
    """To the cent, as what is sold."""
    return float(np.floor(price * 100 + 1e-6) / 100)


def up(price: float) -> float:
    """To the cent, as what is bought."""
    return float(np.ceil(price * 100 - 1e-6) / 100)


class Exit(NamedTuple):
    """How a leg ended; `price` per share, None where the data do not say."""

    reason: str
    date: Any
    price: float | None


class Tables:
    """A lake's Parquet files, and what is looked up in them."""

    def __init__(self, lake: Path) -> None:
        quotes = pd.read_parquet(lake / "option_quotes")
        closes = pd.read_parquet(
            lake / "underlying_bars", columns=["underlying", "session", "close"]
        )
        self.chains = dict(tuple(quotes.groupby(["underlying", "session"], observed=True)))
        self.closes = {(str(u), day): close for u, day, close in closes.itertuples(index=False)}
        self.has_bars = (lake / "option_bars").exists()
        bars = pd.read_parquet(lake / "option_bars") if self.has_bars else self._quotes_as_bars()
        self.bars = dict(tuple(bars.groupby("symbol")))
        last = quotes["session"].max()
        calendar = exchange_calendars.get_calendar(
            "XNYS", start=quotes["session"].min(), end=last + pd.Timedelta(days=120)
        )
        self.sessions = [stamp.date() for stamp in calendar.sessions]
        self.open_days = set(self.sessions)
        closes_at = calendar.closes.dt.tz_convert("America/New_York")
        self.hours_early = {stamp.date(): 16 - close.hour for stamp, close in closes_at.items()}
        self.entries = [day for day in self.sessions if day <= last]

    def valid_quotes(self, underlying: str, session: Any) -> pd.DataFrame | None:
        """The last valid quote of each contract in the entry minute."""
        chain = self.chains.get((underlying, session))
        if chain is None:
            return None
        if chain["ts"].notna().any():
            local = chain["ts"].dt.tz_convert("America/New_York")
            chain = chain[
                (local.dt.hour == 15 - self.hours_early.get(session, 0)) & (local.dt.minute == 45)
            ]
        bid, ask = chain["bid"], chain["ask"]
        worth = np.where(chain["option_type"] == "P", chain["strike"], chain["underlying_price"])
        chain = chain[
            (bid >= 0)
            & (bid <= ask)
            & (bid + ask > 0)
            & (chain["underlying_price"] > 0)
            & (ask <= worth)
        ]
        return chain.drop_duplicates("symbol", keep="last")

    def _quotes_as_bars(self) -> pd.DataFrame:
        """In a lake without bars of options each session's quote is the bar."""
        found = [quotes for key in self.chains if (quotes := self.valid_quotes(*key)) is not None]
        quotes = pd.concat(found)
        mid = (quotes["bid"] + quotes["ask"]) / 2
        return quotes.assign(open=mid, high=mid, low=mid, close=mid).sort_values("session")

    def settlement(self, expiration: Any) -> Any:
        """The last session on or before the expiration."""
        return max(day for day in self.sessions if day <= expiration)

    def following(self, session: Any) -> Any:
        """The next session."""
        return self.sessions[self.sessions.index(session) + 1]


def solved(quotes: pd.DataFrame, session: Any, kind: str, dte_min: int, dte_max: int) -> list[Row]:
    """The contracts of one type in a range of days, with volatility and delta in (0.25, 0.35), in
    candidate order.
    """
    found = []
    for _, quote in quotes[quotes["option_type"] == kind].iterrows():
        dte = (quote["expiration"] - session).days
        if not dte_min <= dte <= dte_max:
            continue
        row = dict(quote, dte=dte, mid=(quote["bid"] + quote["ask"]) / 2)
        row["spread_pct"] = (quote["ask"] - quote["bid"]) / row["mid"]
        spot, strike, years, flag = (
            quote["underlying_price"],
            quote["strike"],
            dte / 365,
            kind.lower(),
        )
        try:
            row["iv"] = implied_volatility(row["mid"], spot, strike, years, RATE, flag)
            delta = (
                abs(vollib_delta(flag, spot, strike, years, RATE, row["iv"]))
                if row["iv"] > 0
                else np.nan
            )
        except Exception:  # under intrinsic, or over the bound
            continue
        if 0.25 <= delta <= 0.35:
            found.append(row)
    return sorted(found, key=lambda row: (row["expiration"], row["strike"], row["symbol"]))


def graded(rows: list[Row]) -> list[Row]:
    """Rank the volatilities, drop what is not liquid, and price what is left."""
    ranks = pd.Series([row["iv"] for row in rows], dtype=float).rank(pct=True)
    kept = []
    for row, ivp in zip(rows, ranks, strict=True):
        allowed = 0.15 if ivp >= 0.90 else 0.12 if ivp >= 0.70 else 0.08
        allowed += 0.02 if row["dte"] <= 7 else 0.0
        spread = row["spread_pct"]
        if spread > 0.20 * MET or row["bid"] < 0.10:
            continue
        penalty = (
            1.0 if spread <= 0.6 * allowed * MET else 1.15 if spread <= allowed * MET else 1.35
        )
        offered = row["mid"] - CONCESSION * (row["ask"] - row["bid"]) * penalty
        price = down(max(row["bid"], min(row["ask"], offered)))
        if price > 0:
            kept.append(row | {"penalty": penalty, "price": price})
    return kept


def days_of(tables: Tables, symbol: str, entry: Any, settlement: Any) -> Iterator[Row]:
    """The prices of a contract after its sale, day by day."""
    bars = tables.bars.get(symbol)
    if bars is None:
        return
    for _, bar in bars[(bars["session"] > entry) & (bars["session"] <= settlement)].iterrows():
        if bar["session"] in tables.open_days:
            yield dict(bar)


def bought_back(tables: Tables, day: Row, row: Row, reason: str) -> Exit:
    """The price of an exit on a day's bar or quote."""
    if not tables.has_bars:
        price = min(
            day["ask"], day["close"] + CONCESSION * (day["ask"] - day["bid"]) * row["penalty"]
        )
    elif reason == "stop_loss":
        slip = CONCESSION * (day["high"] - day["low"]) * row["penalty"]
        price = min(day["high"], max(day["open"], up(row["price"] * STOP_MULTIPLIER)) + slip)
    else:
        price = min(day["open"], down(row["price"] * EXIT_PCT))
    return Exit(reason, day["session"], up(price))


def walked(tables: Tables, row: Row, underlying: str, entry: Any, with_stop: bool) -> Exit:
    """Follow a short option day by day to its exit or settlement."""
    settlement = tables.settlement(row["expiration"])
    for day in days_of(tables, row["symbol"], entry, settlement):
        if with_stop and day["high"] >= up(row["price"] * STOP_MULTIPLIER) * (1 - 1e-9):
            return bought_back(tables, day, row, "stop_loss")
        if day["low"] <= down(row["price"] * EXIT_PCT) * (1 + 1e-9):
            return bought_back(tables, day, row, "profit_target")
    close = tables.closes.get((underlying, settlement))
    if close is None:
        return Exit("unresolved", None, None)
    cents, strike = round(close * 100), round(row["strike"] * 100)
    exercised = cents < strike if row["option_type"] == "P" else cents > strike
    return Exit("exercised" if exercised else "expired", settlement, 0.0)


def leg_pnl(row: Row, ended: Exit) -> float:
    """Dollars of one leg."""
    fees = FEES * (2 if ended.reason in ("stop_loss", "profit_target") else 1)
    assert ended.price is not None
    return float(100 * (row["price"] - ended.price) - fees)


def sold_call(tables: Tables, put: Row, underlying: str, session: Any) -> Row | None:
    """The covered call of an assigned wheel on the session after."""
    quotes = tables.valid_quotes(underlying, session)
    if quotes is None:
        return None
    basis = (put["strike"] * 100 - put["price"] * 100) / 100
    rows = [row for row in solved(quotes, session, "C", 14, 30) if row["strike"] >= basis]
    return max(graded(rows), key=lambda row: row["mid"], default=None)


def wheel_pnl(tables: Tables, put: Row, underlying: str, entry: Any) -> float | None:
    """Dollars of one wheel, None if the data do not settle it."""
    ended = walked(tables, put, underlying, entry, with_stop=True)
    if ended.price is None:
        return None
    pnl = leg_pnl(put, ended)
    if ended.reason != "exercised":
        return pnl
    session = tables.following(ended.date)
    call = sold_call(tables, put, underlying, session)
    if call is not None:
        ended = walked(tables, call, underlying, session, with_stop=False)
        if ended.price is None:
            return None
        pnl += leg_pnl(call, ended)
        if ended.reason == "exercised":
            return float(pnl + 100 * (call["strike"] - put["strike"]))
        session = ended.date
    begin = tables.sessions.index(session)
    closes = [
        tables.closes.get((underlying, day)) for day in tables.sessions[begin : begin + WAIT + 1]
    ]
    close = next((known for known in closes if known is not None), None)
    return None if close is None else float(pnl + 100 * (close - put["strike"]))


def backtest(
    lake: Path, symbols: list[str] | None = None, first: Any = None, last: Any = None
) -> pd.DataFrame:
    """Every wheel entered from `first` to `last`: underlying, entry_date, put_symbol, pnl."""
    tables = Tables(lake)
    wheels = []
    for entry in tables.entries:
        if (first and entry < first) or (last and entry > last):
            continue
        for underlying in symbols or sorted({name for name, _ in tables.chains}):
            quotes = tables.valid_quotes(underlying, entry)
            if quotes is None:
                continue
            for put in graded(solved(quotes, entry, "P", 30, 45)):
                pnl = wheel_pnl(tables, put, underlying, entry)
                wheels.append((underlying, entry, put["symbol"], pnl))
    return pd.DataFrame(wheels, columns=["underlying", "entry_date", "put_symbol", "pnl"])
