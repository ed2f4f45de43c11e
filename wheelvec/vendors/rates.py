r"""Riskless rates from files of the US Treasury and of FRED, as `Pricing.rate` takes them.

    daily-treasury-rates.csv, DTB3.csv (percent) --> session, rate (continuously compounded)

The files are downloaded by the user. Their yields are converted, because options are priced with
continuously compounded rates:

| kind | quoted as | continuously compounded |
| --- | --- | --- |
| discount | a bill's price is 1 - d*days/360 | -ln(1 - d*days/360)*365/days |
| bond_equivalent | half the yield is paid or added each half year | 2*ln(1 + y/2) |
| money_market | one day earns y/360, and is added each day | 365*ln(1 + y/360) |

Sources: Stigum and Robinson, "Money Market and Bond Calculations" (1996), for discount and money
market yields; for the second the Treasury's answers to questions on its interest rates, by which
the effective annual yield is (1 + y/2)^2 - 1, at all maturities of its par yield curve.

Example:
    >>> import tempfile
    >>> from pathlib import Path
    >>> import wheelvec as wv
    >>> path = Path(tempfile.mkdtemp()) / "DTB3.csv"
    >>> _ = path.write_text("observation_date,DTB3\n2024-01-01,.\n2024-01-02,5.25\n")
    >>> curve = wv.rates.from_fred(path)
    >>> wv.Config(pricing=wv.Pricing(rate=curve)).pricing.rate[0][0].isoformat()
    '2024-01-02'
"""

import datetime as dt
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from wheelvec.model.errors import InputError, cut, listed, unknown_name
from wheelvec.vendors.dated import Allowed, DatedTable, day_of_us

__all__ = ["from_fred", "from_treasury"]

RATES: dict[str, pl.DataType] = {"session": pl.Date(), "rate": pl.Float64()}

DISCOUNT, BOND_EQUIVALENT, MONEY_MARKET = "discount", "bond_equivalent", "money_market"
KINDS = (DISCOUNT, BOND_EQUIVALENT, MONEY_MARKET)
# days to maturity of the bills whose discount yields are series of FRED
_BILLS = {
    "DTB4WK": 28, "DTB3": 91, "DTB6": 182, "DTB1YR": 364,
    "WTB4WK": 28, "WTB3MS": 91, "WTB6MS": 182, "WTB1YR": 364,
    "TB4WK": 28, "TB3MS": 91, "TB6MS": 182, "TB1YR": 364,
}  # fmt: skip
# constant maturities of FRED: of days, weeks and months
_CONSTANT = {
    f"{often}GS{tenor}"
    for often in ("D", "W", "")
    for tenor in ("1MO", "3MO", "6MO", "1", "2", "3", "5", "7", "10", "20", "30")
} | {"GS1M", "GS3M", "GS6M", "WGS1MO", "WGS3MO", "WGS6MO"}
_OVERNIGHT = {"SOFR", "EFFR", "OBFR", "DFF", "FF", "FEDFUNDS"}
_FRED_DAYS = ("observation_date", "date")  # headings; the second until 2024
# percent; a file of fractions or basis points is not one of rates
_YIELDS = Allowed(-10.0, 50.0, "a yield from -10 to 50 percent")


def from_treasury(path: str | Path, tenor: str = "3 Mo") -> pl.DataFrame:
    r"""The rates of one maturity in the Treasury's daily par yield curve.

    The file is the CSV of "Daily Treasury Par Yield Curve Rates": a first column `Date` (M/D/YYYY)
    and one column a maturity, in percent, in any order of the days. Its yields are bond-equivalent
    and become 2*ln(1 + y/2): 5% becomes 4.939%. Days without a value ("N/A", blank) have no row.

    The Treasury publishes the yields of a day (as of 15:30) after the session's close. A session of
    a backtest uses the last rate on or before it, so move the sessions by a day where that matters.

    Args:
        path: the file.
        tenor: the maturity, as the heading of its column: "1 Mo", "3 Mo", "1 Yr", ...

    Returns:
        One row a day, sorted: session (Date), rate (fraction per year, continuously compounded).

    Raises:
        InputError: for a file of another form, an unknown maturity, or a value that is no rate; it
            names file, line and what was expected.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import wheelvec as wv
        >>> path = Path(tempfile.mkdtemp()) / "daily-treasury-rates.csv"
        >>> _ = path.write_text('Date,"1 Mo","3 Mo"\n01/03/2024,5.54,\n01/02/2024,5.55,5.00\n')
        >>> curve = wv.rates.from_treasury(path)
        >>> str(curve["session"][0]), round(curve["rate"][0], 5)
        ('2024-01-02', 0.04939)
    """
    form = "the Treasury's daily par yield curve"
    read = DatedTable(Path(path), form, "Date, 1 Mo, 3 Mo, 1 Yr", partial(_hint, "from_treasury"))
    place = read.place_of(tenor, "tenor", "date")
    return _converted(read.values(place, day_of_us, _YIELDS), _bond_equivalent)


