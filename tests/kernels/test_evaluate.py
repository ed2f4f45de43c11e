"""One put of four bars under many configurations: figures worked by hand (rules.md, 4 to 8).

The put at 50 is sold on session 0 for 2.00 and settles on session 4 (tests/kernels/build.py); an
order costs 0.66. tests/kernels/test_record.py works the same exits one by one:

    a target of 50% fills on session 2 at 1.00           200 - 100 - 1.32 =   98.68
    one of 40% is never touched
    a stop of 2.0 fills on session 3 at 4.10             200 - 410 - 1.32 = -211.32
    without either it expires on session 4               200 -   0 - 0.66 =  199.34
"""

from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.kernels.build import (
    NONE,
    Offer,
    Option,
    common_fields,
    draw_fields,
    named,
    plain,
    plan_of,
    rows,
    slice_of,
    the_call,
    the_put,
)
from tests.kernels.test_accumulate import new_figures
from wheelvec.kernels.accumulate import (
    CC,
    CENSORED,
    CSP,
    DAYS,
    END,
    FIELDS,
    HELD,
    KNOWN,
    PASSED,
    WINS,
    Figures,
    Month,
    clear,
    new_month,
    unpack,
)
from wheelvec.kernels.calls import clear_assigned_ends
from wheelvec.kernels.entries import new_selection, select_puts
from wheelvec.kernels.evaluate import (
    CellPnl,
    Sizes,
    Workspace,
    add_wheel,
    combine,
    combine_product,
    combine_single,
    evaluate_blocks,
    evaluate_others,
    evaluate_products,
    evaluator_of,
    lay_ends,
    mark_chosen,
    new_workspace,
    put_of,
    skip_busy,
)
from wheelvec.kernels.exits import EXIT, NEVER, SETTLED, Ends, Put, new_ends
from wheelvec.kernels.parameters import DRAW, Block, Plan, block_of
from wheelvec.kernels.slices import Slice
from wheelvec.model.codes import EndReason, EventKind, ExitReason

UP = [51.0] * 9
FALLING = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, 47.0, 47.0, 47.0]
STOP, TARGET = int(ExitReason.STOP_LOSS), int(ExitReason.PROFIT_TARGET)
WORTHLESS, ASSIGNED = int(ExitReason.EXPIRED_WORTHLESS), int(ExitReason.ASSIGNED)
Months = tuple[tuple[int, int], ...]  # the first and the last session of each
SIZES = Sizes(wheels=8, bars=8, quotes=8, calls_on_offer=8, sessions=9)


def evaluate(
    slice_: Slice,
    plan: Plan,
    last: int = 0,
    budget: int = 10**9,
    months: Months = (),
    kernel: Any = evaluate_blocks,
) -> tuple[Figures, Any, Any]:
    """Figures, ROC (configurations, wheels), P&L (wheels, configurations) of the months given, or
    of one that has sessions 0..last.
    """
    months = months or ((0, last),)
    configs, sessions = plan.config_stop.size, slice_.valid.size
    figures, values = new_figures(configs), np.full((configs, 8), np.nan)
    pnl = np.zeros((slice_.puts.size, configs), np.float32)
    cells = CellPnl(np.arange(slice_.puts.size), np.arange(configs), pnl)
    done, workspace = np.zeros(4, np.int64), named(new_workspace(plan, SIZES))
    busy, filled = np.full(configs, -1), np.zeros(1, np.int64)
    while done[0] < len(months):
        before = done.copy()
        kernel(
            slice_, np.ones((1, sessions), np.bool_), np.array(months), plan, 0, 1, done,
            budget, workspace, busy, figures, values, filled, cells,
        )  # fmt: skip
        assert (done != before).any()
    return figures, values, pnl


def test_every_stop_goes_with_every_target() -> None:
    # stops 2.0 and none, targets 40% and 50%: 2.0 and 40%, 2.0 and 50%, none and 40%, none and 50%
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


