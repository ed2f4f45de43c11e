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
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import polars as pl

from . import events, pricer

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
        "early_assignment": "none",
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
        "early_assignment": "none",
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

# Section 9: the state of a leg after its exit reason.
PUT_STATES = {
    "profit_target": "CSP_CLOSED_PROFIT",
    "stop_loss": "CSP_CLOSED_STOP",
    "max_hold_dte": "CSP_CLOSED_DTE",
    "assigned": "CSP_ASSIGNED",
    "expired_worthless": "CSP_CLOSED_WORTHLESS",
    "corporate_action": "CSP_CLOSED_ACTION",
}
CALL_STATES = {
    "profit_target": "CC_CLOSED_PROFIT",
    "stop_loss": "CC_CLOSED_STOP",
    "max_hold_dte": "CC_CLOSED_DTE",
    "called_away": "CC_ASSIGNED",
    "expired_worthless": "CC_CLOSED_WORTHLESS",
    "corporate_action": "CC_CLOSED_ACTION",
}
BOUGHT_BACK = ("profit_target", "stop_loss", "max_hold_dte", "corporate_action")
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
    scenarios = {"put": ("none", "at_parity"), "call": ("none", "ex_div", "at_parity")}
    for group, known in scenarios.items():  # section 13
        if full[group]["early_assignment"] not in known:
            raise ValueError(f"{group}.early_assignment: one of {known}")
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

    def before(self, day: dt.date) -> dt.date:
        """The last session before the day: the eve of an event (section 12)."""
        return self.sessions[bisect.bisect_left(self.sessions, day) - 1]

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
    """The prices of a leg on one session: a daily bar, or a quote that stands for it."""

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


def rows_of(table: pl.DataFrame | None) -> list[Record]:
    """The rows of a table that may be absent; equal rows are one (data.md)."""
    return [] if table is None else table.unique(maintain_order=True).to_dicts()


