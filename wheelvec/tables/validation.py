"""Conversion and validation of the rows of a market's tables (data.md).

`read` converts a user's frame to the exact columns and types of `model.schemas`, or names the
column that it lacks. `check_quotes`, `check_option_bars`, `check_underlying_bars`,
`check_dividends` and `check_splits` sort the rows, set the unusable ones aside with a reason, and
keep the others.
`tally` counts flaws of the kept rows; the engine applies those rules itself, with the calendar of
the run.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from wheelvec.model import cash_settled, osi, schemas
from wheelvec.model.errors import DataError, listed
from wheelvec.tables.roots import Roots
from wheelvec.tables.runs import Runs
from wheelvec.tables.sessions import Sessions

Flaws = dict[str, pl.Expr]


@dataclass(frozen=True, eq=False)
class Table:
    """The definition of one table of the market.

    Attributes:
        name: such as option_quotes.
        schema: column -> type.
        optional: the columns that a user's frame may lack.
        day: the column of the day.
        key: the columns that identify a row of one underlying.
        implied: columns that follow from key or path, or say where another one is from; the
            content digest leaves them out.
        later: columns that files of earlier versions lack, with the value that stands for them
            there; the content digest leaves them out where every row has that value.
    """

    name: str
    schema: Mapping[str, pl.DataType]
    optional: tuple[str, ...]
    day: str
    key: tuple[str, ...]
    implied: tuple[str, ...] = ()
    later: Mapping[str, bool | None] = field(default_factory=dict)

    @property
    def keyed(self) -> dict[str, pl.DataType]:
        """The schema with the column underlying first; rows of option_bars have only its root."""
        return {"underlying": pl.String(), **self.schema}


TABLES = {
    table.name: table
    for table in (
        Table(
            "option_quotes",
            schemas.OPTION_QUOTES,
            ("ts", "expiration", "strike", "option_type", "underlying_source"),
            "session",
            ("session", "symbol", "ts"),
            ("underlying", "expiration", "strike", "option_type", "underlying_source"),
            {"underlying_source": None},
        ),
        Table("option_bars", schemas.OPTION_BARS, ("volume",), "session", ("session", "symbol")),
        Table(
            "underlying_bars",
            schemas.UNDERLYING_BARS,
            ("volume", "close_source"),
            "session",
            ("session",),
            ("underlying", "close_source"),
            {"close_source": None},
        ),
        Table(
            "dividends",
            schemas.DIVIDENDS,
            ("special",),
            "ex_date",
            ("ex_date",),
            ("underlying",),
            {"special": False},
        ),
    )
}
# Not one of `TABLES`, which a lake keeps in files by underlying and month: it is one file.
SPLITS = Table("splits", schemas.SPLITS, ("new_underlying",), "ex_date", ("underlying", "ex_date"))
_NAMED = {**TABLES, SPLITS.name: SPLITS}
# A ratio of more, one way or the other, is a slip of the pen; a number of shares beyond the second
# would not be exact in later arithmetic.
_LARGEST_RATIO, _MOST_SHARES = 10_000, 10**9

# Counts of rows set aside, by day, so that a lake can keep them with their sessions.
SET_ASIDE = pl.Schema(
    {
        "table": pl.String(),
        "underlying": pl.String(),
        "session": pl.Date(),
        "reason": pl.String(),
        "count": pl.Int64(),
        "example": pl.String(),
    }
)
TALLY = pl.Schema({name: dtype for name, dtype in SET_ASIDE.items() if name != "session"})


def read(name: str, frame: object) -> pl.DataFrame:
    """The rows of a user's frame, in their order, converted to the columns and types of a table.

    Optional columns that are absent are null; columns that the table does not have are dropped.

    Raises:
        InputError: if `frame` is no frame that `schemas.as_lazy` takes.
        DataError: for a missing column, one whose type or values cannot be converted, or a lazy
            frame that fails.
    """
    rows = schemas.as_lazy(name, frame)
    schema = _NAMED[name].schema
    with schemas.readable(name):
        found = rows.collect_schema()
    _check_columns(name, found)
    given = {column: dtype for column, dtype in schema.items() if column in found}
    with schemas.readable(name):
        # one chunk: on a frame of ten thousand chunks each step below runs ten thousand times
        taken = rows.select(*given).collect().rechunk()
    conversions = {
        column: _conversion(name, column, found[column], dtype) for column, dtype in given.items()
    }
    converted = _with_possible_days(taken.select(**conversions))
    changed = [column for column, dtype in given.items() if found[column] != dtype]
    _check_values(name, taken.select(changed), converted.select(changed))
    return converted.select(
        [pl.col(c) if c in given else pl.lit(None, dtype).alias(c) for c, dtype in schema.items()]
    )


def _check_columns(name: str, found: pl.Schema) -> None:
    table = _NAMED[name]
    missing = [
        column for column in table.schema if column not in found and column not in table.optional
    ]
    if not missing:
        return
    column = missing[0]
    folded = {other.lower().strip(): other for other in reversed(found.names())}
    near = get_close_matches(column, folded, n=1, cutoff=0.7)
    raise DataError(
        f"{name} has no column {column!r}, which must be {table.schema[column]}"
        + (f" (nor {listed(missing[1:])})" if missing[1:] else "")
        + f"; found {listed(found.names(), most=30) or 'no columns'}"
        + (f"; did you mean {folded[near[0]]!r}?" if near else "")
    )


def _conversion(name: str, column: str, found: pl.DataType, needed: pl.DataType) -> pl.Expr:
    """The column as `needed`, null where a value cannot be converted."""
    value = pl.col(column)
    if found in (needed, pl.Null):
        return value.cast(needed)
    if isinstance(found, pl.Categorical | pl.Enum):
        value, found = value.cast(pl.String), pl.String()
    converted = _CONVERSIONS[type(needed)](value, found)
    if converted is None:
        raise DataError(
            f"{name}.{column} is {found}, which cannot be converted; it must be {needed}"
        )
    return converted


def _to_string(value: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    return value if found == pl.String else None


def _to_float(value: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    if found == pl.String:
        value = value.str.strip_chars()
    return (
        value.cast(pl.Float64, strict=False) if found.is_numeric() or found == pl.String else None
    )


def _to_int(value: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    if found.is_integer():
        return value.cast(pl.Int64, strict=False)
    number = _to_float(value, found)
    return (
        None
        if number is None
        else pl.when(number == number.round()).then(number.cast(pl.Int64, strict=False))
    )


def _to_date(value: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    """The date of a time stamp in its own time zone."""
    if isinstance(found, pl.Datetime):
        return value.dt.date()
    if found != pl.String:
        return None
    return value.str.extract(r"^(\d{4}-\d{2}-\d{2})(?:[T ].*)?$").str.to_date(
        "%Y-%m-%d", strict=False
    )


def _to_timestamp(value: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    """The time in UTC; a time without a time zone is taken as UTC."""
    if found == pl.String:  # only ISO: Polars would also take the ambiguous 06/07/2023
        iso = value.str.extract(r"^(\d{4}-\d{2}-\d{2}[T ].*)$")
        exact, rough = (
            iso.str.to_datetime(time_unit=u, time_zone="UTC", strict=False) for u in ("ns", "us")
        )
        # outside the range of 64-bit nanoseconds `exact` is centuries off, without an error
        return pl.when(rough.dt.year().is_between(1678, 2261)).then(exact)
    if not isinstance(found, pl.Datetime):
        return None
    zoned = (
        value.dt.replace_time_zone("UTC")
        if found.time_zone is None
        else value.dt.convert_time_zone("UTC")
    )
    return zoned.cast(schemas.TIMESTAMP, strict=False)


def _to_boolean(value: pl.Expr, found: pl.DataType) -> pl.Expr | None:
    if found.is_numeric():
        return pl.when(value == 1).then(True).when(value == 0).then(False)
    if found != pl.String:
        return None
    words = value.str.strip_chars().str.to_lowercase()
    return words.replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_CONVERSIONS: dict[type[pl.DataType], Callable[[pl.Expr, pl.DataType], pl.Expr | None]] = {
    pl.String: _to_string,
    pl.Float64: _to_float,
    pl.Int64: _to_int,
    pl.Date: _to_date,
    pl.Datetime: _to_timestamp,
    pl.Boolean: _to_boolean,
}


def _with_possible_days(rows: pl.DataFrame) -> pl.DataFrame:
    """Clip dates to those that Python can represent: any other would fail in every message."""
    dates = [column for column, dtype in rows.schema.items() if dtype == pl.Date]
    return rows.with_columns(pl.col(dates).clip(dt.date.min, dt.date.max)) if dates else rows


def _check_values(name: str, given: pl.DataFrame, converted: pl.DataFrame) -> None:
    """Raise for the first column in which the conversion made a value null.

    NaN, which pandas uses for null, may become null.
    """
    for column in given.columns:
        lost = given[column].is_not_null() & converted[column].is_null()
        if given[column].dtype.is_float():
            lost &= given[column].is_not_nan()
        if lost.any():
            raise DataError(
                f"{name}.{column} is {given[column].dtype} and holds "
                f"{given[column].filter(lost)[0]!r}, which cannot be converted; "
                f"it must be {converted[column].dtype}"
            )


@dataclass(frozen=True)
class Checked:
    """The rows of a table after its checks.

    Attributes:
        rows: the kept rows, `Table.keyed`, sorted by (underlying, key).
        aside: counts of the rows set aside, `SET_ASIDE`.
    """

    rows: pl.DataFrame
    aside: pl.DataFrame


def check_quotes(rows: pl.DataFrame, snapshot: bool | None = None) -> Checked:
    """Keep the quotes of well-formed, physically settled, unadjusted contracts.

    Rows of equal ts keep their order. A table whose ts are all null is a snapshot; in any other
    table a row without ts is broken. Contract terms come from the symbol; given ones must agree
    with it where they are not null.

    Args:
        rows: as `read` returns them.
        snapshot: whether all ts of the table are null; None: whether those of `rows` are.
    """
    if snapshot is None:
        snapshot = rows["ts"].null_count() == len(rows)
    rows = rows.rename(
        {"expiration": "given_expiration", "strike": "given_strike", "option_type": "given_type"}
    )
    rows = _with_terms(rows)
    given_type = pl.col("given_type").str.slice(0, 1).str.to_uppercase()
    mismatch = (
        (pl.col("given_expiration") != pl.col("expiration"))
        | ((pl.col("given_strike") * 1000).round() != pl.col("strike_milli"))
        | (given_type != pl.col("option_type"))
    )
    flaws = {"missing_key": _missing("underlying", "session", "symbol"), **_contract_flaws()} | {
        "symbol_mismatch": mismatch,
        "missing_ts": pl.lit(False) if snapshot else pl.col("ts").is_null(),
        "not_a_session": _outside_calendars("session"),
        "after_expiration": schemas.after_expiration(),
    }
    checked = _split("option_quotes", rows, flaws)
    return Checked(
        _ordered(checked.rows, "underlying", "session", "rank", "ts").select(
            *schemas.OPTION_QUOTES
        ),
        checked.aside,
    )


def check_option_bars(rows: pl.DataFrame, roots: Roots, highs: pl.DataFrame) -> Checked:
    """Keep the valid bars of traded contracts, one per contract and session.

    Args:
        rows: as `read` returns them.
        roots: the underlyings of the option roots.
        highs: underlying, session and high in dollars, where known: the most that a call is worth
            on that session.
    """
    rows = roots.with_underlying(_with_terms(rows))
    flaws = {
        "missing_key": _missing(None, "session", "symbol"),
        **_contract_flaws(),
        "not_a_session": _outside_calendars("session"),
    }
    flaws |= {
        "after_expiration": schemas.after_expiration(),
        "untraded": schemas.untraded(),
        **schemas.bar_flaws(),
    }
    checked = _split("option_bars", rows, flaws | {"price_over_worth": _over_worth(rows, highs)})
    return _deduplicated("option_bars", checked, ("underlying", "session", "rank"))


def _over_worth(rows: pl.DataFrame, highs: pl.DataFrame) -> pl.Expr:
    """True where a put traded over its strike, or a call over the underlying's high."""
    put, over = pl.col("option_type") == "P", pl.col("high") > pl.col("strike")
    # only calls over the lowest high of all, which are few, are looked up
    lowest = pl.lit(highs["high"].min(), pl.Float64)
    calls = rows.with_row_index("row").filter(
        (pl.col("option_type") == "C") & (pl.col("high") > lowest)
    )
    if calls.is_empty():
        return put & over
    known = highs.select("underlying", "session", most="high")
    calls = calls.select("row", "underlying", "session", "high").join(
        known, on=("underlying", "session")
    )
    impossible = np.zeros(len(rows), np.bool_)
    impossible[calls.filter(pl.col("high") > pl.col("most"))["row"].to_numpy()] = True
    return (put & over) | pl.lit(pl.Series(impossible))


