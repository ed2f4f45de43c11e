"""The wheels of results as arrays that an account takes from: cash, legs, shares, marks by session.

records, ledger, paths, underlying, events -> Book (kernels.account), for one contract a wheel
"""

import datetime as dt
from typing import NamedTuple

import numpy as np
import polars as pl

from wheelvec.kernels import account as kernel
from wheelvec.kernels.account import FLOW, LEG, MARK, ORDER, SHARES, STEP, STRETCH, WHEEL, Book
from wheelvec.model import osi
from wheelvec.model.codes import BOUGHT_BACK, EventKind, ExitReason, name_of
from wheelvec.model.config import Config
from wheelvec.stages.arrays import Array, column, days
from wheelvec.stages.events import CorporateEvent, successor_milli
from wheelvec.stages.happened import DIVIDEND, corporate_events

DELIVERED = [name_of(ExitReason.ASSIGNED), name_of(ExitReason.CALLED_AWAY)]
BOUGHT = [name_of(reason) for reason in BOUGHT_BACK]
OF_STOCK = ("share_purchase", "share_sale", "notebook_adjustment")
COSTS = (
    *("commission_base", "commission_minimum"),
    *("commission_per_contract", "sec_fee_per_contract"),
)
PREMIUM, BUY_BACK = kernel.ENTRIES.index("premium"), kernel.ENTRIES.index("buy_back")


class Offered(NamedTuple):
    """The frames of a result that an account uses.

    Attributes:
        config: the rules that it ran under.
        records: of the result, as all frames.
        ledger: dated cash.
        paths: of the contracts.
        closes: of the underlyings.
        events: of the underlyings.
    """

    config: Config
    records: pl.DataFrame
    ledger: pl.DataFrame
    paths: pl.DataFrame
    closes: pl.DataFrame
    events: pl.DataFrame


class Instruments(NamedTuple):
    """The underlyings of all results, one row for each result and name.

    Attributes:
        names: (instruments,) when their puts are sold.
        close: (instruments, sessions) dollars per share; NaN: none.
        grown: (instruments, sessions) shares that one of the first session has become.
        worth: (instruments, sessions) of these at the last close, dollars; 0 before the first.
        events: of each.
    """

    names: list[str]
    close: Array
    grown: Array
    worth: Array
    events: list[tuple[CorporateEvent, ...]]

    def barrier(self, instrument: Array, after: Array) -> Array:
        """(n,) the first session after another one from which nothing is carried on; else FAR."""
        out = np.full(instrument.size, FAR)
        for i, events in enumerate(self.events):
            stops = np.array([e.number for e in events if e.kind is not EventKind.CARRIED] + [FAR])
            mine = np.flatnonzero(instrument == i)
            at = np.searchsorted(stops, after[mine], side="right")
            out[mine] = stops[np.minimum(at, stops.size - 1)]
        return out


FAR = np.iinfo(np.int64).max // 2  # no session


def instruments(offered: list[Offered], day: Array) -> Instruments:
    """The underlyings of all results.

    Args:
        offered: by the results.
        day: (sessions,) days since 1970-01-01.
    """
    parts = [instruments_of(names_of(each), each.closes, each.events, day) for each in offered]
    close, grown, worth = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("close", "grown", "worth")
    )
    names = [name for part in parts for name in part.names]
    return Instruments(names, close, grown, worth, [each for part in parts for each in part.events])


def instruments_of(
    names: list[str], closes: pl.DataFrame, events: pl.DataFrame, day: Array
) -> Instruments:
    """Some underlyings of one result.

    Args:
        names: when their puts are sold.
        closes: as `Offered.closes`.
        events: as `Offered.events`.
        day: (sessions,) days since 1970-01-01.
    """
    events_of = [
        corporate_events(events.filter(pl.col("underlying") == name), day) for name in names
    ]
    close = [_on_sessions(closes.filter(pl.col("underlying") == name), day) for name in names]
    shape = len(names), day.size
    close_, grown = (
        np.reshape(values, shape)
        for values in (close, [_grown(one, day.size) for one in events_of])
    )
    return Instruments(names, close_, grown, _last_known(close_ * grown), events_of)


def names_of(each: Offered) -> list[str]:
    """The underlyings of a result: those with closes, and those with wheels."""
    found = [each.closes["underlying"].unique(maintain_order=True), each.records["underlying"]]
    return [str(name) for name in pl.concat(found).unique(maintain_order=True)]


