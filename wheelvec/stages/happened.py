"""The corporate events and dividends of an underlying as rows of a result, and back."""

import datetime as dt
import math

import numpy as np
import polars as pl

from wheelvec.model.codes import EventKind, name_of
from wheelvec.model.schemas import EVENTS
from wheelvec.stages.arrays import Array, days
from wheelvec.stages.events import CorporateEvent, History, paid_under

DIVIDEND = "dividend"
_KINDS = {name_of(kind): kind for kind in EventKind}


def event_rows(
    symbol: str,
    past: History,
    splits: pl.DataFrame | None,
    dividends: pl.DataFrame | None,
    sessions: pl.DataFrame,
) -> pl.DataFrame:
    """The rows of one underlying, by session; of one session the corporate event comes first.

    Args:
        symbol: its name at first.
        past: its history.
        splits: `schemas.SPLITS`; None without any.
        dividends: `schemas.DIVIDENDS`; None without any.
        sessions: session and number.

    Returns:
        model.schemas.EVENTS.
    """
    session = sessions["session"]
    rows = [_row(symbol, event, past, splits, session) for event in past.events]
    found = [pl.DataFrame(rows, schema=EVENTS, orient="row")]
    if dividends is None and not rows:
        return found[0]
    if dividends is not None:
        found.append(_dividends(symbol, paid_under(dividends, past.names, session), sessions))
    return pl.concat(found).sort("session", maintain_order=True)


def _row(
    symbol: str,
    event: CorporateEvent,
    past: History,
    splits: pl.DataFrame | None,
    session: pl.Series,
) -> tuple[object, ...]:
    day = session[event.number]
    ratio: float | None = float(event.shares)
    if event.kind is EventKind.SUSPECTED:
        ratio = None
    elif event.kind is EventKind.NOT_CARRIED:
        ratio = _stated_ratio(event.number, past, splits, session)
    return symbol, day, day, name_of(event.kind), ratio, event.root, None, None


def _stated_ratio(
    number: int, past: History, splits: pl.DataFrame | None, session: pl.Series
) -> float:
    """New shares for one old one by the rows of `splits` that a session's event is made of."""
    assert splits is not None  # nothing else is stated and not carried
    name = next(named.name for named in past.names if number - 1 < named.end)
    eve, day = session[number - 1], session[number]
    rows = splits.filter(
        pl.col("underlying") == name, pl.col("ex_date") > eve, pl.col("ex_date") <= day
    )
    return float(math.prod((rows["numerator"] / rows["denominator"]).to_list()))


def _dividends(symbol: str, paid: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    known = days(sessions, "session")
    at = np.searchsorted(known, days(paid, "ex_date"))
    inside = at < known.size
    rows = paid.filter(pl.Series(inside, dtype=pl.Boolean)).with_columns(
        session=sessions["session"].gather(pl.Series(at[inside])),
        underlying=pl.lit(symbol),
        kind=pl.lit(DIVIDEND),
    )
    missing = [
        pl.lit(None, EVENTS[name]).alias(name) for name in EVENTS if name not in rows.columns
    ]
    return rows.with_columns(missing).select(EVENTS.keys())


def corporate_events(rows: pl.DataFrame, sessions: Array) -> tuple[CorporateEvent, ...]:
    """The corporate events of one underlying, by session.

    Args:
        rows: `schemas.EVENTS` of one underlying.
        sessions: (sessions,) days since 1970-01-01.
    """
    special: dict[dt.date, tuple[float, ...]] = {}
    for day, amount in rows.filter("special").select("session", "amount").rows():
        special[day] = (*special.get(day, ()), amount)
    found = []
    for day, kind, ratio, root in (
        rows.filter(pl.col("kind") != DIVIDEND).select("session", "kind", "ratio", "root").rows()
    ):
        number = int(np.searchsorted(sessions, np.datetime64(day, "D").astype(np.int64)))
        carried = _KINDS[kind] is EventKind.CARRIED
        shares, amounts = (int(ratio), special.get(day, ())) if carried else (1, ())
        found.append(CorporateEvent(number, _KINDS[kind], shares, amounts, root))
    return tuple(found)
