"""Assigned puts, chain and paths -> the covered calls and how each wheel ends (rules.md, section 7).

All wheels of a slice go round together: each round tries to sell one call per wheel that still seeks one, on that wheel's
own session, and walks those that were sold.
"""

import dataclasses

import numpy as np
import polars as pl

from wheelvec.kernels.cover import CallSearch, Sales, sell_calls
from wheelvec.kernels.path import CALLED_AWAY, ExitRules, Underlying
from wheelvec.kernels.path import EXPIRED_WORTHLESS as EXPIRED
from wheelvec.spec.codes import EndReason, FillMode, Select
from wheelvec.spec.config import Config
from wheelvec.stages.arrays import (
    Array,
    Paths,
    column,
    fill_odds,
    group_starts,
    liquidity_limits,
    quote_arrays,
    walked,
    with_settlement,
)


def call_search(config: Config) -> CallSearch:
    """Which calls qualify under the configuration."""
    call, v5 = config.call, config.rules == "v5"
    return CallSearch(
        call.dte_min, call.dte_max, call.delta_min, call.delta_max, call.sell_call_only_if_price_above_basis,
        1.0 if v5 else 1.0 + call.strike_min_pct_above_basis, config.liquidity.ivp_over == "chain",
        int(Select[call.tie_break_method.upper()]), (call.delta_min + call.delta_max) / 2, v5,
    )  # fmt: skip


def call_rules(config: Config) -> ExitRules:
    """How the configuration ends a call."""
    call, v5 = config.call, config.rules == "v5"
    return ExitRules(
        is_call=True,
        exit_pct=config.put.exit_pct if call.exit_pct is None else call.exit_pct,
        stop_multiplier=np.nan if call.stop_loss_multiplier is None else call.stop_loss_multiplier,
        max_hold_dte=-1 if call.max_hold_dte is None else call.max_hold_dte,
        mode=int(FillMode[config.fills.fill_mode.upper()]),
        trigger=config.exit_model == "trigger",
        probabilistic=config.fills.use_probabilistic_exit_fills,
        missing_close_is_worthless=v5,
        called_away_at_strike=v5,
    )


def max_cycles(config: Config) -> float:
    """How many calls a wheel may sell; v5 sold one."""
    if config.rules == "v5":
        return 1
    return np.inf if config.call.max_cycles is None else config.call.max_cycles


def waits(config: Config) -> int:
    """On how many further sessions a call is sought; v5 tried once."""
    return 0 if config.rules == "v5" else config.call.call_wait_sessions


@dataclasses.dataclass
class _Round:
    """Where the wheels stand that still seek a call: arrays of equal length, one element a wheel."""

    wheel: Array
    basis: Array
    word: Array
    number: Array  # the session to try
    cycle: Array  # of the call sought
    waits_left: Array

    def only(self, which: Array) -> "_Round":
        return _Round(**{f.name: getattr(self, f.name)[which] for f in dataclasses.fields(self)})


