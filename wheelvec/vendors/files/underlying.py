"""Daily bars of underlyings from separate files: any CSV or Parquet with dates and closes."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.model import schemas
from wheelvec.model.errors import DataError, InputError, listed
from wheelvec.tables import validation
from wheelvec.vendors.files import cells, reading
from wheelvec.vendors.files.contracts import underlying_name
from wheelvec.vendors.files.exchanged import refuse_exchanged
from wheelvec.vendors.files.layout import Layout

# The names of columns, as vendors write them; compared without blanks, brackets and case.
_NAMES = {
    "underlying": ("underlying", "symbol", "ticker", "act_symbol", "underlying_symbol", "root"),
    "session": (
        "session", "date", "trade_date", "tradeDate", "quote_date", "timestamp", "Datetime",
        "created", "DataDate",
    ),
    "open": ("open", "OpenPrice", "stock_price_open", "clsOpen"),
    "high": ("high", "HighPrice", "stock_price_high"),
    "low": ("low", "LowPrice", "stock_price_low"),
    "close": ("close", "ClosePrice", "stock_price_close", "clsPx", "Close/Last"),
    "volume": ("volume", "stock_volume", "stockVolume"),
    "dividend": ("dividend_amount", "dividend", "divCash", "dividends"),
    "split": ("split_coefficient", "splitFactor", "stock_splits"),
}  # fmt: skip
# the denominator of a split, and half a unit of the fourth decimal of its coefficient
_MOST_SHARES, _ROUNDING = 100, 5e-5
_LAYOUT = Layout(
    name="of daily bars",
    title="daily bars of an underlying",
    wide=False,
    dates=("%Y-%m-%d", "%m/%d/%Y", "%Y%m%d"),
    columns=_NAMES,
    optional=frozenset(_NAMES) - {"session", "close"},
)


@dataclass(frozen=True)
class Daily:
    """The bars, dividends and splits of files of daily bars.

    Attributes:
        bars: `schemas.UNDERLYING_BARS`, not yet checked; a bar of a close alone has it four times.
        ranges: underlying, session and high of the bars with high and low.
        dividends: underlying, ex_date and amount (dollars a share) above 0.
        splits: underlying, ex_date and ratio (new shares for an old one) other than 1.
    """

    bars: pl.DataFrame
    ranges: pl.DataFrame
    dividends: pl.DataFrame
    splits: pl.DataFrame


def read_daily(
    files: Sequence[str | Path], underlying: str | None = None, calendar: str = "NYSE"
) -> Daily:
    r"""The daily bars in files, unadjusted: CSV plain, gzip, zstd or zip, or Parquet.

    A file has a column of dates and one of closes; open, high, low, volume, the symbol, dividends
    and splits (as in Alpha Vantage's daily series) are taken where it has them. A column of
    adjusted closes is not read.

    Args:
        files: paths.
        underlying: the underlying, of files without a column of symbols.
        calendar: the exchange's calendar.

    Raises:
        InputError: if there is no such file, or the underlying is neither stated nor given.
        DataError: for a file without dates or closes, with a cell that cannot be read, or whose
            days are sessions only once day and month are exchanged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tsla.csv"
        >>> _ = path.write_text("Date,Close\n2023-06-06,221.31\n")
        >>> read_daily([path], "TSLA").bars.select("underlying", "session", "close").rows()
        [('TSLA', datetime.date(2023, 6, 6), 221.31)]
    """
    found: list[pl.DataFrame] = []
    for file in files:
        batches = reading.read(Path(file), _LAYOUT)
        tables = [_table(rows, underlying) for rows in batches]
        days = {day for table in tables for day in table["session"].drop_nulls().unique()}
        refuse_exchanged(file, _LAYOUT, days, calendar)
        found += tables
    if not files:
        raise InputError("no files of daily bars are named")
    if not any(map(len, found)):
        raise DataError(f"{listed(files, 3)}: no daily bars: expected rows below the header")
    table = pl.concat(found)
    prices = ("open", "high", "low")
    ranged = pl.all_horizontal(pl.col(prices).is_not_null())
    bars = table.with_columns(
        *(pl.when(ranged).then(each).otherwise("close").alias(each) for each in prices),
        pl.col("volume").round().cast(pl.Int64, strict=False),
        close_source=pl.lit(None, pl.String),
    ).filter(pl.col("close").is_not_null())
    paid = table.filter(pl.col("dividend") > 0)
    split = table.filter(pl.col("split") > 0, pl.col("split") != 1)
    return Daily(
        bars.select(*schemas.UNDERLYING_BARS),
        table.filter(ranged).select("underlying", "session", "high"),
        paid.select("underlying", ex_date="session", amount="dividend"),
        split.select("underlying", ex_date="session", ratio="split"),
    )


def named_as_then(daily: Daily, renames: Iterable[tuple[str, str, dt.date]]) -> Daily:
    """The same with the rows of a new name before its first day under the old name.

    Nothing is renamed where the old name has rows of its own.

    Args:
        daily: of files of daily bars.
        renames: the old name, the new one, and its first day.
    """
    held = set(daily.bars["underlying"])
    mine = [rename for rename in renames if rename[0] not in held]

    def renamed(frame: pl.DataFrame, column: str) -> pl.DataFrame:
        for old, new, day in mine:
            early = (pl.col("underlying") == new) & (pl.col(column) < day)
            name = pl.when(early).then(pl.lit(old)).otherwise("underlying")
            frame = frame.with_columns(underlying=name)
        return frame

    return Daily(
        renamed(daily.bars, "session"),
        renamed(daily.ranges, "session"),
        renamed(daily.dividends, "ex_date"),
        renamed(daily.splits, "ex_date"),
    )


def splits_of(daily: Daily, underlyings: Iterable[str]) -> tuple[pl.DataFrame, list[dt.date]]:
    """The splits of some underlyings as whole shares: 2 is 2 for 1, 0.125 is 1 for 8.

    Args:
        daily: the content of files of daily bars.
        underlyings: the names.

    Returns:
        `schemas.SPLITS`, one row per underlying and day; and the days whose ratio is none of small
        whole numbers.
    """
    stated = daily.splits.filter(pl.col("underlying").is_in(list(underlyings)))
    rows, others = [], []
    for name, day, ratio in stated.unique(["underlying", "ex_date"], keep="last").iter_rows():
        found = Fraction(ratio).limit_denominator(_MOST_SHARES)
        if found > 0 and abs(float(found) - ratio) <= _ROUNDING:
            rows.append((name, day, found.numerator, found.denominator, None))
        else:
            others.append(day)
    frame = pl.DataFrame(rows, schema=schemas.SPLITS, orient="row")
    return frame.sort("underlying", "ex_date"), sorted(others)


def _table(rows: cells.Rows, underlying: str | None) -> pl.DataFrame:
    """The rows of a file with all columns of `_NAMES`, null where it has none."""
    frame = rows.frame
    columns: dict[str, Any] = {"session": cells.dates(rows, "session")}
    for each in ("open", "high", "low", "close", "volume", "dividend", "split"):
        columns[each] = (
            cells.numbers(rows, each) if each in frame.columns else pl.lit(None, pl.Float64)
        )
    if "underlying" in frame.columns:
        given = frame["underlying"].cast(pl.String).fill_null("")
        names = given.unique()
        written = pl.Series([underlying_name(name) for name in names], dtype=pl.String)
        columns["underlying"] = given.replace_strict(names, written, return_dtype=pl.String)
    elif underlying is not None:
        columns["underlying"] = pl.lit(underlying_name(underlying))
    else:
        raise InputError(
            f"{rows.source.name} does not state its underlying: name it (--symbol TSLA, "
            "symbol='TSLA')"
        )
    order = ("underlying", *(each for each in _NAMES if each != "underlying"))
    table: pl.DataFrame = pl.select(**columns).select(order)
    return table


def checked(daily: Daily) -> validation.Checked:
    """The bars that are sound, one a session.

    Raises:
        DataError: if none is.
    """
    found = validation.check_underlying_bars(daily.bars)
    if found.rows.is_empty():
        reasons = found.aside["reason"].unique().to_list()
        raise DataError(f"no daily bar of the underlying can be used: {', '.join(reasons)}")
    return found
