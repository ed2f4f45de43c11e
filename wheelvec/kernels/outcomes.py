"""Outcomes of a backtest: a row a leg, attempt to sell a call, wheel and entry session.

Prices are dollars per share, P&L dollars per contract, sessions numbers; NaN and -1 state where
there is nothing.
"""

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from wheelvec.jit.arrays import Integers, Records
from wheelvec.jit.compiled import njit_inlined
from wheelvec.kernels.events import contract_on, shares_between
from wheelvec.kernels.slices import Quote, Slice
from wheelvec.kernels.wheel import AssignedPut, Value
from wheelvec.model.codes import ExitReason

if TYPE_CHECKING:
    from wheelvec.kernels.calls import WheelState

# from the one to the other a leg ran to its settlement, or was exercised before that
EXPIRED_WORTHLESS, NO_DATA = int(ExitReason.EXPIRED_WORTHLESS), int(ExitReason.NO_DATA)
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
        ("contracts", _WHOLE),  # sold
        ("factor", _WHOLE),  # contracts at the exit for one that was sold
        ("exit_contract", _WHOLE),  # that stands for it at the exit
        ("delivered", _REAL),  # strike of that one
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
        ("wheel", _WHOLE),  # its number among those of the underlying
        # filled in afterwards: the place of its underlying among the symbols, its legs and attempts
        ("underlying", _WHOLE),
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
        ("lots", _WHOLE),  # hundreds of shares then
        ("passed", _FLAG),  # whether a leg or shares were carried through a corporate event
    ],
    align=True,
)  # fmt: skip

# A wheel that holds shares and goes on in a later window: kernels.wheel.AssignedPut, the state of
# kernels.calls, and the columns of WHEEL that its put decides.
CARRIED_WHEEL = np.dtype(
    [
        ("wheel", _WHOLE), ("number", _WHOLE), ("censored", _FLAG), ("csp_pnl", _REAL),
        ("strike", _REAL), ("price", _REAL), ("premium", _REAL), ("settlement", _WHOLE),
        ("word", np.uint64),
        ("sought", _WHOLE), ("cycle", _WHOLE), ("waits", _WHOLE), ("latest", _WHOLE),
        ("closed", _REAL), ("contracts", _WHOLE),
    ],
    align=True,
)  # fmt: skip

DAY = np.dtype([(name, _WHOLE) for name in ("in_range", "liquid", "candidates", "launched")])


class Outcomes(NamedTuple):
    """Buffers for outcomes.

    `size` counts the legs, attempts, wheels that ended and wheels carried on that were written, and
    counts on where a buffer is full.
    """

    legs: Records  # of LEG
    attempts: Records  # of ATTEMPT
    wheels: Records  # of WHEEL
    carried: Records  # of CARRIED_WHEEL
    days: Records  # of DAY, (sessions,)
    size: Integers  # (4,)
    launched: Integers  # (1,) the number of the next wheel


def new_outcomes(wheels: int, sessions: int, launched: int) -> Outcomes:
    """Buffers for so many wheels, each of three legs and three attempts, and all sessions.

    Args:
        wheels: of the slice.
        sessions: of the calendar.
        launched: wheels of the underlying that were launched before.
    """
    legs, attempts = np.zeros(3 * wheels, LEG), np.zeros(3 * wheels, ATTEMPT)
    ended, carried = np.zeros(wheels, WHEEL), np.zeros(wheels, CARRIED_WHEEL)
    days, size = np.zeros(sessions, DAY), np.zeros(4, np.int64)
    return Outcomes(legs, attempts, ended, carried, days, size, np.array([launched]))


def doubled(outcomes: Outcomes) -> Outcomes:
    """The same outcomes in buffers of twice the size."""
    legs, attempts, wheels, carried = (
        np.concatenate([table, np.zeros_like(table)]) for table in outcomes[:4]
    )
    return outcomes._replace(legs=legs, attempts=attempts, wheels=wheels, carried=carried)


def written(outcomes: Outcomes) -> Outcomes:
    """The outcomes without the unused part of their buffers."""
    sizes = outcomes.size.tolist()
    legs, attempts, wheels, carried = (
        table[:size].copy() for table, size in zip(outcomes[:4], sizes, strict=True)
    )
    return outcomes._replace(legs=legs, attempts=attempts, wheels=wheels, carried=carried)


class Sold(NamedTuple):
    """The terms on which a put was sold; the names are those of kernels.calls.SALE."""

    price: float  # dollars per share
    ivp: float
    tier: int
    penalty: float
    contracts: int


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
        or out.size[3] > out.carried.size
    )


