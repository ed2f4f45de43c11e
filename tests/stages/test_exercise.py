"""Which sessions are the eve of an ordinary dividend, and what it pays (rules.md, 13)."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from wheelvec.kernels.exercise import NOT_DUE
from wheelvec.kernels.slices import EVENT
from wheelvec.model.schemas import DIVIDENDS
from wheelvec.stages.exercise import due_next

FRIDAY = dt.date(2024, 2, 9)
# Thursday and Friday, Monday to Wednesday
DAY = np.array([(FRIDAY - dt.date(1970, 1, 1)).days + d for d in (-1, 0, 3, 4, 5)])


NO_EVENTS = np.zeros(0, EVENT)


def due(*dividends: tuple[dt.date, float], events: Any = NO_EVENTS, **columns: Any) -> list[int]:
    paid = pl.DataFrame(dividends, schema=["ex_date", "amount"], orient="row")
    paid = paid.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    return due_next(paid, DAY, events).tolist()


def test_the_eve_is_the_session_before_also_over_a_weekend() -> None:
    monday = FRIDAY + dt.timedelta(days=3)
    assert due((FRIDAY, 0.25), (monday, 1.5)) == [250, 1500, NOT_DUE, NOT_DUE, NOT_DUE]


def test_dividends_of_one_day_are_added() -> None:
    # 0.0004 and 0.0003 are a tenth of a cent together
    assert due((FRIDAY, 0.25), (FRIDAY, 0.125))[0] == 375
    assert due((FRIDAY, 0.0004), (FRIDAY, 0.0003))[0] == 1


@pytest.mark.parametrize("days", [-2, -1, 1, 2, 6, 300])
def test_an_ex_date_that_is_no_session_or_has_no_eve_here_counts_for_nothing(days: int) -> None:
    assert due((FRIDAY + dt.timedelta(days=days), 0.25)) == [NOT_DUE] * 5


def test_special_dividends_count_for_nothing() -> None:
    assert due((FRIDAY, 0.25), (FRIDAY, 5.0), special=[False, True])[0] == 250
    assert due((FRIDAY, 5.0), special=[True]) == [NOT_DUE] * 5


def test_without_dividends_nothing_is_due() -> None:
    assert due_next(pl.DataFrame(schema=DIVIDENDS), DAY, NO_EVENTS).tolist() == [NOT_DUE] * 5


def test_on_the_eve_of_a_split_a_share_awaits_the_dividends_of_all_that_it_becomes() -> None:
    events = np.zeros(2, EVENT)
    events["number"], events["shares"] = [1, 3], [4, 2]  # Friday and Tuesday
    monday = FRIDAY + dt.timedelta(days=3)
    assert due((FRIDAY, 0.25), (monday, 0.25), events=events)[:3] == [1000, 250, NOT_DUE]
