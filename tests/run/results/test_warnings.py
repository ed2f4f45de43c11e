"""Faults of data or run are reported with the result: each case is the demo market with exactly one
fault.
"""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.lake.test_inspection import split
from tests.market.build import SHARED
from wheelvec.demo.synthetic import demo_tables
from wheelvec.model.schemas import WARNINGS
from wheelvec.run.results import warnings as warnings_module
from wheelvec.run.results.warnings import RunWarning, as_frame, of_frame
from wheelvec.tables.suspected import SUSPECTED

Tables = dict[str, pl.DataFrame]
DAY = dt.date.fromisoformat
CONFIG = wv.Config(
    schedule=wv.Schedule(
        start_date="2024-01-02", end_date="2024-03-08", max_wheels_per_symbol_per_day=1
    ),
    call=wv.CallRules(max_cycles=1),
)
MAY = DAY("2024-05-01")
CHEAP = {"put.exit_pct": [0.25, 0.5]}


@pytest.fixture(scope="module")
def whole() -> Tables:
    return demo_tables(symbols=["ALFA", "BRVO"], start="2024-01-02", end="2024-05-31")


@pytest.fixture(scope="module")
def clean(whole: Tables) -> wv.Market:
    return wv.Market(**whole)  # type: ignore[arg-type]


def run(tables: Tables, config: wv.Config = CONFIG, **more: Any) -> tuple[RunWarning, ...]:
    return wv.backtest(wv.Market(**tables), config, **more).warnings  # type: ignore[arg-type]


def named(warnings: tuple[RunWarning, ...]) -> list[tuple[str, str | None]]:
    return [(warning.code, warning.underlying) for warning in warnings]


def of_brvo(name: str) -> pl.Expr:
    return (
        pl.col("symbol").str.starts_with("BRVO")
        if name == "option_bars"
        else pl.col("underlying") == "BRVO"
    )


def change(name: str, **columns: pl.Expr) -> Callable[[Tables], Tables]:
    """BRVO's rows of a table changed."""
    return lambda tables: (
        tables
        | {
            name: tables[name].with_columns(
                pl.when(of_brvo(name)).then(value).otherwise(column).alias(column)
                for column, value in columns.items()
            )
        }
    )


def drop(name: str, rows: pl.Expr) -> Callable[[Tables], Tables]:
    """BRVO's rows of a table left out."""
    return lambda tables: tables | {name: tables[name].filter(~(of_brvo(name) & rows))}


def halved(*prices: str) -> dict[str, pl.Expr]:
    return {
        price: pl.when(pl.col("session") < MAY).then(pl.col(price) * 0.5).otherwise(price)
        for price in prices
    }


CLOSES = change("underlying_bars", **halved("open", "high", "low", "close"))
PRICE = change("option_quotes", **halved("underlying_price"))
MARCH = pl.col("session").is_between(DAY("2024-03-01"), DAY("2024-03-31"))


def unadjusted(tables: Tables, day: str = "2024-03-04") -> Tables:
    mine = {name: tables[name].filter(of_brvo(name)) for name in tables}
    late = split(mine, day, 2.0)
    return tables | {
        name: pl.concat([tables[name].filter(~of_brvo(name)), late[name]]) for name in late
    }


def dividends(*rows: tuple[str, str]) -> Callable[[Tables], Tables]:
    paid = pl.DataFrame(
        [(name, DAY(day), 0.5) for name, day in rows],
        ["underlying", "ex_date", "amount"],
        orient="row",
    )
    return lambda tables: tables | {"dividends": paid}


