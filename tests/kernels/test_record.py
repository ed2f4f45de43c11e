"""One put of four bars under one configuration, to the cent (rules.md, 3 to 8).

The put at 50 is sold on session 0 for 2.00 and settles on session 4 (tests/kernels/build.py); an
order costs 0.66. Its bars:

    session   open   high    low  close
          1   1.90   2.10   1.80   2.00
          2   1.50   1.60   0.95   1.20
          3   1.40   4.10   1.30   3.90
          4   3.00   3.20   2.80   3.00
"""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import (
    Offer,
    Option,
    call_fields,
    entry_fields,
    even_chance,
    named,
    plan_of,
    slice_of,
    the_call,
    the_put,
)
from wheelvec.kernels.outcomes import Outcomes, doubled, new_outcomes, written
from wheelvec.kernels.record import new_workspace, record_wheels
from wheelvec.kernels.slices import Slice
from wheelvec.model.codes import EndReason, ExitReason

NAN = float("nan")
UP = [51.0] * 9  # the put is never assigned


def record(
    slice_: Slice,
    first: int = 0,
    last: int = 0,
    wheels: int = 8,
    budget: int = 10**9,
    **rules: Any,
) -> Outcomes:
    """The outcomes of the wheels that sessions first..last enter under `plan_of(**rules)`."""
    sessions = slice_.valid.size
    opens, busy = np.ones(sessions, np.bool_), np.full(1, -1)
    out, start, puts = named(new_outcomes(wheels, sessions, 0)), 0, 1
    workspace = named(new_workspace(sessions, 8, 8, 8))
    while start < puts:
        start, puts, is_full = record_wheels(
            slice_,
            plan_of(**rules),
            opens,
            opens,
            first,
            last,
            sessions,
            start,
            puts,
            budget,
            busy,
            workspace,
            out,
        )
        out = named(doubled(out)) if is_full else out
    return written(out)


def the_leg(out: Outcomes) -> tuple[ExitReason, int, float]:
    leg = out.legs[0]
    return ExitReason(leg["reason"]), int(leg["exit_number"]), float(leg["exit_price"])


def test_the_target_is_touched_and_fills() -> None:
    out = record(slice_of(UP, (the_put(),)), targets=(0.50,))
    # 50% of 2.00: the low of 0.95 on session 2 touches 1.00, and the open of 1.50 is no better
    assert the_leg(out) == (ExitReason.PROFIT_TARGET, 2, 1.00)
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 100.0 - 2 * 0.66)
    assert out.wheels["end_reason"].tolist() == [EndReason.PUT_CLOSED]


def test_a_touch_that_is_missed_earns_no_better_price_later() -> None:
    out = record(slice_of(UP, (the_put(),)), targets=(0.75,), draw=even_chance())
    # 1.50 is touched on session 2, where u = 0.755 > 0.5; on session 3 u = 0.069, and the open of
    # 1.40 is not the order's: it fills at its limit
    assert the_leg(out) == (ExitReason.PROFIT_TARGET, 3, 1.50)
    assert out.legs["touches"].tolist() == [2]
    assert out.legs["u"][0] == 0.06863176789908831
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 150.0 - 2 * 0.66)


def test_the_stop_goes_before_the_target() -> None:
    out = record(slice_of(UP, (the_put(),)), stops=(2.0,), targets=(0.45,))
    # 2 * 2.00 is reached by the high of 4.10: min(4.10, 4.00 + 0.30 * (4.10 - 1.30)); 0.90 is not
    # touched
    assert the_leg(out) == (ExitReason.STOP_LOSS, 3, 4.10)
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 410.0 - 2 * 0.66)
    one_bar = slice_of(UP, (the_put(((1.90, 4.10, 0.10, 2.00),)),))
    assert the_leg(record(one_bar, stops=(2.0,), targets=(0.50,)))[0] == ExitReason.STOP_LOSS


def test_a_leg_is_held_until_so_many_days_are_left() -> None:
    out = record(slice_of(UP, (the_put(),)), hold=2)
    # session 2 is two days before the expiration: min(1.60, 1.20 + 0.30 * 0.65 = 1.395), up to 1.40
    assert the_leg(out) == (ExitReason.MAX_HOLD_DTE, 2, 1.40)
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 140.0 - 2 * 0.66)


def test_a_put_above_its_strike_expires() -> None:
    out = record(slice_of(UP, (the_put(),)))
    assert the_leg(out) == (ExitReason.EXPIRED_WORTHLESS, 4, 0.0)
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 0.66)  # one order
    assert out.legs["settlement_close"].tolist() == [51.0]


