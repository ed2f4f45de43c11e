"""Figures for signals: worked by hand, computed a second time in plain Python, and blind to all that
comes later.
"""

import datetime as dt
import itertools
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.market.build import symbol
from tests.oracle import markets
from tests.random_markets import market_of
from wheelvec.run.signals import iv_index

# few sessions and days each, so that small markets have figures
FUNCTIONS: dict[str, Callable[[wv.Market], pl.DataFrame]] = {
    "iv_index": lambda market: wv.signals.iv_index(market, days=10),
    "iv_rank": lambda market: wv.signals.iv_rank(market, sessions=6, days=10),
    "iv_percentile": lambda market: wv.signals.iv_percentile(market, sessions=6, days=10),
    "realized_vol": lambda market: wv.signals.realized_vol(market, sessions=3),
    "sma": lambda market: wv.signals.sma(market, sessions=3),
    "bollinger_percent_b": lambda market: wv.signals.bollinger_percent_b(market, sessions=4),
    "rsi": lambda market: wv.signals.rsi(market, sessions=3),
}
ENTRY_ENDS = dt.time(15, 46)
NEW_YORK = "America/New_York"


def demo(**changes: Any) -> wv.Market:
    return wv.demo_market(**{"symbols": ["ALFA", "CHRL"], "start": "2024-01-02", "end": "2024-05-31"} | changes)  # fmt: skip


# ---- no figure looks ahead


def later(tables: dict[str, pl.DataFrame], session: dt.date) -> dict[str, pl.Expr]:
    """By table, the rows that nobody knows at entry time on a session."""
    late = pl.lit(False)
    if "ts" in tables["option_quotes"].columns:
        late = pl.col("ts").dt.convert_time_zone(NEW_YORK).dt.time() >= ENTRY_ENDS
    on_session = pl.col("session") == session
    return {
        "option_quotes": (pl.col("session") > session) | (on_session & late),
        "underlying_bars": pl.col("session") >= session,
        "option_bars": pl.col("session") >= session,
        "dividends": pl.col("ex_date") > session,
    }


def without_later(tables: dict[str, pl.DataFrame], session: dt.date) -> dict[str, pl.DataFrame]:
    unknown = later(tables, session)
    return {name: rows.filter(~unknown[name].fill_null(False)) for name, rows in tables.items()}


def with_other_later(tables: dict[str, pl.DataFrame], session: dt.date) -> dict[str, pl.DataFrame]:
    """The tables with other prices in all rows of the future."""
    unknown = later(tables, session)
    changed = {}
    for name, rows in tables.items():
        prices = [c for c, kind in rows.schema.items() if kind == pl.Float64 and c != "strike"]
        factor = pl.when(unknown[name].fill_null(False)).then(1.37).otherwise(1.0)
        changed[name] = rows.with_columns([pl.col(price) * factor for price in prices])
    return changed


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@example(seed=428, share=0.21875)  # no quote of the session itself is known at entry time
@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 1.0))
def test_nothing_that_comes_later_changes_a_figure(seed: int, share: float) -> None:
    tables = markets.random_market(seed)
    days = tables["option_quotes"]["session"].unique().sort()
    session = days[min(int(share * len(days)), len(days) - 1)]
    market = market_of(tables)
    others = [market_of(future(tables, session)) for future in (without_later, with_other_later)]
    for name, function in FUNCTIONS.items():
        known = function(market).filter(pl.col("session") <= session)
        for other in others:
            again = function(other).filter(pl.col("session") <= session)
            # an underlying of which nothing is known yet has no rows, nor have sessions after all
            # that is known
            keys = ["session", "underlying"]
            expected = known.join(again, on=keys, how="semi", maintain_order="left")
            assert_frame_equal(again, expected, check_exact=True)
            covered = known.filter(pl.col("session") <= other.data_range[1])
            missing = covered.join(again, on=keys, how="anti").get_column(name)
            assert missing.null_count() == len(missing), name


def test_the_property_has_figures_to_compare() -> None:
    small = [markets.random_market(seed) for seed in range(3)]
    for name, function in FUNCTIONS.items():
        figures = [function(market_of(tables)) for tables in small]
        values = pl.concat(figures).drop("session", "underlying")
        assert (values.count() > 30).row(0) == (True,) * values.width, name


