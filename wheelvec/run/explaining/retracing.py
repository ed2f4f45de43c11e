"""The legs of one wheel bar by bar, from a result alone: levels, touches and draws of each session.

records, paths, underlying, events -> a slice of one contract -> kernels.trace

Recorded values are taken from the result. Levels, touches, draws and prices of bars, which it
does not keep, are those of the kernels' own functions.
"""

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels.draws import new_drawn, root_hash, wheel_word
from wheelvec.kernels.exits import BAR, Levels
from wheelvec.kernels.parameters import Plan
from wheelvec.kernels.quotes import entry_price
from wheelvec.kernels.slices import CONTRACT, DIVIDEND, EVENT, QUOTE, ROW, Slice, Underlying
from wheelvec.kernels.trace import TRACE, Sale, levels_of, trace_leg
from wheelvec.model import osi
from wheelvec.model.codes import EventKind, ExitReason, name_of
from wheelvec.model.config import Config
from wheelvec.model.errors import InputError, LakeError, cut
from wheelvec.model.grid import Grid
from wheelvec.model.schemas import PATHS
from wheelvec.run.results.result import Result
from wheelvec.stages.arrays import Array, column, days
from wheelvec.stages.book import FAR, stretches_of
from wheelvec.stages.events import CorporateEvent
from wheelvec.stages.happened import corporate_events
from wheelvec.stages.parameters import parameters_of
from wheelvec.tables.sessions import Sessions

PRICES = ("open", "high", "low", "close", "bid", "ask")
REASONS = {int(reason): name_of(reason) for reason in ExitReason}
# A session of a leg, from the one after its sale through its end. Prices are dollars per share as
# sold; the touches of a leg are counted from 0, and `exit` names the test that ended it.
LEG_DAYS: dict[str, pl.DataType] = {
    "session": pl.Date(),
    "underlying_close": pl.Float64(),
    **{name: PATHS[name] for name in (*PRICES, "source")},
    "touch": pl.Int64(),
    "u": pl.Float64(),
    "exit": pl.String(),
    "price": pl.Float64(),
}


class RetracedLeg(NamedTuple):
    """A leg, the quote that it was sold on, and what became of it session by session.

    Attributes:
        record: the leg's row of the result's records.
        quote: bid, ask and underlying_price of the quote; None where the result lacks it.
        price: dollars per share for which it was sold.
        levels: its stop, target and hold.
        days: LEG_DAYS.
        agrees: whether touches and exit are those that the result has recorded.
    """

    record: dict[str, Any]
    quote: dict[str, float] | None
    price: float
    levels: Levels
    days: pl.DataFrame
    agrees: bool


def plan_of(config: Config) -> Plan:
    """The plan of one configuration, as a backtest hands it to the kernels."""
    first = np.zeros(1, np.int64)
    return parameters_of(Grid.read(config, {}), first, first, 1).plan


def records_of(result: Result, wheel_id: str) -> pl.DataFrame:
    """The records of one wheel: its put, its calls in order, and its total.

    Raises:
        InputError: if the result has no such wheel; with some that it has.
        LakeError: if the result was saved by an earlier version, which kept less.
    """
    if dict(result.paths.schema) != PATHS:
        raise LakeError(
            "the result was saved by an earlier version, without the paths that this needs: "
            "run it again"
        )
    if not isinstance(wheel_id, str):
        raise InputError(f"wheel_id = {cut(wheel_id)}: expected a text")
    rows = result.records.filter(pl.col("wheel_id") == wheel_id)
    if rows.is_empty():
        raise InputError(_no_such_wheel(result, wheel_id))
    return rows


def _no_such_wheel(result: Result, wheel_id: str) -> str:
    known = result.wheels["wheel_id"]
    if known.is_empty():
        return f"wheel_id = {wheel_id!r}: the result has no wheels"
    stem = str(wheel_id).rpartition("_")[0]
    near = known.filter(known.str.starts_with(f"{stem}_")) if stem else known[:0]
    shown = [repr(name) for name in (near if near.len() else known)[:5]]
    rest = "" if near.len() else f", and so on: {known.len():,} in all"
    return f"wheel_id = {wheel_id!r}: the result has no such wheel; it has {', '.join(shown)}{rest}"


