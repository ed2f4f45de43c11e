"""Random markets with corporate events, and configurations whose wheels are open across them.

`random_event_market(seed)` takes a random market and lets events happen to its rows: from an ex-date
on, contracts are those that the exchange would list. Splits of several ratios, renames, special and
ordinary dividends, reverse splits, splits that no row explains, rows that say that nothing happened,
several of them in a wheel's life, and holes where they hurt: on eves and ex-dates.
`python -m tests.oracle.event_markets 100` counts what the seeds lead to.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import polars as pl

from . import events, markets, wheel

Row = dict[str, Any]
Rows = dict[str, list[Row]]  # by table
Tables = dict[str, pl.DataFrame]

PRICES = ("open", "high", "low", "close", "bid", "ask", "underlying_price")
SPLITS = {
    "underlying": pl.String,
    "ex_date": pl.Date,
    "numerator": pl.Int64,
    "denominator": pl.Int64,
    "new_underlying": pl.String,
}
DIVIDENDS = {
    "underlying": pl.String,
    "ex_date": pl.Date,
    "amount": pl.Float64,
    "special": pl.Boolean,
}
NEW_NAMES = ("META", "NEW", "NE.W", "ZZ")
KINDS = (
    *("split",) * 4,
    *("rename",) * 3,
    *("special",) * 3,
    *("not_carried",) * 4,
    *("unexplained",) * 2,
    "silenced",
    "nothing",
    "split_and_rename",
    "not_carried_and_rename",
)
CARRIED = (2, 2, 3, 4, 5, 7, 10)
NOT_CARRIED = ((1, 8), (1, 2), (3, 2), (1324, 1000), (1, 10))


@dataclass
class Happening:
    """One event of a market, as it is drawn."""

    kind: str
    underlying: str  # as it is called before
    ex_date: dt.date
    numerator: int = 1
    denominator: int = 1
    amount: float = 0.0
    new_underlying: str | None = None

    @property
    def name_after(self) -> str:
        return self.new_underlying or self.underlying


@dataclass
class Market:
    """The rows of a market while events happen to them."""

    rows: Rows
    splits: list[Row] = field(default_factory=list)
    dividends: list[Row] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)


def parsed(symbol: str) -> tuple[str, dt.date, str, int] | None:
    """A symbol's parts, or None for one that is none."""
    try:
        return wheel.parse_symbol(symbol)
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------------------------------
# The effect of an event on rows
# ---------------------------------------------------------------------------------------------------------------------
def cent(value: float) -> float:
    """To the cent, halves up."""
    return math.floor(value * 100 + 0.5 + 1e-9) / 100


def repriced(row: Row, happening: Happening, exact: bool) -> Row:
    """Prices of a row as they are after the event; of special dividends only the share's."""
    ratio = happening.denominator / happening.numerator
    changed = dict(row)
    for name in PRICES:
        price = row.get(name)
        if price is None or not math.isfinite(price) or price <= 0:
            continue
        if happening.amount and ("symbol" not in row or name == "underlying_price"):
            price -= happening.amount
        changed[name] = price * ratio if exact else max(cent(price * ratio), 0.01)
    return changed


def replace_strike(row: Row, symbol: str) -> Row:
    """A row under another symbol, whose columns agree as far as they did before."""
    before, after = wheel.parse_symbol(row["symbol"]), wheel.parse_symbol(symbol)
    changed = {**row, "symbol": symbol}
    if row.get("strike") is not None:
        changed["strike"] = after[3] / 1000 + (row["strike"] - before[3] / 1000)
    return changed


successor = cache(events.successor)