def test_a_lake_gives_the_same_figures(tmp_path: Path) -> None:
    market = demo()
    market.write(tmp_path)
    opened = wv.Market.open(tmp_path)
    for function in FUNCTIONS.values():
        assert_frame_equal(function(opened), function(market), check_exact=True)


# ---- the volatility index

DAY = dt.date(2024, 3, 6)
SPOT, RATE = 100.0, 0.04


def quotes_of(*options: tuple[int, str, float, float], spot: float = SPOT) -> pl.DataFrame:
    """Snapshots of (days to expiration, type, strike, volatility), priced without a spread."""
    rows = []
    for days, kind, strike, volatility in options:
        price = float(wv.black_scholes(spot, strike, days / 365, RATE, volatility, kind == "C"))
        expiration = DAY + dt.timedelta(days=days)
        name = symbol(strike, kind, f"{expiration:%y%m%d}", "ACME")
        rows.append(("ACME", DAY, name, price, price, spot))
    schema = ["underlying", "session", "symbol", "bid", "ask", "underlying_price"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def market_with(quotes: pl.DataFrame) -> wv.Market:
    days = pl.date_range(dt.date(2024, 3, 4), dt.date(2024, 3, 8), eager=True)
    bars = pl.DataFrame({"session": days}).with_columns(
        pl.lit("ACME").alias("underlying"), *[pl.lit(100.0).alias(n) for n in ("open", "high", "low", "close")], volume=1
    )  # fmt: skip
    return wv.Market(option_quotes=quotes, underlying_bars=bars)


def index_of(*options: tuple[int, str, float, float], **arguments: Any) -> float | None:
    frame = wv.signals.iv_index(market_with(quotes_of(*options)), **arguments)
    assert frame.schema == {"session": pl.Date, "underlying": pl.String, "iv_index": pl.Float64}
    value: float | None = frame.filter(session=DAY)["iv_index"].item()
    return value


def straddle(days: int, put: float, call: float, strike: float = 100.0) -> list[Any]:
    return [(days, "P", strike, put), (days, "C", strike, call)]


def test_total_variance_is_interpolated_between_two_expirations() -> None:
    # means 0.20 and 0.30: variances 0.04*16 = 0.64 and 0.09*44 = 3.96, half way 2.30, over 30
    found = index_of(*straddle(16, 0.22, 0.18), *straddle(44, 0.28, 0.32))
    assert found == pytest.approx(math.sqrt(2.30 / 30), rel=1e-9)


def test_an_expiration_on_the_day_itself_is_used_alone() -> None:
    found = index_of(*straddle(9, 0.5, 0.5), *straddle(30, 0.22, 0.26), *straddle(37, 0.5, 0.5))
    assert found == pytest.approx(0.24, rel=1e-9)


def test_the_nearest_expirations_on_each_side_are_used() -> None:
    near = [*straddle(23, 0.2, 0.2), *straddle(37, 0.2, 0.2)]
    far = [*straddle(16, 0.9, 0.9), *straddle(44, 0.9, 0.9), *straddle(2, 0.9, 0.9)]
    assert index_of(*far, *near) == pytest.approx(0.2, rel=1e-9)


def test_the_strike_nearest_the_forward_counts_not_the_one_nearest_the_spot() -> None:
    # over 60 days at 4% the forward of 100 is 100.66: 101 is nearer than 100
    options = [*straddle(60, 0.9, 0.9, 100.0), *straddle(60, 0.2, 0.2, 101.0)]
    assert index_of(*options, days=60) == pytest.approx(0.2, rel=1e-9)
    config = wv.Config(pricing=wv.Pricing(rate=0.0, dividend_yield=0.0))
    at_spot = index_of(*options, days=60, config=config)
    assert at_spot is not None
    assert at_spot > 0.8


def test_put_and_call_may_have_strikes_of_their_own() -> None:
    options = [(30, "P", 98.0, 0.30), (30, "C", 103.0, 0.20), (30, "C", 109.0, 0.9)]
    assert index_of(*options) == pytest.approx(0.25, rel=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        straddle(16, 0.2, 0.2),  # nothing after 30 days
        straddle(44, 0.2, 0.2),  # nothing before
        [*straddle(16, 0.2, 0.2), *straddle(66, 0.2, 0.2)],  # too far after
        [*straddle(16, 0.2, 0.2), (44, "P", 100.0, 0.2)],  # a put without a call
        [*straddle(16, 0.2, 0.2), *straddle(44, 0.2, 0.2, 112.0)],  # nothing at the money
    ],
)
def test_the_index_is_null_where_it_would_be_a_guess(options: list[Any]) -> None:
    assert index_of(*options) is None