def retraced(result: Result, records: pl.DataFrame) -> list[RetracedLeg]:
    """The legs of a wheel, bar by bar.

    Args:
        result: of the wheel.
        records: `records_of` the wheel.
    """
    plan = plan_of(result.config)
    legs = records.filter(pl.col("phase") != "total").to_dicts()
    word = _word(legs[0]["put_symbol"], legs[0]["entry_date"])
    return [_retraced(result, plan, record, word) for record in legs]


def _retraced(result: Result, plan: Plan, record: dict[str, Any], word: np.uint64) -> RetracedLeg:
    sessions = _sessions(result.config, record)
    day = days(sessions, "session")
    events = corporate_events(_events(result, record), day)
    last = _last_session(record, day, events)
    rows = _rows(result.paths, record, sessions, events, last)
    quote = _quote_sold(rows)
    price = _price(record, quote, plan)
    sale = Sale(0, record["cycle"], word, price, *_odds(record))
    bars = rows.filter(pl.col("number") > 0, pl.col("source").is_not_null())
    found = _traced(record, plan, sale, bars, day)
    tested = _days(rows, found, _closes(result, record, sessions), last)
    return RetracedLeg(record, quote, price, levels_of(plan, sale), tested, _agrees(record, found))


def _odds(record: dict[str, Any]) -> tuple[float, float]:
    return record["liquidity_penalty"], record["p_fill_profit_target"]


def _sessions(config: Config, record: dict[str, Any]) -> pl.DataFrame:
    """Session and number, from the session of a leg's sale on."""
    last = max(record["expiration"], record["exit_date"] or record["expiration"])
    calendar = config.schedule.trading_calendar
    # v5 sells a call on a calendar day only if that is a session
    loaded = Sessions.known(calendar, record["entry_date"], last).frame
    return loaded.select("session", pl.col("number").cast(pl.Int64))


def _events(result: Result, record: dict[str, Any]) -> pl.DataFrame:
    """The corporate events of the underlying after a leg's sale."""
    after = pl.col("session") > record["entry_date"]
    return result.events.filter(
        pl.col("underlying") == record["underlying"],
        after,
        pl.col("session") <= record["expiration"],
    )


def _last_session(record: dict[str, Any], day: Array, events: tuple[CorporateEvent, ...]) -> int:
    """The session through which a leg is walked: of its exit, else of its settlement or an eve."""
    if record["exit_date"] is not None:
        at = np.datetime64(record["exit_date"], "D").astype(np.int64)
    else:
        at = np.datetime64(record["expiration"], "D").astype(np.int64)
    settled = int(np.searchsorted(day, at, side="right")) - 1
    eves = [event.number - 1 for event in events if event.kind is not EventKind.CARRIED]
    return settled if record["exit_date"] is not None else min([settled, *eves])


def _rows(
    paths: pl.DataFrame,
    record: dict[str, Any],
    sessions: pl.DataFrame,
    events: tuple[CorporateEvent, ...],
    last: int,
) -> pl.DataFrame:
    """The rows of a leg's path by session: prices as sold, and the number of each session."""
    carried = [e for e in events if e.kind is EventKind.CARRIED and e.number <= last]
    of_name = paths.filter(pl.col("underlying") == record["underlying"])
    found = []
    for part in stretches_of(record["symbol"], 0, carried):
        rows = of_name.filter(pl.col("symbol") == part.symbol).join(sessions, on="session")
        end = last if part.last == FAR else min(part.last, last)
        inside = rows.filter(pl.col("number").is_between(part.first, end))
        found.append(inside.with_columns(pl.col(PRICES) * part.factor))
    return pl.concat(found).sort("number")


def _quote_sold(rows: pl.DataFrame) -> dict[str, float] | None:
    sold = rows.filter(pl.col("number") == 0, pl.col("bid").is_not_null())
    return sold.select("bid", "ask", "underlying_price").row(0, named=True) if sold.height else None


def _price(record: dict[str, Any], quote: dict[str, float] | None, plan: Plan) -> float:
    """Dollars per share for which a leg was sold: by its quote, to the last bit."""
    common, premium = plan.common[0], record["premium"]
    recorded = float(premium / (100.0 * record["contracts"]))
    if quote is None:
        return recorded
    bid, ask = quote["bid"], quote["ask"]
    penalty = record["liquidity_penalty"]
    sold = entry_price(
        bid, ask, (bid + ask) / 2, penalty, int(common["mode"]), float(common["ticks"])
    )
    return float(sold) if sold * 100.0 * record["contracts"] == premium else recorded


