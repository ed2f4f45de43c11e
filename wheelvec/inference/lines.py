"""The lines of a verdict: a figure, what it is compared with, and whether it holds.

Each is made of a statistic alone, so that simulations without a market make the same lines.
"""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.inference.needs import MONTHS, at_least
from wheelvec.inference.overfitting import Overfitting
from wheelvec.inference.superior import Superior
from wheelvec.inference.trials import Trials

Array = NDArray[Any]

SURE = 0.95  # the deflated Sharpe ratio, a probability
LEVEL = 0.05  # of tests, and the probability of overfitting (Bailey et al. 2017)
INTERVAL = 0.90
DECIDES = "effective_rank"  # of the numbers of trials
HOLDS, FAILS, UNSAID = "holds", "does not hold", "cannot be said"


class Line(NamedTuple):
    """One line of a verdict.

    Attributes:
        topic: costs, fills, time, selection, stock or data.
        name: of the question.
        figure: the figure in words, with its unit; "" if it cannot be said.
        compared: the condition, in words: the line holds if the figure meets it.
        holds: whether it holds; None: it cannot be said.
        says: the meaning of the answer, or the data that are needed and those there are.
        value: the figure; None if it cannot be said.
        bound: the number that `value` was compared with.

    Example:
        >>> from wheelvec.inference.lines import Line
        >>> Line("time", "bootstrap", "", "above 0", None, "needs 10 blocks").answer
        'cannot be said'
    """

    topic: str
    name: str
    figure: str
    compared: str
    holds: bool | None
    says: str
    value: float | None = None
    bound: float | None = None

    @property
    def answer(self) -> str:
        """The answer in words: holds, does not hold, or cannot be said.

        Example:
            >>> from wheelvec.inference.lines import Line
            >>> Line("costs", "natural fills", "0.2%", "above 0", True, "").answer
            'holds'
        """
        return UNSAID if self.holds is None else HOLDS if self.holds else FAILS


def unsaid(topic: str, name: str, compared: str, why: str) -> Line:
    """A line that cannot be said.

    Args:
        topic: of the line.
        name: of the question.
        compared: the condition, in words.
        why: the data that are needed and those there are.
    """
    return Line(topic, name, "", compared, None, why)


def percent(value: float) -> str:
    """A figure that is in percent.

    Example:
        >>> from wheelvec.inference.lines import percent
        >>> percent(-0.1234)
        '-0.123%'
    """
    return f"{value:,.3f}%"


# ---- costs and fills

NATURAL = "costs", "natural fills", "above 0"
SEEDS = "fills", "fill seeds", "above 0"


def natural_line(natural: float, own: float, mode: str) -> Line:
    """Sold at the bid and bought back at the ask.

    Args:
        natural: the mean ROC in percent, over the seeds.
        own: that of the row's own fill mode.
        mode: the row's own fill mode.
    """
    says = (
        "the row's own fill mode"
        if mode == "natural"
        else f"sold at the bid, bought back at the ask; with {mode} fills {percent(own)}"
    )
    figure = f"mean ROC {percent(natural)}"
    return Line(*NATURAL[:2], figure, NATURAL[2], natural > 0.0, says, natural, 0.0)


def seeds_line(rocs: Array) -> Line:
    """The luck of the fills alone.

    Args:
        rocs: (seeds,) the mean ROC in percent under each.
    """
    low, high = np.percentile(rocs, [5, 95]).tolist()
    figure = f"mean ROC {percent(low)} (5th percentile)"
    says = f"{rocs.size} seeds, mean {percent(float(rocs.mean()))}, 95th percentile {percent(high)}"
    return Line(*SEEDS[:2], figure, SEEDS[2], low > 0.0, says, low, 0.0)


# ---- time

BOOTSTRAP = "time", "bootstrap", "above 0"
HALVES = "time", "halves", "above 0 in both"
YEARS = "time", "worst year", "its mean and that of all other wheels sum to above 0"


def bootstrap_line(estimate: float, low: float, high: float, blocks: str) -> Line:
    """The interval of the mean ROC.

    Args:
        estimate: in percent.
        low: the lower end of the interval of 90%.
        high: the upper end.
        blocks: the resampled blocks, in words.
    """
    figure = f"mean ROC {percent(low)} (lower end of 90%)"
    says = (
        f"{percent(estimate)}, up to {percent(high)}; {blocks}; the choice among many is not in it"
    )
    return Line(*BOOTSTRAP[:2], figure, BOOTSTRAP[2], low > 0.0, says, low, 0.0)


