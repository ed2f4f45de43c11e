"""Requests to Databento, by the table that they fill.

    option_quotes       OPRA.PILLAR   cmbp-1 or cbbo-1m, by parent   entry minute of a session
    option_bars         OPRA.PILLAR   ohlcv-1d, by parent            sessions, by venue and UTC date
    underlying_minutes  EQUS.MINI     ohlcv-1m                       session from open to close
                        XNAS.ITCH     ohlcv-1m                       the same, before EQUS.MINI
    underlying_bars     EQUS.SUMMARY  ohlcv-1d                       sessions, from 2024-07-01 on

Each request is for one underlying, so that it does not depend on the other underlyings of a fetch.
"""

import datetime as dt
import re
from dataclasses import dataclass
from itertools import groupby
from typing import Self

from wheelvec.model import cash_settled, osi
from wheelvec.model.errors import InputError

OPTIONS, SUMMARY = "OPRA.PILLAR", "EQUS.SUMMARY"
MINUTES = ("EQUS.MINI", "XNAS.ITCH")  # in the order of preference: the consolidated one first
QUOTE_SCHEMAS = ("cmbp-1", "cbbo-1m")

MINUTE, SECOND, DAY = dt.timedelta(minutes=1), dt.timedelta(seconds=1), dt.timedelta(days=1)

_SYMBOL = re.compile(r"[A-Z][A-Z0-9]*([./][A-Z0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request for rows of a table of one underlying.

    Attributes:
        underlying: the underlying of the rows.
        table: the table that they fill.
        dataset, schema: Databento's names.
        stype: the type of `name`: "parent" or "raw_symbol".
        name: the symbol that is requested.
        start, end: the requested time, UTC; the end is excluded.
        sessions: the sessions in that time.
        again: whether the rows replace those that the lake has of the sessions.
    """

    underlying: str
    table: str
    dataset: str
    schema: str
    stype: str
    name: str
    start: dt.datetime
    end: dt.datetime
    sessions: tuple[dt.date, ...]
    again: bool = False

    @classmethod
    def quotes(
        cls, underlying: str, schema: str, session: dt.date, minute: dt.datetime, look_back: int
    ) -> Self:
        """The request for the chain of an entry minute, and of `look_back` minutes before it.

        Rows of cbbo-1m are stamped with the END of their minute, so they are requested one minute
        later; one second is added because the end is excluded.
        """
        later = MINUTE if schema == "cbbo-1m" else dt.timedelta(0)
        end = minute + later + (SECOND if later else MINUTE)
        start = minute + later - look_back * MINUTE
        return cls(
            underlying=underlying,
            table="option_quotes",
            dataset=OPTIONS,
            schema=schema,
            stype="parent",
            name=parent(underlying),
            start=start,
            end=end,
            sessions=(session,),
        )

    @classmethod
    def minutes(
        cls,
        underlying: str,
        dataset: str,
        session: dt.date,
        opens: dt.datetime,
        closes: dt.datetime,
    ) -> Self:
        """The request for the underlying's minutes of a regular session."""
        return cls(
            underlying=underlying,
            table="underlying_minutes",
            dataset=dataset,
            schema="ohlcv-1m",
            stype="raw_symbol",
            name=underlying,
            start=opens,
            end=closes,
            sessions=(session,),
        )

    @classmethod
    def daily(cls, underlying: str, table: str, sessions: tuple[dt.date, ...]) -> Self:
        """The request for daily bars of the contracts, or of the underlying, by UTC date."""
        options = table == "option_bars"
        return cls(
            underlying=underlying,
            table=table,
            dataset=OPTIONS if options else SUMMARY,
            schema="ohlcv-1d",
            stype="parent" if options else "raw_symbol",
            name=parent(underlying) if options else underlying,
            start=midnight(sessions[0]),
            end=midnight(sessions[-1]) + DAY,
            sessions=sessions,
        )

    def __str__(self) -> str:
        first, last = self.sessions[0], self.sessions[-1]
        return f"{self.schema} of {self.name} from {self.dataset}, {first}" + (
            f" to {last}" if last > first else ""
        )


def entry_of(schema: str, start: dt.datetime, end: dt.datetime) -> tuple[dt.datetime, int]:
    """The entry minute and the look-back in minutes, from the span of a request for its quotes."""
    if schema == "cbbo-1m":
        return end - SECOND - MINUTE, (end - SECOND - start) // MINUTE
    return end - MINUTE, (end - MINUTE - start) // MINUTE


def midnight(day: dt.date) -> dt.datetime:
    """The start of a UTC date."""
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def parent(underlying: str) -> str:
    """Databento's parent symbol of all contracts of a stock."""
    return f"{osi.root_of(underlying)}.OPT"


def checked_symbols(symbols: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Symbols of stocks, in capitals, each once.

    Raises:
        InputError: for no symbols, for one that is not of a stock or fund, and for indices, whose
            options settle in cash.
    """
    named = [symbols] if isinstance(symbols, str) else list(symbols)
    found = tuple(dict.fromkeys(str(symbol).strip().upper() for symbol in named))
    if not found:
        raise InputError("symbols is empty: name the underlyings, such as TSLA or BRK.B")
    for symbol in found:
        if not _SYMBOL.fullmatch(symbol):
            raise InputError(
                f"symbol {symbol!r} is none of a stock or fund: expected one such as TSLA or BRK.B"
            )
        if osi.root_of(symbol) in cash_settled.ROOTS:
            raise InputError(
                f"symbol {symbol!r} is an index, whose options settle in cash: "
                "the wheel needs shares"
            )
        if symbol[-1].isdigit():
            raise InputError(
                f"symbol {symbol!r} ends in a digit, as roots of adjusted contracts do: "
                "they are not modelled"
            )
    return found


def runs(
    sessions: list[dt.date], lacking: set[dt.date], recent: dt.date
) -> list[tuple[dt.date, ...]]:
    """Runs of consecutive lacking sessions within one month, one request each.

    Each session from `recent` on is a run, because a licence may exclude the newest ones.
    """
    numbered = [
        (day in lacking, day.year, day.month, day if day >= recent else None) for day in sessions
    ]
    grouped = groupby(zip(numbered, sessions, strict=True), key=lambda pair: pair[0])
    return [tuple(session for _, session in group) for (wanted, *_), group in grouped if wanted]
