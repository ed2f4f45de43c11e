"""Warnings about the data and the run, in words and with counts (data.md): `Result.warnings`.

    market.findings, schedule, signals, diagnostics -> RunWarnings, in the order to be read

A warning changes no figure. It names a doubtful fact of the data or the run that figures rest on.
"""

import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from wheelvec.lake.splits import successors
from wheelvec.market.market import Market
from wheelvec.market.splits import explaining, row_text
from wheelvec.model.codes import OUTCOMES
from wheelvec.model.config import Config
from wheelvec.model.errors import counted, listed, printable
from wheelvec.model.grid import Grid
from wheelvec.model.schemas import SPLITS, WARNINGS
from wheelvec.tables.anomalies import Findings
from wheelvec.tables.sessions import Sessions

# A hole is warned of if it has so many sessions in a row, or so large a share of all sessions;
# `wheelvec check` lists all holes.
LONG_HOLE, LARGE_SHARE = 3, 0.2
READ_SESSIONS = 20  # sessions of an underlying in which the minutes of quotes are looked up
WHOLE_HOURS = 0.9  # share of sessions off by whole hours that suggests a wrong time zone
MINUTE = 60 * 10**9  # nanoseconds


@dataclasses.dataclass(frozen=True)
class RunWarning:
    """One warning about the data or the run.

    Attributes:
        code: the kind of warning, for programs, such as "suspected_split".
        underlying: the underlying; None if it concerns several or none.
        count: a number of sessions, rows, events or configurations, as the text says.
        text: the warning in words.

    Example:
        >>> from wheelvec.run.results.warnings import RunWarning
        >>> text = "when: 3 of 60 rows match no entry session"
        >>> print(RunWarning("unmatched_signals", None, 3, text))
        when: 3 of 60 rows match no entry session
    """

    code: str
    underlying: str | None
    count: int
    text: str

    def __str__(self) -> str:
        return self.text


Warnings = tuple[RunWarning, ...]


def as_frame(warnings: Iterable[RunWarning]) -> pl.DataFrame:
    """Warnings as a frame to be stored, `schemas.WARNINGS`."""
    return pl.DataFrame(
        [dataclasses.astuple(warning) for warning in warnings], schema=WARNINGS, orient="row"
    )


def of_frame(frame: pl.DataFrame) -> Warnings:
    """The warnings of a frame of `as_frame`."""
    return tuple(RunWarning(*row) for row in frame.select(*WARNINGS).iter_rows())


def brief(warnings: Iterable[RunWarning], most: int = 3) -> list[str]:
    """The first warnings of each kind as sentences, and of which underlyings the others are.

    Args:
        warnings: all of them.
        most: how many of a kind.
    """
    kinds: dict[str, list[RunWarning]] = {}
    for warning in warnings:
        kinds.setdefault(warning.code, []).append(warning)
    lines = []
    for code, found in kinds.items():
        lines += [printable(warning.text) for warning in found[:most]]
        if more := [warning.underlying or "" for warning in found[most:]]:
            names = listed(dict.fromkeys(more), most=6)
            lines.append(printable(f"{code}, {len(more):,} more: {names}"))
    return lines


def of_failures(failures: pl.DataFrame) -> Warnings:
    """A warning of each underlying that no figure counts.

    Args:
        failures: `schemas.FAILURES`.
    """
    return tuple(
        RunWarning(
            "failed", name, 1, f"{name}: left out of all figures, because of an error: {error}"
        )
        for name, error in failures.iter_rows()
    )


