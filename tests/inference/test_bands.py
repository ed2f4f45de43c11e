"""Bands: each range against single backtests, and what is said of them."""

import html
from typing import Any

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from wheelvec.inference.bands import SCHEMA, Bands, _widest
from wheelvec.model.sections import FILL_MODES

CONFIG = wv.Config(schedule=wv.Schedule(end_date="2024-01-16"))
ACCOUNT = wv.Account(cash=60_000)


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")


def under(market: wv.Market, figure: str, field: str, values: Any) -> list[float]:
    """The figure of single backtests under each value of a field."""
    summaries = [wv.backtest(market, CONFIG.replace(**{field: each})).summary() for each in values]
    return [float(each[figure]) for each in summaries if each[figure] is not None]  # type: ignore[arg-type]


def test_each_range_is_of_single_backtests(market: wv.Market) -> None:
    found = wv.bands(market, CONFIG, figure="total_pnl", seeds=6)
    own = wv.backtest(market, CONFIG).summary()["total_pnl"]
    assert found.frame["estimate"].to_list() == [found.estimate] * 4 == [own] * 4
    fills = under(market, "total_pnl", "fills.fill_mode", FILL_MODES)
    seeds = under(market, "total_pnl", "fills.execution_seed", range(6))
    starts = under(market, "total_pnl", "schedule.offset", range(2))
    expected = [
        ("fills", min(fills), max(fills), 4),
        ("seeds", *np.percentile(seeds, [5, 95]), 6),
        (
            "start",
            *np.percentile(starts, [5, 95]),
            2,
        ),  # of ten sessions a quarter are left out at most
    ]
    rows = found.frame.select("kind", "low", "high", "n").rows()
    for row, (kind, low, high, n) in zip(rows[:3], expected, strict=True):
        assert row == (kind, pytest.approx(low), pytest.approx(high), n)
    assert len(set(seeds)) > 1
    assert rows[3] == ("market", None, None, 0)
    assert found.frame["what"][3].endswith("needs at least 30 entry sessions: there are 10")


def test_picture_has_the_ranges_that_are_known(market: wv.Market) -> None:
    pytest.importorskip("altair")
    found = wv.bands(market, CONFIG, seeds=2)
    drawn = wv.plots.bands(found).to_dict()
    kinds = {row["kind"] for rows in drawn["datasets"].values() for row in rows if "kind" in row}
    assert kinds == {"fills", "seeds", "start"}


def test_phases_of_every_nth_session(market: wv.Market) -> None:
    config = CONFIG.replace(**{"schedule.every": 2})
    row = wv.bands(market, config, seeds=2).frame.row(2, named=True)
    phases = [
        wv.backtest(market, config.replace(**{"schedule.offset": i})).summary()["avg_wheel_roc"]
        for i in (0, 1)
    ]
    assert (row["low"], row["high"]) == (min(phases), max(phases))  # type: ignore[type-var]
    assert (row["n"], row["what"][:13]) == (2, "the 2 phases ")


def test_choice_is_of_random_orders(market: wv.Market) -> None:
    found = wv.bands(market, CONFIG, account=ACCOUNT, figure="account_sharpe", seeds=4)
    result = wv.backtest(market, CONFIG)
    drawn = [
        wv.simulate(result, ACCOUNT.replace(order="random", seed=seed)).metrics()["sharpe"]
        for seed in range(4)
    ]
    row = found.frame.row(3, named=True)
    assert row["kind"] == "choice"
    assert (row["low"], row["high"]) == pytest.approx(np.percentile(drawn, [5, 95]))  # type: ignore[arg-type]
    assert len(set(drawn)) > 1
    assert found.estimate == wv.simulate(result, ACCOUNT).metrics()["sharpe"]


def test_fills_that_are_not_drawn_have_no_width(market: wv.Market) -> None:
    config = CONFIG.replace(**{"fills.use_probabilistic_exit_fills": False})
    row = wv.bands(market, config, seeds=2).frame.row(1, named=True)
    assert row["low"] == row["estimate"] == row["high"]
    assert "nothing is drawn" in row["what"]


