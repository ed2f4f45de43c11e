"""The benchmarks' own tools: the page is made of the figures, a difference is seen, a fallen ratio
told.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from benchmarks import agreement, check, figures, machine, plot, report, thousand_workers
from benchmarks.agreement import DisagreementError
from benchmarks.inputs import black_scholes, paths, quotes
from benchmarks.references import numba_loop_iv, numba_loop_walk

DUEL = check.Duel("work", "a loop", lambda: None, lambda: None, 3)
STATED = [{"name": "work", "reference": "a loop", "ratio": 10.0}]


def found(ratio: float) -> dict[str, Any]:
    """A measured ratio."""
    return {"name": "work", "reference": "a loop", "ratio": ratio}


# ---- the page


@pytest.mark.parametrize("name", [report.PAGE, report.SOLVERS, report.SCALE])
def test_the_page_is_what_the_figures_make(name: str) -> None:
    committed = (report.DOCS / name).read_text(encoding="utf-8")
    assert committed == report.written(figures.read())[name], (
        "`python -m benchmarks.report` writes it anew"
    )


def test_another_figure_makes_another_page() -> None:
    kept = figures.read()
    kept["benchmarks"]["rows"][0]["median"] *= 2.0
    assert report.written(kept)[report.PAGE] != report.written(figures.read())[report.PAGE]


def test_who_is_absent_is_named() -> None:
    kept = figures.read()
    kept["benchmarks"]["absent"] = {"lbriv": "ModuleNotFoundError: No module named 'lbriv'"}
    assert (
        "Not there in this run, so not compared: lbriv (ModuleNotFoundError"
        in report.written(kept)[report.PAGE]
    )


def test_a_ratio_is_a_time_over_that_of_wheelvec_on_one_thread() -> None:
    rows = [
        {"group": "g", "what": "wheelvec", "n": 100, "threads": 2, "median": 1.0},
        {"group": "g", "what": "wheelvec", "n": 100, "threads": 1, "median": 2.0},
        {"group": "g", "what": "rival", "n": 10, "threads": 1, "median": 1.0, "note": "slow"},
        {
            "group": "g",
            "what": "rival",
            "n": 5,
            "threads": 1,
            "median": 7.0,
            "note": "a smaller size is not the table's",
        },
    ]
    page = report.Page({"benchmarks": {"rows": rows}, "short": {}})
    assert page.compared("g", "things", report.per("ms", "thing")).splitlines()[2:] == [
        "| **wheelvec** |  | 2 | 100 | 10 | 0.5 |",
        "| **wheelvec** |  | 1 | 100 | 20 | 1 |",
        "| rival | slow | 1 | 10 | 100 | 5 |",
    ]


def test_a_ratio_of_processor_time_is_over_that_of_wheelvec_on_one_thread() -> None:
    rows = [
        {"what": "wheelvec", "n": 10, "threads": 2, "median": 1.0, "processor": 4.0},
        {"what": "wheelvec", "n": 10, "threads": 1, "median": 2.0, "processor": 2.0},
        {"what": "Polars", "n": 10, "threads": 1, "median": 0.5, "processor": 1.0},
    ]
    page = report.Page({"benchmarks": {"rows": []}, "short": {}})
    assert page.by_processor(rows, 1e3, "ms").splitlines()[2:] == [
        "| Polars | 1 | 50 | 100 | 0.5 |",
        "| **wheelvec** | 1 | 200 | 200 | 1 |",
        "| **wheelvec** | 2 | 100 | 400 | 2 |",
    ]
    assert "Not measured yet" in page.files()


MACHINE = {"date": "2026-01-02", "processor": "any processor", "cores": 2, "vector_unit": "AVX2"}


def test_accounts_have_a_section_once_they_were_measured() -> None:
    assert report.Page({"benchmarks": {"rows": []}, "short": {}}).accounts() == ""
    alone = {"threads": 1, "n": 100}
    rows = [
        {"group": "account", "what": "wheelvec", "median": 0.5, **alone},
        {"group": "account", "what": "a plain loop", "median": 4.0, **alone},
        {"group": "account sweep", "what": "exits", "median": 2.0, "goal": 5.0, **alone},
        {"group": "account sweep", "what": "a loop", "median": 20.0, **alone},
    ]
    part = {"rows": rows, "machine": MACHINE}
    page = report.Page({"benchmarks": {"rows": []}, "account": part, "short": {}}).accounts()
    assert "| a plain loop |  | 1 | 100 | 4 | 8 |" in page
    assert "| **wheelvec**, exits | 100 | 2 | 5 | 20 |" in page
    assert "| a loop | 100 | 20 |  | 200 |" in page


def test_inference_has_a_section_once_it_was_measured() -> None:
    assert report.Page({"benchmarks": {"rows": []}, "short": {}}).inference() == ""
    rows = [
        {"group": group, "what": what, "n": 1_000, "threads": 1, "median": seconds}
        for group in ("bootstrap", "pbo")
        for what, seconds in (("wheelvec", 1.0), ("NumPy loop", 8.0))
    ]
    part = {"rows": rows, "machine": MACHINE}
    page = report.Page({"benchmarks": {"rows": []}, "inference": part, "short": {}}).inference()
    assert page.endswith("Measured on 2026-01-02: any processor, 2 cores, AVX2.")
    assert page.count("| NumPy loop |  | 1 | 1,000 | 8 |") == 2


def test_results_are_distilled() -> None:
    one = {
        "group": "g",
        "extra_info": {"what": "w", "n": 3, "threads": 1, "error": 1e-9, "secret": 1},
    }
    one["stats"] = {"median": 2.0, "min": 1.0, "rounds": 5, "data": [1.0, 2.0]}
    rows = report.distilled({"benchmarks": [one], "machine": {"cores": 2}, "absent": {}})["rows"]
    assert rows == [
        {
            "group": "g",
            "what": "w",
            "n": 3,
            "threads": 1,
            "error": 1e-9,
            "median": 2.0,
            "least": 1.0,
            "rounds": 5,
        }
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.8, "1,234,568"),
        (123.4, "123"),
        (12.345, "12.3"),
        (1.0, "1"),
        (0.0123456, "0.0123"),
        (0.0000123, "0.000012"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert report.number(value) == text


def test_parts_of_the_figures_are_replaced_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    figures.update("short", {"ratio": 1.23456789}, path)
    figures.update("scale", [1, 2.0], path)
    figures.update("scale", [3, "text"], path)
    assert json.loads(path.read_text()) == {"short": {"ratio": 1.235}, "scale": [3, "text"]}


def test_a_picture_holds_every_line_and_point() -> None:
    lines = [
        plot.Line("fast", ((10.0, 1.0), (100.0, 2.0)), strong=True),
        plot.Line("slow & old", ((10.0, 50.0),), joined=False),
    ]
    root = ElementTree.fromstring(plot.chart("title", "x", "y", lines))
    space = "{http://www.w3.org/2000/svg}"
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{space}circle")]
    texts = {text.text for text in root.iter(f"{space}text")}
    assert {"fast", "slow & old", "10", "100", "1", "x", "y"} <= texts
    (x0, y0), (x1, y1), (x2, y2) = circles
    assert x0 == x2 < x1  # the same size, and a larger one to the right
    assert y2 < y1 < y0  # more time lies higher
    assert len(list(root.iter(f"{space}polyline"))) == 1


# ---- the short form


def test_a_ratio_down_to_half_of_the_stated_one_is_stated_alone() -> None:
    assert check.line(found(5.0), 10.0) == "work: 5 times as fast as a loop"
    assert check.line(found(20.0), 10.0) == "work: 20 times as fast as a loop"


def test_a_ratio_under_half_of_the_stated_one_is_told() -> None:
    assert check.line(found(4.99), 10.0) == (
        "work: 4.99 times as fast as a loop, UNDER HALF of the 10 stated in docs/performance.md"
    )


def test_a_ratio_that_was_never_stated_is_told() -> None:
    assert check.line(found(5.0), None) == (
        "work: 5 times as fast as a loop; docs/performance.md states no ratio, "
        "`make bench` measures it"
    )


@pytest.mark.parametrize(
    ("ratios", "stated", "measured"),
    [([6.0], 10.0, 1), ([2.0, 6.0], 10.0, 2), ([4.0, 2.0], 10.0, 2), ([1.0], None, 1)],
    ids=str,
)
def test_what_falls_short_is_measured_once_more(
    ratios: list[float], stated: float | None, measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(ratios)
    monkeypatch.setattr(check, "measured", lambda duel: found(next(left)))
    assert check.judged(DUEL, stated)["ratio"] == max(ratios)
    assert len(ratios) - len(list(left)) == measured


def test_the_two_sides_run_by_turns_and_the_least_time_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []
    duel = check.Duel("work", "a loop", lambda: ran.append("ours"), lambda: ran.append("loop"), 3)
    clock = itertools.accumulate(
        [0.0, 4.0, 0.0, 9.0, 0.0, 2.0, 0.0, 8.0, 0.0, 3.0, 0.0, 30.0]
    )  # begins and ends, by turns
    monkeypatch.setattr(check, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    row = check.measured(duel)
    assert ran == ["ours", "loop"] * 3
    assert (row["ours_seconds"], row["reference_seconds"], row["ratio"]) == (2.0, 8.0, 4.0)


@pytest.fixture
def duels(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair in place of all, stated at ten times."""
    monkeypatch.setattr(check, "test_sweep", SimpleNamespace(FAMILIES=()))
    monkeypatch.setattr(check, "test_account", SimpleNamespace(FAMILIES=()))
    for maker in ("solver_duel", "chain_duel", "path_duel", "account_duel"):
        monkeypatch.setattr(check, maker, lambda: DUEL)
    for maker in ("minute_duel", "whole_duel"):
        monkeypatch.setattr(check, maker, lambda folder: DUEL)
    monkeypatch.setattr(figures, "read", lambda: {"short": {"rows": STATED}})


