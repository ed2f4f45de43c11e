"""Anomalies that show only across rows and tables.

These are holes, vanished contracts, suspected splits, adjusted prices, and bars that end early.
Each is a frame with sessions and factors, which `wheelvec check` prints and `Result.warnings`
reports; `market.diagnostics` counts some of them. No single row is at fault.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
import polars as pl

from wheelvec.model import osi
from wheelvec.tables import validation
from wheelvec.tables.sessions import Sessions
from wheelvec.tables.survey import CHAIN, Survey
from wheelvec.tables.suspected import CONTRADICTED, SUSPECTED, Events, contradicted, suspected

# The reasons that `market.diagnostics` counts for a whole market; they make no row broken.
REASONS = (
    "adjusted_closes",
    "adjusted_underlying_price",
    "contradicted_by_prices",
    "no_option_bars",
    "no_underlying_bars",
    "suspected_split",
    "underlying_ended",
)

# The close and the price minutes before it seldom differ by more, and not to one side for weeks.
_OFF = math.log(1.01)
_OFF_PARITY = math.log(1.03)  # parity as in `survey`, which leaves out interest and dividends
_PERSISTENT_SESSIONS, _PERSISTENT_SHARE, _FEWEST_SESSIONS = 21, 0.9, 10
_LEVEL_SESSIONS, _NEW_FACTOR = 5, math.log(1.2)

HOLES = pl.Schema(
    {
        "table": pl.String,
        "underlying": pl.String,
        "first": pl.Date,
        "last": pl.Date,
        "sessions": pl.Int64,
    }
)
VANISHED = pl.Schema(
    {
        "underlying": pl.String,
        "symbol": pl.String,
        "last_seen": pl.Date,
        "settlement": pl.Date,
        "missed": pl.Int64,
        "place": pl.String,
    }
)
ADJUSTED = pl.Schema(
    {
        "underlying": pl.String,
        "first": pl.Date,
        "last": pl.Date,
        "sessions": pl.Int64,
        "factor": pl.Float64,
    }
)
ENDED = pl.Schema({"underlying": pl.String, "last": pl.Date, "sessions": pl.Int64})


class Findings(NamedTuple):
    """The anomalies of some underlyings, and the sessions of their quotes.

    The findings of an underlying do not depend on the other underlyings.

    Attributes:
        chain: `survey.CHAIN`, one row per underlying and session with quotes.
        splits: `SUSPECTED`, the suspected splits.
        contradicted: `CONTRADICTED`, stated events that prices contradict.
        adjusted, adjusted_prices: `ADJUSTED`, runs of sessions on which closes, and
            underlying_prices, differ from the quotes by a factor.
        ended: `ENDED`, underlyings whose bars end before the market's last session.
        holes: `HOLES`, runs of sessions that a table lacks.
        missing_bars: `validation.TALLY`, quotes of underlyings without bars of a table.
    """

    chain: pl.DataFrame
    splits: pl.DataFrame
    contradicted: pl.DataFrame
    adjusted: pl.DataFrame
    adjusted_prices: pl.DataFrame
    ended: pl.DataFrame
    holes: pl.DataFrame
    missing_bars: pl.DataFrame

    @classmethod
    def of(
        cls,
        survey: Survey,
        sessions: Sessions,
        stated: Events,
        unknown: pl.DataFrame | None = None,
        splits: pl.DataFrame | None = None,
    ) -> Self:
        """The findings of a survey.

        Args:
            survey: the summaries.
            sessions: the sessions of the exchange.
            stated: the splits and special dividends.
            unknown: the days of damaged files, see `holes`.
            splits: the suspected splits, if they are known already.
        """
        if splits is None:
            splits = suspected(survey.listing, survey.prices, sessions, stated)
        return cls(
            survey.chain,
            splits,
            contradicted(survey, sessions, stated),
            adjusted_closes(survey),
            adjusted_prices(survey),
            ended(survey, sessions),
            holes(survey.days, sessions, unknown),
            without_bars(survey),
        )

    @classmethod
    def joined(cls, findings: Iterable[Self]) -> Self:
        """The findings of several underlyings as one."""
        empty = cls(*(schema.to_frame() for schema in SCHEMAS.values()))
        return cls(*(pl.concat(frames) for frames in zip(empty, *findings, strict=True)))

    def only(self, underlyings: Iterable[str]) -> Self:
        """The findings of these underlyings."""
        wanted = pl.col("underlying").is_in(pl.Series(list(underlyings), dtype=pl.String).implode())
        return type(self)(*(frame.filter(wanted) for frame in self))

    def counted(self) -> pl.DataFrame:
        """Counts of the findings as `validation.TALLY`.

        Sessions of `underlying_ended` and of adjusted prices, suspected splits, quotes without
        bars.
        """
        counts = [
            ("underlying_bars", "underlying_ended", self.ended.rename({"sessions": "count"})),
            ("option_quotes", "suspected_split", _rows_of(self.splits)),
            ("splits", "contradicted_by_prices", _rows_of(self.contradicted)),
            ("underlying_bars", "adjusted_closes", _sessions_of(self.adjusted)),
            ("option_quotes", "adjusted_underlying_price", _sessions_of(self.adjusted_prices)),
        ]
        return pl.concat(
            [self.missing_bars, *(_reason(found, table, reason) for table, reason, found in counts)]
        )


# The frames of `Findings`, in order.
SCHEMAS: dict[str, pl.Schema] = {
    "chain": CHAIN,
    "splits": SUSPECTED,
    "contradicted": CONTRADICTED,
    "adjusted": ADJUSTED,
    "adjusted_prices": ADJUSTED,
    "ended": ENDED,
    "holes": HOLES,
    "missing_bars": validation.TALLY,
}


# ---- findings that market.diagnostics counts


def without_bars(survey: Survey) -> pl.DataFrame:
    """Counts of quotes of underlyings that have no rows in a table of bars, `validation.TALLY`."""
    quotes = survey.chain.group_by("underlying", maintain_order=True).agg(pl.col("count").sum())
    found = []
    for name, reason in (
        ("underlying_bars", "no_underlying_bars"),
        ("option_bars", "no_option_bars"),
    ):
        barred = survey.days.filter(pl.col("table") == name).select("underlying").unique()
        found.append(_reason(quotes.join(barred, on="underlying", how="anti"), name, reason))
    return pl.concat(found)


def _rows_of(found: pl.DataFrame) -> pl.DataFrame:
    return found.group_by("underlying").agg(count=pl.len())


def _sessions_of(runs: pl.DataFrame) -> pl.DataFrame:
    return runs.group_by("underlying", maintain_order=True).agg(count=pl.col("sessions").sum())


def ended(survey: Survey, sessions: Sessions) -> pl.DataFrame:
    """Underlyings whose bars end before the market's, and how many sessions follow: `ENDED`.

    They were delisted, renamed, or not supplied.
    """
    last = survey.closes.group_by("underlying", maintain_order=True).agg(
        last=pl.col("session").max()
    )
    after = (
        len(sessions.dates)
        - 1
        - sessions.number_on_or_before(last["last"].clip(upper_bound=sessions.last))
    )
    return (
        last.with_columns(sessions=pl.Series(after, dtype=pl.Int64))
        .filter(pl.col("sessions") > 0)
        .select(*ENDED)
    )


def adjusted_closes(survey: Survey) -> pl.DataFrame:
    """Runs of sessions on which close / underlying_price stays away from 1: `ADJUSTED`.

    `factor` is the median of that ratio. The closes were adjusted for later splits or dividends,
    are of another share class, or of a wrong column.
    """
    days = survey.chain.join(
        survey.closes, on=("underlying", "session"), how="left", maintain_order="left"
    )
    return _runs_off(days, pl.col("close") / pl.col("spot"), _OFF)


def adjusted_prices(survey: Survey) -> pl.DataFrame:
    """Runs of sessions on which underlying_price / parity stays away from 1: `ADJUSTED`.

    Parity is the price that puts and calls imply. The underlying_price was adjusted, with the
    closes or without them: quotes of options never are.
    """
    return _runs_off(survey.chain, pl.col("spot") / pl.col("parity"), _OFF_PARITY)


def _runs_off(days: pl.DataFrame, ratio: pl.Expr, tolerance: float) -> pl.DataFrame:
    """Runs of sessions on which a ratio stays away from 1, by underlying: `ADJUSTED`.

    A session belongs to a run if the log of its ratio exceeds the tolerance, and if nine in ten of
    21 sessions around it (of 10 or more at the ends of the data) exceed it to the same side. A
    price hours before the close may differ as much by chance, but to both sides.
    """
    days = days.select("underlying", "session", ratio=ratio).filter(
        pl.col("ratio").is_finite(), pl.col("ratio") > 0
    )
    days = days.with_columns(off=pl.col("ratio").log())
    high, low = (_persists(pl.col("off") > tolerance), _persists(pl.col("off") < -tolerance))
    level = (
        pl.col("off").rolling_median(_LEVEL_SESSIONS, min_samples=1, center=True).over("underlying")
    )
    days = days.with_columns(side=high.cast(pl.Int8) - low.cast(pl.Int8), level=level)
    changed = (pl.col("side") != pl.col("side").shift()) | (
        (pl.col("level") - pl.col("level").shift()).abs() > _NEW_FACTOR
    )
    days = days.with_columns(run=changed.fill_null(True).cum_sum().over("underlying"))
    days = days.filter((pl.col("side") != 0) & (pl.col("side") * pl.col("off") > tolerance))
    runs = days.group_by("underlying", "run", maintain_order=True).agg(
        first=pl.col("session").min(),
        last=pl.col("session").max(),
        sessions=pl.len().cast(pl.Int64),
        factor=pl.col("ratio").median(),
    )
    # shorter runs are the transition between two factors
    return runs.filter(pl.col("sessions") >= _LEVEL_SESSIONS).select(*ADJUSTED)


def _persists(off: pl.Expr) -> pl.Expr:
    """True in every window of sessions nearly all of which are `off`."""

    def ending(share: pl.Expr) -> pl.Expr:
        """The largest share of the windows with a session; they are cut off where data begin."""
        window = share.rolling_mean(_PERSISTENT_SESSIONS, min_samples=_FEWEST_SESSIONS)
        return window.reverse().rolling_max(_PERSISTENT_SESSIONS, min_samples=1).reverse()

    share = off.cast(pl.Float64)
    before, after = ending(share), ending(share.reverse()).reverse()
    return pl.max_horizontal(before, after).over("underlying").fill_null(0.0) >= _PERSISTENT_SHARE


def _reason(counts: pl.DataFrame, table: str, reason: str) -> pl.DataFrame:
    """Counts by underlying as `validation.TALLY`, without zeros."""
    named = counts.filter(pl.col("count") > 0).with_columns(
        pl.col("count").cast(pl.Int64),
        table=pl.lit(table),
        reason=pl.lit(reason),
        example=pl.lit(None, pl.String),
    )
    return named.select(*validation.TALLY)


# ---- findings of `wheelvec check` and of warnings


def holes(
    days: pl.DataFrame, sessions: Sessions, unknown: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Runs of sessions that a table lacks of an underlying: `HOLES`.

    They are between the first and the last session on which any table has rows of the underlying.

    Args:
        days: `survey.DAYS`, the days on which each table has rows of an underlying.
        sessions: the sessions of the exchange.
        unknown: `survey.DAYS`, the days of damaged files: no hole includes them.
    """
    numbers = sessions.frame.select("session", pl.col("number").cast(pl.Int64))
    present = days.join(numbers, on="session")
    spans = present.group_by("underlying").agg(
        begin=pl.col("number").min() - 1, end=pl.col("number").max() + 1
    )
    edges = present.select("table", "underlying").unique().join(spans, on="underlying")
    known = [present.select("table", "underlying", "number")]
    if unknown is not None:
        known.append(
            unknown.join(numbers, on="session")
            .join(spans, on="underlying")
            .filter(pl.col("number").is_between("begin", "end"))
            .select("table", "underlying", "number")
        )
    known += [edges.select("table", "underlying", number=edge) for edge in ("begin", "end")]
    by = ("table", "underlying")
    runs = (
        pl.concat(known)
        .unique()
        .sort(*by, "number")
        .with_columns(first=pl.col("number") + 1, following=pl.col("number").shift(-1).over(by))
    )
    runs = runs.filter(pl.col("following") > pl.col("first"))
    dates = sessions.frame["session"]
    return runs.with_columns(
        first=dates.gather(runs["first"]),
        last=dates.gather(runs["following"] - 1),
        sessions=pl.col("following") - pl.col("first"),
    ).select(*HOLES)