def check_underlying_bars(rows: pl.DataFrame) -> Checked:
    """Keep the valid bars of underlyings, one per underlying and session."""
    flaws = {
        "missing_key": _missing("underlying", "session"),
        "not_a_session": _outside_calendars("session"),
        **schemas.bar_flaws(),
    }
    return _deduplicated(
        "underlying_bars", _split("underlying_bars", rows, flaws), ("underlying", "session")
    )


def check_dividends(rows: pl.DataFrame) -> Checked:
    """Keep the dividends that have an amount, in dollars per share.

    Two amounts on one ex-date are two dividends, a regular and a special one. One that is not said
    to be special is not.
    """
    rows = rows.with_columns(pl.col("special").fill_null(False))
    amount = pl.col("amount")
    flaws = {
        "missing_key": _missing("underlying", "ex_date"),
        "missing_amount": amount.is_null()
        | ~amount.is_finite()
        | (amount.abs() > schemas.LARGEST_PRICE),
        "negative_amount": amount < 0,
    }
    by = ("underlying", "ex_date", "amount", "special")
    return _deduplicated("dividends", _split("dividends", rows, flaws), by)


def check_splits(rows: pl.DataFrame, underlyings: Iterable[str], sessions: Sessions) -> Checked:
    """Keep the splits of known underlyings, one per underlying and ex-date.

    An ex-date within `sessions` must be one of them, any other a weekday. A new name that is empty
    or the old one is none.

    Args:
        rows: as `read` returns them.
        underlyings: the names that the market's other tables hold; a new name is known too.
        sessions: the sessions of the exchange over the market's data.
    """
    new, old, name = pl.col("numerator"), pl.col("denominator"), pl.col("new_underlying")
    renamed = pl.when((name != "") & (name != pl.col("underlying"))).then(name)
    rows = rows.with_columns(new_underlying=renamed)
    known = pl.concat([pl.Series(list(underlyings), dtype=pl.String), rows["new_underlying"]])
    day = pl.col("ex_date")
    inside = day.is_between(sessions.first, sessions.last)
    closed = ~day.is_in(sessions.frame["session"].implode())
    flaws = {
        "missing_key": _missing("underlying", "ex_date"),
        "missing_ratio": new.is_null() | old.is_null(),
        "non_positive_ratio": (new <= 0) | (old <= 0),
        "ratio_out_of_range": (pl.max_horizontal(new, old) > _MOST_SHARES)
        | (new > old * _LARGEST_RATIO)
        | (old > new * _LARGEST_RATIO),
        "not_a_session": pl.when(inside).then(closed).otherwise(day.dt.weekday() > 5),
        "unknown_underlying": ~pl.col("underlying").is_in(known.drop_nulls().implode()),
    }
    return _deduplicated("splits", _split("splits", rows, flaws), ("underlying", "ex_date"))