FAULTS: dict[str, tuple[Callable[[Tables], Tables], str, int, str]] = {
    "closes halved": (CLOSES, "adjusted_closes", 81, r"BRVO: on 81 sessions, 2024-01-02 to 2024-04-30, the closes are 0\.\d+ of"),
    "closes and price halved": (
        lambda tables: PRICE(CLOSES(tables)), "adjusted_underlying_price", 81, r"underlying_price is 0\.\d+ of the price that"
    ),
    "an unadjusted split": (unadjusted, "suspected_split", 1, r"2 for 1 by the prices, is suspected on 2024-03-04"),
    "a month of bars": (drop("option_bars", MARCH), "lacking_option_bars", 20, r"2024-03-01 to 2024-03-28 \(20\)"),
    "a month of closes": (drop("underlying_bars", MARCH), "lacking_underlying_bars", 20, r"2024-03-01 to 2024-03-28 \(20\)"),
    "a month of quotes": (drop("option_quotes", MARCH), "lacking_option_quotes", 21, r"2024-03-01 to 2024-03-28 \(20\)"),
    "quotes that begin late": (
        drop("option_quotes", pl.col("session") < DAY("2024-01-25")), "lacking_option_quotes", 16, "begin on 2024-01-25, 16 sessions"
    ),
    "quotes that end early": (
        drop("option_quotes", pl.col("session") > DAY("2024-04-15")), "lacking_option_quotes", 33, "its quotes end on 2024-04-15"
    ),
    "no bars of one": (drop("option_bars", pl.lit(True)), "no_option_bars", 0, "others have some: its daily quotes decide"),
    "no closes of one": (drop("underlying_bars", pl.lit(True)), "no_underlying_bars", 0, "no leg of it can settle"),
    "an end": (
        drop("underlying_bars", pl.col("session") > DAY("2024-03-28")), "underlying_ended", 44, "its bars end on 2024-03-28"
    ),
}  # fmt: skip


def test_option_bars_that_no_underlying_has_are_not_said_to_be_anothers(whole: Tables) -> None:
    market = wv.Market(**whole | {"option_bars": whole["option_bars"].head(0)})  # type: ignore[arg-type]
    warnings = [
        each for each in wv.backtest(market, CONFIG).warnings if each.code == "no_option_bars"
    ]
    assert [each.underlying for each in warnings] == ["ALFA", "BRVO"]
    assert not [each for each in warnings if "others" in each.text]


def test_the_clean_demo_market_raises_no_warning(clean: wv.Market) -> None:
    assert wv.backtest(clean, CONFIG).warnings == ()
    assert wv.sweep(clean, CONFIG, CHEAP).warnings == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_data_is_reported_by_backtest_and_sweep(whole: Tables, fault: str) -> None:
    make, code, count, text = FAULTS[fault]
    market = wv.Market(**make(whole))  # type: ignore[arg-type]
    result = wv.backtest(market, CONFIG)
    assert named(result.warnings) == [(code, "BRVO")]
    (warning,) = result.warnings
    assert pl.Series([str(warning)]).str.contains(text).item(), warning
    assert warning.count == count if count else warning.count > 1000
    swept = wv.sweep(market, CONFIG, CHEAP)
    assert swept.warnings == result.warnings


def test_a_fault_that_no_wheel_of_the_run_can_reach_is_not_reported(whole: Tables) -> None:
    market = wv.Market(**unadjusted(whole, "2024-04-22"))  # type: ignore[arg-type]
    early = CONFIG.replace(
        **{"schedule.end_date": "2024-01-12", "put.dte_max": 35, "call.dte_max": 20}
    )
    assert wv.backtest(market, early).warnings == wv.sweep(market, early, CHEAP).warnings == ()
    assert named(wv.backtest(market, early.replace(**{"call.max_cycles": None})).warnings) == [
        ("suspected_split", "BRVO")
    ]
    assert wv.backtest(market, CONFIG.replace(**{"schedule.symbols": ["ALFA"]})).warnings == ()


def test_without_a_table_of_option_bars_one_warning_says_that_quotes_decide(whole: Tables) -> None:
    (warning,) = run({name: frame for name, frame in whole.items() if name != "option_bars"})
    assert (warning.code, warning.underlying) == ("no_option_bars", None)
    assert "the daily quotes decide" in warning.text


