"""`simulate`: what one account would have had of the wheels of one or more results."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.account import (
    ENTRIES,
    OPTION_PHASE,
    TOO_SMALL,
    Book,
    Kept,
    new_kept,
    run_account,
)
from wheelvec.kernels.draws import draw, root_hash, wheel_words
from wheelvec.model import osi
from wheelvec.model.account import Account
from wheelvec.model.config import Config
from wheelvec.model.errors import ConfigError, InputError, LakeError, cut
from wheelvec.model.schemas import ACCOUNT_DAILY, ACCOUNT_DELTAS, ACCOUNT_LEDGER, PATHS
from wheelvec.run.accounts.limits import account_rate, limits_of
from wheelvec.run.cluster.job_results import name_of
from wheelvec.run.cluster.jobs import Found, Frames, Job, unpacked, versions, worker_name
from wheelvec.run.cluster.workers import Asked, Workers
from wheelvec.run.results.portfolio import Portfolio, Ran
from wheelvec.run.results.result import Result, ResultWriter
from wheelvec.run.results.warnings import Warnings
from wheelvec.run.signals.schedule import entry_rule_between
from wheelvec.stages import accounting
from wheelvec.stages.arrays import Array, column, days
from wheelvec.stages.book import Instruments, Offered, book_of, instruments, last_closes, names_of
from wheelvec.stages.chain import rates
from wheelvec.stages.metrics import riskless
from wheelvec.tables.sessions import Sessions

AGAIN = "run it again"


def simulate(
    results: Result | Sequence[Result],
    account: Account | None = None,
    *,
    benchmarks: Mapping[str, Any] | None = None,
    executor: Any = None,
) -> Portfolio:
    """Simulate one account: the wheels that it could carry, and its equity day by day.

    docs/portfolio.md states the clock as conditions. A wheel that is taken n times counts n times;
    each of its orders is one of n times the contracts.

    Args:
        results: of one backtest, or of several, whose wheels then share the account. Several need
            one calendar; in the order `record` the wheels of the first one come first on a session.
        account: cash, sizes, limits, order and interest; `Account()` if None.
        benchmarks: series to compare with, by name: frames of session and value, which are scaled
            to the cash.
        executor: where to compute: a `dask.distributed.Client`, or any executor of the kind of
            `concurrent.futures`. An account is one job, whose worker reads the saved results
            itself. The portfolio is that of a local run to the bit. None: this process.

    Raises:
        InputError, ConfigError: for an argument of another type, a fraction that is too small for
            any wheel, rates that begin too late, a benchmark that does not cover the days, or an
            executor for a result that is not saved.
        WheelvecError: if no worker of the executor can be used.
        LakeError: if a result was saved by an earlier version, without the data that this needs.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> portfolio = wv.simulate(result, wv.Account(cash=40_000))
        >>> portfolio.skipped.rows()
        [('no_cash', 3)]
        >>> round(portfolio.daily["equity"][-1], 2)
        40376.68
    """
    account = Account() if account is None else account
    if not isinstance(account, Account):
        raise InputError(f"account is {cut(account)}: expected a wheelvec.Account")
    if benchmarks is not None and not isinstance(benchmarks, Mapping):
        raise InputError(f"benchmarks is {cut(benchmarks)}: expected frames by name")
    known = _results(results)
    frames = _frames(known, account) if executor is None else _away(known, account, executor)
    # a saved result may be replaced; one in memory may need a pass over all quotes of its market
    saved = all(result.folder is not None for result in known)
    warnings = _warnings(known) if saved else partial(_warnings, known)
    ran = [_ran(result) for result in known]
    return Portfolio(account, frames, ran, given=benchmarks, warnings=warnings)


def _warnings(known: list[Result]) -> Warnings:
    """The warnings of some results, each once."""
    return tuple(dict.fromkeys(warning for result in known for warning in result.warnings))


def _frames(known: list[Result], account: Account) -> Frames:
    """The frames of the portfolio of an account, but those of its benchmarks.

    Args:
        known: the results whose wheels share the account.
        account: the account.
    """
    offered = [_offered(result) for result in known]
    sessions = _sessions(known, offered)
    day = days(sessions, "session")
    held = instruments(offered, day)
    book, order = book_of(offered, day, held, _ranks(offered, account))
    rate = account_rate(account.rate, sessions)
    groups = {name: i for i, name in enumerate(dict.fromkeys(held.names))}
    kept = new_kept(day.size, book.wheels.size, len(groups))
    run_account(book, limits_of(account), riskless(day, rate), kept)
    _refuse_small(account, book, kept)
    last_entry = _last_session([_last_entry(result) for result in known], day)
    last_bar = _last_session([each.closes["session"].max() for each in offered], day)
    end = accounting.last_session(book, kept, last_entry, last_bar)
    session = sessions["session"][: end + 1]
    deltas = _deltas(book, kept, held, offered, session, list(groups))
    wheels = _wheels(known, book, kept, order)
    closes = _together([each.closes for each in offered])
    return {
        "daily": _daily(session, kept, account, deltas),
        "wheels": wheels,
        "deltas": deltas,
        "ledger": _ledger(book, kept, order, wheels, session),
        "underlying": closes.filter(pl.col("session") <= session[-1]),
        "events": _together([each.events for each in offered]),
    }


# ---- on an executor


class Saved(NamedTuple):
    """A saved result: its folder, and what was run."""

    folder: Path
    ran: Ran


@dataclasses.dataclass(frozen=True)
class BookJob(Job):
    """One account over the wheels of saved results.

    Attributes:
        saved: the results.
        account: the account.
    """

    saved: tuple[Saved, ...]
    account: Account

    @property
    def folders(self) -> tuple[Path | None, ...]:
        """As `Job.folders`."""
        return tuple(each.folder for each in self.saved)

    def found(self) -> Found:
        """As `Job.found`: the frames of the portfolio."""
        known = [Result.load(each.folder) for each in self.saved]
        for result, each in zip(known, self.saved, strict=True):
            if _ran(result) != each.ran:
                raise LakeError(
                    f"{each.folder} holds another result at worker {worker_name()} than where the "
                    "account is simulated"
                )
        return Found(_frames(known, self.account), {}, {})

    @classmethod
    def warm(cls) -> None:
        """As `Job.warm`."""
        writer = ResultWriter(None, Config(), lambda: "")
        writer.start = dt.date(2024, 1, 2)
        with writer:
            _frames([writer.close()], Account())


def _ran(result: Result) -> Ran:
    return result.config.id, result.fingerprint, result.signals


def _away(known: list[Result], account: Account, executor: Any) -> Frames:
    """The frames of the portfolio of an account, by a worker of an executor.

    Raises:
        InputError: if a result is not saved.
        WheelvecError: if no worker can be used.
    """
    workers, saved = Workers(executor), list[Saved]()
    for result in known:
        if result.folder is None:
            raise InputError(
                "results has one that is in the memory of this process alone, where no worker of "
                "the executor can read it: save it with result.save(folder)"
            )
        saved.append(Saved(result.folder, _ran(result)))
    job = BookJob(versions(), tuple(saved), account)
    workers.check(*job.folders)
    name = name_of(repr((job.versions, job.saved, account.to_dict())))
    ((_, done),) = workers.run([Asked(name, job)])
    return unpacked(done.frames)


# ---- the results


def _results(results: Any) -> list[Result]:
    found = [results] if isinstance(results, Result) else results
    if not isinstance(found, list | tuple) or not found:
        raise InputError(f"results is {cut(results)}: expected a wheelvec.Result, or several")
    for result in found:
        if not isinstance(result, Result):
            raise InputError(f"results has {cut(result)}: expected a wheelvec.Result")
    calendars = {result.config.schedule.trading_calendar for result in found}
    if len(calendars) > 1:
        names = " and ".join(sorted(map(repr, calendars)))
        raise InputError(f"the results have the calendars {names}: expected one")
    return list(found)


def _offered(result: Result) -> Offered:
    """The frames of a result that an account needs.

    Raises:
        LakeError: if it was saved by an earlier version, which kept less.
    """
    if result.start is None or dict(result.paths.schema) != PATHS:
        raise LakeError(
            "the result was saved by an earlier version, without the paths, closes and events that "
            f"an account needs: {AGAIN}"
        )
    return Offered(
        result.config,
        result.records,
        result.ledger,
        result.paths,
        result.underlying,
        result.events,
    )


def _sessions(results: list[Result], offered: list[Offered]) -> pl.DataFrame:
    """Session and number, from the first of any schedule to the last that anything is of."""
    starts = [result.start for result in results if result.start is not None]
    frames = [(each.closes, "session") for each in offered]
    frames += [(each.ledger, "date") for each in offered]
    # under v5 an option also expires where there is no bar, and no cash is dated then
    frames += [(each.records, "exit_date") for each in offered]
    ends = [frame[name].max() for frame, name in frames if frame.height]
    ends += [_last_entry(result) for result in results]
    last = max([*starts, *(end for end in ends if isinstance(end, dt.date))])
    calendar = results[0].config.schedule.trading_calendar
    # the cash of a day that is no session comes on the next one
    loaded = Sessions.known(calendar, min(starts), last + dt.timedelta(days=14)).frame
    needed = int(np.searchsorted(days(loaded, "session"), _epoch(last)))
    return loaded[: needed + 1].select("session", pl.col("number").cast(pl.Int64))


def _epoch(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _last_entry(result: Result) -> dt.date | None:
    """The last entry session of a result; None if there is none.

    Without diagnostics it had no underlying with quotes, or the schedule leaves no entry session:
    then the schedule alone tells.
    """
    schedule, last = result.config.schedule, result.diagnostics["session"].max()
    if isinstance(last, dt.date) or result.start is None or schedule.end_date is None:
        return last if isinstance(last, dt.date) else None
    rule = entry_rule_between(schedule, result.start, schedule.end_date)
    sessions = Sessions.known(schedule.trading_calendar, rule.start, rule.end)
    entries = sessions.frame["session"].filter(pl.Series(rule.sessions(sessions.dates)))
    return entries[-1] if len(entries) else None


def _last_session(ends: Iterable[object], day: Array) -> int:
    """The number of the last of some sessions; 0 without any."""
    found = [int(np.searchsorted(day, _epoch(end))) for end in ends if isinstance(end, dt.date)]
    return max(found, default=0)


def _refuse_small(account: Account, book: Book, kept: Kept) -> None:
    """Refuse a fraction that no wheel fits into on any session."""
    if account.fraction is None or not kept.taken.size or not (kept.reason == TOO_SMALL).all():
        return
    least = float(book.wheels["capital"].min())
    raise ConfigError(
        f"account.fraction = {account.fraction} of {account.cash:,.2f} dollars is too small for "
        f"any of {kept.taken.size:,} wheels: the least initial capital is {least:,.2f} dollars"
    )


# ---- the order


def _ranks(offered: list[Offered], account: Account) -> Array:
    """(wheels,) the order in which the wheels of a session are tried, least first."""
    puts = pl.concat([each.records.filter(pl.col("phase") == "csp") for each in offered])
    if account.order == "record":
        return np.arange(puts.height)
    if account.order == "premium":
        gain = column(puts, "premium", np.float64) / column(puts, "initial_capital", np.float64)
        order = np.lexsort((np.arange(puts.height), -gain))
    else:
        order = np.lexsort((np.arange(puts.height), _draws(puts, account.seed)))
    out = np.empty(puts.height, np.int64)
    out[order] = np.arange(puts.height)
    return out


def _draws(puts: pl.DataFrame, seed: int) -> Array:
    """(wheels,) `fill_draw(seed, put_symbol, entry_date, 2**32 - 1, 0)`."""
    symbol = pl.col("put_symbol")
    fields = puts.select(
        "entry_date",
        expiration=osi.expiration(symbol),
        milli=osi.strike_milli(symbol),
        root=osi.root(symbol),
    )
    hashes = {str(root): root_hash(str(root)) for root in fields["root"].unique()}
    root = np.array([hashes[str(name)] for name in fields["root"]], np.uint64)
    words = np.empty(puts.height, np.uint64)
    milli = column(fields, "milli", np.int64)
    wheel_words(days(fields, "expiration"), milli, days(fields, "entry_date"), root, words)
    drawn = [draw(np.uint64(seed), word, OPTION_PHASE, 0) for word in words]
    return np.array(drawn, np.float64)


# ---- the frames


def _daily(session: pl.Series, kept: Kept, account: Account, deltas: pl.DataFrame) -> pl.DataFrame:
    sums = deltas.group_by("session").agg(pl.col("delta_dollars").sum())
    found = accounting.daily(session, kept, account.cash)
    return (
        found.join(sums, on="session", how="left", maintain_order="left")
        .with_columns(pl.col("delta_dollars").fill_null(0.0))
        .select(pl.col(name).cast(kind) for name, kind in ACCOUNT_DAILY.items())
    )


def _deltas(
    book: Book,
    kept: Kept,
    held: Instruments,
    offered: list[Offered],
    session: pl.Series,
    groups: list[str],
) -> pl.DataFrame:
    """The share equivalents of each underlying that the account ever held, on each session."""
    day = session.to_numpy().astype("datetime64[D]").astype(np.int64)
    shares, dollars = accounting.deltas(
        book, kept, last_closes(held), day, _rates(offered, session), len(groups)
    )
    taken = np.unique(book.wheels["group"][kept.taken > 0])
    columns = {
        "session": pl.concat([session] * taken.size) if taken.size else session[:0],
        "underlying": pl.Series(groups, dtype=pl.String).gather(np.repeat(taken, day.size)),
        "shares": shares[taken].ravel(),
        "delta_dollars": dollars[taken].ravel(),
    }
    return pl.DataFrame(columns, schema=ACCOUNT_DELTAS).sort("session", "underlying")


def _rates(offered: list[Offered], session: pl.Series) -> accounting.Rates:
    """The rates of each instrument's result by session."""
    frame = pl.DataFrame({"session": session})
    found: tuple[list[Array], list[Array]] = ([], [])
    for each in offered:
        for out, name in zip(found, ("rate", "dividend_yield"), strict=True):
            curve = getattr(each.config.pricing, name)
            value = rates(curve, frame, dt.date.max, name)
            out.extend([value] * len(names_of(each)))
    shape = -1, session.len()
    return accounting.Rates(*(np.reshape(out, shape) for out in found))


