"""`why_not`: which test left no put to sell on a session, and which contracts came nearest."""

import dataclasses
import datetime as dt
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.codes import OUTCOMES
from wheelvec.model.errors import InputError, listed, unknown_name
from wheelvec.model.fields import read_day
from wheelvec.model.schemas import first_flaw, quote_flaws
from wheelvec.report.sections import Section, Table, as_html, as_text
from wheelvec.report.story import check_arguments, offers_of, other_market
from wheelvec.report.story_sections import candidates_table
from wheelvec.run.results.result import Result
from wheelvec.run.signals.schedule import EntryRule
from wheelvec.tables.sessions import Sessions

NO_ENTRY = "no_entry_session"
NEAREST = 10  # contracts that are listed
# The counts of a session in the order of the tests, and what each has passed.
COUNTS = {
    "n_quotes": "contracts quoted in the entry minute",
    "n_valid": "with a valid quote, calls too",
    "n_solved": "puts within put.dte_* with an implied volatility",
    "n_in_range": "puts within put.dte_*, put.delta_* and put.otm_*",
    "n_liquid": "puts that pass [liquidity]",
    "n_launched": "wheels launched",
}


@dataclasses.dataclass(frozen=True, eq=False)
class WhyNot:
    """The outcome of one session and underlying; `why_not` makes one.

    `str()` has it as text, a notebook shows it as HTML, and `to_dict` has it for other programs.

    Attributes:
        result: of the run.
        session: the day.
        underlying: its symbol.
        outcome: the test that left nothing, as in `Result.diagnostics`; `traded` if wheels opened,
            and `no_entry_session` if the schedule has no entry on that day.
        reason: the same in a sentence.
        counts: how many contracts passed each test; empty without an entry session.
        launched: the wheels that opened.
        candidates: the puts of the session with the first test that each fails, those that came
            furthest first; None without a market.
        quotes: the session's rows of quotes by the reason why they are invalid, with counts; None
            without a market.
        notes: missing or odd data.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["CHRL"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-02-05")))
        >>> day = wv.why_not(result, "2024-02-05", "CHRL")
        >>> day.outcome, day.counts["n_in_range"], day.counts["n_liquid"]
        ('all_rejected_by_liquidity', 4, 0)
    """

    result: Result = dataclasses.field(repr=False)
    session: dt.date
    underlying: str
    outcome: str
    reason: str
    counts: dict[str, int]
    launched: tuple[str, ...]
    candidates: pl.DataFrame | None = dataclasses.field(repr=False)
    quotes: pl.DataFrame | None = dataclasses.field(repr=False)
    notes: tuple[str, ...] = ()

    @cached_property
    def sections(self) -> list[Section]:
        """The answer in parts: titles, lines and tables.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["CHRL"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12"))
            >>> saturday = wv.why_not(wv.backtest(market, config), "2024-01-06", "CHRL")
            >>> [section.title for section in saturday.sections]
            ['CHRL on 2024-01-06: no_entry_session']
        """
        return _sections(self)

    def __str__(self) -> str:
        return as_text(self.sections)

    def _repr_html_(self) -> str:
        return as_html(self.sections)

    def to_dict(self) -> dict[str, Any]:
        """The answer as dictionaries and lists of plain values; dates are dates.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["CHRL"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12"))
            >>> wv.why_not(wv.backtest(market, config), "2024-01-06", "CHRL").to_dict()["reason"]
            '2024-01-06 is no session of the calendar NYSE.'
        """
        return {
            "session": self.session,
            "underlying": self.underlying,
            "outcome": self.outcome,
            "reason": self.reason,
            "counts": dict(self.counts),
            "launched": list(self.launched),
            "candidates": None if self.candidates is None else self.candidates.to_dicts(),
            "quotes": None if self.quotes is None else self.quotes.to_dicts(),
            "notes": list(self.notes),
        }


def why_not(
    result: Result, session: dt.date | str, underlying: str, *, market: Market | None = None
) -> WhyNot:
    """Which test left no put to sell on a session, and which contracts came nearest to passing.

    The counts are those of `Result.diagnostics`, so that a saved result is enough. The contracts
    are not in it: with the market that it was run on, they are listed with the first test that each
    fails, the value tested and the value allowed.

    Args:
        result: of a backtest, saved or not.
        session: the day, a date or text such as "2024-01-03".
        underlying: its symbol.
        market: that the result was run on; None: without the contracts.

    Returns:
        A `WhyNot`: `print` it, show it in a notebook, or take its `to_dict()`.

    Raises:
        InputError: for a day that is none, an underlying that the run does not have, or an argument
            of another type.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["CHRL"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-02-05")))
        >>> day = wv.why_not(result, "2024-02-05", "CHRL", market=market)
        >>> nearest = day.candidates.row(0, named=True)
        >>> nearest["symbol"], nearest["failed"], round(nearest["value"], 3), nearest["limit"]
        ('CHRL  240315P00040000', 'spread', 0.207, 'at most 20.0%')
    """
    check_arguments(result, market)
    day = read_day("session", session)
    known = _underlyings(result)
    if underlying not in known:
        raise InputError(unknown_name("underlying", underlying, known))
    row = result.diagnostics.filter(pl.col("session") == day, pl.col("underlying") == underlying)
    if row.is_empty():
        reason = _no_entry(result, day)
        return WhyNot(result, day, underlying, NO_ENTRY, reason, {}, (), None, None)
    found = row.row(0, named=True)
    offers = offers_of(result, market)
    launched = _launched(result, day, underlying)
    return WhyNot(
        result,
        day,
        underlying,
        found["outcome"],
        _reason(result, found, launched),
        {name: found[name] for name in COUNTS},
        tuple(launched),
        None if offers is None else offers.puts(underlying, day),
        None if market is None else _quotes(market, underlying, day),
        tuple(_notes(result, market)),
    )


