"""The account against the worked cases: every column, every wheel and every figure."""

import json
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "golden"
CASES = sorted(path.parent for path in BESIDE.glob("account_*/account.json"))
TABLES = ("option_quotes", "option_bars", "underlying_bars", "splits", "dividends")
RELATIVE = {"drawdown": 1e-7, "exposure": 1e-7}  # half a cent of what an account holds


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_worked_account(folder: Path) -> None:
    stated = json.loads((folder / "account.json").read_text())
    case = BESIDE / stated["case"]
    tables = {
        name: pl.read_parquet(path)
        for name in TABLES
        if (path := case / f"{name}.parquet").is_file()
    }
    config = wv.Config.from_dict(json.loads((case / "config.json").read_text()))
    result = wv.backtest(wv.Market(**tables), config)  # type: ignore[arg-type]
    portfolio = wv.simulate(result, wv.Account(**stated["account"]))
    portfolio.validate()
    wheels = json.loads((folder / "wheels.json").read_text())
    taken = portfolio.wheels.filter(pl.col("taken") > 0).select("wheel_id", "taken")
    skipped = portfolio.wheels.filter(pl.col("taken") == 0).select("wheel_id", "reason")
    assert (dict(taken.rows()), dict(skipped.rows())) == (wheels["taken"], wheels["skipped"])
    expected, found = pl.read_parquet(folder / "daily.parquet"), portfolio.daily
    assert found["session"].to_list() == expected["session"].to_list()
    for name in expected.columns[1:]:
        assert (found[name] - expected[name]).abs().max() <= RELATIVE.get(name, 0.005), name
    figures = portfolio.metrics()
    for name, value in json.loads((folder / "metrics.json").read_text()).items():
        assert figures[name] == (value if value is None else pytest.approx(value, rel=1e-6)), name
