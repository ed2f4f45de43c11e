"""Texts about results, sweeps and markets for the terminal, of at most 80 columns."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from wheelvec.model.codes import OUTCOMES, EndReason, ExitReason, name_of
from wheelvec.model.errors import counted, printable
from wheelvec.model.version import VERSION
from wheelvec.run.results.shown import WIDTH, warnings_text
from wheelvec.run.results.warnings import of_failures

if TYPE_CHECKING:
    from wheelvec.run.results.result import Result
    from wheelvec.run.results.sweep_result import Sweep
    from wheelvec.run.results.warnings import RunWarning


Figures = Mapping[str, float | int | None]


def sweep_text(sweep: "Sweep", by: str = "avg_wheel_roc", most: int = 10) -> str:
    """The best configurations of a sweep by one figure, and its warnings."""
    head = (
        f"{counted(sweep.frame.height, 'configuration')}; "
        "figures are over the wheels in each one's summary."
    )
    warnings = _warnings([*of_failures(sweep.failures), *sweep.warnings])
    return "\n".join([head, "", sweep.best(by, most).text(WIDTH), "", *warnings])


def result_text(result: "Result") -> str:
    """The summary of a result, its counts of exits and outcomes, and its warnings."""
    figures, schedule = result.summary(), result.config.schedule
    launched = result.wheels.height
    symbols = result.diagnostics["underlying"].unique(maintain_order=True).to_list()
    days = result.diagnostics["session"]
    first, last = (schedule.start_date or days.min(), schedule.end_date or days.max())
    names = ", ".join(symbols) or "no underlying with an entry session"
    lines = [
        f"wheelvec {VERSION}, rules {result.config.rules}, configuration {result.config.id}",
        wrapped(f"Entries {_text(first)} to {_text(last)}: {names}", ""),
        "",
        *(_launched(result, figures, launched) if launched else [_none_launched(result)]),
        "",
        _outcomes(result.diagnostics),
        "",
        *_warnings(result.warnings),
    ]
    return "\n".join(lines)


def _launched(result: "Result", figures: Figures, launched: int) -> list[str]:
    return [
        _wheels(figures, launched, result.config.rules),
        "",
        _money(figures, launched),
        "",
        _exits(result.records, launched),
        "",
        _ends(result.wheels),
    ]


_HELD = {"ledger": "sold at the end session's close", "v5": "not valued: nothing sells them"}


def _wheels(figures: Figures, launched: int, rules: str) -> str:
    unresolved = (figures["open_wheels"] or 0) + (figures["no_data_wheels"] or 0)
    rows = [
        ("launched", number(launched), ""),
        ("in the summary", number(figures["total_wheels"]), "not censored, and with a value"),
        ("  of these marked", number(figures["marked_wheels"]), "unresolved, at the last close"),
        ("  of these holding shares", number(figures["held_wheels"]), _HELD[rules]),
        ("censored", number(figures["censored_wheels"]), "settle after the data end: left out"),
        ("unresolved", number(unresolved), "left out unless marked"),
        ("  open", number(figures["open_wheels"]), ""),
        ("  no data", number(figures["no_data_wheels"]), ""),
    ]
    if figures["suspected_wheels"]:
        rows.append(
            ("    suspected split", number(figures["suspected_wheels"]), "open across it: no value")
        )
    if figures["carried_wheels"]:
        event = "  of these through events", number(figures["carried_wheels"])
        rows.insert(4, (*event, "splits, renames, special dividends"))
    return _section("Wheels", rows)


def _money(figures: Figures, launched: int) -> str:
    total, marked = figures["total_pnl"], figures["marked_pnl"]
    realised = None if total is None else total - (marked or 0.0)
    rows = [
        ("total P&L", _dollars(total), ""),
        ("  realised", _dollars(realised), ""),
        (
            "  marked",
            _dollars(marked if total is not None else None),
            f"of {number(figures['marked_wheels'])} wheels",
        ),
        (
            "total P&L at worst",
            _dollars(figures["total_pnl_worst"]),
            "if all wheels left out were lost",
        ),
        ("worst wheel", _dollars(figures["max_drawdown_proxy"]), ""),
        ("capital deployed", _dollars(figures["total_capital_deployed"]), "summed over the wheels"),
        ("win rate", _percent(figures["win_rate"]), ""),
        ("ROC average", _percent(figures["avg_wheel_roc"]), ""),
        ("ROC median", _percent(figures["median_wheel_roc"]), ""),
        ("ROC least", _percent(figures["min_wheel_roc"]), ""),
        ("ROC greatest", _percent(figures["max_wheel_roc"]), ""),
        ("ROC standard deviation", _percent(figures["std_wheel_roc"]), ""),
        ("average days held", _decimal(figures["avg_days_held"]), ""),
        ("leg-sessions without a bar", number(figures["sessions_without_bar"]), "of all launched"),
        *_doubtful(figures),
    ]
    summarised = counted(int(figures["total_wheels"] or 0), "wheel")
    population = f"{summarised} in the summary of {number(launched)} launched"
    return _section(f"Figures of {population} (dollars a contract)", rows)


def _doubtful(figures: Figures) -> list[tuple[str, str, str]]:
    """The rows of exits booked above a limit or below a stop, if there are any."""
    labels = {
        "targets_above_limit": "targets above their limit",
        "stops_inside_stop": "stops inside their stop",
    }
    return [
        (label, number(figures[name]), "bought back at the market")
        for name, label in labels.items()
        if figures[name]
    ]


def _exits(records: pl.DataFrame, launched: int) -> str:
    """The numbers of puts and of calls by exit reason."""
    counts = {phase: _counts(_phase(records, phase)["exit_reason"]) for phase in ("csp", "cc")}
    reasons = [name_of(reason) for reason in ExitReason]
    shown = [
        (reason, counts["csp"].get(reason, 0), counts["cc"].get(reason, 0)) for reason in reasons
    ]
    rows = [f"  {'':<27}{'puts':>14}{'calls':>14}"]
    rows += [
        f"  {reason:<27}{number(put):>14}{number(call):>14}"
        for reason, put, call in shown
        if put or call
    ]
    return "\n".join([f"Exits of the legs of all {counted(launched, 'wheel')} launched", *rows])


def _phase(records: pl.DataFrame, phase: str) -> pl.DataFrame:
    return records.filter(records["phase"] == phase)


def _ends(wheels: pl.DataFrame) -> str:
    counts = _counts(wheels["end_reason"])
    names = [name_of(reason) for reason in EndReason]
    title = f"Ends of all {counted(wheels.height, 'wheel')} launched"
    return _section(title, [(name, number(counts[name]), "") for name in names if name in counts])


def _none_launched(result: "Result") -> str:
    if not result.diagnostics.height:  # the warnings say which of the two is missing
        return "No wheel was launched: no underlying with quotes has an entry session."
    return "No wheel was launched. The reasons are counted below."


def _outcomes(diagnostics: pl.DataFrame) -> str:
    counts = _counts(diagnostics["outcome"])
    rows = [
        (name, number(counts[name]), meaning)
        for name, meaning in OUTCOMES.items()
        if name in counts
    ]
    return _section(
        "Entry sessions, one per underlying, by outcome", rows or [("none", "0", "")], 8
    )


def _warnings(warnings: Iterable["RunWarning"]) -> list[str]:
    """The lines of warnings, and an empty one after them; none without warnings."""
    lines = warnings_text(warnings)
    return [*lines, ""] if lines else []


def diagnostics_text(diagnostics: pl.DataFrame) -> str:
    """A market's diagnostics as a table."""
    if not diagnostics.height:
        return "No row was set aside."
    rows = [
        ("table", "underlying", "reason", "count"),
        *diagnostics.select("table", "underlying", "reason", "count").rows(),
    ]
    lines = [
        f"  {table:<18}{cell(name, 13):<14}{reason:<30}"
        f"{count if count == 'count' else number(count):>12}"
        for table, name, reason, count in rows
    ]
    return "\n".join(["Rows set aside, and anomalies", *lines])


