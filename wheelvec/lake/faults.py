"""The files of a lake that `check` names: damaged, misplaced, unfinished, and no part of a lake."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import polars as pl

from wheelvec.lake import listing, manifest, place, solved, splits
from wheelvec.lake.answers import KEPT_BESIDE
from wheelvec.lake.lake import Lake
from wheelvec.lake.object_store import Address
from wheelvec.lake.parquet import MonthFile
from wheelvec.model.errors import LakeError

Given = TypeVar("Given")
Found = TypeVar("Found")
Refused = tuple[Path | Address, LakeError]

_TASK = 32  # files, at most
_EACH = 4  # tasks for each thread, at least
_UNDER_WAY = "left by a write that did not end, unless one is under way"

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
        for file, error in zip(months, each_of(pool, _error, months), strict=True)
        if error
    ]


def _error(file: MonthFile) -> LakeError | None:
    try:
        file.footer()
    except LakeError as error:
        return error
    return None


def others(lake: Lake, refused: Iterable[Refused], pool: ThreadPoolExecutor) -> pl.DataFrame:
    """`FILES` rows of unfinished files, and of files that are no part of a lake.

    Other hidden files are ignored.
    """
    known = {
        str(path)
        for found in lake.files.values()
        for months in found.values()
        for path in months.values()
    }
    known |= {str(path) for path, _ in refused} | {str(lake.root / splits.NAME)}
    rows, chains, beside = [], list[str](), {table.name for table in KEPT_BESIDE}
    for path, first, name in _walk(lake.root):
        if first == place.STAGING or _UNFINISHED.fullmatch(name):
            rows.append((path, "unfinished", _UNDER_WAY))
        elif first == solved.FOLDER:
            if name.endswith(".parquet"):
                chains.append(path)
        elif not (
            path in known or name.startswith(".") or first.startswith(".") or first in beside
        ):
            rows.append((path, "passed_over", "no part of a lake: nothing reads it"))
    rows += [
        (path, "passed_over", "was altered or cut: the chain is made anew from the quotes")
        for path, damaged in zip(chains, each_of(pool, _is_damaged, chains), strict=True)
        if damaged
    ]
    named = [
        (Path(path).relative_to(lake.root).as_posix(), finding, reason)
        for path, finding, reason in sorted(rows)
    ]
    return pl.DataFrame(named, schema=FILES, orient="row")


def _is_damaged(path: str) -> bool:
    return solved.damaged(Path(path))


def _walk(root: Path) -> Iterator[tuple[str, str, str]]:
    """The path, the first folder below `root` (or the name), and the name of each file.

    As texts: a Path of each of many thousands takes longer than to look at it.
    """
    for folder, _, names in os.walk(root):
        inside = Path(folder).relative_to(root).parts
        for name in names:
            yield os.path.join(folder, name), inside[0] if inside else name, name  # noqa: PTH118


def each_of(
    pool: ThreadPoolExecutor, do: Callable[[Given], Found], given: Sequence[Given]
) -> Iterator[Found]:
    """The values of a function of many arguments, in order; a task computes several.

    A task of one small file takes as long to hand over as to do; few files may be large, and are
    divided so that no thread is left with most of them.
    """

    def some(part: Sequence[Given]) -> list[Found]:
        return [do(each) for each in part]

    size = max(1, min(_TASK, len(given) // (_EACH * pl.thread_pool_size())))
    for found in pool.map(some, (given[at : at + size] for at in range(0, len(given), size))):
        yield from found
