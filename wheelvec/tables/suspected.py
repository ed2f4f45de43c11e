"""Corporate events that the data show: suspected splits, and stated ones that they contradict.

A split, a spin-off or a new root replaces the listed contracts overnight (data.md). A crash leaves
its strikes standing, and the contracts of a hole in the data come back.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from wheelvec.kernels.listing import Listed, count_again
from wheelvec.model import schemas
from wheelvec.tables.runs import begins_of
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import Listing, Rows, Survey, hashes_of

# A split is suspected (data.md) if, of the contracts at least so many calendar days before their
# expiration, so large a share is never quoted again, and, of the contracts quoted next in the same
# expirations, so large a share was never quoted before.
LEAST_DAYS, REPLACED = 5, 0.6
NIGHTS = ("underlying", "session", "symbol", "expiration")  # columns of quotes
Ratio = tuple[int, int]  # new shares for so many old ones
# The ratios of splits, and the numbers of those that are usual. Nobody makes 4 shares of 5: a price
# that rises so has risen.
RATIOS = (
    *((n, 1) for n in range(2, 51)),
    *((1, n) for n in range(2, 51)),
    *((5, 4), (4, 3), (3, 2)),
)
_ROUND = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50))
# How far a price may move overnight beside a split: in log price, and as a share of the log ratio,
# so that an ordinary fall of the price is not taken for a split of 5 for 4.
_OVERNIGHT, _OF_RATIO = math.log(1.12), 0.25
# The share of new strikes that are old ones divided by a ratio, from which the strikes decide it;
# the price may then have moved more (TSLA rose by 12.6% with its split of 5 for 1).
_STRIKES, _FURTHER = 0.5, math.log(1.4)
# A stated factor is contradicted from 12% to 25%, the latter for large ones and for 1 for 1.
_OFF_LEAST, _OFF_MOST, _OFF_SHARE = math.log(1.12), math.log(1.25), 0.6
# The closes around an ex-date are compared if at most so many sessions lie between them.
_NEAR_SESSIONS = 5

SUSPECTED = pl.Schema(
    {
        "underlying": pl.String,
        "session": pl.Date,
        "last": pl.Date,
        "following": pl.Date,
        "contracts": pl.Int64,
        "gone": pl.Int64,
        "numerator": pl.Int64,
        "denominator": pl.Int64,
    }
)
CONTRADICTED = pl.Schema(
    {
        "underlying": pl.String,
        "ex_date": pl.Date,
        "numerator": pl.Int64,
        "denominator": pl.Int64,
        "amount": pl.Float64,
        "before": pl.Float64,
        "after": pl.Float64,
        "stated": pl.Float64,
        "seen": pl.Float64,
    }
)
PRICES = pl.Schema(
    {"underlying": pl.String, "session": pl.Date, "spot": pl.Float64, "close": pl.Float64}
)


class Events(NamedTuple):
    """The corporate events that the tables of a market state.

    Attributes:
        splits: `schemas.SPLITS`.
        special: `schemas.DIVIDENDS`, the special ones alone.
    """

    splits: pl.DataFrame
    special: pl.DataFrame

    @classmethod
    def of(cls, splits: pl.DataFrame | None, dividends: pl.DataFrame | None) -> Self:
        """The events of a market's tables."""
        none = cls.none()
        special = none.special if dividends is None else dividends.filter("special")
        return cls(none.splits if splits is None else splits, special)

    @classmethod
    def none(cls) -> Self:
        """No event."""
        return cls(pl.DataFrame(schema=schemas.SPLITS), pl.DataFrame(schema=schemas.DIVIDENDS))


def suspected(
    listing: Listing,
    prices: Callable[[pl.DataFrame], pl.DataFrame],
    sessions: Sessions,
    stated: Events,
) -> pl.DataFrame:
    """The suspected splits, spin-offs and new roots that no stated event explains: `SUSPECTED`.

    `last` is the last session with quotes before the event, `following` the next with quotes, and
    `session`, the day of the event, the exchange session after `last`. `gone` of the `contracts`
    listed at `last`, with days to live, are never quoted again. If the prices before and after
    match a ratio, it is `numerator` new shares for `denominator` old ones; else these are null.

    Args:
        listing: the listed contracts.
        prices: returns the prices (underlying, session, `spot` by the quotes and `close`) of
            some (underlying, session).
        sessions: the sessions of the exchange.
        stated: the splits, and the special dividends: one with its ex_date after `last`, and up to
            the next session with quotes, explains an event.
    """
    events = _unexplained(replaced(listing), stated)
    if events.is_empty():
        return SUSPECTED.to_frame()
    by = ("underlying", "session")
    days = pl.concat([events.select(by[0], session=day) for day in ("last", "following")]).unique()
    known = {row[:2]: row[2:] for row in prices(days).select(*PRICES).iter_rows()}
    ratios = []
    for name, last, following in events.select("underlying", "last", "following").iter_rows():
        before, after = (known.get((name, day), (None, None)) for day in (last, following))
        strikes = listing.strikes_around(name, last, following)
        pairs = zip(before, after, strict=True)
        ratios.append(next((r for pair in pairs if (r := named_ratio(*pair, strikes))), None))
    number = sessions.number_of(events["last"].to_numpy()) + 1  # there is a later one, with quotes
    return events.with_columns(
        session=sessions.frame["session"].gather(number),
        numerator=pl.Series([ratio and ratio[0] for ratio in ratios], dtype=pl.Int64),
        denominator=pl.Series([ratio and ratio[1] for ratio in ratios], dtype=pl.Int64),
    ).select(*SUSPECTED)


