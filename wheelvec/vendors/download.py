"""Downloads of large public files over HTTP: resumed where they were cut off, whole or not at all.

    .SPY_options.parquet.part        what has arrived
    .SPY_options.parquet.part.json   of which version of which file, and of how many bytes
    SPY_options.parquet              once all bytes are there

A part is continued only where the server says that the file is still the one it began as, by its
entity tag or its time of modification (RFC 9110, sections 13.1.5 and 14.2); otherwise it begins
anew. The received bytes are kept after an error, for the next run.
"""

import contextlib
import hashlib
import http.client
import json
import logging
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, Self

from wheelvec.model import atomic
from wheelvec.model.errors import FetchError, LakeError
from wheelvec.model.version import VERSION

log = logging.getLogger(__name__)

ATTEMPTS = 6  # in a row that bring no further byte
PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
LONGEST_PAUSE = 60.0
TIMEOUT = 60.0  # seconds without a byte
BLOCK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Progress = Callable[[int, int], None]


class _AgainError(Exception):
    """An attempt failed for a reason that may pass.

    Attributes:
        wait: seconds that the server asked to wait.
    """

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


def download(url: str, path: Path, progress: Progress | None = None) -> None:
    """Download a file, or the rest of one of which a part is there.

    Args:
        url: its address, http or https.
        path: the file to write; its folder must exist, and be locked by the caller.
        progress: called with the number of bytes that are there, and of all.

    Raises:
        FetchError: if the server refuses, cannot be reached, or breaks off several times.
        LakeError: if the file cannot be written.
    """
    part = _Part(path, url)
    failures, before = 0, part.size
    while not part.is_whole:
        try:
            _attempt(part, progress)
        except _AgainError as error:
            failures = 1 if part.size > before else failures + 1
            before = part.size
            if failures >= ATTEMPTS:
                kept = "; what has arrived is kept: run again to go on" if part.size else ""
                raise FetchError(f"{url}: {error}, {failures} times in a row{kept}") from error
            pause = max(PAUSE * 2.0 ** (failures - 1), error.wait)
            log.info("%s: %s; going on in %.1f s", url, error, pause)
            time.sleep(min(pause, LONGEST_PAUSE))
    part.finish()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Version:
    """The version of a file that a part belongs to.

    Attributes:
        url: the address that was asked for, before any redirection.
        validator: its entity tag or time of modification; "" if the server states none.
        size: bytes of the whole.
    """

    url: str
    validator: str
    size: int

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The version that a file states; None if there is none, or it is not readable."""
        try:
            stated = json.loads(path.read_text("utf-8"))
            return cls(str(stated["url"]), str(stated["validator"]), int(stated["size"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class _Part:
    """The received bytes of a file.

    Args:
        path: the file when it is whole.
        url: its address.
    """

    def __init__(self, path: Path, url: str) -> None:
        self.path, self.url = path, url
        self.part = path.with_name(f".{path.name}.part")
        self._note = path.with_name(f".{path.name}.part.json")
        self.version = _Version.read(self._note)
        if self.version is None or self.version.url != url or self.size > self.version.size:
            self.discard()

    @property
    def size(self) -> int:
        """The bytes that have arrived."""
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    @property
    def is_whole(self) -> bool:
        """Whether all bytes have arrived."""
        return self.version is not None and self.part.exists() and self.size == self.version.size

    def begin(self, version: _Version) -> None:
        """Begin with the first byte of a version."""
        self.discard()
        with atomic.replacing(self._note, lasting=False) as temporary:
            temporary.write_text(json.dumps(asdict(version)), "utf-8")
        self.version = version

    def discard(self) -> None:
        """Remove what has arrived."""
        self.version = None
        with atomic.writing(self.part):
            self.part.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its name."""
        with atomic.writing(self.path):
            atomic.sync_file(self.part)
            self.part.replace(self.path)
            atomic.sync_folder(self.path.parent)
            self._note.unlink(missing_ok=True)


