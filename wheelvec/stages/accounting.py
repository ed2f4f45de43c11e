"""The history of an account, as frames: its days, its wheels, its cash and its deltas."""

from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.account import CALLS, DIVIDENDS, ENTRIES, FEES, PUTS, STOCK, Book, Kept
from wheelvec.kernels.fees import order_cost
from wheelvec.pricing.black import delta as delta_of
from wheelvec.pricing.implied import solve_chain
from wheelvec.stages.arrays import Array
from wheelvec.stages.outcomes import spans

# As kernels.account numbers the reasons; null for a wheel that is taken.
REASONS = (
    None,
    "too_small",
    "max_wheels",
    "max_wheels_per_underlying",
    "max_share_per_underlying",
    "no_cash",
)
YEAR = 365.0  # calendar days


class Rates(NamedTuple):
    """Rates by instrument and session, per year: those of the configuration of its result."""

    rate: Array
    dividend_yield: Array


def last_session(book: Book, kept: Kept, last_entry: int, last_bar: int) -> int:
    """The last session of an account's clock.

    It is the later of the last entry session and the last one on which a taken wheel is open; one
    that never ends is open through the last bar.

    Args:
        book: the wheels on offer.
        kept: the history of the account.
        last_entry: of the schedule.
        last_bar: of any underlying.
    """
    ends = book.wheels["end"][kept.taken > 0]
    never = ends >= kept.cash.size
    found = [last_entry, int(ends[~never].max(initial=0))]
    return max([*found, last_bar] if never.any() else found)