# ---- findings of `wheelvec check` alone


def vanished(
    quoted: pl.DataFrame, ranges: pl.DataFrame, underlying: str, sessions: Sessions
) -> pl.DataFrame:
    """Contracts that are neither quoted nor traded from some session on: `VANISHED`.

    Other contracts of the underlying are still quoted: on `missed` sessions before the settlement
    session. The settlement session does not count, because many feeds leave out contracts that
    expire on the day. `place` compares the strike with the strikes quoted for its type and
    expiration on the first missed session:

        inside      lower and higher strikes are quoted: a contract that a wheel may hold is missing
        edge        outside of them: feeds and exchanges narrow the range of strikes every day
        expiration  no strike is quoted: the whole expiration is missing

    Args:
        quoted: symbol and `session`, the last on which it was quoted or traded; one row per
            contract that was quoted at least once.
        ranges: session, expiration, option_type, and the lowest and highest strike quoted, `low`
            and `high` in dollars.
        underlying: the underlying of the contracts.
        sessions: the sessions of the market's calendar.
    """
    chain = np.unique(sessions.number_of(ranges["session"].to_numpy()))
    chain = chain[chain >= 0]
    symbol, expiration = pl.col("symbol"), osi.expiration(pl.col("symbol"))
    terms = quoted.with_columns(
        expiration=expiration,
        option_type=osi.option_type(symbol),
        strike=osi.strike_milli(symbol) / 1000.0,
    )
    seen = sessions.number_on_or_before(terms["session"].to_numpy())
    settled = sessions.number_on_or_before(
        terms["expiration"].clip(upper_bound=sessions.last).to_numpy()
    )
    settled = np.where(
        (terms["expiration"] > sessions.last).to_numpy(), len(sessions.dates), settled
    )
    following = np.searchsorted(chain, seen, side="right")
    missed = np.searchsorted(chain, settled, side="left") - following
    gone = terms.with_columns(
        missed=pl.Series(missed, dtype=pl.Int64), settled=settled, next=following
    )
    gone = gone.filter(pl.col("missed") > 0)
    dates = sessions.frame["session"]
    gone = gone.with_columns(
        next=dates.gather(chain[gone["next"].to_numpy()]),
        # the session on which a contract settles after the data is not known: its expiration is
        # stated instead
        settlement=pl.when(pl.col("settled") < len(dates))
        .then(dates.gather(gone["settled"].clip(upper_bound=len(dates) - 1)))
        .otherwise("expiration"),
    )
    by = ("expiration", "option_type")
    placed = gone.join(ranges, left_on=("next", *by), right_on=("session", *by), how="left")
    inside = pl.col("strike").is_between(pl.col("low"), pl.col("high"), closed="none")
    place = (
        pl.when(pl.col("low").is_null())
        .then(pl.lit("expiration"))
        .when(inside)
        .then(pl.lit("inside"))
    )
    placed = placed.with_columns(
        place=place.otherwise(pl.lit("edge")), underlying=pl.lit(underlying)
    )
    return placed.rename({"session": "last_seen"}).select(*VANISHED).sort("last_seen", "symbol")