@pytest.mark.parametrize(
    ("rows", "count", "text"),
    [
        ([("brvo", "2024-02-01"), ("ALFA", "2024-02-01")], 1, "1 of 2 match nothing, of underlyings without quotes: brvo (did you mean BRVO?)"),
        ([("ALFA", "1924-02-01"), ("BRVO", "1925-02-02")], 2, "none of 2 has its ex_date in the data, 2024-01-02 to 2024-05-31"),
        ([("ALFA", "2024-02-03"), ("BRVO", "2024-02-02")], 1, "have an ex_date that is no session, such as 2024-02-03, a Saturday"),
    ],
)  # fmt: skip
def test_dividends_that_match_nothing(
    whole: Tables, rows: list[tuple[str, str]], count: int, text: str
) -> None:
    (warning,) = run(dividends(*rows)(whole))
    assert (warning.code, warning.count) == ("unmatched_dividends", count)
    assert text in warning.text


def test_dividends_of_years_before_the_data_are_not_odd(whole: Tables) -> None:
    assert run(dividends(("ALFA", "2019-02-01"), ("ALFA", "2024-02-01"))(whole)) == ()


# ---- runs without a wheel


def entries(*days: Any, name: str = "ALFA") -> pl.DataFrame:
    return pl.DataFrame({"session": days, "underlying": [name] * len(days)})


@pytest.mark.parametrize(
    ("when", "count", "text"),
    [
        (entries(DAY("2024-01-16"), name="alfa"), 1, "alfa (did you mean ALFA?)"),
        (entries(DAY("2024-01-16"), name="TSLA"), 1, "1 of underlyings that the run lacks: TSLA"),
        (
            entries(DAY("2024-01-06"), DAY("2024-01-13")),
            2,
            "2 on days that are no entry session: 2024-01-06 (Sat), 2024-01-13",
        ),
        (
            entries(DAY("2031-01-06")),
            1,
            "1 on days that are no entry session: 2031-01-06 (Mon) (entries are from 2024-01-02 to 2024-0",
        ),
        (entries(20240116), 1, "session holds whole numbers such as 20240116"),
    ],
)
def test_signals_that_match_nothing(
    clean: wv.Market, when: pl.DataFrame, count: int, text: str
) -> None:
    result = wv.backtest(clean, CONFIG, when=when)
    assert result.wheels.height == 0
    assert [warning.code for warning in result.warnings] == ["no_wheels", "unmatched_signals"]
    assert result.warnings[1].count == count
    assert text in result.warnings[1].text


def test_signals_with_a_null_are_counted_as_such(clean: wv.Market) -> None:
    day = DAY("2024-01-16")
    when = pl.DataFrame(
        {"session": [day, day, None, None], "underlying": ["ALFA", None, "ALFA", None]}
    )
    (warning,) = wv.backtest(clean, CONFIG, when=when).warnings
    assert (warning.code, warning.count) == ("unmatched_signals", 3)
    assert warning.text == (
        "when: 3 of 4 signals match no entry session: 3 without a session or an underlying (null)"
    )


def test_signals_are_counted_apart_and_taken_as_people_have_them(clean: wv.Market) -> None:
    days = [DAY("2024-01-16"), DAY("2024-01-17"), DAY("2024-01-20")]
    when = pl.concat([entries(*days), entries(days[0], name="ALFO")])
    result = wv.backtest(clean, CONFIG, when=when)
    assert set(result.wheels["entry_date"]) == set(days[:2])
    (warning,) = result.warnings
    assert warning.count == 2
    assert "2 of 4 signals" in warning.text
    assert "ALFO (did you mean ALFA?)" in warning.text
    lazy = wv.backtest(clean, CONFIG, when=when.lazy())
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "session": pandas.to_datetime(when["session"].to_list()),
            "underlying": when["underlying"].to_list(),
        }
    )
    for other in (lazy, wv.backtest(clean, CONFIG, when=frame)):
        assert other.records.equals(result.records)
        assert other.warnings == result.warnings
    with pytest.raises(
        wv.WheelvecError,
        match="when must be a Polars frame, a pandas DataFrame or an Arrow table, got list",
    ):
        wv.backtest(clean, CONFIG, when=[1])