def daily(day: pl.Series, kept: Kept, start: float) -> pl.DataFrame:
    """The days of an account, but for delta_dollars (model.schemas.ACCOUNT_DAILY).

    Args:
        day: (n,) sessions.
        kept: the history of the account, on these sessions and later ones.
        start: the cash that it began with, dollars.
    """
    n = day.len()
    cash, collateral, equity = kept.cash[:n], kept.collateral[:n], kept.equity[:n]
    owed, shares = kept.owed[:, :n], kept.shares[:n]
    peak = np.maximum(np.maximum.accumulate(equity), start)
    change = np.diff(owed, axis=1, prepend=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        exposure = np.where(equity != 0.0, (collateral + shares) / equity, np.nan)
    columns = {
        "cash": cash,
        "collateral": collateral,
        "shortfall": np.maximum(collateral - cash, 0.0),
        "options": 0.0 - owed.sum(axis=0),
        "shares": shares,
        "equity": equity,
        "drawdown": equity / peak - 1.0,
        "exposure": pl.Series(exposure, nan_to_null=True),
        "open_wheels": kept.open_wheels[:n],
        "open_puts": kept.open_legs[0, :n],
        "open_calls": kept.open_legs[1, :n],
        "mark_age": kept.mark_age[:n],
        "puts": kept.flows[PUTS, :n] - change[0],
        "calls": kept.flows[CALLS, :n] - change[1],
        "stock": kept.flows[STOCK, :n] + np.diff(shares, prepend=0.0),
        "dividends": kept.flows[DIVIDENDS, :n],
        "fees": kept.flows[FEES, :n],
        "interest": kept.interest[:n],
    }
    return pl.DataFrame({"session": day, **columns})


def account_pnl(book: Book, kept: Kept) -> Array:
    """(wheels,) the cash of each wheel as often as it was taken, dollars; 0 of the others."""
    n = kept.taken.astype(np.float64)
    flows, orders, wheels = book.flows, book.orders, book.wheels
    out = np.bincount(flows["wheel"], n[flows["wheel"]] * flows["amount"], wheels.size)
    return np.asarray(out - np.bincount(orders["wheel"], order_fees(book, n), wheels.size))


def order_fees(book: Book, n: Array) -> Array:
    """(orders,) the fee of each order of wheels that are taken n times, dollars.

    Args:
        book: the wheels on offer.
        n: (wheels,) how often.
    """
    orders = book.orders
    of, times = book.wheels[orders["wheel"]], n[orders["wheel"]]
    contracts = times * orders["contracts"]
    ordered = order_cost(of.view(np.recarray), contracts)
    return np.where(times > 0, np.where(orders["contracts"] == 0, orders["fixed"], ordered), 0.0)


class CashRows(NamedTuple):
    """The cash of taken wheels: (n,) each.

    Attributes:
        wheel: of the book.
        session: on which it comes.
        entry: its place in kernels.account.ENTRIES.
        amount: dollars.
    """

    wheel: Array
    session: Array
    entry: Array
    amount: Array


def cash_rows(book: Book, kept: Kept, sessions: int) -> CashRows:
    """The cash of taken wheels, as often as they were taken.

    Args:
        book: the wheels on offer.
        kept: the history of the account.
        sessions: of its clock; what comes later is left out.
    """
    n = kept.taken.astype(np.float64)
    flows = book.flows[(kept.taken[book.flows["wheel"]] > 0) & (book.flows["session"] < sessions)]
    paid = order_fees(book, n)
    some = (paid != 0.0) & (book.orders["session"] < sessions)
    orders, paid = book.orders[some], paid[some]
    fees = np.full(orders.size, ENTRIES.index("fees"))
    return CashRows(
        np.concatenate([flows["wheel"], orders["wheel"]]),
        np.concatenate([flows["session"], orders["session"]]),
        np.concatenate([flows["entry"], fees]),
        np.concatenate([n[flows["wheel"]] * flows["amount"], -paid]),
    )


# ---- deltas


def deltas(
    book: Book, kept: Kept, last_close: Array, day: Array, rates: Rates, groups: int
) -> tuple[Array, Array]:
    """Share equivalents of shares and open legs at each close, and these times the close.

    The volatility of a leg is that of its mark, solved with the price of the underlying of the
    quote that the mark is the mid of, else with the close; where there is none, the last one known.
    A mark that no longer changes, and shares that are valued as on an eve, have no delta.

    Args:
        book: the wheels on offer.
        kept: the history of the account.
        last_close: (instruments, sessions) so far, in shares as of it, dollars.
        day: (n,) the sessions of the account, in days since 1970-01-01.
        rates: by instrument and session.
        groups: the number of underlyings by their names at the sale of the put.

    Returns:
        (groups, n) shares, and dollars.
    """
    shares = np.zeros((groups, day.size))
    dollars = np.zeros((groups, day.size))

    def add(instrument: Array, session: Array, number: Array) -> None:
        inside = session < day.size
        instrument, session, number = instrument[inside], session[inside], number[inside]
        place = group[instrument] * day.size + session
        for out, values in (
            (shares, number),
            (dollars, number * last_close[instrument, session]),
        ):
            out += np.bincount(place, values, out.size).reshape(out.shape)

    group = np.zeros(last_close.shape[0], np.int64)
    group[book.wheels["instrument"]] = book.wheels["group"]
    add(*_of_legs(book, kept, last_close, day, rates))
    add(*_of_shares(book, kept))
    return shares, dollars


def _of_shares(book: Book, kept: Kept) -> tuple[Array, Array, Array]:
    """Instrument, session and number of the shares of taken wheels on each session."""
    held = book.shares[kept.taken[book.shares["wheel"]] > 0]
    last = np.minimum(held["last"], held["frozen"])
    session, row = spans(held["bought"], np.maximum(last - held["bought"] + 1, 0))
    held = held[row]
    grown = book.grown[held["instrument"], session] / book.grown[held["instrument"], held["bought"]]
    return held["instrument"], session, kept.taken[held["wheel"]] * held["number"] * grown


def _of_legs(
    book: Book, kept: Kept, last_close: Array, day: Array, rates: Rates
) -> tuple[Array, Array, Array]:
    """Instrument, session and share equivalents of the open legs of taken wheels."""
    legs = book.legs[kept.taken[book.legs["wheel"]] > 0]
    last = np.minimum(np.minimum(legs["last"], legs["frozen"]), day.size - 1)
    count = np.maximum(last - legs["sold"] + 1, 0)
    session, row = spans(legs["sold"], count)
    legs = legs[row]
    marks = book.marks[legs["day"] + session - legs["sold"]]
    at = legs["instrument"], session
    of = Valued(
        expiration_day=legs["expiration_day"],
        day=day[session],
        is_call=legs["is_call"].copy(),
        close=last_close[at],
        rate=rates.rate[at],
        dividend_yield=rates.dividend_yield[at],
    )
    delta = mark_deltas(marks, of, legs["iv"], session == legs["sold"])
    contracts = kept.taken[legs["wheel"]] * legs["contracts"] * marks["factor"]
    sign = np.where(legs["is_call"], -100.0, 100.0)
    return legs["instrument"], session, sign * contracts * delta


class Valued(NamedTuple):
    """The inputs of the deltas of marks, beside the marks: (n,) each.

    Attributes:
        expiration_day: days since 1970-01-01.
        day: of the session, likewise.
        is_call: else a put.
        close: the underlying's last close so far, dollars per share.
        rate: per year.
        dividend_yield: per year.
    """

    expiration_day: Array
    day: Array
    is_call: Array
    close: Array
    rate: Array
    dividend_yield: Array


def mark_deltas(marks: Array, of: Valued, at_sale: Array, begins: Array) -> Array:
    """(n,) the absolute delta of each mark, of one share.

    Args:
        marks: (n,) of kernels.account.MARK, by leg and session.
        of: their options and sessions.
        at_sale: (n,) the volatility at the sale of the leg, for want of another.
        begins: (n,) whether the row is the first one of its leg.
    """
    terms = {
        "strike": marks["strike"].copy(),
        "years": np.maximum(of.expiration_day - of.day, 0) / YEAR,
        "rate": of.rate,
        "is_call": of.is_call,
        "dividend_yield": of.dividend_yield,
    }
    spot = np.where(np.isnan(marks["spot"]), of.close, marks["spot"])
    volatility, delta = np.empty(marks.size), np.empty(marks.size)
    mid = marks["price"] / marks["factor"]
    solve_chain(mid, spot, **terms, out_iv=volatility, out_delta=delta)
    unsolved = np.flatnonzero(np.isnan(volatility))
    known = _last_volatility(volatility, at_sale, begins)
    some = {name: values[unsolved] for name, values in terms.items()}
    found = delta_of(spot=spot[unsolved], volatility=known[unsolved], **some)
    delta[unsolved] = np.abs(np.nan_to_num(found))
    return delta


def _last_volatility(volatility: Array, at_sale: Array, begins: Array) -> Array:
    """(n,) the last volatility so far of each leg, that of its sale on the first row at the latest.

    Args:
        volatility: (n,) by leg and session; NaN: none.
        at_sale: (n,) of the leg.
        begins: (n,) whether the row is the first one of its leg.
    """
    first = np.where(begins & np.isnan(volatility), at_sale, volatility)
    known = np.where(np.isnan(first) & ~begins, 0, np.arange(first.size))
    return np.asarray(first[np.maximum.accumulate(known)]) if first.size else first
