"""Outcomes of a backtest: a row a leg, attempt to sell a call, wheel and entry session.

Prices are dollars per share, P&L dollars per contract, sessions numbers; NaN and -1 stand where
there is nothing.
"""

from typing import NamedTuple, Protocol

import numpy as np

from wheelvec.jit.arrays import Integers, Records
from wheelvec.jit.compiled import njit_inlined
from wheelvec.kernels.slices import Quote, Slice
from wheelvec.model.codes import ExitReason

EXPIRED_WORTHLESS = int(ExitReason.EXPIRED_WORTHLESS)  # from here on a leg ran to its settlement
_REAL, _WHOLE, _FLAG = np.float64, np.int64, np.bool_

LEG = np.dtype(
    [
        ("wheel", _WHOLE),
        ("cycle", _WHOLE),  # 0 the put, 1.. the calls
        ("contract", _WHOLE),  # of the slice
        ("number", _WHOLE),  # session of the sale
        ("settlement", _WHOLE),
        ("expiration_day", _WHOLE), ("strike", _REAL),
        ("spread_pct", _REAL), ("dte", _WHOLE), ("iv", _REAL), ("delta", _REAL),
        ("price", _REAL), ("ivp", _REAL), ("tier", _WHOLE), ("penalty", _REAL), ("p_fill", _REAL),
        ("reason", _WHOLE),
        ("exit_number", _WHOLE),  # the settlement where nothing ended it
        ("exit_price", _REAL), ("touches", _WHOLE), ("u", _REAL),
        ("missing", _WHOLE),  # sessions without a bar
        ("settlement_close", _REAL),  # of the underlying, where the leg ran to its settlement
    ],
    align=True,
)  # fmt: skip

ATTEMPT = np.dtype(
    [
        ("wheel", _WHOLE), ("cycle", _WHOLE), ("number", _WHOLE),
        ("status", _WHOLE),  # -1: sold, else an EndReason
        ("in_range", _WHOLE), ("above_basis", _WHOLE), ("liquid", _WHOLE),
        # of the session; filled in afterwards
        ("quoted", _WHOLE), ("valid", _WHOLE), ("solved", _WHOLE),
    ],
    align=True,
)  # fmt: skip

WHEEL = np.dtype(
    [
        ("underlying", _WHOLE),  # filled in afterwards: its place among the symbols
        ("first_leg", _WHOLE), ("legs", _WHOLE), ("first_attempt", _WHOLE), ("attempts", _WHOLE),
        ("number", _WHOLE),  # entry session
        ("end_reason", _WHOLE),
        ("end", _WHOLE),  # end session, also where it is not resolved
        ("until", _WHOLE),  # the last session on which it occupies its underlying
        ("resolved", _FLAG), ("held", _FLAG), ("censored", _FLAG),
        ("csp_pnl", _REAL),
        ("cc_pnl", _REAL),  # of the calls that ended
        ("stock_pnl", _REAL),
        ("pnl", _REAL), ("marked", _REAL),
        ("sale", _REAL),  # at which shares left the wheel
    ],
    align=True,
)  # fmt: skip

DAY = np.dtype([(name, _WHOLE) for name in ("in_range", "liquid", "candidates", "launched")])


class Outcomes(NamedTuple):
    """Buffers for outcomes.

    `size` counts the legs, attempts and wheels written, and counts on where a buffer is full.
    """

    legs: Records  # of LEG
    attempts: Records  # of ATTEMPT
    wheels: Records  # of WHEEL
    days: Records  # of DAY, (sessions,)
    size: Integers  # (3,)


def new_outcomes(wheels: int, sessions: int) -> Outcomes:
    """Buffers for so many wheels, each of three legs and three attempts, and all sessions."""
    legs, attempts, each = (
        np.zeros(3 * wheels, LEG),
        np.zeros(3 * wheels, ATTEMPT),
        np.zeros(wheels, WHEEL),
    )
    return Outcomes(legs, attempts, each, np.zeros(sessions, DAY), np.zeros(3, np.int64))


