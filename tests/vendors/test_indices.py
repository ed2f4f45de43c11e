"""Values of indices from Cboe's files: forms as published, and files that are none."""

import datetime as dt
from pathlib import Path

import pytest

import wheelvec as wv


def written(folder: Path, text: str) -> Path:
    path = folder / "PUT_History.csv"
    path.write_bytes(text.encode())
    return path


def test_the_file_as_published(tmp_path: Path) -> None:
    path = written(tmp_path, "DATE,PUT\r\n06/30/1986,100.000000\r\n07/01/1986,100.190000\r\n")
    found = wv.indices.from_cboe(path)
    assert found.schema == wv.indices.VALUES
    assert found.rows() == [(dt.date(1986, 6, 30), 100.0), (dt.date(1986, 7, 1), 100.19)]
    assert wv.indices.from_cboe(path, "put").equals(found)


def test_days_in_any_order_without_leading_zeros_and_without_values(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffDATE,BXM \n1/3/2024,2.5\n01/02/2024,2.25\n1/4/2024,\n\n")
    assert wv.indices.from_cboe(path).rows() == [
        (dt.date(2024, 1, 2), 2.25),
        (dt.date(2024, 1, 3), 2.5),
    ]


def test_the_closes_of_a_file_with_prices_of_the_day(tmp_path: Path) -> None:
    path = written(tmp_path, "DATE,OPEN,HIGH,LOW,CLOSE\n01/02/2024,13.21,14.23,13.10,13.20\n")
    assert wv.indices.from_cboe(path)["value"].to_list() == [13.2]
    assert wv.indices.from_cboe(path, "high")["value"].to_list() == [14.23]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty: expected a history of an index by Cboe, with headings such as DATE, PUT"),
        ("DATE\n01/02/2024\n", "expected such as DATE, PUT"),
        ("<!DOCTYPE html>\n<p>no</p>\n", "it is a web page: download the CSV"),
        ("observation_date,DTB3\n2024-01-02,5\n", "it looks like a file of rates: wv.rates reads"),
        ('Date,"1 Mo","3 Mo"\n01/02/2024,5,5\n', "has 1 Mo, 3 Mo: expected index=.*wv.rates reads"),
        ("DATE,PUT,BXM\n01/02/2024,5,5\n", "has PUT, BXM: expected index=, the name of one"),
        ("DATE,PUT\n13/02/2024,5\n", "line 2: found '13/02/2024', expected a date"),
        ("DATE,PUT\n01/02/24,5\n", "line 2: found '01/02/24', expected a date"),
        ("DATE,PUT\n01/02/2024,5\n01/03/2024,0\n", "line 3: found '0', expected a level above 0"),
        ("DATE,PUT\n01/02/2024,-5\n", "line 2: found '-5', expected a level above 0"),
        ("DATE,PUT\n01/02/2024,inf\n", "line 2: found 'inf', expected a level above 0"),
        ("DATE,PUT\n01/02/2024,nan\n", "line 2: found 'nan', expected a level above 0"),
        ("DATE,PUT\n01/02/2024,1,898.42\n", "line 2: found 3 cells, expected 2"),
        ("DATE,PUT\n01/02/2024,5\n01/02/2024,6\n", "line 3: found 6.0 for 2024-01-02, expected 5.0"),
        ("DATE,PUT\n01/02/2024,\n", "has no value of 'PUT'"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(wv.InputError, match=expected):
        wv.indices.from_cboe(written(tmp_path, text))


def test_unknown_indices_and_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "DATE,PUT\n01/02/2024,5\n")
    with pytest.raises(wv.InputError, match=r"unknown index 'BXM'.*PUT"):
        wv.indices.from_cboe(path, "BXM")
    with pytest.raises(wv.InputError, match=r"nowhere.csv: cannot be read: No such file"):
        wv.indices.from_cboe(tmp_path / "nowhere.csv")
