"""The puts of a month, worked by hand (rules.md, 3 and 4)."""

from typing import Any

import numpy as np
import pytest

from tests.kernels.build import Offer, Option, common_fields, named, row, slice_of
from wheelvec.kernels.entries import Selection, first_from, new_selection, select_puts, within_otm
from wheelvec.kernels.parameters import COMMON
from wheelvec.model.codes import Select, Tier

# Two sessions, the underlying at 52. Of each put: days left on session 0, out of the money.
PUTS = (
    Option(50.0, 4, {0: Offer(1.98, 2.08, delta=0.35), 1: Offer(1.50, 1.56, delta=0.33)}),  # 4, 3.8%
    Option(45.0, 8, {0: Offer(0.90, 0.92, delta=0.15), 1: Offer(0.80, 0.82, delta=0.14)}),  # 8, 13%
    Option(50.0, 8, {0: Offer(2.40, 3.40, delta=0.36)}),  # 8 days, a spread of 34%
    Option(51.0, 9, {0: Offer(2.98, 3.08, delta=0.45)}),  # 9 days, 1.9%
)  # fmt: skip
SLICE = slice_of([52.0] * 10, PUTS)
ALL = np.ones(10, np.bool_)


def sold(opens: Any = ALL, **rules: Any) -> tuple[list[int], Selection]:
    """Rows of SLICE.puts that sessions 0 and 1 sell; 0 to 3 are of session 0, then 4 and 5."""
    chosen = named(new_selection(2, 6))
    count = select_puts(SLICE, row(COMMON, **common_fields(**rules)), opens, 0, 1, chosen)
    return chosen.row[:count].tolist(), chosen


def test_first_from_finds_where_a_range_of_dte_begins() -> None:
    dte = np.array([7, 14, 14, 21])
    assert [first_from(dte, 0, 4, days) for days in (0, 14, 15, 22)] == [0, 1, 3, 4]
    assert first_from(dte, 2, 2, 14) == 2


@pytest.mark.parametrize(
    ("least", "most", "kept"),
    [
        (2 / 52, 7 / 52, [0, 1, 2]),  # both ends are included
        (2 / 52, 6.99 / 52, [0, 2]),
        (2.01 / 52, 7 / 52, [1]),
        (-np.inf, np.inf, [0, 1, 2, 3]),
        (0.5, 0.6, []),
    ],
)
def test_within_otm_keeps_the_rows_in_range(least: float, most: float, kept: list[int]) -> None:
    # out of the money by 2, 7, 2 and 1 of 52 dollars; the row before is of another session
    chosen = named(new_selection(2, 6))
    chosen.rows[:5] = [5, 0, 1, 2, 3]
    common = row(COMMON, **common_fields(otm_min=least, otm_max=most))
    end = within_otm(SLICE, common, 1, 5, chosen)
    assert chosen.rows[:end].tolist() == [5, *kept]


@pytest.mark.parametrize(
    ("rules", "rows"),
    [
        ({}, [0, 1, 3, 4, 5]),  # all but the one that no rule of liquidity allows
        ({"dte_min": 4, "dte_max": 8}, [0, 1, 5]),  # on session 1 the first has 3 days
        ({"delta_min": 0.15, "delta_max": 0.35}, [0, 1, 4]),  # both ends included
        ({"by_otm": True, "otm_min": 0.03, "otm_max": 0.10}, [0, 4]),
        ({"dte_target": 7}, [1, 5]),  # of 4, 8 and 9 days; of 3 and 7
        ({"dte_target": 3}, [0, 4]),
        ({"select": int(Select.HIGHEST_PREMIUM)}, [3, 4]),
        ({"select": int(Select.CLOSEST_DELTA), "target": 0.20}, [1, 5]),
        ({"select": int(Select.CLOSEST_OTM), "target": 0.10}, [1, 5]),
        ({"per_day": 2}, [0, 1, 4, 5]),
        ({"one_at_a_time": True}, [0, 4]),  # at most one of a session can ever open
    ],
)
def test_select_puts(rules: dict[str, Any], rows: list[int]) -> None:
    assert sold(**rules)[0] == rows


def test_only_sessions_that_open_sell() -> None:
    assert sold(ALL & (np.arange(10) == 1))[0] == [4, 5]


def test_what_is_sold_has_its_session_rank_tier_and_price() -> None:
    rows, chosen = sold(delta_min=0.30, delta_max=0.36)
    assert rows == [0, 4]
    assert chosen.number[:2].tolist() == [0, 1]
    # session 0 ranks two puts of one volatility: their mean rank 1.5 of 2; session 1 ranks one
    assert chosen.ivp[:2].tolist() == [0.75, 1.0]
    # 0.10 of 2.03 is 4.9%, and 0.6 * (12% + 2% near the expiration) is 8.4%;
    # 0.06 of 1.53 is 3.9% of 0.6 * (15% + 2%)
    assert chosen.tier[:2].tolist() == [Tier.TIGHT, Tier.TIGHT]
    # 2.03 - 0.30 * 0.10 = 2.00; 1.53 - 0.30 * 0.06 = 1.512, down to the cent
    assert chosen.price[:2].tolist() == [2.00, 1.51]