def of_backtest(
    market: Market, config: Config, when: pl.DataFrame | None, diagnostics: pl.DataFrame
) -> Warnings:
    """The warnings of one backtest.

    Args:
        market: the market.
        config: the configuration.
        when: the user's signal, as given; None without one.
        diagnostics: `schemas.DIAGNOSTICS` of the run, one row per entry session and underlying.
    """
    schedule, days = config.schedule, diagnostics["session"]
    symbols = diagnostics["underlying"].unique(maintain_order=True).to_list()
    found = market.findings(symbols)
    warnings: list[RunWarning] = []
    if symbols:
        quoted_days = _quoted_days(market, found, symbols)
        explicit = _explicit(schedule.start_date, schedule.end_date)
        warnings += _outside(quoted_days, days.unique(), explicit)
        minutes = Sessions.load(schedule.trading_calendar, days.min(), days.max())  # type: ignore[arg-type]
        quoted = diagnostics.filter(pl.col("outcome") == "no_quotes").join(
            _before_renames(market, found.chain), on=("underlying", "session"), how="semi"
        )
        warnings += _no_entry_quotes(
            market,
            quoted,
            _entry_minutes(minutes, schedule.entry_time),
            schedule.entry_time,
            days.n_unique(),
        )
        reach = _reach(days.max(), config.put.dte_max, config.call.dte_max, config.call.max_cycles)  # type: ignore[arg-type]
        warnings += _of_data(market, found, days.min(), reach)  # type: ignore[arg-type]
        warnings += _renames(market, symbols, days.min(), reach)  # type: ignore[arg-type]
        warnings += _no_dividends(market, symbols, [config.call.early_assignment])
    if when is not None:
        entries = diagnostics.select("session", "underlying")
        warnings += _unmatched("when", when, entries, market.symbols)
    if not diagnostics["n_launched"].sum():
        warnings.insert(0, _no_wheels(market, diagnostics))
    return tuple(warnings)


def of_sweep(
    market: Market,
    grid: Grid,
    frame: pl.DataFrame,
    signals: Iterable[tuple[str | None, pl.DataFrame, pl.DataFrame]],
    explain: Callable[[int], Warnings] | None,
    left_out: Collection[str] = (),
) -> Warnings:
    """The warnings of a sweep: about its data, its signals, and rows that launched no wheel.

    Args:
        market: the market.
        grid: the grid.
        frame: one row per configuration, with the counts `csp_*` of puts by exit reason.
        signals: the name of each signal (None for `when`), its pairs as given, and the entry
            sessions of the rows that it bounds.
        explain: returns the warnings of a backtest of one row; None where that takes too long.
        left_out: underlyings that could not be read.
    """
    first, last = _dates(market, grid)
    named = [symbols for symbols in grid.values("schedule.symbols") if symbols is not None]
    every = len(named) < len(grid.values("schedule.symbols"))
    symbols = list(market.symbols) if every else sorted(set().union(*named))
    symbols = [symbol for symbol in symbols if symbol not in left_out]
    found = market.findings(symbols)
    warnings: list[RunWarning] = []
    quoted_days = _quoted_days(market, found, symbols)
    chain = _before_renames(market, found.chain)
    for calendar in grid.values("schedule.trading_calendar"):
        sessions = Sessions.known(calendar, first, last)
        explicit = (*grid.values("schedule.start_date"), *grid.values("schedule.end_date"))
        warnings += _outside(quoted_days, sessions.frame["session"], _explicit(*explicit))
        for entry_time in grid.values("schedule.entry_time"):
            minutes = _entry_minutes(sessions, entry_time)
            warnings += _no_entry_quotes(
                market, _away_from(chain, minutes), minutes, entry_time, sessions.frame.height
            )
    reach = _reach(
        last, grid.most("put.dte_max"), grid.most("call.dte_max"), grid.most("call.max_cycles")
    )
    warnings += _of_data(market, found, first, reach)
    warnings += _renames(market, symbols, first, reach)
    warnings += _no_dividends(market, symbols, grid.values("call.early_assignment"))
    for name, given, entries in signals:
        called = "when" if name is None else f"signals[{name!r}]"
        warnings += _unmatched(called, given, entries, market.symbols)
    idle = frame.select(pl.sum_horizontal(pl.col("^csp_.*$")) == 0).to_series().arg_true()
    if len(idle):
        text = f"{len(idle):,} of {counted(frame.height, 'configuration')} launched no wheel, "
        text += f"the first in row {idle[0]}"
        known = explain(idle[0]) if explain else ()
        why = next((f": {warning}" for warning in known if warning.code == "no_wheels"), "")
        warnings.insert(0, RunWarning("no_wheels", None, len(idle), text + why))
    return tuple(dict.fromkeys(warnings))


