"""Grids of paired fields, frames and files; too many rows, and invalid rows."""

import datetime as dt
import itertools
import logging
import math
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import wheelvec as wv
from wheelvec.model import axes
from wheelvec.model.grid import Grid, grid_from_file, grid_from_toml

BASE = wv.Config()
PAIRS = [(0.15, 0.25), (0.25, 0.35), (0.15, 0.35)]


def read(grid: Any, **options: Any) -> Grid:
    return Grid.read(BASE, grid, **options)


def configs(grid: Grid) -> list[wv.Config]:
    return [grid.config(row) for row in range(grid.size)]


# ---- paired fields


@pytest.mark.parametrize(
    "key",
    [
        ("put.delta_min", "put.delta_max"),
        "put.delta_min, put.delta_max",
        "put.delta_min,put.delta_max",
    ],
)
@pytest.mark.parametrize(
    "make", [list, np.array, iter, lambda pairs: [list(pair) for pair in pairs]]
)
def test_paired_fields_change_together(key: Any, make: Any) -> None:
    pairs = make(PAIRS)
    grid = read({"put.exit_pct": [0.25, 0.5], key: pairs, "fills.execution_seed": range(2)})
    assert grid.frame.columns == [
        "put.exit_pct",
        "put.delta_min",
        "put.delta_max",
        "fills.execution_seed",
    ]
    product = list(itertools.product([0.25, 0.5], PAIRS, range(2)))
    assert grid.frame.rows() == [(exit_pct, *pair, seed) for exit_pct, pair, seed in product]
    expected = [
        BASE.replace(
            **{
                "put.exit_pct": exit_pct,
                "put.delta_min": low,
                "put.delta_max": high,
                "fills.execution_seed": seed,
            }
        )
        for exit_pct, (low, high), seed in product
    ]
    assert configs(grid) == expected
    assert [f"{number:016x}" for number in grid.ids()] == [config.id for config in expected]
    assert grid.values("put.delta_min") == [0.15, 0.25]  # each once, though two pairs share it


def test_paired_fields_of_any_kind_and_number() -> None:
    values = [(30, 2.0, None), (20, None, dt.date(2024, 1, 2))]
    grid = read({("put.dte_min", "put.stop_loss_multiplier", "schedule.start_date"): values})
    assert [
        (c.put.dte_min, c.put.stop_loss_multiplier, c.schedule.start_date) for c in configs(grid)
    ] == values


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            {("put.delta_min", "put.delta_max"): [(0.1, 0.2), (0.3,)]},
            r"value 1 is \(0.3,\): expected 2 values, of put.delta_min, ",
        ),
        ({("put.delta_min", "put.delta_max"): [0.1]}, r"value 0 is 0.1: expected 2 values"),
        ({("put.delta_min", "put.delta_max"): ["ab"]}, r"value 0 is 'ab': expected 2 values"),
        (
            {("put.delta_min", "put.delta_min"): [(0.1, 0.2)]},
            r"'put.delta_min' names the field 'put.delta_min' a second time",
        ),
        (
            {("put.delta_min", "put.exit"): [(0.1, 0.2)]},
            r"grid: unknown field 'put.exit' \(did you mean 'put.exit_pct'\?\)",
        ),
        (
            {("put.delta_min", 3): [(0.1, 0.2)]},
            r"is no field: expected a name such as 'put.exit_pct', or a tuple of names",
        ),
        ({(): [()]}, r"\(\) is no field"),
        ({3: [0.1]}, r"grid: 3 is no field"),
    ],
)
def test_invalid_pairs_are_named(grid: Any, message: str) -> None:
    with pytest.raises(wv.ConfigError, match=message):
        read(grid)


# ---- too many rows