def test_the_index_begins_with_the_quotes_and_ends_with_the_market() -> None:
    frame = wv.signals.iv_index(market_with(quotes_of(*straddle(30, 0.2, 0.2))))
    assert frame["session"].to_list() == [DAY, dt.date(2024, 3, 7), dt.date(2024, 3, 8)]
    assert frame["iv_index"].is_null().to_list() == [False, True, True]


def test_only_quotes_of_the_entry_minute_count() -> None:
    market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-01-31")
    early = wv.Config(schedule=wv.Schedule(entry_time="10:00"))
    assert wv.signals.iv_index(market, config=early)["iv_index"].count() == 0


def test_no_rate_no_index() -> None:
    curve = wv.Config(pricing=wv.Pricing(rate=[("2024-03-07", 0.04)]))
    assert index_of(*straddle(30, 0.2, 0.2), config=curve) is None


def plain_index(quotes: pl.DataFrame) -> float | None:
    """The index of 30 days of the quotes of one session, one by one."""
    near: dict[tuple[int, str], tuple[float, float, float]] = {}
    for row in quotes.iter_rows(named=True):
        bid, ask, strike = row["bid"], row["ask"], row["strike"]
        spot, kind, dte = row["underlying_price"], row["option_type"], row["dte"]
        worth = strike if kind == "P" else spot
        if bid is None or ask is None or not 0 <= bid <= ask <= worth or bid + ask == 0:
            continue
        forward = spot * math.exp(RATE * dte / 365)
        distance = abs(strike - forward)
        iv = wv.implied_vol((bid + ask) / 2, spot, strike, dte / 365, RATE, kind == "C")
        found = (distance, strike, float(iv))
        if 0 < dte <= 65 and distance <= 0.1 * forward:
            near[dte, kind] = min(near.get((dte, kind), found), found)
    both = {dte: (near[dte, "P"][2] + near[dte, "C"][2]) / 2 for dte, kind in near if kind == "P" and (dte, "C") in near}  # fmt: skip
    both = {dte: iv for dte, iv in both.items() if not math.isnan(iv)}
    before, after = [d for d in both if d <= 30], [d for d in both if d >= 30]
    if not before or not after:
        return None
    first, last = max(before), min(after)
    one, other = both[first] ** 2 * first, both[last] ** 2 * last
    share = (30 - first) / (last - first) if last > first else 0.0
    return math.sqrt((one * (1 - share) + other * share) / 30)


def test_the_index_is_that_of_plain_python() -> None:
    """On sessions of the demo market, whose quotes have gaps and faults."""
    market = wv.demo_market(symbols=["ALFA", "CHRL"], start="2024-01-02", end="2024-02-29")
    dte = (pl.col("expiration") - pl.col("session")).dt.total_days()
    # the rows are in order of time: of each contract the last valid one of 15:45 stands
    clock = pl.col("ts").dt.convert_time_zone(NEW_YORK).dt.time()
    in_minute = clock.is_between(dt.time(15, 45), ENTRY_ENDS, closed="left")
    valid = (pl.col("bid") >= 0) & (pl.col("bid") <= pl.col("ask")) & (pl.col("ask") > 0)
    quotes = market.option_quotes.with_columns(dte=dte).filter(in_minute & valid)
    quotes = quotes.unique(["session", "symbol"], keep="last", maintain_order=True)
    frame, nulls = wv.signals.iv_index(market), 0
    for session, underlying, value in frame.iter_rows():
        expected = plain_index(quotes.filter(session=session, underlying=underlying))
        assert value == (None if expected is None else pytest.approx(expected, rel=1e-9))
        nulls += expected is None
    assert (frame.height, nulls > 0) == (82, True)


# ---- rank and percentile


