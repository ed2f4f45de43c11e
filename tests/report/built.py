"""A small result, account, sweep and market, made once, for the tests of charts and pages."""

from functools import cache

import wheelvec as wv


@cache
def market() -> wv.Market:
    return wv.demo_market(symbols=["BRVO", "CHRL"], start="2024-01-02", end="2024-04-30")


@cache
def result() -> wv.Result:
    config = wv.Config(schedule=wv.Schedule(end_date="2024-02-16"))
    return wv.backtest(market(), config)


@cache
def portfolio() -> wv.Portfolio:
    return wv.simulate(result(), wv.Account(cash=120_000, rate=0.04))


@cache
def sweep() -> wv.Sweep:
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12"))
    grid = {
        "put.exit_pct": [0.25, 0.5],
        "put.stop_loss_multiplier": [1.2, 2.0, None],
        "fills.execution_seed": [1, 2],
    }
    return wv.sweep(market(), config, grid)
