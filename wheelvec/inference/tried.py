"""The trials behind a verdict: configurations, time, and wheels that overlap."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model.errors import counted
from wheelvec.run.results.result import Result
from wheelvec.run.results.sweep_result import Sweep

Array = NDArray[Any]


class Tried(NamedTuple):
    """The trials that a choice was made among, and its data.

    Attributes:
        rows: of the sweep.
        configurations: rows that differ in more than a seed.
        prior_trials: configurations tried before, as the user states.
        effective_rank: of the correlation of their monthly returns; None: cannot be said.
        clusters: of similar configurations; None: cannot be said.
        months: calendar months in which the row has entry sessions, from its first wheel to its
            last; None without the market.
        entry_sessions: of these months.
        wheels: in the row's summary, the mean over its seeds.
        overlap: of the row, the mean number of wheels that are open at once, over the days on which
            any is, of all underlyings; None without the market.
        independent_wheels: wheels/overlap, how many would fit one after the other.

    Example:
        >>> from wheelvec.inference.tried import Tried
        >>> Tried(320, 40, 0, 5.2, 3, 36, 750, 2_000.0, 25.0, 80.0).says[1]
        '2,000 wheels over 750 entry sessions of 36 months'
    """

    rows: int
    configurations: int
    prior_trials: int
    effective_rank: float | None
    clusters: int | None
    months: int | None
    entry_sessions: int | None
    wheels: float
    overlap: float | None
    independent_wheels: float | None

    @property
    def says(self) -> list[str]:
        """In words.

        Example:
            >>> from wheelvec.inference.tried import Tried
            >>> Tried(40, 40, 9, None, None, None, None, 200.0, None, None).says
            ['40 configurations in 40 rows, 9 trials before', '200 wheels']
        """
        trials = f"{counted(self.configurations, 'configuration')} in "
        trials += counted(self.rows, "row")
        trials += f", {self.prior_trials:,} trials before" if self.prior_trials else ""
        if self.effective_rank is not None:
            trials += f"; worth {self.effective_rank:,.1f} independent ones by effective rank"
            trials += "" if self.clusters is None else f", {self.clusters:,} by clusters"
        wheels = f"{self.wheels:,.0f} wheels"
        if self.entry_sessions is not None:
            wheels += f" over {counted(self.entry_sessions, 'entry session')} of "
            wheels += counted(self.months or 0, "month")
        found = [trials, wheels]
        if self.overlap is not None and self.independent_wheels is not None:
            found.append(
                f"{self.overlap:,.1f} of them open at once: as many as "
                f"{self.independent_wheels:,.0f} wheels one after the other"
            )
        return found


def launches(figures: dict[str, Any]) -> float:
    """The wheels launched by a row, of its counts of exit reasons of puts.

    Args:
        figures: of the row, as in `Sweep.frame`.
    """
    return float(sum(value for name, value in figures.items() if name.startswith("csp_")))


def figures_of(sweep: Sweep, row: int) -> dict[str, Any]:
    """The figures of a configuration, means over its seeds; None where none is defined.

    Args:
        sweep: the sweep.
        row: of its frame.
    """
    mine = sweep.frame.filter(pl.Series(sweep.configurations == sweep.configurations[row]))
    return mine.select(pl.col(sweep.figures).cast(pl.Float64).mean()).row(0, named=True)


def overlap(result: Result) -> float | None:
    """The mean number of wheels of the summary that are open at once; None without any.

    A wheel is open from its entry through its end; one that never resolves through the last session
    of the underlyings' closes. Days on which none is open do not count.

    Args:
        result: of one configuration.
    """
    wheels = result.wheels.filter("in_summary")
    if wheels.is_empty():
        return None
    last = result.underlying["session"].max()
    entry, end = (
        wheels[name].fill_null(last).to_numpy().astype("datetime64[D]").astype(np.int64)
        for name in ("entry_date", "exit_date")
    )
    first = int(entry.min())
    change = np.zeros(int(max(end.max(), entry.max())) - first + 2)
    np.add.at(change, entry - first, 1.0)
    np.add.at(change, np.maximum(end, entry) + 1 - first, -1.0)
    open_wheels = change.cumsum()
    return float(open_wheels.sum() / np.count_nonzero(open_wheels > 0.5))