def ranked(values: list[float | None], name: str, sessions: int) -> list[float | None]:
    days = pl.date_range(dt.date(2024, 1, 1), eager=True, end=dt.date(2024, 1, len(values)))
    frame = pl.DataFrame({"session": days, "iv_index": pl.Series(values, dtype=pl.Float64)})
    frame = frame.select("session", pl.lit("ACME").alias("underlying"), "iv_index")
    return iv_index._over_look_back(frame, name, sessions)[name].to_list()


def test_rank_and_percentile_by_hand() -> None:
    values: list[float | None] = [0.2, 0.4, 0.3, 0.3, 0.1]
    assert ranked(values, "iv_rank", 3) == [None, None, pytest.approx(0.5), 0.0, 0.0]
    assert ranked(values, "iv_percentile", 3) == [None, None, 0.5, 0.0, 0.0]
    assert ranked([0.1, 0.2, 0.3], "iv_percentile", 3) == [None, None, 1.0]
    assert ranked([0.2, 0.2, 0.2], "iv_rank", 3) == [None, None, None]
    assert ranked([0.2, 0.2, 0.2], "iv_percentile", 3) == [None, None, 0.0]
    assert ranked([0.2, 0.3], "iv_rank", 3) == [None, None]


def test_a_look_back_needs_nine_tenths_of_its_sessions() -> None:
    ten: list[float | None] = [0.1 * i for i in range(1, 11)]
    assert ranked([None, *ten[1:]], "iv_rank", 10)[-1] == pytest.approx(1.0)
    assert ranked([None, None, *ten[2:]], "iv_rank", 10)[-1] is None
    assert ranked([*ten[:9], None], "iv_percentile", 10)[-1] is None
    assert ranked([None, *ten[1:]], "iv_percentile", 10)[-1] == 1.0


def test_underlyings_are_ranked_apart() -> None:
    both = wv.signals.iv_rank(demo(), sessions=20)
    alone = wv.signals.iv_rank(demo(), sessions=20, symbols="CHRL")
    assert_frame_equal(both.filter(underlying="CHRL"), alone, check_exact=True)
    assert both.columns == ["session", "underlying", "iv_index", "iv_rank"]


# ---- daily bars, a second time in plain Python


def closes_of(market: wv.Market, name: str) -> dict[dt.date, float]:
    rows = market.underlying_bars.filter(underlying=name).select("session", "close")
    return dict(rows.iter_rows())


def before(market: wv.Market, name: str, session: dt.date, count: int) -> list[float] | None:
    """The closes of so many sessions before one; None where one is missing."""
    days = [day for day in market.sessions.frame["session"] if day < session][-count:]
    known = closes_of(market, name)
    values = [known[day] for day in days if day in known]
    return values if len(values) == count else None


def plain_realized(values: list[float]) -> float:
    logs = [math.log(b / a) for a, b in itertools.pairwise(values)]
    return statistics.stdev(logs) * math.sqrt(252)


def plain_percent_b(values: list[float]) -> float:
    mean, deviation = statistics.fmean(values), statistics.pstdev(values)
    return (values[-1] - (mean - 2 * deviation)) / (4 * deviation)


@pytest.mark.parametrize(
    ("name", "count", "plain"),
    [
        ("realized_vol", 11, plain_realized),
        ("sma", 10, statistics.fmean),
        ("bollinger_percent_b", 10, plain_percent_b),
    ],
)
def test_figures_of_closes_are_those_of_plain_python(
    name: str, count: int, plain: Callable[[list[float]], float]
) -> None:
    market, nulls = demo(), 0
    frame = getattr(wv.signals, name)(market, sessions=10)
    assert frame["underlying"].unique(maintain_order=True).to_list() == ["ALFA", "CHRL"]
    for session, underlying, value in frame.select("session", "underlying", name).iter_rows():
        values = before(market, underlying, session, count)
        assert value == (None if values is None else pytest.approx(plain(values), rel=1e-9))
        nulls += value is None
    assert nulls > 2 * (count - 1)  # the beginning, and holes of the demo market


def test_the_close_beside_an_average_is_that_of_the_session_before() -> None:
    market = demo()
    found = wv.signals.sma(market, sessions=5)
    for session, underlying, _, close in found.iter_rows():
        values = before(market, underlying, session, 1)
        assert close == (None if values is None else values[0])


