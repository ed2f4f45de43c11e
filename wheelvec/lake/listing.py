"""Which files a lake has, and which it should have.

Nothing that its manifests name is passed over, and nothing misplaced.
"""

import datetime as dt
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from urllib.parse import unquote

from wheelvec.lake import manifest, parquet
from wheelvec.model.errors import LakeError

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])\.parquet")

Months = dict[dt.date, Path]
Files = dict[str, dict[str, Months]]  # by table and underlying
Refuse = Callable[[Path, LakeError], None]


def raise_it(path: Path, error: LakeError) -> None:
    """Refuse by the error itself."""
    raise error


def files_of(
    root: Path,
    names: Collection[str],
    refuse: Refuse,
    remembered: Iterable[str] = (),
    wanted: set[str] | None = None,
) -> Files:
    """The months' files of those of some tables that a lake has, and of the underlyings that are
    wanted, None: all.

    What a manifest names and no folder has is among them, for it is missing: whoever reads it is
    told so. A lake of ten thousand underlyings of which one is wanted costs little more than the
    names of its folders.
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
    """The files that are there, and those that should be."""
    folder = root / name / manifest.folder_name(underlying)
    return {
        month: folder / f"{month.isoformat()[:7]}.parquet" for month in held.get(name, ())
    } | months


def missing(root: Path, name: str, underlying: str) -> list[Path]:
    """The months' files of one table of one underlying that should be there, and are not."""
    months = _with_missing(root, name, underlying, manifest.read(root, underlying), {})
    return [path for path in months.values() if not path.exists()]


def present(root: Path, name: str, underlying: str) -> Months:
    """The months' files of one table of one underlying that are there.

    Raises:
        LakeError: for a file out of place.
    """
    folder = root / name / manifest.folder_name(underlying)
    return _months(folder, raise_it) if folder.is_dir() else {}


def entries_of(folder: Path, refuse: Refuse = raise_it) -> list[os.DirEntry[str]]:
    """What a folder holds, hidden names (locks, unfinished files) left out."""
    try:
        with parquet.reported(folder, "cannot be read"), os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not entry.name.startswith(".")),
                key=lambda entry: entry.name,
            )
    except LakeError as error:
        refuse(folder, error)
        return []


def _underlyings(folder: Path, refuse: Refuse) -> list[str]:
    found = []
    for entry in entries_of(folder, refuse):
        key, _, name = entry.name.partition("=")
        if key == "underlying" and name and entry.is_dir():
            underlying = unquote(name)
            if manifest.folder_name(underlying) == entry.name:
                found.append(underlying)
            else:  # another folder may be of the same underlying
                _misplaced(
                    folder / entry.name,
                    f"its name to be {manifest.folder_name(underlying)}",
                    refuse,
                )
        elif entry.name.endswith(".parquet"):
            _misplaced(folder / entry.name, "underlying=<name>/<yyyy-mm>.parquet", refuse)
        elif entry.is_dir():
            for path in sorted((folder / entry.name).rglob("*.parquet")):
                _misplaced(path, "its folder to be named underlying=<name>", refuse)
    return found


def _months(folder: Path, refuse: Refuse) -> Months:
    found = {}
    for entry in entries_of(folder, refuse):
        if name := _MONTH.fullmatch(entry.name):
            found[dt.date(int(name[1]), int(name[2]), 1)] = folder / entry.name
        elif entry.name.endswith(".parquet"):
            _misplaced(folder / entry.name, "a name such as 2023-06.parquet", refuse)
    return found


def _misplaced(path: Path, expected: str, refuse: Refuse) -> None:
    refuse(path, LakeError(f"{path} is out of place; expected {expected}"))
