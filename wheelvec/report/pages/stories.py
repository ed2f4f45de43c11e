"""The stories of single wheels on a page: legs, a small drawing, and the bars around each exit."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from wheelvec.report.pages.elements import Story, Table, amount, percent, shown
from wheelvec.report.plots.story import last_day, legs_of, path_of
from wheelvec.run.explaining.retracing import RetracedLeg, records_of, retraced
from wheelvec.run.results.result import Result

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT = 46, 8
UPPER, LOWER = (26, 104), (140, 230)  # pixels from the top, of both panels
SHOWN_BARS = 5  # sessions before each exit
PRICES = ("high", "low", "close", "bid", "ask")


def place_of(wheel_id: str, order: Mapping[str, int]) -> str:
    """The id of a wheel's story on the page; ids of wheels may hold any character."""
    return f"story-{order[wheel_id]}"


def story(result: Result, wheel_id: str, place: str) -> Story:
    """The story of one wheel.

    Args:
        result: the result.
        wheel_id: of the wheel.
        place: its id on the page.
    """
    legs = legs_of(result, wheel_id)
    paths = [path_of(result, leg) for leg in legs.iter_rows(named=True)]
    total = result.wheels.filter(pl.col("wheel_id") == wheel_id).row(0, named=True)
    return Story(
        wheel_id,
        place,
        _sentence(total),
        _legs(legs, place),
        _bars(retraced(result, records_of(result, wheel_id)), place),
        drawing(result, legs, paths, total["underlying"]),
    )


def _sentence(total: Mapping[str, Any]) -> str:
    pnl = total["pnl_marked"]
    parts = [
        "P&L unknown" if pnl is None else f"P&L {amount(pnl)} dollars a contract",
        (
            f"put {amount(total['csp_pnl'])}, calls {amount(total['cc_pnl'])}, "
            f"shares {amount(total['stock_pnl'])}"
        ),
        f"ended {total['exit_date'] or 'never'} ({total['end_reason']})",
    ]
    return "; ".join(parts) + "."


def _legs(legs: pl.DataFrame, place: str) -> Table:
    heads = ["leg", "contract", "sold", "at", "target", "stop", "exit", "why", "bought at", "P&L"]
    rows = [
        [
            leg["leg"],
            " ".join(leg["symbol"].split()),
            shown(leg["entry_date"]),
            amount(leg["sold"]),
            amount(leg["target"]),
            amount(leg["stop"]),
            shown(leg["exit_date"]),
            leg["exit_reason"],
            amount(leg["bought"]),
            amount(leg["pnl"]),
        ]
        for leg in legs.iter_rows(named=True)
    ]
    note = "prices in dollars per share, P&L in dollars per contract"
    return Table(f"{place}-legs", "", heads, rows, note=note, plain=True)


def _bars(legs: Sequence[RetracedLeg], place: str) -> Table:
    heads = ["leg", "session", "what", "high", "low", "close", "bid", "ask", "tested"]
    rows = [row for leg in legs for row in _rows_of(leg)]
    title = "The bars that ended it"
    note = (
        f"of each leg the quote of its sale and the last {SHOWN_BARS} sessions with prices; "
        "dollars per share as sold. A touch of the target fills if its draw u is at most "
        "p_fill."
    )
    return Table(f"{place}-bars", title, heads, rows, note=note, plain=True)


