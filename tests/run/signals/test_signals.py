"""A row of a sweep opens wheels where its signal allows it, and nowhere else: it is the backtest of
its configuration with that signal as `when`, in all that a sweep offers.
"""

import datetime as dt
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.random_markets import config_of, market_of, random_case
from tests.run.test_sweep import frame_of, further_figures, random_rows
from wheelvec.model.errors import ConfigError, InputError, LakeError
from wheelvec.model.schemas import RESULT_TABLES
from wheelvec.run.results import store
from wheelvec.run.results.index import Index
from wheelvec.run.results.store import SWEEP
from wheelvec.run.signals.pairs import Signal
from wheelvec.run.slicing import slices

CONFIG = wv.Config(schedule=wv.Schedule(end_date="2024-01-31"))
FRAMES = [name for name in RESULT_TABLES if name != "warnings"]


def days_of(market: wv.Market, symbol: str) -> list[dt.date]:
    """The sessions on which an underlying has quotes."""
    first, last = market.data_range or (dt.date(2024, 1, 1), dt.date(2024, 1, 1))
    return sorted(market.quotes(symbol, first, last)["session"].unique().to_list())


def pairs_of(days: list[dt.date], symbol: str) -> pl.DataFrame:
    """One underlying on some days."""
    schema = {"session": pl.Date, "underlying": pl.String}
    return pl.DataFrame({"session": days, "underlying": [symbol] * len(days)}, schema=schema)


def random_signal(market: wv.Market, rng: np.random.Generator, share: float) -> pl.DataFrame:
    """A share of all days with quotes of each underlying, in no order and some of them twice."""
    parts = [pairs_of([], "")]
    for symbol in market.symbols:
        days = days_of(market, symbol)
        parts.append(pairs_of([day for day in days if rng.random() < share], symbol))
    found = pl.concat(parts)
    return pl.concat([found, found.head(2)]).sample(fraction=1.0, shuffle=True, seed=1)


def of_backtests(sweep: wv.Sweep, market: wv.Market, whens: list[Any]) -> list[str]:
    """Where figures and results are not those of a backtest with the row's signal."""
    found = []
    for i, when in enumerate(whens):
        right = wv.backtest(market, sweep.row_config(i), when=when)
        row, result = sweep.frame.row(i, named=True), sweep.result(i)
        expected = right.summary() | further_figures(right) | {"config_id": right.config.id}
        del expected["marked_pnl"]  # not among a sweep's figures
        found += [f"row {i} {name}" for name, value in expected.items() if row[name] != value]
        found += [
            f"result {i} {name}"
            for name in FRAMES
            if not getattr(result, name).equals(getattr(right, name))
        ]
        if result.warnings != right.warnings or result.summary() != right.summary():
            found.append(f"result {i}: {result.warnings}")
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("seed", range(300, 306))
def test_rows_equal_backtests_with_their_signals(seed: int, threads: int) -> None:
    market, rng = market_of(random_case(seed)[0]), np.random.default_rng(seed)
    signals = {f"s{k}": random_signal(market, rng, share) for k, share in enumerate((0.6, 0.2))}
    signals |= {"never": pairs_of([], ""), "elsewhere": pairs_of(days_of(market, "X"), "X")}
    names = [None, "s0", "s1", "never", "elsewhere", "s0"]
    grid = frame_of(random_rows(seed, 6, market)).with_columns(signal=pl.Series(names))
    sweep = wv.sweep(market, None, grid, signals=signals, threads=threads)
    assert of_backtests(sweep, market, [name and signals[name] for name in names]) == []


@pytest.mark.parametrize("seed", range(306, 309))
def test_when_bounds_every_row_and_signals_within_it(seed: int) -> None:
    tables, sections = random_case(seed)
    market, rng = market_of(tables), np.random.default_rng(seed)
    when, one = random_signal(market, rng, 0.7), random_signal(market, rng, 0.5)
    both = one.unique().join(when, on=["session", "underlying"], how="semi")
    grid: dict[str, list[Any]] = {"put.exit_pct": [0.25, 0.5], "signal": [None, "one"]}
    base = config_of(sections, market)
    sweep = wv.sweep(market, base, grid, when=when.lazy(), signals={"one": one})
    assert of_backtests(sweep, market, [when, both] * 2) == []
    alone = wv.sweep(market, base, {"put.exit_pct": [0.25, 0.5]}, when=when)
    assert_frame_equal(alone.frame, sweep.frame[::2].drop("signal"), check_exact=True)


