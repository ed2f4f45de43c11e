"""The command line: parses, calls run, prints.

    wheelvec demo
    wheelvec run wheel.toml --lake lake/ --out out/
    wheelvec sweep wheel.toml grid.toml --lake lake/ --out out/
    wheelvec import --option-quotes quotes.parquet --underlying-bars bars.parquet --lake lake/
    wheelvec import dbn FILES... --lake lake/
    wheelvec fetch --symbols TSLA,BRK.B --start 2023-06-06 --end 2023-09-13 --lake lake/ --max-cost 25
    wheelvec check lake/

Standard output gets the results and nothing else, in plain text. What fails says so in one line on standard error. The
exit code is 0 for success, 2 for a command that cannot be understood, 130 after Ctrl-C, 141 when the reader of the
output has gone away, and 1 for everything else.
"""

import argparse
import contextlib
import datetime as dt
import io
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from wheelvec.spec.errors import InputError, LakeError, WheelvecError, listed
from wheelvec.spec.version import VERSION

if TYPE_CHECKING:
    import polars as pl

    from wheelvec.market.market import Market
    from wheelvec.spec.config import Config

log = logging.getLogger("wheelvec.cli")

USAGE, FAILED, INTERRUPTED, READER_GONE = 2, 1, 130, 141
LONGEST = 400  # characters of a message that was not written for the terminal

Progress = Callable[..., None]


class UsageError(Exception):
    """The command line itself cannot be understood."""


