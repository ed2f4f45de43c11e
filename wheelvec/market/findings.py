"""What only several tables together show: holes, contracts that vanish, splits, adjusted closes, an end before the others'.

Each finding is a frame of its own, with days and factors, which `wheelvec check` prints; `market.diagnostics` counts some
of them. None of them is a fault of one row.
"""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from wheelvec.market import tables
from wheelvec.market.sessions import Sessions
from wheelvec.spec import frames, osi

# What `market.diagnostics` says of a whole market; no row is broken by it.
REASONS = ("adjusted_closes", "no_option_bars", "no_underlying_bars", "suspected_split", "underlying_ended")

_SPLIT_JUMP = math.log(1.8)  # a whole split is 2:1 at least, but the price may move in the same night
_OVERNIGHT_DAYS = 7  # sessions further apart are a hole in the data, over which anything may have happened
_OFF = math.log(1.01)  # the close and the price minutes before it seldom lie further apart, and not on one side for weeks
_PERSISTENT_SESSIONS, _PERSISTENT_SHARE, _FEWEST_SESSIONS = 21, 0.9, 10
_LEVEL_SESSIONS, _NEW_FACTOR = 5, math.log(1.2)

CHAINS = pl.Schema(
    {
        "underlying": pl.String, "session": pl.Date, "strike": pl.Float64, "spot": pl.Float64,
        "count": pl.Int64, "valid": pl.Int64,
    }
)  # fmt: skip
HOLES = pl.Schema({"table": pl.String, "underlying": pl.String, "first": pl.Date, "last": pl.Date, "sessions": pl.Int64})
VANISHED = pl.Schema(
    {
        "underlying": pl.String, "symbol": pl.String, "last_seen": pl.Date, "settlement": pl.Date,
        "missed": pl.Int64, "place": pl.String,
    }
)  # fmt: skip
SPLITS = pl.Schema({"underlying": pl.String, "session": pl.Date, "ratio": pl.Float64})
ADJUSTED = pl.Schema({"underlying": pl.String, "first": pl.Date, "last": pl.Date, "sessions": pl.Int64, "factor": pl.Float64})
ENDED = pl.Schema({"underlying": pl.String, "last": pl.Date, "sessions": pl.Int64})


def chains(quotes: pl.DataFrame) -> pl.DataFrame:
    """Per underlying and session: median of the distinct strikes, median underlying price, rows, valid rows (`CHAINS`)."""
    valid = ~pl.any_horizontal(list(frames.quote_flaws().values()))
    by = ("underlying", "session")
    strikes = quotes.select(*by, "strike").unique().group_by(by).agg(pl.col("strike").median())
    spots = quotes.group_by(by).agg(
        spot=pl.col("underlying_price").median(), count=pl.len().cast(pl.Int64), valid=valid.sum().cast(pl.Int64)
    )
    return strikes.join(spots, on=by).sort(by).select(*CHAINS)


# ---- findings that market.diagnostics counts


def without_bars(chain: pl.DataFrame, bars: pl.DataFrame, has_option_bars: bool) -> pl.DataFrame:
    """`tables.TALLY`: the quotes of underlyings that have no bars of a kind; a missing table of option bars has them all."""
    quotes = chain.group_by("underlying", maintain_order=True).agg(pl.col("count").sum())
    barless = quotes.join(bars, on="underlying", how="anti")
    found = [_reason(barless, "underlying_bars", "no_underlying_bars")]
    return pl.concat(found if has_option_bars else [*found, _reason(quotes, "option_bars", "no_option_bars")])


def counted(chain: pl.DataFrame, bars: pl.DataFrame, sessions: Sessions) -> pl.DataFrame:
    """`tables.TALLY` of `ended` (sessions), `splits` (days) and `adjusted_closes` (sessions)."""
    days = splits(chain, bars).group_by("underlying", maintain_order=True).agg(count=pl.len())
    adjusted = adjusted_closes(chain, bars).group_by("underlying", maintain_order=True).agg(count=pl.col("sessions").sum())
    found = {
        "underlying_ended": ended(bars, sessions).rename({"sessions": "count"}),
        "suspected_split": days,
        "adjusted_closes": adjusted,
    }
    return pl.concat([_reason(counts, "underlying_bars", reason) for reason, counts in found.items()])