@dataclass(frozen=True)
class AsCalled:
    """A contract on a day after its sale (section 12): its underlying, its symbol, and the shares
    that one share as sold has become.
    """

    underlying: str
    symbol: str
    factor: int

    @property
    def strike(self) -> float:
        return parse_symbol(self.symbol)[3] / 1000


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
            (name.replace(".", ""), day): bar.high  # BRKB is the root of BRK.B
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
        self.ordinary: dict[tuple[str, dt.date], float] = defaultdict(float)  # sums by ex-date
        self.events = events.Events(self.calendar.is_session)
        for row in rows_of(tables.get("splits")):
            if row["underlying"] in self.underlyings | set(self.underlying_bars):
                self.events.add_split(row)
        for row in rows_of(tables.get("dividends")):
            name, day, amount = row["underlying"], row["ex_date"], row["amount"]
            self.dividends[name].append((day, amount))
            if row.get("special"):
                self.events.add_special(name, day, amount)
            else:
                self.ordinary[name, day] += amount
        for name in self.underlyings:
            self.events.add_suspected(name, self._with_rows(name), self.calendar.after)
        roots = {parse_symbol(symbol)[0] for symbol in self.option_bars}
        # section 4: the underlyings of which the market holds any option bar
        self.barred = {row for row in self.underlyings if roots & self._roots[row]}
        self._as_called: dict[tuple[str, dt.date, dt.date], AsCalled] = {}
        self._chains: dict[tuple[str, dt.date], Chain] = {}
        self._populations: dict[tuple[str, dt.date, str], list[float]] = {}

    def _with_rows(self, underlying: str) -> dict[dt.date, set[str]]:
        """The contracts with a sound row, by session: what suspicions rest on (data.md)."""
        found: dict[dt.date, set[str]] = {}
        for (name, session), rows in self._rows.items():
            if name == underlying:
                symbols = {row["symbol"] for row in rows if fault_of_quote(row) is None}
                if symbols:
                    found[session] = symbols
        return found

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
    def as_called(self, quote: Quote, session: dt.date) -> AsCalled:
        """Section 12: what a contract sold on one day is on a later one."""
        place = (quote.symbol, quote.session, session)
        if place not in self._as_called:
            since = (quote.underlying, quote.session, session)
            happened = self.events.carried(*since)
            self._as_called[place] = AsCalled(
                self.events.name(*since),
                events.symbol_after(quote.symbol, happened),
                events.product(happened),
            )
        return self._as_called[place]

    def quote_on(self, quote: Quote, session: dt.date) -> Quote | None:
        """The valid quote of a session, in the terms of that day."""
        now = self.as_called(quote, session)
        return self.chain(now.underlying, session).by_symbol.get(now.symbol)

    def bar_on(self, quote: Quote, session: dt.date) -> Bar | None:
        """The bar of a session, in the terms of that day."""
        now = self.as_called(quote, session)
        if not self.has_bars or now.underlying not in self.barred:
            return None
        return self.option_bars.get(now.symbol, {}).get(session)

    def stand_in(self, quote: Quote, session: dt.date) -> Bar | None:
        """The quote of a session as a bar, in the prices of the share as sold."""
        found = self.quote_on(quote, session)
        if found is None:
            return None
        factor = self.as_called(quote, session).factor
        sold = replace(found, bid=found.bid * factor, ask=found.ask * factor)
        return Bar(sold.mid, sold.mid, sold.mid, sold.mid, sold)

    def bar(self, quote: Quote, session: dt.date) -> Bar | None:
        """Section 6: the contract's bar, or the quote that stands for it, in the prices of the
        share as sold (section 12); None for a session without a bar.
        """
        now = self.as_called(quote, session)
        if self.has_bars and now.underlying in self.barred:
            bar = self.bar_on(quote, session)
            if bar is not None:
                prices = (bar.open, bar.high, bar.low, bar.close)
                return Bar(*(price * now.factor for price in prices))
            if self.config["fills"]["gap_path"] != "quote":
                return None
        return self.stand_in(quote, session)

    def last_option_close(self, quote: Quote, through: dt.date) -> float | None:
        """Section 8: the close of the contract's last bar after its sale and on or before a day."""
        for session in reversed(self.calendar.between(quote.session, through)):
            bar = self.bar(quote, session)
            if bar is not None:
                return bar.close
        return None

    def close(self, underlying: str, session: dt.date) -> float | None:
        """The underlying's close of a session."""
        bar = self.underlying_bars.get(underlying, {}).get(session)
        return None if bar is None else bar.close

    def last_day(self, underlying: str) -> dt.date:
        """The session of the underlying's last bar in the data; where there is none at all, before
        everything.
        """
        return max(self.underlying_bars.get(underlying, {}), default=dt.date.min)


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
    """The price at which an option is sold."""
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


def order_fee(costs: Config, contracts: int) -> float:
    """Section 4: what an order of so many contracts costs."""
    commission = costs["commission_base"] + contracts * costs["commission_per_contract"]
    return max(costs["commission_minimum"], commission) + contracts * costs["sec_fee_per_contract"]


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
    contracts: int = 1  # sold
    factor: int = 1  # section 12; at the exit, or where the leg stopped
    exit_symbol: str = ""
    strike_at_exit: float | None = None  # in the terms of the exit's day
    stopped: dt.date | None = None  # of an unresolved leg: its settlement session, or the eve
    touch_count: int = 0
    u_fill: float | None = None
    exit_reason: str | None = None
    exit_date: dt.date | None = None
    exit_price: float | None = None  # per share
    sessions_without_bar: int | None = 0
    underlying_at_expiration: float | None = None

    @property
    def premium(self) -> float:
        return self.price * 100 * self.contracts

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
        return self.exit_date is not None

    @property
    def days_held(self) -> int | None:
        return (self.exit_date - self.quote.session).days if self.resolved else None

    def fees(self, costs: Config) -> float:
        """Section 4: one order, or two where the leg was bought back; a delivery of shares costs
        another fee.
        """
        sold = order_fee(costs, self.contracts)
        if self.resolved and self.exit_reason in BOUGHT_BACK:
            return sold + self.buy_back_fee(costs)
        return sold + costs["assignment_fee"] if self.exit_reason in DELIVERED else sold

    def buy_back_fee(self, costs: Config) -> float:
        """Section 12: after a split there are factor times as many contracts to buy."""
        return order_fee(costs, self.contracts * self.factor)

    def pnl(self, costs: Config) -> float | None:
        """Section 8."""
        if not self.resolved:
            return None
        return self.premium - self.exit_price * 100 * self.contracts - self.fees(costs)


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
    """Walk the leg's bars from the session after entry through its settlement session, or the eve
    of an event that stops it, and settle it.
    """
    quote, calendar = leg.quote, market.calendar
    stop = market.events.stop(quote.underlying, quote.session, leg.settlement)
    last = leg.settlement if stop is None else calendar.before(stop.ex_date)
    for session in calendar.between(quote.session, last):
        bar = market.bar(quote, session)
        if bar is None:
            leg.sessions_without_bar += 1
        elif close_on_bar(market, leg, put, session, bar):
            break
        if session < leg.settlement and exercised_early(market, leg, session):
            close_leg(leg, "called_away" if leg.phase else "assigned", session, 0.0)
            break
    else:
        if stop is None:
            settle(market, leg)
        elif stop.kind == events.NOT_CARRIED:
            buy_back_on_eve(market, leg, last)
        else:
            leave_open(leg, "suspected_split", last)
    through = leg.stopped if leg.exit_date is None else leg.exit_date
    now = market.as_called(quote, through)
    leg.factor, leg.exit_symbol, leg.strike_at_exit = now.factor, now.symbol, now.strike


