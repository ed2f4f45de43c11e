"""The wheel backtest as one plain scalar program, written from the rules text (the sections cited
are its sections).

`run` takes the market's tables and a nested configuration and returns the records, the summary, the
cash ledger and the diagnostics of the entry sessions.  Nothing here is fast or clever on purpose:
row objects, loops and small functions.
"""

from __future__ import annotations

import bisect
import datetime as dt
import math
import re
import statistics
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import polars as pl

from . import pricer

Config = dict[str, Any]
Record = dict[str, Any]

# Section "Scope": index roots are cash settled.
INDEX_ROOTS = frozenset(
    [
        "SPX",
        "SPXW",
        "XSP",
        "NDX",
        "NDXP",
        "RUT",
        "RUTW",
        "MRUT",
        "VIX",
        "VIXW",
        "DJX",
        "OEX",
        "XEO",
        "XND",
    ]
)

# Every configuration field with its default (sections 1 to 8).
DEFAULTS: Config = {
    "rules": "ledger",
    "schedule": {
        "start_date": None,
        "end_date": None,
        "symbols": None,
        "trading_calendar": "NYSE",
        "entry_time": "15:45",
        "every": 1,
        "offset": 0,
        "weekdays": None,
        "allow_multiple_wheels_per_symbol": True,
        "max_wheels_per_symbol_per_day": None,
    },
    "put": {
        "option_type": "P",
        "dte_min": 30,
        "dte_max": 45,
        "delta_min": 0.25,
        "delta_max": 0.35,
        "exit_pct": 0.50,
        "stop_loss_multiplier": 2.0,
        "max_hold_dte": None,
        "otm_min": None,
        "otm_max": None,
        "select": "all",
        "dte_target": None,
        "delta_target": None,
        "otm_target": None,
        "premium_target": None,
    },
    "call": {
        "dte_min": 14,
        "dte_max": 30,
        "delta_min": 0.25,
        "delta_max": 0.35,
        "strike_min_pct_above_basis": 0.0,
        "sell_call_only_if_price_above_basis": True,
        "otm_min": None,
        "otm_max": None,
        "tie_break_method": "highest_premium",
        "otm_target": None,
        "premium_target": None,
        "exit_pct": None,
        "stop_loss_multiplier": None,
        "max_hold_dte": None,
        "max_cycles": 1,
        "call_wait_sessions": 0,
    },
    "liquidity": {
        "base_max_spread_pct": 0.08,
        "ivp_high_max_spread_pct": 0.12,
        "ivp_high_threshold": 0.70,
        "ivp_extreme_max_spread_pct": 0.15,
        "ivp_extreme_threshold": 0.90,
        "short_dte_extra_spread_pct": 0.02,
        "short_dte_threshold": 7,
        "hard_max_spread_pct": 0.20,
        "min_bid_hard": 0.10,
        "ivp_min_candidates": 1,
        "ivp_over": "candidates",
    },
    "fills": {
        "fill_mode": "realistic",
        "exit_model": None,
        "tick": None,
        "gap_path": "skip",
        "use_probabilistic_exit_fills": True,
        "execution_seed": 42,
        "pfill_tight": 0.90,
        "pfill_normal": 0.70,
        "pfill_wide": 0.40,
        "pfill_scale": 0.6,
        "pfill_ivp_extreme_mult": 0.70,
        "pfill_ivp_high_mult": 0.85,
        "pfill_min": 0.05,
        "pfill_max": 0.98,
        "tight_spread_pct": 0.05,
        "normal_spread_pct": 0.10,
    },
    "costs": {
        "commission_per_contract": 0.65,
        "commission_base": 0.0,
        "commission_minimum": 0.0,
        "sec_fee_per_contract": 0.01,
        "assignment_fee": 0.0,
    },
    "pricing": {"rate": 0.04, "dividend_yield": 0.0},
}

# The columns of section 10, in the order of its table (execution_version left out).
COLUMNS = (
    "wheel_id",
    "underlying",
    "put_symbol",
    "initial_capital",
    "entry_date",
    "phase",
    "state",
    "cycle",
    "symbol",
    "strike",
    "expiration",
    "premium",
    "fees",
    "contracts",
    "factor",
    "exit_symbol",
    "exit_date",
    "pnl",
    "exit_price",
    "exit_reason",
    "exit_pct",
    "days_held",
    "roc",
    "cost_basis",
    "touch_count",
    "touch_profit_target",
    "filled_profit_target",
    "p_fill_profit_target",
    "u_fill_profit_target",
    "spread_pct_entry",
    "ivp_entry",
    "iv_entry",
    "delta_entry",
    "dte_entry",
    "liquidity_tier",
    "liquidity_penalty",
    "sessions_without_bar",
    "underlying_at_expiration",
    "csp_pnl",
    "cc_pnl",
    "stock_pnl",
    "pnl_marked",
    "wheel_roc",
    "roc_annualized",
    "total_days",
    "calendar_days",
    "shares_held",
    "csp_exit_reason",
    "cc_exit_reason",
    "end_reason",
    "censored",
)

# Section 9: the state of a leg after its exit reason; an unresolved leg stays open.
PUT_STATES = {
    "profit_target": "CSP_CLOSED_PROFIT",
    "stop_loss": "CSP_CLOSED_STOP",
    "max_hold_dte": "CSP_CLOSED_DTE",
    "assigned": "CSP_ASSIGNED",
    "expired_worthless": "CSP_CLOSED_WORTHLESS",
    "open": "CSP_OPEN",
    "no_data": "CSP_OPEN",
}
CALL_STATES = {
    "profit_target": "CC_CLOSED_PROFIT",
    "stop_loss": "CC_CLOSED_STOP",
    "max_hold_dte": "CC_CLOSED_DTE",
    "called_away": "CC_ASSIGNED",
    "expired_worthless": "CC_CLOSED_WORTHLESS",
    "open": "CC_OPEN",
    "no_data": "CC_OPEN",
}
UNRESOLVED = ("open", "no_data")
BOUGHT_BACK = ("profit_target", "stop_loss", "max_hold_dte")
DELIVERED = ("assigned", "called_away")

ROUNDING = 1e-9  # section 4: within it an exit lies at its level

# Section 4: f of each fill mode.
FILL_FRACTION = {"optimistic": 0.0, "realistic": 0.30, "pessimistic": 0.75, "natural": 0.30}


# ---------------------------------------------------------------------------------------------------------------------
# Configuration
# ---------------------------------------------------------------------------------------------------------------------
def complete_config(config: Config) -> Config:
    """The configuration with every missing field at its default; an unknown field is an error."""
    full: Config = {}
    for group in config:
        if group not in DEFAULTS:
            raise ValueError(f"unknown group {group!r}")
    for group, defaults in DEFAULTS.items():
        if not isinstance(defaults, dict):
            full[group] = config.get(group, defaults)
            continue
        given = dict(config.get(group) or {})
        if group == "call" and "select" in given:  # section 7: `select` is the same field
            given["tie_break_method"] = given.pop("select")
        for name in given:
            if name not in defaults:
                raise ValueError(f"unknown field {group}.{name}")
        full[group] = {**defaults, **given}
    if full["rules"] not in ("ledger", "v5"):
        raise ValueError(f"rules {full['rules']!r}")
    if full["fills"]["fill_mode"] not in FILL_FRACTION:
        raise ValueError(
            f"fill_mode {full['fills']['fill_mode']!r}: one of {sorted(FILL_FRACTION)}"
        )
    if full["fills"]["exit_model"] is None:  # sections 4 and 11
        full["fills"]["exit_model"] = "close_range" if full["rules"] == "v5" else "trigger"
    if full["fills"]["tick"] is None:
        full["fills"]["tick"] = 0.0 if full["rules"] == "v5" else 0.01
    # units: how far a limit counts as met; section 11: under v5 doubles are compared as they are
    full["slack"] = 0.0 if full["rules"] == "v5" else 1e-9
    return full


