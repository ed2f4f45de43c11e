"""The results of the jobs of an executor, kept in files under the names of their content.

A run that is begun again finds the results of the one before. A name states everything that a
result depends on, and the name of its file a digest of its bytes.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from wheelvec.lake import files
from wheelvec.model import atomic
from wheelvec.model.errors import LakeError, counted
from wheelvec.run.cluster.jobs import Frames, unpacked

log = logging.getLogger(__name__)


class JobResults:
    """The results of the jobs of a run, in files of a folder, under the names of their content.

    Args:
        folder: of an unfinished run, or one that is removed after the run.
    """

    SUFFIX = ".part"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Path] = {}
        for path in folder.glob(f"*{self.SUFFIX}"):
            self._known[path.name.partition(".")[0]] = path

    def __len__(self) -> int:
        return len(self._known)

    def holds(self, name: str) -> bool:
        """Whether a result is kept whole; one that was altered or cut is removed."""
        path = self._known.get(name)
        if path is None:
            return False
        try:
            self.content(name)
        except LakeError as error:
            log.warning("%s; it is computed again", error)
            files.remove(path)
            del self._known[name]
            return False
        return True

    def keep(self, name: str, data: bytes, lasting: bool = True) -> None:
        """Write a result.

        Args:
            name: of its content.
            data: packed frames.
            lasting: whether a later run may use it.
        """
        ending = self.SUFFIX if lasting else f"{self.SUFFIX}ial"
        path = self._folder / f"{name}.{files.digest_of(data)}{ending}"
        with atomic.replacing(path, lasting=False) as temporary:
            temporary.write_bytes(data)
        self._known[name] = path

    def read(self, name: str) -> Frames:
        """The frames of a result.

        Raises:
            LakeError: if it was removed or altered meanwhile.
        """
        return unpacked(self.content(name))

    def content(self, name: str) -> bytes:
        """The content of a result, as `read`."""
        path = self._known[name]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise LakeError(f"{path}: cannot be read: {error.strerror or error}") from None
        if files.digest_of(data) != path.name.split(".")[1]:
            raise LakeError(f"{path}: altered since it was written")
        return data


def kept_text(results: JobResults, kind: str, out: str | Path | None) -> str:
    """The results that are kept of a run on an executor that did not finish, in words.

    Args:
        results: of the jobs that were done.
        kind: of the run: "sweep" or "backtest".
        out: the folder of the run; None without one.
    """
    if out is None:
        return "nothing is kept without out="
    return (
        f"{counted(len(results), 'job result')} of the {kind} kept in {out}; run the same {kind} "
        "again to continue"
    )


def name_of(*content: str | bytes) -> str:
    """The name of a result: a digest of everything that it depends on."""
    digest = hashlib.blake2b(digest_size=16)
    for each in content:
        data = each.encode() if isinstance(each, str) else each
        digest.update(len(data).to_bytes(8, "big") + data)
    return f"wheelvec-{digest.hexdigest()}"


def grouped(symbols: Iterable[str], weights: Mapping[str, int], most: int) -> list[list[str]]:
    """Consecutive underlyings whose weights add up to `most`, or one that weighs more."""
    found: list[list[str]] = []
    total = most
    for symbol in symbols:
        if total + weights[symbol] > most or not found:
            found.append([])
            total = 0
        found[-1].append(symbol)
        total += weights[symbol]
    return found
