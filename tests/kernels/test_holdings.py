"""Wheels that accounts hold side by side, worked by hand (docs/portfolio.md; rules.md, 4 and 8).

The put at 50 is sold on session 0 for 2.00 and settles on session 4 (tests/kernels/build.py); an
order of n contracts costs n * 0.66. Its bars:

    session   open   high    low  close
          1   1.90   2.10   1.80   2.00
          2   1.50   1.60   0.95   1.20
          3   1.40   4.10   1.30   3.90
          4   3.00   3.20   2.80   3.00
"""

import datetime as dt
from typing import Any

import numpy as np
import pytest

from tests.kernels.build import (
    FOUR_BARS,
    WORD,
    Offer,
    Option,
    common_fields,
    named,
    plain,
    plan_of,
    row,
    rows,
    slice_of,
    the_call,
    the_put,
)
from tests.oracle import pricer
from wheelvec.kernels import holdings as kernel
from wheelvec.kernels import outcomes
from wheelvec.kernels.account import (
    ACCOUNT,
    GROUP,
    MARK,
    MAX_WHEELS,
    NO_CASH,
    STEP,
    STRETCH,
    TAKEN,
    TOO_SMALL,
)
from wheelvec.kernels.account import LEG as MARKED_LEG
from wheelvec.kernels.entries import new_selection
from wheelvec.kernels.outcomes import new_outcomes
from wheelvec.kernels.parameters import COMMON, Plan
from wheelvec.kernels.record import new_workspace
from wheelvec.kernels.slices import Slice
from wheelvec.model.codes import EventKind

NAN = float("nan")
UP = [51.0] * 9
FALLING = [51.0, 51.0, 51.0, 51.0, 48.0, 47.0, 46.0, 45.0, 44.0]
FOR_ONE = [51.0, 51.0, 51.0, 51.0, 48.0, 48.5, 49.0, 50.0, 52.0]  # the put and a call are assigned
FREE = {"contracts": 1.0, "wheels": np.inf, "per_underlying": np.inf, "share": np.inf}


def accounts_of(
    *limits: dict[str, Any], sessions: int = 9, zero: int = 0, configs: tuple[int, ...] = (0,)
) -> kernel.Accounts:
    """Accounts of 10,000 dollars, if nothing else is said, over one or two underlyings."""
    n = len(limits)
    terms = rows(kernel.LIMITS, *(FREE | {"cash": 10_000.0} | given for given in limits))
    begin = [{"cash": cash, "equity": cash} for cash in terms["cash"].tolist()]
    return named(
        kernel.Accounts(
            account=rows(ACCOUNT, *begin), group=np.zeros((n, 2), GROUP), limits=terms,
            days=np.zeros((n, sessions), kernel.DAY), reasons=np.zeros((n, 6), np.int64),
            block=np.zeros(n, np.int64), config=np.resize(configs, n), busy=np.full((n, 2), -1),
            open=np.zeros((n, 2), np.bool_), zero=zero, first_position=np.zeros(1, np.uint32),
        )
    )  # fmt: skip


def new_offers(n: int) -> kernel.Offers:
    kinds = {"ivp": np.float64, "price": np.float64, "capital": np.float64, "word": np.uint64}
    return kernel.Offers(
        *[np.zeros(n, kinds.get(name, np.int64)) for name in kernel.Offers._fields]
    )


def offered(slice_: Slice, plan: Plan, last: int = 0) -> tuple[kernel.Offers, Any]:
    """The offers of sessions 0..last of one underlying, and where those of each begin."""
    offers, starts = new_offers(8), np.zeros((plan.common.size, last + 2), np.int64)
    opens, chosen = np.ones((1, 16), np.bool_), named(new_selection(9, 8))
    kernel.offer_puts(slice_, opens, 0, last, plan, chosen, 0, offers, starts)
    return offers, starts


def room(sessions: int = 9) -> Any:
    """Buffers of a recorder."""
    return named(new_workspace(sessions, 8, 8, 8))


# ---- the puts on offer


@plain
def test_the_offers_of_each_block_are_written_session_by_session() -> None:
    near = the_put()._replace(quotes={0: Offer(1.98, 2.08), 2: Offer(1.98, 2.08)})
    far = Option(45.0, 8, {0: Offer(0.90, 0.92, delta=0.15)})
    blocks = rows(COMMON, common_fields(), common_fields(delta_max=0.20))
    plan = plan_of()._replace(common=blocks)
    offers, starts = new_offers(8), np.zeros((2, 4), np.int64)
    opens, chosen = np.ones((1, 9), np.bool_), named(new_selection(9, 8))
    end = kernel.offer_puts(slice_of(UP, (near, far)), opens, 0, 2, plan, chosen, 3, offers, starts)
    # after the three that stand there: two on session 0 and one on session 2, then the second block
    assert starts.tolist() == [[3, 5, 5, 6], [6, 7, 7, 7]]
    assert end == 7
    assert offers.number[3:7].tolist() == [0, 0, 2, 0]
    assert offers.capital[3:7].tolist() == [5000.0, 4500.0, 5000.0, 4500.0]
    # 0.91 - 0.30 * 0.02 = 0.904, down to the cent
    assert offers.price[3:7].tolist() == [2.00, 0.90, 2.00, 0.90]
    assert offers.word[3] == WORD