def _dates(market: Market, grid: Grid) -> tuple[dt.date, dt.date]:
    """The first and last possible entry date over all configurations."""
    data = market.data_range or (dt.date.max, dt.date.min)
    starts, ends = grid.values("schedule.start_date"), grid.values("schedule.end_date")
    return min(start or data[0] for start in starts), max(end or data[1] for end in ends)


def _away_from(chain: pl.DataFrame, minutes: pl.DataFrame) -> pl.DataFrame:
    """(underlying, session) whose first and last quote are before or after the entry minute."""
    end = pl.col("minute") + pl.duration(minutes=1)
    days = chain.join(minutes, on="session").filter(
        (pl.col("last_ts") < pl.col("minute")) | (pl.col("first_ts") >= end)
    )
    return days.select("underlying", "session")


# ---- the data


def _of_data(
    market: Market, found: Findings, first: dt.date, last: dt.date
) -> Iterator[RunWarning]:
    """The warnings about the data of a run whose wheels are open from `first` to `last` at most."""
    yield from _splits(found.splits.filter(pl.col("session").is_between(first, last)))
    yield from _contradicted(found.contradicted.filter(pl.col("ex_date").is_between(first, last)))
    yield from _splits_aside(market)
    overlaps = (pl.col("first") <= last) & (pl.col("last") >= first)
    yield from _adjusted(
        found.adjusted.filter(overlaps),
        "adjusted_closes",
        "the closes are",
        "underlying_price",
        "adjusted for a later split or for dividends? Strikes are not, so assignments and sales "
        "are wrong",
    )
    yield from _adjusted(
        found.adjusted_prices.filter(overlaps),
        "adjusted_underlying_price",
        "underlying_price is",
        "the price that puts and calls imply",
        "adjusted for a later split or for dividends? Delta and moneyness are wrong,"
        " and assignments too where the closes agree with it",
    )
    yield from _missing_bars(found.missing_bars, market)
    yield from _holes(found, first, last)
    yield from _shorter_quotes(market, found, first, last)
    renamed = _followed(market, found.ended["underlying"])
    for name, day, sessions in found.ended.iter_rows():
        if day < last and not any(day < ex_date for ex_date in renamed.get(name, ())):
            text = f"{name}: its bars end on {day}, {counted(sessions, 'session')} before the "
            text += "market's (delisted, renamed, or not supplied?)"
            yield RunWarning("underlying_ended", name, sessions, text)
    yield from _dividends(market, first, last)


def _no_dividends(
    market: Market, symbols: list[str], settings: Iterable[str]
) -> Iterator[RunWarning]:
    """The warning that early assignment for a dividend is asked of data that have none."""
    if "ex_div" not in settings:
        return
    held, names = market.dividends, [*symbols, *_successors(market, symbols)]
    if held is None or held.filter(pl.col("underlying").is_in(names)).is_empty():
        text = "call.early_assignment is 'ex_div', but the market has no dividend of "
        text += f"{listed(symbols, most=6)}: no call is assigned early; give it dividends="
        yield RunWarning("no_dividends", None, len(symbols), text)


def _stated_renames(market: Market) -> pl.DataFrame:
    """underlying, ex_date and new_underlying of each rename that a market states."""
    stated = pl.DataFrame(schema=SPLITS) if market.splits is None else market.splits
    return stated.drop_nulls("new_underlying").select("underlying", "ex_date", "new_underlying")


def _followed(market: Market, names: pl.Series) -> dict[str, list[dt.date]]:
    """The days of the renames of some underlyings to a name whose bars the market has."""
    found, known = dict[str, list[dt.date]](), set(names)
    for name, ex_date, new in _stated_renames(market).iter_rows():
        if name in known and market.has_daily_bars_of(new):
            found.setdefault(name, []).append(ex_date)
    return found


