"""The demo market: the same bytes everywhere, consistent, and varied enough to show
every outcome.
"""

import datetime as dt
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from tests.oracle import pricer
from wheelvec.demo import invented
from wheelvec.demo.invented import PROFILES
from wheelvec.demo.synthetic import (
    DEMO_END,
    DEMO_LAST,
    DEMO_START,
    demo_market,
    demo_months,
    demo_tables,
)
from wheelvec.market.market import Market
from wheelvec.model import osi, schemas
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError
from wheelvec.pricing.black import delta
from wheelvec.pricing.implied import implied_vol
from wheelvec.run.backtest import backtest
from wheelvec.tables.sessions import Sessions

ROOT = Path(__file__).resolve().parents[2]

# The digest of the default tables, the same on every machine. A change of the generator changes it
# and all figures in the docs.
DIGEST = "524636c05e9dd95606b8a4878477770a"

EXITS = ("stop_loss", "profit_target", "expired_worthless", "assigned", "open", "no_data")
CALL_EXITS = ("profit_target", "expired_worthless", "called_away")
ENDS = (
    "called_away",
    "no_call_quotes",
    "no_call_in_range",
    "no_call_above_basis",
    "no_call_liquid",
)


def digest(tables: dict[str, pl.DataFrame]) -> str:
    """BLAKE2b over every column's nulls and little-endian values, in order."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(tables):
        for column in tables[name].iter_columns():
            if column.null_count() == len(column):
                continue  # an optional column that the demo market leaves out
            total.update(f"{name}.{column.name}:{column.dtype}:{len(column)}".encode())
            total.update(column.is_null().to_numpy().tobytes())
            if column.dtype == pl.String:
                total.update("\n".join(column.to_list()).encode())
            else:
                values = column.to_physical().fill_null(0).to_numpy()
                total.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return demo_tables()


@pytest.fixture(scope="module")
def snapshot(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The last quote of the entry minute of each contract-day with two sides, its mid, spread, dte
    and moneyness.
    """
    quotes = in_entry_minute(tables["option_quotes"]).drop_nulls("bid")
    last = (
        quotes.sort("session", "symbol", "ts")
        .group_by("session", "symbol", maintain_order=True)
        .last()
    )
    mid = (pl.col("bid") + pl.col("ask")) / 2
    return last.with_columns(
        mid=mid,
        spread_pct=(pl.col("ask") - pl.col("bid")) / mid,
        dte=(pl.col("expiration") - pl.col("session")).dt.total_days(),
        moneyness=(pl.col("strike") / pl.col("underlying_price")).log(),
    )


def in_entry_minute(quotes: pl.DataFrame) -> pl.DataFrame:
    """The quotes of the minute that opens a quarter of an hour before their session's close."""
    closes = Sessions.load("NYSE", DEMO_START, DEMO_LAST).frame.select("session", "close")
    minute = pl.col("close") - pl.duration(minutes=15)
    inside = (pl.col("ts") >= minute) & (pl.col("ts") < minute + pl.duration(minutes=1))
    return quotes.join(closes, on="session").filter(inside).drop("close")


# ---- reproducibility


def test_the_default_tables_are_pinned(tables: dict[str, pl.DataFrame]) -> None:
    assert digest(tables) == DIGEST


@pytest.mark.parametrize("vector_units", [True, False])
def test_threads_and_vector_units_change_nothing(vector_units: bool) -> None:
    """Another process, one thread, and (if NumPy allows it) none of the vector units beyond NumPy's
    baseline.
    """
    settings = dict.fromkeys(
        ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
    )
    if not vector_units:
        settings["NPY_DISABLE_CPU_FEATURES"] = " ".join(
            unit for unit in __cpu_dispatch__ if __cpu_features__[unit]
        )
    code = "from tests.demo.test_synthetic import digest, demo_tables; print(digest(demo_tables()))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == DIGEST


@pytest.mark.parametrize("name", list(PROFILES))
def test_rows_do_not_depend_on_other_underlyings(
    tables: dict[str, pl.DataFrame], name: str
) -> None:
    alone = demo_tables(symbols=[name])
    for table, frame in tables.items():
        owner = osi.root(pl.col("symbol")) if table == "option_bars" else pl.col("underlying")
        assert alone[table].equals(frame.filter(owner == name)), table


def test_a_later_end_only_appends(tables: dict[str, pl.DataFrame]) -> None:
    until = dt.date(2024, 3, 28)
    shorter = demo_tables(end=until)
    for table, frame in tables.items():
        assert shorter[table].equals(frame.filter(pl.col("session") <= until)), table


