"""A portfolio: what one account was, day by day, with the wheels that it took."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model import atomic
from wheelvec.model.account import Account
from wheelvec.model.errors import (
    ConfigError,
    InputError,
    LakeError,
    unknown_name,
)
from wheelvec.model.forks import refusing_forked
from wheelvec.model.named_figures import NamedFigures
from wheelvec.model.version import VERSION
from wheelvec.run.results.balances import broken_balances
from wheelvec.run.results.folder import WRITER_WAIT, Folder, refuse_other
from wheelvec.run.results.index import Index, Kind, Stored, read_index
from wheelvec.run.results.invariants import refuse_broken
from wheelvec.run.results.shown import portfolio_html
from wheelvec.run.results.warnings import RunWarning, Warnings
from wheelvec.stages.arrays import column, days
from wheelvec.stages.benchmarks import Money, benchmarks, lots
from wheelvec.stages.chain import rates
from wheelvec.stages.metric_arrays import returns
from wheelvec.stages.metrics import Accounted, Figure, metrics, riskless

FRAMES = ("daily", "wheels", "deltas", "ledger", "underlying", "events", "benchmarks")
PORTFOLIO = Kind(
    name="portfolio",
    index="portfolio.json",
    files=frozenset(f"{name}.parquet" for name in FRAMES),
    fields={"version": str, "account": dict, "results": list, "warnings": list},
    former=frozenset({"account"}),
    added=frozenset({"warnings"}),
)
Ran = tuple[str, str, str | None]  # configuration id, fingerprint, digest of the signals


@refusing_forked
class Portfolio:
    """The account on each session, the wheels that it took, and why it took no others.

    `simulate` makes one.

    Args:
        account: the account.
        frames: daily, wheels, deltas, ledger, underlying and events, and benchmarks if made.
        results: configuration id, fingerprint of the data and digest of `when=` of each result.
        given: series of the user to compare with.
        warnings: of the results, or a function that returns them when they are first needed.

    Attributes:
        account: the account.
        results: as given.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> portfolio = wv.simulate(result, wv.Account(cash=40_000))
        >>> portfolio.wheels["taken"].to_list()
        [1, 1, 0, 0, 0]
    """

    def __init__(
        self,
        account: Account,
        frames: Mapping[str, pl.DataFrame | Stored],
        results: list[Ran],
        given: Mapping[str, Any] | None = None,
        warnings: Warnings | Callable[[], Warnings] = (),
    ) -> None:
        self.account, self.results = account, [tuple(ran) for ran in results]
        self._frames: dict[str, pl.DataFrame | Stored] = dict(frames)
        self._given, self._warnings = given, warnings
        if given:
            _ = self.benchmarks  # an error of a series is one of `simulate`

    def _frame(self, name: str) -> pl.DataFrame:
        frame = self._frames[name]
        if isinstance(frame, Stored):
            frame = self._frames[name] = frame.read()
        return frame

    @property
    def daily(self) -> pl.DataFrame:
        """The account at the close of each session, in dollars (model.schemas.ACCOUNT_DAILY).

            cash                     of all kinds, collateral too
            collateral               of open puts
            shortfall                collateral that is not in cash: max(0, collateral - cash)
            options                  minus what is owed on open legs
            shares, equity           cash + options + shares
            drawdown, exposure       equity/peak - 1; (collateral + shares)/equity
            open_wheels              wheels; open_puts, open_calls: legs times how often taken
            mark_age                 sessions since the oldest mark of an open leg
            delta_dollars            share equivalents times the close, of all underlyings
            puts, calls, stock, dividends, fees, interest    the day's change of equity by source

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.daily.select("session", "cash", "collateral", "options").row(0)
            (datetime.date(2024, 1, 2), 40376.68, 31000.0, -382.0)
        """
        return self._frame("daily")

    @property
    def wheels(self) -> pl.DataFrame:
        """The wheels of the results, each once, with what the account made of it.

        The columns are those of `Result.wheels` and

            result          0, 1, ...: of which result it is
            taken           how often; 0: it was skipped
            reason          why it was skipped; null of one that was taken
            account_pnl     dollars, as often as it was taken; null if skipped or unresolved

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.wheels.select("wheel_id", "taken", "reason").row(4)
            ('ALFA_2024-01-04_4', 0, 'no_cash')
        """
        return self._frame("wheels")

    @property
    def skipped(self) -> pl.DataFrame:
        """The reasons why wheels were skipped, with counts, the most frequent first.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000)).skipped.rows()
            [('no_cash', 3)]
        """
        return (
            self.wheels.filter(pl.col("taken") == 0)
            .group_by("reason")
            .agg(count=pl.len().cast(pl.Int64))
            .sort("count", "reason", descending=[True, False])
        )

    @property
    def deltas(self) -> pl.DataFrame:
        """Share equivalents at each close by underlying, and these in dollars.

        Rows are of every underlying that the account ever held, by its name when the put was sold.
        Marks that no longer follow the underlying have no delta: those after the settlement session
        of a leg that never resolved, and those that are kept as on an eve.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.deltas.columns
            ['session', 'underlying', 'shares', 'delta_dollars']
        """
        return self._frame("deltas")

    @property
    def ledger(self) -> pl.DataFrame:
        """The cash of the taken wheels, by the session on which it comes, in dollars.

        `row` is the wheel's among `wheels`. With the interest the amounts sum to the change of the
        cash.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.ledger.select("wheel_id", "entry", "amount").row(0)
            ('ALFA_2024-01-02_0', 'premium', 177.0)
        """
        return self._frame("ledger")

    @property
    def underlying(self) -> pl.DataFrame:
        """The closes of the underlyings over the account's sessions, as `Result.underlying`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.underlying["close"][0]
            157.93
        """
        return self._frame("underlying")

    @property
    def events(self) -> pl.DataFrame:
        """The corporate events of the underlyings, as `Result.events`.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.events.height  # nothing happens to ALFA
            0
        """
        return self._frame("events")

    @property
    def benchmarks(self) -> pl.DataFrame:
        """The equity that other uses of the cash would have had, by session, in dollars.

            buy_and_hold     the cash in equal parts in the underlyings at their first closes
            cash             the cash at the account's rate
            delta_matched    yesterday's share equivalents of the account in stock, the rest in cash
            ...              each series of the user, scaled to the cash

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.benchmarks.columns
            ['session', 'buy_and_hold', 'cash', 'delta_matched']
        """
        if "benchmarks" not in self._frames:
            session = self.daily["session"]
            money = Money(self.account.cash, self._riskless())
            held = lots(self.underlying, self.events, session)
            self._frames["benchmarks"] = benchmarks(held, self.deltas, session, money, self._given)
        return self._frame("benchmarks")

    def _riskless(self) -> NDArray[np.float64]:
        """(sessions,) what a dollar of cash earned since the session before; 0 on the first."""
        sessions = self.daily.select("session")
        rate = rates(self.account.rate, sessions, sessions["session"][0], "rate")
        return riskless(days(sessions, "session"), rate)

    @property
    def warnings(self) -> Warnings:
        """The warnings of the results: odd facts of the data or the runs that the figures rest on.

        A warning that several results share is there once. Of a portfolio that an earlier version
        saved none are known.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> schedule = wv.Schedule(start_date="2023-12-28", end_date="2024-01-05")
            >>> portfolio = wv.simulate(wv.backtest(market, wv.Config(schedule=schedule)))
            >>> print(portfolio.warnings[0].code)
            outside_data
        """
        if callable(self._warnings):
            self._warnings = self._warnings()
        return self._warnings

    def __getstate__(self) -> dict[str, Any]:
        _ = self.warnings  # results in memory, of which they may yet be to come, cannot be pickled
        return self.__dict__

    @property
    def returns(self) -> pl.DataFrame:
        """The daily returns of the equity: session, return, excess (over what cash earned).

        Fractions; the first is against the cash. NaN after an equity that is not positive.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> portfolio.returns["return"].round(6)[0]
            -0.000133
        """
        equity = column(self.daily, "equity", float)
        (daily,) = returns(equity[np.newaxis], np.array([self.account.cash]))
        return pl.DataFrame(
            {
                "session": self.daily["session"],
                "return": daily,
                "excess": daily - self._riskless(),
            }
        )

    def metrics(self, of: str | None = None) -> NamedFigures[Figure]:
        """The figures of the account, or of one of its benchmarks; None where one is not defined.

        With r the daily return of the equity (the first against the cash), x = r - what cash earned
        at the account's rate, over n sessions, sd of a sample, 252 sessions a year:

            total_return, cagr        last equity/cash - 1; (1 + total)^(252/n) - 1, None if n < 126
            volatility, sharpe        sd(x)*sqrt(252); mean(x)/sd(x)*sqrt(252)
            sortino                   mean(x)/sqrt(mean(min(x, 0)^2))*sqrt(252)
            max_drawdown              least equity/peak - 1; max_drawdown_days: from peak to last
            calmar, ulcer_index       cagr/abs(max_drawdown); sqrt(mean(drawdown^2))
            skew, kurtosis            of r, of a population
            var_95, cvar_95           - 5th percentile of r; - mean of r at or under it
            best_month, worst_month   of calendar months; months_up: share of those with a gain
            alpha_*, beta_*           least squares of x on that of each benchmark; alpha times 252
            mean_exposure             mean of (collateral + shares)/equity; mean_cash_share: of cash
            turnover                  premiums, buy-backs, share trades/mean equity, a year
            taken, skipped_*          wheels; all below are of those taken and resolved
            win_rate, profit_factor   percent with P&L > 0; gains/losses
            expectancy                mean P&L, dollars; mean_win, mean_loss: of gains, of losses
            longest_losing_run        by exit date; mean_days_held: summed over legs
            premium_kept              put and call P&L/premium received
            return_on_collateral      P&L/mean of collateral and cost of held shares

        A benchmark has the figures through beta. `wheelvec.stages.metrics` and docs/portfolio.md
        have the details.

        Args:
            of: a column of `benchmarks`; None: the account itself.

        Raises:
            InputError: naming a benchmark that there is not.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> round(portfolio.metrics()["total_return"], 6)
            0.009417
            >>> portfolio.metrics(of="cash")["total_return"]
            0.0
        """
        names = self.benchmarks.columns[1:]
        if of is not None and of not in names:
            raise InputError(unknown_name("benchmark", of, names))
        accounted = Accounted(
            daily=self.daily,
            wheels=self.wheels,
            flows=self.ledger,
            benchmarks=self.benchmarks,
            start=self.account.cash,
            riskless=self._riskless(),
        )
        return NamedFigures(metrics(accounted, of))

    def validate(self) -> None:
        """Check the invariants of an account.

        Raises:
            RecordError: naming each invariant that fails, and the sessions or wheels.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000)).validate()
        """
        refuse_broken(broken_balances(self.account, self.daily, self.wheels, self.ledger))

    # ---- saved portfolios

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the portfolio to a folder, whole or not at all.

        Args:
            folder: made if need be. Only a portfolio that wheelvec wrote is ever replaced in it.
            overwrite: whether a portfolio of another account or of other results may be replaced.

        Raises:
            LakeError: naming the reason, if the folder holds anything else or cannot be written.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> portfolio = wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000))
            >>> folder = tempfile.mkdtemp()
            >>> portfolio.save(folder)
            >>> wv.Portfolio.load(folder).daily.equals(portfolio.daily)
            True
        """
        place = Folder(folder, PORTFOLIO)
        frames = {name: getattr(self, name) for name in FRAMES}
        with place.held(WRITER_WAIT):
            index = place.examine()
            if index and not overwrite:
                refuse_other(place.path, index, self._difference)
            staged = place.stage()
            for name, frame in frames.items():
                with atomic.writing(place.path / f"{name}.parquet"):
                    frame.write_parquet(staged / f"{name}.parquet", compression="zstd")
            place.commit(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "account": self.account.to_dict(),
            "results": [list(ran) for ran in self.results],
            "warnings": [dataclasses.astuple(warning) for warning in self.warnings],
        }

    def _difference(self, there: dict[str, Any]) -> str:
        here = Index.of(PORTFOLIO, self._content(), {}).content
        if there["account"] != here["account"]:
            return "it is of another account"
        return "" if there["results"] == here["results"] else "it is of other results"

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved portfolio.

        Args:
            folder: the folder that `save` wrote.

        Raises:
            LakeError: naming path and reason, if the folder is no saved portfolio, or a file of it
                is missing or altered.

        Example:
            >>> import tempfile
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> folder = tempfile.mkdtemp()
            >>> wv.simulate(wv.backtest(market, config), wv.Account(cash=40_000)).save(folder)
            >>> wv.Portfolio.load(folder).account.cash
            40000.0
        """
        place = Folder(folder, PORTFOLIO)
        return place.read_consistently(lambda: cls._read(place))

    @classmethod
    def _read(cls, place: Folder) -> Self:
        index = read_index(place.index_path, PORTFOLIO)
        frames = {
            name.removesuffix(".parquet"): Stored(place.path.absolute() / name, digest)
            for name, digest in index.files.items()
        }
        for stored in frames.values():
            stored.check()
        try:
            account = Account(**index.content["account"])
        except (ConfigError, TypeError) as error:
            raise LakeError(f"{place.index_path}: its account cannot be read: {error}") from None
        warnings = tuple(RunWarning(*each) for each in index.content.get("warnings", ()))
        return cls(account, frames, index.content["results"], warnings=warnings)

    def __repr__(self) -> str:
        taken = int((self.wheels["taken"] > 0).sum())
        first, last = self.daily["session"][0], self.daily["session"][-1]
        skipped = ", ".join(f"{reason} {count:,}" for reason, count in self.skipped.rows())
        odd = f", {len(self.warnings)} warnings" if self.warnings else ""
        return (
            f"<Portfolio {first} to {last}: equity {self.daily['equity'][-1]:,.2f} of "
            f"{self.account.cash:,.2f}, {taken:,} of {self.wheels.height:,} wheels taken"
            + (f", skipped: {skipped}" if skipped else "")
            + f"{odd}>"
        )

    def _repr_html_(self) -> str:
        return portfolio_html(self)
