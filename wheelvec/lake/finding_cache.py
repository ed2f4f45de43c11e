"""A cache of the findings of `check` on whole underlyings, in their lake (docs/data.md).

    lake/.summaries/<digest>.zip

Of an underlying whose files have not changed the summaries need not be joined again: contract by
contract over all months, that takes several times as long as to hash the files. The key is a digest
of all that its findings depend on: the digests of its files, which `check` verifies in any case,
the sessions, the stated splits, its damaged months, and the code.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from wheelvec.lake import files, kept_frames, place
from wheelvec.lake.kept_frames import Frames, Kept
from wheelvec.lake.summaries import Footers, Month
from wheelvec.tables.sessions import Sessions

_PACKAGE = Path(__file__).parent.parent
_PACKAGES = ("model", "kernels", "tables", "lake")  # their code decides a finding


def keys_of(
    footers: Footers, sessions: Sessions, splits: pl.DataFrame | None, unknown: Iterable[Month]
) -> dict[str, str]:
    """A digest of all that the findings of each underlying depend on, by underlying.

    Args:
        footers: the verified footers of all files of the lake.
        sessions: the sessions of the calendar over the lake.
        splits: `schemas.SPLITS` of the lake; None without any.
        unknown: the months whose file is damaged.
    """
    said: dict[str, list[Any]] = defaultdict(list)
    for (table, underlying, month), footer in sorted(footers.items(), key=lambda item: item[0]):
        said[underlying].append([table, str(month), footer.file_digest])
    for table, underlying, month in sorted(unknown):
        said[underlying].append([table, str(month), "damaged"])
    for row in () if splits is None else splits.rows():
        said[row[0]].append(list(map(str, row)))
    shared = basis(sessions, _PACKAGES)
    return {
        underlying: files.digest_of(json.dumps([underlying, shared, mine]).encode())
        for underlying, mine in said.items()
    }


def basis(sessions: Sessions, packages: tuple[str, ...]) -> list[str]:
    """The common inputs of the findings of all underlyings: code, Polars, and the sessions.

    Args:
        sessions: the sessions of the calendar over the data.
        packages: the packages of wheelvec whose modules decide a finding.
    """
    found = [_code(packages), pl.__version__, sessions.calendar, sessions.timezone]
    dates = files.digest_of(sessions.dates.tobytes())
    return [*found, str(sessions.first), str(sessions.last), dates]


@cache
def _code(packages: tuple[str, ...]) -> str:
    """A digest of the modules of some packages."""
    paths = [path for name in packages for path in sorted((_PACKAGE / name).glob("*.py"))]
    return files.digest_of(b"".join(path.read_bytes() for path in paths))


def read(root: Path, schemas: Mapping[str, pl.Schema]) -> dict[str, Frames]:
    """The frames kept in the lake at `root`, by key, with the columns of `schemas`."""
    return {key: held.frames for key, held in kept_frames.read(_folder(root), schemas).items()}


def write(root: Path, found: Mapping[str, Frames]) -> None:
    """Keep findings by key, in place of those before; no error if that fails."""
    kept_frames.write(_folder(root), {key: Kept(frames, {}) for key, frames in found.items()})


def _folder(root: Path) -> Path:
    return root / place.SUMMARIES
