"""Small random markets and random configurations, for comparing an engine with the scalar
reference.

`random_market(seed)` and `random_config(seed)` of the same seed fit together: the configuration's
dates and symbols are those of the market.  Prices are cheap and closes often whole multiples of the
strike step, so that closes hit strikes exactly; the tables hold holes and dirt of every kind that
sections 2 and 6 of the rules and data.md name. `python -m tests.oracle.markets 200` counts what the
first 200 seeds lead to.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import polars as pl
from hypothesis import strategies as st

from . import pricer, wheel

NAMES = ("AB", "F", "KLM", "WXYZ", "BRKB", "QQ")
# First days of markets: around early closes, holidays, clock changes and the turn of a year.
STARTS = (
    dt.date(2023, 2, 21),  # the clocks go forward on 03-12
    dt.date(2023, 3, 17),  # Good Friday on 04-07
    dt.date(2023, 5, 15),  # Memorial Day, Juneteenth
    dt.date(2023, 6, 12),  # early close on 07-03
    dt.date(2023, 10, 23),  # the clocks go back on 11-05, early close on 11-24
    dt.date(2023, 11, 6),
    dt.date(2023, 12, 4),  # Christmas, New Year
    dt.date(2024, 6, 17),  # early close on 07-03
)
HOLIDAYS = (
    dt.date(2023, 4, 7),
    dt.date(2023, 5, 29),
    dt.date(2023, 6, 19),
    dt.date(2023, 7, 4),
    dt.date(2023, 11, 23),
    dt.date(2023, 12, 25),
    dt.date(2024, 1, 1),
    dt.date(2024, 6, 19),
    dt.date(2024, 7, 4),
)
QUOTE_SCHEMA = {
    "underlying": pl.String,
    "session": pl.Date,
    "ts": pl.Int64,
    "symbol": pl.String,
    "expiration": pl.Date,
    "strike": pl.Float64,
    "option_type": pl.String,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "underlying_price": pl.Float64,
}
PRICES = {
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
}
Row = list[Any]
SECOND = 10**9


# ---------------------------------------------------------------------------------------------------------------------
# The frame that a market and its configuration share
# ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Frame:
    """Sessions and underlyings of a market."""

    sessions: list[dt.date]
    underlyings: list[str]


def frame_of(seed: int) -> Frame:
    """The sessions and underlyings that belong to a seed."""
    rng = random.Random(f"frame {seed}")
    calendar = wheel.calendar_of("NYSE")
    start = rng.choice(STARTS) + dt.timedelta(days=rng.randrange(0, 8))
    first = calendar.index[calendar.after(start)]
    names = rng.sample(NAMES, 1 if rng.random() < 0.65 else 2)
    count = rng.randint(20, 60 if len(names) == 1 else 35)
    return Frame(calendar.sessions[first : first + count], names)


# ---------------------------------------------------------------------------------------------------------------------
# The market
# ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Day:
    """The underlying on one session, and its price at entry time."""

    open: float
    high: float
    low: float
    close: float
    at_entry: float


@dataclass
class Habits:
    """How one market behaves, drawn once."""

    step: float
    vol: float
    whole_closes: float  # share of closes on a multiple of the strike step
    missing_bars: float
    missing_quotes: float
    missing_chains: float
    missing_closes: float
    dirt: float  # share of quotes with dirty companions
    wide_sessions: float  # share of sessions on which every spread is wide


def osi(root: str, expiration: dt.date, kind: str, strike: float) -> str:
    """A 21-character OSI symbol."""
    return f"{root:<6}{expiration:%y%m%d}{kind}{round(strike * 1000):08d}"


def random_market(seed: int, frame: Frame | None = None) -> dict[str, pl.DataFrame]:
    """A small market: option_quotes and underlying_bars, mostly option_bars, at times dividends; by
    default in the frame of its seed.
    """
    rng = random.Random(f"market {seed}")
    frame = frame_of(seed) if frame is None else frame
    quotes: list[Row] = []
    bars: list[Row] = []
    closes: list[Row] = []
    dividends: list[Row] = []
    pay_dividends = rng.random() < 0.35
    for underlying in frame.underlyings:
        write_underlying(rng, frame, underlying, quotes, bars, closes)
        if pay_dividends:
            for _ in range(rng.randint(1, 4)):
                day = rng.choice(frame.sessions)
                dividends.append([underlying, day, rng.choice((0.05, 0.12, 0.25, 1.0))])
    if rng.random() < 0.2:
        rng.shuffle(quotes)  # of equal stamps the later row counts: order is part of the data
    if rng.random() < 0.2:
        rng.shuffle(bars)
    quote_table = pl.DataFrame(quotes, schema=QUOTE_SCHEMA, orient="row")
    unit = "ns" if rng.random() < 0.3 else "us"
    quote_table = quote_table.with_columns(
        pl.from_epoch(pl.col("ts"), time_unit="ns")
        .dt.replace_time_zone("UTC")
        .dt.cast_time_unit(unit)
    )
    if rng.random() < 0.2:
        quote_table = quote_table.drop("ts")  # one snapshot per session
    if rng.random() < 0.2:
        quote_table = quote_table.drop("expiration", "strike", "option_type")
    tables = {
        "option_quotes": quote_table,
        "underlying_bars": pl.DataFrame(
            closes, schema={"underlying": pl.String, "session": pl.Date, **PRICES}, orient="row"
        ),
    }
    if rng.random() < 0.8:
        tables["option_bars"] = pl.DataFrame(
            bars, schema={"symbol": pl.String, "session": pl.Date, **PRICES}, orient="row"
        )
    if dividends:
        schema = {"underlying": pl.String, "ex_date": pl.Date, "amount": pl.Float64}
        tables["dividends"] = pl.DataFrame(dividends, schema=schema, orient="row")
    return tables


def write_underlying(
    rng: random.Random,
    frame: Frame,
    underlying: str,
    quotes: list[Row],
    bars: list[Row],
    closes: list[Row],
) -> None:
    """All rows of one underlying."""
    habits = Habits(
        step=rng.choice((1.0, 1.0, 1.0, 2.5, 5.0)),
        vol=rng.uniform(0.3, 0.9),
        whole_closes=rng.choice((0.2, 0.6, 0.9)),
        missing_bars=rng.choice((0.0, 0.02, 0.1, 0.3)),
        missing_quotes=rng.choice((0.0, 0.02, 0.1)),
        missing_chains=rng.choice((0.0, 0.04, 0.12)),
        missing_closes=rng.choice((0.0, 0.0, 0.03, 0.1)),
        dirt=rng.choice((0.0, 0.03, 0.12)),
        wide_sessions=rng.choice((0.0, 0.1, 0.25)),
    )
    days = random_days(rng, frame.sessions, habits)
    end_bars, end_quotes = data_ends(rng, len(frame.sessions))
    contracts = list_contracts(rng, frame.sessions, days, underlying, habits)
    write_closes(rng, frame.sessions[:end_bars], days, underlying, habits, closes)
    write_options(
        rng, frame.sessions, days, underlying, habits, contracts, end_quotes, quotes, bars
    )


def random_days(rng: random.Random, sessions: list[dt.date], habits: Habits) -> list[Day]:
    """A random walk whose closes are whole multiples of the strike step quite often."""
    price = round(rng.uniform(14, 22) * habits.step) * 1.0
    realized = habits.vol * rng.uniform(0.7, 1.5) / math.sqrt(252)
    drift = rng.gauss(-0.002, 0.005)
    home, pull = (
        price,
        rng.choice((0.0, 0.1, 0.25)),
    )  # a fall is made good again, so that calls are exercised
    turn = (
        rng.randrange(len(sessions)) if rng.random() < 0.5 else None
    )  # a fall that turns into a rise
    days = []
    for i in range(len(sessions)):
        if i == turn:
            drift = abs(drift) + 0.006
        opening = round(price * math.exp(rng.gauss(0, 0.3 * realized)), 2)
        move = rng.gauss(drift, realized) + pull * math.log(home / price)
        close = max(round(price * math.exp(move), 2), 2.0)
        if rng.random() < habits.whole_closes:
            close = max(round(close / habits.step), 1) * habits.step
        high = round(max(opening, close) * (1 + abs(rng.gauss(0, 0.4 * realized))), 2)
        low = round(min(opening, close) * (1 - abs(rng.gauss(0, 0.4 * realized))), 2)
        at_entry = round(min(max(close * (1 + rng.gauss(0, 0.1 * realized)), low), high), 2)
        days.append(
            Day(opening, max(high, opening, close), min(low, opening, close), close, at_entry)
        )
        price = close
    return days


def data_ends(rng: random.Random, count: int) -> tuple[int, int]:
    """How many sessions of underlying bars and of option data there are."""
    kind = rng.random()
    cut = rng.randint(count // 2, count - 1)
    if kind < 0.15:
        return cut, cut
    if kind < 0.25:
        return cut, count
    if kind < 0.35:
        return count, cut
    return count, count


@dataclass
class Contract:
    """An option that is listed from one session on."""

    symbol: str
    expiration: dt.date
    strike: float
    kind: str
    listed: int
    vol_factor: float
    no_bars: bool


def list_contracts(
    rng: random.Random, sessions: list[dt.date], days: list[Day], underlying: str, habits: Habits
) -> list[Contract]:
    """Weekly expirations (some mid-week, some dated Saturday, some on a holiday), 10 to 14 strikes
    around the spot.
    """
    calendar = wheel.calendar_of("NYSE")
    midweek = rng.choice(
        ((), (1, 3), (2,), (3,), (4,), (2, 4), (3, 4))
    )  # ISO weekdays of further expirations
    saturdays = rng.random() < 0.25
    longest = rng.randint(12, 24 - 4 * len(midweek))
    contracts = []
    day = sessions[0]
    while day <= sessions[-1] + dt.timedelta(days=longest):
        weekday = day.isoweekday()
        expirations = []
        if weekday == 5:
            dated = day + dt.timedelta(days=1) if saturdays and rng.random() < 0.4 else day
            if not calendar.is_session(day) and rng.random() < 0.5:
                dated = calendar.on_or_before(
                    day
                )  # the exchange moves the date, or the file keeps the holiday
            expirations.append(dated)
        elif weekday in midweek and rng.random() < 0.8:
            expirations.append(day)
        for expiration in expirations:
            listing = expiration - dt.timedelta(days=longest)
            listed = next((i for i, session in enumerate(sessions) if session >= listing), None)
            if listed is None or sessions[listed] > expiration:
                continue
            centre = round(days[listed].close / habits.step) + rng.randint(-1, 1)
            width = rng.randint(10, 14 - len(midweek))
            for i in range(width):
                strike = (centre - width // 2 + i) * habits.step
                if strike <= 0:
                    continue
                for kind in "PC":
                    no_bars = rng.random() < 0.04
                    symbol = osi(underlying, expiration, kind, strike)
                    factor = math.exp(rng.gauss(0, 0.05))
                    contracts.append(
                        Contract(symbol, expiration, strike, kind, listed, factor, no_bars)
                    )
        day += dt.timedelta(days=1)
    return contracts


def broken_prices(rng: random.Random, prices: Row, positive: bool) -> Row:
    """A bar that data.md sets aside."""
    o, h, low, c, volume = prices
    kind = rng.randrange(3 if positive else 2)
    if kind == 0:
        return [o, low - 0.5, h + 0.5, c, volume]  # high < low
    if kind == 1:
        return [h + 1.0, h, low, c, volume]  # open outside
    return [o, h, -1.0, c, volume]


def write_closes(
    rng: random.Random,
    sessions: list[dt.date],
    days: list[Day],
    underlying: str,
    habits: Habits,
    closes: list[Row],
) -> None:
    """The underlying's bars, with holes (more on Fridays, where they hurt), duplicates and broken
    rows.
    """
    for i, session in enumerate(sessions):
        if rng.random() < habits.missing_closes * (2 if session.isoweekday() == 5 else 1):
            continue
        day = days[i]
        prices = [day.open, day.high, day.low, day.close, rng.randint(1_000, 9_000)]
        if rng.random() < 0.1 * habits.dirt:
            prices = broken_prices(rng, prices, True)
        closes.append([underlying, session, *prices])
        if rng.random() < 0.2 * habits.dirt:
            closes.append([underlying, session, *prices])  # an equal duplicate
        elif rng.random() < 0.1 * habits.dirt:
            closes.append([underlying, session, *prices[:4], prices[4] + 1])
            closes[-1][2:6] = [price + 1.0 for price in prices[:4]]  # a disagreeing one
    for holiday in HOLIDAYS:
        if habits.dirt and sessions and sessions[0] < holiday < sessions[-1]:
            closes.append([underlying, holiday, 50.0, 51.0, 49.0, 50.0, 10])  # no session


def write_options(
    rng: random.Random,
    sessions: list[dt.date],
    days: list[Day],
    underlying: str,
    habits: Habits,
    contracts: list[Contract],
    end: int,
    quotes: list[Row],
    bars: list[Row],
) -> None:
    """Quotes and bars of all contracts, session by session."""
    calendar = wheel.calendar_of("NYSE")
    base_spread = rng.choice((0.02, 0.05, 0.1))
    for i, session in enumerate(sessions[:end]):
        day = days[i]
        wide = 4.0 if rng.random() < habits.wide_sessions else 1.0
        no_chain = rng.random() < habits.missing_chains
        after_gap = i > 0 and rng.random() < 2 * habits.missing_chains and session.isoweekday() == 1
        level = habits.vol * math.exp(rng.gauss(0, 0.06))
        entry = entry_ns(calendar, session)
        for contract in contracts:
            if contract.listed > i or session > contract.expiration:
                continue
            value, delta = theory(contract, day, session, level)
            if not contract.no_bars and rng.random() >= habits.missing_bars:
                write_bar(rng, contract, session, day, value, delta, habits, bars)
            if no_chain or after_gap or rng.random() < habits.missing_quotes:
                continue
            shift = value + delta * (day.at_entry - day.close)
            write_quotes(
                rng,
                underlying,
                contract,
                session,
                day,
                shift,
                base_spread * wide,
                entry,
                habits,
                quotes,
            )
        if habits.dirt:
            write_strangers(rng, underlying, session, day, entry, contracts, quotes)
            next_day = session + dt.timedelta(days=1)
            if next_day in HOLIDAYS and session in sessions[:-1]:
                copy_as_holiday(underlying, session, next_day, quotes)


def entry_ns(calendar: wheel.Calendar, session: dt.date) -> int:
    """A quarter of an hour before the close, in nanoseconds UTC: 15:45, earlier on early closes."""
    return calendar.close_ns(session) - 15 * 60 * SECOND


def theory(contract: Contract, day: Day, session: dt.date, level: float) -> tuple[float, float]:
    """Value and signed delta at the underlying's close, with a skew and the contract's own quirk."""
    years = max((contract.expiration - session).days, 0.4) / 365
    moneyness = math.log(contract.strike / day.close)
    vol = level * contract.vol_factor * (1 - 0.5 * moneyness + 0.3 * moneyness * moneyness)
    vol = max(vol, 0.05)
    is_call = contract.kind == "C"
    inputs = (day.close, contract.strike, years, 0.03)
    value = pricer.black_scholes(*inputs, vol, is_call)
    delta = pricer.absolute_delta(*inputs, vol, is_call)
    return value, delta if is_call else -delta


def cent(value: float, least: float = 0.0) -> float:
    """Rounded to the cent, and not below `least`."""
    return max(round(value, 2), least)


def write_bar(
    rng: random.Random,
    contract: Contract,
    session: dt.date,
    day: Day,
    value: float,
    delta: float,
    habits: Habits,
    bars: list[Row],
) -> None:
    """A daily bar of the contract that follows the underlying's day."""
    close = cent(value, 0.01)
    opening = cent(value + delta * (day.open - day.close), 0.01)
    far = (value + delta * (day.high - day.close), value + delta * (day.low - day.close))
    high = max(cent(max(far) * (1 + 0.1 * rng.random())), close, opening)
    low = min(cent(min(far) * (1 - 0.1 * rng.random()), 0.01), close, opening)
    if rng.random() < 0.05:
        opening = high = low = close  # one trade
    prices = [opening, high, low, close, rng.randint(1, 500)]
    if habits.dirt:
        draw = rng.random()
        if draw < 0.02 * habits.dirt:
            prices = broken_prices(rng, prices, False)
        elif draw < 0.06 * habits.dirt:
            bars.append([contract.symbol, session, *prices])  # an equal duplicate
        elif draw < 0.08 * habits.dirt:
            bars.append(
                [contract.symbol, session, opening, high + 0.5, low, close, 1]
            )  # a disagreeing one
        elif draw < 0.12 * habits.dirt:
            prices = [
                0.0,
                0.0,
                0.0,
                0.0,
                rng.choice((0, None)),
            ]  # as some vendors write that nobody traded
    bars.append([contract.symbol, session, *prices])
    chance = random.Random(
        f"{contract.symbol} {session}"
    )  # a separate generator: other markets stay what they were
    if chance.random() < 0.3 * habits.dirt:
        bars.append(impossible_bar(chance, contract, session, prices))