@pytest.fixture
def bounded() -> Iterator[None]:
    """Within ten megabytes and a second or two."""
    tracemalloc.start()
    begun = time.monotonic()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    assert time.monotonic() - begun < 10.0


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            {"fills.execution_seed": range(10**12)},
            r"grid\['fills.execution_seed'\] has more than 10,000,000 values",
        ),
        (
            {"fills.execution_seed": range(10**30)},
            r"grid\['fills.execution_seed'\] has more than 10,000,000 values",
        ),
        (
            {"fills.execution_seed": {"first": 1, "last": 10**12}},
            r"execution_seed'\] has 1,000,000,000,000 values: .* 10,000,000",
        ),
        (
            {"put.exit_pct": {"first": 0.1, "last": 0.9, "count": 10**9}},
            r"grid\['put.exit_pct'\] has 1,000,000,000 values",
        ),
        (
            {
                "put.dte_min": range(1000),
                "put.dte_max": range(1000),
                "fills.execution_seed": range(1000),
            },
            r"1,000 of put.dte_min x 1,000 of put.dte_max x 1,000 of fills.execution_seed are 1,000,000,000 rows: .* 10,000,000",
        ),
        (
            pl.LazyFrame({"a": [0]})
            .select(pl.int_range(0, 10**12).alias("fills.execution_seed"))
            .lazy(),
            "more than 10,000,000 rows",
        ),
    ],
)
def test_too_many_rows_are_refused_before_memory_is_allocated(
    grid: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(grid, pl.LazyFrame):  # a query that is computed before its head is taken
        monkeypatch.setattr(axes, "MOST_ROWS", 1000)
        grid = pl.LazyFrame({"fills.execution_seed": np.arange(2000)})
        message = "more than 1,000 rows"
    with pytest.raises(wv.ConfigError, match=message):
        read(grid)


def test_an_endless_iterator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axes, "MOST_ROWS", 1000)
    with pytest.raises(
        wv.ConfigError, match=r"grid\['fills.execution_seed'\] has more than 1,000 values"
    ):
        read({"fills.execution_seed": itertools.count()})
    assert read({"fills.execution_seed": iter(range(1000))}).size == 1000


# ---- rows that are refused


def test_refused_rows_are_grouped_by_reason() -> None:
    grid = {
        "put.dte_min": [10, 50, 60],
        "fills.execution_seed": range(100),
        "call.dte_min": [14, 40],
    }
    with pytest.raises(wv.ConfigError) as caught:
        read(grid)
    put, call = (
        "put.dte_min = 50 is above put.dte_max = 45: the range is empty; expected dte_min <= dte_max",
        "call.dte_min = 40 is above call.dte_max = 30: the range is empty; expected dte_min <= dte_max",
    )
    assert str(caught.value).splitlines() == [
        "grid: 500 of 600 rows cannot be run:",
        f"  (1) 400 rows (200, 201, 202, ...), for example: {put}",
        f"  (2) 100 rows (1, 3, 5, ...): {call}",
    ]
    assert " ".join(str(caught.value).split()) == (  # as on the command line
        f"grid: 500 of 600 rows cannot be run: (1) 400 rows (200, 201, 202, ...), for example: {put} "
        f"(2) 100 rows (1, 3, 5, ...): {call}"
    )


BOUNDS = "expected a number from 0.0 to 1.0"
EMPTY = "the range is empty; expected dte_min <= dte_max"
LATE = "expected a time before 16:00, the regular close of NYSE, or one such as 'close-15min'"
UNUSED = (
    "put.delta_target = 0.1 is used only if put.select is 'closest_delta', but it is 'all': set select to "
    "'closest_delta', or delta_target to None"
)


