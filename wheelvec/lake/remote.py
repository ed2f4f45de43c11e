"""A lake in an object store, which is only read (data.md).

The manifests say which files it has; a file that none of them lists is not read. A store reports no
time of modification through Polars, and to hash every byte of a file is to fetch it whole. So what
footers state (days, counts, digests of the content) is taken from them alone, and a month is
fetched whole and compared with the digest in its footer when any of its rows is first read. Later
reads of some days or columns fetch these alone, if the footer is still the same.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

import polars as pl

from wheelvec.lake import listing, manifest, parquet, splits
from wheelvec.lake.lake import EVER, BaseLake, Lake, successors_of, without_quotes
from wheelvec.lake.object_store import Address, MissingError
from wheelvec.lake.parquet import Footer, MonthKey, Span
from wheelvec.model import osi
from wheelvec.model.errors import InputError, LakeError
from wheelvec.tables import validation
from wheelvec.tables.validation import TABLES

_THREADS = 16  # of small requests, which wait and do not compute
_TRIES = 3  # attempts to read files that are being replaced
_MANIFEST = f"{manifest.FOLDER}/*/manifest.json"

T = TypeVar("T")
Found = TypeVar("Found")
_Key = tuple[str, str, dt.date]  # table, underlying, first day of the month
_Held = list[tuple["MonthObject", Footer]]


def opened(
    path: str | Path,
    first: dt.date,
    last: dt.date,
    refuse: listing.Refuse | None = None,
    symbols: Iterable[str] | None = None,
    renames: pl.DataFrame | None = None,
    options: Mapping[str, Any] | None = None,
) -> "Lake | RemoteLake":
    """The lake in a folder or at an address, by `Lake.open` or `RemoteLake.open`.

    Args:
        path: the folder or the address.
        first: as there, and so all but the last.
        last: likewise.
        refuse: likewise.
        symbols: likewise.
        renames: likewise.
        options: the `storage_options` of an object store.

    Raises:
        InputError: as there; for an address of another kind; for options of a folder.
        LakeError: as there.
    """
    address = Address.of(path, options)
    if address is not None:
        return RemoteLake.open(address, first, last, refuse, symbols, renames)
    if options is not None:
        raise InputError(
            f"storage_options are for an object store, and {path} is a folder; "
            "expected s3://bucket/prefix or gs://bucket/prefix, or no storage_options"
        )
    return Lake.open(path, first, last, refuse, symbols, renames)


@dataclass(frozen=True)
class MonthObject(MonthKey):
    """The object of a month in a store."""

    address: Address

    @property
    def place(self) -> str:
        """The address."""
        return self.address.url

    def footer(self) -> Footer:
        """The footer as it is stated; that the rows fit is verified where they are read.

        Raises:
            LakeError: if the object is missing, cannot be read, is foreign or misplaced.
        """
        try:
            metadata = self.address.metadata()
        except MissingError:
            raise self.refuse(
                "is missing: the manifest of its underlying lists it; copy the lake there again"
            ) from None
        return parquet.stated_footer(self, metadata)


@dataclass
class _Fetched:
    """The fetched metadata of a lake: footers, and those of the months whose rows were verified."""

    footers: dict[_Key, Footer] = field(default_factory=dict)
    verified: dict[_Key, Footer] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoteLake(BaseLake):
    """The files that the manifests of a lake in an object store list, as `Lake` has a folder's.

    Attributes:
        root: the address.
        files: the addresses of the month files by table and underlying.
    """

    root: Address
    files: Mapping[str, Mapping[str, Mapping[dt.date, Address]]]
    fetched: _Fetched = field(default_factory=_Fetched, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """The pickled state: another process fetches for itself."""
        return vars(self) | {"fetched": _Fetched()}

    @classmethod
    def open(
        cls,
        root: Address,
        first: dt.date,
        last: dt.date,
        refuse: listing.Refuse | None = None,
        symbols: Iterable[str] | None = None,
        renames: pl.DataFrame | None = None,
    ) -> Self:
        """List the files of a lake by its manifests.

        Only manifests and the splits are fetched.

        Args:
            root: the address.
            first: the first day, inclusive.
            last: the last day, inclusive.
            refuse: called with address and error for each manifest that cannot be read; None: the
                error is raised.
            symbols: the underlyings to list, with those that they were renamed to; None: all.
            renames: further rows of splits that may rename them; None: the lake's alone.

        Raises:
            InputError: for a symbol of which the lake has no quotes.
            LakeError: if there is no lake, or it cannot be read; without `refuse`, the errors that
                it would be called with.
        """
        refuse = listing.raise_it if refuse is None else refuse
        stated = _splits(root, refuse)
        wanted = None if symbols is None else set(symbols)
        followed = wanted and wanted | successors_of(wanted, stated, renames)
        texts = _manifests(root) if followed is None else _manifests_of(root, followed)
        if not texts and (followed is None or not _manifests(root)):
            raise LakeError(
                f"{root} is no lake: it has no manifest; expected objects such as "
                f"{root}/{manifest.FOLDER}/underlying=TSLA/manifest.json, "
                "which are copied with the hidden folders of a lake"
            )
        held = _listed(root, texts, refuse)
        for symbol in sorted((wanted or set()) - set(held.get("option_quotes", {}))):
            allowed = _listed(root, _manifests(root), refuse).get("option_quotes", {})
            raise without_quotes(root, symbol, allowed)
        if followed is not None:  # a table that others have is one of this market too
            for name in TABLES:
                if name not in held and root.has_parquet(f"{name}/*/*.parquet"):
                    held[name] = {}
            if stated is not None:
                stated = stated.filter(pl.col("underlying").is_in(list(followed)))
        asked = None if wanted is None else frozenset(wanted)
        return cls(root, first, last, held, stated, asked)

    # ---- footers

    def symbols(self) -> tuple[str, ...]:
        """The underlyings that have quotes on `first` <= day <= `last`."""
        held = [self._keys("option_quotes", u) for u in self.underlyings("option_quotes")]
        self._fetch(keys[0] for keys in held if keys)
        return super().symbols()

    def span(self, name: str) -> Span | None:
        """The first and last day in a table; None without rows."""
        held = [key for u in self.underlyings(name) for key in self._keys(name, u)]
        months = [month for _, _, month in held]
        ends = {min(months), max(months)} if months else set()
        self._fetch(key for key in held if key[2] in ends)
        return super().span(name)

    def aside(self) -> pl.DataFrame:
        """The counts of rows set aside when the files were written, `validation.SET_ASIDE`."""
        for name in self.tables:
            self._fetch(key for u in self.underlyings(name) for key in self._keys(name, u))
        return super().aside()

    def digest(self, name: str, underlying: str, month: dt.date) -> str | None:
        """The content digest of a month; None without rows.

        The footers of all months of the underlying are fetched: whoever asks for one digest asks
        for the others.
        """
        self._fetch(self._keys(name, underlying))
        return super().digest(name, underlying, month)

    def verified(self, name: str, underlying: str, month: dt.date) -> Footer:
        """The footer of a month, once its rows are verified.

        Raises:
            LakeError: if the object is missing, damaged or misplaced.
        """
        self._read(name, underlying, [month], EVER)
        return self._footer(name, underlying, month)

    def bytes_of(self, name: str, underlying: str, month: dt.date) -> None:
        """None: Polars reports no sizes of objects."""

    def _keys(self, name: str, underlying: str) -> list[_Key]:
        return [(name, underlying, month) for month in self.months(name, underlying)]

    def _object(self, key: _Key) -> MonthObject:
        name, underlying, month = key
        return MonthObject(TABLES[name], underlying, month, self.files[name][underlying][month])

    def _footer(self, name: str, underlying: str, month: dt.date) -> Footer:
        key = (name, underlying, month)
        self._fetch([key])
        return self.fetched.footers[key]

    def _fetch(self, keys: Iterable[_Key], again: bool = False) -> None:
        """Fetch the footers that are not known yet, or all of them again, side by side."""
        lacking = [key for key in keys if again or key not in self.fetched.footers]
        found = _side_by_side(lambda key: self._object(key).footer(), lacking)
        self.fetched.footers.update(zip(lacking, found, strict=True))

    # ---- rows

    def _read(
        self,
        name: str,
        underlying: str,
        months: Sequence[dt.date],
        days: Span,
        columns: Sequence[str] = (),
    ) -> pl.DataFrame:
        keys = [(name, underlying, month) for month in months]
        for _ in range(_TRIES):
            self._fetch(keys)
            footers = [self.fetched.footers[key] for key in keys]
            found = self._rows_as_stated(name, keys, footers, days, tuple(columns))
            if isinstance(found, pl.DataFrame):
                return found
            self._fetch(keys, again=True)
            if [self.fetched.footers[key] for key in keys] == footers:
                raise found
        raise self._object(keys[0]).refuse("was replaced while it was read, again and again")

    def _rows_as_stated(
        self,
        name: str,
        keys: Sequence[_Key],
        footers: Sequence[Footer],
        days: Span,
        columns: tuple[str, ...],
    ) -> pl.DataFrame | LakeError:
        """The rows on some days; an error if they are not those that the footers state."""
        wanted = [c for c in TABLES[name].schema if not columns or c in columns]
        held = [
            (key, footer)
            for key, footer in zip(keys, footers, strict=True)
            if footer.days and footer.days[0] <= days[1] and footer.days[1] >= days[0]
        ]
        if not held:
            return pl.DataFrame(schema=TABLES[name].schema).select(wanted)
        objects = [(self._object(key), footer) for key, footer in held]
        inside = pl.col(TABLES[name].day).is_between(*days)
        whole = all(days[0] <= f.days[0] and f.days[1] <= days[1] for _, f in held if f.days)
        part = not whole or len(wanted) < len(TABLES[name].schema)
        if part and all(self.fetched.verified.get(key) == footer for key, footer in held):
            found = _scanned(objects, wanted, None if whole else inside)
            self._fetch([key for key, _ in held], again=True)
            changed = [
                held_object
                for (key, footer), (held_object, _) in zip(held, objects, strict=True)
                if self.fetched.footers[key] != footer
            ]
            return changed[0].refuse("was replaced while it was read") if changed else found
        rows = _scanned(objects, list(TABLES[name].schema))
        if wrong := _not_as_stated(objects, rows):
            return wrong
        self.fetched.verified.update(held)
        return (rows if whole else rows.filter(inside)).select(wanted)


def _scanned(held: _Held, columns: list[str], inside: pl.Expr | None = None) -> pl.DataFrame:
    """Columns of the rows of some objects of one underlying, in their order.

    Raises:
        LakeError: naming the object that is missing, or cannot be read.
    """
    one, places = held[0][0], [each.place for each, _ in held]
    rows = parquet.scanned(one.table, places, one.schema, dict(one.address.options))
    rows = rows if inside is None else rows.filter(inside)
    try:
        return one.address.answer(rows.select(parquet.selected(columns, one.underlying)).collect)
    except LakeError:
        if len(held) > 1:  # one by one, for an error that names the object at fault
            return pl.concat([_scanned([each], columns, inside) for each in held])
        raise


def _not_as_stated(held: _Held, rows: pl.DataFrame) -> LakeError | None:
    """The error of the first object whose rows are not those that its footer states."""
    counts = [footer.rows for _, footer in held]
    if len(rows) != sum(counts):
        if len(held) == 1:
            return held[0][0].refuse(f"holds {len(rows):,} rows, expected {counts[0]:,}")
        alone = (_not_as_stated([each], _scanned([each], rows.columns)) for each in held)
        replaced = held[0][0].refuse("was replaced while it was read, or a month after it was")
        return next((error for error in alone if error), replaced)
    ends = pl.Series(counts).cum_sum().to_list()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    digests = validation.content_digests(held[0][0].table, rows, spans)
    for (each, footer), digest, (first, end) in zip(held, digests, spans, strict=True):
        if digest != footer.digest or not _follows_from_symbols(rows[first:end]):
            return each.refuse(
                "was altered since it was written: its rows do not match the digest in its footer"
            )
    return None


def _follows_from_symbols(rows: pl.DataFrame) -> bool:
    """Whether the fields of quotes that the digest leaves out are those of their symbols."""
    if "strike" not in rows.columns:
        return True
    symbol = pl.col("symbol")
    same = (
        pl.col("expiration").eq_missing(osi.expiration(symbol))
        & pl.col("option_type").eq_missing(osi.option_type(symbol))
        & pl.col("strike").eq_missing(osi.strike_milli(symbol) / 1000)
    )
    return bool(rows.select(same.all()).item())


def _side_by_side(fetch: Callable[[T], Found], wanted: Sequence[T]) -> list[Found]:
    """The values of a function that waits for the store, in order."""
    if len(wanted) < 2:
        return [fetch(each) for each in wanted]
    with ThreadPoolExecutor(min(_THREADS, len(wanted))) as pool:
        return list(pool.map(fetch, wanted))


# ---- manifests and splits


def _manifests(root: Address) -> dict[str, str]:
    """The texts of all manifests, by underlying."""
    return {
        unquote(path.split("/")[-2].partition("=")[2]): text
        for path, text in root.texts(_MANIFEST).items()
    }


def _manifests_of(root: Address, underlyings: Iterable[str]) -> dict[str, str]:
    """The texts of the manifests that some underlyings have."""
    names = sorted(underlyings)
    texts = _side_by_side(lambda name: _manifest(root, name).text(), names)
    return {name: text for name, text in zip(names, texts, strict=True) if text is not None}


def _manifest(root: Address, underlying: str) -> Address:
    return root / manifest.FOLDER / manifest.folder_name(underlying) / "manifest.json"


def _listed(
    root: Address, texts: Mapping[str, str], refuse: listing.Refuse
) -> dict[str, dict[str, dict[dt.date, Address]]]:
    """The files that manifests list, by table and underlying."""
    found: dict[str, dict[str, dict[dt.date, Address]]] = {}
    for underlying, text in texts.items():
        place = _manifest(root, underlying)
        try:
            held = manifest.months_of(place, text.encode(), underlying)
        except LakeError as error:
            refuse(place, error)
            continue
        for name in TABLES:
            if months := held.get(name):
                folder = root / name / manifest.folder_name(underlying)
                files = {month: folder / f"{month.isoformat()[:7]}.parquet" for month in months}
                found.setdefault(name, {})[underlying] = files
    return {name: found[name] for name in TABLES if name in found}


def _splits(root: Address, refuse: listing.Refuse) -> pl.DataFrame | None:
    place = root / splits.NAME
    try:
        text = place.text()
        return None if text is None else splits.rows_of(place, text)
    except LakeError as error:
        refuse(place, error)
        return None
