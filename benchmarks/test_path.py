"""Walking short options to their exits: the path kernel, a plain Numba loop over days, and vectorbt
with stops.

The rules are what all three can say: sold at a price, bought back at a stop or a target that a
day's bar reaches, a gap paid in full; no probabilistic fills.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numba import njit

from benchmarks import machine
from benchmarks.agreement import same_arrays
from benchmarks.conftest import Measure, absent
from benchmarks.inputs import Paths, as_slice, bars_of, paths
from benchmarks.references import EXIT_PCT, STOP_MULTIPLIER, Exits, numba_loop_walk
from wheelvec.jit.threads import over_blocks
from wheelvec.kernels.draws import new_drawn
from wheelvec.kernels.exits import BAR, PROFIT_TARGET, STOP_LOSS, Levels, lay_bars, walk
from wheelvec.kernels.parameters import COMMON, DRAW
from wheelvec.model.codes import FillMode

WHEELS, BARS = 50_000, 24
OURS, LOOP, LOOP_DAYS = "wheelvec", "Numba loop", "Numba loop, days in rows"
ENGINES = {"vectorbt, Numba": "numba", "vectorbt, Rust": "rust"}
NOTES = {
    OURS: "draws, holds and fill models as well",
    LOOP: "contract by contract, as wheelvec's rows lie",
    LOOP_DAYS: "day by day, as vectorbt's rows lie",
    **dict.fromkeys(ENGINES, "`Portfolio.from_signals` with `sl_stop` and `tp_stop`"),
}
ENTRY_RULES, DRAW_RULES = np.zeros(1, COMMON), np.zeros(1, DRAW)
ENTRY_RULES["mode"], ENTRY_RULES["trigger"] = int(FillMode.OPTIMISTIC), True


@cache
def given(wheels: int) -> tuple[Paths, Any]:
    """The paths, as matrices and as the kernel takes them."""
    made = paths(wheels, BARS)
    return made, as_slice(made)


@njit(cache=True, nogil=True, error_model="numpy")
def walk_all(
    slice_, first, last, price, entries, draws, bars, kept, out_reason, out_day, out_price
):  # type: ignore[no-untyped-def]
    """Walk the puts first..last-1 of a slice, as a backtest walks each that it sells."""
    common, rule = entries[0], draws[0]
    for i in range(first, last):
        quote = slice_.puts[i]
        lay_bars(slice_, quote, 0, 1.0, common, False, bars)
        levels = Levels(price[i] * STOP_MULTIPLIER, price[i] * EXIT_PCT, -1, 1.0)
        ended = walk(
            bars, quote.last - quote.first, levels, common, rule, 1.0, kept, 0, quote.word, 0
        )
        out_reason[i], out_price[i] = ended.reason, ended.price
        out_day[i] = ended.bar + 1 if ended.reason >= 0 else quote.last - quote.first


def kernel(wheels: int) -> Exits:
    """Walk with the library's functions, over several threads."""
    p, slice_ = given(wheels)
    out = np.empty(wheels, np.int64), np.empty(wheels, np.int64), np.empty(wheels)

    def block(part: slice) -> None:
        bars, kept = np.zeros(BARS + 1, BAR), new_drawn(1, BARS + 1)
        walk_all(slice_, part.start, part.stop, p.price, ENTRY_RULES, DRAW_RULES, bars, kept, *out)

    over_blocks(wheels, block)
    return out


def exits_of_kernel(wheels: int) -> Exits:
    reason, day, price = kernel(wheels)
    return (reason == STOP_LOSS) + 2 * (reason == PROFIT_TARGET), day, price


def vectorbt_with(what: str) -> Any:
    """The package, its engine chosen; a skip that the page names where it is absent."""
    try:
        import vectorbt

        if ENGINES[what] == "rust":
            import vectorbt_rust  # noqa: F401
    except Exception as error:  # whatever a foreign package raises when it starts
        absent(what, f"{type(error).__name__}: {error}")
    vectorbt.settings["engine"] = ENGINES[what]
    return vectorbt


def vectorbt_portfolio(
    vbt: Any, p: Paths, multiplier: Any = STOP_MULTIPLIER, exit_pct: Any = EXIT_PCT
) -> Any:
    """Sell one of each on the first day, with a stop and a target: of all, or (bars + 1, wheels).

    The engine is that of the package's settings.
    """
    entries = np.zeros(p.open.shape, np.bool_)
    entries[0] = True
    price = np.where(entries, p.price, p.close)
    return vbt.Portfolio.from_signals(
        p.close,
        short_entries=entries,
        open=p.open,
        high=p.high,
        low=p.low,
        price=price,
        size=1.0,
        sl_stop=multiplier - 1.0,
        tp_stop=1.0 - exit_pct,
        stop_entry_price="fillprice",
        stop_exit_price="stoplimit",
        init_cash=1000.0,
    )


def exits_of_vectorbt(portfolio: Any, p: Paths, multiplier: Any = STOP_MULTIPLIER) -> Exits:
    """Its buying orders; what it leaves open ran to the end. `multiplier`: of all, or (wheels,)."""
    orders = portfolio.orders.values
    bought = orders[orders["side"] == 0]
    reason, day, price = np.zeros(p.wheels, np.int8), np.full(p.wheels, p.bars), np.zeros(p.wheels)
    day[bought["col"]], price[bought["col"]] = bought["idx"], bought["price"]
    level = (p.price * multiplier)[bought["col"]]
    reason[bought["col"]] = np.where(p.high[bought["idx"], bought["col"]] >= level, 1, 2)
    return reason, day, price


def same_exits(what: str, found: Exits, expected: Exits) -> None:
    """Reason and day of each, and the price to a millionth of a dollar."""
    for name, mine, theirs in zip(("reason", "day"), found[:2], expected[:2], strict=True):
        same_arrays(f"{what}: {name}", mine.astype(float), theirs.astype(float))
    same_arrays(f"{what}: price", found[2], expected[2], 1e-6)


def contestant(what: str, wheels: int) -> Any:
    """The call that is timed, after its exits were seen to be those of the plain loop."""
    p, slice_ = given(wheels)
    expected = numba_loop_walk(p)
    if what == OURS:
        same_exits(what, exits_of_kernel(wheels), expected)
        return lambda: kernel(wheels)
    if what in ENGINES:
        vectorbt = vectorbt_with(what)
        same_exits(what, exits_of_vectorbt(vectorbt_portfolio(vectorbt, p), p), expected)
        return lambda: vectorbt_portfolio(vectorbt, p)
    kept = bars_of(slice_) if what == LOOP else None
    same_exits(what, numba_loop_walk(p, kept), expected)
    return lambda: numba_loop_walk(p, kept)


@pytest.mark.parametrize(
    ("what", "threads"),
    [(OURS, 1), (OURS, 2), (LOOP, 1), (LOOP_DAYS, 1), *((engine, 1) for engine in ENGINES)],
)
def test_path(what: str, threads: int, short: bool, measure: Measure) -> None:
    if threads > machine.most_threads():
        pytest.skip("one core")
    wheels = 2_000 if short else WHEELS
    with machine.threads(threads):
        timed = contestant(what, wheels)
        measure(
            timed, group="path", what=what, note=NOTES[what], n=wheels, threads=threads, bars=BARS
        )
