"""`check`: the contents of a lake, what it lacks, and its damaged files.

Every byte is read once to verify the digests. Of the tables only the columns that a finding needs
are decoded, some months at a time on all cores, and only a summary of each month is kept. So memory
grows with the months of one underlying, not with the lake.
"""

import datetime as dt
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import polars as pl

from wheelvec.lake import listing, manifest, place, solved, splits
from wheelvec.lake.answers import KEPT_BESIDE
from wheelvec.lake.lake import Lake, month_end
from wheelvec.lake.parquet import Footer, MonthFile
from wheelvec.model import schemas
from wheelvec.model.errors import LakeError
from wheelvec.model.forks import refuse_forked
from wheelvec.tables import anomalies, validation
from wheelvec.tables.anomalies import Findings
from wheelvec.tables.runs import MINUTES, Runs
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import DAYS, SCHEMAS, Survey
from wheelvec.tables.suspected import Events
from wheelvec.tables.validation import TABLES

Progress = Callable[[int, int], None]
Tick = Callable[[int], None]
Month = tuple[str, str, dt.date]  # table, underlying, first day
Frames = dict[str, list[pl.DataFrame]]
Refused = tuple[Path, LakeError]

_UNFINISHED = re.compile(r"\..+\.tmp")
_BATCH_ROWS = 500_000  # 50 MB of quotes

FILES = pl.Schema({"path": pl.String, "finding": pl.String, "reason": pl.String})
HELD = pl.Schema(
    {
        "table": pl.String,
        "underlyings": pl.Int64,
        "files": pl.Int64,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "first": pl.Date,
        "last": pl.Date,
    }
)
UNDERLYINGS = pl.Schema(
    {
        "underlying": pl.String,
        "first": pl.Date,
        "last": pl.Date,
        "sessions": pl.Int64,
        "quoted": pl.Int64,
        "quotes": pl.Int64,
        "contracts": pl.Int64,
        "bars": pl.Int64,
        "closes": pl.Int64,
    }
)
COVERAGE = pl.Schema(
    {
        "underlying": pl.String,
        "session": pl.Date,
        "quotes": pl.Int64,
        "valid": pl.Int64,
        "contracts": pl.Int64,
        "bars": pl.Int64,
        "close": pl.Float64,
        "underlying_price": pl.Float64,
        "underlying_source": pl.String,
        "gap": pl.Float64,
    }
)
GAPS = pl.Schema(
    {
        "underlying": pl.String,
        "underlying_source": pl.String,
        "sessions": pl.Int64,
        "median": pl.Float64,
        "worst": pl.Float64,
        "worst_session": pl.Date,
    }
)
MADE_CLOSES = pl.Schema(
    {
        "underlying": pl.String,
        "close_source": pl.String,
        "sessions": pl.Int64,
        "first": pl.Date,
        "last": pl.Date,
    }
)
ENTRY_TIMES = pl.Schema({"entry_time": pl.String, "sessions": pl.Int64, "quotes": pl.Int64})
_SEEN = pl.Schema({"symbol": pl.String, "session": pl.Date, "quoted": pl.Boolean})
_RANGES = pl.Schema(
    {
        "session": pl.Date,
        "expiration": pl.Date,
        "option_type": pl.String,
        "low": pl.Float64,
        "high": pl.Float64,
    }
)


