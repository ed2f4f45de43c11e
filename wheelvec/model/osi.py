"""OSI option symbols.

21 characters, root padded to six, yymmdd, C or P, strike in thousandths on eight digits.
"""

import datetime as dt
from typing import NamedTuple

import polars as pl

from wheelvec.model.errors import InputError

PATTERN = r"^[A-Z][A-Z0-9]{0,5} {0,5}\d{6}[CP]\d{8}$"
FORM = "root, yymmdd, C or P, and the strike in thousandths on eight digits, such as TSLA230707P00205000"

# As people write them, in capitals: O: before it, a class of shares after a sign (BRK.B), signs
# between the parts. Its root is letters and at most the digit of an adjusted contract, so that a
# year of four digits is not taken for part of it.
_WRITTEN = (
    r"^(?:O:)?\s*([A-Z]+)(?:[ ./_-]([A-Z]{1,2}))?(\d?)[\s./_-]*(\d{6})[\s_-]*([CP])[\s_-]*(\d{8})$"
)
_YEAR_IN_ROOT = (
    r"^[A-Z]{4}20\d{6}[CP]"  # TSLA20230707P00205000: 21 characters, and no adjusted root TSLA20
)


def normalised(symbol: pl.Expr) -> pl.Expr:
    """The 21 characters of a symbol as people write it.

    The symbol as it is where it cannot be read.

    It may be padded or not, in lower case, with `O:` before it, blanks around it, a dot in its root
    (BRK.B is BRKB).
    """
    parts = symbol.str.strip_chars().str.to_uppercase().str.extract_groups(_WRITTEN).struct
    root = parts["1"] + parts["2"].fill_null("") + parts["3"]
    written = root.str.pad_end(6, " ") + parts["4"] + parts["5"] + parts["6"]
    return (
        pl.when(is_osi(symbol))
        .then(symbol)
        .otherwise(pl.coalesce(pl.when(is_osi(written)).then(written), symbol))
    )


def root(symbol: pl.Expr) -> pl.Expr:
    """The root without its padding."""
    return symbol.str.slice(0, 6).str.strip_chars_end(" ")


def leading_letters(symbol: pl.Expr) -> pl.Expr:
    """Up to six letters that a symbol which cannot be read begins with, in capitals.

    What its root may be meant to be.
    """
    return symbol.str.strip_chars().str.to_uppercase().str.extract(r"^(?:O:)?\s*([A-Z]{1,6})")


def expiration(symbol: pl.Expr) -> pl.Expr:
    """The expiration as a Date; null where the six digits are no date."""
    return (pl.lit("20") + symbol.str.slice(6, 6)).str.to_date("%Y%m%d", strict=False)


def option_type(symbol: pl.Expr) -> pl.Expr:
    """The type of the option, "C" or "P"."""
    return symbol.str.slice(12, 1)


def strike_milli(symbol: pl.Expr) -> pl.Expr:
    """The strike in thousandths of a dollar, Int64; null where the eight digits are none."""
    return symbol.str.slice(13, 8).cast(pl.Int64, strict=False)


def is_osi(symbol: pl.Expr) -> pl.Expr:
    """True where the whole symbol is well formed.

    Pattern, length, a date that exists, a strike above 0.
    """
    return (
        (symbol.str.len_bytes() == 21)
        & symbol.str.contains(PATTERN)
        & ~symbol.str.contains(_YEAR_IN_ROOT)
        & expiration(symbol).is_not_null()
        & (strike_milli(symbol) > 0)
    ).fill_null(False)


class Parts(NamedTuple):
    """What one symbol says."""

    root: str
    expiration: dt.date
    option_type: str
    strike_milli: int


def parse(symbol: str) -> Parts:
    """The parts of one symbol.

    Raises:
        InputError: if `symbol` is not a 21-character OSI symbol.
    """
    column = pl.col("symbol")
    frame = pl.DataFrame({"symbol": [symbol]}, schema={"symbol": pl.String}, strict=False)
    if not isinstance(symbol, str) or not frame.select(is_osi(column)).item():
        raise InputError(
            f"symbol {symbol!r} is no OSI symbol: expected 21 characters such as 'TSLA  230707P00205000' "
            "(root padded to six, yymmdd, C or P, strike in thousandths on eight digits)"
        )
    parts = frame.select(
        root(column).alias("root"),
        expiration(column).alias("expiration"),
        option_type(column).alias("option_type"),
        strike_milli(column).alias("strike_milli"),
    )
    return Parts(*parts.row(0))