def _word(put_symbol: str, entry_date: dt.date) -> np.uint64:
    """The word of a wheel's draws."""
    parts, epoch = osi.parse(put_symbol), dt.date(1970, 1, 1)
    return np.uint64(
        wheel_word(
            (parts.expiration - epoch).days,
            parts.strike_milli,
            0,
            (entry_date - epoch).days,
            np.uint64(root_hash(parts.root)),
        )
    )


def _traced(
    record: dict[str, Any], plan: Plan, sale: Sale, bars: pl.DataFrame, day: Array
) -> Array:
    """(n,) of TRACE, a row a bar up to the one that ends the leg."""
    count = bars.height
    out = np.zeros(count, TRACE)
    laid, cached = np.zeros(count + 1, BAR), new_drawn(1, count + 1)
    known = trace_leg(_slice(record, bars, day), plan, sale, laid, cached, out)
    return out[:known]


def _slice(record: dict[str, Any], bars: pl.DataFrame, day: Array) -> Slice:
    """The slice of one contract: the quote at which it was sold, and its bars after that."""
    path = np.zeros(bars.height, ROW)
    for name in PRICES:
        path[name] = column(bars, name, np.float64)
    path["number"] = bars["number"].to_numpy()
    path["is_quote"] = (bars["source"] == "quote").to_numpy()
    quote, contract = np.zeros(1, QUOTE), np.zeros(1, CONTRACT)
    quote["last"], quote["spread_pct"] = bars.height, record["spread_pct_entry"]
    contract["last_row"] = bars.height
    contract["expiration_day"] = np.datetime64(record["expiration"], "D").astype(np.int64)
    none, whole, real = np.zeros(0, QUOTE), np.zeros(1, np.int64), np.zeros(1)
    close = np.full(day.size, np.nan)
    return Slice(
        quote, np.array([0, 1]), whole, real,
        none, np.zeros(2, np.int64), whole, real,
        whole, contract, path,
        Underlying(close, day, np.zeros(day.size, np.int64)),
        np.zeros(0, DIVIDEND), np.zeros(0, EVENT),
    )  # fmt: skip


def _closes(result: Result, record: dict[str, Any], sessions: pl.DataFrame) -> pl.DataFrame:
    """session, number and the underlying's close of each session of a leg."""
    closes = result.underlying.filter(pl.col("underlying") == record["underlying"])
    renamed = closes.select("session", underlying_close="close")
    return sessions.join(renamed, on="session", how="left", maintain_order="left")


def _days(rows: pl.DataFrame, found: Array, closes: pl.DataFrame, last: int) -> pl.DataFrame:
    """LEG_DAYS of a leg."""
    touched = np.diff(found["touches"], prepend=0) > 0
    exits = [REASONS.get(code) for code in found["reason"].tolist()]
    walked = pl.DataFrame(
        {
            "number": found["number"],
            "touch": _where(touched, found["touches"] - 1.0),
            "u": _where(touched, found["u"]),
            "exit": pl.Series(exits, dtype=pl.String),
            "price": _where(found["reason"] >= 0, found["price"]),
        }
    )
    inside = closes.filter(pl.col("number").is_between(1, last))
    whole = inside.join(rows.drop("session", "underlying"), on="number", how="left")
    return (
        whole.join(walked, on="number", how="left")
        .sort("number")
        .select(pl.col(name).cast(kind) for name, kind in LEG_DAYS.items())
    )


def _where(some: Array, values: Array) -> pl.Series:
    return pl.Series(np.where(some, values, np.nan), nan_to_null=True)


def _agrees(record: dict[str, Any], found: Array) -> bool:
    """Whether the walk ends the leg as its record does."""
    last = found[-1] if found.size else None
    touches = 0 if last is None else int(last["touches"])
    by_rule = None if last is None else REASONS.get(int(last["reason"]))
    rules = {name_of(reason) for reason in (ExitReason.STOP_LOSS, ExitReason.PROFIT_TARGET)}
    rules.add(name_of(ExitReason.MAX_HOLD_DTE))
    recorded = record["exit_reason"] if record["exit_reason"] in rules else None
    return touches == record["touch_count"] and by_rule == recorded
