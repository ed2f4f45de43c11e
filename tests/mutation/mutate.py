"""Break the rules one at a time, and see whether comparing the engine with the scalar reference
notices.

    python -m tests.mutation.mutate [--only NAME] [--jobs 1] [--compiled]

CHANGES is the table: each row replaces one text, which must occur exactly once in its file, and so
breaks one rule of the wheel. For each row the package and its tests are copied to a temporary
folder, the change is made there, and tests/mutation/compare.py is run in a separate process. A
difference kills the change; one that nothing notices survives, which is a gap in compare.py's cases
unless `equivalent` says why no data can show it. The unchanged package must pass first; its run also
keeps the reference's answers for the others. It runs compiled; what changes then runs with the
kernels of the rules as plain Python, which is the same source and saves compiling it anew, half a
minute each time. `--compiled` compiles them all the same. Compiled functions that a change cannot
reach are copied with the folder.

`--only` runs the changes whose name contains the text. The exit status is 1 if any change survives
that is not expected to, or dies though it is. Expect 3 to 10 seconds a change on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("wheelvec", "tests")
TIMEOUT = 300.0  # seconds; a change that never ends is noticed too
QUOTE, DRAWS, STANDING = (f"kernels/{name}.py" for name in ("quotes", "draws", "collapse"))
LAYOUT, LAID, SUCCESSION = "kernels/layout.py", "stages/slices.py", "stages/succession.py"
EXITS, CALLS, WHEEL, RECORD = (
    f"kernels/{name}.py" for name in ("exits", "calls", "wheel", "record")
)
ENTRIES, CELLS = (f"kernels/{name}.py" for name in ("entries", "evaluate"))
ARRAYS, CHAIN, OUTCOMES, RECORDS, SUMMARY = (
    f"stages/{name}.py" for name in ("arrays", "chain", "outcomes", "records", "summary")
)
SLICES, OPENINGS = "run/slicing/slices.py", "run/signals/schedule.py"
PARAMETERS, FEES = "stages/parameters.py", "kernels/fees.py"
HAPPENED, EXERCISE = "kernels/events.py", "kernels/exercise.py"
EVENTS, DUE = (f"stages/{name}.py" for name in ("events", "exercise"))
SEEN = "tables/suspected.py"
# Whose compiled code holds code of another: a change of the key makes those of the value stale.
REACHES = {
    QUOTE: ("quotes", "entries", "evaluate", "calls", "exits", "record"),
    EXITS: ("exits", "evaluate", "calls", "record"),
    CALLS: ("calls", "record"),
    WHEEL: ("wheel", "calls", "record"),
    FEES: ("exits", "evaluate", "calls", "wheel", "record"),
    RECORD: ("record",),
    ENTRIES: ("entries", "record"),
    CELLS: ("evaluate", "record"),
    DRAWS: ("draws", "exits", "calls", "record"),
    STANDING: ("collapse",),
    LAYOUT: ("layout",),
    HAPPENED: ("exits", "evaluate", "calls", "wheel", "record"),
    EXERCISE: ("exercise", "evaluate", "calls", "record"),
}


@dataclass(frozen=True)
class Change:
    """One wrong change; `equivalent` is the reason why nothing can notice it."""

    name: str
    file: str  # below wheelvec/
    old: str
    new: str
    rule: str  # what it breaks, with the section of the rules
    equivalent: str = ""


CHANGES: tuple[Change, ...] = (
    # -- schedule (section 1)
    # ------------------------------------------------------------------------------------------
    Change("every_from_start", OPENINGS, "(since_first % self.every == 0)", "((since_first + self.offset) % self.every == 0)", "1: (i - offset) is a multiple of every, not i"),
    Change("offset_ignored", OPENINGS, " - inside.argmax() - self.offset", " - inside.argmax()", "1: i >= offset"),
    Change("before_offset", OPENINGS, "inside & (since_first >= 0) & ", "inside & ", "1: no entry before the offset"),
    Change("numbered_from_month", OPENINGS, "np.arange(days.size) - inside.argmax()", "np.arange(days.size)", "1: session 0 is at start_date"),
    Change("weekday_shifted", OPENINGS, "+ 3) % 7 + 1", "+ 4) % 7 + 1", "1: ISO weekdays"),
    Change("one_at_a_time", RECORD, "put.number <= busy[0]", "put.number < busy[0]", "1: session > the exit date"),
    Change("day_limit", ENTRIES, "if today == most:", "if today == most + 1:", "1: the first n candidates"),
    Change("signals_ignored", RECORD, "if not signalled[put.number] or (", "if False or (", "1: only the pairs of `when`"),
    Change("busy_until_put", CALLS, "settlement = max(settlement, sale.settlement)", "settlement = put.settlement", "1: an unresolved wheel is busy to the last settlement among its legs"),
    # -- the chain at entry (section 2)
    # --------------------------------------------------------------------------------
    Change("minute_end", STANDING, "at < start + ", "at <= start + ", "2: the minute excludes its end"),
    Change("minute_start", STANDING, "at >= start", "at > start", "2: the minute includes its start"),
    Change("first_quote", STANDING, "if is_valid(quoted, i):", "if is_valid(quoted, i) and last < 0:", "2: the last valid quote"),
    Change(
        "last_then_valid", STANDING, "if is_valid(quoted, i):\n                last = i", "last = i if is_valid(quoted, i) else -1",
        "2: the last valid quote, not the last quote if valid",
    ),
    Change("rate_ignored", CHAIN, "        rate[number],", "        0.0 * rate[number],", "2: rate"),
    Change("rate_first", CHAIN, "        rate[number],", "        rate[0 * number],", "2: the rate of the session"),
    Change("yield_ignored", CHAIN, "        dividend_yield[number],", "        0.0 * dividend_yield[number],", "2: yield"),
    Change("rate_before", CHAIN, 'side="right")', 'side="left")', "2: the last value on or before the session"),
    Change("years_360", CHAIN, "/ 365.0", "/ 360.0", "2: years = dte/365"),
    # -- candidates (section 3)
    # ----------------------------------------------------------------------------------------
    Change("put_dte_max", ENTRIES, "dte[r] <= common.dte_max:", "dte[r] < common.dte_max:", "3: dte <= dte_max"),
    Change("put_dte_min", ENTRIES, "end, common.dte_min)", "end, common.dte_min + 1)", "3: dte_min <= dte"),
    Change("rank_lowest", QUOTE, "(below + below + equal - 1) / 2.0 + 1.0", "below + 1.0", "3: ties share their average rank"),
    Change("rank_ties", QUOTE, "equal += values[k] == value", "equal += k == i", "3: ties have one rank"),
    Change("rank_from_zero", QUOTE, "(below + below + equal - 1) / 2.0 + 1.0", "(below + below + equal - 1) / 2.0", "3: percentile in (0, 1]"),
    Change("min_ranked", QUOTE, "n < limits.min_ranked", "n <= limits.min_ranked", "3: 0.5 with fewer, not as many"),
    Change(
        "chain_min_ranked", LAID, "few = ranked < min_ranked", "few = ranked <= min_ranked",
        "3: 0.5 with fewer, not as many",
    ),
    Change("chain_rank_lowest", LAID, '.rank("average")', '.rank("min")', "3: average rank over the chain"),
    Change(
        "chain_rank_sessions", LAID, '.rank("average").over("number")', '.rank("average")',
        "3: ranked among its own session",
    ),
    Change("rank_over_candidates", QUOTE, "if rank_over_chain:", "if False:", "3: ivp_over chain"),
    Change("extreme_allowed", QUOTE, "extreme_threshold:\n        allowed", "extreme_threshold + 1e-9:\n        allowed",
           "3: ivp >= extreme threshold"),
    Change("high_allowed", QUOTE, "high_threshold:\n        allowed", "high_threshold + 1e-9:\n        allowed",
           "3: ivp >= high threshold"),
    Change("allowed_swapped", QUOTE, "allowed = limits.extreme_spread", "allowed = limits.high_spread", "3: extreme spread"),
    Change("short_dte", QUOTE, "dte <= limits.short_dte:", "dte < limits.short_dte:", "3: dte <= short_dte_threshold"),
    Change("short_dte_extra", QUOTE, "allowed += limits.short_dte_extra", "allowed += 0.0", "3: the allowance of short dte"),
    Change("hard_max", QUOTE, "spread_pct > limits.hard_max_spread", "spread_pct >= limits.hard_max_spread", "3: > hard max"),
    Change("hard_max_ignored", QUOTE, "spread_pct > limits.hard_max_spread or ", "", "3: hard_max_spread_pct"),
    Change("min_bid", QUOTE, "bid < limits.min_bid", "bid <= limits.min_bid", "3: bid < min_bid_hard is rejected"),
    Change("rejected_call_sold", CALLS, "grades.chosen[i] = grades.tier[i] != REJECTED", "grades.chosen[i] = True", "7: rejected calls are not sold"),
    Change("tight_share", QUOTE, "0.6 * allowed", "0.5 * allowed", "3: tight up to 0.6 of what is allowed"),
    Change("tight_bound", QUOTE, "spread_pct <= 0.6 * allowed", "spread_pct < 0.6 * allowed", "3: <= 0.6 of allowed"),
    Change("moderate_bound", QUOTE, "spread_pct <= allowed", "spread_pct < allowed", "3: <= allowed is moderate"),
    Change("penalty_moderate", QUOTE, "return 1.15", "return 1.0", "3: penalty of moderate"),
    Change("penalty_wide", QUOTE, "else 1.35", "else 1.15", "3: penalty of wide"),
    Change(
        "dte_target_tie", QUOTE, "abs(nearest - dte_target) and dte[i] < nearest)",
        "abs(nearest - dte_target) and dte[i] > nearest)", "3: of two expirations the nearer one",
    ),
    Change("dte_target_least", QUOTE, "abs(dte[i] - dte_target) < abs(nearest - dte_target)", "dte[i] < nearest",
           "3: the expiration closest to dte_target"),
    Change("delta_unsigned", QUOTE, "-abs(quotes.delta[i] - target)", "-abs(quotes.delta[i])", "3: closest_delta"),
    Change("premium_of_bid", QUOTE, "return quotes.mid[i] if select", "return quotes.bid[i] if select", "3: premium is mid"),
    Change("select_swapped", QUOTE, "if select == HIGHEST_PREMIUM", "if select != HIGHEST_PREMIUM", "3: highest_strike"),
    Change("select_last", QUOTE, "merit(quotes, i, select, target) > merit", "merit(quotes, i, select, target) >= merit", "3: ties go to the first"),
    Change("put_delta_target", PARAMETERS, 'np.where(np.isnan(delta), (out["delta_min"] + out["delta_max"]) / 2, delta)', 'np.where(np.isnan(delta), out["delta_min"], delta)', "3: middle of the range"),
    Change("put_delta_set", PARAMETERS, "np.where(np.isnan(delta), ", "np.where(True, ", "3: delta_target"),
    # -- prices (section 4)
    # --------------------------------------------------------------------------------------------
    Change("f_optimistic", QUOTE, "return 0.0\n", "return 0.1\n", "4: optimistic concedes nothing"),
    Change("f_realistic", QUOTE, "else 0.30", "else 0.25", "4: realistic concedes 0.30"),
    Change("f_pessimistic", QUOTE, "return 0.75", "return 0.70", "4: pessimistic concedes 0.75"),
    Change("f_natural", QUOTE, "else 0.30", "else 0.0 if mode == NATURAL else 0.30", "4: a natural stop concedes 0.30"),
    Change("entry_natural", QUOTE, "return tick_down(bid, ticks)", "return tick_down(mid, ticks)", "4: natural sells at the bid"),
    Change("entry_clamp", QUOTE, "max(bid, min(ask, mid - concession(mode) * (ask - bid) * penalty))", "mid - concession(mode) * (ask - bid) * penalty", "4: clamped to the quote"),
    Change("entry_clamp_ask", QUOTE, "min(ask, mid - concession(mode) * (ask - bid) * penalty)",
           "mid - concession(mode) * (ask - bid) * penalty", "4: clamped to the ask",
           equivalent="no mode concedes less than nothing, so an entry price is never above the mid"),
    Change("entry_penalty", QUOTE, "(ask - bid) * penalty))", "(ask - bid)))", "4: the penalty counts at entry"),
    Change("exit_penalty", EXITS, "* penalty\n    if mode == NATURAL", "\n    if mode == NATURAL", "4: penalty at the market"),
    Change("stop_penalty", EXITS, "((high - low) * penalty)", "(high - low)", "4: the penalty counts at a stop"),
    Change("exit_natural", EXITS, "spread_pct / 2.0", "spread_pct", "4: natural adds half a spread"),
    Change("exit_optimistic_low", EXITS, "max(rows.low[r], rows.close[r] - 0.25 * spread)", "rows.close[r] - 0.25 * spread", "4: optimistic pays at least the low"),
    Change("exit_optimistic", EXITS, "0.25 * spread", "0.30 * spread", "4: optimistic saves 0.25 of the range"),
    Change("exit_high", EXITS, "min(rows.high[r], rows.close[r] + f * spread)", "rows.close[r] + f * spread", "4: at most the high"),
    Change("stand_in_as_bar", EXITS, "if rows.is_quote[r]:", "if False:", "4: a quote that stands for a bar"),
    Change("stand_in_mid", EXITS, "            return ask\n", "            return rows.close[r]\n", "4: natural pays the ask"),
    Change("stand_in_clamp", EXITS, "min(ask, rows.close[r] + f * (ask - bid) * penalty)", "rows.close[r] + f * (ask - bid) * penalty", "4: at most the ask"),
    Change("stand_in_penalty", EXITS, "f * (ask - bid) * penalty)", "f * (ask - bid))", "4: the penalty counts on a quote"),
    Change("stand_in_stop", EXITS, "at.at_market = rows[r].is_quote or not common.trigger", "at.at_market = not common.trigger", "4: a quote prices every exit in both models"),
    Change("stop_gap", EXITS, "max(opened, stop)", "stop", "4: a gap through the stop is paid"),
    Change("stop_high", EXITS, "min(high, max(opened, stop) + concession(mode) * ((high - low) * penalty))", "max(opened, stop) + concession(mode) * ((high - low) * penalty)", "4: a stop pays at most the high"),
    Change("target_late", EXITS, "min(opened, target) if touches == 1 else target", "min(opened, target)", "4: a missed order is not rewarded"),
    Change("target_open", EXITS, "min(opened, target) if touches == 1 else target", "target", "4: a first touch gets a better open"),
    Change("put_trigger", PARAMETERS, 'out["trigger"] = trigger | (unset & ~out["v5"])', 'out["trigger"] = True', "4: exit_model close_range"),
    Change("call_trigger", PARAMETERS, 'out["trigger"] = trigger | (unset & ~out["v5"])', 'out["trigger"] = False', "4: exit_model trigger"),
    Change("hold_price", EXITS, "Walked(MAX_HOLD_DTE, b, bar.market,", "Walked(MAX_HOLD_DTE, b, bar.open,", "4: max_hold_dte at the market"),
    Change("fees_expired", OUTCOMES, "np.where(is_bought_back(legs), purchase, 0.0)", "purchase", "4: an expired leg pays once"),
    Change("fees_bought", OUTCOMES, "np.where(is_bought_back(legs), purchase, 0.0)", "0.0", "4: a buy-back pays twice"),
    Change("fees_sec", FEES, " + contracts * costs.sec_fee_per_contract", "", "4: both fees"),
    # -- probabilistic fills and the draw (section 5)
    # ------------------------------------------------------------------
    Change("pfill_tight", QUOTE, "spread_pct <= odds.tight_spread", "spread_pct < odds.tight_spread", "5: <= tight"),
    Change("pfill_normal", QUOTE, "spread_pct <= odds.normal_spread", "spread_pct < odds.normal_spread", "5: <= normal"),
    Change("pfill_extreme", QUOTE, "extreme_threshold:\n        p *=", "extreme_threshold + 1e-9:\n        p *=",
           "5: ivp >= extreme threshold"),
    Change("pfill_high", QUOTE, "high_threshold:\n        p *=", "high_threshold + 1e-9:\n        p *=",
           "5: ivp >= high threshold"),
    Change("pfill_swapped", QUOTE, "p *= odds.extreme_mult\n    elif ivp >= limits.high_threshold:\n        p *= odds.high_mult",
           "p *= odds.high_mult\n    elif ivp >= limits.high_threshold:\n        p *= odds.extreme_mult",
           "5: which multiplier is whose"),
    Change("pfill_scale", QUOTE, "p *= odds.scale", "p *= 1.0", "5: pfill_scale"),
    Change("pfill_clamp", QUOTE, "return max(odds.lowest, min(odds.highest, p))", "return p", "5: clamped"),
    Change("pfill_floor", QUOTE, "return max(odds.lowest, min(odds.highest, p))", "return min(odds.highest, p)", "5: pfill_min"),
    Change("pfill_ceiling", QUOTE, "min(odds.highest, p)", "p", "5: pfill_max"),
    Change("fill_bound", EXITS, "u <= chance:", "u < chance:", "5: fills if u <= p_fill"),
    Change("always_drawn", EXITS, "            if rule.probabilistic:\n                u = drawn", "            if True:\n                u = drawn", "5: u is null where nothing is drawn"),
    Change("never_missed", EXITS, "if not rule.probabilistic or u <= chance:", "if True:", "5: a touch may be missed"),
    Change("touch_from_one", DRAWS, "    if touch == of.known:\n        kept.u[i, touch] = draw(seed, word, phase, touch)", "    if touch == of.known:\n        kept.u[i, touch] = draw(seed, word, phase, touch + 1)", "5: touch counts from 0"),
    Change("phase_zero", DRAWS, "draw(seed, word, phase, touch)\n        of.known", "draw(seed, word, 0, touch)\n        of.known", "5: phase n"),
    Change("rounds", DRAWS, "_ROUNDS = 10", "_ROUNDS = 9", "5: Philox4x32-10"),
    Change("u_bits", DRAWS, "x1 >> np.uint64(6)", "x1 >> np.uint64(5)", "5: 53 bits"),
    Change("entry_in_word", DRAWS, "strike_milli[i], 0, entry_day[i]", "strike_milli[i], 0, 0", "5: the entry session is named"),
    Change("seed_high", DRAWS, "seed & _LOW, seed >> _SHIFT", "seed & _LOW, seed & _LOW", "5: both halves of the seed"),
    # -- the path (section 6)
    # ------------------------------------------------------------------------------------------
    Change("target_before_stop", EXITS, "        if bar.high >= stop:", "        if bar.high >= stop and not bar.low <= target:", "6: the stop is tested first"),
    Change("stop_bound", EXITS, "bar.high >= stop:", "bar.high > stop * (1.0 + 2e-9):", "6: high >= the stop"),
    Change("target_bound", EXITS, "bar.low <= target:", "bar.low < target * (1.0 - 2e-9):", "6: low <= the target"),
    Change("stop_counts_touch", EXITS, "            return Walked(\n                STOP_LOSS,", "            touches += bar.low <= target\n            return Walked(\n                STOP_LOSS,", "6: a stopping bar counts no touch"),
    Change("hold_bound", EXITS, "bar.left <= levels.hold", "bar.left < levels.hold", "6: <= max_hold_dte"),
    Change("hold_first", EXITS, "        if bar.high >= stop:", "        if bar.left <= levels.hold:\n            return Walked(MAX_HOLD_DTE, b, bar.market, touches, u)\n        if bar.high >= stop:", "6: max_hold_dte comes last"),
    Change("entry_bar", LAYOUT, "rows[first].number <= number", "rows[first].number < number", "6: strictly after the entry session"),
    Change("settlement_bar", LAYOUT, "rows[end - 1].number > contracts[c].settlement", "rows[end - 1].number >= contracts[c].settlement", "6: through the settlement session"),
    Change("without_bar", RECORD, "number - put.number - bars)", "number - put.number - bars + 1)", "6: counted from the day after entry"),
    Change("without_bar_open", RECORDS, 'nulled(legs["missing"], known)', 'legs["missing"]', "6: null on an unresolved leg"),
    Change("gap_skip", SLICES, 'gap_path == "quote")', "False)", "6: gap_path quote"),
    Change("gap_quote", SLICES, 'gap_path == "quote")', "True)", "6: gap_path skip"),
    Change("assigned_bound", EXITS, "cents < strike_cents", "cents <= strike_cents", "6: close < strike"),
    Change("called_bound", EXITS, "away = cents > strike_cents", "away = cents >= strike_cents", "7: close > strike"),
    Change("close_floor", EXITS, "np.rint(close * 100.0)", "np.floor(close * 100.0)", "units: whole cents"),
    Change("close_raw", EXITS, "cents = np.int64(np.rint(close * 100.0))", "cents = close * 100.0", "units: whole cents"),
    Change("strike_floor", LAID, "np.rint(settled * 100.0)", "(settled * 100.0)", "units: whole cents"),
    Change("open_no_data", EXITS, "return OPEN if settlement_number > last_bar", "return OPEN if settlement_number <= last_bar", "6: open after the last bar, else no_data"),
    Change("open_bound", EXITS, "OPEN if settlement_number > last_bar", "OPEN if settlement_number >= last_bar", "6: open after the last bar", equivalent="the session of the last bar has a close, so it never comes to that test"),
    Change("saturday_next", SUCCESSION, 'side="right") - 1', 'side="left")',
           "6: the last session on or before the expiration"),
    Change("settle_before", SUCCESSION, 'side="right") - 1', 'side="left") - 1',
           "6: on the expiration itself"),
    # -- covered calls (section 7)
    # -------------------------------------------------------------------------------------
    Change("call_same_day", CALLS, "        return put.settlement + 1\n", "        return put.settlement\n", "7: the first session after the assignment"),
    Change("next_call_same_day", CALLS, "cycle + 1, end + 1, call.waits", "cycle + 1, end, call.waits", "7: the following session"),
    Change("wait_same_day", CALLS, "waits - 1, number + 1", "waits - 1, number", "7: waits are further sessions"),
    Change("waits_bound", CALLS, "if waits == 0 or", "if waits < 0 or", "7: up to call_wait_sessions more"),
    Change("waits_once", CALLS, "cycle + 1, end + 1, call.waits", "cycle + 1, end + 1, waits", "7: for every call sought"),
    Change("max_cycles_bound", CALLS, "cycle >= call.max_cycles", "cycle > call.max_cycles", "7: max_cycles"),
    Change("basis_strike", CALLS, " - put.price * 100.0) / (100.0 * lots)", ") / (100.0 * lots)", "7: basis less the premium"),
    Change("floor_bound", CALLS, "quotes.strike[r] >= floor:", "quotes.strike[r] > floor * (1.0 + 2e-9):", "7: strike >= the floor"),
    Change("floor_factor", PARAMETERS, '1.0 + rules.column("call.strike_min_pct_above_basis")', "1.0", "7: the percentage above basis"),
    Change("floor_ignored", CALLS, "if not call.above_basis or quotes.strike[r] >= floor:", "if True:", "7: sell_call_only_if_price_above_basis"),
    Change("floor_always", CALLS, "if not call.above_basis or ", "if ", "7: sell_call_only_if_price_above_basis False"),
    Change("call_dte_max", CALLS, "quotes.dte[r] <= call.dte_max", "quotes.dte[r] < call.dte_max", "7: dte <= dte_max"),
    Change("call_dte_min", CALLS, "call.dte_min <= quotes.dte[r]", "call.dte_min < quotes.dte[r]", "7: dte_min <= dte"),
    Change("no_call_swapped", CALLS, "else NO_CALL_ABOVE_BASIS\n            if above == 0\n            else NO_CALL_LIQUID", "else NO_CALL_LIQUID\n            if above == 0\n            else NO_CALL_ABOVE_BASIS", "7: the first that emptied it"),
    Change("no_calls_at_all", CALLS, "or slice_.valid[number] == 0", "or slice_.call_starts[number] == slice_.call_starts[number + 1]", "7: no_call_quotes counts puts"),
    Change("call_exit_pct", PARAMETERS, 'rules.column("put.exit_pct"), own)', "0.5, own)", "7: exit_pct None is the put's"),
    Change("call_stop", PARAMETERS, 'out["stop_multiplier"] = rules.column("call.stop_loss_multiplier")', 'out["stop_multiplier"] = np.nan_to_num(rules.column("call.stop_loss_multiplier"), nan=2.0)', "7: stop_loss_multiplier None is none"),
    Change("call_delta_target", PARAMETERS, '_set_moneyness(rules, "call", out, (out["delta_min"] + out["delta_max"]) / 2)', '_set_moneyness(rules, "call", out, out["delta_min"])', "7: middle of the range"),
    Change("call_ends", CALLS, "END_CALLED_AWAY if last_reason == CALLED_AWAY else MAX_CYCLES", "END_CALLED_AWAY", "7: max_cycles holds the shares"),
    # -- P&L (section 8)
    # -----------------------------------------------------------------------------------------------
    Change("held_forgotten", WHEEL, "calls.last_strike if away else underlying.close[sold]", "calls.last_strike if away else strike", "8: held shares are sold"),
    Change("premium_twice", WHEEL, "stock = (sale * grown - strike) * 100.0 * put.contracts", "stock = (sale * grown - strike) * 100.0 * put.contracts + put.premium", "8: the premium is never counted twice"),
    Change("no_close_resolved", WHEEL, "resolved = resolved and sold >= 0", "resolved = resolved and True", "8: no close for held shares: unresolved"),
    Change("dividend_on_purchase", WHEEL, "if first_day < ex_day", "if first_day <= ex_day", "8: held overnight into the ex-date"),
    Change("dividend_on_sale", WHEEL, "ex_day <= last_day", "ex_day < last_day", "8: held overnight into the ex-date"),
    Change("dividend_per_share", WHEEL, "received += slice_.dividends.paid[i]", "received += slice_.dividends.paid[i] / 100.0", "8: 100 shares"),
    Change("mark_no_call", WHEEL, " + still_open\n", "\n", "8: the mark holds the open call"),
    Change("mark_premium", CALLS, "else rows[r].close", "else sale.price", "8: the open call at its last close"),
    Change("mark_zero", CALLS, "return sale.price if r < quote.first", "return 0.0 if r < quote.first", "8: without a bar, at its premium"),
    Change("mark_fees", CALLS, "still_open += premium - fees - mark", "still_open += premium - mark", "8: the open call's fees"),
    Change("mark_closed_calls", WHEEL, "marked = csp + calls.closed + (", "marked = csp + (", "8: the mark holds closed calls"),
    Change("mark_day", CALLS, "while r >= quote.first and rows[r].number > session:", "while False:", "8: on or before the underlying's last bar"),
    Change("mark_bound", CALLS, "rows[r].number > session", "rows[r].number >= session", "8: on or before"),
    Change("mark_without_bar", CALLS, "sale.price if r < quote.first else", "sale.price if r < 0 else", "8: without a bar since the sale its premium"),
    Change("capital_net", RECORDS, 'pl.Series(puts["strike"] * 100.0)', 'pl.Series((puts["strike"] - puts["price"]) * 100.0)', "8: initial capital is the strike's"),
    Change("annual_360", RECORDS, "365.0 * roc", "360.0 * roc", "10: 365 days"),
    Change("total_days_put", RECORDS, "held[begin] + added_up(held, some)", "held[begin]", "8: total_days sums the legs"),
    Change("fees_of_put", RECORDS, "fees[begin] + added_up(fees, some)", "fees[begin]", "10: fees of the legs"),
    Change("first_call_reason", RECORDS, 'legs[begin + wheels["legs"] - 1]', 'legs[np.minimum(begin + 1, begin + wheels["legs"] - 1)]', "10: of the last call"),
    Change("first_call_strike", CALLS, "        strike = slice_.contracts.strike[delivered]\n        settlement", "        strike = slice_.contracts.strike[delivered] if cycle == 1 else strike\n        settlement", "8: the strike called is the last call's"),
    # -- records and summary (section 10)
    # ------------------------------------------------------------------------------
    Change("censored_bound", CELLS, "settlement > slice_.underlying.last_bar", "settlement >= slice_.underlying.last_bar", "10: settlement after the last bar"),
    Change("censored_counted", SUMMARY, 'return pl.col("pnl_marked").is_not_null() & ~pl.col("censored")', 'return pl.col("pnl_marked").is_not_null()', "10: censored wheels are left out"),
    Change("std_population", SUMMARY, "roc.spread / (roc.count - 1)", "roc.spread / roc.count", "10: sample deviation"),
    Change("roc_resolved", SUMMARY, 'quotient(wheels, "pnl_marked"', 'quotient(wheels, "pnl"',
           "10: roc from the mark"),
    Change("open_of_put", SUMMARY, '(pl.col("csp_exit_reason") == "open") | (\n        pl.col("cc_exit_reason") == "open"\n    ).fill_null(False)',
           'pl.col("csp_exit_reason") == "open"', "10: open by put or call"),
    Change("worst_premium", SUMMARY, 'nothing = pl.col("put_premium") - pl.col("initial_capital")', 'nothing = -pl.col("initial_capital")', "10: the premium stays"),
    Change("held_all", SUMMARY, 'inside.filter(pl.col("shares_held") > 0)', 'wheels.filter(pl.col("shares_held") > 0)',
           "10: held wheels in the summary",
           equivalent="shares are held at a known end only, and a put censored is never assigned: such a wheel is inside"),
    Change("targets_limit", SUMMARY, "np.floor) * (1 + ROUNDING)", "np.floor) * (1 - ROUNDING)", "10: above the limit, not at it"),
    Change("stops_of_put", SUMMARY, "for rules in (config.put, config.call))", "for rules in (config.put, config.put))", "10: each leg's own stop"),
    # -- limits, ticks, moneyness, fees of orders and deliveries, waiting sales
    # ----------------------------------------
    Change("slack_under_v5", PARAMETERS, 'lambda name: name == "v5", np.bool_), 0.0, SLACK)', "lambda name: False, np.bool_), 0.0, SLACK)", "11: doubles are compared as they are"),
    Change("tick_of_entry", QUOTE, "return tick_down(max(bid", "return tick_up(max(bid", "4: what is sold is rounded down"),
    Change("tick_of_market", EXITS, "at.market = tick_up(", "at.market = tick_down(", "4: what is bought is rounded up"),
    Change("tick_of_stop", EXITS, "return tick_up(price * multiplier", "return tick_down(price * multiplier",
           "4: the stop's level is rounded up"),
    Change("tick_of_target", EXITS, "return tick_down(price * exit_pct", "return tick_up(price * exit_pct",
           "4: the target's level is rounded down"),
    Change("tick_default", PARAMETERS, "np.where(v5, 0.0, 0.01)", "0.0", "4: a cent unless set"),
    Change("tick_under_v5", PARAMETERS, "np.where(v5, 0.0, 0.01)", "0.01", "11: none unless set"),
    Change("otm_ignored", ENTRIES, "if common.by_otm:", "if False:", "3: otm_min, otm_max"),
    Change("call_otm_ignored", CALLS, "if call.by_otm and not", "if False and not", "7: otm_min, otm_max of calls"),
    Change("otm_target", QUOTE, "-abs(quotes.otm[i] - target)", "-abs(quotes.otm[i])", "3: closest_otm"),
    Change("premium_target", QUOTE, "-abs(quotes.mid[i] - target)", "-abs(quotes.mid[i])", "3: closest_premium"),
    Change("minimum_ignored", FEES, "np.maximum(costs.commission_minimum, commission)", "commission",
           "4: commission_minimum"),
    Change("assignment_fee", WHEEL, "(order_fee(common, 1) + common.assignment_fee)", "order_fee(common, 1)", "4: assignment_fee"),
    Change("sold_without_waiting", WHEEL, "SALE_WAITS = 5", "SALE_WAITS = 0", "8: the order waits for a close"),
    Change("sold_too_late", WHEEL, "SALE_WAITS = 5", "SALE_WAITS = 6", "8: the next five sessions"),
    Change("mark_of_end", CALLS, "end_reason, lacking = UNRESOLVED, end\n            mark", "end_reason, lacking = UNRESOLVED, slice_.underlying.last_bar[end]\n            mark", "8: never a later close"),
    Change("bars_of_others", SLICES, "if market.has_bars_of(name):", "if market.has_option_bars:",
           "4: quotes stand for the bars of an underlying without any"),
    Change("worst_of_marked", SUMMARY, "marked = -(pl.col(\"pnl_marked\") - nothing)", "marked = pl.lit(0.0)",
           "10: the worst case of what is marked"),
    # -- the v5 rule set (section 11)
    # ----------------------------------------------------------------------------------
    Change("v5_called_at_strike", EXITS, "SettleRules(is_call, common.v5, common.v5)", "SettleRules(is_call, common.v5, False)", "11: close >= strike"),
    Change("v5_put_at_strike", EXITS, "called_away_at_strike and cents == strike_cents", "called_away_at_strike and cents >= strike_cents", "11: close >= strike", equivalent="a call above its strike is called away under both rule sets, and a put has no such flag"),
    Change("v5_put_missing", EXITS, "SettleRules(is_call, common.v5, common.v5)", "SettleRules(is_call, common.v5 and is_call, common.v5)", "11: worthless put"),
    Change("v5_call_missing", EXITS, "SettleRules(is_call, common.v5, common.v5)", "SettleRules(is_call, common.v5 and not is_call, common.v5)", "11: worthless call"),
    Change("ledger_missing", EXITS, "SettleRules(is_call, common.v5, common.v5)", "SettleRules(is_call, True, common.v5)", "6: nothing missing is booked as a gain"),
    Change("v5_call_session", CALLS, "return where.day_after", "return after", "11: expiration + 1 calendar day"),
    Change("v5_waits", PARAMETERS, 'np.where(v5, 0, rules.column("call.call_wait_sessions", None, np.int64))', 'rules.column("call.call_wait_sessions", None, np.int64)', "11: tried once"),
    Change("v5_cycles", PARAMETERS, 'np.where(v5, 1.0, rules.column("call.max_cycles", _or(np.inf)))', 'rules.column("call.max_cycles", _or(np.inf))', "11: one cycle"),
    Change("v5_flat_odds", CALLS, "(0.05, 0.5) if call.flat_odds else", "(0.05, 0.5) if False else", "11: p_fill of calls"),
    Change("ledger_flat_odds", CALLS, "(0.05, 0.5) if call.flat_odds else", "(0.05, 0.5) if True else", "5: p_fill of the call's own quote"),
    Change("v5_floor", PARAMETERS, "v5, 1.0, 1.0 + ", "False, 1.0, 1.0 + ", "11: no percentage above basis"),
    Change("v5_stock", WHEEL, "(bought - put.premium)", "bought", "11: stock P&L"),
    Change("v5_held", WHEEL, "        if away:\n            sale, bought", "        stock = (underlying.close[end] - strike) * 100.0\n        if away:\n            sale, bought", "11: held shares are worth 0"),
    Change("v5_shares_held", RECORDS, 'nulled(wheels["held"] * wheels["lots"] * 100, known)', 'nulled((wheels["held"] & ~np.isnan(wheels["sale"])) * 100, known)', "11: shares_held still 100"),
    Change("v5_ends", WHEEL, "if held and calls.last_reason < 0:", "if False:", "11: the wheel ends with its last leg"),
    Change("v5_censored", CELLS, "not common.v5 and settlement", "settlement", "11: censored is false"),
    Change("v5_exit_model", PARAMETERS, 'trigger | (unset & ~out["v5"])', "trigger | unset", "11: close_range unless set"),
    # -- costs of orders, corporate events (section 12) and early assignment (section 13)
    # ----------------------------------------
    Change("commission_base", FEES, "costs.commission_base + contracts", "0.0 + contracts", "4: commission_base"),
    Change("commission_of_one", FEES, "contracts * costs.commission_per_contract", "costs.commission_per_contract", "4: commission for each contract"),
    Change("fees_of_factor", OUTCOMES, 'legs["contracts"] * legs["factor"])', 'legs["contracts"])', "12: a buy-back after a split pays for factor times as many"),
    Change("fee_of_factor", CALLS, "order_fee(common, lots * shares_between(slice_.events, number, end))", "order_fee(common, lots)", "12: a buy-back after a split pays for factor times as many"),
    Change("fee_of_lots", CALLS, "order_fee(common, lots)\n", "order_fee(common, 1)\n", "12: a call for each hundred shares pays for each"),
    Change("premium_of_lots", CALLS, "sale.price * 100.0 * lots, order_fee", "sale.price * 100.0, order_fee", "12: premium of all contracts together"),
    Change("exit_of_lots", CALLS, "earned += premium - ended.price * 100.0 * lots", "earned += premium - ended.price * 100.0", "12: exit price of all contracts together"),
    Change("strike_half_down", EVENTS, "(2 * milli + 10 * event.shares)", "(2 * milli + 10 * event.shares - 1)", "12: strike/n in whole cents, half up"),
    Change("strike_of_special", EVENTS, "(milli - 1000.0 * amount)", "(milli - 0.0 * amount)", "12: of a special dividend strike - amount"),
    Change("root_of_rename", SUCCESSION, "if event.root is None:\n        return", "if True:\n        return", "12: the root of the new underlying"),
    Change("prices_as_sold", SUCCESSION, "out[name] *= factor", "out[name] *= np.minimum(factor, 1)", "12: bars and quotes of the successor times factor"),
    Change("settled_as_sold", LAID, "settled = contracts.succession.milli / 1000.0", 'settled = out["strike"]', "12: settlement compares the strike of the successor"),
    Change("basis_as_bought", CALLS, "/ (100.0 * lots)", "/ (100.0 * put.contracts)", "12: basis over the shares held now"),
    Change("basis_of_hundred", CALLS, "put.strike * 100.0 * put.contracts -", "put.strike * 100.0 -", "12: basis of all shares delivered"),
    Change("shares_after_split", WHEEL, "return put.contracts * shares_between", "return put.contracts + 0 * shares_between", "12: shares held become n for one"),
    Change("dividend_after_split", WHEEL, "* (put.contracts * shares)", "* put.contracts", "12: dividends on the shares then held"),
    Change("dividend_before_split", HAPPENED, "events.ex_day[i] <= last_day", "events.ex_day[i] < last_day", "12: of one day, splits come before dividends"),
    Change("split_on_sale", HAPPENED, "if first < events.number[i] <= last:\n            shares", "if first <= events.number[i] <= last:\n            shares", "12: a leg sold on the ex-date knows nothing of it"),
    Change("split_on_exit", HAPPENED, "if first < events.number[i] <= last:\n            shares", "if first < events.number[i] < last:\n            shares", "12: from the ex-date on"),
    Change("eve_no_wheel", EVENTS, "out[[e.number - 1 for", "out[[0 * e.number for", "12: no wheel opens on the eve"),
    Change("eve_no_call", CALLS, "barrier_between(slice_.events, held, last + 1)", "barrier_between(slice_.events, held, last)", "12: no call is sought on the eve"),
    Change("eve_no_quote", SUCCESSION, "kept = (quote[stands] >= 0) & ~barred[some]", "kept = (quote[stands] < 0) & (quote[stands] >= 0)", "12: else on its valid quote of the eve"),
    Change("eve_tick", EXITS, "tick_up(price, common.ticks))", "price)", "4: what is bought is rounded up, on the eve too"),
    Change("sale_past_eve", WHEEL, "min(session + SALE_WAITS, last,", "min(session + SALE_WAITS, session + SALE_WAITS,", "8: never past the eve"),
    Change("eve_end_reason", CALLS, "if last_reason == EXIT_CORPORATE_ACTION:", "if False:", "12: end_reason corporate_action"),
    Change("suspected_wait", WHEEL, "still_open = np.nan  #", "still_open = 0.0  #", "12: shares held across a suspected event have no mark"),
    Change("suspected_leg_mark", CALLS, "if last_reason == SUSPECTED_SPLIT:\n                still_open = np.nan", "if False:\n                still_open = np.nan", "12: a call open across a suspected event leaves no mark"),
    Change("suspected_on_eve", CALLS, "event.kind == SUSPECTED and event.number - 1 == number", "False", "12: calls are sold on the eve of a suspected event"),
    Change("suspected_never", SEEN, "LEAST_DAYS, REPLACED = 5, 0.6", "LEAST_DAYS, REPLACED = 5, 1.01", "data: at least 60%"),
    Change("suspected_days", SEEN, "LEAST_DAYS, REPLACED = 5, 0.6", "LEAST_DAYS, REPLACED = 500, 0.6", "data: at least 5 calendar days to live"),
    Change("carried_outside", SUMMARY, 'inside.filter("carried")', 'wheels.filter("carried")', "10: carried wheels in the summary"),
    Change("early_at_the_money", EXERCISE, "<= 0:\n        return  # not in the money", "< 0:\n        return  # not in the money", "13: an option in the money"),
    Change("early_on_settlement", EXERCISE, "if s >= contracts.settlement[c]", "if s > contracts.settlement[c]", "13: before the settlement session",
           equivalent="in the money on its settlement session it settles just so: as assigned or called away, for nothing, by that close"),
    Change("early_with_time_value", EXERCISE, "if known and time_value <= 0:", "if known and time_value <= 20:", "13: no time value"),
    Change("early_parity_bound", EXERCISE, "if known and time_value <= 0:", "if known and time_value < 0:", "13: price <= the amount in the money"),
    Change("early_div_bound", EXERCISE, "time_value < market.due[s]", "time_value <= market.due[s]", "13: less than the amount"),
    Change("early_div_special", DUE, 'dividends.filter(~pl.col("special"))', "dividends", "13: ordinary dividends"),
    Change("early_div_after_split", DUE, "total[number - 1 : number] *= shares", "total[number - 1 : number] *= 1", "13: the dividend of a share of that day"),
    Change("early_bar_first", EXERCISE, "if c >= 0 and traded.number[k] == s and found.priced[c] != s:", "if c >= 0 and traded.number[k] == s:", "13: the mid, else the close of the bar"),
    Change("v5_early_call_session", CALLS, "return after if day[after] == day[after - 1] + 1 else -1", "return after", "13: under v5 on the calendar day after the exit"),
)  # fmt: skip


class MutationError(RuntimeError):
    """The check itself went wrong: nothing can be said of any rule."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one change."""

    change: Change
    noticed: str  # the first difference; empty if there was none
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Killed, or known to be equivalent."""
        return bool(self.noticed) != bool(self.change.equivalent)

    def __str__(self) -> str:
        verdict = "killed" if self.noticed else "survived"
        why = self.noticed or self.change.equivalent or "NOTHING NOTICES IT"
        flag = "" if self.as_expected else "UNEXPECTED "
        return f"{flag}{verdict:9s}{self.change.name:22s}{self.seconds:6.1f} s  [{self.change.rule}] {why}"


def occurrences(change: Change, root: Path = ROOT) -> int:
    """How often the old text of a change stands in its file."""
    return (root / "wheelvec" / change.file).read_text(encoding="utf-8").count(change.old)


def apply(change: Change, root: Path) -> None:
    """Make the change in the copy below `root`.

    Raises:
        MutationError: if the old text does not occur exactly once.
    """
    found = occurrences(change, root)
    if found != 1:
        raise MutationError(
            f"{change.name}: the old text occurs {found} times in wheelvec/{change.file}: {change.old!r}"
        )
    path = root / "wheelvec" / change.file
    path.write_text(
        path.read_text(encoding="utf-8").replace(change.old, change.new), encoding="utf-8"
    )
    for name in REACHES.get(change.file, ()):
        for stale in (root / "wheelvec" / "kernels" / "__pycache__").glob(f"{name}.*"):
            stale.unlink()


def compared(root: Path, store: Path, compiled: bool) -> str:
    """Run compare.py in the copy below `root`: the first difference, or "" if there is none.

    Raises:
        MutationError: if the comparison could not be made.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NUMBA_", "PYTHONPATH"))
    }
    environment |= {"POLARS_MAX_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "tests.mutation.compare", "--answers", str(store)]
    command += [] if compiled else ["--interpreted"]
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"still running after {TIMEOUT:.0f} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith("DIFFERENCE")]
    if (done.returncode == 1) != bool(lines) or done.returncode not in (0, 1):
        raise MutationError(
            f"the comparison ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return lines[0] if lines else ""


def tried(change: Change, base: Path, store: Path, compiled: bool) -> Outcome:
    """Try one change in a separate copy of `base`."""
    began = time.perf_counter()
    root = Path(tempfile.mkdtemp(prefix=f"{change.name}-", dir=base.parent))
    try:
        for name in COPIED:
            shutil.copytree(
                base / name, root / name
            )  # keeps the times that show whether compiled code is fresh
        apply(change, root)
        return Outcome(change, compared(root, store, compiled), time.perf_counter() - began)
    except MutationError as error:
        raise MutationError(f"{change.name}: {error}") from None
    finally:
        shutil.rmtree(root)


def run(
    changes: Sequence[Change] = CHANGES, jobs: int = 1, compiled: bool = False
) -> Iterator[Outcome]:
    """Try the changes, in order.

    Raises:
        MutationError: if the unchanged package differs from the reference, or an old text is not
            found exactly once.
    """
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        base, store = Path(folder) / "base", Path(folder) / "answers.pickle"
        ignored = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            shutil.copytree(ROOT / name, base / name, ignore=ignored)
        fault = compared(base, store, compiled=True) or compared(base, store, compiled)
        if fault:
            raise MutationError(f"the unchanged package differs: {fault}")
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(lambda change: tried(change, base, store, compiled), changes)


def main() -> int:
    """Try the changes asked for; 1 if any end is not the expected one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="run the changes whose name contains this")
    parser.add_argument("--jobs", type=int, default=1, help="how many to try at a time")
    parser.add_argument(
        "--compiled", action="store_true", help="compile the changed kernels; half a minute each"
    )
    arguments = parser.parse_args()
    changes = [change for change in CHANGES if arguments.only in change.name]
    began, outcomes = time.perf_counter(), []
    for outcome in run(changes, arguments.jobs, arguments.compiled):
        print(outcome, flush=True)
        outcomes.append(outcome)
    killed = sum(bool(outcome.noticed) for outcome in outcomes)
    surprises = [outcome.change.name for outcome in outcomes if not outcome.as_expected]
    print(
        f"{killed} of {len(outcomes)} killed in {time.perf_counter() - began:.0f} s; unexpected: {surprises or 'none'}"
    )
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
