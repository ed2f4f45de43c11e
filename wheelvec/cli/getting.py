"""The command get, which fetches a public set of real chains into a lake."""

import argparse
import os
from typing import Any

from wheelvec.cli.arguments import JSON, add_command, add_forms
from wheelvec.cli.terminal import progress_bar, without_panics, write
from wheelvec.model.addresses import refuse_address


def add_get(commands: Any) -> None:
    """Add `wheelvec get` to the commands."""
    get = add_command(
        commands,
        "get",
        "fetch years of real chains of SPY, QQQ or IWM, free of charge",
        described="Fetch a public set of end-of-day option chains, with the fund's daily bars and "
        "dividends, and import it into a lake. An interrupted download goes on where it ended. "
        "The code beside the data is under the MIT licence, the rights to the data themselves are "
        "unclear; they are fetched to this machine only.",
        examples=("spy --lake lake/", "qqq --lake lake/ --start 2018-01-01 --end 2023-12-29"),
    )
    get.add_argument("symbol", metavar="SYMBOL", help="spy (632 MB), qqq (387 MB) or iwm (309 MB)")
    get.add_argument("--lake", required=True, metavar="FOLDER", help="the lake to write")
    get.add_argument("--start", metavar="DATE", help="first session; default: the first there is")
    get.add_argument("--end", metavar="DATE", help="last session; default: the last there is")
    get.add_argument(
        "--from",
        dest="source",
        metavar="PLACE",
        help="the address of a mirror, or a folder that has the files already",
    )
    get.add_argument(
        "--accept-digest",
        dest="accept",
        action="append",
        default=[],
        metavar="SHA256",
        help="take a file of this digest, though it is not the known one; may be repeated",
    )
    get.add_argument("--quiet", action="store_true", help="no progress")
    add_forms(get, "the files, and what was written,")
    get.set_defaults(command=_get)


def _get(options: argparse.Namespace) -> None:
    from wheelvec.report.figures import as_json
    from wheelvec.report.text import wrapped
    from wheelvec.vendors.free import NOTICE, get

    refuse_address(options.lake, "the lake")
    if options.form != JSON:
        write(wrapped(NOTICE) + "\n")
    with without_panics(), progress_bar("MB", options.quiet) as progress:
        got = get(
            options.symbol,
            lake=options.lake,
            start=options.start,
            end=options.end,
            source=options.source,
            accept=options.accept,
            progress=progress,
        )
    if options.form == JSON:
        contents = {"lake": options.lake, "notice": got.notice, "files": got.files}
        done = got.imported
        more = {"written": done.written, "set_aside": done.set_aside, "notes": list(done.notes)}
        write(as_json(contents | more))
        return
    _show(got, f"{options.lake.rstrip(os.sep)}{os.sep}", options)


_STATES = {
    "as published": "as published",
    "accepted": "accepted, SHA-256 {digest}",
    "not known": "of no known digest, SHA-256 {digest}",
}


def _show(got: Any, lake: str, options: argparse.Namespace) -> None:
    """Print what was fetched and written, and what to do next."""
    from wheelvec.report.text import diagnostics_text, wrapped, written_text

    for name, _, digest, state in got.files.iter_rows():
        write(f"{name}: {_STATES[state].format(digest=digest)}")
    days = got.imported.files.select("first", "last").row(0)
    write(f"\nWritten to {lake}: {options.symbol.upper()}, {days[0]} to {days[1]}")
    write(written_text(got.imported.written))
    if not got.imported.set_aside.is_empty():
        write()
        write(diagnostics_text(got.imported.set_aside))
    for note in got.imported.notes:
        write(wrapped(note))
    write(
        f"\nNext:\n  {options.prog} init > wheel.toml\n"
        f"  {options.prog} run wheel.toml --lake {lake} --out out/"
    )