def _missing(underlying: str | None, *others: str) -> pl.Expr:
    """True where a part of the key is null, or the name of the underlying is empty."""
    nulls = [pl.col(column).is_null() for column in (underlying, *others) if column]
    return pl.any_horizontal(*nulls, *([pl.col(underlying) == ""] if underlying else []))


def _outside_calendars(column: str) -> pl.Expr:
    """True for years that no calendar covers: one row of 9999 would end the market there."""
    return ~pl.col(column).is_between(dt.date(1900, 1, 1), dt.date(2199, 12, 31))


def _with_terms(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the terms of the contracts, and rewrite symbols that can be read as 21 characters."""
    contracts = _contracts(rows["symbol"])
    rows = rows.join(contracts, on="symbol", how="left", maintain_order="left")
    if "written" in contracts.columns:
        rows = rows.with_columns(symbol=pl.coalesce("written", "symbol")).drop("written")
    return rows


def _contracts(symbols: pl.Series) -> pl.DataFrame:
    """One row per distinct symbol with its terms, so that each symbol is parsed once.

    Two spellings of one contract have the same `rank`. If any symbol is not spelt in 21 characters,
    the column `written` has that spelling.
    """
    symbol = pl.col("symbol")
    distinct = symbols.drop_nulls().unique().sort().to_frame("symbol")
    if distinct.select(osi.is_osi(symbol).all()).item():
        return _terms(distinct.with_row_index("rank"))
    spelt = distinct.with_columns(written=osi.normalised(symbol))
    terms = _terms(spelt.select(symbol="written").unique().sort("symbol").with_row_index("rank"))
    return spelt.join(terms, left_on="written", right_on="symbol", maintain_order="left")


def _terms(distinct: pl.DataFrame) -> pl.DataFrame:
    symbol = pl.col("symbol")
    root = osi.root(symbol)
    flaws = {
        "bad_symbol": ~osi.is_osi(symbol),
        "cash_settled": root.is_in(cash_settled.ROOTS),
        "adjusted": root.str.contains(r"\d$"),
    }
    parsed = distinct.with_columns(
        root=pl.when(osi.is_osi(symbol)).then(root).otherwise(osi.leading_letters(symbol)),
        expiration=osi.expiration(symbol),
        strike_milli=osi.strike_milli(symbol),
        option_type=osi.option_type(symbol),
        contract_flaw=schemas.first_flaw(flaws),
    )
    # in NumPy: Polars divides by a scalar by multiplying with its inverse, and every eighth strike
    # would be one bit off
    strikes = parsed["strike_milli"].cast(pl.Float64).to_numpy() / 1000.0
    return parsed.with_columns(strike=pl.Series(strikes, dtype=pl.Float64))


def _contract_flaws() -> Flaws:
    return {
        reason: pl.col("contract_flaw") == reason
        for reason in ("bad_symbol", "cash_settled", "adjusted")
    }


def _split(name: str, rows: pl.DataFrame, flaws: Flaws) -> Checked:
    """Keep the rows without a flaw, and count the others by the first flaw that applies."""
    # flaws by number: a column of names would take as long again
    numbered = [
        pl.when(found.fill_null(False)).then(pl.lit(i, pl.UInt8))
        for i, found in enumerate(flaws.values())
    ]
    number = rows.select(pl.coalesce(numbered).alias("reason")).to_series()
    if number.null_count() == len(rows):
        return Checked(rows, SET_ASIDE.to_frame())
    broken = rows.with_columns(number).filter(number.is_not_null())
    broken = broken.with_columns(reason=pl.Series(list(flaws)).gather(broken["reason"]))
    return Checked(rows.filter(number.is_null()), _counted(name, broken))


def set_aside(name: str, rows: pl.DataFrame, flaws: Flaws) -> Checked:
    """Set the rows with a flaw aside; `rows` have more columns than table `name`, or fewer.

    Args:
        name: of the table.
        rows: with the columns of the table's key, and underlying.
        flaws: tests of a row by reason; the first that applies counts.
    """
    return _split(name, rows, flaws)


def _counted(name: str, broken: pl.DataFrame) -> pl.DataFrame:
    """Count broken rows (`Table.schema`, underlying, reason) by day and reason: `SET_ASIDE`."""
    table = _NAMED[name]
    shown = [column for column in table.keyed if column in broken.columns]
    by = {
        "table": pl.lit(name),
        "underlying": pl.col("underlying").fill_null(""),
        "session": pl.col(table.day),
    }
    counted = broken.select(**by, reason="reason", row=pl.struct(shown))
    counted = counted.group_by("table", "underlying", "session", "reason", maintain_order=True).agg(
        count=pl.len().cast(pl.Int64), example=pl.col("row").first()
    )
    wanted = (
        pl.when(pl.col("reason") == "bad_symbol")
        .then(pl.lit(f"; expected {osi.FORM}"))
        .otherwise(pl.lit(""))
    )
    return counted.with_columns(pl.col("example").struct.json_encode() + wanted)


def _ordered(rows: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Sort rows stably by some columns; rows that are sorted already, as most are, are returned."""
    later = pl.lit(True)
    for column in reversed(by):
        key = pl.col(column) if rows[column].dtype == pl.String else pl.col(column).to_physical()
        key = key.fill_null(-(2**63)) if rows[column].null_count() else key
        later = (key > key.shift()) | ((key == key.shift()) & later)
    return rows if rows.select(later.all()).item() else rows.sort(by, maintain_order=True)


def _deduplicated(name: str, checked: Checked, by: tuple[str, ...]) -> Checked:
    """Sort by the key, and merge rows of equal key and prices into one with the greatest volume.

    Of rows of equal key with different prices none is kept: it is not known which is right.
    """
    rows, table = _ordered(checked.rows, *by), _NAMED[name]
    same = pl.all_horizontal([pl.col(column) == pl.col(column).shift() for column in by]).fill_null(
        False
    )
    repeated = rows.select(same).to_series()
    if repeated.any():
        known = (*by, *table.implied, "symbol", "volume")
        values = [column for column in table.schema if column not in known]
        differs = pl.any_horizontal(
            pl.lit(False), *(pl.col(column).ne_missing(pl.col(column).shift()) for column in values)
        )
        rows = rows.with_columns(_repeated=same, _differs=same & differs, _group=(~same).cum_sum())
        rows = rows.with_columns(reason=pl.col("_differs").any().over("_group"))
        if "volume" in table.schema:
            rows = rows.with_columns(pl.col("volume").max().over("_group"))
        broken = rows.filter(pl.col("reason") | pl.col("_repeated"))
        reason = (
            pl.when("reason")
            .then(pl.lit("conflicting_duplicate"))
            .otherwise(pl.lit("equal_duplicate"))
        )
        aside = pl.concat([checked.aside, _counted(name, broken.with_columns(reason=reason))])
        checked = Checked(checked.rows, aside)
        rows = rows.filter(~pl.col("reason") & ~pl.col("_repeated"))
    return Checked(rows.select(*table.keyed), checked.aside)


def _ends(days: pl.Series) -> list[dt.date]:
    """The first and last of some days; empty for no days."""
    return [day for day in (days.min(), days.max()) if isinstance(day, dt.date)]


# Days without a row of any table: no data have such a hole, but some files have a wrong year.
_FAR = 5 * 366
_STRAYS = 5  # sessions


def days_of(tables: Mapping[str, Checked]) -> pl.DataFrame:
    """(session, count): the number of rows of all tables on each session."""
    named = [name for name in tables if TABLES[name].day == "session"]
    days = pl.concat([tables[name].rows["session"].value_counts() for name in named])
    return days.group_by("session").agg(pl.col("count").sum())


def strays_of(days: pl.DataFrame) -> pl.Series:
    """The sessions of a wrong year (2099, 1970): at most five, over five years from all others.

    `days` is the frame of `days_of`.
    """
    days = days.sort("session")
    ends = _ends(days["session"])
    if not ends or (max(ends) - min(ends)).days <= _FAR:
        return days["session"].clear()
    days = days.with_columns(
        run=(pl.col("session").diff().dt.total_days() > _FAR).fill_null(False).cum_sum()
    )
    runs = days.group_by("run", maintain_order=True).agg(
        pl.len().alias("sessions"), pl.col("count").sum()
    )
    main = runs.sort("sessions", "count", "run", descending=[True, True, False])["run"][0]
    strays = runs.filter((pl.col("run") != main) & (pl.col("sessions") <= _STRAYS))["run"]
    return days.filter(pl.col("run").is_in(strays.implode()))["session"]


def without_strays(tables: Mapping[str, Checked], strays: pl.Series) -> dict[str, Checked]:
    """Set the rows of the sessions of `strays_of` aside.

    They would lengthen every calendar, and so the time of every run.
    """
    if strays.is_empty():
        return dict(tables)
    named = [name for name in tables if TABLES[name].day == "session"]
    stray = pl.col("session").is_in(strays.implode())
    found = {name: _split(name, tables[name].rows, {"stray_session": stray}) for name in named}
    joined = {
        name: Checked(rest.rows, pl.concat([tables[name].aside, rest.aside]))
        for name, rest in found.items()
    }
    return {**tables, **joined}


def tally(name: str, rows: pl.DataFrame, sessions: Sessions) -> pl.DataFrame:
    """Count the flaws of kept rows as `TALLY`, each row by the first that applies.

    The flaws are days that are no sessions, and those of quotes. `rows` have the `Table.keyed`
    columns, or those of them that the flaws depend on.
    """
    if name == "option_quotes":
        return tally_quotes(Runs.of(rows), sessions)
    if TABLES[name].day != "session":
        return TALLY.to_frame()
    return total(_split(name, rows, {"not_a_session": _closed(sessions)}).aside)


def tally_quotes(runs: Runs, sessions: Sessions) -> pl.DataFrame:
    """`tally` of quotes; most are valid, and only the others are tested for each reason."""
    rows, other = runs.suspicious(sessions)
    local = pl.col("ts").dt.convert_time_zone(sessions.timezone).dt.date()
    flaws: Flaws = {"not_a_session": _closed(sessions)}
    if other.height:
        flaws["wrong_session"] = (local != pl.col("session")).fill_null(False)
    return total(_split("option_quotes", rows, flaws | schemas.quote_flaws()).aside)


def _closed(sessions: Sessions) -> pl.Expr:
    return ~pl.col("session").is_in(sessions.frame["session"].implode())


def recounted(aside: pl.DataFrame, sessions: Sessions) -> pl.DataFrame:
    """Sum `SET_ASIDE` counts to `TALLY`, with the reason `not_a_session` where it applies first.

    That is for broken bars on days that are no sessions, within the range of `sessions`, the days
    of the kept rows.
    """
    earlier = pl.col("reason").is_in(["missing_key", "bad_symbol", "cash_settled", "adjusted"])
    bars = pl.col("table").is_in(["option_bars", "underlying_bars"])
    known = pl.col("session").is_between(sessions.first, sessions.last)
    stray = bars & ~earlier & known & ~pl.col("session").is_in(sessions.frame["session"].implode())
    return total(
        aside.with_columns(reason=pl.when(stray).then(pl.lit("not_a_session")).otherwise("reason"))
    )


def total(counts: pl.DataFrame) -> pl.DataFrame:
    """Sum counts by table, underlying and reason, sorted, with the first example: `TALLY`."""
    by = ("table", "underlying", "reason")
    example = pl.col("example").drop_nulls().first()
    return (
        counts.group_by(by, maintain_order=True)
        .agg(pl.col("count").sum(), example)
        .select(*TALLY)
        .sort(by)
    )


def content_digest(table: Table, rows: pl.DataFrame) -> str:
    """A hexadecimal BLAKE2b digest of the rows of one table, underlying and month.

    It does not depend on chunks, process and storage. For each column it covers name, type and
    length, and then blocks, each after its length: the null mask if there are nulls; and, unless
    all are null, the values, little-endian, with 0 for null and one NaN. Strings are the byte
    lengths (one number if all are equal), and then the bytes.
    """
    return content_digests(table, rows, [(0, len(rows))])[0]


def content_digests(
    table: Table, rows: pl.DataFrame, spans: Sequence[tuple[int, int]]
) -> list[str]:
    """`content_digest` of several runs of rows, given as first row and one past the last.

    Each column is turned into bytes once: an expression of Polars takes as long as a month's hash.
    """
    named = [column for column in table.schema if column not in table.implied]
    columns = {column: _Bytes.of(rows[column]) for column in named}
    other = {c: (rows[c] != value).to_numpy() for c, value in table.later.items() if c in columns}
    found = []
    for first, end in spans:
        named = [c for c in columns if c not in other or other[c][first:end].any()]
        found.append(_digest([(c, columns[c]) for c in named], first, end))
    return found


def _digest(columns: Iterable[tuple[str, "_Bytes"]], first: int, end: int) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, values in columns:
        digest.update(f"{name} {values.kind} {end - first}\n".encode())
        for block in values.blocks(first, end):
            digest.update(len(block).to_bytes(8, "little"))
            digest.update(block)
    return digest.hexdigest()


class _Bytes(NamedTuple):
    """A column as it is hashed."""

    kind: pl.DataType
    absent: npt.NDArray[np.bool_] | None  # where it is null, if anywhere
    sizes: npt.NDArray[np.uint32] | None  # of texts, in bytes; None of numbers
    starts: npt.NDArray[np.int64]  # (n + 1,) where each value starts in `held`
    held: memoryview

    @classmethod
    def of(cls, values: pl.Series) -> "_Bytes":
        """The bytes of a column."""
        absent = _absent(values)
        if values.dtype != pl.String:
            array = np.ascontiguousarray(_numbers(values, absent))
            starts = np.arange(len(values) + 1) * array.itemsize
            return cls(values.dtype, absent, None, starts, array.view(np.uint8).data)
        starts, held = _joined(values if absent is None else values.fill_null(""))
        return cls(values.dtype, absent, np.diff(starts).astype("<u4"), starts, held)

    def blocks(self, first: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes to hash of the values from `first` to before `end`; none of an empty range."""
        if first == end:
            return
        absent = None if self.absent is None else self.absent[first:end]
        if absent is not None and absent.any():
            yield np.packbits(absent).tobytes()
            if absent.all():
                return
        if self.sizes is not None:
            sizes = self.sizes[first:end]
            yield (sizes[:1] if (sizes == sizes[0]).all() else sizes).tobytes()
        yield self.held[self.starts[first] : self.starts[end]]


def _absent(values: pl.Series) -> npt.NDArray[np.bool_] | None:
    """Where a column is null; None: nowhere. Whole columns often are: no query is made for them."""
    if not (count := values.null_count()):
        return None
    return np.ones(count, np.bool_) if count == len(values) else values.is_null().to_numpy()


def _joined(words: pl.Series) -> tuple[npt.NDArray[np.int64], memoryview]:
    """Where each text starts in the bytes of all of them, and these bytes."""
    held = words.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = held.buffers()
    if offsets is None or data is None or not len(words):
        return np.zeros(len(words) + 1, np.int64), memoryview(b"")
    starts = np.frombuffer(offsets, np.int64)[held.offset : held.offset + len(words) + 1]
    return starts, memoryview(data)


def _numbers(values: pl.Series, absent: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    """The values little-endian, 0 where `absent`, every NaN the same."""
    if absent is not None and absent.all():
        return np.zeros(len(values), "<i8")
    whole = values.dtype.is_integer() and absent is not None
    array = (values.fill_null(0) if whole else values).to_numpy()
    if array.dtype.kind == "M":
        array = array.astype(np.int32 if values.dtype == pl.Date else np.int64)
    elif array.dtype.kind == "f" and (missing := np.isnan(array)).any():
        array = np.where(missing, np.nan, array)
    if absent is not None:
        array = np.where(absent, array.dtype.type(0), array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
