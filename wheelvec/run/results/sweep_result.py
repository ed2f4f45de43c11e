"""The result of a sweep: a frame of figures with one row per configuration.

Everything else about a configuration is computed from the market when it is first needed.
"""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.account import Account
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, counted, cut, listed, unknown_name
from wheelvec.model.forks import refusing_forked
from wheelvec.model.grid import SIGNAL, Grid, combined
from wheelvec.model.schemas import FAILURES
from wheelvec.run.accounts.evaluation import ACCOUNT_FIGURES
from wheelvec.run.backtest import of_row
from wheelvec.run.engine import Engine
from wheelvec.run.executor import default_memory
from wheelvec.run.results.ranking import FIGURES, Ranking
from wheelvec.run.results.result import Result
from wheelvec.run.results.shown import sweep_html
from wheelvec.run.results.store import SweepStore
from wheelvec.run.results.warnings import Warnings, of_sweep
from wheelvec.run.signals.pairs import Signals
from wheelvec.stages.figures import PERCENTILES, figures_frame, new_figures

SEEDS = ("fills.execution_seed", "account.seed")
PERIODS = {"1mo": 1, "1q": 3, "1y": 12}


class Pnl(NamedTuple):
    """The P&L of single wheels under every configuration.

    Attributes:
        wheels: underlying, entry_date and put_symbol of each wheel.
        values: (wheels, configurations) float32 dollars per contract, marked; NaN where a
            configuration did not launch the wheel or its summary leaves it out.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
        >>> wheels, values = swept.pnl()
        >>> wheels.height, values.shape
        (14, (14, 2))
    """

    wheels: pl.DataFrame
    values: np.ndarray[Any, Any]


