"""Corporate events in backtests and sweeps of small made-up markets (rules.md, section 12)."""

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import wheelvec as wv
from wheelvec.tables.sessions import Sessions

FREE = wv.Costs(commission_per_contract=0.0, sec_fee_per_contract=0.0)
# One put is sold, whatever it is; nothing but its settlement, or an event, ends it.
RULES = wv.Config(
    put=wv.PutRules(
        dte_min=1,
        dte_max=60,
        delta_min=0.0,
        delta_max=1.0,
        exit_pct=0.001,
        stop_loss_multiplier=None,
    ),
    call=wv.CallRules(dte_min=1, dte_max=60, delta_min=0.0, delta_max=1.0),
    liquidity=wv.Liquidity(hard_max_spread_pct=10.0, min_bid_hard=0.0),
    fills=wv.Fills(use_probabilistic_exit_fills=False, tick=0.0),
    costs=FREE,
)


def days(first: str, last: str) -> list[dt.date]:
    """The sessions between two days."""
    loaded = Sessions.load("NYSE", dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    return loaded.frame["session"].to_list()


def osi(root: str, expiration: dt.date, kind: str, strike: float) -> str:
    return f"{root:<6}{expiration:%y%m%d}{kind}{round(strike * 1000):08d}"


class Tables:
    """The rows of a market."""

    def __init__(self) -> None:
        self.quotes: list[dict[str, Any]] = []
        self.bars: list[dict[str, Any]] = []
        self.closes: list[dict[str, Any]] = []
        self.splits: list[dict[str, Any]] = []
        self.dividends: list[dict[str, Any]] = []

    def quote(self, name: str, day: dt.date, symbol: str, mid: float, spot: float) -> None:
        self.quotes.append(
            {
                "underlying": name, "session": day, "symbol": symbol, "bid": mid * 0.99,
                "ask": mid * 1.01, "underlying_price": spot,
            }
        )  # fmt: skip

    def bar(self, day: dt.date, symbol: str, price: float) -> None:
        ohlc = dict.fromkeys(("open", "high", "low", "close"), price)
        self.bars.append({"symbol": symbol, "session": day, **ohlc, "volume": 1})

    def close(self, name: str, day: dt.date, price: float) -> None:
        ohlc = dict.fromkeys(("open", "high", "low", "close"), price)
        self.closes.append({"underlying": name, "session": day, **ohlc, "volume": 1})

    def split(
        self, name: str, day: dt.date, new: int, old: int, renamed: str | None = None
    ) -> None:
        row = {"underlying": name, "ex_date": day, "numerator": new, "denominator": old}
        self.splits.append(row | {"new_underlying": renamed})

    def special(self, name: str, day: dt.date, amount: float, special: bool = True) -> None:
        self.dividends.append(
            {"underlying": name, "ex_date": day, "amount": amount, "special": special}
        )

    def market(self) -> wv.Market:
        given = {"option_bars": self.bars, "splits": self.splits, "dividends": self.dividends}
        return wv.Market(
            option_quotes=pl.DataFrame(self.quotes),
            underlying_bars=pl.DataFrame(self.closes),
            **{
                name: pl.DataFrame(rows, infer_schema_length=None)
                for name, rows in given.items()
                if rows
            },
        )


def run(tables: Tables, config: wv.Config = RULES) -> wv.Result:
    """A backtest that is valid, and equal to the sweep of its one configuration."""
    market = tables.market()
    result = wv.backtest(market, config)
    result.validate()
    frame = wv.sweep(market, config, {"put.exit_pct": [config.put.exit_pct]}).frame
    figures = result.summary()
    assert {name: frame[name][0] for name in figures} == figures
    return result


def one(result: wv.Result, phase: str = "csp") -> dict[str, Any]:
    (row,) = result.records.filter(pl.col("phase") == phase).to_dicts()
    return row


def carried_put(
    name: str, ex_date: str, new: int, strike: float, after: float, close: float,
    renamed: str | None = None,
) -> Tables:  # fmt: skip
    """A put sold two sessions before a split, which expires in the second week after it.

    Args:
        name: the underlying.
        ex_date: of the split.
        new: shares for one.
        strike: of the put.
        after: the strike of its successor.
        close: of the underlying before the split.
        renamed: the name of the underlying after it.
    """
    day = dt.date.fromisoformat(ex_date)
    sessions = days(str(day - dt.timedelta(days=9)), str(day + dt.timedelta(days=15)))
    at = sessions.index(day)
    friday = next(s for s in sessions[at + 5 :] if s.isoweekday() == 5)
    tables, successor = Tables(), osi(renamed or name, friday, "P", after)
    old = osi(name, friday, "P", strike)
    tables.split(name, day, new, 1, renamed)
    for session in sessions:
        before = session < day
        called = name if before or renamed is None else renamed
        tables.close(called, session, close if before else round(close / new, 2))
        if session == sessions[at - 2]:
            tables.quote(called, session, old, max(0.0, strike - close) + 0.02 * strike, close)
        if session in (sessions[at - 1], sessions[at + 1]):
            price = 0.015 * (strike if before else strike / new)
            tables.bar(session, old if before else successor, price)
    return tables


@pytest.mark.parametrize(
    ("name", "ex_date", "new", "close", "strike", "after"),
    [
        ("ISRG", "2021-10-05", 3, 970.0, 195.0, 65.00),
        ("ISRG", "2021-10-05", 3, 970.0, 200.0, 66.67),
        ("ISRG", "2021-10-05", 3, 970.0, 220.0, 73.33),
        ("ISRG", "2021-10-05", 3, 970.0, 230.0, 76.67),
        ("ISRG", "2021-10-05", 3, 970.0, 260.0, 86.67),
        ("AAPL", "2020-08-31", 4, 499.23, 400.0, 100.00),
        ("TSLA", "2020-08-31", 5, 2213.40, 1500.0, 300.00),
        ("TSLA", "2022-08-25", 3, 891.29, 890.0, 296.67),
        ("AMZN", "2022-06-06", 20, 2447.00, 2447.0, 122.35),
        ("NVDA", "2024-06-10", 10, 1208.88, 1208.0, 120.80),
        ("WMT", "2024-02-26", 3, 175.56, 170.0, 56.67),
    ],
)
def test_real_splits(
    name: str, ex_date: str, new: int, close: float, strike: float, after: float
) -> None:
    result = run(carried_put(name, ex_date, new, strike, after, close))
    leg = one(result)
    expiration = leg["expiration"]
    assert (leg["contracts"], leg["factor"]) == (1, new)
    assert leg["symbol"] == osi(name, expiration, "P", strike)
    assert leg["exit_symbol"] == osi(name, expiration, "P", after)
    assigned = round(close / new, 2) < after
    assert leg["exit_reason"] == ("assigned" if assigned else "expired_worthless")
    assert leg["underlying_at_expiration"] == round(close / new, 2)
    assert result.summary()["carried_wheels"] == 1
    if assigned:
        total = one(result, "total")
        assert total["shares_held"] == 100 * new
        cash = result.ledger.filter(pl.col("entry") == "share_purchase")["amount"].to_list()
        assert cash == pytest.approx([-100 * new * after])


def test_paths_show_the_contract_of_the_day_at_its_own_prices() -> None:
    result = run(carried_put("AAPL", "2020-08-31", 4, 400.0, 100.0, 499.23))
    leg, paths = one(result), result.paths
    assert paths["symbol"].to_list() == [leg["exit_symbol"], leg["symbol"], leg["symbol"]]
    assert paths["close"].to_list() == [1.5, None, 6.0]
    assert result.underlying["close"].to_list()[-1] == 124.81


def test_facebook_is_meta_from_the_day_of_its_rename() -> None:
    tables = carried_put("FB", "2022-06-09", 1, 200.0, 200.0, 190.0, renamed="META")
    result = run(tables, wv.Config.from_dict({**RULES.to_dict(), "schedule": {"symbols": ["FB"]}}))
    leg, total = one(result), one(result, "total")
    assert leg["exit_symbol"] == osi("META", leg["expiration"], "P", 200.0)
    assert (leg["exit_reason"], leg["factor"]) == ("assigned", 1)
    # the shares are sold at the close of META, of which no call is quoted
    assert (total["underlying"], total["end_reason"]) == ("FB", "no_call_quotes")
    assert total["stock_pnl"] == pytest.approx((190.0 - 200.0) * 100)
    assert not total["censored"]
    # FB has not ended, it has another name; there are quotes of one session alone
    assert {w.code for w in result.warnings} == {"outside_data"}


def test_general_electric_is_not_carried_through_its_reverse_split() -> None:
    tables, sessions = Tables(), days("2021-07-26", "2021-08-20")
    put = osi("GE", dt.date(2021, 8, 20), "P", 13.0)
    tables.split("GE", dt.date(2021, 8, 2), 1, 8)
    for session in sessions:
        after = session >= dt.date(2021, 8, 2)
        tables.close("GE", session, 103.60 if after else 12.95)
        if not after:
            tables.quote("GE", session, put, 0.50, 12.95)
        tables.bar(session, put, 0.60 if not after else 9.00)  # another contract of that symbol
    result = run(tables)
    legs = result.records.filter(pl.col("phase") == "csp")
    eve = dt.date(2021, 7, 30)
    assert legs["entry_date"].to_list() == days("2021-07-26", "2021-07-29")
    assert legs["exit_date"].to_list() == [eve] * 4
    assert legs["exit_reason"].unique().to_list() == ["corporate_action"]
    assert legs["exit_price"].to_list() == pytest.approx([60.0] * 4)
    outcomes = dict(result.diagnostics.select("session", "outcome").iter_rows())
    assert outcomes[eve] == "corporate_action"
    assert result.summary()["carried_wheels"] == 0


def test_a_spin_off_is_given_as_its_ratio_of_closes() -> None:
    tables, sessions = Tables(), days("2022-04-04", "2022-04-22")
    put, event = osi("T", dt.date(2022, 4, 22), "P", 24.0), dt.date(2022, 4, 11)
    tables.split("T", event, 1324, 1000)
    for session in sessions:
        tables.close("T", session, 24.0 if session < event else 18.13)
    tables.quote("T", sessions[0], put, 0.50, 24.0)
    tables.bar(sessions[0], put, 0.50)
    # no bar on the eve: the quote of the eve, realistic: min(0.808, 0.80 + 0.30 * 0.016)
    tables.quote("T", dt.date(2022, 4, 8), put, 0.80, 24.0)
    leg = one(run(tables))
    assert (leg["exit_date"], leg["exit_reason"]) == (dt.date(2022, 4, 8), "corporate_action")
    assert leg["exit_price"] == pytest.approx(80.48)
    assert leg["sessions_without_bar"] == 4  # the quote does not make the eve one with a bar


def test_a_special_dividend_lowers_the_strike_and_is_paid_on_shares() -> None:
    tables, sessions = Tables(), days("2023-06-06", "2023-07-07")
    put = osi("ACME", dt.date(2023, 6, 16), "P", 100.0)
    tables.special("ACME", dt.date(2023, 6, 12), 2.505)
    tables.special("ACME", dt.date(2023, 6, 20), 1.0)  # the session after the settlement
    for session in sessions:
        tables.close("ACME", session, 97.49)
    tables.quote("ACME", sessions[0], put, 3.0, 100.0)
    tables.bar(sessions[0], put, 3.0)
    result = run(tables)
    leg = one(result)
    # 100 - 2.505 = 97.495, half up 97.50
    assert leg["exit_symbol"] == osi("ACME", dt.date(2023, 6, 16), "P", 97.50)
    assert (leg["exit_reason"], leg["factor"]) == ("assigned", 1)
    total = one(result, "total")
    assert total["stock_pnl"] == pytest.approx((97.49 - 97.50) * 100 + 100.0)
    assert total["carried"]


def suspected() -> Tables:
    """A split of 4 for 1 that no row explains, on 2023-06-14; a put is open across it."""
    tables, sessions = Tables(), days("2023-06-06", "2023-07-07")
    event, friday = dt.date(2023, 6, 14), dt.date(2023, 7, 7)
    for session in sessions:
        before = session < event
        spot = 200.0 if before else 50.0
        tables.close("ACME", session, spot)
        for strike in (180.0, 190.0, 200.0, 210.0) if before else (45.0, 47.5, 50.0, 52.5):
            symbol = osi("ACME", friday, "P", strike)
            tables.quote("ACME", session, symbol, max(1.0, strike - spot + 2.0), spot)
            tables.bar(session, symbol, max(1.0, strike - spot + 2.0))
    return tables


def test_a_suspected_split_leaves_wheels_unresolved_and_is_warned_of() -> None:
    tables = suspected()
    config = wv.Config.from_dict(
        {
            **RULES.to_dict(),
            "schedule": {"end_date": dt.date(2023, 6, 20), "max_wheels_per_symbol_per_day": 1},
        }
    )
    result = run(tables, config)
    legs = result.records.filter(pl.col("phase") == "csp")
    before = legs.filter(pl.col("entry_date") < dt.date(2023, 6, 14))
    assert before["exit_reason"].unique().to_list() == ["suspected_split"]
    assert before["pnl"].null_count() == before.height == 6  # on the eve as on any day
    assert set(legs.filter(pl.col("entry_date") >= dt.date(2023, 6, 14))["exit_reason"]) == {
        "expired_worthless"
    }
    figures = result.summary()
    assert (figures["suspected_wheels"], figures["no_data_wheels"]) == (6, 6)
    worst = sum(row["premium"] - row["initial_capital"] for row in before.to_dicts())
    assert figures["total_pnl_worst"] == pytest.approx(figures["total_pnl"] + worst)
    (warning,) = [w for w in result.warnings if w.code == "suspected_split"]
    assert "2023-06-14" in warning.text
    assert "4" in warning.text


def test_a_row_explains_a_suspicion() -> None:
    nothing = suspected()
    nothing.split("ACME", dt.date(2023, 6, 14), 1, 1)
    result = run(nothing)
    assert result.summary()["suspected_wheels"] == 0
    assert result.records["factor"].drop_nulls().unique().to_list() == [1]
    stated = suspected()
    stated.split("ACME", dt.date(2023, 6, 14), 4, 1)
    result = run(stated)
    assert result.summary()["suspected_wheels"] == 0
    assert sorted(result.records["factor"].drop_nulls().unique()) == [1, 4]


def test_rows_that_say_that_nothing_happened_change_nothing() -> None:
    market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-03-28")
    rows = pl.DataFrame(
        {
            "underlying": ["ALFA"],
            "ex_date": [dt.date(2024, 2, 1)],
            "numerator": [1],
            "denominator": [1],
        }
    )
    stated = wv.Market(
        option_quotes=market.option_quotes, option_bars=market.option_bars,
        underlying_bars=market.underlying_bars, splits=rows,
    )  # fmt: skip
    assert_frame_equal(wv.backtest(stated).records, wv.backtest(market).records)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    new=st.sampled_from([2, 3, 4, 7, 10, 20]),
    strike=st.integers(60, 1500),
    moved=st.integers(-400, 400),
    at=st.integers(1, 14),
)
def test_dollars_are_conserved_across_a_split(new: int, strike: int, moved: int, at: int) -> None:
    """Within half a cent times the shares: strikes after a split are whole cents."""
    sessions = days("2023-06-06", "2023-07-05")
    friday = dt.date(2023, 6, 23)
    worth = []
    for split in (False, True):
        tables, event = Tables(), sessions[at]
        after = (200 * strike + new) // (2 * new) / 100  # half up
        if split:
            tables.split("ACME", event, new, 1)
        for i, session in enumerate(sessions):
            n = new if split and session >= event else 1
            symbol = osi("ACME", friday, "P", after if n > 1 else float(strike))
            cents = round(100 * (strike + moved * 0.001 * i * strike / 40)) // new * new
            tables.close("ACME", session, cents // n / 100)
            if session <= friday:
                tables.bar(session, symbol, 0.02 * strike / n)
            if i == 0:
                tables.quote("ACME", session, symbol, 0.03 * strike, float(strike))
        worth.append(one(run(tables), "total"))
    plain, carried = worth
    assert abs(carried["pnl"] - plain["pnl"]) <= 0.005 * 100 * new + 1e-6
    assert carried["csp_pnl"] == pytest.approx(plain["csp_pnl"])
