"""May a lake be written into a folder, and what in it is a lake's?

Nothing that wheelvec did not write is touched; and a lake is not mixed with other files either, for
then nobody, and no later command, could tell the two apart.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from wheelvec.lake import files, manifest, parquet
from wheelvec.model.errors import LakeError, listed
from wheelvec.tables.validation import TABLES

BESIDE = (
    "answers",
    "quote_ages",
    "underlying_minutes",
    "solved_chains",
)  # folders that a lake has beside its tables
STAGING = ".staging"
_OURS = {*TABLES, *BESIDE, "splits", "splits.csv", "dividends.csv"}
# what the project hides in a lake, and what operating systems, version control and file systems put
# into any folder
_HIDDEN = {manifest.FOLDER, STAGING, ".incoming", files.LOCK}
_ANYWHERE = {".DS_Store", "Thumbs.db", "desktop.ini", ".gitignore", ".gitkeep", "lost+found"}
_RESULTS = {
    "result.json": "records.parquet",
    "sweep.json": "frame.parquet",
}  # the index, and a file that is always beside it
_MONTH = re.compile(r"\d{4}-\d{2}\.parquet")
_TRIES = 5
_STAGED = re.compile(r"\d+\.[0-9a-f]{8}")


def check_writable(root: Path) -> None:
    """Do nothing for a lake, an empty folder, and one that does not exist yet.

    Raises:
        LakeError: naming what was found, for a folder that holds anything else: a result, a
            project, somebody's files.
    """
    _refuse_within_a_result(root)
    try:
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise LakeError(f"{root} is no folder: a lake is one; choose another") from None
    except OSError as error:
        raise LakeError(f"{root} cannot be read: {error.strerror}") from error
    strange = [name for name in found if not _is_ours(name)]
    for name in set(found) & {*TABLES, *BESIDE}:
        strange += [f"{name}/{other}" for other in _strange_in(root / name)]
    strange.sort(key=lambda name: name not in _RESULTS)  # what tells most stands first
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
            raise LakeError(f"{root} lies in {above}, a saved result; choose a folder beside it")


def _is_ours(name: str) -> bool:
    return name in _OURS or name in _HIDDEN or name in _ANYWHERE or files.is_temporary(name)


def _strange_in(folder: Path) -> list[str]:
    """What in the folder of a table is not the folder of an underlying.

    The folder itself, if it is none.
    """
    if not folder.is_dir():
        return ["(a file)"]
    with parquet.reported(folder, "cannot be read"), os.scandir(folder) as entries:
        return sorted(
            e.name
            for e in entries
            if not (e.name.startswith(("underlying=", ".")) or e.name in _ANYWHERE)
        )


def _is_lake(root: Path, found: set[str]) -> bool:
    """Whether a folder is a lake already, whatever else somebody keeps there.

    It has manifests, or a month's file.
    """
    if (root / manifest.FOLDER).is_dir():
        return True
    places = (
        place
        for name in sorted(found & set(TABLES))
        for place in (root / name).glob("underlying=*")
    )
    return any(_MONTH.fullmatch(path.name) for place in places for path in place.glob("*.parquet"))


# ---- a folder to work in


@contextlib.contextmanager
def staging(root: Path) -> Iterator[Path]:
    """A hidden folder within a lake, gone at the end.

    The lake's folder is made if need be, and removed again if it stays empty. Those of killed
    processes are removed too: each is locked for as long as its process lives.

    Raises:
        LakeError: if it cannot be written.
    """
    made, folder = not root.exists(), None
    remove_staged(root)
    try:
        with contextlib.ExitStack() as locks:
            folder = _reserved(root / STAGING, locks)
            yield folder
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for empty in (root / STAGING, root) if made else (root / STAGING,):
            with contextlib.suppress(OSError):
                empty.rmdir()


def _reserved(place: Path, locks: contextlib.ExitStack) -> Path:
    """A new folder whose lock is ours.

    Another process may take it for a stale one before it is locked: then there is another.
    """
    for _ in range(_TRIES):
        folder = place / f"{os.getpid()}.{secrets.token_hex(4)}"
        with files.writing(folder):
            folder.mkdir(parents=True)
        with contextlib.suppress(LakeError):
            locks.enter_context(files.locked(folder, wait=False))
            if (folder / files.LOCK).exists():
                return folder
    raise LakeError(f"{place}: cannot be written: no folder there stays")


def remove_staged(root: Path) -> None:
    """Remove what killed processes were staging in a lake."""
    with contextlib.suppress(OSError):
        for folder in sorted((root / STAGING).iterdir()):
            if _STAGED.fullmatch(folder.name) and folder.is_dir():
                with contextlib.suppress(LakeError), files.locked(folder, wait=False):
                    shutil.rmtree(folder, ignore_errors=True)
        (root / STAGING).rmdir()