def _renamed_to(market: Market, names: pl.Series) -> dict[str, list[dt.date]]:
    """The days on which some underlyings took a name that another of them had not before."""
    found, known = dict[str, list[dt.date]](), set(names)
    for name, ex_date, new in _stated_renames(market).iter_rows():
        if name in known and new in known:
            found.setdefault(new, []).append(ex_date)
    return found


def _successors(market: Market, names: Iterable[str]) -> list[str]:
    """The names that some underlyings took later, by the splits of a market."""
    return [] if market.splits is None else sorted(successors(market.splits, names))


def _before_renames(market: Market, chain: pl.DataFrame) -> pl.DataFrame:
    """The rows of a chain that a run reads: those of a name before its underlying took another."""
    renames = _stated_renames(market).group_by("underlying").agg(pl.col("ex_date").min())
    days = chain.join(renames, on="underlying", how="left", maintain_order="left")
    return days.filter((pl.col("session") < pl.col("ex_date")).fill_null(True)).drop("ex_date")


def _renames(
    market: Market, symbols: list[str], first: dt.date, last: dt.date
) -> Iterator[RunWarning]:
    """Warnings of renames after which the data are not those of the new name.

    A run reads the rows of the new name alone from that day on. Renames after the data, and of
    names that have no row, concern no wheel.
    """
    if market.data_range is None:
        return
    begin, end = max(first, market.data_range[0]), min(last, market.data_range[1])
    names = [*symbols, *_successors(market, symbols)]
    rows = _stated_renames(market).filter(
        pl.col("underlying").is_in(names), pl.col("ex_date") <= end
    )
    for name, ex_date, new in rows.iter_rows():
        old = _days_with_rows(market, name)
        later = old.filter(old >= ex_date)
        text = f"{name}: splits rename it to {new!r} on {ex_date}, but "
        unread = f"rows of {name} on {counted(len(later), 'session')} from then on are not read"
        # a later bearer of the name, after a gap, is another underlying
        goes_on = len(later) and (
            len(later) == len(old) or _sessions_between(market, ex_date, later[0]) < LONG_HOLE
        )
        if len(old) and not (_days_with_rows(market, new) >= ex_date).any():
            count = _sessions_between(market, max(ex_date, begin), end) + 1
            text += f"the market has no row of that name on {counted(count, 'session')} from then "
            text += "on: no wheel opens, and none that is open is resolved"
            text += f"; {unread}" if len(later) else ""
            yield RunWarning("unmatched_rename", name, count, text)
        elif goes_on:
            yield RunWarning("unmatched_rename", name, len(later), text + unread)


def _sessions_between(market: Market, first: dt.date, last: dt.date) -> int:
    """The number of sessions after one day of the data, up to another; negative if it is before."""
    days: npt.ArrayLike = np.array([first, last], dtype="datetime64[D]")
    begin, end = market.sessions.number_on_or_before(days)
    return int(end) - int(begin)


def _days_with_rows(market: Market, name: str) -> pl.Series:
    """The sessions on which an underlying has a quote or a daily bar, sorted."""
    quoted = market.findings([name]).chain["session"]
    return pl.concat([quoted, market.closes(name)["session"]]).unique().sort()


def _splits(suspected: pl.DataFrame) -> Iterator[RunWarning]:
    rows = explaining(suspected)
    for event, row in zip(suspected.iter_rows(named=True), rows.iter_rows(), strict=True):
        new, old, name = event["numerator"], event["denominator"], event["underlying"]
        ratio = f", {new} for {old} by the prices," if new else ""
        text = (
            f"{name}: a split that no table explains{ratio} is suspected on {event['session']}: "
            f"{event['gone']:,} of {event['contracts']:,} contracts quoted on {event['last']} "
            "never are again. Wheels that are open across it are unresolved. "
        )
        yield RunWarning("suspected_split", name, 1, text + _advice(row))


def _advice(row: tuple[Any, ...]) -> str:
    """The row of splits that would explain a suspected split, in words."""
    *values, is_known = row
    if values[2] is None:
        none = row_text((*values[:2], 1, 1, None))
        return f"Add a row of splits with its ratio, or {none} if nothing happened"
    source = " (splits='known' has it)" if is_known else ""
    return f"Add to splits, if it is right: {row_text(tuple(values))}{source}"


