"""A small market behind the stand-in: two stocks, a few contracts, a half day, and easily mistaken
cases.
"""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.market.build import symbol
from tests.vendors.standin import MINUTE, SECOND, Feed, Quote, nanos, over_minutes, over_venues
from wheelvec.model.config import CallRules, Config, PutRules
from wheelvec.vendors.databento.fetch import Fetched, fetch

NEW_YORK = ZoneInfo("America/New_York")
DAYS = [dt.date(2023, 7, day) for day in (3, 5, 6, 7, 10)]  # a half day, and a holiday after it
START, END = DAYS[0], DAYS[1]
# wheels that reach no further than the 7th: puts opened to the 5th settle by the 6th, and calls
# sold then by the 7th
CONFIG = Config(put=PutRules(dte_min=0, dte_max=1), call=CallRules(dte_min=0, dte_max=1))
REACHED = DAYS[:4]
STOCKS = {"TSLA": 270.0, "BRK.B": 340.0}


def at(day: dt.date, clock: str) -> int:
    """Nanoseconds of a New York time."""
    return nanos(
        dt.datetime.combine(day, dt.time.fromisoformat(clock), NEW_YORK).astimezone(dt.UTC)
    )


def close_of(day: dt.date) -> str:
    return "13:00" if day == DAYS[0] else "16:00"


def entry_of(day: dt.date) -> int:
    """The minute fifteen minutes before the close."""
    return at(day, close_of(day)) - 15 * MINUTE


def small_feed(
    days: list[dt.date] = DAYS,
    stocks: dict[str, float] = STOCKS,
    expiration: str = "230714",
    **more: Any,
) -> Feed:
    """Per stock and day four contracts, each quoted twice in the entry minute, once a minute
    before, and once after.
    """
    feed = Feed(days, **more)
    for number, day in enumerate(days):
        for stock, level in stocks.items():
            opens, closes, entry = at(day, "09:30"), at(day, close_of(day)), entry_of(day)
            feed.minutes += over_minutes(
                stock,
                opens,
                closes,
                level,
                level + 9,
                level - 9,
                level + number,
                1000,
                (entry, level + 1),
            )
            for i, raw in enumerate(contracts(stock, level, expiration)):
                cents = 3 + i + number / 4
                for k, ts in enumerate(
                    (entry - MINUTE, entry + 5 * SECOND, entry + 50 * SECOND, entry + 70 * SECOND)
                ):
                    feed.quotes.append(Quote(raw, ts + i, cents + k / 20, cents + k / 20 + 0.25))
                feed.option_bars += over_venues(
                    raw, nanos(day), cents, cents + 1, cents - 1, cents + 0.25, 10 + i
                )
    return feed


def contracts(stock: str, level: float, expiration: str = "230714") -> list[str]:
    root = stock.replace(".", "")
    return [symbol(level + step, kind, expiration, root) for step in (-5, 5) for kind in "CP"]


def get(lake: Path, url: str, **changes: Any) -> Fetched:
    """Fetch the small market's wheels."""
    given: dict[str, Any] = {
        "symbols": ["TSLA"],
        "start": START,
        "end": END,
        "config": CONFIG,
        "max_cost": 100.0,
    }
    return fetch(lake=lake, gateway=url, **(given | {"entry_time": "close-15min"} | changes))
