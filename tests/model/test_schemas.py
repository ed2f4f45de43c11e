"""Conversion of Polars, pandas and Arrow tables to Polars frames."""

import datetime as dt
import subprocess
import sys
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from wheelvec.model import schemas
from wheelvec.model.errors import DataError, InputError

DAYS = [dt.date(2023, 6, 6), dt.date(2023, 6, 7)]
SIGNALS = pl.DataFrame({"session": DAYS, "underlying": ["TSLA", "AAPL"]})
PANDAS = pd.DataFrame({"session": DAYS, "underlying": ["TSLA", "AAPL"]})


@pytest.mark.parametrize(
    "given",
    [
        SIGNALS,
        SIGNALS.lazy(),
        PANDAS,
        PANDAS.set_index("session"),
        PANDAS.set_index(["session", "underlying"]),
        PANDAS.set_index("session", drop=False),
        SIGNALS.to_arrow(),
        pa.RecordBatchReader.from_batches(
            SIGNALS.to_arrow().schema, SIGNALS.to_arrow().to_batches()
        ),
    ],
    ids=[
        "polars",
        "lazy",
        "pandas",
        "index",
        "two levels",
        "index and column",
        "arrow",
        "arrow stream",
    ],
)
def test_every_kind_of_frame_gives_the_same(given: Any) -> None:
    assert schemas.as_polars("when", given).equals(SIGNALS)


def test_a_lazy_frame_stays_lazy() -> None:
    assert isinstance(
        schemas.as_lazy("when", SIGNALS.lazy().map_batches(pytest.fail)), pl.LazyFrame
    )


def test_nan_of_pandas_is_null() -> None:
    assert schemas.as_polars("x", pd.DataFrame({"a": [1.5, float("nan")]}))["a"].to_list() == [
        1.5,
        None,
    ]


def test_a_column_of_pandas_without_a_value_is_of_no_type() -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [float("nan")] * 2})
    assert schemas.as_polars("x", frame).dtypes == [pl.Float64, pl.Null]


@pytest.mark.parametrize(
    "given",
    [None, 3, [1], "a", {"a": [1]}, pl.Series([1]), pd.Series([1]), pa.chunked_array([[1]])],
)
def test_the_error_for_other_types_names_the_argument(given: Any) -> None:
    with pytest.raises(
        InputError,
        match=r"^when must be a Polars frame, a pandas DataFrame or an Arrow table, got \w+",
    ):
        schemas.as_polars("when", given)


@pytest.mark.parametrize(
    "given",
    [
        pl.LazyFrame({"a": [1]}).select("b"),
        pl.scan_parquet("no/such/file.parquet"),
        pd.DataFrame({"a": [1, "x", DAYS[0]]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
    ],
    ids=["query", "file", "mixed column", "column twice"],
)
def test_errors_of_a_frame_name_the_argument(given: Any) -> None:
    with pytest.raises(DataError, match=r"^grid cannot be read: "):
        schemas.as_polars("grid", given)


def test_pandas_is_never_imported() -> None:
    code = "import sys; from wheelvec.model import schemas; import polars as pl; schemas.as_polars('x', pl.LazyFrame({'a': [1]}))"
    code += "; print('pandas' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
