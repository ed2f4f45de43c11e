"""`verdict`: whether the chosen configuration of a sweep survives costs, luck and its own data."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference import lines
from wheelvec.inference.blocks import chosen
from wheelvec.inference.bootstrap import bootstrap
from wheelvec.inference.judged import Verdict
from wheelvec.inference.lines import Line, unsaid
from wheelvec.inference.needs import UNITS, at_least, whole
from wheelvec.inference.overfitting import FEWEST, of_sweep
from wheelvec.inference.superior import spa
from wheelvec.inference.trials import Trials, effective_trials
from wheelvec.inference.tried import Tried, figures_of, launches, overlap
from wheelvec.inference.units import Launched, daily, launched, summed
from wheelvec.model.account import Account
from wheelvec.model.errors import ConfigError, InputError, InsufficientDataError, cut
from wheelvec.run.results.result import Result
from wheelvec.run.results.sweep_result import SEEDS, Sweep
from wheelvec.run.results.warnings import of_failures
from wheelvec.run.simulate import simulate
from wheelvec.run.sweep import sweep as sweep_of
from wheelvec.stages.arrays import column
from wheelvec.stages.metric_arrays import returns

Array = NDArray[Any]

FILL_SEED = "fills.execution_seed"
FEW, MANY = 8, 32  # fill seeds: of the sweep if it has so many, else 0 to 31
# blocks of the probability of overfitting: 16, or fewer where the months do not suffice
BLOCKS = range(16, FEWEST - 1, -2)
YEAR = 252
NO_MARKET = "needs the market: load the sweep with Sweep.load(folder, market=...), or give --lake"
NO_ACCOUNT = "needs an account: pass account=wv.Account(...), or give --account"


def verdict(
    sweep: Sweep,
    account: Account | None = None,
    *,
    by: str = "avg_wheel_roc",
    row: int | None = None,
    prior_trials: int = 0,
    seed: int = 0,
) -> Verdict:
    """Whether the best configuration of a sweep survives, one line for each question.

    Each line has a figure, what it was compared with, and an answer: it holds, it does not hold, or
    it cannot be said, with what is needed and what there is. There is no score.

        costs       natural fills: the mean ROC is above 0 sold at the bid, bought at the ask
        fills       fill seeds: so is its 5th percentile over the seeds of the fills
        time        bootstrap: so is the lower end of its interval of 90%, resampled in blocks
                    halves: it is above 0 in both halves of the entry sessions
                    worst year: its mean a wheel and that of all other wheels sum to above 0
        selection   deflated Sharpe ratio: at least 0.95, trials counted by effective rank
                    probability of overfitting: at most 0.05
                    SPA: some configuration beats no trade, p under 0.05; StepM: this one does
        stock       delta-matched stock: so is the lower end of the 90% interval of the account's
                    mean daily return less that of the stock
        data        marks: the total P&L is above 0 with and without the marks of unresolved wheels
                    worst case: and if each wheel without a P&L had lost its capital

    A line that holds says that the figure passes its bound in these data, not that the doubt is
    refuted; one that does not hold, that the doubt remains, not that it is proven. It assumes that
    the market goes on as it was, and that nothing was tried beside this sweep (`prior_trials`
    enters the deflated Sharpe ratio alone). All but that of the stock ask whether it earned more
    than 0, which puts do in a rising market without an edge. The lines of one configuration (costs,
    fills, time, stock, data) are of the best of many, and flattered by the choice; those of
    selection count the choice, but hold too often where large losses are rare (docs/luck.md).

    Args:
        sweep: of at least 10 configurations over at least 24 months, or most lines cannot be said.
        account: for the line of the stock; None: that of the sweep, if it ran under one.
        by: the figure by which the best configuration is chosen, as in `Sweep.best`.
        row: a configuration to judge instead of the best one.
        prior_trials: configurations tried before this sweep; for the deflated Sharpe ratio alone.
        seed: of the resamples.

    Returns:
        A `Verdict`: `lines`, `tried`, `says`, the sweep's `warnings`, `to_dict()`, `to_markdown()`;
        `str()` for a terminal.

    Raises:
        InsufficientDataError: if no configuration has a wheel.
        InputError: for an invalid argument.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> found = wv.verdict(wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}))
        >>> found.frame.filter(name="SPA").select("answer", "says").row(0)
        ('cannot be said', 'spa needs at least 10 configurations that differ from the benchmark: \
there are 2')
    """
    if not isinstance(sweep, Sweep):
        raise InputError(f"sweep is {cut(sweep)}: expected a wheelvec.Sweep")
    if account is not None and not isinstance(account, Account):
        raise InputError(f"account is {cut(account)}: expected a wheelvec.Account")
    prior, seed = whole("prior_trials", prior_trials, 0), whole("seed", seed, 0, 2**64 - 1)
    at, how = _chosen(sweep, by, row)
    case = _Case(sweep, at, account, seed)
    trials = _of(case, lines.DEFLATED, lambda: effective_trials(sweep, prior_trials=prior, row=at))
    found = [
        *_of_seeds(case),
        *_of_time(case),
        lines.deflated_line(trials) if isinstance(trials, Trials) else trials,
        _said(case, lines.OVERFITTING, lambda: lines.overfitting_line(of_sweep(sweep, BLOCKS))),
        *_superior(case),
        _said(case, lines.STOCK, lambda: _stock(case)),
        *lines.data_lines(case.figures, launches(case.figures)),
    ]
    fields = sweep.frame.select(name for name in sweep.names if name not in SEEDS)
    counted = trials if isinstance(trials, Trials) else None
    tried = _tried(case, prior, counted)
    own = fields.row(at, named=True) if fields.width else {}
    odd = (*of_failures(sweep.failures), *sweep.warnings)
    return Verdict(at, own, how, tried, tuple(found), counted, odd)


class _Wheels(NamedTuple):
    """The wheels of the configuration over its fill seeds, by entry session.

    Attributes:
        rocs: (seeds,) the mean ROC, percent.
        day: (units,) datetime64[D], entry sessions from the first to the last with a wheel.
        roc: (units,) the sum of the ROC of its wheels, the mean over the seeds.
        wheels: (units,) how many, the mean over the seeds.
    """

    rocs: Array
    day: Array
    roc: Array
    wheels: Array


class _Case:
    """The configuration that is judged, and what several lines need of it, computed once."""

    def __init__(self, sweep: Sweep, row: int, account: Account | None, seed: int) -> None:
        self.sweep, self.row, self.seed = sweep, row, seed
        self.config, self.figures = sweep.row_config(row), figures_of(sweep, row)
        under = "account_cagr" in sweep.figures
        self.account = sweep.row_account(row) if account is None and under else account

    @cached_property
    def result(self) -> Result:
        """The wheels under the row's own seed."""
        return self.sweep.result(self.row)

    @cached_property
    def swept(self) -> Sweep:
        """The configuration under each fill seed."""
        return self.over()

    def over(self, **changes: Any) -> Sweep:
        """The configuration with some fields changed, under each fill seed."""
        market = self.sweep.market
        assert market is not None
        grid = {FILL_SEED: self.fill_seeds}
        config, when = self.config.replace(**changes), self.sweep.row_when(self.row)
        return sweep_of(market, config, grid, when=when)

    @property
    def fill_seeds(self) -> list[int]:
        """Those of the sweep, or 0 to 31; one alone where nothing is drawn."""
        if not self.config.fills.use_probabilistic_exit_fills:
            return [self.config.fills.execution_seed]
        if FILL_SEED in self.sweep.names:
            mine = self.sweep.configurations == self.sweep.configurations[self.row]
            own = self.sweep.frame[FILL_SEED].filter(pl.Series(mine)).unique().sort().to_list()
            if len(own) >= FEW:
                return list(own)
        return list(range(MANY))

    @cached_property
    def launched(self) -> Launched:
        """Its wheels under each fill seed, as they are resampled."""
        return launched(self.swept, "verdict")

    @cached_property
    def wheels(self) -> _Wheels:
        """Its wheels.

        Raises:
            InsufficientDataError: for fewer than 30 entry sessions with wheels.
        """
        of = self.launched
        roc, wheels = (each[:, 0] for each in summed(of, "roc", "wheels"))
        at_least("the row", UNITS, int(np.count_nonzero(wheels)), "entry sessions with wheels")
        return _Wheels(_rocs(self.swept), of.day, roc, wheels)


