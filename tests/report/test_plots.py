"""Charts show the figures of the frames, few enough points, and nothing that needs a network."""

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wheelvec as wv
from tests.report import built
from wheelvec.model.columns import of_sweep
from wheelvec.report.months import pnl_by_month, returns_by_month, yearly
from wheelvec.report.plots.thinning import gathered, labels_of, thinned
from wheelvec.report.plots.wheels import by_field, histogram

FAN = pl.DataFrame(
    {
        "session": [dt.date(2024, 1, 2), dt.date(2024, 1, 3)],
        "p05": [9.0, 8.0],
        "p50": [9.0, 9.5],
        "p95": [9.0, 12.0],
    }
)
BANDS = pl.DataFrame(
    {"kind": ["fills", "market"], "low": [-0.1, -2.0], "high": [0.2, 1.0], "estimate": [0.0, 0.0]}
)
CHARTS: dict[str, Callable[[], Any]] = {
    "equity of an account": lambda: wv.plots.equity(built.portfolio()),
    "equity of a result": lambda: wv.plots.equity(built.result()),
    "equity of several": lambda: wv.plots.equity({"a": built.portfolio(), "b": built.portfolio()}),
    "drawdown": lambda: wv.plots.drawdown(built.portfolio()),
    "attribution": lambda: wv.plots.attribution(built.portfolio()),
    "capital": lambda: wv.plots.capital(built.portfolio()),
    "fan": lambda: wv.plots.fan(FAN),
    "monthly of an account": lambda: wv.plots.monthly(built.portfolio()),
    "monthly of a result": lambda: wv.plots.monthly(built.result()),
    "roc": lambda: wv.plots.roc_distribution(built.result()),
    "ends": lambda: wv.plots.ends(built.result()),
    "ends of puts": lambda: wv.plots.ends(built.result(), of="put"),
    "by dte": lambda: wv.plots.by(built.result(), "dte"),
    "by ivp": lambda: wv.plots.by(built.result(), "ivp"),
    "heat": lambda: wv.plots.heat(built.sweep(), "put.exit_pct", "put.stop_loss_multiplier"),
    "sensitivity": lambda: wv.plots.sensitivity(built.sweep()),
    "bands": lambda: wv.plots.bands(BANDS),
    "chain": lambda: wv.plots.chain(built.market(), "BRVO", "2024-01-03"),
    "coverage": lambda: wv.plots.coverage(built.market()),
    "wheel": lambda: wv.plots.wheel(built.result(), built.result().wheels["wheel_id"][0]),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_valid_and_small(name: str) -> None:
    chart = CHARTS[name]()
    spec = chart.to_dict(validate=True)
    assert isinstance(chart, alt.TopLevelMixin)
    assert spec["title"]["text"]
    assert "http" not in json.dumps({k: v for k, v in spec.items() if k != "$schema"})
    for rows in spec.get("datasets", {}).values():
        assert len(rows) <= 8 * 2000
    for axis in axes(spec):
        assert axis is None or "title" in axis, "an axis without a word on its unit"
    shown = chart._repr_mimebundle_()
    assert shown["text/html"].startswith("<div><svg")
    assert "<script" not in shown["text/html"]


def axes(spec: Any) -> list[Any]:
    """The axes of the positions of a specification and of its parts."""
    found = []
    if isinstance(spec, dict):
        for channel in ("x", "y"):
            position = spec.get("encoding", {}).get(channel)
            if isinstance(position, dict) and "axis" in position:
                found.append(position["axis"])
        for value in spec.values():
            found += axes(value)
    if isinstance(spec, list):
        for value in spec:
            found += axes(value)
    return found


def test_charts_are_quick() -> None:
    """Processor time of the slower ones, the least of three."""
    for name in ("by dte", "wheel", "equity of an account", "ends"):
        taken = []
        for _ in range(3):
            begun = time.process_time()
            CHARTS[name]().to_dict()
            taken.append(time.process_time() - begun)
        assert min(taken) < 0.6, name  # 0.3 s, and what a busy machine adds


@pytest.mark.parametrize("ending", ["png", "svg", "html"])
def test_a_chart_is_saved_without_a_network(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    CHARTS["bands"]().save(path)
    content = path.read_bytes()
    begins = {"png": b"\x89PNG", "svg": b"<svg", "html": b"<!DOCTYPE html>"}
    assert content.startswith(begins[ending])
    if ending == "html":
        assert b"<script src" not in content
        assert b"vegaEmbed" in content
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wv.InputError, match=r"ends in \.png, \.svg or \.html"):
        CHARTS["bands"]().save(tmp_path / "x.gif")


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300),
    st.integers(8, 60),
)
def test_thinning_keeps_ends_and_extremes(values: list[float], most: int) -> None:
    frame = pl.DataFrame({"i": range(len(values)), "y": values})
    kept = thinned(frame, ["y"], most)
    assert kept.height <= max(most, 2) or frame.height <= most
    assert kept["i"].is_sorted()
    assert (kept["y"].min(), kept["y"].max()) == (min(values), max(values))
    assert (kept["i"][0], kept["i"][-1]) == (0, len(values) - 1)


