"""`check`: the contents of a lake, what it lacks, and its damaged files.

Every byte is read to verify the digests. Of the rows only a summary of some months is kept, so that
memory grows with the months of one underlying, not with the lake; the summaries are made on all
cores, and those of files that have not changed are taken from the lake's cache.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.lake import faults, finding_cache, holdings, summaries, summary_cache
from wheelvec.lake.faults import Refused
from wheelvec.lake.holdings import COVERAGE, MADE_CLOSES, UNDERLYINGS
from wheelvec.lake.kept_frames import Frames
from wheelvec.lake.lake import BaseLake, Lake, month_end
from wheelvec.lake.parquet import Footer
from wheelvec.lake.remote import opened
from wheelvec.lake.summaries import Batch, Month, Summary
from wheelvec.lake.summary_cache import Kept
from wheelvec.model import schemas
from wheelvec.model.errors import LakeError
from wheelvec.model.forks import refuse_forked
from wheelvec.tables import anomalies, validation
from wheelvec.tables.anomalies import Findings
from wheelvec.tables.runs import MINUTES
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import CHAIN, DAYS, SCHEMAS, Survey
from wheelvec.tables.suspected import CONTRADICTED, SUSPECTED, Events
from wheelvec.tables.validation import TABLES

Progress = Callable[[int, int], None]
Tick = Callable[[int], None]

_PAID = ("ex_date", "amount", "special")


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
    path: str | Path,
    trading_calendar: str = "NYSE",
    progress: Progress | None = None,
    *,
    deep: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Inspection:
    """Read a whole lake, and report its contents and its faults.

    A damaged or misplaced file is reported and left out; there are no findings on its month. Every
    byte is read. The rows of options are decoded once: what the findings need of them is kept in
    the lake, and holds as long as the files' bytes stay the same. In an object store nothing is
    kept, the sizes of files are not known, and of the files those are looked at that the manifests
    list.

    Args:
        path: the lake's folder, or its address in an object store.
        trading_calendar: the calendar whose sessions count.
        progress: called with (files done, all files); each file counts twice, once for its bytes
            and once for its rows.
        deep: whether all rows are decoded, also where what they gave is kept.
        storage_options: as in `Market.open`.

    Raises:
        InputError: for an address of another kind, or `storage_options` for a folder.
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
    listed = opened(
        path,
        dt.date.min,
        dt.date.max,
        lambda where, error: refused.append((where, error)),
        options=storage_options,
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
            months, faults.each_of(pool, lambda month: _state(listed, month), months), strict=True
        ):
            states[month] = state
            tick(1)
        footers = {month: state for month, state in states.items() if isinstance(state, Footer)}
        damaged = {month: state for month, state in states.items() if isinstance(state, LakeError)}
        broken: list[Refused] = [
            (listed.files[t][u][month], error) for (t, u, month), error in damaged.items()
        ]
        files = []
        if isinstance(listed, Lake):
            broken += faults.damaged_beside(listed.root, refused, pool)
            files.append(faults.others(listed, refused, pool))
        files.insert(0, faults.refused_files(listed.root, refused, broken))
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
            deep,
        )
        return whole.inspection(pl.concat(files), pool, tick)


def _state(lake: BaseLake, month: Month) -> Footer | LakeError:
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


def _without(lake: BaseLake, damaged: Iterable[Month]) -> BaseLake:
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