def _on_sessions(rows: pl.DataFrame, day: Array) -> Array:
    out = np.full(day.size, np.nan)
    at = np.searchsorted(day, days(rows, "session"))
    inside = at < day.size
    out[at[inside]] = column(rows, "close", np.float64)[inside]
    return out


def _grown(events: tuple[CorporateEvent, ...], sessions: int) -> Array:
    out = np.ones(sessions)
    for event in events:
        out[event.number :] *= event.shares
    return out


def _last_known(values: Array) -> Array:
    """(n, sessions) the last number so far on each session; 0 before the first."""
    known = np.where(np.isnan(values), -1, np.arange(values.shape[1]))
    at = np.maximum.accumulate(known, axis=1)
    return np.where(at >= 0, np.take_along_axis(values, np.maximum(at, 0), axis=1), 0.0)


def last_closes(of: Instruments) -> Array:
    """(instruments, sessions) the last close so far, in shares as of it; 0 before the first."""
    return _last_known(of.close)


# ---- the tables of one result


class _Tables(NamedTuple):
    wheels: Array  # of WHEEL
    legs: Array  # of LEG
    stretches: Array  # of STRETCH
    path: Array  # of STEP
    flows: Array  # of FLOW
    orders: Array  # of ORDER
    shares: Array  # of SHARES


def _tables(of: Offered, day: Array, known: Instruments, first: int) -> _Tables:
    """The tables of one result, whose underlyings are the instruments from `first` on."""
    names = names_of(of)
    place = pl.DataFrame(
        {"underlying": names, "instrument": np.arange(first, first + len(names))},
        schema={"underlying": pl.String, "instrument": pl.Int64},
    )
    rows = of.records.with_columns(
        wheel=(pl.col("phase") == "csp").cum_sum().cast(pl.Int64) - 1
    ).join(place, on="underlying", how="left", maintain_order="left")
    legs, totals = rows.filter(pl.col("phase") != "total"), rows.filter(pl.col("phase") == "total")
    table = _legs(legs, day, known)
    stretches, path = _stretches(table, legs, of.paths, day, known)
    wheels = _wheels(totals, legs, table, of.config, day, known)
    shares = _shares(legs, table, wheels, day, known)
    flows = np.concatenate(
        [
            _of_legs(legs, table, day),
            _of_ledger(of.ledger, totals, day),
            *(
                []
                if of.config.rules == "v5"
                else [_unresolved(of.events, shares, wheels, known, day)]
            ),
        ]
    )
    orders = _orders(legs, table, of.config.costs.assignment_fee, day)
    return _Tables(wheels, table, stretches, path, flows, orders, shares)


def _exits(rows: pl.DataFrame, day: Array) -> Array:
    """(n,) the session of each exit; FAR: none."""
    unknown = rows["exit_date"].is_null().to_numpy()
    exits = days(rows.with_columns(pl.col("exit_date").fill_null(dt.date.max)), "exit_date")
    return np.where(unknown, FAR, np.searchsorted(day, exits))


def _legs(legs: pl.DataFrame, day: Array, known: Instruments) -> Array:
    out = np.zeros(legs.height, LEG)
    out["wheel"], out["instrument"] = legs["wheel"].to_numpy(), legs["instrument"].to_numpy()
    out["is_call"] = (legs["phase"] == "cc").to_numpy()
    out["contracts"] = legs["contracts"].to_numpy()
    out["expiration_day"] = days(legs, "expiration")
    out["iv"] = column(legs, "iv_entry", np.float64)
    out["sold"] = np.searchsorted(day, days(legs, "entry_date"))
    left = _exits(legs, day)
    out["last"] = np.minimum(left, day.size) - 1
    settled = np.searchsorted(day, out["expiration_day"], side="right") - 1
    barrier = known.barrier(out["instrument"], out["sold"])
    out["frozen"] = np.where(left == FAR, np.minimum(settled, barrier - 1), FAR)
    return out


