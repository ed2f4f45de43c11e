"""An account takes what it can carry, and is worth what its cash, shares and options are."""

import datetime as dt
import pickle
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.random_markets import random_case, run
from tests.run.results.by_hand import D, call, leg, put, result_of
from wheelvec.model.errors import ConfigError, InputError, LakeError, RecordError
from wheelvec.run.results.index import Index, read_index
from wheelvec.run.results.portfolio import PORTFOLIO
from wheelvec.run.results.warnings import RunWarning, as_frame

ATTRIBUTED = ("puts", "calls", "stock", "dividends", "fees", "interest")
FLAT = {"A": [100.0] * 10}


def expired(strike: float, sold: int = 0, premium: float = 2.0, end: int = 8) -> Any:
    return [leg(put(strike), sold, premium, (end, "expired_worthless", 0.0))], (end, 0.0)


def stopped(strike: float, sold: int, premium: float, end: int, price: float) -> Any:
    return [leg(put(strike), sold, premium, (end, "stop_loss", price))], (end, 0.0)


def column(portfolio: wv.Portfolio, name: str) -> list[Any]:
    return [round(value, 6) for value in portfolio.daily[name].to_list()]


def test_three_wheels_of_which_two_have_room() -> None:
    # 21,000 dollars: 9,900 + 0.66 - 200 and 9,800 + 0.66 - 200 leave 1,698.68 on the first day
    costs = wv.Costs()
    wheels = [expired(99.0), stopped(98.0, 0, 2.0, 2, 3.0), expired(97.0, sold=1)]
    mids = {put(99.0): {0: 2.1, 1: 1.0}, put(98.0): {0: 2.0, 1: 2.5}, put(97.0): {1: 1.5}}
    result = result_of(wheels, FLAT, mids, costs=costs, last_entry=1)
    portfolio = wv.simulate(result, wv.Account(cash=21_000))
    assert portfolio.wheels["taken"].to_list() == [1, 1, 0]
    assert portfolio.wheels["reason"].to_list() == [None, None, "no_cash"]
    assert portfolio.skipped.rows() == [("no_cash", 1)]
    assert portfolio.daily["session"].to_list() == D[:9]
    cash = [21_398.68, 21_398.68] + [21_398.68 - 300.66] * 7
    assert column(portfolio, "cash") == cash
    assert column(portfolio, "collateral") == [19_700.0] * 2 + [9_900.0] * 6 + [0.0]
    # after its last quote the first put is owed at 1.0, the intrinsic value being 0
    assert column(portfolio, "options") == [-410.0, -350.0] + [-100.0] * 6 + [0.0]
    assert column(portfolio, "mark_age") == [0, 0, 1, 2, 3, 4, 5, 6, 0]
    assert column(portfolio, "open_wheels") == [2, 2, 1, 1, 1, 1, 1, 1, 0]
    assert column(portfolio, "puts") == [-10.0, 60.0, -50.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0]
    assert column(portfolio, "fees") == [-1.32, 0.0, -0.66] + [0.0] * 6
    assert portfolio.wheels["account_pnl"].to_list() == pytest.approx([199.34, -101.32, None])
    portfolio.validate()


def test_money_that_comes_free_today_is_spent_tomorrow() -> None:
    wheels = [stopped(99.0, 0, 2.0, 2, 1.0), expired(98.0, sold=2), expired(97.0, sold=3)]
    mids = {put(99.0): {0: 2.0}, put(98.0): {2: 2.0}, put(97.0): {3: 2.0}}
    portfolio = wv.simulate(result_of(wheels, FLAT, mids, last_entry=3), wv.Account(cash=10_000))
    assert portfolio.wheels["taken"].to_list() == [1, 0, 1]
    portfolio = wv.simulate(
        result_of(wheels, FLAT, mids, last_entry=3), wv.Account(cash=1e6, max_wheels=1)
    )
    assert portfolio.wheels["reason"].to_list() == [None, "max_wheels", None]