def _attempt(part: _Part, progress: Progress | None) -> None:
    """Ask once for what is missing of a part, and write it.

    Raises:
        _AgainError: if that failed for a reason that may pass.
        FetchError: if the server refuses.
        LakeError: if the part cannot be written.
    """
    with _answer(part) as answer:
        stated = answer.headers
        if stated.get("Content-Encoding", "identity") != "identity":
            raise FetchError(f"{part.url}: the server sends it compressed, though not asked to")
        if answer.status == 206:
            _check_rest(part, stated)
        elif answer.status == 200:
            part.begin(_version_of(part.url, stated))
        else:
            raise FetchError(f"{part.url}: unexpected status {answer.status}", answer.status)
        _write(part, answer, progress)


@contextlib.contextmanager
def _answer(part: _Part) -> Iterator[Any]:
    """The answer to a request for the rest of a part; errors of the network are _AgainError."""
    headers = {"User-Agent": f"wheelvec/{VERSION}", "Accept-Encoding": "identity"}
    if part.size and part.version is not None and part.version.validator:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.version.validator}
    request = urllib.request.Request(part.url, headers=headers)
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT) as answer:
            yield answer
    except (LakeError, FetchError, _AgainError):
        raise
    except urllib.error.HTTPError as error:
        raise _refusal(part, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLCertVerificationError) or isinstance(error, ValueError):
            raise FetchError(f"{part.url}: {reason}") from error
        raise _AgainError(f"the connection failed ({_words(reason)})") from error


def _refusal(part: _Part, error: urllib.error.HTTPError) -> Exception:
    """The error for a status that is none of success."""
    error.close()
    if error.code == 416:  # the file is shorter than the part: it is another one now
        part.discard()
        return _AgainError("the file has changed")
    if error.code in _PASSING:
        asked = error.headers.get("Retry-After", "")
        return _AgainError(f"status {error.code}", float(asked) if asked.isdigit() else 0.0)
    return FetchError(f"{part.url}: the server refuses it with status {error.code}", error.code)


def _version_of(url: str, stated: Message) -> _Version:
    """The version that the headers of a whole file state."""
    tag, size = stated.get("ETag", ""), stated.get("Content-Length", "")
    if not size.isdigit():
        raise FetchError(f"{url}: the server does not say how long it is")
    # a weak tag may be that of other bytes
    validator = stated.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag
    return _Version(url, validator, int(size))


def _check_rest(part: _Part, stated: Message) -> None:
    """Check that an answer with a range continues a part.

    Raises:
        _AgainError: if it does not; the part begins anew.
    """
    found, version = _RANGE.fullmatch(stated.get("Content-Range", "")), part.version
    tag = stated.get("ETag", "")
    fits = (
        found is not None
        and version is not None
        and (int(found[1]), int(found[3])) == (part.size, version.size)
        and (not tag or not version.validator.startswith('"') or tag == version.validator)
    )
    if not fits:
        part.discard()
        raise _AgainError("the file has changed")


def _write(part: _Part, answer: IO[bytes], progress: Progress | None) -> None:
    """Append the bytes of an answer to a part.

    Raises:
        _AgainError: if the body ends before all bytes have arrived.
        LakeError: if they cannot be written.
    """
    assert part.version is not None
    have, size = part.size, part.version.size
    with atomic.writing(part.part):
        target = part.part.open("ab")
    with target:
        while have < size and (block := answer.read(min(BLOCK, size - have))):
            with atomic.writing(part.part):
                target.write(block)
            have += len(block)
            if progress is not None:
                progress(have, size)
        with atomic.writing(part.part):
            target.flush()
    if have < size:
        raise _AgainError(f"the connection broke off after {have:,} of {size:,} bytes")


def _words(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text[:200] or type(reason).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but none from an encrypted connection to one that is not."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise FetchError(f"{req.full_url}: refused to follow it to {newurl.partition('?')[0]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
