"""The result of a backtest: its frames, its configuration and the fingerprint of its data."""

import contextlib
import datetime as dt
import json
import platform
import shutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from wheelvec.model import atomic
from wheelvec.model.config import Config
from wheelvec.model.errors import ConfigError, LakeError, listed
from wheelvec.model.forks import refusing_forked
from wheelvec.model.named_figures import NamedFigures
from wheelvec.model.schemas import FAILURES, WHEELS
from wheelvec.model.schemas import RESULT_TABLES as KINDS
from wheelvec.model.version import VERSION
from wheelvec.run.executor import whole_number
from wheelvec.run.results.folder import WRITER_WAIT, Folder, changed_fields, refuse_other
from wheelvec.run.results.index import Index, Kind, Stored, read_index
from wheelvec.run.results.invariants import broken_invariants, refuse_broken
from wheelvec.run.results.shown import result_html
from wheelvec.run.results.warnings import Warnings, of_frame
from wheelvec.stages.summary import READ, Figure, Sums, in_summary, summary

SUMMARY, SPOOL = "summary.json", "spool"
PART = 2**18  # rows of records that a summary takes at a time
RESULT = Kind(
    name="result",
    index="result.json",
    files=frozenset({*(f"{kind}.parquet" for kind in KINDS), SUMMARY}),
    fields={
        "config": dict,
        "config_id": str,
        "fingerprint": str,
        "signals": (str, type(None)),
        "start": (str, type(None)),
        "versions": dict,
        "failures": int,
    },
    former=frozenset({"config", "config_id", "fingerprint", "versions", "files"}),
    added=frozenset({"start", "failures", "events.parquet", "failures.parquet"}),
    chunks="parts",
)
# A frame, the file of a frame, or a function that computes it from the others when first needed.
Held = pl.DataFrame | Stored | Callable[["Result"], pl.DataFrame]
Frames = Mapping[str, Held]


