r"""Market: validated tables of quotes, bars, splits and dividends, in memory or in a lake.

frames --Market(...)--> Memory \
                                Market: window(), diagnostics, fingerprint
folder --Market.open--> Lake   /
"""

import datetime as dt
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, SupportsIndex

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.lake import lake
from wheelvec.lake.kept_findings import KeptFindings
from wheelvec.lake.object_store import Address, StorageOptions
from wheelvec.lake.remote import opened
from wheelvec.market.splits import Given, Splits
from wheelvec.model import markup, schemas
from wheelvec.model.addresses import refuse_address
from wheelvec.model.errors import DataError, InputError, cut, listed
from wheelvec.model.forks import refuse_forked, refusing_forked
from wheelvec.tables import validation
from wheelvec.tables.anomalies import REASONS, Findings
from wheelvec.tables.roots import Roots
from wheelvec.tables.runs import Runs
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import LISTING, Listing, Survey
from wheelvec.tables.suspected import NIGHTS, PRICES, SUSPECTED, Events, any_night, suspected
from wheelvec.tables.validation import TABLES

MOST_COUNTS = 10  # rows of the diagnostics that a notebook shows
USUAL_SIZE = 2**18  # bytes of a month's file whose size is not known
DIGESTS = pl.Schema(
    {"table": pl.String, "underlying": pl.String, "month": pl.String, "digest": pl.String}
)


@dataclass(frozen=True)
class Window:
    """The kept rows of one underlying over some days, sorted by (session, symbol, ts).

    Attributes:
        quotes: `schemas.OPTION_QUOTES`.
        bars: `schemas.OPTION_BARS`; None for a market without option bars.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> window = market.window("ALFA", *market.data_range)
        >>> window.quotes.height, window.bars.height
        (7228, 286)
    """

    quotes: pl.DataFrame
    bars: pl.DataFrame | None


