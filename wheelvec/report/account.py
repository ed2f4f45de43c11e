"""The text about a portfolio for the terminal, and its figures for other programs."""

import dataclasses
from typing import TYPE_CHECKING, Any

from wheelvec.model.errors import counted
from wheelvec.report.text import number, wrapped
from wheelvec.run.results.shown import warnings_text

if TYPE_CHECKING:
    from wheelvec.run.results.portfolio import Portfolio

PERCENT = (
    *("total_return", "cagr", "volatility", "max_drawdown", "var_95", "cvar_95"),
    *("best_month", "worst_month", "months_up", "mean_exposure"),
)
SHOWN = (
    *("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown"),
    *("max_drawdown_days", "calmar", "ulcer_index", "var_95", "cvar_95", "mean_exposure"),
)


def portfolio_figures(portfolio: "Portfolio") -> dict[str, Any]:
    """The account, what became of its cash, why wheels were skipped, all metrics and warnings."""
    daily = portfolio.daily
    names = portfolio.benchmarks.columns[1:]
    return {
        "account": portfolio.account.to_dict(),
        "first": daily["session"][0],
        "last": daily["session"][-1],
        "equity": daily["equity"][-1],
        "taken": int((portfolio.wheels["taken"] > 0).sum()),
        "skipped": dict(portfolio.skipped.rows()),
        "sessions_with_shortfall": int((daily["shortfall"] > 0.0).sum()),
        "metrics": portfolio.metrics(),
        "benchmarks": {name: portfolio.metrics(of=name) for name in names},
        "warnings": [dataclasses.asdict(warning) for warning in portfolio.warnings],
    }


def portfolio_text(portfolio: "Portfolio") -> str:
    """The figures of an account beside its benchmarks, the skipped wheels, and warnings."""
    found = portfolio_figures(portfolio)
    equity, cash = found["equity"], portfolio.account.cash
    offered = portfolio.wheels.height
    lines = [
        f"{found['first']} to {found['last']}: {cash:,.2f} dollars became {equity:,.2f}",
        wrapped(f"{number(found['taken'])} of {counted(offered, 'wheel')} taken", ""),
        *(
            f"  skipped, {reason:<26}{number(count):>10}"
            for reason, count in found["skipped"].items()
        ),
    ]
    if found["sessions_with_shortfall"]:
        lines.append(
            f"  {counted(found['sessions_with_shortfall'], 'session')} with less cash than "
            "collateral"
        )
    lines += ["", *_table(found)]
    if portfolio.warnings:
        lines += ["", *warnings_text(portfolio.warnings)]
    return "\n".join(lines)


def _table(found: dict[str, Any]) -> list[str]:
    """The metrics of the account and of its first benchmarks, side by side."""
    columns = {"account": found["metrics"]} | dict(list(found["benchmarks"].items())[:3])
    head = f"{'':<20}" + "".join(f"{name[:13]:>15}" for name in columns)
    rows = [
        f"{name:<20}" + "".join(f"{_shown(name, each[name]):>15}" for each in columns.values())
        for name in SHOWN
    ]
    return [head, *rows]


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in PERCENT:
        return f"{100 * value:,.2f}%"
    return number(value) if isinstance(value, int) else f"{value:,.3f}"
