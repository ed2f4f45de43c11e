"""The command line: parses, calls run and report, prints.

    wheelvec demo
    wheelvec demo --lake lake/
    wheelvec init > wheel.toml
    wheelvec run wheel.toml --lake lake/ --out out/ --set put.exit_pct=0.3
    wheelvec sweep wheel.toml grid.toml --lake lake/ --out sweep/
    wheelvec simulate out/ --cash 100000
    wheelvec bands wheel.toml --lake lake/
    wheelvec verdict sweep/ --lake lake/
    wheelvec show out/
    wheelvec report out/ --out page.html
    wheelvec explain out/ ALFA_2024-01-02_0
    wheelvec why-not out/ 2024-01-03 ALFA
    wheelvec check lake/
    wheelvec import --option-quotes quotes.parquet --underlying-bars bars.parquet --lake lake/
    wheelvec import eod FILES... --layout optionsdx --lake lake/
    wheelvec import dbn FILES... --lake lake/
    wheelvec get spy --lake lake/
    wheelvec fetch --symbols TSLA --start 2023-06-06 --end 2023-09-13 --lake lake/ --max-cost 25

Standard output has the results only, as plain text, JSON or CSV. An error is one line on standard
error. The exit code is 0 for success, 2 for an invalid command line, 3 if all was done but for some
underlyings, 130 after Ctrl-C, 141 if the reader of the output has closed it, and 1 for every other
error.
"""

import argparse
import io
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

from wheelvec.cli import getting, lakes, pages, portfolios, results, starting, stories, verdicts
from wheelvec.cli.arguments import (
    Formatter,
    Parser,
    UsageError,
    add_command,
    refuse_addresses,
    shared_options,
)
from wheelvec.cli.executors import IncompleteError
from wheelvec.cli.terminal import ReaderGoneError, console, fail, message, remark, write
from wheelvec.model.version import VERSION

FAILED, USAGE, INCOMPLETE, INTERRUPTED, READER_GONE = 1, 2, 3, 130, 141

FIRST_STEPS = """\
first steps:
  {prog} demo
  {prog} demo --lake lake/
  {prog} init > wheel.toml
  {prog} run wheel.toml --lake lake/ --out out/
  {prog} show out/"""


def main(argv: Sequence[str] | None = None, prog: str = "wheelvec") -> int:
    """The exit code of the command line, after running it; `prog` is its name in texts."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        with console("-v" in arguments or "--verbose" in arguments):
            return _execute(arguments, prog)
    except UsageError as error:
        return fail(USAGE, str(error))
    except IncompleteError as error:
        return fail(INCOMPLETE, str(error))
    except KeyboardInterrupt as interrupt:
        return fail(INTERRUPTED, str(interrupt) or "interrupted")
    except ReaderGoneError:
        return READER_GONE
    except BaseException as error:  # a panic of Polars is not an Exception
        if debug:
            traceback.print_exc()
        return fail(FAILED, message(error))


def _execute(arguments: Sequence[str], prog: str) -> int:
    if not arguments:
        remark(parser(prog).format_help().rstrip())
        return USAGE
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):  # argparse prints help and version itself
            options = parser(prog).parse_args(arguments)
    except SystemExit:
        write(printed.getvalue().rstrip())
        return 0
    refuse_addresses(options)
    options.command(options)
    return 0


def parser(prog: str = "wheelvec") -> argparse.ArgumentParser:
    """The parser of the command line."""
    root = Parser(
        prog=prog,
        description="Backtests of the options wheel.",
        epilog=FIRST_STEPS.format(prog=prog),
        formatter_class=Formatter,
        parents=[shared_options()],
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"wheelvec {VERSION}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    starting.add_demo(commands)
    starting.add_init(commands)
    results.add_run(commands)
    results.add_sweep(commands)
    portfolios.add_simulate(commands)
    verdicts.add_bands(commands)
    verdicts.add_verdict(commands)
    results.add_show(commands)
    pages.add_report(commands)
    stories.add_explain(commands)
    stories.add_why_not(commands)
    lakes.add_check(commands)
    lakes.add_import(commands)
    lakes.add_fetch(commands)
    getting.add_get(commands)
    _add_help(commands)
    root.set_defaults(prog=prog)
    return root


def _add_help(commands: Any) -> None:
    command = add_command(
        commands,
        "help",
        "describe a command, as COMMAND --help does",
        examples=("run", "import dbn"),
    )
    command.add_argument("names", nargs="*", metavar="COMMAND", help="all of them if left out")
    command.set_defaults(command=_help)


def _help(options: argparse.Namespace) -> None:
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            parser(options.prog).parse_args([*options.names, "--help"])
    except SystemExit:
        write(printed.getvalue().rstrip())
