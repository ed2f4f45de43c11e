"""Integer codes of the kernels, their names in frames, and the state machine of a wheel.

Kernels write the numbers, frames show the names in lower case: `ExitReason.STOP_LOSS` becomes
"stop_loss". Files contain the names only, so that the numbers may change.
"""

from collections.abc import Iterable
from enum import IntEnum

from wheelvec.model.errors import StateError

# Dollars. Above it a double no longer holds whole cents, and sums of such prices become infinite.
LARGEST_PRICE = 2.0**53 / 100.0


class ExitReason(IntEnum):
    """Why a leg ended (rules.md, sections 6, 7 and 12)."""

    STOP_LOSS = 0
    PROFIT_TARGET = 1
    MAX_HOLD_DTE = 2
    EXPIRED_WORTHLESS = 3
    ASSIGNED = 4
    CALLED_AWAY = 5
    OPEN = 6
    NO_DATA = 7
    CORPORATE_ACTION = 8
    SUSPECTED_SPLIT = 9


class EndReason(IntEnum):
    """Why a wheel ended (rules.md, section 10)."""

    PUT_CLOSED = 0
    PUT_EXPIRED = 1
    CALLED_AWAY = 2
    MAX_CYCLES = 3
    NO_CALL_QUOTES = 4
    NO_CALL_IN_RANGE = 5
    NO_CALL_ABOVE_BASIS = 6
    NO_CALL_LIQUID = 7
    UNRESOLVED = 8
    CORPORATE_ACTION = 9


class EventKind(IntEnum):
    """How legs and shares pass a corporate event (rules.md, section 12)."""

    CARRIED = 0
    NOT_CARRIED = 1
    SUSPECTED = 2


class Tier(IntEnum):
    """Liquidity tier of a quote (rules.md, section 3)."""

    TIGHT = 0
    MODERATE = 1
    WIDE = 2
    REJECTED = 3


class FillMode(IntEnum):
    """How far from the mid an order fills (rules.md, section 4)."""

    OPTIMISTIC = 0
    REALISTIC = 1
    PESSIMISTIC = 2
    NATURAL = 3


class Select(IntEnum):
    """How one of several qualifying contracts is selected (rules.md, sections 3 and 7)."""

    ALL = 0
    CLOSEST_DELTA = 1
    HIGHEST_PREMIUM = 2
    HIGHEST_STRIKE = 3
    CLOSEST_OTM = 4
    CLOSEST_PREMIUM = 5


class EarlyAssignment(IntEnum):
    """When the holder of an option exercises it early (rules.md, section 13)."""

    NONE = 0
    AT_PARITY = 1
    EX_DIV = 2


class IvStatus(IntEnum):
    """Status of one element of `implied_vol`."""

    SOLVED = 0
    UNDER_INTRINSIC = 1
    OVER_BOUND = 2
    BAD_INPUT = 3


class State(IntEnum):
    """State of a wheel (rules.md, section 9); WHEEL_OPEN is the total of an unresolved wheel."""

    CSP_OPEN = 0
    CSP_CLOSED_PROFIT = 1
    CSP_CLOSED_STOP = 2
    CSP_CLOSED_DTE = 3
    CSP_CLOSED_ACTION = 4
    CSP_CLOSED_WORTHLESS = 5
    CSP_ASSIGNED = 6
    CC_OPEN = 7
    CC_CLOSED_PROFIT = 8
    CC_CLOSED_STOP = 9
    CC_CLOSED_DTE = 10
    CC_CLOSED_ACTION = 11
    CC_CLOSED_WORTHLESS = 12
    CC_ASSIGNED = 13
    WHEEL_COMPLETE = 14
    WHEEL_OPEN = 15


class Event(IntEnum):
    """An event that changes the state of a wheel (rules.md, section 9)."""

    PROFIT_TARGET = 0
    STOP_LOSS = 1
    MAX_HOLD_DTE = 2
    CORPORATE_ACTION = 3
    EXPIRED_WORTHLESS = 4
    ASSIGNED = 5
    SELL_CALL = 6
    CALLED_AWAY = 7
    COMPLETE = 8


