"""The plan of a fetch: the data that wheels can need, and the requests for those a lake lacks.

Quotes are needed of the entry minute of each session from the first entry session to the last one
on which a call may be sold; bars of contracts and underlying to the last settlement that a wheel
opened in the range can reach.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.lake import answers, lake, listing, parquet
from wheelvec.model.config import CallRules, Config, PutRules
from wheelvec.model.errors import InputError, unknown_name
from wheelvec.model.fields import read_day
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import TABLES, Table
from wheelvec.vendors.databento import requests
from wheelvec.vendors.databento.requests import (
    MINUTES,
    OPTIONS,
    QUOTE_SCHEMAS,
    SUMMARY,
    Request,
    checked_symbols,
    midnight,
)

Span = tuple[dt.datetime, dt.datetime]
Ranges = dict[str, dict[str, Span]]  # dataset -> schema ("" for those not named) -> start and end

# For ranges that do not name the schema: cmbp-1 begins ten years after its dataset.
_BEGINS = {(OPTIONS, "cmbp-1"): dt.datetime(2023, 3, 28, tzinfo=dt.UTC)}

HELD, EMPTY, CLOSED, LATER, LACKING, AGAIN = "held", "empty", "closed", "later", "lacking", "again"
MOST_LOOK_BACK = 390  # minutes: a whole session
STATES = (HELD, EMPTY, CLOSED, LATER, LACKING, AGAIN)
FETCHED = (LACKING, AGAIN)  # the states that are requested


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The wheels to be backtested, and the source of their quotes.

    Attributes:
        symbols: the underlyings.
        start, end: first and last entry session.
        entry_time: such as "15:45".
        schema: the schema of the quotes.
        look_back: minutes before the entry minute in which a quote may have changed last.
        calendar: the trading calendar.
        put, call: the rules of puts and calls.
        refetch: first and last session to request even if the lake has them.
    """

    symbols: tuple[str, ...]
    start: dt.date
    end: dt.date
    entry_time: str = "15:45"
    schema: str = "cmbp-1"
    look_back: int = 0  # minutes
    calendar: str = "NYSE"
    put: PutRules = field(default_factory=PutRules)
    call: CallRules = field(default_factory=CallRules)
    refetch: tuple[dt.date, dt.date] | None = None


def wanted(
    config: Config,
    symbols: str | Sequence[str] | None,
    start: str | dt.date | None,
    end: str | dt.date | None,
    entry_time: str | None,
    schema: str,
    look_back: int,
) -> Wanted:
    """The wheels of the arguments, and of a configuration for arguments that are None.

    Raises:
        InputError: for a missing or invalid value.
    """
    schedule = config.schedule
    named = schedule.symbols if symbols is None else symbols
    days = [
        read_day(name, value)
        for name, value in (
            ("start", start or schedule.start_date),
            ("end", end or schedule.end_date),
        )
    ]
    if named is None or None in days:
        raise InputError(
            "fetch needs symbols, start and end: give them, or a configuration that does"
        )
    if days[0] > days[1]:
        raise InputError(f"start {days[0]} is after end {days[1]}")
    if schema not in QUOTE_SCHEMAS:
        raise InputError(unknown_name("schema of quotes", schema, QUOTE_SCHEMAS))
    if (
        not isinstance(look_back, int)
        or isinstance(look_back, bool)
        or not 0 <= look_back <= MOST_LOOK_BACK
    ):
        raise InputError(
            f"look_back is {look_back!r}: expected whole minutes from 0 to {MOST_LOOK_BACK}"
        )
    return Wanted(
        symbols=checked_symbols(named if isinstance(named, str) else tuple(named)),
        start=days[0],
        end=days[1],
        entry_time=entry_time or schedule.entry_time,
        schema=schema,
        look_back=look_back,
        calendar=schedule.trading_calendar,
        put=config.put,
        call=config.call,
    )


def refetched(
    refetch: tuple[str | dt.date, str | dt.date] | None,
) -> tuple[dt.date, dt.date] | None:
    """The first and last session of `refetch`; None for None.

    Raises:
        InputError: for anything else than two dates in order.
    """
    if refetch is None:
        return None
    if (
        isinstance(refetch, str)
        or not isinstance(refetch, Sequence)
        or len(refetch) != 2
        or None in refetch
    ):
        raise InputError(
            f"refetch is {refetch!r}: expected the first and the last session, as in "
            "('2024-01-02', '2024-01-31')"
        )
    first, last = (read_day("refetch", day) for day in refetch)
    if first > last:
        raise InputError(f"refetch: {first} is after {last}")
    return first, last


