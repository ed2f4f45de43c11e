"""Corporate events in the kernels, worked by hand (rules.md, section 12).

The put at 50 is sold on session 0 for 2.00 and settles on session 4 (tests/kernels/build.py); an
order costs 0.66 a contract. Its bars are in the prices of the share as sold:

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
    FOUR_BARS,
    Offer,
    Option,
    call_fields,
    common_fields,
    slice_of,
    the_call,
    the_put,
)
from tests.kernels.test_record import record
from wheelvec.kernels.events import barrier_between, contract_on, passes_any, shares_between
from wheelvec.kernels.outcomes import Outcomes
from wheelvec.kernels.slices import Slice
from wheelvec.model.codes import EndReason, EventKind, ExitReason

NAN = float("nan")
CARRIED, NOT_CARRIED, SUSPECTED = EventKind.CARRIED, EventKind.NOT_CARRIED, EventKind.SUSPECTED
SPLIT = (2, 2, CARRIED)  # 2 for 1 on session 2


def first(out: Outcomes, table: str, *names: str) -> tuple[Any, ...]:
    """Columns of the first leg or wheel."""
    row = getattr(out, table)[0]
    return tuple(row[name].item() for name in names)


def wheel_of(out: Outcomes) -> tuple[EndReason, int, float, float]:
    """End reason, end session, P&L of the stock and of the wheel."""
    reason, end, stock, pnl = first(out, "wheels", "end_reason", "end", "stock_pnl", "pnl")
    return (
        EndReason(reason),
        end,
        pytest.approx(stock, nan_ok=True),
        pytest.approx(pnl, nan_ok=True),
    )


def leg_of(out: Outcomes, leg: int = 0) -> tuple[ExitReason, int, float, int, int]:
    """Exit reason, session and price, contracts and factor of a leg."""
    row = out.legs[leg]
    names = ("exit_number", "exit_price", "contracts", "factor")
    return (ExitReason(row["reason"]), *(row[name].item() for name in names))


def test_events_between_two_sessions() -> None:
    events = slice_of(
        [1.0] * 9, events=((2, 2, CARRIED), (4, 3, CARRIED), (6, 1, SUSPECTED))
    ).events
    assert [shares_between(events, 0, last) for last in (1, 2, 3, 4, 8)] == [1, 2, 2, 6, 6]
    assert shares_between(events, 2, 8) == 3  # the event of session 2 has passed then
    assert [barrier_between(events, 0, 5), barrier_between(events, 5, 6)] == [-1, 2]
    assert [passes_any(events, 2, 3), passes_any(events, 3, 4), passes_any(events, 4, 8)] == [
        False,
        True,
        False,
    ]


def test_a_contract_stands_for_another_from_the_event_on() -> None:
    contracts = slice_of([1.0] * 6, (the_put()._replace(becomes=25.0),), events=(SPLIT,)).contracts
    assert [contract_on(contracts, 0, session) for session in (0, 1, 2, 4)] == [0, 0, 1, 1]
    assert contracts["strike"].tolist() == [50.0, 25.0]


# ---- carried through


def split(closes: list[float], *calls: Option, **more: Any) -> Slice:
    """The put across a split of 2 for 1: 25 after it."""
    events = more.pop("events", (SPLIT,))
    return slice_of(closes, (the_put()._replace(becomes=25.0),), calls, events=events, **more)


def test_settlement_compares_the_strike_after_the_split() -> None:
    out = record(split([51.0, 51.0, 25.5, 25.5, 25.0]))
    assert leg_of(out) == (ExitReason.EXPIRED_WORTHLESS, 4, 0.0, 1, 2)
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 0.66)  # one order, before the split


def test_buying_back_after_a_split_pays_for_every_contract() -> None:
    out = record(split([51.0] * 5), targets=(0.50,))
    # 1.00 on session 2 is the price of two contracts at 0.50
    assert leg_of(out) == (ExitReason.PROFIT_TARGET, 2, 1.00, 1, 2)
    assert out.wheels["pnl"][0] == pytest.approx(200.0 - 100.0 - 0.66 - 2 * 0.66)
    before = record(split([51.0] * 5, events=((3, 2, CARRIED),)), targets=(0.50,))
    assert leg_of(before) == (ExitReason.PROFIT_TARGET, 2, 1.00, 1, 1)
    assert before.wheels["pnl"][0] == pytest.approx(200.0 - 100.0 - 2 * 0.66)
    assert [out.wheels["passed"][0], before.wheels["passed"][0]] == [True, False]


def test_assignment_delivers_the_shares_that_the_split_made() -> None:
    out = record(split([51.0, 51.0, 25.5, 25.5, 24.0, 23.0]))
    # 200 shares for 25.00, sold at 23.00 on the session on which no call is quoted
    assert leg_of(out) == (ExitReason.ASSIGNED, 4, 0.0, 1, 2)
    assert wheel_of(out) == (EndReason.NO_CALL_QUOTES, 5, -400.0, 200.0 - 0.66 - 400.0)
    assert first(out, "wheels", "lots", "sale", "passed") == (2, 23.0, True)


def test_a_call_is_sold_for_every_hundred_shares() -> None:
    closes = [51.0, 51.0, 25.5, 25.5, 24.0, 24.0, 24.5, 26.0, 27.0]
    out = record(split(closes, the_call(24.0), the_call(23.99)))
    # the basis is (25 * 200 - 200) / 200 = 24.00
    assert out.attempts["above_basis"].tolist() == [1]
    assert leg_of(out, 1) == (ExitReason.CALLED_AWAY, 8, 0.0, 2, 1)
    cc = 2 * 100.0 - 2 * 0.66
    assert wheel_of(out) == (EndReason.CALLED_AWAY, 8, -200.0, 200.0 - 0.66 + cc - 200.0)
    bought = record(split(closes, the_call(24.0, bars=((0.50, 0.50, 0.50, 0.50),))))
    cc = 2 * 100.0 - 2 * 50.0 - 2 * 0.66 - 2 * 0.66
    assert bought.wheels["cc_pnl"][0] == pytest.approx(cc)


def test_shares_and_a_call_pass_a_split() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, 48.0, 16.0, 16.0, 17.0]
    call = the_call(49.0)._replace(becomes=16.33)
    slice_ = slice_of(closes, (the_put(),), (call,), {6: 0.10}, ((6, 3, CARRIED),))
    out = record(slice_)
    # 300 shares leave at 16.33, a dividend of 0.10 on the day of the split is paid on 300
    assert leg_of(out, 1) == (ExitReason.CALLED_AWAY, 8, 0.0, 1, 3)
    stock = 300 * 16.33 - 5000.0 + 30.0
    assert wheel_of(out)[:3] == (EndReason.CALLED_AWAY, 8, stock)
    assert first(out, "wheels", "lots", "sale", "passed") == (3, 16.33, True)


def test_the_basis_falls_with_a_split_while_shares_are_held() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, 48.0, 16.0, 16.0, 17.0]
    calls = (the_call(16.0, session=6), the_call(15.99, session=6))
    slice_ = slice_of(closes, (the_put(),), calls, events=((6, 3, CARRIED),))
    out = record(slice_, call=call_fields(waits=1))
    # (5000 - 200) / 300 = 16.00
    assert out.attempts["status"].tolist() == [int(EndReason.NO_CALL_QUOTES), -1]
    assert out.attempts["above_basis"].tolist() == [0, 1]
    assert leg_of(out, 1)[3:] == (3, 1)


def test_a_mark_counts_the_shares_of_its_day() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, 46.0, NAN, NAN, NAN]
    call = the_call(49.0)._replace(becomes=24.5)
    slice_ = slice_of(closes, (the_put(),), (call,), events=((7, 2, CARRIED),))
    out = record(slice_)
    # the last close is 46.00 on session 5, of 100 shares; the call is worth its premium
    assert leg_of(out, 1)[0] == ExitReason.OPEN
    marked = 200.0 - 0.66 + (46.0 - 50.0) * 100 - 0.66
    assert out.wheels["marked"][0] == pytest.approx(marked)


# ---- not carried through


def eve(*bars: tuple[float, float, float, float], row: int = -1, **more: Any) -> Slice:
    """The put before an event on session 3 that it does not survive: its path ends on session 2."""
    put = Option(50.0, 4, {0: Offer(1.98, 2.08)}, dict(enumerate(bars, 1)), eve_row=row)
    return slice_of([51.0] * 6, (put,), events=((3, 1, more.pop("kind", NOT_CARRIED)),), **more)


def test_an_open_put_is_bought_back_on_the_eve() -> None:
    out = record(eve(*FOUR_BARS[:2], row=1))
    # min(1.60, 1.20 + 0.30 * (1.60 - 0.95) = 1.395), up to 1.40
    assert leg_of(out) == (ExitReason.CORPORATE_ACTION, 2, 1.40, 1, 1)
    assert wheel_of(out) == (EndReason.PUT_CLOSED, 2, 0.0, 200.0 - 140.0 - 2 * 0.66)
    assert first(out, "wheels", "until", "passed") == (2, False)


def test_the_tests_of_the_eve_come_first() -> None:
    out = record(eve(*FOUR_BARS[:2], row=1), targets=(0.50,))
    assert leg_of(out)[:3] == (ExitReason.PROFIT_TARGET, 2, 1.00)


def test_a_put_without_a_price_on_the_eve_stays_unresolved() -> None:
    out = record(eve(FOUR_BARS[0]))
    assert leg_of(out)[:2] == (ExitReason.CORPORATE_ACTION, 2)
    assert np.isnan(out.legs["exit_price"][0])
    assert wheel_of(out)[:2] == (EndReason.UNRESOLVED, 2)
    assert first(out, "wheels", "resolved", "until") == (False, 4)
    assert np.isnan([out.wheels["pnl"][0], out.wheels["marked"][0]]).all()


FALLING = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, 46.0, 45.0, 44.0]


@pytest.mark.parametrize(
    ("session", "calls", "rules", "end"),
    [
        (5, (the_call(49.0),), {}, 4),  # assigned on the eve
        (6, (the_call(49.0),), {}, 5),  # nothing is sold on the eve
        (7, (the_call(47.9),), {"waits": 3}, 6),  # still sought
    ],
)
def test_shares_are_sold_on_the_eve(
    session: int, calls: tuple[Option, ...], rules: dict[str, Any], end: int
) -> None:
    slice_ = slice_of(FALLING, (the_put(),), calls, events=((session, 1, NOT_CARRIED),))
    out = record(slice_, call=call_fields(**rules))
    stock = (FALLING[end] - 50.0) * 100
    assert wheel_of(out) == (EndReason.CORPORATE_ACTION, end, stock, 200.0 - 0.66 + stock)
    assert out.attempts["number"].tolist() == list(range(5, end))


def test_a_wheel_that_may_sell_no_more_has_ended_before() -> None:
    slice_ = slice_of(FALLING, (the_put(),), (the_call(47.9),), events=((7, 1, NOT_CARRIED),))
    assert wheel_of(record(slice_))[:2] == (EndReason.NO_CALL_ABOVE_BASIS, 5)


def test_a_call_is_bought_back_on_the_eve_and_the_shares_are_sold() -> None:
    call = the_call(49.0, bars=((0.90, 0.95, 0.85, 0.90),))._replace(eve_row=4)
    slice_ = slice_of(FALLING, (the_put(),), (call,), events=((7, 1, NOT_CARRIED),))
    out = record(slice_, call=call_fields(exit_pct=0.05, max_cycles=2.0))
    # 0.90 + 0.30 * 0.10 on session 6
    assert leg_of(out, 1)[:3] == (ExitReason.CORPORATE_ACTION, 6, 0.93)
    cc, stock = 100.0 - 93.0 - 2 * 0.66, (46.0 - 50.0) * 100
    assert wheel_of(out) == (EndReason.CORPORATE_ACTION, 6, stock, 200.0 - 0.66 + cc + stock)
    v5 = record(slice_, common=common_fields(v5=True), call=call_fields(exit_pct=0.05))
    assert wheel_of(v5)[:3] == (EndReason.CORPORATE_ACTION, 6, 0.0)


def test_a_call_without_a_price_is_marked_on_the_eve() -> None:
    slice_ = slice_of(FALLING, (the_put(),), (the_call(49.0),), events=((7, 1, NOT_CARRIED),))
    out = record(slice_)
    assert leg_of(out, 1)[:2] == (ExitReason.CORPORATE_ACTION, 6)
    # shares at 46.00 on the eve, the call at its premium less one order
    marked = 200.0 - 0.66 + (46.0 - 50.0) * 100 - 0.66
    assert out.wheels["marked"][0] == pytest.approx(marked)
    assert wheel_of(out)[0] == EndReason.UNRESOLVED


def test_an_order_waits_no_longer_than_the_eve() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, NAN, NAN, 45.0, 44.0]
    slice_ = slice_of(closes, (the_put(),), events=((7, 1, NOT_CARRIED),))
    out = record(slice_)
    assert wheel_of(out)[:2] == (EndReason.UNRESOLVED, 5)
    assert out.wheels["marked"][0] == pytest.approx(200.0 - 0.66 - 200.0)  # at 48.00


# ---- suspected


def test_a_put_open_across_a_suspected_split_is_unresolved() -> None:
    out = record(eve(*FOUR_BARS[:2], kind=SUSPECTED))
    assert leg_of(out)[:2] == (ExitReason.SUSPECTED_SPLIT, 2)
    assert wheel_of(out)[:2] == (EndReason.UNRESOLVED, 2)
    assert np.isnan(out.wheels["marked"][0])
    done = record(eve(*FOUR_BARS[:2], kind=SUSPECTED), targets=(0.50,))
    assert leg_of(done)[:2] == (ExitReason.PROFIT_TARGET, 2)


def test_shares_held_across_a_suspected_split_have_no_value() -> None:
    slice_ = slice_of(FALLING, (the_put(),), (the_call(47.9),), events=((7, 1, SUSPECTED),))
    out = record(slice_, call=call_fields(waits=3))
    # a call is sought on the eve, session 6, and not after it
    assert out.attempts["number"].tolist() == [5, 6]
    assert wheel_of(out)[0] == EndReason.UNRESOLVED
    assert np.isnan(out.wheels["marked"][0])
    v5 = record(slice_, common=common_fields(v5=True))
    assert wheel_of(v5)[:3] == (EndReason.NO_CALL_ABOVE_BASIS, 4, 0.0)  # ended with its put


def test_an_order_that_waits_into_a_suspected_split_has_no_value() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, NAN, NAN, 45.0, 44.0]
    out = record(slice_of(closes, (the_put(),), events=((7, 1, SUSPECTED),)))
    assert wheel_of(out)[0] == EndReason.UNRESOLVED
    assert np.isnan(out.wheels["marked"][0])
