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
    common_fields,
    draw_fields,
    even_chance,
    named,
    row,
    rows,
    slice_of,
    the_call,
    the_put,
)
from wheelvec.kernels.accumulate import ABOVE, AFTER, CC, FIELDS, INSIDE, WORDS, days_of
from wheelvec.kernels.calls import (
    FAR,
    SALE,
    SOLD,
    AssignedEnds,
    CallEnd,
    assigned_put,
    barrier_before,
    basis_of,
    call_end,
    clear_assigned_ends,
    first_state,
    last_mark,
    make_sale,
    new_assigned_ends,
    new_search_buffers,
    qualify,
    sell_calls,
    sell_one,
)
from wheelvec.kernels.exits import ASSIGNED, Put
from wheelvec.kernels.outcomes import Outcomes, new_outcomes, written
from wheelvec.kernels.parameters import CALL, COMMON, DRAW
from wheelvec.kernels.quotes import Quotes
from wheelvec.kernels.wheel import AssignedPut, Course
from wheelvec.model.codes import EndReason, EventKind, ExitReason, Select, Tier

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
    common: dict[str, Any] | None = None,
    **rules: Any,
) -> tuple[Course, Outcomes]:
    """How far the wheel gets, and its legs and attempts."""
    slice_ = slice_of(closes, (the_put(),), calls)
    ends: AssignedEnds = named(new_assigned_ends(1, 8, 8))
    clear_assigned_ends(ends, 1)
    out, counts = named(new_outcomes(4, len(closes), 0)), np.zeros(WORDS - AFTER, np.uint64)
    terms, call = row(COMMON, **common or common_fields()), row(CALL, **call_fields(**rules))
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
    v5 = sell(closes, the_call(), common=common_fields(v5=True))[1]
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


# ---- which call is sold


def calls_of(*calls: tuple[float, float, float, float, int, float, float]) -> Quotes:
    """Quotes of session 5 by strike, bid, ask, iv, dte, delta and share out of the money."""
    strike, bid, ask, iv, dte, delta, otm = (
        np.array(column) for column in zip(*calls, strict=True)
    )
    mid = (bid + ask) / 2
    spread_pct, rank = (ask - bid) / mid, np.full(strike.size, 0.25)
    return Quotes(strike, bid, ask, mid, spread_pct, dte, iv, delta, otm, rank)


def qualified(calls: Quotes, basis: float = 48.0, **rules: Any) -> tuple[list[int], int]:
    """The rows of calls in range and above the basis, and how many are in range."""
    field, n = np.zeros(8, np.int64), calls.strike.size
    in_range, above = qualify(calls, 0, n, basis, row(CALL, **call_fields(**rules)), field)
    return field[:above].tolist(), in_range


@pytest.mark.parametrize(
    ("rules", "rows", "in_range"),
    [
        ({}, [1, 2], 3),
        ({"above_basis": False}, [0, 1, 2], 3),
        # both ends of a range are included
        ({"dte_min": 3, "dte_max": 7}, [1, 2], 3),
        ({"dte_min": 4}, [2], 1),
        ({"dte_max": 6}, [1], 2),
        ({"delta_min": 0.20, "delta_max": 0.45}, [1, 2], 2),
        ({"delta_min": 0.21}, [1], 2),
        ({"by_otm": True, "otm_min": 0.00, "otm_max": 0.04}, [1, 2], 2),
        ({"by_otm": True, "otm_min": 0.01, "otm_max": 0.04}, [2], 1),
        ({"otm_min": 0.01, "otm_max": 0.03}, [1, 2], 3),  # not asked for
        # 48 * 1.02 = 48.96; a limit counts as reached within a relative 1e-9
        ({"strike_factor": 1.02}, [2], 3),
        ({"strike_factor": (1.0 + 2.0 / 48.0) * (1.0 - 1e-9)}, [2], 3),  # 50
        ({"strike_factor": 1.05}, [], 3),
    ],
)
def test_a_call_must_be_in_range_and_at_least_at_the_basis(
    rules: dict[str, Any], rows: list[int], in_range: int
) -> None:
    calls = calls_of(
        (47.99, 1.90, 2.00, 0.4, 3, 0.55, -0.01),
        (48.00, 1.80, 1.90, 0.4, 3, 0.45, 0.00),
        (50.00, 0.90, 1.00, 0.4, 7, 0.20, 0.04),
    )
    assert qualified(calls, **rules) == (rows, in_range)


def sale_of(calls: Quotes, common: dict[str, Any] | None = None, **rules: Any) -> Any:
    """The row of SALE that a search writes among calls of a wheel with a basis of 48."""
    out = rows(SALE, {"row": -1})
    sell_one(
        0, calls, 0, calls.strike.size, 48.0, row(CALL, **call_fields(**rules)),
        row(COMMON, **common or common_fields()), named(new_search_buffers(8)), out,
    )  # fmt: skip
    return out[0]


UNDER = (47.0, 2.00, 2.10, 0.9, 3, 0.5, 0.0)  # the basis
MIDDLE = (49.0, 0.98, 1.08, 0.4, 3, 0.3, 0.04)  # a spread of 0.10 / 1.03 = 9.7%
DEAR = (50.0, 1.00, 1.60, 0.5, 3, 0.2, 0.06)  # of 46%: rejected