def key(order: int, **fields: Any) -> float:
    offers = new_offers(1)
    offers.price[0], offers.capital[0], offers.word[0] = 2.00, 5000.0, WORD
    return float(kernel.sort_key(order, np.uint64(42), offers, 0))


def test_wheels_are_ordered_as_recorded_by_premium_or_by_a_draw() -> None:
    assert key(kernel.RECORD) == 0.0
    assert key(kernel.PREMIUM) == -(2.00 * 100 / 5000)  # the greatest first
    option, sold = "TSLA  230707P00205000", dt.date(2023, 6, 6)  # whose word is WORD
    assert key(kernel.RANDOM) == pricer.fill_draw(42, option, sold, 4294967295, 0)


# ---- entries


def admitted(
    accounts: kernel.Accounts,
    *puts: tuple[float, float],
    t: int = 0,
    earned: float = 0.0,
    held: Any = None,
    used: int = 0,
    second: int = 0,
    **rules: Any,
) -> tuple[list[tuple[int, ...]], int]:
    """The wheels that accounts take: account, offer, times, place. And how many accounts are done.

    Args:
        accounts: updated.
        puts: price and capital of those offered on the session.
        t: the session.
        earned: by a dollar of cash since the one before.
        held: rows of HELD, of which so many are used.
        used: how many.
        second: how many of the puts, the last ones, are of the second underlying.
        rules: of the entry.
    """
    n, offers = len(puts), new_offers(max(1, len(puts)))
    for i, (price, capital) in enumerate(puts):
        offers.price[i], offers.capital[i] = price, capital
    starts = np.array([[[0, n - second]], [[n - second, n]]])
    held, size = rows(kernel.HELD, *[{}] * 8) if held is None else held, np.array([used])
    done = kernel.admit(
        t, 0, 0, starts, offers, np.array([[0, 1]]), plan_of(common_fields(**rules)),
        np.full((1, 9), earned), accounts, np.zeros(n, np.int64), np.zeros(n), held, size,
    )  # fmt: skip
    taken = held[used : size[0]]
    return [
        tuple(row[name].item() for name in ("account", "offer", "times", "place")) for row in taken
    ], done


PUT = (2.00, 5000.0)


@plain
@pytest.mark.parametrize(
    ("cash", "taken"),
    [
        (5000.66, 1),
        (5000.65, 0),
        # the premium of the first, less its fee, is free for the second
        (5000.66 + 5000.66 - 200.0, 2),
        (5000.66 + 5000.66 - 200.01, 1),
    ],
)
def test_a_wheel_is_taken_if_its_capital_and_its_fee_are_free(cash: float, taken: int) -> None:
    accounts = accounts_of({"cash": cash})
    found, done = admitted(accounts, PUT, PUT)
    assert found == [(0, 0, 1, 0), (0, 1, 1, 1)][:taken]
    assert done == 1
    assert accounts.reasons[0, [TAKEN, NO_CASH]].tolist() == [taken, 2 - taken]
    assert accounts.account["wheels"].tolist() == [taken]
    assert accounts.account["free"][0] == pytest.approx(cash - taken * (5000.66 - 200.0))
    assert accounts.group["capital"][0].tolist() == [taken * 5000.0, 0.0]


@plain
def test_interest_is_paid_before_the_entries() -> None:
    # 5,000 earn 0.66
    assert admitted(accounts_of({"cash": 5000.0}), PUT, earned=0.66 / 5000)[0] == [(0, 0, 1, 0)]
    assert admitted(accounts_of({"cash": 5000.0}), PUT, earned=0.65 / 5000)[0] == []


@plain
def test_a_fraction_of_the_equity_takes_a_wheel_several_times() -> None:
    accounts = accounts_of(
        {"contracts": 0.0, "fraction": 0.5, "cash": 30_000.0},  # 15,000 / 5,000
        {"contracts": 0.0, "fraction": 0.5, "cash": 29_999.0},
        {"contracts": 0.0, "fraction": 0.5, "cash": 9_999.0},
    )
    assert admitted(accounts, PUT)[0] == [(0, 0, 3, 0), (1, 0, 2, 0)]
    assert accounts.reasons[2, TOO_SMALL] == 1
    assert accounts.account["free"][0] == pytest.approx(30_000.0 + 3 * (200.0 - 5000.0 - 0.66))


@plain
def test_the_greatest_premium_goes_first_and_equals_as_recorded() -> None:
    # 3.00 of 60 are 5%, and 2.50 of 50 as well; 2.00 of 50 are 4%
    puts = ((2.00, 5000.0), (3.00, 6000.0), (2.50, 5000.0))
    first = accounts_of({"order": kernel.PREMIUM, "wheels": 1.0})
    assert admitted(first, *puts)[0] == [(0, 1, 1, 1)]
    assert first.reasons[0, MAX_WHEELS] == 2
    three = accounts_of({"order": kernel.PREMIUM, "cash": 50_000.0})
    assert [wheel[1] for wheel in admitted(three, *puts)[0]] == [1, 2, 0]
    assert admitted(accounts_of({"wheels": 1.0}), *puts)[0] == [(0, 0, 1, 0)]


