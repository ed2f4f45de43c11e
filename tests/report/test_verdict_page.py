"""Pages say what a verdict does, and what a sweep says of one without its market."""

import dataclasses
import html
import re
from functools import cache
from pathlib import Path

import polars as pl
import pytest

import wheelvec as wv
from tests.report import built
from wheelvec.inference.lines import DEFLATED, SURE
from wheelvec.report.pages import page as pages
from wheelvec.report.pages.ranges import ranges
from wheelvec.report.pages.verdicts import most
from wheelvec.report.plots.luck import deflated
from wheelvec.run.results.warnings import RunWarning


@cache
def rendered() -> str:
    return pages.html(built.verdict())


def test_each_line_is_a_row_with_its_answer() -> None:
    verdict = built.verdict()
    table = rendered().partition('id="lines"')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(<td.*?)\n", table)
    assert len(rows) == len(verdict.lines) == 8
    for row, line in zip(rows, verdict.lines, strict=True):
        cells = [html.unescape(each) for each in re.findall(r"<td[^>]*>([^<]*)", row)]
        figure = line.figure or "-"
        assert cells == [line.topic, line.name, line.answer, figure, line.compared, line.says]
        assert ('class="gain"' in row, 'class="loss"' in row) == (
            line.holds is True,
            line.holds is False,
        )
    for said in (*verdict.says, *verdict.tried.says):
        assert html.escape(said).removesuffix(".") in rendered()


def test_the_deflated_ratio_stands_by_number_of_trials() -> None:
    trials = built.trials()
    for method, number, luck, value in trials.frame.rows():
        assert f"<td>{number:,.1f}<td>{luck:.3f}<td>{value:.3f}" in rendered(), method
        assert trials.deflated(number) == value
    spec = deflated(trials).to_dict()
    points = [row for data in spec["datasets"].values() for row in data]
    curve = [row for row in points if "dsr" in row]
    assert [row["dsr"] for row in curve] == sorted((row["dsr"] for row in curve), reverse=True)
    assert curve[-1]["trials"] == pytest.approx(10 * trials.frame["trials"].max())


def test_the_greatest_number_of_trials_that_holds() -> None:
    noise = dataclasses.replace(built.trials(), sharpe=0.1)
    assert most(noise) == "not 0.95 even if nothing else had been tried"
    lucky = dataclasses.replace(noise, sharpe=0.6, skew=0.0, kurtosis=3.0, variance=0.04)
    number = int(most(lucky).removeprefix("at least 0.95 up to ").split()[0].replace(",", ""))
    assert lucky.deflated(number) >= SURE > lucky.deflated(1.01 * number + 1)
    alike = dataclasses.replace(lucky, variance=0.0)
    assert most(alike) == "at least 0.95 at any number of trials"


def test_warnings_of_the_sweep_are_among_what_to_know() -> None:
    warning = RunWarning("adjusted_closes", "A", 3, "A: on 3 sessions the closes are <adjusted>")
    verdict = built.verdict()._replace(warnings=(warning,))
    assert "<li>A: on 3 sessions the closes are &lt;adjusted&gt;" in pages.html(verdict)


def test_a_verdict_without_trials_says_why() -> None:
    verdict = wv.verdict(built.sweep())
    line = next(each for each in verdict.lines if each.name == DEFLATED[1])
    text = pages.html(verdict)
    assert f"by number of trials cannot be said: {html.escape(line.says)}." in text
    assert 'class="chart"' not in text


def test_a_sweep_says_what_needs_no_market(tmp_path: Path) -> None:
    sweep = built.sweep()
    text = pages.html(sweep)
    for line in wv.verdict(sweep).lines[-2:]:
        assert (
            f"<td>{html.escape(line.figure)}<td>{line.compared}<td>{html.escape(line.says)}" in text
        )
    assert "wv.page(wv.verdict(sweep, account), &#39;verdict.html&#39;)" in text
    assert "Not varied by this sweep: fills, start, choice, market." in text
    sweep.save(tmp_path / "sweep")
    assert pages.html(wv.Sweep.load(tmp_path / "sweep")) == text
    assert re.findall(r'fill="url\(#gradient-\w+-0\)"', text)


def test_ranges_are_those_of_bands() -> None:
    """Of the fields that a sweep varies `bands` says the same of the row."""
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12", every=2))
    grid = {
        "schedule.offset": [0, 1],
        "fills.fill_mode": ["optimistic", "realistic", "pessimistic", "natural"],
        "put.stop_loss_multiplier": [1.2, None],
    }
    sweep = wv.sweep(built.market(), config, grid)
    row = sweep.frame.with_row_index().filter(
        pl.col("schedule.offset") == 0,
        pl.col("fills.fill_mode") == "realistic",
        pl.col("put.stop_loss_multiplier").is_null(),
    )["index"][0]
    found = ranges(sweep, row, "avg_wheel_roc")
    same = wv.bands(built.market(), sweep.row_config(row), seeds=2).frame
    assert found["kind"].to_list() == ["fills", "start"]
    for kind, _, low, estimate, high, n in found.rows():
        expected = same.filter(kind=kind).select("low", "estimate", "high", "n").row(0)
        assert (low, estimate, high, n) == pytest.approx(expected)
