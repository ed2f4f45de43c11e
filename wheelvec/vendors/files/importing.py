"""`import_files`: vendors' end-of-day files into a lake (docs/importing.md).

files --reading--> rows of a layout --intake--> numbers, gathered by underlying and month
                                                        |  when every file is read
                                                        v
                   lake <--writing-- quotes, bars and closes of each month

All files are read before anything is written: a file that cannot be read changes nothing.
"""

import contextlib
import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from wheelvec.lake import lake as lakes
from wheelvec.lake import place, splits
from wheelvec.lake.joining import Counts
from wheelvec.market import splits as market_splits
from wheelvec.model import schemas
from wheelvec.model.addresses import refuse_address
from wheelvec.model.atomic import writing
from wheelvec.model.errors import InputError, cut, listed
from wheelvec.model.forks import refuse_forked
from wheelvec.model.progress import Progress, Report, reporting
from wheelvec.tables import validation
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.validation import TABLES
from wheelvec.vendors.files import gathering, months, reading
from wheelvec.vendors.files import underlying as daily_files
from wheelvec.vendors.files.cells import Rows
from wheelvec.vendors.files.contracts import Numbering, underlying_name
from wheelvec.vendors.files.exchanged import refuse_exchanged
from wheelvec.vendors.files.gathering import LIMIT, Gathering, Key
from wheelvec.vendors.files.intake import Given, Intake, bar_schema, quote_schema
from wheelvec.vendors.files.layout import Layout
from wheelvec.vendors.files.months import SOURCES, Pricing

log = logging.getLogger(__name__)

Frames = list[pl.DataFrame]

WORKERS = 3  # months written at a time: two cores and a disk that is waited for
_SUFFIXES = (".csv", ".txt", ".tsv", ".gz", ".zst", ".zip", ".parquet", ".pq")

FILES = pl.Schema(
    {
        "file": pl.String(),
        "rows": pl.Int64(),
        "quotes": pl.Int64(),
        "first": pl.Date(),
        "last": pl.Date(),
    }
)
PRICES = pl.Schema(
    {
        "underlying": pl.String(),
        "session": pl.Date(),
        "underlying_price": pl.Float64(),
        "underlying_source": pl.String(),
        "parity": pl.Float64(),
        "close": pl.Float64(),
        "close_source": pl.String(),
        "gap": pl.Float64(),
    }
)


@dataclass(frozen=True)
class Imported:
    r"""The files, rows and prices of an import.

    Attributes:
        files: one row per file: its path, numbers of rows and of quotes, first and last day.
        written: one row per table: numbers of rows added, replaced and removed in the lake.
        set_aside: rows set aside by table, underlying and reason, with an example.
        prices: one row per underlying and session: the underlying_price beside the quotes and its
            source (vendor, parity or close; null without one), parity where it was computed, the
            close and its source (file, vendor or parity; null without one), and `gap`, the price
            over the close less 1.
        notes: what is odd about the files, in words.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> import wheelvec as wv
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> file = folder / "chain.csv"
        >>> _ = file.write_text(
        ...     "date,act_symbol,expiration,strike,call_put,bid,ask\n"
        ...     "2024-01-02,TSLA,2024-02-16,250,Put,12.10,12.30\n"
        ... )
        >>> done = wv.import_files([file], layout="dolt", lake=folder / "lake")
        >>> done.written.row(0)
        ('option_quotes', 1, 0, 0)
    """

    files: pl.DataFrame
    written: pl.DataFrame
    set_aside: pl.DataFrame
    prices: pl.DataFrame
    notes: tuple[str, ...] = ()


