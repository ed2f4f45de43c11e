"""The commands that backtest: demo, run, sweep."""

import argparse
import datetime as dt
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wheelvec.cli.arguments import add_command, add_overwrite
from wheelvec.cli.terminal import progress_bar, without_panics

if TYPE_CHECKING:
    from wheelvec.market.market import Market
    from wheelvec.spec.config import Config

log = logging.getLogger("wheelvec.cli")


def add_demo(commands: Any, shared: argparse.ArgumentParser) -> None:
    demo = add_command(commands, shared, "demo", "Run the wheel on the seeded demo market: no key, no network.")
    demo.add_argument("--out", default="demo-result", type=Path, metavar="FOLDER", help="default: %(default)s")
    add_overwrite(demo)
    demo.add_argument("--quiet", action="store_true", help="no summary and no progress")
    demo.set_defaults(command=_demo)


def add_run(commands: Any, shared: argparse.ArgumentParser) -> None:
    run = add_command(commands, shared, "run", "Run one configuration over a lake and save the result.")
    run.add_argument("config", type=Path, metavar="wheel.toml", help="the configuration")
    run.add_argument("--lake", required=True, type=Path, metavar="FOLDER", help="the lake to read")
    run.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where the result goes, whole or not at all")
    add_overwrite(run)
    run.add_argument("--rules", choices=("ledger", "v5"), help="the rule set, instead of the configuration's")
    run.add_argument("--quiet", action="store_true", help="no summary and no progress")
    run.set_defaults(command=_run)


def add_sweep(commands: Any, shared: argparse.ArgumentParser) -> None:
    text = "Run every configuration of a grid over a lake; continue what an earlier run of it left."
    command = add_command(commands, shared, "sweep", text)
    command.add_argument("config", type=Path, metavar="wheel.toml", help="the base configuration")
    command.add_argument(
        "grid",
        type=Path,
        metavar="grid.toml",
        help="fields and the values to try, sections as in wheel.toml; or a Parquet or CSV file, a row each",
    )
    command.add_argument("--skip-invalid", action="store_true", help="leave out rows that are no configuration, and say why")
    command.add_argument("--lake", required=True, type=Path, metavar="FOLDER", help="the lake to read")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="where finished chunks and the frame go")
    add_overwrite(command)
    command.add_argument("--threads", type=int, metavar="N", help="default: as many as there are processors")
    command.add_argument("--stats", choices=("full", "moments"), default="full", help="moments: no median, no percentiles")
    command.add_argument("--quiet", action="store_true", help="no summary and no progress")
    command.set_defaults(command=_sweep)


def _demo(options: argparse.Namespace) -> None:
    from wheelvec.market.synthetic import DEMO_END, DEMO_START, demo_market
    from wheelvec.spec.config import Config

    config = Config.from_dict({"schedule": {"start_date": DEMO_START, "end_date": DEMO_END}})
    _backtest(demo_market, config, options)


def _run(options: argparse.Namespace) -> None:
    from wheelvec.market.market import Market
    from wheelvec.run.folder import keep_apart
    from wheelvec.spec.config import Config

    config = Config.from_toml(options.config)
    if options.rules is not None:
        config = config.replace(rules=options.rules)
    schedule = config.schedule
    keep_apart(options.out, options.lake)

    def opened() -> Market:
        symbols = None if schedule.symbols is None else list(schedule.symbols)
        # whole months, whose solved chains the lake keeps
        start = schedule.start_date.replace(day=1) if isinstance(schedule.start_date, dt.date) else None
        return Market.open(options.lake, symbols=symbols, start=start)

    _backtest(opened, config, options)


def _backtest(source: Callable[[], "Market"], config: "Config", options: argparse.Namespace) -> None:
    with progress_bar("months x underlyings", options.quiet) as progress:
        from wheelvec.report.text import described, number
        from wheelvec.run.backtest import backtest
        from wheelvec.run.result import check_out

        check_out(options.out, config, overwrite=options.overwrite)
        market = source()
        log.info("%r", market)
        log.info("configuration %s, rules %s", config.id, config.rules)
        result = backtest(market, config, out=options.out, overwrite=options.overwrite, progress=progress)
        log.info("%s wheels launched", number(result.wheels.height))
    if not options.quiet:
        print(described(result))
    print(_where(options.out))


def _sweep(options: argparse.Namespace) -> None:
    from wheelvec.market.market import Market
    from wheelvec.spec.config import TOML_NONE, Config
    from wheelvec.spec.grid import grid_from_file
    from wheelvec.spec.knobs import none_is

    with without_panics():
        config, grid = Config.from_toml(options.config), grid_from_file(options.grid)
    with progress_bar("configurations", options.quiet) as progress:
        from wheelvec.report.text import swept
        from wheelvec.run.folder import Folder, keep_apart
        from wheelvec.run.store import SWEEP
        from wheelvec.run.sweep import sweep

        keep_apart(options.out, options.lake)
        Folder(options.out, SWEEP).examine()
        started, first = time.monotonic(), None

        def report(done: int, total: int, cells: int) -> None:
            nonlocal first
            if progress:
                first = done if first is None else first  # what was kept from before took no time
                taken = time.monotonic() - started
                left = (total - done) * taken / max(done - first, 1)
                progress(done, total, f"configurations, {cells / taken:,.0f} cells/s, {left:,.0f} s left")

        market = Market.open(options.lake)
        with none_is(TOML_NONE):  # what a message says of a value of the files
            result = sweep(
                market, config, grid, skip_invalid=options.skip_invalid, out=options.out, overwrite=options.overwrite,
                threads=options.threads, stats=options.stats, progress=report,
            )  # fmt: skip
    if not options.quiet:
        print(swept(result))
    print(_where(options.out))


def _where(out: Path) -> str:
    """Where the result lies and what is in it; hidden files are of no use to its reader."""
    from wheelvec.report.text import wrapped

    files = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    return f"The result is in {out}{os.sep}\n" + wrapped(", ".join(files))
