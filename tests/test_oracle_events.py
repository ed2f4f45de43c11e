"""Corporate events in the oracle: known successors, and invariants."""

import datetime as dt
from fractions import Fraction
from typing import Any

import pytest

from tests.oracle import event_markets, events, markets, wheel
from tests.random_markets import same

DAY = dt.date(2021, 10, 5)


@pytest.mark.parametrize(
    ("ratio", "strikes"),
    [
        (3, {195: 65.00, 200: 66.67, 220: 73.33, 230: 76.67, 260: 86.67}),  # ISRG 2021-10-05
        (3, {890: 296.67, 170: 56.67}),  # TSLA 2022-08-25, WMT 2024-02-26
        (4, {400: 100.00}),  # AAPL 2020-08-31
        (5, {1500: 300.00}),  # TSLA 2020-08-31
        (20, {2447: 122.35}),  # AMZN 2022-06-06
        (8, {17: 2.13}),  # 2.125: half a cent goes up
    ],
)
def test_successors_of_real_splits(ratio: int, strikes: dict[float, float]) -> None:
    split = events.Event(DAY, events.SPLIT, n=ratio)
    for strike, expected in strikes.items():
        symbol = markets.osi("AAPL", dt.date(2021, 11, 19), "P", strike)
        after = events.successor(symbol, split)
        assert after == markets.osi("AAPL", dt.date(2021, 11, 19), "P", expected)


def test_successors_of_renames_and_special_dividends() -> None:
    renamed = events.Event(DAY, events.SPLIT, new_underlying="BRK.B")
    assert events.successor("FB    220617C00200000", renamed) == "BRKB  220617C00200000"
    paid = events.Event(DAY, events.SPECIAL, amount=2.495)
    assert events.successor("SPY   220617C00450000", paid) == "SPY   220617C00447510"
    assert events.half_up(Fraction(5, 2)) == 3


def without_costs(seed: int) -> dict[str, Any]:
    """A configuration whose dollars do not depend on how many contracts there are."""
    sections = event_markets.random_event_config(seed, "ledger")
    sections["costs"] = {"commission_per_contract": 0.0, "sec_fee_per_contract": 0.0}
    sections["fills"]["tick"] = 0.0
    sections["liquidity"]["min_bid_hard"] = 0.0
    sections["put"]["early_assignment"] = sections["call"]["early_assignment"] = "none"
    sections["call"] |= {"tie_break_method": "closest_delta", "premium_target": None}
    return sections


@pytest.mark.parametrize(("ratio", "renamed"), [(1, "META"), (2, None), (4, "META"), (10, None)])
def test_a_carried_split_changes_no_dollar(ratio: int, renamed: str | None) -> None:
    """Prices a multiple of the ratio, so that nothing is rounded; wheels opened before the event."""
    met = 0
    for seed in range(300, 304):
        frame = event_markets.event_frame(seed)
        frame.underlyings = frame.underlyings[:1]
        underlying, day = frame.underlyings[0], frame.sessions[len(frame.sessions) // 2]
        base = markets.random_market(seed, frame)
        base.pop("dividends", None)
        market = event_markets.market_of(base)
        scaled(market, underlying, ratio)
        before = event_markets.tables_of(market, base)
        split = event_markets.Happening("split", underlying, day, ratio, new_underlying=renamed)
        event_markets.happen(market, split, exact=True)
        row = {"underlying": underlying, "ex_date": day, "numerator": ratio, "denominator": 1}
        market.splits.append(row | {"new_underlying": renamed})
        after = event_markets.tables_of(market, base)
        sections = without_costs(seed)
        sections["schedule"] |= {"symbols": None, "end_date": wheel.calendar_of("NYSE").before(day)}
        sections["schedule"]["start_date"] = frame.sessions[0]
        one, other = wheel.run(before, sections), wheel.run(after, sections)
        assert len(one["records"]) == len(other["records"])
        for left, right in zip(one["records"], other["records"], strict=True):
            for name in ("pnl", "premium", "exit_price", "pnl_marked", "csp_pnl", "cc_pnl",
                         "stock_pnl", "exit_reason", "end_reason", "exit_date", "touch_count",
                         "u_fill_profit_target", "sessions_without_bar", "censored"):  # fmt: skip
                assert same(left[name], right[name]), (seed, name, left, right)
        met += other["summary"]["carried_wheels"]
    assert met > 0


def scaled(market: event_markets.Market, underlying: str, ratio: int) -> None:
    """All prices and strikes of a market times a whole number."""
    for rows in market.rows.values():
        for row in rows:
            for name in (*event_markets.PRICES, "strike"):
                if row.get(name) is not None:
                    row[name] *= ratio
            parts = event_markets.parsed(row["symbol"]) if "symbol" in row else None
            if parts is not None:
                row["symbol"] = f"{row['symbol'][:13]}{parts[3] * ratio:08d}"


def test_cash_sums_to_pnl_across_events() -> None:
    """Section 8, ledger rules: in random markets with events of every kind."""
    wheels = 0
    for seed in range(15):
        tables = event_markets.random_event_market(seed)
        result = wheel.run(tables, event_markets.random_event_config(seed, "ledger"))
        cash: dict[str, float] = {}
        for entry in result["ledger"]:
            cash[entry["wheel_id"]] = cash.get(entry["wheel_id"], 0.0) + entry["amount"]
        for row in result["records"]:
            if row["phase"] == "total" and row["pnl"] is not None:
                assert abs(cash[row["wheel_id"]] - row["pnl"]) < 1e-6, (seed, row)
                wheels += 1
    assert wheels > 100