@dataclass(frozen=True)
class _WholeFiles:
    """The files of a lake that are neither damaged nor misplaced.

    Attributes:
        lake: the lake without the other files.
        footers: their verified footers.
        unknown: the months whose file is damaged.
        sessions: the sessions of the calendar over the data.
        splits: the lake's splits, and counts of broken rows; None without any.
        deep: whether summaries that are kept are left aside.
    """

    lake: BaseLake
    footers: dict[Month, Footer]
    unknown: list[Month]
    sessions: Sessions
    splits: validation.Checked | None
    deep: bool

    @cached_property
    def stated(self) -> Events:
        """The lake's splits and special dividends."""
        name = "dividends"
        paid = [
            self.lake.columns(name, underlying, self.lake.months(name, underlying), _PAID)
            .with_columns(underlying=pl.lit(underlying))
            .select(*TABLES[name].schema)
            for underlying in self.lake.underlyings(name)
        ]
        splits = None if self.splits is None else self.splits.rows
        return Events.of(splits, pl.concat(paid) if paid else None)

    def inspection(self, files: pl.DataFrame, pool: ThreadPoolExecutor, tick: Tick) -> Inspection:
        of_each = self._of_each(pool, tick)
        frames = {
            name: pl.concat([schema.to_frame(), *(found[name] for found in of_each)])
            for name, schema in _OF_UNDERLYINGS.items()
        }
        anomalous = {name: frames[name] for name in _ANOMALIES}
        counted = Findings(chain=CHAIN.to_frame(), **anomalous).counted()
        tallies = [frames["tally"], validation.recounted(self.lake.aside(), self.sessions), counted]
        if self.splits is not None:
            tallies.append(validation.total(self.splits.aside))
        return Inspection(
            files=files,
            held=holdings.held(self.lake, self.footers),
            underlyings=frames["underlyings"],
            coverage=frames["coverage"],
            gaps=holdings.gaps(frames["coverage"]),
            made_closes=frames["made_closes"],
            entry_times=holdings.entry_times(frames["minutes"], self.sessions.timezone),
            holes=frames["holes"],
            vanished=frames["vanished"],
            broken=validation.total(pl.concat(tallies)).select(*schemas.MARKET_DIAGNOSTICS),
            splits=frames["splits"],
            contradicted=frames["contradicted"],
            adjusted=frames["adjusted"],
            adjusted_prices=frames["adjusted_prices"],
            ended=frames["ended"],
        )

    def _of_each(self, pool: ThreadPoolExecutor, tick: Tick) -> list[Frames]:
        """The frames (`_OF_UNDERLYINGS`) of each underlying: those that are kept, and else new."""
        months: dict[str, list[Month]] = {}
        for month in self.footers:
            months.setdefault(month[1], []).append(month)
        keys = finding_cache.keys_of(
            self.footers,
            self.sessions,
            None if self.splits is None else self.splits.rows,
            self.unknown,
        )
        root = self.lake.root if isinstance(self.lake, Lake) else None  # nothing is kept in a store
        held = {} if self.deep or root is None else finding_cache.read(root, _OF_UNDERLYINGS)
        kept: dict[str, Frames] = {}
        found: list[Frames] = []
        for underlying in sorted(months):
            key = keys[underlying]
            if key in held:
                mine = held[key]
                tick(len(months[underlying]))
            else:
                mine = self._underlying(underlying, pool, tick)
            if key in held or self._unchanged(months[underlying]):
                kept[key] = mine
            found.append(mine)
        if root and any(held.get(key) is not each for key, each in kept.items()):
            finding_cache.write(root, kept)
        return found

    def _underlying(self, underlying: str, pool: ThreadPoolExecutor, tick: Tick) -> Frames:
        """The frames (`_OF_UNDERLYINGS`) of one underlying, made of the summaries of its months."""
        found = summaries.joined(self._summaries(underlying, pool, tick))
        survey = Survey.joined([Survey(*(found[name] for name in SCHEMAS))])
        quoted = survey.contracts.select("symbol", session="last", quoted=pl.lit(True))
        seen = pl.concat([quoted, found["seen"]])
        seen = seen.group_by("symbol").agg(pl.col("session").max(), pl.col("quoted").any())
        bars = int(found["traded"]["count"].sum())
        findings = Findings.of(survey, self.sessions, self.stated, self._unknown(underlying))
        return {
            "tally": found["tally"],
            "minutes": found["minutes"],
            "vanished": anomalies.vanished(
                seen.filter("quoted"), found["ranges"], underlying, self.sessions
            ),
            "underlyings": holdings.counts(underlying, survey, len(seen), bars, self.sessions),
            "coverage": holdings.coverage(underlying, survey, found, self.sessions),
            "made_closes": holdings.made_closes(underlying, found["made"]),
            **{name: getattr(findings, name) for name in _ANOMALIES},
        }

    def _summaries(
        self, underlying: str, pool: ThreadPoolExecutor, tick: Tick
    ) -> Iterator[Summary]:
        """The summaries of an underlying's months: those that are kept, and else new ones."""
        root = self.lake.root if isinstance(self.lake, Lake) else None  # nothing is kept in a store
        held = {} if self.deep or root is None else summary_cache.read(root, underlying)
        kept: dict[str, Kept] = {}

        def of(batch: Batch) -> Summary:
            key = summary_cache.key_of(batch, self.footers)
            if key in held and held[key].holds_for(batch, self.sessions):
                kept[key] = held[key]
                return held[key].frames
            found = summaries.summary(self.lake, batch, self.sessions)
            if (
                root
                and batch.table in summary_cache.TABLES
                and self._unchanged([(batch.table, underlying, month) for month in batch.months])
            ):
                kept[key] = Kept.of(batch, found, self.sessions)
            return found

        batches = list(summaries.batches(self.lake, underlying, self.footers))
        for batch, found in zip(batches, pool.map(of, batches), strict=True):
            tick(len(batch.months))
            yield found
        if root and any(held.get(key) is not each for key, each in kept.items()):
            summary_cache.write(root, underlying, kept)

    def _unchanged(self, months: Iterable[Month]) -> bool:
        """Whether the rows that were read are those of the footers: a writer may replace a file."""
        return all(_state(self.lake, month) == self.footers[month] for month in months)

    def _unknown(self, underlying: str) -> pl.DataFrame:
        """The sessions of an underlying's damaged months, `survey.DAYS`."""
        days, found = self.sessions.frame.select("session"), [DAYS.to_frame()]
        for name, _, month in (each for each in self.unknown if each[1] == underlying):
            inside = days.filter(pl.col("session").is_between(month, month_end(month)))
            found.append(
                inside.select(table=pl.lit(name), underlying=pl.lit(underlying), session="session")
            )
        return pl.concat(found)


# The frames of `Findings` that an inspection has or counts.
_ANOMALIES: dict[str, pl.Schema] = {
    "holes": anomalies.HOLES,
    "splits": SUSPECTED,
    "contradicted": CONTRADICTED,
    "adjusted": anomalies.ADJUSTED,
    "adjusted_prices": anomalies.ADJUSTED,
    "ended": anomalies.ENDED,
    "missing_bars": validation.TALLY,
}
# The frames of each underlying, of which an inspection is made.
_OF_UNDERLYINGS: dict[str, pl.Schema] = {
    "tally": validation.TALLY,
    "minutes": MINUTES,
    "vanished": anomalies.VANISHED,
    "underlyings": UNDERLYINGS,
    "coverage": COVERAGE,
    "made_closes": MADE_CLOSES,
    **_ANOMALIES,
}
