"""`explain`: the story of one wheel, from its candidates to the ledger that sums to its P&L."""

import dataclasses
from functools import cached_property
from typing import Any

import polars as pl

from wheelvec.market.market import Market
from wheelvec.model.errors import InputError
from wheelvec.report import plots
from wheelvec.report.sections import Section, as_html, as_text
from wheelvec.report.story_sections import sections_of
from wheelvec.run.explaining.candidates import Offers
from wheelvec.run.explaining.retracing import RetracedLeg, records_of, retraced
from wheelvec.run.explaining.searching import Search, searches_of
from wheelvec.run.results.result import Result


@dataclasses.dataclass(frozen=True, eq=False)
class Story:
    """How one wheel came about and what became of it; `explain` makes one.

    `str()` has it as text, a notebook shows it as HTML, and `to_dict` has it for other programs.

    Attributes:
        result: of the wheel.
        wheel_id: of the wheel.
        wheel: its row of `Result.wheels`.
        legs: the put and its calls, each with its quote, its levels and its bars.
        searches: for its calls, in order.
        candidates: the puts of the session of its sale; None without a market.
        events: corporate events and dividends of the underlying while the wheel was open.
        ledger: dated cash; that of a resolved wheel sums to its P&L.
        notes: missing or odd data.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> story = wv.explain(result, "ALFA_2024-01-02_0")
        >>> story.legs[0].price, story.legs[0].levels.stop, story.legs[0].levels.target
        (1.77, 3.54, 0.88)
        >>> round(story.ledger["amount"].sum(), 2) == story.wheel["pnl"]
        True
    """

    result: Result = dataclasses.field(repr=False)
    wheel_id: str
    wheel: dict[str, Any] = dataclasses.field(repr=False)
    legs: tuple[RetracedLeg, ...] = dataclasses.field(repr=False)
    searches: tuple[Search, ...] = dataclasses.field(repr=False)
    candidates: pl.DataFrame | None = dataclasses.field(repr=False)
    events: pl.DataFrame = dataclasses.field(repr=False)
    ledger: pl.DataFrame = dataclasses.field(repr=False)
    notes: tuple[str, ...] = ()

    @cached_property
    def sections(self) -> list[Section]:
        """The story in parts: titles, lines and tables.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> story = wv.explain(wv.backtest(market, config), "ALFA_2024-01-02_0")
            >>> [section.title for section in story.sections][1:]
            ['Why it was sold', 'The put, bar by bar', 'Ledger, dollars', 'Notes']
        """
        return sections_of(self)

    def __str__(self) -> str:
        return as_text(self.sections)

    def _repr_html_(self) -> str:
        return as_html(self.sections)

    def to_dict(self) -> dict[str, Any]:
        """The story as dictionaries and lists of plain values; dates are dates.

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> story = wv.explain(wv.backtest(market, config), "ALFA_2024-01-02_0").to_dict()
            >>> story["legs"][0]["quote"]
            {'bid': 1.76, 'ask': 1.81, 'underlying_price': 157.78}
            >>> story["ledger"][0]["entry"]
            'premium'
        """
        return {
            "wheel_id": self.wheel_id,
            "config_id": self.result.config.id,
            "rules": self.result.config.rules,
            "wheel": dict(self.wheel),
            "candidates": _rows(self.candidates),
            "legs": [_leg(leg) for leg in self.legs],
            "searches": [
                {**search.record, "basis": search.basis, "candidates": _rows(search.candidates)}
                for search in self.searches
            ],
            "events": self.events.to_dicts(),
            "ledger": self.ledger.drop("wheel_id").to_dicts(),
            "notes": list(self.notes),
        }

    def chart(self) -> Any:
        """The wheel as an Altair chart: `wv.plots.wheel(result, wheel_id)`.

        Raises:
            InputError: without the extra wheelvec[report].

        Example:
            >>> import wheelvec as wv
            >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
            >>> config = wv.Config(schedule=wv.Schedule(end_date="2024-01-05"))
            >>> story = wv.explain(wv.backtest(market, config), "ALFA_2024-01-02_0")
            >>> story.chart().to_dict()["title"]["text"]
            'ALFA_2024-01-02_0'
        """
        return plots.wheel(self.result, self.wheel_id)