def name_of(code: IntEnum) -> str:
    """The name of a code in frames: in lower case, for states in upper case."""
    return code.name if isinstance(code, State) else code.name.lower()


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CSP_OPEN, Event.PROFIT_TARGET): State.CSP_CLOSED_PROFIT,
    (State.CSP_OPEN, Event.STOP_LOSS): State.CSP_CLOSED_STOP,
    (State.CSP_OPEN, Event.MAX_HOLD_DTE): State.CSP_CLOSED_DTE,
    (State.CSP_OPEN, Event.CORPORATE_ACTION): State.CSP_CLOSED_ACTION,
    (State.CSP_OPEN, Event.ASSIGNED): State.CSP_ASSIGNED,
    (State.CSP_OPEN, Event.EXPIRED_WORTHLESS): State.CSP_CLOSED_WORTHLESS,
    (State.CSP_CLOSED_PROFIT, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CSP_CLOSED_STOP, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CSP_CLOSED_DTE, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CSP_CLOSED_ACTION, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CSP_CLOSED_WORTHLESS, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CSP_ASSIGNED, Event.SELL_CALL): State.CC_OPEN,
    (State.CSP_ASSIGNED, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CC_OPEN, Event.PROFIT_TARGET): State.CC_CLOSED_PROFIT,
    (State.CC_OPEN, Event.STOP_LOSS): State.CC_CLOSED_STOP,
    (State.CC_OPEN, Event.MAX_HOLD_DTE): State.CC_CLOSED_DTE,
    (State.CC_OPEN, Event.CORPORATE_ACTION): State.CC_CLOSED_ACTION,
    (State.CC_OPEN, Event.CALLED_AWAY): State.CC_ASSIGNED,
    (State.CC_OPEN, Event.EXPIRED_WORTHLESS): State.CC_CLOSED_WORTHLESS,
    (State.CC_CLOSED_PROFIT, Event.SELL_CALL): State.CC_OPEN,
    (State.CC_CLOSED_STOP, Event.SELL_CALL): State.CC_OPEN,
    (State.CC_CLOSED_DTE, Event.SELL_CALL): State.CC_OPEN,
    (State.CC_CLOSED_ACTION, Event.SELL_CALL): State.CC_OPEN,
    (State.CC_CLOSED_WORTHLESS, Event.SELL_CALL): State.CC_OPEN,
    (State.CC_CLOSED_PROFIT, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CC_CLOSED_STOP, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CC_CLOSED_DTE, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CC_CLOSED_ACTION, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CC_CLOSED_WORTHLESS, Event.COMPLETE): State.WHEEL_COMPLETE,
    (State.CC_ASSIGNED, Event.COMPLETE): State.WHEEL_COMPLETE,
}


def next_state(state: State, event: Event) -> State:
    """The state after an event (rules.md, section 9).

    Raises:
        StateError: if the event is not valid in the state; with the valid events.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        valid = [name_of(e) for s, e in TRANSITIONS if s is state]
        raise StateError(
            f"event {name_of(event)!r} is not valid in state {state.name}; "
            f"valid events: {', '.join(valid) or 'none'}"
        ) from None


# Exits that buy the option back: a second order, with a price and a fee. One for a corporate
# action has no price where there was neither a bar nor a quote; that leg is unresolved.
BOUGHT_BACK = (
    ExitReason.STOP_LOSS,
    ExitReason.PROFIT_TARGET,
    ExitReason.MAX_HOLD_DTE,
    ExitReason.CORPORATE_ACTION,
)
# Exit reasons of unresolved legs.
UNRESOLVED_LEGS = (ExitReason.OPEN, ExitReason.NO_DATA, ExitReason.SUSPECTED_SPLIT)

# The event of each exit reason; those of UNRESOLVED_LEGS have none.
EVENTS: dict[ExitReason, Event] = {
    reason: Event[reason.name] for reason in ExitReason if reason.name in Event.__members__
}


def names(codes: Iterable[IntEnum]) -> dict[int, str]:
    """The names of codes in frames, by number."""
    return {int(code): name_of(code) for code in codes}


def states_after(opened: State) -> dict[int, str]:
    """The state of a leg by its exit reason; unresolved legs keep the state `opened`."""
    states = {int(reason): name_of(opened) for reason in UNRESOLVED_LEGS}
    excluded = ExitReason.CALLED_AWAY if opened is State.CSP_OPEN else ExitReason.ASSIGNED
    return states | {
        int(r): name_of(next_state(opened, e)) for r, e in EVENTS.items() if r is not excluded
    }


# The meaning of each outcome of an entry session, with the field that decides it.
OUTCOMES = {
    "no_quotes": "no quote in the minute of entry_time",
    "no_underlying_price": "no quote has a price of the underlying",
    "not_solved": "no put has an implied volatility",
    "no_candidate_in_range": "no put within put.dte_* and put.delta_*",
    "all_rejected_by_liquidity": "every put in range fails [liquidity]",
    "corporate_action": "the eve of an event that contracts do not survive",
    "not_signalled": "the signals do not include it",
    "wheel_already_open": "allow_multiple_wheels_per_symbol is false",
    "traded": "at least one wheel launched",
}