class Parser(argparse.ArgumentParser):
    """Raises instead of printing a usage text and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        with _console("-v" in arguments or "--verbose" in arguments):
            code = _execute(arguments)
            sys.stdout.flush()
        return code
    except UsageError as error:
        return _fail(USAGE, str(error))
    except KeyboardInterrupt as interrupt:
        return _fail(INTERRUPTED, str(interrupt) or "interrupted")
    except BrokenPipeError:
        _forget_output()
        return READER_GONE
    except BaseException as error:  # a panic of Polars is no Exception
        if debug:
            traceback.print_exc()
        return _fail(FAILED, _message(error))


def _execute(arguments: Sequence[str]) -> int:
    try:
        options = parser().parse_args(arguments)
    except SystemExit as end:  # --help and --version
        return end.code if isinstance(end.code, int) else 0
    options.command(options)
    return 0


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("-v", "--verbose", action="store_true", help="log to standard error what is being done")
    shared.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    root = Parser(prog="wheelvec", description="Backtests of the options wheel.", parents=[shared], allow_abbrev=False)
    root.add_argument("--version", action="version", version=f"wheelvec {VERSION}")
    commands = root.add_subparsers(title="commands", metavar="command", required=True)
    _add_demo(commands, shared)
    _add_run(commands, shared)
    _add_sweep(commands, shared)
    _add_import(commands, shared)
    _add_check(commands, shared)
    _add_fetch(commands, shared)
    return root


def _add(commands: Any, shared: argparse.ArgumentParser, name: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, parents=[shared], allow_abbrev=False
    )
    return command


def _add_demo(commands: Any, shared: argparse.ArgumentParser) -> None:
    demo = _add(commands, shared, "demo", "Run the wheel on the seeded demo market: no key, no network.")
    demo.add_argument("--out", default="demo-result", type=Path, metavar="FOLDER", help="default: %(default)s")
    demo.add_argument("--quiet", action="store_true", help="no summary and no progress")
    demo.set_defaults(command=_demo)


def _add_run(commands: Any, shared: argparse.ArgumentParser) -> None:
    run = _add(commands, shared, "run", "Run one configuration over a lake and save the result.")
    run.add_argument("config", type=Path, metavar="wheel.toml", help="the configuration")
    run.add_argument("--lake", required=True, type=Path, metavar="FOLDER", help="the lake to read")
    run.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the result goes, whole or not at all")
    run.add_argument("--rules", choices=("ledger", "v5"), help="the rule set, instead of the configuration's")
    run.add_argument("--quiet", action="store_true", help="no summary and no progress")
    run.set_defaults(command=_run)


def _add_sweep(commands: Any, shared: argparse.ArgumentParser) -> None:
    text = "Run every configuration of a grid over a lake; continue what an earlier run of it left."
    command = _add(commands, shared, "sweep", text)
    command.add_argument("config", type=Path, metavar="wheel.toml", help="the base configuration")
    command.add_argument("grid", type=Path, metavar="grid.toml", help="fields and the values to try, sections as in wheel.toml")
    command.add_argument("--lake", required=True, type=Path, metavar="FOLDER", help="the lake to read")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where finished chunks and the frame go")
    command.add_argument("--threads", type=int, metavar="N", help="default: as many as there are processors")
    command.add_argument("--stats", choices=("full", "moments"), default="full", help="moments: no median, no percentiles")
    command.add_argument("--quiet", action="store_true", help="no summary and no progress")
    command.set_defaults(command=_sweep)


def _add_import(commands: Any, shared: argparse.ArgumentParser) -> None:
    text = "Check Parquet tables, or DBN files, and write them into a lake."
    command = _add(commands, shared, "import", text)
    files: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "FILE"}
    command.add_argument("--option-quotes", **files, help="the chains at entry time; must be given")
    command.add_argument("--option-bars", **files, help="the contracts' daily bars; without them their quotes decide")
    command.add_argument("--underlying-bars", **files, help="the regular sessions' bars; must be given")
    command.add_argument("--dividends", **files, help="underlying, ex_date, amount per share")
    command.add_argument("--lake", type=Path, metavar="FOLDER", help="the lake to write; must be given")
    command.add_argument("--strict", action="store_true", help="broken rows are an error, not set aside")
    command.set_defaults(command=_import)
    forms = command.add_subparsers(title="other forms", metavar="form", required=False)
    dbn = _add(forms, shared, "dbn", "Take Databento's DBN files, compressed or not, into a lake.")
    dbn.add_argument("files", **files, help="of any schema; what is of no use is left out")
    dbn.add_argument("--lake", required=True, metavar="FOLDER", help="the lake to write")
    _add_entry(dbn)
    dbn.set_defaults(command=_import_dbn)


def _add_fetch(commands: Any, shared: argparse.ArgumentParser) -> None:
    text = "Fetch from Databento what a lake lacks; the key is read from DATABENTO_API_KEY."
    fetch = _add(commands, shared, "fetch", text)
    fetch.add_argument("--config", type=Path, metavar="wheel.toml", help="how far wheels reach, and what is not given here")
    fetch.add_argument("--symbols", metavar="NAMES", help="underlyings, such as TSLA,BRK.B")
    fetch.add_argument("--start", metavar="DATE", help="first session of entry")
    fetch.add_argument("--end", metavar="DATE", help="last session of entry; data are fetched as far as its wheels can reach")
    fetch.add_argument("--lake", required=True, metavar="FOLDER", help="the lake to complete, made if need be")
    _add_entry(fetch)
    fetch.add_argument("--schema", default="cmbp-1", metavar="NAME", help="of the quotes: cmbp-1 (default) or cbbo-1m")
    fetch.add_argument("--max-cost", type=float, metavar="DOLLARS", help="spend no more than this")
    fetch.add_argument("--gateway", metavar="URL", help="another address of the interface")
    fetch.add_argument("--yes", action="store_true", help="do not ask before money is spent")
    fetch.add_argument("--dry-run", action="store_true", help="show the plan and its cost, and spend nothing")
    fetch.add_argument("--quiet", action="store_true", help="no progress")
    fetch.set_defaults(command=_fetch)


def _add_entry(command: argparse.ArgumentParser) -> None:
    command.add_argument("--entry-time", metavar="TIME", help="15:45 (default), or a time before the close: close-15min")
    command.add_argument(
        "--look-back", type=int, default=0, metavar="MINUTES", help="take quotes that last changed so long before; default: 0"
    )


def _add_check(commands: Any, shared: argparse.ArgumentParser) -> None:
    text = "Say what a lake holds, what it lacks, and which of its files are damaged (exit code 1 if any is)."
    command = _add(commands, shared, "check", text)
    command.add_argument("lake", type=Path, metavar="FOLDER", help="the lake to read")
    command.add_argument("--calendar", default="NYSE", metavar="NAME", help="what counts as a session; default: %(default)s")
    command.set_defaults(command=_check)


# ---------------------------------------------------------------------------------------------------- the commands


def _demo(options: argparse.Namespace) -> None:
    from wheelvec.market.synthetic import DEMO_END, DEMO_START, demo_market
    from wheelvec.spec.config import Config

    config = Config.from_dict({"schedule": {"start_date": DEMO_START, "end_date": DEMO_END}})
    _backtest(demo_market, config, options)


def _run(options: argparse.Namespace) -> None:
    from wheelvec.market.market import Market
    from wheelvec.spec.config import Config

    config = Config.from_toml(options.config)
    if options.rules is not None:
        config = config.replace(rules=options.rules)
    schedule = config.schedule

    def opened() -> Market:
        symbols = None if schedule.symbols is None else list(schedule.symbols)
        # whole months, whose solved chains the lake keeps
        start = schedule.start_date.replace(day=1) if isinstance(schedule.start_date, dt.date) else None
        return Market.open(options.lake, symbols=symbols, start=start)

    _backtest(opened, config, options)


def _backtest(source: Callable[[], "Market"], config: "Config", options: argparse.Namespace) -> None:
    with _progress("months x underlyings", options.quiet) as progress:
        from wheelvec.report.text import described, number
        from wheelvec.run.backtest import backtest

        market = source()
        log.info("%r", market)
        log.info("configuration %s, rules %s", config.id, config.rules)
        result = backtest(market, config, out=options.out, progress=progress)
        log.info("%s wheels launched", number(result.wheels.height))
    if not options.quiet:
        print(described(result))
    print(_where(options.out))


def _sweep(options: argparse.Namespace) -> None:
    from wheelvec.market.market import Market
    from wheelvec.spec.config import Config
    from wheelvec.spec.grid import grid_from_toml

    config, grid = Config.from_toml(options.config), grid_from_toml(options.grid)
    with _progress("configurations", options.quiet) as progress:
        from wheelvec.report.text import swept
        from wheelvec.run.sweep import sweep

        started, first = time.monotonic(), None

        def report(done: int, total: int, cells: int) -> None:
            nonlocal first
            if progress:
                first = done if first is None else first  # what was kept from before took no time
                taken = time.monotonic() - started
                left = (total - done) * taken / max(done - first, 1)
                progress(done, total, f"configurations, {cells / taken:,.0f} cells/s, {left:,.0f} s left")

        market = Market.open(options.lake)
        result = sweep(market, config, grid, out=options.out, threads=options.threads, stats=options.stats, progress=report)
    if not options.quiet:
        print(swept(result))
    print(_where(options.out))


def _where(out: Path) -> str:
    """Where the result lies and what is in it."""
    from wheelvec.report.text import wrapped

    files = sorted(path.name for path in out.iterdir())
    return f"The result is in {out}{os.sep}\n" + wrapped(", ".join(files))


def _import(options: argparse.Namespace) -> None:
    needed = {"--option-quotes": options.option_quotes, "--underlying-bars": options.underlying_bars, "--lake": options.lake}
    if missing := [name for name, value in needed.items() if value is None]:
        raise UsageError(f"the following arguments are required: {', '.join(missing)}; see wheelvec import --help")
    from wheelvec.market.market import Market
    from wheelvec.report.text import counted, set_aside, wrapped

    tables: dict[str, Any] = {
        name: _scanned(name, paths)
        for name in ("option_quotes", "option_bars", "underlying_bars", "dividends")
        if (paths := getattr(options, name)) is not None
    }
    with _without_panics():
        market = Market(**tables, strict=options.strict)
    log.info("%r", market)
    print(set_aside(market.diagnostics))
    if not market.symbols or market.data_range is None:
        raise InputError("no row of option_quotes can be used; nothing was written")
    market.write(options.lake)
    first, last = market.data_range
    print(f"\nWritten to {options.lake}{os.sep}: {counted(len(market.symbols), 'underlying')}, {first} to {last}")
    print(wrapped(", ".join(market.symbols)))


def _check(options: argparse.Namespace) -> None:
    with _progress("files", quiet=False) as progress:
        from wheelvec.market.inspection import check
        from wheelvec.report.inspected import inspected
        from wheelvec.report.text import counted

        found = check(options.lake, options.calendar, progress)
    print(inspected(found))
    sys.stdout.flush()  # before what standard error gets
    if count := len(found.refused):
        raise LakeError(f"{options.lake} has {counted(count, 'file')} that every reader refuses, listed above")


def _import_dbn(options: argparse.Namespace) -> None:
    from wheelvec.market.archive import import_dbn
    from wheelvec.report.costs import imported

    with _progress("files", quiet=False) as progress:
        entry_time = options.entry_time or "15:45"
        files = import_dbn(
            options.files, lake=options.lake, entry_time=entry_time, look_back=options.look_back, progress=progress
        )  # fmt: skip
    print(imported(files))
    print(f"\nWritten to {options.lake}")


def _fetch(options: argparse.Namespace) -> None:
    from wheelvec.market.fetch import fetch
    from wheelvec.report.costs import priced, remarks, taken
    from wheelvec.spec.config import Config

    shown = _Shown(options)
    with _progress("requests", options.quiet) as progress:
        fetched = fetch(
            symbols=None if options.symbols is None else options.symbols.split(","),
            start=options.start, end=options.end, lake=options.lake, max_cost=options.max_cost, entry_time=options.entry_time,
            schema=options.schema, look_back=options.look_back, gateway=options.gateway, dry_run=options.dry_run,
            config=None if options.config is None else Config.from_toml(options.config),
            confirm=shown.confirm, progress=progress,
        )  # fmt: skip
    if not shown.table:
        print(priced(fetched))
    if fetched.notes:
        print("\n" + remarks(fetched))
    if options.dry_run or shown.refused:
        print("\nNothing was spent.")
    else:
        print("\n" + (taken(fetched, options.lake) if shown.table else f"{options.lake} lacks nothing that can be had."))


class _Shown:
    """Shows the priced plan, and asks whether to spend: on a terminal a person, else the options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self.table, self.refused = options, False, False

    def confirm(self, plan: Any) -> bool:
        from wheelvec.report.costs import dollars, priced

        options, self.table = self._options, True
        print(priced(plan), flush=True)
        over = options.max_cost is not None and plan.cost > options.max_cost  # refused by fetch itself, with the figures
        if options.yes or over or plan.cost == 0:
            return True
        if sys.stdin.isatty() and sys.stderr.isatty():
            print(f"Spend {dollars(plan.cost)} dollars? [y/N] ", end="", file=sys.stderr, flush=True)
            self.refused = sys.stdin.readline().strip().lower() not in ("y", "yes")
            return not self.refused
        if options.max_cost is None:
            raise InputError(
                f"this would cost {dollars(plan.cost)} dollars and there is no terminal to ask on: add --yes or --max-cost"
            )
        return True