@refusing_forked
class Market:
    """Validated option quotes, daily bars of contracts and underlyings, splits and dividends.

    Rows with an unusable key, and broken or untraded bars, are set aside. Quotes without a valid
    price and rows on days that are no sessions are kept: the engine counts and drops them by the
    calendar of the run. `diagnostics` counts all of them.

    Args:
        option_quotes: quotes of options. This and the other tables are Polars frames, lazy or not,
            pandas frames, or Arrow tables, with the columns of data.md. Other widths of numbers,
            other time units and zones, text instead of numbers and dates, further columns, and OSI
            symbols in any spelling are accepted.
        underlying_bars: daily bars of the underlyings; their closes decide assignment and exercise.
        option_bars: daily bars of contracts; without them only the quotes trigger stops and
            targets.
        splits: splits and renames: underlying, ex_date, and `numerator` new shares for
            `denominator` old ones, which then bear the name new_underlying (null: the same). 1 for
            1 without a new name says that nothing happened. A spin-off is given by its ratio of
            closes in whole numbers, such as 1324 for 1000. "known": the table in the box.
        dividends: cash dividends of the underlyings, in dollars per share; `special` ones (false
            where absent) lower the strikes.
        strict: raise for broken rows instead of setting them aside.
        trading_calendar: the calendar whose sessions count in `diagnostics`; a backtest uses
            `Schedule.trading_calendar`.

    Raises:
        InputError: for an argument of the wrong kind.
        DataError: for a missing column, a type that cannot be converted, or broken rows under
            `strict`.

    Example:
        >>> import datetime as dt
        >>> import polars as pl
        >>> import wheelvec as wv
        >>> day = dt.date(2024, 1, 2)
        >>> quotes = pl.DataFrame({
        ...     "symbol": ["ALFA  240216P00150000"], "underlying": ["ALFA"], "session": [day],
        ...     "ts": [dt.datetime(2024, 1, 2, 20, 45, tzinfo=dt.UTC)],
        ...     "bid": [1.20], "ask": [1.30], "underlying_price": [157.78],
        ... })
        >>> bars = pl.DataFrame({
        ...     "underlying": ["ALFA"], "session": [day],
        ...     "open": [157.0], "high": [158.5], "low": [156.5], "close": [157.8], "volume": [900],
        ... })
        >>> wv.Market(option_quotes=quotes, underlying_bars=bars)
        Market(ALFA; 2024-01-02 to 2024-01-02; option_quotes 1 rows, underlying_bars 1 rows)
    """

    def __init__(
        self,
        *,
        option_quotes: schemas.Frame,
        underlying_bars: schemas.Frame,
        option_bars: schemas.Frame | None = None,
        splits: Given = None,
        dividends: schemas.Frame | None = None,
        strict: bool = False,
        trading_calendar: str = "NYSE",
    ) -> None:
        refuse_forked()
        given = {
            "option_quotes": option_quotes,
            "option_bars": option_bars,
            "underlying_bars": underlying_bars,
        }
        given |= {"dividends": dividends}
        needed = ("option_quotes", "underlying_bars")
        read = {
            name: validation.read(name, given[name])
            for name in TABLES
            if name in needed or given[name] is not None
        }
        self._set_up(Memory.of(read), strict, trading_calendar, Splits.of(splits))

    def _set_up(
        self, source: lake.Source, strict: bool, trading_calendar: str, splits: Splits
    ) -> None:
        self._source, self.trading_calendar = source, trading_calendar
        self._stated = splits
        # by underlying; of all of them under None
        self._found: dict[str | None, Findings] = {}
        self._suspected: dict[str, pl.DataFrame] = {}
        self._closes: dict[str, pl.DataFrame] = {}
        self._unread = frozenset[str]()  # underlyings whose files other processes could not read
        # the digests that were looked up last, and the rows of each underlying there
        self._digest_rows: tuple[pl.DataFrame, dict[str, list[int]]] | None = None
        if strict:
            self._refuse_broken_rows()

    @classmethod
    def open(
        cls,
        path: str | Path,
        symbols: Iterable[str] | None = None,
        start: str | dt.date | None = None,
        end: str | dt.date | None = None,
        splits: Given = None,
        strict: bool = False,
        trading_calendar: str = "NYSE",
        storage_options: Mapping[str, Any] | None = None,
    ) -> Self:
        """The market of a lake, of some or all of its underlyings, from `start` to `end`.

        Only folders, manifests and splits are read now. Windows read the months that they need;
        `option_quotes`, `option_bars` and `diagnostics` read all files.

        Args:
            path: the folder of the lake, or its address in an object store, which is only read:
                s3://bucket/prefix or gs://bucket/prefix.
            symbols: the underlyings, or one of them; None for all.
            start: first session, a date or text such as "2023-06-06"; None for the first of the
                lake.
            end: last session, inclusive; None for the last of the lake.
            splits: as in `Market`, and in addition to those of the lake: a row given here counts
                for its day, a known one only if neither is given here nor by the lake.
            strict: raise for broken rows; all files are read at once.
            trading_calendar: the calendar whose sessions count in `diagnostics`.
            storage_options: credentials, endpoint and region of an object store, as Polars takes
                them; None: from the environment. No message shows their values.

        Raises:
            InputError: for a symbol that the lake does not have, a date that is none, an address
                of another kind, or `storage_options` for a folder.
            LakeError: if the folder is no lake or may not be read, or the store cannot be reached
                or refuses; later, if one of its files is missing, damaged or misplaced.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> folder = tempfile.mkdtemp()
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> written = market.write(folder)
            >>> february = wv.Market.open(folder, symbols=["ALFA"], start="2024-02-01")
            >>> february.data_range[0].isoformat()
            '2024-02-01'
        """
        first, last = _day("start", start, dt.date.min), _day("end", end, dt.date.max)
        if first > last:
            raise InputError(f"start {first} is after end {last}")
        wanted = None if symbols is None else _symbols_given("symbols", symbols)
        stated = Splits.of(splits)
        source = opened(
            path, first, last, symbols=wanted, renames=stated.candidates(), options=storage_options
        )
        return cls._of_source(source, strict, stated.over(source.splits), trading_calendar)

    @classmethod
    def _of_source(
        cls, source: lake.Source, strict: bool, splits: Splits, trading_calendar: str = "NYSE"
    ) -> Self:
        market = cls.__new__(cls)
        market._set_up(source, strict, trading_calendar, splits)
        return market

    def part(self, underlyings: Iterable[str], *, as_most: bool = False) -> Self:
        """The market of a lake of which the files of some underlyings alone can be read.

        It has the `data_range` of the whole market, on which schedules and the last bar of the data
        depend. It can be pickled, as every market of a lake: another process then reads the files
        itself, and need not list the lake. It holds nothing of other underlyings, so that all parts
        of a market together take as long to make and to send as one of everything.

        Args:
            underlyings: their symbols; those that they were renamed to are added.
            as_most: whether solved chains are neither read from the lake nor stored in it, unless
                it has those of most underlyings: so that what is timed is what most will take.

        Raises:
            InputError: for a market of frames, or what is no list of symbols.

        Example:
            >>> import pickle, tempfile
            >>> import wheelvec as wv
            >>> folder = tempfile.mkdtemp()
            >>> market = wv.demo_market(symbols=["ALFA", "BRVO"], end="2024-02-29")
            >>> written = market.write(folder)
            >>> part = pickle.loads(pickle.dumps(wv.Market.open(folder).part(["BRVO"])))
            >>> part.symbols, part.underlying_bars["underlying"].unique().to_list()
            (('BRVO',), ['BRVO'])
        """
        names, renames = set(_symbols_given("underlyings", underlyings)), self._stated.candidates()
        names |= lake.successors_of(names, renames)
        held = tuple(sorted(names & self._symbols)), self.data_range
        whole_lake = self._lake()
        source = whole_lake.only(names).absolute()
        if as_most and not whole_lake.mostly_solved():
            source = replace(source, caches=False)
        stated = self._stated.only(names)
        part = self._restored(source, stated, self.trading_calendar, *held)
        if self.is_verified:
            vars(part)["digests"] = self.digests[self._digests_of(names)]
        return part

    @cached_property
    def _symbols(self) -> frozenset[str]:
        return frozenset(self.symbols)

    def _digests_of(self, underlyings: Iterable[str]) -> list[int]:
        """The rows of `digests` of some underlyings, in order."""
        held = self.digests
        if self._digest_rows is None or self._digest_rows[0] is not held:
            rows = pl.DataFrame([held["underlying"]]).with_row_index().group_by("underlying").all()
            self._digest_rows = held, dict(rows.iter_rows())
        return sorted(row for name in underlyings for row in self._digest_rows[1].get(name, ()))

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        if not isinstance(self._source, lake.BaseLake):  # frames are pickled as they are
            return super().__reduce_ex__(protocol)
        whole = self.symbols, self.data_range
        source = self._source.absolute()
        return self._restored, (source, self._stated, self.trading_calendar, *whole)

    @classmethod
    def _restored(
        cls,
        source: lake.BaseLake,
        splits: Splits,
        trading_calendar: str,
        symbols: tuple[str, ...],
        data_range: tuple[dt.date, dt.date] | None,
    ) -> Self:
        market = cls._of_source(source, False, splits, trading_calendar)
        # both are cached properties, which would else be those of the files alone
        vars(market).update(symbols=symbols, data_range=data_range)
        return market

    def _lake(self) -> lake.BaseLake:
        """The lake of the market.

        Raises:
            InputError: for a market of frames.
        """
        if not isinstance(self._source, lake.BaseLake):
            raise InputError(
                "the market is of frames in the memory of this process, which no other process can "
                "read: write it with market.write(folder), and open it with Market.open(folder)"
            )
        return self._source

    def sizes(self) -> dict[str, int]:
        """The size of the files of each underlying of a lake, in bytes, also of one without quotes.

        Of an object store, which does not report it, each file counts as 256 KiB.

        Raises:
            InputError: for a market of frames.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> folder = tempfile.mkdtemp()
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> written = market.write(folder)
            >>> wv.Market.open(folder).sizes()["ALFA"] > 10_000
            True
        """
        source = self._lake()
        found = dict.fromkeys(self._held(), 0)
        for name in source.tables:
            for symbol in source.underlyings(name):
                sizes = (source.bytes_of(name, symbol, m) for m in source.months(name, symbol))
                found[symbol] += sum(USUAL_SIZE if size is None else size for size in sizes)
        return found

    def write(self, path: str | Path, replace: bool = False) -> pl.DataFrame:
        """Write the kept rows into a lake, made if need be, and return numbers of rows.

        Rows replace the lake's rows of the same key (session and symbol, and ts of quotes that have
        one; session of an underlying's bar; ex_date of dividends and splits), and all others stay.
        With `replace`, they replace all rows of their sessions, by table and underlying. The counts
        of rows set aside are added to the lake's, except those of splits.

        Args:
            path: the folder of the lake.
            replace: whether whole sessions are replaced.

        Returns:
            One row per table: table, rows `added`, rows `replaced` (by rows of the same key, equal
            or not), and rows `removed` (with `replace`: those without a new row of their key).

        Raises:
            LakeError: if the folder holds anything else than a lake, if a file cannot be written,
                or if one to be merged with is damaged or misplaced.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> folder = tempfile.mkdtemp()
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-01-31")
            >>> market.write(folder)["added"].sum() == market.write(folder)["replaced"].sum()
            True
        """
        refuse_address(path, "the lake")
        return lake.write(Path(path), self._source, replace, self.splits)

    @property
    def address(self) -> str | None:
        """Where this market can be opened again by `Market.open`; None for tables in memory.

        It is the folder of the lake, or its address in an object store.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.address is None
            True
        """
        return str(self._source.root) if isinstance(self._source, lake.BaseLake) else None

    @property
    def storage_options(self) -> StorageOptions | None:
        """The `storage_options` that this market was opened with; None unless in an object store.

        `Market.open` takes them again. They are a mapping whose text hides the values.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.storage_options is None
            True
        """
        root = self._source.root if isinstance(self._source, lake.BaseLake) else None
        return root.options if isinstance(root, Address) else None

    @property
    def folder(self) -> Path | None:
        """The folder of the lake that this market reads.

        None for tables in memory, and for a lake in an object store.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.folder is None
            True
        """
        return self._source.root if isinstance(self._source, lake.Lake) else None

    @property
    def option_quotes(self) -> pl.DataFrame:
        """All kept quotes, `schemas.OPTION_QUOTES`, by (underlying, session, symbol, ts).

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.option_quotes.columns[:6]
            ['underlying', 'session', 'ts', 'symbol', 'expiration', 'strike']
        """
        return self._whole("option_quotes")

    @property
    def option_bars(self) -> pl.DataFrame | None:
        """All kept bars of contracts, `schemas.OPTION_BARS`, by (underlying, session, symbol).

        None for a market without option bars.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.option_bars.select("symbol", "close").row(0)
            ('ALFA  240112C00165000', 0.09)
        """
        return self._whole("option_bars") if self.has_option_bars else None

    @cached_property
    def underlying_bars(self) -> pl.DataFrame:
        """All kept bars of underlyings, `schemas.UNDERLYING_BARS`, by (underlying, session).

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.underlying_bars["close"].last()
            168.3
        """
        return self._whole("underlying_bars")

    @cached_property
    def dividends(self) -> pl.DataFrame | None:
        """All kept dividends, `schemas.DIVIDENDS`, by (underlying, ex_date); None if not given.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.dividends is None
            True
        """
        return self._whole("dividends") if "dividends" in self._source.tables else None

    @property
    def splits(self) -> pl.DataFrame | None:
        """All kept splits and renames, `schemas.SPLITS`, by (underlying, ex_date).

        None if no table of them was given.

        Example:
            >>> import datetime as dt
            >>> import polars as pl
            >>> import wheelvec as wv
            >>> held = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> splits = pl.DataFrame({
            ...     "underlying": ["ALFA"], "ex_date": [dt.date(2024, 2, 1)],
            ...     "numerator": [1], "denominator": [1],
            ... })
            >>> market = wv.Market(
            ...     option_quotes=held.option_quotes, underlying_bars=held.underlying_bars,
            ...     splits=splits,
            ... )
            >>> market.splits.rows()
            [('ALFA', datetime.date(2024, 2, 1), 1, 1, None)]
        """
        return None if self._splits is None else self._splits.rows

    @property
    def splits_set_aside(self) -> pl.DataFrame:
        """Counts of the broken rows among the given splits, `validation.TALLY`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.splits_set_aside.height
            0
        """
        aside = validation.SET_ASIDE.to_frame() if self._splits is None else self._splits.aside
        return validation.total(aside)

    @cached_property
    def _splits(self) -> validation.Checked | None:
        return self._stated.checked(self._held(), self.sessions)

    def _held(self) -> list[str]:
        """The underlyings that any table holds, sorted."""
        source = self._source
        return sorted({name for table in source.tables for name in source.underlyings(table)})

    @property
    def has_option_bars(self) -> bool:
        """Whether there is a table of option bars, even an empty one.

        Without one, the paths of contracts are made of quotes.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.has_option_bars
            True
        """
        return "option_bars" in self._source.tables

    def has_bars_of(self, underlying: str) -> bool:
        """Whether any bar of an underlying's options is kept; if not, paths are made of quotes.

        Args:
            underlying: its symbol, such as TSLA.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.has_bars_of("ALFA"), market.has_bars_of("BRVO")
            (True, False)
        """
        return self.has_option_bars and self._holds("option_bars", underlying)

    def has_daily_bars_of(self, underlying: str) -> bool:
        """Whether any daily bar of an underlying is kept.

        Args:
            underlying: its symbol, such as TSLA.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.has_daily_bars_of("ALFA"), market.has_daily_bars_of("BRVO")
            (True, False)
        """
        return self._holds("underlying_bars", underlying)

    def _holds(self, name: str, underlying: str) -> bool:
        listed = underlying in self._source.underlyings(name)
        return listed and self._source.holds(name, underlying)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The underlyings that have quotes, sorted.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.symbols
            ('ALFA',)
        """
        return self._source.symbols()

    @cached_property
    def data_range(self) -> tuple[dt.date, dt.date] | None:
        """First and last session of quotes and bars together; None without any.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> [str(session) for session in market.data_range]
            ['2024-01-02', '2024-02-29']
        """
        spans = [self._source.span(name) for name in self._source.tables if name != "dividends"]
        known = [span for span in spans if span is not None]
        return (min(first for first, _ in known), max(last for _, last in known)) if known else None

    def window(self, underlying: str, first: dt.date, last: dt.date) -> Window:
        """The quotes and option bars of `underlying` on `first` <= session <= `last`.

        They have no rows for an underlying that the market does not have.

        Args:
            underlying: its symbol.
            first: the first session, inclusive.
            last: the last session, inclusive.

        Raises:
            InputError: for a day that is no `datetime.date`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> day = market.data_range[0]
            >>> market.window("ALFA", day, day).quotes.height
            123
        """
        return Window(self.quotes(underlying, first, last), self.bars(underlying, first, last))

    def quotes(self, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame:
        """The option quotes of a `window`, `schemas.OPTION_QUOTES`.

        Args:
            underlying: its symbol.
            first: the first session, inclusive.
            last: the last session, inclusive.

        Raises:
            InputError: for a day that is no `datetime.date`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> day = market.data_range[0]
            >>> market.quotes("ALFA", day, day)["underlying_price"][0]
            157.78
        """
        _check_days(first, last)
        return self._source.rows("option_quotes", underlying, first, last)

    def bars(self, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame | None:
        """The option bars of a `window`, `schemas.OPTION_BARS`; None for a market without them.

        Args:
            underlying: its symbol.
            first: the first session, inclusive.
            last: the last session, inclusive.

        Raises:
            InputError: for a day that is no `datetime.date`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> day = market.data_range[0]
            >>> market.bars("ALFA", day, day).height
            8
        """
        _check_days(first, last)
        return (
            self._source.rows("option_bars", underlying, first, last)
            if self.has_option_bars
            else None
        )

    def closes(self, underlying: str) -> pl.DataFrame:
        """The session and the close, dollars per share, of each bar of an underlying, cached.

        From a lake only the files of this underlying are read.

        Args:
            underlying: its symbol.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.closes("ALFA")["close"].last()
            168.3
        """
        if underlying not in self._closes:
            rows = self._source.rows("underlying_bars", underlying, dt.date.min, dt.date.max)
            self._closes[underlying] = rows[["session", "close"]]
        return self._closes[underlying]

    def solved_chains(self, underlying: str, month: dt.date) -> tuple[Path, str, int] | None:
        """The folder of a lake's solved chains, and digest and number of a month's quotes.

        None for tables in memory, for a lake in an object store, for a month without quotes, and if
        `start` or `end` cuts the month.

        Args:
            underlying: its symbol.
            month: the first day of the month.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> import datetime as dt
            >>> market.solved_chains("ALFA", dt.date(2024, 1, 1)) is None  # in memory
            True
        """
        source = self._source
        if not (
            isinstance(source, lake.Lake) and source.has_month("option_quotes", underlying, month)
        ):
            return None
        folder, digest = (
            source.solved_folder(underlying, month),
            source.digest("option_quotes", underlying, month),
        )
        if folder is None or digest is None:
            return None
        return folder, digest, source.verified("option_quotes", underlying, month).rows

    @cached_property
    def digests(self) -> pl.DataFrame:
        """The content digest of each table, underlying and month with kept rows, `DIGESTS`.

        Of a lake in a folder all files are verified; of one in an object store footers are read.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.digests.select("table", "month").rows()[:2]
            [('option_quotes', '2024-01-01'), ('option_quotes', '2024-02-01')]
        """
        source = self._source
        rows = [
            [name, underlying, month.isoformat(), digest]
            for name in source.tables
            for underlying in source.underlyings(name)
            for month in source.months(name, underlying)
            if (digest := source.digest(name, underlying, month)) is not None
        ]
        return pl.DataFrame(rows, schema=DIGESTS, orient="row")

    @property
    def is_verified(self) -> bool:
        """Whether `digests` are known, so that a fingerprint reads no file.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> folder = tempfile.mkdtemp()
            >>> written = wv.demo_market(symbols=["ALFA"], end="2024-02-29").write(folder)
            >>> market = wv.Market.open(folder)
            >>> market.is_verified, market.digests.height > 0, market.is_verified
            (False, True, True)
        """
        return "digests" in vars(self)

    def hold(
        self, digests: pl.DataFrame, findings: Mapping[str, Findings], unread: Iterable[str] = ()
    ) -> None:
        """Take what other processes found of this market's data, so that it is not read again.

        Args:
            digests: of the whole market.
            findings: of single underlyings.
            unread: underlyings whose files could not all be read: their digests are not complete.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], end="2024-02-29")
            >>> again = wv.demo_market(symbols=["ALFA"], end="2024-02-29")
            >>> market.hold(again.digests, {"ALFA": again.findings(["ALFA"])})
            >>> market.fingerprint == again.fingerprint
            True
        """
        vars(self).pop("fingerprint", None)  # of the digests before
        vars(self)["digests"] = digests
        self._found.update(findings)
        self._unread = frozenset(unread)

    def unsurveyed(self, findings: bool) -> list[str]:
        """The underlyings whose digests, or findings, are not known yet, or could not be read.

        Args:
            findings: whether findings are asked for too.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA", "BRVO"], end="2024-02-29")
            >>> market.unsurveyed(findings=False)
            ['ALFA', 'BRVO']
            >>> market.hold(market.digests, {}, unread=["BRVO"])
            >>> market.unsurveyed(findings=False)
            ['BRVO']
        """
        names = self._held()
        if not self.is_verified:
            return names
        known: Iterable[str | None] = self._found if findings else names
        return [name for name in names if name in self._unread or name not in known]

    @cached_property
    def fingerprint(self) -> str:
        """A hexadecimal digest of the kept rows, the same for the same rows from memory or lake.

        It is BLAKE2b over the sorted (table, underlying, month, `validation.content_digest`),
        whether there are option bars, and the splits if there is any.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> again = wv.Market(
            ...     option_quotes=market.option_quotes.reverse(),
            ...     option_bars=market.option_bars, underlying_bars=market.underlying_bars,
            ... )
            >>> again.fingerprint == market.fingerprint
            True
        """
        parts = [list(row) for row in self.digests.rows()]
        if self.splits is not None and self.splits.height:
            digest = validation.content_digest(validation.SPLITS, self.splits)
            parts.append([validation.SPLITS.name, "", "", digest])
        text = json.dumps([self.has_option_bars, sorted(parts)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def diagnostics(self) -> pl.DataFrame:
        """Counts of broken and unusable rows by table, underlying and reason, sorted.

        The frame is `schemas.MARKET_DIAGNOSTICS`. A row counts under the first reason that applies,
        in the order of `validation.check_quotes` and the other checks, and then of
        `validation.tally`. Further reasons are `no_option_bars` and `no_underlying_bars` (quotes of
        an underlying without bars), `underlying_ended` (sessions of the market after an
        underlying's last bar), `suspected_split` and `contradicted_by_prices` (events),
        `adjusted_closes` and `adjusted_underlying_price` (sessions): see `tables.anomalies`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.diagnostics.rows()
            [('option_quotes', 'ALFA', 'missing_side', 341)]
        """
        return self._tally.drop("example")

    @cached_property
    def _tally(self) -> pl.DataFrame:
        counts = [validation.recounted(self._source.aside(), self.sessions)]
        counts.append(self.splits_set_aside)
        for underlying, source in self._sources(None):
            surveys = []
            for name in source.tables:
                for rows in source.batches(name):
                    counts.append(validation.tally(name, rows, self.sessions))
                    surveys += self._surveys(name, rows)
            self._found[underlying] = self._findings(surveys)
            counts.append(self._found[underlying].counted())
        return validation.total(pl.concat(counts))

    def findings(self, underlyings: Iterable[str]) -> Findings:
        """The anomalies in the data of some underlyings, cached.

        From a lake only the files of these underlyings are read, once as long as they stay the
        same: a lake in a folder keeps what was found.

        Args:
            underlyings: their symbols.

        Raises:
            InputError: for what is no list of symbols.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.findings(["ALFA"]).holes["first"].cast(str).to_list()  # without quotes
            ['2024-01-22', '2024-02-20']
        """
        wanted = set(_symbols_given("underlyings", underlyings))
        findings = []
        for underlying, source in self._sources(wanted):
            kept = self._kept_findings(underlying)
            if self._known_findings(underlying, kept) is None:
                self._found[underlying] = self._new_findings(underlying, source, kept)
            findings.append(self._found[underlying])
        return Findings.joined(findings).only(wanted)

    def _new_findings(
        self, underlying: str | None, source: lake.Source, kept: KeptFindings | None
    ) -> Findings:
        """The findings of a source, which are kept where they can be."""
        suspected = self._known_suspected(underlying)
        surveys: list[Survey] = []

        def surveyed(name: str) -> Iterator[pl.DataFrame]:
            for rows in source.batches(name):
                surveys.extend(self._surveys(name, rows, listing=False))
                yield rows

        quotes = surveyed("option_quotes")
        if suspected is None:  # asked of the same rows: to read them takes as long as to ask
            suspected = self._suspected_of(source, quotes)
        others = (name for name in source.tables if name != "option_quotes")
        for _ in itertools.chain(quotes, *map(surveyed, others)):
            pass
        found = self._findings(surveys, suspected)
        if kept is not None:
            kept.write(found)
        return found

    def _known_findings(self, underlying: str | None, kept: KeptFindings | None) -> Findings | None:
        """The findings that are cached, or that a lake in a folder keeps."""
        if kept is not None and (held := kept.read()) is not None:
            self._found[underlying] = held
        return self._found.get(underlying)

    def _kept_findings(self, underlying: str | None) -> KeptFindings | None:
        """Where the findings of an underlying of a lake in a folder are kept.

        None if they are cached, and of any other market.
        """
        source = self._source
        if underlying is None or underlying in self._found or type(source) is not lake.Lake:
            return None  # a staged lake is for a moment
        if not source.caches:
            return None
        return KeptFindings(source, underlying, self.sessions, self._events)

    def suspected_splits(self, underlyings: Iterable[str]) -> pl.DataFrame:
        """The splits of some underlyings that the data show and no row explains, cached.

        Few columns of the quotes are read, and of a lake only those of these underlyings.

        Args:
            underlyings: their symbols.

        Returns:
            `tables.suspected.SUSPECTED`: underlying, `session` (the day of the event), `last` and
            `following` (the sessions with quotes around it), `contracts` at `last` and those `gone`
            for good, and the ratio by the prices, null where they name none.

        Raises:
            InputError: for what is no list of symbols.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> market.suspected_splits(["ALFA"]).height
            0
        """
        wanted, source = set(_symbols_given("underlyings", underlyings)), self._source
        held = [u for u in sorted(wanted) if any(source.holds(t, u) for t in source.tables)]
        found = [self._suspected_splits(underlying) for underlying in held]
        return found[0] if len(found) == 1 else pl.concat([SUSPECTED.to_frame(), *found])

    def _suspected_splits(self, underlying: str) -> pl.DataFrame:
        """The findings of `suspected_splits` on an underlying."""
        if underlying not in self._suspected:
            kept = self._kept_findings(underlying)
            known = self._known_findings(underlying, kept) or self._found.get(None)
            if known is not None:
                splits = known.splits.filter(pl.col("underlying") == underlying)
            elif kept is not None and (held := kept.splits()) is not None:
                splits = held
            else:
                one = self._source.only([underlying])
                splits = self._suspected_of(one, one.batches("option_quotes", NIGHTS))
                if kept is not None:
                    kept.write_splits(splits)
            self._suspected[underlying] = splits
        return self._suspected[underlying]

    def _known_suspected(self, underlying: str | None) -> pl.DataFrame | None:
        """The findings of `suspected_splits` on an underlying (None: on all), if it was run."""
        names = self._held() if underlying is None else (underlying,)
        if not all(name in self._suspected for name in names):
            return None
        return pl.concat([SUSPECTED.to_frame(), *(self._suspected[name] for name in names)])

    def _suspected_of(self, source: lake.Source, quotes: Iterator[pl.DataFrame]) -> pl.DataFrame:
        """The suspected splits of a source, of whose `quotes` as many are taken as decide it."""
        if not any_night(quotes, self.sessions):
            return SUSPECTED.to_frame()
        batches = source.batches("option_quotes", LISTING)
        listing = Listing.joined([Listing.of(rows, self.sessions) for rows in batches])

        def prices(days: pl.DataFrame) -> pl.DataFrame:
            found = []
            for name, day in days.iter_rows():
                quotes = source.rows("option_quotes", name, day, day)
                bars = source.rows("underlying_bars", name, day, day)
                spot, closes = quotes["underlying_price"].median(), bars["close"]
                found.append((name, day, spot, closes[0] if len(closes) else None))
            return pl.DataFrame(found, schema=PRICES, orient="row")

        return suspected(listing, prices, self.sessions, self._events)

    def _findings(
        self, surveys: Iterable[Survey], suspected: pl.DataFrame | None = None
    ) -> Findings:
        survey = Survey.joined(surveys)
        return Findings.of(survey, self.sessions, self._events, splits=suspected)

    @cached_property
    def _events(self) -> Events:
        return Events.of(self.splits, self.dividends)

    def _sources(self, wanted: set[str] | None) -> list[tuple[str | None, lake.Source]]:
        """The source of each underlying of a lake, so that memory grows with one underlying.

        Tables in memory are one source, under None. `wanted` limits the underlyings; None: all.
        """
        if not isinstance(self._source, lake.BaseLake):
            return [(None, self._source)]
        return [
            (name, self._source.only([name]))
            for name in self._held()
            if wanted is None or name in wanted
        ]

    def _surveys(self, name: str, rows: pl.DataFrame, listing: bool = True) -> list[Survey]:
        """The survey of some rows of a table; none of dividends."""
        if name == "option_quotes":
            return [Survey.of_quotes(Runs.of(rows), self.sessions, listing)]
        return [] if name == "dividends" else [Survey.of_bars(name, rows)]

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of `trading_calendar` over `data_range`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> len(market.sessions.dates)
            41
        """
        return Sessions.known(
            self.trading_calendar, *(self.data_range or (dt.date(2020, 1, 1),) * 2)
        )

    def _refuse_broken_rows(self) -> None:
        broken = self._tally.filter(~pl.col("reason").is_in(schemas.ORDINARY_REASONS + REASONS))
        broken = broken.group_by("table", "reason", maintain_order=True).agg(
            pl.col("count").sum(), pl.col("example").drop_nulls().first()
        )
        if len(broken):
            lines = [
                f"{t} {reason}: {n}, such as {example}"
                for t, reason, n, example in broken.iter_rows()
            ]
            raise DataError("strict=True, and there are broken rows: " + "; ".join(lines))

    def _whole(self, name: str) -> pl.DataFrame:
        table = TABLES[name]
        empty = pl.DataFrame(schema=table.keyed)
        return pl.concat([empty, *self._source.batches(name)]).select(*table.schema)

    def __repr__(self) -> str:
        held = ", ".join(f"{name} {self._source.size(name)}" for name in self._source.tables)
        first_to_last = " to ".join(map(str, self.data_range)) if self.data_range else "no sessions"
        names = ", ".join(self.symbols[:8]) + (
            f" and {len(self.symbols) - 8} more" if len(self.symbols) > 8 else ""
        )
        return f"Market({names or 'no symbols'}; {first_to_last}; {held})"

    def _repr_html_(self) -> str:
        """The tables, and the diagnostics unless a whole lake must be read for them."""
        known = "_tally" in self.__dict__ or isinstance(self._source, Memory)
        first_to_last = " to ".join(map(str, self.data_range)) if self.data_range else "no sessions"
        names = listed(self.symbols) or "no symbols"
        sizes = [(name, self._source.size(name)) for name in self._source.tables]
        counts = self.diagnostics.sort("count", descending=True) if known else None
        return markup.block(
            markup.heading(f"Market({names}; {first_to_last})"),
            markup.table(["table", ""], sizes, "lr"),
            _counted(counts) if counts is not None and counts.height else "",
        )


def _counted(counts: pl.DataFrame) -> str:
    """The greatest of the counts of rows set aside, and of anomalies."""
    more = f": the first {MOST_COUNTS} of {counts.height}" if counts.height > MOST_COUNTS else ""
    rows = counts.head(MOST_COUNTS).rows()
    title = markup.heading(f"Rows set aside, and anomalies{more}")
    return title + markup.table(counts.columns, rows, "lllr")


def _symbols_given(name: str, given: Iterable[str]) -> list[str]:
    """The symbols of an argument; one alone is a list of it.

    Raises:
        InputError: naming the argument, if it is no list of symbols.
    """
    symbols = [given] if isinstance(given, str) else given
    if not isinstance(symbols, Iterable):
        raise InputError(f"{name} = {cut(given)}: expected a list of symbols")
    found = list(symbols)
    if wrong := [symbol for symbol in found if not isinstance(symbol, str)]:
        raise InputError(f"{name}: {cut(wrong[0])} is no symbol: expected a list of texts")
    return found


def _check_days(first: dt.date, last: dt.date) -> None:
    """Refuse what is no date.

    Raises:
        InputError: naming it.
    """
    for name, day in (("first", first), ("last", last)):
        if not isinstance(day, dt.date):
            raise InputError(f"{name} = {cut(day)}: expected a datetime.date")


def _day(name: str, value: str | dt.date | None, default: dt.date) -> dt.date:
    if value is None:
        return default
    try:
        return value if type(value) is dt.date else dt.date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(
            f"{name} is {value!r}; expected a date or text such as '2023-06-06'"
        ) from None


# ---- tables in memory


@dataclass(frozen=True)
class Known:
    """Facts of whole tables that are checked a few days at a time.

    Attributes:
        snapshot: whether no quote has a time.
        quotes: underlying, session, symbol of checked quotes, at least one of each root, underlying
            and session.
        underlyings: the underlyings of the daily bars.
        strays: sessions of a wrong year, see `validation.strays_of`.
    """

    QUOTED: ClassVar = ("underlying", "session", "symbol")

    snapshot: bool
    quotes: pl.DataFrame
    underlyings: pl.Series
    strays: pl.Series = field(default_factory=lambda: pl.Series("session", dtype=pl.Date()))


@dataclass(frozen=True)
class Memory:
    """Tables in memory, sorted by (underlying, day, ...).

    Attributes:
        held: the kept rows of each table, `Table.keyed`.
        starts: first row and number of rows of each underlying, by table.
        set_aside: counts of the rows set aside, `validation.SET_ASIDE`.
    """

    held: dict[str, pl.DataFrame]
    starts: dict[str, dict[str, tuple[int, int]]]
    set_aside: pl.DataFrame
    # by table and underlying, of its months, once they are asked for
    digests: dict[tuple[str, str], dict[dt.date, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: dict[str, pl.DataFrame], known: Known | None = None) -> Self:
        """Check frames of `validation.read`; `known` if they are some days of larger tables."""
        quotes = validation.check_quotes(given["option_quotes"], known.snapshot if known else None)
        underlyings = validation.check_underlying_bars(given["underlying_bars"])
        held = {"option_quotes": quotes, "underlying_bars": underlyings}
        if "option_bars" in given:
            whole = known or Known(False, quotes.rows, underlyings.rows["underlying"])
            roots = Roots.of(whole.quotes, whole.underlyings)
            held["option_bars"] = validation.check_option_bars(
                given["option_bars"], roots, underlyings.rows
            )
        if "dividends" in given:
            held["dividends"] = validation.check_dividends(given["dividends"])
        held = validation.without_strays(
            held, known.strays if known else validation.strays_of(validation.days_of(held))
        )
        rows = {name: held[name].rows.rechunk() for name in TABLES if name in held}
        starts = {name: _starts(frame) for name, frame in rows.items()}
        return cls(rows, starts, pl.concat([table.aside for table in held.values()]))

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables."""
        return tuple(self.held)

    def symbols(self) -> tuple[str, ...]:
        """The underlyings that have quotes."""
        return self.underlyings("option_quotes")

    def underlyings(self, name: str) -> tuple[str, ...]:
        """The underlyings of a table, sorted."""
        return tuple(self.starts[name])

    def months(self, name: str, underlying: str) -> list[dt.date]:
        """The first days of the months in which a table holds something."""
        return list(self._months(name, underlying))

    def holds(self, name: str, underlying: str) -> bool:
        """Whether a table holds any row of an underlying."""
        return underlying in self.starts.get(name, {})

    def rows(self, name: str, underlying: str, first: dt.date, last: dt.date) -> pl.DataFrame:
        """`Table.schema` rows of an underlying with `first` <= day <= `last`.

        A slice, nothing is copied.
        """
        days = self._days(name, underlying)
        low = int(np.searchsorted(days, np.datetime64(first), "left"))
        high = int(np.searchsorted(days, np.datetime64(last), "right"))
        rows = self._of(name, underlying).slice(low, max(high - low, 0))
        return pl.DataFrame([rows[column] for column in TABLES[name].schema])

    def batches(self, name: str, columns: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """The whole table, `Table.keyed` or some columns of it, in one batch."""
        yield self.held[name][list(columns)] if columns else self.held[name]

    def only(self, symbols: Iterable[str]) -> Self:
        """The rows of some underlyings, without what was set aside."""
        names = sorted(set(symbols))
        each_of = {name: [self._of(name, each) for each in names] for name in self.held}
        held = {
            name: rows[0] if len(rows) == 1 else pl.concat(rows) for name, rows in each_of.items()
        }
        starts: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in self.held}
        for table, found in starts.items():
            first = 0
            for each in (each for each in names if self.holds(table, each)):
                _, n = self.starts[table][each]
                found[each] = first, n
                first += n
        return type(self)(held, starts, validation.SET_ASIDE.to_frame())

    def digest(self, name: str, underlying: str, month: dt.date) -> str | None:
        """The content digest of one month."""
        if (name, underlying) not in self.digests:
            rows, begin = self._of(name, underlying), self._months(name, underlying)
            spans = list(itertools.pairwise([*begin.values(), len(rows)]))
            found = validation.content_digests(TABLES[name], rows, spans)
            self.digests[name, underlying] = dict(zip(begin, found, strict=True))
        return self.digests[name, underlying].get(month)

    def span(self, name: str) -> tuple[dt.date, dt.date] | None:
        """The first and last day in a table."""
        days = self.held[name].get_column(TABLES[name].day)
        first, last = days.min(), days.max()
        return (first, last) if isinstance(first, dt.date) and isinstance(last, dt.date) else None

    def aside(self) -> pl.DataFrame:
        """The counts of rows set aside, `validation.SET_ASIDE`."""
        return self.set_aside

    def size(self, name: str) -> str:
        """The size of a table in words."""
        return f"{len(self.held[name]):,} rows"

    def _days(self, name: str, underlying: str) -> NDArray[np.datetime64]:
        """The day of each row, in order; in NumPy, for it is looked up month by month."""
        return self._of(name, underlying)[TABLES[name].day].to_numpy()

    def _months(self, name: str, underlying: str) -> dict[dt.date, int]:
        """The first row of each month."""
        days = self._days(name, underlying)
        begin = np.flatnonzero(np.append(True, days[1:] != days[:-1])[: days.size])
        months = days[begin].astype("datetime64[M]")
        of_month = np.append(True, months[1:] != months[:-1])[: months.size]
        found: list[dt.date] = months[of_month].astype("datetime64[D]").tolist()
        return dict(zip(found, begin[of_month].tolist(), strict=True))

    def _of(self, name: str, underlying: str) -> pl.DataFrame:
        return self.held[name].slice(*self.starts[name].get(underlying, (0, 0)))


def _starts(rows: pl.DataFrame) -> dict[str, tuple[int, int]]:
    runs = (
        rows["underlying"]
        .rle()
        .struct.unnest()
        .select("value", start=pl.col("len").cum_sum() - pl.col("len"), n="len")
    )
    return {name: (start, n) for name, start, n in runs.iter_rows()}