@pytest.mark.parametrize("start", ["2019-01-02", "2023-12-01"])
def test_dates_outside_the_data(clean: wv.Market, start: str) -> None:
    config = CONFIG.replace(**{"schedule.start_date": start, "schedule.end_date": "2023-12-29"})
    first, outside = wv.backtest(clean, config).warnings
    assert (first.code, outside.code) == ("no_wheels", "outside_data")
    assert "no_quotes (no quote in the minute of entry_time)" in first.text
    assert "are outside the quotes, which are of 2024-01-02 to 2024-05-31" in outside.text
    codes = [warning.code for warning in wv.sweep(clean, config, CHEAP).warnings]
    assert codes == ["no_wheels", "outside_data"]


def test_dates_partly_outside_the_data(clean: wv.Market) -> None:
    (outside,) = wv.backtest(
        clean, CONFIG.replace(**{"schedule.start_date": "2023-12-01"})
    ).warnings
    assert (outside.code, outside.count) == ("outside_data", 20)
    assert outside.text.startswith("20 of 67 entry sessions (2023-12-01 to 2023-12-29)")


OPEN = CONFIG.replace(**{"schedule.start_date": None, "schedule.end_date": None})


def from_day(tables: Tables, day: str) -> Tables:
    """The options from a day on, and all closes."""
    late = pl.col("session") >= DAY(day)
    return tables | {name: tables[name].filter(late) for name in ("option_quotes", "option_bars")}


def test_dates_of_the_market_outside_its_quotes(whole: Tables) -> None:
    tables = from_day(whole, "2024-03-01")
    market = wv.Market(**tables)  # type: ignore[arg-type]
    text = (
        "41 of 105 entry sessions (2024-01-02 to 2024-02-29) are outside the quotes, "
        "which are of 2024-03-01 to 2024-05-31"
    )
    for found in (
        wv.backtest(market, OPEN).warnings,
        wv.sweep(market, OPEN, CHEAP).warnings,
        wv.backtest(market, OPEN.replace(**{"schedule.symbols": ["ALFA"]})).warnings,
    ):
        (outside,) = found
        assert (outside.code, outside.count, outside.text) == ("outside_data", 41, text)


def test_closes_of_a_session_or_two_beyond_the_quotes_are_not_odd(
    whole: Tables, clean: wv.Market
) -> None:
    assert wv.backtest(clean, OPEN).warnings == ()
    assert run(from_day(whole, "2024-01-04"), OPEN) == ()


# ---- renames


def renamed(tables: Tables, **splits: Any) -> Tables:
    """BRVO is ZULU from 2024-03-04 on, as `splits` state it."""
    late = pl.col("session") >= DAY("2024-03-04")
    out = {
        name: tables[name].with_columns(
            underlying=pl.when(late & of_brvo(name))
            .then(pl.lit("ZULU"))
            .otherwise(pl.col("underlying"))
        )
        for name in ("option_quotes", "underlying_bars")
    }
    symbol = pl.col("symbol")
    new = symbol.str.replace("^BRVO", "ZULU")
    for name in ("option_quotes", "option_bars"):
        rows = out.get(name, tables[name])
        out[name] = rows.with_columns(symbol=pl.when(late).then(new).otherwise(symbol))
    row = {"underlying": "BRVO", "ex_date": DAY("2024-03-04"), "numerator": 1, "denominator": 1}
    return out | {"splits": pl.DataFrame([row | {"new_underlying": "ZULU"} | splits])}


@pytest.fixture(scope="module")
def moved(whole: Tables) -> Tables:
    return renamed(whole)