def _underlyings(result: Result) -> list[str]:
    named = result.config.schedule.symbols or ()
    return list(dict.fromkeys([*named, *result.diagnostics["underlying"].unique().sort()]))


def _launched(result: Result, day: dt.date, underlying: str) -> list[str]:
    wheels = result.wheels
    mine = (pl.col("entry_date") == day) & (pl.col("underlying") == underlying)
    return wheels.filter(mine)["wheel_id"].to_list()


def _no_entry(result: Result, day: dt.date) -> str:
    """Why a day is no entry session, by the schedule's own tests, one after the other."""
    schedule, sessions = result.config.schedule, result.diagnostics["session"]
    entries = sessions.unique().sort()
    first, last = result.start or entries.min(), entries.max()
    if not isinstance(first, dt.date) or not isinstance(last, dt.date):
        return "The run has no entry session at all."
    calendar = schedule.trading_calendar
    known = Sessions.known(calendar, min(first, day), max(last, day)).frame["session"].to_numpy()
    at = np.flatnonzero(known == np.datetime64(day))
    if not at.size:
        return f"{day} is no session of the calendar {calendar}."
    if day < first:
        return f"{day} is before the schedule begins, on {first}."
    if day > last:
        return f"{day} is after the last entry session of the run, {last}."
    rule = EntryRule(first, last, frozenset(), schedule.every, schedule.offset, None)
    if rule.sessions(known)[at[0]]:
        allowed = listed(schedule.weekdays or ())
        return f"{day} is ISO weekday {day.isoweekday()}; schedule.weekdays has {allowed}."
    return (
        f"{day} is left out by schedule.every = {schedule.every} and schedule.offset = "
        f"{schedule.offset}, counted from {first}."
    )


def _reason(result: Result, row: dict[str, Any], launched: list[str]) -> str:
    outcome = row["outcome"]
    if outcome == "traded":
        limit = result.config.schedule.max_wheels_per_symbol_per_day
        more = f" max_wheels_per_symbol_per_day = {limit} left out others." * row["limit_reached"]
        return f"Wheels opened: {listed(launched)}.{more}"
    meaning = f"{OUTCOMES[outcome][0].upper()}{OUTCOMES[outcome][1:]}."
    if outcome == "wheel_already_open":
        return f"{meaning} {_occupied(result, row)}"
    if outcome == "corporate_action":
        return f"{meaning} {_next_event(result, row)}"
    return meaning


def _occupied(result: Result, row: dict[str, Any]) -> str:
    """Which wheel was open: the last one that was launched before."""
    before = result.wheels.filter(
        pl.col("underlying") == row["underlying"], pl.col("entry_date") < row["session"]
    )
    if before.is_empty():
        return ""
    last = before.row(-1, named=True)
    until = "unresolved" if last["exit_date"] is None else f"open until {last['exit_date']}"
    return f"{last['wheel_id']} was {until}."


def _next_event(result: Result, row: dict[str, Any]) -> str:
    after = result.events.filter(
        pl.col("underlying") == row["underlying"],
        pl.col("session") > row["session"],
        pl.col("kind") == "not_carried",
    )
    if after.is_empty():
        return ""
    event = after.row(0, named=True)
    return f"On {event['session']} there are {event['ratio']:g} new shares for an old one."


def _quotes(market: Market, underlying: str, day: dt.date) -> pl.DataFrame:
    """The rows of quotes of a session by reason, "" for valid ones: reason, rows, first, last."""
    rows = market.quotes(underlying, day, day)
    reasons = rows.with_columns(reason=first_flaw(quote_flaws()).fill_null(""))
    grouped = reasons.group_by("reason").agg(
        rows=pl.len(), first=pl.col("ts").min(), last=pl.col("ts").max()
    )
    return grouped.sort("rows", "reason", descending=[True, False])


def _notes(result: Result, market: Market | None) -> list[str]:
    if market is None:
        text = (
            "The contracts of a session are not part of a result: why_not(result, session, "
            "underlying, market=market), or wheelvec why-not with --lake, lists the nearest."
        )
        return [text]
    return other_market(result, market)


# ---- as text


def _sections(found: WhyNot) -> list[Section]:
    title = f"{found.underlying} on {found.session}: {found.outcome}"
    if found.outcome == NO_ENTRY:
        return [Section(title, (found.reason,))]
    sections = [Section(title, (found.reason,), (_funnel(found.counts),))]
    if found.candidates is not None:
        sections.append(_nearest(found.candidates))
    if found.quotes is not None and found.counts["n_quotes"] != found.counts["n_valid"]:
        sections.append(_invalid(found.quotes))
    if found.notes:
        sections.append(Section("Notes", found.notes))
    return sections


def _funnel(counts: dict[str, int]) -> Table:
    rows = [(f"{counts[name]:,}", meaning) for name, meaning in COUNTS.items()]
    return Table(("count", ""), rows, "rl")


def _nearest(candidates: pl.DataFrame) -> Section:
    if candidates.is_empty():
        return Section("The puts of the session", ("There is no put with a valid quote.",))
    table = candidates_table(candidates, None, NEAREST)
    return Section("The puts of the session, those that came furthest first", (), (table,))


def _invalid(quotes: pl.DataFrame) -> Section:
    def at(value: Any) -> str:
        return "-" if value is None else f"{value:%H:%M}"

    rows = [
        (row["reason"] or "valid", f"{row['rows']:,}", at(row["first"]), at(row["last"]))
        for row in quotes.iter_rows(named=True)
    ]
    title = "All quotes of the session, by the reason why they are invalid"
    return Section(title, (), (Table(("reason", "rows", "first UTC", "last"), rows, "lrrr"),))