def halves_line(day: Array, roc: Array, wheels: Array) -> Line:
    """Whether both halves of the time earned.

    Args:
        day: (units,) datetime64[D], entry sessions.
        roc: (units,) the sum of the ROC of the wheels of each, percent.
        wheels: (units,) how many.

    Raises:
        InsufficientDataError: for fewer than 24 months.
    """
    at_least("halves", MONTHS, _months(day), "months of entries")
    middle = day.size // 2
    found = [_mean(roc[part], wheels[part]) for part in (slice(middle), slice(middle, None))]
    figure = f"mean ROC {percent(found[0])} and {percent(found[1])}"
    least = min(found)
    says = f"entries before {day[middle]}, and from then on"
    return Line(*HALVES[:2], figure, HALVES[2], least > 0.0, says, least, 0.0)


def worst_year_line(day: Array, roc: Array, wheels: Array) -> Line:
    """Whether the mean wheel of the other years makes good for that of the worst one.

    Args:
        day: (units,) datetime64[D], entry sessions.
        roc: (units,) the sum of the ROC of the wheels of each, percent.
        wheels: (units,) how many.

    Raises:
        InsufficientDataError: for fewer than 24 months.
    """
    at_least("worst year", MONTHS, _months(day), "months of entries")
    year = day.astype("datetime64[Y]")
    traded = [each for each in np.unique(year) if wheels[year == each].sum() > 0.0]
    at_least("worst year", 2, len(traded), "calendar years with wheels")
    means = [_mean(roc[year == each], wheels[year == each]) for each in traded]
    at = int(np.argmin(means))
    others = _mean(roc[year != traded[at]], wheels[year != traded[at]])
    worst = means[at]
    figure = f"mean ROC {percent(worst)} in {traded[at]}"
    lost = sum(mean < 0.0 for mean in means)
    says = (
        f"all other wheels {percent(others)}; {lost} of {len(means)} calendar years of entry (the "
        "first and last may be parts) have a mean under 0"
    )
    return Line(*YEARS[:2], figure, YEARS[2], worst + others > 0.0, says, worst, -others)


def _months(day: Array) -> int:
    return int(np.unique(day.astype("datetime64[M]")).size)


def _mean(roc: Array, wheels: Array) -> float:
    count = float(wheels.sum())
    return float(roc.sum()) / count if count else float("nan")


# ---- selection

DEFLATED = "selection", "deflated Sharpe ratio", f"at least {SURE}"
OVERFITTING = "selection", "probability of overfitting", f"at most {LEVEL}"
SUPERIOR = "selection", "SPA", f"p under {LEVEL}"
STEPDOWN = "selection", "StepM of the row", f"p under {LEVEL}"


def deflated_line(trials: Trials) -> Line:
    """Whether the Sharpe ratio is above what the best of so many trials has by luck.

    The effective rank decides: neighbours on a grid are no independent trials, and a count of all
    takes what truly differs between them for luck. The others are shown beside it.

    Args:
        trials: with the deflated Sharpe ratio at each number of trials.
    """
    frame = trials.frame
    own = frame.filter(pl.col("method") == DECIDES).row(0, named=True)
    others = frame.filter(pl.col("method") != DECIDES).drop_nulls("deflated_sharpe")
    each = ", ".join(
        f"{deflated:.3f} at {number:,.0f} ({method})"
        for method, number, deflated in others.select("method", "trials", "deflated_sharpe").rows()
    )
    says = (
        f"Sharpe ratio {trials.sharpe:.2f} a month over {trials.periods} months; luck gives the "
        f"best of {own['trials']:,.1f} trials (effective rank) {own['expected_sharpe']:.2f}; {each}"
    )
    value = float(own["deflated_sharpe"])
    figure = f"{value:.3f} (1 less the p of a test, not the chance of an edge)"
    return Line(*DEFLATED[:2], figure, DEFLATED[2], value >= SURE, says, value, SURE)