def test_a_rename_that_the_data_follow_is_not_odd(moved: Tables, tmp_path: Path) -> None:
    paid = dividends(("BRVO", "2024-02-01"), ("ZULU", "2024-03-20"))(moved)
    market = wv.Market(**paid)  # type: ignore[arg-type]
    assert wv.backtest(market, OPEN).warnings == ()
    assert wv.sweep(market, OPEN, CHEAP).warnings == ()
    market.write(tmp_path / "lake")
    asked = OPEN.replace(**{"schedule.symbols": ["BRVO"], "call.early_assignment": "ex_div"})
    for one in (market, wv.Market.open(tmp_path / "lake", symbols=["BRVO"])):
        assert wv.backtest(one, asked).warnings == ()
        assert wv.sweep(one, asked, CHEAP).warnings == ()
    later = paid | {"dividends": paid["dividends"].filter(underlying="ZULU")}
    assert run(later, asked) == ()


@pytest.mark.parametrize("new", ["ZULO", " ", "zulu"])
def test_a_rename_to_a_name_without_rows(moved: Tables, whole: Tables, new: str) -> None:
    market = wv.Market(**renamed(whole, new_underlying=new))  # type: ignore[arg-type]
    result, swept = wv.backtest(market, OPEN), wv.sweep(market, OPEN, CHEAP)
    (found,) = [each for each in result.warnings if each.code == "unmatched_rename"]
    assert (found.underlying, found.count) == ("BRVO", 63)
    assert found.text == (
        f"BRVO: splits rename it to {new!r} on 2024-03-04, but the market has no row of that name "
        "on 63 sessions from then on: no wheel opens, and none that is open is resolved"
    )
    assert found in swept.warnings


def test_a_rename_that_the_data_do_not_follow(whole: Tables, moved: Tables) -> None:
    for day, count in ("2024-03-04", 63), ("2024-01-02", 105), ("2020-03-04", 105):
        stated = moved["splits"].with_columns(ex_date=pl.lit(DAY(day)))
        (found,) = run(whole | {"splits": stated}, OPEN)
        assert (found.code, found.underlying, found.count) == ("unmatched_rename", "BRVO", count)
        assert found.text.endswith(f"; rows of BRVO on {count} sessions from then on are not read")
    straggler = whole["underlying_bars"].filter(
        of_brvo("underlying_bars"), session=DAY("2024-03-04")
    )
    both = moved | {"underlying_bars": pl.concat([moved["underlying_bars"], straggler])}
    (found,) = [each for each in run(both, OPEN) if each.code == "unmatched_rename"]
    assert found.count == 1
    assert found.text.endswith("but rows of BRVO on 1 session from then on are not read")


def test_a_rename_that_concerns_no_wheel_is_not_odd(whole: Tables, moved: Tables) -> None:
    row = moved["splits"].with_columns(new_underlying=pl.lit("ELSE"))
    for day in ("2024-06-03", "2025-03-04"):  # after the data
        assert run(whole | {"splits": row.with_columns(ex_date=pl.lit(DAY(day)))}, OPEN) == ()
    one = OPEN.replace(**{"schedule.symbols": ["ALFA"]})
    assert run(whole | {"splits": row}, one) == ()
    early = {"schedule.end_date": "2024-01-12", "put.dte_max": 35, "call.dte_max": 20}
    april = row.with_columns(ex_date=pl.lit(DAY("2024-04-22")))
    assert run(whole | {"splits": april}, CONFIG.replace(**early)) == ()


def test_known_renames_of_names_that_the_market_lacks_are_not_odd(whole: Tables) -> None:
    market = wv.Market(**whole, splits="known")  # type: ignore[arg-type]
    assert wv.backtest(market, OPEN).warnings == ()