def close_on_bar(market: Market, leg: Leg, put: Quote, session: dt.date, bar: Bar) -> bool:
    """Section 6: the tests of one bar, in order; whether one of them closed the leg."""
    fills, slack = market.config["fills"], market.config["slack"]
    if leg.stop_price is not None and bar.high >= leg.stop_price * (1 - slack):
        close_leg(leg, "stop_loss", session, stop_fill(leg, bar, fills))
        return True
    if bar.low <= leg.target_price * (1 + slack):
        leg.touch_count += 1
        filled = True
        if fills["use_probabilistic_exit_fills"]:
            seed, touch = fills["execution_seed"], leg.touch_count - 1
            leg.u_fill = pricer.fill_draw(seed, put.symbol, put.session, leg.phase, touch)
            filled = leg.u_fill <= leg.p_fill
        if filled:
            close_leg(leg, "profit_target", session, target_fill(leg, bar, fills))
            return True
    to_live = (leg.quote.expiration - session).days
    if leg.max_hold_dte is not None and to_live <= leg.max_hold_dte:
        close_leg(leg, "max_hold_dte", session, at_the_market(leg, bar, fills["fill_mode"]))
        return True
    return False


def close_leg(leg: Leg, reason: str, session: dt.date, price: float) -> None:
    """Book the exit of a leg: what is bought is paid on a tick."""
    leg.exit_reason, leg.exit_date, leg.exit_price = reason, session, tick_up(price, leg.tick)


def leave_open(leg: Leg, reason: str, stopped: dt.date) -> None:
    """A leg of which nothing more is known."""
    leg.exit_reason, leg.stopped, leg.sessions_without_bar = reason, stopped, None


def buy_back_on_eve(market: Market, leg: Leg, eve: dt.date) -> None:
    """Section 12, not carried: at the market on the eve's bar, else on its quote, else not at all."""
    bar = market.bar(leg.quote, eve) or market.stand_in(leg.quote, eve)
    if bar is None:
        leave_open(leg, "corporate_action", eve)
    else:
        price = at_the_market(leg, bar, market.config["fills"]["fill_mode"])
        close_leg(leg, "corporate_action", eve, price)


def mills(price: float) -> int:
    """Section 13 compares in tenths of a cent."""
    return round(price * 1000)


def exercised_early(market: Market, leg: Leg, session: dt.date) -> bool:
    """Section 13, after the other tests of a session; everything in the terms of that day."""
    setting = market.config["call" if leg.phase else "put"]["early_assignment"]
    now = market.as_called(leg.quote, session)
    close = market.close(now.underlying, session)
    if setting == "none" or close is None:
        return False
    in_the_money = close - now.strike if leg.phase else now.strike - close
    far = cents(close) - cents(now.strike)
    if (far if leg.phase else -far) <= 0:
        return False
    price = price_on(market, leg, session)
    if setting == "at_parity":
        return price is not None and mills(price) <= mills(in_the_money)
    amount = dividend_ahead(market, leg, session)
    time_value = 0 if price is None else mills(price) - mills(in_the_money)
    return amount > 0 and time_value < mills(amount)


