"""The demo market.

Invented underlyings with weekly options, made from a seed, without a key and without a network.

One intraday path per underlying (a price each quarter of an hour) carries everything: the daily bar
of the underlying, the quotes fifteen minutes before the close, and the trades of every option, so
that an option's bar contains the mids of its quotes in the entry minute that are a tick or more.
Volatility moves and jumps, the smile is skewed, quotes stand on ticks and widen in the wings and in
stress, many contracts do not trade every day, feeds fail, bars are missing, exchanges close early.

The tables are the same bytes for a seed on every machine (`wheelvec.demo.invented` says how), an
underlying's rows depend on the seed, its own name and the first session only, and a later `end`
only adds sessions.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from wheelvec.demo.invented import (
    CHARACTERS,
    Character,
    Floats,
    Ints,
    Words,
    call_price,
    exp,
    log,
    scatter,
    source,
    uniform,
)
from wheelvec.market.market import Market
from wheelvec.model import cash_settled, schemas
from wheelvec.model.errors import InputError
from wheelvec.model.fields import read_day
from wheelvec.model.forks import refuse_forked
from wheelvec.tables.sessions import Sessions

# Wheels opened from DEMO_START to DEMO_END have ten weeks of data behind them, in which nearly all
# of them resolve.
DEMO_START = dt.date(2024, 1, 2)
DEMO_END = dt.date(2024, 7, 19)
DEMO_LAST = dt.date(2024, 9, 30)  # the default market's last session

RATE = 0.04  # per year, continuously compounded: the default of the configuration
LISTED_DAYS = 49  # a weekly expiration is listed seven weeks before
STEP_MINUTES = 15  # of the intraday path
FULL_DAY_MINUTES = 390
ENTRY_MINUTES = 15  # before the close: 15:45 on a full day
REACH_DOWN, REACH_UP = (
    1.95,
    1.7,
)  # strikes listed around the spot, in standard deviations to expiration
MINUTES_PER_YEAR = 365 * 1440
NANOS_PER_MINUTE = 60_000_000_000


@dataclass(frozen=True, kw_only=True)
class _Days:
    """The sessions of the market, and later ones that only carry expirations.

    Days are counted from 1970-01-01.
    """

    count: int  # of sessions in the market
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
    character: Character
    days: _Days
    spot: Floats  # (n, 27) dollars, whole cents, each quarter of an hour from the open
    entry: Ints  # (n,) the column of the entry minute
    moments: Ints  # (n, 5) columns in the order of time: open, low, high, entry, close
    implied: Floats  # (n,) volatility at the money for a near expiration
    stress: Floats  # (n,) how wide quotes are, over a usual session's

    def chance(self, purpose: str) -> Words:
        """The root of one stream of chance."""
        return source(self.seed, self.name, purpose)

    def daily(self, purpose: str) -> Floats:
        """A uniform number for each session."""
        return uniform(scatter(self.chance(purpose), self.days.day[: self.days.count]))

    def on_tick(self, cents: Floats, direction: int) -> Floats:
        """The next tick at or below (-1), at or above (1), or the nearest (0), in cents."""
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
            float(self.character.low_tick_cents),
            float(self.character.high_tick_cents),
        )


@dataclass(frozen=True, kw_only=True)
class _Chain:
    """One underlying's contract-days, sorted by session, expiration, calls before puts, strike.

    Prices in cents.
    """

    session: Ints  # position
    expiration: Ints  # day
    strike_cents: Ints
    is_call: Ints  # 1 or 0
    worth: Floats  # (rows, 5) at the moments
    half_spread: Floats  # (rows,) at the entry minute, before it is put on ticks
    activity: Floats  # (rows,) chance of a trade at one moment
    bid: Floats  # (rows,) in the entry minute
    ask: Floats
    symbol: pl.Series
    root: Words  # (rows,) of each contract-day's own chance

    def luck(self, lane: int) -> Floats:
        """A uniform number for each contract-day."""
        return uniform(scatter(self.root, lane))


def demo_market(
    seed: int = 7,
    symbols: Sequence[str] = tuple(CHARACTERS),
    start: dt.date | str = DEMO_START,
    end: dt.date | str = DEMO_LAST,
) -> Market:
    """An invented `Market` (`demo_tables`) with weekly options.

    No key, no network, made in seconds.

    Args:
        seed: any whole number; another seed is another market of the same characters.
        symbols: one to six capital letters each. ALFA, BRVO and their like have their own
            character; any other name takes one of those by its hash.
        start: the first day; every row depends on it.
        end: the last day, inclusive; a later one only adds sessions. Sessions are those of the
            NYSE.

    Raises:
        InputError: a name that is no plain option root or is repeated, a date that is none, or no
            session in between.

    Example:
        >>> import wheelvec as wv
        >>> wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        Market(ALFA; 2024-01-02 to 2024-02-29; option_quotes 7,228 rows, option_bars 286 rows, underlying_bars 41 rows)
    """
    tables = demo_tables(seed, symbols, start, end)
    return Market(
        option_quotes=tables["option_quotes"],
        option_bars=tables["option_bars"],
        underlying_bars=tables["underlying_bars"],
    )


def demo_tables(
    seed: int = 7,
    symbols: Sequence[str] = tuple(CHARACTERS),
    start: dt.date | str = DEMO_START,
    end: dt.date | str = DEMO_LAST,
) -> dict[str, pl.DataFrame]:
    """The tables `option_quotes`, `option_bars` and `underlying_bars` (model.schemas), underlying
    by underlying.

    Args:
        seed: any whole number; another seed is another market of the same characters.
        symbols: one to six capital letters each. The names of `CHARACTERS` have their own
            character; any other name takes one of those by its hash, so that a market of any size
            can be made, also one underlying at a time.
        start: the first day; every row depends on it.
        end: the last day, inclusive; a later one only adds sessions. Sessions are those of the
            NYSE.

    Raises:
        InputError: a name that is no plain option root or is repeated, a date that is none, or no
            session in between.
    """
    refuse_forked()
    _check_names(symbols)
    days = _days(read_day("start", start), read_day("end", end))
    parts = [_tables(_underlying(seed, name, days), 0, days.count) for name in symbols]
    return {table: pl.concat([part[table] for part in parts]) for table in parts[0]}


def demo_months(
    symbol: str, seed: int = 7, start: dt.date | str = DEMO_START, end: dt.date | str = DEMO_LAST
) -> Iterator[dict[str, pl.DataFrame]]:
    """`demo_tables` of one underlying month by month.

    Years of many underlyings are made without ever being in memory.

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
    """Refuse what a `Market` sets aside, adjusted (a digit) and index roots, and a name given
    twice.
    """
    if isinstance(symbols, str) or not symbols or len(set(symbols)) != len(symbols):
        raise InputError(f"symbols = {symbols!r}: expected a list of at least one name, each once")
    for name in symbols:
        if not re.fullmatch("[A-Z]{1,6}", name) or name in cash_settled.ROOTS:
            raise InputError(
                f"symbols: {name!r} cannot be a demo underlying: expected 1 to 6 capital letters, no index"
            )