def from_fred(
    path: str | Path, series: str | None = None, kind: str | None = None, days: int | None = None
) -> pl.DataFrame:
    r"""The rates of one series in a CSV of FRED, the St. Louis Fed's database.

    The file has a first column `observation_date` (or `DATE`, YYYY-MM-DD) and one column a series,
    in percent. Days without a value (".", blank) have no row.

    The kind of yield depends on the series: DTB3 is a bill's discount yield (5.25% becomes 5.359%),
    DGS3MO a bond-equivalent one (5.25% becomes 5.182%), SOFR and DFF are money market yields. The
    series of Treasury bills (DTB, WTB, TB), of constant maturities (DGS, WGS, GS) and of overnight
    rates (SOFR, EFFR, OBFR, DFF, FF, FEDFUNDS) are known; any other needs `kind`.

    FRED has the value of a day on the next one or later. A session of a backtest uses the last rate
    on or before it, so move the sessions where that matters.

    Args:
        path: the file.
        series: the heading of its column; None where there is only one.
        kind: "discount", "bond_equivalent" or "money_market"; None: by the name of the series.
        days: to the bill's maturity, for discount yields; None: by the name of the series.

    Returns:
        One row a day, sorted: session (Date), rate (fraction per year, continuously compounded).

    Raises:
        InputError: for a file of another form, an unknown series or kind, or a value that is no
            rate; it names file, line and what was expected.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import wheelvec as wv
        >>> path = Path(tempfile.mkdtemp()) / "fredgraph.csv"
        >>> _ = path.write_text("observation_date,DTB3,DGS3MO\n2024-01-02,5.25,5.46\n")
        >>> [round(wv.rates.from_fred(path, name)["rate"][0], 5) for name in ("DTB3", "DGS3MO")]
        [0.05359, 0.05387]
    """
    hint = partial(_hint, "from_fred")
    read = DatedTable(Path(path), "a series of FRED", "observation_date, DTB3", hint)
    if series is None and len(read.names) != 2:
        raise InputError(
            f"{path} has {listed(read.names[1:]) or 'no series'}: expected series=, the name of "
            f"one{hint(read.names)}"
        )
    place = read.place_of(read.names[-1] if series is None else series, "series", *_FRED_DAYS)
    conversion = _conversion(read.names[place], kind, days)
    return _converted(read.values(place, dt.date.fromisoformat, _YIELDS), conversion)


def _converted(
    percents: dict[dt.date, float], conversion: Callable[[float], float]
) -> pl.DataFrame:
    """`RATES` of yields in percent by day; the conversion is of fractions per year."""
    rates = [conversion(percent / 100.0) for percent in percents.values()]
    return pl.DataFrame({"session": list(percents), "rate": rates}, schema=RATES)


def _conversion(series: str, kind: str | None, days: int | None) -> Callable[[float], float]:
    """The conversion of a series' yields, fractions per year."""
    name = series.upper()
    if kind is not None and kind not in KINDS:
        raise InputError(unknown_name("kind", kind, KINDS))
    found = kind or _kind_of(name)
    if found is None:
        raise InputError(
            f"series {cut(series)} is not known: expected kind= one of {listed(KINDS)}, by what it "
            "quotes"
        )
    if found == BOND_EQUIVALENT:
        return _bond_equivalent
    if found == MONEY_MARKET:
        return lambda y: 365.0 * math.log1p(y / 360.0)
    due = _BILLS.get(name) if days is None else days
    if due is None or not 1 <= due <= 366:
        raise InputError(
            f"days = {cut(days)}: expected the days to maturity of the bill of {cut(series)}, "
            "from 1 to 366"
        )
    return lambda d: -math.log1p(-d * due / 360.0) * 365.0 / due


def _kind_of(series: str) -> str | None:
    """The kind of yield that a series of FRED quotes; None if it is not known."""
    if series in _BILLS:
        return DISCOUNT
    if series in _CONSTANT:
        return BOND_EQUIVALENT
    return MONEY_MARKET if series in _OVERNIGHT else None


def _bond_equivalent(y: float) -> float:
    return 2.0 * math.log1p(y / 2.0)


def _hint(reader: str, names: list[str]) -> str:
    """The likely kind of a file of another form, for messages, or nothing.

    Args:
        reader: the function here that was called: nobody is sent to it again.
        names: the headings of the file.
    """
    text = ",".join(names).lower()
    if text.lstrip().startswith("<"):
        return "; it is a web page: download the CSV"
    if "bank discount" in text:
        return "; it looks like the Treasury's bill rates: expected its par yield curve"
    if names and names[0].lower() == "observation_date":
        kind, of_kind = "FRED's", "from_fred"
    elif "3 mo" in text or "10 yr" in text:
        kind, of_kind = "the Treasury's par yield curve", "from_treasury"
    else:
        return ""
    return "" if of_kind == reader else f"; it looks like {kind}: wv.rates.{of_kind} reads it"
