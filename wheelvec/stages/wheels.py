"""Outcomes -> how each wheel ended, its records, totals and cash ledger (rules.md, sections 8 to 10).

Until wheels are numbered a row carries `wheel_session` and `rank`, its wheel's place among those its underlying launched
that session.
"""

import numpy as np
import polars as pl

from wheelvec.kernels.path import Underlying
from wheelvec.spec.codes import EndReason, Event, ExitReason, State, Tier, name_of, next_state
from wheelvec.spec.config import Config
from wheelvec.spec.frames import CALL_DIAGNOSTICS, RECORDS
from wheelvec.stages.arrays import Array, column

BOUGHT_BACK = [int(r) for r in (ExitReason.STOP_LOSS, ExitReason.PROFIT_TARGET, ExitReason.MAX_HOLD_DTE)]
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
EVENTS = {reason: Event[reason.name] for reason in ExitReason if reason.name in Event.__members__}


def names(enum: type, members: list[int] | None = None) -> dict[int, str]:
    """Code -> name in frames, for `replace_strict`."""
    return {int(code): name_of(code) for code in enum if members is None or int(code) in members}  # type: ignore[attr-defined]


def states_after(opened: State) -> dict[int, str]:
    """Exit reason code -> state of a leg that stood in `opened`; an unresolved leg stays there."""
    states = {int(reason): name_of(opened) for reason in (ExitReason.OPEN, ExitReason.NO_DATA)}
    excluded = ExitReason.CALLED_AWAY if opened is State.CSP_OPEN else ExitReason.ASSIGNED
    return states | {int(r): name_of(next_state(opened, e)) for r, e in EVENTS.items() if r is not excluded}


