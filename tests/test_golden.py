"""The library against the worked cases: every record and figure, under both rule sets."""

import csv
import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from tests.random_markets import same

HERE = Path(__file__).parent / "golden"
BESIDE = Path(__file__).resolve().parents[2] / "shared" / "golden"  # more of them, where they are
CASES = {
    path.parent.name: path.parent
    for root in (HERE, BESIDE)
    for path in sorted(root.glob("*/config.json"))
}
RENAMED = {"p_fill": "p_fill_profit_target", "u_fill": "u_fill_profit_target"}


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("case", sorted(CASES))
def test_worked_case(case: str, rules: str) -> None:
    folder = CASES[case]
    names = ("option_quotes", "option_bars", "underlying_bars", "splits", "dividends")
    tables = {
        name: pl.read_parquet(path)
        for name in names
        if (path := folder / f"{name}.parquet").is_file()
    }
    market = wv.Market(**tables)  # type: ignore[arg-type]
    config = wv.Config.from_dict(
        {**json.loads((folder / "config.json").read_text()), "rules": rules}
    )
    result = wv.backtest(market, config)
    result.validate()
    expected = pl.read_parquet(folder / f"expected_{rules}.parquet").rename(RENAMED)
    assert result.records.height == expected.height
    found = result.records.select(expected.columns).to_dicts()
    wrong = [
        f"row {i} {name}: {row[name]!r}, expected {value!r}"
        for i, (row, right) in enumerate(zip(found, expected.to_dicts(), strict=True))
        for name, value in right.items()
        if not same(row[name], value)
    ]
    assert not wrong, "\n".join(wrong[:20])
    figures = result.summary()
    summary = json.loads((folder / f"summary_{rules}.json").read_text())
    assert {k: figures[k] for k in summary if not same(figures[k], summary[k])} == {}
    sweep = wv.sweep(market, config, {"put.exit_pct": [config.put.exit_pct]})
    assert {k: sweep.frame[k][0] for k in figures if sweep.frame[k][0] != figures[k]} == {}


def test_real_quotes_give_the_printed_volatilities_and_entries() -> None:
    rows = list(csv.DictReader((HERE / "tsla_2023-06-06.csv").read_text().splitlines()))
    quotes = pl.DataFrame(
        {
            "underlying": "TSLA",
            "session": dt.date(2023, 6, 6),
            "symbol": [row["symbol"] for row in rows],
            "bid": [float(row["bid"]) for row in rows],
            "ask": [float(row["ask"]) for row in rows],
            "underlying_price": 219.86,
        }
    )
    bars = pl.DataFrame({"underlying": ["TSLA"], "session": [dt.date(2023, 6, 6)]}).with_columns(
        open=219.0, high=222.0, low=217.0, close=221.31, volume=1
    )
    untouched = wv.Config(fills=wv.Fills(tick=0.0))  # the printed prices are on no tick
    records = wv.backtest(wv.Market(option_quotes=quotes, underlying_bars=bars), untouched).records
    legs = {row["symbol"]: row for row in records.filter(pl.col("phase") == "csp").to_dicts()}
    assert sorted(legs) == sorted(row["symbol"] for row in rows[:7])
    for row in rows[:7]:
        leg = legs[row["symbol"]]
        assert round(leg["premium"] / 100, 2) == float(row["entry_price_realistic"])
        assert leg["liquidity_tier"] == "tight"
        if row["iv"]:
            assert leg["iv_entry"] == pytest.approx(float(row["iv"]), abs=1e-6)
            assert leg["delta_entry"] == pytest.approx(float(row["delta"]), abs=1e-6)
    assert legs["TSLA  230721P00200000"]["ivp_entry"] == 1.0
