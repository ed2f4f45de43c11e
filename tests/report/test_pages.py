"""Pages hold the figures and caveats of what they are about, ask for nothing, and escape names."""

import base64
import datetime as dt
import hashlib
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.report import built
from tests.run.results.by_hand import leg, put, result_of
from wheelvec.model.schemas import RESULT_TABLES
from wheelvec.report.months import counted_wheels
from wheelvec.report.pages import caveats
from wheelvec.report.pages.page import html
from wheelvec.report.pages.rendering import _as_json
from wheelvec.report.pages.results import chosen_stories
from wheelvec.report.pages.stories import story
from wheelvec.report.pages.sweeps import neighbours
from wheelvec.report.text import result_text

PAGES = {
    "result": built.result,
    "portfolio": built.portfolio,
    "sweep": built.sweep,
    "verdict": built.verdict,
    "market": built.market,
    "comparison": lambda: [built.portfolio(), built.portfolio()],
}


@cache
def page_of(name: str) -> str:
    return html(PAGES[name]())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing(name: str) -> None:
    text = page_of(name)
    assert len(text) < 1_500_000
    assert text.count("<h1>") == 1
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    stated = policy[1].replace("&#39;", "'")
    assert stated.startswith("default-src 'none'")
    assert "unsafe-eval" not in stated
    assert "unsafe-inline" not in stated.partition("script-src")[2]
    scripts = re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in stated
    body = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!#|data:,)[^"]*"', body)
    ids = re.findall(r' id="([^"]*)"', body)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', body)) <= set(ids)


@pytest.mark.parametrize("name", ["result", "portfolio"])
def test_titles_lie_inside_static_images(name: str) -> None:
    images = re.findall(r"<svg.*?</svg>", page_of(name), re.DOTALL)
    titled = [image for image in images if "role-title" in image]
    assert titled
    place = r"translate\([-\d.]+,([-\d.]+)\)"
    for image in titled:
        root, title, line = (
            float(found[1])
            for found in (
                re.search(place, image),
                re.search(rf'role-title"><g transform="{place}', image),
                re.search(rf'role-title-text"><text[^>]*transform="{place}', image),
            )
            if found is not None
        )
        assert root + title + line >= 10.0  # the baseline of 13 px text


def test_a_result_page_states_what_the_summary_does() -> None:
    result = built.result()
    text, figures = page_of("result"), result.summary()
    assert f"{figures['total_pnl']:,.0f}" in text
    assert figures["no_data_wheels"] > 0
    assert f"over {figures['total_wheels']:,} of {result.wheels.height:,} launched" in text
    assert f"{figures['total_pnl_worst']:,.2f}" in text
    assert f"{figures['no_data_wheels']:,} wheels unresolved" in text
    assert "overlap" in text
    worst = result.wheels.filter("in_summary").sort("pnl_marked")["wheel_id"][0]
    assert f">{worst}</h3>" in text


def test_the_page_counts_the_sessions_that_were_tested() -> None:
    """Of resolved legs; a session with a quote alone is none of those with neither (gap_path)."""
    schedule = wv.Schedule(end_date="2024-02-16", symbols=("CHRL",))
    for gap_path, lacks in (("skip", "no bar"), ("quote", "neither a bar nor a quote that serves")):
        config = wv.Config(schedule=schedule).replace(**{"fills.gap_path": gap_path})
        result = wv.backtest(built.market(), config)
        legs = result.records.drop_nulls("sessions_without_bar").with_row_index("leg")
        walked = result.paths.drop_nulls("source").select("symbol", "session")
        tested = legs.join(walked, on="symbol").filter(
            pl.col("session") > pl.col("entry_date"), pl.col("session") <= pl.col("exit_date")
        )
        missing = legs["sessions_without_bar"].sum()
        assert missing > 0
        said = (
            f"tested on {tested.height:,} of {tested.height + missing:,} leg-sessions of resolved"
        )
        text = html(result)
        assert said in text
        assert f"the other {missing:,} had {lacks}" in text


def test_shares_that_v5_does_not_value_are_not_said_to_be_sold() -> None:
    for rules, became, story_says in (
        ("ledger", "count as sold at the close", "100 shares sold at the close"),
        ("v5", "rules v5 do not value", "100 shares held and not valued"),
    ):
        result = wv.backtest(built.market(), built.result().config.replace(rules=rules))
        held = result.wheels.filter(pl.col("shares_held") > 0, pl.col("in_summary"))
        assert held.height
        text = caveats.of_result(result)
        assert f"{held.height} wheels ended holding shares, which {became}" in "\n".join(text)
        told = wv.explain(result, held["wheel_id"][0])
        assert story_says in str(told)
        line = next(each for each in result_text(result).splitlines() if "holding shares" in each)
        assert ("sold at" in line) is (rules == "ledger")
        assert len(line) <= 80