def cash_legs(legs: pl.DataFrame, underlying: Underlying, config: Config) -> pl.DataFrame:
    """Add what a leg earns in dollars per contract: premium, fees, exit_price, pnl, and its dates; null while unresolved."""
    fee = config.costs.commission_per_contract + config.costs.sec_fee_per_contract
    resolved = ~pl.col("reason").is_in(UNRESOLVED_LEG)
    exit_day = pl.Series(underlying.day[column(legs, "exit_number", np.int64)], dtype=pl.Int32).cast(pl.Date)
    legs = legs.with_columns(
        premium=pl.col("price") * 100.0,
        fees=pl.when(pl.col("reason").is_in(BOUGHT_BACK)).then(2.0 * fee).otherwise(fee),
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
    """Add the figures of a total: csp_pnl, cc_pnl, stock_pnl, pnl, pnl_marked, and the dividends received."""
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
    wheels = wheels.with_columns(sale=sale, dividend=_dividends(wheels, dividends if not v5 else None))
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
    received = np.zeros(wheels.height)
    for wheel, _, amount in received_dividends(wheels, dividends).iter_rows():
        received[wheel] += amount
    return pl.Series("dividend", received)


def received_dividends(wheels: pl.DataFrame, dividends: pl.DataFrame | None) -> pl.DataFrame:
    """(row of `wheels`, ex_date, dollars per contract) of every dividend on shares held overnight into the ex-date."""
    held = wheels.with_row_index("row").filter((pl.col("reason") == int(ExitReason.ASSIGNED)) & pl.col("resolved"))
    if dividends is None or not held.height:
        return pl.DataFrame(schema={"row": pl.UInt32, "ex_date": pl.Date, "amount": pl.Float64})
    pairs = held.select("row", "exit_date", "end_date").join(dividends.select("ex_date", "amount"), how="cross")
    kept = pairs.filter((pl.col("ex_date") > pl.col("exit_date")) & (pl.col("ex_date") <= pl.col("end_date")))
    return kept.sort("row", "ex_date").select("row", "ex_date", amount=pl.col("amount") * 100.0)


def leg_records(legs: pl.DataFrame, wheels: pl.DataFrame, phase: str) -> pl.DataFrame:
    """Records of the phase csp or cc: one row per leg of the launched wheels."""
    opened = State.CSP_OPEN if phase == "csp" else State.CC_OPEN
    key = wheels.select(
        "wheel", "wheel_session", "rank", "underlying", put_symbol="symbol", initial_capital=pl.col("strike") * 100.0
    )
    reason = pl.col("reason").cast(pl.Int64)
    rows = legs.drop("underlying").join(key, on="wheel", maintain_order="left")
    rows = rows.with_columns(
        phase=pl.lit(phase),
        state=reason.replace_strict(states_after(opened), default=None, return_dtype=pl.String),
        exit_reason=reason.replace_strict(names(ExitReason), return_dtype=pl.String),
        liquidity_tier=pl.col("tier").cast(pl.Int64).replace_strict(names(Tier), return_dtype=pl.String),
        entry_date="session",
        roc=100.0 * pl.col("pnl") / pl.col("initial_capital"),
        cost_basis=pl.col("strike") * 100.0,
        touch_profit_target=pl.col("touches") > 0,
        filled_profit_target=reason == int(ExitReason.PROFIT_TARGET),
    )
    renamed = {
        "touches": "touch_count", "p_fill": "p_fill_profit_target", "u": "u_fill_profit_target",
        "spread_pct": "spread_pct_entry", "ivp": "ivp_entry", "iv": "iv_entry", "delta": "delta_entry", "dte": "dte_entry",
        "penalty": "liquidity_penalty", "without_bar": "sessions_without_bar", "settlement_close": "underlying_at_expiration",
    }  # fmt: skip
    return _as_records(rows.rename(renamed))


def total_records(wheels: pl.DataFrame, underlying: Underlying, config: Config) -> pl.DataFrame:
    """Records of the phase total: one row per launched wheel."""
    resolved = pl.col("resolved")
    capital = pl.col("strike") * 100.0
    calendar_days = (pl.col("end_date") - pl.col("wheel_session")).dt.total_days()
    censored = pl.lit(False) if config.rules == "v5" else pl.col("settlement_number") > underlying.last_bar
    rows = wheels.with_columns(
        phase=pl.lit("total"),
        state=pl.when(resolved).then(pl.lit("WHEEL_COMPLETE")).otherwise(pl.lit("WHEEL_OPEN")),
        put_symbol="symbol",
        initial_capital=capital,
        entry_date="wheel_session",
        exit_date="end_date",
        wheel_roc=100.0 * pl.col("pnl") / capital,
        premium=pl.col("premium") + pl.col("cc_premium").fill_null(0.0),
        fees=pl.col("fees") + pl.col("cc_fees").fill_null(0.0),
        total_days=pl.when(resolved).then(pl.col("days_held") + pl.col("cc_days").fill_null(0)),
        calendar_days=calendar_days,
        shares_held=pl.when(resolved).then(pl.col("held").cast(pl.Int64) * 100),
        csp_exit_reason=pl.col("reason").cast(pl.Int64).replace_strict(names(ExitReason), return_dtype=pl.String),
        cc_exit_reason=pl.col("cc_reason").replace_strict(names(ExitReason), return_dtype=pl.String),
        end_reason=pl.col("end_reason").replace_strict(names(EndReason), return_dtype=pl.String),
        censored=censored,
    )
    rows = rows.with_columns(
        symbol="underlying",
        roc_annualized=pl.when(calendar_days != 0).then(pl.col("wheel_roc") * 365.0 / calendar_days),
    )
    leg_only = ("cycle", "exit_price", "exit_pct", "days_held", *_LEG_ONLY)
    return _as_records(rows.drop(leg_only, strict=False))


_LEG_ONLY = (
    "exit_reason", "roc", "cost_basis", "touch_count", "touch_profit_target", "filled_profit_target",
    "p_fill_profit_target", "u_fill_profit_target", "spread_pct_entry", "ivp_entry", "iv_entry", "delta_entry", "dte_entry",
    "liquidity_tier", "liquidity_penalty", "sessions_without_bar", "underlying_at_expiration",
)  # fmt: skip


def _as_records(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of RECORDS (wheel_id and version come last, with the numbering) and the place in the wheel order."""
    late = ("wheel_id", "execution_version")
    columns = [
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in RECORDS.items()
        if name not in late
    ]
    return rows.select("wheel_session", "rank", *columns)


def records(
    puts: pl.DataFrame, calls: pl.DataFrame, wheels: pl.DataFrame, underlying: Underlying, config: Config
) -> pl.DataFrame:
    """All records of the launched wheels, wheel by wheel: put, calls by cycle, total."""
    parts = [
        leg_records(puts, wheels, "csp"),
        leg_records(calls, wheels, "cc"),
        total_records(wheels, underlying, config),
    ]
    return pl.concat(parts).sort("wheel_session", "rank", pl.col("cycle").fill_null(2**31), maintain_order=True)


def ledger(
    puts: pl.DataFrame, calls: pl.DataFrame, wheels: pl.DataFrame, dividends: pl.DataFrame | None, config: Config
) -> pl.DataFrame:
    """The launched wheels as dated cash: premium, fees, buy_back, share_purchase, share_sale, dividend.

    Under v5 a `notebook_adjustment` shows what the notebook booked without any cash behind it.
    """
    key = wheels.select("wheel", "wheel_session", "rank", "underlying")
    fee = config.costs.commission_per_contract + config.costs.sec_fee_per_contract
    bought = pl.col("reason").is_in(BOUGHT_BACK)
    legs = pl.concat([_cash_columns(part) for part in (puts, calls)])
    back = legs.filter(bought)
    shares = wheels.filter(pl.col("reason") == int(ExitReason.ASSIGNED))
    sold = shares.filter(pl.col("sale").is_not_null())
    parts = [
        _entries(legs, "session", "premium", pl.col("premium")),
        _entries(legs, "session", "fees", pl.lit(-fee)),
        _entries(back, "exit_date", "buy_back", -pl.col("exit_price")),
        _entries(back, "exit_date", "fees", pl.lit(-fee)),
        _entries(shares, "exit_date", "share_purchase", -100.0 * pl.col("strike")),
        _entries(sold, "end_date", "share_sale", 100.0 * pl.col("sale")),
    ]
    if config.rules == "v5":
        invented = pl.when(pl.col("sale").is_null()).then(100.0 * pl.col("strike")).otherwise("premium")
        parts.append(_entries(shares, "end_date", "notebook_adjustment", invented))
    else:
        row_wheel = wheels.with_row_index("row").select("row", "wheel")
        paid = received_dividends(wheels, dividends).join(row_wheel, on="row", maintain_order="left")
        parts.append(_entries(paid, "ex_date", "dividend", pl.col("amount")))
    entries = pl.concat(parts).join(key, on="wheel", maintain_order="left")
    return entries.sort("wheel_session", "rank", "date", maintain_order=True).drop("wheel")


def _cash_columns(legs: pl.DataFrame) -> pl.DataFrame:
    return legs.select("wheel", "session", "premium", "exit_date", "exit_price", pl.col("reason").cast(pl.Int64))


def _entries(rows: pl.DataFrame, date: str, entry: str, amount: pl.Expr) -> pl.DataFrame:
    return rows.select(pl.col("wheel").cast(pl.Int64), date=pl.col(date), entry=pl.lit(entry), amount=amount.cast(pl.Float64))


def call_attempts(attempts: pl.DataFrame, wheels: pl.DataFrame, counts: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """One row per attempt of a launched wheel to sell a call: what was found, and `sold` or what emptied the field."""
    key = wheels.select("wheel", "wheel_session", "rank", "underlying")
    found = attempts.join(key, on="wheel", maintain_order="left").join(
        sessions.select("session", pl.col("number").cast(pl.Int64)), on="number", how="left", maintain_order="left"
    )
    found = found.join(counts, on="number", how="left", maintain_order="left").with_columns(
        pl.col("n_quotes", "n_valid").fill_null(0),
        n_solved=pl.col("calls_solved").fill_null(0),
        outcome=pl.col("status").replace_strict(names(EndReason) | {-1: "sold"}, return_dtype=pl.String),
    )
    wanted = [pl.col(name).cast(kind) for name, kind in CALL_DIAGNOSTICS.items() if name != "wheel_id"]
    return found.select("wheel_session", "rank", *wanted).sort("wheel_session", "rank", "cycle", "session")


def numbered(rows: pl.DataFrame, first_numbers: pl.DataFrame, columns: dict[str, pl.DataType], version: str) -> pl.DataFrame:
    """Give each row its wheel_id and put the wheels in their order, rows of a wheel staying as they are.

    Args:
        rows: with wheel_session, underlying and rank.
        first_numbers: per (wheel_session, underlying) `first`, the number of its first wheel.
        columns: the schema to return.
        version: what execution_version says.
    """
    joined = rows.join(first_numbers, on=["wheel_session", "underlying"], maintain_order="left")
    number = pl.col("first") + pl.col("rank")
    day = pl.col("wheel_session").dt.to_string("%Y-%m-%d")
    named = joined.with_columns(
        n=number,
        wheel_id=pl.concat_str([pl.col("underlying"), pl.lit("_"), day, pl.lit("_"), number.cast(pl.String)]),
        execution_version=pl.lit(version),
    )
    return named.sort("n", maintain_order=True).select([pl.col(name).cast(kind) for name, kind in columns.items()])
