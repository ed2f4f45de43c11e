"""Selection among the rows of a sweep: months, purged borders, walk-forward."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from wheelvec.inference.blocks import widening
from wheelvec.inference.months import clear_of, monthly, whole_months
from wheelvec.inference.overfitting import of_blocks
from wheelvec.inference.units import launched, summed


def test_months_are_whole_and_settled(
    market: wv.Market, config: wv.Config, swept: wv.Sweep
) -> None:
    found = whole_months(swept, "x").tolist()
    # puts of up to 40 days settle by 2025-03-31 if they were sold by 2025-02-19
    assert (found[0], found[-1], len(found)) == (dt.date(2022, 1, 1), dt.date(2025, 1, 1), 37)
    inside = {"start_date": dt.date(2022, 1, 10), "end_date": dt.date(2024, 11, 20)}
    changed = config.replace(**{f"schedule.{name}": day for name, day in inside.items()})
    partly = wv.sweep(market, changed, {"put.exit_pct": [0.25, 0.5]})
    cut = whole_months(partly, "x").tolist()
    assert (cut[0], cut[-1]) == (dt.date(2022, 2, 1), dt.date(2024, 10, 1))
    whole = config.replace(**{"schedule.end_date": dt.date(2024, 11, 29)})  # a Friday
    assert whole_months(wv.sweep(market, whole, {"put.exit_pct": [0.5]}), "x")[-1] == np.datetime64(
        "2024-11"
    )


def test_monthly_returns_are_those_of_periods(swept: wv.Sweep) -> None:
    found = monthly(swept, "x")
    assert found.rows.tolist() == list(range(0, 24, 2))
    periods = swept.periods("1mo").with_columns(r=pl.col("pnl") / pl.col("capital"))
    for column, row in [(0, 0), (5, 10), (11, 22)]:
        both = [
            periods.filter(pl.col("row") == seed).sort("period")["r"][:37].to_numpy()
            for seed in (row, row + 1)
        ]
        assert found.returns[:, column] == pytest.approx(np.mean(both, axis=0))


def test_entries_near_a_border_do_not_count() -> None:
    day = np.array(["2024-01-01", "2024-01-21", "2024-01-22", "2024-02-01"], "datetime64[D]")
    borders = np.array(["2024-02-01"], "datetime64[D]")
    assert clear_of(day, borders, 10).tolist() == [True, True, False, True]
    assert clear_of(day, borders[:0], 10).all()


def test_overfitting_of_a_sweep_is_that_of_its_purged_months(swept: wv.Sweep) -> None:
    found = wv.pbo(swept, blocks=8)
    months, of = whole_months(swept, "x"), launched(swept, "x")
    block_of = np.arange(37) * 8 // 37
    month = of.day.astype("datetime64[M]")
    ends = {b: months[block_of == b][-1] + 1 for b in range(8)}
    pnl, capital = summed(of, "pnl", "capital")
    rows, kept = [], []
    for m in months:
        last = ends[block_of[m.astype(int) - months[0].astype(int)]].astype("datetime64[D]")
        counts = month == m
        if m < months[block_of == 7][0]:
            counts &= of.day + np.timedelta64(55, "D") < last
        if counts.any():
            rows.append(pnl[counts].sum(axis=0) / capital[counts].sum(axis=0))
            kept.append(block_of[m.astype(int) - months[0].astype(int)])
    assert found.periods == len(rows) < 37
    assert found.configurations == 12
    expected = of_blocks(np.array(rows), np.array(kept), 8, "sharpe")
    assert found.logits == pytest.approx(expected.logits)


def test_blocks_that_a_purge_leaves_empty_are_refused(swept: wv.Sweep) -> None:
    with pytest.raises(
        wv.InsufficientDataError, match="2 months in each of 16 blocks, beside the 55 days"
    ):
        wv.pbo(swept)


def test_effective_trials_of_a_sweep(swept: wv.Sweep) -> None:
    found = wv.effective_trials(swept)
    assert (found.count, found.periods) == (12, 37)
    assert 1.0 < found.effective_rank < 12.0
    assert found.row % 2 == 0
    assert wv.effective_trials(swept, row=7).row == 6  # the same configuration, its first seed


def test_benchmarks_of_a_sweep(swept: wv.Sweep) -> None:
    of = launched(swept, "x")
    found = wv.spa(swept, n=300)
    assert (found.units, found.frame.height) == (of.day.size, 12)
    against = wv.spa(swept, 3, n=300)
    assert against.frame.height == 11
    assert 2 not in against.frame["row"].to_list()
    stock = pl.DataFrame({"session": of.day, "stock": np.linspace(-0.01, 0.01, of.day.size)})
    shown = wv.spa(swept, stock, n=300)
    pnl, capital = summed(of, "pnl", "capital")
    returns = np.divide(pnl, capital, out=np.zeros_like(pnl), where=capital > 0)
    expected = (returns - stock["stock"].to_numpy()[:, None]).mean(axis=0)
    assert shown.frame.sort("row")["mean"].to_list() == pytest.approx(expected)
    with pytest.raises(wv.InputError, match=r"lacks 3 entry sessions, the first of them 2022-01-0"):
        wv.spa(swept, stock[3:], n=300)
    with pytest.raises(wv.InputError, match="expected session and one of returns"):
        wv.spa(swept, stock.rename({"session": "day"}), n=300)
    with pytest.raises(wv.InputError, match="expected a row, returns, or a frame"):
        wv.spa(swept, "stock", n=300)


def chosen_plainly(swept: wv.Sweep, train: int, test: int) -> list[dict[str, Any]]:
    """Walk-forward by the mean ROC, wheel by wheel."""
    wheels, values = swept.pnl()
    capital = wheels["put_symbol"].str.slice(13, 8).cast(pl.Int64).to_numpy() / 10
    roc = 100 * values / capital[:, None]
    entry = wheels["entry_date"].to_numpy().astype("datetime64[D]")
    months = whole_months(swept, "x")

    def figure(inside: Any) -> Any:
        return [np.nanmean(roc[inside][:, row : row + 2]) for row in range(0, 24, 2)]

    found = []
    for start in range(train, months.size, test):
        begin = months[start].astype("datetime64[D]")
        known = (entry >= months[start - train]) & (entry + np.timedelta64(55, "D") < begin)
        traded = entry.astype("datetime64[M]")
        outside = (traded >= months[start]) & (traded < months[start] + test)
        outside &= traded <= months[-1]
        inside, after = figure(known), figure(outside)
        best = int(np.argmax(inside))
        found.append({"row": 2 * best, "in_sample": inside[best], "out_of_sample": after[best],
                      "rank": 1 + sum(other > after[best] for other in after)})  # fmt: skip
    return found


def test_walk_forward_is_that_of_a_plain_loop(swept: wv.Sweep) -> None:
    found = wv.walk_forward(swept, train=9, test=4)
    expected = chosen_plainly(swept, 9, 4)
    assert found.windows["row"].to_list() == [each["row"] for each in expected]
    assert found.windows["rank"].to_list() == [each["rank"] for each in expected]
    for name in ("in_sample", "out_of_sample"):
        assert found.windows[name].to_list() == pytest.approx(
            [each[name] for each in expected], rel=1e-5
        )


def test_curve_of_a_walk_forward(swept: wv.Sweep) -> None:
    found = wv.walk_forward(swept, "total_pnl", train=9, test=4)
    returns = monthly(swept, "x")
    curve = found.curve
    assert curve["month"].to_list() == [m.item() for m in returns.month[9:]]
    place = {row: k for k, row in enumerate(returns.rows.tolist())}
    for m, (row, chosen) in enumerate(curve.select("row", "chosen").rows(), 9):
        # of both seeds together, where `monthly` has the mean of both
        assert chosen == pytest.approx(returns.returns[m, place[row]], rel=1e-4)
    assert curve["best_sum"][-1] == pytest.approx(curve["best"].sum())
    assert found.best >= found.median
    assert found.chosen == pytest.approx(found.windows["out_of_sample"].sum(), rel=1e-6)


def test_windows_without_a_wheel(market: wv.Market, config: wv.Config, swept: wv.Sweep) -> None:
    """No row traded for a year and a half: nothing to choose, and then nothing to trade."""
    days = swept.sessions
    open_on = days.filter((days < dt.date(2022, 7, 1)) | (days >= dt.date(2024, 1, 1)))
    when = pl.DataFrame({"session": open_on, "underlying": "BRVO"})
    paused = wv.sweep(market, config, {"put.exit_pct": [k / 20 for k in range(12)]}, when=when)
    found = wv.walk_forward(paused, train=6, test=3)
    idle = found.windows.filter(pl.col("train_start") == dt.date(2023, 1, 1))
    assert idle.select("row", "in_sample", "out_of_sample", "rank").row(0) == (None,) * 4
    curve = found.curve.filter(pl.col("row").is_null())
    assert curve.height >= 9
    assert (curve["chosen"] == 0.0).all()
    later = pl.DataFrame(
        {"session": days.filter(days >= dt.date(2023, 6, 1)), "underlying": "BRVO"}
    )
    with pytest.raises(wv.InsufficientDataError, match="24 months from the first wheel on"):
        wv.walk_forward(wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]}, when=later))


def test_tests_of_a_sweep_are_widened(swept: wv.Sweep) -> None:
    found, of = wv.spa(swept, n=300), launched(swept, "x")
    pnl, capital = summed(of, "pnl", "capital")
    returns = np.divide(pnl, capital, out=np.zeros_like(pnl), where=capital > 0)
    plain = wv.bootstrap(returns, block=found.block, n=300)
    factor = widening(of.day.size, found.block, "stationary", of.holding)
    frame = found.frame.sort("row")
    assert factor > 1.1
    assert frame["t"].to_list() == pytest.approx(plain.estimate / (factor * plain.se))


def test_refusals(market: wv.Market, config: wv.Config, swept: wv.Sweep) -> None:
    few = wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]})
    short = wv.sweep(
        market,
        config.replace(**{"schedule.end_date": dt.date(2023, 6, 30)}),
        {"put.exit_pct": [0.5]},
    )
    for statistic in (wv.walk_forward, wv.effective_trials):
        with pytest.raises(wv.InsufficientDataError, match=r"10 configurations.*: there are 2"):
            statistic(few)
        with pytest.raises(
            wv.InsufficientDataError, match="24 whole months whose puts all settle: there are 18"
        ):
            statistic(short)
    with pytest.raises(wv.InsufficientDataError, match="38 months for two windows"):
        wv.walk_forward(swept, train=30, test=4)
    with pytest.raises(wv.InsufficientDataError, match="entry sessions in 1 months, beside the 55"):
        wv.walk_forward(swept, train=1)
    with pytest.raises(wv.InputError, match="unknown figure 'roc_p05'; allowed: avg_wheel_roc"):
        wv.walk_forward(swept, "roc_p05")