def overfitting_line(found: Overfitting) -> Line:
    """Whether what is best in one half of the time is above the median in the other.

    Args:
        found: of all configurations.
    """
    value = found.probability
    holds = value <= LEVEL
    says = (
        f"of the splits of {found.blocks} blocks the best of a half is at or under the median in "
        f"the other, about 0.5 of noise on average; it loses there in {found.loss:.0%}"
    )
    if not holds:
        says += "; which configuration is best carries over too seldom"
    figure = f"{value:.3f} of the splits"
    return Line(*OVERFITTING[:2], figure, OVERFITTING[2], holds, says, value, LEVEL)


def superior_line(found: Superior) -> Line:
    """Whether any configuration is better than no trade, the choice among all included.

    Args:
        found: against no trade.
    """
    holds = found.p_value < LEVEL
    better = found.frame.filter(pl.col("stepm") < LEVEL).height
    many = f"{found.frame.height:,} configurations"
    says = (
        f"{better:,} of {many} have p under {LEVEL} by StepM, against no trade"
        if holds
        else f"if none earned more than 0 on average, the best of {many} would do as well in "
        f"{found.p_value:.0%} of samples"
    )
    figure = f"p {found.p_value:.3f}"
    return Line(*SUPERIOR[:2], figure, SUPERIOR[2], holds, says, found.p_value, LEVEL)


def stepdown_line(found: Superior, row: int) -> Line:
    """Whether this configuration is better than no trade, the choice among all included.

    Args:
        found: against no trade.
        row: the configuration, as in its frame.
    """
    its = found.frame.filter(pl.col("row") == row)
    if its.is_empty():
        return unsaid(*STEPDOWN, "needs a row whose returns vary: those of this one do not")
    p, alone = float(its["stepm"][0]), float(its["p_value"][0])
    says = f"p {alone:.3f} if it were the only one that was tried"
    return Line(*STEPDOWN[:2], f"p {p:.3f}", STEPDOWN[2], p < LEVEL, says, p, LEVEL)


# ---- the stock

STOCK = "stock", "delta-matched stock", "above 0"


def stock_line(year: tuple[float, float, float], totals: tuple[float, float], blocks: str) -> Line:
    """Whether the options earned anything beside the stock that they stand for.

    Args:
        year: the account's mean daily return less that of delta-matched stock, times 252, percent;
            then the two ends of its interval of 90%.
        totals: the total returns of the account and of delta-matched stock, fractions.
        blocks: the resampled blocks, in words.
    """
    estimate, low, high = year
    figure = f"{percent(low)} a year, daily mean x 252 (lower end of 90%)"
    says = (
        f"{percent(estimate)} a year over it, up to {percent(high)}; total {totals[0]:.1%} against "
        f"{totals[1]:.1%}; {blocks}"
    )
    return Line(*STOCK[:2], figure, STOCK[2], low > 0.0, says, low, 0.0)


# ---- data

MARKS = "data", "marks", "above 0 with and without marks"
WORST = "data", "worst case", "above 0"


def data_lines(figures: dict[str, Any], launched: float) -> list[Line]:
    """Whether the sign of the total rests on wheels that the data leave open.

    Args:
        figures: of the row, as in `Sweep.frame`; means over its seeds.
        launched: wheels.
    """
    total, worst = figures["total_pnl"], figures["total_pnl_worst"]
    if total is None or worst is None:
        none = "needs wheels in the summary: there are none"
        return [unsaid(*MARKS, none), unsaid(*WORST, none)]
    realised = total - (figures["marked_pnl"] or 0.0)
    censored, marked = figures["censored_wheels"], figures["marked_wheels"]
    unresolved = figures["open_wheels"] + figures["no_data_wheels"]
    marks = Line(
        *MARKS[:2],
        f"total P&L {realised:,.0f} dollars without marks",
        MARKS[2],
        min(realised, total) > 0.0,
        f"{marked:,.0f} wheels are marked, {total:,.0f} with them",
        min(realised, total),
        0.0,
    )
    says = (
        "if every wheel that is marked or left out without a P&L had lost all its capital but the "
        f"premium; of {launched:,.0f} launched "
        f"{unresolved:,.0f} unresolved, {censored:,.0f} censored"
    )
    figure = f"total P&L {worst:,.0f} dollars"
    return [marks, Line(*WORST[:2], figure, WORST[2], worst > 0.0, says, worst, 0.0)]