@dataclass(frozen=True)
class Inspection:
    """The findings of `check` on a lake.

    Every attribute is a frame, without rows if nothing was found.

    Attributes:
        files: path within the lake, finding, reason. `damaged` files (truncated, foreign, altered,
            moved, missing, not readable) and `misplaced` ones are refused by every reader;
            `unfinished` ones were left by an interrupted write, or belong to one under way;
            `passed_over` ones are no part of a lake, or solved chains that will be solved again.
        held: per table the underlyings, files, rows, bytes, and first and last day of the files
            that are neither damaged nor misplaced.
        underlyings: per underlying the calendar sessions from first to last day, how many of these
            have a valid quote (`quoted`) and a close (`closes`), and the numbers of quotes,
            contracts (quoted or traded) and option `bars`.
        coverage: per underlying and calendar session of its span the numbers of `quotes`, of
            `valid` ones, of quoted `contracts` and of option `bars`; the `close`, the median
            `underlying_price` beside the quotes, where it is from (`underlying_source`, null where
            the lake does not say), and the `gap` between the two, underlying_price / close - 1.
        gaps: per underlying and source the sessions with both prices, the median of the absolute
            gap, and the `worst` gap and its session.
        made_closes: per underlying and source (vendor, parity) the sessions whose close was made
            of option quotes, with the first and the last of them: settlement rests on them.
        entry_times: clock time of the exchange ("15:45"; null for snapshots without a time), the
            number of sessions with quotes in that minute, over all underlyings, and the number of
            quotes.
        holes: runs of sessions that a table lacks (`anomalies.HOLES`). A session whose quotes are
            all invalid lacks quotes.
        vanished: contracts quoted no more before they settle (`anomalies.vanished`).
        broken: broken and unusable rows by reason, as `Market.diagnostics` counts them.
        splits: suspected splits, with day and ratio (`suspected.suspected`).
        contradicted: rows of splits and special dividends that the prices contradict
            (`suspected.contradicted`).
        adjusted: closes that differ from the quotes' underlying_price by a factor
            (`anomalies.adjusted_closes`).
        adjusted_prices: underlying_prices that differ by a factor from the price that puts and
            calls imply (`anomalies.adjusted_prices`).
        ended: underlyings whose bars end before the last session of the lake (`anomalies.ended`).

    Example:
        >>> import tempfile
        >>> import wheelvec as wv
        >>> folder = tempfile.mkdtemp()
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> written = market.write(folder)
        >>> found = wv.check(folder)
        >>> found.underlyings.select("underlying", "sessions", "quoted", "contracts").rows()
        [('ALFA', 41, 39, 280)]
    """

    files: pl.DataFrame
    held: pl.DataFrame
    underlyings: pl.DataFrame
    coverage: pl.DataFrame
    gaps: pl.DataFrame
    made_closes: pl.DataFrame
    entry_times: pl.DataFrame
    holes: pl.DataFrame
    vanished: pl.DataFrame
    broken: pl.DataFrame
    splits: pl.DataFrame
    contradicted: pl.DataFrame
    adjusted: pl.DataFrame
    adjusted_prices: pl.DataFrame
    ended: pl.DataFrame

    @property
    def refused(self) -> pl.DataFrame:
        """The files that a reader of the lake refuses: damaged and misplaced ones.

        Example:
            >>> import pathlib
            >>> import tempfile
            >>> import wheelvec as wv
            >>> folder = tempfile.mkdtemp()
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> written = market.write(folder)
            >>> file = sorted(pathlib.Path(folder).rglob("2024-01.parquet"))[0]
            >>> cut_off = file.write_bytes(file.read_bytes()[:100])
            >>> wv.check(folder).refused["finding"].to_list()
            ['damaged']
        """
        return self.files.filter(pl.col("finding").is_in(["damaged", "misplaced"]))


def check(
    path: str | Path, trading_calendar: str = "NYSE", progress: Progress | None = None
) -> Inspection:
    """Read a whole lake, and report its contents and its faults.

    A damaged or misplaced file is reported and left out; there are no findings on its month.

    Args:
        path: the lake's folder.
        trading_calendar: the calendar whose sessions count.
        progress: called with (files done, all files); each file counts twice, once for its bytes
            and once for its rows.

    Raises:
        LakeError: if `path` is no lake or may not be read.
        ConfigError: for an unknown calendar.

    Example:
        >>> import tempfile
        >>> import wheelvec as wv
        >>> folder = tempfile.mkdtemp()
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> written = market.write(folder)
        >>> wv.check(folder).holes.select("table", "sessions").rows()  # two sessions, not in a row
        [('option_quotes', 1), ('option_quotes', 1)]
    """
    refuse_forked()
    refused: list[Refused] = []
    listed = Lake.open(
        path, dt.date.min, dt.date.max, lambda where, error: refused.append((where, error))
    )
    months = [
        (name, u, month)
        for name in listed.tables
        for u in listed.underlyings(name)
        for month in listed.months(name, u)
    ]
    tick = _ticking(progress, 2 * len(months))
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        # to import and build a calendar takes a second, in which the first files are read
        calendar = pool.submit(Sessions.known, trading_calendar, *(dt.date(2020, 1, 2),) * 2)
        states: dict[Month, Footer | LakeError] = {}
        for month, state in zip(
            months, pool.map(lambda month: _state(listed, month), months), strict=True
        ):
            states[month] = state
            tick(1)
        footers = {month: state for month, state in states.items() if isinstance(state, Footer)}
        damaged = {month: state for month, state in states.items() if isinstance(state, LakeError)}
        broken = [(listed.files[t][u][month], error) for (t, u, month), error in damaged.items()]
        files = [
            _refused(listed.root, refused, broken + _damaged_beside(listed.root, refused, pool)),
            _others(listed, refused),
        ]
        calendar.result()
        sessions = _sessions(footers, trading_calendar)
        names = {underlying for _, underlying, _ in months}
        whole = _WholeFiles(
            _without(listed, damaged),
            footers,
            list(damaged),
            sessions,
            None
            if listed.splits is None
            else validation.check_splits(listed.splits, sorted(names), sessions),
        )
        return whole.inspection(pl.concat(files), pool, tick)


