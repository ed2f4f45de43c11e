"""Against another stand-in, if it is there, that this project's authors did not write."""

import runpy
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.market.build import SHARED
from wheelvec.market.market import Market
from wheelvec.model.config import CallRules, Config, PutRules

GATEWAY = SHARED / "databento" / "gateway.py"
pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(not GATEWAY.is_file(), reason="the other stand-in is not here"),
]
CONFIG = Config(put=PutRules(dte_min=0, dte_max=3), call=CallRules(dte_min=0, dte_max=3))


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = set(sys.modules)
    module = runpy.run_path(str(GATEWAY))
    monkeypatch.setenv("DATABENTO_API_KEY", module["KEY"])
    with module["Gateway"]() as server:
        yield server
    for name in set(sys.modules) - before:
        del sys.modules[name]


def fetched(lake: Path, gateway: Any, **changes: Any) -> Any:
    given = {
        "symbols": ["TSLA", "BRK.B"],
        "start": "2023-07-03",
        "end": "2023-07-05",
        "config": CONFIG,
        "max_cost": 1.0,
    }
    return wv.fetch(
        lake=lake, gateway=gateway.url, **(given | {"entry_time": "close-15min"} | changes)
    )


def test_a_lake_is_fetched_paid_once_and_runs(gateway: Any, tmp_path: Path) -> None:
    done = fetched(tmp_path, gateway)
    assert done.paid == pytest.approx(done.cost) == pytest.approx(gateway.spent)
    assert fetched(tmp_path, gateway).cost == 0
    market = Market.open(tmp_path)
    assert market.diagnostics["reason"].unique().to_list() == ["missing_side"]
    wide = {
        "put.dte_max": 45,
        "put.delta_min": 0.1,
        "put.delta_max": 0.9,
        "schedule.entry_time": "close-15min",
    }
    run = wv.backtest(market, CONFIG.replace(**wide))
    run.validate()
    assert run.wheels.height > 0


def test_faults_leave_the_same_lake(gateway: Any, tmp_path: Path) -> None:
    for kind in ("429", "500", "503", "504", "reset", "truncate"):
        gateway.inject(kind, retry_after=0)
    gateway.inject("429", method="metadata.get_cost", retry_after=0)
    fetched(tmp_path / "faulty", gateway)
    assert gateway.faults == []
    fetched(tmp_path / "clean", gateway)
    assert (
        Market.open(tmp_path / "faulty").fingerprint == Market.open(tmp_path / "clean").fingerprint
    )


def test_quiet_contracts_come_with_a_look_back(gateway: Any, tmp_path: Path) -> None:
    fetched(tmp_path, gateway, symbols="TSLA", end="2023-07-03")
    few = Market.open(tmp_path).option_quotes
    fetched(tmp_path, gateway, symbols="TSLA", end="2023-07-03", look_back=10)
    more = Market.open(tmp_path).option_quotes
    assert more.n_unique(("session", "symbol")) > few.n_unique(("session", "symbol"))
    kept = more.join(few, on=few.columns, how="semi", nulls_equal=True)
    assert len(kept) == len(few)
    assert (
        pl.read_parquet(tmp_path / "quote_ages" / "**" / "*.parquet")["age_seconds"]
        .is_between(0, 600)
        .all()
    )