@plain
def test_underlyings_come_in_the_order_of_the_schedule() -> None:
    accounts = accounts_of({"cash": 50_000.0, "per_underlying": 1.0})
    found, _ = admitted(accounts, PUT, PUT, PUT, second=1)
    # of the first underlying one, and the place of the other's counts both before it
    assert found == [(0, 0, 1, 0), (0, 2, 1, 2)]
    assert accounts.group["wheels"][0].tolist() == [1, 1]


@plain
def test_where_one_is_open_at_a_time_only_what_was_launched_is_on_offer() -> None:
    accounts = accounts_of({"cash": 50_000.0})
    accounts.open[0, 1] = True
    assert admitted(accounts, PUT, PUT, second=1, one_at_a_time=True)[0] == [(0, 1, 1, 1)]
    assert accounts.reasons[0].tolist() == [1, 0, 0, 0, 0, 0]  # the other is not refused


@plain
@pytest.mark.parametrize(("t", "taken"), [(3, []), (4, [(0, 0, 1, 0)])])
def test_what_a_wheel_leaves_is_free_on_the_session_after_its_end(
    t: int, taken: list[tuple[int, ...]]
) -> None:
    # its only wheel ends on session 3 (of the first session 1 on: their numbers are not their rows)
    accounts = accounts_of({"wheels": 1.0}, zero=1)
    accounts.account["wheels"], accounts.group["wheels"][0, 0] = 1, 1
    accounts.group["capital"][0, 0] = 5000.0
    accounts.days["ended"][0, 3 - 1] = 1
    held = rows(kernel.HELD, {"capital": 5000.0}, *[{}] * 4)
    assert admitted(accounts, PUT, t=t, held=held, used=1)[0] == taken
    assert accounts.group["capital"][0, 0] == 5000.0  # of the old or of the new one


@plain
def test_all_wheels_that_end_on_a_session_are_let_go() -> None:
    accounts = accounts_of({"wheels": 2.0})
    accounts.account["wheels"], accounts.group["wheels"][0, 0] = 2, 2
    accounts.days["ended"][0, 2] = 2  # the second, and before it the first
    held = rows(kernel.HELD, {"capital": 5000.0}, {"capital": 5000.0, "next": 1}, *[{}] * 4)
    admitted(accounts, t=3, held=held, used=2)
    assert accounts.account["wheels"].tolist() == [0]


@plain
def test_an_account_without_room_for_its_wheels_is_not_done() -> None:
    held = rows(kernel.HELD, *[{}] * 3)
    accounts = accounts_of({}, {})
    # two puts may be two wheels: the second account would need a fourth row
    found, done = admitted(accounts, PUT, PUT, held=held)
    assert (len(found), done) == (2, 1)
    assert accounts.account["wheels"].tolist() == [2, 0]
    # four rows are enough
    held = rows(kernel.HELD, *[{}] * 4)
    assert admitted(accounts_of({}, {}), PUT, PUT, held=held)[1] == 2


@plain
def test_equity_at_the_close_is_cash_and_shares_less_what_is_owed() -> None:
    accounts = accounts_of({}, zero=3)
    day = accounts.days[0, 2]
    day["flow"], day["collateral"], day["shares"], day["owed"] = -98.68, 5000.0, 9600.0, 406.0
    kernel.close_session(5, accounts)
    assert day["cash"] == pytest.approx(10_000.0 - 98.68)
    assert day["equity"] == pytest.approx(10_000.0 - 98.68 + 9600.0 - 406.0)
    assert accounts.account["collateral"].tolist() == [5000.0]
    assert accounts.days["cash"][0].tolist().count(0.0) == 8  # no other session


# ---- one wheel under the configuration of an account


@plain
def test_a_wheel_is_simulated_under_the_configuration_of_its_account() -> None:
    slice_, plan = slice_of(UP, (the_put(),)), plan_of(stops=(2.0, NAN), targets=(0.40, 0.50))
    offers, _ = offered(slice_, plan)
    # stop and 40%, stop and 50%, none and 40%: ends on sessions 3, 2 and 4
    accounts, out = accounts_of({}, {}, {}, configs=(0, 1, 2)), named(new_outcomes(1, 9, 5))
    found = []
    for a in range(3):
        until = kernel.simulate_wheel(slice_, offers, 0, plan, accounts, a, room(), out)
        found.append((until, round(float(out.wheels["pnl"][0]), 6)))
        assert out.size.tolist() == [1, 0, 1, 0]  # each from the start
        assert out.wheels["wheel"][0] == 0
    assert found == [(3, -211.32), (2, 98.68), (4, 199.34)]


def launched(busy: int, session: int, **rules: Any) -> tuple[int, list[bool], list[int]]:
    """How many accounts are done, which launched, and until when their underlyings are occupied."""
    daily = the_put()._replace(quotes={day: Offer(1.98, 2.08) for day in (0, 1, 2, 3)})
    slice_ = slice_of(UP, (daily,))
    plan = plan_of(common_fields(**rules), targets=(0.40, 0.50))
    offers, starts = offered(slice_, plan, 3)
    accounts, out = accounts_of({}, {}, configs=(0, 1)), named(new_outcomes(2, 9, 0))
    accounts.busy[:, 1], accounts.open[:, 1] = busy, True
    done = kernel.launch_alone(
        slice_, 1, session, np.array([starts, starts]), offers, plan, accounts, 0, room(), out
    )
    return done, accounts.open[:, 1].tolist(), accounts.busy[:, 1].tolist()


