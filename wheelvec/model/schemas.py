"""Schemas of the tables that packages exchange, tests of rows, and conversion of users' frames.

Prices are in dollars per share; amounts, fees and P&L in dollars per contract of 100 shares;
`*_pct` is a fraction, `roc` is in percent; a `session` is a date of the exchange calendar; times
are UTC.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Protocol

import polars as pl

from wheelvec.model.codes import LARGEST_PRICE as LARGEST_PRICE
from wheelvec.model.errors import DataError, InputError

TIMESTAMP = pl.Datetime("ns", "UTC")

OPTION_QUOTES: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "session": pl.Date(),
    # null: the row belongs to the only snapshot of its session, and the entry time does not apply
    "ts": TIMESTAMP,
    "symbol": pl.String(),
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "option_type": pl.String(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "underlying_price": pl.Float64(),
    # of quotes of vendors' files: vendor, parity or close; null where the source is not recorded
    "underlying_source": pl.String(),
}

OPTION_BARS: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "session": pl.Date(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Int64(),
}

UNDERLYING_BARS: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "session": pl.Date(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Int64(),
    # vendor or parity: a close made of option quotes, without a daily bar; else null
    "close_source": pl.String(),
}

DIVIDENDS: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "ex_date": pl.Date(),
    "amount": pl.Float64(),
    "special": pl.Boolean(),
}

SPLITS: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "ex_date": pl.Date(),
    "numerator": pl.Int64(),  # new shares ...
    "denominator": pl.Int64(),  # ... for so many old ones
    "new_underlying": pl.String(),  # null: the underlying keeps its name
}

# One month's chain at entry time: the last quote of each contract in the entry minute of each
# session; iv and delta are null where they were not computed, NaN where none exists.
SOLVED_CHAIN: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "root": pl.String(),  # of the contract's symbol, padded to six
    "expiration": pl.Date(),
    "strike": pl.Float64(),
    "is_put": pl.Boolean(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "underlying_price": pl.Float64(),
    "iv": pl.Float64(),
    "delta": pl.Float64(),
}

SOLVED_COUNTS: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "n_quotes": pl.Int64(),
    "n_valid": pl.Int64(),
    "priced": pl.Boolean(),
}

SIGNALS: dict[str, pl.DataType] = {"session": pl.Date(), "underlying": pl.String()}

# Of a saved sweep: the pairs of each of its signals; signal is null for those of `when`.
# underlyings that could not be simulated where an executor ran them, and why
FAILURES: dict[str, pl.DataType] = {"underlying": pl.String(), "error": pl.String()}
NAMED_SIGNALS: dict[str, pl.DataType] = {"signal": pl.String()} | SIGNALS

MARKET_DIAGNOSTICS: dict[str, pl.DataType] = {
    "table": pl.String(),
    "underlying": pl.String(),
    "reason": pl.String(),
    "count": pl.Int64(),
}

# The warnings of a result (`run.results.warnings.RunWarning`).
WARNINGS: dict[str, pl.DataType] = {
    "code": pl.String(),
    "underlying": pl.String(),
    "count": pl.Int64(),
    "text": pl.String(),
}

# rules.md, section 10: one row per phase
RECORDS: dict[str, pl.DataType] = {
    "wheel_id": pl.String(),
    "underlying": pl.String(),
    "put_symbol": pl.String(),
    "initial_capital": pl.Float64(),
    "entry_date": pl.Date(),
    "phase": pl.String(),
    "state": pl.String(),
    "execution_version": pl.String(),
    "cycle": pl.Int64(),
    "symbol": pl.String(),
    "strike": pl.Float64(),
    "expiration": pl.Date(),
    "premium": pl.Float64(),
    "fees": pl.Float64(),
    "contracts": pl.Int64(),
    "factor": pl.Int64(),
    "exit_symbol": pl.String(),
    "exit_date": pl.Date(),
    "pnl": pl.Float64(),
    "exit_price": pl.Float64(),
    "exit_reason": pl.String(),
    "exit_pct": pl.Float64(),
    "days_held": pl.Int64(),
    "roc": pl.Float64(),
    "cost_basis": pl.Float64(),
    "touch_count": pl.Int64(),
    "touch_profit_target": pl.Boolean(),
    "filled_profit_target": pl.Boolean(),
    "p_fill_profit_target": pl.Float64(),
    "u_fill_profit_target": pl.Float64(),
    "spread_pct_entry": pl.Float64(),
    "ivp_entry": pl.Float64(),
    "iv_entry": pl.Float64(),
    "delta_entry": pl.Float64(),
    "dte_entry": pl.Int64(),
    "liquidity_tier": pl.String(),
    "liquidity_penalty": pl.Float64(),
    "sessions_without_bar": pl.Int64(),
    "underlying_at_expiration": pl.Float64(),
    "csp_pnl": pl.Float64(),
    "cc_pnl": pl.Float64(),
    "stock_pnl": pl.Float64(),
    "pnl_marked": pl.Float64(),
    "wheel_roc": pl.Float64(),
    "roc_annualized": pl.Float64(),
    "total_days": pl.Int64(),
    "calendar_days": pl.Int64(),
    "shares_held": pl.Int64(),
    "csp_exit_reason": pl.String(),
    "cc_exit_reason": pl.String(),
    "end_reason": pl.String(),
    "censored": pl.Boolean(),
    "carried": pl.Boolean(),
}

# The columns of a total; the others of RECORDS are null there.
WHEELS: tuple[str, ...] = (
    "wheel_id",
    "underlying",
    "put_symbol",
    "initial_capital",
    "entry_date",
    "phase",
    "state",
    "execution_version",
    "symbol",
    "strike",
    "expiration",
    "premium",
    "fees",
    "exit_date",
    "pnl",
    "csp_pnl",
    "cc_pnl",
    "stock_pnl",
    "pnl_marked",
    "wheel_roc",
    "roc_annualized",
    "total_days",
    "calendar_days",
    "shares_held",
    "csp_exit_reason",
    "cc_exit_reason",
    "end_reason",
    "censored",
    "carried",
)

LEDGER: dict[str, pl.DataType] = {
    "wheel_id": pl.String(),
    "date": pl.Date(),
    "entry": pl.String(),
    "amount": pl.Float64(),
}

DIAGNOSTICS: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "underlying": pl.String(),
    "outcome": pl.String(),
    "n_quotes": pl.Int64(),
    "n_valid": pl.Int64(),
    "n_solved": pl.Int64(),
    "n_in_range": pl.Int64(),
    "n_liquid": pl.Int64(),
    "n_launched": pl.Int64(),
    "limit_reached": pl.Boolean(),
}

CALL_DIAGNOSTICS: dict[str, pl.DataType] = {
    "wheel_id": pl.String(),
    "cycle": pl.Int64(),
    "session": pl.Date(),
    "underlying": pl.String(),
    "outcome": pl.String(),
    "n_quotes": pl.Int64(),
    "n_valid": pl.Int64(),
    "n_solved": pl.Int64(),
    "n_in_range": pl.Int64(),
    "n_above_basis": pl.Int64(),
    "n_liquid": pl.Int64(),
}

PATHS: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "symbol": pl.String(),
    "session": pl.Date(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "underlying_price": pl.Float64(),
    "source": pl.String(),
}

UNDERLYING_CLOSES: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "session": pl.Date(),
    "close": pl.Float64(),
}

# The events of an underlying while a result's wheels may hold it: a row a dividend, and a row a
# corporate event of rules.md, section 12.
EVENTS: dict[str, pl.DataType] = {
    "underlying": pl.String(),
    "session": pl.Date(),  # the first one on or after the ex-date
    "ex_date": pl.Date(),
    "kind": pl.String(),  # carried, not_carried, suspected or dividend
    "ratio": pl.Float64(),  # new shares for one old one; null where none is known or meant
    "root": pl.String(),  # of its options from then on; null: as before
    "amount": pl.Float64(),  # of a dividend, dollars per share as of the ex-date
    "special": pl.Boolean(),  # of a dividend
}

# The tables of a result, by name.
RESULT_TABLES: dict[str, dict[str, pl.DataType]] = {
    "records": RECORDS,
    "ledger": LEDGER,
    "call_diagnostics": CALL_DIAGNOSTICS,
    "diagnostics": DIAGNOSTICS,
    "paths": PATHS,
    "underlying": UNDERLYING_CLOSES,
    "events": EVENTS,
    "warnings": WARNINGS,
    "failures": FAILURES,
}


# An account, day by day.
ACCOUNT_DAILY: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "cash": pl.Float64(),
    "collateral": pl.Float64(),
    "shortfall": pl.Float64(),
    "options": pl.Float64(),
    "shares": pl.Float64(),
    "equity": pl.Float64(),
    "drawdown": pl.Float64(),
    "exposure": pl.Float64(),
    "open_wheels": pl.Int64(),
    "open_puts": pl.Int64(),
    "open_calls": pl.Int64(),
    "mark_age": pl.Int64(),
    "delta_dollars": pl.Float64(),
    "puts": pl.Float64(),
    "calls": pl.Float64(),
    "stock": pl.Float64(),
    "dividends": pl.Float64(),
    "fees": pl.Float64(),
    "interest": pl.Float64(),
}

# The share equivalents of an account by underlying.
ACCOUNT_DELTAS: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "underlying": pl.String(),
    "shares": pl.Float64(),
    "delta_dollars": pl.Float64(),
}

# The cash of an account, dated by the sessions on which it comes.
ACCOUNT_LEDGER: dict[str, pl.DataType] = {
    "row": pl.Int64(),  # of the wheel, among those of the account
    "wheel_id": pl.String(),
    "date": pl.Date(),
    "entry": pl.String(),
    "amount": pl.Float64(),
}


def _too_large(price: pl.Expr) -> pl.Expr:
    return (price.abs() > LARGEST_PRICE) & price.is_not_nan()


def quote_flaws() -> dict[str, pl.Expr]:
    """Tests for invalid quotes (rules.md, section 2) by reason, in the order of testing.

    Each expression is true where the reason applies, and never null.
    """
    bid, ask, spot = pl.col("bid"), pl.col("ask"), pl.col("underlying_price")
    flaws = {
        "missing_side": bid.is_null() | ask.is_null() | bid.is_nan() | ask.is_nan(),
        "infinite_price": _too_large(bid) | _too_large(ask) | _too_large(spot),
        "negative_bid": bid < 0,
        "crossed": bid > ask,
        "no_price": (bid + ask) == 0,
        "no_underlying_price": spot.is_null() | spot.is_nan() | (spot <= 0),
        "after_expiration": after_expiration(),
        "ask_over_worth": ask
        > pl.when(pl.col("option_type") == "P").then("strike").otherwise(spot),
    }
    return {reason: flaw.fill_null(False) for reason, flaw in flaws.items()}


def valid_quote(is_put: pl.Expr | None = None) -> pl.Expr:
    """True where no reason of `quote_flaws` applies; null or false where one does.

    It is one comparison of each column instead of a test for each reason. The terms of the contract
    must not be null. Polars takes NaN as greater than any number. `is_put` is the test of the type
    where it is also used otherwise.
    """
    is_put = pl.col("option_type") == "P" if is_put is None else is_put
    bid, ask, spot = pl.col("bid"), pl.col("ask"), pl.col("underlying_price")
    priced = (bid >= 0) & (ask >= bid) & (ask > 0) & (ask <= LARGEST_PRICE)
    worth = pl.when(is_put).then("strike").otherwise(spot)
    known = (spot > 0) & (spot <= LARGEST_PRICE) & (ask <= worth)
    return priced & known & (pl.col("session") <= pl.col("expiration"))


def after_expiration() -> pl.Expr:
    """True for rows of a contract after its expiration."""
    return pl.col("session") > pl.col("expiration")


# Reasons that occur in every chain: counted, but never an error under strict=True.
ORDINARY_REASONS = (
    "missing_side",
    "no_price",
    "ask_over_worth",
    "cash_settled",
    "adjusted",
    "untraded",
    "equal_duplicate",
)


def untraded() -> pl.Expr:
    """True for the bar of an option without a trade: a volume of 0, or four prices of 0.

    Some vendors write such bars for every contract and session. The expression is never null.
    """
    prices = [(pl.col(name) == 0).fill_null(False) for name in _PRICES]
    return (pl.col("volume") == 0).fill_null(False) | pl.all_horizontal(prices)


def bar_flaws() -> dict[str, pl.Expr]:
    """Tests for invalid bars (data.md) by reason, in the order of testing; never null."""
    prices = [pl.col(name) for name in _PRICES]
    inside = [pl.col(name).is_between(pl.col("low"), pl.col("high")) for name in ("open", "close")]
    flaws = {
        "missing_price": pl.any_horizontal([p.is_null() | p.is_nan() for p in prices]),
        "infinite_price": pl.any_horizontal([_too_large(p) for p in prices]),
        "non_positive_price": pl.any_horizontal([p <= 0 for p in prices]),
        "high_below_low": pl.col("high") < pl.col("low"),
        "outside_range": ~(inside[0] & inside[1]),
    }
    return {reason: flaw.fill_null(False) for reason, flaw in flaws.items()}


_PRICES = ("open", "high", "low", "close")


def first_flaw(flaws: dict[str, pl.Expr]) -> pl.Expr:
    """The first reason that applies to a row; null if none does."""
    return pl.coalesce([pl.when(flaw).then(pl.lit(reason)) for reason, flaw in flaws.items()])


# ---- conversion of users' frames


class ArrowStream(Protocol):
    """A table with an Arrow stream, such as those of pandas, pyarrow and DuckDB."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The stream as a capsule of Arrow's PyCapsule interface."""