@njit_inlined
def write_leg(
    out: Outcomes,
    slice_: Slice,
    wheel: int,
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
        wheel: number of the wheel.
        quote: at which it was sold.
        cycle: 0 the put, n the n-th call.
        number: session of the sale.
        sold: has price, ivp, tier, penalty and contracts: Sold, or a row of kernels.calls.SALE.
        chance: that a touch of the target fills.
        ended: how it ended.
    """
    i = out.size[0]
    out.size[0] = i + 1
    if i >= out.legs.size:
        return
    leg, where = out.legs[i], slice_.contracts[quote.contract]
    leg.wheel, leg.cycle = wheel, cycle
    leg.contract, leg.number = quote.contract, number
    leg.settlement, leg.expiration_day = where.settlement, where.expiration_day
    leg.strike, leg.spread_pct = quote.strike, quote.spread_pct
    leg.dte, leg.iv, leg.delta = quote.dte, quote.iv, quote.delta
    leg.price, leg.ivp = sold.price, sold.ivp
    leg.tier, leg.penalty, leg.p_fill = sold.tier, sold.penalty, chance
    leg.reason, leg.exit_number, leg.exit_price = ended.reason, ended.number, ended.price
    leg.touches, leg.u, leg.missing = ended.touches, ended.u, ended.missing
    settled = EXPIRED_WORTHLESS <= ended.reason <= NO_DATA
    ran = settled and ended.number == where.settlement
    leg.settlement_close = slice_.underlying.close[where.settlement] if ran else np.nan
    left = contract_on(slice_.contracts, quote.contract, ended.number)
    leg.exit_contract, leg.delivered = left, slice_.contracts.strike[left]
    leg.contracts = sold.contracts
    leg.factor = shares_between(slice_.events, number, ended.number)


@njit_inlined
def write_attempt(out: Outcomes, wheel: int, cycle: int, number: int, sale: Records) -> None:
    """Write one search for a call.

    Args:
        out: written.
        wheel: number of the wheel.
        cycle: which call of the wheel, from 1.
        number: session.
        sale: a row of kernels.calls.SALE.
    """
    i = out.size[1]
    out.size[1] = i + 1
    if i >= out.attempts.size:
        return
    attempt = out.attempts[i]
    attempt.wheel, attempt.cycle, attempt.number = wheel, cycle, number
    attempt.status, attempt.in_range = sale.status, sale.in_range
    attempt.above_basis, attempt.liquid = sale.above_basis, sale.liquid


@njit_inlined
def write_wheel(
    out: Outcomes,
    wheel: int,
    number: int,
    censored: bool,
    csp_pnl: float,
    cc_pnl: float,
    passed: bool,
    value: Value,
) -> None:
    """Write how a wheel ended.

    Args:
        out: written.
        wheel: its number.
        number: entry session.
        censored: whether the data end before its put can have ended.
        csp_pnl: of its put, dollars per contract.
        cc_pnl: of its calls, dollars per contract.
        passed: whether a leg or shares were carried through a corporate event.
        value: of the wheel.
    """
    i = out.size[2]
    out.size[2] = i + 1
    if i >= out.wheels.size:
        return
    row = out.wheels[i]
    row.wheel, row.number, row.censored = wheel, number, censored
    row.end_reason, row.end, row.until = value.end_reason, value.end, value.until
    row.resolved, row.held, row.sale = value.resolved, value.held, value.sale
    row.csp_pnl, row.cc_pnl, row.stock_pnl = csp_pnl, cc_pnl, value.stock
    row.pnl, row.marked = value.pnl, value.marked
    row.lots, row.passed = value.lots, passed


@njit_inlined
def write_carried(
    out: Outcomes,
    number: int,
    censored: bool,
    csp_pnl: float,
    put: AssignedPut,
    state: "WheelState",
) -> None:
    """Write the state of a wheel that goes on in a later window.

    Args:
        out: written.
        number: entry session.
        censored: whether the data end before its put can have ended.
        csp_pnl: of its put, dollars per contract.
        put: that was assigned.
        state: state of the wheel.
    """
    i = out.size[3]
    out.size[3] = i + 1
    if i >= out.carried.size:
        return
    row = out.carried[i]
    row.number, row.censored, row.csp_pnl = number, censored, csp_pnl
    row.wheel, row.strike = put.wheel, put.strike
    row.price, row.premium = put.price, put.premium
    row.settlement, row.word = put.settlement, put.word
    row.sought, row.cycle, row.waits = state.sought, state.cycle, state.waits
    row.latest, row.closed = state.latest, state.closed
    row.contracts = put.contracts


@njit_inlined
def sizes_of(out: Outcomes) -> tuple[int, int, int, int, int]:
    """Numbers of rows written, for `take_back`."""
    return out.size[0], out.size[1], out.size[2], out.size[3], out.launched[0]


@njit_inlined
def take_back(out: Outcomes, sizes: tuple[int, int, int, int, int]) -> None:
    """Drop the rows written since `sizes_of`."""
    for i in range(4):
        out.size[i] = sizes[i]
    out.launched[0] = sizes[4]