def test_a_comparison_keeps_every_warning() -> None:
    """Warnings come last among the caveats, of which it shows but the first."""
    market = built.market()
    closes = market.underlying_bars.with_columns(pl.col("open", "high", "low", "close") * 0.5)
    odd = wv.Market(option_quotes=market.option_quotes, underlying_bars=closes)
    results = {
        name: wv.backtest(odd, wv.Config(schedule=schedule))
        for name, schedule in (
            ("both", wv.Schedule(end_date="2024-01-12")),
            ("one", wv.Schedule(end_date="2024-01-12", symbols=("BRVO",))),
        )
    }
    text = html(results)
    said = {name: {each.text for each in one.warnings} for name, one in results.items()}
    assert {each.code for each in results["both"].warnings} >= {"no_option_bars", "adjusted_closes"}
    for warning in said["both"] | said["one"]:
        names = [name for name, texts in said.items() if warning in texts]
        of = "all" if len(names) == 2 else names[0]
        assert text.count(f"{of}: {escape(warning)}") == 1
    assert said["both"] != said["one"]


def test_pages_of_accounts_keep_the_warnings_of_their_results() -> None:
    market = built.market()
    bare = wv.Market(option_quotes=market.option_quotes, underlying_bars=market.underlying_bars)
    result = wv.backtest(bare, wv.Config(schedule=wv.Schedule(end_date="2024-01-12")))
    (warning,) = result.warnings
    one, other = (wv.simulate(result, wv.Account(cash=cash)) for cash in (60_000, 90_000))
    assert escape(warning.text) in html(one)
    assert html([one, other]).count(f"all: {escape(warning.text)}") == 1


def test_a_bad_month_leads_to_the_bars() -> None:
    """Month -> wheels of it -> story: each month has a place, each losing one a wheel with a story."""
    text, result = page_of("result"), built.result()
    wheels = counted_wheels(result).with_columns(month=pl.col("exit_date").dt.strftime("%Y-%m"))
    for month in wheels["month"].unique():
        assert f'href="#m{month}"' in text
        assert f'<tr id="m{month}">' in text
    losing = wheels.filter(pl.col("pnl_marked").sum().over("month") < 0)
    assert losing.height
    for month in losing["month"].unique():
        worst = losing.filter(month=month).sort("pnl_marked")["wheel_id"][0]
        place = re.search(rf'href="#(story-\d+)">{worst}</a>', text)
        assert place is not None
        article = text.partition(f'id="{place[1]}"')[2].partition("</article>")[0]
        assert "The bars that ended it" in article
        assert "exit: " in article


def test_a_story_tells_the_touches_that_explain_does() -> None:
    result = built.result()
    filled = result.records.filter(exit_reason="profit_target")["wheel_id"].unique().sort()
    assert filled.len() > 3
    for wheel_id in filled:
        shown = [str(row[2]) for row in story(result, wheel_id, "x").bars.rows]
        for walked in wv.explain(result, wheel_id).legs:
            chance = walked.record["p_fill_profit_target"]
            ending = walked.days.filter(exit="profit_target", source="bar").drop_nulls("u")
            for touch, u in ending.select("touch", "u").rows():
                said = f"exit: profit_target; touch {touch}, u {u:.4f}, p_fill {chance:.4g}"
                assert said in shown


def test_stories_are_of_the_extremes_and_of_losing_months() -> None:
    months = [dt.date(2024, month, 3) for month in (1, 2, 3)]
    rows = [
        {"wheel_id": f"{month:%m}-{i}", "exit_date": month, "pnl_marked": value}
        for month, base in zip(months, (10.0, -1.0, 30.0), strict=True)
        for i, value in enumerate([base + 0.01 * j for j in range(15)])
    ]
    shown = chosen_stories(pl.DataFrame(rows))
    assert shown[:10] == [f"02-{i}" for i in range(10)]
    assert shown[10:20] == [f"03-{i}" for i in range(14, 4, -1)]
    assert len(shown) == 20  # February's worst are among the ten


def test_an_account_page_shows_benchmarks_and_reasons() -> None:
    account = built.portfolio()
    text = page_of("portfolio")
    for name in ("buy and hold", "delta-matched stock"):
        assert name in text
    for reason, count in account.skipped.iter_rows():
        assert f"<td>{reason}" in text
        assert f"<td>{count:,}" in text
    sources = (
        account.daily.select("puts", "calls", "stock", "dividends", "fees", "interest").sum().row(0)
    )
    assert f"{sum(sources):,.2f}" in text
    stale = account.daily.filter(pl.col("mark_age") > 0).height
    assert f"On {stale} of {account.daily.height} sessions a mark" in text


