"""Launched wheels -> what a user reads: records, cash ledger, attempts to sell a call (rules.md, sections 8 to 10).

Until wheels are numbered a row carries `wheel_session` and `rank`, its wheel's place among those its underlying launched
that session.
"""

import polars as pl

from wheelvec.spec.codes import BOUGHT_BACK, EndReason, ExitReason, State, Tier, names, states_after
from wheelvec.spec.config import Config
from wheelvec.spec.frames import CALL_DIAGNOSTICS, RECORDS
from wheelvec.stages.arrays import quotient


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
        roc=quotient(rows, "pnl", "initial_capital", 100.0),
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


def total_records(wheels: pl.DataFrame) -> pl.DataFrame:
    """Records of the phase total: one row per launched wheel."""
    resolved = pl.col("resolved")
    capital = pl.col("strike") * 100.0
    calendar_days = (pl.col("end_date") - pl.col("wheel_session")).dt.total_days()
    rows = wheels.with_columns(
        phase=pl.lit("total"),
        state=pl.when(resolved).then(pl.lit("WHEEL_COMPLETE")).otherwise(pl.lit("WHEEL_OPEN")),
        put_symbol="symbol",
        initial_capital=capital,
        entry_date="wheel_session",
        exit_date="end_date",
        premium=pl.col("premium") + pl.col("cc_premium").fill_null(0.0),
        fees=pl.col("fees") + pl.col("cc_fees").fill_null(0.0),
        total_days=pl.when(resolved).then(pl.col("days_held") + pl.col("cc_days").fill_null(0)),
        calendar_days=calendar_days,
        shares_held=pl.when(resolved).then(pl.col("held").cast(pl.Int64) * 100),
        csp_exit_reason=pl.col("reason").cast(pl.Int64).replace_strict(names(ExitReason), return_dtype=pl.String),
        cc_exit_reason=pl.col("cc_reason").replace_strict(names(ExitReason), return_dtype=pl.String),
        end_reason=pl.col("end_reason").replace_strict(names(EndReason), return_dtype=pl.String),
    )
    rows = rows.with_columns(symbol="underlying", wheel_roc=quotient(rows, "pnl", "initial_capital", 100.0))
    annual = pl.when(pl.col("calendar_days") != 0).then(quotient(rows, "wheel_roc", "calendar_days", 365.0))
    rows = rows.with_columns(roc_annualized=annual)
    leg_only = ("cycle", "exit_price", "exit_pct", "days_held", *_LEG_ONLY)
    return _as_records(rows.drop(leg_only, strict=False))


_LEG_ONLY = (
    "exit_reason", "roc", "cost_basis", "touch_count", "touch_profit_target", "filled_profit_target",
    "p_fill_profit_target", "u_fill_profit_target", "spread_pct_entry", "ivp_entry", "iv_entry", "delta_entry", "dte_entry",
    "liquidity_tier", "liquidity_penalty", "sessions_without_bar", "underlying_at_expiration",
)  # fmt: skip


def _as_records(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of RECORDS (wheel_id and version come last, with the numbering) and the place in the wheel order."""
    late, held = ("wheel_id", "execution_version"), rows.schema
    columns = [
        name if held.get(name) == kind else (pl.col(name) if name in held else pl.lit(None)).cast(kind).alias(name)
        for name, kind in RECORDS.items()
        if name not in late
    ]
    return rows.select("wheel_session", "rank", *columns)


def records(puts: pl.DataFrame, calls: pl.DataFrame, wheels: pl.DataFrame) -> pl.DataFrame:
    """All records of the launched wheels, wheel by wheel: put, calls by cycle, total."""
    parts = [leg_records(puts, wheels, "csp"), leg_records(calls, wheels, "cc"), total_records(wheels)]
    return pl.concat(parts).sort("wheel_session", "rank", pl.col("cycle").fill_null(2**31), maintain_order=True)


def ledger(
    puts: pl.DataFrame, calls: pl.DataFrame, wheels: pl.DataFrame, dividends: pl.DataFrame, config: Config
) -> pl.DataFrame:
    """The launched wheels as dated cash: premium, fees, buy_back, share_purchase, share_sale, and the dividends received.

    Under v5 a `notebook_adjustment` shows what the notebook booked without any cash behind it.
    """
    key = wheels.select("wheel", "wheel_session", "rank", "underlying")
    fee = config.costs.commission_per_contract + config.costs.sec_fee_per_contract
    bought = pl.col("reason").is_in([int(reason) for reason in BOUGHT_BACK])
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
        parts.append(_entries(dividends, "ex_date", "dividend", pl.col("amount")))
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
