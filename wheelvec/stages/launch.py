"""Which wheels were launched, once all outcomes are known (rules.md, section 1). Launching never changes an outcome."""

import datetime as dt

import polars as pl

from wheelvec.spec.config import Schedule


def launch(
    wheels: pl.DataFrame, schedule: Schedule, signals: pl.DataFrame | None, busy_until: dt.date | None
) -> tuple[pl.DataFrame, dt.date | None]:
    """Mark the launched wheels of one underlying.

    Args:
        wheels: session, busy_until (the last day on which the wheel occupies its underlying), in wheel order.
        schedule: the limits.
        signals: (session, underlying) pairs that may open, of this underlying; None for all.
        busy_until: of the underlying's last wheel launched before, if only one may be open at a time.

    Returns:
        `wheels` with `signalled` and `launched`, and the new busy_until.
    """
    allowed = pl.lit(True) if signals is None else pl.col("session").is_in(signals["session"].implode())
    marked = wheels.with_columns(signalled=allowed)
    launched = marked["signalled"]
    limit = schedule.max_wheels_per_symbol_per_day
    if limit is not None:
        launched = launched & marked.select(pl.int_range(pl.len()).over("session") < limit).to_series()
    if not schedule.allow_multiple_wheels_per_symbol:
        launched, busy_until = _one_at_a_time(marked, launched, busy_until)
    return marked.with_columns(launched=launched), busy_until


def _one_at_a_time(wheels: pl.DataFrame, allowed: pl.Series, busy_until: dt.date | None) -> tuple[pl.Series, dt.date | None]:
    launched = []
    for session, until, free in zip(wheels["session"], wheels["busy_until"], allowed, strict=True):
        opens = bool(free) and (busy_until is None or session > busy_until)
        busy_until = until if opens else busy_until
        launched.append(opens)
    return pl.Series(launched, dtype=pl.Boolean), busy_until


def diagnose(days: pl.DataFrame, wheels: pl.DataFrame, schedule: Schedule) -> pl.DataFrame:
    """One row per entry session of one underlying: what was found, and the first outcome that applies.

    Args:
        days: session, underlying, priced, and the counts n_quotes, n_valid, n_solved, n_in_range, n_liquid (0 where nothing).
        wheels: `launch`'s.
        schedule: tells whether a limit was set.
    """
    per_day = wheels.group_by("session").agg(
        n_launched=pl.col("launched").sum().cast(pl.Int64), n_candidates=pl.len(), signalled=pl.col("signalled").any()
    )
    days = days.join(per_day, on="session", how="left").with_columns(
        pl.col("n_launched").fill_null(0), pl.col("n_candidates").fill_null(0), pl.col("signalled").fill_null(True)
    )
    limit = schedule.max_wheels_per_symbol_per_day
    reached = pl.lit(False) if limit is None else (pl.col("n_launched") == limit) & (pl.col("n_candidates") > limit)
    outcome = (
        pl.when(pl.col("n_quotes") == 0).then(pl.lit("no_quotes"))
        .when(~pl.col("priced")).then(pl.lit("no_underlying_price"))
        .when((pl.col("n_solved") == 0) & pl.col("unsolved")).then(pl.lit("not_solved"))
        .when(pl.col("n_in_range") == 0).then(pl.lit("no_candidate_in_range"))
        .when(pl.col("n_liquid") == 0).then(pl.lit("all_rejected_by_liquidity"))
        .when(~pl.col("signalled")).then(pl.lit("not_signalled"))
        .when(pl.col("n_launched") == 0).then(pl.lit("wheel_already_open"))
        .otherwise(pl.lit("traded"))
    )  # fmt: skip
    return days.with_columns(outcome=outcome, limit_reached=reached)
