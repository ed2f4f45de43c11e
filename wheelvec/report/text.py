"""What the command line prints of results and markets: plain text of at most 80 columns."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl

from wheelvec.spec.codes import EndReason, ExitReason, name_of
from wheelvec.spec.config import Config
from wheelvec.spec.version import VERSION

WIDTH = 80

Figures = Mapping[str, float | int | None]

# What an outcome of an entry session means, and which field decides it.
OUTCOMES = {
    "no_quotes": "not a quote in the minute of entry_time",
    "no_underlying_price": "no quote has a price of the underlying",
    "not_solved": "no put has an implied volatility",
    "no_candidate_in_range": "no put within put.dte_* and put.delta_*",
    "all_rejected_by_liquidity": "every put in range fails [liquidity]",
    "not_signalled": "the signal left it out",
    "wheel_already_open": "allow_multiple_wheels_per_symbol is false",
    "traded": "at least one wheel launched",
}


class Swept(Protocol):
    """What of a `run.swept.Sweep` is read here."""

    frame: pl.DataFrame

    @property
    def names(self) -> list[str]: ...


def swept(sweep: Swept, most: int = 10) -> str:
    """The rows of a sweep with the greatest average ROC, as plain text."""
    figures = [name for name in ("total_wheels", "avg_wheel_roc", "total_pnl", "win_rate") if name in sweep.frame.columns]
    best = sweep.frame.sort("avg_wheel_roc", descending=True, nulls_last=True, maintain_order=True).head(most)
    lines = []
    for place, row in enumerate(best.select(*sweep.names, *figures).iter_rows(named=True), 1):
        given = ", ".join(f"{name.partition('.')[2] or name}={_short(row[name])}" for name in sweep.names)
        lines.append(wrapped(f"{place:>2}. {given}"))
        numbers = (number(row["total_wheels"]), _percent(row["avg_wheel_roc"]), _dollars(row["total_pnl"]))
        lines.append("      {} wheels, average ROC {}, P&L {}".format(*numbers))
    head = f"{sweep.frame.height:,} configurations. The greatest average ROC (the best of many is partly luck):"
    return "\n".join([wrapped(head, ""), *lines, ""])


def _short(value: object) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


class Described(Protocol):
    """What of a `run.result.Result` is read here; the rooms do not import one another."""

    config: Config

    @property
    def records(self) -> pl.DataFrame: ...
    @property
    def wheels(self) -> pl.DataFrame: ...
    @property
    def diagnostics(self) -> pl.DataFrame: ...
    def summary(self) -> Figures: ...


def described(result: Described) -> str:
    """The summary of a result as plain text of at most 80 columns."""
    figures, schedule = result.summary(), result.config.schedule
    launched = result.wheels.height
    symbols = result.diagnostics["underlying"].unique(maintain_order=True).to_list()
    days = result.diagnostics["session"]
    first, last = (schedule.start_date or days.min(), schedule.end_date or days.max())
    blocks = [
        f"wheelvec {VERSION}, rules {result.config.rules}, configuration {result.config.id}",
        wrapped(f"Entries {_text(first)} to {_text(last)}: {', '.join(symbols) or 'no entry session'}", ""),
        "",
        *(_launched(result, figures, launched) if launched else [_none_launched(result)]),
        "",
        _outcomes(result.diagnostics),
        "",
    ]
    return "\n".join(blocks)


def _launched(result: Described, figures: Figures, launched: int) -> list[str]:
    return [_wheels(figures, launched), "", _money(figures), "", _exits(result.records), "", _ends(result.wheels)]


def _wheels(figures: Figures, launched: int) -> str:
    unresolved = (figures["open_wheels"] or 0) + (figures["no_data_wheels"] or 0)
    rows = [
        ("launched", number(launched), ""),
        ("in the figures below", number(figures["total_wheels"]), ""),
        ("  of these marked", number(figures["marked_wheels"]), "valued at the last close"),
        ("  of these holding shares", number(figures["held_wheels"]), ""),
        ("censored", number(figures["censored_wheels"]), "settle after the data end: left out"),
        ("unresolved", number(unresolved), ""),
        ("  open", number(figures["open_wheels"]), ""),
        ("  no data", number(figures["no_data_wheels"]), ""),
    ]
    return _section("Wheels", rows)


def _money(figures: Figures) -> str:
    rows = [
        ("total P&L", _dollars(figures["total_pnl"]), ""),
        ("total P&L at worst", _dollars(figures["total_pnl_worst"]), "if all that is left out were lost"),
        ("worst wheel", _dollars(figures["max_drawdown_proxy"]), ""),
        ("capital deployed", _dollars(figures["total_capital_deployed"]), "summed over the wheels"),
        ("win rate", _percent(figures["win_rate"]), ""),
        ("ROC average", _percent(figures["avg_wheel_roc"]), ""),
        ("ROC median", _percent(figures["median_wheel_roc"]), ""),
        ("ROC least", _percent(figures["min_wheel_roc"]), ""),
        ("ROC greatest", _percent(figures["max_wheel_roc"]), ""),
        ("ROC standard deviation", _percent(figures["std_wheel_roc"]), ""),
        ("average days held", _decimal(figures["avg_days_held"]), ""),
        ("leg-sessions without a bar", number(figures["sessions_without_bar"]), ""),
        *_doubtful(figures),
    ]
    return _section("Figures (dollars per contract of 100 shares)", rows)


def _doubtful(figures: Figures) -> list[tuple[str, str, str]]:
    """Exits booked worse than a limit order, or better than a stop: shown where there are any."""
    labels = {"targets_above_limit": "targets above their limit", "stops_inside_stop": "stops inside their stop"}
    return [(label, number(figures[name]), "bought back at the market") for name, label in labels.items() if figures[name]]


def _exits(records: pl.DataFrame) -> str:
    """How the puts and the calls ended, side by side."""
    counts = {phase: _counts(_phase(records, phase)["exit_reason"]) for phase in ("csp", "cc")}
    reasons = [name_of(reason) for reason in ExitReason]
    shown = [(reason, counts["csp"].get(reason, 0), counts["cc"].get(reason, 0)) for reason in reasons]
    rows = [f"  {'':<27}{'puts':>14}{'calls':>14}"]
    rows += [f"  {reason:<27}{number(put):>14}{number(call):>14}" for reason, put, call in shown if put or call]
    return "\n".join(["Exits of the legs", *rows])


def _phase(records: pl.DataFrame, phase: str) -> pl.DataFrame:
    return records.filter(records["phase"] == phase)


def _ends(wheels: pl.DataFrame) -> str:
    counts = _counts(wheels["end_reason"])
    names = [name_of(reason) for reason in EndReason]
    return _section("Ends of the wheels", [(name, number(counts[name]), "") for name in names if name in counts])


def _none_launched(result: Described) -> str:
    if not result.diagnostics.height:
        return "No wheel was launched: [schedule] leaves no entry session."
    return "No wheel was launched. What the entry sessions lacked is counted below."


def _outcomes(diagnostics: pl.DataFrame) -> str:
    counts = _counts(diagnostics["outcome"])
    rows = [(name, number(counts[name]), meaning) for name, meaning in OUTCOMES.items() if name in counts]
    return _section("Entry sessions, one per underlying, by what came of them", rows or [("none", "0", "")], 8)


def set_aside(diagnostics: pl.DataFrame) -> str:
    """The market's diagnostics as a table."""
    if not diagnostics.height:
        return "Every row was taken."
    rows = [
        ("table", "underlying", "reason", "count"),
        *diagnostics.select("table", "underlying", "reason", "count").rows(),
    ]
    lines = [
        f"  {table:<18}{cell(name, 13):<14}{reason:<30}{count if count == 'count' else number(count):>12}"
        for table, name, reason, count in rows
    ]
    return "\n".join(["Rows set aside, and what else stood out", *lines])