def test_a_split_is_carried_through_marks_shares_and_assignment() -> None:
    # 2 for 1 before D[3]: the put of 100 becomes two of 50, assigned at 45 on D[8]
    closes = {"A": [100.0, 101.0, 102.0, 49.0, 48.0, 47.0, 46.0, 46.0, 45.0, 44.0]}
    split = {"underlying": "A", "session": D[3], "ex_date": D[3], "kind": "carried", "ratio": 2.0}
    mids = {put(100.0): {0: 3.0, 2: 2.0}, put(50.0): {3: 2.5, 4: 2.6}}
    wheel = [leg(put(100.0), 0, 3.0, (8, "assigned", 0.0), factor=2)], (9, 44.0)
    portfolio = wv.simulate(result_of([wheel], closes, mids, events=[split]), wv.Account(cash=1e5))
    # per share as sold: 2*2.5 and 2*2.6; then 2*(50 - 47) = 6, and 2*(50 - 46) = 8 of intrinsic
    owed = [-300.0, -300.0, -200.0, -500.0, -520.0, -600.0, -800.0, -800.0, 0.0, 0.0]
    assert column(portfolio, "options") == owed
    assert column(portfolio, "shares") == [0.0] * 8 + [200 * 45.0, 0.0]
    assert column(portfolio, "equity")[-1] == 100_300.0 - 10_000.0 + 200 * 44.0
    assert column(portfolio, "stock")[-2:] == [-1_000.0, -200.0]
    shares = portfolio.deltas["shares"].to_list()
    assert shares[8] == 200.0  # shares alone; two puts, nearly as deep, before
    assert 100.0 < shares[7] <= 200.0
    portfolio.validate()


def test_a_missing_close_leaves_the_last_one_and_never_a_gain() -> None:
    closes = {"A": [100.0, 95.0, None, 90.0, None, 92.0, 93.0, 94.0, 95.0, 95.0]}
    mids = {put(100.0): {0: 2.0}}
    wheel = [leg(put(100.0), 0, 2.0, (5, "assigned", 0.0))], (7, 94.0)
    portfolio = wv.simulate(result_of([wheel], closes, mids), wv.Account(cash=1e5))
    # the quote of the sale is as old as the leg, and counts for the intrinsic value at least
    assert column(portfolio, "options")[:6] == [-200.0, -500.0, -500.0, -1_000.0, -1_000.0, 0.0]
    assert column(portfolio, "mark_age")[:6] == [0, 1, 2, 3, 4, 0]
    held = {"A": [100.0, 101.0, 102.0, 103.0, 104.0, 92.0, None, 94.0]}
    portfolio = wv.simulate(result_of([wheel], held, mids), wv.Account(cash=1e5))
    assert column(portfolio, "shares")[5:] == [9_200.0, 9_200.0, 0.0]


def test_a_bar_marks_where_there_is_no_quote_but_not_on_the_day_of_the_sale() -> None:
    mids, bars = {put(99.0): {0: 2.0, 3: 1.5}}, {put(99.0): {0: 9.0, 1: 2.5, 3: 8.0}}
    result = result_of([expired(99.0)], FLAT, mids, bars=bars)
    portfolio = wv.simulate(result, wv.Account(cash=1e5))
    assert column(portfolio, "options")[:4] == [-200.0, -250.0, -250.0, -150.0]


def test_a_stop_on_a_call_takes_the_cash_that_secures_a_put() -> None:
    closes = {"A": [100.0, 90.0, 95.0, 120.0] + [120.0] * 6}
    first = [
        leg(put(100.0), 0, 2.0, (1, "assigned", 0.0)),
        leg(call(100.0), 2, 1.0, (3, "stop_loss", 21.0)),
    ]
    wheels = [(first, (4, 120.0)), expired(99.0, sold=2)]
    mids = {put(100.0): {0: 2.0}, call(100.0): {2: 1.0}, put(99.0): {2: 1.0}}
    portfolio = wv.simulate(result_of(wheels, closes, mids, last_entry=2), wv.Account(cash=20_000))
    assert portfolio.wheels["taken"].to_list() == [1, 1]
    cash = [20_200.0, 10_200.0, 10_500.0, 8_400.0, 20_400.0]
    assert column(portfolio, "cash")[:5] == cash
    assert column(portfolio, "shortfall") == [0.0, 0.0, 0.0, 1_500.0] + [0.0] * 5
    assert column(portfolio, "calls")[2:4] == [0.0, -2_000.0]
    portfolio.validate()


