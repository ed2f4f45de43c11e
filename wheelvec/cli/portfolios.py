"""The command simulate, which asks what an account would have had of saved results."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli import settings
from wheelvec.cli.arguments import CSV, JSON, add_command, add_forms, add_overwrite
from wheelvec.cli.executors import add_executor, executor_of, report_failures
from wheelvec.cli.pages import add_no_page, write_beside
from wheelvec.cli.terminal import warn, where, write
from wheelvec.model.errors import InputError

if TYPE_CHECKING:
    from wheelvec.model.account import Account
    from wheelvec.run.results.portfolio import Portfolio

TABLES = ("daily", "wheels", "skipped", "deltas", "ledger", "benchmarks")
FIELDS = {
    "cash": "dollars that the account begins with (100000)",
    "contracts": "how often each wheel is taken (1)",
    "fraction": "instead: share of the last session's equity for each wheel",
    "max_wheels": "greatest number of open wheels",
    "max_wheels_per_underlying": "the same of one underlying",
    "max_share_per_underlying": "greatest share of the equity in one underlying",
    "rate": "interest on all cash per year: 0.04 is 4%% (0)",
    "order": "of the wheels of a session: record, premium or random (record)",
    "seed": "of the order random (0)",
}


def add_simulate(commands: Any) -> None:
    """Add `wheelvec simulate` to the commands."""
    simulate = add_command(
        commands,
        "simulate",
        "ask what one account would have had of finished runs",
        described="Ask what one account would have had of the wheels of finished runs: which of "
        "them it could carry, and its equity day by day. Several runs share the account.",
        more="The options go before the section [account] of --config.",
        examples=(
            "out/ --cash 100000",
            "out/ --cash 250000 --fraction 0.1 --order random --seed 3",
            "out/ other/ --config wheel.toml --out portfolio/",
            "out/ --table daily > daily.csv",
        ),
    )
    simulate.add_argument(
        "folders", nargs="+", type=Path, metavar="FOLDER", help="the folder given to run as --out"
    )
    simulate.add_argument(
        "--config", type=Path, metavar="wheel.toml", help="a file with a section [account]"
    )
    for name, text in FIELDS.items():
        simulate.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="X", help=text)
    simulate.add_argument("--out", type=Path, metavar="FOLDER", help="save the portfolio here")
    add_executor(simulate, "the account; they read FOLDER themselves")
    add_overwrite(simulate)
    simulate.add_argument(
        "--table",
        choices=TABLES,
        metavar="NAME",
        help=f"print a table, as CSV or with --json: {', '.join(TABLES)}",
    )
    add_no_page(simulate)
    add_forms(simulate, "the figures", "the figures")
    simulate.set_defaults(command=_simulate)


def _account(options: argparse.Namespace) -> "Account":
    """The account of the file, changed by the options."""
    from wheelvec.model.account import Account
    from wheelvec.model.fields import none_is

    account = Account() if options.config is None else Account.from_toml(options.config)
    given = {name: getattr(options, name) for name in FIELDS if getattr(options, name) is not None}
    values = {
        name: settings.value_of(text, f"--{name.replace('_', '-')} {text}")
        for name, text in given.items()
    }
    with none_is("none"):
        return account.replace(
            **{name: None if value == "none" else value for name, value in values.items()}
        )


def _simulate(options: argparse.Namespace) -> None:
    import polars as pl

    from wheelvec.run.results.result import Result
    from wheelvec.run.simulate import simulate

    account = _account(options)
    results = [Result.load(folder) for folder in options.folders]
    with executor_of(options.executor) as executor:
        portfolio = simulate(results, account, executor=executor)
    if options.out is not None:
        portfolio.save(options.out, overwrite=options.overwrite)
    show_portfolio(portfolio, options.out, options)
    if options.out is not None and not options.table:
        write_beside(portfolio, options.out, options)
    # what the runs left out, the account could not hold
    report_failures(pl.concat([result.failures for result in results]).unique().sort(pl.all()))


def check_table(table: str, tables: tuple[str, ...], kind: str) -> None:
    """Refuse a table that what is saved in a folder does not have.

    Raises:
        InputError: naming those that it has.
    """
    if table not in tables:
        raise InputError(f"--table {table}: a {kind} has {', '.join(tables)}")


def show_portfolio(portfolio: "Portfolio", out: Path | None, options: argparse.Namespace) -> None:
    """Print a portfolio in the requested form, and where it is saved."""
    from wheelvec.report.account import portfolio_figures, portfolio_text
    from wheelvec.report.figures import as_csv, as_json, figures_as_csv, rows_as_json

    if options.table:
        check_table(options.table, TABLES, "portfolio")
        rows = getattr(portfolio, options.table)
        for chunk in (rows_as_json if options.form == JSON else as_csv)(rows):
            write(chunk)
        warn(portfolio.warnings)
    elif options.form == JSON:
        saved = {} if out is None else {"out": str(out)}
        write(as_json(saved | portfolio_figures(portfolio)))
    elif options.form == CSV:
        write(figures_as_csv(portfolio.metrics()))
        warn(portfolio.warnings)
    else:
        write(portfolio_text(portfolio))
        if out is not None:
            write("\n" + where(out))
