"""An option exercised early, by hand: in a backtest and in a sweep (rules.md, 13).

The put at 50 is sold on session 0 for 2.00 and would settle on session 4 (tests/kernels/build.py);
here it is exercised on session 2. A call at 49 is sold for 1.00 on session 3. An order costs 0.66.
"""

import numpy as np
import pytest

from tests.kernels.build import (
    NONE,
    Option,
    call_fields,
    common_fields,
    plan_of,
    row,
    slice_of,
    the_call,
    the_put,
)
from tests.kernels.test_evaluate import evaluate
from tests.kernels.test_record import record, the_leg
from wheelvec.kernels.accumulate import CC, CSP, DAYS, END, KNOWN
from wheelvec.kernels.calls import first_search, first_state
from wheelvec.kernels.entries import new_selection, select_puts
from wheelvec.kernels.evaluate import put_of
from wheelvec.kernels.parameters import CALL, COMMON
from wheelvec.kernels.slices import Slice
from wheelvec.model.codes import EarlyAssignment, EndReason, ExitReason

FALLING = [51.0, 51.0, 47.0, 47.0, 51.0, 48.0, 47.0, 47.0, 47.0]
RISING = [51.0, 51.0, 47.0, 47.0, 48.0, 49.5, 49.5, 50.0, 52.0]
AT_PARITY = common_fields(early=EarlyAssignment.AT_PARITY)
EX_DIV = call_fields(early=EarlyAssignment.EX_DIV)
EARLY_PUT, CALL_AT_3 = the_put()._replace(exercise=2), the_call(session=3)


def test_an_exercised_put_is_assigned_that_session() -> None:
    out = record(slice_of(FALLING, (EARLY_PUT,), (CALL_AT_3,)), common=AT_PARITY)
    assert the_leg(out) == (ExitReason.ASSIGNED, 2, 0.0)
    put, call = out.legs
    assert np.isnan(put["settlement_close"])
    assert (put["missing"], put["settlement"]) == (0, 4)
    # a call on the next session; it expires on session 8, at 47
    assert (call["number"], call["reason"], call["exit_number"]) == (
        3, ExitReason.EXPIRED_WORTHLESS, 8,
    )  # fmt: skip
    wheel = out.wheels[0]
    assert (wheel["csp_pnl"], wheel["cc_pnl"]) == (pytest.approx(199.34), pytest.approx(99.34))
    assert wheel["stock_pnl"] == pytest.approx(-300.0)


def test_without_the_setting_no_put_is_exercised() -> None:
    out = record(slice_of(FALLING, (EARLY_PUT,), (CALL_AT_3,)))
    assert the_leg(out) == (ExitReason.EXPIRED_WORTHLESS, 4, 0.0)


def test_exits_are_tested_first_on_the_session_of_the_exercise() -> None:
    # 50% of 2.00 is touched on session 2; a stop of 2.0 would trigger on session 3
    out = record(slice_of(FALLING, (EARLY_PUT,)), common=AT_PARITY, targets=(0.50,))
    assert the_leg(out) == (ExitReason.PROFIT_TARGET, 2, 1.00)
    out = record(slice_of(FALLING, (EARLY_PUT,)), common=AT_PARITY, stops=(2.0,))
    assert the_leg(out) == (ExitReason.ASSIGNED, 2, 0.0)
    earlier = the_put()._replace(exercise=1)
    out = record(slice_of(FALLING, (earlier,)), common=AT_PARITY, targets=(0.50,))
    assert the_leg(out) == (ExitReason.ASSIGNED, 1, 0.0)


def test_a_session_without_a_bar_counts_up_to_the_exercise() -> None:
    put = the_put()._replace(exercise=2, bars={1: (1.90, 2.10, 1.80, 2.00)})
    out = record(slice_of(FALLING, (put,)), common=AT_PARITY)
    assert out.legs["missing"].tolist() == [1]  # session 2


def test_an_exercised_call_takes_the_shares_without_the_dividend() -> None:
    call = CALL_AT_3._replace(exercise=6)
    market = slice_of(RISING, (EARLY_PUT,), (call,), {6: 0.25, 7: 1.00})
    out = record(market, common=AT_PARITY, call=EX_DIV)
    leg = out.legs[1]
    assert (leg["reason"], leg["exit_number"], leg["exit_price"]) == (
        ExitReason.CALLED_AWAY,
        6,
        0.0,
    )
    assert np.isnan(leg["settlement_close"])
    # bought at 50, delivered at 49; the dividend of session 7 is lost
    assert out.wheels["stock_pnl"].tolist() == pytest.approx([-100.0 + 25.0])
    assert out.wheels["end_reason"].tolist() == [EndReason.CALLED_AWAY]
    assert out.wheels["until"].tolist() == [6]


