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
    WORD,
    Offer,
    Option,
    call_fields,
    common_fields,
    even_chance,
    named,
    plain,
    plan_of,
    rows,
    slice_of,
    the_call,
    the_put,
)
from wheelvec.kernels.exits import Put
from wheelvec.kernels.outcomes import CARRIED_WHEEL, Outcomes, doubled, new_outcomes, written
from wheelvec.kernels.parameters import block_of
from wheelvec.kernels.record import (
    PutEnd,
    ended_put,
    new_workspace,
    put_end,
    record_wheels,
    resume_wheels,
)
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
    one = record(slice_, last=3, common=common_fields(one_at_a_time=True))
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
    out = record(slice_, common=common_fields(v5=True), call=call_fields(flat_odds=True))
    assert the_leg(out)[0] == ExitReason.EXPIRED_WORTHLESS
    assert out.wheels["pnl"][0] == pytest.approx(199.34)


# ---- how a put ends, and a wheel with it


PUT = Put(
    row=0, number=0, settlement=4, contract=0, first=0, last=4, price=2.00, spread_pct=0.049,
    penalty=1.0, ivp=1.0, premium=200.0, capital=5000.0, settled=int(ExitReason.ASSIGNED),
    censored=False, end=4, paid=0.0, by_events=False,
)  # fmt: skip


def end_of(
    put: Put = PUT, option: Option | None = None, p_fill: float = 1.0, **rules: Any
) -> PutEnd:
    """How a put of the four bars ends under `plan_of(**rules)`."""
    slice_, plan = slice_of(UP, (option or the_put(),)), plan_of(**rules)
    workspace = named(new_workspace(9, 8, 8, 8))
    return put_end(slice_, put, plan.common[0], block_of(plan, 0), p_fill, workspace)


def test_a_put_that_no_rule_ends_is_settled_or_bought_back_on_an_eve() -> None:
    assert end_of()[:3] == (ExitReason.ASSIGNED, 4, 0.0)
    eve = PUT._replace(settled=int(ExitReason.CORPORATE_ACTION), end=2, paid=1.40, last=2)
    assert end_of(eve)[:3] == (ExitReason.CORPORATE_ACTION, 2, 1.40)
    # a target on the eve goes before it
    assert end_of(eve, targets=(0.50,))[:3] == (ExitReason.PROFIT_TARGET, 2, 1.00)


def test_a_touch_fills_up_to_its_chance() -> None:
    u = 0.06863176789908831  # of the second touch, on session 3; the first draws 0.755
    rules: dict[str, Any] = {"targets": (0.75,), "draw": even_chance()}
    filled = end_of(p_fill=u, **rules)
    assert (filled.reason, filled.number, filled.touches, filled.u) == (
        ExitReason.PROFIT_TARGET, 3, 2, u,
    )  # fmt: skip
    missed = end_of(p_fill=np.nextafter(u, 0.0), **rules)
    assert (missed.reason, missed.touches, missed.u) == (ExitReason.ASSIGNED, 2, u)


def test_a_bar_that_stops_counts_no_touch() -> None:
    bar = (1.90, 4.10, 0.10, 2.00)  # over the stop of 4.00, and under the target of 1.00
    put, option = PUT._replace(last=1), the_put((bar,))
    stopped = end_of(put, option, stops=(2.0,), targets=(0.50,))
    assert (stopped.reason, stopped.touches) == (ExitReason.STOP_LOSS, 0)
    touched = end_of(put, option, targets=(0.50,))
    assert (touched.reason, touched.touches) == (ExitReason.PROFIT_TARGET, 1)


def test_sessions_without_a_bar_count_up_to_the_exit() -> None:
    bars, stop = the_put().bars, {"stops": (2.0,)}  # reached on session 3
    late = the_put()._replace(bars={3: bars[3], 4: bars[4]})
    assert end_of(PUT._replace(last=2), late).missing == 2
    assert end_of(PUT._replace(last=2), late, **stop).missing == 2
    early = the_put()._replace(bars={1: bars[1], 3: bars[3]})
    assert end_of(PUT._replace(last=2), early).missing == 2
    assert end_of(PUT._replace(last=2), early, **stop).missing == 1


@pytest.mark.parametrize(
    ("reason", "price", "end_reason", "until"),
    [
        (ExitReason.PROFIT_TARGET, 1.00, EndReason.PUT_CLOSED, 2),
        (ExitReason.STOP_LOSS, 4.10, EndReason.PUT_CLOSED, 2),
        (ExitReason.MAX_HOLD_DTE, 1.40, EndReason.PUT_CLOSED, 2),
        (ExitReason.CORPORATE_ACTION, 1.40, EndReason.PUT_CLOSED, 2),
        (ExitReason.EXPIRED_WORTHLESS, 0.0, EndReason.PUT_EXPIRED, 2),
        # what is not resolved occupies its underlying until the settlement
        (ExitReason.CORPORATE_ACTION, NAN, EndReason.UNRESOLVED, 4),
        (ExitReason.SUSPECTED_SPLIT, NAN, EndReason.UNRESOLVED, 4),
        (ExitReason.OPEN, 0.0, EndReason.UNRESOLVED, 4),
        (ExitReason.NO_DATA, 0.0, EndReason.UNRESOLVED, 4),
    ],
)
def test_a_wheel_ends_with_a_put_that_is_not_assigned(
    reason: ExitReason, price: float, end_reason: EndReason, until: int
) -> None:
    value = ended_put(PUT, PutEnd(int(reason), 2, price, 0, NAN, 0), 58.68)
    assert (value.end_reason, value.end, value.until) == (end_reason, 2, until)
    assert value.resolved == (end_reason != EndReason.UNRESOLVED)
    assert (value.held, value.stock, value.lots) == (False, 0.0, 0)
    assert (value.pnl, value.marked) == (58.68, 58.68)
    assert np.isnan(value.sale)