@pytest.mark.parametrize(("ratio", "told"), [(9.0, 0), (1.0, 6)])
def test_the_command_tells_of_a_ratio_and_does_not_fail_with_it(
    ratio: float,
    told: int,
    duels: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check, "measured", lambda duel: found(ratio))
    check.main([])
    assert capsys.readouterr().out.count("UNDER HALF of the 10 stated") == told


def test_the_command_fails_with_results_that_differ(
    duels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differing() -> check.Duel:
        agreement.same_arrays("ours", np.zeros(2), np.ones(2))
        return DUEL

    monkeypatch.setattr(check, "measured", lambda duel: found(9.0))
    monkeypatch.setattr(check, "path_duel", differing)
    with pytest.raises(DisagreementError, match="ours"):
        check.main([])


def test_the_page_states_what_the_short_form_holds() -> None:
    page = (report.DOCS / report.PAGE).read_text(encoding="utf-8")
    for row in figures.read()["short"]["rows"]:
        assert f"| {row['name']} | {row['reference']} |" in page


# ---- agreement


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (
            [1.0, 2.0, 3.0],
            "what: 1 of 3 differ by more than 0.001, the first at 2: .*3.0.*, expected .*nan",
        ),
        ([1.0, np.nan, np.nan], "the first at 1: .*nan.*, expected .*2.0"),
        ([1.002, 2.0, np.nan], "the first at 0"),
        ([1.0, 2.0], r"what: shape \(2,\), expected \(3,\)"),
    ],
)
def test_arrays_that_differ_are_seen(mine: list[float], message: str) -> None:
    with pytest.raises(DisagreementError, match=message):
        agreement.same_arrays("what", np.array(mine), np.array([1.0, 2.0, np.nan]), 0.001)