def _stretches(
    table: Array, legs: pl.DataFrame, paths: pl.DataFrame, day: Array, known: Instruments
) -> tuple[Array, Array]:
    """The stretches of each leg, and the paths of all contracts; `table` is completed."""
    path, runs = _paths(paths, day)
    symbols, events = legs["symbol"].to_list(), _passed(table, known)
    strike = column(legs, "strike", np.float64)
    rows: list[tuple[int, int, int, float, float, str]] = []
    whole = np.array([not passed for passed in events], np.bool_)
    for i in np.flatnonzero(~whole).tolist():
        rows += [(i, *part) for part in stretches_of(symbols[i], int(table["sold"][i]), events[i])]
    plain = np.flatnonzero(whole)
    out = np.zeros(plain.size + len(rows), STRETCH)
    leg = np.concatenate([plain, np.array([row[0] for row in rows], np.int64)])
    out["first"][: plain.size], out["last"][: plain.size] = table["sold"][plain], FAR
    out["factor"][: plain.size], out["strike"][: plain.size] = 1.0, strike[plain]
    for name, k in (("first", 1), ("last", 2), ("factor", 3), ("strike", 4)):
        out[name][plain.size :] = [row[k] for row in rows]
    wanted = pl.DataFrame(
        {
            "underlying": legs["underlying"].gather(pl.Series(leg)),
            "symbol": pl.concat(
                [
                    legs["symbol"].gather(pl.Series(plain)),
                    pl.Series([row[5] for row in rows], dtype=pl.String),
                ]
            ),
        }
    )
    found = wanted.join(runs, on=["underlying", "symbol"], how="left", maintain_order="left")
    out["row"], out["rows"] = (found[name].fill_null(0).to_numpy() for name in ("row", "rows"))
    order = np.argsort(leg, kind="stable")
    count = np.bincount(leg, minlength=table.size)
    table["stretches"], table["stretch"] = count, np.cumsum(count) - count
    return out[order], path


def _passed(table: Array, known: Instruments) -> list[list[CorporateEvent]]:
    """The events that each leg is carried through while it is open."""
    out: list[list[CorporateEvent]] = [[] for _ in range(table.size)]
    until = np.minimum(table["last"], table["frozen"])
    for instrument, events in enumerate(known.events):
        for event in events:
            if event.kind is EventKind.CARRIED:
                open_ = (table["sold"] < event.number) & (event.number <= until)
                for i in np.flatnonzero(open_ & (table["instrument"] == instrument)):
                    out[i].append(event)
    return out


class Stretch(NamedTuple):
    """The sessions on which one contract stands for a leg.

    Attributes:
        first: session.
        last: session, included; FAR: to the leg's end.
        factor: shares that one of the leg's sale has become.
        strike: of the contract, dollars.
        symbol: of the contract.
    """

    first: int
    last: int
    factor: float
    strike: float
    symbol: str


def stretches_of(symbol: str, sold: int, events: list[CorporateEvent]) -> list[Stretch]:
    """The contracts that stand for a leg, in the order of their sessions.

    Args:
        symbol: of the contract that was sold.
        sold: session of the sale.
        events: that the leg is carried through, by session.
    """
    parts = osi.parse(symbol)
    root, milli, factor, first = parts.root, parts.strike_milli, 1, sold
    out = []
    for event in events:
        out.append(Stretch(first, event.number - 1, float(factor), milli / 1000.0, symbol))
        milli = int(successor_milli(np.array([milli]), event)[0])
        root, factor, first = event.root or root, factor * event.shares, event.number
        symbol = f"{root:<6}{symbol[6:13]}{milli:08d}"
    return [*out, Stretch(first, FAR, float(factor), milli / 1000.0, symbol)]


def _paths(paths: pl.DataFrame, day: Array) -> tuple[Array, pl.DataFrame]:
    """The paths by underlying, contract and session, and where each contract's begins."""
    codes = [paths[name].cast(pl.Categorical).to_physical() for name in ("underlying", "symbol")]
    key = codes[0].cast(pl.Int64).to_numpy() * 2**32 + codes[1].cast(pl.Int64).to_numpy()
    session = np.searchsorted(day, days(paths, "session"))
    order = np.arange(key.size)
    if not _in_order(key, session):
        order = np.lexsort((session, key))
        key = key[order]
    begins = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: key.size])
    out = np.zeros(key.size, STEP)
    out["session"] = session[order]
    bar = paths.select(pl.when(pl.col("source") == "bar").then("close"))
    for name, frame in (("bid", paths), ("ask", paths), ("close", bar)):
        out[name] = column(frame, name, np.float64)[order]
    out["spot"] = column(paths, "underlying_price", np.float64)[order]
    names = paths.select("underlying", "symbol")[order[begins]]
    rows = np.diff(np.append(begins, key.size))
    return out, names.with_columns(row=pl.Series(begins), rows=pl.Series(rows))