# ---- wheels that go on in a later window


WAITING: dict[str, Any] = {
    # a put at 50 sold for 2.00 on session 0 and assigned on 4: its first call is sought on 5
    "wheel": 3, "number": 0, "csp_pnl": 199.34, "strike": 50.0, "price": 2.00, "premium": 200.0,
    "settlement": 4, "word": WORD, "sought": 5, "cycle": 1, "latest": 4, "contracts": 1,
}  # fmt: skip
FALLING = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, 47.0, 47.0, 46.0, 45.0, 44.0, 44.0]
CALLS_AT_5_AND_9 = (the_call(49.0), the_call(50.0, session=9, settlement=11))


def resumed(
    *carried: dict[str, Any],
    until: int,
    wheels: int = 4,
    calls: tuple[Option, ...] = (),
    budget: int = 10**9,
    start: int = 0,
    **rules: Any,
) -> tuple[Outcomes, tuple[int, bool], int]:
    """Outcomes of wheels that were carried on, how many are done and whether the buffers are full,
    and the end of the last.
    """
    slice_ = slice_of(FALLING, (the_put(),), calls)
    out, busy = named(new_outcomes(wheels, len(FALLING), 9)), np.full(1, -1)
    workspace = named(new_workspace(9, 8, 8, 8))
    plan = plan_of(call=call_fields(**rules))
    given = slice_, plan, rows(CARRIED_WHEEL, *carried), until, start, budget
    done = resume_wheels(*given, busy, workspace, out)
    return written(out), done, int(busy[0])


@plain
def test_a_wheel_that_was_carried_on_sells_its_call_and_ends() -> None:
    out, done, busy = resumed(WAITING, until=9, calls=CALLS_AT_5_AND_9)
    assert out.legs[["wheel", "cycle", "number", "exit_number"]].tolist() == [(3, 1, 5, 8)]
    wheel = out.wheels[0]
    assert (wheel["wheel"], wheel["number"], wheel["end_reason"]) == (3, 0, EndReason.MAX_CYCLES)
    # sold for 1.00, which expires; the shares are sold on session 8 at 46
    assert wheel["cc_pnl"] == pytest.approx(100.0 - 0.66)
    assert wheel["stock_pnl"] == pytest.approx((46.0 - 50.0) * 100)
    assert wheel["pnl"] == pytest.approx(199.34 + 99.34 - 400.0)
    assert (done, busy) == ((1, False), 8)
    assert out.launched.tolist() == [9]  # its number was given when it was launched


@plain
def test_a_call_that_would_be_sought_after_the_window_waits_for_the_next() -> None:
    out, _, busy = resumed(WAITING, until=8, calls=CALLS_AT_5_AND_9, max_cycles=2.0, waits=3)
    assert (out.legs.size, out.wheels.size) == (1, 0)
    state = out.carried[0]
    assert (state["sought"], state["cycle"], state["waits"]) == (9, 2, 3)
    assert (state["latest"], state["closed"]) == (8, pytest.approx(99.34))
    assert (state["wheel"], state["csp_pnl"]) == (3, pytest.approx(199.34))
    assert busy > 10_000  # it stays open, whenever it will end
    # session 9 is in the next window
    rest, _, _ = resumed(
        {name: state[name] for name in state.dtype.names}, until=9, calls=CALLS_AT_5_AND_9,
        max_cycles=2.0, waits=3,
    )  # fmt: skip
    assert rest.legs[["cycle", "number"]].tolist() == [(2, 9)]
    assert rest.wheels["cc_pnl"].tolist() == pytest.approx([2 * 99.34])
    assert rest.wheels["stock_pnl"].tolist() == pytest.approx([(44.0 - 50.0) * 100])


@plain
def test_the_sessions_a_call_has_waited_are_not_granted_again() -> None:
    # of two waits one is left: sought on sessions 6 and 7, in vain
    out, _, _ = resumed(WAITING | {"sought": 6, "waits": 1}, until=9, waits=2)
    assert out.attempts["number"].tolist() == [6, 7]
    assert out.wheels[["end_reason", "end"]].tolist() == [(EndReason.NO_CALL_QUOTES, 7)]


@plain
def test_a_wheel_that_finds_its_buffer_full_is_not_done() -> None:
    both = WAITING, WAITING | {"wheel": 4}
    out, done, _ = resumed(*both, until=9, wheels=1)
    assert (done, out.wheels["wheel"].tolist(), out.attempts.size) == ((1, True), [3], 1)


@plain
def test_wheels_are_resumed_one_by_one_where_the_budget_is_spent() -> None:
    both = WAITING, WAITING | {"wheel": 4}
    first, done, _ = resumed(*both, until=9, budget=1)
    assert (done, first.wheels["wheel"].tolist()) == ((1, False), [3])
    second, done, _ = resumed(*both, until=9, budget=1, start=1)
    assert (done, second.wheels["wheel"].tolist()) == ((2, False), [4])
