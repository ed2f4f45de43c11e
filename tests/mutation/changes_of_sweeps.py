"""Wrong changes of the rules in the kernels of a sweep, for sweeps.py: each old text occurs once in
its file.
"""

from tests.mutation.mutate import Change

TABLES, FOLLOW, CELLS, ENTRIES = (
    f"kernels/{name}.py" for name in ("exits", "calls", "evaluate", "entries")
)
WHEEL = "kernels/wheel.py"

CHANGES: tuple[Change, ...] = (
    Change(
        "stop_above_only",
        TABLES,
        "not bars[bar].high >= reached",
        "not bars[bar].high > reached + 0.01",
        "6: a stop is reached at its level",
    ),
    Change(
        "target_below_only",
        TABLES,
        "bars[bar].low <= level\n",
        "bars[bar].low < level - 0.01\n",
        "6: a target is touched at its level",
    ),
    Change(
        "stop_after_target",
        TABLES,
        "            2 * bar,\n",
        "            2 * bar + 2,\n",
        "6: stop first",
    ),
    Change(
        "hold_before_target",
        TABLES,
        "at_target = filled == end",
        "at_target = filled == end and filled < held",
        "6: the target goes before the hold",
    ),
    Change(
        "held_strictly",
        TABLES,
        "<= max_hold_dte:",
        "< max_hold_dte:",
        "6: at most so many days left",
    ),
    Change(
        "draw_is_below",
        TABLES,
        "above += workspace.record_draw[k] > chance",
        "above += workspace.record_draw[k] < chance",
        "6: a touch fills if its draw is at most p_fill",
    ),
    Change(
        "put_settles_with_two_fees",
        TABLES,
        "at.fees = order_fee(common, 1) if known",
        "at.fees = 2.0 * order_fee(common, 1) if known",
        "8: no fee at settlement",
    ),
    Change(
        "busy_until_before",
        CELLS,
        "if number > busy[c]:",
        "if number >= busy[c]:",
        "1: one at a time, the next after the last has ended",
    ),
    Change(
        "late_stop_wins",
        CELLS,
        "out[b] = pnl if time < pair.time[b]",
        "out[b] = pnl if time > pair.time[b]",
        "6: the first ends it",
    ),
    Change(
        "late_stop_wins_by_itself",
        CELLS,
        "if stop.time < end.time:",
        "if stop.time > end.time:",
        "6: the first ends it, also in a grid that is no product",
    ),
    Change(
        "late_stop_wins_alone",
        CELLS,
        "if workspace.stop[0].time < workspace.rest[0].time",
        "if workspace.stop[0].time > workspace.rest[0].time",
        "6: the first ends it, also under one configuration",
    ),
    Change(
        "other_exits_end_alike",
        CELLS,
        " or known.exits != block.exits",
        "",
        "6: an end is that of its own exit rules",
    ),
    Change(
        "other_chances_end_alike",
        CELLS,
        " or known.chance != chance",
        "",
        "5: an end is that of its own chance",
    ),
    Change(
        "call_on_settlement",
        FOLLOW,
        "        return put.settlement + 1\n",
        "        return put.settlement\n",
        "7: calls from the session after",
    ),
    Change(
        "next_call_same_day",
        FOLLOW,
        "cycle + 1, end + 1, call.waits",
        "cycle + 1, end, call.waits",
        "7: the next call a session later",
    ),
    Change(
        "call_draw_is_above",
        TABLES,
        "or u <= chance:",
        "or u > chance:",
        "5: a touch fills if its draw is at most p_fill, also of a call",
    ),
    Change(
        "call_stop_after_target",
        TABLES,
        "        if bar.high >= stop:",
        "        if bar.high >= stop and not bar.low <= target:",
        "6: stop first",
    ),
    Change(
        "sold_is_shared",
        FOLLOW,
        "if not sold and sale.number == number:",
        "if sale.number == number:",
        "7: what follows a sale depends on how the call may end",
    ),
    Change(
        "one_cycle_more",
        FOLLOW,
        "cycle >= call.max_cycles",
        "cycle > call.max_cycles",
        "7: at most so many calls",
    ),
    Change(
        "one_wait_more", FOLLOW, "if waits == 0 or", "if waits < 0 or", "7: waits so many sessions"
    ),
    Change(
        "call_settles_with_two_fees",
        FOLLOW,
        "if is_bought_back(last_reason):\n            fees",
        "if True:\n            fees",
        "8: no fee at settlement",
    ),
    Change(
        "basis_is_strike",
        FOLLOW,
        " - put.price * 100.0) / (100.0 * lots)",
        ") / (100.0 * lots)",
        "7: the basis is strike less premium",
    ),
    Change(
        "stock_at_last_strike",
        WHEEL,
        "calls.last_strike if away else underlying.close[sold]",
        "underlying.close[sold]",
        "8: called away at the strike",
    ),
    Change(
        "no_dividends",
        WHEEL,
        "received += slice_.dividends.paid[i]",
        "received += 0.0",
        "8: dividends while shares are held",
    ),
    Change(
        "dte_above_only",
        ENTRIES,
        "dte[r] <= common.dte_max",
        "dte[r] < common.dte_max",
        "3: the range has its ends",
    ),
    Change(
        "one_more_a_day",
        ENTRIES,
        "if today == most:",
        "if today == most + 1:",
        "4: at most so many a day",
    ),
)