def _wheels(results: list[Result], book: Book, kept: Kept, order: Array) -> pl.DataFrame:
    """The wheels of the results, in their order: taken, reason and account_pnl."""
    every = pl.concat(
        [
            result.wheels.select(pl.lit(i, pl.Int64).alias("result"), pl.all())
            for i, result in enumerate(results)
        ]
    )
    taken, reason, pnl = (np.empty(order.size, kind) for kind in (np.int64, np.int64, np.float64))
    taken[order], reason[order] = kept.taken, kept.reason
    pnl[order] = accounting.account_pnl(book, kept)
    names = pl.Series(accounting.REASONS, dtype=pl.String)
    known = (pl.col("taken") > 0) & pl.col("pnl").is_not_null()
    return every.with_columns(
        pl.Series("taken", taken), names.gather(pl.Series(reason)).alias("reason")
    ).with_columns(account_pnl=pl.when(known).then(pl.Series(pnl)))


def _ledger(
    book: Book, kept: Kept, order: Array, wheels: pl.DataFrame, session: pl.Series
) -> pl.DataFrame:
    """The cash of the taken wheels, by session and wheel (model.schemas.ACCOUNT_LEDGER)."""
    # what an unresolved wheel does after the last bar comes after the last session
    rows = accounting.cash_rows(book, kept, session.len())
    at = pl.Series(order[rows.wheel])
    columns = {
        "row": at,
        "wheel_id": wheels["wheel_id"].gather(at),
        "date": session.gather(pl.Series(rows.session)),
        "entry": pl.Series(ENTRIES, dtype=pl.String).gather(pl.Series(rows.entry)),
        "amount": rows.amount,
    }
    return pl.DataFrame(columns, schema=ACCOUNT_LEDGER).sort("date", "row", maintain_order=True)


def _together(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all frames; what several results have alike, once."""
    if len(frames) == 1:
        return frames[0]
    names = frames[0].columns
    numbered = [frame.with_columns(copy=pl.int_range(pl.len()).over(names)) for frame in frames]
    return pl.concat(numbered).unique([*names, "copy"], maintain_order=True).drop("copy")
