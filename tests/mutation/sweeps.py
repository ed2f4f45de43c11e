"""Compare sweeps with backtests on a fixed list of grids; stop at the first difference.

    python -m tests.mutation.sweeps [--change NAME] [--answers FILE]

A backtest and a sweep share the rules, but for how many exit rules end a put at once
(kernels.exits' tables) and what is added up (kernels.evaluate, tally). compare.py holds backtests
against the scalar reference; this holds the frames of sweeps against `backtest(...).summary()`, to
the last bit. The exit status is 0 if all agree and 1 at the first difference, which a line
beginning with DIFFERENCE names.

The kernels of a sweep run as plain Python, the same source as what is compiled. `--change` replaces
a text in one of them as it is loaded, so that nothing is copied or compiled anew: CHANGES is the
table, as in mutate.py. With `--answers` the backtests are written to the file by the first run and
read by later ones.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numba
import polars as pl

import wheelvec
from tests.mutation.changes_of_sweeps import CHANGES
from tests.mutation.compare import (
    ABOVE,
    ANY_CALL,
    BELOW,
    DIFFERENCE,
    MANY,
    PATIENT,
    ROOT,
    Case,
    configuration,
    tables_of,
    with_named_columns,
)  # fmt: skip

INTERPRETED = (
    "kernels.parameters",  # returns views, which compiled code cannot give to Python
    "kernels.exits",
    "kernels.wheel",
    "kernels.entries",
    "kernels.calls",
    "kernels.evaluate",
)
MOST = 8  # rows of a grid that are compared
EXITS = {
    "put.exit_pct": [
        0.0,
        0.1,
        0.2,
        0.3,
        0.4,
        0.5,
        0.6,
        0.7,
        0.8,
        0.9,
    ],  # more than are scanned one by one
    "put.stop_loss_multiplier": [1.05, 1.5, None],
    "put.max_hold_dte": [None, 4],
}
CHANCES = {
    "put.exit_pct": [0.3, 0.6],
    "fills.pfill_scale": [0.3, 1.0],
    "fills.execution_seed": [1, 2],
}
ENTRIES = {
    "put.dte_min": [1, 6],
    "put.delta_min": [0.05, 0.2],
    "schedule.max_wheels_per_symbol_per_day": [None, 1],
}
CALLS = {
    "call.exit_pct": [0.01, 0.5],
    "call.stop_loss_multiplier": [None, 1.3],
    "call.max_cycles": [1, 3],
}
# no product: exit rules row by row, and rows that each sell other puts
SCATTERED = {
    "put.exit_pct": [0.2, 0.6, 0.4, 0.9, 0.3, 0.7, 0.5, 0.1, 0.8],
    "put.stop_loss_multiplier": [1.5, 1.05, 2.0, 1.2, None, 1.1, 1.3, 1.6, 1.05],
    "fills.pfill_scale": [0.3, 1.0, 0.6, 0.9, 0.4, 0.8, 0.5, 0.7, 1.0],
}
APART = {
    "put.delta_min": [0.01 * i for i in range(12)],
    "put.exit_pct": [0.6, 0.3] * 6,
    "put.stop_loss_multiplier": [1.1, 1.5, None] * 4,
    "fills.pfill_scale": [1.0, 0.4, 0.4, 1.0] * 3,
}
TURNED = {  # the odd rows lower the odds of ranks from 0.4 as if they were extreme
    "put.delta_min": [0.01 * i for i in range(12)],
    "liquidity.ivp_high_threshold": [0.4, 0.95] * 6,
    "liquidity.ivp_extreme_threshold": [0.95, 0.4] * 6,
    "fills.pfill_ivp_extreme_mult": [0.1] * 12,
    "put.exit_pct": [0.6] * 12,
}
ALONE: dict[str, Any] = MANY | {
    "schedule": MANY["schedule"] | {"allow_multiple_wheels_per_symbol": False}
}
DRAWN = {"use_probabilistic_exit_fills": True, "pfill_min": 0.0, "pfill_max": 1.0}


class Swept(NamedTuple):
    """A market and configuration, and the grid over it."""

    case: Case
    grid: dict[str, list[Any]] | pl.DataFrame


def sweeps() -> Iterator[Swept]:
    """The compared cases."""
    for rules in ("ledger", "v5"):
        calls: dict[str, Any] = {"rules": rules, "call": ANY_CALL | BELOW | {"max_cycles": 3}}
        grids = (EXITS, CHANCES, CALLS, *map(pl.DataFrame, (SCATTERED, APART, TURNED)))
        yield from (Swept(Case(14, MANY | calls | {"fills": DRAWN}), grid) for grid in grids)
        yield Swept(Case(3, ALONE | calls), EXITS)
        yield Swept(Case(7, MANY | {"rules": rules, "call": ANY_CALL | ABOVE}), ENTRIES)
    yield Swept(Case(4, {"rules": "ledger", "call": PATIENT}), CALLS)
    yield Swept(Case(47), EXITS)


def load_sweeps(change: str | None) -> None:
    """Import the library, the kernels of a sweep as plain Python, with a change of that name made."""
    (changed,) = [each for each in CHANGES if each.name == change] or [None]
    importlib.import_module("wheelvec.run.backtest")
    importlib.import_module("wheelvec.run.recorder")
    numba.config.DISABLE_JIT = True  # read where a function is decorated
    for name in INTERPRETED:
        spec = importlib.util.find_spec(f"wheelvec.{name}")
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        if changed and changed.file == f"{name.replace('.', '/')}.py":
            source = source.replace(changed.old, changed.new)
        sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
        exec(compile(source, spec.origin, "exec"), module.__dict__)
    numba.config.DISABLE_JIT = False
    # imported with backtests, before: it holds the compiled ones
    work = vars(importlib.import_module("wheelvec.run.work"))
    kernels: Any = sys.modules["wheelvec.kernels.evaluate"]
    work["mark_chosen"] = with_named_columns(kernels.mark_chosen)
    work["evaluator_of"] = lambda plan: with_named_columns(kernels.evaluator_of(plan))


Answers = list[dict[int, dict[str, Any]]]


def difference(given: Swept, known: dict[int, dict[str, Any]]) -> str | None:
    """The first difference between sweep and backtests, or None; what is not `known` by row is
    added to it.
    """
    from wheelvec.market.market import Market
    from wheelvec.model.config import Config
    from wheelvec.run.backtest import backtest
    from wheelvec.run.sweep import sweep

    market, config = Market(**tables_of(given.case)), Config.from_dict(configuration(given.case))
    found = sweep(market, config, given.grid, threads=1)
    step = (
        -(-found.frame.height // MOST) | 1
    )  # odd, so that fields of two values are seen with both
    for i in range(0, found.frame.height, step):
        if i not in known:
            known[i] = backtest(market, found.row_config(i)).summary()
        row = found.frame.row(i, named=True)
        for name, value in known[i].items():
            if row.get(name, value) != value:
                return f"row {i}: {name} is {row[name]!r}, a backtest says {value!r}"
    return None


def main() -> int:
    """Compare all grids; 1 at the first that differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--change", choices=[change.name for change in CHANGES], help="break this rule first"
    )
    parser.add_argument("--answers", type=Path, help="where the backtests are kept between runs")
    arguments = parser.parse_args()
    found = Path(str(wheelvec.__file__)).resolve().parents[1]
    if found != ROOT:
        sys.exit(f"wheelvec is imported from {found}, not from {ROOT}: nothing was compared")
    load_sweeps(arguments.change)
    given, store = list(sweeps()), arguments.answers
    known: Answers = (
        pickle.loads(store.read_bytes()) if store and store.is_file() else [{} for _ in given]
    )
    for each, answers in zip(given, known, strict=True):
        try:
            fault = difference(each, answers)
        except Exception as error:
            fault = f"raised {type(error).__name__}: {str(error)[:300]}"
        if fault:
            print(f"{DIFFERENCE} {each.case}: {fault}")
            return 1
    if store and not arguments.change:
        store.write_bytes(pickle.dumps(known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
