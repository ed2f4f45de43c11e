"""A result is saved whole, loaded only if untouched, and refuses what breaks its invariants."""

import gc
import json
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wheelvec as wv
from tests.random_markets import config_of, market_of, random_case, run
from wheelvec.demo.synthetic import demo_tables
from wheelvec.model.errors import InputError, LakeError, RecordError
from wheelvec.model.schemas import (
    CALL_DIAGNOSTICS,
    DIAGNOSTICS,
    EVENTS,
    LEDGER,
    PATHS,
    RECORDS,
    UNDERLYING_CLOSES,
    WHEELS,
)
from wheelvec.model.schemas import RESULT_TABLES as KINDS
from wheelvec.stages.arrays import quotient

FRAMES = {
    "records": RECORDS, "ledger": LEDGER, "diagnostics": DIAGNOSTICS, "call_diagnostics": CALL_DIAGNOSTICS,
    "paths": PATHS, "underlying": UNDERLYING_CLOSES, "events": EVENTS,
}  # fmt: skip


@pytest.fixture(scope="module")
def result() -> wv.Result:
    return run(*random_case(3))


def test_frames_have_their_schemas(result: wv.Result) -> None:
    assert {name: dict(getattr(result, name).schema) for name in FRAMES} == FRAMES


def test_save_and_load_give_the_same_result(result: wv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "out")
    loaded = wv.Result.load(tmp_path / "out")
    for name in FRAMES:
        assert_frame_equal(getattr(loaded, name), getattr(result, name), check_exact=True)
    assert (loaded.config, loaded.fingerprint, loaded.versions) == (
        result.config,
        result.fingerprint,
        result.versions,
    )
    assert loaded.summary() == result.summary()


def test_a_backtest_written_as_it_goes_equals_one_in_memory(tmp_path: Path) -> None:
    for seed in range(12):
        tables, sections = random_case(seed)
        market = market_of(tables)
        config = config_of(sections, market)
        memory, disk = (
            wv.backtest(market, config),
            wv.backtest(market, config, out=tmp_path / "out", overwrite=True),
        )
        for name in FRAMES:
            assert_frame_equal(getattr(disk, name), getattr(memory, name), check_exact=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_earlier_result_is_replaced_and_anything_else_kept(
    result: wv.Result, tmp_path: Path
) -> None:
    result.save(tmp_path / "out")
    result.save(tmp_path / "out")
    wv.Result.load(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(
        LakeError,
        match=r"mine: holds thesis\.txt, which is not of a saved result; nothing was written",
    ):
        result.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    with pytest.raises(LakeError, match=r"file: a file; expected a folder for a result"):
        result.save(tmp_path / "file")


def test_tables_in_memory_are_hashed_when_the_fingerprint_is_read_and_then_let_go() -> None:
    market = wv.Market(**demo_tables(end="2024-02-29"))
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
    results = [wv.backtest(market, config) for _ in range(2)]
    assert not market.is_verified  # the digests of its tables
    expected, alive = wv.Market(**demo_tables(end="2024-02-29")).fingerprint, weakref.ref(market)
    assert results[0].fingerprint == expected
    del market
    assert alive() is not None  # the warnings are computed from it
    for result in results:
        assert len(result.warnings) == 1
    gc.collect()
    assert alive() is None
    assert results[1].fingerprint == expected


def test_the_files_of_a_lake_are_hashed_during_the_run(tmp_path: Path) -> None:
    wv.Market(**demo_tables(end="2024-02-29")).write(tmp_path)
    market = wv.Market.open(tmp_path)
    result, expected = wv.backtest(market, wv.Config()), market.fingerprint
    for file in tmp_path.rglob("*.parquet"):
        file.unlink()
    assert result.fingerprint == expected


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    tables, sections = random_case(3)
    market = market_of(tables)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wv.backtest(market, config_of(sections, market), out=tmp_path / "out", progress=stop)
    assert list(tmp_path.iterdir()) == []


def _truncate(folder: Path) -> None:
    path = folder / "records.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def _rewrite(folder: Path) -> None:
    frame = pl.read_parquet(folder / "records.parquet").with_columns(pnl=pl.lit(1e6))
    frame.write_parquet(folder / "records.parquet")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, r"records.parquet: altered since it was written"),
        (_rewrite, r"records.parquet: altered since it was written"),
        (
            lambda folder: (folder / "ledger.parquet").unlink(),
            r"ledger.parquet: missing; the index beside it lists it",
        ),
        (
            lambda folder: (folder / "result.json").unlink(),
            r"result.json: cannot be read \(No such file",
        ),
        (lambda folder: (folder / "result.json").write_text("{"), r"result.json: no valid JSON"),
        (
            lambda folder: (folder / "result.json").write_text("[]"),
            r"result.json: not the index of a saved result",
        ),
    ],
)
def test_a_damaged_folder_is_an_error(
    result: wv.Result, tmp_path: Path, damage: Any, message: str
) -> None:
    result.save(tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(LakeError, match=message):
        wv.Result.load(tmp_path / "out")


def test_an_unknown_format_is_refused(result: wv.Result, tmp_path: Path) -> None:
    result.save(tmp_path / "out")
    path = tmp_path / "out" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(
        LakeError, match=r"result.json: format 99; this version of wheelvec reads format 2"
    ):
        wv.Result.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            pl.when(pl.col("phase") == "csp")
            .then(pl.col("pnl") + 0.01)
            .otherwise("pnl")
            .alias("pnl"),
            "a leg's pnl is not",
        ),
        (
            pl.when(pl.col("phase") == "total")
            .then(pl.col("pnl") + 0.01)
            .otherwise("pnl")
            .alias("pnl"),
            "total's pnl is not",
        ),
        (pl.lit("CSP_CLOSED_STOP").alias("state"), "a state that does not follow"),
        (pl.lit(None, pl.Float64).alias("exit_price"), "a resolved leg has no exit"),
        (pl.lit("one").alias("wheel_id"), "a wheel without exactly one put"),
        (pl.lit(7, pl.Int64).alias("cycle"), "calls are not numbered"),
        (pl.col("fees").cast(pl.Float32), "records do not have their schema"),
    ],
)
def test_validate_notices_what_is_wrong(result: wv.Result, change: pl.Expr, message: str) -> None:
    result.validate()
    frames = {kind: result._frame(kind) for kind in KINDS}
    broken = wv.Result(
        result.config, "", {}, {**frames, "records": result.records.with_columns(change)}
    )
    with pytest.raises(RecordError, match=message):
        broken.validate()


