"""Charts of results, portfolios, sweeps and markets, as Altair's (extra `wheelvec[report]`).

A chart draws itself in a notebook, and `.save("x.png")`, `.save("x.svg")` and `.save("x.html")`
need no network. Frames are aggregated before they are drawn: a line has at most 2,000 points, a map
at most 50 x 50 cells. Altair is imported by the first chart.

Example:
    >>> import wheelvec as wv
    >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
    >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
    >>> wv.plots.ends(result)
    wheelvec.plots: How the wheels ended
"""

import importlib
from typing import TYPE_CHECKING, Any

from wheelvec.model.errors import InputError

if TYPE_CHECKING:
    from wheelvec.report.plots.accounts import attribution, capital, drawdown, equity, fan
    from wheelvec.report.plots.calendar import monthly
    from wheelvec.report.plots.data import chain, coverage
    from wheelvec.report.plots.story import wheel
    from wheelvec.report.plots.sweeps import bands, heat, sensitivity
    from wheelvec.report.plots.wheels import by, ends, roc_distribution

_MODULES = {
    "attribution": "accounts",
    "bands": "sweeps",
    "by": "wheels",
    "capital": "accounts",
    "chain": "data",
    "coverage": "data",
    "drawdown": "accounts",
    "ends": "wheels",
    "equity": "accounts",
    "fan": "accounts",
    "heat": "sweeps",
    "monthly": "calendar",
    "roc_distribution": "wheels",
    "sensitivity": "sweeps",
    "wheel": "story",
}
EXTRA = ("altair", "jinja2", "vl_convert")  # what the extra installs

__all__ = [
    "attribution",
    "bands",
    "by",
    "capital",
    "chain",
    "coverage",
    "drawdown",
    "ends",
    "equity",
    "fan",
    "heat",
    "monthly",
    "roc_distribution",
    "sensitivity",
    "wheel",
]


def missing_extra(error: ModuleNotFoundError) -> InputError:
    """The error that says what to install; `error` itself is raised if it names another package.

    Args:
        error: of the import that failed.
    """
    name = (error.name or "").partition(".")[0]
    if name not in EXTRA:
        raise error
    return InputError(
        f"charts and pages need packages that are not installed ({name} is missing): "
        "run pip install '.[report]' in a clone of wheelvec's repository"
    )


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        raise missing_extra(error) from None
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
