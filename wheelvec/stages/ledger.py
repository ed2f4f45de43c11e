"""Outcomes -> ledger: the dated cash of every wheel, which sums to its P&L (rules.md, 8)."""

import numpy as np
import polars as pl

from wheelvec.model.codes import BOUGHT_BACK, ExitReason
from wheelvec.model.schemas import LEDGER
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import Recorded, Wheels, dates, is_delivered

KINDS = (
    "premium",
    "fees",
    "buy_back",
    "share_purchase",
    "share_sale",
    "notebook_adjustment",
    "dividend",
)


def ledger(
    some: Wheels, recorded: Recorded, dividends: dict[int, tuple[Array, Array]]
) -> pl.DataFrame:
    """The ledger of wheels: one row per cash flow, by wheel and date (model.schemas.LEDGER).

    Kinds are premium, fees, buy_back, share_purchase, share_sale and dividend. Under v5 a
    `notebook_adjustment` is the amount that the notebook booked without any cash.

    Args:
        some: the wheels.
        recorded: the outcomes that they are of.
        dividends: by index of the underlying, (n,) ex-days in order and dollars per contract.
    """
    day, legs, wheels, fee = recorded.day, some.legs, some.wheels, recorded.fee
    begin = np.cumsum(wheels["legs"]) - wheels["legs"]
    back = np.flatnonzero(np.isin(legs["reason"], BOUGHT_BACK))
    held = np.flatnonzero(legs["reason"][begin] == ExitReason.ASSIGNED)
    assignment_fee = recorded.config.costs.assignment_fee
    delivered = np.flatnonzero(is_delivered(legs) & (assignment_fee > 0.0))
    sold = held[~np.isnan(wheels["sale"][held])]
    puts = legs[begin]
    every, sale, bought = some.of_leg, day[legs["number"]], day[legs["exit_number"][back]]
    flows = [
        (every, sale, "premium", legs["price"] * 100.0),
        (every, sale, "fees", np.full(legs.size, -fee)),
        (every[back], bought, "buy_back", -(legs["exit_price"][back] * 100.0)),
        (every[back], bought, "fees", np.full(back.size, -fee)),
        (
            every[delivered],
            day[legs["exit_number"][delivered]],
            "fees",
            np.full(delivered.size, -assignment_fee),
        ),
        (held, day[puts["exit_number"][held]], "share_purchase", -100.0 * puts["strike"][held]),
        (sold, day[wheels["end"][sold]], "share_sale", 100.0 * wheels["sale"][sold]),
    ]
    if recorded.config.rules == "v5":
        flows.append(_notebook_adjustments(wheels, puts, held, day))
    else:
        flows.append(_received(some, puts, held, day, dividends))
    return _framed(flows, some.ids)


Flows = tuple[Array, Array, str, Array]  # index of the wheel, day, kind, dollars


def _framed(flows: list[Flows], ids: pl.Series) -> pl.DataFrame:
    wheel, date, amount = (np.concatenate([each[i] for each in flows]) for i in (0, 1, 3))
    kind = np.concatenate([np.full(each[0].size, KINDS.index(each[2])) for each in flows])
    order = np.lexsort((date, wheel))
    columns = {
        "wheel_id": ids.gather(pl.Series(wheel[order])),
        "date": _dates(date[order]),
        "entry": pl.Series(KINDS).gather(pl.Series(kind[order])),
        "amount": amount[order],
    }
    return pl.DataFrame(columns, schema=LEDGER)


_NO_DATE = -(2**31)


def _dates(days: Array) -> pl.Series:
    return dates(np.where(days == _NO_DATE, 0, days), days != _NO_DATE)


def _notebook_adjustments(wheels: Array, puts: Array, held: Array, day: Array) -> Flows:
    date = np.where(wheels["resolved"], day[wheels["end"]], _NO_DATE)[held]
    amount = np.where(np.isnan(wheels["sale"]), 100.0 * puts["strike"], puts["price"] * 100.0)
    return held, date, "notebook_adjustment", amount[held]


def _received(
    some: Wheels, puts: Array, held: Array, day: Array, dividends: dict[int, tuple[Array, Array]]
) -> Flows:
    """Every dividend on shares held overnight into its ex-date."""
    wheels, found = some.wheels, []
    held = held[wheels["resolved"][held]]
    for index, (ex_days, paid) in dividends.items():
        mine = held[wheels["underlying"][held] == index]
        first = np.searchsorted(ex_days, day[puts["exit_number"][mine]], side="right")
        last = np.searchsorted(ex_days, day[wheels["end"][mine]], side="right")
        count = np.maximum(last - first, 0)
        of_row = np.repeat(np.arange(mine.size), count)
        row = np.arange(of_row.size) - (np.cumsum(count) - count - first)[of_row]
        found.append((mine[of_row], ex_days[row], paid[row]))
    empty = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    wheel, date, amount = (np.concatenate(columns) for columns in zip(empty, *found, strict=True))
    return wheel, date, "dividend", amount
