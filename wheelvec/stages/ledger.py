"""Outcomes -> ledger: the dated cash of every wheel, which sums to its P&L (rules.md, 8)."""

from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.model.codes import ExitReason
from wheelvec.model.schemas import LEDGER
from wheelvec.stages.arrays import Array, taken
from wheelvec.stages.outcomes import (
    Recorded,
    Wheels,
    bought_contracts,
    dates,
    is_bought_back,
    is_delivered,
    premiums,
)

KINDS = (
    "premium",
    "fees",
    "buy_back",
    "share_purchase",
    "share_sale",
    "notebook_adjustment",
    "dividend",
)


class Payments(NamedTuple):
    """The dividends of an underlying, and its splits.

    Attributes:
        ex_day: (n,) ex-dates in days since 1970-01-01, ascending.
        paid: (n,) dollars per hundred shares.
        split_day: (splits,) ex-dates of its splits, as `ex_day`.
        shares: (splits + 1,) what one share has become before the first split, and from each on.
    """

    ex_day: Array
    paid: Array
    split_day: Array
    shares: Array

    def shares_on(self, day: Array) -> Array:
        """(n,) what one share has become on each day."""
        return np.asarray(self.shares[np.searchsorted(self.split_day, day, side="right")])


def ledger(some: Wheels, recorded: Recorded, payments: dict[int, Payments]) -> pl.DataFrame:
    """The ledger of wheels: one row per cash flow, by wheel and date (model.schemas.LEDGER).

    Kinds are premium, fees, buy_back, share_purchase, share_sale and dividend. Under v5 a
    `notebook_adjustment` is the amount that the notebook booked without any cash.

    Args:
        some: the wheels.
        recorded: the outcomes that they are of.
        payments: by index of the underlying.
    """
    day, legs, wheels = recorded.day, some.legs, some.wheels
    begin = np.cumsum(wheels["legs"]) - wheels["legs"]
    back = np.flatnonzero(is_bought_back(legs))
    held = np.flatnonzero(legs["reason"][begin] == ExitReason.ASSIGNED)
    assignment_fee = recorded.config.costs.assignment_fee
    delivered = np.flatnonzero(is_delivered(legs) & (assignment_fee > 0.0))
    sold = held[~np.isnan(wheels["sale"][held])]
    puts = legs[begin]
    every, sale, bought = some.of_leg, day[legs["number"]], day[legs["exit_number"][back]]
    paid = legs["exit_price"][back] * 100.0 * legs["contracts"][back]
    lots = puts["factor"]  # hundreds of shares delivered
    flows = [
        (every, sale, "premium", premiums(legs)),
        (every, sale, "fees", -recorded.fee(legs["contracts"])),
        (every[back], bought, "buy_back", -paid),
        (every[back], bought, "fees", -recorded.fee(bought_contracts(legs)[back])),
        (
            every[delivered],
            day[legs["exit_number"][delivered]],
            "fees",
            np.full(delivered.size, -assignment_fee),
        ),
        (
            held,
            day[puts["exit_number"][held]],
            "share_purchase",
            -100.0 * (puts["delivered"] * lots)[held],
        ),
        (
            sold,
            day[wheels["end"][sold]],
            "share_sale",
            100.0 * (wheels["sale"] * wheels["lots"])[sold],
        ),
    ]
    if recorded.config.rules == "v5":
        flows.append(_notebook_adjustments(wheels, puts, held, day))
    else:
        flows.append(_received(some, puts, held, day, payments))
    return _framed(flows, some.ids)


Flows = tuple[Array, Array, str, Array]  # index of the wheel, day, kind, dollars


def _framed(flows: list[Flows], ids: pl.Series) -> pl.DataFrame:
    wheel, date, amount = (np.concatenate([each[i] for each in flows]) for i in (0, 1, 3))
    kind = np.concatenate([np.full(each[0].size, KINDS.index(each[2])) for each in flows])
    order = np.lexsort((date, wheel))
    columns = {
        "wheel_id": taken(ids, wheel[order]),
        "date": dates(date[order]),
        "entry": taken(pl.Series(KINDS), kind[order]),
        "amount": amount[order],
    }
    return pl.DataFrame(columns, schema=LEDGER)


def _notebook_adjustments(wheels: Array, puts: Array, held: Array, day: Array) -> Flows:
    held = held[wheels["resolved"][held]]
    bought = 100.0 * puts["delivered"] * puts["factor"]
    amount = np.where(np.isnan(wheels["sale"]), bought, puts["price"] * 100.0)
    return held, day[wheels["end"]][held], "notebook_adjustment", amount[held]


def _received(
    some: Wheels, puts: Array, held: Array, day: Array, payments: dict[int, Payments]
) -> Flows:
    """Every dividend on shares held overnight into its ex-date."""
    wheels, found = some.wheels, []
    held = held[wheels["resolved"][held]]
    for index, each in payments.items():
        mine = held[wheels["underlying"][held] == index]
        bought = day[puts["exit_number"][mine]]
        first = np.searchsorted(each.ex_day, bought, side="right")
        last = np.searchsorted(each.ex_day, day[wheels["end"][mine]], side="right")
        count = np.maximum(last - first, 0)
        of_row = np.repeat(np.arange(mine.size), count)
        row = np.arange(of_row.size) - (np.cumsum(count) - count - first)[of_row]
        grown = each.shares_on(each.ex_day[row]) // each.shares_on(bought)[of_row]
        lots = puts["factor"][mine][of_row] * grown
        found.append((mine[of_row], each.ex_day[row], each.paid[row] * lots))
    empty = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    wheel, date, amount = (np.concatenate(columns) for columns in zip(empty, *found, strict=True))
    return wheel, date, "dividend", amount
