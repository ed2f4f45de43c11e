"""Layouts of vendors' end-of-day files: which column is which, declared in TOML files.

The ready layouts are the files in `layouts/`; docs/importing.md describes every key.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Self

from wheelvec.model.errors import ConfigError, DataError, InputError, listed, unknown_name
from wheelvec.model.toml import read_toml

Names = tuple[str, ...]

FOLDER = Path(__file__).parent / "layouts"
# The fields of a contract in a row; a wide row has the first of them once and the others twice.
SHARED = (
    *("underlying", "session", "root", "expiration", "strike"),
    *("price", "price_bid", "price_ask", "close", "deliverable"),
)
SIDED = ("symbol", "bid", "ask", "open", "high", "low", "last", "volume")
FIELDS = (*SHARED, "type", *SIDED)
BAR = ("open", "high", "low", "last", "volume")
PRICES = ("bid", "ask", "price", "price_bid", "price_ask", "close", "open", "high", "low", "last")
NUMBERS = (*PRICES, "strike", "volume")
# what may stand for a missing value, beside nothing at all
MISSING = ("NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "-", "--", "\\N")
_SIDES = {"calls": "C", "puts": "P"}
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_KEYS: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "form": str,
    "time": str,
    "timed": bool,
    "dates": list,
    "missing": list,
    "optional": list,
    "standard": list,
    "strike_unit": (int, float),
    "price_unit": (int, float),
    "file_symbol": str,
    "unreadable_symbols": str,
    "moment": str,
    "columns": dict,
    "calls": dict,
    "puts": dict,
    "moments": dict,
}


def normalised(name: str) -> str:
    """A column's name as it is compared: without blanks and brackets around it, in lower case.

    >>> normalised(" [QUOTE_DATE]")
    'quote_date'
    """
    return name.strip(" \t\r\n\"'[]\ufeff").lower()


@dataclass(frozen=True)
class Layout:
    """The layout of a vendor's files.

    Attributes:
        name: of a ready layout, or the path of a TOML file.
        title: the vendor and the product.
        wide: whether a row has a call and a put; else it is one contract.
        time: when the quotes stand, the exchange's clock ("16:15"); "" if that is not known.
        timed: whether quotes are kept with that time, so that `entry_time` applies to them; else
            they are the one snapshot of their session.
        dates: formats of dates, as in strftime.
        missing: texts that stand for a missing value.
        standard: texts of `deliverable` that mean 100 shares of the underlying.
        strike_unit: dollars of one unit of a strike.
        price_unit: dollars of one unit of a price.
        file_symbol: a pattern whose first group is the underlying in a file's name; "" for none.
        by_terms: whether a symbol that cannot be read is made of the other columns.
        columns: field -> names of its column, the first of which that a file has is read; of a
            wide layout the fields of call and put are named "C.bid", "P.bid".
        optional: fields that a file may lack.
    """

    name: str
    title: str
    wide: bool
    time: str = ""
    timed: bool = False
    dates: Names = ("%Y-%m-%d",)
    missing: Names = MISSING
    standard: Names = ("",)
    strike_unit: float = 1.0
    price_unit: float = 1.0
    file_symbol: str = ""
    by_terms: bool = False
    columns: Mapping[str, Names] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()

    @classmethod
    def named(cls, name: str | Path, moment: str | None = None) -> Self:
        """A ready layout by its name, or that of a TOML file.

        Args:
            name: such as "cboe", or a path that ends in .toml.
            moment: which of the layout's times to read, such as "eod" of cboe; None: its own.

        Raises:
            InputError: for an unknown name or moment.
            ConfigError: for a file that is no TOML, or no layout.

        Example:
            >>> Layout.named("cboe").time, Layout.named("cboe", "eod").time
            ('15:45', '16:00')
        """
        text = str(name)
        if text.lower().endswith(".toml"):
            return cls._parsed(text, read_toml(text), moment)
        if text not in ready():
            hint = "; a layout of your own is a path that ends in .toml"
            raise InputError(unknown_name("layout", text, ready()) + hint)
        return cls._parsed(text, read_toml(FOLDER / f"{text}.toml"), moment)

    @classmethod
    def _parsed(cls, name: str, declared: Mapping[str, Any], moment: str | None) -> Self:
        _check_keys(name, declared)
        wide = declared["form"] == "wide"
        columns = _columns(name, declared.get("columns", {}), "columns", FIELDS)
        for side, letter in _SIDES.items() if wide else ():
            found = _columns(name, declared.get(side, {}), side, SIDED)
            columns |= {f"{letter}.{field}": names for field, names in found.items()}
        time, timed = declared.get("time", ""), declared.get("timed", False)
        if moments := declared.get("moments", {}):
            wanted = declared["moment"] if moment is None else moment
            if wanted not in moments:
                raise InputError(f"layout {name}: " + unknown_name("time", wanted, moments))
            chosen = dict(moments[wanted])
            time, timed = chosen.pop("time", time), chosen.pop("timed", timed)
            columns |= _columns(name, chosen, f"moments.{wanted}", FIELDS)
        elif moment is not None:
            raise InputError(
                f"layout {name} has quotes of one time only: leave time={moment!r} out"
            )
        optional = frozenset(declared.get("optional", ()))
        if wide:
            optional |= {f"{letter}.{each}" for letter in "CP" for each in optional & set(SIDED)}
        made = cls(
            name=name,
            title=declared.get("title", name),
            wide=wide,
            time=time,
            timed=timed,
            dates=tuple(declared.get("dates", cls.dates)),
            missing=tuple(declared.get("missing", cls.missing)),
            standard=tuple(declared.get("standard", cls.standard)),
            strike_unit=float(declared.get("strike_unit", 1.0)),
            price_unit=float(declared.get("price_unit", 1.0)),
            file_symbol=declared.get("file_symbol", ""),
            by_terms=declared.get("unreadable_symbols", "aside") == "terms",
            columns=columns,
            optional=optional,
        )
        made._check()
        return made

    def _check(self) -> None:
        sides = [f"{letter}." for letter in "CP"] if self.wide else [""]
        needed = [f"{side}{each}" for side in sides for each in ("bid", "ask")]
        terms = ["expiration", "strike", *([] if self.wide else ["type"])]
        if not all(f"{side}symbol" in self.columns for side in sides) or self.wide:
            needed += terms
        if absent := [each for each in needed if each not in self.columns]:
            raise ConfigError(f"layout {self.name} names no column for {listed(absent)}")
        if self.time and not _CLOCK.fullmatch(self.time):
            raise ConfigError(f"layout {self.name}: time = {self.time!r}: expected such as '16:15'")
        if self.timed and not self.time:
            raise ConfigError(f"layout {self.name}: timed = true needs a time")
        for form in self.dates:
            _check_date_format(self.name, form)
        with _reported(self.name):
            re.compile(self.file_symbol)

    @property
    def after_close(self) -> bool:
        """Whether the quotes stand at the regular close of 16:00 or later."""
        return self.time >= "16:00"

    @property
    def needed(self) -> Names:
        """The first names of the columns that a file must have."""
        return tuple(names[0] for each, names in self.columns.items() if each not in self.optional)

    def matched(self, header: Sequence[str]) -> dict[str, int]:
        """Field -> position of its column in a header; fields of no column are left out."""
        at = {normalised(name): i for i, name in reversed(list(enumerate(header)))}
        found = {}
        for each, names in self.columns.items():
            here = [at[key] for name in names if (key := normalised(name)) in at]
            if here:
                found[each] = here[0]
        return found

    def refuse_doubled(self, name: str, header: Sequence[str]) -> None:
        """Refuse a header with a column that is read, twice.

        Args:
            name: of the file.
            header: the names of its columns.

        Raises:
            DataError: naming the column and both places.
        """
        folded = [normalised(each) for each in header]
        for at in self.matched(header).values():
            if folded.count(folded[at]) > 1:
                places = [str(i) for i, each in enumerate(folded, 1) if each == folded[at]]
                raise DataError(
                    f"{name}: the header has {header[at].strip()} as columns "
                    f"{' and '.join(places)}: expected it once"
                )

    def missing_from(self, header: Sequence[str]) -> list[str]:
        """The first names of the needed columns that a header lacks."""
        found = self.matched(header)
        return [
            names[0]
            for each, names in self.columns.items()
            if each not in found and each not in self.optional
        ]

    def refusal(self, header: Sequence[str]) -> str:
        """Why a header is not this layout's: the columns found and needed, and the likely layout.

        The text completes "<file> ...".
        """
        absent = self.missing_from(header)
        known = {normalised(name): name for name in header}
        close = [
            found[0] for name in absent if (found := get_close_matches(normalised(name), known, 1))
        ]
        like = [name for name in likely(header) if name != self.name]
        looks = f"; it looks like the layout {' or '.join(like)}" if like else ""
        if close and not like:
            looks = f"; did you mean {listed(known[each] for each in close)}?"
        return (
            f"is not of the layout {self.name}: it lacks the columns {listed(absent, 20)}; "
            f"found {listed((name.strip() for name in header), 40) or 'none'}; "
            f"needed {listed(self.needed, 40)}{looks}"
        )

    def symbol_of(self, path: Path) -> str | None:
        """The underlying that a file's name states; None if it states none."""
        found = re.match(self.file_symbol, path.name, re.IGNORECASE) if self.file_symbol else None
        return found[1] if found else None


