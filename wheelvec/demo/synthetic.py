"""The demo market: invented underlyings with weekly options, generated from a seed.

One intraday path of each underlying (a price every 15 minutes) determines all data: the daily bar
of the underlying, the quotes 15 minutes before the close, and the trades of every option. An
option's bar therefore contains the mids of its quotes in the entry minute that are at least a tick.
Volatility is stochastic, prices jump, the smile is skewed, quotes are rounded to ticks and wider in
the wings and at high volatility. Many contracts do not trade every day; there are sessions without
quotes, missing bars and early closes.

The tables of a seed have the same bytes on every machine (see `wheelvec.demo.invented`). The rows
of an underlying depend only on the seed, its name and the first session; a later `end` only adds
sessions.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from wheelvec.demo.invented import (
    PROFILES,
    Floats,
    Hashes,
    Ints,
    Profile,
    call_price,
    exp,
    hash_of,
    log,
    splitmix,
    uniform,
)
from wheelvec.market.market import Market
from wheelvec.model import cash_settled, schemas
from wheelvec.model.errors import InputError
from wheelvec.model.fields import read_day
from wheelvec.model.forks import refuse_forked
from wheelvec.tables.sessions import Sessions

# Wheels opened from DEMO_START to DEMO_END have ten more weeks of data, in which nearly all of them
# resolve.
DEMO_START = dt.date(2024, 1, 2)
DEMO_END = dt.date(2024, 7, 19)
DEMO_LAST = dt.date(2024, 9, 30)  # the default market's last session

RATE = 0.04  # per year, continuously compounded: the default of the configuration
LISTED_DAYS = 49  # a weekly expiration is listed seven weeks before
STEP_MINUTES = 15  # of the intraday path
FULL_DAY_MINUTES = 390
ENTRY_MINUTES = 15  # before the close: 15:45 on a full day
# Range of the listed strikes around the spot, in standard deviations to expiration.
REACH_DOWN, REACH_UP = 1.95, 1.7
MINUTES_PER_YEAR = 365 * 1440
NANOS_PER_MINUTE = 60_000_000_000


@dataclass(frozen=True, kw_only=True)
class _Days:
    """The sessions of the market, and later ones that are needed for expirations.

    Days are numbers of days since 1970-01-01; positions are indices of `day`.
    """

    count: int  # number of sessions in the market
    day: Ints
    open_nanos: Ints  # UTC
    minutes: Ints  # from open to close
    expirations: Ints  # positions of each week's last session: a Thursday when Friday is a holiday
    after_monthly: Ints  # positions of the session after the third Friday's expiration


@dataclass(frozen=True, kw_only=True)
class _Underlying:
    """One underlying and its intraday path over n sessions."""

    seed: int
    name: str
    profile: Profile
    days: _Days
    spot: Floats  # (n, 27) dollars, whole cents, each quarter of an hour from the open
    entry: Ints  # (n,) the column of the entry minute
    times: Ints  # (n, 5) the columns of open, low, high, entry and close, sorted
    implied: Floats  # (n,) volatility at the money for a near expiration
    stress: Floats  # (n,) factor of the spreads

    def key(self, purpose: str) -> Hashes:
        """(1,) the key of a stream of random numbers."""
        return hash_of(self.seed, self.name, purpose)

    def daily(self, purpose: str) -> Floats:
        """(n,) a uniform number for each session."""
        return uniform(splitmix(self.key(purpose), self.days.day[: self.days.count]))

    def on_tick(self, cents: Floats, direction: int) -> Floats:
        """Prices in cents rounded to ticks: down (-1), up (1) or to the nearest (0)."""
        tick = self.tick(cents)
        steps = cents / tick
        return tick * (
            np.floor(steps)
            if direction < 0
            else np.ceil(steps)
            if direction > 0
            else np.rint(steps)
        )

    def tick(self, cents: Floats) -> Floats:
        """The tick, in cents, of a price in cents."""
        return np.where(
            cents < 300.0,
            float(self.profile.low_tick_cents),
            float(self.profile.high_tick_cents),
        )


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """The contracts of one underlying on each session, with prices in cents.

    Rows are sorted by session, expiration, calls before puts, strike.
    """

    session: Ints  # position
    expiration: Ints  # day
    strike_cents: Ints
    is_call: Ints  # 1 or 0
    theoretical: Floats  # (rows, 5) prices at the times
    half_spread: Floats  # (rows,) at the entry minute, before rounding to ticks
    activity: Floats  # (rows,) probability of a trade at each of the times
    bid: Floats  # (rows,) in the entry minute
    ask: Floats
    symbol: pl.Series
    keys: Hashes  # (rows,) of the random numbers of each row

    def uniform(self, stream: int) -> Floats:
        """(rows,) a uniform number for each row."""
        return uniform(splitmix(self.keys, stream))


def demo_market(
    seed: int = 7,
    symbols: Sequence[str] = tuple(PROFILES),
    start: dt.date | str = DEMO_START,
    end: dt.date | str = DEMO_LAST,
) -> Market:
    """An invented `Market` with weekly options; it needs no key and no network.

    Args:
        seed: any whole number; each seed gives another market of the same kind.
        symbols: underlyings, one to six capital letters each. ALFA, BRVO, CHRL and DLTA have
            different profiles; another name has one of these, selected by its hash.
        start: the first day; every row depends on it.
        end: the last day, inclusive; a later one only adds sessions. Sessions are those of the
            NYSE.

    Raises:
        InputError: for a name that is not a plain option root or is repeated, an invalid date, or
            a range without a session.

    Example:
        >>> import wheelvec as wv
        >>> wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        Market(ALFA; 2024-01-02 to 2024-02-29; option_quotes 7,228 rows, option_bars 286 rows,
            underlying_bars 41 rows)
    """
    tables = demo_tables(seed, symbols, start, end)
    return Market(
        option_quotes=tables["option_quotes"],
        option_bars=tables["option_bars"],
        underlying_bars=tables["underlying_bars"],
    )


def demo_tables(
    seed: int = 7,
    symbols: Sequence[str] = tuple(PROFILES),
    start: dt.date | str = DEMO_START,
    end: dt.date | str = DEMO_LAST,
) -> dict[str, pl.DataFrame]:
    """The tables `option_quotes`, `option_bars` and `underlying_bars` (`model.schemas`) by name.

    Args:
        seed: any whole number; each seed gives another market of the same kind.
        symbols: underlyings, one to six capital letters each. The names in `PROFILES` have their
            own profile; another name has one of these, selected by its hash. The rows of an
            underlying do not depend on the others.
        start: the first day; every row depends on it.
        end: the last day, inclusive; a later one only adds sessions. Sessions are those of the
            NYSE.

    Raises:
        InputError: for a name that is not a plain option root or is repeated, an invalid date, or
            a range without a session.
    """
    refuse_forked()
    _check_names(symbols)
    days = _days(read_day("start", start), read_day("end", end))
    tables = [_tables(_underlying(seed, name, days), 0, days.count) for name in symbols]
    return {name: pl.concat([each[name] for each in tables]) for name in tables[0]}


def demo_months(
    symbol: str, seed: int = 7, start: dt.date | str = DEMO_START, end: dt.date | str = DEMO_LAST
) -> Iterator[dict[str, pl.DataFrame]]:
    """The tables of `demo_tables` for one underlying, month by month.

    They allow markets that do not fit into memory.

    Raises:
        InputError: as `demo_tables` does.
    """
    _check_names([symbol])
    days = _days(read_day("start", start), read_day("end", end))
    under = _underlying(seed, symbol, days)
    month = days.day[: days.count].astype("M8[D]").astype("M8[M]")
    firsts = np.flatnonzero(np.append(True, month[1:] != month[:-1]))
    for first, last in zip(firsts, np.append(firsts[1:], days.count), strict=True):
        yield _tables(under, int(first), int(last))


def _check_names(symbols: Sequence[str]) -> None:
    """Refuse names given twice, and roots that a `Market` sets aside: adjusted ones and indices."""
    listed = isinstance(symbols, Sequence) and not isinstance(symbols, str)
    if not listed or not symbols or len(set(symbols)) != len(symbols):
        raise InputError(f"symbols = {symbols!r}: expected a list of at least one name, each once")
    for name in symbols:
        if not re.fullmatch("[A-Z]{1,6}", str(name)) or name in cash_settled.ROOTS:
            raise InputError(
                f"symbols: {name!r} cannot be a demo underlying: expected 1 to 6 capital letters, "
                "no index"
            )


def _days(start: dt.date, end: dt.date) -> _Days:
    """The sessions from start to end, and those until the last expiration listed at the end."""
    calendar = Sessions.load("NYSE", start, end + dt.timedelta(days=LISTED_DAYS + 14)).frame
    day = calendar["session"].to_physical().cast(pl.Int64).to_numpy()
    opens, closes = (calendar[name].dt.epoch("ns").to_numpy() for name in ("open", "close"))
    count = int(np.searchsorted(day, (end - dt.date(1970, 1, 1)).days, side="right"))
    if count == 0:
        raise InputError(f"start = {start}, end = {end}: the NYSE has no session in between")
    week = (day + 3) // 7  # whole weeks from Monday: 1970-01-01 was a Thursday
    expirations = np.flatnonzero(week[1:] != week[:-1])
    friday = (week * 7 + 1)[expirations].astype("M8[D]")
    day_of_month = (friday - friday.astype("M8[M]")).astype(np.int64) + 1
    monthly = expirations[(day_of_month >= 15) & (day_of_month <= 21)]
    return _Days(
        count=count,
        day=day,
        open_nanos=opens,
        minutes=(closes - opens) // NANOS_PER_MINUTE,
        expirations=expirations,
        after_monthly=monthly + 1,
    )


def _underlying(seed: int, name: str, days: _Days) -> _Underlying:
    """The underlying of a name, with the path of its profile."""
    other = int(hash_of(name)[0]) % len(PROFILES)
    profile = PROFILES.get(name, list(PROFILES.values())[other])
    n, minutes = days.count, days.minutes[: days.count]
    last, entry = minutes // STEP_MINUTES, (minutes - ENTRY_MINUTES) // STEP_MINUTES
    columns = FULL_DAY_MINUTES // STEP_MINUTES + 1
    spot, volatility = profile.process.prices(hash_of(seed, name, "path"), last, columns)
    times = np.stack(
        [np.zeros(n, dtype=np.int64), spot.argmin(axis=1), spot.argmax(axis=1), entry, last], axis=1
    )
    widened = uniform(splitmix(hash_of(seed, name, "spread"), days.day[:n]))
    stress = np.maximum(volatility / profile.process.volatility, 0.8)
    return _Underlying(
        seed=seed,
        name=name,
        profile=profile,
        days=days,
        spot=spot,
        entry=entry,
        times=np.sort(times, axis=1),
        implied=profile.implied(volatility),
        stress=np.where(widened < profile.wide_quotes, 3.0, 1.0) * stress,
    )


def _tables(under: _Underlying, first: int, last: int) -> dict[str, pl.DataFrame]:
    """The three tables of one underlying for the sessions at positions first..last-1."""
    chain = _chain(under, first, last)
    quotes, mids = _quotes(under, chain)
    return {
        "option_quotes": quotes,
        "option_bars": _option_bars(under, chain, mids),
        "underlying_bars": _underlying_bars(under, first, last),
    }


def _listed(under: _Underlying, position: int) -> tuple[Ints, Ints, Ints]:
    """Sessions (positions), expiration (days) and strikes (cents) of one expiration, each (rows,).

    A listed strike stays listed until it expires.
    """
    days, expiration = under.days, under.days.day[position]
    session = np.arange(
        np.searchsorted(days.day, expiration - LISTED_DAYS), min(position + 1, days.count)
    )
    # The strikes listed in the morning depend on the last close and its volatility.
    before = np.maximum(session - 1, 0)
    spot_cents = 100.0 * under.spot[before, np.where(session > 0, -1, 0)]
    deviation = under.implied[before] * np.sqrt((expiration - days.day[session] + 1) / 365.0)
    step = under.profile.strike_step_cents
    low = np.maximum(np.floor(spot_cents * exp(-REACH_DOWN * deviation) / step), 1.0)
    high = np.ceil(spot_cents * exp(REACH_UP * deviation) / step)
    low, high = (
        np.minimum.accumulate(low).astype(np.int64),
        np.maximum.accumulate(high).astype(np.int64),
    )
    count = high - low + 1
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    strike = (np.repeat(low, count) + number) * step
    return np.repeat(session, count), np.full(len(strike), expiration), strike


def _chain(under: _Underlying, first: int, last: int) -> _Chain:
    """The contracts of the sessions at positions first..last-1, priced and quoted."""
    days = under.days
    listed = days.day[days.expirations] - LISTED_DAYS <= days.day[last - 1]
    live = days.expirations[listed & (days.expirations >= first)]
    by_expiration = [_listed(under, int(position)) for position in live]
    session, expiration, strike = (
        np.concatenate(each) for each in zip(*by_expiration, strict=True)
    )
    within = (session >= first) & (session < last)
    session, expiration, strike = session[within], expiration[within], strike[within]
    call, put, moneyness = _theory(under, session, expiration, strike)
    is_call = np.repeat([1, 0], len(session))
    pair = np.tile(np.arange(len(session)), 2)
    order = np.lexsort((strike[pair], 1 - is_call, expiration[pair], session[pair]))
    pair, is_call = pair[order], is_call[order]
    session, expiration, strike = session[pair], expiration[pair], strike[pair]
    theoretical = np.where(is_call[:, None] == 1, call[pair], put[pair])
    at_entry = np.argmax(under.times == under.entry[:, None], axis=1)[session]
    row = np.arange(len(pair))
    value, distance = theoretical[row, at_entry], np.abs(moneyness[pair, at_entry])
    time_value = np.minimum(call[pair, at_entry], put[pair, at_entry])
    contract = (expiration << 32) + (strike << 1) + is_call
    keys = splitmix(splitmix(under.key("contracts"), contract), days.day[session])
    half = _half_spread(under, keys, value, time_value, distance, under.stress[session])
    # Options in the money trade rarely, so that a stop may have no bar before the assignment.
    in_money = np.where(value > time_value, 0.25 / (1.0 + 2.0 * distance), 1.0)
    return _Chain(
        session=session,
        expiration=expiration,
        strike_cents=strike,
        is_call=is_call,
        theoretical=theoretical,
        half_spread=half,
        activity=under.profile.activity / (1.0 + 0.3 * distance * distance) * in_money,
        bid=np.maximum(under.on_tick(value - half, -1), 0.0),
        ask=under.on_tick(value + half, 1),
        symbol=_symbols(under.name, contract),
        keys=keys,
    )


def _theory(
    under: _Underlying, session: Ints, expiration: Ints, strike: Ints
) -> tuple[Floats, Floats, Floats]:
    """Theoretical prices of calls and puts in cents, and moneyness, each (rows, 5).

    The smile is skewed; moneyness is in standard deviations.
    """
    days, times = under.days, under.times[session]
    spot = under.spot[session[:, None], times]
    close = days.minutes[np.searchsorted(days.day, expiration)]
    minutes = ((expiration - days.day[session]) * 1440 + close)[:, None] - times * STEP_MINUTES
    years = np.maximum(minutes, 5) / MINUTES_PER_YEAR
    discounted = (strike / 100.0)[:, None] * exp(-RATE * years)
    # For long times to expiration volatility reverts to its mean; within the session it rises as
    # the price falls.
    usual = under.profile.usual_volatility()
    level = usual + (under.implied[session][:, None] - usual) / (1.0 + 3.0 * years)
    fall = 1.0 - spot / under.spot[session, 0][:, None]
    deviation = level * np.minimum(np.maximum(1.0 + 1.5 * fall, 0.8), 1.4) * np.sqrt(years)
    moneyness = np.minimum(np.maximum(log(discounted / spot) / deviation, -4.0), 4.0)
    smile = 1.0 - 0.07 * moneyness + 0.02 * moneyness * moneyness
    call = np.maximum(call_price(spot, discounted, deviation * smile), 0.0)
    put = np.maximum(call - spot + discounted, 0.0)
    return call * 100.0, put * 100.0, moneyness


def _half_spread(
    under: _Underlying,
    keys: Hashes,
    value: Floats,
    time_value: Floats,
    distance: Floats,
    stress: Floats,
) -> Floats:
    """(rows,) half of the spread in cents: a fraction of the time value, larger in the wings."""
    factor = 0.6 + 0.8 * uniform(splitmix(keys, 1))
    share = 0.5 * under.profile.spread * factor * (1.0 + 0.3 * np.maximum(distance - 1.0, 0.0))
    return stress * (share * time_value + 100.0 * under.profile.spread_floor) + 0.002 * (
        value - time_value
    )


def _symbols(name: str, contract: Ints) -> pl.Series:
    """(rows,) the OSI symbol of each row."""
    unique, number = np.unique(contract, return_inverse=True)
    dates = (unique >> 32).astype("M8[D]").astype(str).tolist()
    texts = [
        f"{name:<6}{date[2:4]}{date[5:7]}{date[8:]}"
        f"{'PC'[code & 1]}{(code % (1 << 32) >> 1) * 10:08d}"
        for date, code in zip(dates, unique.tolist(), strict=True)
    ]
    return pl.Series("symbol", texts).gather(number)


def _quotes(under: _Underlying, chain: _Chain) -> tuple[pl.DataFrame, tuple[Floats, Floats]]:
    """The quotes, and the lowest and highest mid (dollars) of each row in the entry minute.

    Each contract has a quote late in the entry minute; some have another one early in it, or in the
    minute before or after, that is a tick wider on one side. On the session after some monthly
    expirations there are no quotes.
    """
    days, side, again = under.days, chain.uniform(2), chain.uniform(4)
    wide_bid = np.where(
        side < 0.5, np.maximum(chain.bid - under.tick(chain.bid - 0.5), 0.0), chain.bid
    )
    wide_ask = np.where(side < 0.5, chain.ask, chain.ask + under.tick(chain.ask))
    failed = (under.daily("outage") < under.profile.outage) & np.isin(
        np.arange(days.count), days.after_monthly
    )
    shown = ~failed[chain.session]
    rows, seconds = [np.flatnonzero(shown)], [40.0 + 20.0 * chain.uniform(3)[shown]]
    for first, last, opens, length in (
        (0.0, 0.2, 0.0, 20.0),
        (0.2, 0.28, -60.0, 60.0),
        (0.28, 0.36, 60.0, 60.0),
    ):
        rows.append(np.flatnonzero(shown & (again >= first) & (again < last)))
        seconds.append(opens + length * ((again[rows[-1]] - first) / (last - first)))
    row, second = np.concatenate(rows), np.concatenate(seconds)
    wide = np.arange(len(row)) >= len(rows[0])
    order = np.lexsort((second, row))
    bid, ask = (
        np.where(wide, wide_bid[row], chain.bid[row]),
        np.where(wide, wide_ask[row], chain.ask[row]),
    )
    mids = (
        (chain.bid / 100.0 + chain.ask / 100.0) / 2.0,
        (wide_bid / 100.0 + wide_ask / 100.0) / 2.0,
    )
    frame = _quote_frame(under, chain, row[order], second[order], bid[order], ask[order])
    return frame, (np.minimum(*mids), np.maximum(*mids))


def _quote_frame(
    under: _Underlying, chain: _Chain, row: Ints, second: Floats, bid: Floats, ask: Floats
) -> pl.DataFrame:
    """The table of quotes for rows of the chain, at seconds after the start of the entry minute.

    A third of the bids of 0 are null.
    """
    session = chain.session[row]
    minute = (
        under.days.open_nanos[session]
        + (under.days.minutes[session] - ENTRY_MINUTES) * NANOS_PER_MINUTE
    )
    no_bid = (bid == 0.0) & (chain.uniform(5)[row] < 0.35)
    columns = {
        "underlying": pl.repeat(under.name, len(row), eager=True),
        "session": under.days.day[session].astype("M8[D]"),
        "ts": pl.Series(minute + np.floor(second * 1e6).astype(np.int64) * 1000),
        "symbol": chain.symbol.gather(row),
        "expiration": chain.expiration[row].astype("M8[D]"),
        "strike": chain.strike_cents[row] / 100.0,
        "option_type": pl.Series(["P", "C"]).gather(chain.is_call[row]),
        "bid": pl.Series(np.where(no_bid, np.nan, bid / 100.0), nan_to_null=True),
        "ask": ask / 100.0,
        "underlying_price": under.spot[session, under.entry[session]],
        "underlying_source": None,
    }
    return pl.DataFrame(columns, schema=schemas.OPTION_QUOTES, strict=False)


def _option_bars(under: _Underlying, chain: _Chain, mids: tuple[Floats, Floats]) -> pl.DataFrame:
    """The table of daily bars, from trades at some of the times; no bar without a trade.

    Low and high include the ticks around the mids of the quotes in the entry minute, as if there
    had been trades at them.
    """
    streams, keys = np.arange(5), chain.keys[:, None]
    trades = uniform(splitmix(keys, 16 + streams)) < chain.activity[:, None]
    row = np.flatnonzero(trades.any(axis=1))
    trades, keys = trades[row], keys[row]
    side = np.where(uniform(splitmix(keys, 32 + streams)) < 0.5, -0.7, 0.7)
    price = under.on_tick(chain.theoretical[row] + side * chain.half_spread[row, None], 0)
    price = np.maximum(price, float(under.profile.low_tick_cents))
    first, last = np.argmax(trades, axis=1), 4 - np.argmax(trades[:, ::-1], axis=1)
    low, high = _around(under, mids[0][row], mids[1][row])
    low = np.maximum(low, float(under.profile.low_tick_cents))  # no trade is below one tick
    low = np.minimum(np.where(trades, price, np.inf).min(axis=1), low)
    high = np.maximum(np.where(trades, price, -np.inf).max(axis=1), high)
    size = np.minimum(1.0 / chain.uniform(6)[row], 500.0)  # heavy-tailed
    volume = np.floor(size * (1.0 + 20.0 * under.profile.activity)).astype(np.int64) * trades.sum(
        axis=1
    )
    columns = {
        "symbol": chain.symbol.gather(row),
        "session": under.days.day[chain.session[row]].astype("M8[D]"),
        "open": price[np.arange(len(row)), first] / 100.0,
        "high": high / 100.0,
        "low": low / 100.0,
        "close": price[np.arange(len(row)), last] / 100.0,
        "volume": volume,
    }
    return pl.DataFrame(columns, schema=schemas.OPTION_BARS)


def _around(under: _Underlying, lowest: Floats, highest: Floats) -> tuple[Floats, Floats]:
    """The ticks (cents) around two mids (dollars), also if a mid has a rounding error."""
    low, high = under.on_tick(lowest * 100.0, -1), under.on_tick(highest * 100.0, 1)
    low = np.where(low / 100.0 > lowest, low - under.tick(low - 0.5), low)
    return low, np.where(high / 100.0 < highest, high + under.tick(high), high)


def _underlying_bars(under: _Underlying, first: int, last: int) -> pl.DataFrame:
    """The table of the underlying's bars; some profiles have missing bars."""
    kept = first + np.flatnonzero(under.daily("bars")[first:last] >= under.profile.missing_bar)
    spot = under.spot[kept]
    columns = {
        "underlying": pl.repeat(under.name, len(kept), eager=True),
        "session": under.days.day[kept].astype("M8[D]"),
        "open": spot[:, 0],
        "high": spot.max(axis=1),
        "low": spot.min(axis=1),
        "close": spot[:, -1],
        "volume": np.floor(
            (1.0 + under.daily("volume")[kept]) * under.profile.activity * 5e6
        ).astype(np.int64),
    }
    return pl.DataFrame(columns | {"close_source": None}, schema=schemas.UNDERLYING_BARS)
