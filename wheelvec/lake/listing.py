"""The files that a lake has, those missing by its manifests, and misplaced ones."""

import datetime as dt
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from urllib.parse import unquote

from wheelvec.lake import manifest, parquet
from wheelvec.lake.object_store import Address
from wheelvec.model.errors import LakeError

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\.parquet")

Months = dict[dt.date, Path]
Files = dict[str, dict[str, Months]]  # by table and underlying
Refuse = Callable[[Path | Address, LakeError], None]


def raise_it(path: Path | Address, error: LakeError) -> None:
    """Raise the error of a refused path."""
    raise error


def files_of(
    root: Path,
    names: Collection[str],
    refuse: Refuse,
    remembered: Iterable[str] = (),
    wanted: set[str] | None = None,
) -> Files:
    """The month files of some tables, by table, underlying and first day of the month.

    They include the files that a manifest lists and that are missing: reading one raises an error.
    With `wanted`, the folders of other underlyings are not opened, so that this is fast in a lake
    of ten thousand underlyings.

    Args:
        root: the lake.
        names: the tables.
        refuse: called with path and error for each misplaced file and each folder or manifest that
            cannot be read.
        remembered: the underlyings that have a manifest.
        wanted: the underlyings to list; None: all.
    """
    found: Files = {}
    for name in names:
        if (root / name).exists():
            mine = [u for u in _underlyings(root / name, refuse) if wanted is None or u in wanted]
            found[name] = {u: _months(root / name / manifest.folder_name(u), refuse) for u in mine}
    for underlying in remembered:
        if wanted is None or underlying in wanted:
            _add_remembered(found, root, names, underlying, refuse)
    return found


def _add_remembered(
    found: Files, root: Path, names: Collection[str], underlying: str, refuse: Refuse
) -> None:
    try:
        held = manifest.read(root, underlying)
    except LakeError as error:
        refuse(manifest.path_of(root, underlying), error)
        return
    for name in names:
        if held.get(name):
            months = found.setdefault(name, {}).get(underlying, {})
            found[name][underlying] = _with_missing(root, name, underlying, held, months)


def _with_missing(
    root: Path, name: str, underlying: str, held: manifest.MonthsByTable, months: Months
) -> Months:
    """Add the files that the manifest lists to `months`."""
    lacking = held.get(name, set()) - months.keys()
    if not lacking:  # as of almost every underlying: making paths is most of listing a lake
        return months
    folder = root / name / manifest.folder_name(underlying)
    return {month: folder / f"{month.isoformat()[:7]}.parquet" for month in lacking} | months


def missing(root: Path, name: str, underlying: str) -> list[Path]:
    """The month files of one table of one underlying that its manifest lists and are missing."""
    months = _with_missing(root, name, underlying, manifest.read(root, underlying), {})
    return [path for path in months.values() if not path.exists()]


def present(root: Path, name: str, underlying: str) -> Months:
    """The month files that one table of one underlying has, by first day of the month.

    Raises:
        LakeError: for a misplaced file.
    """
    folder = root / name / manifest.folder_name(underlying)
    return _months(folder, raise_it) if folder.is_dir() else {}


def items_of(folder: Path, refuse: Refuse = raise_it) -> list[os.DirEntry[str]]:
    """The items of a folder by name, without hidden ones (locks, unfinished files)."""
    try:
        with parquet.reported(folder, "cannot be read"), os.scandir(folder) as items:
            return sorted(
                (item for item in items if not item.name.startswith(".")),
                key=lambda item: item.name,
            )
    except LakeError as error:
        refuse(folder, error)
        return []


def _underlyings(folder: Path, refuse: Refuse) -> list[str]:
    found = []
    for item in items_of(folder, refuse):
        key, _, name = item.name.partition("=")
        if key == "underlying" and name and item.is_dir():
            underlying = unquote(name)
            if manifest.folder_name(underlying) == item.name:
                found.append(underlying)
            else:  # else two folders may be of one underlying
                _misplaced(
                    folder / item.name,
                    f"its name to be {manifest.folder_name(underlying)}",
                    refuse,
                )
        elif item.name.endswith(".parquet"):
            _misplaced(folder / item.name, "underlying=<name>/<yyyy-mm>.parquet", refuse)
        elif item.is_dir():
            for path in sorted((folder / item.name).rglob("*.parquet")):
                _misplaced(path, "its folder to be named underlying=<name>", refuse)
    return found


def _months(folder: Path, refuse: Refuse) -> Months:
    found = {}
    for item in items_of(folder, refuse):
        if name := _MONTH.fullmatch(item.name):
            found[dt.date(int(name[1]), int(name[2]), 1)] = Path(item.path)
        elif item.name.endswith(".parquet"):
            _misplaced(folder / item.name, "a name such as 2023-06.parquet", refuse)
    return found


def _misplaced(path: Path, expected: str, refuse: Refuse) -> None:
    refuse(path, LakeError(f"{path} is out of place; expected {expected}"))
