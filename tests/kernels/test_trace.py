"""A leg told bar by bar, worked by hand."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import WORD, even_chance, named, plan_of, slice_of, the_put
from wheelvec.kernels.draws import new_drawn
from wheelvec.kernels.exits import BAR, MAX_HOLD_DTE, PROFIT_TARGET, STOP_LOSS
from wheelvec.kernels.trace import TRACE, Sale, levels_of, trace_leg

SOLD = Sale(0, 0, WORD, 2.00, 1.0, 0.5)  # a touch fills if u <= 0.5


def traced(sale: Sale = SOLD, **rules: Any) -> list[tuple[float, ...]]:
    """Session, reason, touches, last draw and price after each bar of the put of these tests."""
    slice_, plan = slice_of([50.0] * 6, puts=(the_put(),)), plan_of(draw=even_chance(), **rules)
    bars, out = named(np.zeros(5, BAR)), named(np.zeros(4, TRACE))
    known = trace_leg(slice_, plan, sale, bars, named(new_drawn(1, 5)), out)
    return [tuple(float(value) for value in row.item()) for row in out.view(np.ndarray)[:known]]


def test_a_missed_touch_and_then_the_stop() -> None:
    # the second bar falls to 0.95, under the target of 1.00, and the draw is 0.755; the third rises
    # to 4.10, over the stop of 4.00, and fills at min(4.10, 4.00 + 0.30 * (4.10 - 1.30))
    found = traced(stops=(2.0,), targets=(0.50,))
    assert [row[:3] for row in found] == [(1, -1, 0), (2, -1, 1), (3, STOP_LOSS, 1)]
    assert np.isnan(found[0][3])
    assert [row[3] for row in found[1:]] == [pytest.approx(0.7548960935391251)] * 2
    assert found[2][4] == pytest.approx(4.10)


def test_a_second_touch_that_fills_at_the_target() -> None:
    # every bar touches a target of 2.00; the second draw is 0.069
    found = traced(targets=(1.00,))
    assert [row[:3] for row in found] == [(1, -1, 1), (2, PROFIT_TARGET, 2)]
    assert found[1][3] == pytest.approx(0.06863176789908831)
    assert found[1][4] == 2.00


def test_a_leg_that_no_rule_ends_is_told_to_its_last_bar() -> None:
    found = traced(targets=(0.10,))
    assert [row[:3] for row in found] == [(session, -1, 0) for session in (1, 2, 3, 4)]


def test_a_hold_pays_the_market() -> None:
    # bought back 2 days before the expiration on session 4: 1.20 + 0.30 * (1.60 - 0.95), rounded up
    found = traced(targets=(0.10,), hold=2)
    assert [row[:3] for row in found] == [(1, -1, 0), (2, MAX_HOLD_DTE, 0)]
    assert found[1][4] == pytest.approx(1.40)


def test_levels_are_those_of_the_put_or_of_the_call() -> None:
    plan = plan_of(stops=(2.0,), targets=(0.50,))
    put, call = levels_of(plan, SOLD), levels_of(plan, SOLD._replace(cycle=1, price=1.0))
    assert (put.stop, put.target, put.hold) == (4.00, 1.00, -1)
    assert np.isnan(call.stop)
    assert (call.target, call.hold) == (0.50, -1)