@pytest.fixture(scope="module")
def market() -> wv.Market:
    """Two underlyings, three months."""
    return wv.demo_market(symbols=["ALFA", "BRVO"], start="2024-01-02", end="2024-03-28")


@pytest.fixture(scope="module")
def signals(market: wv.Market) -> dict[str, pl.DataFrame]:
    """Two signals on its entry sessions."""
    days = [day for day in days_of(market, "ALFA") if day.month == 1]
    even = pl.concat([pairs_of(days[::2], "ALFA"), pairs_of(days[::2], "BRVO")])
    return {"even": even, "first": pairs_of(days[:1], "BRVO")}


GRID: dict[str, list[Any]] = {
    "signal": [None, "even", "first"],
    "put.exit_pct": [0.25, 0.5],
    "fills.execution_seed": [1, 2],
}


@pytest.fixture(scope="module")
def swept(market: wv.Market, signals: dict[str, pl.DataFrame]) -> wv.Sweep:
    """Three signals, two targets, two seeds."""
    return wv.sweep(market, CONFIG, GRID, signals=signals)


def test_a_row_is_its_configuration_and_its_signal(swept: wv.Sweep) -> None:
    frame = swept.frame
    assert swept.names == list(GRID)
    assert frame["config_id"].n_unique() == 4  # the signal is no field of the configuration
    assert (
        frame.group_by("config_id").agg(pl.col("total_wheels").n_unique())["total_wheels"].to_list()
        == [3] * 4
    )
    assert swept.row_config(0) == swept.row_config(4)
    assert swept.row_when(0) is None
    when = swept.row_when(8)
    assert when is not None
    assert when.height == 1
    assert swept.result(8).wheels["underlying"].unique().to_list() == ["BRVO"]


def test_wheels_and_periods_are_those_of_each_signal(market: wv.Market, swept: wv.Sweep) -> None:
    wheels, values = swept.pnl()
    periods = swept.periods()
    for i in range(0, swept.frame.height, 3):
        result = wv.backtest(market, swept.row_config(i), when=swept.row_when(i))
        mine = wheels.filter(pl.Series(~np.isnan(values[:, i])))
        launched = result.wheels.select("underlying", "entry_date", "put_symbol").sort(mine.columns)
        assert_frame_equal(mine.sort(mine.columns), launched)
        right = result.wheels["pnl_marked"].sum()
        assert np.nansum(values[:, i]) == pytest.approx(right, rel=1e-5)
        period = periods.filter(row=i)
        assert period["wheels"].sum() == result.wheels.height
        assert period["pnl"].sum() == pytest.approx(right)


def test_seeds_and_rankings_are_of_one_signal_each(swept: wv.Sweep) -> None:
    over = swept.over_seeds()
    assert over.select("signal", "put.exit_pct").rows() == [
        (name, target) for name in GRID["signal"] for target in GRID["put.exit_pct"]
    ]
    assert over["seeds"].to_list() == [2] * 6
    best = swept.best("total_wheels")
    assert best["signal"].to_list() == [None, None, "even", "even", "first", "first"]
    assert " none" in best.text()
    assert "even" in best.text()


def test_no_chain_is_solved_again_for_a_result(
    market: wv.Market, swept: wv.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"put.dte_max": [31, 44, 59], "call.dte_max": [29, 61]}
    other = wv.sweep(market, CONFIG, grid)
    expected = [wv.backtest(market, other.row_config(i)) for i in range(6)]
    monkeypatch.setattr(slices, "_made_slice", pytest.fail)
    for i, right in enumerate(expected):
        assert other.result(i).records.equals(right.records)
    swept.result(5)


