"""The P&L of an assigned put's wheel, worked by hand (rules.md, 8 and 11).

The put at 50 was sold for 2.00 and assigned on session 4; an order costs 0.66, so it earned
200 - 0.66 = 199.34.
"""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import common_fields, row, slice_of, the_put
from wheelvec.kernels.exits import NO_DATA
from wheelvec.kernels.parameters import COMMON
from wheelvec.kernels.wheel import (
    AssignedPut,
    Course,
    Value,
    dividends_between,
    last_close,
    sale_session,
    wheel_value,
)
from wheelvec.model.codes import EndReason, ExitReason

NAN = float("nan")
CLOSES = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, NAN, 46.0, 52.0]
DIVIDENDS = {4: 0.20, 6: 0.30}  # the first before the shares are held overnight
SLICE = slice_of(CLOSES, (the_put(),), dividends=DIVIDENDS)
PUT = AssignedPut(
    wheel=0, strike=50.0, price=2.00, premium=200.0, settlement=4, word=np.uint64(1), contracts=1
)


def course(**more: Any) -> Course:
    """A call at 49 was sold on session 5 for 1.00 and called away on session 8: 99.34."""
    known: dict[str, Any] = {
        "end_reason": int(EndReason.CALLED_AWAY), "end_number": 8,
        "last_reason": int(ExitReason.CALLED_AWAY), "last_strike": 49.0,
        "settlement": 8, "lacking": -1, "closed": 99.34, "still_open": 0.0, "sums": np.uint64(0),
    }  # fmt: skip
    return Course(**known | more)


def value(calls: Course, **rules: Any) -> Value:
    return wheel_value(SLICE, PUT, row(COMMON, **common_fields(**rules)), calls)


def test_dividends_are_those_after_the_first_day() -> None:
    assert dividends_between(SLICE, PUT, 1008) == 30.0  # that of day 1004 was paid to others
    assert dividends_between(SLICE, PUT._replace(settlement=3), 1006) == 50.0
    assert dividends_between(SLICE, PUT._replace(settlement=6), 1008) == 0.0


def test_sessions_without_a_close_are_passed_over() -> None:
    assert [last_close(SLICE.underlying, session) for session in (5, 6, 99)] == [5, 5, 8]
    assert [sale_session(SLICE.underlying, session, 99) for session in (5, 6, 9)] == [5, 7, -1]
    assert sale_session(SLICE.underlying, 6, 6) == -1  # session 6 is the eve of an event
    late = slice_of([50.0, NAN, NAN, NAN, NAN, NAN, NAN, 50.0])
    # an order waits five sessions: those of 2 to 7 do, that of 1 does not
    assert sale_session(late.underlying, 2, 99) == 7
    assert sale_session(late.underlying, 1, 99) == -1
    assert last_close(slice_of([NAN, NAN]).underlying, 1) == -1


def test_shares_called_away_leave_at_the_strike() -> None:
    got = value(course())
    # (49 - 50) * 100 and the dividend of 0.30
    assert got.stock == pytest.approx(-100.0 + 30.0)
    assert got.pnl == pytest.approx(199.34 + 99.34 - 70.0)
    assert got.marked == got.pnl
    assert (got.end, got.until, got.sale) == (8, 8, 49.0)
    assert (got.resolved, got.held) == (True, False)


def test_shares_left_are_sold_at_the_close() -> None:
    none = int(EndReason.NO_CALL_IN_RANGE)
    got = value(course(end_reason=none, end_number=5, last_reason=-1, closed=0.0))
    assert got.stock == pytest.approx((47.0 - 50.0) * 100)
    assert got.pnl == pytest.approx(199.34 - 300.0)
    assert (got.end_reason, got.end, got.held) == (none, 5, True)


def test_an_order_to_sell_waits_for_a_close() -> None:
    cycles = int(EndReason.MAX_CYCLES)
    got = value(course(end_reason=cycles, end_number=6, last_reason=int(ExitReason.STOP_LOSS)))
    # session 6 has no close; the shares are sold on 7, after the dividend
    assert (got.end, got.sale) == (7, 46.0)
    assert got.stock == pytest.approx(-400.0 + 30.0)


def test_being_assigned_may_cost_a_fee() -> None:
    got = value(course(), assignment_fee=5.0)
    assert got.pnl == pytest.approx(199.34 - 5.0 + 99.34 - 70.0)


def test_a_wheel_whose_call_is_open_is_marked() -> None:
    # its close of session 6 is lacking; the call is worth 20.00 less than its premium
    unresolved = int(EndReason.UNRESOLVED)
    got = value(
        course(end_reason=unresolved, last_reason=NO_DATA, lacking=6, closed=0.0, still_open=20.0)
    )
    # shares at the last close before: 47
    assert got.marked == pytest.approx(199.34 - 300.0 + 20.0)
    assert np.isnan([got.pnl, got.stock, got.sale]).all()
    assert (got.end_reason, got.resolved, got.until) == (unresolved, False, 8)


def test_v5_counts_the_premium_twice_and_forgets_shares() -> None:
    away = value(course(), v5=True)
    # 49 * 100 - (50 * 100 - 200)
    assert away.stock == pytest.approx(100.0)
    left = value(
        course(end_reason=int(EndReason.NO_CALL_QUOTES), end_number=5, last_reason=-1, closed=0.0),
        v5=True,
    )
    assert (left.stock, left.end, left.held) == (0.0, 4, True)
