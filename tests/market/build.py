"""Small tables for the tests of the market: a valid row each, and changes to it."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model import schemas

SHARED = Path(__file__).resolve().parents[3] / "shared"
DAY = dt.date.fromisoformat

# A Tuesday, the day of the worked quotes. Its quotes are of 15:45:10 in New York.
SESSION = DAY("2023-06-06")
SYMBOL = "TSLA  230707P00205000"


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def symbol(
    strike: float = 205, kind: str = "P", expiration: str = "230707", root: str = "TSLA"
) -> str:
    return f"{root:<6}{expiration}{kind}{round(strike * 1000):08d}"


QUOTE = {
    "underlying": "TSLA",
    "session": SESSION,
    "ts": at("2023-06-06T19:45:10"),
    "symbol": SYMBOL,
    "expiration": DAY("2023-07-07"),
    "strike": 205.0,
    "option_type": "P",
    "bid": 5.0,
    "ask": 5.25,
    "underlying_price": 221.5,
    "underlying_source": None,
}
BAR = {
    "symbol": SYMBOL,
    "session": SESSION,
    "open": 5.0,
    "high": 5.5,
    "low": 4.5,
    "close": 5.25,
    "volume": 10,
}
UNDERLYING = {
    "underlying": "TSLA", "session": SESSION, "open": 220.0, "high": 224.0, "low": 219.0, "close": 221.5, "volume": 1000, "close_source": None
}  # fmt: skip
DIVIDEND = {"underlying": "TSLA", "ex_date": SESSION, "amount": 0.25, "special": False}
SPLIT = {
    "underlying": "TSLA",
    "ex_date": SESSION,
    "numerator": 3,
    "denominator": 1,
    "new_underlying": None,
}
PLAIN = {
    "option_quotes": QUOTE,
    "option_bars": BAR,
    "underlying_bars": UNDERLYING,
    "dividends": DIVIDEND,
    "splits": SPLIT,
}
SCHEMAS: dict[str, dict[str, pl.DataType]] = {
    "option_quotes": schemas.OPTION_QUOTES,
    "option_bars": schemas.OPTION_BARS,
    "underlying_bars": schemas.UNDERLYING_BARS,
    "dividends": schemas.DIVIDENDS,
    "splits": schemas.SPLITS,
}


def table(name: str, *changes: dict[str, Any]) -> pl.DataFrame:
    """One row for each of `changes` to the plain row of table `name`; none at all gives an empty
    table.
    """
    return pl.DataFrame([PLAIN[name] | change for change in changes], schema=SCHEMAS[name])


def quotes(*changes: dict[str, Any]) -> pl.DataFrame:
    """Quotes; a changed symbol brings its own terms."""
    full = []
    for change in changes:
        if "symbol" in change:
            change = {"expiration": None, "strike": None, "option_type": None} | change
        full.append(change)
    return table("option_quotes", *full)


def market(**tables: Any) -> Market:
    """A market of the given tables, the two that must be there plain if they are not given."""
    plain = {"option_quotes": quotes({}), "underlying_bars": table("underlying_bars", {})}
    return Market(**(plain | tables))


def counts(held: Market) -> dict[tuple[str, str], int]:
    """(table, reason) -> count over all underlyings, without what is said of the market as a whole."""
    whole = (
        "no_option_bars",
        "no_underlying_bars",
        "underlying_ended",
        "suspected_split",
        "adjusted_underlying_price",
        "contradicted_by_prices",
    )
    rows = (
        held.diagnostics.filter(~pl.col("reason").is_in(whole))
        .group_by("table", "reason")
        .agg(pl.col("count").sum())
    )
    return {(name, reason): n for name, reason, n in rows.iter_rows()}


def chain(
    day: dt.date, spot: float, strikes: list[float], root: str = "TSLA", **changes: Any
) -> list[dict[str, Any]]:
    """Put quotes of one session, one to a strike, without ts."""
    row = {"underlying": root, "session": day, "ts": None, "underlying_price": spot} | changes
    return [row | {"symbol": symbol(strike, root=root, expiration="240119")} for strike in strikes]
