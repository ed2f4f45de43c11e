"""A sweep under an account has the metrics and the equity of a loop over `simulate`."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.oracle import event_markets
from tests.random_markets import config_of, market_of, random_case
from tests.run.test_sweep import frame_of, random_rows
from wheelvec import cli
from wheelvec.model.errors import ConfigError, InputError, LakeError
from wheelvec.run.accounts.evaluation import ACCOUNT_FIGURES
from wheelvec.stages.metrics import METRICS

COUNTS = {"taken", "resolved", "skipped", "skipped_too_small"}
START, LAST = "2024-01-02", "2024-03-28"


def random_account(rng: random.Random) -> dict[str, Any]:
    contracts, fraction = rng.choice([(1, None), (2, None), (None, 0.3), (None, 0.8)])
    return {
        "account.cash": rng.choice([20_000.0, 60_000.0, 1e6]),
        "account.contracts": contracts,
        "account.fraction": fraction,
        "account.max_wheels": rng.choice([None, None, 3]),
        "account.max_wheels_per_underlying": rng.choice([None, 2]),
        "account.max_share_per_underlying": rng.choice([None, 0.5]),
        "account.rate": rng.choice([0.0, 0.05]),
        "account.order": rng.choice(["record", "premium", "random"]),
        "account.seed": rng.randrange(2**63),
    }


def differences(sweep: wv.Sweep, rows: list[int] | None = None) -> list[str]:
    """Where the frame and `equity` are not what `simulate` gives of single rows."""
    wrong = []
    for i in range(sweep.frame.height) if rows is None else rows:
        row = sweep.frame.row(i, named=True)
        try:
            portfolio = wv.simulate(sweep.result(i), sweep.row_account(i))
        except ConfigError:
            known = {name for name in METRICS if row[f"account_{name}"] is not None}
            if not known >= COUNTS or row["account_skipped_too_small"] == 0:
                wrong.append(f"row {i} is not too small")
            continue
        for name, value in portfolio.metrics().items():
            found = row[f"account_{name}"]
            both = found is not None and value is not None
            if not (
                math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-9) if both else found is value
            ):
                wrong.append(f"row {i} {name}: {found} != {value}")
        daily = sweep.equity([i]).drop_nulls()
        if daily["session"].to_list() != portfolio.daily["session"].to_list():
            wrong.append(f"row {i}: other sessions")
        elif (daily[str(i)] - portfolio.daily["equity"]).abs().max() > 1e-6:
            wrong.append(f"row {i}: other equity")
    return wrong


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["ALFA", "BRVO"], start=START, end=LAST)


@pytest.fixture(scope="module")
def config() -> wv.Config:
    return wv.Config(schedule=wv.Schedule(end_date="2024-01-31"))


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_agree_on_nothing_equal_simulate(seed: int) -> None:
    rng = random.Random(seed)
    market = market_of(random_case(seed)[0])
    rows = [row | random_account(rng) for row in random_rows(seed, 12, market)]
    sweep = wv.sweep(market, None, frame_of(rows), skip_invalid=True, threads=1)
    assert not (wrong := differences(sweep)), wrong[:10]


@pytest.mark.parametrize("seed", range(4))
def test_rows_equal_simulate_where_events_happen(seed: int) -> None:
    rng = random.Random(seed)
    market = market_of(event_markets.random_event_market(seed))
    config = config_of(event_markets.random_event_config(seed, "ledger"), market)
    names = tuple(random_account(rng))
    accounts = [tuple(random_account(rng).values()) for _ in range(3)]
    grid = {"put.exit_pct": [0.3, 0.6], "rules": ["ledger", "v5"], names: accounts}
    sweep = wv.sweep(market, config, grid, skip_invalid=True, threads=1)
    assert not (wrong := differences(sweep)), wrong[:10]


@pytest.mark.slow
def test_many_rows_equal_simulate() -> None:
    for seed in range(6, 60):
        test_rows_that_agree_on_nothing_equal_simulate(seed)
        test_rows_equal_simulate_where_events_happen(seed)


def test_an_account_without_axes(market: wv.Market, config: wv.Config) -> None:
    account = wv.Account(cash=40_000, rate=[("2024-01-02", 0.02), ("2024-01-20", 0.05)])
    sweep = wv.sweep(market, config, {"put.exit_pct": [0.3, 0.5]}, account=account)
    assert sweep.row_account(1) == account
    assert not differences(sweep)
    plain = wv.sweep(market, config, {"put.exit_pct": [0.3, 0.5]})
    figures = [name for name in sweep.frame.columns if name not in ACCOUNT_FIGURES]
    assert_frame_equal(sweep.frame.select(figures), plain.frame, check_exact=True)
    assert sweep.figures[-len(METRICS) :] == list(ACCOUNT_FIGURES)


def test_without_quotes_the_account_stays_in_cash_over_the_schedule(market: wv.Market) -> None:
    bare = wv.Market(
        option_quotes=market.option_quotes.clear(), underlying_bars=market.underlying_bars
    )
    days = {"start_date": "2024-01-02", "end_date": "2024-01-31"}
    for more, last in ({}, "2024-01-31"), ({"weekdays": [1]}, "2024-01-29"):
        config = wv.Config(schedule=wv.Schedule(**days, **more))  # type: ignore[arg-type]
        sweep = wv.sweep(bare, config, {"account.cash": [50_000, 60_000]})
        assert not differences(sweep)
        daily = wv.simulate(sweep.result(0), sweep.row_account(0)).daily
        ends = daily["session"].min(), daily["session"].max()
        assert tuple(map(str, ends)) == ("2024-01-02", last)
        assert daily["equity"].unique().to_list() == [50_000.0]


def test_a_size_that_is_swept_replaces_the_other(market: wv.Market, config: wv.Config) -> None:
    grid = {"account.fraction": [None, 0.5]}
    sweep = wv.sweep(market, config, grid, account=wv.Account(contracts=2, cash=90_000))
    assert [sweep.row_account(i).contracts for i in range(2)] == [2, None]
    assert not differences(sweep)
    # without an account the axes are of the default one
    assert wv.sweep(market, config, grid).row_account(0) == wv.Account()


def test_rows_that_differ_in_the_account_alone(market: wv.Market, config: wv.Config) -> None:
    grid = {"account.cash": [20_000, 80_000], "put.exit_pct": [0.3, 0.5], "account.seed": [1, 1]}
    sweep = wv.sweep(market, config, grid)
    assert sweep.frame["config_id"].n_unique() == 2
    assert sweep.frame["total_pnl"].n_unique() == 2
    assert sweep.frame["account_total_return"].n_unique() > 2
    assert not differences(sweep, [0, 7])


def test_over_the_seeds_of_the_account(market: wv.Market, config: wv.Config) -> None:
    grid = {"put.exit_pct": [0.3, 0.5], "account.seed": [1, 2, 3]}
    sweep = wv.sweep(market, config, grid, account=wv.Account(cash=40_000, order="random"))
    found = sweep.over_seeds()
    assert found.select("put.exit_pct", "seeds").rows() == [(0.3, 3), (0.5, 3)]
    returns = sweep.frame["account_total_return"].to_list()
    assert found["account_total_return"].to_list() == pytest.approx(
        [sum(returns[:3]) / 3, sum(returns[3:]) / 3]
    )
    assert found["total_pnl_fill_se"].to_list() == [0.0, 0.0]
    assert sweep.over_seeds(against=0)["account_total_return"][0] == 0.0
    both = wv.sweep(market, config, grid | {"fills.execution_seed": [5, 6]})
    assert both.over_seeds()["seeds"].to_list() == [6, 6]
    assert "seeds" in sweep.best("account_sharpe").columns


def test_chunks_threads_and_order_change_nothing(market: wv.Market, config: wv.Config) -> None:
    grid = {"put.exit_pct": [0.3, 0.4, 0.5], "account.order": ["record", "random"]}
    account = wv.Account(cash=60_000)
    whole = wv.sweep(market, config, grid, account=account, threads=1)
    for given in ({"threads": 2}, {"memory": 2_000_000}):
        assert_frame_equal(
            wv.sweep(market, config, grid, account=account, **given).frame, whole.frame
        )
    rows = whole.frame.select(whole.names)
    turned = wv.sweep(market, config, rows.reverse(), account=account).frame
    assert_frame_equal(turned.reverse(), whole.frame, rel_tol=1e-12)


def test_a_fraction_that_lets_nothing_in_is_counted(market: wv.Market, config: wv.Config) -> None:
    sweep = wv.sweep(market, config, {"account.fraction": [0.001, 0.5]})
    row = sweep.frame.row(0, named=True)
    assert row["account_total_return"] is None
    assert row["account_taken"] == 0
    assert (
        row["account_skipped_too_small"] == row["account_skipped"] == sweep.result(0).wheels.height
    )
    assert sweep.frame["account_total_return"][1] is not None
    with pytest.raises(ConfigError, match="too small for any of"):
        wv.simulate(sweep.result(0), sweep.row_account(0))


def test_what_is_wrong_is_named(market: wv.Market, config: wv.Config) -> None:
    for grid, message in (
        ({"account.cahs": [1.0]}, r"unknown field 'account\.cahs'.*did you mean 'account\.cash'"),
        ({"account.cash": [-1.0]}, r"account\.cash = -1\.0: expected a number above 0"),
        (
            {("account.contracts", "account.fraction"): [(2, 0.1)]},
            r"account\.contracts = 2 and account\.fraction = 0\.1 are both given",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            wv.sweep(market, config, grid)
    with pytest.raises(InputError, match=r"account is 'big': expected a wheelvec\.Account"):
        wv.sweep(market, config, {"put.exit_pct": [0.5]}, account="big")  # type: ignore[arg-type]
    late = wv.Account(rate=[("2024-02-01", 0.02)])
    with pytest.raises(
        InputError, match=r"account\.rate starts on 2024-02-01: expected a value on"
    ):
        wv.sweep(market, config, {"put.exit_pct": [0.5]}, account=late)
    plain = wv.sweep(market, config, {"put.exit_pct": [0.5]})
    with pytest.raises(InputError, match="equity: the sweep ran under no account"):
        plain.equity()
    with pytest.raises(InputError, match="row_account: the sweep ran under no account"):
        plain.row_account(0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows is empty: expected at least one row"),
        (0, r"rows = 0: expected rows of the frame, such as \[0, 1\]"),
        ("0", "rows = '0': expected rows of the frame"),
        ([2], "i = 2: expected a row from 0 to 1"),
    ],
)
def test_rows_of_no_equity_are_named(
    market: wv.Market, config: wv.Config, rows: Any, message: str
) -> None:
    sweep = wv.sweep(market, config, {"account.cash": [50_000, 100_000]})
    with pytest.raises(InputError, match=message):
        sweep.equity(rows)


def test_skipped_rows_state_both_sizes(market: wv.Market, config: wv.Config) -> None:
    sizes = {("account.contracts", "account.fraction"): [(2, 0.1), (2, None)]}
    sweep = wv.sweep(market, config, sizes, skip_invalid=True)
    assert sweep.frame.height == 1
    assert "are both given" in sweep.skipped["reason"][0]


def test_saved_and_loaded(market: wv.Market, config: wv.Config, tmp_path: Path) -> None:
    grid, account = {"account.fraction": [0.2, 0.5]}, wv.Account(fraction=0.1, rate=0.03)
    sweep = wv.sweep(market, config, grid, account=account, out=tmp_path / "out")
    loaded = wv.Sweep.load(tmp_path / "out", market)
    assert_frame_equal(loaded.frame, sweep.frame, check_exact=True)
    assert loaded.row_account(1) == account.replace(fraction=0.5)
    assert_frame_equal(loaded.equity(), sweep.equity())
    loaded.save(tmp_path / "out")
    with pytest.raises(LakeError, match="it ran under another account"):
        wv.sweep(market, config, grid, account=account.replace(cash=5e4), out=tmp_path / "out")
    with pytest.raises(InputError, match="equity is computed from the market"):
        wv.Sweep.load(tmp_path / "out").equity()


def test_the_example_of_the_page_runs() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "portfolio.md"
    block = page.read_text().partition("### Many configurations")[2].split("```")[1]
    namespace: dict[str, Any] = {}
    exec(compile(block.removeprefix("python\n"), str(page), "exec"), namespace)
    assert namespace["band"].height == 2
    assert namespace["equity"].columns == ["session", "0", "8"]


def test_the_command_line(
    market: wv.Market, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market.write(tmp_path / "lake")
    wheel, grid = tmp_path / "wheel.toml", tmp_path / "grid.toml"
    wheel.write_text(
        '[schedule]\nend_date = 2024-01-12\n[account]\ncash = 40_000\norder = "random"\n'
    )
    grid.write_text("[account]\nseed = {first = 1, last = 3}\n[put]\nexit_pct = [0.3, 0.5]\n")
    given = ["sweep", str(wheel), str(grid), "--lake", str(tmp_path / "lake")]
    assert cli.main([*given, "--out", str(tmp_path / "out"), "--by", "account_sharpe"]) == 0
    assert "The greatest account_sharpe of 2 configurations" in capsys.readouterr().out
    assert wv.Sweep.load(tmp_path / "out").row_account(0).cash == 40_000.0
    assert cli.main(["show", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["account_taken"] > 0
    wheel.write_text("[schedule]\nend_date = 2024-01-12\n")
    grid.write_text("[put]\nexit_pct = [0.3, 0.5]\n")
    plain = [*given, "--out", str(tmp_path / "plain"), "--by", "account_sharpe"]
    assert cli.main(plain) == 1
    assert "unknown figure of --by 'account_sharpe'" in capsys.readouterr().err
    assert cli.main([*plain, "--account"]) == 0