@pytest.mark.parametrize(
    ("hours", "entry_time", "text"),
    [
        (-5, "15:45", "they are in 10:45, 10:4"),
        (-5, "15:45", ": 5 hours earlier, as if ts were in another time zone than UTC"),
        (1, "15:45", ": 1 hour later, as if ts were in another time zone than UTC"),
        (
            0,
            "10:20",
            "no quote is in the minute of schedule.entry_time (10:20); they are in 15:45, 15:4",
        ),
    ],
)
def test_an_entry_minute_without_quotes(
    whole: Tables, hours: int, entry_time: str, text: str
) -> None:
    shifted = whole | {
        "option_quotes": whole["option_quotes"].with_columns(pl.col("ts").dt.offset_by(f"{hours}h"))
    }
    market = wv.Market(**shifted)  # type: ignore[arg-type]
    config = CONFIG.replace(**{"schedule.entry_time": entry_time})
    result = wv.backtest(market, config)
    assert named(result.warnings) == [
        ("no_wheels", None), ("no_quotes_in_entry_minute", "ALFA"), ("no_quotes_in_entry_minute", "BRVO"),
    ]  # fmt: skip
    assert text in result.warnings[1].text
    assert ("time zone" in result.warnings[1].text) == (hours != 0)
    assert wv.sweep(market, config, CHEAP).warnings[1:] == result.warnings[1:]


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("symbol", pl.lit("?"), "no wheel: the market holds no valid quote ("),
        ("ask", pl.lit(0.0), "crossed"),
        ("underlying_price", pl.lit(None, pl.Float64), "no_underlying_price"),
    ],
)
def test_a_market_whose_quotes_are_all_set_aside(
    whole: Tables, column: str, value: pl.Expr, text: str
) -> None:
    warnings = run(
        whole | {"option_quotes": whole["option_quotes"].with_columns(value.alias(column))}
    )
    assert warnings[0].code == "no_wheels"
    assert text in warnings[0].text
    assert "bad_symbol" in warnings[0].text or column != "symbol"


def test_a_schedule_that_leaves_no_entry_session(clean: wv.Market) -> None:
    config = CONFIG.replace(**{"schedule.end_date": "2024-01-03", "schedule.weekdays": [5]})
    (warning,) = wv.backtest(clean, config).warnings
    assert warning.text == (
        "no wheel: the schedule leaves no entry session; the market holds 2024-01-02 to 2024-05-31"
    )


def test_configurations_without_a_wheel_are_counted_and_one_is_explained(clean: wv.Market) -> None:
    (warning,) = wv.sweep(
        clean, CONFIG.replace(**{"put.delta_min": 0.0}), {"put.delta_max": [0.35, 0.0, 0.00001]}
    ).warnings
    assert (warning.code, warning.count) == ("no_wheels", 2)
    assert warning.text.startswith(
        "2 of 3 configurations launched no wheel, the first in row 1: no wheel was launched: "
    )
    assert "no_candidate_in_range" in warning.text


# ---- where they are kept and shown


def test_warnings_are_saved_and_loaded(whole: Tables, tmp_path: Path) -> None:
    market = wv.Market(**CLOSES(whole))  # type: ignore[arg-type]
    result, swept = wv.backtest(market, CONFIG), wv.sweep(market, CONFIG, CHEAP)
    result.save(tmp_path / "result")
    swept.save(tmp_path / "sweep")
    assert wv.Result.load(tmp_path / "result").warnings == result.warnings != ()
    assert wv.Sweep.load(tmp_path / "sweep").warnings == result.warnings
    written = wv.backtest(market, CONFIG, out=tmp_path / "written")
    assert written.warnings == wv.Result.load(tmp_path / "written").warnings == result.warnings
    assert ", 1 warnings>" in repr(result)
    assert "the closes are" in result._repr_html_()


def test_warnings_print_as_sentences_and_survive_a_frame() -> None:
    warning = RunWarning("lacking_option_bars", "ALFA", 20, "ALFA: option_bars lacks 20 sessions")
    assert str(warning) == f"{warning}" == "ALFA: option_bars lacks 20 sessions"
    other = RunWarning("no_wheels", None, 0, "no wheel")
    assert of_frame(as_frame([warning, other])) == (warning, other)
    assert dict(as_frame([]).schema) == WARNINGS


# ---- real data


@pytest.mark.skipif(
    not (SHARED / "real" / "tsla_2026").is_dir(), reason="the real tables are not here"
)
def test_a_real_quarter_raises_no_false_alarm() -> None:
    source = SHARED / "real" / "tsla_2026"
    held = {
        name: pl.read_parquet(source / f"{name}.parquet")
        for name in ("option_quotes", "underlying_bars")
    }
    config = wv.Config(schedule=wv.Schedule(start_date="2026-02-02", end_date="2026-02-06"))
    assert named(run(held, config)) == [("no_option_bars", "TSLA")]  # it has none