def _in_order(key: Array, session: Array) -> bool:
    """Whether the rows of each key are together, and by session."""
    begins = np.concatenate([[True], key[1:] != key[:-1]])[: key.size]
    together = np.unique(key[begins]).size == begins.sum()
    return bool(together and (begins[1:] | (session[1:] > session[:-1])).all())


def _wheels(
    totals: pl.DataFrame,
    legs: pl.DataFrame,
    table: Array,
    config: Config,
    day: Array,
    known: Instruments,
) -> Array:
    out = np.zeros(totals.height, WHEEL)
    puts = np.flatnonzero(~table["is_call"])
    out["entry"], out["instrument"] = table["sold"][puts], table["instrument"][puts]
    out["end"] = _exits(totals, day)
    out["capital"] = column(totals, "initial_capital", np.float64)
    out["premium"] = column(legs, "premium", np.float64)[puts]
    costs = config.costs
    for name in COSTS:
        out[name] = getattr(costs, name)
    return out


def _shares(
    legs: pl.DataFrame, table: Array, wheels: Array, day: Array, known: Instruments
) -> Array:
    assigned = (legs["exit_reason"] == name_of(ExitReason.ASSIGNED)).fill_null(False).to_numpy()
    some = np.flatnonzero(assigned & ~table["is_call"])
    out = np.zeros(some.size, SHARES)
    out["wheel"], out["instrument"] = table["wheel"][some], table["instrument"][some]
    out["bought"] = table["last"][some] + 1
    end = wheels["end"][out["wheel"]]
    out["last"] = np.minimum(end, day.size) - 1
    barrier = known.barrier(out["instrument"], out["bought"])
    out["frozen"] = np.where(end == FAR, barrier - 1, FAR)
    out["number"] = 100.0 * column(legs, "factor", np.float64)[some]
    wheels["shares"] = -1
    wheels["shares"][out["wheel"]] = np.arange(some.size)
    return out


# ---- cash


def _flows(
    wheel: Array, session: Array | int, kind: Array | int, entry: Array | int, amount: Array
) -> Array:
    out = np.zeros(wheel.size, FLOW)
    for name, values in zip(FLOW.names or (), (wheel, session, kind, entry, amount), strict=True):
        out[name] = values
    return out


def _of_legs(legs: pl.DataFrame, table: Array, day: Array) -> Array:
    """Premiums and buy-backs."""
    kind = np.where(table["is_call"], kernel.CALLS, kernel.PUTS)
    back = np.flatnonzero(_bought_back(legs))
    wheel, ended = table["wheel"], table["last"] + 1
    sold = _flows(wheel, table["sold"], kind, PREMIUM, column(legs, "premium", np.float64))
    paid = -column(legs, "exit_price", np.float64)[back]
    bought = _flows(wheel[back], ended[back], kind[back], BUY_BACK, paid)
    return np.concatenate([sold, bought])


def _bought_back(legs: pl.DataFrame) -> Array:
    return (legs["exit_reason"].is_in(BOUGHT) & legs["exit_date"].is_not_null()).to_numpy()


def _of_ledger(ledger: pl.DataFrame, totals: pl.DataFrame, day: Array) -> Array:
    """Purchases and sales of shares, and dividends."""
    rows = ledger.filter(pl.col("entry").is_in([*OF_STOCK, DIVIDEND])).join(
        totals.select("wheel_id", "wheel"), on="wheel_id", maintain_order="left"
    )
    kind = np.where((rows["entry"] == DIVIDEND).to_numpy(), kernel.DIVIDENDS, kernel.STOCK)
    session = np.searchsorted(day, days(rows, "date"))
    entry = rows["entry"].replace_strict(
        list(kernel.ENTRIES), range(len(kernel.ENTRIES)), return_dtype=pl.Int64
    )
    amount = column(rows, "amount", np.float64)
    return _flows(rows["wheel"].to_numpy(), session, kind, entry.to_numpy(), amount)


