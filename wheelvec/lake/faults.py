"""The files of a lake that `check` names: damaged, misplaced, unfinished, and no part of a lake."""

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from wheelvec.lake import listing, manifest, place, solved, splits
from wheelvec.lake.answers import KEPT_BESIDE
from wheelvec.lake.lake import Lake
from wheelvec.lake.object_store import Address
from wheelvec.lake.parquet import MonthFile
from wheelvec.model.errors import LakeError

Refused = tuple[Path | Address, LakeError]

_UNFINISHED = re.compile(r"\..+\.tmp")
FILES = pl.Schema({"path": pl.String, "finding": pl.String, "reason": pl.String})


def _named(root: Path | Address, finding: str, refused: Iterable[Refused]) -> pl.DataFrame:
    rows = [
        (within(path, root), finding, str(error).removeprefix(f"{path} "))
        for path, error in refused
    ]
    return pl.DataFrame(sorted(rows), schema=FILES, orient="row")


def within(path: Path | Address, root: Path | Address) -> str:
    """The path of a file within its lake, both in a folder or both in an object store."""
    if isinstance(path, Path) and isinstance(root, Path):
        return path.relative_to(root).as_posix()
    return str(path).removeprefix(f"{root}/")


def refused_files(
    root: Path | Address, refused: list[Refused], damaged: list[Refused]
) -> pl.DataFrame:
    """`FILES` rows of the misplaced files, and then of the damaged ones."""
    unreadable = [
        (path, error)
        for path, error in refused
        if within(path, root).split("/")[0] in (manifest.FOLDER, splits.NAME)
    ]
    others = [found for found in refused if found not in unreadable]
    return pl.concat(
        [_named(root, "misplaced", others), _named(root, "damaged", damaged + unreadable)]
    )


def damaged_beside(root: Path, refused: list[Refused], pool: ThreadPoolExecutor) -> list[Refused]:
    """The damaged files that a lake keeps beside its tables; misplaced ones go to `refused`."""
    names = [table.name for table in KEPT_BESIDE]
    known = [path for path, _ in refused]  # a manifest that cannot be read has been reported
    remembered = [u for u in manifest.underlyings(root) if manifest.path_of(root, u) not in known]
    files = listing.files_of(
        root, names, lambda path, error: refused.append((path, error)), remembered
    )
    months = [
        MonthFile(table, underlying, month, path)
        for table in KEPT_BESIDE
        for underlying, held in files.get(table.name, {}).items()
        for month, path in held.items()
    ]
    return [
        (file.path, error)
        for file, error in zip(months, pool.map(_error, months), strict=True)
        if error
    ]


def _error(file: MonthFile) -> LakeError | None:
    try:
        file.footer()
    except LakeError as error:
        return error
    return None


def others(lake: Lake, refused: Iterable[Refused]) -> pl.DataFrame:
    """`FILES` rows of unfinished files, and of files that are no part of a lake.

    Other hidden files are ignored.
    """
    known = {
        path
        for found in lake.files.values()
        for months in found.values()
        for path in months.values()
    }
    known |= {path for path, _ in refused if isinstance(path, Path)} | {lake.root / splits.NAME}
    beside = {table.name for table in KEPT_BESIDE}
    rows = []
    for path in _walk(lake.root):
        first = path.relative_to(lake.root).parts[0]
        if first == place.STAGING or _UNFINISHED.fullmatch(path.name):
            rows.append(
                (path, "unfinished", "left by a write that did not end, unless one is under way")
            )
        elif first == solved.FOLDER and path.suffix == ".parquet" and solved.damaged(path):
            rows.append(
                (path, "passed_over", "was altered or cut: the chain is made anew from the quotes")
            )
        elif not (
            path in known
            or path.name.startswith(".")
            or first.startswith(".")
            or first in beside | {solved.FOLDER}
        ):
            rows.append((path, "passed_over", "no part of a lake: nothing reads it"))
    named = [
        (path.relative_to(lake.root).as_posix(), finding, reason)
        for path, finding, reason in sorted(rows)
    ]
    return pl.DataFrame(named, schema=FILES, orient="row")


def _walk(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder) / name for name in names)
