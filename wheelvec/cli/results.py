"""The commands run and sweep, which run backtests, and show, which prints saved results."""

import argparse
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli import portfolios, settings
from wheelvec.cli.arguments import (
    CSV,
    JSON,
    UsageError,
    add_command,
    add_forms,
    add_lake,
    add_overwrite,
    add_set,
    add_splits,
    splits_given,
)
from wheelvec.cli.executors import add_executor, executor_of, report_failures
from wheelvec.cli.pages import add_no_page, write_beside
from wheelvec.cli.saved import PORTFOLIO_INDEX, RESULT_INDEX, index_of
from wheelvec.cli.terminal import progress_bar, warn, where, without_panics, write
from wheelvec.model.errors import InputError, listed, unknown_name

if TYPE_CHECKING:
    from wheelvec.market.market import Market
    from wheelvec.model.account import Account
    from wheelvec.model.config import Config
    from wheelvec.run.results.result import Result
    from wheelvec.run.results.sweep_result import Sweep

log = logging.getLogger("wheelvec.cli")

TABLES = (
    *("records", "wheels", "ledger", "diagnostics", "call_diagnostics"),
    *("paths", "underlying", "events"),
)


def add_run(commands: Any) -> None:
    """Add `wheelvec run` to the commands."""
    run = add_command(
        commands,
        "run",
        "backtest a configuration over a lake",
        described="Backtest a configuration over a lake: print the summary, and save the result. "
        "`init` prints a template of the configuration; `wv.Result.load` reads the result in "
        "Python.",
        more=settings.EXPLAINED,
        examples=(
            "wheel.toml --lake lake/ --out out/",
            (
                "wheel.toml --lake lake/ --out out/ --set put.exit_pct=0.3 "
                "--set put.stop_loss_multiplier=none"
            ),
            "wheel.toml --lake lake/ --out out/ --set schedule.symbols=ALFA,BRVO --json",
            "wheel.toml --lake lake/ --out out/ --executor tcp://10.0.0.1:8786",
        ),
    )
    run.add_argument("config", type=Path, metavar="wheel.toml", help="the configuration")
    add_lake(run)
    add_splits(run, "; beside the lake's")
    run.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="the folder for the result, written completely or not at all",
    )
    add_executor(run, "the wheels of each underlying")
    add_overwrite(run)
    add_set(run, "the configuration")
    run.add_argument(
        "--rules", choices=("ledger", "v5"), help="the rule set; the same as --set rules="
    )
    _add_threads(run)
    run.add_argument("--quiet", action="store_true", help="no summary and no progress")
    add_no_page(run)
    add_forms(run, "the figures", "the figures")
    run.set_defaults(command=_run)


def _add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--threads", type=int, metavar="N", help="default: as many as there are processors"
    )


def add_sweep(commands: Any) -> None:
    """Add `wheelvec sweep` to the commands."""
    sweep = add_command(
        commands,
        "sweep",
        "backtest every configuration of a grid over a lake",
        described="Backtest every configuration of a grid over a lake: print the best of them, and "
        "save the figures of all. An interrupted run of the same sweep is continued. "
        "`wv.Sweep.load` reads the sweep in Python.",
        more=settings.EXPLAINED,
        examples=(
            "wheel.toml grid.toml --lake lake/ --out sweep/",
            "wheel.toml grid.toml --lake lake/ --out sweep/ --account --by account_sharpe",
            "wheel.toml grid.toml --lake lake/ --dry-run",
            "wheel.toml grid.toml --lake lake/ --out sweep/ --executor tcp://10.0.0.1:8786",
        ),
    )
    sweep.add_argument("config", type=Path, metavar="wheel.toml", help="the base configuration")
    sweep.add_argument(
        "grid",
        type=Path,
        metavar="grid.toml",
        help="fields and the values to try, sections as in wheel.toml; or a Parquet or CSV file "
        "with a configuration a row",
    )
    sweep.add_argument(
        "--skip-invalid",
        action="store_true",
        help="leave out invalid rows, and print the reasons",
    )
    sweep.add_argument(
        "--account",
        action="store_true",
        help="hold each row's wheels in an account, and add its metrics; as where wheel.toml has a "
        "section [account] or the grid sweeps one of its fields",
    )
    add_lake(sweep)
    add_splits(sweep, "; beside the lake's")
    sweep.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="the folder for finished chunks and the figures; must be given without --dry-run",
    )
    sweep.add_argument(
        "--dry-run",
        action="store_true",
        help="print what the sweep will take (jobs, time, memory) and end; nothing is written",
    )
    add_executor(sweep, "underlyings x years x configurations")
    add_overwrite(sweep)
    add_set(sweep, "the base configuration")
    _add_by(sweep)
    _add_threads(sweep)
    sweep.add_argument(
        "--stats",
        choices=("full", "moments"),
        default="full",
        help="moments: no median, no percentiles",
    )
    sweep.add_argument("--quiet", action="store_true", help="no summary and no progress")
    add_no_page(sweep)
    add_forms(sweep, "every row", "every row")
    sweep.set_defaults(command=_sweep)


