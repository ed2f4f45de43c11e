"""One configuration over one market. The only place where the order of the stages is written:

quotes -> chain -> entries -> puts -> calls -> wheels -> launch -> records
"""

import dataclasses
import datetime as dt
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from wheelvec.market.lake import month_end
from wheelvec.market.market import Market
from wheelvec.market.sessions import Sessions
from wheelvec.run.chains import month_chain
from wheelvec.run.folder import keep_apart
from wheelvec.run.index import digest_of
from wheelvec.run.parts import Parts
from wheelvec.run.result import Result, ResultWriter
from wheelvec.run.warnings import as_frame, of_backtest
from wheelvec.spec.codes import ExitReason
from wheelvec.spec.config import Config
from wheelvec.spec.errors import InputError, unknown_name
from wheelvec.spec.forks import refuse_forked
from wheelvec.spec.frames import SIGNALS, as_polars
from wheelvec.stages import chain as chains
from wheelvec.stages import wheels as ends
from wheelvec.stages.arrays import Array, Paths, build_paths, column, underlying_arrays, with_settlement
from wheelvec.stages.calls import call_legs, max_cycles, waits
from wheelvec.stages.entries import candidates
from wheelvec.stages.launch import diagnose, launch
from wheelvec.stages.paths import walked_closes, walked_rows
from wheelvec.stages.puts import put_legs
from wheelvec.stages.records import call_attempts

Progress = Callable[[int, int], None]

LAST_SETTLEMENT = dt.date(2099, 12, 31)  # the years of OSI symbols have two digits