def price_on(market: Market, leg: Leg, session: dt.date) -> float | None:
    """The mid of the session's valid quote, else the bar's close."""
    quote = market.quote_on(leg.quote, session)
    if quote is not None:
        return quote.mid
    bar = market.bar_on(leg.quote, session)
    return None if bar is None else bar.close


def dividend_ahead(market: Market, leg: Leg, session: dt.date) -> float:
    """The ordinary dividends of the next session, per share of this one: where a split comes
    with them, each share of this day has become several.
    """
    tomorrow = market.calendar.after(session)
    name = market.events.name(leg.quote.underlying, leg.quote.session, tomorrow)
    amount = market.ordinary.get((name, tomorrow), 0.0)
    overnight = market.events.carried(leg.quote.underlying, leg.quote.session, tomorrow)
    return amount * events.product([one for one in overnight if one.ex_date == tomorrow])


def settle(market: Market, leg: Leg) -> None:
    """The underlying's close of the settlement session decides (sections 6, 7, 11 and 12)."""
    v5 = market.config["rules"] == "v5"
    now = market.as_called(leg.quote, leg.settlement)
    close = market.close(now.underlying, leg.settlement)
    if close is None:
        if v5:
            close_leg(leg, "expired_worthless", leg.settlement, 0.0)
            return
        after_the_data = leg.settlement > market.last_day(now.underlying)
        leave_open(leg, "open" if after_the_data else "no_data", leg.settlement)
        return
    leg.underlying_at_expiration = close
    if leg.phase == 0:
        exercised, reason = cents(close) < cents(now.strike), "assigned"
    elif v5:
        exercised, reason = cents(close) >= cents(now.strike), "called_away"
    else:
        exercised, reason = cents(close) > cents(now.strike), "called_away"
    close_leg(leg, reason if exercised else "expired_worthless", leg.settlement, 0.0)


def sell(market: Market, candidate: Candidate, phase: int, contracts: int = 1) -> Leg:
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
        contracts=contracts,
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


def seek_call(market: Market, wheel: Wheel, first: dt.date) -> tuple[Candidate | str, dt.date]:
    """Section 7: try the first session and, while none qualifies, up to call_wait_sessions further
    ones, none on or after the eve of an event not carried, and none after a suspected event's eve
    (section 12). The session of the second answer is the last one tried, or the eve.
    """
    v5 = market.config["rules"] == "v5"
    waits = 0 if v5 else market.config["call"]["call_wait_sessions"]
    session = first
    while True:
        if wheel.stop is not None:
            eve = market.calendar.before(wheel.stop.ex_date)
            if session > eve:
                return wheel.stop.kind, eve
            if session == eve and wheel.stop.kind == events.NOT_CARRIED:
                return wheel.stop.kind, eve
        shares = wheel.shares_on(market, session)
        basis = (wheel.paid - wheel.put.premium) / shares.number
        found = find_call(market, shares.underlying, session, basis)
        if not isinstance(found, str) or waits == 0:
            return found, session
        session, waits = market.calendar.after(session), waits - 1


# ---------------------------------------------------------------------------------------------------------------------
# The wheel (sections 6 to 9, 12)
# ---------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Shares:
    """The shares of an assigned wheel on one day."""

    underlying: str
    number: int


