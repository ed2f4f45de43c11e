"""The folder of a saved result or sweep: never another's, and written whole or not at all.

It is written beside its place under a hidden name, then renamed. What stood there before is removed once the new one stands.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from wheelvec.spec.errors import LakeError


def refuse_foreign(out: Path, index: str, what: str) -> None:
    """Pass a folder that may be written to: there is none, it is empty, or it has the `index` of a saved `what`.

    Raises:
        LakeError: if something else is there.
    """
    if out.exists() and not (out.is_dir() and ((out / index).is_file() or not any(out.iterdir()))):
        raise LakeError(f"{out}: exists and is no saved {what}; nothing was written, choose another folder")


def beside(out: Path, *inner: str) -> Path:
    """A new hidden folder beside `out`, made with the folders `inner`, to be put in its place or removed.

    Raises:
        LakeError: if it cannot be made.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        for name in inner:
            (new / name).mkdir()
    except OSError as error:
        raise LakeError(f"{out}: cannot be written: {error.strerror}") from None
    return new


def put_in_place(new: Path, out: Path) -> None:
    """Put `new` in the place of `out`; what stood there is removed only once the new one stands."""
    new.chmod(0o755)
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
        out.rename(old / "was")
        new.rename(out)
        shutil.rmtree(old)
    else:
        new.rename(out)


def digest(path: Path) -> str:
    """The digest of a file's bytes, as an index states it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