@pytest.mark.parametrize(
    ("grid", "refused"),
    [
        (
            {"put.dte_min": range(28, 48), "put.dte_max": range(30, 40)},
            [f"125 rows (30, 40, 41, ...), for example: put.dte_min = 31 is above put.dte_max = 30: {EMPTY}"],
        ),
        ({"put.exit_pct": np.linspace(2.0, 3.0, 1000)},
         [f"1,000 rows (0, 1, 2, ...), for example: put.exit_pct = 2.0: {BOUNDS} (2% is 0.02)"]),
        ({"put.exit_pct": [[3], -0.5, 7, "a: expected b", math.nan, True, {"c": ("d", 1)}]},
         [f"7 rows (0, 1, 2, ...), for example: put.exit_pct = [3]: {BOUNDS}"]),
        ({"put.exit_pct": [7.0], "call.exit_pct": [0.5, 7.0]}, [f"2 rows (0, 1): put.exit_pct = 7.0: {BOUNDS} (7% is 0.07)"]),
        (  # one field, two kinds: what is expected differs
            {"pricing.rate": [[("2024-01-01", 7)], [(1, 0.1)], [("2024-01-02", 9)]]},
            ["2 rows (0, 2), for example: pricing.rate of 2024-01-01 = 7: expected a number from -1.0 to 1.0 (7% is 0.07)",
             "row 1: pricing.rate = 1: expected a date such as 2023-06-06, or None"],
        ),
        (
            {"put.select": ["all", "closest_otm"], "put.delta_target": [0.1, 0.2], "put.dte_min": [20, 50]},
            [
                f"4 rows (0, 2, 4, ...), for example: {UNUSED}",
                f"4 rows (1, 3, 5, ...): put.dte_min = 50 is above put.dte_max = 45: {EMPTY}",
            ],
        ),
        (
            {"schedule.entry_time": ["15:45", "17:00", "18:00"]},
            [f"2 rows (1, 2), for example: schedule.entry_time = '17:00': {LATE}"],
        ),
    ],
)  # fmt: skip
def test_reasons_of_a_kind_are_one_line_with_an_example(grid: Any, refused: list[str]) -> None:
    with pytest.raises(wv.ConfigError) as caught:
        read(grid)
    begun, *lines = str(caught.value).splitlines()
    if not lines:
        begun, _, line = begun.partition(" cannot be run: ")
        lines = [f"  (1) {line}"]
    assert lines == [f"  ({i}) {line}" for i, line in enumerate(refused, 1)]


def test_unknown_names_are_one_kind_for_any_values() -> None:
    with pytest.raises(
        wv.ConfigError,
        match=r"4 rows \(0, 1, 2, ...\), for example: unknown put.select 'ALL' \(did",
    ) as caught:
        read({"put.select": ["ALL", "x", None, [1]]})
    assert "\n" not in str(caught.value)


def test_many_kinds_of_reasons_are_counted() -> None:
    names = [
        "put.exit_pct",
        "put.delta_min",
        "put.delta_max",
        "call.exit_pct",
        "call.delta_min",
        "call.delta_max",
        "pricing.rate",
    ]
    rows = [
        {name: 7.0 if name == wrong else None for name in names}
        for wrong in names
        for _ in range(2)
    ]
    with pytest.raises(wv.ConfigError) as caught:
        read(pl.DataFrame(rows).fill_null(0.2))
    lines = str(caught.value).splitlines()
    assert lines[0] == "grid: 14 of 14 rows cannot be run:"
    assert lines[1].startswith("  (1) 2 rows (0, 1): put.exit_pct = 7.0: expected")
    assert lines[6:] == ["  (6) 4 rows for 2 other reasons"]
    with pytest.raises(wv.ConfigError, match=r"\(6\) 1 row for 1 other reason$"):
        read(pl.DataFrame(rows[:12:2]).fill_null(0.2))


def test_rows_without_a_required_target_are_refused() -> None:
    grid = {
        "put.select": ["closest_otm", "all", "closest_premium"],
        "put.premium_target": [None, 2.0],
        "put.dte_min": [20, 50],
    }
    with pytest.raises(wv.ConfigError, match=r"grid: 10 of 12 rows cannot be run:\n") as caught:
        read(grid)
    assert str(caught.value).splitlines()[3:] == [
        "  (3) row 0: put.select = 'closest_otm' needs put.otm_target, and it is not set",
        "  (4) row 8: put.select = 'closest_premium' needs put.premium_target, and it is not set",
    ]
    kept = read(grid, skip_invalid=True)
    assert [(c.put.select, c.put.premium_target, c.put.dte_min) for c in configs(kept)] == [
        ("all", None, 20),
        ("closest_premium", 2.0, 20),
    ]


