"""Outcomes put aside in files or in memory come out again in the order of the sessions, and the
summary of records that come part by part is that of all at once.
"""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.run import backtest as backtests
from wheelvec.run.results import result as results
from wheelvec.run.results.spool import Spool
from wheelvec.stages.outcomes import ENTRY_DAY, OneUnderlying
from wheelvec.stages.summary import Sums, summary

FRAMES = ("records", "ledger", "diagnostics", "call_diagnostics", "paths", "underlying")


def outcomes(sessions: list[int], legs: list[int]) -> OneUnderlying:
    """Wheels entered on these sessions with so many legs each, and one attempt for each call."""
    wheels = np.zeros(len(sessions), WHEEL)
    wheels["wheel"], wheels["number"], wheels["legs"] = np.arange(len(sessions)), sessions, legs
    wheels["attempts"] = wheels["legs"] - 1
    for name, first in (("legs", "first_leg"), ("attempts", "first_attempt")):
        wheels[first] = np.cumsum(wheels[name]) - wheels[name]
    tables = [
        np.zeros(int(wheels["legs"].sum()), LEG),
        np.zeros(int(wheels["attempts"].sum()), ATTEMPT),
    ]
    for table, name in zip(tables, ("legs", "attempts"), strict=True):
        table["wheel"] = np.repeat(wheels["wheel"], wheels[name])
    tables[0]["contract"] = np.arange(tables[0].size)
    return OneUnderlying(*tables, wheels, np.zeros(3, ENTRY_DAY), pl.Series(["a"] * tables[0].size))


@pytest.mark.parametrize("in_files", [True, False], ids=["files", "memory"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_wheels_come_session_by_session(tmp_path: Path, in_files: bool, size: int) -> None:
    spool = Spool(tmp_path if in_files else None)
    given = [outcomes([2, 2, 5], [1, 3, 2]), outcomes([], []), outcomes([3, 5], [1, 4])]
    expected = [one._replace(**{k: getattr(one, k).copy() for k in ("legs", "attempts", "wheels")})
                for one in given]  # fmt: skip
    for one in given:
        spool.add(one)
    assert spool.count == 5
    batches = spool.batches(size)
    assert [batch.number for batch in batches] == {1: [0, 2, 3], 2: [0, 2, 3], 3: [0, 3]}.get(
        size, [0]
    )
    found: dict[int, list[tuple[int, list[int], int]]] = {0: [], 1: [], 2: []}
    for batch in batches:
        for place, part in enumerate(spool.taken(batch)):
            assert (
                (part.wheels["number"] >= batch.first) & (part.wheels["number"] < batch.last)
            ).all()
            for i, wheel in enumerate(part.wheels):
                legs = part.legs[wheel["first_leg"] : wheel["first_leg"] + wheel["legs"]]
                attempts = part.attempts[wheel["first_attempt"] :][: wheel["attempts"]]
                assert (legs["wheel"] == i).all()
                assert (attempts["wheel"] == i).all()
                found[place].append((wheel["number"], legs["contract"].tolist(), len(attempts)))
    for place, one in enumerate(expected):
        assert found[place] == [
            (
                wheel["number"],
                list(range(wheel["first_leg"], wheel["first_leg"] + wheel["legs"])),
                wheel["attempts"],
            )
            for wheel in one.wheels
        ]
    assert sum(part.days.size for part in spool.sessions) == 9
    assert not any(part.wheels.size for part in spool.sessions)


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["ALFA", "BRVO", "DLTA"], end="2024-06-28")


CALLS = wv.CallRules(max_cycles=None, call_wait_sessions=2)


def test_a_folder_holds_what_memory_holds(
    market: wv.Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the batches, of records and of what a summary reads."""
    config = wv.Config(call=CALLS)
    memory = wv.backtest(market, config)
    for batch, part in ((10_000, 2**18), (97, 50), (1, 7)):
        monkeypatch.setattr(backtests, "BATCH", batch)
        monkeypatch.setattr(results, "PART", part)
        written = wv.backtest(market, config, out=tmp_path / str(batch))
        for name in FRAMES:
            assert getattr(written, name).equals(getattr(memory, name)), (batch, name)
        assert written.summary() == memory.summary()
        names = {path.name for path in (tmp_path / str(batch)).iterdir()}
        assert not any("spool" in name or "staged" in name for name in names)


@pytest.mark.parametrize("rules", ["ledger", "v5"])
@pytest.mark.parametrize("step", [1, 5, 64])
def test_parts_of_records_sum_up_to_the_whole(market: wv.Market, rules: str, step: int) -> None:
    """Whole wheels at a time, cut anywhere; to the bit."""
    config = wv.Config(call=CALLS).replace(rules=rules)
    records = wv.backtest(market, config).records
    ends = (np.flatnonzero((records["phase"] == "total").to_numpy()) + 1)[::step].tolist()
    sums = Sums(config)
    for first, last in itertools.pairwise([0, *ends, records.height]):
        sums.add(records[first:last])
    assert sums.figures() == summary(records, config)


def test_no_record_sums_up_to_nothing(market: wv.Market) -> None:
    config = wv.Config()
    records = wv.backtest(market, config).records.clear()
    assert Sums(config).figures() == summary(records, config)
    assert summary(records, config)["total_pnl_worst"] is None
