"""The figures of rules.md, section 10.

Wheels are summed by month of entry and underlying. The months of an underlying are folded into its
years, the years into the underlying, and the underlyings into the figures, each in order, with
pairwise merged moments (Chan, Golub and LeVeque 1983). The figures are the same to the bit however
the work was divided by underlyings and years, and the records of one month at a time are enough.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import polars as pl

from wheelvec.kernels.exits import ROUNDING
from wheelvec.kernels.moments import run_moments
from wheelvec.kernels.quotes import TICK_SLACK
from wheelvec.model.config import Config
from wheelvec.stages.arrays import Array, column, quotient

Figure = float | int | None

# The columns of RECORDS that `summary` reads: they fit in memory where all of a long result may
# not.
READ = (
    "wheel_id",
    "underlying",
    "phase",
    "entry_date",
    "initial_capital",
    "premium",
    "exit_price",
    "exit_reason",
    "exit_pct",
    "contracts",
    "sessions_without_bar",
    "pnl",
    "pnl_marked",
    "total_days",
    "shares_held",
    "csp_exit_reason",
    "cc_exit_reason",
    "end_reason",
    "censored",
    "carried",
)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, sum, mean, sum of squared deviations from the mean, least and greatest of values."""

    count: int = 0
    total: float = 0.0
    mean: float = math.nan
    spread: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf

    def merged(self, other: "Moments") -> "Moments":
        """The moments of both together."""
        if not self.count or not other.count:
            return self if other.count == 0 else other
        count, gap = self.count + other.count, other.mean - self.mean
        return Moments(
            count,
            self.total + other.total,
            self.mean + gap * other.count / count,
            self.spread + other.spread + gap * gap * self.count * other.count / count,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
        )


class Fold:
    """The moments of one column of wheels that are added month by month.

    Args:
        name: of the column; its nulls are left out.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # of each underlying its last year, the moments of that year, and those of the years before
        self._held: dict[str, tuple[int, Moments, Moments]] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Add wheels of months after those added before.

        Args:
            rows: wheels in their order, with `month`, `underlying` and the column.
        """
        known = rows.filter(pl.col(self._name).is_not_null())
        known = known.sort("month", "underlying", maintain_order=True)
        slices = known.group_by("month", "underlying", maintain_order=True).len()
        starts = np.concatenate([[0], slices["len"].to_numpy().cumsum()]).astype(np.int64)
        out = np.empty((slices.height, 6))
        run_moments(column(known, self._name, np.float64), starts, out)
        for (month, symbol, _), row in zip(slices.iter_rows(), out.tolist(), strict=True):
            year, moments, before = self._held.get(symbol, (month.year, Moments(), Moments()))
            if year != month.year:
                moments, before = Moments(), before.merged(moments)
            moments = moments.merged(Moments(int(row[0]), *row[1:]))
            self._held[symbol] = month.year, moments, before

    def moments(self) -> Moments:
        """The moments of all wheels."""
        total = Moments()
        for symbol in sorted(self._held):
            _, last, before = self._held[symbol]
            total = total.merged(before.merged(last))
        return total


def in_summary() -> pl.Expr:
    """Whether a wheel is in the summary: it is not censored and has a pnl_marked.

    Under v5 no wheel is censored.
    """
    return pl.col("pnl_marked").is_not_null() & ~pl.col("censored")


def summary(records: pl.DataFrame, config: Config) -> dict[str, Figure]:
    """The summary of a backtest's records: figures by name, None where no wheel has a value.

    `roc` and `win_rate` are percent, money is dollars. The figures are over the wheels that are not
    censored and have a pnl_marked (v5: over all); the counts from open_wheels on, over all wheels
    launched.

    Args:
        records: at least the columns READ.
        config: the rules.
    """
    sums = Sums(config)
    sums._add_months(records)
    return sums.figures()