def _contradicted(events: pl.DataFrame) -> Iterator[RunWarning]:
    for event in events.iter_rows(named=True):
        parts = []
        if event["numerator"]:
            parts.append(f"{event['numerator']} for {event['denominator']} shares")
        if event["amount"]:
            parts.append(f"a special dividend of {event['amount']:g} a share")
        name, seen = event["underlying"], event["seen"]
        text = f"{name}: {' and '.join(parts)} on {event['ex_date']} are stated, a factor of "
        text += f"{event['stated']:.4g}, but the price went from {event['before']:g} to "
        text += f"{event['after']:g}, a factor of {seen:.4g}: the row or the prices are wrong"
        yield RunWarning("contradicted_by_prices", name, 1, text)


def _splits_aside(market: Market) -> Iterator[RunWarning]:
    """Warnings of broken rows of splits, which a run takes no notice of."""
    aside = market.splits_set_aside.group_by("reason", maintain_order=True).agg(
        pl.col("count").sum(), pl.col("example").first()
    )
    for reason, count, example in aside.iter_rows():
        text = f"splits: {counted(count, 'row')} left out ({reason}), such as {example}"
        yield RunWarning("splits_set_aside", None, count, text)


def _adjusted(
    runs: pl.DataFrame, code: str, subject: str, other: str, consequence: str
) -> Iterator[RunWarning]:
    for name, first, last, sessions, factor in runs.iter_rows():
        text = f"{name}: on {counted(sessions, 'session')}, {first} to {last}, "
        text += f"{subject} {factor:.4g} of {other}: {consequence}"
        yield RunWarning(code, name, sessions, text)


def _missing_bars(missing_bars: pl.DataFrame, market: Market) -> Iterator[RunWarning]:
    lacking = missing_bars.filter(pl.col("table") == "option_bars")["underlying"]
    others = ", where others have some" if lacking.n_unique() < len(market.symbols) else ""
    for table, name, reason, count, _ in missing_bars.iter_rows():
        if table == "underlying_bars":
            text = f"{name}: {counted(count, 'quote')} and no daily bar of the underlying: "
            yield RunWarning(reason, name, count, text + "no leg of it can settle")
        elif market.has_option_bars:
            yield RunWarning(
                reason,
                name,
                count,
                f"{name}: {counted(count, 'quote')} and not one option bar{others}: its daily "
                "quotes decide stops and targets, seen at entry time only",
            )
    none = missing_bars.filter(pl.col("table") == "option_bars")
    if len(none) and not market.has_option_bars:
        yield RunWarning(
            "no_option_bars",
            none["underlying"][0] if len(none) == 1 else None,
            int(none["count"].sum()),
            "the market has no option bars: the daily quotes decide stops and targets, seen at "
            "entry time only",
        )


_LACKING = {
    "option_quotes": "no wheel opens and no call is sold on them",
    "option_bars": "stops and targets are not seen on them",
    "underlying_bars": "what settles on them is not known",
}


def _holes(found: Findings, first: dt.date, last: dt.date) -> Iterator[RunWarning]:
    """Warnings of tables that lack many sessions between an underlying's first and last quote."""
    quoted = (
        found.chain.filter(pl.col("valid") > 0)
        .group_by("underlying")
        .agg(begin=pl.col("session").min(), end=pl.col("session").max(), quoted=pl.len())
    )
    inside = (pl.col("first") >= pl.max_horizontal("begin", pl.lit(first))) & (
        pl.col("first") <= pl.min_horizontal("end", pl.lit(last))
    )
    held = found.holes.join(quoted, on="underlying").filter(inside)
    held = held.join(found.ended.select("underlying", ended="last"), on="underlying", how="left")
    held = held.filter(
        (pl.col("table") != "underlying_bars")
        | (pl.col("first") <= pl.col("ended")).fill_null(True)
    )
    longest = pl.col("sessions").arg_max()
    runs = (
        held.group_by("underlying", "table", maintain_order=True)
        .agg(
            pl.col("sessions").sum(),
            pl.col("quoted").first(),
            longest=pl.col("sessions").max(),
            first=pl.col("first").get(longest),
            last=pl.col("last").get(longest),
        )
        .sort("underlying", "table")
    )
    many = (pl.col("longest") >= LONG_HOLE) | (pl.col("sessions") > LARGE_SHARE * pl.col("quoted"))
    for name, table, sessions, _, most, begin, end in runs.filter(many).iter_rows():
        span = f"{begin} to {end} ({most:,})" if most > 1 else f"{begin}"
        text = f"{name}: {table} lacks {counted(sessions, 'session')} within its quotes, "
        text += f"the longest run {span}: {_LACKING[table]}"
        yield RunWarning(f"lacking_{table}", name, sessions, text)