def test_a_long_line_has_two_thousand_points() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=50_000))
    frame = pl.DataFrame({"value": walk, "session": range(50_000)})
    kept = thinned(frame, ["value"])
    assert 1900 < kept.height <= 2000
    assert kept["value"].max() == walk.max()


def test_maps_have_fifty_groups_at_most() -> None:
    values = pl.Series("x", [i / 7 for i in range(400)] + [None] * 3)
    places = gathered(values)
    assert places.n_unique() <= 50
    labels = labels_of(values, places)
    assert labels[places[400]] == "none"
    assert places[:400].is_sorted()
    few = pl.Series("x", [0.5, None, 0.25])
    assert labels_of(few, gathered(few)) == {0: "0.25", 1: "0.5", 2: "none"}


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=80))
def test_every_wheel_is_in_one_bin(values: list[float]) -> None:
    bins = histogram(pl.Series(values))
    assert bins["wheels"].sum() == len(values)
    assert bins.height <= 50
    assert bins["low"][0] <= min(values) + 1e-9
    assert max(values) <= bins["high"][-1] + 1e-9


def test_months_add_up() -> None:
    result, account = built.result(), built.portfolio()
    summed = pnl_by_month(result)["value"].sum()
    assert summed == pytest.approx(result.summary()["total_pnl"])
    assert pnl_by_month(result, "entry_date")["value"].sum() == pytest.approx(summed)
    total = yearly(returns_by_month(account), compounded=True)
    assert (total["value"] + 1).product() - 1 == pytest.approx(account.metrics()["total_return"])


def test_a_field_divides_all_wheels() -> None:
    result = built.result()
    for field in ("underlying", "dte", "delta", "ivp", "weekday"):
        groups = by_field(result, field)
        assert groups["wheels"].sum() == result.summary()["total_wheels"]
        assert groups["pnl"].sum() == pytest.approx(result.summary()["total_pnl"])
    assert by_field(result, "weekday")["group"].to_list() == ["Mon", "Tue", "Wed", "Thu", "Fri"]


def test_curves_end_at_the_figures() -> None:
    rows = rows_of(wv.plots.equity(built.result()))
    total = built.result().summary()["total_pnl"]
    for name in ("by entry date", "by exit date"):
        line = [row["value"] for row in rows if row.get("series") == name]
        assert line[-1] == pytest.approx(total)
    rows = rows_of(wv.plots.equity(built.portfolio()))
    own = [row["value"] for row in rows if row["series"] == "account"]
    assert own == built.portfolio().daily["equity"].to_list()


def rows_of(chart: Any) -> list[dict[str, Any]]:
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def test_a_map_shows_means() -> None:
    sweep = built.sweep()
    cells = rows_of(wv.plots.heat(sweep, "put.exit_pct", "put.stop_loss_multiplier", "total_pnl"))
    frame = sweep.frame.filter(
        pl.col("put.exit_pct") == 0.25, pl.col("put.stop_loss_multiplier").is_null()
    )
    (cell,) = [cell for cell in cells if (cell["x"], cell["y"]) == ("0.25", "none")]
    assert cell["value"] == pytest.approx(frame["total_pnl"].mean())
    assert cell["rows"] == frame.height == 2


def test_coverage_counts_missing_sessions() -> None:
    market = built.market()
    cells = rows_of(wv.plots.coverage(market))
    quotes = [cell for cell in cells if cell["row"] == "BRVO quotes"]
    held = market.option_quotes.filter(pl.col("underlying") == "BRVO")["session"].n_unique()
    assert sum(cell["held"] for cell in quotes) == held < sum(cell["sessions"] for cell in quotes)
    assert len({cell["period"] for cell in cells}) <= 50


def test_candidates_are_those_in_range() -> None:
    rows = rows_of(wv.plots.chain(built.market(), "BRVO", "2024-01-03"))
    inside = [row for row in rows if row.get("candidate")]
    assert inside
    assert all(30 <= row["dte"] <= 45 and 0.25 <= row["delta"] <= 0.35 for row in inside)