@refusing_forked
class Sweep:
    """The figures of many configurations over one market.

    Attributes:
        config: the base configuration; a row changes some of its fields.
        frame: one row per configuration in grid order: the grid's columns, config_id, the figures
            of `Result.summary` and, for each configuration, the 5th to 95th percentiles of wheel
            ROC (`roc_p05` ...), the profit factor (gains over losses, null without a loss) and
            counts per exit reason of puts (`csp_*`) and calls (`cc_*`) and per end reason
            (`end_*`). With stats="moments" the median and the percentiles are left out. Under an
            account the keys of `Portfolio.metrics` follow, as `account_*`. Where an executor ran
            more than 134 million cells, `percentile_error` follows the percentiles: how far these
            and the median may be off, in percentage points.
        failures: underlying and error of each underlying that the workers of an executor could not
            simulate. No figure counts it. Empty if there is none.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
        >>> swept
        <Sweep of 2 configurations: put.stop_loss_multiplier>
        >>> swept.frame.select("put.stop_loss_multiplier", "total_wheels", "csp_stop_loss").rows()
        [(1.2, 14, 6), (None, 14, 0)]
    """

    def __init__(
        self,
        grid: Grid,
        frame: pl.DataFrame,
        market: Market | None,
        signals: Signals,
        *,
        stats: str,
        threads: int,
        memory: int,
        loaded: SweepStore | None = None,
        failures: pl.DataFrame | None = None,
        warnings: Warnings | None = None,
    ) -> None:
        self.config, self.frame, self.stats = grid.base, frame, stats
        self._far = failures is not None  # one row may take more than this machine can give
        known = loaded.failures if loaded else failures
        self.failures = pl.DataFrame(schema=FAILURES) if known is None else known
        self._signals, self._loaded = signals, loaded
        self._held: Engine | None = None
        self._grid, self._market, self._threads, self._memory = grid, market, threads, memory
        self._rows, self._inverse = grid.distinct
        # None: computed from the market when first needed
        self._warnings = loaded.warnings if loaded else warnings

    def _engine(self, wanted: str) -> Engine:
        """The engine of the whole grid, cached: setting up that of a large grid takes time.

        Args:
            wanted: the method that needs it, for the error without a market.
        """
        if self._held is None:
            self._held = Engine(
                self._known_market(wanted),
                self._grid,
                ordered=False,
                threads=self._threads,
                memory=self._memory,
                signals=self._signals,
            )
        return self._held

    def _known_market(self, wanted: str) -> Market:
        """The market, or an error that names the method that needs it."""
        if self._market is None:
            raise InputError(
                f"{wanted} is computed from the market: load the sweep with "
                "Sweep.load(folder, market=...)"
            )
        return self._market

    @property
    def names(self) -> list[str]:
        """The grid's columns.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> swept.names
            ['put.stop_loss_multiplier']
        """
        return self._grid.frame.columns

    @property
    def skipped(self) -> pl.DataFrame:
        """The rows of the grid that skip_invalid left out: row and reason.

        `row` is the number in the grid as given, from 0.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> grid = {"put.delta_min": [0.1, 0.3], "put.delta_max": [0.2, 0.4]}
            >>> swept = wv.sweep(market, config, grid, skip_invalid=True)
            >>> swept.frame.height, swept.skipped["row"].to_list()  # from 0.3 to 0.2 is no range
            (3, [2])
        """
        return self._grid.skipped

    @property
    def figures(self) -> list[str]:
        """The columns of `frame` that are figures.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> swept.figures[:3]
            ['total_wheels', 'total_pnl', 'avg_wheel_roc']
        """
        return [name for name in self.frame.columns if name not in {*self.names, "config_id"}]

    @property
    def configurations(self) -> np.ndarray[Any, Any]:
        """(rows,) the first row that has the same configuration apart from its seeds.

        Seeds are no configurations: they are repetitions of one.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> grid = {"put.exit_pct": [0.25, 0.5], "fills.execution_seed": [1, 2, 3]}
            >>> wv.sweep(market, config, grid).configurations.tolist()
            [0, 0, 0, 3, 3, 3]
        """
        others = [
            (column.codes, len(column.values))
            for name, column in self._grid.columns.items()
            if name not in SEEDS
        ]
        if not others:
            return np.zeros(self.frame.height, np.int64)
        _, first, group = np.unique(
            combined(others, self._grid.size), return_index=True, return_inverse=True
        )
        return np.asarray(first[group])

    @property
    def sessions(self) -> pl.Series:
        """The entry sessions of the rows, each once, before signals apply.

        Raises:
            InputError: if the sweep was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}).sessions.len()
            4
        """
        every = np.ones(self._grid.size, np.bool_)
        return self._engine("sessions").entries(every)["session"].unique().sort()

    @property
    def data_range(self) -> tuple[dt.date, dt.date] | None:
        """The first and the last session of the market's data; None of an empty market.

        Raises:
            InputError: if the sweep was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> str(wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}).data_range[1])
            '2024-02-29'
        """
        return self._known_market("data_range").data_range

    @property
    def longest_wheel(self) -> int:
        """The most calendar days from entry to end of a wheel of any row.

        With a limit of cycles in every row they follow from the days to expiration and the waits
        that are allowed. Without one they are those of the row whose wheels are held longest on
        average, which is recorded for it.

        Raises:
            InputError: if they are not limited and the sweep was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.sweep(market, config, {"put.dte_max": [45, 50]}).longest_wheel
            83
        """
        cycles, most = self._grid.most("call.max_cycles"), self._grid.most
        if np.isfinite(cycles):
            wait = 3 + 2 * most("call.call_wait_sessions")  # calendar days: a weekend and a holiday
            return int(most("put.dte_max") + cycles * (most("call.dte_max") + wait))
        held = self.frame["avg_days_held"].fill_null(-1.0).arg_max() or 0
        wheels = self.result(held).wheels
        end = pl.col("exit_date").fill_null(self._known_market("longest_wheel").data_range[1])  # type: ignore[index]
        days = wheels.select((end - pl.col("entry_date")).dt.total_days().max()).item()
        return int(days or 0)

    @property
    def market(self) -> Market | None:
        """The market of the sweep; None if it was loaded without one.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}).market is market
            True
        """
        return self._market

    @property
    def warnings(self) -> Warnings:
        """The warnings about the data and the run, with counts; empty if there are none.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> swept.warnings
            ()
        """
        if self._warnings is None:
            market, signals = self._known_market("warnings"), self._signals_on_entries()
            explain = None if self._far else lambda row: self.result(row).warnings
            left_out = self.failures["underlying"].to_list()
            self._warnings = of_sweep(market, self._grid, self.frame, signals, explain, left_out)
        return self._warnings

    def _signals_on_entries(self) -> Iterator[tuple[str | None, pl.DataFrame, pl.DataFrame]]:
        """Name and pairs of each signal, and the entry sessions of the rows that it restricts."""
        for name, signal in self._signals.used(self._grid):
            codes, values = self._grid.codes(SIGNAL), self._grid.values(SIGNAL)
            rows = np.ones(self._grid.size, np.bool_)
            if name is not None and codes is not None:
                rows = codes == values.index(name)
            yield name, signal.given, self._engine("warnings").entries(rows)

    def row_config(self, i: int) -> Config:
        """The whole configuration of row i.

        Args:
            i: the row of `frame`, from 0.

        Raises:
            InputError: if there is no such row.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> swept.row_config(0).put.stop_loss_multiplier
            1.2
        """
        return self._grid.config(self._checked(i))

    def row_when(self, i: int) -> pl.DataFrame | None:
        """The (session, underlying) pairs on which row i may open wheels; None: all.

        They are the pairs of the row's signal that are also in the `when` of the sweep. `backtest`
        with this frame as `when` gives the figures of the row.

        Args:
            i: the row of `frame`, from 0.

        Raises:
            InputError: if there is no such row.

        Example:
            >>> import datetime as dt
            >>> import polars as pl
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> first = pl.DataFrame({"session": [dt.date(2024, 1, 2)], "underlying": ["BRVO"]})
            >>> grid = {"signal": [None, "first"]}
            >>> swept = wv.sweep(market, config, grid, signals={"first": first})
            >>> swept.row_when(1).rows()
            [(datetime.date(2024, 1, 2), 'BRVO')]
        """
        signal = self._signals.of(self._grid.value(SIGNAL, self._checked(i)))
        return None if signal is None else signal.given

    def result(self, i: int) -> Result:
        """The full result of row i: `backtest` of its configuration with its signal.

        Chains are not solved again while those of the sweep are cached with the market.

        Args:
            i: the row of `frame`, from 0.

        Raises:
            InputError: if there is no such row, or the sweep was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> swept.result(1).summary()["total_pnl"] == swept.frame["total_pnl"][1]
            True
        """
        market, config = self._known_market("result"), self.row_config(i)
        signal = self._signals.of(self._grid.value(SIGNAL, int(i)))
        context = self._engine("result").context
        return of_row(market, context, int(i), config, signal, threads=self._threads)

    def row_account(self, i: int) -> Account:
        """The account of row i.

        Args:
            i: the row of `frame`, from 0.

        Raises:
            InputError: if there is no such row, or the sweep ran under no account.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"account.cash": [50_000, 100_000]})
            >>> swept.row_account(1).cash
            100000.0
        """
        self._needs_account("row_account")
        return self._grid.account_of(self._checked(i))

    def _needs_account(self, wanted: str) -> None:
        if self._grid.account is None:
            raise InputError(f"{wanted}: the sweep ran under no account; expected account=")

    def equity(self, rows: Iterable[int] | None = None) -> pl.DataFrame:
        """The equity of the account of some rows by session, in dollars.

        Args:
            rows: rows of `frame`; all if None.

        Returns:
            session, and a column for each row, named by its number: `Portfolio.daily`'s equity,
            null on sessions after the last of that row's account, and before its first.

        Raises:
            InputError: if no row is given or there is no such row, the sweep ran under no account,
                or it was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"account.cash": [50_000, 100_000]})
            >>> swept.equity([1]).columns
            ['session', '1']
        """
        self._needs_account("equity")
        given = range(self.frame.height) if rows is None else rows
        if not isinstance(given, Iterable) or isinstance(given, str | bytes):
            raise InputError(f"rows = {cut(rows)}: expected rows of the frame, such as [0, 1]")
        wanted = np.array([self._checked(i) for i in given], np.int64)
        if not wanted.size:
            raise InputError("rows is empty: expected at least one row of the frame")
        used, place = np.unique(self._inverse[wanted], return_inverse=True)
        found = self._engine("equity").equity(self._rows[used])
        columns = {str(row): found.columns[1 + at] for row, at in zip(wanted, place, strict=True)}
        return found.select("session", *(pl.col(name).alias(row) for row, name in columns.items()))

    def best(
        self,
        by: str = "avg_wheel_roc",
        n: int = 10,
        *,
        descending: bool = True,
        least_wheels: int = 1,
        rules: str | None = None,
    ) -> Ranking:
        """The n configurations with the greatest (or least) value of a figure.

        If a seed is swept (of fills, or of an account's order), configurations are ranked by their
        means over the seeds (`over_seeds`); a ranking of rows would put the luckiest seeds first.
        Rule sets are not
        ranked against one another, because v5 counts P&L that no account would have earned. The
        best of many configurations is partly luck: compare it with its neighbours in the grid.

        Args:
            by: a figure of `frame`.
            n: the number of configurations.
            descending: whether the greatest come first.
            least_wheels: configurations with fewer wheels in the summary (on average over the
                seeds) are left out.
            rules: the rule set to rank, if several are swept; "ledger" if None.

        Returns:
            A DataFrame that prints its first columns: `row`, the argument of `row_config` and
            `result` (over seeds the configuration's first row), the swept columns, the figure and
            five more. All other figures follow.

        Raises:
            InputError: for a figure that the frame does not have, a rule set that is not swept, or
                an `n` or `least_wheels` that is no whole number or too small.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> grid = {"put.exit_pct": [0.25, 0.5], "fills.execution_seed": [1, 2, 3]}
            >>> swept = wv.sweep(market, config, grid)
            >>> swept.best("total_pnl").columns[:4]
            ['row', 'put.exit_pct', 'seeds', 'total_pnl']
        """
        if by not in self.figures:
            raise InputError(unknown_name("figure", by, self.figures))
        for name, value, least in (("n", n, 1), ("least_wheels", least_wheels, 0)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise InputError(f"{name} = {value!r}: expected a whole number of at least {least}")
        if not isinstance(descending, bool):
            raise InputError(f"descending = {cut(descending)}: expected True or False")
        rows, of_rules = self._of_rules(self._ranked_rows(), rules)
        shown = [
            name
            for name in self.names
            if name in rows.columns and not (of_rules and name == "rules")
        ]
        known = rows.filter(pl.col("total_wheels") >= least_wheels)
        first = known.sort(by, descending=descending, nulls_last=True, maintain_order=True).head(n)
        seeds = ["seeds"] if "seeds" in rows.columns else []
        figures = [by, *(["avg_wheel_roc_fill_se"] if seeds and by == "avg_wheel_roc" else [])]
        figures += [name for name in FIGURES if name != by and name in rows.columns][
            : len(FIGURES) - 1
        ]
        many = "" if known.height == 1 else "s"
        end = "greatest" if descending else "least"
        note = f"The {end} {by} of {known.height:,} configuration{many}"
        note += (", each the mean over its seeds" if seeds else "") + of_rules
        return Ranking.of(
            first, ["row", *shown, *seeds, *figures], note + " (the best of many is partly luck)"
        )

    def _ranked_rows(self) -> pl.DataFrame:
        """The frame with row numbers, or its means over the seeds if these are swept."""
        if not self._seeds:
            return self.frame.with_row_index("row")
        return self._over_seeds(None).rename({"_group": "row"})

    def _of_rules(self, rows: pl.DataFrame, rules: str | None) -> tuple[pl.DataFrame, str]:
        """The rows of one rule set, and a note that says so; all rows if rule sets are not swept.

        Args:
            rows: to rank.
            rules: as in `best`.
        """
        swept = self._grid.columns["rules"].values if "rules" in self._grid.columns else []
        if rules is not None and rules not in (swept or [self.config.rules]):
            raise InputError(
                unknown_name("rule set of the sweep", rules, swept or [self.config.rules])
            )
        if len(swept) < 2:
            return rows, ""
        chosen = rules or ("ledger" if "ledger" in swept else swept[0])
        others = ", ".join(name for name in swept if name != chosen)
        return rows.filter(
            pl.col("rules") == chosen
        ), f", rule set {chosen} alone, not against {others}"

    def pnl(self) -> Pnl:
        """The P&L of every wheel under every configuration.

        A large array is a memory-mapped temporary file.

        Returns:
            A `Pnl`: the wheels, and (wheels, configurations) dollars per contract.

        Raises:
            InputError: if the sweep was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> [round(float(total)) for total in swept.pnl().values.sum(axis=0)]
            [643, 1794]
        """
        wheels, values = self._engine("pnl").pnl(self._rows, self._allocate)
        return Pnl(
            wheels, values if self._rows.size == self.frame.height else values[:, self._inverse]
        )

    def _allocate(self, wheels: int, configs: int) -> np.ndarray[Any, Any]:
        """(wheels, configs) float32, NaN throughout; memory-mapped if it is large."""
        if 4 * wheels * configs <= self._memory // 4:
            return np.full((wheels, configs), np.nan, np.float32)
        # the memory map keeps the closed file until the array is deleted
        with tempfile.TemporaryFile(prefix="wheelvec-pnl-") as file:
            file.truncate(4 * wheels * configs)
            out = np.memmap(file, np.float32, "r+", shape=(wheels, configs))
        for wheel in range(wheels):
            out[wheel] = np.nan
        return out

    def periods(self, every: str = "1mo") -> pl.DataFrame:
        """The number of wheels, P&L and capital of each configuration by period of entry.

        Args:
            every: the length of a period: "1mo", "1q" or "1y".

        Returns:
            row, period (its first day), wheels, and pnl and capital in dollars per contract; all
            of the wheels in the summary.

        Raises:
            InputError: for another period, or if the sweep was loaded without a market.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> swept.periods("1mo")["pnl"].round(2).to_list()  # January of both rows
            [643.18, 1794.18]
        """
        if not isinstance(every, str) or every not in PERIODS:
            raise InputError(unknown_name("period", every, PERIODS))
        engine = self._engine("periods")
        found = []
        start = 0
        for chunk in engine.chunks(self._rows):
            found.append(
                engine.periods(chunk, _period_of(PERIODS[every])).with_columns(
                    pl.col("position") + start
                )
            )
            start += chunk.size
        all_rows = pl.DataFrame({"position": self._inverse}).with_row_index("row")
        rows = all_rows.join(pl.concat(found), on="position", maintain_order="left_right")
        return rows.select("row", "period", "wheels", "pnl", "capital")

    def over_seeds(self, against: int | None = None) -> pl.DataFrame:
        """The figures of each configuration over its seeds: mean, standard error, percentiles.

        The seeds are those of the fills, and of an account's order "random". They show how much of
        a figure is due to random fills, and to the choice of the wheels that an account carries.
        They do not show how much is due to the market: every seed trades the same prices, and a
        narrow range of figures is no evidence that another year would be similar.

        Args:
            against: the row of a reference configuration. Figures are then differences from those
                of the reference under the same seed. All configurations share the draws of a seed,
                so the luck of the draws cancels.

        Returns:
            One row per configuration apart from its seeds: the grid's columns without the seeds,
            seeds (their number, of pairs if both are swept), and for each figure its mean,
            `{figure}_fill_se` (the standard error of that mean, null for one seed) and
            `{figure}_p05`, `{figure}_p95`.

        Raises:
            InputError: if no seed is swept, or there is no row `against`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> grid = {"put.exit_pct": [0.25, 0.5], "fills.execution_seed": [1, 2, 3]}
            >>> swept = wv.sweep(market, config, grid)
            >>> swept.over_seeds()["total_pnl"].round(2).to_list()  # the mean over three seeds
            [2581.62, 1802.63]
        """
        return self._over_seeds(against).drop("_group")

    @property
    def _seeds(self) -> list[str]:
        """The seeds that the grid sweeps."""
        return [name for name in SEEDS if name in self._grid.columns]

    def _over_seeds(self, against: int | None) -> pl.DataFrame:
        """The frame of `over_seeds`, with the first row of each configuration in `_group`."""
        swept = self._seeds
        if not swept:
            raise InputError(
                f"over_seeds: the grid does not sweep {listed(map(repr, SEEDS))}; "
                f"it sweeps {self.names}"
            )
        group = self.configurations
        seeds = [self._grid.columns[name] for name in swept]
        seed = combined([(each.codes, len(each.values)) for each in seeds], self._grid.size)
        figures = self.frame.select(pl.col(self.figures).cast(pl.Float64)).with_columns(
            _group=group, _seed=seed
        )
        figures = figures.unique(["_group", "_seed"], keep="first", maintain_order=True)
        if against is not None:
            figures = _differences(figures, group[self._checked(against)], self.figures)
        kept = [name for name in self.names if name not in swept]
        summed = (
            figures.group_by("_group", maintain_order=True)
            .agg(_seeds_of(self.figures))
            .sort("_group")
        )
        first_rows = summed.select("_group")
        return pl.concat(
            [first_rows, self.frame.select(kept)[summed["_group"]], summed.drop("_group")],
            how="horizontal",
        )

    def _checked(self, i: int) -> int:
        """The argument, or an error if `frame` has no such row."""
        if (
            isinstance(i, bool)
            or not isinstance(i, int | np.integer)
            or not 0 <= i < self.frame.height
        ):
            raise InputError(f"i = {i!r}: expected a row from 0 to {self.frame.height - 1}")
        return int(i)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the sweep to a folder, whole or not at all.

        An earlier sweep of the same grid on the same data is replaced. The folder may be the one
        that this sweep was loaded from. If another process is writing to it, `save` waits for a
        minute at most.

        Args:
            folder: created if it does not exist. Only a sweep that wheelvec wrote is replaced or
                removed in it.
            overwrite: whether a different sweep may be replaced too.

        Raises:
            LakeError: naming the folder, if it holds anything else or cannot be written.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> import tempfile
            >>> folder = tempfile.mkdtemp()
            >>> swept.save(folder)
            >>> wv.Sweep.load(folder).frame.equals(swept.frame)
            True
        """
        if self._loaded:
            store = self._loaded.into(folder)
        else:
            store = SweepStore.of(
                folder,
                self._grid,
                self.stats,
                self._known_market("save").fingerprint,
                self._signals,
            )
        store.write(self.frame, self.warnings, overwrite, self.failures)

    @classmethod
    def load(cls, folder: str | Path, market: Market | None = None) -> Self:
        """Read a saved sweep. With its market it can compute results, pnl and periods too.

        Args:
            folder: the folder that `save`, or `sweep` with `out`, wrote.
            market: the tables of the sweep; None for the figures only.

        Raises:
            LakeError: naming path and reason, if the folder is no finished sweep, or one of its
                files is missing or altered.
            InputError: if the data of the market differ from those of the sweep.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> swept = wv.sweep(market, config, {"put.stop_loss_multiplier": [1.2, None]})
            >>> import tempfile
            >>> folder = tempfile.mkdtemp()
            >>> swept.save(folder)
            >>> wv.Sweep.load(folder, market).result(0).summary()["total_wheels"]
            14
        """
        from wheelvec.run.executor import default_threads

        store, frame = SweepStore.read(folder)
        if market is not None and market.fingerprint != store.fingerprint:
            raise InputError(
                f"{folder}: swept over data {store.fingerprint}, "
                f"the market given holds {market.fingerprint}"
            )
        return cls(
            store.grid,
            frame,
            market,
            store.signals,
            stats=store.stats,
            threads=default_threads(),
            memory=default_memory(),
            loaded=store,
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": None}

    def __repr__(self) -> str:
        odd = (
            f", {counted(self.failures.height, 'underlying')} left out"
            if self.failures.height
            else ""
        )
        odd += f", {len(self._warnings)} warnings" if self._warnings else ""
        distinct = (
            "" if self._rows.size == self.frame.height else f" ({self._rows.size:,} distinct)"
        )
        names = ", ".join(self.names)
        return f"<Sweep of {self.frame.height:,} configurations{distinct}: {names}{odd}>"

    def _repr_html_(self) -> str:
        return sweep_html(self)


def figure_names(stats: str, account: bool = False) -> list[str]:
    """The names of the figures in the frame of a sweep.

    Args:
        stats: as in `sweep`.
        account: whether it runs under an account.
    """
    ordered = None if stats == "moments" else np.full((1 + len(PERCENTILES), 1), np.nan)
    found = figures_frame(new_figures(1), ordered, np.zeros(1, np.int64)).columns
    return [*found, *(ACCOUNT_FIGURES if account else ())]


def _seeds_of(figures: list[str]) -> list[pl.Expr]:
    """The number of seeds, and mean, standard error and percentiles of each figure."""
    found = [pl.len().cast(pl.Int64).alias("seeds")]
    for name in figures:
        figure = pl.col(name)
        found += [
            figure.mean(),
            (figure.std() / figure.count().sqrt()).alias(f"{name}_fill_se"),
            figure.quantile(0.05, "linear").alias(f"{name}_p05"),
            figure.quantile(0.95, "linear").alias(f"{name}_p95"),
        ]
    return found


def _differences(figures: pl.DataFrame, reference: int, names: list[str]) -> pl.DataFrame:
    """Each figure less that of the reference configuration under the same seed.

    Args:
        figures: a row per configuration (`_group`) and seed (`_seed`).
        reference: the `_group` of the reference; seeds that it lacks give null.
        names: of the figures.
    """
    other = figures.filter(pl.col("_group") == reference).drop("_group")
    both = figures.join(other, on="_seed", suffix="_of_other", maintain_order="left")
    return both.with_columns(pl.col(name) - pl.col(f"{name}_of_other") for name in names).select(
        figures.columns
    )


def _period_of(months: int) -> Callable[[dt.date], dt.date]:
    """A function from the first day of a month to the first day of its period."""
    return lambda month: month.replace(month=(month.month - 1) // months * months + 1)
