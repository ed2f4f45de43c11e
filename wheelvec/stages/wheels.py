"""Outcomes -> how each wheel ended, and what it earned (rules.md, section 8)."""

import numpy as np
import polars as pl

from wheelvec.kernels.path import Underlying
from wheelvec.spec.codes import BOUGHT_BACK, EndReason, ExitReason
from wheelvec.spec.config import Config
from wheelvec.stages.arrays import Array, column

UNRESOLVED_LEG = [int(ExitReason.OPEN), int(ExitReason.NO_DATA)]
HOLDING = [
    int(r)
    for r in (
        EndReason.MAX_CYCLES,
        EndReason.NO_CALL_QUOTES,
        EndReason.NO_CALL_IN_RANGE,
        EndReason.NO_CALL_ABOVE_BASIS,
        EndReason.NO_CALL_LIQUID,
    )
]
PUT_ENDS = {
    int(ExitReason.STOP_LOSS): int(EndReason.PUT_CLOSED),
    int(ExitReason.PROFIT_TARGET): int(EndReason.PUT_CLOSED),
    int(ExitReason.MAX_HOLD_DTE): int(EndReason.PUT_CLOSED),
    int(ExitReason.EXPIRED_WORTHLESS): int(EndReason.PUT_EXPIRED),
    int(ExitReason.OPEN): int(EndReason.UNRESOLVED),
    int(ExitReason.NO_DATA): int(EndReason.UNRESOLVED),
}


def cash_legs(legs: pl.DataFrame, underlying: Underlying, config: Config) -> pl.DataFrame:
    """Add what a leg earns in dollars per contract: premium, fees, exit_price, pnl, and its dates; null while unresolved."""
    fee = config.costs.commission_per_contract + config.costs.sec_fee_per_contract
    resolved = ~pl.col("reason").is_in(UNRESOLVED_LEG)
    exit_day = pl.Series(underlying.day[column(legs, "exit_number", np.int64)], dtype=pl.Int32).cast(pl.Date)
    legs = legs.with_columns(
        premium=pl.col("price") * 100.0,
        fees=pl.when(pl.col("reason").is_in([int(reason) for reason in BOUGHT_BACK])).then(2.0 * fee).otherwise(fee),
        exit_price=pl.when(resolved).then(pl.col("exit_price") * 100.0),
        exit_date=pl.when(resolved).then(exit_day),
        without_bar=pl.when(resolved).then(pl.col("without_bar")),
    )
    return legs.with_columns(
        pnl=pl.col("premium") - pl.col("exit_price") - pl.col("fees"),
        days_held=(pl.col("exit_date") - pl.col("session")).dt.total_days(),
    )


def wheel_ends(
    puts: pl.DataFrame, calls: pl.DataFrame, ends: pl.DataFrame, underlying: Underlying, config: Config
) -> pl.DataFrame:
    """One row per wheel, as if each were alone: how and when it ended, and what shares were worth.

    Args:
        puts, calls: cash legs. ends: wheel, end_reason, end_number of the assigned wheels.

    Returns:
        The puts with end_reason (code), end_number, end_date (null if unresolved), held (shares left at the end), sale (dollars
        per share at which shares left the wheel, null if none did), busy_until.
    """
    put_end = pl.col("reason").replace_strict(PUT_ENDS, default=None, return_dtype=pl.Int64)
    wheels = puts.join(ends, on="wheel", how="left", maintain_order="left")
    wheels = wheels.with_columns(
        end_reason=pl.coalesce("end_reason", put_end), end_number=pl.coalesce("end_number", "exit_number")
    )
    if config.rules == "v5":  # the notebook's wheel ends with its last leg, calls sought or not
        failed = pl.col("end_reason").is_in(HOLDING) & (pl.col("end_reason") != int(EndReason.MAX_CYCLES))
        wheels = wheels.with_columns(end_number=pl.when(failed).then("exit_number").otherwise("end_number"))
    held = pl.col("end_reason").is_in(HOLDING)
    wheels = wheels.with_columns(held=held, close=pl.Series(closes_on(wheels, underlying)).fill_nan(None))
    if config.rules == "ledger":
        lost = pl.col("held") & pl.col("close").is_null()
        unresolved = pl.lit(int(EndReason.UNRESOLVED), pl.Int64)
        wheels = wheels.with_columns(end_reason=pl.when(lost).then(unresolved).otherwise("end_reason"))
    wheels = wheels.join(_last_calls(calls), on="wheel", how="left", maintain_order="left")
    return _with_dates(wheels, underlying)


def closes_on(wheels: pl.DataFrame, underlying: Underlying) -> Array:
    """The underlying's close on each wheel's end session, NaN where there is none."""
    number = column(wheels, "end_number", np.int64)
    inside = number < underlying.close.size
    return np.where(inside, underlying.close[np.where(inside, number, 0)], np.nan)


