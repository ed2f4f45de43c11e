"""A sweep over three years of one invented underlying, shared by the tests of the package."""

import pytest

import wheelvec as wv

GRID = {
    "put.exit_pct": [0.25, 0.5, 0.75],
    "put.stop_loss_multiplier": [1.5, None],
    ("put.delta_min", "put.delta_max"): [(0.15, 0.25), (0.25, 0.35)],
    "fills.execution_seed": [1, 2],
}


@pytest.fixture(scope="session")
def market() -> wv.Market:
    return wv.demo_market(symbols=["BRVO"], start="2022-01-03", end="2025-03-31")


@pytest.fixture(scope="session")
def config() -> wv.Config:
    return wv.Config(
        schedule=wv.Schedule(every=2, max_wheels_per_symbol_per_day=1),
        put=wv.PutRules(dte_max=40),
        call=wv.CallRules(dte_min=5, dte_max=12),
    )


@pytest.fixture(scope="session")
def swept(market: wv.Market, config: wv.Config) -> wv.Sweep:
    return wv.sweep(market, config, GRID)


@pytest.fixture(scope="session")
def result(swept: wv.Sweep) -> wv.Result:
    return swept.result(0)


@pytest.fixture(scope="session")
def portfolio(result: wv.Result) -> wv.Portfolio:
    return wv.simulate(result, wv.Account(cash=100_000))