Frame = pl.DataFrame | pl.LazyFrame | ArrowStream


def as_lazy(name: str, frame: Any) -> pl.LazyFrame:
    """A user's table as a LazyFrame.

    Accepted are Polars frames, lazy or not, pandas DataFrames, and objects with an Arrow stream (a
    pyarrow Table, a DuckDB relation). A lazy frame is not read yet; see `readable` for its errors.
    NaN of pandas becomes null, and the named levels of its index become columns.

    Args:
        name: the name of the argument in error messages.
        frame: the table.

    Raises:
        InputError: if `frame` is none of these.
        DataError: if a pandas or Arrow table cannot be converted.
    """
    if isinstance(frame, pl.LazyFrame):
        return frame
    if isinstance(frame, pl.DataFrame):
        return frame.lazy()
    if not (_is_pandas(frame) or _is_arrow(frame)):
        kind = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__name__}".removeprefix(
            "builtins."
        )
        hint = (
            f"; pl.DataFrame({name}) makes one of a dict of columns"
            if isinstance(frame, dict)
            else ""
        )
        raise InputError(
            f"{name} must be a Polars frame, a pandas DataFrame or an Arrow table, got {kind}{hint}"
        )
    with readable(name):
        return _of_pandas(frame).lazy() if _is_pandas(frame) else pl.DataFrame(frame).lazy()


