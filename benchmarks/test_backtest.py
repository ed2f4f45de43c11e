"""One backtest of a market in memory: never seen, seen before, on two threads, over many years.

Every row is compared before it is timed: a backtest with the researcher's loop, wheel by wheel to
the cent; threads and a sweep's row with a backtest in every record.
"""

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import wheelvec as wv
from benchmarks import machine, researcher
from benchmarks.agreement import same_wheels
from benchmarks.conftest import Measure
from benchmarks.test_end_to_end import LOOP, SHORT_END, pnl_of
from wheelvec.demo.synthetic import DEMO_END, DEMO_START

NEW, SEEN, ROW = "wheelvec, new market", "wheelvec, market seen", "wheelvec, row of a sweep"
TARGETS = itertools.count(1)  # every configuration is another one


@cache
def tables(short: bool) -> dict[str, Any]:
    """The tables of the demo market."""
    market = wv.demo_market(**({"end": dt.date(2024, 3, 28)} if short else {}))
    return {
        "option_quotes": market.option_quotes,
        "option_bars": market.option_bars,
        "underlying_bars": market.underlying_bars,
    }


def config(short: bool) -> wv.Config:
    """The rules of the researcher's loop, with a target."""
    dates = {"schedule.start_date": DEMO_START, "schedule.end_date": SHORT_END}
    if not short:
        dates["schedule.end_date"] = DEMO_END
    return researcher.CONFIG.replace(**dates)


def another(base: wv.Config) -> wv.Config:
    """The same with a target that no run had."""
    return base.replace(**{"put.exit_pct": 0.5 + 1e-6 * next(TARGETS)})


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, short: bool) -> Path:
    """The demo market for the researcher's loop, which reads Parquet."""
    folder = tmp_path_factory.mktemp("demo")
    wv.Market(**tables(short)).write(folder)
    return folder


@pytest.mark.parametrize("what", [NEW, SEEN, ROW, LOOP])
def test_one_backtest(what: str, lake: Path, short: bool, measure: Measure) -> None:
    given, rules = tables(short), config(short)
    market = wv.Market(**given)
    result = wv.backtest(market, rules)
    dates = (rules.schedule.start_date, rules.schedule.end_date)

    def loop() -> Any:
        return researcher.backtest(lake, None, *dates)

    if what == LOOP:
        same_wheels("demo market", pnl_of(result.wheels), pnl_of(loop()))
    swept = wv.sweep(market, rules, {"put.stop_loss_multiplier": [1.5, 2.0, 2.5]}, threads=1)
    found, direct = swept.result(1), wv.backtest(market, swept.row_config(1))
    assert found.records.equals(direct.records)

    fresh: list[wv.Market] = []
    calls: dict[str, dict[str, Any]] = {
        NEW: {
            "function": lambda: wv.backtest(fresh[-1], rules, threads=1),
            "before": lambda: fresh.append(wv.Market(**given)),
            "rounds": 9,
        },
        SEEN: {"function": lambda: wv.backtest(market, another(rules), threads=1)},
        ROW: {"function": lambda: swept.result(1)},
        LOOP: {"function": loop, "rounds": 3},
    }
    n = result.wheels.height
    with machine.threads(1):
        measure(**calls[what], group="one_backtest", what=what, n=n, threads=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_of_a_backtest(threads: int, short: bool, measure: Measure) -> None:
    if threads > machine.most_threads():
        pytest.skip("one core")
    given, rules = tables(short), config(short)
    market = wv.Market(**given)
    one, two = (wv.backtest(market, rules, threads=n) for n in (1, 2))
    assert one.records.equals(two.records)
    fresh: list[wv.Market] = []
    with machine.threads(threads):
        measure(
            lambda: wv.backtest(fresh[-1], rules, threads=threads),
            before=lambda: fresh.append(wv.Market(**given)),
            group="backtest_threads",
            what="wheelvec",
            n=one.wheels.height,
            threads=threads,
            rounds=9,
        )


@dataclass(frozen=True)
class Years:
    """One underlying over years, and how often its calls are sold at most."""

    market: wv.Market
    last: dt.date

    def run(self, cycles: int | None) -> wv.Result:
        """A backtest without a stop, so that wheels last."""
        schedule = wv.Schedule(end_date=self.last)
        put = wv.PutRules(delta_min=0.4, delta_max=0.6, stop_loss_multiplier=None)
        call = wv.CallRules(max_cycles=cycles)
        return wv.backtest(self.market, wv.Config(schedule=schedule, put=put, call=call), threads=1)


@cache
def years(short: bool) -> Years:
    """Ten years; one in the short form."""
    end = dt.date(2015, 12, 31) if short else dt.date(2024, 12, 31)
    market = wv.demo_market(symbols=["ALFA"], start="2015-01-02", end=end)
    return Years(market, end - dt.timedelta(days=90))


CYCLES: dict[str, int | None] = {
    "wheelvec, cycles as by default": wv.CallRules().max_cycles,
    "wheelvec, any number of cycles": None,
}


@pytest.mark.parametrize("what", CYCLES)
def test_cycles_over_years(what: str, short: bool, measure: Measure) -> None:
    run: Callable[[], wv.Result] = lambda: years(short).run(CYCLES[what])  # noqa: E731
    wheels = run().wheels.height
    with machine.threads(1):
        measure(run, group="cycles", what=what, n=wheels, threads=1, rounds=3)