def as_date(value: Any) -> dt.date:
    """A date from a date, a datetime or ISO text."""
    if isinstance(value, dt.datetime):
        return value.date()
    return value if isinstance(value, dt.date) else dt.date.fromisoformat(value)


def by_session(value: Any, session: dt.date) -> float | None:
    """Section 2: a number, or of (session, value) pairs the last on or before the session (None:
    there is none).
    """
    if isinstance(value, int | float):
        return float(value)
    latest = None
    for day, number in value:
        day = as_date(day)
        if day <= session and (latest is None or day >= latest[0]):
            latest = (day, float(number))
    return None if latest is None else latest[1]


# ---------------------------------------------------------------------------------------------------------------------
# Calendar
# ---------------------------------------------------------------------------------------------------------------------
class Calendar:
    """The sessions of an exchange as plain dates, and the moment each closes."""

    def __init__(self, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the calendar's own dependencies
            self._calendar = exchange_calendars.get_calendar(
                name, start="2005-01-01", end="2034-12-31"
            )
            closes = self._calendar.closes.dt.tz_convert("UTC")
        self.sessions: list[dt.date] = [stamp.date() for stamp in self._calendar.sessions]
        self.index: dict[dt.date, int] = {day: number for number, day in enumerate(self.sessions)}
        self.zone = ZoneInfo(str(self._calendar.tz))
        self._closes = [int(stamp.timestamp()) * 10**9 for stamp in closes]
        local = [dt.datetime.fromtimestamp(close // 10**9, tz=self.zone) for close in self._closes]
        self.regular_close_minute = statistics.mode(
            60 * moment.hour + moment.minute for moment in local
        )

    def is_session(self, day: dt.date) -> bool:
        """Whether the exchange is open on that day."""
        return day in self.index

    def on_or_before(self, day: dt.date) -> dt.date:
        """The last session on or before the day: the settlement session of an expiration (section
        6).
        """
        return self.sessions[bisect.bisect_right(self.sessions, day) - 1]

    def after(self, day: dt.date) -> dt.date:
        """The first session after the day."""
        return self.sessions[bisect.bisect_right(self.sessions, day)]

    def between(self, after: dt.date, through: dt.date) -> list[dt.date]:
        """The sessions strictly after one day and through another."""
        return self.sessions[
            bisect.bisect_right(self.sessions, after) : bisect.bisect_right(self.sessions, through)
        ]

    def close_ns(self, session: dt.date) -> int:
        """The close of the session in nanoseconds since 1970 UTC."""
        return self._closes[self.index[session]]


@cache
def calendar_of(name: str) -> Calendar:
    """One calendar per name."""
    return Calendar(name)


MINUTE_NS = 60 * 10**9


def entry_minute(calendar: Calendar, session: dt.date, entry_time: str) -> tuple[int, int] | None:
    """Section 2: the minute at entry as [start, end) in nanoseconds UTC; None where a clock time
    finds no quotes.
    """
    from_close = re.fullmatch(r"close-(\d+)min", entry_time)
    if from_close:
        start = calendar.close_ns(session) - int(from_close.group(1)) * MINUTE_NS
        return start, start + MINUTE_NS
    clock = dt.time.fromisoformat(entry_time)
    moment = dt.datetime.combine(session, clock, tzinfo=calendar.zone)
    start = int(moment.timestamp()) * 10**9
    if start >= calendar.close_ns(
        session
    ):  # an early close: as long before it as the clock lies before the regular one
        before = calendar.regular_close_minute - 60 * clock.hour - clock.minute
        if before <= 0:
            return None
        start = calendar.close_ns(session) - before * MINUTE_NS
    return start, start + MINUTE_NS


# ---------------------------------------------------------------------------------------------------------------------
# The market
# ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Quote:
    """The valid quote of one contract at entry time (section 2)."""

    underlying: str
    session: dt.date
    symbol: str
    expiration: dt.date
    strike: float
    kind: str
    bid: float
    ask: float
    underlying_price: float
    solved: bool = False  # whether iv and delta have been computed
    iv: float | None = None
    delta: float | None = None

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2

    @property
    def spread_pct(self) -> float:
        return (self.ask - self.bid) / self.mid

    @property
    def dte(self) -> int:
        return (self.expiration - self.session).days

    @property
    def otm(self) -> float:
        """Section 3: out of the money by this share of the underlying's price."""
        distance = (
            self.underlying_price - self.strike
            if self.kind == "P"
            else self.strike - self.underlying_price
        )
        return distance / self.underlying_price

    @property
    def order(self) -> tuple[dt.date, float, str]:
        """Section 3, candidate order."""
        return self.expiration, self.strike, self.symbol


@dataclass
class Bar:
    """What a leg meets on one session: a daily bar, or a quote that stands for it."""

    open: float
    high: float
    low: float
    close: float
    quote: Quote | None = None


@dataclass
class Chain:
    """All valid quotes of an underlying at one session's entry time."""

    quotes: list[Quote] = field(default_factory=list)  # in candidate order
    by_symbol: dict[str, Quote] = field(default_factory=dict)
    n_quotes: int = 0  # contracts with any row of the minute
    lacking_price: int = 0  # rows of the minute dropped for want of an underlying price alone


def number(value: Any) -> float | None:
    """A finite float, or None for a null, a NaN or an infinity."""
    if value is None:
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def fault_of_quote(row: Record) -> str | None:
    """Section 2: why a quote is invalid, or None.  (The two faults of its day are looked at where
    it is indexed.)
    """
    bid, ask = number(row["bid"]), number(row["ask"])
    if bid is None or ask is None:
        return "missing_side"
    if bid < 0:
        return "negative_bid"
    if bid > ask:
        return "crossed"
    if bid + ask == 0:
        return "no_price"
    price = number(row["underlying_price"])
    if price is None or price <= 0:
        return "no_underlying_price"
    if ask > (row["strike"] if row["option_type"] == "P" else price):
        return "ask_over_worth"
    return None


def sound_prices(row: Record) -> bool:
    """data.md: a bar whose prices are there and above 0, with high >= low and open and close within
    them.
    """
    o, h, low, c = (number(row[name]) for name in ("open", "high", "low", "close"))
    return (
        None not in (o, h, low, c)
        and min(o, h, low, c) > 0
        and low <= h
        and low <= o <= h
        and low <= c <= h
    )


def possible_option_bar(row: Record, highs: dict[tuple[str, dt.date], float]) -> bool:
    """data.md: a bar in which somebody traded, of a contract that had not expired, at prices that
    it can be worth.
    """
    try:
        root, expiration, kind, thousandths = parse_symbol(row["symbol"])
    except ValueError:
        return False
    if row.get("volume") == 0 or row["session"] > expiration:
        return False
    most = thousandths / 1000 if kind == "P" else highs.get((root, row["session"]), math.inf)
    high = number(row["high"])
    return high is None or high <= most


def usable_bars(rows: list[Record], key: str, calendar: Calendar) -> dict[str, dict[dt.date, Bar]]:
    """data.md: broken rows and non-sessions set aside; rows whose prices agree are one, those that
    disagree are set aside.
    """
    kept: dict[tuple[str, dt.date], Bar | None] = {}
    for row in rows:
        if not calendar.is_session(row["session"]) or not sound_prices(row):
            continue
        found = Bar(row["open"], row["high"], row["low"], row["close"])
        place = (row[key], row["session"])
        kept[place] = found if kept.get(place, found) == found else None
    bars: dict[str, dict[dt.date, Bar]] = defaultdict(dict)
    for (name, session), one in kept.items():
        if one is not None:
            bars[name][session] = one
    return bars


class Market:
    """The tables (data.md), indexed by underlying, contract and session."""

    def __init__(self, tables: dict[str, pl.DataFrame | None], config: Config) -> None:
        self.config = config
        self.calendar = calendar_of(config["schedule"]["trading_calendar"])
        self.dropped: dict[str, int] = defaultdict(int)
        self._index_quotes(tables["option_quotes"])
        bars = tables.get("option_bars")
        self.has_bars = bars is not None
        self.underlying_bars = usable_bars(
            tables["underlying_bars"].to_dicts(), "underlying", self.calendar
        )
        highs = {
            (name, day): bar.high
            for name, days in self.underlying_bars.items()
            for day, bar in days.items()
        }
        traded = (
            [row for row in bars.to_dicts() if possible_option_bar(row, highs)]
            if bars is not None
            else []
        )
        self.option_bars = usable_bars(traded, "symbol", self.calendar)
        self.dividends: dict[str, list[tuple[dt.date, float]]] = defaultdict(list)
        if tables.get("dividends") is not None:
            for row in (
                tables["dividends"].unique(maintain_order=True).to_dicts()
            ):  # data.md: equal rows are one
                self.dividends[row["underlying"]].append((row["ex_date"], row["amount"]))
        roots = {parse_symbol(symbol)[0] for symbol in self.option_bars}
        # section 4: the underlyings of which the market holds any option bar
        self.barred = {row for row in self.underlyings if roots & self._roots[row]}
        self._chains: dict[tuple[str, dt.date], Chain] = {}
        self._populations: dict[tuple[str, dt.date, str], list[float]] = {}

    # -- quotes
    # ------------------------------------------------------------------------------------------------------
    def _index_quotes(self, frame: pl.DataFrame) -> None:
        """Set aside what is no physically delivered contract, and file the rows by underlying and
        session.
        """
        self.has_ts = "ts" in frame.columns
        if self.has_ts:
            frame = frame.with_columns(pl.col("ts").dt.timestamp("ns"))
        self.underlyings: set[str] = set()
        self._roots: dict[str, set[str]] = defaultdict(set)
        self._rows: dict[tuple[str, dt.date], list[Record]] = defaultdict(list)
        self._sessions_of: dict[str, set[dt.date]] = defaultdict(set)
        for row in frame.to_dicts():
            self.underlyings.add(row["underlying"])
            fault = self._file(row)
            if fault:
                self.dropped[fault] += 1

    def _file(self, row: Record) -> str | None:
        """File one row, or say why it is set aside."""
        given = {name: row[name] for name in ("expiration", "strike", "option_type") if name in row}
        try:
            root, row["expiration"], row["option_type"], thousandths = parse_symbol(row["symbol"])
        except ValueError:
            return "bad_symbol"
        if root in INDEX_ROOTS:
            return "cash_settled"
        if root[-1].isdigit():
            return "adjusted"
        row["strike"] = thousandths / 1000
        if any(given[name] is not None and given[name] != row[name] for name in given):
            return "mismatch"  # data.md: checked against the symbol when present
        if row["session"] > row["expiration"]:
            return "after_expiration"
        if not self.calendar.is_session(row["session"]):
            return "no_session"
        if self.has_ts and (row["ts"] is None or self._local_date(row["ts"]) != row["session"]):
            return "wrong_date"
        self._roots[row["underlying"]].add(root)
        self._rows[row["underlying"], row["session"]].append(row)
        self._sessions_of[row["symbol"]].add(row["session"])
        return None

    def _local_date(self, ts: int) -> dt.date:
        return dt.datetime.fromtimestamp(ts // 10**9, tz=self.calendar.zone).date()

    def quoted(self) -> list[tuple[str, dt.date]]:
        """The underlyings and sessions with rows of contracts that are not set aside."""
        return list(self._rows)

    def chain(self, underlying: str, session: dt.date) -> Chain:
        """Section 2: per contract the last valid quote of the entry minute, of equal `ts` the later
        row.
        """
        key = (underlying, session)
        if key not in self._chains:
            self._chains[key] = self._read_chain(underlying, session)
        return self._chains[key]

    def _read_chain(self, underlying: str, session: dt.date) -> Chain:
        chain = Chain()
        if not self.calendar.is_session(session):
            return chain
        window = None
        if self.has_ts:
            window = entry_minute(self.calendar, session, self.config["schedule"]["entry_time"])
            if window is None:
                return chain
        latest: dict[str, Record] = {}
        seen = set()
        for row in self._rows.get((underlying, session), ()):
            if window is not None and not window[0] <= row["ts"] < window[1]:
                continue
            seen.add(row["symbol"])
            fault = fault_of_quote(row)
            if fault:
                self.dropped[fault] += 1
                chain.lacking_price += fault == "no_underlying_price"
                continue
            known = latest.get(row["symbol"])
            if known is None or window is None or row["ts"] >= known["ts"]:
                latest[row["symbol"]] = row
        chain.n_quotes = len(seen)
        for row in latest.values():
            quote = Quote(
                underlying=underlying,
                session=session,
                symbol=row["symbol"],
                expiration=row["expiration"],
                strike=row["strike"],
                kind=row["option_type"],
                bid=float(row["bid"]),
                ask=float(row["ask"]),
                underlying_price=float(row["underlying_price"]),
            )
            chain.by_symbol[quote.symbol] = quote
        chain.quotes = sorted(chain.by_symbol.values(), key=lambda quote: quote.order)
        return chain

    def solve(self, quote: Quote) -> None:
        """Section 2: implied volatility of the mid and absolute delta; both None where there is no
        volatility.
        """
        if quote.solved:
            return
        quote.solved = True
        rate = by_session(self.config["pricing"]["rate"], quote.session)
        dividend_yield = by_session(self.config["pricing"]["dividend_yield"], quote.session)
        if rate is None or dividend_yield is None:
            return
        years, is_call = quote.dte / 365, quote.kind == "C"
        inputs = (quote.underlying_price, quote.strike, years, rate)
        quote.iv = pricer.implied_vol(quote.mid, *inputs, is_call, dividend_yield)
        if quote.iv is not None:
            quote.delta = pricer.absolute_delta(*inputs, quote.iv, is_call, dividend_yield)

    def solved_vols(self, underlying: str, session: dt.date, kind: str) -> list[float]:
        """Section 3, ivp_over="chain": the volatilities of all solved contracts of one type,
        sorted.
        """
        key = (underlying, session, kind)
        if key not in self._populations:
            vols = []
            for quote in self.chain(underlying, session).quotes:
                if quote.kind == kind:
                    self.solve(quote)
                    if quote.iv is not None:
                        vols.append(quote.iv)
            self._populations[key] = sorted(vols)
        return self._populations[key]

    # -- bars
    # --------------------------------------------------------------------------------------------------------
    def bar(self, quote: Quote, session: dt.date) -> Bar | None:
        """Section 6: the contract's bar, or the quote that stands for it; None for a session
        without a bar.
        """
        if self.has_bars and quote.underlying in self.barred:
            bar = self.option_bars.get(quote.symbol, {}).get(session)
            if bar is not None or self.config["fills"]["gap_path"] != "quote":
                return bar
        stand_in = self.chain(quote.underlying, session).by_symbol.get(quote.symbol)
        if stand_in is None:
            return None
        mid = stand_in.mid
        return Bar(mid, mid, mid, mid, stand_in)

    def last_option_close(self, quote: Quote, through: dt.date) -> float | None:
        """Section 8: the close of the contract's last bar after its sale and on or before a day."""
        for session in reversed(self.calendar.between(quote.session, through)):
            bar = self.bar(quote, session)
            if bar is not None:
                return bar.close
        return None

    def last_close(self, underlying: str, through: dt.date) -> tuple[dt.date, float] | None:
        """The underlying's last close on or before a day."""
        days = [day for day in self.underlying_bars.get(underlying, {}) if day <= through]
        return (max(days), self.underlying_bars[underlying][max(days)].close) if days else None

    def close(self, underlying: str, session: dt.date) -> float | None:
        """The underlying's close of a session."""
        bar = self.underlying_bars.get(underlying, {}).get(session)
        return None if bar is None else bar.close

    def last_day(self, underlying: str) -> dt.date:
        """The session of the underlying's last bar in the data; where there is none at all, before
        everything.
        """
        return max(self.underlying_bars.get(underlying, {}), default=dt.date.min)

    def dividends_held(
        self, underlying: str, bought: dt.date, through: dt.date
    ) -> list[tuple[dt.date, float]]:
        """Section 8: (ex-date, dollars per 100 shares) of shares bought on one day and still held
        the night before.
        """
        return [
            (day, amount * 100)
            for day, amount in sorted(self.dividends[underlying])
            if bought < day <= through
        ]


parse_symbol = cache(pricer.parse_symbol)


# ---------------------------------------------------------------------------------------------------------------------
# Candidates (section 3)
# ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Candidate:
    """A contract in range, with its rank and its liquidity."""

    quote: Quote
    ivp: float = 0.5
    tier: str | None = None
    penalty: float | None = None


def in_range(market: Market, quotes: list[Quote], kind: str, rules: Config) -> list[Candidate]:
    """Type, dte and delta."""
    found = []
    for quote in quotes:
        if quote.kind != kind or not rules["dte_min"] <= quote.dte <= rules["dte_max"]:
            continue
        market.solve(quote)
        if quote.delta is None or not rules["delta_min"] <= quote.delta <= rules["delta_max"]:
            continue
        slack = market.config["slack"]
        if rules["otm_min"] is not None and quote.otm < rules["otm_min"] - slack:
            continue
        if rules["otm_max"] is not None and quote.otm > rules["otm_max"] + slack:
            continue
        found.append(Candidate(quote))
    return found


def percentile(value: float, population: list[float]) -> float:
    """Average-rank percentile in (0, 1] of a value among a sorted population that holds it."""
    first, last = bisect.bisect_left(population, value), bisect.bisect_right(population, value)
    average_rank = (first + 1 + last) / 2
    return average_rank / len(population)


def rank(market: Market, candidates: list[Candidate]) -> None:
    """ivp among the candidates, or among all solved contracts of the type; 0.5 with too few of
    them.
    """
    rules = market.config["liquidity"]
    for candidate in candidates:
        quote = candidate.quote
        if rules["ivp_over"] == "chain":
            population = market.solved_vols(quote.underlying, quote.session, quote.kind)
        else:
            population = sorted(other.quote.iv for other in candidates)
        enough = len(population) >= rules["ivp_min_candidates"]
        candidate.ivp = percentile(quote.iv, population) if enough else 0.5


def judge_liquidity(candidate: Candidate, config: Config) -> bool:
    """Tier and penalty; False where the candidate is rejected."""
    quote, rules, more = candidate.quote, config["liquidity"], 1 + config["slack"]
    if candidate.ivp >= rules["ivp_extreme_threshold"]:
        allowed = rules["ivp_extreme_max_spread_pct"]
    elif candidate.ivp >= rules["ivp_high_threshold"]:
        allowed = rules["ivp_high_max_spread_pct"]
    else:
        allowed = rules["base_max_spread_pct"]
    if quote.dte <= rules["short_dte_threshold"]:
        allowed += rules["short_dte_extra_spread_pct"]
    if quote.spread_pct > rules["hard_max_spread_pct"] * more:
        return False
    if quote.spread_pct <= 0.6 * allowed * more:
        candidate.tier, candidate.penalty = "tight", 1.00
    elif quote.spread_pct <= allowed * more:
        candidate.tier, candidate.penalty = "moderate", 1.15
    else:
        candidate.tier, candidate.penalty = "wide", 1.35
    if quote.bid < rules["min_bid_hard"] or quote.bid == 0:
        return False
    return (
        entry_price(quote, candidate.penalty, config["fills"]) > 0
    )  # section 4: nothing is sold for nothing


def best(candidates: list[Candidate], rules: Config, method: str, delta_target: float) -> Candidate:
    """The one that is best; of exact ties the first in candidate order."""
    measures = {
        "closest_delta": lambda quote: -abs(quote.delta - delta_target),
        "highest_premium": lambda quote: quote.mid,
        "highest_strike": lambda quote: quote.strike,
        "closest_otm": lambda quote: -abs(quote.otm - rules["otm_target"]),
        "closest_premium": lambda quote: -abs(quote.mid - rules["premium_target"]),
    }
    measure = measures[method]
    winner = candidates[0]
    for candidate in candidates[1:]:
        if measure(candidate.quote) > measure(winner.quote):
            winner = candidate
    return winner


def middle(rules: Config) -> float:
    """The middle of a delta range."""
    return (rules["delta_min"] + rules["delta_max"]) / 2


def choose_puts(passed: list[Candidate], rules: Config) -> list[Candidate]:
    """dte_target, then select (section 3)."""
    if not passed:
        return []
    if rules["dte_target"] is not None:
        nearest = min((abs(c.quote.dte - rules["dte_target"]), c.quote.dte) for c in passed)[1]
        passed = [c for c in passed if c.quote.dte == nearest]
    if rules["select"] == "all":
        return passed
    target = middle(rules) if rules["delta_target"] is None else rules["delta_target"]
    return [best(passed, rules, rules["select"], target)]


# ---------------------------------------------------------------------------------------------------------------------
# Prices (sections 4 and 5)
# ---------------------------------------------------------------------------------------------------------------------
def tick_down(price: float, tick: float) -> float:
    """Section 4: what is sold, and the target's level."""
    n = round(1 / tick) if tick else 0
    return math.floor(price * n + 1e-6) / n if n else price


def tick_up(price: float, tick: float) -> float:
    """Section 4: what is bought, and the stop's level."""
    n = round(1 / tick) if tick else 0
    return math.ceil(price * n - 1e-6) / n if n else price


def entry_price(quote: Quote, penalty: float, fills: Config) -> float:
    """What selling brings."""
    mode = fills["fill_mode"]
    if mode == "natural":
        return tick_down(quote.bid, fills["tick"])
    price = quote.mid - FILL_FRACTION[mode] * (quote.ask - quote.bid) * penalty
    return tick_down(min(max(price, quote.bid), quote.ask), fills["tick"])


def p_fill(spread_pct: float, ivp: float, config: Config) -> float:
    """Section 5: the chance that a touch of the target fills."""
    fills, liquidity, more = config["fills"], config["liquidity"], 1 + config["slack"]
    if spread_pct <= fills["tight_spread_pct"] * more:
        p = fills["pfill_tight"]
    elif spread_pct <= fills["normal_spread_pct"] * more:
        p = fills["pfill_normal"]
    else:
        p = fills["pfill_wide"]
    p *= fills["pfill_scale"]
    if ivp >= liquidity["ivp_extreme_threshold"]:
        p *= fills["pfill_ivp_extreme_mult"]
    elif ivp >= liquidity["ivp_high_threshold"]:
        p *= fills["pfill_ivp_high_mult"]
    return min(max(p, fills["pfill_min"]), fills["pfill_max"])


def order_fee(costs: Config) -> float:
    """Section 4: what an order of one contract costs."""
    commission = max(
        costs["commission_minimum"], costs["commission_base"] + costs["commission_per_contract"]
    )
    return commission + costs["sec_fee_per_contract"]


@dataclass
class Leg:
    """One option sold: what it was at entry and what became of it."""

    phase: int  # 0 the put, n the n-th covered call
    quote: Quote
    ivp: float
    tier: str
    penalty: float
    price: float  # per share
    exit_pct: float
    stop_multiplier: float | None
    max_hold_dte: int | None
    p_fill: float
    settlement: dt.date
    tick: float
    touch_count: int = 0
    u_fill: float | None = None
    exit_reason: str | None = None
    exit_date: dt.date | None = None
    exit_price: float | None = None  # per share
    sessions_without_bar: int | None = 0
    underlying_at_expiration: float | None = None

    @property
    def premium(self) -> float:
        return self.price * 100

    @property
    def target_price(self) -> float:
        return tick_down(self.price * self.exit_pct, self.tick)

    @property
    def stop_price(self) -> float | None:
        return (
            None
            if self.stop_multiplier is None
            else tick_up(self.price * self.stop_multiplier, self.tick)
        )

    @property
    def resolved(self) -> bool:
        return self.exit_reason not in UNRESOLVED

    @property
    def days_held(self) -> int | None:
        return (self.exit_date - self.quote.session).days if self.resolved else None

    def fees(self, costs: Config) -> float:
        """Section 4: one order, or two where the leg was bought back; a delivery of shares costs a
        fee of its own.
        """
        one = order_fee(costs)
        if self.exit_reason in BOUGHT_BACK:
            return 2 * one
        return one + costs["assignment_fee"] if self.exit_reason in DELIVERED else one

    def pnl(self, costs: Config) -> float | None:
        """Section 8."""
        return self.premium - self.exit_price * 100 - self.fees(costs) if self.resolved else None


def at_the_market(leg: Leg, bar: Bar, mode: str) -> float:
    """Section 4: buying back at the market on a bar, or on the quote that stands for it."""
    f = FILL_FRACTION[mode]
    if bar.quote is not None:
        quote = bar.quote
        if mode == "optimistic":
            return quote.mid
        if mode == "natural":
            return quote.ask
        return min(quote.ask, quote.mid + f * (quote.ask - quote.bid) * leg.penalty)
    if mode == "natural":
        return bar.close * (1 + leg.quote.spread_pct / 2)
    spread = (bar.high - bar.low) * leg.penalty
    if mode == "optimistic":
        return max(bar.low, bar.close - 0.25 * spread)
    return min(bar.high, bar.close + f * spread)


def stop_fill(leg: Leg, bar: Bar, fills: Config) -> float:
    """Section 4: the price of a stop."""
    if fills["exit_model"] == "close_range" or bar.quote is not None:
        return at_the_market(leg, bar, fills["fill_mode"])
    f = FILL_FRACTION[fills["fill_mode"]]
    return min(bar.high, max(bar.open, leg.stop_price) + f * ((bar.high - bar.low) * leg.penalty))


def target_fill(leg: Leg, bar: Bar, fills: Config) -> float:
    """Section 4: the price of a profit target; a first touch at the open if that is better."""
    if fills["exit_model"] == "close_range" or bar.quote is not None:
        return at_the_market(leg, bar, fills["fill_mode"])
    return min(bar.open, leg.target_price) if leg.touch_count == 1 else leg.target_price


# ---------------------------------------------------------------------------------------------------------------------
# The path of a leg (section 6)
# ---------------------------------------------------------------------------------------------------------------------
def cents(price: float) -> int:
    """Closes and strikes are compared in whole cents."""
    return round(price * 100)


def walk(market: Market, leg: Leg, put: Quote) -> None:
    """Walk the leg's bars from the session after entry through its settlement session, and settle
    it.
    """
    fills, slack = market.config["fills"], market.config["slack"]
    for session in market.calendar.between(leg.quote.session, leg.settlement):
        bar = market.bar(leg.quote, session)
        if bar is None:
            leg.sessions_without_bar += 1
            continue
        if leg.stop_price is not None and bar.high >= leg.stop_price * (1 - slack):
            close_leg(leg, "stop_loss", session, stop_fill(leg, bar, fills))
            return
        if bar.low <= leg.target_price * (1 + slack):
            leg.touch_count += 1
            filled = True
            if fills["use_probabilistic_exit_fills"]:
                seed, touch = fills["execution_seed"], leg.touch_count - 1
                leg.u_fill = pricer.fill_draw(seed, put.symbol, put.session, leg.phase, touch)
                filled = leg.u_fill <= leg.p_fill
            if filled:
                close_leg(leg, "profit_target", session, target_fill(leg, bar, fills))
                return
        if (
            leg.max_hold_dte is not None
            and (leg.quote.expiration - session).days <= leg.max_hold_dte
        ):
            close_leg(leg, "max_hold_dte", session, at_the_market(leg, bar, fills["fill_mode"]))
            return
    settle(market, leg)


def close_leg(leg: Leg, reason: str, session: dt.date, price: float) -> None:
    """Book the exit of a leg: what is bought is paid on a tick."""
    leg.exit_reason, leg.exit_date, leg.exit_price = reason, session, tick_up(price, leg.tick)


def settle(market: Market, leg: Leg) -> None:
    """The underlying's close of the settlement session decides (sections 6, 7 and 11)."""
    v5 = market.config["rules"] == "v5"
    close = market.close(leg.quote.underlying, leg.settlement)
    if close is None:
        if v5:
            close_leg(leg, "expired_worthless", leg.settlement, 0.0)
            return
        after_the_data = leg.settlement > market.last_day(leg.quote.underlying)
        leg.exit_reason = "open" if after_the_data else "no_data"
        leg.sessions_without_bar = None
        return
    leg.underlying_at_expiration = close
    if leg.phase == 0:
        exercised, reason = cents(close) < cents(leg.quote.strike), "assigned"
    elif v5:
        exercised, reason = cents(close) >= cents(leg.quote.strike), "called_away"
    else:
        exercised, reason = cents(close) > cents(leg.quote.strike), "called_away"
    close_leg(leg, reason if exercised else "expired_worthless", leg.settlement, 0.0)


def sell(market: Market, candidate: Candidate, phase: int) -> Leg:
    """Open a leg."""
    config, quote = market.config, candidate.quote
    rules = config["call"] if phase else config["put"]
    if phase and config["rules"] == "v5":  # section 11, covered-call p_fill
        probability = p_fill(0.05, 0.5, config)
    else:
        probability = p_fill(quote.spread_pct, candidate.ivp, config)
    return Leg(
        phase=phase,
        quote=quote,
        ivp=candidate.ivp,
        tier=candidate.tier,
        penalty=candidate.penalty,
        price=entry_price(quote, candidate.penalty, config["fills"]),
        exit_pct=config["put"]["exit_pct"] if rules["exit_pct"] is None else rules["exit_pct"],
        stop_multiplier=rules["stop_loss_multiplier"],
        max_hold_dte=rules["max_hold_dte"],
        p_fill=probability,
        settlement=market.calendar.on_or_before(quote.expiration),
        tick=config["fills"]["tick"],
    )


# ---------------------------------------------------------------------------------------------------------------------
# Covered calls (section 7)
# ---------------------------------------------------------------------------------------------------------------------
def find_call(market: Market, underlying: str, session: dt.date, basis: float) -> Candidate | str:
    """The call to sell on one session, or the reason why there is none."""
    config, rules = market.config, market.config["call"]
    quotes = market.chain(underlying, session).quotes
    if not quotes:
        return "no_call_quotes"
    candidates = in_range(market, quotes, "C", rules)
    if not candidates:
        return "no_call_in_range"
    if rules["sell_call_only_if_price_above_basis"]:
        floor = basis
        if config["rules"] == "ledger":  # section 11, basis floor
            floor = basis * (1 + rules["strike_min_pct_above_basis"])
        candidates = [c for c in candidates if c.quote.strike >= floor * (1 - config["slack"])]
        if not candidates:
            return "no_call_above_basis"
    rank(market, candidates)
    candidates = [c for c in candidates if judge_liquidity(c, config)]
    if not candidates:
        return "no_call_liquid"
    return best(candidates, rules, rules["tie_break_method"], middle(rules))


def seek_call(
    market: Market, underlying: str, first: dt.date, basis: float
) -> tuple[Candidate | str, dt.date]:
    """Section 7: try the first session and, while none qualifies, up to call_wait_sessions further
    ones.
    """
    session = first
    found = find_call(market, underlying, session, basis)
    waits = 0 if market.config["rules"] == "v5" else market.config["call"]["call_wait_sessions"]
    while isinstance(found, str) and waits > 0:
        session, waits = market.calendar.after(session), waits - 1
        found = find_call(market, underlying, session, basis)
    return found, session


# ---------------------------------------------------------------------------------------------------------------------
# The wheel (sections 6 to 9)
# ---------------------------------------------------------------------------------------------------------------------
@dataclass
class Wheel:
    """One wheel: its legs and how it ended."""

    put: Leg
    calls: list[Leg] = field(default_factory=list)
    end_reason: str = "unresolved"
    end_session: dt.date | None = None  # null while unresolved
    unresolved_by: str | None = None  # open or no_data
    lacking: dt.date | None = None  # the session whose close is lacking
    shares_held: int | None = None
    sale_price: float | None = None  # of shares still held at the end (ledger rules)
    dividends: list[tuple[dt.date, float]] = field(default_factory=list)
    wheel_id: str = ""
    censored: bool = False

    @property
    def legs(self) -> list[Leg]:
        return [self.put, *self.calls]

    @property
    def resolved(self) -> bool:
        return self.unresolved_by is None

    def busy_until(self) -> dt.date:
        """Section 1: the exit date; of a wheel that never resolves the last settlement session
        among its legs.
        """
        return self.end_session if self.resolved else max(leg.settlement for leg in self.legs)


def evaluate(market: Market, candidate: Candidate) -> Wheel:
    """Play one wheel as if it were alone."""
    put = sell(market, candidate, 0)
    walk(market, put, put.quote)
    wheel = Wheel(put)
    if market.config["rules"] == "ledger":  # section 11, summary: v5 says false
        wheel.censored = put.settlement > market.last_day(put.quote.underlying)
    if not put.resolved:
        wheel.unresolved_by = put.exit_reason
    elif put.exit_reason == "assigned":
        hold_shares(market, wheel)
    else:
        wheel.end_reason = "put_expired" if put.exit_reason == "expired_worthless" else "put_closed"
        wheel.end_session, wheel.shares_held = put.exit_date, 0
    return wheel


def hold_shares(market: Market, wheel: Wheel) -> None:
    """Section 7: sell covered calls on the assigned shares until they are called away or the wheel
    ends.
    """
    v5 = market.config["rules"] == "v5"
    put, underlying = wheel.put, wheel.put.quote.underlying
    basis = (put.quote.strike * 100 - put.premium) / 100
    max_cycles = 1 if v5 else market.config["call"]["max_cycles"]
    # section 11, covered-call session: the day after the expiration, session or not
    first = (
        put.quote.expiration + dt.timedelta(days=1) if v5 else market.calendar.after(put.settlement)
    )
    while True:
        found, session = seek_call(market, underlying, first, basis)
        if isinstance(found, str):
            end_holding(market, wheel, found, session)
            return
        call = sell(market, found, len(wheel.calls) + 1)
        wheel.calls.append(call)
        walk(market, call, put.quote)
        if not call.resolved:
            wheel.unresolved_by, wheel.lacking = call.exit_reason, call.settlement
            return
        if call.exit_reason == "called_away":
            wheel.end_reason, wheel.end_session, wheel.shares_held = (
                "called_away",
                call.exit_date,
                0,
            )
            break
        if max_cycles is not None and len(wheel.calls) >= max_cycles:
            end_holding(market, wheel, "max_cycles", call.exit_date)
            return
        first = market.calendar.after(call.exit_date)
    collect_dividends(market, wheel)


def end_holding(market: Market, wheel: Wheel, reason: str, session: dt.date) -> None:
    """Section 8: the wheel ends holding the shares, sold at the close of its end session (ledger
    rules).
    """
    if market.config["rules"] == "v5":  # section 11: the wheel ends with its last leg
        wheel.end_reason, wheel.end_session, wheel.shares_held = (
            reason,
            wheel.legs[-1].exit_date,
            100,
        )
        return
    meant = session
    for _ in range(5):  # the order waits for a close
        if market.close(wheel.put.quote.underlying, session) is None:
            session = market.calendar.after(session)
    wheel.sale_price = market.close(wheel.put.quote.underlying, session)
    if wheel.sale_price is None:
        wheel.unresolved_by, wheel.lacking = (
            "no_data",
            meant,
        )  # section 10: shares without a close count as no_data
        return
    wheel.end_reason, wheel.end_session, wheel.shares_held = reason, session, 100
    collect_dividends(market, wheel)


def collect_dividends(market: Market, wheel: Wheel) -> None:
    """Section 8: dividends on shares held overnight into their ex-date (ledger rules only)."""
    if market.config["rules"] == "ledger":
        put = wheel.put
        wheel.dividends = market.dividends_held(
            put.quote.underlying, put.settlement, wheel.end_session
        )


def stock_pnl(market: Market, wheel: Wheel) -> float | None:
    """Sections 8 and 11: the result of the shares; None where the wheel is unresolved."""
    if not wheel.resolved:
        return None
    strike, premium = wheel.put.quote.strike, wheel.put.premium
    v5 = market.config["rules"] == "v5"
    if wheel.put.exit_reason != "assigned":
        return 0.0
    if wheel.shares_held == 100:
        result = 0.0 if v5 else (wheel.sale_price - strike) * 100
    elif v5:
        result = wheel.calls[-1].quote.strike * 100 - (strike * 100 - premium)
    else:
        result = (wheel.calls[-1].quote.strike - strike) * 100
    return result + sum(amount for _, amount in wheel.dividends)


def marked_pnl(market: Market, wheel: Wheel) -> float | None:
    """Section 8: the value of an assigned wheel that the data leave unresolved."""
    if wheel.put.exit_reason != "assigned":
        return None
    costs, underlying = market.config["costs"], wheel.put.quote.underlying
    day, close = market.last_close(underlying, wheel.lacking)
    value = wheel.put.pnl(costs) + (close - wheel.put.quote.strike) * 100
    for call in wheel.calls:
        if call.resolved:
            value += call.pnl(costs)
        else:
            mark = market.last_option_close(call.quote, day)
            value += call.premium - call.fees(costs) - (call.price if mark is None else mark) * 100
    return value


# ---------------------------------------------------------------------------------------------------------------------
# Records and cash (sections 8 and 10)
# ---------------------------------------------------------------------------------------------------------------------
def leg_record(market: Market, wheel: Wheel, leg: Leg) -> Record:
    """A row of phase csp or cc."""
    quote, put = leg.quote, wheel.put.quote
    capital = put.strike * 100
    pnl = leg.pnl(market.config["costs"])
    values = {
        "wheel_id": wheel.wheel_id,
        "underlying": quote.underlying,
        "put_symbol": put.symbol,
        "initial_capital": capital,
        "entry_date": quote.session,
        "phase": "cc" if leg.phase else "csp",
        "state": (CALL_STATES if leg.phase else PUT_STATES)[leg.exit_reason],
        "cycle": leg.phase,
        "symbol": quote.symbol,
        "strike": quote.strike,
        "expiration": quote.expiration,
        "premium": leg.premium,
        "fees": leg.fees(market.config["costs"]),
        "contracts": 1,
        "factor": 1,
        "exit_symbol": quote.symbol,
        "exit_date": leg.exit_date,
        "pnl": pnl,
        "exit_price": None if leg.exit_price is None else leg.exit_price * 100,
        "exit_reason": leg.exit_reason,
        "exit_pct": leg.exit_pct,
        "days_held": leg.days_held,
        "roc": None if pnl is None else 100 * pnl / capital,
        "cost_basis": quote.strike * 100,
        "touch_count": leg.touch_count,
        "touch_profit_target": leg.touch_count > 0,
        "filled_profit_target": leg.exit_reason == "profit_target",
        "p_fill_profit_target": leg.p_fill,
        "u_fill_profit_target": leg.u_fill,
        "spread_pct_entry": quote.spread_pct,
        "ivp_entry": leg.ivp,
        "iv_entry": quote.iv,
        "delta_entry": quote.delta,
        "dte_entry": quote.dte,
        "liquidity_tier": leg.tier,
        "liquidity_penalty": leg.penalty,
        "sessions_without_bar": leg.sessions_without_bar,
        "underlying_at_expiration": leg.underlying_at_expiration,
    }
    return {name: values.get(name) for name in COLUMNS}


def total_record(market: Market, wheel: Wheel) -> Record:
    """The row of phase total."""
    costs, put = market.config["costs"], wheel.put.quote
    capital = put.strike * 100
    values: Record = {
        "wheel_id": wheel.wheel_id,
        "underlying": put.underlying,
        "put_symbol": put.symbol,
        "initial_capital": capital,
        "entry_date": put.session,
        "phase": "total",
        "state": "WHEEL_COMPLETE" if wheel.resolved else "WHEEL_OPEN",
        "symbol": put.underlying,
        "strike": put.strike,
        "expiration": put.expiration,
        "premium": sum(leg.premium for leg in wheel.legs),
        "fees": sum(leg.fees(costs) for leg in wheel.legs),
        "csp_pnl": wheel.put.pnl(costs),
        "shares_held": wheel.shares_held,
        "csp_exit_reason": wheel.put.exit_reason,
        "cc_exit_reason": wheel.calls[-1].exit_reason if wheel.calls else None,
        "end_reason": wheel.end_reason,
        "censored": wheel.censored,
    }
    if wheel.resolved:
        cc_pnl = sum((call.pnl(costs) for call in wheel.calls), 0.0)
        shares = stock_pnl(market, wheel)
        pnl = values["csp_pnl"] + cc_pnl + shares
        roc = 100 * pnl / capital
        days = (wheel.end_session - put.session).days
        values |= {
            "exit_date": wheel.end_session,
            "pnl": pnl,
            "cc_pnl": cc_pnl,
            "stock_pnl": shares,
            "pnl_marked": pnl,
            "wheel_roc": roc,
            "roc_annualized": roc * 365 / days if days else None,
            "total_days": sum(leg.days_held for leg in wheel.legs),
            "calendar_days": days,
        }
    else:
        values["pnl_marked"] = marked_pnl(market, wheel)
    return {name: values.get(name) for name in COLUMNS}


def cash_entries(market: Market, wheel: Wheel) -> list[Record]:
    """Section 8: the wheel as dated cash; of a resolved wheel under the ledger rules it sums to
    pnl.
    """
    costs, entries = market.config["costs"], []
    one = order_fee(costs)

    def book(date: dt.date, entry: str, amount: float) -> None:
        entries.append({"wheel_id": wheel.wheel_id, "date": date, "entry": entry, "amount": amount})

    for leg in wheel.legs:
        book(leg.quote.session, "premium", leg.premium)
        book(leg.quote.session, "fees", -one)
        if leg.exit_reason in BOUGHT_BACK:
            book(leg.exit_date, "buy_back", -leg.exit_price * 100)
            book(leg.exit_date, "fees", -one)
        if leg.exit_reason in DELIVERED:
            book(leg.exit_date, "fees", -costs["assignment_fee"])
    if wheel.put.exit_reason == "assigned":
        book(wheel.put.settlement, "share_purchase", -wheel.put.quote.strike * 100)
        for day, amount in wheel.dividends:
            book(day, "dividend", amount)
        if wheel.end_reason == "called_away":
            book(wheel.end_session, "share_sale", wheel.calls[-1].quote.strike * 100)
        elif wheel.resolved and wheel.sale_price is not None:
            book(wheel.end_session, "share_sale", wheel.sale_price * 100)
    return entries


# ---------------------------------------------------------------------------------------------------------------------
# Summary (section 10)
# ---------------------------------------------------------------------------------------------------------------------
def summarize(market: Market, wheels: list[Wheel], totals: list[Record]) -> Record:
    """The figures over the wheels that count, and the counts over all launched wheels."""
    pairs = list(zip(wheels, totals, strict=True))
    counted = [(w, t) for w, t in pairs if not w.censored and t["pnl_marked"] is not None]
    pnls = [t["pnl_marked"] for _, t in counted]
    rocs = [100 * t["pnl_marked"] / t["initial_capital"] for _, t in counted]
    days = [t["total_days"] for _, t in counted if t["total_days"] is not None]
    legs = [leg for wheel in wheels for leg in wheel.legs]
    worst = sum(
        w.put.premium - w.put.quote.strike * 100 if t["pnl"] is None else t["pnl"] for w, t in pairs
    )
    met = 1 + ROUNDING
    return {
        "total_wheels": len(counted),
        "total_pnl": sum(pnls) if pnls else None,
        "avg_wheel_roc": statistics.fmean(rocs) if rocs else None,
        "median_wheel_roc": statistics.median(rocs) if rocs else None,
        "std_wheel_roc": statistics.stdev(rocs) if len(rocs) > 1 else None,
        "max_wheel_roc": max(rocs, default=None),
        "min_wheel_roc": min(rocs, default=None),
        "max_drawdown_proxy": min(pnls, default=None),
        "win_rate": 100 * sum(pnl > 0 for pnl in pnls) / len(pnls) if pnls else None,
        "avg_days_held": statistics.fmean(days) if days else None,
        "total_capital_deployed": sum(t["initial_capital"] for _, t in counted)
        if counted
        else None,
        "open_wheels": sum(w.unresolved_by == "open" for w in wheels),
        "no_data_wheels": sum(w.unresolved_by == "no_data" for w in wheels),
        "censored_wheels": sum(w.censored for w in wheels),
        "marked_wheels": sum(t["pnl"] is None for _, t in counted),
        "marked_pnl": sum(t["pnl_marked"] for _, t in counted if t["pnl"] is None),
        "held_wheels": sum(t["shares_held"] == 100 for _, t in counted),
        "targets_above_limit": sum(
            leg.exit_reason == "profit_target" and leg.exit_price > leg.target_price * met
            for leg in legs
        ),
        "stops_inside_stop": sum(
            leg.exit_reason == "stop_loss" and leg.exit_price < leg.stop_price / met for leg in legs
        ),
        "sessions_without_bar": sum(leg.sessions_without_bar or 0 for leg in legs),
        "total_pnl_worst": worst if wheels else None,
    }


# ---------------------------------------------------------------------------------------------------------------------
# The schedule (section 1)
# ---------------------------------------------------------------------------------------------------------------------
def entry_sessions(market: Market) -> list[dt.date]:
    """The sessions on which wheels may open."""
    schedule = market.config["schedule"]
    held = [
        session for _, session in market.quoted()
    ]  # an open end of the range is that of the quotes
    start = min(held) if schedule["start_date"] is None else as_date(schedule["start_date"])
    end = max(held) if schedule["end_date"] is None else as_date(schedule["end_date"])
    sessions = [day for day in market.calendar.sessions if start <= day <= end]
    chosen = []
    for number_, day in enumerate(sessions):
        late_enough = number_ >= schedule["offset"]
        in_step = (number_ - schedule["offset"]) % schedule["every"] == 0
        on_weekday = schedule["weekdays"] is None or day.isoweekday() in schedule["weekdays"]
        if late_enough and in_step and on_weekday:
            chosen.append(day)
    return chosen


def put_candidates(
    market: Market, underlying: str, session: dt.date, diagnosis: Record
) -> list[Candidate]:
    """Section 3 for one session and underlying; the diagnosis is filled in on the way."""
    config = market.config
    chain = market.chain(underlying, session)
    for quote in chain.quotes:
        if quote.kind == "P":
            market.solve(quote)
    candidates = in_range(market, chain.quotes, "P", config["put"])
    rank(market, candidates)
    liquid = [c for c in candidates if judge_liquidity(c, config)]
    diagnosis["n_quotes"] = chain.n_quotes
    diagnosis["n_valid"] = len(chain.quotes)
    diagnosis["n_solved"] = sum(quote.iv is not None for quote in chain.quotes)
    diagnosis["n_in_range"] = len(candidates)
    diagnosis["n_liquid"] = len(liquid)
    if not chain.quotes:
        diagnosis["outcome"] = "no_underlying_price" if chain.lacking_price else "no_quotes"
    elif not diagnosis["n_solved"]:
        diagnosis["outcome"] = "not_solved"
    elif not candidates:
        diagnosis["outcome"] = "no_candidate_in_range"
    elif not liquid:
        diagnosis["outcome"] = "all_rejected_by_liquidity"
    return choose_puts(liquid, config["put"])


def run(
    tables: dict[str, pl.DataFrame | None],
    config: Config,
    when: list[tuple[Any, str]] | None = None,
) -> dict[str, Any]:
    """Backtest the wheel.

    `tables` holds option_quotes and underlying_bars and may hold option_bars and dividends;
    `config` is nested by group, missing fields at their defaults; `when` restricts entries to
    (session, underlying) pairs (section 1). The answer holds `records`, `summary`, `ledger` (cash
    entries), `diagnostics` (one row per entry session and underlying), `wheels` (the objects behind
    the records) and `dropped` (rows set aside, by reason).
    """
    config = complete_config(config)
    market = Market(tables, config)
    schedule = config["schedule"]
    symbols = schedule["symbols"]
    if symbols is None:
        symbols = sorted(market.underlyings)
    signals = (
        None if when is None else {(as_date(session), underlying) for session, underlying in when}
    )

    wheels: list[Wheel] = []
    diagnostics: list[Record] = []
    last: dict[str, Wheel] = {}  # the underlying's last launched wheel
    for session in entry_sessions(market):
        for underlying in symbols:
            diagnosis: Record = {"session": session, "underlying": underlying, "outcome": None}
            diagnostics.append(diagnosis)
            chosen = put_candidates(market, underlying, session, diagnosis)
            launched = 0
            limit = schedule["max_wheels_per_symbol_per_day"]
            if chosen and signals is not None and (session, underlying) not in signals:
                diagnosis["outcome"] = "not_signalled"
                chosen = []
            for candidate in chosen[:limit]:
                one_at_a_time = not schedule["allow_multiple_wheels_per_symbol"]
                if (
                    one_at_a_time
                    and underlying in last
                    and not session > last[underlying].busy_until()
                ):
                    diagnosis["outcome"] = diagnosis["outcome"] or "wheel_already_open"
                    continue
                wheel = evaluate(market, candidate)
                wheel.wheel_id = f"{underlying}_{session.isoformat()}_{len(wheels)}"
                wheels.append(wheel)
                last[underlying] = wheel
                launched += 1
                diagnosis["outcome"] = "traded"
            diagnosis["n_launched"] = launched
            diagnosis["limit_reached"] = limit is not None and len(chosen) > limit

    records: list[Record] = []
    totals: list[Record] = []
    ledger: list[Record] = []
    for wheel in wheels:
        records += [leg_record(market, wheel, leg) for leg in wheel.legs]
        totals.append(total_record(market, wheel))
        records.append(totals[-1])
        ledger += cash_entries(market, wheel)
    return {
        "records": records,
        "summary": summarize(market, wheels, totals),
        "ledger": ledger,
        "diagnostics": diagnostics,
        "wheels": wheels,
        "dropped": dict(market.dropped),
    }