def add_show(commands: Any) -> None:
    """Add `wheelvec show` to the commands."""
    show = add_command(
        commands,
        "show",
        "print the summary of a finished run, sweep or portfolio again",
        described="Print the summary of a finished run, sweep or portfolio again, from its folder "
        "alone. --json and --csv print the figures of a run or portfolio, every row of a sweep, or "
        "the table that --table names.",
        examples=(
            "out/",
            "out/ --json",
            "out/ --table wheels > wheels.csv",
            "sweep/ --csv > sweep.csv",
            "portfolio/ --table daily > daily.csv",
        ),
    )
    show.add_argument("folder", type=Path, metavar="FOLDER", help="the folder given as --out")
    show.add_argument(
        "--table",
        choices=tuple(dict.fromkeys((*TABLES, *portfolios.TABLES))),
        metavar="NAME",
        help=f"print a table as CSV or with --json; of a run: {', '.join(TABLES)}; of a portfolio: "
        f"{', '.join(portfolios.TABLES)}",
    )
    _add_by(show)
    add_forms(show, "the figures", "the figures")
    show.set_defaults(command=_show, quiet=False)


def _add_by(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--by",
        default="avg_wheel_roc",
        metavar="FIGURE",
        help="the figure that ranks the rows of a sweep",
    )


def _run(options: argparse.Namespace) -> None:
    from wheelvec.model.config import Config
    from wheelvec.run.results.folder import keep_apart

    config = settings.changed(Config.from_toml(options.config), options.settings)
    if options.rules is not None:
        config = config.replace(rules=options.rules)
    keep_apart(options.out, options.lake)
    backtest_and_show(lambda: opened_lake(config, options), config, options)


def opened_lake(config: "Config", options: argparse.Namespace) -> "Market":
    """The market of --lake and --splits, as far as a configuration needs it."""
    from wheelvec.market.market import Market

    schedule = config.schedule
    symbols = None if schedule.symbols is None else list(schedule.symbols)
    # from the first of the month, because the lake stores solved chains by whole months
    start = schedule.start_date.replace(day=1) if isinstance(schedule.start_date, dt.date) else None
    splits = splits_given(options)
    market = Market.open(options.lake, symbols=symbols, start=start, splits=splits)
    if start is not None and market.data_range is None:  # what is said names the lake's own span
        return Market.open(options.lake, symbols=symbols, splits=splits)
    return market


def backtest_and_show(
    source: Callable[[], "Market"], config: "Config", options: argparse.Namespace
) -> None:
    """Run a backtest, save the result to `options.out`, and print it in the requested form."""
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(progress_bar("months x underlyings", options.quiet))
        from wheelvec.report.text import number
        from wheelvec.run.backtest import backtest
        from wheelvec.run.results.result import check_out

        check_out(options.out, config, overwrite=options.overwrite)
        market = source()
        executor = stack.enter_context(executor_of(getattr(options, "executor", None)))
        log.info("%r", market)
        log.info("configuration %s, rules %s", config.id, config.rules)
        result = backtest(
            market,
            config,
            out=options.out,
            overwrite=options.overwrite,
            threads=getattr(options, "threads", None),
            executor=executor,
            progress=progress,
        )
        log.info("%s wheels launched", number(result.wheels.height))
    _show_result(result, options.out, options)
    write_beside(result, options.out, options)
    report_failures(result.failures)


