"""The command report, and the pages that demo, run, sweep and simulate write."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wheelvec.cli.arguments import JSON, add_command, add_forms
from wheelvec.cli.saved import PORTFOLIO_INDEX, RESULT_INDEX, SWEEP_INDEX, index_of
from wheelvec.cli.terminal import write
from wheelvec.model.errors import InputError, LakeError, WheelvecError


def add_report(commands: Any) -> None:
    """Add `wheelvec report` to the commands."""
    report = add_command(
        commands,
        "report",
        "write a page about finished runs, sweeps or portfolios",
        described="Write an HTML page about a finished run, sweep or portfolio, from its folder "
        "alone; or, of several runs or portfolios, a page that compares them. It opens in a "
        "browser without a network.",
        examples=("out/ --out page.html", "out/ other/ --out both.html"),
    )
    report.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="the folder given as --out"
    )
    report.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page; default: FOLDER.html beside it; a file that is no page of wheelvec is left "
        "as it is",
    )
    add_forms(report, "where the page is")
    report.set_defaults(command=_report)


def add_no_page(command: argparse.ArgumentParser) -> None:
    """Add --no-page to a command that ends by writing one."""
    command.add_argument(
        "--no-page",
        action="store_true",
        help="write no page (--json, --csv and --quiet write none either)",
    )


def _report(options: argparse.Namespace) -> None:
    from wheelvec.report.pages.page import page

    if options.out is None and len(options.folders) > 1:
        raise InputError("--out is missing: expected the file of the page that compares them")
    loaded = [_loaded(folder) for folder in options.folders]
    shown = (
        loaded[0] if len(loaded) == 1 else dict(zip(_names(options.folders), loaded, strict=True))
    )
    target = options.out or beside(options.folders[0])
    written = page(shown, target)
    if options.form == JSON:
        from wheelvec.report.figures import as_json

        write(as_json({"page": str(written), "folders": [str(each) for each in options.folders]}))
    else:
        write(f"The page is {written}")


def _names(folders: Sequence[Path]) -> list[str]:
    """The titles of the folders on a page: their names, or their paths where these repeat."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _loaded(folder: Path) -> Any:
    """The result, sweep or portfolio of a folder.

    Raises:
        LakeError: if it holds none of them, or one that an earlier version saved.
    """
    from wheelvec.run.results.portfolio import Portfolio
    from wheelvec.run.results.result import Result
    from wheelvec.run.results.sweep_result import Sweep

    index = index_of(folder)
    kinds: dict[str, Callable[[Path], Any]] = {
        RESULT_INDEX: Result.load,
        SWEEP_INDEX: Sweep.load,
        PORTFOLIO_INDEX: Portfolio.load,
    }
    found = kinds[index](folder)
    if index == RESULT_INDEX:
        _refuse_earlier(found, folder)
    return found


def _refuse_earlier(result: Any, folder: Path) -> None:
    """Refuse a result that an earlier version saved, with its folder and what it lacks."""
    try:
        _ = result.events
    except LakeError as error:
        raise LakeError(f"{folder}: {error}") from None


def beside(folder: Path) -> Path:
    """The page of a folder: of the same name, beside it, for folders hold only what we keep."""
    place = folder.resolve()
    named = folder.parent if folder.name == place.name else place.parent
    return named / f"{place.name}.html"


def write_beside(shown: Any, out: Path, options: argparse.Namespace) -> None:
    """Write the page of what a command made, and say where; or say why there is none.

    Args:
        shown: the subject of the page.
        out: the folder that it was saved to.
        options: of the command; nothing is written with --no-page, --quiet, --json or --csv.
    """
    if options.no_page or options.form or getattr(options, "quiet", False):
        return
    from wheelvec.report.pages.page import page

    target = beside(out)
    try:
        page(shown, target)
    except WheelvecError as error:
        write(f"No page: {error}")
    else:
        write(f"Its page is {target}")