def _scanned(name: str, paths: Sequence[Path]) -> "pl.LazyFrame":
    """The Parquet files of one table, one after the other."""
    import polars as pl

    for path in paths:
        if not path.is_file():
            raise InputError(f"--{name.replace('_', '-')} {path}: no such file")
    try:
        frames = [pl.scan_parquet(path) for path in paths]
        with _without_panics():
            for frame in frames:
                frame.collect_schema()
        return pl.concat(frames, how="vertical_relaxed")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = _one_line(str(error))[:LONGEST]
        raise InputError(f"--{name.replace('_', '-')} {listed(paths)}: not readable as Parquet: {reason}") from error


# ------------------------------------------------------------------------------------------- terminal and failures


class _ToStandardError(logging.Handler):
    """Writes to what standard error is at the time of the message: a progress bar puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


@contextlib.contextmanager
def _console(verbose: bool) -> Iterator[None]:
    """Warnings and log messages as single lines, while a command runs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    package, handler = logging.getLogger("wheelvec"), _ToStandardError()
    before = package.level
    handler.setFormatter(logging.Formatter("wheelvec: %(levelname)s: %(message)s"))
    package.addHandler(handler)
    package.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        package.removeHandler(handler)
        package.setLevel(before)


@contextlib.contextmanager
def _without_panics() -> Iterator[None]:
    """Keep from the terminal what Polars' compiled code writes of a panic, some lines straight to file descriptor 2, before
    it raises: a damaged Parquet file of a user's can cause one. Python's own standard error goes on, by a copy of it."""
    if "--debug" in sys.argv or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept, before = os.dup(2), sys.stderr
    try:
        if _is_descriptor(before, 2):
            sys.stderr = os.fdopen(os.dup(kept), "w", encoding=before.encoding, errors="backslashreplace", buffering=1)
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if sys.stderr is not before:
            sys.stderr.close()
            sys.stderr = before


def _is_descriptor(stream: object, number: int) -> bool:
    try:
        return stream.fileno() == number  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError, ValueError):
        return False


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"wheelvec: warning: {_one_line(str(message))}", file=sys.stderr)


@contextlib.contextmanager
def _progress(label: str, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar, if standard error is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int, text: str = label) -> None:
            """Gone once all is done, so that a question may stand there; back when more begins."""
            bar.start()
            bar.update(task, completed=done, total=total, description=text)
            if done == total:
                bar.stop()

        yield show


def _message(error: BaseException) -> str:
    """One line: what wheelvec says itself as it stands, anything else with its type."""
    if isinstance(error, WheelvecError):
        return str(error) or type(error).__name__
    text = _one_line(str(error))
    cut = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return f"{type(error).__name__}: {cut}" if cut else type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fail(code: int, message: str) -> int:
    with contextlib.suppress(OSError):
        print(f"wheelvec: error: {_one_line(message)}", file=sys.stderr)
    return code


def _forget_output() -> None:
    """The reader has gone: nothing that is still buffered may raise when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
