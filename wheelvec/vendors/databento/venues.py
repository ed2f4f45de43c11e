"""Databento's rows as quotes of an entry minute, consolidated daily bars and regular minutes.

Frames in, frames out: nothing here reads a file or sends a request.
"""

import datetime as dt

import polars as pl

from wheelvec.model import osi
from wheelvec.model.schemas import TIMESTAMP, quote_flaws

QUOTE_FIELDS = ("symbol", "ts_recv", "bid_px_00", "ask_px_00")
BAR_FIELDS = ("symbol", "ts_event", "publisher_id", "open", "high", "low", "close", "volume")

_MINUTE = dt.timedelta(minutes=1)


def quotes_of(rows: pl.DataFrame, schema: str) -> pl.DataFrame:
    """QUOTE_FIELDS -> symbol, ts, bid, ask (dollars per share), in the order of the records.

    Records of trades carry the current quote too. A row of cbbo-1m is stamped with the end of its
    interval, 15:46:00 for the last quote of 15:45; its ts is a nanosecond earlier, and so in its
    minute.
    """
    nanos = pl.col("ts_recv").to_physical() - (1 if schema.startswith("cbbo-") else 0)
    return rows.select("symbol", ts=nanos.cast(TIMESTAMP), bid="bid_px_00", ask="ask_px_00")


def entry_quotes(
    quotes: pl.DataFrame, minute: dt.datetime, look_back: int, underlying_price: float | None = None
) -> pl.DataFrame:
    """The last quote of each contract in the entry minute, and its last valid one if different.

    With a look-back, a contract without a row in the minute has its last quote before it, if that
    changed within the look-back; `ts` is then the start of the minute, and `age_seconds` is the age
    of the quote at that time.

    Args:
        quotes: symbol, ts, bid, ask, in order of arrival.
        minute: the start of the minute, UTC.
        look_back: minutes.
        underlying_price: dollars, of the minute: a higher ask of a call is not valid. None if not
            known.

    Returns:
        symbol, ts, bid, ask, age_seconds (null for a quote of the minute itself), by (symbol, ts).
    """
    begin, ts = pl.lit(minute, dtype=TIMESTAMP), pl.col("ts")
    within = quotes.filter((ts >= begin) & (ts < begin + _MINUTE)).with_columns(
        age_seconds=pl.lit(None, pl.Float64)
    )
    before = quotes.filter((ts < begin) & (ts >= begin - look_back * _MINUTE)).unique(
        "symbol", keep="last"
    )
    nanos = before.select(begin.to_physical() - ts.to_physical()).to_series()
    # in NumPy: Polars divides by a scalar by multiplying with its inverse, and a minute would be
    # 60.00000000000001 seconds
    earlier = before.with_columns(age_seconds=pl.Series(nanos.to_numpy() / 1e9), ts=begin)
    found = pl.concat([earlier, within]).with_row_index("order")
    last = found.select("symbol", "order").unique("symbol", keep="last", maintain_order=True)
    valid = (
        found.filter(~_flawed(underlying_price))
        .select("symbol", "order")
        .unique("symbol", keep="last", maintain_order=True)
    )
    kept = pl.concat([last, valid])["order"].unique()
    chosen = found.filter(pl.col("order").is_in(kept.implode())).with_columns(
        pl.col("symbol").cast(pl.String)
    )
    return chosen.sort("symbol", "ts", "order", maintain_order=True).drop("order")


def _flawed(underlying_price: float | None) -> pl.Expr:
    """True for an invalid quote, by the flaws that may differ between quotes of one minute."""
    symbol, spot = pl.col("symbol").cast(pl.String), pl.lit(underlying_price, pl.Float64)
    worth = (
        pl.when(osi.option_type(symbol) == "P")
        .then(osi.strike_milli(symbol) / 1000.0)
        .otherwise(spot)
    )
    flaws = quote_flaws()
    same = ("infinite_price", "no_underlying_price", "after_expiration", "ask_over_worth")
    # Polars' quotient of thousandths is a bit off
    over = (pl.col("ask") > worth * (1 + 1e-12)).fill_null(False)
    return pl.any_horizontal(over, *(flaw for reason, flaw in flaws.items() if reason not in same))


def consolidated(bars: pl.DataFrame) -> pl.DataFrame:
    """BAR_FIELDS with one row per venue -> one row per symbol and `ts_event`.

    High is the highest, low the lowest, volume the sum. A venue's bar does not state when it traded
    first and last, so open and close are those of the venue with the most volume; of equals, of the
    one with the lowest publisher id.
    """
    order = bars.sort(
        "symbol",
        "ts_event",
        pl.col("volume"),
        "publisher_id",
        descending=[False, False, True, False],
    )
    return order.group_by("symbol", "ts_event", maintain_order=True).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").first(),
        pl.col("volume").sum().cast(pl.Int64),
    )


def daily(bars: pl.DataFrame) -> pl.DataFrame:
    """BAR_FIELDS of ohlcv-1d -> symbol, session, open, high, low, close, volume, consolidated.

    The time stamp is UTC midnight of the session's date. In New York that is the evening before, so
    it is never converted.
    """
    whole = consolidated(bars).with_columns(
        session=pl.col("ts_event").dt.date(), symbol=pl.col("symbol").cast(pl.String)
    )
    return whole.select("symbol", "session", "open", "high", "low", "close", "volume").sort(
        "symbol", "session"
    )


def minutes_of(bars: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """BAR_FIELDS of ohlcv-1m -> symbol, session, ts, open, ... of minutes in regular sessions.

    Args:
        bars: stamped with the start of the minute.
        sessions: session, open, close (Datetime ns, UTC), ascending.
    """
    whole = (
        consolidated(bars)
        .sort("ts_event")
        .with_columns(ts=pl.col("ts_event"), symbol=pl.col("symbol").cast(pl.String))
    )
    hours = sessions.select("session", opens="open", closes="close")
    placed = whole.join_asof(hours, left_on="ts_event", right_on="opens", strategy="backward")
    regular = placed.filter(pl.col("ts_event") < pl.col("closes"))
    return regular.select("symbol", "session", "ts", "open", "high", "low", "close", "volume").sort(
        "symbol", "ts"
    )


def regular_bars(minutes: pl.DataFrame) -> pl.DataFrame:
    """session, ts, open, high, low, close, volume of regular minutes -> one bar per session.

    Its close is that of the last minute that begins before the exchange closes. A daily bar of the
    feed ends at UTC midnight and includes trades after hours: a trade at 19:00 must not decide an
    assignment.
    """
    return (
        minutes.sort("ts")
        .group_by("session", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
    )
