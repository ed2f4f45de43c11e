"""Checks that a lake may be written into a folder, and temporary folders inside a lake.

Files that wheelvec did not write are never changed. A lake is not mixed with other files either,
because no later command could distinguish the two.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from wheelvec.lake import files, manifest, parquet
from wheelvec.model import atomic
from wheelvec.model.addresses import refuse_address
from wheelvec.model.errors import LakeError, listed
from wheelvec.tables.validation import TABLES

# the folders that a lake has beside its tables
BESIDE = ("answers", "quote_ages", "underlying_minutes", "solved_chains")
STAGING, SUMMARIES = ".staging", ".summaries"
_OURS = {*TABLES, *BESIDE, "splits", "splits.csv", "dividends.csv"}
# hidden items of a lake; and items that operating systems, version control and file systems
# make in any folder
_HIDDEN = {manifest.FOLDER, STAGING, SUMMARIES, ".incoming", files.LOCK}
_ANYWHERE = {".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore", ".gitkeep", "lost+found"}
# the index of a saved result or sweep, and a file that is always beside it
_RESULTS = {"result.json": "records.parquet", "sweep.json": "frame.parquet"}
_MONTH = re.compile(r"\d{4}-\d{2}\.parquet")
_TRIES = 5
_STAGED = re.compile(r"\d+\.[0-9a-f]{8}")


def check_writable(root: Path) -> None:
    """Refuse a folder that is neither a lake, nor empty, nor yet to be made.

    Raises:
        LakeError: for an address of an object store; naming what was found: a saved result, a
            project, other files.
    """
    refuse_address(root, "the lake")
    _refuse_within_a_result(root)
    try:
        with os.scandir(root) as items:
            found = sorted(item.name for item in items)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise LakeError(f"{root} is no folder: a lake is one; choose another") from None
    except OSError as error:
        raise LakeError(f"{root} cannot be read: {error.strerror}") from error
    strange = [name for name in found if not _is_ours(name)]
    for name in set(found) & {*TABLES, *BESIDE}:
        strange += [f"{name}/{other}" for other in _strange_in(root / name)]
    strange.sort(key=lambda name: name not in _RESULTS)  # files of results first
    if strange and not _is_lake(root, set(found)):
        raise LakeError(
            f"{root} is no lake, and is left as it is: it holds {listed(strange, most=5)}; "
            "choose a folder that is empty, a lake, or not there yet"
        )


def _refuse_within_a_result(root: Path) -> None:
    for above in root.resolve().parents:
        if any(
            (above / index).is_file() and (above / beside).is_file()
            for index, beside in _RESULTS.items()
        ):
            raise LakeError(f"{root} is in {above}, a saved result; choose a folder beside it")


def _is_ours(name: str) -> bool:
    return name in _OURS or name in _HIDDEN or name in _ANYWHERE or files.is_temporary(name)


def _strange_in(folder: Path) -> list[str]:
    """The items of a table's folder that are no folders of underlyings.

    "(a file)" if it is no folder.
    """
    if not folder.is_dir():
        return ["(a file)"]
    with parquet.reported(folder, "cannot be read"), os.scandir(folder) as items:
        return sorted(
            item.name
            for item in items
            if not (item.name.startswith(("underlying=", ".")) or item.name in _ANYWHERE)
        )


def _is_lake(root: Path, found: set[str]) -> bool:
    """Whether a folder has manifests or a month's file, and so is a lake."""
    if (root / manifest.FOLDER).is_dir():
        return True
    places = (
        place
        for name in sorted(found & set(TABLES))
        for place in (root / name).glob("underlying=*")
    )
    return any(_MONTH.fullmatch(path.name) for place in places for path in place.glob("*.parquet"))


# ---- temporary folders


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """Make a hidden temporary folder in a lake, and remove it when the block ends.

    The lake's folder is made if need be, and removed again if it stays empty. The temporary folders
    of killed processes are removed too: a folder is locked as long as its process runs.

    Raises:
        LakeError: if it cannot be written.
    """
    made, folder = list[Path](), None
    remove_staged(root)
    try:
        with contextlib.ExitStack() as locks:
            folder = _reserved(root / STAGING, locks, made)
            yield folder
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for empty in (root / STAGING, root) if root.absolute() in made else (root / STAGING,):
            with contextlib.suppress(OSError):
                empty.rmdir()


def _reserved(place: Path, locks: contextlib.ExitStack, made: list[Path]) -> Path:
    """Make and lock a folder; `made` gets it and those above that were made.

    Another process may remove it as stale before it is locked, and `place` while it is empty; then
    another one is made.
    """
    for further in range(_TRIES - 1, -1, -1):
        folder = place / f"{os.getpid()}.{secrets.token_hex(4)}"
        try:
            with atomic.writing(folder):
                files.make(folder, made)
            locks.enter_context(files.locked(folder, wait=False))
        except LakeError:
            if not further:
                raise
            continue
        if (folder / files.LOCK).exists():
            return folder
    raise LakeError(f"{place}: cannot be written: no folder there stays")


def remove_staged(root: Path) -> None:
    """Remove the temporary folders of killed processes from a lake."""
    with contextlib.suppress(OSError):
        for folder in sorted((root / STAGING).iterdir()):
            if _STAGED.fullmatch(folder.name) and folder.is_dir():
                with contextlib.suppress(LakeError), files.locked(folder, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
        (root / STAGING).rmdir()