def test_being_assigned_early_costs_the_fees_of_being_assigned() -> None:
    call = CALL_AT_3._replace(exercise=6)
    common = AT_PARITY | {"assignment_fee": 5.0}
    out = record(slice_of(RISING, (EARLY_PUT,), (call,)), common=common, call=EX_DIV)
    assert out.wheels["csp_pnl"].tolist() == pytest.approx([200.0 - 5.66])
    assert out.wheels["cc_pnl"].tolist() == pytest.approx([100.0 - 5.66])


def test_a_sweep_ends_it_as_a_backtest_does() -> None:
    market = slice_of(FALLING, (EARLY_PUT,), (CALL_AT_3,))
    plan = plan_of(AT_PARITY, stops=(2.0, NONE), targets=(0.10, 0.50))
    figures, _, _ = evaluate(market, plan)
    # a target of 50% ends it on session 2; else it is assigned then, and the stop comes too late
    assigned = 199.34 + 99.34 - 300.0
    assert figures.total.tolist() == pytest.approx([assigned, 98.68, assigned, 98.68])
    counts = figures.counts
    assert counts[CSP + int(ExitReason.ASSIGNED)].tolist() == [1, 0, 1, 0]
    assert counts[CC + int(ExitReason.EXPIRED_WORTHLESS)].tolist() == [1, 0, 1, 0]
    assert counts[DAYS].tolist() == [2 + 5, 2, 2 + 5, 2]


def test_a_sweep_of_one_row_delivers_the_shares_of_a_call() -> None:
    call = CALL_AT_3._replace(exercise=6)
    market = slice_of(RISING, (EARLY_PUT,), (call,), {7: 1.00})
    figures, _, _ = evaluate(market, plan_of(AT_PARITY, call=EX_DIV))
    assert figures.total.tolist() == pytest.approx([199.34 + 99.34 - 100.0])
    assert figures.counts[END + int(EndReason.CALLED_AWAY)].tolist() == [1]
    assert figures.counts[DAYS].tolist() == [2 + 3]


def test_a_wheel_left_out_keeps_its_known_result_in_the_worst_case() -> None:
    # the underlying's bars end on session 3, the put would settle on session 4: no call is offered,
    # so that the shares are sold on session 3 at 47
    market = slice_of([51.0, 51.0, 47.0, 47.0, *[np.nan] * 5], (EARLY_PUT,))
    out = record(market, common=AT_PARITY)
    assert out.wheels["censored"].tolist() == [True]
    assert out.wheels["pnl"].tolist() == pytest.approx([199.34 - 300.0])
    figures, _, _ = evaluate(market, plan_of(AT_PARITY))
    assert figures.counts[KNOWN].tolist() == [0]
    assert figures.total.tolist() == [0.0]
    assert figures.lost.tolist() == pytest.approx([199.34 - 300.0])


def searched(slice_: Slice, **rules: bool) -> tuple[int, int]:
    """The session on which a call is sought first, and the last settlement so far."""
    common = row(COMMON, **AT_PARITY | rules)
    chosen = new_selection(1, 1)
    assert select_puts(slice_, common, np.ones(9, np.bool_), 0, 0, chosen) == 1
    put = put_of(slice_, common, chosen, 0)
    state = first_state(slice_, put, common, row(CALL, **call_fields()))
    assert state.sought == first_search(slice_, put, common)
    return state.sought, state.latest


def test_v5_seeks_a_call_on_the_calendar_day_after_the_exercise() -> None:
    market = slice_of(FALLING, (EARLY_PUT,))
    assert searched(market) == (3, 4)
    assert searched(market, v5=True) == (3, 4)
    # a weekend after session 2
    days = np.where(np.arange(9) > 2, 2, 0) + market.underlying.day
    market = market._replace(underlying=market.underlying._replace(day=days))
    assert searched(market) == (3, 4)
    assert searched(market, v5=True) == (-1, 4)
    # without the exercise it is the day after the expiration, which is session 5
    assert searched(slice_of(FALLING, (the_put(),)), v5=True) == (5, 4)


def test_a_call_of_other_settings_is_another_call() -> None:
    option = Option(49.0, 8, CALL_AT_3.quotes, {}, exercise=6)
    market = slice_of(RISING, (EARLY_PUT,), (option,))
    away = record(market, common=AT_PARITY, call=call_fields(early=EarlyAssignment.AT_PARITY))
    kept = record(market, common=AT_PARITY)
    assert away.legs["exit_number"].tolist() == [2, 6]
    assert kept.legs["exit_number"].tolist() == [2, 8]