def ended(bars: pl.DataFrame, sessions: Sessions) -> pl.DataFrame:
    """`ENDED`: underlyings whose bars end before the market, with the sessions that come after: delisted, renamed, or not
    supplied."""
    last = bars.group_by("underlying", maintain_order=True).agg(last=pl.col("session").max())
    after = len(sessions.dates) - 1 - sessions.number_on_or_before(last["last"].clip(upper_bound=sessions.last))
    return last.with_columns(sessions=pl.Series(after, dtype=pl.Int64)).filter(pl.col("sessions") > 0).select(*ENDED)


def splits(chain: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """`SPLITS`: days on which the price and the strikes of an underlying jumped together overnight; `ratio` is the price
    before over the price after, so that 4:1 shows as about 4.

    The price is the daily close or, for bars that were adjusted afterwards, the price beside the quotes. It must have
    moved by `_SPLIT_JUMP`, and the median of the strikes in the same direction by at least half as much in logarithms:
    after a mere crash the old strikes are still listed.
    """
    prices = ("strike", "spot", "close")
    days = _with_closes(chain, bars).with_columns(pl.when(pl.col(price) > 0).then(pl.col(price).log()) for price in prices)
    moved = {name: pl.col(name).diff().over("underlying") for name in ("session", *prices)}
    jumped = {
        price: ((moved[price].abs() >= _SPLIT_JUMP) & (moved["strike"] / moved[price] >= 0.5)).fill_null(False)
        for price in ("spot", "close")
    }
    overnight = moved["session"].dt.total_days() <= _OVERNIGHT_DAYS
    ratio = pl.coalesce([pl.when(jumped[price]).then((-moved[price]).exp()) for price in jumped])
    return days.with_columns(ratio=pl.when(overnight).then(ratio)).filter(pl.col("ratio").is_not_null()).select(*SPLITS)


def adjusted_closes(chain: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """`ADJUSTED`: runs of sessions on which close / underlying_price stays off 1; `factor` is the median of that ratio.

    Closes adjusted for later splits or dividends, prices of another share class, or a wrong column. A session belongs to a
    run if it is off by over 1%, and nine in ten of the 21 sessions that end or begin with it (at the data's ends 10 will do)
    are off to the same side: a price hours before the close may be off as far by chance, but to both sides.
    """
    days = _with_closes(chain, bars).filter((pl.col("close") > 0) & (pl.col("spot") > 0))
    days = days.with_columns(off=(pl.col("close") / pl.col("spot")).log())
    high, low = (_persists(pl.col("off") > _OFF), _persists(pl.col("off") < -_OFF))
    level = pl.col("off").rolling_median(_LEVEL_SESSIONS, min_samples=1, center=True).over("underlying")
    days = days.with_columns(side=high.cast(pl.Int8) - low.cast(pl.Int8), level=level)
    changed = (pl.col("side") != pl.col("side").shift()) | ((pl.col("level") - pl.col("level").shift()).abs() > _NEW_FACTOR)
    days = days.with_columns(run=changed.fill_null(True).cum_sum().over("underlying"))
    days = days.filter((pl.col("side") != 0) & (pl.col("side") * pl.col("off") > _OFF))
    runs = days.group_by("underlying", "run", maintain_order=True).agg(
        first=pl.col("session").min(),
        last=pl.col("session").max(),
        sessions=pl.len().cast(pl.Int64),
        factor=(pl.col("close") / pl.col("spot")).median(),
    )
    return runs.select(*ADJUSTED)


def _persists(off: pl.Expr) -> pl.Expr:
    """True where of the sessions up to this one, or from it on, nearly all are off."""

    def ending(share: pl.Expr) -> pl.Expr:
        return share.rolling_mean(_PERSISTENT_SESSIONS, min_samples=_FEWEST_SESSIONS)

    share = off.cast(pl.Float64)
    before, after = ending(share), ending(share.reverse()).reverse()
    return pl.max_horizontal(before, after).over("underlying").fill_null(0.0) >= _PERSISTENT_SHARE


def _with_closes(chain: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    closes = bars.select("underlying", "session", "close")
    return chain.join(closes, on=("underlying", "session"), how="left").sort("underlying", "session")


def _reason(counts: pl.DataFrame, table: str, reason: str) -> pl.DataFrame:
    """Counts by underlying as `tables.TALLY`, without those of zero."""
    named = counts.filter(pl.col("count") > 0).with_columns(
        pl.col("count").cast(pl.Int64), table=pl.lit(table), reason=pl.lit(reason), example=pl.lit(None, pl.String)
    )
    return named.select(*tables.TALLY)


# ---- findings of `wheelvec check` alone


def holes(held: Mapping[str, pl.Series], unknown: Mapping[str, pl.Series], underlying: str, sessions: Sessions) -> pl.DataFrame:
    """`HOLES`: runs of sessions, between the first and the last of which an underlying has anything, that a table lacks.

    Args:
        held: by table, the days on which it holds something of the underlying.
        unknown: by table, days of which nobody knows, for their file is damaged; a hole neither begins nor goes on there.
    """
    days = pl.concat(list(held.values())).sort()
    inside = sessions.frame.filter(pl.col("session").is_between(days.min(), days.max()))
    found = [HOLES.to_frame()]
    for table, present in held.items():
        lacking = inside.filter(
            ~pl.col("session").is_in(present.implode()) & ~pl.col("session").is_in(unknown[table].implode())
        )
        runs = lacking.with_columns(run=(pl.col("number").diff() != 1).fill_null(True).cum_sum())
        runs = runs.group_by("run", maintain_order=True).agg(
            first=pl.col("session").min(), last=pl.col("session").max(), sessions=pl.len().cast(pl.Int64)
        )
        found.append(runs.select(pl.lit(table).alias("table"), pl.lit(underlying).alias("underlying"), *list(HOLES)[2:]))
    return pl.concat(found)


def vanished(quoted: pl.DataFrame, ranges: pl.DataFrame, underlying: str, sessions: Sessions) -> pl.DataFrame:
    """`VANISHED`: contracts of one underlying that were quoted once, and are neither quoted nor traded from some session on,
    although the chain goes on: `missed` sessions with quotes of the underlying follow before the settlement session.

    The settlement session itself does not count: many feeds leave out what expires on the day. `place` says where the
    contract stood on the first session missed, among those of its type and expiration quoted then:

        inside      strikes both below and above are quoted: a contract that a wheel may hold has fallen out
        edge        it stood beyond them: the range of strikes was narrowed, as feeds and exchanges do every day
        expiration  none is quoted: the whole expiration has gone

    Args:
        quoted: symbol and `session`, the last on which it was quoted or traded, once per contract.
        ranges: per session, expiration and option_type the lowest and highest strike quoted, `low` and `high`.
    """
    chain = np.unique(sessions.number_of(ranges["session"].to_numpy()))
    chain = chain[chain >= 0]
    symbol, expiration = pl.col("symbol"), osi.expiration(pl.col("symbol"))
    terms = quoted.with_columns(
        expiration=expiration, option_type=osi.option_type(symbol), strike=osi.strike_milli(symbol) / 1000.0
    )
    seen = sessions.number_on_or_before(terms["session"].to_numpy())
    settled = sessions.number_on_or_before(terms["expiration"].clip(upper_bound=sessions.last).to_numpy())
    settled = np.where((terms["expiration"] > sessions.last).to_numpy(), len(sessions.dates), settled)
    following = np.searchsorted(chain, seen, side="right")
    missed = np.searchsorted(chain, settled, side="left") - following
    gone = terms.with_columns(missed=pl.Series(missed, dtype=pl.Int64), settled=settled, next=following)
    gone = gone.filter(pl.col("missed") > 0)
    dates = sessions.frame["session"]
    gone = gone.with_columns(
        next=dates.gather(chain[gone["next"].to_numpy()]),
        # of a contract that settles after the data the expiration stands for a session that nobody needs to know
        settlement=pl.when(pl.col("settled") < len(dates))
        .then(dates.gather(gone["settled"].clip(upper_bound=len(dates) - 1)))
        .otherwise("expiration"),
    )
    by = ("expiration", "option_type")
    placed = gone.join(ranges, left_on=("next", *by), right_on=("session", *by), how="left")
    inside = pl.col("strike").is_between(pl.col("low"), pl.col("high"), closed="none")
    place = pl.when(pl.col("low").is_null()).then(pl.lit("expiration")).when(inside).then(pl.lit("inside"))
    placed = placed.with_columns(place=place.otherwise(pl.lit("edge")), underlying=pl.lit(underlying))
    return placed.rename({"session": "last_seen"}).select(*VANISHED).sort("last_seen", "symbol")
