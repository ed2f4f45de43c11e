"""Buffers of outcomes: what is written, and that nothing is written past their end."""

import numpy as np

from tests.kernels.build import named, row, slice_of, the_put
from wheelvec.kernels.calls import SALE, WheelState
from wheelvec.kernels.outcomes import (
    Outcomes,
    Sold,
    doubled,
    full,
    new_outcomes,
    write_attempt,
    write_carried,
    write_leg,
    written,
)
from wheelvec.kernels.record import PutEnd
from wheelvec.kernels.wheel import AssignedPut
from wheelvec.model.codes import EndReason, ExitReason, Tier

CLOSES = [51.0, 51.0, 51.0, 51.0, 48.0]
SLICE = slice_of(CLOSES, (the_put(),))
SOLD = Sold(price=2.00, ivp=1.0, tier=int(Tier.TIGHT), penalty=1.0, contracts=1)
STOPPED = PutEnd(int(ExitReason.STOP_LOSS), 3, 4.10, 1, 0.755, 0)
ASSIGNED = PutEnd(int(ExitReason.ASSIGNED), 4, 0.0, 0, np.nan, 0)


def of_one_wheel() -> Outcomes:
    """Buffers of three legs and three attempts."""
    return named(new_outcomes(1, len(CLOSES), 0))


def test_a_leg_is_written_with_its_contract_its_sale_and_its_end() -> None:
    out = of_one_wheel()
    write_leg(out, SLICE, 0, SLICE.puts[0], 0, 0, SOLD, 0.5, STOPPED)
    write_leg(out, SLICE, 0, SLICE.puts[0], 0, 0, SOLD, 0.5, ASSIGNED)
    legs = written(out).legs
    assert out.size.tolist() == [2, 0, 0, 0]
    assert legs["settlement"].tolist() == [4, 4]
    assert legs["expiration_day"].tolist() == [1004, 1004]
    assert legs["strike"].tolist() == [50.0, 50.0]
    assert legs["price"].tolist() == [2.00, 2.00]
    assert legs["p_fill"].tolist() == [0.5, 0.5]
    assert legs["reason"].tolist() == [ExitReason.STOP_LOSS, ExitReason.ASSIGNED]
    assert legs["exit_number"].tolist() == [3, 4]
    assert legs["exit_price"].tolist() == [4.10, 0.0]
    # only a leg that ran to its settlement depends on the close there
    assert np.isnan(legs["settlement_close"]).tolist() == [True, False]
    assert legs["settlement_close"][1] == 48.0


def test_an_attempt_is_written_with_its_counts() -> None:
    out = of_one_wheel()
    status = int(EndReason.NO_CALL_LIQUID)
    write_attempt(out, 0, 1, 5, row(SALE, status=status, in_range=3, above_basis=2, liquid=0))
    attempt = written(out).attempts
    assert [int(attempt[name][0]) for name in ("cycle", "number", "status")] == [1, 5, status]
    assert [int(attempt[name][0]) for name in ("in_range", "above_basis", "liquid")] == [3, 2, 0]


def test_a_wheel_carried_on_keeps_its_put_and_its_state() -> None:
    out = of_one_wheel()
    put = AssignedPut(
        wheel=3,
        strike=25.0,
        price=2.00,
        premium=200.0,
        settlement=4,
        word=np.uint64(7),
        contracts=2,
    )
    state = WheelState(sought=9, cycle=2, waits=1, latest=8, closed=-10.0)
    write_carried(out, 1, True, 199.34, put, state)
    kept = written(out).carried[0]
    expected = {
        "wheel": 3, "number": 1, "censored": True, "csp_pnl": 199.34, "strike": 25.0,
        "price": 2.00, "premium": 200.0, "settlement": 4, "word": 7, "sought": 9, "cycle": 2,
        "waits": 1, "latest": 8, "closed": -10.0, "contracts": 2,
    }  # fmt: skip
    assert {name: kept[name].item() for name in kept.dtype.names} == expected
    assert not full(out)
    write_carried(out, 1, True, 199.34, put, state)
    assert full(out)
    assert out.size.tolist() == [0, 0, 0, 2]


def test_a_full_buffer_counts_on_and_is_doubled() -> None:
    out = of_one_wheel()
    for _ in range(3):
        write_leg(out, SLICE, 0, SLICE.puts[0], 0, 0, SOLD, 0.5, STOPPED)
    assert not full(out)
    write_leg(out, SLICE, 0, SLICE.puts[0], 0, 0, SOLD, 0.5, STOPPED)
    assert full(out)
    assert out.size[0] == 4
    larger = named(doubled(out))
    assert [table.size for table in larger[:3]] == [6, 6, 2]
    assert larger.legs["price"].tolist() == [2.00, 2.00, 2.00, 0.0, 0.0, 0.0]