def doubled(outcomes: Outcomes) -> Outcomes:
    """The same outcomes in buffers of twice the size."""
    legs, attempts, wheels = (
        np.concatenate([table, np.zeros_like(table)]) for table in outcomes[:3]
    )
    return outcomes._replace(legs=legs, attempts=attempts, wheels=wheels)


def written(outcomes: Outcomes) -> Outcomes:
    """The outcomes without the unused part of their buffers."""
    legs, attempts, wheels = (
        table[:size].copy()
        for table, size in zip(outcomes[:3], outcomes.size.tolist(), strict=True)
    )
    return outcomes._replace(legs=legs, attempts=attempts, wheels=wheels)


class Sold(NamedTuple):
    """The terms on which a put was sold; the names are those of kernels.calls.SALE."""

    price: float  # dollars per share
    ivp: float
    tier: int
    penalty: float


class LegEnd(Protocol):
    """How a leg ended: kernels.record.PutEnd or kernels.calls.CallEnd."""

    @property
    def reason(self) -> int:
        """ExitReason."""

    @property
    def number(self) -> int:
        """Session of the exit."""

    @property
    def price(self) -> float:
        """Dollars per share paid to buy it back."""

    @property
    def touches(self) -> int:
        """Touches of its target."""

    @property
    def u(self) -> float:
        """The last draw; NaN: none."""

    @property
    def missing(self) -> int:
        """Sessions without a bar."""


@njit_inlined
def full(out: Outcomes) -> bool:
    """Whether more was counted than the buffers hold."""
    return (
        out.size[0] > out.legs.size
        or out.size[1] > out.attempts.size
        or out.size[2] > out.wheels.size
    )


@njit_inlined
def write_leg(
    out: Outcomes,
    slice_: Slice,
    quote: Quote,
    cycle: int,
    number: int,
    sold: Sold,
    chance: float,
    ended: LegEnd,
) -> None:
    """Write one leg.

    Args:
        out: written.
        slice_: the underlying.
        quote: at which it was sold.
        cycle: 0 the put, n the n-th call.
        number: session of the sale.
        sold: has price, ivp, tier and penalty: Sold, or a row of kernels.calls.SALE.
        chance: that a touch of the target fills.
        ended: how it ended.
    """
    i = out.size[0]
    out.size[0] = i + 1
    if i >= out.legs.size:
        return
    leg, where = out.legs[i], slice_.contracts[quote.contract]
    leg.wheel, leg.cycle = out.size[2], cycle
    leg.contract, leg.number = quote.contract, number
    leg.settlement, leg.expiration_day = where.settlement, where.expiration_day
    leg.strike, leg.spread_pct = quote.strike, quote.spread_pct
    leg.dte, leg.iv, leg.delta = quote.dte, quote.iv, quote.delta
    leg.price, leg.ivp = sold.price, sold.ivp
    leg.tier, leg.penalty, leg.p_fill = sold.tier, sold.penalty, chance
    leg.reason, leg.exit_number, leg.exit_price = ended.reason, ended.number, ended.price
    leg.touches, leg.u, leg.missing = ended.touches, ended.u, ended.missing
    ran = ended.reason >= EXPIRED_WORTHLESS
    leg.settlement_close = slice_.underlying.close[where.settlement] if ran else np.nan


@njit_inlined
def write_attempt(out: Outcomes, cycle: int, number: int, sale: Records) -> None:
    """Write one search for a call.

    Args:
        out: written.
        cycle: which call of the wheel, from 1.
        number: session.
        sale: a row of kernels.calls.SALE.
    """
    i = out.size[1]
    out.size[1] = i + 1
    if i >= out.attempts.size:
        return
    attempt = out.attempts[i]
    attempt.wheel, attempt.cycle, attempt.number = out.size[2], cycle, number
    attempt.status, attempt.in_range = sale.status, sale.in_range
    attempt.above_basis, attempt.liquid = sale.above_basis, sale.liquid