@plain
def test_a_wheel_is_launched_alone_after_the_end_of_the_one_before() -> None:
    # sold on session 1 a target of 50% ends it on session 2, one of 40% never
    assert launched(0, 1, one_at_a_time=True) == (2, [True, True], [4, 2])
    assert launched(1, 1, one_at_a_time=True) == (2, [False, False], [1, 1])
    assert launched(-1, 1) == (2, [False, False], [-1, -1])  # many may be open


# ---- marks


class Market:
    """One underlying, the quotes of its contracts, and what is made of both.

    Args:
        slice_: the underlying.
        quotes: contract, session, bid and ask, by contract and session.
        room: for marks.
        zero: the first session.
        gain: of a share of the session before, by session.
    """

    def __init__(
        self,
        slice_: Slice,
        *quotes: tuple[int, int, float, float],
        room: int = 40,
        zero: int = 0,
        gain: tuple[float, ...] = (),
    ) -> None:
        contracts, close = slice_.contracts.size, slice_.underlying.close[zero:]
        contract = np.array([quote[0] for quote in quotes], np.int64)
        self.slice_, self.zero, n = slice_, zero, close.size
        grown = np.ones(n)
        for event in slice_.events:
            grown[int(event["number"]) - zero :] *= int(event["shares"])
        last = close.copy()
        for t in range(1, n):
            last[t] = last[t - 1] if np.isnan(last[t]) else last[t]
        value = grown * last
        before = np.append(0.0, value[:-1] / grown[:-1])
        gains = np.zeros(n)
        gains[: len(gain)] = gain
        self.worth = named(kernel.Worth(close[None].copy(), grown, value, gains, before))
        self.marks = named(
            kernel.Marks(
                begin=np.full(contracts, -1), first=np.zeros(contracts, np.int64),
                last=np.zeros(contracts, np.int64),
                is_call=np.arange(contracts) >= np.unique(slice_.puts["contract"]).size,
                quote_starts=np.searchsorted(contract, np.arange(contracts + 1)),
                number=np.array([quote[1] for quote in quotes], np.int64),
                bid=np.array([quote[2] for quote in quotes]),
                ask=np.array([quote[3] for quote in quotes]),
                spot=np.full(len(quotes), 51.0), marks=np.zeros(room, MARK),
                leg=np.zeros(1, MARKED_LEG), stretches=np.zeros(slice_.events.size + 2, STRETCH),
                path=np.zeros(n + 1, STEP), size=np.zeros(1, np.int64),
            )
        )  # fmt: skip

    def mark(self, contract: int) -> bool:
        return bool(kernel.mark_contract(self.slice_, contract, self.worth, self.marks, self.zero))

    def prices(self, contract: int) -> list[float]:
        """The marks of a contract, from its first to its last."""
        assert self.mark(contract)
        begin = self.marks.begin[contract]
        count = self.marks.last[contract] - self.marks.first[contract] + 1
        return self.marks.marks["price"][begin : begin + count].tolist()


@plain
def test_marks_run_from_the_first_quote_to_the_settlement_and_are_made_once() -> None:
    market = Market(slice_of(UP, (the_put(),)), (0, 0, 1.98, 2.08), (0, 3, 3.00, 3.20), room=9)
    # the mid of the sale, two closes, the mid before the close of session 3, a close
    assert market.prices(0) == pytest.approx([2.03, 2.00, 1.20, 3.10, 3.00])
    assert market.mark(0)
    assert market.marks.size.tolist() == [5]
    # there is room for four more, which are not enough
    market.marks.begin[0] = -1
    assert not market.mark(0)
    assert (market.marks.size.tolist(), market.marks.begin.tolist()) == ([5], [-1])


@plain
def test_marks_end_on_the_eve_of_an_event_that_the_contract_does_not_survive() -> None:
    events = ((3, 1, EventKind.NOT_CARRIED),)
    market = Market(slice_of(UP, (the_put(),), events=events), (0, 0, 1.98, 2.08))
    assert market.prices(0) == pytest.approx([2.03, 2.00, 1.20])
    assert market.marks.last.tolist() == [2]


@plain
def test_marks_before_the_first_session_are_not_made() -> None:
    slice_ = slice_of(UP, (the_put(),))
    market = Market(slice_, (0, 0, 1.98, 2.08), (0, 3, 3.00, 3.20), zero=2)
    # on session 2 nothing is known of it but the close of its bar, which counts after a sale alone
    assert market.prices(0)[1:] == pytest.approx([3.10, 3.00])
    assert market.marks.first.tolist() == [2]


SPLIT = ((2, 2, EventKind.CARRIED),)