def _shorter_quotes(
    market: Market, found: Findings, first: dt.date, last: dt.date
) -> Iterator[RunWarning]:
    """Warnings of underlyings whose quotes begin after those of others, or end before them."""
    held = found.chain.filter((pl.col("valid") > 0) & pl.col("session").is_between(first, last))
    spans = (
        held.group_by("underlying")
        .agg(begin=pl.col("session").min(), end=pl.col("session").max())
        .sort("underlying")
    )
    if spans.is_empty():
        return
    number = market.sessions.number_on_or_before
    begins, ends = (number(spans[name].to_numpy()).astype(int) for name in ("begin", "end"))
    bars_ended, renamed = set(found.ended["underlying"]), _renamed_to(market, spans["underlying"])
    for name, begin, end, late, early in zip(
        *spans, begins - begins.min(), ends.max() - ends, strict=True
    ):
        # one that had another name before opens wheels under that
        since = (_sessions_between(market, day, begin) for day in renamed.get(name, ()))
        if late >= LONG_HOLE and not any(0 <= n < LONG_HOLE for n in since):
            text = f"{name}: its quotes begin on {begin}, {counted(int(late), 'session')} after "
            text += "those of others: no wheel opens before"
            yield RunWarning("lacking_option_quotes", name, int(late), text)
        if early >= LONG_HOLE and name not in bars_ended:
            text = f"{name}: its quotes end on {end}, {counted(int(early), 'session')} before "
            text += "those of others: nothing is sold after"
            yield RunWarning("lacking_option_quotes", name, int(early), text)


def _dividends(market: Market, first: dt.date, last: dt.date) -> Iterator[RunWarning]:
    """Warnings of dividends of unknown underlyings, on no session, or all outside of the data."""
    paid = market.dividends
    if paid is None or not paid.height or market.data_range is None:
        return
    borne = [*market.symbols, *_successors(market, market.symbols)]
    unknown = paid.filter(~pl.col("underlying").is_in(borne))
    if unknown.height:
        names = unknown["underlying"].unique().sort()
        meant = [_with_suggestion(name, market.symbols) for name in names]
        text = f"dividends: {unknown.height:,} of {paid.height:,} match nothing, "
        text += f"of underlyings without quotes: {listed(meant, most=6)}"
        yield RunWarning("unmatched_dividends", None, unknown.height, text)
    begin, end = market.data_range
    known = paid.filter(pl.col("underlying").is_in(borne))
    within = known.filter(pl.col("ex_date").is_between(begin, end))
    if known.height and not within.height:
        text = f"dividends: none of {known.height:,} has its ex_date in the data, {begin} to {end};"
        text += f" the first is of {known['ex_date'].min()!s}"
        yield RunWarning("unmatched_dividends", None, known.height, text)
    closed = within.filter(~pl.col("ex_date").is_in(market.sessions.frame["session"].implode()))
    if closed.height:
        text = f"dividends: {closed.height:,} of {paid.height:,} have an ex_date that is no session"
        text += f", such as {closed['ex_date'][0]:%Y-%m-%d, a %A}"
        yield RunWarning("unmatched_dividends", None, closed.height, text)


# ---- dates and minutes


def _explicit(*dates: object) -> bool:
    """Whether the schedule sets a date; others are the first and the last of the market's data."""
    return any(date is not None for date in dates)