class Need(NamedTuple):
    """One session of one table of one underlying, with its source and its state (`STATES`)."""

    symbol: str
    table: str
    session: dt.date
    dataset: str
    schema: str
    state: str


@dataclass(frozen=True)
class Plan:
    """The needed sessions, and the requests for those that are lacking."""

    needs: tuple[Need, ...]
    requests: tuple[Request, ...]


def plan(root: Path, wanted: Wanted, ranges: Ranges, recent: dt.date) -> Plan:
    """Compare the sessions that wheels can need with those that a lake has or that were empty.

    A session that was found empty is requested again only if other tables have rows of it.

    Args:
        root: the lake.
        wanted: the wheels.
        ranges: start and end of each dataset and schema.
        recent: the first session that may be refused: those from it on are requested one by one.

    Raises:
        InputError: for sessions before the history of every source.
        LakeError: if a file of the lake is damaged or misplaced.
    """
    sessions = covered(wanted, ranges)
    needs: list[Need] = []
    found: list[Request] = []
    for symbol in wanted.symbols:
        mine = _OneUnderlying(root, symbol, wanted, ranges, sessions)
        needs += mine.needs
        found += mine.requests(recent)
    return Plan(tuple(needs), tuple(found))


def covered(wanted: Wanted, ranges: Ranges) -> Sessions:
    """The sessions from `wanted.start` on that wheels can reach, and some more."""
    slack = 14 + 3 * (wanted.call.call_wait_sessions + 1)
    last_data = max(end for _, end in ranges[OPTIONS].values()).date()
    cycles, a_call = wanted.call.max_cycles, wanted.call.dte_max + slack
    first_settlement = wanted.end + dt.timedelta(days=wanted.put.dte_max + slack)
    reach = (
        max(first_settlement, last_data)
        if cycles is None
        else first_settlement + dt.timedelta(days=cycles * a_call)
    )
    return Sessions.known(wanted.calendar, wanted.start, reach)


def reach(sessions: Sessions, wanted: Wanted, last_data: dt.date) -> tuple[dt.date, dt.date]:
    """The last session on which a call may be sold, and the last settlement of any leg.

    Without a limit of cycles, calls are sold until the end of the data.
    """

    def settlement(sold: dt.date, days: int) -> dt.date:
        return _on_or_before(sessions, sold + dt.timedelta(days=days))

    dates: list[dt.date] = sessions.frame["session"].to_list()
    sold = _on_or_before(sessions, wanted.end)
    settled, cycles, turn = settlement(sold, wanted.put.dte_max), wanted.call.max_cycles, 0
    while sold < dates[-1] and (turn < cycles if cycles is not None else sold <= last_data):
        after = dates.index(settled) + 1 + wanted.call.call_wait_sessions
        sold = dates[min(after, len(dates) - 1)]
        settled, turn = settlement(sold, wanted.call.dte_max), turn + 1
    return sold, settled


def _on_or_before(sessions: Sessions, day: dt.date) -> dt.date:
    at = int(sessions.number_on_or_before(np.array([min(day, sessions.last)]))[0])
    if at < 0:
        raise InputError(
            f"there is no session of {sessions.calendar} from {sessions.first} to {day}"
        )
    found: dt.date = sessions.frame["session"][at]
    return found


