"""The searches for the calls of one wheel: what each found, and the basis that it was to beat."""

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.calls import basis_of
from wheelvec.kernels.events import shares_between
from wheelvec.kernels.wheel import AssignedPut
from wheelvec.model import osi
from wheelvec.run.explaining.candidates import Offers
from wheelvec.run.results.result import Result
from wheelvec.stages.arrays import days
from wheelvec.stages.events import History
from wheelvec.stages.happened import corporate_events
from wheelvec.tables.sessions import Sessions


class Search(NamedTuple):
    """A search for a call.

    Attributes:
        record: its row of the result's call_diagnostics.
        basis: cost of a share on that session, dollars; None on a day that is no session.
        candidates: the calls of the session, `candidates.CANDIDATES`; None without a market.
    """

    record: dict[str, Any]
    basis: float | None
    candidates: pl.DataFrame | None


def searches_of(result: Result, put: dict[str, Any], offers: Offers | None) -> list[Search]:
    """The searches for the calls of a wheel, in order.

    Args:
        result: of the wheel.
        put: the record of its put.
        offers: of the market that the result was run on, for the calls of each session.
    """
    rows = result.call_diagnostics.filter(pl.col("wheel_id") == put["wheel_id"])
    return [_search(result, put, record, offers) for record in rows.iter_rows(named=True)]


def _search(
    result: Result, put: dict[str, Any], record: dict[str, Any], offers: Offers | None
) -> Search:
    session = record["session"]
    if session is None:
        return Search(record, None, None)
    basis = basis_on(result, put, session)
    if offers is None or not record["n_valid"]:
        return Search(record, basis, None)
    return Search(record, basis, offers.calls(put["underlying"], session, basis))


def basis_on(result: Result, put: dict[str, Any], session: dt.date) -> float:
    """The cost of a share of an assigned put on a later session, dollars.

    Args:
        result: of the wheel.
        put: the record of the put that was assigned.
        session: on which a call is sought.
    """
    calendar, assigned = result.config.schedule.trading_calendar, put["exit_date"]
    day = days(Sessions.known(calendar, assigned, session).frame, "session")
    after = pl.col("session").is_between(assigned, session, closed="right")
    rows = result.events.filter(pl.col("underlying") == put["underlying"], after)
    events = History(corporate_events(rows, day), ()).table(day)
    strike = osi.parse(put["exit_symbol"]).strike_milli / 1000.0
    lots = put["factor"] * int(shares_between(events, 0, day.size - 1))
    premium, none = put["premium"], np.uint64(0)
    held = AssignedPut(-1, strike, premium / 100.0, premium, 0, none, put["factor"])
    return float(basis_of(held, lots))
