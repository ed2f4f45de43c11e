"""Rates from files of the Treasury and of FRED: forms as published, figures worked by hand."""

import datetime as dt
import math
from pathlib import Path

import pytest

import wheelvec as wv

# as published in 2026; "4 Mo" came in October 2022, "1.5 Month" in February 2025
HEAD = (
    'Date,"1 Mo","1.5 Month","2 Mo","3 Mo","4 Mo","6 Mo","1 Yr","2 Yr","3 Yr","5 Yr","7 Yr",'
    '"10 Yr","20 Yr","30 Yr"'
)
ROWS = [
    "01/06/2026,3.70,3.71,3.72,3.60,3.58,3.55,3.50,3.47,3.50,3.70,3.90,4.17,4.79,4.86",
    "01/05/2026,3.70,,3.72,N/A,3.58,3.55,3.50,3.47,3.50,3.70,3.90,4.17,4.79,4.86",
    "01/02/2026,3.72,3.72,3.73,4.00,3.60,3.56,3.47,3.47,3.52,3.74,3.95,4.19,4.81,4.87",
]


def written(folder: Path, text: str, name: str = "rates.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_the_treasury_file_as_published(tmp_path: Path) -> None:
    path = written(tmp_path, "\r\n".join([HEAD, *ROWS, ""]))
    found = wv.rates.from_treasury(path)
    assert found.schema == {"session": wv.rates.RATES["session"], "rate": wv.rates.RATES["rate"]}
    # two half-yearly additions of 2% are a factor of 1.0404 a year, and exp(rate) is that factor
    assert found.rows() == [
        (dt.date(2026, 1, 2), pytest.approx(math.log(1.0404), rel=1e-14)),
        (dt.date(2026, 1, 6), pytest.approx(2 * math.log(1.018), rel=1e-14)),
    ]
    assert wv.rates.from_treasury(path, "1.5 mo").height == 2  # its heading is "1.5 Month"


def test_the_archive_of_the_treasury_and_a_byte_order_mark(tmp_path: Path) -> None:
    """The archive of 1990 on has headings in lower case and days without leading zeros."""
    path = written(tmp_path, "\ufeffdate,1 mo,3 mo\n1/3/1990,,7.89\n1/2/1990,,7.83\n\n")
    assert wv.rates.from_treasury(path, tenor="3 Mo")["session"].to_list() == [
        dt.date(1990, 1, 2),
        dt.date(1990, 1, 3),
    ]


@pytest.mark.parametrize(
    ("series", "percent", "rate"),
    [
        # a bill of 91 days at a discount of 5.25% costs 98.6729...: grown at the rate it is 100
        ("DTB3", 5.25, -math.log(1 - 0.0525 * 91 / 360) * 365 / 91),
        ("TB3MS", 5.25, -math.log(1 - 0.0525 * 91 / 360) * 365 / 91),
        ("DTB1YR", 4.0, -math.log(1 - 0.04 * 364 / 360) * 365 / 364),
        ("DGS3MO", 5.0, 2 * math.log(1.025)),
        ("GS10", 5.0, 2 * math.log(1.025)),
        ("SOFR", 3.6, 365 * math.log(1.0001)),
        ("FEDFUNDS", 3.6, 365 * math.log(1.0001)),
        ("DTB3", -0.05, -math.log(1 + 0.0005 * 91 / 360) * 365 / 91),
        ("DTB3", 0.0, 0.0),
    ],
)
def test_series_of_fred_are_converted_by_what_they_quote(
    tmp_path: Path, series: str, percent: float, rate: float
) -> None:
    path = written(tmp_path, f"observation_date,{series}\n2024-01-01,.\n2024-01-02,{percent}\n")
    ((day, found),) = wv.rates.from_fred(path).rows()
    assert day == dt.date(2024, 1, 2)
    assert found == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_a_discount_yield_gives_the_price_of_the_bill(tmp_path: Path) -> None:
    path = written(tmp_path, "DATE,DTB3\n2024-01-02,5.25\n2024-01-03,\n")
    (rate,) = wv.rates.from_fred(path)["rate"]
    assert 100 * math.exp(-rate * 91 / 365) == pytest.approx(100 - 5.25 * 91 / 360, rel=1e-14)


def test_one_series_of_several_and_a_kind_of_ones_own(tmp_path: Path) -> None:
    path = written(tmp_path, "observation_date,DTB3,MINE\n2024-01-02,5.25,5.0\n2024-01-03,5.2,.\n")
    assert wv.rates.from_fred(path, "dtb3").height == 2
    (rate,) = wv.rates.from_fred(path, "MINE", kind="bond_equivalent")["rate"]
    assert rate == pytest.approx(2 * math.log(1.025))
    (rate,) = wv.rates.from_fred(path, "MINE", kind="discount", days=28)["rate"]
    assert rate == pytest.approx(-math.log(1 - 0.05 * 28 / 360) * 365 / 28)


def test_a_curve_is_the_rate_of_a_configuration(tmp_path: Path) -> None:
    path = written(tmp_path, "observation_date,DTB3\n2024-01-02,5.25\n2024-01-03,5.2\n")
    curve = wv.rates.from_fred(path)
    config = wv.Config(pricing=wv.Pricing(rate=curve))
    assert config.pricing.rate == tuple(curve.rows())


BILLS = 'Date,"4 WEEKS BANK DISCOUNT","4 WEEKS COUPON EQUIVALENT"\n01/02/2026,3.58,3.64\n'


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("", "from_treasury", "is empty: expected the Treasury's daily par yield curve"),
        ("", "from_fred", "is empty: expected a series of FRED, with headings such as obs"),
        ("\nDATE,DTB3\n", "from_fred", "has no headings: expected a series of FRED"),
        ("<!DOCTYPE html>\n<p>no</p>\n", "from_treasury", "it is a web page"),
        ("<!DOCTYPE html>\n<p>no</p>\n", "from_fred", "it is a web page"),
        (BILLS, "from_treasury", "looks like the Treasury's bill rates"),
        ("observation_date,DTB3\n2024-01-02,5\n", "from_treasury", "wv.rates.from_fred reads it"),
        (f"{HEAD}\n{ROWS[0]}\n", "from_fred", "wv.rates.from_treasury reads it"),
        ("day,close\n2024-01-02,5\n", "from_fred", "is not a series of FRED.*observation_date"),
        ("Date,3 Mo\n2024-13-02,5\n", "from_treasury", "line 2: found '2024-13-02'"),
        (
            "Date,3 Mo\n01/02/24,5\n",
            "from_treasury",
            "line 2: found '01/02/24', expected a date such as 01/31/2024 or 2024-01-31",
        ),
        ("DATE,DTB3\n01/02/2024,5\n", "from_fred", "expected a date such as 2024-01-31"),
        ("PAR1\0", "from_fred", "is Parquet: expected CSV"),
        ("PK\3\4\0", "from_fred", "is a zip or a workbook: unpack it, or save its sheet as CSV"),
        ("a\0b", "from_treasury", "is no text: expected CSV in UTF-8"),
        ("Date,3 Mo\n01/02/2024,5%\n", "from_treasury", "line 2: found '5%', expected a yield"),
        ("Date,3 Mo\n01/02/2024,543\n", "from_treasury", "from -10 to 50 percent"),
        ("Date,3 Mo\n01/02/2024,nan\n", "from_treasury", "from -10 to 50 percent"),
        ("Date,3 Mo\n01/02/2024,5,3\n", "from_treasury", "line 2: found 3 cells, expected 2"),
        ("Date,3 Mo\n01/02/2024,5\n01/02/2024,6\n", "from_treasury", "line 3: found 6.0 for 2024"),
        ("Date,3 Mo\n01/02/2024,5\nDate,3 Mo\n", "from_treasury", "line 3: found 'Date'"),
        ("Date,3 Mo\n01/02/2024,N/A\n", "from_treasury", "has no value of '3 Mo'"),
        ("Date,1 Mo\n01/02/2024,5\n", "from_treasury", "unknown tenor '3 Mo'.*'1 Mo'"),
        ("DATE,MINE\n2024-01-02,5\n", "from_fred", "series 'MINE' is not known: expected kind="),
        ("DATE,DTB3,DTB6\n2024-01-02,5,5\n", "from_fred", "has DTB3, DTB6: expected series="),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, read: str, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(wv.InputError, match=expected):
        getattr(wv.rates, read)(path)


def test_a_file_in_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("DATE,DTB3\n2024-01-02,5\n", encoding="utf-16")
    with pytest.raises(wv.InputError, match="is in UTF-16: save it as CSV in UTF-8"):
        wv.rates.from_fred(path)


def test_no_function_is_recommended_to_those_who_call_it(tmp_path: Path) -> None:
    path = written(tmp_path, "observation_date,DTB3,DTB6\n2024-01-02,5,5\n")
    for series in (None, "DGS3MO"):
        with pytest.raises(wv.InputError, match=r"DTB3, DTB6|unknown series") as caught:
            wv.rates.from_fred(path, series)
        assert "from_fred" not in str(caught.value)
    path = written(tmp_path, f"{HEAD}\n{ROWS[0]}\n")
    with pytest.raises(wv.InputError, match="unknown tenor '99 Yr'") as caught:
        wv.rates.from_treasury(path, "99 Yr")
    assert "from_treasury" not in str(caught.value)


def test_unknown_arguments_and_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "DATE,MINE\n2024-01-02,5\n")
    with pytest.raises(wv.InputError, match=r"unknown kind 'discounted'.*'discount'"):
        wv.rates.from_fred(path, kind="discounted")
    with pytest.raises(wv.InputError, match="days = None: expected the days to maturity"):
        wv.rates.from_fred(path, kind="discount")
    with pytest.raises(wv.InputError, match="unknown series 'DTB3'"):
        wv.rates.from_fred(path, "DTB3")
    with pytest.raises(wv.InputError, match=r"nowhere.csv: cannot be read: No such file"):
        wv.rates.from_treasury(tmp_path / "nowhere.csv")
    with pytest.raises(wv.InputError, match="cannot be read: Is a directory"):
        wv.rates.from_treasury(tmp_path)
