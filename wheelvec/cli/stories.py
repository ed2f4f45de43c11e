"""The commands explain and why-not, which answer questions about a saved run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli.arguments import JSON, add_command, add_forms, add_splits
from wheelvec.cli.results import opened_lake
from wheelvec.cli.terminal import write
from wheelvec.model.addresses import local_or_address

if TYPE_CHECKING:
    from wheelvec.market.market import Market
    from wheelvec.run.results.result import Result

LAKE = "The lake of the run lists the contracts that were not sold, with the test that each fails."


def add_explain(commands: Any) -> None:
    """Add `wheelvec explain` to the commands."""
    explain = add_command(
        commands,
        "explain",
        "show one wheel of a finished run, bar by bar",
        described="Show one wheel of a finished run: why it was sold, what each session's bar did, "
        "each touch with its draw, each search for a call, and the ledger that sums to its P&L.",
        more=LAKE,
        examples=(
            "out/ ALFA_2024-01-02_0",
            "out/ ALFA_2024-01-02_0 --lake lake/",
            "out/ ALFA_2024-01-02_0 --json > wheel.json",
        ),
    )
    _add_folder(explain)
    explain.add_argument(
        "wheel", metavar="WHEEL", help="its wheel_id: `show FOLDER --table wheels` lists them"
    )
    _add_lake(explain)
    add_forms(explain, "the story")
    explain.set_defaults(command=_explain)


def add_why_not(commands: Any) -> None:
    """Add `wheelvec why-not` to the commands."""
    why_not = add_command(
        commands,
        "why-not",
        "say which test left no wheel on a day of a finished run",
        described="Say which test left no put to sell on a day of a finished run, and how many "
        "contracts passed each test.",
        more=LAKE,
        examples=(
            "out/ 2024-01-03 ALFA",
            "out/ 2024-01-03 ALFA --lake lake/ --json",
        ),
    )
    _add_folder(why_not)
    why_not.add_argument("session", metavar="DATE", help="the day, such as 2024-01-03")
    why_not.add_argument("underlying", metavar="SYMBOL", help="the underlying, such as ALFA")
    _add_lake(why_not)
    add_forms(why_not, "the counts and the contracts")
    why_not.set_defaults(command=_why_not)


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", type=Path, metavar="FOLDER", help="the folder given to run as --out"
    )


def _add_lake(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--lake", type=local_or_address, metavar="FOLDER", help="the lake that the run has read"
    )
    add_splits(command, "; as given to run")


def _market(result: "Result", options: argparse.Namespace) -> "Market | None":
    return None if options.lake is None else opened_lake(result.config, options)


def _explain(options: argparse.Namespace) -> None:
    from wheelvec.report.figures import as_json
    from wheelvec.report.story import explain
    from wheelvec.run.results.result import Result

    result = Result.load(options.folder)
    story = explain(result, options.wheel, market=_market(result, options))
    write(as_json(story.to_dict()) if options.form == JSON else str(story))


def _why_not(options: argparse.Namespace) -> None:
    from wheelvec.report.figures import as_json
    from wheelvec.report.why_not import why_not
    from wheelvec.run.results.result import Result

    result = Result.load(options.folder)
    market = _market(result, options)
    found = why_not(result, options.session, options.underlying, market=market)
    write(as_json(found.to_dict()) if options.form == JSON else str(found))
