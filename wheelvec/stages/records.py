"""Outcomes -> records: one row per phase, wheel by wheel (rules.md, section 10)."""

import numpy as np
import polars as pl

from wheelvec.model.codes import EndReason, ExitReason, State, Tier, names, states_after
from wheelvec.model.schemas import RECORDS
from wheelvec.model.version import VERSION
from wheelvec.stages.arrays import Array, taken
from wheelvec.stages.outcomes import (
    Recorded,
    Wheels,
    added_up,
    dates,
    is_resolved,
    leg_fees,
    named,
    nulled,
    premiums,
    same,
    underlying_of,
)

_REASONS, _ENDS, _TIERS = names(ExitReason), names(EndReason), names(Tier)
_STATES = states_after(State.CSP_OPEN), states_after(State.CC_OPEN)
_PHASES = {0: "csp", 1: "cc"}


def records(some: Wheels, recorded: Recorded) -> pl.DataFrame:
    """The records of wheels, in their order: put, calls by cycle, total (model.schemas.RECORDS)."""
    if not some.wheels.size:
        return pl.DataFrame(schema=RECORDS)
    legs, totals = _legs(some, recorded), _totals(some, recorded)
    count = some.wheels["legs"]
    rows = np.empty(some.legs.size + some.wheels.size, np.int64)
    at = np.arange(some.legs.size) + some.of_leg  # each wheel before has one row more, its total
    rows[at] = np.arange(some.legs.size)
    rows[np.cumsum(count) + np.arange(count.size)] = some.legs.size + np.arange(count.size)
    version = pl.lit(f"wheelvec {VERSION} {recorded.config.rules}").alias("execution_version")
    both = pl.concat([legs, totals], how="diagonal")[rows].with_columns(version)
    return both.select(
        [
            pl.col(name) if name in both.columns else pl.lit(None, kind).alias(name)
            for name, kind in RECORDS.items()
        ]
    )


def _wheel_columns(some: Wheels, recorded: Recorded) -> dict[str, pl.Series]:
    """(wheels,) the columns that are the same in all records of a wheel."""
    puts = some.legs[np.cumsum(some.wheels["legs"]) - some.wheels["legs"]]
    return {
        "wheel_id": some.ids,
        "underlying": underlying_of(some.wheels, recorded),
        "put_symbol": taken(recorded.symbols, puts["contract"]),
        "initial_capital": pl.Series(puts["strike"] * 100.0),
    }


def _legs(some: Wheels, recorded: Recorded) -> pl.DataFrame:
    legs, day, config = some.legs, recorded.day, recorded.config
    wheel = {
        name: taken(column, some.of_leg) for name, column in _wheel_columns(some, recorded).items()
    }
    known, is_call = is_resolved(legs), legs["cycle"] > 0
    premium, fees = premiums(legs), leg_fees(legs, recorded)
    paid = np.where(known, legs["exit_price"] * 100.0 * legs["contracts"], np.nan)
    pnl = premium - paid - fees
    entered, ended = day[legs["number"]], day[legs["exit_number"]]
    put_pct, call_pct = config.put.exit_pct, config.call.exit_pct
    codes = {
        "phase": (is_call.astype(np.int64), _PHASES),
        "exit_reason": (legs["reason"], _REASONS),
        "liquidity_tier": (legs["tier"], _TIERS),
    }
    # one that was not bought back for a corporate action is as open as one that awaits its close
    stranded = ~known & (legs["reason"] == ExitReason.CORPORATE_ACTION)
    states = np.where(stranded, int(ExitReason.OPEN), legs["reason"]) + is_call * len(ExitReason)
    capital = wheel["initial_capital"].to_numpy()
    symbol = exit_symbol = taken(recorded.symbols, legs["contract"])
    if (legs["contract"] != legs["exit_contract"]).any():
        exit_symbol = taken(recorded.symbols, legs["exit_contract"])
    columns = wheel | {
        "entry_date": dates(entered),
        "state": named(
            states, _STATES[0] | {len(ExitReason) + code: name for code, name in _STATES[1].items()}
        ),
        "cycle": legs["cycle"],
        "symbol": symbol,
        "strike": legs["strike"],
        "expiration": dates(legs["expiration_day"]),
        "premium": premium,
        "fees": fees,
        "contracts": legs["contracts"],
        "factor": legs["factor"],
        "exit_symbol": exit_symbol,
        "exit_date": dates(ended, known),
        "pnl": pnl,
        "exit_price": paid,
        "exit_pct": np.where(is_call, put_pct if call_pct is None else call_pct, put_pct),
        "days_held": nulled(ended - entered, known),
        "roc": 100.0 * pnl / capital,
        "cost_basis": legs["strike"] * 100.0 * legs["contracts"],
        "touch_count": legs["touches"],
        "touch_profit_target": legs["touches"] > 0,
        "filled_profit_target": legs["reason"] == ExitReason.PROFIT_TARGET,
        "p_fill_profit_target": legs["p_fill"],
        "u_fill_profit_target": legs["u"],
        "spread_pct_entry": legs["spread_pct"],
        "ivp_entry": legs["ivp"],
        "iv_entry": legs["iv"],
        "delta_entry": legs["delta"],
        "dte_entry": legs["dte"],
        "liquidity_penalty": legs["penalty"],
        "sessions_without_bar": nulled(legs["missing"], known),
        "underlying_at_expiration": legs["settlement_close"],
    }
    columns |= {name: named(*code) for name, code in codes.items()}
    return _framed(columns)


