"""Frames of any kind: refused with an error of the project's own, or taken with every row accounted
for.
"""

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import strategies as st

import wheelvec as wv
from tests.fuzz.build import Tables, command, failed_well, fuzzed, small_market
from wheelvec.market.market import Memory
from wheelvec.model.errors import DataError

MARKET = small_market()
CONFIG = wv.Config(
    put=wv.PutRules(dte_min=10, dte_max=60, delta_min=0.0, delta_max=1.0),
    call=wv.CallRules(dte_min=1, dte_max=60),
)
FLOATS = [
    None,
    float("nan"),
    float("inf"),
    -float("inf"),
    0.0,
    -0.0,
    -1.0,
    1e-9,
    1e12,
    1e15,
    1e308,
    -1e308,
    5e-324,
    205.0,
]
TEXTS = [
    None, "", "TSLA", "tsla", "\x00", "\n", "é" * 6, "TSLA  230707P00205000", "TSLA  230732P00205000", "TSLA  230707P00000000",
    "TSLA1 230707P00205000", "SPX   230707P04205000", "X" * 3000, "..", "../../x", "/", "a/b", "TSLA  230707P0020500٣", "🦄",
    "TSLA  000101P00205000", "TSLA  991231C99999999", "ＴＳＬＡ  230707P00205000", "NaN", "1e400", " 5.0 ", "2023-06-06", "06/07/2023",
    "9999-12-31T00:00:00", "underlying=TSLA", "PUT",
]  # fmt: skip
DATES = [None, *(dt.date.fromisoformat(day) for day in (
    "0001-01-01", "9999-12-31", "1969-12-31", "2023-07-04", "2023-06-10", "2262-04-12", "1677-09-21", "2023-06-06"
))]  # fmt: skip
TIMES = [None, *(dt.datetime.fromisoformat(f"{ts}+00:00") for ts in (
    "1970-01-01T00:00", "2262-04-11T00:00", "1678-01-01T00:00", "2023-06-06T19:45", "2023-06-07T03:45", "2023-06-06T19:46"
))]  # fmt: skip
DTYPES: list[Any] = [
    pl.Float32, pl.Int8, pl.Int64, pl.UInt64, pl.Int128, pl.String, pl.Categorical, pl.Date, pl.Datetime("ms"),
    pl.Datetime("us", "UTC"), pl.Datetime("ns", "America/New_York"), pl.Datetime("us", "Asia/Tokyo"), pl.Boolean, pl.Null,
    pl.Binary, pl.Duration, pl.Time, pl.Decimal(20, 4), pl.List(pl.Float64), pl.Object, pl.Enum(["TSLA", "P", "C"]),
]  # fmt: skip


def odd_values(frame: pl.DataFrame, column: str, draw: st.DrawFn) -> pl.DataFrame:
    dtype = frame[column].dtype
    pool = (
        FLOATS
        if dtype.is_float()
        else TEXTS
        if dtype == pl.String
        else DATES
        if dtype == pl.Date
        else TIMES
    )
    if dtype.is_integer():
        pool = [None, 0, -1, 100]
    places = (
        draw(st.sets(st.integers(0, max(len(frame) - 1, 0)), max_size=3))
        if draw(st.booleans())
        else range(len(frame))
    )
    values = [
        draw(st.sampled_from(pool)) if i in places else value
        for i, value in enumerate(frame[column].to_list())
    ]
    return frame.with_columns(pl.Series(column, values, dtype=dtype, strict=False))


def other_type(frame: pl.DataFrame, column: str, draw: st.DrawFn) -> pl.DataFrame:
    dtype = draw(st.sampled_from(DTYPES))
    try:
        return frame.with_columns(frame[column].cast(dtype, strict=False))
    except pl.exceptions.PolarsError:
        return frame.with_columns(pl.Series(column, [None] * len(frame), dtype=dtype))


def reshaped(frame: pl.DataFrame, column: str, draw: st.DrawFn) -> pl.DataFrame:
    changes = {
        "without": lambda: frame.drop(column),
        "renamed": lambda: frame.rename({column: column.upper() + " "}),
        "more": lambda: frame.with_columns(extra=pl.lit(1)),
        "twice": lambda: pl.concat([frame, frame.head(5)]),
        "nothing": frame.clear,
        "backwards": frame.reverse,
        "in chunks": lambda: (
            pl.concat([frame[i : i + 1] for i in range(len(frame))]) if len(frame) else frame
        ),
    }
    return changes[draw(st.sampled_from(sorted(changes)))]()


@st.composite
def markets(draw: st.DrawFn) -> Tables:
    """The small market with up to four changes."""
    tables = dict(MARKET)
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(sorted(tables)))
        if tables[name].columns:
            column = draw(st.sampled_from(tables[name].columns))
            change = draw(
                st.sampled_from([odd_values, odd_values, odd_values, other_type, reshaped])
            )
            if (
                change is not odd_values
                or tables[name][column].dtype in MARKET[name].schema.values()
            ):
                tables[name] = change(tables[name], column, draw)
    for name in ("option_bars", "dividends"):
        if draw(st.integers(0, 9)) == 0:
            del tables[name]
    return tables


def accounted(market: wv.Market, tables: Tables) -> None:
    """Rows kept and rows set aside, counted by reason, are the rows given."""
    source = market._source
    assert isinstance(source, Memory)
    for name, frame in tables.items():
        aside = source.aside().filter(pl.col("table") == name)
        assert aside["reason"].null_count() == 0
        assert source.held[name].height + aside["count"].sum() == len(frame), name


@fuzzed(40, 20_000, tables=markets(), lazy=st.booleans())
def test_a_market_takes_a_frame_or_says_why_not(tables: Tables, lazy: bool) -> None:
    try:
        market = wv.Market(
            **{name: frame.lazy() if lazy else frame for name, frame in tables.items()}
        )  # type: ignore[arg-type]
    except DataError:
        return
    accounted(market, tables)
    assert market.diagnostics.schema["count"] == pl.Int64
    repr(market)


@fuzzed(8, 3_000, tables=markets())
def test_memory_lake_check_and_backtest_agree(tables: Tables) -> None:
    try:
        market = wv.Market(**tables)  # type: ignore[arg-type]
    except DataError:
        return
    with tempfile.TemporaryDirectory() as folder:
        market.write(folder)
        opened, found = wv.Market.open(folder), wv.check(folder)
        unplaced = market._source.aside().filter(
            pl.col("session").is_null() | (pl.col("underlying") == "")
        )
        if not len(unplaced):  # rows without a key have no place in a lake either
            assert opened.diagnostics.equals(market.diagnostics)
        assert found.broken.equals(opened.diagnostics)
        assert len(found.files) == 0
        assert opened.fingerprint == market.fingerprint
        if market.data_range is None:
            return
        here, there = wv.backtest(market, CONFIG), wv.backtest(opened, CONFIG)
        here.validate()
        assert here.records.equals(there.records)


@fuzzed(10, 5_000, tables=markets())
def test_import_and_check_never_fail_badly(tables: Tables) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake, files = Path(folder) / "lake", []
        for name, frame in tables.items():
            try:
                frame.write_parquet(Path(folder) / f"{name}.parquet")
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
                return  # no file can hold it
            files += [f"--{name.replace('_', '-')}", Path(folder) / f"{name}.parquet"]
        done = command("import", *files, "--lake", lake)
        if done[0]:
            failed_well(*done)
            assert not lake.exists()
            return
        code, out, err = command("check", lake)
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 80
