"""Runs of quotes, and what is found from them, against plain ways to find the same."""

import datetime as dt
import random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.market.build import DAY, quotes, symbol
from wheelvec.model import schemas
from wheelvec.tables import validation
from wheelvec.tables.runs import Runs
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import CHAIN, LISTED, Listing, Survey

NAN, INF = float("nan"), float("inf")
ODD = [None, NAN, INF, -INF, -1.0, -0.0, 0.0, 1e-9, 3.0, 3.01, 200.0, 205.0, 1e14, 1e300]
SESSIONS = Sessions.known("NYSE", DAY("2023-06-01"), DAY("2023-06-30"))
MINUTE = 60_000_000_000


def test_a_quote_is_valid_where_no_flaw_applies() -> None:
    """Every combination of odd prices, of puts and calls, before and after the expiration."""
    days = [DAY("2023-06-06"), DAY("2023-07-07"), DAY("2023-07-10")]
    rows = quotes({}).drop("bid", "ask", "underlying_price", "session", "option_type")
    for name, values in (("bid", ODD), ("ask", ODD), ("underlying_price", ODD)):
        rows = rows.join(pl.DataFrame({name: values}, schema={name: pl.Float64}), how="cross")
    rows = rows.join(pl.DataFrame({"session": days}), how="cross")
    rows = rows.join(pl.DataFrame({"option_type": ["C", "P"]}), how="cross")
    flawed = pl.any_horizontal(list(schemas.quote_flaws().values()))
    found = rows.select(valid=schemas.valid_quote().fill_null(False), plain=~flawed)
    assert found["valid"].sum() > 0
    assert found["valid"].equals(found["plain"].alias("valid"))


def drawn(seed: int) -> pl.DataFrame:
    """Random quotes of two underlyings over some days, one a holiday and one of another root."""
    draw = random.Random(seed)
    timed = draw.random() < 0.8
    rows = []
    for name in ("ABC", "XYZ"):
        for day in [DAY(f"2023-06-{day:02d}") for day in (6, 7, 8, 19, 20)]:
            if draw.random() < 0.2:
                continue
            spot = draw.choice([200.0, 200.5])
            for _ in range(draw.randint(1, 25)):
                root = draw.choice([name] * 5 + ["ABX"])
                strike, kind = 5.0 * draw.randint(38, 43), draw.choice("CP")
                expiration = draw.choice(["230609", "230616", "230721"])
                ts = dt.datetime.combine(day, dt.time(draw.choice([1, 19, 19, 19]), 45), dt.UTC)
                rows.append({
                    "underlying": name, "session": day, "ts": ts if timed else None,
                    "symbol": symbol(strike, kind, expiration, root),
                    "bid": draw.choice([1.0, 2.0, None]), "ask": draw.choice([2.0, 3.0, 1.5]),
                    "underlying_price": draw.choice([spot] * 9 + [None, 199.0]),
                })  # fmt: skip
    return validation.check_quotes(quotes(*rows)).rows


def plain_chain(rows: pl.DataFrame) -> pl.DataFrame:
    valid = ~pl.any_horizontal(list(schemas.quote_flaws().values()))
    mid, by = (pl.col("bid") + pl.col("ask")) / 2, ["underlying", "session"]
    marked = rows.with_columns(valid=valid)
    chain = marked.group_by(by).agg(
        spot=pl.col("underlying_price").median(),
        count=pl.len().cast(pl.Int64),
        valid=pl.col("valid").sum().cast(pl.Int64),
        first_ts=pl.col("ts").min(),
        last_ts=pl.col("ts").max(),
    )
    alive = marked.filter("valid", pl.col("expiration") - pl.col("session") >= pl.duration(days=5))
    near = alive.filter(pl.col("expiration") == pl.col("expiration").min().over(by))
    pairs = near.group_by(*by, "strike", maintain_order=True).agg(
        gap=mid.filter(pl.col("option_type") == "C").mean()
        - mid.filter(pl.col("option_type") == "P").mean()
    )
    return chain.join(pairs.drop_nulls().select(by).unique().with_columns(paired=True), on=by,
                      how="left").sort(by)  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_what_is_found_from_runs_is_what_rows_say(seed: int) -> None:
    rows = drawn(seed)
    runs = Runs.of(rows)
    survey, plain = Survey.of_quotes(runs, SESSIONS), plain_chain(rows)
    assert survey.chain.schema == CHAIN
    assert_frame_equal(
        survey.chain.drop("parity"), plain.select(survey.chain.drop("parity").columns)
    )
    assert survey.chain["parity"].is_not_null().to_list() == (
        plain["paired"].is_not_null().to_list()
    )
    known = rows.filter(pl.col("session").is_in(SESSIONS.frame["session"].implode()))
    listed = known.group_by("underlying", "session", "expiration").agg(
        contracts=pl.col("symbol").n_unique().cast(pl.Int64)
    )
    assert_frame_equal(survey.listed.select(*LISTED), listed, check_row_order=False)
    contracts = known.group_by("underlying", "symbol").agg(
        pl.col("expiration", "strike").first(),
        first=pl.col("session").min(),
        last=pl.col("session").max(),
    )
    assert_frame_equal(survey.contracts.drop("contract"), contracts, check_row_order=False)
    ranges = rows.group_by("session", "expiration", "option_type").agg(
        low=pl.col("strike").min(), high=pl.col("strike").max()
    )
    assert_frame_equal(runs.ranges(), ranges, check_row_order=False)
    minutes = rows.group_by("session", minute=pl.col("ts").to_physical() // MINUTE).agg(
        quotes=pl.len().cast(pl.Int64)
    )
    assert_frame_equal(runs.minutes(), minutes, check_row_order=False)


@pytest.mark.parametrize("seed", range(30))
def test_the_tally_is_that_of_every_row(seed: int) -> None:
    rows = drawn(seed)
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.date()
    flaws = {
        "not_a_session": ~pl.col("session").is_in(SESSIONS.frame["session"].implode()),
        "wrong_session": (local != pl.col("session")).fill_null(False),
    } | schemas.quote_flaws()
    reasons = rows.select("underlying", reason=schemas.first_flaw(flaws)).drop_nulls()
    plain = reasons.group_by("underlying", "reason").agg(count=pl.len().cast(pl.Int64))
    found = validation.tally("option_quotes", rows, SESSIONS)
    assert_frame_equal(found.select(plain.columns), plain, check_row_order=False)


@pytest.mark.parametrize("seed", range(10))
def test_a_listing_by_days_is_that_of_the_whole(seed: int) -> None:
    rows = drawn(seed)
    days = [Listing.of(part, SESSIONS) for part in rows.partition_by("session")]
    whole, joined = Listing.joined([Listing.of(rows, SESSIONS)]), Listing.joined(days)
    assert_frame_equal(joined.listed, whole.listed)
    assert_frame_equal(joined.contracts, whole.contracts, check_row_order=False)


def test_no_quotes_have_no_runs() -> None:
    none = quotes({}).clear()
    runs = Runs.of(none)
    assert runs.table.height == 0
    assert runs.minutes().height == runs.ranges().height == 0
    assert Survey.of_quotes(runs, SESSIONS).chain.schema == CHAIN
    assert validation.tally("option_quotes", none, SESSIONS).height == 0
