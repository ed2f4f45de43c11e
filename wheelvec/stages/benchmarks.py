"""The equity that other uses of an account's cash would have had (portfolio.md).

They are stock bought and held, cash, the stock that an account held in delta, and series of the
user.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.model.errors import InputError, cut, listed
from wheelvec.stages.arrays import Array, column

BUY_AND_HOLD, CASH, DELTA_MATCHED = "buy_and_hold", "cash", "delta_matched"
OWN = (BUY_AND_HOLD, CASH, DELTA_MATCHED)
SUSPECTED = "suspected"


class Money(NamedTuple):
    """The cash of an account, and what cash earns.

    Attributes:
        start: the cash that it began with, dollars; of several accounts (accounts, 1).
        riskless: (sessions,) what a dollar of cash earned since the session before; 0 on the first.
    """

    start: Any
    riskless: Array


class Lots(NamedTuple):
    """One share of each underlying as of the first session, kept through splits and renames.

    Attributes:
        names: of the underlyings, sorted.
        shares: (sessions, underlyings) what the share has become.
        worth: (sessions, underlyings) of these at the last close, dollars; NaN before the first.
        paid: (sessions, underlyings) the dividends on these, dollars.
    """

    names: list[str]
    shares: Array
    worth: Array
    paid: Array


def lots(closes: pl.DataFrame, events: pl.DataFrame, sessions: pl.Series) -> Lots:
    """The value and the dividends of a share of each underlying, kept over some sessions.

    A split or a spin-off, carried through or not, multiplies the shares by its ratio. Nobody knows
    that of a suspected split: the shares become as many as are worth at the next close what they
    were worth at the last one, so that it is neither a gain nor a loss. Without a close, an
    underlying is worth what it was. Dividends are on shares held overnight into the session, in
    shares as of it.

    Args:
        closes: underlying, session, close (dollars per share), as `Result.underlying`.
        events: underlying, session, kind, ratio (new shares for one; null of dividends and
            suspected splits) and amount (dollars per share; null of all but dividends).
        sessions: n of them, ascending.

    Example:
        >>> import datetime as dt
        >>> import polars as pl
        >>> days = pl.Series([dt.date(2024, 1, day) for day in (2, 3, 4)])
        >>> closes = pl.DataFrame({"underlying": "ALFA", "session": days, "close": [100, 51, 52]})
        >>> split = {"underlying": ["ALFA"], "session": [days[1]], "kind": ["carried"]}
        >>> split |= {"ratio": [2.0], "amount": [None]}
        >>> lots(closes, pl.DataFrame(split), days).worth.ravel().tolist()
        [100.0, 102.0, 104.0]
    """
    names = sorted(closes["underlying"].unique())
    shape = len(sessions), len(names)
    close, ratio, paid = np.full(shape, np.nan), np.ones(shape), np.zeros(shape)
    for rows, name, into, combine in (
        (closes, "close", close, np.fmax),
        (events, "ratio", ratio, np.multiply),
        (events, "amount", paid, np.add),
    ):
        kept, at = _cells(rows.drop_nulls(name), names, sessions)
        combine.at(into, at, column(kept, name, float))
    ratio[:1], paid[:1] = 1.0, 0.0  # nothing was held overnight into the first session
    _, (when, which) = _cells(events.filter(pl.col("kind") == SUSPECTED), names, sessions)
    for number, underlying in sorted(zip(when.tolist(), which.tolist(), strict=True)):
        _explain(number, close[:, underlying], ratio[:, underlying])
    shares = np.cumprod(ratio, axis=0)
    return Lots(names, shares, _carried_on(shares * close), shares * paid)


def _cells(
    rows: pl.DataFrame, names: list[str], sessions: pl.Series
) -> tuple[pl.DataFrame, tuple[Array, Array]]:
    """The rows of the underlyings on the sessions, and the indices of their session and name."""
    at = pl.DataFrame({"session": sessions}).with_row_index("at")
    which = pl.DataFrame({"underlying": names}, schema={"underlying": pl.String})
    kept = rows.join(at, on="session", maintain_order="left").join(
        which.with_row_index("which"), on="underlying", maintain_order="left"
    )
    return kept, (column(kept, "at", np.int64), column(kept, "which", np.int64))


def _explain(number: int, close: Array, ratio: Array) -> None:
    """Write the ratio of a suspected split: what makes the next close worth the last one.

    Args:
        number: its session.
        close: (sessions,) dollars per share; NaN where there is none.
        ratio: (sessions,) new shares for one old one.
    """
    known = np.flatnonzero(~np.isnan(close))
    after = int(np.searchsorted(known, number))
    if not 0 < after < known.size:
        return
    last, following = known[after - 1], known[after]
    others = np.prod(ratio[last + 1 : following + 1])
    ratio[number] *= close[last] / close[following] / others


def _carried_on(values: Array) -> Array:
    """(n, ...) values with the last known one where one is NaN; NaN before the first."""
    number = np.arange(values.shape[0])[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, number), axis=0)
    return np.take_along_axis(values, last, axis=0)


def grown(money: Money, flows: Array) -> Array:
    """(..., n) cash with interest: the start, and what comes or goes on sessions after interest.

    Args:
        money: the account's, or of each of several, (..., 1) dollars.
        flows: (..., n) dollars.

    Example:
        >>> import numpy as np
        >>> grown(Money(100.0, np.array([0.0, 0.01])), np.array([0.0, 5.0])).tolist()
        [100.0, 106.0]
    """
    growth = np.cumprod(1.0 + money.riskless)
    return np.asarray(growth * (money.start + np.cumsum(flows / growth, axis=-1)))


def cash(money: Money) -> Array:
    """(sessions,) the equity of the cash alone, dollars.

    Example:
        >>> import numpy as np
        >>> cash(Money(100.0, np.array([0.0, 0.01, 0.02]))).round(4).tolist()
        [100.0, 101.0, 103.02]
    """
    return grown(money, np.zeros(money.riskless.size))


def buy_and_hold(held: Lots, money: Money) -> Array:
    """(sessions,) the equity of the cash in equal parts in each underlying, dollars.

    Each part is cash until the first close of its underlying, and buys at it what it then is with
    interest, fractions of a share included. Nothing is sold; dividends stay cash; there are no
    fees. A part whose underlying never has a close stays cash.

    Args:
        held: the underlyings, with closes over the span alone.
        money: the account's.

    Example:
        >>> import numpy as np
        >>> worth = np.array([[50.0], [55.0], [54.0]])
        >>> dividend = np.array([[0.0], [0.0], [1.0]])
        >>> held = Lots(["ALFA"], np.ones((3, 1)), worth, dividend)
        >>> buy_and_hold(held, Money(100.0, np.zeros(3))).tolist()
        [100.0, 110.0, 110.0]
    """
    growth = np.cumprod(1.0 + money.riskless)
    known = ~np.isnan(held.worth)
    bought = known & (np.cumsum(known, axis=0) == 1)
    spent = np.where(bought, money.start / max(len(held.names), 1) * growth[:, None], 0.0)
    with np.errstate(invalid="ignore"):
        units = np.nansum(spent / held.worth, axis=0)
    since = known & ~bought
    received = np.where(since, held.paid, 0.0) @ units
    worth = np.where(known, held.worth, 0.0) @ units
    return np.asarray(grown(money, received - spent.sum(axis=1)) + worth)


def delta_matched(held: Lots, deltas: pl.DataFrame, sessions: pl.Series, money: Money) -> Array:
    """(sessions,) the equity of the stock that an account held in delta, dollars.

    Over each session it holds the share equivalents that the account had after the close of the
    session before, at that close, dividends included; the rest is cash, which earns interest (or
    pays it, where more stock is held than there is cash):

        E_t = E_(t-1) + gains of the shares + dividends + riskless_t*(E_(t-1) - value of the shares)

    It is what the stock part of the wheels alone would have earned: what the account has beyond it
    is what the options added by their time value, their curvature and the days on which delta
    changed between closes. It pays no costs of trading.

    Args:
        held: the underlyings.
        deltas: session, underlying and shares (equivalents, of the account); the share equivalents
            are 0 where there is no row.
        sessions: n of them, those of `held`.
        money: the account's.

    Example:
        >>> import datetime as dt
        >>> import numpy as np
        >>> import polars as pl
        >>> days = pl.Series([dt.date(2024, 1, day) for day in (2, 3, 4)])
        >>> one, worth = np.ones((3, 1)), np.array([[50.0], [55.0], [54.0]])
        >>> held = Lots(["ALFA"], one, worth, 0.0 * one)
        >>> deltas = pl.DataFrame({"session": days, "underlying": "ALFA", "shares": [20.0, 30, 0]})
        >>> delta_matched(held, deltas, days, Money(1000.0, np.zeros(3))).tolist()
        [1000.0, 1100.0, 1070.0]
    """
    equivalents = np.zeros(held.worth.shape)
    kept, at = _cells(deltas.drop_nulls("shares"), held.names, sessions)
    np.add.at(equivalents, at, column(kept, "shares", float))
    gain, value = moves(held)
    flows = np.zeros(len(sessions))
    flows[1:] = (equivalents[:-1] * (gain - value * money.riskless[:, None])[1:]).sum(axis=1)
    return grown(money, flows)


def moves(held: Lots) -> tuple[Array, Array]:
    """The gain of a share equivalent since the session before, and its value then.

    Args:
        held: the underlyings.

    Returns:
        (sessions, underlyings) dollars each, of a share as of the session before; 0 before the
        first close, and on the first session.

    Example:
        >>> import numpy as np
        >>> one, worth = np.ones((2, 1)), np.array([[50.0], [55.0]])
        >>> gain, value = moves(Lots(["ALFA"], one, worth, 0.0 * one))
        >>> gain.ravel().tolist(), value.ravel().tolist()
        ([0.0, 5.0], [0.0, 50.0])
    """
    gain, value = np.zeros(held.worth.shape), np.zeros(held.worth.shape)
    before, after = held.worth[:-1], held.worth[1:]
    known = ~np.isnan(before)
    gain[1:] = np.where(known, after - before + held.paid[1:], 0.0) / held.shares[:-1]
    value[1:] = np.where(known, before, 0.0) / held.shares[:-1]
    return gain, value


def scaled(name: str, series: Any, sessions: pl.Series, start: float) -> Array:
    """(sessions,) a series of the user with the cash of an account on its first session, dollars.

    Args:
        name: of the benchmark, for messages.
        series: session and value, above 0; it may have other sessions too, in any order.
        sessions: n of them, ascending.
        start: the cash of the account, dollars.

    Raises:
        InputError: naming the benchmark, and what is missing or wrong in it: for days that it does
            not cover, from when to when it has values, and from when to when they are needed.

    Example:
        >>> import datetime as dt
        >>> import polars as pl
        >>> days = pl.Series("session", [dt.date(2024, 1, 2), dt.date(2024, 1, 3)])
        >>> scaled("PUT", pl.DataFrame({"session": days, "value": [50, 51]}), days, 1000.0).tolist()
        [1000.0, 1020.0]
    """
    rows = _checked(name, series)
    wanted = pl.DataFrame({"session": sessions})
    value = wanted.join(rows, on="session", how="left", maintain_order="left")["value"]
    if value.null_count():
        lacking, known = sessions.filter(value.is_null()), rows["session"].sort()
        raise InputError(
            f"benchmark {cut(name)} has no value on {lacking.len():,} of {len(sessions):,} "
            f"sessions, {lacking[0]} to {lacking[-1]}: it has values from "
            f"{known[0]} to {known[-1]}, expected one on each session "
            f"from {sessions[0]} to {sessions[-1]}"
        )
    return np.asarray(start * value.to_numpy() / value[0])


def _checked(name: str, series: Any) -> pl.DataFrame:
    """The session and value (above 0) of a series of the user, one row a session."""
    where = f"benchmark {cut(name)}"
    if not isinstance(series, pl.DataFrame):
        raise InputError(f"{where} is {cut(series)}: expected a frame with session and value")
    missing = [wanted for wanted in ("session", "value") if wanted not in series.columns]
    if missing:
        raise InputError(
            f"{where} has no column {listed(missing)}: expected session and value, found "
            f"{listed(series.columns) or 'none'}"
        )
    dtypes = series.schema["session"], series.schema["value"]
    if dtypes[0] != pl.Date() or not dtypes[1].is_numeric():
        raise InputError(
            f"{where} has session {dtypes[0]} and value {dtypes[1]}: expected Date and a number"
        )
    rows = series.select("session", pl.col("value").cast(pl.Float64)).drop_nulls()
    wrong = rows.filter(~(pl.col("value").is_finite() & (pl.col("value") > 0.0)))
    if wrong.height:
        found, day = wrong["value"][0], wrong["session"][0]
        raise InputError(f"{where} has {found} on {day}: expected a number above 0")
    twice = rows.filter(pl.col("session").is_duplicated())["session"].sort()
    if twice.len():
        raise InputError(f"{where} has two values on {twice[0]}: expected one a session")
    if not rows.height:
        raise InputError(f"{where} has no value: expected one on each session")
    return rows


def benchmarks(
    held: Lots,
    deltas: pl.DataFrame,
    sessions: pl.Series,
    money: Money,
    given: Mapping[Any, Any] | None = None,
) -> pl.DataFrame:
    """The equity of each benchmark on each session.

    Args:
        held: the underlyings of the result over the sessions.
        deltas: session, underlying and shares (equivalents, of the account).
        sessions: n of them, ascending.
        money: the account's.
        given: the user's series, session and value, by name; each is scaled to the cash.

    Returns:
        session, buy_and_hold, cash, delta_matched, and a column for each series of the user;
        dollars.

    Raises:
        InputError: naming a series of the user, and what is missing or wrong in it.
    """
    names = given or {}
    for name in names:
        if not isinstance(name, str) or not name or name in ("session", *OWN):
            raise InputError(
                f"benchmark {cut(name)}: expected a name that is none of session, {listed(OWN)}"
            )
    found = {
        BUY_AND_HOLD: buy_and_hold(held, money),
        CASH: cash(money),
        DELTA_MATCHED: delta_matched(held, deltas, sessions, money),
    } | {name: scaled(name, series, sessions, money.start) for name, series in names.items()}
    return pl.DataFrame({"session": sessions, **found})
