"""Checks of a vendor's key and address, and a limit of calls per second."""

import ipaddress
import re
import threading
import time
from urllib.parse import urlsplit

from wheelvec.model.errors import InputError

KEY = re.compile(r"db-[A-Za-z0-9]{29}")


class RateLimit:
    """Delays calls so that at most `per_second` begin in a second."""

    def __init__(self, per_second: float) -> None:
        self._step, self._next, self._lock = 1.0 / per_second, 0.0, threading.Lock()

    def wait(self) -> None:
        """Sleep until this call may begin."""
        with self._lock:
            begin = max(self._next, time.monotonic())
            self._next = begin + self._step
        time.sleep(max(begin - time.monotonic(), 0.0))


def checked_key(key: str) -> str:
    """The key, if it has the form of a Databento key.

    Raises:
        InputError: for any other text, which is not shown.
    """
    if not KEY.fullmatch(key):
        raise InputError(
            "DATABENTO_API_KEY is not a Databento key: expected 32 characters, db- and then "
            "letters and digits"
            if key
            else "DATABENTO_API_KEY is not set: put your Databento key in this environment "
            "variable (databento.com/portal/keys)"
        )
    return key


def checked_gateway(gateway: str) -> str:
    """The scheme and host of an address.

    Raises:
        InputError: if it is no address, or would send the key over a network in plain text.
    """
    parts = urlsplit(gateway)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or parts.path.strip("/")
        or parts.query
    ):
        raise InputError(
            "the gateway must be an address such as https://hist.databento.com, or http on this "
            "machine"
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise InputError(
            f"the gateway {parts.scheme}://{parts.netloc} would get your key in plain text: "
            "use https"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
