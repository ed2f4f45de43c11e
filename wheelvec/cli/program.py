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
import sys
import traceback
from collections.abc import Sequence

from wheelvec.cli import lakes, results
from wheelvec.cli.arguments import Parser, UsageError
from wheelvec.cli.terminal import console, fail, forget_output, message
from wheelvec.spec.version import VERSION

USAGE, FAILED, INTERRUPTED, READER_GONE = 2, 1, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        with console("-v" in arguments or "--verbose" in arguments):
            code = _execute(arguments)
            sys.stdout.flush()
        return code
    except UsageError as error:
        return fail(USAGE, str(error))
    except KeyboardInterrupt as interrupt:
        return fail(INTERRUPTED, str(interrupt) or "interrupted")
    except BrokenPipeError:
        forget_output()
        return READER_GONE
    except BaseException as error:  # a panic of Polars is no Exception
        if debug:
            traceback.print_exc()
        return fail(FAILED, message(error))


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
    results.add_demo(commands, shared)
    results.add_run(commands, shared)
    results.add_sweep(commands, shared)
    lakes.add_import(commands, shared)
    lakes.add_check(commands, shared)
    lakes.add_fetch(commands, shared)
    return root
