"""The last valid quote of each contract in the entry minute of each session (rules.md, 2)."""

from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Flags, Integers, Reals, ShortIntegers
from wheelvec.jit.compiled import njit_lean
from wheelvec.model.codes import LARGEST_PRICE

MINUTE = 60 * 10**9  # nanoseconds, as all times here
NEVER = np.iinfo(np.int64).max - MINUTE
SNAPSHOT = np.iinfo(np.int64).min  # the time of a quote that has none

# A contract as one number that sorts as its symbol does: the index of its root among the roots,
# the day of its expiration (since 1970-01-01), put after call, thousandths of a dollar.
STRIKE_BITS = 27
PUT_BIT, DAY_SHIFT, ROOT_SHIFT = 1 << STRIKE_BITS, STRIKE_BITS + 1, STRIKE_BITS + 1 + 17
STRIKE_MASK, DAY_MASK = PUT_BIT - 1, (1 << 17) - 1


class Quoted(NamedTuple):
    """The columns of quotes of one underlying, by session, symbol and time: (n,) each."""

    day: ShortIntegers  # int32, since 1970-01-01
    ts: Integers  # int64, nanoseconds since 1970-01-01; SNAPSHOT: none
    root: Integers  # int64, its index among the roots; (0,) if there is only one
    expiration: ShortIntegers  # int32, as day
    is_put: Flags
    strike: Reals  # dollars per share, as the next three; NaN: missing
    bid: Reals
    ask: Reals
    spot: Reals  # the underlying's price


class EntryClock(NamedTuple):
    """The entry minute of each session."""

    first_day: int  # since 1970-01-01
    number: Integers  # (days,) int64, of the session of each day from `first_day` on; -1: none
    minute: Integers  # (sessions,) int64, start of its entry minute; NEVER: none


class Standing(NamedTuple):
    """The quotes of a chain, by session and symbol: (n,) each, written from the front."""

    number: ShortIntegers  # int32, of the session
    key: Integers  # int64, the contract as `contract_key` numbers it
    bid: Reals
    ask: Reals
    spot: Reals


class Counts(NamedTuple):
    """Counts by session number: (sessions,) each."""

    quoted: Integers  # contracts with a quote
    valid: Integers  # contracts with a valid quote
    priced: Integers  # quotes with a price of the underlying


@njit_lean
def contract_key(quoted: Quoted, i: int) -> np.int64:
    """The contract of row i as a number that sorts as its symbol does."""
    milli = np.int64(np.rint(quoted.strike[i] * 1000.0))
    key = np.int64(quoted.expiration[i]) << DAY_SHIFT | milli
    if quoted.is_put[i]:
        key |= PUT_BIT
    return key | quoted.root[i] << ROOT_SHIFT if quoted.root.size else key


@njit_lean
def is_valid(quoted: Quoted, i: int) -> bool:
    """Whether row i has none of the flaws of `model.schemas.quote_flaws`, which says why."""
    bid, ask, spot = quoted.bid[i], quoted.ask[i], quoted.spot[i]
    worth = quoted.strike[i] if quoted.is_put[i] else spot
    priced = spot > 0.0 and spot <= LARGEST_PRICE
    sided = bid >= 0.0 and bid <= ask and ask <= LARGEST_PRICE and bid + ask != 0.0
    return priced and sided and ask <= worth and quoted.day[i] <= quoted.expiration[i]


@njit_lean
def session_of(clock: EntryClock, day: int) -> np.int64:
    """The session number of a day, -1 where it is not a session."""
    place = day - clock.first_day
    return clock.number[place] if 0 <= place < clock.number.size else np.int64(-1)


@njit_lean
def in_entry_minute(clock: EntryClock, number: np.int64, at: int) -> bool:
    """Whether a quote of this session and time is in the entry minute; a snapshot always is."""
    start = clock.minute[number]
    return at == SNAPSHOT or (at >= start and at < start + MINUTE)


@njit_lean
def collapse_quotes(
    quoted: Quoted, clock: EntryClock, dte_max: int, out: Standing, counts: Counts
) -> int:
    """Write the last valid quote of each contract and session; the number written.

    Of equal times the later row is the last. One pass over the columns: flags for each row in
    expressions over the frame took four times as long.

    Args:
        quoted: quotes of one underlying.
        clock: sessions and their entry minutes.
        dte_max: days to the expiration; quotes of later expirations are only counted.
        out: written.
        counts: added to.
    """
    kept, last, seen, n = 0, -1, False, quoted.day.size
    key = contract_key(quoted, 0) if n else 0
    for i in range(n):
        day = quoted.day[i]
        number = session_of(clock, day)
        if number >= 0 and in_entry_minute(clock, number, quoted.ts[i]):
            seen = True
            counts.priced[number] += quoted.spot[i] > 0.0
            if is_valid(quoted, i):
                last = i
        following = contract_key(quoted, i + 1) if i + 1 < n else 0
        if i + 1 < n and following == key and quoted.day[i + 1] == day:
            continue
        if seen:
            counts.quoted[number] += 1
        if last >= 0:
            counts.valid[number] += 1
            if quoted.expiration[i] - day <= dte_max:
                out.number[kept], out.key[kept] = number, key
                out.bid[kept], out.ask[kept] = quoted.bid[last], quoted.ask[last]
                out.spot[kept] = quoted.spot[last]
                kept += 1
        key, last, seen = following, -1, False
    return kept