def _rows_of(leg: RetracedLeg) -> Iterator[list[str]]:
    """The rows of one leg: its sale, its last sessions, and its exit if no price is of that day."""
    record, name = leg.record, "put" if leg.record["phase"] == "csp" else "call"
    ended, reason = record["exit_date"], f"exit: {record['exit_reason']}"
    quote = leg.quote or {}
    sold = (amount(quote.get("bid")), amount(quote.get("ask")))
    yield [name, shown(record["entry_date"]), "sale", *("-",) * 3, *sold, "-"]
    priced = leg.days.filter(pl.any_horizontal(pl.col(PRICES).is_not_null()))
    for bar in priced.tail(SHOWN_BARS).iter_rows(named=True):
        touch = _touch(bar, record["p_fill_profit_target"])
        said = [reason] if bar["session"] == ended else []
        what = "; ".join([*said, *([touch] if touch else [])])
        prices = [amount(bar[each]) for each in PRICES]
        yield [name, shown(bar["session"]), what, *prices, bar["source"] or "-"]
    if ended is not None and (not priced.height or priced["session"][-1] < ended):
        yield [name, shown(ended), reason, *("-",) * (len(PRICES) + 1)]


def _touch(bar: Mapping[str, Any], chance: float | None) -> str:
    """A touch of the target with its draw, as `explain` numbers them; empty where there is none."""
    if bar["touch"] is None:
        return ""
    if bar["u"] is None or chance is None:
        return f"touch {bar['touch']}"
    return f"touch {bar['touch']}, u {bar['u']:.4f}, p_fill {chance:.4g}"


def drawing(
    result: Result, legs: pl.DataFrame, paths: Sequence[pl.DataFrame], name: str
) -> dict[str, Any]:
    """The drawing of a wheel as the template needs it: texts, paths and dots, in pixels.

    Above the closes of the underlying with the strikes, below the price of each leg (close, else
    mid) with the prices of stop and target; a filled dot is a price that was tested.
    """
    first, last = legs["entry_date"].min(), last_day(result, legs)
    closes = result.underlying.filter(
        (pl.col("underlying") == name) & pl.col("session").is_between(first, last)
    ).drop_nulls("close")
    across = _Scale.of([first, last], LEFT + 6, WIDTH - RIGHT - 6)
    strikes = legs["strike"].to_list()
    upper = _Scale.of([*closes["close"], *strikes], UPPER[1], UPPER[0])
    prices = [0.0, *legs["sold"], *legs["stop"].drop_nulls()]
    for path in paths:
        prices += [*path["price"].drop_nulls(), *path["high"].drop_nulls()]
    lower = _Scale.of(prices, LOWER[1], LOWER[0])
    found: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "texts": [], "lines": [], "dots": []}
    _frame(found, across, upper, f"{name}, dollars", UPPER)
    _frame(found, across, lower, "option, dollars a share", LOWER)
    points = [
        (across(day), upper(close)) for day, close in closes.select("session", "close").rows()
    ]
    found["lines"].append({"kind": "close", "d": _line(points)})
    for leg, path in zip(legs.iter_rows(named=True), paths, strict=True):
        _leg(found, leg, path, (across, upper, lower))
    for at, anchor in ((first, "start"), (last, "end")):
        found["texts"].append(
            {"x": _px(across(at)), "y": HEIGHT - 4, "text": shown(at), "anchor": anchor, "kind": ""}
        )
    _key(found, legs)
    return found


def _key(found: dict[str, Any], legs: pl.DataFrame) -> None:
    """The names of the coloured lines, in a row over each panel, to the right."""
    kinds = [("put", "put strike")]
    kinds += [("call", "call strike")] if "call" in legs["leg"] else []
    lines = [(name, name) for name in ("target", "stop") if legs[name].count()]
    for entries, y in ((kinds, UPPER[0] - 13), (lines, LOWER[0] - 13)):
        x = WIDTH - RIGHT
        for kind, text in reversed(entries):
            found["texts"].append({"x": x, "y": y, "text": text, "anchor": "end", "kind": kind})
            x -= 10 + 6 * len(text)