def _rocs(swept: Sweep) -> Array:
    return np.asarray(swept.frame["avg_wheel_roc"].drop_nulls().to_numpy())


def _chosen(sweep: Sweep, by: str, row: int | None) -> tuple[int, str]:
    """The first row of the configuration that is judged, and how it was chosen."""
    if row is not None:
        at = whole("row", row, 0, sweep.frame.height - 1)
        return int(sweep.configurations[at]), "as given"
    best = sweep.best(by, 1)
    if best.is_empty():
        raise InsufficientDataError("verdict needs wheels in the summary: no configuration has any")
    many = np.unique(sweep.configurations).size
    of_seeds = ", means over seeds" if any(name in SEEDS for name in sweep.names) else ""
    value = best[by][0]
    return int(
        best["row"][0]
    ), f"the greatest {by}, {value:,.4g}, of {many:,} configurations{of_seeds}"


_Question = tuple[str, str, str]  # topic, name, what it is compared with


def _of(case: _Case, question: _Question, compute: Callable[[], Any]) -> Any:
    """Compute a line; without enough data, a line that says why it cannot be computed."""
    if case.sweep.market is None:
        return unsaid(*question, NO_MARKET)
    try:
        return compute()
    except InsufficientDataError as refusal:
        return unsaid(*question, str(refusal))