@plain
def test_marks_after_a_split_are_those_of_all_contracts() -> None:
    closes = [51.0, 51.0, 25.5, 24.0, 23.0]
    # bars of the later contract stand in a path of its own
    before = the_put(FOUR_BARS[:1])._replace(becomes=25.0)
    market = Market(
        slice_of(closes, (before,), events=SPLIT), (0, 0, 1.98, 2.08), (1, 2, 0.60, 0.70)
    )
    # a close of 2.00; two at 0.65; two in the money by 1.00, and by 2.00
    assert market.prices(0) == pytest.approx([2.03, 2.00, 2 * 0.65, 2 * 1.00, 2 * 2.00])
    kept = market.marks.marks
    assert kept["factor"][:5].tolist() == [1.0, 1.0, 2.0, 2.0, 2.0]
    assert kept["strike"][:5].tolist() == [50.0, 50.0, 25.0, 25.0, 25.0]


@plain
def test_a_contract_is_cut_into_stretches_by_the_events_it_is_carried_through() -> None:
    slice_ = slice_of([51.0] * 5, (the_put(FOUR_BARS[:1])._replace(becomes=25.0),), events=SPLIT)
    market = Market(slice_, (0, 0, 1.98, 2.08), (1, 2, 0.60, 0.70), (1, 3, 0.60, 0.70))
    assert kernel.lay_stretches(slice_, 0, 0, 4, market.marks, 0) == 2
    found = market.marks.stretches[["first", "last", "row", "rows", "factor", "strike"]][:2]
    assert found.tolist() == [(0, 1, 0, 2, 1.0, 50.0), (2, kernel.FAR, 2, 2, 2.0, 25.0)]
    # a leg that settles before the split has one
    assert kernel.lay_stretches(slice_, 0, 0, 1, market.marks, 0) == 1


@plain
def test_a_path_has_the_quote_and_the_bar_of_each_session() -> None:
    slice_ = slice_of(UP, (the_put(),))
    slice_.rows["is_quote"][2] = True  # on session 3 a quote stands for the bar: it is no close
    market = Market(slice_, (0, 0, 1.98, 2.08), (0, 2, 1.00, 1.20), (0, 3, 3.00, 3.20))
    at = kernel.lay_path(slice_, 0, 1, 3, market.marks, 0, 0)
    path = market.marks.path
    assert at == 3
    assert path["session"][:3].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(path["bid"][:3], [NAN, 1.00, 3.00])
    np.testing.assert_array_equal(path["close"][:3], [2.00, 1.20, NAN])
    np.testing.assert_array_equal(path["spot"][:3], [NAN, 51.0, 51.0])
    # session 4 comes after the last, session 0 before the first
    assert kernel.lay_path(slice_, 0, 4, 4, market.marks, 3, 2) == 4
    assert path["session"][3] == 4 - 2


# ---- what an account holds


def held_by(
    market: Market,
    plan: Plan,
    *times: int,
    wheels: int = 2,
    legs: int = 8,
    **more: Any,
) -> tuple[Any, kernel.Accounts, Any, tuple[int, int]]:
    """Wheels of the first offer, each taken by its account so many times.

    Returns:
        Rows of HELD, the accounts, rows of EXPOSED that were used, and what is done.
    """
    slice_, zero, n = market.slice_, market.zero, len(times)
    offers, _ = offered(slice_, plan, zero)
    accounts = accounts_of(*[{}] * n, sessions=slice_.valid.size - zero, zero=zero, **more)
    held = rows(
        kernel.HELD,
        *(
            {"account": a, "times": k, "entry": zero, "capital": k * 5000.0}
            for a, k in enumerate(times)
        ),
    )
    exposed, used = rows(kernel.EXPOSED, *[{}] * legs), np.zeros(1, np.int64)
    out = named(new_outcomes(wheels, slice_.valid.size, 0))
    done = kernel.hold_wheels(
        np.arange(n), 0, slice_, offers, plan, accounts, market.worth, market.marks, room(), out,
        held, exposed, used,
    )  # fmt: skip
    return held, accounts, exposed[: used[0]], done


def series(accounts: kernel.Accounts, name: str, account: int = 0) -> list[float]:
    return accounts.days[name][account].tolist()


COSTS = {"commission_base": 1.00, "assignment_fee": 5.00}


def order(contracts: int) -> float:
    """The fee of an order under COSTS."""
    return 1.00 + contracts * 0.66


@plain
@pytest.mark.parametrize("zero", [0, 2])
def test_a_put_that_is_bought_back_is_secured_and_owed_until_then(zero: int) -> None:
    put = Option(50.0, zero + 4, {zero: Offer(1.98, 2.08)}, dict(enumerate(FOUR_BARS, zero + 1)))
    market = Market(slice_of([51.0] * (zero + 6), (put,)), (0, zero, 1.98, 2.08), zero=zero)
    plan = plan_of(common_fields(**COSTS), targets=(0.50,))
    held, accounts, exposed, done = held_by(market, plan, 2)
    assert done == (1, 0)
    # sold twice for 2.00, in one order; bought back two sessions later for 1.00
    assert series(accounts, "flow") == pytest.approx(
        [400.0 - order(2), 0.0, -200.0 - order(2), 0.0, 0.0, 0.0]
    )
    assert series(accounts, "traded") == [400.0, 0.0, 200.0, 0.0, 0.0, 0.0]
    # on the day of its exit it is neither secured nor owed any more
    assert series(accounts, "collateral") == [10_000.0, 10_000.0, 0.0, 0.0, 0.0, 0.0]
    assert series(accounts, "owed") == pytest.approx([200 * 2.03, 200 * 2.00, 0.0, 0.0, 0.0, 0.0])
    wheel = held[0]
    assert (wheel["end"], wheel["delivered"], wheel["cost"]) == (zero + 2, zero + 2, 10_000.0)
    assert wheel["pnl"] == pytest.approx(400.0 - 200.0 - 2 * order(2))
    assert (wheel["premium"], wheel["stock"], wheel["days"]) == (400.0, 0.0, 2)
    assert series(accounts, "ended") == [0, 0, 1, 0, 0, 0]
    assert exposed[["account", "contract", "first", "last", "units"]].tolist() == [
        (0, 0, zero, zero + 1, 200.0)
    ]


