"""The short form that every change must pass.

Results agree; a ratio to a reference loop under half of the one that docs/performance.md states is
told, and fails nothing.

    python -m benchmarks.check             compare with `figures.json`
    python -m benchmarks.check --record    measure, and put the ratios into `figures.json`

A ratio is taken within one run on one core, the two sides by turns, the least time of each:
whatever else the machine does slows both. One that falls short is measured once more before it is
told. Even so a ratio is no verdict on a change: the plain loop over days runs in 0.6 or in 1.35 ms
on one machine, by where LLVM has laid it and what its branch predictor has learned.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

import wheelvec as wv
from benchmarks import (
    figures,
    machine,
    researcher,
    test_account,
    test_chain,
    test_end_to_end,
    test_implied_vol,
    test_path,
    test_sweep,
)
from benchmarks.inputs import bars_of, minute_lake, quotes
from benchmarks.references import (
    as_frame,
    numba_loop_iv,
    numba_loop_walk,
    pandas_apply_iv,
    pandas_last_quotes,
)
from wheelvec.demo.synthetic import DEMO_START

LEAST_SHARE = 0.5  # of the stated ratio
OPTIONS, WHEELS, CONFIGURATIONS = 20_000, 20_000, 2_000


@dataclass(frozen=True)
class Duel:
    """The library and a reference loop on one input, their results already compared."""

    name: str
    reference_name: str
    ours: Callable[[], Any]
    reference: Callable[[], Any]
    rounds: int


def solver_duel() -> Duel:
    """Volatility and delta against a compiled scalar loop."""
    q = quotes(OPTIONS)
    for name, solver in (
        ("wheelvec", test_implied_vol.chain),
        ("scalar Numba loop", numba_loop_iv),
    ):
        test_implied_vol.checked(name, solver, q)
    return Duel(
        f"implied volatility and delta, {OPTIONS:,} options",
        "scalar Numba loop",
        lambda: test_implied_vol.chain(q),
        lambda: numba_loop_iv(q),
        40,
    )


def chain_duel() -> Duel:
    """A chain against pandas with vollib."""
    q = quotes(test_implied_vol.CHAIN, seed=6)
    frame = as_frame(q)
    test_implied_vol.checked("wheelvec", test_implied_vol.chain, q)
    test_implied_vol.checked("pandas", lambda _: pandas_apply_iv(frame), q)
    return Duel(
        f"a chain of {len(q):,} contracts",
        "pandas apply with vollib",
        lambda: test_implied_vol.chain(q),
        lambda: pandas_apply_iv(frame),
        5,
    )


def path_duel() -> Duel:
    """Paths against a compiled loop over days."""
    test_path.contestant(test_path.OURS, WHEELS)
    paths, slice_ = test_path.given(WHEELS)
    rows = bars_of(slice_)
    return Duel(
        f"paths of {WHEELS:,} wheels over {test_path.BARS} bars",
        "Numba loop",
        lambda: test_path.kernel(WHEELS),
        lambda: numba_loop_walk(paths, rows),
        40,
    )


def minute_duel(folder: Path) -> Duel:
    """The last quote of each contract against pandas."""
    file, sessions = (
        minute_lake(folder, test_chain.ROWS, test_chain.CONTRACTS),
        test_chain.entry_sessions(),
    )
    expected = pl.from_pandas(pandas_last_quotes(file)[["symbol", "bid", "ask"]])
    test_chain.same_quotes("wheelvec", test_chain.library(folder, sessions), expected)
    return Duel(
        f"last quotes of {test_chain.ROWS:,} rows",
        "pandas drop_duplicates",
        lambda: test_chain.library(folder, sessions),
        lambda: pandas_last_quotes(file),
        7,
    )


def whole_duel(folder: Path) -> Duel:
    """A month of the demo market, Parquet -> records, against the researcher's loop."""
    wv.demo_market().write(folder)
    dates = DEMO_START, test_end_to_end.SHORT_END
    records = test_end_to_end.library(folder, *dates)
    loop = researcher.backtest(folder, None, *dates)
    test_end_to_end.same_wheels(
        "demo market", test_end_to_end.pnl_of(records.wheels), test_end_to_end.pnl_of(loop)
    )

    def from_quotes() -> None:
        test_end_to_end.forget_chains(folder)
        test_end_to_end.library(folder, *dates)

    return Duel(
        f"{records.wheels.height} wheels of the demo market",
        test_end_to_end.LOOP,
        from_quotes,
        lambda: researcher.backtest(folder, None, *dates),
        3,
    )


