"""Chains rewritten in the columns of each vendor, header rows as published."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

SIDE = ("bid", "ask")
GREEKS = ("delta", "gamma", "vega", "theta", "rho")


def _text(day: str, form: str) -> pl.Expr:
    """A date as text; %-m and %-d are months and days without a leading zero."""
    return pl.col(day).dt.strftime(form)


def _compact() -> pl.Expr:
    """ACME240216C00150000: the symbol without its padding."""
    return pl.col("symbol").str.replace_all(" ", "")


def _wide(chain: pl.DataFrame) -> pl.DataFrame:
    """Call and put side by side: bid_C, ask_C, bid_P, ask_P."""
    keys = ["underlying", "session", "expiration", "strike", "underlying_price"]
    calls, puts = (
        chain.filter(pl.col("option_type") == kind).select(*keys, *SIDE) for kind in "CP"
    )
    return (
        calls.rename({s: f"{s}_C" for s in SIDE})
        .join(
            puts.rename({s: f"{s}_P" for s in SIDE}),
            on=keys,
            how="full",
            coalesce=True,
            nulls_equal=True,
        )
        .sort("session", "expiration", "strike")
    )


def optionsdx(chain: pl.DataFrame) -> pl.DataFrame:
    wide = _wide(chain)
    day = _text("session", "%Y-%m-%d")
    none = pl.lit("")
    return wide.select(
        pl.lit(1577998800).alias("[QUOTE_UNIXTIME]"),
        (day + " 16:00").alias(" [QUOTE_READTIME]"),
        day.alias(" [QUOTE_DATE]"),
        pl.lit(16.0).alias(" [QUOTE_TIME_HOURS]"),
        pl.col("underlying_price").alias(" [UNDERLYING_LAST]"),
        _text("expiration", "%Y-%m-%d").alias(" [EXPIRE_DATE]"),
        pl.lit(1578085200).alias(" [EXPIRE_UNIX]"),
        pl.lit(1.0).alias(" [DTE]"),
        *(none.alias(f" [C_{name.upper()}]") for name in GREEKS),
        none.alias(" [C_IV]"),
        none.alias(" [C_VOLUME]"),
        none.alias(" [C_LAST]"),
        pl.lit("1 x 1").alias(" [C_SIZE]"),
        pl.col("bid_C").alias(" [C_BID]"),
        pl.col("ask_C").alias(" [C_ASK]"),
        pl.col("strike").alias(" [STRIKE]"),
        pl.col("bid_P").alias(" [P_BID]"),
        pl.col("ask_P").alias(" [P_ASK]"),
        pl.lit("1 x 1").alias(" [P_SIZE]"),
        none.alias(" [P_LAST]"),
        *(none.alias(f" [P_{name.upper()}]") for name in GREEKS),
        pl.lit(0.5).alias(" [STRIKE_DISTANCE]"),
        pl.lit(0.01).alias(" [STRIKE_DISTANCE_PCT]"),
    )


def orats(chain: pl.DataFrame) -> pl.DataFrame:
    return _wide(chain).select(
        ticker=pl.col("underlying").str.replace(".", "_", literal=True),
        cOpra=pl.lit("c"),
        pOpra=pl.lit("p"),
        stkPx="underlying_price",
        expirDate=_text("expiration", "%-m/%-d/%Y"),
        yte=pl.lit(0.1),
        strike="strike",
        cVolu=pl.lit(1),
        cOi=pl.lit(1),
        pVolu=pl.lit(1),
        pOi=pl.lit(1),
        cBidPx="bid_C",
        cValue=pl.lit(1.0),
        cAskPx="ask_C",
        pBidPx="bid_P",
        pValue=pl.lit(1.0),
        pAskPx="ask_P",
        cBidIv=pl.lit(0.3),
        delta=pl.lit(0.5),
        spot_px="underlying_price",
        trade_date=_text("session", "%-m/%-d/%Y"),
    )


def orats_api(chain: pl.DataFrame) -> pl.DataFrame:
    return _wide(chain).select(
        ticker="underlying",
        tradeDate=_text("session", "%Y-%m-%d"),
        expirDate=_text("expiration", "%Y-%m-%d"),
        dte=pl.lit(30),
        strike="strike",
        stockPrice="underlying_price",
        callVolume=pl.lit(1),
        callBidPrice="bid_C",
        callValue=pl.lit(1.0),
        callAskPrice="ask_C",
        putBidPrice="bid_P",
        putValue=pl.lit(1.0),
        putAskPrice="ask_P",
    )


def cboe(chain: pl.DataFrame) -> pl.DataFrame:
    traded = {
        name: pl.col(f"bar_{name}") if f"bar_{name}" in chain.columns else pl.lit(0.0)
        for name in ("open", "high", "low", "close", "volume")
    }
    price = pl.col("underlying_price")
    return chain.select(
        underlying_symbol="underlying",
        quote_date=_text("session", "%Y-%m-%d"),
        root=pl.col("symbol").str.slice(0, 6).str.strip_chars(),
        expiration=_text("expiration", "%Y-%m-%d"),
        strike="strike",
        option_type="option_type",
        open=traded["open"],
        high=traded["high"],
        low=traded["low"],
        close=traded["close"],
        trade_volume=traded["volume"].cast(pl.Int64),
        bid_size_1545=pl.lit(1),
        bid_1545="bid",
        ask_size_1545=pl.lit(1),
        ask_1545="ask",
        underlying_bid_1545=price - 0.01,
        underlying_ask_1545=price + 0.01,
        implied_underlying_price_1545=price,
        active_underlying_price_1545=price,
        implied_volatility_1545=pl.lit(0.3),
        bid_size_eod=pl.lit(1),
        bid_eod="bid",
        ask_size_eod=pl.lit(1),
        ask_eod="ask",
        underlying_bid_eod=price - 0.01,
        underlying_ask_eod=price + 0.01,
        vwap=pl.lit(0.0),
        open_interest=pl.lit(1),
        delivery_code=pl.lit(""),
    )


def ivolatility(chain: pl.DataFrame) -> pl.DataFrame:
    return chain.select(
        pl.col("underlying").alias("symbol"),
        pl.lit("NASDAQ").alias("exchange"),
        pl.lit('Acme "and" Sons, Inc.').alias("company_name"),
        _text("session", "%-m/%-d/%y").alias("date"),
        pl.col("underlying_price").alias("stock_price_close"),
        pl.col("symbol").alias("option_symbol"),
        _text("expiration", "%-m/%-d/%y").alias("option_expiration"),
        pl.col("strike"),
        pl.col("option_type").alias("call/put"),
        pl.lit("A").alias("style"),
        pl.col("ask"),
        pl.col("bid"),
        pl.lit(0.0).alias("mean_price"),
        pl.lit(0.0).alias("settlement"),
        pl.lit(0.3).alias("iv"),
        pl.lit(1).alias("volume"),
        pl.lit(1).alias("open_interest"),
        pl.col("underlying_price").alias("stock_price_for_iv"),
        pl.lit(0.0).alias("forward_price"),
        pl.lit(0).alias("isinterpolated"),
        *(pl.lit(0.0).alias(name) for name in GREEKS),
    )


def historicaloptiondata(chain: pl.DataFrame, symbol: str = "OptionSymbol") -> pl.DataFrame:
    return chain.select(
        pl.col("underlying").alias("UnderlyingSymbol"),
        pl.col("underlying_price").alias("UnderlyingPrice"),
        pl.lit("*").alias("Exchange"),
        _compact().alias(symbol),
        pl.lit("").alias("OptionExt"),
        pl.col("option_type").replace({"C": "call", "P": "put"}).alias("Type"),
        _text("expiration", "%m/%d/%Y").alias("Expiration"),
        _text("session", "%m/%d/%Y").alias("DataDate"),
        pl.col("strike").alias("Strike"),
        pl.lit(0.0).alias("Last"),
        pl.col("bid").alias("Bid"),
        pl.col("ask").alias("Ask"),
        pl.lit(1).alias("Volume"),
        pl.lit(1).alias("OpenInterest"),
        pl.lit(0.3).alias("IV"),
    )


def alphavantage(chain: pl.DataFrame) -> pl.DataFrame:
    return chain.select(
        contractID=_compact(),
        symbol="underlying",
        expiration=_text("expiration", "%Y-%m-%d"),
        strike="strike",
        type=pl.col("option_type").replace({"C": "call", "P": "put"}),
        last=pl.lit(0.0),
        mark=pl.lit(0.0),
        bid="bid",
        bid_size=pl.lit(1),
        ask="ask",
        ask_size=pl.lit(1),
        volume=pl.lit(1),
        open_interest=pl.lit(1),
        date=_text("session", "%Y-%m-%d"),
        implied_volatility=pl.lit(0.3),
        **{name: pl.lit(0.0) for name in GREEKS},
    )


def thetadata(chain: pl.DataFrame) -> pl.DataFrame:
    made = cboe(chain)
    return chain.select(
        symbol="underlying",
        expiration=_text("expiration", "%Y-%m-%d"),
        strike="strike",
        right=pl.col("option_type").replace({"C": "CALL", "P": "PUT"}),
        created=_text("session", "%Y-%m-%d") + "T17:15:32.413",
        last_trade=_text("session", "%Y-%m-%d") + "T15:59:11.002",
        open=made["open"],
        high=made["high"],
        low=made["low"],
        close=made["close"],
        volume=made["trade_volume"],
        count=pl.lit(1),
        bid_size=pl.lit(1),
        bid_exchange=pl.lit(1),
        bid=pl.col("bid").fill_null(0.0),
        bid_condition=pl.lit(50),
        ask_size=pl.lit(1),
        ask_exchange=pl.lit(1),
        ask=pl.col("ask").fill_null(0.0),
        ask_condition=pl.lit(50),
    )


def dolt(chain: pl.DataFrame) -> pl.DataFrame:
    return chain.select(
        date=_text("session", "%Y-%m-%d"),
        act_symbol="underlying",
        expiration=_text("expiration", "%Y-%m-%d"),
        strike="strike",
        call_put=pl.col("option_type").replace({"C": "Call", "P": "Put"}),
        bid="bid",
        ask="ask",
        vol=pl.lit(0.3),
        **{name: pl.lit(0.0) for name in GREEKS},
    )


def yahoo(chain: pl.DataFrame) -> pl.DataFrame:
    return chain.select(
        contractSymbol=_compact(),
        lastTradeDate=_text("session", "%Y-%m-%d") + " 15:59:59+00:00",
        strike="strike",
        lastPrice=pl.lit(0.0),
        bid="bid",
        ask="ask",
        change=pl.lit(0.0),
        percentChange=pl.lit(0.0),
        volume=pl.lit(1),
        openInterest=pl.lit(1),
        impliedVolatility=pl.lit(0.3),
        inTheMoney=pl.lit(True),
        contractSize=pl.lit("REGULAR"),
        currency=pl.lit("USD"),
    )


WRITERS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "alphavantage": alphavantage,
    "cboe": cboe,
    "dolt": dolt,
    "historicaloptiondata": historicaloptiondata,
    "ivolatility": ivolatility,
    "optionsdx": optionsdx,
    "orats": orats,
    "thetadata": thetadata,
    "yahoo": yahoo,
}
FORMATS = {
    "optionsdx": {"separator": ",", "line_terminator": "\r\n"},
    "alphavantage": {"line_terminator": "\r\n"},
}


def write(chain: pl.DataFrame, layout: str, path: Path) -> Path:
    """Write a chain as a vendor's CSV."""
    frame = WRITERS[layout](chain)
    if layout == "optionsdx":  # ", " between the columns
        lines = frame.write_csv(include_header=False).replace(",", ", ")
        text = ",".join(frame.columns) + "\n" + lines
    else:
        text = frame.write_csv()
    if layout in FORMATS:
        text = text.replace("\n", "\r\n")
    path.write_bytes(text.encode())
    return path