def written_text(counts: pl.DataFrame) -> str:
    """The numbers of rows that a write changed in a lake, a line a table."""
    lines = [
        f"  {table}: {number(added)} rows added, {number(replaced)} replaced"
        + (f", {number(removed)} removed" if removed else "")
        for table, added, replaced, removed in counts.iter_rows()
    ]
    return "\n".join(lines)


def _section(title: str, rows: Sequence[tuple[str, str, str]], digits: int = 14) -> str:
    # a value wider than its column uses blanks after the label
    lines = [
        f"  {label}{value:>{max(27 + digits - len(label), len(value) + 1)}}  {note}".rstrip()
        for label, value, note in rows
    ]
    return "\n".join([title, *lines])


def _counts(names: pl.Series) -> dict[str, int]:
    return dict(names.drop_nulls().value_counts().rows())


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def number(value: float | None) -> str:
    """A whole number with commas; "-" for None."""
    return "-" if value is None else f"{int(value):,}"


def _decimal(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:,.2f}"


def _dollars(value: float | None) -> str:
    return _decimal(value)


def _percent(value: float | None) -> str:
    text = _decimal(value)
    return text if text == "-" else f"{text}%"


def cell(text: str, most: int | None = None) -> str:
    """The text on one line: characters that cannot be printed are escaped, a long text is cut."""
    shown = printable(text)
    return shown if most is None or len(shown) <= most else shown[: most - 2] + ".."


def wrapped(text: str, indent: str = "  ") -> str:
    """The text as a paragraph of at most WIDTH columns."""
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent="  ", break_on_hyphens=False
    )
