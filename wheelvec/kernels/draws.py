"""The counter-based fill draws (rules.md, section 5), by Philox4x32-10.

The generator is that of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC'11.

A draw is a pure function of what it stands for, so it is the same in any order, configuration,
thread and process, and two configurations of a sweep that touch the same target share it (common
random numbers).
"""

import datetime as dt
import hashlib
from typing import NamedTuple

import numpy as np

from wheelvec.jit.arrays import Integers, Reals, Records, Words
from wheelvec.jit.compiled import njit_inlined, njit_lean
from wheelvec.model import osi
from wheelvec.model.errors import InputError

_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_ROUNDS = 10

EPOCH = dt.date(1970, 1, 1)


@njit_lean
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Four words of 32 bits from a counter of four and a key of two, all carried in uint64."""
    for _ in range(_ROUNDS):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0 = (product_1 >> _SHIFT) ^ c1 ^ k0
        c2 = (product_0 >> _SHIFT) ^ c3 ^ k1
        c1 = product_1 & _LOW
        c3 = product_0 & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@njit_lean
def wheel_word(
    expiration_day: int, strike_milli: int, is_call: int, entry_day: int, root_hash: np.uint64
) -> np.uint64:
    """The 64 bits that name a wheel: its put contract and entry session.

    Args:
        expiration_day: days since 1970-01-01.
        strike_milli: strike, thousandths of a dollar.
        is_call: 0 or 1.
        entry_day: days since 1970-01-01.
        root_hash: of the option's root.
    """
    w0, w1, _, _ = philox(
        np.uint64(expiration_day) & _LOW,
        np.uint64(strike_milli) & _LOW,
        np.uint64(is_call),
        np.uint64(entry_day) & _LOW,
        root_hash & _LOW,
        root_hash >> _SHIFT,
    )
    return w0 | (w1 << _SHIFT)


@njit_lean
def draw(seed: np.uint64, word: np.uint64, phase: int, touch: int) -> float:
    """A number u in [0, 1) with 53 random bits for one touch of the target.

    Args:
        seed: the execution seed.
        word: names the wheel.
        phase: 0 the put, n the n-th call.
        touch: counted from 0 in its phase.
    """
    x0, x1, _, _ = philox(
        np.uint64(touch), np.uint64(phase), word & _LOW, word >> _SHIFT, seed & _LOW, seed >> _SHIFT
    )
    high = np.float64(x0 >> np.uint64(5))
    low = np.float64(x1 >> np.uint64(6))
    return (high * 67108864.0 + low) / 9007199254740992.0


# Whose draws stand in a place, and how many of them.
DRAWN = np.dtype(
    [("word", np.uint64), ("phase", np.int64), ("seed", np.uint64), ("known", np.int64)]
)


class Drawn(NamedTuple):
    """The first draws of some options, each under the seed that it was last asked for."""

    of: Records  # (options,) of DRAWN
    u: Reals  # (options, touches)


def new_drawn(options: int, touches: int) -> Drawn:
    """Buffers for the draws of so many touches of so many options."""
    return Drawn(np.zeros(options, DRAWN), np.empty((options, touches)))


@njit_inlined
def drawn(kept: Drawn, i: int, seed: np.uint64, word: np.uint64, phase: int, touch: int) -> float:
    """`draw`, made once while place i is asked for one option and seed, touches in order.

    Args:
        kept: the draws so far, updated.
        i: place in `kept`.
        seed: of the configuration.
        word: names the wheel.
        phase: 0 of the put, or the number of the call.
        touch: from 0.
    """
    of = kept.of[i]
    if of.word != word or of.seed != seed or of.phase != phase:
        of.word, of.seed = word, seed
        of.phase, of.known = phase, 0
    if touch == of.known:
        kept.u[i, touch] = draw(seed, word, phase, touch)
        of.known += 1
    return kept.u[i, touch]


@njit_lean
def wheel_words(
    expiration_day: Integers,
    strike_milli: Integers,
    entry_day: Integers,
    root_hash: Words,
    out: Words,
) -> None:
    """Write `wheel_word` of many puts: (n,) each.

    Args:
        expiration_day: (n,) days since 1970-01-01.
        strike_milli: (n,) thousandths of a dollar.
        entry_day: (n,) days since 1970-01-01.
        root_hash: (n,) of `root_hash`.
        out: (n,) written.
    """
    for i in range(out.size):
        out[i] = wheel_word(expiration_day[i], strike_milli[i], 0, entry_day[i], root_hash[i])


def root_hash(root: str) -> int:
    """The key under which a root's contracts are drawn: BLAKE2b of 8 bytes, little-endian."""
    return int.from_bytes(hashlib.blake2b(root.encode("ascii"), digest_size=8).digest(), "little")


def fill_draw(seed: int, symbol: str, entry_date: dt.date | str, phase: int, touch: int) -> float:
    """The draw u in [0, 1) that decides whether one touch of a profit target fills.

    It fills if u <= p_fill. The same arguments give the same u in every run, configuration and
    process (Philox4x32-10: Salmon et al., SC'11).

    Args:
        seed: the execution seed, 0 <= seed < 2**64.
        symbol: OSI symbol of the wheel's put, also for its covered calls.
        entry_date: session on which the put was sold.
        phase: 0 for the put, n for the n-th covered call.
        touch: the wheel's target touches in that phase, counted from 0.

    Raises:
        InputError: naming the argument, its value and what is expected.

    Example:
        >>> from wheelvec import fill_draw
        >>> put = "TSLA  230721P00250000"
        >>> [round(fill_draw(42, put, "2023-06-06", phase=0, touch=i), 3) for i in range(2)]
        [0.273, 0.187]
    """
    for name, value, limit in (
        ("seed", seed, 2**64),
        ("phase", phase, 2**32),
        ("touch", touch, 2**32),
    ):
        if (
            not isinstance(value, (int, np.integer))
            or isinstance(value, bool)
            or not 0 <= value < limit
        ):
            raise InputError(f"{name} = {value!r}: expected a whole number from 0 to {limit - 1}")
    try:
        common = dt.date.fromisoformat(entry_date) if isinstance(entry_date, str) else entry_date
        entry_day = (common - EPOCH).days
    except (TypeError, ValueError):
        raise InputError(
            f"entry_date = {entry_date!r}: expected a date such as 2023-06-06"
        ) from None
    terms = osi.parse(symbol)
    word = wheel_word(
        (terms.expiration - EPOCH).days,
        terms.strike_milli,
        int(terms.option_type == "C"),
        entry_day,
        np.uint64(root_hash(terms.root)),
    )
    return float(draw(np.uint64(seed), np.uint64(word), phase, touch))