@plain
def test_wheels_that_end_on_one_session_are_found_from_the_last() -> None:
    market = Market(slice_of(UP, (the_put(),)), (0, 0, 1.98, 2.08))
    plan = plan_of(targets=(0.50,))
    offers, _ = offered(market.slice_, plan)
    accounts = accounts_of({})
    held = rows(kernel.HELD, *[{"times": 1, "capital": 5000.0}] * 3)
    kernel.hold_wheels(
        np.array([0, 2]), 0, market.slice_, offers, plan, accounts, market.worth, market.marks,
        room(), named(new_outcomes(2, 9, 0)), held, rows(kernel.EXPOSED, *[{}] * 4),
        np.zeros(1, np.int64),
    )  # fmt: skip
    assert accounts.days["ended"][0, 2] == 3
    assert (held["next"][2], held["next"][0]) == (1, 0)


@plain
def test_shares_are_bought_held_and_called_away() -> None:
    slice_ = slice_of(FOR_ONE, (the_put(),), (the_call(49.0),), {6: 0.30})
    gain = (0.0, 0.0, 0.0, 0.0, -3.0, 0.50, 0.80, 1.00, 2.00)  # with the dividend
    market = Market(slice_, (0, 0, 1.98, 2.08), (1, 5, 0.98, 1.08), gain=gain)
    held, accounts, exposed, _ = held_by(market, plan_of(common_fields(**COSTS)), 2)
    # 400 - order; bought for 10,000 and one fee; 200 - order; 60 of dividends; sold for 9,800
    assert series(accounts, "flow") == pytest.approx(
        [400 - order(2), 0, 0, 0, -10_000 - 5, 200 - order(2), 60, 0, 9800 - 5]
    )
    assert series(accounts, "traded") == [400.0, 0, 0, 0, 10_000.0, 200.0, 0, 0, 9800.0]
    assert series(accounts, "collateral") == [10_000.0] * 4 + [0.0] * 5
    # 200 shares from the close of the assignment up to the one before they leave
    assert series(accounts, "shares") == [
        *[0.0] * 4, 200 * 48.0, 200 * 48.5, 200 * 49.0, 200 * 50.0, 0.0,
    ]  # fmt: skip
    # the put at its closes, the call at the mid of its sale, which is over its intrinsic value
    put = [200 * 2.03, 200 * 2.00, 200 * 1.20, 200 * 3.90]
    assert series(accounts, "owed") == pytest.approx([*put, 0.0, *[200 * 1.03] * 3, 0.0])
    # what 200 shares of the session before gained, and were worth then
    assert series(accounts, "gained") == pytest.approx([0, 0, 0, 0, 0, 100, 160, 200, 400])
    assert series(accounts, "valued") == pytest.approx(
        [0, 0, 0, 0, 0, 200 * 48.0, 200 * 48.5, 200 * 49.0, 200 * 50.0]
    )
    wheel = held[0]
    assert (wheel["end"], wheel["delivered"], wheel["cost"]) == (8, 4, 10_000.0)
    assert wheel["stock"] == pytest.approx(2 * ((49 - 50) * 100 + 30))
    assert wheel["pnl"] == pytest.approx(400 + 200 - 200 + 60 - 2 * order(2) - 2 * 5)
    assert (wheel["premium"], wheel["days"]) == (600.0, 4 + 3)
    # a put is long the share, a call short of it
    assert exposed[["contract", "first", "last", "units"]].tolist() == [
        (0, 0, 3, 200.0), (1, 5, 7, -200.0),
    ]  # fmt: skip


@plain
def test_a_wheel_that_is_never_resolved_stays_to_the_end() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, NAN, NAN, NAN]
    market = Market(slice_of(closes, (the_put(FOUR_BARS[:3]),)), (0, 0, 1.98, 2.08))
    held, accounts, exposed, _ = held_by(market, plan_of(), 1)
    assert held["end"][0] == kernel.FAR
    assert np.isnan(held["pnl"][0])
    assert series(accounts, "ended") == [0] * 7
    assert series(accounts, "collateral") == [5000.0] * 7
    # its last mark is of session 3, and nothing is newer than the settlement on session 4
    marks = [2.03, 2.00, 1.20, 3.90, 3.90, 3.90, 3.90]
    assert series(accounts, "owed") == pytest.approx([100 * mark for mark in marks])
    assert exposed["last"].tolist() == [4]


