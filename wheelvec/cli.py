"""The command line: parses, calls run, prints.

    wheelvec demo
    wheelvec run wheel.toml --lake lake/ --out out/
    wheelvec import --option-quotes quotes.parquet --underlying-bars bars.parquet --lake lake/

Standard output gets the results and nothing else, in plain text. What fails says so in one line on standard error. The
exit code is 0 for success, 2 for a command that cannot be understood, 130 after Ctrl-C, 141 when the reader of the
output has gone away, and 1 for everything else.
"""

import argparse
import contextlib
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from wheelvec.spec.errors import InputError, WheelvecError
from wheelvec.spec.version import VERSION

if TYPE_CHECKING:
    import polars as pl

    from wheelvec.market.market import Market
    from wheelvec.run.result import Result
    from wheelvec.spec.config import Config

log = logging.getLogger("wheelvec.cli")

USAGE, FAILED, INTERRUPTED, READER_GONE = 2, 1, 130, 141
WIDTH = 80
LONGEST = 400  # characters of a message that was not written for the terminal

Progress = Callable[[int, int], None]
Figures = Mapping[str, float | int | None]

# What an outcome of an entry session means, and which field decides it.
OUTCOMES = {
    "no_quotes": "not a quote in the minute of entry_time",
    "no_underlying_price": "no quote has a price of the underlying",
    "not_solved": "no put has an implied volatility",
    "no_candidate_in_range": "no put within put.dte_* and put.delta_*",
    "all_rejected_by_liquidity": "every put in range fails [liquidity]",
    "not_signalled": "the signal left it out",
    "wheel_already_open": "allow_multiple_wheels_per_symbol is false",
    "traded": "at least one wheel launched",
}


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
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted")
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
    _add_import(commands, shared)
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


def _add_import(commands: Any, shared: argparse.ArgumentParser) -> None:
    text = "Check Parquet tables and write them into a lake."
    command = _add(commands, shared, "import", text)
    files: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "FILE"}
    command.add_argument("--option-quotes", required=True, **files, help="the chains at entry time")
    command.add_argument("--option-bars", **files, help="the contracts' daily bars; without them their quotes decide")
    command.add_argument("--underlying-bars", required=True, **files, help="the regular sessions' bars")
    command.add_argument("--dividends", **files, help="underlying, ex_date, amount per share")
    command.add_argument("--lake", required=True, type=Path, metavar="FOLDER", help="the lake to write")
    command.add_argument("--strict", action="store_true", help="broken rows are an error, not set aside")
    command.set_defaults(command=_import)


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
        return Market.open(options.lake, symbols=symbols, start=schedule.start_date)

    _backtest(opened, config, options)


def _backtest(source: Callable[[], "Market"], config: "Config", options: argparse.Namespace) -> None:
    with _progress("reading", options.quiet) as progress:
        from wheelvec.run.backtest import backtest

        market = source()
        log.info("%r", market)
        log.info("configuration %s, rules %s", config.id, config.rules)
        result = backtest(market, config, out=options.out, progress=progress)
        log.info("%s wheels launched", _number(result.wheels.height))
    if not options.quiet:
        print(described(result))
    print(_where(options.out))


def _where(out: Path) -> str:
    """Where the result lies and what is in it."""
    files = sorted(path.name for path in out.iterdir())
    return f"The result is in {out}{os.sep}\n" + _wrapped(", ".join(files))


def _import(options: argparse.Namespace) -> None:
    from wheelvec.market.market import Market

    tables: dict[str, Any] = {
        name: _scanned(name, paths)
        for name in ("option_quotes", "option_bars", "underlying_bars", "dividends")
        if (paths := getattr(options, name)) is not None
    }
    market = Market(**tables, strict=options.strict)
    log.info("%r", market)
    print(_set_aside(market.diagnostics))
    if not market.symbols or market.data_range is None:
        raise InputError("no row of option_quotes can be used; nothing was written")
    market.write(options.lake)
    first, last = market.data_range
    print(f"\nWritten to {options.lake}{os.sep}: {_counted(len(market.symbols), 'underlying')}, {first} to {last}")
    print(_wrapped(", ".join(market.symbols)))


def _scanned(name: str, paths: Sequence[Path]) -> "pl.LazyFrame":
    """The Parquet files of one table, one after the other."""
    import polars as pl

    for path in paths:
        if not path.is_file():
            raise InputError(f"--{name.replace('_', '-')} {path}: no such file")
    try:
        frames = [pl.scan_parquet(path) for path in paths]
        for frame in frames:
            frame.collect_schema()
        return pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(f"--{name.replace('_', '-')} {_names(paths)}: not readable as Parquet: {error}") from error


# ------------------------------------------------------------------------------------------------ what is printed


def described(result: "Result") -> str:
    """The summary of a result as plain text of at most 80 columns."""
    figures, schedule = result.summary(), result.config.schedule
    launched = result.wheels.height
    symbols = result.diagnostics["underlying"].unique(maintain_order=True).to_list()
    days = result.diagnostics["session"]
    first, last = (schedule.start_date or days.min(), schedule.end_date or days.max())
    blocks = [
        f"wheelvec {VERSION}, rules {result.config.rules}, configuration {result.config.id}",
        _wrapped(f"Entries {_text(first)} to {_text(last)}: {', '.join(symbols) or 'no entry session'}", ""),
        "",
        *(_launched(result, figures, launched) if launched else [_none_launched(result)]),
        "",
        _outcomes(result.diagnostics),
        "",
    ]
    return "\n".join(blocks)


