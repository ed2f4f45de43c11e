"""Marks of legs and entries into an account, by hand."""

from typing import Any

import numpy as np

from wheelvec.kernels import account as kernel

NAN = float("nan")


def rows(kind: Any, *values: dict[str, Any]) -> Any:
    out = np.zeros(len(values), kind)
    for row, value in zip(out, values, strict=True):
        for name, one in value.items():
            row[name] = one
    return out.view(np.recarray)


def test_marks_follow_quotes_then_bars_then_the_intrinsic_value() -> None:
    # a put of 50, sold on session 1 and open through session 6; settled on session 5
    legs = rows(kernel.LEG, {"sold": 1, "last": 6, "frozen": 5, "stretches": 1})
    stretches = rows(kernel.STRETCH, {"last": 99, "rows": 3, "factor": 1.0, "strike": 50.0})
    path = rows(
        kernel.STEP,
        {"session": 1, "bid": 1.0, "ask": 1.5, "close": 9.0, "spot": 50.5},
        {"session": 2, "bid": NAN, "ask": NAN, "close": 1.5, "spot": NAN},
        {"session": 3, "bid": 0.5, "ask": 1.0, "close": 7.0, "spot": 51.0},
    )
    close = np.array([[50.0, 50.0, 50.0, 51.0, 49.0, NAN, 10.0]])
    marks = rows(kernel.MARK, *[{}] * 6)
    kernel.lay_marks(legs, stretches, path, close, marks)
    assert marks["price"].tolist() == [1.25, 1.5, 0.75, 1.0, 1.0, 1.0]
    assert marks["since"].tolist() == [1, 2, 3, 3, 3, 3]
    assert np.isnan(marks["spot"]).tolist() == [False, True, False, True, True, True]


def test_a_wheel_is_taken_if_its_capital_and_fee_are_free() -> None:
    terms = {
        "entry": 0,
        "end": 3,
        "capital": 100.0,
        "premium": 5.0,
        "commission_per_contract": 1.0,
        "shares": -1,
    }
    wheels = rows(kernel.WHEEL, terms, terms, terms | {"entry": 1})
    empty = [rows(kind) for kind in (kernel.LEG, kernel.MARK, kernel.FLOW, kernel.ORDER)]
    shares, ends, none = rows(kernel.SHARES), np.arange(3), np.zeros((1, 4))
    book = kernel.Book(wheels, *empty, shares, ends, none, none)

    def taken(cash: float, wheels: float = np.inf) -> list[int]:
        kept = kernel.new_kept(4, 3, 1)
        limits = kernel.Limits(cash, 2.0, 0.0, wheels, np.inf, np.inf)
        kernel.run_account(book, limits, np.zeros(4), kept)
        return kept.reason.tolist()

    # twice 100 and two fees of 1; then 10 of premium are free for the next
    assert taken(202.0) == [kernel.TAKEN, kernel.NO_CASH, kernel.TAKEN]
    assert taken(201.9) == [kernel.NO_CASH] * 3
    assert taken(394.0) == [kernel.TAKEN] * 3
    assert taken(393.9) == [kernel.TAKEN, kernel.NO_CASH, kernel.TAKEN]
    assert taken(1e9, wheels=1.0) == [kernel.TAKEN, kernel.MAX_WHEELS, kernel.MAX_WHEELS]
