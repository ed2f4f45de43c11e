"""The commands import and fetch, which write to a lake, and check, which inspects one."""

import argparse
import contextlib
import dataclasses
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli.arguments import (
    JSON,
    LAKE,
    UsageError,
    add_command,
    add_forms,
    add_splits,
    splits_given,
)
from wheelvec.cli.eod import add_eod
from wheelvec.cli.terminal import progress_bar, remark, without_panics, write
from wheelvec.model.addresses import local_or_address, refuse_address
from wheelvec.model.errors import DataError, InputError, LakeError, counted

if TYPE_CHECKING:
    import polars as pl

    from wheelvec.market.market import Market

log = logging.getLogger("wheelvec.cli")


def add_import(commands: Any) -> None:
    """Add `wheelvec import` to the commands."""
    command = add_command(
        commands,
        "import",
        "write Parquet tables, vendors' end-of-day files or DBN files into a lake",
        described="Validate Parquet tables, vendors' end-of-day files or DBN files, and write them "
        "into a lake. The rows that are set aside are counted by reason.",
        examples=(
            "--option-quotes quotes.parquet --underlying-bars bars.parquet --lake lake/",
            "eod spy_eod_2020*.txt --layout optionsdx --lake lake/",
            "dbn downloads/*.dbn.zst --lake lake/",
        ),
    )
    files: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "FILE"}
    command.add_argument("--option-quotes", **files, help="the chains at entry time; must be given")
    command.add_argument(
        "--option-bars", **files, help="the contracts' daily bars; without them quotes are used"
    )
    command.add_argument(
        "--underlying-bars",
        **files,
        help="the regular sessions' bars; must be given unless the lake has them",
    )
    command.add_argument("--dividends", **files, help="underlying, ex_date, amount, special")
    add_splits(command)
    command.add_argument(
        "--lake", type=Path, metavar="FOLDER", help="the lake to write; must be given"
    )
    command.add_argument(
        "--strict", action="store_true", help="invalid rows are an error, not set aside"
    )
    command.add_argument(
        "--replace",
        action="store_true",
        help="replace whole sessions, instead of adding to the lake's",
    )
    add_forms(command, "the counts")
    command.set_defaults(command=_import)
    forms = command.add_subparsers(title="other forms", metavar="FORM", required=False)
    add_eod(forms)
    dbn = add_command(
        forms,
        "dbn",
        "Databento's DBN files",
        described="Write the data of Databento's DBN files, compressed or not, into a lake.",
        examples=("downloads/*.dbn.zst --lake lake/",),
    )
    dbn.add_argument("files", **files, help="of any schema; files that are not used are left out")
    dbn.add_argument("--lake", required=True, metavar="FOLDER", help="the lake to write")
    add_entry(dbn)
    add_forms(dbn, "the files and their rows")
    dbn.set_defaults(command=_import_dbn)
    command.usage = (
        "%(prog)s --option-quotes FILE ...\n"
        "           --underlying-bars FILE ... --lake FOLDER [options]\n"
        "       %(prog)s eod FILE ... --layout NAME --lake FOLDER [options]\n"
        "       %(prog)s dbn FILE ... --lake FOLDER [options]"
    )


def add_check(commands: Any) -> None:
    """Add `wheelvec check` to the commands."""
    command = add_command(
        commands,
        "check",
        "inspect the data and the files of a lake",
        described="Print the contents of a lake, the data that it lacks, and its damaged files; "
        "the exit code is 1 if there is a damaged file.",
        examples=("lake/", "lake/ --accept-splits"),
    )
    command.add_argument("lake", type=local_or_address, metavar="FOLDER", help=LAKE)
    command.add_argument(
        "--calendar",
        default="NYSE",
        metavar="NAME",
        help="the exchange calendar; default: %(default)s",
    )
    command.add_argument(
        "--accept-splits",
        action="store_true",
        help="write the rows that explain suspected splits to splits.csv of the lake",
    )
    command.add_argument(
        "--deep",
        action="store_true",
        help="decode all rows, also where an earlier check kept what they gave",
    )
    add_forms(command, "all findings")
    command.set_defaults(command=_check)


