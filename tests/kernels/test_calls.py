"""Calls against assigned shares, worked by hand (rules.md, 7).

The put at 50 was sold for 2.00 and assigned on session 4: the basis is 48. A call is first sought
on session 5; one at 49 is sold for 1.00, and an order costs 0.66.
"""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import (
    WORD,
    Offer,
    Option,
    call_fields,
    draw_fields,
    entry_fields,
    even_chance,
    named,
    row,
    slice_of,
    the_call,
    the_put,
)
from wheelvec.kernels.accumulate import AFTER, WORDS, days_of
from wheelvec.kernels.calls import (
    FAR,
    AssignedEnds,
    assigned_put,
    clear_assigned_ends,
    first_state,
    new_assigned_ends,
    sell_calls,
)
from wheelvec.kernels.exits import ASSIGNED, Put
from wheelvec.kernels.outcomes import Outcomes, new_outcomes, written
from wheelvec.kernels.parameters import CALL, DRAW, ENTRY
from wheelvec.kernels.wheel import Course
from wheelvec.model.codes import EndReason, ExitReason

NAN = float("nan")
FALLING = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, 47.0, 47.0, 47.0, 47.0, 47.0, 47.0, 47.0]
PUT = Put(
    row=0, number=0, settlement=4, contract=0, first=0, last=4, price=2.00, spread_pct=0.049,
    penalty=1.0, ivp=1.0, premium=200.0, capital=5000.0, settled=ASSIGNED, censored=False, end=4,
    paid=0.0, by_events=False,
)  # fmt: skip


def sell(
    closes: list[float],
    *calls: Option,
    draw: dict[str, Any] | None = None,
    entry: dict[str, Any] | None = None,
    **rules: Any,
) -> tuple[Course, Outcomes]:
    """How far the wheel gets, and its legs and attempts."""
    slice_ = slice_of(closes, (the_put(),), calls)
    ends: AssignedEnds = named(new_assigned_ends(1, 8, 8))
    clear_assigned_ends(ends, 1)
    out, counts = named(new_outcomes(4, len(closes), 0)), np.zeros(WORDS - AFTER, np.uint64)
    terms, call = row(ENTRY, **entry or entry_fields()), row(CALL, **call_fields(**rules))
    state = first_state(slice_, PUT, terms, call)
    course, _ = sell_calls(
        slice_, assigned_put(slice_, PUT, 0), state, FAR, terms, 0, call,
        row(DRAW, **draw or draw_fields()), ends.memory, counts, out,
    )  # fmt: skip
    return course, written(out)


def reasons(out: Outcomes) -> list[ExitReason]:
    return [ExitReason(reason) for reason in out.legs["reason"]]


def test_the_put_names_the_wheel() -> None:
    assert slice_of(FALLING, (the_put(),)).puts["word"][0] == WORD


def test_a_call_in_the_money_is_called_away() -> None:
    course, out = sell([*FALLING[:8], 52.0], the_call())
    assert reasons(out) == [ExitReason.CALLED_AWAY]
    assert (course.end_reason, course.end_number) == (EndReason.CALLED_AWAY, 8)
    assert course.last_strike == 49.0
    assert course.closed == pytest.approx(100.0 - 0.66)
    assert days_of(course.sums) == 3  # from session 5 to session 8


def test_a_call_at_its_strike_expires_but_under_v5() -> None:
    closes = [*FALLING[:8], 49.0]
    assert reasons(sell(closes, the_call())[1]) == [ExitReason.EXPIRED_WORTHLESS]
    v5 = sell(closes, the_call(), entry=entry_fields(v5=True))[1]
    assert reasons(v5) == [ExitReason.CALLED_AWAY]


def test_the_next_call_is_sought_the_session_after_a_target() -> None:
    # half of 1.00 is touched on session 6, by a low of 0.45
    first = the_call(settlement=11, bars=((0.80, 0.90, 0.45, 0.60),))
    second = the_call(50.0, session=7, settlement=10)
    course, out = sell(FALLING, first, second, max_cycles=2.0)
    assert reasons(out) == [ExitReason.PROFIT_TARGET, ExitReason.EXPIRED_WORTHLESS]
    assert out.legs["number"].tolist() == [5, 7]
    assert out.legs["exit_price"].tolist() == [0.50, 0.0]
    # 100 - 50 - two orders, and 100 - one
    assert course.closed == pytest.approx(50.0 - 1.32 + 100.0 - 0.66)
    assert (course.end_reason, course.end_number) == (EndReason.MAX_CYCLES, 10)
    assert course.settlement == 11  # the latest among the legs, also of the one bought back


