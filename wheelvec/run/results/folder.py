"""The folder of a saved result or sweep: atomic replacement, one writer at a time.

A writer locks the folder and writes all files and the index to a hidden folder inside. One rename
of that folder commits them: from then on they are the result, and the next process that opens the
folder moves them to their names if the writer did not. Before the rename, the saved files are
unchanged. Only files that the index lists, with the digests that it states, are ever replaced.
"""

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from wheelvec.lake import files, manifest
from wheelvec.model import atomic
from wheelvec.model.addresses import address_of, refuse_address
from wheelvec.model.config import field_names
from wheelvec.model.errors import LakeError, listed
from wheelvec.run.results.index import FORMAT, Index, Kind, digest_of_file, read_index

T = TypeVar("T")
STAGED, COMMIT = ".wheelvec.staged", ".wheelvec.commit"
CHUNK = re.compile(r"(\d{9,})-(\d{9,})\.([0-9a-f]{32})\.parquet")
JOB_RESULT = re.compile(r"(wheelvec-[0-9a-f]{32}|cut)\.[0-9a-f]{32}\.part(ial)?")
WRITER_WAIT = 60.0  # seconds to wait for another writer, by one that has all its frames already
MOVE_WAIT = 1.0  # seconds in which a running writer moves its committed files


def keep_apart(out: str | Path, lake: str | Path | None) -> None:
    """Refuse an address as `out`, and a folder that is the lake, is in it, or contains it.

    Raises:
        LakeError: for an address of an object store; if one of the two folders is the other, or is
            in it; symbolic links are followed.
    """
    refuse_address(out, "out")
    if lake is None or address_of(lake) is not None:
        return
    for inner, outer in ((out, lake), (lake, out)):
        if _is_in(Path(inner).resolve(), Path(outer).resolve()):
            what = (
                "are the same folder"
                if _is_in(Path(outer).resolve(), Path(inner).resolve())
                else "are one inside the other"
            )
            raise LakeError(
                f"out {out} and lake {lake} {what}; nothing was written, "
                "choose a folder beside the lake"
            )


def _is_in(inner: Path, outer: Path) -> bool:
    return any(folder == outer or _same(folder, outer) for folder in (inner, *inner.parents))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