@pytest.mark.parametrize("name", ["CHRL", "ANY"])
def test_months_add_up_to_the_tables(name: str) -> None:
    span = {
        "start": "2023-11-10",
        "end": "2024-02-20",
    }  # over the turn of a year, from and to the middle of a month
    months = list(demo_months(name, **span))
    assert [m["underlying_bars"]["session"].dt.truncate("1mo").unique().to_list() for m in months] == [
        [dt.date(2023, 11, 1)], [dt.date(2023, 12, 1)], [dt.date(2024, 1, 1)], [dt.date(2024, 2, 1)],
    ]  # fmt: skip
    whole = demo_tables(symbols=[name], **span)
    for table, rows in whole.items():
        assert pl.concat([month[table] for month in months]).equals(rows, null_equal=True), table


def test_another_seed_is_another_market(tables: dict[str, pl.DataFrame]) -> None:
    other = demo_tables(seed=8, symbols=["ALFA"])["underlying_bars"]
    assert not other.equals(tables["underlying_bars"].filter(pl.col("underlying") == "ALFA"))


def test_any_name_is_accepted() -> None:
    made = demo_tables(symbols=["QQA", "QQB"], end="2024-02-01")
    closes = made["underlying_bars"].group_by("underlying").agg("close")
    assert closes["underlying"].n_unique() == 2
    assert closes["close"][0].to_list() != closes["close"][1].to_list()


def test_a_price_stays_within_bounds_for_years() -> None:
    for name in PROFILES:
        key = invented.hash_of(7, name, "path")
        spot, volatility = PROFILES[name].process.prices(key, np.full(5000, 26), 27)
        assert spot.min() > 10.0, name
        assert spot.max() < 400.0, name
        assert (volatility > 0.0).all(), name


# ---- functions, compared with the C library


def test_exp_log_and_normal_cdf() -> None:
    x = np.linspace(-40.0, 40.0, 4001)
    np.testing.assert_allclose(invented.exp(x), np.exp(x), rtol=1e-13)
    np.testing.assert_allclose(invented.log(np.exp(x)), x, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(invented.normal_cdf(x), [pricer.normal_cdf(v) for v in x], atol=8e-8)


def test_normal_inverts_the_distribution() -> None:
    hashes = invented.splitmix(invented.hash_of(1), np.arange(20_000))
    z, u = invented.normal(hashes), invented.uniform(hashes)
    np.testing.assert_allclose([pricer.normal_cdf(v) for v in z], u, atol=1e-8)
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1.0) < 0.02


def test_uniform_stays_inside_at_both_ends() -> None:
    ends = invented.uniform(np.array([0, 2**64 - 1], dtype=np.uint64))
    assert ends[0] > 0.0
    assert ends[1] < 1.0


def test_call_price_agrees_with_black_and_scholes() -> None:
    for strike in (80.0, 100.0, 130.0):
        discounted = strike * math.exp(-0.04 * 0.1)
        deviation = 0.3 * math.sqrt(0.1)
        made = invented.call_price(np.array([100.0]), np.array([discounted]), np.array([deviation]))
        assert made[0] == pytest.approx(
            pricer.black_scholes(100.0, strike, 0.1, 0.04, 0.3, True), abs=3e-5
        )


# ---- contents of the tables


def test_tables_keep_their_schemas_and_size(tables: dict[str, pl.DataFrame]) -> None:
    expected = {
        "option_quotes": schemas.OPTION_QUOTES,
        "option_bars": schemas.OPTION_BARS,
        "underlying_bars": schemas.UNDERLYING_BARS,
    }
    assert {name: dict(frame.schema) for name, frame in tables.items()} == expected
    assert 200_000 < tables["option_quotes"].height < 400_000
    assert 30_000 < tables["option_bars"].height < 600_000


def test_no_row_is_broken(tables: dict[str, pl.DataFrame]) -> None:
    """A strict market accepts them; only ordinary reasons occur."""
    Market(**tables, strict=True)
    flaws = (
        tables["option_quotes"]
        .select(schemas.first_flaw(schemas.quote_flaws()).alias("flaw"))["flaw"]
        .drop_nulls()
    )
    assert set(flaws) == {"missing_side"}
    for name in ("option_bars", "underlying_bars"):
        assert (
            tables[name].select(schemas.first_flaw(schemas.bar_flaws()).is_null().all()).item()
        ), name
    assert not tables["option_bars"].select(schemas.untraded().any()).item()
    assert set(Market(**tables).diagnostics["reason"]) == {"missing_side"}