def import_files(
    files: str | Path | Sequence[str | Path],
    *,
    layout: str | Path,
    lake: str | Path,
    time: str | None = None,
    date: str | dt.date | None = None,
    symbol: str | None = None,
    symbols: Iterable[str] | None = None,
    underlying: str | Path | Sequence[str | Path] | None = None,
    underlying_price: str | None = None,
    rate: float = 0.04,
    replace: bool = False,
    splits: market_splits.Given = None,
    trading_calendar: str = "NYSE",
    progress: Progress = None,
) -> Imported:
    r"""Import vendors' end-of-day files of option chains into a lake.

    Files are CSV, plain or compressed with gzip, zstd or zip, or Parquet, of any number and size.
    Only bids and asks are taken, no volatility, greek, mark or last price. All files are read
    before anything is written. Rows are added to the lake contract by contract.

    Args:
        files: paths of files, or of folders whose files are taken.
        layout: a ready layout (alphavantage, cboe, dolt, historicaloptiondata, ivolatility,
            optionsdx, orats, thetadata, yahoo), or the path of a TOML file (docs/importing.md).
        lake: the lake's folder, made if need be.
        time: which quotes to take of a layout that has those of several times: "1545" (default) or
            "eod" of cboe.
        date: the day of the quotes, of files that do not state it (yahoo).
        symbol: the underlying, of files that do not state it.
        symbols: the underlyings to import; None: all.
        underlying: files with the underlyings' daily bars, unadjusted. Without them, and where the
            lake has no close, the close is the price of the quotes, if these stand at 16:00 or
            later.
        underlying_price: the only source of the price beside the quotes: "vendor", "parity" or
            "close"; None: the first of these that there is.
        rate: a year, continuously compounded, for parity.
        replace: whether whole sessions are replaced, instead of adding to the lake's.
        splits: splits and renames to write into the lake, as in `Market`; "known": those of the
            table in the box.
        trading_calendar: the exchange's calendar.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with (done,
            of, what).

    Returns:
        What was read, written and set aside.

    Raises:
        InputError: for an argument that is invalid, or a file that is not there.
        ConfigError: for a TOML file that is no layout.
        DataError: for a file of another layout, that is empty, cut off, damaged or contradicts
            itself, or a cell that cannot be read; nothing is written then.
        LakeError: if the lake cannot be written.

    Example:
        >>> import pathlib
        >>> import tempfile
        >>> import wheelvec as wv
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> file = folder / "spy_eod_202401.txt"
        >>> _ = file.write_text(
        ...     "[QUOTE_DATE], [UNDERLYING_LAST], [EXPIRE_DATE], [C_BID], [C_ASK], [STRIKE], "
        ...     "[P_BID], [P_ASK]\n"
        ...     "2024-01-02, 472.65, 2024-02-16, 9.81, 9.88, 475.00, 8.92, 8.97\n"
        ... )
        >>> done = wv.import_files(file, layout="optionsdx", lake=folder / "lake")
        >>> wv.Market.open(folder / "lake").option_quotes["symbol"].to_list()
        ['SPY   240216C00475000', 'SPY   240216P00475000']
    """
    refuse_forked()
    refuse_address(lake, "the lake")
    chosen = Layout.named(layout, time)
    paths = _paths(files)
    given = Given(
        _day(date),
        None if symbol is None else underlying_name(symbol),
        frozenset(underlying_name(each) for each in _listing(symbols)),
    )
    pricing = _pricing(underlying_price, rate, chosen)
    given_splits = market_splits.Splits.of(splits)
    root = Path(lake)
    place.check_writable(root)
    daily = None
    if underlying is not None:
        daily = daily_files.read_daily(_paths(underlying), symbol, trading_calendar)
    with contextlib.ExitStack() as stack:
        work = _Import(root, chosen, given, pricing, trading_calendar, stack)
        report = stack.enter_context(reporting(progress, "files"))
        work.read(paths, report)
        return work.write(daily, given_splits, replace, report)


def _paths(files: str | Path | Sequence[str | Path]) -> list[Path]:
    found: list[Path] = []
    for each in [files] if isinstance(files, str | Path) else files:
        path = Path(each)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
            if not inside:
                raise InputError(f"{path} holds no file of {listed(_SUFFIXES)}")
            found += inside
        elif not path.is_file():
            raise InputError(f"{path}: no such file")
        else:
            found.append(path)
    if not found:
        raise InputError("no files are named")
    return list(dict.fromkeys(found))


def _listing(symbols: Iterable[str] | None) -> list[str]:
    return [symbols] if isinstance(symbols, str) else list(symbols or ())


def _day(date: str | dt.date | None) -> dt.date | None:
    if date is None or type(date) is dt.date:
        return date
    try:
        return dt.date.fromisoformat(date)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(
            f"date is {date!r}; expected a date or text such as '2024-01-31'"
        ) from None


def _pricing(source: str | None, rate: float, layout: Layout) -> Pricing:
    if source is not None and source not in SOURCES:
        raise InputError(
            f"underlying_price = {cut(source)}: expected one of {listed(SOURCES)}, or none of them"
        )
    if not (isinstance(rate, int | float) and -1.0 < rate < 1.0):
        raise InputError(f"rate = {cut(rate)}: expected a number a year such as 0.04")
    return Pricing(
        SOURCES if source is None else (source,),
        float(rate),
        make_closes=layout.after_close,
        vendor_closes=layout.time == "16:00",
    )


