"""The commands about lakes: import, check, fetch."""

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli.arguments import JSON, UsageError, add_command, add_forms
from wheelvec.cli.terminal import progress_bar, without_panics, write
from wheelvec.model.errors import DataError, InputError, LakeError

if TYPE_CHECKING:
    from wheelvec.market.market import Market

log = logging.getLogger("wheelvec.cli")


def add_import(commands: Any) -> None:
    """Add `wheelvec import` to the commands."""
    command = add_command(
        commands,
        "import",
        "write Parquet tables, or DBN files, into a lake",
        described="Check Parquet tables, or DBN files, and write them into a lake. What is set aside, and why, is printed.",
        examples=(
            "--option-quotes quotes.parquet --underlying-bars bars.parquet --lake lake/",
            "dbn downloads/*.dbn.zst --lake lake/",
        ),
    )
    files: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "FILE"}
    command.add_argument("--option-quotes", **files, help="the chains at entry time; must be given")
    command.add_argument(
        "--option-bars", **files, help="the contracts' daily bars; without them their quotes decide"
    )
    command.add_argument(
        "--underlying-bars", **files, help="the regular sessions' bars; must be given"
    )
    command.add_argument("--dividends", **files, help="underlying, ex_date, amount per share")
    command.add_argument(
        "--lake", type=Path, metavar="FOLDER", help="the lake to write; must be given"
    )
    command.add_argument(
        "--strict", action="store_true", help="broken rows are an error, not set aside"
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="take whole sessions, instead of adding to the lake's",
    )
    add_forms(command, "what was taken and set aside")
    command.set_defaults(command=_import)
    forms = command.add_subparsers(title="other forms", metavar="FORM", required=False)
    dbn = add_command(
        forms,
        "dbn",
        "Databento's DBN files",
        described="Write what Databento's DBN files hold, compressed or not, into a lake.",
        examples=("downloads/*.dbn.zst --lake lake/",),
    )
    dbn.add_argument("files", **files, help="of any schema; what is of no use is left out")
    dbn.add_argument("--lake", required=True, metavar="FOLDER", help="the lake to write")
    add_entry(dbn)
    add_forms(dbn, "what became of each file")
    dbn.set_defaults(command=_import_dbn)
    command.usage = (
        "%(prog)s --option-quotes FILE ...\n"
        "           --underlying-bars FILE ... --lake FOLDER [options]\n"
        "       %(prog)s dbn FILE ... --lake FOLDER [options]"
    )


def add_check(commands: Any) -> None:
    """Add `wheelvec check` to the commands."""
    command = add_command(
        commands,
        "check",
        "say what a lake holds and what it lacks",
        described="Say what a lake holds, what it lacks, and which of its files are damaged; the exit code is 1 if any is.",
        examples=("lake/",),
    )
    command.add_argument("lake", type=Path, metavar="FOLDER", help="the lake to read")
    command.add_argument(
        "--calendar",
        default="NYSE",
        metavar="NAME",
        help="what counts as a session; default: %(default)s",
    )
    add_forms(command, "all that was found")
    command.set_defaults(command=_check)


def add_fetch(commands: Any) -> None:
    """Add `wheelvec fetch` to the commands."""
    fetch = add_command(
        commands,
        "fetch",
        "buy from Databento what a lake lacks",
        described="Buy from Databento what a lake lacks. What it costs is shown, and asked about, before anything is spent; "
        "the key is read from DATABENTO_API_KEY.",
        examples=(
            "--symbols TSLA,BRK.B --start 2023-06-06 --end 2023-09-13 --lake lake/ --dry-run",
        ),
    )
    fetch.add_argument(
        "--config",
        type=Path,
        metavar="wheel.toml",
        help="how far wheels reach, and what is not given here",
    )
    fetch.add_argument("--symbols", metavar="NAMES", help="underlyings, such as TSLA,BRK.B")
    fetch.add_argument("--start", metavar="DATE", help="first session of entry")
    fetch.add_argument(
        "--end",
        metavar="DATE",
        help="last session of entry; data are fetched as far as its wheels can reach",
    )
    fetch.add_argument(
        "--lake", required=True, metavar="FOLDER", help="the lake to complete, made if need be"
    )
    add_entry(fetch)
    fetch.add_argument(
        "--schema",
        default="cmbp-1",
        metavar="NAME",
        help="of the quotes: cmbp-1 (default) or cbbo-1m",
    )
    fetch.add_argument("--max-cost", type=float, metavar="DOLLARS", help="spend no more than this")
    fetch.add_argument(
        "--refetch",
        metavar="FROM:TO",
        help="ask again for these sessions and replace what the lake has of them",
    )
    fetch.add_argument("--gateway", metavar="URL", help="another address of the interface")
    fetch.add_argument("--yes", action="store_true", help="do not ask before money is spent")
    fetch.add_argument(
        "--dry-run", action="store_true", help="show the plan and its cost, and spend nothing"
    )
    fetch.add_argument("--quiet", action="store_true", help="no progress")
    fetch.set_defaults(command=_fetch)


def add_entry(command: argparse.ArgumentParser) -> None:
    """Add --entry-time and --look-back, which say what quotes are wanted."""
    command.add_argument(
        "--entry-time",
        metavar="TIME",
        help="15:45 (default), or a time before the close: close-15min",
    )
    command.add_argument(
        "--look-back",
        type=int,
        default=0,
        metavar="MINUTES",
        help="take quotes that last changed so long before; default: 0",
    )


