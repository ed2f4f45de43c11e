"""What do Databento's rows mean? Quotes that stood, bars of a session, and never a mixture of two.

Frames in, frames out: nothing here reads a file or asks a server.
"""

import datetime as dt

import polars as pl

from wheelvec.model import osi
from wheelvec.model.schemas import TIMESTAMP, quote_flaws

QUOTE_FIELDS = ("symbol", "ts_recv", "bid_px_00", "ask_px_00")
BAR_FIELDS = ("symbol", "ts_event", "publisher_id", "open", "high", "low", "close", "volume")

_MINUTE = dt.timedelta(minutes=1)


def quotes_of(rows: pl.DataFrame, schema: str) -> pl.DataFrame:
    """QUOTE_FIELDS -> symbol, ts, bid, ask, in the order of the records.

    Trades carry the quote that stood, too.

    A row of cbbo-1m bears the end of its interval, 15:46:00 for what stood when 15:45 ended; a
    nanosecond earlier it lies in the minute that it speaks of.
    """
    nanos = pl.col("ts_recv").to_physical() - (1 if schema.startswith("cbbo-") else 0)
    return rows.select("symbol", ts=nanos.cast(TIMESTAMP), bid="bid_px_00", ask="ask_px_00")


def entry_quotes(
    quotes: pl.DataFrame, minute: dt.datetime, look_back: int, underlying_price: float | None = None
) -> pl.DataFrame:
    """Per contract the last quote of the minute, and the last valid one if that is another.

    The rows that decide.

    With a look-back of some minutes, a contract without a row in the minute has the one that stood
    when it began, if it changed within the look-back; `ts` is then the minute's beginning and
    `age_seconds` says how long it had stood.

    Args:
        quotes: symbol, ts, bid, ask, in order of arrival.
        minute: its beginning, UTC.
        look_back: minutes.
        underlying_price: of the minute: no offer of a call lies over it. None where it is not
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
    # in NumPy: Polars divides by a number as it multiplies by its inverse, and a minute becomes
    # 60.00000000000001 seconds
    stood = before.with_columns(age_seconds=pl.Series(nanos.to_numpy() / 1e9), ts=begin)
    found = pl.concat([stood, within]).with_row_index("order")
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
    """What makes a quote no valid one, of the things that differ between two quotes of one contract
    in one minute.
    """
    symbol, spot = pl.col("symbol").cast(pl.String), pl.lit(underlying_price, pl.Float64)
    worth = (
        pl.when(osi.option_type(symbol) == "P")
        .then(osi.strike_milli(symbol) / 1000.0)
        .otherwise(spot)
    )
    flaws = quote_flaws()
    same = ("infinite_price", "no_underlying_price", "after_expiration", "ask_over_worth")
    over = (pl.col("ask") > worth * (1 + 1e-12)).fill_null(
        False
    )  # Polars' thousandths are a bit off
    return pl.any_horizontal(over, *(flaw for reason, flaw in flaws.items() if reason not in same))


def consolidated(bars: pl.DataFrame) -> pl.DataFrame:
    """BAR_FIELDS, one row per venue -> one per symbol and `ts_event`.

    High the highest, low the lowest, volume the sum.

    A venue's bar does not say when it traded first and last, so open and close are those of the
    venue with the most volume, of equals the one with the lowest publisher id.
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

    The stamp is UTC midnight of the session's date. Seen from New York that is the evening before:
    it is never converted.
    """
    whole = consolidated(bars).with_columns(
        session=pl.col("ts_event").dt.date(), symbol=pl.col("symbol").cast(pl.String)
    )
    return whole.select("symbol", "session", "open", "high", "low", "close", "volume").sort(
        "symbol", "session"
    )


def minutes_of(bars: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """BAR_FIELDS of ohlcv-1m -> symbol, session, ts, open, ... of the minutes between each
    session's open and close.

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

    Its close is the last minute's that begins before the exchange closes. A daily bar of the feed
    would end at UTC midnight and hold what traded after hours: an assignment must not be decided by
    a print at 19:00.
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