class Sums:
    """The summary of records that are added in batches.

    Args:
        config: the rules.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folds = [Fold(name) for name in ("pnl_marked", "roc_marked", "initial_capital")]
        self._marked, self._lost = Fold("pnl_marked"), Fold("lost")
        self._counts: dict[str, int] = {}
        self._roc: list[Array] = []
        self._rest: pl.DataFrame | None = (
            None  # records of the last month, of which more may follow
        )

    def add(self, records: pl.DataFrame) -> None:
        """Add records of whole wheels, in the order of the records after those added before."""
        records = records.select(READ)
        if self._rest is not None:
            records = pl.concat([self._rest, records])
        totals = np.flatnonzero((records["phase"] == "total").to_numpy())
        month = records["entry_date"].dt.truncate("1mo").to_numpy()[totals]
        # the first wheel of the last month
        last = np.searchsorted(month, month[-1]) if month.size else 0
        cut = int(totals[last - 1]) + 1 if last else 0
        self._rest = records[cut:]
        if cut:
            self._add_months(records[:cut])

    def figures(self) -> dict[str, Figure]:
        """The figures of all records added."""
        if self._rest is not None:
            self._add_months(self._rest)
            self._rest = None
        counts = {name: self._counts.get(name, 0) for name in (*_WHEELS, *_LEGS)}
        counted = {name: counts[name] for name in _WHEELS}
        marked = {"marked_pnl": self._marked.moments().total}
        rest = {name: counted.pop(name) for name in _AFTER_MARKED}
        legs = {name: counts[name] for name in _LEGS}
        return self._money() | counted | marked | rest | legs | self._worst()

    def _add_months(self, records: pl.DataFrame) -> None:
        wheels = records.filter(pl.col("phase") == "total").with_columns(
            month=pl.col("entry_date").dt.truncate("1mo"), number=pl.int_range(pl.len())
        )
        wheels = wheels.with_columns(
            roc_marked=quotient(wheels, "pnl_marked", "initial_capital", 100.0)
        )
        inside, outside = wheels.filter(in_summary()), wheels.filter(~in_summary())
        marked = inside.filter(pl.col("pnl").is_null())
        for fold in self._folds:
            fold.add(inside)
        self._marked.add(marked)
        self._lost.add(_lost(pl.concat([outside, marked]), records))
        self._roc.append(column(inside, "roc_marked", np.float64))
        for name, count in (
            _counts(wheels, inside, marked) | _leg_counts(records, self._config)
        ).items():
            self._counts[name] = self._counts.get(name, 0) + count

    def _money(self) -> dict[str, Figure]:
        pnl, roc, capital = (fold.moments() for fold in self._folds)
        some = pnl.count > 0
        wins, days = self._counts.get("wins", 0), self._counts.get("days", 0)
        resolved = self._counts.get("resolved", 0)
        return {
            "total_wheels": pnl.count,
            "total_pnl": pnl.total if some else None,
            "avg_wheel_roc": roc.mean if some else None,
            "median_wheel_roc": float(np.median(np.concatenate(self._roc))) if some else None,
            "std_wheel_roc": math.sqrt(roc.spread / (roc.count - 1)) if roc.count > 1 else None,
            "max_wheel_roc": roc.greatest if some else None,
            "min_wheel_roc": roc.least if some else None,
            "max_drawdown_proxy": pnl.least if some else None,
            "win_rate": 100.0 * wins / pnl.count if some else None,
            "avg_days_held": days / resolved if resolved else None,
            "total_capital_deployed": capital.total if some else None,
        }

    def _worst(self) -> dict[str, Figure]:
        """The total if the shares of every wheel that is not resolved were worth nothing.

        Every resolved wheel counts with its P&L, censored or not.
        """
        if not self._counts.get("launched", 0):
            return {"total_pnl_worst": None}
        pnl = self._folds[0].moments()
        return {"total_pnl_worst": (pnl.total if pnl.count else 0.0) + self._lost.moments().total}


# Counts of all wheels launched, and of their legs, in the order of the figures.
_AFTER_MARKED = ("held_wheels", "carried_wheels", "suspected_wheels")
_WHEELS = ("open_wheels", "no_data_wheels", "censored_wheels", "marked_wheels", *_AFTER_MARKED)
_LEGS = ("targets_above_limit", "stops_inside_stop", "sessions_without_bar")


def _counts(wheels: pl.DataFrame, inside: pl.DataFrame, marked: pl.DataFrame) -> dict[str, int]:
    unresolved = wheels.filter(pl.col("end_reason") == "unresolved")
    is_open = (pl.col("csp_exit_reason") == "open") | (
        pl.col("cc_exit_reason") == "open"
    ).fill_null(False)
    # a wheel with shares has a mark unless they are held across a suspected split
    across = (pl.col("csp_exit_reason") == "assigned") & pl.col("pnl_marked").is_null()
    suspected = (pl.col("csp_exit_reason") == "suspected_split") | across
    days = inside["total_days"].drop_nulls()
    return {
        "launched": wheels.height,
        "wins": inside.filter(pl.col("pnl_marked") > 0).height,
        "days": int(days.sum()),
        "resolved": days.len(),
        "open_wheels": unresolved.filter(is_open).height,
        "no_data_wheels": unresolved.filter(~is_open).height,
        "censored_wheels": wheels.filter("censored").height,
        "marked_wheels": marked.height,
        "held_wheels": inside.filter(pl.col("shares_held") > 0).height,
        "carried_wheels": inside.filter("carried").height,
        "suspected_wheels": unresolved.filter(suspected).height,
    }


def _leg_counts(records: pl.DataFrame, config: Config) -> dict[str, int]:
    legs = records.filter(pl.col("phase") != "total")
    paid, price, pct = (
        column(legs, name, np.float64) for name in ("exit_price", "premium", "exit_pct")
    )
    shares = 100.0 * column(legs, "contracts", np.float64)
    paid, price, ticks = paid / shares, price / shares, config.ticks
    put, call = (rules.stop_loss_multiplier or np.nan for rules in (config.put, config.call))
    stop = np.where((legs["phase"] == "csp").to_numpy(), put, call)
    reason = legs["exit_reason"]
    above = (reason == "profit_target").to_numpy() & (
        paid > on_tick(price * pct, ticks, np.floor) * (1 + ROUNDING)
    )
    inside = (reason == "stop_loss").to_numpy() & (
        paid < on_tick(price * stop, ticks, np.ceil) * (1 - ROUNDING)
    )
    return {
        "targets_above_limit": int(above.sum()),
        "stops_inside_stop": int(inside.sum()),
        "sessions_without_bar": int(legs["sessions_without_bar"].sum()),
    }


def on_tick(price: Array, ticks: float, to: Any) -> Array:
    """Prices rounded to ticks.

    Args:
        price: (n,) dollars.
        ticks: to the dollar; 0: prices stay as they are.
        to: np.floor or np.ceil.
    """
    slack = TICK_SLACK if to is np.floor else -TICK_SLACK
    return to(price * ticks + slack) / ticks if ticks else price


def _lost(left: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Wheels that are marked or not in the summary, in order, with `lost`, dollars.

    `total_pnl_worst` is `total_pnl` and the sum of `lost`.
    """
    puts = records.filter(pl.col("phase") == "csp").select("wheel_id", put_premium="premium")
    nothing = pl.col("put_premium") - pl.col("initial_capital")
    marked = -(pl.col("pnl_marked") - nothing)
    counted = pl.col("pnl_marked").is_not_null() & ~pl.col("censored")
    lost = pl.when(counted).then(marked).otherwise(pl.coalesce("pnl", nothing))
    joined = left.join(puts, on="wheel_id", maintain_order="left")
    return joined.with_columns(lost=lost).sort("number")
