"""Units of results, sweeps and portfolios: their figures are those of the frames."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from wheelvec.inference.units import SUMS, launched, summed

FIGURES = ("avg_wheel_roc", "total_pnl", "win_rate", "profit_factor", "roc_p05")


@pytest.mark.parametrize("figure", FIGURES)
def test_estimate_of_a_result_is_its_figure(
    figure: str, result: wv.Result, swept: wv.Sweep
) -> None:
    found = wv.bootstrap(result, figure, n=200)
    assert found.estimate == pytest.approx(swept.frame[figure][0], rel=1e-9)
    assert found.low < found.estimate < found.high
    assert found.why.startswith("the longest holding period: 13; Politis & White: ")
    assert found.block == 13.0


@pytest.mark.parametrize("figure", ["total_pnl", "win_rate"])
def test_estimates_of_a_sweep_are_means_over_seeds(figure: str, swept: wv.Sweep) -> None:
    found = wv.bootstrap(swept, figure, n=200)
    assert (
        found.frame["row"].to_list()
        == swept.frame["put.exit_pct"].is_not_null().arg_true()[::2].to_list()
    )
    # every seed sells the same puts here, so that the wheels are as many
    assert swept.frame["total_wheels"].n_unique() <= 2
    expected = swept.over_seeds()[figure].to_numpy()
    assert found.estimate == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("figure", ["sharpe", "sortino", "cagr", "max_drawdown"])
def test_estimate_of_a_portfolio_is_its_metric(figure: str, portfolio: wv.Portfolio) -> None:
    found = wv.bootstrap(portfolio, figure, n=200)
    assert found.estimate == pytest.approx(portfolio.metrics()[figure], rel=1e-9)
    assert "the longest holding period: 26" in found.why


def test_a_row_alone_has_the_sums_of_the_sweep(result: wv.Result, swept: wv.Sweep) -> None:
    alone = launched(result, "x")
    together = launched(swept, "x")
    one_seed = together._replace(pnl=together.pnl[:, [0]], group=np.zeros(1, np.int64))
    first = np.searchsorted(together.day, alone.day[0])
    wheels = result.wheels.filter("in_summary")
    by_day = {
        "wheels": pl.len(),
        "pnl": pl.col("pnl_marked").sum(),
        "capital": pl.col("initial_capital").sum(),
        "roc": (100 * pl.col("pnl_marked") / pl.col("initial_capital")).sum(),
        "wins": (pl.col("pnl_marked") > 0).sum(),
        "gains": pl.col("pnl_marked").clip(lower_bound=0).sum(),
        "losses": -pl.col("pnl_marked").clip(upper_bound=0).sum(),
    }
    assert by_day.keys() == SUMS.keys()
    expected = wheels.group_by("entry_date").agg(**by_day).sort("entry_date")
    days = pl.DataFrame({"entry_date": alone.day}).with_row_index("unit")
    unit = days.join(expected, on="entry_date")["unit"].to_numpy()
    each, whole = (summed(of, *SUMS) for of in (alone, one_seed))
    for name, mine, rows in zip(SUMS, each, whole, strict=True):
        assert mine[unit, 0] == pytest.approx(expected[name].to_numpy()), name
        assert mine.sum() == pytest.approx(expected[name].sum()), name
        assert rows[first : first + mine.shape[0]] == pytest.approx(mine, rel=1e-6, abs=1e-6), name


def test_entry_sessions_are_those_of_the_schedule(swept: wv.Sweep) -> None:
    of = launched(swept, "x")
    assert of.day.tolist() == [day for day in swept.sessions if day <= of.day[-1].item()]
    assert of.columns == 12
    # every second session is one: 55 calendar days are some 38 sessions
    assert (swept.longest_wheel, of.holding) == (55, 20)


def test_sessions_that_do_not_count_add_nothing(swept: wv.Sweep) -> None:
    of = launched(swept, "x")
    keep = of.day < np.datetime64("2023-01-01")
    some, all_ = (summed(of, "pnl", keep=each)[0] for each in (keep, None))
    assert (some[keep] == all_[keep]).all()
    assert not some[~keep].any()


def test_a_result_without_wheels_is_refused(market: wv.Market, config: wv.Config) -> None:
    never = pl.DataFrame({"session": [dt.date(2020, 1, 2)], "underlying": ["BRVO"]})
    empty = wv.backtest(market, config, when=never)
    with pytest.raises(wv.InsufficientDataError, match="bootstrap needs wheels in the summary"):
        wv.bootstrap(empty)


def test_too_short_a_result_is_refused(market: wv.Market, config: wv.Config) -> None:
    short = config.replace(**{"schedule.end_date": dt.date(2022, 2, 1)})
    with pytest.raises(wv.InsufficientDataError, match="30 entry sessions: there are 11"):
        wv.bootstrap(wv.backtest(market, short))


def test_a_portfolio_that_was_ruined_is_refused(portfolio: wv.Portfolio) -> None:
    frames = {name: getattr(portfolio, name) for name in ("daily", "wheels")}
    daily = frames["daily"].with_columns(
        equity=pl.when(pl.int_range(pl.len()) == 100).then(-1.0).otherwise("equity")
    )
    ruined = wv.Portfolio(portfolio.account, frames | {"daily": daily}, portfolio.results)
    with pytest.raises(wv.InsufficientDataError, match="equity that is always positive"):
        wv.ruin(ruined)


def test_figures_of_another_kind_are_refused(result: wv.Result, portfolio: wv.Portfolio) -> None:
    with pytest.raises(wv.InputError, match="unknown figure 'sharpe'; allowed: avg_wheel_roc"):
        wv.bootstrap(result, "sharpe")
    with pytest.raises(wv.InputError, match="unknown figure 'total_pnl'; allowed: sharpe"):
        wv.bootstrap(portfolio, "total_pnl")


def test_unlimited_wheels_are_measured(market: wv.Market, config: wv.Config) -> None:
    endless = config.replace(
        **{"call.max_cycles": None, "schedule.end_date": dt.date(2022, 12, 30)}
    )
    swept = wv.sweep(market, endless, {"put.exit_pct": [0.0, 0.5]})
    held = swept.frame["avg_days_held"].arg_max()
    assert held is not None
    wheels = swept.result(held).wheels
    days = (wheels["exit_date"] - wheels["entry_date"]).dt.total_days().max()
    assert swept.longest_wheel >= days  # type: ignore[operator]


def test_ruin_and_sharpe_of_a_portfolio(portfolio: wv.Portfolio) -> None:
    found = wv.ruin(portfolio, 0.05, n=300)
    assert found.sessions == portfolio.daily.height
    assert 0.0 < found.drawdown_probability < 1.0
    error = wv.sharpe_error(portfolio, n=300)
    assert error.sharpe == pytest.approx(portfolio.metrics()["sharpe"])
    assert error.lo == pytest.approx(252**0.5 / portfolio.daily.height**0.5, rel=0.01)
