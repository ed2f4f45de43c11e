"""A small result, account, sweep and market, made once, for the tests of charts and pages; and a verdict."""

from functools import cache

import numpy as np

import wheelvec as wv
from tests import docs_verdict
from wheelvec.inference import lines
from wheelvec.inference.judged import Verdict
from wheelvec.inference.trials import Trials
from wheelvec.inference.tried import Tried


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


@cache
def trials() -> Trials:
    """Of a simulated sweep without an edge."""
    returns = docs_verdict.rocs(3, 0.0)
    shape = docs_verdict.MONTHS, docs_verdict.MONTH, -1
    return wv.effective_trials(np.reshape(returns, shape).mean(axis=1), prior_trials=7)


@cache
def verdict() -> Verdict:
    """The lines of time and selection of a simulated sweep, and one that cannot be said."""
    found = docs_verdict.judged(docs_verdict.rocs(3, 0.0))
    unsaid = lines.unsaid(*lines.STOCK, "needs an <account>")
    tried = Tried(80, 40, 7, trials().effective_rank, 3, 60, 1260, 900.0, 20.0, 45.0)
    fields = {"put.exit_pct": 0.25}
    return Verdict(3, fields, "as given", tried, (*found, unsaid), trials())
