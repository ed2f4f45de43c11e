"""The story of a wheel: what it says, that it adds up, and that it is escaped."""

import json
from typing import Any

import polars as pl
import pytest

import wheelvec as wv
from tests.model.test_markup import checked
from tests.oracle import event_markets
from tests.random_markets import config_of, market_of
from wheelvec.report.figures import as_json

NAMES = ("BRVO", "CHRL", "ALFA")
ENDS = ("put_closed", "put_expired", "called_away", "no_call_above_basis", "no_call_liquid")


@pytest.fixture(scope="module")
def market() -> wv.Market:
    return wv.demo_market(symbols=NAMES, end="2024-05-31")


@pytest.fixture(scope="module")
def result(market: wv.Market) -> wv.Result:
    schedule = wv.Schedule(end_date="2024-02-29", symbols=NAMES)
    return wv.backtest(market, wv.Config(schedule=schedule))


def wheel_that(result: wv.Result, end_reason: str) -> str:
    return str(result.wheels.filter(end_reason=end_reason)["wheel_id"][0])


@pytest.mark.parametrize("end_reason", ENDS)
def test_it_adds_up_and_reads_alike_as_text_and_html(
    market: wv.Market, result: wv.Result, end_reason: str
) -> None:
    story = wv.explain(result, wheel_that(result, end_reason), market=market)
    assert story.ledger["amount"].sum() == pytest.approx(story.wheel["pnl"], abs=1e-9)
    assert story.notes == ()
    text, html = str(story), checked(story._repr_html_())
    assert text.startswith(f"{story.wheel_id}: {end_reason}, ")
    assert f"The sum is the P&L, {story.wheel['pnl']:,.2f}." in text
    for section in story.sections:
        for line in (section.title, *section.lines, *section.notes):
            assert line in html
    assert "passes every test" in text or "sold" in text
    assert max(map(len, text.splitlines())) <= 90


def test_it_says_how_the_price_and_the_exit_came_about(result: wv.Result) -> None:
    text = str(wv.explain(result, "BRVO_2024-01-02_0"))
    assert "Price (realistic): the mid 1.99 less 0.30 x 0.10 x 1.00 is 1.96" in text, text
    assert "stop at 3.92, target at 0.98" in text
    assert "touch 0, u 0.2092: filled at 0.98" in text
    assert "Bought back on 2024-01-09 at 0.98 by the target; fees 1.32" in text


def test_it_says_what_a_search_found(market: wv.Market, result: wv.Result) -> None:
    wheel = wheel_that(result, "no_call_liquid")
    text = str(wv.explain(result, wheel, market=market))
    assert "The search for call 1" in text
    assert "at most 20.0%" in text.partition("The search for call 1")[2]
    alone = wv.explain(result, wheel)
    assert alone.searches[0].record["n_liquid"] == 0
    assert alone.candidates is None
    assert "market=market" in alone.notes[0]


def test_a_saved_result_tells_the_same(
    result: wv.Result, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("saved")
    result.save(folder / "out")
    loaded = wv.Result.load(folder / "out")
    wheel = wheel_that(result, "called_away")
    assert str(wv.explain(loaded, wheel)) == str(wv.explain(result, wheel))


def test_it_is_data_for_other_programs(market: wv.Market, result: wv.Result) -> None:
    story = wv.explain(result, wheel_that(result, "called_away"), market=market)
    found = json.loads(as_json(story.to_dict()))
    assert [leg["record"]["phase"] for leg in found["legs"]] == ["csp", "cc"]
    assert found["legs"][0]["stop"] == story.legs[0].levels.stop
    assert found["legs"][1]["stop"] is None
    assert found["legs"][0]["days"][0]["session"] > found["wheel"]["entry_date"]
    assert found["searches"][-1]["outcome"] == "sold"
    assert {row["failed"] for row in found["candidates"]} >= {None, "delta", "dte"}
    assert sum(row["amount"] for row in found["ledger"]) == pytest.approx(found["wheel"]["pnl"])


@pytest.mark.parametrize("seed", [0, 9])
def test_corporate_events_are_shown(seed: int) -> None:
    market = market_of(event_markets.random_event_market(seed))
    config = config_of(event_markets.random_event_config(seed, "ledger"), market)
    result, reasons = wv.backtest(market, config), set()
    ends = result.wheels.filter(pl.col("carried") | (pl.col("end_reason") == "corporate_action"))
    for wheel in ends["wheel_id"].to_list()[:6]:
        story = wv.explain(result, wheel)
        assert story.events.height, wheel
        assert "What happened to the underlying" in str(story)
        checked(story._repr_html_())
        reasons.add(story.wheel["end_reason"])
    assert reasons


def test_unresolved_wheels_say_why() -> None:
    market = wv.demo_market(symbols=["BRVO"], end="2024-02-15")
    result = wv.backtest(market, wv.Config(put=wv.PutRules(stop_loss_multiplier=None)))
    open_ = result.records.filter(exit_reason="open")["wheel_id"][0]
    text = str(wv.explain(result, open_))
    assert "no P&L" in text.splitlines()[0]
    assert "Not resolved (open): the data end before its settlement session." in text
    assert "Censored: " in text
    assert "this is its cash so far" in text


def test_other_data_are_noted(result: wv.Result) -> None:
    other = wv.demo_market(symbols=NAMES, end="2024-05-30")
    story = wv.explain(result, "BRVO_2024-01-02_0", market=other)
    assert "The market given holds data" in story.notes[0]


def test_a_record_that_the_rules_do_not_make_is_noted(result: wv.Result) -> None:
    touched = pl.when(pl.col("phase") == "csp").then(7).otherwise("touch_count")
    frames = result._frames | {"records": result.records.with_columns(touch_count=touched)}
    altered = wv.Result(result.config, result.fingerprint, {"wheelvec": "0.0"}, frames)
    notes = wv.explain(altered, "BRVO_2024-01-02_0").notes
    assert any("made by wheelvec 0.0, ends otherwise" in note for note in notes)


def test_arguments_of_other_types_are_refused(result: wv.Result) -> None:
    with pytest.raises(wv.InputError, match=r"result is a str: expected a wheelvec\.Result"):
        wv.explain("out/", "BRVO_2024-01-02_0")  # type: ignore[arg-type]
    with pytest.raises(wv.InputError, match="result is None"):
        wv.explain(None, "BRVO_2024-01-02_0")  # type: ignore[arg-type]
    with pytest.raises(wv.InputError, match="market is a str"):
        wv.explain(result, "BRVO_2024-01-02_0", market="lake/")  # type: ignore[arg-type]


def test_charts_and_stories_draw_the_levels_that_were_tested(result: wv.Result) -> None:
    pytest.importorskip("altair")
    from wheelvec.report.plots.story import legs_of

    wheel = wheel_that(result, "called_away")
    put, call = legs_of(result, wheel).iter_rows(named=True)
    shown = wv.explain(result, wheel).legs
    assert (put["stop"], put["target"]) == (shown[0].levels.stop, shown[0].levels.target)
    assert (call["stop"], call["target"]) == (None, shown[1].levels.target)


def test_its_chart_is_that_of_the_plots(result: wv.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setitem(vars(wv.plots), "wheel", lambda *given: drawn.append(given) or "chart")
    assert wv.explain(result, "BRVO_2024-01-02_0").chart() == "chart"
    assert drawn == [(result, "BRVO_2024-01-02_0")]