@pytest.mark.parametrize("as_frame", [False, True])
def test_skip_invalid_leaves_the_valid_rows_in_grid_order(as_frame: bool) -> None:
    values = {"put.dte_min": [10, 50, 30], "put.exit_pct": [0.2, 7.0, 0.3], "put.select": ["closest_delta", "all"],
              "put.delta_target": [0.3]}  # fmt: skip
    rows = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    valid = []
    for i, row in enumerate(rows):
        try:
            valid.append((i, BASE.replace(**row)))
        except wv.ConfigError:
            continue
    grid = read(pl.DataFrame(rows) if as_frame else values, skip_invalid=True)
    assert configs(grid) == [config for _, config in valid]
    assert [f"{number:016x}" for number in grid.ids()] == [config.id for _, config in valid]
    assert grid.frame.height == len(valid) == 4
    assert grid.frame.to_dicts() == [rows[i] for i, _ in valid]
    assert grid.skipped["row"].to_list() == sorted({*range(len(rows))} - {i for i, _ in valid})
    for row, reason in grid.skipped.iter_rows():
        with pytest.raises(wv.ConfigError) as caught:
            BASE.replace(**rows[row])
        assert reason == str(caught.value)
    assert 50 not in grid.values("put.dte_min")  # nothing is computed for values that no row has
    assert 7.0 not in grid.values("put.exit_pct")


def test_a_grid_without_a_valid_row_is_refused_also_with_skip_invalid() -> None:
    for grid in ({"put.exit_pct": [5.0, 7.0]}, {"put.exit_pct": [0.5, 7.0], "put.dte_min": [50]}):
        with pytest.raises(wv.ConfigError, match="grid: 2 of 2 rows cannot be run"):
            read(grid, skip_invalid=True)


def test_a_million_refused_rows_are_named_in_seconds() -> None:
    begun = time.monotonic()
    grid = read(
        {"put.dte_min": range(20, 60), "fills.execution_seed": range(25_000)}, skip_invalid=True
    )
    assert (grid.size, grid.skipped.height) == (26 * 25_000, 14 * 25_000)
    assert time.monotonic() - begun < 20.0


def test_a_sweep_skips_rows_that_its_market_cannot_run(caplog: pytest.LogCaptureFixture) -> None:
    market = wv.demo_market(symbols=["ALFA"], start="2024-01-02", end="2024-02-15")
    grid = {
        "schedule.symbols": [["ALFA"], ["alfa"]], "put.dte_min": [30, 90],
        "pricing.rate": [0.04, [("2199-01-01", 0.04)], [("2050-01-01", 0.04)]],
    }  # fmt: skip
    with pytest.raises(wv.ConfigError, match="rows cannot be run"):
        wv.sweep(market, BASE, grid)
    with caplog.at_level(logging.WARNING, "wheelvec"):
        sweep = wv.sweep(market, BASE, grid, skip_invalid=True)
    assert sweep.frame.height == 1
    assert sweep.row_config(0).schedule.symbols == ("ALFA",)
    reasons = sweep.skipped["reason"].to_list()
    assert sweep.skipped["row"].to_list() == list(range(1, 12))
    assert sum("dte_min = 90 is above" in reason for reason in reasons) == 6
    assert sum("unknown symbol 'alfa' (did you mean 'ALFA'?)" in reason for reason in reasons) == 3
    assert sum("pricing.rate starts on" in reason for reason in reasons) == 2
    assert any("11 of 12 rows cannot be run" in record.getMessage() for record in caplog.records)
    with pytest.raises(wv.InputError, match="skip_invalid = 1: expected True or False"):
        wv.sweep(market, BASE, grid, skip_invalid=1)  # type: ignore[arg-type]


# ---- frames


def test_frames_of_any_library_are_grids() -> None:
    frame = pl.DataFrame({"put.exit_pct": [0.25, 0.5], "put.stop_loss_multiplier": [2.0, None]})
    for given in (frame, frame.lazy(), frame.to_pandas(), frame.to_arrow()):
        assert configs(read(given)) == configs(read(frame))
        assert read(given).config(1).put.stop_loss_multiplier is None