def test_sessions_without_a_bar_are_counted() -> None:
    put = the_put()
    holes = put._replace(bars={1: put.bars[1], 4: put.bars[4]})
    assert record(slice_of(UP, (holes,))).legs["missing"].tolist() == [2]  # sessions 2 and 3


def test_assigned_and_called_away_with_a_dividend() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, 48.5, 49.0, 50.0, 52.0]
    slice_ = slice_of(closes, (the_put(),), (the_call(49.0),), {6: 0.30})
    out = record(slice_)
    assert out.legs["reason"].tolist() == [ExitReason.ASSIGNED, ExitReason.CALLED_AWAY]
    wheel = out.wheels[0]
    assert wheel["csp_pnl"] == pytest.approx(200.0 - 0.66)
    # the basis is 50 - 2 = 48, and 49 lies above it; sold for 1.00
    assert wheel["cc_pnl"] == pytest.approx(100.0 - 0.66)
    assert wheel["stock_pnl"] == pytest.approx((49 - 50) * 100 + 30)
    assert wheel["pnl"] == pytest.approx(199.34 + 99.34 - 70.0)
    assert wheel["sale"] == 49.0
    assert (wheel["end"], wheel["end_reason"]) == (8, EndReason.CALLED_AWAY)


def test_assigned_and_no_call_above_the_basis() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 46.0, 46.5, 46.0, 46.0, 46.0]
    out = record(slice_of(closes, (the_put(),), (the_call(47.0),)))
    assert out.attempts["status"].tolist() == [EndReason.NO_CALL_ABOVE_BASIS]
    assert (out.attempts["in_range"][0], out.attempts["above_basis"][0]) == (1, 0)
    # the shares are sold at the close of session 5, on which a call was sought
    assert out.wheels["stock_pnl"][0] == pytest.approx((46.5 - 50) * 100)
    assert out.wheels["held"].tolist() == [True]


def test_a_leg_beyond_the_data_is_open_and_its_wheel_censored() -> None:
    out = record(slice_of([51.0, 51.0, 51.0, NAN, NAN], (the_put(),)))
    assert the_leg(out)[:2] == (ExitReason.OPEN, 4)
    assert out.wheels["censored"].tolist() == [True]
    assert np.isnan(out.wheels["pnl"][0])
    # a hole before the last bar is no data
    out = record(slice_of([51.0, 51.0, 51.0, 51.0, NAN, 51.0], (the_put(),)))
    assert the_leg(out)[0] == ExitReason.NO_DATA
    assert out.wheels["censored"].tolist() == [False]


def test_the_next_wheel_waits_for_the_last_where_one_is_open_at_a_time() -> None:
    daily = Option(50.0, 4, {session: Offer(1.98, 2.08) for session in range(4)})
    slice_ = slice_of(UP, (daily,))
    assert record(slice_, last=3).wheels["number"].tolist() == [0, 1, 2, 3]
    one = record(slice_, last=3, entry=entry_fields(one_at_a_time=True))
    assert one.wheels["number"].tolist() == [0]  # until its expiration on session 4
    assert one.days["candidates"][:4].tolist() == [1, 1, 1, 1]
    assert one.days["launched"][:4].tolist() == [1, 0, 0, 0]


def test_full_buffers_are_doubled_and_nothing_is_written_twice() -> None:
    daily = Option(50.0, 4, {session: Offer(1.98, 2.08) for session in range(4)})
    slice_ = slice_of(UP, (daily,))
    few, many = record(slice_, last=3, wheels=1), record(slice_, last=3)
    assert few.legs["number"].tolist() == [0, 1, 2, 3]
    for name in many.wheels.dtype.names:
        np.testing.assert_array_equal(few.wheels[name], many.wheels[name])
    assert few.days.tolist() == many.days.tolist()


def test_a_call_that_has_spent_its_budget_is_continued() -> None:
    daily = Option(50.0, 4, {session: Offer(1.98, 2.08) for session in range(4)})
    slice_ = slice_of(UP, (daily,))
    small, whole = record(slice_, last=3, budget=1), record(slice_, last=3)
    assert small.legs["number"].tolist() == [0, 1, 2, 3]  # a wheel a call
    for name in whole.legs.dtype.names:
        np.testing.assert_array_equal(small.legs[name], whole.legs[name])
    assert small.days.tolist() == whole.days.tolist()


def test_v5_books_missing_data_as_a_full_profit() -> None:
    slice_ = slice_of([51.0, 51.0, 51.0, NAN, NAN], (the_put(),))
    out = record(slice_, entry=entry_fields(v5=True), call=call_fields(flat_odds=True))
    assert the_leg(out)[0] == ExitReason.EXPIRED_WORTHLESS
    assert out.wheels["pnl"][0] == pytest.approx(199.34)