@pytest.mark.parametrize("cycles", [1, 3, None])
def test_results_are_recorded_on_the_slices_of_the_sweep(
    cycles: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where entries start within a year and wheels reach into others too."""
    market, same = (
        wv.demo_market(symbols=["ALFA"], start="2022-01-03", end="2024-03-28") for _ in range(2)
    )
    schedule = wv.Schedule(start_date="2022-11-01", end_date="2023-02-28", every=5)
    config = wv.Config(schedule=schedule).replace(**{"call.max_cycles": cycles})
    swept = wv.sweep(market, config, {"put.exit_pct": [0.25, 0.5]})
    with monkeypatch.context() as patch:
        patch.setattr(slices, "_made_slice", pytest.fail)
        found = swept.result(1)
    right = wv.backtest(same, swept.row_config(1))
    assert [name for name in FRAMES if not getattr(found, name).equals(getattr(right, name))] == []


def test_a_saved_sweep_has_its_signals(market: wv.Market, swept: wv.Sweep, tmp_path: Path) -> None:
    swept.save(tmp_path / "s")
    loaded = wv.Sweep.load(tmp_path / "s", market)
    assert_frame_equal(loaded.frame, swept.frame)
    for i in (0, 5, 9):
        assert loaded.result(i).records.equals(swept.result(i).records)
    assert loaded.periods().equals(swept.periods())
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "sweep.json").read_text() == (
        tmp_path / "s" / "sweep.json"
    ).read_text()
    swept.result(9).save(tmp_path / "r")
    again = wv.backtest(
        market, swept.row_config(9), when=swept.row_when(9), out=tmp_path / "r"
    )  # which is refused if another signal is stated there
    assert again.records.equals(swept.result(9).records)
    copied = pickle.loads(pickle.dumps(wv.Sweep.load(tmp_path / "s")))
    assert copied.row_when(9).equals(swept.row_when(9))


def test_a_sweep_continues_with_the_same_signals_only(
    market: wv.Market, signals: dict[str, pl.DataFrame], swept: wv.Sweep, tmp_path: Path
) -> None:
    out = tmp_path / "s"

    def again(**changed: Any) -> pl.DataFrame:
        given = {"signals": signals, "when": None} | changed
        return wv.sweep(market, CONFIG, GRID, out=out, **given).frame

    assert_frame_equal(again(), swept.frame)
    shuffled = {name: frame[::-1] for name, frame in signals.items()}
    unused = {"unused": signals["even"]}
    assert_frame_equal(again(signals=shuffled | unused), swept.frame)
    for changed in (
        {"signals": signals | {"first": signals["even"]}},
        {"when": signals["even"]},
        {"signals": {"even": signals["first"], "first": signals["even"]}},
    ):
        with pytest.raises(LakeError, match="other signals"):
            again(**changed)
    renamed: dict[str, list[Any]] = GRID | {"signal": [None, "first", "even"]}
    with pytest.raises(LakeError, match="other rows"):
        wv.sweep(market, CONFIG, renamed, signals=signals, out=out)
    without = {name: values for name, values in GRID.items() if name != "signal"}
    with pytest.raises(LakeError, match="other signals"):
        wv.sweep(market, CONFIG, without, out=out)


def test_chunks_of_other_signals_are_not_taken(
    market: wv.Market,
    signals: dict[str, pl.DataFrame],
    swept: wv.Sweep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupted sweep is not continued with another frame under the same name."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    other = {"even": signals["first"], "first": signals["even"]}
    with monkeypatch.context() as patch:
        patch.setattr(store.SweepStore, "finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wv.sweep(market, CONFIG, GRID, signals=other, out=tmp_path / "s")
    assert list((tmp_path / "s" / "chunks").iterdir())
    found = wv.sweep(market, CONFIG, GRID, signals=signals, out=tmp_path / "s", overwrite=True)
    assert_frame_equal(found.frame, swept.frame)


def test_skipped_rows_are_saved(market: wv.Market, tmp_path: Path) -> None:
    grid = {"put.delta_min": [0.1, 0.3], "put.delta_max": [0.2, 0.4], "signal": [None, "a", "b"]}
    day = pairs_of([dt.date(2024, 1, 2)], "ALFA")
    sweep = wv.sweep(market, CONFIG, grid, signals={"a": day}, skip_invalid=True, out=tmp_path)
    assert sweep.skipped["row"].to_list() == [2, 5, 6, 7, 8, 11]
    assert "unknown signal 'b'" in sweep.skipped["reason"][0]
    loaded = wv.Sweep.load(tmp_path)
    assert_frame_equal(loaded.skipped, sweep.skipped)
    loaded.save(tmp_path / "again")
    assert_frame_equal(wv.Sweep.load(tmp_path / "again").skipped, sweep.skipped)


def test_a_sweep_saved_before_there_were_signals_is_read(market: wv.Market, tmp_path: Path) -> None:
    sweep = wv.sweep(market, CONFIG, {"put.exit_pct": [0.25, 0.5]})
    sweep.save(tmp_path / "s")
    stated = json.loads((tmp_path / "s" / "sweep.json").read_text())
    files = {name: digest for name, digest in stated["files"].items() if name not in SWEEP.added}
    content = {name: stated[name] for name in SWEEP.fields if name != "signals"}
    assert len(stated["files"]) == len(files) + 3
    (tmp_path / "s" / "sweep.json").write_text(Index.of(SWEEP, content, files).text())
    for name in stated["files"].keys() - files.keys():
        (tmp_path / "s" / name).unlink()
    loaded = wv.Sweep.load(tmp_path / "s", market)
    assert_frame_equal(loaded.frame, sweep.frame)
    assert loaded.skipped.is_empty()
    assert loaded.row_when(0) is None
    again = wv.sweep(market, CONFIG, {"put.exit_pct": [0.25, 0.5]}, out=tmp_path / "s")
    assert_frame_equal(again.frame, sweep.frame)
    loaded.save(tmp_path / "s")
    assert {path.name for path in (tmp_path / "s").glob("*.parquet")} == SWEEP.files


@pytest.mark.parametrize(
    ("grid", "given", "kind", "message"),
    [
        ({"signal": ["evens"]}, ["even"], ConfigError, r"unknown signal 'evens' .*mean 'even'"),
        ({"signal": [1]}, ["even"], ConfigError, "unknown signal 1; allowed: even"),
        ({"signal": ["even"]}, [], ConfigError, "unknown signal 'even': signals= holds none"),
        ({"signals": ["even"]}, ["even"], ConfigError, "'signals'.*did you mean 'signal'"),
        ({"put.exit_pct": [0.5]}, ["even"], InputError, "'even', but the grid has no column 'sig"),
    ],
)
def test_names_that_are_wrong_are_clear_errors(
    market: wv.Market,
    signals: dict[str, pl.DataFrame],
    grid: dict[str, list[Any]],
    given: list[str],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        wv.sweep(market, CONFIG, grid, signals={name: signals[name] for name in given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"signals": ["a"]}, r"signals = \['a'\]: expected a mapping"),
        ({"signals": {1: "a"}}, "expected a mapping of names"),
        ({"signals": {"": "a"}}, "expected a mapping of names"),
        ({"signals": {"a": "now"}}, r"signals\['a'\] must be a Polars frame"),
        (
            {"signals": {"a": pl.DataFrame({"session": ["2024-01-02"]})}},
            r"signals\['a'\] lacks the column 'underlying'",
        ),
        ({"when": "now"}, "when must be a Polars frame"),
        (
            {"when": pl.DataFrame({"session": ["soon"], "underlying": ["A"]})},
            "when has columns .*expected session as Date",
        ),
    ],
)
def test_frames_that_are_none_are_clear_errors(
    market: wv.Market, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(wv.WheelvecError, match=message):
        wv.sweep(market, CONFIG, {"signal": [None]}, **given)


def test_signals_that_match_nothing_are_named(
    market: wv.Market, signals: dict[str, pl.DataFrame]
) -> None:
    stray = pl.concat(
        [
            signals["even"],
            pairs_of([dt.date(2024, 1, 6)], "ALFA"),
            pairs_of([dt.date(2024, 1, 3)], "ALFO"),
        ]
    )
    grid = {"signal": ["stray", "even"], "schedule.symbols": [["ALFA"], ["ALFA", "BRVO"]]}
    frames = {"stray": stray, "even": signals["even"], "unused": stray}
    sweep = wv.sweep(market, CONFIG, grid, signals=frames)
    (warning,) = sweep.warnings
    assert warning.code == "unmatched_signals"
    assert warning.text.startswith("signals['stray']: 2 of 22 signals match no entry session: ")
    assert "ALFO (did you mean ALFA?)" in warning.text
    assert "2024-01-06 (Sat)" in warning.text
    alone = wv.sweep(market, CONFIG, {"put.exit_pct": [0.5]}, when=stray)
    assert [str(w) for w in alone.warnings] == [
        str(w) for w in wv.backtest(market, CONFIG, when=stray).warnings
    ]
    never = wv.sweep(market, CONFIG, {"signal": ["never"]}, signals={"never": stray.clear()})
    assert never.frame["total_wheels"].to_list() == [0]
    assert "not_signalled" in never.warnings[0].text


def test_the_pairs_of_some_underlyings_are_those_of_the_whole() -> None:
    days = [dt.date(2024, 1, day) for day in (2, 3, 4)]
    pairs = [(day, name) for name in ("CC", "AA", "BB") for day in days]
    frame = pl.DataFrame(pairs, schema=["session", "underlying"], orient="row")
    whole = Signal.read("when", frame)
    for wanted in (["BB", "AA", "XX"], ["CC"], []):
        mine = Signal.read("when", frame.filter(pl.col("underlying").is_in(wanted)))
        assert whole.only(wanted).digest == mine.digest
        assert whole.only(wanted).pairs["underlying"].unique().is_in(wanted).all()