# ---- files

TOML = """
rules = ["ledger", "v5"]
"put.dte_min, call.dte_max" = [[20, 25], [30, 30]]

[put]
"delta_min, delta_max" = [[0.15, 0.25], [0.25, 0.35]]
"stop_loss_multiplier, call.exit_pct" = [[2.0, "none"], ["none", 0.5]]
exit_pct = {first = 0.2, last = 0.8, count = 4}
"""


def test_paired_fields_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TOML)
    grid = read(grid_from_toml(path))
    assert grid.frame.columns == [
        "rules", "put.dte_min", "call.dte_max", "put.delta_min", "put.delta_max", "put.stop_loss_multiplier", "call.exit_pct",
        "put.exit_pct",
    ]  # fmt: skip
    assert grid.size == 2 * 2 * 2 * 2 * 4
    seen = {(c.put.stop_loss_multiplier, c.call.exit_pct) for c in configs(grid)}
    assert seen == {(2.0, None), (None, 0.5)}
    assert {(c.put.dte_min, c.call.dte_max) for c in configs(grid)} == {(20, 25), (30, 30)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fills]\nexecution_seed = {first = 1, last = 1000000000000}", r"fills.execution_seed has 1,000,000,000,000 values: .*10,000,000"),
        ("[put]\nexit_pct = {first = 0.1, last = 0.9, count = -1}", r"put.exit_pct: count = -1: expected a whole number of at least 2"),
        ("[put]\nexit_pct = {first = 0.1, last = 0.9, count = 0}", r"put.exit_pct: count = 0: expected a whole number"),
        ("[put]\nexit_pct = {first = 0.1, last = 0.9, count = 1}", r"put.exit_pct: count = 1: expected a whole number of at least 2"),
        ("[put]\nexit_pct = {first = 0.1, last = 0.9, count = 2.5}", r"put.exit_pct: count = 2.5: expected a whole number"),
        ("[put]\nexit_pct = {first = 0.1, last = 0.9, count = true}", r"put.exit_pct: count = True: expected a whole number"),
        ('[put]\nexit_pct = {first = 0.1, last = 0.9, count = "x"}', r"put.exit_pct: count = 'x': expected a whole number"),
        ('[put]\nexit_pct = {first = "a", last = 0.9, count = 3}', r"put.exit_pct: first = 'a': expected a number"),
        ("[put]\nexit_pct = {first = nan, last = 0.9, count = 3}", r"put.exit_pct: first = nan: expected a number"),
        ("[put]\nexit_pct = {first = 0.1, last = 0.9}", r"put.exit_pct: first = 0.1: expected a whole number, or a count"),
        ("[put]\ndte_min = {first = 9, last = 3}", r"put.dte_min: first = 9 is above last = 3"),
        ("[put]\ndte_min = {first = 2024-01-02, last = 2024-01-09}", r"put.dte_min: first = datetime.date.*: expected a whole number"),
        ("[put]\ndte_min = {start = 1, stop = 3}", r"put.dte_min = \{'start': 1, 'stop': 3\}: expected a list, or a table of first"),
        ("[put]\nexit_pct = 0.5", r"put.exit_pct = 0.5: expected a list of values, or a table"),
        ("exit_pct = [0.5]", r"grid.toml: unknown field 'exit_pct' \(did you mean 'put.exit_pct' or 'call.exit_pct'\?\)"),
        ("[putt]\nexit_pct = [0.5]", r"grid.toml: unknown field 'putt'"),
        ('[put]\nselect = ["all"]\n[call]\nselect = ["all"]\ntie_break_method = ["all"]', r"grid.toml: 'call.\w+' names .* a second time"),
        ('[put]\n"delta_min, delta_mx" = [[0.1, 0.2]]', r"unknown field 'put.delta_mx' \(did you mean 'put.delta_max'\?\)"),
    ],
)  # fmt: skip
def test_toml_grids_are_refused_with_file_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(wv.ConfigError, match=message) as caught:
        grid_from_toml(path)
    assert str(path) in str(caught.value)