class _OneUnderlying:
    """The needs of one underlying, and the requests that fill them."""

    def __init__(
        self, root: Path, symbol: str, wanted: Wanted, ranges: Ranges, sessions: Sessions
    ) -> None:
        self._root, self._symbol, self._wanted, self._ranges = root, symbol, wanted, ranges
        self._recorded = answers.recorded(root, symbol)
        last_data = max(end for _, end in ranges[OPTIONS].values()).date()
        last_sold, last_settled = reach(sessions, wanted, last_data)
        rows = sessions.frame.with_columns(minute=sessions.entry_minutes(wanted.entry_time))
        rows = rows.filter(pl.col("session") <= last_settled)
        self._sessions: list[dt.date] = rows["session"].to_list()
        self._hours = {
            session: (opens, closes, minute)
            for session, opens, closes, minute in rows.select(
                "session",
                *(pl.col(name).dt.cast_time_unit("us") for name in ("open", "close", "minute")),
            ).iter_rows()
        }
        quotes = [self._quotes(session) for session in self._sessions if session <= last_sold]
        lacking = {need.session for need in quotes if need.state in FETCHED}
        self.needs = [
            *quotes,
            *self._minutes(lacking),
            *self._daily("option_bars"),
            *self._daily("underlying_bars"),
        ]

    def _quotes(self, session: dt.date) -> Need:
        minute, schema = self._hours[session][2], self._wanted.schema
        if minute is None:
            return Need(self._symbol, "option_quotes", session, OPTIONS, schema, CLOSED)
        if minute < begins(self._ranges, OPTIONS, schema):
            schema = "cbbo-1m"
        if minute < begins(self._ranges, OPTIONS, schema):
            first = begins(self._ranges, OPTIONS, schema).date()
            raise InputError(
                f"there are no quotes on {session}: {schema} of {OPTIONS} begins on {first}; "
                "start there or later"
            )
        request = Request.quotes(self._symbol, schema, session, minute, self._wanted.look_back)
        said = self._recorded.filter(
            (pl.col("session") == session)
            & (pl.col("table") == "option_quotes")
            & (pl.col("minute") == minute)
        )
        far_enough = said.filter(pl.col("whole") & (pl.col("look_back") >= self._wanted.look_back))
        held = (session, minute) in self._held_minutes and (
            said.is_empty() or not far_enough.is_empty()
        )
        held = held or (session, None) in self._held_minutes
        empty = not far_enough.filter(
            (pl.col("rows") == 0) & (pl.col("schema") == schema)
        ).is_empty()
        return Need(
            self._symbol, request.table, session, OPTIONS, schema, self._state(request, held, empty)
        )

    def _minutes(self, quoted: set[dt.date]) -> Iterator[Need]:
        """The needs of minutes: for the price beside quotes, and for bars without official ones."""
        held, bars = self._days(answers.MINUTES), self._days(TABLES["underlying_bars"])
        empty = self._found_empty("underlying_minutes")
        for session in self._sessions:
            needed = session in quoted or not self._has_summary(session)
            if needed:
                opens, closes, _ = self._hours[session]
                dataset = self._dataset(session, opens)
                request = Request.minutes(self._symbol, dataset, session, opens, closes)
                there = session in held or (session in bars and session not in quoted)
                yield Need(
                    self._symbol,
                    request.table,
                    session,
                    dataset,
                    request.schema,
                    self._state(request, there, session in empty),
                )

    def _dataset(self, session: dt.date, opens: dt.datetime) -> str:
        known = {
            name: begins(self._ranges, name, "ohlcv-1m")
            for name in MINUTES
            if self._ranges.get(name)
        }
        for name, begin in known.items():
            if begin <= opens:
                return name
        histories = (
            ", ".join(f"{name} begins on {begin:%Y-%m-%d}" for name, begin in known.items())
            or "the gateway has none"
        )
        raise InputError(
            f"there are no minutes of {self._symbol} itself on {session}: {histories}; "
            "start there or later"
        )

    def _daily(self, table: str) -> Iterator[Need]:
        held, empty = self._days(TABLES[table]), self._found_empty(table)
        for session in self._sessions:
            if table == "option_bars" or self._has_summary(session):
                request = Request.daily(self._symbol, table, (session,))
                state = self._state(request, session in held, session in empty)
                yield Need(self._symbol, table, session, request.dataset, request.schema, state)

    def _has_summary(self, session: dt.date) -> bool:
        return has_summary(self._ranges, session)

    def _state(self, request: Request, held: bool, empty: bool) -> str:
        if held or empty:
            first, last = self._wanted.refetch or (dt.date.max, dt.date.min)
            again = first <= request.sessions[0] <= last or (
                not held and self._is_doubtful(request.table, request.sessions[0])
            )
            return AGAIN if again else HELD if held else EMPTY
        return (
            LATER
            if request.end > _span(self._ranges, request.dataset, request.schema)[1]
            else LACKING
        )

    def _is_doubtful(self, table: str, session: dt.date) -> bool:
        """Whether other tables have rows of a session of which this one was found empty.

        False if rows of this table were set aside on that session.
        """
        others = {name: days for name, days in self._sessions_held.items() if name != table}
        aside = self._set_aside.get(table, frozenset())
        return session not in aside and any(session in days for days in others.values())

    @cached_property
    def _sessions_held(self) -> dict[str, set[dt.date]]:
        tables = [TABLES[name] for name in ("option_quotes", "option_bars", "underlying_bars")]
        return {
            table.name: set(
                lake.stored(self._root, table, self._symbol, ("session",))["session"].unique()
            )
            for table in (*tables, answers.MINUTES)
        }

    @cached_property
    def _set_aside(self) -> dict[str, frozenset[dt.date]]:
        tables = [TABLES[name] for name in ("option_quotes", "option_bars", "underlying_bars")]
        return {table.name: _set_aside_on(self._root, table, self._symbol) for table in tables}

    @cached_property
    def _held_minutes(self) -> set[tuple[dt.date, dt.datetime | None]]:
        rows = lake.stored(self._root, TABLES["option_quotes"], self._symbol, ("session", "ts"))
        return set(
            rows.select("session", pl.col("ts").dt.truncate("1m").dt.cast_time_unit("us"))
            .unique()
            .iter_rows()
        )

    def _days(self, table: Table) -> set[dt.date]:
        """The sessions that the lake has, without those of which only some contracts are known."""
        days = self._sessions_held[table.name]
        said = self._recorded.filter(pl.col("table") == table.name)
        return days - (
            set(said.filter(~pl.col("whole"))["session"]) - set(said.filter("whole")["session"])
        )

    def _found_empty(self, table: str) -> set[dt.date]:
        said = self._recorded.filter(
            (pl.col("table") == table) & pl.col("whole") & (pl.col("rows") == 0)
        )
        return set(said["session"])

    def requests(self, recent: dt.date) -> Iterator[Request]:
        """The requests for the sessions in a state of `FETCHED`."""
        wanted = [need for need in self.needs if need.state in FETCHED]
        for need in wanted:
            opens, closes, minute = self._hours[need.session]
            if need.table == "option_quotes":
                request = Request.quotes(
                    self._symbol, need.schema, need.session, minute, self._wanted.look_back
                )
                yield replace(request, again=need.state == AGAIN)
            elif need.table == "underlying_minutes":
                request = Request.minutes(self._symbol, need.dataset, need.session, opens, closes)
                yield replace(request, again=need.state == AGAIN)
        for table, state in product(("option_bars", "underlying_bars"), FETCHED):
            days = {need.session for need in wanted if (need.table, need.state) == (table, state)}
            for run in requests.runs(self._sessions, days, recent):
                yield replace(Request.daily(self._symbol, table, run), again=state == AGAIN)