@dataclass
class _Import:
    """One import: the rows of all files, and then their months in the lake."""

    root: Path
    layout: Layout
    given: Given
    pricing: Pricing
    calendar: str
    stack: contextlib.ExitStack
    numbering: Numbering = field(default_factory=Numbering)
    files: list[tuple[object, ...]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # file -> what its name says instead
    _usable: bool = False  # whether any quote is not after its expiration
    _folder: Path | None = None

    def __post_init__(self) -> None:
        """Begin without rows."""
        self.intake = Intake(self.numbering, self.given)
        self.quotes = Gathering(quote_schema(), self.spill_folder, LIMIT)
        self.bars = Gathering(bar_schema(), self.spill_folder, LIMIT)

    def spill_folder(self) -> Path:
        """A hidden folder in the lake, removed at the end."""
        if self._folder is None:
            self._folder = self.stack.enter_context(place.staging(self.root))
        return self._folder

    # ---- reading

    def read(self, paths: Sequence[Path], progress: Report | None) -> None:
        """Read all files.

        Raises:
            InputError: if they hold no row.
        """
        sizes = [path.stat().st_size for path in paths]
        done = 0
        for path, size in zip(paths, sizes, strict=True):
            if progress:
                progress(done // 1_000_000, sum(sizes) // 1_000_000 + 1, "MB of files")
            self._read_file(path)
            done += size
        if not self._usable:
            raise InputError(
                f"no row of {listed(paths, 3)} can be used{self._why()}; nothing was written"
            )

    def _why(self) -> str:
        """Why no row can be used, as a message goes on."""
        if not any(rows for _, rows, *_ in self.files):
            return ": there is none below the header"
        aside = validation.total(pl.concat([validation.SET_ASIDE.to_frame(), *self.intake.aside]))
        counts = dict.fromkeys(aside["reason"], 0)
        for reason, count in aside.select("reason", "count").iter_rows():
            counts[reason] += count
        if late := sum(self.quotes.days.values()):
            counts["after_expiration"] = late
        if counts:
            return f": {', '.join(f'{n:,} {reason}' for reason, n in counts.items())}"
        found = sorted({*self.numbering.underlyings} - {"", *self.given.symbols})
        if self.given.symbols and found:
            wanted = listed(sorted(self.given.symbols), 10)
            return f": the underlyings are {listed(found, 10)}, expected one of {wanted}"
        return ": none has a bid or an ask"

    def _read_file(self, path: Path) -> None:
        by_name = self.layout.symbol_of(path)
        rows = kept = 0
        days: set[dt.date] = set()
        for batch in reading.read(path, self.layout):
            of_member = self.layout.symbol_of(Path(batch.source.name.rstrip("]").split("[")[-1]))
            quotes, bars = self.intake.quotes(batch, by_name or of_member)
            self._note_name(batch, by_name or of_member)
            self.quotes.add(quotes)
            self.bars.add(bars)
            self._usable = (
                self._usable or not quotes.select(schemas.after_expiration().all()).item()
            )
            rows, kept = rows + len(batch.frame), kept + len(quotes)
            days |= set(quotes["session"].unique())
        refuse_exchanged(path, self.layout, days, self.calendar)
        self.files.append((str(path), rows, kept, min(days, default=None), max(days, default=None)))
        log.info("%s: %d rows, %d quotes", path, rows, kept)

    def _note_name(self, rows: Rows, stated: str | None) -> None:
        """Note a file whose name states another underlying than the caller."""
        taken = self.given.underlying
        if stated is None or taken is None or "underlying" in rows.frame.columns:
            return
        if (name := underlying_name(stated)) != taken:
            self.names[rows.source.name] = name

    # ---- writing

    def write(
        self,
        daily: daily_files.Daily | None,
        given: market_splits.Splits,
        replace_sessions: bool,
        progress: Report | None,
    ) -> Imported:
        """Write every month, and then the underlyings' bars."""
        if daily is not None:
            daily = daily_files.named_as_then(daily, self.intake.renamed)
        checked = None if daily is None else daily_files.checked(daily)
        strays = validation.strays_of(_counts(self.quotes.days))
        span = [day for day in self.quotes.days if day not in set(strays)]
        sessions = Sessions.known(self.calendar, min(span), max(span))
        closed = self._closed(set(span) - set(sessions.frame["session"]), len(span))
        names = self.numbering.underlyings
        keys = sorted(set(self.quotes.keys()) | set(self.bars.keys()))
        jobs = {
            number: [key for key in keys if key[0] == number]
            for number in sorted({number for number, _ in keys}, key=lambda n: names[n])
        }
        done = _Done()
        mine = given.checked((names[number] for number in jobs), sessions)
        others = self._write_splits(daily, mine, done)
        for number, months_of in jobs.items():
            one = _Underlying(
                self,
                names[number],
                months_of,
                sessions,
                set(strays),
                checked,
                daily,
                replace_sessions,
            )
            one.write(done)
            if progress:
                progress(done.months, len(keys), "months")
        named = {names[number] for number in jobs}
        without = [] if daily is None else sorted(named - set(daily.bars["underlying"]))
        return self._report(done, others, without, closed)

    def _closed(self, days: set[dt.date], of: int) -> str:
        """A note of the rows on days that are no sessions; "" without any.

        Raises:
            InputError: if there are no others and these cannot be used, as the quotes are timed.
        """
        if not days:
            return ""
        shown = listed([f"{day} ({day:%a})" for day in sorted(days)], 3)
        count = sum(self.quotes.days[day] for day in days)
        if self.layout.timed and len(days) == of:
            raise InputError(
                f"no row can be used: {count:,} not_a_session, on {shown}; nothing was written"
            )
        stay = "set aside" if self.layout.timed else "in the lake, and every run leaves them out"
        date = "; check --date, date=" if self.given.session is not None else ""
        return f"{count:,} rows are of days that are no sessions, {shown}: they are {stay}{date}"

    def _write_splits(
        self, daily: daily_files.Daily | None, given: validation.Checked | None, done: "_Done"
    ) -> list[dt.date]:
        """Write splits before all else, those given and those of daily bars.

        A reader of a half-written lake then takes none for a split that no row explains.

        Returns:
            The days of those of the daily bars that cannot be written.
        """
        rows: Frames = []
        others: list[dt.date] = []
        if daily is not None:
            stated, others = daily_files.splits_of(daily, self.numbering.underlyings)
            rows.append(stated)
        if given is not None:
            rows.append(given.rows.select(*schemas.SPLITS))
            done.aside.append(given.aside)
        whole = pl.concat([pl.DataFrame(schema=schemas.SPLITS), *rows])
        whole = whole.unique(["underlying", "ex_date"], keep="last", maintain_order=True)
        if not whole.is_empty():
            with writing(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
            done.counts[validation.SPLITS.name] = splits.merge(self.root, whole)
        return others

    def _report(
        self, done: "_Done", others: list[dt.date], without: list[str], closed: str
    ) -> Imported:
        """The files, rows and prices of this import.

        Args:
            done: what was written.
            others: days of splits that cannot be imported.
            without: the underlyings of which there are no given daily bars.
            closed: a note of days that are no sessions.
        """
        aside = pl.concat([validation.SET_ASIDE.to_frame(), *self.intake.aside, *done.aside])
        written = [
            (name, *count) for name, count in done.counts.items() if any(count) or name in _ALWAYS
        ]
        return Imported(
            pl.DataFrame(self.files, schema=FILES, orient="row"),
            pl.DataFrame(written, schema=lakes.WRITTEN, orient="row"),
            validation.total(aside),
            pl.concat([PRICES.to_frame(), *done.prices]).sort("underlying", "session"),
            tuple(filter(None, (*self._notes(others, without), closed))),
        )

    def _notes(self, others: list[dt.date], without: list[str]) -> Iterator[str]:
        for reason, count in self.intake.dropped.items():
            yield f"{count} rows were left out: {reason.replace('_', ' ')}"
        for (old, new, day), count in self.intake.renamed.items():
            yield (
                f"{count:,} rows of {new} before {day} are of contracts of {old}, as it was called "
                f"then: they were imported as {old}; --splits known, splits='known', carries "
                "wheels through the change of name"
            )
        for file, name in self.names.items():
            yield f"{file}: its name says {name}, it was imported as {self.given.underlying}"
        if without:
            yield f"the files of daily bars have none of {listed(without, 10)}"
        if others:
            yield (
                f"the daily bars state splits on {listed(others, 5)} by no ratio of whole shares: "
                f"they were not imported; write them into {self.root / splits.NAME}"
            )


_ALWAYS = ("option_quotes", "underlying_bars")


@dataclass
class _Done:
    """Rows written so far, and set aside."""

    counts: dict[str, Counts] = field(default_factory=lambda: dict.fromkeys(TABLES, Counts()))
    aside: Frames = field(default_factory=list)
    prices: Frames = field(default_factory=list)
    months: int = 0


@dataclass(frozen=True)
class _Underlying:
    """One underlying of an import, to write."""

    work: _Import
    name: str
    keys: list[Key]
    sessions: Sessions
    strays: set[dt.date]
    checked: validation.Checked | None
    daily: daily_files.Daily | None
    replace: bool

    def write(self, done: _Done) -> None:
        """Write the months, and then the underlying's bars."""
        bars, ranges, closes = self._known_closes()
        known, early = dict(closes.iter_rows()), self._early_aside()
        open_days = frozenset(self.sessions.frame["session"])
        made: Frames = []
        prices: Frames = []
        with (
            lakes.writing(self.work.root, self.name, self.replace) as writer,
            ThreadPoolExecutor(WORKERS) as pool,
        ):
            for result in _in_order(
                pool,
                lambda key: self._month(writer, key, ranges, known, early, open_days),
                self.keys,
            ):
                for name, count in result.counts.items():
                    done.counts[name] = done.counts[name].plus(count)
                done.aside.append(result.aside)
                made.append(result.closes)
                prices.append(result.prices)
                done.months += 1
            self._write_daily(writer, pool, bars, made, done)
        done.prices.append(self._prices(pl.concat(prices), closes, pl.concat(made)))

    def _early_aside(self) -> pl.DataFrame:
        """The rows set aside while files were read, of this underlying and of days."""
        aside = pl.concat([validation.SET_ASIDE.to_frame(), *self.work.intake.aside])
        return aside.filter(pl.col("underlying") == self.name, pl.col("session").is_not_null())

    def _known_closes(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """The given bars, their ranges, and all closes that are known, the lake's included."""
        table = TABLES["underlying_bars"]
        held = lakes.stored(self.work.root, table, self.name)
        real = held.filter(pl.col("close_source").is_null())
        bars = pl.DataFrame(schema=table.schema)
        if self.checked is not None:
            bars = self.checked.rows.filter(pl.col("underlying") == self.name)
            bars = bars.select(*table.schema)
        known = pl.concat([real.select(*table.schema), bars]).unique("session", keep="last")
        ranges = known.filter(pl.col("high") > pl.col("low")).select(
            "underlying", "session", "high"
        )
        return bars, ranges, known.select("session", "close").sort("session")

    def _month(
        self,
        writer: lakes.Writer,
        key: Key,
        ranges: pl.DataFrame,
        closes: Mapping[dt.date, float],
        early: pl.DataFrame,
        open_days: frozenset[dt.date],
    ) -> "_MonthDone":
        """Write the quotes and bars of one month."""
        work, first = self.work, gathering.first_day(key[1])
        aside = _some(early, pl.col("session").dt.truncate("1mo") == first)
        minutes = None
        if work.layout.timed:
            minutes = months.minutes_of(self.sessions, work.layout.time)
        quotes = work.quotes.rows(key)
        aside = pl.concat([aside, stray := self._strays_of(quotes)])
        month = months.quotes_of(
            self._without_strays(quotes),
            self.name,
            work.numbering.roots,
            closes,
            work.pricing,
            minutes,
            None if self.replace else self._held,
        )
        work.quotes.forget(key)
        here = pl.concat([_some(aside, pl.col("table") == "option_quotes"), month.aside])
        count = writer.write("option_quotes", first, month.quotes, here)
        if len(month.priced):
            none = validation.SET_ASIDE.to_frame()
            count = count.plus(writer.write("option_quotes", first, month.priced, none))
        counts = {"option_quotes": count}
        rows = work.bars.rows(key)
        found = pl.concat([month.aside, stray])
        traded = _some(aside, pl.col("table") == "option_bars")
        if len(rows) or len(traded):
            bars = months.bars_of(
                self._without_strays(rows), self.name, work.numbering.roots, ranges
            )
            work.bars.forget(key)
            there = pl.concat([traded, bars.aside])
            table = TABLES["option_bars"].schema
            counts["option_bars"] = writer.write(
                "option_bars", first, bars.rows.select(*table), there
            )
            found = pl.concat([found, bars.aside])
        made = month.closes[np.flatnonzero([day in open_days for day in month.closes["session"]])]
        return _MonthDone(counts, found, month.prices, made)

    def _held(self, first: dt.date, last: dt.date) -> pl.DataFrame:
        """The lake's quotes of some days."""
        table = TABLES["option_quotes"]
        found = lakes.stored(self.work.root, table, self.name, days=(first, last))
        return found.select(*table.schema)

    def _strays_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The counts of the rows of sessions of a wrong year."""
        if not self.strays:
            return validation.SET_ASIDE.to_frame()
        strays = rows.filter(pl.col("session").is_in(list(self.strays)))
        counted = strays.group_by("session").agg(count=pl.len().cast(pl.Int64)).sort("session")
        return counted.select(
            table=pl.lit("option_quotes"),
            underlying=pl.lit(self.name),
            session="session",
            reason=pl.lit("stray_session"),
            count="count",
            example=pl.lit(None, pl.String),
        )

    def _without_strays(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows but those of sessions of a wrong year."""
        if not self.strays:
            return rows
        return rows.filter(~pl.col("session").is_in(list(self.strays)))

    def _write_daily(
        self,
        writer: lakes.Writer,
        pool: ThreadPoolExecutor,
        bars: pl.DataFrame,
        made: Frames,
        done: _Done,
    ) -> None:
        """Write the bars that were given, and the closes made of quotes on other sessions."""
        closes = pl.concat(made)
        rows = pl.concat([bars, months.underlying_rows(closes, self.name)]).sort("session")
        aside = validation.SET_ASIDE.to_frame()
        if self.checked is not None:
            aside = self.checked.aside.filter(
                pl.col("underlying") == self.name, pl.col("session").is_not_null()
            )
            done.aside.append(aside)
        _by_month(writer, pool, "underlying_bars", rows, aside, done)
        if self.daily is not None:
            paid = self.daily.dividends.filter(pl.col("underlying") == self.name)
            found = validation.check_dividends(validation.read("dividends", paid))
            dividends = found.rows.select(*TABLES["dividends"].schema)
            _by_month(writer, pool, "dividends", dividends, found.aside, done)

    def _prices(
        self, prices: pl.DataFrame, closes: pl.DataFrame, made: pl.DataFrame
    ) -> pl.DataFrame:
        """The rows of `PRICES`."""
        known = pl.concat([closes.with_columns(close_source=pl.lit("file")), made])
        found = prices.join(known, on="session", how="left")
        return found.with_columns(
            underlying=pl.lit(self.name), gap=pl.col("underlying_price") / pl.col("close") - 1
        ).select(*PRICES)


@dataclass(frozen=True)
class _MonthDone:
    """The rows of a month that were written, and its prices."""

    counts: dict[str, Counts]
    aside: pl.DataFrame
    prices: pl.DataFrame
    closes: pl.DataFrame


def _by_month(
    writer: lakes.Writer,
    pool: ThreadPoolExecutor,
    name: str,
    rows: pl.DataFrame,
    aside: pl.DataFrame,
    done: _Done,
) -> None:
    """Write rows of a table month by month."""
    days = rows[TABLES[name].day].to_numpy().astype("datetime64[M]")
    months_of = np.union1d(days, aside["session"].to_numpy().astype("datetime64[M]"))

    def write(month: dt.date) -> Counts:
        here = _some(aside, pl.col("session").dt.truncate("1mo") == month)
        return writer.write(name, month, rows[np.flatnonzero(days == np.datetime64(month))], here)

    for counts in pool.map(write, months_of.astype("datetime64[D]").tolist()):
        done.counts[name] = done.counts[name].plus(counts)


def _some(counts: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
    """Some of the counts of rows set aside; nothing is asked of none, which most months have."""
    return counts if counts.is_empty() else counts.filter(which)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Key], _MonthDone], keys: Sequence[Key]
) -> Iterator[_MonthDone]:
    """The results in the order of the keys, a few at work at a time: memory holds no more."""
    waiting: list[Future[_MonthDone]] = []
    for key in keys:
        waiting.append(pool.submit(work, key))
        if len(waiting) > WORKERS:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _counts(days: dict[dt.date, int]) -> pl.DataFrame:
    return pl.DataFrame(
        {"session": list(days), "count": list(days.values())},
        schema={"session": pl.Date, "count": pl.Int64},
    )
