"""The index of a saved result or sweep: its content, and digests of its files and of itself.

    {"format": 2, "kind": "wheelvec result", ..., "files": {"records.parquet": "<digest>", ...},
     "digest": "<digest>"}

Files whose digest does not match are not read. Files that are not listed are not wheelvec's.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl

from wheelvec.lake.files import digest_of
from wheelvec.model.errors import LakeError, listed

FORMAT, FORMER = 2, 1
_OWN = ("format", "kind", "files", "digest")


@dataclass(frozen=True)
class Kind:
    """The files and the index of a result, or of a sweep.

    Attributes:
        name: "result" or "sweep".
        index: the file name of the index.
        files: the names of all other files of a finished result or sweep.
        fields: the further fields of the index, with their types.
        former: the fields that every index of the former format has.
        added: the files and fields that older indices of this format lack.
        chunks: the folder of the finished chunks of an unfinished sweep; "" for results.
    """

    name: str
    index: str
    files: frozenset[str]
    fields: Mapping[str, type | tuple[type, ...]]
    former: frozenset[str]
    added: frozenset[str] = frozenset()
    chunks: str = ""


@dataclass(frozen=True)
class Index:
    """An index to be written, or one that was read and verified.

    Attributes:
        kind: of a result or a sweep.
        content: the further fields.
        files: file name -> digest.
        format: the number of the format.
    """

    kind: Kind
    content: dict[str, Any]
    files: dict[str, str]
    format: int = FORMAT

    @classmethod
    def of(cls, kind: Kind, content: Mapping[str, Any], files: Mapping[str, str]) -> Self:
        """An index of some content, converted to plain JSON: dates as text, tuples as lists."""
        return cls(kind, json.loads(json.dumps(content, default=str)), dict(files))

    @cached_property
    def digest(self) -> str:
        """The digest of all fields of the index, independent of the layout of its file."""
        return _digest_of_json(self._stated())

    def text(self) -> str:
        """The index as JSON."""
        return json.dumps({**self._stated(), "digest": self.digest}, indent=1)

    def _stated(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "kind": f"wheelvec {self.kind.name}",
            **self.content,
            "files": self.files,
        }


def digest_of_file(path: Path) -> str:
    """The hexadecimal BLAKE2b digest of a file's bytes, as in an index."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _digest_of_json(value: Any) -> str:
    return digest_of(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


# ---- reading an index


def read_index(path: Path, kind: Kind, *, finished: bool = True, former: bool = False) -> Index:
    """Read an index and verify it by its digest and its fields.

    Args:
        path: the file.
        kind: the kind that it must be of.
        finished: whether it must list all files of its kind, or none.
        former: whether an index of the former format, which has no digest, is accepted: such a
            result may be replaced, not read.

    Raises:
        LakeError: naming path and reason.
    """
    stated = _parsed(path, kind)
    number = stated.get("format")
    foreign = LakeError(f"{path}: not the index of a saved {kind.name} of wheelvec")
    if isinstance(number, bool) or not isinstance(number, int):
        raise foreign
    if number == FORMER and kind.former <= stated.keys() and isinstance(stated["files"], dict):
        if former:
            return Index(kind, stated, _former_files(path, kind, stated["files"]), FORMER)
        raise LakeError(
            f"{path}: {_other_format(number)}; run it again, to replace it with overwrite=True or "
            "--overwrite"
        )
    if stated.get("kind") != f"wheelvec {kind.name}":
        raise foreign
    if number != FORMAT:
        raise LakeError(f"{path}: {_other_format(number)}")
    _check(path, kind, stated, finished)
    content = {name: stated[name] for name in kind.fields if name in stated}
    return Index(kind, content, stated["files"])


def _other_format(number: int) -> str:
    return f"format {number}; this version of wheelvec reads format {FORMAT}"


def _parsed(path: Path, kind: Kind) -> dict[str, Any]:
    expected = f"expected the index of a saved {kind.name}"
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait
            raise LakeError(f"{path}: no file; {expected}")
        stated = json.loads(path.read_bytes())
    except LakeError:
        raise
    except OSError as error:
        raise LakeError(f"{path}: cannot be read ({error.strerror or error}); {expected}") from None
    except RecursionError:
        raise LakeError(f"{path}: no valid JSON: nested too deeply; {expected}") from None
    except ValueError:
        raise LakeError(f"{path}: no valid JSON; {expected}") from None
    if not isinstance(stated, dict):
        raise LakeError(f"{path}: not the index of a saved {kind.name} of wheelvec")
    return stated


def _check(path: Path, kind: Kind, stated: dict[str, Any], finished: bool) -> None:
    """Refuse an altered index of the present format."""
    try:
        digest = _digest_of_json(
            {name: value for name, value in stated.items() if name != "digest"}
        )
    except RecursionError:
        raise LakeError(f"{path}: nested too deeply; it was altered since it was written") from None
    if stated.get("digest") != digest:
        raise LakeError(f"{path}: altered since it was written (its own digest does not match)")
    expected = {*kind.fields, *_OWN}
    if not expected - kind.added <= stated.keys() <= expected:
        raise LakeError(
            f"{path}: states {listed(sorted(stated))}; expected {listed(sorted(expected))}"
        )
    for name, types in kind.fields.items():
        if name in stated and (
            not isinstance(stated[name], types) or isinstance(stated[name], bool)
        ):
            raise LakeError(
                f"{path}: {name} is a {type(stated[name]).__name__}, which no saved {kind.name} has"
            )
    files = stated["files"]
    least, most = (kind.files - kind.added, kind.files) if finished else (set(), set())
    if not isinstance(files, dict) or not least <= files.keys() <= most:
        raise LakeError(
            f"{path}: lists other files than a saved {kind.name} has: {listed(sorted(kind.files))}"
        )


def _former_files(path: Path, kind: Kind, listed_files: dict[str, Any]) -> dict[str, str]:
    """The files of a result or sweep of the former format, with their digests.

    Its index named the frames of results without .parquet, and did not list the file of figures,
    which is recognised by its content.
    """
    files = {
        name if name in kind.files else f"{name}.parquet": str(digest)
        for name, digest in listed_files.items()
    }
    for name in kind.files - files.keys():
        extra = path.parent / name
        try:
            if extra.is_file() and "total_wheels" in json.loads(extra.read_bytes()):
                files[name] = digest_of_file(extra)
        except (OSError, ValueError, TypeError, RecursionError):
            continue
    return {name: digest for name, digest in files.items() if name in kind.files}


# ---- reading what an index lists


@dataclass(frozen=True)
class Stored:
    """A frame in a file.

    Attributes:
        path: the file.
        digest: its digest in the index.
    """

    path: Path
    digest: str

    def check(self) -> None:
        """Read the file and compare its digest.

        Raises:
            LakeError: if it is missing, cannot be read or was altered.
        """
        try:
            digest = digest_of_file(self.path)
        except OSError as error:
            raise self._unreadable(error) from None
        self._compare(digest)

    def read(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The frame, or some of its columns, from bytes that match the digest.

        Raises:
            LakeError: if it is missing, cannot be read or was altered.
        """
        return parsed_frame(self.path, self._bytes(), columns)

    def parts(self, columns: Sequence[str], rows: int) -> Iterator[pl.DataFrame]:
        """Some columns of the frame, so many rows at a time; there is one part at least.

        Raises:
            LakeError: as `read`.
        """
        data, start = self._bytes(), 0
        while True:
            part = parsed_frame(self.path, data, columns, (start, rows))
            yield part
            if part.height < rows:
                return
            start += rows

    def _bytes(self) -> bytes:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise self._unreadable(error) from None
        self._compare(digest_of(data))
        return data

    def _compare(self, digest: str) -> None:
        if digest != self.digest:
            raise LakeError(
                f"{self.path}: altered since it was written (its digest differs from the index's)"
            )

    def _unreadable(self, error: OSError) -> LakeError:
        if isinstance(error, FileNotFoundError):
            return LakeError(f"{self.path}: missing; the index beside it lists it")
        return LakeError(f"{self.path}: cannot be read: {error.strerror or error}")


def parsed_frame(
    path: Path,
    data: bytes,
    columns: Sequence[str] | None = None,
    rows: tuple[int, int] | None = None,
) -> pl.DataFrame:
    """The frame in the bytes of a Parquet file.

    Args:
        path: of the file, for messages.
        data: its bytes.
        columns: to read; None: all.
        rows: the first row and the number of rows to read of `columns`; None: all.

    Raises:
        LakeError: naming `path`, if they are not readable as Parquet.
    """
    try:
        if rows is not None and columns is not None:
            return pl.scan_parquet(io.BytesIO(data)).select(columns).slice(*rows).collect()
        return pl.read_parquet(data, columns=None if columns is None else list(columns))
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).partition("\n")[0]
        raise LakeError(f"{path}: cannot be read: {reason}") from None