def test_parquet_and_csv_are_grids(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "rules": ["v5", "ledger", "ledger"],
            "put.stop_loss_multiplier": [2.0, None, 3.0],
            "put.dte_min": [20, 25, 30],
            "schedule.start_date": [dt.date(2024, 1, 2), None, dt.date(2024, 2, 1)],
            "call.sell_call_only_if_price_above_basis": [True, False, True],
        }
    )
    expected = configs(read(frame))
    frame.write_parquet(tmp_path / "grid.parquet")
    frame.write_csv(tmp_path / "grid.csv")
    (tmp_path / "written.csv").write_text(
        "rules,put.stop_loss_multiplier,put.dte_min,schedule.start_date,call.sell_call_only_if_price_above_basis\n"
        "v5,2,20,2024-01-02,True\nledger,none,25,,False\nledger,3,30,2024-02-01,True\n"
    )
    for name in ("grid.parquet", "grid.csv", "written.csv"):
        assert configs(read(grid_from_file(tmp_path / name))) == expected, name


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "grid.json",
            b"{}",
            r"grid.json: expected a grid in a file named \*.toml, \*.parquet, \*.pq, \*.csv",
        ),
        ("grid.parquet", b"PAR1", r"grid.parquet: cannot be read as Parquet: "),
        ("grid.csv", b"", r"grid.csv: cannot be read as CSV: "),
        ("grid.csv", b"a,b\n1,2,3\n", r"grid.csv: cannot be read as CSV: "),
        (
            "grid.csv",
            b"put.exit_pc\n1\n",
            r"grid.csv: unknown field 'put.exit_pc' \(did you mean 'put.exit_pct'\?\)",
        ),
        (
            "grid.csv",
            b"call.select,call.tie_break_method\na,b\n",
            r"grid.csv: 'call.tie_break_method' names .* a second time",
        ),
        (
            "grid.csv",
            b"\xff\xfe\x00",
            r"grid.csv: cannot be read as CSV: |the grid has no row|unknown field",
        ),
    ],
)
def test_files_that_are_not_grids_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(wv.WheelvecError, match=message):
        read(grid_from_file(tmp_path / name))
    with pytest.raises(wv.ConfigError, match=r"none\.csv: cannot be read: no such file"):
        grid_from_file(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(wv.ConfigError, match=r"folder\.csv: cannot be read: it is a folder"):
        grid_from_file(tmp_path / "folder.csv")


def test_an_unknown_field_of_a_parquet_grid_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.parquet"
    pl.DataFrame({"exit_pct": [0.5]}).write_parquet(path)
    with pytest.raises(wv.ConfigError) as caught:
        grid_from_file(path)
    assert (
        str(caught.value)
        == f"{path}: unknown field 'exit_pct' (did you mean 'put.exit_pct' or 'call.exit_pct'?)"
    )


def test_files_of_too_many_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axes, "MOST_ROWS", 1000)
    frame = pl.DataFrame({"fills.execution_seed": range(1001)})
    frame.write_parquet(tmp_path / "grid.parquet")
    frame.write_csv(tmp_path / "grid.csv")
    for name in ("grid.parquet", "grid.csv"):
        with pytest.raises(wv.ConfigError, match=rf"{name} has 1,001 rows: expected at most 1,000"):
            grid_from_file(tmp_path / name)


def test_values_of_a_table_are_those_of_the_list() -> None:
    assert (
        read({"put.exit_pct": {"first": 0.1, "last": 0.5, "count": 5}}).values("put.exit_pct")
        == np.linspace(0.1, 0.5, 5).tolist()
    )
    assert read({"put.dte_min": {"first": 3, "last": 6}}).values("put.dte_min") == [3, 4, 5, 6]
    assert math.isclose(
        read({"put.dte_min": {"first": 10, "last": 30, "count": 3}}).values("put.dte_min")[1], 20
    )