def as_polars(name: str, frame: Any) -> pl.DataFrame:
    """A user's table as a DataFrame, as by `as_lazy`.

    Raises:
        InputError: as `as_lazy`.
        DataError: as `as_lazy`, or if a lazy frame cannot be collected.

    >>> as_polars("when", pl.LazyFrame({"underlying": ["TSLA"]})).columns
    ['underlying']
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    with readable(name):
        return as_lazy(name, frame).collect()


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Convert errors of a user's frame, query or file to a DataError that names the table.

    Polars panics on some damaged files, and Arrow has its own exceptions.
    """
    try:
        yield
    except (DataError, InputError):
        raise
    except pl.exceptions.PanicException as error:
        raise DataError(
            f"{name} cannot be read: it is damaged, or of a kind that Polars fails on"
        ) from error
    except (
        pl.exceptions.PolarsError,
        OSError,
        ValueError,
        TypeError,
        ImportError,
        NotImplementedError,
    ) as error:
        raise DataError(
            f"{name} cannot be read: {str(error).strip()[:200] or type(error).__name__}"
        ) from error


def _is_pandas(frame: object) -> bool:
    """Whether it is a pandas DataFrame; pandas, which may not be installed, is not imported."""
    return any(
        base.__name__ == "DataFrame" and base.__module__.partition(".")[0] == "pandas"
        for base in type(frame).__mro__
    )


def _is_arrow(frame: object) -> bool:
    """Whether it has an Arrow stream of named columns; a Series has a stream without names."""
    return hasattr(frame, "__arrow_c_stream__") and (
        hasattr(frame, "schema") or hasattr(frame, "columns")
    )


def _of_pandas(frame: Any) -> pl.DataFrame:
    named = [
        level for level in frame.index.names if level is not None and level not in frame.columns
    ]
    found = pl.from_pandas(frame.reset_index(level=named) if named else frame)
    # a column without a value is one of floats to pandas, also where texts or dates belong
    empty = [column for column in found if column.dtype.is_float() and not column.count()]
    return found.with_columns(column.cast(pl.Null) for column in empty)
