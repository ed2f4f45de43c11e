"""The sections of the story of a wheel, in sentences and tables."""

from typing import TYPE_CHECKING, Any

import polars as pl

from wheelvec.kernels.quotes import allowed_spread, concession, entry_price
from wheelvec.model.codes import FillMode
from wheelvec.report.sections import Section, Table
from wheelvec.run.explaining.candidates import TESTS
from wheelvec.run.explaining.retracing import RetracedLeg, plan_of
from wheelvec.run.explaining.searching import Search

if TYPE_CHECKING:
    from wheelvec.model.config import Config
    from wheelvec.report.story import Story

NEAREST = 5  # contracts that are listed of a session, beside those that might have been sold
BOUGHT = {
    "stop_loss": "the stop",
    "profit_target": "the target",
    "max_hold_dte": "max_hold_dte",
    "corporate_action": "an event that contracts do not survive comes next",
}
UNRESOLVED = {
    "open": "the data end before its settlement session",
    "no_data": "its settlement session has no close of the underlying",
    "suspected_split": "a suspected split that no row explains: nobody knows what became of it",
    "corporate_action": "on the eve of an event there is neither a bar nor a quote to buy it at",
}


def sections_of(story: "Story") -> list[Section]:
    """The sections of a story, in the order of what happened."""
    config, legs = story.result.config, list(story.legs)
    sections = [_head(story), _why_sold(story, config)]
    calls = {leg.record["cycle"]: leg for leg in legs[1:]}
    sections.append(_bars(legs[0], config))
    for cycle in dict.fromkeys(search.record["cycle"] for search in story.searches):
        mine = [search for search in story.searches if search.record["cycle"] == cycle]
        sections.append(_search(cycle, mine, calls.get(cycle), config))
        if cycle in calls:
            sections.append(_bars(calls[cycle], config))
    if story.events.height:
        sections.append(_events(story.events))
    sections.append(_ledger(story))
    if story.notes:
        sections.append(Section("Notes", story.notes))
    return sections


def dollars(value: float | None, digits: int = 2) -> str:
    """Dollars with commas; "-" for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def price(value: float | None) -> str:
    """Dollars per share, with as many digits as it has up to six; "-" for None."""
    if value is None or value != value:
        return "-"
    text = f"{value:,.6f}".rstrip("0")
    whole, _, digits = text.partition(".")
    return f"{whole}.{digits.ljust(2, '0')}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent; "-" for None."""
    return "-" if value is None else f"{100 * value:,.{digits}f}%"


# ---- the wheel


def _head(story: "Story") -> Section:
    wheel = story.wheel
    pnl = "no P&L" if wheel["pnl"] is None else f"{dollars(wheel['pnl'])} dollars"
    title = f"{story.wheel_id}: {wheel['end_reason']}, {pnl}"
    lines = [
        f"{wheel['put_symbol']} sold on {wheel['entry_date']}; {_ended(wheel, story.result.config)}"
    ]
    if wheel["pnl"] is not None:
        lines.append(
            f"P&L: put {dollars(wheel['csp_pnl'])}, calls {dollars(wheel['cc_pnl'])}, shares "
            f"{dollars(wheel['stock_pnl'])}; {dollars(wheel['wheel_roc'])}% of "
            f"{dollars(wheel['initial_capital'])} dollars."
        )
    elif wheel["pnl_marked"] is not None:
        lines.append(
            f"At the last known prices it is worth {dollars(wheel['pnl_marked'])} dollars."
        )
    if wheel["censored"]:
        lines.append(
            "Censored: the put settles after the underlying's last bar, so that the summary leaves "
            "the wheel out."
        )
    return Section(title, tuple(lines))


def _ended(wheel: dict[str, Any], config: "Config") -> str:
    if wheel["exit_date"] is None:
        return "the data do not show how it ended."
    days = wheel["calendar_days"]
    became = "held and not valued" if config.rules == "v5" else "sold at the close"
    held = f", {wheel['shares_held']} shares {became}" if wheel["shares_held"] else ""
    return f"ended on {wheel['exit_date']}, after {days} calendar days{held}."


# ---- the sale of an option


def _why_sold(story: "Story", config: "Config") -> Section:
    leg = story.legs[0]
    tables: tuple[Table, ...] = ()
    if story.candidates is not None:
        tables = (candidates_table(story.candidates, leg.record["symbol"]),)
    select = config.put.select
    chosen = (
        "Every put that passes these tests is sold."
        if select == "all"
        else (f"Of the puts that pass these tests it was preferred by select = {select}.")
    )
    return Section("Why it was sold", (*_sale(leg, config), chosen), tables)


