"""`bands`: what a figure rests on: fills, seeds, the start, the choice of wheels, the market."""

import dataclasses
import html
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.inference.bootstrap import bootstrap
from wheelvec.inference.needs import one_of, whole
from wheelvec.inference.units import OF_PORTFOLIOS, OF_WHEELS
from wheelvec.inference.words import wrapped
from wheelvec.market.market import Market
from wheelvec.model.account import Account
from wheelvec.model.columns import ACCOUNT_PREFIX
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, InsufficientDataError, cut
from wheelvec.model.sections import FILL_MODES
from wheelvec.run.backtest import backtest
from wheelvec.run.results.portfolio import Portfolio
from wheelvec.run.results.result import Result
from wheelvec.run.results.shown import warnings_html, warnings_text
from wheelvec.run.results.warnings import Warnings
from wheelvec.run.simulate import simulate
from wheelvec.run.sweep import sweep

LEVEL = 0.90  # of the ranges that are drawn
STARTS = 21  # sessions, a month, of a schedule that enters on each
OF_ACCOUNTS = tuple(ACCOUNT_PREFIX + name for name in OF_PORTFOLIOS)
# what a figure is if nothing is gained; those that are missing have no such value
NEUTRAL = {
    **dict.fromkeys(("avg_wheel_roc", "total_pnl"), 0.0),
    **dict.fromkeys(("account_sharpe", "account_sortino", "account_cagr"), 0.0),
    "profit_factor": 1.0,
}
SCHEMA = {
    "kind": pl.String,
    "figure": pl.String,
    "low": pl.Float64,
    "estimate": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "what": pl.String,
}