def test_symbols_agree_with_their_columns(tables: dict[str, pl.DataFrame]) -> None:
    symbol = pl.col("symbol")
    agree = (
        osi.is_osi(symbol)
        & (osi.root(symbol) == pl.col("underlying"))
        & (osi.expiration(symbol) == pl.col("expiration"))
        & (osi.option_type(symbol) == pl.col("option_type"))
        & (osi.strike_milli(symbol) == (pl.col("strike") * 1000).round().cast(pl.Int64))
    )
    assert tables["option_quotes"].select(agree.all()).item()


def test_keys_are_unique_and_rows_sorted(tables: dict[str, pl.DataFrame]) -> None:
    quotes, bars = tables["option_quotes"], tables["option_bars"]
    assert quotes.select("session", "symbol", "ts").is_unique().all()
    assert bars.select("session", "symbol").is_unique().all()
    for name in PROFILES:
        one = quotes.filter(pl.col("underlying") == name)
        assert one.equals(one.sort("session", "symbol", "ts")), name


def test_weekly_expirations_fall_on_fridays_or_the_session_before_a_holiday(
    tables: dict[str, pl.DataFrame],
) -> None:
    expirations = tables["option_quotes"]["expiration"].unique().sort()
    thursdays = expirations.filter(expirations.dt.weekday() != 5).to_list()
    assert thursdays == [dt.date(2024, 3, 28)]  # Good Friday is the 29th
    assert expirations.diff().drop_nulls().dt.total_days().is_between(6, 8).all()
    ahead = (
        tables["option_quotes"]
        .group_by("session")
        .agg(pl.col("expiration").max() - pl.col("session").first())
    )
    assert (ahead["expiration"].dt.total_days() >= 42).all()


def test_only_sessions_and_early_closes_quote_early(tables: dict[str, pl.DataFrame]) -> None:
    quotes = tables["option_quotes"]
    sessions = set(Sessions.load("NYSE", DEMO_START, DEMO_LAST).frame["session"])
    assert set(quotes["session"]) == sessions
    for day, clock in (
        (dt.date(2024, 7, 2), dt.time(15, 45)),
        (dt.date(2024, 7, 3), dt.time(12, 45)),
    ):
        local = in_entry_minute(quotes.filter(pl.col("session") == day))["ts"].dt.convert_time_zone(
            "America/New_York"
        )
        assert local.dt.truncate("1m").dt.time().unique().to_list() == [clock]


def test_every_contract_day_is_quoted_in_the_entry_minute(tables: dict[str, pl.DataFrame]) -> None:
    quotes = tables["option_quotes"]
    key = ["session", "symbol"]
    inside = in_entry_minute(quotes)
    assert inside.select(key).unique().height == quotes.select(key).unique().height
    assert 0.7 < inside.height / quotes.height < 0.99  # some are in the minute before or after
    assert inside.height > inside.select(key).unique().height * 1.1  # some have two


def test_a_listed_strike_stays_listed(tables: dict[str, pl.DataFrame]) -> None:
    """Every session that quotes an underlying at all quotes each of its contracts until it expires."""
    quotes = (
        tables["option_quotes"].select("underlying", "symbol", "session", "expiration").unique()
    )
    spans = quotes.group_by("underlying", "symbol").agg(
        pl.col("session").min().alias("first"), pl.col("expiration").first(), pl.len()
    )
    for name in PROFILES:
        shown = quotes.filter(pl.col("underlying") == name)["session"].unique().sort()
        span = spans.filter(pl.col("underlying") == name)
        wanted = shown.search_sorted(span["expiration"], side="right") - shown.search_sorted(
            span["first"], side="left"
        )
        assert (wanted == span["len"]).all(), name


def test_strikes_reach_from_delta_5_to_95(tables: dict[str, pl.DataFrame]) -> None:
    """The farthest put and the farthest call, whose strike is where the put's delta is one less its
    own.
    """
    quotes = in_entry_minute(tables["option_quotes"]).sort("session", "symbol", "ts")
    last = quotes.group_by("session", "symbol", maintain_order=True).last()
    last = last.filter((last["expiration"] - last["session"]).dt.total_days().is_between(14, 45))
    spot, strike = last["underlying_price"].to_numpy(), last["strike"].to_numpy()
    years = (last["expiration"] - last["session"]).dt.total_days().to_numpy() / 365
    is_call = (last["option_type"] == "C").to_numpy()
    mid = (last["bid"].fill_null(0.0) + last["ask"]).to_numpy() / 2
    volatility = implied_vol(mid, spot, strike, years, 0.04, is_call)
    deltas = pl.Series(np.abs(delta(spot, strike, years, 0.04, volatility, is_call))).fill_nan(None)
    chains = (
        last.with_columns(delta=deltas)
        .group_by("underlying", "option_type", "session", "expiration")
        .agg(pl.col("delta").min())
    )
    for key, farthest in chains.group_by("underlying", "option_type"):
        assert farthest["delta"].quantile(0.9) < 0.05, key
        assert farthest["delta"].max() < 0.2, key