def test_validate_notices_a_ledger_that_does_not_add_up(result: wv.Result) -> None:
    frames = {kind: result._frame(kind) for kind in KINDS}
    broken = wv.Result(result.config, "", {}, {**frames, "ledger": result.ledger[1:]})
    first = result.wheels.filter(pl.col("pnl").is_not_null())["wheel_id"][0]
    with pytest.raises(
        RecordError, match=rf"the ledger of a resolved wheel does not sum to its pnl: {first}"
    ):
        broken.validate()


def test_diagnostics_hold_each_entry_session_and_symbol_once() -> None:
    for seed in range(20):
        tables, sections = random_case(seed)
        result = run(tables, sections)
        days = result.diagnostics
        assert days.select("session", "underlying").is_unique().all()
        launched = result.wheels.group_by("entry_date", "underlying").len()
        traded = days.filter(pl.col("n_launched") > 0)
        assert traded.height == launched.height
        assert set(traded["outcome"]) <= {"traded"}
        funnel = ["n_quotes", "n_valid", "n_solved", "n_in_range", "n_liquid", "n_launched"]
        for more, less in pairwise(funnel):
            assert (days[more] >= days[less]).all(), (more, less)


def test_a_signal_decides_what_may_open() -> None:
    tables, sections = random_case(3, schedule__allow_multiple_wheels_per_symbol=True)
    market = market_of(tables)
    config = config_of(sections, market)
    every = wv.backtest(market, config)
    day, name = every.wheels.select("entry_date", "underlying").row(0)
    some = wv.backtest(market, config, when=pl.DataFrame({"session": [day], "underlying": [name]}))
    expected = every.wheels.filter((pl.col("entry_date") == day) & (pl.col("underlying") == name))
    assert_frame_equal(some.wheels.drop("wheel_id"), expected.drop("wheel_id"))
    assert (some.diagnostics["outcome"] == "not_signalled").any()


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("now", r"when must be a Polars frame, a pandas DataFrame or an Arrow table, got str"),
        (
            pl.DataFrame({"session": [1]}),
            r"when lacks the column 'underlying': found \['session'\]",
        ),
        (
            pl.DataFrame({"session": ["soon"], "underlying": ["A"]}),
            r"when has columns .*expected session as Date",
        ),
    ],
)
def test_a_bad_signal_is_a_clear_error(when: Any, message: str) -> None:
    tables, sections = random_case(3)
    market = market_of(tables)
    with pytest.raises(InputError, match=message):
        wv.backtest(market, config_of(sections, market), when=when)