def _quoted_days(market: Market, found: Findings, symbols: list[str]) -> pl.Series:
    """The sessions with quotes of some underlyings, or of names that they took later."""
    later = market.findings(_successors(market, symbols)).chain
    return pl.concat([found.chain["session"], later["session"]])


def _outside(quoted: pl.Series, entries: pl.Series, explicit: bool) -> Iterator[RunWarning]:
    """A warning of entry sessions before the first or after the last quote of all underlyings.

    Where the market sets the dates, bars may well reach a session or two beyond the quotes.
    """
    if quoted.is_empty():
        return
    first, last = quoted.min(), quoted.max()
    outside = entries.filter(~entries.is_between(first, last))
    if len(outside) >= (1 if explicit else LONG_HOLE):
        span, held = f"{outside.min()!s} to {outside.max()!s}", f"{first!s} to {last!s}"
        text = f"{len(outside):,} of {counted(len(entries), 'entry session')} ({span}) "
        text += f"are outside the quotes, which are of {held}"
        yield RunWarning("outside_data", None, len(outside), text)


def _entry_minutes(sessions: Sessions, entry_time: str) -> pl.DataFrame:
    """(session, minute, zone): the start of each entry minute, without sessions that have none."""
    minutes = sessions.frame.select(
        "session", minute=sessions.entry_minutes(entry_time), zone=pl.lit(sessions.timezone)
    )
    return minutes.filter(pl.col("minute").is_not_null())


def _no_entry_quotes(
    market: Market, found: pl.DataFrame, minutes: pl.DataFrame, entry_time: str, entries: int
) -> Iterator[RunWarning]:
    """Warnings of sessions with quotes but none in the entry minute, with the minutes they have.

    Args:
        market: the market to read the quotes from.
        found: underlying and session of these sessions.
        minutes: session, minute and zone of `_entry_minutes`.
        entry_time: the schedule's entry time.
        entries: the number of entry sessions.
    """
    found = found.join(minutes, on="session", maintain_order="left")
    for (name,), days in found.group_by(["underlying"], maintain_order=True):
        read = days.head(READ_SESSIONS)
        quotes = market.quotes(str(name), read["session"].min(), read["session"].max())  # type: ignore[arg-type]
        quotes = quotes.select("session", "ts").drop_nulls().join(read, on="session")
        if quotes.height:
            text = f"{name}: on {days.height:,} of {counted(entries, 'entry session')} no quote "
            text += f"is in the minute of schedule.entry_time ({entry_time}); "
            text += _minutes_of_quotes(quotes)
            yield RunWarning("no_quotes_in_entry_minute", str(name), days.height, text)


def _minutes_of_quotes(quotes: pl.DataFrame) -> str:
    """The minutes of quotes in the exchange's time, and whether they are off by whole hours."""
    clock = pl.col("ts").dt.convert_time_zone(quotes["zone"][0])
    stamped = quotes.select(
        "session",
        clock=clock.dt.strftime("%H:%M"),
        other=clock.dt.date() != pl.col("session"),
        away=pl.col("ts").dt.truncate("1m").to_physical() - pl.col("minute").to_physical(),
    )
    most = (
        stamped.group_by("clock")
        .agg(pl.col("session").n_unique(), pl.len())
        .sort("session", "len", "clock", descending=True)
    )
    text = "they are in " + listed([clock for clock, *_ in most.head(4).iter_rows()])
    text += f" and {most.height - 4} other minutes" if most.height > 4 else ""
    if stamped["other"].all():
        return text + " of another day than their session"
    usual = stamped.group_by("session").agg(pl.col("away").mode().first())["away"]
    shifted = usual.filter((usual != 0) & (usual % (60 * MINUTE) == 0)) // (60 * MINUTE)
    if len(shifted) >= WHOLE_HOURS * len(usual):
        hours = listed(
            [
                f"{counted(abs(hour), 'hour')} {'later' if hour > 0 else 'earlier'}"
                for hour in shifted.unique().sort()
            ]
        )
        return f"{text}: {hours}, as if ts were in another time zone than UTC"
    return text