def _leg(
    found: dict[str, Any], leg: Mapping[str, Any], path: pl.DataFrame, scales: tuple["_Scale", ...]
) -> None:
    across, upper, lower = scales
    begin, end = across(leg["entry_date"]), across(leg["until"])
    level = upper(leg["strike"])
    found["lines"].append({"kind": leg["leg"], "d": _line([(begin, level), (end, level)])})
    for kind in ("target", "stop"):
        if leg[kind] is not None:
            level = lower(leg[kind])
            found["lines"].append({"kind": kind, "d": _line([(begin, level), (end, level)])})
    priced = path.drop_nulls("price")
    for bar in path.drop_nulls(["high", "low"]).iter_rows(named=True):
        x = across(bar["session"])
        found["lines"].append(
            {"kind": "bar", "d": _line([(x, lower(bar["low"])), (x, lower(bar["high"]))])}
        )
    points = [
        (across(day), lower(price)) for day, price in priced.select("session", "price").rows()
    ]
    found["lines"].append({"kind": "price", "d": _line(points)})
    for bar in priced.iter_rows(named=True):
        title = f"{bar['session']}: {amount(bar['price'])} ({bar['source'] or 'not tested'})"
        kind = "tested" if bar["source"] else "untested"
        found["dots"].append(_dot(across(bar["session"]), lower(bar["price"]), 2, kind, title))
    found["dots"].append(
        _dot(begin, lower(leg["sold"]), 5, "sale", f"sold at {amount(leg['sold'])}")
    )
    if leg["exit_date"] is not None and leg["bought"] is not None:
        settled = leg["exit_reason"] in ("assigned", "called_away") and priced.height > 0
        at = priced["price"][-1] if settled else leg["bought"]
        found["dots"].append(_dot(end, lower(at), 5, "exit", f"exit: {leg['exit_reason']}"))


def _frame(
    found: dict[str, Any], across: "_Scale", scale: "_Scale", title: str, rows: tuple[int, int]
) -> None:
    """Title, and three levels with their values."""
    found["texts"].append({"x": 2, "y": rows[0] - 13, "text": title, "anchor": "start", "kind": ""})
    for part in (0.0, 0.5, 1.0):
        value = scale.low + part * (scale.high - scale.low)
        y = scale(value)
        found["lines"].append({"kind": "axis", "d": _line([(LEFT, y), (WIDTH - RIGHT, y)])})
        found["texts"].append(
            {
                "x": LEFT - 4,
                "y": _px(y + 4),
                "text": amount(value, 2 if scale.high < 100 else 0),
                "anchor": "end",
                "kind": "",
            }
        )


class _Scale:
    """Values to pixels."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.high, self._begin, self._end = low, high, begin, end

    @classmethod
    def of(cls, values: Sequence[Any], begin: float, end: float) -> "_Scale":
        numbers = [_number(value) for value in values]
        low, high = min(numbers), max(numbers)
        return cls(low, high if high > low else low + 1.0, begin, end)

    def __call__(self, value: Any) -> float:
        share = (_number(value) - self.low) / (self.high - self.low)
        return self._begin + share * (self._end - self._begin)


def _number(value: Any) -> float:
    return float(value.toordinal()) if isinstance(value, dt.date) else float(value)


def _dot(x: float, y: float, r: int, kind: str, title: str) -> dict[str, Any]:
    return {"x": _px(x), "y": _px(y), "r": r, "kind": kind, "title": title}


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'L' if i else 'M'}{_px(x)} {_px(y)}" for i, (x, y) in enumerate(points))


BRIEF = [
    *("wheel", "P&L", "ROC", "entered", "exited", "put ended", "wheel ended"),
    *("strike", "calls", "underlying"),
]


def brief(wheel: Mapping[str, Any]) -> list[str]:
    """The cells of a wheel in tables of wheels, after its id; what a phone shows first."""
    return [
        amount(wheel["pnl_marked"]),
        percent(wheel["roc"]),
        shown(wheel["entry_date"]),
        shown(wheel["exit_date"]),
        wheel["csp_exit_reason"] or "-",
        wheel["end_reason"] or "-",
        shown(wheel["strike"]),
        shown(wheel["n_calls"]),
        wheel["underlying"],
    ]