def _sale(leg: RetracedLeg, config: "Config") -> list[str]:
    record = leg.record
    rules = config.put if record["cycle"] == 0 else config.call
    lines = [
        f"{record['symbol']}: strike {price(record['strike'])}, expires {record['expiration']}, "
        f"{record['dte_entry']} days ({rules.dte_min} to {rules.dte_max} allowed); delta "
        f"{record['delta_entry']:.3f} ({rules.delta_min:g} to {rules.delta_max:g} allowed); "
        f"implied volatility {percent(record['iv_entry'])}, rank {record['ivp_entry']:.2f} of "
        + ("the chain." if config.liquidity.ivp_over == "chain" else "the candidates.")
    ]
    if leg.quote is None:
        return [*lines, f"Sold at {price(leg.price)}."]
    return [*lines, _liquidity(leg, config), _entry(leg, config)]


def _liquidity(leg: RetracedLeg, config: "Config") -> str:
    record, quote = leg.record, leg.quote or {}
    common = plan_of(config).common[0]
    allowed = float(allowed_spread(record["ivp_entry"], record["dte_entry"], common))
    return (
        f"Quoted {price(quote['bid'])} to {price(quote['ask'])}, the underlying at "
        f"{price(quote['underlying_price'])}. The spread is {percent(record['spread_pct_entry'])} "
        f"of the mid; {percent(allowed)} counts as normal at this rank and term, so it is "
        f"{record['liquidity_tier']}: penalty {record['liquidity_penalty']:.2f}."
    )


def _entry(leg: RetracedLeg, config: "Config") -> str:
    """How the price came about, by the kernel's own function with and without the tick."""
    quote, penalty = leg.quote or {}, leg.record["liquidity_penalty"]
    bid, ask, mode = quote["bid"], quote["ask"], FillMode[config.fills.fill_mode.upper()]
    mid = (bid + ask) / 2
    before = float(entry_price(bid, ask, mid, penalty, int(mode), 0.0))
    if mode is FillMode.NATURAL:
        origin = f"the bid {price(before)}"
    else:
        share = float(concession(int(mode)))
        origin = (
            f"the mid {price(mid)} less {share:.2f} x {price(round(ask - bid, 9))} x {penalty:.2f} "
            f"is {price(before)}, kept within bid and ask"
        )
    ticks = config.ticks
    rounded = f", rounded down to {price(1 / ticks)}" if ticks else ""
    premium = f"a premium of {dollars(leg.record['premium'])} dollars"
    return f"Price ({config.fills.fill_mode}): {origin}{rounded}: {price(leg.price)}, {premium}."


def candidates_table(candidates: pl.DataFrame, sold: str | None, most: int = NEAREST) -> Table:
    """The contracts of a session that passed, and the nearest of those that failed a test.

    Args:
        candidates: run.explaining.candidates.CANDIDATES, those that came furthest first.
        sold: symbol of the contract that was sold.
        most: contracts that failed.
    """
    passed = candidates.filter(pl.col("failed").is_null())
    failed = candidates.filter(pl.col("failed").is_not_null())
    rows = [*passed.head(2 * most).iter_rows(named=True), *failed.head(most).iter_rows(named=True)]
    left = candidates.height - len(rows)
    shown = [_candidate(row, sold) for row in rows]
    if left > 0:
        shown.append(("", "", "", "", f"and {left:,} more"))
    return Table(("contract", "delta", "bid", "ask", "test"), shown, "lrrrl")


def _candidate(row: dict[str, Any], sold: str | None) -> tuple[str, ...]:
    delta = "-" if row["delta"] is None else f"{row['delta']:.3f}"
    return (row["symbol"], delta, price(row["bid"]), price(row["ask"]), _verdict(row, sold))


def _verdict(row: dict[str, Any], sold: str | None) -> str:
    test = row["failed"]
    if test is None:
        return "sold" if row["symbol"] == sold else "passes every test"
    if row["value"] is None:
        return TESTS[test]
    value = percent(row["value"]) if test in ("otm", "spread") else f"{row['value']:.4g}"
    return f"{TESTS[test]} {value}: {row['limit']}"


# ---- what became of an option


def _bars(leg: RetracedLeg, config: "Config") -> Section:
    cycle = leg.record["cycle"]
    name = "The put" if cycle == 0 else f"Call {cycle}"
    rows = [_bar(row, leg) for row in leg.days.iter_rows(named=True)]
    heads = ("session", "underlying", "open", "high", "low", "close", "")
    tables = (Table(heads, rows, "lrrrrrl"),) if rows else ()
    return Section(f"{name}, bar by bar", tuple(_levels(leg, config)), tables, (_end(leg),))


def _levels(leg: RetracedLeg, config: "Config") -> list[str]:
    levels, record = leg.levels, leg.record
    stop = "no stop" if levels.stop != levels.stop else f"stop at {price(levels.stop)}"
    hold = "" if levels.hold < 0 else f", bought back {levels.hold} days before the expiration"
    lines = [f"Sold at {price(leg.price)}; {stop}, target at {price(levels.target)}{hold}."]
    if config.fills.use_probabilistic_exit_fills:
        lines.append(
            f"A touch of the target fills if its draw u is at most p_fill = "
            f"{record['p_fill_profit_target']:.4g}."
        )
    if record["factor"] and record["factor"] != 1:
        lines.append(f"After the split prices are times {record['factor']}, as of the sale.")
    return lines