# ---- prices: one path, ticks, spreads, smile


def test_a_bar_contains_the_mids_of_its_entry_minute(tables: dict[str, pl.DataFrame]) -> None:
    """Of all its valid quotes there, to the last bit: bars and quotes come from one path. Nobody
    deals under a tick, which is where the mid of a bid of 0 may lie.
    """
    quotes = in_entry_minute(tables["option_quotes"]).drop_nulls("bid")
    both = quotes.join(tables["option_bars"], on=["symbol", "session"])
    mid = (pl.col("bid") + pl.col("ask")) / 2
    assert both.height > 30_000
    tick = pl.when(osi.root(pl.col("symbol")) == "CHRL").then(0.05).otherwise(0.01)
    assert both.select(
        ((pl.col("low") <= pl.max_horizontal(mid, tick)) & (mid <= pl.col("high"))).all()
    ).item()
    assert both.filter(mid < tick).height < both.height / 20


def test_the_underlying_price_at_entry_is_within_its_bar(tables: dict[str, pl.DataFrame]) -> None:
    both = tables["option_quotes"].join(tables["underlying_bars"], on=["underlying", "session"])
    inside = pl.col("underlying_price").is_between(pl.col("low"), pl.col("high"))
    assert both.select(inside.all()).item()
    assert (
        both.group_by("underlying", "session")
        .agg(pl.col("underlying_price").n_unique())["underlying_price"]
        .max()
        == 1
    )


def test_prices_are_multiples_of_their_ticks(tables: dict[str, pl.DataFrame]) -> None:
    """Pennies below $3 and nickels above; CHRL in nickels and dimes. A price is the double nearest
    to its cents.
    """
    bars = tables["option_bars"].with_columns(underlying=osi.root(pl.col("symbol")))
    for frame, columns in (
        (tables["option_quotes"], ("bid", "ask")),
        (bars, ("open", "high", "low", "close")),
    ):
        for column in columns:
            shown = frame.drop_nulls(column)
            price, coarse = shown[column].to_numpy(), (shown["underlying"] == "CHRL").to_numpy()
            cents = np.rint(price * 100)
            tick = np.where(cents < 300, np.where(coarse, 5, 1), np.where(coarse, 10, 5))
            assert (cents % tick == 0).all(), column
            # In NumPy, because Polars multiplies by the inverse of a scalar instead of dividing,
            # which changes the last bit.
            assert (cents / 100 == price).all(), column


def test_spreads_widen_in_the_wings_and_on_some_days(snapshot: pl.DataFrame) -> None:
    puts = snapshot.filter(
        (pl.col("option_type") == "P") & (pl.col("bid") > 0) & pl.col("dte").is_between(20, 45)
    )
    near = puts.filter(pl.col("moneyness").is_between(-0.05, 0.0))
    wing = puts.filter(pl.col("moneyness") < -0.15)
    assert wing["spread_pct"].median() > 2 * near["spread_pct"].median()
    days = near.group_by("underlying", "session").agg(pl.col("spread_pct").median())
    wide = days.filter(pl.col("spread_pct") > 2 * pl.col("spread_pct").median().over("underlying"))
    assert wide.height > 20


def test_the_smile_is_skewed_and_volatility_moves(snapshot: pl.DataFrame) -> None:
    def volatility(row: dict[str, float]) -> float | None:
        call = row["option_type"] == "C"
        return pricer.implied_vol(
            row["mid"], row["underlying_price"], row["strike"], row["dte"] / 365, 0.04, call
        )

    near = snapshot.filter(
        (pl.col("underlying") == "DLTA") & pl.col("dte").is_between(30, 36) & (pl.col("bid") > 0.2)
    )
    puts = near.filter((pl.col("option_type") == "P") & pl.col("moneyness").is_between(-0.16, -0.1))
    calls = near.filter((pl.col("option_type") == "C") & pl.col("moneyness").is_between(0.1, 0.16))
    means = [
        np.mean([volatility(row) for row in side.iter_rows(named=True)]) for side in (puts, calls)
    ]
    assert means[0] > means[1] + 0.02
    money = near.filter((pl.col("option_type") == "P") & (pl.col("moneyness").abs() < 0.02))
    at_the_money = [volatility(row) for row in money.iter_rows(named=True)]
    assert max(at_the_money) > 1.3 * min(at_the_money)


