"""Outcomes -> the dated cash of every wheel, which sums to its P&L (rules.md, section 8)."""

import numpy as np
import polars as pl

from wheelvec.model.codes import BOUGHT_BACK, ExitReason
from wheelvec.model.schemas import LEDGER
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import Recorded, Wheels, dates, is_delivered

ENTRIES = (
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
    """Premium, fees, buy_back, share_purchase, share_sale, and the dividends received, wheel by
    wheel.

    Under v5 a `notebook_adjustment` shows what the notebook booked without any cash behind it.

    Args:
        some, recorded: the wheels.
        dividends: of each underlying's place the ex-days and dollars per contract, in order.
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
    parts = [
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
        parts.append(_invented(wheels, puts, held, day))
    else:
        parts.append(_received(some, puts, held, day, dividends))
    return _entries(parts, some.ids)


Part = tuple[Array, Array, str, Array]  # position of the wheel, day, entry, amount


def _entries(parts: list[Part], ids: pl.Series) -> pl.DataFrame:
    wheel, date, amount = (np.concatenate([part[i] for part in parts]) for i in (0, 1, 3))
    entry = np.concatenate([np.full(part[0].size, ENTRIES.index(part[2])) for part in parts])
    order = np.lexsort((date, wheel))
    columns = {
        "wheel_id": ids.gather(pl.Series(wheel[order])),
        "date": _dates(date[order]),
        "entry": pl.Series(ENTRIES).gather(pl.Series(entry[order])),
        "amount": amount[order],
    }
    return pl.DataFrame(columns, schema=LEDGER)


_NO_DATE = -(2**31)


def _dates(days: Array) -> pl.Series:
    return dates(np.where(days == _NO_DATE, 0, days), days != _NO_DATE)


def _invented(wheels: Array, puts: Array, held: Array, day: Array) -> Part:
    date = np.where(wheels["resolved"], day[wheels["end"]], _NO_DATE)[held]
    amount = np.where(np.isnan(wheels["sale"]), 100.0 * puts["strike"], puts["price"] * 100.0)
    return held, date, "notebook_adjustment", amount[held]


def _received(
    some: Wheels, puts: Array, held: Array, day: Array, dividends: dict[int, tuple[Array, Array]]
) -> Part:
    """Every dividend on shares held overnight into its ex-date."""
    wheels, parts = some.wheels, []
    held = held[wheels["resolved"][held]]
    for place, (ex_days, paid) in dividends.items():
        mine = held[wheels["underlying"][held] == place]
        first = np.searchsorted(ex_days, day[puts["exit_number"][mine]], side="right")
        last = np.searchsorted(ex_days, day[wheels["end"][mine]], side="right")
        count = np.maximum(last - first, 0)
        of_row = np.repeat(np.arange(mine.size), count)
        row = np.arange(of_row.size) - (np.cumsum(count) - count - first)[of_row]
        parts.append((mine[of_row], ex_days[row], paid[row]))
    empty = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    wheel, date, amount = (np.concatenate(columns) for columns in zip(empty, *parts, strict=True))
    return wheel, date, "dividend", amount