def backtest(
    market: Market,
    config: Config | None = None,
    *,
    when: Any = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Every wheel of the configuration's date range, right to the cent (docs/fills.md says under which assumptions).

    Work goes slice by slice, one underlying and one month of entries at a time, with the quotes and bars that its wheels can
    reach, so memory follows the slice and not the market.

    Args:
        market: the tables; see `Market`.
        config: the rules; `Config()` if None.
        when: your own signal: a frame of (session, underlying), of Polars (lazy or not), pandas or Arrow; only these pairs
            may open. `Result.warnings` names those that match no entry session.
        out: a folder to write the result to as it is made, whole or not at all; None keeps it in memory. An earlier result of
            the same configuration, data and signal is replaced, and nothing else that is there.
        overwrite: whether another result in `out` may be replaced too.
        progress: called with (slices done, slices in all).

    Returns:
        A `Result`: records, wheels, ledger, summary, diagnostics.

    Raises:
        InputError, ConfigError: for a symbol the market does not hold, a calendar or range that does not exist, a bad signal.
        LakeError: if a file of the lake, or `out`, cannot be used: it holds anything else, which is named before any work is
            done; it lies in the lake, or the lake in it; another process is writing there.
    """
    refuse_forked()
    config = Config() if config is None else config
    for argument, value, expected in (("market", market, Market), ("config", config, Config)):
        if not isinstance(value, expected):
            raise InputError(f"{argument} is a {type(value).__name__}: expected a wheelvec.{expected.__name__}")
    if out is not None:
        keep_apart(out, market.folder)
    given = None if when is None else as_polars("when", when)
    plan = _plan(market, config, given)
    signals = None if plan.signals is None else _signals_digest(plan.signals)
    writer = ResultWriter(out, config, lambda: market.fingerprint, signals=signals, overwrite=overwrite)
    # the digest of the data is hashed meanwhile: hashing needs none of Python's lock, and is a quarter of a short run
    with writer, ThreadPoolExecutor(1) as aside:
        fingerprint = aside.submit(lambda: market.fingerprint)
        parts = Parts(writer.parts_folder)
        done, total = 0, len(plan.symbols) * len(plan.months)
        for position, symbol in enumerate(plan.symbols):
            state = _Runner(market, config, plan, symbol)
            for month in plan.months:
                for kind, frame in state.run_month(month).items():
                    parts.add(kind, (month, position), frame)
                done += 1
                if progress:
                    progress(done, total)
        parts.finish(list(plan.symbols), config, writer.write)
        fingerprint.result()
        return writer.close(warnings=lambda made: as_frame(of_backtest(market, config, given, made.diagnostics)))


@dataclasses.dataclass(frozen=True)
class _Plan:
    symbols: tuple[str, ...]
    sessions: pl.DataFrame  # session, number, minute; from the first entry date on
    entries: Array  # session numbers of the entry sessions
    months: list[dt.date]
    last_data: dt.date
    rate: Array
    dividend_yield: Array
    signals: pl.DataFrame | None


def _plan(market: Market, config: Config, when: pl.DataFrame | None) -> _Plan:
    schedule = config.schedule
    symbols = _symbols(market, config)
    start, end = _range(market, config)
    last_data = market.data_range[1] if market.data_range else end
    # whole months, so that a slice sees the same data wherever the range begins
    loaded = Sessions.load(schedule.trading_calendar, start.replace(day=1), _furthest(config, end, last_data))
    sessions = loaded.frame.select("session", pl.col("number").cast(pl.Int64)).with_columns(
        minute=loaded.entry_minutes(schedule.entry_time)
    )
    entries = _entry_numbers(sessions.filter(pl.col("session").is_between(start, end)), config)
    months = sorted({day.replace(day=1) for day in sessions["session"].gather(entries)})
    return _Plan(
        symbols,
        sessions,
        entries,
        months,
        last_data,
        chains.rates(config.pricing.rate, sessions, start, "rate"),
        chains.rates(config.pricing.dividend_yield, sessions, start, "dividend_yield"),
        None if when is None else _signals(when),
    )


def _range(market: Market, config: Config) -> tuple[dt.date, dt.date]:
    """The dates of the schedule; where it sets none, those of the market."""
    first, last = market.data_range or (None, None)
    start, end = config.schedule.start_date or first, config.schedule.end_date or last
    if not isinstance(start, dt.date) or not isinstance(end, dt.date):
        raise InputError("the market holds no data and the schedule no dates: expected schedule.start_date and end_date")
    if start > end:
        raise InputError(f"entries from {start} to {end}: the range is empty; the market holds {first} to {last}")
    return start, end


def _symbols(market: Market, config: Config) -> tuple[str, ...]:
    wanted = config.schedule.symbols
    if wanted is None:
        return market.symbols
    for symbol in wanted:
        if symbol not in market.symbols:
            raise InputError(unknown_name("symbol", symbol, market.symbols))
    return tuple(wanted)


def _furthest(config: Config, end: dt.date, last_data: dt.date) -> dt.date:
    """A date that no settlement session of the run can pass: entries, then as many calls as there can be."""
    slack = 14 + 3 * (waits(config) + 1)
    cycles = max_cycles(config)
    # in whole numbers: a dte_max of a million days leaves what a date can be
    reach = end.toordinal() + config.put.dte_max + slack
    a_call = config.call.dte_max + slack
    furthest = max(reach, last_data.toordinal()) + a_call
    if math.isfinite(cycles):
        furthest = min(furthest, reach + int(cycles) * a_call)
    return dt.date.fromordinal(min(furthest, max(end, LAST_SETTLEMENT).toordinal()))


def _entry_numbers(sessions: pl.DataFrame, config: Config) -> Array:
    """Session numbers on which wheels may open; `sessions` are those of the range."""
    schedule = config.schedule
    i = pl.col("number") - pl.col("number").min() - schedule.offset
    due = (i >= 0) & (i % schedule.every == 0)
    if schedule.weekdays is not None:
        due = due & pl.col("session").dt.weekday().is_in(list(schedule.weekdays))
    return column(sessions.filter(due), "number", np.int64)


def _signals(when: pl.DataFrame) -> pl.DataFrame:
    """Check the user's own signal: (session, underlying) pairs.

    Raises:
        InputError: naming the column that is missing or cannot be read.
    """
    for name in SIGNALS:
        if name not in when.columns:
            raise InputError(f"when lacks the column {name!r}: found {when.columns}, expected {list(SIGNALS)}")
    try:
        return when.select([pl.col(name).cast(kind) for name, kind in SIGNALS.items()]).unique()
    except pl.exceptions.PolarsError:
        found = {name: str(when.schema[name]) for name in SIGNALS}
        raise InputError(f"when has columns {found}: expected session as Date and underlying as String") from None


def _signals_digest(signals: pl.DataFrame) -> str:
    return digest_of(signals.sort(list(SIGNALS)).write_csv().encode())


@dataclasses.dataclass(frozen=True)
class _Month:
    """One month of one underlying, ready for the wheels: each month is read and solved once."""

    valid: pl.DataFrame
    solved: pl.DataFrame
    counts: pl.DataFrame
    bars: pl.DataFrame | None


class _Runner:
    """Runs one underlying month by month, holding the months that its wheels can still reach."""

    def __init__(self, market: Market, config: Config, plan: _Plan, symbol: str) -> None:
        self._market, self._config, self._plan, self._symbol = market, config, plan, symbol
        mine = market.underlying_bars.filter(pl.col("underlying") == symbol)
        self._underlying = underlying_arrays(mine, plan.sessions)
        dividends = market.dividends
        self._dividends = None if dividends is None else dividends.filter(pl.col("underlying") == symbol)
        signals = plan.signals
        self._signals = None if signals is None else signals.filter(pl.col("underlying") == symbol)
        self._months: dict[dt.date, _Month] = {}
        self._busy_until: dt.date | None = None

    def run_month(self, month: dt.date) -> dict[str, pl.DataFrame]:
        """All frames of the slice of wheels entered in `month`, unnumbered."""
        plan = self._plan
        entry_days = plan.sessions[plan.entries].filter(pl.col("session").dt.truncate("1mo") == month)
        data = self._reach(month, entry_days)
        entry_numbers = column(entry_days, "number", np.int64)
        found, counts = candidates(data.solved, entry_numbers, self._config)
        days = _days(entry_days, data, counts).with_columns(underlying=pl.lit(self._symbol))
        if not found.height:  # nothing to walk: of ten thousand underlyings most months may be so
            return {"diagnostics": diagnose(days, found.with_columns(launched=True, signalled=True), self._config.schedule)}
        symbols = self._symbols_walked(found, data)
        # nine of ten contracts of a chain are walked by no leg: left out once, not in every join
        quotes = data.valid.join(symbols.to_frame("symbol"), on="symbol", how="semi", maintain_order="left")
        paths = build_paths(symbols, data.bars, quotes, plan.sessions, self._config.fills.gap_path)
        puts = put_legs(with_settlement(found, plan.sessions), paths, self._underlying, self._config)
        assigned = puts.filter(pl.col("reason") == int(ExitReason.ASSIGNED))
        calls, attempts, ended = call_legs(
            assigned, data.solved, data.counts, paths, self._underlying, plan.sessions, self._config
        )
        return self._close(puts, calls, attempts, ended, data.counts, quotes, paths, days)

    def _close(
        self, puts: pl.DataFrame, calls: pl.DataFrame, attempts: pl.DataFrame, ended: pl.DataFrame,
        counts: pl.DataFrame, quotes: pl.DataFrame, paths: Paths, days: pl.DataFrame,
    ) -> dict[str, pl.DataFrame]:  # fmt: skip
        config, underlying, sessions = self._config, self._underlying, self._plan.sessions
        puts, calls = ends.cash_legs(puts, underlying, config), ends.cash_legs(calls, underlying, config)
        wheels = ends.wheel_ends(puts, calls, ended, underlying, config)
        wheels, self._busy_until = launch(wheels, config.schedule, self._signals, self._busy_until)
        diagnostics = diagnose(days, wheels, config.schedule)
        launched = ends.placed(wheels.filter("launched"))
        puts, calls, attempts = (ends.of_wheels(frame, launched) for frame in (puts, calls, attempts))
        launched = ends.totals(launched, underlying, self._dividends, config)
        return {
            "puts": puts,
            "calls": calls,
            "wheels": launched,
            "dividends": ends.received_dividends(launched, self._dividends if config.rules == "ledger" else None),
            "call_diagnostics": call_attempts(attempts, launched, counts, sessions),
            "diagnostics": diagnostics,
            "paths": walked_rows(puts, calls, paths, quotes, sessions, self._symbol),
            "underlying": walked_closes(launched, underlying, self._symbol),
        }

    def _reach(self, month: dt.date, entry_days: pl.DataFrame) -> _Month:
        """The data from `month` to the last session that a wheel entered in it can reach."""
        last_entry = entry_days["session"].max()
        assert isinstance(last_entry, dt.date)
        last = min(_furthest(self._config, last_entry, self._plan.last_data), self._plan.last_data)
        wanted = [month]
        while (following := _next_month(wanted[-1])) <= last:
            wanted.append(following)
        missing = [m for m in wanted if m not in self._months]
        # one after the other: since solving takes a tenth of what it did, two threads only wait for each other's lock
        self._months |= {m: self._prepare(m) for m in missing}
        self._months = {m: self._months[m] for m in wanted}
        months = list(self._months.values())
        held = [m.bars for m in months if m.bars is not None]
        return _Month(
            pl.concat([m.valid for m in months]),
            pl.concat([m.solved for m in months]),
            pl.concat([m.counts for m in months]),
            pl.concat(held) if held else None,
        )

    def _prepare(self, month: dt.date) -> _Month:
        plan, config = self._plan, self._config
        chain, counts = month_chain(self._market, self._symbol, month, config, plan.sessions, plan.rate, plan.dividend_yield)
        solved = chains.solved(chain)
        counts = chains.with_asked(counts, chain, solved, config.put, config.call)
        solved = chains.ranked(solved, config.liquidity.ivp_over == "chain", config.liquidity.ivp_min_candidates)
        return _Month(chain, solved, counts, self._market.bars(self._symbol, month, month_end(month)))

    def _symbols_walked(self, found: pl.DataFrame, data: _Month) -> pl.Series:
        """The candidates, and every call that one of their wheels might sell; sorted, each once."""
        call = self._config.call
        calls = data.solved.filter(
            (pl.col("option_type") == "C")
            & pl.col("dte").is_between(call.dte_min, call.dte_max)
            & pl.col("delta").is_between(call.delta_min, call.delta_max)
        )
        return pl.concat([found["symbol"], calls["symbol"]]).unique().sort()


def _next_month(month: dt.date) -> dt.date:
    return (month.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


def _days(entry_days: pl.DataFrame, data: _Month, counts: pl.DataFrame) -> pl.DataFrame:
    """Per entry session what was found there, zero where nothing was."""
    found = entry_days.select("session", "number").join(data.counts, on="number", how="left", maintain_order="left")
    found = found.join(counts, on="number", how="left", maintain_order="left")
    return found.with_columns(
        pl.col("priced").fill_null(False),
        pl.col("n_quotes", "n_valid", "puts_asked", "n_solved", "n_in_range", "n_liquid").fill_null(0),
    ).with_columns(unsolved=(pl.col("puts_asked") > 0) | (pl.col("n_valid") == 0))