@cache
def ready() -> Names:
    """The names of the ready layouts, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def likely(header: Sequence[str]) -> list[str]:
    """The ready layouts all of whose needed columns a header has."""
    found = []
    for name in ready():
        moments: Sequence[str | None] = list(read_toml(FOLDER / f"{name}.toml").get("moments", {}))
        layouts = [Layout.named(name, moment) for moment in moments or [None]]
        if any(not layout.missing_from(header) for layout in layouts):
            found.append(name)
    return found


# ---- checks of a TOML file


def _check_keys(name: str, declared: Mapping[str, Any]) -> None:
    for key, value in declared.items():
        if key not in _KEYS:
            raise ConfigError(f"layout {name}: " + unknown_name("key", key, _KEYS))
        kind = _KEYS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            expected = "a number" if isinstance(kind, tuple) else f"a {kind.__name__}"
            raise ConfigError(f"layout {name}: {key} = {value!r}: expected {expected}")
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise ConfigError(f"layout {name}: {key} = {value!r}: expected a list of texts")
    if declared.get("form") not in ("long", "wide"):
        raise ConfigError(
            f"layout {name}: form = {declared.get('form')!r}: expected 'long' (a row a contract) "
            "or 'wide' (a call and a put in a row)"
        )
    if declared.get("unreadable_symbols", "aside") not in ("aside", "terms"):
        raise ConfigError(f"layout {name}: unreadable_symbols: expected 'aside' or 'terms'")
    if "moments" in declared and declared.get("moment") not in declared["moments"]:
        raise ConfigError(f"layout {name}: moment must be one of {listed(declared['moments'])}")
    for key in ("strike_unit", "price_unit"):
        if not 0 < declared.get(key, 1.0) < float("inf"):
            raise ConfigError(
                f"layout {name}: {key} = {declared[key]!r}: expected a number above 0"
            )
    for each in declared.get("optional", ()):
        if each not in FIELDS:
            raise ConfigError(f"layout {name}: optional: " + unknown_name("field", each, FIELDS))


def _columns(
    name: str, declared: Mapping[str, Any], section: str, allowed: Sequence[str]
) -> dict[str, Names]:
    found = {}
    for each, names in declared.items():
        if each not in allowed:
            raise ConfigError(f"layout {name}: {section}: " + unknown_name("field", each, allowed))
        listing = [names] if isinstance(names, str) else names
        if not (isinstance(listing, list) and listing and all(isinstance(n, str) for n in listing)):
            raise ConfigError(
                f"layout {name}: {section}.{each} = {names!r}: expected the name of a column, "
                "or a list of names"
            )
        found[each] = tuple(listing)
    return found


def _check_date_format(name: str, form: str) -> None:
    day = dt.date(2023, 12, 31)
    try:
        whole = dt.datetime.strptime(day.strftime(form), form).date() == day
    except ValueError:
        whole = False
    if not whole:
        raise ConfigError(
            f"layout {name}: dates: {form!r} is no format of a date, such as '%Y-%m-%d'"
        )


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Turn an error of a pattern into a ConfigError that names the layout."""
    try:
        yield
    except re.error as error:
        raise ConfigError(f"layout {name}: file_symbol: {error}") from None
