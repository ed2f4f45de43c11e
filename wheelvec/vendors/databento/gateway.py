"""One request to a vendor's interface.

The key goes to no other host, no answer is longer than it may be, and what fails says so without
the key. The vendor's own client would follow redirects with the key, read answers of any length
into memory, and raise errors that hold the request. What is sent here is what it sends.
"""

import json
import logging
import math
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from wheelvec.model.errors import FetchError, WheelvecError
from wheelvec.model.version import VERSION
from wheelvec.vendors.databento.access import checked_gateway
from wheelvec.vendors.databento.secret import Key

log = logging.getLogger(__name__)

GATEWAY = "https://hist.databento.com"
TIMEOUT = 100.0  # seconds that a server may keep silent
_PIECE = 1 << 16
_LONGEST_JSON = 1 << 20  # bytes
_HEADERS = {"accept": "application/json", "user-agent": f"wheelvec/{VERSION}"}

Form = dict[str, str]


class TransientError(Exception):
    """A failure that may not happen again.

    Worth another attempt, after `wait` seconds if the server said so.
    """

    def __init__(self, text: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(text)
        self.status, self.wait = status, wait


class Gateway:
    """The address of the interface, and the key to it.

    Args:
        key: sent as HTTP's basic authentication, shown nowhere.
        address: another than Databento's own; http only on this machine.

    Raises:
        InputError: for an address of another form.
    """

    def __init__(self, key: Key, address: str | None = None) -> None:
        self._key, self.address = key, checked_gateway(address or GATEWAY)

    def __repr__(self) -> str:
        return f"Gateway({self.address!r})"

    def json(self, method: str, form: Form, verb: str = "POST") -> Any:
        """The answer to a request, read as JSON; it is not checked what it is.

        Raises:
            TransientError, FetchError: see `stream`.
        """
        body = bytearray()

        def take(piece: bytes) -> None:
            body.extend(piece)
            if len(body) > _LONGEST_JSON:
                raise TransientError(f"an answer of more than {_LONGEST_JSON:,} bytes")

        self.stream(method, form, take, verb)
        try:
            return json.loads(bytes(body))
        except (ValueError, RecursionError):
            reason = f"an answer that is no JSON: {self.shown(bytes(body[:200]).decode('utf-8', 'replace')) or 'it is empty'}"
        raise TransientError(reason)

    def stream(
        self, method: str, form: Form, take: Callable[[bytes], None], verb: str = "POST"
    ) -> None:
        """Pass the body of an answer on, piece by piece; what `take` raises ends it.

        Raises:
            TransientError: for a refusal for a time, a broken connection, or an answer that is none.
            FetchError: for any other refusal, and for a redirect.
        """
        try:
            self._send(method, form, take, verb)
            return
        except (WheelvecError, TransientError):
            raise
        # of requests, of sockets, of headers and text that are none; the error itself holds the
        # request, and so the key, and must not even be the context of another
        except (
            requests.RequestException,
            HTTPError,
            HTTPException,
            OSError,
            ValueError,
            LookupError,
        ) as error:
            reason = self.shown(f"{type(error).__name__}: {error}")
        raise TransientError(reason)

    def _send(self, method: str, form: Form, take: Callable[[bytes], None], verb: str) -> None:
        sent: dict[str, Any] = {"params" if verb == "GET" else "data": form}
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter())
            with session.request(
                verb,
                f"{self.address}/v0/{method}",
                headers=_HEADERS,
                auth=HTTPBasicAuth(self._key.reveal(), ""),
                timeout=TIMEOUT,
                stream=True,
                allow_redirects=False,
                **sent,
            ) as answer:
                self._remark(answer)
                if answer.status_code not in (200, 206):
                    self._refused(answer)
                for piece in answer.iter_content(_PIECE):
                    take(piece)

    def shown(self, text: object) -> str:
        """A vendor's text as one line of bounded length, without the key."""
        line = " ".join(self._key.masked(text).split())
        return line if len(line) <= 300 else line[:297] + "..."

    def _remark(self, answer: requests.Response) -> None:
        """Log what the vendor remarks on an answer."""
        remarks = answer.headers.get("X-Warning")
        if remarks is None:
            return
        try:
            found = json.loads(remarks)
        except (ValueError, RecursionError):
            found = remarks
        for remark in found if isinstance(found, list) else [found]:
            # nothing found is no event: half of what is asked for may be empty, and it is
            # remembered
            level = logging.DEBUG if "No data found" in str(remark) else logging.WARNING
            log.log(level, "Databento: %s", self.shown(str(remark).removeprefix("Warning: ")))

    def _refused(self, answer: requests.Response) -> NoReturn:
        status = answer.status_code
        if 300 <= status < 400:
            host = self.shown(_host(answer.headers.get("Location", "")))
            raise FetchError(
                f"{self.address} answers {status}, a redirect to {host}: it is not followed, for the key would go there",
                status,
            )
        case, said = self._detail(answer)
        text = f"{status} {said}".strip()
        if status in (408, 429) or not 400 <= status < 500:
            raise TransientError(text, status, _retry_after(answer.headers.get("Retry-After")))
        raise FetchError(text, status, case)

    def _detail(self, answer: requests.Response) -> tuple[str, str]:
        """Case and message of a refusal.

        `detail` may be an object, a list or text, and 5xx may be plain text.
        """
        body = b""
        for piece in answer.iter_content(_PIECE):
            body += piece
            if len(body) >= _PIECE:
                break
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return "", "" if answer.status_code >= 500 else self.shown(
                body.decode("utf-8", "replace")
            )
        detail = found.get("detail") if isinstance(found, dict) else found
        if isinstance(detail, dict):
            case = self.shown(detail.get("case") or "")
            return case, self.shown(detail.get("message") or case)
        return "", self.shown(
            detail if isinstance(detail, str) else json.dumps(detail) if detail else ""
        )


class _Http(HTTPConnection):
    debuglevel = 0  # whatever http.client's own is set to: it prints the headers of requests


class _Https(HTTPSConnection):
    debuglevel = 0


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """Connections that print nothing."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _silence(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> PoolManager:
        return _silence(super().proxy_manager_for(*arguments, **options))


def _silence(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


def _host(location: str) -> str:
    try:
        parts = urlsplit(location)
        return f"{parts.hostname or 'the same host'}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "what is no address"


def _retry_after(text: str | None) -> float | None:
    """Seconds; a date, which the header may hold as well, is left to our own patience."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