def test_arrays_that_agree_pass() -> None:
    agreement.same_arrays("what", np.array([1.0005, np.nan]), np.array([1.0, np.nan]), 0.001)


def test_a_wrong_volatility_is_seen() -> None:
    q = quotes(100)
    iv, _ = numba_loop_iv(q)
    agreement.reprices("loop", q, iv)
    iv[17] *= 1.001
    with pytest.raises(
        DisagreementError, match="loop: price at the volatility found: 1 of 100 differ"
    ):
        agreement.reprices("loop", q, iv)


WHEELS = pl.DataFrame(
    {
        "underlying": ["A", "A", "B"],
        "entry_date": ["d", "e", "d"],
        "put_symbol": ["x", "x", "y"],
        "pnl": [1.0, None, 3.0],
    }
)


@pytest.mark.parametrize(
    "other",
    [
        WHEELS.with_columns(pl.Series("pnl", [1.01, None, 3.0])),
        WHEELS.with_columns(pl.Series("pnl", [1.0, 2.0, 3.0])),
        WHEELS.with_columns(pl.Series("pnl", [1.0, None, None])),
        WHEELS.with_columns(pl.Series("put_symbol", ["x", "x", "z"])),
        WHEELS.head(2),
        pl.concat([WHEELS, WHEELS.head(1).with_columns(underlying=pl.lit("C"))]),
    ],
)
def test_wheels_that_differ_are_seen(other: pl.DataFrame) -> None:
    for pair in ((WHEELS, other), (other, WHEELS)):
        with pytest.raises(DisagreementError, match=r"what: [12] of [34] wheels differ, the first"):
            agreement.same_wheels("what", *pair)