def test_calls_that_are_rejected_were_ranked_with_the_others() -> None:
    sale = sale_of(calls_of(UNDER, MIDDLE, DEAR))
    assert (sale["in_range"], sale["above_basis"], sale["liquid"]) == (3, 2, 1)
    assert (sale["status"], sale["row"]) == (SOLD, 1)
    # of two ranks the lower: 8% are allowed and 2% more near the expiration, over 9.7%
    assert (sale["ivp"], sale["tier"], sale["penalty"]) == (0.5, Tier.MODERATE, 1.15)
    # 1.03 - 0.30 * 0.10 * 1.15 = 0.9955, down to the cent
    assert sale["price"] == 0.99


def test_the_rank_of_a_call_moves_its_tier_and_its_price() -> None:
    sale = sale_of(calls_of(MIDDLE))
    # alone its rank is 1: 0.6 * (15% + 2%) = 10.2% is tight
    assert (sale["ivp"], sale["tier"], sale["price"]) == (1.0, Tier.TIGHT, 1.00)
    chain = sale_of(calls_of(MIDDLE), rank_over_chain=True)
    assert (chain["ivp"], chain["tier"]) == (0.25, Tier.MODERATE)


@pytest.mark.parametrize(
    ("calls", "rules", "status"),
    [
        ((UNDER, MIDDLE), {"dte_min": 4}, EndReason.NO_CALL_IN_RANGE),
        ((UNDER,), {}, EndReason.NO_CALL_ABOVE_BASIS),
        ((UNDER, DEAR), {}, EndReason.NO_CALL_LIQUID),
    ],
)
def test_a_search_that_sells_nothing_says_which_test_left_none(
    calls: tuple[Any, ...], rules: dict[str, Any], status: EndReason
) -> None:
    sale = sale_of(calls_of(*calls), **rules)
    assert (sale["status"], sale["row"], sale["price"]) == (status, -1, 0.0)


def test_of_equal_calls_the_first_is_sold() -> None:
    twin = (49.5, *MIDDLE[1:])
    assert sale_of(calls_of(MIDDLE, twin))["row"] == 0
    assert sale_of(calls_of(twin, MIDDLE))["row"] == 0
    assert sale_of(calls_of(MIDDLE, twin), select=int(Select.HIGHEST_STRIKE))["row"] == 1


# ---- how it ends


def end_of(
    call: Option,
    closes: list[float] = FALLING,
    draw: dict[str, Any] | None = None,
    common: dict[str, Any] | None = None,
    **rules: Any,
) -> tuple[CallEnd, dict[str, int]]:
    """How a call sold on session 5 ends, and what it counts."""
    slice_ = slice_of(closes, (the_put(),), (call,))
    memory, words = named(new_assigned_ends(1, 8, 8)).memory, np.zeros(WORDS - AFTER, np.uint64)
    terms, odds = row(COMMON, **common or common_fields()), row(DRAW, **draw or draw_fields())
    search = row(CALL, **call_fields(**rules))
    make_sale(slice_, 0, 5, 48.0, terms, 0, search, memory)
    ended = call_end(slice_, memory, 0, 1, WORD, terms, search, odds, words)
    names = {"inside": INSIDE, "above": ABOVE} | {
        reason.name.lower(): CC + reason for reason in ExitReason
    }
    found = {
        name: int(words[word - AFTER] >> np.uint64(shift)) & (2 ** int(bits) - 1)
        for name, code in names.items()
        for count, word, shift, bits in FIELDS.tolist()
        if count == code and word >= AFTER
    }
    return ended, {name: number for name, number in found.items() if number}


def test_a_call_that_opens_below_its_target_is_bought_back_at_the_open() -> None:
    ended, found = end_of(the_call(bars=((0.70, 0.80, 0.60, 0.70), (0.40, 0.45, 0.30, 0.35))))
    # half of 1.00 is touched on session 7, which opens at 0.40
    assert (ended.reason, ended.number, ended.price) == (ExitReason.PROFIT_TARGET, 7, 0.40)
    assert (days_of(ended.sums), ended.missing, ended.touches) == (2, 0, 1)
    assert found == {"profit_target": 1}


def test_a_call_that_no_rule_ends_settles() -> None:
    ended, found = end_of(the_call(bars=((0.70, 0.80, 0.60, 0.70),)))
    assert (ended.reason, ended.number, ended.price) == (ExitReason.EXPIRED_WORTHLESS, 8, 0.0)
    assert (days_of(ended.sums), ended.missing) == (3, 2)  # sessions 7 and 8 have no bar
    assert np.isnan(ended.u)
    assert found == {"expired_worthless": 1}


