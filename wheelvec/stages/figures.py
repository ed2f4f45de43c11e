"""Figures of many configurations as a frame: the summary of rules.md (10) and a sweep's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from wheelvec.jit.aligned import aligned
from wheelvec.kernels.accumulate import (
    ABOVE,
    CC,
    CENSORED,
    COUNTS,
    CSP,
    DAYS,
    END,
    HELD,
    INSIDE,
    KNOWN,
    MARKED,
    MISSING,
    OPEN_AFTER,
    PASSED,
    STRANDED,
    SUSPECTED_AFTER,
    WINS,
    Figures,
)
from wheelvec.model.codes import UNRESOLVED_LEGS, EndReason, ExitReason, name_of
from wheelvec.stages.arrays import Array

PERCENTILES = (5, 25, 50, 75, 95)
PUT_REASONS = [reason for reason in ExitReason if reason is not ExitReason.CALLED_AWAY]
CALL_REASONS = [reason for reason in ExitReason if reason is not ExitReason.ASSIGNED]


SUMS = [name for name in Figures._fields if name != "counts"]
NO_WHEEL = [
    {"least": np.inf, "low": np.inf, "high": -np.inf}.get(name, 0.0) for name in SUMS
]  # each of SUMS


def new_counts(n: int) -> Array:
    """Counts of n configurations without a wheel."""
    return aligned((COUNTS, n), np.int64)


def new_sums(n: int) -> list[Array]:
    """(configurations,) each of SUMS, of n configurations without a wheel."""
    return [aligned(n, fill=start) for start in NO_WHEEL]


def new_figures(n: int) -> Figures:
    """Figures of n configurations without a wheel."""
    return Figures(*[*new_sums(n), new_counts(n)])


def order_statistics(values: Array, count: Array) -> Array:
    """Median and percentiles of each configuration's ROC, NaN for a configuration without a wheel.

    Args:
        values: (configurations, columns) ROC in percent, ascending, NaN last.
        count: (configurations,) how many of each row are not NaN.

    Returns:
        (1 + PERCENTILES, configurations) percent.
    """
    return quantiles(lambda row, at: values[row, at], count)


def quantiles(value_of: Callable[[Array, Array], Array], count: Array) -> Array:
    """As `order_statistics`, of values that a function looks up.

    Args:
        value_of: called with (n,) configurations and (n,) positions from 0; returns (n,) the value
            at that position of each configuration's values in ascending order.
        count: (configurations,) how many values each has.
    """
    out = np.full((1 + len(PERCENTILES), count.size), np.nan)
    row = np.flatnonzero(count)
    count = count[row]
    out[0, row] = (value_of(row, (count - 1) // 2) + value_of(row, count // 2)) / 2.0
    for i, percent in enumerate(PERCENTILES, 1):  # linearly between the values, as numpy.percentile
        at = (count - 1) * (percent / 100.0)
        low = np.floor(at).astype(np.int64)
        weight = at - low
        first, second = value_of(row, low), value_of(row, np.minimum(low + 1, count - 1))
        gap = second - first
        out[i, row] = np.where(weight >= 0.5, second - gap * (1.0 - weight), first + gap * weight)
    return out


def figures_frame(figures: Figures, ordered: Array | None, rows: Array) -> pl.DataFrame:
    """The figures of a sweep as a frame, one row a configuration.

    Args:
        figures: sums and counts, by configuration.
        ordered: as `order_statistics` returns them; None leaves them out.
        rows: (rows,) the index in these of the configuration of each row of the frame.
    """
    # column[..., rows] would make a configuration's counts adjacent in memory, and each count would
    # be copied once more below
    taken: list[Any] = [column.take(rows, axis=-1) for column in figures]
    figures = Figures(*taken)
    counts = figures.counts
    median = {} if ordered is None else {"median_wheel_roc": ordered[0][rows]}
    with np.errstate(all="ignore"):
        columns = (
            _money(figures, counts, median)
            | _counts(counts, figures.marked)
            | _worst(figures, counts)
        )
        if ordered is not None:
            columns |= {
                f"roc_p{percent:02d}": ordered[i][rows] for i, percent in enumerate(PERCENTILES, 1)
            }
        columns["profit_factor"] = np.where(
            figures.losses < 0, figures.gains / -figures.losses, np.nan
        )
    puts = {reason: counts[CSP + reason] for reason in PUT_REASONS}
    puts[ExitReason.CORPORATE_ACTION] = puts[ExitReason.CORPORATE_ACTION] + counts[STRANDED]
    columns |= {f"csp_{name_of(reason)}": column for reason, column in puts.items()}
    columns |= {f"cc_{name_of(reason)}": counts[CC + reason] for reason in CALL_REASONS}
    columns |= {f"end_{name_of(reason)}": column for reason, column in _ends(counts).items()}
    return pl.DataFrame(
        [pl.Series(name, column, nan_to_null=True) for name, column in columns.items()]
    )


def _money(figures: Figures, counts: Array, median: dict[str, Any]) -> dict[str, Any]:
    count = counts[KNOWN]
    some = count > 0
    held = count - counts[MARKED]

    def known(column: Array) -> Array:
        return np.where(some, column, np.nan)

    return {
        "total_wheels": count,
        "total_pnl": known(figures.total),
        "avg_wheel_roc": known(figures.mean),
        **median,
        "std_wheel_roc": np.where(count > 1, np.sqrt(figures.spread / (count - 1)), np.nan),
        "max_wheel_roc": known(figures.high),
        "min_wheel_roc": known(figures.low),
        "max_drawdown_proxy": known(figures.least),
        "win_rate": known(100.0 * counts[WINS] / count),
        "avg_days_held": np.where(held > 0, counts[DAYS] / held, np.nan),
        "total_capital_deployed": known(figures.capital),
    }


def _counts(counts: Array, marked: Array) -> dict[str, Any]:
    put_open, put_no_data = counts[CSP + ExitReason.OPEN], counts[CSP + ExitReason.NO_DATA]
    suspected = counts[CSP + ExitReason.SUSPECTED_SPLIT]
    lacking = put_no_data + suspected + counts[STRANDED]
    after = counts[END + EndReason.UNRESOLVED]
    return {
        "open_wheels": put_open + counts[OPEN_AFTER],
        "no_data_wheels": lacking + after - counts[OPEN_AFTER],
        "censored_wheels": counts[CENSORED],
        "marked_wheels": counts[MARKED],
        "marked_pnl": marked,
        "held_wheels": counts[HELD],
        "carried_wheels": counts[PASSED],
        "suspected_wheels": suspected + counts[SUSPECTED_AFTER],
        "targets_above_limit": counts[ABOVE],
        "stops_inside_stop": counts[INSIDE],
        "sessions_without_bar": counts[MISSING],
    }


def launches(counts: Array) -> Array:
    """(configurations,) the wheels launched: each has a put that ended for one reason."""
    return np.asarray(counts[CSP : CSP + len(ExitReason)].sum(axis=0) + counts[STRANDED])


def _worst(figures: Figures, counts: Array) -> dict[str, Any]:
    launched = launches(counts) > 0
    total = np.where(counts[KNOWN] > 0, figures.total, 0.0)
    return {"total_pnl_worst": np.where(launched, total + figures.lost, np.nan)}


def _ends(counts: Array) -> dict[EndReason, Array]:
    ends = {reason: counts[END + reason] for reason in EndReason}
    stopped, bought = counts[CSP + ExitReason.STOP_LOSS], counts[CSP + ExitReason.PROFIT_TARGET]
    held = counts[CSP + ExitReason.MAX_HOLD_DTE] + counts[CSP + ExitReason.CORPORATE_ACTION]
    ends[EndReason.PUT_CLOSED] = stopped + bought + held
    ends[EndReason.PUT_EXPIRED] = counts[CSP + ExitReason.EXPIRED_WORTHLESS]
    lacking = counts[[CSP + reason for reason in UNRESOLVED_LEGS]].sum(axis=0) + counts[STRANDED]
    ends[EndReason.UNRESOLVED] = ends[EndReason.UNRESOLVED] + lacking
    return ends
