"""One put of four bars under many configurations: figures worked by hand (rules.md, 4 to 8).

The put at 50 is sold on session 0 for 2.00 and settles on session 4 (tests/kernels/build.py); an
order costs 0.66. tests/kernels/test_record.py works the same exits one by one:

    a target of 50% fills on session 2 at 1.00           200 - 100 - 1.32 =   98.68
    one of 40% is never touched
    a stop of 2.0 fills on session 3 at 4.10             200 - 410 - 1.32 = -211.32
    without either it expires on session 4               200 -   0 - 0.66 =  199.34
"""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import (
    NONE,
    Offer,
    Option,
    entry_fields,
    named,
    plan_of,
    slice_of,
    the_call,
    the_put,
)
from tests.kernels.test_accumulate import new_figures
from wheelvec.kernels.accumulate import CC, CSP, DAYS, END, KNOWN, WINS, Figures
from wheelvec.kernels.entries import new_selection
from wheelvec.kernels.evaluate import CellPnl, Sizes, evaluate_blocks, mark_chosen, new_workspace
from wheelvec.kernels.parameters import Plan
from wheelvec.kernels.slices import Slice
from wheelvec.model.codes import EndReason, ExitReason

UP = [51.0] * 9
FALLING = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, 47.0, 47.0, 47.0]
STOP, TARGET = int(ExitReason.STOP_LOSS), int(ExitReason.PROFIT_TARGET)
WORTHLESS, ASSIGNED = int(ExitReason.EXPIRED_WORTHLESS), int(ExitReason.ASSIGNED)
SIZES = Sizes(wheels=8, bars=8, quotes=8, calls_on_offer=8, sessions=9)


def evaluate(
    slice_: Slice, plan: Plan, last: int = 0, budget: int = 10**9
) -> tuple[Figures, Any, Any]:
    """Figures, ROC (configurations, wheels) and P&L (wheels, configurations) of sessions 0..last."""
    configs, sessions = plan.config_stop.size, slice_.valid.size
    figures, values = new_figures(configs), np.full((configs, 8), np.nan)
    pnl = np.zeros((slice_.puts.size, configs), np.float32)
    cells = CellPnl(np.arange(slice_.puts.size), np.arange(configs), pnl)
    done, workspace = np.zeros(3, np.int64), named(new_workspace(plan, SIZES))
    busy, filled = np.full(configs, -1), np.zeros(1, np.int64)
    while done[0] < 1:
        before = done.copy()
        evaluate_blocks(
            slice_, np.ones((1, sessions), np.bool_), 0, last, plan, 0, 1, done, budget,
            workspace, busy, figures, values, filled, cells,
        )  # fmt: skip
        assert (done != before).any()
    return figures, values, pnl


def test_every_stop_goes_with_every_target() -> None:
    # stops 2.0 and none, targets 40% and 50%: stop and 40%, stop and 50%, none and 40%, none and 50%
    plan = plan_of(stops=(2.0, NONE), targets=(0.40, 0.50))
    figures, values, pnl = evaluate(slice_of(UP, (the_put(),)), plan)
    assert figures.total.tolist() == pytest.approx([-211.32, 98.68, 199.34, 98.68])
    assert pnl[0].tolist() == pytest.approx([-211.32, 98.68, 199.34, 98.68])
    assert values[:, 0].tolist() == pytest.approx([-4.2264, 1.9736, 3.9868, 1.9736])  # % of 5,000
    counts = figures.counts
    assert counts[CSP + STOP].tolist() == [1, 0, 0, 0]
    assert counts[CSP + TARGET].tolist() == [0, 1, 0, 1]
    assert counts[CSP + WORTHLESS].tolist() == [0, 0, 1, 0]
    assert counts[DAYS].tolist() == [3, 2, 4, 2]
    assert counts[WINS].tolist() == [0, 1, 1, 1]


def test_a_grid_that_is_no_product_and_one_of_a_single_configuration() -> None:
    product = plan_of(stops=(2.0, NONE), targets=(0.40, 0.50))
    # of the four only the first and the last, in this order
    two = product._replace(
        product=np.array([False]), config_starts=np.array([0, 2]),
        config_stop=np.array([0, 1], np.uint32), config_pair=np.array([0, 1], np.uint32),
    )  # fmt: skip
    slice_ = slice_of(UP, (the_put(),))
    assert evaluate(slice_, two)[0].total.tolist() == pytest.approx([-211.32, 98.68])
    one = plan_of(stops=(2.0,), targets=(0.50,))
    assert evaluate(slice_, one)[0].total.tolist() == pytest.approx([98.68])


def test_only_what_is_assigned_sells_calls() -> None:
    # a call at 49 for 1.00, which expires on session 8: 99.34; the shares lose (47 - 50) * 100
    slice_ = slice_of(FALLING, (the_put(),), (the_call(),))
    figures, _, _ = evaluate(slice_, plan_of(stops=(2.0, NONE), targets=(0.40, 0.50)))
    assert figures.total.tolist() == pytest.approx([-211.32, 98.68, 199.34 + 99.34 - 300.0, 98.68])
    counts = figures.counts
    assert counts[CSP + ASSIGNED].tolist() == [0, 0, 1, 0]
    assert counts[CC + WORTHLESS].tolist() == [0, 0, 1, 0]
    assert counts[END + int(EndReason.MAX_CYCLES)].tolist() == [0, 0, 1, 0]
    assert counts[DAYS].tolist() == [3, 2, 4 + 3, 2]


def test_where_one_is_open_at_a_time_each_configuration_has_its_own_wheels() -> None:
    # sold anew on sessions 0, 1 and 3; a target of 50% ends the first on session 2, so that the
    # third may open and the second not; at 40% the first lasts to its expiration
    daily = the_put()._replace(quotes={day: Offer(1.98, 2.08) for day in (0, 1, 3)})
    plan = plan_of(entry_fields(one_at_a_time=True), targets=(0.40, 0.50))
    figures, _, pnl = evaluate(slice_of(UP, (daily,)), plan, last=3)
    assert figures.counts[KNOWN].tolist() == [1, 2]
    # the third has the bar of session 4 alone, and expires
    assert figures.total.tolist() == pytest.approx([199.34, 98.68 + 199.34])
    assert np.isnan(pnl[1]).tolist() == [True, True]


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_a_call_that_has_spent_its_budget_is_continued(one_at_a_time: bool) -> None:
    daily = the_put()._replace(quotes={day: Offer(1.98, 2.08) for day in range(4)})
    slice_ = slice_of(FALLING, (daily, the_call()))
    entry = entry_fields(one_at_a_time=one_at_a_time)
    plan = plan_of(entry, stops=(2.0, NONE), targets=(0.40, 0.50))
    small, whole = evaluate(slice_, plan, last=3, budget=1), evaluate(slice_, plan, last=3)
    for one, other in zip((*small[0], *small[1:]), (*whole[0], *whole[1:]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[0].counts[KNOWN].max() == (2 if one_at_a_time else 4)


def test_the_puts_that_any_block_sells_are_marked() -> None:
    puts = (the_put(), Option(45.0, 8, {0: Offer(0.90, 0.92, delta=0.15)}))
    slice_, rows = slice_of(UP, puts), np.zeros(2, np.bool_)
    opens, chosen = np.ones((1, 9), np.bool_), named(new_selection(9, 8))
    plan = plan_of(entry_fields(delta_max=0.20))
    mark_chosen(slice_, opens, 0, 0, plan, 0, 1, chosen, rows)
    assert rows.tolist() == [False, True]