def rows_after(row: Row, happening: Happening, exact: bool) -> list[Row]:
    """The rows that replace a row of the ex-date or later."""
    name = happening.name_after
    whole = happening.numerator % happening.denominator == 0
    changed = repriced(row, happening, exact)
    if "underlying" in row:
        changed["underlying"] = name
    if "symbol" not in row:
        return [changed]
    parts = parsed(row["symbol"])
    root = happening.underlying.replace(".", "")
    if parts is None or parts[0] != root:  # strangers stay what they are
        return [changed | {n: row[n] for n in ("bid", "ask") if n in row}]
    if happening.amount or whole:
        kind = events.SPECIAL if happening.amount else events.SPLIT
        event = events.Event(
            happening.ex_date,
            kind,
            n=happening.numerator // happening.denominator,
            amount=happening.amount,
            new_underlying=happening.new_underlying,
        )
        return [replace_strike(changed, successor(row["symbol"], event))]
    # The old contract is adjusted: its root has a digit from now on, and there are new ones.
    fresh = Happening("split", happening.underlying, happening.ex_date)
    strike = cent(parts[3] / 1000 * happening.denominator / happening.numerator)
    new_root = name.replace(".", "")
    symbol = markets.osi(new_root, parts[1], parts[2], strike)
    adjusted = replace_strike(
        {**repriced(row, fresh, exact), **({"underlying": name} if "underlying" in row else {})},
        f"{new_root + '1':<6}{row['symbol'][6:]}",
    )
    return [adjusted, replace_strike(changed, symbol)]


def concerned(row: Row, happening: Happening) -> bool:
    """Whether a row is of the event's underlying, from its ex-date on."""
    if row["session"] < happening.ex_date:
        return False
    if "underlying" in row:
        return bool(row["underlying"] == happening.underlying)
    parts = parsed(row["symbol"])
    return parts is not None and parts[0] == happening.underlying.replace(".", "")


def happen(market: Market, happening: Happening, exact: bool = False) -> None:
    """Let an event change the rows; the tables of events are not written here."""
    for table, rows in market.rows.items():
        changed: list[Row] = []
        for row in rows:
            changed += rows_after(row, happening, exact) if concerned(row, happening) else [row]
        market.rows[table] = changed
    market.happened.append(happening)


# ---------------------------------------------------------------------------------------------------------------------
# The events of a market
# ---------------------------------------------------------------------------------------------------------------------
def least_strike(market: Market, underlying: str, ex_date: dt.date) -> float:
    """The lowest strike or close of an underlying from a day on."""
    root = underlying.replace(".", "")
    found = [math.inf]
    for row in market.rows["option_quotes"]:
        parts = parsed(row["symbol"])
        if row["session"] >= ex_date and parts is not None and parts[0] == root:
            found.append(parts[3] / 1000)
    for row in market.rows["underlying_bars"]:
        if row["session"] >= ex_date and row["underlying"] == underlying:
            found.append(row["close"])
    return min(found)


def draw_happening(
    rng: random.Random, market: Market, underlying: str, ex_date: dt.date
) -> Happening | None:
    """An event of a name on a day; None where it cannot be."""
    kind = rng.choice(KINDS)
    happening = Happening(kind, underlying, ex_date)
    taken = {row.get("underlying") for rows in market.rows.values() for row in rows}
    taken |= {one.name_after for one in market.happened}
    free = [name for name in NEW_NAMES if name not in taken]
    if "rename" in kind:
        if not free:
            return None
        happening.new_underlying = rng.choice(free)
    if kind in ("split", "split_and_rename", "unexplained", "silenced"):
        happening.numerator = rng.choice(CARRIED)
        if rng.random() < 0.2:  # the same ratio in other numbers
            happening.numerator, happening.denominator = 2 * happening.numerator, 2
    if "not_carried" in kind:
        happening.numerator, happening.denominator = rng.choice(NOT_CARRIED)
    if kind == "special":
        least = least_strike(market, underlying, ex_date)
        happening.amount = cent(min(least / 3, 100.0) * rng.uniform(0.1, 0.9))
        if happening.amount < 0.01:
            return None
        if rng.random() < 0.1:
            happening.amount = round(happening.amount + 0.005, 3)  # half a cent
    return happening