def any_night(batches: Iterable[pl.DataFrame], sessions: Sessions) -> bool:
    """Whether contracts may have been replaced on any night, from one pass over their quotes.

    They were not if on every night more than 1 - `REPLACED` of the contracts with days to live are
    quoted on the next session. So it is of nearly every underlying, and asking takes a quarter of
    what a `Listing` does.

    Args:
        batches: quotes with the columns `NIGHTS`, by underlying, session and symbol.
        sessions: the sessions of the exchange; other days do not count.
    """
    known, last = sessions.dates, None
    for rows in batches:
        begins = begins_of(rows, ("session",))
        inside = np.isin(rows["session"][begins].to_numpy(), known)
        if not inside.all():
            rows = rows.filter(np.repeat(inside, np.diff(begins, append=len(rows))))
            begins = begins_of(rows, ("session",))
        if not begins.size:
            continue
        if last is not None:  # joined apart: to copy the whole batch takes longer than to count it
            near = pl.concat([last, rows[: begins[1] if begins.size > 1 else None]])
            if _any_of(near, np.array([0, len(last)])):
                return True
        if _any_of(rows, begins):
            return True
        last = rows[int(begins[-1]) :]
    return False


def _any_of(quotes: pl.DataFrame, begins: Rows) -> bool:
    """Whether contracts may have been replaced on a night between two sessions of some quotes.

    Args:
        quotes: as in `any_night`, without other days.
        begins: (sessions,) the first row of each session.
    """
    ends = np.append(begins, len(quotes))
    listed, again = np.zeros((2, begins.size), np.int64)
    columns: list[Any] = [hashes_of(quotes).view(np.int64)]
    columns += [quotes[day].cast(pl.Int32).to_numpy() for day in ("session", "expiration")]
    for values in columns:  # Polars returns views and copies; Numba compiles once for one of both
        values.flags.writeable = False
    rows = Listed(*columns)
    table = np.full(2 << int(np.diff(ends).max()).bit_length(), -1, np.int64)
    count_again(rows, ends, LEAST_DAYS, table, listed, again)
    named = quotes["underlying"][begins]
    night = (named[:-1] == named[1:]).to_numpy()
    found = (listed > 0) & (listed - again >= REPLACED * listed)
    return bool((found[:-1] & night).any())


def replaced(listing: Listing) -> pl.DataFrame:
    """The nights in which the contracts were replaced.

    Returns:
        underlying, last and following session with quotes, contracts and gone, sorted.
    """
    listed = listing.listed
    pairs = listed.select("underlying", last="session").unique().sort("underlying", "last")
    pairs = pairs.with_columns(following=pl.col("last").shift(-1).over("underlying")).drop_nulls()
    alive = listed.rename({"session": "last"}).join(pairs, on=("underlying", "last"))
    alive = alive.filter(pl.col("expiration") - pl.col("last") >= pl.duration(days=LEAST_DAYS))
    by = ("underlying", "expiration")
    gone, new = (
        listing.contracts.group_by(*by, day).agg(pl.len().cast(pl.Int64).alias(count))
        for day, count in (("last", "gone"), ("first", "new"))
    )
    after = listed.select(*by, following="session", quoted="contracts")
    counts = (
        alive.join(gone, on=(*by, "last"), how="left")
        .join(after, on=(*by, "following"), how="left")
        .join(new.rename({"first": "following"}), on=(*by, "following"), how="left")
        .group_by("underlying", "last", "following")
        .agg(pl.col("contracts", "gone", "quoted", "new").sum())
    )
    found = (pl.col("gone") >= REPLACED * pl.col("contracts")) & (
        pl.col("new") >= REPLACED * pl.col("quoted")
    )
    events = counts.filter(found & (pl.col("quoted") > 0)).sort("underlying", "last")
    return events.select("underlying", "last", "following", "contracts", "gone")


