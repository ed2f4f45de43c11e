"""Addresses of object stores among the paths that users give: lakes are read there, never written.

    s3://bucket/prefix, gs://bucket/prefix

pathlib makes s3:/bucket of such an address; it is recognized all the same.
"""

import os
import re
from pathlib import Path, PurePath

from wheelvec.model.errors import InputError, LakeError, cut

# one letter is a drive of Windows
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
# what may hold a secret: a user with a password before the bucket, and a query
_SECRET = re.compile(r"//[^/]*@|[?#].*")


def check_path(path: object) -> None:
    """Refuse what is no path.

    Raises:
        InputError: unless it is a text or a path.

    Example:
        >>> check_path("lake/")
        >>> check_path(3)
        Traceback (most recent call last):
        wheelvec.model.errors.InputError: 3: expected a path, as a text or a pathlib.Path
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"{cut(path)}: expected a path, as a text or a pathlib.Path")


def address_of(path: object) -> str | None:
    """The address that a user gave in place of a path; None for a path.

    Args:
        path: a text or a path.

    Raises:
        InputError: if it is neither.

    Example:
        >>> address_of("s3://bucket/lake"), address_of(Path("s3://bucket/lake"))
        ('s3://bucket/lake', 's3://bucket/lake')
        >>> address_of("lake/") is None
        True
    """
    check_path(path)
    text = path.as_posix() if isinstance(path, PurePath) else str(path)
    found = _ADDRESS.match(text)
    return None if found is None else f"{found[1].lower()}://{text[found.end() :]}"


def shown(address: str) -> str:
    """An address without what may be a secret in it, for messages.

    Example:
        >>> shown("s3://user:password@bucket/lake?token=1")
        's3://...bucket/lake...'
    """
    return _SECRET.sub(lambda found: "//..." if found[0].startswith("/") else "...", address)


def refuse_address(path: object, what: str, expected: str = "folder") -> None:
    """Refuse an address where something is written or kept.

    Args:
        path: the value that the user gave.
        what: the thing, such as "the lake".
        expected: the kind expected instead: a folder or a file.

    Raises:
        InputError: if `path` is no path.
        LakeError: if `path` is an address.
    """
    if (address := address_of(path)) is not None:
        raise LakeError(
            f"{shown(address)}: {what} must be a local {expected}; lakes are read in an object "
            "store, and nothing is written there"
        )


def local_or_address(text: str) -> Path | str:
    """A path, or the address that a text is, for options of the command line."""
    return address_of(text) or Path(text)