def _sweep(options: argparse.Namespace) -> None:
    from wheelvec.market.market import Market
    from wheelvec.model.config import TOML_NONE, Config
    from wheelvec.model.fields import none_is
    from wheelvec.model.grid import grid_from_file

    with without_panics():
        config, grid = (
            settings.changed(Config.from_toml(options.config), options.settings),
            grid_from_file(options.grid),
        )
    if twice := settings.also_swept(options.settings, grid):
        raise InputError(
            f"--set {listed(twice)}: {options.grid} sweeps it; expected one of the two"
        )
    if options.dry_run:
        _plan(config, grid, options)
        return
    if options.out is None:
        raise UsageError(
            "the following arguments are required: --out; or --dry-run; see sweep --help"
        )
    with contextlib.ExitStack() as stack:
        from wheelvec.run.results.folder import Folder, keep_apart
        from wheelvec.run.results.store import SWEEP
        from wheelvec.run.results.sweep_result import figure_names
        from wheelvec.run.sweep import sweep

        progress = stack.enter_context(progress_bar("configurations", options.quiet))
        account = _account(options)
        under = account is not None or settings.sweeps_account(grid)
        if options.by not in (figures := figure_names(options.stats, under)):  # before the work
            raise InputError(unknown_name("figure of --by", options.by, figures))

        keep_apart(options.out, options.lake)
        Folder(options.out, SWEEP).examine()
        started, first = time.monotonic(), None

        def report(done: int, total: int, cells: int) -> None:
            nonlocal first
            if progress:
                first = done if first is None else first  # chunks of an earlier run took no time
                taken = time.monotonic() - started
                left = (total - done) * taken / max(done - first, 1)
                progress(
                    done, total, f"configurations, {cells / taken:,.0f} cells/s, {left:,.0f} s left"
                )

        market = Market.open(options.lake, splits=splits_given(options))
        executor = stack.enter_context(executor_of(options.executor))
        with none_is(TOML_NONE):  # messages write values as in the files
            result = sweep(
                market,
                config,
                grid,
                account=account,
                skip_invalid=options.skip_invalid,
                out=options.out,
                overwrite=options.overwrite,
                threads=options.threads,
                stats=options.stats,
                executor=executor,
                progress=report,
            )
    _show_sweep(result, options.out, options)
    write_beside(result, options.out, options)
    report_failures(result.failures)


def _plan(config: "Config", grid: Any, options: argparse.Namespace) -> None:
    """Print what the sweep will take."""
    from wheelvec.market.market import Market
    from wheelvec.model.config import TOML_NONE
    from wheelvec.model.fields import none_is
    from wheelvec.report.figures import as_json, figures_as_csv
    from wheelvec.run.sweep import plan

    market = Market.open(options.lake, splits=splits_given(options))
    with executor_of(options.executor) as executor, none_is(TOML_NONE):
        found = plan(
            market,
            config,
            grid,
            account=_account(options),
            skip_invalid=options.skip_invalid,
            stats=options.stats,
            executor=executor,
        )
    if options.form == JSON:
        write(as_json(found.to_dict()))
    else:
        write(figures_as_csv(found.to_dict()) if options.form == CSV else str(found))


def _account(options: argparse.Namespace) -> "Account | None":
    """The account of the file; the default one where there is no section but --account."""
    from wheelvec.model.account import Account
    from wheelvec.model.toml import read_toml

    given = "account" in read_toml(options.config) or options.account
    return Account.from_toml(options.config) if given else None


def _show(options: argparse.Namespace) -> None:
    from wheelvec.run.results.portfolio import Portfolio
    from wheelvec.run.results.result import Result
    from wheelvec.run.results.sweep_result import Sweep
    from wheelvec.run.results.warnings import of_failures

    folder, index = options.folder, index_of(options.folder)
    if index == PORTFOLIO_INDEX:
        portfolios.show_portfolio(Portfolio.load(folder), folder, options)
    elif index == RESULT_INDEX:
        _show_result(Result.load(folder), folder, options)
    else:
        if options.table:
            raise InputError(
                f"--table {options.table}: {folder} holds a sweep; only a run has tables, "
                "a sweep has --csv"
            )
        sweep = Sweep.load(folder)
        if options.by not in sweep.figures:
            raise InputError(unknown_name("figure of --by", options.by, sweep.figures))
        _show_sweep(sweep, folder, options)
        if options.form:
            warn(of_failures(sweep.failures))


def _show_result(result: "Result", out: Path, options: argparse.Namespace) -> None:
    from wheelvec.report.figures import (
        as_csv,
        as_json,
        figures_as_csv,
        result_figures,
        rows_as_json,
    )
    from wheelvec.report.text import result_text

    if table := getattr(options, "table", None):
        portfolios.check_table(table, TABLES, "run")
        for chunk in (rows_as_json if options.form == JSON else as_csv)(getattr(result, table)):
            write(chunk)
        warn(result.warnings)
    elif options.form == JSON:
        write(as_json({"out": str(out)} | result_figures(result)))
    elif options.form == CSV:
        write(figures_as_csv(result.summary()))
        warn(result.warnings)
    else:
        if options.quiet:
            warn(result.warnings)
        else:
            write(result_text(result))
        write(where(out))


def _show_sweep(sweep: "Sweep", out: Path, options: argparse.Namespace) -> None:
    from wheelvec.report.figures import as_csv, rows_as_json
    from wheelvec.report.text import sweep_text

    if options.form:
        for chunk in (rows_as_json if options.form == JSON else as_csv)(sweep.frame):
            write(chunk)
        warn(sweep.warnings)
        return
    if options.quiet:
        warn(sweep.warnings)
    else:
        write(sweep_text(sweep, options.by))
    write(where(out))