def _unexplained(events: pl.DataFrame, stated: Events) -> pl.DataFrame:
    """The events without a stated one after `last` and up to `following`."""
    days = pl.concat([table.select("underlying", "ex_date") for table in stated])
    between = events.join(days, on="underlying").filter(
        pl.col("ex_date") > pl.col("last"), pl.col("ex_date") <= pl.col("following")
    )
    return events.join(between, on=("underlying", "last"), how="anti", maintain_order="left")


def named_ratio(
    before: float | None,
    after: float | None,
    strikes: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset()),
) -> Ratio | None:
    """(new shares, old shares) of the split that explains two prices in dollars, or None.

    It is the ratio by which most of the new strikes are old ones divided, if the prices allow it;
    without such strikes a usual one, and the nearest: 100 and 34 are 3 for 1. None if an ordinary
    overnight move explains the prices too.

    Args:
        before: the price before.
        after: the price after.
        strikes: the strikes before and after, in thousandths of a dollar.
    """
    if not before or not after or before <= 0 or after <= 0:
        return None
    moved = math.log(before / after)
    logs = {ratio: math.log(ratio[0] / ratio[1]) for ratio in RATIOS}
    away = {ratio: abs(moved - log) for ratio, log in logs.items()}
    nearest = sorted(RATIOS, key=lambda ratio: away[ratio])
    shares = {r: _explained(*strikes, r) for r in nearest if away[r] <= _FURTHER}
    if shares and (best := max(shares.values())) >= _STRIKES:
        return next(ratio for ratio, share in shares.items() if share == best)
    near = [r for r in nearest if away[r] <= min(_OVERNIGHT, _OF_RATIO * abs(logs[r]))]
    return next((r for r in near if _ROUND.issuperset(r)), near[0] if near else None)


def _explained(old: frozenset[int], new: frozenset[int], ratio: Ratio) -> float:
    """The share of new strikes that are old ones divided by a ratio, in whole cents, half up."""
    numerator, denominator = ratio
    made = {10 * ((strike * denominator + 5 * numerator) // (10 * numerator)) for strike in old}
    return len(new & made) / len(new) if new else 0.0


def contradicted(survey: Survey, sessions: Sessions, stated: Events) -> pl.DataFrame:
    """Return the stated events that the prices of the day contradict: `CONTRADICTED`.

    `stated` is the factor by which the price should fall, of a split and of special dividends
    (`amount`, their sum), `seen` the one between the closes (or the quotes' prices) `before` and
    `after`. Events without both prices within a week are left out, and renames.
    """
    keys = ["underlying", "ex_date"]
    paid = stated.special.group_by(keys).agg(pl.col("amount").sum())
    events = stated.splits.filter(pl.col("new_underlying").is_null()).drop("new_underlying")
    events = events.join(paid, on=keys, how="full", coalesce=True).sort(keys)
    prices = survey.chain.select("underlying", "session", "spot").join(
        survey.closes, on=("underlying", "session"), how="full", coalesce=True
    )
    found = []
    for price in ("close", "spot"):
        known = prices.select("underlying", "session", price=price).drop_nulls()
        found.append(_around(events, known.sort("underlying", "session"), sessions))
    both = found[0].with_columns(
        pl.coalesce(name, found[1][name]).alias(name) for name in ("before", "after")
    )
    new, old = (pl.col(name).fill_null(1) for name in ("numerator", "denominator"))
    ought = pl.col("before") * old / new - pl.col("amount").fill_null(0.0)
    both = both.filter(pl.col("before") > 0, pl.col("after") > 0).with_columns(
        stated=pl.when(ought > 0).then(pl.col("before") / ought).otherwise(math.inf),
        seen=pl.col("before") / pl.col("after"),
    )
    log = pl.col("stated").log()
    most = (log.abs() * _OFF_SHARE).clip(_OFF_LEAST, _OFF_MOST)
    most = pl.when(log == 0).then(_OFF_MOST).otherwise(most)
    return both.filter((log - pl.col("seen").log()).abs() > most).select(*CONTRADICTED)


def _around(events: pl.DataFrame, prices: pl.DataFrame, sessions: Sessions) -> pl.DataFrame:
    """Add the prices `before` and `after` to events; both null if they are too far apart."""
    out = []
    for name, day in events.select("underlying", "ex_date").iter_rows():
        mine = prices.filter(pl.col("underlying") == name)
        at = mine["session"].search_sorted(day, "left")
        row = mine.slice(at - 1, 2) if 0 < at < len(mine) else mine.clear()
        number = sessions.number_of(row["session"].to_numpy())
        near = len(row) == 2 and number.min() >= 0 and number[1] - number[0] <= _NEAR_SESSIONS
        out.append(tuple(row["price"]) if near else (None, None))
    columns = pl.DataFrame(out, schema={"before": pl.Float64, "after": pl.Float64}, orient="row")
    return events.hstack(columns)