def test_neighbours_differ_in_one_field_by_one_step() -> None:
    sweep = built.sweep()
    row = sweep.frame.with_row_index().filter(
        pl.col("put.exit_pct") == 0.25,
        pl.col("put.stop_loss_multiplier") == 2.0,
        pl.col("fills.execution_seed") == 1,
    )["index"][0]
    found = neighbours(sweep, row)
    assert found["row"][0] == row
    steps = found.slice(1).select(
        "put.exit_pct", "put.stop_loss_multiplier", "fills.execution_seed"
    )
    assert sorted(steps.rows(), key=str) == sorted(
        [(0.5, 2.0, 1), (0.25, 1.2, 1), (0.25, None, 1), (0.25, 2.0, 2)], key=str
    )


@pytest.mark.parametrize("grid", [{}, {"put.exit_pct": [0.5]}])
def test_a_sweep_of_one_row_has_a_page(grid: dict[str, Any]) -> None:
    config = wv.Config(schedule=wv.Schedule(end_date="2024-01-12"))
    sweep = wv.sweep(built.market(), config, grid)
    assert neighbours(sweep, 0)["differs"].to_list() == ["the best itself"]
    assert "1 configuration" in html(sweep)


NAME = "</script><img src=x onerror=alert(1)>"


def hostile() -> wv.Result:
    """A result whose underlying is markup, and ends the element that its data stand in."""
    name = NAME
    ended = (8, "expired_worthless", 0.0)
    result = result_of(
        [([leg(put(99.0), 0, 2.0, ended)], (8, 0.0))], {"A": [100.0] * 10}, {put(99.0): {0: 2.0}}
    )
    result._frames["call_diagnostics"] = pl.DataFrame(schema=RESULT_TABLES["call_diagnostics"])
    for kind, frame in list(result._frames.items()):
        if isinstance(frame, pl.DataFrame) and "underlying" in frame.columns:
            result._frames[kind] = frame.with_columns(underlying=pl.lit(name))
    odds = {"liquidity_penalty": 0.0, "p_fill_profit_target": 0.8}
    result._frames["records"] = result.records.with_columns(
        **{k: pl.lit(v) for k, v in odds.items()}
    )
    result._frames["warnings"] = pl.DataFrame(
        [("odd", name, 1, f"{name}: odd")], schema=RESULT_TABLES["warnings"], orient="row"
    )
    return result


def test_names_are_escaped() -> None:
    text = html(hostile())
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;: odd" in text
    assert _as_json([NAME]) == '["\\u003c/script\\u003e\\u003cimg src=x onerror=alert(1)\\u003e"]'


def test_a_result_of_an_earlier_version_says_what_it_lacks(tmp_path: Path) -> None:
    result = built.result()
    frames = {kind: frame for kind, frame in result._frames.items() if kind != "events"}
    old = wv.Result(result.config, result.fingerprint, {"wheelvec": "0.0.1"}, frames)
    for shown in (old, [old, result]):
        with pytest.raises(wv.LakeError, match="run it again"):
            wv.page(shown, tmp_path / "x.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (3, "expected a Result, Portfolio, Sweep, Verdict or Market"),
        ([], "expected a Result"),
        ([1, 2], "expected results, or portfolios"),
        (lambda: [built.result()], "expected 2 to 8"),
        (lambda: [built.result(), built.portfolio()], "not both"),
    ],
)
def test_what_has_no_page_is_named(shown: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(wv.InputError, match=message):
        wv.page(shown() if callable(shown) else shown, tmp_path / "x.html")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(wv.LakeError, match="is a folder"):
        wv.page(built.market(), tmp_path)
    with pytest.raises(wv.LakeError, match="cannot be written"):
        wv.page(built.market(), tmp_path / "nowhere" / "x.html")


def test_a_result_without_wheels_has_a_page() -> None:
    config = wv.Config(
        schedule=wv.Schedule(end_date="2024-01-05"), put=wv.PutRules(delta_min=0.0, delta_max=1e-6)
    )
    text = html(wv.backtest(built.market(), config))
    assert "no_candidate_in_range" in text
    assert "launched" in text


def test_a_result_without_closes_has_a_page_and_charts() -> None:
    market = built.market()
    bare = wv.Market(
        option_quotes=market.option_quotes, underlying_bars=market.underlying_bars.clear()
    )
    result = wv.backtest(bare, wv.Config(schedule=wv.Schedule(end_date="2024-01-12")))
    assert result.wheels.height
    assert "launched" in html(result)
    assert "launched" in html([result, result])
    for draw in (wv.plots.equity, wv.plots.monthly, wv.plots.roc_distribution, wv.plots.ends):
        assert draw(result).to_dict()
    assert wv.plots.by(result, "dte").to_dict()
    assert wv.plots.wheel(result, result.wheels["wheel_id"][0]).to_dict()