def test_bought_back_at_the_premium_without_fees_nothing_is_lost() -> None:
    mids = {put(99.0): {0: 2.0, 1: 5.0, 2: 0.5}}
    result = result_of([stopped(99.0, 0, 2.0, 3, 2.0)], FLAT, mids)
    portfolio = wv.simulate(result, wv.Account(cash=1e5))
    assert portfolio.daily["equity"][-1] == 1e5
    assert portfolio.daily["equity"][1] == 1e5 - 300.0


def test_an_unresolved_wheel_keeps_its_mark_and_its_dividends_to_the_end() -> None:
    # suspected before D[4]: nobody knows what 100 shares have become
    closes = {"A": [100.0, 90.0, 91.0, 92.0, 46.0, 47.0, 48.0, 48.0, 48.0, 48.0]}
    events = [
        {"underlying": "A", "session": D[3], "ex_date": D[3], "kind": "dividend", "amount": 0.5, "special": False},
        {"underlying": "A", "session": D[4], "ex_date": D[4], "kind": "suspected"},
        {"underlying": "A", "session": D[5], "ex_date": D[5], "kind": "dividend", "amount": 0.5, "special": False},
    ]  # fmt: skip
    legs = [
        leg(put(100.0), 0, 2.0, (1, "assigned", 0.0)),
        leg(call(100.0), 2, 1.0, None, reason="suspected_split"),
    ]
    mids = {put(100.0): {0: 2.0}, call(100.0): {2: 1.0, 3: 1.2}}
    portfolio = wv.simulate(result_of([(legs, None)], closes, mids, events=events), wv.Account())
    assert portfolio.daily["session"].to_list() == D
    assert column(portfolio, "shares") == [0.0, 9_000.0, 9_100.0] + [9_200.0] * 7
    assert column(portfolio, "options")[2:] == [-100.0] + [-120.0] * 7
    assert column(portfolio, "dividends") == [0.0, 0.0, 0.0, 50.0] + [0.0] * 6
    assert portfolio.deltas["shares"].to_list()[4:] == [0.0] * 6
    assert portfolio.daily["mark_age"][-1] == 6
    portfolio.validate()


def test_a_wheel_may_end_after_the_last_bar() -> None:
    result = result_of([expired(99.0)], {"A": [100.0] * 4}, {put(99.0): {0: 2.0, 3: 0.5}})
    portfolio = wv.simulate(result, wv.Account(cash=1e5))
    assert portfolio.daily["session"][-1] == D[8]
    assert column(portfolio, "options") == [-200.0] * 3 + [-50.0] * 5 + [0.0]
    assert portfolio.daily["equity"][-1] == 100_200.0


def test_sizes_scale_everything_but_the_fixed_fees() -> None:
    result = run(*random_case(3))
    one, three = (wv.simulate(result, wv.Account(cash=1e6 * n, contracts=n)) for n in (1, 3))
    values = ["cash", "collateral", "options", "shares", "equity", "delta_dollars", *ATTRIBUTED]
    if result.config.costs == wv.Costs():
        assert_frame_equal(
            three.daily.select(values), one.daily.select(pl.col(values) * 3.0), abs_tol=1e-6
        )
    assert three.daily["open_puts"].to_list() == (one.daily["open_puts"] * 3).to_list()


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_with_unlimited_cash_the_change_of_equity_is_the_ledger(seed: int) -> None:
    result = run(*random_case(seed))
    portfolio = wv.simulate(result, wv.Account(cash=1e9))
    assert (portfolio.wheels["taken"] == 1).all()
    portfolio.validate()
    assert portfolio.ledger["amount"].sum() == pytest.approx(
        result.ledger["amount"].sum(), abs=1e-4
    )
    if result.wheels["pnl"].null_count() == 0:
        gain = portfolio.daily["equity"][-1] - 1e9
        assert gain == pytest.approx(result.ledger["amount"].sum(), abs=1e-4)
    change = portfolio.daily["equity"].diff().fill_null(portfolio.daily["equity"][0] - 1e9)
    assert (
        change - portfolio.daily.select(pl.sum_horizontal(ATTRIBUTED)).to_series()
    ).abs().max() < 1e-5