def test_unknown_symbols_and_empty_ranges_are_clear_errors() -> None:
    market = market_of(random_case(3)[0])
    with pytest.raises(InputError, match=r"unknown symbol 'NOPE'; allowed: "):
        wv.backtest(market, wv.Config(schedule=wv.Schedule(symbols=["NOPE"])))
    with pytest.raises(
        InputError, match=r"entries from 2050-01-01 to .*: the range is empty; the market holds"
    ):
        wv.backtest(market, wv.Config(schedule=wv.Schedule(start_date="2050-01-01")))
    with pytest.raises(InputError, match=r"unknown .*calendar.*'NYSEE'"):
        wv.backtest(market, wv.Config(schedule=wv.Schedule(trading_calendar="NYSEE")))
    with pytest.raises(
        InputError, match=r"pricing.rate starts on 2049-01-01: expected a value on or before"
    ):
        wv.backtest(market, wv.Config(pricing=wv.Pricing(rate=[("2049-01-01", 0.04)])))


def test_a_range_without_data_is_said_session_by_session() -> None:
    market = market_of(random_case(3)[0])
    result = wv.backtest(
        market, wv.Config(schedule=wv.Schedule(start_date="2030-01-02", end_date="2030-01-31"))
    )
    assert (result.diagnostics["outcome"] == "no_quotes").all()
    assert result.records.is_empty()
    figures = result.summary()
    assert (figures["total_wheels"], figures["total_pnl"], figures["total_pnl_worst"]) == (
        0,
        None,
        None,
    )
    result.validate()


def test_tables_without_rows_give_a_result_without_wheels() -> None:
    tables = random_case(3)[0]
    market = market_of({name: table.clear() for name, table in tables.items() if table is not None})
    with pytest.raises(InputError, match=r"the market holds no data and the schedule no dates"):
        wv.backtest(market)
    schedule = wv.Schedule(start_date="2024-01-02", end_date="2024-02-29")
    assert wv.backtest(market, wv.Config(schedule=schedule)).records.is_empty()
    with pytest.raises(InputError, match=r"unknown symbol 'TSLA'; allowed: none"):
        wv.backtest(market, wv.Config(schedule=wv.Schedule(symbols=["TSLA"])))
    for gone in ("option_quotes", "underlying_bars"):
        result = run({**tables, gone: tables[gone].clear()}, {"schedule": {}})
        result.validate()
        assert (
            result.wheels["pnl"].is_null().sum()
            == result.wheels.filter(pl.col("end_reason") == "unresolved").height
        )


def test_other_things_than_a_market_and_a_config_are_refused() -> None:
    market = market_of(random_case(3)[0])
    with pytest.raises(InputError, match=r"market is a dict: expected a wheelvec.Market"):
        wv.backtest({})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"config is a dict: expected a wheelvec.Config"):
        wv.backtest(market, {"put": {}})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"1500-01-01.*the years 1970 to 2199 are known"):
        wv.backtest(
            market, wv.Config(schedule=wv.Schedule(start_date="1500-01-01", end_date="1500-02-01"))
        )


@pytest.mark.parametrize("rules", ["ledger", "v5"])
def test_wheels_say_which_of_them_the_summary_is_over(rules: str) -> None:
    """The sums of wheels, ledger and summary differ; the columns of wheels show each."""
    for seed in range(6):
        result = run(*random_case(seed, rules=rules))
        wheels, figures = result.wheels, result.summary()
        inside = wheels.filter("in_summary")
        assert inside.height == figures["total_wheels"]
        assert inside["pnl_marked"].sum() == pytest.approx(figures["total_pnl"] or 0.0)
        assert rules == "ledger" or inside.height == wheels.height


def test_the_marked_share_of_the_total_is_separate(result: wv.Result) -> None:
    """One wheel of which only the mark is known."""
    before, wheels = result.summary(), result.wheels.filter("in_summary")
    wheel, mark = wheels.select("wheel_id", "pnl_marked").row(0)
    assert (before["marked_wheels"], before["marked_pnl"]) == (0, 0.0)
    open_one = (pl.col("wheel_id") == wheel) & (pl.col("phase") == "total")
    records = result.records.with_columns(pnl=pl.when(~open_one).then("pnl"))
    frames = {kind: result._frame(kind) for kind in KINDS}
    after = wv.Result(result.config, "", {}, {**frames, "records": records})
    assert (after.summary()["marked_wheels"], after.summary()["marked_pnl"]) == (1, mark)
    assert after.summary()["total_pnl"] == before["total_pnl"]
    assert after.wheels["in_summary"].equals(result.wheels["in_summary"])


