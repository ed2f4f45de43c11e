"""The HTML of a market, a result, a sweep and a portfolio in notebooks: small and escaped."""

import pytest

import wheelvec as wv
from tests.model.test_markup import checked


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["CHRL"], end="2024-03-28")


@pytest.fixture(scope="module")
def result(market: wv.Market) -> wv.Result:
    return wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-02-09")))


def test_a_market_shows_its_tables_and_what_was_set_aside(market: wv.Market) -> None:
    text = checked(market._repr_html_())
    assert text.startswith("Market(CHRL; 2024-01-02 to 2024-03-28)")
    assert "missing_side" in text


def test_a_result_shows_figures_and_what_to_know_first(result: wv.Result) -> None:
    text, figures = checked(result._repr_html_()), result.summary()
    assert "Entries 2024-01-02 to 2024-02-09: CHRL" in text
    assert f"{figures['total_pnl']:,.2f}" in text
    assert f"{figures['no_data_wheels']} wheels are unresolved because data are missing" in text
    assert len(result._repr_html_()) < 8_000


def test_a_result_without_a_wheel_is_shown_too(market: wv.Market) -> None:
    none = wv.backtest(market, wv.Config(put=wv.PutRules(dte_min=500, dte_max=600)))
    text = checked(none._repr_html_())
    assert "wheels launched0" in text
    assert "Warnings" in text


def test_a_sweep_shows_what_was_swept_and_the_best(market: wv.Market) -> None:
    config = wv.Config(schedule=wv.Schedule(end_date="2024-02-09"))
    grid = {"put.stop_loss_multiplier": [1.5, None], "fills.execution_seed": range(12)}
    sweep = wv.sweep(market, config, grid)
    text = checked(sweep._repr_html_())
    assert "Sweep of 24 configurations" in text
    assert "1.5, none" in text
    assert "0, 1, 2, 3, 4, 5, ... 12 in all ..., 11" in text
    assert "avg_wheel_roc" in text


def test_a_portfolio_shows_itself_beside_its_benchmarks(result: wv.Result) -> None:
    portfolio = wv.simulate(result, wv.Account(cash=20_000))
    text = checked(portfolio._repr_html_())
    assert "20,000.00 dollars became " in text
    assert "buy_and_hold" in text
    assert "no_cash" in text
    total = portfolio.metrics()["total_return"]
    assert isinstance(total, float)
    assert f"{100 * total:,.2f}%" in text


def test_figures_are_dicts_that_notebooks_show(result: wv.Result) -> None:
    figures = result.summary()
    assert type(figures.to_dict()) is dict
    assert figures.to_dict() == figures
    assert "total_wheels" in checked(figures._repr_html_())
    metrics = wv.simulate(result).metrics()
    assert metrics.to_dict() == metrics
