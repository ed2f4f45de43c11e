"""Metrics and benchmarks of whole accounts: worked cases, and a plain loop over days."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.oracle import event_markets
from tests.random_markets import run

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden"
CASES = sorted(path.parent for path in GOLDEN.glob("account_*/metrics.json"))
TABLES = ("option_quotes", "option_bars", "underlying_bars", "splits", "dividends")


def simulated(folder: Path) -> wv.Portfolio:
    stated = json.loads((folder / "account.json").read_text())
    case = GOLDEN / stated["case"]
    found = {name: case / f"{name}.parquet" for name in TABLES}
    tables: Any = {name: pl.read_parquet(path) for name, path in found.items() if path.is_file()}
    config = json.loads((case / "config.json").read_text()) | {"rules": "ledger"}
    result = wv.backtest(wv.Market(**tables), wv.Config.from_dict(config))
    return wv.simulate(result, wv.Account(**stated["account"]))


def plain(portfolio: wv.Portfolio) -> dict[str, list[float]]:
    """Bought stock and delta-matched stock, day by day and share by share.

    A suspected split multiplies the shares by what makes the next close worth the last one.
    """
    start, rate = portfolio.account.cash, portfolio.account.rate
    assert isinstance(rate, float)
    sessions = portfolio.daily["session"].to_list()
    close = {(u, s): c for u, s, c in portfolio.underlying.iter_rows()}
    names = sorted({u for u, _ in close})
    happened = portfolio.events.to_dicts()
    equivalents = {
        (u, s): n for s, u, n in portfolio.deltas.select("session", "underlying", "shares").rows()
    }
    last: dict[str, float] = {}  # worth of a share as of the last session
    units = dict.fromkeys(names, 0.0)
    cash = dict.fromkeys(names, start / len(names))
    waiting = set()
    bought, matched, day_before = [], [start], sessions[0]
    for i, session in enumerate(sessions):
        earned = math.expm1(rate * (session - day_before).days / 365) if i else 0.0
        equity, gained, invested = matched[-1], 0.0, 0.0
        for u in names:
            here = [e for e in happened if e["underlying"] == u and e["session"] == session and i]
            ratio = math.prod(e["ratio"] for e in here if e["ratio"] is not None)
            paid = sum(e["amount"] for e in here if e["amount"] is not None)
            waiting |= {u for e in here if e["kind"] == "suspected" and u in last}
            now = close.get((u, session))
            if u in waiting and now is not None:
                ratio = last[u] / now
                waiting.remove(u)
            number = equivalents.get((u, day_before), 0.0) if u in last and i else 0.0
            worth = last.get(u, 0.0) if now is None else now * ratio
            gained += number * (worth - last.get(u, 0.0) + ratio * paid)
            invested += number * last.get(u, 0.0)
            cash[u] *= 1.0 + earned
            cash[u] += units[u] * ratio * paid
            units[u] *= ratio
            if now is not None:
                if u not in last:
                    units[u], cash[u] = cash[u] / now, 0.0
                last[u] = now
            elif u in last:
                last[u] /= ratio
        matched.append(equity + gained + (equity - invested) * earned)
        bought.append(sum(cash[u] + units[u] * last.get(u, 0.0) for u in names))
        day_before = session
    return {"buy_and_hold": bought, "delta_matched": matched[1:]}


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_a_worked_account_has_its_metrics_and_benchmarks(folder: Path) -> None:
    portfolio = simulated(folder)
    found = portfolio.metrics()
    for name, value in json.loads((folder / "metrics.json").read_text()).items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-9)), name
    for name, values in plain(portfolio).items():
        assert portfolio.benchmarks[name].to_list() == pytest.approx(values, rel=1e-10), name
    assert portfolio.metrics(of="cash")["volatility"] == 0.0
    assert portfolio.metrics(of="buy_and_hold")["beta_buy_and_hold"] == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(12))
def test_benchmarks_in_random_markets_with_events(seed: int) -> None:
    """Splits of every kind, renames, dividends and holes in the closes."""
    tables = event_markets.random_event_market(seed)
    result = run(tables, event_markets.random_event_config(seed, "ledger"))
    portfolio = wv.simulate(result, wv.Account(order="random", seed=seed, rate=0.05))
    for name, values in plain(portfolio).items():
        assert portfolio.benchmarks[name].to_list() == pytest.approx(values, rel=1e-9), name
    figures = portfolio.metrics()
    assert all(value is None or math.isfinite(value) for value in figures.values())