def _state(lake: Lake, month: Month) -> Footer | LakeError:
    try:
        return lake.verified(*month)
    except LakeError as error:
        return error


def _ticking(progress: Progress | None, total: int) -> Tick:
    """A function that adds to the files done and calls `progress`."""
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, total)

    return tick


def _without(lake: Lake, damaged: Iterable[Month]) -> Lake:
    files = {
        name: {u: dict(months) for u, months in found.items()} for name, found in lake.files.items()
    }
    for name, underlying, month in damaged:
        del files[name][underlying][month]
    return replace(lake, files=files)


def _sessions(footers: dict[Month, Footer], trading_calendar: str) -> Sessions:
    """The sessions from the first to the last day of quotes and bars."""
    days = [
        day
        for month, footer in footers.items()
        if month[0] != "dividends" and footer.days
        for day in footer.days
    ]
    first, last = (min(days), max(days)) if days else (dt.date(2020, 1, 1),) * 2
    return Sessions.known(trading_calendar, first, last)


# ---- files


def _named(root: Path, finding: str, refused: Iterable[Refused]) -> pl.DataFrame:
    rows = [
        (path.relative_to(root).as_posix(), finding, str(error).removeprefix(f"{path} "))
        for path, error in refused
    ]
    return pl.DataFrame(sorted(rows), schema=FILES, orient="row")


def _refused(root: Path, refused: list[Refused], damaged: list[Refused]) -> pl.DataFrame:
    """`FILES` rows of the misplaced files, and then of the damaged ones."""
    unreadable = [
        (path, error)
        for path, error in refused
        if path.is_relative_to(root / manifest.FOLDER) or path == root / splits.NAME
    ]
    others = [found for found in refused if found not in unreadable]
    return pl.concat(
        [_named(root, "misplaced", others), _named(root, "damaged", damaged + unreadable)]
    )


def _damaged_beside(root: Path, refused: list[Refused], pool: ThreadPoolExecutor) -> list[Refused]:
    """The damaged files that a lake keeps beside its tables; misplaced ones go to `refused`."""
    names = [table.name for table in KEPT_BESIDE]
    known = [path for path, _ in refused]  # a manifest that cannot be read has been reported
    remembered = [u for u in manifest.underlyings(root) if manifest.path_of(root, u) not in known]
    files = listing.files_of(
        root, names, lambda path, error: refused.append((path, error)), remembered
    )
    months = [
        MonthFile(table, underlying, month, path)
        for table in KEPT_BESIDE
        for underlying, held in files.get(table.name, {}).items()
        for month, path in held.items()
    ]
    return [
        (file.path, error)
        for file, error in zip(months, pool.map(_error, months), strict=True)
        if error
    ]


def _error(file: MonthFile) -> LakeError | None:
    try:
        file.footer()
    except LakeError as error:
        return error
    return None