class Bands(NamedTuple):
    """Ranges of one figure, each over one thing that might have been otherwise.

    `bands` makes one; `wv.plots.bands(found.frame)` draws it.

    Attributes:
        figure: its name, as in `Sweep.frame`.
        estimate: of the configuration as it is.
        frame: kind, figure, low, estimate, high, n (how many figures the range is over) and what
            (what was varied; of a range that is not known, what it needs and what there is).
        widest: the kind with the widest range of those that are known; None if none has a width.
        warnings: of the configuration's run: odd facts of the data that every range rests on.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> found = wv.bands(market, config, seeds=8)
        >>> found.frame["kind"].to_list()
        ['fills', 'seeds', 'start', 'market']
        >>> found.frame.filter(kind="market")["what"][0]
        'bootstrap needs at least 30 entry sessions: there are 4'
    """

    figure: str
    estimate: float
    frame: pl.DataFrame
    widest: str | None
    warnings: Warnings = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> sorted(wv.bands(market, config, seeds=8).to_dict())
            ['bands', 'estimate', 'figure', 'says', 'warnings', 'widest']
        """
        return {
            "figure": self.figure,
            "estimate": self.estimate,
            "widest": self.widest,
            "says": self.says,
            "bands": self.frame.to_dicts(),
            "warnings": [dataclasses.asdict(warning) for warning in self.warnings],
        }

    @property
    def says(self) -> list[str]:
        """The ranges in sentences.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> wv.bands(market, config, seeds=8).says[-1]
            'Each range varies one thing alone; what they are together is not computed.'
        """
        known = _known(self.frame)
        missing = self.frame.filter(pl.col("low").is_null())["kind"].to_list()
        of_known = " of those that are known" if missing else ""
        found = []
        if self.widest is not None:
            (first, low, high, width), *rest = known.select("kind", "low", "high", "width").rows()
            found.append(f"Widest{of_known}: {first}, {low:,.4g} to {high:,.4g}, {width:,.3g} wide")
            others = ", ".join(f"{kind} {width:,.3g}" for kind, *_, width in rest)
            found[-1] += f"; then {others}." if others else "."
        neutral = NEUTRAL.get(self.figure)
        if neutral is not None and known.height:
            within = known.filter((pl.col("low") <= neutral) & (pl.col("high") >= neutral))
            kinds = ", ".join(within["kind"].to_list()) or "none of them"
            found.append(
                f"{neutral:g}, which is no gain (stock or bills may still earn more), lies in the "
                f"range of: {kinds}."
            )
        if missing:
            many = "they" if len(missing) > 1 else "it"
            found.append(f"Not known: {', '.join(missing)}; {many} may be the widest.")
        together = "Each range varies one thing alone; what they are together is not computed."
        return [*found, together]

    def __str__(self) -> str:
        lines = [f"{self.figure} of the configuration as it is: {self.estimate:,.4g}", ""]
        lines.append(f"  {'':<8}{'low':>12}{'high':>12}{'width':>12}{'n':>9}")
        for kind, low, high, n, width in (
            _known(self.frame).select("kind", "low", "high", "n", "width").rows()
        ):
            lines.append(f"  {kind:<8}{low:>12,.4g}{high:>12,.4g}{width:>12,.3g}{n:>9,}")
        for kind, what in self.frame.filter(pl.col("low").is_null()).select("kind", "what").rows():
            lines += wrapped(f"{kind}: not known: {what}", "  ", "  ")
        lines += ["", *(line for each in self.says for line in wrapped(each, hanging="  ")), ""]
        for kind, what in self.frame.drop_nulls("low").select("kind", "what").rows():
            lines += wrapped(f"{kind}: {what}", "  ", "  ")
        if self.warnings:
            lines += ["", *warnings_text(self.warnings)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        odd = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"<Bands of {self.figure}: {self.estimate:.6g}, widest: {self.widest}{odd}>"

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{html.escape(each)}</p>" for each in self.says)
        return self.frame._repr_html_() + said + warnings_html(self.warnings)


def _known(frame: pl.DataFrame) -> pl.DataFrame:
    """The ranges that are known, the widest first."""
    width = (pl.col("high") - pl.col("low")).alias("width")
    known = frame.drop_nulls("low").with_columns(width)
    return known.sort("width", descending=True, maintain_order=True)


def _widest(frame: pl.DataFrame) -> str | None:
    """The kind with the widest range; None if none has a width."""
    wide = _known(frame).filter(pl.col("width") > 0.0)
    return str(wide["kind"][0]) if wide.height else None


def bands(
    market: Market,
    config: Config | None = None,
    *,
    account: Account | None = None,
    figure: str | None = None,
    seeds: int = 32,
    when: Any = None,
) -> Bands:
    """The sensitivity of a figure: its range over each thing that might have been otherwise.

    Each range varies one thing and keeps the rest of the configuration, also its fill seed:

        fills     the four fill modes, optimistic to natural: least to greatest
        seeds     the seeds of the fills, 0 to seeds - 1: 5th to 95th percentile
        start     schedule.offset: each of `every` phases, least to greatest; of a schedule that
                  enters on every session 0 to 20 of them later, at most a quarter: 5th to 95th
                  percentile
        choice    under an account: which wheels it takes, order "random" over `seeds` seeds: 5th to
                  95th percentile
        market    the bootstrap of what happened, in blocks: an interval of 90% (`bootstrap`)

    The widest says what the figure rests on. A range is of what was tried here: the market's holds
    nothing that did not happen in the sample, and none of them says what a choice among many
    configurations adds (`verdict`).

    Args:
        market: the tables.
        config: the configuration; `Config()` if None.
        account: an account; the figure is then one of it, and `choice` is among the ranges.
        figure: "avg_wheel_roc" (the default), "total_pnl", "win_rate", "profit_factor" or
            "roc_p05"; under an account "account_cagr" (the default), "account_sharpe",
            "account_sortino" or "account_max_drawdown"; as in `Sweep.frame`.
        seeds: how many seeds, at least 2.
        when: a signal, as in `backtest`.

    Returns:
        A `Bands`: `frame`, `widest`, `says` in words, and the `warnings` of the run.

    Raises:
        InsufficientDataError: if the figure of the configuration is not defined.
        InputError: for an invalid argument.
        ConfigError: if the configuration cannot be run on this market.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> found = wv.bands(market, config, figure="total_pnl", seeds=8)
        >>> low, high = found.frame.filter(kind="fills").select("low", "high").row(0)
        >>> low <= found.estimate <= high
        True
    """
    config = Config() if config is None else config
    if account is not None and not isinstance(account, Account):
        raise InputError(f"account is {cut(account)}: expected a wheelvec.Account")
    allowed = OF_WHEELS if account is None else OF_ACCOUNTS
    figure = figure or ("avg_wheel_roc" if account is None else "account_cagr")
    one_of("figure", figure, allowed)
    seeds = whole("seeds", seeds, 2, 10_000)
    result = backtest(market, config, when=when)
    held = result if account is None else simulate(result, account)
    estimate = _estimate(held, figure)
    around = _Around(market, config, account, when, figure)
    rows = [_fills(around), _seeds(around, seeds), _start(around, result)]
    rows += [] if account is None else [_choice(around, account, seeds)]
    rows.append(_market(held, figure))
    found = [(kind, figure, low, estimate, high, n, what) for kind, low, high, n, what in rows]
    frame = pl.DataFrame(found, schema=SCHEMA, orient="row")
    return Bands(figure, estimate, frame, _widest(frame), result.warnings)


class _Around(NamedTuple):
    """One configuration, of which single fields change."""

    market: Market
    config: Config
    account: Account | None
    when: Any
    figure: str

    def varied(self, field: str, values: Any, account: Account | None = None) -> Any:
        """(values,) the figure under each value of one field, NaN where it is not defined."""
        grid = {field: list(values)}
        used = account or self.account
        swept = sweep(self.market, self.config, grid, when=self.when, account=used)
        return swept.frame[self.figure].cast(pl.Float64).to_numpy()


_Row = tuple[str, float | None, float | None, int, str]  # kind, low, high, n, what


def _estimate(held: Result | Portfolio, figure: str) -> float:
    """The figure of the configuration as it is."""
    if isinstance(held, Portfolio):
        found = held.metrics()[figure.removeprefix(ACCOUNT_PREFIX)]
    else:
        its = _OF_RESULTS.get(figure)
        found = held.summary()[figure] if its is None else its(held)
    if found is None:
        raise InsufficientDataError(f"bands needs a figure that is defined: {figure} is not")
    return float(found)


def _profit_factor(result: Result) -> float | None:
    pnl = result.wheels.filter("in_summary")["pnl_marked"]
    lost = float(pnl.filter(pnl < 0.0).sum())
    return float(pnl.filter(pnl > 0.0).sum()) / -lost if lost else None


def _low_roc(result: Result) -> float | None:
    wheels = result.wheels.filter("in_summary")
    roc = 100.0 * wheels["pnl_marked"] / wheels["initial_capital"]
    return None if roc.is_empty() else float(np.percentile(roc.to_numpy(), 5))


# figures of a sweep that a summary does not have
_OF_RESULTS: dict[str, Callable[[Result], Any]] = {
    "profit_factor": _profit_factor,
    "roc_p05": _low_roc,
}


def _fills(around: _Around) -> _Row:
    found = around.varied("fills.fill_mode", FILL_MODES)
    each = ", ".join(
        f"{mode} {value:,.4g}"
        for mode, value in zip(FILL_MODES, found, strict=True)
        if value == value
    )
    low, high, n = _ends(found, 0.0, 100.0)
    return "fills", low, high, n, f"fill modes, least to greatest: {each}"


def _seeds(around: _Around, seeds: int) -> _Row:
    if not around.config.fills.use_probabilistic_exit_fills:
        own = around.varied("fills.execution_seed", [around.config.fills.execution_seed])
        said = "every first touch fills, nothing is drawn: an assumption, and no evidence"
        return "seeds", *_ends(own, 0.0, 100.0), said
    found = around.varied("fills.execution_seed", range(seeds))
    said = f"seeds 0 to {seeds - 1} of the fills, {_SHARE}"
    return "seeds", *_drawn(found), said


def _start(around: _Around, result: Result) -> _Row:
    schedule = around.config.schedule
    if schedule.every > 1:
        many = schedule.every
        found = around.varied("schedule.offset", range(schedule.offset, schedule.offset + many))
        said = f"the {many} phases of entries on one session of {many}, least to greatest"
        return "start", *_ends(found, 0.0, 100.0), said
    # the first session with a wheel is the start, and most entries stay
    session = result.diagnostics["session"].unique().sort()
    first, last = session.search_sorted(result.wheels["entry_date"].unique().sort().gather([0, -1]))
    many = max(min(STARTS, (last + 1 - first) // 4), 1)
    begins = schedule.offset + first
    found = around.varied("schedule.offset", range(begins, begins + many))
    said = f"entries from 0 to {many - 1} sessions later on, that many fewer, {_SHARE}"
    return "start", *_drawn(found), said


def _choice(around: _Around, account: Account, seeds: int) -> _Row:
    found = around.varied("account.seed", range(seeds), account.replace(order="random"))
    said = f"order 'random' of the wheels of a session, seeds 0 to {seeds - 1}, {_SHARE}"
    return "choice", *_drawn(found), said


def _market(held: Result | Portfolio, figure: str) -> _Row:
    try:
        found = bootstrap(held, figure.removeprefix(ACCOUNT_PREFIX), level=LEVEL)
    except InsufficientDataError as refusal:
        return "market", None, None, 0, str(refusal)
    unit = "sessions" if isinstance(held, Portfolio) else "entry sessions"
    said = f"{found.units} {unit} resampled in blocks of {found.block:.1f} ({found.why}), {_LEVEL}"
    return "market", found.low, found.high, found.n, said


_LEVEL = f"{LEVEL:.0%}"
_SHARE = f"{50 * (1 - LEVEL):.0f}th to {50 * (1 + LEVEL):.0f}th percentile"


def _drawn(found: Any) -> tuple[float | None, float | None, int]:
    return _ends(found, 50.0 * (1.0 - LEVEL), 50.0 * (1.0 + LEVEL))


def _ends(found: Any, low: float, high: float) -> tuple[float | None, float | None, int]:
    """Two percentiles of the figures that are defined, and their number."""
    known = found[~np.isnan(found)]
    if not known.size:
        return None, None, 0
    return float(np.percentile(known, low)), float(np.percentile(known, high)), int(known.size)
