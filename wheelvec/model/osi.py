"""OSI option symbols: conversion to the standard form, and expressions for their fields.

A symbol has 21 characters: the root padded to six, yymmdd, C or P, and the strike in thousandths of
a dollar on eight digits.
"""

import datetime as dt
import re
from typing import NamedTuple

import polars as pl

from wheelvec.model.errors import InputError

PATTERN = r"^[A-Z][A-Z0-9]{0,5} {0,5}\d{6}[CP]\d{8}$"
FORM = (
    "root, yymmdd, C or P, and the strike in thousandths on eight digits, "
    "such as TSLA230707P00205000; or a dot and the strike in dollars, such as .TSLA230707P205"
)

# Common spellings, in capitals: a prefix O: or a dot, a share class after a separator (BRK.B),
# separators between the fields. The root has letters and at most one digit, that of an adjusted
# contract, so that a year of four digits is not read as part of the root.
_WRITTEN = (
    r"^(?:O:|\.)?\s*([A-Z]+)(?:[ ./_-]([A-Z]{1,2}))?(\d?)"
    r"[\s./_-]*(\d{6})[\s_-]*([CP])[\s_-]*(\d{8})$"
)
# As brokers' platforms write it, in capitals: a dot, and the strike in dollars (.TSLA230707P202.5).
_DOTTED = r"^\.([A-Z]+\d?)(\d{6})([CP])(\d{1,5}(?:\.\d{1,3})?)$"
# TSLA20230707P00205000 has 21 characters too, but TSLA20 is not its root.
_YEAR_IN_ROOT = r"^[A-Z]{4}20\d{6}[CP]"


def normalised(symbol: pl.Expr) -> pl.Expr:
    """The OSI form of a symbol in a common spelling; the symbol unchanged if it cannot be read.

    It may be unpadded or in lower case, with a prefix `O:`, with blanks around it, with a dot in
    its root (BRK.B is BRKB), or as brokers' platforms write it: .TSLA230707P205.
    """
    written = symbol.str.strip_chars().str.to_uppercase()
    groups = written.str.extract_groups(_WRITTEN).struct
    root = groups["1"] + groups["2"].fill_null("") + groups["3"]
    padded = root.str.pad_end(6, " ") + groups["4"] + groups["5"] + groups["6"]
    dotted = _of_dotted(written)
    read = [pl.when(is_osi(found)).then(found) for found in (padded, dotted)]
    return pl.when(is_osi(symbol)).then(symbol).otherwise(pl.coalesce(*read, symbol))


def _of_dotted(written: pl.Expr) -> pl.Expr:
    """The OSI form of a symbol with a dot and its strike in dollars; null for any other."""
    groups = written.str.extract_groups(_DOTTED).struct
    milli = (groups["4"].cast(pl.Float64, strict=False) * 1000.0).round(0).cast(pl.Int64)
    strike = milli.cast(pl.String).str.zfill(8)
    return groups["1"].str.pad_end(6, " ") + groups["2"] + groups["3"] + strike


def root(symbol: pl.Expr) -> pl.Expr:
    """The root without its padding."""
    return symbol.str.slice(0, 6).str.strip_chars_end(" ")


def root_of(underlying: str) -> str:
    """The usual root of an underlying: its letters and digits, so that BRK.B trades under BRKB."""
    return re.sub(r"[^A-Z0-9]", "", underlying.upper())


def leading_letters(symbol: pl.Expr) -> pl.Expr:
    """The first letters, at most six, in capitals: the likely root of an unreadable symbol."""
    return symbol.str.strip_chars().str.to_uppercase().str.extract(r"^(?:O:|\.)?\s*([A-Z]{1,6})")


def expiration(symbol: pl.Expr) -> pl.Expr:
    """The expiration as a Date; null where the six digits are not a date."""
    return (pl.lit("20") + symbol.str.slice(6, 6)).str.to_date("%Y%m%d", strict=False)


def option_type(symbol: pl.Expr) -> pl.Expr:
    """The type of the option, "C" or "P"."""
    return symbol.str.slice(12, 1)


def strike_milli(symbol: pl.Expr) -> pl.Expr:
    """The strike in thousandths of a dollar, Int64; null where it is not a number."""
    return symbol.str.slice(13, 8).cast(pl.Int64, strict=False)


def is_osi(symbol: pl.Expr) -> pl.Expr:
    """True where the symbol has the OSI form, an existing date and a strike above 0."""
    return (
        (symbol.str.len_bytes() == 21)
        & symbol.str.contains(PATTERN)
        & ~symbol.str.contains(_YEAR_IN_ROOT)
        & expiration(symbol).is_not_null()
        & (strike_milli(symbol) > 0)
    ).fill_null(False)


class OptionSymbol(NamedTuple):
    """The fields of one OSI symbol; the strike is in thousandths of a dollar."""

    root: str
    expiration: dt.date
    option_type: str
    strike_milli: int


def parse(symbol: str) -> OptionSymbol:
    """The fields of one symbol.

    Raises:
        InputError: if `symbol` is not a 21-character OSI symbol.
    """
    column = pl.col("symbol")
    frame = pl.DataFrame({"symbol": [symbol]}, schema={"symbol": pl.String}, strict=False)
    if not isinstance(symbol, str) or not frame.select(is_osi(column)).item():
        raise InputError(
            f"symbol {symbol!r} is no OSI symbol: expected 21 characters such as "
            "'TSLA  230707P00205000' (root padded to six, yymmdd, C or P, strike in thousandths "
            "on eight digits)"
        )
    found = frame.select(
        root(column).alias("root"),
        expiration(column).alias("expiration"),
        option_type(column).alias("option_type"),
        strike_milli(column).alias("strike_milli"),
    )
    return OptionSymbol(*found.row(0))