def _others(lake: Lake, refused: Iterable[Refused]) -> pl.DataFrame:
    """`FILES` rows of unfinished files, and of files that are no part of a lake.

    Other hidden files are ignored.
    """
    known = {
        path
        for found in lake.files.values()
        for months in found.values()
        for path in months.values()
    }
    known |= {path for path, _ in refused} | {lake.root / splits.NAME}
    beside = {table.name for table in KEPT_BESIDE}
    rows = []
    for path in _walk(lake.root):
        first = path.relative_to(lake.root).parts[0]
        if first == place.STAGING or _UNFINISHED.fullmatch(path.name):
            rows.append(
                (path, "unfinished", "left by a write that did not end, unless one is under way")
            )
        elif first == solved.FOLDER and path.suffix == ".parquet" and solved.damaged(path):
            rows.append(
                (path, "passed_over", "was altered or cut: the chain is made anew from the quotes")
            )
        elif not (
            path in known
            or path.name.startswith(".")
            or first.startswith(".")
            or first in beside | {solved.FOLDER}
        ):
            rows.append((path, "passed_over", "no part of a lake: nothing reads it"))
    named = [
        (path.relative_to(lake.root).as_posix(), finding, reason)
        for path, finding, reason in sorted(rows)
    ]
    return pl.DataFrame(named, schema=FILES, orient="row")


def _walk(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names)


# ---- tables


@dataclass(frozen=True)
class _Batch:
    """Some months of one table of one underlying, read together."""

    table: str
    underlying: str
    months: list[dt.date]


