"""The fill draws against published and promised answers, and against plain Python."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import pricer
from wheelvec.kernels.draws import fill_draw, philox
from wheelvec.model.errors import InputError

# Known answers that the authors of Philox publish with Random123 (kat_vectors, philox4x32 with 10
# rounds).
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), PUBLISHED)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    words = philox(*(np.uint64(word) for word in (*counter, *key)))
    assert tuple(int(word) for word in words) == expected


@pytest.mark.parametrize(
    ("seed", "symbol", "entry", "phase", "touch", "expected"),
    [
        (42, "TSLA  230707P00205000", "2023-06-06", 0, 0, 0.7548960935391251),
        (42, "TSLA  230707P00205000", dt.date(2023, 6, 6), 0, 1, 0.06863176789908831),
        (2**63 + 7, "SPY   240119P00470500", "2023-12-15", 1, 3, 0.4250202458300938),
    ],
)
def test_draws_give_the_promised_answers(
    seed: int, symbol: str, entry: dt.date | str, phase: int, touch: int, expected: float
) -> None:
    assert fill_draw(seed, symbol, entry, phase, touch) == expected


@given(
    st.integers(0, 2**64 - 1),
    st.dates(dt.date(2013, 1, 1), dt.date(2040, 1, 1)),
    st.integers(1, 10**8 - 1),
    st.integers(0, 50),
    st.integers(0, 500),
)
def test_draws_equal_the_plain_python_ones(
    seed: int, entry: dt.date, strike: int, phase: int, touch: int
) -> None:
    symbol = f"AB    {entry + dt.timedelta(days=30):%y%m%d}P{strike:08d}"
    u = fill_draw(seed, symbol, entry, phase, touch)
    assert u == pricer.fill_draw(seed, symbol, entry, phase, touch)
    assert 0.0 <= u < 1.0


def test_draws_are_uniform_and_differ_by_phase_and_touch() -> None:
    draws = np.array(
        [
            fill_draw(7, "XYZ   240119P00050000", "2023-12-15", p, t)
            for p in range(40)
            for t in range(50)
        ]
    )
    assert len(set(draws)) == draws.size
    assert abs(draws.mean() - 0.5) < 4 * np.sqrt(1 / 12 / draws.size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (-1, "XYZ   240119P00050000", "2023-12-15", 0, 0),
            r"seed = -1: expected a whole number from 0 to",
        ),
        ((2**64, "XYZ   240119P00050000", "2023-12-15", 0, 0), r"seed = 18446744073709551616"),
        (
            (1, "XYZ 240119P00050000", "2023-12-15", 0, 0),
            r"'XYZ 240119P00050000' is no OSI symbol: expected 21 char",
        ),
        (
            (1, "XYZ   240119P00050000", "soon", 0, 0),
            r"entry_date = 'soon': expected a date such as",
        ),
        ((1, "XYZ   240119P00050000", "2023-12-15", -1, 0), r"phase = -1"),
        ((1, "XYZ   240119P00050000", "2023-12-15", 0, 0.5), r"touch = 0.5"),
    ],
)
def test_draws_refuse_what_they_cannot_read(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fill_draw(*arguments)  # type: ignore[arg-type]
