"""The commands demo, which runs a backtest of invented data, and init, which prints a template."""

import argparse
import os
from pathlib import Path
from typing import Any

from wheelvec.cli.arguments import CSV, JSON, UsageError, add_command, add_forms, add_overwrite
from wheelvec.cli.lakes import write_lake
from wheelvec.cli.pages import add_no_page
from wheelvec.cli.results import backtest_and_show
from wheelvec.cli.terminal import write

DEMO_OUT = Path("demo-result")


def add_demo(commands: Any) -> None:
    """Add `wheelvec demo` to the commands."""
    demo = add_command(
        commands,
        "demo",
        "backtest an invented market, or write it as a lake",
        described="Backtest an invented market, or write it as a lake, to try the other commands. "
        "The market is generated from a seed: no key, no network and no data are needed.",
        examples=("", "--lake lake/"),
    )
    outputs = demo.add_mutually_exclusive_group()
    outputs.add_argument(
        "--out",
        default=DEMO_OUT,
        type=Path,
        metavar="FOLDER",
        help="the folder for the result; default: %(default)s",
    )
    outputs.add_argument(
        "--lake", type=Path, metavar="FOLDER", help="write the market to this lake, and run nothing"
    )
    add_overwrite(demo)
    demo.add_argument("--quiet", action="store_true", help="no summary and no progress")
    add_no_page(demo)
    add_forms(demo, "the figures, or what was written,", "the figures")
    demo.set_defaults(command=_demo)


def add_init(commands: Any) -> None:
    """Add `wheelvec init` to the commands."""
    init = add_command(
        commands,
        "init",
        "print a template of the configuration",
        described="Print a template of the configuration: every field at its default, with a "
        "description. `run` accepts it unchanged; a field that is left out has its default.",
        examples=("> wheel.toml", "--json"),
    )
    add_forms(init, "the fields with their defaults, units and allowed values")
    init.set_defaults(command=_init)


def _demo(options: argparse.Namespace) -> None:
    from wheelvec.demo.synthetic import DEMO_END, DEMO_START, demo_market
    from wheelvec.model.config import Config

    if options.lake is not None:
        _write_demo(options)
        return
    config = Config.from_dict({"schedule": {"start_date": DEMO_START, "end_date": DEMO_END}})
    backtest_and_show(demo_market, config, options)


def _write_demo(options: argparse.Namespace) -> None:
    from wheelvec.demo.synthetic import DEMO_END, demo_market

    if options.form == CSV:
        raise UsageError(
            f"argument --csv: not allowed with argument --lake; see {options.prog} demo --help"
        )
    write_lake(demo_market(), options)
    if options.form != JSON and not options.quiet:
        prog, lake = options.prog, f"{options.lake}{os.sep}"
        write(
            f"\nNext:\n  {prog} init > wheel.toml\n"
            f"  {prog} run wheel.toml --lake {lake} --out out/ --set schedule.end_date={DEMO_END}\n"
            f"  {prog} show out/"
        )


def _init(options: argparse.Namespace) -> None:
    from wheelvec.report.figures import as_json
    from wheelvec.report.template import config_template, template_rows

    write(as_json({"fields": template_rows()}) if options.form == JSON else config_template())
