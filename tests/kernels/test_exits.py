"""Exits worked by hand, and both ways to find them held equal: `walk`, and the tables."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.build import (
    WORD,
    Offer,
    Option,
    common_fields,
    draw_fields,
    named,
    plain,
    plan_of,
    row,
    rows,
    slice_of,
    the_call,
    the_put,
)
from wheelvec.kernels import accumulate as counts
from wheelvec.kernels.accumulate import (
    BOUGHT_MARK,
    PASSED_MARK,
    STRANDED_MARK,
    SUSPECTED_MARK,
    days_of,
    missing_of,
    packed_days,
    packed_pnl,
    packed_reason,
)
from wheelvec.kernels.draws import new_drawn
from wheelvec.kernels.evaluate import Sizes, lay_ends, new_workspace, put_of
from wheelvec.kernels.events import passes_any, shares_between
from wheelvec.kernels.exits import (
    ASSIGNED,
    BAR,
    CORPORATE_ACTION,
    EXIT,
    EXPIRED_WORTHLESS,
    MAX_HOLD_DTE,
    NEVER,
    NO_DATA,
    OPEN,
    PROFIT_TARGET,
    SETTLED,
    STOP_LOSS,
    SUSPECTED_SPLIT,
    Levels,
    Put,
    Scratch,
    SelfEnd,
    SettleRules,
    filling_touches,
    is_bought_back,
    is_resolved,
    lay_bars,
    lay_fees,
    lay_markets,
    lay_settlement,
    mark_ends,
    market_price,
    self_end,
    settle,
    stop_fill,
    stop_level,
    target_fill,
    target_level,
    walk,
)
from wheelvec.kernels.fees import order_fee
from wheelvec.kernels.parameters import COMMON, DRAW, Plan, block_of, one_of
from wheelvec.kernels.quotes import fill_probability
from wheelvec.kernels.record import ended_put, put_end
from wheelvec.kernels.record import new_workspace as new_recorder
from wheelvec.kernels.slices import ROW, Slice
from wheelvec.model.codes import EarlyAssignment, EventKind, ExitReason, FillMode

ORDER = {
    "commission_base": 0.0, "commission_minimum": 0.0,
    "commission_per_contract": 0.65, "sec_fee_per_contract": 0.01,
}  # fmt: skip


PUTS, CALLS, V5_CALLS = (
    SettleRules(False, False, False),
    SettleRules(True, False, False),
    SettleRules(True, True, True),
)


@pytest.mark.parametrize(
    ("mode", "of_bar", "of_quote"),
    [
        # range = (1.60 - 0.95) * 1.15 = 0.7475; spread = (1.20 - 1.00) * 1.15 = 0.23
        (FillMode.OPTIMISTIC, 1.20 - 0.25 * 0.7475, 1.10),
        (FillMode.REALISTIC, 1.20 + 0.30 * 0.7475, 1.10 + 0.30 * 0.23),
        (FillMode.PESSIMISTIC, 1.60, 1.20),  # 1.20 + 0.75 * 0.7475 is over the high, 1.27 the ask
        (FillMode.NATURAL, 1.20 * (1 + 0.05 / 2), 1.20),
    ],
)
def test_buying_back_at_the_market(mode: FillMode, of_bar: float, of_quote: float) -> None:
    bar = {"open": 1.50, "high": 1.60, "low": 0.95, "close": 1.20}
    mid = dict.fromkeys(("open", "high", "low", "close"), 1.10)
    path = rows(ROW, bar, mid | {"bid": 1.00, "ask": 1.20, "is_quote": True})
    assert market_price(path, 0, 1.15, 0.05, int(mode)) == pytest.approx(of_bar, abs=1e-12)
    assert market_price(path, 1, 1.15, 0.05, int(mode)) == pytest.approx(of_quote, abs=1e-12)


def test_stops_and_targets_fill_at_their_levels_or_at_a_gap() -> None:
    realistic = int(FillMode.REALISTIC)
    # touched within the bar: 4.00 + 0.30 * (5.00 - 3.00); opened above it: 4.50 + 0.60
    assert stop_fill(3.00, 5.00, 3.00, 4.00, 1.0, realistic) == pytest.approx(4.60)
    assert stop_fill(4.50, 5.00, 3.00, 4.00, 1.0, realistic) == 5.00  # at most the high
    assert target_fill(1.50, 1.00, 1) == 1.00
    assert target_fill(0.80, 1.00, 1) == 0.80  # opened below the limit
    assert target_fill(0.80, 1.00, 2) == 1.00  # but the order was missed before


@pytest.mark.parametrize(
    ("close", "rules", "reason"),
    [
        (49.99, PUTS, ExitReason.ASSIGNED),
        (50.00, PUTS, ExitReason.EXPIRED_WORTHLESS),
        (50.01, CALLS, ExitReason.CALLED_AWAY),
        (50.00, CALLS, ExitReason.EXPIRED_WORTHLESS),
        (50.00, V5_CALLS, ExitReason.CALLED_AWAY),
        (float("nan"), PUTS, ExitReason.NO_DATA),  # a hole: there are later bars
        (float("nan"), V5_CALLS, ExitReason.EXPIRED_WORTHLESS),
    ],
)
def test_settle(close: float, rules: SettleRules, reason: ExitReason) -> None:
    assert settle(close, 5000, 4, 9, rules) == reason


def test_a_leg_that_settles_after_the_last_bar_is_open() -> None:
    assert settle(float("nan"), 5000, 4, 3, PUTS) == ExitReason.OPEN


def test_bars_have_days_and_prices_that_every_exit_shares() -> None:
    slice_ = slice_of([51.0] * 5, (the_put((FOUR[0], FOUR[1])),))
    bars = rows(BAR, {}, {})
    lay_bars(slice_, slice_.puts[0], 0, 1.0, row(COMMON, **common_fields()), False, bars)
    assert bars["number"].tolist() == [1, 2]
    assert bars["left"].tolist() == [3, 2]  # days to session 4
    assert bars["fees"].tolist() == [1.32, 1.32]  # two orders
    lay_markets(slice_.rows, slice_.puts[0], 1.0, row(COMMON, **common_fields()), bars)
    # 2.00 + 0.30 * 0.30 = 2.09; 1.20 + 0.30 * 0.65 = 1.395, up to the cent
    assert bars["market"].tolist() == [2.09, 1.40]
    assert [days_of(sums) for sums in bars["sums"]] == [1, 2]
    assert [missing_of(sums) for sums in bars["sums"]] == [0, 0]


# ---- an option that no exit rule ends


NAN = float("nan")
CARRIED, NOT_CARRIED, SUSPECTED = EventKind.CARRIED, EventKind.NOT_CARRIED, EventKind.SUSPECTED
ENTRY_RULES = row(COMMON, **common_fields())


def ends_by_itself(
    slice_: Slice, penalty: float = 1.0, is_call: bool = False, **rules: Any
) -> SelfEnd:
    """How the first option of a slice ends, sold on session 0."""
    quote = slice_.calls[0] if is_call else slice_.puts[0]
    number = 5 if is_call else 0
    return self_end(slice_, quote, number, penalty, row(COMMON, **common_fields(**rules)), is_call)


@pytest.mark.parametrize(("close", "reason"), [(49.99, ASSIGNED), (50.00, EXPIRED_WORTHLESS)])
def test_without_an_event_the_close_of_the_settlement_decides(close: float, reason: int) -> None:
    slice_ = slice_of([51.0] * 4 + [close], (the_put(),))
    assert ends_by_itself(slice_) == SelfEnd(reason, 4, 0.0)


@pytest.mark.parametrize(
    ("closes", "reason"),
    [
        ([51.0, 51.0, 51.0, NAN, NAN, 51.0], NO_DATA),  # there are later bars
        ([51.0, 51.0, 51.0, 51.0, NAN, NAN], OPEN),  # session 3 has the last one
    ],
)
def test_without_a_close_it_is_open_after_the_last_bar(closes: list[float], reason: int) -> None:
    assert ends_by_itself(slice_of(closes, (the_put(),))).settled == reason
    assert ends_by_itself(slice_of(closes, (the_put(),)), v5=True).settled == EXPIRED_WORTHLESS


def test_a_call_at_its_strike_is_called_away_under_v5_alone() -> None:
    slice_ = slice_of([49.0] * 9, (), (the_call(49.0),))
    assert ends_by_itself(slice_, is_call=True) == SelfEnd(EXPIRED_WORTHLESS, 8, 0.0)
    v5 = ends_by_itself(slice_, is_call=True, v5=True)
    assert v5 == SelfEnd(int(ExitReason.CALLED_AWAY), 8, 0.0)


def test_the_strike_after_a_split_is_compared() -> None:
    put = the_put()._replace(becomes=25.0)
    for close, reason in ((24.99, ASSIGNED), (25.00, EXPIRED_WORTHLESS)):
        slice_ = slice_of([51.0, 51.0, 25.5, 25.5, close], (put,), events=((2, 2, CARRIED),))
        assert ends_by_itself(slice_).settled == reason


@pytest.mark.parametrize(
    ("session", "end"),
    [
        (0, SelfEnd(EXPIRED_WORTHLESS, 4, 0.0)),  # sold on the ex-date: it knows nothing of it
        (1, SelfEnd(CORPORATE_ACTION, 0, 1.40)),
        (4, SelfEnd(CORPORATE_ACTION, 3, 1.40)),  # settles on the ex-date
        (5, SelfEnd(EXPIRED_WORTHLESS, 4, 0.0)),  # later
    ],
)
def test_events_after_the_sale_and_up_to_the_settlement_end_it_on_the_eve(
    session: int, end: SelfEnd
) -> None:
    # bought back on row 1: 1.20 + 0.30 * (1.60 - 0.95) = 1.395, up to the cent
    put = the_put()._replace(eve_row=1)
    slice_ = slice_of([51.0] * 6, (put,), events=((session, 1, NOT_CARRIED),))
    assert ends_by_itself(slice_) == end


def test_what_is_paid_on_the_eve_depends_on_the_tier_and_the_tick() -> None:
    put = the_put()._replace(eve_row=1)
    slice_ = slice_of([51.0] * 6, (put,), events=((3, 1, NOT_CARRIED),))
    # 1.20 + 0.30 * (1.60 - 0.95) * 1.15 = 1.42425
    assert ends_by_itself(slice_, penalty=1.15).paid == 1.43
    assert ends_by_itself(slice_, penalty=1.15, ticks=20.0).paid == 1.45
    assert ends_by_itself(slice_, penalty=1.15, ticks=0.0).paid == pytest.approx(1.42425)


def test_a_quote_of_the_eve_stands_for_a_bar() -> None:
    put = the_put()._replace(eve_row=1)
    slice_ = slice_of([51.0] * 6, (put,), events=((3, 1, NOT_CARRIED),))
    slice_.rows["is_quote"][1], slice_.rows["close"][1] = True, 1.10
    slice_.rows["bid"][1], slice_.rows["ask"][1] = 1.00, 1.20
    assert ends_by_itself(slice_).paid == 1.16  # the mid and 0.30 * 0.20
    assert ends_by_itself(slice_, mode=int(FillMode.NATURAL)).paid == 1.20


def test_without_a_price_on_the_eve_what_was_paid_is_not_known() -> None:
    slice_ = slice_of([51.0] * 6, (the_put(),), events=((3, 1, NOT_CARRIED),))
    reason, end, paid = ends_by_itself(slice_)
    assert (reason, end) == (CORPORATE_ACTION, 2)
    assert np.isnan(paid)


def test_across_a_suspected_split_nothing_is_bought_back() -> None:
    put = the_put()._replace(eve_row=1)
    reason, end, paid = ends_by_itself(
        slice_of([51.0] * 6, (put,), events=((3, 1, SUSPECTED),)), v5=True
    )
    assert (reason, end) == (SUSPECTED_SPLIT, 2)
    assert np.isnan(paid)


def put_that(settled: int, paid: float = 0.0, end: int = 4, bars: int = 4, **more: Any) -> Put:
    """The put of these tests, and how it ends if no exit rule ends it."""
    known: dict[str, Any] = {
        "row": 0, "number": 0, "settlement": 4, "contract": 0, "first": 0, "last": bars,
        "price": 2.00, "spread_pct": 0.049, "penalty": 1.0, "ivp": 1.0, "premium": 200.0,
        "capital": 5000.0, "settled": settled, "censored": False, "end": end, "paid": paid,
        "by_events": False,
    }  # fmt: skip
    return Put(**known | more)


def settlement_of(put: Put, *events: tuple[int, int, EventKind], **rules: Any) -> Any:
    """The row of BAR on which a put that no exit rule ends is settled."""
    slice_, bars = slice_of([51.0] * 6, (the_put(),), events=events), rows(BAR, *[{}] * 5)
    lay_settlement(slice_, put, row(COMMON, **common_fields(**rules)), bars)
    return bars[put.last - put.first]


@pytest.mark.parametrize("reason", [ASSIGNED, EXPIRED_WORTHLESS])
def test_a_settlement_costs_no_second_order(reason: int) -> None:
    at = settlement_of(put_that(reason, bars=2))  # sessions 3 and 4 have no bar
    assert (at["number"], at["market"], at["at_market"]) == (4, 0.0, True)
    assert at["fees"] == 0.66
    assert at["sums"] == packed_days(4, 2, False)


def test_a_put_bought_back_on_the_eve_pays_for_the_contracts_it_has_become() -> None:
    costs = {"commission_base": 1.00}
    eve = put_that(CORPORATE_ACTION, paid=1.40, end=2, bars=2)
    at = settlement_of(eve, (3, 1, NOT_CARRIED), **costs)
    assert (at["number"], at["market"]) == (2, 1.40)
    assert at["fees"] == pytest.approx(2 * (1.00 + 0.66))
    assert at["sums"] == packed_days(2, 0, False)
    split = settlement_of(eve, (1, 4, CARRIED), (3, 1, NOT_CARRIED), **costs)
    assert split["fees"] == pytest.approx((1.00 + 0.66) + (1.00 + 4 * 0.66))
    later = settlement_of(eve, (3, 4, CARRIED), **costs)  # on the ex-date the put is gone
    assert later["fees"] == pytest.approx(2 * (1.00 + 0.66))


@pytest.mark.parametrize(
    ("reason", "paid"),
    [(OPEN, 0.0), (NO_DATA, 0.0), (CORPORATE_ACTION, NAN), (SUSPECTED_SPLIT, NAN)],
)
def test_a_put_that_is_not_resolved_has_no_fees_and_counts_no_days(
    reason: int, paid: float
) -> None:
    at = settlement_of(put_that(reason, paid, end=2, bars=1))
    # its wheel occupies the underlying until the settlement
    assert at["number"] == 4
    assert np.isnan(at["fees"])
    assert at["sums"] == packed_days(0, 0, False)


def test_a_censored_put_counts_its_sessions_without_a_bar_and_no_days() -> None:
    at = settlement_of(put_that(EXPIRED_WORTHLESS, bars=3, censored=True))
    assert at["sums"] == packed_days(0, 1, True)


def test_after_a_split_buying_back_is_one_order_of_all_contracts() -> None:
    events = slice_of([51.0] * 6, events=((0, 2, CARRIED), (3, 4, CARRIED))).events
    bars = rows(BAR, {"number": 2}, {"number": 3}, {"number": 4, "fees": 9.0})
    costs = {"commission_minimum": 1.00, "commission_per_contract": 0.65}
    rules = row(COMMON, **common_fields(**costs, sec_fee_per_contract=0.01))
    lay_fees(events, 0, 2, rules, bars)
    # one contract pays the minimum, four their commission; the split of the day of sale is past
    one, four = max(1.00, 0.65) + 0.01, max(1.00, 4 * 0.65) + 4 * 0.01
    assert bars["fees"][:2].tolist() == pytest.approx([2 * one, one + four])
    assert bars["fees"][2] == 9.0  # no bar of this put


def marked(put: Put, *ends: dict[str, Any], events: Any = ((3, 2, CARRIED),)) -> list[int]:
    """What `mark_ends` leaves of `reasons`."""
    slice_, out = slice_of([51.0] * 6, (the_put(),), events=events), rows(EXIT, *ends)
    mark_ends(slice_, put, len(ends), out)
    return [int(word) for word in out["reasons"]]


def test_an_end_on_the_ex_date_has_passed_the_event_and_one_on_its_eve_has_not() -> None:
    gain = packed_reason(PROFIT_TARGET, 98.68)
    on = [{"time": 3, "pnl": 98.68, "until": session, "reasons": gain} for session in (2, 3)]
    put = put_that(EXPIRED_WORTHLESS)
    assert marked(put, *on) == [int(gain), int(gain + PASSED_MARK)]
    # one that is settled ends on the put's own session; of one that no bar ends nothing is read
    settled = {"time": SETTLED, "pnl": 199.34, "until": 4, "reasons": gain}
    never = {"time": NEVER, "pnl": 0.0, "until": 4, "reasons": 7}
    assert marked(put, settled, never) == [int(gain + PASSED_MARK), 7]


@pytest.mark.parametrize(
    ("settled", "paid", "pnl", "word"),
    [
        (CORPORATE_ACTION, 1.40, 58.68, packed_pnl(58.68) + BOUGHT_MARK),
        (CORPORATE_ACTION, 2.40, -41.32, packed_pnl(-41.32) + BOUGHT_MARK),
        (CORPORATE_ACTION, NAN, NAN, STRANDED_MARK),
        (SUSPECTED_SPLIT, NAN, NAN, SUSPECTED_MARK),
    ],
)
def test_a_put_that_an_event_ended_is_counted_as_that_alone(
    settled: int, paid: float, pnl: float, word: np.uint64
) -> None:
    # 200 - 140 - 2 * 0.66 and 200 - 240 - 2 * 0.66
    end = {"time": SETTLED, "pnl": pnl, "until": 2, "reasons": packed_reason(NO_DATA, pnl)}
    stopped = {"time": 2, "pnl": -211.32, "until": 2, "reasons": packed_reason(STOP_LOSS, -1.0)}
    events = ((3, 1, SUSPECTED if settled == SUSPECTED_SPLIT else NOT_CARRIED),)
    found = marked(put_that(settled, paid, end=2), end, stopped, events=events)
    # a stop on the eve goes before the event
    assert found == [int(word), int(packed_reason(STOP_LOSS, -1.0))]


def test_a_censored_put_has_passed_nothing_that_the_summary_counts() -> None:
    word = packed_reason(PROFIT_TARGET, NAN)
    end = {"time": 7, "pnl": 98.68, "until": 3, "reasons": word}
    assert marked(put_that(OPEN, censored=True), end) == [int(word)]


# ---- touches


def fills(*rules: dict[str, Any], most: int = 4) -> list[int]:
    """Which touch fills under each of some draw rules, of a put at 4.9% with rank 1."""
    n = len(rules)
    scratch = Scratch(
        rows(BAR, *[{}] * 8), np.zeros(8, np.int64), np.zeros(8, np.int64), np.zeros(8),
        np.zeros(8, np.int64), np.zeros(n, np.int64), np.zeros(1, np.int64), np.zeros(1),
        np.zeros(8),
    )  # fmt: skip
    put = put_that(EXPIRED_WORTHLESS)
    filling_touches(WORD, put, ENTRY_RULES, rows(DRAW, *rules), most, scratch)
    return scratch.filling.tolist()


def chance(p: float, seed: int = 42) -> dict[str, Any]:
    return draw_fields(probabilistic=True, lowest=p, highest=p, seed=seed)


# The first touches of this put draw 0.755, 0.069, 0.060 and 0.321 under seed 42.
U0 = 0.7548960935391251


def test_the_first_touch_whose_draw_is_not_above_the_chance_fills() -> None:
    assert fills(chance(0.9), chance(0.5), chance(0.065), chance(0.9)) == [0, 1, 2, 0]
    # equal to the chance it fills, the next double above it does not
    assert fills(chance(U0), chance(np.nextafter(U0, 0.0))) == [0, 1]


def test_no_touch_fills_where_every_draw_is_above_the_chance() -> None:
    assert fills(chance(0.05)) == [4]
    assert fills(chance(0.065), most=2) == [2]  # the third would
    assert fills(chance(0.5), most=0) == [0]


def test_every_seed_has_its_own_draws() -> None:
    # under seed 43 the touches draw 0.604 and 0.224
    assert fills(chance(0.7), chance(0.1), chance(0.7, 43), chance(0.3, 43)) == [1, 1, 0, 1]


def test_the_first_touch_fills_where_nothing_is_drawn() -> None:
    assert fills(draw_fields(), chance(0.5), draw_fields()) == [0, 1, 0]


def test_spread_and_rank_decide_the_chance() -> None:
    # the spread is 4.9%, the rank 1: 0.90 * 1.3 * 0.70 = 0.819 is over the first draw of 0.755;
    # where 4.8% is tight it is a normal one, and 0.70 * 1.3 * 0.70 = 0.637 under it
    odds = {"probabilistic": True, "scale": 1.3}
    assert fills(draw_fields(**odds), draw_fields(**odds, tight_spread=0.048)) == [0, 1]
    # and so is 0.90 * 1.0 * 0.70 = 0.63
    assert fills(draw_fields(probabilistic=True, scale=1.0)) == [1]


# ---- bar by bar


def bars_of(*rows: tuple[float, float, float, float], left: int = 30) -> Any:
    """Bars of (open, high, low, close), the first a day after the sale, with `left` days to the
    expiration on the first.
    """
    bars = np.zeros(len(rows) + 1, BAR).view(np.recarray)
    for i, (first, high, low, close) in enumerate(rows):
        bars[i].open, bars[i].high, bars[i].low, bars[i].market = first, high, low, close
        bars[i].number, bars[i].left, bars[i].fees = i + 1, left - i, 1.32
    return bars


def common_of(**fields: Any) -> SimpleNamespace:
    """What of the entry rules an exit reads: realistic fills at the trigger, on cents, limits met
    within 1e-9.
    """
    return SimpleNamespace(
        **{"mode": 1, "ticks": 100.0, "slack": 1e-9, "trigger": True} | ORDER | fields
    )


CERTAIN = SimpleNamespace(probabilistic=False, seed=np.uint64(42))
FOUR = (
    (1.90, 2.10, 1.80, 2.00),
    (1.50, 1.60, 0.95, 1.20),
    (1.40, 4.10, 1.30, 3.90),
    (3.00, 3.20, 2.80, 3.00),
)


def walked(
    bars: Any, common: Any, stop: float, exit_pct: float, hold: int = -1, price: float = 2.00
) -> Any:
    """Walk a put sold at 2.00."""
    levels = Levels(
        stop_level(price, stop, common), target_level(price, exit_pct, common), hold, 1.0
    )
    return walk(
        bars,
        bars.size - 1,
        levels,
        common,
        CERTAIN,
        1.0,
        new_drawn(1, bars.size),
        0,
        np.uint64(1),
        0,
    )


@plain
def test_a_put_of_four_bars() -> None:
    bars, common, none = bars_of(*FOUR), common_of(), np.nan
    # 50% of 2.00 is 1.00: the second bar's low of 0.95 touches it, and its open of 1.50 is no
    # better
    assert walked(bars, common, 2.0, 0.50)[:4] == (PROFIT_TARGET, 1, 1.00, 1)
    # 40% is 0.80, which nothing touches; twice 2.00 is 4.00: min(4.10, 4.00 + 0.30 * 2.80) on the
    # third bar
    assert walked(bars, common, 2.0, 0.40)[:4] == (STOP_LOSS, 2, 4.10, 0)
    assert walked(bars, common, none, 0.40)[:2] == (-1, 4)
    # bought back at the market of the first bar with 28 days left
    assert walked(bars, common, none, 0.40, hold=28)[:3] == (MAX_HOLD_DTE, 2, 3.90)


@plain
def test_limits_and_ticks() -> None:
    bars = bars_of((1.10, 3.30, 1.05, 3.00))
    assert 3 * 1.10 > 3.30
    assert walked(bars, common_of(), 3.0, 0.1, price=1.10)[0] == STOP_LOSS
    assert walked(bars, common_of(ticks=0.0), 3.0, 0.1, price=1.10)[0] == STOP_LOSS
    assert walked(bars, common_of(slack=0.0, ticks=0.0), 3.0, 0.1, price=1.10)[0] == -1
    # half of 1.10 less a billionth of a cent is touched by 0.55
    bars = bars_of((0.60, 0.65, 0.55, 0.60))
    assert walked(bars, common_of(ticks=0.0), np.nan, 0.5, price=1.10 - 1e-11)[0] == PROFIT_TARGET
    assert walked(bars, common_of(ticks=0.0, slack=0.0), np.nan, 0.5, price=1.10 - 1e-11)[0] == -1
    # on nickels the target of 1.13 * 0.5 lies at 0.55, and what is bought at an open of 0.53 costs
    # 0.55
    bars = bars_of((0.53, 0.60, 0.53, 0.55))
    assert walked(bars, common_of(ticks=20.0), np.nan, 0.5, price=1.13)[:3] == (
        PROFIT_TARGET,
        0,
        0.55,
    )


# ---- bar by bar, and every rule at once


class Case(NamedTuple):
    """What happens to a put at 50, sold on session 0, which settles on session 10."""

    price: float  # dollars per share
    bars: list[list[int] | None]  # of sessions 1 to 10: four prices in cents; None: none
    quoted: list[bool]  # which of these are quotes that stand for a bar
    closes: tuple[float, float]  # of the underlying on session 10, and after it
    split: int  # session of a split of 2 for 1; 0: none
    stop: int  # of an event that the put does not survive; 0: none
    kind: EventKind  # of that
    on_eve: str  # at what it is bought back then
    exercise: int  # session; 0: none
    tier: int
    ivp: float


LAST = 10
PRICES = st.lists(st.integers(5, 300), min_size=4, max_size=4)
CASES = st.builds(
    Case,
    st.integers(50, 300).map(lambda cents: cents / 100),
    st.lists(st.none() | PRICES | PRICES, min_size=LAST, max_size=LAST),
    st.lists(st.booleans(), min_size=LAST, max_size=LAST),
    st.sampled_from([(close, 51.0) for close in (24.99, 25.00, 49.99, 50.00, NAN)] + [(NAN, NAN)]),
    st.sampled_from([0, 0, 1, 4, 6, LAST, LAST + 1]),
    st.sampled_from([0, 0, 0, 1, 4, 5, 7, LAST, LAST + 1]),
    st.sampled_from([NOT_CARRIED, NOT_CARRIED, SUSPECTED]),
    st.sampled_from(["bar", "quote", "nothing"]),
    st.sampled_from([0, 0, 0, 0, 1, 6, LAST - 1]),
    st.sampled_from([2, 1, 0]),
    st.sampled_from([0.5, 0.7, 1.0]),
)
RULES = st.fixed_dictionaries({
    "ticks": st.sampled_from([0.0, 20.0, 100.0]), "slack": st.sampled_from([0.0, 1e-9]),
    "trigger": st.sampled_from([True, True, False]),
    "v5": st.sampled_from([False, False, True]),
    "mode": st.sampled_from([int(mode) for mode in FillMode]),
    "commission_base": st.sampled_from([0.0, 1.0]),
})  # fmt: skip
STOPS = st.sampled_from([(1.2, 2.0, NAN), (3.0,), (NAN,)])
TARGETS = st.sampled_from([tuple(np.linspace(0.1, 0.9, 9)), (0.1, 0.5, 0.9), (0.1,)])
DRAWS = st.lists(st.sampled_from([0.0, 0.2, 0.6, 1.0]), min_size=2, max_size=2)


def slice_of_case(case: Case) -> Slice:
    events = [(case.split, 2, CARRIED)] if case.split else []
    if case.stop and case.stop != case.split:
        events.append((case.stop, 1, case.kind))
    barrier = case.stop if case.stop != case.split and 0 < case.stop <= LAST else LAST + 1
    path = {
        session: tuple(np.sort(cents)[[1, 3, 0, 2]] / 100)
        for session, cents in enumerate(case.bars, 1)
        if cents and session < barrier  # its path ends on the eve
    }
    eve_row = -1
    if barrier <= LAST and case.on_eve == "bar" and barrier - 1 in path:
        eve_row = len(path) - 1
    if barrier <= LAST and case.on_eve == "quote":
        eve_row = len(path)
    put = Option(
        50.0, LAST, {0: Offer(1.98, 2.08)}, path,
        exercise=case.exercise if case.exercise < barrier else 0,
        becomes=25.0 if sorted(events)[:1] == [(case.split, 2, CARRIED)] else 0.0,
        eve_row=eve_row,
    )  # fmt: skip
    slice_ = slice_of(
        [51.0] * LAST + [*case.closes, case.closes[1]], (put,), events=tuple(sorted(events))
    )
    beside = rows(
        ROW, {"number": barrier - 1, "is_quote": True, "close": 1.10, "bid": 1.0, "ask": 1.2}
    )
    path_rows = named(np.append(slice_.rows, beside))
    for at in range(len(path)):
        if case.quoted[at]:
            one = path_rows[at]
            one.is_quote, one.open, one.high, one.low = True, one.close, one.close, one.close
            one.bid, one.ask = 0.96 * one.close, 1.04 * one.close
    return slice_._replace(rows=path_rows)


def every_rule(
    common: dict[str, Any], stops: tuple[float, ...], targets: tuple[float, ...], odds: list[float]
) -> Plan:
    """Every stop with every target, two draw rules (a chance of 0: no draw) and a hold or none."""
    draws = [
        draw_fields(probabilistic=p > 0, lowest=p, highest=p, seed=seed)
        for seed, p in enumerate(odds, 1)
    ]
    n, whole = 4 * len(targets), np.uint32
    rests = np.arange(n, dtype=whole)
    return plan_of(common, stops, targets)._replace(
        hold_starts=np.array([0, 2]), hold=np.array([-1, 3]),
        draw_starts=np.array([0, 2]), draw=rows(DRAW, *draws),
        rest_starts=np.array([0, n]), rest_target=rests // 4,
        rest_draw=rests // 2 % 2, rest_hold=rests % 2,
        pair_starts=np.array([0, n]), pair_rest=rests, pair_call=np.zeros(n, whole),
        config_starts=np.array([0, n * len(stops)]),
        config_stop=np.repeat(np.arange(len(stops), dtype=whole), n),
        config_pair=np.tile(rests, len(stops)),
    )  # fmt: skip


def counted(end: Any) -> dict[int, int]:
    """What the words of an end count, by the counts of kernels.accumulate."""
    reasons, sums = int(end.reasons), int(end.sums)
    words = {counts.REASONS: reasons, counts.SUMS: sums}
    found = {
        int(count): words[word] >> int(shift) & (2 ** int(bits) - 1)
        for count, word, shift, bits in counts.FIELDS
        if word in words
    }
    marks = {
        counts.PASSED: PASSED_MARK, counts.CSP + CORPORATE_ACTION: BOUGHT_MARK,
        counts.STRANDED: STRANDED_MARK, counts.CSP + SUSPECTED_SPLIT: SUSPECTED_MARK,
    }  # fmt: skip
    found |= {count: int(reasons & int(mark) != 0) for count, mark in marks.items()}
    return {count: number for count, number in found.items() if number}


@plain
@settings(max_examples=150, deadline=None, derandomize=True)
@given(CASES, RULES, STOPS, TARGETS, DRAWS)
def test_the_tables_end_a_put_as_it_ends_bar_by_bar(
    case: Case,
    rules: dict[str, Any],
    stops: tuple[float, ...],
    targets: tuple[float, ...],
    odds: list[float],
) -> None:
    slice_ = slice_of_case(case)
    plan = every_rule(
        common_fields(**rules, early=int(EarlyAssignment.AT_PARITY)), stops, targets, odds
    )
    common, block = plan.common[0], block_of(plan, 0)
    chosen = SimpleNamespace(
        row=[0], number=[0], tier=[case.tier], ivp=[case.ivp], price=[case.price]
    )
    put = put_of(slice_, common, chosen, 0)
    sizes = Sizes(wheels=1, bars=LAST, quotes=1, calls_on_offer=1, sessions=1)
    tables, recorder = named(new_workspace(plan, sizes)), named(new_recorder(1, 1, LAST, 1))
    lay_ends(slice_, put, common, block, tables)
    for c in range(block.config_stop.size):
        stop = tables.stop[block.config_stop[c]]
        rest = tables.rest[block.pair_rest[block.config_pair[c]]]
        found = stop if stop.time < rest.time else rest
        alone = one_of(block, c, np.zeros(1, np.uint32))
        odds_of = fill_probability(put.spread_pct, put.ivp, common, alone.draw[0])
        ended = put_end(slice_, put, common, alone, odds_of, recorder)
        assert (found.time == SETTLED) == (ended.reason > MAX_HOLD_DTE)
        # P&L and counts as the rules have them, from how it ended
        resolved = is_resolved(ended.reason, ended.price)
        fees = order_fee(common, 1)
        if is_bought_back(ended.reason):
            fees += order_fee(common, shares_between(slice_.events, 0, ended.number))
        pnl = put.premium - ended.price * 100.0 - fees if resolved else NAN
        np.testing.assert_equal(found.pnl, pnl)
        assert found.until == ended_put(put, ended, pnl).until
        known = resolved and not put.censored
        stranded = ended.reason == CORPORATE_ACTION and not resolved
        level, target = (
            stop_level(put.price, alone.stop[0], common),
            target_level(put.price, alone.target[0], common),
        )
        expected = {
            counts.STRANDED if stranded else counts.CSP + ended.reason: 1,
            counts.KNOWN: known,
            counts.WINS: known and pnl > 0.0,
            counts.DAYS: ended.number if known else 0,
            counts.MISSING: ended.missing if resolved else 0,
            counts.CENSORED: put.censored,
            counts.PASSED: known and passes_any(slice_.events, 0, ended.number),
            counts.INSIDE: ended.reason == STOP_LOSS and ended.price < level * (1.0 - 1e-9),
            counts.ABOVE: ended.reason == PROFIT_TARGET and ended.price > target * (1.0 + 1e-9),
        }
        assert counted(found) == {count: number for count, number in expected.items() if number}