class Folder:
    """The folder of one saved result or sweep, or a folder that may become one.

    Args:
        out: the folder; it need not exist. A symbolic link to a folder means that folder.
        kind: whether of a result or a sweep, and its files.

    Raises:
        LakeError: if `out` is an address of an object store, a file, or a link to nothing.
    """

    def __init__(self, out: str | Path, kind: Kind) -> None:
        refuse_address(out, f"the folder of a {kind.name}")
        self.path, self.kind = Path(out), kind
        with self._reading():
            with contextlib.suppress(FileNotFoundError):
                self.path.lstat()  # raises for a name that no file can have
            if self.path.is_symlink() and not self.path.exists():
                raise LakeError(
                    f"{out}: a symbolic link to nothing; expected a folder for a {kind.name}"
                )
            if self.path.exists() and not self.path.is_dir():
                raise LakeError(f"{out}: a file; expected a folder for a {kind.name}")

    @property
    def index_path(self) -> Path:
        """The path of the index."""
        return self.path / self.kind.index

    # ---- reading

    def read_consistently(self, read: Callable[[], T]) -> T:
        """The value of `read()`, called again if it failed while a writer replaced the files.

        Raises:
            LakeError: as `read`, if no writer replaced the files meanwhile; if a writer was
                interrupted after its commit, and this process may not move the files.
        """
        while True:
            with self._reading():
                self._finish_moving()
            before = self._state()
            try:
                return read()
            except LakeError:
                if self._state() == before and not self._is_moving():
                    raise

    def _state(self) -> tuple[int, ...]:
        """Inode, size and time of modification of the index, which a commit changes."""
        with contextlib.suppress(OSError):
            state = self.index_path.stat()
            return (state.st_ino, state.st_size, state.st_mtime_ns)
        return ()

    def _finish_moving(self) -> None:
        """Move the committed files of an interrupted writer; wait for a writer that is running."""
        started = time.monotonic()
        while self._is_moving():
            try:
                if os.access(self.path, os.W_OK):
                    with files.locked(self.path, wait=0.05):
                        self._roll_forward()
                elif time.monotonic() < started + MOVE_WAIT:
                    time.sleep(0.05)
                else:
                    raise LakeError(
                        f"{self.path}: its writer was interrupted while it moved the files of a "
                        f"finished {self.kind.name} to their names; loading it with permission to "
                        "write to the folder finishes that"
                    )
            except files.BusyError:
                if time.monotonic() > started + WRITER_WAIT:
                    raise

    def _is_moving(self) -> bool:
        """Whether committed files have not been moved to their names yet."""
        commit = self.path / COMMIT
        return not commit.is_symlink() and bool(self._items(commit))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except LakeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise LakeError(f"{self.path}: cannot be read: {reason}") from None

    # ---- checking before writing

    def examine(self) -> Index | None:
        """The index of the saved result or sweep, perhaps of the former format; None without one.

        Raises:
            LakeError: naming files that wheelvec did not write, or that were altered, so that they
                must not be replaced; or if the folder cannot be written.
        """
        try:
            self._refuse_within_a_lake()
            index = self.read_consistently(self._examine)
            with self._reading():
                above = next(
                    folder
                    for folder in (self.path, *self.path.absolute().parents)
                    if folder.exists()
                )
            if not os.access(above, os.W_OK):
                raise LakeError(f"{self.path}: cannot be written: {os.strerror(errno.EACCES)}")
            return index
        except LakeError as error:
            text = str(error)
            raise LakeError(
                text
                if "nothing was written" in text
                else f"{text}; nothing was written, choose another folder"
            ) from None

    def _refuse_within_a_lake(self) -> None:
        with self._reading():
            lakes = [
                folder
                for folder in self.path.resolve().parents
                if (folder / manifest.FOLDER).is_dir()
            ]
        if lakes:
            raise LakeError(
                f"{self.path}: is in the lake {lakes[0]}; nothing was written, "
                "choose a folder beside the lake"
            )

    def _examine(self) -> Index | None:
        items = self._items(self.path)
        index, known = None, {files.LOCK, STAGED, COMMIT}
        if any(item.name == self.kind.index for item in items):
            index = read_index(self.index_path, self.kind, former=True)
            known |= {self.kind.index, *index.files}
        foreign = [item.name for item in items if not self._is_own(item, known)]
        if any(item.name == self.kind.chunks for item in items):
            foreign += [
                f"{self.kind.chunks}/{item.name}"
                for item in self._items(self._chunks)
                if not self._is_chunk(item)
            ]
        if foreign:
            raise LakeError(
                f"{self.path}: holds {listed(sorted(foreign))}, which is not of a saved "
                f"{self.kind.name}; nothing was written, choose another folder"
            )
        for name, digest in (index.files if index else {}).items():
            self._refuse_unless(self.path / name, {digest})
        return index

    def _items(self, folder: Path) -> list[os.DirEntry[str]]:
        with self._reading():
            try:
                with os.scandir(folder) as items:
                    return list(items)
            except (FileNotFoundError, NotADirectoryError):
                return []

    def _is_own(self, item: os.DirEntry[str], known: set[str]) -> bool:
        """Whether an item of the folder is one of wheelvec's, of the right type and no link."""
        if item.name in (STAGED, COMMIT) or (self.kind.chunks and item.name == self.kind.chunks):
            return item.is_dir(follow_symlinks=False)
        if not item.is_file(follow_symlinks=False):
            return False
        if item.name == files.LOCK:
            return item.stat().st_size == 0
        return item.name in known or files.is_temporary(item.name)

    def _is_chunk(self, item: os.DirEntry[str]) -> bool:
        own = (
            item.name == self.kind.index
            or CHUNK.fullmatch(item.name)
            or JOB_RESULT.fullmatch(item.name)
            or files.is_temporary(item.name)
        )
        return bool(own) and item.is_file(follow_symlinks=False)

    def _refuse_unless(self, path: Path, digests: set[str]) -> None:
        """Refuse to replace a file that has none of the digests."""
        with self._reading():
            if path.is_symlink() or (path.exists() and digest_of_file(path) not in digests):
                raise LakeError(f"{path}: altered since it was written, so that it is not replaced")

    # ---- writing

    @contextlib.contextmanager
    def held(self, wait: float = 0.0) -> Iterator[None]:
        """Lock the folder, made if need be; if nothing is saved in it, it is removed again.

        Args:
            wait: seconds to wait for another writer.

        Raises:
            LakeError: if another process has locked it, or the folder cannot be made.
        """
        with atomic.writing(self.path):
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            with files.locked(self.path, wait):
                try:
                    self._roll_forward()
                    files.remove_stale(self.path)
                    yield
                finally:
                    shutil.rmtree(self.path / STAGED, ignore_errors=True)
                    self._remove_unused()
        finally:
            with contextlib.suppress(OSError):
                for folder in made:
                    folder.rmdir()

    def _remove_unused(self) -> None:
        """Remove the folder of chunks and job results if empty, and the lock of an empty folder."""
        with contextlib.suppress(OSError):
            if self.kind.chunks and not self.chunk_files() and not self.part_files():
                self.clear_chunks()
            if [item.name for item in self._items(self.path)] == [files.LOCK]:
                (self.path / files.LOCK).unlink()

    def stage(self) -> Path:
        """Make an empty hidden folder to write all files of the kind to."""
        staged = self.path / STAGED
        with atomic.writing(self.path):
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
        return staged

    def commit(self, content: Mapping[str, Any]) -> Index:
        """Replace the saved files by the staged ones, which are all files of the kind and no other.

        Args:
            content: the index without its files.

        Raises:
            LakeError: if a file cannot be written, or a saved one was altered; the saved files then
                stay as they are.
        """
        staged = self.path / STAGED
        with atomic.writing(self.path):
            index = Index.of(
                self.kind,
                content,
                {name: digest_of_file(staged / name) for name in sorted(self.kind.files)},
            )
            (staged / self.kind.index).write_text(index.text(), encoding="utf-8")
            for name in (*index.files, self.kind.index):
                atomic.sync_file(staged / name)
            atomic.sync_folder(staged)
            self._check_targets(index, moved=False)
            staged.rename(self.path / COMMIT)
            atomic.sync_folder(self.path)
            self._move(index)
        return index

    def _check_targets(self, new: Index, moved: bool) -> None:
        """Refuse to replace files that are not of the old index or, if `moved`, of the new one."""
        old = (
            read_index(self.index_path, self.kind, former=True)
            if self.index_path.exists()
            else None
        )
        for name, digest in new.files.items():
            digests = {old.files[name]} if old and name in old.files else set()
            self._refuse_unless(self.path / name, digests | ({digest} if moved else set()))

    def _roll_forward(self) -> None:
        """Move committed files to their names; the caller has locked the folder."""
        commit = self.path / COMMIT
        names = {item.name for item in self._items(commit)}
        with atomic.writing(self.path):
            if not names:
                if commit.is_dir():
                    commit.rmdir()
                return
            new = read_index(
                commit / self.kind.index if self.kind.index in names else self.index_path, self.kind
            )
            if foreign := names - new.files.keys() - {self.kind.index}:
                raise LakeError(
                    f"{commit}: holds {listed(sorted(foreign))}, "
                    f"which is not of a saved {self.kind.name}"
                )
            for name in new.files.keys() & names:
                self._refuse_unless(commit / name, {new.files[name]})
            self._check_targets(new, moved=True)
            self._move(new)

    def _move(self, new: Index) -> None:
        """Move the committed files to their names, the index last; a later call may go on."""
        commit = self.path / COMMIT
        for name in new.files:
            if (commit / name).exists():
                (commit / name).replace(self.path / name)
        if self.kind.chunks and not new.content.get("failures"):
            self.clear_chunks()
        atomic.sync_folder(commit)
        atomic.sync_folder(self.path)
        if (commit / self.kind.index).exists():
            (commit / self.kind.index).replace(self.index_path)
        commit.rmdir()
        atomic.sync_folder(self.path)

    # ---- the chunks of an unfinished sweep

    @property
    def _chunks(self) -> Path:
        return self.path / self.kind.chunks

    @property
    def unfinished_path(self) -> Path:
        """The path of the index of an unfinished sweep."""
        return self._chunks / self.kind.index

    def unfinished(self) -> Index | None:
        """The index of an unfinished sweep; None if there is none.

        Raises:
            LakeError: if it was altered or cannot be read.
        """
        try:
            return read_index(self.unfinished_path, self.kind, finished=False)
        except LakeError as error:
            if not self.unfinished_path.exists():
                return None
            raise LakeError(f"{error}; remove {self._chunks} to begin anew") from None

    def begin_chunks(self, index: Index) -> None:
        """Make the folder of chunks, and write the index of the unfinished sweep."""
        with atomic.writing(self._chunks):
            self._chunks.mkdir(exist_ok=True)
            files.remove_stale(self._chunks)
        with atomic.replacing(self.unfinished_path) as path:
            path.write_text(index.text(), encoding="utf-8")

    def chunk_files(self) -> list[tuple[int, int, str, Path]]:
        """(first, last + 1, digest, path) of each chunk of configurations, by name, in order."""
        matches = (CHUNK.fullmatch(item.name) for item in self._items(self._chunks))
        found = [(int(m[1]), int(m[2]), m[3], self._chunks / m[0]) for m in matches if m]
        return sorted(found)

    @property
    def parts_path(self) -> Path:
        """The folder of the job results of a sweep on an executor, which is that of chunks."""
        return self._chunks

    def part_files(self) -> list[Path]:
        """The job results of a sweep on an executor."""
        items = self._items(self._chunks)
        return [self._chunks / item.name for item in items if JOB_RESULT.fullmatch(item.name)]

    def clear_chunks(self) -> None:
        """Remove all chunks and job results, and then their index and folder."""
        if not self._chunks.is_dir():
            return
        for path in [*(path for *_, path in self.chunk_files()), *self.part_files()]:
            path.unlink(missing_ok=True)
        files.remove_stale(self._chunks)
        self.unfinished_path.unlink(missing_ok=True)
        self._chunks.rmdir()


def refuse_other(out: Path, index: Index, difference: Callable[[dict[str, Any]], str]) -> None:
    """Refuse to replace a saved result or sweep that differs from the new one.

    Args:
        out: the folder.
        index: its index.
        difference: the difference by the content of an index, in words; "" for none.

    Raises:
        LakeError: naming the difference.
    """
    if index.format == FORMAT:
        differs = difference(index.content)
    else:
        differs = f"it is of format {index.format}, this version of wheelvec writes format {FORMAT}"
    if differs:
        raise LakeError(
            f"{out}: holds another {index.kind.name}: {differs}; nothing was written, "
            "choose another folder, or replace it with overwrite=True (--overwrite)"
        )


def changed_fields(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """The dotted names of the fields in which two configurations of indices differ."""

    def field(config: dict[str, Any], name: str) -> Any:
        section, _, rest = name.partition(".")
        return config.get(section, {}).get(rest) if rest else config.get(section)

    return [name for name in [*field_names(), "rules"] if field(there, name) != field(here, name)]