def call_legs(
    puts: pl.DataFrame, chain: pl.DataFrame, counts: pl.DataFrame, paths: Paths, underlying: Underlying,
    sessions: pl.DataFrame, config: Config,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """Sell and walk the covered calls of every assigned put.

    Args:
        puts: assigned put legs: wheel, strike, price, word, expiration, exit_number.
        chain: solved chain of the underlying, in candidate order; its calls are the calls on offer.
        counts: per session number n_quotes and n_valid.
        paths, underlying: what contracts and the underlying traded at.
        sessions: session, number; must hold every settlement session that can be reached.

    Returns:
        The call legs (columns as put legs), one row per attempt to sell a call, and per wheel end_reason (code) and end_number.
    """
    offered = chain.filter(pl.col("option_type") == "C")
    quotes, numbers = quote_arrays(offered), column(offered, "number", np.int64)
    starts = group_starts(numbers, 0, sessions.height - 1)
    n_valid = np.zeros(sessions.height, np.int64)
    n_valid[column(counts, "number", np.int64)] = column(counts, "n_valid", np.int64)
    search, limits, odds, rules = (
        call_search(config),
        liquidity_limits(config.liquidity),
        fill_odds(config.fills),
        call_rules(config),
    )
    seeking = _first_round(puts, sessions, config)
    legs: list[pl.DataFrame] = []
    attempts: list[pl.DataFrame] = []
    ends: list[pl.DataFrame] = []
    while seeking.wheel.size or not legs:  # a round of no wheels gives the empty frames their columns
        sales = _empty_sales(seeking.wheel.size)
        sell_calls(seeking.number, seeking.basis, quotes, starts, n_valid, search, limits, odds, sales)
        attempts.append(_attempts(seeking, sales))
        sold = sales.row >= 0
        offers = _sold(offered, seeking.only(sold), sales, sold, sessions)
        leg = walked(offers, paths, underlying, rules, config.fills.execution_seed)
        legs.append(leg)
        again, ended = _after_sale(seeking.only(sold), leg, config)
        waiting, given_up = _after_failure(seeking.only(~sold), sales.status[~sold])
        ends += [ended, given_up]
        seeking = _Round(
            **{f.name: np.concatenate([getattr(again, f.name), getattr(waiting, f.name)]) for f in dataclasses.fields(_Round)}
        )
    return pl.concat(legs), pl.concat(attempts), pl.concat(ends)


def _first_round(puts: pl.DataFrame, sessions: pl.DataFrame, config: Config) -> _Round:
    n = puts.height
    strike, price = column(puts, "strike", np.float64), column(puts, "price", np.float64)
    number = column(puts, "exit_number", np.int64) + 1
    if config.rules == "v5":  # the notebook took the calendar day after the expiration, session or not
        after = puts.select(session=pl.col("expiration") + pl.duration(days=1)).join(
            sessions, on="session", how="left", maintain_order="left"
        )
        number = column(after.select(pl.col("number").fill_null(-1)), "number", np.int64)
    return _Round(
        wheel=column(puts, "wheel", np.int64),
        basis=(strike * 100.0 - price * 100.0) / 100.0,
        word=column(puts, "word", np.uint64),
        number=number,
        cycle=np.ones(n, np.int64),
        waits_left=np.full(n, waits(config), np.int64),
    )


def _empty_sales(n: int) -> Sales:
    kinds = {"ivp": np.float64, "penalty": np.float64, "price": np.float64, "p_fill": np.float64, "tier": np.int8}
    return Sales(**{name: np.zeros(n, kinds.get(name, np.int64)) for name in Sales._fields})


def _attempts(seeking: _Round, sales: Sales) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "wheel": seeking.wheel,
            "cycle": seeking.cycle,
            "number": seeking.number,
            "status": sales.status,
            "n_in_range": sales.in_range,
            "n_above_basis": sales.above_basis,
            "n_liquid": sales.liquid,
        }
    )


def _sold(offered: pl.DataFrame, sellers: _Round, sales: Sales, sold: Array, sessions: pl.DataFrame) -> pl.DataFrame:
    calls = offered[sales.row[sold]].with_columns(
        ivp=sales.ivp[sold], tier=sales.tier[sold], penalty=sales.penalty[sold], price=sales.price[sold],
        p_fill=sales.p_fill[sold], word=sellers.word, wheel=sellers.wheel, cycle=sellers.cycle,
    )  # fmt: skip
    return with_settlement(calls, sessions)


def _after_sale(sellers: _Round, legs: pl.DataFrame, config: Config) -> tuple[_Round, pl.DataFrame]:
    """Which wheels seek another call from the session after this one's end, and how the others ended."""
    reason, exit_number = column(legs, "reason", np.int64), column(legs, "exit_number", np.int64)
    idle = reason <= EXPIRED  # bought back or expired: the shares are free for the next call
    again = idle & (sellers.cycle < max_cycles(config))
    end = np.where(idle, int(EndReason.MAX_CYCLES), int(EndReason.UNRESOLVED))
    end[reason == CALLED_AWAY] = int(EndReason.CALLED_AWAY)
    following = sellers.only(again)
    following.number, following.cycle = exit_number[again] + 1, following.cycle + 1
    following.waits_left = np.full(following.wheel.size, waits(config), np.int64)
    return following, _ends(sellers.wheel[~again], end[~again], exit_number[~again])


def _after_failure(seekers: _Round, status: Array) -> tuple[_Round, pl.DataFrame]:
    """Which wheels wait a session longer, and why the others ended without a call."""
    again = seekers.waits_left > 0
    waiting = seekers.only(again)
    waiting.number, waiting.waits_left = waiting.number + 1, waiting.waits_left - 1
    return waiting, _ends(seekers.wheel[~again], status[~again], seekers.number[~again])


def _ends(wheel: Array, reason: Array, number: Array) -> pl.DataFrame:
    return pl.DataFrame({"wheel": wheel, "end_reason": reason.astype(np.int64), "end_number": number})