@dataclass
class Wheel:
    """One wheel: its legs and how it ended."""

    put: Leg
    calls: list[Leg] = field(default_factory=list)
    end_reason: str = "unresolved"
    end_session: dt.date | None = None  # null while unresolved
    unresolved_by: str | None = None  # open or no_data
    suspected: bool = False
    lacking: dt.date | None = None  # the session whose close is lacking, or the eve
    shares_held: int | None = None
    proceeds: float | None = None  # of all shares
    stop: events.Event | None = None  # the first event through which the shares are not carried
    dividends: list[tuple[dt.date, float]] = field(default_factory=list)
    wheel_id: str = ""
    censored: bool = False

    @property
    def legs(self) -> list[Leg]:
        return [self.put, *self.calls]

    @property
    def resolved(self) -> bool:
        return self.unresolved_by is None

    @property
    def paid(self) -> float:
        """The cost of the shares at the assignment: 100*factor of them at the successor's strike."""
        return self.put.strike_at_exit * 100 * self.put.factor

    def carried(self, market: Market, day: dt.date) -> list[events.Event]:
        """The events that the shares were carried through, from the assignment to a day."""
        put = self.put
        happened = market.events.carried(put.quote.underlying, put.quote.session, day)
        return [event for event in happened if event.ex_date > put.exit_date]

    def shares_on(self, market: Market, day: dt.date) -> Shares:
        """The shares as they are on a day."""
        quote = self.put.quote
        return Shares(
            market.events.name(quote.underlying, quote.session, day),
            100 * self.put.factor * events.product(self.carried(market, day)),
        )

    def busy_until(self) -> dt.date:
        """Section 1: the exit date; of a wheel that never resolves the last settlement session
        among its legs.
        """
        return self.end_session if self.resolved else max(leg.settlement for leg in self.legs)

    def leave_unresolved(self, reason: str, lacking: dt.date | None) -> None:
        """Section 10: what is not open counts with no_data."""
        self.unresolved_by = "open" if reason == "open" else "no_data"
        self.suspected = reason in ("suspected_split", events.SUSPECTED)
        self.lacking = lacking

    def finish(self, reason: str, session: dt.date, shares_held: int) -> None:
        """The wheel has ended."""
        self.end_reason, self.end_session, self.shares_held = reason, session, shares_held


def evaluate(market: Market, candidate: Candidate) -> Wheel:
    """Play one wheel as if it were alone."""
    put = sell(market, candidate, 0)
    walk(market, put, put.quote)
    wheel = Wheel(put)
    if market.config["rules"] == "ledger":  # section 11, summary: v5 says false
        quote = put.quote
        name = market.events.name(quote.underlying, quote.session, put.settlement)
        wheel.censored = put.settlement > market.last_day(name)
    if not put.resolved:
        wheel.leave_unresolved(put.exit_reason, put.stopped)
    elif put.exit_reason == "assigned":
        hold_shares(market, wheel)
        if wheel.resolved and market.config["rules"] == "ledger":
            wheel.dividends = dividends_of(market, wheel)
    else:
        reason = "put_expired" if put.exit_reason == "expired_worthless" else "put_closed"
        wheel.finish(reason, put.exit_date, 0)
    return wheel


def first_call_session(market: Market, put: Leg) -> dt.date:
    """Section 7: the first session after the assignment; sections 11 and 13: under v5 the calendar
    day after the expiration, or after an early assignment, session or not.
    """
    if market.config["rules"] != "v5":
        return market.calendar.after(put.exit_date)
    early = put.exit_date < put.settlement
    return (put.exit_date if early else put.quote.expiration) + dt.timedelta(days=1)


def hold_shares(market: Market, wheel: Wheel) -> None:
    """Section 7: sell covered calls on the assigned shares until they are called away or the wheel
    ends.
    """
    v5 = market.config["rules"] == "v5"
    put = wheel.put
    since = market.events.history(put.quote.underlying, put.quote.session, dt.date.max)
    after = [event for event in since if event.ex_date > put.exit_date]
    wheel.stop = next((event for event in after if event.stops), None)
    max_cycles = 1 if v5 else market.config["call"]["max_cycles"]
    first = first_call_session(market, put)
    while True:
        found, session = seek_call(market, wheel, first)
        if isinstance(found, str):
            end_holding(market, wheel, found, session)
            return
        contracts = wheel.shares_on(market, session).number // 100
        call = sell(market, found, len(wheel.calls) + 1, contracts)
        wheel.calls.append(call)
        walk(market, call, put.quote)
        if not call.resolved:
            wheel.leave_unresolved(call.exit_reason, call.stopped)
            return
        if call.exit_reason == "called_away":
            wheel.proceeds = call.strike_at_exit * 100 * call.factor * call.contracts
            wheel.finish("called_away", call.exit_date, 0)
            return
        if call.exit_reason == "corporate_action":
            end_holding(market, wheel, events.NOT_CARRIED, call.exit_date)
            return
        if max_cycles is not None and len(wheel.calls) >= max_cycles:
            end_holding(market, wheel, "max_cycles", call.exit_date)
            return
        first = market.calendar.after(call.exit_date)


