"""Verdicts: lines of known statistics, what a verdict says, and how often it is wrong."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from tests import docs_verdict
from wheelvec.inference import lines
from wheelvec.inference.judged import FLATTERED, Verdict
from wheelvec.inference.lines import Line
from wheelvec.inference.tried import Tried, overlap
from wheelvec.inference.verdict import NO_ACCOUNT, NO_MARKET
from wheelvec.run.results.warnings import RunWarning

CONFIG = wv.Config(schedule=wv.Schedule(end_date="2024-01-16"))
GRID: dict[str, Any] = {"put.exit_pct": [0.25, 0.5], "fills.execution_seed": [1, 2, 3]}
TRIED = Tried(6, 2, 5, 1.5, 2, 30, 600, 900.0, 20.0, 45.0)


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=["BRVO"], start="2024-01-02", end="2024-02-29")


@pytest.fixture(scope="module")
def swept(market: wv.Market) -> wv.Sweep:
    return wv.sweep(market, CONFIG, GRID)


# ---- lines


def days(count: int) -> Any:
    return np.busday_offset("2020-01-01", np.arange(count), roll="forward")


def test_halves() -> None:
    roc, wheels = np.ones(600), np.full(600, 2.0)
    line = lines.halves_line(days(600), roc, wheels)
    assert (line.answer, line.figure) == ("holds", "mean ROC 0.500% and 0.500%")
    roc[300:] = -0.002
    line = lines.halves_line(days(600), roc, wheels)
    assert line.answer == "does not hold"
    assert line.value == pytest.approx(-0.001)
    with pytest.raises(wv.InsufficientDataError, match="at least 24 months of entries: there are"):
        lines.halves_line(days(300), roc[:300], wheels[:300])


def test_worst_year_against_an_average_other_one() -> None:
    day, wheels = days(783), np.ones(783)  # 2020 to 2022
    year = day.astype("datetime64[Y]").astype(int) + 1970
    roc = np.select([year == 2020, year == 2021], [1.0, -0.7], 0.5)
    line = lines.worst_year_line(day, roc, wheels)
    others = roc[year != 2021].mean()
    assert (line.answer, line.figure) == ("holds", "mean ROC -0.700% in 2021")
    assert line.value == pytest.approx(-0.7)
    assert line.bound == pytest.approx(-others)
    assert "1 of 3 calendar years of entry (the first and last" in line.says
    roc[year == 2021] = -0.8
    assert lines.worst_year_line(day, roc, wheels).answer == "does not hold"


def test_fills() -> None:
    line = lines.seeds_line(np.linspace(-0.1, 1.9, 41))
    assert line.holds is False
    assert line.value == pytest.approx(0.0, abs=1e-12)
    assert lines.seeds_line(np.linspace(0.1, 1.9, 41)).holds
    assert lines.natural_line(0.2, 0.5, "realistic").says.endswith("with realistic fills 0.500%")
    assert lines.natural_line(-0.2, -0.2, "natural").answer == "does not hold"


def test_effective_rank_decides_the_deflated_ratio() -> None:
    returns = np.random.default_rng(5).normal(0.0, 1.0, size=(60, 2)).repeat(10, axis=1)
    returns += 0.2 * np.random.default_rng(4).normal(size=(60, 20)) + 0.35
    trials = wv.effective_trials(returns)
    line = lines.deflated_line(trials)
    deflated = dict(trials.frame.select("method", "deflated_sharpe").rows())
    assert line.value == deflated["effective_rank"]
    assert deflated["count"] < 0.95 <= deflated["effective_rank"]
    assert (line.holds, line.bound) == (True, 0.95)
    assert f"{deflated['count']:.3f} at 20 (count)" in line.says


def test_selection() -> None:
    noise = np.random.default_rng(5).normal(size=(120, 20))
    overfitting = wv.pbo(noise, blocks=8)
    line = lines.overfitting_line(overfitting)
    assert (line.answer, line.value) == ("does not hold", overfitting.probability)
    superior = wv.spa(noise, block=1, n=500)
    best = int(superior.frame["row"][0])
    line, step = lines.superior_line(superior), lines.stepdown_line(superior, best)
    assert (line.holds, line.value) == (False, superior.p_value)
    assert line.says == (
        "if none earned more than 0 on average, the best of 20 configurations would do as well in "
        f"{superior.p_value:.0%} of samples"
    )
    assert (step.holds, step.value) == (False, superior.frame["stepm"][0])
    assert lines.stepdown_line(superior, 99).answer == "cannot be said"
    noise[:, 7] += 1.0
    superior = wv.spa(noise, block=1, n=500)
    assert lines.superior_line(superior).says.startswith("1 of 20 configurations have p")
    assert lines.stepdown_line(superior, 7).holds


def test_data() -> None:
    figures: dict[str, Any] = {"total_pnl": 100.0, "total_pnl_worst": -50.0, "marked_pnl": 120.0}
    figures |= {"censored_wheels": 3.0, "marked_wheels": 2.0}
    figures |= {"open_wheels": 1.0, "no_data_wheels": 4.0}
    marks, worst = lines.data_lines(figures, 10.0)
    assert (marks.holds, marks.value, worst.holds, worst.value) == (False, -20.0, False, -50.0)
    assert worst.says.endswith("of 10 launched 5 unresolved, 3 censored")
    dear = lines.data_lines(figures | {"total_pnl": -100.0, "marked_pnl": -1_000.0}, 10.0)[0]
    assert (dear.holds, dear.value) == (False, -100.0)  # leaving out what was lost is no gain
    figures |= {"marked_pnl": None, "total_pnl_worst": 1.0}
    assert [line.holds for line in lines.data_lines(figures, 10.0)] == [True, True]
    none = lines.data_lines(figures | {"total_pnl": None}, 10.0)
    assert [line.answer for line in none] == ["cannot be said"] * 2


# ---- what a verdict says


def made(*answers: bool | None) -> Verdict:
    questions = (lines.NATURAL, lines.SUPERIOR, lines.STOCK, lines.WORST)
    found = [
        Line(*question[:2], "" if holds is None else "p | 0.1", question[2], holds, "why")
        for question, holds in zip(questions, answers, strict=False)
    ]
    return Verdict(3, {"put.exit_pct": 0.25}, "as given", TRIED, tuple(found))


def test_answers() -> None:
    assert made(True, True, True, True).survives is True
    assert made(True, None, True).survives is None
    assert made(True, None, False).survives is False
    assert made(True, True).says[0].startswith("Every line holds. That is no proof")
    assert made(True, True).says[1] == FLATTERED
    assert made(False, True).says[1:] == []  # SPA is not flattered
    assert made(True, False, None).says == [
        "It does not survive: SPA.",
        "With the choice among so many counted, luck is not ruled out; nor is an edge.",
        "Cannot be said: delta-matched stock.",
        FLATTERED,
    ]
    assert made(False, True).says == ["It does not survive: natural fills."]
    assert made(True, None).says[0] == "Cannot be said: SPA."
    assert "none of the others speaks for it" in made(True, None).says[1]


def test_it_is_shown_in_every_form() -> None:
    verdict = made(True, False, None)
    text = str(verdict)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(
        "Row 3 (put.exit_pct 0.25): as given\n  2 configurations in 6 rows, 5 tr"
    )
    assert (
        "does not hold   selection: SPA\n                p | 0.1; holds if p under 0.05\n" in text
    )
    page = verdict.to_markdown()
    assert "| selection | SPA | p \\| 0.1 | p under 0.05 | does not hold | why |" in page
    assert page.count("\n| ") == 5
    html = verdict._repr_html_()
    assert html.count("<tr>") == 4
    assert "<td>does not hold</td>" in html
    found = json.loads(json.dumps(verdict.to_dict()))
    assert found["lines"][1]["answer"] == "does not hold"
    assert found["tried"]["independent_wheels"] == 45.0
    assert repr(verdict).startswith("<Verdict of row 3; does not hold: SPA, cannot be said: delta")


def test_warnings_are_in_every_form() -> None:
    """As in those of results: the first three of a kind in texts, all for other programs."""
    odd = tuple(RunWarning("odd", f"N{i}", i, f"N{i}: <odd>\n{'very ' * 20}so") for i in range(5))
    verdict = made(True, False)._replace(warnings=odd)
    assert made(True, False).to_dict()["warnings"] == []
    assert "Warnings" not in str(made(True)) + made(True).to_markdown() + made(True)._repr_html_()
    text = str(verdict)
    assert max(map(len, text.splitlines())) <= 80
    assert "\n\nWarnings: check whether these are intended\n  - N0: <odd>\\n" in text
    assert text.endswith("\n  - odd, 2 more: N3, N4")
    assert verdict.to_markdown().endswith("so\n- odd, 2 more: N3, N4\n")
    assert "<li>N4: &lt;odd&gt;" in verdict._repr_html_()
    assert [each["code"] for each in verdict.to_dict()["warnings"]] == ["odd"] * 5
    assert repr(verdict).endswith("; 5 warnings>")


def test_warnings_are_those_of_the_sweep(market: wv.Market, tmp_path: Path) -> None:
    bare = wv.Market(option_quotes=market.option_quotes, underlying_bars=market.underlying_bars)
    swept = wv.sweep(bare, CONFIG, {"put.exit_pct": [0.25, 0.5]})
    found = wv.verdict(swept)
    assert [each.code for each in found.warnings] == ["no_option_bars"]
    swept.save(tmp_path / "sweep")
    assert wv.verdict(wv.Sweep.load(tmp_path / "sweep")).warnings == found.warnings


def test_what_was_tried_is_said() -> None:
    trials = "2 configurations in 6 rows, 5 trials before"
    assert TRIED.says == [
        f"{trials}; worth 1.5 independent ones by effective rank, 2 by clusters",
        "900 wheels over 600 entry sessions of 30 months",
        "20.0 of them open at once: as many as 45 wheels one after the other",
    ]


# ---- of sweeps


def test_overlap_is_the_mean_of_wheels_open_by_day(market: wv.Market) -> None:
    result = wv.backtest(market, CONFIG)
    wheels = result.wheels.filter("in_summary")
    spans = wheels.select("entry_date", "exit_date").rows()
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    every = [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]
    counts = [sum(start <= day <= end for start, end in spans) for day in every]
    assert overlap(result) == pytest.approx(np.mean([count for count in counts if count]))


def test_short_sweep_is_refused_line_by_line(swept: wv.Sweep) -> None:
    found = wv.verdict(swept, wv.Account(cash=60_000), prior_trials=4)
    best = swept.best(n=1)
    assert (found.row, found.fields) == (best["row"][0], {"put.exit_pct": best["put.exit_pct"][0]})
    assert found.tried[:3] == (6, 2, 4)
    assert found.tried.entry_sessions == 10
    says = {line.name: line.says for line in found.lines}
    of_row = "the row needs at least 30 entry sessions with wheels: there are 10"
    for name in ("natural fills", "fill seeds", "bootstrap", "halves", "worst year"):
        assert says[name] == of_row
    assert "needs at least 24 whole months" in says["deflated Sharpe ratio"]
    assert "needs at least 24 whole months" in says["probability of overfitting"]
    assert "10 configurations" in says["SPA"] == says["StepM of the row"]
    needs = "delta-matched stock needs at least 30 sessions: there are 28"
    assert says["delta-matched stock"] == needs
    assert found.survives is None
    assert any(each.startswith("How much of it was the luck") for each in found.says)
    own = swept.frame.filter(pl.col("put.exit_pct") == found.fields["put.exit_pct"])
    assert found.lines[-1].value == pytest.approx(own["total_pnl_worst"].mean())


def test_the_row_that_is_asked_for(swept: wv.Sweep) -> None:
    assert wv.verdict(swept, row=4).row == 3  # the first seed of the second configuration
    with pytest.raises(wv.InputError, match="row = 6: expected a whole number from 0 to 5"):
        wv.verdict(swept, row=6)
    with pytest.raises(wv.InputError, match=r"sweep is <Result.*: expected a wheelvec\.Sweep"):
        wv.verdict(swept.result(0))  # type: ignore[arg-type]


def test_account_that_is_missing_or_too_small(swept: wv.Sweep) -> None:
    assert wv.verdict(swept).lines[9].says == NO_ACCOUNT
    small = wv.Account(cash=100, fraction=0.1)
    assert "too small" in wv.verdict(swept, small).lines[9].says


def test_account_of_the_sweep(market: wv.Market) -> None:
    swept = wv.sweep(market, CONFIG, GRID, account=wv.Account(cash=60_000))
    assert wv.verdict(swept).lines[9].says.startswith("delta-matched stock needs at least 30")


def test_as_many_blocks_as_the_months_allow(
    swept: wv.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def of_months(months: Any, of: Any, longest: int, blocks: int, figure: str) -> Any:
        tried.append(blocks)
        if blocks > 10:
            raise wv.InsufficientDataError("too many")
        return wv.pbo(np.random.default_rng(5).normal(size=(120, 20)), blocks)

    monkeypatch.setattr("wheelvec.inference.overfitting.whole_months", lambda *_: None)
    monkeypatch.setattr("wheelvec.inference.overfitting._of_months", of_months)
    line = wv.verdict(swept).lines[6]
    assert tried == [16, 14, 12, 10]
    assert line.says.startswith("of the splits of 10 blocks ")


def test_sweep_without_its_market(swept: wv.Sweep, tmp_path: Path) -> None:
    swept.save(tmp_path / "sweep")
    found = wv.verdict(wv.Sweep.load(tmp_path / "sweep"))
    assert {line.says for line in found.lines[:10]} == {NO_MARKET}
    assert [line.answer for line in found.lines[10:]] == ["holds", "holds"]
    assert found.tried.months is None
    assert found.lines[10:] == wv.verdict(swept).lines[10:]


# ---- how often it is wrong


def test_simulated_wheels_have_no_edge() -> None:
    mean = np.mean([docs_verdict.rocs(seed, 0.0).mean(axis=0) for seed in range(200)], axis=0)
    error = 0.5 * np.sqrt(docs_verdict.HELD / (200 * docs_verdict.MONTHS * docs_verdict.MONTH))
    assert np.abs(mean).max() < 10 * error
    assert docs_verdict.rocs(0, 1.0)[0, 0] - docs_verdict.rocs(0, 0.0)[0, 0] > 0.5


def test_luck_seldom_survives_and_a_great_edge_does() -> None:
    none, great = docs_verdict.rates(0.0, 30), docs_verdict.rates(1.0, 30)
    assert none["all"] <= 0.07
    assert great["all"] >= 0.7
    assert great["edge"] == 1.0


@pytest.mark.slow
def test_rates_on_a_thousand_markets_are_those_of_the_docs() -> None:
    page = docs_verdict.LUCK.read_text(encoding="utf-8")
    none = docs_verdict.rates(0.0, docs_verdict.MARKETS)
    assert f"| **all seven** | {none['all']:.1%} |" in page
    assert none["all"] <= 0.05