def test_wheels_that_agree_pass_and_none_at_all_do_not() -> None:
    agreement.same_wheels("what", WHEELS, WHEELS.reverse().with_columns(pl.col("pnl") + 0.001))
    with pytest.raises(DisagreementError, match="what: no wheels to compare"):
        agreement.same_wheels("what", WHEELS.head(0), WHEELS.head(0))


# ---- inputs


def test_quotes_have_a_volatility_and_are_the_same_each_time() -> None:
    for rounded in (True, False):
        q = quotes(2_000, rounded)
        assert len(q) == 2_000
        for name, values in vars(quotes(2_000, rounded)).items():
            assert np.array_equal(values, getattr(q, name)), name
        price, _, vega = black_scholes(q, q.true_volatility)
        assert np.abs(price - q.price).max() <= (0.005 + 1e-9 if rounded else 0.0)
        assert rounded or vega.min() >= 0.01
        assert 0.3 < q.is_call.mean() < 0.7


def test_paths_are_bars_and_end_in_every_way() -> None:
    made = paths(500, 24)
    assert (made.high >= np.maximum(made.open, made.close)).all()
    assert (made.low <= np.minimum(made.open, made.close)).all()
    reason, day, price = numba_loop_walk(made)
    assert np.bincount(reason, minlength=3).min() > 5
    gapped = (reason == 1) & (price > 2.0 * made.price + 1e-9)
    assert gapped.any()
    assert (day >= 1).all()


def test_threads_are_limited_and_given_back() -> None:
    before = machine.most_threads()
    with machine.threads(1):
        assert machine.most_threads() == 1
    assert machine.most_threads() == before


# ---- a thousand workers on paper

FREE = thousand_workers.Constants(
    warm=0.0, submit=0.0, schedule=0.0, keep=0.0, store=math.inf, link=math.inf
)


def test_one_simulated_worker_as_worked_by_hand() -> None:
    """Three tasks of 1 s to read and 5 s to compute; a second each for all that serves them.

    The client sends at 0 and 1; the worker has the first at 2, the second waits from 3 on. The
    first is computed at 8, known to the client at 9, kept at 10; the third is sent then, and there
    at 12, while the second runs until 14. The third ends at 20, is reported at 21 and kept at 22.
    """
    given = dataclasses.replace(FREE, submit=1.0, schedule=2.0, keep=1.0, link=10.0)
    cluster = thousand_workers.Cluster(1, given)
    cluster.run(iter([thousand_workers.Task(10.0, 5.0)] * 3))
    assert (cluster.now, cluster.busy, cluster.read) == (22.0, 15.0, 30.0)
    assert (cluster.client.busy, cluster.scheduler.busy) == (6.0, 6.0)


def test_a_simulated_store_serves_one_after_the_other() -> None:
    """100 bytes at 10 a second: at 10 and at 20, then a second to compute."""
    cluster = thousand_workers.Cluster(2, dataclasses.replace(FREE, store=10.0))
    cluster.run(iter([thousand_workers.Task(100.0, 1.0)] * 2))
    assert (cluster.now, cluster.busy, cluster.store.busy) == (21.0, 2.0, 20.0)


def test_simulated_workers_wait_for_a_client_that_folds() -> None:
    """4 underlyings of 2 years: 8 s of surveys and 8 s of jobs on 4 workers, and 4 s of the client."""
    given = dataclasses.replace(
        FREE,
        slice_year=1.0,
        cell=0.5,
        wheels_year=1.0,
        bytes_year=2.0**28 / 2,
        survey_byte=8 / 2.0**28,
        fold=1.0,
        fold_row=0.0,
    )
    rows, tasks = thousand_workers.jobs(4, 2, 6, given)
    assert (rows, [task.compute for task in tasks]) == (6, [8.0] * 4)
    found = thousand_workers.simulate(4, 2, 6, 4, given)
    assert (found.seconds, found.busy, found.fold) == (20.0, 64.0, 4.0)
    assert found.utilisation == 64 / 80
    assert found.core_hours == 80 / 3600
    assert found.narrowest == "workers"
    assert thousand_workers.simulate(4, 2, 6, 1, given).seconds == 68.0