def _totals(some: Wheels, recorded: Recorded) -> pl.DataFrame:
    wheels, legs, day = some.wheels, some.legs, recorded.day
    begin = np.cumsum(wheels["legs"]) - wheels["legs"]
    puts, last = legs[begin], legs[begin + wheels["legs"] - 1]
    known, premium, fees = wheels["resolved"], premiums(legs), leg_fees(legs, recorded)
    entered, ended = day[wheels["number"]], day[wheels["end"]]
    held = day[legs["exit_number"]] - day[legs["number"]]
    roc = _only(100.0 * wheels["pnl"] / (puts["strike"] * 100.0), known)
    calendar = ended - entered
    with np.errstate(divide="ignore", invalid="ignore"):
        annual = np.where(calendar != 0, 365.0 * roc / calendar, np.nan)
    shared = _wheel_columns(some, recorded)
    columns = shared | {
        "entry_date": dates(entered),
        "phase": same("total", wheels.size),
        "state": named(known.astype(np.int64), {0: "WHEEL_OPEN", 1: "WHEEL_COMPLETE"}),
        "symbol": shared["underlying"],
        "strike": puts["strike"],
        "expiration": dates(puts["expiration_day"]),
        "premium": premium[begin] + added_up(premium, some),
        "fees": fees[begin] + added_up(fees, some),
        "exit_date": dates(ended, known),
        "pnl": _only(wheels["pnl"], known),
        "csp_pnl": wheels["csp_pnl"],
        "cc_pnl": _only(wheels["cc_pnl"], known),
        "stock_pnl": _only(wheels["stock_pnl"], known),
        "pnl_marked": wheels["marked"],
        "wheel_roc": roc,
        "roc_annualized": annual,
        "total_days": nulled(held[begin] + added_up(held, some), known),
        "calendar_days": nulled(calendar, known),
        "shares_held": nulled(wheels["held"] * wheels["lots"] * 100, known),
        "csp_exit_reason": named(puts["reason"], _REASONS),
        "cc_exit_reason": named(np.where(wheels["legs"] > 1, last["reason"], -1), _REASONS),
        "end_reason": named(wheels["end_reason"], _ENDS),
        "censored": wheels["censored"],
        "carried": wheels["passed"],
    }
    return _framed(columns)


def _only(values: Array, known: Array) -> Array:
    return np.where(known, values, np.nan)


def _framed(columns: dict[str, pl.Series | Array]) -> pl.DataFrame:
    """A frame of columns; NaN becomes null."""
    series = [
        column.alias(name)
        if isinstance(column, pl.Series)
        else pl.Series(name, column, nan_to_null=column.dtype.kind == "f")
        for name, column in columns.items()
    ]
    return pl.DataFrame(series)