def sweep_duel(family: str) -> Duel:
    """A sweep of a family, over values new to it, against one backtest: what that takes the sweep
    must not take for all.
    """
    market, config = test_sweep.market(False), test_sweep.base(family, False)
    test_sweep.same_as_backtests(test_sweep.swept(family, CONFIGURATIONS, False, 1), False, 1)
    return Duel(
        f"sweep of {CONFIGURATIONS:,} configurations, {family}",
        "one backtest",
        lambda: test_sweep.swept(family, CONFIGURATIONS, False, 1),
        lambda: wv.backtest(market, config).summary(),
        5,
    )


def account_duel() -> Duel:
    """An account over the wheels of the demo market, against a plain loop."""
    offered = test_account.result(True)
    test_account.same_equity(offered)
    cash = test_account.ACCOUNT.cash
    return Duel(
        f"an account over {offered.wheels.height:,} wheels",
        test_account.LOOP,
        lambda: wv.simulate(offered, test_account.ACCOUNT),
        lambda: test_account.plain_loop(offered, cash),
        5,
    )


def account_sweep_duel(family: str) -> Duel:
    """A sweep under an account, against one backtest and its account."""
    market = test_sweep.market(False)
    test_account.same_as_simulate(test_account.swept(family, CONFIGURATIONS), 1)
    return Duel(
        f"accounts of {CONFIGURATIONS:,} configurations, {family}",
        "one backtest with its account",
        lambda: test_account.swept(family, CONFIGURATIONS),
        lambda: wv.simulate(wv.backtest(market), test_account.ACCOUNT).metrics(),
        3,
    )


def measured(duel: Duel) -> dict[str, Any]:
    """Run the two by turns; the least time of each, in seconds, and their ratio."""
    best = {"ours": float("inf"), "reference": float("inf")}
    for _ in range(duel.rounds):
        for side in best:
            began = time.perf_counter()
            getattr(duel, side)()
            best[side] = min(best[side], time.perf_counter() - began)
    return {
        "name": duel.name,
        "reference": duel.reference_name,
        **{f"{side}_seconds": t for side, t in best.items()},
        "ratio": best["reference"] / best["ours"],
    }


def line(found: dict[str, Any], stated: float | None) -> str:
    """A measured ratio and, where it falls short, the stated one."""
    text = f"{found['name']}: {found['ratio']:.3g} times as fast as {found['reference']}"
    if stated is None:
        return f"{text}; docs/performance.md states no ratio, `make bench` measures it"
    if found["ratio"] >= LEAST_SHARE * stated:
        return text
    return f"{text}, UNDER HALF of the {stated:.3g} stated in docs/performance.md"


def judged(duel: Duel, stated: float | None) -> dict[str, Any]:
    """Measure, and once more if the ratio falls short of the stated one; the better of the two."""
    found = measured(duel)
    if stated is not None and found["ratio"] < LEAST_SHARE * stated:
        found = max(found, measured(duel), key=lambda row: row["ratio"])
    return found


def main(arguments: list[str] | None = None) -> None:
    """The command line; a pair whose results differ raises."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.check", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--record", action="store_true", help="put the ratios into figures.json")
    record = parser.parse_args(arguments).record
    known = [] if record else figures.read().get("short", {}).get("rows", [])
    stated = {row["name"]: row["ratio"] for row in known}
    rows = []
    with (
        machine.threads(1),
        tempfile.TemporaryDirectory() as minute,
        tempfile.TemporaryDirectory() as demo,
    ):
        makers: list[Callable[[], Duel]] = [solver_duel, chain_duel, path_duel]
        makers += [lambda: minute_duel(Path(minute)), lambda: whole_duel(Path(demo))]
        makers += [partial(sweep_duel, family) for family in test_sweep.FAMILIES]
        makers += [account_duel]
        makers += [partial(account_sweep_duel, family) for family in test_account.FAMILIES]
        for make in makers:
            duel = make()
            row = judged(duel, stated.get(duel.name))
            rows.append(row)
            print(line(row, row["ratio"] if record else stated.get(duel.name)))
    if record:
        figures.update("short", {"machine": machine.described(), "rows": rows})


if __name__ == "__main__":
    main()
