"""The text that `wheelvec check` prints, of at most 80 columns.

Every section except that of the files is cut to its first lines.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from wheelvec.lake import splits
from wheelvec.market.splits import explaining, row_text
from wheelvec.model.errors import counted
from wheelvec.report.text import cell, number, wrapped

if TYPE_CHECKING:
    from wheelvec.lake.inspection import Inspection

LINES = 20  # lines of a section; `wv.check` returns all rows

# Reasons that are reported in other sections.
_ELSEWHERE = (
    "suspected_split",
    "contradicted_by_prices",
    "adjusted_closes",
    "adjusted_underlying_price",
    "underlying_ended",
)

_FINDINGS = {
    "damaged": "refused",
    "misplaced": "refused",
    "unfinished": "unfinished",
    "passed_over": "passed over",
}


def inspection_text(found: "Inspection") -> str:
    """The findings of a check of a lake, one section each."""
    sections = [
        _held(found.held),
        _underlyings(found.underlyings),
        _entry_times(found.entry_times),
        _gaps(found.gaps),
        _made_closes(found.made_closes),
        _holes(found.holes),
        _vanished(found.vanished),
        _broken(found.broken),
        _suspected(found.splits),
        _contradicted(found.contradicted),
        _adjusted(
            found.adjusted,
            "Closes that differ from the quotes by a factor (adjusted?)",
            "close / underlying_price",
        ),
        _adjusted(
            found.adjusted_prices,
            "Underlying prices of quotes that violate put-call parity by a factor",
            "underlying_price / implied",
        ),
        _ended(found.ended),
        _files(found.files),
    ]
    return "\n\n".join(sections)


def _held(held: pl.DataFrame) -> str:
    rows = [
        (
            table,
            number(names),
            number(files),
            number(rows),
            _size(size),
            f"{_day(first):<10} {_day(last)}",
        )
        for table, names, files, rows, size, first, last in held.iter_rows()
    ]
    heads = ("table", "names", "files", "rows", "size", "first      last")
    return _table("Tables of the lake", heads, rows, (16, -11, -7, -12, -9))


def _underlyings(held: pl.DataFrame) -> str:
    columns = ("underlying", "first", "last", "sessions", "quoted", "closes", "quotes")
    rows = [
        (name, _day(first), _day(last), *map(number, counts))
        for name, first, last, *counts in held.select(columns).iter_rows()
    ]
    title = "Underlyings: exchange sessions, and of these with a valid quote and with a close"
    return _table(title, columns, rows, (14, 12, 12, -9, -8, -8, -12))


def _gaps(gaps: pl.DataFrame) -> str:
    rows = [
        (
            name,
            source or "-",
            number(sessions),
            f"{median:.3%}",
            f"{worst:+.2%}",
            _day(day),
        )
        for name, source, sessions, median, worst, day in gaps.iter_rows()
    ]
    heads = ("underlying", "source", "sessions", "median", "worst", "on")
    title = "Gap of underlying_price to the close of the day"
    return _table(title, heads, rows, (14, 10, -9, -10, -11))


def _made_closes(made: pl.DataFrame) -> str:
    rows = [
        (name, source, number(sessions), f"{_day(first)} to {_day(last)}")
        for name, source, sessions, first, last in made.iter_rows()
    ]
    title = "Closes made of option quotes, on which settlement rests"
    return _table(title, ("underlying", "source", "sessions", "dates"), rows, (14, 10, -9))


def _entry_times(times: pl.DataFrame) -> str:
    rows = [
        (time or "no time", number(sessions), number(quotes))
        for time, sessions, quotes in times.iter_rows()
    ]
    title = "Minutes of the quotes (the exchange's clock), over sessions x underlyings"
    return _table(title, ("minute", "sessions", "quotes"), rows, (14, -12, -14), most=6)


def _holes(holes: pl.DataFrame) -> str:
    longest = pl.col("sessions").arg_max()
    runs = holes.group_by("table", "underlying", maintain_order=True).agg(
        pl.col("sessions").sum(),
        pl.len().alias("runs"),
        pl.col("first").get(longest),
        pl.col("last").get(longest),
    )
    rows = [
        (
            table,
            name,
            number(sessions),
            number(count),
            f"{first} to {last}" if first != last else f"{first}",
        )
        for table, name, sessions, count, first, last in runs.iter_rows()
    ]
    heads = ("lacking", "underlying", "sessions", "runs", "the longest")
    return _table("Holes: sessions within an underlying's span", heads, rows, (16, 14, -10, -8))


def _vanished(gone: pl.DataFrame) -> str:
    """Counts by underlying, and the contracts that were missing longest (not those at the edge)."""
    places = [
        (pl.col("place") == place).sum().alias(place) for place in ("inside", "expiration", "edge")
    ]
    counts = gone.group_by("underlying", maintain_order=True).agg(places)
    rows = [(name, *map(number, numbers)) for name, *numbers in counts.iter_rows()]
    heads = ("underlying", "inside the chain", "whole expiration", "at its edge")
    text = _table("Contracts that vanish before they settle", heads, rows, (14, -18, -18, -18))
    worst = gone.filter(pl.col("place") != "edge").sort(
        "missed", descending=True, maintain_order=True
    )
    if not len(worst):
        return text
    shown = worst.select("symbol", "last_seen", "settlement", "missed", "place").iter_rows()
    examples = [
        (symbol, _day(seen), _day(end), number(missed), place)
        for symbol, seen, end, missed, place in shown
    ]
    columns = ("contract", "last seen", "settles", "missed", "place")
    return text + "\n" + _lines(columns, examples, (23, 12, 12, -7), most=10)


def _broken(broken: pl.DataFrame) -> str:
    counts = broken.filter(~pl.col("reason").is_in(_ELSEWHERE)).sort(
        "count", descending=True, maintain_order=True
    )
    rows = [
        (table, name or "-", reason, number(count))
        for table, name, reason, count in counts.iter_rows()
    ]
    heads = ("table", "underlying", "reason", "count")
    return _table(
        "Rows set aside or unusable, and tables that are missing", heads, rows, (16, 14, 30, -12)
    )


def _suspected(suspected: pl.DataFrame) -> str:
    stated = explaining(suspected)
    rows = []
    for event, row in zip(suspected.iter_rows(named=True), stated.iter_rows(), strict=True):
        gone = f"{number(event['gone'])} of {number(event['contracts'])}"
        ratio = f"{event['numerator']} for {event['denominator']}" if event["numerator"] else "-"
        named = row_text(row[:-1]) if row[2] else "no ratio is named"
        rows.append(
            (
                event["underlying"],
                _day(event["session"]),
                gone,
                ratio,
                "yes" if row[-1] else "no",
                named,
            )
        )
    heads = ("name", "session", "gone", "new for old", "known", "row for splits.csv")
    title = "Suspected splits: contracts replaced overnight"
    text = _table(title, heads, rows, (10, 11, -14, -12, -6))
    return text if not rows else text + "\n" + wrapped(_ADVICE)


_ADVICE = (
    "Runs leave wheels across them unresolved. Add the right row to splits.csv of the lake, or all "
    "of these with --accept-splits; one of 1,1 says that nothing happened."
)


def accepted_text(lake: Path, rows: pl.DataFrame, events: int) -> str:
    """The rows of splits that --accept-splits wrote, and how many events it left out."""
    if not events:
        return "No split is suspected: nothing was written."
    lines = [f"Written to {lake / splits.NAME}: {counted(len(rows), 'row')}"]
    lines += [f"  {row_text(row[:-1])}" for row in rows.iter_rows()]
    if left := events - len(rows):
        text = f"{counted(left, 'event')} without a ratio left out: add a row by hand."
        lines.append(text)
    return "\n".join(lines)


def _contradicted(events: pl.DataFrame) -> str:
    rows = [
        (
            row["underlying"],
            _day(row["ex_date"]),
            f"{row['stated']:.4g}",
            f"{row['seen']:.4g}",
            f"{row['before']:g}",
            f"{row['after']:g}",
        )
        for row in events.iter_rows(named=True)
    ]
    heads = ("underlying", "ex_date", "factor stated", "factor seen", "price before", "after")
    title = "Splits and special dividends that the prices contradict"
    return _table(title, heads, rows, (14, 12, -13, -13, -14, -10))


def _adjusted(adjusted: pl.DataFrame, title: str, ratio: str) -> str:
    rows = [
        (name, _day(first), _day(last), number(sessions), f"{factor:.4g}")
        for name, first, last, sessions, factor in adjusted.iter_rows()
    ]
    heads = ("underlying", "first", "last", "sessions", ratio)
    return _table(title, heads, rows, (14, 12, 12, -9, -28))


def _ended(ended: pl.DataFrame) -> str:
    rows = [(name, _day(last), number(sessions)) for name, last, sessions in ended.iter_rows()]
    heads = ("underlying", "last bar", "sessions after it")
    return _table("Underlyings that ended before the market", heads, rows, (14, 12, -18))


def _files(files: pl.DataFrame) -> str:
    if not len(files):
        return "Files refused, unfinished or passed over: none"
    counts = files.group_by("finding", maintain_order=True).len().rows()
    title = "Files: " + ", ".join(
        f"{number(count)} {finding.replace('_', ' ')}" for finding, count in counts
    )
    lines = [
        wrapped(cell(f"{path}: {_FINDINGS[finding]}: {reason}"))
        for path, finding, reason in files.iter_rows()
    ]
    return "\n".join([title, *lines])


def _table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    most: int = LINES,
) -> str:
    """A section; negative widths align right, and the last columns need no width."""
    return f"{title}: none" if not rows else title + "\n" + _lines(heads, rows, widths, most)


def _lines(
    heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], most: int
) -> str:
    lines = [_line(row, widths) for row in (heads, *rows[:most])]
    return "\n".join(
        [*lines, f"  ... and {number(len(rows) - most)} more"] if len(rows) > most else lines
    )


def _line(row: Iterable[str], widths: Sequence[int]) -> str:
    cells = list(row)
    wide = [*widths, *([0] * (len(cells) - len(widths)))]
    text = ""
    for value, width in zip(cells, wide, strict=True):
        shown = cell(value, abs(width) - 1 if width else None)
        text += (
            shown.rjust(-width)
            if width < 0
            else (("  " if text and not width else "") + shown.ljust(width))
        )
    return ("  " + text).rstrip()


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    unit, name = next(
        (unit, name)
        for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
        if count >= unit or unit == 1e3
    )
    return f"{count / unit:,.1f} {name}"


def _day(day: object) -> str:
    return "-" if day is None else str(day)