def _import(options: argparse.Namespace) -> None:
    needed = {
        "--option-quotes": options.option_quotes,
        "--underlying-bars": options.underlying_bars,
        "--lake": options.lake,
    }
    if missing := [name for name, value in needed.items() if value is None]:
        raise UsageError(
            f"the following arguments are required: {', '.join(missing)}; see {options.prog} import --help"
        )
    from wheelvec.lake.place import check_writable
    from wheelvec.market.staged import imported
    from wheelvec.report.text import set_aside

    check_writable(options.lake)
    names = ("option_quotes", "option_bars", "underlying_bars", "dividends")
    files = {name: paths for name in names if (paths := getattr(options, name)) is not None}
    with contextlib.ExitStack() as stack:
        with without_panics():
            market = stack.enter_context(imported(options.lake, files, options.strict))
        log.info("%r", market)
        if options.form != JSON:
            write(set_aside(market.diagnostics))
        if not market.symbols or market.data_range is None:
            raise InputError("no row of option_quotes can be used; nothing was written")
        if options.form != JSON:
            write()
        write_lake(market, options, replace=options.replace)


def write_lake(market: "Market", options: argparse.Namespace, replace: bool = False) -> None:
    """Write a market to `options.lake`, and say what was written."""
    from wheelvec.report.figures import as_json
    from wheelvec.report.text import counted, wrapped, written

    counts = market.write(options.lake, replace=replace)
    first, last = market.data_range or (None, None)
    if options.form == JSON:
        taken = {
            "lake": str(options.lake),
            "underlyings": market.symbols,
            "first": first,
            "last": last,
        }
        write(as_json(taken | {"written": counts, "set_aside": market.diagnostics}))
        return
    write(
        f"Written to {options.lake}{os.sep}: {counted(len(market.symbols), 'underlying')}, {first} to {last}"
    )
    write(wrapped(", ".join(market.symbols)))
    write(written(counts))


def _check(options: argparse.Namespace) -> None:
    with progress_bar("files", quiet=False) as progress:
        from wheelvec.lake.inspection import check
        from wheelvec.report.figures import as_json
        from wheelvec.report.inspected import inspected
        from wheelvec.report.text import counted

        found = check(options.lake, options.calendar, progress)
    tables = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    write(as_json(tables) if options.form == JSON else inspected(found))
    if count := len(found.refused):
        raise LakeError(
            f"{options.lake} has {counted(count, 'file')} that every reader refuses, listed above"
        )


def _import_dbn(options: argparse.Namespace) -> None:
    from wheelvec.report.costs import imported
    from wheelvec.report.figures import as_json
    from wheelvec.report.text import counted
    from wheelvec.vendors.databento.archive import import_dbn

    with without_panics(), progress_bar("files", quiet=False) as progress:
        entry_time = options.entry_time or "15:45"
        files = import_dbn(
            options.files,
            lake=options.lake,
            entry_time=entry_time,
            look_back=options.look_back,
            progress=progress,
        )
    if options.form == JSON:
        write(as_json({"lake": options.lake, "files": files}))
    else:
        write(imported(files))
        if (files["table"] != "").any():
            write(f"\nWritten to {options.lake}")
    sys.stdout.flush()  # before what standard error gets
    if count := files["problem"].count():
        raise DataError(
            f"{counted(count, 'file')} of {len(files)} could not be used and were left out, listed above"
        )


def _fetch(options: argparse.Namespace) -> None:
    from wheelvec.model.config import Config
    from wheelvec.report.costs import priced, remarks, taken
    from wheelvec.vendors.databento.fetch import fetch

    shown = _Shown(options)
    with without_panics(), progress_bar("requests", options.quiet) as progress:
        fetched = fetch(
            symbols=None if options.symbols is None else options.symbols.split(","),
            start=options.start,
            end=options.end,
            lake=options.lake,
            max_cost=options.max_cost,
            entry_time=options.entry_time,
            schema=options.schema,
            look_back=options.look_back,
            gateway=options.gateway,
            dry_run=options.dry_run,
            refetch=None if options.refetch is None else _span(options.refetch),
            config=None if options.config is None else Config.from_toml(options.config),
            confirm=shown.confirm,
            progress=progress,
        )
    if not shown.table:
        write(priced(fetched))
    if fetched.notes:
        write("\n" + remarks(fetched))
    if options.dry_run or shown.refused:
        write("\nNothing was spent.")
    else:
        write(
            "\n"
            + (
                taken(fetched, options.lake)
                if shown.table
                else f"{options.lake} lacks nothing that can be had."
            )
        )


def _asked() -> bool:
    """Whether somebody sits there to answer."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _span(text: str) -> tuple[str, str]:
    first, colon, last = text.partition(":")
    if not (first and colon and last):
        raise UsageError(
            f"--refetch {text}: expected the first and the last session, as in 2024-01-02:2024-01-31"
        )
    return first, last


class _Shown:
    """Shows the priced plan, and asks whether to spend: on a terminal a person, else the options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self.table, self.refused = options, False, False

    def confirm(self, plan: Any) -> bool:
        from wheelvec.report.costs import dollars, priced

        options, self.table = self._options, True
        write(priced(plan))
        over = (
            options.max_cost is not None and plan.cost > options.max_cost
        )  # refused by fetch itself, with the figures
        if options.yes or over or plan.cost == 0:
            return True
        if _asked():
            print(
                f"Spend {dollars(plan.cost)} dollars? [y/N] ", end="", file=sys.stderr, flush=True
            )
            self.refused = sys.stdin.readline().strip().lower() not in ("y", "yes")
            return not self.refused
        if options.max_cost is None:
            raise InputError(
                f"this would cost {dollars(plan.cost)} dollars and there is no terminal to ask on: add --yes or --max-cost"
            )
        return True