def test_interest_is_on_all_cash_at_the_rate_of_the_earlier_session() -> None:
    account = wv.Account(cash=1000.0, rate=[(D[0], 0.0), (D[3], 0.365)])
    portfolio = wv.simulate(result_of([], FLAT, {}, last_entry=5), account)
    assert column(portfolio, "interest")[:4] == [0.0] * 4
    assert portfolio.daily["interest"][4] == pytest.approx(
        1000.0 * 0.0030045045, rel=1e-7
    )  # a weekend
    with pytest.raises(
        InputError, match=r"account\.rate starts on 2024-01-03: expected a value on"
    ):
        wv.simulate(result_of([], FLAT, {}), account.replace(rate=[(D[1], 0.0)]))


def test_limits_are_tested_in_their_order() -> None:
    wheels = [expired(99.0), expired(98.0), expired(97.0)]
    mids = {put(strike): {0: 2.0} for strike in (99.0, 98.0, 97.0)}
    result = result_of(wheels, FLAT, mids)

    def reasons(**fields: Any) -> list[str | None]:
        return wv.simulate(result, wv.Account(**fields)).wheels["reason"].to_list()

    assert reasons() == [None] * 3
    assert reasons(max_wheels_per_underlying=2) == [None, None, "max_wheels_per_underlying"]
    assert reasons(max_share_per_underlying=0.197) == [None, None, "max_share_per_underlying"]
    assert reasons(max_share_per_underlying=0.19) == [None] + ["max_share_per_underlying"] * 2
    assert reasons(fraction=0.098) == ["too_small", None, None]
    assert wv.simulate(result, wv.Account(fraction=0.3)).wheels["taken"].to_list() == [3, 3, 3]
    # n = floor(300,000*0.5/9,900) = 15: the second needs more than is left
    richer = wv.simulate(result, wv.Account(cash=3e5, fraction=0.5)).wheels["taken"].to_list()
    assert richer == [15, 15, 0]
    assert reasons(order="premium", cash=10_000) == ["no_cash", "no_cash", None]
    by_seed = [reasons(order="random", seed=seed, cash=10_000).index(None) for seed in range(40)]
    assert set(by_seed) == {0, 1, 2}
    draws = [wv.fill_draw(7, put(strike), D[0], 2**32 - 1, 0) for strike in (99.0, 98.0, 97.0)]
    chosen = reasons(order="random", seed=7, cash=10_000).index(None)
    assert draws[chosen] == min(draws)


def test_several_results_share_an_account() -> None:
    mids = {put(99.0): {0: 2.0}, put(98.0): {0: 2.0}}
    first, second = (result_of([expired(strike)], FLAT, mids) for strike in (99.0, 98.0))
    portfolio = wv.simulate([first, second], wv.Account(cash=10_000))
    assert portfolio.wheels.select("result", "taken").rows() == [(0, 1), (1, 0)]
    assert portfolio.underlying.height == 9
    portfolio.validate()
    both = wv.simulate([first, second], wv.Account(max_wheels_per_underlying=1))
    assert both.wheels["reason"].to_list() == [None, "max_wheels_per_underlying"]