def _days(start: dt.date, end: dt.date) -> _Days:
    """The exchange's sessions, with enough later ones to hold every expiration that is listed by
    the end.
    """
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
    """The path of a name under its character."""
    other = int(source(name)[0]) % len(CHARACTERS)
    character = CHARACTERS.get(name, list(CHARACTERS.values())[other])
    n, minutes = days.count, days.minutes[: days.count]
    last, entry = minutes // STEP_MINUTES, (minutes - ENTRY_MINUTES) // STEP_MINUTES
    columns = FULL_DAY_MINUTES // STEP_MINUTES + 1
    spot, volatility = character.walk.prices(source(seed, name, "path"), last, columns)
    moments = np.stack(
        [np.zeros(n, dtype=np.int64), spot.argmin(axis=1), spot.argmax(axis=1), entry, last], axis=1
    )
    retreats = uniform(scatter(source(seed, name, "spread"), days.day[:n]))
    stress = np.maximum(volatility / character.walk.volatility, 0.8)
    return _Underlying(
        seed=seed,
        name=name,
        character=character,
        days=days,
        spot=spot,
        entry=entry,
        moments=np.sort(moments, axis=1),
        implied=character.implied(volatility),
        stress=np.where(retreats < character.retreat, 3.0, 1.0) * stress,
    )


def _tables(under: _Underlying, first: int, last: int) -> dict[str, pl.DataFrame]:
    """The three tables of one underlying, of the sessions at first..last-1."""
    chain = _chain(under, first, last)
    quotes, mids = _quotes(under, chain)
    return {
        "option_quotes": quotes,
        "option_bars": _option_bars(under, chain, mids),
        "underlying_bars": _underlying_bars(under, first, last),
    }


