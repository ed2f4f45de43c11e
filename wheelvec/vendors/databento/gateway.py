"""HTTP requests to a vendor's API that never reveal the key.

The key is sent to no other host, answers are limited in length, and errors do not show the key. The
vendor's client would follow redirects with the key, read answers of any length into memory, and
raise errors that contain the request. The requests sent here are the same.
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
_CHUNK = 1 << 16
_LONGEST_JSON = 1 << 20  # bytes
_HEADERS = {"accept": "application/json", "user-agent": f"wheelvec/{VERSION}"}

Form = dict[str, str]


class TransientError(Exception):
    """A failure that may not happen again: to be retried, after `wait` seconds if not None."""

    def __init__(self, text: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(text)
        self.status, self.wait = status, wait


class Gateway:
    """The address of the API, and the key to it.

    Args:
        key: sent as HTTP's basic authentication, shown nowhere.
        address: another address than Databento's; http only on this machine.

    Raises:
        InputError: for an address of another form.
    """

    def __init__(self, key: Key, address: str | None = None) -> None:
        self._key, self.address = key, checked_gateway(address or GATEWAY)

    def __repr__(self) -> str:
        return f"Gateway({self.address!r})"

    def json(self, method: str, form: Form, verb: str = "POST") -> Any:
        """The answer to a request, parsed as JSON; its content is not checked.

        Raises:
            TransientError, FetchError: see `stream`.
        """
        body = bytearray()

        def take(chunk: bytes) -> None:
            body.extend(chunk)
            if len(body) > _LONGEST_JSON:
                raise TransientError(f"an answer of more than {_LONGEST_JSON:,} bytes")

        self.stream(method, form, take, verb)
        try:
            return json.loads(bytes(body))
        except (ValueError, RecursionError):
            start = self.shown(bytes(body[:200]).decode("utf-8", "replace"))
        raise TransientError(f"an answer that is no JSON: {start or 'it is empty'}")

    def stream(
        self, method: str, form: Form, take: Callable[[bytes], None], verb: str = "POST"
    ) -> None:
        """Pass the body of an answer to `take` in chunks of bytes; an error that it raises ends it.

        Raises:
            TransientError: for a temporary refusal, a broken connection, or a malformed answer.
            FetchError: for any other refusal, and for a redirect.
        """
        try:
            self._send(method, form, take, verb)
            return
        except (WheelvecError, TransientError):
            raise
        # errors of requests, of sockets, of malformed headers and texts. They contain the request,
        # and so the key: another error must not be raised while one is handled, as its context
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
                for chunk in answer.iter_content(_CHUNK):
                    take(chunk)

    def shown(self, text: object) -> str:
        """A vendor's text as one line of bounded length, without the key."""
        line = " ".join(self._key.masked(text).split())
        return line if len(line) <= 300 else line[:297] + "..."

    def _remark(self, answer: requests.Response) -> None:
        """Log the vendor's warnings on an answer."""
        remarks = answer.headers.get("X-Warning")
        if remarks is None:
            return
        try:
            found = json.loads(remarks)
        except (ValueError, RecursionError):
            found = remarks
        for remark in found if isinstance(found, list) else [found]:
            # no data is not worth a warning: many requests are empty, and that is recorded
            level = logging.DEBUG if "No data found" in str(remark) else logging.WARNING
            log.log(level, "Databento: %s", self.shown(str(remark).removeprefix("Warning: ")))

    def _refused(self, answer: requests.Response) -> NoReturn:
        status = answer.status_code
        if 300 <= status < 400:
            host = self.shown(_host(answer.headers.get("Location", "")))
            raise FetchError(
                f"{self.address} answers {status}, a redirect to {host}: "
                "it is not followed, because the key would go there",
                status,
            )
        case, said = self._detail(answer)
        text = f"{status} {said}".strip()
        if status in (408, 429) or not 400 <= status < 500:
            raise TransientError(text, status, _retry_after(answer.headers.get("Retry-After")))
        raise FetchError(text, status, case)

    def _detail(self, answer: requests.Response) -> tuple[str, str]:
        """The case and message of a refusal.

        `detail` of its JSON may be an object, a list or text, and 5xx may be plain text.
        """
        body = b""
        for chunk in answer.iter_content(_CHUNK):
            body += chunk
            if len(body) >= _CHUNK:
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
    debuglevel = 0  # http.client's level may be set, and it then prints the headers of requests


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
    """The seconds of a Retry-After header; None for a date, which the header may be too."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
