"""Figures for other programs: valid JSON whatever a frame holds, and CSV that reads back."""

import csv
import datetime as dt
import io
import json
import math

import polars as pl
import pytest

import wheelvec as wv
from wheelvec.report import figures

ODD = pl.DataFrame(
    {
        "name": ["a,b", 'say "x"\nnext', None],
        "number": [1.5, math.nan, math.inf],
        "day": [dt.date(2024, 1, 2), None, dt.date(2024, 2, 29)],
        "instant": [dt.datetime(2024, 1, 2, 15, 45, tzinfo=dt.UTC), None, None],
        "names": [["ALFA", "BRVO"], [], None],
    }
)
PLAIN = [
    {
        "name": "a,b",
        "number": 1.5,
        "day": "2024-01-02",
        "instant": "2024-01-02T15:45:00+00:00",
        "names": ["ALFA", "BRVO"],
    },
    {"name": 'say "x"\nnext', "number": None, "day": None, "instant": None, "names": []},
    {"name": None, "number": None, "day": "2024-02-29", "instant": None, "names": None},
]


def test_a_frame_is_json_without_nan_and_with_dates_as_text() -> None:
    assert json.loads(figures.as_json({"rows": ODD, "nan": math.nan})) == {
        "rows": PLAIN,
        "nan": None,
    }


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_rows_are_one_a_line_however_they_are_cut(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "ROWS", rows)
    text = "\n".join(figures.rows_as_json(ODD))
    assert json.loads(text) == PLAIN
    assert len(text.splitlines()) == 5
    assert "\n".join(figures.as_csv(ODD)) == "\n".join([*figures.as_csv(ODD)])
    read = list(csv.DictReader(io.StringIO("\n".join(figures.as_csv(ODD)))))
    assert [row["name"] for row in read] == ["a,b", 'say "x"\nnext', ""]
    assert [row["number"] for row in read] == ["1.5", "", ""]
    assert [row["day"] for row in read] == ["2024-01-02", "", "2024-02-29"]
    assert [row["names"] for row in read] == ['["ALFA", "BRVO"]', "[]", ""]


def test_a_frame_without_rows_is_an_empty_list_and_a_header() -> None:
    assert json.loads("\n".join(figures.rows_as_json(ODD.clear()))) == []
    assert list(figures.as_csv(ODD.clear())) == ["name,number,day,instant,names"]


def test_figures_are_one_a_row() -> None:
    assert figures.figures_as_csv({"total_wheels": 3, "win_rate": None, "total_pnl": -0.1}) == (
        "figure,value\ntotal_wheels,3\nwin_rate,\ntotal_pnl,-0.1"
    )


def test_a_result_gives_what_the_terminal_shows() -> None:
    market = wv.demo_market(symbols=["BRVO"], end="2024-03-28")
    result = wv.backtest(market, wv.Config().replace(**{"schedule.end_date": "2024-01-31"}))
    given = figures.result_figures(result)
    assert given["figures"] == result.summary()
    assert given["launched"] == result.wheels.height == sum(given["wheel_ends"].values()) > 0
    assert sum(given["outcomes"].values()) == result.diagnostics.height
    assert (given["config_id"], given["rules"]) == (result.config.id, "ledger")
    legs = result.records.filter(pl.col("phase") != "total")["exit_reason"].drop_nulls().len()
    assert sum(given["put_exits"].values()) + sum(given["call_exits"].values()) == legs