def test_lines_of_a_wheel_are_its_levels() -> None:
    result = built.result()
    wheel_id = result.wheels.filter(pl.col("csp_exit_reason") == "stop_loss")["wheel_id"][0]
    (leg,) = wv.explain(result, wheel_id).legs
    drawn = {
        row["line"]: row["value"]
        for row in rows_of(wv.plots.wheel(result, wheel_id))
        if "line" in row
    }
    assert drawn == {"stop": leg.levels.stop, "target": leg.levels.target}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wv.plots.drawdown(built.result()), "expected a Portfolio; wv.simulate"),
        (lambda: wv.plots.equity(3), "expected a Result, a Portfolio"),
        (lambda: wv.plots.equity([built.result(), built.portfolio()]), "not both"),
        (lambda: wv.plots.by(built.result(), "colour"), "unknown field 'colour'"),
        (lambda: wv.plots.by(built.result(), [1]), r"unknown field \[1\]"),  # type: ignore[arg-type]
        (lambda: wv.plots.ends(built.result(), of="cup"), "unknown of 'cup'"),
        (lambda: wv.plots.monthly(built.portfolio(), benchmark="gold"), "unknown benchmark"),
        (lambda: wv.plots.heat(built.sweep(), "put.exit_pct", "put.exit_pct"), "two fields"),
        (
            lambda: wv.plots.heat(built.sweep(), "put.exit_pct", "put.dte_min"),
            "unknown swept field",
        ),
        (
            lambda: wv.plots.heat(built.sweep(), "put.exit_pct", "fills.execution_seed", "luck"),
            "figure",
        ),
        (lambda: wv.plots.bands(pl.DataFrame({"kind": ["a"]})), "unknown frame: column 'low'"),
        (lambda: wv.plots.fan(pl.DataFrame({"session": [1], "p10": [1]})), "p90 is missing"),
        (lambda: wv.plots.bands(3), "bands: 3: expected the result of wv.bands"),
        (lambda: wv.plots.fan(3), "fan: 3: expected a frame"),
        (lambda: wv.plots.sensitivity(built.sweep(), fields=3), "fields = 3: expected a list"),
        (lambda: wv.plots.wheel(built.result(), 3), "wheel_id = 3: expected a text"),
        (lambda: wv.explain(built.result(), [1]), r"wheel_id = \[1\]: expected a text"),
        (lambda: wv.page(built.result(), 3), "3: expected a path"),
        (lambda: wv.simulate(built.result(), benchmarks="x"), "expected frames by name"),
        (lambda: built.sweep().best(descending=3), "descending = 3: expected True or False"),
        (lambda: built.sweep().periods([1]), "unknown period"),
        (
            lambda: wv.plots.chain(built.market(), "BRVO", "2024-01-03", 3),
            "config is 3: expected a wheelvec.Config",
        ),
        (lambda: wv.plots.chain(built.market(), "ACME", "2024-01-03"), "unknown symbol"),
        (lambda: wv.plots.chain(built.market(), "BRVO", "2024-01-01"), "has no quote"),
        (lambda: wv.plots.chain(built.market(), "BRVO", "soon"), "expected a date"),
        (lambda: wv.plots.wheel(built.result(), "none"), "has no such wheel"),
        (lambda: wv.plots.coverage(built.result()), "expected a Market"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(wv.InputError, match=message):
        call()


def test_figures_of_an_account_are_drawn() -> None:
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12"))
    fields = ("put.exit_pct", "put.stop_loss_multiplier")
    grid = {fields[0]: [0.25, 0.5], fields[1]: [2.0, None]}
    sweep = wv.sweep(built.market(), config, grid, account=wv.Account())
    heat = wv.plots.heat(sweep, *fields, "account_sharpe").to_dict()
    assert heat["title"]["subtitle"] == ["per year; each cell is one configuration"]
    alone = wv.plots.sensitivity(sweep, "account_total_return").to_dict()
    assert alone["title"]["subtitle"][-1] == "fraction"
    assert all(of_sweep(name).meaning for name in sweep.figures)


def test_a_missing_extra_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['altair'] = None\nimport wheelvec as wv\n"
        "for call in (lambda: wv.plots.equity, lambda: wv.page([1], 'x.html')):\n"
        "    try:\n        call()\n    except wv.InputError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("altair is missing") == 2
    assert done.stdout.count("pip install '.[report]'") == 2


def test_nothing_of_altair_is_imported_before_a_chart() -> None:
    code = "import sys, wheelvec as wv; wv.plots; wv.page; dir(wv.plots); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"altair", "vl_convert", "jinja2"} & set(done.stdout.split())
