"""Backtests of the options wheel: cash-secured puts, then covered calls on assigned shares.

option_quotes, option_bars, underlying_bars               Polars frames
      |  Market: validates; sets invalid rows aside and counts them
      v
quotes -> chain -> puts -> exits -> calls -> wheels       one underlying at a time
      |  backtest(market, config)
      v
Result: records, wheels, ledger, summary(), diagnostics   Polars frames

sweep(market, config, grid) -> Sweep: the summaries of many configurations
"""

import importlib
from typing import TYPE_CHECKING, Any

from wheelvec.model import forks as _forks  # noqa: F401  (detects forks from now on)
from wheelvec.model.version import VERSION as __version__

if TYPE_CHECKING:
    from wheelvec.demo.synthetic import demo_market
    from wheelvec.inference.bands import bands
    from wheelvec.inference.blocks import block_length
    from wheelvec.inference.bootstrap import bootstrap
    from wheelvec.inference.overfitting import pbo
    from wheelvec.inference.ruin import ruin
    from wheelvec.inference.sharpe import deflated_sharpe
    from wheelvec.inference.sharpe_error import sharpe_error
    from wheelvec.inference.superior import spa
    from wheelvec.inference.trials import effective_trials
    from wheelvec.inference.verdict import verdict
    from wheelvec.inference.walk_forward import walk_forward
    from wheelvec.kernels.draws import fill_draw
    from wheelvec.lake.inspection import check
    from wheelvec.market.market import Market
    from wheelvec.model.account import Account
    from wheelvec.model.config import (
        CallRules,
        Config,
        Costs,
        Fills,
        Liquidity,
        Pricing,
        PutRules,
        Schedule,
    )
    from wheelvec.model.errors import (
        ConfigError,
        DataError,
        FetchError,
        InputError,
        InsufficientDataError,
        LakeError,
        RecordError,
        StateError,
        WheelvecError,
    )
    from wheelvec.pricing.black import black_scholes, delta
    from wheelvec.pricing.greeks import gamma, rho, theta, vega
    from wheelvec.pricing.implied import implied_vol
    from wheelvec.report import plots
    from wheelvec.report.pages.page import page
    from wheelvec.report.story import explain
    from wheelvec.report.why_not import why_not
    from wheelvec.run.backtest import backtest
    from wheelvec.run.bounds import bounds
    from wheelvec.run.results.portfolio import Portfolio
    from wheelvec.run.results.result import Result
    from wheelvec.run.results.sweep_result import Sweep
    from wheelvec.run.signals import indicators as signals
    from wheelvec.run.simulate import simulate
    from wheelvec.run.sweep import plan, sweep
    from wheelvec.vendors import indices, rates
    from wheelvec.vendors.databento.fetch import fetch
    from wheelvec.vendors.files.importing import import_files
    from wheelvec.vendors.free import get

# The module of each public name. It is imported when the name is first used, so that `import
# wheelvec` loads neither Numba nor the exchange calendars.
_MODULES = {
    "Account": "wheelvec.model.account",
    "CallRules": "wheelvec.model.config",
    "Config": "wheelvec.model.config",
    "ConfigError": "wheelvec.model.errors",
    "Costs": "wheelvec.model.config",
    "DataError": "wheelvec.model.errors",
    "FetchError": "wheelvec.model.errors",
    "Fills": "wheelvec.model.config",
    "InputError": "wheelvec.model.errors",
    "InsufficientDataError": "wheelvec.model.errors",
    "LakeError": "wheelvec.model.errors",
    "Liquidity": "wheelvec.model.config",
    "Market": "wheelvec.market.market",
    "Portfolio": "wheelvec.run.results.portfolio",
    "Pricing": "wheelvec.model.config",
    "PutRules": "wheelvec.model.config",
    "RecordError": "wheelvec.model.errors",
    "Result": "wheelvec.run.results.result",
    "Schedule": "wheelvec.model.config",
    "StateError": "wheelvec.model.errors",
    "Sweep": "wheelvec.run.results.sweep_result",
    "WheelvecError": "wheelvec.model.errors",
    "backtest": "wheelvec.run.backtest",
    "bands": "wheelvec.inference.bands",
    "black_scholes": "wheelvec.pricing.black",
    "block_length": "wheelvec.inference.blocks",
    "bootstrap": "wheelvec.inference.bootstrap",
    "bounds": "wheelvec.run.bounds",
    "check": "wheelvec.lake.inspection",
    "deflated_sharpe": "wheelvec.inference.sharpe",
    "delta": "wheelvec.pricing.black",
    "demo_market": "wheelvec.demo.synthetic",
    "effective_trials": "wheelvec.inference.trials",
    "explain": "wheelvec.report.story",
    "fetch": "wheelvec.vendors.databento.fetch",
    "fill_draw": "wheelvec.kernels.draws",
    "gamma": "wheelvec.pricing.greeks",
    "get": "wheelvec.vendors.free",
    "implied_vol": "wheelvec.pricing.implied",
    "import_files": "wheelvec.vendors.files.importing",
    "page": "wheelvec.report.pages.page",
    "pbo": "wheelvec.inference.overfitting",
    "plan": "wheelvec.run.sweep",
    "rho": "wheelvec.pricing.greeks",
    "ruin": "wheelvec.inference.ruin",
    "sharpe_error": "wheelvec.inference.sharpe_error",
    "simulate": "wheelvec.run.simulate",
    "spa": "wheelvec.inference.superior",
    "sweep": "wheelvec.run.sweep",
    "theta": "wheelvec.pricing.greeks",
    "vega": "wheelvec.pricing.greeks",
    "verdict": "wheelvec.inference.verdict",
    "walk_forward": "wheelvec.inference.walk_forward",
    "why_not": "wheelvec.report.why_not",
}
# The module that each public namespace is.
_NAMESPACES = {
    "indices": "wheelvec.vendors.indices",
    "plots": "wheelvec.report.plots",
    "rates": "wheelvec.vendors.rates",
    "signals": "wheelvec.run.signals.indicators",
}

__all__ = [
    "Account",
    "CallRules",
    "Config",
    "ConfigError",
    "Costs",
    "DataError",
    "FetchError",
    "Fills",
    "InputError",
    "InsufficientDataError",
    "LakeError",
    "Liquidity",
    "Market",
    "Portfolio",
    "Pricing",
    "PutRules",
    "RecordError",
    "Result",
    "Schedule",
    "StateError",
    "Sweep",
    "WheelvecError",
    "__version__",
    "backtest",
    "bands",
    "black_scholes",
    "block_length",
    "bootstrap",
    "bounds",
    "check",
    "deflated_sharpe",
    "delta",
    "demo_market",
    "effective_trials",
    "explain",
    "fetch",
    "fill_draw",
    "gamma",
    "get",
    "implied_vol",
    "import_files",
    "indices",
    "page",
    "pbo",
    "plan",
    "plots",
    "rates",
    "rho",
    "ruin",
    "sharpe_error",
    "signals",
    "simulate",
    "spa",
    "sweep",
    "theta",
    "vega",
    "verdict",
    "walk_forward",
    "why_not",
]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        value: Any = importlib.import_module(_NAMESPACES[name])
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'wheelvec' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