def test_market_is_the_bootstrap_of_the_result() -> None:
    market = wv.demo_market(symbols=["BRVO"])
    weekly: dict[str, Any] = {
        f"{leg}.{end}": days
        for leg in ("put", "call")
        for end, days in (("dte_min", 4), ("dte_max", 8))
    }
    config = CONFIG.replace(**weekly, **{"schedule.end_date": "2024-06-28"})
    found = wv.bands(market, config, seeds=2)
    own = wv.bootstrap(wv.backtest(market, config))
    row = found.frame.row(3, named=True)
    assert (row["low"], row["high"], row["n"]) == (own.low, own.high, own.n)
    assert found.widest == "market"


def frame(*rows: tuple[str, float | None, float | None]) -> pl.DataFrame:
    found = [(kind, "", low, 1.0, high, 9, "") for kind, low, high in rows]
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def said(figure: str, *rows: tuple[str, float | None, float | None]) -> list[str]:
    made = Bands(figure, 1.0, frame(*rows), _widest(frame(*rows)))
    text = str(made)
    assert text.startswith(f"{figure} of the configuration as it is: 1\n")
    assert max(map(len, text.splitlines())) <= 80
    assert made.says[-1] in made._repr_html_()
    return made.says


def test_what_is_said() -> None:
    rows = [("seeds", 0.9, 1.2), ("fills", -0.5, 1.5), ("market", None, None)]
    assert said("total_pnl", *rows) == [
        "Widest of those that are known: fills, -0.5 to 1.5, 2 wide; then seeds 0.3.",
        "0, which is no gain (stock or bills may still earn more), lies in the range of: fills.",
        "Not known: market; it may be the widest.",
        "Each range varies one thing alone; what they are together is not computed.",
    ]
    assert said("total_pnl", *rows[:2])[0].startswith("Widest: fills")
    assert said("profit_factor", *rows[:2])[1] == (
        "1, which is no gain (stock or bills may still earn more), lies in the range of: fills, seeds."
    )
    assert len(said("win_rate", *rows[:2])) == 2  # no value of it means no edge
    assert said("roc_p05", ("seeds", 1.0, 1.0))[0].startswith("Each range")


def test_warnings_of_the_run_are_in_every_form(market: wv.Market) -> None:
    bare = wv.Market(option_quotes=market.option_quotes, underlying_bars=market.underlying_bars)
    found = wv.bands(bare, CONFIG, seeds=2)
    (warning,) = found.warnings
    assert warning.code == "no_option_bars"
    assert found.warnings == wv.backtest(bare, CONFIG).warnings
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert f"Warnings: check whether these are intended - {warning}" in " ".join(text.split())
    assert [each["text"] for each in found.to_dict()["warnings"]] == [warning.text]
    assert html.escape(warning.text) in found._repr_html_()
    assert repr(found).endswith(", 1 warnings>")
    assert wv.bands(market, CONFIG, seeds=2).warnings == ()


def test_refusals(market: wv.Market) -> None:
    with pytest.raises(wv.InputError, match="unknown figure 'sharpe'"):
        wv.bands(market, CONFIG, figure="sharpe")
    with pytest.raises(wv.InputError, match="unknown figure 'total_pnl'"):
        wv.bands(market, CONFIG, account=ACCOUNT, figure="total_pnl")
    with pytest.raises(wv.InputError, match="seeds = 1: expected a whole number from 2"):
        wv.bands(market, CONFIG, seeds=1)
    with pytest.raises(wv.InsufficientDataError, match="account_cagr is not"):
        wv.bands(market, CONFIG, account=ACCOUNT)  # under 126 sessions
    with pytest.raises(wv.InputError, match="account is 5: expected a"):
        wv.bands(market, CONFIG, account=5)  # type: ignore[arg-type]