@dataclass(frozen=True)
class _WholeFiles:
    """The files of a lake that are neither damaged nor misplaced.

    Attributes:
        lake: the lake without the other files.
        footers: their verified footers.
        unknown: the months whose file is damaged.
        sessions: the sessions of the calendar over the data.
        splits: the lake's splits, and counts of broken rows; None without any.
    """

    lake: Lake
    footers: dict[Month, Footer]
    unknown: list[Month]
    sessions: Sessions
    splits: validation.Checked | None

    @cached_property
    def told(self) -> Events:
        """The lake's splits and special dividends."""
        paid = [
            rows.with_columns(underlying=pl.lit(underlying)).select(*TABLES["dividends"].schema)
            for _, underlying, month in (key for key in self.footers if key[0] == "dividends")
            for rows in [self.lake.columns("dividends", underlying, [month], _PAID)]
        ]
        splits = None if self.splits is None else self.splits.rows
        return Events.of(splits, pl.concat(paid) if paid else None)

    def inspection(self, files: pl.DataFrame, pool: ThreadPoolExecutor, tick: Tick) -> Inspection:
        frames: Frames = {}
        findings = []
        for underlying in sorted({underlying for _, underlying, _ in self.footers}):
            kept, found = self._underlying(underlying, pool, tick)
            findings.append(found)
            for name, frame in kept.items():
                frames.setdefault(name, []).append(frame)
        found = Findings.joined(findings)
        coverage = _joined(frames, "coverage", COVERAGE)
        tallies = [
            _joined(frames, "tally", validation.TALLY),
            validation.recounted(self.lake.aside(), self.sessions),
        ]
        if self.splits is not None:
            tallies.append(validation.total(self.splits.aside))
        return Inspection(
            files=files,
            held=self._held(),
            underlyings=_joined(frames, "underlyings", UNDERLYINGS),
            coverage=coverage,
            gaps=gaps(coverage),
            made_closes=_joined(frames, "made_closes", MADE_CLOSES),
            entry_times=_entry_times(_joined(frames, "minutes", MINUTES), self.sessions.timezone),
            holes=found.holes,
            vanished=_joined(frames, "vanished", anomalies.VANISHED),
            broken=validation.total(pl.concat([*tallies, found.counted()])).select(
                *schemas.MARKET_DIAGNOSTICS
            ),
            splits=found.splits,
            contradicted=found.contradicted,
            adjusted=found.adjusted,
            adjusted_prices=found.adjusted_prices,
            ended=found.ended,
        )

    def _held(self) -> pl.DataFrame:
        """The `HELD` frame, from the footers alone."""
        rows = []
        for name in self.lake.tables:
            mine = {month: footer for month, footer in self.footers.items() if month[0] == name}
            days = [day for footer in mine.values() if footer.days for day in footer.days]
            size = sum(self.lake.files[t][u][month].stat().st_size for t, u, month in mine)
            held = len({u for (_, u, _), footer in mine.items() if footer.rows})
            count = sum(footer.rows for footer in mine.values())
            rows.append(
                (
                    name,
                    held,
                    len(mine),
                    count,
                    size,
                    min(days, default=None),
                    max(days, default=None),
                )
            )
        return pl.DataFrame(rows, schema=HELD, orient="row")

    def _underlying(
        self, underlying: str, pool: ThreadPoolExecutor, tick: Tick
    ) -> tuple[dict[str, pl.DataFrame], Findings]:
        """The summary frames of one underlying, and its anomalies, from all its months."""
        frames: Frames = {}
        batches = list(self._batches(underlying))
        for batch, summary in zip(batches, pool.map(self._summary, batches), strict=True):
            tick(len(batch.months))
            for name, frame in summary.items():
                frames.setdefault(name, []).append(frame)
        survey = Survey.joined(
            [Survey(*(_joined(frames, name, schema) for name, schema in SCHEMAS.items()))]
        )
        traded, ranges = _joined(frames, "traded", _TRADED), _joined(frames, "ranges", _RANGES)
        quoted = survey.contracts.select("symbol", session="last", quoted=pl.lit(True))
        seen = pl.concat([quoted, _joined(frames, "seen", _SEEN)])
        seen = seen.group_by("symbol").agg(pl.col("session").max(), pl.col("quoted").any())
        kept = {
            "tally": _joined(frames, "tally", validation.TALLY),
            "minutes": _joined(frames, "minutes", MINUTES),
            "vanished": anomalies.vanished(
                seen.filter("quoted"), ranges, underlying, self.sessions
            ),
            "underlyings": self._counts(underlying, survey, len(seen), int(traded["count"].sum())),
            "coverage": self._coverage(
                underlying, survey, traded, _joined(frames, "sources", _SOURCES)
            ),
            "made_closes": _made_closes(underlying, _joined(frames, "made", _MADE)),
        }
        return kept, Findings.of(survey, self.sessions, self.told, self._unknown(underlying))

    def _counts(self, underlying: str, survey: Survey, contracts: int, bars: int) -> pl.DataFrame:
        """The `UNDERLYINGS` row of an underlying; no row if all its files are empty."""
        days = survey.days["session"]
        if not len(days):
            return UNDERLYINGS.to_frame()
        inside = self.sessions.frame.filter(pl.col("session").is_between(days.min(), days.max()))[
            "session"
        ]
        held = survey.days.filter(pl.col("session").is_in(inside.implode()))["table"]
        quoted, closes = ((held == name).sum() for name in ("option_quotes", "underlying_bars"))
        row = (
            underlying,
            days.min(),
            days.max(),
            len(inside),
            quoted,
            survey.chain["count"].sum(),
            contracts,
            bars,
            closes,
        )
        return pl.DataFrame([row], schema=UNDERLYINGS, orient="row")

    def _coverage(
        self, underlying: str, survey: Survey, traded: pl.DataFrame, sources: pl.DataFrame
    ) -> pl.DataFrame:
        """The `COVERAGE` rows of an underlying."""
        days = survey.days["session"]
        inside = pl.col("session").is_between(days.min(), days.max())
        listed = survey.listed.group_by("session").agg(pl.col("contracts").sum())
        found = self.sessions.frame.filter(inside).select("session")
        for other in (
            survey.chain.select("session", "valid", quotes="count", underlying_price="spot"),
            listed,
            traded.rename({"count": "bars"}),
            survey.closes.select("session", "close"),
            sources,
        ):
            found = found.join(other, on="session", how="left", maintain_order="left")
        found = found.with_columns(
            pl.col("quotes", "valid", "contracts", "bars").fill_null(0),
            underlying=pl.lit(underlying),
            gap=pl.col("underlying_price") / pl.col("close") - 1,
        )
        return found.select(*COVERAGE)

    def _unknown(self, underlying: str) -> pl.DataFrame:
        """The sessions of an underlying's damaged months, `survey.DAYS`."""
        days, found = self.sessions.frame.select("session"), [DAYS.to_frame()]
        for name, _, month in (each for each in self.unknown if each[1] == underlying):
            inside = days.filter(pl.col("session").is_between(month, month_end(month)))
            found.append(
                inside.select(table=pl.lit(name), underlying=pl.lit(underlying), session="session")
            )
        return pl.concat(found)

    def _batches(self, underlying: str) -> Iterator[_Batch]:
        """The months of an underlying in batches, because reading many small files is slow."""
        for name in self.lake.tables:
            months, rows = [], 0
            for month in self.lake.months(name, underlying):
                months.append(month)
                rows += self.footers[name, underlying, month].rows
                if rows >= _BATCH_ROWS:
                    yield _Batch(name, underlying, months)
                    months, rows = [], 0
            if months:
                yield _Batch(name, underlying, months)

    def _summary(self, batch: _Batch) -> dict[str, pl.DataFrame]:
        """The summary frames of some months of a table, by name."""
        name, underlying = batch.table, batch.underlying
        rows = self.lake.columns(name, underlying, batch.months, _DECODED[name]).with_columns(
            underlying=pl.lit(underlying)
        )
        if name == "option_quotes":
            runs = Runs.of(rows)
            tally = {"tally": validation.tally_quotes(runs, self.sessions)}
            return tally | Survey.of_quotes(runs, self.sessions)._asdict() | _quotes(runs)
        tally = {"tally": validation.tally(name, rows, self.sessions)}
        if name == "dividends":
            return tally
        tally |= Survey.of_bars(name, rows)._asdict()
        if name == "option_bars":
            tally["seen"] = rows.group_by("symbol").agg(
                pl.col("session").max(), quoted=pl.lit(False)
            )
            tally["traded"] = rows.group_by("session").agg(count=pl.len().cast(pl.Int64))
        if name == "underlying_bars":
            tally["made"] = rows.filter(pl.col("close_source").is_not_null()).select(*_MADE)
        return tally


