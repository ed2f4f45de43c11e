"""Input that nobody should have: whatever its size, no crash, bounded memory, and every row
accounted for.

Each case runs in a separate process, which prints its peak of resident memory; the full size is
behind `-m slow`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RUN = """
import json, sys
from tests.memory import peak_kib
import polars as pl
import wheelvec as wv
from tests.run import pathological
from wheelvec.model.errors import WheelvecError

tables = pathological.CASES[sys.argv[1]](int(sys.argv[2]))
given = {name: frame.height for name, frame in tables.items()}
market = wv.Market(**tables)
aside = dict(market._source.aside().group_by("table").agg(pl.col("count").sum()).rows())
kept = {name: frame.height for name, frame in market._source.held.items()}
reasons = sorted(set(market.diagnostics["reason"]))
wheels = None
if market.data_range:
    result = wv.backtest(market, pathological.CONFIG)
    result.validate()
    wheels = result.wheels.height
peak = peak_kib()
print(json.dumps({"given": given, "kept": kept, "aside": aside, "reasons": reasons, "wheels": wheels,
                  "MiB": peak // 1024}))
"""

ROWS = [
    pytest.param(20_000, id="small"),
    pytest.param(1_000_000, id="full", marks=pytest.mark.slow),
]
UNDERLYINGS = [
    pytest.param(50, id="small"),
    pytest.param(10_000, id="full", marks=pytest.mark.slow),
]


def found_in(case: str, size: int, most_mib: int = 1500) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, case, str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, given in found["given"].items():
        assert found["kept"][name] + found["aside"].get(name, 0) == given, name
    assert found["MiB"] < most_mib, found  # of up to four million rows
    return found


@pytest.mark.parametrize("size", ROWS)
def test_malformed_rows_of_every_kind_at_once(size: int) -> None:
    found = found_in("malformed", size)
    assert set(found["reasons"]) >= {  # type: ignore[call-overload]
        "missing_key", "bad_symbol", "cash_settled", "adjusted", "symbol_mismatch", "missing_ts", "not_a_session", "wrong_session",
        "missing_side", "infinite_price", "negative_bid", "crossed", "no_price", "no_underlying_price", "missing_price",
        "high_below_low", "outside_range", "non_positive_price", "conflicting_duplicate", "equal_duplicate",
        "missing_amount", "negative_amount",
    }  # fmt: skip
    # the one whole row of each table, and quotes that are dropped when they are reached
    assert found["kept"] == {
        "option_quotes": found["kept"]["option_quotes"], "option_bars": 1, "underlying_bars": 1, "dividends": 1  # type: ignore[index]
    }  # fmt: skip
    assert found["wheels"] == 1


@pytest.mark.parametrize("size", ROWS)
def test_columns_of_nothing_but_nan(size: int) -> None:
    found = found_in("all_nan", size)
    assert found["reasons"] == [
        "missing_price",
        "missing_side",
        "no_option_bars",
        "no_underlying_bars",
    ]
    assert found["wheels"] == 0


@pytest.mark.parametrize("size", ROWS)
def test_one_contract_with_all_quotes_in_one_minute(size: int) -> None:
    found = found_in("one_minute", size)
    assert (found["kept"]["option_quotes"], found["reasons"], found["wheels"]) == (size, [], 1)  # type: ignore[index]


@pytest.mark.parametrize("size", ROWS)
@pytest.mark.parametrize("case", ["tiny_prices", "huge_prices"])
def test_prices_of_a_billionth_and_of_a_trillion(size: int, case: str) -> None:
    found = found_in(case, size)
    assert found["aside"] == {}
    assert not {"infinite_price", "no_price", "non_positive_price"} & set(found["reasons"])  # type: ignore[call-overload]


@pytest.mark.parametrize("size", UNDERLYINGS)
def test_many_underlyings_of_one_row_each(size: int) -> None:
    found = found_in(
        "many_underlyings", size, 4096
    )  # the records of every slice are held until they are numbered
    assert found["kept"] == dict.fromkeys(("option_quotes", "option_bars", "underlying_bars"), size)
    assert found["wheels"] == size
