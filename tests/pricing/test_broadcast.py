"""Masked elements, null and None are NaN in every public function of arrays."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import wheelvec as wv

MASK = [False, True, False]
TERMS: dict[str, Any] = {
    "spot": 100.0,
    "strike": 95.0,
    "years": 0.25,
    "rate": 0.04,
    "is_call": True,
}
FUNCTIONS = ["black_scholes", "delta", "gamma", "vega", "theta", "rho", "implied_vol"]


def value(function: str, **changes: Any) -> Any:
    """The function of ordinary arguments, some of them changed."""
    terms = TERMS | ({"price": 8.0} if function == "implied_vol" else {"volatility": 0.3}) | changes
    return getattr(wv, function)(**terms)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("argument", ["spot", "strike", "years", "rate"])
@pytest.mark.parametrize("under", [1.5, -7.0, np.nan, np.inf])
def test_masked_elements_are_nan_whatever_their_data(
    function: str, argument: str, under: float
) -> None:
    plain = np.array([TERMS[argument], under, TERMS[argument] * 1.01])
    found, expected = (
        value(function, **{argument: np.ma.masked_array(plain, MASK)}),
        value(function, **{argument: plain}),
    )
    assert type(found) is np.ndarray
    assert np.isnan(found).tolist() == MASK
    assert found[[0, 2]].tolist() == expected[[0, 2]].tolist()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_where_the_type_is_masked_the_result_is_nan(function: str) -> None:
    found = value(function, is_call=np.ma.masked_array([True, True, False], MASK))
    assert np.isnan(found).tolist() == MASK
    assert found[[0, 2]].tolist() == value(function, is_call=[True, False])[[0, 1]].tolist()


def test_the_status_of_masked_elements_is_bad_input() -> None:
    for changes in (
        {"price": np.ma.masked_array([8.0, 9.0, 10.0], MASK)},
        {"is_call": np.ma.masked_array([True, True, True], MASK)},
    ):
        _, status = value("implied_vol", return_status=True, **changes)
        _, expected = value("implied_vol", return_status=True, price=[8.0, np.nan, 10.0])
        assert status.tolist() == expected.tolist()
        assert status[1] != 0


@pytest.mark.parametrize(
    "given",
    [
        np.ma.masked_array([8, 1, 10], MASK),
        [8, None, 10],
        [8.0, None, 10.0],
        (8.0, np.nan, 10.0),
        pl.Series([8.0, None, 10.0]),
        pl.Series([8, None, 10]),
        pd.Series([8.0, None, 10.0]),
        pd.Series([8, None, 10], dtype="Int64"),
    ],
    ids=[
        "masked integers",
        "list",
        "floats",
        "tuple",
        "polars",
        "polars integers",
        "pandas",
        "pandas nullable",
    ],
)
def test_lists_and_series_give_the_same(given: Any) -> None:
    found = value("implied_vol", price=given)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, value("implied_vol", price=np.array([8.0, np.nan, 10.0])))


def test_one_masked_number_is_nan() -> None:
    assert np.isnan(value("black_scholes", spot=np.ma.masked))
    assert (
        value("black_scholes", spot=np.ma.masked_array([100.0])).tolist()
        == value("black_scholes", spot=[100.0]).tolist()
    )
