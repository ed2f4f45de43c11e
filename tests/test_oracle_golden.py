"""The scalar reference implementation against the worked cases (more of them lie beside the
project, and may be absent).
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.oracle import pricer, wheel

HERE = Path(__file__).parent / "golden"
GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"  # more of them, where they are
CASES = {
    path.parent.name: path.parent
    for root in (HERE, GOLDEN)
    for path in sorted(root.glob("*/config.json"))
}
REAL = HERE / "tsla_2023-06-06.csv"
RENAMED = {"p_fill": "p_fill_profit_target", "u_fill": "u_fill_profit_target"}


@lru_cache(maxsize=2)
def tables_of(case: str) -> dict[str, pl.DataFrame]:
    """The tables of a case."""
    names = ("option_quotes", "option_bars", "underlying_bars", "splits", "dividends")
    return {
        name: pl.read_parquet(path)
        for name in names
        if (path := CASES[case] / f"{name}.parquet").is_file()
    }


@cache
def result_of(case: str, rules: str) -> dict[str, Any]:
    """The answer of the reference to a case."""
    config = json.loads((CASES[case] / "config.json").read_text())
    return wheel.run(tables_of(case), {**config, "rules": rules})


def same(got: Any, expected: Any) -> bool:
    """Figures to 1e-9 relative, everything else exactly."""
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-9)
    return type(got) is type(expected) and got == expected


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_golden_case(case: str, rules: str) -> None:
    """Records in order, column by column, and the summary."""
    result = result_of(case, rules)
    expected = pl.read_parquet(CASES[case] / f"expected_{rules}.parquet").rename(RENAMED).to_dicts()
    wrong = []
    for number, (got, row) in enumerate(zip(result["records"], expected, strict=False)):
        for name, value in row.items():
            if not same(got[name], value):
                wrong.append(
                    f"row {number} {row['wheel_id']} {row['phase']} {name}: {got[name]!r} != {value!r}"
                )
    assert not wrong, "\n".join([f"{len(wrong)} differences", *wrong[:40]])
    assert len(result["records"]) == len(expected)
    summary = json.loads((CASES[case] / f"summary_{rules}.json").read_text())
    for name, value in summary.items():
        assert same(result["summary"][name], value), (name, result["summary"][name], value)


@pytest.mark.parametrize("case", sorted(CASES))
def test_cash_sums_to_pnl(case: str) -> None:
    """Section 8: the cash ledger of a resolved wheel sums to its pnl to the cent."""
    result = result_of(case, "ledger")
    cash: dict[str, float] = {}
    for entry in result["ledger"]:
        cash[entry["wheel_id"]] = cash.get(entry["wheel_id"], 0.0) + entry["amount"]
    for row in result["records"]:
        if row["phase"] == "total" and row["pnl"] is not None:
            assert abs(cash[row["wheel_id"]] - row["pnl"]) < 0.005


def test_real_quotes() -> None:
    """Implied volatility, delta and entry price of the real quotes of 2023-06-06."""
    with REAL.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        _, expiration, kind, thousandths = pricer.parse_symbol(row["symbol"])
        bid, ask, spot, dte = (
            float(row["bid"]),
            float(row["ask"]),
            float(row["underlying_price"]),
            int(row["dte"]),
        )
        quote = wheel.Quote(
            "TSLA",
            dt.date(2023, 6, 6),
            row["symbol"],
            expiration,
            thousandths / 1000,
            kind,
            bid,
            ask,
            spot,
        )
        assert quote.dte == dte
        inputs = (spot, quote.strike, dte / 365, 0.04)
        vol = pricer.implied_vol(quote.mid, *inputs, kind == "C")
        if row["iv"]:
            assert vol == pytest.approx(float(row["iv"]), abs=1e-6)
            delta = pricer.absolute_delta(*inputs, vol, kind == "C")
            assert delta == pytest.approx(float(row["delta"]), abs=1e-6)
        if row["entry_price_realistic"]:
            price = wheel.entry_price(quote, 1.0, {"fill_mode": "realistic", "tick": 0.0})
            assert price == pytest.approx(float(row["entry_price_realistic"]), abs=1e-9)


def test_real_candidates() -> None:
    """The first seven real quotes are the day's candidates under the default rules, all of tier
    tight.
    """
    with REAL.open() as file:
        rows = list(csv.DictReader(file))
    quotes = pl.DataFrame(
        [
            {"underlying": "TSLA", "session": dt.date(2023, 6, 6), "symbol": row["symbol"]}
            | {name: float(row[name]) for name in ("bid", "ask", "underlying_price")}
            for row in rows
        ]
    )
    bars = pl.DataFrame(
        {name: [] for name in ("underlying", "session", "open", "high", "low", "close")},
        schema_overrides={"session": pl.Date},
    )
    config = {"schedule": {"start_date": "2023-06-06", "end_date": "2023-06-06"}}
    records = wheel.run({"option_quotes": quotes, "underlying_bars": bars}, config)["records"]
    puts = [row for row in records if row["phase"] == "csp"]
    assert [row["symbol"] for row in puts] == [row["symbol"] for row in rows[:7]]
    assert {row["liquidity_tier"] for row in puts} == {"tight"}
    assert sorted(row["ivp_entry"] for row in puts) == pytest.approx(
        [rank / 7 for rank in range(1, 8)]
    )
    assert next(row["ivp_entry"] for row in puts if row["symbol"] == "TSLA  230721P00200000") == 1.0


def test_draws() -> None:
    """The known answers of section 5."""
    tsla = ("TSLA  230707P00205000", dt.date(2023, 6, 6), 0)
    assert pricer.fill_draw(42, *tsla, 0) == 0.7548960935391251
    assert pricer.fill_draw(42, *tsla, 1) == 0.06863176789908831
    assert (
        pricer.fill_draw(2**63 + 7, "SPY   240119P00470500", dt.date(2023, 12, 15), 1, 3)
        == 0.4250202458300938
    )


def test_philox_known_answers() -> None:
    """The published vectors of Philox4x32-10."""
    ones = 0xFFFFFFFF
    assert pricer.philox4x32((0, 0, 0, 0), (0, 0)) == (
        0x6627E8D5,
        0xE169C58D,
        0xBC57AC4C,
        0x9B00DBD8,
    )
    assert pricer.philox4x32((ones,) * 4, (ones,) * 2) == (
        0x408F276D,
        0x41C83B0E,
        0xA20BC7C6,
        0x6D5451FD,
    )


def test_implied_vol_round_trip() -> None:
    """Prices of known volatilities give them back; outside the bounds there is none."""
    for volatility in (0.05, 0.2, 0.55, 1.4, 9.0):
        for strike in (80.0, 95.0, 100.0, 107.5, 130.0):
            for is_call in (False, True):
                inputs = (100.0, strike, 40 / 365, 0.03)
                price = pricer.black_scholes(*inputs, volatility, is_call, 0.01)
                lower, _ = pricer.price_bounds(*inputs, is_call, 0.01)
                if price - lower > 1e-6:
                    assert pricer.implied_vol(price, *inputs, is_call, 0.01) == pytest.approx(
                        volatility, rel=1e-9
                    )
    assert pricer.implied_vol(0.0, 100.0, 100.0, 0.1, 0.04, False) is None
    assert pricer.implied_vol(100.0, 100.0, 100.0, 0.1, 0.04, True) is None
    assert pricer.implied_vol(3.0, 100.0, 100.0, 0.0, 0.04, True) is None
    assert pricer.implied_vol(9.0, 100.0, 90.0, 0.1, 0.04, True) is None
