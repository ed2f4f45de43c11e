"""The quick question whether contracts were replaced on any night, against the whole listing."""

import datetime as dt

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import LISTING, Listing
from wheelvec.tables.suspected import NIGHTS, any_night, replaced

FIRST = dt.date(2023, 6, 1)  # a Thursday
DAYS = [FIRST + dt.timedelta(days=i) for i in range(8)]  # a weekend among them
SESSIONS = Sessions.load("XNYS", FIRST, DAYS[-1])
EXPIRATIONS = [dt.date(2023, 6, 9), dt.date(2023, 7, 21)]

contracts = st.tuples(st.sampled_from(EXPIRATIONS), st.integers(1, 4))
quotes = st.tuples(st.sampled_from(["ABC", "XYZ"]), st.sampled_from(DAYS), contracts)


def frame(rows: list[tuple[str, dt.date, tuple[dt.date, int]]]) -> pl.DataFrame:
    columns = {
        "underlying": [name for name, _, _ in rows],
        "session": [day for _, day, _ in rows],
        "symbol": [f"{name} {end} {strike}" for name, _, (end, strike) in rows],
        "expiration": [end for *_, (end, _) in rows],
        "strike": [float(strike) for *_, (_, strike) in rows],
    }
    schema = dict.fromkeys(("underlying", "symbol"), pl.String)
    return pl.DataFrame(
        columns,
        schema=schema | {"session": pl.Date, "expiration": pl.Date, "strike": pl.Float64},
    ).sort("underlying", "session", "symbol")


@settings(max_examples=60, deadline=None)
@given(st.lists(quotes, max_size=40), st.sampled_from(DAYS), st.booleans())
def test_no_night_of_replaced_contracts_is_missed(
    rows: list[tuple[str, dt.date, tuple[dt.date, int]]], cut: dt.date, several: bool
) -> None:
    found = frame(rows)
    batches = [found]
    if several:  # as of a lake: an underlying, month by month
        found = found.filter(pl.col("underlying") == "ABC")
        batches = [found.filter(pl.col("session") < cut), found.filter(pl.col("session") >= cut)]
    possible = any_night([batch.select(NIGHTS) for batch in batches], SESSIONS)
    listing = Listing.joined(Listing.of(b.select(LISTING), SESSIONS) for b in batches)
    assert possible or replaced(listing).is_empty()


def test_most_contracts_that_go_on_are_no_suspicion() -> None:
    far = EXPIRATIONS[1]
    days = [("ABC", day, (far, strike)) for day in DAYS[:2] for strike in (1, 2, 3)]
    assert not any_night([frame(days)], SESSIONS)
    assert not any_night([frame([*days, ("ABC", DAYS[1], (far, 4))])], SESSIONS)
    gone = [*days, *[("ABC", DAYS[4], (far, strike)) for strike in (3, 5)]]
    assert any_night([frame(gone)], SESSIONS)
    # after the weekend, of another underlying
    other = [*days, *[("XYZ", DAYS[4], (far, strike)) for strike in (3, 5)]]
    assert not any_night([frame(other)], SESSIONS)


def test_contracts_about_to_expire_do_not_count() -> None:
    near = EXPIRATIONS[0]
    rows = [("ABC", DAYS[5], (near, 1)), ("ABC", DAYS[6], (near, 2))]
    assert not any_night([frame(rows)], SESSIONS)