def _last_calls(calls: pl.DataFrame) -> pl.DataFrame:
    """Per wheel that sold calls: the last call's reason, strike, settlement and open value, and sums over its calls."""
    marked = pl.coalesce(pl.col("mark") * 100.0, "premium")
    unresolved = pl.col("reason").is_in(UNRESOLVED_LEG)
    ordered = calls.sort("wheel", "cycle").with_columns(
        open_value=pl.when(unresolved).then(pl.col("premium") - pl.col("fees") - marked)
    )
    return ordered.group_by("wheel", maintain_order=True).agg(
        cc_reason=pl.col("reason").last().cast(pl.Int64),
        cc_strike=pl.col("strike").last(),
        cc_settlement=pl.col("settlement_number").max(),
        # cumulative sums add in order; a plain sum may add in another on another machine
        cc_pnl=pl.col("pnl").fill_null(0.0).cum_sum().last(),
        cc_open=pl.col("open_value").fill_null(0.0).cum_sum().last(),
        cc_premium=pl.col("premium").cum_sum().last(),
        cc_fees=pl.col("fees").cum_sum().last(),
        cc_days=pl.col("days_held").sum(),
    )


def _with_dates(wheels: pl.DataFrame, underlying: Underlying) -> pl.DataFrame:
    resolved = pl.col("end_reason") != int(EndReason.UNRESOLVED)
    settlement = pl.max_horizontal("settlement_number", "cc_settlement")
    wheels = wheels.with_columns(resolved=resolved, last_number=pl.when(resolved).then("end_number").otherwise(settlement))
    busy_until = pl.Series(underlying.day[column(wheels, "last_number", np.int64)], dtype=pl.Int32).cast(pl.Date)
    return wheels.with_columns(busy_until=busy_until).with_columns(end_date=pl.when(pl.col("resolved")).then("busy_until"))


def placed(wheels: pl.DataFrame) -> pl.DataFrame:
    """Add a launched wheel's place: wheel_session and rank, its number among those its underlying launched that session."""
    return wheels.with_columns(wheel_session="session", rank=pl.int_range(pl.len(), dtype=pl.Int64).over("session"))


def of_wheels(rows: pl.DataFrame, wheels: pl.DataFrame) -> pl.DataFrame:
    """The rows that belong to `wheels`."""
    return rows.join(wheels.select("wheel"), on="wheel", how="semi", maintain_order="left")


def totals(wheels: pl.DataFrame, underlying: Underlying, dividends: pl.DataFrame | None, config: Config) -> pl.DataFrame:
    """Add the figures of a total: csp_pnl, cc_pnl, stock_pnl, pnl, pnl_marked, the dividends received, and `censored`."""
    v5, strike = config.rules == "v5", pl.col("strike")
    away = pl.col("end_reason") == int(EndReason.CALLED_AWAY)
    resolved = pl.col("resolved")
    sale: pl.Expr
    stock: pl.Expr
    if v5:
        sale = pl.when(away).then(pl.col("cc_strike"))
        stock = pl.when(away).then(pl.col("cc_strike") * 100.0 - (strike * 100.0 - pl.col("premium")))
    else:
        sale = pl.when(away).then("cc_strike").when(pl.col("held") & resolved).then("close")
        stock = (pl.col("sale") - strike) * 100.0 + pl.col("dividend")
    last_close = underlying.close[underlying.last_bar] if underlying.last_bar >= 0 else np.nan
    wheels = wheels.with_columns(
        sale=sale,
        dividend=_dividends(wheels, dividends if not v5 else None),
        censored=pl.lit(False) if v5 else pl.col("settlement_number") > underlying.last_bar,
    )
    wheels = wheels.with_columns(
        csp_pnl=pl.col("pnl"),
        cc_pnl=pl.when(resolved).then(pl.col("cc_pnl").fill_null(0.0)),
        closed_calls=pl.col("cc_pnl").fill_null(0.0),
        stock_pnl=pl.when(resolved).then(stock.fill_null(0.0)),
    )
    wheels = wheels.with_columns(pnl=pl.col("csp_pnl") + pl.col("cc_pnl") + pl.col("stock_pnl"))
    marked = (
        pl.col("csp_pnl") + pl.col("closed_calls") + (pl.lit(last_close) - strike) * 100.0
        + pl.col("cc_open").fill_null(0.0)
    )  # fmt: skip
    assigned = pl.col("reason") == int(ExitReason.ASSIGNED)
    return wheels.with_columns(pnl_marked=pl.when(assigned & ~resolved).then(marked).otherwise("pnl"))


def _dividends(wheels: pl.DataFrame, dividends: pl.DataFrame | None) -> pl.Series:
    """Dollars per contract that each wheel's shares received: ex-dates after the assignment, up to the end session."""
    received = dict.fromkeys(wheels["wheel"], 0.0)
    for wheel, _, amount in received_dividends(wheels, dividends).iter_rows():
        received[wheel] += amount
    return pl.Series("dividend", list(received.values()), dtype=pl.Float64)


def received_dividends(wheels: pl.DataFrame, dividends: pl.DataFrame | None) -> pl.DataFrame:
    """(wheel, ex_date, dollars per contract) of every dividend on shares held overnight into the ex-date, in wheel order."""
    if dividends is None:
        return pl.DataFrame(schema={"wheel": pl.Int64, "ex_date": pl.Date, "amount": pl.Float64})
    held = wheels.filter((pl.col("reason") == int(ExitReason.ASSIGNED)) & pl.col("resolved"))
    pairs = held.select("wheel", "exit_date", "end_date").join(dividends.select("ex_date", "amount"), how="cross")
    kept = pairs.filter((pl.col("ex_date") > pl.col("exit_date")) & (pl.col("ex_date") <= pl.col("end_date")))
    return kept.sort("wheel", "ex_date").select("wheel", "ex_date", amount=pl.col("amount") * 100.0)