@refusing_forked
class Result:
    """The result of one backtest. Frames of a saved result are read when first needed.

    Attributes:
        config: the configuration that was run.
        signals: hexadecimal digest of the `when=` of the run; None without one.
        versions: the versions of wheelvec, Python, Polars, NumPy and Numba that ran it.
        start: the schedule's first session; None if the result was saved before it was kept.
        folder: where it is saved, absolute; None: nowhere.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> result.wheels.height, result.summary()["total_pnl"]
        (5, 951.7)
    """

    def __init__(
        self,
        config: Config,
        fingerprint: str | Callable[[], str],
        versions: Mapping[str, str],
        frames: Frames,
        signals: str | None = None,
        start: dt.date | None = None,
        folder: Path | None = None,
    ) -> None:
        self.config, self.folder = config, folder
        self.start = start
        self._fingerprint = fingerprint
        self.signals = signals
        self.versions = dict(versions)
        self._frames: dict[str, Held] = dict(frames)

    def _frame(self, kind: str) -> pl.DataFrame:
        frame = self._frames[kind]
        if not isinstance(frame, pl.DataFrame):
            frame = self._frames[kind] = frame.read() if isinstance(frame, Stored) else frame(self)
        return frame

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the market's tables.

        Of tables in memory it is computed when it is first needed, or the warnings are: to hash
        them takes a quarter of the time of a short run.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
            >>> result.fingerprint == market.fingerprint
            True
        """
        if not isinstance(self._fingerprint, str):
            self._fingerprint = self._fingerprint()
        return self._fingerprint

    @property
    def records(self) -> pl.DataFrame:
        """One row per phase (csp, cc, total), wheel by wheel.

        The schema is `model.schemas.RECORDS`, rules.md section 10.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> shown = result.records.select("wheel_id", "phase", "exit_reason", "pnl").head(2)
            >>> for row in shown.rows():
            ...     print(row)
            ('ALFA_2024-01-02_0', 'csp', 'expired_worthless', 176.34)
            ('ALFA_2024-01-02_0', 'total', None, 176.34)
        """
        return self._frame("records")

    @property
    def wheels(self) -> pl.DataFrame:
        """The totals of `records`, one row per launched wheel.

        The columns are those of `records` without the ones that only legs have, and

            in_summary                       whether it counts in `summary`: it is not censored and
                                             has a pnl_marked
            dte_entry, delta_entry, iv_entry of the put
            n_calls                          the number of calls sold

        `pnl`, in dollars per contract, is null for an unresolved wheel, so its sum is over the
        resolved wheels, censored or not; the ledger has the cash of unresolved wheels so far. The
        figure total_pnl is the sum of pnl_marked over the wheels in the summary.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> result.wheels.select("put_symbol", "dte_entry", "end_reason", "pnl").row(0)
            ('ALFA  240202P00155000', 31, 'put_expired', 176.34)
        """
        records, of_put = self.records, ("dte_entry", "delta_entry", "iv_entry")
        totals = (
            records.filter(pl.col("phase") == "total")
            .with_columns(in_summary=in_summary())
            .drop(of_put)
        )
        puts = records.filter(pl.col("phase") == "csp").select("wheel_id", *of_put)
        calls = (
            records.filter(pl.col("phase") == "cc")
            .group_by("wheel_id")
            .agg(n_calls=pl.len().cast(pl.Int64))
        )
        wheels = totals.join(puts, on="wheel_id", how="left", maintain_order="left")
        wheels = wheels.join(calls, on="wheel_id", how="left", maintain_order="left").with_columns(
            pl.col("n_calls").fill_null(0)
        )
        return wheels.select(*WHEELS, "in_summary", *of_put, "n_calls")

    def best(self, n: int = 10) -> pl.DataFrame:
        """The n wheels in the summary with the greatest P&L, the best first, as rows of `wheels`.

        They are ranked by pnl_marked, dollars per contract; of equal ones the first comes first.
        Those not in the summary are left out: a P&L that is not known is no gain.

        Args:
            n: the number of wheels; fewer are returned if there are no more.

        Raises:
            InputError: for an `n` that is no whole number of at least 1.

        Example:
            >>> import polars as pl
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
            >>> result.best(2).select("wheel_id", pl.col("pnl_marked").round(2)).rows()
            [('ALFA_2024-01-02_2', 223.34), ('ALFA_2024-01-02_1', 200.34)]
        """
        return self._extremes(n, best=True)

    def worst(self, n: int = 10) -> pl.DataFrame:
        """The n wheels in the summary with the least P&L, the worst first, as `best`.

        The first one's pnl_marked is the figure max_drawdown_proxy.

        Args:
            n: the number of wheels; fewer are returned if there are no more.

        Raises:
            InputError: for an `n` that is no whole number of at least 1.

        Example:
            >>> import polars as pl
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
            >>> result.worst(1).select("wheel_id", pl.col("pnl_marked").round(2)).rows()
            [('ALFA_2024-01-04_3', 165.34)]
        """
        return self._extremes(n, best=False)

    def _extremes(self, n: int, *, best: bool) -> pl.DataFrame:
        counted = self.wheels.filter("in_summary")
        return extreme_wheels(counted, whole_number("n", n, 10), best=best)

    @property
    def ledger(self) -> pl.DataFrame:
        """The dated cash of every wheel: wheel_id, date, entry, amount (dollars per contract).

        The amounts of a resolved wheel sum to its pnl.

        Example:
            >>> import polars as pl
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> first = result.ledger.filter(pl.col("wheel_id") == result.wheels["wheel_id"][0])
            >>> first.select("entry", "amount").rows()
            [('premium', 177.0), ('fees', -0.66)]
            >>> round(first["amount"].sum(), 2) == result.wheels["pnl"][0]
            True
        """
        return self._frame("ledger")

    @property
    def diagnostics(self) -> pl.DataFrame:
        """One row per entry session and underlying: outcome, and contracts that passed each test.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> result.diagnostics.select("underlying", "outcome", "n_quotes", "n_launched").row(0)
            ('ALFA', 'traded', 96, 3)
        """
        return self._frame("diagnostics")

    @property
    def call_diagnostics(self) -> pl.DataFrame:
        """One row per attempt of a launched wheel to sell a call.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> result.call_diagnostics.height  # no put was assigned
            0
        """
        return self._frame("call_diagnostics")

    @property
    def paths(self) -> pl.DataFrame:
        """The price path of every leg: one row per contract and session, from sale to end.

        Rows have open, high, low, close, bid and ask in dollars per share, and the source, a bar or
        a quote.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> result.paths.select("symbol", "high", "low", "bid", "ask", "source").row(0)
            ('ALFA  240202P00155000', 1.93, 1.78, 1.76, 1.81, 'bar')
        """
        return self._frame("paths")

    @property
    def underlying(self) -> pl.DataFrame:
        """The underlyings' daily closes from the schedule's first session to their last bars.

        A renamed underlying keeps its name, with the closes of the new one.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> result.underlying.select("underlying", "close").row(0)
            ('ALFA', 157.93)
        """
        return self._frame("underlying")

    @property
    def events(self) -> pl.DataFrame:
        """Splits, renames and dividends of the underlyings, and the splits that the data suggest.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.backtest(market, config).events.height  # nothing happens to ALFA
            0
        """
        if "events" not in self._frames:
            raise LakeError(
                "the result was saved by an earlier version, which kept neither corporate events "
                "nor all closes: run it again"
            )
        return self._frame("events")

    @property
    def warnings(self) -> Warnings:
        """Warnings about the data and the run, with counts; empty if there are none.

        Example:
            >>> import datetime as dt
            >>> import polars as pl
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> saturday = pl.DataFrame({"session": [dt.date(2024, 1, 6)], "underlying": ["ALFA"]})
            >>> for warning in wv.backtest(market, when=saturday).warnings:
            ...     print(warning.code)
            no_wheels
            unmatched_signals
        """
        return of_frame(self._frame("warnings"))

    @property
    def failures(self) -> pl.DataFrame:
        """Underlying and error of each underlying that an executor's workers could not simulate.

        The other frames have none of its wheels. Empty if there is none.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.backtest(market, config).failures.rows()
            []
        """
        if "failures" not in self._frames:  # saved by an earlier version
            return pl.DataFrame(schema=FAILURES)
        return self._frame("failures")

    def summary(self) -> NamedFigures[Figure]:
        """The figures of rules.md section 10; None for a figure of no wheels.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> figures = result.summary()
            >>> figures["total_wheels"], figures["total_pnl"], figures["win_rate"]
            (5, 951.7, 100.0)
        """
        held = self._frames["records"]
        if not isinstance(held, Stored):
            return NamedFigures(summary(self.records, self.config))
        sums = Sums(self.config)
        for part in held.parts(READ, PART):
            sums.add(part)
        return NamedFigures(sums.figures())

    def validate(self) -> None:
        """Check the invariants of records and ledger.

        Raises:
            RecordError: naming each invariant that fails, and the wheels.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> result.validate()
        """
        refuse_broken(broken_invariants(self.records, self.ledger))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the result to a folder, whole or not at all.

        An earlier result of the same configuration on the same data is replaced. The folder may be
        the one that this result was loaded from. If another process is writing there, this waits up
        to a minute.

        Args:
            folder: made if need be. Only a result that wheelvec wrote is ever replaced in it.
            overwrite: whether a result of another configuration or of other data may be replaced.

        Raises:
            LakeError: naming the reason, if the folder holds anything else or cannot be written.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     result.save(folder)
            ...     wv.Result.load(folder).summary() == result.summary()
            True
        """
        writer = ResultWriter(
            folder,
            self.config,
            lambda: self.fingerprint,
            signals=self.signals,
            overwrite=overwrite,
            wait=WRITER_WAIT,
        )
        writer.start = self.start
        with writer:
            for kind in KINDS:
                if kind not in ("events", "failures") or kind in self._frames:
                    writer.write(kind, self._frame(kind))
            self.folder = writer.close(self.versions).folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved result.

        Its frames are read, and verified again, when they are first needed.

        Args:
            folder: the folder that `save`, or `backtest` with `out`, wrote.

        Raises:
            LakeError: naming path and reason, if the folder is no saved result, or a file of it is
                missing or altered.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> result = wv.backtest(market, config)
            >>> import tempfile
            >>> folder = tempfile.mkdtemp()
            >>> result.save(folder)
            >>> wv.Result.load(folder).wheels.equals(result.wheels)
            True
        """
        place = Folder(folder, RESULT)
        return place.read_consistently(lambda: cls._read(place))

    @classmethod
    def _read(cls, place: Folder) -> Self:
        path = place.index_path
        index = read_index(path, RESULT)
        frames = {
            name: Stored(place.path.absolute() / name, digest)
            for name, digest in index.files.items()
        }
        for stored in frames.values():
            stored.check()
        try:
            config = Config.from_dict(index.content["config"], source=str(path))
        except (ConfigError, TypeError, ValueError, OverflowError) as error:
            raise LakeError(f"{path}: its configuration cannot be read: {error}") from None
        if config.id != index.content["config_id"]:
            raise LakeError(
                f"{path}: states configuration {index.content['config_id']}, "
                f"but its fields are of {config.id}"
            )
        return cls._of(index, config, frames, place.path.absolute())

    @classmethod
    def _of(cls, index: Index, config: Config, frames: Mapping[str, Stored], folder: Path) -> Self:
        content = index.content
        kept = {kind: frames[name] for kind in KINDS if (name := f"{kind}.parquet") in frames}
        start = content.get("start")
        if start is None:  # nor has it the events that belong to it
            kept.pop("events", None)
        return cls(
            config,
            content["fingerprint"],
            content["versions"],
            kept,
            content["signals"],
            None if start is None else dt.date.fromisoformat(start),
            folder,
        )

    def __repr__(self) -> str:
        figures = self.summary()
        shown = {
            name: figures[name]
            for name in ("total_wheels", "total_pnl", "avg_wheel_roc", "censored_wheels")
        }
        odd = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"<Result {self.config.id}: "
            + ", ".join(f"{name}={value}" for name, value in shown.items())
            + odd
            + ">"
        )

    def _repr_html_(self) -> str:
        return result_html(self)


def extreme_wheels(wheels: pl.DataFrame, n: int, *, best: bool) -> pl.DataFrame:
    """The n wheels with the greatest (or least) `pnl_marked`, the furthest out first.

    Args:
        wheels: of `Result.wheels`, those in the summary.
        n: the number of wheels.
        best: whether the greatest are wanted.
    """
    return wheels.sort("pnl_marked", descending=best, maintain_order=True).head(n)


def _warned(warnings: Callable[[Result], pl.DataFrame], result: Result) -> pl.DataFrame:
    """The warnings of a result in memory, which then needs its market no longer."""
    result.fingerprint  # noqa: B018  # the other thing that is computed from the market
    return warnings(result)


@cache
def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("polars", "numpy", "numba")}
    return {"wheelvec": VERSION, "python": platform.python_version(), **packages}


class ResultWriter:
    """Collects the frames of a result, in memory or in a folder, until `close` returns it.

    Args:
        out: the folder, which is locked within the `with` block; None for memory.
        config: the configuration that is run.
        fingerprint: the digest of the data, or a function that returns it: called at once only if
            `out` holds a result to compare with, and of a result in memory when it is first needed.
        signals: the digest of the user's signal (`when=`).
        overwrite: whether a result of another configuration, other data or another signal may be
            replaced.
        wait: seconds to wait for another writer.

    Raises:
        LakeError: before anything is written, naming what else `out` holds.
    """

    def __init__(
        self,
        out: str | Path | None,
        config: Config,
        fingerprint: str | Callable[[], str],
        *,
        signals: str | None = None,
        overwrite: bool = False,
        wait: float = 0.0,
    ) -> None:
        self._config, self.fingerprint, self._signals = config, fingerprint, signals
        self._overwrite, self._wait = overwrite, wait
        self._place = None if out is None else Folder(out, RESULT)
        self._frames: dict[str, list[pl.DataFrame]] = {kind: [] for kind in KINDS}
        self._writers: dict[str, Any] = {}
        self._sinks = contextlib.ExitStack()  # the files of the writers
        self._folder: Path | None = None
        self._sums, self._failed = Sums(config), 0
        self._held = contextlib.ExitStack()
        self.start: dt.date | None = None  # of the schedule; None: not known
        if self._place:
            self._refuse(self._place)

    def _refuse(self, place: Folder) -> None:
        """Refuse a folder with files that must not be replaced."""
        _refuse_others(place, self._overwrite, self._difference)

    def _digest(self) -> str:
        """The digest of the data."""
        if not isinstance(self.fingerprint, str):
            self.fingerprint = self.fingerprint()
        return self.fingerprint

    def _difference(self, there: dict[str, Any]) -> str:
        """The first difference between the index content of a result and this one, in words."""
        if differs := _other_config(there, self._config):
            return differs
        if there["signals"] != self._signals:
            return "it ran with another signal (when=)"
        if there["fingerprint"] != (here := self._digest()):
            return f"it ran over data {there['fingerprint']}, the market given holds {here}"
        return ""

    def __enter__(self) -> Self:
        if self._place:
            with contextlib.ExitStack() as stack:
                stack.enter_context(self._place.held(self._wait))
                self._refuse(self._place)  # again, now that it is locked
                self._folder = self._place.stage()
                self._held = stack.pop_all()
        return self

    def write(self, kind: str, frame: pl.DataFrame) -> None:
        """Append rows to the frame of one kind, such as records."""
        if self._folder is None:
            self._frames[kind].append(frame)
            return
        if kind == "records":
            self._sums.add(frame)
        if kind == "failures":
            self._failed += frame.height
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        with atomic.writing(self._path(f"{kind}.parquet")):
            if kind not in self._writers:
                path = self._folder / f"{kind}.parquet"
                sink = self._sinks.enter_context(pa.OSFile(str(path), "wb"))
                self._writers[kind] = pq.ParquetWriter(sink, table.schema, compression="zstd")
            self._writers[kind].write_table(table)

    def spool_folder(self) -> Path | None:
        """A folder for what is put aside while the result is written; None in memory."""
        if self._folder is None:
            return None
        with atomic.writing(self._path(SPOOL)):
            (self._folder / SPOOL).mkdir(exist_ok=True)
        return self._folder / SPOOL

    def parts_folder(self) -> Path | None:
        """The folder of what the workers of an executor return; None in memory.

        It outlives an interruption. Parts of another configuration or signal are removed; those of
        other data have other names.
        """
        if self._place is None:
            return None
        content = Index.of(RESULT, self._content(_versions()), {})
        unfinished = self._place.unfinished()
        if unfinished and any(
            unfinished.content[name] != content.content[name] for name in ("config_id", "signals")
        ):
            self._place.clear_chunks()
        self._place.begin_chunks(content)
        return self._place.parts_path

    def _path(self, name: str) -> Path:
        """The final path of a file, for messages."""
        assert self._place
        return self._place.path / name

    def close(
        self,
        versions: Mapping[str, str] | None = None,
        warnings: Callable[[Result], pl.DataFrame] | None = None,
    ) -> Result:
        """Finish, and return the result, whose frames are in memory or in its folder.

        Args:
            versions: the versions of the packages; None: those of this process.
            warnings: computes the frame of warnings from the others: at once if it is written to a
                folder, else when it is first needed.
        """
        for kind, columns in KINDS.items():
            made_later = kind == "warnings" and warnings is not None
            if not made_later and not (
                self._frames[kind] if self._folder is None else kind in self._writers
            ):
                self.write(kind, pl.DataFrame(schema=columns))
        versions = versions or _versions()
        if self._folder is None or self._place is None:
            frames: dict[str, Held] = {
                kind: pl.concat(found) for kind, found in self._frames.items() if found
            }
            later: dict[str, Held] = {}
            if warnings is not None:
                later["warnings"] = partial(_warned, warnings)
            return Result(
                self._config,
                self.fingerprint,
                versions,
                frames | later,
                self._signals,
                self.start,
            )
        self._close_files()
        shutil.rmtree(self._folder / SPOOL, ignore_errors=True)
        if warnings is not None:
            diagnostics = pl.read_parquet(self._folder / "diagnostics.parquet")
            made = Result(
                self._config,
                self._digest(),
                versions,
                {"diagnostics": diagnostics},
                self._signals,
            )
            self.write("warnings", warnings(made))
            self._close_files()
        self._write_summary()
        index = self._place.commit(self._content(versions))
        folder = self._place.path.absolute()
        return Result._of(
            index,
            self._config,
            {name: Stored(folder / name, digest) for name, digest in index.files.items()},
            folder,
        )

    def _close_files(self) -> None:
        for kind, writer in self._writers.items():
            with atomic.writing(self._path(f"{kind}.parquet")):
                writer.close()
        with atomic.writing(self._path(SUMMARY)):
            self._sinks.close()

    def _content(self, versions: Mapping[str, str]) -> dict[str, Any]:
        return {
            "config": self._config.to_dict(),
            "config_id": self._config.id,
            "fingerprint": self._digest(),
            "signals": self._signals,
            "start": self.start,
            "versions": dict(versions),
            "failures": self._failed,
        }

    def _write_summary(self) -> None:
        """The figures for other programs; `Result.summary` computes them anew from the records."""
        assert self._folder
        figures = self._sums.figures()
        with atomic.writing(self._path(SUMMARY)):
            (self._folder / SUMMARY).write_text(json.dumps(figures, indent=1), encoding="utf-8")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            # AttributeError: after a full disk the writer has no file
            with contextlib.suppress(OSError, AttributeError):
                writer.close()
        with contextlib.suppress(OSError):  # a writer that failed leaves its file open
            self._sinks.close()
        self._held.close()


def _other_config(there: dict[str, Any], config: Config) -> str:
    if there["config_id"] == config.id:
        return ""
    here = Index.of(RESULT, {"config": config.to_dict()}, {}).content["config"]
    return "its configuration has other " + listed(changed_fields(there["config"], here))


def check_out(out: str | Path, config: Config, *, overwrite: bool = False) -> None:
    """Refuse a folder that the result of a configuration must not replace, before data are read.

    Raises:
        LakeError: naming the files that are no result; or, without `overwrite`, the difference from
            the saved result.
    """
    place = Folder(out, RESULT)
    _refuse_others(place, overwrite, lambda there: _other_config(there, config))


def _refuse_others(
    place: Folder, overwrite: bool, difference: Callable[[dict[str, Any]], str]
) -> None:
    """Refuse a folder with files that are no result or, unless `overwrite`, with another result.

    An unfinished one, of which an executor's workers have returned parts, counts too.

    Args:
        place: the folder.
        overwrite: whether another result may be replaced.
        difference: the difference by the content of an index, in words; "" for none.

    Raises:
        LakeError: naming the files, or the difference.
    """
    index = place.examine()
    if not overwrite:
        for other in (index, place.unfinished()):
            if other:
                refuse_other(place.path, other, difference)