def end_holding(market: Market, wheel: Wheel, reason: str, session: dt.date) -> None:
    """Section 8: the wheel ends holding the shares, sold at the close of its end session (ledger
    rules).
    """
    if market.config["rules"] == "v5":  # section 11: the wheel ends with its last leg
        end = wheel.legs[-1].exit_date
        stopped = reason in (events.NOT_CARRIED, events.SUSPECTED)  # no call could be sought
        reason = "corporate_action" if stopped else reason
        wheel.finish(reason, end, wheel.shares_on(market, end).number)
        return
    if reason == events.SUSPECTED:  # held across it
        wheel.leave_unresolved(reason, session)
        return
    meant = session
    for _ in range(6):  # the order waits for a close, five sessions more
        shares = wheel.shares_on(market, session)
        close = market.close(shares.underlying, session)
        if close is not None:
            reason = "corporate_action" if reason == events.NOT_CARRIED else reason
            wheel.proceeds = close * shares.number
            wheel.finish(reason, session, shares.number)
            return
        session = market.calendar.after(session)
        if wheel.stop is not None and session >= wheel.stop.ex_date:
            if wheel.stop.kind == events.SUSPECTED:  # still held on the day
                wheel.leave_unresolved(events.SUSPECTED, meant)
                return
            break
    wheel.leave_unresolved("no_data", meant)  # section 10: shares without a close


def dividends_of(market: Market, wheel: Wheel) -> list[tuple[dt.date, float]]:
    """Sections 8 and 12: (ex-date, dollars) on the shares held overnight into the ex-date, in the
    terms of that day.
    """
    found = []
    for name, rows in market.dividends.items():
        for day, amount in sorted(rows):
            if wheel.put.exit_date < day <= wheel.end_session:
                shares = wheel.shares_on(market, day)
                if shares.underlying == name:
                    found.append((day, amount * shares.number))
    return sorted(found)


def stock_pnl(market: Market, wheel: Wheel) -> float | None:
    """Sections 8 and 11: the result of the shares; None where the wheel is unresolved."""
    if not wheel.resolved:
        return None
    if wheel.put.exit_reason != "assigned":
        return 0.0
    dividends = sum(amount for _, amount in wheel.dividends)
    if market.config["rules"] == "v5":
        if wheel.shares_held:
            return 0.0
        return wheel.proceeds - (wheel.paid - wheel.put.premium)
    return wheel.proceeds - wheel.paid + dividends


def marked_pnl(market: Market, wheel: Wheel) -> float | None:
    """Section 8: the value of an assigned wheel that the data leave unresolved; none where an event
    is suspected (section 12).
    """
    if wheel.put.exit_reason != "assigned" or wheel.suspected:
        return None
    costs = market.config["costs"]
    day, value = last_worth(market, wheel)
    value += wheel.put.pnl(costs) - wheel.paid
    for call in wheel.calls:
        if call.resolved:
            value += call.pnl(costs)
        else:
            mark = market.last_option_close(call.quote, day)
            price = call.price if mark is None else mark
            value += call.premium - call.fees(costs) - price * 100 * call.contracts
    return value


def last_worth(market: Market, wheel: Wheel) -> tuple[dt.date, float]:
    """The last day with a close, on or before the session whose close is lacking, and what the
    shares of that day were worth on it.  The day of the assignment has one.
    """
    before = market.calendar.before(wheel.put.exit_date)
    for day in reversed(market.calendar.between(before, wheel.lacking)):
        shares = wheel.shares_on(market, day)
        close = market.close(shares.underlying, day)
        if close is not None:
            return day, close * shares.number
    raise AssertionError("an assignment without a close")