def impossible_bar(chance: random.Random, contract: Contract, session: dt.date, prices: Row) -> Row:
    """Beside a bar a row that goes before duplicates are judged, or is the same bar."""
    opening, high, low, close, volume = prices
    kind = chance.randrange(5)
    if kind == 0:
        return [contract.symbol, session, 0.0, 0.0, 0.0, 0.0, volume]
    if kind == 1:
        return [contract.symbol, session, opening, high + 0.3, low, close, 0]  # nobody traded
    if kind == 2:
        return [
            contract.symbol,
            session,
            opening,
            9_999.0,
            low,
            close,
            volume,
        ]  # over all that it can be worth
    if kind == 3:
        return [
            contract.symbol,
            contract.expiration + dt.timedelta(days=chance.randint(2, 5)),
            *prices,
        ]
    return [
        contract.symbol,
        session,
        opening,
        high,
        low,
        close,
        chance.choice((None, 0, 7)),
    ]  # another volume


def write_quotes(
    rng: random.Random,
    underlying: str,
    contract: Contract,
    session: dt.date,
    day: Day,
    value: float,
    base_spread: float,
    entry: int,
    habits: Habits,
    quotes: list[Row],
) -> None:
    """The quote of the contract in the entry minute, and at times dirty or superseded companions."""
    half = 0.5 * max(value, 0.05) * base_spread * rng.choice((0.2, 0.5, 1.0, 1.0, 1.6))
    bid = cent(value - half)
    ask = cent(max(value + half, 0.01), bid)
    if ask == 0.0:
        ask = 0.01
    if value < 0.03:
        bid = 0.0
    stamp = entry + rng.randrange(60 * SECOND)
    if rng.random() < 0.02:
        stamp = rng.choice((entry, entry + 60 * SECOND - 1000))  # the edges of the minute

    def add(
        bid_: float | None, ask_: float | None, ts: int, price: float | None = day.at_entry
    ) -> None:
        quotes.append(
            [
                underlying,
                session,
                ts,
                contract.symbol,
                contract.expiration,
                contract.strike,
                contract.kind,
                bid_,
                ask_,
                price,
            ]
        )

    early = dt.datetime.fromtimestamp(entry // SECOND, tz=dt.UTC).hour < 19
    dirty = rng.random() < habits.dirt
    if dirty and rng.random() < 0.3:  # earlier in the minute, and equal in time or before
        add(
            cent(bid * 0.9),
            cent(ask * 1.1, 0.01),
            rng.choice((stamp, max(entry, stamp - 5 * SECOND))),
        )
    if dirty and rng.random() < 0.2:  # outside the minute: it must not stand
        add(cent(bid * 1.3), cent(ask * 1.3, 0.01), entry - rng.choice((1000, 30 * SECOND)))
    add(bid, ask, stamp)
    if (
        early and rng.random() < 0.7
    ):  # a quote at 15:45, long after the early close: it must not stand either
        add(bid, cent(ask + 0.01), stamp + 3 * 3600 * SECOND)
    chance = random.Random(
        f"{contract.symbol} {session} quote"
    )  # a separate generator: other markets stay what they were
    if (
        chance.random() < 0.3 * habits.dirt
    ):  # a stub of an offer, over all that it can be worth: it must not stand
        most = contract.strike if contract.kind == "P" else day.at_entry
        add(
            bid,
            most + chance.choice((0.01, 5_000.0)),
            min(stamp + 2 * SECOND, entry + 60 * SECOND - 1000),
        )
    if not dirty:
        return
    later = min(stamp + rng.choice((0, 1000, 3 * SECOND)), entry + 60 * SECOND - 1000)
    wrong: Row
    for _ in range(rng.randint(1, 2)):
        kind = rng.randrange(14)
        if kind == 0:
            wrong = [None, ask, later]
        elif kind == 1:
            wrong = [bid, None, later]
        elif kind == 2:
            wrong = [math.nan, ask, later]
        elif kind == 3:
            wrong = [bid, math.nan, later]
        elif kind == 4:
            wrong = [ask + 0.05, bid, later]
        elif kind == 5:
            wrong = [-0.01, ask, later]
        elif kind == 6:
            wrong = [0.0, 0.0, later]
        elif kind == 7:
            wrong = [bid, ask, later, rng.choice((None, math.nan, 0.0, -5.0))]
        elif kind == 8:
            wrong = [bid + 0.02, ask + 0.02, entry + rng.choice((60 * SECOND, 61 * SECOND))]
        elif kind == 9:
            wrong = [bid + 0.03, ask + 0.03, stamp - 24 * 3600 * SECOND]
        elif kind == 10:
            wrong = [bid + 0.04, ask + 0.04, stamp + 24 * 3600 * SECOND]
        elif kind == 11:
            wrong = [bid, cent(ask + 0.02), stamp]  # valid, the same stamp, the later row
        elif kind == 12:
            wrong = [0.0, ask, later]  # valid: no bid
        else:
            wrong = [
                bid,
                ask,
                later,
                cent(day.at_entry * 1.01),
            ]  # valid, another price of the underlying
        add(*wrong)


def write_strangers(
    rng: random.Random,
    underlying: str,
    session: dt.date,
    day: Day,
    entry: int,
    contracts: list[Contract],
    quotes: list[Row],
) -> None:
    """Adjusted and index roots, symbols that are none, columns that contradict the symbol."""
    draw = rng.random()
    if draw > 0.5:
        return
    live = [contract for contract in contracts if contract.expiration > session]
    if not live:
        return
    contract = rng.choice(live)
    strike, kind = contract.strike, contract.kind
    symbol = osi(
        rng.choice((f"{underlying}1", "SPXW", "XSP", "VIX")), contract.expiration, kind, strike
    )
    if draw < 0.05:
        symbol = f"{underlying} 2306P"
    elif draw < 0.1:
        symbol, strike = contract.symbol, contract.strike + 1
    row = [
        underlying,
        session,
        entry + 59 * SECOND,
        symbol,
        contract.expiration,
        strike,
        kind,
        1.0,
        1.05,
        day.at_entry,
    ]
    quotes.append(row)


def copy_as_holiday(underlying: str, session: dt.date, holiday: dt.date, quotes: list[Row]) -> None:
    """A stale copy of a session's chain on the holiday after it."""
    for row in [row for row in quotes if row[0] == underlying and row[1] == session]:
        quotes.append([underlying, holiday, row[2] + 24 * 3600 * SECOND, *row[3:]])


# ---------------------------------------------------------------------------------------------------------------------
# The configuration
# ---------------------------------------------------------------------------------------------------------------------
def random_config(
    seed: int, market_seed: int | None = None, frame: Frame | None = None
) -> dict[str, Any]:
    """A configuration that fits `random_market(market_seed)`, by default of the same seed, or a
    market of that frame; every field is drawn.
    """
    rng = random.Random(f"config {seed}")
    if frame is None:
        frame = frame_of(seed if market_seed is None else market_seed)
    patient = rng.random() < 0.8  # puts that mostly run to settlement
    return {
        "rules": "v5" if rng.random() < 0.4 else "ledger",
        "schedule": random_schedule(rng, frame),
        "put": random_put(rng, patient),
        "call": random_call(rng),
        "liquidity": random_liquidity(rng),
        "fills": random_fills(rng),
        "costs": {
            "commission_per_contract": rng.choice((0.0, 0.65, 0.65, 1.0)),
            "sec_fee_per_contract": rng.choice((0.0, 0.01, 0.03)),
        },
        "pricing": {
            "rate": random_rate(rng, frame, 0.04),
            "dividend_yield": random_rate(rng, frame, 0.0),
        },
    }


def drawn_apart(seed: int) -> dict[str, dict[str, Any]]:
    """Fields by section that `random_config` leaves at their defaults: ticks, moneyness, and fees
    of orders and deliveries.
    """
    rng = random.Random(f"apart {seed}")
    found: dict[str, dict[str, Any]] = {"put": {}, "call": {}, "fills": {}, "costs": {}}
    found["fills"]["tick"] = rng.choice((None, None, 0.01, 0.05, 0.1, 0.0))
    for section, method in (("put", "select"), ("call", "tie_break_method")):
        if rng.random() < 0.2:
            found[section] |= {
                "otm_min": rng.choice((None, -0.1, 0.0, 0.02)),
                "otm_max": rng.choice((None, 0.05, 0.12)),
            }
        if rng.random() < 0.15:
            found[section] |= {
                method: "closest_otm",
                "otm_target": rng.choice((0.0, 0.03, 0.08)),
                "delta_target": None,
            }
        elif rng.random() < 0.15:
            found[section] |= {
                method: "closest_premium",
                "premium_target": rng.choice((0.5, 1.5, 4.0)),
                "delta_target": None,
            }
    found["call"].pop("delta_target", None)
    if rng.random() < 0.3:
        found["costs"] = {
            "commission_base": rng.choice((0.0, 0.5)),
            "commission_minimum": rng.choice((0.0, 1.0)),
            "assignment_fee": rng.choice((0.0, 5.0)),
        }
    return found


def random_schedule(rng: random.Random, frame: Frame) -> dict[str, Any]:
    """Section 1."""
    symbols = rng.choice((None, None, list(frame.underlyings), list(reversed(frame.underlyings))))
    if rng.random() < 0.05:
        symbols = [frame.underlyings[-1], "NONE"]
    end = frame.sessions[rng.randint(len(frame.sessions) // 3, len(frame.sessions) - 1)]
    return {
        "start_date": frame.sessions[0] + dt.timedelta(days=rng.choice((-3, -1, 0, 0, 2))),
        "end_date": end + dt.timedelta(days=rng.choice((0, 0, 0, 1, 20))),
        "symbols": symbols,
        "trading_calendar": rng.choice(("NYSE", "XNYS")),
        "entry_time": rng.choice(
            ("15:45",) * 12 + ("close-15min",) * 10 + ("15:44", "close-16min")
        ),
        "every": rng.choice((1, 1, 2, 3)),
        "offset": rng.choice((0, 0, 1, 2, 5)),
        "weekdays": rng.choice((None, None, None, [1, 3, 5], [1, 2, 3, 4], [5], [2, 4])),
        "allow_multiple_wheels_per_symbol": rng.random() < 0.7,
        "max_wheels_per_symbol_per_day": rng.choice((None, None, 1, 2, 3, 5)),
    }


def random_put(rng: random.Random, patient: bool) -> dict[str, Any]:
    """The put's rules."""
    dte_min = rng.choice((0, 1, 2, 3, 5, 7, 10))
    delta_min = rng.choice((0.05, 0.2, 0.35, 0.45, 0.6))
    stops = (None, None, None, 4.0, 20.0) if patient else (1.1, 1.3, 1.5, 2.0, 2.5)
    rules = {
        "option_type": "P",
        "dte_min": dte_min,
        "dte_max": dte_min + rng.choice((3, 5, 7, 10, 14, 20)),
        "delta_min": delta_min,
        "delta_max": round(min(delta_min + rng.choice((0.15, 0.3, 0.55)), 0.99), 2),
        "exit_pct": rng.choice((0.01, 0.02, 0.05) if patient else (0.1, 0.25, 0.5, 0.75, 0.9)),
        "stop_loss_multiplier": rng.choice(stops),
        "max_hold_dte": rng.choice((0, 1, 3))
        if rng.random() < (0.08 if patient else 0.4)
        else None,
        "select": rng.choice(
            ("all", "all", "all", "closest_delta", "highest_premium", "highest_strike")
        ),
        "dte_target": rng.choice((None, None, None, 5, 8, 10, 12, 15)),
        "delta_target": rng.choice((None, None, 0.2, 0.35, 0.5)),
    }
    if rules["select"] != "closest_delta":
        rules["delta_target"] = (
            None  # nothing else reads it, and a configuration that sets it is refused
        )
    return rules


def random_call(rng: random.Random) -> dict[str, Any]:
    """The covered call's rules."""
    dte_min = rng.choice((1, 1, 1, 2, 3, 6))
    delta_min = rng.choice((0.02, 0.02, 0.05, 0.1, 0.25, 0.4))
    return {
        "dte_min": dte_min,
        "dte_max": dte_min + rng.choice((4, 6, 8, 10, 16)),
        "delta_min": delta_min,
        "delta_max": round(min(delta_min + rng.choice((0.1, 0.35, 0.55, 0.9)), 0.99), 2),
        "strike_min_pct_above_basis": rng.choice((0.0, 0.0, 0.02, 0.05)),
        "sell_call_only_if_price_above_basis": rng.random() < 0.45,
        "tie_break_method": rng.choice(("highest_premium", "closest_delta", "highest_strike")),
        "exit_pct": rng.choice((None, 0.01, 0.01, 0.02, 0.3, 0.6)),
        "stop_loss_multiplier": rng.choice((None, None, None, None, 1.4, 3.0)),
        "max_hold_dte": rng.choice((None, None, None, None, None, 0, 1, 3)),
        "max_cycles": rng.choice((None, 1, 1, 2, 3)),
        "call_wait_sessions": rng.choice((0, 0, 1, 2, 4)),
    }


def random_liquidity(rng: random.Random) -> dict[str, Any]:
    """Section 3."""
    base = rng.choice((0.03, 0.05, 0.08, 0.12))
    high = rng.choice((0.5, 0.6, 0.7, 0.4))
    return {
        "base_max_spread_pct": base,
        "ivp_high_max_spread_pct": base + rng.choice((0.0, 0.03, 0.05)),
        "ivp_high_threshold": high,
        "ivp_extreme_max_spread_pct": base + rng.choice((0.05, 0.07, 0.1)),
        "ivp_extreme_threshold": high + rng.choice((0.1, 0.2, 0.3)),
        "short_dte_extra_spread_pct": rng.choice((0.0, 0.02, 0.05)),
        "short_dte_threshold": rng.choice((0, 3, 7, 10)),
        "hard_max_spread_pct": rng.choice((0.08, 0.15, 0.2, 0.2, 0.4)),
        "min_bid_hard": rng.choice((0.0, 0.05, 0.1, 0.3)),
        "ivp_min_candidates": rng.choice((1, 1, 2, 3, 6, 15)),
        "ivp_over": rng.choice(("candidates", "candidates", "chain")),
    }


def random_fills(rng: random.Random) -> dict[str, Any]:
    """Sections 4 and 5."""
    return {
        "fill_mode": rng.choice(("optimistic", "realistic", "pessimistic", "natural")),
        "exit_model": rng.choice((None, "trigger", "close_range")),
        "gap_path": rng.choice(("skip", "quote")),
        "use_probabilistic_exit_fills": rng.random() < 0.75,
        "execution_seed": rng.choice((42, 0, rng.randrange(2**64), 2**64 - 1)),
        "pfill_tight": rng.choice((0.9, 0.95)),
        "pfill_normal": rng.choice((0.7, 0.6)),
        "pfill_wide": rng.choice((0.4, 0.2)),
        "pfill_scale": rng.choice((0.6, 1.0, 0.3)),
        "pfill_ivp_extreme_mult": rng.choice((0.7, 0.5)),
        "pfill_ivp_high_mult": rng.choice((0.85, 0.9)),
        "pfill_min": rng.choice((0.05, 0.0, 0.3)),
        "pfill_max": rng.choice((0.98, 0.5, 1.0)),
        "tight_spread_pct": rng.choice((0.05, 0.02)),
        "normal_spread_pct": rng.choice((0.10, 0.06)),
    }


def random_rate(
    rng: random.Random, frame: Frame, usual: float
) -> float | list[tuple[dt.date, float]]:
    """A number, or (session, value) pairs of which the first stands before the market begins."""
    kind = rng.random()
    if kind < 0.5:
        return usual
    if kind < 0.7:
        return rng.choice((0.0, 0.02, 0.055))
    days = [frame.sessions[0] - dt.timedelta(days=7), *sorted(rng.sample(frame.sessions, 3))]
    return [(day, round(rng.uniform(0.0, 0.06), 4)) for day in days]


def random_when(seed: int) -> list[tuple[dt.date, str]] | None:
    """A user's own signal (section 1) for the market of a seed: mostly None, else some (session,
    underlying) pairs.
    """
    rng = random.Random(f"when {seed}")
    if rng.random() < 0.85:
        return None
    frame = frame_of(seed)
    return [
        (day, name) for day in frame.sessions for name in frame.underlyings if rng.random() < 0.4
    ]


# ---------------------------------------------------------------------------------------------------------------------
# For hypothesis, and for measuring
# ---------------------------------------------------------------------------------------------------------------------
def seeds() -> st.SearchStrategy[int]:
    """Seeds of markets and configurations; a failing one is all there is to report."""
    return st.integers(min_value=0, max_value=2**32 - 1)


def markets() -> st.SearchStrategy[dict[str, pl.DataFrame]]:
    """Random markets."""
    return seeds().map(random_market)


def cases() -> st.SearchStrategy[tuple[dict[str, pl.DataFrame], dict[str, Any]]]:
    """Random markets, each with a configuration that fits."""
    return seeds().map(lambda seed: (random_market(seed), random_config(seed)))


SUMMARY_COUNTS = (
    "open_wheels",
    "no_data_wheels",
    "censored_wheels",
    "marked_wheels",
    "held_wheels",
    "targets_above_limit",
    "stops_inside_stop",
    "sessions_without_bar",
)


def census(count: int, first: int = 0) -> Counter[str]:
    """The outcomes over the seeds: reasons, ends, counts of the summary, and the time they take in
    milliseconds.
    """
    counts: Counter[str] = Counter()
    slowest = {"generate": 0.0, "run": 0.0}
    for seed in range(first, first + count):
        began = time.perf_counter()
        tables, config = random_market(seed), random_config(seed)
        made = time.perf_counter()
        result = wheel.run(tables, config, random_when(seed))
        done = time.perf_counter()
        slowest["generate"] = max(slowest["generate"], made - began)
        slowest["run"] = max(slowest["run"], done - made)
        counts["time generate ms"] += round(1000 * (made - began))
        counts["time run ms"] += round(1000 * (done - made))
        counts["seeds with wheels"] += bool(result["wheels"])
        counts["seeds with calls"] += any(played.calls for played in result["wheels"])
        counts["rows quotes"] += len(tables["option_quotes"])
        for row in result["records"]:
            rules = config["rules"]
            if row["phase"] == "total":
                counts[f"{rules} end {row['end_reason']}"] += 1
                counts[f"{rules} total wheels"] += 1
                counts[f"{rules} two or more calls"] += row["wheel_id"] in _several(result)
            else:
                counts[f"{rules} {row['phase']} {row['exit_reason']}"] += 1
                counts[f"{rules} tier {row['liquidity_tier']}"] += 1
        for name in SUMMARY_COUNTS:
            counts[f"summary {name}"] += result["summary"][name]
        for row in result["diagnostics"]:
            counts[f"outcome {row['outcome']}"] += 1
        counts["waited for a call"] += sum(_waited(played) for played in result["wheels"])
        counts["dividends booked"] += sum(len(played.dividends) for played in result["wheels"])
        counts["closes on the strike"] += sum(
            leg.underlying_at_expiration is not None
            and leg.underlying_at_expiration == leg.quote.strike
            for played in result["wheels"]
            for leg in played.legs
        )
        for reason, number in result["dropped"].items():
            counts[f"dropped {reason}"] += number
    counts["slowest generate ms"] = round(1000 * slowest["generate"])
    counts["slowest run ms"] = round(1000 * slowest["run"])
    return counts


def _several(result: dict[str, Any]) -> set[str]:
    return {played.wheel_id for played in result["wheels"] if len(played.calls) > 1}


def _waited(played: wheel.Wheel) -> bool:
    """Whether some call of the wheel was sold later than on the first session tried."""
    calendar = wheel.calendar_of("NYSE")
    free = played.put.settlement
    for call in played.calls:
        if (
            call.quote.session > calendar.after(free)
            and call.quote.session > played.put.quote.expiration
        ):
            return True
        free = call.exit_date
    return False


if __name__ == "__main__":
    for name, number in sorted(census(int(sys.argv[1]) if len(sys.argv) > 1 else 200).items()):
        sys.stdout.write(f"{name:42s} {number}\n")