def test_fills_that_no_exchange_would_give_are_counted() -> None:
    at_market = common_fields(trigger=False)
    # over the target of 0.50: 0.70 + 0.30 * 0.40; under the stop of 2.00: 1.30 + 0.30 * 1.20
    above, found = end_of(the_call(bars=((0.80, 0.85, 0.45, 0.70),)), common=at_market)
    assert above.price == 0.82
    assert found == {"profit_target": 1, "above": 1}
    inside, found = end_of(
        the_call(bars=((1.20, 2.10, 0.90, 1.30),)), common=at_market, stop_multiplier=2.0
    )
    assert inside.price == 1.66
    assert found == {"stop_loss": 1, "inside": 1}
    # at the trigger both fill at their limits, or worse
    _, found = end_of(the_call(bars=((1.20, 2.10, 0.90, 1.30),)), stop_multiplier=2.0)
    assert found == {"stop_loss": 1}


def test_the_hold_of_a_call_counts_the_days_to_its_own_expiration() -> None:
    bars = ((0.70, 0.80, 0.60, 0.70),) * 3
    ended, _ = end_of(the_call(bars=bars), max_hold_dte=1)
    # session 7 is a day before session 8: 0.70 + 0.30 * 0.20
    assert (ended.reason, ended.number, ended.price) == (ExitReason.MAX_HOLD_DTE, 7, 0.76)
    settled, _ = end_of(the_call(bars=bars[:2]), max_hold_dte=0)
    assert settled.reason == ExitReason.EXPIRED_WORTHLESS  # session 8 has no bar


def test_the_odds_of_a_call_are_those_of_its_own_quote_but_under_v5() -> None:
    drawn = draw_fields(probabilistic=True)
    low = (0.60, 0.70, 0.45, 0.60)
    # a spread of 9.7% and rank 1: 0.70 * 0.6 * 0.70; the draw of 0.367 is above it
    own, found = end_of(the_call(bars=(low,)), draw=drawn)
    assert own.chance == pytest.approx(0.294)
    assert found == {"expired_worthless": 1}
    flat, found = end_of(the_call(bars=(low,)), draw=drawn, flat_odds=True)
    assert flat.chance == pytest.approx(0.90 * 0.6)
    assert flat.u == pytest.approx(0.3670398538868316)
    assert found == {"profit_target": 1}


def test_a_call_is_marked_at_its_last_close_up_to_the_day() -> None:
    call = the_call(bars=((0.70, 0.80, 0.60, 0.75), (0.60, 0.70, 0.50, 0.65)))
    slice_ = slice_of(FALLING, (the_put(),), (call,))
    sale = row(SALE, row=0, price=1.00)
    # closes of sessions 6 and 7; on the day of its sale it is worth its premium
    assert [last_mark(slice_, sale, session) for session in (5, 6, 7, 8)] == [
        1.00, 0.75, 0.65, 0.65,
    ]  # fmt: skip


# ---- the shares under it


def assigned(strike: float = 50.0, contracts: int = 1, settlement: int = 4) -> AssignedPut:
    return AssignedPut(-1, strike, 2.00, 200.0, settlement, WORD, contracts)


def test_the_basis_is_what_was_paid_for_the_shares_less_the_premium() -> None:
    assert basis_of(assigned(), 1) == (50.0 * 100 - 200) / 100
    # after 2 for 1 the put at 25 delivered 200 shares
    assert basis_of(assigned(25.0, contracts=2), 2) == (25.0 * 200 - 200) / 200
    # 100 shares at 50 have become 300 while they were held
    assert basis_of(assigned(), 3) == (50.0 * 100 - 200) / 300


def barriers(event: tuple[int, int, EventKind], *numbers: int, v5: bool = False) -> list[int]:
    """The event before which the wheel must end, where a call would be sought on each session."""
    slice_ = slice_of(FALLING, (the_put(),), events=(event,))
    terms = row(COMMON, **common_fields(v5=v5))
    return [barrier_before(slice_, assigned(), number, terms) for number in numbers]


def test_no_call_is_sought_on_the_eve_of_an_event_it_would_not_survive() -> None:
    event = (7, 1, EventKind.NOT_CARRIED)
    # on session 8 the event has passed: the wheel ended before it, or holds no shares
    assert barriers(event, 5, 6, 7, 8) == [-1, 0, 0, -1]
    # under v5 none is sought on the eve or later
    assert barriers(event, 5, 6, 7, 8, v5=True) == [-1, 0, 0, 0]


def test_calls_are_sought_on_the_eve_of_a_suspected_split_and_not_after_it() -> None:
    event = (7, 1, EventKind.SUSPECTED)
    assert barriers(event, 5, 6, 7) == [-1, -1, 0]
    assert barriers(event, 5, 6, 7, 9, v5=True) == [-1, -1, 0, 0]


def test_an_event_that_shares_are_carried_through_ends_no_wheel() -> None:
    assert barriers((7, 3, EventKind.CARRIED), 6, 7) == [-1, -1]


def test_on_a_day_that_is_no_session_an_event_of_the_next_one_ends_a_wheel_of_v5() -> None:
    # assigned on session 4: its eve, if the event is of session 5
    assert barriers((5, 1, EventKind.NOT_CARRIED), -1, v5=True) == [0]
    assert barriers((6, 1, EventKind.NOT_CARRIED), -1, v5=True) == [-1]
