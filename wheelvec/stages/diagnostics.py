"""Outcomes -> diagnostics: the counts of each entry session and of each search for a call."""

import numpy as np
import polars as pl

from wheelvec.model.codes import EndReason, names
from wheelvec.model.schemas import CALL_DIAGNOSTICS, DIAGNOSTICS
from wheelvec.stages.arrays import taken
from wheelvec.stages.outcomes import Recorded, Wheels, dates, named, spans, underlying_of

_OUTCOMES = (
    "traded",
    "no_quotes",
    "no_underlying_price",
    "not_solved",
    "no_candidate_in_range",
    "all_rejected_by_liquidity",
    "corporate_action",
    "not_signalled",
    "wheel_already_open",
)


def diagnostics(recorded: Recorded) -> pl.DataFrame:
    """One row per entry session and underlying: counts, and the first outcome that applies."""
    days = recorded.days[np.lexsort((recorded.days["underlying"], recorded.days["number"]))]
    limit = recorded.config.schedule.max_wheels_per_symbol_per_day
    unsolved = (days["solved"] == 0) & ((days["asked"] > 0) | (days["valid"] == 0))
    tests = [
        days["quoted"] == 0,
        ~days["priced"],
        unsolved,
        days["in_range"] == 0,
        days["liquid"] == 0,
        days["eve"],
        ~days["signalled"],
        days["launched"] == 0,
    ]
    reached = np.zeros(days.size, np.bool_)
    if limit is not None:
        reached = (days["launched"] == limit) & (days["candidates"] > limit)
    outcome = np.select(tests, list(range(1, len(_OUTCOMES))), 0)
    columns = {
        "session": dates(recorded.day[days["number"]]),
        "underlying": underlying_of(days, recorded),
        "outcome": named(outcome, dict(enumerate(_OUTCOMES))),
        "limit_reached": reached,
    }
    columns |= {
        f"n_{name}": days[field]
        for name, field in (
            ("quotes", "quoted"),
            ("valid", "valid"),
            ("solved", "solved"),
            ("in_range", "in_range"),
            ("liquid", "liquid"),
            ("launched", "launched"),
        )
    }
    return pl.DataFrame(columns).select(list(DIAGNOSTICS))


def call_diagnostics(some: Wheels, recorded: Recorded) -> pl.DataFrame:
    """One row per attempt to sell a call: counts, and `sold` or the test that left no call."""
    rows, of_row = spans(some.wheels["first_attempt"], some.wheels["attempts"])
    found = recorded.attempts[rows]
    on_session = found["number"] >= 0
    names_of = {0: "sold"} | {int(code) + 1: name for code, name in names(EndReason).items()}
    columns = {
        "wheel_id": taken(some.ids, of_row),
        "cycle": found["cycle"],
        "session": dates(recorded.day[np.where(on_session, found["number"], 0)], on_session),
        "underlying": underlying_of(some.wheels[of_row], recorded),
        "outcome": named(found["status"] + 1, names_of),
        "n_quotes": found["quoted"],
        "n_valid": found["valid"],
        "n_solved": found["solved"],
        "n_in_range": found["in_range"],
        "n_above_basis": found["above_basis"],
        "n_liquid": found["liquid"],
    }
    return pl.DataFrame(columns, schema=CALL_DIAGNOSTICS)