def _listed(under: _Underlying, position: int) -> tuple[Ints, Ints, Ints]:
    """Session, expiration and strike of one expiration's days.

    A strike once listed stays listed until it expires.
    """
    days, expiration = under.days, under.days.day[position]
    session = np.arange(
        np.searchsorted(days.day, expiration - LISTED_DAYS), min(position + 1, days.count)
    )
    # What is listed in the morning follows the last close and the volatility known then.
    before = np.maximum(session - 1, 0)
    spot_cents = 100.0 * under.spot[before, np.where(session > 0, -1, 0)]
    deviation = under.implied[before] * np.sqrt((expiration - days.day[session] + 1) / 365.0)
    step = under.character.strike_step_cents
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
    """Every contract-day of the sessions.

    Listed, priced at the moments, quoted in the entry minute.
    """
    days = under.days
    listed = days.day[days.expirations] - LISTED_DAYS <= days.day[last - 1]
    live = days.expirations[listed & (days.expirations >= first)]
    parts = [_listed(under, int(position)) for position in live]
    session, expiration, strike = (np.concatenate([part[i] for part in parts]) for i in range(3))
    wanted = (session >= first) & (session < last)
    session, expiration, strike = session[wanted], expiration[wanted], strike[wanted]
    call, put, moneyness = _theory(under, session, expiration, strike)
    is_call = np.repeat([1, 0], len(session))
    pair = np.tile(np.arange(len(session)), 2)
    order = np.lexsort((strike[pair], 1 - is_call, expiration[pair], session[pair]))
    pair, is_call = pair[order], is_call[order]
    session, expiration, strike = session[pair], expiration[pair], strike[pair]
    worth = np.where(is_call[:, None] == 1, call[pair], put[pair])
    at_entry = np.argmax(under.moments == under.entry[:, None], axis=1)[session]
    row = np.arange(len(pair))
    value, distance = worth[row, at_entry], np.abs(moneyness[pair, at_entry])
    time_value = np.minimum(call[pair, at_entry], put[pair, at_entry])
    contract = (expiration << 32) + (strike << 1) + is_call
    root = scatter(scatter(under.chance("contracts"), contract), days.day[session])
    half = _half_spread(under, root, value, time_value, distance, under.stress[session])
    # Few trade what is in the money: that is why a stop may go unseen until the shares are put to
    # the seller.
    inside = np.where(value > time_value, 0.25 / (1.0 + 2.0 * distance), 1.0)
    return _Chain(
        session=session,
        expiration=expiration,
        strike_cents=strike,
        is_call=is_call,
        worth=worth,
        half_spread=half,
        activity=under.character.activity / (1.0 + 0.3 * distance * distance) * inside,
        bid=np.maximum(under.on_tick(value - half, -1), 0.0),
        ask=under.on_tick(value + half, 1),
        symbol=_symbols(under.name, contract),
        root=root,
    )


def _theory(
    under: _Underlying, session: Ints, expiration: Ints, strike: Ints
) -> tuple[Floats, Floats, Floats]:
    """Call and put in cents, and moneyness in standard deviations, each (rows, 5), under a skewed
    smile.
    """
    days, moments = under.days, under.moments[session]
    spot = under.spot[session[:, None], moments]
    close = days.minutes[np.searchsorted(days.day, expiration)]
    minutes = ((expiration - days.day[session]) * 1440 + close)[:, None] - moments * STEP_MINUTES
    years = np.maximum(minutes, 5) / MINUTES_PER_YEAR
    discounted = (strike / 100.0)[:, None] * exp(-RATE * years)
    # Far expirations expect volatility to return to its mean; within the session it rises as the
    # price falls.
    usual = under.character.usual_volatility()
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
    root: Words,
    value: Floats,
    time_value: Floats,
    distance: Floats,
    stress: Floats,
) -> Floats:
    """Half of bid to ask, in cents.

    A share of the time value that grows in the wings, and more of all in stress.
    """
    luck = 0.6 + 0.8 * uniform(scatter(root, 1))
    share = 0.5 * under.character.spread * luck * (1.0 + 0.3 * np.maximum(distance - 1.0, 0.0))
    return stress * (share * time_value + 100.0 * under.character.spread_floor) + 0.002 * (
        value - time_value
    )


def _symbols(name: str, contract: Ints) -> pl.Series:
    """The OSI symbol of each contract-day."""
    unique, number = np.unique(contract, return_inverse=True)
    dates = (unique >> 32).astype("M8[D]").astype(str).tolist()
    texts = [
        f"{name:<6}{date[2:4]}{date[5:7]}{date[8:]}{'PC'[code & 1]}{(code % (1 << 32) >> 1) * 10:08d}"
        for date, code in zip(dates, unique.tolist(), strict=True)
    ]
    return pl.Series("symbol", texts).gather(number)