def _reach(last: dt.date, put_dte: float, call_dte: float, cycles: float | None) -> dt.date:
    """A date by which every wheel entered by `last` has ended."""
    days = put_dte + (math.inf if cycles is None else cycles) * (call_dte + 14) + 14
    return dt.date.fromordinal(int(min(last.toordinal() + days, dt.date.max.toordinal())))


# ---- signals and runs without a wheel


def _unmatched(
    name: str, when: pl.DataFrame, entries: pl.DataFrame, held: Iterable[str]
) -> Iterator[RunWarning]:
    """A warning of signals that match no entry session, with their underlyings or days."""
    counting = when.schema["session"].is_integer()
    given = when.select(
        pl.col("session").cast(pl.Date), pl.col("underlying").cast(pl.String)
    ).unique()
    lost = given.join(entries, on=("session", "underlying"), how="anti").sort(
        "session", "underlying"
    )
    if not lost.height:
        return
    symbols = entries["underlying"].unique().sort().to_list()
    known, why = lost.drop_nulls(), []
    if nulls := lost.height - known.height:
        why.append(f"{nulls:,} without a session or an underlying (null)")
    unknown = known.filter(~pl.col("underlying").is_in(symbols))
    rest = known.filter(pl.col("underlying").is_in(symbols))
    if unknown.height:
        names = [
            _with_suggestion(name, symbols or held)
            for name in unknown["underlying"].unique().sort()
        ]
        why.append(f"{unknown.height:,} of underlyings that the run lacks: {listed(names, most=6)}")
    if rest.height and counting:
        example = when["session"].drop_nulls()[0]
        why.append(
            f"session holds whole numbers such as {example}, which are days since 1970: give dates"
        )
    elif rest.height:
        days = rest["session"].unique().sort().to_list()
        shown = listed([f"{day:%Y-%m-%d (%a)}" for day in days], most=3)
        span = f" (entries are from {entries['session'].min()!s} to {entries['session'].max()!s})"
        why.append(f"{rest.height:,} on days that are no entry session: {shown}{span}")
    text = f"{name}: {lost.height:,} of {given.height:,} signals match no entry session: "
    yield RunWarning("unmatched_signals", None, lost.height, text + "; ".join(why))


def _with_suggestion(name: str, names: Iterable[str]) -> str:
    """An unknown name, with the most similar known one if there is any."""
    known = {each.casefold(): each for each in names}
    close = get_close_matches(name.casefold(), known, n=1)
    return f"{name} (did you mean {known[close[0]]}?)" if close else name


def _no_wheels(market: Market, diagnostics: pl.DataFrame) -> RunWarning:
    """A warning of a run without wheels, with the reasons."""
    if not market.symbols or (diagnostics["n_quotes"].sum() and not diagnostics["n_valid"].sum()):
        aside = (
            market.diagnostics.filter(pl.col("table") == "option_quotes")
            .group_by("reason")
            .agg(pl.col("count").sum())
        )
        rows = aside.sort("count", "reason", descending=True).iter_rows()
        reasons = listed([f"{count:,} {reason}" for reason, count in rows], most=4)
        return RunWarning(
            "no_wheels",
            None,
            0,
            f"no wheel: the market holds no valid quote ({reasons or 'it has no row'})",
        )
    if not diagnostics.height:
        text = "no wheel: the schedule leaves no entry session"
        if market.data_range is not None:
            text += "; the market holds {} to {}".format(*market.data_range)
        return RunWarning("no_wheels", None, 0, text)
    counts = (
        diagnostics["outcome"].value_counts().sort(["count", "outcome"], descending=[True, False])
    )
    why = listed(
        [f"{count:,} {outcome} ({OUTCOMES[outcome]})" for outcome, count in counts.iter_rows()],
        most=3,
    )
    sessions, names = (diagnostics[column].n_unique() for column in ("session", "underlying"))
    text = f"no wheel was launched: {counted(sessions, 'entry session')} x "
    text += f"{counted(names, 'underlying')}, {why}"
    return RunWarning("no_wheels", None, diagnostics.height, text)