def _rows(frame: pl.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if frame is None else frame.to_dicts()


def _leg(leg: RetracedLeg) -> dict[str, Any]:
    levels = leg.levels
    return {
        "record": {name: value for name, value in leg.record.items() if value is not None},
        "quote": leg.quote,
        "price": leg.price,
        "stop": None if levels.stop != levels.stop else levels.stop,
        "target": levels.target,
        "max_hold_dte": None if levels.hold < 0 else levels.hold,
        "days": leg.days.to_dicts(),
    }


def explain(result: Result, wheel_id: str, *, market: Market | None = None) -> Story:
    """How one wheel came about, bar by bar and cent by cent.

    It says why the put was a candidate and how its price came about, what each session's bar did,
    with which draw each touch of the target was filled or missed, how each leg settled, what each
    search for a call found, which corporate events happened, and which cash it all was.

    A saved result is enough. Only the contracts that were not sold are not in it: with the market
    that it was run on, they are listed with the first test that each fails.

    Args:
        result: of a backtest, saved or not.
        wheel_id: of one of its wheels, as in `Result.wheels`.
        market: that the result was run on; None: without the other contracts.

    Returns:
        A `Story`: `print` it, show it in a notebook, or take its `to_dict()`.

    Raises:
        InputError: if the result has no such wheel, or for an argument of another type.
        LakeError: if the result was saved by an earlier version, which kept less.

    Example:
        >>> import wheelvec as wv
        >>> market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-29")
        >>> result = wv.backtest(market, wv.Config(schedule=wv.Schedule(end_date="2024-01-05")))
        >>> story = wv.explain(result, "ALFA_2024-01-02_0", market=market)
        >>> print(str(story).splitlines()[0])
        ALFA_2024-01-02_0: put_expired, 176.34 dollars
        >>> story.candidates.filter(failed="delta").height
        23
    """
    check_arguments(result, market)
    records = records_of(result, wheel_id)
    legs = retraced(result, records)
    wheel = result.wheels.row(by_predicate=pl.col("wheel_id") == wheel_id, named=True)
    offers = offers_of(result, market)
    put = legs[0].record
    searches = searches_of(result, put, offers)
    candidates = None if offers is None else offers.puts(put["underlying"], put["entry_date"])
    return Story(
        result,
        wheel_id,
        wheel,
        tuple(legs),
        tuple(searches),
        candidates,
        _events_of(result, wheel, legs),
        result.ledger.filter(pl.col("wheel_id") == wheel_id),
        tuple(_notes(result, legs, market)),
    )


def check_arguments(result: Any, market: Any) -> None:
    """Refuse arguments of other types than a Result and a Market or None.

    Raises:
        InputError: naming the argument and its type.
    """
    for name, value, expected in (("result", result, Result), ("market", market, Market)):
        if value is not None and not isinstance(value, expected):
            raise InputError(
                f"{name} is a {type(value).__name__}: expected a wheelvec.{expected.__name__}"
            )
    if result is None:
        raise InputError("result is None: expected a wheelvec.Result")


def offers_of(result: Result, market: Market | None) -> Offers | None:
    """What a market offers to the wheels of a result; None without a market.

    Raises:
        InputError: if the configuration cannot be run on the market, which is not the run's then.
    """
    if market is None:
        return None
    try:
        return Offers(market, result.config)
    except InputError as error:
        raise InputError(" ".join([*other_market(result, market), str(error)])) from error


def other_market(result: Result, market: Market | None) -> list[str]:
    """A note if a market has other data than those that a result was run on."""
    if market is None or market.fingerprint == result.fingerprint:
        return []
    text = (
        f"The market given holds data {market.fingerprint}, the result was run on data "
        f"{result.fingerprint}: the contracts listed may not be those that the run saw."
    )
    return [text]


def _events_of(result: Result, wheel: dict[str, Any], legs: list[RetracedLeg]) -> pl.DataFrame:
    """The events and dividends after the sale of the put, through the end of the wheel."""
    rows = result.events.filter(
        pl.col("underlying") == wheel["underlying"], pl.col("session") > wheel["entry_date"]
    )
    last = wheel["exit_date"] or max(leg.record["expiration"] for leg in legs)
    if wheel["end_reason"] == "corporate_action":  # the wheel ends on the eve of it
        stops = rows.filter(pl.col("kind") == "not_carried", pl.col("session") > last)
        last = stops["session"].min() or last
    return rows.filter(pl.col("session") <= last)


def _notes(result: Result, legs: list[RetracedLeg], market: Market | None) -> list[str]:
    notes = other_market(result, market)
    if market is None:
        notes.append(
            "The other contracts of each session are not part of a result: explain(result, "
            "wheel_id, market=market), or wheelvec explain with --lake, lists them, with the test "
            "that each fails."
        )
    for leg in legs:
        if leg.quote is None:
            notes.append(f"{leg.record['symbol']}: the quote of its sale is not in the result.")
        if not leg.agrees:
            made = result.versions.get("wheelvec", "an unknown version")
            notes.append(
                f"{leg.record['symbol']}: its record, made by wheelvec {made}, ends otherwise than "
                "the rules of this version: the record counts, and the touches shown are these."
            )
    return notes