def _said(case: _Case, question: _Question, compute: Callable[[], Line]) -> Line:
    line: Line = _of(case, question, compute)
    return line


def _of_seeds(case: _Case) -> list[Line]:
    """The lines of costs and fills."""
    fills = case.config.fills

    def natural() -> Line:
        own = case.wheels.rocs
        mode = fills.fill_mode
        found = own if mode == "natural" else _rocs(case.over(**{"fills.fill_mode": "natural"}))
        if not found.size:
            raise InsufficientDataError("natural fills need wheels: no put is sold at the bid")
        return lines.natural_line(float(found.mean()), float(own.mean()), mode)

    def seeds() -> Line:
        if not fills.use_probabilistic_exit_fills:
            raise InsufficientDataError(
                "needs fills that are drawn: with use_probabilistic_exit_fills off every first "
                "touch fills"
            )
        return lines.seeds_line(case.wheels.rocs)

    return [_said(case, lines.NATURAL, natural), _said(case, lines.SEEDS, seeds)]


def _of_time(case: _Case) -> list[Line]:
    """The lines of the bootstrap, of halves and of years."""

    def resampled() -> Line:
        _ = case.wheels  # needs enough entry sessions with wheels
        found = bootstrap(case.swept, "avg_wheel_roc", level=lines.INTERVAL, seed=case.seed)
        estimate, low, high = (float(each[0]) for each in (found.estimate, found.low, found.high))
        said = f"{found.units} entry sessions in blocks of {found.block:.1f} ({found.why})"
        return lines.bootstrap_line(estimate, low, high, said)

    def by_time(line: Callable[[Array, Array, Array], Line]) -> Callable[[], Line]:
        return lambda: line(*case.wheels[1:])

    return [
        _said(case, lines.BOOTSTRAP, resampled),
        _said(case, lines.HALVES, by_time(lines.halves_line)),
        _said(case, lines.YEARS, by_time(lines.worst_year_line)),
    ]


def _superior(case: _Case) -> list[Line]:
    """The lines of SPA and StepM."""
    found = _of(case, lines.SUPERIOR, lambda: spa(case.sweep, seed=case.seed))
    if isinstance(found, Line):
        return [found, unsaid(*lines.STEPDOWN, found.says)]
    return [lines.superior_line(found), lines.stepdown_line(found, case.row)]


def _stock(case: _Case) -> Line:
    """The account's daily returns over those of stock of the same delta."""
    if case.account is None:
        return unsaid(*lines.STOCK, NO_ACCOUNT)
    try:
        portfolio = simulate(case.result, case.account)
    except ConfigError as refusal:  # an account that is too small
        return unsaid(*lines.STOCK, str(refusal))
    of = daily(portfolio, "delta-matched stock")
    stock = column(portfolio.benchmarks, "delta_matched", float)
    over = of.returns - returns(stock[None, :], np.array([case.account.cash]))[0]
    name, held = lines.STOCK[1], of.holding
    blocks = chosen(name, over[:, None], "stationary", None, held, "sessions")
    found = bootstrap(over, block=blocks.length, level=lines.INTERVAL, seed=case.seed)
    year = tuple(100.0 * YEAR * each for each in (found.estimate, found.low, found.high))
    totals = tuple(portfolio.metrics(of=name)["total_return"] for name in (None, "delta_matched"))
    said = f"{found.units} sessions in blocks of {blocks.length:.1f} ({blocks.why})"
    return lines.stock_line(year, totals, said)  # type: ignore[arg-type]


def _tried(case: _Case, prior: int, trials: Trials | None) -> Tried:
    sweep, wheels = case.sweep, float(case.figures["total_wheels"])
    tried = Tried(
        rows=sweep.frame.height,
        configurations=int(np.unique(sweep.configurations).size),
        prior_trials=prior,
        effective_rank=None if trials is None else trials.effective_rank,
        clusters=None if trials is None else trials.clusters,
        months=None,
        entry_sessions=None,
        wheels=wheels,
        overlap=None,
        independent_wheels=None,
    )
    if sweep.market is None or not wheels:
        return tried
    day, at_once = case.launched.day, overlap(case.result)
    return tried._replace(
        months=int(np.unique(day.astype("datetime64[M]")).size),
        entry_sessions=day.size,
        overlap=at_once,
        independent_wheels=None if at_once is None else wheels / at_once,
    )