def written(counts: pl.DataFrame) -> str:
    """What a write has changed in a lake, a line a table."""
    lines = [
        f"  {table}: {number(added)} rows added, {number(replaced)} replaced"
        + (f", {number(removed)} removed" if removed else "")
        for table, added, replaced, removed in counts.iter_rows()
    ]
    return "\n".join(lines)


def _section(title: str, rows: Sequence[tuple[str, str, str]], digits: int = 14) -> str:
    # a value wider than its column takes of the label's blanks
    lines = [
        f"  {label}{value:>{max(27 + digits - len(label), len(value) + 1)}}  {note}".rstrip() for label, value, note in rows
    ]
    return "\n".join([title, *lines])


def _counts(names: pl.Series) -> dict[str, int]:
    return dict(names.drop_nulls().value_counts().rows())


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def number(value: float | None) -> str:
    return "-" if value is None else f"{int(value):,}"


def _decimal(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:,.2f}"


def _dollars(value: float | None) -> str:
    return _decimal(value)


def _percent(value: float | None) -> str:
    text = _decimal(value)
    return text if text == "-" else f"{text}%"


def cell(text: str, most: int | None = None) -> str:
    """Text that stands on its line: what cannot be printed is escaped, and what is too long is cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if most is None or len(shown) <= most else shown[: most - 2] + ".."


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def wrapped(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent="  ", break_on_hyphens=False)