def _unresolved(
    events: pl.DataFrame, shares: Array, wheels: Array, known: Instruments, day: Array
) -> Array:
    """The dividends on the shares of unresolved wheels, as long as their number is known."""
    found = [np.zeros(0, FLOW)]
    held = shares[wheels["end"][shares["wheel"]] == FAR]
    for row in events.filter(pl.col("kind") == DIVIDEND).iter_rows(named=True):
        ex_day = (row["ex_date"] - dt.date(1970, 1, 1)).days
        session = int(np.searchsorted(day, ex_day))
        if session >= day.size:
            continue
        named = np.array(
            [known.names[i] == row["underlying"] for i in held["instrument"]], np.bool_
        )
        over = (day[held["bought"]] < ex_day) & (session <= held["frozen"])
        some = held[named & over]
        number = some["number"] * (
            known.grown[some["instrument"], session]
            / known.grown[some["instrument"], some["bought"]]
        )
        entry = kernel.ENTRIES.index(DIVIDEND)
        paid = number * row["amount"]
        found.append(_flows(some["wheel"], session, kernel.DIVIDENDS, entry, paid))
    return np.concatenate(found)


def _orders(legs: pl.DataFrame, table: Array, assignment_fee: float, day: Array) -> Array:
    back = np.flatnonzero(_bought_back(legs))
    delivered = (legs["exit_reason"].is_in(DELIVERED) & legs["exit_date"].is_not_null()).to_numpy()
    given = np.flatnonzero(delivered) if assignment_fee else np.zeros(0, np.int64)
    factor = column(legs, "factor", np.float64)
    some = np.concatenate([np.arange(table.size), back, given])
    out = np.zeros(some.size, ORDER)
    out["wheel"] = table["wheel"][some]
    out["session"] = table["last"][some] + 1
    out["session"][: table.size] = table["sold"]
    out["contracts"][: table.size] = table["contracts"]
    out["contracts"][table.size : table.size + back.size] = table["contracts"][back] * factor[back]
    out["fixed"][table.size + back.size :] = assignment_fee
    return out


# ---- the book


def book_of(
    offered: list[Offered], day: Array, known: Instruments, rank: Array
) -> tuple[Book, Array]:
    """All wheels on offer, by session of entry and rank.

    Args:
        offered: by the results.
        day: (sessions,) days since 1970-01-01.
        known: the underlyings.
        rank: (wheels,) the order in which the wheels of a session are tried, least first; by result
            and record.

    Returns:
        The book, and (wheels,) the place of each of its wheels among those of all results.
    """
    parts, first = [], 0
    for each in offered:
        parts.append(_tables(each, day, known, first))
        first += len(names_of(each))
    tables = _joined(parts)
    order = np.lexsort((rank, tables.wheels["entry"]))
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    wheels = tables.wheels[order]
    groups = {name: i for i, name in enumerate(dict.fromkeys(known.names))}
    of_instrument = np.array([groups[name] for name in known.names], np.int64)
    wheels["group"] = of_instrument[wheels["instrument"]] if wheels.size else 0
    sorted_ = {}
    for name, one in (("leg", tables.legs), ("flow", tables.flows), ("order", tables.orders)):
        one["wheel"] = place[one["wheel"]]
        sorted_[name] = one[np.argsort(one["wheel"], kind="stable")]
        count = np.bincount(one["wheel"], minlength=wheels.size)
        wheels[f"{name}s"], wheels[name] = count, np.cumsum(count) - count
    tables.shares["wheel"] = place[tables.shares["wheel"]]
    legs = sorted_["leg"]
    rows = legs["last"] - legs["sold"] + 1
    legs["day"] = np.cumsum(rows) - rows
    marks = np.zeros(int(rows.sum()), MARK)
    kernel.lay_marks(legs, tables.stretches, tables.path, known.close, marks)
    return Book(
        wheels,
        legs,
        marks,
        sorted_["flow"],
        sorted_["order"],
        tables.shares,
        np.argsort(wheels["end"], kind="stable"),
        known.worth,
        known.grown,
    ), order


def _joined(parts: list[_Tables]) -> _Tables:
    """The tables of all results as one, with their numbers moved on."""
    wheels = stretches = steps = shares = 0
    for part in parts:
        for table in (part.legs, part.flows, part.orders, part.shares):
            table["wheel"] += wheels
        part.legs["stretch"] += stretches
        part.stretches["row"] += steps
        part.wheels["shares"][part.wheels["shares"] >= 0] += shares
        wheels += part.wheels.size
        stretches += part.stretches.size
        steps += part.path.size
        shares += part.shares.size
    return _Tables(*(np.concatenate(tables) for tables in zip(*parts, strict=True)))