@plain
def test_a_buffer_that_is_full_is_named_and_what_is_done_is_kept() -> None:
    plan = plan_of(targets=(0.50,))

    def full(room: int = 40, **buffers: int) -> tuple[tuple[int, int], int]:
        slice_ = slice_of(FOR_ONE, (the_put(),), (the_call(49.0),))
        market = Market(slice_, (0, 0, 1.98, 2.08), (1, 5, 0.98, 1.08), room=room)
        _, _, exposed, done = held_by(market, plan, 1, 1, configs=(0,), **buffers)
        return done, exposed.size

    # each wheel has one leg: of two there is room for the first
    assert full(legs=1) == ((1, kernel.LEGS), 1)
    assert full(room=4) == ((0, kernel.MARKS), 0)  # five sessions
    assert full(wheels=0) == ((0, kernel.OUTCOMES), 0)
    assert full(legs=2, room=5, wheels=1) == ((2, 0), 2)


def shares_of(
    slice_: Slice, v5: bool = False, times: int = 1, factor: int = 1, **wheel: Any
) -> tuple[float, kernel.Accounts, Any]:
    """The cash of the shares of a put assigned on session 4, which was sold at 50 for 2.00.

    By then one contract has become `factor`.
    """
    out, accounts = named(new_outcomes(1, 9, 0)), accounts_of({})
    put = {"exit_number": 4, "factor": factor, "delivered": 50.0 / factor, "price": 2.00}
    ends: dict[str, Any] = {"resolved": True, "end": 8, "sale": 49.0, "lots": 1}
    out.legs[:1] = rows(outcomes.LEG, put)
    out.wheels[:1] = rows(outcomes.WHEEL, ends | wheel)
    held = rows(
        kernel.HELD, {"times": times, "end": 8 if (ends | wheel)["resolved"] else kernel.FAR}
    )
    terms = row(COMMON, **common_fields(v5=v5))
    paid = kernel.hold_shares(
        held[0], slice_, terms, out, Market(slice_).worth, accounts.days[0], 0
    )
    return float(paid), accounts, held


@plain
def test_shares_that_are_sold_bring_what_they_cost_less_the_loss() -> None:
    paid, accounts, held = shares_of(slice_of(FOR_ONE, (the_put(),)), times=3)
    assert paid == pytest.approx(3 * (4900.0 - 5000.0))
    assert series(accounts, "flow") == [0, 0, 0, 0, -15_000.0, 0, 0, 0, 14_700.0]
    assert (held["delivered"][0], held["cost"][0]) == (4, 15_000.0)


@plain
def test_after_a_split_all_shares_of_the_contracts_are_bought() -> None:
    closes = [51.0, 51.0, 25.5, 25.5, 24.0, 24.5, 25.0, 25.0, 26.0]
    slice_ = slice_of(closes, (the_put(),), events=SPLIT)
    paid, accounts, held = shares_of(slice_, factor=2, sale=24.5, lots=2)
    # 200 shares at 25 cost what 100 at 50 would have
    assert held["cost"][0] == 5000.0
    assert paid == pytest.approx(200 * 24.5 - 5000.0)
    assert series(accounts, "shares") == pytest.approx(
        [0, 0, 0, 0, *(200 * close for close in closes[4:8]), 0]
    )


@plain
def test_v5_counts_the_premium_twice_and_books_shares_that_are_left_at_their_cost() -> None:
    slice_ = slice_of(FOR_ONE, (the_put(),), dividends={6: 0.30})
    # 4,900 - (5,000 - 200), without the dividend; the 200 are no trade
    paid, accounts, _ = shares_of(slice_, v5=True)
    assert paid == pytest.approx(100.0)
    assert series(accounts, "traded")[8] == 4900.0
    # a stock P&L of 0 for shares that are never called away
    paid, accounts, _ = shares_of(slice_, v5=True, sale=NAN)
    assert paid == 0.0
    assert series(accounts, "traded")[8] == 0.0
    unresolved, _, _ = shares_of(slice_, v5=True, sale=NAN, resolved=False)
    assert unresolved == -5000.0


@plain
def test_shares_across_a_suspected_split_are_worth_what_they_were_on_its_eve() -> None:
    slice_ = slice_of(FALLING, (the_put(),), events=((7, 1, EventKind.SUSPECTED),))
    paid, accounts, _ = shares_of(slice_, sale=NAN, resolved=False)
    assert paid == -5000.0
    # 46.00 on session 6, the eve; they stay to the end
    assert series(accounts, "shares") == [0, 0, 0, 0, 4800.0, 4700.0, 4600.0, 4600.0, 4600.0]


@plain
def test_shares_grow_by_a_split_while_they_are_held() -> None:
    closes = [51.0, 51.0, 51.0, 51.0, 48.0, 48.0, 16.0, 16.5, 17.0]
    slice_ = slice_of(closes, (the_put(),), events=((6, 3, EventKind.CARRIED),))
    paid, accounts, _ = shares_of(slice_, sale=16.33, lots=3)
    assert paid == pytest.approx(300 * 16.33 - 5000.0)
    assert series(accounts, "shares") == pytest.approx(
        [0, 0, 0, 0, 4800.0, 4800.0, 300 * 16.0, 300 * 16.5, 0]
    )


