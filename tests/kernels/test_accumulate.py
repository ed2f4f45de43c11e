"""Packed counts, sums of a month, and their merging, worked by hand."""

from typing import Any

import numpy as np
import pytest

from wheelvec.kernels import accumulate as a
from wheelvec.kernels.accumulate import Figures, Month, new_month
from wheelvec.model.codes import EndReason, ExitReason

NAN = float("nan")
TARGET, ASSIGNED = int(ExitReason.PROFIT_TARGET), int(ExitReason.ASSIGNED)


def new_figures(n: int) -> Figures:
    """Nothing added yet: stages.figures has the library's."""
    numbers: dict[str, Any] = {name: np.zeros(n) for name in Figures._fields[:-1]}
    numbers |= {"least": np.full(n, np.inf), "low": np.full(n, np.inf), "high": np.full(n, -np.inf)}
    return Figures(**numbers, counts=np.zeros((a.COUNTS, n), np.int64))


def months_wheels(month: Month, figures: Figures, *pnl: list[float], censored: bool = False) -> Any:
    """Add wheels of a put at 50 sold for 2.00, each with its P&L by configuration; their ROC."""
    n = len(pnl[0])
    roc = np.zeros((len(pnl), n))
    for w, dollars in enumerate(pnl):
        month.pnl[:n] = dollars
        for c in range(n):
            month.cell_reasons[c] = a.packed_reason(TARGET, NAN if censored else dollars[c])
            month.cell_sums[c] = a.packed_days(10, 2, censored)
        a.add_money(month, n, 5000.0, 200.0, censored, roc[w], figures, 0)
        a.add_counts(month, n)
    a.unpack(month, n, len(a.FIELDS), figures.counts, 0)
    return roc


def test_days_and_sessions_come_out_of_the_word_they_went_into() -> None:
    sums = a.packed_days(400, 7, True) + a.packed_days(31, 2, False)
    assert (a.days_of(sums), a.missing_of(sums)) == (431, 9)


def test_sums_and_counts_of_a_month() -> None:
    month, figures = new_month(2), new_figures(2)
    a.clear(month, 2)
    months_wheels(month, figures, [100.0, -300.0], [50.0, NAN])
    assert month.total.tolist()[:2] == [150.0, -300.0]
    assert month.gains.tolist()[:2] == [150.0, 0.0]
    assert month.losses.tolist()[:2] == [0.0, -300.0]
    assert month.capital.tolist()[:2] == [10_000.0, 5_000.0]
    # a P&L that is not known may be the loss of the capital less the premium
    assert month.lost.tolist()[:2] == [0.0, 200.0 - 5000.0]
    assert figures.least.tolist() == [50.0, -300.0]
    assert figures.high.tolist() == [2.0, -6.0]  # percent of 5,000
    counts = figures.counts
    assert counts[a.CSP + TARGET].tolist() == [2, 2]
    assert counts[a.KNOWN].tolist() == [2, 1]
    assert counts[a.WINS].tolist() == [2, 0]
    assert counts[a.DAYS].tolist() == [20, 20]
    assert counts[a.MISSING].tolist() == [4, 4]
    assert month.words.any() == np.False_


def test_a_censored_wheel_stays_in_the_worst_case_alone() -> None:
    month, figures = new_month(1), new_figures(1)
    a.clear(month, 1)
    months_wheels(month, figures, [100.0], [NAN], censored=True)
    assert month.total[0] == 0.0
    assert month.lost[0] == 100.0 + (200.0 - 5000.0)
    assert figures.counts[[a.KNOWN, a.CENSORED], 0].tolist() == [0, 2]


def test_a_month_folded_into_figures_that_hold_one() -> None:
    month, figures = new_month(1), new_figures(1)
    for pnl in ([100.0], [300.0]), ([500.0],):
        a.clear(month, 1)
        roc = months_wheels(month, figures, *pnl)
        a.add_spread(month, roc, len(pnl), 1, figures, 0)
        a.fold(month, 1, figures, 0)
    # ROC of 2, 6 and 10 percent: mean 6, squared deviations 16 + 0 + 16
    assert figures.known[0] == 3.0
    assert figures.mean[0] == pytest.approx(6.0)
    assert figures.spread[0] == pytest.approx(32.0)
    assert figures.total[0] == 900.0
    assert figures.counts[a.FOLDED, 0] == 3


def test_years_merged_one_by_one_are_the_months_folded_to_the_bit() -> None:
    together, merged, year, month = new_figures(1), new_figures(1), new_figures(1), new_month(1)
    for pnl in ([100.0], [300.0]), ([500.0],):
        for figures in (together, year):
            a.clear(month, 1)
            roc = months_wheels(month, figures, *pnl)
            a.add_spread(month, roc, len(pnl), 1, figures, 0)
            a.fold(month, 1, figures, 0)
        a.merge(merged, year, 0, 1)
        for name in Figures._fields[:-1]:  # the next year begins without a wheel
            assert getattr(year, name).tolist() == getattr(new_figures(1), name).tolist(), name
    for name in Figures._fields[:-1]:
        assert getattr(merged, name).tolist() == getattr(together, name).tolist(), name


def test_what_follows_an_assignment_is_counted_by_configuration() -> None:
    month, figures = new_month(2), new_figures(2)
    a.clear(month, 2)
    after = np.zeros((1, a.WORDS - a.AFTER), np.uint64)
    a.count_after(after[0], a.CC + TARGET)
    a.count_after(after[0], a.CC + TARGET)
    a.count_after(after[0], a.END + int(EndReason.MAX_CYCLES))
    a.count_after(after[0], a.MARKED)
    month.assigned_end[:2] = [0, -1]  # only the first configuration was assigned
    # a wheel that is not resolved is marked at -400, which is 4,400 over the worst case
    a.add_assigned_ends(month, 2, after, np.array([[-400.0, 4400.0]]))
    a.unpack(month, 2, len(a.FIELDS), figures.counts, 0)
    assert figures.counts[a.CC + TARGET].tolist() == [2, 0]
    assert figures.counts[a.END + int(EndReason.MAX_CYCLES)].tolist() == [1, 0]
    assert figures.counts[a.MARKED].tolist() == [1, 0]
    assert month.marked.tolist()[:2] == [-400.0, 0.0]
    assert month.lost.tolist()[:2] == [-4400.0, 0.0]


def test_counts_have_room_for_every_code() -> None:
    assert a.CC - a.CSP == a.END - a.CC == len(ExitReason)
    assert len(EndReason) == a.ABOVE - a.END
