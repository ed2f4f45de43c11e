"""Option contracts as numbers: the root, expiration, type and strike of each row of a file.

A symbol is parsed once, however many rows bear it. Contracts that no run can use (index roots,
adjusted ones, symbols that cannot be read) are found here, each with its reason.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from wheelvec.model import cash_settled, osi

# The reasons for which rows are set aside here, in the order of testing (tables.validation).
REASONS = (
    "",
    "missing_key",
    "bad_symbol",
    "cash_settled",
    "adjusted",
    "symbol_mismatch",
    "not_a_session",
)
_CODE = {reason: code for code, reason in enumerate(REASONS)}
LARGEST_STRIKE = 99_999_999  # thousandths of a dollar, of eight digits
_LONGEST_ROOT = 6
_TAIL = 15  # characters after the root
_USUAL = r"^[A-Z]{1,5}[A-Z0-9]?\d{6}[CP]\d{8}$"
_ADJUSTED = re.compile(r".*\d")
_SATURDAY = 5  # of NumPy's business days, from Monday

Codes = NDArray[np.uint8]


class Terms(NamedTuple):
    """The contracts of some rows.

    Attributes:
        root: (n,) int32, the number of the root in `Numbering.roots`.
        expiration: (n,) int32, days since 1970.
        milli: (n,) int32, the strike in thousandths of a dollar.
        put: (n,) bool.
        flaw: (n,) uint8, the position in `REASONS` of what is wrong with the contract; 0: nothing.
    """

    root: NDArray[np.int32]
    expiration: NDArray[np.int32]
    milli: NDArray[np.int32]
    put: NDArray[np.bool_]
    flaw: Codes


class Numbering:
    """The roots and symbols of an import, each with a number.

    Attributes:
        roots: the roots by number.
        underlyings: the underlyings by number.
    """

    def __init__(self) -> None:
        self.roots: list[str] = []
        self.underlyings: list[str] = []
        self._root_numbers: dict[str, int] = {}
        self._underlying_numbers: dict[str, int] = {}
        self._symbols = pl.Categorical(pl.Categories.random())
        self._known = _Known()
        # Polars forgets the numbers of categories once no column has them
        self._holds = pl.Series([None], dtype=self._symbols)

    # ---- names

    def underlying(self, name: str) -> int:
        """The number of an underlying, by its name as it is given."""
        name = underlying_name(name)
        if name not in self._underlying_numbers:
            self._underlying_numbers[name] = len(self.underlyings)
            self.underlyings.append(name)
        return self._underlying_numbers[name]

    def root(self, name: str) -> int:
        """The number of a root."""
        if name not in self._root_numbers:
            self._root_numbers[name] = len(self.roots)
            self.roots.append(name)
        return self._root_numbers[name]

    def root_flaw(self, name: str) -> int:
        """The flaw of every contract of a root, as a position in `REASONS`; 0: none."""
        if name in cash_settled.ROOTS:
            return _CODE["cash_settled"]
        if not re.fullmatch(r"[A-Z][A-Z0-9]{0,5}", name):
            return _CODE["bad_symbol"]
        return _CODE["adjusted"] if name[-1].isdigit() else 0

    # ---- contracts

    def by_symbol(self, symbols: pl.Series) -> tuple[Terms, NDArray[np.bool_]]:
        """The contracts of symbols in any spelling, and where a symbol could not be read."""
        codes = symbols.cast(self._symbols).to_physical()
        absent = codes.null_count() > 0
        numbers = (codes.fill_null(0) if absent else codes).to_numpy()
        if len(numbers) and int(numbers.max()) >= len(self._known.flaw):
            self._learn(symbols, codes)
        known = self._known
        if not len(known.flaw):  # no symbol at all
            known = _Known.of_nothing()
        at = numbers.astype(np.intp)  # `take` of such indices is several times as fast
        flaw, unread = known.flaw.take(at), known.unread.take(at)
        if absent:
            nulls = codes.is_null().to_numpy()
            flaw, unread = np.where(nulls, _CODE["missing_key"], flaw), unread | nulls
        terms = Terms(
            known.root.take(at),
            known.expiration.take(at),
            known.milli.take(at),
            known.put.take(at),
            flaw.astype(np.uint8),
        )
        return terms, unread

    def _learn(self, symbols: pl.Series, codes: pl.Series) -> None:
        """Parse the symbols that are new."""
        if codes.null_count():
            rows = np.flatnonzero(codes.is_not_null().to_numpy())
            codes, symbols = codes[rows], symbols[rows]
        numbers = codes.to_numpy().astype(np.int64)
        first = np.full(int(numbers.max(initial=-1)) + 1, -1, np.int64)
        first[numbers] = np.arange(len(numbers))  # a row of each, whichever
        at = first[len(self._known.flaw) :]
        at = at[at >= 0]
        new = pl.DataFrame({"symbol": symbols[at], "code": codes[at]})
        parsed = pl.concat(_parsed(new))
        names = parsed["root"].unique()
        numbered = pl.Series([self.root(name) for name in names], dtype=pl.Int32)
        flaws = pl.Series([self.root_flaw(name) for name in names], dtype=pl.UInt8)
        parsed = parsed.with_columns(
            number=pl.col("root").replace_strict(names, numbered, return_dtype=pl.Int32),
            flaw=pl.coalesce(
                "unread_flaw", pl.col("root").replace_strict(names, flaws, return_dtype=pl.UInt8)
            ),
        )
        self._known.add(parsed)

    def by_terms(
        self,
        root: NDArray[np.int32],
        expiration: pl.Series,
        strike: pl.Series,
        put: pl.Series,
    ) -> Terms:
        """The contracts of roots (by number), expirations, strikes in dollars and types."""
        absent = expiration.is_null() | strike.is_null() | put.is_null()
        exact = strike.fill_null(0.0).to_numpy() * 1000.0
        rounded = np.rint(np.clip(exact, 0.0, float(LARGEST_STRIKE) + 1.0))
        milli = rounded.astype(np.int32)
        bad = (np.abs(exact - rounded) > _TOLERANCE) | (milli < 1) | (milli > LARGEST_STRIKE)
        flaw_of_root = np.array([self.root_flaw(name) for name in self.roots] or [0], np.uint8)
        flaw = flaw_of_root[root]
        flaw = np.where(bad & (flaw == 0), _CODE["bad_symbol"], flaw)
        if absent.any():
            flaw = np.where(absent.to_numpy(), _CODE["missing_key"], flaw)
        days = expiration.to_physical().fill_null(0).to_numpy()
        types = put.fill_null(False).to_numpy()
        return Terms(root, days, milli, types, flaw.astype(np.uint8))


_FIELDS = ("code", "symbol", "root", "expiration", "milli", "put", "unread_flaw")


def _parsed(new: pl.DataFrame) -> list[pl.DataFrame]:
    """The fields of symbols: of those in the usual spelling, and then of all others, if any.

    The usual one, a root and fifteen characters, is cut into its fields by position: a regular
    expression that takes it apart takes as long as all else of an import.
    """
    compact, tail = pl.col("compact"), pl.col("tail")
    letters = (compact.str.len_bytes().cast(pl.Int64) - _TAIL).clip(0)
    dated = pl.col("expiration").is_not_null() & (pl.col("milli") > 0)
    # as one query: each waits until Polars' threads, which parse the next blocks, have time for it
    fields = (
        new.lazy()
        .with_columns(compact=pl.col("symbol").str.replace_all(" ", "", literal=True))
        .with_columns(root=compact.str.slice(0, letters), tail=compact.str.tail(_TAIL))
        .with_columns(
            expiration=("20" + tail.str.head(6)).str.to_date("%Y%m%d", strict=False),
            milli=tail.str.tail(8).cast(pl.Int64, strict=False),
            put=tail.str.slice(6, 1) == "P",
            unread_flaw=pl.lit(None, pl.UInt8),
        )
        .with_columns(read=compact.str.contains(_USUAL) & dated)
        .select(*_FIELDS, "read")
        .collect()
    )
    read = fields["read"]
    if read.all():  # to compile the expressions for others takes 4 ms, even of no symbol
        return [_numeric(fields)]
    return [_numeric(fields.filter(read)), _numeric(_fields_of_others(new.filter(~read)))]


def _fields_of_others(new: pl.DataFrame) -> pl.DataFrame:
    """The fields of symbols in any spelling; those that cannot be read have `unread_flaw`."""
    written = osi.normalised(pl.col("symbol"))
    new = new.select("code", "symbol", written=written)
    new = new.with_columns(readable=osi.is_osi(pl.col("written")))
    found = [
        (_leading(symbol), None if readable else _unread_flaw(symbol))
        for symbol, readable in new.select("symbol", "readable").iter_rows()
    ]
    written = pl.col("written")
    return new.select(
        "code",
        "symbol",
        root=pl.when("readable")
        .then(osi.root(written))
        .otherwise(pl.Series([root for root, _ in found], dtype=pl.String)),
        expiration=osi.expiration(written),
        milli=osi.strike_milli(written),
        put=osi.option_type(written) == "P",
        unread_flaw=pl.Series([flaw for _, flaw in found], dtype=pl.UInt8),
    )


def _numeric(fields: pl.DataFrame) -> pl.DataFrame:
    """The columns `_FIELDS`, days as numbers, and 0 for what could not be read."""
    numbers = {
        "expiration": pl.col("expiration").to_physical().fill_null(0),
        "milli": pl.col("milli").fill_null(0),
        "put": pl.col("put").fill_null(False),
    }
    return fields.select(numbers.get(column, pl.col(column)).alias(column) for column in _FIELDS)


# of a strike from whole thousandths of a dollar: 66.67 as a 32-bit number is off by less
_TOLERANCE = 0.25


class _Known:
    """The terms of each symbol that was parsed, by its number."""

    def __init__(self) -> None:
        self.root = np.empty(0, np.int32)
        self.expiration = np.empty(0, np.int32)
        self.milli = np.empty(0, np.int32)
        self.put = np.empty(0, np.bool_)
        self.flaw = np.empty(0, np.uint8)
        self.unread = np.empty(0, np.bool_)

    @classmethod
    def of_nothing(cls) -> "_Known":
        """One contract that is missing."""
        made = cls()
        made.root = made.expiration = made.milli = np.zeros(1, np.int32)
        made.put, made.flaw = np.zeros(1, np.bool_), np.ones(1, np.uint8)
        made.unread = np.ones(1, np.bool_)
        return made

    def add(self, parsed: pl.DataFrame) -> None:
        """Add symbols by their codes, which follow those that are known."""
        if parsed.is_empty():
            return
        at = parsed["code"].to_numpy()
        size = int(at.max()) + 1
        unread = parsed["unread_flaw"].is_not_null().to_numpy()
        self.root = _put(self.root, size, at, parsed["number"].to_numpy())
        self.expiration = _put(self.expiration, size, at, parsed["expiration"].to_numpy())
        self.milli = _put(self.milli, size, at, parsed["milli"].to_numpy())
        self.put = _put(self.put, size, at, parsed["put"].to_numpy())
        self.flaw = _put(self.flaw, size, at, parsed["flaw"].to_numpy())
        self.unread = _put(self.unread, size, at, unread)


def _put(held: NDArray, size: int, at: NDArray, values: NDArray) -> NDArray:  # type: ignore[type-arg]
    """The array, grown to `size`, with values at some places."""
    grown = np.zeros(max(size, len(held)), held.dtype)
    grown[: len(held)] = held
    grown[at] = values
    return grown


def _leading(symbol: str) -> str:
    found = re.match(r"[A-Z]{1,6}", symbol.strip().upper().removeprefix("O:"))
    return found[0] if found else ""


def _unread_flaw(symbol: str) -> int:
    """An old root that ends in a digit is that of an adjusted contract."""
    short = symbol.strip()
    adjusted = len(short) <= _LONGEST_ROOT and _ADJUSTED.fullmatch(short)
    return _CODE["adjusted" if adjusted else "bad_symbol"]


def underlying_name(given: str) -> str:
    """The name of an underlying as it is written here: BRK.B for BRK_B, BRK/B; SPX for ^SPX.

    >>> [underlying_name(name) for name in (" brk_b", "BRK/B", "^SPX", "TSLA")]
    ['BRK.B', 'BRK.B', 'SPX', 'TSLA']
    """
    name = given.strip(" \t\"'").upper().lstrip("^$")
    return re.sub(r"[ _/.-]+", ".", name).strip(".")


def mismatch(read: Terms, stated: Terms) -> NDArray[np.bool_]:
    """Where symbols contradict the terms in other columns; missing ones contradict nothing.

    Until 2015 monthly contracts expired on a Saturday, which the symbol bears, where some vendors
    state the Friday, the last day of trading.
    """
    known = (read.flaw != _CODE["missing_key"]) & (stated.flaw != _CODE["missing_key"])
    later = read.expiration - stated.expiration
    saturday = (later == 1) & ((read.expiration + 3) % 7 == _SATURDAY)
    same = ((later == 0) | saturday) & (read.milli == stated.milli) & (read.put == stated.put)
    found: NDArray[np.bool_] = known & ~same
    return found


def code(reason: str) -> int:
    """The position of a reason in `REASONS`."""
    return _CODE[reason]


def names(codes: Iterable[int]) -> list[str]:
    """The reasons at some positions."""
    return [REASONS[each] for each in codes]
