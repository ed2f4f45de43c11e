"""`walk_forward`: what would have been earned by choosing on the past, again and again."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference.figures import Sums
from wheelvec.inference.months import monthly_of, whole_months
from wheelvec.inference.needs import CONFIGURATIONS, MONTHS, at_least, one_of, whole
from wheelvec.inference.units import OF_WHEELS, Launched, launched, wheel_statistic
from wheelvec.model.errors import InputError, InsufficientDataError, cut
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]

FIGURES = tuple(name for name in OF_WHEELS if name != "roc_p05")  # of sums over entry sessions


class WalkForward(NamedTuple):
    """The out-of-sample figures of choices on the past.

    Attributes:
        windows: one row per choice: train_start, train_end (the last day of entries that count: the
            wheels of later ones might still be open), test_start, test_end, row (chosen; null if
            none traded), in_sample and out_of_sample (the figure; null without a wheel), and
            rank: of the chosen among all that traded out of sample, 1 is the best.
        curve: one row per month out of sample: month, row, and the returns of `chosen`, `best` (the
            best configuration in hindsight) and `median` (the one in the middle), P&L over the
            capital of the wheels entered; and their running sums, `chosen_sum`, `best_sum`,
            `median_sum`.
        by: the figure of the choice.
        chosen: that figure of the chosen over all months out of sample.
        best: that of the best configuration in hindsight.
        median: that of the one in the middle.
        best_row: the row of the best.
        median_row: the row of the one in the middle.

    Example:
        >>> from wheelvec.inference.walk_forward import WalkForward
        >>> WalkForward._fields[:3]  # docs/luck.md shows one
        ('windows', 'curve', 'by')
    """

    windows: pl.DataFrame
    curve: pl.DataFrame
    by: str
    chosen: float
    best: float
    median: float
    best_row: int
    median_row: int


def walk_forward(
    sweep: Sweep, by: str = "avg_wheel_roc", *, train: int = 12, test: int = 3
) -> WalkForward:
    """Choose the best configuration of a window, trade it in the next one, roll on.

    Windows are whole months of entry. A wheel that might still be open when the choice is made is
    not known to it: entries within `Sweep.longest_wheel` days before the test window are left out
    of the choice (purged), whatever became of them. Wheels entered in a test window are its own,
    also if they settle later. Seeds are averaged. The best and the median configuration in
    hindsight are what luck and no choice would have earned.

    Args:
        sweep: of at least 10 configurations over at least 24 whole months.
        by: the figure to choose by: "avg_wheel_roc", "total_pnl", "win_rate" or "profit_factor".
        train: months to choose on.
        test: months to trade the choice.

    Returns:
        A `WalkForward`: `windows`, `curve`, and the figure of the chosen, the best and the median.

    Raises:
        InsufficientDataError: for fewer than 24 months, 10 configurations that trade, or months
            for two windows to trade in, or a training window that the purge leaves empty.
        InputError: for an invalid argument, or a sweep without its market.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
        >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
        >>> swept = wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]})
        >>> wv.walk_forward(swept)
        Traceback (most recent call last):
        wheelvec.model.errors.InsufficientDataError: walk_forward needs at least 24 whole months
            whose puts all settle: there are 0
    """
    one_of("figure", by, FIGURES)
    train, test = whole("train", train, 1, 600), whole("test", test, 1, 600)
    if not isinstance(sweep, Sweep):
        raise InputError(f"sweep is {cut(sweep)}: expected a wheelvec.Sweep")
    months, of = whole_months(sweep, "walk_forward"), launched(sweep, "walk_forward")
    months = months[months >= of.day[0].astype("datetime64[M]")]  # before it no row traded
    at_least("walk_forward", MONTHS, months.size, "months from the first wheel on")
    at_least("walk_forward", CONFIGURATIONS, of.columns, "configurations")
    at_least("walk_forward", train + 2 * test, months.size, "months for two windows to trade in")
    statistic = wheel_statistic(of, by)
    assert isinstance(statistic, Sums)
    rolled = _rolled(statistic, of, months, train, test, sweep.longest_wheel)
    return _compared(statistic, of, rolled, by)


class Window(NamedTuple):
    """One choice and what it is traded on.

    Attributes:
        train: (units,) whether an entry session is chosen on.
        test: (units,) whether an entry session is traded.
        months: (test months,) datetime64[M].
        column: the configuration chosen, -1 for none.
        days: train_start, train_end, test_start and test_end, datetime64[D].
        in_sample: (columns,) the figure in the training window, NaN without a wheel.
    """

    train: Array
    test: Array
    months: Array
    column: int
    days: tuple[Any, Any, Any, Any]
    in_sample: Array


def _rolled(
    statistic: Sums, of: Launched, months: Array, train: int, test: int, longest: int
) -> list[Window]:
    """Every window, in order of time."""
    month = of.day.astype("datetime64[M]")
    windows = []
    for start in range(train, months.size, test):
        traded = months[start : start + test]
        begin = traded[0].astype("datetime64[D]")
        known = begin - np.timedelta64(longest + 1, "D")
        inside = (month >= months[start - train]) & (of.day <= known)
        if not inside.any():
            raise InsufficientDataError(
                f"walk_forward needs entry sessions in {train} months, beside the {longest} days "
                f"before {begin} whose wheels may still be open: there are 0"
            )
        figure = statistic.over(inside)
        column = -1 if np.isnan(figure).all() else int(np.nanargmax(figure))
        test_units = (month >= traded[0]) & (month <= traded[-1])
        end = (traded[-1] + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
        first = months[start - train].astype("datetime64[D]")
        days = (first, known, begin, end)
        windows.append(Window(inside, test_units, traded, column, days, figure))
    return windows


def _compared(statistic: Sums, of: Launched, windows: list[Window], by: str) -> WalkForward:
    """The choices beside the best and the median in hindsight."""
    units = np.any([window.test for window in windows], axis=0)
    months = np.concatenate([window.months for window in windows])
    hindsight = statistic.over(units)
    ranked = np.flatnonzero(~np.isnan(hindsight))
    at_least("walk_forward", CONFIGURATIONS, ranked.size, "configurations that trade out of sample")
    ranked = ranked[hindsight[ranked].argsort(kind="stable")]
    best, median = int(ranked[-1]), int(ranked[(ranked.size - 1) // 2])
    picked = np.concatenate([[window.column] * window.months.size for window in windows])
    _, returns = monthly_of(of, months, units)
    at = np.arange(months.size)
    curves = {
        "chosen": np.where(picked >= 0, returns[at, picked], 0.0),
        "best": returns[:, best],
        "median": returns[:, median],
    }
    rows = np.asarray(of.rows)
    curve = pl.DataFrame(
        {
            "month": months.astype("datetime64[D]"),
            "row": pl.Series(_rows(rows, picked)),
            **curves,
            **{f"{name}_sum": values.cumsum() for name, values in curves.items()},
        }
    )
    chosen = statistic.over_choices([(window.test, window.column) for window in windows])
    return WalkForward(
        _frame(statistic, windows, rows),
        curve,
        by,
        chosen,
        float(hindsight[best]),
        float(hindsight[median]),
        int(rows[best]),
        int(rows[median]),
    )


def _rows(rows: Array, columns: Array) -> list[int | None]:
    return [None if column < 0 else int(rows[column]) for column in columns.tolist()]


def _frame(statistic: Sums, windows: list[Window], rows: Array) -> pl.DataFrame:
    """The windows as a frame."""
    names = ("train_start", "train_end", "test_start", "test_end")
    found = []
    for window in windows:
        out = statistic.over(window.test)
        its = np.nan if window.column < 0 else float(out[window.column])
        inside = np.nan if window.column < 0 else float(window.in_sample[window.column])
        rank = None if np.isnan(its) else 1 + int(np.count_nonzero(out > its))
        days = {name: day.item() for name, day in zip(names, window.days, strict=True)}
        row = _rows(rows, np.array([window.column]))[0]
        found.append(days | {"row": row, "in_sample": inside, "out_of_sample": its, "rank": rank})
    schema = dict.fromkeys(names, pl.Date) | {"row": pl.Int64, "in_sample": pl.Float64}
    schema |= {"out_of_sample": pl.Float64, "rank": pl.Int64}
    figures = pl.col("in_sample", "out_of_sample").fill_nan(None)
    return pl.DataFrame(found, schema=schema).with_columns(figures)