def add_fetch(commands: Any) -> None:
    """Add `wheelvec fetch` to the commands."""
    fetch = add_command(
        commands,
        "fetch",
        "buy from Databento the data that a lake lacks",
        described="Buy from Databento the data that a lake lacks. The cost is shown and must be "
        "confirmed before anything is spent; the key is read from DATABENTO_API_KEY.",
        examples=(
            "--symbols TSLA,BRK.B --start 2023-06-06 --end 2023-09-13 --lake lake/ --dry-run",
        ),
    )
    fetch.add_argument(
        "--config",
        type=Path,
        metavar="wheel.toml",
        help="the configuration, for the reach of its wheels and for options not given",
    )
    fetch.add_argument("--symbols", metavar="NAMES", help="underlyings, such as TSLA,BRK.B")
    fetch.add_argument("--start", metavar="DATE", help="first session of entry")
    fetch.add_argument(
        "--end",
        metavar="DATE",
        help="last session of entry; data are fetched as far as its wheels can reach",
    )
    fetch.add_argument(
        "--lake", required=True, metavar="FOLDER", help="the lake to complete or to create"
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
        help="request these sessions again and replace their rows in the lake",
    )
    fetch.add_argument("--gateway", metavar="URL", help="another address of the interface")
    fetch.add_argument("--yes", action="store_true", help="do not ask before money is spent")
    fetch.add_argument(
        "--dry-run", action="store_true", help="show the plan and its cost, and spend nothing"
    )
    fetch.add_argument("--quiet", action="store_true", help="no progress")
    add_forms(fetch, "the plan, its cost and what was paid")
    fetch.set_defaults(command=_fetch)


def add_entry(command: argparse.ArgumentParser) -> None:
    """Add --entry-time and --look-back, which select the quotes."""
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
        help="also use quotes that last changed up to so long before; default: 0",
    )


def _import(options: argparse.Namespace) -> None:
    held = _bars_of_lake(options)
    needed = {
        "--option-quotes": options.option_quotes,
        "--underlying-bars": options.underlying_bars if held is None else held,
        "--lake": options.lake,
    }
    if missing := [name for name, value in needed.items() if value is None]:
        raise UsageError(
            f"the following arguments are required: {', '.join(missing)}; "
            f"see {options.prog} import --help"
        )
    from wheelvec.lake.place import check_writable
    from wheelvec.market.staged import imported
    from wheelvec.report.text import diagnostics_text

    check_writable(options.lake)
    names = ("option_quotes", "option_bars", "underlying_bars", "dividends")
    files = {name: paths for name in names if (paths := getattr(options, name)) is not None}
    bars = None if held is None else {"underlying_bars": held}
    with contextlib.ExitStack() as stack:
        with without_panics():
            market = stack.enter_context(
                imported(options.lake, files, options.strict, splits_given(options), bars)
            )
        log.info("%r", market)
        if options.form != JSON:
            write(diagnostics_text(market.diagnostics))
        if not market.symbols or market.data_range is None:
            raise InputError("no row of option_quotes can be used; nothing was written")
        if options.form != JSON:
            write()
        write_lake(market, options, replace=options.replace)


def _bars_of_lake(options: argparse.Namespace) -> "pl.DataFrame | None":
    """The bars of underlyings that the lake has already; None if it has none, or they are given."""
    if options.underlying_bars is not None or options.lake is None:
        return None
    from wheelvec.market.market import Market

    try:
        held = Market.open(options.lake).underlying_bars
    except LakeError:
        if options.lake.is_dir() and any(options.lake.iterdir()):
            raise  # a damaged lake, or anything else
        return None
    return held if held.height else None


def write_lake(market: "Market", options: argparse.Namespace, replace: bool = False) -> None:
    """Write a market to `options.lake`, and print the numbers of rows."""
    from wheelvec.report.figures import as_json
    from wheelvec.report.text import wrapped, written_text

    counts = market.write(options.lake, replace=replace)
    first, last = market.data_range or (None, None)
    if options.form == JSON:
        contents = {
            "lake": str(options.lake),
            "underlyings": market.symbols,
            "first": first,
            "last": last,
        }
        write(as_json(contents | {"written": counts, "set_aside": market.diagnostics}))
        return
    underlyings = counted(len(market.symbols), "underlying")
    write(f"Written to {options.lake}{os.sep}: {underlyings}, {first} to {last}")
    write(wrapped(", ".join(market.symbols)))
    write(written_text(counts))