def test_what_cannot_be_asked_is_refused() -> None:
    result = result_of([expired(99.0)], FLAT, {put(99.0): {0: 2.0}})
    for fields, message in (
        ({"cash": 0.0}, r"account\.cash = 0\.0: expected a number above 0"),
        ({"contracts": 2, "fraction": 0.1}, r"account\.contracts = 2 and account\.fraction = 0\.1"),
        ({"order": "best"}, r"account\.order"),
        ({"max_wheels": 0}, r"account\.max_wheels = 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            wv.Account(**fields)
    with pytest.raises(
        ConfigError, match=r"too small for any of 1 wheels: the least initial capit"
    ):
        wv.simulate(result, wv.Account(fraction=0.01))
    with pytest.raises(InputError, match=r"expected a wheelvec\.Result"):
        wv.simulate("out/")  # type: ignore[arg-type]
    late = pl.DataFrame({"session": [D[5]], "value": [1.0]})
    with pytest.raises(InputError, match=r"benchmark 'PUT'.*2024-01-02"):
        wv.simulate(result, benchmarks={"PUT": late})
    result.start = None
    with pytest.raises(LakeError, match=r"saved by an earlier version.*run it again"):
        wv.simulate(result)


def test_a_portfolio_is_saved_and_loaded(tmp_path: Path) -> None:
    result = result_of([expired(99.0)], FLAT, {put(99.0): {0: 2.0}})
    portfolio = wv.simulate(result, wv.Account(rate=0.03))
    portfolio.save(tmp_path / "out")
    portfolio.save(tmp_path / "out")
    loaded = wv.Portfolio.load(tmp_path / "out")
    for name in ("daily", "wheels", "deltas", "ledger", "benchmarks", "underlying", "events"):
        assert_frame_equal(getattr(loaded, name), getattr(portfolio, name), check_exact=True)
    assert loaded.account == portfolio.account
    assert loaded.metrics() == portfolio.metrics()
    assert repr(loaded) == repr(portfolio)
    with pytest.raises(LakeError, match="it is of another account"):
        wv.simulate(result, wv.Account(rate=0.02)).save(tmp_path / "out")
    loaded.validate()


def test_warnings_of_the_results_are_kept_each_once(tmp_path: Path) -> None:
    shared, own = RunWarning("odd", "A", 3, "both"), RunWarning("odd", None, 1, "the second")
    results = [result_of([expired(99.0)], FLAT, {put(99.0): {0: 2.0}}) for _ in range(2)]
    results[0]._frames["warnings"] = as_frame([shared])
    results[1]._frames["warnings"] = as_frame([shared, own])
    portfolio = wv.simulate(results)
    assert pickle.loads(pickle.dumps(portfolio)).warnings == (shared, own)
    assert portfolio.warnings == (shared, own)
    assert ", 2 warnings>" in repr(portfolio)
    assert "<li>the second</li>" in portfolio._repr_html_()
    portfolio.save(tmp_path / "out")
    assert wv.Portfolio.load(tmp_path / "out").warnings == (shared, own)


def test_a_portfolio_saved_before_there_were_warnings_has_none(tmp_path: Path) -> None:
    result = result_of([expired(99.0)], FLAT, {put(99.0): {0: 2.0}})
    wv.simulate(result).save(tmp_path)
    index = read_index(tmp_path / "portfolio.json", PORTFOLIO)
    content = {name: index.content[name] for name in ("version", "account", "results")}
    old = Index.of(PORTFOLIO, content, index.files)
    (tmp_path / "portfolio.json").write_text(old.text())
    assert wv.Portfolio.load(tmp_path).warnings == ()
    wv.simulate(result).save(tmp_path)


def test_warnings_of_saved_results_are_read_before_these_are_replaced(tmp_path: Path) -> None:
    market = wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")
    bare = wv.Market(option_quotes=market.option_quotes, underlying_bars=market.underlying_bars)
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
    portfolio = wv.simulate(wv.backtest(bare, config, out=tmp_path / "out"))
    wv.backtest(market, config, out=tmp_path / "out", overwrite=True)
    assert [each.code for each in portfolio.warnings] == ["no_option_bars"]


def test_what_was_altered_does_not_validate() -> None:
    result = result_of([expired(99.0)], FLAT, {put(99.0): {0: 2.0}})
    portfolio = wv.simulate(result)
    wrong = portfolio.daily.with_columns(
        equity=pl.when(pl.col("session") == D[3]).then(1.0).otherwise("equity")
    )
    frames = {name: getattr(portfolio, name) for name in ("wheels", "ledger")} | {"daily": wrong}
    with pytest.raises(RecordError, match="equity is not cash \\+ options \\+ shares: 2024-01-05"):
        wv.Portfolio(portfolio.account, frames, portfolio.results).validate()


def test_the_account_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "wheel.toml"
    path.write_text(
        '[account]\ncash = 50000\nfraction = 0.2\nmax_wheels = "none"\n[put]\nexit_pct = 0.3\n'
    )
    assert wv.Account.from_toml(path) == wv.Account(cash=50_000, fraction=0.2)
    assert wv.Config.from_toml(path).put.exit_pct == 0.3
    path.write_text("[account]\ncash = -1\n")
    with pytest.raises(
        ConfigError, match=r"wheel\.toml: account\.cash = -1: expected a number above"
    ):
        wv.Config.from_toml(path)


def test_an_account_can_be_changed() -> None:
    account = wv.Account(contracts=3)
    assert account.replace(fraction=0.2).contracts is None
    assert account.replace(fraction=0.2).replace(contracts=2).fraction is None
    assert wv.Account(**account.to_dict()) == account
    assert isinstance(D[0], dt.date)