def _set_aside_on(root: Path, table: Table, underlying: str) -> frozenset[dt.date]:
    """The days on which rows of a table were set aside when its files were written."""
    months = listing.present(root, table.name, underlying)
    footers = [
        parquet.MonthFile(table, underlying, month, path).footer()
        for month, path in sorted(months.items())
    ]
    return frozenset(dt.date.fromisoformat(day) for footer in footers for day in footer.aside)


def has_summary(ranges: Ranges, session: dt.date) -> bool:
    """Whether the official daily bars reach back to a session."""
    return bool(ranges.get(SUMMARY)) and begins(ranges, SUMMARY, "ohlcv-1d") <= midnight(session)


def begins(ranges: Ranges, dataset: str, schema: str) -> dt.datetime:
    """The time at which the history of a schema begins."""
    return _span(ranges, dataset, schema)[0]


def _span(ranges: Ranges, dataset: str, schema: str) -> Span:
    known = ranges[dataset]
    start, end = known.get(schema, known[""])
    return max(start, _BEGINS.get((dataset, schema), start)), end


def overview(plan: Plan, prices: Callable[[Request], float]) -> pl.DataFrame:
    """One row per underlying, table and source: sessions by state, requests, and dollars."""
    needs = pl.DataFrame(
        plan.needs,
        schema=dict.fromkeys(Need._fields, pl.String) | {"session": pl.Date},
        orient="row",
    )
    keys = ["symbol", "table", "dataset", "schema"]
    states = [(pl.col("state") == state).sum().cast(pl.Int64).alias(state) for state in STATES]
    counted = needs.group_by(keys, maintain_order=True).agg(states)
    priced = [
        (request.underlying, request.table, request.dataset, request.schema, 1, prices(request))
        for request in plan.requests
    ]
    schema = dict.fromkeys(keys, pl.String) | {"requests": pl.Int64, "dollars": pl.Float64}
    costs = (
        pl.DataFrame(priced, schema=schema, orient="row")
        .group_by(keys)
        .agg(pl.col("requests", "dollars").sum())
    )
    return counted.join(costs, on=keys, how="left", maintain_order="left").with_columns(
        pl.col("requests").fill_null(0), pl.col("dollars").fill_null(0.0)
    )
