r"""Daily values of indices from Cboe's files, as benchmarks of an account.

    PUT_History.csv (DATE,PUT) --> session, value

Cboe publishes the history of its indices as CSV, among them those of option strategies: PUT (puts
on the S&P 500 at the money, monthly, secured by cash), WPUT (weekly), BXM (calls at the money on
the S&P 500), BXMD (calls of 30 delta). The files are downloaded by the user.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> import wheelvec as wv
    >>> path = Path(tempfile.mkdtemp()) / "PUT_History.csv"
    >>> _ = path.write_text("DATE,PUT\n01/02/2024,1898.42\n01/03/2024,1894.01\n")
    >>> wv.indices.from_cboe(path)["value"].to_list()
    [1898.42, 1894.01]
"""

from pathlib import Path

import polars as pl

from wheelvec.model.errors import InputError, listed
from wheelvec.vendors.dated import Allowed, DatedTable, day_of_us

__all__ = ["from_cboe"]

VALUES: dict[str, pl.DataType] = {"session": pl.Date(), "value": pl.Float64()}
_LEVELS = Allowed(1e-9, 1e12, "a level above 0")
_CLOSE = "CLOSE"  # of the files of some indices, such as VIX


def from_cboe(path: str | Path, index: str | None = None) -> pl.DataFrame:
    r"""The daily values of an index in a file of Cboe.

    The file has a first column `DATE` (MM/DD/YYYY) and a column of values named by the index, or
    columns of open, high, low and close, in any order of the days. Days without a value (blank)
    have no row. Some of the histories begin with isolated days: a benchmark needs a value on every
    session of the account.

    The values of PUT, WPUT, BXM and BXMD are of total returns: dividends and the interest on the
    cash are in them. Those of SPX, the index of prices, are not.

    Args:
        path: the file.
        index: the heading of its column; None: the only one, or `CLOSE`.

    Returns:
        One row a day, sorted: session (Date), value (of the index).

    Raises:
        InputError: for a file of another form, an unknown index, or a value that is no number above
            0; it names file, line and what was expected.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import wheelvec as wv
        >>> path = Path(tempfile.mkdtemp()) / "PUT_History.csv"
        >>> _ = path.write_text("DATE,PUT\n01/03/2024,1894.01\n01/02/2024,1898.42\n")
        >>> str(wv.indices.from_cboe(path)["session"][0])
        '2024-01-02'
    """
    read = DatedTable(Path(path), "a history of an index by Cboe", "DATE, PUT", _hint)
    wanted = _only(read) if index is None else index
    found = read.values(read.place_of(wanted, "index", "date"), day_of_us, _LEVELS)
    return pl.DataFrame({"session": list(found), "value": list(found.values())}, schema=VALUES)


def _only(read: DatedTable) -> str:
    """The heading of the only column of values, or of closes.

    Raises:
        InputError: if there are several columns, and none of closes.
    """
    closes = [name for name in read.names[1:] if name.upper() == _CLOSE]
    if closes or len(read.names) <= 2:
        return closes[0] if closes else read.names[-1] if read.names else ""
    raise InputError(
        f"{read.path} has {listed(read.names[1:])}: expected index=, the name of one"
        f"{_hint(read.names)}"
    )


def _hint(names: list[str]) -> str:
    """The likely kind of a file of another form, for messages, or nothing."""
    text = ",".join(names).lower()
    if text.lstrip().startswith("<"):
        return "; it is a web page: download the CSV"
    if "observation_date" in text or "3 mo" in text:
        return "; it looks like a file of rates: wv.rates reads those"
    return ""