def test_no_arbitrage_between_strikes(snapshot: pl.DataFrame) -> None:
    """No bid of an option exceeds the ask of one with at least the same payoff."""
    chains = ["underlying", "session", "expiration", "option_type"]
    ordered = snapshot.sort(*chains, "strike").with_columns(
        pl.col("bid").shift(1).over(chains).alias("bid_below"),
        pl.col("ask").shift(1).over(chains).alias("ask_below"),
    )
    call = pl.col("option_type") == "C"
    free = (call & (pl.col("bid") > pl.col("ask_below"))) | (
        ~call & (pl.col("bid_below") > pl.col("ask"))
    )
    assert ordered.filter(free).height == 0


def test_contracts_skip_days_and_quotes_are_missing(
    tables: dict[str, pl.DataFrame], snapshot: pl.DataFrame
) -> None:
    near = snapshot.filter(
        pl.col("dte").is_between(20, 45) & pl.col("moneyness").is_between(-0.1, 0.0)
    )
    near = near.filter(pl.col("option_type") == "P").join(
        tables["option_bars"], on=["symbol", "session"], how="left"
    )
    traded = dict(near.group_by("underlying").agg(pl.col("close").is_not_null().mean()).iter_rows())
    assert 0.05 < traded["ALFA"] < traded["CHRL"] < traded["DLTA"] < traded["BRVO"] < 0.9
    quoted = (
        tables["option_quotes"]
        .select("underlying", "session")
        .unique()
        .group_by("underlying")
        .len()
    )
    assert min(quoted["len"]) < 188
    closes = tables["underlying_bars"].group_by("underlying").len()
    assert min(closes["len"]) < 188
    assert max(closes["len"]) == 188
    zero_bids = tables["option_quotes"].select(
        (pl.col("bid") == 0).sum(), pl.col("bid").is_null().sum().alias("none")
    )
    assert min(zero_bids.row(0)) > 1000


# ---- invalid arguments


@pytest.mark.parametrize("name", ["TSLA1", "spy", "TOOLONG", "", "SPX", "Ä"])
def test_names_that_a_market_would_set_aside_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a demo underlying"):
        demo_tables(symbols=[name])


@pytest.mark.parametrize("symbols", ["ALFA", [], ["ALFA", "ALFA"]])
def test_invalid_lists_are_refused(symbols: list[str]) -> None:
    with pytest.raises(InputError, match="at least one name, each once"):
        demo_tables(symbols=symbols)


def test_dates_are_checked() -> None:
    with pytest.raises(InputError, match="start = 'soon'"):
        demo_tables(start="soon")
    with pytest.raises(InputError, match="no session in between"):
        demo_tables(start="2024-03-29", end="2024-03-31")
    with pytest.raises(InputError, match="2024-03-29"):
        demo_tables(start="2024-03-29", end="2024-03-01")


# ---- every outcome, at least twenty times


def test_every_outcome_of_the_default_rules_occurs() -> None:
    result = backtest(demo_market(), Config())
    legs = result.records.filter(pl.col("phase") != "total")
    puts = dict(legs.filter(pl.col("phase") == "csp")["exit_reason"].value_counts().iter_rows())
    calls = dict(legs.filter(pl.col("phase") == "cc")["exit_reason"].value_counts().iter_rows())
    ends = dict(result.wheels["end_reason"].value_counts().iter_rows())
    assert {reason: puts.get(reason, 0) for reason in EXITS if puts.get(reason, 0) < 20} == {}
    assert {
        reason: calls.get(reason, 0) for reason in CALL_EXITS if calls.get(reason, 0) < 20
    } == {}
    assert {reason: ends.get(reason, 0) for reason in ENDS if ends.get(reason, 0) < 20} == {}


def test_the_documented_range_resolves() -> None:
    """Wheels opened from DEMO_START to DEMO_END nearly all resolve before the data end; every other
    outcome occurs.
    """
    result = backtest(
        demo_market(),
        Config().replace(**{"schedule.start_date": DEMO_START, "schedule.end_date": DEMO_END}),
    )
    ends = dict(result.wheels["end_reason"].value_counts().iter_rows())
    assert {reason: ends.get(reason, 0) for reason in ENDS if ends.get(reason, 0) < 20} == {}
    assert result.summary()["open_wheels"] <= 0.01 * result.wheels.height
