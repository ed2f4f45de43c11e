"""The commands bands and verdict, which ask how much of a figure is luck."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli import settings
from wheelvec.cli.arguments import (
    JSON,
    MARKDOWN,
    add_command,
    add_forms,
    add_lake,
    add_set,
    add_splits,
    splits_given,
)
from wheelvec.cli.results import opened_lake
from wheelvec.cli.terminal import write
from wheelvec.model.addresses import local_or_address
from wheelvec.model.errors import InputError

if TYPE_CHECKING:
    from wheelvec.model.account import Account
    from wheelvec.model.config import Config
    from wheelvec.run.results.sweep_result import Sweep


def add_bands(commands: Any) -> None:
    """Add `wheelvec bands` to the commands."""
    bands = add_command(
        commands,
        "bands",
        "ask what a figure rests on: fills, seeds, start, choice, market",
        described="Ask what a figure of one configuration rests on: its range over the fill modes, "
        "the seeds of the fills, the start of the entries, the choice of an account's wheels, and "
        "the market itself, resampled. The widest is the answer.",
        more=settings.EXPLAINED,
        examples=(
            "wheel.toml --lake lake/",
            "out/ --lake lake/ --figure total_pnl",
            "wheel.toml --lake lake/ --account wheel.toml --json",
        ),
    )
    bands.add_argument(
        "config",
        type=Path,
        metavar="wheel.toml",
        help="the configuration, or the folder given to run as --out",
    )
    add_lake(bands)
    add_splits(bands, "; beside the lake's")
    _add_account(bands)
    bands.add_argument(
        "--figure",
        metavar="FIGURE",
        help="avg_wheel_roc, or with --account account_cagr; wv.bands names the others",
    )
    bands.add_argument(
        "--seeds", type=int, default=32, metavar="N", help="the number of seeds; default: 32"
    )
    add_set(bands, "the configuration")
    add_forms(bands, "the ranges")
    bands.set_defaults(command=_bands)


def add_verdict(commands: Any) -> None:
    """Add `wheelvec verdict` to the commands."""
    verdict = add_command(
        commands,
        "verdict",
        "ask whether the best configuration of a sweep is more than luck",
        described="Ask whether the best configuration of a finished sweep survives costs, fills, "
        "time, its selection among many, a comparison with the stock, and what the data lack: one "
        "line each, with its figure. Without --lake only the lines of the data can be said.",
        examples=(
            "sweep/ --lake lake/",
            "sweep/ --lake lake/ --account wheel.toml --prior-trials 200",
            "sweep/ --lake lake/ --by total_pnl --json",
            "sweep/ --lake lake/ --account wheel.toml --page verdict.html",
        ),
    )
    verdict.add_argument("folder", type=Path, metavar="FOLDER", help="given to sweep as --out")
    verdict.add_argument(
        "--lake", type=local_or_address, metavar="FOLDER", help="the lake that the sweep ran over"
    )
    add_splits(verdict, "; as given to sweep")
    _add_account(verdict)
    verdict.add_argument(
        "--by", default="avg_wheel_roc", metavar="FIGURE", help="the figure that chooses the best"
    )
    verdict.add_argument(
        "--row", type=int, metavar="N", help="judge this row instead of the best one"
    )
    verdict.add_argument(
        "--prior-trials",
        type=int,
        default=0,
        metavar="N",
        help="configurations that were tried before this sweep",
    )
    verdict.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="write its page to this file as well; a file that is no page of wheelvec is left as "
        "it is",
    )
    add_forms(verdict, "the lines", markdown="a page")
    verdict.set_defaults(command=_verdict)


def _add_account(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--account", type=Path, metavar="wheel.toml", help="a file with a section [account]"
    )


def _account(options: argparse.Namespace) -> "Account | None":
    from wheelvec.model.account import Account

    return None if options.account is None else Account.from_toml(options.account)


def _config(options: argparse.Namespace) -> "Config":
    """The configuration of a file, or of the folder of a result."""
    from wheelvec.model.config import Config
    from wheelvec.run.results.result import Result

    if not options.config.is_dir():
        return settings.changed(Config.from_toml(options.config), options.settings)
    result = Result.load(options.config)
    if result.signals is not None:
        raise InputError(
            f"{options.config}: ran with a signal, which is not saved with it; expected a run "
            "without one, or wv.bands(market, config, when=...) in Python"
        )
    return settings.changed(result.config, options.settings)


def _bands(options: argparse.Namespace) -> None:
    from wheelvec.inference.bands import bands
    from wheelvec.report.figures import as_json

    config, account = _config(options), _account(options)
    found = bands(
        opened_lake(config, options),
        config,
        account=account,
        figure=options.figure,
        seeds=options.seeds,
    )
    write(as_json(found.to_dict()) if options.form == JSON else str(found))


def _swept(options: argparse.Namespace) -> "Sweep":
    from wheelvec.market.market import Market
    from wheelvec.run.results.sweep_result import Sweep

    if options.lake is None:
        return Sweep.load(options.folder)
    return Sweep.load(options.folder, Market.open(options.lake, splits=splits_given(options)))


def _verdict(options: argparse.Namespace) -> None:
    from wheelvec.inference.verdict import verdict
    from wheelvec.report.figures import as_json

    if options.page is not None:
        from wheelvec.report.pages.page import page, place_of_page

        place_of_page(options.page)  # refused before minutes are spent on the verdict
    account = _account(options)
    found = verdict(
        _swept(options),
        account,
        by=options.by,
        row=options.row,
        prior_trials=options.prior_trials,
    )
    if options.page is not None:
        page(found, options.page)
    if options.form == JSON:
        write(as_json(found.to_dict()))
    else:
        write(found.to_markdown().rstrip() if options.form == MARKDOWN else str(found))