def test_wheels_carry_how_they_were_entered_and_how_many_calls_they_sold(result: wv.Result) -> None:
    records, wheels = result.records, result.wheels
    assert wheels.columns == [
        *WHEELS,
        "in_summary",
        "dte_entry",
        "delta_entry",
        "iv_entry",
        "n_calls",
    ]
    assert (
        wheels["wheel_id"].to_list()
        == records.filter(pl.col("phase") == "total")["wheel_id"].to_list()
    )
    for name in ("dte_entry", "delta_entry", "iv_entry"):
        assert wheels[name].to_list() == records.filter(pl.col("phase") == "csp")[name].to_list()
    assert wheels["n_calls"].sum() == (records["phase"] == "cc").sum()
    assert wheels.filter(pl.col("n_calls") > 0)["csp_exit_reason"].unique().to_list() in (
        [],
        ["assigned"],
    )


def test_best_and_worst_are_the_extremes_of_the_summary(result: wv.Result) -> None:
    pnl = sorted(result.wheels.filter("in_summary")["pnl_marked"])
    assert result.worst(1)["pnl_marked"].item() == result.summary()["max_drawdown_proxy"]
    assert result.best(3)["pnl_marked"].to_list() == pnl[:-4:-1]
    assert result.worst(3)["pnl_marked"].to_list() == pnl[:3]
    assert result.worst().columns == result.wheels.columns
    assert result.worst().height == 10
    assert result.best(10**6)["pnl_marked"].to_list() == pnl[::-1]
    with pytest.raises(InputError, match="n = 0: expected a whole number of at least 1"):
        result.best(0)


def test_paths_begin_with_the_sale_and_closes_cover_the_whole_span(result: wv.Result) -> None:
    legs = result.records.filter(pl.col("phase") != "total")
    sales = legs.select("symbol", "spread_pct_entry", session="entry_date")
    found = sales.join(result.paths, on=["symbol", "session"], how="left")
    assert found["bid"].null_count() == 0
    spread = (found["ask"] - found["bid"]) / ((found["ask"] + found["bid"]) / 2)
    assert (spread - found["spread_pct_entry"]).abs().max() < 1e-12
    assert result.paths.select("symbol", "session").is_unique().all()
    span = result.wheels.group_by("underlying").agg(
        first=pl.col("entry_date").min(), last=pl.col("exit_date").max()
    )
    closes = result.underlying.group_by("underlying").agg(
        begin=pl.col("session").min(), end=pl.col("session").max()
    )
    both = span.join(closes, on="underlying")
    assert both.height == span.height > 0
    assert result.start is not None
    assert (both["begin"] >= result.start).all()
    assert (both["begin"] <= both["first"]).all()
    assert (both["end"] >= both["last"]).all()


def test_quotes_stand_for_the_bars_of_an_underlying_without_any() -> None:
    tables = next(tables for seed in range(30) if "option_bars" in (tables := random_case(seed)[0]))
    name = tables["option_quotes"]["underlying"].drop_nulls()[0]
    sections: dict[str, Any] = {
        "schedule": {"symbols": [name]},
        "put": {"delta_min": 0.05, "delta_max": 0.9, "dte_min": 1},
    }
    root = pl.col("symbol").str.slice(0, 6).str.strip_chars() == name
    without = run({**tables, "option_bars": tables["option_bars"].filter(~root)}, sections)
    del tables["option_bars"]
    assert_frame_equal(without.records, run(tables, sections).records)
    assert set(without.paths["source"]) == {"quote"}


@pytest.mark.parametrize("limit", [None, 1])
def test_ratios_are_exact_quotients_however_few_the_strikes(limit: int | None) -> None:
    """Polars divides by a column that is one number throughout as it multiplies by the inverse, a
    bit off in half of all cases.
    """
    tables = demo_tables(symbols=["BRVO"], start="2024-01-02", end="2024-06-28")
    schedule = wv.Schedule(end_date="2024-01-31", max_wheels_per_symbol_per_day=limit)
    records = wv.backtest(wv.Market(**tables), wv.Config(schedule=schedule)).records
    wheels = records.filter((pl.col("phase") == "total") & pl.col("pnl").is_not_null())
    assert wheels.height > 10
    for pnl, capital, roc, days, annual in wheels.select(
        "pnl", "initial_capital", "wheel_roc", "calendar_days", "roc_annualized"
    ).iter_rows():
        assert roc == 100.0 * pnl / capital
        assert annual == roc * 365.0 / days
    one = wheels.head(1).select("pnl")
    joined = wheels.select("pnl").join(one.select(strike=pl.lit(11500.0)), how="cross")
    assert quotient(joined, "pnl", "strike", 100.0).to_list() == [
        100.0 * pnl / 11500.0 for pnl in joined["pnl"]
    ]
