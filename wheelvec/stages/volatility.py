"""Chain -> volatility index: the at-the-money volatility of a fixed number of days, by session."""

from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.collapse import Standing
from wheelvec.pricing.implied import solve_chain
from wheelvec.stages.arrays import Array, days
from wheelvec.stages.contracts import expiration_days, is_put, strikes

# the distance of a strike to the forward, as a fraction of it, beyond which it is not at the money
FURTHEST = 0.10


class Horizon(NamedTuple):
    """The maturity of an index.

    Attributes:
        days: calendar days.
        most: days to the latest expiration that is used: an expiration on each side of `days` is
            never further away than this where there is one a month.
    """

    days: int
    most: int

    @classmethod
    def of(cls, days: int) -> "Horizon":
        """The horizon of an index of so many days."""
        return cls(days, 2 * days + 5)


class _AtTheMoney(NamedTuple):
    """Expirations by session, ascending, each with its volatility at the money: (n,) each."""

    number: Array  # of the session
    dte: Array  # calendar days
    iv: Array  # per year, the mean of a put's and a call's


def index(
    standing: Standing,
    sessions: pl.DataFrame,
    rate: Array,
    dividend_yield: Array,
    horizon: Horizon,
) -> Array:
    """The volatility index of each session, (sessions,) per year; NaN where there is none.

    Args:
        standing: valid quotes of one underlying, as `stages.chain.collapse` returns them.
        sessions: session and number.
        rate: (sessions,) per year.
        dividend_yield: (sessions,) per year.
        horizon: the maturity of the index.
    """
    found = _at_the_money(standing, sessions, rate, dividend_yield, horizon)
    wanted, every = horizon.days, np.arange(sessions.height)
    # rows ascend by session and expiration, and so do these numbers
    code, sought = (
        found.number * (horizon.most + 1) + found.dte,
        every * (horizon.most + 1) + wanted,
    )
    before = np.searchsorted(code, sought, "right") - 1
    after = np.searchsorted(code, sought, "left")
    inside = (before >= 0) & (after < code.size)
    at = np.flatnonzero(inside)
    at = at[(found.number[before[at]] == at) & (found.number[after[at]] == at)]
    result = np.full(every.size, np.nan)
    result[at] = _interpolated(found, before[at], after[at], wanted)
    return result


def _interpolated(found: _AtTheMoney, before: Array, after: Array, wanted: int) -> Array:
    """(n,) volatility at `wanted` days, linear in total variance between two expirations."""
    first, last = found.dte[before], found.dte[after]
    variance, later = found.iv[before] ** 2 * first, found.iv[after] ** 2 * last  # times 365
    share = (wanted - first) / np.maximum(last - first, 1)
    return np.asarray(np.sqrt((variance + share * (later - variance)) / wanted))


def _at_the_money(
    standing: Standing, sessions: pl.DataFrame, rate: Array, dividend_yield: Array, horizon: Horizon
) -> _AtTheMoney:
    """The expirations with a volatility of both the put and the call nearest the forward."""
    number, key = standing.number, standing.key
    dte = expiration_days(key) - days(sessions, "session")[number]
    carry = (rate - dividend_yield)[number] * (dte / 365.0)
    forward, strike = standing.spot * np.exp(carry), strikes(key)
    distance = np.abs(strike - forward)
    used = np.flatnonzero((dte > 0) & (dte <= horizon.most) & (distance <= FURTHEST * forward))
    put = is_put(key[used])
    # of each session, expiration and type the nearest strike, of two the lower
    expiration = number[used].astype(np.int64) * (horizon.most + 1) + dte[used]
    kind = 2 * expiration + put
    order = np.lexsort((strike[used], distance[used], kind))
    chosen = order[np.flatnonzero(np.diff(kind[order], prepend=-1))]
    puts, calls = chosen[put[chosen]], chosen[~put[chosen]]
    _, one, other = np.intersect1d(expiration[puts], expiration[calls], return_indices=True)
    rows = np.concatenate([used[puts[one]], used[calls[other]]])
    iv = _solved(standing, rows, dte[rows], rate, dividend_yield).reshape(2, -1).mean(axis=0)
    known = ~np.isnan(iv)
    pairs = rows[: iv.size][known]
    return _AtTheMoney(number[pairs].astype(np.int64), dte[pairs], iv[known])


def _solved(standing: Standing, rows: Array, dte: Array, rate: Array, paid: Array) -> Array:
    """(n,) the implied volatility of some rows, NaN where none exists."""
    number, key = standing.number[rows], standing.key[rows]
    iv, delta = np.empty(rows.size), np.empty(rows.size)
    mid, spot = (standing.bid[rows] + standing.ask[rows]) / 2, standing.spot[rows]
    solve_chain(
        mid, spot, strikes(key), dte / 365.0, rate[number], ~is_put(key), paid[number], iv, delta
    )
    return iv
