"""The figures of rules.md, section 10.

Wheels are summed slice by slice (month of entry and underlying) and the slices folded in calendar,
then symbol order, with pairwise merged moments (Chan, Golub and LeVeque 1983): the same figures to
the bit however the work was cut.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import polars as pl

from wheelvec.kernels.moments import run_moments
from wheelvec.kernels.quotes import TICK_SLACK
from wheelvec.model.config import Config
from wheelvec.stages.arrays import Array, column, quotient

Figure = float | int | None
# An exit at its limit is a product of two numbers taken in another order: alike to a few units of
# rounding.
ROUNDING = 1e-9


# The columns of RECORDS that `summary` reads: of a long result they fit in memory where the rest
# need not.
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
    "sessions_without_bar",
    "pnl",
    "pnl_marked",
    "total_days",
    "shares_held",
    "csp_exit_reason",
    "cc_exit_reason",
    "end_reason",
    "censored",
)


@dataclasses.dataclass(frozen=True)
class Moments:
    """Count, sum, mean, sum of squared deviations from the mean, least and greatest of some values."""

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


def folded(rows: pl.DataFrame, name: str) -> Moments:
    """The moments of one column, slice by slice; nulls are left out. `rows` has month and
    underlying, in wheel order.
    """
    known = rows.filter(pl.col(name).is_not_null()).sort("month", "underlying", maintain_order=True)
    slices = known.group_by("month", "underlying", maintain_order=True).len()
    starts = np.concatenate([[0], slices["len"].to_numpy().cumsum()]).astype(np.int64)
    out = np.empty((slices.height, 6))
    run_moments(column(known, name, np.float64), starts, out)
    moments = Moments()
    for row in out.tolist():
        moments = moments.merged(Moments(int(row[0]), *row[1:]))
    return moments


def in_summary() -> pl.Expr:
    """True for the totals that the figures are over: not censored and with a pnl_marked (under v5
    none is censored).
    """
    return pl.col("pnl_marked").is_not_null() & ~pl.col("censored")


def summary(records: pl.DataFrame, config: Config) -> dict[str, Figure]:
    """The summary of a backtest's records (the columns READ): name -> figure, None where there is
    nothing to sum.

    `roc` and `win_rate` are percent, money is dollars. The figures are over the wheels that are not
    censored and have a pnl_marked (v5: over all); the counts from open_wheels on, over all wheels
    launched.
    """
    wheels = records.filter(pl.col("phase") == "total").with_columns(
        month=pl.col("entry_date").dt.truncate("1mo"), number=pl.int_range(pl.len())
    )
    wheels = wheels.with_columns(
        roc_marked=quotient(wheels, "pnl_marked", "initial_capital", 100.0)
    )
    inside, outside = wheels.filter(in_summary()), wheels.filter(~in_summary())
    figures = _figures(inside)
    worst = _worst(wheels, inside, outside, records, figures["total_pnl"])
    return figures | _counts(wheels, inside) | _leg_counts(records, config) | worst


def _figures(wheels: pl.DataFrame) -> dict[str, Figure]:
    pnl, roc = folded(wheels, "pnl_marked"), folded(wheels, "roc_marked")
    days, capital = wheels["total_days"].drop_nulls(), folded(wheels, "initial_capital")
    some = pnl.count > 0
    wins = wheels.filter(pl.col("pnl_marked") > 0).height
    return {
        "total_wheels": pnl.count,
        "total_pnl": pnl.total if some else None,
        "avg_wheel_roc": roc.mean if some else None,
        "median_wheel_roc": float(np.median(column(wheels, "roc_marked", np.float64)))
        if some
        else None,
        "std_wheel_roc": math.sqrt(roc.spread / (roc.count - 1)) if roc.count > 1 else None,
        "max_wheel_roc": roc.greatest if some else None,
        "min_wheel_roc": roc.least if some else None,
        "max_drawdown_proxy": pnl.least if some else None,
        "win_rate": 100.0 * wins / pnl.count if some else None,
        "avg_days_held": int(days.sum()) / days.len() if days.len() else None,
        "total_capital_deployed": capital.total if some else None,
    }


def _counts(wheels: pl.DataFrame, inside: pl.DataFrame) -> dict[str, Figure]:
    unresolved, marked = (
        wheels.filter(pl.col("end_reason") == "unresolved"),
        inside.filter(pl.col("pnl").is_null()),
    )
    is_open = (pl.col("csp_exit_reason") == "open") | (
        pl.col("cc_exit_reason") == "open"
    ).fill_null(False)
    return {
        "open_wheels": unresolved.filter(is_open).height,
        "no_data_wheels": unresolved.filter(~is_open).height,
        "censored_wheels": wheels.filter("censored").height,
        "marked_wheels": marked.height,
        "marked_pnl": folded(marked, "pnl_marked").total,
        "held_wheels": inside.filter(pl.col("shares_held") == 100).height,
    }


def _leg_counts(records: pl.DataFrame, config: Config) -> dict[str, Figure]:
    legs = records.filter(pl.col("phase") != "total")
    paid, price, pct = (
        column(legs, name, np.float64) for name in ("exit_price", "premium", "exit_pct")
    )
    paid, price, ticks = paid / 100.0, price / 100.0, config.ticks
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
    """Prices on their tick or the next below (`to` is np.floor) or above (np.ceil); `ticks` a
    dollar, 0 leaves them.
    """
    slack = TICK_SLACK if to is np.floor else -TICK_SLACK
    return to(price * ticks + slack) / ticks if ticks else price


def _worst(
    wheels: pl.DataFrame,
    inside: pl.DataFrame,
    outside: pl.DataFrame,
    records: pl.DataFrame,
    total: float | None,
) -> dict[str, Figure]:
    """The total if every wheel that is not resolved had lost its shares' whole value; what is known
    counts, censored or not.
    """
    if not wheels.height:
        return {"total_pnl_worst": None}
    puts = records.filter(pl.col("phase") == "csp").select("wheel_id", put_premium="premium")
    left = pl.concat([outside, inside.filter(pl.col("pnl").is_null())]).join(
        puts, on="wheel_id", maintain_order="left"
    )
    nothing = pl.col("put_premium") - pl.col("initial_capital")
    marked = -(pl.col("pnl_marked") - nothing)
    counted = pl.col("pnl_marked").is_not_null() & ~pl.col("censored")
    lost = left.with_columns(
        lost=pl.when(counted).then(marked).otherwise(pl.coalesce("pnl", nothing))
    )
    return {"total_pnl_worst": (total or 0.0) + folded(lost.sort("number"), "lost").total}
