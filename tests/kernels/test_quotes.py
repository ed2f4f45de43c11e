"""Rank, tier, price and odds of quotes, worked by hand (rules.md, 3 to 5)."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import Offer, common_fields, draw_fields, named, row
from wheelvec.kernels import quotes as q
from wheelvec.kernels.parameters import COMMON, DRAW
from wheelvec.kernels.quotes import Grades, Quotes
from wheelvec.model.codes import FillMode, Select, Tier

REALISTIC, PESSIMISTIC = int(FillMode.REALISTIC), int(FillMode.PESSIMISTIC)
OPTIMISTIC, NATURAL = int(FillMode.OPTIMISTIC), int(FillMode.NATURAL)


def chain(*offers: Offer, strike: tuple[float, ...] = (), dte: tuple[int, ...] = ()) -> Quotes:
    n = len(offers)
    bid, ask = np.array([o.bid for o in offers]), np.array([o.ask for o in offers])
    mid = (bid + ask) / 2.0
    return Quotes(
        strike=np.array(strike or [50.0] * n), bid=bid, ask=ask, mid=mid, spread_pct=(ask - bid) / mid,
        dte=np.array(dte or [30] * n), iv=np.array([o.iv for o in offers]),
        delta=np.array([o.delta for o in offers]), otm=np.zeros(n), chain_rank=np.full(n, 0.25),
    )  # fmt: skip


def grades(n: int) -> Grades:
    return Grades(np.zeros(n), np.zeros(n, np.int8), np.zeros(n, np.bool_))


def common_of(**fields: Any) -> Any:
    return row(COMMON, **common_fields(**fields))


def test_equal_values_share_their_mean_rank() -> None:
    out = np.empty(4)
    q.rank_percentiles(np.array([0.30, 0.20, 0.30, 0.50]), out)
    # ranks 2.5 (of 2 and 3), 1, 2.5 and 4, of 4
    assert out.tolist() == [0.625, 0.25, 0.625, 1.0]


@pytest.mark.parametrize(
    ("spread_pct", "bid", "ivp", "dte", "tier"),
    [
        (0.0480, 1.00, 0.50, 30, Tier.TIGHT),  # 0.6 * 8% = 4.8%
        (0.0481, 1.00, 0.50, 30, Tier.MODERATE),
        (0.0801, 1.00, 0.50, 30, Tier.WIDE),
        (0.0720, 1.00, 0.70, 30, Tier.TIGHT),  # 0.6 * 12% = 7.2%
        (0.0900, 1.00, 0.90, 30, Tier.TIGHT),  # 0.6 * 15% = 9%
        (0.1000, 1.00, 0.50, 7, Tier.MODERATE),  # 8% + 2% a week before the expiration
        (0.2001, 1.00, 0.50, 30, Tier.REJECTED),
        (0.0100, 0.09, 0.50, 30, Tier.REJECTED),
    ],
)
def test_tier(spread_pct: float, bid: float, ivp: float, dte: int, tier: Tier) -> None:
    assert q.tier_of(spread_pct, bid, ivp, dte, common_of()) == tier


def test_a_bid_of_nothing_is_rejected_also_where_no_bid_is_too_low() -> None:
    assert q.tier_of(0.01, 0.0, 0.5, 30, common_of(min_bid=0.0)) == Tier.REJECTED


@pytest.mark.parametrize(
    ("mode", "tier", "price"),
    [
        (OPTIMISTIC, Tier.TIGHT, 2.05),  # the mid of 2.00 and 2.10
        (REALISTIC, Tier.TIGHT, 2.02),  # 2.05 - 0.30 * 0.10 * 1.00
        (REALISTIC, Tier.MODERATE, 2.01),  # 2.05 - 0.30 * 0.10 * 1.15 = 2.0155, down to the cent
        (PESSIMISTIC, Tier.TIGHT, 2.00),  # 2.05 - 0.75 * 0.10 = 1.975 is under the bid
        (NATURAL, Tier.WIDE, 2.00),
    ],
)
def test_entry_price(mode: int, tier: Tier, price: float) -> None:
    assert q.entry_price(2.00, 2.10, 2.05, q.penalty_of(int(tier)), mode, 100.0) == price


def test_prices_lie_on_their_tick_or_the_next() -> None:
    assert q.tick_down(2.0155, 100.0) == 2.01
    assert q.tick_up(2.0155, 100.0) == 2.02
    assert q.tick_down(2.0155, 20.0) == 2.00  # nickels
    assert q.tick_up(2.0155, 0.0) == 2.0155  # none
    # 3 * 1.10 is a little more than 3.30, and 0.30 * 0.10 a little less than 0.03
    assert q.tick_up(3 * 1.10, 100.0) == 3.30
    assert q.tick_down(1 - 0.9, 100.0) == 0.10


@pytest.mark.parametrize(
    ("spread_pct", "ivp", "chance"),
    [
        (0.05, 0.50, 0.90 * 0.6),  # tight
        (0.10, 0.50, 0.70 * 0.6),  # normal
        (0.11, 0.50, 0.40 * 0.6),  # wide
        (0.05, 0.70, 0.90 * 0.6 * 0.85),  # a high rank
        (0.05, 0.90, 0.90 * 0.6 * 0.70),  # an extreme one
    ],
)
def test_fill_probability(spread_pct: float, ivp: float, chance: float) -> None:
    odds = row(DRAW, **draw_fields())
    assert q.fill_probability(spread_pct, ivp, common_of(), odds) == chance


def test_fill_probability_has_bounds() -> None:
    assert q.fill_probability(0.05, 0.5, common_of(), row(DRAW, **draw_fields(scale=9.0))) == 0.98
    assert q.fill_probability(0.05, 0.5, common_of(), row(DRAW, **draw_fields(scale=0.0))) == 0.05


def test_rejected_quotes_are_ranked_with_the_others() -> None:
    # the second is rejected for its spread of 40%, and yet the first is the second of three
    quotes = chain(Offer(1.00, 1.05, 0.40), Offer(0.80, 1.20, 0.30), Offer(2.00, 2.20, 0.50))
    out = grades(3)
    q.grade(named(quotes), False, common_of(), out)
    assert out.ivp.tolist() == [2 / 3, 1 / 3, 1.0]
    # 4.9% and 9.5%: more than 0.6 of 8%, and more than 0.6 of 15%
    assert out.tier.tolist() == [Tier.MODERATE, Tier.REJECTED, Tier.MODERATE]


def test_few_quotes_have_no_rank_and_the_whole_chain_may_give_it() -> None:
    quotes, out = chain(Offer(1.00, 1.05, 0.40), Offer(1.00, 1.05, 0.30)), grades(2)
    q.grade(named(quotes), False, common_of(min_ranked=3), out)
    assert out.ivp.tolist() == [0.5, 0.5]
    q.grade(named(quotes), True, common_of(min_ranked=3), out)
    assert out.ivp.tolist() == [0.25, 0.25]  # as `chain` says


def test_an_option_that_would_sell_for_nothing_is_rejected() -> None:
    # 0.04 on ticks of a nickel is 0
    quotes, out = chain(Offer(0.04, 0.044)), grades(1)
    q.grade(named(quotes), False, common_of(min_bid=0.0, ticks=20.0, min_ranked=2), out)
    assert out.tier.tolist() == [Tier.REJECTED]
    q.grade(named(quotes), False, common_of(min_bid=0.0, ticks=100.0, min_ranked=2), out)
    assert out.tier.tolist() == [Tier.WIDE]  # 9.5% of 8%


@pytest.mark.parametrize(
    ("select", "target", "best"),
    [
        (Select.CLOSEST_DELTA, 0.32, 1),
        (Select.HIGHEST_PREMIUM, 0.0, 2),
        (Select.HIGHEST_STRIKE, 0.0, 0),  # of two at 51 the first
        (Select.CLOSEST_PREMIUM, 1.10, 0),
    ],
)
def test_best_of(select: Select, target: float, best: int) -> None:
    quotes = chain(
        Offer(1.00, 1.10, delta=0.25), Offer(1.50, 1.60, delta=0.30), Offer(2.00, 2.10, delta=0.40),
        strike=(51.0, 50.0, 51.0),
    )  # fmt: skip
    assert q.best_of(named(quotes), np.array([True, True, True]), int(select), target) == best
    assert q.best_of(named(quotes), np.array([False] * 3), int(select), target) == -1


def test_the_nearer_of_two_expirations_as_close_stays() -> None:
    chosen = np.array([True, True, True, False])
    q.keep_nearest_expiration(np.array([28, 28, 42, 35]), 35, chosen)
    assert chosen.tolist() == [True, True, False, False]


def test_choose_puts_goes_session_by_session() -> None:
    quotes = chain(Offer(1.00, 1.05), Offer(2.00, 2.05), Offer(3.00, 4.00), Offer(0.50, 0.52))
    out, starts = grades(4), np.array([0, 2, 4])
    dearest = int(Select.HIGHEST_PREMIUM)
    q.choose_puts(named(quotes), starts, False, common_of(), -1, int(Select.ALL), 0.0, out)
    assert out.chosen.tolist() == [True, True, False, True]  # a spread of 29% is rejected
    q.choose_puts(named(quotes), starts, False, common_of(), -1, dearest, 0.0, out)
    assert out.chosen.tolist() == [False, True, False, True]