def one_of(values: list[float | None]) -> wv.Market:
    """A market of ACME with these closes from 2024-01-02 on."""
    days = wv.demo_market(symbols=["ALFA"], end="2024-04-30").sessions.frame["session"]
    rows = [(day, close) for day, close in zip(days, values, strict=False) if close is not None]
    frame = pl.DataFrame(rows, schema={"session": pl.Date, "close": pl.Float64}, orient="row")
    prices = [pl.col("close").alias(name) for name in ("open", "high", "low")]
    bars = frame.with_columns(pl.lit("ACME").alias("underlying"), *prices, volume=1)
    last = days[len(values)]
    quote = quotes_of((30, "P", 100.0, 0.2)).with_columns(
        session=last, symbol=pl.lit(symbol(100, "P", "240719", "ACME"))
    )
    return wv.Market(option_quotes=quote, underlying_bars=bars)


# a widely printed example of Wilder's method over 14 sessions
CLOSES: list[float | None] = [
    44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08,
    45.89, 46.03, 45.61, 46.28, 46.28, 46.00, 46.03, 46.41, 46.22, 45.64,
]  # fmt: skip
RSI = [70.46, 66.25, 66.48, 69.35, 66.29, 57.92]


def test_rsi_is_the_printed_one() -> None:
    found = wv.signals.rsi(one_of(CLOSES))["rsi"].to_list()
    assert found[:15] == [None] * 15
    assert [round(value, 2) for value in found[15:]] == RSI


def test_rsi_begins_anew_after_a_missing_close_and_needs_a_change() -> None:
    found = wv.signals.rsi(one_of([1.0, 2.0, 3.0, None, 4.0, 5.0, 4.5, 4.5]), sessions=2)["rsi"]
    # changes: 1 1 - - 1 -0.5 0; a mean of two, and half of the old and half of the new from there
    expected = [None, None, None, 100.0, None, None, None, 100 * 0.5 / 0.75, 100 * 0.25 / 0.375]
    assert found.to_list() == [None if e is None else pytest.approx(e) for e in expected]
    assert wv.signals.rsi(one_of([1.0] * 6), sessions=2)["rsi"].count() == 0


def test_equal_closes_have_no_bands_and_no_volatility() -> None:
    market = one_of([1.1] * 8)
    bands = wv.signals.bollinger_percent_b(market, sessions=5)
    assert bands["bollinger_percent_b"].count() == 0
    assert wv.signals.realized_vol(market, 5)["realized_vol"].drop_nulls().to_list() == [0.0] * 3


@pytest.mark.parametrize(("numerator", "denominator"), [(4, 1), (1, 8)])
def test_closes_are_compared_across_splits(numerator: int, denominator: int) -> None:
    """A split changes no return and no band, and averages are in the shares of their session."""
    values: list[float] = [100.0, 101.0, 99.0, 102.0, 103.0, 101.5, 104.0, 103.5]
    ratio, ex = numerator / denominator, 4
    plain = one_of([*values])
    shared = one_of([v if i < ex else v / ratio for i, v in enumerate(values)])
    days = plain.sessions.frame["session"]
    row = {"underlying": ["ACME"], "ex_date": [days[ex]], "numerator": [numerator], "denominator": [denominator]}  # fmt: skip
    split = wv.Market(
        option_quotes=shared.option_quotes,
        underlying_bars=shared.underlying_bars,
        splits=pl.DataFrame(row),
    )
    for name in ("realized_vol", "bollinger_percent_b", "rsi"):
        expected, found = (getattr(wv.signals, name)(m, 3)[name] for m in (plain, split))
        assert found.to_list() == [None if e is None else pytest.approx(e) for e in expected]
    expected, found = (wv.signals.sma(m, 3)["sma"].to_list() for m in (plain, split))
    later = [e if e is None or i < ex else e / ratio for i, e in enumerate(expected)]
    assert found == [None if e is None else pytest.approx(e) for e in later]


# ---- calendars


def left_out(market: wv.Market, dates: Any, **arguments: Any) -> dict[str, list[str]]:
    """By underlying, the sessions that `avoid` leaves out."""
    kept = wv.signals.avoid(market, dates, **arguments)
    every = market.sessions.frame["session"]
    found = {}
    for name in market.symbols:
        free = set(kept.filter(underlying=name)["session"])
        found[name] = [str(day) for day in every if day not in free]
    return found