def test_the_kernel_of_a_plan_has_the_ways_of_its_blocks_alone() -> None:
    product = plan_of(stops=(2.0, NONE), targets=(0.40, 0.50))
    two = product._replace(
        product=np.array([False]), config_starts=np.array([0, 2]),
        config_stop=np.array([0, 1], np.uint32), config_pair=np.array([0, 1], np.uint32),
    )  # fmt: skip
    one = plan_of(stops=(2.0,), targets=(0.50,))
    plans = {evaluate_products: product, evaluate_others: two}
    slice_ = slice_of(UP, (the_put(),))
    for kernel, plan in plans.items():
        assert evaluator_of(plan) is kernel
        found, expected = evaluate(slice_, plan, kernel=kernel), evaluate(slice_, plan)
        for mine, every in zip((*found[0], *found[1:]), (*expected[0], *expected[1:]), strict=True):
            np.testing.assert_array_equal(mine, every)
    assert evaluator_of(one) is evaluate_others
    both = product._replace(product=np.array([True, True]), config_starts=np.array([0, 4, 5]))
    assert evaluator_of(both) is evaluate_blocks


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
    plan = plan_of(common_fields(one_at_a_time=True), targets=(0.40, 0.50))
    figures, _, pnl = evaluate(slice_of(UP, (daily,)), plan, last=3)
    assert figures.counts[KNOWN].tolist() == [1, 2]
    # the third has the bar of session 4 alone, and expires
    assert figures.total.tolist() == pytest.approx([199.34, 98.68 + 199.34])
    assert np.isnan(pnl[1]).tolist() == [True, True]


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_a_call_that_has_spent_its_budget_is_continued(one_at_a_time: bool) -> None:
    daily = the_put()._replace(quotes={day: Offer(1.98, 2.08) for day in range(4)})
    slice_ = slice_of(FALLING, (daily, the_call()))
    common = common_fields(one_at_a_time=one_at_a_time)
    plan = plan_of(common, stops=(2.0, NONE), targets=(0.40, 0.50))
    small, whole = evaluate(slice_, plan, last=3, budget=1), evaluate(slice_, plan, last=3)
    for one, other in zip((*small[0], *small[1:]), (*whole[0], *whole[1:]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[0].counts[KNOWN].max() == (2 if one_at_a_time else 4)


@pytest.mark.parametrize("budget", [1, 10**9])
def test_months_are_added_one_after_another(budget: int) -> None:
    # sold on sessions 0, 1 and 3: at 40% no bar reaches the target, and 199.34 are kept; at 50% the
    # first two fill on session 2, and the third, which has the bar of session 4 alone, expires
    daily = the_put()._replace(quotes={day: Offer(1.98, 2.08) for day in (0, 1, 3)})
    plan, slice_ = plan_of(targets=(0.40, 0.50)), slice_of(UP, (daily,))
    months = ((0, 1), (2, 2), (3, 3))
    figures, values, pnl = evaluate(slice_, plan, budget=budget, months=months)
    assert pnl.tolist() == pytest.approx(np.array([[199.34, 98.68]] * 2 + [[199.34] * 2]))
    assert figures.counts[KNOWN].tolist() == [3, 3]
    assert figures.total.tolist() == pytest.approx([598.02, 396.7])
    assert np.isnan(values[:, 3:]).all()
    np.testing.assert_allclose(values[:, :3], pnl.T / 50.0, rtol=1e-6)  # % of 5,000


def test_the_puts_that_any_block_sells_are_marked() -> None:
    puts = (the_put(), Option(45.0, 8, {0: Offer(0.90, 0.92, delta=0.15)}))
    slice_, rows = slice_of(UP, puts), np.zeros(2, np.bool_)
    opens, chosen = np.ones((1, 9), np.bool_), named(new_selection(9, 8))
    plan = plan_of(common_fields(delta_max=0.20))
    mark_chosen(slice_, opens, 0, 0, plan, 0, 1, chosen, rows)
    assert rows.tolist() == [False, True]


# ---- one wheel under many configurations


def ends(*given: dict[str, Any]) -> Any:
    """A table of ends; of what is not given nothing can be told apart."""
    out = rows(EXIT, *given)
    for i in range(out.size):
        out["reasons"][i], out["sums"][i] = 100 + i, 200 + i
    return out


def pairs_of(*given: dict[str, Any]) -> Ends:
    """The same of pairs, which have an assigned end too; -1: none."""
    out = new_ends(len(given))
    for i, fields in enumerate(given):
        out.reasons[i], out.sums[i], out.assigned_end[i] = 300 + i, 400 + i, -1
        for name, value in fields.items():
            getattr(out, name)[i] = value
    return out


def test_of_a_stop_and_a_pair_the_earlier_ends_the_wheel() -> None:
    # a stop on bar 3 (time 6) and none; a target on bar 1, one on bar 3, and an assignment
    stop = ends({"time": 6, "pnl": -211.32, "until": 3}, {"time": NEVER, "pnl": 1e9})
    pair = pairs_of(
        {"time": 3, "pnl": 98.68, "until": 2},
        {"time": 7, "pnl": 58.68, "until": 3},  # on the bar of the stop, which goes first
        {"time": SETTLED, "pnl": -1.32, "until": 8, "assigned_end": 1},
    )
    month = new_month(6)
    combine_product(stop, 2, pair, 3, True, True, month)
    assert month.pnl[:6].tolist() == [98.68, -211.32, -211.32, 98.68, 58.68, -1.32]
    assert month.cell_reasons[:6].tolist() == [300, 100, 100, 300, 301, 302]
    assert month.cell_sums[:6].tolist() == [400, 200, 200, 400, 401, 402]
    assert month.until[:6].tolist() == [2, 3, 3, 2, 3, 8]
    # what follows an assignment is counted only where nothing ended the put before
    assert month.assigned_end[:6].tolist() == [-1, -1, -1, -1, -1, 1]


def test_a_wheel_opens_only_after_the_end_of_the_one_before() -> None:
    month, busy = new_month(3), np.array([3, 4, 5])
    month.pnl[:3], month.until[:3], month.assigned_end[:3] = 98.68, [7, 8, 9], 0
    month.cell_reasons[:3], month.cell_sums[:3] = 1, 2
    skip_busy(month, 3, 4, busy)
    # on session 4: the second ends on that very session, and the third later
    assert busy.tolist() == [7, 4, 5]
    assert np.isnan(month.pnl[:3]).tolist() == [False, True, True]
    assert month.assigned_end[:3].tolist() == [0, -1, -1]
    assert month.cell_reasons[:3].tolist() == [1, 0, 0]
    assert month.cell_sums[:3].tolist() == [2, 0, 0]


class Inputs(NamedTuple):
    """What the kernels of one wheel are given: the first block of a plan, and the puts sold."""

    slice_: Slice
    common: Any
    block: Block
    workspace: Workspace

    def put(self, w: int = 0) -> Put:
        return put_of(self.slice_, self.common, self.workspace.chosen, w)


def inputs_of(slice_: Slice, plan: Plan, last: int = 0) -> Inputs:
    workspace, opens = named(new_workspace(plan, SIZES)), np.ones(9, np.bool_)
    select_puts(slice_, plan.common[0], opens, 0, last, workspace.chosen)
    clear(workspace.month, plan.config_stop.size)
    clear_assigned_ends(workspace.assigned_ends, plan.call.size)
    return Inputs(slice_, plan.common[0], block_of(plan, 0), workspace)


def single(at: Inputs, **rules: Any) -> tuple[float, int, int]:
    """P&L, last session and assigned end of the put under the block's one configuration."""
    combine_single(at.slice_, at.put(), at.common, at.block._replace(**rules), 0, at.workspace)
    month = at.workspace.month
    return round(float(month.pnl[0]), 6), int(month.until[0]), int(month.assigned_end[0])


@plain
def test_a_block_of_one_configuration_ends_a_put_at_its_earliest_exit() -> None:
    slice_ = slice_of(UP, (the_put(),))
    # 98.68, -211.32 and 199.34 as above
    assert single(inputs_of(slice_, plan_of(stops=(2.0,), targets=(0.50,)))) == (98.68, 2, -1)
    assert single(inputs_of(slice_, plan_of(stops=(2.0,), targets=(0.40,)))) == (-211.32, 3, -1)
    assert single(inputs_of(slice_, plan_of(targets=(0.40,)))) == (199.34, 4, -1)


@plain
def test_the_end_of_a_put_is_kept_for_blocks_that_exit_alike() -> None:
    at = inputs_of(slice_of(UP, (the_put(),)), plan_of(stops=(2.0,), targets=(0.40,)))
    assert single(at)[0] == -211.32
    no_stop = {"stop": np.array([NONE])}
    assert single(at, **no_stop)[0] == -211.32  # a block that says it exits alike is not computed
    assert single(at, exits=7, **no_stop)[0] == 199.34
    # nor does the kept end hold for other odds: of two touches of 1.50 none fills at 5%
    chances = [
        rows(DRAW, draw_fields(probabilistic=True, lowest=p, highest=p)) for p in (0.05, 0.5)
    ]
    target = {"target": np.array([0.75]), "exits": 8} | no_stop
    assert single(at, draw=chances[0], **target)[0] == 199.34
    assert single(at, draw=chances[1], **target)[0] == pytest.approx(200.0 - 150.0 - 2 * 0.66)


@plain
def test_an_assigned_put_of_one_configuration_is_followed_to_the_end_of_its_wheel() -> None:
    slice_ = slice_of(FALLING, (the_put(),), (the_call(),))
    # a call for 1.00 expires on session 8, and the shares are sold at 47
    pnl = 199.34 + 99.34 + (47.0 - 50.0) * 100
    assert single(inputs_of(slice_, plan_of())) == (pytest.approx(pnl), 8, 0)
    # a target ends the put before
    assert single(inputs_of(slice_, plan_of(targets=(0.50,)))) == (98.68, 2, -1)


@plain
def test_a_list_of_configurations_takes_the_stop_and_the_pair_of_each() -> None:
    plan = plan_of(stops=(2.0, NONE), targets=(0.40, 0.50))
    few = plan._replace(
        product=np.array([False]), config_starts=np.array([0, 3]),
        config_stop=np.array([1, 0, 1], np.uint32), config_pair=np.array([1, 0, 0], np.uint32),
    )  # fmt: skip
    at = inputs_of(slice_of(FALLING, (the_put(),), (the_call(),)), few)
    put, workspace, month = at.put(), at.workspace, at.workspace.month
    lay_ends(at.slice_, put, at.common, at.block, workspace)
    combine(at.slice_, put, at.common, at.block, workspace)
    assert month.pnl[:3].tolist() == pytest.approx([98.68, -211.32, 199.34 + 99.34 - 300.0])
    assert month.until[:3].tolist() == [2, 3, 8]
    assert month.assigned_end[:3].tolist() == [-1, -1, 0]


FOUR = {"stops": (2.0, NONE), "targets": (0.40, 0.50)}


class Added(NamedTuple):
    """What wheels were added to."""

    month: Month
    figures: Figures
    pnl: Any  # (wheels, configurations), NaN where nothing was written
    busy: list[int]


def added(slice_: Slice, wheels: int = 1, last: int = 0, **rules: Any) -> Added:
    """Wheels added under a block whose configurations are the figures from the third on."""
    plan = plan_of(**rules)
    at, n, figures = inputs_of(slice_, plan, last), plan.config_stop.size, new_figures(6)
    pnl, busy = np.full((wheels, n), np.nan, np.float32), np.full(6, -1)
    cells = CellPnl(np.arange(slice_.puts.size), np.arange(6) - 2, pnl)
    for w in range(wheels):
        add_wheel(
            slice_, at.common, at.block, w, 0, at.workspace, figures, 2, busy, cells, True, True
        )
    unpack(at.workspace.month, n, len(FIELDS), figures.counts, 2)
    return Added(at.workspace.month, figures, pnl, busy.tolist())


@plain
def test_a_wheel_is_added_under_every_configuration_of_its_block() -> None:
    found = added(slice_of(UP, (the_put(),)), **FOUR)
    expected = [-211.32, 98.68, 199.34, 98.68]
    assert found.month.total[:4].tolist() == pytest.approx(expected)
    assert found.month.capital[:4].tolist() == [5000.0] * 4
    assert found.pnl[0].tolist() == pytest.approx(expected)
    # the figures before those of the block are left as they were
    assert found.figures.least.tolist() == pytest.approx([np.inf, np.inf, *expected])
    assert found.figures.counts[CSP + STOP].tolist() == [0, 0, 1, 0, 0, 0]
    assert found.busy == [-1] * 6  # only read where one is open at a time


@plain
def test_where_one_is_open_at_a_time_a_wheel_is_added_where_the_last_has_ended() -> None:
    daily = the_put()._replace(quotes={day: Offer(1.98, 2.08) for day in (0, 3)})
    found = added(slice_of(UP, (daily,)), 2, 3, common=common_fields(one_at_a_time=True), **FOUR)
    # the first ends on sessions 3, 2, 4 and 2: on session 3 two may open, and expire on session 4
    assert found.month.total[:4].tolist() == pytest.approx(
        [-211.32, 98.68 + 199.34, 199.34, 98.68 + 199.34]
    )
    assert np.isnan(found.pnl[1]).tolist() == [True, False, True, False]
    assert found.busy == [-1, -1, 3, 4, 4, 4]


@plain
def test_a_censored_wheel_adds_its_worst_case_alone() -> None:
    # the bars of the underlying end on session 3, the put would settle on session 4
    found = added(slice_of([51.0] * 4 + [np.nan] * 5, (the_put(),)), **FOUR)
    assert found.month.total[:4].tolist() == [0.0] * 4
    # what is known counts as it is, the rest as the premium less the capital
    assert found.month.lost[:4].tolist() == pytest.approx([-211.32, 98.68, 200.0 - 5000.0, 98.68])
    assert found.figures.counts[KNOWN].tolist() == [0] * 6
    assert found.figures.counts[CENSORED].tolist() == [0, 0, 1, 1, 1, 1]


@plain
def test_a_wheel_that_passes_a_split_pays_for_its_contracts_and_is_counted() -> None:
    put = the_put()._replace(becomes=25.0)
    found = added(slice_of(UP, (put,), events=((3, 2, EventKind.CARRIED),)), **FOUR)
    # bought back on session 3, it is two contracts; on session 2 it was one
    stopped = 200.0 - 410.0 - 0.66 - 2 * 0.66
    assert found.month.total[:4].tolist() == pytest.approx([stopped, 98.68, 199.34, 98.68])
    assert found.figures.counts[PASSED].tolist() == [0, 0, 1, 0, 1, 0]


@plain
def test_calls_are_counted_where_the_put_was_assigned() -> None:
    found = added(slice_of(FALLING, (the_put(),), (the_call(),)), **FOUR)
    assert found.month.total[:4].tolist() == pytest.approx(
        [-211.32, 98.68, 199.34 + 99.34 - 300.0, 98.68]
    )
    assert found.figures.counts[CC + WORTHLESS].tolist() == [0, 0, 0, 0, 1, 0]
    assert found.figures.counts[HELD].tolist() == [0, 0, 0, 0, 1, 0]