def _check(options: argparse.Namespace) -> None:
    if options.accept_splits:
        refuse_address(options.lake, "a lake that --accept-splits writes to")
    with progress_bar("files", quiet=False) as progress:
        from wheelvec.lake.inspection import check
        from wheelvec.market.splits import accept, explaining
        from wheelvec.report.figures import as_json
        from wheelvec.report.inspected import accepted_text, inspection_text

        found = check(options.lake, options.calendar, progress, deep=options.deep)
    tables = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    tables["explaining"] = explaining(found.splits)
    if options.accept_splits:
        tables["accepted"] = accept(options.lake, found.splits)
    write(as_json(tables) if options.form == JSON else inspection_text(found))
    if options.accept_splits and options.form != JSON:
        write("\n" + accepted_text(options.lake, tables["accepted"], len(found.splits)))
    if count := len(found.refused):
        raise LakeError(
            f"{options.lake} has {counted(count, 'file')} that every reader refuses, listed above"
        )


def _import_dbn(options: argparse.Namespace) -> None:
    from wheelvec.report.costs import files_text
    from wheelvec.report.figures import as_json
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
        write(files_text(files))
        if (files["table"] != "").any():
            write(f"\nWritten to {options.lake}")
    sys.stdout.flush()  # before the error is printed
    if count := files["problem"].count():
        raise DataError(
            f"{counted(count, 'file')} of {len(files)} could not be used and were left out, "
            "listed above"
        )


def _fetch(options: argparse.Namespace) -> None:
    from wheelvec.model.config import Config
    from wheelvec.report.costs import notes_text, paid_text, plan_text
    from wheelvec.report.figures import as_json
    from wheelvec.vendors.databento.fetch import fetch

    confirmation = _Confirmation(options)
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
            confirm=confirmation.confirm,
            progress=progress,
        )
    if options.form == JSON:
        found = {field.name: getattr(fetched, field.name) for field in dataclasses.fields(fetched)}
        spent = confirmation.shown and not (options.dry_run or confirmation.refused)
        write(as_json({"lake": str(options.lake), "spent": spent} | found))
        return
    if not confirmation.shown:
        write(plan_text(fetched))
    if fetched.notes:
        write("\n" + notes_text(fetched))
    if options.dry_run or confirmation.refused:
        write("\nNothing was spent.")
    elif confirmation.shown:
        write("\n" + paid_text(fetched, options.lake))
    else:
        write(f"\n{options.lake} lacks nothing that is available.")


def _is_interactive() -> bool:
    """Whether a user can answer a question on the terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _span(text: str) -> tuple[str, str]:
    first, colon, last = text.partition(":")
    if not (first and colon and last):
        raise UsageError(
            f"--refetch {text}: expected the first and the last session, "
            "as in 2024-01-02:2024-01-31"
        )
    return first, last


class _Confirmation:
    """Shows the cost of a fetch, and asks on the terminal or the options whether to spend it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self.shown, self.refused = options, False, False

    def confirm(self, plan: Any) -> bool:
        from wheelvec.report.costs import dollars, plan_text

        options, self.shown = self._options, True
        if options.form != JSON:
            write(plan_text(plan))
        elif _is_interactive() and not options.yes:
            remark(plan_text(plan))
        # a cost above the limit is refused by fetch, with the amounts
        over = options.max_cost is not None and plan.cost > options.max_cost
        if options.yes or over or plan.cost == 0:
            return True
        if _is_interactive():
            print(
                f"Spend {dollars(plan.cost)} dollars? [y/N] ", end="", file=sys.stderr, flush=True
            )
            self.refused = sys.stdin.readline().strip().lower() not in ("y", "yes")
            return not self.refused
        if options.max_cost is None:
            raise InputError(
                f"this would cost {dollars(plan.cost)} dollars and there is no terminal to ask on: "
                "add --yes or --max-cost"
            )
        return True