def _bar(row: dict[str, Any], leg: RetracedLeg) -> tuple[str, ...]:
    prices = [price(row[name]) for name in ("open", "high", "low", "close")]
    if row["source"] is None:
        prices = [""] * 4
    return (str(row["session"]), price(row["underlying_close"]), *prices, _happened(row, leg))


def _happened(row: dict[str, Any], leg: RetracedLeg) -> str:
    """The effect of a session's bar on the leg, in a few words."""
    if row["source"] is None:
        quoted = "" if row["bid"] is None else f" (quoted {price(row['bid'])}-{price(row['ask'])})"
        return f"no bar{quoted}"
    words = ["a quote, for want of a bar"] if row["source"] == "quote" else []
    if row["touch"] is not None and row["u"] is not None:
        filled = row["exit"] == "profit_target"
        over = f"filled at {price(row['price'])}" if filled else "missed"
        words.append(f"touch {row['touch']}, u {row['u']:.4f}: {over}")
    if row["exit"] is not None and (row["u"] is None or row["exit"] == "max_hold_dte"):
        words.append(f"{row['exit']} at {price(row['price'])}")
    return "; ".join(words)


def _end(leg: RetracedLeg) -> str:
    record = leg.record
    reason, day = record["exit_reason"], record["exit_date"]
    if day is None:
        return f"Not resolved ({reason}): {UNRESOLVED.get(reason, 'the data do not show it')}."
    cost = f"fees {dollars(record['fees'])}, P&L {dollars(record['pnl'])} dollars"
    if reason in BOUGHT:
        paid = record["exit_price"] / (100.0 * record["contracts"])
        why = (
            f"because {BOUGHT[reason]}" if reason == "corporate_action" else f"by {BOUGHT[reason]}"
        )
        return f"Bought back on {day} at {price(paid)} {why}; {cost}."
    return f"{_settled(record)}; {cost}."


def _settled(record: dict[str, Any]) -> str:
    reason, day, close = (
        record["exit_reason"],
        record["exit_date"],
        record["underlying_at_expiration"],
    )
    words = {
        "expired_worthless": "it expired worthless",
        "assigned": "it was assigned",
        "called_away": "the shares were called away",
    }
    if close is not None:
        against = f"the underlying closed at {price(close)}, strike {price(_strike(record))}"
        return f"Settled on {day}: {against}, so {words[reason]}"
    if reason == "expired_worthless":
        return f"Settled on {day} without a close of the underlying: v5 books it as worthless"
    return f"Exercised early on {day}: {words[reason]}"


def _strike(record: dict[str, Any]) -> float:
    """The strike of the contract that stands for a leg's at its exit."""
    return int((record["exit_symbol"] or record["symbol"])[13:]) / 1000.0


# ---- calls, events, cash


def _search(
    cycle: int, searches: list[Search], call: RetracedLeg | None, config: "Config"
) -> Section:
    heads = ("session", "outcome", "basis", "valid", "solved", "range", "above", "liquid")
    names = ("n_valid", "n_solved", "n_in_range", "n_above_basis", "n_liquid")
    rows = [
        (
            "no session" if (at := each.record["session"]) is None else str(at),
            each.record["outcome"],
            price(None if each.basis is None else round(each.basis, 6)),
            *[f"{each.record[name]:,}" for name in names],
        )
        for each in searches
    ]
    symbol = None if call is None else call.record["symbol"]
    found = [each.candidates for each in searches if each.candidates is not None]
    tables = [Table(heads, rows, "llrrrrrr")]
    tables += [candidates_table(each, symbol) for each in found if each.height]
    sold = () if call is None else tuple(_sale(call, config))
    return Section(f"The search for call {cycle}", sold, tuple(tables))


def _events(events: pl.DataFrame) -> Section:
    rows = [
        (
            str(row["session"]),
            str(row["kind"]),
            "-" if row["ratio"] is None else f"{row['ratio']:g} for 1",
            row["root"] or "",
            price(row["amount"]) + (" special" if row["special"] else ""),
        )
        for row in events.iter_rows(named=True)
    ]
    heads = ("session", "event", "shares", "new root", "dividend per share")
    return Section("What happened to the underlying", (), (Table(heads, rows, "lllll"),))


def _ledger(story: "Story") -> Section:
    rows = [
        (str(row["date"]), str(row["entry"]), dollars(row["amount"]))
        for row in story.ledger.iter_rows(named=True)
    ]
    total = float(story.ledger["amount"].sum())
    rows.append(("", "sum", dollars(total + 0.0)))
    pnl = story.wheel["pnl"]
    line = (
        "The wheel is not resolved: this is its cash so far."
        if pnl is None
        else f"The sum is the P&L, {dollars(pnl)}."
    )
    return Section(
        "Ledger, dollars", (), (Table(("date", "entry", "amount"), rows, "llr"),), (line,)
    )
