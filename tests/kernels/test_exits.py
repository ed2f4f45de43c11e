"""Exits worked by hand, and both ways to find them held equal: `walk` bar by bar, and the tables.

The kernels run as plain Python, in a process of their own: compiling them for this alone would take
half a minute.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.kernels.build import entry_fields, row, rows, slice_of, the_put
from wheelvec.kernels.accumulate import days_of, missing_of
from wheelvec.kernels.exits import (
    BAR,
    SettleRules,
    lay_bars,
    lay_markets,
    market_price,
    settle,
    stop_fill,
    target_fill,
)
from wheelvec.kernels.parameters import ENTRY
from wheelvec.kernels.slices import ROW
from wheelvec.model.codes import ExitReason, FillMode

ROOT = Path(__file__).resolve().parents[2]
ORDER = {
    "commission_base": 0.0, "commission_minimum": 0.0,
    "commission_per_contract": 0.65, "sec_fee_per_contract": 0.01,
}  # fmt: skip


def test_exits_as_plain_python() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.kernels.test_exits"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [check.__name__ for check in CHECKS]


PUTS, CALLS, V5_CALLS = (
    SettleRules(False, False, False),
    SettleRules(True, False, False),
    SettleRules(True, True, True),
)


@pytest.mark.parametrize(
    ("mode", "of_bar", "of_quote"),
    [
        # range = (1.60 - 0.95) * 1.15 = 0.7475; spread = (1.20 - 1.00) * 1.15 = 0.23
        (FillMode.OPTIMISTIC, 1.20 - 0.25 * 0.7475, 1.10),
        (FillMode.REALISTIC, 1.20 + 0.30 * 0.7475, 1.10 + 0.30 * 0.23),
        (FillMode.PESSIMISTIC, 1.60, 1.20),  # 1.20 + 0.75 * 0.7475 is over the high, 1.27 the ask
        (FillMode.NATURAL, 1.20 * (1 + 0.05 / 2), 1.20),
    ],
)
def test_buying_back_at_the_market(mode: FillMode, of_bar: float, of_quote: float) -> None:
    bar = {"open": 1.50, "high": 1.60, "low": 0.95, "close": 1.20}
    mid = dict.fromkeys(("open", "high", "low", "close"), 1.10)
    path = rows(ROW, bar, mid | {"bid": 1.00, "ask": 1.20, "is_quote": True})
    assert market_price(path, 0, 1.15, 0.05, int(mode)) == pytest.approx(of_bar, abs=1e-12)
    assert market_price(path, 1, 1.15, 0.05, int(mode)) == pytest.approx(of_quote, abs=1e-12)


def test_stops_and_targets_fill_at_their_levels_or_at_a_gap() -> None:
    realistic = int(FillMode.REALISTIC)
    # touched within the bar: 4.00 + 0.30 * (5.00 - 3.00); opened above it: 4.50 + 0.60
    assert stop_fill(3.00, 5.00, 3.00, 4.00, 1.0, realistic) == pytest.approx(4.60)
    assert stop_fill(4.50, 5.00, 3.00, 4.00, 1.0, realistic) == 5.00  # at most the high
    assert target_fill(1.50, 1.00, 1) == 1.00
    assert target_fill(0.80, 1.00, 1) == 0.80  # opened below the limit
    assert target_fill(0.80, 1.00, 2) == 1.00  # but the order was missed before


@pytest.mark.parametrize(
    ("close", "rules", "reason"),
    [
        (49.99, PUTS, ExitReason.ASSIGNED),
        (50.00, PUTS, ExitReason.EXPIRED_WORTHLESS),
        (50.01, CALLS, ExitReason.CALLED_AWAY),
        (50.00, CALLS, ExitReason.EXPIRED_WORTHLESS),
        (50.00, V5_CALLS, ExitReason.CALLED_AWAY),
        (float("nan"), PUTS, ExitReason.NO_DATA),  # a hole: there are later bars
        (float("nan"), V5_CALLS, ExitReason.EXPIRED_WORTHLESS),
    ],
)
def test_settle(close: float, rules: SettleRules, reason: ExitReason) -> None:
    assert settle(close, 5000, 4, 9, rules) == reason


def test_a_leg_that_settles_after_the_last_bar_is_open() -> None:
    assert settle(float("nan"), 5000, 4, 3, PUTS) == ExitReason.OPEN


def test_bars_have_days_and_prices_that_every_exit_shares() -> None:
    slice_ = slice_of([51.0] * 5, (the_put((FOUR[0], FOUR[1])),))
    bars = rows(BAR, {}, {})
    lay_bars(slice_, slice_.puts[0], 0, 1.0, row(ENTRY, **entry_fields()), False, bars)
    assert bars["number"].tolist() == [1, 2]
    assert bars["left"].tolist() == [3, 2]  # days to session 4
    assert bars["fees"].tolist() == [1.32, 1.32]  # two orders
    lay_markets(slice_.rows, slice_.puts[0], 1.0, row(ENTRY, **entry_fields()), bars)
    # 2.00 + 0.30 * 0.30 = 2.09; 1.20 + 0.30 * 0.65 = 1.395, up to the cent
    assert bars["market"].tolist() == [2.09, 1.40]
    assert [days_of(sums) for sums in bars["sums"]] == [1, 2]
    assert [missing_of(sums) for sums in bars["sums"]] == [0, 0]


def bars_of(*rows: tuple[float, float, float, float], left: int = 30) -> Any:
    """Bars of (open, high, low, close), the first a day after the sale, with `left` days to the
    expiration on the first.
    """
    from wheelvec.kernels.exits import BAR

    bars = np.zeros(len(rows) + 1, BAR).view(np.recarray)
    for i, (first, high, low, close) in enumerate(rows):
        bars[i].open, bars[i].high, bars[i].low, bars[i].market = first, high, low, close
        bars[i].number, bars[i].left, bars[i].fees = i + 1, left - i, 1.32
    return bars


def entry_of(**fields: Any) -> SimpleNamespace:
    """What of the entry rules an exit reads: realistic fills at the trigger, on cents, limits met
    within 1e-9.
    """
    return SimpleNamespace(
        **{"mode": 1, "ticks": 100.0, "slack": 1e-9, "trigger": True} | ORDER | fields
    )


CERTAIN = SimpleNamespace(probabilistic=False, seed=np.uint64(42))
FOUR = (
    (1.90, 2.10, 1.80, 2.00),
    (1.50, 1.60, 0.95, 1.20),
    (1.40, 4.10, 1.30, 3.90),
    (3.00, 3.20, 2.80, 3.00),
)


def walked(
    bars: Any, entry: Any, stop: float, exit_pct: float, hold: int = -1, price: float = 2.00
) -> Any:
    """Walk a put sold at 2.00."""
    from wheelvec.kernels.draws import new_drawn
    from wheelvec.kernels.exits import Levels, stop_level, target_level, walk

    levels = Levels(stop_level(price, stop, entry), target_level(price, exit_pct, entry), hold, 1.0)
    return walk(
        bars,
        bars.size - 1,
        levels,
        entry,
        CERTAIN,
        1.0,
        new_drawn(1, bars.size),
        0,
        np.uint64(1),
        0,
    )


def a_put_of_four_bars() -> None:
    from wheelvec.kernels.exits import MAX_HOLD_DTE, PROFIT_TARGET, STOP_LOSS

    bars, entry, none = bars_of(*FOUR), entry_of(), np.nan
    # 50% of 2.00 is 1.00: the second bar's low of 0.95 touches it, and its open of 1.50 is no
    # better
    assert walked(bars, entry, 2.0, 0.50)[:4] == (PROFIT_TARGET, 1, 1.00, 1)
    # 40% is 0.80, which nothing touches; twice 2.00 is 4.00: min(4.10, 4.00 + 0.30 * 2.80) on the
    # third bar
    assert walked(bars, entry, 2.0, 0.40)[:4] == (STOP_LOSS, 2, 4.10, 0)
    assert walked(bars, entry, none, 0.40)[:2] == (-1, 4)
    # bought back at the market of the first bar with 28 days left
    assert walked(bars, entry, none, 0.40, hold=28)[:3] == (MAX_HOLD_DTE, 2, 3.90)


def limits_and_ticks() -> None:
    from wheelvec.kernels.exits import PROFIT_TARGET, STOP_LOSS

    bars = bars_of((1.10, 3.30, 1.05, 3.00))
    assert 3 * 1.10 > 3.30
    assert walked(bars, entry_of(), 3.0, 0.1, price=1.10)[0] == STOP_LOSS
    assert walked(bars, entry_of(ticks=0.0), 3.0, 0.1, price=1.10)[0] == STOP_LOSS
    assert walked(bars, entry_of(slack=0.0, ticks=0.0), 3.0, 0.1, price=1.10)[0] == -1
    # half of 1.10 less a billionth of a cent is touched by 0.55
    bars = bars_of((0.60, 0.65, 0.55, 0.60))
    assert walked(bars, entry_of(ticks=0.0), np.nan, 0.5, price=1.10 - 1e-11)[0] == PROFIT_TARGET
    assert walked(bars, entry_of(ticks=0.0, slack=0.0), np.nan, 0.5, price=1.10 - 1e-11)[0] == -1
    # on nickels the target of 1.13 * 0.5 lies at 0.55, and what is bought at an open of 0.53 costs
    # 0.55
    bars = bars_of((0.53, 0.60, 0.53, 0.55))
    assert walked(bars, entry_of(ticks=20.0), np.nan, 0.5, price=1.13)[:3] == (
        PROFIT_TARGET,
        0,
        0.55,
    )


def walk_and_tables_agree() -> None:
    from wheelvec.kernels.draws import new_drawn
    from wheelvec.kernels.exits import (
        BAR,
        EXIT,
        EXPIRED_WORTHLESS,
        SETTLED,
        Levels,
        Put,
        Scratch,
        rest_ends,
        stop_ends,
        stop_level,
        target_level,
        walk,
    )  # fmt: skip

    chance = np.random.default_rng(5)
    for _ in range(150):
        count = int(chance.integers(0, 12))
        prices = np.sort(np.rint(100 * chance.uniform(0.05, 6.0, (count, 4))) / 100, axis=1)
        entry = entry_of(
            ticks=float(chance.choice([0.0, 20.0, 100.0])), slack=float(chance.choice([0.0, 1e-9]))
        )
        rows, left = (
            [(row[1], row[3], row[0], row[2]) for row in prices],
            int(chance.integers(12, 25)),
        )
        bars = bars_of(*rows, left=left)
        for name, value in (("high_threshold", 0.7), ("extreme_threshold", 0.9)):
            setattr(entry, name, value)
        price = float(np.rint(100 * chance.uniform(0.5, 3.0)) / 100)
        put = Put(
            0,
            0,
            40,
            0,
            0,
            count,
            price,
            0.04,
            1.0,
            0.5,
            price * 100.0,
            5000.0,
            EXPIRED_WORTHLESS,
            False,
            40,
            0.0,
            False,
        )
        stops, few = np.array([1.2, 2.0, np.nan]), np.array([0.1, 0.5, 0.9])
        targets = few if chance.random() < 0.5 else np.linspace(0.05, 0.95, 10)
        n = targets.size
        block = SimpleNamespace(
            stop=stops, target=targets, hold=np.array([-1, 14]),
            draw=np.array([_draw_rule(seed) for seed in (1, 2)]).view(np.recarray),
            rest_target=np.repeat(np.arange(n), 4), rest_draw=np.tile([0, 0, 1, 1], n), rest_hold=np.tile([0, 1], 2 * n),
        )  # fmt: skip
        slice_ = SimpleNamespace(
            puts=[SimpleNamespace(word=np.uint64(chance.integers(2**62)))],
            underlying=SimpleNamespace(day=np.arange(60)),
        )
        whole = np.empty(count + 1, np.int64)
        scratch = Scratch(
            bars,
            whole,
            whole.copy(),
            np.empty(count + 1),
            whole.copy(),
            np.empty(2, np.int64),
            np.empty(2, np.int64),
            np.empty(n),
            np.empty(count + 1),
        )
        stop, rest = np.zeros(3, EXIT).view(np.recarray), np.zeros(4 * n, EXIT).view(np.recarray)
        stop_ends(put, entry, stops, bars, stop)
        rest_ends(slice_, put, entry, block, scratch, rest)
        assert bars.dtype == BAR
        for s in range(3):
            for r in range(4 * n):
                rule = block.draw[block.rest_draw[r]]
                target = target_level(price, targets[block.rest_target[r]], entry)
                levels = Levels(
                    stop_level(price, stops[s], entry), target, block.hold[block.rest_hold[r]], 1.0
                )
                kept = new_drawn(1, count + 1)
                kept = kept._replace(of=kept.of.view(np.recarray))
                found = walk(bars, count, levels, entry, rule, 0.6, kept, 0, slice_.puts[0].word, 0)
                end = stop[s] if stop[s].time < rest[r].time else rest[r]
                assert (end.time == SETTLED) == (found.reason < 0)
                if found.reason >= 0:
                    assert end.pnl == put.premium - found.price * 100.0 - 1.32
                    assert end.until == bars[found.bar].number


def _draw_rule(seed: int) -> Any:
    from wheelvec.kernels.parameters import DRAW

    rule = np.zeros(1, DRAW)
    rule["seed"], rule["probabilistic"] = seed, True
    for name in ("tight", "scale", "high_mult", "extreme_mult", "highest", "tight_spread"):
        rule[name] = {"tight": 0.6, "tight_spread": 0.05}.get(name, 1.0)
    return rule[0]


CHECKS = (a_put_of_four_bars, limits_and_ticks, walk_and_tables_agree)

if __name__ == "__main__":
    with np.errstate(all="ignore"):
        for check in CHECKS:
            check()
            print(check.__name__)