def test_one_call_is_enough_where_the_rules_say_so() -> None:
    course, out = sell(FALLING, the_call(), the_call(50.0, session=9, settlement=11))
    assert reasons(out) == [ExitReason.EXPIRED_WORTHLESS]
    assert (course.end_reason, course.end_number) == (EndReason.MAX_CYCLES, 8)


@pytest.mark.parametrize(
    ("seed", "reason", "touches", "u"),
    [
        (42, ExitReason.PROFIT_TARGET, 1, 0.367),
        (44, ExitReason.EXPIRED_WORTHLESS, 2, 0.843),  # after 0.718
    ],
)
def test_a_touch_fills_if_the_calls_own_draw_is_low_enough(
    seed: int, reason: ExitReason, touches: int, u: float
) -> None:
    low = (0.80, 0.90, 0.45, 0.60)  # on sessions 6 and 7
    _, out = sell(FALLING, the_call(bars=(low, low)), draw=even_chance(seed=seed))
    assert reasons(out) == [reason]
    assert out.legs["touches"].tolist() == [touches]
    assert out.legs["u"][0] == pytest.approx(u, abs=5e-4)
    assert out.legs["p_fill"].tolist() == [0.5]


def test_a_stop_and_a_hold_of_the_call() -> None:
    up = (1.50, 2.60, 1.40, 2.50)
    course, out = sell(FALLING, the_call(bars=(up,)), stop_multiplier=2.0)
    # 2.00 is reached: min(2.60, 2.00 + 0.30 * 1.20)
    assert reasons(out) == [ExitReason.STOP_LOSS]
    assert course.closed == pytest.approx(100.0 - 236.0 - 1.32)
    course, out = sell(FALLING, the_call(bars=(up,)), max_hold_dte=2)
    # session 6 is two days before the expiration: min(2.60, 2.50 + 0.30 * 1.20)
    assert reasons(out) == [ExitReason.MAX_HOLD_DTE]
    assert course.closed == pytest.approx(100.0 - 260.0 - 1.32)


@pytest.mark.parametrize(
    ("calls", "rules", "reason"),
    [
        ((), {}, EndReason.NO_CALL_QUOTES),
        ((the_call(),), {"dte_min": 14}, EndReason.NO_CALL_IN_RANGE),  # 3 days
        ((the_call(),), {"delta_max": 0.25}, EndReason.NO_CALL_IN_RANGE),
        ((the_call(47.5),), {}, EndReason.NO_CALL_ABOVE_BASIS),  # 48
        ((the_call(),), {"strike_factor": 1.03}, EndReason.NO_CALL_ABOVE_BASIS),  # 49.44
        ((Option(49.0, 8, {5: Offer(0.8, 1.2)}),), {}, EndReason.NO_CALL_LIQUID),  # 40%
    ],
)
def test_the_first_test_that_leaves_nothing_is_the_reason(
    calls: tuple[Option, ...], rules: dict[str, Any], reason: EndReason
) -> None:
    course, out = sell(FALLING, *calls, **rules)
    assert out.attempts["status"].tolist() == [reason]
    assert (course.end_reason, course.end_number, course.last_reason) == (reason, 5, -1)


def test_a_call_is_sought_on_so_many_further_sessions() -> None:
    late = the_call(session=7, settlement=10)
    course, out = sell(FALLING, late, waits=2)
    assert out.attempts["number"].tolist() == [5, 6, 7]
    assert out.attempts["status"].tolist() == [EndReason.NO_CALL_QUOTES] * 2 + [-1]
    assert out.legs["number"].tolist() == [7]
    assert sell(FALLING, late, waits=1)[0].end_number == 6
    assert course.end_number == 10


def test_of_the_calls_that_qualify_the_dearest_is_sold() -> None:
    cheaper = Option(51.0, 8, {5: Offer(0.60, 0.64)})
    assert sell(FALLING, the_call(), cheaper)[1].legs["strike"].tolist() == [49.0]
    highest = sell(FALLING, the_call(), cheaper, select=3)[1]  # the highest strike
    assert highest.legs["strike"].tolist() == [51.0]
    closest = sell(FALLING, the_call(), cheaper, select=4, target=0.085)[1]  # 51 is 8.5% over 47
    assert closest.legs["strike"].tolist() == [51.0]


def test_a_call_without_a_close_at_its_settlement_stays_open() -> None:
    closes = [*FALLING[:8], NAN]
    course, out = sell(closes, the_call(bars=((0.80, 0.90, 0.70, 0.75),)))
    assert reasons(out) == [ExitReason.OPEN]
    assert (course.end_reason, course.lacking) == (EndReason.UNRESOLVED, 8)
    assert course.closed == 0.0
    # its premium less a fee, less its last close
    assert course.still_open == pytest.approx(100.0 - 0.66 - 75.0)
    # without a bar it is marked at its premium
    assert sell(closes, the_call())[0].still_open == pytest.approx(-0.66)
