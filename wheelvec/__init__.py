"""wheelvec: research the options wheel, right to the cent and fast.

option_quotes, option_bars, underlying_bars        three tables, Polars in
      |  Market            validated; broken rows set aside and counted
      v
chain -> entries -> puts -> calls -> wheels -> launch     one slice at a time
      |  backtest(market, config)
      v
Result: records, wheels, ledger, summary(), diagnostics   Polars out

sweep(market, config, grid) -> Sweep: the summaries of thousands of configurations at once
"""

import importlib
from typing import TYPE_CHECKING, Any

from wheelvec.spec import forks as _forks  # noqa: F401  (notices forks from now on)
from wheelvec.spec.version import VERSION as __version__

if TYPE_CHECKING:
    from wheelvec.kernels.black import black_scholes, delta
    from wheelvec.kernels.draws import fill_draw
    from wheelvec.kernels.greeks import gamma, rho, theta, vega
    from wheelvec.kernels.implied import implied_vol
    from wheelvec.market.fetch import fetch
    from wheelvec.market.inspection import check
    from wheelvec.market.market import Market
    from wheelvec.market.synthetic import demo_market
    from wheelvec.run.backtest import backtest
    from wheelvec.run.result import Result
    from wheelvec.run.sweep import sweep
    from wheelvec.run.swept import Sweep
    from wheelvec.spec.config import (
        CallRules,
        Config,
        Costs,
        Fills,
        Liquidity,
        Pricing,
        PutRules,
        Schedule,
    )
    from wheelvec.spec.errors import (
        ConfigError,
        DataError,
        FetchError,
        InputError,
        LakeError,
        RecordError,
        StateError,
        WheelvecError,
    )

# Where each public name lives. Numba and the exchange calendars are loaded by the first use of a name that needs them.
_HOMES = {
    "CallRules": "wheelvec.spec.config",
    "Config": "wheelvec.spec.config",
    "ConfigError": "wheelvec.spec.errors",
    "Costs": "wheelvec.spec.config",
    "DataError": "wheelvec.spec.errors",
    "FetchError": "wheelvec.spec.errors",
    "Fills": "wheelvec.spec.config",
    "InputError": "wheelvec.spec.errors",
    "LakeError": "wheelvec.spec.errors",
    "Liquidity": "wheelvec.spec.config",
    "Market": "wheelvec.market.market",
    "Pricing": "wheelvec.spec.config",
    "PutRules": "wheelvec.spec.config",
    "RecordError": "wheelvec.spec.errors",
    "Result": "wheelvec.run.result",
    "Schedule": "wheelvec.spec.config",
    "StateError": "wheelvec.spec.errors",
    "Sweep": "wheelvec.run.swept",
    "WheelvecError": "wheelvec.spec.errors",
    "backtest": "wheelvec.run.backtest",
    "black_scholes": "wheelvec.kernels.black",
    "check": "wheelvec.market.inspection",
    "delta": "wheelvec.kernels.black",
    "demo_market": "wheelvec.market.synthetic",
    "fetch": "wheelvec.market.fetch",
    "fill_draw": "wheelvec.kernels.draws",
    "gamma": "wheelvec.kernels.greeks",
    "implied_vol": "wheelvec.kernels.implied",
    "rho": "wheelvec.kernels.greeks",
    "sweep": "wheelvec.run.sweep",
    "theta": "wheelvec.kernels.greeks",
    "vega": "wheelvec.kernels.greeks",
}

__all__ = [
    "CallRules", "Config", "ConfigError", "Costs", "DataError", "FetchError", "Fills", "InputError", "LakeError",
    "Liquidity", "Market", "Pricing", "PutRules", "RecordError", "Result", "Schedule", "StateError", "Sweep",
    "WheelvecError", "__version__", "backtest", "black_scholes", "check", "delta", "demo_market", "fetch",
    "fill_draw", "gamma", "implied_vol", "rho", "sweep", "theta", "vega",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'wheelvec' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
