"""When options are exercised early, by hand: a put at 50 and a call at 49 (rules.md, 13)."""

import numpy as np
import pytest

from tests.kernels.build import Offer, Option, named, slice_of
from wheelvec.kernels.exercise import (
    NOT_DUE,
    Exercisable,
    Market,
    new_exercises,
    rows_until,
    write_exercises,
)
from wheelvec.kernels.layout import Offers, Traded

NAN = float("nan")
PUT, CALL = 0, 1
Quoted = dict[int, tuple[float, float]]  # session -> bid and ask


def exercises(
    closes: list[float],
    quoted: Quoted | None = None,
    closed: dict[int, float] | None = None,
    due: dict[int, int] | None = None,
    which: int = PUT,
    sold: int = 0,
) -> tuple[int, int]:
    """The session on which an option sold on session `sold` is exercised: at parity, ex-dividend.

    Args:
        closes: of the underlying; the options settle on the last session.
        quoted: valid quotes.
        closed: closes of its bars, by session.
        due: tenths of a cent paid on the session after each.
        which: PUT or CALL.
        sold: session.
    """
    n, none = len(closes), np.full(len(closes), NOT_DUE)
    none[list(due or {})] = list((due or {}).values())
    every = {s: Offer(1.00, 1.10) for s in range(n)}
    slice_ = slice_of(closes, (Option(50.0, n - 1, every),), (Option(49.0, n - 1, every),))
    quotes, bars = quoted or {}, closed or {}
    offers = Offers(
        np.array(list(quotes), np.int32), np.full(len(quotes), which, np.int32),
        np.array([bid for bid, _ in quotes.values()]),
        np.array([ask for _, ask in quotes.values()]),
    )  # fmt: skip
    prices = [np.array(list(bars.values())) for _ in range(4)]
    traded = Traded(np.array(list(bars), np.int32), np.full(len(bars), which, np.int32), *prices)
    contracts = Exercisable(
        np.array([50_000, 49_000]), np.array([5000, 4900]),
        np.array([n - 1, n - 1]), np.array([True, False]),
        np.zeros(2, np.int64), -np.ones(2, np.int64),
    )  # fmt: skip
    write_exercises(
        offers, traded, contracts, np.zeros(0, np.int64), Market(np.array(closes), none),
        named(slice_.puts), slice_.put_starts, named(slice_.calls), slice_.call_starts,
        new_exercises(2),
    )  # fmt: skip
    row = (slice_.calls if which else slice_.puts)[sold]
    return int(row["at_parity"]), int(row["ex_div"])


FALLING = [50.0, 48.0, 47.0, 46.0, 45.0]


def test_a_put_at_parity_is_exercised_on_the_first_such_session_after_its_sale() -> None:
    # in the money by 3.00 on session 2, for which 2.96 to 3.04 has no time value
    quoted = {1: (2.00, 2.10), 2: (2.96, 3.04), 3: (3.90, 4.10)}
    assert exercises(FALLING, quoted) == (2, 0)
    assert exercises(FALLING, quoted, sold=2) == (3, 0)  # not on the session of the sale
    assert exercises(FALLING, quoted, sold=3) == (0, 0)  # nor on the settlement session


@pytest.mark.parametrize(
    ("bid", "ask", "session"),
    # in the money by 3.00; mids of 3.0000, 3.0005 and 3.0010
    [(2.96, 3.04, 2), (2.9605, 3.0404, 2), (2.961, 3.041, 0)],
)
def test_the_time_value_counts_in_tenths_of_a_cent(bid: float, ask: float, session: int) -> None:
    assert exercises(FALLING, {2: (bid, ask)}) == (session, 0)


def test_the_mid_goes_before_the_close_of_the_bar() -> None:
    assert exercises(FALLING, {2: (3.00, 3.10)}, {2: 2.90}) == (0, 0)
    assert exercises(FALLING, {}, {2: 2.90}) == (2, 0)
    assert exercises(FALLING, {}, {2: 3.01}) == (0, 0)


def test_an_option_without_a_price_is_not_exercised_at_parity() -> None:
    assert exercises(FALLING) == (0, 0)


def test_without_a_close_nothing_is_exercised() -> None:
    assert exercises([50.0, 48.0, NAN, 46.0, 45.0], {2: (1.0, 1.1)}) == (0, 0)


def test_an_option_out_of_the_money_is_not_exercised() -> None:
    # 50.004 is 50.00 in whole cents: at the money; 49.994 is 49.99
    assert exercises([50.0, 50.004, 50.0, 51.0, 51.0], {1: (0.0, 0.0), 3: (0.0, 0.0)}) == (0, 0)
    assert exercises([50.0, 49.994, 50.0, 51.0, 51.0], {1: (0.0, 0.01)}) == (1, 0)


RISING = [48.0, 50.0, 51.0, 50.0, 52.0]


def test_a_call_is_exercised_for_a_dividend_above_its_time_value() -> None:
    # on session 2 it is in the money by 2.00 and at 2.30: a time value of 0.30
    quoted = {2: (2.20, 2.40)}
    assert exercises(RISING, quoted, due={2: 301}, which=CALL) == (0, 2)
    assert exercises(RISING, quoted, due={2: 300}, which=CALL) == (0, 0)
    assert exercises(RISING, quoted, due={1: 301}, which=CALL) == (0, 1)  # no price: no time value
    assert exercises(RISING, quoted, due={4: 301}, which=CALL) == (0, 0)  # the settlement session
    assert exercises(RISING, quoted, due={2: 301}, which=CALL, sold=2) == (0, 0)


def test_a_put_is_not_exercised_for_a_dividend() -> None:
    assert exercises(FALLING, {}, due={2: 301}) == (0, 0)


def test_a_call_out_of_the_money_is_kept_whatever_is_paid() -> None:
    assert exercises([48.0, 49.0, 48.0, 48.0, 48.0], {}, due={1: 900, 2: 900}, which=CALL) == (0, 0)


def test_a_call_at_parity_is_exercised_without_a_dividend() -> None:
    assert exercises(RISING, {2: (1.95, 2.05)}, which=CALL) == (2, 0)
    assert exercises(RISING, {2: (1.95, 2.05)}, due={2: 1}, which=CALL) == (2, 2)


def test_the_path_of_an_option_ends_with_its_exercise() -> None:
    bars = dict.fromkeys((1, 3, 4), (1.0, 1.0, 1.0, 1.0))
    slice_ = slice_of([50.0] * 5, (Option(50.0, 4, {0: Offer(1.00, 1.10)}, bars),))
    assert [rows_until(slice_.rows, slice_.puts[0], s) for s in (1, 2, 3)] == [1, 1, 2]