def was_carried(market: Market, wheel: Wheel) -> bool:
    """Section 10, carried_wheels: whether a leg or the shares were carried through an event."""
    for leg in wheel.legs:
        through = leg.exit_date if leg.resolved else leg.stopped
        if market.events.carried(leg.quote.underlying, leg.quote.session, through):
            return True
    if wheel.put.exit_reason != "assigned":
        return False
    return bool(wheel.carried(market, wheel.end_session if wheel.resolved else wheel.lacking))


# ---------------------------------------------------------------------------------------------------------------------
# Records and cash (sections 8 and 10)
# ---------------------------------------------------------------------------------------------------------------------
def state_of(leg: Leg) -> str:
    """Section 9: an unresolved leg stays open."""
    if not leg.resolved:
        return "CC_OPEN" if leg.phase else "CSP_OPEN"
    return (CALL_STATES if leg.phase else PUT_STATES)[leg.exit_reason]


def leg_record(market: Market, wheel: Wheel, leg: Leg) -> Record:
    """A row of phase csp or cc."""
    quote, put = leg.quote, wheel.put.quote
    capital = put.strike * 100
    pnl = leg.pnl(market.config["costs"])
    values = {
        "wheel_id": wheel.wheel_id,
        "underlying": put.underlying,
        "put_symbol": put.symbol,
        "initial_capital": capital,
        "entry_date": quote.session,
        "phase": "cc" if leg.phase else "csp",
        "state": state_of(leg),
        "cycle": leg.phase,
        "symbol": quote.symbol,
        "strike": quote.strike,
        "expiration": quote.expiration,
        "premium": leg.premium,
        "fees": leg.fees(market.config["costs"]),
        "contracts": leg.contracts,
        "factor": leg.factor,
        "exit_symbol": leg.exit_symbol,
        "exit_date": leg.exit_date,
        "pnl": pnl,
        "exit_price": None if leg.exit_price is None else leg.exit_price * 100 * leg.contracts,
        "exit_reason": leg.exit_reason,
        "exit_pct": leg.exit_pct,
        "days_held": leg.days_held,
        "roc": None if pnl is None else 100 * pnl / capital,
        "cost_basis": quote.strike * 100 * leg.contracts,
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

    def book(date: dt.date, entry: str, amount: float) -> None:
        entries.append({"wheel_id": wheel.wheel_id, "date": date, "entry": entry, "amount": amount})

    for leg in wheel.legs:
        book(leg.quote.session, "premium", leg.premium)
        book(leg.quote.session, "fees", -order_fee(costs, leg.contracts))
        if leg.resolved and leg.exit_reason in BOUGHT_BACK:
            book(leg.exit_date, "buy_back", -leg.exit_price * 100 * leg.contracts)
            book(leg.exit_date, "fees", -leg.buy_back_fee(costs))
        if leg.exit_reason in DELIVERED:
            book(leg.exit_date, "fees", -costs["assignment_fee"])
    if wheel.put.exit_reason == "assigned":
        book(wheel.put.exit_date, "share_purchase", -wheel.paid)
        for day, amount in wheel.dividends:
            book(day, "dividend", amount)
        if wheel.proceeds is not None:
            book(wheel.end_session, "share_sale", wheel.proceeds)
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
        "held_wheels": sum(bool(t["shares_held"]) for _, t in counted),
        "carried_wheels": sum(was_carried(market, w) for w, _ in counted),
        "suspected_wheels": sum(w.suspected for w in wheels),
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


def on_eve(market: Market, underlying: str, session: dt.date) -> bool:
    """Section 12: on the eve of an event that is not carried no wheel opens."""
    coming = market.events.own(underlying, market.calendar.after(session))
    return any(event.kind == events.NOT_CARRIED for event in coming)


def run(
    tables: dict[str, pl.DataFrame | None],
    config: Config,
    when: list[tuple[Any, str]] | None = None,
) -> dict[str, Any]:
    """Backtest the wheel.

    `tables` holds option_quotes and underlying_bars and may hold option_bars, splits and dividends;
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
        symbols = sorted({name for name, _ in market.quoted()})
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
            if chosen and on_eve(market, underlying, session):
                diagnosis["outcome"] = "corporate_action"
                chosen = []
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
