"""`bounds`: what early assignment may have cost or brought, over all its scenarios."""

from typing import Any

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.config import Config
from wheelvec.model.progress import Progress
from wheelvec.model.sections import CALL_EARLY, PUT_EARLY
from wheelvec.run.sweep import sweep

SETTINGS = {"put.early_assignment": PUT_EARLY, "call.early_assignment": CALL_EARLY}
LOWEST, HIGHEST = "lowest", "highest"


def bounds(
    market: Market,
    config: Config | None = None,
    *,
    when: Any = None,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress = None,
) -> pl.DataFrame:
    """The summary of a configuration as an interval over the scenarios of early assignment.

    American options may be exercised before they expire, and nobody knows when a holder does. The
    scenarios are every setting of `put.early_assignment` with every setting of
    `call.early_assignment`: what the configuration says about them itself is not read. They are
    not ordered, none of them is a limit of what could happen, and one may be the lowest of one
    figure and the highest of another: so the interval is taken figure by figure (rules.md, section
    13). All scenarios are rows of one sweep.

    Without `dividends` in the market 'ex_div' exercises nothing.

    Args:
        market: the tables.
        config: the rules; `Config()` if None.
        when: a signal, as in `backtest`: wheels open on its (session, underlying) pairs only; None:
            on all.
        threads: the number of threads; the number of processors if None.
        memory: bytes that the sweep may take; a quarter of the machine's if None.
        progress: True: a bar, on a terminal or in a notebook; or a function, called with
            (configurations done, configurations in total, wheels x configurations done).

    Returns:
        A frame of eight rows: the six scenarios, whose `scenario` is "put / call" and whose
        figures are those of `backtest` under its two settings, then "lowest" and "highest", whose
        settings are null. Columns: scenario, put.early_assignment, call.early_assignment, and the
        figures of `Sweep.frame`: dollars, percent and counts, as in `Result.summary()`. "lowest"
        and "highest" leave out scenarios without a figure, and are null if none has one.

    Raises:
        ConfigError: if the configuration cannot be run on this market.
        InputError: for an invalid argument.
        LakeError: if a file of the lake cannot be read.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-03-28")
        >>> put = wv.PutRules(delta_max=0.6, stop_loss_multiplier=None)
        >>> schedule = wv.Schedule(end_date="2024-01-31")
        >>> frame = wv.bounds(market, wv.Config(schedule=schedule, put=put))
        >>> frame["scenario"].to_list()[:3]
        ['none / none', 'none / ex_div', 'none / at_parity']
        >>> low, high = frame.tail(2)["total_pnl"]
        >>> low <= frame["total_pnl"][0] <= high
        True
    """
    grid = {name: list(settings) for name, settings in SETTINGS.items()}
    found = sweep(
        market, config, grid, when=when, threads=threads, memory=memory, progress=progress
    ).frame.drop("config_id")
    scenarios = found.select(
        pl.concat_str(list(SETTINGS), separator=" / ").alias("scenario"), pl.all()
    )
    figures = pl.all().exclude("scenario", *SETTINGS)
    ends = [
        scenarios.select(pl.lit(name).alias("scenario"), end)
        for name, end in ((LOWEST, figures.min()), (HIGHEST, figures.max()))
    ]
    return pl.concat([scenarios, *ends], how="diagonal")