def received(
    dividends: dict[int, float], *events: Any, frozen: int = 99, times: int = 1, **wheel: Any
) -> tuple[float, list[float]]:
    """Dividends on 100 shares bought on session 4, in all and by session."""
    slice_ = slice_of(FALLING, (the_put(),), dividends=dividends, events=events)
    put = row(outcomes.LEG, exit_number=4, factor=1)
    ended = row(outcomes.WHEEL, **{"resolved": True, "end": 7} | wheel)
    accounts = accounts_of({})
    total = kernel.receive(slice_, put, ended, times, frozen, None, accounts.days[0], 0)
    return float(total), series(accounts, "flow")


@plain
def test_dividends_are_received_on_shares_that_were_held_overnight() -> None:
    # not on the day of the purchase; on the day of the sale, and not after it
    total, flow = received({4: 0.10, 5: 0.20, 7: 0.30, 8: 0.40}, times=2)
    assert total == pytest.approx(2 * (20.0 + 30.0))
    assert flow == pytest.approx([0, 0, 0, 0, 0, 40.0, 0, 60.0, 0])


@plain
def test_on_one_day_a_split_comes_before_the_dividend() -> None:
    split = (6, 3, EventKind.CARRIED)
    assert received({5: 0.10, 6: 0.10}, split)[0] == pytest.approx(100 * 0.10 + 300 * 0.10)
    open_ = {"resolved": False, "end": 4}
    assert received({5: 0.10, 6: 0.10}, split, **open_)[0] == pytest.approx(40.0)


@plain
def test_shares_that_are_never_sold_receive_dividends_as_long_as_their_number_is_known() -> None:
    never = {"resolved": False, "end": 4}
    assert received({6: 0.10, 8: 0.20}, **never)[0] == pytest.approx(30.0)
    assert received({6: 0.10, 8: 0.20}, frozen=7, **never)[0] == pytest.approx(10.0)
    assert received({6: 0.10, 8: 0.20}, frozen=6, **never)[0] == pytest.approx(10.0)
    assert received({6: 0.10, 8: 0.20}, frozen=5, **never)[0] == 0.0


@plain
def test_cash_is_traded_or_not() -> None:
    day = rows(kernel.DAY, {"flow": 10.0, "traded": 1.0})[0]
    assert kernel.pay(day, -4.0, True) == -4.0
    assert kernel.pay(day, -2.0, False) == -2.0
    assert (day["flow"], day["traded"]) == (4.0, 5.0)


@plain
def test_a_leg_is_owed_at_its_marks_and_after_the_last_as_on_it() -> None:
    market = Market(slice_of(UP, (the_put(),)), (0, 0, 1.98, 2.08))
    market.prices(0)
    accounts, exposed = accounts_of({}), rows(kernel.EXPOSED, {}, {})
    used = np.zeros(1, np.int64)
    leg = row(outcomes.LEG, contract=0, number=1, cycle=1, contracts=2)
    given = market.worth, market.marks, accounts.days[0], 0, exposed, used, 5
    kernel.owe_leg(leg, 3, 6, *given)
    # six contracts, from their sale on session 1; the last mark is of session 4
    marks = [0.0, 2.00, 1.20, 3.90, 3.00, 3.00, 3.00, 0.0, 0.0]
    assert series(accounts, "owed") == pytest.approx([600 * mark for mark in marks])
    # a call: its holder has the shares
    assert exposed[0].tolist() == (5, 0, 1, 4, -600.0)
    kernel.owe_leg(row(outcomes.LEG, number=1, contracts=1), 1, 1, *given)
    assert exposed[1].tolist() == (5, 0, 1, 1, 100.0)
    assert used.tolist() == [2]


@plain
def test_share_equivalents_gain_until_the_next_session() -> None:
    worth = kernel.Worth(
        close=np.zeros((1, 4)), grown=np.ones(4), value=np.zeros(4),
        gain=np.array([9.0, 0.50, -1.00, 2.00]), before=np.array([9.0, 50.0, 50.5, 49.5]),
    )  # fmt: skip
    legs = rows(
        kernel.EXPOSED,
        {"account": 1, "contract": 1, "first": 12, "last": 13, "units": -200.0},
        # what it is worth after the last session moves nothing
        {"account": 0, "contract": 0, "first": 10, "last": 13, "units": 100.0},
    )
    days = named(np.zeros((2, 4), kernel.DAY))
    # marks of the first contract from session 10 on, those of the second from session 11 on
    delta = np.array([0.30, 0.40, 0.50, 0.60, 0.1, 0.2, 0.25])
    begin, first = np.array([0, 4]), np.array([10, 11])
    kernel.add_deltas(legs, begin, first, delta, worth, days, 10)
    # 30 shares gain 0.50, 40 lose 1.00, 50 gain 2.00; on session 12 the calls are short
    # of 40 shares
    assert days["gained"][0].tolist() == pytest.approx([0.0, 15.0, -40.0, 100.0])
    assert days["valued"][0].tolist() == pytest.approx([0.0, 30 * 50.0, 40 * 50.5, 50 * 49.5])
    assert days["gained"][1].tolist() == pytest.approx([0.0, 0.0, 0.0, -40 * 2.00])
