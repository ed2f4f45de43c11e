"""Results of a few wheels written down by hand, for the tests of accounts."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

import wheelvec as wv
from wheelvec.model.schemas import RESULT_TABLES

# Sessions of New York: two weeks without a holiday, from a Tuesday on.
D = [dt.date(2024, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12, 16)]
EXPIRATION = dt.date(2024, 1, 12)
FREE = wv.Costs(commission_per_contract=0.0, sec_fee_per_contract=0.0)


def put(strike: float, root: str = "A") -> str:
    return f"{root:<6}{EXPIRATION:%y%m%d}P{round(strike * 1000):08d}"


def call(strike: float, root: str = "A") -> str:
    return f"{root:<6}{EXPIRATION:%y%m%d}C{round(strike * 1000):08d}"


def leg(
    symbol: str,
    sold: int,
    premium: float,
    end: tuple[int, str, float] | None,
    *,
    factor: int = 1,
    contracts: int = 1,
    reason: str = "open",
) -> dict[str, Any]:
    """A leg: dollars per share as sold; `end` is session, reason and price, None: unresolved."""
    return {
        "phase": "cc" if symbol[12] == "C" else "csp",
        "symbol": symbol,
        "strike": int(symbol[13:]) / 1000.0,
        "expiration": EXPIRATION,
        "entry_date": D[sold],
        "premium": 100.0 * premium * contracts,
        "contracts": contracts,
        "factor": factor,
        "iv_entry": 0.3,
        "exit_date": None if end is None else D[end[0]],
        "exit_reason": reason if end is None else end[1],
        "exit_price": None if end is None else 100.0 * end[2] * contracts,
    }


def result_of(
    wheels: Sequence[tuple[list[dict[str, Any]], tuple[int, float] | None]],
    closes: Mapping[str, Sequence[float | None]],
    mids: Mapping[str, Mapping[int, float]],
    *,
    costs: wv.Costs = FREE,
    events: Sequence[Mapping[str, Any]] = (),
    bars: Mapping[str, Mapping[int, float]] | None = None,
    last_entry: int = 0,
) -> wv.Result:
    """A result.

    Args:
        wheels: the legs of each, and the session of its end with the dollars per share at which its
            shares were sold (0: none); None: unresolved.
        closes: by underlying and session.
        mids: by contract and session.
        costs: of the configuration.
        events: rows of the events, but for what is null.
        bars: closes of bars by contract and session.
        last_entry: the last entry session.
    """
    records: list[dict[str, Any]] = []
    ledger: list[tuple[str, dt.date, str, float]] = []
    for number, (legs, end) in enumerate(wheels):
        records += _records(number, legs, end, ledger)
    days = pl.DataFrame({"session": D[: last_entry + 1], "underlying": "A"})
    frames = {
        "records": pl.DataFrame(records, schema=RESULT_TABLES["records"]),
        "ledger": pl.DataFrame(ledger, schema=RESULT_TABLES["ledger"], orient="row"),
        "diagnostics": _filled(days.to_dicts(), "diagnostics"),
        "underlying": pl.DataFrame(
            [(n, D[i], c) for n, row in closes.items() for i, c in enumerate(row) if c is not None],
            schema=RESULT_TABLES["underlying"],
            orient="row",
        ),
        "paths": _paths(mids, bars or {}),
        "events": _filled(events, "events"),
        "warnings": pl.DataFrame(schema=RESULT_TABLES["warnings"]),
    }
    config = wv.Config(costs=costs, schedule=wv.Schedule(start_date=D[0]))
    return wv.Result(config, "f", {}, frames, None, D[0])


def _filled(rows: Sequence[Mapping[str, Any]], table: str) -> pl.DataFrame:
    schema = RESULT_TABLES[table]
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _records(
    number: int,
    legs: list[dict[str, Any]],
    end: tuple[int, float] | None,
    ledger: list[tuple[str, dt.date, str, float]],
) -> list[dict[str, Any]]:
    first = legs[0]
    name = first["symbol"][:6].strip()
    wheel = {
        "wheel_id": f"{name}_{first['entry_date']}_{number}",
        "underlying": name,
        "put_symbol": first["symbol"],
        "initial_capital": 100.0 * first["strike"],
    }
    mine: list[tuple[dt.date, str, float]] = []
    for one in legs:
        mine.append((one["entry_date"], "premium", one["premium"]))
        if one["exit_reason"] in ("stop_loss", "profit_target") and one["exit_date"]:
            mine.append((one["exit_date"], "buy_back", -one["exit_price"]))
    lots = 100.0 * first["factor"]
    if first["exit_reason"] == "assigned":
        mine.append((first["exit_date"], "share_purchase", -100.0 * first["strike"]))
        if end is not None:
            mine.append((D[end[0]], "share_sale", lots * end[1]))
    ledger += [(wheel["wheel_id"], *row) for row in mine]
    total = wheel | {
        "phase": "total",
        "entry_date": first["entry_date"],
        "exit_date": None if end is None else D[end[0]],
        "pnl": None if end is None else sum(amount for _, _, amount in mine),
        "total_days": 10,
    }
    rows = [wheel | one for one in legs] + [total]
    schema = RESULT_TABLES["records"]
    return [{column: row.get(column) for column in schema} for row in rows]


def _paths(
    mids: Mapping[str, Mapping[int, float]], bars: Mapping[str, Mapping[int, float]]
) -> pl.DataFrame:
    rows = []
    for symbol in sorted({*mids, *bars}):
        for i in sorted({*mids.get(symbol, {}), *bars.get(symbol, {})}):
            mid, close = mids.get(symbol, {}).get(i), bars.get(symbol, {}).get(i)
            row = {"underlying": symbol[:6].strip(), "symbol": symbol, "session": D[i]}
            if mid is not None:
                row |= {"bid": mid - 0.05, "ask": mid + 0.05, "underlying_price": 100.0}
            rows.append(row | ({} if close is None else {"close": close, "source": "bar"}))
    return _filled(rows, "paths")