def write_down(rng: random.Random, market: Market, happening: Happening) -> None:
    """The row of an event, as far as the user has one."""
    if happening.kind == "unexplained":
        return
    row = {
        "underlying": happening.underlying,
        "ex_date": happening.ex_date,
        "numerator": happening.numerator,
        "denominator": happening.denominator,
        "new_underlying": happening.new_underlying,
    }
    if happening.kind == "special":
        market.dividends.append(
            {name: row[name] for name in ("underlying", "ex_date")}
            | {"amount": happening.amount, "special": True}
        )
        return
    if happening.kind in ("silenced", "nothing"):
        row["numerator"] = row["denominator"] = rng.choice((1, 1, 3))
    market.splits.append(row)


def pick_days(rng: random.Random, sessions: list[dt.date]) -> list[dt.date]:
    """Ex-dates of one underlying: in the middle of its sessions, Fridays (where options settle) more
    often than others, at times close together.
    """
    inside = sessions[3:-3]
    days = {rng.choice(inside) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))}
    if rng.random() < 0.4:
        fridays = [day for day in inside if day.isoweekday() == 5]
        days.add(rng.choice(fridays))
    if rng.random() < 0.3:
        days.add(inside[min(inside.index(min(days)) + rng.choice((1, 2)), len(inside) - 1)])
    return sorted(days)


def ordinary_dividends(
    rng: random.Random, market: Market, names: list[tuple[dt.date, str]], sessions: list[dt.date]
) -> None:
    """Ordinary dividends, on ex-dates of events and days beside them more often than elsewhere;
    mostly of the name of the day.
    """
    near = [one.ex_date for one in market.happened if one.ex_date in sessions]
    near += [day for one in near for day in sessions if abs((day - one).days) <= 3]
    for _ in range(rng.choice((0, 1, 2, 5, 8))):
        day = rng.choice(near) if near and rng.random() < 0.5 else rng.choice(sessions)
        name = [called for since, called in names if since <= day][-1]
        amount = rng.choice((0.05, 0.12, 0.25, 1.0, 0.3333))
        market.dividends.append(
            {"underlying": name, "ex_date": day, "amount": amount, "special": False}
        )


def make_holes(rng: random.Random, market: Market, calendar: wheel.Calendar) -> None:
    """Take away bars, quotes or closes of eves and ex-dates, of all contracts or of half of them."""
    for happening in market.happened:
        eve = calendar.before(happening.ex_date)
        day = eve if rng.random() < 0.7 else happening.ex_date
        names = {happening.underlying, happening.name_after}
        roots = {name.replace(".", "") for name in names}
        kind = rng.random()
        tables = []
        if kind < 0.2:
            tables = ["option_bars"]
        elif kind < 0.35:
            tables = ["option_quotes"]
        elif kind < 0.5:
            tables = ["option_bars", "option_quotes"]
        elif kind < 0.6:
            tables = ["underlying_bars"]
        share = rng.choice((1.0, 1.0, 0.5))
        lost = random.Random(f"{rng.random()}")
        for table in set(tables) & set(market.rows):
            kept = []
            for row in market.rows.get(table, []):
                parts = parsed(row["symbol"]) if "symbol" in row else (row["underlying"],)
                hit = row["session"] == day and parts is not None and parts[0] in roots | names
                if not hit or (table != "underlying_bars" and lost.random() >= share):
                    kept.append(row)
            market.rows[table] = kept