def _quotes(under: _Underlying, chain: _Chain) -> tuple[pl.DataFrame, tuple[Floats, Floats]]:
    """The quotes, and the lowest and highest mid (dollars) that each contract-day shows in the
    entry minute.

    Each contract has one late in the entry minute; some have another early in it, in the minute
    before or after, which stands a tick wider on one side. After some monthly expirations the feed
    fails for a session and shows none.
    """
    days, luck, again = under.days, chain.luck(2), chain.luck(4)
    wide_bid = np.where(
        luck < 0.5, np.maximum(chain.bid - under.tick(chain.bid - 0.5), 0.0), chain.bid
    )
    wide_ask = np.where(luck < 0.5, chain.ask, chain.ask + under.tick(chain.ask))
    failed = (under.daily("outage") < under.character.outage) & np.isin(
        np.arange(days.count), days.after_monthly
    )
    shown = ~failed[chain.session]
    rows, seconds = [np.flatnonzero(shown)], [40.0 + 20.0 * chain.luck(3)[shown]]
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
    """Quotes of rows of the chain, seconds after the entry minute opens.

    A third of the zero bids is no side at all.
    """
    session = chain.session[row]
    minute = (
        under.days.open_nanos[session]
        + (under.days.minutes[session] - ENTRY_MINUTES) * NANOS_PER_MINUTE
    )
    no_side = (bid == 0.0) & (chain.luck(5)[row] < 0.35)
    columns = {
        "underlying": pl.repeat(under.name, len(row), eager=True),
        "session": under.days.day[session].astype("M8[D]"),
        "ts": pl.Series(minute + np.floor(second * 1e6).astype(np.int64) * 1000),
        "symbol": chain.symbol.gather(row),
        "expiration": chain.expiration[row].astype("M8[D]"),
        "strike": chain.strike_cents[row] / 100.0,
        "option_type": pl.Series(["P", "C"]).gather(chain.is_call[row]),
        "bid": pl.Series(np.where(no_side, np.nan, bid / 100.0), nan_to_null=True),
        "ask": ask / 100.0,
        "underlying_price": under.spot[session, under.entry[session]],
    }
    return pl.DataFrame(columns, schema=schemas.OPTION_QUOTES, strict=False)


def _option_bars(under: _Underlying, chain: _Chain, mids: tuple[Floats, Floats]) -> pl.DataFrame:
    """Daily bars of the trades, which happen at some of the moments.

    A contract without a trade has no bar.

    Low and high are stretched to the ticks around the mids of the entry minute's quotes: someone
    dealt inside those, at a tick or more.
    """
    lanes, root = np.arange(5), chain.root[:, None]
    trades = uniform(scatter(root, 16 + lanes)) < chain.activity[:, None]
    row = np.flatnonzero(trades.any(axis=1))
    trades, root = trades[row], root[row]
    side = np.where(uniform(scatter(root, 32 + lanes)) < 0.5, -0.7, 0.7)
    deal = under.on_tick(chain.worth[row] + side * chain.half_spread[row, None], 0)
    deal = np.maximum(deal, float(under.character.low_tick_cents))
    first, last = np.argmax(trades, axis=1), 4 - np.argmax(trades[:, ::-1], axis=1)
    low, high = _around(under, mids[0][row], mids[1][row])
    low = np.maximum(
        low, float(under.character.low_tick_cents)
    )  # beside a bid of 0 nobody dealt under a tick
    low = np.minimum(np.where(trades, deal, np.inf).min(axis=1), low)
    high = np.maximum(np.where(trades, deal, -np.inf).max(axis=1), high)
    size = np.minimum(
        1.0 / chain.luck(6)[row], 500.0
    )  # heavy-tailed: a few trades carry most of the volume
    volume = np.floor(size * (1.0 + 20.0 * under.character.activity)).astype(np.int64) * trades.sum(
        axis=1
    )
    columns = {
        "symbol": chain.symbol.gather(row),
        "session": under.days.day[chain.session[row]].astype("M8[D]"),
        "open": deal[np.arange(len(row)), first] / 100.0,
        "high": high / 100.0,
        "low": low / 100.0,
        "close": deal[np.arange(len(row)), last] / 100.0,
        "volume": volume,
    }
    return pl.DataFrame(columns, schema=schemas.OPTION_BARS)


def _around(under: _Underlying, lowest: Floats, highest: Floats) -> tuple[Floats, Floats]:
    """The ticks (cents) that hold two mids (dollars), also where a mid's last bit stands beside the
    tick that it means.
    """
    low, high = under.on_tick(lowest * 100.0, -1), under.on_tick(highest * 100.0, 1)
    low = np.where(low / 100.0 > lowest, low - under.tick(low - 0.5), low)
    return low, np.where(high / 100.0 < highest, high + under.tick(high), high)


def _underlying_bars(under: _Underlying, first: int, last: int) -> pl.DataFrame:
    """The bars of the regular sessions; of a thinly covered underlying some are missing."""
    kept = first + np.flatnonzero(under.daily("bars")[first:last] >= under.character.missing)
    spot = under.spot[kept]
    columns = {
        "underlying": pl.repeat(under.name, len(kept), eager=True),
        "session": under.days.day[kept].astype("M8[D]"),
        "open": spot[:, 0],
        "high": spot.max(axis=1),
        "low": spot.min(axis=1),
        "close": spot[:, -1],
        "volume": np.floor(
            (1.0 + under.daily("volume")[kept]) * under.character.activity * 5e6
        ).astype(np.int64),
    }
    return pl.DataFrame(columns, schema=schemas.UNDERLYING_BARS)