def test_sessions_around_dates_are_left_out() -> None:
    market = demo(end="2024-01-31")
    # 2024-01-15 is a holiday, the 13th and 14th a weekend; the data end on the 31st
    given = {"ALFA": ["2024-01-10", dt.date(2024, 2, 2)], "OTHER": ["2024-01-03"]}
    assert left_out(market, given, before=2, after=1) == {
        "ALFA": ["2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11", "2024-01-31"],
        "CHRL": [],
    }
    assert left_out(market, ["2024-01-14"], before=1, after=1)["CHRL"] == ["2024-01-12", "2024-01-16"]  # fmt: skip
    assert left_out(market, ["2024-01-14"])["CHRL"] == []
    assert left_out(market, ["2023-12-29"], after=2)["ALFA"] == ["2024-01-02", "2024-01-03"]
    frame = pl.DataFrame({"underlying": ["CHRL", None], "date": [dt.date(2024, 1, 10)] * 2})
    assert left_out(market, frame) == {"ALFA": [], "CHRL": ["2024-01-10"]}
    assert left_out(market, []) == {"ALFA": [], "CHRL": []}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda m: wv.signals.sma(m, 0), "sessions = 0: expected a whole number from 1 on"),
        (lambda m: wv.signals.sma(m, 2.5), "sessions = 2.5: expected a whole number"),
        (lambda m: wv.signals.rsi(m, True), "sessions = True"),
        (lambda m: wv.signals.realized_vol(m, 1), "sessions = 1: expected a whole number from 2"),
        (lambda m: wv.signals.sma(m, symbols="AFLA"), "unknown symbol 'AFLA'.*'ALFA'"),
        (lambda m: wv.signals.iv_rank(m, symbols=["ALFA", "X"]), "unknown symbol 'X'"),
        (lambda m: wv.signals.iv_index(m, days=0), "days = 0: expected a whole number from 1 on"),
        (lambda m: wv.signals.bollinger_percent_b(m, width=0), "width = 0: expected a number above"),
        (lambda m: wv.signals.avoid(m, "2024-01-10"), "expected a list of dates, a mapping or a"),
        (lambda m: wv.signals.avoid(m, ["soon"]), "dates = 'soon': expected a date"),
        (lambda m: wv.signals.avoid(m, {"X": ["2024-01-10"]}), "none of which is among"),
        (lambda m: wv.signals.avoid(m, [], before=-1), "before = -1: expected a whole number from 0"),
        (lambda m: wv.signals.avoid(m, pl.DataFrame({"day": []})), "lacks the column 'underlying'"),
    ],
)  # fmt: skip
def test_arguments_are_checked(call: Callable[[wv.Market], Any], expected: str) -> None:
    with pytest.raises(wv.InputError, match=expected):
        call(demo(end="2024-01-31"))


@pytest.mark.parametrize("given", ["lake/", None, pl.DataFrame()])
def test_what_is_no_market_is_said(given: Any) -> None:
    kind = type(given).__name__
    for name in wv.signals.__all__:
        dates = [["2024-01-10"]] if name == "avoid" else []
        with pytest.raises(wv.InputError, match=f"market is a {kind}: expected a wheelvec.Market"):
            getattr(wv.signals, name)(given, *dates)


# ---- as signals


def test_a_figure_restricts_a_backtest_and_a_sweep() -> None:
    market = demo()
    high = wv.signals.iv_rank(market, sessions=20).filter(pl.col("iv_rank") > 0.5)
    calm = wv.signals.realized_vol(market, sessions=10).filter(pl.col("realized_vol") < 0.3)
    config = wv.Config()
    sweep = wv.sweep(
        market, config, {"signal": ["high", "calm", None]}, signals={"high": high, "calm": calm}
    )
    for name, frame in (("high", high), ("calm", calm)):
        result = wv.backtest(market, config, when=frame)
        pairs = result.wheels.select("underlying", session="entry_date")
        assert pairs.height > 0
        assert pairs.join(frame, on=["session", "underlying"], how="anti").height == 0
        row = sweep.frame.filter(signal=name)
        assert row["total_wheels"].item() == result.summary()["total_wheels"]
    free = wv.signals.avoid(market, ["2024-03-20"], before=3, after=1)
    entries = wv.backtest(market, config, when=free).wheels["entry_date"]
    assert not entries.is_between(dt.date(2024, 3, 15), dt.date(2024, 3, 21)).any()