def old_owner(market: Market, name: str, ex_date: dt.date, sessions: list[dt.date]) -> None:
    """Another underlying that bore a new name before: a few sessions of copied rows."""
    last = sessions[len(sessions) // 4]
    if last >= ex_date or len(name.replace(".", "")) > 5:
        return
    source = market.rows["underlying_bars"][0]["underlying"]
    as_name = Happening("rename", source, sessions[0], new_underlying=name)
    for rows in market.rows.values():
        copied = [row for row in rows if row["session"] <= last and concerned(row, as_name)]
        rows += [made for row in copied for made in rows_after(row, as_name, False)]


def table_of(rows: list[Row], like: pl.DataFrame) -> pl.DataFrame:
    """Rows as a table with the columns and types of another."""
    return pl.DataFrame(
        [list(row.values()) for row in rows] if rows else [], schema=like.schema, orient="row"
    )


def market_of(tables: Tables) -> Market:
    """The rows of a market."""
    names = ("option_quotes", "underlying_bars", "option_bars")
    market = Market({name: tables[name].to_dicts() for name in names if name in tables})
    if "dividends" in tables:
        market.dividends = [
            {**row, "special": False}
            for row in tables["dividends"].unique().sort(pl.all()).to_dicts()
        ]
    return market


def tables_of(market: Market, like: Tables) -> Tables:
    """The tables of a market."""
    tables = {name: table_of(rows, like[name]) for name, rows in market.rows.items()}
    if market.splits:
        tables["splits"] = pl.DataFrame(market.splits, schema=SPLITS)
    if market.dividends:
        tables["dividends"] = pl.DataFrame(market.dividends, schema=DIVIDENDS)
    return tables


def event_frame(seed: int) -> markets.Frame:
    """The sessions and underlyings of a market with events: a part of what belongs to its seed."""
    frame = markets.frame_of(seed)
    underlyings = frame.underlyings[: 1 if seed % 4 else 2]
    return markets.Frame(frame.sessions[: 28 // len(underlyings) + 4], underlyings)


def random_event_market(seed: int) -> Tables:
    """A random market to which events have happened."""
    rng = random.Random(f"events {seed}")
    frame = event_frame(seed)
    base = markets.random_market(seed, frame)
    calendar = wheel.calendar_of("NYSE")
    market = market_of(base)
    market.dividends = []
    for underlying in frame.underlyings:
        name, names = underlying, [(frame.sessions[0], underlying)]
        for day in pick_days(rng, frame.sessions):
            happening = draw_happening(rng, market, name, day)
            if happening is None:
                continue
            if happening.kind == "nothing":
                market.happened.append(happening)
            else:
                happen(market, happening)
            write_down(rng, market, happening)
            if happening.new_underlying is not None:
                name = happening.new_underlying
                names.append((day, name))
                if rng.random() < 0.2:
                    old_owner(market, name, day, frame.sessions)
        ordinary_dividends(rng, market, names, frame.sessions)
    make_holes(rng, market, calendar)
    if rng.random() < 0.2:  # set aside: no session, and a name that the market does not know
        first = dict.fromkeys(SPLITS) | {"numerator": 2, "denominator": 1}
        sunday = frame.sessions[-1] - dt.timedelta(days=frame.sessions[-1].isoweekday())
        market.splits.append(first | {"underlying": frame.underlyings[0], "ex_date": sunday})
        market.splits.append(first | {"underlying": "WHO", "ex_date": frame.sessions[-2]})
    return tables_of(market, base)


# ---------------------------------------------------------------------------------------------------------------------
# The configuration
# ---------------------------------------------------------------------------------------------------------------------
def random_event_config(seed: int, rules: str) -> dict[str, Any]:
    """A configuration with many wheels that are open across events of `random_event_market(seed)`."""
    rng = random.Random(f"event config {seed} {rules}")
    frame = event_frame(seed)
    sections = markets.random_config(seed, frame=frame)
    for section, fields in markets.drawn_apart(seed).items():
        sections[section] |= fields
    sections["rules"] = rules
    schedule = sections["schedule"]
    if rng.random() < 0.8:  # many puts, mostly held to their end, often assigned
        schedule |= {"every": rng.choice((1, 1, 2)), "offset": 0, "weekdays": None, "symbols": None}
        schedule["end_date"] = frame.sessions[len(frame.sessions) * 3 // 4]
        schedule["entry_time"] = rng.choice(("15:45", "close-15min"))
        schedule["max_wheels_per_symbol_per_day"] = rng.choice((None, 2, 3, 5))
        sections["put"] |= {"dte_min": rng.choice((1, 4)), "dte_max": rng.choice((9, 16, 24))}
        sections["put"] |= {"delta_min": rng.choice((0.15, 0.4)), "delta_max": 0.95}
        sections["put"] |= {"otm_min": None, "otm_max": None, "dte_target": None}
        sections["liquidity"]["hard_max_spread_pct"] = rng.choice((0.2, 0.4, 0.8))
        sections["liquidity"]["min_bid_hard"] = rng.choice((0.0, 0.02))
        if rng.random() < 0.7:
            sections["put"] |= {"exit_pct": 0.05, "stop_loss_multiplier": None}
            sections["put"]["max_hold_dte"] = None
    if rng.random() < 0.8:  # and calls
        sections["call"] |= {"dte_min": 1, "dte_max": rng.choice((8, 16, 22))}
        sections["call"] |= {"delta_min": 0.02, "delta_max": 0.97, "otm_min": None, "otm_max": None}
        sections["call"]["call_wait_sessions"] = rng.choice((0, 1, 3))
        sections["call"]["max_cycles"] = rng.choice((None, None, 1, 2))
        sections["call"]["sell_call_only_if_price_above_basis"] = rng.random() < 0.3
        if rng.random() < 0.7:
            sections["call"] |= {"exit_pct": 0.05, "stop_loss_multiplier": None}
            sections["call"]["max_hold_dte"] = None
    sections["put"]["early_assignment"] = rng.choice(("none", "none", "at_parity"))
    sections["call"]["early_assignment"] = rng.choice(("none", "ex_div", "at_parity"))
    if rng.random() < 0.5:
        sections["costs"] = {
            "commission_per_contract": rng.choice((0.0, 0.65)),
            "commission_base": rng.choice((0.0, 0.5, 4.95)),
            "commission_minimum": rng.choice((0.0, 1.0, 2.5)),
            "sec_fee_per_contract": rng.choice((0.0, 0.01)),
            "assignment_fee": rng.choice((0.0, 5.0, 19.95)),
        }
    return sections


# ---------------------------------------------------------------------------------------------------------------------
# For measuring
# ---------------------------------------------------------------------------------------------------------------------
def census(count: int, first: int = 0) -> Counter[str]:
    """The counts of outcomes over the seeds, by rule set."""
    counts: Counter[str] = Counter()
    for seed in range(first, first + count):
        tables = random_event_market(seed)
        for rules in ("ledger", "v5"):
            result = wheel.run(tables, random_event_config(seed, rules))
            for row in result["diagnostics"]:
                counts[f"{rules} outcome {row['outcome']}"] += 1
            for name in ("carried_wheels", "suspected_wheels", "marked_wheels", "total_wheels"):
                counts[f"{rules} summary {name}"] += result["summary"][name]
            for played in result["wheels"]:
                count_wheel(counts, rules, played)
    return counts


def count_wheel(counts: Counter[str], rules: str, played: wheel.Wheel) -> None:
    """Count one wheel and its legs."""
    counts[f"{rules} end {played.end_reason}"] += 1
    for leg in played.legs:
        kind = "cc" if leg.phase else "csp"
        state = "" if leg.resolved else " unresolved"
        counts[f"{rules} {kind} {leg.exit_reason}{state}"] += 1
        counts[f"{rules} {kind} factor {leg.factor}"] += 1
        counts[f"{rules} {kind} contracts {leg.contracts}"] += 1
        renamed = leg.exit_symbol[:6] != leg.quote.symbol[:6]
        counts[f"{rules} {kind} under another root"] += renamed
        early = leg.exit_date is not None and leg.exit_date < leg.settlement
        counts[f"{rules} {kind} early"] += early and leg.exit_reason in wheel.DELIVERED
    if played.suspected and all(leg.resolved for leg in played.legs):
        counts[f"{rules} suspected shares"] += 1
    if played.put.exit_reason == "assigned" and not played.resolved:
        counts[f"{rules} assigned, unresolved by {played.unresolved_by}"] += 1
    counts[f"{rules} dividends"] += len(played.dividends)


if __name__ == "__main__":
    for label, number in sorted(census(int(sys.argv[1]) if len(sys.argv) > 1 else 100).items()):
        sys.stdout.write(f"{label:60s} {number}\n")