@pytest.mark.skipif(
    not (SHARED / "golden" / "split_that_no_table_explains").is_dir(),
    reason="the worked cases are not here",
)
def test_the_worked_case_of_a_split_is_named() -> None:
    folder = SHARED / "golden" / "split_that_no_table_explains"
    held = {
        name: pl.read_parquet(folder / f"{name}.parquet")
        for name in ("option_quotes", "option_bars", "underlying_bars")
    }
    warnings = run(held, wv.Config.from_dict(json.loads((folder / "config.json").read_text())))
    assert named(warnings) == [("suspected_split", "TSLA")]
    assert "4 for 1 by the prices, is suspected on 2023-07-18" in warnings[0].text


def test_a_suspected_split_names_the_row_to_add() -> None:
    """With a ratio, that the table in the box has, and without one."""
    day = DAY("2020-08-31")
    rows = [("AAPL", day, day, day, 9, 9, 4, 1), ("ZZZ", day, day, day, 9, 9, None, None)]
    rows = [(*row[:2], DAY("2020-08-28"), *row[3:]) for row in rows]
    first, second = warnings_module._splits(pl.DataFrame(rows, schema=SUSPECTED, orient="row"))
    assert first.text.endswith("AAPL,2020-08-31,4,1, (splits='known' has it)")
    assert second.text.endswith("with its ratio, or ZZZ,2020-08-31,1,1, if nothing happened")


def test_stated_splits_that_prices_contradict_are_warned_of_with_both_figures() -> None:
    day = DAY("2024-03-04")
    stated = pl.DataFrame(
        [("BRVO", day, 4, 1), ("BRVO", DAY("2024-03-05"), 0, 1), ("BRVA", day, 2, 1)],
        schema=["underlying", "ex_date", "numerator", "denominator"],
        orient="row",
    )
    made = demo_tables(symbols=["BRVO"], start="2024-01-02", end="2024-05-31")
    market = wv.Market(**made, splits=stated)  # type: ignore[arg-type]
    found = market.findings(["BRVO"])
    contradicted = list(warnings_module._contradicted(found.contradicted))
    (one,) = contradicted
    assert one.code == "contradicted_by_prices"
    assert "4 for 1 shares on 2024-03-04 are stated, a factor of 4, but the price went" in one.text
    assert ("a factor of 1." in one.text) or ("a factor of 0." in one.text)
    aside = list(warnings_module._splits_aside(market))
    assert [(warning.code, warning.count) for warning in aside] == [("splits_set_aside", 1)] * 2
    assert "(non_positive_ratio)" in aside[1].text
    assert "(unknown_underlying)" in aside[0].text


def test_early_assignment_for_dividends_needs_some(whole: Tables) -> None:
    asked = CONFIG.replace(**{"call.early_assignment": "ex_div"})
    (warning,) = [w for w in run(whole, asked) if w.code == "no_dividends"]
    assert "the market has no dividend of ALFA, BRVO: no call is assigned early" in warning.text
    paid = pl.DataFrame({"underlying": ["BRVO"], "ex_date": [MAY], "amount": [0.1]})
    for dividends, config in ((paid, asked), (None, CONFIG)):
        tables = whole | ({} if dividends is None else {"dividends": dividends})
        assert "no_dividends" not in {w.code for w in run(tables, config)}
    elsewhere = whole | {"dividends": paid.with_columns(underlying=pl.lit("TSLA"))}
    assert "no_dividends" in {w.code for w in run(elsewhere, asked)}
    grid = {"call.early_assignment": ["none", "ex_div"]}
    swept = wv.sweep(wv.Market(**whole), CONFIG, grid)  # type: ignore[arg-type]
    assert "no_dividends" in {w.code for w in swept.warnings}