_TRADED = pl.Schema({"session": pl.Date, "count": pl.Int64})
_SOURCES = pl.Schema({"session": pl.Date, "underlying_source": pl.String})
_MADE = pl.Schema({"session": pl.Date, "close_source": pl.String})


def _made_closes(underlying: str, made: pl.DataFrame) -> pl.DataFrame:
    """The `MADE_CLOSES` rows of an underlying, from sessions and sources of its made closes."""
    found = made.group_by("close_source").agg(
        sessions=pl.len().cast(pl.Int64),
        first=pl.col("session").min(),
        last=pl.col("session").max(),
    )
    return (
        found.with_columns(underlying=pl.lit(underlying)).select(*MADE_CLOSES).sort("close_source")
    )


def gaps(coverage: pl.DataFrame) -> pl.DataFrame:
    """The `GAPS` frame of a `COVERAGE` frame, without days that lack one of the two prices."""
    known = coverage.filter(pl.col("gap").is_finite())
    size = pl.col("gap").abs()
    found = known.group_by("underlying", "underlying_source", maintain_order=True).agg(
        sessions=pl.len().cast(pl.Int64),
        median=size.median(),
        worst=pl.col("gap").get(size.arg_max()),
        worst_session=pl.col("session").get(size.arg_max()),
    )
    return found.select(*GAPS)


# The columns that are decoded. Bars were validated when they were written; only their day may be
# no session of this calendar.
_DECODED = {
    "option_quotes": tuple(TABLES["option_quotes"].schema),
    "option_bars": ("symbol", "session"),
    "underlying_bars": ("session", "close", "close_source"),
    "dividends": ("ex_date",),
}
_PAID = ("ex_date", "amount", "special")


def _quotes(runs: Runs) -> dict[str, pl.DataFrame]:
    rows, named = runs.quotes, "underlying_source"
    told = rows[named].gather(runs.begins) if named in rows.columns else pl.lit(None, pl.String)
    sources = runs.table.select("session", told.alias(named))
    return {
        "sources": sources.group_by("session").agg(pl.col(named).drop_nulls().first()),
        "ranges": runs.ranges(),
        "minutes": runs.minutes(),
    }


def _joined(frames: Frames, name: str, schema: pl.Schema) -> pl.DataFrame:
    return pl.concat([schema.to_frame(), *frames.get(name, [])])


def _entry_times(minutes: pl.DataFrame, timezone: str) -> pl.DataFrame:
    """The `ENTRY_TIMES` frame, the most frequent time first.

    `minutes` has one row per underlying, session and minute since 1970, UTC.
    """
    start = (
        pl.from_epoch(pl.col("minute") * 60, time_unit="s")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(timezone)
    )
    times = minutes.group_by(entry_time=start.dt.strftime("%H:%M")).agg(
        sessions=pl.len().cast(pl.Int64), quotes=pl.col("quotes").sum()
    )
    return times.select(*ENTRY_TIMES).sort(
        ["sessions", "quotes", "entry_time"], descending=[True, True, False]
    )
