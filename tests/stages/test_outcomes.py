"""Outcomes as frames, to look at."""

import numpy as np
import polars as pl
import pytest

from wheelvec.kernels.outcomes import ATTEMPT, LEG, WHEEL
from wheelvec.stages.outcomes import ENTRY_DAY, OneUnderlying


@pytest.mark.parametrize(
    ("table", "dtype"),
    [("legs", LEG), ("attempts", ATTEMPT), ("wheels", WHEEL), ("days", ENTRY_DAY)],
)
def test_every_field_of_a_table_is_a_column(table: str, dtype: np.dtype) -> None:  # type: ignore[type-arg]
    rows = {
        name: np.zeros(2, kind)
        for name, kind in zip(OneUnderlying._fields, (LEG, ATTEMPT, WHEEL, ENTRY_DAY), strict=False)
    }
    rows["legs"]["contract"], rows["legs"]["price"] = [1, 0], [2.0, 1.5]
    outcomes = OneUnderlying(**rows, symbols=pl.Series(["first", "second"]))
    frame = outcomes.to_frame(table)
    assert [*dtype.names, *(["symbol"] if table == "legs" else [])] == frame.columns
    assert frame.height == 2
    if table == "legs":
        assert frame["symbol"].to_list() == ["second", "first"]
        assert frame["price"].to_list() == [2.0, 1.5]