def _launched(result: "Result", figures: Figures, launched: int) -> list[str]:
    return [_wheels(figures, launched), "", _money(figures), "", _exits(result.records), "", _ends(result.wheels)]


def _wheels(figures: Figures, launched: int) -> str:
    unresolved = (figures["open_wheels"] or 0) + (figures["no_data_wheels"] or 0)
    rows = [
        ("launched", _number(launched), ""),
        ("in the figures below", _number(figures["total_wheels"]), ""),
        ("  of these marked", _number(figures["marked_wheels"]), "valued at the last close"),
        ("  of these holding shares", _number(figures["held_wheels"]), ""),
        ("censored", _number(figures["censored_wheels"]), "settle after the data end: left out"),
        ("unresolved", _number(unresolved), ""),
        ("  open", _number(figures["open_wheels"]), ""),
        ("  no data", _number(figures["no_data_wheels"]), ""),
    ]
    return _section("Wheels", rows)


def _money(figures: Figures) -> str:
    rows = [
        ("total P&L", _dollars(figures["total_pnl"]), ""),
        ("total P&L at worst", _dollars(figures["total_pnl_worst"]), "if all that is left out were lost"),
        ("worst wheel", _dollars(figures["max_drawdown_proxy"]), ""),
        ("capital deployed", _dollars(figures["total_capital_deployed"]), "summed over the wheels"),
        ("win rate", _percent(figures["win_rate"]), ""),
        ("ROC average", _percent(figures["avg_wheel_roc"]), ""),
        ("ROC median", _percent(figures["median_wheel_roc"]), ""),
        ("ROC least", _percent(figures["min_wheel_roc"]), ""),
        ("ROC greatest", _percent(figures["max_wheel_roc"]), ""),
        ("ROC standard deviation", _percent(figures["std_wheel_roc"]), ""),
        ("average days held", _decimal(figures["avg_days_held"]), ""),
        ("leg-sessions without a bar", _number(figures["sessions_without_bar"]), ""),
        *_doubtful(figures),
    ]
    return _section("Figures (dollars per contract of 100 shares)", rows)


def _doubtful(figures: Figures) -> list[tuple[str, str, str]]:
    """Exits booked worse than a limit order, or better than a stop: shown where there are any."""
    labels = {"targets_above_limit": "targets above their limit", "stops_inside_stop": "stops inside their stop"}
    return [(label, _number(figures[name]), "bought back at the market") for name, label in labels.items() if figures[name]]


def _exits(records: "pl.DataFrame") -> str:
    """How the puts and the calls ended, side by side."""
    from wheelvec.spec.codes import ExitReason, name_of

    counts = {phase: _counts(_phase(records, phase)["exit_reason"]) for phase in ("csp", "cc")}
    reasons = [name_of(reason) for reason in ExitReason]
    shown = [(reason, counts["csp"].get(reason, 0), counts["cc"].get(reason, 0)) for reason in reasons]
    rows = [f"  {'':<27}{'puts':>14}{'calls':>14}"]
    rows += [f"  {reason:<27}{_number(put):>14}{_number(call):>14}" for reason, put, call in shown if put or call]
    return "\n".join(["Exits of the legs", *rows])


def _phase(records: "pl.DataFrame", phase: str) -> "pl.DataFrame":
    return records.filter(records["phase"] == phase)


def _ends(wheels: "pl.DataFrame") -> str:
    from wheelvec.spec.codes import EndReason, name_of

    counts = _counts(wheels["end_reason"])
    names = [name_of(reason) for reason in EndReason]
    return _section("Ends of the wheels", [(name, _number(counts[name]), "") for name in names if name in counts])


def _none_launched(result: "Result") -> str:
    if not result.diagnostics.height:
        return "No wheel was launched: [schedule] leaves no entry session."
    return "No wheel was launched. What the entry sessions lacked is counted below."


def _outcomes(diagnostics: "pl.DataFrame") -> str:
    counts = _counts(diagnostics["outcome"])
    rows = [(name, _number(counts[name]), meaning) for name, meaning in OUTCOMES.items() if name in counts]
    return _section("Entry sessions, one per underlying, by what came of them", rows or [("none", "0", "")], 8)


def _set_aside(diagnostics: "pl.DataFrame") -> str:
    """The market's diagnostics as a table."""
    if not diagnostics.height:
        return "Every row was taken."
    rows = [
        ("table", "underlying", "reason", "count"),
        *diagnostics.select("table", "underlying", "reason", "count").rows(),
    ]
    lines = [
        f"  {_text(table):<18}{_text(name):<14}{reason:<30}{count if count == 'count' else _number(count):>12}".rstrip()
        for table, name, reason, count in rows
    ]
    return "\n".join(["Rows set aside, and what else stood out", *lines])


def _section(title: str, rows: Sequence[tuple[str, str, str]], digits: int = 14) -> str:
    lines = [f"  {label:<27}{value:>{digits}}  {note}".rstrip() for label, value, note in rows]
    return "\n".join([title, *lines])


def _counts(names: "pl.Series") -> dict[str, int]:
    return dict(names.drop_nulls().value_counts().rows())


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{int(value):,}"


def _decimal(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:,.2f}"


def _dollars(value: float | None) -> str:
    return _decimal(value)


def _percent(value: float | None) -> str:
    text = _decimal(value)
    return text if text == "-" else f"{text}%"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _names(paths: Sequence[Path]) -> str:
    from wheelvec.spec.errors import listed

    return listed(paths)


def _wrapped(text: str, indent: str = "  ") -> str:
    import textwrap

    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent="  ", break_on_hyphens=False)


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
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, description="months x underlyings")


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
